//! `seatkeeper restore`: replaces the database with a backup, and reports the lost events.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::backup::told;
use super::change::quoted;
use super::{Failure, FileArgs};
use crate::auth;
use crate::store::{self, History, Losses, NewestEvent, Restore, Restored};

#[derive(Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    database: FileArgs,
    /// The backup.
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// Verify the backup and show what would be lost; change nothing. The service may run.
    #[arg(long)]
    dry_run: bool,
    /// FILE is a plain copy of a database file, made while no program had the database open.
    #[arg(long)]
    stopped_copy: bool,
}

pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let request = Restore { backup: args.backup.clone(), dry_run: args.dry_run, is_whole: args.stopped_copy };
    let database =
        args.database.file("use pg_restore, or the files of pg_basebackup: docs/postgres.md, \"Backups\"")?;
    let restored = store::restore(database, &request, jiff::Timestamp::now(), auth::check_hash);
    let restored = restored.map_err(told)?;
    let mut out = io::stdout().lock();
    writeln!(out, "backup: {}, {} bytes, verified", args.backup.display(), restored.bytes)?;
    if restored.version < restored.version_now {
        let (from, to) = (restored.version, restored.version_now);
        writeln!(out, "schema: version {from} in the backup, version {to} in the restored database")?;
    }
    match &restored.head {
        Some(head) => writeln!(out, "newest event of the backup: {head}")?,
        None => writeln!(out, "newest event of the backup: none")?,
    }
    show_history(&mut out, &restored.history, restored.head.as_ref())?;
    if let Some(reason) = &restored.owner_not_set {
        writeln!(out, "owner: not set: {reason}")?;
    }
    if args.dry_run {
        if !restored.in_use_by.is_empty() {
            writeln!(out, "in use: {}; stop it before you restore", restored.in_use_by.join(", "))?;
        }
        writeln!(out, "dry run: nothing was changed")?;
        return Ok(());
    }
    show_kept(&mut out, &restored)?;
    writeln!(out, "restored: {}", restored.database.display())?;
    Ok(())
}

fn show_history(out: &mut impl Write, history: &History, head: Option<&NewestEvent>) -> io::Result<()> {
    match history {
        History::None => writeln!(out, "lost: nothing, there is no history to lose"),
        History::Unknown(reason) => {
            writeln!(out, "lost: unknown, because the database cannot be read: {reason}")
        }
        History::Continued(losses) => show_losses(out, losses),
        History::Behind(own) => {
            writeln!(out, "lost: nothing, the database is older than the backup, which has {own} events more")
        }
        History::Parted { losses, own, after: Some(after) } => {
            writeln!(
                out,
                "warning: the histories part after event {after}: both have events of their own, the backup {own}. It is of another \
                 database, or of the time before a restore."
            )?;
            show_losses(out, losses)
        }
        History::Parted { losses, after: None, .. } => {
            let events =
                if head.is_some() { "has no event in common with" } else { "has no events; it may be older than" };
            writeln!(out, "warning: the backup {events} this database. Is it of another database?")?;
            show_losses(out, losses)
        }
    }
}

fn show_losses(out: &mut impl Write, losses: &Losses) -> io::Result<()> {
    if losses.events == 0 {
        return writeln!(out, "lost: nothing, the backup has every event");
    }
    writeln!(out, "lost: {} events, from {} to {}", losses.events, losses.from, losses.to)?;
    for (action, events) in &losses.by_action {
        writeln!(out, "  {events} {action}")?;
    }
    for event in &losses.first {
        writeln!(out, "  event {} at {}: {} {}", event.id, event.at, event.action, event.what)?;
    }
    let more = losses.events - i64::try_from(losses.first.len()).unwrap_or(0);
    if more > 0 { writeln!(out, "  and {more} more") } else { Ok(()) }
}

fn show_kept(out: &mut impl Write, restored: &Restored) -> io::Result<()> {
    let Some(kept) = &restored.kept else {
        return writeln!(out, "kept: nothing, there was no database");
    };
    let with_wal = if kept.has_wal { ", with its -wal" } else { "" };
    writeln!(out, "kept: {}{with_wal}", kept.path.display())?;
    if matches!(restored.history, History::Unknown(_)) {
        return writeln!(out, "undo: not by restore, because these files cannot be read; keep them for a closer look");
    }
    let flag = if kept.has_wal { "" } else { "--stopped-copy " };
    let [database, kept] = [&restored.database, &kept.path].map(|path| quoted(&path.display().to_string()));
    writeln!(out, "undo: seatkeeper restore --database {database} {flag}{kept}")
}
