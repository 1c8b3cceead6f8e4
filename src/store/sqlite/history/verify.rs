//! `seatkeeper audit verify`: verifies the chain of the history, and compares every row of the tables with the replayed history.
//! Reads the file, changes nothing, and its memory does not grow with the file.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};
use rustix::fs::Access;

use super::chain;
use super::replay::{NotApplied, Replay, SUBJECTS, Subject};
use super::sources::{Source, Sources, open_archive};
use crate::chain::{Break, Event, Head, Link, Verifier};
use crate::store::history::HistoryError;
use crate::store::sqlite::file::open::{self, absent, sqlite};
use crate::store::sqlite::file::schema::{SCHEMA, differences};
use crate::store::sqlite::file::temporary::directory_of;
use crate::store::sqlite::file::{inspect, origin};
use crate::store::sqlite::hand_written;
use crate::store::{HistoryReport, OpenError};

/// The most faults named of each kind: enough to see the cause.
const NAMED_MAX: usize = 20;

/// See [`crate::store::verify_history`].
pub fn verify(path: &Path, heads: Vec<Head>) -> Result<HistoryReport, OpenError> {
    verify_all(path, &[], heads).map_err(|error| match error {
        HistoryError::Open(error) => error,
        other => OpenError::Setting(other.to_string()),
    })
}

/// See [`crate::store::history::verify`].
pub fn verify_all(database: &Path, archives: &[PathBuf], heads: Vec<Head>) -> Result<HistoryReport, HistoryError> {
    let sources = Sources::open_unchecked(database, archives)?;
    let database = sources.database();
    // The replayed tables go to a temporary file.
    let settings = "PRAGMA query_only = OFF; PRAGMA temp_store = FILE; PRAGMA temp.cache_size = -65536; PRAGMA temp.journal_mode = OFF;
                    BEGIN";
    let failed = |e| database.failed(e);
    database.connection.execute_batch(settings).map_err(failed)?;
    let differences = differences(&database.connection, SCHEMA).map_err(failed)?;
    let broken = differences.into_iter().map(|what| format!("the schema was changed: {what}")).collect();
    let mut report = HistoryReport { broken, archived: sources.missing.clone(), ..HistoryReport::default() };
    report.broken.extend(move_not_told(&database.connection).map_err(failed)?);
    let start = sources.start().map_err(failed)?;
    // Without the beginning of the history the right content of the tables is unknown.
    let replay = if start.is_none() { Some(Replay::begin(&database.connection).map_err(failed)?) } else { None };
    report.heads_before = heads.iter().filter(|head| start.is_some_and(|start| head.event < start.event)).count();
    let is_whole = replay.is_some();
    read_events(&sources, replay, start, heads, &mut report)?;
    if is_whole {
        for subject in &SUBJECTS {
            compare(&database.connection, subject, &mut report).map_err(failed)?;
        }
    }
    report.broken.extend(sources.other_than_moved().map_err(failed)?);
    Ok(report)
}

/// The recorded beginning of the database's events is only as trustworthy as the event of the last move, which is chained like
/// any other. It is newer than the moved events, so it must be here.
fn move_not_told(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let last = "
        SELECT first_event, last_event, NOT EXISTS (
                   SELECT 1 FROM audit_event AS e
                    WHERE action = 'archive' AND id > archive.last_event AND json_valid(new_values)
                      AND json_extract(new_values, '$.first_event') = archive.first_event
                      AND (json_extract(new_values, '$.last_event') > archive.last_event
                           OR json_extract(new_values, '$.last_event') = archive.last_event
                              AND json_extract(new_values, '$.hash') = lower(hex(archive.hash))))
          FROM audit_archive AS archive ORDER BY last_event DESC LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?));
    let last = connection.query_row(last, [], read).optional()?;
    Ok(last.filter(|(_, _, is_missing)| *is_missing).map(|(first, last, _)| {
        format!("events {first} to {last} are not here, and no event says that they were moved to an archive: they were removed")
    }))
}

/// See [`crate::store::history::verify_archive`].
pub fn verify_archive(file: &Path, heads: Vec<Head>) -> Result<HistoryReport, HistoryError> {
    let (connection, range) = open_archive(file)?;
    let mut report = HistoryReport::default();
    let start = range.start();
    let is_inside = |head: &Head| start.is_none_or(|start| head.event >= start.event) && head.event <= range.last_event;
    let (inside, outside): (Vec<Head>, Vec<Head>) = heads.into_iter().partition(is_inside);
    report.heads_before = outside.len();
    report.archived.extend(start.map(|_| range.clone()));
    let said = super::archive::verify_copy(&connection, &range).map_err(|e| sqlite(file, e))?;
    report.broken.extend(said.err());
    let source = Source { path: file.to_owned(), connection, after: i64::MIN };
    let sources = Sources { all: vec![source], missing: Vec::new(), known: Vec::new(), range: None };
    if report.broken.is_empty() {
        read_events(&sources, None, start, inside, &mut report)?;
    }
    Ok(report)
}

/// Verifies the chain of all files and applies each event.
fn read_events(
    sources: &Sources,
    replay: Option<Replay<'_>>,
    start: Option<Link>,
    heads: Vec<Head>,
    report: &mut HistoryReport,
) -> Result<(), HistoryError> {
    let mut walk = Walk::begin(Verifier::new(start, heads), replay, report);
    for source in &sources.all {
        if !read_file(source, &mut walk, report).map_err(|e| source.failed(e))? {
            // The following events cannot be judged.
            return Ok(());
        }
    }
    walk.finish(report);
    Ok(())
}

/// Reads the events of one file; returns whether all of them could be read.
fn read_file(source: &Source, walk: &mut Walk<'_>, report: &mut HistoryReport) -> rusqlite::Result<bool> {
    let mut statement = source.connection.prepare(EVENTS)?;
    let mut rows = statement.query([source.after])?;
    while let Some(row) = rows.next()? {
        let event = match chain::event(row) {
            Ok(event) => event,
            Err(column) => {
                report.events += 1;
                let id = row.get::<_, i64>(0)?;
                report.broken.push(format!("event {id}: its {column} is not what the schema allows there"));
                return Ok(false);
            }
        };
        let hash = match row.get_ref(HASH)? {
            ValueRef::Null => None,
            ValueRef::Blob(hash) | ValueRef::Text(hash) => Some(hash),
            _ => Some(&[][..]),
        };
        walk.event(&event, hash, event.pool_events, report)?;
    }
    Ok(true)
}

/// A walk through a history, event by event. The chain is verified up to its first fault, but later events also determine the
/// tables.
pub(crate) struct Walk<'c> {
    replay: Option<Replay<'c>>,
    verifier: Option<Verifier>,
    not_applied: Named,
}

impl<'c> Walk<'c> {
    /// `verifier`: a fault if a head differs already.
    pub(crate) fn begin(
        verifier: Result<Verifier, Break>,
        replay: Option<Replay<'c>>,
        report: &mut HistoryReport,
    ) -> Walk<'c> {
        let verifier = verifier.map_err(|fault| report.broken.push(fault.to_string())).ok();
        Walk { replay, verifier, not_applied: Named::new(report.broken.len()) }
    }

    /// Verifies and replays the next event. `hash`: its stored hash; `pool_events`: the number of events of its pool, including
    /// this one.
    pub(crate) fn event(
        &mut self,
        event: &Event<'_>,
        hash: Option<&[u8]>,
        pool_events: Option<i64>,
        report: &mut HistoryReport,
    ) -> rusqlite::Result<()> {
        report.events += 1;
        if let Some(Err(fault)) = self.verifier.as_mut().map(|verifier| verifier.check(event, hash)) {
            self.break_off(fault.to_string(), report);
        }
        match self.replay.as_ref().map(|replay| replay.apply(&Event { pool_events, ..*event })) {
            None | Some(Ok(())) => {}
            Some(Err(NotApplied::Failed(error))) => return Err(error),
            Some(Err(NotApplied::Event(what))) => {
                self.not_applied.add(&mut report.broken, || format!("event {}: {what}", event.id))
            }
        }
        Ok(())
    }

    /// Reports a fault of the chain: later events are only applied.
    pub(crate) fn break_off(&mut self, fault: String, report: &mut HistoryReport) {
        if self.verifier.take().is_some() {
            report.broken.push(fault);
        }
    }

    /// After the last event.
    pub(crate) fn finish(self, report: &mut HistoryReport) {
        self.not_applied.finish(&mut report.broken, "events");
        match self.verifier.map(Verifier::finish) {
            Some(Ok(verified)) => report.chain = Some(verified),
            Some(Err(fault)) => report.broken.push(fault.to_string()),
            None => {}
        }
    }
}

const EVENTS: &str = "
    SELECT id, at, action, actor, request_id, reason, entity_id, license_type, pool_id, seat_no, account_id,
           username, old_values, new_values, previous_id, pool_events, hash
      FROM main.audit_event WHERE id > ?1 ORDER BY id";
const HASH: usize = 16;

/// Compares each row of a table with the history, and the history with the table.
pub(crate) fn compare(connection: &Connection, subject: &Subject, report: &mut HistoryReport) -> rusqlite::Result<()> {
    let (table, key) = (subject.table, subject.key);
    let mut columns = subject.columns(connection)?;
    if subject.name == "credential" {
        // Names compare without regard to case, but their spelling is recorded too.
        columns.push("user_name".to_owned());
    }
    let is_same = key.iter().map(|name| format!("past.{name} = now.{name}")).collect::<Vec<_>>().join(" AND ");
    let keys = |of: &str| key.iter().map(|name| format!("{of}.{name}")).collect::<Vec<_>>().join(", ");
    let now = |name: &str| match name {
        "license_data" => "CASE WHEN now.license_data IS NOT NULL THEN hex(now.license_data) END".to_owned(),
        "user_name" => "now.user_name COLLATE BINARY".to_owned(),
        _ => format!("now.{name}"),
    };
    // Seats are created and removed with their pool, all other rows by an event of their own.
    let is_born = if subject.name == "seat" { "past.pool_id" } else { "past.born" };
    let mut named = Named::new(report.broken.len());
    let past = |name: &str| match (subject.name, name) {
        ("seat", "license_type") => {
            "(SELECT license_type FROM temp.past_license_pool AS pool WHERE pool.id = past.pool_id)".to_owned()
        }
        _ => format!("past.{name}"),
    };
    let pairs: String = columns.iter().map(|name| format!(", {}, {}", now(name), past(name))).collect();
    let differs: String = columns.iter().map(|name| format!(" OR {} IS NOT {}", now(name), past(name))).collect();
    let sql = format!(
        "SELECT {}, {is_born} IS NOT NULL{pairs} FROM main.{table} AS now LEFT JOIN temp.past_{table} AS past ON {is_same}
          WHERE {is_born} IS NULL{differs}",
        keys("now")
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line = || -> rusqlite::Result<String> {
            let name = row_name(subject, row)?;
            if !row.get::<_, bool>(key.len())? {
                return Ok(format!("{name} is in the table, but by the history there is no such row"));
            }
            let mut parts = Vec::new();
            for (index, column) in (key.len() + 1..).step_by(2).zip(&columns) {
                let (now, past) = (row.get_ref(index)?, row.get_ref(index + 1)?);
                if now != past {
                    parts.push(match column.as_str() {
                        // These values are confidential.
                        "product_key" | "license_data" => format!("{column} is not what the history says"),
                        _ => format!("{column} is {}, by the history it is {}", shown(now), shown(past)),
                    });
                }
            }
            Ok(format!("{name}: {}", parts.join("; ")))
        };
        let line = line()?;
        named.add(&mut report.broken, || line);
    }
    let sql = format!(
        "SELECT {} FROM temp.past_{table} AS past LEFT JOIN main.{table} AS now ON {is_same} WHERE now.{} IS NULL",
        keys("past"),
        key[0]
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = row_name(subject, row)?;
        named.add(&mut report.broken, || format!("{name} is missing in the table: by the history it is there"));
    }
    named.finish(&mut report.broken, table);
    let count = format!("SELECT count(*) FROM main.{table}");
    report.rows += connection.query_row(&count, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    Ok(())
}

/// The name of a row for messages; its key is in the first columns.
fn row_name(subject: &Subject, row: &Row<'_>) -> rusqlite::Result<String> {
    let first = shown(row.get_ref(0)?);
    let second = if subject.key.len() > 1 { shown(row.get_ref(1)?) } else { String::new() };
    Ok(match subject.name {
        "seat" => format!("seat {second} of pool {first}"),
        "offer" => format!("the offer for entity {first}"),
        "offer-module" => format!("the offer of {second} for entity {first}"),
        name => format!("{name} {first}"),
    })
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        ValueRef::Blob(blob) => format!("x'{}'", crate::chain::to_hex(blob)),
    }
}

/// Names the first faults of a kind and counts the others.
struct Named {
    first: usize,
    others: u64,
}

impl Named {
    /// `first`: the number of faults of other kinds before them.
    fn new(first: usize) -> Named {
        Named { first, others: 0 }
    }

    fn add(&mut self, broken: &mut Vec<String>, line: impl FnOnce() -> String) {
        if broken.len() - self.first < NAMED_MAX { broken.push(line()) } else { self.others += 1 }
    }

    fn finish(self, broken: &mut Vec<String>, what: &str) {
        if self.others > 0 {
            broken.push(format!("{what}: {} more", self.others));
        }
    }
}

/// A connection that reads a file, which may be a copy on a read-only medium.
///
/// # Errors
///
/// A missing file, an empty one, one whose log belongs to another file, and one that cannot be read.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
    if let Some(absent) = absent(path)? {
        return Err(absent);
    }
    origin::check(path)?;
    let probe = |connection: Connection| {
        let tables = "SELECT count(*) FROM sqlite_schema";
        connection.query_row(tables, [], |_| Ok(())).map(|()| connection).map_err(|e| sqlite(path, e))
    };
    match open::reader(path, hand_written::BUSY_TIMEOUT).and_then(probe) {
        // To read it, SQLite would make the files -wal and -shm beside it.
        Err(OpenError::Failed { .. }) if !can_have_companions(path) => inspect::connection(path).and_then(probe),
        opened => opened,
    }
}

/// Whether this program may make files beside this one.
fn can_have_companions(path: &Path) -> bool {
    rustix::fs::access(directory_of(path), Access::WRITE_OK | Access::EXEC_OK).is_ok()
}
