//! Compares two histories: where they part, and the events that only one of them has.
//!
//! Events are appended and never changed, so two copies of one history are the same up to some event. Bisection finds that event.
//! The compared columns are those of every version of the schema.

use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::sqlite::history::chain::ends;
use crate::store::{Event, History, Losses};

/// The most lost events that are named one by one.
const NAMED_MAX: u32 = 10;

/// How the history of a database continues that of a backup.
pub(crate) fn compare(database: &Connection, backup: &Connection) -> rusqlite::Result<History> {
    let Some((first, last)) = ends(database)? else { return Ok(History::None) };
    let after = newest_of_both(database, backup, (first, last))?;
    let own = events_after(backup, after)?;
    let losses = losses(database, after)?;
    Ok(match (losses.events, own, after) {
        (0, 1.., _) => History::Behind(own),
        (_, 0, _) => History::Continued(losses),
        (_, _, after) => History::Parted { losses, own, after },
    })
}

/// Whether a history has all events of an earlier copy, for events that both still have.
pub(crate) fn continues(later: &Connection, earlier: &Connection) -> rusqlite::Result<bool> {
    match (ends(later)?, ends(earlier)?) {
        (_, None) => Ok(true),
        (None, Some(_)) => Ok(false),
        // The events of the earlier copy are archived.
        (Some((first, _)), Some((_, head))) if head < first => Ok(true),
        (Some(_), Some((_, head))) => Ok(event(later, head)? == event(earlier, head)?),
    }
}

/// The newest event that both have; `None`: there is none.
fn newest_of_both(a: &Connection, b: &Connection, (first, last): (i64, i64)) -> rusqlite::Result<Option<i64>> {
    let Some((other_first, other_last)) = ends(b)? else { return Ok(None) };
    let is_same = |id| Ok::<_, rusqlite::Error>(event(a, id)? == event(b, id)?);
    let (mut same, mut end) = (first.max(other_first), last.min(other_last));
    if end < same || !is_same(same)? {
        return Ok(None);
    }
    while same < end {
        let middle = same + (end - same + 1) / 2;
        if is_same(middle)? {
            same = middle;
        } else {
            end = middle - 1;
        }
    }
    Ok(Some(same))
}

/// The content of an event, for comparison.
fn event(connection: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    let columns = "json_array(at, action, actor, request_id, pool_id, seat_no, account_id, username)";
    connection
        .prepare_cached(&format!("SELECT {columns} FROM audit_event WHERE id = ?1"))?
        .query_row([id], |row| row.get(0))
        .optional()
}

fn events_after(connection: &Connection, after: Option<i64>) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM audit_event WHERE ?1 IS NULL OR id > ?1", [after], |row| row.get(0))
}

fn losses(connection: &Connection, after: Option<i64>) -> rusqlite::Result<Losses> {
    let after = after.unwrap_or(i64::MIN);
    let mut losses = connection.query_row(
        "SELECT count(*), coalesce(min(at), ''), coalesce(max(at), '') FROM audit_event WHERE id > ?1",
        [after],
        |row| Ok(Losses { events: row.get(0)?, from: row.get(1)?, to: row.get(2)?, ..Losses::default() }),
    )?;
    let by_action = "SELECT action, count(*) FROM audit_event WHERE id > ?1 GROUP BY action";
    losses.by_action = connection
        .prepare(by_action)?
        .query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    losses.by_action.sort_by(|(a, m): &(String, i64), (b, n)| match n.cmp(m) {
        Ordering::Equal => a.cmp(b),
        order => order,
    });
    let first = "SELECT id, at, action,
                        coalesce('seat ' || seat_no || ' of ', '') || coalesce('pool ' || pool_id || ' ', '')
                        || coalesce('''' || username || ''' ', '') || 'by ' || actor
                   FROM audit_event WHERE id > ?1 ORDER BY id LIMIT ?2";
    losses.first = connection
        .prepare(first)?
        .query_map((after, NAMED_MAX), |row| {
            Ok(Event { id: row.get(0)?, at: row.get(1)?, action: row.get(2)?, what: row.get(3)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(losses)
}
