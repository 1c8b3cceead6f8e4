//! The tests at the wire and against real stores, one binary. `harness` makes them short.

mod assign;
mod browser;
mod captures;
mod check;
mod cli;
mod clients;
mod conformance;
mod credentials;
mod documents;
mod flood;
mod harness;
mod hostile_sql;
mod kill;
mod layers;
mod limits;
mod malformed;
mod migration;
mod netserver_contract;
mod netserver_license;
mod netserver_soap;
mod operations;
mod program;
mod store;
mod validator;
mod wsdl;
