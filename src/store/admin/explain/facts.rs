//! The facts that decide about an assignment: read for the rules, and told in words.

use std::fmt;

use jiff::Timestamp;

use super::{Caller, ExplainRequest};
use crate::seats::{Account, Entity, Facts, Held, Pool, Role, SeatId, counted};
use crate::store::admin::page::{count, indexed_by};
use crate::store::admin::pools::{PoolRow, PoolState, read_rows};
use crate::store::admin::scope::Scope;
use crate::store::admin::users::find_named;
use crate::store::admin::{Admin, Sql, Stop, Value, first};

/// A fact that decides, as far as the administrator may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// `name`: `None` is the administrator itself.
    Caller {
        name: Option<String>,
        role: Role,
        active: bool,
        entity_id: Option<i64>,
    },
    /// `in_subtree`: among the entities of the caller.
    Entity {
        id: i64,
        name: String,
        active: bool,
        in_subtree: bool,
    },
    /// It does not exist, or the administrator may not see it.
    EntityUnknown {
        id: i64,
    },
    Account {
        id: i64,
        username: String,
        active: bool,
        entity_id: i64,
        in_subtree: bool,
    },
    /// `enroll`: it would be added to the accounts.
    AccountNew {
        username: String,
        enroll: bool,
    },
    /// An account of an entity that the administrator may not see.
    AccountOfOthers {
        username: String,
    },
    /// A seat of the type that the user holds. `pool`: the pool and the seat's number; without them, and without the end, it is of an
    /// owner that the administrator may not see.
    Held {
        pool: Option<(i64, i64)>,
        expires_at: Option<Timestamp>,
        has_expired: bool,
    },
    HoldsNone,
    Pool {
        id: i64,
        seats_total: i64,
        seats_in_use: i64,
        state: PoolState,
        starts_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    },
    NoPools,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Caller { name, role, active, entity_id } => {
                match name {
                    Some(name) => write!(f, "The credential '{name}' has the role {}", role.name())?,
                    None => write!(f, "You have the role {}", role.name())?,
                }
                match entity_id {
                    Some(id) => write!(f, " for entity {id} and everything below it")?,
                    None => f.write_str(" for every entity")?,
                }
                f.write_str(if *active { "." } else { "; it is not active." })
            }
            Fact::Entity { id, name, active, in_subtree } => {
                let state = if *active { "active" } else { "not active" };
                let among = if *in_subtree { "is" } else { "is not" };
                write!(f, "Entity {id} ({name}) is {state} and {among} among the entities of the caller.")
            }
            Fact::EntityUnknown { id } => write!(f, "Entity {id} does not exist or is not among your entities."),
            Fact::Account { id, username, active, entity_id, in_subtree } => {
                let state = if *active { "active" } else { "not active" };
                let among = if *in_subtree { "is" } else { "is not" };
                write!(
                    f,
                    "The user '{username}' (account {id}) is {state}; its entity {entity_id} {among} among those of the caller."
                )
            }
            Fact::AccountNew { username, enroll: true } => {
                write!(f, "The user '{username}' is not known; the service would enroll it.")
            }
            Fact::AccountNew { username, enroll: false } => {
                write!(f, "The user '{username}' is not known, and the service does not enroll users.")
            }
            Fact::AccountOfOthers { username } => {
                write!(f, "The user '{username}' does not belong to your entities.")
            }
            Fact::Held { pool: None, has_expired: false, .. } => f.write_str("The user holds a seat of another owner."),
            Fact::Held { pool: None, has_expired: true, .. } => f.write_str(
                "The user holds a seat of another owner, which has expired: it is given up for another one.",
            ),
            Fact::Held { pool: Some((pool_id, seat_no)), expires_at, has_expired } => {
                write!(f, "The user holds seat {seat_no} of pool {pool_id}")?;
                match (expires_at, has_expired) {
                    (Some(at), true) => write!(f, ", which expired at {at}: it is given up for another one."),
                    (Some(at), false) => write!(f, ", which expires at {at}."),
                    (None, _) => f.write_str(", which does not expire."),
                }
            }
            Fact::HoldsNone => f.write_str("The user holds no seat of this type."),
            Fact::Pool { id, seats_total, seats_in_use, state, starts_at, expires_at } => {
                write!(f, "Pool {id} has {}, {seats_in_use} in use; ", counted(*seats_total, "seat"))?;
                match (state, starts_at, expires_at) {
                    (PoolState::NotBegun, Some(at), _) => write!(f, "it begins at {at}."),
                    (PoolState::Expired, _, Some(at)) => write!(f, "it expired at {at}."),
                    (_, _, Some(at)) => write!(f, "it is open until {at}."),
                    (..) => f.write_str("it is open."),
                }
            }
            Fact::NoPools => f.write_str("The entity has no pool of this type."),
        }
    }
}

/// The facts as read.
pub(super) struct Read {
    pub rules: Facts,
    pub facts: Vec<Fact>,
    /// The account and whether it is active, if the administrator may see it.
    pub account: Option<(i64, bool)>,
    /// The user is one of entities that the administrator may not see.
    pub is_of_others: bool,
    pub is_held_visible: bool,
    /// The pools of the entity and the type.
    pub pools: Vec<PoolRow>,
}

/// Pools of one entity and type that are read.
const POOLS_MAX: usize = 1_000;

pub(super) fn read(
    sql: &dyn Sql,
    admin: &Admin,
    caller: &Caller,
    request: &ExplainRequest,
    enroll: bool,
) -> Result<Read, Stop> {
    let seen = Scope::of(sql, admin);
    let reach = Scope::below(sql, caller.root);
    let mut read = Read {
        rules: Facts { caller: caller.role, ..Facts::default() },
        facts: Vec::new(),
        account: None,
        is_of_others: false,
        is_held_visible: false,
        pools: Vec::new(),
    };
    read.facts.push(Fact::Caller {
        name: caller.credential.as_ref().map(|row| row.user_name.clone()),
        role: caller.credential.as_ref().map_or(admin.role, |row| row.role),
        active: caller.credential.as_ref().is_none_or(|row| row.active),
        entity_id: caller.root,
    });
    read.entity(sql, &seen, &reach, request.entity_id)?;
    read.account(sql, admin, (&seen, &reach), request, enroll)?;
    if read.rules.provider.is_some_and(|provider| provider.in_subtree) && seen.has(request.entity_id)? {
        read.pools(sql, admin, &seen, request)?;
    }
    Ok(read)
}

impl Read {
    fn entity(&mut self, sql: &dyn Sql, seen: &Scope<'_>, reach: &Scope<'_>, id: i64) -> Result<(), Stop> {
        let row = first(sql, "SELECT name, active FROM entity WHERE id = $1", &[id.into()])?;
        match row {
            Some(row) if seen.has(id)? => {
                let (active, in_subtree) = (row.flag(1)?, reach.has(id)?);
                self.rules.provider = Some(Entity { active, in_subtree });
                self.facts.push(Fact::Entity { id, name: row.text(0)?, active, in_subtree });
            }
            // One that the administrator may not see is for its credentials as if it did not exist.
            _ => self.facts.push(Fact::EntityUnknown { id }),
        }
        Ok(())
    }

    fn account(
        &mut self,
        sql: &dyn Sql,
        admin: &Admin,
        (seen, reach): (&Scope<'_>, &Scope<'_>),
        request: &ExplainRequest,
        enroll: bool,
    ) -> Result<(), Stop> {
        let username = request.username.trim().to_owned();
        let Some(row) = find_named(sql, &username)? else {
            self.facts.push(Fact::AccountNew { username, enroll });
            return Ok(());
        };
        let (id, entity_id, active) = (row.int(0)?, row.int(2)?, row.flag(3)?);
        let in_subtree = reach.has(entity_id)?;
        self.rules.account = Some(Account { id, active, in_subtree });
        if !seen.has(entity_id)? {
            self.is_of_others = true;
            self.facts.push(Fact::AccountOfOthers { username });
            return Ok(());
        }
        self.account = Some((id, active));
        self.facts.push(Fact::Account { id, username: row.text(1)?, active, entity_id, in_subtree });
        let index = indexed_by(sql.dialect(), "seat_by_holder");
        let held = format!(
            "SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id
               FROM seat{index} CROSS JOIN license_pool
              WHERE seat.account_id = $1 AND seat.license_type = $2 AND license_pool.id = seat.pool_id"
        );
        let held = first(sql, &held, &[id.into(), Value::from(request.license_type.name())])?;
        let Some(row) = held else {
            self.facts.push(Fact::HoldsNone);
            return Ok(());
        };
        let (seat, expires_at) = (SeatId { pool_id: row.int(0)?, seat_no: row.int(1)? }, row.time(2)?);
        let owner = row.int(3)?;
        let held = Held {
            seat,
            expires_at,
            entity_id: i32::try_from(owner).unwrap_or(i32::MAX),
            in_subtree: reach.has(owner)? && seen.has(owner)?,
        };
        self.is_held_visible = held.in_subtree;
        self.facts.push(Fact::Held {
            pool: seen.has(owner)?.then_some((seat.pool_id, seat.seat_no)),
            expires_at: expires_at.filter(|_| seen.has(owner).is_ok_and(|seen| seen)),
            has_expired: held.has_expired(admin.now),
        });
        self.rules.held = Some(held);
        Ok(())
    }

    fn pools(&mut self, sql: &dyn Sql, admin: &Admin, seen: &Scope<'_>, request: &ExplainRequest) -> Result<(), Stop> {
        let index = indexed_by(sql.dialect(), "seat_free");
        let text = format!(
            "SELECT id, (SELECT seat_no FROM seat{index} WHERE pool_id = license_pool.id AND account_id IS NULL
                          ORDER BY pool_id, seat_no LIMIT 1)
               FROM license_pool WHERE entity_id = $1 AND license_type = $2 ORDER BY expires_at DESC, id LIMIT $3"
        );
        let values = [request.entity_id.into(), Value::from(request.license_type.name()), count(POOLS_MAX)];
        let found = sql.rows(&text, &values)?;
        let ids = found.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
        let mut rows = read_rows(sql, seen, &ids, admin.now)?;
        for row in &found {
            let Some(pool) = rows.remove(&row.int(0)?) else { continue };
            self.facts.push(Fact::Pool {
                id: pool.id,
                seats_total: pool.seats_total,
                seats_in_use: pool.seats_in_use,
                state: pool.state,
                starts_at: pool.starts_at,
                expires_at: pool.expires_at,
            });
            self.rules.pools.push(Pool {
                id: pool.id,
                seats_total: pool.seats_total,
                starts_at: pool.starts_at,
                expires_at: pool.expires_at,
                free_seat_no: row.opt_int(1)?,
            });
            self.pools.push(pool);
        }
        if self.pools.is_empty() {
            self.facts.push(Fact::NoPools);
        }
        Ok(())
    }
}
