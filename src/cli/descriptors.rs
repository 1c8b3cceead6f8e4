//! File descriptors: every connection takes one, and most systems allow a process 1024 at first.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors for everything but connections: the database and its readers, the listeners, the log.
const OTHERS: u64 = 192 + crate::http::DESCRIPTORS as u64;

/// The fewest connections that a service needs.
const CONNECTIONS_MIN: u64 = 16;

/// Raises the process's limit for this many connections. Returns how many may be open: fewer, if the system does not allow that.
pub(super) fn fit(connections_max: usize) -> usize {
    let needed = (connections_max as u64).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return connections_max;
    }
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    // Only a system that counts all processes together refuses that.
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(_) => limit.current.unwrap_or(raised),
    };
    if allowed >= needed {
        return connections_max;
    }
    let connections = allowed.saturating_sub(OTHERS).max(CONNECTIONS_MIN).min(connections_max as u64);
    warn!(
        connections_max = connections,
        configured = connections_max,
        descriptors = allowed,
        "connections_max is lowered: the process may have too few file descriptors. Allow it {needed}, with \
         LimitNOFILE={needed} in the unit of systemd or `ulimit -n {needed}` before it is started, or set connections_max \
         to {connections}"
    );
    usize::try_from(connections).unwrap_or(connections_max)
}
