//! Copies of a database: the results and errors of backup and restore.

use std::fmt;
use std::path::PathBuf;

use super::error::named;
use super::{OpenError, Violation};
use crate::chain::to_hex;

/// A backup that was made and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub path: PathBuf,
    pub bytes: u64,
    /// The version of the schema.
    pub version: i32,
    /// `None`: the history has no event.
    pub head: Option<NewestEvent>,
    /// Older backups that were deleted afterwards.
    pub deleted: Vec<PathBuf>,
}

/// The newest event of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestEvent {
    pub event_id: i64,
    /// UTC, as it is stored.
    pub at: String,
    /// `None`: the event is not chained yet.
    pub hash: Option<Vec<u8>>,
}

impl fmt::Display for NewestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} at {}, ", self.event_id, self.at)?;
        match &self.hash {
            None => f.write_str("not chained yet"),
            Some(hash) => write!(f, "hash {}", to_hex(hash)),
        }
    }
}

/// A restore to make.
#[derive(Debug, Clone)]
pub struct Restore {
    pub backup: PathBuf,
    /// Only report what would be done.
    pub dry_run: bool,
    /// Whether the caller vouches that the file was copied while no program had it open.
    pub is_whole: bool,
}

/// The result of a restore, or of its dry run.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The database, without symbolic links in its path.
    pub database: PathBuf,
    pub bytes: u64,
    /// The version of the backup's schema.
    pub version: i32,
    /// The version of the restored database: that of this program.
    pub version_now: i32,
    pub head: Option<NewestEvent>,
    pub history: History,
    /// The old files.
    pub kept: Option<Kept>,
    /// The owner and group that could not be set, and those that the file has instead.
    pub owner_not_set: Option<String>,
    /// The programs that have the database open; always empty after a restore.
    pub in_use_by: Vec<String>,
}

/// The database as it was before a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub path: PathBuf,
    /// Whether its WAL is kept beside it.
    pub has_wal: bool,
}

/// How the history of the database continues that of the backup.
#[derive(Debug, Clone)]
pub enum History {
    /// There is no database, or it has no events.
    None,
    /// The database cannot be read.
    Unknown(String),
    /// Both have the same events up to the head of the backup.
    Continued(Losses),
    /// The backup has all events of the database, and this many more.
    Behind(i64),
    /// Both have events of their own. `losses`: those of the database; `own`: how many the backup has; `after`: the newest common
    /// event; `None`: they have no event in common.
    Parted { losses: Losses, own: i64, after: Option<i64> },
}

/// Events of the database that are not in the backup.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    pub events: i64,
    /// Times of the oldest and the newest, UTC.
    pub from: String,
    pub to: String,
    /// The number of each action, the most frequent first.
    pub by_action: Vec<(String, i64)>,
    /// A few of the oldest.
    pub first: Vec<Event>,
}

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    pub at: String,
    pub action: String,
    /// The change and its actor.
    pub what: String,
}

/// Why a backup or a restore failed. Unless the text says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The caller prints the rows one by one.
    #[error("{}: rows break an invariant: {}. {advice}", .path.display(), .violations.len())]
    Broken { path: PathBuf, violations: Vec<Violation>, advice: &'static str },
    #[error(
        "{}: {} has it open. Stop it first, then restore: systemctl stop seatkeeper. Nothing was changed.",
        .path.display(), .by.join(", ")
    )]
    InUse { path: PathBuf, by: Vec<String> },
    #[error("{}: {reason}", named(.path))]
    Refused { path: PathBuf, reason: String },
}

impl From<std::io::Error> for CopyError {
    fn from(error: std::io::Error) -> CopyError {
        OpenError::from(error).into()
    }
}
