//! The number of open connections: in all, and per client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::limits::LiveLimits;
use crate::net::client_key;

/// The places for connections.
pub(super) struct Places {
    limits: LiveLimits,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    connections: usize,
    clients: HashMap<IpAddr, (usize, Arc<Client>)>,
}

/// The resources of one client, besides connections.
#[derive(Default)]
pub(super) struct Client {
    /// Memory taken by its bodies, in bytes.
    pub(super) body_bytes: AtomicUsize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Service,
    Client,
}

impl Full {
    /// The label in the metric.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Full::Service => "service",
            Full::Client => "client",
        }
    }
}

impl Places {
    pub(super) fn new(limits: LiveLimits) -> Arc<Places> {
        Arc::new(Places { limits, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a connection from this address.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let limits = self.limits.now();
        let mut taken = self.lock();
        if taken.connections >= limits.connections_max {
            return Err(Full::Service);
        }
        let address = address.to_canonical();
        // Proxies carry many clients, so the limits per client do not apply to them.
        let key = if limits.trusted_proxies.contains(address) { None } else { Some(client_key(address)) };
        let mut client = None;
        if let Some(key) = key {
            let (connections, record) = taken.clients.entry(key).or_default();
            if limits.connections_per_client_max > 0 && *connections >= limits.connections_per_client_max {
                return Err(Full::Client);
            }
            *connections += 1;
            client = Some(Arc::clone(record));
        }
        taken.connections += 1;
        Ok(Place { places: Arc::clone(self), key, client })
    }

    /// Completes when a place was released.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one connection, released on drop.
pub(super) struct Place {
    places: Arc<Places>,
    key: Option<IpAddr>,
    client: Option<Arc<Client>>,
}

impl Place {
    /// The client that has the connection; `None`: limits per client do not apply.
    pub(super) fn client(&self) -> Option<Arc<Client>> {
        self.client.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.connections -= 1;
        if let Some(key) = self.key
            && let Some((connections, _)) = taken.clients.get_mut(&key)
        {
            *connections -= 1;
            if *connections == 0 {
                taken.clients.remove(&key);
            }
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::limits::Limits;

    fn places(connections_max: usize, per_client_max: usize, proxies: &str) -> Arc<Places> {
        Places::new(LiveLimits::new(Limits {
            connections_max,
            connections_per_client_max: per_client_max,
            trusted_proxies: proxies.parse().expect("proxies"),
            ..Limits::default()
        }))
    }

    fn take(places: &Arc<Places>, address: &str) -> Result<Place, Full> {
        places.take(address.parse().expect("address"))
    }

    #[test]
    fn a_client_has_so_many_places_and_others_have_theirs() {
        let places = places(100, 2, "10.0.0.0/8");
        let mut held = Vec::new();
        for (address, expected) in [
            ("192.0.2.1", None),
            ("::ffff:192.0.2.1", None),
            ("192.0.2.1", Some(Full::Client)),
            ("192.0.2.2", None),
            ("2001:db8::1", None),
            ("2001:db8::2", None),
            ("2001:db8::3", Some(Full::Client)),
            ("2001:db8:0:1::1", None),
            ("10.0.0.1", None),
            ("10.0.0.1", None),
            ("10.0.0.1", None),
        ] {
            match take(&places, address) {
                Ok(place) => held.push((address, place)),
                Err(full) => assert_eq!(Some(full), expected, "{address}"),
            }
            assert!(expected.is_some() || held.last().is_some_and(|(last, _)| *last == address), "{address}");
        }
        // A released place can be taken again, and a client without connections leaves no entry.
        held.retain(|(address, _)| *address != "192.0.2.1");
        held.push(("192.0.2.1", take(&places, "192.0.2.1").unwrap_or_else(|_| panic!("given back"))));
        held.clear();
        let taken = places.lock();
        assert_eq!((taken.connections, taken.clients.len()), (0, 0));
    }

    #[test]
    fn the_service_has_so_many_places_in_all_also_for_proxies() {
        let places = places(2, 0, "10.0.0.1");
        let held = [take(&places, "192.0.2.1"), take(&places, "192.0.2.1")];
        assert!(held.iter().all(Result::is_ok), "0 is no limit per client");
        assert_eq!(take(&places, "10.0.0.1").err(), Some(Full::Service));
    }
}
