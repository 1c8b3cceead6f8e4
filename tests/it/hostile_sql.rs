//! What SQL written by hand can do to the database: everything an administrator needs, and nothing that breaks a promise.
//! The attempts are in `tests/hostile.sql`.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::harness::*;
use crate::program::{Done, Serving, run, seatkeeper};

/// Entities 1 > 42 > 420 > 4200, 42 > 421 and 1 > 43, 44. Pools of 42: 1 SqlBackup, 5 seats with a key each, held by the
/// accounts 1 to 3; 2 ExchangeBackup, 3 seats, one of them taken by a call of the service; 4 SqlBackup, free. Pool 3 of 43
/// is free. Calls made pool 4 and gave pool 2 its third seat. Offers for 42, with two modules, and for 44, with none. Each
/// credential is signed in, but `gone`, which is not active.
fn data() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name, owner_name) VALUES
             (1, NULL, 'Northwind Distribution', 'NORTHWIND'), (42, 1, 'Contoso Backup', 'CONTOSO'),
             (43, 1, 'Fabrikam Hosting', NULL), (420, 42, 'Contoso West', NULL), (421, 42, 'Contoso East', NULL),
             (44, 1, 'Tailspin Hosting', NULL), (4200, 420, 'Contoso Far West', NULL);
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES
             ('agent', '{hash}', 1, 'agent'), ('Operator', '{hash}', 421, 'reader');
         INSERT INTO credential (user_name, password_hash, entity_id, active) VALUES ('gone', '{hash}', 1, 0);
         INSERT INTO account (id, username, entity_id, active) VALUES
             (1, 'Backup01', 42, 1), (2, 'backup02', 42, 1), (3, 'BACKUP03', 4200, 1), (4, 'backup04', 43, 1),
             (5, 'backup05', 42, 0);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (1, 42, 'SqlBackup', 5, NULL), (2, 42, 'ExchangeBackup', 2, '2099-01-01T00:00:00Z'),
             (3, 43, 'SkraftDiskImageV5', 2, NULL);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (4, 42, 'SqlBackup', 2);
         UPDATE seat SET product_key = 'KEY-' || seat_no WHERE pool_id = 1;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 4;
         UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 4;
         INSERT INTO license_offer (entity_id, company_name) VALUES (42, NULL), (44, 'Tailspin Ltd');
         INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 50), (42, 'ExchangeBackup', 0);
         INSERT INTO ticket (id, secret_hash, user_name, expires_at) VALUES
             ('0d6f6f0f-0000-4000-8000-00000000000a', zeroblob(32), 'agent', '2099-01-01T00:00:00Z'),
             ('0d6f6f0f-0000-4000-8000-00000000000b', zeroblob(32), 'OPERATOR', '2099-01-01T00:00:00Z');"
    )
}

/// What calls of the service changed: who, and in which call.
const CALLS: [(&str, &str, &str); 2] = [
    ("admin", "6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a02", "UPDATE license_pool SET seats_total = 3 WHERE id = 2"),
    (
        "agent",
        "6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01",
        "UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 1",
    ),
];

/// A database with this data. The shell's own guards are not in the way here.
fn seeded(directory: &TempDir, name: &str) -> std::path::PathBuf {
    let database = directory.join(name);
    drop(connection(&database));
    let connection = Connection::open(&database).expect("open");
    connection.execute_batch(&data()).expect("seed");
    for (actor, request_id, sql) in CALLS {
        as_call(&connection, actor, request_id, sql).expect(sql);
    }
    database
}

/// Runs SQL as the service does: it names the call while the triggers are off.
fn as_call(connection: &Connection, actor: &str, request_id: &str, sql: &str) -> rusqlite::Result<()> {
    let triggers = |on| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on);
    triggers(false)?;
    connection.execute("INSERT INTO call (id, actor, request_id) VALUES (1, ?1, ?2)", [actor, request_id])?;
    triggers(true)?;
    connection.execute_batch(sql)?;
    triggers(false)?;
    connection.execute("DELETE FROM call", [])?;
    triggers(true).map(drop)
}

/// One paragraph of the file.
struct Attempt<'f> {
    sql: &'f str,
    expect: &'f str,
    ours: Option<&'f str>,
    only_ours: bool,
}

/// What an attempt says of itself when it should be passed over silently.
const NOTHING: &str = "nothing";

fn attempts() -> Vec<Attempt<'static>> {
    let attempts: Vec<_> = include_str!("../hostile.sql").split("\n\n").filter_map(attempt).collect();
    assert!(attempts.len() >= 40, "only {} attempts", attempts.len());
    attempts
}

/// `None`: a comment of the file itself.
fn attempt(paragraph: &str) -> Option<Attempt<'_>> {
    let sql = paragraph.lines().find(|l| !l.is_empty() && !l.starts_with("--"))?;
    let said = |key: &str| paragraph.lines().find_map(|l| l.strip_prefix("-- ")?.strip_prefix(key)?.strip_prefix(": "));
    Some(Attempt {
        sql: paragraph,
        expect: said("expect").unwrap_or_else(|| panic!("no 'expect' above: {sql}")),
        ours: said("ours"),
        only_ours: said("only").is_some_and(|who| who == "ours"),
    })
}

/// Tries each on a fresh copy of the data; what got through is told all at once.
fn refuses<'a>(attempts: impl Iterator<Item = (&'a str, &'a str)>, shell: impl Fn(&Path, &str) -> Done) {
    let directory = TempDir::new();
    let original = seeded(&directory, "original.db");
    let before = dump(&original);
    let database = directory.join("seats.db");
    let mut got_through = String::new();
    for (sql, expect) in attempts {
        std::fs::copy(&original, &database).expect("copy");
        let done = shell(&database, sql);
        let told = if expect == NOTHING { done.stderr.is_empty() } else { done.stderr.contains(expect) };
        let changes = differences(&before, &dump(&database));
        if !told || !changes.is_empty() {
            got_through += &format!("{sql}\n{}{}\n", done.stderr, changes.join("\n"));
        }
    }
    assert!(got_through.is_empty(), "{got_through}");
    still_works(&database);
}

/// The schema and every row of every table, a line each.
fn dump(database: &Path) -> Vec<String> {
    let connection = Connection::open(database).expect("open");
    let rows = |query: &str| -> Vec<String> {
        let mut statement = connection.prepare(query).expect(query);
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| {
            let cells: rusqlite::Result<Vec<_>> = (0..columns).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect();
            Ok(cells?.join(" "))
        };
        statement.query_map([], line).and_then(Iterator::collect).expect(query)
    };
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .expect("tables");
    let queries = ["PRAGMA application_id", "PRAGMA user_version", "SELECT * FROM sqlite_schema"].map(str::to_owned);
    // A note of `change` that says what is so means nothing; one that does not would show here.
    let notes = "SELECT subject, key, part FROM row_change WHERE before IS NOT after".to_owned();
    let of_tables = tables.iter().filter(|table| *table != "change").map(|table| format!("SELECT * FROM {table}"));
    let queries = queries.into_iter().chain([notes]).chain(of_tables);
    queries.flat_map(|query| rows(&query).into_iter().map(move |row| format!("{query}: {row}"))).collect()
}

fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|row| !after.contains(row)).map(|row| format!("- {row}"));
    let new = after.iter().filter(|row| !before.contains(row)).map(|row| format!("+ {row}"));
    gone.chain(new).collect()
}

/// Nothing is broken, and the service takes the next free seat.
fn still_works(database: &Path) {
    let check = seatkeeper("check", database, &[], "");
    assert_eq!((check.code, check.stdout.as_str()), (Some(0), "ok: every invariant holds\n"), "{}", check.stderr);
    let service = Serving::start(database);
    let call = post11(&assign_envelope("agent", PASSWORD, "newcomer", 42, "SqlBackup"));
    let answer = Client::to(service.address).send(&call);
    assert_eq!(answer.code(), "Success", "{}", answer.message());
}

#[test]
fn our_own_shell_refuses_every_hostile_statement() {
    let attempts = attempts();
    let attempts = attempts.iter().map(|a| (a.sql, a.ours.unwrap_or(a.expect)));
    // The guards refuse it also if it is meant.
    refuses(attempts, |database, sql| seatkeeper("sql", database, &["--keep-going", "--quiet", "--yes"], sql));
}

#[test]
fn the_stock_shell_with_foreign_keys_off_refuses_every_hostile_statement() {
    let directory = TempDir::new();
    let settings = sqlite3(&directory.join("new.db"), "PRAGMA foreign_keys; PRAGMA recursive_triggers;");
    assert_eq!(settings.stdout, "0\n0\n", "the stock shell has neither: {}", settings.stderr);
    let attempts = attempts();
    refuses(attempts.iter().filter(|a| !a.only_ours).map(|a| (a.sql, a.expect)), sqlite3);
}

/// With them on, the rows that OR REPLACE deletes fire the triggers, and a trigger may fire itself.
#[test]
fn the_stock_shell_with_recursive_triggers_refuses_every_hostile_statement() {
    let attempts = attempts();
    refuses(attempts.iter().filter(|a| !a.only_ours).map(|a| (a.sql, a.expect)), recursive);
}

#[test]
fn the_stock_shell_with_recursive_triggers_makes_every_correction() {
    allows_corrections(recursive);
}

fn recursive(database: &Path, sql: &str) -> Done {
    sqlite3(database, &format!("PRAGMA recursive_triggers = ON;\n{sql}"))
}

/// The shell of the distribution, without anybody's settings for it.
fn sqlite3(database: &Path, sql: &str) -> Done {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|directory| directory.join("sqlite3")).find(|file| file.is_file());
    let shell = installed.expect("install the Debian package sqlite3");
    run(Command::new(shell).args(["-batch", "-init", "/dev/null"]).arg(database), sql)
}

/// What an administrator does by hand, one after the other, and the events each leaves.
pub const CORRECTIONS: &[(&str, &[&str])] = &[
    // Seats.
    ("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 1", &["release pool 1 seat 1 Backup01"]),
    (
        "UPDATE seat SET account_id = (SELECT id FROM account WHERE username = 'BACKUP04') WHERE pool_id = 1 AND seat_no = 1",
        &["assign pool 1 seat 1 backup04"],
    ),
    (
        "UPDATE seat SET account_id = NULL WHERE account_id = 4;
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1",
        &["release pool 1 seat 1 backup04", "assign pool 1 seat 1 Backup01"],
    ),
    ("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1", &[]),
    (
        "UPDATE seat SET product_key = 'NEW-KEY', license_data = x'0aff' WHERE pool_id = 1 AND seat_no = 1",
        &[
            r#"seat-change pool 1 seat 1 Backup01 {"product_key":"KEY-1","license_data":null} > {"product_key":"NEW-KEY","license_data":"0AFF"}"#,
        ],
    ),
    (
        "UPDATE seat SET product_key = NULL, account_id = NULL WHERE pool_id = 1 AND seat_no = 1;
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1",
        &[
            "release pool 1 seat 1 Backup01",
            r#"seat-change pool 1 seat 1 {"product_key":"NEW-KEY"} > {"product_key":null}"#,
            "assign pool 1 seat 1 Backup01",
        ],
    ),
    // A seat that a call of the service took: the release by hand is not that call's.
    ("UPDATE seat SET account_id = NULL WHERE pool_id = 2", &["release pool 2 seat 1 Backup01"]),
    // Pools.
    (
        "UPDATE license_pool SET seats_total = 8 WHERE id = 1",
        &[r#"pool-change pool 1 entity 42 SqlBackup {"seats_total":5} > {"seats_total":8}"#],
    ),
    (
        "UPDATE license_pool SET seats_total = 3 WHERE id = 1",
        &[r#"pool-change pool 1 entity 42 SqlBackup {"seats_total":8} > {"seats_total":3}"#],
    ),
    (
        "UPDATE license_pool SET starts_at = '2026-01-01T00:00:00Z', expires_at = '9999-12-31T23:59:59Z' WHERE id = 4",
        &[
            r#"pool-change pool 4 entity 42 SqlBackup {"starts_at":null,"expires_at":null} > {"starts_at":"2026-01-01T00:00:00Z","expires_at":"9999-12-31T23:59:59Z"}"#,
        ],
    ),
    (
        "UPDATE license_pool SET product_key = 'POOL-KEY', note = 'order 7' WHERE id > 2",
        &[
            r#"pool-change pool 3 entity 43 SkraftDiskImageV5 {"product_key":null,"note":null} > {"product_key":"POOL-KEY","note":"order 7"}"#,
            r#"pool-change pool 4 entity 42 SqlBackup {"product_key":null,"note":null} > {"product_key":"POOL-KEY","note":"order 7"}"#,
        ],
    ),
    ("UPDATE license_pool SET product_key = product_key, seats_total = seats_total", &[]),
    (
        "DELETE FROM license_pool WHERE id = 3",
        &[
            r#"pool-delete pool 3 entity 43 SkraftDiskImageV5 {"entity_id":43,"license_type":"SkraftDiskImageV5","seats_total":2,"product_key":"POOL-KEY","note":"order 7"} >"#,
        ],
    ),
    (
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, 'SqlBackup', 1)",
        &[r#"pool-create pool 3 entity 42 SqlBackup {"entity_id":42,"license_type":"SqlBackup","seats_total":1}"#],
    ),
    (
        "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (43, 'SqlBackup', 0)",
        &[r#"pool-create pool 5 entity 43 SqlBackup {"entity_id":43,"license_type":"SqlBackup","seats_total":0}"#],
    ),
    // Accounts, entities and credentials.
    (
        "UPDATE account SET username = 'BACKUP01' WHERE username = 'backup01'",
        &[r#"account-change entity 42 BACKUP01 {"username":"Backup01"} > {"username":"BACKUP01"}"#],
    ),
    (
        "UPDATE account SET username = 'renamed', active = 0 WHERE id = 2",
        &[r#"account-change entity 42 renamed {"username":"backup02","active":1} > {"username":"renamed","active":0}"#],
    ),
    (
        "INSERT INTO account (username, entity_id) VALUES ('by-hand', 420)",
        &[r#"account-create entity 420 by-hand {"username":"by-hand","entity_id":420,"active":1}"#],
    ),
    (
        "UPDATE account SET entity_id = 421 WHERE id = 3",
        &[r#"account-change entity 421 BACKUP03 {"entity_id":4200} > {"entity_id":421}"#],
    ),
    (
        "UPDATE entity SET parent_id = 43 WHERE id = 420",
        &[r#"entity-change entity 420 {"parent_id":42} > {"parent_id":43}"#],
    ),
    (
        "UPDATE entity SET active = 0, name = 'Contoso Closed', customer_nr = 'K-1' WHERE id = 421",
        &[
            r#"entity-change entity 421 {"name":"Contoso East","active":1,"customer_nr":null} > {"name":"Contoso Closed","active":0,"customer_nr":"K-1"}"#,
        ],
    ),
    (
        "UPDATE entity SET owner_name = 'SITE1' WHERE id = 421",
        &[r#"entity-change entity 421 {"owner_name":null} > {"owner_name":"SITE1"}"#],
    ),
    (
        "DELETE FROM entity WHERE id = 4200",
        &[r#"entity-delete entity 4200 {"parent_id":420,"name":"Contoso Far West","active":1} >"#],
    ),
    (
        "UPDATE credential SET user_name = 'OPERATOR', role = 'admin', active = 0 WHERE user_name = 'operator'",
        &[
            r#"credential-change entity 421 OPERATOR {"user_name":"Operator","role":"reader","active":1} > {"user_name":"OPERATOR","role":"admin","active":0}"#,
        ],
    ),
    // Of a hash it is recorded that it changed.
    (
        "UPDATE credential SET password_hash = password_hash || 'x' WHERE user_name = 'operator'",
        &[r#"credential-change entity 421 OPERATOR {"password_hash":"secret"} > {"password_hash":"secret"}"#],
    ),
    (
        "DELETE FROM credential WHERE user_name = 'operator'",
        &[
            r#"credential-delete entity 421 OPERATOR {"user_name":"OPERATOR","password_hash":"secret","entity_id":421,"role":"admin","active":0} >"#,
        ],
    ),
    // Offers.
    ("INSERT INTO license_offer (entity_id) VALUES (421)", &["offer-create entity 421"]),
    (
        "UPDATE license_offer SET expires_at = '2028-01-31T00:00:00Z', company_name = NULL WHERE entity_id = 44;
         INSERT INTO license_offer_module VALUES (44, 'SqlBackup', 10000000), (44, 'SkraftDiskImageV5', 0);
         UPDATE license_offer_module SET seats_total = 7 WHERE entity_id = 44 AND license_type = 'SqlBackup';
         DELETE FROM license_offer_module WHERE license_type = 'SkraftDiskImageV5'",
        &[
            r#"offer-change entity 44 {"company_name":"Tailspin Ltd","expires_at":null} > {"company_name":null,"expires_at":"2028-01-31T00:00:00Z"}"#,
            r#"offer-module-create entity 44 SqlBackup {"seats_total":10000000}"#,
            r#"offer-module-create entity 44 SkraftDiskImageV5 {"seats_total":0}"#,
            r#"offer-module-change entity 44 SqlBackup {"seats_total":10000000} > {"seats_total":7}"#,
            r#"offer-module-delete entity 44 SkraftDiskImageV5 {"seats_total":0} >"#,
        ],
    ),
    (
        "DELETE FROM license_offer WHERE entity_id = 44; DELETE FROM entity WHERE id = 44",
        &[
            r#"offer-module-delete entity 44 SqlBackup {"seats_total":7} >"#,
            r#"offer-delete entity 44 {"expires_at":"2028-01-31T00:00:00Z"} >"#,
            r#"entity-delete entity 44 {"parent_id":1,"name":"Tailspin Hosting","active":1} >"#,
        ],
    ),
    // Rows that are there already are passed over, as a second run of a seed or an import of the same rows needs it.
    (
        "INSERT OR IGNORE INTO entity (id, parent_id, name) VALUES (42, 1, 'Contoso Backup'), (46, 1, 'New');
         INSERT OR IGNORE INTO account (username, entity_id) VALUES ('backup04', 43), ('RENAMED', 42);
         INSERT OR IGNORE INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 50);
         INSERT OR IGNORE INTO license_offer (entity_id) VALUES (42);
         INSERT OR IGNORE INTO license_offer_module VALUES (42, 'SqlBackup', 50);
         INSERT OR IGNORE INTO credential (user_name, password_hash, entity_id)
             SELECT 'AGENT', password_hash, 43 FROM credential WHERE user_name = 'agent'",
        &[r#"entity-create entity 46 {"parent_id":1,"name":"New","active":1}"#],
    ),
    // As DB Browser for SQLite edits one cell: it names the row by its rowid.
    (
        r#"UPDATE "main"."credential" SET "role" = 'admin' WHERE "_rowid_" = (SELECT rowid FROM credential WHERE user_name = 'agent')"#,
        &[r#"credential-change entity 1 agent {"role":"agent"} > {"role":"admin"}"#],
    ),
];

fn allows_corrections(shell: impl Fn(&Path, &str) -> Done) {
    let directory = TempDir::new();
    let database = seeded(&directory, "seats.db");
    for (sql, expected) in CORRECTIONS {
        let before = events(&database).len();
        let done = shell(&database, &format!("{sql};"));
        assert!(done.stderr.is_empty(), "{sql}\n{}", done.stderr);
        assert_eq!(events(&database)[before..], **expected, "{sql}");
    }
    still_works(&database);
}

/// What is done by hand to credentials and tickets, each on a fresh copy of the data, and who is signed in afterwards.
const SIGN_OUTS: &[(&str, &[&str])] = &[
    ("SELECT 1", &["OPERATOR", "agent"]),
    ("DELETE FROM ticket WHERE user_name = 'Agent'", &["OPERATOR"]),
    ("DELETE FROM ticket", &[]),
    ("UPDATE ticket SET expires_at = '2020-01-01T00:00:00Z'", &["OPERATOR", "agent"]),
    ("UPDATE credential SET password_hash = password_hash || 'x' WHERE user_name = 'operator'", &["agent"]),
    ("UPDATE OR REPLACE credential SET user_name = 'operator2' WHERE user_name = 'operator'", &["agent"]),
    ("UPDATE OR IGNORE credential SET active = 0", &[]),
    ("DELETE FROM credential WHERE user_name = 'operator'", &["agent"]),
    ("DELETE FROM credential", &[]),
    // The same password, the same user, another role: rights are looked up with every call.
    (
        "UPDATE credential SET active = 1, user_name = 'Agent', role = 'reader', password_hash = password_hash WHERE user_name = 'agent'",
        &["OPERATOR", "agent"],
    ),
    // What is not done ends nothing.
    ("UPDATE OR IGNORE credential SET password_hash = 'forgotten'", &["OPERATOR", "agent"]),
    ("UPDATE OR IGNORE credential SET active = 2", &["OPERATOR", "agent"]),
];

fn signs_out(shell: impl Fn(&Path, &str) -> Done) {
    let directory = TempDir::new();
    let original = seeded(&directory, "original.db");
    let database = directory.join("seats.db");
    for (sql, signed_in) in SIGN_OUTS {
        std::fs::copy(&original, &database).expect("copy");
        let done = shell(&database, &format!("{sql};"));
        assert!(done.stderr.is_empty(), "{sql}\n{}", done.stderr);
        assert_eq!(texts(&database, "SELECT user_name FROM ticket ORDER BY id DESC"), *signed_in, "{sql}");
    }
}

#[test]
fn our_own_shell_signs_out_with_the_credential() {
    signs_out(|database, sql| seatkeeper("sql", database, &["--quiet", "--yes"], sql));
}

#[test]
fn the_stock_shell_signs_out_with_the_credential() {
    signs_out(sqlite3);
}

#[test]
fn a_withdrawn_offer_takes_its_modules_along_without_foreign_keys_too() {
    let directory = TempDir::new();
    let database = seeded(&directory, "seats.db");
    let done = sqlite3(&database, "DELETE FROM license_offer WHERE entity_id = 42;");
    assert!(done.stderr.is_empty(), "{}", done.stderr);
    assert_eq!(texts(&database, "SELECT license_type FROM license_offer_module"), [""; 0]);
    assert_eq!(texts(&database, "SELECT company_name FROM license_offer"), ["Tailspin Ltd"]);
    still_works(&database);
}

/// The history of pools, of which calls of the service made some and hands the others.
#[test]
fn a_change_by_a_call_is_told_from_a_correction() {
    let directory = TempDir::new();
    let database = seeded(&directory, "seats.db");
    let by = "SELECT action || ' by ' || actor || coalesce(' ' || substr(request_id, 35), '')
                FROM audit_event WHERE pool_id = 2 AND action <> 'pool-create' ORDER BY id";
    assert_eq!(texts(&database, by), ["pool-change by admin 02", "assign by agent 01"]);
    let done = sqlite3(&database, "UPDATE license_pool SET seats_total = 4, product_key = 'x' WHERE id = 2;");
    assert!(done.stderr.is_empty(), "{}", done.stderr);
    let author = ["--quiet", "--as", "Ann Lee", "--reason", "order 7"];
    let done = seatkeeper("sql", &database, &author, "UPDATE license_pool SET seats_total = 5 WHERE id = 2");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let newest = "SELECT concat_ws(' ', actor, length(request_id), reason, old_values, new_values)
                    FROM audit_event WHERE pool_id = 2 ORDER BY id DESC LIMIT 2";
    assert_eq!(
        texts(&database, newest),
        [
            r#"Ann Lee 36 order 7 {"seats_total":4} {"seats_total":5}"#,
            r#"sql {"seats_total":3,"product_key":null} {"seats_total":4,"product_key":"x"}"#
        ]
    );
    // What fails is undone, and leaves no name behind.
    let done = seatkeeper(
        "sql",
        &database,
        &["--as", "Ann", "--keep-going"],
        "DELETE FROM license_pool; SELECT 1; DELETE FROM seat;",
    );
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert_eq!(texts(&database, "SELECT actor FROM call"), [""; 0]);
    let long = "a".repeat(129);
    for name in ["sql", "CLI", "sql ", "\u{a0}cli", " ", "a\nb", &long] {
        assert_ne!(seatkeeper("sql", &database, &["--as", name], "SELECT 1").code, Some(0), "{name:?}");
    }
    still_works(&database);
}

#[test]
fn a_script_that_is_not_utf_8_says_where() {
    let directory = TempDir::new();
    let (database, script) = (seeded(&directory, "seats.db"), directory.join("script.sql"));
    std::fs::write(&script, b"DELETE FROM ticket;\n\nUPDATE account SET username = 'M\xfcller' WHERE id = 1;")
        .expect("script");
    let done = seatkeeper("sql", &database, &[script.to_str().expect("a path")], "");
    assert!(
        done.stderr.ends_with("script.sql, line 3: this is not UTF-8; write the text in UTF-8. Nothing was run.\n"),
        "{}",
        done.stderr
    );
    assert_eq!(texts(&database, "SELECT user_name FROM ticket").len(), 2);
}

/// What .dump writes, read again: by the stock shell, which the service then opens, and by our own.
#[test]
fn a_dump_becomes_a_database_again() {
    let directory = TempDir::new();
    let database = seeded(&directory, "seats.db");
    let dump_of = sqlite3(&database, ".dump");
    assert!(dump_of.stderr.is_empty(), "{}", dump_of.stderr);
    for (name, shell) in [("stock.db", true), ("ours.db", false)] {
        let again = directory.join(name);
        let done = if shell {
            sqlite3(&again, &dump_of.stdout)
        } else {
            seatkeeper("sql", &again, &["--create"], &dump_of.stdout)
        };
        assert!(done.stderr.is_empty(), "{name}: {}", done.stderr);
        let check = seatkeeper("check", &again, &[], "");
        assert_eq!(check.stdout, "ok: every invariant holds\n", "{name}: {}", check.stderr);
        let ids = |database: &Path| {
            texts(database, "SELECT group_concat(id || action || coalesce(username, '')) FROM audit_event")
        };
        assert_eq!(ids(&again), ids(&database), "{name}");
        still_works(&again);
    }
}

/// A dump of an older version is brought to the newest one, as its file would be; a changed one is refused.
#[test]
fn a_dump_of_an_older_version_is_migrated() {
    let directory = TempDir::new();
    let old = include_str!("../../src/store/sqlite/migrations/schema_2.sql");
    let (database, again) = (directory.join("old.db"), directory.join("again.db"));
    let done = sqlite3(
        &database,
        &format!(
            "{old} INSERT INTO entity (id, name) VALUES (1, 'a'); PRAGMA user_version = 0; PRAGMA application_id = 0;"
        ),
    );
    assert!(done.stderr.is_empty(), "{}", done.stderr);
    std::fs::copy(&database, &again).expect("copy");
    let check = || seatkeeper("check", &database, &[], "").stdout;
    assert!(check().starts_with("version 2: "), "{}", check());
    assert_eq!(seatkeeper("migrate", &database, &[], "").code, Some(0));
    assert_eq!(check(), "ok: every invariant holds\n");
    assert_eq!(texts(&database, "SELECT name FROM entity"), ["a"]);

    assert!(sqlite3(&again, "DROP TRIGGER seat_holder;").stderr.is_empty());
    let check = seatkeeper("check", &again, &[], "");
    assert!(check.stderr.contains("the schema was changed: "), "{}", check.stderr);
}

/// The events by hand, in words.
fn events(database: &Path) -> Vec<String> {
    let query = "SELECT concat_ws(' ', action, 'pool ' || pool_id, 'seat ' || seat_no, 'entity ' || entity_id, license_type, username,
                                  old_values || ' >', new_values)
                   FROM audit_event WHERE actor = 'sql' AND request_id IS NULL ORDER BY id";
    texts(database, query)
}

/// The first column.
#[test]
fn our_own_shell_makes_every_correction() {
    allows_corrections(|database, sql| seatkeeper("sql", database, &["--quiet", "--yes"], sql));
}

#[test]
fn the_stock_shell_makes_every_correction() {
    allows_corrections(sqlite3);
}

/// The example as an administrator copies it, its hash cut short. The check says which credential needs a real one.
#[test]
fn the_seeding_example_is_taken_as_it_stands() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    let example = "
        INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'Northwind Distribution'), (42, 1, 'Contoso Backup');
        INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '$argon2id$v=19$m=19456,t=2,p=1$…', 1);
        INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 100);
        UPDATE entity SET owner_name = 'CONTOSO', serial_nr = '1010000014' WHERE id = 42;";
    let done = seatkeeper("sql", &database, &["--create"], example);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let seeded = events(&database);
    assert_eq!(seeded.len(), 5, "{seeded:?}");

    let check = seatkeeper("check", &database, &[], "");
    assert_eq!((check.code, check.stdout.lines().count()), (Some(1), 1), "{}", check.stdout);
    assert!(check.stdout.contains("can be verified: credential 'agent': "), "{}", check.stdout);

    let hash = format!("UPDATE credential SET password_hash = '{}' WHERE user_name = 'agent';", *PASSWORD_HASH);
    assert_eq!(seatkeeper("sql", &database, &[], &hash).code, Some(0));
    still_works(&database);
    assert_eq!(events(&database).len(), seeded.len() + 1, "the seat was taken by a call, not by hand");
}
