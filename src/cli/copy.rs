//! `seatkeeper copy`: everything from an SQLite file to PostgreSQL, or back.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{CannotRun, Failure, Unsuitable};
use crate::auth;
use crate::chain::to_hex;
use crate::store::{self, Database, MoveError};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper copy --from seats.db --to postgres://seatkeeper@db1/seatkeeper
  seatkeeper copy --from postgres://seatkeeper@db1/seatkeeper --to seats.db
The service must be stopped on both. The source stays as it is: do not serve it again once the target is served.";

#[derive(Args)]
pub(super) struct CopyArgs {
    /// The source: an SQLite file, or the address of a PostgreSQL database.
    #[arg(long, value_name = "FILE|URL")]
    from: Database,
    /// The target: the address of an empty PostgreSQL database, or a new file.
    #[arg(long, value_name = "URL|FILE")]
    to: Database,
    /// An archive with older events of the SQLite file. May be given several times.
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
}

pub(super) fn copy(args: &CopyArgs) -> Result<(), Failure> {
    let copied = store::copy(&args.from, &args.archives, &args.to, auth::check_hash).map_err(told)?;
    let mut out = std::io::stdout().lock();
    for (table, rows) in &copied.rows {
        writeln!(out, "{table}: {rows}")?;
    }
    match &copied.source {
        Some(head) => writeln!(out, "head of the source: event {}, hash {}", head.event, to_hex(&head.hash))?,
        None => writeln!(out, "head of the source: none")?,
    }
    writeln!(out, "head of the copy: event {}, hash {}", copied.target.event, to_hex(&copied.target.hash))?;
    writeln!(out, "copied in {:.1} s, and verified: {}", copied.took.as_secs_f64(), args.to)?;
    Ok(())
}

fn told(error: MoveError) -> Failure {
    match error {
        MoveError::Open(error) => error.into(),
        MoveError::History(error) => CannotRun(error.to_string()).into(),
        MoveError::Usage(reason) => Unsuitable(reason).into(),
        MoveError::Broken { ref violations, .. } => {
            for violation in violations {
                eprintln!("broken: {violation}");
            }
            error.into()
        }
        refused @ MoveError::Refused { .. } => refused.into(),
    }
}
