//! `seatkeeper audit`: the history, for auditors.

mod archive;
mod head;
mod holders;
mod show;

pub(super) use head::read_key;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CannotRun, DatabaseArgs, Failure, Unsuitable};
use crate::chain::Head;
use crate::chain::sign::{PublicKey, verify_signatures};
use crate::store::history as store;
use crate::store::history::{Archived, History, HistoryError};
use crate::store::{Database, HistoryReport};

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Verify that the history is unbroken, and that the tables match it. Exit code 1 if not.
    #[command(
        after_help = "Examples:\n  seatkeeper audit verify --database seats.db\n  seatkeeper audit verify --database copy.db --head heads.jsonl --key audit.pub"
    )]
    Verify(VerifyArgs),
    /// Verify a single archive: that its events are chained and complete. Exit code 1 if not.
    #[command(
        after_help = "Example:\n  seatkeeper audit verify-archive history-until-2026.db --head heads.jsonl --key audit.pub"
    )]
    VerifyArchive(VerifyArchiveArgs),
    /// Show events of the history; with --at, the holders of seats at a past moment.
    #[command(after_help = show::EXAMPLES)]
    Show(Box<show::ShowArgs>),
    /// Print the head of the history, its newest chained event, as a line of JSON; with --key, signed.
    #[command(after_help = head::HEAD_EXAMPLES)]
    Head(head::HeadArgs),
    /// Make an Ed25519 key that signs heads, or print its public key.
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
    /// An archive with older events. May be given several times.
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
}

impl HistoryArgs {
    fn history(&self) -> Result<History, Failure> {
        let database = self.database.place()?.clone();
        if matches!(database, Database::Server(_)) && !self.archives.is_empty() {
            return Err(Unsuitable(format!(
                "{database}: --archive is for SQLite files only. On PostgreSQL all events stay in the database."
            ))
            .into());
        }
        Ok(History { database, archives: self.archives.clone() })
    }
}

#[derive(Args)]
struct VerifyArgs {
    #[command(flatten)]
    history: HistoryArgs,
    #[command(flatten)]
    heads: HeadsArgs,
}

#[derive(Args)]
struct VerifyArchiveArgs {
    /// The archive.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    heads: HeadsArgs,
}

/// Heads of the history that were kept elsewhere.
#[derive(Args)]
struct HeadsArgs {
    /// A file of heads that were kept elsewhere, one per line. Their events must be in the history, and their signatures valid.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// The public key that must have signed the heads: its 64 hexadecimal digits, or a file with them or with PEM. Then each head
    /// must be signed.
    #[arg(long, value_name = "KEY", requires = "head")]
    key: Option<String>,
}

pub(super) fn audit(args: AuditArgs) -> Result<(), Failure> {
    match args.command {
        AuditCommand::Verify(args) => verify(&args),
        AuditCommand::VerifyArchive(args) => {
            let heads = args.heads.read()?;
            told(&args.file.display(), heads, |heads| store::verify_archive(&args.file, heads))
        }
        AuditCommand::Show(args) => show::show(&args),
        AuditCommand::Head(args) => head::head(&args),
        AuditCommand::Key(args) => head::key(&args),
        AuditCommand::Archive(args) => archive::archive(&args),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let heads = args.heads.read()?;
    let history = args.history.history()?;
    told(&history.database, heads, |heads| store::verify(&history, heads))
}

/// Prints the result; returns an error if anything is broken.
fn told(
    database: &dyn std::fmt::Display,
    heads: Heads,
    verify: impl FnOnce(Vec<Head>) -> Result<HistoryReport, HistoryError>,
) -> Result<(), Failure> {
    let mut found = verify(heads.all).map_err(|e| CannotRun(e.to_string()))?;
    found.broken.extend(heads.fault);
    let mut out = std::io::stdout().lock();
    for line in &found.broken {
        writeln!(out, "broken: {line}")?;
    }
    writeln!(out, "{found}")?;
    if let Some(key) = heads.signed_by {
        writeln!(out, "the heads are signed by the key {key}")?;
    }
    match found.broken.len() {
        0 => Ok(()),
        1 => Err(format!("{database}: 1 fault in the history or against it").into()),
        n => Err(format!("{database}: {n} faults in the history or against it").into()),
    }
}

/// Heads from a file.
struct Heads {
    all: Vec<Head>,
    /// The error in their signatures.
    fault: Option<String>,
    signed_by: Option<PublicKey>,
}

impl HeadsArgs {
    fn read(&self) -> Result<Heads, CannotRun> {
        let Some(file) = &self.head else { return Ok(Heads { all: Vec::new(), fault: None, signed_by: None }) };
        let failed = |e: &dyn std::fmt::Display| CannotRun(format!("{}: {e}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|e| failed(&e))?;
        let all = Head::read_all(&text).map_err(|e| failed(&e))?;
        if all.is_empty() {
            return Err(failed(&"it has no head"));
        }
        let trusted = self.key.as_deref().map(public_key).transpose()?;
        // Without a trusted key, heads need no signature; signed heads must not have been altered.
        let is_signed = all.iter().any(|head| head.signature.is_some());
        let verified =
            if trusted.is_some() || is_signed { verify_signatures(&all, trusted.as_ref()) } else { Ok(None) };
        let (fault, signed_by) = match verified {
            Ok(signed_by) => (None, signed_by),
            Err(fault) => (Some(fault.to_string()), None),
        };
        Ok(Heads { all, fault, signed_by })
    }
}

fn public_key(text: &str) -> Result<PublicKey, CannotRun> {
    if let Ok(key) = PublicKey::parse(text) {
        return Ok(key);
    }
    let of_file = std::fs::read_to_string(text).map_err(|e| CannotRun(format!("{text}: {e}")))?;
    PublicKey::parse(&of_file).map_err(|e| CannotRun(format!("{text}: {e}")))
}

/// It is no failure if the reader closes the pipe early.
fn unless_closed(done: Result<(), HistoryError>) -> Result<(), Failure> {
    match done {
        Err(HistoryError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| CannotRun(error.to_string()).into()),
    }
}

/// Says on standard error which archives were not read.
fn tell_missing(missing: &[Archived]) {
    for archived in missing {
        eprintln!("note: {} is not read: {}", spans(archived), HistoryError::Archived(archived.clone()));
    }
}

fn spans(archived: &Archived) -> String {
    format!("a part of the history with {} events", archived.events)
}
