//! Creates and migrates the schema.
//!
//! Both happen in one transaction, completely or not at all. Nodes that start together conflict at the first table: one creates
//! it, the others wait for the end of that transaction, find the name taken, and check again.

use std::time::{Duration, Instant};

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::check::{LARGE_QUERIES, check_within, schema_compared as compare};
use super::command::command;
use super::connect::{Purpose, READ_AS_WRITTEN_HERE, TimeLimits};
use super::meaning::{Meaning, meaning, text};
use super::session::{Session, Sql};
use crate::store::{Address, CheckHash, Migrated, OpenError, SCHEMA_VERSION, TriedMigration};

pub(crate) const SCHEMA: &str = include_str!("../../../schema.postgres.sql");

/// The first version on PostgreSQL.
const FIRST_VERSION: i32 = 4;

/// `MIGRATIONS[n]` leads from version 4 + n to the next one.
const MIGRATIONS: &[Migration] =
    &[Migration { from: include_str!("migrations/schema_4.sql"), step: include_str!("migrations/5.sql") }];

struct Migration {
    /// The old `schema.postgres.sql`, to the letter: a database is migrated only if it still has all of it.
    from: &'static str,
    /// The change of tables, indexes and rows to the next version. Views, triggers and functions are made again.
    step: &'static str,
}

/// The part of the schema from this line on makes all views, triggers and functions.
const GUARDS_MARK: &str = "\n-- GUARDS: ";

fn guards(schema: &str) -> &str {
    schema.find(GUARDS_MARK).map_or("", |at| &schema[at..])
}

/// The content of a database.
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

/// Reads the catalogs and not information_schema, which hides what the login may not use: a database whose tables belong to
/// another role would look empty.
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
    text: "SELECT count(*) = 2 FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'public' AND c.relname = 'schema_version' AND c.relkind = 'r' AND NOT a.attisdropped
              AND a.attname IN ('id', 'version') AND a.atttypid = 'pg_catalog.int4'::regtype",
    types: &[],
};

/// Those of an extension, such as pg_stat_statements, are not in the way.
const HAS_TABLES: Sql = Sql {
    text: "SELECT count(*) > 0 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                               WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')",
    types: &[],
};

pub(super) const VERSION: Sql = Sql { text: "SELECT version FROM public.schema_version WHERE id = 1", types: &[] };

/// How long nodes that start together wait for the one that creates or migrates the schema.
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

/// Creates the tables in the open transaction.
pub(super) async fn make_within(session: &Session) -> Result<(), Error> {
    session.batch(READ_AS_WRITTEN_HERE).await?;
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

/// The name of a table, or of a row in a catalog, is taken. Or the other node takes long.
fn is_made_by_another(error: &Error) -> bool {
    let is_taken = error.code().is_some_and(|code| ["42P07", "42710", "42P06", "42723"].contains(&code.code()));
    is_taken || matches!(meaning(error), Meaning::Conflict | Meaning::Locked)
}

/// See [`crate::store::migrate`].
pub(crate) fn migrate(address: &Address) -> Result<Option<Migrated>, OpenError> {
    command(address, Purpose::Write, async |session| {
        let begun = Instant::now();
        wait_for_others(session).await.map_err(|error| failed(address, &error))?;
        let from = version(address, session).await?;
        if from == SCHEMA_VERSION {
            close_functions(session).await.map_err(|error| failed(address, &error))?;
            return Ok(None);
        }
        session.begin().await.map_err(|error| failed(address, &error))?;
        let is_done = match bring_up(session, from).await {
            Ok(Brought::Up) => session.commit().await.map_err(|error| failed(address, &error))?,
            Ok(Brought::ByAnother) => {
                session.roll_back().await.map_err(|error| failed(address, &error))?;
                false
            }
            Ok(Brought::Changed(what)) => return Err(changed(address, session, &what).await),
            Err(error) => {
                let error = failed(address, &error);
                // The connection ends here anyway.
                let _ = session.roll_back().await;
                return Err(error);
            }
        };
        match version(address, session).await? {
            // Another node may have migrated it meanwhile.
            SCHEMA_VERSION => {
                Ok(is_done.then(|| Migrated { from, to: SCHEMA_VERSION, copy: None, took: begun.elapsed() }))
            }
            found => Err(older(address, found)),
        }
    })
}

/// Waits while another node migrates the schema, which locks the table of the version.
async fn wait_for_others(session: &Session) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        match contents(session).await {
            Err(error) if meaning(&error) == Meaning::Locked && begun.elapsed() < OTHERS => {}
            found => return found.map(|_| ()),
        }
    }
}

/// The version of a database that is ours.
///
/// # Errors
///
/// An empty database, one of another program, or one of a newer version.
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

/// See [`crate::store::try_migration`].
pub(crate) fn try_migration(address: &Address, check_hash: CheckHash) -> Result<Option<TriedMigration>, OpenError> {
    command(address, Purpose::Write, async |session| {
        let from = version(address, session).await?;
        if from == SCHEMA_VERSION {
            return Ok(None);
        }
        let begun = Instant::now();
        session.begin().await.map_err(|error| failed(address, &error))?;
        let tried = async {
            let brought = bring_up(session, from).await?;
            let took = begun.elapsed();
            session.batch(LARGE_QUERIES).await?;
            let violations = if matches!(brought, Brought::Up) {
                check_within(address, session, check_hash).await?
            } else {
                Vec::new()
            };
            Ok((brought, TriedMigration { from, to: SCHEMA_VERSION, took, violations }))
        };
        match tried.await {
            Ok((Brought::Changed(what), _)) => Err(changed(address, session, &what).await),
            Ok((brought, tried)) => {
                session.roll_back().await.map_err(|error| failed(address, &error))?;
                Ok(matches!(brought, Brought::Up).then_some(tried))
            }
            Err(error) => {
                let error = failed(address, &error);
                let _ = session.roll_back().await;
                Err(error)
            }
        }
    })
}

/// The error for a database whose schema was changed; ends the transaction.
async fn changed(address: &Address, session: &Session, what: &str) -> OpenError {
    let _ = session.roll_back().await;
    let reason =
        format!("the schema was changed: {what}. Undo the change or restore a backup; it is not migrated as it is.");
    OpenError::Server { place: address.to_string(), reason }
}

/// Checks that a database can be served: it is ours and has this program's version.
///
/// # Errors
///
/// As [`crate::store::open`].
pub(super) fn check(address: &Address) -> Result<(), OpenError> {
    command(address, Purpose::Read, async |session| check_version(address, session).await)
}

/// The same, on an existing session.
pub(super) async fn check_version(address: &Address, session: &Session) -> Result<(), OpenError> {
    match version(address, session).await? {
        SCHEMA_VERSION => Ok(()),
        found => Err(older(address, found)),
    }
}

/// The result of a migration, in the open transaction.
enum Brought {
    Up,
    /// Another program has migrated it meanwhile.
    ByAnother,
    /// The schema differs from that of its version; with the first difference. Its rows may break promises, and new guards would
    /// hide that.
    Changed(String),
}

/// Migrates a schema from an older version to the newest one, in the open transaction.
async fn bring_up(session: &Session, from: i32) -> Result<Brought, Error> {
    // Another migrating node waits here, as long as one that finds the schema being created. The new version stops nodes that serve: see
    // `watch`.
    let (others, usual) = (OTHERS.as_millis(), TimeLimits::COMMAND.lock.as_millis());
    let lock = format!(
        "SET LOCAL lock_timeout = {others}; LOCK TABLE public.schema_version IN ACCESS EXCLUSIVE MODE;
         SET LOCAL lock_timeout = {usual}"
    );
    session.batch(&lock).await?;
    let found: i32 = session.row(&VERSION, &[]).await?.try_get(0)?;
    if found != from {
        return Ok(Brought::ByAnother);
    }
    let steps = usize::try_from(from - FIRST_VERSION).ok().and_then(|at| MIGRATIONS.get(at..)).unwrap_or_default();
    let Some(first) = steps.first() else { return Ok(Brought::ByAnother) };
    session.savepoint("compared").await?;
    let differences = compare(session, first.from).await?;
    session.undo("compared").await?;
    if let Some(what) = differences.into_iter().next() {
        return Ok(Brought::Changed(what));
    }
    session.batch("SET LOCAL search_path = public, pg_temp; SET LOCAL statement_timeout = 0").await?;
    session.batch(READ_AS_WRITTEN_HERE).await?;
    session.batch(&drop_guards(first.from)).await?;
    for migration in steps {
        session.batch(migration.step).await?;
    }
    session.execute(&SET_VERSION, &[&SCHEMA_VERSION]).await?;
    session.batch(guards(SCHEMA)).await?;
    Ok(Brought::Up)
}

/// A script that drops the views, triggers and functions of a schema, and none of an administrator's own.
fn drop_guards(schema: &str) -> String {
    let (views, functions) = (made(schema, "CREATE VIEW ").join(","), made(schema, "CREATE FUNCTION ").join(","));
    format!(
        "DO $$
         DECLARE
             functions name[] := '{{{functions}}}';
             object record;
         BEGIN
             FOR object IN SELECT tgname, tgrelid::regclass AS of_table FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
                            WHERE NOT tgisinternal AND pronamespace = 'public'::regnamespace AND proname = ANY (functions)
                              AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
             LOOP
                 EXECUTE format('DROP TRIGGER %I ON %s', object.tgname, object.of_table);
             END LOOP;
             DROP VIEW {views};
             FOR object IN SELECT oid::regprocedure AS named FROM pg_proc
                            WHERE pronamespace = 'public'::regnamespace AND proname = ANY (functions) AND proowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
             LOOP
                 EXECUTE format('DROP FUNCTION %s', object.named);
             END LOOP;
         END $$"
    )
}

/// The names behind `CREATE VIEW ` or `CREATE FUNCTION ` in the guards of a schema.
fn made(schema: &str, what: &str) -> Vec<String> {
    let names = guards(schema).lines().filter_map(|line| line.strip_prefix(what)).filter_map(|rest| {
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    });
    names.collect::<std::collections::BTreeSet<String>>().into_iter().collect()
}

/// The functions of this program that every login may call: with them a login without rights writes events and counts of the
/// real tables, from triggers of a table of its own. None in a database as this program makes it. A restore without the rights
/// (`pg_restore --no-acl`) opens them.
pub(super) async fn open_functions(session: &Session) -> Result<Vec<String>, Error> {
    let rows = session.rows(&OPEN_FUNCTIONS, &[&made(SCHEMA, "CREATE FUNCTION ")]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

const OPEN_FUNCTIONS: Sql = Sql {
    text: "SELECT format('%I(%s)', proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) FROM pg_catalog.pg_proc AS p
            WHERE pronamespace = 'public'::regnamespace AND proname::text = ANY ($1)
              AND proowner = (SELECT relowner FROM pg_catalog.pg_class WHERE oid = 'public.audit_event'::regclass)
              AND EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(proacl, pg_catalog.acldefault('f', proowner))) WHERE grantee = 0)
            ORDER BY 1",
    types: &[Type::TEXT_ARRAY],
};

/// Takes the right to call [`open_functions`] from the logins, if this login owns them. On a read-only server nothing is done.
async fn close_functions(session: &Session) -> Result<(), Error> {
    if open_functions(session).await?.is_empty() || !session.row(&IS_OWNER, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let mut closed = 0;
    in_transaction(session, async || {
        // Of nodes that start together one does it: the server refuses to change a function twice at the same time.
        session.batch("LOCK TABLE public.schema_version IN SHARE UPDATE EXCLUSIVE MODE").await?;
        for function in open_functions(session).await? {
            session.batch(&format!("REVOKE EXECUTE ON FUNCTION public.{function} FROM PUBLIC")).await?;
            closed += 1;
        }
        Ok(())
    })
    .await?;
    if closed > 0 {
        tracing::warn!(
            functions = closed,
            "every login of the database could call functions of the service and forge history; that right was revoked. Was it \
             restored with --no-acl? The rights of administrators and readers are then missing too: SELECT grant_to_roles()"
        );
    }
    Ok(())
}

const IS_OWNER: Sql = Sql {
    text: "SELECT current_user = pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = 'public.audit_event'::regclass",
    types: &[],
};

const SET_VERSION: Sql =
    Sql { text: "UPDATE public.schema_version SET version = $1 WHERE id = 1", types: &[Type::INT4] };

/// The command's error for an error of the server.
pub(super) fn failed(address: &Address, error: &Error) -> OpenError {
    let reason = match error.code().map(|code| code.code()) {
        Some("42501") => format!(
            "{}: let the login own the database and its tables (ALTER DATABASE … OWNER TO …, ALTER TABLE … OWNER TO …).",
            text(error)
        ),
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
