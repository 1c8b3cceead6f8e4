//! What calls do on a session: the facts that the rules ask for, and the rows that carry out what they decided.
//!
//! A function here takes `&Session` and what it is asked by reference, and answers `Result<T, Stop>`. It may be run several times, so it
//! keeps nothing. It begins and ends no transaction ([`super::run`] does), but may use savepoints. `Call::now` is right by the database's
//! clock when it gets here.

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
