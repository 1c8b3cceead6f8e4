//! The one error of the edge: [`ErrorKind`] and message for the caller, and a cause for the log only.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::seats::{LicenseType, Refusal};

/// The errors that callers can branch on. Numbers and names of 0, 1, 2, 3, 52 and 53 are the vendor's; 1001 and up are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    UnexpectedError,
    /// Too many wrong passwords. Callers get `UnexpectedError`, which clients of the original service understand as "later".
    Throttled,
    /// Too many sign-ins at once. Callers get `UnexpectedError` too.
    Overloaded,
    InvalidInputParameters,
    /// The name of a call is invalid. Callers get `InvalidInputParameters`.
    NameInvalid,
    /// The name of a call was used for another request. Callers get `InvalidInputParameters`.
    NameReused,
    InvalidSoapCredentials,
    /// There is no credential to check. Callers get `InvalidSoapCredentials`; the message says what is missing.
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

impl ErrorKind {
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
    pub fn of_refusal(code: &str) -> Option<ErrorKind> {
        const KEPT: [ErrorKind; 9] = [
            ErrorKind::InvalidInputParameters,
            ErrorKind::AlreadyExists,
            ErrorKind::ObjectEntityMismatch,
            ErrorKind::NoLicensePool,
            ErrorKind::LicenseExpired,
            ErrorKind::NoFreeSeat,
            ErrorKind::NotAssigned,
            ErrorKind::LicenseNotAccepted,
            ErrorKind::NotSupported,
        ];
        KEPT.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether a caller that gets it was proved, if it sent something to prove.
    pub const fn is_of_a_proved_caller(self) -> bool {
        !matches!(
            self,
            Self::InvalidSoapCredentials
                | Self::CredentialMissing
                | Self::Throttled
                | Self::Overloaded
                | Self::UnexpectedError
        )
    }

    /// The name in the log and the metrics: `code`, except where operators need a distinction that callers do not.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Throttled => "Throttled",
            Self::Overloaded => "Overloaded",
            Self::NameReused => "NameReused",
            _ => self.code(),
        }
    }
}

impl From<&Refusal> for ErrorKind {
    fn from(refusal: &Refusal) -> ErrorKind {
        match refusal {
            Refusal::CallerUnknown => ErrorKind::InvalidSoapCredentials,
            Refusal::RoleTooLow { .. } => ErrorKind::AccessDenied,
            Refusal::Field { .. }
            | Refusal::TooMany { .. }
            | Refusal::ModuleUnknown { .. }
            | Refusal::TooManyOwners { .. } => ErrorKind::InvalidInputParameters,
            Refusal::NameInvalid { .. } => ErrorKind::NameInvalid,
            Refusal::NameReused { .. } => ErrorKind::NameReused,
            Refusal::NameUnreadable { .. } => ErrorKind::UnexpectedError,
            Refusal::Kept { code, .. } => ErrorKind::of_refusal(code).unwrap_or(ErrorKind::UnexpectedError),
            Refusal::EntityUnknown { .. }
            | Refusal::ProviderInactive { .. }
            | Refusal::AccountUnavailable { .. }
            | Refusal::AccountNotEnrolled { .. }
            | Refusal::SeatOfOthers { .. }
            | Refusal::OwnerUnknown { .. }
            | Refusal::AssociateUnknown { .. } => ErrorKind::ObjectEntityMismatch,
            Refusal::AlreadyAssigned { .. } => ErrorKind::AlreadyExists,
            Refusal::NoPool { .. } => ErrorKind::NoLicensePool,
            Refusal::PoolExpired { .. } => ErrorKind::LicenseExpired,
            Refusal::NoFreeSeat { .. } => ErrorKind::NoFreeSeat,
            Refusal::NotAssigned { .. } => ErrorKind::NotAssigned,
            Refusal::LicenseEnded { .. }
            | Refusal::LicenseTooSmall { .. }
            | Refusal::LicenseDates { .. }
            | Refusal::LicenseNotGranted { .. }
            | Refusal::LicenseInUse { .. }
            | Refusal::NothingOffered { .. }
            | Refusal::LicenseUnreadable { .. } => ErrorKind::LicenseNotAccepted,
            Refusal::NotSupported => ErrorKind::NotSupported,
        }
    }
}

/// When to retry a call that is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The service is too busy.
    Soon,
    /// The caller called too often.
    After(Duration),
}

/// Why a call failed. `Display` is the sentence for the caller.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// The reason in the log and the metrics: one of a few words, finer than the kind.
    pub reason: &'static str,
    /// When to retry, if a retry can succeed.
    pub retry: Option<Retry>,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    concerns: Option<Box<Concerns>>,
}

/// The subject of a refused call, for administrators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concerns {
    /// `None`: not proved.
    pub who: Option<Who>,
    pub entity_id: Option<i32>,
    pub username: Option<String>,
    pub license_type: Option<LicenseType>,
}

/// By whom a call was made, as far as that is known when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    Name(String),
    /// The id of a ticket.
    Ticket(Uuid),
    /// The id of a session of the pages for administrators.
    Session(Uuid),
}

impl Error {
    /// The service failed. A retry is safe, also if it is unknown whether the change was made. `message` is for the caller,
    /// `cause` for the log only.
    pub fn unexpected(message: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error {
            kind: ErrorKind::UnexpectedError,
            reason: "internal",
            retry: None,
            message: message.into(),
            cause: Some(cause.into()),
            concerns: None,
        }
    }

    /// The call has no credential. `message` says what is missing and where it belongs. It must depend on the call alone, so that
    /// it does not reveal which users exist.
    pub fn credential_missing(message: String) -> Error {
        Error {
            kind: ErrorKind::CredentialMissing,
            reason: "credential_missing",
            retry: None,
            message,
            cause: None,
            concerns: None,
        }
    }

    /// The caller must wait before the next sign-in; nothing was done.
    pub fn throttled(message: impl Into<String>, wait: Duration) -> Error {
        Error {
            kind: ErrorKind::Throttled,
            reason: "throttled",
            retry: Some(Retry::After(wait)),
            message: message.into(),
            cause: None,
            concerns: None,
        }
    }

    /// Too many calls of this kind wait; nothing was done.
    pub fn overloaded(message: impl Into<String>) -> Error {
        Error {
            kind: ErrorKind::Overloaded,
            reason: "sign_ins_waiting",
            retry: Some(Retry::Soon),
            message: message.into(),
            cause: None,
            concerns: None,
        }
    }

    /// The same error, for a call that may succeed in a retry.
    pub fn with_retry(self, retry: Retry) -> Error {
        Error { retry: Some(retry), ..self }
    }

    /// The same error, for this reason.
    pub fn because(self, reason: &'static str) -> Error {
        Error { reason, ..self }
    }

    /// The same error, of a caller that was proved.
    pub fn by(mut self, who: Who) -> Error {
        self.concerns.get_or_insert_default().who = Some(who);
        self
    }

    /// The same error, with what the request named.
    pub fn of(mut self, entity_id: Option<i32>, username: Option<&str>, license_type: Option<LicenseType>) -> Error {
        let concerns = self.concerns.get_or_insert_default();
        (concerns.entity_id, concerns.license_type) = (entity_id, license_type);
        concerns.username = username.map(str::to_owned);
        self
    }

    /// The subject of the call, as far as it is known.
    pub fn concerns(&self) -> Concerns {
        self.concerns.as_deref().cloned().unwrap_or_default()
    }

    /// The same error, with its subject in front of its message.
    pub fn about(self, what: &str) -> Error {
        Error { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error {
            kind: ErrorKind::from(&refusal),
            reason: refusal.reason(),
            retry: None,
            message: refusal.to_string(),
            cause: None,
            concerns: None,
        }
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
