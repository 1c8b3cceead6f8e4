//! The history as administrators read it: the newest events first, page by page, as far as the caller may see them.
//!
//! A caller of a subtree sees the events of its entities, their pools and seats, accounts, credentials and offers, and of the seats that its
//! accounts hold in pools of others. Of these events it does not see what names entities, users, credentials or seats of others.

use std::cell::RefCell;
use std::collections::HashMap;

use jiff::Timestamp;

use super::credentials::visible_names;
use super::moment::ids_between;
use super::page::{Chunk, Key, Page, Start, by_ids, count, indexed_by, scan_chunks, wanted};
use super::pool_events::PoolEvents;
use super::refusals::request_id_of;
use super::scope::{EntityFilter, Scope, entity_names};
use super::users::find_named;
use super::{Admin, Dialect, Row, Sql, Stop, Value, first};

/// Which events are asked for: those that fit all of it. Names compare without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryFilter {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    pub entity: Option<EntityFilter>,
    /// Events about the account or credential of this name: of the account that has the name now, under whatever name it had; and of
    /// whatever had the name then.
    pub user: Option<String>,
    /// Changes made by this credential, or by `sql` or `cli`.
    pub actor: Option<String>,
    /// May begin with `Err-`.
    pub request_id: Option<String>,
    /// Of [`crate::store::history::ACTIONS`]; none: all.
    pub actions: Vec<String>,
    /// Events of this pool and its seats.
    pub pool_id: Option<i64>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub id: i64,
    pub at: Timestamp,
    /// Of [`crate::store::history::ACTIONS`].
    pub action: String,
    /// `None`: a credential that the caller may not see, or that is gone.
    pub actor: Option<String>,
    pub request_id: Option<String>,
    pub reason: Option<String>,
    /// Of a seat: whose pool it is.
    pub entity_id: Option<i64>,
    pub entity_name: Option<String>,
    pub license_type: Option<String>,
    pub pool_id: Option<i64>,
    pub seat_no: Option<i64>,
    pub account_id: Option<i64>,
    pub username: Option<String>,
    /// A JSON object.
    pub old_values: Option<String>,
    /// A JSON object.
    pub new_values: Option<String>,
}

/// A column that an event changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedColumn {
    pub name: String,
    /// `None`: null, or there was no row.
    pub old: Option<String>,
    pub new: Option<String>,
}

impl EventRow {
    /// The columns that changed, in the order of the table.
    pub fn changes(&self) -> Vec<ChangedColumn> {
        let object = |text: &Option<String>| match text.as_deref().map(serde_json::from_str) {
            Some(Ok(serde_json::Value::Object(object))) => object,
            _ => serde_json::Map::new(),
        };
        let (mut old, new) = (object(&self.old_values), object(&self.new_values));
        let mut changes = Vec::new();
        for (name, value) in new {
            let before = old.shift_remove(&name).as_ref().and_then(as_text);
            changes.push(ChangedColumn { old: before, new: as_text(&value), name });
        }
        changes.extend(old.iter().map(|(name, value)| ChangedColumn {
            name: name.clone(),
            old: as_text(value),
            new: None,
        }));
        changes
    }
}

fn as_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Events that are looked at together, and for one page.
const MOST: (usize, usize) = (5_000, 20_000);

/// Events of pools that are read for one page to find out whose the pools were that are gone.
const GONE_EVENTS_MAX: usize = 5_000;

/// The events that fit a filter, the newest first.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    filter: &HistoryFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<EventRow>, Stop> {
    let scope = Scope::of(sql, admin);
    if let Some(entity) = filter.entity
        && !scope.has(entity.id)?
    {
        return Ok(Page::default());
    }
    let reader = Reader::new(sql, filter)?;
    let seen = Seen::new(sql, admin, filter)?;
    let mut read = |from: Option<&Key>, back: bool, n: usize| reader.read(from.map(|key| key.id), back, n);
    let mut keep = |events: Vec<EventRow>| seen.keep(events);
    scan_chunks(start, limit, MOST, &mut read, &|event: &EventRow| Key::of_id(event.id), &mut keep)
}

/// The events of one request, the oldest first. An index finds those of a change that gave a reason. Of others, such as those of calls, only
/// the newest events are looked at, or those around `near`, if it is known when the request was made.
pub fn of_request(
    sql: &dyn Sql,
    admin: &Admin,
    request_id: &str,
    near: Option<Timestamp>,
) -> Result<Page<EventRow>, Stop> {
    let filter = HistoryFilter {
        request_id: Some(request_id.to_owned()),
        since: near,
        // `until` is excluded; the disorder of times is allowed for anyway.
        until: near.and_then(|at| at.checked_add(jiff::SignedDuration::from_mins(10)).ok()),
        ..HistoryFilter::default()
    };
    let filter = HistoryFilter {
        since: filter.since.and_then(|at| at.checked_sub(jiff::SignedDuration::from_mins(10)).ok()),
        ..filter
    };
    let mut page = list(sql, admin, &filter, &Start::First, super::page::ROWS_MAX)?;
    page.rows.reverse();
    Ok(page)
}

/// Reads events in their order, without those that the database can tell do not fit.
struct Reader<'s> {
    sql: &'s dyn Sql,
    low: i64,
    high: i64,
    /// The conditions as SQL; the parameters begin with `$4`.
    conditions: String,
    values: Vec<Value>,
    /// The events of this pool are read one after the other, not among all.
    pool_id: Option<i64>,
    /// The events of this request are found by an index: they have a reason.
    request_id: Option<String>,
}

impl<'s> Reader<'s> {
    fn new(sql: &'s dyn Sql, filter: &HistoryFilter) -> Result<Reader<'s>, Stop> {
        let (low, high) = ids_between(sql, "audit_event", filter.since, filter.until)?;
        let dialect = sql.dialect();
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        let mut place = |value: Value| {
            values.push(value);
            format!("${}", values.len() + 3)
        };
        let clean = |text: &Option<String>| wanted(text.as_deref()).map(|text| text.replace('\0', "\u{FFFD}"));
        let mut request_id = None;
        if let Some(id) = clean(&filter.request_id) {
            let id = request_id_of(&id);
            let has_reason = first(sql, WITH_REASON, &[Value::from(id.as_str())])?.is_some();
            conditions.push(format!("request_id = {}", place(Value::from(id.as_str()))));
            request_id = Some(id).filter(|_| has_reason);
        }
        if let Some(actor) = clean(&filter.actor) {
            conditions.push(format!("{} = {}", dialect.name_key("actor"), place(Value::name(&actor))));
        }
        if let Some(user) = clean(&filter.user) {
            let account = find_named(sql, &user)?.map_or(Ok(-1), |row| row.int(0))?;
            conditions.push(format!(
                "({} = {} OR account_id = {} OR action IN ('account-change', 'credential-change'))",
                dialect.name_key("username"),
                place(Value::name(&user)),
                place(Value::Int(account))
            ));
        }
        if !filter.actions.is_empty() {
            let actions: Vec<String> =
                filter.actions.iter().map(|action| place(Value::from(action.replace('\0', "")))).collect();
            conditions.push(format!("action IN ({})", actions.join(", ")));
        }
        let mut pool_id = None;
        if let Some(id) = filter.pool_id {
            let is_there = first(sql, "SELECT 1 FROM license_pool WHERE id = $1", &[id.into()])?.is_some();
            pool_id = Some(id).filter(|_| is_there || dialect == Dialect::Postgres);
            conditions.push(format!("pool_id = {}", place(Value::Int(id))));
        }
        let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        Ok(Reader { sql, low, high, conditions, values, pool_id, request_id })
    }

    fn read(&self, from: Option<i64>, back: bool, n: usize) -> Result<Chunk<EventRow>, Stop> {
        let (from, end) = match back {
            false => (from.unwrap_or(self.high).min(self.high), self.low),
            true => (from.unwrap_or(self.low).max(self.low.saturating_sub(1)), self.high),
        };
        let found = match (self.pool_id, self.sql.dialect(), back) {
            _ if self.request_id.is_some() && back => OF_REQUEST_BACK,
            _ if self.request_id.is_some() => OF_REQUEST,
            (Some(_), Dialect::Sqlite, false) => CHAIN,
            (Some(_), Dialect::Postgres, false) => OF_POOL,
            (Some(_), Dialect::Postgres, true) => OF_POOL_BACK,
            (_, _, false) => NEWEST,
            (_, _, true) => OLDEST,
        };
        let mut values = vec![Value::Int(from), Value::Int(end), count(n)];
        values.extend_from_slice(&self.values);
        // The last parameter is what the events are found by.
        let place = format!("${}", values.len() + 1);
        match (&self.request_id, self.pool_id) {
            (Some(id), _) => values.push(Value::from(id.as_str())),
            (None, Some(id)) => values.push(Value::Int(id)),
            (None, None) => {}
        }
        let found = found.replace("$pool", &place).replace("$request", &place);
        let order = if back { "ASC" } else { "DESC" };
        let text = format!("{found} SELECT {COLUMNS} FROM found WHERE {} ORDER BY id {order}", self.conditions);
        let looked_at = format!("{found} SELECT count(*), min(id), max(id) FROM found");
        let looked_at = first(self.sql, &looked_at, &values)?;
        let (looked_at, last) = match looked_at {
            Some(row) => (row.int(0)?, row.opt_int(if back { 2 } else { 1 })?),
            None => (0, None),
        };
        let rows = match last {
            Some(_) => self.sql.rows(&text, &values)?.iter().map(event).collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        let looked_at = usize::try_from(looked_at).unwrap_or(usize::MAX);
        Ok(Chunk { rows, looked_at, last: last.map(Key::of_id) })
    }
}

const NEWEST: &str = "
    WITH RECURSIVE found AS (SELECT * FROM audit_event WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3)";

const OLDEST: &str = "
    WITH RECURSIVE found AS (SELECT * FROM audit_event WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3)";

/// From the pool's newest event on, or from the one before the event of a page.
const CHAIN: &str = "
    WITH RECURSIVE chain (id, previous_id) AS (
        SELECT id, previous_id FROM audit_event
         WHERE id = coalesce((SELECT previous_id FROM audit_event WHERE id = $1 AND pool_id = $pool),
                             (SELECT event_id FROM license_pool WHERE id = $pool
                                 AND NOT EXISTS (SELECT 1 FROM audit_event WHERE id = $1 AND pool_id = $pool)))
        UNION ALL SELECT e.id, e.previous_id FROM chain CROSS JOIN audit_event AS e
                   WHERE e.id = chain.previous_id AND e.id < chain.id),
    found AS (SELECT e.* FROM chain CROSS JOIN audit_event AS e WHERE e.id = chain.id AND e.id >= $2 LIMIT $3)";

const OF_POOL: &str = "
    WITH found AS (
        SELECT * FROM audit_event WHERE pool_id = $pool AND id < $1 AND id >= $2 ORDER BY pool_id DESC, id DESC LIMIT $3)";

const OF_POOL_BACK: &str = "
    WITH found AS (SELECT * FROM audit_event WHERE pool_id = $pool AND id > $1 AND id < $2 ORDER BY pool_id, id LIMIT $3)";

const WITH_REASON: &str = "SELECT 1 FROM audit_event WHERE request_id = $1 AND reason IS NOT NULL LIMIT 1";

const OF_REQUEST: &str = "
    WITH made AS MATERIALIZED (SELECT * FROM audit_event WHERE request_id = $request AND reason IS NOT NULL),
    found AS (SELECT * FROM made WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3)";

const OF_REQUEST_BACK: &str = "
    WITH made AS MATERIALIZED (SELECT * FROM audit_event WHERE request_id = $request AND reason IS NOT NULL),
    found AS (SELECT * FROM made WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3)";

const COLUMNS: &str =
    "id, at, action, actor, request_id, reason, entity_id, license_type, pool_id, seat_no, account_id, username,
    old_values, new_values";

fn event(row: &Row) -> Result<EventRow, Stop> {
    Ok(EventRow {
        id: row.int(0)?,
        at: row.time(1)?.unwrap_or_default(),
        action: row.text(2)?,
        actor: Some(row.text(3)?),
        request_id: row.opt_text(4)?,
        reason: row.opt_text(5)?,
        entity_id: row.opt_int(6)?,
        entity_name: None,
        license_type: row.opt_text(7)?,
        pool_id: row.opt_int(8)?,
        seat_no: row.opt_int(9)?,
        account_id: row.opt_int(10)?,
        username: row.opt_text(11)?,
        old_values: row.opt_text(12)?,
        new_values: row.opt_text(13)?,
    })
}

/// The part of events that the caller may see, and which events fit.
struct Seen<'s, 'f> {
    sql: &'s dyn Sql,
    scope: Scope<'s>,
    /// The entities of the filter.
    among: Option<(EntityFilter, Scope<'s>)>,
    filter: &'f HistoryFilter,
    /// The account that has the name of the filter now, if the caller may see it.
    account_id: Option<i64>,
    pools: RefCell<Pools>,
}

/// The owners of deleted pools, and the number of events that may still be read to find them.
struct Pools {
    gone: HashMap<i64, (Option<i64>, Option<String>)>,
    left: usize,
}

impl<'s, 'f> Seen<'s, 'f> {
    fn new(sql: &'s dyn Sql, admin: &Admin, filter: &'f HistoryFilter) -> Result<Seen<'s, 'f>, Stop> {
        let scope = Scope::of(sql, admin);
        let account_id = match wanted(filter.user.as_deref()) {
            Some(user) => match find_named(sql, user)? {
                Some(row) if scope.has(row.int(2)?)? => Some(row.int(0)?),
                _ => None,
            },
            None => None,
        };
        let among = filter.entity.map(|entity| (entity, Scope::below(sql, Some(entity.id))));
        let pools = RefCell::new(Pools { gone: HashMap::new(), left: GONE_EVENTS_MAX });
        Ok(Seen { sql, scope, among, filter, account_id, pools })
    }

    fn keep(&self, mut events: Vec<EventRow>) -> Result<Vec<EventRow>, Stop> {
        self.say_whose(&mut events)?;
        let accounts = self.account_entities(&events)?;
        let before: Vec<Option<i64>> = events.iter().map(entity_before).collect();
        let entities = events.iter().filter_map(|event| event.entity_id);
        let entities: Vec<i64> =
            entities.chain(before.iter().flatten().copied()).chain(accounts.values().copied()).collect();
        self.scope.learn(entities.iter().copied())?;
        if let Some((_, among)) = &self.among {
            among.learn(entities.iter().copied())?;
        }
        let actors = match self.scope.is_all() {
            true => None,
            false => Some(visible_names(self.sql, &self.scope, events.iter().filter_map(|event| event.actor.clone()))?),
        };
        let mut kept = Vec::new();
        for (mut event, before) in events.into_iter().zip(before) {
            let holder = event.account_id.filter(|_| event.seat_no.is_some()).and_then(|id| accounts.get(&id).copied());
            let touched = [event.entity_id, before, holder];
            let mut is_visible = self.scope.is_all();
            for entity_id in touched {
                is_visible = is_visible || self.scope.visible(entity_id)?.is_some();
            }
            if !is_visible || !self.is_among(touched)? {
                continue;
            }
            if let Some(actors) = &actors {
                let is_own = |actor: &String| {
                    actors.contains(&actor.to_ascii_lowercase()) || ["sql", "cli"].contains(&actor.as_str())
                };
                event.actor = event.actor.filter(is_own);
                self.hide(&mut event, holder)?;
            }
            if self.fits(&event) {
                kept.push(event);
            }
        }
        let names = entity_names(&self.scope, kept.iter().filter_map(|event| event.entity_id))?;
        for event in &mut kept {
            event.entity_name = event.entity_id.and_then(|id| names.get(&id).cloned());
        }
        Ok(kept)
    }

    fn is_among(&self, touched: [Option<i64>; 3]) -> Result<bool, Stop> {
        let Some((entity, among)) = &self.among else { return Ok(true) };
        for id in touched.into_iter().flatten() {
            if id == entity.id || entity.below && among.has(id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes out what the caller may not see. `holder`: the entity of the account that holds the seat.
    fn hide(&self, event: &mut EventRow, holder: Option<i64>) -> Result<(), Stop> {
        if self.scope.visible(event.entity_id)?.is_none() {
            event.entity_id = None;
            event.pool_id = None;
            event.seat_no = None;
        }
        let is_of_seat = matches!(event.action.as_str(), "assign" | "release" | "seat-change");
        if is_of_seat && self.scope.visible(holder)?.is_none() {
            event.account_id = None;
            event.username = None;
        }
        for values in [&mut event.old_values, &mut event.new_values] {
            let Some(Ok(serde_json::Value::Object(mut object))) = values.as_deref().map(serde_json::from_str) else {
                continue;
            };
            let mut is_changed = false;
            for name in ["entity_id", "parent_id"] {
                if let Some(id) = object.get(name).and_then(serde_json::Value::as_i64)
                    && !self.scope.has(id)?
                {
                    object.insert(name.to_owned(), serde_json::Value::from("…"));
                    is_changed = true;
                }
            }
            if is_changed {
                *values = Some(serde_json::Value::Object(object).to_string());
            }
        }
        Ok(())
    }

    fn fits(&self, event: &EventRow) -> bool {
        let filter = self.filter;
        let is = |text: &Option<String>, found: Option<&str>| match wanted(text.as_deref()) {
            None => true,
            Some(text) => found.is_some_and(|found| found.eq_ignore_ascii_case(text)),
        };
        let is_user = |user: &str| {
            event.account_id.is_some() && event.account_id == self.account_id
                || event.username.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(user))
                || name_before(event).is_some_and(|name| name.eq_ignore_ascii_case(user))
        };
        let is_request = |id: &str| event.request_id.as_deref() == Some(request_id_of(id).as_str());
        filter.since.is_none_or(|since| event.at >= since)
            && filter.until.is_none_or(|until| event.at < until)
            && is(&filter.actor, event.actor.as_deref())
            && wanted(filter.request_id.as_deref()).is_none_or(is_request)
            && (filter.actions.is_empty() || filter.actions.contains(&event.action))
            && filter.pool_id.is_none_or(|id| event.pool_id == Some(id))
            && wanted(filter.user.as_deref()).is_none_or(is_user)
    }

    /// The entities of the accounts that hold seats.
    fn account_entities(&self, events: &[EventRow]) -> Result<HashMap<i64, i64>, Stop> {
        if self.scope.is_all() && self.among.is_none() {
            return Ok(HashMap::new());
        }
        let holders = events.iter().filter(|event| event.seat_no.is_some()).filter_map(|event| event.account_id);
        let mut ids: Vec<i64> = holders.collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = by_ids(self.sql, "SELECT id, entity_id FROM account WHERE id IN ($ids)", &[], &ids)?;
        rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
    }

    /// Says of events of seats whose pool it was. The id of a pool that is gone can be used again.
    fn say_whose(&self, events: &mut [EventRow]) -> Result<(), Stop> {
        let mut ids: Vec<i64> =
            events.iter().filter(|event| event.entity_id.is_none()).filter_map(|event| event.pool_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let index = indexed_by(self.sql.dialect(), "audit_event_of_pool");
        let mut there: HashMap<i64, (i64, String, Option<i64>)> = HashMap::new();
        for row in by_ids(self.sql, &POOLS.replace("$index", &index), &[], &ids)? {
            there.insert(row.int(0)?, (row.int(1)?, row.text(2)?, row.opt_int(3)?));
        }
        let mut pools = self.pools.borrow_mut();
        for event in events {
            let Some(pool_id) = event.pool_id else { continue };
            if event.entity_id.is_some() {
                // A change of the pool itself says it, also for the older events that follow.
                let whose = (event.entity_id, event.license_type.clone());
                if event.action == "pool-create" {
                    pools.gone.remove(&pool_id)
                } else {
                    pools.gone.insert(pool_id, whose)
                };
                continue;
            }
            let is_of = |created: &Option<i64>| created.is_none_or(|created| event.id >= created);
            let (entity_id, license_type) = match there.get(&pool_id).filter(|(_, _, created)| is_of(created)) {
                Some((entity_id, license_type, _)) => (Some(*entity_id), Some(license_type.clone())),
                None => pools.whose(self.sql, pool_id, event.id)?,
            };
            event.entity_id = entity_id;
            event.license_type = event.license_type.take().or(license_type);
        }
        Ok(())
    }
}

impl Pools {
    /// The owner of a deleted pool when this event happened, if the events before it say it.
    fn whose(&mut self, sql: &dyn Sql, pool_id: i64, event_id: i64) -> Result<(Option<i64>, Option<String>), Stop> {
        if let Some(known) = self.gone.get(&pool_id) {
            return Ok(known.clone());
        }
        let mut whose = (None, None);
        let mut events = PoolEvents::from_event(sql, pool_id, event_id, self.left);
        'read: loop {
            let chunk = events.chunk()?;
            if chunk.is_empty() {
                break;
            }
            self.left -= chunk.len().min(self.left);
            for event in chunk {
                if event.entity_id.is_some() {
                    whose = (event.entity_id, event.license_type);
                    break 'read;
                }
            }
        }
        self.gone.insert(pool_id, whose.clone());
        Ok(whose)
    }
}

/// Pools that are there, each with the event that made it: older events of the same id are of another pool. The sum keeps PostgreSQL from
/// reading the events of the pool one by one for it.
const POOLS: &str = "
    SELECT id, entity_id, license_type,
           (SELECT max(e.id + 0) FROM audit_event AS e$index
             WHERE e.entity_id = license_pool.entity_id AND e.license_type = license_pool.license_type
               AND e.pool_id IS NOT NULL AND e.seat_no IS NULL AND e.pool_id = license_pool.id AND e.action = 'pool-create')
      FROM license_pool WHERE id IN ($ids)";

fn old_value(event: &EventRow, name: &str) -> Option<serde_json::Value> {
    if !matches!(event.action.as_str(), "account-change" | "credential-change") {
        return None;
    }
    let old: serde_json::Value = serde_json::from_str(event.old_values.as_deref()?).ok()?;
    old.get(name).cloned()
}

/// Where an account or a credential was before it moved to another entity.
fn entity_before(event: &EventRow) -> Option<i64> {
    old_value(event, "entity_id")?.as_i64()
}

/// The name of an account or a credential before it was renamed.
fn name_before(event: &EventRow) -> Option<String> {
    let name = old_value(event, "username").or_else(|| old_value(event, "user_name"))?;
    name.as_str().map(str::to_owned)
}
