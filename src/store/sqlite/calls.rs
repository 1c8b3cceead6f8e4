//! What calls do inside of a transaction: the facts that the rules ask for, and the rows that carry out what they decided.

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
