//! The work of calls on a session: reading the facts for the rules, and writing their decisions.
//!
//! A function here takes `&Session` and references to its arguments, and returns `Result<T, Stop>`. It may be run several times,
//! so it keeps no state. It begins and ends no transaction ([`super::run`] does), but may use savepoints. `Call::now` is already
//! corrected to the database's clock.

pub(super) mod activate;
pub(super) mod assignee;
pub(super) mod facts;
pub(super) mod look;
pub(super) mod module_history;
pub(super) mod modules;
pub(super) mod named;
pub(super) mod owner;
pub(super) mod seats;
pub(super) mod stop;
pub(super) mod taking;
pub(super) mod ticket;
