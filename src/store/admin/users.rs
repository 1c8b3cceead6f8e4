//! Users: accounts, with everything that each of them holds.

use std::collections::HashMap;

use jiff::Timestamp;

use super::page::{Key, Page, Start, by_ids, count, folded, has_part, indexed_by, names_from, scan, wanted};
use super::pool_events::{Since, since};
use super::pools::license_type;
use super::scope::{Among, EntityFilter, Scope, Way, entity_names, not_found};
use super::{Admin, Row, Sql, Stop, Value, first};
use crate::seats::LicenseType;

/// Which users are asked for: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserFilter {
    pub entity: Option<EntityFilter>,
    /// The beginning of the user name, in any case. An index answers this.
    pub starts_with: Option<String>,
    /// A part of the user name or the note, in any case.
    pub text: Option<String>,
    pub active: Option<bool>,
    /// Whether the user holds a seat, of whatever type.
    pub holds: Option<bool>,
    /// Holds a seat of this type.
    pub holds_type: Option<LicenseType>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    pub id: i64,
    pub username: String,
    pub entity_id: i64,
    pub entity_name: String,
    pub active: bool,
    pub note: Option<String>,
    /// One seat of each type at most, in the order of the types.
    pub held: Vec<HeldSeat>,
}

/// A seat that a user holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSeat {
    pub license_type: LicenseType,
    /// `None`: the pool is of an entity that the caller may not see.
    pub seat: Option<HeldWhere>,
}

/// Where a seat is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldWhere {
    pub pool_id: i64,
    pub seat_no: i64,
    /// The owner of the pool.
    pub entity_id: i64,
    pub entity_name: String,
    pub expires_at: Option<Timestamp>,
    /// The pool has expired: the seat is still held.
    pub is_expired: bool,
    /// `None` in lists: only [`one`] looks for it.
    pub since: Option<Since>,
}

/// The users that fit a filter, by name.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    filter: &UserFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<UserRow>, Stop> {
    let Some(among) = Among::new(sql, admin, filter.entity)? else { return Ok(Page::default()) };
    let way = among.way("account")?;
    let range = wanted(filter.starts_with.as_deref()).map(names_from);
    let text = wanted(filter.text.as_deref()).map(folded);
    let query = |from: Option<&Key>, back: bool| query(sql, filter, &way, range.as_ref(), from, back);
    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        let (text, mut values) = query(from, back);
        values.push(count(n));
        let text = text.replace("$limit", &format!("${}", values.len()));
        sql.rows(&text, &values)?.iter().map(Found::read).collect::<Result<Vec<_>, _>>()
    };
    let mut keep = |mut found: Vec<Found>| {
        found.retain(|found| {
            filter.active.is_none_or(|active| active == found.row.active)
                && filter.holds.is_none_or(|holds| holds == found.holds)
                && (filter.holds_type.is_none() || found.holds)
                && text
                    .as_ref()
                    .is_none_or(|text| has_part(text, [Some(found.row.username.as_str()), found.row.note.as_deref()]))
        });
        match way {
            Way::Sort { .. } => Ok(found),
            Way::Scan => among.retain(found, |found| found.row.entity_id),
        }
    };
    let key = |found: &Found| Key::of_text(found.row.username.to_ascii_lowercase());
    let mut page = scan(start, limit, &mut read, &key, &mut keep)?.map(|found| found.row);
    complete(sql, admin, &mut page.rows)?;
    Ok(page)
}

struct Found {
    row: UserRow,
    holds: bool,
}

impl Found {
    fn read(row: &Row) -> Result<Found, Stop> {
        let user = UserRow {
            id: row.int(0)?,
            username: row.text(1)?,
            entity_id: row.int(2)?,
            entity_name: String::new(),
            active: row.flag(3)?,
            note: row.opt_text(4)?,
            held: Vec::new(),
        };
        Ok(Found { row: user, holds: row.flag(5)? })
    }
}

/// A statement for some users by name; `$limit` stands in it for the number of rows.
fn query(
    sql: &dyn Sql,
    filter: &UserFilter,
    way: &Way,
    range: Option<&(String, String)>,
    from: Option<&Key>,
    back: bool,
) -> (String, Vec<Value>) {
    let dialect = sql.dialect();
    let key = dialect.name_key("username");
    let mut values = Vec::new();
    if let Way::Sort { root, .. } = way {
        values.push(Value::Int(*root));
    }
    let mut conditions = Vec::new();
    let mut add = |condition: &str, value: String| {
        values.push(Value::Text(value));
        conditions.push(format!("{key} {condition} ${}", values.len()));
    };
    // One lower and one upper bound: of two SQLite may take the wrong one into the index.
    let (from, from_start, from_end) = (from.map(|key| key.text.clone()), range.map(|r| &r.0), range.map(|r| &r.1));
    match (from, back) {
        (Some(from), false) => {
            match from_start.filter(|start| **start > from) {
                Some(start) => add(">=", start.clone()),
                None => add(">", from),
            }
            from_end.into_iter().for_each(|end| add("<", end.clone()));
        }
        (Some(from), true) => {
            from_start.into_iter().for_each(|start| add(">=", start.clone()));
            add("<", from_end.filter(|end| **end < from).cloned().unwrap_or(from));
        }
        (None, _) => {
            from_start.into_iter().for_each(|start| add(">=", start.clone()));
            from_end.into_iter().for_each(|end| add("<", end.clone()));
        }
    }
    let index = indexed_by(dialect, "seat_by_holder");
    let holds = match (filter.holds, filter.holds_type) {
        (None, None) => "0".to_owned(),
        (_, None) => {
            format!("CASE WHEN EXISTS (SELECT 1 FROM seat{index} WHERE account_id = account.id) THEN 1 ELSE 0 END")
        }
        (_, Some(license_type)) => {
            values.push(Value::from(license_type.name()));
            let at = values.len();
            format!(
                "CASE WHEN EXISTS (SELECT 1 FROM seat{index} WHERE account_id = account.id AND license_type = ${at}) THEN 1 ELSE 0 END"
            )
        }
    };
    let direction = if back { "DESC" } else { "ASC" };
    let columns = format!("account.id, account.username, account.entity_id, account.active, account.note, {holds}");
    let text = match way {
        Way::Sort { below, .. } => {
            conditions.insert(0, "account.entity_id = below.id".to_owned());
            let conditions = conditions.join(" AND ");
            format!(
                "{below}, found AS MATERIALIZED (
                    SELECT account.* FROM below CROSS JOIN account WHERE {conditions})
                 SELECT {columns} FROM found AS account ORDER BY {key} {direction} LIMIT $limit"
            )
        }
        Way::Scan => {
            let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
            format!("SELECT {columns} FROM account WHERE {conditions} ORDER BY {key} {direction} LIMIT $limit")
        }
    };
    (text, values)
}

/// A user that the caller may see, with since when it holds its seats.
pub fn one(sql: &dyn Sql, admin: &Admin, id: i64) -> Result<UserRow, Stop> {
    let row = first(sql, "SELECT id, username, entity_id, active, note, 0 FROM account WHERE id = $1", &[id.into()])?;
    one_of(sql, admin, row, id)
}

/// The same by the user's name, in any case.
pub fn named(sql: &dyn Sql, admin: &Admin, username: &str) -> Result<UserRow, Stop> {
    let row = find_named(sql, username)?;
    one_of(sql, admin, row, username.trim())
}

/// The account of a name: its id, name, entity, whether it is active, and note.
pub(super) fn find_named(sql: &dyn Sql, username: &str) -> Result<Option<Row>, Stop> {
    let key = sql.dialect().name_key("username");
    // A name with NUL stands in no row, and PostgreSQL would refuse the statement.
    let name = username.trim();
    if name.contains('\0') {
        return Ok(None);
    }
    first(
        sql,
        &format!("SELECT id, username, entity_id, active, note, 0 FROM account WHERE {key} = $1"),
        &[Value::name(name)],
    )
}

fn one_of(sql: &dyn Sql, admin: &Admin, row: Option<Row>, id: impl ToString) -> Result<UserRow, Stop> {
    let scope = Scope::of(sql, admin);
    let found = row.map(|row| Found::read(&row)).transpose()?;
    let mut row = match found {
        Some(found) if scope.has(found.row.entity_id)? => found.row,
        _ => return Err(not_found("user", id)),
    };
    complete(sql, admin, std::slice::from_mut(&mut row))?;
    for held in row.held.iter_mut().filter_map(|held| held.seat.as_mut()) {
        held.since = since(sql, held.pool_id, &[held.seat_no], SINCE_EVENTS_MAX)?.remove(&held.seat_no);
    }
    Ok(row)
}

/// Events of a pool that are read to find out since when a seat of it is held.
const SINCE_EVENTS_MAX: usize = 5_000;

/// Fills in what the users hold, and the names of entities.
fn complete(sql: &dyn Sql, admin: &Admin, users: &mut [UserRow]) -> Result<(), Stop> {
    let scope = Scope::of(sql, admin);
    let ids: Vec<i64> = users.iter().map(|user| user.id).collect();
    let index = indexed_by(sql.dialect(), "seat_by_holder");
    let seats =
        format!("SELECT account_id, license_type, pool_id, seat_no FROM seat{index} WHERE account_id IN ($ids)");
    let seats = by_ids(sql, &seats, &[], &ids)?;
    let mut pool_ids = seats.iter().map(|row| row.int(2)).collect::<Result<Vec<_>, _>>()?;
    pool_ids.sort_unstable();
    pool_ids.dedup();
    let pools = by_ids(sql, "SELECT id, entity_id, expires_at FROM license_pool WHERE id IN ($ids)", &[], &pool_ids)?;
    let pools: HashMap<i64, (i64, Option<Timestamp>)> =
        pools.iter().map(|row| Ok((row.int(0)?, (row.int(1)?, row.time(2)?)))).collect::<Result<_, Stop>>()?;
    let entities = users.iter().map(|user| user.entity_id).chain(pools.values().map(|(entity_id, _)| *entity_id));
    let names = entity_names(&scope, entities)?;
    let mut held: HashMap<i64, Vec<HeldSeat>> = HashMap::new();
    for row in &seats {
        let (pool_id, seat_no) = (row.int(2)?, row.int(3)?);
        let seat = match pools.get(&pool_id) {
            Some((entity_id, expires_at)) if scope.has(*entity_id)? => Some(HeldWhere {
                pool_id,
                seat_no,
                entity_id: *entity_id,
                entity_name: names.get(entity_id).cloned().unwrap_or_default(),
                expires_at: *expires_at,
                is_expired: expires_at.is_some_and(|at| at <= admin.now),
                since: None,
            }),
            _ => None,
        };
        held.entry(row.int(0)?).or_default().push(HeldSeat { license_type: license_type(row, 1)?, seat });
    }
    for user in users {
        user.entity_name = names.get(&user.entity_id).cloned().unwrap_or_default();
        user.held = held.remove(&user.id).unwrap_or_default();
        user.held.sort_by_key(|held| held.license_type.index());
    }
    Ok(())
}
