//! Why a call ends early: the one error type below the store's methods, for refusals and failures. Calls leave with `?`.

use rusqlite::Connection;

use super::facts::{Caller, caller};
use crate::seats::{self, Refusal, Role};
use crate::store::sqlite::store_error;
use crate::store::{Call, StoreError};

pub(crate) enum Stop {
    /// The rules refused the call.
    Refused(Refusal),
    /// The database failed.
    Failed(StoreError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Failed(store_error(error))
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Failed(error)
    }
}

/// Separates the two for callers of the store: a failure undoes the call, a refusal is an answer.
pub(crate) fn settle<T>(outcome: Result<T, Stop>) -> Result<Result<T, Refusal>, StoreError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The caller, if it has at least this role.
pub(crate) fn caller_of_role(connection: &Connection, call: &Call, least: Role) -> Result<Caller, Stop> {
    let caller = caller(connection, call)?.ok_or(Refusal::CallerUnknown)?;
    seats::check_role(Some(caller.role), least)?;
    Ok(caller)
}
