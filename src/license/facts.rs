//! Facts about owners and associates that a store reads in one transaction, and the conclusions from them.

use jiff::Timestamp;

use super::{Dates, OpenPool, Owner, PerType, Terms};
use crate::seats::{
    self, Account, AssignRequest, Assignment, Entity, Facts, Held, LicenseType, Pool, Refusal, Role, UserName,
};

/// An associate: an account in the caller's subtree that license tools assign modules to, with the facts that decide whether the
/// caller can give it a seat.
#[derive(Debug, Clone)]
pub struct Assignee {
    pub account: Account,
    pub username: UserName,
    /// The seats it holds, of any owner.
    pub held: PerType<Option<Held>>,
    /// The role of the caller.
    pub role: Role,
}

impl Assignee {
    /// Asks the seat rules for a seat of this type, from these pools of an entity.
    pub fn assign(
        &self,
        license_type: LicenseType,
        entity_id: i32,
        provider: Entity,
        pools: Vec<Pool>,
        now: Timestamp,
    ) -> Result<Assignment, Refusal> {
        let request = AssignRequest {
            username: Some(self.username.clone()),
            provider_entity_id: Some(entity_id),
            license_type: Some(license_type),
        };
        let facts = Facts {
            caller: Some(self.role),
            provider: Some(provider),
            account: Some(self.account),
            held: self.held[license_type.index()],
            pools,
        };
        seats::assign(&request, &facts, false, now)
    }

    /// The seat of this type that the account holds in the entity's pools, open or not open.
    pub fn held_of(&self, license_type: LicenseType, entity_id: i32) -> Option<Held> {
        self.held[license_type.index()].filter(|held| held.entity_id == entity_id)
    }

    /// The entities whose seats the account holds, if the caller may know them.
    pub fn providers(&self) -> impl Iterator<Item = i32> {
        self.held.iter().flatten().filter(|held| held.in_subtree).map(|held| held.entity_id)
    }

    /// Per type: whether the associate holds a seat of the owner's open pools, and whether it would get one now. The owner is
    /// in the caller's subtree.
    fn of_each_type(
        &self,
        entity_id: i32,
        active: bool,
        pools: &[OpenPool],
        now: Timestamp,
    ) -> (PerType<bool>, PerType<bool>) {
        let (mut held, mut can_assign): (PerType<bool>, PerType<bool>) = Default::default();
        for license_type in LicenseType::ALL {
            let at = license_type.index();
            let of_type = || pools.iter().filter(|pool| pool.license_type == license_type);
            held[at] = self.held[at].is_some_and(|held| of_type().any(|pool| pool.id == held.seat.pool_id));
            let to_rules = |pool: &OpenPool| Pool {
                id: pool.id,
                seats_total: pool.seats_total,
                starts_at: None,
                expires_at: pool.expires_at,
                // Only its existence matters, because nothing is assigned here.
                free_seat_no: (pool.seats_in_use < pool.seats_total).then_some(1),
            };
            // The caller may see the owner.
            let provider = Entity { active, in_subtree: true };
            let pools = of_type().map(to_rules).collect();
            can_assign[at] = self.assign(license_type, entity_id, provider, pools, now).is_ok();
        }
        (held, can_assign)
    }
}

/// The rows of an owner that is in the caller's subtree.
#[derive(Debug, Clone)]
pub struct OwnerFacts {
    pub entity_id: i32,
    pub active: bool,
    pub name: String,
    pub description: Option<String>,
    pub shop_url: Option<String>,
    pub current: Grant,
    /// The values of the offer, or where it is null those in force; with the seats of the types that the offer names.
    pub offered: Option<(Grant, Vec<(LicenseType, i64)>)>,
    /// The pools that have started and not expired.
    pub pools: Vec<OpenPool>,
}

/// [`Terms`] without seats, as stored in rows.
#[derive(Debug, Clone)]
pub struct Grant {
    pub company_name: String,
    pub serial_nr: Option<String>,
    pub dates: Dates,
}

impl Grant {
    fn with(self, seats: PerType<i64>) -> Terms {
        let Grant { company_name, serial_nr, dates } = self;
        Terms { company_name, serial_nr, dates: dates.map(known), seats }
    }
}

/// A date in the year 1 means no date, as for license tools: so an offer can remove a date.
fn known(date: Option<Timestamp>) -> Option<Timestamp> {
    const NONE_BEFORE: Timestamp = Timestamp::constant(-62_104_060_800, 0); // 0002-01-01
    date.filter(|at| *at >= NONE_BEFORE)
}

impl OwnerFacts {
    /// `associate`: the user that [`Owner::held`] and [`Owner::can_assign`] describe.
    pub fn owner(self, associate: Option<&Assignee>, now: Timestamp) -> Owner {
        let (mut seats, mut in_use): (PerType<i64>, PerType<i64>) = Default::default();
        for pool in &self.pools {
            seats[pool.license_type.index()] += pool.seats_total;
            in_use[pool.license_type.index()] += pool.seats_in_use;
        }
        let of_each_type = |associate: &Assignee| associate.of_each_type(self.entity_id, self.active, &self.pools, now);
        let (held, can_assign) = associate.map(of_each_type).unwrap_or_default();
        let offered = self.offered.map(|(grant, named)| {
            // The values of `current` where the offer has none.
            let mut offered = seats;
            named.into_iter().for_each(|(license_type, seats)| offered[license_type.index()] = seats);
            grant.with(offered)
        });
        Owner {
            entity_id: self.entity_id,
            active: self.active,
            name: self.name,
            description: self.description,
            shop_url: self.shop_url,
            current: self.current.with(seats),
            offered,
            in_use,
            held,
            can_assign,
        }
    }
}

/// Sorts owners by name, after the owners of these entities in their order.
pub fn sort_owners(owners: &mut [Owner], first: &[i32]) {
    owners.sort_by(|a, b| a.name.cmp(&b.name));
    owners.sort_by_key(|owner| first.iter().position(|id| *id == owner.entity_id).unwrap_or(first.len()));
}
