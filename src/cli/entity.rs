//! `seatkeeper entity`: lists, creates, changes and deletes entities.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::change::ChangeArgs;
use super::columns::{self, Cell, help};
use super::listed::ListArgs;
use super::table::Rows;
use crate::store::admin::edit::{Key, Table};
use crate::store::admin::entities::{self, EntitiesFilter, EntityRow};

#[derive(Subcommand)]
pub(super) enum EntityCommand {
    /// List entities with their seats: their own, and those including all entities below.
    #[command(
        after_help = "Examples:\n  seatkeeper entity list --database seats.db --entity 1 --below\n  seatkeeper entity list --database seats.db --text contoso --format json"
    )]
    List(EntityListArgs),
    /// Create an entity.
    #[command(after_help = help(Table::Entity, true, "Example:\n  seatkeeper entity create --database seats.db parent_id=1 'name=Contoso Backup' customer_nr=10042"))]
    Create(CreateArgs),
    /// Change columns of an entity; active=0 makes it inactive.
    #[command(after_help = help(Table::Entity, false, "Example:\n  seatkeeper entity set --database seats.db 42 active=0 --reason 'contract ended'"))]
    Set(SetArgs),
    /// Delete an entity that has no pools, users, credentials, offer or entities below it.
    #[command(after_help = "Example:\n  seatkeeper entity delete --database seats.db 44")]
    Delete(IdArgs),
}

#[derive(Args)]
pub(super) struct EntityListArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only entities whose name, owner name or customer number contains this text, or that have this id.
    #[arg(long)]
    text: Option<String>,
    /// Only entities directly below this one.
    #[arg(long, value_name = "ID")]
    parent: Option<i64>,
    /// Only inactive entities.
    #[arg(long)]
    inactive: bool,
}

#[derive(Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    cells: Vec<Cell>,
}

#[derive(Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The entity's id.
    #[arg(value_name = "ID")]
    id: i64,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    cells: Vec<Cell>,
}

#[derive(Args)]
pub(super) struct IdArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The entity's id.
    #[arg(value_name = "ID")]
    id: i64,
}

pub(super) fn entity(command: &EntityCommand) -> Result<(), Failure> {
    match command {
        EntityCommand::List(args) => list(args),
        EntityCommand::Create(args) => {
            let values = columns::values(Table::Entity, true, &args.cells)?;
            columns::create(&args.change, "entity create", Table::Entity, values).map(drop)
        }
        EntityCommand::Set(args) => {
            columns::set(&args.change, "entity set", Table::Entity, Key::Id(args.id), &args.cells)
        }
        EntityCommand::Delete(args) => columns::delete(&args.change, "entity delete", Table::Entity, Key::Id(args.id)),
    }
}

const COLUMNS: &[&str] = &[
    "id",
    "parent_id",
    "name",
    "active",
    "owner_name",
    "customer_nr",
    "children",
    "pools",
    "seats_total",
    "seats_in_use",
    "seats_total_below",
    "seats_in_use_below",
    "in_use_expired_below",
    "expires_first_below",
];

fn list(args: &EntityListArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let filter = EntitiesFilter {
        entity: args.list.entities.filter(),
        parent: args.parent,
        text: args.text.clone(),
        active: args.inactive.then_some(false),
        ..EntitiesFilter::default()
    };
    let totals = opened.totals()?;
    let mut rows = Rows::to_stdout(args.list.format, COLUMNS);
    opened.list(
        move |sql, admin, start, limit| entities::list(sql, admin, &totals, &filter, start, limit),
        |entity: EntityRow| {
            Ok(rows.row(vec![
                json!(entity.id),
                json!(entity.parent_id),
                json!(entity.name),
                json!(u8::from(entity.active)),
                json!(entity.owner_name),
                json!(entity.customer_nr),
                json!(entity.children),
                json!(entity.own.pools),
                json!(entity.own.seats),
                json!(entity.own.in_use),
                json!(entity.all.seats),
                json!(entity.all.in_use),
                json!(entity.all.in_use_expired),
                json!(entity.all.expires_first.map(|at| at.to_string())),
            ])?)
        },
    )?;
    Ok(rows.end()?)
}
