//! Seatkeeper: license seats over SOAP and a Web API.
//!
//! The parts, from the inside out:
//!
//! * [`seats`]: the rules for seats. Facts in, decision out; no I/O, no clock.
//! * [`license`]: the rules for the numbers and the status of pools, and for activating what the issuer offers.
//! * [`chain`]: the history as a chain of hashes, and its verification. No I/O and no clock either.
//! * [`error`]: the errors that callers get, and the numbers of the codes.
//! * [`store`]: one short trait, and SQLite or PostgreSQL behind it. One method is one transaction: it reads the facts, asks the
//!   rules, writes their decision, commits, and only then answers.
//! * [`auth`]: checks passwords outside the async threads, in an order that is fair to each client, and remembers the result for a
//!   short time.
//! * [`service`]: the use cases, one function per operation: check the caller, ask the store, return the outcome.
//! * [`soap`]: envelopes and faults of SOAP 1.1 and 1.2. Knows no operation.
//! * [`contract`]: the one description of each operation; records, their types and names of calls. The surfaces share it.
//! * [`http`]: connections, bodies and addresses, with their limits; SOAP over HTTP; the layout of all pages. Knows no surface.
//! * The surfaces: [`asmx`], the service for agents; [`netserver`], the services for license tools over SOAP, and the Web API;
//!   [`admin`], the pages for administrators. WSDL, OpenAPI, pages, samples and dispatch follow from the description of the
//!   operations.
//! * [`routes`]: every route on one screen.
//! * [`metrics`], [`net`]: the metrics; which addresses count as one client.
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
//! | `http` | those, `contract` |
//! | `asmx`, `netserver`, `admin` | those, `http`; never each other |
//! | `routes`, then `config`, `cli`, `main` | everything above |
//!
//! A test compares the `use` lines with this table. axum appears only in `http`, `routes` and the surfaces, quick-xml only in `soap`, rusqlite
//! only in `store::sqlite` and the command line's SQL shell, tokio-postgres and deadpool only in `store::postgres`, rustls only there, in `net::tls` and in `http::tls`, ed25519-dalek only in `chain::sign`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod asmx;
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
pub mod netserver;
pub mod routes;
pub mod seats;
pub mod service;
pub mod soap;
pub mod store;
