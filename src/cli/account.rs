//! `seatkeeper account`: lists, creates and changes users.

use clap::{Args, Subcommand};

use super::Failure;
use super::columns::{self, CreateArgs, NamedSetArgs, help};
use super::listed::ListArgs;
use super::table::Rows;
use crate::seats::LicenseType;
use crate::store::admin::edit::{Key, Table};
use crate::store::admin::file::FileRow;
use crate::store::admin::users::{self, UserFilter, UserRow};

#[derive(Subcommand)]
pub(super) enum AccountCommand {
    /// List users; --holds only those that hold a seat. 'seatkeeper who' lists the seats.
    #[command(
        after_help = "Examples:\n  seatkeeper account list --database seats.db --entity 42 --below\n  seatkeeper account list --database seats.db --inactive --holds"
    )]
    List(AccountListArgs),
    /// Create a user. The first assignment to a new name does it too.
    #[command(after_help = help(Table::Account, true, "Example:\n  seatkeeper account create --database seats.db username=backup01 entity_id=42"))]
    Create(CreateArgs),
    /// Change columns of a user: rename it, move it to another entity, make it inactive.
    #[command(after_help = help(Table::Account, false, "Examples:\n  seatkeeper account set --database seats.db backup01 username=backup-berlin\n  seatkeeper account set --database seats.db backup01 active=0"))]
    Set(NamedSetArgs),
}

#[derive(Args)]
pub(super) struct AccountListArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only users whose name begins with this.
    #[arg(long, value_name = "TEXT")]
    starts_with: Option<String>,
    /// Only users that hold a seat.
    #[arg(long)]
    holds: bool,
    /// Only users that hold a seat of this type.
    #[arg(long, value_name = "TYPE")]
    holds_type: Option<LicenseType>,
    /// Only inactive users.
    #[arg(long)]
    inactive: bool,
}

pub(super) fn account(command: &AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::List(args) => list(args),
        AccountCommand::Create(args) => {
            let values = columns::values(Table::Account, true, &args.cells)?;
            columns::create(&args.change, "account create", Table::Account, values).map(drop)
        }
        AccountCommand::Set(args) => {
            let key = Key::Name(args.name.trim().to_owned());
            columns::set(&args.change, "account set", Table::Account, key, &args.cells)
        }
    }
}

fn list(args: &AccountListArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let filter = UserFilter {
        entity: args.list.entities.filter(),
        starts_with: args.starts_with.clone(),
        text: None,
        active: args.inactive.then_some(false),
        holds: args.holds.then_some(true),
        holds_type: args.holds_type,
    };
    let mut rows = Rows::to_stdout(args.list.format, UserRow::COLUMNS);
    opened.list(
        move |sql, admin, start, limit| users::list(sql, admin, &filter, start, limit),
        |row: UserRow| Ok(rows.file_row(&row)?),
    )?;
    Ok(rows.end()?)
}
