//! Moves old events to a file of their own: an SQLite file with the same table `audit_event`, and one row of `audit_archive` that
//! describes its part of the chain.
//!
//! The copy is complete, synced and verified before the first event is deleted. Events are deleted from the oldest on, in short
//! transactions that each also record the progress, so at any moment the database knows where its part of the chain begins. An
//! interruption leaves events in both files, and the next run continues.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::chain;
use super::sources::{ARCHIVE_APPLICATION_ID, ARCHIVE_VERSION, archived, open_archive, open_database};
use crate::chain::{Hash, Link, Verifier, to_hex};
use crate::store::history::{Archived, HistoryError, Moved};
use crate::store::sqlite::calls::record::set_triggers;
use crate::store::sqlite::file::open::{connect, has_one_name, sqlite};
use crate::store::sqlite::file::temporary::{Temporary, directory_of};
use crate::store::sqlite::hand_written::{BUSY_TIMEOUT, try_again_soon};

/// The most events that one transaction deletes: calls wait for about ten milliseconds.
const STEP_EVENTS: i64 = 2000;
/// The pause between two such transactions, in which the service answers calls.
const PAUSE: Duration = Duration::from_millis(5);

/// See [`crate::store::history::archive`].
pub fn archive(database: &Path, before: Timestamp, file: &Path) -> Result<Moved, HistoryError> {
    let reading = open_database(database)?;
    let resumed = file.exists();
    if !resumed {
        let Some(part) = part(&reading, before).map_err(|e| sqlite(database, e))? else {
            return Ok(Moved { archived: None, resumed, deleted: 0 });
        };
        write(database, &reading, part, file)?;
    }
    let (copy, range) = open_archive(file)?;
    follows(&reading, &range).map_err(|e| sqlite(database, e))?.map_err(|reason| of_file(file, reason))?;
    verify_copy(&copy, &range).map_err(|e| sqlite(file, e))?.map_err(|reason| of_file(file, reason))?;
    drop(reading);
    let deleted = delete(database, &copy, &range, file)?;
    Ok(Moved { archived: Some(range), resumed, deleted })
}

fn of_file(file: &Path, reason: String) -> HistoryError {
    HistoryError::Archive { path: file.to_owned(), reason }
}

/// The events to move.
struct Part {
    start: Option<Link>,
    last: i64,
}

/// The oldest events, up to the first that is not before that moment or is not chained. The newest chained event stays: the chain
/// continues from it, and ids are never reused.
fn part(database: &Connection, before: Timestamp) -> rusqlite::Result<Option<Part>> {
    let newest: Option<i64> = database
        .query_row("SELECT id FROM audit_event WHERE hash IS NOT NULL ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let end = "SELECT id FROM audit_event WHERE at >= ?1 OR hash IS NULL ORDER BY id LIMIT 1";
    let end: Option<i64> = database.query_row(end, [format!("{before:.3}")], |row| row.get(0)).optional()?;
    let Some(newest) = newest else { return Ok(None) };
    let last = "SELECT max(id) FROM audit_event WHERE id < ?1";
    let last: Option<i64> = database.query_row(last, [end.unwrap_or(newest).min(newest)], |row| row.get(0))?;
    last.map(|last| Ok(Part { start: start(database)?, last })).transpose()
}

/// The event before the first in the database: the last one that was moved.
pub(crate) fn start(database: &Connection) -> rusqlite::Result<Option<Link>> {
    let moved = "SELECT last_event, hash FROM audit_archive ORDER BY last_event DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok(Link { event: row.get(0)?, hash: row.get::<_, Hash>(1)? });
    database.query_row(moved, [], read).optional()
}

/// Writes the copy under another name, syncs it, verifies it, and gives it its name.
fn write(path: &Path, database: &Connection, part: Part, file: &Path) -> Result<(), HistoryError> {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let unfinished = Temporary::create(directory_of(file), &name)?;
    write_unfinished(path, database, &part, &name, unfinished.path())?;
    let (copy, range) = open_archive(unfinished.path())?;
    verify_copy(&copy, &range)
        .map_err(|e| sqlite(unfinished.path(), e))?
        .map_err(|reason| of_file(unfinished.path(), reason))?;
    drop(copy);
    unfinished.sync()?;
    unfinished.rename(file)?;
    Ok(())
}

fn write_unfinished(
    path: &Path,
    database: &Connection,
    part: &Part,
    name: &str,
    unfinished: &Path,
) -> Result<(), HistoryError> {
    let failed = |e| HistoryError::from(sqlite(unfinished, e));
    let of_database = |e| HistoryError::from(sqlite(path, e));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(unfinished, flags).map_err(failed)?;
    // An unfinished file is discarded, so it needs no journal. It is synced as a whole.
    copy.execute_batch(&format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA application_id = {ARCHIVE_APPLICATION_ID};
         PRAGMA user_version = {ARCHIVE_VERSION}; BEGIN"
    ))
    .map_err(failed)?;
    let tables = "SELECT sql FROM sqlite_schema
                   WHERE name IN ('audit_event', 'audit_event_of_pool', 'audit_archive') ORDER BY type DESC";
    let mut tables = database.prepare(tables).map_err(of_database)?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).map_err(of_database)?;
    for table in tables {
        copy.execute_batch(&table.map_err(of_database)?).map_err(failed)?;
    }
    let mut verifier = Verifier::new(part.start, Vec::new()).map_err(|e| broken(path, &e))?;
    let (mut first, mut after) = (None, i64::MIN);
    loop {
        let page = page(database, after, part.last).map_err(of_database)?;
        let Some(last) = page.last().and_then(|row| id(row)) else { break };
        first = first.or(page.first().and_then(|row| id(row)));
        let mut insert = copy.prepare_cached(COPY).map_err(failed)?;
        for row in page {
            insert.execute(rusqlite::params_from_iter(row)).map_err(failed)?;
        }
        drop(insert);
        verify_range(&copy, after, &mut verifier).map_err(failed)?.map_err(|reason| of_file(path, reason))?;
        after = last;
    }
    let verified = verifier.finish().map_err(|e| broken(path, &e))?;
    let events = i64::try_from(verified.events).unwrap_or(i64::MAX);
    let (Some(first), Some(head)) = (first, verified.head) else {
        return Err(of_file(path, "the events are gone: another program moved them".to_owned()));
    };
    copy.execute(
        "INSERT INTO audit_archive (first_event, last_event, events, until, hash, previous_hash, file)
         SELECT ?1, id, ?3, at, ?4, ?5, ?6 FROM audit_event WHERE id = ?2",
        params![first, head.event, events, head.hash, part.start.map(|link| link.hash), name],
    )
    .map_err(failed)?;
    copy.execute_batch("COMMIT").map_err(failed)?;
    copy.close().map_err(|(_, e)| failed(e))
}

const COPY: &str =
    "INSERT INTO audit_event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

fn broken(path: &Path, fault: &crate::chain::Break) -> HistoryError {
    of_file(path, format!("the history does not verify, so nothing was moved: {fault}"))
}

fn id(row: &[Value]) -> Option<i64> {
    match row.first() {
        Some(Value::Integer(id)) => Some(*id),
        _ => None,
    }
}

/// A page of rows of `audit_event`. No snapshot is held between two pages.
fn page(database: &Connection, after: i64, last: i64) -> rusqlite::Result<Vec<Vec<Value>>> {
    let page = "SELECT * FROM audit_event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
    let mut statement = database.prepare_cached(page)?;
    let columns = statement.column_count();
    let rows = statement.query_map(params![after, last, STEP_EVENTS], |row| {
        (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()
    })?;
    rows.collect()
}

/// Hands the events after one to the verifier. The inner error is a broken chain.
pub(crate) fn verify_range(
    connection: &Connection,
    after: i64,
    verifier: &mut Verifier,
) -> rusqlite::Result<Result<(), String>> {
    let mut statement = connection.prepare_cached("SELECT * FROM audit_event WHERE id > ?1 ORDER BY id")?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let hash: Option<Vec<u8>> = row.get("hash")?;
        let checked = match chain::event(row) {
            Ok(event) => verifier.check(&event, hash.as_deref()).map_err(|fault| fault.to_string()),
            Err(column) => {
                Err(format!("event {}: its {column} is not what the schema allows there", row.get::<_, i64>(0)?))
            }
        };
        if checked.is_err() {
            return Ok(checked);
        }
    }
    Ok(Ok(()))
}

/// Checks that an archive is consistent: its events are chained, and match its row of `audit_archive`.
pub(crate) fn verify_copy(archive: &Connection, range: &Archived) -> rusqlite::Result<Result<(), String>> {
    let Ok(mut verifier) = Verifier::new(range.start(), Vec::new()) else {
        return Ok(Err("it cannot be verified".to_owned()));
    };
    if let Err(reason) = verify_range(archive, i64::MIN, &mut verifier)? {
        return Ok(Err(reason));
    }
    let first: Option<i64> = archive.query_row("SELECT min(id) FROM audit_event", [], |row| row.get(0))?;
    Ok(match verifier.finish() {
        Err(fault) => Err(fault.to_string()),
        Ok(verified) if verified.unchained_events > 0 => Err("it has events that are not chained".to_owned()),
        Ok(verified) => {
            let last = verified.head.map(|head| (head.event, head.hash.to_vec()));
            let said = Some((range.last_event, range.hash.clone()));
            let is_whole =
                first == Some(range.first_event) && last == said && i64::try_from(verified.events) == Ok(range.events);
            if is_whole {
                Ok(())
            } else {
                Err(format!(
                    "it should hold {} events, {} to {} with the hash {}, and holds others: it was cut off or altered",
                    range.events,
                    range.first_event,
                    range.last_event,
                    to_hex(&range.hash)
                ))
            }
        }
    })
}

/// Checks that the events of an archive are the oldest of the database, or those that it moved there.
fn follows(database: &Connection, range: &Archived) -> rusqlite::Result<Result<(), String>> {
    let known = archived(database)?;
    let before = match known.iter().position(|known| known.first_event == range.first_event) {
        Some(0) => None,
        Some(at) => known.get(at - 1),
        None => known.last(),
    };
    let other = || "this file is there already, and it holds other events: name a new file".to_owned();
    if before.map(|before| &before.hash) != range.previous_hash.as_ref() {
        return Ok(Err(other()));
    }
    let hash = "SELECT hash FROM audit_event WHERE id = ?1";
    let here: Option<Vec<u8>> = database.query_row(hash, [range.last_event], |row| row.get(0)).optional()?.flatten();
    let moved = known.iter().any(|known| known.last_event == range.last_event && known.hash == range.hash);
    Ok(if moved || here.as_ref() == Some(&range.hash) { Ok(()) } else { Err(other()) })
}

/// Deletes the events that the archive has; returns how many were still there.
fn delete(database: &Path, copy: &Connection, range: &Archived, file: &Path) -> Result<i64, HistoryError> {
    has_one_name(database)?;
    let mut connection = connect(database, BUSY_TIMEOUT, false)?;
    let failed = |e| HistoryError::from(sqlite(database, e));
    connection.busy_handler(Some(try_again_soon)).map_err(failed)?;
    // The triggers refuse to delete events.
    set_triggers(&connection, false).map_err(failed)?;
    let absolute = std::fs::canonicalize(file)?;
    let mut all = 0;
    loop {
        let step = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        let deleted = delete_step(&step, copy, range, &absolute.to_string_lossy());
        match deleted.map_err(failed)? {
            Ok(0) => return Ok(all),
            Ok(events) => {
                step.commit().map_err(failed)?;
                all += events;
            }
            Err(reason) => return Err(of_file(file, reason)),
        }
        std::thread::sleep(PAUSE);
    }
}

/// The inner value: the number of deleted events.
fn delete_step(
    database: &Connection,
    copy: &Connection,
    range: &Archived,
    file: &str,
) -> rusqlite::Result<Result<i64, String>> {
    let step =
        "SELECT min(id), max(id), count(*) FROM (SELECT id FROM audit_event WHERE id <= ?1 ORDER BY id LIMIT ?2)";
    let step = database.query_row(step, params![range.last_event, STEP_EVENTS], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?))
    })?;
    let (Some(first), Some(last), events) = step else { return Ok(Ok(0)) };
    // The deleted events are the same in the archive.
    let of_range =
        "SELECT (SELECT hash FROM audit_event WHERE id = ?2), (SELECT at FROM audit_event WHERE id = ?2), count(*)
                      FROM audit_event WHERE id BETWEEN ?1 AND ?2";
    let read = |connection: &Connection| {
        connection.query_row(of_range, [first, last], |row| {
            Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)?))
        })
    };
    let here = read(database)?;
    if here != read(copy)? || here.0.is_none() {
        return Ok(Err(format!(
            "events {first} to {last} are not the same in it and in the database; they were not deleted"
        )));
    }
    let (hash, until, _) = here;
    database.execute("DELETE FROM audit_event WHERE id <= ?1", [last])?;
    let is_new = database.execute(
        "INSERT INTO audit_archive (first_event, last_event, events, until, hash, previous_hash, file)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (first_event) DO NOTHING",
        params![range.first_event, last, events, until, hash, range.previous_hash, file],
    )? == 1;
    if is_new {
        record(database, range, file)?;
    } else {
        database.execute(
            "UPDATE audit_archive SET last_event = ?2, events = events + ?3, until = ?4, hash = ?5, file = ?6 WHERE first_event = ?1",
            params![range.first_event, last, events, until, hash, file],
        )?;
    }
    Ok(Ok(events))
}

/// Writes the event that says which events were moved, and where. The service chains it like events of changes by hand.
fn record(database: &Connection, range: &Archived, file: &str) -> rusqlite::Result<()> {
    let values = serde_json::json!({
        "first_event": range.first_event, "last_event": range.last_event, "events": range.events,
        "hash": to_hex(&range.hash), "file": file,
    });
    let record = "INSERT INTO audit_event (action, actor, new_values) VALUES ('archive', 'cli', ?1)";
    database.execute(record, [values.to_string()]).map(drop)
}
