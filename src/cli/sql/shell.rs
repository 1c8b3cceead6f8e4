//! Runs one statement: prints its rows, counts what it changes, and explains why it failed.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, Statement};

use super::output::{Rows, Style};
use super::script::{Change, Piece, Verb, place, values_rows};
use crate::cli::table::printable;
use crate::cli::{CannotRun, Failure};
use crate::store::sqlite::{self, AdminConnection, Author};

pub(super) struct Shell {
    pub connection: AdminConnection,
    /// The name under which changes are made.
    pub author: Option<Author>,
    pub style: Cell<Style>,
    /// Whether wide changes are made without a question.
    pub yes: bool,
    /// Whether the counts of changed rows are left out.
    pub quiet: bool,
}

/// Which changes are wide: they need a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caution {
    /// Of a person: several rows without a condition, or more rows than a person means.
    Person,
    /// Of a script: several rows of a table of the service without a condition.
    Script,
    /// Of a person that has confirmed a change of so many rows: another number of rows.
    Confirmed(u64),
    None,
}

/// The most rows of a change that a person makes without a question.
const ROWS_UNASKED: u64 = 20;

/// The rows that a statement has changed, without those that triggers have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    pub verb: Verb,
    pub rows: u64,
}

impl Changed {
    /// As a sentence.
    pub(super) fn told(self) -> String {
        match (self.rows, self.verb) {
            (0, Verb::Insert) => "no row added".to_owned(),
            (0, _) => "no row matches".to_owned(),
            (rows, verb) => format!("{} {}", counted(rows, "row"), verb.done()),
        }
    }
}

/// `1 row`, `2 rows`.
pub(super) fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub changed: Option<Changed>,
    /// The number of rows that a query returned.
    pub found: Option<u64>,
}

/// Why a statement was not run, or not kept.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The error as text for the user; `at`: its position in the statement.
    Refused { why: String, at: Option<usize>, is_busy: bool },
    /// A wide change, which was undone.
    Wide(Changed),
    /// The rows could not be written.
    Output(std::io::Error),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Trouble::Output(error)
    }
}

/// The inner error of a statement, before it is explained.
enum Raw {
    Sql(rusqlite::Error),
    Wide(Changed),
    Output(std::io::Error),
}

impl From<rusqlite::Error> for Raw {
    fn from(error: rusqlite::Error) -> Self {
        Raw::Sql(error)
    }
}

impl From<std::io::Error> for Raw {
    fn from(error: std::io::Error) -> Self {
        Raw::Output(error)
    }
}

impl Shell {
    /// Runs a statement. A wide change is undone and returned as an error. `is_secret`: no word of the statement may be in an error.
    pub(super) fn run(&self, sql: &str, caution: Caution, is_secret: bool) -> Result<Done, Trouble> {
        let change = Change::of(sql);
        let work = || self.step(sql, change.as_ref(), caution);
        let can_be_wide = |change: &Change| change.verb != Verb::Insert && caution != Caution::None;
        let done = match (&change, &self.author) {
            (Some(_), Some(author)) => self.connection.in_the_name_of(author, work),
            (Some(change), None) if can_be_wide(change) => self.in_savepoint("wide", work),
            _ => work(),
        };
        let (done, rows) = done.map_err(|error| match error {
            Raw::Sql(error) => self.refused(&error, is_secret),
            Raw::Wide(changed) => Trouble::Wide(changed),
            Raw::Output(error) => Trouble::Output(error),
        })?;
        std::io::Write::write_all(&mut std::io::stdout().lock(), &rows)?;
        Ok(done)
    }

    pub(super) fn refused(&self, error: &rusqlite::Error, is_secret: bool) -> Trouble {
        let known = self.connection.explain_lock(error).or_else(|| self.connection.explain_denied(error));
        let why = match known {
            Some(known) => known,
            None if is_secret => sqlite::explain_discreetly(error),
            None => sqlite::explain(error),
        };
        let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        Trouble::Refused { why: printable(&why), at: sqlite::offset(error), is_busy }
    }

    /// Runs work that is undone if it fails. If no transaction is open, it is one of its own.
    pub(super) fn in_savepoint<T, E: From<rusqlite::Error>>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.connection.execute_batch(&format!("SAVEPOINT {name}"))?;
        let done = work();
        // A failure may have ended the transaction.
        if !self.connection.is_autocommit() {
            let undo = if done.is_err() { format!("ROLLBACK TO {name}; ") } else { String::new() };
            let released = self.connection.execute_batch(&format!("{undo}RELEASE {name}"));
            if let (Err(error), true) = (released, done.is_ok()) {
                // The end of a transaction, which was refused as a whole: it is still open.
                self.connection.execute_batch(&format!("ROLLBACK TO {name}; RELEASE {name}"))?;
                return Err(error.into());
            }
        }
        done
    }

    /// The second value: the rows of RETURNING, which are shown only if the change is kept.
    fn step(&self, sql: &str, change: Option<&Change>, caution: Caution) -> Result<(Done, Vec<u8>), Raw> {
        let mut statement = self.connection.prepare(sql)?;
        let Some(change) = change else {
            let found = print(&mut statement, self.style.get(), std::io::stdout().lock())?;
            return Ok((Done { changed: None, found }, Vec::new()));
        };
        let mut rows = Vec::new();
        print(&mut statement, self.style.get(), &mut rows)?;
        let changed = Changed { verb: change.verb, rows: self.connection.changes() };
        if self.is_wide(change, changed.rows, caution) {
            return Err(Raw::Wide(changed));
        }
        Ok((Done { changed: Some(changed), found: None }, rows))
    }

    fn is_wide(&self, change: &Change, rows: u64, caution: Caution) -> bool {
        let has_no_condition = !change.has_where && rows > 1;
        change.verb != Verb::Insert
            && match caution {
                Caution::Person => has_no_condition || rows > ROWS_UNASKED,
                Caution::Script => has_no_condition && self.connection.is_ours(&change.table),
                Caution::Confirmed(confirmed) => rows != confirmed,
                Caution::None => false,
            }
    }

    /// What failed, and where: the line, the statement, and the row of its VALUES. `source`: the name of a file, if it is not the
    /// only one.
    pub(super) fn told(
        &self,
        piece: &Piece<'_>,
        source: Option<&str>,
        trouble: &Trouble,
        is_secret: bool,
    ) -> Option<String> {
        let (why, at) = match trouble {
            Trouble::Output(_) => return None,
            Trouble::Wide(changed) => (wide(piece.text, *changed), None),
            Trouble::Refused { why, at, .. } => (why.clone(), *at),
        };
        let mut text = source.map_or_else(String::new, |source| format!("{source}, "));
        text += &format!("line {}, statement {}", piece.line, piece.number);
        let failed_row = match (trouble, at) {
            (Trouble::Refused { is_busy: false, .. }, None) => self.failed_row(piece.text, &why, is_secret),
            _ => None,
        };
        if let Some((row, at)) = failed_row {
            text += &format!(", row {row} of the VALUES");
            let (line, _) = place(piece, at);
            if line != piece.line {
                text += &format!(" (line {line})");
            }
        }
        text += &format!(": {why}");
        if let Some((line, Some(column))) = at.map(|at| place(piece, at)) {
            text += &format!(" (line {line}, column {column})");
        }
        Some(text)
    }

    /// The number and position of the row that makes an `INSERT … VALUES` fail for this reason.
    fn failed_row(&self, sql: &str, why: &str, is_secret: bool) -> Option<(usize, usize)> {
        /// Each `hash_password` takes a while.
        const TIME_MAX: Duration = Duration::from_secs(5);
        let rows = values_rows(sql);
        if rows.is_empty() {
            return None;
        }
        let begun = Instant::now();
        let mut found = None;
        let _: Result<(), Raw> = self.in_savepoint("failed_row", || {
            for (number, row) in (1..).zip(&rows).take_while(|_| begun.elapsed() < TIME_MAX) {
                let ran = self.connection.prepare(&row.statement).map_err(Raw::from);
                let ran = ran.and_then(|mut statement| print(&mut statement, self.style.get(), std::io::sink()));
                if let Err(Raw::Sql(error)) = ran {
                    let same =
                        matches!(self.refused(&error, is_secret), Trouble::Refused { why: again, .. } if again == why);
                    // An error in the number of values reads differently for one row.
                    let is_of_form =
                        !matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.code != ErrorCode::Unknown);
                    found = (same || is_of_form).then_some((number, row.at));
                    break;
                }
            }
            // Undone in any case.
            Err(Raw::Output(std::io::ErrorKind::Other.into()))
        });
        found
    }
}

/// Why a wide change of a script was not made.
fn wide(sql: &str, changed: Changed) -> String {
    let rows = counted(changed.rows, "row");
    let table = Change::of(sql).map(|change| change.table).unwrap_or_default();
    let would = match changed.verb {
        Verb::Delete => "delete",
        Verb::Insert | Verb::Update => "change",
    };
    format!(
        "this {} has no WHERE and would {would} {rows} of {}; if that is meant, give --yes",
        changed.verb.word(),
        printable(&table)
    )
}

/// Steps through a statement and writes its rows; returns their number, or nothing for a statement without columns.
fn print(statement: &mut Statement<'_>, style: Style, out: impl std::io::Write) -> Result<Option<u64>, Raw> {
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let columns = names.len();
    let mut rows = statement.raw_query();
    if columns == 0 {
        while rows.next()?.is_some() {}
        return Ok(None);
    }
    // The first row is read before the header is written: a statement that fails at once writes nothing.
    let mut row = rows.next()?;
    let mut written = Rows::begin(style, names, std::io::BufWriter::new(out))?;
    let mut found = 0;
    while let Some(values) = row {
        let values = (0..columns).map(|i| values.get_ref(i)).collect::<rusqlite::Result<Vec<ValueRef<'_>>>>()?;
        written.row(&values)?;
        found += 1;
        row = rows.next()?;
    }
    written.end()?;
    Ok(Some(found))
}

/// A failed statement as the failure of the command: a database that is locked could not be used.
pub(super) fn failure(trouble: Trouble, text: impl FnOnce() -> String) -> Failure {
    match trouble {
        Trouble::Output(error) => error.into(),
        Trouble::Refused { is_busy: true, .. } => CannotRun(text()).into(),
        Trouble::Refused { .. } | Trouble::Wide(_) => text().into(),
    }
}
