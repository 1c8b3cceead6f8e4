//! Contracts: what operations a service has, described once.
//!
//! An [`Operation`] is one value. Dispatch, decoding and encoding of messages, WSDL, help pages and sample messages all
//! read it, so what is served cannot drift from what is described.

pub mod asmx;
pub mod credential;
pub mod edition;
pub mod help;
pub mod message;
pub mod naming;
pub mod netserver;
pub mod sample;
pub mod wsdl;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, error, info};

use crate::error::{Error, Kind as ErrorKind};
use crate::metrics::Metrics;
use crate::service::{CallContext, Identity, Service};
use crate::store::Holder;
use asmx::CONTRACT;
use edition::Edition;
use message::Record;
use naming::SentName;

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
    /// Whether it changes something, so that its caller may want to name the call.
    pub changes: bool,
    pub run: Run,
}

impl Operation {
    /// Runs a call, under the name that its caller gave it.
    pub async fn call(&self, mut call: Invocation, name: Option<SentName>) -> Answer {
        if let Some(name) = name {
            name.name(&mut call.context, CONTRACT.service, self.name, call.request.as_ref());
        }
        (self.run)(call).await
    }
}

/// Does the operation's work. Refusals are part of the answer.
pub type Run = fn(Invocation) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A call of an operation.
pub struct Invocation {
    pub service: Arc<Service>,
    pub context: CallContext,
    pub identity: Identity,
    /// `None`: the message held no request.
    pub request: Option<Record>,
}

/// What is written into `<name>Result`.
pub enum Answer {
    Whole(Record),
    /// Too many rows to hold at once: one field is an array that is written as its rows come.
    Streamed(Streamed),
}

/// See [`Answer::Streamed`].
pub struct Streamed {
    /// The array; the first field of the type.
    pub array: &'static str,
    /// What has come already.
    pub first: Vec<Holder>,
    pub pages: mpsc::Receiver<Vec<Holder>>,
    pub to_record: fn(Holder) -> Record,
    /// The other fields, known when the last page has come.
    pub rest: JoinHandle<Record>,
}

/// Counts a call, and logs it under the id that the answer and the audit have.
pub fn log_outcome(operation: &'static str, metrics: &Metrics, context: &CallContext, refused: Option<&Error>) {
    let code = refused.map_or("Success", |refused| refused.kind.outcome());
    if let Some(original) = context.original() {
        metrics.replays.inc();
        metrics.count_call(operation, code);
        info!(request_id = %context.id, error_id = %original.id, operation, code, "answered again: a replay of call {}", original.id);
        return;
    }
    let Some(refused) = refused else {
        metrics.count_call(operation, code);
        debug!(request_id = %context.id, operation, "done");
        return;
    };
    let id = context.id;
    match std::error::Error::source(refused) {
        Some(cause) if refused.kind == ErrorKind::UnexpectedError => {
            error!(error_id = %id, operation, code, %cause, "{refused}");
        }
        _ => info!(error_id = %id, operation, code, "{refused}"),
    }
    metrics.count_call(operation, code);
}

/// A sequence of elements.
pub struct ComplexType {
    pub name: &'static str,
    pub fields: &'static [Field],
}

pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// The edition that added it.
    pub since: Edition,
}

impl Field {
    /// A field of all editions.
    pub const fn new(name: &'static str, kind: Kind) -> Field {
        Field { name, kind, since: Edition::First }
    }

    /// The same field, which older editions do not have.
    pub const fn since(self, edition: Edition) -> Field {
        Field { since: edition, ..self }
    }
}

/// What an element holds. Which of them must be there follows .NET's rule: values of reference types (string, class,
/// array) may be left out, those of value types (int, bool, enumeration) may not; a value that can be null is nillable.
#[derive(Clone, Copy)]
pub enum Kind {
    String,
    Int,
    Boolean,
    Base64,
    /// A time or null; `xsi:nil` then.
    NullableDateTime,
    /// A time as text, in the zone and form of the caller it is for.
    DateTime,
    Enumeration(&'static Enumeration),
    Complex(&'static ComplexType),
    Array(&'static Array),
    /// Any number of strings, in elements `string` of .NET's own namespace ([`SERIALIZATION_ARRAYS`]).
    Strings,
    /// Any number of ints, likewise.
    Ints,
    /// Something that contracts declare and this service does not use: null when written, ignored when read.
    Declared(&'static Declared),
}

/// Namespace of .NET's arrays of simple types.
pub const SERIALIZATION_ARRAYS: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";

/// See [`Kind::Declared`].
pub enum Declared {
    /// Pairs of a key and a value of this kind, each pair in an element of this name.
    Dictionary { name: &'static str, pair: &'static str, value: Kind },
    /// Any of these names, separated by blanks.
    Flags(Enumeration),
    /// A structure of another namespace.
    DsaParameters,
}

impl Kind {
    pub const fn min_occurs(self) -> &'static str {
        match self {
            Kind::Int | Kind::Boolean | Kind::NullableDateTime | Kind::DateTime | Kind::Enumeration(_) => "1",
            _ => "0",
        }
    }

    /// Whether it is of a reference type of .NET, which can be null.
    pub const fn is_reference(self) -> bool {
        match self {
            Kind::Int | Kind::Boolean | Kind::DateTime | Kind::Enumeration(_) => false,
            Kind::Declared(declared) => matches!(declared, Declared::Dictionary { .. }),
            _ => true,
        }
    }
}

/// A string that is one of a few.
pub struct Enumeration {
    pub name: &'static str,
    pub values: &'static [EnumValue],
}

impl Enumeration {
    /// The values of an edition, in their order.
    pub fn values(&self, edition: Edition) -> impl Iterator<Item = &'static EnumValue> {
        self.values.iter().filter(move |value| value.since <= edition)
    }

    /// Their names.
    pub fn names(&self, edition: Edition) -> Vec<&'static str> {
        self.values(edition).map(|value| value.name).collect()
    }

    /// The value of this name, in any case, or of this number: some clients send it instead of the name.
    pub fn value(&self, text: &str) -> Option<&'static str> {
        let text = text.trim();
        let named = self.values.iter().find(|value| value.name.eq_ignore_ascii_case(text));
        named.map(|value| value.name).or_else(|| self.numbered(text.parse().ok()?))
    }

    /// The value of this number.
    pub fn numbered(&self, number: i32) -> Option<&'static str> {
        let mut numbers = (0..).zip(self.values).map(|(place, value)| (value.number.unwrap_or(place), value.name));
        numbers.find(|(own, _)| *own == number).map(|(_, name)| name)
    }
}

/// One value of an [`Enumeration`].
pub struct EnumValue {
    pub name: &'static str,
    /// The number behind the name; `None`: its place among the values, counted from 0.
    pub number: Option<i32>,
    /// The edition that added it.
    pub since: Edition,
}

impl EnumValue {
    /// A value of all editions.
    pub const fn new(name: &'static str) -> EnumValue {
        EnumValue { name, number: None, since: Edition::First }
    }

    /// The same value with a number that is not its place.
    pub const fn number(self, number: i32) -> EnumValue {
        EnumValue { number: Some(number), ..self }
    }

    /// The same value, which older editions do not have.
    pub const fn since(self, edition: Edition) -> EnumValue {
        EnumValue { since: edition, ..self }
    }
}

/// Any number of one type, each in an element of the type's name.
pub struct Array {
    pub name: &'static str,
    pub item: &'static ComplexType,
}
