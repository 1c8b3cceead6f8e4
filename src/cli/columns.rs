//! Commands that add, change and delete rows. Values are arguments `COLUMN=VALUE`, with the names and rules of the tables.

use std::str::FromStr;

use clap::Args;

use super::change::ChangeArgs;
use super::{Failure, Unsuitable};
use crate::store::admin::edit::{self, Edit, Key, Table, Values};
use crate::store::admin::{Admin, AdminRefusal, Sql};

/// `COLUMN=VALUE`; no value after the sign: empty.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    column: String,
    text: String,
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Cell, String> {
        let (column, text) = text.split_once('=').ok_or("write COLUMN=VALUE")?;
        Ok(Cell { column: column.trim().to_ascii_lowercase(), text: text.to_owned() })
    }
}

/// The arguments of a command that adds a row.
#[derive(Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    pub(super) cells: Vec<Cell>,
}

/// The arguments of a command that changes the row with an id.
#[derive(Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// The id of the row.
    #[arg(value_name = "ID")]
    pub(super) id: i64,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    pub(super) cells: Vec<Cell>,
}

/// The arguments of a command that deletes the row with an id.
#[derive(Args)]
pub(super) struct IdArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// The id of the row.
    #[arg(value_name = "ID")]
    pub(super) id: i64,
}

/// The arguments of a command that changes the row with a name.
#[derive(Args)]
pub(super) struct NamedSetArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// The name of the user or credential.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    pub(super) cells: Vec<Cell>,
}

/// The arguments of a command that deletes the row with a name.
#[derive(Args)]
pub(super) struct NameArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// The name of the credential.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

/// The columns that a command accepts. Password hashes have a command of their own.
fn columns(table: Table, is_new: bool) -> impl Iterator<Item = &'static edit::Column> {
    table.columns().iter().filter(move |column| column.name != "password_hash" && (is_new || !column.is_fixed))
}

/// The end of a help text: examples, and the columns.
pub(super) fn help(table: Table, is_new: bool, examples: &str) -> String {
    let line = |column: &edit::Column| format!("  {:<18} {}\n", column.name, column.doc);
    let columns: String = columns(table, is_new).map(line).collect();
    format!("Columns (an empty VALUE is no value):\n{columns}\n{examples}")
}

/// The values of these columns.
pub(super) fn values(table: Table, is_new: bool, cells: &[Cell]) -> Result<Values, Unsuitable> {
    let mut values = Values::new();
    for cell in cells {
        let Some(column) = columns(table, is_new).find(|column| column.name == cell.column) else {
            let names: Vec<&str> = columns(table, is_new).map(|column| column.name).collect();
            return Err(Unsuitable(match table.column(&cell.column) {
                Some(column) if column.is_fixed => format!("{} of a row that is there cannot change", column.name),
                _ => format!("'{}' is no column here; there are {}", cell.column, names.join(", ")),
            }));
        };
        if values.iter().any(|(name, _)| *name == column.name) {
            return Err(Unsuitable(format!("{} is given twice", column.name)));
        }
        if is_new && column.has_default && cell.text.trim().is_empty() {
            continue;
        }
        values.push((column.name, column.parse(&cell.text).map_err(unsuitable)?));
    }
    Ok(values)
}

fn unsuitable(refusal: AdminRefusal) -> Unsuitable {
    Unsuitable(refusal.to_string())
}

/// Adds a row.
pub(super) fn create(change: &ChangeArgs, verb: &str, table: Table, values: Values) -> Result<Option<Key>, Failure> {
    let edit = Edit::Insert { table, values };
    change.make(
        verb,
        move |sql, admin| edit::apply(sql, admin, &edit),
        |key| format!("{} {key} was made", table.noun()),
    )
}

/// Changes a row.
pub(super) fn set(change: &ChangeArgs, verb: &str, table: Table, key: Key, cells: &[Cell]) -> Result<(), Failure> {
    let edit = Edit::Update { table, key, before: Vec::new(), after: values(table, false, cells)? };
    let work = move |sql: &dyn Sql, admin: &Admin| edit::apply(sql, admin, &edit);
    change.make(verb, work, |key| format!("{} {key} was changed", table.noun())).map(drop)
}

/// Deletes a row.
pub(super) fn delete(change: &ChangeArgs, verb: &str, table: Table, key: Key) -> Result<(), Failure> {
    let edit = Edit::Delete { table, key, before: Vec::new() };
    change
        .make(
            verb,
            move |sql, admin| edit::apply(sql, admin, &edit),
            |key| format!("{} {key} was deleted", table.noun()),
        )
        .map(drop)
}
