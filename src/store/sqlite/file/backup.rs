//! `seatkeeper backup`: copies one snapshot of a database while other programs write to it.
//!
//! SQLite's backup interface copies the pages within one read transaction. So it never starts again when another connection
//! writes, it blocks no writer, and it reads every page of the file, so a damaged page is found. While it runs the WAL cannot
//! start over, so it is kept short: the copy is verified afterwards.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::backup::StepResult;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::companions::{SUFFIXES, Traces, beside, has_changes_beside, header, is_same_file, users};
use super::losses::continues;
use super::open::{connect, reader, sqlite};
use super::origin;
use super::schema::{self, APPLICATION_ID, SCHEMA_VERSION};
use super::temporary::{Temporary, directory_of, sync_directory};
use crate::store::sqlite::hand_written::BUSY_TIMEOUT;
use crate::store::{Backup, CheckHash, CopyError, NewestEvent, OpenError, check};

/// Pages between two syncs of the copy: 16 MiB. With a single sync the commits of the service would wait until the disk has
/// written all of the copy.
const STEP_PAGES: i32 = 4096;

/// See [`crate::store::backup`].
pub fn backup(
    database: &Path,
    target: &Path,
    keep: Option<NonZeroUsize>,
    now: Timestamp,
    check_hash: CheckHash,
) -> Result<Backup, CopyError> {
    let target = Target::new(database, target, now)?;
    if keep.is_some() && target.series.is_none() {
        return Err(refused(&target.path, "--keep needs a directory, in which every backup has a name of its own"));
    }
    origin::check(database)?;
    // Not read-only: if no other program has the database open, closing it copies the WAL into the file.
    let source = connect(database, BUSY_TIMEOUT, false)?;
    let version = version(&source, database)?;
    let copy = Temporary::create(&target.directory, &target.name())?;
    copy_pages(&source, database, copy.path())?;
    drop(source);
    verify(&copy, database, version, check_hash)?;
    let copied = open_finished(copy.path())?;
    let head = head(&copied).map_err(|e| sqlite(copy.path(), e))?;
    if target.series.is_none() && target.path.exists() {
        target.is_earlier_copy(&copied)?;
    }
    drop(copied);
    let bytes = copy.sync()?;
    copy.rename(&target.path)?;
    let deleted = match (keep, &target.series) {
        (Some(keep), Some(series)) => delete_older(&target, series, keep)?,
        _ => Vec::new(),
    };
    Ok(Backup { path: target.path, bytes, version, head, deleted })
}

/// The target of a backup.
struct Target {
    path: PathBuf,
    directory: PathBuf,
    /// In a directory: the common beginning of the names of this database's backups.
    series: Option<String>,
}

impl Target {
    fn new(database: &Path, target: &Path, now: Timestamp) -> Result<Target, CopyError> {
        if target.is_dir() {
            let stem = database.file_stem().unwrap_or_default().to_string_lossy();
            let series = format!("{stem}-");
            let directory = target.to_owned();
            let path = directory.join(format!("{series}{}.db", now.strftime("%Y%m%dT%H%M%S.%3fZ")));
            if path.exists() {
                return Err(refused(&path, "exists already"));
            }
            return Ok(Target { path, directory, series: Some(series) });
        }
        // A symbolic link stays, and its target is replaced.
        let path = if target.exists() { resolved(target)? } else { target.to_owned() };
        if path.file_name().is_none() {
            return Err(refused(target, "this is not a name of a file"));
        }
        let directory = directory_of(&path).to_owned();
        if !directory.is_dir() || target.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(
                OpenError::Failed { path: target.to_owned(), reason: "there is no such directory".to_owned() }.into()
            );
        }
        let target = Target { path, directory, series: None };
        target.may_be_written(database)?;
        Ok(target)
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// An earlier backup may be replaced, but no other file.
    fn may_be_written(&self, database: &Path) -> Result<(), CopyError> {
        let path = &self.path;
        let ours: Vec<PathBuf> = SUFFIXES.iter().map(|suffix| beside(database, suffix)).collect();
        // Compares whole names too, because a file that does not exist yet has no identity.
        let whole = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        let whole = whole.and_then(|parent| fs::canonicalize(parent).ok()).zip(path.file_name());
        let is_named = |file: &PathBuf| whole.as_ref().is_some_and(|(parent, name)| *file == parent.join(name));
        if is_same_file(path, database)
            || ours.iter().any(|file| file == path || is_named(file) || is_same_file(file, path))
        {
            return Err(refused(path, "this is the database itself, or belongs to it. Name another file."));
        }
        let by = if path.exists() { users(path) } else { Vec::new() };
        let in_use = || refused(path, &format!("exists, and {} has it open. Name another file.", by.join(", ")));
        if has_changes_beside(path) {
            let used = "a -wal or -journal of this name stands there: another program used it as a database. Name another file.";
            return Err(if by.is_empty() { refused(path, used) } else { in_use() });
        }
        let Ok(found) = fs::metadata(path) else { return Ok(()) };
        let is_backup = || Ok(header(path)?.is_some_and(|header| header.application_id == APPLICATION_ID));
        let is_backup =
            found.is_file() && (found.len() == 0 || is_backup().map_err(|e: io::Error| failed(path, &e))?);
        if !is_backup {
            return Err(refused(path, "exists, and is no backup of Seatkeeper. Name another file."));
        }
        if by.is_empty() { Ok(()) } else { Err(in_use()) }
    }

    /// A backup is replaced only by one whose history continues its own: it may be all that is left of a database that was lost
    /// and created again.
    fn is_earlier_copy(&self, copy: &Connection) -> Result<(), CopyError> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == 0) {
            return Ok(());
        }
        let _traces = Traces::before(&self.path);
        let continued = reader(&self.path, BUSY_TIMEOUT)
            .and_then(|earlier| continues(copy, &earlier).map_err(|e| sqlite(&self.path, e)));
        match continued {
            Ok(true) => Ok(()),
            Ok(false) => Err(refused(
                &self.path,
                "this backup has events that the database has not: it is of another database, or of the time before a restore. \
                 Move it to another place if you need it, or delete it; it was not replaced.",
            )),
            Err(error) => Err(refused(
                &self.path,
                &format!(
                    "this backup cannot be read ({error}). Move it to another place or delete it; it was not replaced."
                ),
            )),
        }
    }
}

/// Deletes all but the newest backups of a series, which have the time in their names. The one just made stays, even if the clock
/// was set back.
fn delete_older(target: &Target, series: &str, keep: NonZeroUsize) -> Result<Vec<PathBuf>, CopyError> {
    let failed = |e: io::Error| failed(&target.directory, &e);
    let mut others = Vec::new();
    for entry in fs::read_dir(&target.directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_of_series = entry.file_name().to_str().is_some_and(|name| is_of_series(name, series));
        if is_of_series && entry.path() != target.path && entry.file_type().map_err(failed)?.is_file() {
            others.push(entry.path());
        }
    }
    others.sort_unstable();
    others.truncate((others.len() + 1).saturating_sub(keep.get()));
    for path in &others {
        fs::remove_file(path).map_err(failed)?;
    }
    sync_directory(&target.directory)?;
    Ok(others)
}

/// Whether [`Target::new`] made the name.
fn is_of_series(name: &str, series: &str) -> bool {
    let time = name.strip_prefix(series).and_then(|rest| rest.strip_suffix(".db")).unwrap_or_default();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00000000T000000.000Z"
}

/// Copies all pages of one snapshot to an existing empty file, without a WAL. The file is not durable yet.
pub(crate) fn copy_pages(source: &Connection, path: &Path, to: &Path) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    let written = |e| sqlite(to, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags).map_err(written)?;
    // After a failure the file is deleted, so no change needs to be undone.
    let settings = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4096;";
    copy.execute_batch(settings).map_err(written)?;
    let file = OpenOptions::new().write(true).open(to)?;
    source.execute_batch("BEGIN").map_err(failed)?;
    // The transaction begins with its first read.
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    let pages = rusqlite::backup::Backup::new(source, &mut copy).map_err(written)?;
    loop {
        match pages.step(STEP_PAGES).map_err(written)? {
            StepResult::Done => break,
            StepResult::More => file.sync_data()?,
            _ => return Err(OpenError::Setting(format!("{}: another program has locked the copy", to.display()))),
        }
    }
    drop(pages);
    source.execute_batch("COMMIT").map_err(failed)?;
    copy.close().map_err(|(_, e)| written(e))?;
    leave_wal_mode(to)?;
    Ok(())
}

/// Removes the WAL mode from the header of a file without a WAL. See [`origin::check`].
fn leave_wal_mode(path: &Path) -> io::Result<()> {
    if header(path)?.is_some_and(|header| header.is_wal) && !has_changes_beside(path) {
        OpenOptions::new().write(true).open(path)?.write_all_at(&[1, 1], 18)?;
    }
    Ok(())
}

/// Verifies every invariant in a copy of a database. A copy of an earlier version stays as it is: a copy of the copy is migrated
/// and verified.
fn verify(copy: &Temporary, database: &Path, version: i32, check_hash: CheckHash) -> Result<(), CopyError> {
    let advice = "No backup was made: see 'seatkeeper check'.";
    if version == SCHEMA_VERSION {
        return hold_to_invariants(copy.path(), database, check_hash, advice);
    }
    let migrated = Temporary::create(directory_of(copy.path()), "migrated")?;
    fs::copy(copy.path(), migrated.path()).map_err(|e| failed(migrated.path(), &e))?;
    migrate(migrated.path()).map_err(|error| of(database, error))?;
    hold_to_invariants(migrated.path(), database, check_hash, advice)
}

/// Migrates a copy to the version of this program.
pub(crate) fn migrate(copy: &Path) -> Result<(), OpenError> {
    let connection = connect(copy, BUSY_TIMEOUT, false)?;
    schema::bring_up(&connection, copy, |_| Ok(()))
}

/// `original`: the source of the copy, for messages.
pub(crate) fn hold_to_invariants(
    copy: &Path,
    original: &Path,
    check_hash: CheckHash,
    advice: &'static str,
) -> Result<(), CopyError> {
    let violations = check(&copy.into(), check_hash).map_err(|error| of(original, error))?;
    leave_wal_mode(copy).map_err(|e| failed(copy, &e))?;
    if violations.is_empty() {
        return Ok(());
    }
    Err(CopyError::Broken { path: original.to_owned(), violations, advice })
}

/// An error of a copy is an error of its original.
pub(crate) fn of(original: &Path, error: OpenError) -> OpenError {
    match error {
        OpenError::Failed { reason, .. } => OpenError::Failed { path: original.to_owned(), reason },
        OpenError::Tampered { what, .. } => OpenError::Tampered { path: original.to_owned(), what },
        other => other,
    }
}

/// The version of the schema of a database of ours that this program can read.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<i32, CopyError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let found = number("user_version").map_err(|e| sqlite(path, e))?;
    if number("application_id").map_err(|e| sqlite(path, e))? != APPLICATION_ID || found < 1 {
        return Err(refused(path, "this is not a Seatkeeper database"));
    }
    if found > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION }.into());
    }
    Ok(found)
}

/// Opens a finished copy for reading.
pub(crate) fn open_finished(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|e| sqlite(path, e))
}

/// The newest event of a database of any version.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Option<NewestEvent>> {
    let is_chained = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('audit_event') WHERE name = 'hash')";
    let hash = if connection.query_row(is_chained, [], |row| row.get(0))? { "hash" } else { "NULL" };
    let newest = format!("SELECT id, at, {hash} FROM audit_event ORDER BY id DESC LIMIT 1");
    connection
        .query_row(&newest, [], |row| Ok(NewestEvent { event_id: row.get(0)?, at: row.get(1)?, hash: row.get(2)? }))
        .optional()
}

/// The path without symbolic links.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf, CopyError> {
    fs::canonicalize(path).map_err(|e| failed(path, &e))
}

pub(crate) fn refused(path: &Path, reason: &str) -> CopyError {
    CopyError::Refused { path: path.to_owned(), reason: reason.to_owned() }
}

pub(crate) fn failed(path: &Path, error: &io::Error) -> CopyError {
    OpenError::Failed { path: path.to_owned(), reason: error.to_string() }.into()
}
