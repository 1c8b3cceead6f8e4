//! The command line: each subcommand is a few lines over the library.

mod demo;
mod descriptors;
mod serve;
mod sql;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

use crate::auth;
use crate::config::{Config, Overrides};
use crate::error::{Error, Kind};
use crate::metrics::Metrics;
use crate::seats::{Holding, LicenseType};
use crate::store::{self, Actor, Call};

/// What a subcommand ends with when it does not succeed: shown as `error: …`, exit code 1.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// License seats over SOAP: AssignLicense for backup agents.
#[derive(Parser)]
#[command(name = "seatkeeper", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service. Makes the database if there is none.
    #[command(
        after_help = "Example:\n  seatkeeper serve --database /var/lib/seatkeeper/seats.db --listen 127.0.0.1:8086"
    )]
    Serve(Box<ServeArgs>),
    /// Run the service on a fresh database with sample entities, credentials and pools, and print calls to paste.
    #[command(after_help = "Example:\n  seatkeeper demo --listen 127.0.0.1:9000")]
    Demo(demo::DemoArgs),
    /// Run SQL against the database: seed it, correct it, read it. Offers the SQL function hash_password('...').
    #[command(
        after_help = "Examples:\n  seatkeeper sql --database seats.db seed.sql\n  echo \"SELECT * FROM license_pool;\" | seatkeeper sql --database seats.db"
    )]
    Sql(sql::SqlArgs),
    /// Make an argon2id hash for the table credential. Reads the password from standard input, or asks for it.
    #[command(after_help = "Example:\n  printf %s \"$PASSWORD\" | seatkeeper hash-password")]
    HashPassword,
    /// Verify every invariant of the database, and the schema itself. Exit code 1 if one is broken.
    #[command(after_help = "Example:\n  seatkeeper check --database seats.db")]
    Check(DatabaseArgs),
    /// Give back the seat that a user holds.
    #[command(
        after_help = "Example:\n  seatkeeper release --database seats.db --username backup01 --license-type SqlBackup"
    )]
    Release(ReleaseArgs),
}

#[derive(Args)]
struct ServeArgs {
    /// Settings file (TOML); deploy/seatkeeper.toml is an example.
    #[arg(long, env = "SEATKEEPER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Args)]
struct DatabaseArgs {
    /// The SQLite file.
    #[arg(long, env = "SEATKEEPER_DATABASE", value_name = "FILE", default_value = "seatkeeper.db")]
    database: PathBuf,
}

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
    let done = match Cli::parse().command {
        Command::Serve(args) => {
            Config::load(args.config.as_deref(), args.overrides).map_err(Failure::from).and_then(serve::serve)
        }
        Command::Demo(args) => demo::demo(args),
        Command::Sql(args) => sql::sql(&args),
        Command::HashPassword => hash_password(),
        Command::Check(args) => check(&args),
        Command::Release(args) => release(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
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

fn check(args: &DatabaseArgs) -> Result<(), Failure> {
    let violations = store::check(&args.database, auth::check_hash)?;
    let mut out = std::io::stdout().lock();
    for violation in &violations {
        writeln!(out, "broken: {}: {}", violation.invariant, violation.row)?;
    }
    match violations.len() {
        0 => Ok(writeln!(out, "ok: every invariant holds")?),
        n => Err(format!("{}: {n} rows break an invariant", args.database.display()).into()),
    }
}

fn release(args: ReleaseArgs) -> Result<(), Failure> {
    if !args.database.database.exists() {
        return Err(store::OpenError::Missing(args.database.database).into());
    }
    let store = store::open(&args.database.database, &store::Options::default(), Arc::new(Metrics::new()))?;
    let call = Call { id: Uuid::new_v4(), now: jiff::Timestamp::now(), actor: Actor::CommandLine, name: None };
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
