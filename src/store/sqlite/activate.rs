//! Activating what the issuer offers, and forgetting a license. All that is to be done is planned before any of it is done,
//! so that a refusal finds nothing to undo.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::change::last_call;
use super::facts::Caller;
use super::owner;
use super::stop::{Stop, caller_of_role, settle};
use crate::license::{OpenPool, Owner, PoolChange, Presented, resize};
use crate::seats::{FieldFault, LicenseType, Refusal, Role, shortened};
use crate::store::{Activation, Call};

pub(super) fn activate(
    connection: &Connection,
    call: &Call,
    activation: &Activation,
    dry_run: bool,
) -> rusqlite::Result<Result<(), Refusal>> {
    settle(try_activate(connection, call, activation, dry_run))
}

fn try_activate(connection: &Connection, call: &Call, activation: &Activation, dry_run: bool) -> Result<(), Stop> {
    let caller = caller_of_role(connection, call, if dry_run { Role::Reader } else { Role::Admin })?;
    let owners = match activation {
        Activation::Presented(presented) => vec![accepted(connection, presented, &caller, call.now)?],
        Activation::Serial { company_name, serial_nr } => {
            offered_to(connection, company_name, serial_nr, &caller, call.now)?
        }
    };
    let plans: Vec<Plan> = owners
        .iter()
        .filter_map(|owner| Plan::of(connection, owner, call.now).transpose())
        .collect::<Result<_, Stop>>()?;
    if !dry_run {
        let last_call = last_call(call, Some(&caller));
        plans.iter().try_for_each(|plan| plan.carry_out(connection, &last_call))?;
    }
    Ok(())
}

/// The owner that is named, if what is presented is what its issuer grants.
fn accepted(connection: &Connection, presented: &Presented, caller: &Caller, now: Timestamp) -> Result<Owner, Stop> {
    let name = filled("OwnerName", presented.owner_name.as_deref().unwrap_or_default())?;
    let (entity_id, _) = owner::find(connection, name, caller.entity_id)?;
    let owner = owner::get(connection, entity_id, None, now)?;
    owner.accept(presented, now)?;
    Ok(owner)
}

/// The owners to whom something is offered under this name and number; each of them can be activated.
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
    if ids.is_empty() {
        return Err(Refusal::License {
            reason: format!(
                "No license is offered to company '{}' under serial number '{}' among the entities of this credential. Check that both are written as the issuer has them, or ask it for an offer.",
                shortened(company_name),
                shortened(serial_nr)
            ),
        }
        .into());
    }
    let owners = owner::read_all(connection, &ids, None, now)?;
    match owners.iter().find_map(|owner| owner.obstacle(now)) {
        Some(reason) => Err(Refusal::License { reason }.into()),
        None => Ok(owners),
    }
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

/// Every offer is looked at: there are as many as wait to be activated.
pub(super) const OFFERED: &str = "
    SELECT entity.id FROM license_offer CROSS JOIN entity ON entity.id = license_offer.entity_id
     WHERE trim(coalesce(company_name, name), (SELECT characters FROM blank)) = ?1
       AND trim(coalesce(license_offer.serial_nr, entity.serial_nr), (SELECT characters FROM blank)) = ?2
       AND owner_name IS NOT NULL LIMIT ?3";

/// From the caller's entity down; UNION ends even in a circle.
pub(super) const OFFERED_BELOW: &str = "
    WITH RECURSIVE below (id) AS (
        SELECT ?4 UNION SELECT entity.id FROM below CROSS JOIN entity ON entity.parent_id = below.id)
    SELECT entity.id
      FROM below
     CROSS JOIN license_offer ON license_offer.entity_id = below.id
     CROSS JOIN entity ON entity.id = below.id
     WHERE trim(coalesce(company_name, name), (SELECT characters FROM blank)) = ?1
       AND trim(coalesce(license_offer.serial_nr, entity.serial_nr), (SELECT characters FROM blank)) = ?2
       AND owner_name IS NOT NULL LIMIT ?3";

/// What is left of a field without the blanks around it: something.
fn filled<'t>(field: &'static str, text: &'t str) -> Result<&'t str, Refusal> {
    match text.trim() {
        "" => Err(Refusal::field(field, FieldFault::Empty)),
        text => Ok(text),
    }
}

/// What an activation does to one entity that has an offer.
struct Plan {
    entity_id: i32,
    changes: Vec<(LicenseType, PoolChange)>,
}

impl Plan {
    /// `None`: nothing is offered.
    fn of(connection: &Connection, owner: &Owner, now: Timestamp) -> Result<Option<Plan>, Stop> {
        let Some(offered) = &owner.offered else { return Ok(None) };
        let pools = owner::open_pools(connection, owner.entity_id, now)?;
        let mut changes = Vec::new();
        for license_type in LicenseType::ALL {
            let of_type: Vec<OpenPool> =
                pools.iter().filter(|(pool_type, _)| *pool_type == license_type).map(|(_, pool)| *pool).collect();
            let of_type = resize(&of_type, offered.seats[license_type.index()]).ok_or_else(|| Refusal::License {
                reason: format!("More {license_type} seats of {} are in use than are offered.", owner.name),
            })?;
            changes.extend(of_type.into_iter().map(|change| (license_type, change)));
        }
        Ok(Some(Plan { entity_id: owner.entity_id, changes }))
    }

    fn carry_out(&self, connection: &Connection, last_call: &str) -> rusqlite::Result<()> {
        for (license_type, change) in &self.changes {
            match change {
                PoolChange::Resize { pool_id, seats_total } => connection
                    .prepare_cached("UPDATE license_pool SET seats_total = ?2, last_call = ?3 WHERE id = ?1")?
                    .execute(params![pool_id, seats_total, last_call])?,
                PoolChange::Create { seats_total } => connection
                    .prepare_cached(
                        "INSERT INTO license_pool (entity_id, license_type, seats_total, last_call) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![self.entity_id, license_type.name(), seats_total, last_call])?,
            };
        }
        connection.prepare_cached(FOLLOW_OFFER)?.execute([self.entity_id])?;
        withdraw_offer(connection, self.entity_id)
    }
}

/// In SQL, so that the dates stay as they were typed: the end of year 9999 is no [`Timestamp`].
pub(super) const FOLLOW_OFFER: &str = "
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

/// Its modules go with it.
fn withdraw_offer(connection: &Connection, entity_id: i32) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM license_offer WHERE entity_id = ?1")?.execute([entity_id]).map(drop)
}

pub(super) fn remove(connection: &Connection, call: &Call, owner_name: &str) -> rusqlite::Result<Result<(), Refusal>> {
    settle(try_remove(connection, call, owner_name))
}

fn try_remove(connection: &Connection, call: &Call, owner_name: &str) -> Result<(), Stop> {
    let caller = caller_of_role(connection, call, Role::Admin)?;
    let (entity_id, _) = owner::find(connection, owner_name, caller.entity_id)?;
    let in_use: i64 = connection.prepare_cached(SEATS_IN_USE)?.query_row([entity_id], |row| row.get(0))?;
    if in_use > 0 {
        let name = owner_name.trim().to_ascii_uppercase();
        return Err(Refusal::License {
            reason: format!(
                "The license of {name} is in use: {in_use} of its seats are taken, those of pools that have expired or not started counted too. Release them first."
            ),
        }
        .into());
    }
    connection.prepare_cached(EMPTY_POOLS)?.execute(params![entity_id, last_call(call, Some(&caller))])?;
    connection.prepare_cached("UPDATE entity SET owner_name = NULL WHERE id = ?1")?.execute([entity_id])?;
    Ok(withdraw_offer(connection, entity_id)?)
}

/// Of all pools, whether they are open or not.
pub(super) const SEATS_IN_USE: &str = "
    SELECT coalesce(sum(seats_in_use), 0)
      FROM license_pool
     CROSS JOIN audit_event ON audit_event.id = (
           SELECT id FROM audit_event WHERE pool_id = license_pool.id ORDER BY id DESC LIMIT 1)
     WHERE license_pool.entity_id = ?1";

/// A pool that is empty already does not change, so no call may be written to it.
pub(super) const EMPTY_POOLS: &str =
    "UPDATE license_pool SET seats_total = 0, last_call = ?2 WHERE entity_id = ?1 AND seats_total <> 0";
