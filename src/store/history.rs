//! The history, read: the events that a reader asks for, the holders of seats at a past moment, and events moved to archives.
//!
//! Reading changes nothing, works on a copy without a service, and reads page by page: a slow reader holds no snapshot that would
//! keep the service from folding its log back.

pub(super) mod past;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Database, OpenError, postgres, sqlite};
use crate::chain::{Hash, Head, Link, Verified, to_hex};

/// Where a history is: the database, and archives that older events were moved to, in any order. Only a file's history has archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub database: Database,
    pub archives: Vec<PathBuf>,
}

/// What an event may be about. `schema.sql` says what each of them means.
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

/// The events that a reader asks for: those that fit all of it. The default is all events, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    pub entity: Option<EntitySelection>,
    /// Events about the account or credential of this name, in any case: of the account that has the name now, under whatever
    /// name it had; and of whatever had the name then.
    pub user: Option<String>,
    /// Changes made by this credential, or by `sql` or `cli`; in any case.
    pub actor: Option<String>,
    pub request_id: Option<String>,
    /// Of [`ACTIONS`]; none: all.
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
    /// Those of the entities below it too: as the tree is now, and deleted entities where they were.
    pub below: bool,
}

/// An event, as it is stored. Text that was not valid UTF-8 has U+FFFD in place of the bytes that were not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    pub at: String,
    pub action: String,
    pub actor: String,
    pub request_id: Option<String>,
    pub reason: Option<String>,
    /// Of a seat: whose pool it is. The row does not say it.
    pub entity_id: Option<i64>,
    /// Of a seat: the type of its pool. The row does not say it.
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
    /// The file, as it was named when the events were moved.
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
    /// What the first event follows. The id is not that of the event before it, which is not recorded, but lies between the two.
    pub fn start(&self) -> Option<Link> {
        let hash = Hash::try_from(self.previous_hash.as_deref()?).ok()?;
        Some(Link { event: self.first_event.saturating_sub(1), hash })
    }
}

/// A pool at a past moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolThen {
    pub id: i64,
    /// `None`: its events are from before version 3, which did not record it, and it is gone.
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

/// What is asked of a past moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MomentSelection {
    /// The moment after the newest event, in the order of the history, that happened then or before.
    pub at: Timestamp,
    pub entity: Option<EntitySelection>,
    pub pool_id: Option<i64>,
    /// Only pools in which this user held a seat, and only that seat.
    pub user: Option<String>,
}

/// Why a history was not read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The answer needs events that are neither in the database nor in an archive that was named.
    #[error(
        "events {} to {} (until {}) were moved to {}: name that file with --archive",
        .0.first_event, .0.last_event, .0.until, .0.file
    )]
    Archived(Archived),
    /// A file that is no archive of this database.
    #[error("{}: {reason}", .path.display())]
    Archive { path: PathBuf, reason: String },
    /// What takes the answer failed.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Hands over the events that fit, one by one. Answers with what was moved to archives that are not among those named: events may
/// be missing from the answer.
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

/// Hands over the pools that there were at a past moment, by id: each alone, and then with each of its seats that was taken. The
/// answer is made of events alone. Returns the newest event that it is made of.
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
    /// The newest event that is chained.
    pub link: Link,
    /// Events up to that one, with those that were moved to archives.
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

/// What became of verifying a history.
#[derive(Debug, Clone, Default)]
pub struct HistoryReport {
    /// What is wrong, in words: of the chain its first fault, then events that do not fit, then rows. Empty if nothing is.
    pub broken: Vec<String>,
    /// Events that were read.
    pub events: u64,
    /// The chain, if it is unbroken.
    pub chain: Option<Verified>,
    /// Rows that were held against the history.
    pub rows: u64,
    /// What of the history is in files that were not named. Without it the tables are not held against the history.
    pub archived: Vec<Archived>,
    /// Heads kept elsewhere that are of events outside of what was read.
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

/// Verifies the chain of the history through all of its files, and, if they are all there, that the tables are what the history
/// leads to. See [`super::verify_history`].
pub fn verify(history: &History, heads: Vec<Head>) -> Result<HistoryReport, HistoryError> {
    match &history.database {
        Database::File(file) => sqlite::verify_all(file, &history.archives, heads),
        Database::Server(address) => Ok(postgres::verify_history(address, heads)?),
    }
}

/// Verifies the chain of one archive, and that it holds what it says. `heads`: those of its events are compared.
pub fn verify_archive(file: &Path, heads: Vec<Head>) -> Result<HistoryReport, HistoryError> {
    sqlite::verify_archive(file, heads)
}

/// What [`archive`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What is in the archive, and no longer in the database; `None`: no event is that old.
    pub archived: Option<Archived>,
    /// Whether the archive was there already: an earlier run was interrupted, or had done it all.
    pub resumed: bool,
    /// Events that this run deleted from the database.
    pub deleted: i64,
}

/// Moves the events before a moment to a new file: copies them, verifies the copy, and only then deletes them, in steps that let
/// calls through. Moved are the events from the oldest up to the first that is not before the moment or not yet chained; the
/// newest event stays. If an earlier run was interrupted, one with the same file goes on.
///
/// # Errors
///
/// A history that does not verify; a file that is there and is no archive of these events. Then nothing was deleted.
pub fn archive(database: &Path, before: Timestamp, file: &Path) -> Result<Moved, HistoryError> {
    sqlite::archive(database, before, file)
}
