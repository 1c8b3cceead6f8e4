//! `seatkeeper undo`: undoes a change.

use clap::Args;
use uuid::Uuid;

use super::Failure;
use super::author::author_name;
use super::change::ChangeArgs;
use crate::seats::counted;
use crate::store::admin::undo::{self, Undo, Undone};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper undo --database seats.db 6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11 --dry-run
  seatkeeper undo --database seats.db 6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11 --as anna --reason 'wrong customer'
The id is on the receipt of the change, and in 'seatkeeper audit show'. What has changed since is not undone.";

#[derive(Args)]
pub(super) struct UndoArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The request id of the change.
    #[arg(value_name = "REQUEST-ID", value_parser = request_id)]
    request_id: Uuid,
}

fn request_id(text: &str) -> Result<Uuid, String> {
    let text = text.trim();
    let id = text.strip_prefix("Err-").unwrap_or(text);
    id.parse().map_err(|_| "a request id looks like 6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11".to_owned())
}

pub(super) fn undo(args: &UndoArgs) -> Result<(), Failure> {
    let author = args.change.author.as_deref().map(author_name).transpose()?;
    let request_id = args.request_id;
    let reason = undo::reason(request_id, args.change.reason.as_deref());
    let request = Undo { request_id, events: None };
    let said = |undone: &Undone| {
        let events = counted(i64::try_from(undone.events).unwrap_or(i64::MAX), "change");
        format!("undone: {events} of {request_id}")
    };
    let opened = args.change.database.open()?;
    let work =
        move |sql: &dyn crate::store::admin::Sql, admin: &crate::store::admin::Admin| undo::undo(sql, admin, &request);
    args.change.make_with(&opened, author.as_deref(), &reason, work, said).map(drop)
}
