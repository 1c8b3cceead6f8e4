//! Errors of a store: why it failed, stopped, or could not be opened.

use std::path::{Path, PathBuf};

use super::Violation;

/// Why a store failed. Nothing was changed, unless the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The queue of waiting calls is full.
    #[error("the queue of the store is full")]
    QueueFull,
    /// Another program held the database locked for longer than the store waits.
    #[error("the database is locked by another program")]
    Locked,
    /// The store is shutting down, or its thread died.
    #[error("the store is closed")]
    Closed,
    /// The store takes no calls until it is opened again.
    #[error("the store has stopped: {0}")]
    Stopped(Fault),
    /// The database is out of reach: no server accepts calls at the moment, for example during a failover. Nothing was changed.
    #[error("the database is out of reach: {0}")]
    Unreachable(String),
    /// The disk failed, or it is full.
    #[error("{0}")]
    Disk(String),
    #[error("{0}")]
    Failed(String),
    /// The file is not a database, or a damaged one.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The commit itself failed, and it is unknown whether the change is in the file: it may or may not be there after the next
    /// start. A retry is safe.
    #[error("it is unknown whether the change was saved: {0}")]
    Unknown(String),
}

impl StoreError {
    /// The reason in the log and the metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            StoreError::QueueFull => "queue_full",
            StoreError::Locked => "database_locked",
            StoreError::Closed => "stopping",
            StoreError::Stopped(_) => "store_stopped",
            StoreError::Unreachable(_) => "database_unreachable",
            StoreError::Disk(_) => "disk_failed",
            StoreError::Failed(_) => "database_failed",
            StoreError::Damaged(_) => "database_damaged",
            StoreError::Unknown(_) => "commit_unknown",
        }
    }
}

/// Why a store stopped taking calls for good. `Display` is short and without paths, because anyone may read it. The log has the
/// details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file was deleted, replaced or overwritten.
    #[error("the database file was deleted, replaced or overwritten")]
    File,
    /// Its write-ahead log, or the index of that log, was deleted, replaced or overwritten.
    #[error("the write-ahead log of the database was deleted, replaced or overwritten")]
    Log,
    /// The schema is no longer the one of this program.
    #[error("the schema of the database was changed")]
    Schema,
    /// The disk did not confirm a change. Only a restart can find out whether it was saved.
    #[error("the disk failed to save a change")]
    Sync,
    /// Rows break this invariant, or pages cannot be read.
    #[error("the database is damaged: {0}")]
    Damaged(&'static str),
}

/// The name of a file. An address that is misspelled, or written in another way, may hold a password.
pub(super) fn named(path: &Path) -> String {
    let text = path.display().to_string();
    match text.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://… (no file, and no address that begins with postgres://)"),
        None if text.contains("password=") => "… (no file, and no address that begins with postgres://)".to_owned(),
        None => text,
    }
}

/// Why a store was not opened. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{}: there is no such database. Check its name, and that its disk is mounted; if it was lost, restore a backup. Only to begin \
         with a new one, use `serve` or `sql` with --create.",
        named(.0)
    )]
    Missing(PathBuf),
    #[error(
        "{}: the file is empty. If it was a database, restore a backup. Only to begin with a new one, use `serve` or `sql` with --create.",
        .0.display()
    )]
    Empty(PathBuf),
    #[error(
        "{}: there is no such database, but the log of one: {}. It holds changes that were not yet in the database file. \
         Bring that file back beside it, or move the log away before a new database is made.",
        .path.display(), .log.display()
    )]
    LogAlone { path: PathBuf, log: PathBuf },
    /// The database is missing, but a restore has left files.
    #[error(
        "{}: there is no such database, but {} is what a restore has kept of it. If the restore was interrupted, run it again, with the \
         backup or with that file; both are whole. To begin with an empty database, move that file away.",
        .path.display(), .kept.display()
    )]
    Interrupted { path: PathBuf, kept: PathBuf },
    #[error("{}: this is not a Seatkeeper database, and it is not empty. Name another file.", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{}: its schema has version {found}, this program knows up to {known}. Run a newer seatkeeper, or restore a backup made before the upgrade.",
        .path.display()
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error(
        "{}: its schema has version {found}, this program works with version {known}. Run 'seatkeeper migrate', which keeps a \
         copy of the file as it is; the service does the same when it starts.",
        .path.display()
    )]
    Older { path: PathBuf, found: i32, known: i32 },
    #[error("{}: {}", .path.display(), broken(.violations))]
    Damaged { path: PathBuf, violations: Vec<Violation> },
    #[error("{}: the schema was changed: {what}. Run 'seatkeeper check' for all of it; restore a backup or undo the change.", .path.display())]
    Tampered { path: PathBuf, what: String },
    #[error("{}: {reason}", named(.path))]
    Failed { path: PathBuf, reason: String },
    /// An address of a server that is invalid or has an unsupported parameter.
    #[error("{place}: {reason}")]
    Address { place: String, reason: String },
    /// A PostgreSQL server, or the database on it, cannot be used. `place`: the URL, without the password.
    #[error("{place}: {reason}")]
    Server { place: String, reason: String },
    /// SQLite found invalid pages.
    #[error("{}: the file is damaged: {reason}. Restore a backup.", .path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error(
        "{path}: the '-wal' beside it is the log of another file, as when a backup is copied over a database whose service was killed. \
         To use the backup, name it to 'seatkeeper restore', which keeps the other files. If the backup is only here, move {path}-wal and \
         {path}-shm away instead; what only they hold is then not in the database. To use the old database, put its file back.",
        path = .0.display()
    )]
    ForeignLog(PathBuf),
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The text for a damaged store: the first rows, and what to do.
fn broken(violations: &[Violation]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = violations.iter().take(SHOWN).map(Violation::to_string).collect();
    let more = if violations.len() > SHOWN { "; …" } else { "" };
    format!(
        "the database is damaged: {}{more}. Run 'seatkeeper check' for all of it; restore a backup, or repair the rows with \
         'seatkeeper sql' while no service runs.",
        shown.join("; ")
    )
}
