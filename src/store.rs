//! What is kept, and the promises every store makes.
//!
//! * One method is one transaction: it begins, reads the facts, asks the seat rules, writes what they decided, commits.
//! * An answer leaves only after its commit is durable.
//! * A call that was cut off happened whole or not at all, and repeating it is safe.
//! * On an error nothing was changed.

pub mod sqlite;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::seats::{AssignRequest, LicenseType, Refusal, SeatId};

/// The answer of a store, later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

pub trait Store: Send + Sync {
    /// The row a caller must prove to be; `None` if there is no such user name or it is inactive.
    fn credential(&self, user_name: &str) -> Reply<'_, Option<Credential>>;

    /// Takes a seat for the user of the request, or says why not.
    fn assign(&self, call: Call, request: AssignRequest) -> Reply<'_, Result<SeatId, Refusal>>;

    /// Gives back the seat of this type that the user holds.
    fn release(&self, call: Call, username: String, license_type: LicenseType) -> Reply<'_, Result<SeatId, Refusal>>;

    /// Whether calls can be served right now.
    fn ready(&self) -> Reply<'_, ()>;
}

/// A row of `credential`, as far as a sign-in needs it.
#[derive(Clone)]
pub struct Credential {
    /// As it is spelled in the store.
    pub user_name: Arc<str>,
    pub password_hash: Arc<str>,
}

/// Who calls, when, and under which id the log and the audit know the call.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: Uuid,
    pub now: Timestamp,
    pub actor: Actor,
}

/// Who makes a change. The audit keeps the name.
#[derive(Clone)]
pub enum Actor {
    /// A credential whose password was proved against exactly this hash. The store reads the row again in the call's
    /// own transaction and refuses if the hash has changed since.
    Credential(Credential),
    /// Somebody at the command line, who can open the database anyway.
    CommandLine,
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Credential(credential) => f.write_str(&credential.user_name),
            Actor::CommandLine => f.write_str("command line"),
        }
    }
}

/// Why a store could not do its work. Nothing was changed, except where the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More calls are waiting than the queue takes.
    #[error("the queue of the store is full")]
    QueueFull,
    /// Another program held the database locked for longer than the store waits.
    #[error("the database is locked by another program")]
    Locked,
    /// The store is shutting down, or its thread died.
    #[error("the store is closed")]
    Closed,
    #[error("{0}")]
    Failed(String),
    /// The commit itself failed. The change is not there now, but may come back with recovery; repeating the call is safe.
    #[error("commit failed: {0}")]
    CommitFailed(String),
}
