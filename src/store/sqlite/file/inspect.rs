//! Connections that only read: they change neither the file nor the files beside it, and need no right to write.
//!
//! A file in WAL mode is read together with its log (`-wal`), whose index (`-shm`) is shared by the programs that have the file
//! open. An ordinary connection makes both if they are missing, which a check must not do and often cannot.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::companions::{beside, length};
use super::open::{absent, configure, sqlite};
use crate::store::OpenError;
use crate::store::sqlite::hand_written::BUSY_TIMEOUT;

/// The cache of each connection; sorting needs as much again.
const CACHE_KIB: i64 = 8 * 1024;
/// How often a look starts again because another program disturbed it.
const TRIES: usize = 3;

/// One look at a file, with any number of connections.
pub(crate) struct Look<'p> {
    path: &'p Path,
    way: Way,
    /// The file and its log before the look.
    stamps: [Option<Stamp>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The index exists: another program has the file open, or had it open when it was killed. Read like any reader.
    Shared,
    /// There is a log without its index, as after copying both: no program has the file open. The index is made in memory.
    Log,
    /// There is neither: no program has the file open, and it is read as a file that cannot change.
    Alone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed_at: Option<SystemTime>,
}

/// Looks at a file, and again if another program opens or changes it meanwhile.
///
/// # Errors
///
/// The error of `see`; a missing file, an empty one, and one whose last write was interrupted and must be undone first.
pub(crate) fn look<T>(path: &Path, see: impl Fn(&Look<'_>) -> Result<T, OpenError>) -> Result<T, OpenError> {
    for _ in 0..TRIES {
        let look = Look::at(path)?;
        let seen = see(&look);
        if look.is_undisturbed() {
            return seen;
        }
    }
    let reason = "other programs changed the file while it was read; try again".to_owned();
    Err(OpenError::Failed { path: path.to_owned(), reason })
}

/// A connection for a reader that cannot start again, in a directory where this program cannot make files.
pub(crate) fn connection(path: &Path) -> Result<Connection, OpenError> {
    Look::at(path)?.connection()
}

/// Whether a write to a file that is not in WAL mode was interrupted. A program that opens the file to write undoes it.
pub(crate) fn has_hot_journal(path: &Path) -> bool {
    length(&beside(path, "-journal")) > 0
}

impl<'p> Look<'p> {
    fn at(path: &'p Path) -> Result<Look<'p>, OpenError> {
        if let Some(absent) = absent(path)? {
            return Err(absent);
        }
        if has_hot_journal(path) {
            let reason = format!(
                "its last write was cut off, and {} says how to undo it; `seatkeeper sql` and `serve` do that when they open it",
                beside(path, "-journal").display()
            );
            return Err(OpenError::Failed { path: path.to_owned(), reason });
        }
        let way = if beside(path, "-shm").exists() {
            Way::Shared
        } else if length(&beside(path, "-wal")) > 0 {
            Way::Log
        } else {
            Way::Alone
        };
        Ok(Look { path, way, stamps: stamps(path) })
    }

    /// A connection that reads.
    pub(crate) fn connection(&self) -> Result<Connection, OpenError> {
        let failed = |e| sqlite(self.path, e);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.way {
            Way::Shared => Connection::open_with_flags(self.path, flags),
            // Without locks, which would keep no program out: only a writable file can be locked completely.
            Way::Log => Connection::open_with_flags_and_vfs(self.path, flags, c"unix-none"),
            Way::Alone => Connection::open_with_flags(uri(self.path), flags | OpenFlags::SQLITE_OPEN_URI),
        };
        let connection = connection.map_err(failed)?;
        if self.way == Way::Log {
            // Set before the first read, it keeps the index of the log in this connection's own memory.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(failed)?;
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        configure(&connection, self.path, BUSY_TIMEOUT, CACHE_KIB)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(connection)
    }

    fn is_undisturbed(&self) -> bool {
        self.way == Way::Shared || (!beside(self.path, "-shm").exists() && stamps(self.path) == self.stamps)
    }
}

fn stamps(path: &Path) -> [Option<Stamp>; 2] {
    [path, &beside(path, "-wal")].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some(Stamp { bytes: file.len(), changed_at: file.modified().ok() })
    })
}

/// The name with which SQLite opens a file as one that cannot change: without locks, log and journal.
fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(byte.into()),
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri + "?mode=ro&immutable=1"
}
