//! Whether the store takes calls, and whether its changes are saved. Only this module stops it.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::metrics::SparseLogs;
use crate::store::{Fault, StoreError};

/// Whether the store takes calls. Once stopped, it stays stopped until it is opened again.
pub(crate) struct Health {
    fault: watch::Sender<Option<Fault>>,
    saves: Mutex<Option<Failing>>,
    /// Whether `saves` has an entry, so that a saved change costs one load.
    is_failing: AtomicBool,
    is_verification_failed: AtomicBool,
    /// Limits the lines that a broken disk or database causes with each call, or each second.
    pub(crate) failures: SparseLogs,
    pub(crate) progress: Progress,
}

/// Changes could not be saved; that may pass, like a full disk.
#[derive(Debug, Clone, Copy)]
struct Failing {
    first: Instant,
    last: Instant,
    /// Whether a change was saved after the last failure.
    is_over: bool,
}

/// How long the service is not ready after a change could not be saved, even if a later one was saved: a full disk sometimes has
/// room for a short change, so a single saved change proves little.
const NOT_READY: Duration = Duration::from_secs(5);

impl Default for Health {
    fn default() -> Health {
        Health {
            fault: watch::Sender::new(None),
            saves: Mutex::default(),
            is_failing: AtomicBool::new(false),
            is_verification_failed: AtomicBool::new(false),
            failures: SparseLogs::default(),
            progress: Progress::default(),
        }
    }
}

impl Health {
    /// Stops the store, unless it has stopped before, and logs why. `details`: the finding, and what the operator should do; only
    /// for the log.
    pub(crate) fn stop(&self, fault: Fault, details: impl Display) {
        let is_first = self.fault.send_if_modified(|current| {
            let is_first = current.is_none();
            current.get_or_insert(fault);
            is_first
        });
        if is_first {
            tracing::error!(%fault, "the store has stopped taking calls: {details}");
        }
    }

    /// Why the store has stopped; `None`: it takes calls.
    pub(crate) fn fault(&self) -> Option<Fault> {
        *self.fault.borrow()
    }

    /// # Errors
    ///
    /// [`StoreError::Stopped`] once the store has stopped.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.fault() {
            None => Ok(()),
            Some(fault) => Err(StoreError::Stopped(fault)),
        }
    }

    /// Waits until the store has stopped.
    pub(crate) async fn stopped(&self) -> Fault {
        let mut fault = self.fault.subscribe();
        let found = fault.wait_for(Option::is_some).await.ok().and_then(|fault| *fault);
        match found {
            Some(fault) => fault,
            // Not reached, because the sender lives as long as `self`.
            None => std::future::pending().await,
        }
    }

    fn saves(&self) -> MutexGuard<'_, Option<Failing>> {
        self.saves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change could not be saved.
    pub(crate) fn save_failed(&self) {
        let now = Instant::now();
        let mut saves = self.saves();
        let first = saves.filter(|failing| !failing.is_over).map_or(now, |failing| failing.first);
        *saves = Some(Failing { first, last: now, is_over: false });
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// A change was saved.
    pub(crate) fn saved(&self) {
        if !self.is_failing.load(Ordering::Relaxed) {
            return;
        }
        self.is_failing.store(false, Ordering::Relaxed);
        if let Some(failing) = self.saves().as_mut().filter(|failing| !failing.is_over) {
            failing.is_over = true;
            tracing::info!(failing_s = failing.first.elapsed().as_secs(), "changes are saved again");
        }
    }

    /// How long ago a change could not be saved for the first time, if none has been saved since.
    pub(crate) fn commit_failed(&self) -> Option<Duration> {
        self.saves().filter(|failing| !failing.is_over).map(|failing| failing.first.elapsed())
    }

    /// Whether changes probably cannot be saved.
    pub(crate) fn cannot_save(&self) -> bool {
        self.saves().is_some_and(|failing| !failing.is_over || failing.last.elapsed() < NOT_READY)
    }

    /// A verification of the running service ended, or did not.
    pub(crate) fn verified(&self, has_ended: bool) {
        self.is_verification_failed.store(!has_ended, Ordering::Relaxed);
    }

    pub(crate) fn is_verification_failed(&self) -> bool {
        self.is_verification_failed.load(Ordering::Relaxed)
    }
}

/// Whether the work of the store makes progress. Costs the workers a few relaxed stores.
pub(crate) struct Progress {
    base: Instant,
    /// Raised with every step.
    steps: AtomicU64,
    /// When the present work began: milliseconds since `base`, and 1; 0: there is none.
    begun: AtomicU64,
    /// The steps when they were last found raised, and when that was.
    seen: Mutex<(u64, Instant)>,
}

impl Default for Progress {
    fn default() -> Progress {
        let base = Instant::now();
        Progress { base, steps: AtomicU64::new(0), begun: AtomicU64::new(0), seen: Mutex::new((0, base)) }
    }
}

impl Progress {
    /// Work begins.
    pub(crate) fn begin(&self, now: Instant) {
        self.step();
        let ms = u64::try_from(now.saturating_duration_since(self.base).as_millis()).unwrap_or(u64::MAX - 1);
        self.begun.store(ms + 1, Ordering::Relaxed);
    }

    /// A step of it is done.
    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.begun.store(0, Ordering::Relaxed);
        self.step();
    }

    /// How long the present work has run; `None`: there is none.
    pub(crate) fn running(&self) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.base.elapsed().saturating_sub(Duration::from_millis(begun)))
    }

    /// How long work has run without a step, as far as was looked: this is called now and then.
    pub(crate) fn stuck(&self) -> Option<Duration> {
        let steps = self.steps.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != steps || self.running().is_none() {
            *seen = (steps, Instant::now());
            return None;
        }
        Some(seen.1.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_a_step_is_stuck_and_other_work_is_not() {
        let progress = Progress::default();
        assert_eq!((progress.stuck(), progress.running()), (None, None));
        progress.begin(Instant::now());
        assert_eq!(progress.stuck(), None, "it has just begun");
        std::thread::sleep(Duration::from_millis(20));
        assert!(progress.stuck() >= Some(Duration::from_millis(20)) && progress.running().is_some());
        progress.step();
        assert_eq!(progress.stuck(), None, "a step");
        std::thread::sleep(Duration::from_millis(20));
        assert!(progress.stuck().is_some());
        progress.end();
        assert_eq!((progress.stuck(), progress.running()), (None, None));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(progress.stuck(), None, "there is no work");
    }

    #[test]
    fn a_failed_change_counts_until_one_is_saved() {
        let health = Health::default();
        health.saved();
        assert!(!health.cannot_save() && health.commit_failed().is_none());
        health.save_failed();
        std::thread::sleep(Duration::from_millis(20));
        health.save_failed();
        assert!(health.cannot_save());
        assert!(health.commit_failed() >= Some(Duration::from_millis(20)), "the first counts");
        health.saved();
        assert!(health.commit_failed().is_none());
        assert!(health.cannot_save(), "one saved change proves little");
        let again = Instant::now();
        health.save_failed();
        let since = health.commit_failed();
        assert!(since.is_some_and(|since| since <= again.elapsed()), "another failure");
    }
}
