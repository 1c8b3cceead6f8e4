//! Checkpoints off the writer's path: a thread of its own copies the WAL into the file while the service answers calls.
//!
//! A checkpoint beside a busy writer never reaches the end of the WAL, so SQLite never starts the WAL over, and it would grow
//! without end. So the thread makes pass after pass, each over the frames appended during the last pass, until few are left. The
//! writer copies those between two groups, and its next commit starts the WAL over. The WAL keeps its size, because overwriting
//! costs half as much as appending.
//!
//! While a reader needs an older state, the WAL cannot start over and grows. After that its file is cut back to
//! [`Sizes::wal_bytes_max`] by the first commit of a WAL that starts over (`journal_size_limit`). If no call makes that commit,
//! [`super::watch`] has it made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::file::guard::Guard;
use super::file::open;
use crate::store::OpenError;

/// Frames (pages of 4 KiB) in the WAL at which a checkpoint starts: 64 MiB. Commits wait while a checkpoint syncs the file, so
/// few large checkpoints are better than many small ones, and a page that changed often is written back once.
const INTERVAL_FRAMES: usize = 16_000;
/// The length of the file of the WAL to which it is cut back: half as much again as it usually has, so that it usually stays.
const WAL_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// Frames that are left to the writer: a millisecond or two of work.
const REST_FRAMES: usize = 200;
/// The most passes over the WAL before the writer does the rest, however long it is.
const PASSES_MAX: usize = 5;

/// How often the thread checks the files while no call does.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the WAL gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Frames at which a checkpoint starts.
    pub(super) interval_frames: usize,
    /// The length in bytes to which a longer file is cut back.
    pub(super) wal_bytes_max: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { interval_frames: INTERVAL_FRAMES, wal_bytes_max: WAL_BYTES_MAX }
    }
}

/// The thread that makes checkpoints.
pub(super) struct Checkpointer {
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state shared by writer and thread.
#[derive(Default)]
pub(super) struct State {
    /// Frames in the WAL after the newest commit of the writer.
    frames: AtomicUsize,
    /// The number of frames at which the thread has work again.
    next: AtomicUsize,
    /// Nearly all of the WAL is copied: the writer does the rest.
    is_to_finish: AtomicBool,
    is_closed: AtomicBool,
    interval_frames: usize,
}

impl Checkpointer {
    /// Starts the thread for the file of this writing connection, and replaces the connection's own checkpoints.
    pub(super) fn start(
        writer: &mut Connection,
        path: &Path,
        busy_timeout: Duration,
        guard: Arc<Guard>,
        sizes: Sizes,
    ) -> Result<Checkpointer, OpenError> {
        let interval_frames = sizes.interval_frames;
        let state = Arc::new(State { next: AtomicUsize::new(interval_frames), interval_frames, ..State::default() });
        let limit = i64::try_from(sizes.wal_bytes_max).unwrap_or(i64::MAX);
        writer
            .pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))
            .map_err(|e| open::sqlite(path, e))?;
        let connection = open::checkpoints(path, busy_timeout)?;
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn({
            let (state, guard) = (Arc::clone(&state), Arc::clone(&guard));
            move || run(&connection, &state, &guard)
        })?;
        let (told, worker) = (Arc::clone(&state), thread.thread().clone());
        // An error returned here would make a COMMIT that succeeded look failed.
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, frames: std::ffi::c_int| {
                // Called only after a commit that wrote.
                guard.health.saved();
                let frames = usize::try_from(frames).unwrap_or(0);
                if frames < told.frames.swap(frames, Ordering::Relaxed) {
                    told.next.store(interval_frames, Ordering::Relaxed);
                }
                if frames >= told.next.load(Ordering::Relaxed) {
                    worker.unpark();
                }
                Ok(())
            }))
            .map_err(|e| open::sqlite(path, e))?;
        Ok(Checkpointer { state, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Has a checkpoint made soon, however short the WAL is.
    pub(super) fn ask(&self) {
        self.state.next.store(0, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.iter().for_each(|thread| thread.thread().unpark());
    }

    /// Ends the thread, after a running checkpoint.
    pub(super) fn close(&self) {
        self.state.is_closed.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the store's checkpoint thread panicked");
            }
        }
    }
}

fn run(connection: &Connection, state: &State, guard: &Guard) {
    let mut looked = Instant::now();
    while !state.is_closed.load(Ordering::Relaxed) {
        if looked.elapsed() >= LOOK_INTERVAL {
            guard.at_rest(connection);
            looked = Instant::now();
        }
        let is_due = state.frames.load(Ordering::Relaxed) >= state.next.load(Ordering::Relaxed);
        if !is_due || guard.health.check().is_err() {
            std::thread::park_timeout(LOOK_INTERVAL);
            continue;
        }
        let end = fold_back(connection, state, guard);
        // If the WAL does not start over, because a reader still needs it, there is work again when it has grown by the same
        // amount.
        state.next.store(end + state.interval_frames, Ordering::Relaxed);
        state.is_to_finish.store(true, Ordering::Relaxed);
    }
    guard.before_close(connection);
}

/// Copies nearly all of the WAL into the file; returns its frames at that moment.
fn fold_back(connection: &Connection, state: &State, guard: &Guard) -> usize {
    let mut begin = state.frames.load(Ordering::Relaxed);
    for _ in 0..PASSES_MAX {
        if let Err(error) = connection.wal_checkpoint_v2(Some(rusqlite::MAIN_DB), CheckpointMode::PASSIVE) {
            guard.checkpoint_failed(&error);
            break;
        }
        let end = state.frames.load(Ordering::Relaxed);
        let appended = end.saturating_sub(begin);
        begin = end;
        if appended <= REST_FRAMES {
            break;
        }
    }
    begin
}

impl State {
    /// Called by the writer between two groups, with its connection.
    pub(super) fn finish(&self, connection: &Connection, guard: &Guard) {
        if self.is_to_finish.swap(false, Ordering::Relaxed)
            && let Err(error) = connection.wal_checkpoint_v2(Some(rusqlite::MAIN_DB), CheckpointMode::PASSIVE)
        {
            guard.checkpoint_failed(&error);
        }
    }
}
