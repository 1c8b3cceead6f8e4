//! The meaning of a statement's error for its call.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::StoreError;

/// The meaning of an error for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A conflict with another transaction (40001, 40P01), or a key that another one took first (23505): run the call again.
    Conflict,
    /// A lock was not free in time (55P03): run the call again, for as long as calls may wait.
    Locked,
    /// A prepared statement is no longer valid (0A000, 26000, 42P05): prepare again and run the call again.
    Stale,
    /// The connection cannot be used any more: it is closed, its server ends, or is read-only (25006, 57P01 to 57P05, 08xxx).
    /// Connect again and run the call again, if nothing can have been committed.
    Lost,
    /// The transaction had failed before (25P02): throw the connection away.
    Aborted,
    /// The statement took too long (57014).
    Late,
    /// The database found invalid pages (XX001, XX002).
    Damaged,
    /// A retry does not help.
    Failed,
}

/// See [`Meaning`].
pub(crate) fn meaning(error: &Error) -> Meaning {
    match error.as_db_error() {
        Some(error) => meaning_of_state(error.code(), is_fatal(error)),
        // An error of the driver itself: if it could not encode or decode a value, that is our mistake; any other error is the
        // connection's.
        None if error.is_closed() || is_io(error) => Meaning::Lost,
        None => Meaning::Failed,
    }
}

fn meaning_of_state(code: &SqlState, is_fatal: bool) -> Meaning {
    match code.code() {
        _ if is_fatal => Meaning::Lost,
        "40001" | "40P01" | "23505" => Meaning::Conflict,
        "55P03" => Meaning::Locked,
        "0A000" | "26000" | "42P05" => Meaning::Stale,
        "25006" | "57P01" | "57P02" | "57P03" | "57P05" => Meaning::Lost,
        "25P02" => Meaning::Aborted,
        "57014" => Meaning::Late,
        "XX001" | "XX002" => Meaning::Damaged,
        code if code.starts_with("08") => Meaning::Lost,
        _ => Meaning::Failed,
    }
}

fn is_fatal(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

fn is_io(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<std::io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Whether the statement with this error certainly changed nothing: the server reported it and goes on. A connection that ends,
/// with or without an error, may have committed before.
pub(crate) fn is_undone(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| !is_fatal(error) && !error.code().code().starts_with("08"))
}

/// Whether the server could not save a change: its disk is full or failed (53100, 58xxx), or it takes no changes (25006).
pub(crate) fn cannot_save(error: &Error) -> bool {
    let code = error.code().map_or("", SqlState::code);
    code == "53100" || code == "25006" || code.starts_with("58")
}

/// The store's error for the caller, if the call is not run again.
pub(crate) fn store_error(error: &Error) -> StoreError {
    match meaning(error) {
        Meaning::Conflict | Meaning::Locked => StoreError::Locked,
        Meaning::Lost => StoreError::Unreachable(text(error)),
        Meaning::Damaged => StoreError::Damaged(text(error)),
        Meaning::Stale | Meaning::Aborted | Meaning::Late | Meaning::Failed => StoreError::Failed(text(error)),
    }
}

/// The error with its causes: the driver's own text is only "db error".
pub(crate) fn text(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => {
            let mut text = format!("{} ({})", error.message(), error.code().code());
            for more in [error.detail(), error.hint()].into_iter().flatten() {
                text.push_str(". ");
                text.push_str(more);
            }
            text
        }
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted() {
        for (code, expected) in [
            ("40001", Meaning::Conflict),
            ("40P01", Meaning::Conflict),
            ("23505", Meaning::Conflict),
            ("55P03", Meaning::Locked),
            ("0A000", Meaning::Stale),
            ("26000", Meaning::Stale),
            ("42P05", Meaning::Stale),
            ("25006", Meaning::Lost),
            ("57P01", Meaning::Lost),
            ("57P02", Meaning::Lost),
            ("57P03", Meaning::Lost),
            ("08006", Meaning::Lost),
            ("08P01", Meaning::Lost),
            ("25P02", Meaning::Aborted),
            ("57014", Meaning::Late),
            ("XX001", Meaning::Damaged),
            ("P0001", Meaning::Failed),
            ("23514", Meaning::Failed),
            ("42501", Meaning::Failed),
            ("53100", Meaning::Failed),
        ] {
            assert_eq!(meaning_of_state(&SqlState::from_code(code), false), expected, "{code}");
            assert_eq!(meaning_of_state(&SqlState::from_code(code), true), Meaning::Lost, "{code}, fatal");
        }
    }
}
