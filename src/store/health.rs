//! Whether the store takes calls. Only this module stops it.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::store::{Fault, StoreError};

/// Whether the store takes calls. Once stopped, it stays stopped until it is opened again.
pub(crate) struct Health {
    fault: watch::Sender<Option<Fault>>,
    /// The last time when a change could not be saved; that may pass, like a full disk.
    save_failed: Mutex<Option<Instant>>,
}

/// How long the service is not ready after a change could not be saved. Then calls find out whether changes can be saved again. A
/// full disk sometimes has room for a short change, so a single saved change proves nothing.
const NOT_READY: Duration = Duration::from_secs(10);

impl Default for Health {
    fn default() -> Health {
        Health { fault: watch::Sender::new(None), save_failed: Mutex::default() }
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

    /// # Errors
    ///
    /// [`StoreError::Stopped`] once the store has stopped.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match *self.fault.borrow() {
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

    /// A change could not be saved.
    pub(crate) fn save_failed(&self) {
        *self.save_failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a change could not be saved a moment ago.
    pub(crate) fn cannot_save(&self) -> bool {
        let failed = *self.save_failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < NOT_READY)
    }
}
