//! The change of a command: a preview, or the change and its receipt.

use std::io::Write as _;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::author::author_name;
use super::events::change;
use super::opened::{Opened, refused};
use super::table::{Format, Rows, printable};
use super::{DatabaseArgs, Failure};
use crate::store::admin::{Admin, AdminRefusal, ChangeOptions, Changed, Sql, Stop};
use crate::store::history::Event;

/// The options of every change.
#[derive(Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Show the old and new values of every row, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Name under which the history records the change [default: cli].
    #[arg(long = "as", value_name = "NAME")]
    pub(super) author: Option<String>,
    /// The reason of the change, for the history [default: the name of the command].
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// Events that a receipt shows; a preview shows all.
const SHOWN_MAX: usize = 20;

impl ChangeArgs {
    /// Makes a change, or shows its preview. `verb`: the name of the command. `said`: the sentence of the receipt.
    pub(super) fn make<T: Send + Sync + 'static>(
        &self,
        verb: &str,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
        said: impl FnOnce(&T) -> String,
    ) -> Result<Option<T>, Failure> {
        let author = self.author.as_deref().map(author_name).transpose()?;
        self.make_with(&self.database.open()?, author.as_deref(), &self.reason_or(verb), work, said)
    }

    /// The given reason, or the name of the command.
    pub(super) fn reason_or(&self, verb: &str) -> String {
        let given = self.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        given.map_or_else(|| format!("seatkeeper {verb}"), str::to_owned)
    }

    /// The same on an open database. `None`: nothing was changed, because it was a dry run, or the rows have these values already.
    pub(super) fn make_with<T: Send + Sync + 'static>(
        &self,
        opened: &Opened,
        author: Option<&str>,
        reason: &str,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
        said: impl FnOnce(&T) -> String,
    ) -> Result<Option<T>, Failure> {
        let request_id = Uuid::new_v4();
        let options = ChangeOptions { reason: Some(reason.to_owned()), dry_run: self.dry_run, expected: None };
        let mut out = std::io::stdout();
        match opened.change(request_id, author, options, work)? {
            Err(AdminRefusal::Nothing) => {
                writeln!(out, "nothing to change: all is as you ask for")?;
                Ok(None)
            }
            Err(refusal) => Err(refused(refusal)),
            Ok(changed) if self.dry_run => {
                show(&changed.events)?;
                writeln!(
                    out,
                    "dry run: nothing was changed. The receipt would say: {}",
                    printable(&said(&changed.value))
                )?;
                Ok(None)
            }
            Ok(changed) => {
                writeln!(out, "{}", printable(&said(&changed.value)))?;
                self.receipt(request_id, &changed)?;
                Ok(Some(changed.value))
            }
        }
    }

    fn receipt<T>(&self, request_id: Uuid, changed: &Changed<T>) -> Result<(), Failure> {
        let events = &changed.events;
        show(&events[..events.len().min(SHOWN_MAX)])?;
        let mut out = std::io::stdout();
        if let Some(more @ 1..) = events.len().checked_sub(SHOWN_MAX) {
            writeln!(out, "... and {more} more: seatkeeper audit show --request-id {request_id}")?;
        }
        writeln!(out, "request id: {request_id}")?;
        match events.iter().any(is_final) {
            true => writeln!(out, "undo: not possible, because the history keeps no passwords")?,
            false => writeln!(
                out,
                "undo: seatkeeper undo --database {} {request_id}",
                quoted(&self.database.place()?.to_string())
            )?,
        }
        Ok(())
    }
}

/// Whether a change cannot be undone: see [`crate::store::admin::undo`].
fn is_final(event: &Event) -> bool {
    let has_password = |values: &Option<String>| values.as_deref().is_some_and(|v| v.contains("\"password_hash\""));
    event.action == "credential-delete"
        || event.action == "credential-change" && (has_password(&event.old_values) || has_password(&event.new_values))
}

/// Events as a preview and a receipt show them.
fn show(events: &[Event]) -> Result<(), Failure> {
    let mut rows = Rows::to_stdout(Format::Table, ["change", "user", "entity", "type", "pool", "seat", "old -> new"]);
    for event in events {
        rows.row(vec![
            json!(event.action),
            json!(event.username),
            json!(event.entity_id),
            json!(event.license_type),
            json!(event.pool_id),
            json!(event.seat_no),
            json!(change(event)),
        ])?;
    }
    Ok(rows.end()?)
}

/// A word, quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        for (word, expected) in [
            ("seats.db", "seats.db"),
            ("", "''"),
            ("my seats.db", "'my seats.db'"),
            ("$(x)", "'$(x)'"),
            ("it's", "'it'\\''s'"),
            ("postgres://u@h/d?sslmode=require", "'postgres://u@h/d?sslmode=require'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
