//! Chains the events in the file: each gets its hash in the order of the ids, in the transaction that writes.
//!
//! The service's own events get theirs as they are written; see [`super::record`]. What triggers wrote, for changes by hand
//! and for rare calls, is chained before or after that by [`chain`]. The hashes that are there are a beginning of the history,
//! and what is left to do follows from the file alone, so no rollback can mislead the writer.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::audit::{Event, Hash, Link};

/// Earlier events that are chained before a new one at most, so that many changes by hand do not make callers wait long: a few
/// milliseconds. As long as some are left, new events wait their turn too.
pub(super) const BEFORE_MAX: usize = 500;

/// An event from a row of `audit_event` with all columns in their order; the name of a column that has another type than the schema allows.
pub(super) fn event<'r>(row: &'r Row<'_>) -> Result<Event<'r>, &'static str> {
    Ok(Event {
        id: number(row, 0, "id")?.ok_or("id")?,
        at: text(row, 1, "at")?.ok_or("at")?,
        action: text(row, 2, "action")?.ok_or("action")?,
        actor: text(row, 3, "actor")?.ok_or("actor")?,
        request_id: text(row, 4, "request_id")?,
        reason: text(row, 5, "reason")?,
        entity_id: number(row, 6, "entity_id")?,
        license_type: text(row, 7, "license_type")?,
        pool_id: number(row, 8, "pool_id")?,
        seat_no: number(row, 9, "seat_no")?,
        account_id: number(row, 10, "account_id")?,
        username: text(row, 11, "username")?,
        old_values: text(row, 12, "old_values")?,
        new_values: text(row, 13, "new_values")?,
        previous_id: number(row, 14, "previous_id")?,
        pool_events: number(row, 15, "pool_events")?,
    })
}

fn text<'r>(row: &'r Row<'_>, index: usize, name: &'static str) -> Result<Option<&'r [u8]>, &'static str> {
    match row.get_ref(index) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Text(text)) => Ok(Some(text)),
        _ => Err(name),
    }
}

fn number(row: &Row<'_>, index: usize, name: &'static str) -> Result<Option<i64>, &'static str> {
    match row.get_ref(index) {
        Ok(ValueRef::Null) => Ok(None),
        Ok(ValueRef::Integer(number)) => Ok(Some(number)),
        _ => Err(name),
    }
}

/// The end of the history.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Of the newest event; 0: there is none.
    pub id: i64,
    /// Null: it is not yet chained.
    pub hash: Option<Hash>,
}

impl End {
    /// From two columns: id and hash of the newest event, or null and null.
    pub(super) fn read(row: &Row<'_>, index: usize) -> rusqlite::Result<End> {
        Ok(End { id: row.get::<_, Option<i64>>(index)?.unwrap_or(0), hash: row.get(index + 1)? })
    }

    /// What the next event follows. `None`: it has to wait until the events before it are chained.
    fn link(self) -> Option<Option<Link>> {
        match self {
            End { id: 0, .. } => Some(None),
            End { id: event, hash: Some(hash) } => Some(Some(Link { event, hash })),
            End { hash: None, .. } => None,
        }
    }
}

/// Writes the event after `end`, whatever id it has, and chains it: its id.
pub(super) fn append(connection: &Connection, end: End, event: &Event<'_>) -> rusqlite::Result<i64> {
    // The events before it first, which were written by hand.
    let link = match end.link() {
        Some(link) => Some(link),
        None if chain(connection, BEFORE_MAX)? => Some(newest(connection)?),
        None => None,
    };
    let event = Event { id: end.id.saturating_add(1), ..*event };
    let hash = link.map(|link| Link::next(link.as_ref(), &event).hash);
    insert(connection, &event, hash.as_ref()).map(|()| event.id)
}

fn insert(connection: &Connection, event: &Event<'_>, hash: Option<&Hash>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(INSERT)?;
    let values = [
        ValueRef::Integer(event.id),
        ValueRef::Text(event.at),
        ValueRef::Text(event.action),
        ValueRef::Text(event.actor),
        of_text(event.request_id),
        of_text(event.reason),
        of_number(event.entity_id),
        of_text(event.license_type),
        of_number(event.pool_id),
        of_number(event.seat_no),
        of_number(event.account_id),
        of_text(event.username),
        of_text(event.old_values),
        of_text(event.new_values),
        of_number(event.previous_id),
        of_number(event.pool_events),
        hash.map_or(ValueRef::Null, |hash| ValueRef::Blob(hash)),
    ];
    for (index, value) in (1..).zip(values) {
        statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value))?;
    }
    statement.raw_execute().map(drop)
}

pub(super) const INSERT: &str = "
    INSERT INTO audit_event (id, at, action, actor, request_id, reason, entity_id, license_type, pool_id, seat_no, account_id,
                             username, old_values, new_values, previous_id, pool_events, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

fn of_text(text: Option<&[u8]>) -> ValueRef<'_> {
    text.map_or(ValueRef::Null, ValueRef::Text)
}

fn of_number(number: Option<i64>) -> ValueRef<'static> {
    number.map_or(ValueRef::Null, ValueRef::Integer)
}

/// Chains the events at the end that are not, the oldest first, `max` of them at most; whether none is left. The connection has
/// its triggers off.
pub(super) fn chain(connection: &Connection, max: usize) -> rusqlite::Result<bool> {
    let Some(mut next) = first_unchained(connection)? else { return Ok(true) };
    let before = "SELECT id, hash FROM audit_event WHERE id < ?1 ORDER BY id DESC LIMIT 1";
    let mut link = connection.prepare_cached(before)?.query_row([next], read_link).optional()?.flatten();
    let mut read = connection.prepare_cached(NEXT)?;
    let mut write = connection.prepare_cached("UPDATE audit_event SET hash = ?2 WHERE id = ?1")?;
    for _ in 0..max {
        let mut rows = read.query([next])?;
        let Some(row) = rows.next()? else { return Ok(true) };
        let event = event(row)
            .map_err(|column| rusqlite::Error::InvalidColumnType(0, column.to_owned(), rusqlite::types::Type::Blob))?;
        let chained = Link::next(link.as_ref(), &event);
        drop(rows);
        write.execute(rusqlite::params![chained.event, chained.hash])?;
        (link, next) = (Some(chained), chained.event.saturating_add(1));
    }
    Ok(first_unchained(connection)?.is_none())
}

const NEXT: &str = "SELECT * FROM audit_event WHERE id >= ?1 ORDER BY id LIMIT 1";

fn read_link(row: &Row<'_>) -> rusqlite::Result<Option<Link>> {
    let event = row.get(0)?;
    Ok(row.get::<_, Option<Hash>>(1)?.map(|hash| Link { event, hash }))
}

/// The newest event and its hash, if it is chained.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Option<Link>> {
    let newest = "SELECT id, hash FROM audit_event ORDER BY id DESC LIMIT 1";
    Ok(connection.prepare_cached(newest)?.query_row([], read_link).optional()?.flatten())
}

/// The id from which on events are not chained. A search by halves: the chained ones are the beginning of the history.
fn first_unchained(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let bounds =
        "SELECT min(id), max(id), (SELECT hash IS NULL FROM audit_event ORDER BY id DESC LIMIT 1) FROM audit_event";
    let bounds = connection.prepare_cached(bounds)?.query_row([], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<bool>>(2)?))
    })?;
    let (Some(mut low), Some(mut high), Some(true)) = bounds else { return Ok(None) };
    // The first event from `low` on that is not chained is at `high` or before it.
    let mut at =
        connection.prepare_cached("SELECT id, hash IS NULL FROM audit_event WHERE id >= ?1 ORDER BY id LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        match at.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))? {
            (_, true) => high = middle,
            (id, false) => low = id + 1,
        }
    }
    Ok(Some(high))
}
