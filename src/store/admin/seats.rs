//! Seats as administrators give, take and move them: one, all of a user, many at once.
//!
//! The rules are those of every call ([`crate::seats`]): the same functions decide, from facts that are read here. Beyond what callers may
//! do, a seat can also be released by the owner of its pool, whoever holds it.
//!
//! Seats are picked from the highest number down, not from the lowest as calls do: so what a preview showed is still so when it is
//! confirmed, though calls took seats meanwhile. On PostgreSQL locks are taken in the order of every call: accounts before seats.

mod facts;
mod leaver;
mod shrink;

pub use leaver::{Leaver, LeaverSeats, Left, leave};
pub use shrink::{Candidate, RELEASES_MAX, Resize, Resized, Shrink, Why, proposals, resize};

use facts::{
    Holder, account, account_or_refusal, carry_out, entity_facts, held, held_seats, lock_accounts, pool, pools,
};
pub(crate) use facts::{free_seat, give, may_release, take_back};

use super::edit::{Work, not_found};
use super::{Admin, AdminRefusal, Sql, Stop};
use crate::seats::{self, AssignRequest, Assignment, Facts, LicenseType, Refusal, SeatId, TransferFacts, UserName};

/// From where a seat is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Any open pool of this entity: the one that expires first.
    Entity(i32),
    /// This pool.
    Pool(i64),
    /// This very seat.
    Seat(SeatId),
}

/// A seat for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assign {
    pub username: String,
    pub source: Source,
    /// Of an entity the type must be named; a pool has its own, and another one is refused.
    pub license_type: Option<LicenseType>,
    /// Whether a user that is not known is added.
    pub enroll: bool,
}

/// A taken seat with its holder, as the caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Taken {
    pub pool_id: i64,
    pub seat_no: i64,
    pub account_id: i64,
}

/// The seats to release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// All seats of a user, or those of one type.
    OfUser { username: String, license_type: Option<LicenseType> },
    /// These seats; all of them must still be held by these accounts.
    Seats(Vec<Taken>),
}

/// Seats that are to change hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub from: String,
    pub to: String,
    /// `None`: everything that the user holds.
    pub license_type: Option<LicenseType>,
    /// Whether a new holder that is not known is added, under the entity of the first pool.
    pub enroll: bool,
}

/// Takes a seat for a user; which.
///
/// # Errors
///
/// [`AdminRefusal::Rule`]: what the seat rules say; [`AdminRefusal::NotFound`].
pub fn assign(sql: &dyn Sql, admin: &Admin, request: &Assign) -> Result<SeatId, Stop> {
    assign_in(&Work::new(sql, admin)?, request)
}

pub(crate) fn assign_in(work: &Work<'_>, request: &Assign) -> Result<SeatId, Stop> {
    let now = work.admin.now;
    let username = UserName::from(request.username.as_str());
    let account = account(work, username.as_str())?;
    let (entity_id, license_type, from) = match request.source {
        Source::Entity(id) => {
            let needed = AdminRefusal::Invalid { field: "license_type", why: "must not be empty".to_owned() };
            let license_type = request.license_type.ok_or(needed)?;
            (id, license_type, pools(work, id, license_type)?)
        }
        Source::Pool(pool_id) | Source::Seat(SeatId { pool_id, .. }) => {
            let (mut pool, entity_id, license_type) = pool(work, pool_id)?;
            if request.license_type.is_some_and(|asked| asked != license_type) {
                let why = format!("pool {pool_id} has seats of {license_type}");
                return Err(AdminRefusal::Invalid { field: "license_type", why }.into());
            }
            pool.free_seat_no = match request.source {
                Source::Seat(seat) => Some(facts::this_seat(work, seat)?),
                _ => free_seat(work, pool_id)?,
            };
            (entity_id, license_type, vec![pool])
        }
    };
    let mut facts = Facts {
        caller: Some(work.admin.role),
        provider: entity_facts(work, entity_id)?,
        account: account.as_ref().map(|holder| holder.account),
        held: None,
        pools: from,
    };
    if let Some(holder) = &account
        && holder.account.is_usable()
    {
        facts.held = held(work, holder, license_type)?;
    }
    let asked = AssignRequest {
        username: Some(username.clone()),
        provider_entity_id: Some(entity_id),
        license_type: Some(license_type),
    };
    let assignment = seats::assign(&asked, &facts, request.enroll, now)?;
    carry_out(work, &assignment, username.as_str(), entity_id)?;
    Ok(assignment.seat)
}

/// Releases seats; which, in the order of pools and numbers.
///
/// # Errors
///
/// [`AdminRefusal::NotFound`] for what the caller may not release; [`AdminRefusal::Moved`] if a seat is not held as was said;
/// [`AdminRefusal::Rule`] if the user holds none.
pub fn release(sql: &dyn Sql, admin: &Admin, request: &Release) -> Result<Vec<Taken>, Stop> {
    release_in(&Work::new(sql, admin)?, request)
}

pub(crate) fn release_in(work: &Work<'_>, request: &Release) -> Result<Vec<Taken>, Stop> {
    match request {
        Release::OfUser { username, license_type } => {
            if license_type.is_none() {
                lock_accounts(work, &[username])?;
            }
            let holder = account_or_refusal(work, username)?;
            let mut taken = held_of(work, &holder, *license_type)?;
            if taken.is_empty() {
                return Err(match license_type {
                    Some(license_type) => not_assigned(&holder.username, *license_type),
                    None => AdminRefusal::Nothing.into(),
                });
            }
            taken.sort_unstable();
            for seat in &taken {
                take_back(work, *seat)?;
            }
            Ok(taken)
        }
        Release::Seats(seats) => {
            let mut taken = seats.clone();
            taken.sort_unstable();
            taken.dedup();
            if taken.len() > RELEASES_MAX {
                return Err(AdminRefusal::TooMany { what: "seats", max: RELEASES_MAX as u64 }.into());
            }
            if taken.is_empty() {
                return Err(AdminRefusal::Nothing.into());
            }
            for seat in &taken {
                facts::may_release(work, *seat)?;
                take_back(work, *seat)?;
            }
            Ok(taken)
        }
    }
}

/// Gives seats of one user to another; which seats.
///
/// # Errors
///
/// [`AdminRefusal::Rule`], for the first type that cannot be transferred: nothing is then.
pub fn transfer(sql: &dyn Sql, admin: &Admin, request: &Transfer) -> Result<Vec<SeatId>, Stop> {
    let work = Work::new(sql, admin)?;
    lock_accounts(&work, &[&request.from, &request.to])?;
    let from = account_or_refusal(&work, &request.from)?;
    let types: Vec<LicenseType> = match request.license_type {
        Some(license_type) => vec![license_type],
        None => held_seats(&work, &from)?.into_iter().map(|(license_type, _)| license_type).collect(),
    };
    if types.is_empty() {
        return Err(AdminRefusal::Nothing.into());
    }
    types.into_iter().map(|license_type| hand_over(&work, &from, &request.to, license_type, request.enroll)).collect()
}

/// Gives the seat of one type to another user. Both accounts are locked.
fn hand_over(
    work: &Work<'_>,
    from: &Holder,
    to: &str,
    license_type: LicenseType,
    enroll: bool,
) -> Result<SeatId, Stop> {
    let to_name = UserName::from(to);
    let to = account(work, to_name.as_str())?;
    let found = held(work, from, license_type)?;
    let held_now = match found {
        Some(seat) => entity_facts(work, seat.entity_id)?.map(|entity| (seat, entity)),
        None => None,
    };
    let mut facts = TransferFacts {
        caller: Some(work.admin.role),
        from: Some(from.account),
        held: held_now,
        to: to.as_ref().map(|holder| holder.account),
        to_held: None,
    };
    if let Some(holder) = &to
        && holder.account.is_usable()
    {
        facts.to_held = held(work, holder, license_type)?;
    }
    let asked = seats::Transfer {
        from: Some(UserName::from(from.username.as_str())),
        to: Some(to_name.clone()),
        license_type: Some(license_type),
    };
    let (assignment, from_id) = seats::transfer(&asked, &facts, enroll, work.admin.now)?;
    let Assignment { seat, .. } = assignment;
    take_back(work, Taken { pool_id: seat.pool_id, seat_no: seat.seat_no, account_id: from_id })?;
    let entity_id = found.map_or(0, |held| held.entity_id);
    carry_out(work, &assignment, to_name.as_str(), entity_id)?;
    Ok(seat)
}

/// The seats of a user, of one type or all.
fn held_of(work: &Work<'_>, holder: &Holder, license_type: Option<LicenseType>) -> Result<Vec<Taken>, Stop> {
    let held = held_seats(work, holder)?.into_iter();
    let of_type = held.filter(|(of, _)| license_type.is_none_or(|asked| asked == *of));
    Ok(of_type
        .map(|(_, held)| Taken {
            pool_id: held.seat.pool_id,
            seat_no: held.seat.seat_no,
            account_id: holder.account.id,
        })
        .collect())
}

fn not_assigned(username: &str, license_type: LicenseType) -> Stop {
    Refusal::NotAssigned { username: username.to_owned(), license_type }.into()
}

/// A user that is not there, or is of others.
fn no_user(name: &str) -> Stop {
    not_found("user", name)
}
