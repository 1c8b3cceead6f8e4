//! `seatkeeper offer`: lists, sets and withdraws offers, the next licenses of entities.

use std::str::FromStr;

use clap::{Args, Subcommand};

use super::change::ChangeArgs;
use super::columns::{self, Cell, help};
use super::listed::ListArgs;
use super::table::Rows;
use super::{Failure, Unsuitable};
use crate::license::PerType;
use crate::seats::LicenseType;
use crate::store::admin::edit::{Key, OfferRequest, Table, set_offer};
use crate::store::admin::file::FileRow;
use crate::store::admin::offers::{self, OfferFilter, OfferRow};

#[derive(Subcommand)]
pub(super) enum OfferCommand {
    /// List offers.
    #[command(after_help = "Example:\n  seatkeeper offer list --database seats.db --entity 1 --below")]
    List(OfferListArgs),
    /// Set the offer for an entity, in place of an existing one. Values that are left out stay as the entity has them.
    #[command(after_help = help(Table::Offer, false, "Example:\n  seatkeeper offer set --database seats.db 42 --seats SqlBackup=150 expires_at=2028-01-31"))]
    Set(SetArgs),
    /// Withdraw the offer of an entity.
    #[command(after_help = "Example:\n  seatkeeper offer withdraw --database seats.db 42")]
    Withdraw(EntityIdArgs),
}

#[derive(Args)]
pub(super) struct OfferListArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only offers whose entity name, company name, owner name or serial number contains this text.
    #[arg(long)]
    text: Option<String>,
}

#[derive(Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The entity's id.
    #[arg(value_name = "ENTITY")]
    entity: i64,
    /// The seats of a type after the activation, in all open pools together. May be repeated, once for each type.
    #[arg(long, value_name = "TYPE=NUMBER")]
    seats: Vec<Seats>,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE")]
    cells: Vec<Cell>,
}

#[derive(Args)]
pub(super) struct EntityIdArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The entity's id.
    #[arg(value_name = "ENTITY")]
    entity: i64,
}

/// `TYPE=NUMBER`.
#[derive(Debug, Clone, Copy)]
struct Seats(LicenseType, i64);

impl FromStr for Seats {
    type Err = String;

    fn from_str(text: &str) -> Result<Seats, String> {
        let (license_type, seats) = text.split_once('=').ok_or("write TYPE=NUMBER")?;
        let seats = seats.trim().parse().map_err(|_| format!("'{seats}' is not a number of seats"))?;
        Ok(Seats(license_type.trim().parse()?, seats))
    }
}

pub(super) fn offer(command: &OfferCommand) -> Result<(), Failure> {
    match command {
        OfferCommand::List(args) => list(args),
        OfferCommand::Set(args) => set(args),
        OfferCommand::Withdraw(args) => {
            columns::delete(&args.change, "offer withdraw", Table::Offer, Key::Id(args.entity))
        }
    }
}

fn set(args: &SetArgs) -> Result<(), Failure> {
    let mut modules = PerType::<Option<i64>>::default();
    for Seats(license_type, seats) in &args.seats {
        if modules[license_type.index()].replace(*seats).is_some() {
            return Err(Unsuitable(format!("--seats {license_type} is given twice")).into());
        }
    }
    let values = columns::values(Table::Offer, false, &args.cells)?;
    let request = OfferRequest { entity_id: args.entity, values, modules };
    let entity = args.entity;
    args.change
        .make(
            "offer set",
            move |sql, admin| set_offer(sql, admin, &request),
            |()| format!("entity {entity} has this offer"),
        )
        .map(drop)
}

fn list(args: &OfferListArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let filter = OfferFilter { entity: args.list.entities.filter(), text: args.text.clone() };
    let mut rows = Rows::to_stdout(args.list.format, OfferRow::COLUMNS);
    opened.list(
        move |sql, admin, start, limit| offers::list(sql, admin, &filter, start, limit),
        |row: OfferRow| Ok(rows.file_row(&row)?),
    )?;
    Ok(rows.end()?)
}
