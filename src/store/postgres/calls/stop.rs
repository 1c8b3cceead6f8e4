//! Why a call ends early: the one way in which anything below the store's methods refuses or fails. Calls leave with `?`.

use tokio_postgres::Error;

use super::facts::{Caller, caller};
use crate::seats::{self, Refusal, Role};
use crate::store::postgres::session::Session;
use crate::store::{Call, StoreError};

#[derive(Debug)]
pub(crate) enum Stop {
    /// The rules say no.
    Refused(Refusal),
    /// The database could not do its work, and trying again would not help.
    Failed(StoreError),
    /// What was decided cannot be carried out, because another session was first: decide again, from the facts on.
    Again,
    /// A statement failed. [`super::super::run`] knows what follows from it: mostly the call is run again.
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

/// Takes a refusal for an answer; everything else still ends the call.
pub(crate) fn settle<T>(outcome: Result<T, Stop>) -> Result<Result<T, Refusal>, Stop> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(stop) => Err(stop),
    }
}

/// Who makes the call, if they have at least this role.
pub(crate) async fn caller_of_role(session: &Session, call: &Call, least: Role) -> Result<Caller, Stop> {
    let caller = caller(session, call).await?.ok_or(Refusal::CallerUnknown)?;
    seats::check_role(Some(caller.role), least)?;
    Ok(caller)
}
