//! Notes for administrators: refused calls, and when and from where each credential was used.
//!
//! A call adds one entry to a list or a small map. [`super::Service::keep_notes`] writes the entries to the store, at most once a
//! second. Refusals that do not fit in between are left out and counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::error::Who;
use crate::store::admin::kept::{CredentialUse, Notes, RefusedCall, SignInFailures};

/// Refusals of proved callers that are noted between two writes.
const REFUSALS_MAX: usize = 1_000;
/// The same of callers that proved nothing: a flood of them must not push out the others.
const UNPROVED_MAX: usize = 10;
/// A use from the same address is noted again after this long: most calls of an agent cost a look into a map and no write.
const USED_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Credentials of which it is known when their use was noted.
const KNOWN_MAX: usize = 10_000;
/// Credentials whose use, and user names whose failures, are noted between two writes.
const NAMES_MAX: usize = 1_000;

/// See the module.
pub(super) struct Pending {
    refusals_kept_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    refusals: Vec<RefusedCall>,
    unproved: usize,
    uses: HashMap<Who, (Timestamp, IpAddr)>,
    /// Of the uses that were noted before; outlives [`Pending::take`].
    noted: HashMap<Who, (Timestamp, IpAddr)>,
    failures: HashMap<String, (u32, Timestamp, IpAddr)>,
    left_out: u64,
}

impl Pending {
    pub(super) fn new(refusals_kept_max: u64) -> Pending {
        Pending { refusals_kept_max, inner: Mutex::default() }
    }

    pub(super) fn refusals_kept_max(&self) -> u64 {
        self.refusals_kept_max
    }

    pub(super) fn refused(&self, refused: RefusedCall) {
        if self.refusals_kept_max == 0 {
            return;
        }
        let mut inner = self.lock();
        let is_proved = refused.who.is_some();
        if inner.refusals.len() >= REFUSALS_MAX || (!is_proved && inner.unproved >= UNPROVED_MAX) {
            inner.left_out += 1;
            return;
        }
        inner.unproved += usize::from(!is_proved);
        inner.refusals.push(refused);
    }

    pub(super) fn used(&self, who: Who, at: Timestamp, address: IpAddr) {
        let who = in_small_letters(who);
        let mut inner = self.lock();
        let is_noted = inner.noted.get(&who).is_some_and(|(noted_at, noted_address)| {
            *noted_address == address && at.duration_since(*noted_at).abs() < USED_AGAIN
        });
        if !is_noted && inner.uses.len() < NAMES_MAX {
            if inner.noted.len() >= KNOWN_MAX {
                inner.noted.clear();
            }
            inner.noted.insert(who.clone(), (at, address));
            inner.uses.insert(who, (at, address));
        }
    }

    pub(super) fn failed(&self, user_name: &str, at: Timestamp, address: IpAddr) {
        let mut inner = self.lock();
        let name = user_name.to_ascii_lowercase();
        if inner.failures.len() < NAMES_MAX || inner.failures.contains_key(&name) {
            // The next use ends the count.
            inner.noted.remove(&Who::Name(name.clone()));
            let failed = inner.failures.entry(name).or_insert((0, at, address));
            *failed = (failed.0.saturating_add(1), at, address);
        }
    }

    /// Takes the entries, and the number of refusals that were left out.
    pub(super) fn take(&self) -> (Notes, u64) {
        let mut inner = self.lock();
        let noted = std::mem::take(&mut inner.noted);
        let Inner { refusals, uses, failures, left_out, .. } =
            std::mem::replace(&mut *inner, Inner { noted, ..Inner::default() });
        drop(inner);
        let uses = uses.into_iter().map(|(who, (at, address))| CredentialUse { who, at, address }).collect();
        let failures = failures
            .into_iter()
            .map(|(user_name, (count, at, address))| SignInFailures { user_name, count, at, address })
            .collect();
        (Notes { refusals, uses, failures, check: None }, left_out)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of credentials compare without regard to ASCII case.
fn in_small_letters(who: Who) -> Who {
    match who {
        Who::Name(mut name) => {
            name.make_ascii_lowercase();
            Who::Name(name)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute_and_after_a_failure() {
        let pending = Pending::new(10);
        let (here, there): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().expect("an address"), "::1".parse().expect("an address"));
        let at = |second| Timestamp::from_second(second).expect("a time");
        let noted = |name: &str, second, address| {
            pending.used(Who::Name(name.to_owned()), at(second), address);
            pending.take().0.uses.len()
        };
        assert_eq!((noted("Agent", 0, here), noted("agent", 59, here), noted("agent", 60, here)), (1, 0, 1));
        assert_eq!((noted("agent", 61, there), noted("other", 61, there)), (1, 1));
        pending.failed("AGENT", at(62), there);
        pending.failed("agent", at(62), there);
        let (notes, _) = pending.take();
        assert_eq!((notes.failures.len(), notes.failures[0].count), (1, 2));
        assert_eq!((noted("agent", 63, there), noted("agent", 64, there)), (1, 0));
    }
}
