//! Connections that only read, each for one read at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::file::guard::Guard;
use super::{execute, open, store_error};
use crate::store::{OpenError, StoreError};

/// Connections made on demand and kept for the next read.
pub(super) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    /// `None`: closed.
    idle: Mutex<Option<Vec<Connection>>>,
    /// The most idle connections kept.
    idle_max: usize,
    /// When the reads off the async threads began, in any order; the others take microseconds.
    running: Mutex<Vec<Instant>>,
    guard: Arc<Guard>,
}

impl Readers {
    /// Closes the idle connections; busy ones are closed after their read.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn new(
        path: &Path,
        busy_timeout: Duration,
        idle_max: usize,
        guard: Arc<Guard>,
    ) -> Result<Readers, OpenError> {
        let first = open::reader(path, busy_timeout)?;
        let idle = Mutex::new(Some(vec![first]));
        Ok(Readers { path: path.to_owned(), busy_timeout, idle, idle_max, running: Mutex::default(), guard })
    }

    /// How long the oldest read has run.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).iter().min().map(Instant::elapsed)
    }

    /// Runs a read in a transaction on a connection of its own, on the calling thread: for reads that take microseconds, less
    /// than a change of threads.
    pub(super) fn run_here<T>(
        &self,
        _turn: &OwnedSemaphorePermit,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(query)
    }

    /// Runs a read in a transaction on a connection of its own, off the async threads. Its turn ends with the read, not when its
    /// caller disconnects: a read that has begun cannot be stopped.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        turn: OwnedSemaphorePermit,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(self);
        let read = move || {
            let _turn = turn;
            let _running = Running::begin(&readers.running);
            readers.with(query)
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Failed("a read panicked".to_owned()))?
    }

    fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.guard.health.check()?;
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = idle().as_mut().ok_or(StoreError::Closed)?.pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => {
                let opened = open::reader(&self.path, self.busy_timeout);
                // Otherwise it may be a connection to another file that replaced ours.
                self.guard.check()?;
                opened.map_err(|e| StoreError::Failed(e.to_string()))?
            }
        };
        // One transaction, so that all its reads see one snapshot. A connection that failed is not reused.
        let read = || {
            execute(&connection, "BEGIN").map_err(store_error)?;
            let value = query(&connection)?;
            execute(&connection, "COMMIT").map_err(store_error)?;
            Ok(value)
        };
        let value = read().map_err(|error| match error {
            StoreError::Damaged(_) => self.guard.stop_damaged(&error),
            error => error,
        })?;
        if let Some(idle) = idle().as_mut().filter(|idle| idle.len() < self.idle_max) {
            idle.push(connection);
        }
        Ok(value)
    }
}

/// Counts a read as running until it is dropped.
struct Running<'r> {
    all: &'r Mutex<Vec<Instant>>,
    since: Instant,
}

impl Running<'_> {
    fn begin(all: &Mutex<Vec<Instant>>) -> Running<'_> {
        let since = Instant::now();
        all.lock().unwrap_or_else(PoisonError::into_inner).push(since);
        Running { all, since }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Two that began at the same instant are interchangeable.
        if let Some(at) = all.iter().position(|since| *since == self.since) {
            all.swap_remove(at);
        }
    }
}
