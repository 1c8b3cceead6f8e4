//! Replays the history: applies each event to tables with the same columns, `temp.past_…`, in a temporary file. They have the
//! rows of the tables after the newest applied event.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ErrorCode, params};

use super::chain;
use crate::chain::Event;

/// A table whose changes write events.
pub(crate) struct Subject {
    /// The beginning of its actions: `pool` of `pool-create`.
    pub name: &'static str,
    pub table: &'static str,
    /// The columns that identify a row.
    pub key: &'static [&'static str],
    /// Columns that events do not record: kept by the database, or secret.
    untold: &'static [&'static str],
}

/// Every table that administrators or calls change, except tickets.
pub(crate) const SUBJECTS: [Subject; 7] = [
    Subject { name: "entity", table: "entity", key: &["id"], untold: &[] },
    Subject { name: "credential", table: "credential", key: &["user_name"], untold: &["password_hash"] },
    Subject { name: "account", table: "account", key: &["id"], untold: &[] },
    Subject { name: "pool", table: "license_pool", key: &["id"], untold: &[] },
    Subject { name: "seat", table: "seat", key: &["pool_id", "seat_no"], untold: &[] },
    Subject { name: "offer", table: "license_offer", key: &["entity_id"], untold: &[] },
    Subject { name: "offer-module", table: "license_offer_module", key: &["entity_id", "license_type"], untold: &[] },
];

/// Columns that follow from the events themselves, not from their values: of pools, then of seats.
const COUNTED: [&str; 5] = ["seats_in_use", "seats_in_use_max", "event_id", "events", "account_id"];

/// Why an event could not be applied.
pub(crate) enum NotApplied {
    /// The event is invalid; says why.
    Event(String),
    /// The temporary file could not be written, or the database could not be read.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for NotApplied {
    fn from(error: rusqlite::Error) -> NotApplied {
        match &error {
            // An SQLite function rejected a value, such as malformed JSON.
            rusqlite::Error::SqliteFailure(code, Some(message)) if code.code == ErrorCode::Unknown => {
                NotApplied::Event(format!("its values cannot be read: {message}"))
            }
            // A key that is null.
            rusqlite::Error::SqliteFailure(code, _) if code.code == ErrorCode::ConstraintViolation => {
                NotApplied::Event("it does not say which row it is about".to_owned())
            }
            _ => NotApplied::Failed(error),
        }
    }
}

/// The replayed tables.
pub(crate) struct Replay<'c> {
    connection: &'c Connection,
    statements: Vec<Statements>,
}

/// The statements of one subject. Parameters: 1 and 2 are the key, 3 and 4 the old and new values, 5 the event.
struct Statements {
    name: &'static str,
    create: String,
    change: String,
    /// For a row that is changed although no event created it.
    unborn: String,
    delete: String,
}

impl<'c> Replay<'c> {
    /// Makes the empty tables. The connection may be read-only.
    pub(crate) fn begin(connection: &'c Connection) -> rusqlite::Result<Replay<'c>> {
        let mut statements = Vec::new();
        for subject in &SUBJECTS {
            let columns = subject.columns(connection)?;
            connection.execute_batch(&subject.make(&columns))?;
            statements.push(subject.statements(&columns));
        }
        Ok(Replay { connection, statements })
    }

    /// Applies the next event.
    pub(crate) fn apply(&self, event: &Event<'_>) -> Result<(), NotApplied> {
        let action = std::str::from_utf8(event.action).unwrap_or_default();
        match (action, action.rsplit_once('-')) {
            ("assign", _) => self.hold(event, event.account_id, 1)?,
            ("release", _) => self.hold(event, None, -1)?,
            // Moved events are applied from their file, and a copy includes its events.
            ("archive" | "copy", _) => return Ok(()),
            (_, Some(("seat", "change"))) => self.change_seat(event)?,
            (_, Some((name, verb))) => self.change(event, name, verb)?,
            _ => return Err(unknown(action)),
        }
        if let Some(pool_id) = event.pool_id {
            self.run(
                "UPDATE past_license_pool SET event_id = ?2, events = ?3 WHERE id = ?1",
                params![pool_id, event.id, event.pool_events],
            )?;
        }
        Ok(())
    }

    /// A seat gets or loses its holder.
    fn hold(&self, event: &Event<'_>, account_id: Option<i64>, difference: i64) -> Result<(), NotApplied> {
        let sql = "UPDATE past_seat SET account_id = ?3 WHERE pool_id = ?1 AND seat_no = ?2";
        if self.run(sql, params![event.pool_id, event.seat_no, account_id])? == 0 {
            return Err(no_seat(event));
        }
        let count = "UPDATE past_license_pool SET seats_in_use = seats_in_use + ?2,
                            seats_in_use_max = max(seats_in_use_max, seats_in_use + ?2) WHERE id = ?1";
        self.run(count, params![event.pool_id, difference])?;
        Ok(())
    }

    fn change_seat(&self, event: &Event<'_>) -> Result<(), NotApplied> {
        match self.run_for(event, &self.statements("seat", "seat-change")?.change)? {
            0 => Err(no_seat(event)),
            _ => Ok(()),
        }
    }

    fn change(&self, event: &Event<'_>, name: &str, verb: &str) -> Result<(), NotApplied> {
        let statements = self.statements(name, &format!("{name}-{verb}"))?;
        let seats_before = if name == "pool" { self.seats_total(event)? } else { 0 };
        match verb {
            "create" => self.run_for(event, &statements.create)?,
            "change" if self.run_for(event, &statements.change)? == 0 => self.run_for(event, &statements.unborn)?,
            "change" => 1,
            "delete" => self.run_for(event, &statements.delete)?,
            _ => return Err(unknown(&format!("{name}-{verb}"))),
        };
        match (name, verb) {
            // An id may be reused.
            ("pool", "create") => {
                self.run("DELETE FROM past_seat WHERE pool_id = ?1", params![event.pool_id])?;
                self.resize(event, self.seats_total(event)?)
            }
            ("pool", "change") => self.resize(event, self.seats_total(event)? - seats_before),
            ("pool", "delete") => {
                self.run("DELETE FROM past_seat WHERE pool_id = ?1", params![event.pool_id])?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn seats_total(&self, event: &Event<'_>) -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce(max(seats_total), 0) FROM past_license_pool WHERE id = ?1";
        self.connection.prepare_cached(sql)?.query_row([event.pool_id], |row| row.get(0))
    }

    /// Like the triggers of `license_pool`: new seats follow the last one, and the last free seats are removed.
    fn resize(&self, event: &Event<'_>, difference: i64) -> Result<(), NotApplied> {
        let sql = match difference {
            0 => return Ok(()),
            1.. => {
                "INSERT INTO past_seat (pool_id, seat_no)
                 SELECT ?1, n + last
                   FROM (SELECT coalesce(max(seat_no), 0) AS last FROM past_seat WHERE pool_id = ?1),
                        (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?2) SELECT n FROM number)"
            }
            _ => {
                "DELETE FROM past_seat
                  WHERE pool_id = ?1
                    AND seat_no IN (SELECT seat_no FROM past_seat WHERE pool_id = ?1 AND account_id IS NULL
                                     ORDER BY seat_no DESC LIMIT -?2)"
            }
        };
        self.run(sql, params![event.pool_id, difference])?;
        Ok(())
    }

    fn statements(&self, name: &str, action: &str) -> Result<&Statements, NotApplied> {
        self.statements.iter().find(|statements| statements.name == name).ok_or_else(|| unknown(action))
    }

    fn run(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(values)
    }

    fn run_for(&self, event: &Event<'_>, sql: &str) -> rusqlite::Result<usize> {
        let (text, number) = (chain::of_text, chain::of_number);
        let action = event.action;
        let (first, second) = match action {
            _ if action.starts_with(b"credential") => (text(event.username), number(None)),
            _ if action.starts_with(b"account") => (number(event.account_id), number(None)),
            _ if action.starts_with(b"pool") => (number(event.pool_id), number(None)),
            _ if action.starts_with(b"seat") => (number(event.pool_id), number(event.seat_no)),
            _ => (number(event.entity_id), text(event.license_type)),
        };
        let values = [first, second, text(event.old_values), text(event.new_values), number(Some(event.id))];
        let mut statement = self.connection.prepare_cached(sql)?;
        for (index, value) in (1..=statement.parameter_count()).zip(values) {
            statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value))?;
        }
        statement.raw_execute()
    }
}

fn unknown(action: &str) -> NotApplied {
    NotApplied::Event(format!("its action '{action}' is none that this program knows"))
}

fn no_seat(event: &Event<'_>) -> NotApplied {
    let shown = |number: Option<i64>| number.map_or("null".to_owned(), |number| number.to_string());
    let (seat_no, pool_id) = (shown(event.seat_no), shown(event.pool_id));
    NotApplied::Event(format!("by the events before it pool {pool_id} has no seat {seat_no}"))
}

impl Subject {
    /// The columns that are compared with the history, apart from the key.
    pub(crate) fn columns(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT name FROM main.pragma_table_info(?1) ORDER BY cid")?;
        let names = statement.query_map([self.table], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let is_held = |name: &String| !self.untold.contains(&name.as_str()) && !self.key.contains(&name.as_str());
        Ok(names.into_iter().filter(is_held).collect())
    }

    /// Makes the empty table. `born`: the event that created the row; null: no event created it.
    fn make(&self, columns: &[String]) -> String {
        let key: Vec<String> = self.key.iter().map(|name| format!("{name} {} NOT NULL", self.key_type(name))).collect();
        let columns: Vec<String> = columns
            .iter()
            .map(|name| format!("{name} ANY{}", if COUNTED[..2].contains(&name.as_str()) { " DEFAULT 0" } else { "" }))
            .collect();
        format!(
            "CREATE TABLE temp.past_{} ({}, {}, born INTEGER, PRIMARY KEY ({})) STRICT, WITHOUT ROWID",
            self.table,
            key.join(", "),
            columns.join(", "),
            self.key.join(", ")
        )
    }

    /// Makes the empty table itself, without constraints other than its key.
    pub(crate) fn make_plain(&self, columns: &[String]) -> String {
        let column = |name: &String| match self.key.contains(&name.as_str()) {
            true => format!("{name} {}", self.key_type(name)),
            false => format!("{name} ANY"),
        };
        let columns = columns.iter().map(column).collect::<Vec<_>>().join(", ");
        format!(
            "CREATE TABLE main.{} ({columns}, PRIMARY KEY ({})) STRICT, WITHOUT ROWID",
            self.table,
            self.key.join(", ")
        )
    }

    /// As in the table itself: with other types SQLite would not search by the key, but compare every row.
    fn key_type(&self, name: &str) -> &'static str {
        match name {
            "user_name" => "TEXT COLLATE NOCASE",
            "license_type" => "TEXT",
            _ => "INTEGER",
        }
    }

    fn statements(&self, columns: &[String]) -> Statements {
        let table = format!("past_{}", self.table);
        let told: Vec<&str> = columns.iter().map(String::as_str).filter(|name| !COUNTED.contains(name)).collect();
        let list = |of: &dyn Fn(&str) -> String| told.iter().map(|name| of(name)).collect::<Vec<_>>().join(", ");
        let keys = self.key.join(", ");
        let parameters = if self.key.len() == 1 { "?1" } else { "?1, ?2" };
        let is_key =
            self.key.iter().zip(1..).map(|(name, n)| format!("{name} = ?{n}")).collect::<Vec<_>>().join(" AND ");
        let insert = |born: &str| {
            let values = list(&|name| format!("json_extract(?4, '$.{name}')"));
            format!("INTO {table} ({keys}, {}, born) VALUES ({parameters}, {values}, {born})", told.join(", "))
        };
        // A column that is only among the old values is null now.
        let set = list(&|name| {
            format!(
                "{name} = CASE WHEN json_type(?4, '$.{name}') IS NOT NULL THEN json_extract(?4, '$.{name}')
                               WHEN json_type(?3, '$.{name}') IS NULL THEN {name} END"
            )
        });
        let change = match self.name {
            // By the old name, if the change gives it a new one.
            "credential" => format!(
                "UPDATE {table} SET {set}, user_name = ?1 WHERE user_name = coalesce(json_extract(?3, '$.user_name'), ?1)"
            ),
            _ => format!("UPDATE {table} SET {set} WHERE {is_key}"),
        };
        Statements {
            name: self.name,
            create: format!("INSERT OR REPLACE {}", insert("?5")),
            change,
            unborn: format!("INSERT {}", insert("NULL")),
            delete: format!("DELETE FROM {table} WHERE {is_key}"),
        }
    }
}
