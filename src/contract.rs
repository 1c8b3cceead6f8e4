//! Contracts: what operations a service has, described once.
//!
//! An [`Operation`] is one value. Dispatch, decoding and encoding of messages, WSDL, help pages and sample messages all
//! read it, so what is served cannot drift from what is described.

pub mod asmx;
pub mod help;
pub mod message;
pub mod wsdl;

use std::future::Future;
use std::pin::Pin;

use crate::service::{AuthHeader, CallContext, Service};
use message::Record;

/// One service of document/literal operations that share a namespace and the AuthHeader block.
pub struct Contract {
    pub service: &'static str,
    pub namespace: &'static str,
    pub operations: &'static [Operation],
}

impl Contract {
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|o| o.name == name)
    }

    /// The SOAPAction of an operation (WSDL 1.1 §3.4): namespace, slash, name.
    pub fn soap_action(&self, operation: &Operation) -> String {
        format!("{}/{}", self.namespace, operation.name)
    }
}

/// One operation: its wrapper element holds one `request`, its answer one `<name>Result`.
pub struct Operation {
    pub name: &'static str,
    /// For people; stands in the WSDL and on the help page.
    pub documentation: &'static str,
    /// Type of `request`.
    pub input: &'static ComplexType,
    /// Type of `<name>Result`.
    pub output: &'static ComplexType,
    /// Names of the wrapper elements; fixed strings so that the writer need not build them for each answer.
    pub response: &'static str,
    pub result: &'static str,
    pub run: Run,
}

/// Does the operation's work; `None`: the message held no request. Refusals are part of the record.
pub type Run = for<'a> fn(&'a Service, &'a CallContext, Option<AuthHeader>, Option<Record>) -> Answer<'a>;

pub type Answer<'a> = Pin<Box<dyn Future<Output = Record> + Send + 'a>>;

/// A sequence of elements.
pub struct ComplexType {
    pub name: &'static str,
    pub fields: &'static [Field],
}

pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
}

/// What an element holds. Which of them must be there follows .NET's rule: values of reference types (string, class)
/// may be left out, those of value types (int, enumeration) may not.
#[derive(Clone, Copy)]
pub enum Kind {
    String,
    Int,
    Enumeration(&'static Enumeration),
    Complex(&'static ComplexType),
}

impl Kind {
    pub const fn min_occurs(self) -> &'static str {
        match self {
            Kind::String | Kind::Complex(_) => "0",
            Kind::Int | Kind::Enumeration(_) => "1",
        }
    }
}

/// A string that is one of a few.
pub struct Enumeration {
    pub name: &'static str,
    pub values: &'static [&'static str],
}
