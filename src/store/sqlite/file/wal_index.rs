//! Reads SQLite's wal-index (`-shm`): the length of the log, and how much of it is copied into the file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The last checkpoint, according to the wal-index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) salts: [u8; 8],
    pub(super) folded_back: u32,
    /// Written before the first page is written to the file.
    pub(super) begun: u32,
}

/// The first bytes of the wal-index, <https://www.sqlite.org/walformat.html#the_wal_index_file_format>.
pub(super) struct Index([u8; 136]);

impl Index {
    pub(super) fn read(shm_file: &File) -> std::io::Result<Index> {
        let mut bytes = [0; 136];
        shm_file.read_exact_at(&mut bytes, 0)?;
        Ok(Index(bytes))
    }

    pub(super) fn number(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    pub(super) fn salts(&self) -> [u8; 8] {
        std::array::from_fn(|i| self.0[32 + i])
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { salts: self.salts(), folded_back: self.number(96), begun: self.number(128) }
    }

    /// Whether a checkpoint has nothing to do, and none is running.
    pub(super) fn is_folded_back(&self) -> bool {
        let checkpoint = self.checkpoint();
        u64::from(checkpoint.folded_back) == self.frames() && checkpoint.begun == checkpoint.folded_back
    }

    pub(super) fn frames(&self) -> u64 {
        self.number(16).into()
    }

    pub(super) fn page_bytes(&self) -> u64 {
        match u16::from_ne_bytes([self.0[14], self.0[15]]) {
            1 => 65_536,
            bytes => bytes.into(),
        }
    }

    /// The checksum of the last frame.
    pub(super) fn checksum(&self) -> [u32; 2] {
        [self.number(24), self.number(28)]
    }
}
