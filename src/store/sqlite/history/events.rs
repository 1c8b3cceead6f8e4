//! Events of the history, selected.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Row, Statement};

use super::sources::{Source, Sources, account_named, below, lives, text};
use crate::store::history::past::entity_before;
use crate::store::history::{Archived, EntitySelection, Event, HistoryError, Selection};

/// Events per page. No snapshot is held between two pages.
const PAGE_EVENTS: usize = 1000;

/// See [`crate::store::history::events`].
pub fn events(
    database: &Path,
    archives: &[PathBuf],
    selection: &Selection,
    show: &mut dyn FnMut(&Event) -> std::io::Result<()>,
) -> Result<Vec<Archived>, HistoryError> {
    let sources = Sources::open(database, archives)?;
    let lives = lives(&sources)?;
    let entities = selection.entity.as_ref().map(|entity| Entities::read(&sources, entity)).transpose()?;
    let query = Query::new(&sources, selection)?;
    let mut left = selection.events_max.unwrap_or(u64::MAX);
    let mut order: Vec<&Source> = sources.all.iter().collect();
    if selection.newest_first {
        order.reverse();
    }
    for source in order {
        let mut beyond = if selection.newest_first { i64::MAX } else { source.after };
        while left > 0 {
            let page = query.page(source, beyond).map_err(|e| source.failed(e))?;
            let Some(last) = page.last() else { break };
            beyond = last.id;
            for mut event in page {
                lives.complete(&mut event);
                if left > 0 && entities.as_ref().map_or(Ok(true), |entities| entities.have(&event))? {
                    show(&event)?;
                    left -= 1;
                }
            }
        }
    }
    Ok(sources.missing.clone())
}

/// The entities of the selection.
struct Entities<'s> {
    ids: HashSet<i64>,
    database: &'s Source,
    account: std::cell::RefCell<Statement<'s>>,
}

impl Entities<'_> {
    fn read<'s>(sources: &'s Sources, selection: &EntitySelection) -> Result<Entities<'s>, HistoryError> {
        let ids = entity_ids(sources, selection)?;
        let database = sources.database();
        let account = database
            .connection
            .prepare("SELECT entity_id FROM account WHERE id = ?1")
            .map_err(|e| database.failed(e))?;
        Ok(Entities { ids, database, account: std::cell::RefCell::new(account) })
    }

    fn have(&self, event: &Event) -> Result<bool, HistoryError> {
        let has = |id: Option<i64>| id.is_some_and(|id| self.ids.contains(&id));
        if has(event.entity_id) || has(entity_before(event)) {
            return Ok(true);
        }
        let (Some(_), Some(account_id)) = (event.seat_no, event.account_id) else { return Ok(false) };
        let mut account = self.account.borrow_mut();
        let mut rows = account.query([account_id]).map_err(|e| self.database.failed(e))?;
        let row = rows.next().map_err(|e| self.database.failed(e))?;
        Ok(has(row.and_then(|row| row.get(0).ok())))
    }
}

/// The ids of the selected entities.
pub(crate) fn entity_ids(sources: &Sources, selection: &EntitySelection) -> Result<HashSet<i64>, HistoryError> {
    Ok(if selection.below { below(sources, selection.id)? } else { HashSet::from([selection.id]) })
}

/// A selection as SQL.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new(sources: &Sources, selection: &Selection) -> Result<Query, HistoryError> {
        let mut conditions =
            vec![if selection.newest_first { "id < ?1" } else { "id > ?1" }.to_owned(), "id > ?2".to_owned()];
        // The first two are those of the page.
        let mut values = vec![Value::Null, Value::Null];
        let mut add = |condition: &str, value: String| {
            values.push(Value::Text(value));
            conditions.push(condition.replace('@', &format!("?{}", values.len())));
        };
        if let Some(since) = selection.since {
            add("at >= @", format!("{since:.3}"));
        }
        if let Some(until) = selection.until {
            add("at < @", format!("{until:.3}"));
        }
        if let Some(actor) = &selection.actor {
            add("actor = @ COLLATE NOCASE", actor.clone());
        }
        if let Some(request_id) = &selection.request_id {
            add("request_id = @ COLLATE NOCASE", request_id.clone());
        }
        if let Some(pool_id) = selection.pool_id {
            add("pool_id = CAST(@ AS INTEGER)", pool_id.to_string());
        }
        if let Some(user) = &selection.user {
            let database = sources.database();
            let account = account_named(&database.connection, user).map_err(|e| database.failed(e))?;
            let same_account = account.map_or(String::new(), |id| format!("account_id = {id} OR "));
            add(&format!("({same_account}{NAMED})"), user.clone());
        }
        if !selection.actions.is_empty() {
            let list = selection.actions.join(",");
            add("instr(',' || @ || ',', ',' || action || ',')", list);
        }
        let order = if selection.newest_first { "DESC" } else { "ASC" };
        let conditions = conditions.join(" AND ");
        let sql =
            format!("SELECT {COLUMNS} FROM audit_event WHERE {conditions} ORDER BY id {order} LIMIT {PAGE_EVENTS}");
        Ok(Query { sql, values })
    }

    fn page(&self, source: &Source, beyond: i64) -> rusqlite::Result<Vec<Event>> {
        let mut values = self.values.clone();
        values[0] = Value::Integer(beyond);
        values[1] = Value::Integer(source.after);
        let mut statement = source.connection.prepare_cached(&self.sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), event)?;
        rows.collect()
    }
}

/// The holder, account or credential has the name, or had it before the change.
const NAMED: &str = "username = @ COLLATE NOCASE
    OR action IN ('account-change', 'credential-change') AND json_valid(old_values)
       AND (json_extract(old_values, '$.username') = @ COLLATE NOCASE OR json_extract(old_values, '$.user_name') = @ COLLATE NOCASE)";

const COLUMNS: &str =
    "id, at, action, actor, request_id, reason, entity_id, license_type, pool_id, seat_no, account_id, username,
    old_values, new_values, hash";

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let required = |index| Ok::<_, rusqlite::Error>(text(row, index)?.unwrap_or_default());
    Ok(Event {
        id: row.get(0)?,
        at: required(1)?,
        action: required(2)?,
        actor: required(3)?,
        request_id: text(row, 4)?,
        reason: text(row, 5)?,
        entity_id: row.get(6)?,
        license_type: text(row, 7)?,
        pool_id: row.get(8)?,
        seat_no: row.get(9)?,
        account_id: row.get(10)?,
        username: text(row, 11)?,
        old_values: text(row, 12)?,
        new_values: text(row, 13)?,
        hash: row.get(14)?,
    })
}
