//! `seatkeeper refusals`: lists refused calls.

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::listed::ListArgs;
use super::moment::moment;
use super::table::Rows;
use crate::seats::LicenseType;
use crate::store::admin::file::FileRow;
use crate::store::admin::refusals::{self, RefusalFilter, RefusalRow};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper refusals --database seats.db --since 24h
  seatkeeper refusals --database seats.db --entity 42 --below --code NoFreeSeat --format csv > refused.csv
'seatkeeper explain' says why one was refused.";

#[derive(Args)]
pub(super) struct RefusalsArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only refusals at or after this time: 2027-01-31, 2027-01-31T12:00:00Z, or a time ago: 7d, 12h, 30m.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only refusals before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only refusals with this code, such as NoFreeSeat.
    #[arg(long)]
    code: Option<String>,
    /// Only refusals of this operation, such as AssignLicense.
    #[arg(long)]
    operation: Option<String>,
    /// Only calls of this credential.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only calls about this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only calls about this type.
    #[arg(long = "type", value_name = "TYPE")]
    license_type: Option<LicenseType>,
    /// Only calls from this address.
    #[arg(long)]
    address: Option<String>,
    /// Only failed sign-ins.
    #[arg(long)]
    unproved: bool,
}

/// The newest first.
pub(super) fn refusals(args: &RefusalsArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let filter = RefusalFilter {
        since: args.since,
        until: args.until,
        entity: args.list.entities.filter(),
        license_type: args.license_type,
        code: args.code.clone(),
        operation: args.operation.clone(),
        actor: args.actor.clone(),
        unproved: args.unproved,
        user: args.user.clone(),
        address: args.address.clone(),
        text: None,
    };
    let mut rows = Rows::to_stdout(args.list.format, RefusalRow::COLUMNS);
    opened.list(
        move |sql, admin, start, limit| refusals::list(sql, admin, &filter, start, limit),
        |row: RefusalRow| Ok(rows.file_row(&row)?),
    )?;
    Ok(rows.end()?)
}
