//! `seatkeeper migrate`: migrates an older database to this program's version of the schema.

use std::io::Write as _;

use clap::Args;

use super::{DatabaseArgs, Failure};
use crate::auth;
use crate::store::{self, Database, SCHEMA_VERSION};

#[derive(Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Migrate a copy, check it, report the result, and remove it. The database is not changed.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn migrate(args: &MigrateArgs) -> Result<(), Failure> {
    let database = args.database.place()?;
    let mut out = std::io::stdout().lock();
    if args.dry_run {
        let Some(tried) = store::try_migration(database, auth::check_hash)? else { return nothing_to_do(&mut out) };
        writeln!(
            out,
            "would migrate from version {} to version {} in about {:.1} s; {}",
            tried.from,
            tried.to,
            tried.took.as_secs_f64(),
            match database {
                Database::File(_) => "a copy of it was migrated and removed",
                Database::Server(_) => "it was migrated and checked, and that was undone",
            }
        )?;
        for violation in &tried.violations {
            writeln!(out, "broken afterwards: {violation}")?;
        }
        return match tried.violations.len() {
            0 => Ok(()),
            1 => Err(format!("{database}: 1 row would break an invariant").into()),
            n => Err(format!("{database}: {n} rows would break an invariant").into()),
        };
    }
    match store::migrate(database)? {
        None => nothing_to_do(&mut out),
        Some(done) => {
            let kept = done.copy.map(|copy| format!("; the database as it was is in {}", copy.display()));
            Ok(writeln!(
                out,
                "migrated from version {} to version {} in {:.1} s{}",
                done.from,
                done.to,
                done.took.as_secs_f64(),
                kept.unwrap_or_default()
            )?)
        }
    }
}

fn nothing_to_do(out: &mut impl std::io::Write) -> Result<(), Failure> {
    Ok(writeln!(out, "version {SCHEMA_VERSION} already: nothing to do")?)
}
