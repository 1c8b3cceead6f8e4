//! Why a call ends early: the one error type below the store's methods, for refusals and failures. Calls leave with `?`.

use tokio_postgres::Error;

use super::facts::{Caller, caller};
use crate::seats::{self, Refusal, Role};
use crate::store::postgres::session::Session;
use crate::store::{Call, StoreError};

#[derive(Debug)]
pub(crate) enum Stop {
    /// The rules refused the call.
    Refused(Refusal),
    /// The database failed, and a retry would not help.
    Failed(StoreError),
    /// The decision cannot be carried out, because another session was first: decide again from new facts.
    Again,
    /// A statement failed. [`super::super::run`] decides what to do: mostly it runs the call again.
    Statement(Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Failed(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Statement(error)
    }
}

/// Turns a refusal into an answer; everything else still ends the call.
pub(crate) fn settle<T>(outcome: Result<T, Stop>) -> Result<Result<T, Refusal>, Stop> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(stop) => Err(stop),
    }
}

/// The caller, if it has at least this role.
pub(crate) async fn caller_of_role(session: &Session, call: &Call, least: Role) -> Result<Caller, Stop> {
    let caller = caller(session, call).await?.ok_or(Refusal::CallerUnknown)?;
    seats::check_role(Some(caller.role), least)?;
    Ok(caller)
}
