//! The directory of a demo: removed when the demo ends, and if it could not be, by a later demo.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::store;

const PREFIX: &str = "seatkeeper-demo-";
/// The name of the database in the directory.
const DATABASE: &str = "seatkeeper.db";
/// The shortest time after the last change at which a directory counts as left behind. A demo that is just starting has none open yet.
const LEFT_BEHIND: Duration = Duration::from_secs(10 * 60);
/// The exit code of a program that SIGINT ends.
const INTERRUPTED: i32 = 130;

/// A new directory; dropping it removes it with all files.
pub(super) struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Directory> {
        let path = std::env::temp_dir().join(format!("{PREFIX}{}", uuid::Uuid::new_v4()));
        // Other users need not read the sample data either.
        let made = DirBuilder::new().mode(0o700).create(&path);
        let failed = |error: std::io::Error| {
            let path = path.display();
            std::io::Error::new(
                error.kind(),
                format!("{path}: {error}. TMPDIR names the directory for temporary files"),
            )
        };
        made.map_err(failed)?;
        Ok(Directory(path))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Tries again while a file appears in the directory: a demo that is stopped while it starts still makes its database.
fn remove(directory: &Path) {
    const TRIES_MAX: usize = 1000;
    let mut removed = fs::remove_dir_all(directory);
    for _ in 1..TRIES_MAX {
        if !matches!(&removed, Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty) {
            break;
        }
        removed = fs::remove_dir_all(directory);
    }
    if let Err(error) = removed
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %directory.display(), "the directory of the demo was not removed");
    }
}

/// Removes the directories of demos that were killed: only those that this user owns, that no program uses, and that have not changed
/// for a while. Returns how many.
pub(super) fn remove_leftovers() -> usize {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let leftovers = entries.filter(|entry| is_demo(&entry.file_name()) && is_left_behind(&entry.path()));
    leftovers.filter(|entry| fs::remove_dir_all(entry.path()).is_ok()).count()
}

fn is_demo(name: &std::ffi::OsStr) -> bool {
    let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    id.is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

fn is_left_behind(directory: &Path) -> bool {
    // Not of a link: the directory that it leads to may be another user's.
    let Ok(found) = fs::symlink_metadata(directory) else { return false };
    let has_rested = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|found| found.modified());
        changed.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= LEFT_BEHIND))
    };
    let files = || fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && has_rested(directory)
        && files().all(|file| has_rested(&file) && is_of_database(&file))
        && !store::is_in_use(&directory.join(DATABASE))
}

/// A file of a user beside the database keeps the directory.
fn is_of_database(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let rest = name.and_then(|name| name.strip_prefix(DATABASE));
    rest.is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
}

/// The signals that end a demo. Before the service takes them, the demo removes its directory and ends at once. Afterwards the service ends
/// in order, also at SIGHUP, which a closed terminal sends: for a demo that means the end, although a service reads its settings again.
pub(super) struct Watch(Mutex<State>);

enum State {
    /// The directory to remove; `None`: there is none yet, or the database is where the user wants it.
    Starting(Option<PathBuf>),
    Serving,
}

impl Watch {
    /// Waits for signals from now on, on a thread of its own, as long as the process lives.
    pub(super) fn start() -> std::io::Result<Arc<Watch>> {
        let watch = Arc::new(Watch(Mutex::new(State::Starting(None))));
        Arc::clone(&watch).watch()?;
        Ok(watch)
    }

    /// Makes the directory of the demo. A signal that arrives meanwhile finds either no directory or one to remove.
    pub(super) fn make_directory(&self) -> std::io::Result<Directory> {
        let mut state = self.state();
        let directory = Directory::new()?;
        *state = State::Starting(Some(directory.0.clone()));
        Ok(directory)
    }

    /// The service handles SIGINT and SIGTERM from now on.
    pub(super) fn started(&self) {
        *self.state() = State::Serving;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(self: Arc<Watch>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        drop(entered);
        std::thread::spawn(move || {
            runtime.block_on(async {
                let closed = async {
                    match &mut hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = closed => {}
                }
                // Held to the end of the process: the demo must not make its directory now.
                match &*self.state() {
                    State::Starting(directory) => {
                        if let Some(directory) = directory {
                            remove(directory);
                        }
                        std::process::exit(INTERRUPTED);
                    }
                    // The service may have begun to listen for signals only after this one. A second one does no harm.
                    State::Serving => {
                        let own = rustix::process::getpid();
                        let _ = rustix::process::kill_process(own, rustix::process::Signal::TERM);
                    }
                }
            });
        });
        Ok(())
    }
}

/// Whether the demo was started to outlive its terminal, as `nohup` does.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // The first bit is the signal 1, SIGHUP.
    ignored & 1 != 0
}
