//! Limits the rate of wrong passwords, as a pure state machine: the time is an argument, counted from any moment.
//!
//! Each limit is a number of wrong guesses; one more is allowed after each interval.
//!
//! * One limit applies to a user name from one client, whether or not that is the owner's.
//! * A larger limit applies to a user name from all clients together, so that many addresses do not multiply guesses. Clients
//!   from which the name signed in before are exempt, so that others cannot use up the owner's guesses.
//! * Clients that have not guessed the name lately share a limit of their own. So an owner at a new address competes only with
//!   other new addresses, and not with clients that go on guessing.
//!
//! A user name that does not exist is treated like any other. The number of entries is bounded; entries without effect are
//! dropped first, then those with the fewest wrong guesses.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// The limit of one name for all clients that guessed before, as a multiple of the limit of one client.
const AGAIN_FACTOR: u32 = 5;
/// The same for all clients that had not guessed at the name before.
const FIRST_FACTOR: u32 = 10;
/// How long a client counts as one that has guessed a name.
const GUESSED_BEFORE: Duration = Duration::from_secs(3600);
/// Entries for pairs of name and client, and for names: together 2 MiB. Each costs its client a password check, and lasts a
/// minute with the default limits, so that a machine of 32 cores cannot fill the table with entries that have an effect.
const ENTRIES_MAX: usize = 16_384;

/// The limit of wrong passwords that are checked.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// For one user name from one client, before guesses are slowed down; at least 1.
    pub failures_max: u32,
    /// After that one guess is allowed each time this has passed; zero: guesses are never slowed down.
    pub interval: Duration,
}

/// The limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of one user name from one client.
    Client,
    /// Of one user name from all clients.
    Name,
}

/// No guess is allowed before `wait` has passed.
#[derive(Debug, PartialEq, Eq)]
pub struct Slowed {
    pub wait: Duration,
    pub scope: Scope,
}

/// A guess: which name, and from which client.
#[derive(Debug, Clone, Copy)]
pub struct Guess {
    /// Keyed hash of the user name.
    pub name: u64,
    pub client: IpAddr,
    /// Whether the name signed in from this client before.
    pub known: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Throttle {
    limit: Limit,
    pairs: HashMap<(u64, IpAddr), Pair>,
    names: HashMap<u64, Name>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    bucket: Bucket,
    failed_at: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Name {
    /// For clients that guess for the first time.
    first: Bucket,
    /// For clients that guessed before.
    again: Bucket,
}

impl Throttle {
    pub fn new(limit: Limit) -> Throttle {
        Throttle { limit, pairs: HashMap::new(), names: HashMap::new() }
    }

    /// Changes the limit, also for those that wait already.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Whether a guess may be checked now.
    pub fn check(&self, guess: Guess, now: Duration) -> Result<(), Slowed> {
        let pair = self.pairs.get(&(guess.name, guess.client));
        let wait = pair.map_or(Duration::ZERO, |pair| pair.bucket.wait(now, self.limit, 1));
        if !wait.is_zero() {
            return Err(Slowed { wait, scope: Scope::Client });
        }
        if guess.known {
            return Ok(());
        }
        let wait = self.names.get(&guess.name).map_or(Duration::ZERO, |name| match guessed_before(pair, now) {
            true => name.again.wait(now, self.limit, AGAIN_FACTOR),
            false => name.first.wait(now, self.limit, FIRST_FACTOR),
        });
        if wait.is_zero() { Ok(()) } else { Err(Slowed { wait, scope: Scope::Name }) }
    }

    /// Records a wrong guess.
    pub fn failed(&mut self, guess: Guess, now: Duration) {
        make_room(&mut self.pairs, now, |pair| (pair.bucket.full_at, pair.failed_at.saturating_add(GUESSED_BEFORE)));
        let key = (guess.name, guess.client);
        let before = guessed_before(self.pairs.get(&key), now);
        let pair = self.pairs.entry(key).or_default();
        pair.bucket.take(now, self.limit, 1);
        pair.failed_at = now;
        if guess.known {
            return;
        }
        make_room(&mut self.names, now, |name| {
            let full_at = name.first.full_at.max(name.again.full_at);
            (full_at, full_at)
        });
        let name = self.names.entry(guess.name).or_default();
        match before {
            true => name.again.take(now, self.limit, AGAIN_FACTOR),
            false => name.first.take(now, self.limit, FIRST_FACTOR),
        }
    }
}

fn guessed_before(pair: Option<&Pair>, now: Duration) -> bool {
    pair.is_some_and(|pair| now < pair.failed_at.saturating_add(GUESSED_BEFORE))
}

/// The remaining guesses, stored as the time when all of them are available again.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// The time until a guess is available. The bucket has `factor` times the limit's guesses.
    fn wait(self, now: Duration, limit: Limit, factor: u32) -> Duration {
        let all_but_one = limit.interval.saturating_mul(guesses(limit, factor) - 1);
        // Under a limit that was changed no wait is longer than it could have become under the new one.
        let longest = limit.interval.saturating_mul(guesses(limit, factor));
        self.full_at.saturating_sub(now).min(longest).saturating_sub(all_but_one)
    }

    fn take(&mut self, now: Duration, limit: Limit, factor: u32) {
        let if_empty = now.saturating_add(limit.interval.saturating_mul(guesses(limit, factor)));
        self.full_at = self.full_at.max(now).saturating_add(limit.interval).min(if_empty);
    }
}

fn guesses(limit: Limit, factor: u32) -> u32 {
    limit.failures_max.max(1).saturating_mul(factor)
}

/// Makes a table smaller if it is full. `ends` returns the time when all guesses of an entry are available again, and the time
/// from which the entry has no effect.
fn make_room<K: Eq + Hash, V>(table: &mut HashMap<K, V>, now: Duration, ends: impl Fn(&V) -> (Duration, Duration)) {
    if table.len() < ENTRIES_MAX {
        return;
    }
    table.retain(|_, entry| {
        let (full_at, without_effect_at) = ends(entry);
        full_at.max(without_effect_at) > now
    });
    // At least a quarter, so that this is rare.
    let surplus = table.len().saturating_sub(ENTRIES_MAX - ENTRIES_MAX / 4);
    if surplus == 0 {
        return;
    }
    let mut full_at: Vec<Duration> = table.values().map(|entry| ends(entry).0).collect();
    let (_, last, _) = full_at.select_nth_unstable(surplus - 1);
    let last = *last;
    table.retain(|_, entry| ends(entry).0 > last);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { failures_max: 10, interval: Duration::from_secs(6) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn client(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn stranger(name: u64, n: u32) -> Guess {
        Guess { name, client: client(n), known: false }
    }

    /// Guesses as often as allowed; returns how often.
    fn guess(throttle: &mut Throttle, guess: Guess, times: u32, now: Duration) -> u32 {
        let mut checked = 0;
        for _ in 0..times {
            if throttle.check(guess, now).is_ok() {
                throttle.failed(guess, now);
                checked += 1;
            }
        }
        checked
    }

    #[test]
    fn one_client_gets_its_guesses_and_then_one_each_interval() {
        let mut throttle = Throttle::new(LIMIT);
        assert_eq!(guess(&mut throttle, stranger(1, 1), 50, at(0)), 10);
        assert_eq!(throttle.check(stranger(1, 1), at(0)), Err(Slowed { wait: at(6), scope: Scope::Client }));
        assert_eq!(throttle.check(stranger(1, 1), at(4)), Err(Slowed { wait: at(2), scope: Scope::Client }));
        assert_eq!(guess(&mut throttle, stranger(1, 1), 50, at(6)), 1);
        assert_eq!(guess(&mut throttle, stranger(1, 1), 50, at(24)), 3);
        assert_eq!(guess(&mut throttle, stranger(2, 1), 50, at(24)), 10, "another name");
        assert_eq!(guess(&mut throttle, stranger(1, 2), 50, at(24)), 10, "another client");
        assert_eq!(guess(&mut throttle, stranger(1, 1), 50, at(1000)), 10, "never more than at first");
    }

    #[test]
    fn many_clients_do_not_multiply_guesses() {
        let mut throttle = Throttle::new(LIMIT);
        let attack =
            |throttle: &mut Throttle, now| (0..60).map(|n| guess(throttle, stranger(1, n), 15, now)).sum::<u32>();
        // 60 first guesses, and 50 together after that.
        assert_eq!(attack(&mut throttle, at(0)), 110);
        assert_eq!(throttle.check(stranger(1, 59), at(0)), Err(Slowed { wait: at(6), scope: Scope::Name }));
        assert_eq!((1..=60).map(|n| attack(&mut throttle, at(6 * n))).sum::<u32>(), 60, "one each interval");
        // The owner at a client where the name signed in before, and at a new one.
        let owner = |n, known| Guess { name: 1, client: client(n), known };
        assert_eq!(throttle.check(owner(100, true), at(360)), Ok(()));
        assert_eq!(throttle.check(owner(101, false), at(360)), Ok(()));
        assert_eq!(guess(&mut throttle, owner(100, true), 50, at(360)), 10, "its own limit counts there");
        assert_eq!(guess(&mut throttle, stranger(2, 1), 50, at(360)), 10, "another name");
    }

    #[test]
    fn ever_new_clients_share_a_limit_too() {
        let mut throttle = Throttle::new(LIMIT);
        let checked: u32 = (0..1000).map(|n| guess(&mut throttle, stranger(1, n), 1, at(0))).sum();
        assert_eq!(checked, 100);
        let checked: u32 = (0..1000).map(|n| guess(&mut throttle, stranger(1, 2000 + n), 1, at(600))).sum();
        assert_eq!(checked, 100, "ten a minute come back");
        // An hour later a client is new again.
        assert_eq!(guess(&mut throttle, stranger(1, 1), 1, at(3600)), 1);
    }

    #[test]
    fn a_changed_limit_counts_for_those_that_wait() {
        let mut throttle = Throttle::new(Limit { failures_max: 1, interval: at(3600) });
        assert_eq!(guess(&mut throttle, stranger(1, 1), 5, at(0)), 1);
        throttle.set_limit(LIMIT);
        assert_eq!(throttle.check(stranger(1, 1), at(0)), Err(Slowed { wait: at(6), scope: Scope::Client }));
        assert_eq!(guess(&mut throttle, stranger(2, 1), 50, at(0)), 10);
        throttle.set_limit(Limit { interval: Duration::ZERO, ..LIMIT });
        assert_eq!(guess(&mut throttle, stranger(2, 1), 50, at(0)), 50);
    }

    #[test]
    fn without_an_interval_nothing_is_slowed() {
        let mut throttle = Throttle::new(Limit { failures_max: 1, interval: Duration::ZERO });
        assert_eq!(guess(&mut throttle, stranger(1, 1), 1000, at(0)), 1000);
    }

    #[test]
    fn limits_of_any_size_are_no_trouble() {
        let mut throttle = Throttle::new(Limit { failures_max: u32::MAX, interval: Duration::MAX });
        assert_eq!(guess(&mut throttle, stranger(1, 1), 2, at(5)), 2);
        let mut throttle = Throttle::new(Limit { failures_max: 0, interval: at(6) });
        assert_eq!(guess(&mut throttle, stranger(1, 1), 2, at(5)), 1, "at least one");
    }

    #[test]
    fn memory_is_bounded_and_other_names_do_not_wash_a_slowed_one_away() {
        let mut throttle = Throttle::new(LIMIT);
        assert_eq!(guess(&mut throttle, stranger(0, 1), 10, at(0)), 10);
        for n in 0..100_000 {
            // A thousand per second, each with its own name and client.
            guess(&mut throttle, stranger(1 + u64::from(n), n), 1, Duration::from_millis(n.into()) / 5);
            assert!(throttle.pairs.len() <= ENTRIES_MAX && throttle.names.len() <= ENTRIES_MAX);
        }
        let now = at(20);
        assert_eq!(throttle.check(stranger(0, 1), now), Ok(()), "three guesses have come back");
        assert_eq!(guess(&mut throttle, stranger(0, 1), 10, now), 3);
    }

    /// An hour of an attack in steps of 100 ms, with an owner at a known client, and one at a new client each minute.
    #[test]
    fn an_attack_on_one_name_gets_few_guesses_and_does_not_slow_its_owner() {
        for addresses in [1, 60, 90] {
            let mut throttle = Throttle::new(LIMIT);
            let mut checked = 0;
            for tenth in 0..36_000_u32 {
                let now = Duration::from_millis(u64::from(tenth) * 100);
                for n in 0..10 {
                    checked += guess(&mut throttle, stranger(1, (tenth * 10 + n) % addresses), 1, now);
                }
                let known = Guess { name: 1, client: client(1 << 24), known: true };
                assert_eq!(throttle.check(known, now), Ok(()), "at {now:?}");
                if tenth % 600 == 0 {
                    assert_eq!(throttle.check(stranger(1, (1 << 25) + tenth), now), Ok(()), "at {now:?}, {addresses}");
                }
            }
            // At first 50 and one of each address, then one per interval; a single address has its own limit.
            assert!(checked <= 600 + if addresses == 1 { 10 } else { 50 + addresses }, "{checked} from {addresses}");
        }
    }
}
