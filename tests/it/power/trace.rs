//! What `tests/disk/disk.c` has written down.

use std::path::Path;

/// One thing that a traced program did, in the order in which it was done.
#[derive(Debug)]
pub enum Event {
    Create {
        inode: u64,
        name: String,
    },
    Write {
        inode: u64,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        size: usize,
    },
    SyncBegin {
        sync: Sync,
    },
    /// It succeeded: what was written before it began is durable.
    SyncEnd {
        inode: u64,
        sync: Sync,
    },
    /// The kernel gives up what was written before it began: a later sync succeeds without it.
    SyncFailed {
        inode: u64,
        sync: Sync,
    },
    Unlink {
        name: String,
    },
    Rename {
        inode: u64,
        from: String,
        to: String,
    },
    /// Bytes that a process is about to send to this port.
    Sent {
        process: u32,
        port: u16,
        data: Vec<u8>,
    },
    Exit {
        process: u32,
        status: u64,
    },
}

/// Pairs the begin of a sync with its end: the process, and a number in it.
pub type Sync = (u32, u64);

/// The head of a record.
const HEAD: usize = 32;

pub fn read(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).expect("a trace");
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    // A program that was killed may have left a part of a record at the end.
    while rest.len() >= HEAD {
        let kind = u32::from_ne_bytes(rest[..4].try_into().expect("four bytes"));
        let process = u32::from_ne_bytes(rest[4..8].try_into().expect("four bytes"));
        let word = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().expect("eight bytes"));
        let (inode, number, length) = (word(8), word(16), word(24) as usize);
        let Some(data) = rest.get(HEAD..HEAD + length) else { break };
        rest = &rest[HEAD + length..];
        let text = || String::from_utf8(data.to_vec()).expect("names are UTF-8");
        events.push(match kind {
            1 => Event::Create { inode, name: text() },
            2 => Event::Write { inode, offset: number as usize, data: data.to_vec() },
            3 => Event::Truncate { inode, size: number as usize },
            4 => Event::SyncBegin { sync: (process, number) },
            5 => Event::SyncEnd { inode, sync: (process, number) },
            6 => Event::Unlink { name: text() },
            7 => {
                let names = text();
                let (from, to) = names.split_once('\0').expect("two names");
                Event::Rename { inode, from: from.to_owned(), to: to.to_owned() }
            }
            8 => Event::Sent { process, port: inode as u16, data: data.to_vec() },
            9 => Event::Exit { process, status: number },
            10 => Event::SyncFailed { inode, sync: (process, number) },
            other => panic!("a record of kind {other}"),
        });
    }
    events
}
