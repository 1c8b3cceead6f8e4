//! The use cases, one function per operation, shared by every surface. They check who calls, ask the store, and say
//! what happened; they know neither SOAP nor HTTP nor SQL.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use crate::auth::{AuthError, Authenticator, Claim, Password};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Refusal, SeatId};
use crate::store::{Actor, Call, Credential, Store, StoreError};

/// One call as it came in. Clock and randomness are read once, at the edge, and handed down.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Finds the call in the log, in the audit, and in what the caller is told.
    pub id: Uuid,
    pub now: Timestamp,
    pub instant: Instant,
    pub peer: IpAddr,
}

/// The credentials a caller sent; a field is `None` when it was not sent.
#[derive(Default)]
pub struct AuthHeader {
    pub user_name: Option<String>,
    pub password: Option<Password>,
}

/// See the module.
pub struct Service {
    store: Arc<dyn Store>,
    authenticator: Authenticator,
    pub metrics: Arc<Metrics>,
}

impl Service {
    pub fn new(store: Arc<dyn Store>, authenticator: Authenticator, metrics: Arc<Metrics>) -> Service {
        Service { store, authenticator, metrics }
    }

    /// Attaches a license to a user: takes a free seat of the type from a pool of the provider entity.
    pub async fn assign_license(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        request: AssignRequest,
    ) -> Result<SeatId, Error> {
        let claim = claim(context, auth_header)?;
        // The store reads the credential again in the transaction. If its hash changed after the proof was remembered,
        // the password is checked against the new one, once.
        if let Some(proved) = self.remembered(&claim, context) {
            match self.store.assign(call(context, proved), request.clone()).await.map_err(store_failed)? {
                Err(Refusal::CallerUnknown) => self.authenticator.forget(&claim),
                answer => return answer.map_err(Error::from),
            }
        }
        let proved = self.sign_in(&claim, context).await?;
        self.store.assign(call(context, proved), request).await.map_err(store_failed)?.map_err(Error::from)
    }

    /// Whether calls can be served right now.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }

    fn remembered(&self, claim: &Claim, context: &CallContext) -> Option<Credential> {
        let password_hash = self.authenticator.remembered(claim, context.instant)?;
        Some(Credential { user_name: claim.user_name.as_str().into(), password_hash })
    }

    /// Proves the claim against the stored credential.
    async fn sign_in(&self, claim: &Claim, context: &CallContext) -> Result<Credential, Error> {
        let stored = self.store.credential(&claim.user_name).await.map_err(store_failed)?;
        let stored_hash = stored.as_ref().map(|credential| Arc::clone(&credential.password_hash));
        match (self.authenticator.verify(claim, stored_hash, context.instant).await, stored) {
            (Ok(()), Some(credential)) => Ok(credential),
            (Ok(()) | Err(AuthError::Wrong), _) => Err(Refusal::CallerUnknown.into()),
            (Err(AuthError::Throttled { wait }), _) => Err(Error::unexpected(
                format!(
                    "Too many wrong passwords for this user name from this address. Wait {} seconds, then call again.",
                    wait.as_secs() + 1
                ),
                "sign-in throttled",
            )),
            (Err(AuthError::Busy), _) => Err(Error::unexpected(
                "Too many sign-ins at once. Nothing was changed; call again in a few seconds.",
                "sign-in queue full",
            )),
        }
    }
}

fn claim(context: &CallContext, auth_header: Option<AuthHeader>) -> Result<Claim, Error> {
    match auth_header {
        Some(AuthHeader { user_name: Some(user_name), password: Some(password) }) => {
            Ok(Claim { user_name, password, peer: context.peer })
        }
        _ => Err(Refusal::CallerUnknown.into()),
    }
}

fn call(context: &CallContext, proved: Credential) -> Call {
    Call { id: context.id, now: context.now, actor: Actor::Credential(proved) }
}

/// What a caller is told when the store did not do its work. Details are for the log.
fn store_failed(error: StoreError) -> Error {
    let message = match error {
        StoreError::QueueFull => "Too many calls at once. Nothing was changed; call again in a few seconds.",
        StoreError::Locked => {
            "The license database is in use by another program. Nothing was changed; call again in a few seconds."
        }
        StoreError::Closed => "The service is shutting down. Nothing was changed; call again in a few seconds.",
        StoreError::Failed(_) => "The license database failed. Nothing was changed; call again later.",
        StoreError::CommitFailed(_) => "The license database failed while saving. It is safe to call again.",
    };
    Error::unexpected(message, error)
}
