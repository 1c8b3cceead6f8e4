//! The history of one module: of an owner's present and former pools of its type. Reading is limited, because a pool can have
//! millions of events, which the index `audit_event_by_pool` has in the order of their ids. Ids of one pool are generated while
//! the changed rows are locked, so this is a possible order of the changes. Committed events count, chained or not.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::look::pools_of;
use super::owner;
use super::stop::{Stop, caller_of_role};
use crate::license::OwnerFacts;
use crate::seats::Role;
use crate::store::pool_history::{EVENTS_MAX, POOLS_MAX, kind};
use crate::store::postgres::session::{Parameter, Session, Sql, time};
use crate::store::{Call, HistoryRequest, ModuleHistory, PoolEvent, PoolUse};

/// In a transaction with one snapshot.
pub(crate) async fn history(
    session: &Session,
    call: &Call,
    request: &HistoryRequest,
) -> Result<Option<ModuleHistory>, Stop> {
    let caller = caller_of_role(session, call, Role::Reader).await?;
    let Some(entity_id) = owner::named(session, &request.owner_name, caller.entity_id).await? else {
        return Ok(None);
    };
    let owner = owner::read(session, entity_id, call.now).await?.map(|facts: OwnerFacts| facts.owner(None, call.now));
    let Some(owner) = owner else { return Ok(None) };
    let mut pools = pools_of(session, entity_id).await?;
    pools.retain(|(pool, _)| pool.license_type == request.license_type);

    let lives = lives(session, entity_id, request, &pools).await?;
    let is_complete = pools.len() <= POOLS_MAX && lives.len() <= POOLS_MAX && !has_archive(session).await?;
    let (events, left_out) = events(session, lives).await?;
    let pools = pools.into_iter().map(|(pool, _)| pool).collect();
    Ok(Some(ModuleHistory { owner, pools, events, left_out, is_complete }))
}

/// A pool from its creation to its deletion, and how far its history is read, backwards. Another pool may get the id of a deleted
/// one.
struct Life {
    pool_id: i64,
    /// The event of its creation; 0: it is in an archive.
    first: i64,
    /// The event of its deletion, if any.
    last: i64,
    /// The number of its events; `None`: it was deleted, and no row counts them.
    events: Option<i64>,
    /// The seats of the pool after the event that is read next.
    seats: i64,
    /// The number of events read.
    read: i64,
    /// The last event read.
    oldest: i64,
    /// The number of events before that, if it has it: events copied from SQLite do.
    older: Option<i64>,
}

/// The newest pools, present ones before deleted ones; one more than are read, if there are more.
async fn lives(
    session: &Session,
    entity_id: i32,
    request: &HistoryRequest,
    pools: &[(PoolUse, i64)],
) -> Result<Vec<Life>, Stop> {
    let there: HashMap<i64, (i64, i64)> = pools
        .iter()
        .rev()
        .take(POOLS_MAX)
        .map(|(pool, events)| (pool.id, (pool.seats_total.into(), *events)))
        .collect();
    let ids: Vec<i64> = there.keys().copied().collect();
    let deleted_max = i64::try_from(POOLS_MAX - there.len()).unwrap_or(0) + 1;
    let values: [Parameter<'_>; 4] = [&entity_id, &request.license_type.name(), &ids, &deleted_max];
    let to_life = |row: &Row| {
        let (pool_id, first, last) = (row.try_get(0)?, row.try_get(1)?, row.try_get::<_, Option<i64>>(2)?);
        let now = there.get(&pool_id).filter(|_| last.is_none());
        Ok(Life {
            pool_id,
            first,
            last: last.unwrap_or(i64::MAX),
            events: now.map(|(_, events)| *events),
            seats: now.map_or(0, |(seats, _)| *seats),
            read: 0,
            oldest: 0,
            older: None,
        })
    };
    session.rows(&LIVES, &values).await?.iter().map(to_life).collect()
}

/// The newest events of pools, newest first; and the number of older ones, in the database or in an archive.
async fn events(session: &Session, mut lives: Vec<Life>) -> Result<(Vec<PoolEvent>, i64), Stop> {
    lives.truncate(POOLS_MAX);
    let of_each = |value: fn(&Life) -> i64| lives.iter().map(value).collect::<Vec<i64>>();
    let (ids, first, last) = (of_each(|life| life.pool_id), of_each(|life| life.first), of_each(|life| life.last));
    let quota = i64::try_from(EVENTS_MAX / ids.len().max(1)).unwrap_or(1);
    let mut events = Vec::new();
    for row in &session.rows(&EVENTS, &[&ids, &first, &last, &quota]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(1)? - 1).ok();
        let Some(life) = place.and_then(|place| lives.get_mut(place)) else { continue };
        let (kind, seats) = kind(row.try_get(3)?, row.try_get(5)?, row.try_get(6)?, life.seats);
        life.seats = seats;
        life.read += 1;
        life.oldest = row.try_get(0)?;
        life.older = row.try_get::<_, Option<i64>>(7)?.map(|number| number - 1);
        let (at, by_call) = (time(row, 2)?.unwrap_or_default(), row.try_get(4)?);
        events.push(PoolEvent { id: life.oldest, at, pool_id: life.pool_id, kind, by_call });
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.id));
    let mut left_out = 0;
    for life in &lives {
        left_out += match (life.events, life.older) {
            _ if life.oldest == life.first => 0,
            (Some(events), _) => events - life.read,
            (None, Some(older)) => older,
            (None, None) if life.read < quota => 0,
            (None, None) => session.row(&OLDER, &[&life.pool_id, &life.first, &life.oldest]).await?.try_get(0)?,
        };
    }
    Ok((events, left_out))
}

/// Archived events may include deletions of more pools.
async fn has_archive(session: &Session) -> Result<bool, Stop> {
    Ok(session.row(&ARCHIVED, &[]).await?.try_get(0)?)
}

pub(crate) const ARCHIVED: Sql = Sql { text: "SELECT EXISTS (SELECT FROM audit_archive)", types: &[] };

/// The present pools `$3`, and the deleted ones, latest first: each with the events of its creation and its deletion.
///
/// Materialized: with a LIMIT the planner may expect to find deletions soon in the order of ids, and read the whole history.
pub(crate) const LIVES: Sql = Sql {
    text: "WITH of_pools AS MATERIALIZED (
               SELECT id, pool_id, action FROM audit_event
                WHERE entity_id = $1 AND license_type = $2 AND pool_id IS NOT NULL AND seat_no IS NULL
                  AND action IN ('pool-create', 'pool-delete')),
           life AS (
               SELECT id AS pool_id, NULL::bigint AS last FROM unnest($3) AS id
                UNION ALL
               (SELECT pool_id, id FROM of_pools WHERE action = 'pool-delete' ORDER BY id DESC LIMIT $4))
           SELECT pool_id, coalesce((SELECT max(id) FROM of_pools
                                      WHERE of_pools.pool_id = life.pool_id AND action = 'pool-create' AND (last IS NULL OR id < last)), 0),
                  last
             FROM life ORDER BY last DESC NULLS FIRST",
    types: &[Type::INT4, Type::TEXT, Type::INT8_ARRAY, Type::INT8],
};

/// The newest events of each pool.
///
/// A range of pools, not an equality: only `audit_event_by_pool` has the order of both columns, so the planner cannot use the
/// order of ids alone and skip the events of all other pools.
pub(crate) const EVENTS: Sql = Sql {
    text: "SELECT event.id, life.place, event.at, event.action, event.request_id IS NOT NULL,
                  CASE WHEN seat_no IS NULL THEN (event.old_values::json ->> 'seats_total')::bigint END,
                  CASE WHEN seat_no IS NULL THEN (event.new_values::json ->> 'seats_total')::bigint END,
                  event.pool_events
             FROM unnest($1, $2, $3) WITH ORDINALITY AS life (pool_id, first, last, place)
            CROSS JOIN LATERAL (
                SELECT id, at, action, request_id, seat_no, old_values, new_values, pool_events FROM audit_event
                 WHERE audit_event.pool_id >= life.pool_id AND audit_event.pool_id <= life.pool_id AND id >= first AND id <= last
                 ORDER BY audit_event.pool_id DESC, audit_event.id DESC LIMIT $4) AS event
            ORDER BY life.place, event.id DESC",
    types: &[Type::INT8_ARRAY, Type::INT8_ARRAY, Type::INT8_ARRAY, Type::INT8],
};

/// The number of events of a pool from its first to before one. They are counted in the index, but only for a deleted pool,
/// because the row of any other has their number. The first one may have come from SQLite, with earlier ones in an archive.
pub(crate) const OLDER: Sql = Sql {
    text: "SELECT (SELECT count(*) FROM audit_event WHERE pool_id = $1 AND id >= $2 AND id < $3) +
                  coalesce((SELECT pool_events - 1 FROM audit_event
                             WHERE pool_id >= $1 AND pool_id <= $1 AND id >= $2 AND id < $3
                             ORDER BY audit_event.pool_id, audit_event.id LIMIT 1), 0)",
    types: &[Type::INT8, Type::INT8, Type::INT8],
};
