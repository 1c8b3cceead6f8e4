//! `seatkeeper audit`: the history, for auditors.

mod archive;
mod head;
mod holders;
mod moment;
mod show;
mod table;

pub(super) use head::read_key;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CannotRun, DatabaseArgs, Failure};
use crate::store::audit::{Archived, History, HistoryError};

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Show events of the history; with --at, who held what at a past moment.
    #[command(after_help = show::EXAMPLES)]
    Show(Box<show::ShowArgs>),
    /// Print the head of the history, its newest chained event, as a line of JSON; signed, if a key is named.
    #[command(after_help = head::HEAD_EXAMPLES)]
    Head(head::HeadArgs),
    /// Make a key that heads are signed with (Ed25519), or print the public key of one.
    #[command(after_help = head::KEY_EXAMPLES)]
    Key(head::KeyArgs),
    /// Move old events from the database to a new file, which still verifies.
    #[command(after_help = archive::EXAMPLES)]
    Archive(archive::ArchiveArgs),
}

/// The files of a history.
#[derive(Args)]
struct HistoryArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// An archive that older events were moved to. May be given several times.
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
}

impl HistoryArgs {
    fn history(&self) -> History {
        History { database: self.database.database.clone(), archives: self.archives.clone() }
    }
}

pub(super) fn audit(args: AuditArgs) -> Result<(), Failure> {
    match args.command {
        AuditCommand::Show(args) => show::show(&args),
        AuditCommand::Head(args) => head::head(&args),
        AuditCommand::Key(args) => head::key(&args),
        AuditCommand::Archive(args) => archive::archive(&args),
    }
}

/// A reader that has seen enough closes the pipe: that is no failure.
fn unless_closed(done: Result<(), HistoryError>) -> Result<(), Failure> {
    match done {
        Err(HistoryError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| CannotRun(error.to_string()).into()),
    }
}

/// Says on standard error which events an answer cannot have.
fn tell_missing(missing: &[Archived]) {
    for archived in missing {
        eprintln!("note: {} is not read: {}", spans(archived), HistoryError::Archived(archived.clone()));
    }
}

fn spans(archived: &Archived) -> String {
    format!("a part of the history with {} events", archived.events)
}
