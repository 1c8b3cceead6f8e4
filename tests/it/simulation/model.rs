//! The reference model: what the documents say about seats, in as few lines as it takes, and nothing of the service's own rules.

use super::*;

#[derive(Debug, Clone)]
pub struct Model {
    entities: BTreeMap<i32, (Option<i32>, bool)>,
    accounts: Vec<Account>,
    pub pools: BTreeMap<i64, Pool>,
}

/// Its id is its place in the list and 1.
#[derive(Debug, Clone)]
struct Account {
    username: String,
    entity_id: i32,
    active: bool,
}

#[derive(Debug, Clone)]
pub struct Pool {
    pub entity_id: i32,
    pub license_type: LicenseType,
    pub starts_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// By number; who holds it.
    pub seats: BTreeMap<i64, Option<usize>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Caller {
    pub entity_id: i32,
    pub is_admin: bool,
}

#[derive(Debug, Clone)]
pub struct Assign {
    pub username: String,
    pub entity_id: i32,
    pub license_type: LicenseType,
}

#[derive(Debug)]
pub enum Taken {
    /// Any free seat of the pool.
    Free {
        pool_id: i64,
        account_id: usize,
    },
    This(SeatId),
}

/// A refusal in short: its kind, and the numbers it tells.
pub fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::RoleTooLow { .. } => "role".to_owned(),
        Refusal::EntityUnknown { entity_id, .. } => format!("no entity {entity_id}"),
        Refusal::ProviderInactive { provider_entity_id } => format!("inactive entity {provider_entity_id}"),
        Refusal::AccountUnavailable { .. } => "account".to_owned(),
        Refusal::AlreadyAssigned { held, .. } => match held {
            Some(held) => format!("holds {} of pool {}", held.seat.seat_no, held.seat.pool_id),
            None => "holds one of others".to_owned(),
        },
        Refusal::NoPool { starts_at, .. } => format!("no pool, the next starts at {starts_at:?}"),
        Refusal::PoolExpired { expired_at, .. } => format!("expired at {expired_at}"),
        Refusal::NoFreeSeat { seats_total, pools, .. } => format!("none of {seats_total} in {pools} is free"),
        Refusal::NotAssigned { .. } => "not assigned".to_owned(),
        Refusal::SeatOfOthers { .. } => "a seat of others".to_owned(),
        other => format!("{other:?}"),
    }
}

impl Pool {
    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn is_open(&self, now: Timestamp) -> bool {
        !self.has_expired(now) && self.starts_at.is_none_or(|at| at <= now)
    }

    fn in_use(&self) -> i64 {
        self.seats.values().flatten().count() as i64
    }
}

impl Model {
    pub fn new(entities: &[(i32, Option<i32>)], accounts: &[(&str, i32)]) -> Model {
        let account = |(name, entity_id): &(&str, i32)| Account {
            username: (*name).to_owned(),
            entity_id: *entity_id,
            active: true,
        };
        Model {
            entities: entities.iter().map(|(id, parent_id)| (*id, (*parent_id, true))).collect(),
            accounts: accounts.iter().map(account).collect(),
            pools: BTreeMap::new(),
        }
    }

    /// The seat rules in their order: role, provider entity, account, held already, pools, free seats.
    pub fn assign(&mut self, caller: Caller, assign: &Assign, now: Timestamp) -> Result<Taken, String> {
        self.provider(caller, assign.entity_id)?;
        let account_id = self.account(caller, &assign.username)?;
        let held = account_id.and_then(|id| self.held(id, assign.license_type));
        self.may_take(caller, held, now)?;
        let of_type = |pool: &&Pool| pool.entity_id == assign.entity_id && pool.license_type == assign.license_type;
        let open: Vec<(i64, &Pool)> = self
            .pools
            .iter()
            .filter(|(_, pool)| of_type(pool) && pool.is_open(now))
            .map(|(id, pool)| (*id, pool))
            .collect();
        if open.is_empty() {
            return Err(no_open_pool(self.pools.values().filter(of_type), now));
        }
        let mut with_free = open.iter().filter(|(_, pool)| pool.in_use() < pool.seats.len() as i64).collect::<Vec<_>>();
        // What expires first is used first, what never expires last.
        with_free.sort_by_key(|(id, pool)| (pool.expires_at.is_none(), pool.expires_at, *id));
        let Some((pool_id, _)) = with_free.first() else {
            let total: usize = open.iter().map(|(_, pool)| pool.seats.len()).sum();
            return Err(format!("none of {total} in {} is free", open.len()));
        };
        let pool_id = *pool_id;
        let account_id = account_id.unwrap_or_else(|| self.enroll(&assign.username, assign.entity_id));
        self.give_up(held);
        Ok(Taken::Free { pool_id, account_id })
    }

    pub fn release(&mut self, caller: Caller, username: &str, license_type: LicenseType) -> Result<Taken, String> {
        self.is_admin(caller)?;
        let held = self.visible(caller, username).and_then(|id| self.held(id, license_type));
        let seat = held.ok_or("not assigned")?;
        self.free(seat.pool_id, seat.seat_no);
        Ok(Taken::This(seat))
    }

    pub fn transfer(
        &mut self,
        caller: Caller,
        from: &str,
        to: &str,
        license_type: LicenseType,
        now: Timestamp,
    ) -> Result<Taken, String> {
        self.is_admin(caller)?;
        let held = self.visible(caller, from).and_then(|id| self.held(id, license_type));
        let seat = held.ok_or("not assigned")?;
        let (entity_id, expires_at) = (self.pools[&seat.pool_id].entity_id, self.pools[&seat.pool_id].expires_at);
        if !self.is_below(entity_id, caller.entity_id) {
            return Err("a seat of others".to_owned());
        }
        self.provider(caller, entity_id)?;
        let to_id = self.account(caller, to)?;
        let to_held = to_id.and_then(|id| self.held(id, license_type));
        self.may_take(caller, to_held, now)?;
        if let Some(at) = expires_at.filter(|at| *at <= now) {
            return Err(format!("expired at {at}"));
        }
        let to_id = to_id.unwrap_or_else(|| self.enroll(to, entity_id));
        self.give_up(to_held);
        self.take(seat.pool_id, seat.seat_no, to_id);
        Ok(Taken::This(seat))
    }

    pub fn is_free(&self, seat: SeatId) -> bool {
        self.pools.get(&seat.pool_id).and_then(|pool| pool.seats.get(&seat.seat_no)) == Some(&None)
    }

    pub fn take(&mut self, pool_id: i64, seat_no: i64, account_id: usize) {
        let pool = self.pools.get_mut(&pool_id).expect("the pool is there");
        let before = pool.seats.insert(seat_no, Some(account_id));
        assert!(before.is_some(), "pool {pool_id} has no seat {seat_no}");
    }

    /// By hand: false where the database refuses.
    pub fn give(&mut self, pool_id: i64, seat_no: i64, username: &str) -> bool {
        let Some(account_id) = self.find(username) else { return true };
        let Some(license_type) = self.pools.get(&pool_id).map(|pool| pool.license_type) else { return true };
        let Some(holder) = self.pools[&pool_id].seats.get(&seat_no).copied() else { return true };
        if holder == Some(account_id) {
            return true;
        }
        if holder.is_some() || self.held(account_id, license_type).is_some() {
            return false;
        }
        self.take(pool_id, seat_no, account_id);
        true
    }

    pub fn free(&mut self, pool_id: i64, seat_no: i64) {
        if let Some(holder) = self.pools.get_mut(&pool_id).and_then(|pool| pool.seats.get_mut(&seat_no)) {
            *holder = None;
        }
    }

    /// New seats come after the last; the last free ones go.
    pub fn resize(&mut self, pool_id: i64, total: i64) -> bool {
        let Some(pool) = self.pools.get_mut(&pool_id) else { return true };
        if total < pool.in_use() {
            return false;
        }
        while pool.seats.len() as i64 > total {
            let last = pool.seats.iter().rfind(|(_, holder)| holder.is_none()).map(|(seat_no, _)| *seat_no);
            pool.seats.remove(&last.expect("a free seat"));
        }
        while (pool.seats.len() as i64) < total {
            let next = pool.seats.keys().next_back().unwrap_or(&0) + 1;
            pool.seats.insert(next, None);
        }
        true
    }

    pub fn delete_pool(&mut self, pool_id: i64) -> bool {
        if self.pools.get(&pool_id).is_some_and(|pool| pool.in_use() > 0) {
            return false;
        }
        self.pools.remove(&pool_id);
        true
    }

    pub fn set_entity_active(&mut self, id: i32, active: bool) {
        self.entities.get_mut(&id).expect("an entity").1 = active;
    }

    pub fn set_account_active(&mut self, username: &str, active: bool) {
        if let Some(id) = self.find(username) {
            self.accounts[id].active = active;
        }
    }

    pub fn expire(&mut self, pool_id: i64, expires_at: Option<Timestamp>) -> bool {
        let Some(pool) = self.pools.get_mut(&pool_id) else { return true };
        let in_order = pool.starts_at.zip(expires_at).is_none_or(|(starts_at, expires_at)| starts_at < expires_at);
        if in_order {
            pool.expires_at = expires_at;
        }
        in_order
    }

    pub fn seats(&self) -> Vec<String> {
        let line = |pool_id: &i64, (seat_no, holder): (&i64, &Option<usize>)| {
            let holder = holder.map_or("-".to_owned(), |id| self.accounts[id].username.to_lowercase());
            format!("{pool_id} {seat_no} {holder}")
        };
        self.pools.iter().flat_map(|(id, pool)| pool.seats.iter().map(move |seat| line(id, seat))).collect()
    }

    pub fn counters(&self) -> Vec<String> {
        self.pools.iter().map(|(id, pool)| format!("{id} {}/{}", pool.in_use(), pool.seats.len())).collect()
    }

    fn is_admin(&self, caller: Caller) -> Result<(), String> {
        if caller.is_admin { Ok(()) } else { Err("role".to_owned()) }
    }

    fn is_below(&self, entity_id: i32, root: i32) -> bool {
        let parent = |id: &i32| self.entities.get(id).and_then(|(parent_id, _)| *parent_id);
        std::iter::successors(Some(entity_id), parent).any(|id| id == root)
    }

    fn provider(&self, caller: Caller, id: i32) -> Result<(), String> {
        match self.entities.get(&id) {
            Some((_, active)) if self.is_below(id, caller.entity_id) => {
                if *active {
                    Ok(())
                } else {
                    Err(format!("inactive entity {id}"))
                }
            }
            _ => Err(format!("no entity {id}")),
        }
    }

    fn find(&self, username: &str) -> Option<usize> {
        self.accounts.iter().position(|account| account.username.eq_ignore_ascii_case(username))
    }

    /// An account that the caller may know.
    fn visible(&self, caller: Caller, username: &str) -> Option<usize> {
        self.find(username).filter(|id| self.is_below(self.accounts[*id].entity_id, caller.entity_id))
    }

    /// Who is to get a seat; `None`: a name that is new.
    fn account(&self, caller: Caller, username: &str) -> Result<Option<usize>, String> {
        match self.find(username) {
            Some(id) if self.accounts[id].active && self.visible(caller, username).is_some() => Ok(Some(id)),
            Some(_) => Err("account".to_owned()),
            None => Ok(None),
        }
    }

    fn held(&self, account_id: usize, license_type: LicenseType) -> Option<SeatId> {
        let of_type = self.pools.iter().filter(|(_, pool)| pool.license_type == license_type);
        of_type
            .flat_map(|(id, pool)| pool.seats.iter().map(move |(seat_no, holder)| (*id, *seat_no, *holder)))
            .find_map(|(pool_id, seat_no, holder)| (holder == Some(account_id)).then_some(SeatId { pool_id, seat_no }))
    }

    /// A seat that is held already may be one of an expired pool.
    fn may_take(&self, caller: Caller, held: Option<SeatId>, now: Timestamp) -> Result<(), String> {
        match held {
            Some(seat) if !self.pools[&seat.pool_id].has_expired(now) => {
                let is_known = self.is_below(self.pools[&seat.pool_id].entity_id, caller.entity_id);
                let known = format!("holds {} of pool {}", seat.seat_no, seat.pool_id);
                Err(if is_known { known } else { "holds one of others".to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn enroll(&mut self, username: &str, entity_id: i32) -> usize {
        self.accounts.push(Account { username: username.to_owned(), entity_id, active: true });
        self.accounts.len() - 1
    }

    fn give_up(&mut self, held: Option<SeatId>) {
        if let Some(seat) = held {
            self.free(seat.pool_id, seat.seat_no);
        }
    }
}

/// Pools that expired come before those that have not begun.
fn no_open_pool<'p>(pools: impl Iterator<Item = &'p Pool> + Clone, now: Timestamp) -> String {
    match pools.clone().filter(|pool| pool.has_expired(now)).filter_map(|pool| pool.expires_at).max() {
        Some(at) => format!("expired at {at}"),
        None => format!(
            "no pool, the next starts at {:?}",
            pools.filter_map(|pool| pool.starts_at).filter(|at| *at > now).min()
        ),
    }
}
