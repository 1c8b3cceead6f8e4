//! `seatkeeper copy` on the side of an SQLite file.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, params_from_iter};

use super::calls::record::set_triggers;
use super::check;
use super::file::companions::users;
use super::file::open::{absent, one_line, sqlite};
use super::file::schema::SCHEMA;
use super::file::temporary::{Temporary, directory_of};
use super::history::sources::Sources;
use crate::chain::Hash;
use crate::store::history::HistoryError;
use crate::store::moving::{EVENTS, MoveError, Table, Value};
use crate::store::{CheckHash, OpenError};

/// A source file, with the archives of its history.
pub(crate) struct Source {
    path: PathBuf,
    sources: Sources,
}

impl Source {
    /// Opens a database that no other program has open.
    pub(crate) fn open(path: &Path, archives: &[PathBuf]) -> Result<Source, MoveError> {
        let resolved = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let by = users(&resolved);
        if !by.is_empty() {
            let reason = format!(
                "{} has it open. Stop it first, then copy: systemctl stop seatkeeper. Nothing was copied.",
                by.join(", ")
            );
            return Err(MoveError::refused(&path.display(), reason));
        }
        let mut sources = Sources::open(path, archives)?;
        if let Some(missing) = sources.missing.pop() {
            return Err(HistoryError::Archived(sources.missing.into_iter().next().unwrap_or(missing)).into());
        }
        let source = Source { path: path.to_owned(), sources };
        // The snapshot begins with the first read.
        source.connection().execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(|e| source.failed(e))?;
        Ok(source)
    }

    fn connection(&self) -> &Connection {
        &self.sources.database().connection
    }

    fn failed(&self, error: rusqlite::Error) -> MoveError {
        sqlite(&self.path, error).into()
    }

    /// Hands over every row of a table.
    pub(crate) fn rows(
        &self,
        table: &Table,
        take: impl FnMut(&[Value]) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let sql = format!("SELECT {} FROM {}", table.all_columns(), table.name);
        self.read(self.connection(), &self.path, &sql, take)
    }

    /// Hands over every event with its hash, in the order of the chain.
    pub(crate) fn events(
        &self,
        mut take: impl FnMut(&[Value], Option<&[u8]>) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        for source in &self.sources.all {
            let sql =
                format!("SELECT {}, hash FROM audit_event WHERE id > {} ORDER BY id", EVENTS.columns, source.after);
            self.read(&source.connection, &source.path, &sql, |row| match row.split_last() {
                Some((Value::Bytes(hash), event)) => take(event, Some(hash)),
                Some((_, event)) => take(event, None),
                None => Ok(()),
            })?;
        }
        Ok(())
    }

    fn read(
        &self,
        connection: &Connection,
        path: &Path,
        sql: &str,
        mut take: impl FnMut(&[Value]) -> Result<(), MoveError>,
    ) -> Result<(), MoveError> {
        let failed = |e| MoveError::from(sqlite(path, e));
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).map_err(failed)?;
        let mut values = Vec::with_capacity(columns.len());
        while let Some(row) = rows.next().map_err(failed)? {
            values.clear();
            for (at, column) in columns.iter().enumerate() {
                let value = row.get_ref(at).map_err(failed)?;
                let Some(value) = value_of(value) else {
                    let first = row.get_ref(0).ok().and_then(value_of);
                    let reason = format!(
                        "the {column} of the row that begins with {first:?} is not valid text, which PostgreSQL cannot hold. \
                         Correct it first: see 'seatkeeper check'. Nothing was copied."
                    );
                    return Err(MoveError::refused(&path.display(), reason));
                };
                values.push(value);
            }
            take(&values)?;
        }
        Ok(())
    }

    /// Ends the snapshot; returns whether the history has grown since it began.
    pub(crate) fn has_changed(&self) -> Result<bool, MoveError> {
        let newest = || -> rusqlite::Result<Option<i64>> {
            self.connection().query_row("SELECT max(id) FROM audit_event", [], |row| row.get(0))
        };
        let then = newest().map_err(|e| self.failed(e))?;
        self.connection().execute_batch("COMMIT").map_err(|e| self.failed(e))?;
        Ok(newest().map_err(|e| self.failed(e))? != then)
    }
}

/// `None`: text that is not valid UTF-8 or has a NUL; or a real number, which no column has.
fn value_of(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(text) => {
            Value::Text(std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'))?.to_owned())
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
        ValueRef::Real(_) => return None,
    })
}

/// A new file. It gets its name when it is complete and verified.
pub(crate) struct Target {
    path: PathBuf,
    temporary: Temporary,
    connection: Connection,
}

impl Target {
    pub(crate) fn create(path: &Path) -> Result<Target, MoveError> {
        may_be_made(path)?;
        let name =
            path.file_name().ok_or_else(|| MoveError::refused(&path.display(), "this is not a name of a file"))?;
        let temporary = Temporary::create(directory_of(path), &name.to_string_lossy()).map_err(OpenError::from)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // An unfinished file is discarded, so it needs no journal and no order of rows: all of it is verified at the end.
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(temporary.path(), flags)?;
            connection.execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -131072; PRAGMA foreign_keys = OFF",
            )?;
            connection.execute_batch(SCHEMA)?;
            set_triggers(&connection, false)?;
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = open().map_err(|e| sqlite(path, e))?;
        Ok(Target { path: path.to_owned(), temporary, connection })
    }

    fn failed(&self, table: &Table, row: &[Value], error: &rusqlite::Error) -> MoveError {
        let reason = format!(
            "the row of {} that begins with {:?} cannot be written: {}. Nothing was copied.",
            table.name,
            row.first(),
            one_line(error)
        );
        MoveError::refused(&self.path.display(), reason)
    }

    pub(crate) fn row(&self, table: &Table, row: &[Value]) -> Result<(), MoveError> {
        let places = vec!["?"; row.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.all_columns());
        let insert = || self.connection.prepare_cached(&sql)?.execute(params_from_iter(row));
        insert().map(drop).map_err(|error| self.failed(table, row, &error))
    }

    pub(crate) fn event(&self, row: &[Value], hash: &Hash) -> Result<(), MoveError> {
        const INSERT: &str = "INSERT INTO audit_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let insert = || {
            let values = row.iter().map(|value| value as &dyn ToSql).chain([hash as &dyn ToSql]);
            self.connection.prepare_cached(INSERT)?.execute(params_from_iter(values))
        };
        insert().map(drop).map_err(|error| self.failed(&EVENTS, row, &error))
    }

    /// Verifies the written rows: their number, and every invariant.
    pub(crate) fn finish(self, rows: &[(&'static str, u64)], check_hash: CheckHash) -> Result<Finished, MoveError> {
        let Target { path, temporary, connection } = self;
        let failed = |e| MoveError::from(sqlite(&path, e));
        connection.execute_batch("COMMIT").map_err(failed)?;
        for (table, read) in rows {
            let count = format!("SELECT count(*) FROM {table}");
            let written: i64 = connection.query_row(&count, [], |row| row.get(0)).map_err(failed)?;
            // The event of the copy itself.
            let expected = read + u64::from(*table == EVENTS.name);
            if u64::try_from(written) != Ok(expected) {
                let reason = format!("{written} rows of {table} were written, not {expected}. Nothing was copied.");
                return Err(MoveError::refused(&path.display(), reason));
            }
        }
        connection.close().map_err(|(_, e)| failed(e))?;
        let violations = check::check(temporary.path(), check_hash)?.violations;
        if !violations.is_empty() {
            return Err(MoveError::Broken { place: path.display().to_string(), violations });
        }
        temporary.sync().map_err(OpenError::from)?;
        Ok(Finished { path, temporary })
    }
}

/// A complete and verified new file.
pub(crate) struct Finished {
    path: PathBuf,
    temporary: Temporary,
}

impl Finished {
    /// Gives it its name.
    pub(crate) fn publish(self) -> Result<(), MoveError> {
        may_be_made(&self.path)?;
        Ok(self.temporary.rename(&self.path).map_err(OpenError::from)?)
    }
}

fn may_be_made(path: &Path) -> Result<(), MoveError> {
    match absent(path).map_err(OpenError::from)? {
        Some(OpenError::Missing(_) | OpenError::Empty(_)) => Ok(()),
        Some(left) => Err(left.into()),
        None => Err(MoveError::refused(&path.display(), "exists already: name a new file. Nothing was copied.")),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
