//! The one error of the edge: [`Kind`] and message for the caller, and a cause for the log only.

use std::fmt;
use std::time::Duration;

use crate::seats::Refusal;

/// What callers can branch on. Numbers and names of 0, 1, 2, 3, 52 and 53 are the vendor's; 1001 and up are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    UnexpectedError,
    /// Too many wrong passwords. Callers read `UnexpectedError`, which clients of the original service take for "later".
    Throttled,
    /// More sign-ins than passwords can be checked. Callers read `UnexpectedError`, likewise.
    Overloaded,
    InvalidInputParameters,
    /// The name of a call is invalid. Callers read `InvalidInputParameters`, likewise of the next.
    NameInvalid,
    /// The name of a call was used for another request.
    NameReused,
    InvalidSoapCredentials,
    /// There is no credential to check. Callers read `InvalidSoapCredentials`; the message says what is missing.
    CredentialMissing,
    AlreadyExists,
    ObjectEntityMismatch,
    NoLicensePool,
    LicenseExpired,
    NoFreeSeat,
    NotAssigned,
    AccessDenied,
    LicenseNotAccepted,
    NotSupported,
}

impl Kind {
    /// The number in `Result/Result`.
    pub const fn result(self) -> i32 {
        match self {
            Self::UnexpectedError | Self::Throttled | Self::Overloaded => 1,
            Self::InvalidInputParameters | Self::NameInvalid | Self::NameReused => 2,
            Self::InvalidSoapCredentials | Self::CredentialMissing => 3,
            Self::AlreadyExists => 52,
            Self::ObjectEntityMismatch => 53,
            Self::NoLicensePool => 1001,
            Self::LicenseExpired => 1002,
            Self::NoFreeSeat => 1003,
            Self::NotAssigned => 1004,
            Self::AccessDenied => 1005,
            Self::LicenseNotAccepted => 1006,
            Self::NotSupported => 1007,
        }
    }

    /// The name in `Result/Code`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnexpectedError | Self::Throttled | Self::Overloaded => "UnexpectedError",
            Self::InvalidInputParameters | Self::NameInvalid | Self::NameReused => "InvalidInputParameters",
            Self::InvalidSoapCredentials | Self::CredentialMissing => "InvalidSoapCredentials",
            Self::AlreadyExists => "AlreadyExists",
            Self::ObjectEntityMismatch => "ObjectEntityMismatch",
            Self::NoLicensePool => "NoLicensePool",
            Self::LicenseExpired => "LicenseExpired",
            Self::NoFreeSeat => "NoFreeSeat",
            Self::NotAssigned => "NotAssigned",
            Self::AccessDenied => "AccessDenied",
            Self::LicenseNotAccepted => "LicenseNotAccepted",
            Self::NotSupported => "NotSupported",
        }
    }

    /// The kind of a refusal with this `code` that is kept for a retry.
    pub fn of_refusal(code: &str) -> Option<Kind> {
        const KEPT: [Kind; 9] = [
            Kind::InvalidInputParameters,
            Kind::AlreadyExists,
            Kind::ObjectEntityMismatch,
            Kind::NoLicensePool,
            Kind::LicenseExpired,
            Kind::NoFreeSeat,
            Kind::NotAssigned,
            Kind::LicenseNotAccepted,
            Kind::NotSupported,
        ];
        KEPT.into_iter().find(|kind| kind.code() == code)
    }

    /// The name in the log and the metrics: `code`, except where operators must tell apart what callers need not.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Throttled => "Throttled",
            Self::Overloaded => "Overloaded",
            Self::NameReused => "NameReused",
            _ => self.code(),
        }
    }
}

impl From<&Refusal> for Kind {
    fn from(refusal: &Refusal) -> Kind {
        match refusal {
            Refusal::CallerUnknown => Kind::InvalidSoapCredentials,
            Refusal::RoleTooLow { .. } => Kind::AccessDenied,
            Refusal::Field { .. }
            | Refusal::TooMany { .. }
            | Refusal::ModuleUnknown { .. }
            | Refusal::TooManyOwners { .. } => Kind::InvalidInputParameters,
            Refusal::NameInvalid { .. } => Kind::NameInvalid,
            Refusal::NameReused { .. } => Kind::NameReused,
            Refusal::NameUnreadable { .. } => Kind::UnexpectedError,
            Refusal::Kept { code, .. } => Kind::of_refusal(code).unwrap_or(Kind::UnexpectedError),
            Refusal::EntityUnknown { .. }
            | Refusal::ProviderInactive { .. }
            | Refusal::AccountUnavailable { .. }
            | Refusal::AccountNotEnrolled { .. }
            | Refusal::SeatOfOthers { .. }
            | Refusal::OwnerUnknown { .. }
            | Refusal::AssociateUnknown { .. } => Kind::ObjectEntityMismatch,
            Refusal::AlreadyAssigned { .. } => Kind::AlreadyExists,
            Refusal::NoPool { .. } => Kind::NoLicensePool,
            Refusal::PoolExpired { .. } => Kind::LicenseExpired,
            Refusal::NoFreeSeat { .. } => Kind::NoFreeSeat,
            Refusal::NotAssigned { .. } => Kind::NotAssigned,
            Refusal::LicenseEnded { .. }
            | Refusal::LicenseTooSmall { .. }
            | Refusal::LicenseDates { .. }
            | Refusal::LicenseNotGranted { .. }
            | Refusal::LicenseInUse { .. }
            | Refusal::NothingOffered { .. }
            | Refusal::LicenseUnreadable { .. } => Kind::LicenseNotAccepted,
            Refusal::NotSupported => Kind::NotSupported,
        }
    }
}

/// When to retry a call that is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The service has too much to do.
    Soon,
    /// The caller asked too often.
    After(Duration),
}

/// Why a call did not do what it was asked to. `Display` is the sentence for the caller.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// When to call again, if that is worth it.
    pub retry: Option<Retry>,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// The service could not do its work; a retry is safe. `message` is for the caller, `cause` for the log only.
    pub fn unexpected(message: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error { kind: Kind::UnexpectedError, retry: None, message: message.into(), cause: Some(cause.into()) }
    }

    /// The call came without a credential. `message` says what is missing and where it belongs. It must follow from the
    /// call alone, so that it does not reveal which users exist.
    pub fn credential_missing(message: String) -> Error {
        Error { kind: Kind::CredentialMissing, retry: None, message, cause: None }
    }

    /// The caller must wait before the next sign-in; nothing was done.
    pub fn throttled(message: impl Into<String>, wait: Duration) -> Error {
        Error { kind: Kind::Throttled, retry: Some(Retry::After(wait)), message: message.into(), cause: None }
    }

    /// More calls of this kind wait than the service takes; nothing was done.
    pub fn overloaded(message: impl Into<String>) -> Error {
        Error { kind: Kind::Overloaded, retry: Some(Retry::Soon), message: message.into(), cause: None }
    }

    /// The same error, for a call that may succeed in a retry.
    pub fn with_retry(self, retry: Retry) -> Error {
        Error { retry: Some(retry), ..self }
    }

    /// The same error, with what it is about in front of its message.
    pub fn about(self, what: &str) -> Error {
        Error { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error { kind: Kind::from(&refusal), retry: None, message: refusal.to_string(), cause: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
