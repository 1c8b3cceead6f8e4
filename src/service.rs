//! The use cases, one function per operation, shared by every surface. They check who calls, ask the store, and say
//! what happened; they know neither SOAP nor HTTP nor SQL.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::auth::{AuthError, Authenticator, Claim, Password};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::seats::{AssignRequest, Holding, Refusal, SeatId, Transfer};
use crate::store::{Actor, Call, Credential, Details, Holder, HoldersRequest, PoolUse, Reply, Store, StoreError};

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
        self.as_caller(context, auth_header, |call| self.store.assign(call, request.clone())).await
    }

    /// Attaches licenses to many users; a result for each, in order. `dry_run`: what would come of it.
    pub async fn assign_licenses(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Result<Vec<Result<SeatId, Refusal>>, Error> {
        self.as_caller(context, auth_header, |call| self.store.assign_all(call, requests.clone(), dry_run)).await
    }

    /// Takes a license back from a user.
    pub async fn unassign_license(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        holding: Holding,
    ) -> Result<SeatId, Error> {
        self.as_caller(context, auth_header, |call| self.store.release(call, holding.clone())).await
    }

    /// Gives the license of one user to another, in one step.
    pub async fn transfer_license(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        transfer: Transfer,
    ) -> Result<SeatId, Error> {
        self.as_caller(context, auth_header, |call| self.store.transfer(call, transfer.clone())).await
    }

    /// What comes with a license that a user holds.
    pub async fn license_details(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        holding: Holding,
    ) -> Result<Details, Error> {
        self.as_caller(context, auth_header, |call| self.store.details(call, holding.clone())).await
    }

    /// The pools of an entity and how full they are.
    pub async fn license_pools(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        entity_id: Option<i32>,
    ) -> Result<Vec<PoolUse>, Error> {
        self.as_caller(context, auth_header, |call| self.store.pools(call, entity_id)).await
    }

    /// Everybody who holds a license, page by page through `pages`; answers when the last page is sent.
    pub async fn license_holders(
        &self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        request: HoldersRequest,
        pages: mpsc::Sender<Vec<Holder>>,
    ) -> Result<(), Error> {
        self.as_caller(context, auth_header, |call| self.store.holders(call, request.clone(), pages.clone())).await
    }

    /// Runs a call of the store as whoever the AuthHeader names.
    ///
    /// The store reads the credential again in the call's transaction. If its hash changed after the proof was
    /// remembered, the password is checked against the new one, once.
    async fn as_caller<'a, T>(
        &'a self,
        context: &CallContext,
        auth_header: Option<AuthHeader>,
        run: impl Fn(Call) -> Reply<'a, Result<T, Refusal>>,
    ) -> Result<T, Error> {
        let claim = claim(context, auth_header)?;
        let call = |proved| Call { id: context.id, now: context.now, actor: Actor::Credential(proved) };
        if let Some(proved) = self.remembered(&claim, context) {
            match run(call(proved)).await.map_err(store_failed)? {
                Err(Refusal::CallerUnknown) => self.authenticator.forget(&claim),
                answer => return answer.map_err(Error::from),
            }
        }
        let proved = self.sign_in(&claim, context).await?;
        run(call(proved)).await.map_err(store_failed)?.map_err(Error::from)
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
