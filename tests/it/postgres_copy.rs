//! `seatkeeper copy`: everything that is in an SQLite file is in PostgreSQL afterwards, and the other way round; or nothing is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::Value;
use seatkeeper::auth;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Role};
use seatkeeper::store::{self, CallName, Copied, Database, MoveError, NameSource, NewTicket, Store, TicketProof};
use uuid::Uuid;

use crate::harness::*;
use crate::licenses::{SQL, at, call, call_by_ticket, wait};
use crate::postgres::{self, Cluster};
use crate::program::run;

/// Rows of each table whose columns are the same on both sides.
const TABLES: &[(&str, &str)] = &[
    ("entity", "*"),
    ("credential", "*"),
    ("account", "*"),
    (
        "license_pool",
        "id, entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data, note",
    ),
    ("seat", "*"),
    ("license_offer", "*"),
    ("license_offer_module", "*"),
    ("ticket", "*"),
    ("named_call", "*"),
    ("session", "*"),
    ("refusal", "*"),
    ("credential_use", "*"),
    ("upkeep", "*"),
];

/// All that is in a database, without its history.
fn contents(session: &Session) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    let rows = |(table, columns): &(&'static str, &str)| {
        (*table, session.rows(&format!("SELECT {columns} FROM {table} ORDER BY 1, 2")))
    };
    TABLES.iter().map(rows).collect()
}

fn of_file(file: &Path) -> Session {
    Session::File(connection(file))
}

fn of_server(database: &postgres::Database) -> Session {
    Session::Server(database.session())
}

fn open(place: &Database) -> Arc<dyn Store> {
    store::open(place, &store::Options::default(), Arc::new(Metrics::new())).expect("store")
}

fn copy(from: impl Into<Database>, to: impl Into<Database>) -> Result<Copied, MoveError> {
    store::copy(&from.into(), &[], &to.into(), auth::check_hash)
}

fn named(name: &str) -> store::Call {
    let name = CallName::new(NameSource::IdempotencyKey, Ok(name.to_owned()), "AssignLicense", [1; 32]);
    store::Call { name: Some(Arc::new(name)), ..call("agent") }
}

fn assignment(username: &str) -> AssignRequest {
    AssignRequest { username: Some(username.into()), provider_entity_id: Some(42), license_type: Some(SQL) }
}

const PROOF: [u8; 32] = [7; 32];

/// A file with rows in every table, by calls and by hand, the last of them not chained; and a ticket in it.
fn source(directory: &TempDir) -> (PathBuf, TicketProof) {
    let file = directory.join("seats.db");
    sql(&file, &sample_data()).expect("seed");
    let store = open(&file.as_path().into());
    for username in ["Bob", "amy"] {
        wait(store.assign(call("agent"), assignment(username))).expect("assigned");
    }
    wait(store.assign(named("retried"), assignment("carl"))).expect("assigned");
    let proof = TicketProof { id: Uuid::new_v4(), secret_hash: PROOF };
    let ticket = NewTicket { proof: proof.clone(), expires_at: at("2026-06-01T18:00:00Z") };
    wait(store.issue_ticket(call("agent"), ticket)).expect("a ticket");
    store.close();
    let by_hand = r"UPDATE seat SET account_id = NULL WHERE seat_no = 2;
        UPDATE license_pool SET seats_total = 12, license_data = x'00ff27', note = '', starts_at = '0001-01-01T00:00:00Z',
            expires_at = '9999-12-31T23:59:59Z' WHERE id = 1;
        INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (7, 43, 'SqlBackup', 2);
        DELETE FROM license_pool WHERE id = 7;
        INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (7, 42, 'SkraftDiskImageV5', 1);
        UPDATE entity SET parent_id = 43, note = 'a ''quoted'' \N, a tab' || char(9) || 'and é, 漢, 🪑' WHERE id = 42;
        INSERT INTO license_offer (entity_id, company_name, expires_at) VALUES (42, 'Contoso', '2031-01-01T12:34:56Z');
        INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 20);";
    sql(&file, by_hand).expect("by hand");
    let by_the_service = "
        INSERT INTO session VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'Admin', '2026-06-01T12:00:00Z', '2026-06-01T12:30:00Z',
            '2026-06-02T00:00:00Z', '192.0.2.7');
        INSERT INTO refusal VALUES (5, '2026-06-01T12:00:00Z', 'r', NULL, 'AssignLicense', 'NoFreeSeat', 'None is free.', 42, 'bob', 'SqlBackup', '::1'),
            (6, '2026-06-01T12:00:01Z', 's', 'Agent', 'none', 'AccessDenied', 'No.', NULL, NULL, NULL, NULL);
        INSERT INTO credential_use VALUES ('agent', '2026-06-01T12:00:00Z', '192.0.2.7', 3, '2026-06-01T12:01:00Z', '::1');
        INSERT INTO upkeep VALUES ('backup', '2026-06-01T12:00:00Z', 'a file');";
    unguarded(&file, by_the_service);
    (file, proof)
}

fn is_sound(place: &Database) {
    assert_eq!(store::check(place, auth::check_hash).expect("checked"), []);
    let history = store::verify_history(place, Vec::new()).expect("verified");
    assert_eq!(history.broken, [""; 0]);
}

#[test]
fn everything_moves_there_and_back() {
    let directory = TempDir::new();
    let (file, ticket) = source(&directory);
    let server = Cluster::shared().empty_database();
    let before = contents(&of_file(&file));
    let events = of_file(&file)
        .rows("SELECT id, at, action, actor, old_values, new_values, previous_id, pool_events FROM audit_event");
    let head = of_file(&file).lines("SELECT id, hash FROM audit_event WHERE hash IS NOT NULL ORDER BY id DESC LIMIT 1");

    let copied = copy(file.as_path(), server.url().as_str()).expect("copied");
    assert_eq!(contents(&of_server(&server)), before);
    let there = of_server(&server);
    let copies = "SELECT id, at, action, actor, old_values, new_values, previous_id, pool_events FROM audit_event WHERE action <> 'copy' ORDER BY id";
    assert_eq!(there.rows(copies), events);
    assert_eq!(
        copied.rows.iter().find(|(table, _)| *table == "audit_event"),
        Some(&("audit_event", events.len() as u64))
    );
    // The head that auditors may have kept is in the chain, and in the event of the copy.
    let source = copied.source.expect("chained");
    assert_eq!(head, [format!("{} {}", source.event, seatkeeper::chain::to_hex(&source.hash).to_uppercase())]);
    let said: String = there.value("SELECT new_values FROM audit_event WHERE action = 'copy'");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["event"], source.event);
    assert_eq!(said["hash"], seatkeeper::chain::to_hex(&source.hash));
    assert_eq!(said["events"], events.len());
    assert_eq!(there.value::<i64>("SELECT count(*) FROM audit_pending"), 0);
    assert_eq!(there.value::<i64>("SELECT sum(cardinality(event_ids)) FROM audit_chain"), events.len() as i64 + 1);
    is_sound(&server.url().into());

    // The service goes on there: tickets and names of calls are valid, and ids go on.
    let store = open(&server.url().into());
    let now = "2026-06-01T12:00:01Z";
    assert_eq!(wait(store.principal(call_by_ticket(&ticket, now))).map(|principal| principal.role), Ok(Role::Agent));
    let retry = named("retried");
    let name = retry.name.clone().expect("a name");
    wait(store.assign(retry, assignment("carl"))).expect("as before");
    assert!(name.original().is_some(), "the outcome of the first try");
    wait(store.assign(call("agent"), assignment("dora"))).expect("a seat");
    assert_eq!(there.value::<i64>("SELECT id FROM account WHERE username = 'dora'"), 4);
    store.close();
    there
        .sql("INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (43, 'SqlBackup', 5)")
        .expect("by hand");
    assert_eq!(there.value::<i64>("SELECT max(id) FROM license_pool"), 8);
    assert!(there.sql("UPDATE seat SET seat_no = 9 WHERE seat_no = 1").is_err(), "the triggers are on");
    let changed = contents(&there);
    drop(there);

    let back = directory.join("back.db");
    let copied = copy(server.url().as_str(), back.as_path()).expect("copied back");
    assert_eq!(contents(&of_file(&back)), changed);
    is_sound(&back.as_path().into());
    let of_back = of_file(&back);
    assert_eq!(of_back.value::<i64>("SELECT count(*) FROM audit_event WHERE action = 'copy'"), 2);
    assert_eq!(of_back.lines("SELECT id FROM audit_event ORDER BY id DESC LIMIT 1"), [copied.target.event.to_string()]);
    assert_eq!(
        of_back.lines("SELECT id, seats_in_use, seats_in_use_max FROM license_pool ORDER BY id"),
        ["1 3 3", "2 0 0", "7 0 0", "8 0 0"]
    );
    drop(of_back);
    open(&back.as_path().into()).close();
}

/// Whether nothing is left in the target, not even tables.
fn is_untouched(server: &postgres::Database) -> bool {
    of_server(server).value::<i64>("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
}

#[test]
fn what_is_not_sound_is_not_copied() {
    for (damage, why) in [
        ("UPDATE audit_event SET reason = 'forged' WHERE id = 4", "the history does not verify at event 4"),
        ("UPDATE audit_event SET hash = NULL WHERE id = 4", "the history does not verify at event 5"),
        ("UPDATE license_pool SET seats_in_use = 3 WHERE id = 1", "rows break an invariant"),
        (
            "UPDATE seat SET license_type = 'ExchangeBackup' WHERE pool_id = 1 AND seat_no = 5",
            "rows break an invariant",
        ),
        ("UPDATE entity SET note = CAST(x'ff' AS TEXT) WHERE id = 42", "the note of the row that begins with"),
        ("UPDATE account SET note = 'a' || char(0) || 'b'", "the note of the row that begins with"),
        ("PRAGMA foreign_keys = OFF; UPDATE seat SET account_id = 99 WHERE pool_id = 7", "account"),
        (
            "INSERT INTO audit_archive VALUES (0, 0, 1, '2026-01-01T00:00:00.000Z', zeroblob(32), NULL, 'old.db')",
            "--archive",
        ),
    ] {
        let directory = TempDir::new();
        let (file, _) = source(&directory);
        unguarded(&file, damage);
        let server = Cluster::shared().empty_database();
        let refused = copy(file.as_path(), server.url().as_str()).expect_err(damage);
        assert!(refused.to_string().contains(why), "{damage}: {refused}");
        assert!(is_untouched(&server), "{damage}");
    }
}

#[test]
fn what_is_not_sound_is_not_copied_back() {
    let directory = TempDir::new();
    let (file, _) = source(&directory);
    for (damage, why) in [
        ("UPDATE audit_event SET reason = 'forged' WHERE id = 4", "the history does not verify at event 4"),
        ("DELETE FROM audit_event WHERE id = 4", "event 4 is chained, and is not there"),
        ("INSERT INTO audit_event (action, actor) VALUES ('archive', 'cli')", "the history does not verify"),
        ("UPDATE license_pool SET seats_total = 9 WHERE id = 1", "rows break an invariant"),
        ("UPDATE audit_event SET at = at + interval '1 microsecond' WHERE id = 4", "the at of the row of audit_event"),
    ] {
        let server = Cluster::shared().empty_database();
        copy(file.as_path(), server.url().as_str()).expect("copied");
        server.unguarded(damage);
        let back = directory.join("back.db");
        let refused = copy(server.url().as_str(), back.as_path()).expect_err(damage);
        assert!(refused.to_string().contains(why), "{damage}: {refused}");
        let left = std::fs::read_dir(back.parent().expect("a directory")).expect("a directory");
        let left: Vec<_> = left
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().contains("back"))
            .collect();
        assert!(left.is_empty(), "{damage}: {left:?}");
    }
}

#[test]
fn a_copy_needs_a_source_at_rest_and_a_target_without_rows() {
    let directory = TempDir::new();
    let (file, _) = source(&directory);
    let server = Cluster::shared().empty_database();
    let url = server.url();
    let (file, other) = (file.as_path(), directory.join("other.db"));
    let refused = |from: &Database, to: &Database, why: &str| {
        let refused = copy(from.clone(), to.clone()).expect_err(why);
        assert!(refused.to_string().contains(why), "{refused}");
    };
    refused(&file.into(), &other.as_path().into(), "'seatkeeper backup'");
    refused(&url.as_str().into(), &url.as_str().into(), "pg_dump");
    refused(&url.as_str().into(), &other.as_path().into(), "there is nothing in this database");
    refused(&directory.join("nowhere.db").into(), &url.as_str().into(), "there is no such database");
    // Another program has the source open: this one would not see itself.
    let mut shell = crate::program::command()
        .args(["serve", "--listen", "127.0.0.1:0", "--database"])
        .arg(file)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("a service");
    let mut log = std::io::BufReader::new(shell.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).expect("a log") > 0, "it ended");
    }
    refused(&file.into(), &url.as_str().into(), "has it open. Stop it first");
    shell.kill().expect("killed");
    shell.wait().expect("ended");
    assert!(is_untouched(&server));

    // A database with tables and no rows will do, unless a node runs on it.
    assert!(store::create(&url.as_str().into()).expect("made"));
    let store = open(&url.as_str().into());
    refused(&file.into(), &url.as_str().into(), "the service runs on it, or a pooler keeps its connections open");
    store.close();
    copy(file, url.as_str()).expect("copied");
    refused(&file.into(), &url.as_str().into(), "there are rows in entity");
    let store = open(&url.as_str().into());
    refused(&url.as_str().into(), &other.as_path().into(), "the service runs on it");
    store.close();
    refused(&url.as_str().into(), &file.into(), "exists already: name a new file");
    let foreign = Cluster::shared().empty_database();
    foreign.execute("CREATE TABLE theirs (id int)").expect("a table");
    refused(&file.into(), &foreign.url().into(), "are not Seatkeeper's");
}

#[test]
fn a_database_without_rows_but_for_a_noted_check_is_empty() {
    let directory = TempDir::new();
    let (file, _) = source(&directory);
    let server = Cluster::shared().empty_database();
    assert!(store::create(&server.url().into()).expect("made"));
    // As the service notes it.
    server.unguarded("INSERT INTO upkeep VALUES ('check', '2026-06-01T12:00:00Z', NULL)");
    copy(file.as_path(), server.url().as_str()).expect("copied");
    assert_eq!(contents(&of_server(&server)), contents(&of_file(&file)));
}

#[test]
fn archives_are_copied_into_the_history() {
    let directory = TempDir::new();
    let (file, _) = source(&directory);
    open(&file.as_path().into()).close();
    let archive = directory.join("old.db");
    let moved = store::history::archive(&file, jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1), &archive);
    assert!(moved.expect("moved").deleted > 0);
    let server = Cluster::shared().empty_database();
    let refused = copy(file.as_path(), server.url().as_str()).expect_err("events are missing");
    assert!(refused.to_string().contains("--archive"), "{refused}");
    let (from, to) = (file.as_path().into(), server.url().into());
    store::copy(&from, &[archive], &to, auth::check_hash).expect("copied");
    is_sound(&to);
    let back = directory.join("back.db");
    copy(to, back.as_path()).expect("copied back");
    is_sound(&back.as_path().into());
}

#[test]
fn the_command_says_what_it_copied() {
    let directory = TempDir::new();
    let (file, _) = source(&directory);
    let server = Cluster::shared().empty_database();
    let copy = |from: &str, to: &str| run(crate::program::command().args(["copy", "--from", from, "--to", to]), "");
    let (file, url) = (file.to_str().expect("a path"), server.url());
    let done = copy(file, &url);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for said in [
        "entity: 6\n",
        "account: 3\n",
        "seat: 18\n",
        "ticket: 1\n",
        "head of the source: event ",
        "head of the copy: event ",
    ] {
        assert!(done.stdout.contains(said), "{said}: {}", done.stdout);
    }
    for (from, to, code) in
        [(file, url.as_str(), 1), (file, "x.db", 2), ("nowhere.db", url.as_str(), 3), (url.as_str(), file, 1)]
    {
        assert_eq!(copy(from, to).code, Some(code), "{from} {to}");
    }
}
