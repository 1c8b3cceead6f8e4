//! Facts about a database for a bug report: versions, settings and numbers. A fact never has text that an operator, an administrator or a
//! client wrote: no names, no addresses, no paths.

use super::{Database, OpenError, postgres, sqlite};

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: String,
    /// The value, or why it is not known.
    pub value: String,
}

impl Fact {
    pub(super) fn new(name: impl Into<String>, value: impl ToString) -> Fact {
        Fact { name: name.into(), value: value.to_string() }
    }
}

/// The tables whose rows are counted.
pub(super) const COUNTED: [&str; 14] = [
    "entity",
    "credential",
    "account",
    "license_pool",
    "seat",
    "license_offer",
    "ticket",
    "session",
    "audit_event",
    "audit_archive",
    "named_call",
    "refusal",
    "credential_use",
    "upkeep",
];

/// The facts that can be found out, also of a database that is damaged, missing or out of reach.
pub fn facts(database: &Database) -> Vec<Fact> {
    match database {
        Database::File(file) => sqlite::facts(file),
        Database::Server(address) => postgres::facts(address),
    }
}

impl OpenError {
    /// The kind of error in words, without a name, a path or an address.
    pub fn kind(&self) -> &'static str {
        match self {
            OpenError::Missing(_) => "there is no such database",
            OpenError::Empty(_) => "the file is empty",
            OpenError::LogAlone { .. } => "there is no such database, but the log (-wal) of one",
            OpenError::Interrupted { .. } => "there is no such database, but what a restore has kept of one",
            OpenError::Foreign(_) => "it is the database of another program",
            OpenError::Newer { .. } => "its schema is newer than this program",
            OpenError::Older { .. } => "its schema is older than this program",
            OpenError::Damaged { .. } => "rows break an invariant",
            OpenError::Tampered { .. } => "the schema was changed",
            OpenError::Failed { .. } => "it cannot be read",
            OpenError::Address { .. } => "the address of the server is invalid",
            OpenError::Server { .. } => "the server, or the database on it, cannot be used",
            OpenError::Unreadable { .. } => "the file is damaged, or no database",
            OpenError::ForeignLog(_) => "the '-wal' beside it is the log of another file",
            OpenError::Setting(_) => "a setting does not fit",
            OpenError::Io(_) => "reading failed",
        }
    }
}
