//! Bringing an older file to the newest version of the schema, with a copy of it as it was.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;

use super::companions::beside;
use super::inspect::look;
use super::open::{connect, create_private_file, foresee, sqlite, use_wal};
use super::origin;
use super::schema::{self, Contents, SCHEMA_VERSION, differences};
use crate::store::sqlite::check::check;
use crate::store::sqlite::hand_written::BUSY_TIMEOUT;
use crate::store::{CheckHash, Migrated, OpenError, TriedMigration};

/// Copies of one version kept beside a file; with more of them an operator should have a look.
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
    Ok(kept.map(|(from, copy)| Migrated { from, to: SCHEMA_VERSION, copy, took: begun.elapsed() }))
}

/// See [`crate::store::try_migration`].
pub fn try_migration(path: &Path, check_hash: CheckHash) -> Result<Option<TriedMigration>, OpenError> {
    let trial = Removed(beside(path, &format!(".trial-{}", std::process::id())));
    let from = look(path, |look| {
        origin::check(path)?;
        let connection = look.connection()?;
        let Contents::Ours { version, .. } = schema::contents(&connection, path)? else {
            return Err(OpenError::Empty(path.to_owned()));
        };
        if version < SCHEMA_VERSION {
            trial.remove();
            // To SQLite a copy is a write.
            connection.pragma_update(None, "query_only", false).map_err(|e| sqlite(path, e))?;
            copy(&connection, path, &trial.0)?;
        }
        Ok(version)
    })?;
    if from >= SCHEMA_VERSION {
        return Ok(None);
    }
    let begun = Instant::now();
    let connection = connect(&trial.0, BUSY_TIMEOUT, false)?;
    schema::bring_up(&connection, path, |_| Ok(()))?;
    drop(connection);
    let took = begun.elapsed();
    let violations = check(&trial.0, check_hash)?.violations;
    Ok(Some(TriedMigration { from, to: SCHEMA_VERSION, took, violations }))
}

/// Keeps a copy of the file beside it; its name.
///
/// # Errors
///
/// A disk without room for it, and a file that cannot be read whole; then there is no copy.
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
    let unfinished = Removed(beside(&kept, ".tmp"));
    unfinished.remove();
    // Not the connection that migrates: a copy is made outside a transaction. It reads the file as it is before the first step.
    let connection = connect(path, BUSY_TIMEOUT, false)?;
    copy(&connection, path, &unfinished.0)?;
    verify(&unfinished.0, version)?;
    std::fs::rename(&unfinished.0, &kept)?;
    if let Some(directory) = kept.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Ok(kept)
}

/// A copy that only its owner can read, and that is on the disk.
fn copy(connection: &Connection, path: &Path, to: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Failed {
        path: path.to_owned(),
        reason: format!("a copy of it cannot be made, and without one it is not migrated: {}: {error}", to.display()),
    };
    create_private_file(to)?;
    let name = to.to_str().ok_or_else(|| OpenError::Setting(format!("{}: the path is not UTF-8", to.display())))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    Ok(File::open(to)?.sync_all()?)
}

/// Reads all of a copy again.
fn verify(copy: &Path, version: i32) -> Result<(), OpenError> {
    look(copy, |look| {
        let connection = look.connection()?;
        let failed = |e| sqlite(copy, e);
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        let changed = differences(&connection, schema::of_version(version).unwrap_or_default()).map_err(failed)?;
        match changed.into_iter().next() {
            Some(what) => Err(OpenError::Tampered { path: copy.to_owned(), what }),
            None if found != "ok" => Err(OpenError::Unreadable { path: copy.to_owned(), reason: found }),
            None => Ok(()),
        }
    })
}

/// A file that is removed in the end, with what SQLite puts beside it.
struct Removed(PathBuf);

impl Removed {
    fn remove(&self) {
        for behind in ["", "-wal", "-shm", "-journal"] {
            // Mostly it is not there.
            let _ = std::fs::remove_file(beside(&self.0, behind));
        }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        self.remove();
    }
}
