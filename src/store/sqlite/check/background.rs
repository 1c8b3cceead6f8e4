//! Verification while the service runs: a thread of its own reads the whole file at intervals, and stops the store if it finds
//! damage.
//!
//! Each step is a snapshot of its own, so that a checkpoint can run between two steps. A pause of several times its length
//! follows: callers keep most of a core. The thread has a connection of its own and takes no reader's turn.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, InterruptHandle};

use crate::metrics::Metrics;
use crate::store::health::Health;
use crate::store::sqlite::check;
use crate::store::sqlite::file::open;
use crate::store::{Fault, OpenError, Options, Violation};

/// The length of the pause after a step, as a multiple of the step.
const PAUSE_FACTOR: u32 = 3;
/// The `nice` value of the thread: it gets about a quarter of a core that others need too.
const NICE: i32 = 6;

pub(crate) struct Verifier {
    closing: Arc<Closing>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Tells the thread to end.
#[derive(Default)]
struct Closing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// The handle of the running query.
    interrupt: Option<InterruptHandle>,
}

impl Verifier {
    /// Does nothing if the interval is zero.
    pub(crate) fn start(
        path: &Path,
        options: &Options,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Verifier, OpenError> {
        let closing = Arc::new(Closing::default());
        let interval = options.verify_interval;
        let thread = if interval.is_zero() {
            None
        } else {
            let (path, busy_timeout, closing) = (path.to_owned(), options.busy_timeout, Arc::clone(&closing));
            let run = move || {
                // Without the right to lower its priority it competes with other threads, which slows them down a little.
                let _ = rustix::process::nice(NICE);
                while closing.wait(interval) && health.check().is_ok() {
                    let pass = Pass { path: &path, busy_timeout, closing: &closing, health: &health };
                    let begun = Instant::now();
                    match pass.run() {
                        Ok(true) => {
                            metrics.verified(begun.elapsed());
                            health.verified(true);
                        }
                        Ok(false) => {}
                        Err(error) => {
                            health.verified(false);
                            tracing::warn!(%error, "the verification of the database did not end; it is tried again later");
                        }
                    }
                }
            };
            Some(std::thread::Builder::new().name("store-verify".to_owned()).spawn(run)?)
        };
        Ok(Verifier { closing, thread: Mutex::new(thread) })
    }

    /// Ends the thread, even in the middle of a step.
    pub(crate) fn close(&self) {
        self.closing.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's verification thread panicked");
        }
    }
}

impl Closing {
    /// Waits this long; returns whether the thread may go on.
    fn wait(&self, time: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.is_closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        if let Some(interrupt) = &state.interrupt {
            interrupt.interrupt();
        }
        self.changed.notify_all();
    }

    fn set_interrupt(&self, interrupt: Option<InterruptHandle>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).interrupt = interrupt;
    }
}

/// One verification of the whole file.
struct Pass<'p> {
    path: &'p Path,
    busy_timeout: Duration,
    closing: &'p Closing,
    health: &'p Health,
}

impl Pass<'_> {
    /// Returns whether everything was verified without an error.
    fn run(&self) -> rusqlite::Result<bool> {
        let connection = match open::reader(self.path, self.busy_timeout) {
            Ok(connection) => connection,
            // The guard finds out whether the file still exists.
            Err(error) => {
                tracing::warn!(%error, "the database was not verified");
                self.health.verified(false);
                return Ok(false);
            }
        };
        self.closing.set_interrupt(Some(connection.get_interrupt_handle()));
        let verified = self.steps(&connection);
        self.closing.set_interrupt(None);
        verified
    }

    fn steps(&self, connection: &Connection) -> rusqlite::Result<bool> {
        for step in check::while_serving(connection)? {
            let begun = Instant::now();
            let found = step.violations(connection)?;
            if let Some(first) = found.first() {
                self.health.stop(Fault::Damaged(first.invariant), told(&found));
                return Ok(false);
            }
            if !self.closing.wait(begun.elapsed() * PAUSE_FACTOR) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The text for the log: the rows, and what to do about them.
fn told(violations: &[Violation]) -> String {
    let rows: Vec<&str> = violations.iter().map(|violation| violation.row.as_str()).collect();
    format!(
        "{}. Stop the service; 'seatkeeper check' names all that is wrong. Restore a backup, or repair the rows with 'seatkeeper \
         sql' while the service is off.",
        rows.join("; ")
    )
}
