//! The store on one SQLite file, with group commit.
//!
//! One writer thread owns the one connection that writes. It takes all queued calls, runs them in one transaction, commits once,
//! and only then answers all of them. So all calls that arrived during the previous commit share the cost of making a change
//! durable. If one of them fails, only that call is undone. Readers are separate read-only connections. Other programs may write
//! to the file while the service runs; SQLite's lock serializes them.

mod admin;
mod calls;
mod check;
mod checkpoint;
mod facts;
mod file;
mod hand_written;
mod history;
pub(crate) mod moving;
mod readers;
mod sql_error;
#[cfg(test)]
mod tests;
pub mod tokens;
mod watch;
mod writer;

pub use admin::note_upkeep;
pub use check::{INVARIANTS, add_functions, check, verify};
pub use facts::facts;
pub use file::backup::backup;
pub use file::migrate::{migrate, try_migration};
pub use file::restore::restore;
pub use file::schema::{SCHEMA, SCHEMA_VERSION};
pub use hand_written::{AdminConnection, Author, admin_connection, resize_pool, restore_dump, run_sql};
pub use history::archive::archive;
pub use history::events::events;
pub use history::holders::holders_at;
pub(super) use history::scratch::{Cell, Scratch, Tables};
pub use history::sources::newest;
pub use history::verify::{verify as verify_history, verify_all, verify_archive};
pub use sql_error::{explain, explain_discreetly, offset};

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::admin::{AdminRefusal, AdminWork, Answer, ChangeOptions, Changed, ServiceWork};
use super::health::Health;
use super::named::Outcome;
use super::spool::Spools;
use super::{
    Activation, Added, Administration, Administrators, Call, ConditionReply, Credential, Details, Fault, FiledLicense,
    HistoryRequest, Holder, HoldersRequest, Licenses, ModuleHistory, ModulesRequest, NewTicket, OpenError, Options,
    Owners, OwnersRequest, PoolUse, Principal, Reply, Seats, StoreError, Tickets,
};
use crate::chain::Link;
use crate::license::Owner;
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, Refusal, Role, SeatId, Transfer};
use calls::stop::{Stop, caller_of_role, settle};
use calls::{activate, look, module_history, modules, named, owner, seats, ticket};
use check::background::Verifier;
use checkpoint::{Checkpointer, Sizes};
use file::companions::beside;
use file::guard::Guard;
use file::{open, schema};
use history::chain::{self, Chainer};
use history::sources;
use readers::Readers;
use watch::{Shortener, Watch};
use writer::Writer;

/// See [`crate::store::is_in_use`].
pub fn is_in_use(path: &Path) -> bool {
    !file::companions::users(path).is_empty()
}

/// See [`super::create`].
pub fn create(path: &Path) -> Result<bool, OpenError> {
    let is_absent = open::absent(path)?.is_some() || {
        let connection = open::connect(path, hand_written::BUSY_TIMEOUT, false)?;
        schema::contents(&connection, path)? == schema::Contents::Nothing
    };
    if !is_absent {
        return Ok(false);
    }
    open::admin(path, hand_written::BUSY_TIMEOUT, true).map(|_| true)
}

/// See the module.
pub struct SqliteStore {
    writer: Arc<Writer>,
    checkpoints: Arc<Checkpointer>,
    verifier: Verifier,
    chainer: Chainer,
    watch: Watch,
    readers: Arc<Readers>,
    reads: Arc<Semaphore>,
    long_reads: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    spools: Spools,
    guard: Arc<Guard>,
    enroll: bool,
    /// `None`: names of calls are ignored.
    named_calls: Option<named::Limits>,
}

/// The most lists of holders at a time, most of which are only being sent; further ones are refused.
const LISTS_MAX: usize = 256;

/// The most lists of holders that are read from the database at a time; further ones wait. They must not take the turns that
/// sign-ins need.
const LONG_READS_MAX: usize = 4;

/// The most other reads at a time; further ones wait. Each is short and keeps a core busy: more at a time would not be faster,
/// and each has a connection of its own, which costs as much to open as many reads.
fn reads_max() -> usize {
    std::thread::available_parallelism().map_or(4, |cores| (2 * cores.get()).clamp(4, 32))
}

impl SqliteStore {
    /// See [`super::open`].
    pub fn open(path: &Path, options: &Options, metrics: Arc<Metrics>) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_sized(path, options, metrics, Sizes::default())
    }

    fn open_sized(
        path: &Path,
        options: &Options,
        metrics: Arc<Metrics>,
        sizes: Sizes,
    ) -> Result<SqliteStore, OpenError> {
        let mut connection = open::writer(path, options.busy_timeout)?;
        let guard = Arc::new(Guard::new(&connection, path, Arc::new(Health::default()))?);
        chain::chain_at_start(&connection).map_err(|e| open::sqlite(path, e))?;
        let reads_max = reads_max();
        let readers = Arc::new(Readers::new(path, options.busy_timeout, reads_max, Arc::clone(&guard))?);
        let checkpoints = Checkpointer::start(&mut connection, path, options.busy_timeout, Arc::clone(&guard), sizes)?;
        let checkpoints = Arc::new(checkpoints);
        let verifier = Verifier::start(path, options, Arc::clone(&guard.health), Arc::clone(&metrics))?;
        let writer = Writer::start(connection, checkpoints.state(), options, metrics, Arc::clone(&guard))?;
        let writer = Arc::new(writer);
        let chainer = Chainer::start(&writer, chain::INTERVAL)?;
        let shortener = Shortener::new(&checkpoints, sizes.wal_bytes_max);
        let watch = Watch::start(path, options.busy_timeout, &guard, &readers, &writer, shortener)?;
        Ok(SqliteStore {
            writer,
            checkpoints,
            verifier,
            chainer,
            watch,
            readers,
            reads: Arc::new(Semaphore::new(reads_max)),
            long_reads: Arc::new(Semaphore::new(LONG_READS_MAX)),
            lists: Arc::new(Semaphore::new(LISTS_MAX)),
            // Beside the database, the only place that certainly has room and can be written.
            spools: Spools::new(beside(path, "-list-")),
            guard,
            enroll: options.enroll,
            named_calls: named_calls(options),
        })
    }

    /// Runs a read in its turn.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    ) -> Reply<'_, Result<T, Refusal>> {
        Box::pin(async move {
            let turn = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            self.readers.run(turn, move |connection| settle(query(connection))).await
        })
    }

    /// Runs a read in its turn on the calling thread. For reads that take microseconds, however large the database is.
    fn read_here<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    ) -> Reply<'_, Result<T, Refusal>> {
        Box::pin(async move {
            let turn = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            self.readers.run_here(&turn, move |connection| settle(query(connection)))
        })
    }

    /// Runs a change in its turn, for a caller of at least this role. A retry of a named call gets the outcome of the first try.
    fn write<T: Outcome>(
        &self,
        call: Call,
        least: Role,
        change: impl Fn(&Connection, &Call) -> Result<T, Stop> + Send + 'static,
    ) -> Reply<'_, Result<T, Refusal>> {
        let (Some(limits), Some(name)) = (self.named_calls, call.name.clone()) else {
            return self.writer.run_noted(call.trail.clone(), move |connection| settle(change(connection, &call)));
        };
        let named = Arc::clone(&name);
        let reply = self.writer.run_noted(call.trail.clone(), move |connection| {
            named::run(connection, &call, &named, limits, least, || change(connection, &call))
        });
        Box::pin(async move {
            let (outcome, original) = reply.await?;
            if let Some(original) = original {
                name.repeats(original);
            }
            Ok(outcome)
        })
    }
}

impl Seats for SqliteStore {
    fn assign(&self, call: Call, request: AssignRequest) -> Reply<'_, Result<SeatId, Refusal>> {
        let enroll = self.enroll;
        self.write(call, Role::Agent, move |connection, call| seats::assign(connection, call, &request, enroll))
    }

    fn assign_all(
        &self,
        call: Call,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Reply<'_, Result<Vec<Result<SeatId, Refusal>>, Refusal>> {
        let enroll = self.enroll;
        let call = if dry_run { call.unnamed() } else { call };
        self.write(call, Role::Agent, move |connection, call| {
            seats::assign_all(connection, call, &requests, enroll, dry_run)
        })
    }

    fn release(&self, call: Call, holding: Holding) -> Reply<'_, Result<SeatId, Refusal>> {
        self.write(call, Role::Admin, move |connection, call| seats::release(connection, call, &holding))
    }

    fn transfer(&self, call: Call, transfer: Transfer) -> Reply<'_, Result<SeatId, Refusal>> {
        let enroll = self.enroll;
        self.write(call, Role::Admin, move |connection, call| seats::transfer(connection, call, &transfer, enroll))
    }

    fn details(&self, call: Call, holding: Holding) -> Reply<'_, Result<Details, Refusal>> {
        self.read_here(move |connection| seats::details(connection, &call, &holding))
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
            let _list = Arc::clone(&self.lists).try_acquire_owned().map_err(|_| StoreError::QueueFull)?;
            let turn = Arc::clone(&self.long_reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            let spool = self.spools.list();
            let read = move |connection: &Connection| settle(look::holders(connection, &call, &request, spool));
            match self.readers.run(turn, read).await? {
                Ok(spool) => spool.send(pages).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
    }
}

impl Licenses for SqliteStore {
    fn owners(&self, call: Call, request: OwnersRequest) -> Reply<'_, Result<Vec<Owner>, Refusal>> {
        let is_one = matches!(request.owners, Owners::Named(_));
        let query = move |connection: &Connection| owner::owners(connection, &call, &request);
        if is_one { self.read_here(query) } else { self.read(query) }
    }

    fn assign_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>> {
        self.write(call, Role::Agent, move |connection, call| modules::assign(connection, call, &request))
    }

    fn release_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>> {
        self.write(call, Role::Admin, move |connection, call| modules::release(connection, call, &request))
    }

    fn activate(&self, call: Call, activation: Activation, dry_run: bool) -> Reply<'_, Result<(), Refusal>> {
        let call = if dry_run { call.unnamed() } else { call };
        self.write(call, Role::Admin, move |connection, call| {
            activate::activate(connection, call, &activation, dry_run)
        })
    }

    fn remove_license(&self, call: Call, owner_name: String) -> Reply<'_, Result<(), Refusal>> {
        self.write(call, Role::Admin, move |connection, call| activate::remove(connection, call, &owner_name))
    }

    fn add_license(&self, call: Call, license: FiledLicense) -> Reply<'_, Result<Added, Refusal>> {
        self.write(call, Role::Admin, move |connection, call| activate::add(connection, call, &license))
    }

    fn module_history(&self, call: Call, request: HistoryRequest) -> Reply<'_, Result<Option<ModuleHistory>, Refusal>> {
        self.read(move |connection| module_history::history(connection, &call, &request))
    }
}

impl Tickets for SqliteStore {
    fn credential(&self, user_name: &str) -> Reply<'_, Option<Credential>> {
        let user_name = user_name.to_owned();
        let found = self.read_here(move |connection| Ok(ticket::credential(connection, &user_name)?));
        // The rules have no say in this.
        Box::pin(async move { Ok(found.await?.unwrap_or(None)) })
    }

    fn hash_kinds(&self) -> Reply<'_, Vec<(Arc<str>, u64)>> {
        let found = self.read(|connection| Ok(ticket::hash_kinds(connection)?));
        Box::pin(async move { Ok(found.await?.unwrap_or_default()) })
    }

    fn issue_ticket(&self, call: Call, ticket: NewTicket) -> Reply<'_, Result<Principal, Refusal>> {
        // Never kept for a retry, because a ticket's secret is stored nowhere.
        self.writer.run_noted(call.trail.clone(), move |connection| settle(ticket::issue(connection, &call, &ticket)))
    }

    fn refuse(&self, call: Call, refusal: Refusal) -> Reply<'_, Result<(), Refusal>> {
        self.write(call, Role::Reader, move |connection, call| {
            caller_of_role(connection, call, Role::Reader)?;
            Err(refusal.clone().into())
        })
    }

    fn principal(&self, call: Call) -> Reply<'_, Result<Principal, Refusal>> {
        self.read_here(move |connection| ticket::principal(connection, &call))
    }

    fn renew_ticket(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Reply<'_, ()> {
        self.writer.run(move |connection| ticket::renew(connection, id, now, expires_at).map_err(store_error))
    }
}

impl Administration for SqliteStore {
    fn ready(&self) -> Reply<'_, ()> {
        let closed = if self.writer.is_closed() { Err(StoreError::Closed) } else { Ok(()) };
        if let Err(error) = self.guard.health.check().and(closed).and_then(|()| self.guard.tell()) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let read = self.read(|connection| Ok(connection.query_row("SELECT count(*) FROM call", [], |_| Ok(()))?));
        Box::pin(async move {
            read.await?.ok();
            if self.guard.health.cannot_save() {
                return Err(StoreError::Unknown("a change could not be saved a moment ago".to_owned()));
            }
            Ok(())
        })
    }

    fn condition(&self) -> ConditionReply<'_> {
        Box::pin(std::future::ready(self.watch.condition(&self.guard, &self.writer)))
    }

    fn stopped(&self) -> Pin<Box<dyn Future<Output = Fault> + Send + '_>> {
        Box::pin(self.guard.health.stopped())
    }

    fn corrected(&self, at: Timestamp) -> Timestamp {
        at
    }

    fn head(&self) -> Reply<'_, Option<Link>> {
        let read = self.read(|connection| Ok(sources::head(connection)?));
        // The rules have no say in this.
        Box::pin(async move { Ok(read.await?.unwrap_or(None)) })
    }

    fn close(&self) {
        self.reads.close();
        self.long_reads.close();
        self.watch.close();
        // The writer's connection closes last: only a connection that may write can copy the WAL into the file.
        self.readers.close();
        self.verifier.close();
        self.checkpoints.close();
        self.chainer.close();
        self.writer.close();
    }
}

impl Administrators for SqliteStore {
    fn read_as_admin(&self, call: Call, least: Role, work: AdminWork) -> Reply<'_, Result<Answer, AdminRefusal>> {
        Box::pin(async move {
            let turn = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            self.readers.run(turn, move |connection| admin::read(connection, &call, least, &work)).await
        })
    }

    fn change_as_admin(
        &self,
        call: Call,
        options: ChangeOptions,
        work: AdminWork,
    ) -> Reply<'_, Result<Changed<Answer>, AdminRefusal>> {
        self.writer.run_queued(move |connection| admin::change(connection, &call, &options, &work))
    }

    fn keep(&self, work: ServiceWork) -> Reply<'_, Result<Answer, AdminRefusal>> {
        self.writer.run(move |connection| admin::keep(connection, &work))
    }
}

fn named_calls(options: &Options) -> Option<named::Limits> {
    let life = SignedDuration::try_from(options.named_calls_life).unwrap_or(SignedDuration::MAX);
    let max = i64::try_from(options.named_calls_max).unwrap_or(i64::MAX);
    (!life.is_zero()).then_some(named::Limits { life, max })
}

/// Runs a frequent statement without parameters, such as COMMIT.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// The store's error for an SQLite error.
fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            StoreError::Disk(error.to_string())
        }
        _ => StoreError::Failed(error.to_string()),
    }
}
