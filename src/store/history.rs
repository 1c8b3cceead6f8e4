//! Reads the history: selected events, the holders of seats at a past moment; and moves events to archives.
//!
//! Reading changes nothing, works on a copy without a service, and proceeds page by page: a slow reader holds no snapshot that
//! would keep the service from copying its log into the file.

pub(super) mod past;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Database, OpenError, postgres, sqlite};
use crate::chain::{Hash, Head, Link, Verified, to_hex};

/// The places of a history: the database, and archives with older events, in any order. Only the history of a file has archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub database: Database,
    pub archives: Vec<PathBuf>,
}

/// The actions of events. `schema.sql` explains each.
pub const ACTIONS: &[&str] = &[
    "assign",
    "release",
    "seat-change",
    "pool-create",
    "pool-change",
    "pool-delete",
    "entity-create",
    "entity-change",
    "entity-delete",
    "account-create",
    "account-change",
    "credential-create",
    "credential-change",
    "credential-delete",
    "offer-create",
    "offer-change",
    "offer-delete",
    "offer-module-create",
    "offer-module-change",
    "offer-module-delete",
    "archive",
    "copy",
];

/// Selects the events that match all conditions. The default is all events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    pub entity: Option<EntitySelection>,
    /// Events about the account or credential of this name, in any case: of the account that has the name now, under all its
    /// names; and of accounts and credentials that had the name at the time of the event.
    pub user: Option<String>,
    /// Changes made by this credential, or by `sql` or `cli`; in any case.
    pub actor: Option<String>,
    pub request_id: Option<String>,
    /// From [`ACTIONS`]; empty: all.
    pub actions: Vec<String>,
    pub pool_id: Option<i64>,
    pub events_max: Option<u64>,
    pub newest_first: bool,
}

/// Events of an entity: its own, those of its pools and their seats, of its credentials and offers, of its accounts, and of the
/// seats that its accounts hold in pools of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitySelection {
    pub id: i64,
    /// Also events of the entities below it: in the present tree, and deleted entities where they were.
    pub below: bool,
}

/// An event as it is stored. Invalid UTF-8 in a text is replaced with U+FFFD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    pub at: String,
    pub action: String,
    pub actor: String,
    pub request_id: Option<String>,
    pub reason: Option<String>,
    /// For an event of a seat: the entity of its pool, which the row does not have.
    pub entity_id: Option<i64>,
    /// For an event of a seat: the type of its pool, which the row does not have.
    pub license_type: Option<String>,
    pub pool_id: Option<i64>,
    pub seat_no: Option<i64>,
    pub account_id: Option<i64>,
    pub username: Option<String>,
    /// A JSON object.
    pub old_values: Option<String>,
    /// A JSON object.
    pub new_values: Option<String>,
    /// `None`: not yet chained.
    pub hash: Option<Vec<u8>>,
}

/// Events that were moved out of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The name of the file when the events were moved.
    pub file: String,
    pub first_event: i64,
    pub last_event: i64,
    pub events: i64,
    /// When the last of them happened.
    pub until: String,
    /// The hash of the last of them.
    pub hash: Vec<u8>,
    /// The hash of the event before the first; `None`: the history begins with it.
    pub previous_hash: Option<Vec<u8>>,
}

impl Archived {
    /// The link before the first event. Its id lies between the ids of the previous and the first event, because the previous id
    /// is not recorded.
    pub fn start(&self) -> Option<Link> {
        let hash = Hash::try_from(self.previous_hash.as_deref()?).ok()?;
        Some(Link { event: self.first_event.saturating_sub(1), hash })
    }
}

/// A pool at a past moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolThen {
    pub id: i64,
    /// `None`: its events are older than version 3, which did not record it, and the pool is deleted.
    pub entity_id: Option<i64>,
    pub license_type: Option<String>,
    pub seats_total: i64,
    pub seats_in_use: i64,
}

/// A seat that was taken at a past moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderThen {
    pub seat_no: i64,
    pub account_id: Option<i64>,
    /// The account's name at that moment.
    pub username: String,
    /// When the seat was assigned, and the event that says so.
    pub since: String,
    pub event: i64,
}

/// Selects pools and holders at a past moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MomentSelection {
    /// The state after the newest event, in the order of the history, that happened at this time or before.
    pub at: Timestamp,
    pub entity: Option<EntitySelection>,
    pub pool_id: Option<i64>,
    /// Only pools in which this user held a seat, and only that seat.
    pub user: Option<String>,
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The answer needs events that are neither in the database nor in a named archive.
    #[error(
        "events {} to {} (until {}) were moved to {}: name that file with --archive",
        .0.first_event, .0.last_event, .0.until, .0.file
    )]
    Archived(Archived),
    /// A file that is no archive of this database.
    #[error("{}: {reason}", .path.display())]
    Archive { path: PathBuf, reason: String },
    /// The receiver of the answer failed.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Hands over the matching events, one by one. Returns the archives that were not named, whose events may be missing from the
/// answer.
pub fn events(
    history: &History,
    selection: &Selection,
    show: &mut dyn FnMut(&Event) -> std::io::Result<()>,
) -> Result<Vec<Archived>, HistoryError> {
    match &history.database {
        Database::File(file) => sqlite::events(file, &history.archives, selection, show),
        Database::Server(address) => postgres::events(address, selection, show),
    }
}

/// Hands over the pools of a past moment, by id: each alone, and then with each of its taken seats. The answer follows from
/// events alone. Returns the newest of these events.
///
/// # Errors
///
/// [`HistoryError::Archived`]: all events from the first on are needed.
pub fn holders_at(
    history: &History,
    selection: &MomentSelection,
    show: &mut dyn FnMut(&PoolThen, Option<&HolderThen>) -> std::io::Result<()>,
) -> Result<Option<i64>, HistoryError> {
    match &history.database {
        Database::File(file) => sqlite::holders_at(file, &history.archives, selection, show),
        Database::Server(address) => postgres::holders_at(address, selection, show),
    }
}

/// The end of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// The newest chained event.
    pub link: Link,
    /// The number of events up to that one, including archived events.
    pub events: i64,
    /// Events after it, which are not yet chained.
    pub unchained: i64,
}

/// The end of the history of a database; `None`: no event is chained.
pub fn newest(database: &Database) -> Result<Option<Newest>, OpenError> {
    match database {
        Database::File(file) => sqlite::newest(file),
        Database::Server(address) => postgres::newest(address),
    }
}

/// The result of verifying a history.
#[derive(Debug, Clone, Default)]
pub struct HistoryReport {
    /// The errors, as text: the first fault of the chain, then events that do not fit, then rows. Empty if there is none.
    pub broken: Vec<String>,
    /// The number of events read.
    pub events: u64,
    /// The chain, if it is unbroken.
    pub chain: Option<Verified>,
    /// The number of rows compared with the history.
    pub rows: u64,
    /// The archives that were not named. If there are any, the tables are not compared with the history.
    pub archived: Vec<Archived>,
    /// The number of heads whose events were not read.
    pub heads_before: usize,
}

impl std::fmt::Display for HistoryReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "events: {}", self.events)?;
        if let Some(chain) = &self.chain {
            if chain.unchained_events > 0 {
                writeln!(f, "not yet chained: {} at the end", chain.unchained_events)?;
            }
            match &chain.head {
                Some(head) => writeln!(f, "head: event {}, hash {}", head.event, to_hex(&head.hash))?,
                None => writeln!(f, "head: none")?,
            }
            if chain.heads > 0 {
                writeln!(f, "heads kept elsewhere that are in the history: {}", chain.heads)?;
            }
        }
        if self.heads_before > 0 {
            writeln!(
                f,
                "heads kept elsewhere that are of events in other files, and were not compared: {}",
                self.heads_before
            )?;
        }
        for part in &self.archived {
            let (first, last, until, file) = (part.first_event, part.last_event, &part.until, &part.file);
            writeln!(f, "not read: events {first} to {last} (until {until}) were moved to {file}")?;
        }
        write!(f, "rows held against the history: {}", self.rows)?;
        match (self.broken.is_empty(), self.rows) {
            (false, _) => Ok(()),
            (true, 0) => write!(f, "\nok: this part of the history is unbroken"),
            (true, _) => write!(f, "\nok: the history is unbroken, and the tables are what it leads to"),
        }
    }
}

/// Verifies the chain of the history through all its files and, if all files are named, that the tables match the history. See
/// [`super::verify_history`].
pub fn verify(history: &History, heads: Vec<Head>) -> Result<HistoryReport, HistoryError> {
    match &history.database {
        Database::File(file) => sqlite::verify_all(file, &history.archives, heads),
        Database::Server(address) => Ok(postgres::verify_history(address, heads)?),
    }
}

/// Verifies the chain of one archive, and that its events match its description. `heads`: those of its events are compared.
pub fn verify_archive(file: &Path, heads: Vec<Head>) -> Result<HistoryReport, HistoryError> {
    sqlite::verify_archive(file, heads)
}

/// The result of [`archive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The events in the archive, which are no longer in the database; `None`: no event is that old.
    pub archived: Option<Archived>,
    /// Whether the archive existed already: an earlier run was interrupted, or had finished.
    pub resumed: bool,
    /// The number of events that this run deleted from the database.
    pub deleted: i64,
}

/// Moves the events before a moment to a new file: copies them, verifies the copy, and only then deletes them, in steps between
/// which the service answers calls. It moves the oldest events, and stops before the first that is not before the moment or is
/// not yet chained; the newest event stays. A run with the file of an interrupted run continues it.
///
/// # Errors
///
/// A history that does not verify; an existing file that is no archive of these events. Then nothing was deleted.
pub fn archive(database: &Path, before: Timestamp, file: &Path) -> Result<Moved, HistoryError> {
    sqlite::archive(database, before, file)
}
