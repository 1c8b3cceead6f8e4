//! The context of a call: its caller, time and client, and what the request names.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use crate::auth::{Claim, Password, Ticket};
use crate::error::{Error, Who};
use crate::seats::{LicenseType, UserName, normal_name};
use crate::store::{Actor, Call, CallName, ModulesRequest, Original, Subject, TicketProof, Trail};

/// The context of one call. Clock and randomness are read once, at the edge, and handed down; the time is corrected to the
/// store's clock ([`Service::corrected`](super::Service::corrected)).
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Identifies the call in the log, in the history and in messages to the caller.
    pub id: Uuid,
    pub now: Timestamp,
    pub instant: Instant,
    pub peer: IpAddr,
    /// The name that the caller gave the call, so that a retry gets the same answer.
    pub name: Option<Arc<CallName>>,
    /// What becomes known of the call, for its line in the log.
    pub trail: Arc<Trail>,
}

impl CallContext {
    /// Notes what the request names.
    pub(super) fn about(&self, subject: Subject) -> &CallContext {
        self.trail.note(|facts| facts.subject = subject);
        self
    }

    /// The first call, if this one is its retry.
    pub fn original(&self) -> Option<Original> {
        self.name.as_ref()?.original()
    }

    /// The id for the answer: that of the first call, if this one is its retry.
    pub fn answer_id(&self) -> Uuid {
        self.original().map_or(self.id, |original| original.id)
    }

    /// The time for the answer, likewise.
    pub fn answer_now(&self) -> Timestamp {
        self.original().map_or(self.now, |original| original.now)
    }
}

/// The credentials that a caller sent.
pub enum Identity {
    /// None, or some that cannot be valid.
    Nobody,
    /// None, and the surface knows what is missing: a sentence for the caller, in the terms of its protocol.
    Missing(String),
    Password(Claim),
    Ticket(TicketProof),
    /// A session of the pages for administrators.
    Session(TicketProof),
}

impl Identity {
    /// A field is `None` when it was not sent.
    pub fn of_password(user_name: Option<String>, password: Option<Password>, context: &CallContext) -> Identity {
        match (user_name, password) {
            (Some(user_name), Some(password)) => Identity::Password(claim(&user_name, password, context)),
            _ => Identity::Nobody,
        }
    }

    /// By whom a call is made once that is proved.
    pub fn proved(&self) -> Option<Who> {
        match self {
            Identity::Nobody | Identity::Missing(_) => None,
            Identity::Password(claim) => Some(Who::Name(claim.user_name.clone())),
            Identity::Ticket(proof) => Some(Who::Ticket(proof.id)),
            Identity::Session(proof) => Some(Who::Session(proof.id)),
        }
    }

    pub fn of_ticket(text: &str) -> Identity {
        Ticket::parse(text).map_or(Identity::Nobody, |ticket| Identity::Ticket(proof(&ticket)))
    }
}

/// Names of credentials compare like names of accounts, wherever a claim is stored by its name.
pub(super) fn claim(user_name: &str, password: Password, context: &CallContext) -> Claim {
    Claim { user_name: normal_name(user_name).to_owned(), password, peer: context.peer }
}

pub(super) fn proof(ticket: &Ticket) -> TicketProof {
    TicketProof { id: ticket.id, secret_hash: ticket.secret_hash() }
}

/// The call of the store, by this actor.
pub(super) fn call(context: &CallContext, actor: Actor) -> Call {
    let (name, trail) = (context.name.clone(), Some(Arc::clone(&context.trail)));
    Call { id: context.id, now: context.now, actor, name, trail }
}

/// The error with what the request named.
pub(super) fn named(error: Error, context: &CallContext) -> Error {
    let Subject { entity_id, user, license_types, .. } = context.trail.note(|facts| facts.subject.clone());
    error.of(entity_id, user.as_deref(), license_types.first().copied())
}

pub(super) fn of_user(user: &Option<UserName>, license_type: Option<LicenseType>) -> Subject {
    let user = user.as_ref().map(|user| user.as_str().to_owned());
    Subject { user, license_types: license_type.into_iter().collect(), ..Subject::default() }
}

pub(super) fn of_owner(owner_name: &str) -> Subject {
    Subject { owner: Some(owner_name.to_owned()), ..Subject::default() }
}

pub(super) fn of_modules(request: &ModulesRequest) -> Subject {
    let license_types = request.license_types.clone();
    Subject { license_types, associate_id: Some(request.associate_id), ..of_owner(&request.owner_name) }
}

/// The user name that a caller gave, for the log. Some callers send their ticket as user name; it is a secret.
pub(super) fn name_for_log(user_name: &str) -> String {
    if Ticket::is_like(user_name) { "(a ticket)".to_owned() } else { user_name.to_owned() }
}
