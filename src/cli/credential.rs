//! `seatkeeper credential`: lists, creates, changes and deletes credentials. Passwords are read from standard input or generated.

use std::io::Write as _;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::change::ChangeArgs;
use super::columns::{self, Cell, NameArgs, NamedSetArgs, help};
use super::listed::ListArgs;
use super::moment::moment;
use super::password::{Made, NewPassword, PasswordArgs};
use super::table::Rows;
use super::{DatabaseArgs, Failure};
use crate::seats::{Role, UserName, counted};
use crate::store::admin::credentials::{self, CredentialFilter, CredentialRow};
use crate::store::admin::edit::{self, Edit, Key, Table};
use crate::store::admin::file::FileRow;

#[derive(Subcommand)]
pub(super) enum CredentialCommand {
    /// List credentials: role, last use, failed sign-ins, open tickets and sessions.
    #[command(
        after_help = "Examples:\n  seatkeeper credential list --database seats.db --failing\n  seatkeeper credential list --database seats.db --unused-since 90d --format csv > unused.csv"
    )]
    List(CredentialListArgs),
    /// Create a credential. Its password is read from standard input, or generated and shown once.
    #[command(after_help = help(Table::Credential, true, "Examples:\n  seatkeeper credential create --database seats.db user_name=agent42 entity_id=42 role=agent --generate\n  printf %s \"$PASSWORD\" | seatkeeper credential create --database seats.db user_name=agent42 entity_id=42"))]
    Create(CreateArgs),
    /// Set another password, read from standard input, or generated and shown once. Tickets and sessions of the credential end.
    #[command(
        after_help = "Examples:\n  seatkeeper credential set-password --database seats.db agent --generate\n  printf %s \"$PASSWORD\" | seatkeeper credential set-password --database seats.db agent"
    )]
    SetPassword(PasswordOfArgs),
    /// Change columns of a credential: role, entity, name; active=0 makes it inactive.
    #[command(after_help = help(Table::Credential, false, "Example:\n  seatkeeper credential set --database seats.db agent role=reader"))]
    Set(NamedSetArgs),
    /// End the tickets and sessions of a credential. They are not part of the history, so this cannot be undone.
    #[command(after_help = "Example:\n  seatkeeper credential sign-out --database seats.db agent")]
    SignOut(SignOutArgs),
    /// Delete a credential. This cannot be undone; 'set active=0' can.
    #[command(after_help = "Example:\n  seatkeeper credential delete --database seats.db agent42")]
    Delete(NameArgs),
}

#[derive(Args)]
pub(super) struct CredentialListArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only credentials whose name begins with this.
    #[arg(long, value_name = "TEXT")]
    starts_with: Option<String>,
    /// Only credentials with this role: reader, agent or admin.
    #[arg(long)]
    role: Option<Role>,
    /// Only credentials with a failed sign-in after the last successful one.
    #[arg(long)]
    failing: bool,
    /// Only credentials that were not used since this day (2027-01-31), or for this long (90d).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    unused_since: Option<Timestamp>,
    /// Only inactive credentials.
    #[arg(long)]
    inactive: bool,
}

#[derive(Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    password: PasswordArgs,
    /// The columns are listed below.
    #[arg(value_name = "COLUMN=VALUE", required = true)]
    cells: Vec<Cell>,
}

#[derive(Args)]
pub(super) struct PasswordOfArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    password: PasswordArgs,
    /// The user name of the credential.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Args)]
pub(super) struct SignOutArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The user name of the credential.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn credential(command: &CredentialCommand) -> Result<(), Failure> {
    let key = |name: &str| Key::Name(UserName::from(name).as_str().to_owned());
    match command {
        CredentialCommand::List(args) => list(args),
        CredentialCommand::Create(args) => create(args),
        CredentialCommand::SetPassword(args) => set_password(args),
        CredentialCommand::Set(args) => {
            columns::set(&args.change, "credential set", Table::Credential, key(&args.name), &args.cells)
        }
        CredentialCommand::SignOut(args) => sign_out(args),
        CredentialCommand::Delete(args) => {
            columns::delete(&args.change, "credential delete", Table::Credential, key(&args.name))
        }
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let mut values = columns::values(Table::Credential, true, &args.cells)?;
    let NewPassword { hash, made } = args.password.read()?;
    values.push(("password_hash", hash.into()));
    show(&args.change, made, columns::create(&args.change, "credential create", Table::Credential, values))
}

fn set_password(args: &PasswordOfArgs) -> Result<(), Failure> {
    let NewPassword { hash, made } = args.password.read()?;
    let name = UserName::from(args.name.as_str()).as_str().to_owned();
    let edit = Edit::password(&name, &hash);
    let set = args.change.make(
        "credential set-password",
        move |sql, admin| edit::apply(sql, admin, &edit),
        |key| format!("credential {key} has a new password; its tickets and sessions have ended"),
    );
    show(&args.change, made, set)
}

/// Shows a password that was made, once the change is. It is shown there alone, so a receipt that could not be written does not end it.
/// A preview changes nothing, also if it could not be written.
fn show<T>(args: &ChangeArgs, made: Option<Made>, change: Result<Option<T>, Failure>) -> Result<(), Failure> {
    match (made.filter(|_| !args.dry_run), change) {
        (Some(made), Ok(Some(_))) => made.show(),
        (Some(made), Err(error)) if error.is::<std::io::Error>() => made.show(),
        (_, change) => change.map(drop),
    }
}

fn sign_out(args: &SignOutArgs) -> Result<(), Failure> {
    let name = args.name.clone();
    let ended = args.database.open()?.change_unrecorded(move |sql, admin| credentials::sign_out(sql, admin, &name))?;
    let ended = counted(i64::try_from(ended).unwrap_or(i64::MAX), "sign-in");
    Ok(writeln!(std::io::stdout(), "signed out: {ended} of '{}'", args.name)?)
}

fn list(args: &CredentialListArgs) -> Result<(), Failure> {
    let opened = args.list.open()?;
    let filter = CredentialFilter {
        entity: args.list.entities.filter(),
        starts_with: args.starts_with.clone(),
        text: None,
        role: args.role,
        active: args.inactive.then_some(false),
        failing: args.failing,
        unused_since: args.unused_since,
    };
    let mut rows = Rows::to_stdout(args.list.format, CredentialRow::COLUMNS);
    opened.list(
        move |sql, admin, start, limit| credentials::list(sql, admin, &filter, start, limit),
        |row: CredentialRow| Ok(rows.file_row(&row)?),
    )?;
    Ok(rows.end()?)
}
