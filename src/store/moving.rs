//! `seatkeeper copy`: copies everything from one store to a new store of the other kind.
//!
//! The source is read in one snapshot. The target is written completely or not at all, and every invariant is verified before it
//! becomes visible. Rows are the same on both sides. The history is chained again while it is read: that verifies the source, and
//! gives the target its own chain if its ids must change. The last event of the target, `copy`, names the head of the source, so
//! the trail continues.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::history::HistoryError;
use super::{Address, CheckHash, Database, OpenError, Violation, postgres, sqlite};
use crate::chain::{Event, Link, to_hex};

/// A table whose rows are the same in both kinds of stores.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: &'static str,
    /// Separated by commas.
    pub columns: &'static str,
    /// More columns, after `columns`: numbers that the database keeps about the history of the row.
    pub numbers: &'static str,
}

impl Table {
    /// All columns, separated by commas.
    pub(crate) fn all_columns(&self) -> String {
        if self.numbers.is_empty() { self.columns.to_owned() } else { format!("{}, {}", self.columns, self.numbers) }
    }
}

const fn table(name: &'static str, columns: &'static str) -> Table {
    Table { name, columns, numbers: "" }
}

/// The tables without the history, in an order in which each refers only to earlier ones.
pub(crate) const TABLES: &[Table] = &[
    table(
        "entity",
        "id, parent_id, name, active, owner_name, owner_description, serial_nr, shop_url, next_check_at, maintenance_at, \
         admin_warning_at, expires_at, grace_at, customer_nr, note",
    ),
    table("credential", "user_name, password_hash, entity_id, role, active, note"),
    table("account", "id, username, entity_id, active, note"),
    Table {
        name: "license_pool",
        columns: "id, entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data, note",
        numbers: "seats_in_use, seats_in_use_max, event_id, events",
    },
    table("seat", "pool_id, seat_no, license_type, account_id, product_key, license_data"),
    table(
        "license_offer",
        "entity_id, company_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at",
    ),
    table("license_offer_module", "entity_id, license_type, seats_total"),
    table("ticket", "id, secret_hash, user_name, expires_at"),
    table("named_call", "id, user_name, name, operation, request_hash, request_id, at, outcome"),
    table("session", "id, secret_hash, user_name, created_at, expires_at, ends_at, address"),
    table("refusal", "id, at, request_id, actor, operation, code, message, entity_id, username, license_type, address"),
    table("credential_use", "user_name, last_used_at, last_address, failures, last_failure_at, last_failure_address"),
    table("upkeep", "task, at, detail"),
];

/// The history without its hashes, in the order of [`event`].
pub(crate) const EVENTS: Table = table(
    "audit_event",
    "id, at, action, actor, request_id, reason, entity_id, license_type, pool_id, seat_no, account_id, username, old_values, new_values, \
     previous_id, pool_events",
);

/// A value of a column. Times are text, as in SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// An event from a row of [`EVENTS`]; `None`: a value does not have the type of its column.
pub(crate) fn event(row: &[Value]) -> Option<Event<'_>> {
    let number = |at: usize| match &row[at] {
        Value::Null => Some(None),
        Value::Number(number) => Some(Some(*number)),
        _ => None,
    };
    let text = |at: usize| match &row[at] {
        Value::Null => Some(None),
        Value::Text(text) => Some(Some(text.as_bytes())),
        _ => None,
    };
    Some(Event {
        id: number(0)??,
        at: text(1)??,
        action: text(2)??,
        actor: text(3)??,
        request_id: text(4)?,
        reason: text(5)?,
        entity_id: number(6)?,
        license_type: text(7)?,
        pool_id: number(8)?,
        seat_no: number(9)?,
        account_id: number(10)?,
        username: text(11)?,
        old_values: text(12)?,
        new_values: text(13)?,
        previous_id: number(14)?,
        pool_events: number(15)?,
    })
}

/// The result of a copy.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The number of rows of each table, in the order in which they were written; for `audit_event` without the event of the copy
    /// itself.
    pub rows: Vec<(&'static str, u64)>,
    /// The newest chained event of the source; `None`: none was chained.
    pub source: Option<Link>,
    /// The newest event of the target: that of the copy.
    pub target: Link,
    pub took: Duration,
}

/// Why nothing was copied. The source is unchanged; the target is empty or unchanged.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Invalid arguments.
    #[error("{0}")]
    Usage(String),
    #[error("{place}: {reason}")]
    Refused { place: String, reason: String },
    /// Invalid rows of the source, found in the target.
    #[error("{place}: rows break an invariant: {}. Nothing was copied: see 'seatkeeper check'.", .violations.len())]
    Broken { place: String, violations: Vec<Violation> },
}

impl MoveError {
    pub(crate) fn refused(place: &dyn std::fmt::Display, reason: impl Into<String>) -> MoveError {
        MoveError::Refused { place: place.to_string(), reason: reason.into() }
    }
}

/// Copies everything from one store to a new one of the other kind. `archives`: files with older events of an SQLite source.
///
/// # Errors
///
/// Two stores of one kind; a source that is in use, whose history does not verify or whose rows break an invariant; a target that has rows.
pub fn copy(from: &Database, archives: &[PathBuf], to: &Database, check_hash: CheckHash) -> Result<Copied, MoveError> {
    let begun = Instant::now();
    let copied = match (from, to) {
        (Database::File(file), Database::Server(address)) => to_server(file, archives, address, check_hash),
        (Database::Server(address), Database::File(file)) if archives.is_empty() => to_file(address, file, check_hash),
        (Database::Server(_), Database::File(_)) => Err(MoveError::Usage(
            "--archive is for SQLite files only; on PostgreSQL all events are in the database".to_owned(),
        )),
        (Database::File(_), Database::File(_)) => {
            Err(MoveError::Usage("both are SQLite files: 'seatkeeper backup' copies one to another file".to_owned()))
        }
        (Database::Server(_), Database::Server(_)) => {
            Err(MoveError::Usage("both are on PostgreSQL: pg_dump and pg_restore copy one to another".to_owned()))
        }
    };
    copied.map(|copied| Copied { took: begun.elapsed(), ..copied })
}

fn to_server(file: &Path, archives: &[PathBuf], address: &Address, check_hash: CheckHash) -> Result<Copied, MoveError> {
    let source = sqlite::moving::Source::open(file, archives)?;
    let mut target = postgres::moving::Target::begin(address)?;
    let mut rows = Vec::new();
    for table in TABLES {
        target.begin_table(table)?;
        source.rows(table, |row| target.row(row))?;
        rows.push((table.name, target.end_table()?));
    }
    let mut trail = Trail::new(&file.display());
    let mut events = 0;
    let now = target.now()?;
    target.begin_events()?;
    source.events(|row, hash| {
        let event = event(row).ok_or_else(|| malformed(&file.display(), row))?;
        let link = trail.next(&event, hash)?;
        events += 1;
        target.event(row, &link.hash)
    })?;
    rows.push((EVENTS.name, events));
    let id = trail.link.map_or(1, |link| link.event + 1);
    let row = trail.copy_event(id, &now, &file.display());
    let link = Link::next(trail.link.as_ref(), &event(&row).expect("an event"));
    target.event(&row, &link.hash)?;
    target.end_events()?;
    target.verify(&rows, check_hash)?;
    if source.has_changed()? {
        return Err(changed(&file.display()));
    }
    target.commit()?;
    Ok(Copied { rows, source: trail.source, target: link, took: Duration::ZERO })
}

fn to_file(address: &Address, file: &Path, check_hash: CheckHash) -> Result<Copied, MoveError> {
    let source = postgres::moving::Source::open(address)?;
    let target = sqlite::moving::Target::create(file)?;
    let mut trail = Trail::new(address);
    let mut pools = Pools::default();
    // In the order of the chain, and so with new ids.
    let mut last: Option<Link> = None;
    let mut events = 0;
    source.events(|row, hash| {
        trail.next(&event(row).ok_or_else(|| malformed(address, row))?, hash)?;
        events += 1;
        let id = last.map_or(1, |link| link.event + 1);
        let row = pools.follow(row, id);
        let link = Link::next(last.as_ref(), &event(&row).expect("as it was"));
        last = Some(link);
        target.event(&row, &link.hash)
    })?;
    let row = trail.copy_event(last.map_or(1, |link| link.event + 1), &format!("{:.3}", Timestamp::now()), address);
    let link = Link::next(last.as_ref(), &event(&row).expect("an event"));
    target.event(&row, &link.hash)?;
    let mut rows = Vec::new();
    for table in TABLES {
        let mut count = 0;
        source.rows(table, |row| {
            count += 1;
            if table.numbers.is_empty() { target.row(table, row) } else { target.row(table, &pools.numbered(row)) }
        })?;
        rows.push((table.name, count));
    }
    rows.push((EVENTS.name, events));
    let target = target.finish(&rows, check_hash)?;
    if source.has_changed()? {
        return Err(changed(address));
    }
    target.publish()?;
    Ok(Copied { rows, source: trail.source, target: link, took: Duration::ZERO })
}

fn changed(place: &dyn std::fmt::Display) -> MoveError {
    MoveError::refused(
        place,
        "it was changed while it was copied. Nothing was copied: stop what writes to it, and copy again.",
    )
}

fn malformed(place: &dyn std::fmt::Display, row: &[Value]) -> MoveError {
    let id = if let Value::Number(id) = row[0] { id } else { 0 };
    MoveError::refused(
        place,
        format!("event {id} has a value of another type than the schema allows. Nothing was copied."),
    )
}

/// The history of a source, followed in the order of its chain.
struct Trail {
    place: String,
    /// The link of the newest event, as if all were chained.
    link: Option<Link>,
    /// The newest chained event of the source.
    source: Option<Link>,
    events: u64,
    is_chained: bool,
}

impl Trail {
    fn new(place: &dyn std::fmt::Display) -> Trail {
        Trail { place: place.to_string(), link: None, source: None, events: 0, is_chained: true }
    }

    /// Follows the next event. `hash`: in the source, if it is chained. The chain must be unbroken.
    fn next(&mut self, event: &Event<'_>, hash: Option<&[u8]>) -> Result<Link, MoveError> {
        let link = Link::next(self.link.as_ref(), event);
        match hash {
            None => self.is_chained = false,
            Some(hash) if self.is_chained && *hash == link.hash => self.source = Some(link),
            Some(_) => {
                let reason = format!(
                    "the history does not verify at event {}. Nothing was copied: see 'seatkeeper audit verify'.",
                    event.id
                );
                return Err(MoveError::refused(&self.place, reason));
            }
        }
        self.link = Some(link);
        self.events += 1;
        Ok(link)
    }

    /// The event that names the origin of the history. It has the head in the form that auditors keep.
    fn copy_event(&self, id: i64, at: &str, from: &dyn std::fmt::Display) -> Vec<Value> {
        let mut values = json!({ "from": from.to_string(), "events": self.events });
        if let Some(Link { event, hash }) = &self.source {
            values["event"] = (*event).into();
            values["hash"] = to_hex(hash).into();
        }
        let text = |text: &str| Value::Text(text.to_owned());
        let mut row = vec![Value::Null; EVENTS.columns.split(", ").count()];
        (row[0], row[1], row[2], row[3]) = (Value::Number(id), text(at), text("copy"), text("cli"));
        row[13] = text(&values.to_string());
        row
    }
}

/// The numbers that SQLite keeps of each pool and its events.
#[derive(Debug, Default)]
struct Pools(std::collections::HashMap<i64, Pool>);

#[derive(Debug, Default, Clone, Copy)]
struct Pool {
    in_use: i64,
    in_use_max: i64,
    event_id: i64,
    events: i64,
}

impl Pools {
    /// The event with its new id and its place in the history of its pool.
    fn follow(&mut self, row: &[Value], id: i64) -> Vec<Value> {
        let mut row = row.to_vec();
        row[0] = Value::Number(id);
        (row[14], row[15]) = (Value::Null, Value::Null);
        let Value::Number(pool_id) = row[8] else { return row };
        let action = if let Value::Text(action) = &row[2] { action.as_str() } else { "" };
        if action == "pool-create" {
            self.0.remove(&pool_id);
        }
        let pool = self.0.entry(pool_id).or_default();
        pool.in_use += i64::from(action == "assign") - i64::from(action == "release");
        pool.in_use_max = pool.in_use_max.max(pool.in_use);
        if pool.events > 0 {
            row[14] = Value::Number(pool.event_id);
        }
        (pool.event_id, pool.events) = (id, pool.events + 1);
        row[15] = Value::Number(pool.events);
        row
    }

    /// A row of `license_pool` with the numbers from its history.
    fn numbered(&self, row: &[Value]) -> Vec<Value> {
        let pool =
            if let Value::Number(id) = row[0] { self.0.get(&id).copied().unwrap_or_default() } else { Pool::default() };
        let numbers = row.len() - 4;
        let event_id = if pool.events > 0 { Value::Number(pool.event_id) } else { Value::Null };
        let counted =
            [Value::Number(pool.in_use), Value::Number(pool.in_use_max), event_id, Value::Number(pool.events)];
        row[..numbers].iter().cloned().chain(counted).collect()
    }
}
