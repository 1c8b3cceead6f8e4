//! Whether the store may go on.
//!
//! [`Health`] is the one place that stops the store for good: writer, readers and readiness ask it before each call.

use std::fmt::Display;

use tokio::sync::watch;

use crate::store::{Fault, StoreError};

/// Whether calls are taken. Once stopped, it stays stopped until the store is opened again.
pub(super) struct Health {
    fault: watch::Sender<Option<Fault>>,
}

impl Default for Health {
    fn default() -> Health {
        Health { fault: watch::Sender::new(None) }
    }
}

impl Health {
    /// Stops the store, unless it has stopped before, and logs why. `details`: what was found, and what the operator should
    /// do now; for the log only.
    pub(super) fn stop(&self, fault: Fault, details: impl Display) {
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
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match *self.fault.borrow() {
            None => Ok(()),
            Some(fault) => Err(StoreError::Stopped(fault)),
        }
    }

    /// Waits until the store has stopped.
    pub(super) async fn stopped(&self) -> Fault {
        let mut fault = self.fault.subscribe();
        let found = fault.wait_for(Option::is_some).await.ok().and_then(|fault| *fault);
        match found {
            Some(fault) => fault,
            // The sender lives as long as `self`, so this is not reached.
            None => std::future::pending().await,
        }
    }
}
