//! The files beside a database file, and the programs that have them open.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::store::error::named;

/// The files that SQLite keeps beside a database: changes that are not in the file yet, and their index.
pub(crate) const SUFFIXES: [&str; 3] = ["-wal", "-journal", "-shm"];

/// The path with this suffix, beside the file itself if `path` is a link to it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(suffix);
    name.into()
}

/// The file of a connection. [`Connection::path`] has none if its name is not UTF-8.
pub(crate) fn file_of(connection: &Connection) -> rusqlite::Result<PathBuf> {
    // The first row is that of the main database.
    connection
        .query_row("PRAGMA database_list", [], |row| Ok(PathBuf::from(OsStr::from_bytes(row.get_ref(2)?.as_bytes()?))))
}

/// The length of a file in bytes; 0 if it does not exist.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Whether a WAL or a journal has changes that belong to the file.
pub(crate) fn has_changes_beside(path: &Path) -> bool {
    length(&beside(path, "-wal")) > 0 || length(&beside(path, "-journal")) > 0
}

/// An error of a file, with its name.
pub(crate) fn in_file(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", named(path)))
}

pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(a).is_some_and(|a| Some(a) == identity(b))
}

/// The relevant part of the first 100 bytes of a database file: <https://www.sqlite.org/fileformat2.html#the_database_header>.
pub(crate) struct Header {
    /// Whether changes go to a WAL. In files of `seatkeeper backup` they do not.
    pub is_wal: bool,
    /// The length that the file must have; `None`: the header does not say.
    pub length: Option<u64>,
    pub application_id: i32,
}

/// `None`: this is no SQLite file.
pub(crate) fn header(path: &Path) -> io::Result<Option<Header>> {
    let mut bytes = [0; 100];
    match parked(path)?.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if !bytes.starts_with(b"SQLite format 3\0") {
        return Ok(None);
    }
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let page = match u16::from_be_bytes([bytes[16], bytes[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The number of pages is valid if it was written with the newest change.
    let length = (word(24) == word(92)).then(|| u64::from(word(28)) * page);
    Ok(Some(Header { is_wal: bytes[18] == 2 || bytes[19] == 2, length, application_id: word(68).cast_signed() }))
}

/// Opens a file for reading, and leaves it open until it is deleted: when a process closes any descriptor of a file, it loses all
/// its locks on that file (POSIX), also those of SQLite's connections.
pub(crate) fn parked(path: &Path) -> io::Result<Arc<File>> {
    static PARKED: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());
    let named = fs::metadata(path)?;
    let is_it =
        |file: &Arc<File>| file.metadata().is_ok_and(|found| (found.dev(), found.ino()) == (named.dev(), named.ino()));
    let mut parked = PARKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = parked.iter().find(|file| is_it(file)) {
        return Ok(Arc::clone(file));
    }
    parked.retain(|file| file.metadata().is_ok_and(|found| found.nlink() > 0));
    let file = Arc::new(File::open(path)?);
    parked.push(Arc::clone(&file));
    Ok(file)
}

/// On drop, removes the companions that a read-only connection has made and may not remove itself.
pub(crate) struct Traces {
    path: PathBuf,
    made: Vec<PathBuf>,
}

impl Traces {
    /// Before the connection is opened.
    pub(crate) fn before(path: &Path) -> Traces {
        let companions = ["-wal", "-shm"].map(|suffix| beside(path, suffix));
        Traces { path: path.to_owned(), made: companions.into_iter().filter(|path| !path.exists()).collect() }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if !has_changes_beside(&self.path) && !self.made.is_empty() && users(&self.path).is_empty() {
            self.made.iter().for_each(|path| drop(fs::remove_file(path)));
        }
    }
}

/// The other programs that have a database or one of its companions open, as text.
///
/// Every connection in WAL mode holds locks on the file and on `-shm` until it is closed, also an idle one, and whatever the file
/// contains. Call it only while this process has no connection to them, because it would release their locks. If /proc can be
/// read, it also finds programs without a lock, and those whose file was deleted.
pub(crate) fn users(path: &Path) -> Vec<String> {
    let mut pids = Vec::new();
    let mut unknown = false;
    for path in [path.to_owned(), beside(path, "-shm")] {
        let lock = File::open(path).ok().and_then(|file| fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()?);
        match lock.map(|lock| lock.pid) {
            Some(Some(pid)) => pids.push(pid.as_raw_nonzero().get()),
            // It runs in another process namespace.
            Some(None) => unknown = true,
            None => {}
        }
    }
    pids.extend(openers(path));
    pids.sort_unstable();
    pids.dedup();
    let mut users: Vec<String> = pids.into_iter().map(described).collect();
    if users.is_empty() && unknown {
        users.push("another program".to_owned());
    }
    users
}

pub(crate) fn described(pid: i32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

/// The processes with a writable descriptor of one of the files, if /proc shows them. A process that only reads, like `cp`, is
/// harmless; SQLite's read-only connections hold locks.
pub(crate) fn openers(path: &Path) -> Vec<i32> {
    let paths: Vec<PathBuf> = SUFFIXES.iter().map(|suffix| beside(path, suffix)).chain([path.to_owned()]).collect();
    let identities: Vec<(u64, u64)> =
        paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|found| (found.dev(), found.ino())).collect();
    let deleted: Vec<PathBuf> = paths.iter().map(|path| beside(path, " (deleted)")).collect();
    let is_one = |descriptor: fs::DirEntry| {
        let descriptor = descriptor.path();
        // The link has the permissions with which the file was opened.
        fs::symlink_metadata(&descriptor).is_ok_and(|link| link.mode() & 0o200 != 0)
            && (fs::read_link(&descriptor).is_ok_and(|target| deleted.contains(&target))
                || fs::metadata(&descriptor).is_ok_and(|found| identities.contains(&(found.dev(), found.ino()))))
    };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| *pid != own);
    pids.filter(|pid: &i32| {
        let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.any(is_one)
    })
    .collect()
}
