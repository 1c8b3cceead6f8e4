//! Connections for SQL written by hand: its permissions, and the actor of its changes.

use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension as _, ffi, params};
use uuid::Uuid;

use super::calls::record::set_triggers;
use super::file::open::{absent, admin, clear_leftovers, connect, sqlite, use_wal};
use super::file::schema::{self, objects};
use crate::store::{HashPassword, OpenError};

/// How long hand-written SQL waits for the lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Under full load the service releases the lock for a fraction of a millisecond at a time, while it answers a group. SQLite's
/// own busy handler, with up to 100 ms between two tries, hardly ever hits that moment.
pub(super) fn try_again_soon(tries: i32) -> bool {
    const PAUSE: Duration = Duration::from_millis(1);
    std::thread::sleep(PAUSE);
    PAUSE * u32::try_from(tries).unwrap_or(0) < BUSY_TIMEOUT
}

/// A connection for SQL written by hand: it has the function `hash_password('…')`, and refuses statements that would remove the
/// guards (dropping our tables and triggers, switching checks off).
pub struct AdminConnection {
    connection: Connection,
    /// Set while [`AdminConnection::in_the_name_of`] writes rows that SQL by hand must not write.
    is_trusted: Arc<AtomicBool>,
}

/// The author of changes by hand, with the reason.
#[derive(Debug, Clone)]
pub struct Author {
    pub name: String,
    pub reason: Option<String>,
}

impl Deref for AdminConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Opens a database for SQL by hand. `create`: creates it if it does not exist or is an empty file.
pub fn admin_connection(path: &Path, create: bool, hash_password: HashPassword) -> Result<AdminConnection, OpenError> {
    let mut connection = admin(path, BUSY_TIMEOUT, create)?;
    set_triggers(&connection, false)
        .and_then(|()| clear_leftovers(&connection))
        .and_then(|()| set_triggers(&connection, true))
        .map_err(|e| sqlite(path, e))?;
    connection.busy_handler(Some(try_again_soon)).map_err(|e| sqlite(path, e))?;
    AdminConnection::new(connection, path, hash_password).map_err(|e| sqlite(path, e))
}

/// See [`crate::store::run_sql`].
pub fn run_sql(path: &Path, script: &str, hash_password: HashPassword) -> Result<(), OpenError> {
    admin_connection(path, true, hash_password)?.execute_batch(script).map_err(|e| sqlite(path, e))
}

/// Creates a database from the output of `.dump`: SQL that creates our tables and fills them.
///
/// # Errors
///
/// An existing file that is not empty, SQL that fails, and a schema that is not ours; then no file is left.
pub fn restore_dump(path: &Path, dump: &str) -> Result<(), OpenError> {
    if absent(path)?.is_none() {
        return Err(OpenError::Setting(format!(
            "{}: exists already; a dump is restored to a new file",
            path.display()
        )));
    }
    let restored = connect(path, BUSY_TIMEOUT, true).and_then(|connection| {
        connection.execute_batch(dump).map_err(|e| sqlite(path, e))?;
        schema::bring_up(&connection, path, |_| Ok(()))?;
        use_wal(&connection, path)
    });
    if restored.is_err() {
        std::fs::remove_file(path)?;
    }
    restored
}

impl AdminConnection {
    fn new(mut connection: Connection, path: &Path, hash_password: HashPassword) -> rusqlite::Result<AdminConnection> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        connection.create_scalar_function("hash_password", 1, flags, move |context| {
            let password: String = context.get(0)?;
            hash_password(&password).map_err(|e| rusqlite::Error::UserFunctionError(e.into()))
        })?;
        let ours = objects(&connection)?;
        let is_trusted = Arc::new(AtomicBool::new(false));
        let trusted = Arc::clone(&is_trusted);
        let path = path.to_owned();
        let is_refused = move |context: &AuthContext<'_>| {
            // VACUUM copies every row to a database of its own.
            let vacuum = context.database_name.is_some_and(|name| name.starts_with("vacuum_"));
            match context.action {
                AuthAction::DropTable { table_name } | AuthAction::AlterTable { table_name, .. } => {
                    ours.contains_key(table_name)
                }
                AuthAction::DropTrigger { trigger_name, .. } => ours.contains_key(trigger_name),
                AuthAction::DropIndex { index_name, .. } => ours.contains_key(index_name),
                AuthAction::DropView { view_name } => ours.contains_key(view_name),
                // An administrator's own trigger on our tables could break what ours guard.
                AuthAction::CreateTrigger { table_name, .. } | AuthAction::CreateTempTrigger { table_name, .. } => {
                    ours.contains_key(table_name)
                }
                // So could a unique index: OR REPLACE deletes the conflicting rows without calling a trigger.
                AuthAction::CreateIndex { table_name, .. } => {
                    context.database_name == Some("main") && ours.contains_key(table_name)
                }
                // A ticket or session made by hand would forge a sign-in; a call made by hand, a change in another name; a named
                // call, an answer that the service never gave; the others, events that never happened.
                AuthAction::Insert {
                    table_name: "ticket" | "session" | "call" | "named_call" | "refusal" | "credential_use" | "upkeep",
                } => !vacuum,
                AuthAction::Update {
                    table_name: "session" | "call" | "named_call" | "refusal" | "credential_use" | "upkeep",
                    ..
                } => true,
                AuthAction::Delete { table_name: "call" } => true,
                // Attached under another name, the tables of this file would not be recognised as ours. A computed name is
                // unknown here.
                AuthAction::Attach { filename } => {
                    filename.starts_with("file:") || is_same_file(&path, Path::new(filename))
                }
                AuthAction::Unknown { code: ffi::SQLITE_ATTACH, .. } => true,
                AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
                    GUARDING_PRAGMAS.contains(&pragma_name.to_ascii_lowercase().as_str())
                }
                _ => false,
            }
        };
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            let refused = !trusted.load(Ordering::Relaxed) && is_refused(&context);
            if refused { Authorization::Deny } else { Authorization::Allow }
        }))?;
        Ok(AdminConnection { connection, is_trusted })
    }

    /// Runs changes in the author's name, in one transaction, or in the open one.
    pub fn in_the_name_of<T, E: From<rusqlite::Error>>(
        &self,
        author: &Author,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.connection.execute_batch("SAVEPOINT in_the_name_of")?;
        let changed = self.write_call(Some(author)).map_err(E::from).and_then(|()| change());
        let changed = changed.and_then(|value| self.write_call(None).map(|()| value).map_err(E::from));
        // A failure may have ended the transaction.
        if !self.connection.is_autocommit() {
            let undo = if changed.is_err() { "ROLLBACK TO in_the_name_of; " } else { "" };
            self.connection.execute_batch(&format!("{undo}RELEASE in_the_name_of"))?;
        }
        changed
    }

    fn write_call(&self, author: Option<&Author>) -> rusqlite::Result<()> {
        self.is_trusted.store(true, Ordering::Relaxed);
        let written = set_triggers(&self.connection, false).and_then(|()| match author {
            Some(Author { name, reason }) => self.connection.execute(
                "INSERT INTO call (id, request_id, actor, reason) VALUES (1, ?1, ?2, ?3)",
                params![Uuid::new_v4().to_string(), name, reason],
            ),
            None => self.connection.execute("DELETE FROM call", []),
        });
        let on_again = set_triggers(&self.connection, true);
        self.is_trusted.store(false, Ordering::Relaxed);
        written.and(on_again)
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// The message of a guard, without SQLite's additions.
pub fn explain(error: &rusqlite::Error) -> String {
    let message = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    // A number in a message of the schema; see license_pool_update.
    match message.strip_prefix("bad JSON path: '").and_then(|m| m.strip_suffix('\'')) {
        Some(said) => said.to_owned(),
        None => message.strip_prefix("CHECK constraint failed: ").map_or(message.clone(), str::to_owned),
    }
}

/// Seats that one step of [`resize_pool`] adds or removes: some 50 ms, in which no call can change anything.
const STEP_SEATS: i64 = 20_000;
/// The pause between two steps, in which the service answers waiting calls.
const STEP_PAUSE: Duration = Duration::from_millis(100);

/// Changes `seats_total` of a pool in steps, between which the service answers calls; `progress` gets the number after each.
/// Completed steps stay if a later step is refused.
///
/// # Errors
///
/// A pool that does not exist, and refusals of the guards: fewer seats than are in use, more than a pool can have.
pub fn resize_pool(
    connection: &AdminConnection,
    author: Option<&Author>,
    pool_id: i64,
    seats: i64,
    mut progress: impl FnMut(i64),
) -> Result<(), String> {
    let words = |error: rusqlite::Error| explain(&error);
    // Checked before the first step, so that a refusal changes nothing.
    let found = "SELECT seats_total, seats_in_use FROM license_pool WHERE id = ?1";
    let read = || connection.query_row(found, [pool_id], |row| Ok((row.get(0)?, row.get(1)?))).optional();
    let (mut total, in_use): (i64, i64) =
        read().map_err(words)?.ok_or_else(|| format!("there is no pool {pool_id}"))?;
    let is_refused = !(in_use..=SEATS_MAX).contains(&seats);
    while total != seats {
        let next = if is_refused { seats } else { total + (seats - total).clamp(-STEP_SEATS, STEP_SEATS) };
        let change = || connection.execute("UPDATE license_pool SET seats_total = ?2 WHERE id = ?1", [pool_id, next]);
        match author {
            Some(author) => connection.in_the_name_of(author, change),
            None => change(),
        }
        .map_err(words)?;
        total = next;
        progress(total);
        if total != seats {
            std::thread::sleep(STEP_PAUSE);
        }
    }
    Ok(())
}

/// As in `schema.sql`, whose constraint decides.
const SEATS_MAX: i64 = 10_000_000;

/// Settings that SQL by hand may read but not write: each would switch off a guard or the durability of the file.
const GUARDING_PRAGMAS: [&str; 7] = [
    "ignore_check_constraints",
    "writable_schema",
    "journal_mode",
    "synchronous",
    "user_version",
    "application_id",
    "trusted_schema",
];
