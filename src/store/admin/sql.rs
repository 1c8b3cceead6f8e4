//! One SQL for both databases.
//!
//! A statement is written so that both run it:
//!
//! * Parameters are `$1`, `$2`, …. On PostgreSQL they have the type of their [`Value`]: bigint, text, bytea, timestamptz. Where a function
//!   wants another type, CAST: `substr(name, CAST($2 AS INTEGER))`. A null that is compared with nothing needs a CAST too:
//!   `CAST($1 AS BIGINT) IS NULL`.
//! * `CAST(x AS BIGINT)`, `CAST(x AS TEXT)`; `sum()` and `avg()` always inside such a CAST. Never `::`.
//! * No function that only one of them knows. What differs is in [`Dialect`].
//! * Names of users compare by [`Dialect::name_key`] with [`Value::name`].
//! * A page is found by its key (`WHERE (name, id) > ($1, $2) ORDER BY name, id LIMIT $3`), never by OFFSET.

use std::error::Error;

use jiff::Timestamp;

use super::AdminRefusal;
use crate::seats::Refusal;
use crate::store::StoreError;

/// The last second that a [`Timestamp`] can be. A column may hold a later time, such as the last day of year 9999 for "never".
pub(super) const LAST: &str = "9999-12-30T22:00:00Z";

/// A transaction on either database.
pub trait Sql {
    fn dialect(&self) -> Dialect;

    /// The rows of a query.
    fn rows(&self, text: &str, values: &[Value]) -> Result<Vec<Row>, Stop>;

    /// Changes rows; how many. The events are written by the triggers. Only inside of a change.
    fn change(&self, text: &str, values: &[Value]) -> Result<u64, Stop>;

    /// Runs steps of which a refusal undoes only what they did: the inner result. Everything else that ends them ends the call.
    fn attempt(&self, steps: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Result<(), AdminRefusal>, Stop>;
}

/// The first row of a query; `None`: it has none.
pub fn first(sql: &dyn Sql, text: &str, values: &[Value]) -> Result<Option<Row>, Stop> {
    Ok(sql.rows(text, values)?.into_iter().next())
}

/// The SQL dialect of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Whether two values are the same, null included.
    pub fn is_same(self, one: &str, other: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{one} IS {other}"),
            Dialect::Postgres => format!("{one} IS NOT DISTINCT FROM {other}"),
        }
    }

    /// A column of user names, as names compare and sort: without regard to ASCII case. Both have an index on it. What it is compared
    /// with is [`Value::name`].
    pub fn name_key(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{column} COLLATE NOCASE"),
            Dialect::Postgres => format!("lower({column} COLLATE \"C\")"),
        }
    }

    /// The unique key of a column of user names, for ON CONFLICT.
    pub fn name_unique(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => column.to_owned(),
            Dialect::Postgres => format!("lower({column} COLLATE \"C\")"),
        }
    }

    /// A column of other text, as it sorts byte by byte: PostgreSQL would sort as the database's language does.
    pub fn bytewise(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => column.to_owned(),
            Dialect::Postgres => format!("{column} COLLATE \"C\""),
        }
    }

    /// A member of a column with a JSON object, as text.
    pub fn member(self, column: &str, name: &str) -> String {
        match self {
            Dialect::Sqlite => format!("CAST(json_extract({column}, '$.{name}') AS TEXT)"),
            Dialect::Postgres => format!("CAST({column} AS jsonb) ->> '{name}'"),
        }
    }
}

/// A value that goes into a statement or comes out of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// In whole seconds; what is below is cut off. All times but those of events are kept so.
    Time(Timestamp),
    /// In milliseconds: to be compared with `audit_event.at`.
    EventTime(Timestamp),
}

impl Value {
    /// A user name that is looked for by [`Dialect::name_key`].
    pub fn name(name: &str) -> Value {
        Value::Text(name.to_ascii_lowercase())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Int(number.into())
    }
}

/// As both databases keep it: 0 or 1.
impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Int(flag.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Value {
        Value::Time(at)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// A row of an answer. Columns are counted from 0; a column of another type than is asked for is an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(Vec<Value>);

impl Row {
    /// For stores.
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row(values)
    }

    /// The value as it came. SQLite has times as text.
    pub fn value(&self, index: usize) -> Result<&Value, Stop> {
        self.0.get(index).ok_or_else(|| Stop::Failed(StoreError::Failed(format!("a row has no column {index}"))))
    }

    pub fn opt_int(&self, index: usize) -> Result<Option<i64>, Stop> {
        match self.value(index)? {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(*number)),
            _ => Err(self.is_not(index, "a whole number")),
        }
    }

    pub fn int(&self, index: usize) -> Result<i64, Stop> {
        self.opt_int(index)?.ok_or_else(|| self.is_not(index, "a whole number"))
    }

    /// Text that is not valid UTF-8 has U+FFFD in its place.
    pub fn opt_text(&self, index: usize) -> Result<Option<String>, Stop> {
        match self.value(index)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            _ => Err(self.is_not(index, "text")),
        }
    }

    pub fn text(&self, index: usize) -> Result<String, Stop> {
        self.opt_text(index)?.ok_or_else(|| self.is_not(index, "text"))
    }

    /// Also of an event. `None`: null, or a time that no [`Timestamp`] can be.
    pub fn time(&self, index: usize) -> Result<Option<Timestamp>, Stop> {
        match self.value(index)? {
            Value::Null => Ok(None),
            Value::Text(text) if text.as_str() >= LAST && text.starts_with("9999-") => Ok(Some(Timestamp::MAX)),
            Value::Text(text) => Ok(text.parse().ok()),
            Value::Time(at) | Value::EventTime(at) => Ok(Some(*at)),
            _ => Err(self.is_not(index, "a time")),
        }
    }

    /// The time of an event as text: `2026-11-25T12:00:00.123Z`.
    pub fn moment(&self, index: usize) -> Result<String, Stop> {
        match self.value(index)? {
            Value::Text(text) => Ok(text.clone()),
            Value::Time(at) | Value::EventTime(at) => Ok(format!("{at:.3}")),
            _ => Err(self.is_not(index, "a time")),
        }
    }

    /// Of a number: whether it is not 0. Null is an error.
    pub fn flag(&self, index: usize) -> Result<bool, Stop> {
        self.int(index).map(|number| number != 0)
    }

    pub fn opt_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, Stop> {
        match self.value(index)? {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes.clone())),
            _ => Err(self.is_not(index, "bytes")),
        }
    }

    fn is_not(&self, index: usize, what: &str) -> Stop {
        let kind = match self.0.get(index) {
            Some(Value::Int(_)) => "a whole number",
            Some(Value::Text(_)) => "text",
            Some(Value::Bytes(_)) => "bytes",
            Some(Value::Time(_) | Value::EventTime(_)) => "a time",
            Some(Value::Null) | None => "null",
        };
        Stop::Failed(StoreError::Failed(format!("column {index} of a row is not {what}, but {kind}")))
    }
}

/// Why a piece of work ends early. It leaves with `?`.
#[derive(Debug)]
pub enum Stop {
    /// An answer for the caller; nothing is changed.
    Refused(AdminRefusal),
    /// The work cannot be done, and trying again would not help.
    Failed(StoreError),
    /// A statement failed. The store knows what follows from it; on PostgreSQL that mostly is another try.
    Database(Box<dyn Error + Send + Sync>),
}

impl From<AdminRefusal> for Stop {
    fn from(refusal: AdminRefusal) -> Stop {
        Stop::Refused(refusal)
    }
}

/// A refusal by the rules for seats and licenses.
impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Failed(error)
    }
}
