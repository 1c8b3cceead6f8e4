//! One event taken back.

use serde_json::Map;

use super::super::edit::{
    Cells, Column, Key, Kind, Table, Work, change, delete, expect, failed, found, in_use, make, may_delete, number,
    read,
};
use super::super::seats::{Taken, free_seat, give, may_release, take_back as release};
use super::super::{AdminRefusal, Stop, Value};
use crate::store::history::Event;

/// Whether the caller reaches what at least one of these events is about.
pub(super) fn reaches_one(work: &Work<'_>, events: &[Event]) -> Result<bool, Stop> {
    for event in events {
        let is_reached = match (event.entity_id, event.seat_no) {
            (Some(entity_id), _) => {
                // An entity that is gone was where its parent is.
                let parent = event.old_values.as_deref().and_then(|old| members(old).ok()?.get("parent_id")?.as_i64());
                work.reaches(entity_id)? || parent.map_or(Ok(false), |id| work.reaches(id))?
            }
            (None, Some(_)) => reaches_seat(work, event)?,
            (None, None) => false,
        };
        if is_reached || work.admin.entity_id.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the caller reaches the pool of a seat, or its holder if the event names one.
fn reaches_seat(work: &Work<'_>, event: &Event) -> Result<bool, Stop> {
    for (query, id) in [
        ("SELECT entity_id FROM license_pool WHERE id = $1", event.pool_id),
        ("SELECT entity_id FROM account WHERE id = $1", event.account_id),
    ] {
        let row = id.map(|id| work.first(query, &[id.into()])).transpose()?.flatten();
        if let Some(row) = row
            && work.reaches(row.int(0)?)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes an event back. `last`: the newest event of the same call.
pub(super) fn take_back(work: &Work<'_>, event: &Event, last: i64) -> Result<(), Stop> {
    match event.action.as_str() {
        "assign" => {
            let taken = seat(event)?;
            may_release(work, taken)?;
            release(work, taken)
        }
        "release" => give_back(work, event),
        "archive" => Err(not_undoable("events that were moved to a file stay there")),
        "copy" => Err(not_undoable("a database that was copied stays what it is")),
        action => {
            let Some((table, what)) = subject(action) else {
                return Err(not_undoable(&format!("'{action}' is not known here")));
            };
            match what {
                "create" => uncreate(work, table, event, last),
                "change" => unchange(work, table, event),
                _ => undelete(work, table, event),
            }
        }
    }
}

/// The table of an action, and what was done to a row of it.
fn subject(action: &str) -> Option<(Table, &str)> {
    let (subject, what) = action.rsplit_once('-')?;
    let table = match subject {
        "entity" => Table::Entity,
        "credential" => Table::Credential,
        "account" => Table::Account,
        "pool" => Table::Pool,
        "seat" => Table::Seat,
        "offer" => Table::Offer,
        "offer-module" => Table::OfferModule,
        _ => return None,
    };
    Some((table, what))
}

/// The key of the row that an event is about, as the row is called after it.
fn key(table: Table, event: &Event) -> Result<Key, Stop> {
    let missing = || failed(&format!("event {} does not say which row it is about", event.id));
    Ok(match table {
        Table::Entity | Table::Offer => Key::Id(event.entity_id.ok_or_else(missing)?),
        Table::Account => Key::Id(event.account_id.ok_or_else(missing)?),
        Table::Pool => Key::Id(event.pool_id.ok_or_else(missing)?),
        Table::Credential => Key::Name(event.username.clone().ok_or_else(missing)?),
        Table::Seat => Key::Seat(event.pool_id.ok_or_else(missing)?, event.seat_no.ok_or_else(missing)?),
        Table::OfferModule => {
            let license_type = event.license_type.as_deref().ok_or_else(missing)?;
            Key::Module(event.entity_id.ok_or_else(missing)?, license_type.parse().map_err(|_| missing())?)
        }
    })
}

fn seat(event: &Event) -> Result<Taken, Stop> {
    match (event.pool_id, event.seat_no, event.account_id) {
        (Some(pool_id), Some(seat_no), Some(account_id)) => Ok(Taken { pool_id, seat_no, account_id }),
        _ => Err(failed(&format!("event {} does not say which seat it is about", event.id))),
    }
}

/// The user gets back its seat: the same, or another one of the pool.
fn give_back(work: &Work<'_>, event: &Event) -> Result<(), Stop> {
    let taken = seat(event)?;
    let name = event.username.as_deref().unwrap_or_default();
    let gone = || AdminRefusal::NotUndoable { why: format!("pool {} is no longer there", taken.pool_id) };
    let pool = work.first("SELECT license_type FROM license_pool WHERE id = $1", &[taken.pool_id.into()])?;
    let license_type = pool.ok_or_else(gone)?.text(0)?;
    may_release(work, taken)?;
    let held = "SELECT pool_id FROM seat WHERE account_id = $1 AND license_type = $2";
    if work.first(held, &[taken.account_id.into(), license_type.as_str().into()])?.is_some() {
        return Err(not_undoable(&format!("user '{name}' holds a {license_type} seat by now")));
    }
    let same = format!(
        "SELECT seat_no FROM seat WHERE pool_id = $1 AND seat_no = $2 AND account_id IS NULL{}",
        work.for_update()
    );
    let seat_no = match work.first(&same, &[taken.pool_id.into(), taken.seat_no.into()])? {
        Some(_) => Some(taken.seat_no),
        None => free_seat(work, taken.pool_id)?,
    };
    match seat_no {
        Some(seat_no) => give(work, Taken { seat_no, ..taken }),
        None => Err(not_undoable(&format!("pool {} has no free seat for user '{name}' by now", taken.pool_id))),
    }
}

/// A row that was made goes again; a user becomes inactive.
fn uncreate(work: &Work<'_>, table: Table, event: &Event, last: i64) -> Result<(), Stop> {
    let (key, row) = found(work, table, &key(table, event)?)?;
    let values = members(event.new_values.as_deref().unwrap_or("{}"))?;
    let made: Cells = table
        .columns()
        .iter()
        .filter(|column| !is_of_key(table, column) && column.kind != Kind::Hash)
        .map(|column| (column, cell(column, values.get(column.name))))
        .collect();
    expect(table, &key, &row, &made)?;
    match table {
        Table::Account => {
            let active = table.column("active").ok_or_else(|| failed("no such column"))?;
            return match change(work, table, &key, &row, &vec![(active, Value::Int(0))]) {
                // It was made inactive.
                Err(Stop::Refused(AdminRefusal::Nothing)) => Ok(()),
                outcome => outcome.map(drop),
            };
        }
        Table::Credential => {
            // Its password is not in the history, only that it was changed.
            if work.first(&changed_since(work), &[last.into(), Value::name(&key.to_string())])?.is_some() {
                return Err(AdminRefusal::Moved { what: format!("credential {key}") }.into());
            }
        }
        Table::Pool => {
            let data = "SELECT seat_no FROM seat WHERE pool_id = $1 AND (coalesce(product_key, '') <> '' OR license_data IS NOT NULL) LIMIT 1";
            if in_use(work, &key)? == 0 && work.first(data, &[number(table, &row, "id")?.into()])?.is_some() {
                return Err(not_undoable(&format!("seats of pool {key} have got data of their own")));
            }
        }
        Table::Offer => {
            let module = "SELECT license_type FROM license_offer_module WHERE entity_id = $1 LIMIT 1";
            if work.first(module, &[number(table, &row, "entity_id")?.into()])?.is_some() {
                return Err(AdminRefusal::Moved { what: format!("the offer for entity {key}") }.into());
            }
        }
        Table::Entity | Table::Seat | Table::OfferModule => {}
    }
    may_delete(work, table, &key, &row)?;
    delete(work, table, &key)
}

/// Columns of a row get their old values, if they still have those that the event left.
fn unchange(work: &Work<'_>, table: Table, event: &Event) -> Result<(), Stop> {
    let old = members(event.old_values.as_deref().unwrap_or("{}"))?;
    let new = members(event.new_values.as_deref().unwrap_or("{}"))?;
    if old.contains_key("password_hash") || new.contains_key("password_hash") {
        return Err(not_undoable("an old password is not kept; set another one"));
    }
    let (key, row) = found(work, table, &key(table, event)?)?;
    let changed =
        || table.columns().iter().filter(|column| old.contains_key(column.name) || new.contains_key(column.name));
    let left: Cells = changed().map(|column| (column, cell(column, new.get(column.name)))).collect();
    let before: Cells = changed().map(|column| (column, cell(column, old.get(column.name)))).collect();
    expect(table, &key, &row, &left)?;
    change(work, table, &key, &row, &before).map(drop)
}

/// A row that was deleted is made again, under the same id.
fn undelete(work: &Work<'_>, table: Table, event: &Event) -> Result<(), Stop> {
    if table == Table::Credential {
        return Err(not_undoable("the password of a deleted credential is not kept; make a new one"));
    }
    let key = key(table, event)?;
    if read(work, table, &key)?.is_some() {
        return Err(not_undoable(&format!("there is another {} {key} by now", table.noun())));
    }
    let old = members(event.old_values.as_deref().unwrap_or("{}"))?;
    let cells: Cells = table
        .columns()
        .iter()
        .map(|column| match (column.name, &key) {
            ("id" | "entity_id", Key::Id(id)) if is_of_key(table, column) => (column, Value::Int(*id)),
            ("entity_id", Key::Module(entity_id, _)) => (column, Value::Int(*entity_id)),
            ("license_type", Key::Module(_, license_type)) => (column, Value::from(license_type.name())),
            (name, _) => (column, cell(column, old.get(name))),
        })
        .filter(|(_, value)| *value != Value::Null)
        .collect();
    // A root is a root again, if the caller reaches everything.
    make(work, table, &cells, false).map(drop)
}

/// Whether a column is part of what names the row: events have it apart from the values.
fn is_of_key(table: Table, column: &Column) -> bool {
    match table {
        Table::Entity | Table::Account | Table::Pool => column.name == "id",
        Table::Offer => column.name == "entity_id",
        Table::OfferModule => column.name == "entity_id" || column.name == "license_type",
        Table::Seat => column.name == "pool_id" || column.name == "seat_no",
        Table::Credential => false,
    }
}

/// A credential was changed after an event.
fn changed_since(work: &Work<'_>) -> String {
    let dialect = work.sql.dialect();
    format!(
        "SELECT id FROM audit_event WHERE id > $1 AND action = 'credential-change' AND {} = $2 LIMIT 1",
        dialect.name_key("username")
    )
}

fn members(json: &str) -> Result<Map<String, serde_json::Value>, Stop> {
    serde_json::from_str(json).map_err(|error| failed(&format!("an event holds no JSON object: {error}")))
}

/// A member of an event's values as a row has it.
fn cell(column: &Column, member: Option<&serde_json::Value>) -> Value {
    match member {
        None | Some(serde_json::Value::Null) => Value::Null,
        Some(serde_json::Value::Number(number)) => number.as_i64().map_or(Value::Null, Value::Int),
        Some(serde_json::Value::String(text)) => Value::from(text.as_str()),
        // No column has any other.
        Some(other) => Value::from(format!("{}: {other}", column.name)),
    }
}

fn not_undoable(why: &str) -> Stop {
    AdminRefusal::NotUndoable { why: why.to_owned() }.into()
}
