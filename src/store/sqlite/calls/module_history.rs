//! The history of one module: of an owner's present and former pools of its type. Reading is limited, because a pool can have
//! millions of events. Each event of a pool names the previous one, and the pool names its newest.

use rusqlite::{Connection, params};

use super::facts::time;
use super::look::pools_of;
use super::owner;
use super::stop::{Stop, caller_of_role};
use crate::seats::{LicenseType, Role};
use crate::store::pool_history::{EVENTS_MAX, POOLS_MAX, kind};
use crate::store::{Call, HistoryRequest, ModuleHistory, PoolEvent, PoolUse};

pub(crate) fn history(
    connection: &Connection,
    call: &Call,
    request: &HistoryRequest,
) -> Result<Option<ModuleHistory>, Stop> {
    let caller = caller_of_role(connection, call, Role::Reader)?;
    let Some((entity_id, _)) = owner::named(connection, &request.owner_name, caller.entity_id)? else {
        return Ok(None);
    };
    let owner = owner::get(connection, entity_id, None, call.now)?;
    let mut pools = pools_of(connection, entity_id)?;
    pools.retain(|pool| pool.license_type == request.license_type);

    let (newest, is_complete) = newest_events(connection, entity_id, request.license_type, &pools)?;
    let quota = EVENTS_MAX / newest.len().max(1);
    let (mut events, mut left_out) = (Vec::new(), 0);
    for pool in newest {
        left_out += read_back(connection, pool, quota, &mut events)?;
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.id));
    Ok(Some(ModuleHistory { owner, pools, events, left_out, is_complete }))
}

/// The start for reading the history of a pool backwards.
struct Newest {
    event_id: i64,
    /// The seats of the pool after that event.
    seats: i64,
    /// The number of events of the pool, including that one.
    events: i64,
}

/// The newest event of each pool; and whether these are all pools.
fn newest_events(
    connection: &Connection,
    entity_id: i32,
    license_type: LicenseType,
    pools: &[PoolUse],
) -> rusqlite::Result<(Vec<Newest>, bool)> {
    let mut newest = Vec::new();
    for pool in pools.iter().rev().take(POOLS_MAX) {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?));
        let (event_id, events) = connection.prepare_cached(NEWEST_OF_POOL)?.query_row([pool.id], read)?;
        let seats = i64::from(pool.seats_total);
        newest.extend(event_id.map(|event_id| Newest { event_id, seats, events }));
    }
    let mut statement = connection.prepare_cached(DELETIONS)?;
    let limit = i64::try_from(POOLS_MAX - newest.len()).unwrap_or(0) + 1;
    let key = params![entity_id, license_type.name(), limit];
    let of_deleted = |row: &rusqlite::Row<'_>| Ok(Newest { event_id: row.get(0)?, seats: 0, events: 0 });
    let deleted = statement.query_map(key, of_deleted)?.collect::<rusqlite::Result<Vec<_>>>()?;
    // Archived events may include deletions of more pools.
    let archived = "SELECT EXISTS (SELECT 1 FROM audit_archive)";
    let archived: bool = connection.prepare_cached(archived)?.query_row([], |row| row.get(0))?;
    let is_complete = !archived && pools.len() <= POOLS_MAX && newest.len() + deleted.len() <= POOLS_MAX;
    newest.extend(deleted);
    newest.truncate(POOLS_MAX);
    Ok((newest, is_complete))
}

pub(crate) const NEWEST_OF_POOL: &str = "SELECT event_id, events FROM license_pool WHERE id = ?1";

/// Newest first, as the index has them.
pub(crate) const DELETIONS: &str = "
    SELECT id FROM audit_event INDEXED BY audit_event_of_pool
     WHERE entity_id = ?1 AND license_type = ?2 AND pool_id IS NOT NULL AND seat_no IS NULL AND action = 'pool-delete'
     ORDER BY id DESC LIMIT ?3";

/// Reads the history of a pool backwards, at most `quota` events; returns the number of older ones, in the database or in an
/// archive.
fn read_back(
    connection: &Connection,
    Newest { event_id, mut seats, events: mut older }: Newest,
    quota: usize,
    events: &mut Vec<PoolEvent>,
) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(EVENT)?;
    let mut next = Some(event_id);
    let mut quota = quota;
    while let Some(id) = next {
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(older) };
        if quota == 0 {
            return row.get::<_, Option<i64>>(6).map(|number| number.unwrap_or(0));
        }
        let (before, after): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let (kind, seats_before) = kind(row.get_ref(1)?.as_str()?, before, after, seats);
        seats = seats_before;
        let at = time(row, 0)?.unwrap_or_default();
        events.push(PoolEvent { id, at, pool_id: row.get(7)?, kind, by_call: row.get(2)? });
        next = row.get(5)?;
        older = row.get::<_, Option<i64>>(6)?.unwrap_or(1) - 1;
        quota -= 1;
    }
    Ok(0)
}

pub(crate) const EVENT: &str = "
    SELECT at, action, request_id IS NOT NULL, json_extract(old_values, '$.seats_total'), json_extract(new_values, '$.seats_total'),
           previous_id, pool_events, pool_id
      FROM audit_event WHERE id = ?1";
