//! How long calls take, by operation and phase.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::registrar::Registrar;

/// A part of the time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the head of the request until the call begins: reading and parsing the body.
    Request,
    /// Looking up the credential and checking the password, with the wait for a free place. Not of a remembered password, nor of
    /// a ticket: those are checked in the transaction.
    SignIn,
    /// The wait for other writers, before the transaction begins. A file only.
    Wait,
    /// In the store without [`Phase::Wait`]: to the end of a read, or until a change is durable.
    Transaction,
    /// From the head of the request until the outcome is known.
    Total,
}

impl Phase {
    const ALL: [Phase; 5] = [Phase::Request, Phase::SignIn, Phase::Wait, Phase::Transaction, Phase::Total];

    const fn name(self) -> &'static str {
        match self {
            Phase::Request => "request",
            Phase::SignIn => "sign_in",
            Phase::Wait => "wait",
            Phase::Transaction => "transaction",
            Phase::Total => "total",
        }
    }
}

/// Upper bounds in seconds. A remembered sign-in takes a fraction of a millisecond, a password check tens of them; a caller gives up
/// after half a minute at most.
const BUCKETS: [f64; 13] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    operation: &'static str,
    phase: &'static str,
}

/// The histograms of one operation. Each exists once it has a value.
type OfOperation = [OnceLock<Histogram>; Phase::ALL.len()];

/// See the module.
#[derive(Debug)]
pub struct CallTimes {
    family: Family<PhaseLabels, Histogram>,
    /// Saves most of the look-ups by label.
    operations: RwLock<HashMap<&'static str, Arc<OfOperation>>>,
}

impl Default for CallTimes {
    fn default() -> CallTimes {
        CallTimes { family: Family::new_with_constructor(|| Histogram::new(BUCKETS)), operations: RwLock::default() }
    }
}

impl CallTimes {
    pub(super) fn register(&self, registrar: &mut Registrar<'_>) {
        let help = "Time of calls, by operation and phase";
        registrar.register_with_unit("call", help, Unit::Seconds, self.family.clone());
    }

    /// Records the phases of one call that it had.
    pub fn observe(&self, operation: &'static str, phases: [(Phase, Option<Duration>); Phase::ALL.len()]) {
        let histograms = self.of(operation);
        for (phase, time) in phases {
            let Some(time) = time else { continue };
            let labels = || PhaseLabels { operation, phase: phase.name() };
            let histogram = histograms[phase as usize].get_or_init(|| self.family.get_or_create(&labels()).clone());
            histogram.observe(time.as_secs_f64());
        }
    }

    fn of(&self, operation: &'static str) -> Arc<OfOperation> {
        if let Some(found) = self.operations.read().unwrap_or_else(PoisonError::into_inner).get(operation) {
            return Arc::clone(found);
        }
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(operations.entry(operation).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_phases_that_occur_have_a_histogram() {
        let metrics = crate::metrics::Metrics::new();
        let time = Some(Duration::from_millis(2));
        for _ in 0..2 {
            metrics.call_times.observe(
                "AssignLicense",
                [
                    (Phase::Request, time),
                    (Phase::SignIn, None),
                    (Phase::Wait, None),
                    (Phase::Transaction, time),
                    (Phase::Total, time),
                ],
            );
        }
        let text = metrics.render();
        let counts: Vec<&str> = text.lines().filter(|line| line.contains("call_seconds_count")).collect();
        assert_eq!(counts.len(), 3, "{text}");
        for phase in ["request", "transaction", "total"] {
            let count = format!("seatkeeper_call_seconds_count{{operation=\"AssignLicense\",phase=\"{phase}\"}} 2");
            assert!(counts.contains(&count.as_str()), "{text}");
        }
    }
}
