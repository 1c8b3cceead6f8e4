//! Activates offers of the issuer, and removes licenses. All changes are planned before the first is made, so that a refusal has
//! nothing to undo.
//!
//! The transaction is READ COMMITTED: the rows that a plan depends on are locked, then read. Assignments do not wait for that,
//! because they lock no row of an entity or a pool. If they take seats that a plan would remove, the pool's trigger refuses, and
//! the call is decided again.

use jiff::Timestamp;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::facts::{Caller, by, findable};
use super::owner;
use super::stop::{Stop, caller_of_role, settle};
use crate::license::{self, Owner, OwnerFacts, PoolChange, Presented, filled};
use crate::seats::{Refusal, Role};
use crate::store::postgres::session::{Parameter, Session, Sql};
use crate::store::{Activation, Added, Call, FiledLicense};

/// The changes of an entity by an activation.
type Plan = (i32, Vec<PoolChange>);

/// Checks whether it could be activated, without locks and changes. In a transaction with one snapshot.
pub(crate) async fn try_out(session: &Session, call: &Call, activation: &Activation) -> Result<(), Stop> {
    let caller = caller_of_role(session, call, Role::Reader).await?;
    let ids = candidates(session, activation, &caller).await?;
    plan(session, activation, &ids, call.now).await.map(drop)
}

pub(crate) async fn activate(session: &Session, call: &Call, activation: &Activation) -> Result<(), Stop> {
    let caller = caller_of_role(session, call, Role::Admin).await?;
    let ids = candidates(session, activation, &caller).await?;
    license::check_owners(ids.len())?;
    let offered = lock(session, &LOCK_ENTITIES, &ids).await?;
    // Leaves out offers that were withdrawn or moved before their rows were locked.
    let ids =
        candidates(session, activation, &caller).await?.into_iter().filter(|id| ids.contains(id)).collect::<Vec<_>>();
    let plans = plan(session, activation, &ids, call.now).await?;
    // An offer made after the locks were taken could be replaced by another one, which would be withdrawn unseen.
    if plans.iter().any(|(entity_id, _)| !offered.contains(entity_id)) {
        return Err(Stop::Again);
    }
    if !plans.is_empty() {
        by(call, &caller).set(session).await?;
    }
    for (entity_id, changes) in &plans {
        follow(session, *entity_id, changes).await?;
    }
    Ok(())
}

/// Activates the license of a file, and reads its owner in the same transaction: a refusal is part of the answer.
pub(crate) async fn add(session: &Session, call: &Call, license: &FiledLicense) -> Result<Added, Stop> {
    let caller = caller_of_role(session, call, Role::Admin).await?;
    let outcome = match &license.presented {
        Ok(presented) => settle(activate(session, call, &Activation::Presented(presented.clone())).await)?,
        Err(refusal) => Err(refusal.clone()),
    };
    let owner = match owner::named(session, &license.owner_name, caller.entity_id).await? {
        Some(entity_id) => owner::read(session, entity_id, call.now).await?,
        None => None,
    };
    Ok(Added { owner: owner.map(|facts| facts.owner(None, call.now)), refused: outcome.err() })
}

/// The entities of an activation.
async fn candidates(session: &Session, activation: &Activation, caller: &Caller) -> Result<Vec<i32>, Stop> {
    match activation {
        Activation::Presented(presented) => {
            let name = filled("OwnerName", presented.owner_name.as_deref().unwrap_or_default())?;
            Ok(vec![owner::find(session, name, caller.entity_id).await?])
        }
        Activation::Serial { company_name, serial_nr } => {
            let (company_name, serial_nr) = named(company_name, serial_nr)?;
            offered_ids(session, company_name, serial_nr, caller.entity_id).await
        }
    }
}

/// The search for offers.
fn named<'a>(company_name: &'a str, serial_nr: &'a str) -> Result<(&'a str, &'a str), Refusal> {
    Ok((filled("NewCompanyName", company_name)?, filled("NewSerialNumber", serial_nr)?))
}

/// The plan for these entities; each of them can be activated.
async fn plan(session: &Session, activation: &Activation, ids: &[i32], now: Timestamp) -> Result<Vec<Plan>, Stop> {
    let facts = owner::read_all(session, ids, now).await?;
    let to_owner = |facts: OwnerFacts| (facts.pools.clone(), facts.owner(None, now));
    let (pools, mut owners): (Vec<_>, Vec<Owner>) = facts.into_iter().map(to_owner).unzip();
    let mut open_pools: std::collections::HashMap<i32, _> =
        owners.iter().map(|owner| owner.entity_id).zip(pools).collect();
    license::sort_owners(&mut owners, &[]);
    accept(activation, &owners, now)?;
    let mut plans = Vec::with_capacity(owners.len());
    for owner in &owners {
        let pools = open_pools.remove(&owner.entity_id).unwrap_or_default();
        plans.extend(owner.plan(&pools)?.map(|changes| (owner.entity_id, changes)));
    }
    Ok(plans)
}

/// Checks that the presented license is the granted one, or that the offer can be activated.
fn accept(activation: &Activation, owners: &[Owner], now: Timestamp) -> Result<(), Refusal> {
    match (activation, owners) {
        (Activation::Presented(presented), [owner]) => owner.accept(presented, now),
        // It was removed meanwhile.
        (Activation::Presented(Presented { owner_name, .. }), _) => {
            Err(Refusal::OwnerUnknown { owner_name: owner_name.as_deref().unwrap_or_default().trim().to_owned() })
        }
        (Activation::Serial { company_name, serial_nr }, owners) => {
            let (company_name, serial_nr) = named(company_name, serial_nr)?;
            license::offered_to(owners, company_name, serial_nr, now)
        }
    }
}

async fn offered_ids(
    session: &Session,
    company_name: &str,
    serial_nr: &str,
    root: Option<i32>,
) -> Result<Vec<i32>, Stop> {
    let (company_name, serial_nr) = (findable(company_name), findable(serial_nr));
    let key: [Parameter<'_>; 4] = [&company_name, &serial_nr, &owner::IDS_MAX, &root];
    let rows = match root {
        Some(_) => session.rows(&OFFERED_BELOW, &key).await?,
        None => session.rows(&OFFERED, &key[..3]).await?,
    };
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// A text without surrounding blanks: Unicode's White_Space without the control characters, as for calls.
macro_rules! without_blanks {
    ($text:literal) => {
        concat!(
            "btrim(",
            $text,
            r", E'\u0020\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000')"
        )
    };
}

macro_rules! is_offered {
    () => {
        concat!(
            without_blanks!("coalesce(company_name, name)"),
            " = $1 AND ",
            without_blanks!("coalesce(license_offer.serial_nr, entity.serial_nr)"),
            " = $2 AND owner_name IS NOT NULL LIMIT $3"
        )
    };
}

/// Scans all offers: there are only as many as wait for activation.
pub(crate) const OFFERED: Sql = Sql {
    text: concat!(
        "SELECT entity.id FROM license_offer JOIN entity ON entity.id = license_offer.entity_id WHERE ",
        is_offered!()
    ),
    types: &[Type::TEXT, Type::TEXT, Type::INT8],
};

/// From the caller's entity down; UNION ends even in a cycle.
pub(crate) const OFFERED_BELOW: Sql = Sql {
    text: concat!(
        "WITH RECURSIVE below (id) AS (
             SELECT $4::integer UNION SELECT entity.id FROM below JOIN entity ON entity.parent_id = below.id)
         SELECT entity.id
           FROM below
           JOIN license_offer ON license_offer.entity_id = below.id
           JOIN entity ON entity.id = below.id
          WHERE ",
        is_offered!()
    ),
    types: &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT4],
};

/// Locks the rows that the plans for these entities depend on: the entities, by the given statement, their pools and their
/// offers. Always in this order, so that two calls do not wait for each other. Returns the entities that have an offer.
async fn lock(session: &Session, entities: &Sql, ids: &[i32]) -> Result<Vec<i32>, Stop> {
    session.execute(entities, &[&ids]).await?;
    session.execute(&LOCK_POOLS, &[&ids]).await?;
    let offered = session.rows(&LOCK_OFFERS, &[&ids]).await?;
    session.execute(&LOCK_MODULES, &[&ids]).await?;
    Ok(offered.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

const IDS: &[Type] = &[Type::INT4_ARRAY];

/// Users can be enrolled under them meanwhile.
pub(crate) const LOCK_ENTITIES: Sql =
    Sql { text: "SELECT id FROM entity WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", types: IDS };

/// An owner's name is a key: a change of it waits for rows that refer to the entity.
pub(crate) const LOCK_KEYS: Sql =
    Sql { text: "SELECT id FROM entity WHERE id = ANY ($1) ORDER BY id FOR UPDATE", types: IDS };

pub(crate) const LOCK_POOLS: Sql =
    Sql { text: "SELECT id FROM license_pool WHERE entity_id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", types: IDS };

/// Modules are not added meanwhile.
pub(crate) const LOCK_OFFERS: Sql = Sql {
    text: "SELECT entity_id FROM license_offer WHERE entity_id = ANY ($1) ORDER BY entity_id FOR UPDATE",
    types: IDS,
};

pub(crate) const LOCK_MODULES: Sql = Sql {
    text: "SELECT entity_id FROM license_offer_module WHERE entity_id = ANY ($1) ORDER BY entity_id, license_type FOR UPDATE",
    types: IDS,
};

/// Applies an offer to the pools of an entity, then to the entity itself.
async fn follow(session: &Session, entity_id: i32, changes: &[PoolChange]) -> Result<(), Stop> {
    for change in changes {
        match change {
            PoolChange::Resize { pool_id, seats_total } => {
                resized(session.execute(&RESIZE, &[pool_id, seats_total]).await)?;
            }
            PoolChange::Create { license_type, seats_total } => {
                session.execute(&CREATE, &[&entity_id, &license_type.name(), seats_total]).await?;
            }
        }
    }
    session.execute(&FOLLOW_OFFER, &[&entity_id]).await?;
    withdraw_offer(session, entity_id).await
}

/// The trigger of pools refuses to remove a seat that was taken after the plan was made: the plan must be made again.
fn resized(outcome: Result<u64, Error>) -> Result<u64, Stop> {
    outcome.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::CHECK_VIOLATION => Stop::Again,
        _ => error.into(),
    })
}

/// The number fits the column: it came from a column of that type, or is at most [`license::POOL_SEATS_MAX`].
pub(crate) const RESIZE: Sql =
    Sql { text: "UPDATE license_pool SET seats_total = $2::bigint WHERE id = $1", types: &[Type::INT8, Type::INT8] };

pub(crate) const CREATE: Sql = Sql {
    text: "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES ($1, $2, $3::bigint)",
    types: &[Type::INT4, Type::TEXT, Type::INT8],
};

/// In SQL, so that the dates stay as they were typed: the end of year 9999 does not fit into a [`Timestamp`].
pub(crate) const FOLLOW_OFFER: Sql = Sql {
    text: "UPDATE entity
              SET name = coalesce(company_name, name),
                  serial_nr = coalesce(license_offer.serial_nr, entity.serial_nr),
                  next_check_at = coalesce(license_offer.next_check_at, entity.next_check_at),
                  maintenance_at = coalesce(license_offer.maintenance_at, entity.maintenance_at),
                  admin_warning_at = coalesce(license_offer.admin_warning_at, entity.admin_warning_at),
                  expires_at = coalesce(license_offer.expires_at, entity.expires_at),
                  grace_at = coalesce(license_offer.grace_at, entity.grace_at)
             FROM license_offer
            WHERE id = $1 AND license_offer.entity_id = $1",
    types: &[Type::INT4],
};

/// This deletes its modules too.
async fn withdraw_offer(session: &Session, entity_id: i32) -> Result<(), Stop> {
    session.execute(&WITHDRAW, &[&entity_id]).await?;
    Ok(())
}

pub(crate) const WITHDRAW: Sql = Sql { text: "DELETE FROM license_offer WHERE entity_id = $1", types: &[Type::INT4] };

/// The seats in use are read before the pools are emptied. If a seat is taken in between, the trigger refuses, and the call is
/// decided again.
pub(crate) async fn remove(session: &Session, call: &Call, owner_name: &str) -> Result<(), Stop> {
    let caller = caller_of_role(session, call, Role::Admin).await?;
    let entity_id = owner::find(session, owner_name, caller.entity_id).await?;
    lock(session, &LOCK_KEYS, &[entity_id]).await?;
    // Another call may have removed its name.
    if owner::find(session, owner_name, caller.entity_id).await? != entity_id {
        return Err(Stop::Again);
    }
    let in_use: i64 = session.row(&SEATS_IN_USE, &[&entity_id]).await?.try_get(0)?;
    license::remove(owner_name, in_use)?;
    by(call, &caller).set(session).await?;
    resized(session.execute(&EMPTY_POOLS, &[&entity_id]).await)?;
    session.execute(&FORGET, &[&entity_id]).await?;
    withdraw_offer(session, entity_id).await
}

/// For all pools, open or not.
pub(crate) const SEATS_IN_USE: Sql = Sql {
    text: "SELECT (coalesce((SELECT sum(seats_in_use) FROM license_pool WHERE entity_id = $1), 0) +
                   coalesce((SELECT sum(delta) FROM audit_pending JOIN license_pool ON license_pool.id = pool_id
                              WHERE entity_id = $1), 0))::bigint",
    types: &[Type::INT4],
};

pub(crate) const EMPTY_POOLS: Sql = Sql {
    text: "UPDATE license_pool SET seats_total = 0 WHERE entity_id = $1 AND seats_total <> 0",
    types: &[Type::INT4],
};

pub(crate) const FORGET: Sql = Sql { text: "UPDATE entity SET owner_name = NULL WHERE id = $1", types: &[Type::INT4] };
