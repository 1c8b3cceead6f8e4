//! The store on one SQLite file, with group commit.
//!
//! One writer thread owns the one connection that writes. It takes whatever calls are queued, runs each inside its own
//! savepoint of one transaction, commits once, and only then answers all of them: the cost of making a change durable
//! is shared by every call that came in while the previous commit ran. Readers are separate read-only connections.
//! Other programs may write to the file while the service runs; SQLite's lock keeps them apart.

mod activate;
mod assignee;
mod change;
mod check;
mod facts;
mod history;
mod look;
mod modules;
mod open;
mod owner;
mod readers;
mod stop;
#[cfg(test)]
mod tests;
mod ticket;
mod writer;

pub use check::{INVARIANTS, Violation, check};
pub use open::{HashPassword, OpenError, SCHEMA, SCHEMA_VERSION, admin_connection};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::{
    Activation, Call, Credential, Details, HistoryRequest, Holder, HoldersRequest, ModuleHistory, ModulesRequest,
    NewTicket, OwnersRequest, PoolUse, Principal, Reply, Store, StoreError,
};
use crate::license::Owner;
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, Refusal, SeatId, Transfer};
use readers::Readers;
use writer::Writer;

/// How the store is run. See `seatkeeper serve --help` for what each limit means to an operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Calls that may wait for the writer; one more is refused.
    pub queue_calls_max: usize,
    /// Calls that share one commit at most.
    pub group_calls_max: usize,
    /// How long to wait for another program that holds the write lock.
    pub busy_timeout: Duration,
    /// Whether an assignment may enroll a user name that is not known.
    pub enroll: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { queue_calls_max: 4096, group_calls_max: 256, busy_timeout: Duration::from_secs(5), enroll: true }
    }
}

/// See the module.
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    reads: Arc<Semaphore>,
    long_reads: Arc<Semaphore>,
    enroll: bool,
}

/// Lists of holders under way at a time; one more is refused.
const LONG_READS_MAX: usize = 8;

/// Other reads at a time; one more waits. They are short and keep a core busy each: with more of them none would be done
/// sooner, and each has a connection of its own, whose making costs as much as many reads.
fn reads_max() -> usize {
    std::thread::available_parallelism().map_or(4, |cores| (2 * cores.get()).clamp(4, 32))
}

impl SqliteStore {
    /// Opens the database, makes it if there is none, migrates an older one. Refuses a file that is not ours, is newer
    /// than this program, or whose schema was tampered with.
    pub fn open(path: &Path, options: &Options, metrics: Arc<Metrics>) -> Result<SqliteStore, OpenError> {
        let connection = open::writer(path, options.busy_timeout)?;
        let reads_max = reads_max();
        let readers = Arc::new(Readers::new(path, options.busy_timeout, reads_max)?);
        let writer = Writer::start(connection, options, metrics)?;
        Ok(SqliteStore {
            writer,
            readers,
            reads: Arc::new(Semaphore::new(reads_max)),
            long_reads: Arc::new(Semaphore::new(LONG_READS_MAX)),
            enroll: options.enroll,
        })
    }

    /// Waits until every call that was accepted is answered, and closes the file.
    pub fn close(self) {
        // The writer's connection goes last: only one that may write can fold the WAL back into the file.
        drop(self.readers);
        self.writer.close();
    }

    /// Runs a read when it is its turn.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Reply<'_, T> {
        Box::pin(async move {
            let turn = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            self.readers.run(turn, query).await
        })
    }
}

impl Store for SqliteStore {
    fn credential(&self, user_name: &str) -> Reply<'_, Option<Credential>> {
        let user_name = user_name.to_owned();
        self.read(move |connection| look::credential(connection, &user_name))
    }

    fn assign(&self, call: Call, request: AssignRequest) -> Reply<'_, Result<SeatId, Refusal>> {
        let enroll = self.enroll;
        self.writer.run(move |connection| change::assign(connection, &call, &request, enroll))
    }

    fn assign_all(
        &self,
        call: Call,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Reply<'_, Result<Vec<Result<SeatId, Refusal>>, Refusal>> {
        let enroll = self.enroll;
        self.writer.run(move |connection| change::assign_all(connection, &call, &requests, enroll, dry_run))
    }

    fn release(&self, call: Call, holding: Holding) -> Reply<'_, Result<SeatId, Refusal>> {
        self.writer.run(move |connection| change::release(connection, &call, &holding))
    }

    fn transfer(&self, call: Call, transfer: Transfer) -> Reply<'_, Result<SeatId, Refusal>> {
        let enroll = self.enroll;
        self.writer.run(move |connection| change::transfer(connection, &call, &transfer, enroll))
    }

    fn details(&self, call: Call, holding: Holding) -> Reply<'_, Result<Details, Refusal>> {
        self.read(move |connection| look::details(connection, &call, &holding))
    }

    fn pools(&self, call: Call, entity_id: Option<i32>) -> Reply<'_, Result<Vec<PoolUse>, Refusal>> {
        self.read(move |connection| look::pools(connection, &call, entity_id))
    }

    fn holders(
        &self,
        call: Call,
        request: HoldersRequest,
        pages: mpsc::Sender<Vec<Holder>>,
    ) -> Reply<'_, Result<(), Refusal>> {
        Box::pin(async move {
            // Slow readers of long lists must not take the connections that sign-ins need.
            let place = Arc::clone(&self.long_reads).try_acquire_owned().map_err(|_| StoreError::QueueFull)?;
            self.readers.run(place, move |connection| look::holders(connection, &call, &request, &pages)).await?
        })
    }

    fn issue_ticket(&self, call: Call, ticket: NewTicket) -> Reply<'_, Result<Principal, Refusal>> {
        self.writer.run(move |connection| ticket::issue(connection, &call, &ticket))
    }

    fn principal(&self, call: Call) -> Reply<'_, Result<Principal, Refusal>> {
        self.read(move |connection| ticket::principal(connection, &call))
    }

    fn renew_ticket(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Reply<'_, ()> {
        self.writer.run(move |connection| ticket::renew(connection, id, now, expires_at))
    }

    fn owners(&self, call: Call, request: OwnersRequest) -> Reply<'_, Result<Vec<Owner>, Refusal>> {
        self.read(move |connection| owner::owners(connection, &call, &request))
    }

    fn assign_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>> {
        self.writer.run(move |connection| modules::assign(connection, &call, &request))
    }

    fn release_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>> {
        self.writer.run(move |connection| modules::release(connection, &call, &request))
    }

    fn activate(&self, call: Call, activation: Activation, dry_run: bool) -> Reply<'_, Result<(), Refusal>> {
        self.writer.run(move |connection| activate::activate(connection, &call, &activation, dry_run))
    }

    fn remove_license(&self, call: Call, owner_name: String) -> Reply<'_, Result<(), Refusal>> {
        self.writer.run(move |connection| activate::remove(connection, &call, &owner_name))
    }

    fn module_history(&self, call: Call, request: HistoryRequest) -> Reply<'_, Result<Option<ModuleHistory>, Refusal>> {
        self.read(move |connection| history::history(connection, &call, &request))
    }

    fn ready(&self) -> Reply<'_, ()> {
        if self.writer.is_closed() {
            return Box::pin(std::future::ready(Err(StoreError::Closed)));
        }
        self.read(|connection| connection.query_row("SELECT count(*) FROM pool_resize", [], |_| Ok(())))
    }
}

/// What an SQLite error means to a caller.
fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => StoreError::Locked,
        _ => StoreError::Failed(error.to_string()),
    }
}
