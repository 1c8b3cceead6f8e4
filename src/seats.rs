//! The seat rules: which seat a caller may assign, release or transfer, and the reasons of refusals.
//!
//! Pure: facts in, decision out. No I/O, no clock, no async. A store reads the [`Facts`] in one transaction, asks [`assign`],
//! [`find`] or [`transfer`], writes the decision and commits. The rules are written once for all stores; the constraints of
//! `schema.sql` guard the same promises a second time.

mod name;
mod refusal;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use name::{NAME_CHARS_MAX, UserName, is_undecoded, normal_name};
pub use refusal::{CALL_NAME_CHARS_MAX, FieldFault, NameFault, Refusal, counted};

/// The products that seats are for. The names are the vendor's, case-sensitive, and in the order of the WSDL.
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

    /// The module name in license tools, of A-Z and 0-9 only.
    pub const fn module_name(self) -> &'static str {
        match self {
            Self::SkraftDiskImageV5 => "SKRAFTDISKIMAGEV5",
            Self::SqlBackup => "SQLBACKUP",
            Self::ExchangeBackup => "EXCHANGEBACKUP",
        }
    }

    /// Module names compare without regard to case.
    pub fn of_module(name: &str) -> Option<LicenseType> {
        Self::ALL.into_iter().find(|t| t.module_name().eq_ignore_ascii_case(name.trim()))
    }

    /// Its index in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
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

/// The rights of a credential. Each role includes the roles before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
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

/// One seat of one pool. Its serialized form is stored in rows, so it must stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeatId {
    pub pool_id: i64,
    pub seat_no: i64,
}

/// A request of AssignLicense: a field is `None` if it was not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignRequest {
    pub username: Option<UserName>,
    pub provider_entity_id: Option<i32>,
    pub license_type: Option<LicenseType>,
}

/// The store's facts about an assignment, read in one transaction. Facts that the request does not name stay absent, and so may
/// facts that the rules do not reach: the time of a refusal must not depend on rows outside the caller's subtree.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The role in the row of the proved credential; `None` if the row is gone, inactive or has another hash.
    pub caller: Option<Role>,
    pub provider: Option<Entity>,
    pub account: Option<Account>,
    /// The seat of this type the account holds.
    pub held: Option<Held>,
    /// The provider's pools of this type. A store may leave out expired pools, except for one.
    pub pools: Vec<Pool>,
}

#[derive(Debug, Clone, Copy)]
pub struct Entity {
    pub active: bool,
    /// Whether it is in the subtree of the caller's entity.
    pub in_subtree: bool,
}

impl Entity {
    /// Whether the caller may take seats of it.
    pub fn is_usable(self) -> bool {
        self.active && self.in_subtree
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub id: i64,
    pub active: bool,
    /// Whether its entity is in the subtree of the caller's entity.
    pub in_subtree: bool,
}

impl Account {
    /// Whether the caller may give it seats.
    pub fn is_usable(self) -> bool {
        self.active && self.in_subtree
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub seat: SeatId,
    /// When the pool of that seat expires.
    pub expires_at: Option<Timestamp>,
    /// The entity that owns that pool.
    pub entity_id: i32,
    /// Whether that entity is in the subtree of the caller's entity. If not, the caller must not learn which seat it is.
    pub in_subtree: bool,
}

impl Held {
    /// Whether the pool of the seat has expired: then the user gives it up for another seat.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        has_expired(self.expires_at, now)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Pool {
    pub id: i64,
    pub seats_total: i64,
    /// Included.
    pub starts_at: Option<Timestamp>,
    /// Excluded.
    pub expires_at: Option<Timestamp>,
    /// A free seat of this pool.
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

/// The decision, to be written in the transaction that read the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    pub seat: SeatId,
    /// The account that gets it; `None`: enroll the user name under the provider entity first.
    pub account_id: Option<i64>,
    /// A seat of an expired pool, to be released first.
    pub give_up: Option<SeatId>,
}

/// Decides an AssignLicense call. The first condition that applies, in the order of the code, is the answer.
///
/// `enroll`: whether an unknown user name may be enrolled.
pub fn assign(request: &AssignRequest, facts: &Facts, enroll: bool, now: Timestamp) -> Result<Assignment, Refusal> {
    check_role(facts.caller, Role::Agent)?;
    let username = check_name("Username", request.username.as_ref())?;
    let provider_entity_id = check_entity_id("LicenseProviderEntityId", request.provider_entity_id)?;
    let license_type = request.license_type.ok_or(Refusal::field("LicenseType", FieldFault::Missing))?;
    check_provider(facts.provider, provider_entity_id)?;
    check_account(facts.account, username, enroll)?;
    let give_up = check_held(facts.held, username, license_type, now)?;

    let open = || facts.pools.iter().filter(|p| p.has_started(now) && !p.has_expired(now));
    if open().next().is_none() {
        return Err(no_open_pool(provider_entity_id, license_type, &facts.pools, now));
    }
    let seat = open()
        .filter_map(|p| Some((p, SeatId { pool_id: p.id, seat_no: p.free_seat_no? })))
        // The pool that expires first is used first; pools without an end come last, equal ones by age.
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
            // No pool is open and none has expired: all start later.
            starts_at: pools.iter().filter_map(|p| p.starts_at).min(),
        },
    }
}

/// The most assignments in one call: all of them share one transaction, during which no other call can write.
pub const ASSIGNMENTS_MAX: usize = 1000;

/// Decides whether a call may assign this many licenses, before it decides about each.
pub fn assign_all(caller: Option<Role>, items: usize) -> Result<(), Refusal> {
    check_role(caller, Role::Agent)?;
    match items {
        0 => Err(Refusal::field("Items", FieldFault::NoItems)),
        1..=ASSIGNMENTS_MAX => Ok(()),
        found => Err(Refusal::TooMany { field: "Items", found, max: ASSIGNMENTS_MAX }),
    }
}

/// A user and a type: the request for details, and for a release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    pub username: Option<UserName>,
    pub license_type: Option<LicenseType>,
}

/// The store's facts about a holding, read in one transaction.
#[derive(Debug, Clone, Default)]
pub struct HoldingFacts {
    pub caller: Option<Role>,
    pub account: Option<Account>,
    /// The seat of this type the account holds.
    pub held: Option<SeatId>,
}

/// Finds the seat that a user holds, and the account of the user, for a caller of at least this role: to read it
/// ([`Role::Reader`]) or to release it ([`Role::Admin`]). A seat whose pool has expired is still held.
///
/// The answer is the same for a user that is unknown, is not among the caller's, or holds no seat, so that callers do not learn
/// about other users.
pub fn find(holding: &Holding, facts: &HoldingFacts, role: Role) -> Result<(SeatId, i64), Refusal> {
    check_role(facts.caller, role)?;
    let username = check_name("Username", holding.username.as_ref())?;
    let license_type = holding.license_type.ok_or(Refusal::field("LicenseType", FieldFault::Missing))?;
    facts
        .account
        .filter(|account| account.in_subtree)
        .and_then(|account| Some((facts.held?, account.id)))
        .ok_or_else(|| Refusal::NotAssigned { username: username.to_owned(), license_type })
}

/// The transfer of a seat to another user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    pub from: Option<UserName>,
    pub to: Option<UserName>,
    pub license_type: Option<LicenseType>,
}

/// The store's facts about a transfer, read in one transaction.
#[derive(Debug, Clone, Default)]
pub struct TransferFacts {
    pub caller: Option<Role>,
    pub from: Option<Account>,
    /// The seat to be transferred, and the entity that owns its pool.
    pub held: Option<(Held, Entity)>,
    pub to: Option<Account>,
    /// The seat that the new holder has already.
    pub to_held: Option<Held>,
}

/// Decides a transfer: the same seat gets another holder, in one step. Also returns the account that loses it. The new holder
/// must meet the conditions of an assignment from that pool.
pub fn transfer(
    transfer: &Transfer,
    facts: &TransferFacts,
    enroll: bool,
    now: Timestamp,
) -> Result<(Assignment, i64), Refusal> {
    check_role(facts.caller, Role::Admin)?;
    let from = check_name("FromUsername", transfer.from.as_ref())?;
    let to = check_name("ToUsername", transfer.to.as_ref())?;
    let license_type = transfer.license_type.ok_or(Refusal::field("LicenseType", FieldFault::Missing))?;
    let (from_id, (held, provider)) = facts
        .from
        .filter(|account| account.in_subtree)
        .and_then(|account| Some((account.id, facts.held?)))
        .ok_or_else(|| Refusal::NotAssigned { username: from.to_owned(), license_type })?;
    let provider_entity_id = held.entity_id;
    if !provider.in_subtree {
        return Err(Refusal::SeatOfOthers { username: from.to_owned(), license_type });
    }
    check_provider(Some(provider), provider_entity_id)?;
    check_account(facts.to, to, enroll)?;
    let give_up = check_held(facts.to_held, to, license_type, now)?;
    if let Some(expired_at) = held.expires_at.filter(|at| *at <= now) {
        return Err(Refusal::PoolExpired { provider_entity_id, license_type, expired_at });
    }
    Ok((Assignment { seat: held.seat, account_id: facts.to.map(|a| a.id), give_up }, from_id))
}

/// Whether a caller may read an entity: its pools, or the holders of its seats.
pub fn look(
    caller: Option<Role>,
    field: &'static str,
    entity_id: Option<i32>,
    entity: Option<Entity>,
) -> Result<i32, Refusal> {
    check_role(caller, Role::Reader)?;
    let entity_id = check_entity_id(field, entity_id)?;
    match entity {
        // An inactive entity can still be read.
        Some(entity) if entity.in_subtree => Ok(entity_id),
        _ => Err(Refusal::EntityUnknown { field, entity_id }),
    }
}

/// Whether a caller has at least this role.
pub fn check_role(caller: Option<Role>, least: Role) -> Result<(), Refusal> {
    let role = caller.ok_or(Refusal::CallerUnknown)?;
    if role < least { Err(Refusal::RoleTooLow { role, least }) } else { Ok(()) }
}

fn check_entity_id(field: &'static str, id: Option<i32>) -> Result<i32, Refusal> {
    match id {
        None => Err(Refusal::field(field, FieldFault::Missing)),
        Some(id) if id < 1 => Err(Refusal::field(field, FieldFault::NotPositive)),
        Some(id) => Ok(id),
    }
}

fn check_provider(provider: Option<Entity>, provider_entity_id: i32) -> Result<(), Refusal> {
    match provider {
        Some(provider) if provider.is_usable() => Ok(()),
        Some(provider) if provider.in_subtree => Err(Refusal::ProviderInactive { provider_entity_id }),
        // One answer for both, so that callers do not learn which other entities exist.
        _ => Err(Refusal::EntityUnknown { field: "LicenseProviderEntityId", entity_id: provider_entity_id }),
    }
}

fn check_account(account: Option<Account>, username: &str, enroll: bool) -> Result<(), Refusal> {
    match account {
        Some(account) if account.is_usable() => Ok(()),
        // One answer for both, so that callers do not learn which users exist outside their subtree. If users are enrolled, they
        // do learn it, because an existing name cannot be enrolled again.
        Some(Account { in_subtree: false, .. }) | None if !enroll => {
            Err(Refusal::AccountNotEnrolled { username: username.to_owned() })
        }
        Some(_) => Err(Refusal::AccountUnavailable { username: username.to_owned() }),
        None => Ok(()),
    }
}

/// The seat of an expired pool that is given up for a new seat.
fn check_held(
    held: Option<Held>,
    username: &str,
    license_type: LicenseType,
    now: Timestamp,
) -> Result<Option<SeatId>, Refusal> {
    match held {
        Some(held) if !has_expired(held.expires_at, now) => {
            let held = Some(held).filter(|held| held.in_subtree);
            Err(Refusal::AlreadyAssigned { username: username.to_owned(), license_type, held })
        }
        held => Ok(held.map(|held| held.seat)),
    }
}

fn check_name<'a>(field: &'static str, name: Option<&'a UserName>) -> Result<&'a str, Refusal> {
    let checked = name.ok_or(FieldFault::Missing).and_then(UserName::checked);
    checked.map_err(|fault| Refusal::field(field, fault))
}

#[cfg(test)]
mod tests;
