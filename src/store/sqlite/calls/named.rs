//! Named calls: the table of their outcomes. The outcome is written in the transaction of the change, so that after a crash both
//! are there or neither is.
//!
//! The table is a ring. Rows are numbered in the order in which they are written. Each new row deletes the oldest rows that have
//! expired or are too many, so no index by time is needed, and no call waits for a large deletion.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::facts::text;
use super::stop::{Stop, caller_of_role, settle};
use crate::seats::{Refusal, Role};
use crate::store::named::{CallName, Original, Outcome, of_json, to_json};
use crate::store::{Call, StoreError};

/// The limits of the table. See [`crate::store::Options`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) life: SignedDuration,
    /// Rows; one with a long outcome counts as several.
    pub(crate) max: i64,
}

/// Runs a named call, or returns the outcome of an earlier call of that name. In both cases it first checks the caller and the
/// role that the call needs: a credential without that right gets no old answer.
pub(crate) fn run<T: Outcome>(
    connection: &Connection,
    call: &Call,
    name: &CallName,
    limits: Limits,
    least: Role,
    change: impl FnOnce() -> Result<T, Stop>,
) -> Result<(Result<T, Refusal>, Option<Original>), StoreError> {
    let mut original = None;
    let outcome = settle(run_once(connection, call, name, limits, least, change, &mut original))?;
    Ok((outcome, original))
}

fn run_once<T: Outcome>(
    connection: &Connection,
    call: &Call,
    name: &CallName,
    limits: Limits,
    least: Role,
    change: impl FnOnce() -> Result<T, Stop>,
    original: &mut Option<Original>,
) -> Result<T, Stop> {
    let caller = caller_of_role(connection, call, least)?;
    let sent = name.text()?;
    let cutoff = |life| to_text(call.now.saturating_sub(life).unwrap_or(Timestamp::MIN));
    if let Some(row) = find(connection, &caller.name, sent)? {
        let has_expired = row.at <= cutoff(name.life(limits.life));
        if !has_expired && row.request_hash == name.request_hash {
            return row.replay(name, original);
        }
        if !has_expired && name.source.is_deliberate() {
            let at = row.at.parse().map_or(row.at, |at: Timestamp| format!("{at:.0}"));
            return Err(Refusal::NameReused { header: name.source.header(), operation: row.operation, at }.into());
        }
        connection.prepare_cached("DELETE FROM named_call WHERE id = ?1")?.execute([row.id])?;
    }
    let outcome = settle(change())?;
    if name.keeps(&outcome) {
        keep(connection, call, name, &caller.name, sent, &to_json(&outcome))?;
        end_oldest(connection, &cutoff(limits.life), limits.max)?;
    }
    Ok(outcome?)
}

struct Row {
    id: i64,
    request_hash: Vec<u8>,
    operation: String,
    request_id: String,
    at: String,
    outcome: Vec<u8>,
}

impl Row {
    fn replay<T: Outcome>(self, name: &CallName, original: &mut Option<Original>) -> Result<T, Stop> {
        let kept = of_json(&self.outcome);
        let (Some(outcome), Ok(id), Ok(now)) = (kept, self.request_id.parse(), self.at.parse()) else {
            name.cannot_be_read(self.id);
            return Err(Refusal::NameUnreadable { header: name.source.header() }.into());
        };
        *original = Some(Original { id, now });
        Ok(outcome?)
    }
}

fn find(connection: &Connection, user_name: &str, name: &str) -> rusqlite::Result<Option<Row>> {
    let bytes =
        |row: &rusqlite::Row<'_>, index: usize| -> rusqlite::Result<_> { Ok(row.get_ref(index)?.as_bytes()?.to_vec()) };
    connection
        .prepare_cached(FIND)?
        .query_row([user_name, name], |row| {
            Ok(Row {
                id: row.get(0)?,
                request_hash: bytes(row, 1)?,
                operation: text(row, 2)?.unwrap_or_default(),
                request_id: text(row, 3)?.unwrap_or_default(),
                at: text(row, 4)?.unwrap_or_default(),
                outcome: bytes(row, 5)?,
            })
        })
        .optional()
}

pub(crate) const FIND: &str = "
    SELECT id, request_hash, operation, request_id, at, outcome FROM named_call WHERE user_name = ?1 AND name = ?2";

/// The bytes of an outcome that count as one row.
const BYTES_PER_ROW: usize = 256;

fn keep(
    connection: &Connection,
    call: &Call,
    name: &CallName,
    user_name: &str,
    sent: &str,
    outcome: &str,
) -> rusqlite::Result<()> {
    let rows = 1 + outcome.len() / BYTES_PER_ROW;
    let values = params![
        rows as i64,
        user_name,
        sent,
        name.operation,
        name.request_hash,
        call.id.to_string(),
        to_text(call.now),
        outcome
    ];
    connection.prepare_cached(KEEP)?.execute(values).map(drop)
}

/// The number of a row leaves a gap for the rows that it counts as.
pub(crate) const KEEP: &str = "
    INSERT INTO named_call (id, user_name, name, operation, request_hash, request_id, at, outcome)
    SELECT coalesce((SELECT max(id) FROM named_call), 0) + ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8";

/// The most rows deleted in one call. A row of [`crate::seats::ASSIGNMENTS_MAX`] outcomes counts as more than a thousand.
const ENDED_MAX: i64 = 2000;

/// Checks only the oldest rows: after a clock was set back, rows may wait for earlier ones.
fn end_oldest(connection: &Connection, cutoff: &str, max: i64) -> rusqlite::Result<()> {
    let too_many = connection.last_insert_rowid().saturating_sub(max);
    let mut oldest = connection.prepare_cached(OLDEST)?;
    let mut rows = oldest.query([])?;
    let (mut ended, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let (id, at): (i64, _) = (row.get(0)?, row.get_ref(1)?.as_bytes()?);
        // Two expired rows for each new one: the table shrinks, and no call waits for many.
        let has_expired = at <= cutoff.as_bytes() && ended < 2;
        if !(has_expired || id <= too_many && ended < ENDED_MAX) {
            break;
        }
        (ended, last) = (ended + 1, Some(id));
    }
    drop(rows);
    match last {
        Some(last) => connection.prepare_cached(END)?.execute([last]).map(drop),
        None => Ok(()),
    }
}

pub(crate) const OLDEST: &str = "SELECT id, at FROM named_call WHERE id > 0 ORDER BY id";

pub(crate) const END: &str = "DELETE FROM named_call WHERE id <= ?1";

/// To the nanosecond, because an answer may depend on it, and always of the same length, so that text sorts by time.
fn to_text(at: Timestamp) -> String {
    format!("{at:.9}")
}
