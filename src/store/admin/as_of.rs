//! Who held what at a past moment: the holders of a pool now, with the events since then taken back.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::holders::{self, HolderAccount, HolderFilter, accounts};
use super::pool_events::PoolEvents;
use super::pools::{self, PoolRow};
use super::scope::Scope;
use super::{Admin, Page, Sql, Start, Stop};

/// A pool at a past moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolThen {
    /// As it is now.
    pub pool: PoolRow,
    pub at: Timestamp,
    /// `None`: too many events happened since, or they were moved to an archive.
    pub numbers: Option<Numbers>,
    /// Empty without numbers.
    pub holders: Page<HolderThen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    pub seats_total: i64,
    pub seats_in_use: i64,
}

/// A seat that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderThen {
    pub seat_no: i64,
    /// By the name that it has now; `None`: a user of an entity that the caller may not see.
    pub account: Option<HolderAccount>,
    /// It does not hold the seat any more.
    pub is_over: bool,
}

/// Events that are taken back at most.
pub const EVENTS_MAX: usize = 50_000;

/// A pool that is there now, as it was. `start`: pages go forwards only.
///
/// # Errors
///
/// [`super::AdminRefusal::NotFound`]: there is no such pool that the caller may see.
pub fn pool_at(
    sql: &dyn Sql,
    admin: &Admin,
    id: i64,
    at: Timestamp,
    start: &Start,
    limit: usize,
) -> Result<PoolThen, Stop> {
    let pool = pools::one(sql, admin, id)?;
    let Some(past) = Past::read(sql, &pool, at)? else {
        return Ok(PoolThen { pool, at, numbers: None, holders: Page::default() });
    };
    let numbers = Some(Numbers { seats_total: past.seats_total, seats_in_use: past.seats_in_use });
    let holders = past.holders(sql, admin, id, start, limit)?;
    Ok(PoolThen { pool, at, numbers, holders })
}

/// The state before the events since then.
struct Past {
    seats_total: i64,
    seats_in_use: i64,
    /// Seats that changed hands since, and their holders then.
    touched: BTreeMap<i64, Option<i64>>,
}

impl Past {
    fn read(sql: &dyn Sql, pool: &PoolRow, at: Timestamp) -> Result<Option<Past>, Stop> {
        let mut past =
            Past { seats_total: pool.seats_total, seats_in_use: pool.seats_in_use, touched: BTreeMap::new() };
        let mut events = PoolEvents::of_pool(sql, pool.id, EVENTS_MAX)?;
        loop {
            let chunk = events.chunk()?;
            if chunk.is_empty() {
                // The oldest event that there is happened after that moment, and it did not create the pool.
                return Ok(None);
            }
            for event in chunk {
                if event.at <= at {
                    return Ok(Some(past));
                }
                match (event.action.as_str(), event.seat_no) {
                    ("assign", Some(seat_no)) => {
                        past.seats_in_use -= 1;
                        past.touched.insert(seat_no, None);
                    }
                    ("release", Some(seat_no)) => {
                        past.seats_in_use += 1;
                        past.touched.insert(seat_no, event.account_id);
                    }
                    ("pool-create", _) => {
                        past.seats_total = 0;
                        return Ok(Some(past));
                    }
                    _ => past.seats_total = event.seats_before.unwrap_or(past.seats_total),
                }
            }
        }
    }

    fn holders(
        &self,
        sql: &dyn Sql,
        admin: &Admin,
        pool_id: i64,
        start: &Start,
        limit: usize,
    ) -> Result<Page<HolderThen>, Stop> {
        let now = holders::list(sql, admin, pool_id, &HolderFilter::default(), start, limit)?;
        let first = match start {
            Start::After(key) => key.id,
            Start::First | Start::Before(_) => 0,
        };
        let last = now.next.as_ref().map_or(i64::MAX, |key| key.id);
        let mut rows: BTreeMap<i64, HolderThen> = BTreeMap::new();
        for row in now.rows.into_iter().filter(|row| !self.touched.contains_key(&row.seat_no)) {
            rows.insert(row.seat_no, HolderThen { seat_no: row.seat_no, account: row.account, is_over: false });
        }
        let range = (std::ops::Bound::Excluded(first), std::ops::Bound::Included(last.max(first)));
        let others: HashMap<i64, i64> = if first >= last {
            HashMap::new()
        } else {
            self.touched.range(range).filter_map(|(seat_no, account)| Some((*seat_no, (*account)?))).collect()
        };
        let ids: Vec<i64> = others.values().copied().collect();
        let accounts = accounts(sql, &Scope::of(sql, admin), &ids)?;
        for (seat_no, account_id) in others {
            rows.insert(seat_no, HolderThen { seat_no, account: accounts.get(&account_id).cloned(), is_over: true });
        }
        Ok(Page { rows: rows.into_values().collect(), next: now.next, previous: None, is_partial: now.is_partial })
    }
}
