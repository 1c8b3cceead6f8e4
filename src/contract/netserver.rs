//! The NetServer contracts, as the vendor's license tools know them: SoPrincipal, for signing in, and License, both over
//! SOAP in several editions; License as a Web API too.
//!
//! An operation is described once, in [`LICENSE`] or [`SO_PRINCIPAL`]; every surface and edition reads and writes its
//! messages by that description, so that they cannot say different things of the same license. What an [`Edition`] added
//! is marked with it.

pub mod dates;
pub mod license;
pub mod openapi;
pub mod page;
pub mod principal;
pub mod swagger;
pub mod types;
pub mod web;
pub mod wsdl;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::edition::Edition;
use super::message::{Record, Value};
use uuid::Uuid;

use super::naming::SentName;
use super::{ComplexType, Field, Kind, log_outcome};
use crate::error::{Error, Kind as ErrorKind};
use crate::seats::{FieldFault, Refusal};
use crate::service::{CallContext, Identity, Service};
use crate::soap::envelope;
use crate::soap::excerpt;
use dates::Dates;

pub use license::LICENSE;
pub use principal::SO_PRINCIPAL;

/// One service, whatever its edition.
pub struct Contract {
    /// Port type, and part of every address and action.
    pub name: &'static str,
    /// Header blocks a request may have.
    pub header_blocks: &'static [Field],
    /// Of all editions.
    pub operations: &'static [Operation],
}

impl Contract {
    /// The operation of this name, whatever its edition.
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|o| o.name() == name)
    }

    /// This service in one edition.
    pub const fn edition(&'static self, edition: Edition) -> Endpoint {
        Endpoint { contract: self, edition }
    }
}

/// A service in one edition: an address, and the operations that are called there.
#[derive(Clone, Copy)]
pub struct Endpoint {
    pub contract: &'static Contract,
    /// One of [`Edition::SERVICES`].
    pub edition: Edition,
}

impl Endpoint {
    /// Every address of a SOAP service.
    pub fn all() -> impl Iterator<Item = Endpoint> {
        let services = |edition| [SO_PRINCIPAL.edition(edition), LICENSE.edition(edition)];
        Edition::SERVICES.into_iter().flat_map(services)
    }

    /// The path, as the vendor spells it.
    pub fn path(self) -> String {
        format!("/Remote/{}/{}.svc", self.edition.name(), self.contract.name)
    }

    pub const fn namespace(self) -> &'static str {
        self.edition.namespace()
    }

    pub fn operations(self) -> impl Iterator<Item = &'static Operation> {
        self.contract.operations.iter().filter(move |operation| operation.since <= self.edition)
    }

    /// The operation whose request has this element in its Body; otherwise the reason, for the caller.
    pub fn operation(self, namespace: &str, name: &str) -> Result<&'static Operation, String> {
        if namespace == self.namespace() {
            let operation = self.contract.operation(name).filter(|operation| operation.since <= self.edition);
            return operation.ok_or_else(|| self.explain_unknown(name));
        }
        let here = self.namespace();
        let (name, typed) = (excerpt(name), excerpt(namespace));
        Err(match Edition::of_namespace(namespace) {
            Edition::First => format!(
                "There is no operation '{name}' of namespace '{typed}' at this address. Its namespace is '{here}'."
            ),
            edition => format!(
                "This address is for messages of namespace '{here}', and the message is of '{typed}'. Send it to \
                 {}, or make the client from the WSDL of this address.",
                self.contract.edition(edition).path()
            ),
        })
    }

    fn explain_unknown(self, name: &str) -> String {
        let unknown =
            format!("There is no operation '{}' of namespace '{}' at this address", excerpt(name), self.namespace());
        let elsewhere = Endpoint::all().find(|endpoint| endpoint.operations().any(|o| o.name() == name));
        match elsewhere {
            Some(later) if later.contract.name == self.contract.name => {
                format!("{unknown}. It is new in {}: use {}.", later.edition.name(), later.path())
            }
            Some(other) => format!("{unknown}. It is one of {}.", other.contract.edition(self.edition).path()),
            None => format!("{unknown}."),
        }
    }
}

/// Header blocks of every answer, in this order.
pub static ANSWER_BLOCKS: [Field; 4] = [EXCEPTION_INFO, EXTRA_INFO, SUCCEEDED, TIME_ZONE];

pub const APPLICATION_TOKEN: Field = Field::new("ApplicationToken", Kind::String);
pub const CREDENTIALS: Field = Field::new("Credentials", Kind::Complex(&types::SO_CREDENTIALS));
pub const TIME_ZONE: Field = Field::new("TimeZone", Kind::Complex(&types::SO_TIME_ZONE));
pub const EXCEPTION_INFO: Field = Field::new("ExceptionInfo", Kind::Complex(&types::SO_EXCEPTION_INFO));
pub const EXTRA_INFO: Field = Field::new("ExtraInfo", Kind::Declared(&types::SO_EXTRA_INFO));
pub const SUCCEEDED: Field = Field::new("Succeeded", Kind::Boolean);

/// Whether a namespace is that of an edition.
pub fn is_own(namespace: &str) -> bool {
    Edition::of_namespace(namespace) != Edition::First
}

/// Whether a request may have this header block.
pub fn is_block(namespace: &str, name: &str) -> bool {
    [APPLICATION_TOKEN, CREDENTIALS, TIME_ZONE].iter().any(|block| block.name == name) && is_own(namespace)
}

/// One operation: the elements that stand in the Body of its messages, and the work.
pub struct Operation {
    /// For people.
    pub documentation: &'static str,
    /// The request element.
    pub input: &'static ComplexType,
    /// The answer's element.
    pub output: &'static ComplexType,
    /// `false`: every call is refused.
    pub is_supported: bool,
    /// Whether it assigns or releases seats, so that the state of pools and seats may refuse it.
    pub changes_seats: bool,
    /// Whether it changes something, so that its caller may want to name the call.
    pub changes: bool,
    /// The edition that added it.
    pub since: Edition,
    run: Run,
}

impl Operation {
    const fn new(
        documentation: &'static str,
        input: &'static ComplexType,
        output: &'static ComplexType,
        run: Run,
    ) -> Operation {
        let since = Edition::First;
        Operation { documentation, input, output, is_supported: true, changes_seats: false, changes: false, since, run }
    }

    const fn not_supported(self) -> Operation {
        Operation { is_supported: false, ..self }
    }

    const fn changes_seats(self) -> Operation {
        Operation { changes_seats: true, changes: true, ..self }
    }

    const fn changes(self) -> Operation {
        Operation { changes: true, ..self }
    }

    const fn since(self, edition: Edition) -> Operation {
        Operation { since: edition, ..self }
    }

    /// As it is called on every surface.
    pub fn name(&self) -> &'static str {
        self.input.name
    }

    /// Runs a call, under the name that its caller gave it; counts it, and logs a refusal.
    pub async fn call(&self, mut call: Call) -> Answered {
        if let Some(name) = call.name.take() {
            // The same on all surfaces: a retry may take another one.
            name.name(&mut call.context, "NetServer", self.name(), Some(&call.arguments));
        }
        let (service, context) = (Arc::clone(&call.service), call.context.clone());
        let outcome = (self.run)(call).await;
        let refused = outcome.as_ref().map_or_else(Some, |done| done.refused.as_ref());
        log_outcome(self.name(), &service.metrics, &context, refused);
        Answered { outcome: outcome.map(|done| done.answer), id: context.answer_id() }
    }
}

/// Does the operation's work.
pub type Run = fn(Call) -> Pin<Box<dyn Future<Output = Result<Done, Error>> + Send>>;

/// How a call ended.
pub struct Answered {
    pub outcome: Result<Record, Error>,
    /// The id that stands in the answer.
    pub id: Uuid,
}

/// What a call came to.
pub struct Done {
    /// Of the operation's `output`.
    pub answer: Record,
    /// The refusal that the answer carries, if it is one.
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
    /// What the caller calls it.
    pub name: Option<SentName>,
    /// As [`Operation::changes`] says.
    pub changes: bool,
    /// How the caller writes date-times and wants to read them.
    pub dates: Dates,
    /// Of the operation's `input`.
    pub arguments: Record,
    /// How much XML is read from an argument that holds some.
    pub xml_limits: envelope::Limits,
}

impl Call {
    /// A required argument. Unauthenticated callers must not learn what a call needs.
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

    /// The error for a call with invalid arguments: that its caller is not signed in, or else the refusal.
    async fn refuse(&self, refusal: Refusal) -> Error {
        match self.changes {
            true => self.service.refuse_change(&self.context, &self.identity, refusal).await,
            false => self.service.refuse(&self.context, &self.identity, refusal).await,
        }
    }
}

/// Name of the exception for an error of this kind, without its namespace `SuperOffice.Exceptions`.
pub const fn exception(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSoapCredentials | ErrorKind::CredentialMissing => "SoSessionException",
        ErrorKind::InvalidInputParameters | ErrorKind::NameInvalid | ErrorKind::NameReused => {
            "SoInvalidArgumentException"
        }
        ErrorKind::AccessDenied => "SoSentryException",
        ErrorKind::ObjectEntityMismatch => "SoNotFoundException",
        ErrorKind::AlreadyExists
        | ErrorKind::NoLicensePool
        | ErrorKind::LicenseExpired
        | ErrorKind::NoFreeSeat
        | ErrorKind::NotAssigned
        | ErrorKind::LicenseNotAccepted => "SoLicenseException",
        ErrorKind::NotSupported => "SoNotSupportedException",
        ErrorKind::UnexpectedError | ErrorKind::Throttled | ErrorKind::Overloaded => "SoServerException",
    }
}

/// The text of an error for the caller. Callers sign in for a ticket here, unlike on the ASMX service.
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
        assert_eq!((LICENSE.operations.len(), SO_PRINCIPAL.operations.len()), (22, 5));
        for operation in LICENSE.operations {
            assert_eq!(operation.output.name, format!("{}Response", operation.name()));
            assert_eq!(operation.output.fields.iter().map(|f| f.name).collect::<Vec<_>>(), ["Response"]);
            let documentation = operation.documentation;
            assert!(documentation.ends_with('.'), "{documentation}");
            assert_eq!(documentation.ends_with("Not supported."), !operation.is_supported, "{documentation}");
        }
    }
}
