//! The store: the data, and the promises of every implementation.
//!
//! * One method is one transaction: it begins, reads the facts, asks the rules, writes their decision, commits.
//! * A method returns only after its commit is durable.
//! * An interrupted call took effect completely or not at all, and a retry is safe.
//! * On an error nothing was changed, except on [`StoreError::Unknown`].
//! * A store that can no longer keep these promises stops taking calls and says why ([`Fault`]).
//! * A change whose call is named ([`Call::name`]) happens once: a retry under the same name gets the outcome of the first try,
//!   refusals included, as long as names are kept.
//! * Every change writes an event that names its actor, in the same transaction.
//!
//! A store makes no decisions and has no texts for callers: decisions and refusals are those of [`crate::seats`] and
//! [`crate::license`].

pub mod admin;
mod call;
mod condition;
mod copies;
mod database;
mod error;
mod facts;
mod health;
pub mod history;
mod moving;
mod named;
mod pool_history;
mod postgres;
mod spool;
pub mod sqlite;
mod trail;

pub use admin::Administrators;
pub use call::{Actor, Call, Credential};
pub use condition::{Condition, ConditionReply};
pub use copies::{Backup, CopyError, Event, History, Kept, Losses, NewestEvent, Restore, Restored};
pub use database::{Address, Database, masked};
pub use error::{Fault, OpenError, StoreError};
pub use facts::{Fact, facts};
pub use history::HistoryReport;
pub use moving::{Copied, MoveError, copy};
pub use sqlite::SCHEMA_VERSION;
pub use trail::{Facts, Subject, Trace, Trail};

use std::future::Future;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::chain::{Head, Link};
use crate::license::{Owner, Presented};
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, LicenseType, Refusal, Role, SeatId, Transfer};
use admin::kept::Task;

pub use named::{CallName, NameSource, Original};

/// A future answer of a store.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Creates a store if it does not exist: a missing or empty file; on a server the tables, in a database without tables. Returns
/// whether it was created.
///
/// # Errors
///
/// As [`open`], and a file or table that cannot be created.
pub fn create(database: &Database) -> Result<bool, OpenError> {
    match database {
        Database::File(file) => sqlite::create(file),
        Database::Server(address) => postgres::create(address),
    }
}

/// Checks the address of a server without calling it.
///
/// # Errors
///
/// An address that cannot be read, or has a parameter that is not supported.
pub fn check_address(address: &Address) -> Result<(), OpenError> {
    postgres::check_address(address)
}

/// Opens a store. Only this module knows which kinds of stores exist.
///
/// # Errors
///
/// A database that is missing, empty, not ours, newer than this program, or older and not migrated ([`migrate`]); one whose
/// schema was changed; a server that is out of reach.
pub fn open(database: &Database, options: &Options, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match database {
        Database::File(file) => Arc::new(sqlite::SqliteStore::open(file, options, metrics)?),
        Database::Server(address) => postgres::open(address, options, metrics)?,
    })
}

/// Makes a PHC string from a password. The store has no cryptography of its own; its user passes this function in.
pub type HashPassword = fn(&str) -> Result<String, String>;

/// Checks that a password hash can be verified; the error says why not.
pub type CheckHash = fn(&str) -> Result<(), String>;

/// Runs SQL by hand on a file; creates the database if it does not exist.
pub fn run_sql(database: &Path, script: &str, hash_password: HashPassword) -> Result<(), OpenError> {
    sqlite::run_sql(database, script, hash_password)
}

/// One broken promise, and the row that breaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub row: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.row)
    }
}

/// The result of [`examine`].
#[derive(Debug)]
pub struct Checked {
    /// The version of the schema. For an older version the invariants of the rows are not known.
    pub version: i32,
    /// Empty: no error was found.
    pub violations: Vec<Violation>,
}

/// Verifies a database. Reads every row; changes nothing, neither in a file nor beside it, and needs no right to write.
///
/// # Errors
///
/// A file that is missing, empty, not ours, or newer than this program; one that another program keeps changing.
pub fn examine(database: &Database, check_hash: CheckHash) -> Result<Checked, OpenError> {
    match database {
        Database::File(file) => sqlite::check(file, check_hash),
        Database::Server(address) => postgres::check(address, check_hash),
    }
}

/// All errors of a database; empty if there is none. As [`examine`].
pub fn check(database: &Database, check_hash: CheckHash) -> Result<Vec<Violation>, OpenError> {
    examine(database, check_hash).map(|checked| checked.violations)
}

/// A migration that was done.
#[derive(Debug)]
pub struct Migrated {
    pub from: i32,
    pub to: i32,
    /// The copy of the old database; `None`: it is on a server, where no copy was made.
    pub copy: Option<PathBuf>,
    pub took: Duration,
}

/// A migration that was tried on a copy.
#[derive(Debug)]
pub struct TriedMigration {
    pub from: i32,
    pub to: i32,
    /// Without the time for the copy.
    pub took: Duration,
    /// The violations in the migrated copy.
    pub violations: Vec<Violation>,
}

/// Migrates an older database to the newest version, all or nothing; keeps a verified copy of an old file beside it. `None`: it
/// has the newest version already.
///
/// # Errors
///
/// As [`open`], and a disk without room for the copy.
pub fn migrate(database: &Database) -> Result<Option<Migrated>, OpenError> {
    match database {
        Database::File(file) => sqlite::migrate(file),
        Database::Server(address) => postgres::migrate(address),
    }
}

/// Migrates a copy, which is made beside the file and removed again, and examines it. On a server nothing is copied: the
/// migration is examined and then rolled back. `None`: it has the newest version already.
///
/// # Errors
///
/// As [`migrate`].
pub fn try_migration(database: &Database, check_hash: CheckHash) -> Result<Option<TriedMigration>, OpenError> {
    match database {
        Database::File(file) => sqlite::try_migration(file, check_hash),
        Database::Server(address) => postgres::try_migration(address, check_hash),
    }
}

/// Verifies a database before it is served. Returns the violations that the service tolerates.
///
/// # Errors
///
/// As [`examine`], and [`OpenError::Damaged`].
pub fn verify(database: &Database, check_hash: CheckHash) -> Result<Vec<Violation>, OpenError> {
    match database {
        Database::File(file) => sqlite::verify(file, check_hash),
        Database::Server(address) => postgres::verify(address, check_hash),
    }
}

/// Whether a program has the file open as a database; this process must not have.
pub fn is_in_use(file: &Path) -> bool {
    sqlite::is_in_use(file)
}

/// Verifies the chain of the history, and that the tables match the history. `heads`: kept elsewhere; each must be in the
/// history. Reads every row, changes none; a file may be a read-only copy.
///
/// # Errors
///
/// A database that is not ours, does not have the newest version, or cannot be read.
pub fn verify_history(database: &Database, heads: Vec<Head>) -> Result<HistoryReport, OpenError> {
    match database {
        Database::File(file) => sqlite::verify_history(file, heads),
        Database::Server(address) => postgres::verify_history(address, heads),
    }
}

/// Copies a file, which may be in use, to a file or, under a generated name, to a directory; verifies the copy before it gets its
/// name. `keep`: the number of newest backups in the directory that stay.
pub fn backup(
    database: &Path,
    target: &Path,
    keep: Option<NonZeroUsize>,
    now: Timestamp,
    check_hash: CheckHash,
) -> Result<Backup, CopyError> {
    sqlite::backup(database, target, keep, now, check_hash)
}

/// Notes in a file when a task was done last, for administrators. Best effort: the task was done all the same.
///
/// # Errors
///
/// As [`open`], and a file that cannot be written.
pub fn note_upkeep(database: &Path, task: Task, at: Timestamp, detail: &str) -> Result<(), OpenError> {
    sqlite::note_upkeep(database, task, at, detail)
}

/// Replaces a file, which no program has open, with a verified copy of a backup, and keeps the old files.
pub fn restore(
    database: &Path,
    restore: &Restore,
    now: Timestamp,
    check_hash: CheckHash,
) -> Result<Restored, CopyError> {
    sqlite::restore(database, restore, now, check_hash)
}

/// Settings of a store. `seatkeeper serve --help` explains each to operators.
#[derive(Debug, Clone)]
pub struct Options {
    /// Calls that may wait for their turn to write; further ones are refused.
    pub queue_calls_max: usize,
    /// The most calls that share one commit.
    pub group_calls_max: usize,
    /// How long to wait for another program that holds the database.
    pub busy_timeout: Duration,
    /// From the end of one verification to the beginning of the next; zero: no verification.
    pub verify_interval: Duration,
    /// Whether an assignment may enroll an unknown user name.
    pub enroll: bool,
    /// How long the outcome of a named call is kept for a retry; 0: names are ignored.
    pub named_calls_life: Duration,
    /// The most outcomes kept; an outcome of more than 256 bytes counts as several. The oldest are dropped first.
    pub named_calls_max: usize,
    /// Connections to a server, of this node.
    pub server_connections_max: usize,
    /// How long one statement may take on a server.
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            queue_calls_max: 4096,
            group_calls_max: 256,
            busy_timeout: Duration::from_secs(5),
            verify_interval: Duration::from_secs(3600),
            enroll: true,
            named_calls_life: Duration::from_secs(24 * 60 * 60),
            named_calls_max: 1_000_000,
            server_connections_max: 16,
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// Everything that a store does.
pub trait Store: Seats + Licenses + Tickets + Administration + Administrators {}

impl<T: Seats + Licenses + Tickets + Administration + Administrators> Store for T {}

/// Assigning, releasing and reading seats.
pub trait Seats: Send + Sync {
    /// Takes a seat for the user of the request.
    fn assign(&self, call: Call, request: AssignRequest) -> Reply<'_, Result<SeatId, Refusal>>;

    /// Takes a seat for each request, one after the other, with an outcome for each. `dry_run`: returns the outcomes and changes
    /// nothing.
    fn assign_all(
        &self,
        call: Call,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Reply<'_, Result<Vec<Result<SeatId, Refusal>>, Refusal>>;

    /// Releases the seat that a user holds.
    fn release(&self, call: Call, holding: Holding) -> Reply<'_, Result<SeatId, Refusal>>;

    /// Transfers the seat of one user to another, in one step.
    fn transfer(&self, call: Call, transfer: Transfer) -> Reply<'_, Result<SeatId, Refusal>>;

    /// The license details for the holder of a seat.
    fn details(&self, call: Call, holding: Holding) -> Reply<'_, Result<Details, Refusal>>;

    /// The pools of an entity and how full they are.
    fn pools(&self, call: Call, entity_id: Option<i32>) -> Reply<'_, Result<Vec<PoolUse>, Refusal>>;

    /// Sends all holders of seats, page by page, from one snapshot; returns when the last page is sent. At most 64 KiB and a few
    /// pages are in memory at a time, and a slow receiver delays no other call. Dropping the receiver ends it.
    fn holders(
        &self,
        call: Call,
        request: HoldersRequest,
        pages: mpsc::Sender<Vec<Holder>>,
    ) -> Reply<'_, Result<(), Refusal>>;
}

/// Licenses of module owners, for license tools.
pub trait Licenses: Send + Sync {
    /// The licenses of the module owners among the caller's entities.
    fn owners(&self, call: Call, request: OwnersRequest) -> Reply<'_, Result<Vec<Owner>, Refusal>>;

    /// Takes a seat of each type for an associate from the owner's pools, unless it already holds one there: all or nothing.
    /// Returns the owner after the change.
    fn assign_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>>;

    /// Releases the seats of these types that an associate holds in the owner's pools. Returns the owner after the change.
    fn release_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>>;

    /// Adjusts entity and pools to the granted license, all or nothing. `dry_run`: only checks whether that is possible.
    fn activate(&self, call: Call, activation: Activation, dry_run: bool) -> Reply<'_, Result<(), Refusal>>;

    /// Removes a module owner: empties its pools, of which no seat may be in use, clears its name and deletes the offer.
    fn remove_license(&self, call: Call, owner_name: String) -> Reply<'_, Result<(), Refusal>>;

    /// Activates the license of a file. Returns its owner after the call, whether or not it was activated.
    fn add_license(&self, call: Call, license: FiledLicense) -> Reply<'_, Result<Added, Refusal>>;

    /// The history of a module, with a limited number of events; `None`: the caller may not see the owner.
    fn module_history(&self, call: Call, request: HistoryRequest) -> Reply<'_, Result<Option<ModuleHistory>, Refusal>>;
}

/// Credentials and tickets.
pub trait Tickets: Send + Sync {
    /// The credential of a user name; `None` if it does not exist or is inactive.
    fn credential(&self, user_name: &str) -> Reply<'_, Option<Credential>>;

    /// The costs of password checks: for each set of argon2id parameters among active credentials one stored hash, and the number
    /// of credentials with that set. The most frequent first, at most [`HASH_KINDS_MAX`].
    fn hash_kinds(&self) -> Reply<'_, Vec<(Arc<str>, u64)>>;

    /// Stores a ticket for the caller, and deletes some expired tickets. Returns the caller.
    fn issue_ticket(&self, call: Call, ticket: NewTicket) -> Reply<'_, Result<Principal, Refusal>>;

    /// Refuses a call whose arguments are invalid, so that a retry of a named call gets the same answer. If the caller is not
    /// signed in, the call is refused for that instead.
    fn refuse(&self, call: Call, refusal: Refusal) -> Reply<'_, Result<(), Refusal>>;

    /// The caller.
    fn principal(&self, call: Call) -> Reply<'_, Result<Principal, Refusal>>;

    /// Extends a ticket that is still valid until `expires_at`.
    fn renew_ticket(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Reply<'_, ()>;
}

/// The store itself.
pub trait Administration: Send + Sync {
    /// Whether calls can be served now; the error says why not.
    fn ready(&self) -> Reply<'_, ()>;

    /// What was last seen of the store and its surroundings. Answers at once, also while the store is stuck, and costs little:
    /// the store looks about once a second by itself.
    fn condition(&self) -> ConditionReply<'_>;

    /// Waits until the store has stopped taking calls for good, and says why.
    fn stopped(&self) -> Pin<Box<dyn Future<Output = Fault> + Send + '_>>;

    /// A moment of this machine's clock, corrected to the clock that decides for all nodes: that of the database server. For a
    /// file it is the machine's own. [`Call::now`] and the ends of tickets are corrected in this way.
    fn corrected(&self, at: Timestamp) -> Timestamp;

    /// The newest chained event; `None`: there is none.
    fn head(&self) -> Reply<'_, Option<Link>>;

    /// Waits until every accepted call is answered, and closes the database; later calls are refused. Blocks the thread.
    fn close(&self);
}

/// See [`Tickets::hash_kinds`]. Usually there are one or two.
pub const HASH_KINDS_MAX: u32 = 64;

/// The row of a new ticket: never the ticket itself.
#[derive(Debug, Clone)]
pub struct NewTicket {
    pub proof: TicketProof,
    pub expires_at: Timestamp,
}

/// The proof that a caller holds a ticket, or a session of the pages for administrators.
#[derive(Clone)]
pub struct TicketProof {
    pub id: Uuid,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
}

impl std::fmt::Debug for TicketProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ticket {}", self.id)
    }
}

/// A signed-in caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// In the store's spelling.
    pub user_name: String,
    pub role: Role,
    /// The account of the same name, if there is one among the caller's entities.
    pub associate_id: Option<i32>,
    pub entity_id: i32,
    pub entity_name: String,
    /// The license of the caller's own entity, if it is a module owner; its `held` describes that account.
    pub owner: Option<Owner>,
}

/// Selects the owners of licenses. More than [`crate::license::OWNERS_MAX`] are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnersRequest {
    pub owners: Owners,
    /// The id of the account that [`Owner::held`] describes.
    pub associate_id: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    All,
    /// The owner of this name, in any case; none if the caller may not see it.
    Named(String),
    /// The owners among the entity of the request's associate and the entities above it, the nearest first; after them, by name,
    /// the owners of seats that it holds. None if the caller may not see the associate.
    OfAssociate,
}

/// Types of one owner, to assign to an associate or to release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModulesRequest {
    pub associate_id: i32,
    pub owner_name: String,
    pub license_types: Vec<LicenseType>,
}

/// A license to activate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one in a call, and it is not kept")]
pub enum Activation {
    /// The license granted to an owner, as the caller hands it back.
    Presented(Presented),
    /// All offers to this company under this serial number.
    Serial { company_name: String, serial_nr: String },
}

/// The license of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiledLicense {
    pub owner_name: String,
    /// Its content; or why no issuer grants such a license.
    pub presented: Result<Presented, Refusal>,
}

/// The outcome for the license of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The owner after the call; `None`: the caller may not see it.
    pub owner: Option<Owner>,
    /// Why the license was not activated; `None`: it was.
    pub refused: Option<Refusal>,
}

/// The details for the holder of a seat: the seat's own, or else the pool's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub product_key: Option<String>,
    pub license_data: Option<Vec<u8>>,
}

/// One pool and how full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUse {
    pub id: i64,
    pub license_type: LicenseType,
    pub seats_total: i32,
    pub seats_in_use: i32,
    /// The most that were ever in use at once.
    pub seats_in_use_max: i32,
    pub starts_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// Selects the history of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    pub owner_name: String,
    pub license_type: LicenseType,
}

/// The history of the present and former pools of an owner, of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleHistory {
    /// The owner as it is now.
    pub owner: Owner,
    /// The present pools of this type.
    pub pools: Vec<PoolUse>,
    /// Newest first.
    pub events: Vec<PoolEvent>,
    /// Older events that were not read.
    pub left_out: i64,
    /// Whether there are no other events.
    pub is_complete: bool,
}

/// A change of a pool or of one of its seats. It names neither the actor nor the holder of the seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolEvent {
    /// Id of the event.
    pub id: i64,
    pub at: Timestamp,
    pub pool_id: i64,
    pub kind: PoolEventKind,
    /// Whether a call made the change; otherwise SQL by hand did.
    pub by_call: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolEventKind {
    Created {
        seats: i64,
    },
    /// The numbers of seats; they are equal if other columns changed.
    Changed {
        from: i64,
        to: i64,
    },
    Deleted,
    Assigned,
    Released,
    /// The seat's product key or license data.
    SeatChanged,
}

/// Selects holders of seats.
#[derive(Debug, Clone, Default)]
pub struct HoldersRequest {
    pub entity_id: Option<i32>,
    /// Only accounts of the entity itself and of the entities directly below it, not of the whole subtree.
    pub child_accounts_only: bool,
}

/// A user that holds a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub username: String,
    pub license_type: LicenseType,
}
