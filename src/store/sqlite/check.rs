//! Verifies a file: the schema, the pages, and every invariant of the rows.
//!
//! `seatkeeper check` and the start of the service verify all of it, on connections that change nothing; see
//! [`super::file::inspect`]. [`background`] verifies it while the service runs.

pub(super) mod background;
mod constraints;
mod invariants;

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, Row, ffi};

use invariants::{CLEARED, TOLERATED};
pub use invariants::{INVARIANTS, add_functions};

use super::file::companions::{file_of, parked};
use super::file::inspect::{Look, has_hot_journal, look};
use super::file::open::{connect, foresee, one_line, sqlite};
use super::file::origin;
use super::file::schema::{self, Contents, SCHEMA_VERSION, differences};
use super::hand_written::BUSY_TIMEOUT;
use crate::store::{CheckHash, Checked, OpenError, Violation};

/// The most rows named for one invariant: enough to see the cause.
const ROWS_MAX: usize = 20;
/// The number of connections that verify; each keeps a core busy.
const CONNECTIONS_MAX: usize = 4;

const FILE: &str = "the file is sound (PRAGMA integrity_check)";
const SCHEMA_IS_OURS: &str = "the schema is the one this program made";
const HASHES: &str = "credentials have a password hash that can be verified";

/// One step of a verification.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Verifies the pages and indexes, and the types of values.
    File,
    /// Verifies the tables, indexes, views and triggers of the schema.
    Schema(&'static str),
    /// Verifies the CHECK constraints of this schema.
    Constraints(&'static str),
    /// A query that must return nothing.
    Invariant(&'static str, &'static str),
    /// Verifies references between tables, for a version whose invariants are not known.
    References,
    Hashes(CheckHash),
}

/// See [`crate::store::check`].
pub fn check(path: &Path, check_hash: CheckHash) -> Result<Checked, OpenError> {
    look(path, |look| {
        origin::check(path)?;
        let contents = look.connection().and_then(|connection| schema::contents(&connection, path));
        let version = match contents {
            Ok(Contents::Nothing) => return Err(OpenError::Empty(path.to_owned())),
            Ok(Contents::Ours { version, .. }) => version,
            // A file that SQLite cannot read is damaged. A readable file that is not ours is not checked.
            Err(OpenError::Unreadable { reason, .. }) => {
                let violations = vec![Violation { invariant: FILE, row: reason }];
                return Ok(Checked { version: SCHEMA_VERSION, violations });
            }
            Err(error) => return Err(error),
        };
        Ok(Checked { version, violations: run(look, path, &steps(version, check_hash))? })
    })
}

/// The largest first, so that they do not run alone at the end.
fn steps(version: i32, check_hash: CheckHash) -> Vec<Step> {
    let schema = schema::of_version(version).unwrap_or(schema::SCHEMA);
    if version < SCHEMA_VERSION {
        return vec![Step::File, Step::Schema(schema), Step::Constraints(schema), Step::References];
    }
    let invariants = INVARIANTS.iter().map(|(name, query)| Step::Invariant(name, query));
    let first = [Step::File, Step::Constraints(schema), Step::Schema(schema)];
    first.into_iter().chain(invariants).chain([Step::Hashes(check_hash)]).collect()
}

/// Runs the steps on several connections; returns the violations in the order of the steps.
fn run(look: &Look<'_>, path: &Path, steps: &[Step]) -> Result<Vec<Violation>, OpenError> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(CONNECTIONS_MAX));
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), OpenError> {
        let connection = look.connection()?;
        prepare(&connection).map_err(|e| sqlite(path, e))?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(step) = steps.get(number) else { return Ok(()) };
            let violations = step.violations(&connection).map_err(|e| not_verified(path, e))?;
            found.lock().unwrap_or_else(PoisonError::into_inner).push((number, violations));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().flat_map(|(_, violations)| violations).collect())
}

/// The settings for the queries of a verification. They sort data that grows with the history, so they sort in files: otherwise
/// memory would grow too.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    add_functions(connection)?;
    connection.pragma_update(None, "temp_store", "FILE")
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::File => FILE,
            Step::Schema(_) => SCHEMA_IS_OURS,
            Step::Constraints(_) => "every value is one that its column may have",
            Step::Invariant(name, _) => name,
            Step::References => "rows that others refer to exist (PRAGMA foreign_key_check)",
            Step::Hashes(_) => HASHES,
        }
    }

    /// # Errors
    ///
    /// Errors that prove nothing about the file: another program holds it, or memory ran out. Any other error is a violation.
    fn violations(self, connection: &Connection) -> rusqlite::Result<Vec<Violation>> {
        let rows = match self {
            Step::File => whole_file(connection),
            Step::Schema(schema) => differences(connection, schema),
            Step::Constraints(schema) => broken_constraints(connection, schema),
            Step::Invariant(_, query) => texts(connection, query),
            Step::References => texts(
                connection,
                "SELECT \"table\" || ', row ' || coalesce(rowid, 'without a number') FROM pragma_foreign_key_check",
            ),
            Step::Hashes(check_hash) => unusable_hashes(connection, check_hash),
        };
        violations(self.name(), rows)
    }
}

fn not_verified(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => OpenError::Failed {
            path: path.to_owned(),
            reason: format!(
                "it cannot be verified, because its rows cannot be sorted: {}. Make room for temporary files in /var/tmp, or name another \
                 directory for them with the environment variable SQLITE_TMPDIR.",
                one_line(&error)
            ),
        },
        _ => sqlite(path, error),
    }
}

/// The violations that a query found, or that the rows cannot be read.
fn violations(invariant: &'static str, rows: rusqlite::Result<Vec<String>>) -> rusqlite::Result<Vec<Violation>> {
    match rows {
        Ok(rows) => Ok(rows.into_iter().map(|row| Violation { invariant, row }).collect()),
        Err(error) if is_damage(&error) => {
            Ok(vec![Violation { invariant, row: format!("it cannot be verified: {}", one_line(&error)) }])
        }
        Err(error) => Err(error),
    }
}

/// Whether an error of a query says that the file is damaged. A verification writes only its own temporary files.
fn is_damage(error: &rusqlite::Error) -> bool {
    const OF_TEMPORARY_FILES: [i32; 4] =
        [ffi::SQLITE_IOERR_GETTEMPPATH, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_TRUNCATE, ffi::SQLITE_IOERR_DELETE];
    let is_of_temporary_file =
        error.sqlite_extended_error_code().is_some_and(|code| OF_TEMPORARY_FILES.contains(&code));
    !is_of_temporary_file
        && !matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::CannotOpen
                    | ErrorCode::DiskFull
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::ReadOnly
            )
        )
}

fn broken_constraints(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    for query in constraints::queries(schema)? {
        found.append(&mut texts(connection, &query)?);
    }
    Ok(found)
}

fn unusable_hashes(connection: &Connection, check_hash: CheckHash) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT user_name, password_hash FROM credential")?;
    let rows = statement.query_map([], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (user_name, hash) = row?;
        if let Err(reason) = check_hash(&hash) {
            found.push(format!("credential '{user_name}': {reason}"));
        }
    }
    Ok(found)
}

fn texts(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(query)?.query_map([], |row| text(row, 0))?.take(ROWS_MAX).collect()
}

/// A text that may be invalid, on one line: a check that stopped at the first bad name would find nothing else.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    let text = String::from_utf8_lossy(row.get_ref(index)?.as_bytes()?).into_owned();
    Ok(text.replace(|c: char| c.is_control(), " "))
}

/// See [`crate::store::verify`].
pub fn verify(path: &Path, check_hash: CheckHash) -> Result<Vec<Violation>, OpenError> {
    foresee(path)?;
    if has_hot_journal(path) {
        // A read makes SQLite undo the interrupted write.
        let connection = connect(path, BUSY_TIMEOUT, false)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(|e| sqlite(path, e))?;
    }
    let violations = check(path, check_hash)?.violations;
    let (tolerated, broken): (Vec<_>, Vec<_>) = violations
        .into_iter()
        .filter(|v| !CLEARED.contains(&v.invariant))
        .partition(|v| TOLERATED.contains(&v.invariant));
    match broken.first() {
        None => Ok(tolerated),
        Some(first) if broken.iter().all(|violation| violation.invariant == SCHEMA_IS_OURS) => {
            Err(OpenError::Tampered { path: path.to_owned(), what: first.row.clone() })
        }
        Some(_) => Err(OpenError::Damaged { path: path.to_owned(), violations: broken }),
    }
}

/// The steps of a verification during service, each in a snapshot of its own, which lasts as long as one table or one invariant
/// takes. Leaves out the invariants that the service tolerates.
pub(super) fn while_serving(connection: &Connection) -> rusqlite::Result<Vec<Bounded>> {
    prepare(connection)?;
    let tables = texts(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")?;
    let tables = ["sqlite_schema".to_owned()].into_iter().chain(tables).map(Bounded::Table);
    let invariants = steps(SCHEMA_VERSION, |_| Ok(())).into_iter();
    let invariants = invariants.filter(|step| match step {
        Step::File | Step::Hashes(_) => false,
        step => !TOLERATED.contains(&step.name()) && !CLEARED.contains(&step.name()),
    });
    Ok(tables.chain(invariants.map(Bounded::Step)).collect())
}

/// See [`while_serving`].
pub(super) enum Bounded {
    Table(String),
    Step(Step),
}

impl Bounded {
    /// As [`Step::violations`].
    pub(super) fn violations(&self, connection: &Connection) -> rusqlite::Result<Vec<Violation>> {
        match self {
            Bounded::Table(name) => violations(FILE, sound(connection, Some(name))),
            Bounded::Step(step) => step.violations(connection),
        }
    }
}

/// Errors in the header that SQLite does not report: a file that it would not write, and texts that are not UTF-8.
fn header(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut header = [0; 20];
    let file = parked(&file_of(connection)?);
    let is_read = file.and_then(|file| file.read_exact_at(&mut header, 0)).is_ok();
    // Byte 18 is the version of the format for programs that write: 1 with a rollback journal, 2 with a log.
    let version = header[18];
    let encoding: String = connection.pragma_query_value(None, "encoding", |row| row.get(0))?;
    let found = [
        (!is_read).then(|| "its header cannot be read".to_owned()),
        (is_read && !matches!(version, 1 | 2))
            .then(|| format!("its header asks for a program that writes format {version}")),
        (encoding != "UTF-8").then(|| format!("its header says that texts are {encoding}")),
    ];
    Ok(found.into_iter().flatten().collect())
}

fn whole_file(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found = header(connection)?;
    // If the schema has a view, SQLite treats a check of the whole file as one of some tables, and leaves out the list of free
    // pages. It reads that list together with this table.
    found.append(&mut sound(connection, Some("sqlite_schema"))?);
    let pages = sound(connection, None)?;
    found.extend(pages.into_iter().filter(|line| !found.contains(line)).collect::<Vec<_>>());
    Ok(found)
}

/// The errors in the pages of one table and its indexes, or of the whole file.
fn sound(connection: &Connection, table: Option<&str>) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT integrity_check FROM pragma_integrity_check(?1)")?;
    let reports = statement.query_map([table], |row| row.get::<_, String>(0))?.take(ROWS_MAX);
    let mut found = Vec::new();
    // One report may have several lines, and a heading.
    for report in reports {
        let report = report?;
        found.extend(report.lines().filter(|line| *line != "ok" && !line.starts_with("*** ")).map(str::to_owned));
    }
    Ok(found)
}
