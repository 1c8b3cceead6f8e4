//! The tree of entities with its numbers: what each entity has, and what it has with everything below it.
//!
//! One pass over `entity` and `license_pool` makes it; seats and events are not read. The pass takes a part of a second with 100,000
//! entities, so [`TotalsCache`] keeps the result for a short time. Pages show when it was made ([`Totals::at`]). Lists take from it which
//! rows there may be and in which order, and read the rows themselves, and whether the caller may see them, from the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::page::folded;
use super::pool_events::not_yet_counted;
use super::pools::PoolState;
use super::{Sql, Stop};
use crate::license::PerType;
use crate::seats::LicenseType;

/// Numbers of pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// Pools, whatever their state.
    pub pools: i64,
    /// Seats of the pools that are open: begun and not expired.
    pub seats: i64,
    /// Seats of open pools that are in use.
    pub in_use: i64,
    /// Seats of pools that have expired, and are in use.
    pub in_use_expired: i64,
    /// When the first of the open pools expires; `None`: none does.
    pub expires_first: Option<Timestamp>,
}

impl Numbers {
    /// Free seats of the open pools.
    pub fn free(&self) -> i64 {
        self.seats - self.in_use
    }

    /// How full the open pools are, rounded down; `None`: they have no seats.
    pub fn percent(&self) -> Option<i64> {
        percent(self.in_use, self.seats)
    }

    pub(super) fn add(&mut self, other: &Numbers) {
        self.pools += other.pools;
        self.seats += other.seats;
        self.in_use += other.in_use;
        self.in_use_expired += other.in_use_expired;
        self.expires_first = match (self.expires_first, other.expires_first) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// How full something is, rounded down; `None`: it has no seats.
pub(super) fn percent(in_use: i64, seats: i64) -> Option<i64> {
    (seats > 0).then(|| in_use * 100 / seats)
}

/// An entity, as far as lists choose by it.
#[derive(Debug, Clone)]
pub(super) struct EntityEntry {
    pub id: i64,
    pub parent_id: Option<i64>,
    /// [`folded`], for sorting and searching.
    pub name: String,
    pub owner_name: Option<String>,
    pub customer_nr: Option<String>,
    pub active: bool,
    pub children: i64,
    pub own: Numbers,
    /// With everything below it.
    pub all: Numbers,
}

/// A pool, as far as lists choose by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolEntry {
    pub id: i64,
    pub entity_id: i64,
    pub license_type: LicenseType,
    pub seats_total: i64,
    pub seats_in_use: i64,
    pub starts_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

impl PoolEntry {
    pub fn state(&self, now: Timestamp) -> PoolState {
        PoolState::at(self.starts_at, self.expires_at, now)
    }

    pub(super) fn numbers(&self, now: Timestamp) -> Numbers {
        let mut numbers = Numbers { pools: 1, ..Numbers::default() };
        match self.state(now) {
            PoolState::Open => {
                numbers.seats = self.seats_total;
                numbers.in_use = self.seats_in_use;
                numbers.expires_first = self.expires_at;
            }
            PoolState::Expired => numbers.in_use_expired = self.seats_in_use,
            PoolState::NotBegun => {}
        }
        numbers
    }
}

/// See the module.
#[derive(Debug)]
pub struct Totals {
    /// When it was made, by the clock that decides.
    pub at: Timestamp,
    pub(super) entities: Vec<EntityEntry>,
    pub(super) pools: Vec<PoolEntry>,
    places: HashMap<i64, usize>,
    made: Instant,
    took: Duration,
}

impl Totals {
    /// Reads it.
    pub fn read(sql: &dyn Sql, now: Timestamp) -> Result<Totals, Stop> {
        let made = Instant::now();
        let mut entities = read_entities(sql)?;
        let pools = read_pools(sql)?;
        let places: HashMap<i64, usize> = entities.iter().enumerate().map(|(at, entity)| (entity.id, at)).collect();
        for pool in &pools {
            if let Some(at) = places.get(&pool.entity_id) {
                entities[*at].own.add(&pool.numbers(now));
            }
        }
        roll_up(&mut entities, &places);
        Ok(Totals { at: now, entities, pools, places, made, took: made.elapsed() })
    }

    pub(super) fn entity(&self, id: i64) -> Option<&EntityEntry> {
        self.places.get(&id).map(|at| &self.entities[*at])
    }

    /// Numbers of an entity with everything below it; `None`: it was not there.
    pub fn of_entity(&self, id: i64) -> Option<Numbers> {
        self.entity(id).map(|entity| entity.all)
    }

    /// Whether an entity is another one or below it, as the tree was then.
    pub(super) fn is_below(&self, id: i64, root: i64) -> bool {
        let mut at = Some(id);
        // A circle that got past the guards is not walked for ever.
        for _ in 0..=self.entities.len() {
            match at {
                Some(id) if id == root => return true,
                Some(id) => at = self.entity(id).and_then(|entity| entity.parent_id),
                None => return false,
            }
        }
        false
    }

    /// The pools of an entity and of everything below it, by type: what the open ones have.
    pub fn by_type(&self, root: Option<i64>) -> PerType<Numbers> {
        let mut numbers: PerType<Numbers> = Default::default();
        let mut below: HashMap<i64, bool> = HashMap::new();
        for pool in &self.pools {
            let counts = root
                .is_none_or(|root| *below.entry(pool.entity_id).or_insert_with(|| self.is_below(pool.entity_id, root)));
            if counts {
                numbers[pool.license_type.index()].add(&pool.numbers(self.at));
            }
        }
        numbers
    }
}

fn read_entities(sql: &dyn Sql) -> Result<Vec<EntityEntry>, Stop> {
    let rows = sql.rows("SELECT id, parent_id, name, owner_name, customer_nr, active FROM entity ORDER BY id", &[])?;
    rows.iter()
        .map(|row| {
            Ok(EntityEntry {
                id: row.int(0)?,
                parent_id: row.opt_int(1)?,
                name: folded(&row.text(2)?),
                owner_name: row.opt_text(3)?,
                customer_nr: row.opt_text(4)?,
                active: row.flag(5)?,
                children: 0,
                own: Numbers::default(),
                all: Numbers::default(),
            })
        })
        .collect()
}

fn read_pools(sql: &dyn Sql) -> Result<Vec<PoolEntry>, Stop> {
    let since = not_yet_counted(sql, None)?;
    let rows = sql.rows(
        "SELECT id, entity_id, license_type, seats_total, seats_in_use, starts_at, expires_at FROM license_pool ORDER BY id",
        &[],
    )?;
    let mut pools = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = row.int(0)?;
        // The schema holds it to these.
        let Ok(license_type) = row.text(2)?.parse() else { continue };
        pools.push(PoolEntry {
            id,
            entity_id: row.int(1)?,
            license_type,
            seats_total: row.int(3)?,
            seats_in_use: row.int(4)? + since.get(&id).copied().unwrap_or(0),
            starts_at: row.time(5)?,
            expires_at: row.time(6)?,
        });
    }
    Ok(pools)
}

/// Adds to each entity what those below it have: leaves first. Entities in a circle that got past the guards keep their own numbers.
fn roll_up(entities: &mut [EntityEntry], places: &HashMap<i64, usize>) {
    let parents: Vec<Option<usize>> =
        entities.iter().map(|entity| entity.parent_id.and_then(|parent| places.get(&parent).copied())).collect();
    for (at, parent) in parents.iter().enumerate() {
        entities[at].all = entities[at].own;
        if let Some(parent) = parent {
            entities[*parent].children += 1;
        }
    }
    let mut waiting: Vec<i64> = entities.iter().map(|entity| entity.children).collect();
    let mut ready: Vec<usize> = (0..entities.len()).filter(|at| waiting[*at] == 0).collect();
    while let Some(at) = ready.pop() {
        let Some(parent) = parents[at] else { continue };
        let numbers = entities[at].all;
        entities[parent].all.add(&numbers);
        waiting[parent] -= 1;
        if waiting[parent] == 0 {
            ready.push(parent);
        }
    }
}

/// Keeps [`Totals`] of one database for a short time: so long that reading them takes a hundredth of the time at most. With few entities
/// that is no time at all.
#[derive(Debug, Default)]
pub struct TotalsCache {
    kept: Mutex<Option<Arc<Totals>>>,
}

/// Totals are kept for so many times as long as they took to read.
const LIFE_FACTOR: u32 = 100;

/// But no longer than this.
const LIFE_MAX: Duration = Duration::from_secs(60);

/// Totals that took no longer are not kept.
const QUICK: Duration = Duration::from_millis(5);

impl TotalsCache {
    /// The totals that are kept, or such as are read now.
    pub fn get(&self, sql: &dyn Sql, now: Timestamp) -> Result<Arc<Totals>, Stop> {
        let kept = self.kept().clone();
        if let Some(totals) = kept.filter(|totals| totals.is_fresh()) {
            return Ok(totals);
        }
        let totals = Arc::new(Totals::read(sql, now)?);
        *self.kept() = Some(Arc::clone(&totals));
        Ok(totals)
    }

    /// Forgets them: something was changed here.
    pub fn forget(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Totals>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn is_fresh(&self) -> bool {
        self.took > QUICK && self.made.elapsed() < (self.took * LIFE_FACTOR).min(LIFE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(id: i64, parent_id: Option<i64>, seats: i64) -> EntityEntry {
        EntityEntry {
            id,
            parent_id,
            name: String::new(),
            owner_name: None,
            customer_nr: None,
            active: true,
            children: 0,
            own: Numbers { pools: 1, seats, ..Numbers::default() },
            all: Numbers::default(),
        }
    }

    #[test]
    fn numbers_are_added_up_the_tree_and_a_circle_ends() {
        let mut entities = vec![
            entity(1, None, 1),
            entity(2, Some(1), 10),
            entity(3, Some(2), 100),
            entity(4, Some(1), 1000),
            // A circle, with one below it.
            entity(7, Some(8), 5),
            entity(8, Some(7), 6),
            entity(9, Some(8), 7),
            // The entity above is gone.
            entity(10, Some(99), 8),
        ];
        let places = entities.iter().enumerate().map(|(at, entity)| (entity.id, at)).collect();
        roll_up(&mut entities, &places);
        let found: Vec<(i64, i64, i64)> =
            entities.iter().map(|entity| (entity.id, entity.all.seats, entity.children)).collect();
        let expected =
            [(1, 1111, 2), (2, 110, 1), (3, 100, 0), (4, 1000, 0), (7, 5, 1), (8, 13, 2), (9, 7, 0), (10, 8, 0)];
        assert_eq!(found, expected);
    }
}
