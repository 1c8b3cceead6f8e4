//! The seat rules: who may take which seat, and why not.
//!
//! Pure: facts in, decision out. No I/O, no clock, no async. A store reads the [`Facts`] in one transaction, asks
//! [`assign`] or [`release`], writes what was decided and commits. The rules are written here once for every store;
//! the constraints of `schema.sql` guard the same promises a second time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// Longest user name that is taken, in characters. The schema holds the same number.
pub const NAME_CHARS_MAX: usize = 128;

/// The products a seat can be for. The names are the vendor's, case-sensitive, and stand in the WSDL in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LicenseType {
    SkraftDiskImageV5,
    SqlBackup,
    ExchangeBackup,
}

impl LicenseType {
    pub const ALL: [LicenseType; 3] = [Self::SkraftDiskImageV5, Self::SqlBackup, Self::ExchangeBackup];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SkraftDiskImageV5 => "SkraftDiskImageV5",
            Self::SqlBackup => "SqlBackup",
            Self::ExchangeBackup => "ExchangeBackup",
        }
    }
}

impl fmt::Display for LicenseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LicenseType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| {
            format!("'{name}' is not a license type; there are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// What a credential may do. Each role may also do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Reader,
    /// Also assigns.
    Agent,
    /// Also releases and corrects.
    Admin,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Reader, Self::Agent, Self::Admin]
            .into_iter()
            .find(|r| r.name() == name)
            .ok_or_else(|| format!("'{name}' is not a role"))
    }
}

/// One seat of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeatId {
    pub pool_id: i64,
    pub seat_no: i64,
}

/// What a caller of AssignLicense asks for, as it arrived: a field is `None` when it was not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignRequest {
    pub username: Option<String>,
    pub provider_entity_id: Option<i32>,
    pub license_type: Option<LicenseType>,
}

/// What the store knows about an assignment, read in one transaction. Whatever the request does not name stays absent.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The credential the caller proved, as its row stands now; `None` when it is gone, inactive or has another hash.
    pub caller: Option<Role>,
    pub provider: Option<Provider>,
    pub account: Option<Account>,
    /// The seat of this type the account holds.
    pub held: Option<Held>,
    /// The provider's pools of this type. A store may leave out pools that expired as long as it keeps one of them.
    pub pools: Vec<Pool>,
}

#[derive(Debug, Clone, Copy)]
pub struct Provider {
    pub active: bool,
    /// Whether it lies in the subtree of the caller's entity.
    pub in_subtree: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub id: i64,
    pub active: bool,
    /// Whether its entity lies in the subtree of the caller's entity.
    pub in_subtree: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub seat: SeatId,
    /// When the pool of that seat expires.
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub struct Pool {
    pub id: i64,
    pub seats_total: i64,
    /// Included.
    pub starts_at: Option<Timestamp>,
    /// Excluded.
    pub expires_at: Option<Timestamp>,
    /// A seat of this pool that nobody holds.
    pub free_seat_no: Option<i64>,
}

impl Pool {
    fn has_started(&self, now: Timestamp) -> bool {
        self.starts_at.is_none_or(|at| at <= now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        has_expired(self.expires_at, now)
    }
}

fn has_expired(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

/// What is to be written, all of it in the transaction the facts were read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    pub seat: SeatId,
    /// Who takes it; `None`: enroll the user name under the provider entity first.
    pub account_id: Option<i64>,
    /// A seat in an expired pool to be released first.
    pub give_up: Option<SeatId>,
}

/// Decides an AssignLicense call. The first condition that applies, in the order of the code, is the answer.
///
/// `enroll`: whether a user name that is not known may be enrolled.
pub fn assign(request: &AssignRequest, facts: &Facts, enroll: bool, now: Timestamp) -> Result<Assignment, Refusal> {
    let role = facts.caller.ok_or(Refusal::CallerUnknown)?;
    if role < Role::Agent {
        return Err(Refusal::RoleTooLow { role });
    }

    let username = check_name("Username", request.username.as_deref())?;
    let provider_entity_id = match request.provider_entity_id {
        None => return Err(Refusal::field("LicenseProviderEntityId", FieldFault::Missing)),
        Some(id) if id < 1 => return Err(Refusal::field("LicenseProviderEntityId", FieldFault::NotPositive)),
        Some(id) => id,
    };
    let license_type = request.license_type.ok_or(Refusal::field("LicenseType", FieldFault::Missing))?;

    match facts.provider {
        Some(provider) if provider.in_subtree && provider.active => {}
        Some(provider) if provider.in_subtree => return Err(Refusal::ProviderInactive { provider_entity_id }),
        // One answer for both, so that nobody learns which entities others have.
        _ => return Err(Refusal::ProviderUnknown { provider_entity_id }),
    }
    match facts.account {
        Some(account) if account.in_subtree && account.active => {}
        Some(_) => return Err(Refusal::AccountUnavailable { username: username.to_owned() }),
        None if !enroll => return Err(Refusal::AccountNotEnrolled { username: username.to_owned() }),
        None => {}
    }

    let give_up = match facts.held {
        Some(held) if !has_expired(held.expires_at, now) => {
            return Err(Refusal::AlreadyAssigned { username: username.to_owned(), license_type, held });
        }
        held => held.map(|held| held.seat),
    };

    let open = || facts.pools.iter().filter(|p| p.has_started(now) && !p.has_expired(now));
    if open().next().is_none() {
        return Err(no_open_pool(provider_entity_id, license_type, &facts.pools, now));
    }
    let seat = open()
        .filter_map(|p| Some((p, SeatId { pool_id: p.id, seat_no: p.free_seat_no? })))
        // What expires first is used first; pools without end come last, equal ones by age.
        .min_by_key(|(p, _)| (p.expires_at.unwrap_or(Timestamp::MAX), p.id))
        .map(|(_, seat)| seat)
        .ok_or_else(|| Refusal::NoFreeSeat {
            provider_entity_id,
            license_type,
            seats_total: open().map(|p| p.seats_total).sum(),
            pools: open().count(),
        })?;
    Ok(Assignment { seat, account_id: facts.account.map(|a| a.id), give_up })
}

fn no_open_pool(provider_entity_id: i32, license_type: LicenseType, pools: &[Pool], now: Timestamp) -> Refusal {
    match pools.iter().filter(|p| p.has_expired(now)).filter_map(|p| p.expires_at).max() {
        Some(expired_at) => Refusal::PoolExpired { provider_entity_id, license_type, expired_at },
        None => Refusal::NoPool {
            provider_entity_id,
            license_type,
            starts_at: pools.iter().filter_map(|p| p.starts_at).filter(|at| *at > now).min(),
        },
    }
}

/// Decides a release: the seat to give back.
pub fn release(username: &str, license_type: LicenseType, held: Option<Held>) -> Result<SeatId, Refusal> {
    let username = check_name("Username", Some(username))?;
    held.map(|held| held.seat).ok_or_else(|| Refusal::NotAssigned { username: username.to_owned(), license_type })
}

fn check_name<'a>(field: &'static str, value: Option<&'a str>) -> Result<&'a str, Refusal> {
    let fault = match value {
        None => FieldFault::Missing,
        Some(v) if v.trim().is_empty() => FieldFault::Empty,
        Some(v) if v.chars().count() > NAME_CHARS_MAX => FieldFault::TooLong,
        Some(v) if v.chars().any(char::is_control) => FieldFault::ControlCharacter,
        Some(v) => return Ok(v),
    };
    Err(Refusal::field(field, fault))
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldFault {
    Missing,
    Empty,
    TooLong,
    ControlCharacter,
    NotPositive,
}

/// Why a call was refused. Its text tells the caller what was found and what would make the call succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// User unknown, password wrong, credential inactive: one text for all of them.
    #[error(
        "The user name or password in AuthHeader is not valid. Send the UserName and Password of an active credential."
    )]
    CallerUnknown,
    #[error("The role '{}' of this credential may not do this. Use a credential with a higher role, or have an administrator raise this one.", .role.name())]
    RoleTooLow { role: Role },
    #[error("{}", field_text(.field, *.fault))]
    Field { field: &'static str, fault: FieldFault },
    #[error(
        "Provider entity {provider_entity_id} does not exist or is not among the entities of this credential. Check LicenseProviderEntityId."
    )]
    ProviderUnknown { provider_entity_id: i32 },
    #[error("Provider entity {provider_entity_id} is not active. An administrator can activate it.")]
    ProviderInactive { provider_entity_id: i32 },
    #[error(
        "User '{username}' is not active or does not belong to the entities of this credential. Use another user, or have an administrator activate this one."
    )]
    AccountUnavailable { username: String },
    #[error(
        "User '{username}' is not known, and this service does not enroll users by itself. An administrator adds it to the accounts."
    )]
    AccountNotEnrolled { username: String },
    #[error("User '{username}' already holds a {license_type} license (seat {} of pool {}{}). No second one is needed; release it to assign it anew.", .held.seat.seat_no, .held.seat.pool_id, until(.held.expires_at))]
    AlreadyAssigned { username: String, license_type: LicenseType, held: Held },
    #[error("Provider entity {provider_entity_id} has no {license_type} license pool{}. An administrator adds one.", not_started(*.starts_at))]
    NoPool { provider_entity_id: i32, license_type: LicenseType, starts_at: Option<Timestamp> },
    #[error(
        "The {license_type} licenses of provider entity {provider_entity_id} expired at {expired_at}. Renew them, or use another provider entity."
    )]
    PoolExpired { provider_entity_id: i32, license_type: LicenseType, expired_at: Timestamp },
    #[error("All {seats_total} {license_type} seats of provider entity {provider_entity_id} are in use ({pools} {}). Release a seat or add seats to a pool.", if *.pools == 1 { "pool" } else { "pools" })]
    NoFreeSeat { provider_entity_id: i32, license_type: LicenseType, seats_total: i64, pools: usize },
    #[error("User '{username}' holds no {license_type} license, so there is none to release.")]
    NotAssigned { username: String, license_type: LicenseType },
}

impl Refusal {
    fn field(field: &'static str, fault: FieldFault) -> Refusal {
        Refusal::Field { field, fault }
    }
}

fn field_text(field: &str, fault: FieldFault) -> String {
    match fault {
        FieldFault::Missing => {
            format!("{field} is missing. Send it inside the request element, in the service's namespace.")
        }
        FieldFault::Empty => format!("{field} is empty. Send a value."),
        FieldFault::TooLong => format!("{field} is longer than {NAME_CHARS_MAX} characters. Send a shorter one."),
        FieldFault::ControlCharacter => format!("{field} contains a control character. Send it without."),
        FieldFault::NotPositive => format!("{field} must be 1 or more. Send the number of a provider entity."),
    }
}

fn until(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(String::new, |at| format!(", valid until {at}"))
}

fn not_started(starts_at: Option<Timestamp>) -> String {
    starts_at.map_or_else(String::new, |at| format!(" that has started; the next one starts at {at}"))
}

#[cfg(test)]
mod tests;
