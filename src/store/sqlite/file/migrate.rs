//! Migrates an older file to the newest version of the schema, and keeps a copy of the old file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;

use super::backup::copy_pages;
use super::companions::beside;
use super::inspect::look;
use super::open::{connect, foresee, sqlite, use_wal};
use super::origin;
use super::schema::{self, Contents, SCHEMA_VERSION, differences};
use super::temporary::{Temporary, directory_of};
use crate::store::sqlite::check::check;
use crate::store::sqlite::hand_written::BUSY_TIMEOUT;
use crate::store::{CheckHash, Migrated, OpenError, TriedMigration};

/// The most copies of one version beside a file; at this limit an operator should have a look.
const COPIES_MAX: usize = 100;

/// See [`crate::store::migrate`].
pub fn migrate(path: &Path) -> Result<Option<Migrated>, OpenError> {
    let begun = Instant::now();
    foresee(path)?;
    let connection = connect(path, BUSY_TIMEOUT, false)?;
    match schema::contents(&connection, path)? {
        Contents::Nothing => return Err(OpenError::Empty(path.to_owned())),
        Contents::Ours { version, .. } if version >= SCHEMA_VERSION => return Ok(None),
        Contents::Ours { .. } => {}
    }
    let mut kept = None;
    schema::bring_up(&connection, path, |found| {
        kept = Some((found, keep(path, found)?));
        Ok(())
    })?;
    use_wal(&connection, path)?;
    // Another program may have done it meanwhile.
    Ok(kept.map(|(from, copy)| Migrated { from, to: SCHEMA_VERSION, copy: Some(copy), took: begun.elapsed() }))
}

/// See [`crate::store::try_migration`].
pub fn try_migration(path: &Path, check_hash: CheckHash) -> Result<Option<TriedMigration>, OpenError> {
    let (from, trial) = look(path, |look| {
        origin::check(path)?;
        let connection = look.connection()?;
        match schema::contents(&connection, path)? {
            Contents::Nothing => Err(OpenError::Empty(path.to_owned())),
            Contents::Ours { version, .. } if version >= SCHEMA_VERSION => Ok((version, None)),
            Contents::Ours { version, .. } => Ok((version, Some(copy(&connection, path, "trial")?))),
        }
    })?;
    let Some(trial) = trial else { return Ok(None) };
    let begun = Instant::now();
    let connection = connect(trial.path(), BUSY_TIMEOUT, false)?;
    schema::bring_up(&connection, path, |_| Ok(()))?;
    drop(connection);
    let took = begun.elapsed();
    let violations = check(trial.path(), check_hash)?.violations;
    Ok(Some(TriedMigration { from, to: SCHEMA_VERSION, took, violations }))
}

/// Keeps a copy of the file beside it; returns its name.
///
/// # Errors
///
/// A disk without room for it, and a file that cannot be read completely; then there is no copy.
fn keep(path: &Path, version: i32) -> Result<PathBuf, OpenError> {
    let name = |number: usize| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        beside(path, &format!(".version-{version}{number}.bak"))
    };
    let kept = (0..COPIES_MAX).map(name).find(|name| !name.exists()).ok_or_else(|| {
        OpenError::Setting(format!(
            "{}: there are {COPIES_MAX} copies of version {version} beside it; move them away",
            path.display()
        ))
    })?;
    // Not the connection that migrates: the copy has a read transaction of its own, and shows the file before the first step.
    let connection = connect(path, BUSY_TIMEOUT, false)?;
    let copy = copy(&connection, path, &kept.file_name().unwrap_or_default().to_string_lossy())?;
    verify(copy.path(), version)?;
    copy.sync().and_then(|_| copy.rename(&kept)).map_err(|e| not_copied(path, &e.into()))?;
    Ok(kept)
}

/// A copy of the pages as they are, including damaged ones, like a backup.
fn copy(connection: &Connection, path: &Path, name: &str) -> Result<Temporary, OpenError> {
    let copy = Temporary::create(directory_of(&beside(path, "")), name).map_err(|e| not_copied(path, &e.into()))?;
    copy_pages(connection, path, copy.path()).map_err(|e| not_copied(path, &e))?;
    Ok(copy)
}

fn not_copied(path: &Path, error: &OpenError) -> OpenError {
    OpenError::Failed {
        path: path.to_owned(),
        reason: format!("a copy of it cannot be made, and without one it is not migrated: {error}"),
    }
}

/// Reads the whole copy again.
fn verify(copy: &Path, version: i32) -> Result<(), OpenError> {
    look(copy, |look| {
        let connection = look.connection()?;
        let failed = |e| sqlite(copy, e);
        let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        let changed = differences(&connection, schema::of_version(version).unwrap_or_default()).map_err(failed)?;
        match changed.into_iter().next() {
            Some(what) => Err(OpenError::Tampered { path: copy.to_owned(), what }),
            None if found != "ok" => Err(OpenError::Unreadable { path: copy.to_owned(), reason: found }),
            None => Ok(()),
        }
    })
}
