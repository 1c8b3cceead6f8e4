//! The reasons of refusals, with their sentences for callers.

use jiff::Timestamp;

use super::{Held, LicenseType, NAME_CHARS_MAX, Role, SeatId};

/// Why a field of a request is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldFault {
    Missing,
    /// A list is missing or has no item.
    NoItems,
    Empty,
    TooLong,
    /// It contains U+FFFD; see [`super::is_undecoded`].
    Undecoded,
    ControlCharacter,
    /// It contains U+FFFE or U+FFFF.
    Noncharacter,
    NotPositive,
    /// An id is negative. It may be 0, for the caller.
    Negative,
    /// A license or a module lacks the name that identifies it.
    Unnamed,
}

/// Why the name of a call is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    Empty,
    TooLong,
    /// It has an unprintable character, or bytes that are not text.
    NotPrintable,
    /// It begins with a quote, but is no string of RFC 9651.
    NotAString,
    /// There are several, or a list of them.
    Several,
}

/// Longest name of a call, in characters. The schema has the same number.
pub const CALL_NAME_CHARS_MAX: usize = 255;

/// Why a call was refused. Its text tells the caller the reason and what would make the call succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// User unknown, password wrong, credential inactive: one text for all of them.
    #[error(
        "The caller is not signed in: a user name, password or ticket is missing or not valid. Send those of an active credential."
    )]
    CallerUnknown,
    #[error("The role '{}' of this credential may not do this; '{}' may. Use another credential, or have an administrator give this one that role.", .role.name(), .least.name())]
    RoleTooLow { role: Role, least: Role },
    #[error("{}", field_text(.field, *.fault))]
    Field { field: &'static str, fault: FieldFault },
    #[error("{field} holds {found} items; {max} are accepted in one call. Send the rest in another call.")]
    TooMany { field: &'static str, found: usize, max: usize },
    #[error("Entity {entity_id} does not exist or is not among the entities of this credential. Check {field}.")]
    EntityUnknown { field: &'static str, entity_id: i32 },
    #[error("Provider entity {provider_entity_id} is not active. An administrator can activate it.")]
    ProviderInactive { provider_entity_id: i32 },
    #[error(
        "User '{username}' is not active or does not belong to the entities of this credential. Use another user, or have an administrator activate this one."
    )]
    AccountUnavailable { username: String },
    #[error(
        "User '{username}' is not known, and this service does not enroll users by itself. An administrator can add it to the accounts."
    )]
    AccountNotEnrolled { username: String },
    /// `held`: which seat, if the caller may know it.
    #[error("User '{username}' already holds a {license_type} license{}", which(.held.as_ref()))]
    AlreadyAssigned { username: String, license_type: LicenseType, held: Option<Held> },
    #[error("Provider entity {provider_entity_id} has no {license_type} license pool{}. An administrator can add one.", not_started(*.starts_at))]
    NoPool { provider_entity_id: i32, license_type: LicenseType, starts_at: Option<Timestamp> },
    #[error(
        "The {license_type} licenses of provider entity {provider_entity_id} expired at {expired_at}. Renew them, or use another provider entity."
    )]
    PoolExpired { provider_entity_id: i32, license_type: LicenseType, expired_at: Timestamp },
    #[error("{} ({}). {} to a pool.", none_free(*.seats_total, *.license_type, *.provider_entity_id), counted(*.pools as i64, "pool"), if *.seats_total == 0 { "Add seats" } else { "Release a seat or add seats" })]
    NoFreeSeat { provider_entity_id: i32, license_type: LicenseType, seats_total: i64, pools: usize },
    #[error("User '{username}' holds no {license_type} license. Check the user name and the type, or assign one.")]
    NotAssigned { username: String, license_type: LicenseType },
    #[error(
        "User '{username}' holds a {license_type} license from another owner, which this credential may not transfer. Use a credential of that owner."
    )]
    SeatOfOthers { username: String, license_type: LicenseType },
    #[error("Owner '{}' does not exist or is not among the entities of this credential. Check the name.", shortened(.owner_name))]
    OwnerUnknown { owner_name: String },
    #[error("Associate {id} does not exist or does not belong to the entities of this credential. Check the id.")]
    AssociateUnknown { id: i32 },
    #[error("There is no module '{}'; there are SKRAFTDISKIMAGEV5, SQLBACKUP and EXCHANGEBACKUP.", shortened(.name))]
    ModuleUnknown { name: String },
    #[error("There are more than {}. Ask for one of them at a time.", counted(*.max as i64, "owner"))]
    TooManyOwners { max: usize },
    #[error("The license of {owner_name} ended at {ended_at}. Ask its issuer for a new one.")]
    LicenseEnded { owner_name: String, ended_at: Timestamp },
    #[error("{in_use} {license_type} {} in use and the new license has {seats}. Release {} first.", seats_of(*.in_use, .owner_name), .in_use - .seats)]
    LicenseTooSmall { owner_name: String, license_type: LicenseType, in_use: i64, seats: i64 },
    #[error(
        "The dates of the license of {owner_name} are not in order: AdminWarningDate comes first, then ExpiryDate, then GraceDate. Ask its issuer for a corrected license."
    )]
    LicenseDates { owner_name: String },
    /// `differs`: the first member that differs from the granted license.
    #[error(
        "This is not the license that the issuer grants {owner_name}: {differs} differs. Fetch it again, then activate it."
    )]
    LicenseNotGranted { owner_name: String, differs: &'static str },
    #[error(
        "The license of {owner_name} is in use: {in_use} of its seats {} taken, including those of pools that have expired or not started. Release {} first.",
        if *.in_use == 1 { "is" } else { "are" },
        if *.in_use == 1 { "it" } else { "them" }
    )]
    LicenseInUse { owner_name: String, in_use: i64 },
    #[error("No license is offered to company '{}' under serial number '{}' among the entities of this credential. Check that both are written as the issuer has them, or ask it for an offer.", shortened(.company_name), shortened(.serial_nr))]
    NothingOffered { company_name: String, serial_nr: String },
    /// A license, in a message or a file, that cannot be read; says why.
    #[error("{reason}")]
    LicenseUnreadable { reason: String },
    #[error("This operation is not supported here.")]
    NotSupported,
    /// `header`: the one with the name.
    #[error("{header} {} Nothing was changed.", name_text(*.fault))]
    NameInvalid { header: &'static str, fault: NameFault },
    #[error(
        "{header} names another request: {operation} with other arguments, or another operation, at {at}. Nothing was changed. Send each request under a name of its own, and repeat a name only with the same request."
    )]
    NameReused { header: &'static str, operation: String, at: String },
    #[error(
        "{header} names a call that was made before, but its outcome was written by another version of this service and cannot be read. Nothing was changed now. Look up the state, then call under a new name."
    )]
    NameUnreadable { header: &'static str },
    /// A refusal that was kept with the name of its call, for a retry: its code and its text.
    #[error("{text}")]
    Kept { code: String, text: String },
}

impl Refusal {
    pub fn field(field: &'static str, fault: FieldFault) -> Refusal {
        Refusal::Field { field, fault }
    }

    /// The reason in the log and the metrics: there are few, and they depend on nothing that a caller sent.
    pub const fn reason(&self) -> &'static str {
        match self {
            Refusal::CallerUnknown => "not_signed_in",
            Refusal::RoleTooLow { .. } => "role_too_low",
            Refusal::Field { .. } => "field_invalid",
            Refusal::TooMany { .. } => "too_many_items",
            Refusal::EntityUnknown { .. } => "entity_unknown",
            Refusal::ProviderInactive { .. } => "provider_inactive",
            Refusal::AccountUnavailable { .. } => "account_unavailable",
            Refusal::AccountNotEnrolled { .. } => "account_not_enrolled",
            Refusal::AlreadyAssigned { .. } => "already_assigned",
            Refusal::NoPool { .. } => "no_pool",
            Refusal::PoolExpired { .. } => "pool_expired",
            Refusal::NoFreeSeat { .. } => "no_free_seat",
            Refusal::NotAssigned { .. } => "not_assigned",
            Refusal::SeatOfOthers { .. } => "seat_of_others",
            Refusal::OwnerUnknown { .. } => "owner_unknown",
            Refusal::AssociateUnknown { .. } => "associate_unknown",
            Refusal::ModuleUnknown { .. } => "module_unknown",
            Refusal::TooManyOwners { .. } => "too_many_owners",
            Refusal::LicenseEnded { .. } => "license_ended",
            Refusal::LicenseTooSmall { .. } => "license_too_small",
            Refusal::LicenseDates { .. } => "license_dates",
            Refusal::LicenseNotGranted { .. } => "license_not_granted",
            Refusal::LicenseInUse { .. } => "license_in_use",
            Refusal::NothingOffered { .. } => "nothing_offered",
            Refusal::LicenseUnreadable { .. } => "license_unreadable",
            Refusal::NotSupported => "not_supported",
            Refusal::NameInvalid { .. } => "name_invalid",
            Refusal::NameReused { .. } => "name_reused",
            Refusal::NameUnreadable { .. } => "name_unreadable",
            Refusal::Kept { .. } => "kept",
        }
    }
}

/// A recognisable part of a caller's text, on one line.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A number and what it counts, in the singular or with an s.
pub fn counted(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn field_text(field: &str, fault: FieldFault) -> String {
    match fault {
        FieldFault::Missing => {
            format!("{field} is missing. Send it inside the request element, in the service's namespace.")
        }
        FieldFault::NoItems => format!(
            "{field} is missing or has no items. Send it inside the request element, and its items under the name that the \
             WSDL gives them, all in the service's namespace."
        ),
        FieldFault::Empty => format!("{field} is empty. Send a value."),
        FieldFault::TooLong => format!("{field} is longer than {NAME_CHARS_MAX} characters. Send a shorter one."),
        FieldFault::Undecoded => {
            format!("{field} contains U+FFFD: its bytes are not valid in the charset of the message. Send UTF-8.")
        }
        FieldFault::ControlCharacter => format!("{field} contains a control character. Send it without."),
        FieldFault::Noncharacter => {
            format!("{field} contains U+FFFE or U+FFFF, which no text may hold. Send it without.")
        }
        FieldFault::NotPositive => {
            let what = if field == "AssociateId" { "id of a user" } else { "number of a provider entity" };
            format!("{field} must be 1 or more. Send the {what}.")
        }
        FieldFault::Unnamed => {
            let name = if field == "ModuleLicense" { "ModuleName" } else { "OwnerName" };
            format!("{field} holds no {name}. Send one in its New or its Current.")
        }
        FieldFault::Negative => format!("{field} must not be negative. Send the id of a user, or 0 for the caller."),
    }
}

fn name_text(fault: NameFault) -> String {
    match fault {
        NameFault::Empty => "is empty. Send a name for the call, such as a new UUID, or leave it out.".to_owned(),
        NameFault::TooLong => format!("has more than {CALL_NAME_CHARS_MAX} characters. Send a shorter name."),
        NameFault::NotPrintable => "holds characters that cannot be printed. Send a name without, such as a UUID.".to_owned(),
        NameFault::NotAString => {
            "is no valid string: send a word without blanks, or a text in double quotes in which each quote and backslash has a backslash before it, such as \"8e03978e-40d5-43dd-bc93-6894a57f9324\".".to_owned()
        }
        NameFault::Several => "names the call several times. Send one name.".to_owned(),
    }
}

/// The held seat, if the caller may know it.
fn which(held: Option<&Held>) -> String {
    let Some(held) = held else {
        return ": it holds one from another owner. No second one is needed.".to_owned();
    };
    let until = held.expires_at.map_or_else(String::new, |at| format!(", valid until {at}"));
    let SeatId { pool_id, seat_no } = held.seat;
    format!(" (seat {seat_no} of pool {pool_id}{until}). No second one is needed; release it to assign it again.")
}

fn none_free(seats_total: i64, license_type: LicenseType, provider_entity_id: i32) -> String {
    match seats_total {
        0 => format!("Provider entity {provider_entity_id} has no {license_type} seats"),
        1 => format!("The only {license_type} seat of provider entity {provider_entity_id} is in use"),
        _ => format!("All {seats_total} {license_type} seats of provider entity {provider_entity_id} are in use"),
    }
}

fn seats_of(in_use: i64, owner_name: &str) -> String {
    if in_use == 1 { format!("seat of {owner_name} is") } else { format!("seats of {owner_name} are") }
}

fn not_started(starts_at: Option<Timestamp>) -> String {
    starts_at.map_or_else(String::new, |at| format!(" that has started; the next one starts at {at}"))
}
