//! Programs that run with a library between them and their files, which writes down what they do to them, or lets chosen
//! operations fail. `tests/disk/README.md` says how.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::harness::TempDir;

/// The library, compiled once.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk/disk.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
    // Another run of the tests may have it loaded.
    let new = library.with_extension(uuid::Uuid::new_v4().to_string());
    let flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread"];
    let done = Command::new("cc").args(flags).arg("-o").arg(&new).arg(source).arg("-ldl").status();
    assert!(done.as_ref().is_ok_and(|status| status.success()), "cc: {done:?}");
    std::fs::rename(&new, &library).expect("the library gets its name");
    library
});

/// A directory for a database, and beside it what the library reads and writes.
pub struct Disk(TempDir);

impl Disk {
    pub fn new() -> Disk {
        let disk = Disk(TempDir::new());
        std::fs::create_dir(disk.directory()).expect("a directory");
        disk
    }

    /// Where the files are that the library watches.
    pub fn directory(&self) -> PathBuf {
        // As SQLite names it.
        let root = self.0.join("").canonicalize().expect("it is there");
        root.join("files")
    }

    pub fn database(&self) -> PathBuf {
        self.directory().join("seats.db")
    }

    /// A place beside the watched files.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Lets a program write down what it does.
    pub fn trace(&self, command: &mut Command) {
        self.load(command).env("SEATKEEPER_DISK_TRACE", self.beside("trace"));
    }

    /// Lets a program meet the faults of [`Disk::fail`], at once or later.
    pub fn expose(&self, command: &mut Command) {
        self.load(command).env("SEATKEEPER_DISK_FAULTS", self.beside("fault"));
    }

    fn load<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_PRELOAD", &*LIBRARY).env("SEATKEEPER_DISK_DIR", self.directory())
    }

    /// From now on this fails, and nothing else.
    pub fn fail(&self, fault: &Fault) {
        let generation = uuid::Uuid::new_v4().as_u64_pair().0 >> 2;
        let Fault { operation, file, nth, count, error } = fault;
        let file = if file.is_empty() { "*" } else { file };
        let new = self.beside("fault.new");
        std::fs::write(&new, format!("{generation} {operation} {file} {nth} {count} {error}\n")).expect("written");
        let _ = std::fs::remove_file(self.beside("fault.fired"));
        std::fs::rename(new, self.beside("fault")).expect("renamed");
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        let _ = std::fs::remove_file(self.beside("fault"));
    }

    /// The operations that have failed since [`Disk::fail`], a line for each.
    pub fn failed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.beside("fault.fired")).unwrap_or_default();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(_, what)| what.to_owned()).collect()
    }
}

/// Which operations fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// open, read, write, short (half of a write is done), truncate, sync, unlink or rename.
    pub operation: &'static str,
    /// How the names of the files end; empty: all files.
    pub file: &'static str,
    /// The first one that fails, counted from 1 in each process.
    pub nth: u32,
    /// How many fail; 0: all from then on.
    pub count: u32,
    /// The number of the system: [`EIO`] or [`ENOSPC`].
    pub error: i32,
}

/// "Input/output error" on Linux.
pub const EIO: i32 = 5;
/// "No space left on device" on Linux.
pub const ENOSPC: i32 = 28;

/// Runs something again and again, each time on a new disk with the fault at a later operation, until there is none that could
/// fail. It arms the fault itself, with [`Disk::fail`].
pub fn in_turn(kind: Fault, nths: impl Iterator<Item = u32>, mut run: impl FnMut(&Disk, &Fault)) {
    for nth in nths {
        let disk = Disk::new();
        run(&disk, &Fault { nth, ..kind });
        if disk.failed().is_empty() {
            break;
        }
    }
}
