//! Rows of the tables that are edited: read, made, changed and deleted, in SQL that both databases run.
//!
//! Between here and the rest of this module a row is a list of values in the order of [`Table::columns`]. Times are text, and bytes are
//! hexadecimal text, both as the events have them; so a row can be compared with what an event left.

use super::super::{AdminRefusal, Dialect, Stop, Value};
use super::columns::{Column, Kind, Table, from_hex};
use super::work::Work;
use crate::seats::LicenseType;
use crate::store::StoreError;

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of an entity, an account, a pool; of an offer its entity.
    Id(i64),
    /// Of a credential or an account, in any case.
    Name(String),
    /// A type of the offer for this entity.
    Module(i64, LicenseType),
    /// A seat of this pool with this number.
    Seat(i64, i64),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Id(id) => write!(f, "{id}"),
            Key::Name(name) => f.write_str(name),
            Key::Module(entity_id, license_type) => write!(f, "{license_type} of entity {entity_id}"),
            Key::Seat(pool_id, seat_no) => write!(f, "{seat_no} of pool {pool_id}"),
        }
    }
}

/// Values for columns of a row.
pub(crate) type Cells = Vec<(&'static Column, Value)>;

/// A row, in the order of the table's columns.
pub(crate) fn read(work: &Work<'_>, table: Table, key: &Key) -> Result<Option<Vec<Value>>, Stop> {
    let columns: Vec<String> = table.columns().iter().map(|column| readable(work.sql.dialect(), column)).collect();
    let (condition, values) = condition(work, table, key, 1)?;
    let text = format!("SELECT {} FROM {} WHERE {condition}{}", columns.join(", "), table.name(), work.for_update());
    let Some(row) = work.first(&text, &values)? else { return Ok(None) };
    (0..columns.len()).map(|at| row.value(at).cloned()).collect::<Result<_, _>>().map(Some)
}

/// Makes a row; its key.
pub(crate) fn insert(work: &Work<'_>, table: Table, cells: &Cells) -> Result<Key, Stop> {
    // A null that is left out is null all the same, and needs no type.
    let cells: Vec<_> = cells.iter().filter(|(_, value)| *value != Value::Null).collect();
    let names: Vec<&str> = cells.iter().map(|(column, _)| column.name).collect();
    let places: Vec<String> = (1..).zip(&cells).map(|(at, (column, _))| writable(work, column, at)).collect();
    let values: Vec<Value> = cells.iter().map(|(column, value)| bound(column, value)).collect();
    let key = match table {
        Table::Credential => "user_name",
        Table::Entity | Table::Account | Table::Pool => "id",
        Table::Seat => return Err(failed("seats are made by their pool")),
        Table::Offer | Table::OfferModule => "entity_id",
    };
    let (names, places) = (names.join(", "), places.join(", "));
    let text = format!("INSERT INTO {} ({names}) VALUES ({places}){} RETURNING {key}", table.name(), work.or_nothing());
    // Another call was the first to use its key.
    let taken = || AdminRefusal::Moved { what: format!("the list of rows like this {}", table.noun()) };
    let row = work.first(&text, &values)?.ok_or_else(taken)?;
    if table == Table::Entity {
        work.forget_entities();
    }
    Ok(match table {
        Table::Credential => Key::Name(row.text(0)?),
        Table::OfferModule => {
            let license_type = cells.iter().find(|(column, _)| column.kind == Kind::LicenseType);
            Key::Module(row.int(0)?, license_type_of(license_type.map(|(_, value)| value))?)
        }
        _ => Key::Id(row.int(0)?),
    })
}

/// Changes columns of a row that was read.
pub(crate) fn update(work: &Work<'_>, table: Table, key: &Key, cells: &Cells) -> Result<(), Stop> {
    let set: Vec<String> =
        (1..).zip(cells).map(|(at, (column, _))| format!("{} = {}", column.name, writable(work, column, at))).collect();
    let mut values: Vec<Value> = cells.iter().map(|(column, value)| bound(column, value)).collect();
    let (condition, key_values) = condition(work, table, key, values.len() + 1)?;
    values.extend(key_values);
    let text = format!("UPDATE {} SET {} WHERE {condition}", table.name(), set.join(", "));
    work.change_one(|| format!("{} {key}", table.noun()), &text, &values)?;
    if table == Table::Entity {
        work.forget_entities();
    }
    Ok(())
}

/// Deletes a row that was read.
pub(crate) fn delete(work: &Work<'_>, table: Table, key: &Key) -> Result<(), Stop> {
    let (condition, values) = condition(work, table, key, 1)?;
    let text = format!("DELETE FROM {} WHERE {condition}", table.name());
    work.change_one(|| format!("{} {key}", table.noun()), &text, &values)?;
    if table == Table::Entity {
        work.forget_entities();
    }
    Ok(())
}

/// The condition that finds the row, with parameters from this number on, and their values.
fn condition(work: &Work<'_>, table: Table, key: &Key, from: usize) -> Result<(String, Vec<Value>), Stop> {
    let dialect = work.sql.dialect();
    Ok(match (table, key) {
        (Table::Entity | Table::Account | Table::Pool, Key::Id(id)) => (format!("id = ${from}"), vec![(*id).into()]),
        (Table::Offer, Key::Id(id)) => (format!("entity_id = ${from}"), vec![(*id).into()]),
        (Table::Account, Key::Name(name)) => {
            (format!("{} = ${from}", dialect.name_key("username")), vec![Value::name(name)])
        }
        (Table::Credential, Key::Name(name)) => {
            (format!("{} = ${from}", dialect.name_key("user_name")), vec![Value::name(name)])
        }
        (Table::OfferModule, Key::Module(entity_id, license_type)) => (
            format!("entity_id = ${from} AND license_type = ${}", from + 1),
            vec![(*entity_id).into(), license_type.name().into()],
        ),
        (Table::Seat, Key::Seat(pool_id, seat_no)) => {
            (format!("pool_id = ${from} AND seat_no = ${}", from + 1), vec![(*pool_id).into(), (*seat_no).into()])
        }
        _ => return Err(failed("a row is named by the key of another table")),
    })
}

/// A column in the form that rows have here.
pub(crate) fn readable(dialect: Dialect, column: &Column) -> String {
    let name = column.name;
    match (column.kind, dialect == Dialect::Postgres) {
        (Kind::Time, true) => format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"),
        (Kind::Bytes, true) => format!("upper(encode({name}, 'hex'))"),
        (Kind::Bytes, false) => format!("CASE WHEN {name} IS NOT NULL THEN hex({name}) END"),
        _ => name.to_owned(),
    }
}

/// The parameter of this number as a value for the column; on PostgreSQL also where it is null.
fn writable(work: &Work<'_>, column: &Column, at: usize) -> String {
    if !work.is_postgres() {
        return format!("${at}");
    }
    match column.kind {
        Kind::Time => format!("CAST(CAST(${at} AS TEXT) AS TIMESTAMPTZ)"),
        Kind::Bytes => format!("CAST(${at} AS BYTEA)"),
        Kind::Id(_) | Kind::Flag | Kind::Seats => format!("CAST(${at} AS BIGINT)"),
        _ => format!("CAST(${at} AS TEXT)"),
    }
}

fn bound(column: &Column, value: &Value) -> Value {
    match value {
        Value::Text(text) if column.kind == Kind::Bytes => Value::Bytes(from_hex(text).unwrap_or_default()),
        value => value.clone(),
    }
}

pub(crate) fn license_type_of(value: Option<&Value>) -> Result<LicenseType, Stop> {
    match value {
        Some(Value::Text(name)) => name.parse().map_err(|why: String| failed(&why)),
        _ => Err(failed("a row has no license type")),
    }
}

pub(crate) fn failed(why: &str) -> Stop {
    Stop::Failed(StoreError::Failed(why.to_owned()))
}
