//! `seatkeeper entity`: lists, creates, changes and deletes entities.

use clap::{Args, Subcommand};

use super::Failure;
use super::columns::{self, CreateArgs, IdArgs, SetArgs, help};
use super::listed::ListArgs;
use super::table::Rows;
use crate::store::admin::edit::{Key, Table};
use crate::store::admin::entities::{self, EntitiesFilter, EntityRow};
use crate::store::admin::file::FileRow;

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
    let mut rows = Rows::to_stdout(args.list.format, EntityRow::COLUMNS);
    opened.list(
        move |sql, admin, start, limit| entities::list(sql, admin, &totals, &filter, start, limit),
        |row: EntityRow| Ok(rows.file_row(&row)?),
    )?;
    Ok(rows.end()?)
}
