//! Compares the history of another store with its tables: copies its rows to a temporary file, and replays its events there as
//! for this store. So one rule defines the effect of each event.
//!
//! SQLite's temporary file has the rows that do not fit into memory, and vanishes when this is dropped.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::replay::{Replay, SUBJECTS};
use super::verify::{Walk, compare};
use crate::chain::{Event, Verifier};
use crate::store::sqlite::file::schema::SCHEMA;
use crate::store::{HistoryReport, OpenError};

/// The file, with copies of the tables.
pub(in crate::store) struct Tables {
    connection: Connection,
}

/// A value of another store.
pub(in crate::store) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Tables {
    /// Makes the file, with empty tables that accept any row of another store.
    pub(in crate::store) fn new() -> Result<Tables, OpenError> {
        let make = || -> rusqlite::Result<Tables> {
            let ours = Connection::open_in_memory()?;
            ours.execute_batch(SCHEMA)?;
            let connection = Connection::open("")?;
            connection.execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; PRAGMA temp_store = FILE;
                 PRAGMA temp.cache_size = -65536; PRAGMA temp.journal_mode = OFF; BEGIN",
            )?;
            for subject in &SUBJECTS {
                let mut names = ours.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
                let names = names.query_map([subject.table], |row| row.get::<_, String>(0))?;
                let names = names.collect::<rusqlite::Result<Vec<String>>>()?;
                connection.execute_batch(&subject.make_plain(&names))?;
            }
            Ok(Tables { connection })
        };
        make().map_err(failed)
    }

    /// The tables that are compared with the history.
    #[cfg(test)]
    pub(in crate::store) fn names() -> impl Iterator<Item = &'static str> {
        SUBJECTS.iter().map(|subject| subject.table)
    }

    /// Copies a row. `columns` and `row` in the same order.
    pub(in crate::store) fn insert(&self, table: &str, columns: &[&str], row: Vec<Cell>) -> Result<(), OpenError> {
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO main.{table} ({}) VALUES ({places})", columns.join(", "));
        let values = row.into_iter().map(|cell| match cell {
            Cell::Null => Value::Null,
            Cell::Number(number) => Value::Integer(number),
            Cell::Text(text) => Value::Text(text),
            Cell::Bytes(bytes) => Value::Blob(bytes),
        });
        let insert = || self.connection.prepare_cached(&sql)?.execute(params_from_iter(values));
        insert().map(drop).map_err(failed)
    }

    /// Begins the replay with the first event.
    pub(in crate::store) fn begin(
        &self,
        verifier: Verifier,
        report: &mut HistoryReport,
    ) -> Result<Scratch<'_>, OpenError> {
        let replay = Replay::begin(&self.connection).map_err(failed)?;
        Ok(Scratch { connection: &self.connection, walk: Walk::begin(Ok(verifier), Some(replay), report) })
    }
}

/// A history that is being replayed.
pub(in crate::store) struct Scratch<'t> {
    connection: &'t Connection,
    walk: Walk<'t>,
}

impl Scratch<'_> {
    /// Verifies and replays the next event. `hash`: its stored hash; `pool_events`: the number of events of its pool, including
    /// this one.
    pub(in crate::store) fn event(
        &mut self,
        event: &Event<'_>,
        hash: Option<&[u8]>,
        pool_events: Option<i64>,
        report: &mut HistoryReport,
    ) -> Result<(), OpenError> {
        self.walk.event(event, hash, pool_events, report).map_err(failed)
    }

    /// Reports a fault of the chain that the store itself has found.
    pub(in crate::store) fn break_off(&mut self, fault: String, report: &mut HistoryReport) {
        self.walk.break_off(fault, report);
    }

    /// After the last event: compares the copies of the tables with the replayed ones.
    pub(in crate::store) fn finish(self, report: &mut HistoryReport) -> Result<(), OpenError> {
        self.walk.finish(report);
        SUBJECTS.iter().try_for_each(|subject| compare(self.connection, subject, report)).map_err(failed)
    }
}

fn failed(error: rusqlite::Error) -> OpenError {
    OpenError::Setting(format!(
        "the history cannot be held against the tables in a temporary file: {error}. Make room in /var/tmp, or name another directory with \
         the environment variable SQLITE_TMPDIR."
    ))
}
