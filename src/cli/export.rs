//! `seatkeeper export`: writes the rows of a table, with the columns that an import reads.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::import::What;
use super::listed::EntityArgs;
use super::table::{self, Rows};
use super::{DatabaseArgs, Failure};
use crate::store::admin::{Value, bulk};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper export --database seats.db users --entity 42 --below > users.csv
  seatkeeper export --database seats.db assignments --format json
Lists with other columns come from who, pool list, entity list, account list, credential list, offer list, refusals and audit show, each
with --format csv or json. Passwords are not exported.";

#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    entities: EntityArgs,
    /// The rows to export.
    #[arg(value_enum)]
    what: What,
    /// The format.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// RFC 4180, with a header, as an import reads it.
    Csv,
    /// A JSON object per line.
    Json,
}

pub(super) fn export(args: &ExportArgs) -> Result<(), Failure> {
    let opened = args.database.open()?;
    args.entities.require(&opened)?;
    let (kind, entity) = (args.what.kind(), args.entities.filter());
    let format = match args.format {
        Format::Csv => table::Format::Csv,
        Format::Json => table::Format::Json,
    };
    let mut rows = Rows::to_stdout(format, bulk::export_columns(kind));
    opened.list(
        move |sql, admin, start, limit| bulk::export(sql, admin, kind, entity, start, limit),
        |row: Vec<Value>| {
            let cell = |value: Value| match value {
                Value::Int(number) => json!(number),
                Value::Text(text) => json!(text),
                _ => serde_json::Value::Null,
            };
            Ok(rows.row(row.into_iter().map(cell).collect())?)
        },
    )?;
    Ok(rows.end()?)
}
