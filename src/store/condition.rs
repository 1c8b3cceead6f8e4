//! The condition of a store: what readiness and metrics show of it.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Fault;

/// See [`super::Administration::condition`].
pub type ConditionReply<'a> = Pin<Box<dyn Future<Output = Condition> + Send + 'a>>;

/// What was last seen of a store and its surroundings, at most a second or two ago. `None`: unknown, or the database has nothing
/// of the kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    /// When this was seen; `None`: not yet.
    pub seen_at: Option<Timestamp>,
    /// The same by a clock that is never set.
    pub looked_at: Option<Instant>,
    /// Length of the database file; on PostgreSQL the size of the database.
    pub database_bytes: Option<u64>,
    /// Length of the write-ahead log beside the file.
    pub wal_bytes: Option<u64>,
    /// Bytes that the account of the service may still write on the disk of the file.
    pub disk_free_bytes: Option<u64>,
    /// Since when the oldest transaction runs: of the service or of another program, a reader or a writer. On PostgreSQL only of
    /// sessions that the service's login may see.
    pub oldest_transaction: Option<Duration>,
    /// How long another program has kept changes of this service waiting; `None`: none does. Two programs in turn count as two.
    pub lock_held: Option<Duration>,
    /// How long ago a change could not be saved for the first time, if none has been saved since.
    pub commit_failed: Option<Duration>,
    /// Whether the last verification of the running service did not end.
    pub verification_failed: bool,
    /// How long the store has made no progress with a change, if it looks stuck: not because of another program, and not because
    /// the change is large.
    pub stuck: Option<Duration>,
    /// Why the store takes no calls until it is opened again.
    pub fault: Option<Fault>,
    /// The last backup with `seatkeeper backup`.
    pub last_backup: Option<Timestamp>,
    /// The last verification without an error.
    pub last_check: Option<Timestamp>,
}
