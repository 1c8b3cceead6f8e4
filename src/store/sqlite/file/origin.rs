//! Whether a file and the `-wal` beside it belong together, found out before SQLite sees them: it would replay any log into
//! any file.
//!
//! A backup that is copied over a database whose service was killed meets the log of the old file. Nothing in the format
//! ties the two together, but the first page does: each time it is written its change counter grows by one, and the service
//! writes it once into each log. So the counter in the file is one less than that in the log's first copy of the page, or, once
//! that is folded back, as high as that of one of its copies. Copies that SQLite makes (`seatkeeper backup`, `.backup`, `VACUUM
//! INTO`) begin to count again. A copy of the bare file from the time of the same log passes: with the log it becomes what the
//! database was. One from the end of the log before may pass too; the verification at start finds what does not fit then.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::companions::{beside, header, length, parked};
use crate::store::OpenError;

/// Another program may fold back and start the log over between two of our reads.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// Refuses a file whose log is that of another. There need be no file.
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

/// An error that says of which file it is.
fn named(path: &Path, error: &std::io::Error) -> OpenError {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
}

fn belong_together(path: &Path, wal_path: &Path) -> std::io::Result<bool> {
    // A file has the WAL mode in its header before it gets a log, and loses the log before the mode; `seatkeeper backup` makes
    // files without that mode. Another program may switch it meanwhile, so the log is looked at twice.
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
    // The same schema is the same page, but for the numbers in its head. Of the page only what a disk writes at once is compared:
    // a power failure in the middle of a checkpoint leaves a new beginning before an old rest.
    let is_same_page = number(&page, SCHEMA_COOKIE) != number(&log.first, SCHEMA_COOKIE)
        || page[FILE_HEAD_BYTES..SECTOR_BYTES] == log.first[FILE_HEAD_BYTES..SECTOR_BYTES];
    Ok(log.counters.contains(&number(&page, CHANGE_COUNTER)) && is_same_page)
}

/// Whether there was enough to read. A disk that fails to read says nothing about whose a log is.
fn is_whole(read: std::io::Result<()>) -> std::io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// <https://www.sqlite.org/fileformat2.html#the_database_header>
const FILE_HEAD_BYTES: usize = 100;
/// A page has as many at least.
const SECTOR_BYTES: usize = 512;
const CHANGE_COUNTER: usize = 24;
const SCHEMA_COOKIE: usize = 40;

/// What a log says about the first page of its file.
#[derive(Clone)]
struct FirstPages {
    /// Change counters that the file can have.
    counters: RangeInclusive<u32>,
    /// The page, as it is first in the log.
    first: Vec<u8>,
}

impl FirstPages {
    /// `None`: no log, or one that does not write the first page.
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
        // As recovery does: a log ends with its last commit of which every frame is whole. After a power failure there may stand
        // anything behind that, such as the head of a frame without its page; and an older log's frames, with other salts.
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
                found = Some(FirstPages { counters: before..=counter, first });
            }
            let is_commit = number(&frame, 4) != 0;
            if is_commit {
                committed.clone_from(&found);
            }
        }
        Ok(committed)
    }
}

/// The checksum of a log, which goes on from frame to frame.
struct Checksum {
    is_big_endian: bool,
    words: [u32; 2],
}

impl Checksum {
    /// Of a multiple of eight bytes.
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

    /// Whether these bytes of the log say the same.
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

/// Makes the system forget what it remembers of the log, so that SQLite reads what the disk really has.
///
/// After a failed sync the system's cache may hold a change that the disk does not, and takes it for saved. Recovery would
/// then build on it, and a power failure would take it away from under what was saved later.
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
