//! Lists for slow clients: read from the database at once, stored, and sent as fast as the client reads them.
//!
//! A list comes from one snapshot of the database, and while a snapshot is open the log cannot start over. The client's speed
//! must not decide how long that lasts.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::{Holder, StoreError};
use crate::seats::LicenseType;

/// The most bytes of one list in memory. A longer list goes to a file.
const MEMORY_BYTES_MAX: usize = 1 << 16;
/// The most bytes of all lists of a store together. Further lists are refused.
const BYTES_MAX: u64 = 1 << 30;

/// The storage for the lists of a store.
#[derive(Clone)]
pub(super) struct Spools {
    /// The beginning of the names of files.
    prefix: PathBuf,
    bytes: Arc<AtomicU64>,
}

/// One list, in pages.
pub(super) struct Spool {
    spools: Spools,
    /// Bytes of each page.
    pages: Vec<usize>,
    /// All pages, if there is no file.
    memory: Vec<u8>,
    file: Option<File>,
    bytes: u64,
}

impl Spools {
    /// `prefix`: a writable directory with room, and the beginning of a file's name.
    pub(super) fn new(prefix: PathBuf) -> Spools {
        Spools { prefix, bytes: Arc::default() }
    }

    pub(super) fn list(&self) -> Spool {
        Spool { spools: self.clone(), pages: Vec::new(), memory: Vec::new(), file: None, bytes: 0 }
    }

    /// A file without a name, which vanishes when it is closed, however the service ends.
    fn file(&self) -> std::io::Result<File> {
        let mut path = self.prefix.clone().into_os_string();
        path.push(uuid::Uuid::new_v4().to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }
}

impl Spool {
    /// # Errors
    ///
    /// [`StoreError::QueueFull`]: the present lists take too much room. [`StoreError::Failed`]: the disk has no room.
    pub(super) fn push(&mut self, page: &[Holder]) -> Result<(), StoreError> {
        let before = self.memory.len();
        for holder in page {
            let name = holder.username.as_bytes();
            let length =
                u16::try_from(name.len()).map_err(|_| StoreError::Failed("a user name is too long".to_owned()))?;
            self.memory.extend(length.to_le_bytes());
            self.memory.extend(name);
            self.memory.push(holder.license_type.index() as u8);
        }
        let added = self.memory.len() - before;
        self.pages.push(added);
        self.bytes += added as u64;
        if self.spools.bytes.fetch_add(added as u64, Ordering::Relaxed) + added as u64 > BYTES_MAX {
            return Err(StoreError::QueueFull);
        }
        if self.file.is_some() || self.memory.len() > MEMORY_BYTES_MAX {
            self.write().map_err(|error| StoreError::Failed(format!("a list could not be kept: {error}")))?;
        }
        Ok(())
    }

    fn write(&mut self) -> std::io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.spools.file()?,
        };
        let file = self.file.insert(file);
        file.write_all_at(&self.memory, self.bytes - self.memory.len() as u64)?;
        self.memory.clear();
        Ok(())
    }

    /// Sends the list, page by page. Waits for a slow receiver; ends when the receiver is gone.
    pub(super) async fn send(self, pages: mpsc::Sender<Vec<Holder>>) -> Result<(), StoreError> {
        let mut begin = 0;
        for &bytes in &self.pages {
            // The system's cache still has it.
            let page = match &self.file {
                None => decode(&self.memory[begin..begin + bytes]),
                Some(file) => {
                    let mut page = vec![0; bytes];
                    file.read_exact_at(&mut page, begin as u64)
                        .map_err(|error| StoreError::Failed(format!("a list could not be read: {error}")))?;
                    decode(&page)
                }
            };
            begin += bytes;
            pages.send(page).await.map_err(|_| StoreError::Closed)?;
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.spools.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn decode(mut page: &[u8]) -> Vec<Holder> {
    let mut holders = Vec::new();
    while let Some((length, rest)) = page.split_first_chunk() {
        let (name, rest) = rest.split_at(u16::from_le_bytes(*length).into());
        holders.push(Holder {
            username: String::from_utf8_lossy(name).into_owned(),
            license_type: LicenseType::ALL[usize::from(rest[0])],
        });
        page = &rest[1..];
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_comes_out_as_it_went_in_from_memory_and_from_a_file() {
        let directory = std::env::temp_dir().join(format!("seatkeeper-spool-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).expect("a directory");
        let spools = Spools::new(directory.join("list-"));
        for holders in [0, 1, 499, 1000, 60_000] {
            let holder = |n: usize| Holder {
                username: "ü".repeat(n % 30) + &n.to_string(),
                license_type: LicenseType::ALL[n % LicenseType::ALL.len()],
            };
            let list: Vec<Holder> = (0..holders).map(holder).collect();
            let mut spool = spools.list();
            list.chunks(500).for_each(|page| spool.push(page).expect("kept"));
            assert_eq!(spool.file.is_some(), holders > 10_000);
            assert_eq!(std::fs::read_dir(&directory).expect("a directory").count(), 0, "the file has no name");
            let (sender, mut receiver) = mpsc::channel(2);
            let sent = tokio::spawn(spool.send(sender));
            let mut got = Vec::new();
            while let Some(page) = receiver.recv().await {
                got.extend(page);
            }
            sent.await.expect("no panic").expect("sent");
            assert_eq!(got, list);
        }
        assert_eq!(spools.bytes.load(Ordering::Relaxed), 0);
        std::fs::remove_dir(directory).expect("empty");
    }

    #[test]
    fn lists_take_only_so_much_room() {
        let spools = Spools::new(PathBuf::from("none"));
        spools.bytes.store(BYTES_MAX - 10, Ordering::Relaxed);
        let page = [Holder { username: "somebody".to_owned(), license_type: LicenseType::SqlBackup }];
        let mut spool = spools.list();
        assert!(matches!(spool.push(&page), Err(StoreError::QueueFull)));
        drop(spool);
        assert_eq!(spools.bytes.load(Ordering::Relaxed), BYTES_MAX - 10);
    }
}
