//! The NetServer contracts, as the vendor's license tools know them: SoPrincipal, where one signs in, and License, both
//! over SOAP; License as a Web API too.
//!
//! An operation is described once, in [`LICENSE`] or [`SO_PRINCIPAL`]; every surface reads and writes its messages by
//! that description, so that SOAP and the Web API cannot tell different things of the same license.

pub mod dates;
pub mod license;
pub mod openapi;
pub mod page;
pub mod principal;
pub mod types;
pub mod web;
pub mod wsdl;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::message::{Record, Value};
use super::{ComplexType, Field, Kind, log_outcome};
use crate::error::{Error, Kind as ErrorKind};
use crate::seats::{FieldFault, Refusal};
use crate::service::{CallContext, Identity, Service};
use crate::soap::envelope;
use dates::Dates;

pub use license::LICENSE;
pub use principal::SO_PRINCIPAL;

/// Namespace of every message element, header block and type.
pub const NAMESPACE: &str = "http://www.superoffice.net/ws/crm/NetServer/Services86";

/// One service: an address, and the operations that are called there.
pub struct Contract {
    /// Port type, and part of every action.
    pub name: &'static str,
    /// The path, as the vendor spells it.
    pub path: &'static str,
    /// Header blocks a request may have.
    pub header_blocks: &'static [Field],
    pub operations: &'static [Operation],
}

impl Contract {
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|o| o.name() == name)
    }
}

/// Header blocks of every answer, in this order.
pub static ANSWER_BLOCKS: [Field; 4] = [EXCEPTION_INFO, EXTRA_INFO, SUCCEEDED, TIME_ZONE];

pub const APPLICATION_TOKEN: Field = Field { name: "ApplicationToken", kind: Kind::String };
pub const CREDENTIALS: Field = Field { name: "Credentials", kind: Kind::Complex(&types::SO_CREDENTIALS) };
pub const TIME_ZONE: Field = Field { name: "TimeZone", kind: Kind::Complex(&types::SO_TIME_ZONE) };
pub const EXCEPTION_INFO: Field = Field { name: "ExceptionInfo", kind: Kind::Complex(&types::SO_EXCEPTION_INFO) };
pub const EXTRA_INFO: Field = Field { name: "ExtraInfo", kind: Kind::Declared(&types::SO_EXTRA_INFO) };
pub const SUCCEEDED: Field = Field { name: "Succeeded", kind: Kind::Boolean };

/// Whether a request may have a header block of this name.
pub fn is_block(name: &str) -> bool {
    [APPLICATION_TOKEN, CREDENTIALS, TIME_ZONE].iter().any(|block| block.name == name)
}

/// One operation: the elements that stand in the Body of its messages, and the work.
pub struct Operation {
    /// For people.
    pub documentation: &'static str,
    /// The request element.
    pub input: &'static ComplexType,
    /// The answer's element.
    pub output: &'static ComplexType,
    /// Whether it does anything but say that it is not supported.
    pub is_supported: bool,
    /// Whether it assigns seats or takes them away, and so may be refused by what there is.
    pub changes_seats: bool,
    run: Run,
}

impl Operation {
    const fn new(
        documentation: &'static str,
        input: &'static ComplexType,
        output: &'static ComplexType,
        run: Run,
    ) -> Operation {
        Operation { documentation, input, output, is_supported: true, changes_seats: false, run }
    }

    pub const fn not_supported(self) -> Operation {
        Operation { is_supported: false, ..self }
    }

    const fn changes_seats(self) -> Operation {
        Operation { changes_seats: true, ..self }
    }

    /// As it is called on every surface.
    pub fn name(&self) -> &'static str {
        self.input.name
    }

    /// Runs a call; counts it, and logs a refusal.
    pub async fn call(&self, call: Call) -> Result<Record, Error> {
        let (service, context) = (Arc::clone(&call.service), call.context.clone());
        let outcome = (self.run)(call).await;
        let refused = outcome.as_ref().map_or_else(Some, |done| done.refused.as_ref());
        log_outcome(self.name(), &service.metrics, &context, refused);
        outcome.map(|done| done.answer)
    }
}

/// Does the operation's work.
pub type Run = fn(Call) -> Pin<Box<dyn Future<Output = Result<Done, Error>> + Send>>;

/// What a call came to.
pub struct Done {
    /// Of the operation's `output`.
    pub answer: Record,
    /// Why the answer is no, where it is one.
    pub refused: Option<Error>,
}

impl From<Record> for Done {
    fn from(answer: Record) -> Done {
        Done { answer, refused: None }
    }
}

/// A call of an operation, from whatever surface.
pub struct Call {
    pub service: Arc<Service>,
    pub context: CallContext,
    pub identity: Identity,
    /// How the caller writes date-times and wants to read them.
    pub dates: Dates,
    /// Of the operation's `input`.
    pub arguments: Record,
    /// How much XML is read from an argument that holds some.
    pub xml_limits: envelope::Limits,
}

impl Call {
    /// An argument that must be there. Nobody who is not signed in learns what a call needs.
    async fn required<T>(&self, name: &'static str, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(value) => Ok(value),
            None => Err(self.refuse(Refusal::field(name, FieldFault::Empty)).await),
        }
    }

    async fn required_string(&mut self, name: &'static str) -> Result<String, Error> {
        let value = self.arguments.take_string(name).filter(|value| !value.trim().is_empty());
        self.required(name, value).await
    }

    async fn required_id(&mut self, name: &'static str) -> Result<i32, Error> {
        match self.arguments.take_int(name) {
            Some(id) if id < 1 => Err(self.refuse(Refusal::field(name, FieldFault::NotPositive)).await),
            id => self.required(name, id).await,
        }
    }

    /// The id of an associate that is only looked at. 0 is the caller's own; `None`: the caller has no account.
    async fn associate(&mut self, name: &'static str) -> Result<Option<i32>, Error> {
        match self.arguments.take_int(name) {
            Some(0) => Ok(self.service.principal(&self.context, &self.identity).await?.associate_id),
            Some(id) if id < 0 => Err(self.refuse(Refusal::field(name, FieldFault::Negative)).await),
            id => self.required(name, id).await.map(Some),
        }
    }

    /// Refuses a text whose bytes could not be read, wherever it stands in the arguments.
    async fn require_decoded(&self) -> Result<(), Error> {
        match self.arguments.undecoded() {
            Some(name) => Err(self.refuse(Refusal::field(name, FieldFault::Undecoded)).await),
            None => Ok(()),
        }
    }

    /// What to answer to a call that cannot be meant: that it cannot, or if so that its caller is not signed in.
    async fn refuse(&self, refusal: Refusal) -> Error {
        self.service.principal(&self.context, &self.identity).await.err().unwrap_or_else(|| refusal.into())
    }
}

/// Name of the exception that tells of an error of this kind, without its namespace `SuperOffice.Exceptions`.
pub const fn exception(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSoapCredentials => "SoSessionException",
        ErrorKind::InvalidInputParameters => "SoInvalidArgumentException",
        ErrorKind::AccessDenied => "SoSentryException",
        ErrorKind::ObjectEntityMismatch => "SoNotFoundException",
        ErrorKind::AlreadyExists
        | ErrorKind::NoLicensePool
        | ErrorKind::LicenseExpired
        | ErrorKind::NoFreeSeat
        | ErrorKind::NotAssigned
        | ErrorKind::LicenseNotAccepted => "SoLicenseException",
        ErrorKind::NotSupported => "SoNotSupportedException",
        ErrorKind::UnexpectedError => "SoServerException",
    }
}

/// What the caller is told of an error. How to sign in is another matter here than on the ASMX service.
pub fn explain(error: &Error) -> String {
    match error.kind {
        ErrorKind::InvalidSoapCredentials => {
            "A valid session is missing. Sign in, and send the ticket of that sign-in; it ends 6 hours after its last use."
                .to_owned()
        }
        _ => error.to_string(),
    }
}

fn string(value: impl Into<String>) -> Value {
    Value::String(value.into())
}

/// Numbers of seats fit: a pool has ten million at most. Of hundreds of full pools the sum is capped.
fn int(value: i64) -> Value {
    Value::Int(i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What readers of the tables may rely on.
    #[test]
    fn operations_are_described_alike() {
        assert_eq!((LICENSE.operations.len(), SO_PRINCIPAL.operations.len()), (19, 5));
        for operation in LICENSE.operations {
            assert_eq!(operation.output.name, format!("{}Response", operation.name()));
            assert_eq!(operation.output.fields.iter().map(|f| f.name).collect::<Vec<_>>(), ["Response"]);
            let documentation = operation.documentation;
            assert!(documentation.ends_with('.'), "{documentation}");
            assert_eq!(documentation.ends_with("Not supported."), !operation.is_supported, "{documentation}");
        }
    }
}
