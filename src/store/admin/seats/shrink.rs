//! The size of a pool. A pool that is to have fewer seats than are taken first loses holders: whom to release is proposed, the caller
//! chooses, and both are done in one step.

use std::collections::{HashMap, HashSet};

use super::super::edit::{Cells, Key, Table, Work, change, found, number, value_of};
use super::super::{Admin, AdminRefusal, Row, Sql, Stop, Value};
use super::Taken;
use super::facts::take_back;
use crate::seats::SeatId;

/// Seats that one change releases at most.
pub const RELEASES_MAX: usize = 10_000;

/// Seats of a pool that are looked at: those with the lowest numbers, and those of its newest events. Only if too few of these are taken is the
/// whole pool read.
const EXAMINED_MAX: i64 = 100_000;

/// Events of a pool that are read at most, to find out since when seats are held.
const EVENTS_MAX: i64 = 50_000;

/// Why a holder is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The pool has expired: no holder can use its seat.
    PoolExpired,
    /// The user is not active.
    Inactive,
    /// It has held its seat for longest.
    LongestHeld,
}

/// A seat that could be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub taken: Taken,
    pub username: String,
    /// When it was assigned, as the history has it; `None`: longer ago than was read of the history.
    pub since: Option<String>,
    pub why: Why,
}

/// The seats that must be released before a pool can have this number of seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    pub pool_id: i64,
    pub seats_total: i64,
    pub seats_in_use: i64,
    /// Seats that have to be released; 0: none.
    pub excess: i64,
    /// The first [`Shrink::excess`] are proposed; behind them come some more to choose from. Not more than [`RELEASES_MAX`].
    pub candidates: Vec<Candidate>,
    /// Free seats with a product key or license data of their own that would go: a later undo does not bring those back.
    pub own_data_lost: i64,
}

/// Candidates beyond those that are proposed.
const MORE: usize = 20;

/// Refuses a number of seats that no pool can have.
fn require_possible(seats_total: i64) -> Result<(), Stop> {
    let column = Table::Pool.column("seats_total").ok_or(AdminRefusal::Nothing)?;
    column.check(Value::Int(seats_total))?;
    Ok(())
}

/// Whom to release so that the pool can have so many seats: users that are not active first, then those that have held their seats for
/// longest. Reads a bounded part of a large pool.
///
/// # Errors
///
/// [`AdminRefusal::NotFound`], [`AdminRefusal::TooMany`].
pub fn proposals(sql: &dyn Sql, admin: &Admin, pool_id: i64, seats_total: i64) -> Result<Shrink, Stop> {
    require_possible(seats_total)?;
    let work = Work::new(sql, admin)?;
    let text = format!(
        "SELECT p.entity_id, u.seats_in_use, p.expires_at, p.event_id, p.seats_total
           FROM license_pool AS p JOIN {} AS u ON u.id = p.id WHERE p.id = $1",
        work.pool_use()
    );
    let missing = || super::not_found("pool", pool_id);
    let pool = work.first(&text, &[pool_id.into()])?.ok_or_else(missing)?;
    if !work.reaches(pool.int(0)?)? {
        return Err(missing());
    }
    let seats_in_use = pool.int(1)?;
    let excess = seats_in_use.saturating_sub(seats_total).max(0);
    let own_data_lost = own_data_lost(&work, pool_id, pool.int(4)?.saturating_sub(seats_total))?;
    let mut shrink = Shrink { pool_id, seats_total, seats_in_use, excess, candidates: Vec::new(), own_data_lost };
    if excess == 0 {
        return Ok(shrink);
    }
    if excess > RELEASES_MAX as i64 {
        return Err(AdminRefusal::TooMany { what: "seats to release", max: RELEASES_MAX as u64 }.into());
    }
    let expires_at = pool.value(2)?;
    let has_expired = *expires_at != Value::Null && pool.time(2)?.is_some_and(|at| at <= admin.now);
    let since = since(&work, pool_id, pool.opt_int(3)?)?;
    let mut candidates = Vec::new();
    for row in taken_seats(&work, pool_id, pool.int(4)?, excess, &since)? {
        let taken = Taken { pool_id, seat_no: row.int(0)?, account_id: row.int(1)? };
        let why = match row.flag(3)? {
            _ if has_expired => Why::PoolExpired,
            false => Why::Inactive,
            true => Why::LongestHeld,
        };
        let held = since.get(&taken.seat_no);
        let order = (row.flag(3)?, held.map_or(0, |(event, _)| *event), taken.seat_no);
        let since = held.map(|(_, at)| at.clone());
        candidates.push((order, Candidate { taken, username: row.text(2)?, since, why }));
    }
    candidates.sort_unstable_by_key(|(order, _)| *order);
    let wanted = usize::try_from(excess).unwrap_or(RELEASES_MAX).saturating_add(MORE).min(RELEASES_MAX);
    shrink.candidates = candidates.into_iter().take(wanted).map(|(_, candidate)| candidate).collect();
    Ok(shrink)
}

/// Taken seats: number, account, its name, whether it is active.
fn taken_seats(
    work: &Work<'_>,
    pool_id: i64,
    seats_total: i64,
    excess: i64,
    since: &HashMap<i64, (i64, String)>,
) -> Result<Vec<Row>, Stop> {
    let first = format!(
        "SELECT {HOLDER} FROM (SELECT seat_no, account_id FROM seat WHERE pool_id = $1 ORDER BY seat_no LIMIT $2) AS seat
           JOIN account ON account.id = seat.account_id"
    );
    let mut rows = work.sql.rows(&first, &[pool_id.into(), EXAMINED_MAX.into()])?;
    if seats_total <= EXAMINED_MAX {
        return Ok(rows);
    }
    let known = rows.iter().map(|row| row.int(0)).collect::<Result<HashSet<i64>, _>>()?;
    let mut newest: Vec<i64> = since.keys().filter(|number| !known.contains(number)).copied().collect();
    newest.sort_unstable();
    for numbers in newest.chunks(500) {
        let places: Vec<String> = (2..numbers.len() + 2).map(|at| format!("${at}")).collect();
        let text = format!(
            "SELECT {HOLDER} FROM seat JOIN account ON account.id = seat.account_id WHERE seat.pool_id = $1 AND seat.seat_no IN ({})",
            places.join(", ")
        );
        let values: Vec<Value> = std::iter::once(pool_id).chain(numbers.iter().copied()).map(Value::Int).collect();
        rows.extend(work.sql.rows(&text, &values)?);
    }
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) < excess {
        let all = format!(
            "SELECT {HOLDER} FROM (SELECT seat_no, account_id FROM seat WHERE pool_id = $1 AND account_id IS NOT NULL
                                    ORDER BY seat_no LIMIT $2) AS seat
               JOIN account ON account.id = seat.account_id"
        );
        rows = work.sql.rows(&all, &[pool_id.into(), EXAMINED_MAX.into()])?;
    }
    Ok(rows)
}

const HOLDER: &str = "seat.seat_no, seat.account_id, account.username, account.active";

/// By seat: the newest event that assigned it, and when. Seats without one are held for longer than what was read.
fn since(work: &Work<'_>, pool_id: i64, newest: Option<i64>) -> Result<HashMap<i64, (i64, String)>, Stop> {
    let rows = if work.is_postgres() {
        work.sql.rows(
            "SELECT id, at, seat_no, action FROM audit_event WHERE pool_id = $1 ORDER BY pool_id DESC, id DESC LIMIT $2",
            &[pool_id.into(), EVENTS_MAX.into()],
        )?
    } else {
        work.sql.rows(CHAIN, &[newest.into(), EVENTS_MAX.into()])?
    };
    let mut since = HashMap::new();
    for row in rows {
        if row.text(3)? == "assign" {
            since.entry(row.int(2)?).or_insert((row.int(0)?, row.moment(1)?));
        }
    }
    Ok(since)
}

/// The history of a pool from its newest event back, without an index.
const CHAIN: &str = "
    WITH RECURSIVE chain (id, at, seat_no, action, previous_id) AS (
        SELECT id, at, seat_no, action, previous_id FROM audit_event WHERE id = $1
        UNION ALL
        SELECT e.id, e.at, e.seat_no, e.action, e.previous_id FROM chain JOIN audit_event AS e ON e.id = chain.previous_id
         LIMIT $2)
    SELECT id, at, seat_no, action FROM chain";

/// Of the free seats that go when a pool has `fewer`, those that have a product key or license data of their own.
fn own_data_lost(work: &Work<'_>, pool_id: i64, fewer: i64) -> Result<i64, Stop> {
    if fewer <= 0 {
        return Ok(0);
    }
    let row = work.first(OWN_DATA, &[pool_id.into(), fewer.min(EXAMINED_MAX).into()])?;
    row.map_or(Ok(0), |row| row.int(0))
}

const OWN_DATA: &str = "
    SELECT CAST(count(*) AS BIGINT)
      FROM (SELECT product_key, license_data FROM seat WHERE pool_id = $1 AND account_id IS NULL
             ORDER BY pool_id DESC, seat_no DESC LIMIT $2) AS last
     WHERE coalesce(product_key, '') <> '' OR license_data IS NOT NULL";

/// How many seats a pool is to have, and whom to release for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    pub pool_id: i64,
    /// The number that the caller saw; `None`: any.
    pub before: Option<i64>,
    pub seats_total: i64,
    /// Seats of this pool; each must still be held by this account.
    pub release: Vec<Taken>,
}

/// The outcome of a resize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    pub before: i64,
    pub seats_total: i64,
    pub released: Vec<SeatId>,
    /// See [`Shrink::own_data_lost`].
    pub own_data_lost: i64,
}

/// Releases seats of a pool, and then makes it have so many seats.
///
/// # Errors
///
/// [`AdminRefusal::Guard`] if more are in use; [`AdminRefusal::Moved`]; [`AdminRefusal::NotFound`]; [`AdminRefusal::Nothing`].
pub fn resize(sql: &dyn Sql, admin: &Admin, request: &Resize) -> Result<Resized, Stop> {
    let work = Work::new(sql, admin)?;
    let (table, key) = (Table::Pool, Key::Id(request.pool_id));
    // The pool's row is locked first: two that change the size of one pool wait for each other here.
    let (key, row) = found(&work, table, &key)?;
    require_possible(request.seats_total)?;
    let before = number(table, &row, "seats_total")?;
    if request.before.is_some_and(|seen| Value::Int(seen) != *value_of(table, &row, "seats_total")) {
        return Err(AdminRefusal::Moved { what: format!("seats_total of pool {key}") }.into());
    }
    let mut taken = request.release.clone();
    taken.sort_unstable();
    taken.dedup();
    if taken.len() > RELEASES_MAX {
        return Err(AdminRefusal::TooMany { what: "seats to release", max: RELEASES_MAX as u64 }.into());
    }
    for seat in &taken {
        if seat.pool_id != request.pool_id {
            let why = format!("must be seats of pool {}", request.pool_id);
            return Err(AdminRefusal::Invalid { field: "release", why }.into());
        }
        take_back(&work, *seat)?;
    }
    let own_data_lost = own_data_lost(&work, request.pool_id, before.saturating_sub(request.seats_total))?;
    let column = table.column("seats_total").ok_or(AdminRefusal::Nothing)?;
    let after: Cells = vec![(column, column.check(Value::Int(request.seats_total))?)];
    match change(&work, table, &key, &row, &after) {
        Err(Stop::Refused(AdminRefusal::Nothing)) if !taken.is_empty() => {}
        outcome => drop(outcome?),
    }
    let released = taken.iter().map(|seat| SeatId { pool_id: seat.pool_id, seat_no: seat.seat_no }).collect();
    Ok(Resized { before, seats_total: request.seats_total, released, own_data_lost })
}
