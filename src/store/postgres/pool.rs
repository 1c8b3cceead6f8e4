//! The connections of a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult};

use super::connect::{Purpose, TimeLimits, connect};
use super::known::Known;
use super::server::Server;
use super::session::{Connection, Session};
use crate::store::health::Health;
use crate::store::{OpenError, StoreError};

/// Makes every connection of a node.
#[derive(Clone)]
pub(crate) struct Connector {
    server: Server,
    limits: TimeLimits,
    known: Arc<Known>,
    /// Raised when a connection is lost: older ones are not reused, because they go to the same server.
    generation: Arc<AtomicU64>,
}

/// A connection of the pool.
pub(crate) struct Pooled {
    pub(super) connection: Connection,
    generation: u64,
}

impl Manager for Connector {
    type Type = Pooled;
    type Error = String;

    async fn create(&self) -> Result<Pooled, String> {
        let generation = self.generation.load(Ordering::Relaxed);
        let (connection, seen) = connect(&self.server, Purpose::Calls, &self.limits).await?;
        self.known.clock(&seen);
        Ok(Pooled { connection, generation })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<String> {
        let is_old = pooled.generation != self.generation.load(Ordering::Relaxed);
        if is_old || pooled.connection.is_closed() {
            return Err(RecycleError::message("the connection was lost"));
        }
        Ok(())
    }
}

/// The pools of a node. All their connections are in one runtime; only tasks of that runtime request sessions.
pub(crate) struct Connections {
    /// For calls.
    calls: Pool<Connector>,
    /// For work that must not wait for calls: watching, readiness, resolving lost commits.
    aside: Pool<Connector>,
    known: Arc<Known>,
    health: Arc<Health>,
    generation: Arc<AtomicU64>,
    /// How long to wait for a session.
    wait: Duration,
    server: Server,
}

/// The number of connections beside those for calls.
pub(crate) const ASIDE_MAX: usize = 2;

impl Connections {
    /// `wait`: how long a call waits for a connection; longer, if it takes longer to try all hosts.
    pub(super) fn new(
        server: Server,
        limits: TimeLimits,
        connections_max: usize,
        wait: Duration,
        known: Arc<Known>,
        health: Arc<Health>,
    ) -> Result<Connections, OpenError> {
        let generation = Arc::new(AtomicU64::new(0));
        let hosts = u32::try_from(server.places.len()).unwrap_or(u32::MAX);
        let wait = wait.max(server.connect_timeout.saturating_mul(hosts.saturating_add(1)));
        let connector = Connector {
            server: server.clone(),
            limits,
            known: Arc::clone(&known),
            generation: Arc::clone(&generation),
        };
        let pool = |connector: Connector, size: usize| {
            // The connection used last is used next, so that only as many are made and kept warm as the work needs.
            let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(size) };
            Pool::builder(connector).config(config).build().map_err(|error| OpenError::Setting(error.to_string()))
        };
        Ok(Connections {
            calls: pool(connector.clone(), connections_max.max(1))?,
            aside: pool(connector, ASIDE_MAX)?,
            known,
            health,
            generation,
            wait,
            server,
        })
    }

    /// The longest wait for a session.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// A connection for a call, in its turn.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]; [`StoreError::QueueFull`] if none became free in time.
    pub(crate) async fn session(&self) -> Result<Session, StoreError> {
        self.get(&self.calls).await
    }

    /// A connection beside those for calls.
    ///
    /// # Errors
    ///
    /// As [`Connections::session`].
    pub(crate) async fn session_aside(&self) -> Result<Session, StoreError> {
        self.get(&self.aside).await
    }

    async fn get(&self, pool: &Pool<Connector>) -> Result<Session, StoreError> {
        self.health.check()?;
        match tokio::time::timeout(self.wait, pool.get()).await {
            Ok(Ok(pooled)) => {
                self.known.reachable();
                Ok(Session::pooled(pooled))
            }
            Ok(Err(PoolError::Closed)) => Err(StoreError::Closed),
            Ok(Err(PoolError::Backend(why))) => {
                self.known.unreachable(&why);
                Err(StoreError::Unreachable(why))
            }
            Ok(Err(error)) => Err(StoreError::Failed(error.to_string())),
            Err(_) => Err(self.known.why_unreachable().map_or(StoreError::QueueFull, StoreError::Unreachable)),
        }
    }

    /// Called when the server of these connections is gone or was replaced: none of them is reused.
    pub(super) fn lost(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// The same for a server that does not answer. It may be a former leader that still accepts connections, so another host is
    /// tried first.
    pub(super) fn silent(&self) {
        self.lost();
        self.server.last.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the idle connections; busy ones are closed when they are returned.
    pub(super) fn close(&self) {
        self.calls.close();
        self.aside.close();
    }
}
