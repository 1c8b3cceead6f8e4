//! Pools and holders: the calls that only read. Each is one read transaction: its whole answer was true at one moment.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::facts::{caller, entity, parse, text, time};
use super::stop::Stop;
use crate::seats;
use crate::store::spool::Spool;
use crate::store::{Call, Holder, HoldersRequest, PoolUse, StoreError};

/// The pools of an entity, for a caller that may see it.
pub(crate) fn pools(connection: &Connection, call: &Call, entity_id: Option<i32>) -> Result<Vec<PoolUse>, Stop> {
    Ok(pools_of(connection, visible(connection, call, entity_id)?)?)
}

/// All pools of an entity.
pub(crate) fn pools_of(connection: &Connection, entity_id: i32) -> rusqlite::Result<Vec<PoolUse>> {
    connection
        .prepare_cached(POOLS)?
        .query_map([entity_id], |row| {
            Ok(PoolUse {
                id: row.get(0)?,
                license_type: parse(row, 1)?,
                seats_total: row.get(2)?,
                seats_in_use: row.get(3)?,
                seats_in_use_max: row.get(4)?,
                starts_at: time(row, 5)?,
                expires_at: time(row, 6)?,
            })
        })?
        .collect()
}

pub(crate) const POOLS: &str = "
    SELECT id, license_type, seats_total, seats_in_use, seats_in_use_max, starts_at, expires_at
      FROM license_pool WHERE entity_id = ?1 ORDER BY id";

/// The holders in one page.
const PAGE: usize = 500;
/// The time limit for reading a list, which holds a snapshot of the database, so that the log grows meanwhile. A million holders
/// take two seconds.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads all holders of seats into `spool`, page by page, from one snapshot.
pub(crate) fn holders(
    connection: &Connection,
    call: &Call,
    request: &HoldersRequest,
    mut spool: Spool,
) -> Result<Spool, Stop> {
    let entity_id = visible(connection, call, request.entity_id)?;
    let begun = Instant::now();
    let mut statement =
        connection.prepare_cached(if request.child_accounts_only { OF_CHILDREN } else { OF_SUBTREE })?;
    let mut rows = statement.query([entity_id])?;
    loop {
        let mut page = Vec::with_capacity(PAGE);
        while page.len() < PAGE
            && let Some(row) = rows.next()?
        {
            page.push(Holder { username: text(row, 0)?.unwrap_or_default(), license_type: parse(row, 1)? });
        }
        if !page.is_empty() {
            spool.push(&page)?;
        }
        if page.len() < PAGE {
            return Ok(spool);
        }
        if begun.elapsed() > SNAPSHOT_TIMEOUT {
            return Err(StoreError::Failed("the list of holders took too long to read".to_owned()).into());
        }
    }
}

/// Entity by entity, so that no sorting is needed and rows are returned as they are found. UNION ends even in a cycle.
const OF_SUBTREE: &str = "
    WITH RECURSIVE owner (id) AS (
        SELECT ?1 UNION SELECT entity.id FROM entity JOIN owner ON entity.parent_id = owner.id)
    SELECT username, license_type
      FROM owner
     CROSS JOIN account INDEXED BY account_by_entity ON account.entity_id = owner.id
     CROSS JOIN seat INDEXED BY seat_by_holder ON seat.account_id = account.id";

const OF_CHILDREN: &str = "
    WITH owner (id) AS (SELECT ?1 UNION ALL SELECT id FROM entity WHERE parent_id = ?1)
    SELECT username, license_type
      FROM owner
     CROSS JOIN account INDEXED BY account_by_entity ON account.entity_id = owner.id
     CROSS JOIN seat INDEXED BY seat_by_holder ON seat.account_id = account.id";

/// The entity that a caller wants to read, if it may.
fn visible(connection: &Connection, call: &Call, entity_id: Option<i32>) -> Result<i32, Stop> {
    let caller = caller(connection, call)?;
    let found = match (&caller, entity_id) {
        (Some(caller), Some(id)) => entity(connection, id, caller.entity_id)?,
        _ => None,
    };
    Ok(seats::look(caller.map(|caller| caller.role), "EntityId", entity_id, found)?)
}
