//! Associates: the accounts that license tools assign modules to, with the facts that decide about each type.

use std::time::SystemTime;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::facts::{Caller, is_below, is_set, name_key};
use super::owner::license_type;
use super::stop::Stop;
use crate::license::{Assignee, PerType};
use crate::seats::{Account, Held, Role, SeatId, UserName};
use crate::store::postgres::session::{Session, Sql, to_timestamp};

/// `None` if there is no such account in the caller's subtree.
pub(crate) async fn find(session: &Session, id: i32, caller: &Caller) -> Result<Option<Assignee>, Stop> {
    let row = session.row_opt(&BY_ID, &[&i64::from(id), &caller.entity_id]).await?;
    row.map_or(Ok(None), |row| of_row(&row, 0, caller.role))
}

/// The account with the caller's own name, if it is in the caller's subtree.
pub(crate) async fn of_caller(session: &Session, caller: &Caller) -> Result<Option<Assignee>, Stop> {
    let key = name_key(Some(&UserName::from(caller.name.as_str())));
    let row = session.row_opt(&BY_NAME, &[&key, &caller.entity_id]).await?;
    row.map_or(Ok(None), |row| of_row(&row, 0, caller.role))
}

/// What else may happen to an account while a call has it locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// SQL by hand may give it a seat. If that is of a type that the call assigns, the unique key has the call decided again.
    AgainstCalls,
    /// SQL by hand waits too, at the foreign key of the seat: its FOR KEY SHARE conflicts with FOR UPDATE. A release of all seats must
    /// not miss one that a reader can see before the release.
    AgainstAll,
}

/// Keeps other calls from assigning seats to an account and from releasing its seats until the transaction ends; `false` if there
/// is no such account in the caller's subtree. A call that takes a seat shares the account's row, or waits for its key. A change that
/// releases a seat waits for the seat.
pub(crate) async fn lock(session: &Session, id: i32, caller: &Caller, locked: Locked) -> Result<bool, Stop> {
    let sql = match locked {
        Locked::AgainstCalls => &LOCK,
        Locked::AgainstAll => &LOCK_AGAINST_ALL,
    };
    if session.row_opt(sql, &[&i64::from(id), &caller.entity_id]).await?.is_none() {
        return Ok(false);
    }
    session.execute(&LOCK_SEATS, &[&i64::from(id)]).await?;
    Ok(true)
}

macro_rules! lock {
    ($how:literal) => {
        Sql {
            text: concat!("SELECT id FROM account WHERE id = $1 AND ", is_below!("entity_id", "$2"), $how),
            types: &[Type::INT8, Type::INT4],
        }
    };
}

pub(crate) const LOCK: Sql = lock!(" FOR NO KEY UPDATE");
const LOCK_AGAINST_ALL: Sql = lock!(" FOR UPDATE");

/// Locked after the account: from then on it can get no other seats.
pub(crate) const LOCK_SEATS: Sql = Sql {
    text: "SELECT seat_no FROM seat WHERE account_id = $1 ORDER BY pool_id, seat_no FOR NO KEY UPDATE",
    types: &[Type::INT8],
};

/// An account in the subtree of `$2`, in the columns that [`of_row`] reads.
macro_rules! associate {
    ($condition:literal) => {
        concat!(
            "SELECT account.id, username, account.active, seats.*
               FROM account CROSS JOIN LATERAL (
                SELECT array_agg(seat.pool_id), array_agg(seat.seat_no), array_agg(license_pool.expires_at),
                       array_agg(license_pool.entity_id), array_agg(",
            is_below!("license_pool.entity_id", "$2"),
            "), array_agg(seat.license_type)
                  FROM seat JOIN license_pool ON license_pool.id = seat.pool_id
                 WHERE seat.account_id = account.id) AS seats
              WHERE ",
            $condition,
            " AND ",
            is_below!("account.entity_id", "$2")
        )
    };
}

pub(crate) const BY_ID: Sql = Sql { text: associate!("account.id = $1"), types: &[Type::INT8, Type::INT4] };

pub(crate) const BY_NAME: Sql =
    Sql { text: associate!("lower(account.username COLLATE \"C\") = $1"), types: &[Type::TEXT, Type::INT4] };

/// Reads nine columns: id, name and state of the account, null if there is none; and with a value for each of its seats: pool, number,
/// end and entity of the pool, whether that is in the caller's subtree, and the type.
pub(crate) fn of_row(row: &Row, first: usize, role: Role) -> Result<Option<Assignee>, Stop> {
    let Some(id) = row.try_get::<_, Option<i64>>(first)? else { return Ok(None) };
    let username = UserName::from(row.try_get::<_, &str>(first + 1)?);
    let account = Account { id, active: is_set(row, first + 2)?, in_subtree: true };
    let mut held: PerType<Option<Held>> = PerType::default();
    if let Some(pool_ids) = row.try_get::<_, Option<Vec<i64>>>(first + 3)? {
        let seat_nos: Vec<i32> = row.try_get(first + 4)?;
        let ends: Vec<Option<SystemTime>> = row.try_get(first + 5)?;
        let entity_ids: Vec<i32> = row.try_get(first + 6)?;
        let in_subtree: Vec<bool> = row.try_get(first + 7)?;
        let types: Vec<&str> = row.try_get(first + 8)?;
        for (at, pool_id) in pool_ids.into_iter().enumerate() {
            let seat = SeatId { pool_id, seat_no: seat_nos[at].into() };
            let (expires_at, entity_id) = (ends[at].map(to_timestamp), entity_ids[at]);
            held[license_type(types[at])?.index()] =
                Some(Held { seat, expires_at, entity_id, in_subtree: in_subtree[at] });
        }
    }
    Ok(Some(Assignee { account, username, held, role }))
}
