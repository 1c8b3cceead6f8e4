//! The use cases, one function per operation, shared by every surface. They check the caller, call the store, and return the
//! outcome; they know neither SOAP nor HTTP nor SQL.

pub mod admin;
mod context;
mod lines;
mod links;
mod measure;
mod notes;
mod readiness;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::auth::{self, AuthError, Authenticator, Claim, Password, Scope, TICKET_LIFE, Ticket};
use crate::error::{Error, ErrorKind, Retry};
use crate::license::Owner;
use crate::metrics::{Metrics, SparseLogs};
use crate::seats::{AssignRequest, Holding, Refusal, SeatId, Transfer};
use crate::store::{
    Activation, Actor, Added, Call, Credential, Details, FiledLicense, HistoryRequest, Holder, HoldersRequest,
    ModuleHistory, ModulesRequest, NewTicket, Owners, OwnersRequest, PoolUse, Principal, Reply, Store, StoreError,
    Subject,
};

pub use context::{CallContext, Identity};
use context::{call, claim, name_for_log, named, of_modules, of_owner, of_user, proof};
pub use links::{LINK_LIFE, LinkPurpose};
pub use measure::Gauges;
pub use readiness::{Check, Observed, Readiness, ReadinessLimits, State};

/// Path of the page behind a one-time link for the first administrator, before a slash and the link's secret.
pub const FIRST_ADMINISTRATOR_PATH: &str = "/first-admin";
/// The same for a one-time link that signs in.
pub const SIGN_IN_PATH: &str = "/sign-in";

/// A caller that signed in.
pub struct SignIn {
    pub principal: Principal,
    /// The text of its ticket.
    pub ticket: String,
}

/// See the module.
pub struct Service {
    store: Arc<dyn Store>,
    authenticator: Authenticator,
    /// When this process last renewed a ticket.
    tickets_renewed: Cache<Uuid, Timestamp>,
    sessions_renewed: Cache<Uuid, Timestamp>,
    pages: admin::Options,
    links: links::Links,
    notes: notes::Pending,
    readiness: readiness::Watched,
    /// The newest verification of the database that is noted for administrators.
    check_noted: Mutex<Timestamp>,
    failures: SparseLogs,
    lines: lines::Lines,
    logs_calls: AtomicBool,
    pub metrics: Arc<Metrics>,
}

/// A ticket is renewed at its first use after this time. This time is added to its life, so that each use leaves it the full
/// life, although few uses write.
const TICKET_RENEWAL: SignedDuration = SignedDuration::from_mins(6);
/// The most tickets whose last renewal is remembered; for others every use writes.
const TICKETS_RENEWED_MAX: usize = 10_000;

impl Service {
    pub fn new(store: Arc<dyn Store>, authenticator: Authenticator, metrics: Arc<Metrics>) -> Service {
        Service::with_pages(store, authenticator, metrics, admin::Options::default())
    }

    /// The same with other settings for administrators.
    pub fn with_pages(
        store: Arc<dyn Store>,
        authenticator: Authenticator,
        metrics: Arc<Metrics>,
        pages: admin::Options,
    ) -> Service {
        Service {
            store,
            authenticator,
            tickets_renewed: Cache::new(TICKETS_RENEWED_MAX),
            sessions_renewed: Cache::new(TICKETS_RENEWED_MAX),
            links: links::Links::default(),
            notes: notes::Pending::new(pages.refusals_kept_max),
            pages,
            readiness: readiness::Watched::default(),
            check_noted: Mutex::new(Timestamp::MIN),
            failures: SparseLogs::default(),
            lines: lines::Lines::default(),
            logs_calls: AtomicBool::new(false),
            metrics,
        }
    }

    /// Changes the options of sign-ins while the service runs. See [`Authenticator::set_options`].
    pub fn set_sign_ins(&self, options: &auth::Options) {
        self.authenticator.set_options(options);
    }

    /// Attaches a license to a user: takes a free seat of the type from a pool of the provider entity.
    pub async fn assign_license(
        &self,
        context: &CallContext,
        identity: &Identity,
        request: AssignRequest,
    ) -> Result<SeatId, Error> {
        let subject =
            Subject { entity_id: request.provider_entity_id, ..of_user(&request.username, request.license_type) };
        self.as_caller(context.about(subject), identity, |call| self.store.assign(call, request.clone())).await
    }

    /// Attaches licenses to many users; returns a result for each, in order. `dry_run`: changes nothing.
    pub async fn assign_licenses(
        &self,
        context: &CallContext,
        identity: &Identity,
        requests: Vec<AssignRequest>,
        dry_run: bool,
    ) -> Result<Vec<Result<SeatId, Refusal>>, Error> {
        self.as_caller(context, identity, |call| self.store.assign_all(call, requests.clone(), dry_run)).await
    }

    /// Releases the license of a user.
    pub async fn unassign_license(
        &self,
        context: &CallContext,
        identity: &Identity,
        holding: Holding,
    ) -> Result<SeatId, Error> {
        let subject = of_user(&holding.username, holding.license_type);
        self.as_caller(context.about(subject), identity, |call| self.store.release(call, holding.clone())).await
    }

    /// Transfers the license of one user to another, in one step.
    pub async fn transfer_license(
        &self,
        context: &CallContext,
        identity: &Identity,
        transfer: Transfer,
    ) -> Result<SeatId, Error> {
        let from_user = transfer.from.as_ref().map(|from| from.as_str().to_owned());
        let subject = Subject { from_user, ..of_user(&transfer.to, transfer.license_type) };
        self.as_caller(context.about(subject), identity, |call| self.store.transfer(call, transfer.clone())).await
    }

    /// The details of a license that a user holds.
    pub async fn license_details(
        &self,
        context: &CallContext,
        identity: &Identity,
        holding: Holding,
    ) -> Result<Details, Error> {
        let subject = of_user(&holding.username, holding.license_type);
        self.as_caller(context.about(subject), identity, |call| self.store.details(call, holding.clone())).await
    }

    /// The pools of an entity and how full they are.
    pub async fn license_pools(
        &self,
        context: &CallContext,
        identity: &Identity,
        entity_id: Option<i32>,
    ) -> Result<Vec<PoolUse>, Error> {
        let subject = Subject { entity_id, ..Subject::default() };
        self.as_caller(context.about(subject), identity, |call| self.store.pools(call, entity_id)).await
    }

    /// The holders of licenses, page by page through `pages`; returns when the last page is sent.
    pub async fn license_holders(
        &self,
        context: &CallContext,
        identity: &Identity,
        request: HoldersRequest,
        pages: mpsc::Sender<Vec<Holder>>,
    ) -> Result<(), Error> {
        let subject = Subject { entity_id: request.entity_id, ..Subject::default() };
        let run = |call| self.store.holders(call, request.clone(), pages.clone());
        self.as_caller(context.about(subject), identity, run).await
    }

    /// The licenses of module owners.
    pub async fn license_owners(
        &self,
        context: &CallContext,
        identity: &Identity,
        request: OwnersRequest,
    ) -> Result<Vec<Owner>, Error> {
        let owner = match &request.owners {
            Owners::Named(name) => Some(name.clone()),
            Owners::All | Owners::OfAssociate => None,
        };
        let subject = Subject { owner, associate_id: request.associate_id, ..Subject::default() };
        self.as_caller(context.about(subject), identity, |call| self.store.owners(call, request.clone())).await
    }

    /// Assigns modules of an owner to an associate, all or none.
    pub async fn assign_modules(
        &self,
        context: &CallContext,
        identity: &Identity,
        request: ModulesRequest,
    ) -> Result<Owner, Error> {
        let run = |call| self.store.assign_modules(call, request.clone());
        self.as_caller(context.about(of_modules(&request)), identity, run).await
    }

    /// Releases modules of an owner that an associate holds.
    pub async fn release_modules(
        &self,
        context: &CallContext,
        identity: &Identity,
        request: ModulesRequest,
    ) -> Result<Owner, Error> {
        let run = |call| self.store.release_modules(call, request.clone());
        self.as_caller(context.about(of_modules(&request)), identity, run).await
    }

    /// Activates the license that the issuer grants. `dry_run`: only checks whether that is possible.
    pub async fn activate_license(
        &self,
        context: &CallContext,
        identity: &Identity,
        activation: Activation,
        dry_run: bool,
    ) -> Result<(), Error> {
        let owner = match &activation {
            Activation::Presented(presented) => presented.owner_name.clone(),
            Activation::Serial { .. } => None,
        };
        let run = |call| self.store.activate(call, activation.clone(), dry_run);
        self.as_caller(context.about(Subject { owner, ..Subject::default() }), identity, run).await
    }

    /// Activates the license of a file.
    pub async fn add_license(
        &self,
        context: &CallContext,
        identity: &Identity,
        license: FiledLicense,
    ) -> Result<Added, Error> {
        let subject = of_owner(&license.owner_name);
        self.as_caller(context.about(subject), identity, |call| self.store.add_license(call, license.clone())).await
    }

    /// Removes a module owner and its license.
    pub async fn remove_license(
        &self,
        context: &CallContext,
        identity: &Identity,
        owner_name: String,
    ) -> Result<(), Error> {
        let subject = of_owner(&owner_name);
        self.as_caller(context.about(subject), identity, |call| self.store.remove_license(call, owner_name.clone()))
            .await
    }

    /// The history of the present and former pools of an owner, of one type; `None`: the caller may not see the owner.
    pub async fn module_history(
        &self,
        context: &CallContext,
        identity: &Identity,
        request: HistoryRequest,
    ) -> Result<Option<ModuleHistory>, Error> {
        let license_types = vec![request.license_type];
        let subject = Subject { license_types, ..of_owner(&request.owner_name) };
        self.as_caller(context.about(subject), identity, |call| self.store.module_history(call, request.clone())).await
    }

    /// The error for a change with invalid arguments: the refusal, unless its caller is not signed in. The refusal of a named
    /// call is kept for its retry.
    pub async fn refuse_change(&self, context: &CallContext, identity: &Identity, refusal: Refusal) -> Error {
        if context.name.is_none() {
            return self.refuse(context, identity, refusal).await;
        }
        let refused = self.as_caller(context, identity, |call| self.store.refuse(call, refusal.clone())).await;
        refused.err().unwrap_or_else(|| refusal.into())
    }

    /// The same for a call that changes nothing.
    pub async fn refuse(&self, context: &CallContext, identity: &Identity, refusal: Refusal) -> Error {
        self.principal(context, identity).await.err().unwrap_or_else(|| refusal.into())
    }

    /// The caller.
    pub async fn principal(&self, context: &CallContext, identity: &Identity) -> Result<Principal, Error> {
        self.as_caller(context, identity, |call| self.store.principal(call)).await
    }

    /// Signs a caller in for a ticket; `None`: the credentials are not valid. Also accepts a ticket as user name with an empty
    /// password.
    pub async fn sign_in(
        &self,
        context: &CallContext,
        user_name: String,
        password: Password,
    ) -> Result<Option<SignIn>, Error> {
        if password.is_empty() {
            return self.sign_in_with_ticket(context, &user_name).await;
        }
        let claim = claim(&user_name, password, context);
        // A repeated sign-in gets the same ticket, because each new ticket writes a row.
        if let Some(ticket) = self.authenticator.ticket(&claim, context.instant)
            && let Some(again) = self.sign_in_with(context, &ticket).await?
        {
            return Ok(Some(again));
        }
        let ticket = Ticket::generate().map_err(|e| Error::unexpected("There is no randomness.", e))?;
        let row = NewTicket { proof: proof(&ticket), expires_at: expiry(context.now) };
        let identity = Identity::Password(claim);
        let issued = self.as_caller(context, &identity, |call| self.store.issue_ticket(call, row.clone())).await;
        let principal = if_caller_known(issued)?;
        Ok(principal.map(|principal| {
            let text = ticket.text();
            self.tickets_renewed.insert(ticket.id, context.now);
            if let Identity::Password(claim) = &identity {
                self.authenticator.remember_ticket(claim, ticket, context.instant);
            }
            SignIn { principal, ticket: text }
        }))
    }

    /// Signs in the holder of a ticket, with the same ticket.
    pub async fn sign_in_with_ticket(&self, context: &CallContext, text: &str) -> Result<Option<SignIn>, Error> {
        match Ticket::parse(text) {
            Some(ticket) => self.sign_in_with(context, &ticket).await,
            None => Ok(None),
        }
    }

    async fn sign_in_with(&self, context: &CallContext, ticket: &Ticket) -> Result<Option<SignIn>, Error> {
        let principal = self.principal(context, &Identity::Ticket(proof(ticket))).await;
        Ok(if_caller_known(principal)?.map(|principal| SignIn { principal, ticket: ticket.text() }))
    }

    /// Runs a call of the store as the caller that the identity proves.
    async fn as_caller<'a, T>(
        &'a self,
        context: &CallContext,
        identity: &Identity,
        run: impl Fn(Call) -> Reply<'a, Result<T, Refusal>>,
    ) -> Result<T, Error> {
        if let Identity::Password(claim) = identity {
            context.trail.note(|facts| facts.credential = Some(name_for_log(&claim.user_name)));
        }
        let answer = self.as_identity(context, identity, run).await.map_err(|error| named(error, context));
        let is_proved = answer.as_ref().err().is_none_or(|error| error.kind.is_of_a_proved_caller());
        match (answer, identity.proved().filter(|_| is_proved)) {
            (answer, None) => answer,
            (Ok(value), Some(who)) => {
                self.note_used(who, context.now, context.peer);
                Ok(value)
            }
            (Err(error), Some(who)) => {
                self.note_used(who.clone(), context.now, context.peer);
                Err(error.by(who))
            }
        }
    }

    async fn as_identity<'a, T>(
        &'a self,
        context: &CallContext,
        identity: &Identity,
        run: impl Fn(Call) -> Reply<'a, Result<T, Refusal>>,
    ) -> Result<T, Error> {
        match identity {
            Identity::Nobody => Err(Refusal::CallerUnknown.into()),
            Identity::Missing(sentence) => Err(Error::credential_missing(sentence.clone())),
            Identity::Password(claim) => self.as_claimed(context, claim, run).await,
            Identity::Session(proof) => {
                let answer = in_store(context, run(call(context, Actor::Session(proof.clone())))).await?;
                if !matches!(answer, Err(Refusal::CallerUnknown)) {
                    self.renew_session(proof, context.now).await;
                }
                answer.map_err(Error::from)
            }
            Identity::Ticket(proof) => {
                let actor = Actor::Ticket(proof.clone());
                let answer = in_store(context, run(call(context, actor))).await?;
                if !matches!(answer, Err(Refusal::CallerUnknown)) {
                    self.renew(proof.id, context.now).await;
                }
                answer.map_err(Error::from)
            }
        }
    }

    /// The store reads the credential again in the call's transaction. If its hash changed after the proof was
    /// remembered, the password is checked against the new one, once.
    async fn as_claimed<'a, T>(
        &'a self,
        context: &CallContext,
        claim: &Claim,
        run: impl Fn(Call) -> Reply<'a, Result<T, Refusal>>,
    ) -> Result<T, Error> {
        let call = |proved| call(context, Actor::Credential(proved));
        if let Some(proved) = self.remembered(claim, context) {
            match in_store(context, run(call(proved))).await? {
                Err(Refusal::CallerUnknown) => self.authenticator.forget(claim),
                answer => return answer.map_err(Error::from),
            }
        }
        let begun = Instant::now();
        let proved = self.prove(claim, context).await;
        context.trail.note(|facts| *facts.sign_in.get_or_insert_default() += begun.elapsed());
        in_store(context, run(call(proved?))).await?.map_err(Error::from)
    }

    /// Renews a ticket that was used. If that fails, the ticket lives a few minutes less.
    async fn renew(&self, id: Uuid, now: Timestamp) {
        if self.tickets_renewed.get(&id).is_some_and(|at| now.duration_since(at) < TICKET_RENEWAL) {
            return;
        }
        match self.store.renew_ticket(id, now, expiry(now)).await {
            Ok(()) => self.tickets_renewed.insert(id, now),
            Err(error) => self.renewal_failed(&error),
        }
    }

    /// A ticket or a session that was used did not get its full life again. It still has most of it.
    fn renewal_failed(&self, error: &dyn std::fmt::Display) {
        if let Some(left_out) = self.failures.count("renewal") {
            tracing::warn!(%error, left_out, "a ticket or a session was not renewed: it ends a few minutes earlier");
        }
    }

    /// Whether every request has a line in the log.
    pub fn logs_calls(&self) -> bool {
        self.logs_calls.load(Ordering::Relaxed)
    }

    /// Changes that, also while the service runs.
    pub fn set_logs_calls(&self, logs_calls: bool) {
        self.logs_calls.store(logs_calls, Ordering::Relaxed);
    }

    /// Counts a line about a caller that proved nothing. If it may be logged: the number of lines left out before it.
    pub fn line_of_unproved(&self, context: &CallContext) -> Option<u64> {
        if self.logs_calls() { Some(0) } else { self.lines.of_unproved(context.peer, context.instant) }
    }

    /// The same for a call that failed for this reason.
    pub fn line_of_failure(&self, reason: &'static str) -> Option<u64> {
        self.failures.count(reason)
    }

    /// A moment of this machine's clock, corrected to the store's clock. See [`crate::store::Administration::corrected`].
    pub fn corrected(&self, at: Timestamp) -> Timestamp {
        self.store.corrected(at)
    }

    fn remembered(&self, claim: &Claim, context: &CallContext) -> Option<Credential> {
        let password_hash = self.authenticator.remembered(claim, context.instant)?;
        Some(Credential { user_name: claim.user_name.as_str().into(), password_hash })
    }

    /// Looks up the costs of stored hashes now and then. The user name has no influence on which call does it.
    async fn learn_costs(&self, context: &CallContext) {
        if self.authenticator.wants_costs(context.instant) {
            match self.store.hash_kinds().await {
                Ok(kinds) => self.authenticator.learn_costs(&kinds),
                Err(error) => {
                    if let Some(before) = self.failures.count("costs") {
                        tracing::warn!(%error, left_out = before, "the parameters of stored password hashes could not be read");
                    }
                }
            }
        }
    }

    /// Proves the claim against the stored credential.
    async fn prove(&self, claim: &Claim, context: &CallContext) -> Result<Credential, Error> {
        self.learn_costs(context).await;
        let stored = self.store.credential(&claim.user_name).await.map_err(store_failed)?;
        let stored_hash = stored.as_ref().map(|credential| Arc::clone(&credential.password_hash));
        match (self.authenticator.verify(claim, stored_hash, context.instant).await, stored) {
            (Ok(()), Some(credential)) => Ok(credential),
            (Ok(()) | Err(AuthError::Wrong), _) => {
                self.notes.failed(&claim.user_name, context.now, claim.peer);
                context.trail.note(|facts| facts.sign_in_refused = Some("wrong_password"));
                Err(Refusal::CallerUnknown.into())
            }
            (Err(AuthError::Throttled { wait, scope }), _) => {
                let from = match scope {
                    Scope::Client => " from this address",
                    Scope::Name => "",
                };
                let seconds = wait.as_secs().saturating_add(1);
                let message = format!(
                    "Too many wrong passwords for this user name{from}. Wait {seconds} seconds, then call again."
                );
                context.trail.note(|facts| facts.sign_in_refused = Some("throttled"));
                Err(Error::throttled(message, wait))
            }
            (Err(AuthError::Busy), _) => {
                Err(Error::overloaded("Too many sign-ins at once. Nothing was changed; call again in a few seconds."))
            }
        }
    }
}

/// Waits for the store, and notes for how long.
async fn in_store<T>(context: &CallContext, reply: Reply<'_, T>) -> Result<T, Error> {
    let begun = Instant::now();
    let answer = reply.await;
    context.trail.note(|facts| *facts.store.get_or_insert_default() += begun.elapsed());
    answer.map_err(store_failed)
}

/// When a ticket that is used now expires.
fn expiry(now: Timestamp) -> Timestamp {
    now.saturating_add(TICKET_RENEWAL).and_then(|at| at.saturating_add(TICKET_LIFE)).unwrap_or(Timestamp::MAX)
}

/// `None`: the credentials are not valid.
fn if_caller_known<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::InvalidSoapCredentials => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error for the caller after a failure of the store. Details go only into the log.
fn store_failed(error: StoreError) -> Error {
    let passes =
        matches!(error, StoreError::QueueFull | StoreError::Locked | StoreError::Closed | StoreError::Unreachable(_));
    let message = match error {
        StoreError::QueueFull => "Too many calls at once. Nothing was changed; call again in a few seconds.",
        StoreError::Locked => {
            "The license database is in use by another program. Nothing was changed; call again in a few seconds."
        }
        StoreError::Closed => "The service is shutting down. Nothing was changed; call again in a few seconds.",
        StoreError::Unreachable(_) => {
            "The license database is out of reach at the moment. Nothing was changed; call again in a few seconds."
        }
        StoreError::Stopped(_) | StoreError::Damaged(_) => {
            "The license database is out of service until an operator has looked at it. Nothing was changed; call again later."
        }
        StoreError::Disk(_) | StoreError::Failed(_) => {
            "The license database failed. Nothing was changed; call again later."
        }
        StoreError::Unknown(_) => {
            "The license database failed while saving. It is unknown whether the change was made; it is safe to call again."
        }
    };
    let reason = error.reason();
    let error = Error::unexpected(message, error).because(reason);
    if passes { error.with_retry(Retry::Soon) } else { error }
}
