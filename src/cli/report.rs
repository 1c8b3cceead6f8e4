//! `seatkeeper report`: the licenses that an entity had and used in a period, for its customer.

use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::moment::moment;
use super::table::{Format, Rows, printable};
use super::{DatabaseArgs, Failure};
use crate::seats::LicenseType;
use crate::store::admin::EntityFilter;
use crate::store::admin::report::{self, PoolReport, Report, ReportRequest};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper report --database seats.db 42 --since 2027-01-01 --until 2027-02-01
  seatkeeper report --database seats.db 42 --below --since 90d --format csv > contoso.csv";

#[derive(Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The entity's id.
    #[arg(value_name = "ENTITY")]
    entity: i64,
    /// Also include the entities below it.
    #[arg(long)]
    below: bool,
    /// The start of the period: 2027-01-31 (midnight in UTC), 2027-01-31T12:00:00Z, or a time ago: 30d.
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "30d")]
    since: Timestamp,
    /// The end of the period.
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "now")]
    until: Timestamp,
    /// The format.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

const COLUMNS: &[&str] = &[
    "pool_id",
    "entity_id",
    "entity_name",
    "license_type",
    "starts_at",
    "expires_at",
    "deleted",
    "seats_begin",
    "seats_end",
    "in_use_begin",
    "in_use_end",
    "peak",
    "peak_at",
    "assigned",
    "released",
    "changes",
];

const TABLE: &[&str] = &[
    "type",
    "pool",
    "entity",
    "seats",
    "in use",
    "peak",
    "peak at",
    "assigned",
    "released",
    "expires",
    "changes of the seats",
];

pub(super) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let opened = args.database.open()?;
    let totals = opened.totals()?;
    let entity = EntityFilter { id: args.entity, below: args.below };
    let request = ReportRequest { entity, since: args.since, until: args.until };
    let report = opened.read(move |sql, admin| report::make(sql, admin, &totals, &request))?;
    match args.format {
        Format::Table => for_people(&report)?,
        format => {
            let mut rows = Rows::to_stdout(format, COLUMNS);
            report.pools.iter().try_for_each(|pool| rows.row(for_programs(pool)))?;
            rows.end()?;
        }
    }
    if report.has_more_pools {
        eprintln!("note: there are more pools than a report has");
    }
    if !report.is_complete {
        eprintln!(
            "note: older events were not read, or were moved to an archive: the beginning is that of the oldest event read"
        );
    }
    Ok(())
}

fn for_people(report: &Report) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let Report { entity_id, entity_name, since, until, .. } = report;
    writeln!(out, "{} ({entity_id}), {since:.0} to {until:.0}", printable(entity_name))?;
    let mut rows = Rows::to_stdout(Format::Table, TABLE);
    for license_type in LicenseType::ALL {
        for pool in report.pools.iter().filter(|pool| pool.license_type == license_type) {
            rows.row(of_pool(pool))?;
        }
        if let Some(all) = report.types[license_type.index()]
            && report.pools.iter().filter(|pool| pool.license_type == license_type).count() > 1
        {
            rows.row(vec![
                json!(license_type.name()),
                json!("all"),
                Value::Null,
                json!(span(all.seats_begin, all.seats_end)),
                json!(span(all.in_use_begin, all.in_use_end)),
                json!(all.peak),
                Value::Null,
                json!(all.assigned),
                json!(all.released),
                Value::Null,
                Value::Null,
            ])?;
        }
    }
    Ok(rows.end()?)
}

fn of_pool(pool: &PoolReport) -> Vec<Value> {
    let deleted = if pool.is_deleted { " (deleted)" } else { "" };
    vec![
        json!(pool.license_type.name()),
        json!(format!("{}{deleted}", pool.pool_id)),
        json!(pool.entity_name),
        json!(span(pool.seats_begin, pool.seats_end)),
        json!(span(pool.in_use_begin, pool.in_use_end)),
        json!(pool.peak),
        json!(pool.peak_at.map(|at| format!("{at:.0}"))),
        json!(pool.assigned),
        json!(pool.released),
        json!(pool.expires_at.map(|at| at.to_string())),
        json!(changes(pool)),
    ]
}

/// At the beginning and at the end.
fn span(begin: i64, end: i64) -> String {
    if begin == end { begin.to_string() } else { format!("{begin} -> {end}") }
}

fn changes(pool: &PoolReport) -> String {
    pool.resized.iter().map(|(at, seats)| format!("{at:.0} {seats}")).collect::<Vec<_>>().join(", ")
}

fn for_programs(pool: &PoolReport) -> Vec<Value> {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    vec![
        json!(pool.pool_id),
        json!(pool.entity_id),
        json!(pool.entity_name),
        json!(pool.license_type.name()),
        json!(time(pool.starts_at)),
        json!(time(pool.expires_at)),
        json!(u8::from(pool.is_deleted)),
        json!(pool.seats_begin),
        json!(pool.seats_end),
        json!(pool.in_use_begin),
        json!(pool.in_use_end),
        json!(pool.peak),
        json!(pool.peak_at.map(|at| format!("{at:.3}"))),
        json!(pool.assigned),
        json!(pool.released),
        json!(changes(pool)),
    ]
}
