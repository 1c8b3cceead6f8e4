//! Connections for SQL written by hand: its permissions, and the actor of its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Statement, ffi, params};
use uuid::Uuid;

use super::calls::record::set_triggers;
use super::file::companions::file_of;
use super::file::locks::{holder_of_writes, others};
use super::file::open::{absent, admin, clear_leftovers, connect, sqlite, use_wal};
use super::file::schema;
use super::sql_error::{explain, explain_discreetly};
use super::tokens::starts_with;
use crate::store::{HashPassword, OpenError};

/// How long hand-written SQL waits for the lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two tries to get the lock.
const PAUSE: Duration = Duration::from_millis(1);

/// Under full load the service releases the lock for a fraction of a millisecond at a time, while it answers a group. SQLite's
/// own busy handler, with up to 100 ms between two tries, hardly ever hits that moment.
pub(super) fn try_again_soon(tries: i32) -> bool {
    std::thread::sleep(PAUSE);
    PAUSE * u32::try_from(tries).unwrap_or(0) < BUSY_TIMEOUT
}

/// The last wait for the lock: how long, and the programs that held it meanwhile.
#[derive(Default)]
struct Wait {
    lasted: Duration,
    holders: BTreeSet<String>,
}

/// As [`try_again_soon`], and notes the programs that hold the lock.
fn wait_for_lock(path: PathBuf, wait: Arc<Mutex<Wait>>) -> impl FnMut(i32) -> bool + Send + 'static {
    /// About as many milliseconds lie between two looks.
    const TRIES_PER_LOOK: i32 = 100;
    let mut begun = Instant::now();
    move |tries| {
        let mut wait = wait.lock().unwrap_or_else(PoisonError::into_inner);
        if tries == 0 {
            begun = Instant::now();
            *wait = Wait::default();
        }
        if tries % TRIES_PER_LOOK == TRIES_PER_LOOK / 2 {
            wait.holders.extend(holder_of_writes(&path));
        }
        std::thread::sleep(PAUSE);
        wait.lasted = begun.elapsed();
        wait.lasted < BUSY_TIMEOUT
    }
}

/// A connection for SQL written by hand: it has the function `hash_password('…')`, and refuses statements that would remove the
/// guards (dropping our tables and triggers, switching checks off).
pub struct AdminConnection {
    connection: Connection,
    path: PathBuf,
    /// The objects of the schema.
    ours: Arc<BTreeMap<String, String>>,
    wait: Arc<Mutex<Wait>>,
    /// Why a statement was refused last.
    denied: Arc<Mutex<&'static str>>,
    /// Set while a statement is compiled that makes an index that is not unique.
    is_plain_index: Arc<AtomicBool>,
    /// Set while [`AdminConnection::in_the_name_of`] writes rows that SQL by hand must not write.
    is_trusted: Arc<AtomicBool>,
}

const SCHEMA: &str =
    "tables, views, indexes and triggers of the service can be neither altered nor dropped; those of your own can";
const ROWS: &str = "only the service writes these rows";

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
    let connection = admin(path, BUSY_TIMEOUT, create).map_err(|e| in_use(path, e))?;
    set_triggers(&connection, false)
        .and_then(|()| clear_leftovers(&connection))
        .and_then(|()| set_triggers(&connection, true))
        .map_err(|e| sqlite(path, e))?;
    AdminConnection::new(connection, path, hash_password).map_err(|e| sqlite(path, e))
}

/// Names the programs that keep a file from being opened.
fn in_use(path: &Path, error: OpenError) -> OpenError {
    match error {
        OpenError::Failed { path: failed, reason } if reason == "database is locked" => {
            let by = named(&others(path));
            OpenError::Failed {
                path: failed,
                reason: format!("{reason}: waited {} s for {by}", BUSY_TIMEOUT.as_secs()),
            }
        }
        other => other,
    }
}

fn named(programs: &[String]) -> String {
    if programs.is_empty() { "another program".to_owned() } else { programs.join(" and ") }
}

/// See [`crate::store::run_sql`].
pub fn run_sql(path: &Path, script: &str, hash_password: HashPassword) -> Result<(), OpenError> {
    admin_connection(path, true, hash_password)?.execute_batch(script).map_err(|e| sqlite(path, e))
}

/// Creates a database from the output of `.dump`: the statements that create our tables and fill them, each with its line.
///
/// # Errors
///
/// An existing file that is not empty, SQL that fails, and a schema that is not ours; then no file is left.
pub fn restore_dump<'s>(path: &Path, dump: impl Iterator<Item = (usize, &'s str)>) -> Result<(), OpenError> {
    if absent(path)?.is_none() {
        return Err(OpenError::Setting(format!(
            "{}: exists already; a dump is restored to a new file",
            path.display()
        )));
    }
    let restored = connect(path, BUSY_TIMEOUT, true).and_then(|connection| {
        for (line, statement) in dump {
            connection.execute_batch(statement).map_err(|e| OpenError::Failed {
                path: path.to_owned(),
                // A dump has hashes of passwords.
                reason: format!("line {line}: {}. Nothing was kept.", explain_discreetly(&e)),
            })?;
        }
        schema::bring_up(&connection, path, |_| Ok(()))?;
        use_wal(&connection, path)
    });
    if restored.is_err() {
        std::fs::remove_file(path)?;
    }
    restored
}

impl AdminConnection {
    /// The file, as an absolute path.
    ///
    /// # Errors
    ///
    /// An error of SQLite.
    pub fn file(&self) -> rusqlite::Result<PathBuf> {
        file_of(&self.connection)
    }

    fn new(mut connection: Connection, path: &Path, hash_password: HashPassword) -> rusqlite::Result<AdminConnection> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        connection.create_scalar_function("hash_password", 1, flags, move |context| {
            let password: String = context.get(0)?;
            hash_password(&password).map_err(|e| rusqlite::Error::UserFunctionError(e.into()))
        })?;
        let all_ours = Arc::new(schema::ours()?);
        let wait = Arc::new(Mutex::new(Wait::default()));
        connection.busy_handler(Some(wait_for_lock(path.to_owned(), Arc::clone(&wait))))?;
        let (is_trusted, is_plain_index) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (trusted, plain_index, ours) =
            (Arc::clone(&is_trusted), Arc::clone(&is_plain_index), Arc::clone(&all_ours));
        let path = path.to_owned();
        let own_path = path.clone();
        let refusal = move |context: &AuthContext<'_>| {
            // VACUUM copies every row to a database of its own.
            let vacuum = context.database_name.is_some_and(|name| name.starts_with("vacuum_"));
            let (is_refused, why) = match context.action {
                AuthAction::DropTable { table_name } | AuthAction::AlterTable { table_name, .. } => {
                    (ours.contains_key(table_name), SCHEMA)
                }
                AuthAction::DropTrigger { trigger_name, .. } => (ours.contains_key(trigger_name), SCHEMA),
                AuthAction::DropIndex { index_name, .. } => (ours.contains_key(index_name), SCHEMA),
                AuthAction::DropView { view_name } => (ours.contains_key(view_name), SCHEMA),
                // An administrator's own trigger on our tables could break what ours guard.
                AuthAction::CreateTrigger { table_name, .. } | AuthAction::CreateTempTrigger { table_name, .. } => {
                    (ours.contains_key(table_name), "a trigger on a table of the service could break its guards")
                }
                // So could a unique index: OR REPLACE deletes the conflicting rows without calling a trigger.
                AuthAction::CreateIndex { table_name, .. } => (
                    context.database_name == Some("main")
                        && ours.contains_key(table_name)
                        && !plain_index.load(Ordering::Relaxed),
                    "a unique index on a table of the service could evade its guards; one without UNIQUE is allowed",
                ),
                // A ticket or session made by hand would forge a sign-in; a call made by hand, a change in another name; a named
                // call, an answer that the service never gave; the others, events that never happened.
                AuthAction::Insert {
                    table_name: "ticket" | "session" | "call" | "named_call" | "refusal" | "credential_use" | "upkeep",
                } => (!vacuum, ROWS),
                AuthAction::Update {
                    table_name: "session" | "call" | "named_call" | "refusal" | "credential_use" | "upkeep",
                    ..
                }
                | AuthAction::Delete { table_name: "call" } => (true, ROWS),
                // Attached under another name, the tables of this file would not be recognised as ours. A computed name is
                // unknown here.
                AuthAction::Attach { filename } => (
                    filename.starts_with("file:") || is_same_file(&own_path, Path::new(filename)),
                    "the database itself cannot be attached, nor an address that begins with file:",
                ),
                AuthAction::Unknown { code: ffi::SQLITE_ATTACH, .. } => {
                    (true, "ATTACH takes the name of the file as plain text")
                }
                AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => (
                    GUARDING_PRAGMAS.contains(&pragma_name.to_ascii_lowercase().as_str()),
                    "this setting of SQLite keeps the guards and the file safe",
                ),
                _ => (false, ""),
            };
            is_refused.then_some(why)
        };
        let denied = Arc::new(Mutex::new(""));
        let noted = Arc::clone(&denied);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            let refusal = if trusted.load(Ordering::Relaxed) { None } else { refusal(&context) };
            match refusal {
                Some(why) => {
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) = why;
                    Authorization::Deny
                }
                None => Authorization::Allow,
            }
        }))?;
        Ok(AdminConnection { connection, path, ours: all_ours, wait, denied, is_plain_index, is_trusted })
    }

    /// Compiles the first statement of this SQL. An index that is not unique is allowed on our tables too.
    ///
    /// # Errors
    ///
    /// Invalid SQL, and statements that would remove or evade the guards.
    pub fn prepare(&self, sql: &str) -> rusqlite::Result<Statement<'_>> {
        self.is_plain_index.store(starts_with(sql, &["CREATE", "INDEX"]), Ordering::Relaxed);
        let statement = self.connection.prepare(sql);
        self.is_plain_index.store(false, Ordering::Relaxed);
        statement
    }

    /// Whether a table is one of the schema.
    pub fn is_ours(&self, table: &str) -> bool {
        self.ours.keys().any(|name| name.eq_ignore_ascii_case(table))
    }

    /// What an error says about a statement that SQL by hand may not run; `None`: the error has another cause.
    pub fn explain_denied(&self, error: &rusqlite::Error) -> Option<String> {
        let is_denied = error.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied);
        is_denied.then(|| format!("not authorized: {}", self.denied.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What an error says about other programs that write; `None`: the error has another cause.
    pub fn explain_lock(&self, error: &rusqlite::Error) -> Option<String> {
        let failure = error.sqlite_error()?;
        if failure.extended_code == ffi::SQLITE_BUSY_SNAPSHOT {
            let because = "another program has changed the database since this transaction first read it";
            return Some(format!("{because}. ROLLBACK, and begin with BEGIN IMMEDIATE"));
        }
        if failure.code != ErrorCode::DatabaseBusy {
            return None;
        }
        let wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let holders: Vec<String> = match wait.holders.is_empty() {
            true => others(&self.path),
            false => wait.holders.iter().cloned().collect(),
        };
        let waited = wait.lasted.as_secs_f32();
        Some(format!("database is locked: waited {waited:.1} s for {}. Try again when it is done", named(&holders)))
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
