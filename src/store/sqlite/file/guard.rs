//! Checks that the file which the store writes is still the file that the next start will open.
//!
//! Operators delete, move, overwrite and restore files, and other programs change schemas. SQLite goes on writing to the files
//! that it has open; the next start would not see those commits. So the guard checks the files
//!
//! * in each write transaction, before the first write: then nothing was changed, and the answer says so;
//! * after each COMMIT, before the answer: a later accident hits a change that was saved;
//! * once a second when idle, when a reader opens a connection, and when readiness is checked.
//!
//! The comparisons, and the accidents that they detect:
//!
//! | compared | finds |
//! |---|---|
//! | device and inode at the path of the file and of its `-wal`; links of `-shm` | `rm`, `mv` away or over it, a renamed directory |
//! | size and time of change of the file, which only a checkpoint may change; the wal-index says whether there was one | `cp` over it |
//! | the last frame of the `-wal` against the wal-index | `cp` over the `-wal`, a `-wal` cut short |
//! | `PRAGMA schema_version`; if it has changed, the whole schema | a dropped trigger |
//!
//! This costs six calls of `stat` and `statx` per commit and five reads of a few bytes, some microseconds. Only a change in the
//! very moment of a checkpoint goes unnoticed; the next verification finds it.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

use super::companions::{beside, in_file, parked};
use super::open;
use super::schema::{SCHEMA, SCHEMA_VERSION, differences};
use super::wal_index::{Checkpoint, Index};
use crate::store::health::Health;
use crate::store::sqlite::store_error;
use crate::store::{Fault, OpenError, StoreError};

/// The fault, and the text for the log.
#[derive(Debug)]
pub(crate) struct Problem {
    fault: Fault,
    details: String,
}

/// Why a transaction must not write.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The store must stop.
    Stop(Problem),
    /// SQLite could not find out, for example because a read failed. That may pass.
    Fail(StoreError),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Trouble {
        Trouble::Stop(problem)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        match store_error(error) {
            error @ StoreError::Damaged(_) => Trouble::Stop(Problem::damaged(&error)),
            error => Trouble::Fail(error),
        }
    }
}

impl Problem {
    fn damaged(error: &StoreError) -> Problem {
        let details = format!("{error}. Stop the service, run 'seatkeeper check', and restore a backup.");
        Problem { fault: Fault::Damaged("it cannot be read"), details }
    }
}

/// Guards the files of one store.
pub(crate) struct Guard {
    pub(crate) health: Arc<Health>,
    /// `None`: there are no files, because the database is in memory.
    files: Option<Files>,
    /// The last version found right; none at first.
    schema_version: AtomicI64,
    /// The store stopped in a place without a connection to save the log.
    to_save: Mutex<Option<Fault>>,
}

impl Guard {
    /// Accepts the present files as the right ones. `connection` has them open.
    pub(crate) fn new(connection: &Connection, path: &Path, health: Arc<Health>) -> Result<Guard, OpenError> {
        // After a crash this completes a checkpoint that had begun: from here on only a checkpoint may change the file.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(|e| open::sqlite(path, e))?;
        Ok(Guard { health, files: Some(Files::new(path)?), ..Guard::of_memory() })
    }

    /// The guard of a database without files.
    pub(crate) fn of_memory() -> Guard {
        Guard { health: Arc::default(), files: None, schema_version: AtomicI64::new(NONE), to_save: Mutex::default() }
    }

    /// The check in a write transaction, before the first write. Only then the wal-index and the schema cannot change.
    pub(crate) fn before_write(&self, connection: &Connection) -> Result<(), Trouble> {
        let Some(files) = &self.files else { return Ok(()) };
        let index = files.index()?;
        files.look(Some(&index))?;
        files.last_frame(&index)?;
        self.schema(connection)?;
        files.stamp(&index, connection)?;
        *files.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
        Ok(())
    }

    /// The check after COMMIT, before the answer.
    pub(crate) fn after_write(&self) -> Result<(), Problem> {
        let Some(files) = &self.files else { return Ok(()) };
        files.stamp_saved();
        let before = files.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            files.meanwhile(&before)?;
        }
        files.look(None)
    }

    /// The open `-shm`; `None`: there are no files. It is not closed while a connection is open.
    pub(crate) fn wal_index(&self) -> Option<&File> {
        self.files.as_ref().map(|files| &*files.shm_file)
    }

    /// Whether the file has everything that is in the log, so that the log can start over.
    pub(crate) fn is_folded_back(&self) -> bool {
        let files = self.files.as_ref();
        files.is_some_and(|files| Index::read(&files.shm_file).is_ok_and(|index| index.is_folded_back()))
    }

    fn look(&self) -> Result<(), Problem> {
        self.files.as_ref().map_or(Ok(()), |files| files.look(Some(&files.index()?)))
    }

    /// The check where nothing is written. Stops the store after an accident.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stopped`].
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.health.check()?;
        self.look().map_err(|problem| self.stop(problem, None))
    }

    /// The same for readiness, which is asked all the time: it only tells. The check once a second stops the store then, with a
    /// connection that can save the log and a line that says how.
    pub(crate) fn tell(&self) -> Result<(), StoreError> {
        self.health.check()?;
        self.look().map_err(|problem| StoreError::Stopped(problem.fault))
    }

    /// The check once a second, on a connection that is in no transaction.
    pub(crate) fn at_rest(&self, connection: &Connection) {
        if self.health.check().is_err() {
            return self.save_late(connection);
        }
        let looked = self.look().map_err(Trouble::from).and_then(|()| self.schema(connection));
        match looked {
            Ok(()) => {}
            Err(Trouble::Stop(problem)) => drop(self.stop(problem, Some(connection))),
            Err(Trouble::Fail(error)) => {
                if let Some(before) = self.health.failures.count("schema") {
                    tracing::warn!(%error, left_out = before, "the schema could not be read");
                }
            }
        }
    }

    /// Compares the whole schema when its version has changed: an administrator's new index does no harm.
    fn schema(&self, connection: &Connection) -> Result<(), Trouble> {
        let version = || connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get::<_, i64>(0));
        let found = version()?;
        if found == self.schema_version.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(what) = differences(connection, SCHEMA)?.into_iter().next() {
            let details = format!(
                "another program changed the schema: {what}. Undo that, or restore a backup, and start again; \
                 'seatkeeper check' lists all of it and the rows that break a promise."
            );
            return Err(Problem { fault: Fault::Schema, details }.into());
        }
        // When idle there is no transaction: keep the version only if it is still the same.
        if version()? == found {
            self.schema_version.store(found, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A read or a write found the file to be damaged. More likely it was replaced.
    pub(crate) fn stop_damaged(&self, error: &StoreError) -> StoreError {
        let problem = self.look().err().unwrap_or_else(|| Problem::damaged(error));
        self.stop(problem, None)
    }

    /// A failed checkpoint loses nothing, because the log has all changes. But after a failed sync the disk may not have them.
    pub(crate) fn checkpoint_failed(&self, error: &rusqlite::Error) {
        match error.sqlite_extended_error_code() {
            Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => self.stop_unsynced(error),
            _ => {
                if let Some(before) = self.health.failures.count("checkpoint") {
                    tracing::warn!(%error, left_out = before, "a checkpoint failed; it is tried again later");
                }
            }
        }
    }

    /// The system did not confirm that a change is on the disk.
    pub(crate) fn stop_unsynced(&self, error: &rusqlite::Error) {
        let details = format!(
            "{error}. Whether the last changes are on the disk is unknown; the next start reads what it has. Look at the system's log: \
             the disk may be failing."
        );
        self.health.stop(Fault::Sync, details);
    }

    /// Stops the store. `connection` is in no transaction: it saves the log, if that is still possible.
    pub(crate) fn stop(&self, Problem { fault, details }: Problem, connection: Option<&Connection>) -> StoreError {
        if self.health.check().is_ok() {
            let saved = match connection {
                Some(connection) => self.save(fault, connection),
                None => {
                    *self.to_save.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                    None
                }
            };
            self.health.stop(fault, format_args!("{details}{}", saved.unwrap_or_default()));
        }
        self.health.check().err().unwrap_or(StoreError::Stopped(fault))
    }

    fn save(&self, fault: Fault, connection: &Connection) -> Option<String> {
        self.files.as_ref()?.save(fault, connection)
    }

    fn save_late(&self, connection: &Connection) {
        let fault = self.to_save.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(saved) = fault.and_then(|fault| self.save(fault, connection)) {
            tracing::warn!("the store has stopped;{saved}");
        }
    }

    /// Called before a connection that can write is closed: a stopped store leaves the files as they are. The last connection
    /// would copy the WAL into the file and delete the file that is then at its path.
    pub(crate) fn before_close(&self, connection: &Connection) {
        if let (Ok(()), Err(problem)) = (self.health.check(), self.look()) {
            self.stop(problem, Some(connection));
        }
        self.save_late(connection);
        if self.health.check().is_err()
            && let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(%error, "the files may change when they are closed");
        }
    }
}

/// No version of a schema.
const NONE: i64 = -1;

struct Files {
    path: PathBuf,
    wal_path: PathBuf,
    main: Id,
    wal: Id,
    wal_file: File,
    shm_file: Arc<File>,
    seen: Mutex<Seen>,
    stamp: Mutex<Stamp>,
    /// The wal-index that the current transaction found.
    before: Mutex<Option<Index>>,
}

/// The WAL that has a copy of the first page, by its salts.
#[derive(Default)]
struct Stamp {
    saved: [u8; 8],
    /// Written, but not committed yet.
    written: Option<[u8; 8]>,
}

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id(u64, u64);

impl Id {
    fn of(file: &Metadata) -> Id {
        Id(file.dev(), file.ino())
    }

    /// For a file that every commit writes. It does not ask for times: since Linux 6.13 that makes the next write set a new time,
    /// and the sync after it save that time, which costs a third of a commit.
    fn at(path: &Path) -> std::io::Result<Id> {
        let file = statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?;
        Ok(Id(makedev(file.stx_dev_major, file.stx_dev_minor), file.stx_ino))
    }
}

/// The number of names of a file, without asking for its times; see [`Id::at`].
fn links(file: &File) -> std::io::Result<u32> {
    Ok(statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK)?.stx_nlink)
}

/// The file when it was last found right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Read before the other two, so that a checkpoint that began later does not count as known.
    checkpoint: Checkpoint,
    size: u64,
    modified: (i64, i64),
}

impl Seen {
    /// Whether the file is as it was.
    fn is(&self, main: &Metadata) -> bool {
        (self.size, self.modified) == (main.size(), (main.mtime(), main.mtime_nsec()))
    }
}

impl Files {
    fn new(path: &Path) -> Result<Files, OpenError> {
        let (wal_path, shm_path) = (beside(path, "-wal"), beside(path, "-shm"));
        let wal_file = File::open(&wal_path).map_err(|e| in_file(&wal_path, e))?;
        let shm_file = parked(&shm_path).map_err(|e| in_file(&shm_path, e))?;
        let wal = Id::of(&wal_file.metadata()?);
        let checkpoint = Index::read(&shm_file)?.checkpoint();
        let main = std::fs::metadata(path).map_err(|e| in_file(path, e))?;
        let seen = Seen { checkpoint, size: main.size(), modified: (main.mtime(), main.mtime_nsec()) };
        Ok(Files {
            path: path.to_owned(),
            wal_path,
            main: Id::of(&main),
            wal,
            wal_file,
            shm_file,
            seen: Mutex::new(seen),
            stamp: Mutex::default(),
            before: Mutex::default(),
        })
    }

    /// Checks that the files at their paths are the open ones, and that only checkpoints have changed the file. `index`: if it
    /// was read just now.
    fn look(&self, index: Option<&Index>) -> Result<(), Problem> {
        let main = match std::fs::metadata(&self.path) {
            Ok(main) if Id::of(&main) == self.main => main,
            Ok(_) => return Err(self.lost("another file was put in its place")),
            Err(error) => return Err(self.lost(&error.to_string())),
        };
        match Id::at(&self.wal_path) {
            Ok(wal) if wal == self.wal => {}
            Ok(_) => return Err(self.log_lost("another file was put in the place of the '-wal'")),
            Err(error) => return Err(self.log_lost(&format!("the '-wal': {error}"))),
        }
        // An accident to it affects only the next change.
        if index.is_some() && links(&self.shm_file).unwrap_or(0) == 0 {
            return Err(self.log_lost("the '-shm' was deleted or replaced"));
        }
        self.only_checkpoints(&main, index)
    }

    /// `before`: read before the file.
    fn only_checkpoints(&self, main: &Metadata, before: Option<&Index>) -> Result<(), Problem> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is(main) {
            seen.checkpoint = before.map_or(seen.checkpoint, Index::checkpoint);
            return Ok(());
        }
        // Read again while no other thread compares: since `main` was read, one may have accepted what a checkpoint wrote.
        let main = std::fs::metadata(&self.path).map_err(|error| self.lost(&error.to_string()))?;
        if seen.is(&main) {
            return Ok(());
        }
        // Read after the file: a checkpoint marks its beginning before it writes.
        let checkpoint = self.index()?.checkpoint();
        let is_under_way = checkpoint.folded_back < checkpoint.begun;
        if checkpoint == seen.checkpoint && !is_under_way {
            return Err(self.overwritten());
        }
        // The checkpoint that was read first: later writes are of this one, or of a later one.
        let again = std::fs::metadata(&self.path).map_err(|error| self.lost(&error.to_string()))?;
        *seen = Seen { checkpoint, size: again.size(), modified: (again.mtime(), again.mtime_nsec()) };
        Ok(())
    }

    /// After COMMIT: detects bytes overwritten during the transaction. The transaction's own writes would hide them from now on:
    /// its own frame is then the last of the log, and a log that it started over looks like a checkpoint.
    fn meanwhile(&self, before: &Index) -> Result<(), Problem> {
        // Read before the file and its index: what another thread sees later may be of a checkpoint that begins later.
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let main = std::fs::metadata(&self.path).map_err(|error| self.lost(&error.to_string()))?;
        let now = self.index()?;
        let is_same_log = now.salts() == before.salts();
        let found = self.begins(&now).and_then(|()| if is_same_log { self.last_frame(before) } else { Ok(()) });
        // Another program may start the log over after this COMMIT. Then the index says so first.
        if let Err(problem) = found
            && self.index()?.salts() == now.salts()
        {
            return Err(problem);
        }
        if is_same_log {
            return Ok(());
        }
        // A log that was copied completely had no further checkpoint, and the new log has none yet.
        let is_no_checkpoint = before.is_folded_back() && now.checkpoint().begun == 0 && now.frames() > 0;
        if is_no_checkpoint && !seen.is(&main) && Id::of(&main) == self.main {
            return Err(self.overwritten());
        }
        Ok(())
    }

    fn overwritten(&self) -> Problem {
        Problem {
            fault: Fault::File,
            details: format!(
                "{}: another program wrote over it. What it wrote does not fit to the '-wal'. Stop the service and restore a backup \
                 with 'seatkeeper restore'.",
                self.path.display()
            ),
        }
    }

    fn index(&self) -> Result<Index, Problem> {
        Index::read(&self.shm_file).map_err(|error| self.log_lost(&format!("the '-shm': {error}")))
    }

    /// Checks that the `-wal` has the beginning of the log.
    fn begins(&self, index: &Index) -> Result<(), Problem> {
        if index.frames() == 0 {
            return Ok(());
        }
        let mut head = [0; WAL_HEAD_BYTES as usize + FRAME_HEAD_BYTES];
        let found = self.wal_file.read_exact_at(&mut head, 0);
        let first = &head[WAL_HEAD_BYTES as usize..];
        if found.is_err() || head[16..24] != index.salts() || first[8..16] != index.salts() {
            return Err(self.log_overwritten());
        }
        Ok(())
    }

    fn log_overwritten(&self) -> Problem {
        self.log_lost("another program wrote over the '-wal', or cut it short")
    }

    /// Checks that the newest commit is in the `-wal`. Only in a write transaction.
    fn last_frame(&self, index: &Index) -> Result<(), Problem> {
        let Some(last) = index.frames().checked_sub(1) else { return Ok(()) };
        let mut head = [0; FRAME_HEAD_BYTES];
        let at = WAL_HEAD_BYTES + last * (FRAME_HEAD_BYTES as u64 + index.page_bytes());
        let found = self.wal_file.read_exact_at(&mut head, at);
        let number = |at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if found.is_err() || head[8..16] != index.salts() || [number(16), number(20)] != index.checksum() {
            return Err(self.log_overwritten());
        }
        Ok(())
    }

    /// Writes the first page once into each WAL. It contains the change counter of the file, which shows at the next start
    /// whether file and WAL belong together; see [`super::origin`].
    fn stamp(&self, index: &Index, connection: &Connection) -> rusqlite::Result<()> {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if index.frames() > 0 && stamp.saved == index.salts() {
            return Ok(());
        }
        // If this transaction starts the WAL over, the next one does it again.
        stamp.written = Some(index.salts());
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)
    }

    fn stamp_saved(&self) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        stamp.saved = stamp.written.take().unwrap_or(stamp.saved);
    }

    fn lost(&self, what: &str) -> Problem {
        let path = self.path.display();
        Problem {
            fault: Fault::File,
            details: format!(
                "{path}: {what}. If the file was moved, stop the service, move the file back beside its '-wal', and start again; \
                 else restore a backup."
            ),
        }
    }

    fn log_lost(&self, what: &str) -> Problem {
        Problem {
            fault: Fault::Log,
            details: format!("{}: {what}. Leave the files as they are, and start again.", self.path.display()),
        }
    }

    /// Copies changes that only a deleted log still has into the file, if that is safe; returns the text for the operator.
    fn save(&self, fault: Fault, connection: &Connection) -> Option<String> {
        let is_gone = |path: &Path| std::fs::metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        match fault {
            // No other program has opened the file without its log, or there would be a new log.
            Fault::Log if is_gone(&self.wal_path) && self.is_in_place() => Some(match fold_back(connection) {
                Ok(()) => " Nothing is lost: the file now holds everything that was saved.".to_owned(),
                Err(error) => format!(" Restore a backup: the newest changes are lost ({error})."),
            }),
            // Only its index is gone, which a start makes from the log.
            Fault::Log if Id::at(&self.wal_path).is_ok_and(|wal| wal == self.wal) => None,
            Fault::Log => Some(
                " The newest changes may be lost with the old log. Run 'seatkeeper check', and restore a backup if it is newer."
                    .to_owned(),
            ),
            // No other program can reach the deleted file.
            Fault::File if !self.is_in_place() => {
                let descriptor = self.deleted()?;
                fold_back(connection).ok()?;
                let process = std::process::id();
                let path = self.path.display();
                Some(format!(
                    " While this process lives, 'cp /proc/{process}/fd/{descriptor} FILE' saves the deleted database, and nothing is \
                     lost. Then stop the service, and run 'seatkeeper restore --database {path} --stopped-copy FILE'."
                ))
            }
            _ => None,
        }
    }

    fn is_in_place(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|main| Id::of(&main) == self.main)
    }

    /// The descriptor of the file, if it no longer has a name.
    fn deleted(&self) -> Option<String> {
        let descriptors = std::fs::read_dir("/proc/self/fd").ok()?;
        descriptors.flatten().find_map(|entry| {
            let file = std::fs::metadata(entry.path()).ok()?;
            let is_it = Id::of(&file) == self.main && file.nlink() == 0;
            is_it.then(|| entry.file_name().to_string_lossy().into_owned())
        })
    }
}

const WAL_HEAD_BYTES: u64 = 32;
const FRAME_HEAD_BYTES: usize = 24;

/// Copies all of the WAL into the file, and waits for readers to do so.
fn fold_back(connection: &Connection) -> Result<(), String> {
    const READERS_TIMEOUT: Duration = Duration::from_secs(2);
    let folded = connection.busy_timeout(READERS_TIMEOUT).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
    });
    match folded {
        Ok((0, all, done)) if all == done => Ok(()),
        Ok(_) => Err("other programs are reading it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
