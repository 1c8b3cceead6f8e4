//! `seatkeeper audit`: the history, for auditors.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DatabaseArgs, Failure};
use crate::audit::Head;
use crate::store;

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Verify that the history is unbroken, and that the tables are what it leads to. Exit code 1 if not.
    #[command(
        after_help = "Examples:\n  seatkeeper audit verify --database seats.db\n  seatkeeper audit verify --database copy.db --head heads.jsonl"
    )]
    Verify(VerifyArgs),
}

#[derive(Args)]
struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Heads of the history that were kept elsewhere, one a line.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
}

pub(super) fn audit(args: AuditArgs) -> Result<(), Failure> {
    match args.command {
        AuditCommand::Verify(args) => verify(&args),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let database = &args.database.database;
    let heads = match &args.head {
        Some(file) => heads(file)?,
        None => Vec::new(),
    };
    let found = store::verify_history(database, heads)?;
    let mut out = std::io::stdout().lock();
    for line in &found.broken {
        writeln!(out, "broken: {line}")?;
    }
    writeln!(out, "{found}")?;
    match found.broken.len() {
        0 => Ok(()),
        n => Err(format!("{}: {n} faults in the history or against it", database.display()).into()),
    }
}

fn heads(file: &std::path::Path) -> Result<Vec<Head>, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let heads = Head::read_all(&text).map_err(|e| format!("{name}: {e}"))?;
    if heads.is_empty() { Err(format!("{name}: no head stands in it").into()) } else { Ok(heads) }
}
