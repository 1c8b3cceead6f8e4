//! `seatkeeper backup`: a verified copy of the database, also while the service runs.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::{Failure, FileArgs};
use crate::auth;
use crate::store::admin::kept::Task;
use crate::store::{self, CopyError};

#[derive(Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    database: FileArgs,
    /// The file to write; it replaces an earlier backup of that name once it is verified. In an existing directory the backup
    /// gets a name with the time, such as seats-20261231T230000.000Z.db.
    #[arg(value_name = "FILE|DIR")]
    target: PathBuf,
    /// Keep the newest N backups of this name in the directory, and delete older ones once the new one is verified.
    #[arg(long, value_name = "N")]
    keep: Option<NonZeroUsize>,
}

/// The `nice` value of a backup, which yields to the service: verifying the copy takes up to four cores.
const NICE: i32 = 6;

pub(super) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let database = args.database.file("use pg_dump or pg_basebackup: docs/postgres.md, \"Backups\"")?;
    // Without the right to lower its priority it competes with the service, which slows down calls a little.
    let _ = rustix::process::nice(NICE);
    let begun = Instant::now();
    let now = jiff::Timestamp::now();
    let backup = store::backup(database, &args.target, args.keep, now, auth::check_hash).map_err(told)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "backup: {}", backup.path.display())?;
    writeln!(out, "size: {} bytes", backup.bytes)?;
    writeln!(out, "made: {}, in {:.2} s, verified", now.strftime("%Y-%m-%dT%H:%M:%SZ"), begun.elapsed().as_secs_f64())?;
    writeln!(out, "schema: version {}", backup.version)?;
    match backup.head {
        Some(head) => writeln!(out, "newest event: {head}")?,
        None => writeln!(out, "newest event: none")?,
    }
    // For administrators; the backup is there all the same, and where it was made may not be known to the service's user.
    let detail = format!("{}, {} bytes, verified", backup.path.display(), backup.bytes);
    if let Err(error) = store::note_upkeep(database, Task::Backup, now, &detail) {
        tracing::debug!(%error, "the backup was not noted in the database");
    }
    for path in backup.deleted {
        writeln!(out, "deleted: {}", path.display())?;
    }
    Ok(())
}

/// Prints the rows that break an invariant, as `seatkeeper check` does.
pub(super) fn told(error: CopyError) -> Failure {
    match error {
        CopyError::Open(error) => error.into(),
        CopyError::Broken { ref violations, .. } => {
            for violation in violations {
                eprintln!("broken: {}: {}", violation.invariant, violation.row);
            }
            error.into()
        }
        other => other.into(),
    }
}
