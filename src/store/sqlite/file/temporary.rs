//! Unfinished files: each is made in the directory of its final file, and gets that name when it is complete and durable.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::companions::{SUFFIXES, beside, in_file};

/// A temporary file of another host, or of a reused process number, is deleted after this time.
const TEMPORARY_AGE_MAX: Duration = Duration::from_hours(24);

/// An unfinished file. Only its owner can read it, from its first byte on. Deleted on drop.
pub(crate) struct Temporary {
    path: PathBuf,
    directory: PathBuf,
}

/// The end of all names of temporary files.
const TEMPORARY: &str = ".seatkeeper-copy";
/// Distinguishes this process from an earlier one of the same number: in a container all have the same.
static PROCESS: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().simple().to_string()[..8].to_owned());

impl Temporary {
    /// Makes the file, and deletes those left by programs that died. `name`: that of the final file.
    pub(crate) fn create(directory: &Path, name: &str) -> io::Result<Temporary> {
        delete_left_behind(directory);
        let path = directory.join(format!(".{name}.{}.{}{TEMPORARY}", std::process::id(), *PROCESS));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map_err(|e| in_file(directory, e))?;
        Ok(Temporary { path, directory: directory.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content durable; returns its length in bytes.
    pub(crate) fn sync(&self) -> io::Result<u64> {
        let file = File::open(&self.path).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
        file.map(|found| found.len()).map_err(|e| in_file(&self.path, e))
    }

    /// Gives the file its name, durably; replaces an existing file.
    pub(crate) fn rename(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path).map_err(|e| in_file(path, e))?;
        sync_directory(&self.directory)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        for path in SUFFIXES.iter().map(|suffix| beside(&self.path, suffix)).chain([self.path.clone()]) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Deletes the temporary files of ended processes, with SQLite's files beside them. A file that cannot be deleted stays.
fn delete_left_behind(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((pid, process)) = name.to_str().and_then(maker) else { continue };
        if process == *PROCESS {
            continue;
        }
        let age = entry.metadata().and_then(|found| found.modified()).ok();
        let age = age.and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if pid == std::process::id() || !is_running(pid) || age.is_some_and(|age| age > TEMPORARY_AGE_MAX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The process that made a temporary file of this name: its number and its distinguishing text.
fn maker(name: &str) -> Option<(u32, &str)> {
    let (name, rest) = name.strip_prefix('.')?.rsplit_once(TEMPORARY)?;
    if !rest.is_empty() && !SUFFIXES.contains(&rest) {
        return None;
    }
    let (name, process) = name.rsplit_once('.')?;
    let (_, pid) = name.rsplit_once('.')?;
    Some((pid.parse().ok()?, process))
}

fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // A process that we may not signal is running.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// The directory of a file.
pub(crate) fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|e| in_file(directory, e))
}
