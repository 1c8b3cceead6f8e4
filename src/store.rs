//! What is kept, and the promises every store makes.
//!
//! * One method is one transaction: it begins, reads the facts, asks the rules, writes what they decided, commits.
//! * An answer leaves only after its commit is durable.
//! * A call that was cut off happened whole or not at all, and repeating it is safe.
//! * On an error nothing was changed.
//! * A change whose call is named ([`Call::name`]) happens once: a retry under the same name gets the outcome of the first try, refusals
//!   included, as long as names are kept.
//! * Every change leaves an event that says who made it, in the same transaction.
//!
//! A store decides nothing and says nothing to callers: decisions and refusals are those of [`crate::seats`] and
//! [`crate::license`].

mod named;
pub mod sqlite;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::license::{Owner, Presented};
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, LicenseType, Refusal, Role, SeatId, Transfer};

pub use named::{CallName, NameSource, Original};

/// The answer of a store, later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Opens the store at a place: the path of an SQLite file, which is made if there is none and brought to the newest version if
/// it is older. The one place that knows which kinds of stores there are.
///
/// # Errors
///
/// A file that is not ours, that is newer than this program, or whose schema was changed.
pub fn open(database: &Path, options: &Options, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(sqlite::SqliteStore::open(database, options, metrics)?))
}

/// What makes a PHC string of a password. The store knows no cryptography; who opens it hands this down.
pub type HashPassword = fn(&str) -> Result<String, String>;

/// Runs SQL on a database as an administrator does by hand; the database is made if there is none.
pub fn run_sql(database: &Path, script: &str, hash_password: HashPassword) -> Result<(), OpenError> {
    sqlite::run_sql(database, script, hash_password)
}

/// One broken promise, and the row that breaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub row: String,
}

/// All that is wrong with a database; empty if nothing is. Reads every row, changes none.
///
/// `check_hash` says why a password hash could not be verified.
pub fn check(database: &Path, check_hash: fn(&str) -> Result<(), String>) -> Result<Vec<Violation>, OpenError> {
    sqlite::check(database, check_hash)
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
    /// Whether an assignment may enroll a user name that is not known.
    pub enroll: bool,
    /// How long the outcome of a named call is kept for a retry; 0: names are ignored.
    pub named_calls_life: Duration,
    /// Outcomes kept at most; one of more than 256 bytes counts as several. The oldest go first.
    pub named_calls_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            queue_calls_max: 4096,
            group_calls_max: 256,
            busy_timeout: Duration::from_secs(5),
            enroll: true,
            named_calls_life: Duration::from_secs(24 * 60 * 60),
            named_calls_max: 1_000_000,
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

    /// Sends all holders of seats, page by page, all of one moment; answers when the last page is sent. At most a few pages
    /// are in memory at a time. Dropping the receiver ends it.
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
    /// Whether calls can be served right now.
    fn ready(&self) -> Reply<'_, ()>;

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

/// Why a store was not opened. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: there is no such database", .0.display())]
    Missing(PathBuf),
    #[error("{}: this is not a Seatkeeper database, and it is not empty. Name another file.", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{}: its schema has version {found}, this program knows up to {known}. Run a newer seatkeeper, or restore a backup made before the upgrade.",
        .path.display()
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error("{}: the schema was changed: {what}. Run 'seatkeeper check' for all of it; restore a backup or undo the change.", .path.display())]
    Tampered { path: PathBuf, what: String },
    #[error("{}: {reason}", .path.display())]
    Failed { path: PathBuf, reason: String },
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
