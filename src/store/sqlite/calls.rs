//! The work of calls inside a transaction: reading the facts for the rules, and writing their decisions.

pub(super) mod activate;
pub(super) mod assignee;
pub(super) mod facts;
pub(super) mod look;
pub(super) mod module_history;
pub(super) mod modules;
pub(super) mod named;
pub(super) mod owner;
pub(super) mod record;
pub(super) mod seats;
pub(super) mod stop;
pub(super) mod ticket;
