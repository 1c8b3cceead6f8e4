//! Entities: the tree with its numbers, and what stands in the row of each.

use std::collections::HashMap;

use jiff::Timestamp;

use super::page::{Key, Page, Start, by_ids, folded, scan, wanted};
use super::pools::slice;
use super::scope::{EntityFilter, Scope, entity_names, not_found};
use super::totals::{EntityEntry, Numbers, Totals};
use super::{Admin, Row, Sql, Stop, first};
use crate::license::{Dates, PerType};

/// Which entities are asked for: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntitiesFilter {
    /// This one, or with [`EntityFilter::below`] also those below it.
    pub entity: Option<EntityFilter>,
    /// Directly below this one.
    pub parent: Option<i64>,
    /// At the top of what the caller may see.
    pub top: bool,
    /// A part of the name, owner name or customer number, in any case; or the id.
    pub text: Option<String>,
    pub active: Option<bool>,
    /// Whether license tools know it by an owner name.
    pub owner: Option<bool>,
}

/// An entity in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityRow {
    pub id: i64,
    /// `None`: there is none that the caller may see.
    pub parent_id: Option<i64>,
    pub parent_name: Option<String>,
    pub name: String,
    pub active: bool,
    pub owner_name: Option<String>,
    pub customer_nr: Option<String>,
    /// Entities directly below it.
    pub children: i64,
    /// Of its own pools.
    pub own: Numbers,
    /// Of its pools and those of everything below it.
    pub all: Numbers,
}

/// All that is known of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    pub row: EntityRow,
    /// The entities above it that the caller may see, the topmost first, with their names.
    pub path: Vec<(i64, String)>,
    pub owner_description: Option<String>,
    pub serial_nr: Option<String>,
    pub shop_url: Option<String>,
    pub dates: Dates,
    pub note: Option<String>,
    /// Of it and everything below it, by license type.
    pub by_type: PerType<Numbers>,
    /// Something is offered to it.
    pub has_offer: bool,
}

/// The entities that fit a filter, by name. Which there may be and their numbers are those of `totals`; the rows are of this moment.
pub fn list(
    sql: &dyn Sql,
    admin: &Admin,
    totals: &Totals,
    filter: &EntitiesFilter,
    start: &Start,
    limit: usize,
) -> Result<Page<EntityRow>, Stop> {
    let scope = Scope::of(sql, admin);
    for id in [filter.entity.map(|entity| entity.id), filter.parent].into_iter().flatten() {
        if !scope.has(id)? {
            return Ok(Page::default());
        }
    }
    let text = wanted(filter.text.as_deref()).map(folded);
    let root = scope.root();
    let fits = |entity: &&EntityEntry| fits(root, totals, filter, text.as_deref(), entity);
    let key = |entity: &EntityEntry| Key { text: entity.name.clone(), number: 0, id: entity.id };
    let mut found: Vec<Key> = totals.entities.iter().filter(fits).map(key).collect();
    found.sort_unstable();

    let mut read = |from: Option<&Key>, back: bool, n: usize| {
        Ok(slice(&found, |key| key, from, back, n).into_iter().map(|key| (key, None)).collect())
    };
    let mut keep = |chunk: Vec<(Key, Option<EntityRow>)>| {
        let ids: Vec<i64> = chunk.iter().map(|(key, _)| key.id).collect();
        let mut rows = read_rows(sql, &scope, totals, &ids)?;
        let kept = chunk.into_iter().filter_map(|(key, _)| rows.remove(&key.id).map(|row| (key, Some(row))));
        Ok(kept.collect())
    };
    let page = scan(start, limit, &mut read, &|(key, _): &(Key, Option<EntityRow>)| key.clone(), &mut keep)?;
    let Page { rows, next, previous, is_partial } = page;
    Ok(Page { rows: rows.into_iter().filter_map(|(_, row)| row).collect(), next, previous, is_partial })
}

fn fits(root: Option<i64>, totals: &Totals, filter: &EntitiesFilter, text: Option<&str>, entity: &EntityEntry) -> bool {
    let is_top = match root {
        Some(root) => entity.id == root,
        None => entity.parent_id.is_none_or(|parent| totals.entity(parent).is_none()),
    };
    let is_in = |wanted: EntityFilter| entity.id == wanted.id || wanted.below && totals.is_below(entity.id, wanted.id);
    let has_text = |text: &str| {
        entity.name.contains(text)
            || entity.id.to_string() == text
            || [&entity.owner_name, &entity.customer_nr].into_iter().flatten().any(|other| folded(other).contains(text))
    };
    (!filter.top || is_top)
        && filter.parent.is_none_or(|parent| entity.parent_id == Some(parent))
        && filter.active.is_none_or(|active| active == entity.active)
        && filter.owner.is_none_or(|owner| owner == entity.owner_name.is_some())
        && text.is_none_or(has_text)
        && filter.entity.is_none_or(is_in)
        // The subtree is walked last: it costs most.
        && root.is_none_or(|root| totals.is_below(entity.id, root))
}

fn read_rows(sql: &dyn Sql, scope: &Scope<'_>, totals: &Totals, ids: &[i64]) -> Result<HashMap<i64, EntityRow>, Stop> {
    let rows = by_ids(sql, ROWS, &[], ids)?;
    let rows = rows.iter().map(|row| to_row(row, totals)).collect::<Result<Vec<_>, _>>()?;
    let rows = scope.retain(rows, |row| row.id)?;
    let names = entity_names(scope, rows.iter().filter_map(|row| row.parent_id))?;
    let complete = |mut row: EntityRow| {
        row.parent_name = row.parent_id.and_then(|id| names.get(&id).cloned());
        // One that the caller may not see.
        row.parent_id = row.parent_id.filter(|_| row.parent_name.is_some());
        (row.id, row)
    };
    Ok(rows.into_iter().map(complete).collect())
}

const ROWS: &str = "
    SELECT id, parent_id, name, active, owner_name, customer_nr FROM entity WHERE id IN ($ids)";

fn to_row(row: &Row, totals: &Totals) -> Result<EntityRow, Stop> {
    let id = row.int(0)?;
    let entry = totals.entity(id);
    Ok(EntityRow {
        id,
        parent_id: row.opt_int(1)?,
        parent_name: None,
        name: row.text(2)?,
        active: row.flag(3)?,
        owner_name: row.opt_text(4)?,
        customer_nr: row.opt_text(5)?,
        children: entry.map_or(0, |entry| entry.children),
        own: entry.map(|entry| entry.own).unwrap_or_default(),
        all: entry.map(|entry| entry.all).unwrap_or_default(),
    })
}

/// An entity that the caller may see.
pub fn one(sql: &dyn Sql, admin: &Admin, totals: &Totals, id: i64) -> Result<Entity, Stop> {
    let scope = Scope::of(sql, admin);
    let row = read_rows(sql, &scope, totals, &[id])?.remove(&id).ok_or_else(|| not_found("entity", id))?;
    let rest = first(sql, ENTITY, &[id.into()])?.ok_or_else(|| not_found("entity", id))?;
    let date = |index| -> Result<Option<Timestamp>, Stop> { rest.time(index) };
    Ok(Entity {
        path: path(sql, &scope, row.parent_id)?,
        owner_description: rest.opt_text(0)?,
        serial_nr: rest.opt_text(1)?,
        shop_url: rest.opt_text(2)?,
        dates: Dates {
            next_check: date(3)?,
            maintenance: date(4)?,
            admin_warning: date(5)?,
            expires: date(6)?,
            grace: date(7)?,
        },
        note: rest.opt_text(8)?,
        by_type: totals.by_type(Some(id)),
        has_offer: rest.flag(9)?,
        row,
    })
}

const ENTITY: &str = "
    SELECT owner_description, serial_nr, shop_url, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at, note,
           CASE WHEN EXISTS (SELECT 1 FROM license_offer WHERE entity_id = entity.id) THEN 1 ELSE 0 END
      FROM entity WHERE id = $1";

/// Entities of a path at most: a deeper tree is cut off at the top.
const DEPTH_MAX: usize = 100;

/// An entity and those above it that the caller may see, the topmost first.
pub(super) fn path(sql: &dyn Sql, scope: &Scope<'_>, from: Option<i64>) -> Result<Vec<(i64, String)>, Stop> {
    let mut path: Vec<(i64, String)> = Vec::new();
    let mut at = from;
    while let Some(id) = at.filter(|_| path.len() < DEPTH_MAX) {
        if !scope.has(id)? || path.iter().any(|(known, _)| *known == id) {
            break;
        }
        let Some(row) = first(sql, "SELECT name, parent_id FROM entity WHERE id = $1", &[id.into()])? else { break };
        path.push((id, row.text(0)?));
        at = row.opt_int(1)?;
    }
    path.reverse();
    Ok(path)
}
