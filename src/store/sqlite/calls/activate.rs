//! Activates offers of the issuer, and removes licenses. All changes are planned before the first is made, so that a refusal has
//! nothing to undo.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::facts::Caller;
use super::owner;
use super::record::{By, by_triggers};
use super::stop::{Stop, caller_of_role, settle};
use crate::license::{self, Owner, PoolChange, Presented, filled};
use crate::seats::Role;
use crate::store::{Activation, Added, Call, FiledLicense};

pub(crate) fn activate(
    connection: &Connection,
    call: &Call,
    activation: &Activation,
    dry_run: bool,
) -> Result<(), Stop> {
    let caller = caller_of_role(connection, call, if dry_run { Role::Reader } else { Role::Admin })?;
    let owners = match activation {
        Activation::Presented(presented) => vec![accepted(connection, presented, &caller, call.now)?],
        Activation::Serial { company_name, serial_nr } => {
            offered_to(connection, company_name, serial_nr, &caller, call.now)?
        }
    };
    let mut plans = Vec::with_capacity(owners.len());
    for owner in &owners {
        let pools = owner::open_pools(connection, owner.entity_id, call.now)?;
        plans.extend(owner.plan(&pools)?.map(|changes| (owner.entity_id, changes)));
    }
    if !dry_run && !plans.is_empty() {
        let carry_out = || plans.iter().try_for_each(|(entity_id, changes)| follow(connection, *entity_id, changes));
        by_triggers(connection, &By::new(call, &caller), carry_out)?;
    }
    Ok(())
}

/// Activates the license of a file, and reads its owner in the same transaction: a refusal is part of the answer.
pub(crate) fn add(connection: &Connection, call: &Call, license: &FiledLicense) -> Result<Added, Stop> {
    let caller = caller_of_role(connection, call, Role::Admin)?;
    let outcome = match &license.presented {
        Ok(presented) => settle(activate(connection, call, &Activation::Presented(presented.clone()), false))?,
        Err(refusal) => Err(refusal.clone()),
    };
    let owner = match owner::named(connection, &license.owner_name, caller.entity_id)? {
        Some((entity_id, _)) => owner::read(connection, entity_id, None, call.now)?,
        None => None,
    };
    Ok(Added { owner, refused: outcome.err() })
}

/// The named owner, if the presented license is the one that its issuer grants.
fn accepted(connection: &Connection, presented: &Presented, caller: &Caller, now: Timestamp) -> Result<Owner, Stop> {
    let name = filled("OwnerName", presented.owner_name.as_deref().unwrap_or_default())?;
    let (entity_id, _) = owner::find(connection, name, caller.entity_id)?;
    let owner = owner::get(connection, entity_id, None, now)?;
    owner.accept(presented, now)?;
    Ok(owner)
}

/// The owners with an offer under this name and number; each offer can be activated.
fn offered_to(
    connection: &Connection,
    company_name: &str,
    serial_nr: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<Vec<Owner>, Stop> {
    let company_name = filled("NewCompanyName", company_name)?;
    let serial_nr = filled("NewSerialNumber", serial_nr)?;
    let ids = offered_ids(connection, company_name, serial_nr, caller.entity_id)?;
    let owners = owner::read_all(connection, &ids, None, now)?;
    license::offered_to(&owners, company_name, serial_nr, now)?;
    Ok(owners)
}

fn offered_ids(
    connection: &Connection,
    company_name: &str,
    serial_nr: &str,
    root: Option<i64>,
) -> rusqlite::Result<Vec<i32>> {
    let key = params![company_name, serial_nr, owner::IDS_MAX, root];
    let id = |row: &Row<'_>| row.get(0);
    match root {
        Some(_) => connection.prepare_cached(OFFERED_BELOW)?.query_map(key, id)?.collect(),
        None => connection.prepare_cached(OFFERED)?.query_map(&key[..3], id)?.collect(),
    }
}

/// Scans all offers: there are only as many as wait for activation.
pub(crate) const OFFERED: &str = "
    SELECT entity.id FROM license_offer CROSS JOIN entity ON entity.id = license_offer.entity_id
     WHERE trim(coalesce(company_name, name), (SELECT characters FROM blank)) = ?1
       AND trim(coalesce(license_offer.serial_nr, entity.serial_nr), (SELECT characters FROM blank)) = ?2
       AND owner_name IS NOT NULL LIMIT ?3";

/// From the caller's entity down. UNION ends even in a cycle.
pub(crate) const OFFERED_BELOW: &str = "
    WITH RECURSIVE below (id) AS (
        SELECT ?4 UNION SELECT entity.id FROM below CROSS JOIN entity ON entity.parent_id = below.id)
    SELECT entity.id
      FROM below
     CROSS JOIN license_offer ON license_offer.entity_id = below.id
     CROSS JOIN entity ON entity.id = below.id
     WHERE trim(coalesce(company_name, name), (SELECT characters FROM blank)) = ?1
       AND trim(coalesce(license_offer.serial_nr, entity.serial_nr), (SELECT characters FROM blank)) = ?2
       AND owner_name IS NOT NULL LIMIT ?3";

/// Applies an offer to the pools of an entity, then to the entity itself.
fn follow(connection: &Connection, entity_id: i32, changes: &[PoolChange]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            PoolChange::Resize { pool_id, seats_total } => connection
                .prepare_cached("UPDATE license_pool SET seats_total = ?2 WHERE id = ?1")?
                .execute(params![pool_id, seats_total])?,
            PoolChange::Create { license_type, seats_total } => connection
                .prepare_cached("INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (?1, ?2, ?3)")?
                .execute(params![entity_id, license_type.name(), seats_total])?,
        };
    }
    connection.prepare_cached(FOLLOW_OFFER)?.execute([entity_id])?;
    withdraw_offer(connection, entity_id)
}

/// In SQL, so that the dates stay as they were typed: the end of year 9999 does not fit into a [`Timestamp`].
pub(crate) const FOLLOW_OFFER: &str = "
    UPDATE entity
       SET name = coalesce(company_name, name),
           serial_nr = coalesce(license_offer.serial_nr, entity.serial_nr),
           next_check_at = coalesce(license_offer.next_check_at, entity.next_check_at),
           maintenance_at = coalesce(license_offer.maintenance_at, entity.maintenance_at),
           admin_warning_at = coalesce(license_offer.admin_warning_at, entity.admin_warning_at),
           expires_at = coalesce(license_offer.expires_at, entity.expires_at),
           grace_at = coalesce(license_offer.grace_at, entity.grace_at)
      FROM license_offer
     WHERE id = ?1 AND license_offer.entity_id = ?1";

/// This deletes its modules too.
fn withdraw_offer(connection: &Connection, entity_id: i32) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM license_offer WHERE entity_id = ?1")?.execute([entity_id]).map(drop)
}

pub(crate) fn remove(connection: &Connection, call: &Call, owner_name: &str) -> Result<(), Stop> {
    let caller = caller_of_role(connection, call, Role::Admin)?;
    let (entity_id, _) = owner::find(connection, owner_name, caller.entity_id)?;
    let in_use: i64 = connection.prepare_cached(SEATS_IN_USE)?.query_row([entity_id], |row| row.get(0))?;
    license::remove(owner_name, in_use)?;
    by_triggers(connection, &By::new(call, &caller), || {
        connection.prepare_cached(EMPTY_POOLS)?.execute([entity_id])?;
        connection.prepare_cached("UPDATE entity SET owner_name = NULL WHERE id = ?1")?.execute([entity_id])?;
        withdraw_offer(connection, entity_id)
    })?;
    Ok(())
}

/// For all pools, open or not.
pub(crate) const SEATS_IN_USE: &str = "SELECT coalesce(sum(seats_in_use), 0) FROM license_pool WHERE entity_id = ?1";

pub(crate) const EMPTY_POOLS: &str =
    "UPDATE license_pool SET seats_total = 0 WHERE entity_id = ?1 AND seats_total <> 0";
