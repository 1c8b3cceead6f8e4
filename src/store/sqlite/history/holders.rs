//! The holders of seats at a past moment, from events alone.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, params};

use super::events::entity_ids;
use super::sources::{Source, Sources, account_named, lives, text};
use crate::store::history::past::{State, Step};
use crate::store::history::{HistoryError, HolderThen, MomentSelection, PoolThen};

/// Events per page. No snapshot is held between two pages.
const PAGE_EVENTS: usize = 10_000;

/// See [`crate::store::history::holders_at`].
pub fn holders_at(
    database: &Path,
    archives: &[PathBuf],
    selection: &MomentSelection,
    show: &mut dyn FnMut(&PoolThen, Option<&HolderThen>) -> std::io::Result<()>,
) -> Result<Option<i64>, HistoryError> {
    let mut sources = Sources::open(database, archives)?;
    if let Some(missing) = sources.missing.pop() {
        return Err(HistoryError::Archived(sources.missing.into_iter().next().unwrap_or(missing)));
    }
    let Some(newest) = newest_until(&sources, &format!("{:.3}", selection.at))? else { return Ok(None) };
    let state = fold(&sources, newest)?;
    let lives = lives(&sources)?;
    let entities = selection.entity.as_ref().map(|entity| entity_ids(&sources, entity)).transpose()?;
    let database = sources.database();
    let account = match &selection.user {
        Some(name) => account_named(&database.connection, name).map_err(|e| database.failed(e))?,
        None => None,
    };
    let mut holders = |seats: &[(i64, i64)]| -> Result<Vec<HolderThen>, HistoryError> {
        seats.iter().map(|(seat_no, event)| holder(&sources, *seat_no, *event)).collect()
    };
    state.show(&lives, selection, entities.as_ref(), account, &mut holders, show)?;
    Ok(Some(newest))
}

/// The newest event, in the order of the history, that happened at that time or before. All events before it count too, so a
/// clock step cannot tear the history apart.
fn newest_until(sources: &Sources, at: &str) -> Result<Option<i64>, HistoryError> {
    for source in sources.all.iter().rev() {
        let newest = "SELECT id FROM audit_event WHERE at <= ?1 AND id > ?2 ORDER BY id DESC LIMIT 1";
        let newest = source.connection.query_row(newest, params![at, source.after], |row| row.get(0)).optional();
        if let Some(id) = newest.map_err(|e| source.failed(e))? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn fold(sources: &Sources, newest: i64) -> Result<State, HistoryError> {
    let mut state = State::default();
    for source in &sources.all {
        let mut after = source.after;
        while let Some(last) = fold_page(&mut state, source, after, newest).map_err(|e| source.failed(e))? {
            after = last;
        }
    }
    Ok(state)
}

/// Applies a page of events; returns the id of the last one; `None`: there are no more.
fn fold_page(state: &mut State, source: &Source, after: i64, newest: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = source.connection.prepare_cached(EVENTS)?;
    let mut rows = statement.query(params![after, newest, i64::try_from(PAGE_EVENTS).unwrap_or(i64::MAX)])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let step = Step {
            id: row.get(0)?,
            action: row.get_ref(1)?.as_bytes()?,
            pool_id: row.get(2)?,
            seat_no: row.get(3)?,
            account_id: row.get(4)?,
            entity_id: row.get(5)?,
            license_type: text(row, 6)?,
            seats_total: row.get(7)?,
            username: text(row, 8)?,
        };
        last = Some(step.id);
        state.apply(step);
    }
    Ok(last)
}

/// The holder named by an event.
fn holder(sources: &Sources, seat_no: i64, event: i64) -> Result<HolderThen, HistoryError> {
    // The last file that begins before the event.
    let source = sources.all.iter().rfind(|source| source.after < event).unwrap_or(sources.database());
    let read = || -> rusqlite::Result<HolderThen> {
        source.connection.prepare_cached(HOLDER)?.query_row([event], |row| {
            let (account_id, username) = (row.get(0)?, text(row, 1)?.unwrap_or_default());
            Ok(HolderThen { seat_no, account_id, username, since: text(row, 2)?.unwrap_or_default(), event })
        })
    };
    read().map_err(|e| source.failed(e))
}

/// Does not read the accounts of assignments: an event is looked up when its holder is shown.
const EVENTS: &str = "
    SELECT id, action, pool_id, seat_no, account_id, entity_id, license_type,
           CASE WHEN seat_no IS NULL AND pool_id IS NOT NULL AND json_valid(new_values) THEN json_extract(new_values, '$.seats_total') END,
           CASE WHEN action = 'account-change' AND json_valid(new_values) THEN json_extract(new_values, '$.username') END
      FROM audit_event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";

const HOLDER: &str = "SELECT account_id, username, at FROM audit_event WHERE id = ?1";
