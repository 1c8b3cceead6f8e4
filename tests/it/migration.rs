//! A database of an earlier version, as they are in the field, comes to the newest by being opened.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use seatkeeper::store::sqlite;

use crate::harness::*;
use crate::program::{Serving, seatkeeper};

/// A file of version 1 after some use: pools of 42 with taken seats, one by a call and one by hand, and their history. An
/// entity has a name that version 2 reserves.
fn version_1(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    let connection = Connection::open(&database).expect("open");
    connection.execute_batch(include_str!("../schema_v1.sql")).expect("schema of version 1");
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
        "SELECT 'SELECT ' || (SELECT group_concat(name, ', ') FROM pragma_table_info(t.name)) || ' FROM ' || t.name
                   FROM sqlite_schema AS t WHERE type = 'table' ORDER BY name";
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

fn version(database: &Path) -> i32 {
    let connection = Connection::open(database).expect("open");
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("version")
}

#[test]
fn a_file_of_version_1_keeps_every_row_and_is_served() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    let queries = queries(&database);
    assert_eq!((version(&database), queries.len()), (1, 7));
    let before = rows(&database, &queries);
    assert_eq!(before.len(), 3 + 2 + 2 + 2 + 5 + 9, "{before:#?}");

    let service = Serving::start(&database);
    assert_eq!(version(&database), sqlite::SCHEMA_VERSION);
    assert_eq!(rows(&database, &queries), before);
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
}

#[test]
fn what_is_new_in_version_2_works_in_a_file_of_version_1() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    let script = "INSERT INTO license_offer (entity_id) VALUES (42);
                  INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 10);
                  UPDATE entity SET name = 'Fabrikam Hosting', owner_name = owner_name WHERE id = 43;
                  UPDATE license_pool SET product_key = 'NEW' WHERE id = 1;";
    let done = seatkeeper("sql", &database, &[], script);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "a name that is reserved now may stay");
    let change = "UPDATE license_pool SET seats_total = 6, last_call = '6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a09 agent' WHERE id = 1";
    Connection::open(&database).and_then(|service| service.execute_batch(change)).expect("a call");
    let newest = "SELECT group_concat(actor || ' ' || seats_total || coalesce(' ' || request_id, ''), ', ')
                    FROM (SELECT * FROM audit_event ORDER BY id DESC LIMIT 2)";
    let newest: String = connection(&database).query_row(newest, [], |row| row.get(0)).expect("events");
    assert_eq!(newest, "agent 6 6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a09, sql 5");
    assert_eq!(seatkeeper("check", &database, &[], "").stdout, "ok: every invariant holds\n");
}

/// The migration makes some guards anew. It does not lend its name to a file whose other guards are gone.
#[test]
fn a_file_of_version_1_whose_guards_are_gone_is_refused() {
    let directory = TempDir::new();
    let database = version_1(&directory);
    Connection::open(&database).and_then(|c| c.execute_batch("DROP TRIGGER seat_holder")).expect("drop");
    let refused = Serving::try_start(&database).err().expect("it does not serve this");
    assert!(refused.stderr.contains("the schema was changed: 'seat_holder' is missing"), "{}", refused.stderr);
}
