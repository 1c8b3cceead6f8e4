//! Pieces of administrators' work on a connection: see [`crate::store::admin`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement, ToSql};

use super::calls::facts::{Caller, to_text};
use super::calls::record::{By, set_triggers, with_triggers};
use super::calls::stop::{self, caller_of_role};
use super::file::open;
use super::hand_written::BUSY_TIMEOUT;
use super::sql_error::explain;
use super::store_error;
use crate::seats::Role;
use crate::store::admin::kept::{self, Task};
use crate::store::admin::{
    Admin, AdminRefusal, AdminWork, Answer, ChangeOptions, Changed, Dialect, Row, ServiceWork, Sql, Stop, Value, run,
};
use crate::store::{Call, OpenError, StoreError};

/// Runs reads on a connection that is inside a transaction.
pub(super) fn read(
    connection: &Connection,
    call: &Call,
    least: Role,
    work: &AdminWork,
) -> Result<Result<Answer, AdminRefusal>, StoreError> {
    let answer = || work(&OnSqlite::new(connection), &admin(call, caller_of_role(connection, call, least)?));
    settle(answer())
}

/// Makes a change on the writer's connection.
pub(super) fn change(
    connection: &Connection,
    call: &Call,
    options: &ChangeOptions,
    work: &AdminWork,
) -> Result<Result<Changed<Answer>, AdminRefusal>, StoreError> {
    let change = || {
        let caller = caller_of_role(connection, call, Role::Admin)?;
        let by = By::new(call, &caller);
        let admin = admin(call, caller);
        with_triggers(connection, &by, options.reason.as_deref(), || {
            run(&OnSqlite::new(connection), &admin, options, work)
        })
    };
    connection.execute_batch("SAVEPOINT admin").map_err(store_error)?;
    let outcome = change();
    // A full disk and the like end the transaction themselves.
    if !connection.is_autocommit() {
        let is_kept = outcome.as_ref().is_ok_and(|changed| changed.kept);
        let end = if is_kept { "RELEASE admin" } else { "ROLLBACK TO admin; RELEASE admin" };
        connection.execute_batch(end).map_err(store_error)?;
    }
    settle(outcome)
}

/// Writes what only the service writes, on the writer's connection: its triggers are off.
pub(super) fn keep(connection: &Connection, work: &ServiceWork) -> Result<Result<Answer, AdminRefusal>, StoreError> {
    connection.execute_batch("SAVEPOINT kept").map_err(store_error)?;
    let outcome = work(&OnSqlite::new(connection));
    if !connection.is_autocommit() {
        let end = if outcome.is_ok() { "RELEASE kept" } else { "ROLLBACK TO kept; RELEASE kept" };
        connection.execute_batch(end).map_err(store_error)?;
    }
    settle(outcome)
}

/// See [`crate::store::note_upkeep`].
pub fn note_upkeep(path: &Path, task: Task, at: Timestamp, detail: &str) -> Result<(), OpenError> {
    let connection = open::admin(path, BUSY_TIMEOUT, false)?;
    let write = || {
        set_triggers(&connection, false).map_err(store_error)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(store_error)?;
        settle(kept::note_upkeep(&OnSqlite::new(&connection), task, at, detail)).map(drop)?;
        connection.execute_batch("COMMIT").map_err(store_error)
    };
    write().map_err(|error| OpenError::Failed { path: path.to_owned(), reason: error.to_string() })
}

fn admin(call: &Call, caller: Caller) -> Admin {
    let Caller { name, role, entity_id } = caller;
    Admin { name, role, entity_id, now: call.now, request_id: call.id }
}

/// The refusal and the failure apart again.
fn settle<T>(outcome: Result<T, Stop>) -> Result<Result<T, AdminRefusal>, StoreError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Database(error)) => Err(match error.downcast() {
            Ok(error) => store_error(*error),
            Err(error) => StoreError::Failed(error.to_string()),
        }),
    }
}

impl From<stop::Stop> for Stop {
    fn from(stop: stop::Stop) -> Stop {
        match stop {
            stop::Stop::Refused(refusal) => refusal.into(),
            stop::Stop::Failed(error) => error.into(),
        }
    }
}

/// A guard's refusal is an answer; every other error is a failure.
impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        let is_guard = match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => true,
            // The schema's way to say a number; see license_pool_change.
            Some(ErrorCode::Unknown) => error.to_string().contains("bad JSON path: '"),
            _ => false,
        };
        match is_guard {
            true => Stop::Refused(AdminRefusal::Guard(explain(&error))),
            false => Stop::Database(Box::new(error)),
        }
    }
}

/// A connection that is inside a transaction. Statements are kept as long as the call: in the cache of the connection they would take
/// the places of those that every call needs.
struct OnSqlite<'c> {
    connection: &'c Connection,
    statements: RefCell<HashMap<String, Statement<'c>>>,
}

/// Statements of one call that are kept at most.
const STATEMENTS_MAX: usize = 64;

impl<'c> OnSqlite<'c> {
    fn new(connection: &'c Connection) -> OnSqlite<'c> {
        OnSqlite { connection, statements: RefCell::default() }
    }

    /// Runs a statement with its values bound.
    fn run<T>(
        &self,
        text: &str,
        values: &[Value],
        run: impl FnOnce(&mut Statement<'c>) -> rusqlite::Result<T>,
    ) -> Result<T, Stop> {
        let kept = self.statements.borrow_mut().remove(text);
        let mut statement = kept.map_or_else(|| self.connection.prepare(text), Ok)?;
        bind(&mut statement, values)?;
        let done = run(&mut statement)?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() < STATEMENTS_MAX {
            statements.insert(text.to_owned(), statement);
        }
        Ok(done)
    }
}

impl Sql for OnSqlite<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn rows(&self, text: &str, values: &[Value]) -> Result<Vec<Row>, Stop> {
        self.run(text, values, |statement| {
            let columns = statement.column_count();
            let mut rows = statement.raw_query();
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(Row::new(
                    (0..columns).map(|index| Ok(value(row.get_ref(index)?))).collect::<rusqlite::Result<_>>()?,
                ));
            }
            Ok(found)
        })
    }

    fn change(&self, text: &str, values: &[Value]) -> Result<u64, Stop> {
        self.run(text, values, |statement| Ok(statement.raw_execute()? as u64))
    }

    fn attempt(&self, steps: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Result<(), AdminRefusal>, Stop> {
        self.connection.execute_batch("SAVEPOINT attempt")?;
        let done = steps();
        match done {
            Ok(()) => self.connection.execute_batch("RELEASE attempt")?,
            Err(_) if self.connection.is_autocommit() => {}
            Err(_) => self.connection.execute_batch("ROLLBACK TO attempt; RELEASE attempt")?,
        }
        match done {
            Ok(()) => Ok(Ok(())),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(stop) => Err(stop),
        }
    }
}

/// Binds `$1`, `$2`, …, which SQLite takes for names: one that occurs twice is one parameter.
fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<(), Stop> {
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).unwrap_or_default().to_owned();
        let number: Option<usize> = name.strip_prefix('$').and_then(|number| number.parse().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?)).ok_or_else(|| {
            Stop::Failed(StoreError::Failed(format!("a statement has no value for its parameter {name}")))
        })?;
        statement.raw_bind_parameter(index, Bound(value))?;
    }
    Ok(())
}

struct Bound<'v>(&'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput::{Borrowed, Owned};
        Ok(match self.0 {
            Value::Null => Borrowed(ValueRef::Null),
            Value::Int(number) => Borrowed(ValueRef::Integer(*number)),
            Value::Text(text) => Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Bytes(bytes) => Borrowed(ValueRef::Blob(bytes)),
            Value::Time(at) => Owned(to_text(*at).into()),
            Value::EventTime(at) => Owned(format!("{at:.3}").into()),
        })
    }
}

/// Tables are STRICT and have no column of real numbers.
fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Text(number.to_string()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}
