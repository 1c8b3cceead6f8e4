//! Module owners: the entities that license tools know by name, with the numbers of their pools and their offers.
//!
//! The numbers of a pool are those of its row, which the chain writer updates behind the calls, plus the changes of later events.
//! A statement reads those once for all its pools: `audit_pending` is short and has no index.

use std::collections::HashMap;
use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::assignee;
use super::facts::{
    Caller, Proof, caller_by_password, caller_by_session, caller_by_ticket, caller_of_command_line, findable, is_below,
};
use super::facts::{is_set, of_caller, to_caller};
use super::stop::{Stop, caller_of_role};
use crate::license::{Assignee, Dates, Grant, OWNERS_MAX, OpenPool, Owner, OwnerFacts, check_owners, sort_owners};
use crate::seats::{LicenseType, Refusal, Role, check_role};
use crate::store::postgres::session::{Parameter, Session, Sql, time, to_time, to_timestamp};
use crate::store::{Call, Owners, OwnersRequest, StoreError};

/// Reads one owner in one statement. Other selections read several, in one snapshot.
pub(crate) async fn owners(session: &Session, call: &Call, request: &OwnersRequest) -> Result<Vec<Owner>, Stop> {
    if let Owners::Named(name) = &request.owners {
        let Status { associate, owner, .. } = status(session, call, name, request.associate_id, Role::Reader).await?;
        return Ok(owner.into_iter().map(|owner| owner.owner(associate.as_ref(), call.now)).collect());
    }
    let caller = caller_of_role(session, call, Role::Reader).await?;
    let associate = match request.associate_id {
        Some(id) => assignee::find(session, id, &caller).await?,
        None => None,
    };
    let mut above = Vec::new();
    let ids = match (&request.owners, &associate) {
        (Owners::OfAssociate, Some(associate)) => {
            above = owners_above(session, associate, &caller).await?;
            let mut ids = above.clone();
            ids.extend(associate.providers());
            ids
        }
        (Owners::OfAssociate, None) => Vec::new(),
        (Owners::All | Owners::Named(_), _) => all(session, &caller).await?,
    };
    let facts = read_all(session, &ids, call.now).await?;
    let mut owners: Vec<Owner> = facts.into_iter().map(|owner| owner.owner(associate.as_ref(), call.now)).collect();
    sort_owners(&mut owners, &above);
    Ok(owners)
}

/// The caller, the associate, and one owner, if the caller may see them; all from one snapshot.
pub(crate) struct Status {
    pub(crate) caller: Caller,
    pub(crate) associate: Option<Assignee>,
    pub(crate) owner: Option<OwnerFacts>,
}

/// Reads all of it in one statement, for a caller of at least this role.
pub(crate) async fn status(
    session: &Session,
    call: &Call,
    owner_name: &str,
    associate_id: Option<i32>,
    least: Role,
) -> Result<Status, Stop> {
    let proof = Proof::of(call);
    let (now, name, associate_id) = (to_time(call.now), owner_key(owner_name), associate_id.map(i64::from));
    let values: [Parameter<'_>; 5] = [&proof.name, &proof.secret, &now, &name, &associate_id];
    let row = session.row_opt(&STATUS[proof.kind as usize], &values).await?;
    let row = row.ok_or(Refusal::CallerUnknown)?;
    let caller = to_caller(call, &row)?;
    check_role(Some(caller.role), least)?;
    let associate = assignee::of_row(&row, 3, caller.role)?;
    let owner = match row.try_get::<_, Option<i32>>(OF_OWNER)? {
        Some(_) => Some(to_facts(&row, OF_OWNER, &to_since(&row, OF_OWNER - 2)?)?),
        None => None,
    };
    Ok(Status { caller, associate, owner })
}

/// The first column of the owner in a row of [`status!`].
const OF_OWNER: usize = 14;

/// The key for looking up an owner, in any case.
fn owner_key(name: &str) -> Option<String> {
    findable(name).map(|name| name.trim().to_ascii_uppercase())
}

/// The owners among the entities of a table `id`, in the columns that [`to_facts`] reads. `OFFSET 0`: see [`super::seats`].
macro_rules! of_owner {
    ($wanted:literal, $now:literal) => {
        concat!(
            "entity.id, entity.active, owner_name, owner_description, shop_url, offer.entity_id IS NOT NULL,
                   name, entity.serial_nr, entity.next_check_at, entity.maintenance_at, entity.admin_warning_at,
                   entity.expires_at, entity.grace_at,
                   coalesce(company_name, name), coalesce(offer.serial_nr, entity.serial_nr),
                   coalesce(offer.next_check_at, entity.next_check_at), coalesce(offer.maintenance_at, entity.maintenance_at),
                   coalesce(offer.admin_warning_at, entity.admin_warning_at), coalesce(offer.expires_at, entity.expires_at),
                   coalesce(offer.grace_at, entity.grace_at),
                   pools.ids AS pool_ids, pools.types, pools.totals, pools.in_use, pools.ends, modules.types, modules.totals
              FROM ",
            $wanted,
            " CROSS JOIN LATERAL (
                SELECT id, active, owner_name, owner_description, shop_url, name, serial_nr, next_check_at, maintenance_at, admin_warning_at,
                       expires_at, grace_at
                  FROM entity WHERE entity.id = ",
            $wanted,
            ".id OFFSET 0) AS entity
              LEFT JOIN LATERAL (
                SELECT entity_id, company_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at
                  FROM license_offer WHERE license_offer.entity_id = entity.id OFFSET 0) AS offer ON true
             CROSS JOIN LATERAL (
                SELECT array_agg(id) AS ids, array_agg(license_type) AS types, array_agg(seats_total) AS totals,
                       array_agg(seats_in_use) AS in_use, array_agg(expires_at) AS ends
                  FROM license_pool
                 WHERE license_pool.entity_id = entity.id AND (starts_at IS NULL OR starts_at <= ",
            $now,
            ") AND (license_pool.expires_at IS NULL OR license_pool.expires_at > ",
            $now,
            ")) AS pools
             CROSS JOIN LATERAL (
                SELECT array_agg(license_type) AS types, array_agg(seats_total) AS totals
                  FROM license_offer_module AS module WHERE module.entity_id = entity.id) AS modules
             WHERE owner_name IS NOT NULL"
        )
    };
}

/// After the three columns of the caller: the associate in three columns, its seats in six, the changes of the owner's pools
/// since the numbers of their rows in two, and the columns of [`of_owner!`].
pub(crate) static STATUS: [Sql; 4] = of_caller!(
    &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::TEXT, Type::INT8],
    ", wanted AS MATERIALIZED (
        SELECT entity.id FROM caller JOIN entity ON owner_name = $4 WHERE ",
    is_below!("entity.id", "caller.entity_id"),
    "), associate AS MATERIALIZED (
        SELECT account.id, username, account.active FROM caller JOIN account ON account.id = $5 WHERE ",
    is_below!("account.entity_id", "caller.entity_id"),
    "), held AS MATERIALIZED (
        SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, ",
    is_below!("license_pool.entity_id", "caller.entity_id"),
    " AS in_subtree, seat.license_type
          FROM caller CROSS JOIN associate
         CROSS JOIN LATERAL (SELECT pool_id, seat_no, license_type FROM seat WHERE account_id = associate.id OFFSET 0) AS seat
         CROSS JOIN LATERAL (SELECT expires_at, entity_id FROM license_pool WHERE id = seat.pool_id OFFSET 0) AS license_pool)
    SELECT caller.name, caller.role, caller.entity_id, associate.id, associate.username, associate.active,
           seats.pool_ids, seats.seat_nos, seats.ends, seats.entity_ids, seats.in_subtree, seats.types,
           since.pool_ids, since.deltas, owner.*
      FROM caller
      LEFT JOIN associate ON true
     CROSS JOIN (
        SELECT array_agg(pool_id) AS pool_ids, array_agg(seat_no) AS seat_nos, array_agg(expires_at) AS ends,
               array_agg(entity_id) AS entity_ids, array_agg(in_subtree) AS in_subtree, array_agg(license_type) AS types
          FROM held) AS seats
      LEFT JOIN (SELECT ",
    of_owner!("wanted", "$3"),
    ") AS owner ON true
     CROSS JOIN LATERAL (
        SELECT array_agg(pool_id) AS pool_ids, array_agg(delta) AS deltas
          FROM (SELECT pool_id, sum(delta) AS delta
                  FROM unnest(owner.pool_ids) AS pool (id) JOIN audit_pending ON pool_id = pool.id
                 GROUP BY pool_id) AS pool) AS since"
);

/// The changes of seats in use by unchained events of pools.
pub(crate) type Since = HashMap<i64, i64>;

/// Reads two columns: pools, and the change of each.
fn to_since(row: &Row, first: usize) -> Result<Since, Stop> {
    let (pool_ids, deltas): (Option<Vec<i64>>, Option<Vec<i64>>) = (row.try_get(first)?, row.try_get(first + 1)?);
    Ok(pool_ids.unwrap_or_default().into_iter().zip(deltas.unwrap_or_default()).collect())
}

/// Reads the columns of [`of_owner!`].
fn to_facts(row: &Row, first: usize, since: &Since) -> Result<OwnerFacts, Stop> {
    let offered = match row.try_get(first + 5)? {
        true => Some((grant(row, first + 13)?, offered_seats(row, first + 25)?)),
        false => None,
    };
    Ok(OwnerFacts {
        entity_id: row.try_get(first)?,
        active: is_set(row, first + 1)?,
        name: row.try_get(first + 2)?,
        description: row.try_get(first + 3)?,
        shop_url: row.try_get(first + 4)?,
        current: grant(row, first + 6)?,
        offered,
        pools: open_pools(row, first + 20, since)?,
    })
}

/// From seven columns: company, serial number, dates.
fn grant(row: &Row, first: usize) -> Result<Grant, Stop> {
    Ok(Grant {
        company_name: row.try_get(first)?,
        serial_nr: row.try_get(first + 1)?,
        dates: Dates {
            next_check: time(row, first + 2)?,
            maintenance: time(row, first + 3)?,
            admin_warning: time(row, first + 4)?,
            expires: time(row, first + 5)?,
            grace: time(row, first + 6)?,
        },
    })
}

/// The pools that have started and not expired, from five columns with a value for each of them.
fn open_pools(row: &Row, first: usize, since: &Since) -> Result<Vec<OpenPool>, Stop> {
    let Some(ids) = row.try_get::<_, Option<Vec<i64>>>(first)? else { return Ok(Vec::new()) };
    let types: Vec<&str> = row.try_get(first + 1)?;
    let (totals, in_use): (Vec<i32>, Vec<i32>) = (row.try_get(first + 2)?, row.try_get(first + 3)?);
    let ends: Vec<Option<SystemTime>> = row.try_get(first + 4)?;
    let pool = |at: usize| {
        Ok(OpenPool {
            id: ids[at],
            license_type: license_type(types[at])?,
            seats_total: totals[at].into(),
            seats_in_use: i64::from(in_use[at]) + since.get(&ids[at]).copied().unwrap_or(0),
            expires_at: ends[at].map(to_timestamp),
        })
    };
    (0..ids.len()).map(pool).collect()
}

/// A type, which a CHECK constraint limits to existing ones.
pub(crate) fn license_type(name: &str) -> Result<LicenseType, Stop> {
    Ok(name.parse().map_err(StoreError::Failed)?)
}

/// The seats of the types that an offer names, from two columns.
fn offered_seats(row: &Row, first: usize) -> Result<Vec<(LicenseType, i64)>, Stop> {
    let (types, seats): (Option<Vec<&str>>, Option<Vec<i32>>) = (row.try_get(first)?, row.try_get(first + 1)?);
    let named = types.unwrap_or_default().into_iter().zip(seats.unwrap_or_default());
    named.map(|(name, seats)| Ok((license_type(name)?, seats.into()))).collect()
}

/// The owners among these entities, in no order. In a transaction with one snapshot, or with the rows locked.
pub(crate) async fn read_all(session: &Session, ids: &[i32], now: Timestamp) -> Result<Vec<OwnerFacts>, Stop> {
    check_owners(ids.len())?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.rows(&OWNERS, &[&ids, &to_time(now)]).await?;
    let since = rows.first().map_or(Ok(Since::new()), |row| to_since(row, 0))?;
    rows.iter().map(|row| to_facts(row, 2, &since)).collect()
}

/// The facts of one entity; `None` if it is no owner.
pub(crate) async fn read(session: &Session, entity_id: i32, now: Timestamp) -> Result<Option<OwnerFacts>, Stop> {
    Ok(read_all(session, &[entity_id], now).await?.pop())
}

/// The first row has the changes since the numbers of all those pools in two columns; then the columns of [`of_owner!`].
pub(crate) const OWNERS: Sql = Sql {
    text: concat!(
        "WITH wanted AS MATERIALIZED (SELECT DISTINCT id FROM unnest($1) AS id),
              since AS MATERIALIZED (
                SELECT array_agg(pool_id) AS pool_ids, array_agg(delta) AS deltas
                  FROM (SELECT pool_id, sum(delta) AS delta
                          FROM audit_pending JOIN license_pool ON license_pool.id = pool_id
                         WHERE entity_id = ANY ($1) GROUP BY pool_id) AS pool)
         SELECT CASE WHEN row_number() OVER () = 1 THEN (SELECT pool_ids FROM since) END,
                CASE WHEN row_number() OVER () = 1 THEN (SELECT deltas FROM since) END, ",
        of_owner!("wanted", "$2")
    ),
    types: &[Type::INT4_ARRAY, Type::TIMESTAMPTZ],
};

/// The entity of this owner, with the name in any case; `None` if there is none in the caller's subtree.
pub(crate) async fn named(session: &Session, name: &str, root: Option<i32>) -> Result<Option<i32>, Stop> {
    let row = session.row_opt(&NAMED, &[&owner_key(name), &root]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

pub(crate) const NAMED: Sql = Sql {
    text: concat!("SELECT id FROM entity WHERE owner_name = $1 AND ", is_below!("id", "$2")),
    types: &[Type::TEXT, Type::INT4],
};

/// The entity of this owner; a refusal if the caller may not see it.
pub(crate) async fn find(session: &Session, name: &str, root: Option<i32>) -> Result<i32, Stop> {
    let unknown = || Refusal::OwnerUnknown { owner_name: name.to_owned() };
    Ok(named(session, name, root).await?.ok_or_else(unknown)?)
}

/// The most entities read: one more than an answer may have, which shows that there are too many.
pub(crate) const IDS_MAX: i64 = OWNERS_MAX as i64 + 1;

/// Every owner in the subtree.
async fn all(session: &Session, caller: &Caller) -> Result<Vec<i32>, Stop> {
    let rows = match caller.entity_id {
        Some(root) => session.rows(&ALL_BELOW, &[&root, &IDS_MAX]).await?,
        None => session.rows(&ALL, &[&IDS_MAX]).await?,
    };
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

pub(crate) const ALL: Sql =
    Sql { text: "SELECT id FROM entity WHERE owner_name IS NOT NULL LIMIT $1", types: &[Type::INT8] };

/// UNION ends even in a cycle.
pub(crate) const ALL_BELOW: Sql = Sql {
    text: "WITH RECURSIVE below (id) AS (
               SELECT $1::integer UNION SELECT entity.id FROM below JOIN entity ON entity.parent_id = below.id)
           SELECT entity.id FROM below JOIN entity ON entity.id = below.id WHERE owner_name IS NOT NULL LIMIT $2",
    types: &[Type::INT4, Type::INT8],
};

/// The owners that an account belongs to, up to the caller's entity and the nearest first.
async fn owners_above(session: &Session, associate: &Assignee, caller: &Caller) -> Result<Vec<i32>, Stop> {
    let rows = session.rows(&ABOVE, &[&associate.account.id, &caller.entity_id, &IDS_MAX]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// No further than the caller's entity, and in a cycle not back to its beginning: each step finds one parent that was not seen
/// before.
pub(crate) const ABOVE: Sql = Sql {
    text: "WITH RECURSIVE above (id, place, seen) AS (
               SELECT entity_id, 1, ARRAY[entity_id] FROM account WHERE id = $1
                UNION ALL
               SELECT parent_id, place + 1, seen || parent_id
                 FROM (SELECT above.*, (SELECT parent_id FROM entity WHERE entity.id = above.id) AS parent_id FROM above
                        WHERE above.id IS DISTINCT FROM $2) AS step
                WHERE parent_id IS NOT NULL AND parent_id <> ALL (seen))
           SELECT entity.id FROM above JOIN entity ON entity.id = above.id WHERE owner_name IS NOT NULL ORDER BY place LIMIT $3",
    types: &[Type::INT8, Type::INT4, Type::INT8],
};
