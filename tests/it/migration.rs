//! A database of an earlier version, as they are in the field, comes to the newest when it is served, or by `seatkeeper migrate`.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use seatkeeper::store::sqlite;

use crate::harness::*;
use crate::program::{Done, Serving, run, seatkeeper};

/// A file of version 1 after some use: pools of 42 with taken seats, one by a call and one by hand, and their history. An
/// entity has a name that version 2 reserves.
fn version_1(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    let connection = Connection::open(&database).expect("open");
    connection
        .execute_batch(include_str!("../../src/store/sqlite/migrations/schema_1.sql"))
        .expect("schema of version 1");
    let hash = &*PASSWORD_HASH;
    let data = format!(
        "PRAGMA journal_mode = WAL;
         INSERT INTO entity (id, parent_id, name, owner_name, expires_at) VALUES
             (1, NULL, 'Northwind', NULL, NULL), (42, 1, 'Contoso', 'CONTOSO', '2099-01-01T00:00:00Z'), (43, 1, 'Fabrikam', 'SITE', NULL);
         INSERT INTO credential (user_name, password_hash, entity_id, role, active) VALUES
             ('agent', '{hash}', 1, 'agent', 1), ('gone', '{hash}', 42, 'reader', 0);
         INSERT INTO account (id, username, entity_id, active) VALUES (1, 'backup01', 42, 1), (7, 'Backup02', 42, 0);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, product_key, license_data) VALUES
             (1, 42, 'SqlBackup', 3, '2020-01-01T00:00:00Z', 'KEY', x'00ff'), (2, 43, 'ExchangeBackup', 0, NULL, NULL, NULL),
             (3, 43, 'SqlBackup', 1, NULL, NULL, NULL);
         UPDATE seat SET account_id = 1, last_call = '6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01 agent' WHERE pool_id = 1 AND seat_no = 1;
         UPDATE seat SET account_id = 7 WHERE pool_id = 1 AND seat_no = 3;
         UPDATE license_pool SET seats_total = 5 WHERE id = 1;
         UPDATE seat SET account_id = NULL, product_key = 'OWN' WHERE pool_id = 1 AND seat_no = 3;
         DELETE FROM license_pool WHERE id = 3;"
    );
    connection.execute_batch(&data).expect("data");
    database
}

/// Every table and its columns, as a query of all its rows.
fn queries(database: &Path) -> Vec<String> {
    let connection = Connection::open(database).expect("open");
    let query =
        "SELECT 'SELECT ' || (SELECT group_concat(name, ', ') FROM pragma_table_info(t.name) WHERE name <> 'last_call') || ' FROM ' || t.name
                   FROM sqlite_schema AS t WHERE type = 'table' AND name NOT IN ('audit_event', 'pool_resize') ORDER BY name";
    let mut statement = connection.prepare(query).expect("query");
    statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("tables")
}

fn rows(database: &Path, queries: &[String]) -> Vec<String> {
    let connection = Connection::open(database).expect("open");
    let of_one = |query: &String| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(query)?;
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            (0..columns).map(|i| Ok(format!("{:?} ", row.get_ref(i)?))).collect()
        };
        statement.query_map([], |row| Ok(format!("{query}: {}", line(row)?)))?.collect()
    };
    queries.iter().flat_map(|query| of_one(query).expect(query)).collect()
}

fn migrate(database: &Path) {
    let done = seatkeeper("migrate", database, &[], "");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
}

fn version(database: &Path) -> i32 {
    let connection = Connection::open(database).expect("open");
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("version")
}

#[test]
fn a_file_of_version_1_keeps_every_row_and_is_served() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    let queries = queries(&database);
    assert_eq!((version(&database), queries.len()), (1, 5));
    let before = rows(&database, &queries);
    assert_eq!(before.len(), 3 + 2 + 2 + 2 + 5, "{before:#?}");

    let service = Serving::start(&database);
    assert_eq!(version(&database), sqlite::SCHEMA_VERSION);
    assert_eq!(rows(&database, &queries), before);
    let events =
        "SELECT concat_ws(' ', id, action, actor, length(request_id), 'pool ' || pool_id, 'seat ' || seat_no, username,
                                   entity_id, license_type, old_values || ' >', new_values, 'after', previous_id)
                    FROM audit_event ORDER BY id";
    assert_eq!(
        texts(&database, events),
        [
            r#"1 pool-create sql pool 1 42 SqlBackup {"seats_total":3} after"#,
            r#"2 pool-create sql pool 2 43 ExchangeBackup {"seats_total":0} after"#,
            r#"3 pool-create sql pool 3 {"seats_total":1} after"#,
            "4 assign agent 36 pool 1 seat 1 backup01 after 1",
            "5 assign sql pool 1 seat 3 Backup02 after 4",
            r#"6 pool-change sql pool 1 42 SqlBackup {"seats_total":3} > {"seats_total":5} after 5"#,
            "7 seat-change sql pool 1 seat 3 after 6",
            "8 release sql pool 1 seat 3 Backup02 after 7",
            r#"9 pool-delete sql pool 3 {"seats_total":1} > after 3"#,
            // What version 1 did not tell.
            r#"10 entity-create migration 1 {"name":"Northwind","active":1} after"#,
            r#"11 entity-create migration 42 {"parent_id":1,"name":"Contoso","active":1,"owner_name":"CONTOSO","expires_at":"2099-01-01T00:00:00Z"} after"#,
            r#"12 entity-create migration 43 {"parent_id":1,"name":"Fabrikam","active":1,"owner_name":"SITE"} after"#,
            r#"13 credential-create migration agent 1 {"user_name":"agent","password_hash":"secret","entity_id":1,"role":"agent","active":1} after"#,
            r#"14 credential-create migration gone 42 {"user_name":"gone","password_hash":"secret","entity_id":42,"role":"reader","active":0} after"#,
            r#"15 account-create migration backup01 42 {"username":"backup01","entity_id":42,"active":1} after"#,
            r#"16 account-create migration Backup02 42 {"username":"Backup02","entity_id":42,"active":0} after"#,
            r#"17 pool-change migration pool 1 42 SqlBackup {"entity_id":42,"license_type":"SqlBackup","seats_total":5,"starts_at":"2020-01-01T00:00:00Z","product_key":"KEY","license_data":"00FF"} after 8"#,
            r#"18 seat-change migration pool 1 seat 3 {"product_key":"OWN"} after 17"#,
            r#"19 pool-change migration pool 2 43 ExchangeBackup {"entity_id":43,"license_type":"ExchangeBackup","seats_total":0} after 2"#,
        ]
    );
    let reasons = texts(&database, "SELECT DISTINCT reason FROM audit_event WHERE actor = 'migration'");
    assert_eq!(reasons, ["as found when the file came to version 4"]);
    let counters = "SELECT concat_ws(' ', id, seats_in_use, seats_in_use_max, event_id, events) FROM license_pool";
    assert_eq!(texts(&database, counters), ["1 1 2 18 8", "2 0 0 19 2"]);
    let check = || seatkeeper("check", &database, &[], "").stdout;
    assert_eq!(check(), "ok: every invariant holds\n");

    let mut client = Client::to(service.address);
    let mut assign =
        |username: &str| client.send(&post11(&assign_envelope("agent", PASSWORD, username, 42, "SqlBackup")));
    assert_eq!(assign("backup01").code(), "AlreadyExists", "the holders are those of before");
    for username in ["b2", "b3", "b4", "b5"] {
        assert_eq!(assign(username).code(), "Success");
    }
    assert_eq!(assign("b6").code(), "NoFreeSeat");
    assert_eq!(check(), "ok: every invariant holds\n");
    assert_eq!(faults(&database), "");
}

/// What `seatkeeper audit verify` finds.
fn faults(database: &Path) -> String {
    sqlite::verify_history(database, Vec::new()).expect("verified").broken.join("\n")
}

/// What each version told of a row, and what it left out, leads to the row; and it is recorded once.
#[test]
fn the_history_of_a_migrated_file_leads_to_its_tables() {
    for (version, make) in [(1, version_1 as fn(&TempDir) -> PathBuf), (2, version_2), (3, version_3)] {
        let directory = TempDir::new();
        let database = make(&directory);
        let as_found =
            "SELECT action || ' ' || coalesce(entity_id, '') || coalesce(' ' || iif(username GLOB '*[^ -~]*', '?', username), '')
                          FROM audit_event
                         WHERE actor = 'migration' ORDER BY id";
        migrate(&database);
        let recorded = texts(&database, as_found);
        assert_eq!(faults(&database), "", "version {version}: {recorded:#?}");
        if version == 3 {
            // One with another name is recorded once more.
            let again = "credential-create 42 Again";
            let older =
                ["entity-create 7", again, "credential-create 7 older", "account-create 7 older", "offer-create 7"];
            assert_eq!(recorded, older, "what version 3 made has a history");
        }
        assert!(seatkeeper::store::migrate(&database.as_path().into()).expect("nothing to do").is_none());
        assert_eq!(texts(&database, as_found), recorded);
    }
}

/// A file that came to version 3 from version 2, and was used since. The guards are not there when the older rows are made.
fn version_3(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    let connection = Connection::open(&database).expect("open");
    let (tables, guards) = include_str!("../../src/store/sqlite/migrations/schema_3.sql")
        .split_once("\n-- GUARDS: ")
        .expect("tables and guards");
    let hash = &*PASSWORD_HASH;
    let older = format!(
        "INSERT INTO entity (id, name) VALUES (7, 'older'), (9, 'older');
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('older', '{hash}', 7);
         INSERT INTO account (id, username, entity_id) VALUES (1, 'older', 7);
         INSERT INTO license_offer (entity_id) VALUES (7);"
    );
    let newer = format!(
        "DELETE FROM entity WHERE id = 9;
         INSERT INTO entity (id, parent_id, name, note) VALUES (9, 7, 'made again', 'x'), (42, 7, 'Contoso', 'x');
         UPDATE entity SET note = NULL, name = 'Contoso ' || char(0x1F512) WHERE id = 42;
         INSERT INTO credential (user_name, password_hash, entity_id, note) VALUES
             ('newer', '{hash}', 42, 'a'), ('renamed', '{hash}', 42, 'a');
         UPDATE credential SET user_name = 'Again', note = NULL WHERE user_name = 'renamed';
         UPDATE account SET note = 'b' WHERE id = 1;
         INSERT INTO account (username, entity_id) VALUES ('new', 42);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, license_data) VALUES (1, 42, 'SqlBackup', 5, x'00');
         UPDATE seat SET product_key = 'K' || seat_no, account_id = iif(seat_no < 3, seat_no, NULL) WHERE pool_id = 1;
         UPDATE license_pool SET seats_total = 3, license_data = NULL WHERE id = 1;
         UPDATE license_pool SET seats_total = 6, license_data = x'FF' WHERE id = 1;
         INSERT INTO license_offer (entity_id) VALUES (42);
         INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 7);
         DELETE FROM license_offer_module WHERE entity_id = 42;
         INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 8);"
    );
    connection.execute_batch("PRAGMA journal_mode = WAL").expect("a setting");
    for script in [tables, &older, &format!("\n-- GUARDS: {guards}")] {
        connection.execute_batch(script).expect(script);
    }
    connection.execute_batch(&newer).expect("changes");
    database
}

#[test]
fn what_is_new_works_in_a_file_of_version_1() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    let script = "INSERT INTO license_offer (entity_id) VALUES (42);
                  INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 10);
                  UPDATE entity SET name = 'Fabrikam Hosting', owner_name = owner_name WHERE id = 43;
                  UPDATE license_pool SET product_key = 'NEW' WHERE id = 1;";
    migrate(&database);
    let done = seatkeeper("sql", &database, &["--quiet"], script);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "a name that is reserved now may stay");
    let newest = "SELECT action || ' ' || coalesce(old_values, '') || coalesce(new_values, '') FROM audit_event ORDER BY id DESC LIMIT 2";
    assert_eq!(
        texts(&database, newest),
        [
            r#"pool-change {"product_key":"KEY"}{"product_key":"NEW"}"#,
            r#"entity-change {"name":"Fabrikam"}{"name":"Fabrikam Hosting"}"#
        ]
    );
    assert_eq!(seatkeeper("check", &database, &[], "").stdout, "ok: every invariant holds\n");
}

/// A file of version 2: pool 1 is there, pool 2 was deleted and its id is used again. Names with and without blanks, and
/// text that is not UTF-8.
fn version_2(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    let connection = Connection::open(&database).expect("open");
    connection
        .execute_batch(include_str!("../../src/store/sqlite/migrations/schema_2.sql"))
        .expect("schema of version 2");
    let hash = &*PASSWORD_HASH;
    let data = format!(
        "PRAGMA journal_mode = WAL;
         INSERT INTO entity (id, parent_id, name) VALUES
             (1, NULL, 'Northwind'), (42, 1, ' Contoso '), (43, 1, CAST(x'436166E9' AS TEXT));
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES
             ('agent', '{hash}', 1), (' agent', '{hash}', 1), ('Operator ', '{hash}', 42), (' sql', '{hash}', 42);
         INSERT INTO ticket (id, secret_hash, user_name, expires_at) VALUES
             ('0d6f6f0f-0000-4000-8000-00000000000a', zeroblob(32), 'agent', '2099-01-01T00:00:00Z'),
             ('0d6f6f0f-0000-4000-8000-00000000000b', zeroblob(32), 'operator ', '2099-01-01T00:00:00Z');
         INSERT INTO account (id, username, entity_id) VALUES
             (1, 'backup01', 42), (2, 'BACKUP01 ', 42), (3, ' lone' || char(8239), 42), (4, 'Two  ', 42), (5, ' two', 42),
             (6, '  ', 42), (7, CAST(x'4DFC6C6C6572' AS TEXT), 42);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (1, 42, 'SqlBackup', 9), (2, 42, 'ExchangeBackup', 1);
         DELETE FROM license_pool WHERE id = 2;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (2, 43, 'SkraftDiskImageV5', 1), (3, 43, 'SqlBackup', 1);
         DELETE FROM license_pool WHERE id = 3;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 7;"
    );
    connection.execute_batch(&data).expect("data");
    database
}

/// The first column of each row.
#[test]
fn a_migrated_history_says_whose_the_pools_are_that_are_still_there() {
    let directory = TempDir::new();
    let database = version_2(&directory);
    migrate(&database);
    assert_eq!(seatkeeper("sql", &database, &[], "DELETE FROM license_pool WHERE id = 2").code, Some(0));
    let query =
        "SELECT action || ' of pool ' || pool_id || ': ' || coalesce(entity_id || ' ' || license_type, 'not known')
                   FROM audit_event WHERE action GLOB 'pool-*' ORDER BY id";
    let expected = [
        "pool-create of pool 1: 42 SqlBackup",
        "pool-create of pool 2: not known",
        "pool-delete of pool 2: not known",
        "pool-create of pool 2: 43 SkraftDiskImageV5",
        "pool-create of pool 3: not known",
        "pool-delete of pool 3: not known",
        "pool-change of pool 1: 42 SqlBackup",
        "pool-change of pool 2: 43 SkraftDiskImageV5",
        "pool-delete of pool 2: 43 SkraftDiskImageV5",
    ];
    assert_eq!(texts(&database, query), expected);
}

/// One name for each user; what a migration cannot decide the check names, and the statements of the documentation mend.
#[test]
fn names_with_blanks_become_names_without_where_that_is_no_other_users() {
    let directory = TempDir::new();
    let database = version_2(&directory);
    migrate(&database);
    let check = seatkeeper("check", &database, &[], "");
    let broken = [
        "names have no blank at either end: account 2: username is 'BACKUP01 '; calls read that name as 'BACKUP01'",
        "names have no blank at either end: account 5: username is ' two'; calls read that name as 'two'",
        "names have no blank at either end: account 6: username is '  '; calls read that name as ''",
        "names have no blank at either end: credential of entity 1: user_name is ' agent'; calls read that name as 'agent'",
        "names have no blank at either end: credential of entity 42: user_name is ' sql'; calls read that name as 'sql'",
        "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: entity 43: name is x'436166E9'",
        "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: account 7: username is x'4DFC6C6C6572'",
    ];
    let mut found: Vec<&str> = check.stdout.lines().map(|line| line.strip_prefix("broken: ").unwrap_or(line)).collect();
    found.sort_unstable();
    let mut expected = broken;
    expected.sort_unstable();
    assert_eq!(found, expected, "{}", check.stderr);
    let names = "SELECT quote(username) FROM account WHERE id <> 7 ORDER BY id";
    assert_eq!(texts(&database, names), ["'backup01'", "'BACKUP01 '", "'lone'", "'Two'", "' two'", "'  '"]);
    let names = "SELECT quote(user_name) FROM credential ORDER BY user_name";
    assert_eq!(texts(&database, names), ["' agent'", "' sql'", "'agent'", "'Operator'"]);
    assert_eq!(texts(&database, "SELECT user_name FROM ticket"), ["agent"]);

    // It is served as it is, and a call finds the account that has the name.
    let service = Serving::start(&database);
    let assign = |username: &str| {
        Client::to(service.address).send(&post11(&assign_envelope("agent", PASSWORD, username, 42, "SqlBackup"))).code()
    };
    assert_eq!((assign("two").as_str(), assign("lone").as_str()), ("AlreadyExists", "AlreadyExists"));

    let mend = "UPDATE seat SET account_id = NULL WHERE account_id IN (2, 5, 6);
                UPDATE account SET username = 'ended-' || id, active = 0 WHERE id IN (2, 5, 6);
                UPDATE account SET username = 'Müller' WHERE id = 7;
                UPDATE entity SET name = 'Café' WHERE id = 43;
                DELETE FROM credential WHERE user_name IN (' agent', ' sql');";
    let done = seatkeeper("sql", &database, &["--quiet"], mend);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert_eq!(seatkeeper("check", &database, &[], "").stdout, "ok: every invariant holds\n");
    assert_eq!(assign("Müller"), "AlreadyExists");
}

/// New guards do not hide what was done while the old ones were gone.
#[test]
fn a_file_of_version_1_whose_guards_are_gone_is_refused() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    Connection::open(&database).and_then(|c| c.execute_batch("DROP TRIGGER seat_holder")).expect("drop");
    let refused = Serving::try_start(&database).err().expect("it does not serve this");
    assert!(refused.stderr.contains("the schema was changed: 'seat_holder' is missing"), "{}", refused.stderr);
}

/// The file and what `migrate` keeps of it; leaves the file as it was.
fn refuses(command: &str, database: &Path) -> Done {
    let before = std::fs::read(database).expect("read");
    let done = seatkeeper(command, database, &[], "SELECT 1");
    assert!(before == std::fs::read(database).expect("read"), "{command} changed the file");
    done
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join(".")).expect("read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Folds the log back, so that the file is all there is.
fn fold_back(database: &Path) {
    let connection = Connection::open(database).expect("open");
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).expect("folded back");
}

#[test]
fn nothing_but_serve_and_migrate_changes_the_version() {
    let directory = TempDir::new();
    let database = version_2(&directory);
    fold_back(&database);
    let older = "its schema has version 2, this program works with version 5. Run 'seatkeeper migrate'";
    let sql = refuses("sql", &database);
    assert!(sql.code == Some(3) && sql.stderr.contains(older), "{sql:?}");
    let check = refuses("check", &database);
    let said = "version 2: its file and schema were checked, its rows were not. Run 'seatkeeper migrate', which brings it to version 5, \
                and check again.\n";
    assert_eq!((check.code, check.stdout.as_str()), (Some(0), said), "{}", check.stderr);
    assert_eq!(names(&directory), ["seats.db"]);

    unguarded(
        &database,
        "PRAGMA ignore_check_constraints = ON; UPDATE entity SET active = 7 WHERE id = 43; DROP TRIGGER seat_holder",
    );
    let check = refuses("check", &database);
    let broken = "broken: every value is one that its column may have: entity, row 43: entity.active must be 0 or 1";
    assert!(check.code == Some(1) && check.stdout.contains(broken), "{check:?}");
    assert!(
        check.stdout.contains("broken: the schema is the one this program made: 'seat_holder' is missing"),
        "{check:?}"
    );
}

#[test]
fn a_dry_run_says_what_a_migration_would_do_and_changes_nothing() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    fold_back(&database);
    let before = std::fs::read(&database).expect("read");
    let tried = seatkeeper("migrate", &database, &["--dry-run"], "");
    let seconds = tried.stdout.strip_prefix("would migrate from version 1 to version 5 in about ");
    assert!(seconds.is_some_and(|seconds| seconds.starts_with(|c: char| c.is_ascii_digit())), "{tried:?}");
    assert_eq!((tried.code, tried.stderr.as_str()), (Some(0), ""));
    assert!(before == std::fs::read(&database).expect("read"));
    assert_eq!(names(&directory), ["seats.db"]);

    let directory = TempDir::new();
    let database = version_2(&directory);
    let tried = seatkeeper("migrate", &database, &["--dry-run"], "");
    assert_eq!(tried.code, Some(1), "{tried:?}");
    assert!(
        tried.stdout.contains("broken afterwards: names have no blank at either end: account 2: "),
        "{}",
        tried.stdout
    );
    assert_eq!(version(&database), 2);
}

/// By the command and by the service, once each: a file that only its owner reads, with all that was there, and of its version.
#[test]
fn a_migration_keeps_a_copy_of_the_file_as_it_was() {
    for by_service in [false, true] {
        let directory = TempDir::new();
        let database = version_1(&directory);
        let queries = queries(&database);
        let before = rows(&database, &queries);
        let copy = directory.join("seats.db.version-1.bak");
        if by_service {
            let log = Serving::start(&database).log();
            let lines: Vec<&str> = log.lines().filter(|line| line.contains("the database was migrated")).collect();
            assert_eq!(lines.len(), 1, "{log}");
            for part in ["\"from\":1,\"to\":5,\"took_ms\":", &format!("\"copy\":\"{}\"", copy.display())] {
                assert!(lines[0].contains(part), "{part}: {}", lines[0]);
            }
        } else {
            let done = seatkeeper("migrate", &database, &[], "");
            let seconds = done.stdout.strip_prefix("migrated from version 1 to version 5 in ");
            assert!(seconds.is_some_and(|seconds| seconds.starts_with(|c: char| c.is_ascii_digit())), "{done:?}");
            assert!(done.stdout.ends_with(&format!("; the database as it was is in {}\n", copy.display())), "{done:?}");
            let again = seatkeeper("migrate", &database, &[], "");
            assert_eq!((again.code, again.stdout.as_str()), (Some(0), "version 5 already: nothing to do\n"));
        }
        assert_eq!((version(&database), version(&copy)), (sqlite::SCHEMA_VERSION, 1));
        assert_eq!(rows(&copy, &queries), before);
        let mode = std::fs::metadata(&copy).expect("metadata").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        assert!(!names(&directory).iter().any(|name| name.ends_with(".tmp")), "{:?}", names(&directory));
        // A copy that is there already stays: a second migration has a copy of its own.
        if !by_service {
            std::fs::copy(&copy, &database).expect("back");
            migrate(&database);
            assert!(directory.join("seats.db.version-1-1.bak").exists(), "{:?}", names(&directory));
        }
    }
}

/// A disk that has no room for the copy: here a limit on the size of files.
#[test]
fn without_room_for_a_copy_nothing_is_migrated() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    fold_back(&database);
    let before = std::fs::read(&database).expect("read");
    let command = format!(
        "trap '' XFSZ; ulimit -f 40; exec '{}' migrate --database '{}'",
        env!("CARGO_BIN_EXE_seatkeeper"),
        database.display()
    );
    let done = run(std::process::Command::new("bash").args(["-c", &command]), "");
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("a copy of it cannot be made, and without one it is not migrated: "), "{done:?}");
    assert!(before == std::fs::read(&database).expect("read"));
    assert_eq!(names(&directory), ["seats.db"]);
}
