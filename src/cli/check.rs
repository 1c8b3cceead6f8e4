//! `seatkeeper check`: finds errors in a database.

mod report;

use std::io::Write as _;

use clap::Args;

use super::config::{say_ok, test, warn_of_unknown};
use super::table::printable;
use super::{DatabaseArgs, Failure};
use crate::auth;
use crate::config::{Flags, Sources};
use crate::store::{self, SCHEMA_VERSION};

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print a text to paste into a bug report: versions, system, numbers and the result of the check; no names, addresses or
    /// passwords. It also works if the database is damaged or missing.
    #[arg(long)]
    report: bool,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    if args.report {
        let sources = Sources::of_process(args.database.config.as_deref(), Flags::default());
        return report::report(args.database.named().map(|named| &named.database), &sources);
    }
    warn_of_unknown(&Sources::of_process(None, Flags::default()));
    if let Some(file) = &args.database.config {
        test(file)?;
        say_ok(file)?;
        if args.database.database.is_none() {
            return Ok(());
        }
    }
    let database = args.database.place()?;
    let checked = store::examine(database, auth::check_hash)?;
    let mut out = std::io::stdout().lock();
    for violation in &checked.violations {
        // Without a reader the exit code still says it.
        let _ = writeln!(out, "broken: {}", printable(&violation.to_string()));
    }
    let is_older = checked.version < SCHEMA_VERSION;
    if is_older {
        let told = writeln!(
            out,
            "version {}: its file and schema were checked, its rows were not. Run 'seatkeeper migrate', which brings it to \
             version {SCHEMA_VERSION}, and check again.",
            checked.version
        );
        if checked.violations.is_empty() {
            told?;
        }
    }
    match checked.violations.len() {
        0 if is_older => Ok(()),
        0 => Ok(writeln!(out, "ok: every invariant holds")?),
        1 => Err(format!("{database}: 1 row breaks an invariant").into()),
        n => Err(format!("{database}: {n} rows break an invariant").into()),
    }
}
