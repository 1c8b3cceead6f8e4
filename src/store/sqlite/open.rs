//! Opening a database file: make it, migrate it, refuse it; the settings every connection has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OpenFlags};

/// The tables, as an administrator reads them.
pub const SCHEMA: &str = include_str!("../../../schema.sql");
/// The version `schema.sql` makes.
pub const SCHEMA_VERSION: i32 = 3;
/// `MIGRATIONS[n - 1]` leads from version n to n + 1. When the schema changes, `schema.sql` as it was is added here with
/// the step to the next version; a test compares what the steps make with what `schema.sql` makes.
const MIGRATIONS: &[Migration<'_>] = &[
    Migration { from: include_str!("migrations/schema_1.sql"), step: include_str!("migrations/2.sql") },
    Migration { from: include_str!("migrations/schema_2.sql"), step: include_str!("migrations/3.sql") },
];

struct Migration<'s> {
    /// `schema.sql` as it was, to the letter: a file is migrated only if it still has all of it.
    from: &'s str,
    /// What leads to the next version, of tables, indexes and rows. Views and triggers are made by [`step_up`].
    step: &'s str,
}

/// The part of `schema.sql` that begins with this line makes all views and triggers.
const GUARDS_MARK: &str = "\n-- GUARDS: ";

/// "SEAQ": `PRAGMA application_id` of our files.
const APPLICATION_ID: i32 = 1_397_048_145;
/// The first SQLite whose WAL is safe with concurrent writers.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Why a database was not opened. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: there is no such database", .0.display())]
    Missing(PathBuf),
    #[error("{}: this is not a Seatkeeper database, and it is not empty. Name another file.", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{}: its schema has version {found}, this program knows up to {known}. Run a newer seatkeeper, or restore a backup made before the upgrade.",
        .path.display()
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error("{}: the schema was changed: {what}. Run 'seatkeeper check' for all of it; restore a backup or undo the change.", .path.display())]
    Tampered { path: PathBuf, what: String },
    #[error("{}: {source}", .path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The one connection that writes. Makes or migrates the database.
pub(super) fn writer(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let connection = admin(path, busy_timeout, true)?;
    if let Some(what) = super::check::schema_differences(&connection).map_err(|e| sqlite(path, e))?.into_iter().next() {
        return Err(OpenError::Tampered { path: path.to_owned(), what });
    }
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| sqlite(path, e))?;
    configure(&connection, path, busy_timeout, 512)?;
    connection.pragma_update(None, "query_only", true).map_err(|e| sqlite(path, e))?;
    Ok(connection)
}

/// How long hand-written SQL waits for the lock.
const HAND_WRITTEN_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The service under full load gives the lock back for a fraction of a millisecond at a time, while it answers a group.
/// SQLite's own way of waiting, up to 100 ms between two tries, hardly ever meets that moment.
fn try_again_soon(tries: i32) -> bool {
    const PAUSE: Duration = Duration::from_millis(1);
    std::thread::sleep(PAUSE);
    PAUSE * u32::try_from(tries).unwrap_or(0) < HAND_WRITTEN_BUSY_TIMEOUT
}

/// What makes a PHC string of a password. The store knows no cryptography; who opens it hands this down.
pub type HashPassword = fn(&str) -> Result<String, String>;

/// A connection for SQL written by hand: it has the function `hash_password('…')`, and refuses what would take the
/// guards away (dropping our tables and triggers, switching checks off). `create`: make the database if there is none.
pub fn admin_connection(path: &Path, create: bool, hash_password: HashPassword) -> Result<Connection, OpenError> {
    let mut connection = admin(path, HAND_WRITTEN_BUSY_TIMEOUT, create)?;
    connection.busy_handler(Some(try_again_soon)).map_err(|e| sqlite(path, e))?;
    prepare_for_hand_written_sql(&mut connection, hash_password).map_err(|e| sqlite(path, e))?;
    Ok(connection)
}

fn admin(path: &Path, busy_timeout: Duration, create: bool) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::Setting(format!(
            "SQLite {} is linked; 3.51.3 or later is needed (earlier ones can lose writes in WAL mode)",
            rusqlite::version()
        )));
    }
    if !path.exists() {
        if !create {
            return Err(OpenError::Missing(path.to_owned()));
        }
        create_private_file(path)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| sqlite(path, e))?;
    configure(&connection, path, busy_timeout, 4096)?;
    migrate(&connection, path, SCHEMA, MIGRATIONS)?;
    // After the schema is there: the first change of a WAL file should not be the switch to WAL itself.
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|e| sqlite(path, e))?;
    if mode != "wal" {
        return Err(OpenError::Setting(format!(
            "{}: WAL mode is not possible here (journal_mode is '{mode}'). Put the file on a local file system.",
            path.display()
        )));
    }
    Ok(connection)
}

/// The file holds password hashes: only its owner reads it. The WAL files inherit this.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

/// The settings every connection has, read back because SQLite ignores a PRAGMA it does not know.
fn configure(connection: &Connection, path: &Path, busy_timeout: Duration, cache_kib: i64) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(failed)?;
    // Plans do not depend on the values bound. Else a statement with a LIMIT that is bound is prepared anew at each use,
    // which costs more than to run it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    let settings: [(&str, i64); 5] =
        [("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0), ("cache_size", -cache_kib), ("temp_store", 2)];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).map_err(failed)?;
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0)).map_err(failed)?;
        if found != value {
            return Err(OpenError::Setting(format!("{}: PRAGMA {name} stays {found}", path.display())));
        }
    }
    Ok(())
}

/// Brings the file to the newest version in one transaction, so that a crash leaves the old version or the new one.
fn migrate(connection: &Connection, path: &Path, schema: &str, migrations: &[Migration<'_>]) -> Result<(), OpenError> {
    let newest = i32::try_from(migrations.len()).unwrap_or(i32::MAX - 1) + 1;
    let failed = |e| sqlite(path, e);
    let version = || connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0));
    if version().map_err(failed)? == newest && is_ours(connection).map_err(failed)? {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    // Again, now that no other program can be at it.
    let found = version().map_err(failed)?;
    let result = if found > newest {
        Err(OpenError::Newer { path: path.to_owned(), found, known: newest })
    } else if found == 0 && is_empty(connection).map_err(failed)? {
        connection.execute_batch(schema).map_err(failed)
    } else if found >= 1 && is_ours(connection).map_err(failed)? {
        step_up(connection, path, schema, &migrations[(found - 1) as usize..])
            .and_then(|()| connection.pragma_update(None, "user_version", newest).map_err(failed))
    } else {
        Err(OpenError::Foreign(path.to_owned()))
    };
    connection.execute_batch(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(failed)?;
    result
}

/// Takes the steps while no guard is in their way, then makes the guards of the newest version. A file whose guards were
/// changed is refused as it stands: its rows may break promises, and new guards would hide that.
fn step_up(connection: &Connection, path: &Path, schema: &str, migrations: &[Migration<'_>]) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    // None: another program has migrated the file meanwhile.
    let Some(first) = migrations.first() else { return Ok(()) };
    let differences = super::check::differences(connection, first.from).map_err(failed)?;
    if let Some(what) = differences.into_iter().next() {
        return Err(OpenError::Tampered { path: path.to_owned(), what });
    }
    drop_guards(connection, first.from).map_err(failed)?;
    migrations.iter().try_for_each(|migration| connection.execute_batch(migration.step)).map_err(failed)?;
    connection.execute_batch(guards(schema)).map_err(failed)
}

/// The part of a schema that makes its views and triggers.
fn guards(schema: &str) -> &str {
    schema.find(GUARDS_MARK).map_or("", |at| &schema[at..])
}

/// Drops the views and triggers that this schema makes, and no others.
fn drop_guards(connection: &Connection, schema: &str) -> rusqlite::Result<()> {
    let made = Connection::open_in_memory()?;
    made.execute_batch(schema)?;
    let mut statement = made.prepare(
        "SELECT 'DROP ' || type || ' IF EXISTS ' || name FROM sqlite_schema WHERE type IN ('trigger', 'view')",
    )?;
    let drops: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    drops.iter().try_for_each(|drop| connection.execute_batch(drop))
}

fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))? == APPLICATION_ID)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

fn sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Sqlite { path: path.to_owned(), source }
}

fn prepare_for_hand_written_sql(connection: &mut Connection, hash_password: HashPassword) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("hash_password", 1, flags, move |context| {
        let password: String = context.get(0)?;
        hash_password(&password).map_err(|e| rusqlite::Error::UserFunctionError(e.into()))
    })?;
    connection.execute_batch(&format!(
        "CREATE TEMP TRIGGER {NO_CALL_BY_HAND} BEFORE INSERT ON main.license_pool WHEN NEW.last_call IS NOT NULL BEGIN
             SELECT RAISE(ABORT, 'not authorized: license_pool.last_call is written by the service, leave it out');
         END"
    ))?;
    let ours = objects(connection)?;
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        // VACUUM copies every row to a database of its own.
        let vacuum = context.database_name.is_some_and(|name| name.starts_with("vacuum_"));
        let refused = match context.action {
            AuthAction::DropTable { table_name } => ours.contains_key(table_name),
            AuthAction::AlterTable { table_name, .. } => ours.contains_key(table_name),
            AuthAction::DropTrigger { trigger_name, .. } => ours.contains_key(trigger_name),
            AuthAction::DropTempTrigger { trigger_name, .. } => trigger_name == NO_CALL_BY_HAND,
            AuthAction::DropIndex { index_name, .. } => ours.contains_key(index_name),
            AuthAction::DropView { view_name } => ours.contains_key(view_name),
            // A trigger of somebody's own on our tables could undo what ours guard.
            AuthAction::CreateTrigger { table_name, .. } | AuthAction::CreateTempTrigger { table_name, .. } => {
                ours.contains_key(table_name)
            }
            // So could a unique index: OR REPLACE deletes the rows it conflicts with, and no trigger hears of it.
            AuthAction::CreateIndex { table_name, .. } => {
                context.database_name == Some("main") && ours.contains_key(table_name)
            }
            // It tells the audit which changes were calls of the service. An INSERT does not say here which columns it
            // writes: that is the temporary trigger's, which sees this database only.
            AuthAction::Update { table_name: "seat" | "license_pool", column_name: "last_call" } => true,
            AuthAction::Insert { table_name: "license_pool" } => context.database_name != Some("main") && !vacuum,
            // A ticket made by hand would be somebody else's sign-in.
            AuthAction::Insert { table_name: "ticket" } => !vacuum,
            AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
                GUARDING_PRAGMAS.contains(&pragma_name.to_ascii_lowercase().as_str())
            }
            _ => false,
        };
        if refused { Authorization::Deny } else { Authorization::Allow }
    }))
}

/// The temporary trigger that keeps SQL by hand from making a pool in the name of a call.
const NO_CALL_BY_HAND: &str = "no_call_by_hand";

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

/// Name and SQL of every table, index, view and trigger that is not SQLite's own. The SQL is [`normalized`]: a migrated file
/// has the same objects as a new one, though not the same comments.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map([], |row| Ok((row.get(0)?, normalized(row.get_ref(1)?.as_str()?))))?
        .collect()
}

/// SQL without comments, and with white space only where two words would run together. What is quoted stays as it is.
fn normalized(sql: &str) -> String {
    let mut normal = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut apart = false;
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_len(rest, first));
        rest = after;
        if first.is_ascii_whitespace() || token.starts_with("--") || token.starts_with("/*") {
            apart = true;
            continue;
        }
        if apart && normal.ends_with(is_of_word) && is_of_word(first) {
            normal.push(' ');
        }
        normal.push_str(token);
        apart = false;
    }
    normal
}

/// The bytes of the comment, the quoted text or the single character that SQL begins with. A quote that is doubled inside
/// quotes ends one token and begins the next, which comes to the same.
fn token_len(sql: &str, first: char) -> usize {
    let up_to = |end: &str, from: usize| sql[from..].find(end).map_or(sql.len(), |at| from + at + end.len());
    match first {
        '-' if sql.starts_with("--") => up_to("\n", 2),
        '/' if sql.starts_with("/*") => up_to("*/", 2),
        '\'' => up_to("'", 1),
        '"' => up_to("\"", 1),
        '`' => up_to("`", 1),
        '[' => up_to("]", 1),
        _ => first.len_utf8(),
    }
}

/// Whether a character may be part of a word or a quoted one. `'a' 'b'` is not `'a''b'`.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() || "_$'\"`[]".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i32 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("version")
    }

    const V1: &str = "PRAGMA application_id = 1397048145; PRAGMA user_version = 1; CREATE TABLE a (x INTEGER);
                      CREATE TRIGGER old BEFORE INSERT ON a BEGIN SELECT RAISE(ABORT, 'old'); END;";
    const V2: &str = "PRAGMA application_id = 1397048145; PRAGMA user_version = 2; CREATE TABLE a (x INTEGER);
                      CREATE TABLE b (x INTEGER);";
    const V3: &str = "PRAGMA application_id = 1397048145; PRAGMA user_version = 3;
                      CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER); CREATE TABLE c (x INTEGER);
\n-- GUARDS: from here on.
                      CREATE VIEW v AS SELECT 1 AS one;
                      CREATE TRIGGER new BEFORE DELETE ON b BEGIN SELECT RAISE(ABORT, 'new'); END;";
    const STEPS: &[Migration<'_>] = &[
        Migration { from: V1, step: "CREATE TABLE b (x INTEGER); INSERT INTO a VALUES (1)" },
        Migration { from: V2, step: "CREATE TABLE c (x INTEGER)" },
    ];

    fn made(schema: &str) -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(schema).expect("schema");
        connection
    }

    #[test]
    fn an_older_file_is_migrated_and_a_new_one_is_made_the_same() {
        let path = Path::new("memory");
        let new = Connection::open_in_memory().expect("open");
        migrate(&new, path, V3, STEPS).expect("make version 3");
        for schema in [V1, V2] {
            let old = made(schema);
            migrate(&old, path, V3, STEPS).expect("migrate");
            assert_eq!((version(&old), version(&new)), (3, 3));
            assert_eq!(objects(&old).expect("old"), objects(&new).expect("new"));
        }
    }

    #[test]
    fn a_failing_migration_leaves_the_old_version() {
        let path = Path::new("memory");
        let old = made(V1);
        let broken = &[
            Migration { from: V1, step: "CREATE TABLE b (x INTEGER)" },
            Migration { from: V2, step: "CREATE TABLE a (x INTEGER)" },
        ];
        migrate(&old, path, V3, broken).expect_err("the second step fails");
        assert_eq!(version(&old), 1);
        assert_eq!(objects(&old).expect("objects"), objects(&made(V1)).expect("version 1"));
        assert!(old.is_autocommit());
    }

    /// Objects of others stay; a trigger of others on our tables is refused before anything is changed.
    #[test]
    fn a_migration_takes_no_object_of_others() {
        let path = Path::new("memory");
        let old = made(V1);
        old.execute_batch(
            "CREATE TABLE theirs (x); CREATE VIEW of_ours AS SELECT x FROM a;
             CREATE TRIGGER on_theirs AFTER INSERT ON theirs BEGIN SELECT 1; END;",
        )
        .expect("theirs");
        migrate(&old, path, V3, STEPS).expect("migrate");
        let found = objects(&old).expect("objects");
        for name in ["theirs", "of_ours", "on_theirs", "v", "new"] {
            assert!(found.contains_key(name), "{name}");
        }
        for (change, reason) in [
            ("DROP TRIGGER old", "'old' is missing"),
            ("CREATE TRIGGER mine AFTER INSERT ON a BEGIN SELECT 1; END", "'mine' on 'a' is not ours"),
        ] {
            let old = made(V1);
            old.execute_batch(change).expect("change");
            let before = objects(&old).expect("objects");
            let refused = migrate(&old, path, V3, STEPS).expect_err(change);
            assert!(matches!(&refused, OpenError::Tampered { what, .. } if what == reason), "{refused}");
            assert_eq!((version(&old), objects(&old).expect("objects")), (1, before), "{change}");
        }
    }

    #[test]
    fn a_newer_file_and_a_foreign_one_are_refused() {
        let path = Path::new("memory");
        let newer = made(V3);
        assert!(matches!(migrate(&newer, path, V1, &[]), Err(OpenError::Newer { found: 3, known: 1, .. })));
        let foreign = made("CREATE TABLE somebody_elses (x)");
        assert!(matches!(migrate(&foreign, path, SCHEMA, MIGRATIONS), Err(OpenError::Foreign(_))));
        assert!(foreign.is_autocommit());
    }

    #[test]
    fn schema_sql_makes_the_version_this_program_knows() {
        let connection = made(SCHEMA);
        assert_eq!(version(&connection), SCHEMA_VERSION);
        assert_eq!(MIGRATIONS.len() as i32 + 1, SCHEMA_VERSION);
        assert!(is_ours(&connection).expect("id"));
    }

    /// The guards stand in one place: after the mark in `schema.sql`, and in no step.
    #[test]
    fn views_and_triggers_are_made_after_the_mark_only() {
        let is_guard = |line: &&str| line.starts_with("CREATE TRIGGER") || line.starts_with("CREATE VIEW");
        let before = &SCHEMA[..SCHEMA.len() - guards(SCHEMA).len()];
        assert_eq!(before.lines().find(is_guard), None);
        assert_eq!(guards(SCHEMA).lines().find(|line| line.starts_with("CREATE ") && !is_guard(line)), None);
        for migration in MIGRATIONS {
            assert_eq!(migration.step.lines().find(|line| line.contains("TRIGGER") || line.contains("VIEW")), None);
        }
    }

    #[test]
    fn a_file_of_every_version_becomes_what_schema_sql_makes() {
        let new = objects(&made(SCHEMA)).expect("the newest");
        for (number, migration) in (1..).zip(MIGRATIONS) {
            let old = made(migration.from);
            assert_eq!(version(&old), number);
            migrate(&old, Path::new("memory"), SCHEMA, MIGRATIONS).expect("migrate");
            assert_eq!((version(&old), objects(&old).expect("old")), (SCHEMA_VERSION, new.clone()), "version {number}");
        }
    }

    #[test]
    fn what_no_sql_means_is_no_difference() {
        for (sql, normal) in [
            ("CREATE  TABLE\n t ( a TEXT , b )", "CREATE TABLE t(a TEXT,b)"),
            ("a -- it's a comment\n  b", "a b"),
            ("a/* \"one\" */b/**/,/* two", "a b,"),
            ("a -- to the end", "a"),
            ("x = 'a  -- b'  ||  'it''s /* c */'", "x='a  -- b'||'it''s /* c */'"),
            ("\"a \"\"  b\" CHECK ( x )", "\"a \"\"  b\" CHECK(x)"),
            ("`a  b`  [c  --  d]  e", "`a  b` [c  --  d] e"),
            ("'a'  'b'", "'a' 'b'"),
            ("'a''b'", "'a''b'"),
            ("'not closed -- ", "'not closed -- "),
            ("1 - -1", "1--1"),
            ("'ä'  ü", "'ä' ü"),
        ] {
            assert_eq!(normalized(sql), normal, "{sql}");
        }
        let bound = "seats INTEGER CONSTRAINT \"1 to 9\" CHECK (seats BETWEEN 1 AND 9 AND kind <> 'a b')";
        for (from, to) in [("AND 9", "AND 99"), ("1 to", "1  to"), ("'a b'", "'a  b'"), ("'a b'", "'ab'"), ("<>", "=")]
        {
            assert_ne!(normalized(bound), normalized(&bound.replace(from, to)), "{from} is {to}");
        }
    }
}
