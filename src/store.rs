//! What is kept, and the promises every store makes.
//!
//! * One method is one transaction: it begins, reads the facts, asks the rules, writes what they decided, commits.
//! * An answer leaves only after its commit is durable.
//! * A call that was cut off happened whole or not at all, and repeating it is safe.
//! * On an error nothing was changed, except on [`StoreError::Unknown`].
//! * A store that can no longer keep these promises stops taking calls and says why ([`Fault`]).
//! * A change whose call is named ([`Call::name`]) happens once: a retry under the same name gets the outcome of the first try, refusals
//!   included, as long as names are kept.
//! * Every change leaves an event that says who made it, in the same transaction.
//!
//! A store decides nothing and says nothing to callers: decisions and refusals are those of [`crate::seats`] and
//! [`crate::license`].

mod copies;
mod database;
mod error;
mod health;
pub mod history;
mod moving;
mod named;
mod pool_history;
mod postgres;
mod spool;
pub mod sqlite;

pub use copies::{Backup, CopyError, Event, History, Kept, Losses, NewestEvent, Restore, Restored};
pub use database::{Address, Database};
pub use error::{Fault, OpenError, StoreError};
pub use history::HistoryReport;
pub use moving::{Copied, MoveError, copy};
pub use sqlite::SCHEMA_VERSION;

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

pub use named::{CallName, NameSource, Original};

/// The answer of a store, later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Makes the store at a place if there is none: no file, or an empty one; on a server the tables in a database that has none. Whether
/// it was made.
///
/// # Errors
///
/// As [`open`], and a file or table that cannot be made.
pub fn create(database: &Database) -> Result<bool, OpenError> {
    match database {
        Database::File(file) => sqlite::create(file),
        Database::Server(address) => postgres::create(address),
    }
}

/// Opens the store at a place. This module is the one that knows which kinds of stores there are.
///
/// # Errors
///
/// A database that is not there, is empty, is not ours, is newer than this program, or is older and was not migrated ([`migrate`]); one
/// whose schema was changed; a server that is out of reach.
pub fn open(database: &Database, options: &Options, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match database {
        Database::File(file) => Arc::new(sqlite::SqliteStore::open(file, options, metrics)?),
        Database::Server(address) => postgres::open(address, options, metrics)?,
    })
}

/// What makes a PHC string of a password. The store knows no cryptography; who opens it hands this down.
pub type HashPassword = fn(&str) -> Result<String, String>;

/// Says why a password hash cannot be verified.
pub type CheckHash = fn(&str) -> Result<(), String>;

/// Runs SQL on a file as an administrator does by hand; the database is made if there is none.
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

/// What [`examine`] found.
#[derive(Debug)]
pub struct Checked {
    /// Of the schema. Of an older one than this program's the invariants of the rows are not known.
    pub version: i32,
    /// Empty: nothing is wrong.
    pub violations: Vec<Violation>,
}

/// Verifies a database. Reads every row; changes nothing, neither in a file nor beside it, and needs no right to write.
///
/// # Errors
///
/// A file that is not there, is empty, is not ours, or is newer than this program; one that another program keeps changing.
pub fn examine(database: &Database, check_hash: CheckHash) -> Result<Checked, OpenError> {
    match database {
        Database::File(file) => sqlite::check(file, check_hash),
        Database::Server(address) => postgres::check(address, check_hash),
    }
}

/// All that is wrong with a database; empty if nothing is. As [`examine`].
pub fn check(database: &Database, check_hash: CheckHash) -> Result<Vec<Violation>, OpenError> {
    examine(database, check_hash).map(|checked| checked.violations)
}

/// A migration that was done.
#[derive(Debug)]
pub struct Migrated {
    pub from: i32,
    pub to: i32,
    /// The database as it was; `None`: it is on a server, of which no copy was made.
    pub copy: Option<PathBuf>,
    pub took: Duration,
}

/// A migration that was tried on a copy.
#[derive(Debug)]
pub struct TriedMigration {
    pub from: i32,
    pub to: i32,
    /// Without the copy.
    pub took: Duration,
    /// Of the migrated copy.
    pub violations: Vec<Violation>,
}

/// Brings a database of an older version to the newest one, all or nothing; of a file it keeps a verified copy as it was beside it.
/// `None`: it is of the newest version.
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

/// Migrates a copy, which is made beside the file and removed again, and examines it. On a server nothing is copied: the migration is
/// examined before its transaction is undone. `None`: it is of the newest version.
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

/// Verifies a database before it is served. What is wrong and no reason not to serve it.
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

/// Verifies the chain of the history, and that the tables are what the history leads to. `heads`: kept elsewhere; each must be
/// in the history. Reads every row, changes none; a file may be a copy that cannot be written.
///
/// # Errors
///
/// A database that is not ours or not of the newest version, and one that cannot be read.
pub fn verify_history(database: &Database, heads: Vec<Head>) -> Result<HistoryReport, OpenError> {
    match database {
        Database::File(file) => sqlite::verify_history(file, heads),
        Database::Server(address) => postgres::verify_history(address, heads),
    }
}

/// Copies a file while it may be in use, to a file or, under a name of its own, to a directory; verifies the copy before it gets
/// its name. `keep`: of the backups that this made in the directory, the newest so many stay.
pub fn backup(
    database: &Path,
    target: &Path,
    keep: Option<NonZeroUsize>,
    now: Timestamp,
    check_hash: CheckHash,
) -> Result<Backup, CopyError> {
    sqlite::backup(database, target, keep, now, check_hash)
}

/// Puts a verified copy of a backup in the place of a file that no program has open, and keeps the files that were there.
pub fn restore(
    database: &Path,
    restore: &Restore,
    now: Timestamp,
    check_hash: CheckHash,
) -> Result<Restored, CopyError> {
    sqlite::restore(database, restore, now, check_hash)
}

/// How a store is run. See `seatkeeper serve --help` for what each limit means to an operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Calls that may wait for their turn to write; one more is refused.
    pub queue_calls_max: usize,
    /// Calls that share one commit at most.
    pub group_calls_max: usize,
    /// How long to wait for another program that holds the database.
    pub busy_timeout: Duration,
    /// From the end of one verification to the beginning of the next; zero: there is none.
    pub verify_interval: Duration,
    /// Whether an assignment may enroll a user name that is not known.
    pub enroll: bool,
    /// How long the outcome of a named call is kept for a retry; 0: names are ignored.
    pub named_calls_life: Duration,
    /// Outcomes kept at most; one of more than 256 bytes counts as several. The oldest go first.
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

/// All that a store does.
pub trait Store: Seats + Licenses + Tickets + Administration {}

impl<T: Seats + Licenses + Tickets + Administration> Store for T {}

/// Seats: taken, given back, and looked at.
pub trait Seats: Send + Sync {
    /// Takes a seat for the user of the request.
    fn assign(&self, call: Call, request: AssignRequest) -> Reply<'_, Result<SeatId, Refusal>>;

    /// Takes a seat for each request, one after the other; an outcome for each. `dry_run`: the outcomes only; nothing is
    /// changed.
    fn assign_all(
        &self,
        call: Call,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Reply<'_, Result<Vec<Result<SeatId, Refusal>>, Refusal>>;

    /// Gives back the seat that a user holds.
    fn release(&self, call: Call, holding: Holding) -> Reply<'_, Result<SeatId, Refusal>>;

    /// Gives the seat of one user to another, in one step.
    fn transfer(&self, call: Call, transfer: Transfer) -> Reply<'_, Result<SeatId, Refusal>>;

    /// What the holder of a seat gets.
    fn details(&self, call: Call, holding: Holding) -> Reply<'_, Result<Details, Refusal>>;

    /// The pools of an entity and how full they are.
    fn pools(&self, call: Call, entity_id: Option<i32>) -> Reply<'_, Result<Vec<PoolUse>, Refusal>>;

    /// Sends all holders of seats, page by page, all of one moment; answers when the last page is sent. At most
    /// 64 KiB and a few pages are in memory at a time, and a slow receiver holds up no other call. Dropping the receiver ends it.
    fn holders(
        &self,
        call: Call,
        request: HoldersRequest,
        pages: mpsc::Sender<Vec<Holder>>,
    ) -> Reply<'_, Result<(), Refusal>>;
}

/// Licenses of module owners, as license tools see them.
pub trait Licenses: Send + Sync {
    /// The licenses of the module owners among the caller's entities.
    fn owners(&self, call: Call, request: OwnersRequest) -> Reply<'_, Result<Vec<Owner>, Refusal>>;

    /// Takes a seat of each type for an associate from the owner's pools, where they hold none there: all or nothing.
    /// Answers with the owner as it is then.
    fn assign_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>>;

    /// Gives back the seats of these types that an associate holds of the owner's pools. Answers with the owner as it is
    /// then.
    fn release_modules(&self, call: Call, request: ModulesRequest) -> Reply<'_, Result<Owner, Refusal>>;

    /// Makes entity and pools follow what the issuer grants, all or nothing. `dry_run`: only finds out whether that would be
    /// done.
    fn activate(&self, call: Call, activation: Activation, dry_run: bool) -> Reply<'_, Result<(), Refusal>>;

    /// Removes a module owner: empties its pools, of which no seat may be in use, clears its name and deletes the offer.
    fn remove_license(&self, call: Call, owner_name: String) -> Reply<'_, Result<(), Refusal>>;

    /// Activates the license of a file. Answers with its owner as it is then, whatever came of it.
    fn add_license(&self, call: Call, license: FiledLicense) -> Reply<'_, Result<Added, Refusal>>;

    /// The history of a module, as far as the audit is read for it; `None`: the caller may not know the owner.
    fn module_history(&self, call: Call, request: HistoryRequest) -> Reply<'_, Result<Option<ModuleHistory>, Refusal>>;
}

/// Credentials, and the tickets that callers get for them.
pub trait Tickets: Send + Sync {
    /// The row a caller must prove to be; `None` if there is no such user name or it is inactive.
    fn credential(&self, user_name: &str) -> Reply<'_, Option<Credential>>;

    /// What checking passwords costs: of each set of argon2id parameters among active credentials one stored hash, and how many
    /// credentials have the set. The most frequent first, at most [`HASH_KINDS_MAX`].
    fn hash_kinds(&self) -> Reply<'_, Vec<(Arc<str>, u64)>>;

    /// Keeps a ticket for the caller, and ends some that have expired. Answers who the caller is.
    fn issue_ticket(&self, call: Call, ticket: NewTicket) -> Reply<'_, Result<Principal, Refusal>>;

    /// Refuses a call whose arguments are invalid, so that a retry of a named call gets the same answer. If the caller is not signed in,
    /// that is the answer instead.
    fn refuse(&self, call: Call, refusal: Refusal) -> Reply<'_, Result<(), Refusal>>;

    /// Who the caller is.
    fn principal(&self, call: Call) -> Reply<'_, Result<Principal, Refusal>>;

    /// Lets a ticket that is still valid live until `expires_at`.
    fn renew_ticket(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Reply<'_, ()>;
}

/// The store itself.
pub trait Administration: Send + Sync {
    /// Whether calls can be served right now; else why not.
    fn ready(&self) -> Reply<'_, ()>;

    /// Waits until the store has stopped taking calls for good, and says why.
    fn stopped(&self) -> Pin<Box<dyn Future<Output = Fault> + Send + '_>>;

    /// A moment of this machine's clock, by the clock that decides for all nodes: that of the database's server. For a file it is the
    /// machine's own. [`Call::now`] and the ends of tickets are by that clock: they are made from what this gives.
    fn corrected(&self, at: Timestamp) -> Timestamp;

    /// The newest event that is chained; `None`: there is none.
    fn head(&self) -> Reply<'_, Option<Link>>;

    /// Waits until every call that was accepted is answered, and closes the database; calls after that are refused. Blocks the
    /// thread.
    fn close(&self);
}

/// See [`Tickets::hash_kinds`]. Administrators use one or two.
pub const HASH_KINDS_MAX: u32 = 64;

/// A ticket that is to be kept: never the ticket itself.
#[derive(Debug, Clone)]
pub struct NewTicket {
    pub proof: TicketProof,
    pub expires_at: Timestamp,
}

/// The proof that a caller holds a ticket.
#[derive(Clone)]
pub struct TicketProof {
    pub id: Uuid,
    /// SHA-256 of the ticket's secret.
    pub secret_hash: [u8; 32],
}

impl std::fmt::Debug for TicketProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ticket {}", self.id)
    }
}

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// As the store spells it.
    pub user_name: String,
    pub role: Role,
    /// The account of the same name, if there is one among the caller's entities.
    pub associate_id: Option<i32>,
    pub entity_id: i32,
    pub entity_name: String,
    /// The license of the caller's own entity, if license tools know it; `held` says what that account holds.
    pub owner: Option<Owner>,
}

/// Whose licenses are asked for. One more than [`crate::license::OWNERS_MAX`] is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnersRequest {
    pub owners: Owners,
    /// Whose holdings [`Owner::held`] tells: an account's id.
    pub associate_id: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    All,
    /// The one of this name, in any case; none if the caller may not know it.
    Named(String),
    /// Those the associate of the request belongs to, the nearest first: its entity's and those above. Behind them, by
    /// name, those whose seats it holds. None if the caller may not know the associate.
    OfAssociate,
}

/// Types of one owner, to be assigned to an associate or released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModulesRequest {
    pub associate_id: i32,
    pub owner_name: String,
    pub license_types: Vec<LicenseType>,
}

/// What is to be activated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one in a call, and it is not kept")]
pub enum Activation {
    /// What the issuer grants an owner, shown by the caller.
    Presented(Presented),
    /// All that is offered to this company under this serial number.
    Serial { company_name: String, serial_nr: String },
}

/// The license of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiledLicense {
    pub owner_name: String,
    /// What is in it; or why no issuer grants such a license.
    pub presented: Result<Presented, Refusal>,
}

/// What came of the license of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// As it is after the call; `None`: the caller may not know it.
    pub owner: Option<Owner>,
    /// Why the license was not activated; `None`: it was.
    pub refused: Option<Refusal>,
}

/// What the holder of a seat gets: the seat's own, or else the pool's.
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

/// Whose history is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    pub owner_name: String,
    pub license_type: LicenseType,
}

/// What became of the pools that an owner has and had of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleHistory {
    /// As the owner is now.
    pub owner: Owner,
    /// The pools that are there, of this type.
    pub pools: Vec<PoolUse>,
    /// Newest first.
    pub events: Vec<PoolEvent>,
    /// Older events that were not read.
    pub left_out: i64,
    /// Whether there are no others than those.
    pub is_complete: bool,
}

/// A change of a pool or of one of its seats. It does not say who made it, nor whose seat it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolEvent {
    /// Number in the audit.
    pub id: i64,
    pub at: Timestamp,
    pub pool_id: i64,
    pub kind: PoolEventKind,
    /// Whether a call made the change; else it was made by hand, in SQL.
    pub by_call: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolEventKind {
    Created {
        seats: i64,
    },
    /// The number of seats; the same where other columns changed.
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

/// Whose holders are asked for.
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
    /// What the caller calls it. Methods that change nothing ignore it, dry runs and sign-ins too.
    pub name: Option<Arc<CallName>>,
}

impl Call {
    /// The same call without its name.
    fn unnamed(self) -> Call {
        Call { name: None, ..self }
    }
}

/// Who makes a change. The audit keeps the name.
#[derive(Clone)]
pub enum Actor {
    /// A credential whose password was proved against exactly this hash. The store reads the row again in the call's
    /// own transaction and refuses if the hash has changed since.
    Credential(Credential),
    /// Whoever signed in and got this ticket, if it is still valid.
    Ticket(TicketProof),
    /// A user of the command line, who can open the database anyway.
    CommandLine,
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Credential(credential) => f.write_str(&credential.user_name),
            Actor::Ticket(proof) => std::fmt::Debug::fmt(proof, f),
            Actor::CommandLine => f.write_str("command line"),
        }
    }
}
