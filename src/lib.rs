//! Seatkeeper: license seats over SOAP and a Web API.
//!
//! The parts, from the inside out, and how they meet:
//!
//! * [`seats`]: the rules. Facts in, decision out; no I/O, no clock.
//! * [`license`]: the rules for the numbers and the status of the same pools, and for activating what the issuer offers.
//! * [`chain`]: the history as a chain of hashes, and how it is verified. Pure too.
//! * [`error`]: the errors that callers get, and the numbers of the codes.
//! * [`store`]: what is kept, as one short trait, and SQLite or PostgreSQL behind it. One method is one transaction: it reads the
//!   facts, asks the rules, writes what they decided, commits, and only then answers.
//! * [`auth`]: passwords, checked off the async threads in an order that is fair by client, and remembered for a short time.
//! * [`service`]: the use cases, one function per operation: check the caller, ask the store, return the outcome.
//! * [`soap`]: envelopes and faults of SOAP 1.1 and 1.2. Knows no operation.
//! * [`contract`]: the operations, each described once; WSDL, OpenAPI, pages, samples and dispatch follow from the
//!   description, and so do JSON and the routes of the Web API.
//! * [`http`]: every route on one screen; status, headers and errors of each surface; connections, bodies and addresses, with
//!   their limits.
//! * [`metrics`], [`net`]: what operators watch; which addresses count as one client.
//! * [`config`], [`cli`]: settings and subcommands; `main` calls [`cli::run`] and exits.
//!
//! | module | may use, of this crate |
//! |---|---|
//! | `seats`, `metrics`, `net`, `chain` | nothing |
//! | `error`, `license` | `seats` |
//! | `soap` | `error` |
//! | `auth`, `store` | `error`, `seats`, `license`, `metrics`, `net`, `chain` |
//! | `service` | those, `auth`, `store` |
//! | `contract` | those, `service`, `soap` |
//! | `http`, then `config`, `cli`, `main` | everything above |
//!
//! A test reads the `use` lines and holds this table. axum appears only in `http`, quick-xml only in `soap`, rusqlite
//! only in `store::sqlite` and the command line's SQL shell, tokio-postgres, deadpool and rustls only in `store::postgres`, ed25519-dalek only in `chain::sign`.
#![forbid(unsafe_code)]

pub mod auth;
pub mod chain;
pub mod cli;
pub mod config;
pub mod contract;
pub mod error;
pub mod http;
pub mod license;
pub mod metrics;
pub mod net;
pub mod seats;
pub mod service;
pub mod soap;
pub mod store;
