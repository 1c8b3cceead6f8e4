//! Lines that are rows: found by their key, and made or changed.

use std::collections::HashMap;

use super::super::edit::{Cells, Column, Key, Table, Work, change, look_up, make, not_found};
use super::super::{AdminRefusal, Stop, Value};
use super::text::Line;
use super::{Import, Kind, Outcome};
use crate::seats::UserName;

/// The table whose rows the lines are; `None`: of assignments there is none.
pub(super) const fn table(kind: Kind) -> Option<Table> {
    match kind {
        Kind::Entities => Some(Table::Entity),
        Kind::Users => Some(Table::Account),
        Kind::Assignments => None,
        Kind::Pools => Some(Table::Pool),
        Kind::Credentials => Some(Table::Credential),
    }
}

pub(super) fn import(work: &Work<'_>, table: Table, import: &Import, line: &Line) -> Result<Outcome, Stop> {
    let mut cells = Cells::with_capacity(line.cells.len());
    for (name, text) in &line.cells {
        let Some(column) = table.column(name) else { continue };
        if column.has_default && text.trim().is_empty() {
            continue;
        }
        let value = column.parse(text)?;
        if let ("password_hash", Value::Text(hash)) = (*name, &value) {
            let why = |why: String| column.invalid(why.strip_prefix("password_hash ").unwrap_or(&why));
            (import.check_hash)(hash).map_err(why)?;
        }
        cells.push((column, value));
    }
    let found_by = key(table, line, &cells);
    let found = match &found_by {
        Some(key) => look_up(work, table, key)?,
        None => None,
    };
    let Some((key, row)) = found else {
        // A user that is named by an id alone is no new one.
        if let (Table::Account, Some(key), None) = (table, &found_by, line.filled("username")) {
            return Err(not_found("user", key));
        }
        make(work, table, &cells, found_by.is_some())?;
        return Ok(Outcome::Made);
    };
    if let Some(Key::Name(name)) = &found_by {
        // A name keeps the spelling that it came with first.
        let is_name = |column: &Column| ["username", "user_name"].contains(&column.name);
        let is_same = |value: &Value| matches!(value, Value::Text(text) if text.eq_ignore_ascii_case(name));
        cells.retain(|(column, value)| !(is_name(column) && is_same(value)));
    }
    match change(work, table, &key, &row, &cells) {
        Ok(_) => Ok(Outcome::Changed),
        Err(Stop::Refused(AdminRefusal::Nothing)) => Ok(Outcome::Unchanged),
        Err(stop) => Err(stop),
    }
}

/// The lines in an order in which each entity comes after the one above it, if that is among them; else in their own order.
pub(super) fn parents_first(lines: &[Line]) -> Vec<&Line> {
    let number = |line: &Line, column: &str| line.filled(column).and_then(|text| text.parse::<i64>().ok());
    let by_id: HashMap<i64, usize> =
        lines.iter().enumerate().rev().filter_map(|(at, line)| Some((number(line, "id")?, at))).collect();
    let mut is_placed = vec![false; lines.len()];
    let mut order = Vec::with_capacity(lines.len());
    for at in 0..lines.len() {
        // Up to the first that has its place; a circle ends where it comes to itself.
        let mut above = vec![at];
        while let Some(parent) = above.last().and_then(|at| by_id.get(&number(&lines[*at], "parent_id")?))
            && !is_placed[*parent]
            && !above.contains(parent)
            && above.len() < DEPTH_MAX
        {
            above.push(*parent);
        }
        for at in above.into_iter().rev() {
            if !std::mem::replace(&mut is_placed[at], true) {
                order.push(&lines[at]);
            }
        }
    }
    order
}

/// Of a tree of entities in an import: deeper ones must be in their order.
const DEPTH_MAX: usize = 100;

/// The key of the row that a line is about; `None`: it is a new one.
fn key(table: Table, line: &Line, cells: &Cells) -> Option<Key> {
    let id = cells.iter().find_map(|(column, value)| match (column.name, value) {
        ("id", Value::Int(id)) => Some(*id),
        _ => None,
    });
    let name = match table {
        Table::Credential => line.filled("user_name"),
        Table::Account => line.filled("username"),
        _ => None,
    };
    let by_name = || name.map(|name| Key::Name(UserName::from(name).as_str().to_owned()));
    id.map(Key::Id).or_else(by_name)
}
