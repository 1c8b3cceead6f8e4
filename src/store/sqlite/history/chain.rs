//! Chains the events in the file: each gets its hash in the order of the ids, in the transaction that writes.
//!
//! The service's own events get their hashes when they are written; see [`crate::store::sqlite::calls::record`]. [`chain`] chains
//! the events of triggers, for changes by hand and for rare calls, before or after that. The chained events are a prefix of the
//! history, and the remaining work follows from the file alone, so no rollback can mislead the writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::chain::{Event, Hash, Link};
use crate::store::sqlite::store_error;
use crate::store::sqlite::writer::Writer;

/// The longest time until a change by hand is chained, if no call writes meanwhile.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);
/// The most events that one transaction chains: some 50 ms, in which no call can change anything.
const BATCH_MAX: usize = 2_000;
/// The pause between two such transactions.
const BATCH_PAUSE: Duration = Duration::from_millis(100);
/// The most transactions before the service accepts calls: some seconds. A long history from an earlier version needs more, which
/// the thread makes while the service runs.
const BATCHES_AT_START: usize = 50;

/// The most earlier events that are chained before a new one, so that many changes by hand delay callers only for a few
/// milliseconds. As long as some are left, new events wait behind them.
pub(crate) const BEFORE_MAX: usize = 500;

/// An event from a row of `audit_event` with all columns in their order. The error is the name of a column whose value has the
/// wrong type.
pub(crate) fn event<'r>(row: &'r Row<'_>) -> Result<Event<'r>, &'static str> {
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
pub(crate) struct End {
    /// The id of the newest event; 0: there is none.
    id: i64,
    /// The link before the next event. `None`: the next event has to wait, because the newest one is not chained yet.
    link: Option<Option<Link>>,
}

impl End {
    /// Chains a limited number of events of changes by hand. Also deletes notes that SQL by hand may have left in `change`: for
    /// the triggers a note that differs from its row is a change in progress, so events are written only while there are no
    /// notes.
    pub(crate) fn reached(connection: &Connection) -> rusqlite::Result<End> {
        let (end, has_notes) = End::find(connection)?;
        if has_notes {
            connection.execute("DELETE FROM change", [])?;
        }
        if end.link.is_some() || !chain(connection, BEFORE_MAX)? {
            return Ok(end);
        }
        End::find(connection).map(|(end, _)| end)
    }

    /// Finds the end, and whether there are notes.
    fn find(connection: &Connection) -> rusqlite::Result<(End, bool)> {
        let mut statement = connection.prepare_cached(NEWEST)?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else { return Ok((End { id: 0, link: Some(None) }, true)) };
        let event = row.get(0)?;
        let link = row.get::<_, Option<Hash>>(1)?.map(|hash| Some(Link { event, hash }));
        Ok((End { id: event, link }, row.get(2)?))
    }

    /// Writes the next event, with any id, and chains it.
    pub(crate) fn append(&mut self, connection: &Connection, event: &Event<'_>) -> rusqlite::Result<()> {
        let event = Event { id: self.id.saturating_add(1), ..*event };
        let link = self.link.map(|link| Link::next(link.as_ref(), &event));
        insert(connection, &event, link.as_ref().map(|link| &link.hash))?;
        *self = End { id: event.id, link: link.map(Some) };
        Ok(())
    }

    /// The newest event.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }
}

const NEWEST: &str = "SELECT id, hash, EXISTS (SELECT 1 FROM change) FROM audit_event ORDER BY id DESC LIMIT 1";

fn insert(connection: &Connection, event: &Event<'_>, hash: Option<&Hash>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(INSERT)?;
    let values = [
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
        // Unbound parameters are null.
        if value != ValueRef::Null {
            statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(value))?;
        }
    }
    statement.raw_execute()?;
    // SQLite chooses the id after the largest, which is cheaper than checking whether a given id is free.
    match connection.last_insert_rowid() == event.id {
        true => Ok(()),
        false => Err(rusqlite::Error::StatementChangedRows(1)),
    }
}

/// The columns are in the order of the table: a short statement is found faster in the cache of prepared statements.
pub(crate) const INSERT: &str =
    "INSERT INTO audit_event VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

pub(crate) fn of_text(text: Option<&[u8]>) -> ValueRef<'_> {
    text.map_or(ValueRef::Null, ValueRef::Text)
}

pub(crate) fn of_number(number: Option<i64>) -> ValueRef<'static> {
    number.map_or(ValueRef::Null, ValueRef::Integer)
}

/// Chains the unchained events at the end, oldest first, at most `max`; returns whether none is left. The connection has its
/// triggers off.
pub(crate) fn chain(connection: &Connection, max: usize) -> rusqlite::Result<bool> {
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

/// The ids of the oldest and the newest event. Two queries in one, because SQLite reads the whole table for both ends of one query.
pub(crate) const ENDS: &str = "SELECT (SELECT min(id) FROM audit_event), (SELECT max(id) FROM audit_event)";

/// See [`ENDS`]; `None`: there is no event.
pub(crate) fn ends(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut statement = connection.prepare_cached(ENDS)?;
    let (first, last): (Option<i64>, Option<i64>) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(first.zip(last))
}

/// The id of the first unchained event, by binary search: the chained events are a prefix of the history.
fn first_unchained(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let Some((mut low, mut high)) = ends(connection)? else { return Ok(None) };
    if connection
        .prepare_cached("SELECT hash IS NOT NULL FROM audit_event WHERE id = ?1")?
        .query_row([high], |row| row.get(0))?
    {
        return Ok(None);
    }
    // The first unchained event from `low` on is at `high` or before it.
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

/// Chains events, in transactions of its own, for as long as a start can wait.
pub(crate) fn chain_at_start(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..BATCHES_AT_START {
        if first_unchained(connection)?.is_none() {
            break;
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let chained = chain(connection, BATCH_MAX);
        connection.execute_batch(if chained.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        chained?;
    }
    Ok(())
}

/// The thread that chains changes by hand while no call writes, so that a later head covers them.
pub(crate) struct Chainer {
    is_closed: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Chainer {
    pub(crate) fn start(writer: &Arc<Writer>, interval: Duration) -> std::io::Result<Chainer> {
        let is_closed = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("store-chain".to_owned()).spawn({
            let (writer, is_closed) = (Arc::downgrade(writer), Arc::clone(&is_closed));
            move || run(&writer, &is_closed, interval)
        })?;
        Ok(Chainer { is_closed, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the store's thread that chains events panicked");
            }
        }
    }
}

fn run(writer: &Weak<Writer>, is_closed: &AtomicBool, interval: Duration) {
    // The start may have left some events.
    let mut is_all = false;
    loop {
        std::thread::park_timeout(if std::mem::replace(&mut is_all, true) { interval } else { BATCH_PAUSE });
        if is_closed.load(Ordering::Relaxed) {
            return;
        }
        let Some(writer) = writer.upgrade() else { return };
        // A failure is logged where groups fail; the next call or the next interval chains instead.
        if let Ok(all) = writer.run_blocking(|connection| chain(connection, BATCH_MAX).map_err(store_error)) {
            is_all = all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::store::Options;
    use crate::store::sqlite::calls::record;
    use crate::store::sqlite::file::guard;
    use crate::store::sqlite::{SCHEMA, writer};

    /// `events` events that triggers wrote.
    fn made(events: i64) -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(SCHEMA).expect("schema");
        connection.execute_batch("INSERT INTO entity (id, name) VALUES (1, 'a')").expect("an entity");
        add(&connection, events - 1);
        connection
    }

    fn add(connection: &Connection, events: i64) {
        record::set_triggers(connection, true).expect("on");
        for _ in 0..events {
            connection.execute("UPDATE entity SET note = coalesce(note, 0) + 1", []).expect("a change");
        }
        record::set_triggers(connection, false).expect("off");
    }

    /// The numbers of chained and unchained events. Checks that the chain is unbroken.
    fn state(connection: &Connection) -> (u64, u64) {
        let mut verifier = crate::chain::Verifier::new(None, Vec::new()).expect("no heads");
        let mut statement = connection.prepare("SELECT * FROM audit_event ORDER BY id").expect("events");
        let mut rows = statement.query([]).expect("events");
        while let Some(row) = rows.next().expect("an event") {
            let hash = row.get_ref(16).expect("a hash").as_blob_or_null().expect("a hash");
            verifier.check(&event(row).expect("an event"), hash).expect("unbroken");
        }
        let verified = verifier.finish().expect("unbroken");
        (verified.events - verified.unchained_events, verified.unchained_events)
    }

    #[test]
    fn events_are_chained_in_turn_a_bounded_number_at_a_time() {
        for events in 1..=20 {
            let connection = made(events);
            let mut chained = 0;
            for max in [0, 1, 3, 1, 7, 2, 9] {
                assert_eq!(state(&connection), (chained, events as u64 - chained));
                chained = (chained + max as u64).min(events as u64);
                assert_eq!(chain(&connection, max).expect("chained"), chained == events as u64);
            }
            chain_at_start(&connection).expect("chained");
            assert_eq!(state(&connection), (events as u64, 0));
        }
    }

    /// While too many events wait, a new one waits behind them, and is chained in its turn.
    #[test]
    fn a_new_event_waits_behind_many_that_wait() {
        let connection = made(2 * BEFORE_MAX as i64 + 1);
        let append = |waiting: u64| {
            let mut end = End::reached(&connection).expect("the end");
            let event = Event { at: b"2027-01-31T00:00:00.000Z", action: b"assign", actor: b"a", ..Event::default() };
            end.append(&connection, &event).expect("appended");
            assert_eq!(state(&connection), (end.id() as u64 - waiting, waiting));
        };
        append(BEFORE_MAX as u64 + 2);
        append(3);
        append(0);
        append(0);
    }

    #[test]
    fn an_idle_service_chains_what_was_changed_by_hand() {
        let connection = made(3);
        let options = Options::default();
        let writer = writer::Writer::start(
            connection,
            Arc::default(),
            &options,
            Arc::new(Metrics::new()),
            Arc::new(guard::Guard::of_memory()),
        );
        let writer = Arc::new(writer.expect("start"));
        let chainer = Chainer::start(&writer, Duration::from_millis(1)).expect("start");
        let is_all = || writer.run_blocking(|connection| Ok(state(connection))).expect("a state") == (3, 0);
        let begun = std::time::Instant::now();
        while !is_all() {
            assert!(begun.elapsed() < Duration::from_secs(60), "never chained");
            std::thread::yield_now();
        }
        chainer.close();
        writer.close();
    }
}
