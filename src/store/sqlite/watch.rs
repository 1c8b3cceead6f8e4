//! Looks about once a second at the file and its surroundings, in a thread of its own: lengths, free disk, locks of other programs.
//! Whoever asks for the condition of the store gets the last look, so it costs nothing to ask often, and a disk that does not
//! answer keeps only this thread waiting.
//!
//! While changes cannot be saved, it also has the writer save a page of its own again and again: a service that is not ready may
//! get no calls, and would not find out that the disk has room again. And it has a log that has become long cut back: see
//! [`Shortener`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use rustix::fs::{AtFlags, CWD, StatxFlags, statvfs, statx};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::checkpoint::Checkpointer;
use super::file::companions::beside;
use super::file::guard::Guard;
use super::file::locks::Locks;
use super::file::open;
use super::file::temporary::directory_of;
use super::readers::Readers;
use super::writer::Writer;
use crate::store::{Condition, OpenError, StoreError};

/// The interval between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same while another program holds the lock, so that its end is noticed soon.
const LOCKED_INTERVAL: Duration = Duration::from_millis(100);
/// With less free disk no page is saved to try: a short change may fit where others do not.
const TRY_FREE_MIN: u64 = 1024 * 1024;
/// Work that makes no step for so long looks stuck. A change of many rows makes steps all the time, but its commit is one: on a
/// slow disk that may take a minute.
const STUCK: Duration = Duration::from_secs(120);

pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    is_closed: Mutex<bool>,
    closed: Condvar,
    seen: Mutex<Condition>,
}

impl Watch {
    /// Looks once, and then in a thread of its own.
    pub(super) fn start(
        path: &Path,
        busy_timeout: Duration,
        guard: &Arc<Guard>,
        readers: &Arc<Readers>,
        writer: &Arc<Writer>,
        shortener: Shortener,
    ) -> Result<Watch, OpenError> {
        let shared = Arc::new(Shared::default());
        let mut looker = Looker {
            directory: directory_of(path).to_owned(),
            path: path.to_owned(),
            wal_path: beside(path, "-wal"),
            upkeep: open::reader(path, busy_timeout)?,
            locks: Locks::default(),
            guard: Arc::clone(guard),
            readers: Arc::clone(readers),
            writer: Arc::downgrade(writer),
            shortener,
            trying: None,
        };
        shared.set(looker.look());
        let thread = std::thread::Builder::new().name("store-watch".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut interval = INTERVAL;
                // Without a writer the store was dropped.
                while shared.wait(interval) && looker.writer.strong_count() > 0 {
                    let condition = looker.look();
                    interval = if condition.lock_held.is_some() { LOCKED_INTERVAL } else { INTERVAL };
                    shared.set(condition.clone());
                    looker.act(&condition);
                }
            }
        })?;
        Ok(Watch { shared, thread: Mutex::new(Some(thread)) })
    }

    /// What was last seen; what the store itself knows is of now.
    pub(super) fn condition(&self, guard: &Guard, writer: &Writer) -> Condition {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let health = &guard.health;
        Condition {
            commit_failed: health.commit_failed(),
            verification_failed: health.is_verification_failed(),
            stuck: match writer.has_died() {
                true => Some(STUCK),
                false => health.progress.stuck().filter(|stuck| *stuck >= STUCK),
            },
            fault: health.fault(),
            ..seen
        }
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        *self.shared.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.closed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread that watches the file panicked");
        }
    }
}

impl Shared {
    fn set(&self, condition: Condition) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// Waits; returns whether the thread may go on.
    fn wait(&self, time: Duration) -> bool {
        let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.closed.wait_timeout_while(is_closed, time, |is_closed| !*is_closed);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Looker {
    path: PathBuf,
    wal_path: PathBuf,
    directory: PathBuf,
    /// A connection that only reads when the tasks of upkeep were done.
    upkeep: Connection,
    locks: Locks,
    guard: Arc<Guard>,
    readers: Arc<Readers>,
    writer: Weak<Writer>,
    shortener: Shortener,
    /// The answer to a page that is being saved.
    trying: Option<oneshot::Receiver<Result<(), StoreError>>>,
}

impl Looker {
    fn look(&mut self) -> Condition {
        if let Some(index) = self.guard.wal_index() {
            self.locks.look(index, Instant::now());
        }
        let own = self.readers.oldest().max(self.guard.health.progress.running());
        let [last_backup, last_check] = self.upkeep().unwrap_or_default();
        Condition {
            seen_at: Some(Timestamp::now()),
            looked_at: Some(Instant::now()),
            database_bytes: length(&self.path),
            wal_bytes: length(&self.wal_path),
            disk_free_bytes: statvfs(&self.directory).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            oldest_transaction: own.max(self.locks.oldest()),
            lock_held: self.locks.writer(),
            last_backup,
            last_check,
            ..Condition::default()
        }
    }

    /// When the last backup and the last verification were made.
    fn upkeep(&self) -> rusqlite::Result<[Option<Timestamp>; 2]> {
        // The file may not be the one that is open.
        if self.guard.health.fault().is_some() {
            return Ok([None; 2]);
        }
        let mut last = [None; 2];
        let mut statement = self.upkeep.prepare_cached("SELECT task, at FROM upkeep")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (task, at): (String, String) = (row.get(0)?, row.get(1)?);
            last[usize::from(task == "check")] = at.parse().ok();
        }
        Ok(last)
    }

    /// Has the writer save a page, if that is of use.
    fn act(&mut self, condition: &Condition) {
        let is_waiting =
            self.trying.as_mut().is_some_and(|trying| matches!(trying.try_recv(), Err(TryRecvError::Empty)));
        if is_waiting || self.guard.health.fault().is_some() {
            return;
        }
        let may_fit = condition.disk_free_bytes.is_none_or(|free| free >= TRY_FREE_MIN);
        let is_wanted = match self.guard.health.commit_failed() {
            Some(_) => may_fit,
            None => {
                let is_read = self.locks.has_reader() || self.readers.oldest().is_some();
                self.shortener.wants_commit(condition.wal_bytes, &self.guard, is_read)
            }
        };
        self.trying = if is_wanted { self.writer.upgrade().and_then(|writer| writer.save_page()) } else { None };
    }
}

/// Has a log cut back that became long while a reader needed it, or by one large change: calls may come much later, or never.
///
/// A log that the file has completely starts over with the next commit, and that commit cuts its file back.
pub(super) struct Shortener {
    checkpoints: Arc<Checkpointer>,
    wal_bytes_max: u64,
    tried_at: Option<Instant>,
}

/// A reader of this process that is not counted, such as a verification, may stand in the way: then it is tried again.
const SHORTEN_INTERVAL: Duration = Duration::from_secs(5);

impl Shortener {
    pub(super) fn new(checkpoints: &Arc<Checkpointer>, wal_bytes_max: u64) -> Shortener {
        Shortener { checkpoints: Arc::clone(checkpoints), wal_bytes_max, tried_at: None }
    }

    /// Whether a commit would cut the log back. If a checkpoint is needed before that, it is asked for.
    fn wants_commit(&mut self, wal_bytes: Option<u64>, guard: &Guard, is_read: bool) -> bool {
        if is_read || wal_bytes.is_none_or(|bytes| bytes <= self.wal_bytes_max) {
            self.tried_at = None;
            return false;
        }
        if guard.is_folded_back() {
            let is_due = self.tried_at.is_none_or(|at| at.elapsed() >= SHORTEN_INTERVAL);
            self.tried_at = if is_due { Some(Instant::now()) } else { self.tried_at };
            return is_due;
        }
        self.checkpoints.ask();
        false
    }
}

/// The length of a file. It does not ask for times; see the guard.
fn length(path: &Path) -> Option<u64> {
    statx(CWD, path, AtFlags::empty(), StatxFlags::SIZE).ok().map(|file| file.stx_size)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::Metrics;
    use crate::store::sqlite::SqliteStore;
    use crate::store::sqlite::checkpoint::Sizes;
    use crate::store::{Administration as _, Options};

    const KIB: u64 = 1024;

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Without a call that would do it: after a reader of the service, and after a change by another program that makes a long log.
    #[test]
    fn the_log_is_cut_back_when_the_reader_has_ended() {
        let directory = std::env::temp_dir().join(format!("seatkeeper-watch-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).expect("a directory");
        let path = directory.join("seats.db");
        crate::store::sqlite::create(&path).expect("made");
        let sizes = Sizes { interval_frames: 20, wal_bytes_max: 200 * KIB };
        let store = SqliteStore::open_sized(&path, &Options::default(), Arc::new(Metrics::new()), sizes).expect("open");
        let log = || length(&beside(&path, "-wal")).expect("the log");
        let grow = |connection: &Connection, kib: u64| {
            let row = format!("INSERT INTO filler VALUES (zeroblob({}))", 10 * KIB);
            for _ in 0..kib / 10 {
                connection.execute_batch(&row).expect("written");
            }
        };
        // An administrator's own table is no change of the schema.
        let other = open::connect(&path, Duration::from_secs(5), false).expect("open");
        other.execute_batch("CREATE TABLE filler (x); PRAGMA wal_autocheckpoint = 0").expect("a table");

        let reader = open::reader(&path, Duration::from_secs(5)).expect("open");
        reader.execute_batch("BEGIN; SELECT count(*) FROM filler").expect("a snapshot");
        grow(&other, 1000);
        assert!(log() > 1000 * KIB, "{}", log());
        std::thread::sleep(Duration::from_millis(1500));
        assert!(log() > 1000 * KIB, "the reader needs it: {}", log());
        reader.execute_batch("COMMIT").expect("ended");
        wait_until("it is cut back after a reader", || log() <= 200 * KIB);
        grow(&other, 1000);
        wait_until("it is cut back after a large change", || log() <= 200 * KIB);
        assert_eq!(store.guard.health.fault(), None);
        assert_eq!(other.query_row("SELECT count(*) FROM filler", [], |row| row.get(0)), Ok(200));
        store.close();
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
