//! The NetServer contracts for the vendor's license tools: SoPrincipal, for signing in, and License, both over SOAP in several
//! editions; License also as a Web API.
//!
//! An operation is described once, in [`LICENSE`] or [`SO_PRINCIPAL`]. Every surface and edition reads and writes its messages by
//! that description, so that they cannot describe a license differently. A member or operation that an [`Edition`] added is
//! marked with it.

pub mod dates;
pub(crate) mod endpoint;
pub mod license;
mod page;
pub mod principal;
pub mod types;
pub mod web_api;
pub mod wsdl;

use std::sync::Arc;

use crate::contract::edition::Edition;
use crate::contract::naming::{self, SentName};
use crate::contract::record::{Record, Value};
use crate::contract::{self, Field, Kind, Surface};
use crate::error::{Error, ErrorKind};
use crate::http::site::Received;
use crate::seats::{FieldFault, Refusal};
use crate::service::Identity;
use crate::soap::{envelope, excerpt};
use dates::DateForm;

pub use license::LICENSE;
pub use principal::SO_PRINCIPAL;

/// The services for license tools, whichever way they are called.
pub struct NetServer;

impl Surface for NetServer {
    type Extra = Extra;
    type Answer = Record;
}

pub type Contract = contract::Contract<NetServer>;
pub type Operation = contract::Operation<NetServer>;
pub type Call = contract::Call<NetServer>;
pub type Done = contract::Done<Record>;

/// How a call is read and answered.
pub struct Extra {
    /// How the caller writes and reads date-times.
    dates: DateForm,
    /// Limits for XML inside an argument.
    xml_limits: envelope::Limits,
}

impl Contract {
    /// This service in one edition.
    pub const fn edition(&'static self, edition: Edition) -> Endpoint {
        Endpoint { contract: self, edition }
    }
}

/// A service in one edition: an address, and its operations.
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
        let elsewhere = Endpoint::all().find(|endpoint| endpoint.operations().any(|o| o.name == name));
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

impl Call {
    /// The call that a request makes. `name`: given by the caller.
    fn of(
        received: &Received,
        operation: &'static Operation,
        identity: Identity,
        name: Option<SentName>,
        dates: DateForm,
        arguments: Record,
    ) -> Call {
        let Received { site, limits, context, .. } = received;
        let mut context = context.clone();
        // The same on all surfaces, because a retry may use another one.
        naming::name_call(&mut context, name, "NetServer", operation.name, Some(&arguments));
        let extra = Extra { dates, xml_limits: limits.xml.clone() };
        Call { operation, service: Arc::clone(&site.service), context, identity, arguments, extra }
    }

    fn dates(&self) -> DateForm {
        self.extra.dates
    }

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

    /// The id of an associate, for a call that only reads. 0 is the caller's own account; `None`: the caller has no account.
    async fn associate(&mut self, name: &'static str) -> Result<Option<i32>, Error> {
        match self.arguments.take_int(name) {
            Some(0) => Ok(self.service.principal(&self.context, &self.identity).await?.associate_id),
            Some(id) if id < 0 => Err(self.refuse(Refusal::field(name, FieldFault::Negative)).await),
            id => self.required(name, id).await.map(Some),
        }
    }

    /// Refuses a text with undecodable bytes, anywhere in the arguments.
    async fn require_decoded(&self) -> Result<(), Error> {
        match self.arguments.undecoded() {
            Some(name) => Err(self.refuse(Refusal::field(name, FieldFault::Undecoded)).await),
            None => Ok(()),
        }
    }

    /// The error for a call with invalid arguments: the refusal, unless its caller is not signed in.
    async fn refuse(&self, refusal: Refusal) -> Error {
        match self.operation.changes {
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

/// The text of an error for the caller. It mentions tickets, because callers sign in for one, unlike on the ASMX service.
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

/// The seats of one pool fit, because it has ten million at most. The sum over hundreds of full pools is capped.
fn int(value: i64) -> Value {
    Value::Int(i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Properties of the tables that their readers rely on.
    #[test]
    fn operations_are_described_alike() {
        assert_eq!((LICENSE.operations.len(), SO_PRINCIPAL.operations.len()), (22, 5));
        for operation in LICENSE.operations {
            assert_eq!(operation.output.name, format!("{}Response", operation.name));
            assert_eq!(operation.output.fields.iter().map(|f| f.name).collect::<Vec<_>>(), ["Response"]);
            let documentation = operation.documentation;
            assert!(documentation.ends_with('.'), "{documentation}");
            assert_eq!(documentation.ends_with("Not supported."), !operation.is_supported, "{documentation}");
        }
    }
}
