//! `seatkeeper audit show`: events, or the holders of seats at a past moment.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{HistoryArgs, holders, tell_missing, unless_closed};
use crate::chain::to_hex;
use crate::cli::Failure;
use crate::cli::events::change;
use crate::cli::moment::moment;
use crate::cli::table::{Format, Rows};
use crate::store::admin::file::FileRow as _;
use crate::store::admin::history::EventRow;
use crate::store::history::{self, ACTIONS, EntitySelection, Event, Selection};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper audit show --database seats.db --since 7d --user backup01
  seatkeeper audit show --database seats.db --entity 42 --below --action assign,release --format csv > seats.csv
  seatkeeper audit show --database seats.db --request-id 6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11
  seatkeeper audit show --database seats.db --at 2026-12-31 --entity 42";

#[derive(Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    history: HistoryArgs,
    /// Show the holders of seats at this moment, instead of events. TIME is as for --since.
    #[arg(
        long, value_name = "TIME", value_parser = moment,
        conflicts_with_all = ["since", "until", "actor", "request_id", "actions", "limit", "newest_first"]
    )]
    at: Option<Timestamp>,
    /// Only events at this moment or later: 2027-01-31 (midnight in UTC), 2027-01-31T12:00:00Z, or how long ago: 7d, 12h, 30m.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only events before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only events of this entity: its own, those of its pools and their seats, of its accounts and credentials, and of seats
    /// that its accounts hold in other entities' pools.
    #[arg(long, value_name = "ID")]
    entity: Option<i64>,
    /// Also events of the entities below it.
    #[arg(long, requires = "entity")]
    below: bool,
    /// Only events about this user: the holder of a seat, an account, a credential. An account is found under all its names.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only changes that this credential made; 'sql' and 'cli' are changes by hand and by the command line.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only events of this pool id. It may have belonged to several pools in turn.
    #[arg(long, value_name = "ID")]
    pool: Option<i64>,
    /// Only events of one call: the id in the log, or in the message of a refusal.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only these actions, such as assign,release.
    #[arg(long = "action", value_name = "ACTION", value_delimiter = ',', value_parser = action)]
    actions: Vec<String>,
    /// At most this many events.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Newest first. Without it oldest first.
    #[arg(long)]
    newest_first: bool,
    /// The output format.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

fn action(text: &str) -> Result<String, String> {
    if ACTIONS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no such action; the actions are {}", ACTIONS.join(", ")))
}

pub(super) fn show(args: &ShowArgs) -> Result<(), Failure> {
    let history = args.history.history()?;
    let entity = args.entity.map(|id| EntitySelection { id, below: args.below });
    let user = args.user.as_deref().map(name);
    if let Some(at) = args.at {
        let selection = history::MomentSelection { at, entity, pool_id: args.pool, user };
        return holders::show(&history, &selection, args.format);
    }
    let selection = Selection {
        since: args.since,
        until: args.until,
        entity,
        user,
        actor: args.actor.as_deref().map(name),
        request_id: args.request_id.as_deref().map(|id| id.trim().trim_start_matches("Err-").to_owned()),
        actions: args.actions.clone(),
        pool_id: args.pool,
        events_max: args.limit,
        newest_first: args.newest_first,
    };
    let columns = if args.format == Format::Table { TABLE.to_vec() } else { columns() };
    let mut rows = Rows::to_stdout(args.format, columns);
    let of = if args.format == Format::Table { for_people } else { for_programs };
    let shown = history::events(&history, &selection, &mut |event| rows.row(of(event)));
    unless_closed(shown.and_then(|missing| {
        rows.end()?;
        tell_missing(&missing);
        Ok(())
    }))
}

/// Names are stored without blanks at their ends.
fn name(text: &str) -> String {
    text.trim().to_owned()
}

/// Those of every file of events, and the hash.
fn columns() -> Vec<&'static str> {
    EventRow::COLUMNS.iter().copied().chain(["hash"]).collect()
}

fn for_programs(event: &Event) -> Vec<Value> {
    let object = |text: &Option<String>| {
        text.as_deref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))).unwrap_or(Value::Null)
    };
    vec![
        json!(event.id),
        json!(event.at),
        json!(event.action),
        json!(event.actor),
        json!(event.request_id),
        json!(event.reason),
        json!(event.entity_id),
        json!(event.license_type),
        json!(event.pool_id),
        json!(event.seat_no),
        json!(event.account_id),
        json!(event.username),
        object(&event.old_values),
        object(&event.new_values),
        json!(event.hash.as_deref().map(to_hex)),
    ]
}

const TABLE: &[&str] =
    &["id", "at", "action", "user", "actor", "entity", "type", "pool", "seat", "change", "reason", "request_id"];

fn for_people(event: &Event) -> Vec<Value> {
    vec![
        json!(event.id),
        json!(event.at),
        json!(event.action),
        json!(event.username),
        json!(event.actor),
        json!(event.entity_id),
        json!(event.license_type),
        json!(event.pool_id),
        json!(event.seat_no),
        json!(change(event)),
        json!(event.reason),
        json!(event.request_id),
    ]
}
