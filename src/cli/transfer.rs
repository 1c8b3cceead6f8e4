//! `seatkeeper transfer`: transfers seats from one user to another.

use clap::Args;

use super::Failure;
use super::change::ChangeArgs;
use crate::seats::{LicenseType, SeatId, counted};
use crate::store::admin::seats::{self, Transfer};
use crate::store::admin::{Admin, AdminRefusal, Sql, Stop};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper transfer --database seats.db --from backup01 --to backup02 --license-type SqlBackup
  seatkeeper transfer --database seats.db --from backup01 --to backup02 --all-types --enroll --reason 'new machine'";

#[derive(Args)]
pub(super) struct TransferArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The user that holds the seats.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// The user that gets the seats.
    #[arg(long, value_name = "NAME")]
    to: String,
    /// SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long, value_name = "TYPE", required_unless_present = "all_types", conflicts_with = "all_types")]
    license_type: Option<LicenseType>,
    /// Transfer all seats of the user.
    #[arg(long)]
    all_types: bool,
    /// Add the new holder if it does not exist.
    #[arg(long)]
    enroll: bool,
}

pub(super) fn transfer(args: &TransferArgs) -> Result<(), Failure> {
    let TransferArgs { from, to, license_type, enroll, .. } = args;
    let request = Transfer { from: from.clone(), to: to.clone(), license_type: *license_type, enroll: *enroll };
    let work = move |sql: &dyn Sql, admin: &Admin| {
        seats::transfer(sql, admin, &request).map_err(|stop| match stop {
            Stop::Refused(AdminRefusal::Nothing) => {
                AdminRefusal::Guard(format!("User '{}' holds no seat.", request.from)).into()
            }
            other => other,
        })
    };
    let said = |seats: &Vec<SeatId>| {
        let seats = counted(i64::try_from(seats.len()).unwrap_or(i64::MAX), "seat");
        format!("transferred: {seats} from '{from}' to '{to}'")
    };
    args.change.make("transfer", work, said).map(drop)
}
