//! The history as an outsider finds it: each change leaves an event, the events are chained, and whatever is changed in the
//! file behind the guards is found. What the chain alone shows is in `src/chain/tests.rs`.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use seatkeeper::chain::{Head, Link};
use seatkeeper::store::HistoryReport;
use seatkeeper::store::sqlite;

use crate::harness::*;
use crate::program::{Done, Serving, run, seatkeeper};

/// Entities 1 > 42 and 1 > 43, a pool of 42 with taken seats and keys, and an offer for 42.
fn data() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name, owner_name) VALUES (1, NULL, 'Northwind', NULL), (42, 1, 'Contoso', 'CONTOSO'), (43, 1, 'Fabrikam', NULL);
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('agent', '{hash}', 1, 'agent'), ('admin', '{hash}', 1, 'admin');
         INSERT INTO account (id, username, entity_id) VALUES (1, 'Backup01', 42), (2, 'backup02', 42);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, product_key, license_data) VALUES
             (1, 42, 'SqlBackup', 5, 'KEY', x'00FF'), (2, 43, 'ExchangeBackup', 3, NULL, NULL);
         UPDATE seat SET product_key = 'KEY-' || seat_no, license_data = x'01' WHERE pool_id = 1;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no < 3;
         UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 2;
         INSERT INTO license_offer (entity_id, company_name) VALUES (42, 'Contoso Ltd');
         INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 7), (42, 'ExchangeBackup', 1);"
    )
}

/// A database with this data, all of its history chained.
fn seeded(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    sql(&database, &data()).expect("seed");
    chain(&database);
    database
}

/// Lets the service chain what was made by hand.
fn chain(database: &Path) {
    let metrics = std::sync::Arc::new(seatkeeper::metrics::Metrics::new());
    let store =
        seatkeeper::store::open(&database.into(), &seatkeeper::store::Options::default(), metrics).expect("a store");
    store.close();
}

fn verify(database: &Path) -> HistoryReport {
    sqlite::verify_history(database, Vec::new()).expect("verified")
}

/// Runs the command.
fn audit_verify(database: &Path, args: &[&str]) -> Done {
    let mut command = crate::program::command();
    run(command.args(["audit", "verify", "--database"]).arg(database).args(args), "")
}

/// What is wrong, a line each.
fn faults(database: &Path) -> String {
    verify(database).broken.join("\n")
}

fn head(database: &Path) -> Head {
    let Link { event, hash } = verify(database).chain.expect("unbroken").head.expect("a head");
    Head { event, hash, at: "2027-01-31T00:00:00Z".to_owned(), key: None, signature: None }
}

/// Runs SQL as somebody with the file and a stock shell can: without the guards, and without a trace of that afterwards.
fn behind_the_guards(database: &Path, script: &str) {
    let connection = Connection::open(database).expect("open");
    let mut statement =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").expect("triggers");
    let triggers: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("triggers").map(Result::unwrap).collect();
    drop(statement);
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; BEGIN").expect("begin");
    triggers.iter().for_each(|(name, _)| connection.execute_batch(&format!("DROP TRIGGER {name}")).expect("dropped"));
    connection.execute_batch(script).expect(script);
    triggers.iter().for_each(|(_, sql)| connection.execute_batch(sql).expect("made again"));
    connection.execute_batch("COMMIT").expect("commit");
}

/// Columns that no event tells of, and why; columns that are fixed; and columns of tables that leave no events.
const EXEMPT: &[(&str, &str)] = &[
    ("entity", "id"),
    ("account", "id"),
    ("license_pool", "id"),
    ("license_pool", "entity_id"),
    ("license_pool", "license_type"),
    // Kept by the database.
    ("license_pool", "seats_in_use"),
    ("license_pool", "seats_in_use_max"),
    ("license_pool", "event_id"),
    ("license_pool", "events"),
    ("seat", "pool_id"),
    ("seat", "seat_no"),
    ("seat", "license_type"),
    ("license_offer", "entity_id"),
    ("license_offer_module", "entity_id"),
    ("license_offer_module", "license_type"),
];

/// Columns, and values for them.
type Tried = &'static [(&'static str, &'static [&'static str])];

/// The row that is changed of each table, its action, and the values that its columns get in turn, as SQL. The first value is the
/// one it has. Of dates and texts that may be null the values are the same everywhere.
const ROWS: &[(&str, &str, &str, Tried)] = &[
    (
        "entity",
        "id = 42",
        "entity",
        &[
            ("parent_id", &["1", "43", "NULL", "1"]),
            ("name", &["'Contoso'", "'Contoso \"2\" \\ Ä 名'"]),
            ("active", &["1", "0", "1"]),
            ("owner_name", &["'CONTOSO'", "NULL", "'C2'"]),
        ],
    ),
    (
        "credential",
        "user_name = 'agent'",
        "credential",
        &[
            ("password_hash", &["", "'$argon2id$v=19$m=19456,t=2,p=1$YWJjZGVmZ2g$YWJjZGVmZ2hpamtsbW5vcA'"]),
            ("entity_id", &["1", "42"]),
            ("role", &["'agent'", "'reader'"]),
            ("active", &["1", "0", "1"]),
            ("note", &["NULL", "'x'", "NULL"]),
            ("user_name", &["'agent'", "'Agent'"]),
        ],
    ),
    (
        "account",
        "id = 1",
        "account",
        &[("username", &["'Backup01'", "'Bäckup01'"]), ("entity_id", &["42", "43"]), ("active", &["1", "0", "1"])],
    ),
    (
        "license_pool",
        "id = 1",
        "pool",
        &[
            ("seats_total", &["5", "7", "4"]),
            ("product_key", &["'KEY'", "NULL", "'NEW'"]),
            ("license_data", &["x'00FF'", "NULL", "x''", "x'0A'"]),
        ],
    ),
    (
        "seat",
        "pool_id = 1 AND seat_no = 1",
        "seat",
        &[
            ("product_key", &["'KEY-1'", "NULL", "''", "'NEW'"]),
            ("license_data", &["x'01'", "NULL", "x'0A'"]),
            ("account_id", &["1", "NULL", "2"]),
        ],
    ),
    ("license_offer", "entity_id = 42", "offer", &[("company_name", &["'Contoso Ltd'", "NULL", "'x'"])]),
    (
        "license_offer_module",
        "entity_id = 42 AND license_type = 'SqlBackup'",
        "offer-module",
        &[("seats_total", &["7", "0"])],
    ),
];

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)").expect("columns");
    statement.query_map([table], |row| row.get(0)).and_then(Iterator::collect).expect("columns")
}

fn events_after(connection: &Connection, id: i64) -> Vec<(String, Option<String>, Option<String>, String)> {
    let query = "SELECT action, old_values, new_values, concat_ws(' ', actor, reason, length(request_id)) FROM audit_event WHERE id > ?1";
    let mut statement = connection.prepare(query).expect("events");
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    rows.and_then(Iterator::collect).expect("events")
}

fn value<T: rusqlite::types::FromSql>(connection: &Connection, query: &str) -> T {
    connection.query_row(query, [], |row| row.get(0)).expect(query)
}

/// Every column of every table that an administrator or a call changes, by hand and in somebody's name: the event has the old
/// and the new value, and nothing else. A statement that changes nothing leaves none.
#[test]
fn every_change_of_every_column_leaves_an_event() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let connection = Connection::open(&database).expect("open");
    for (table, row, action, tried) in ROWS {
        for column in columns(&connection, table) {
            let exempt = EXEMPT.contains(&(*table, column.as_str()));
            let values = tried.iter().find(|(name, _)| *name == column).map(|(_, values)| *values);
            let values = match values {
                Some(values) => values,
                None if exempt => continue,
                None if column.ends_with("_at") => {
                    &["NULL", "'2027-01-31T00:00:00Z'", "'2028-01-31T00:00:00Z'", "NULL"]
                }
                None => &["NULL", "'a \"text\" \\ Ä 名'", "''", "NULL"],
            };
            assert!(!exempt, "{table}.{column}");
            for (number, pair) in values.windows(2).enumerate() {
                let (old, new) = (pair[0], pair[1]);
                let newest: i64 = value(&connection, "SELECT max(id) FROM audit_event");
                let update = format!("UPDATE {table} SET {column} = {new} WHERE {row}");
                // By hand, and in a name.
                let actor = if number % 2 == 0 {
                    connection.execute_batch(&update).expect(&update);
                    "sql"
                } else {
                    let done =
                        seatkeeper("sql", &database, &["--quiet", "--as", "Ann", "--reason", "because"], &update);
                    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{update}");
                    "Ann because 36"
                };
                let json = |value: &str| match (column.as_str(), value) {
                    ("password_hash", _) => Some(r#"{"password_hash":"secret"}"#.to_owned()),
                    ("license_data", data) if data != "NULL" => {
                        Some(format!(r#"{{"license_data":"{}"}}"#, &data[2..data.len() - 1]))
                    }
                    _ => Some(self::value(&connection, &format!("SELECT json_object('{column}', {value})"))),
                };
                let expected = match column.as_str() {
                    "account_id" if new == "NULL" => ("release".to_owned(), None, None, actor.to_owned()),
                    "account_id" => ("assign".to_owned(), None, None, actor.to_owned()),
                    _ => (format!("{action}-change"), json(old), json(new), actor.to_owned()),
                };
                assert_eq!(events_after(&connection, newest), [expected], "{update}");
                // Once more, it changes nothing.
                connection.execute_batch(&update).expect(&update);
                assert_eq!(events_after(&connection, newest).len(), 1, "{update}");
            }
        }
    }
    let told: Vec<&str> = ROWS.iter().map(|(table, ..)| *table).collect();
    let untold = [
        "audit_archive",
        "audit_event",
        "call",
        "change",
        "credential_use",
        "existing",
        "named_call",
        "refusal",
        "session",
        "ticket",
        "upkeep",
    ];
    let query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
    let mut statement = connection.prepare(query).expect("tables");
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("tables");
    let unknown: Vec<&String> =
        tables.iter().filter(|t| !told.contains(&t.as_str()) && !untold.contains(&t.as_str())).collect();
    assert!(unknown.is_empty(), "no test changes these: {unknown:?}");
    assert_eq!(faults(&database), "");
    chain(&database);
    assert_eq!(
        (faults(&database), verify(&database).chain.map(|chain| chain.unchained_events)),
        (String::new(), Some(0))
    );
}

/// Rows that are made and deleted, by hand and by calls, through the service.
#[test]
fn what_calls_and_hands_make_and_delete_is_in_the_history() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let service = Serving::start(&database);
    let mut client = Client::to(service.address);
    for username in ["Backup01", "New01", "New02"] {
        assert_eq!(
            client.send(&post11(&assign_envelope("agent", PASSWORD, username, 43, "ExchangeBackup"))).code(),
            "Success"
        );
    }
    assert_eq!(
        seatkeeper("release", &database, &["--username", "New01", "--license-type", "ExchangeBackup"], "").code,
        Some(0)
    );
    let by_hand = "INSERT INTO entity (id, name) VALUES (5, 'x'); DELETE FROM entity WHERE id = 5;
                   INSERT INTO credential (user_name, password_hash, entity_id) SELECT 'x', password_hash, 1 FROM credential LIMIT 1;
                   DELETE FROM credential WHERE user_name = 'x';
                   DELETE FROM license_offer WHERE entity_id = 42;
                   UPDATE seat SET account_id = NULL WHERE pool_id = 1;
                   DELETE FROM license_pool WHERE id = 1;
                   INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 43, 'SqlBackup', 2);
                   UPDATE license_pool SET seats_total = 9 WHERE id = 1; UPDATE license_pool SET seats_total = 1 WHERE id = 1;";
    sql(&database, by_hand).expect(by_hand);
    assert_eq!(faults(&database), "", "while the service runs");
    assert_eq!(client.send(&post11(&assign_envelope("agent", PASSWORD, "New03", 43, "SqlBackup"))).code(), "Success");
    let chain = verify(&database).chain.expect("unbroken");
    assert_eq!(
        (faults(&database).as_str(), chain.unchained_events),
        ("", 0),
        "the call chained what was made before it"
    );
}

/// Each bit that matters: a cell of each column of each table is another value, and the line that names it.
#[test]
fn a_row_that_was_changed_behind_the_guards_is_named() {
    let directory = TempDir::new();
    let original = seeded(&directory);
    let database = directory.join("changed.db");
    let connection = Connection::open(&original).expect("open");
    let mut undetected = Vec::new();
    for (table, row, _, _) in ROWS {
        for column in columns(&connection, table) {
            std::fs::copy(&original, &database).expect("copy");
            let unguarded = Connection::open(&database).expect("open");
            let drops: String = value(
                &unguarded,
                "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'",
            );
            unguarded
                .execute_batch(&format!("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; {drops}"))
                .expect("no guards");
            // The first of these that is another value and of a type that the column can have.
            let others = ["1 + {}", "1000 + {}", "'x' || {}", "CAST(x'00FF01' AS BLOB)", "1", "'x'", "NULL"];
            let change = others.iter().find_map(|other| {
                let other = other.replace("{}", &column);
                let change = format!("UPDATE {table} SET {column} = {other} WHERE {row} AND {column} IS NOT ({other})");
                (unguarded.execute(&change, []) == Ok(1)).then_some(change)
            });
            let change = change.unwrap_or_else(|| panic!("{table}.{column} was not changed"));
            drop(unguarded);
            let found = verify(&database).broken;
            let is_named = |line: &String| {
                line.contains(&format!("{column} is "))
                    || line.contains("is in the table, but")
                    || line.contains("is missing")
            };
            if !found.iter().filter(|line| !line.starts_with("the schema was changed")).any(is_named) {
                undetected.push((format!("{table}.{column}"), change));
            }
        }
    }
    // Of a password_hash the history says only that it changed.
    undetected.retain(|(column, _)| column != "credential.password_hash");
    assert!(undetected.is_empty(), "{undetected:#?}");
}

/// What was changed behind the guards, and a part of the line that names it.
const TAMPERED: &[(&str, &str)] = &[
    (
        "UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 3",
        "seat 3 of pool 1: account_id is 2, by the history it is null",
    ),
    (
        "UPDATE seat SET product_key = 'STOLEN' WHERE pool_id = 1 AND seat_no = 3",
        "seat 3 of pool 1: product_key is not what the history says",
    ),
    ("UPDATE license_pool SET seats_total = 6 WHERE id = 1", "pool 1: seats_total is 6, by the history it is 5"),
    (
        "UPDATE license_pool SET seats_in_use_max = 1 WHERE id = 1",
        "pool 1: seats_in_use_max is 1, by the history it is 2",
    ),
    (
        "UPDATE license_pool SET license_data = x'00FE' WHERE id = 1",
        "pool 1: license_data is not what the history says",
    ),
    ("UPDATE entity SET parent_id = NULL WHERE id = 42", "entity 42: parent_id is null, by the history it is 1"),
    (
        "UPDATE credential SET role = 'admin', entity_id = 42 WHERE user_name = 'agent'",
        "credential 'agent': entity_id is 42, by the history it is 1; role is 'admin', by the history it is 'agent'",
    ),
    (
        "UPDATE credential SET user_name = 'AGENT' WHERE user_name = 'agent'",
        "credential 'AGENT': user_name is 'AGENT', by the history it is 'agent'",
    ),
    (
        "INSERT INTO credential (user_name, password_hash, entity_id, role) SELECT 'mallory', password_hash, 1, 'admin' FROM credential LIMIT 1",
        "credential 'mallory' is in the table, but by the history there is no such row",
    ),
    (
        "DELETE FROM credential WHERE user_name = 'admin'",
        "credential 'admin' is missing in the table: by the history it is there",
    ),
    (
        "INSERT INTO seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup')",
        "seat 6 of pool 1 is in the table, but by the history there is no such row",
    ),
    (
        "DELETE FROM seat WHERE pool_id = 2 AND seat_no = 3",
        "seat 3 of pool 2 is missing in the table: by the history it is there",
    ),
    (
        "UPDATE license_offer_module SET seats_total = 70 WHERE license_type = 'SqlBackup'",
        "the offer of 'SqlBackup' for entity 42: seats_total is 70, by the history it is 7",
    ),
    (
        "DELETE FROM license_offer; DELETE FROM license_offer_module",
        "the offer for entity 42 is missing in the table: by the history it is there",
    ),
    // Of the events themselves.
    (
        "UPDATE audit_event SET actor = 'ann' WHERE id = 3",
        "event 3: its hash does not follow from event 2 and its own values",
    ),
    (
        "UPDATE audit_event SET hash = zeroblob(32) WHERE id = 3",
        "event 3: its hash does not follow from event 2 and its own values",
    ),
    ("UPDATE audit_event SET hash = NULL WHERE id = 3", "event 3: it is not chained, but event 4 after it is"),
    ("DELETE FROM audit_event WHERE id = 3", "event 4: its hash does not follow from event 2 and its own values"),
    ("DELETE FROM audit_event WHERE id = 1", "event 2: its hash does not follow from its own values"),
    (
        "UPDATE audit_event SET id = 1000 WHERE id = 3",
        "event 4: its hash does not follow from event 2 and its own values",
    ),
    ("UPDATE audit_event SET new_values = '{' WHERE id = 3", "event 3: its values cannot be read: malformed JSON"),
    ("UPDATE audit_event SET action = 'x' WHERE id = 3", "event 3: its action 'x' is none that this program knows"),
    ("INSERT INTO audit_event (action, actor) VALUES ('entity-create', 'x')", "it does not say which row it is about"),
    // The end of the history is gone, with its hashes: what it led to is not.
    ("DELETE FROM audit_event WHERE id > 17", "is in the table, but by the history there is no such row"),
];

#[test]
fn tampering_behind_the_guards_is_named() {
    let directory = TempDir::new();
    let original = seeded(&directory);
    let database = directory.join("tampered.db");
    for (script, expected) in TAMPERED {
        std::fs::copy(&original, &database).expect("copy");
        behind_the_guards(&database, script);
        let found = faults(&database);
        assert!(found.contains(expected), "{script}: {found}");
        assert_eq!(audit_verify(&database, &[]).code, Some(1), "{script}");
    }
}

/// What only a head kept elsewhere shows.
#[test]
fn a_head_kept_elsewhere_shows_truncation_rewriting_and_rollback() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let older = directory.join("older.db");
    std::fs::copy(&database, &older).expect("copy");
    let kept = head(&database);
    sql(&database, "UPDATE entity SET note = 'later' WHERE id = 1").expect("a change");
    chain(&database);
    let newest = head(&database);
    let heads = directory.join("heads.jsonl");
    std::fs::write(&heads, format!("{kept}\n{newest}\n")).expect("heads");
    let verify = |database: &Path| audit_verify(database, &["--head", heads.to_str().expect("UTF-8")]);
    let Done { code, stdout, .. } = verify(&database);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("heads kept elsewhere that are in the history: 2"), "{stdout}");

    // An older file in its place; a history and tables without the last change; the same, chained again with another.
    let Done { code, stdout, .. } = verify(&older);
    let ends = format!(
        "event {}: the head kept elsewhere (of 2027-01-31T00:00:00Z) names it, but the history ends at event {}",
        newest.event, kept.event
    );
    assert!(code == Some(1) && stdout.contains(&ends), "{stdout}");
    let undo =
        format!("DELETE FROM audit_event WHERE id = {}; UPDATE entity SET note = NULL WHERE id = 1", newest.event);
    behind_the_guards(&database, &undo);
    assert_eq!(faults(&database), "", "without a head nothing is missing");
    assert!(verify(&database).stdout.contains(&ends));
    sql(&database, "UPDATE entity SET note = 'another' WHERE id = 1").expect("a change");
    chain(&database);
    assert_eq!(faults(&database), "");
    let rewritten = format!("event {}: the head kept elsewhere (of 2027-01-31T00:00:00Z) has the hash", newest.event);
    let stdout = verify(&database).stdout;
    assert!(
        stdout.contains(&rewritten) && stdout.contains(&format!("rewritten after event {}", kept.event)),
        "{stdout}"
    );

    std::fs::write(&heads, "no head\n").expect("heads");
    let refused = verify(&database);
    assert!(refused.code == Some(3) && refused.stderr.contains("line 1 is no head of a history"), "{refused:?}");
    assert_eq!(refused.stdout, "");
}

/// It changes nothing, and needs no more than the file.
#[test]
fn verifying_leaves_the_file_as_it_is() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let copy = directory.join("copy with 100% #?.db");
    std::fs::copy(&database, &copy).expect("copy");
    let before = std::fs::read(&copy).expect("read");
    let done = audit_verify(&copy, &[]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(
        matches!(lines[..], [events, head, rows, "ok: the history is unbroken, and the tables are what it leads to"]
        if events.starts_with("events: ") && head.starts_with("head: event ") && rows.starts_with("rows held against the history: ")),
        "{}",
        done.stdout
    );
    assert_eq!(std::fs::read(&copy).expect("read"), before);

    let missing = audit_verify(&directory.join("missing.db"), &[]);
    assert!(missing.code == Some(3) && missing.stderr.contains("there is no such database"), "{missing:?}");
    assert!(!directory.join("missing.db").exists());
    let foreign = directory.join("foreign.db");
    Connection::open(&foreign).and_then(|c| c.execute_batch("CREATE TABLE t (x)")).expect("foreign");
    let refused = audit_verify(&foreign, &[]);
    assert!(refused.code == Some(3) && refused.stderr.contains("not a Seatkeeper database"), "{refused:?}");
    let old = directory.join("old.db");
    Connection::open(&old)
        .and_then(|c| c.execute_batch(include_str!("../../src/store/sqlite/migrations/schema_3.sql")))
        .expect("version 3");
    let refused = audit_verify(&old, &[]);
    assert!(refused.code == Some(3) && refused.stderr.contains("version 3"), "{refused:?}");
}

/// Random calls, SQL by hand, and kills: the chain is unbroken, and the tables are what it leads to.
#[test]
fn the_history_survives_kills_and_changes_by_hand() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    sql(&database, "UPDATE license_pool SET seats_total = 2000 WHERE id = 2").expect("seats");
    let mut kept = vec![head(&database)];
    for round in 0..6 {
        let service = Serving::start(&database);
        let address = service.address;
        let clients: Vec<_> = (0..8)
            .map(|client| {
                // Before the thread, which may be so late that the service is gone.
                let mut connection = Client::to(address);
                std::thread::spawn(move || {
                    for call in 0.. {
                        let name = format!("user-{round}-{client}-{call}");
                        let request = post11(&assign_envelope("agent", PASSWORD, &name, 43, "ExchangeBackup"));
                        use std::io::Write as _;
                        if connection.0.write_all(&request).is_err() || connection.try_receive().is_none() {
                            return;
                        }
                    }
                })
            })
            .collect();
        for change in 0..20 {
            let by_hand = format!(
                "UPDATE seat SET account_id = NULL WHERE pool_id = 2 AND seat_no % 7 = {change} % 7 AND account_id IS NOT NULL;
                 UPDATE entity SET note = '{round}-{change}' WHERE id = 43;
                 UPDATE license_pool SET seats_total = seats_total + {} WHERE id = 2",
                if change % 2 == 0 { 10 } else { -1 }
            );
            sql(&database, &by_hand).expect("by hand");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        service.kill();
        clients.into_iter().for_each(|client| client.join().expect("a client"));
        assert_eq!(faults(&database), "", "round {round}");
        let found = sqlite::verify_history(&database, kept.clone()).expect("verified");
        assert!(found.broken.is_empty() && found.chain.is_some_and(|chain| chain.heads == kept.len() as u64));
        chain(&database);
        kept.push(head(&database));
    }
    assert!(verify(&database).events > 500);
}
