//! The holders of seats at a past moment, from events alone.
//!
//! The events are folded in the order of the history. Kept in memory are the pools, of each taken seat its number and event, and the
//! accounts that were renamed.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{OptionalExtension as _, params};

use super::events::entity_ids;
use super::sources::{Lives, Source, Sources, account_named, text};
use crate::store::history::{History, HistoryError, HolderThen, MomentSelection, PoolThen};

/// Events that are read at a time. Between two pages no snapshot is held.
const PAGE_EVENTS: usize = 10_000;

/// See [`crate::store::history::holders_at`].
pub fn holders_at(
    history: &History,
    selection: &MomentSelection,
    show: &mut dyn FnMut(&PoolThen, Option<&HolderThen>) -> std::io::Result<()>,
) -> Result<Option<i64>, HistoryError> {
    let mut sources = Sources::open(history)?;
    if let Some(missing) = sources.missing.pop() {
        return Err(HistoryError::Archived(sources.missing.into_iter().next().unwrap_or(missing)));
    }
    let Some(newest) = newest_until(&sources, &format!("{:.3}", selection.at))? else { return Ok(None) };
    let state = State::fold(&sources, newest)?;
    let lives = Lives::read(&sources)?;
    let entities = selection.entity.as_ref().map(|entity| entity_ids(&sources, entity)).transpose()?;
    let database = sources.database();
    let account = match &selection.user {
        Some(name) => account_named(&database.connection, name).map_err(|e| database.failed(e))?,
        None => None,
    };
    let is_asked_for = |holder: &HolderThen| match &selection.user {
        None => true,
        Some(name) => {
            account.is_some_and(|id| holder.account_id == Some(id)) || holder.username.eq_ignore_ascii_case(name)
        }
    };
    for (id, pool) in &state.pools {
        // The life in which the pool was then.
        let (entity_id, license_type) = lives.at(*id, pool.event);
        let then = PoolThen {
            id: *id,
            entity_id: pool.entity_id.or(entity_id),
            license_type: pool.license_type.clone().or(license_type.map(str::to_owned)),
            seats_total: pool.seats_total,
            seats_in_use: i64::try_from(pool.seats.len()).unwrap_or(i64::MAX),
        };
        let is_of_entity =
            entities.as_ref().is_none_or(|entities| then.entity_id.is_some_and(|id| entities.contains(&id)));
        if !is_of_entity || selection.pool_id.is_some_and(|pool_id| pool_id != *id) {
            continue;
        }
        if selection.user.is_none() {
            show(&then, None)?;
        }
        for (seat_no, event) in &pool.seats {
            let holder = state.holder(&sources, *seat_no, *event)?;
            if is_asked_for(&holder) {
                show(&then, Some(&holder))?;
            }
        }
    }
    Ok(Some(newest))
}

/// The newest event, in the order of the history, that happened then or before. A clock that stepped does not tear the history: all
/// events before that one count.
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

#[derive(Default)]
struct State {
    pools: BTreeMap<i64, Pool>,
    /// Accounts that were renamed, and their names.
    names: HashMap<i64, String>,
}

#[derive(Default)]
struct Pool {
    /// An event of the pool.
    event: i64,
    entity_id: Option<i64>,
    license_type: Option<String>,
    seats_total: i64,
    /// The taken seats, and the events that say by whom.
    seats: BTreeMap<i64, i64>,
}

impl State {
    fn fold(sources: &Sources, newest: i64) -> Result<State, HistoryError> {
        let mut state = State::default();
        for source in &sources.all {
            let mut after = source.after;
            while let Some(last) = state.fold_page(source, after, newest).map_err(|e| source.failed(e))? {
                after = last;
            }
        }
        Ok(state)
    }

    /// The id of the last event that was folded; `None`: there are no more.
    fn fold_page(&mut self, source: &Source, after: i64, newest: i64) -> rusqlite::Result<Option<i64>> {
        let mut statement = source.connection.prepare_cached(EVENTS)?;
        let mut rows = statement.query(params![after, newest, i64::try_from(PAGE_EVENTS).unwrap_or(i64::MAX)])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            last = Some(id);
            let number = |index| row.get::<_, Option<i64>>(index);
            let action = row.get_ref(1)?.as_bytes()?;
            match (action, number(2)?, number(3)?) {
                (b"pool-create", Some(pool_id), _) => {
                    let (entity_id, license_type) = (number(5)?, text(row, 6)?);
                    let seats_total = number(7)?.unwrap_or(0);
                    let pool = Pool { event: id, entity_id, license_type, seats_total, seats: BTreeMap::new() };
                    self.pools.insert(pool_id, pool);
                }
                (b"pool-change", Some(pool_id), _) => {
                    let pool = self.pool(pool_id, id);
                    pool.seats_total = number(7)?.unwrap_or(pool.seats_total);
                }
                (b"pool-delete", Some(pool_id), _) => drop(self.pools.remove(&pool_id)),
                (b"assign", Some(pool_id), Some(seat_no)) => {
                    self.pool(pool_id, id).seats.insert(seat_no, id);
                }
                (b"release", Some(pool_id), Some(seat_no)) => {
                    self.pool(pool_id, id).seats.remove(&seat_no);
                }
                (b"account-change", _, _) => {
                    if let (Some(account_id), Some(name)) = (number(4)?, text(row, 8)?) {
                        self.names.insert(account_id, name);
                    }
                }
                _ => {}
            }
        }
        Ok(last)
    }

    fn pool(&mut self, pool_id: i64, event: i64) -> &mut Pool {
        self.pools.entry(pool_id).or_insert_with(|| Pool { event, ..Pool::default() })
    }

    /// The holder that an event says.
    fn holder(&self, sources: &Sources, seat_no: i64, event: i64) -> Result<HolderThen, HistoryError> {
        // The last file that begins before the event.
        let source = sources.all.iter().rfind(|source| source.after < event).unwrap_or(sources.database());
        let read = || -> rusqlite::Result<HolderThen> {
            source.connection.prepare_cached(HOLDER)?.query_row([event], |row| {
                let account_id: Option<i64> = row.get(0)?;
                let renamed = account_id.and_then(|id| self.names.get(&id).cloned());
                let username = renamed.or(text(row, 1)?).unwrap_or_default();
                Ok(HolderThen { seat_no, account_id, username, since: text(row, 2)?.unwrap_or_default(), event })
            })
        };
        read().map_err(|e| source.failed(e))
    }
}

/// Of assignments the account is not read here: an event is looked up when its holder is shown.
const EVENTS: &str = "
    SELECT id, action, pool_id, seat_no, account_id, entity_id, license_type,
           CASE WHEN seat_no IS NULL AND pool_id IS NOT NULL AND json_valid(new_values) THEN json_extract(new_values, '$.seats_total') END,
           CASE WHEN action = 'account-change' AND json_valid(new_values) THEN json_extract(new_values, '$.username') END
      FROM audit_event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";

const HOLDER: &str = "SELECT account_id, username, at FROM audit_event WHERE id = ?1";
