//! Remembered proofs: passwords, for a short time, and the clients that sent them, for a day. Only a right password writes here,
//! so callers without one cannot displace an entry.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::lock;
use super::ticket::Ticket;

/// The most proofs kept; the least used are dropped first.
const PROOFS_MAX: usize = 10_000;
/// The most pairs of user name and client kept; the least used are dropped first.
const KNOWN_MAX: usize = 16_384;
/// How long a proof counts for the throttle and the queue: its client, and its password.
const KNOWN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// A pair in use is written again after this long, not at each use.
const KNOWN_RENEWAL: Duration = Duration::from_secs(60 * 60);

/// Passwords that were proved, by a keyed hash of user name and password.
pub struct Proofs {
    lives: Lives,
    proofs: Cache<[u8; 32], Arc<Proof>>,
}

/// How long a proof lives, in milliseconds; the greatest number: for ever. Every call reads them, so they have no lock.
#[derive(Default)]
struct Lives {
    unused_ms: AtomicU64,
    longest_ms: AtomicU64,
}

impl Lives {
    fn set(&self, unused: Duration, longest: Duration) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.unused_ms.store(ms(unused), Ordering::Relaxed);
        // A long `unused` raises `longest`: the operator wants that time.
        self.longest_ms.store(ms(longest.max(unused)), Ordering::Relaxed);
    }

    fn unused(&self) -> Duration {
        time(&self.unused_ms)
    }

    fn longest(&self) -> Duration {
        time(&self.longest_ms)
    }
}

fn time(ms: &AtomicU64) -> Duration {
    match ms.load(Ordering::Relaxed) {
        u64::MAX => Duration::MAX,
        ms => Duration::from_millis(ms),
    }
}

/// A proved password. It counts only as long as the stored hash is the same.
pub struct Proof {
    /// Keyed hash of the user name.
    pub name: u64,
    pub stored_hash: Arc<str>,
    proved_at: Duration,
    /// Milliseconds from `proved_at` to the last use, in steps.
    used_ms: AtomicU64,
    ticket: Mutex<Option<Ticket>>,
}

impl Proof {
    pub fn new(name: u64, stored_hash: Arc<str>, proved_at: Duration) -> Proof {
        Proof { name, stored_hash, proved_at, used_ms: AtomicU64::new(0), ticket: Mutex::default() }
    }

    /// The latest ticket of this password.
    pub fn ticket(&self) -> Option<Ticket> {
        lock(&self.ticket).clone()
    }

    pub fn set_ticket(&self, ticket: Ticket) {
        *lock(&self.ticket) = Some(ticket);
    }
}

impl Proofs {
    /// A proof lives for `unused` after its last use, and for `longest` at most. `unused` zero: nothing is kept.
    pub fn new(unused: Duration, longest: Duration) -> Proofs {
        let proofs = Proofs { lives: Lives::default(), proofs: Cache::new(PROOFS_MAX) };
        proofs.set_lives(unused, longest);
        proofs
    }

    /// Changes the times. They count for the proofs that exist, too.
    pub fn set_lives(&self, unused: Duration, longest: Duration) {
        self.lives.set(unused, longest);
    }

    /// The proof of this password. Counts as a use of it.
    pub fn get(&self, digest: &[u8; 32], now: Duration) -> Option<Arc<Proof>> {
        let proof = self.proofs.get(digest)?;
        let unused = self.lives.unused();
        let age = now.saturating_sub(proof.proved_at);
        let used = Duration::from_millis(proof.used_ms.load(Ordering::Relaxed));
        if age >= self.lives.longest() || age.saturating_sub(used) >= unused {
            return None;
        }
        // In steps, because cores that write to one place wait for each other.
        if age.saturating_sub(used) >= unused / 16 {
            proof.used_ms.fetch_max(u64::try_from(age.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        Some(proof)
    }

    /// Whether this password was proved within a day, although the proof may have ended: then it is no guess.
    pub fn was_proved(&self, digest: &[u8; 32], now: Duration) -> bool {
        self.proofs.get(digest).is_some_and(|proof| now.saturating_sub(proof.proved_at) < KNOWN_LIFE)
    }

    pub fn insert(&self, digest: [u8; 32], proof: Proof) {
        if !self.lives.unused().is_zero() {
            self.proofs.insert(digest, Arc::new(proof));
        }
    }

    pub fn remove(&self, digest: &[u8; 32]) {
        self.proofs.remove(digest);
    }
}

/// The clients from which user names signed in, with the last time. An entry outlives a change of the password, so that a fleet
/// in which some agents still send the old password stays known.
pub struct Known(Cache<(u64, IpAddr), Duration>);

impl Known {
    pub fn new() -> Known {
        Known(Cache::new(KNOWN_MAX))
    }

    /// Whether the name signed in from this client within a day.
    pub fn is_known(&self, name: u64, client: IpAddr, now: Duration) -> bool {
        self.age(name, client, now).is_some()
    }

    /// Whether it is known from a time so recent that it need not be noted again.
    pub fn is_fresh(&self, name: u64, client: IpAddr, now: Duration) -> bool {
        self.age(name, client, now).is_some_and(|age| age < KNOWN_RENEWAL)
    }

    /// Notes that the name signed in from this client.
    pub fn note(&self, name: u64, client: IpAddr, now: Duration) {
        self.0.insert((name, client), now);
    }

    fn age(&self, name: u64, client: IpAddr, now: Duration) -> Option<Duration> {
        let last = self.0.get(&(name, client))?;
        Some(now.saturating_sub(last)).filter(|age| *age < KNOWN_LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    fn proofs(unused: Duration, longest: Duration) -> Proofs {
        let proofs = Proofs::new(unused, longest);
        proofs.insert([1; 32], Proof::new(7, "hash".into(), minutes(100)));
        proofs
    }

    #[test]
    fn a_proof_lives_on_with_each_use_up_to_a_bound() {
        // Unused, longest, and the minutes after the proof at which it is used; the last use must fail, the others succeed.
        for (unused, longest, uses) in [
            (5, 60, vec![4, 8, 12, 16, 20, 25]),
            (5, 60, vec![5]),
            (5, 60, (1..=60).collect()),
            (5, 5, vec![4, 5]),
            (5, 0, vec![4, 5]),
            (600, 60, vec![599, 600]),
        ] {
            let proofs = proofs(minutes(unused), minutes(longest));
            let (last, others) = uses.split_last().expect("uses");
            for at in others {
                assert!(proofs.get(&[1; 32], minutes(100 + at)).is_some(), "{unused} {longest} {uses:?}: {at}");
            }
            assert!(proofs.get(&[1; 32], minutes(100 + last)).is_none(), "{unused} {longest} {uses:?}");
        }
        let ended = proofs(minutes(5), minutes(60));
        let was_proved = [0, 60, 24 * 60 - 1, 24 * 60].map(|at| ended.was_proved(&[1; 32], minutes(100 + at)));
        assert_eq!(was_proved, [true, true, true, false]);
        ended.remove(&[1; 32]);
        assert!(!ended.was_proved(&[1; 32], minutes(100)));
        assert!(proofs(Duration::ZERO, minutes(60)).get(&[1; 32], minutes(100)).is_none(), "nothing is kept");
        let for_ever = proofs(Duration::from_secs(u64::MAX), Duration::from_secs(u64::MAX));
        assert!(for_ever.get(&[1; 32], Duration::from_secs(u64::MAX)).is_some());
    }

    #[test]
    fn a_client_is_known_for_a_day() {
        let known = Known::new();
        let (home, away) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        known.note(1, home, minutes(0));
        for (case, name, client, now, is_known) in [
            ("at once", 1, home, 0, true),
            ("nearly a day later", 1, home, 24 * 60 - 1, true),
            ("after a day", 1, home, 24 * 60, false),
            ("another name", 2, home, 0, false),
            ("another client", 1, away, 0, false),
        ] {
            assert_eq!(known.is_known(name, client, minutes(now)), is_known, "{case}");
        }
        assert!(known.is_fresh(1, home, minutes(59)) && !known.is_fresh(1, home, minutes(60)));
    }
}
