//! `seatkeeper restore`: replaces a database that no program has open with a verified copy of a backup.
//!
//! The copy is complete, verified and durable before any file of the database is touched. Then, while this program holds SQLite's
//! own locks on the database, a few steps exchange the files ([`steps`]). After each step there is the old database with its WAL,
//! or the new one, or no database but the complete old one under its new name. The next restore continues from there, and until
//! then no database is opened or created in that place ([`interrupted`]).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use rusqlite::Connection;
use rustix::fs::{FlockOperation, fcntl_lock};

use super::backup::{
    copy_pages, failed, head, hold_to_invariants, migrate, of, open_finished, refused, resolved, version,
};
use super::companions::{SUFFIXES, Traces, beside, has_changes_beside, header, is_same_file, length, users};
use super::losses::compare;
use super::open::{reader, sqlite};
use super::origin;
use super::schema::{APPLICATION_ID, SCHEMA_VERSION};
use super::temporary::{Temporary, sync_directory};
use crate::store::sqlite::hand_written::BUSY_TIMEOUT;
use crate::store::{CheckHash, CopyError, History, Kept, NewestEvent, OpenError, Restore, Restored};

/// The part of a kept file's name between the name of the database and the time of the restore.
const KEPT: &str = ".before-restore-";

/// See [`crate::store::restore`].
pub fn restore(
    database: &Path,
    restore: &Restore,
    now: Timestamp,
    check_hash: CheckHash,
) -> Result<Restored, CopyError> {
    let place = Place::new(database)?;
    may_be_restored(&restore.backup, restore.is_whole, &place.path)?;
    let in_use_by = users(&place.path);
    if !restore.dry_run && !in_use_by.is_empty() {
        return Err(CopyError::InUse { path: place.path, by: in_use_by });
    }
    let copy = Temporary::create(&place.directory, &place.name)?;
    let Copied { version, head: head_of_backup, history } = copy_backup(&restore.backup, copy.path(), &place)?;
    if version < SCHEMA_VERSION {
        migrate(copy.path()).map_err(|error| of(&restore.backup, error))?;
    }
    let advice = "It was not restored, nothing was changed. Take an older backup.";
    hold_to_invariants(copy.path(), &restore.backup, check_hash, advice)?;

    let copied = open_finished(copy.path())?;
    let head_now = head(&copied).map_err(|e| sqlite(copy.path(), e))?;
    drop(copied);
    let owner_not_set = place.give_owner_and_mode(copy.path())?;
    let bytes = copy.sync()?;
    let seen = place.stamps();
    let mut restored = Restored {
        database: place.path.clone(),
        bytes,
        version,
        version_now: SCHEMA_VERSION,
        head: head_of_backup,
        history,
        kept: None,
        owner_not_set,
        in_use_by,
    };
    if restore.dry_run {
        return Ok(restored);
    }

    // Held until the end, so that no program opens the old files meanwhile and goes on writing to them.
    let _locks = place.lock()?;
    if place.stamps() != seen {
        return Err(refused(
            &place.path,
            "another program changed the database meanwhile. Nothing was changed; stop that program and restore again.",
        ));
    }
    let kept = place.replace(copy.path(), now)?;
    verify_restored(&place.path, head_now.as_ref())?;
    restored.kept = kept;
    Ok(restored)
}

/// The version and head of a backup. A migration of its copy adds events that neither the backup nor the database has.
struct Copied {
    version: i32,
    head: Option<NewestEvent>,
    history: History,
}

fn copy_backup(backup: &Path, copy: &Path, place: &Place) -> Result<Copied, CopyError> {
    let _traces = Traces::before(backup);
    let connection = reader(backup, BUSY_TIMEOUT)?;
    let version = version(&connection, backup)?;
    copy_pages(&connection, backup, copy)?;
    let head = head(&connection).map_err(|e| sqlite(backup, e))?;
    Ok(Copied { version, head, history: place.history(&connection) })
}

/// The message for a missing database, if a restore has kept one there: the restore may have been interrupted. `None`: none was
/// kept.
pub(crate) fn interrupted(database: &Path) -> Option<OpenError> {
    let place = Place::new(database).ok().filter(|place| !place.path.exists())?;
    let is_companion = |path: &Path| SUFFIXES.iter().any(|end| path.to_string_lossy().ends_with(end));
    let kept = place.kept_files().into_iter().filter(|path| !is_companion(path)).max()?;
    Some(OpenError::Interrupted { path: place.path, kept })
}

/// The names of a database that restores have given to the file itself: an interrupted one leaves its name until the next restore.
pub(crate) fn second_names(database: &Path) -> usize {
    let kept = Place::new(database).map(|place| place.kept_files()).unwrap_or_default();
    kept.iter().filter(|kept| is_same_file(kept, database)).count()
}

/// The file to restore must be a complete database of ours.
fn may_be_restored(backup: &Path, is_whole: bool, database: &Path) -> Result<(), CopyError> {
    let found = fs::metadata(backup).map_err(|e| failed(backup, &e))?;
    if !found.is_file() {
        return Err(refused(backup, "this is not a file. Name one backup."));
    }
    if is_same_file(backup, database) {
        return Err(refused(backup, "this is the database itself. Name a backup."));
    }
    let Some(header) = header(backup).map_err(|e| failed(backup, &e))? else {
        return Err(refused(backup, "this is not a database, or only the beginning of one. Take another backup."));
    };
    origin::check(backup)?;
    let has_wal = length(&beside(backup, "-wal")) > 0;
    if let Some(length) = header.length.filter(|length| !has_wal && found.len() < *length) {
        return Err(refused(
            backup,
            &format!("it is truncated: {} bytes of {length} are there. Take another backup.", found.len()),
        ));
    }
    if header.application_id != APPLICATION_ID {
        return Err(refused(backup, "this is not a Seatkeeper database. Name another file."));
    }
    if header.is_wal && !has_wal && !is_whole {
        return Err(refused(
            backup,
            "this was not made by 'seatkeeper backup': it is a plain copy of a database file. If a program had the database open at the time, \
             the newest changes were in its -wal and are not here. Restore a backup; or put the -wal beside this file; or, if nothing \
             had the database open when it was copied, say so with --stopped-copy.",
        ));
    }
    Ok(())
}

/// The place of the database.
struct Place {
    /// Without symbolic links.
    path: PathBuf,
    directory: PathBuf,
    name: String,
}

impl Place {
    fn new(database: &Path) -> Result<Place, CopyError> {
        let name = database.file_name().ok_or_else(|| refused(database, "this is not a name of a file"))?;
        let path = match fs::symlink_metadata(database) {
            Ok(_) => resolved(database)?,
            Err(_) => {
                let parent = database.parent().filter(|parent| !parent.as_os_str().is_empty());
                resolved(parent.unwrap_or(Path::new(".")))?.join(name)
            }
        };
        if path.is_dir() {
            return Err(
                OpenError::Failed { path, reason: "this is a directory. Name the database file.".to_owned() }.into()
            );
        }
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Place { path, directory, name })
    }

    /// The lost events. A database that cannot be read is replaced anyway.
    fn history(&self, backup: &Connection) -> History {
        if !self.path.exists() {
            return History::None;
        }
        let _traces = Traces::before(&self.path);
        let compared = origin::check(&self.path)
            .and_then(|()| reader(&self.path, BUSY_TIMEOUT))
            .and_then(|connection| compare(&connection, backup).map_err(|e| sqlite(&self.path, e)));
        compared.unwrap_or_else(|error| History::Unknown(error.to_string()))
    }

    /// Gives the copy the owner and the mode of the database, or else the owner of the directory. Returns a text if the owner
    /// cannot be set.
    fn give_owner_and_mode(&self, copy: &Path) -> Result<Option<String>, CopyError> {
        let failed = |e: io::Error| failed(copy, &e);
        let before = fs::metadata(&self.path).ok();
        let model = before.clone().map_or_else(|| fs::metadata(&self.directory), Ok).map_err(failed)?;
        let own = fs::metadata(copy).map_err(failed)?;
        let mut not_set = None;
        if (own.uid(), own.gid()) != (model.uid(), model.gid())
            && let Err(error) = std::os::unix::fs::chown(copy, Some(model.uid()), Some(model.gid()))
        {
            let (is, was) = ((own.uid(), own.gid()), (model.uid(), model.gid()));
            not_set = Some(format!("the file belongs to {}:{}, not to {}:{} ({error})", is.0, is.1, was.0, was.1));
        }
        if let Some(before) = before {
            fs::set_permissions(copy, fs::Permissions::from_mode(before.mode() & 0o777)).map_err(failed)?;
        }
        Ok(not_set)
    }

    /// Values that change when a program writes to the database.
    fn stamps(&self) -> Vec<Option<(u64, u64, Option<SystemTime>)>> {
        let files = ["", "-wal", "-journal"].map(|suffix| beside(&self.path, suffix));
        let stamp = |path: &PathBuf| fs::metadata(path).ok().map(|f| (f.ino(), f.len(), f.modified().ok()));
        files.iter().map(stamp).collect()
    }

    /// Takes all locks that SQLite uses on these files, and holds them until the files are closed.
    fn lock(&self) -> Result<Vec<File>, CopyError> {
        let mut locked = Vec::new();
        for path in [self.path.clone(), beside(&self.path, "-shm")] {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => {
                    if fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                        return Err(CopyError::InUse {
                            path: self.path.clone(),
                            by: vec!["another program".to_owned()],
                        });
                    }
                    locked.push(file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
        Ok(locked)
    }

    /// Replaces the database with the copy. A failed replacement leaves the old database in place with no second name, or under its new one.
    fn replace(&self, copy: &Path, now: Timestamp) -> Result<Option<Kept>, CopyError> {
        let (steps, kept) = self.steps(copy, now);
        for step in steps {
            step.take().map_err(|(path, error)| match interrupted(&self.path) {
                Some(interrupted) => refused(&path, &format!("{error}. {interrupted}")),
                None => {
                    self.remove_second_names(kept.as_ref());
                    refused(
                        &path,
                        &format!(
                            "{error}. The old database is still in place. Move it away together with its -wal and -shm, then restore again."
                        ),
                    )
                }
            })?;
        }
        Ok(kept)
    }

    /// Removes the names that a failed restore has given to files that are still in place: through a second name of a database,
    /// programs would overwrite each other's changes.
    fn remove_second_names(&self, kept: Option<&Kept>) {
        let Some(kept) = kept else { return };
        for end in SUFFIXES.iter().chain([&""]) {
            let name = beside(&kept.path, end);
            if is_same_file(&name, &beside(&self.path, end)) {
                // If it stays, the next restore removes it.
                let _ = fs::remove_file(name);
            }
        }
    }

    /// The steps that replace the database with the copy, which may be interrupted after each; and the kept files.
    fn steps(&self, copy: &Path, now: Timestamp) -> (Vec<Step>, Option<Kept>) {
        let kept = beside(&self.path, &format!("{KEPT}{}", now.strftime("%Y%m%dT%H%M%S.%3fZ")));
        let mut steps = Vec::new();
        let kept_before = self.kept_files();
        let has_wal = has_changes_beside(&self.path);
        let is_there = self.path.exists();
        if is_there {
            // An interrupted restore leaves second names of files that are still in place.
            let in_place: Vec<PathBuf> = SUFFIXES.iter().chain([&""]).map(|end| beside(&self.path, end)).collect();
            let is_second = |left: &&PathBuf| in_place.iter().any(|path| is_same_file(left, path));
            steps.extend(kept_before.iter().filter(is_second).cloned().map(Step::Remove));
        }
        let companions = || SUFFIXES.iter().map(|end| (beside(&self.path, end), beside(&kept, end)));
        if is_there && has_wal {
            // The old database is completely under its new name as soon as its file is.
            for (from, to) in companions().filter(|(from, _)| from.exists()) {
                steps.push(Step::Link(from, to));
            }
            steps.push(Step::Sync(self.directory.clone()));
            steps.push(Step::Rename(self.path.clone(), kept.clone()));
            steps.push(Step::Sync(self.directory.clone()));
        }
        for (from, to) in companions().filter(|(from, _)| from.exists()) {
            // A WAL without its database is kept too, unless an interrupted restore has kept it already.
            let is_kept = kept_before.iter().any(|left| is_same_file(left, &from));
            if !is_there && !is_kept && length(&from) > 0 && !from.to_string_lossy().ends_with("-shm") {
                steps.push(Step::Link(from.clone(), to));
            }
            steps.push(Step::Remove(from));
        }
        if is_there && !has_wal {
            steps.push(Step::Link(self.path.clone(), kept.clone()));
        }
        steps.push(Step::Sync(self.directory.clone()));
        steps.push(Step::Rename(copy.to_owned(), self.path.clone()));
        steps.push(Step::Sync(self.directory.clone()));
        (steps, is_there.then_some(Kept { path: kept, has_wal }))
    }

    /// All files that restores have kept here.
    fn kept_files(&self) -> Vec<PathBuf> {
        let begin = format!("{}{KEPT}", self.name);
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&begin)));
        names.map(|entry| entry.path()).collect()
    }
}

/// One change of a directory: it happens completely or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Gives a file a second name.
    Link(PathBuf, PathBuf),
    /// Renames a file; replaces an existing one.
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// Makes the previous steps durable.
    Sync(PathBuf),
}

impl Step {
    /// The error has the file and the reason.
    fn take(&self) -> Result<(), (PathBuf, String)> {
        let (path, done) = match self {
            Step::Link(from, to) => (to, fs::hard_link(from, to)),
            Step::Rename(from, to) => (to, fs::rename(from, to)),
            Step::Remove(path) => (path, fs::remove_file(path)),
            Step::Sync(directory) => return sync_directory(directory).map_err(|e| (directory.clone(), e.to_string())),
        };
        done.map_err(|e| (path.clone(), e.to_string()))
    }
}

/// Checks that the database is now the copy, and that SQLite can read it.
fn verify_restored(path: &Path, head_before: Option<&NewestEvent>) -> Result<(), CopyError> {
    let connection = open_finished(path)?;
    let found = head(&connection).map_err(|e| sqlite(path, e))?;
    let sound: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| sqlite(path, e))?;
    if sound != "ok" || found.as_ref() != head_before {
        return Err(refused(path, &format!("the restored file is not what was copied: {sound}. Restore again.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::run_sql;

    const STEPS_MAX: usize = 20;
    const TIMES: [&str; 2] = ["2026-11-25T12:00:00Z", "2026-11-26T12:00:00Z"];

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    fn no_hash(_: &str) -> Result<String, String> {
        Err("not here".to_owned())
    }

    fn directory() -> PathBuf {
        let directory = std::env::temp_dir().join(format!("seatkeeper-restore-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&directory).expect("a directory");
        directory
    }

    /// A directory with a database, which has one entity in the file and, with `wal`, a second one in the WAL, as after a crash;
    /// and with a backup of another database, which has a third entity.
    fn prepared(wal: bool) -> PathBuf {
        let directory = directory();
        let (live, path) = (directory.join("live.db"), directory.join("seats.db"));
        run_sql(&live, "INSERT INTO entity (id, name) VALUES (1, 'in the file')", no_hash).expect("a database");
        let connection = Connection::open(&live).expect("open");
        if wal {
            let script = "PRAGMA wal_autocheckpoint = 0; INSERT INTO entity (id, name) VALUES (2, 'in the WAL')";
            connection.execute_batch(script).expect("a change");
            for end in ["-wal", "-shm"] {
                fs::copy(beside(&live, end), beside(&path, end)).expect("copy");
            }
        }
        fs::copy(&live, &path).expect("copy");
        drop(connection);
        let other = "UPDATE entity SET name = 'in the backup'; DELETE FROM entity WHERE id = 2";
        run_sql(&live, other, no_hash).expect("another database");
        crate::store::backup(&live, &directory.join("backup.db"), None, at(TIMES[0]), |_| Ok(())).expect("a backup");
        fs::remove_file(live).expect("remove");
        directory
    }

    fn copied(from: &Path) -> PathBuf {
        let to = directory();
        for entry in fs::read_dir(from).expect("a directory").flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
        }
        to
    }

    fn entities(path: &Path) -> Result<Vec<String>, OpenError> {
        let connection = crate::store::sqlite::file::open::admin(path, BUSY_TIMEOUT, false)?;
        let mut names = connection.prepare("SELECT name FROM entity ORDER BY id").expect("query");
        let names = names.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("names");
        Ok(names)
    }

    /// After each step there is the complete old database, or the new one, or a message that says what to do; and the restore can
    /// be repeated, whether or not the database was opened in between.
    #[test]
    fn a_restore_that_dies_after_any_step_can_be_repeated() {
        let mut without_database = 0;
        for wal in [false, true] {
            let old: &[&str] = if wal { &["in the file", "in the WAL"] } else { &["in the file"] };
            let new: &[&str] = &["in the backup"];
            let prepared = prepared(wal);
            for opened in [false, true] {
                for taken in 0..=STEPS_MAX {
                    let directory = copied(&prepared);
                    let (path, backup) = (directory.join("seats.db"), directory.join("backup.db"));
                    let place = Place::new(&path).expect("a place");
                    let copy = directory.join("copy.db");
                    fs::copy(&backup, &copy).expect("copy");
                    let (steps, kept) = place.steps(&copy, at(TIMES[0]));
                    let is_last = taken >= steps.len();
                    steps.iter().take(taken).for_each(|step| step.take().expect("a step"));
                    let kept = kept.expect("it is kept");
                    if opened {
                        match entities(&path) {
                            Ok(names) => assert!(names == old || names == new, "{names:?} after {taken} of {steps:?}"),
                            Err(error) => {
                                assert!(matches!(error, OpenError::Interrupted { .. }), "{error} after {taken}");
                                assert!(!path.exists());
                                without_database += 1;
                            }
                        }
                    }
                    let request = Restore { backup, dry_run: false, is_whole: false };
                    let again = restore(&path, &request, at(TIMES[1]), |_| Ok(())).expect("repeated");
                    assert_eq!(entities(&path).expect("restored"), new, "after {taken} of {steps:?}");
                    let wholes = [Some(kept), again.kept].into_iter().flatten().filter(|kept| kept.path.exists());
                    let found: Vec<_> = wholes.map(|kept| entities(&kept.path).expect("kept")).collect();
                    assert!(found.iter().any(|names| names == old), "{found:?} after {taken} of {steps:?}");
                    fs::remove_dir_all(directory).expect("clean up");
                    if is_last {
                        break;
                    }
                }
            }
            fs::remove_dir_all(prepared).expect("clean up");
        }
        assert!(without_database > 0, "with a WAL there is a moment without a database");
    }

    /// A name that stayed would be a second one of the database in place.
    #[test]
    fn a_restore_that_fails_leaves_no_second_name() {
        for wal in [false, true] {
            let directory = prepared(wal);
            let path = directory.join("seats.db");
            let place = Place::new(&path).expect("a place");
            let copy = directory.join("copy.db");
            let kept = place.steps(&copy, at(TIMES[0])).1.expect("it is kept").path;
            if wal {
                // In the way of a link, after another file got its second name.
                fs::write(beside(&kept, "-shm"), "x").expect("write");
            }
            // Without a WAL the rename fails, because there is no copy.
            let failed = place.replace(&copy, at(TIMES[0])).expect_err("it fails").to_string();
            assert!(failed.contains("The old database is still in place"), "{failed}");
            for name in [kept.clone(), beside(&kept, "-wal")] {
                assert!(!name.exists(), "{name:?}, wal: {wal}");
            }
            assert_eq!(fs::metadata(&path).expect("the database").nlink(), 1);
            assert_eq!(entities(&path).expect("it opens").len(), 1 + usize::from(wal));
            fs::remove_dir_all(directory).expect("clean up");
        }
    }

    #[test]
    fn a_wal_without_its_database_is_kept_too() {
        let directory = prepared(true);
        let (path, backup) = (directory.join("seats.db"), directory.join("backup.db"));
        let wal = fs::read(beside(&path, "-wal")).expect("the WAL");
        fs::remove_file(&path).expect("remove");
        let request = Restore { backup, dry_run: false, is_whole: false };
        let restored = restore(&path, &request, at(TIMES[0]), |_| Ok(())).expect("restored");
        assert_eq!((restored.kept, entities(&path).expect("new")), (None, vec!["in the backup".to_owned()]));
        let kept = Place::new(&path).expect("a place").kept_files();
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read(&kept[0]).expect("kept"), wal);
        fs::remove_dir_all(directory).expect("clean up");
    }
}
