//! Limits on what clients can make the service hold or wait for.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::forwarded::TrustedProxies;
use crate::soap::envelope;

/// Limits on what clients can make the service hold or wait for. Most are settings; see `seatkeeper serve --help`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the request line and headers.
    pub head_bytes_max: usize,
    /// From the first byte of a request until its head is complete.
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests. More than the 100 s for which .NET keeps an unused connection: if the
    /// service closes first, the client may just be sending a call, which then fails.
    pub idle_timeout: Duration,
    pub body_bytes_max: usize,
    /// Memory for all bodies of more than 8 KiB together; one client gets half of it. A request beyond it is answered 503.
    pub bodies_bytes_max: usize,
    /// From the end of the head until the body is complete.
    pub body_timeout: Duration,
    /// How long a client may read nothing of a response.
    pub write_timeout: Duration,
    /// Open connections; further ones are answered 503 and closed.
    pub connections_max: usize,
    /// Open connections of one client, which is an IPv4 address or the /64 of an IPv6 address; 0: no limit.
    pub connections_per_client_max: usize,
    /// Proxies whose headers about the client count. They carry many clients, so limits per client do not apply to them.
    pub trusted_proxies: TrustedProxies,
    /// How long a shutdown waits for calls in progress.
    pub shutdown_timeout: Duration,
    pub xml: envelope::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes_max: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            body_bytes_max: 256 * 1024,
            bodies_bytes_max: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections_max: 4096,
            connections_per_client_max: 1024,
            trusted_proxies: TrustedProxies::default(),
            shutdown_timeout: Duration::from_secs(30),
            xml: envelope::Limits::default(),
        }
    }
}

/// Limits that can change while the service runs. Clones share them. A new connection gets the limits of its start, and a request
/// those of its arrival.
#[derive(Debug, Clone)]
pub struct LiveLimits(Arc<RwLock<Arc<Limits>>>);

impl LiveLimits {
    pub fn new(limits: Limits) -> LiveLimits {
        LiveLimits(Arc::new(RwLock::new(Arc::new(limits))))
    }

    /// The limits in force. They stay as they are: ask again for each connection or request.
    pub fn now(&self) -> Arc<Limits> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other limits in force. If fewer connections are allowed than are open, the open ones stay.
    pub fn set(&self, limits: Limits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }
}

impl From<Limits> for LiveLimits {
    fn from(limits: Limits) -> LiveLimits {
        LiveLimits::new(limits)
    }
}

/// The value of `Retry-After` when the service is too busy.
pub(crate) const RETRY_SECONDS: u64 = 5;
