//! Finds out whether a file and the `-wal` beside it belong together, before SQLite sees them: SQLite would replay any log into
//! any file.
//!
//! A backup that is copied over a database whose service was killed has the log of the old file beside it. The format does not
//! link the two, but the first page does: each write increments its change counter, and the service writes it once into each log.
//! So the counter in the file is one less than that in the log's first copy of the page, or, once that is copied into the file,
//! equal to that of one of its copies. Copies that SQLite makes (`seatkeeper backup`, `.backup`, `VACUUM INTO`) start a new
//! count. A copy of the bare file from the time of the same log passes: with the log it becomes the same database. A copy from
//! the end of the previous log may pass too; then the verification at start finds the rows that do not fit.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::companions::{beside, header, length, parked};
use crate::store::OpenError;

/// Another program may make a checkpoint and start the log over between two of our reads.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// Refuses a file whose log belongs to another file. The file may be missing.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    if !path.exists() {
        return Ok(());
    }
    let wal_path = beside(path, "-wal");
    for _ in 0..TRIES {
        if belong_together(path, &wal_path).map_err(|error| named(path, &error))? {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(OpenError::ForeignLog(path.to_owned()))
}

/// An error with the name of its file.
fn named(path: &Path, error: &std::io::Error) -> OpenError {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
}

fn belong_together(path: &Path, wal_path: &Path) -> std::io::Result<bool> {
    // A file has the WAL mode in its header before it gets a log, and loses the log before the mode; `seatkeeper backup` makes
    // files without that mode. Another program may switch it meanwhile, so the log is checked twice.
    let has_log = || length(wal_path) > 0;
    if has_log() && length(path) > 0 && header(path)?.is_none_or(|header| !header.is_wal) && has_log() {
        return Ok(false);
    }
    let Some(log) = FirstPages::in_log(wal_path)? else { return Ok(true) };
    let mut page = vec![0; log.first.len()];
    // SQLite would delete the log of an empty file.
    if !is_whole(parked(path)?.read_exact_at(&mut page, 0))? {
        return Ok(false);
    }
    if page_bytes(&page) != log.first.len() {
        return Ok(false);
    }
    // The same schema gives the same page, except for the numbers in its head. Compares only the part of the page that a disk
    // writes at once: a power failure during a checkpoint leaves a new beginning before an old rest.
    // A sector may be torn too: it then has the numbers of the newest copy, which no other file has, before an old rest.
    let is_same_page = number(&page, SCHEMA_COOKIE) != number(&log.first, SCHEMA_COOKIE)
        || page[NUMBERS] == log.newest
        || page[FILE_HEAD_BYTES..SECTOR_BYTES] == log.first[FILE_HEAD_BYTES..SECTOR_BYTES];
    Ok(log.counters.contains(&number(&page, CHANGE_COUNTER)) && is_same_page)
}

/// Whether there was enough to read. A read error of the disk proves nothing about the log.
fn is_whole(read: std::io::Result<()>) -> std::io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// <https://www.sqlite.org/fileformat2.html#the_database_header>
const FILE_HEAD_BYTES: usize = 100;
/// The smallest page.
const SECTOR_BYTES: usize = 512;
const CHANGE_COUNTER: usize = 24;
const SCHEMA_COOKIE: usize = 40;
/// The change counter, the pages of the file, the first free page, the number of those, and the schema cookie.
const NUMBERS: Range<usize> = CHANGE_COUNTER..SCHEMA_COOKIE + 4;

/// The copies of the first page in a log.
#[derive(Clone)]
struct FirstPages {
    /// The change counters that the file can have.
    counters: RangeInclusive<u32>,
    /// The first copy of the page in the log.
    first: Vec<u8>,
    /// The numbers of the last copy, which a checkpoint writes into the file.
    newest: [u8; NUMBERS.end - NUMBERS.start],
}

impl FirstPages {
    /// `None`: no log, or one without the first page.
    fn in_log(path: &Path) -> std::io::Result<Option<FirstPages>> {
        // <https://www.sqlite.org/fileformat2.html#wal_file_format>. SQLite locks no `-wal`, so it may be opened and closed.
        let mut log = match File::open(path) {
            Ok(log) => BufReader::with_capacity(1 << 16, log),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut head = [0; 32];
        if !is_whole(log.read_exact(&mut head))? || number(&head, 0) & !1 != WAL_MAGIC {
            return Ok(None);
        }
        let page_bytes = number(&head, 8);
        if !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
            return Ok(None);
        }
        let mut sum = Checksum { is_big_endian: number(&head, 0) & 1 == 1, words: [0; 2] };
        sum.add(&head[..24]);
        if !sum.is_at(&head[24..]) {
            return Ok(None);
        }
        let mut found: Option<FirstPages> = None;
        // As in recovery, a log ends with its last complete commit. After a power failure any bytes may follow it, such as the
        // head of a frame without its page; or frames of an older log, with other salts.
        let mut committed = None;
        let mut frame = [0; 24];
        let mut page = vec![0; page_bytes as usize];
        while is_whole(log.read_exact(&mut frame))?
            && frame[8..16] == head[16..24]
            && is_whole(log.read_exact(&mut page))?
        {
            sum.add(&frame[..8]);
            sum.add(&page);
            if !sum.is_at(&frame[16..]) {
                break;
            }
            if number(&frame, 0) == 1 {
                let counter = number(&page, CHANGE_COUNTER);
                let before = found.as_ref().map_or(counter.saturating_sub(1), |found| *found.counters.start());
                let first = found.map_or_else(|| page.clone(), |found| found.first);
                let mut newest = [0; NUMBERS.end - NUMBERS.start];
                newest.copy_from_slice(&page[NUMBERS]);
                found = Some(FirstPages { counters: before..=counter, first, newest });
            }
            let is_commit = number(&frame, 4) != 0;
            if is_commit {
                committed.clone_from(&found);
            }
        }
        Ok(committed)
    }
}

/// The checksum of a log, which continues from frame to frame.
struct Checksum {
    is_big_endian: bool,
    words: [u32; 2],
}

impl Checksum {
    /// Adds a multiple of eight bytes.
    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.words;
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
            };
            first = first.wrapping_add(word(0)).wrapping_add(second);
            second = second.wrapping_add(word(4)).wrapping_add(first);
        }
        self.words = [first, second];
    }

    /// Whether these bytes of the log are the same checksum.
    fn is_at(&self, stored: &[u8]) -> bool {
        self.words == [number(stored, 0), number(stored, 4)]
    }
}

const WAL_MAGIC: u32 = 0x377f_0682;

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn page_bytes(first_page: &[u8]) -> usize {
    match u16::from_be_bytes([first_page[16], first_page[17]]) {
        1 => 65_536,
        bytes => bytes.into(),
    }
}

/// Makes the system drop its cached pages of the log, so that SQLite reads the bytes on the disk.
///
/// After a failed sync the system's cache may have a change that the disk does not have, and treat it as saved. Recovery would
/// then build on it, and after a power failure later changes would lack their base.
pub(crate) fn forget_cached_log(path: &Path) -> Result<(), OpenError> {
    let wal_path = beside(path, "-wal");
    let mut log = match File::open(&wal_path) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(named(&wal_path, &error)),
    };
    if log.seek(SeekFrom::End(0)).map_err(|error| named(&wal_path, &error))? == 0 {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        OpenError::Setting(format!(
            "{}: the disk cannot save it: {error}. Copy the files to another disk.",
            wal_path.display()
        ))
    };
    log.sync_all().map_err(failed)?;
    rustix::fs::fadvise(&log, 0, None, rustix::fs::Advice::DontNeed).map_err(|e| failed(e.into()))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A power failure during the first checkpoint after a change of the schema: of the first page any beginning may be new.
    #[test]
    fn a_torn_first_page_belongs_to_its_log() {
        let directory = std::env::temp_dir().join(format!("seatkeeper-origin-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory");
        let (used, left) = (directory.join("used.db"), directory.join("left.db"));
        let connection = Connection::open(&used).expect("open");
        connection
            .execute_batch(
                "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; CREATE TABLE one (a); PRAGMA wal_checkpoint(TRUNCATE);
                 PRAGMA wal_autocheckpoint = 0; BEGIN; CREATE TABLE two (a); CREATE TABLE three (a); COMMIT;",
            )
            .expect("SQL");
        let old = std::fs::read(&used).expect("a file");
        let log = std::fs::read(beside(&used, "-wal")).expect("a log");
        std::fs::write(beside(&left, "-wal"), &log).expect("a log");
        // The head of the log and that of the first frame, which has the first page.
        let new = &log[32 + 24..][..4096];
        assert_eq!(number(&log, 32), 1);
        for torn_at in [0, 27, 28, 43, 44, 47, 100, 104, 110, 300, 511, 512, 4096] {
            let mut file = old.clone();
            file[..torn_at].copy_from_slice(&new[..torn_at]);
            std::fs::write(&left, &file).expect("a file");
            assert!(belong_together(&left, &beside(&left, "-wal")).expect("read"), "torn at {torn_at}");
        }
        // Another file has other numbers.
        for at in [CHANGE_COUNTER + 3, SCHEMA_COOKIE - 1, 110] {
            let mut file = old.clone();
            file[..4096].copy_from_slice(new);
            file[at] ^= 0x11;
            file[110] ^= 0x11;
            std::fs::write(&left, &file).expect("a file");
            let together = belong_together(&left, &beside(&left, "-wal")).expect("read");
            assert_eq!(together, at == 110, "another byte at {at}");
        }
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
