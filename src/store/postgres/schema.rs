//! The schema: made, brought up to date, and its version watched.
//!
//! All of it happens in one transaction, so that it is there whole or not at all. Nodes that start together meet at the first table: one
//! makes it, the others wait for the end of that transaction, find the name taken, and look again.

use std::time::{Duration, Instant};

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::command::command;
use super::connect::Purpose;
use super::meaning::{Meaning, meaning, text};
use super::session::{Session, Sql};
use crate::store::{Address, CheckHash, Migrated, OpenError, SCHEMA_VERSION, TriedMigration};

pub(crate) const SCHEMA: &str = include_str!("../../../schema.postgres.sql");

/// Scripts, each with the version that it makes of the one before. The first version on PostgreSQL was 4.
const MIGRATIONS: &[(i32, &str)] = &[];

/// What is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// No tables.
    Nothing,
    Ours {
        version: i32,
    },
    /// Tables of another program.
    Foreign,
}

pub(super) async fn contents(session: &Session) -> Result<Contents, Error> {
    if session.row(&HAS_VERSION, &[]).await?.try_get(0)? {
        let version = session.row_opt(&VERSION, &[]).await?;
        return Ok(match version {
            Some(row) => Contents::Ours { version: row.try_get(0)? },
            None => Contents::Foreign,
        });
    }
    let has_tables: bool = session.row(&HAS_TABLES, &[]).await?.try_get(0)?;
    Ok(if has_tables { Contents::Foreign } else { Contents::Nothing })
}

const HAS_VERSION: Sql = Sql {
    text: "SELECT count(*) = 2 FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = 'schema_version' AND column_name IN ('id', 'version')",
    types: &[],
};

const HAS_TABLES: Sql =
    Sql { text: "SELECT count(*) > 0 FROM information_schema.tables WHERE table_schema = 'public'", types: &[] };

pub(super) const VERSION: Sql = Sql { text: "SELECT version FROM public.schema_version WHERE id = 1", types: &[] };

/// How long nodes that start together wait for the one that makes or migrates the schema.
const OTHERS: Duration = Duration::from_secs(60);

/// See [`crate::store::create`].
pub(crate) fn create(address: &Address) -> Result<bool, OpenError> {
    command(address, Purpose::Write, async |session| {
        let begun = Instant::now();
        loop {
            match contents(session).await.map_err(|error| failed(address, &error))? {
                Contents::Nothing => {}
                Contents::Ours { .. } => return Ok(false),
                Contents::Foreign => return Err(foreign(address)),
            }
            match make(session).await {
                Ok(()) => return Ok(true),
                Err(error) if is_made_by_another(&error) && begun.elapsed() < OTHERS => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(failed(address, &error)),
            }
        }
    })
}

async fn make(session: &Session) -> Result<(), Error> {
    in_transaction(session, async || make_within(session).await).await
}

/// Makes the tables in the transaction that is open.
pub(super) async fn make_within(session: &Session) -> Result<(), Error> {
    // Behind a pooler a setting of the session would stay with the server's process.
    session.batch(&SCHEMA.replacen("SET search_path", "SET LOCAL search_path", 1)).await
}

/// All or nothing.
async fn in_transaction(session: &Session, work: impl AsyncFnOnce() -> Result<(), Error>) -> Result<(), Error> {
    session.begin().await?;
    match work().await {
        Ok(()) => session.commit().await.map(drop),
        Err(error) => {
            session.roll_back().await?;
            Err(error)
        }
    }
}

/// A name that is taken: of a table, or of a row in one of the catalogs. Or the other one takes long.
fn is_made_by_another(error: &Error) -> bool {
    let is_taken = error.code().is_some_and(|code| ["42P07", "42710", "42P06", "42723"].contains(&code.code()));
    is_taken || matches!(meaning(error), Meaning::Conflict | Meaning::Locked)
}

/// See [`crate::store::migrate`].
pub(crate) fn migrate(address: &Address) -> Result<Option<Migrated>, OpenError> {
    command(address, Purpose::Write, async |session| {
        let begun = Instant::now();
        let from = version(address, session).await?;
        if from == SCHEMA_VERSION {
            return Ok(None);
        }
        let is_done =
            bring_up(session, from, MIGRATIONS, SCHEMA_VERSION).await.map_err(|error| failed(address, &error))?;
        match version(address, session).await? {
            // Another node may have done it meanwhile.
            SCHEMA_VERSION => {
                Ok(is_done.then(|| Migrated { from, to: SCHEMA_VERSION, copy: None, took: begun.elapsed() }))
            }
            found => Err(older(address, found)),
        }
    })
}

/// The version of a database that is ours.
///
/// # Errors
///
/// Nothing there, or something else, or the tables of a newer program.
pub(super) async fn version(address: &Address, session: &Session) -> Result<i32, OpenError> {
    let reason = match contents(session).await.map_err(|error| failed(address, &error))? {
        Contents::Ours { version } if version <= SCHEMA_VERSION => return Ok(version),
        Contents::Ours { version } => format!(
            "its schema has version {version}, this program knows up to {SCHEMA_VERSION}. Run a newer seatkeeper, or restore a backup \
             made before the upgrade."
        ),
        Contents::Foreign => return Err(foreign(address)),
        Contents::Nothing => {
            "there is nothing in this database. Check its name; if it was lost, restore a backup. Only to begin with \
                              a new one, use `serve` with --create."
                .to_owned()
        }
    };
    Err(OpenError::Server { place: address.to_string(), reason })
}

/// See [`crate::store::try_migration`]. There was no older version on PostgreSQL yet, so there is nothing to try.
pub(crate) fn try_migration(address: &Address, _: CheckHash) -> Result<Option<TriedMigration>, OpenError> {
    check(address).map(|()| None)
}

/// That a database can be served: it is ours and of this program's version.
///
/// # Errors
///
/// As [`crate::store::open`].
pub(super) fn check(address: &Address) -> Result<(), OpenError> {
    command(address, Purpose::Read, async |session| check_version(address, session).await)
}

/// The same, on a session that is there.
pub(super) async fn check_version(address: &Address, session: &Session) -> Result<(), OpenError> {
    match version(address, session).await? {
        SCHEMA_VERSION => Ok(()),
        found => Err(older(address, found)),
    }
}

/// Brings a schema up, step by step, in one transaction. Whether this program did it.
async fn bring_up(session: &Session, from: i32, steps: &[(i32, &str)], to: i32) -> Result<bool, Error> {
    let mut is_done = false;
    in_transaction(session, async || {
        // Another node that does the same waits here, and nodes that serve are stopped by the version: see `watch`.
        session.batch("LOCK TABLE public.schema_version IN ACCESS EXCLUSIVE MODE").await?;
        let found: i32 = session.row(&VERSION, &[]).await?.try_get(0)?;
        let mut reached = found;
        for (version, script) in steps {
            if found == from && *version == reached + 1 && *version <= to {
                session.batch(script).await?;
                reached = *version;
            }
        }
        if reached != found {
            session.execute(&SET_VERSION, &[&reached]).await?;
            is_done = true;
        }
        Ok(())
    })
    .await?;
    Ok(is_done)
}

const SET_VERSION: Sql =
    Sql { text: "UPDATE public.schema_version SET version = $1 WHERE id = 1", types: &[Type::INT4] };

/// What an error means to a command.
pub(super) fn failed(address: &Address, error: &Error) -> OpenError {
    let reason = match error.code().map(|code| code.code()) {
        Some("42501") => format!("{}: let the login own the database (ALTER DATABASE … OWNER TO …).", text(error)),
        _ => text(error),
    };
    OpenError::Server { place: address.to_string(), reason }
}

fn foreign(address: &Address) -> OpenError {
    let reason =
        "the schema public of this database has tables that are not Seatkeeper's. Name another database.".to_owned();
    OpenError::Server { place: address.to_string(), reason }
}

fn older(address: &Address, found: i32) -> OpenError {
    let reason = format!(
        "its schema has version {found}, this program works with version {SCHEMA_VERSION}. Run 'seatkeeper migrate'; the service does \
         the same when it starts."
    );
    OpenError::Server { place: address.to_string(), reason }
}
