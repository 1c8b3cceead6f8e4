//! Credentials: who may call, when and from where each was last used, and what it has open.

use jiff::Timestamp;

use super::page::{Key, Page, Start, by_keys, count, folded, has_part, names_from, scan, wanted};
use super::scope::{Among, EntityFilter, Scope, Way, entity_names, not_found};
use super::{Admin, Row, Sql, Stop, Value, first};
use crate::seats::Role;

/// Which credentials are asked for: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialFilter {
    pub entity: Option<EntityFilter>,
    /// The beginning of the user name, in any case. An index answers this.
    pub starts_with: Option<String>,
    /// A part of the user name or the note, in any case.
    pub text: Option<String>,
    pub role: Option<Role>,
    pub active: Option<bool>,
    /// Has failed to sign in since it last succeeded.
    pub failing: bool,
    /// Was not used since this moment, or never.
    pub unused_since: Option<Timestamp>,
}

/// A credential: never its password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    pub user_name: String,
    pub entity_id: i64,
    pub entity_name: String,
    pub role: Role,
    pub active: bool,
    pub note: Option<String>,
    /// `None`: never, as far as it was noted.
    pub last_used_at: Option<Timestamp>,
    pub last_address: Option<String>,
    /// Since it last succeeded.
    pub failures: i64,
    pub last_failure_at: Option<Timestamp>,
    pub last_failure_address: Option<String>,
    /// Tickets of the NetServer login that have not expired; at most [`OPEN_MAX`] are counted.
    pub tickets: i64,
    /// Sign-ins to these pages that have not expired; counted like the tickets.
    pub sessions: i64,
}

/// Tickets and sessions of one credential are counted up to this number.
pub const OPEN_MAX: i64 = 1_000;

/// The credentials that fit a filter, by name.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    filter: &CredentialFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<CredentialRow>, Stop> {
    let Some(among) = Among::new(sql, admin, filter.entity)? else { return Ok(Page::default()) };
    let way = among.way("credential")?;
    let range = wanted(filter.starts_with.as_deref()).map(names_from);
    let text = wanted(filter.text.as_deref()).map(folded);
    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        let (text, mut values) = query(sql, &way, range.as_ref(), from, back);
        values.push(count(n));
        let text = format!("{text} LIMIT ${}", values.len());
        sql.rows(&text, &values)?.iter().map(credential).collect::<Result<Vec<_>, _>>()
    };
    let mut keep = |mut found: Vec<CredentialRow>| {
        found.retain(|row| {
            filter.role.is_none_or(|role| role == row.role)
                && filter.active.is_none_or(|active| active == row.active)
                && (!filter.failing || row.failures > 0)
                && filter.unused_since.is_none_or(|since| row.last_used_at.is_none_or(|at| at < since))
                && text.as_ref().is_none_or(|text| has_part(text, [Some(row.user_name.as_str()), row.note.as_deref()]))
        });
        match way {
            Way::Sort { .. } => Ok(found),
            Way::Scan => among.retain(found, |row| row.entity_id),
        }
    };
    let key = |row: &CredentialRow| Key::of_text(row.user_name.to_ascii_lowercase());
    let mut page = scan(start, limit, &mut read, &key, &mut keep)?;
    complete(sql, admin, &mut page.rows)?;
    Ok(page)
}

fn query(
    sql: &dyn Sql,
    way: &Way,
    range: Option<&(String, String)>,
    from: Option<&Key>,
    back: bool,
) -> (String, Vec<Value>) {
    let key = sql.dialect().name_key("credential.user_name");
    let mut values = Vec::new();
    let (below, table) = match way {
        Way::Sort { root, below } => {
            values.push(Value::Int(*root));
            (*below, "below CROSS JOIN credential")
        }
        Way::Scan => ("", "credential"),
    };
    let mut conditions = Vec::new();
    let mut add = |condition: &str, value: String| {
        values.push(Value::Text(value));
        conditions.push(format!("{key} {condition} ${}", values.len()));
    };
    let from = from.map(|key| key.text.clone());
    // One lower and one upper bound, the narrower ones.
    let (mut lower, mut upper) = (range.map(|range| (">=", range.0.clone())), range.map(|range| range.1.clone()));
    match (from, back) {
        (Some(from), false) if lower.as_ref().is_none_or(|(_, start)| *start <= from) => lower = Some((">", from)),
        (Some(from), true) if upper.as_ref().is_none_or(|end| *end >= from) => upper = Some(from),
        _ => {}
    }
    if let Some((operator, value)) = lower {
        add(operator, value);
    }
    if let Some(value) = upper {
        add("<", value);
    }
    if matches!(way, Way::Sort { .. }) {
        conditions.push("credential.entity_id = below.id".to_owned());
    }
    let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
    let direction = if back { "DESC" } else { "ASC" };
    let text = format!(
        "{below} SELECT {COLUMNS} FROM {table} LEFT JOIN credential_use AS used ON {} = {key}
          WHERE {conditions} ORDER BY {key} {direction}",
        sql.dialect().name_key("used.user_name")
    );
    (text, values)
}

const COLUMNS: &str = "credential.user_name, credential.entity_id, credential.role, credential.active, credential.note,
    used.last_used_at, used.last_address, used.failures, used.last_failure_at, used.last_failure_address";

fn credential(row: &Row) -> Result<CredentialRow, Stop> {
    Ok(CredentialRow {
        user_name: row.text(0)?,
        entity_id: row.int(1)?,
        entity_name: String::new(),
        role: row.text(2)?.parse().map_err(|e| Stop::Failed(crate::store::StoreError::Failed(e)))?,
        active: row.flag(3)?,
        note: row.opt_text(4)?,
        last_used_at: row.time(5)?,
        last_address: row.opt_text(6)?,
        failures: row.opt_int(7)?.unwrap_or(0),
        last_failure_at: row.time(8)?,
        last_failure_address: row.opt_text(9)?,
        tickets: 0,
        sessions: 0,
    })
}

/// A credential that the caller may see, by its name in any case.
pub fn one(sql: &dyn Sql, admin: &Admin, user_name: &str) -> Result<CredentialRow, Stop> {
    let name = user_name.trim();
    let key = sql.dialect().name_key("credential.user_name");
    let text = format!(
        "SELECT {COLUMNS} FROM credential LEFT JOIN credential_use AS used ON {} = {key} WHERE {key} = $1",
        sql.dialect().name_key("used.user_name")
    );
    let row = match name.contains('\0') {
        true => None,
        false => first(sql, &text, &[Value::name(name)])?,
    };
    let scope = Scope::of(sql, admin);
    let mut row = match row.map(|row| credential(&row)).transpose()? {
        Some(row) if scope.has(row.entity_id)? => row,
        _ => return Err(not_found("credential", name)),
    };
    complete(sql, admin, std::slice::from_mut(&mut row))?;
    Ok(row)
}

/// Ends the tickets and sessions of a credential that the caller may see; how many. They are not part of the history.
pub fn sign_out(sql: &dyn Sql, admin: &Admin, user_name: &str) -> Result<u64, Stop> {
    let row = one(sql, admin, user_name)?;
    let key = sql.dialect().name_key("user_name");
    let end =
        |table: &str| sql.change(&format!("DELETE FROM {table} WHERE {key} = $1"), &[Value::name(&row.user_name)]);
    Ok(end("ticket")? + end("session")?)
}

/// Fills in the names of entities, and what is open.
fn complete(sql: &dyn Sql, admin: &Admin, rows: &mut [CredentialRow]) -> Result<(), Stop> {
    let names = entity_names(&Scope::of(sql, admin), rows.iter().map(|row| row.entity_id))?;
    let keys: Vec<Value> = rows.iter().map(|row| Value::name(&row.user_name)).collect();
    let open = |table: &str| -> Result<std::collections::HashMap<String, i64>, Stop> {
        let key = sql.dialect().name_key("credential.user_name");
        let of = sql.dialect().name_key(&format!("{table}.user_name"));
        let text = format!(
            "SELECT credential.user_name, (SELECT count(*) FROM (
                        SELECT 1 FROM {table} WHERE {of} = {key} AND {table}.expires_at > $1 LIMIT {OPEN_MAX}) AS open)
               FROM credential WHERE {key} IN ($ids)"
        );
        let rows = by_keys(sql, &text, &[Value::Time(admin.now)], &keys)?;
        rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
    };
    let (tickets, sessions) = (open("ticket")?, open("session")?);
    for row in rows {
        row.entity_name = names.get(&row.entity_id).cloned().unwrap_or_default();
        row.tickets = tickets.get(&row.user_name).copied().unwrap_or(0);
        row.sessions = sessions.get(&row.user_name).copied().unwrap_or(0);
    }
    Ok(())
}

/// The names among these that are credentials which the caller may see, in small letters.
pub(super) fn visible_names(
    sql: &dyn Sql,
    scope: &Scope<'_>,
    names: impl IntoIterator<Item = String>,
) -> Result<std::collections::HashSet<String>, Stop> {
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !name.contains('\0'));
    let key = sql.dialect().name_key("user_name");
    let keys: Vec<Value> = names.into_iter().map(Value::Text).collect();
    let rows = by_keys(sql, &format!("SELECT user_name, entity_id FROM credential WHERE {key} IN ($ids)"), &[], &keys)?;
    let rows = rows
        .iter()
        .map(|row| Ok((row.text(0)?.to_ascii_lowercase(), row.int(1)?)))
        .collect::<Result<Vec<_>, Stop>>()?;
    Ok(scope.retain(rows, |(_, entity_id)| *entity_id)?.into_iter().map(|(name, _)| name).collect())
}
