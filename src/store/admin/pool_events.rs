//! The events of one pool and its seats, the newest first, read in bounds.
//!
//! On SQLite each of them names the one before it and the pool names its newest; PostgreSQL has an index. Either way an event costs the
//! same however many there are, and only as many are read as are asked for.

use std::collections::HashMap;

use jiff::Timestamp;

use super::page::{by_ids, count};
use super::{Dialect, Row, Sql, Stop, Value, first};

/// An event of a pool or of one of its seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolEvent {
    pub id: i64,
    pub at: Timestamp,
    pub action: String,
    pub entity_id: Option<i64>,
    pub license_type: Option<String>,
    pub seat_no: Option<i64>,
    pub account_id: Option<i64>,
    /// The seats of the pool before and after, where the event changed them.
    pub seats_before: Option<i64>,
    pub seats_after: Option<i64>,
    previous_id: Option<i64>,
}

/// The events of a pool, from one of them on backwards.
pub(super) struct PoolEvents<'s> {
    sql: &'s dyn Sql,
    pool_id: i64,
    /// `None`: all are read.
    next: Option<i64>,
    /// More than this one were not read.
    left: usize,
}

impl<'s> PoolEvents<'s> {
    /// From the newest event of a pool that is there; `events_max` at most.
    pub fn of_pool(sql: &'s dyn Sql, pool_id: i64, events_max: usize) -> Result<PoolEvents<'s>, Stop> {
        let next = match sql.dialect() {
            Dialect::Sqlite => {
                let newest = first(sql, "SELECT event_id FROM license_pool WHERE id = $1", &[pool_id.into()])?;
                newest.map_or(Ok(None), |row| row.opt_int(0))?
            }
            Dialect::Postgres => Some(i64::MAX),
        };
        Ok(PoolEvents { sql, pool_id, next, left: events_max })
    }

    /// From an event on, which may be of a pool that is gone.
    pub fn from_event(sql: &'s dyn Sql, pool_id: i64, event_id: i64, events_max: usize) -> PoolEvents<'s> {
        PoolEvents { sql, pool_id, next: Some(event_id), left: events_max }
    }

    /// Some more events; none: there are no more, or as many were read as are read at most.
    pub fn chunk(&mut self) -> Result<Vec<PoolEvent>, Stop> {
        let Some(from) = self.next else { return Ok(Vec::new()) };
        let wanted = CHUNK.min(self.left);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let rows = match self.sql.dialect() {
            Dialect::Sqlite => self.sql.rows(CHAIN, &[Value::Int(from), count(wanted)])?,
            Dialect::Postgres => self.sql.rows(INDEXED, &[self.pool_id.into(), Value::Int(from), count(wanted)])?,
        };
        let mut events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        self.next = match events.last() {
            Some(last) if events.len() == wanted => match self.sql.dialect() {
                Dialect::Sqlite => last.previous_id,
                Dialect::Postgres => last.id.checked_sub(1),
            },
            _ => None,
        };
        // With its creation the history of a pool begins; an earlier pool may have had the same id.
        if let Some(created) = events.iter().position(|event| event.action == "pool-create") {
            events.truncate(created + 1);
            self.next = None;
        }
        self.left -= events.len();
        Ok(events)
    }

    /// Whether there are events that were not read.
    pub fn has_more(&self) -> bool {
        self.next.is_some()
    }
}

/// Events that are read together.
const CHUNK: usize = 1_000;

const CHAIN: &str = "
    WITH RECURSIVE chain (id, previous_id) AS (
        SELECT id, previous_id FROM audit_event WHERE id = $1
        UNION ALL SELECT e.id, e.previous_id FROM chain CROSS JOIN audit_event AS e
                   WHERE e.id = chain.previous_id AND e.id < chain.id)
    SELECT e.id, e.at, e.action, e.entity_id, e.license_type, e.seat_no, e.account_id, e.old_values, e.new_values, e.previous_id
      FROM chain CROSS JOIN audit_event AS e WHERE e.id = chain.id LIMIT $2";

const INDEXED: &str = "
    SELECT id, at, action, entity_id, license_type, seat_no, account_id, old_values, new_values, previous_id
      FROM audit_event WHERE pool_id = $1 AND id <= $2 ORDER BY pool_id DESC, id DESC LIMIT $3";

fn event(row: &Row) -> Result<PoolEvent, Stop> {
    let seats = |index| -> Result<Option<i64>, Stop> {
        let values = row.opt_text(index)?.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        Ok(values.and_then(|values| values.get("seats_total")?.as_i64()))
    };
    let seat_no = row.opt_int(5)?;
    Ok(PoolEvent {
        id: row.int(0)?,
        at: row.time(1)?.unwrap_or_default(),
        action: row.text(2)?,
        entity_id: row.opt_int(3)?,
        license_type: row.opt_text(4)?,
        seat_no,
        account_id: row.opt_int(6)?,
        seats_before: if seat_no.is_none() { seats(7)? } else { None },
        seats_after: if seat_no.is_none() { seats(8)? } else { None },
        previous_id: row.opt_int(9)?,
    })
}

/// Since when a seat is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    At(Timestamp),
    /// Longer than that: older events of the pool were not read.
    Before(Timestamp),
    /// The history does not say it: the event was moved to an archive.
    Unknown,
}

/// Since when these seats of one pool are held, as far as the newest `events_max` events of the pool say it.
pub(super) fn since(
    sql: &dyn Sql,
    pool_id: i64,
    seats: &[i64],
    events_max: usize,
) -> Result<HashMap<i64, Since>, Stop> {
    let mut found: HashMap<i64, Since> = HashMap::new();
    if seats.is_empty() {
        return Ok(found);
    }
    let mut events = PoolEvents::of_pool(sql, pool_id, events_max)?;
    let mut oldest = None;
    while found.len() < seats.len() {
        let chunk = events.chunk()?;
        let Some(last) = chunk.last() else { break };
        oldest = Some(last.at);
        for event in chunk {
            if let Some(seat_no) = event.seat_no.filter(|_| event.action == "assign")
                && seats.contains(&seat_no)
            {
                found.entry(seat_no).or_insert(Since::At(event.at));
            }
        }
    }
    let rest = match oldest {
        Some(at) if events.has_more() => Since::Before(at),
        _ => Since::Unknown,
    };
    seats.iter().for_each(|seat_no| {
        found.entry(*seat_no).or_insert(rest);
    });
    Ok(found)
}

/// What became of the seats in use since the newest event that is chained: on PostgreSQL license_pool.seats_in_use is brought up to date
/// behind the calls.
pub(super) fn not_yet_counted(sql: &dyn Sql, pool_ids: Option<&[i64]>) -> Result<HashMap<i64, i64>, Stop> {
    if sql.dialect() == Dialect::Sqlite {
        return Ok(HashMap::new());
    }
    let rows = match pool_ids {
        Some(ids) => by_ids(sql, PENDING_OF, &[], ids)?,
        None => sql.rows(PENDING, &[])?,
    };
    rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
}

const PENDING: &str = "
    SELECT pool_id, CAST(sum(delta) AS BIGINT) FROM audit_pending WHERE pool_id IS NOT NULL GROUP BY pool_id";

const PENDING_OF: &str = "
    SELECT pool_id, CAST(sum(delta) AS BIGINT) FROM audit_pending WHERE pool_id IN ($ids) GROUP BY pool_id";
