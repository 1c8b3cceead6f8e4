//! A call of the store: its actor, time and id.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{CallName, TicketProof, Trail};

/// The part of a row of `credential` that a sign-in needs.
#[derive(Clone)]
pub struct Credential {
    /// In the store's spelling.
    pub user_name: Arc<str>,
    pub password_hash: Arc<str>,
}

/// The caller, time, and id of a call in the log and the audit.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: Uuid,
    pub now: Timestamp,
    pub actor: Actor,
    /// The name that the caller gave the call. Methods that change nothing, dry runs and sign-ins ignore it.
    pub name: Option<Arc<CallName>>,
    /// Where the store notes what it finds out; `None`: it is not needed.
    pub trail: Option<Arc<Trail>>,
}

impl Call {
    /// The same call without its name.
    pub(super) fn unnamed(self) -> Call {
        Call { name: None, ..self }
    }

    /// Notes the caller that a proof without a user name led to.
    pub(super) fn found_caller(&self, user_name: &str) {
        if let (Some(trail), Actor::Ticket(_) | Actor::Session(_)) = (&self.trail, &self.actor) {
            trail.found_caller(user_name);
        }
    }
}

/// The actor of a change. The audit records its name.
#[derive(Clone)]
pub enum Actor {
    /// A credential whose password was proved against exactly this hash. The store reads the row again in the call's own
    /// transaction and refuses the call if the hash has changed.
    Credential(Credential),
    /// The holder of this ticket, if it is still valid.
    Ticket(TicketProof),
    /// An administrator who signed in to the pages and got this session, if it is still valid.
    Session(TicketProof),
    /// A user of the command line, who can open the database anyway. The history names it as it names itself; `None`: `cli`.
    CommandLine { name: Option<Arc<str>> },
}

impl Actor {
    /// The command line, without a name.
    pub const fn command_line() -> Actor {
        Actor::CommandLine { name: None }
    }
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Credential(credential) => f.write_str(&credential.user_name),
            Actor::Ticket(proof) => std::fmt::Debug::fmt(proof, f),
            Actor::Session(proof) => write!(f, "session {}", proof.id),
            Actor::CommandLine { name: None } => f.write_str("command line"),
            Actor::CommandLine { name: Some(name) } => write!(f, "command line ({name})"),
        }
    }
}
