//! Updates the numbers of pools, event by event in the order of the chain.

use std::collections::HashMap;

/// The numbers in `license_pool` from the chained events of a pool and its seats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store::postgres) struct Counters {
    pub(in crate::store::postgres) in_use: i64,
    /// The most seats in use at once.
    pub(in crate::store::postgres) most: i64,
    /// The newest event.
    pub(in crate::store::postgres) event_id: Option<i64>,
    pub(in crate::store::postgres) events: i64,
}

/// The effect of a batch on a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store::postgres) struct Change {
    /// The number of events since the pool was created, or else since the beginning of the batch, and the newest.
    events: i64,
    event_id: Option<i64>,
    /// The seats in use that they add, and the most that they added at once.
    sum: i64,
    peak: i64,
    /// One of them created the pool: earlier numbers do not matter.
    is_made: bool,
    /// The last of them deleted it.
    is_gone: bool,
}

impl Change {
    /// Adds the next event. `delta`: its change of the seats in use.
    pub(in crate::store::postgres) fn add(&mut self, event_id: i64, action: &str, delta: i64) {
        match action {
            "pool-create" => *self = Change { is_made: true, ..Change::default() },
            "pool-delete" => *self = Change { is_gone: true, ..*self },
            _ => {
                self.sum += delta;
                self.peak = self.peak.max(self.sum);
            }
        }
        self.events += 1;
        self.event_id = Some(event_id);
    }

    /// Whether these events delete the pool.
    pub(in crate::store::postgres) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Whether these events can belong to a pool with such numbers. A pool without chained events, which none of these created,
    /// has taken the id of a pool that was deleted since; the next batch will see that event.
    pub(in crate::store::postgres) fn fits(&self, now: &Counters) -> bool {
        self.is_made || now.events > 0
    }

    /// The pool's numbers after these events. Even for a history that was tampered with they are numbers that the table accepts.
    pub(in crate::store::postgres) fn applied_to(&self, now: Counters) -> Counters {
        let before = if self.is_made { Counters::default() } else { now };
        let in_use = (before.in_use + self.sum).max(0);
        let most = before.most.max(before.in_use + self.peak).max(in_use);
        Counters { in_use, most, event_id: self.event_id.or(before.event_id), events: before.events + self.events }
    }
}

/// The effects of a batch on pools.
pub(in crate::store::postgres) type Changes = HashMap<i64, Change>;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(events: &[(&str, i64)]) -> Change {
        let mut change = Change::default();
        (1..).zip(events).for_each(|(id, (action, delta))| change.add(id, action, *delta));
        change
    }

    fn counters(in_use: i64, most: i64, event_id: i64, events: i64) -> Counters {
        Counters { in_use, most, event_id: Some(event_id), events }
    }

    #[test]
    fn numbers_follow_the_events_in_their_order() {
        let (assign, release) = (("assign", 1), ("release", -1));
        let before = counters(2, 3, -1, 5);
        for (events, after) in [
            (&[assign][..], counters(3, 3, 1, 6)),
            (&[assign, assign, release], counters(3, 4, 3, 8)),
            (&[release, release, assign], counters(1, 3, 3, 8)),
            (&[("pool-change", 0)], counters(2, 3, 1, 6)),
            (&[release, ("seat-change", 0), assign], counters(2, 3, 3, 8)),
            // The id is reused: earlier numbers do not matter, nor does anything after a deletion.
            (&[release, release, ("pool-delete", 2), ("pool-create", 0), assign], counters(1, 1, 5, 2)),
            (&[("pool-create", 0), assign, assign, release], counters(1, 2, 4, 4)),
            // Our triggers never do this.
            (&[release, release, release], counters(0, 3, 3, 8)),
        ] {
            assert_eq!(change(events).applied_to(before), after, "{events:?}");
        }
    }

    #[test]
    fn events_fit_a_pool_that_is_theirs() {
        let (made, old) = (change(&[("pool-create", 0), ("assign", 1)]), change(&[("assign", 1)]));
        assert!(made.fits(&Counters::default()) && old.fits(&counters(0, 0, 1, 1)) && !old.fits(&Counters::default()));
        assert!(change(&[("release", -1), ("pool-delete", 1)]).is_gone());
        assert!(!change(&[("pool-delete", 1), ("pool-create", 0)]).is_gone());
    }

    /// Many batches give the same result as one.
    #[test]
    fn it_does_not_matter_where_batches_end() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..1_000 {
            let mut in_use = 0;
            let mut events = Vec::new();
            for _ in 0..random(20) {
                let event: (&str, i64) = match random(4) {
                    0 if in_use > 0 => ("release", -1),
                    1 => ("pool-change", 0),
                    _ => ("assign", 1),
                };
                in_use += event.1;
                events.push(event);
            }
            let whole = change(&events).applied_to(counters(0, 0, 0, 1));
            let cut = random(events.len() as u64 + 1) as usize;
            let mut now = counters(0, 0, 0, 1);
            let mut id = 0;
            for part in [&events[..cut], &events[cut..]] {
                let mut change = Change::default();
                part.iter().for_each(|(action, delta)| {
                    id += 1;
                    change.add(id, action, *delta);
                });
                now = change.applied_to(now);
            }
            assert_eq!(now, whole, "{events:?} at {cut}");
        }
    }
}
