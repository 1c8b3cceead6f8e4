//! `seatkeeper attention`: what needs attention, with the command that lists it.

use clap::Args;
use serde_json::{Value, json};

use super::change::quoted;
use super::table::{Format, Rows};
use super::{DatabaseArgs, Failure};
use crate::seats::counted;
use crate::store::admin::home::{self, Home, NEARLY_FULL, Upkeep};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper attention --database seats.db
  seatkeeper attention --database seats.db --format json";

#[derive(Args)]
pub(super) struct AttentionArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How to write it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn attention(args: &AttentionArgs) -> Result<(), Failure> {
    let opened = args.database.open()?;
    let totals = opened.totals()?;
    let home = opened.read(move |sql, admin| home::read(sql, admin, &totals))?;
    let mut rows = Rows::to_stdout(args.format, ["what", "number", "detail", "list"]);
    let database = quoted(&args.database.place()?.to_string());
    for (what, number, detail, list) in lines(&home) {
        let command = |list: String| {
            let (noun, rest) = list.split_once(" --").unwrap_or((&list, ""));
            format!("seatkeeper {noun} --database {database} --{rest}")
        };
        rows.row(vec![json!(what), number, json!(detail), json!(list.map(command))])?;
    }
    Ok(rows.end()?)
}

type Line = (String, Value, Option<String>, Option<String>);

fn lines(home: &Home) -> Vec<Line> {
    let pools = |what: String, number: i64, options: String| -> Line {
        (what, json!(number), None, Some(format!("pool list {options}")))
    };
    let mut lines = vec![
        pools("full pools".to_owned(), home.full, "--full 100 --state open".to_owned()),
        pools(
            format!("pools at {NEARLY_FULL} % or more"),
            home.nearly_full,
            format!("--full {NEARLY_FULL} --state open"),
        ),
    ];
    for (days, number) in home.expiring {
        lines.push(pools(format!("pools that expire within {days} days"), number, format!("--expires-within {days}")));
    }
    let (expired, seats) = home.expired_in_use;
    let mut held = pools("expired pools in use".to_owned(), expired, "--state expired --in-use".to_owned());
    held.2 = Some(counted(seats, "seat"));
    lines.push(held);
    let refusals = &home.refusals;
    let codes: Vec<String> = refusals.by_code.iter().map(|(code, number)| format!("{code}: {number}")).collect();
    let more = if refusals.is_partial { ", and more" } else { "" };
    let list = "refusals --since 24h".to_owned();
    lines.push((
        "refusals of the last 24 hours".to_owned(),
        json!(refusals.total),
        Some(format!("{}{more}", codes.join(", "))),
        Some(list),
    ));
    let names: Vec<&str> = home.failing.iter().map(|failing| failing.user_name.as_str()).collect();
    let more = if home.failing_more { ", and more" } else { "" };
    lines.push((
        "credentials that fail to sign in".to_owned(),
        json!(home.failing.len()),
        Some(format!("{}{more}", names.join(", "))),
        Some("credential list --failing".to_owned()),
    ));
    for (what, upkeep) in [("last backup", &home.backup), ("last verification", &home.check)] {
        lines.push((what.to_owned(), Value::Null, Some(done(upkeep.as_ref())), None));
    }
    lines
}

fn done(upkeep: Option<&Upkeep>) -> String {
    match upkeep {
        None => "never".to_owned(),
        Some(Upkeep { at, detail: None }) => at.to_string(),
        Some(Upkeep { at, detail: Some(detail) }) => format!("{at}: {detail}"),
    }
}
