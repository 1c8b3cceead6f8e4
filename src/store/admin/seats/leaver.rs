//! A user that leaves: what becomes of its seats, and of its account, in one step.

use super::super::edit::{Edit, Key, Table, Work, edit_row};
use super::super::{Admin, AdminRefusal, Sql, Stop};
use super::facts::{account, account_or_refusal, held_seats, lock_accounts, take_back};
use super::{Taken, hand_over};
use crate::seats::{LicenseType, SeatId, UserName};

/// Leavers: their seats are released or transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaverSeats {
    /// They stay with it.
    Keep,
    Release,
    /// They go to this user. Those of a type that it has already, and those of an expired pool, are released.
    TransferTo(String),
}

/// A user that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    pub username: String,
    pub seats: LeaverSeats,
    /// Whether the account gets no seats from now on.
    pub deactivate: bool,
    /// Whether a new holder that is not known is added.
    pub enroll: bool,
}

/// The outcome of a leaver: the seats that are free now, and those that have another holder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    pub released: Vec<(LicenseType, SeatId)>,
    pub transferred: Vec<(LicenseType, SeatId)>,
    pub deactivated: bool,
}

/// Takes the seats of a user, and makes its account inactive, as is asked for.
///
/// # Errors
///
/// [`AdminRefusal::Nothing`] if there is nothing of it to do; as [`super::transfer`].
pub fn leave(sql: &dyn Sql, admin: &Admin, request: &Leaver) -> Result<Left, Stop> {
    let work = Work::new(sql, admin)?;
    let mut names = vec![request.username.as_str()];
    if let LeaverSeats::TransferTo(to) = &request.seats {
        names.push(to);
        if UserName::from(to.as_str()).as_str().eq_ignore_ascii_case(UserName::from(request.username.as_str()).as_str())
        {
            let why = "must be another user than the one that leaves".to_owned();
            return Err(AdminRefusal::Invalid { field: "to", why }.into());
        }
    }
    lock_accounts(&work, &names)?;
    let leaver = account_or_refusal(&work, &request.username)?;
    let mut left = Left::default();
    let held = if request.seats == LeaverSeats::Keep { Vec::new() } else { held_seats(&work, &leaver)? };
    for (license_type, held) in held {
        if let LeaverSeats::TransferTo(to) = &request.seats
            && !held.has_expired(work.admin.now)
            && !has_one(&work, to, license_type)?
        {
            let seat = hand_over(&work, &leaver, to, license_type, request.enroll)?;
            left.transferred.push((license_type, seat));
        } else {
            let SeatId { pool_id, seat_no } = held.seat;
            take_back(&work, Taken { pool_id, seat_no, account_id: leaver.account.id })?;
            left.released.push((license_type, held.seat));
        }
    }
    if request.deactivate && leaver.account.active {
        edit_row(&work, &Edit::active(Table::Account, Key::Id(leaver.account.id), false))?;
        left.deactivated = true;
    }
    if left == Left::default() { Err(AdminRefusal::Nothing.into()) } else { Ok(left) }
}

/// Whether a user that the caller reaches holds a seat of the type that has not expired.
fn has_one(work: &Work<'_>, name: &str, license_type: LicenseType) -> Result<bool, Stop> {
    let holder = account(work, UserName::from(name).as_str())?.filter(|holder| holder.account.is_usable());
    let Some(holder) = holder else { return Ok(false) };
    let mut held = held_seats(work, &holder)?.into_iter();
    Ok(held.any(|(of, held)| of == license_type && !held.has_expired(work.admin.now)))
}
