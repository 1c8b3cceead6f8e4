//! `seatkeeper assign`: assigns a seat to a user.

use clap::Args;

use super::change::ChangeArgs;
use super::{Failure, Unsuitable};
use crate::seats::{LicenseType, SeatId};
use crate::store::admin::seats::{self, Assign, Source};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper assign --database seats.db --username backup01 --entity 42 --license-type SqlBackup
  seatkeeper assign --database seats.db --username backup01 --pool 1 --seat 8 --enroll";

#[derive(Args)]
pub(super) struct AssignArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The user that gets the seat.
    #[arg(long, value_name = "NAME")]
    username: String,
    /// The entity that provides the seat, from its pool that expires first.
    #[arg(
        long,
        value_name = "ID",
        required_unless_present = "pool",
        conflicts_with = "pool",
        requires = "license_type"
    )]
    entity: Option<i32>,
    /// SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long, value_name = "TYPE")]
    license_type: Option<LicenseType>,
    /// The pool that provides the seat.
    #[arg(long, value_name = "ID")]
    pool: Option<i64>,
    /// The number of the seat in the pool [default: any free seat].
    #[arg(long, value_name = "NUMBER", requires = "pool")]
    seat: Option<i64>,
    /// Add the user if it does not exist.
    #[arg(long)]
    enroll: bool,
}

pub(super) fn assign(args: &AssignArgs) -> Result<(), Failure> {
    let source = match (args.entity, args.pool, args.seat) {
        (_, Some(pool_id), Some(seat_no)) => Source::Seat(SeatId { pool_id, seat_no }),
        (_, Some(pool_id), None) => Source::Pool(pool_id),
        (Some(entity_id), None, _) => Source::Entity(entity_id),
        (None, None, _) => return Err(Unsuitable("give --entity or --pool".to_owned()).into()),
    };
    let request =
        Assign { username: args.username.clone(), source, license_type: args.license_type, enroll: args.enroll };
    let said =
        |seat: &SeatId| format!("assigned: '{}' has seat {} of pool {}", args.username, seat.seat_no, seat.pool_id);
    args.change.make("assign", move |sql, admin| seats::assign(sql, admin, &request), said).map(drop)
}
