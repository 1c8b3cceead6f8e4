//! What events say of the past, whatever store they are read from.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{HistoryError, HolderThen, MomentSelection, PoolThen};

/// Holders that are looked up together.
const HOLDERS_AT_ONCE: usize = 1_000;

/// The time during which a pool had its id. The id of a deleted pool can be used again.
struct Life {
    first: i64,
    last: i64,
    entity_id: Option<i64>,
    license_type: Option<String>,
}

/// Whose each pool was, and of what type, as the events of pools say it. Events of one pool and its seats have ids that ascend in every
/// store.
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
            // Without its creation: that event is in an archive.
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

    /// A pool that is there, after all events: its own may be in archives, or from before version 3, which did not record it.
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

    /// Of the pool that had this id when this event happened.
    pub(in crate::store) fn at(&self, pool_id: i64, event: i64) -> (Option<i64>, Option<&str>) {
        let lives = self.0.get(&pool_id).map(Vec::as_slice).unwrap_or_default();
        // The first life that ends with the event or after it: one whose creation is not known may begin with any event.
        let life = lives.iter().find(|life| life.last >= event).filter(|life| life.first <= event);
        life.map_or((None, None), |life| (life.entity_id, life.license_type.as_deref()))
    }

    /// Says of an event of a pool or seat whose pool it was, where the row does not say it.
    pub(in crate::store) fn complete(&self, event: &mut super::Event) {
        if let Some(pool_id) = event.pool_id {
            let (entity_id, license_type) = self.at(pool_id, event.id);
            event.entity_id = event.entity_id.or(entity_id);
            event.license_type = event.license_type.take().or(license_type.map(str::to_owned));
        }
    }
}

/// The ids of an entity and of those below it. `children`: of each entity, those that are or were directly below it.
pub(in crate::store) fn below(entity_id: i64, mut children: HashMap<i64, Vec<i64>>) -> HashSet<i64> {
    let mut found = HashSet::from([entity_id]);
    let mut next = vec![entity_id];
    while let Some(id) = next.pop() {
        next.extend(children.remove(&id).unwrap_or_default().into_iter().filter(|child| found.insert(*child)));
    }
    found
}

/// Where an account or a credential was before it moved to another entity.
pub(in crate::store) fn entity_before(event: &super::Event) -> Option<i64> {
    if !matches!(event.action.as_str(), "account-change" | "credential-change") {
        return None;
    }
    let old: serde_json::Value = serde_json::from_str(event.old_values.as_deref()?).ok()?;
    old.get("entity_id")?.as_i64()
}

/// An event, as far as the holders of seats follow from it.
pub(in crate::store) struct Step<'e> {
    pub id: i64,
    pub action: &'e [u8],
    pub pool_id: Option<i64>,
    pub seat_no: Option<i64>,
    pub account_id: Option<i64>,
    pub entity_id: Option<i64>,
    pub license_type: Option<String>,
    /// Of a pool: what it became.
    pub seats_total: Option<i64>,
    /// Of an account that changed: its new name.
    pub username: Option<String>,
}

/// Finds the holders that events of assignments say, each with the number of its seat; in their order.
pub(in crate::store) type FindHolders<'f> = dyn FnMut(&[(i64, i64)]) -> Result<Vec<HolderThen>, HistoryError> + 'f;

/// The holders of seats after some events. In memory are the pools, of each taken seat its number and event, and the accounts that
/// were renamed.
#[derive(Default)]
pub(in crate::store) struct State {
    pools: BTreeMap<i64, Pool>,
    /// Accounts that were renamed, and their names.
    names: HashMap<i64, String>,
}

#[derive(Default)]
struct Pool {
    /// An event of the pool.
    event: i64,
    entity_id: Option<i64>,
    license_type: Option<String>,
    seats_total: i64,
    /// The taken seats, and the events that say by whom.
    seats: BTreeMap<i64, i64>,
}

impl State {
    /// The next event, in the order of the history.
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

    /// Hands over the pools that are asked for, by id, each with its holders.
    ///
    /// `entities`: of which; `None`: of all. `account`: has the name of the selection now. `holders`: what the events of
    /// assignments say, each with the seat's number, in their order.
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
            // The life in which the pool was then.
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
