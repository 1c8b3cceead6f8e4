//! The command line: each subcommand is a few lines over the library.

/// A closed or full standard error must not end a command with a panic.
macro_rules! eprintln {
    () => {
        eprintln!("")
    };
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*))))
    };
}

mod account;
mod assign;
mod attention;
mod audit;
mod author;
mod backup;
mod change;
mod check;
mod columns;
mod config;
mod copy;
mod credential;
mod demo;
mod descriptors;
mod entity;
mod events;
mod explain;
mod export;
mod heads;
mod health;
mod import;
mod leaver;
mod listed;
mod listening;
mod logging;
mod manual;
mod migrate;
mod moment;
mod notify;
mod offer;
mod opened;
mod password;
mod passwords;
mod pool;
mod refusals;
mod release;
mod reload;
mod report;
mod resize;
mod restore;
mod serve;
mod signals;
mod sql;
mod table;
mod transfer;
mod undo;
mod who;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, Flags, Named, Sources};
use crate::store::{self, Database};

/// The failure of a subcommand: shown as `error: …`, with an [`exit_code`].
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Exit codes besides 0: the command ran, but found an error or was refused.
const BROKEN: u8 = 1;
/// Invalid arguments or settings. clap exits with the same code.
const USAGE: u8 = 2;
/// The command could not run: a database that is missing or cannot be opened, a file that cannot be read, a port that is taken.
const CANNOT_RUN: u8 = 3;
/// Why a command could not run, as opposed to a command that ran and found an error: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CannotRun(String);

/// License seats for backup agents and license tools, over SOAP and a Web API.
#[derive(Parser)]
#[command(
    name = "seatkeeper",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done; 1 something is broken or was refused; 2 invalid arguments or settings; 3 the command \
                  could not run, for example because its database is missing."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service.
    #[command(
        after_help = "Example:\n  seatkeeper serve --database /var/lib/seatkeeper/seats.db --listen 127.0.0.1:8086"
    )]
    Serve(Box<ServeArgs>),
    /// Run the service on a fresh database with sample entities, credentials and pools, and print calls to paste.
    #[command(after_help = "Example:\n  seatkeeper demo --listen 127.0.0.1:9000")]
    Demo(demo::DemoArgs),
    /// Run SQL against the database: seed it, correct it, read it. Offers the SQL function hash_password('...').
    #[command(after_help = sql::EXAMPLES)]
    Sql(Box<sql::SqlArgs>),
    /// Make an argon2id hash for the table credential. Reads the password from standard input, or prompts for it.
    #[command(after_help = "Example:\n  printf %s \"$PASSWORD\" | seatkeeper hash-password")]
    HashPassword,
    /// Print every setting in force with its value, its unit and its source.
    #[command(after_help = config::EXAMPLES)]
    Config(Box<config::ConfigArgs>),
    /// Verify every invariant of the database, and the schema itself; changes nothing. Exit code 1 if one is broken. With --config,
    /// test a settings file; then the database is verified too only if --database names it.
    #[command(
        after_help = "Examples:\n  seatkeeper check --database seats.db\n  seatkeeper check --config /etc/seatkeeper/seatkeeper.toml\n  seatkeeper check --report"
    )]
    Check(check::CheckArgs),
    /// Migrate an older database to this program's version, and keep a copy of the old file beside it.
    #[command(after_help = "Example:\n  seatkeeper migrate --database seats.db --dry-run")]
    Migrate(migrate::MigrateArgs),
    /// Copy the database to a file or directory, also while the service runs, and verify the copy.
    #[command(
        after_help = "Examples:\n  seatkeeper backup --database seats.db /var/backups/seats.db\n  seatkeeper backup --database seats.db --keep 14 /var/backups/seatkeeper/"
    )]
    Backup(backup::BackupArgs),
    /// Replace the database with a backup, while the service is stopped. The old files are kept.
    #[command(
        after_help = "Examples:\n  seatkeeper restore --database seats.db --dry-run /var/backups/seats.db\n  seatkeeper restore --database seats.db /var/backups/seats.db"
    )]
    Restore(restore::RestoreArgs),
    /// Copy everything from an SQLite file to an empty PostgreSQL database or back, while the service is stopped; all or nothing.
    #[command(after_help = copy::EXAMPLES)]
    Copy(copy::CopyArgs),
    /// Change the number of seats of a pool, in steps between which the service answers calls. For changes by many thousands.
    #[command(
        after_help = "Example:\n  seatkeeper resize --database seats.db --pool 1 --seats 2000000 --as anna --reason 'order 4711'"
    )]
    Resize(resize::ResizeArgs),
    /// Show what needs attention: full and expiring pools, refusals, failing credentials, the last backup.
    #[command(after_help = attention::EXAMPLES)]
    Attention(attention::AttentionArgs),
    /// List the holders of seats.
    #[command(after_help = who::EXAMPLES)]
    Who(Box<who::WhoArgs>),
    /// Assign a seat to a user.
    #[command(after_help = assign::EXAMPLES)]
    Assign(assign::AssignArgs),
    /// Release seats of users.
    #[command(after_help = release::EXAMPLES)]
    Release(release::ReleaseArgs),
    /// Transfer seats from one user to another.
    #[command(after_help = transfer::EXAMPLES)]
    Transfer(transfer::TransferArgs),
    /// Release or transfer all seats of a user that leaves, and make the user inactive, in one step.
    #[command(after_help = leaver::EXAMPLES)]
    Leaver(leaver::LeaverArgs),
    /// List, create, change, resize and delete pools.
    #[command(subcommand)]
    Pool(Box<pool::PoolCommand>),
    /// List, create, change and delete entities.
    #[command(subcommand)]
    Entity(Box<entity::EntityCommand>),
    /// List, create and change users.
    #[command(subcommand)]
    Account(Box<account::AccountCommand>),
    /// List, create, change and delete credentials, and set their passwords.
    #[command(subcommand)]
    Credential(Box<credential::CredentialCommand>),
    /// List, set and withdraw offers.
    #[command(subcommand)]
    Offer(Box<offer::OfferCommand>),
    /// Add and change rows from a CSV file: all of them, or none.
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportArgs),
    /// Export rows as CSV or JSON, with the columns that an import reads.
    #[command(after_help = export::EXAMPLES)]
    Export(export::ExportArgs),
    /// List refused calls, newest first.
    #[command(after_help = refusals::EXAMPLES)]
    Refusals(Box<refusals::RefusalsArgs>),
    /// Explain a refusal, or the outcome of an assignment: the facts, the rule, and what would make it succeed.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Report the licenses that an entity had and used in a period.
    #[command(after_help = report::EXAMPLES)]
    Report(report::ReportArgs),
    /// Undo a change by its request id. The undo is a change too.
    #[command(after_help = undo::EXAMPLES)]
    Undo(undo::UndoArgs),
    /// Read the history: changes with their actor, time and reason. Verify it, sign its head, move old events to an archive.
    #[command(after_help = "Example:\n  seatkeeper audit show --database seats.db --since 7d --user backup01")]
    Audit(audit::AuditArgs),
    /// Ask a running service whether it is ready. Exit code 1 if it is not, 3 if there is no answer.
    #[command(after_help = health::EXAMPLES)]
    Health(health::HealthArgs),
    /// Print the script that completes commands in a shell. Packages install those of bash, zsh and fish.
    #[command(after_help = "Example:\n  seatkeeper completions bash > /etc/bash_completion.d/seatkeeper")]
    Completions(manual::CompletionsArgs),
    /// Write the manual pages: seatkeeper.1, and one for each command.
    #[command(after_help = "Example:\n  seatkeeper man /usr/local/share/man/man1")]
    Man(manual::ManArgs),
}

#[derive(Args)]
struct ServeArgs {
    /// Settings file (TOML); deploy/seatkeeper.toml is an example [default: /etc/seatkeeper/seatkeeper.toml, if it exists]
    /// [env: SEATKEEPER_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Create the database if it does not exist. Do not use it in a unit file: an empty database would replace a lost one.
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The database of a command: named by a flag, a variable, or the settings of the service.
#[derive(Args)]
struct DatabaseArgs {
    /// An SQLite file, or the address of a PostgreSQL database: postgres://USER@HOST/NAME [default: that of the settings file, or
    /// else seatkeeper.db] [env: SEATKEEPER_DATABASE].
    #[arg(long, value_name = "FILE|URL")]
    database: Option<String>,
    /// The settings file in which the database is named [default: /etc/seatkeeper/seatkeeper.toml, if it exists]
    /// [env: SEATKEEPER_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(skip)]
    found: OnceLock<Named>,
}

impl DatabaseArgs {
    /// The database, looked up once. The settings file is not read if it is named otherwise.
    fn place(&self) -> Result<&Database, ConfigError> {
        let found = self.named()?;
        found.check()?;
        Ok(&found.database)
    }

    /// The same; an address of a server may be invalid.
    fn named(&self) -> Result<&Named, ConfigError> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let flags = Flags { database: self.database.clone(), ..Flags::default() };
        let found = Sources::of_process(self.config.as_deref(), flags).database()?;
        Ok(self.found.get_or_init(|| found))
    }
}

/// The database of a command that works on files only.
#[derive(Args)]
struct FileArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

impl FileArgs {
    /// `instead`: the alternative on PostgreSQL, as the rest of a sentence.
    fn file(&self, instead: &'static str) -> Result<&Path, Failure> {
        match self.database.place()? {
            Database::File(file) => Ok(file),
            Database::Server(address) => {
                Err(Unsuitable(format!("{address}: this command is for SQLite files only. On PostgreSQL {instead}."))
                    .into())
            }
        }
    }
}

/// An argument that does not apply to the command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unsuitable(String);

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return invalid_arguments(&error),
    };
    let is_service = matches!(command, Command::Serve(_) | Command::Demo(_));
    let done = match command {
        Command::Serve(args) => {
            let ServeArgs { config, create, flags } = *args;
            serve::serve(Sources::of_process(config.as_deref(), flags), create)
        }
        Command::Demo(args) => demo::demo(args),
        Command::Sql(args) => sql::sql(&args),
        Command::HashPassword => hash_password(),
        Command::Config(args) => config::config(*args),
        Command::Check(args) => check::check(&args),
        Command::Migrate(args) => migrate::migrate(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => restore::restore(&args),
        Command::Copy(args) => copy::copy(&args),
        Command::Resize(args) => resize::resize(&args),
        Command::Attention(args) => attention::attention(&args),
        Command::Who(args) => who::who(&args),
        Command::Assign(args) => assign::assign(&args),
        Command::Release(args) => release::release(&args),
        Command::Transfer(args) => transfer::transfer(&args),
        Command::Leaver(args) => leaver::leaver(&args),
        Command::Pool(command) => pool::pool(&command),
        Command::Entity(command) => entity::entity(&command),
        Command::Account(command) => account::account(&command),
        Command::Credential(command) => credential::credential(&command),
        Command::Offer(command) => offer::offer(&command),
        Command::Import(args) => import::import(&args),
        Command::Export(args) => export::export(&args),
        Command::Refusals(args) => refusals::refusals(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Report(args) => report::report(&args),
        Command::Undo(args) => undo::undo(&args),
        Command::Audit(args) => audit::audit(args),
        Command::Health(args) => health::health(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that needs no more closes the pipe: that is no failure.
        Err(error) if is_closed_pipe(&error) && !is_service => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<ConfigError>() {
                Some(invalid) => invalid.errors().iter().for_each(|error| eprintln!("error: {}", shown(error))),
                None => eprintln!("error: {}", shown(&error.to_string())),
            }
            exit_code(&error, is_service).into()
        }
    }
}

/// Prints the error of clap without passwords; help and version as they are.
fn invalid_arguments(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if let DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion = error.kind() {
        error.exit();
    }
    let text = passwords::without_passwords(&error.render().to_string());
    eprintln!("{}", text.trim_end_matches('\n'));
    USAGE.into()
}

/// An error for a terminal: names in it may hold anything.
fn shown(error: &str) -> String {
    passwords::without_passwords(error).split('\n').map(table::printable).collect::<Vec<_>>().join("\n")
}

fn is_closed_pipe(error: &Failure) -> bool {
    error.downcast_ref().is_some_and(|error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A service that ends with an error could not run, for any reason.
fn exit_code(error: &Failure, is_service: bool) -> u8 {
    let is_address = matches!(error.downcast_ref(), Some(store::OpenError::Address { .. }));
    if error.downcast_ref().is_some_and(ConfigError::is_unreadable) {
        CANNOT_RUN
    } else if is_address || error.is::<ConfigError>() || error.is::<Unsuitable>() {
        USAGE
    } else if is_service || error.is::<CannotRun>() || error.is::<store::OpenError>() || error.is::<std::io::Error>() {
        CANNOT_RUN
    } else {
        BROKEN
    }
}

fn hash_password() -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{}", password::hash_new(&password::read()?)?)?)
}
