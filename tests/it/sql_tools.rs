//! Other programs on the database file, objects of an administrator's own in it, and what docs/admins.md says about both.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::*;
use crate::program::{Serving, run, seatkeeper};
use crate::{clients, validator};

fn seeded(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    sql(&database, "UPDATE license_pool SET seats_total = 100 WHERE id = 1").expect("seats");
    database
}

/// It waits for the service, which writes now and then by itself.
fn stock(database: &Path, script: &str) -> crate::program::Done {
    let arguments = ["-batch", "-bail", "-init", "/dev/null", "-cmd", ".timeout 20000"];
    run(Command::new("sqlite3").args(arguments).arg(database), script)
}

fn assign(service: &Serving, username: &str) -> String {
    Client::to(service.address).send(&post11(&assign_envelope("agent", PASSWORD, username, 42, "SqlBackup"))).code()
}

/// Objects of one's own that are safe, as the table in docs/admins.md has them, and how they are removed again.
const SAFE: &[(&str, &str)] = &[
    ("CREATE TABLE mine (x, entity_id INTEGER)", "DROP TABLE mine"),
    ("CREATE TABLE mine AS SELECT id, note FROM account", "DROP TABLE mine"),
    (
        "CREATE TABLE mine (x UNIQUE); CREATE UNIQUE INDEX mine_by_x ON mine (x)",
        "DROP INDEX mine_by_x; DROP TABLE mine",
    ),
    ("CREATE TABLE mine (x); ALTER TABLE mine ADD COLUMN y; ALTER TABLE mine RENAME TO yours", "DROP TABLE yours"),
    (
        "CREATE TABLE mine (x); CREATE TRIGGER mine_insert AFTER INSERT ON mine BEGIN SELECT 1; END",
        "DROP TRIGGER mine_insert; DROP TABLE mine",
    ),
    ("CREATE VIEW mine AS SELECT username FROM seat JOIN account ON account.id = account_id", "DROP VIEW mine"),
    ("CREATE INDEX mine ON account (note)", "REINDEX mine; DROP INDEX mine"),
    ("CREATE INDEX mine ON seat (product_key) WHERE product_key IS NOT NULL", "DROP INDEX mine"),
    ("CREATE TABLE mine (entity_id INTEGER REFERENCES entity (id)); INSERT INTO mine VALUES (42)", "DROP TABLE mine"),
    ("CREATE TEMP TABLE mine AS SELECT * FROM account", "ANALYZE"),
];

#[test]
fn objects_of_ones_own_are_safe() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let service = Serving::start(&database);
    for (number, (make, remove)) in (0..).zip(SAFE) {
        for (script, user) in [(make, format!("user{number}")), (remove, format!("later{number}"))] {
            let done = seatkeeper("sql", &database, &[], &format!("{script};"));
            assert_eq!(done.code, Some(0), "{script}: {}", done.stderr);
            assert_eq!(assign(&service, &user), "Success", "{script}");
        }
    }
    service.stop();
    // All that can be there together, at a start.
    for (make, _) in [SAFE[0], SAFE[6], SAFE[7]] {
        let make = make.replace("mine", &format!("mine_{}", make.len()));
        assert_eq!(seatkeeper("sql", &database, &[], &make).code, Some(0), "{make}");
    }
    Serving::start(&database).stop();
    assert_eq!(violations(&database), []);
}

/// Objects that `seatkeeper sql` refuses. If a stock shell makes one, the service stops; tried for those marked.
const UNSAFE: &[(&str, bool)] = &[
    ("CREATE UNIQUE INDEX mine ON account (note)", true),
    ("CREATE UNIQUE INDEX IF NOT EXISTS main.mine ON account (note)", false),
    ("CREATE TRIGGER mine AFTER INSERT ON account BEGIN SELECT 1; END", true),
    ("CREATE TEMP TRIGGER mine AFTER INSERT ON account BEGIN SELECT 1; END", false),
    ("ALTER TABLE entity ADD COLUMN mine TEXT", false),
    ("ALTER TABLE entity DROP COLUMN note", false),
    ("ALTER TABLE entity RENAME COLUMN note TO remark", true),
    ("ALTER TABLE account RENAME TO accounts", true),
    ("DROP TRIGGER account_insert", false),
    ("DROP INDEX seat_by_holder", false),
    ("DROP TABLE refusal", false),
];

/// A refusal says why, and what is possible instead.
#[test]
fn what_sql_by_hand_may_not_do_is_refused_with_the_reason() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let own = format!("ATTACH '{}' AS again", database.display());
    for (statement, why) in [
        ("DROP TABLE refusal", "those of your own can"),
        ("DROP VIEW text_rule", "those of your own can"),
        ("ALTER TABLE entity RENAME TO entities", "those of your own can"),
        ("DROP INDEX seat_by_holder", "those of your own can"),
        ("CREATE TRIGGER mine AFTER INSERT ON seat BEGIN SELECT 1; END", "could break its guards"),
        ("CREATE UNIQUE INDEX mine ON account (note)", "one without UNIQUE is allowed"),
        ("UPDATE refusal SET code = 'x'", "only the service writes these rows"),
        ("DELETE FROM call", "only the service writes these rows"),
        (&own, "the database itself cannot be attached"),
        ("ATTACH 'o' || 'ther.db' AS other", "as plain text"),
        ("PRAGMA writable_schema = ON", "keeps the guards and the file safe"),
    ] {
        let refused = seatkeeper("sql", &database, &[], &format!("{statement};"));
        assert_eq!(refused.code, Some(1), "{statement}");
        assert!(refused.stderr.contains("not authorized: ") && refused.stderr.contains(why), "{refused:?}");
        // Also where the script may hold a password, and words of it are not repeated.
        let secret = format!("SELECT hash_password('Tr0ub4dor & 3'); {statement};");
        let refused = seatkeeper("sql", &database, &[], &secret);
        assert!(refused.stderr.contains(why) && !refused.stderr.contains("Tr0"), "{refused:?}");
    }
}

#[test]
fn objects_that_evade_the_guards_are_refused_or_stop_the_service() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    for (statement, _) in UNSAFE {
        let refused = seatkeeper("sql", &database, &[], &format!("{statement};"));
        assert!(
            refused.code == Some(1) && refused.stderr.contains("not authorized"),
            "{statement}: {}",
            refused.stderr
        );
    }
    assert_eq!(violations(&database), []);
    for (statement, _) in UNSAFE.iter().filter(|(_, is_tried)| *is_tried) {
        let directory = TempDir::new();
        let database = seeded(&directory);
        let service = Serving::start(&database);
        let made = stock(&database, &format!("{statement};"));
        assert_eq!(made.code, Some(0), "{statement}: {}", made.stderr);
        assert_eq!(assign(&service, "later"), "UnexpectedError", "{statement}: nothing is acknowledged");
        drop(service);
        let refused = Serving::try_start(&database).err().unwrap_or_else(|| panic!("{statement}: it starts"));
        assert!(refused.stderr.contains("the schema "), "{statement}: {}", refused.stderr);
    }
}

/// The stock shell reads while the service runs, and its exports are those of `seatkeeper sql`.
#[test]
fn the_stock_shell_reads_while_the_service_runs() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let service = Serving::start(&database);
    for number in 0..5 {
        assert_eq!(assign(&service, &format!("user{number}")), "Success");
        let read = stock(Path::new(&format!("file:{}?mode=ro", database.display())), "SELECT count(*) FROM account;");
        assert_eq!(read.stdout, format!("{}\n", number + 1), "{}", read.stderr);
    }
    let query = "SELECT id, username, note FROM account ORDER BY id";
    let csv = stock(&database, &format!(".mode csv\n.headers on\n{query};"));
    assert_eq!(csv.stdout, seatkeeper("sql", &database, &["--format", "csv"], query).stdout);
}

/// pandas and SQLAlchemy, with the service stopped for writing.
#[test]
fn tools_written_in_python_get_along() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let python = validator::python();
    assert!(python.exists(), "tests/install makes {}", python.display());
    let done = run(clients::python("sql_tools.py").arg(&database), "");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    let said: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(
        said,
        [
            "reflection: True",
            "pandas reads: 6 entities",
            "pandas appends: 2 accounts",
            "SQLAlchemy adds an account: active 1",
            "SQLAlchemy changes it",
            "SQLAlchemy adds a pool with 7 seats",
            "a deleted account: IntegrityError accounts are not deleted, their ids stay in the history: set active = 0",
            "a read-only connection: OperationalError attempt to write a readonly database",
        ]
    );
    assert_eq!(texts(&database, "SELECT DISTINCT actor FROM audit_event WHERE action LIKE 'account-%'"), ["sql"]);
    assert_eq!(violations(&database), []);
    let service = Serving::start(&database);
    assert_eq!(assign(&service, "after"), "Success");
    service.stop();
    // What the page warns of.
    let done = run(clients::python("sql_tools.py").arg(&database).arg("replace"), "");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let refused = Serving::try_start(&database).err().expect("the table is another one");
    assert!(refused.stderr.contains("the schema "), "{}", refused.stderr);
}

/// The blocks of a section of docs/admins.md, with their language.
fn blocks(heading: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admins.md");
    let document = std::fs::read_to_string(path).expect("docs/admins.md");
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().expect("a section").to_owned();
    let block = |rest: &str| {
        let (language, rest) = rest.split_once('\n')?;
        Some((language.to_owned(), rest.split("\n```").next()?.to_owned()))
    };
    section.split("\n```").skip(1).step_by(2).filter_map(block).collect()
}

/// Every block of the sections about SQL runs as it stands, twice: the seeds are idempotent.
#[test]
fn the_sql_of_the_document_runs_as_it_stands() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    let (_, seed) = blocks("Seeding").into_iter().next().expect("SQL");
    assert_eq!(seatkeeper("sql --create", &database, &[], &seed).code, Some(0));
    std::fs::write(directory.join("seed.sql"), "SELECT 'from a file';\n").expect("write");
    std::fs::write(directory.join("users.csv"), "username,entity_id\nbackup77,42\n").expect("write");
    let program = Path::new(env!("CARGO_BIN_EXE_seatkeeper")).parent().expect("its folder").to_owned();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let (mut scripts, mut commands) = (0, 0);
    for heading in ["SQL", "Seeds that run twice", "Dates", "Other tools, and things of your own"] {
        for (language, text) in blocks(heading) {
            let events = || texts(&database, "SELECT count(*) || '' FROM audit_event");
            match language.as_str() {
                "sql" => {
                    scripts += 1;
                    let done = seatkeeper("sql", &database, &[], &text);
                    assert_eq!(done.code, Some(0), "{heading}: {text}\n{}", done.stderr);
                    if heading == "Seeds that run twice" {
                        let before = events();
                        let again = seatkeeper("sql", &database, &[], &text);
                        assert_eq!((again.code, events()), (Some(0), before), "{text}\n{}", again.stderr);
                    }
                }
                "sh" => {
                    commands += 1;
                    let mut bash = Command::new("bash");
                    bash.args(["-eo", "pipefail", "-c", &text]).current_dir(directory.join("."));
                    let done = run(bash.env_clear().env("PATH", &path).env("TERM", "dumb"), "");
                    assert_eq!(done.code, Some(0), "{heading}: {text}\n{}", done.stderr);
                }
                "python" => {
                    let done =
                        run(Command::new(validator::python()).args(["-c", &text]).current_dir(directory.join(".")), "");
                    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{text}");
                }
                other => panic!("{heading}: a block of {other:?}"),
            }
        }
    }
    assert!(scripts >= 5 && commands >= 2, "{scripts} {commands}");
    assert_eq!(violations(&database), []);
}
