//! Holders of the seats of one pool, in the order of the seats: a pool may have ten million.

use std::collections::HashMap;

use super::page::{Key, Page, Start, by_ids, count, folded, scan, wanted};
use super::pool_events::{PoolEvents, Since, since};
use super::pools::{self, PoolRow};
use super::scope::{Scope, entity_names};
use super::{Admin, Row, Sql, Stop, Value};

/// Which holders of a pool are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HolderFilter {
    /// A part of the user name, in any case.
    pub text: Option<String>,
    /// Whether the account is active.
    pub active: Option<bool>,
}

/// A seat that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderRow {
    pub seat_no: i64,
    /// `None`: a user of an entity that the caller may not see.
    pub account: Option<HolderAccount>,
    pub since: Since,
}

/// An account that holds a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderAccount {
    pub id: i64,
    pub username: String,
    pub active: bool,
    pub entity_id: i64,
    pub entity_name: String,
}

/// Events of the pool that are read to find out since when its seats are held.
const SINCE_EVENTS_MAX: usize = 5_000;

/// The holders of a pool that the caller may see.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    pool_id: i64,
    filter: &HolderFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<HolderRow>, Stop> {
    let pool = pools::one(sql, admin, pool_id)?;
    let scope = Scope::of(sql, admin);
    let text = wanted(filter.text.as_deref()).map(folded);
    let few = if is_sparse(&pool) { taken(sql, &pool)? } else { None };
    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        if let Some(few) = &few {
            let numbers: Vec<i64> = pools::slice(few, |key| key, from, back, n).iter().map(|key| key.id).collect();
            return some_seats(sql, pool_id, &numbers);
        }
        let (statement, first) = if back { (SEATS_BACK, i64::MAX) } else { (SEATS, 0) };
        let from = from.map_or(first, |key| key.id);
        let rows = sql.rows(statement, &[pool_id.into(), Value::Int(from), count(n)])?;
        rows.iter().map(seat).collect()
    };
    let mut keep = |seats: Vec<Seat>| {
        let mut seats: Vec<Seat> = seats.into_iter().filter(|seat| seat.account_id.is_some()).collect();
        let ids: Vec<i64> = seats.iter().filter_map(|seat| seat.account_id).collect();
        let accounts = accounts(sql, &scope, &ids)?;
        for seat in &mut seats {
            seat.account = seat.account_id.and_then(|id| accounts.get(&id).cloned());
        }
        // A user that the caller may not see fits no filter.
        seats.retain(|seat| match &seat.account {
            Some(account) => {
                text.as_ref().is_none_or(|text| folded(&account.username).contains(text))
                    && filter.active.is_none_or(|active| active == account.active)
            }
            None => text.is_none() && filter.active.is_none(),
        });
        Ok(seats)
    };
    let page = scan(start, limit, &mut read, &|seat| Key::of_id(seat.seat_no), &mut keep)?;
    let numbers: Vec<i64> = page.rows.iter().map(|seat| seat.seat_no).collect();
    let since = since(sql, pool_id, &numbers, SINCE_EVENTS_MAX)?;
    Ok(page.map(|seat| HolderRow {
        seat_no: seat.seat_no,
        account: seat.account,
        since: since.get(&seat.seat_no).copied().unwrap_or(Since::Unknown),
    }))
}

/// Seats of a pool in which the few that are taken may lie far apart.
const SPARSE_SEATS_MIN: i64 = 50_000;

/// Events that are read to find out which seats of a sparse pool are taken.
const SPARSE_EVENTS_MAX: usize = 20_000;

/// Most of a large pool is free. PostgreSQL gives out any free seat, so a page could pass over a million of them.
fn is_sparse(pool: &PoolRow) -> bool {
    pool.seats_total >= SPARSE_SEATS_MIN && pool.seats_in_use < pool.seats_total / 100
}

/// The seats of a pool that are taken, as its events say, in their order; `None`: there are too many events.
fn taken(sql: &dyn Sql, pool: &PoolRow) -> Result<Option<Vec<Key>>, Stop> {
    let mut events = PoolEvents::of_pool(sql, pool.id, SPARSE_EVENTS_MAX)?;
    // The newest event of a seat says whether it is taken.
    let mut seats: HashMap<i64, bool> = HashMap::new();
    loop {
        let chunk = events.chunk()?;
        if chunk.is_empty() {
            break;
        }
        for event in chunk.iter().filter(|event| event.action == "assign" || event.action == "release") {
            seats.entry(event.seat_no.unwrap_or(0)).or_insert(event.action == "assign");
        }
    }
    let mut taken: Vec<Key> =
        seats.into_iter().filter(|(_, taken)| *taken).map(|(number, _)| Key::of_id(number)).collect();
    // Some were taken before the events that are here.
    let are_all = !events.has_more() && i64::try_from(taken.len()).is_ok_and(|number| number == pool.seats_in_use);
    taken.sort_unstable();
    Ok(are_all.then_some(taken))
}

/// Seats of a pool, in the order of these numbers.
fn some_seats(sql: &dyn Sql, pool_id: i64, numbers: &[i64]) -> Result<Vec<Seat>, Stop> {
    let text = "SELECT seat_no, account_id FROM seat WHERE pool_id = $1 AND seat_no IN ($ids)";
    let rows = by_ids(sql, text, &[pool_id.into()], numbers)?;
    let mut seats: HashMap<i64, Seat> =
        rows.iter().map(|row| seat(row).map(|seat| (seat.seat_no, seat))).collect::<Result<_, Stop>>()?;
    Ok(numbers.iter().filter_map(|number| seats.remove(number)).collect())
}

fn seat(row: &Row) -> Result<Seat, Stop> {
    Ok(Seat { seat_no: row.int(0)?, account_id: row.opt_int(1)?, account: None })
}

struct Seat {
    seat_no: i64,
    account_id: Option<i64>,
    account: Option<HolderAccount>,
}

/// Free seats are read too and passed over, so that a page ends in bounded time also where ten million of them are free.
const SEATS: &str = "
    SELECT seat_no, account_id FROM seat WHERE pool_id = $1 AND seat_no > $2 ORDER BY pool_id, seat_no LIMIT $3";

const SEATS_BACK: &str = "
    SELECT seat_no, account_id FROM seat WHERE pool_id = $1 AND seat_no < $2 ORDER BY pool_id DESC, seat_no DESC LIMIT $3";

/// The accounts with these ids that the caller may see.
pub(super) fn accounts(sql: &dyn Sql, scope: &Scope<'_>, ids: &[i64]) -> Result<HashMap<i64, HolderAccount>, Stop> {
    let rows = by_ids(sql, "SELECT id, username, active, entity_id FROM account WHERE id IN ($ids)", &[], ids)?;
    let account = |row: &Row| {
        Ok(HolderAccount {
            id: row.int(0)?,
            username: row.text(1)?,
            active: row.flag(2)?,
            entity_id: row.int(3)?,
            entity_name: String::new(),
        })
    };
    let accounts = rows.iter().map(account).collect::<Result<Vec<_>, Stop>>()?;
    let accounts = scope.retain(accounts, |account| account.entity_id)?;
    let names = entity_names(scope, accounts.iter().map(|account| account.entity_id))?;
    let named = |mut account: HolderAccount| {
        account.entity_name = names.get(&account.entity_id).cloned().unwrap_or_default();
        (account.id, account)
    };
    Ok(accounts.into_iter().map(named).collect())
}
