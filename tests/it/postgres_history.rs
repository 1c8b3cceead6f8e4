//! The history on PostgreSQL: chained behind the calls by one node at a time, verified, read; and `check`. Stores of their own stand for
//! nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seatkeeper::auth;
use seatkeeper::chain::Head;
use seatkeeper::chain::sign::Key;
use seatkeeper::metrics::Metrics;
use seatkeeper::store::history::{
    self, EntitySelection, Event, History, HolderThen, MomentSelection, PoolThen, Selection,
};
use seatkeeper::store::{self, Store};

use crate::postgres::{Cluster, Database};

/// Two pools of 40 and 10 seats, and 100 accounts.
const SEED: &str = "
    INSERT INTO entity (id, name) VALUES (1, 'root'), (2, 'below');
    UPDATE entity SET parent_id = 1 WHERE id = 2;
    INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 1, 'SqlBackup', 40), (2, 2, 'ExchangeBackup', 10);
    INSERT INTO account (id, username, entity_id) SELECT n, 'user' || n, 1 + n % 2 FROM generate_series(1, 100) AS n;";

const WAIT: Duration = Duration::from_secs(60);

fn place(database: &Database) -> store::Database {
    database.url().parse().expect("a place")
}

fn node(database: &Database) -> Arc<dyn Store> {
    store::open(&place(database), &store::Options::default(), Arc::new(Metrics::new())).expect("a node")
}

fn seeded() -> Database {
    let database = Cluster::shared().database();
    database.execute(SEED).expect("seed");
    database
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn chained(database: &Database) {
    until("all is chained", || database.query::<i64>("SELECT count(*) FROM audit_pending") == 0);
}

#[track_caller]
fn verified(database: &Database, heads: Vec<Head>) -> store::HistoryReport {
    store::verify_history(&place(database), heads).expect("readable")
}

/// Seats in use, the most that were, and events of a pool, as its row counts those that are chained. (Queries that name the numbers get
/// those of the moment from the harness.)
fn counted(database: &Database, pool_id: i64) -> [i64; 3] {
    let row: String =
        database.query(&format!("SELECT row_to_json(pool)::text FROM license_pool AS pool WHERE id = {pool_id}"));
    let row: serde_json::Value = serde_json::from_str(&row).expect("JSON");
    ["seats_in_use", "seats_in_use_max", "events"].map(|name| row[name].as_i64().expect("a number"))
}

/// The history is unbroken, the tables are what it leads to, and every invariant holds.
#[track_caller]
fn is_sound(database: &Database) {
    let report = verified(database, Vec::new());
    assert_eq!(report.broken, [""; 0], "{report}");
    assert!(report.rows > 0 && report.chain.is_some(), "{report}");
    assert_eq!(store::check(&place(database), auth::check_hash).expect("checked"), []);
}

/// SQL that takes and gives back seats at random, one by one and in transactions, resizes, deletes and makes pools.
struct Load {
    state: u64,
}

impl Load {
    fn below(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn statement(&mut self) -> String {
        let (pool, user) = (1 + self.below(2), 1 + self.below(100));
        match self.below(20) {
            0..=8 => format!(
                "UPDATE seat SET account_id = {user} WHERE (pool_id, seat_no) = (SELECT pool_id, seat_no FROM seat
                     WHERE pool_id = {pool} AND account_id IS NULL ORDER BY seat_no LIMIT 1 FOR UPDATE SKIP LOCKED)"
            ),
            9..=15 => format!("UPDATE seat SET account_id = NULL WHERE account_id = {user} AND pool_id = {pool}"),
            16 => format!("UPDATE license_pool SET seats_total = greatest(seats_total + {} - 3, 5) WHERE id = {pool}", self.below(7)),
            17 => format!("UPDATE account SET note = '{}' WHERE id = {user}", self.below(1000)),
            18 => format!("UPDATE seat SET product_key = 'K{}' WHERE pool_id = {pool} AND seat_no = 3", self.below(1000)),
            _ => "BEGIN; DELETE FROM license_pool WHERE id = 9; \
                  INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (9, 1, 'SkraftDiskImageV5', 2); \
                  UPDATE seat SET account_id = 100 WHERE pool_id = 9 AND seat_no = 1; \
                  UPDATE seat SET account_id = NULL WHERE pool_id = 9 AND seat_no = 1; COMMIT"
                .to_owned(),
        }
    }

    /// Until told to stop; what the database refuses is part of it.
    fn run(mut self, database: &Database, is_over: &AtomicBool) -> u64 {
        let session = database.session();
        let mut done = 0;
        while !is_over.load(Ordering::Relaxed) {
            let statement = self.statement();
            if session.execute(&statement).is_err() {
                let _ = session.execute("ROLLBACK");
            }
            done += 1;
        }
        done
    }
}

/// A seat is given back while its pool shrinks. In the order of the events it is free before, so it is the one that goes: the shrinking waits
/// for it, although another seat is free.
#[test]
fn the_events_tell_which_seats_went() {
    let database = seeded();
    let total: i64 = database.query("SELECT seats_total FROM license_pool WHERE id = 1");
    let last = format!("WHERE pool_id = 1 AND seat_no = {total}");
    database.execute(&format!("UPDATE seat SET account_id = (SELECT min(id) FROM account) {last}")).expect("taken");
    let holder = database.session();
    holder.execute(&format!("BEGIN; UPDATE seat SET account_id = NULL {last}")).expect("given back");
    let administrator = database.session();
    let shrink = format!("UPDATE license_pool SET seats_total = {} WHERE id = 1", total - 1);
    let shrinking = std::thread::spawn(move || administrator.execute(&shrink));
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the administrator waits, or is done", || database.query::<i64>(waiting) == 1 || shrinking.is_finished());
    holder.execute("COMMIT").expect("given back");
    shrinking.join().expect("no panic").expect("shrunk");
    assert_eq!(database.query::<i64>(&format!("SELECT count(*) FROM seat {last}")), 0);
    let node = node(&database);
    chained(&database);
    node.close();
    is_sound(&database);
}

#[test]
fn nodes_chain_in_turn_and_the_numbers_are_true_at_every_moment() {
    let database = seeded();
    let nodes = [node(&database), node(&database)];
    let is_over = AtomicBool::new(false);
    let holders = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|seed| {
                scope.spawn({
                    let (database, is_over) = (&database, &is_over);
                    move || Load { state: seed }.run(database, is_over)
                })
            })
            .collect();
        let session = database.session();
        let mut holders: Vec<String> = Vec::new();
        let begun = Instant::now();
        let (mut kills, mut is_one_closed) = (0, false);
        while begun.elapsed() < Duration::from_secs(12) {
            // In one snapshot.
            let rows = session
                .rows(
                    "SELECT id, seats_in_use, seats_in_use_max, seats_total, (SELECT count(account_id) FROM seat WHERE pool_id = pool_use.id)
                       FROM pool_use",
                )
                .expect("rows");
            for row in rows {
                let number = |at: usize| match row[at] {
                    rusqlite::types::Value::Integer(number) => number,
                    ref other => panic!("{other:?}"),
                };
                let (id, in_use, most, total, taken) = (number(0), number(1), number(2), number(3), number(4));
                assert_eq!(in_use, taken, "pool {id}");
                assert!(
                    (0..=total).contains(&in_use) && most >= in_use,
                    "pool {id}: {in_use} of {total}, {most} at most"
                );
            }
            let holder: String = session.query("SELECT holder FROM chain_lease").expect("a row");
            if holders.last() != Some(&holder) {
                holders.push(holder);
            }
            // The holder's connection is lost, in the middle of a batch or not; then the holder itself.
            if begun.elapsed().as_secs() / 2 > kills {
                kills += 1;
                database.disconnect_chainers();
            }
            if begun.elapsed() > Duration::from_secs(6) && !is_one_closed {
                is_one_closed = true;
                nodes[0].close();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            assert!(thread.join().expect("no panic") > 0);
        }
        holders
    });
    chained(&database);
    nodes[1].close();
    assert!(holders.iter().filter(|holder| !holder.is_empty()).count() >= 1, "{holders:?}");
    // Of one seat later events have later places.
    let disorder: i64 = database.query(
        "WITH placed AS (SELECT event_id, first_place + number AS place FROM audit_chain, unnest(event_ids) WITH ORDINALITY AS e (event_id, number))
         SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY pool_id, seat_no ORDER BY place) AS before
                                 FROM placed JOIN audit_event ON id = event_id WHERE pool_id IS NOT NULL) AS e WHERE before > id",
    );
    assert_eq!(disorder, 0);
    let (events, places): (i64, i64) = (
        database.query("SELECT count(*) FROM audit_event"),
        database.query("SELECT sum(cardinality(event_ids)) FROM audit_chain"),
    );
    assert_eq!(events, places, "each event has one place");
    is_sound(&database);
}

impl Database {
    /// Ends the connections of the threads that chain, whatever they are doing.
    fn disconnect_chainers(&self) {
        let chainers = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = '{}' AND query ~ 'audit_pending|chain_lease|audit_chain' AND pid <> pg_backend_pid()
                AND application_name <> 'seatkeeper tests'",
            self.name()
        );
        self.cluster().superuser("postgres").execute(&chainers).expect("a superuser");
    }
}

#[test]
fn another_node_takes_over_within_seconds() {
    let database = seeded();
    let first = node(&database);
    chained(&database);
    let second = node(&database);
    let holder = || database.query::<String>("SELECT holder FROM chain_lease");
    let before = holder();
    // A node that ends gives the lease up.
    first.close();
    database.execute("UPDATE entity SET note = 'a' WHERE id = 1").expect("a change");
    chained(&database);
    let after = holder();
    assert_ne!(before, after);
    // One that vanishes leaves it: here one that holds it and is not there.
    second.close();
    let begun = Instant::now();
    database.unguarded(
        "UPDATE chain_lease SET holder = 'a node that is gone', held_until = clock_timestamp() + interval '3 seconds'",
    );
    let third = node(&database);
    database.execute("UPDATE entity SET note = 'b' WHERE id = 1").expect("a change");
    chained(&database);
    // The lease is waited for, and not much longer.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(2900) && took < Duration::from_secs(25), "{took:?}");
    third.close();
    is_sound(&database);
}

/// A transaction that is open for long delays the events of the pool that it has locked, and no others.
#[test]
fn an_open_transaction_delays_only_the_pools_that_it_has_locked() {
    let database = seeded();
    let node = node(&database);
    chained(&database);
    let administrator = database.session();
    administrator.execute("BEGIN; UPDATE license_pool SET note = 'thinking' WHERE id = 1").expect("locked");
    database.execute("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1").expect("a seat");
    database.execute("UPDATE seat SET account_id = 2 WHERE pool_id = 2 AND seat_no = 1").expect("a seat");
    until("the other pool is chained", || counted(&database, 2)[0] == 1);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM audit_pending WHERE pool_id = 1"), 1);
    assert_eq!(counted(&database, 1)[0], 0);
    assert_eq!(database.query::<i64>("SELECT seats_in_use FROM pool_use WHERE id = 1"), 1);
    administrator.execute("COMMIT").expect("committed");
    chained(&database);
    assert_eq!(counted(&database, 1)[0], 1);
    node.close();
    is_sound(&database);
}

/// The id of a pool that was deleted is used again, before its events are chained and after.
#[test]
fn the_id_of_a_deleted_pool_may_be_used_again() {
    let database = seeded();
    let again = "UPDATE seat SET account_id = NULL WHERE pool_id = 2; DELETE FROM license_pool WHERE id = 2;
                 INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (2, 1, 'SqlBackup', 5);
                 UPDATE seat SET account_id = 7 WHERE pool_id = 2 AND seat_no = 2";
    database.execute("UPDATE seat SET account_id = seat_no + 10 WHERE pool_id = 2 AND seat_no < 5").expect("seats");
    // Nothing is chained.
    database.execute(again).expect("again");
    assert_eq!(database.query::<i64>("SELECT seats_in_use FROM pool_use WHERE id = 2"), 1);
    is_sound(&database);
    let node = node(&database);
    chained(&database);
    assert_eq!(counted(&database, 2), [1, 1, 2]);
    node.close();
    // Its numbers are in its row, what follows is not chained.
    database.execute(again).expect("again");
    assert_eq!(database.query::<i64>("SELECT seats_in_use FROM pool_use WHERE id = 2"), 1);
    is_sound(&database);
    let node = crate::postgres_history::node(&database);
    chained(&database);
    assert_eq!(counted(&database, 2), [1, 1, 2]);
    node.close();
    is_sound(&database);
}

/// What hands did behind the guards is named.
#[test]
fn what_was_tampered_with_is_named() {
    let database = seeded();
    database.execute("UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 10").expect("seats");
    let node = node(&database);
    chained(&database);
    database.execute("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 3").expect("seats");
    chained(&database);
    node.close();
    is_sound(&database);
    let event: i64 = database.query("SELECT id FROM audit_event WHERE action = 'assign' AND seat_no = 5");
    let undone = |tamper: &str, undo: &str, says: &str| {
        database.unguarded(tamper);
        let said = verified(&database, Vec::new()).broken.join("\n");
        assert!(said.contains(says), "{tamper}\nsays: {said}\nand not: {says}");
        database.unguarded(undo);
        is_sound(&database);
    };
    undone(
        &format!("UPDATE audit_event SET actor = 'other' WHERE id = {event}"),
        &format!("UPDATE audit_event SET actor = 'sql' WHERE id = {event}"),
        &format!("event {event}: its hash does not follow from event"),
    );
}

#[test]
fn tampered_rows_chains_and_schemas_are_named() {
    for (tamper, verify_says, check_says) in [
        (
            "UPDATE seat SET account_id = 50 WHERE pool_id = 1 AND seat_no = 2",
            "seat 2 of pool 1: account_id is 50, by the history it is 2",
            "the newest event of a seat",
        ),
        (
            "UPDATE seat SET product_key = 'X' WHERE pool_id = 1 AND seat_no = 2",
            "seat 2 of pool 1: product_key is not what the history says",
            "",
        ),
        (
            "UPDATE license_pool SET seats_in_use = 3 WHERE id = 1",
            "pool 1: seats_in_use is 3, by the history it is 9",
            "a pool counts its seats in use",
        ),
        (
            "UPDATE license_pool SET seats_in_use_max = 30 WHERE id = 1",
            "pool 1: seats_in_use_max is 30, by the history it is 10",
            "a pool knows the most",
        ),
        (
            "UPDATE license_pool SET events = 1 WHERE id = 1",
            "pool 1: events is 1",
            "a pool knows its newest chained event",
        ),
        ("UPDATE entity SET name = 'other' WHERE id = 1", "entity 1: name is 'other', by the history it is 'root'", ""),
        ("DELETE FROM account WHERE id = 99", "account 99 is missing in the table", ""),
        (
            "DELETE FROM seat WHERE pool_id = 1 AND seat_no = 40",
            "seat 40 of pool 1 is missing",
            "a pool has as many seats",
        ),
        (
            "INSERT INTO entity (id, name) VALUES (77, 'x')",
            "entity 77 is in the table, but by the history there is no such row",
            "",
        ),
        (
            "DELETE FROM audit_event WHERE action = 'release'",
            "it is in the chain, but was removed",
            "every event has one place",
        ),
        (
            "INSERT INTO audit_event (action, actor) VALUES ('entity-change', 'x')",
            "is neither in the chain nor does it wait",
            "every event has one place",
        ),
        (
            "DELETE FROM audit_chain WHERE first_place > 1",
            "is neither in the chain nor does it wait",
            "every event has one place",
        ),
        (
            "UPDATE audit_chain SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE first_place = 1",
            "its hash does not follow",
            "",
        ),
        (
            "UPDATE audit_chain SET first_place = first_place + 1",
            "place 2 follows place 0",
            "the places of the chain have no gap",
        ),
        (
            "INSERT INTO audit_chain SELECT first_place + 10000, event_ids, hashes FROM audit_chain WHERE first_place = 1",
            "has 2 places in the chain",
            "the places of the chain have no gap",
        ),
        (
            "DROP TRIGGER seat_changed ON seat",
            "trigger seat_changed on seat is missing",
            "trigger seat_changed on seat is missing",
        ),
        (
            "ALTER TABLE seat DISABLE TRIGGER seat_changed",
            "trigger seat_changed on seat is not as this program made it",
            "trigger seat_changed on seat is not",
        ),
        (
            "ALTER TABLE seat DISABLE TRIGGER ALL",
            "the foreign keys of seat is not as this program made it",
            "the foreign keys of seat",
        ),
        ("DROP INDEX seat_by_holder", "index seat_by_holder is missing", "index seat_by_holder is missing"),
        ("ALTER TABLE seat ADD COLUMN extra integer", "column seat.extra is not of this program", "column seat.extra"),
        ("CREATE UNIQUE INDEX mine ON account (note)", "index mine is not of this program", "index mine"),
        (
            "CREATE OR REPLACE FUNCTION audit_time(at timestamptz) RETURNS text LANGUAGE sql STABLE AS 'SELECT ''x''::text'",
            "function audit_time(at timestamp with time zone) is not as",
            "function audit_time",
        ),
        (
            "CREATE OR REPLACE VIEW pool_use AS SELECT id, entity_id, license_type, seats_total, 0 AS seats_in_use, seats_in_use_max, starts_at, expires_at FROM license_pool",
            "view pool_use is not as",
            "view pool_use",
        ),
        (
            "CREATE RULE mine AS ON UPDATE TO seat DO INSTEAD NOTHING",
            "rule mine on seat is not of this program",
            "rule mine on seat",
        ),
        (
            "ALTER TABLE account ALTER COLUMN active SET DEFAULT 0",
            "column account.active is not as",
            "column account.active",
        ),
        (
            "INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('x', '$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA', 1)",
            "",
            "credentials have a password hash that can be verified",
        ),
    ] {
        let database = seeded();
        database.execute("UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 10").expect("seats");
        let node = node(&database);
        chained(&database);
        database.execute("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 3").expect("seats");
        chained(&database);
        node.close();
        database.unguarded(tamper);
        let said = verified(&database, Vec::new()).broken.join("\n");
        assert!(
            said.contains(verify_says) && (verify_says.is_empty() || !said.is_empty()),
            "{tamper}\nverify says: {said}\nand not: {verify_says}"
        );
        let violations = store::check(&place(&database), auth::check_hash).expect("checked");
        let found = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(found.contains(check_says), "{tamper}\ncheck says: {found}\nand not: {check_says}");
        let opened = store::verify(&place(&database), auth::check_hash);
        let is_tolerated = violations.iter().all(|violation| violation.invariant.contains("password hash"));
        assert_eq!(opened.is_ok(), is_tolerated, "{tamper}: {opened:?}");
    }
}

/// Tables, views, plain indexes, functions and rows of an administrator's own are no fault.
#[test]
fn what_administrators_add_of_their_own_is_no_fault() {
    let database = seeded();
    database
        .execute(
            "CREATE TABLE mine (id integer PRIMARY KEY); CREATE INDEX mine_too ON account (note); CREATE VIEW seen AS SELECT * FROM entity;
             CREATE FUNCTION ours() RETURNS integer LANGUAGE sql AS 'SELECT 1'; ALTER TABLE seat SET (autovacuum_vacuum_scale_factor = 0.5);
             CREATE SCHEMA other; CREATE TABLE other.seat (id integer)",
        )
        .expect("made");
    is_sound(&database);
    assert_eq!(store::verify(&place(&database), auth::check_hash).expect("sound"), []);
}

#[test]
fn heads_that_are_kept_elsewhere_are_found_in_any_order() {
    let database = seeded();
    let node = node(&database);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let key = Key::from_random(&[7; 32]);
    let mut heads = Vec::new();
    for seat_no in 1..=3 {
        database
            .execute(&format!("UPDATE seat SET account_id = {seat_no} WHERE pool_id = 1 AND seat_no = {seat_no}"))
            .expect("a seat");
        chained(&database);
        let link = runtime.block_on(node.head()).expect("a head").expect("chained");
        assert_eq!(history::newest(&place(&database)).expect("read").map(|newest| newest.link), Some(link));
        heads.insert(0, key.sign(&link, "2027-01-31T00:00:00.000Z".to_owned()));
    }
    node.close();
    let report = verified(&database, heads.clone());
    assert_eq!(report.broken, [""; 0]);
    assert_eq!(report.chain.map(|chain| chain.heads), Some(3));
    let mut other = heads[1].clone();
    other.hash[3] ^= 1;
    assert!(verified(&database, vec![other]).broken[0].contains("the history was rewritten"));
    let mut later = heads[0].clone();
    later.event += 1000;
    assert!(verified(&database, vec![later]).broken[0].contains("it was cut off"));
}

/// It knows nothing of this program's code.
#[test]
fn the_query_in_the_documents_verifies_the_chain() {
    let page = include_str!("../../docs/history.md");
    let (_, query) = page.split_once("```sql\nWITH placed AS").expect("the query");
    let (query, _) = query.split_once("```").expect("its end");
    let query = format!("WITH placed AS{query}").trim_end().trim_end_matches(';').to_owned();
    let database = seeded();
    let node = node(&database);
    database
        .execute(
            "UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 9;
             UPDATE entity SET note = 'Müller, \"x\": {1}', shop_url = 'a' WHERE id = 2; UPDATE seat SET license_data = '\\x00ff' WHERE pool_id = 2;
             UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 3",
        )
        .expect("changes");
    chained(&database);
    node.close();
    let found = |database: &Database| database.session().rows(&query).expect("the query runs").len();
    assert_eq!(found(&database), 0);
    database.unguarded("UPDATE audit_event SET username = 'other' WHERE action = 'assign' AND seat_no = 4");
    assert_eq!(found(&database), 1);
}

fn shown(database: &Database, selection: &Selection) -> Vec<Event> {
    let history = History { database: place(database), archives: Vec::new() };
    let mut events = Vec::new();
    let missing = history::events(&history, selection, &mut |event| {
        events.push(event.clone());
        Ok(())
    })
    .expect("read");
    assert_eq!(missing, []);
    events
}

#[test]
fn events_and_holders_are_shown_in_the_order_of_the_chain() {
    let database = seeded();
    let first = node(&database);
    chained(&database);
    database.execute("UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 3").expect("seats");
    chained(&database);
    first.close();
    let moment: String =
        database.query("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')");
    std::thread::sleep(Duration::from_millis(5));
    // Not chained.
    database.execute("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 2; UPDATE account SET username = 'renamed' WHERE id = 1").expect("changes");
    let all = shown(&database, &Selection::default());
    assert_eq!(all.len() as i64, database.query::<i64>("SELECT count(*) FROM audit_event"));
    assert_eq!(all.iter().filter(|event| event.hash.is_none()).count(), 2);
    assert!(all.iter().rev().take(2).all(|event| event.hash.is_none()));
    let mut newest_first = shown(&database, &Selection { newest_first: true, ..Selection::default() });
    newest_first.reverse();
    assert_eq!(newest_first, all);
    let count = |selection: Selection| shown(&database, &selection).len();
    assert_eq!(count(Selection { events_max: Some(3), ..Selection::default() }), 3);
    assert_eq!(count(Selection { pool_id: Some(1), ..Selection::default() }), 5);
    assert_eq!(count(Selection { user: Some("RENAMED".into()), ..Selection::default() }), 3);
    assert_eq!(count(Selection { user: Some("user1".into()), ..Selection::default() }), 3);
    assert_eq!(count(Selection { actions: vec!["release".into(), "pool-create".into()], ..Selection::default() }), 3);
    assert_eq!(
        count(Selection { actor: Some("SQL".into()), actions: vec!["assign".into()], ..Selection::default() }),
        3
    );
    let since = moment.parse().expect("a time");
    assert_eq!(count(Selection { since: Some(since), ..Selection::default() }), 2);
    assert_eq!(count(Selection { until: Some(since), ..Selection::default() }), all.len() - 2);
    let entity = |id, below| Selection { entity: Some(EntitySelection { id, below }), ..Selection::default() };
    assert_eq!(count(entity(1, true)), all.len());
    assert!(count(entity(2, false)) < all.len());
    let assign = all.iter().find(|event| event.action == "assign").expect("one");
    assert_eq!((assign.entity_id, assign.license_type.as_deref()), (Some(1), Some("SqlBackup")));

    let holders = |at: &str, user: Option<&str>| {
        let history = History { database: place(&database), archives: Vec::new() };
        let at = at.parse().expect("a time");
        let selection = MomentSelection { at, entity: None, pool_id: None, user: user.map(str::to_owned) };
        let mut found: HashMap<(i64, i64), String> = HashMap::new();
        let mut show = |pool: &PoolThen, holder: Option<&HolderThen>| {
            if let Some(holder) = holder {
                found.insert((pool.id, holder.seat_no), holder.username.clone());
            }
            Ok(())
        };
        history::holders_at(&history, &selection, &mut show).expect("read");
        let mut found: Vec<_> = found.into_iter().map(|((pool, seat), name)| format!("{pool}/{seat} {name}")).collect();
        found.sort();
        found
    };
    assert_eq!(holders(&moment, None), ["1/1 user1", "1/2 user2", "1/3 user3"]);
    assert_eq!(holders("2100-01-01T00:00:00Z", None), ["1/1 renamed", "1/3 user3"]);
    assert_eq!(holders("2100-01-01T00:00:00Z", Some("renamed")), ["1/1 renamed"]);
    assert_eq!(holders("2000-01-01T00:00:00Z", None), [""; 0]);
}

/// At the command line, and what there is not on PostgreSQL.
#[test]
fn the_commands_work_on_a_server() {
    let database = seeded();
    let node = node(&database);
    chained(&database);
    node.close();
    let run = |arguments: &[&str]| {
        let output =
            crate::program::command().args(arguments).args(["--database", &database.url()]).output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    for (arguments, code, says) in [
        (&["check"][..], 0, "ok: every invariant holds"),
        (&["audit", "verify"], 0, "ok: the history is unbroken, and the tables are what it leads to"),
        (&["audit", "head"], 0, "{\"event\":"),
        (&["audit", "show", "--format", "csv"], 0, "pool-create"),
        (&["audit", "show", "--at", "2100-01-01"], 0, "SqlBackup"),
        (&["audit", "archive", "--before", "2026-01-01", "old.db"], 2, "PostgreSQL"),
    ] {
        let (found, text) = run(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
