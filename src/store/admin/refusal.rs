//! Why something that an administrator asked for is not done. Nothing was changed then.

use crate::seats::{Refusal, Role};

/// See the module. The sentence is English; [`AdminRefusal::key`] finds it in a catalogue of another language.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdminRefusal {
    #[error("You are not signed in, or your password has changed. Sign in again.")]
    CallerUnknown,
    #[error("This needs the role {}; yours is {}.", .least.name(), .role.name())]
    RoleTooLow { role: Role, least: Role },
    /// The kind of the row that does not exist or that the caller may not see: `entity`, `pool`, …
    #[error("There is no {what} {id}, or it is not among your entities.")]
    NotFound { what: &'static str, id: String },
    /// Something that the caller may see, and not change.
    #[error("This reaches beyond your entities: {what}.")]
    OutOfScope { what: String },
    /// A guard of the database; the sentence is its own.
    #[error("{0}")]
    Guard(String),
    /// The rules for seats and licenses.
    #[error("{0}")]
    Rule(Refusal),
    /// A row that the change rests on has changed since.
    #[error("Nothing was changed: {what} has changed meanwhile. Look again, then repeat the change.")]
    Moved { what: String },
    #[error("This cannot be undone: {why}.")]
    NotUndoable { why: String },
    #[error("Too many {what}: {max} are the most at a time.")]
    TooMany { what: &'static str, max: u64 },
    /// Of an import; lines are counted from 1.
    #[error("Line {line}: {why}")]
    Line { line: u64, why: String },
    /// All that is wrong with an import.
    #[error("{} of the lines cannot be imported; the first: line {}: {}", .0.len(), .0.first().map_or(0, |e| e.0), .0.first().map_or("", |e| &e.1))]
    Lines(Vec<(u64, String)>),
    /// A change of the caller's own credential that would lock it out.
    #[error(
        "You cannot change the role of your own credential, make it inactive or delete it. Ask another administrator."
    )]
    Own,
    /// A field that cannot be what was sent.
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    /// Nothing was asked for.
    #[error("There is nothing to change.")]
    Nothing,
    /// The first administrator is there already.
    #[error("There are credentials already. Sign in with one of them.")]
    NotEmpty,
}

impl AdminRefusal {
    /// The name of the kind of refusal, for catalogues and JSON.
    pub const fn key(&self) -> &'static str {
        match self {
            AdminRefusal::CallerUnknown => "caller-unknown",
            AdminRefusal::RoleTooLow { .. } => "role-too-low",
            AdminRefusal::NotFound { .. } => "not-found",
            AdminRefusal::OutOfScope { .. } => "out-of-scope",
            AdminRefusal::Guard(_) => "guard",
            AdminRefusal::Rule(_) => "rule",
            AdminRefusal::Moved { .. } => "moved",
            AdminRefusal::NotUndoable { .. } => "not-undoable",
            AdminRefusal::TooMany { .. } => "too-many",
            AdminRefusal::Line { .. } => "line",
            AdminRefusal::Lines(_) => "lines",
            AdminRefusal::Own => "own",
            AdminRefusal::Invalid { .. } => "invalid",
            AdminRefusal::Nothing => "nothing",
            AdminRefusal::NotEmpty => "not-empty",
        }
    }
}

impl From<Refusal> for AdminRefusal {
    fn from(refusal: Refusal) -> AdminRefusal {
        match refusal {
            Refusal::CallerUnknown => AdminRefusal::CallerUnknown,
            Refusal::RoleTooLow { role, least } => AdminRefusal::RoleTooLow { role, least },
            rule => AdminRefusal::Rule(rule),
        }
    }
}
