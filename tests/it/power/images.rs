//! A disk with a cache in front of it, at a moment of a trace; and what it may hold after the power went out at that moment.
//!
//! What was written before the last completed sync of a file is durable. Of what was written to it since, any part may be there:
//! nothing, all, some writes, some sectors of them, a part of a sector; and its size may have changed or not. A file that was
//! made, removed or renamed may have its old name or its new one until its directory was synced. After a sync that failed, what was
//! written before it is lost, although programs still read it: so it is on Linux, where the next sync succeeds without it.

use std::collections::{BTreeMap, HashMap};

use super::trace::{Event, Sync};
use crate::kill::Random;

/// What the disk stores as one piece, if the power does not go out while it does.
const SECTOR: usize = 512;

/// The disk at a moment of the trace.
#[derive(Default)]
pub struct Disk<'t> {
    /// By a number of ours: an inode is used again when its file is gone.
    files: Vec<File<'t>>,
    current: HashMap<u64, usize>,
    names: BTreeMap<String, usize>,
    name_changes: Vec<(usize, NameChange<'t>)>,
    directory_inode: u64,
    syncs: HashMap<Sync, usize>,
    ignores_syncs: bool,
}

#[derive(Default)]
struct File<'t> {
    durable: Vec<u8>,
    /// Each with the number of its event.
    unsynced: Vec<(usize, Change<'t>)>,
}

#[derive(Clone, Copy)]
enum Change<'t> {
    Write { offset: usize, data: &'t [u8] },
    Truncate { size: usize },
}

#[derive(Clone, Copy)]
enum NameChange<'t> {
    Is { name: &'t str, file: usize },
    IsGone { name: &'t str },
}

/// A file as it was when the trace began: name, inode and content.
pub type Before = (String, u64, Vec<u8>);

/// A file of an image: name and content.
pub type ImageFile = (String, Vec<u8>);

impl<'t> Disk<'t> {
    /// `ignores_syncs`: the disk says that a sync is done, and does nothing.
    pub fn new(directory_inode: u64, before: &[Before], ignores_syncs: bool) -> Disk<'t> {
        let mut disk = Disk { directory_inode, ignores_syncs, ..Disk::default() };
        for (name, inode, content) in before {
            disk.current.insert(*inode, disk.files.len());
            disk.names.insert(name.clone(), disk.files.len());
            disk.files.push(File { durable: content.clone(), unsynced: Vec::new() });
        }
        disk
    }

    /// Does what the program did.
    pub fn advance(&mut self, number: usize, event: &'t Event) {
        match event {
            Event::Create { inode, name } => {
                let file = self.files.len();
                self.files.push(File::default());
                self.current.insert(*inode, file);
                self.name_changes.push((number, NameChange::Is { name, file }));
            }
            Event::Write { inode, offset, data } => {
                self.file(*inode).unsynced.push((number, Change::Write { offset: *offset, data }));
            }
            Event::Truncate { inode, size } => {
                self.file(*inode).unsynced.push((number, Change::Truncate { size: *size }))
            }
            Event::SyncBegin { sync } => drop(self.syncs.insert(*sync, number)),
            Event::SyncEnd { inode, sync } => {
                let begin = self.syncs.remove(sync).expect("a sync begins before it ends");
                if !self.ignores_syncs {
                    self.sync(*inode, begin);
                }
            }
            Event::SyncFailed { inode, sync } => {
                let begin = self.syncs.remove(sync).expect("a sync begins before it fails");
                self.file(*inode).unsynced.retain(|(number, _)| *number >= begin);
            }
            Event::Unlink { name } => self.name_changes.push((number, NameChange::IsGone { name })),
            Event::Rename { inode, from, to } => {
                let file = self.current[inode];
                self.name_changes.push((number, NameChange::IsGone { name: from }));
                self.name_changes.push((number, NameChange::Is { name: to, file }));
            }
            Event::Sent { .. } | Event::Exit { .. } => {}
        }
    }

    fn file(&mut self, inode: u64) -> &mut File<'t> {
        &mut self.files[self.current[&inode]]
    }

    /// Makes durable what was written before this event.
    fn sync(&mut self, inode: u64, begin: usize) {
        if inode == self.directory_inode {
            let rest = self.name_changes.partition_point(|(number, _)| *number < begin);
            self.name_changes.drain(..rest).for_each(|(_, change)| change.apply(&mut self.names));
            return;
        }
        let file = self.file(inode);
        let rest = file.unsynced.partition_point(|(number, _)| *number < begin);
        file.unsynced.drain(..rest).for_each(|(_, change)| change.apply(&mut file.durable));
    }

    /// What is on the disk after the power went out now, and in what way.
    pub fn image(&self, random: &mut Random) -> (Loss, Vec<ImageFile>) {
        let loss = Loss::ALL[random.below(Loss::ALL.len() as u64) as usize];
        let mut names = self.names.clone();
        let kept = random.below(self.name_changes.len() as u64 + 1) as usize;
        for (at, (_, change)) in self.name_changes.iter().enumerate() {
            let keep = match loss {
                Loss::Nothing => true,
                Loss::Everything => false,
                // In the order in which they were made, as file systems with a journal do it.
                Loss::Tail => at < kept,
                Loss::Writes | Loss::Sectors | Loss::Torn => random.below(2) == 0,
            };
            if keep {
                change.apply(&mut names);
            }
        }
        let files = names.into_iter().map(|(name, file)| (name, self.files[file].after(loss, random)));
        (loss, files.collect())
    }
}

impl NameChange<'_> {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Is { name, file } => drop(names.insert(name.to_owned(), file)),
            NameChange::IsGone { name } => drop(names.remove(name)),
        }
    }
}

impl Change<'_> {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, data } => write(content, offset, data),
            Change::Truncate { size } => content.resize(size, 0),
        }
    }
}

/// Of what was not synced, what is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// As if only the program had been killed.
    Nothing,
    Everything,
    /// Everything after some moment, in the midst of a write.
    Tail,
    /// Some writes, whole.
    Writes,
    /// Some sectors of some writes.
    Sectors,
    /// The same, and sectors are torn too.
    Torn,
}

impl Loss {
    const ALL: [Loss; 6] = [Loss::Nothing, Loss::Everything, Loss::Tail, Loss::Writes, Loss::Sectors, Loss::Torn];
}

impl File<'_> {
    /// The content after a loss.
    fn after(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let last = random.below(self.unsynced.len() as u64 + 1) as usize;
        // Few or many of them.
        let kept_of_8 = random.between(1, 7);
        for (at, (_, change)) in self.unsynced.iter().enumerate() {
            match (loss, *change) {
                (Loss::Nothing, change) => change.apply(&mut content),
                (Loss::Everything, _) => break,
                (Loss::Tail, change) if at < last => change.apply(&mut content),
                (Loss::Tail, Change::Write { offset, data }) if at == last => {
                    let sectors = random.below(sectors(offset, data).count() as u64 + 1) as usize;
                    for (offset, data) in self::sectors(offset, data).take(sectors) {
                        write(&mut content, offset, data);
                    }
                }
                (Loss::Tail, _) => break,
                (Loss::Writes, change) | (_, change @ Change::Truncate { .. }) => {
                    if random.below(8) < kept_of_8 {
                        change.apply(&mut content);
                    }
                }
                (Loss::Sectors | Loss::Torn, Change::Write { offset, data }) => {
                    for (offset, data) in sectors(offset, data) {
                        let torn = loss == Loss::Torn && random.below(16) == 0;
                        match random.below(8) < kept_of_8 {
                            true if torn => {
                                write(&mut content, offset, &data[..random.below(data.len() as u64) as usize])
                            }
                            true => write(&mut content, offset, data),
                            // The file has grown, and the sector is not there.
                            false if random.below(2) == 0 => grow(&mut content, offset + data.len()),
                            false => {}
                        }
                    }
                }
            }
        }
        content
    }
}

fn write(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    grow(content, offset + data.len());
    content[offset..offset + data.len()].copy_from_slice(data);
}

fn grow(content: &mut Vec<u8>, size: usize) {
    content.resize(content.len().max(size), 0);
}

/// The parts of a write that lie in one sector each.
fn sectors(mut offset: usize, mut data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let length = (SECTOR - offset % SECTOR).min(data.len());
        let (sector, rest) = data.split_at(length);
        let at = offset;
        (data, offset) = (rest, offset + length);
        (length > 0).then_some((at, sector))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One file of 1,024 bytes of 'a'; 'b' is written over its second sector and beyond, with a sync of what came before.
    fn events() -> Vec<Event> {
        vec![
            Event::Write { inode: 7, offset: 0, data: vec![b'0'; 4] },
            Event::SyncBegin { sync: (1, 1) },
            Event::Write { inode: 7, offset: 512, data: vec![b'b'; 1024] },
            Event::SyncEnd { inode: 7, sync: (1, 1) },
        ]
    }

    #[test]
    fn what_was_written_after_a_sync_began_is_not_durable_with_it() {
        let events = events();
        let before = [("f".to_owned(), 7, vec![b'a'; 1024])];
        let mut seen = std::collections::BTreeSet::new();
        for seed in 1..200 {
            for ignores_syncs in [false, true] {
                let mut disk = Disk::new(1, &before, ignores_syncs);
                events.iter().enumerate().for_each(|(number, event)| disk.advance(number, event));
                let (loss, files) = disk.image(&mut Random::new(seed * 7919));
                let content = &files[0].1;
                assert!(ignores_syncs || content.starts_with(b"0000"), "{loss:?}");
                seen.insert((ignores_syncs, content[0] == b'0', content[600] == b'b', content.len()));
            }
        }
        let sizes = [1024, 1536];
        for b in [false, true] {
            assert!(sizes.iter().any(|size| seen.contains(&(false, true, b, *size))), "{seen:?}");
            assert!(sizes.iter().any(|size| seen.contains(&(true, false, b, *size))), "{seen:?}");
        }
        assert!(sizes.iter().all(|size| seen.contains(&(false, true, false, *size))), "sizes come alone: {seen:?}");
    }
}
