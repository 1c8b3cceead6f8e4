//! `seatkeeper release`: releases seats of one user or of several.

use std::io::Write as _;
use std::sync::Arc;

use clap::Args;
use uuid::Uuid;

use super::change::ChangeArgs;
use super::{CannotRun, Failure};
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::seats::{Holding, LicenseType, counted};
use crate::store::admin::seats::{self, Release, Taken};
use crate::store::admin::{Admin, AdminRefusal, Sql, Stop};
use crate::store::{self, Actor, Call};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper release --database seats.db --username backup01 --license-type SqlBackup
  seatkeeper release --database seats.db --username backup01 --all-types --as anna --reason 'ticket 815'
  seatkeeper release --database seats.db --username backup01 --username backup02 --license-type SqlBackup --dry-run";

#[derive(Args)]
pub(super) struct ReleaseArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The holder of the seat. May be repeated: then the seats of all holders are released, or none.
    #[arg(long, value_name = "NAME", required = true)]
    username: Vec<String>,
    /// SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long, value_name = "TYPE", required_unless_present = "all_types", conflicts_with = "all_types")]
    license_type: Option<LicenseType>,
    /// Release all seats of these holders.
    #[arg(long)]
    all_types: bool,
}

pub(super) fn release(args: &ReleaseArgs) -> Result<(), Failure> {
    let change = &args.change;
    let is_plain = !change.dry_run && change.author.is_none() && change.reason.is_none();
    if let ([username], Some(license_type), true) = (&args.username[..], args.license_type, is_plain) {
        return one(args, username, license_type);
    }
    let (names, license_type) = (args.username.clone(), args.license_type);
    let work = move |sql: &dyn Sql, admin: &Admin| -> Result<usize, Stop> {
        let of = |name: &String| Ok(release_of(sql, admin, name, license_type)?.len());
        names.iter().map(of).sum()
    };
    let said = |seats: &usize| {
        let seats = counted(i64::try_from(*seats).unwrap_or(i64::MAX), "seat");
        match &args.username[..] {
            [name] => format!("released: '{name}' gave back {seats}"),
            names => format!("released: {} users gave back {seats}", names.len()),
        }
    };
    change.make("release", work, said).map(drop)
}

fn release_of(
    sql: &dyn Sql,
    admin: &Admin,
    username: &str,
    license_type: Option<LicenseType>,
) -> Result<Vec<Taken>, Stop> {
    let request = Release::OfUser { username: username.to_owned(), license_type };
    seats::release(sql, admin, &request).map_err(|stop| match stop {
        Stop::Refused(AdminRefusal::Nothing) => AdminRefusal::Guard(format!("User '{username}' holds no seat.")).into(),
        other => other,
    })
}

/// Releases one seat of one user with the output that existing scripts know: one line, and no reason.
fn one(args: &ReleaseArgs, username: &str, license_type: LicenseType) -> Result<(), Failure> {
    let store = store::open(args.change.database.place()?, &store::Options::default(), Arc::new(Metrics::new()))?;
    let call = Call {
        id: Uuid::new_v4(),
        now: store.corrected(jiff::Timestamp::now()),
        actor: Actor::command_line(),
        name: None,
        trail: None,
    };
    let holding = Holding { username: Some(username.into()), license_type: Some(license_type) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let released = runtime.block_on(store.release(call, holding));
    store.close();
    let seat = released.map_err(|error| CannotRun(error.to_string()))?.map_err(|refusal| {
        let kind = ErrorKind::from(&refusal);
        format!("{} {}: {}", kind.result(), kind.code(), Error::from(refusal))
    })?;
    let (seat_no, pool) = (seat.seat_no, seat.pool_id);
    writeln!(std::io::stdout(), "released: '{username}' gave back its {license_type} seat {seat_no} of pool {pool}")?;
    Ok(())
}
