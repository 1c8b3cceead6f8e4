//! Module owners: the entities that license tools know by name, with the numbers of their pools and their offers.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::assignee;
use super::facts::{entity, parse, text, time, to_text};
use super::stop::{Stop, caller_of_role};
use crate::license::{Assignee, Dates, Grant, OWNERS_MAX, OpenPool, Owner, OwnerFacts, check_owners, sort_owners};
use crate::seats::{Entity, LicenseType, Refusal, Role};
use crate::store::{Call, Owners, OwnersRequest};

pub(crate) fn owners(connection: &Connection, call: &Call, request: &OwnersRequest) -> Result<Vec<Owner>, Stop> {
    let caller = caller_of_role(connection, call, Role::Reader)?;
    let root = caller.entity_id;
    let associate = match request.associate_id {
        Some(id) => assignee::find(connection, id, &caller)?,
        None => None,
    };
    let mut above = 0;
    let ids = match (&request.owners, &associate) {
        (Owners::All, _) => all(connection, root)?,
        (Owners::Named(name), _) => named(connection, name, root)?.into_iter().map(|(id, _)| id).collect(),
        (Owners::OfAssociate, Some(associate)) => {
            let (ids, count) = of_associate(connection, associate, root)?;
            above = count;
            ids
        }
        (Owners::OfAssociate, None) => Vec::new(),
    };
    let mut owners = read_all(connection, &ids, associate.as_ref(), call.now)?;
    sort_owners(&mut owners, &ids[..above]);
    Ok(owners)
}

/// The owners with these ids, by name.
pub(crate) fn read_all(
    connection: &Connection,
    ids: &[i32],
    associate: Option<&Assignee>,
    now: Timestamp,
) -> Result<Vec<Owner>, Stop> {
    check_owners(ids.len())?;
    let mut owners = Vec::with_capacity(ids.len());
    for id in ids {
        owners.extend(read(connection, *id, associate, now)?);
    }
    sort_owners(&mut owners, &[]);
    Ok(owners)
}

/// The entity of this owner, with the name in any case; `None` if there is none in the caller's subtree.
pub(crate) fn named(connection: &Connection, name: &str, root: Option<i64>) -> rusqlite::Result<Option<(i32, Entity)>> {
    let id = connection
        .prepare_cached(NAMED)?
        .query_row([name.trim().to_ascii_uppercase()], |row| row.get::<_, i32>(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    let entity = entity(connection, id, root)?.filter(|entity| entity.in_subtree);
    Ok(entity.map(|entity| (id, entity)))
}

pub(crate) const NAMED: &str = "SELECT id FROM entity WHERE owner_name = ?1";

/// The entity of this owner; a refusal if the caller may not see it.
pub(crate) fn find(connection: &Connection, name: &str, root: Option<i64>) -> Result<(i32, Entity), Stop> {
    let unknown = || Refusal::OwnerUnknown { owner_name: name.to_owned() };
    Ok(named(connection, name, root)?.ok_or_else(unknown)?)
}

/// The most entities read: one more than an answer may have, which shows that there are too many.
pub(crate) const IDS_MAX: i64 = OWNERS_MAX as i64 + 1;

/// Every owner in the subtree.
fn all(connection: &Connection, root: Option<i64>) -> rusqlite::Result<Vec<i32>> {
    let id = |row: &Row<'_>| row.get(0);
    match root {
        Some(root) => connection.prepare_cached(ALL_BELOW)?.query_map(params![root, IDS_MAX], id)?.collect(),
        None => connection.prepare_cached(ALL)?.query_map([IDS_MAX], id)?.collect(),
    }
}

pub(crate) const ALL: &str = "SELECT id FROM entity WHERE owner_name IS NOT NULL LIMIT ?1";

/// UNION ends even in a cycle.
pub(crate) const ALL_BELOW: &str = "
    WITH RECURSIVE below (id) AS (
        SELECT ?1 UNION SELECT entity.id FROM below CROSS JOIN entity ON entity.parent_id = below.id)
    SELECT entity.id FROM below CROSS JOIN entity ON entity.id = below.id
     WHERE owner_name IS NOT NULL LIMIT ?2";

/// The owners above an account, up to the caller's entity and the nearest first, with their number; after them the owners of
/// seats that it holds, if the caller may see them.
fn of_associate(
    connection: &Connection,
    associate: &Assignee,
    root: Option<i64>,
) -> rusqlite::Result<(Vec<i32>, usize)> {
    let mut ids: Vec<i32> = connection
        .prepare_cached(ABOVE)?
        .query_map(params![associate.account.id, root, IDS_MAX], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let above = ids.len();
    for id in associate.providers() {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok((ids, above))
}

/// No further than the caller's entity. UNION ends even in a cycle. Each step finds one parent, so the nearest comes first.
pub(crate) const ABOVE: &str = "
    WITH RECURSIVE above (id) AS (
        SELECT entity_id FROM account WHERE id = ?1
        UNION SELECT entity.parent_id FROM above CROSS JOIN entity ON entity.id = above.id WHERE above.id IS NOT ?2)
    SELECT entity.id FROM above CROSS JOIN entity ON entity.id = above.id WHERE owner_name IS NOT NULL LIMIT ?3";

/// One owner; `None` if the entity has no owner name. It must be in the caller's subtree. `associate`: the user that
/// [`Owner::held`] and [`Owner::can_assign`] describe.
pub(crate) fn read(
    connection: &Connection,
    entity_id: i32,
    associate: Option<&Assignee>,
    now: Timestamp,
) -> rusqlite::Result<Option<Owner>> {
    let mut statement = connection.prepare_cached(OWNER)?;
    let mut rows = statement.query([entity_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };

    let offered = match row.get(5)? {
        true => Some((grant(row, 13)?, offered_seats(connection, entity_id)?)),
        false => None,
    };
    let facts = OwnerFacts {
        entity_id: row.get(0)?,
        active: row.get(1)?,
        name: row.get(2)?,
        description: text(row, 3)?,
        shop_url: text(row, 4)?,
        current: grant(row, 6)?,
        offered,
        pools: open_pools(connection, entity_id, now)?,
    };
    Ok(Some(facts.owner(associate, now)))
}

/// An entity that is known to be an owner, in this transaction.
pub(crate) fn get(
    connection: &Connection,
    entity_id: i32,
    associate: Option<&Assignee>,
    now: Timestamp,
) -> Result<Owner, Stop> {
    Ok(read(connection, entity_id, associate, now)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
}

pub(crate) const OWNER: &str = "
    SELECT id, active, owner_name, owner_description, shop_url, license_offer.entity_id IS NOT NULL,
           name, entity.serial_nr, entity.next_check_at, entity.maintenance_at, entity.admin_warning_at,
           entity.expires_at, entity.grace_at,
           coalesce(company_name, name), coalesce(license_offer.serial_nr, entity.serial_nr),
           coalesce(license_offer.next_check_at, entity.next_check_at),
           coalesce(license_offer.maintenance_at, entity.maintenance_at),
           coalesce(license_offer.admin_warning_at, entity.admin_warning_at),
           coalesce(license_offer.expires_at, entity.expires_at), coalesce(license_offer.grace_at, entity.grace_at)
      FROM entity LEFT JOIN license_offer ON license_offer.entity_id = entity.id
     WHERE id = ?1 AND owner_name IS NOT NULL";

/// From seven columns: company, serial number, dates.
fn grant(row: &Row<'_>, first: usize) -> rusqlite::Result<Grant> {
    Ok(Grant {
        company_name: text(row, first)?.unwrap_or_default(),
        serial_nr: text(row, first + 1)?,
        dates: Dates {
            next_check: time(row, first + 2)?,
            maintenance: time(row, first + 3)?,
            admin_warning: time(row, first + 4)?,
            expires: time(row, first + 5)?,
            grace: time(row, first + 6)?,
        },
    })
}

/// The pools that have started and not expired.
pub(crate) fn open_pools(connection: &Connection, entity_id: i32, now: Timestamp) -> rusqlite::Result<Vec<OpenPool>> {
    connection
        .prepare_cached(OPEN_POOLS)?
        .query_map(params![entity_id, to_text(now)], |row| {
            Ok(OpenPool {
                license_type: parse(row, 0)?,
                id: row.get(1)?,
                seats_total: row.get(2)?,
                seats_in_use: row.get(3)?,
                expires_at: time(row, 4)?,
            })
        })?
        .collect()
}

pub(crate) const OPEN_POOLS: &str = "
    SELECT license_type, id, seats_total, seats_in_use, expires_at FROM license_pool
     WHERE entity_id = ?1 AND (starts_at IS NULL OR starts_at <= ?2) AND (expires_at IS NULL OR expires_at > ?2)";

/// The seats of the types that an offer names.
fn offered_seats(connection: &Connection, entity_id: i32) -> rusqlite::Result<Vec<(LicenseType, i64)>> {
    let seats = |row: &Row<'_>| Ok((parse(row, 0)?, row.get(1)?));
    connection.prepare_cached(OFFERED_SEATS)?.query_map([entity_id], seats)?.collect()
}

pub(crate) const OFFERED_SEATS: &str =
    "SELECT license_type, seats_total FROM license_offer_module WHERE entity_id = ?1";
