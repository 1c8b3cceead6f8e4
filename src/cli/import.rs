//! `seatkeeper import`: reads a table as CSV. Each line adds or changes a row, or leaves it as it is.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::change::ChangeArgs;
use super::opened::refused;
use super::{CannotRun, Failure};
use crate::auth;
use crate::store::admin::bulk::{self, Import, Imported, Table};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper import --database seats.db users users.csv --dry-run
  seatkeeper import --database seats.db assignments seats.csv --enroll --reason 'order 4711'
  seatkeeper export --database seats.db entities --format csv | sed 's/old/new/' | seatkeeper import --database seats.db entities -
The first line names the columns, as 'seatkeeper export' does; columns that are left out stay as they are.";

/// The kinds of rows that are imported and exported.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum What {
    Entities,
    Users,
    Assignments,
    Pools,
    Credentials,
}

impl What {
    pub(super) const fn kind(self) -> bulk::Kind {
        match self {
            What::Entities => bulk::Kind::Entities,
            What::Users => bulk::Kind::Users,
            What::Assignments => bulk::Kind::Assignments,
            What::Pools => bulk::Kind::Pools,
            What::Credentials => bulk::Kind::Credentials,
        }
    }
}

#[derive(Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The kind of the rows.
    #[arg(value_enum)]
    what: What,
    /// The CSV file; '-' is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// With assignments: add users that do not exist.
    #[arg(long)]
    enroll: bool,
}

pub(super) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let kind = args.what.kind();
    let table = Table::read(kind, &bytes(args)?).map_err(refused)?;
    let import = Import { kind, table, enroll: args.enroll, check_hash: auth::check_hash };
    let said = |imported: &Imported| {
        let Imported { made, changed, unchanged } = imported;
        format!("imported {}: {made} made, {changed} changed, {unchanged} as they were", kind.name())
    };
    args.change.make("import", move |sql, admin| bulk::import(sql, admin, &import), said).map(drop)
}

/// Reads one byte more than an import may have: enough to refuse it.
fn bytes(args: &ImportArgs) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let max = bulk::BYTES_MAX as u64 + 1;
    let read = match args.file.to_str() {
        Some("-") => std::io::stdin().take(max).read_to_end(&mut bytes),
        _ => std::fs::File::open(&args.file).and_then(|file| file.take(max).read_to_end(&mut bytes)),
    };
    read.map_err(|e| CannotRun(format!("{}: {e}", args.file.display())))?;
    Ok(bytes)
}
