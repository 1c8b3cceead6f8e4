//! The use cases of administrators: signing in to the pages, one-time links, and what [`crate::store::admin`] reads and changes. The same
//! limits as for every call apply.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::links::LinkPurpose;
use super::{CallContext, Identity, Service, claim, if_caller_known, store_failed};
use crate::auth::{self, Password, SessionToken};
use crate::error::{Error, Who};
use crate::seats::{Refusal, Role};
use crate::store::admin::kept::{self, NewSession, RefusedCall, SignedIn};
use crate::store::admin::{self, Admin, AdminRefusal, ChangeOptions, Changed, Dialect, Sql, Stop, Value};
use crate::store::{Actor, Call, Reply, TicketProof};

/// How long sessions of the pages live, and how many refusals are kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// A session ends when it was not used for so long.
    pub session_idle: jiff::SignedDuration,
    /// And in any case so long after the sign-in.
    pub session_max: jiff::SignedDuration,
    /// Refusals kept for administrators, the newest; 0: none.
    pub refusals_kept_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            session_idle: jiff::SignedDuration::from_mins(30),
            session_max: jiff::SignedDuration::from_hours(12),
            refusals_kept_max: 100_000,
        }
    }
}

/// A session that was begun.
#[derive(Debug)]
pub struct PageSession {
    /// What the browser gets as a cookie.
    pub token: SessionToken,
    pub user: SignedIn,
    /// When it ends in any case.
    pub ends_at: Timestamp,
}

/// The first administrator of a database, and where its rights begin.
pub struct FirstAdministrator {
    pub user_name: String,
    pub password: Zeroizing<String>,
    /// Of the entity that is made if there is none; ignored if there are some.
    pub entity_name: String,
}

impl Identity {
    /// A session of the pages, as the cookie shows it.
    pub fn of_session(token: &SessionToken) -> Identity {
        Identity::Session(proof(token))
    }
}

fn proof(token: &SessionToken) -> TicketProof {
    TicketProof { id: token.id, secret_hash: token.secret_hash() }
}

impl Service {
    /// Runs reads for a caller of at least this role.
    ///
    /// # Errors
    ///
    /// A caller that is not signed in (`InvalidSoapCredentials`), throttled sign-ins, and a store that failed; the inner error is an answer.
    pub async fn look<T: Send + Sync + 'static>(
        &self,
        context: &CallContext,
        identity: &Identity,
        least: Role,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Result<T, AdminRefusal>, Error> {
        let work = admin::untyped(work);
        let run = |call| apart(self.store.read_as_admin(call, least, Arc::clone(&work)));
        let answer = self.as_caller(context, identity, run).await?;
        Ok(answer.map(admin::typed))
    }

    /// Makes a change for a caller of the role admin. See [`admin::change`] for previews and confirmations.
    ///
    /// # Errors
    ///
    /// As [`Service::look`].
    pub async fn change<T: Send + Sync + 'static>(
        &self,
        context: &CallContext,
        identity: &Identity,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Result<Changed<T>, AdminRefusal>, Error> {
        let work = admin::untyped(work);
        let run = |call| apart(self.store.change_as_admin(call, options.clone(), Arc::clone(&work)));
        let answer = self.as_caller(context, identity, run).await?;
        Ok(answer.map(|changed| changed.map(admin::typed)))
    }

    // Sessions -------------------------------------------------------------------------------------------------------

    /// Signs in to the pages; `None`: the credentials are not valid. Each sign-in makes a new session.
    ///
    /// # Errors
    ///
    /// Too many wrong passwords, too many sign-ins at once, a store that failed.
    pub async fn sign_in_to_pages(
        &self,
        context: &CallContext,
        user_name: &str,
        password: Password,
    ) -> Result<Option<PageSession>, Error> {
        let identity = Identity::Password(claim(user_name, password, context));
        let token = new_token()?;
        let session = self.new_session(context, &token);
        let begun = self.as_caller(context, &identity, |call| self.begin_session(call.actor, session.clone())).await;
        let user = if_caller_known(begun)?;
        if let Some(user) = &user {
            log_signed_in(context, &user.user_name, "signed in to the pages");
        }
        Ok(user.map(|user| PageSession { token, user, ends_at: session.ends_at }))
    }

    fn new_session(&self, context: &CallContext, token: &SessionToken) -> NewSession {
        let after = |life| context.now.saturating_add(life).unwrap_or(Timestamp::MAX);
        NewSession {
            proof: proof(token),
            created_at: context.now,
            expires_at: self.session_expiry(context.now).min(after(self.pages.session_max)),
            ends_at: after(self.pages.session_max),
            address: Some(context.peer),
        }
    }

    fn begin_session(&self, actor: Actor, session: NewSession) -> Reply<'_, Result<SignedIn, Refusal>> {
        Box::pin(async move {
            // Other proofs do not make sessions.
            let Actor::Credential(proved) = actor else { return Ok(Err(Refusal::CallerUnknown)) };
            let begun = admin::keep(&*self.store, move |sql| kept::begin_session(sql, &proved, &session)).await?;
            Ok(begun.map_err(|_| Refusal::CallerUnknown))
        })
    }

    /// When a session that is used now expires.
    fn session_expiry(&self, now: Timestamp) -> Timestamp {
        let renewal = self.session_renewal();
        now.saturating_add(self.pages.session_idle).and_then(|at| at.saturating_add(renewal)).unwrap_or(Timestamp::MAX)
    }

    /// As of tickets: a use after this long gives the session its full life again.
    fn session_renewal(&self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_secs((self.pages.session_idle.as_secs() / 30).max(1))
    }

    /// Gives a session that was used its full life again. If that fails it lives a minute less.
    pub(super) async fn renew_session(&self, proof: &TicketProof, now: Timestamp) {
        let id = proof.id;
        if self.sessions_renewed.get(&id).is_some_and(|at| now.duration_since(at) < self.session_renewal()) {
            return;
        }
        let expires_at = self.session_expiry(now);
        match admin::keep(&*self.store, move |sql| kept::renew_session(sql, id, now, expires_at)).await {
            Ok(_) => self.sessions_renewed.insert(id, now),
            Err(error) => self.renewal_failed(&error),
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// A store that failed; the session may go on then.
    pub async fn sign_out(&self, context: &CallContext, token: &SessionToken) -> Result<(), Error> {
        let proof = proof(token);
        let ended = admin::keep(&*self.store, move |sql| kept::end_session(sql, &proof)).await.map_err(store_failed)?;
        tracing::info!(client = %context.peer, request_id = %context.id, was_valid = ended == Ok(true), "signed out of the pages");
        Ok(())
    }

    /// Ends all sessions and tickets of the user whose session this is, on every node; how many. `None`: the session is not valid.
    ///
    /// # Errors
    ///
    /// A store that failed.
    pub async fn sign_out_everywhere(&self, context: &CallContext, token: &SessionToken) -> Result<Option<u64>, Error> {
        let (proof, now) = (proof(token), context.now);
        let ended = admin::keep(&*self.store, move |sql| kept::end_all_sessions(sql, &proof, now)).await;
        let ended = ended.map_err(store_failed)?.ok();
        tracing::info!(client = %context.peer, request_id = %context.id, ended, "signed out everywhere");
        Ok(ended)
    }

    // One-time links -------------------------------------------------------------------------------------------------

    /// Whether there is no credential, so that a one-time link may make the first administrator.
    ///
    /// # Errors
    ///
    /// A store that failed.
    pub async fn is_unclaimed(&self) -> Result<bool, Error> {
        let read =
            admin::read(&*self.store, call_of_service(self.corrected(Timestamp::now())), Role::Admin, |sql, _| {
                kept::is_unclaimed(sql)
            });
        Ok(read.await.map_err(store_failed)?.unwrap_or(false))
    }

    /// Makes a one-time link; its secret, which goes into an address. It is valid for [`super::LINK_LIFE`].
    ///
    /// # Errors
    ///
    /// A machine without randomness.
    pub fn make_link(&self, purpose: LinkPurpose) -> Result<String, Error> {
        let made = self.links.make(purpose, Instant::now());
        made.map_err(|e| Error::unexpected("There is no randomness.", e))
    }

    /// What a one-time link is for; `None`: it is not valid, or not any more. It stays as it is, so that looking at a page does not use it up.
    pub fn link_purpose(&self, secret: &str, now: Instant) -> Option<LinkPurpose> {
        self.links.purpose(secret, now)
    }

    /// Signs in to the pages by a one-time link of [`LinkPurpose::SignIn`], which ends then; `None`: it is not valid.
    ///
    /// # Errors
    ///
    /// A store that failed.
    pub async fn sign_in_by_link(&self, context: &CallContext, secret: &str) -> Result<Option<PageSession>, Error> {
        let Some(LinkPurpose::SignIn(user_name)) = self.links.purpose(secret, context.instant) else { return Ok(None) };
        if !self.links.take(secret, context.instant) {
            return Ok(None);
        }
        self.sign_in_as(context, &user_name).await
    }

    /// Makes the first administrator by a one-time link, and signs in; the link ends then. If something is wrong with what was entered the
    /// link stays valid.
    ///
    /// # Errors
    ///
    /// A store that failed; the inner error is an answer. [`AdminRefusal::CallerUnknown`]: the link is not valid.
    pub async fn create_first_administrator(
        &self,
        context: &CallContext,
        secret: &str,
        first: FirstAdministrator,
    ) -> Result<Result<PageSession, AdminRefusal>, Error> {
        let purpose = self.links.purpose(secret, context.instant);
        if purpose != Some(LinkPurpose::FirstAdministrator) || !self.links.take(secret, context.instant) {
            return Ok(Err(AdminRefusal::CallerUnknown));
        }
        let made = self.make_first_administrator(context, first).await;
        let user_name = match made {
            Ok(Ok(user_name)) => user_name,
            refused => {
                self.links.put_back(secret, LinkPurpose::FirstAdministrator, context.instant);
                return refused.map(|refused| Err(refused.err().unwrap_or(AdminRefusal::CallerUnknown)));
            }
        };
        log_signed_in(context, &user_name, "the first administrator was made");
        Ok(self.sign_in_as(context, &user_name).await?.ok_or(AdminRefusal::CallerUnknown))
    }

    async fn make_first_administrator(
        &self,
        context: &CallContext,
        first: FirstAdministrator,
    ) -> Result<Result<String, AdminRefusal>, Error> {
        let FirstAdministrator { user_name, password, entity_name } = first;
        // Off the async threads: a hash costs 25 ms and 19 MiB.
        let hashed = tokio::task::spawn_blocking(move || auth::hash_new_password(&password)).await;
        let password_hash = match hashed.map_err(|e| Error::unexpected("The password was not hashed.", e))? {
            Ok(hash) => hash,
            Err(why) => return Ok(Err(AdminRefusal::Invalid { field: "password", why })),
        };
        let call = Call {
            id: context.id,
            now: context.now,
            actor: Actor::CommandLine { name: Some("first-administrator".into()) },
            name: None,
            trail: None,
        };
        let options = ChangeOptions {
            reason: Some("by the one-time link of an empty database".to_owned()),
            ..Default::default()
        };
        let work = move |sql: &dyn Sql, _: &Admin| insert_first(sql, &user_name, &password_hash, &entity_name);
        let changed = admin::change(&*self.store, call, options, work).await.map_err(store_failed)?;
        Ok(changed.map(|changed| changed.value))
    }

    /// A session of a credential, for a caller that has a one-time link instead of its password.
    async fn sign_in_as(&self, context: &CallContext, user_name: &str) -> Result<Option<PageSession>, Error> {
        let Some(credential) = self.store.credential(user_name).await.map_err(store_failed)? else { return Ok(None) };
        let token = new_token()?;
        let session = self.new_session(context, &token);
        let ends_at = session.ends_at;
        let begun = self.begin_session(Actor::Credential(credential), session).await.map_err(store_failed)?;
        if let Ok(user) = &begun {
            log_signed_in(context, &user.user_name, "signed in to the pages by a one-time link");
        }
        Ok(begun.ok().map(|user| PageSession { token, user, ends_at }))
    }

    // Notes ----------------------------------------------------------------------------------------------------------

    /// Notes a call that was refused, for administrators. Costs little; it is written later ([`Service::keep_notes`]).
    pub fn note_refused(&self, operation: &'static str, context: &CallContext, refused: &Error) {
        let about = refused.concerns();
        self.notes.refused(RefusedCall {
            at: context.now,
            request_id: context.id,
            who: about.who,
            operation,
            code: refused.kind.outcome(),
            message: refused.to_string(),
            entity_id: about.entity_id,
            username: about.username,
            license_type: about.license_type.map(crate::seats::LicenseType::name),
            address: context.peer,
        });
    }

    /// Notes that a caller was proved.
    pub(super) fn note_used(&self, who: Who, now: Timestamp, address: IpAddr) {
        self.notes.used(who, now, address);
    }

    /// Writes what was noted. On an error it is lost, and logged now and then.
    pub async fn write_notes(&self) {
        let (mut notes, left_out) = self.notes.take();
        notes.check = self.check_to_note();
        let checked = notes.check.as_ref().map(|(at, _)| *at);
        let count = notes.refusals.len() as u64;
        self.metrics.notes_left_out.inc_by(left_out);
        if notes.is_empty() {
            return;
        }
        let max = self.notes.refusals_kept_max();
        let written = admin::keep(&*self.store, move |sql| kept::write(sql, &notes, max)).await;
        let failed = match written {
            Ok(Ok(())) => {
                if let Some(at) = checked {
                    *self.check_noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
                }
                return;
            }
            Ok(Err(refusal)) => refusal.to_string(),
            Err(error) => error.to_string(),
        };
        self.metrics.notes_left_out.inc_by(count);
        if let Some(left_out) = self.failures.count("notes") {
            tracing::warn!(
                error = failed,
                left_out,
                "refusals and uses of credentials were not noted for administrators: the database takes no changes"
            );
        }
    }

    /// The last verification of the database, if it is not noted yet.
    fn check_to_note(&self) -> Option<(Timestamp, String)> {
        let seconds = self.metrics.verified_at_seconds.get();
        let at = Timestamp::from_second(seconds as i64).ok().filter(|_| seconds >= 1.0)?;
        let noted = *self.check_noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let took = self.metrics.verification_seconds.get();
        (at > noted).then(|| (at, format!("nothing wrong; took {took:.2} s")))
    }

    /// Writes notes once a second, and what is left when `stop` is done.
    pub async fn keep_notes(self: Arc<Self>, stop: impl Future<Output = ()>) {
        const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
        let mut stop = std::pin::pin!(stop);
        loop {
            let stopped = tokio::select! {
                () = &mut stop => true,
                () = tokio::time::sleep(PAUSE) => false,
            };
            self.write_notes().await;
            if stopped {
                return;
            }
        }
    }
}

fn log_signed_in(context: &CallContext, user_name: &str, message: &'static str) {
    tracing::info!(client = %context.peer, request_id = %context.id, credential = user_name, "{message}");
}

/// That the caller is not proved is for the service, which may prove it again; other refusals are answers.
fn apart<T: Send + 'static>(
    reply: Reply<'_, Result<T, AdminRefusal>>,
) -> Reply<'_, Result<Result<T, AdminRefusal>, Refusal>> {
    Box::pin(async move {
        Ok(match reply.await? {
            Err(AdminRefusal::CallerUnknown) => Err(Refusal::CallerUnknown),
            answer => Ok(answer),
        })
    })
}

fn new_token() -> Result<SessionToken, Error> {
    SessionToken::generate().map_err(|e| Error::unexpected("There is no randomness.", e))
}

pub(super) fn call_of_service(now: Timestamp) -> Call {
    Call { id: uuid::Uuid::new_v4(), now, actor: Actor::command_line(), name: None, trail: None }
}

/// Inserts the first credential, and an entity if there is none; the name as it is stored.
fn insert_first(sql: &dyn Sql, user_name: &str, password_hash: &str, entity_name: &str) -> Result<String, Stop> {
    if sql.dialect() == Dialect::Postgres {
        // Another node may have printed a link too.
        sql.change("LOCK TABLE credential IN SHARE ROW EXCLUSIVE MODE", &[])?;
    }
    if !kept::is_unclaimed(sql)? {
        return Err(AdminRefusal::NotEmpty.into());
    }
    let roots = sql.rows("SELECT id FROM entity WHERE parent_id IS NULL ORDER BY id LIMIT 2", &[])?;
    let entity_id = match &roots[..] {
        [] => {
            sql.change("INSERT INTO entity (name) VALUES ($1)", &[Value::from(entity_name.trim())])?;
            admin::first(sql, "SELECT max(id) FROM entity", &[])?.map_or(Ok(1), |row| row.int(0))?
        }
        [root] => root.int(0)?,
        _ => {
            let why = "there are several entities without one above them: make the credential with SQL".to_owned();
            return Err(AdminRefusal::Invalid { field: "entity", why }.into());
        }
    };
    let user_name = crate::seats::normal_name(user_name).to_owned();
    sql.change(
        "INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ($1, $2, $3, 'admin')",
        &[Value::from(user_name.as_str()), Value::from(password_hash), Value::Int(entity_id)],
    )?;
    Ok(user_name)
}
