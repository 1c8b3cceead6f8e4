//! The schema of the file: creates it, migrates an older one, and compares it with `schema.sql`.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::open::sqlite;
use crate::store::OpenError;
use crate::store::sqlite::tokens::tokens;

/// The tables, with comments for administrators.
pub const SCHEMA: &str = include_str!("../../../../schema.sql");
/// The version of `schema.sql`.
pub const SCHEMA_VERSION: i32 = 5;
/// `MIGRATIONS[n - 1]` leads from version n to n + 1. When the schema changes, add the old `schema.sql` here with the step to the
/// next version; a test compares the result of the steps with `schema.sql`.
const MIGRATIONS: &[Migration<'_>] = &[
    Migration { from: include_str!("../migrations/schema_1.sql"), step: include_str!("../migrations/2.sql") },
    Migration { from: include_str!("../migrations/schema_2.sql"), step: include_str!("../migrations/3.sql") },
    Migration { from: include_str!("../migrations/schema_3.sql"), step: include_str!("../migrations/4.sql") },
    Migration { from: include_str!("../migrations/schema_4.sql"), step: include_str!("../migrations/5.sql") },
];

struct Migration<'s> {
    /// The old `schema.sql`, to the letter: a file is migrated only if it still has all of it.
    from: &'s str,
    /// The change of tables, indexes and rows to the next version. The line [`TABLES_MARK`] stands for the tables of the next
    /// version. [`step_up`] makes views and triggers.
    step: &'s str,
}

/// The part of `schema.sql` from this line on makes all views and triggers.
const GUARDS_MARK: &str = "\n-- GUARDS: ";
/// The place in a step for the tables and indexes of the next version.
const TABLES_MARK: &str = "\n-- TABLES\n";

/// "SEAQ": `PRAGMA application_id` of our files.
pub(crate) const APPLICATION_ID: i32 = 1_397_048_145;

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// No table, no row.
    Nothing,
    /// Our tables. `is_marked`: the file has our application id and version, as all files except those made from a dump.
    Ours { version: i32, is_marked: bool },
}

/// The content of the file. Changes nothing.
///
/// # Errors
///
/// The file of another program, one of a newer program, and an unmarked file whose schema no version of ours has had. Only the
/// tables of an unmarked file are compared.
pub(crate) fn contents(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    contents_by(connection, path, SCHEMA, MIGRATIONS)
}

fn contents_by(
    connection: &Connection,
    path: &Path,
    schema: &str,
    migrations: &[Migration<'_>],
) -> Result<Contents, OpenError> {
    let failed = |e| sqlite(path, e);
    let newest = newest(migrations);
    let found = version(connection).map_err(failed)?;
    let is_ours = is_ours(connection).map_err(failed)?;
    if found > newest {
        Err(OpenError::Newer { path: path.to_owned(), found, known: newest })
    } else if found == 0 && is_empty(connection).map_err(failed)? {
        Ok(Contents::Nothing)
    } else if found >= 1 && is_ours {
        Ok(Contents::Ours { version: found, is_marked: true })
    } else if found == 0 && !is_ours && has_our_tables(connection).map_err(failed)? {
        // A file made from the output of .dump has everything but these two numbers.
        let steps = version_by_objects(connection, path, schema, migrations)?;
        Ok(Contents::Ours { version: 1 + i32::try_from(steps).unwrap_or(0), is_marked: false })
    } else {
        Err(OpenError::Foreign(path.to_owned()))
    }
}

/// The schema of a version, to the letter; `None`: the version does not exist.
pub(crate) fn of_version(version: i32) -> Option<&'static str> {
    let index = usize::try_from(version).ok()?.checked_sub(1)?;
    if version == SCHEMA_VERSION { Some(SCHEMA) } else { MIGRATIONS.get(index).map(|migration| migration.from) }
}

/// Ensures that the file has the newest schema. `create`: creates the schema in a file without tables.
///
/// # Errors
///
/// As [`contents`]; a file of an older version, which [`bring_up`] changes; one without tables, unless `create`.
pub(crate) fn prepare(connection: &Connection, path: &Path, create: bool) -> Result<(), OpenError> {
    match contents(connection, path)? {
        Contents::Ours { version: SCHEMA_VERSION, is_marked: true } => Ok(()),
        Contents::Ours { version: found, .. } if found < SCHEMA_VERSION => {
            Err(OpenError::Older { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        Contents::Nothing if !create => Err(OpenError::Empty(path.to_owned())),
        Contents::Nothing | Contents::Ours { .. } => bring_up(connection, path, |_| Ok(())),
    }
}

/// Creates the schema in a file without tables, or migrates an older file to the newest version. `before`: called when an older
/// version was found and no other program can write; its error ends the migration, and the file stays unchanged.
pub(crate) fn bring_up(
    connection: &Connection,
    path: &Path,
    before: impl FnOnce(i32) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    migrate(connection, path, SCHEMA, MIGRATIONS, before)
}

/// The version that these steps lead to.
fn newest(migrations: &[Migration<'_>]) -> i32 {
    i32::try_from(migrations.len()).unwrap_or(i32::MAX - 1) + 1
}

/// Migrates the file to the newest version in one transaction, so that a crash leaves the old version or the new one.
fn migrate(
    connection: &Connection,
    path: &Path,
    schema: &str,
    migrations: &[Migration<'_>],
    before: impl FnOnce(i32) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    // Steps rename tables that others may refer to by name. It cannot be switched inside the transaction.
    connection.pragma_update(None, "foreign_keys", false).map_err(failed)?;
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let result = migrate_in_transaction(connection, path, schema, migrations, before);
    connection.execute_batch(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    result
}

fn migrate_in_transaction(
    connection: &Connection,
    path: &Path,
    schema: &str,
    migrations: &[Migration<'_>],
    before: impl FnOnce(i32) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    let newest = newest(migrations);
    match contents_by(connection, path, schema, migrations)? {
        Contents::Nothing => connection.execute_batch(schema).map_err(failed),
        Contents::Ours { version: found, is_marked } => {
            if found < newest {
                before(found)?;
            }
            step_up(connection, path, schema, &migrations[(found - 1) as usize..])?;
            if !is_marked {
                connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            }
            connection.pragma_update(None, "user_version", newest).map_err(failed)
        }
    }
}

/// The number of steps that lead to the schema of an unmarked file.
fn version_by_objects(
    connection: &Connection,
    path: &Path,
    schema: &str,
    migrations: &[Migration<'_>],
) -> Result<usize, OpenError> {
    for (steps, migration) in migrations.iter().enumerate() {
        if differences(connection, migration.from).map_err(|e| sqlite(path, e))?.is_empty() {
            return Ok(steps);
        }
    }
    match differences(connection, schema).map_err(|e| sqlite(path, e))?.into_iter().next() {
        None => Ok(migrations.len()),
        Some(what) => Err(OpenError::Tampered { path: path.to_owned(), what }),
    }
}

/// Takes the steps without guards, then makes the guards of the newest version. Refuses a file whose guards were changed: its
/// rows may break promises, and new guards would hide that.
fn step_up(connection: &Connection, path: &Path, schema: &str, migrations: &[Migration<'_>]) -> Result<(), OpenError> {
    let failed = |e| sqlite(path, e);
    // `None`: only the marks are missing, or another program has migrated the file meanwhile.
    let Some(first) = migrations.first() else { return Ok(()) };
    let differences = differences(connection, first.from).map_err(failed)?;
    if let Some(what) = differences.into_iter().next() {
        return Err(OpenError::Tampered { path: path.to_owned(), what });
    }
    let theirs = indexes_of_others(connection, first.from).map_err(failed)?;
    drop_guards(connection, first.from).map_err(failed)?;
    let next = migrations.iter().skip(1).map(|migration| migration.from).chain([schema]);
    migrations.iter().zip(next).try_for_each(|(migration, next)| take(connection, migration, next)).map_err(failed)?;
    connection.execute_batch(guards(schema)).map_err(failed)?;
    // An index on a removed column is removed with it.
    theirs.iter().for_each(|index| drop(connection.execute_batch(index)));
    Ok(())
}

/// Takes one step; `next`: the schema it leads to.
fn take(connection: &Connection, migration: &Migration<'_>, next: &str) -> rusqlite::Result<()> {
    let Some((before, after)) = migration.step.split_once(TABLES_MARK) else {
        return connection.execute_batch(migration.step);
    };
    let tables = &next[..next.len() - guards(next).len()];
    [before, tables, after].into_iter().try_for_each(|part| connection.execute_batch(part))
}

/// The indexes that an administrator made on our tables: plain indexes, which only make queries faster.
fn indexes_of_others(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<String>> {
    let ours = objects(&made(schema)?)?;
    let mut statement =
        connection.prepare("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let indexes = rows.collect::<rusqlite::Result<Vec<(String, String, String)>>>()?;
    let theirs = indexes.into_iter().filter(|(name, table, _)| ours.contains_key(table) && !ours.contains_key(name));
    Ok(theirs.map(|(_, _, sql)| sql).collect())
}

fn made(schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(schema)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The part of a schema that makes its views and triggers.
fn guards(schema: &str) -> &str {
    schema.find(GUARDS_MARK).map_or("", |at| &schema[at..])
}

/// Drops the views and triggers of this schema, and no others.
fn drop_guards(connection: &Connection, schema: &str) -> rusqlite::Result<()> {
    let made = made(schema)?;
    let mut statement = made.prepare(
        "SELECT 'DROP ' || type || ' IF EXISTS ' || name FROM sqlite_schema WHERE type IN ('trigger', 'view')",
    )?;
    let drops: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    drops.iter().try_for_each(|drop| connection.execute_batch(drop))
}

/// Refuses a file that is not a database of the newest version; changes nothing.
pub(crate) fn require_newest(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match contents(connection, path)? {
        Contents::Nothing => Err(OpenError::Empty(path.to_owned())),
        Contents::Ours { version: found, .. } if found < SCHEMA_VERSION => {
            Err(OpenError::Older { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        Contents::Ours { .. } => Ok(()),
    }
}

fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))? == APPLICATION_ID)
}

/// Whether the file has a table for seats and one for pools, as all versions have.
fn has_our_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) = 2 FROM sqlite_schema WHERE type = 'table' AND name IN ('seat', 'license_pool')";
    connection.query_row(tables, [], |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// The missing or altered objects among our tables, indexes and triggers, and foreign objects on our tables that act when rows
/// change. Ignores foreign tables, views and plain indexes.
pub(crate) fn differences(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<String>> {
    let (ours, found) = (objects(&made(schema)?)?, objects(connection)?);
    let altered = ours.iter().filter_map(|(name, sql)| match found.get(name) {
        None => Some(format!("'{name}' is missing")),
        Some(other) if other != sql => Some(format!("'{name}' is not as in schema.sql")),
        Some(_) => None,
    });
    let mut statement = connection.prepare(
        "SELECT name, tbl_name FROM sqlite_schema
          WHERE type = 'trigger' OR (type = 'index' AND upper(sql) LIKE 'CREATE UNIQUE%')",
    )?;
    let acting = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let acting: Vec<(String, String)> = acting.collect::<rusqlite::Result<_>>()?;
    let added = acting
        .into_iter()
        .filter(|(name, table)| ours.contains_key(table) && !ours.contains_key(name))
        .map(|(name, table)| format!("'{name}' on '{table}' is not ours"));
    Ok(altered.chain(added).collect())
}

/// The objects that `schema.sql` makes.
pub(crate) fn ours() -> rusqlite::Result<BTreeMap<String, String>> {
    objects(&made(SCHEMA)?)
}

/// Name and SQL of every table, index, view and trigger that is not SQLite's own. The SQL is [`normalized`]: a migrated file
/// has the same objects as a new one, though not the same comments.
pub(crate) fn objects(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map([], |row| Ok((row.get(0)?, normalized(row.get_ref(1)?.as_str()?))))?
        .collect()
}

/// SQL without comments, and with white space only where two words would run together. Quoted text stays as it is.
fn normalized(sql: &str) -> String {
    let mut normal = String::with_capacity(sql.len());
    let mut end = 0;
    for (at, token) in tokens(sql) {
        // `'a' 'b'` is not `'a''b'`.
        if at > end && normal.ends_with(is_of_word) && token.starts_with(is_of_word) {
            normal.push(' ');
        }
        normal.push_str(token);
        end = at + token.len();
    }
    normal
}

/// Whether a character may be part of a word or a quoted one.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() || "_$'\"`[]".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        super::made(schema).expect("schema")
    }

    fn version(connection: &Connection) -> i32 {
        super::version(connection).expect("version")
    }

    #[test]
    fn an_older_file_is_migrated_and_a_new_one_is_made_the_same() {
        let path = Path::new("memory");
        let new = Connection::open_in_memory().expect("open");
        migrate(&new, path, V3, STEPS, |_| Ok(())).expect("make version 3");
        for schema in [V1, V2] {
            let old = made(schema);
            migrate(&old, path, V3, STEPS, |_| Ok(())).expect("migrate");
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
        migrate(&old, path, V3, broken, |_| Ok(())).expect_err("the second step fails");
        assert_eq!(version(&old), 1);
        assert_eq!(objects(&old).expect("objects"), objects(&made(V1)).expect("version 1"));
        assert!(old.is_autocommit());
    }

    /// Foreign objects stay; a foreign trigger on our tables is refused before anything is changed.
    #[test]
    fn a_migration_takes_no_object_of_others() {
        let path = Path::new("memory");
        let old = made(V1);
        old.execute_batch(
            "CREATE TABLE theirs (x); CREATE VIEW of_ours AS SELECT x FROM a;
             CREATE TRIGGER on_theirs AFTER INSERT ON theirs BEGIN SELECT 1; END;",
        )
        .expect("theirs");
        migrate(&old, path, V3, STEPS, |_| Ok(())).expect("migrate");
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
            let refused = migrate(&old, path, V3, STEPS, |_| Ok(())).expect_err(change);
            assert!(matches!(&refused, OpenError::Tampered { what, .. } if what == reason), "{refused}");
            assert_eq!((version(&old), objects(&old).expect("objects")), (1, before), "{change}");
        }
    }

    #[test]
    fn a_newer_file_and_a_foreign_one_are_refused() {
        let path = Path::new("memory");
        let newer = made(V3);
        assert!(matches!(migrate(&newer, path, V1, &[], |_| Ok(())), Err(OpenError::Newer { found: 3, known: 1, .. })));
        let foreign = made("CREATE TABLE somebody_elses (x)");
        assert!(matches!(migrate(&foreign, path, SCHEMA, MIGRATIONS, |_| Ok(())), Err(OpenError::Foreign(_))));
        assert!(foreign.is_autocommit());
    }

    #[test]
    fn schema_sql_makes_the_version_this_program_knows() {
        let connection = made(SCHEMA);
        assert_eq!(version(&connection), SCHEMA_VERSION);
        assert_eq!(MIGRATIONS.len() as i32 + 1, SCHEMA_VERSION);
        assert!(is_ours(&connection).expect("id"));
    }

    /// The guards are in one place: after the mark in `schema.sql`, and in no step.
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
            migrate(&old, Path::new("memory"), SCHEMA, MIGRATIONS, |_| Ok(())).expect("migrate");
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
