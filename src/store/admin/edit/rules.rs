//! Which rows an administrator may make, change and delete.

use super::super::{AdminRefusal, Stop, Value};
use super::columns::{Column, Table};
use super::rows::{Cells, Key};
use super::work::Work;
use super::{number, text, value_of};

/// Seats that one change adds to a pool or removes from it at most. On SQLite all other changes wait meanwhile, about a quarter of a second;
/// on PostgreSQL the change takes some seconds, and twice: for its preview and for its confirmation.
const fn seats_at_once_max(is_postgres: bool) -> i64 {
    if is_postgres { 1_000_000 } else { 100_000 }
}

/// Why a column that is fixed cannot change.
pub(crate) const fn fixed(table: Table) -> &'static str {
    match table {
        Table::Pool => "of a pool cannot change: set seats_total to 0 and make a new pool",
        Table::Offer | Table::OfferModule => "of an offer cannot change: withdraw it and make a new one",
        _ => "cannot change: others refer to it",
    }
}

/// `is_new`: there is no row of this key, so that it need not be looked for.
pub(crate) fn may_insert(work: &Work<'_>, table: Table, cells: &Cells, is_new: bool) -> Result<(), Stop> {
    let new = New(cells);
    // An account has two.
    let by_name = is_new && new.find("id").is_none();
    match table {
        Table::Entity => {
            parent(work, new.get("parent_id"))?;
            is_free(work, new.find("id"), "SELECT id FROM entity WHERE id = $1")?;
            is_free(work, new.find("owner_name"), "SELECT id FROM entity WHERE owner_name = $1")
        }
        Table::Credential => {
            belongs(work, new.get("entity_id"))?;
            if by_name { Ok(()) } else { name_is_free(work, table, new.find("user_name")) }
        }
        Table::Account => {
            belongs(work, new.get("entity_id"))?;
            is_free(work, new.find("id"), "SELECT id FROM account WHERE id = $1")?;
            if by_name { Ok(()) } else { name_is_free(work, table, new.find("username")) }
        }
        Table::Pool => {
            belongs(work, new.get("entity_id"))?;
            is_free(work, new.find("id"), "SELECT id FROM license_pool WHERE id = $1")?;
            in_order(new.get("starts_at"), new.get("expires_at"))?;
            seats_at_once(work, new.number("seats_total"))
        }
        Table::Seat => {
            Err(AdminRefusal::Guard("Seats are made by raising seats_total of their pool.".to_owned()).into())
        }
        Table::Offer => {
            belongs(work, new.get("entity_id"))?;
            is_free(work, new.find("entity_id"), "SELECT entity_id FROM license_offer WHERE entity_id = $1")
        }
        Table::OfferModule => {
            belongs(work, new.get("entity_id"))?;
            let offer = "SELECT entity_id FROM license_offer WHERE entity_id = $1";
            if work.first(offer, &[new.get("entity_id").clone()])?.is_none() {
                return Err(AdminRefusal::Guard("The entity has no offer: make that first.".to_owned()).into());
            }
            let module = "SELECT entity_id FROM license_offer_module WHERE entity_id = $1 AND license_type = $2";
            if work.first(module, &[new.get("entity_id").clone(), new.get("license_type").clone()])?.is_some() {
                return Err(taken("license_type", "is part of the offer already"));
            }
            Ok(())
        }
    }
}

/// `row`: as it is; the caller reaches it. `changes`: what will be other.
pub(crate) fn may_update(work: &Work<'_>, table: Table, key: &Key, row: &[Value], changes: &Cells) -> Result<(), Stop> {
    let new = New(changes);
    match table {
        Table::Entity => {
            if let Some((_, parent_id)) = new.find("parent_id") {
                own_root(work, number(table, row, "id")?, "move it")?;
                parent(work, parent_id)?;
            }
            is_free(work, new.find("owner_name"), "SELECT id FROM entity WHERE owner_name = $1")
        }
        Table::Credential => {
            let user_name = text(table, row, "user_name");
            let locks_out = ["user_name", "entity_id", "role", "active"];
            if work.is_own(user_name) && changes.iter().any(|(column, _)| locks_out.contains(&column.name)) {
                return Err(AdminRefusal::Own.into());
            }
            if let Some((_, entity_id)) = new.find("entity_id") {
                belongs(work, entity_id)?;
            }
            new_name(work, table, user_name, new.find("user_name"))
        }
        Table::Account => {
            if let Some((_, entity_id)) = new.find("entity_id") {
                belongs(work, entity_id)?;
            }
            new_name(work, table, text(table, row, "username"), new.find("username"))
        }
        Table::Pool => {
            let then = |name| new.find(name).map_or(value_of(table, row, name), |(_, value)| value);
            in_order(then("starts_at"), then("expires_at"))?;
            if let Some((_, Value::Int(seats_total))) = new.find("seats_total") {
                seats_at_once(work, seats_total - number(table, row, "seats_total")?)?;
                let in_use = in_use(work, key)?;
                if *seats_total < in_use {
                    return Err(too_few(key, *seats_total, in_use));
                }
            }
            Ok(())
        }
        Table::Seat | Table::Offer | Table::OfferModule => Ok(()),
    }
}

pub(crate) fn may_delete(work: &Work<'_>, table: Table, key: &Key, row: &[Value]) -> Result<(), Stop> {
    match table {
        Table::Entity => own_root(work, number(table, row, "id")?, "delete it"),
        Table::Credential if work.is_own(text(table, row, "user_name")) => Err(AdminRefusal::Own.into()),
        Table::Account => Err(AdminRefusal::Guard(
            "Users are not deleted, because their ids stay in the history: make this one inactive.".to_owned(),
        )
        .into()),
        Table::Seat => {
            Err(AdminRefusal::Guard("Seats are removed by lowering seats_total of their pool.".to_owned()).into())
        }
        Table::Pool => {
            let in_use = in_use(work, key)?;
            if in_use > 0 {
                let why =
                    format!("Pool {key} cannot be deleted: {in_use} of its seats are in use. Release them first.");
                return Err(AdminRefusal::Guard(why).into());
            }
            seats_at_once(work, number(table, row, "seats_total")?)
        }
        Table::Credential | Table::Offer | Table::OfferModule => Ok(()),
    }
}

/// The values of a new row, or those that change.
struct New<'c>(&'c Cells);

impl<'c> New<'c> {
    fn find(&self, name: &str) -> Option<(&'static Column, &'c Value)> {
        self.0.iter().find(|(column, _)| column.name == name).map(|(column, value)| (*column, value))
    }

    fn get(&self, name: &str) -> &'c Value {
        self.find(name).map_or(&Value::Null, |(_, value)| value)
    }

    fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(number) => *number,
            _ => 0,
        }
    }
}

/// Whether the entity that a row is to belong to is one of the caller's.
fn belongs(work: &Work<'_>, entity_id: &Value) -> Result<(), Stop> {
    match entity_id {
        Value::Int(id) => work.require_entity(*id),
        _ => Err(taken("entity_id", "must not be empty")),
    }
}

/// Whether an entity may lie under this one.
fn parent(work: &Work<'_>, parent_id: &Value) -> Result<(), Stop> {
    match parent_id {
        Value::Int(id) => work.require_entity(*id),
        // Only the whole tree has room beside its roots.
        _ if work.admin.entity_id.is_none() => Ok(()),
        _ => Err(taken("parent_id", "must name one of your entities: a new one lies under it")),
    }
}

/// The entity that the caller's own rights begin at stays where it is: under another one the caller would reach other entities.
fn own_root(work: &Work<'_>, entity_id: i64, what: &str) -> Result<(), Stop> {
    if work.admin.entity_id == Some(entity_id) {
        let what = format!("your own rights begin at entity {entity_id}, so that another administrator must {what}");
        return Err(AdminRefusal::OutOfScope { what }.into());
    }
    Ok(())
}

/// Whether no row has the value of a unique column. `query`: whether one has.
fn is_free(work: &Work<'_>, new: Option<(&'static Column, &Value)>, query: &str) -> Result<(), Stop> {
    match new {
        Some((column, value)) if *value != Value::Null && work.first(query, std::slice::from_ref(value))?.is_some() => {
            let why = if column.name == "owner_name" { "belongs to another entity" } else { "is in use already" };
            Err(taken(column.name, why))
        }
        _ => Ok(()),
    }
}

/// A name that is the same but for its case is no new name.
fn new_name(work: &Work<'_>, table: Table, before: &str, after: Option<(&'static Column, &Value)>) -> Result<(), Stop> {
    let is_same = matches!(after, Some((_, Value::Text(name))) if name.eq_ignore_ascii_case(before));
    if is_same { Ok(()) } else { name_is_free(work, table, after) }
}

fn name_is_free(work: &Work<'_>, table: Table, new: Option<(&'static Column, &Value)>) -> Result<(), Stop> {
    let Some((column, Value::Text(name))) = new else { return Ok(()) };
    let key = work.sql.dialect().name_key(column.name);
    let query = format!("SELECT {} FROM {} WHERE {key} = $1", column.name, table.name());
    match work.first(&query, &[Value::name(name)])? {
        Some(_) => {
            Err(taken(column.name, &format!("'{name}' is in use already; names compare without regard to case")))
        }
        None => Ok(()),
    }
}

fn in_order(starts_at: &Value, expires_at: &Value) -> Result<(), Stop> {
    match (starts_at, expires_at) {
        // Of one form, times sort as they read.
        (Value::Text(starts), Value::Text(expires)) if starts >= expires => {
            Err(taken("expires_at", "must be after starts_at"))
        }
        _ => Ok(()),
    }
}

fn seats_at_once(work: &Work<'_>, seats: i64) -> Result<(), Stop> {
    let max = seats_at_once_max(work.is_postgres());
    if seats.abs() > max {
        return Err(taken("seats_total", &format!("may change by {max} at a time: change it in steps")));
    }
    Ok(())
}

/// Seats of a pool that are taken at this moment.
pub(crate) fn in_use(work: &Work<'_>, pool: &Key) -> Result<i64, Stop> {
    let Key::Id(pool_id) = pool else { return Ok(0) };
    let text = format!("SELECT seats_in_use FROM {} WHERE id = $1", work.pool_use());
    work.first(&text, &[(*pool_id).into()])?.map_or(Ok(0), |row| row.int(0))
}

pub(crate) fn too_few(pool: &Key, seats_total: i64, in_use: i64) -> Stop {
    let why = format!(
        "Pool {pool} cannot have {seats_total} seats: {in_use} are in use. Release {} first.",
        in_use - seats_total
    );
    AdminRefusal::Guard(why).into()
}

fn taken(field: &'static str, why: &str) -> Stop {
    AdminRefusal::Invalid { field, why: why.to_owned() }.into()
}
