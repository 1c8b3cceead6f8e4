//! `seatkeeper leaver`: releases or transfers the seats of a user that leaves.

use clap::Args;

use super::Failure;
use super::change::ChangeArgs;
use crate::store::admin::seats::{self, Leaver, LeaverSeats, Left};

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper leaver --database seats.db --username backup01 --release --deactivate --reason 'left in March'
  seatkeeper leaver --database seats.db --username backup01 --transfer-to backup02 --deactivate --dry-run";

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["release", "transfer_to", "deactivate"]))]
pub(super) struct LeaverArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The user that leaves.
    #[arg(long, value_name = "NAME")]
    username: String,
    /// Release all seats of the user.
    #[arg(long, conflicts_with = "transfer_to")]
    release: bool,
    /// Transfer the seats to this user. Seats of a type that this user already holds, and seats of expired pools, are released.
    #[arg(long, value_name = "NAME")]
    transfer_to: Option<String>,
    /// Make the user inactive: it gets no more seats.
    #[arg(long)]
    deactivate: bool,
    /// Add the new holder if it does not exist.
    #[arg(long, requires = "transfer_to")]
    enroll: bool,
}

pub(super) fn leaver(args: &LeaverArgs) -> Result<(), Failure> {
    let seats = match &args.transfer_to {
        Some(to) => LeaverSeats::TransferTo(to.clone()),
        None if args.release => LeaverSeats::Release,
        None => LeaverSeats::Keep,
    };
    let request = Leaver { username: args.username.clone(), seats, deactivate: args.deactivate, enroll: args.enroll };
    let said = |left: &Left| {
        let inactive = if left.deactivated { ", and is not active any more" } else { "" };
        let (released, transferred) = (left.released.len(), left.transferred.len());
        format!("'{}' leaves: {released} released, {transferred} transferred{inactive}", args.username)
    };
    args.change.make("leaver", move |sql, admin| seats::leave(sql, admin, &request), said).map(drop)
}
