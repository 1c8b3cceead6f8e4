//! What a node knows of its database now: the difference of the clocks, a lower bound for event ids, and why it is out of reach.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

/// One reading of the database's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// By the node's clock: before the query, and after the answer.
    pub(super) asked: Timestamp,
    pub(super) answered: Timestamp,
    pub(super) database: SystemTime,
}

impl Seen {
    /// The smallest correction of the node's clock: zero if the database's time is between query and answer.
    fn difference(&self) -> SignedDuration {
        let Ok(database) = Timestamp::try_from(self.database) else { return SignedDuration::ZERO };
        if database < self.asked {
            database.duration_since(self.asked)
        } else if database > self.answered {
            database.duration_since(self.answered)
        } else {
            SignedDuration::ZERO
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Known {
    /// Milliseconds to add to the node's clock.
    difference: AtomicI64,
    last_event: AtomicI64,
    unreachable: Mutex<Option<String>>,
}

/// A smaller difference is not corrected: that much time passes between the arrival of a call and its transaction.
const DIFFERENCE_MIN: SignedDuration = SignedDuration::from_secs(1);

impl Known {
    /// Records a reading of the clock.
    pub(super) fn clock(&self, seen: &Seen) {
        let difference = seen.difference();
        let counted = if difference.abs() > DIFFERENCE_MIN { difference } else { SignedDuration::ZERO };
        let ms = i64::try_from(counted.as_millis()).unwrap_or_default();
        let before = self.difference.swap(ms, Ordering::Relaxed);
        if before.abs_diff(ms) >= DIFFERENCE_MIN.as_millis().unsigned_abs() as u64 {
            match ms {
                0 => tracing::info!("the clock of this node agrees with the database's again"),
                _ => tracing::warn!(
                    difference_ms = ms,
                    "the clock of this node differs from the database's, which decides: set it right"
                ),
            }
        }
    }

    /// A moment of the node's clock, corrected to the database's clock.
    pub(crate) fn corrected(&self, at: Timestamp) -> Timestamp {
        let difference = SignedDuration::from_millis(self.difference.load(Ordering::Relaxed));
        at.saturating_add(difference).unwrap_or(at)
    }

    /// Records the newest event. After a failover that lost events it may be older than before.
    pub(super) fn event(&self, id: i64) {
        self.last_event.store(id, Ordering::Relaxed);
    }

    /// An existing event: calls that begin now write events with higher ids.
    pub(super) fn last_event(&self) -> i64 {
        self.last_event.load(Ordering::Relaxed)
    }

    /// Records that the database is out of reach, and why.
    pub(super) fn unreachable(&self, why: &str) {
        let mut known = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(why) {
            tracing::error!("the database is out of reach: {why}");
            *known = Some(why.to_owned());
        }
    }

    /// Takes note that it is within reach.
    pub(super) fn reachable(&self) {
        if self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("the database is within reach again");
        }
    }

    /// Why it is out of reach, as far as is known.
    pub(super) fn why_unreachable(&self) -> Option<String> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::session::to_time;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn a_clock_is_corrected_only_if_it_is_wrong_for_certain() {
        for (asked, answered, database, expected) in [
            (1000, 1000, 1000, 0),
            (1000, 1000, 1001, 0),
            (1000, 1000, 1090, 90),
            (1000, 1000, 910, -90),
            // The answer took long, and the server may have looked at its clock at any moment of it.
            (1000, 1010, 1005, 0),
            (1000, 1010, 1013, 3),
            (1000, 1010, 997, -3),
        ] {
            let known = Known::default();
            known.clock(&Seen { asked: at(asked), answered: at(answered), database: to_time(at(database)) });
            assert_eq!(known.corrected(at(5000)), at(5000 + expected), "{asked} {answered} {database}");
        }
    }
}
