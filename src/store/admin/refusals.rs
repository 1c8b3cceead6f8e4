//! Refusals: calls that were refused, the newest first, as far as they are kept.

use std::collections::HashSet;

use jiff::Timestamp;

use super::credentials::visible_names;
use super::moment::ids_between;
use super::page::{Key, Page, Start, by_keys, count, folded, has_part, scan, wanted};
use super::scope::{EntityFilter, Scope, entity_names, not_found};
use super::{Admin, Row, Sql, Stop, Value, first};
use crate::seats::LicenseType;

/// Which refusals are asked for: those that fit all of it. Names compare without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusalFilter {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    pub entity: Option<EntityFilter>,
    pub license_type: Option<LicenseType>,
    pub code: Option<String>,
    pub operation: Option<String>,
    /// The credential of the caller.
    pub actor: Option<String>,
    /// No credential was proved: the sign-in failed.
    pub unproved: bool,
    /// The user that the call was about.
    pub user: Option<String>,
    pub address: Option<String>,
    /// A part of the message.
    pub text: Option<String>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalRow {
    pub id: i64,
    pub at: Timestamp,
    /// In the message to the client it follows `Err-`.
    pub request_id: String,
    /// `None`: no credential was proved, or it is one that the caller may not see.
    pub actor: Option<String>,
    /// Whether a credential was proved.
    pub is_proved: bool,
    pub operation: String,
    pub code: String,
    pub message: String,
    /// The provider entity, as the call named it. It need not exist.
    pub entity_id: Option<i64>,
    pub entity_name: Option<String>,
    pub username: Option<String>,
    pub license_type: Option<String>,
    pub address: Option<String>,
}

/// The refusals that fit a filter, the newest first.
///
/// A caller of a subtree sees those of its own credentials; of others those that are about its entities, unless they name a user that it may
/// not see. A sign-in that failed is seen where it names an entity of the caller.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    filter: &RefusalFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<RefusalRow>, Stop> {
    let scope = Scope::of(sql, admin);
    let among = match filter.entity {
        Some(entity) if !scope.has(entity.id)? => return Ok(Page::default()),
        Some(EntityFilter { id, below: true }) => Some(Scope::below(sql, Some(id))),
        _ => None,
    };
    let only = filter.entity.filter(|entity| !entity.below).map(|entity| entity.id);
    let (low, high) = ids_between(sql, "refusal", filter.since, filter.until)?;
    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        let from = from.map(|key| key.id);
        // Newest first: what follows a row has a lower id.
        let (statement, values) = match back {
            false => (NEWEST, [Value::Int(from.unwrap_or(high).min(high)), Value::Int(low), count(n)]),
            true => (OLDEST, [Value::Int(from.unwrap_or(low).max(low.saturating_sub(1))), Value::Int(high), count(n)]),
        };
        sql.rows(&statement.replace("$columns", COLUMNS), &values)?.iter().map(refusal).collect::<Result<Vec<_>, _>>()
    };
    let mut keep = |found: Vec<RefusalRow>| {
        let found = visible(sql, &scope, found)?;
        if let Some(among) = &among {
            among.learn(found.iter().filter_map(|row| row.entity_id))?;
        }
        let mut kept = Vec::new();
        for row in found {
            let is_among = match (&among, only, row.entity_id) {
                (None, None, _) => true,
                (_, Some(only), id) => id == Some(only),
                (Some(among), None, Some(id)) => among.has(id)?,
                (Some(_), None, None) => false,
            };
            if is_among && fits(filter, &row) {
                kept.push(row);
            }
        }
        Ok(kept)
    };
    scan(start, limit, &mut read, &|row: &RefusalRow| Key::of_id(row.id), &mut keep)
}

fn fits(filter: &RefusalFilter, row: &RefusalRow) -> bool {
    let is = |wanted_text: &Option<String>, text: Option<&str>| match wanted(wanted_text.as_deref()) {
        None => true,
        Some(wanted) => text.is_some_and(|text| text.eq_ignore_ascii_case(wanted)),
    };
    filter.since.is_none_or(|since| row.at >= since)
        && filter.until.is_none_or(|until| row.at < until)
        && filter.license_type.is_none_or(|wanted| row.license_type.as_deref() == Some(wanted.name()))
        && is(&filter.code, Some(&row.code))
        && is(&filter.operation, Some(&row.operation))
        && is(&filter.actor, row.actor.as_deref())
        && (!filter.unproved || !row.is_proved)
        && is(&filter.user, row.username.as_deref())
        && is(&filter.address, row.address.as_deref())
        && wanted(filter.text.as_deref()).is_none_or(|text| has_part(&folded(text), [Some(row.message.as_str())]))
}

const NEWEST: &str = "SELECT $columns FROM refusal WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3";

const OLDEST: &str = "SELECT $columns FROM refusal WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";

const COLUMNS: &str = "id, at, request_id, actor, operation, code, message, entity_id, username, license_type, address";

fn refusal(row: &Row) -> Result<RefusalRow, Stop> {
    let actor = row.opt_text(3)?;
    Ok(RefusalRow {
        id: row.int(0)?,
        at: row.time(1)?.unwrap_or_default(),
        request_id: row.text(2)?,
        is_proved: actor.is_some(),
        actor,
        operation: row.text(4)?,
        code: row.text(5)?,
        message: row.text(6)?,
        entity_id: row.opt_int(7)?,
        entity_name: None,
        username: row.opt_text(8)?,
        license_type: row.opt_text(9)?,
        address: row.opt_text(10)?,
    })
}

/// The refusals that the caller may see, without values that it may not see, and with the names of entities.
pub(super) fn visible(sql: &dyn Sql, scope: &Scope<'_>, found: Vec<RefusalRow>) -> Result<Vec<RefusalRow>, Stop> {
    let mut kept = found;
    if !scope.is_all() {
        scope.learn(kept.iter().filter_map(|row| row.entity_id))?;
        let actors = visible_names(sql, scope, kept.iter().filter_map(|row| row.actor.clone()))?;
        let others = users_of_others(sql, scope, kept.iter().filter_map(|row| row.username.clone()))?;
        let mut visible = Vec::new();
        for mut row in kept {
            let is_own = row.actor.as_ref().is_some_and(|actor| actors.contains(&actor.to_ascii_lowercase()));
            let is_about_own = scope.visible(row.entity_id)?.is_some();
            let names_other = row.username.as_ref().is_some_and(|name| others.contains(&name.to_ascii_lowercase()));
            if is_own || is_about_own && !names_other {
                if !is_own {
                    row.actor = None;
                    row.address = None;
                }
                visible.push(row);
            }
        }
        kept = visible;
    }
    let names = entity_names(scope, kept.iter().filter_map(|row| row.entity_id))?;
    for row in &mut kept {
        row.entity_name = row.entity_id.and_then(|id| names.get(&id).cloned());
    }
    Ok(kept)
}

/// The names among these that are users which the caller may not see, in small letters.
fn users_of_others(
    sql: &dyn Sql,
    scope: &Scope<'_>,
    names: impl IntoIterator<Item = String>,
) -> Result<HashSet<String>, Stop> {
    let names: HashSet<String> =
        names.into_iter().map(|name| name.to_ascii_lowercase()).filter(|name| !name.contains('\0')).collect();
    let keys: Vec<Value> = names.into_iter().map(Value::Text).collect();
    let key = sql.dialect().name_key("username");
    let rows = by_keys(sql, &format!("SELECT username, entity_id FROM account WHERE {key} IN ($ids)"), &[], &keys)?;
    let rows = rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect::<Result<Vec<_>, Stop>>()?;
    scope.learn(rows.iter().map(|(_, entity_id)| *entity_id))?;
    let mut others = HashSet::new();
    for (name, entity_id) in rows {
        if !scope.has(entity_id)? {
            others.insert(name.to_ascii_lowercase());
        }
    }
    Ok(others)
}

/// The refusal of a request that the caller may see. The id may begin with `Err-`.
pub fn of_request(sql: &dyn Sql, admin: &Admin, request_id: &str) -> Result<RefusalRow, Stop> {
    find(sql, admin, request_id)?.ok_or_else(|| not_found("refusal", request_id.trim()))
}

pub(super) fn find(sql: &dyn Sql, admin: &Admin, request_id: &str) -> Result<Option<RefusalRow>, Stop> {
    let id = request_id_of(request_id);
    if id.contains('\0') {
        return Ok(None);
    }
    let text = format!("SELECT {COLUMNS} FROM refusal WHERE request_id = $1 ORDER BY id DESC LIMIT 1");
    let found = first(sql, &text, &[Value::from(id)])?.map(|row| refusal(&row)).transpose()?;
    let found = visible(sql, &Scope::of(sql, admin), found.into_iter().collect())?;
    Ok(found.into_iter().next())
}

/// A request id as it is stored, out of what people paste: `Err-…; message`, in any case.
pub(super) fn request_id_of(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let id = text.strip_prefix("err-").unwrap_or(&text);
    let end = id.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(id.len());
    if end == 36 { id[..end].to_owned() } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_found_in_what_people_paste() {
        let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        for pasted in [
            id,
            " 8E03978E-40D5-43DD-BC93-6894A57F9324 ",
            &format!("Err-{id}"),
            &format!("err-{id}; All seats are in use"),
        ] {
            assert_eq!(request_id_of(pasted), id, "{pasted}");
        }
        for other in ["", "Err-", "bob", "Err-1234", "deadbeef"] {
            assert_ne!(request_id_of(other).len(), 36, "{other}");
        }
    }
}
