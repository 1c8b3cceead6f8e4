//! The command line: each subcommand is a few lines over the library.

mod audit;
mod author;
mod backup;
mod check;
mod copy;
mod demo;
mod descriptors;
mod heads;
mod migrate;
mod resize;
mod restore;
mod serve;
mod sql;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

use crate::auth;
use crate::config::{Config, ConfigError, Overrides};
use crate::error::{Error, Kind};
use crate::metrics::Metrics;
use crate::seats::{Holding, LicenseType};
use crate::store::{self, Actor, Call, Database};

/// What a subcommand ends with when it does not succeed: shown as `error: …`, with an [`exit_code`].
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Exit codes besides 0: the command ran, and what it found or was asked to do is not in order.
const BROKEN: u8 = 1;
/// Arguments or settings that cannot be used. clap exits with the same.
const USAGE: u8 = 2;
/// The command could not do its work: no database, or one that cannot be opened; a file that cannot be read; a port that is taken.
const CANNOT_RUN: u8 = 3;
/// Why a command could not do its work, as opposed to work that found something wrong: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CannotRun(String);

/// License seats for backup agents and license tools, over SOAP and a Web API.
#[derive(Parser)]
#[command(
    name = "seatkeeper",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done; 1 something is broken or was refused; 2 arguments or settings that cannot be used; 3 the command \
                  could not run, for want of its database for example."
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
    #[command(
        after_help = "Examples:\n  seatkeeper sql --create --database seats.db seed.sql\n  echo \"SELECT * FROM license_pool;\" | seatkeeper sql --database seats.db"
    )]
    Sql(sql::SqlArgs),
    /// Make an argon2id hash for the table credential. Reads the password from standard input, or asks for it.
    #[command(after_help = "Example:\n  printf %s \"$PASSWORD\" | seatkeeper hash-password")]
    HashPassword,
    /// Verify every invariant of the database, and the schema itself; changes nothing. Exit code 1 if one is broken.
    #[command(after_help = "Example:\n  seatkeeper check --database seats.db")]
    Check(DatabaseArgs),
    /// Bring a database of an older version to this program's, and keep a copy of it as it was beside it.
    #[command(after_help = "Example:\n  seatkeeper migrate --database seats.db --dry-run")]
    Migrate(migrate::MigrateArgs),
    /// Copy the database to a file or directory, also while the service runs, and verify the copy.
    #[command(
        after_help = "Examples:\n  seatkeeper backup --database seats.db /var/backups/seats.db\n  seatkeeper backup --database seats.db --keep 14 /var/backups/seatkeeper/"
    )]
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the database, while the service is stopped. The files that were there are kept.
    #[command(
        after_help = "Examples:\n  seatkeeper restore --database seats.db --dry-run /var/backups/seats.db\n  seatkeeper restore --database seats.db /var/backups/seats.db"
    )]
    Restore(restore::RestoreArgs),
    /// Copy everything from an SQLite file to an empty PostgreSQL database or back, while the service is stopped; all or nothing.
    #[command(after_help = copy::EXAMPLES)]
    Copy(copy::CopyArgs),
    /// Change the number of seats of a pool, in steps between which calls are served. For changes by many thousands.
    #[command(
        after_help = "Example:\n  seatkeeper resize --database seats.db --pool 1 --seats 2000000 --as anna --reason 'order 4711'"
    )]
    Resize(resize::ResizeArgs),
    /// Give back the seat that a user holds.
    #[command(
        after_help = "Example:\n  seatkeeper release --database seats.db --username backup01 --license-type SqlBackup"
    )]
    Release(ReleaseArgs),
    /// Read the history: who changed what, when and why. Verify it, sign its head, move old events to an archive.
    #[command(after_help = "Example:\n  seatkeeper audit show --database seats.db --since 7d --user backup01")]
    Audit(audit::AuditArgs),
}

#[derive(Args)]
struct ServeArgs {
    /// Settings file (TOML); deploy/seatkeeper.toml is an example.
    #[arg(long, env = "SEATKEEPER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make the database if there is none. Leave it out of a unit file: a database that was lost would be replaced by an empty one.
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Args)]
struct DatabaseArgs {
    /// An SQLite file, or the address of a PostgreSQL database: postgres://USER@HOST/NAME.
    #[arg(
        long,
        env = "SEATKEEPER_DATABASE",
        value_name = "FILE|URL",
        default_value = "seatkeeper.db",
        hide_env_values = true
    )]
    database: Database,
}

/// The database of a command that works on files only.
#[derive(Args)]
struct FileArgs {
    /// The SQLite file.
    #[arg(
        long,
        env = "SEATKEEPER_DATABASE",
        value_name = "FILE",
        default_value = "seatkeeper.db",
        hide_env_values = true
    )]
    database: Database,
}

impl FileArgs {
    /// `instead`: what does the same on PostgreSQL, as the rest of a sentence.
    fn file(&self, instead: &'static str) -> Result<&Path, Unsuitable> {
        match &self.database {
            Database::File(file) => Ok(file),
            Database::Server(address) => {
                Err(Unsuitable(format!("{address}: this command is for SQLite files only. On PostgreSQL {instead}.")))
            }
        }
    }
}

/// An argument that a command has no use for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unsuitable(String);

#[derive(Args)]
struct ReleaseArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Who holds the seat.
    #[arg(long, value_name = "NAME")]
    username: String,
    /// SkraftDiskImageV5, SqlBackup or ExchangeBackup.
    #[arg(long, value_name = "TYPE")]
    license_type: LicenseType,
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    let is_service = matches!(command, Command::Serve(_) | Command::Demo(_));
    let done = match command {
        Command::Serve(args) => {
            let ServeArgs { config, create, overrides } = *args;
            Config::load(config.as_deref(), overrides).map_err(Failure::from).and_then(|c| serve::serve(c, create))
        }
        Command::Demo(args) => demo::demo(args),
        Command::Sql(args) => sql::sql(&args),
        Command::HashPassword => hash_password(),
        Command::Check(args) => check::check(&args),
        Command::Migrate(args) => migrate::migrate(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => restore::restore(&args),
        Command::Copy(args) => copy::copy(&args),
        Command::Resize(args) => resize::resize(&args),
        Command::Release(args) => release(args),
        Command::Audit(args) => audit::audit(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            exit_code(&error, is_service).into()
        }
    }
}

/// A service that ends with an error could not run, whatever the reason.
fn exit_code(error: &Failure, is_service: bool) -> u8 {
    let is_address = matches!(error.downcast_ref(), Some(store::OpenError::Address { .. }));
    if is_address || error.is::<ConfigError>() || error.is::<Unsuitable>() {
        USAGE
    } else if is_service || error.is::<CannotRun>() || error.is::<store::OpenError>() || error.is::<std::io::Error>() {
        CANNOT_RUN
    } else {
        BROKEN
    }
}

fn hash_password() -> Result<(), Failure> {
    let password = if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        if password != rpassword::prompt_password("Again: ")? {
            return Err("the two passwords differ".into());
        }
        password
    } else {
        let mut password = String::new();
        std::io::stdin().take(auth::PASSWORD_BYTES_MAX as u64 + 3).read_to_string(&mut password)?;
        // What `echo` adds is not part of the password.
        password.strip_suffix('\n').map(|p| p.strip_suffix('\r').unwrap_or(p)).unwrap_or(&password).to_owned()
    };
    writeln!(std::io::stdout(), "{}", auth::hash_password(&password)?)?;
    Ok(())
}

fn release(args: ReleaseArgs) -> Result<(), Failure> {
    let store = store::open(&args.database.database, &store::Options::default(), Arc::new(Metrics::new()))?;
    let call = Call {
        id: Uuid::new_v4(),
        now: store.corrected(jiff::Timestamp::now()),
        actor: Actor::CommandLine,
        name: None,
    };
    let holding = Holding { username: Some(args.username.as_str().into()), license_type: Some(args.license_type) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let released = runtime.block_on(store.release(call, holding))?;
    store.close();
    let seat = released.map_err(|refusal| {
        let kind = Kind::from(&refusal);
        format!("{} {}: {}", kind.result(), kind.code(), Error::from(refusal))
    })?;
    let (ReleaseArgs { username, license_type, .. }, seat_no, pool) = (args, seat.seat_no, seat.pool_id);
    writeln!(std::io::stdout(), "released: '{username}' gave back its {license_type} seat {seat_no} of pool {pool}")?;
    Ok(())
}
