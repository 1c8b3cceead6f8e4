//! How many lines of the log callers may cause that proved nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::net::client_key;

/// In each [`WINDOW`] for one client that proved nothing: enough for a filter of refused sign-ins to count.
const OF_CLIENT_MAX: u32 = 60;
/// The same for all of them together.
const OF_ALL_MAX: u32 = 3_000;
const WINDOW: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub(super) struct Lines {
    unproved: Mutex<Unproved>,
}

#[derive(Default)]
struct Unproved {
    since: Option<Instant>,
    of_clients: HashMap<IpAddr, u32>,
    of_all: u32,
    left_out: u64,
}

impl Lines {
    /// Counts a line about a caller that proved nothing. If it may be logged: the lines left out since the last one that was.
    pub(super) fn of_unproved(&self, client: IpAddr, now: Instant) -> Option<u64> {
        let mut inner = lock(&self.unproved);
        if inner.since.is_none_or(|since| now >= since + WINDOW) {
            *inner = Unproved { since: Some(now), left_out: inner.left_out, ..Unproved::default() };
        }
        let Unproved { of_clients, of_all, left_out, .. } = &mut *inner;
        let is_full = *of_all >= OF_ALL_MAX;
        let key = client_key(client);
        let fits = !is_full && *of_clients.entry(key).and_modify(|count| *count += 1).or_insert(1) <= OF_CLIENT_MAX;
        if !fits {
            *left_out += 1;
            return None;
        }
        *of_all += 1;
        Some(std::mem::take(left_out))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_fill_the_log() {
        let (lines, begun) = (Lines::default(), Instant::now());
        let client = |n: u32| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]);
        let logged = |client, count, at| (0..count).filter(|_| lines.of_unproved(client, at).is_some()).count();
        assert_eq!(logged(client(0), 1_000, begun), 60, "one client");
        assert_eq!(logged(client(1), 5, begun), 5, "another one is not hidden by it");
        assert_eq!((2..2_000).map(|n| logged(client(n), 10, begun)).sum::<usize>(), 3_000 - 65, "all of them");
        let later = begun + WINDOW;
        assert_eq!(lines.of_unproved(client(0), later), Some(1_998 * 10 - (3_000 - 65)));
        assert_eq!(lines.of_unproved(client(0), later), Some(0));
    }
}
