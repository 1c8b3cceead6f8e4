//! Exports: the rows of a table with the columns that an import reads, so that what was exported can be changed and imported again.
//! Password hashes are not exported.

use super::super::edit::{Column, readable};
use super::super::page::{Key, Page, Start, count, scan};
use super::super::scope::{Among, EntityFilter};
use super::super::{Admin, Dialect, Row, Sql, Stop, Value};
use super::{Kind, assignments, rows};

/// The columns of an export.
pub fn export_columns(kind: Kind) -> Vec<&'static str> {
    match rows::table(kind) {
        Some(_) => columns(kind).iter().map(|column| column.name).collect(),
        None => assignments::COLUMNS.to_vec(),
    }
}

/// Some rows of an export, by their ids or names, with a value for each of its columns: text, a number, or null. `entity`: whose rows; of
/// assignments whose pools.
pub fn export(
    sql: &dyn Sql,
    admin: &Admin,
    kind: Kind,
    entity: Option<EntityFilter>,
    start: &Start,
    limit: usize,
) -> Result<Page<Vec<Value>>, Stop> {
    let Some(among) = Among::new(sql, admin, entity)? else { return Ok(Page::default()) };
    let mut read = |from: Option<&Key>, _: bool, n: usize| {
        let (text, mut values) = query(sql.dialect(), kind, from);
        values.push(count(n));
        let text = format!("{text} LIMIT ${}", values.len());
        sql.rows(&text, &values)?.iter().map(|row| exported(kind, row)).collect::<Result<Vec<_>, _>>()
    };
    let mut keep = |found: Vec<Exported>| among.retain(found, |row| row.entity_id);
    let page = scan(start, limit, &mut read, &|row: &Exported| row.key.clone(), &mut keep)?;
    Ok(page.map(|row| row.values))
}

struct Exported {
    key: Key,
    entity_id: i64,
    values: Vec<Value>,
}

fn columns(kind: Kind) -> Vec<&'static Column> {
    let columns = rows::table(kind).map_or(&[][..], |table| table.columns());
    columns.iter().filter(|column| column.name != "password_hash").collect()
}

/// The rows behind a key. Their first columns are those of the key and the entity.
fn query(dialect: Dialect, kind: Kind, from: Option<&Key>) -> (String, Vec<Value>) {
    let id = from.map_or(0, |key| key.id);
    let Some(table) = rows::table(kind) else {
        let pool_id = from.map_or(0, |key| key.number);
        return (ASSIGNMENTS.to_owned(), vec![pool_id.into(), id.into()]);
    };
    let columns: Vec<String> = columns(kind).into_iter().map(|column| readable(dialect, column)).collect();
    let (columns, table) = (columns.join(", "), table.name());
    match kind {
        Kind::Credentials => {
            let key = dialect.name_key("user_name");
            let text = format!("SELECT user_name, entity_id, {columns} FROM {table} WHERE {key} > $1 ORDER BY {key}");
            (text, vec![from.map_or(String::new(), |key| key.text.clone()).into()])
        }
        _ => {
            let entity = if kind == Kind::Entities { "id" } else { "entity_id" };
            (format!("SELECT id, {entity}, {columns} FROM {table} WHERE id > $1 ORDER BY id"), vec![id.into()])
        }
    }
}

const ASSIGNMENTS: &str = "
    SELECT seat.seat_no, pool.entity_id, account.username, pool.license_type, pool.entity_id, seat.pool_id, seat.seat_no
      FROM seat CROSS JOIN account CROSS JOIN license_pool AS pool
     WHERE (seat.pool_id, seat.seat_no) > ($1, $2) AND account.id = seat.account_id AND pool.id = seat.pool_id
     ORDER BY seat.pool_id, seat.seat_no";

fn exported(kind: Kind, row: &Row) -> Result<Exported, Stop> {
    let key = match kind {
        Kind::Credentials => Key::of_text(row.text(0)?.to_ascii_lowercase()),
        Kind::Assignments => Key { text: String::new(), number: row.int(5)?, id: row.int(0)? },
        _ => Key::of_id(row.int(0)?),
    };
    let values = (2..2 + export_columns(kind).len()).map(|at| row.value(at).cloned());
    Ok(Exported { key, entity_id: row.int(1)?, values: values.collect::<Result<_, _>>()? })
}
