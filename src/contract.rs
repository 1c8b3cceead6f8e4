//! The description of a service's operations, shared by the surfaces: operations ([`operation`]), types of messages ([`types`]),
//! the contents of a message ([`record`]), editions, credentials in header blocks, names of calls ([`naming`]).
//!
//! An [`Operation`] is one value. Dispatch, decoding and encoding of messages, WSDL, OpenAPI, pages and sample messages all
//! read it, so the service cannot differ from its description.

pub mod credential;
pub mod edition;
pub mod naming;
pub mod operation;
pub mod record;
pub mod types;

pub(crate) use operation::log_outcome;
pub use operation::{Call, Contract, Done, End, Ended, Operation, Surface};
pub use types::{Array, ComplexType, Declared, EnumValue, Enumeration, Field, Kind, SERIALIZATION_ARRAYS};
