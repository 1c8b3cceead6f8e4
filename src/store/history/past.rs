//! Derives the past from events, for every store.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{HistoryError, HolderThen, MomentSelection, PoolThen};

/// The number of holders that are looked up together.
const HOLDERS_AT_ONCE: usize = 1_000;

/// The events during which a pool had its id. A new pool can get the id of a deleted one.
struct Life {
    first: i64,
    last: i64,
    entity_id: Option<i64>,
    license_type: Option<String>,
}

/// The entity and type of each pool, from the events of pools. In every store the ids of the events of one pool and its seats
/// ascend.
#[derive(Default)]
pub(in crate::store) struct Lives(HashMap<i64, Vec<Life>>);

impl Lives {
    /// The next event of a pool itself, in the order of the ids.
    pub(in crate::store) fn add_event(
        &mut self,
        id: i64,
        pool_id: i64,
        action: &str,
        entity_id: Option<i64>,
        license_type: Option<String>,
    ) {
        let lives = self.0.entry(pool_id).or_default();
        let is_open = lives.last().is_some_and(|life| life.last == i64::MAX);
        if action == "pool-create" || !is_open {
            // If its creation is unknown, that event is in an archive.
            let first = if action == "pool-create" { id } else { i64::MIN };
            lives.push(Life { first, last: i64::MAX, entity_id: None, license_type: None });
        }
        if let Some(life) = lives.last_mut() {
            life.entity_id = entity_id.or(life.entity_id);
            life.license_type = license_type.or(life.license_type.take());
            if action == "pool-delete" {
                life.last = id;
            }
        }
    }

    /// Adds an existing pool, after all events: its own may be in archives, or older than version 3, which did not record them.
    pub(in crate::store) fn add_pool(&mut self, pool_id: i64, entity_id: Option<i64>, license_type: Option<String>) {
        let lives = self.0.entry(pool_id).or_default();
        if lives.last().is_none_or(|life| life.last != i64::MAX) {
            lives.push(Life { first: i64::MIN, last: i64::MAX, entity_id: None, license_type: None });
        }
        if let Some(life) = lives.last_mut() {
            life.entity_id = life.entity_id.or(entity_id);
            life.license_type = life.license_type.take().or(license_type);
        }
    }

    /// The entity and type of the pool that had this id at this event.
    pub(in crate::store) fn at(&self, pool_id: i64, event: i64) -> (Option<i64>, Option<&str>) {
        let lives = self.0.get(&pool_id).map(Vec::as_slice).unwrap_or_default();
        // The first life that ends with the event or after it: if its creation is unknown, it may begin with any event.
        let life = lives.iter().find(|life| life.last >= event).filter(|life| life.first <= event);
        life.map_or((None, None), |life| (life.entity_id, life.license_type.as_deref()))
    }

    /// Adds the entity and type of the pool to an event of a pool or seat whose row does not have them.
    pub(in crate::store) fn complete(&self, event: &mut super::Event) {
        if let Some(pool_id) = event.pool_id {
            let (entity_id, license_type) = self.at(pool_id, event.id);
            event.entity_id = event.entity_id.or(entity_id);
            event.license_type = event.license_type.take().or(license_type.map(str::to_owned));
        }
    }
}

/// The ids of an entity and of those below it. `children`: for each entity, those that are or were directly below it.
pub(in crate::store) fn below(entity_id: i64, mut children: HashMap<i64, Vec<i64>>) -> HashSet<i64> {
    let mut found = HashSet::from([entity_id]);
    let mut next = vec![entity_id];
    while let Some(id) = next.pop() {
        next.extend(children.remove(&id).unwrap_or_default().into_iter().filter(|child| found.insert(*child)));
    }
    found
}

/// The entity that an account or a credential left when it moved.
pub(in crate::store) fn entity_before(event: &super::Event) -> Option<i64> {
    if !matches!(event.action.as_str(), "account-change" | "credential-change") {
        return None;
    }
    let old: serde_json::Value = serde_json::from_str(event.old_values.as_deref()?).ok()?;
    old.get("entity_id")?.as_i64()
}

/// The part of an event that determines the holders of seats.
pub(in crate::store) struct Step<'e> {
    pub id: i64,
    pub action: &'e [u8],
    pub pool_id: Option<i64>,
    pub seat_no: Option<i64>,
    pub account_id: Option<i64>,
    pub entity_id: Option<i64>,
    pub license_type: Option<String>,
    /// For an event of a pool: its new number of seats.
    pub seats_total: Option<i64>,
    /// For a changed account: its new name.
    pub username: Option<String>,
}

/// Finds the holders in events of assignments, each given with the number of its seat; in the same order.
pub(in crate::store) type FindHolders<'f> = dyn FnMut(&[(i64, i64)]) -> Result<Vec<HolderThen>, HistoryError> + 'f;

/// The holders of seats after some events. It has in memory the pools, the number and event of each taken seat, and the renamed
/// accounts.
#[derive(Default)]
pub(in crate::store) struct State {
    pools: BTreeMap<i64, Pool>,
    /// The names of renamed accounts.
    names: HashMap<i64, String>,
}

#[derive(Default)]
struct Pool {
    /// An event of this pool.
    event: i64,
    entity_id: Option<i64>,
    license_type: Option<String>,
    seats_total: i64,
    /// The taken seats, each with the event of its assignment.
    seats: BTreeMap<i64, i64>,
}

impl State {
    /// Applies the next event, in the order of the history.
    pub(in crate::store) fn apply(&mut self, step: Step<'_>) {
        let id = step.id;
        match (step.action, step.pool_id, step.seat_no) {
            (b"pool-create", Some(pool_id), _) => {
                let seats_total = step.seats_total.unwrap_or(0);
                let (entity_id, license_type) = (step.entity_id, step.license_type);
                let pool = Pool { event: id, entity_id, license_type, seats_total, seats: BTreeMap::new() };
                self.pools.insert(pool_id, pool);
            }
            (b"pool-change", Some(pool_id), _) => {
                let pool = self.pool(pool_id, id);
                pool.seats_total = step.seats_total.unwrap_or(pool.seats_total);
            }
            (b"pool-delete", Some(pool_id), _) => drop(self.pools.remove(&pool_id)),
            (b"assign", Some(pool_id), Some(seat_no)) => {
                self.pool(pool_id, id).seats.insert(seat_no, id);
            }
            (b"release", Some(pool_id), Some(seat_no)) => {
                self.pool(pool_id, id).seats.remove(&seat_no);
            }
            (b"account-change", _, _) => {
                if let (Some(account_id), Some(name)) = (step.account_id, step.username) {
                    self.names.insert(account_id, name);
                }
            }
            _ => {}
        }
    }

    fn pool(&mut self, pool_id: i64, event: i64) -> &mut Pool {
        self.pools.entry(pool_id).or_insert_with(|| Pool { event, ..Pool::default() })
    }

    /// Hands over the selected pools, by id, each with its holders.
    ///
    /// `entities`: the selected ones; `None`: all. `account`: the one that has the selected name now. `holders`: finds the
    /// holders in events of assignments.
    pub(in crate::store) fn show(
        &self,
        lives: &Lives,
        selection: &MomentSelection,
        entities: Option<&HashSet<i64>>,
        account: Option<i64>,
        holders: &mut FindHolders<'_>,
        show: &mut dyn FnMut(&PoolThen, Option<&HolderThen>) -> std::io::Result<()>,
    ) -> Result<(), HistoryError> {
        let is_asked_for = |holder: &HolderThen| match &selection.user {
            None => true,
            Some(name) => {
                account.is_some_and(|id| holder.account_id == Some(id)) || holder.username.eq_ignore_ascii_case(name)
            }
        };
        for (id, pool) in &self.pools {
            // The life of the pool at that time.
            let (entity_id, license_type) = lives.at(*id, pool.event);
            let then = PoolThen {
                id: *id,
                entity_id: pool.entity_id.or(entity_id),
                license_type: pool.license_type.clone().or(license_type.map(str::to_owned)),
                seats_total: pool.seats_total,
                seats_in_use: i64::try_from(pool.seats.len()).unwrap_or(i64::MAX),
            };
            let is_of_entity = entities.is_none_or(|entities| then.entity_id.is_some_and(|id| entities.contains(&id)));
            if !is_of_entity || selection.pool_id.is_some_and(|pool_id| pool_id != *id) {
                continue;
            }
            if selection.user.is_none() {
                show(&then, None)?;
            }
            let seats: Vec<(i64, i64)> = pool.seats.iter().map(|(seat_no, event)| (*seat_no, *event)).collect();
            for seats in seats.chunks(HOLDERS_AT_ONCE) {
                for mut holder in holders(seats)? {
                    if let Some(name) = holder.account_id.and_then(|id| self.names.get(&id)) {
                        holder.username.clone_from(name);
                    }
                    if is_asked_for(&holder) {
                        show(&then, Some(&holder))?;
                    }
                }
            }
        }
        Ok(())
    }
}
