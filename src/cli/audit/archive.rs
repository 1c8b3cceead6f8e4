//! `seatkeeper audit archive`: moves old events to a file.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::chain::to_hex;
use crate::cli::moment::moment;
use crate::cli::{CannotRun, Failure, FileArgs};
use crate::store::history;

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper audit archive --database seats.db --before 2026-01-01 history-until-2026.db
  seatkeeper audit verify --database seats.db --archive history-until-2026.db
The service may run meanwhile. If the command is interrupted, repeat it with the same file.";

#[derive(Args)]
pub(super) struct ArchiveArgs {
    #[command(flatten)]
    database: FileArgs,
    /// Move the events before this moment: 2027-01-31 (midnight in UTC), 2027-01-31T12:00:00Z, or how long ago: 365d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Timestamp,
    /// The new file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn archive(args: &ArchiveArgs) -> Result<(), Failure> {
    let database = args.database.file("all events stay in the database")?;
    let file = args.file.display();
    let moved = history::archive(database, args.before, &args.file).map_err(|e| CannotRun(e.to_string()))?;
    let mut out = std::io::stdout().lock();
    match moved.archived {
        None => writeln!(out, "nothing to move: no event before {:.3} is chained and is not the newest", args.before)?,
        Some(part) if moved.deleted == 0 => writeln!(
            out,
            "nothing to move: {file} was there, and its {} events, {} to {}, are no longer in the database; name a new file for \
             newer events",
            part.events, part.first_event, part.last_event
        )?,
        Some(part) => writeln!(
            out,
            "moved: {} events, {} to {} (until {}), to {file}{}; its last hash is {}",
            part.events,
            part.first_event,
            part.last_event,
            part.until,
            if moved.resumed { ", which an earlier run had written" } else { "" },
            to_hex(&part.hash)
        )?,
    }
    Ok(())
}
