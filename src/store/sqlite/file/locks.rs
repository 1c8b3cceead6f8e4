//! The locks that other programs hold on a database in WAL mode, found without taking a lock: SQLite locks single bytes of the
//! `-shm` (<https://www.sqlite.org/walformat.html#wal_locks>), and the system tells what is locked by another process. Locks of
//! this process are never among them.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::companions::{beside, described, openers, parked};
use super::wal_index::Index;

/// The byte that a writer locks.
const WRITER: u64 = 120;
/// The bytes that stand for the right to write, to make a checkpoint and to recover.
const EXCLUSIVE: std::ops::Range<u64> = WRITER..READERS;
/// The first of the bytes that readers lock.
const READERS: u64 = 123;
const READERS_MAX: usize = 5;

/// What other programs hold, and since when.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    writer: Option<Held>,
    readers: [Option<Held>; READERS_MAX],
    now: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    by: By,
    since: Instant,
}

/// A lock counts as the same one as long as all of this is the same. `place`: for a writer the end of the log, because a commit
/// ends the lock; for a reader the end of what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct By {
    /// 0: a process in another namespace.
    pid: i32,
    salts: [u8; 8],
    place: u64,
}

impl Locks {
    /// Looks at the locks now. They may have been released and taken again between two looks.
    pub(crate) fn look(&mut self, shm_file: &File, now: Instant) {
        let Ok(index) = Index::read(shm_file) else { return };
        let by = |byte, place| holder(shm_file, byte).map(|pid| By { pid, salts: index.salts(), place });
        self.writer = held(self.writer, by(WRITER, index.frames()), now);
        for (reader, byte) in self.readers.iter_mut().zip(READERS..) {
            let mark = index.number(100 + 4 * (byte - READERS) as usize);
            *reader = held(*reader, by(byte, mark.into()), now);
        }
        self.now = Some(now);
    }

    /// How long another program has held the lock of writers.
    pub(crate) fn writer(&self) -> Option<Duration> {
        Some(self.now?.duration_since(self.writer?.since))
    }

    /// Whether another program reads.
    pub(crate) fn has_reader(&self) -> bool {
        self.readers.iter().any(Option::is_some)
    }

    /// How long the oldest transaction of another program has run.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        let since = self.readers.iter().chain([&self.writer]).flatten().map(|held| held.since).min()?;
        Some(self.now?.duration_since(since))
    }
}

fn held(before: Option<Held>, by: Option<By>, now: Instant) -> Option<Held> {
    by.map(|by| before.filter(|before| before.by == by).unwrap_or(Held { by, since: now }))
}

/// The program that a writer waits for at this moment, with its number.
pub(crate) fn holder_of_writes(path: &Path) -> Option<String> {
    // Not closed again, because that would release SQLite's own locks.
    let shm_file = parked(&beside(path, "-shm")).ok()?;
    let pid = EXCLUSIVE.into_iter().find_map(|byte| holder(&shm_file, byte))?;
    Some(if pid == 0 { "a program in another container".to_owned() } else { described(pid) })
}

/// The other programs that have the file open for writing.
pub(crate) fn others(path: &Path) -> Vec<String> {
    openers(path).into_iter().map(described).collect()
}

/// The process that holds a lock on this byte; 0: one in another namespace.
fn holder(shm_file: &File, byte: u64) -> Option<i32> {
    let lock = Flock { start: byte, length: 1, offset_type: FlockOffsetType::Set, ..Flock::from(FlockType::WriteLock) };
    let found = fcntl_getlk(shm_file, &lock).ok()??;
    Some(found.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))
}
