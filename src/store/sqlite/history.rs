//! The history of one module: what became of the pools that an owner has and had of its type. Read from the audit, in
//! bounds: a pool can have millions of events.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::facts::time;
use super::look::pools_of;
use super::owner;
use super::stop::{Stop, caller_of_role, settle};
use crate::seats::{LicenseType, Refusal, Role};
use crate::store::{Call, HistoryRequest, ModuleHistory, PoolEvent, PoolEventKind};

/// Pools that are looked at, the newest first.
const POOLS_MAX: usize = 200;
/// Events that are read, of all pools together.
const EVENTS_MAX: usize = 10_000;
/// Events that are counted without being read, of all pools together.
const COUNTED_MAX: i64 = 1_000_000;

pub(super) fn history(
    connection: &Connection,
    call: &Call,
    request: &HistoryRequest,
) -> rusqlite::Result<Result<Option<ModuleHistory>, Refusal>> {
    settle(try_history(connection, call, request))
}

fn try_history(connection: &Connection, call: &Call, request: &HistoryRequest) -> Result<Option<ModuleHistory>, Stop> {
    let caller = caller_of_role(connection, call, Role::Reader)?;
    let Some((entity_id, _)) = owner::named(connection, &request.owner_name, caller.entity_id)? else { return Ok(None) };
    let owner = owner::get(connection, entity_id, None, call.now)?;
    let mut pools = pools_of(connection, entity_id)?;
    pools.retain(|pool| pool.license_type == request.license_type);

    let (lives, mut is_complete) = lives(connection, entity_id, request.license_type)?;
    let quota = EVENTS_MAX / lives.len().max(1);
    let mut events = Vec::new();
    let mut left_out = 0;
    for life in &lives {
        if let Some(cut) = life.events(connection, quota, &mut events)? {
            let more = life.count_before(connection, cut, COUNTED_MAX - left_out)?;
            left_out += more;
            is_complete &= left_out < COUNTED_MAX;
        }
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.id));
    Ok(Some(ModuleHistory { owner, pools, events, left_out, is_complete }))
}

/// A pool from its creation to its deletion: an id can be used again.
struct Life {
    pool_id: i64,
    first_event: i64,
    /// The deletion; the last possible id while the pool is there.
    last_event: i64,
}

/// The pools that the owner has and had of a type, newest first; and whether these are all.
fn lives(connection: &Connection, entity_id: i32, license_type: LicenseType) -> rusqlite::Result<(Vec<Life>, bool)> {
    let mut deleted: HashMap<i64, i64> = HashMap::new();
    let mut lives = Vec::new();
    let mut statement = connection.prepare_cached(LIVES)?;
    let mut rows = statement.query(params![entity_id, license_type.name()])?;
    let mut is_complete = true;
    while let Some(row) = rows.next()? {
        let (id, pool_id): (i64, i64) = (row.get(0)?, row.get(1)?);
        if lives.len() == POOLS_MAX || deleted.len() == POOLS_MAX {
            is_complete = false;
            break;
        }
        if row.get(2)? {
            deleted.insert(pool_id, id);
        } else {
            lives.push(Life { pool_id, first_event: id, last_event: deleted.remove(&pool_id).unwrap_or(i64::MAX) });
        }
    }
    // Of these the creation was not reached.
    lives.extend(deleted.into_iter().map(|(pool_id, id)| Life { pool_id, first_event: id, last_event: id }));
    Ok((lives, is_complete))
}

/// Newest first, as the index has them.
pub(super) const LIVES: &str = "
    SELECT id, pool_id, action = 'pool-delete' FROM audit_event INDEXED BY audit_event_by_owner
     WHERE entity_id = ?1 AND license_type = ?2 ORDER BY id DESC";

impl Life {
    /// Adds its newest events, `quota` at most. Answers with the first that was left out, if one was.
    fn events(
        &self,
        connection: &Connection,
        quota: usize,
        events: &mut Vec<PoolEvent>,
    ) -> rusqlite::Result<Option<i64>> {
        let mut statement = connection.prepare_cached(EVENTS)?;
        let limit = i64::try_from(quota).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = statement.query(params![self.pool_id, self.first_event, self.last_event, limit])?;
        let begin = events.len();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let seats: i64 = row.get(3)?;
            // Of a change of the pool, only the event before it tells how many seats there were.
            if let Some(after) = events[begin..].last_mut()
                && let PoolEventKind::Changed { from, .. } = &mut after.kind
            {
                *from = seats;
            }
            if events.len() - begin == quota {
                return Ok(Some(id));
            }
            events.push(self.event(row, id, seats)?);
        }
        Ok(None)
    }

    fn event(&self, row: &Row<'_>, id: i64, seats: i64) -> rusqlite::Result<PoolEvent> {
        let kind = match row.get_ref(2)?.as_str()? {
            "pool-create" => PoolEventKind::Created { seats },
            "pool-change" => PoolEventKind::Changed { from: seats, to: seats },
            "pool-delete" => PoolEventKind::Deleted,
            "assign" => PoolEventKind::Assigned,
            "release" => PoolEventKind::Released,
            _ => PoolEventKind::SeatChanged,
        };
        let at = time(row, 1)?.unwrap_or_default();
        Ok(PoolEvent { id, at, pool_id: self.pool_id, kind, by_call: row.get(4)? })
    }

    /// Counts this event and those before it, `max` at most.
    fn count_before(&self, connection: &Connection, last: i64, max: i64) -> rusqlite::Result<i64> {
        connection
            .prepare_cached(COUNT)?
            .query_row(params![self.pool_id, self.first_event, last, max], |row| row.get(0))
    }
}

pub(super) const EVENTS: &str = "
    SELECT id, at, action, seats_total, request_id IS NOT NULL FROM audit_event INDEXED BY audit_event_by_pool
     WHERE pool_id = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id DESC LIMIT ?4";

pub(super) const COUNT: &str = "
    SELECT count(*) FROM (SELECT 1 FROM audit_event INDEXED BY audit_event_by_pool
                           WHERE pool_id = ?1 AND id BETWEEN ?2 AND ?3 LIMIT ?4)";
