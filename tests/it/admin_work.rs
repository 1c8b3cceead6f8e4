//! Pieces of administrators' work ([`seatkeeper::store::admin`]) on both databases: what is changed, what its events say, and what is
//! undone.

use jiff::Timestamp;
use seatkeeper::store::admin::{Admin, AdminRefusal, ChangeOptions, Dialect, Sql, Stop, Value};

use crate::harness::{TestDatabase, on_postgres, sample_data};

fn seeded() -> TestDatabase {
    let database = TestDatabase::new(&sample_data());
    database.sql("INSERT INTO account (id, username, entity_id) VALUES (101, 'anna', 42), (102, 'Bert', 42)");
    database
}

fn take(sql: &dyn Sql, _: &Admin) -> Result<u64, Stop> {
    sql.change(
        "UPDATE seat SET account_id = $2 WHERE pool_id = $1 AND seat_no = 1 AND account_id IS NULL",
        &[Value::Int(1), Value::Int(101)],
    )
}

fn because(reason: &str) -> ChangeOptions {
    ChangeOptions { reason: Some(reason.to_owned()), ..ChangeOptions::default() }
}

#[test]
fn values_go_in_and_come_out() {
    let database = seeded();
    database.sql("UPDATE license_pool SET license_data = NULL, starts_at = '2026-01-02T03:04:05Z' WHERE id = 1");
    let at: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
    let is_postgres = on_postgres();
    let row = database.read_as_admin(move |sql, admin| {
        assert_eq!(sql.dialect(), if is_postgres { Dialect::Postgres } else { Dialect::Sqlite });
        assert_eq!((admin.name.as_str(), admin.entity_id), ("cli", None));
        let text = "SELECT id, entity_id, starts_at, expires_at, note, CAST(sum(seats_total) AS BIGINT), $3, $4
                      FROM license_pool
                     WHERE id = $1 AND starts_at = $2 AND starts_at <= $2 GROUP BY id, entity_id, starts_at, expires_at, note";
        let values = [Value::Int(1), Value::Time(at), Value::from("x"), Value::from(vec![1, 2])];
        let rows = sql.rows(text, &values)?;
        let row = rows.first().expect("the pool");
        assert_eq!((row.int(0)?, row.int(1)?, row.time(2)?, row.time(3)?), (1, 42, Some(at), None));
        assert_eq!((row.opt_text(4)?, row.int(5)?), (None, 3));
        assert_eq!((row.text(6)?, row.opt_bytes(7)?), ("x".to_owned(), Some(vec![1, 2])));
        assert!(matches!(row.text(0), Err(Stop::Failed(_))) && matches!(row.value(9), Err(Stop::Failed(_))));
        // Names compare without regard to case, and a null is the same as a null.
        let key = sql.dialect().name_key("username");
        let same = sql.dialect().is_same("note", "$2");
        let text = format!("SELECT id FROM account WHERE {key} = $1 AND {same} AND active = $3");
        let found = sql.rows(&text, &[Value::name("BERT"), Value::Null, Value::from(true)])?;
        found[0].int(0)
    });
    assert_eq!(row.expect("read"), 102);
}

#[test]
fn a_change_writes_events_in_the_name_of_its_caller_with_its_reason() {
    let database = seeded();
    let changed = database.change_as_admin(because("Anna's new server"), take).expect("changed");
    assert!(changed.kept && changed.value == 1);
    let [event] = &changed.events[..] else { panic!("{:?}", changed.events) };
    assert_eq!((event.actor.as_str(), event.action.as_str(), event.seat_no), ("cli", "assign", Some(1)));
    assert_eq!((event.entity_id, event.license_type.as_deref()), (Some(42), Some("SqlBackup")));
    assert_eq!((event.username.as_deref(), event.reason.as_deref()), (Some("anna"), Some("Anna's new server")));
    assert!(event.at.parse::<Timestamp>().is_ok(), "{}", event.at);
    let written = database.lines("SELECT action, actor, reason FROM audit_event WHERE reason IS NOT NULL");
    assert_eq!(written, ["assign cli Anna's new server"]);
    // The next change has no reason.
    let renamed = |sql: &dyn Sql, _: &Admin| sql.change("UPDATE entity SET name = 'C' WHERE id = 42", &[]);
    let changed = database.change_as_admin(ChangeOptions::default(), renamed).expect("changed");
    assert_eq!(changed.events[0].reason, None);
    assert_eq!(changed.events[0].new_values.as_deref(), Some(r#"{"name":"C"}"#));
    assert_eq!(database.violations(), []);
}

#[test]
fn a_preview_changes_nothing_and_a_confirmation_makes_only_what_was_shown() {
    let database = seeded();
    let taken = || database.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL");
    let preview = database.change_as_admin(ChangeOptions { dry_run: true, ..because("try") }, take).expect("a preview");
    assert!(!preview.kept && preview.events.len() == 1 && taken() == 0);
    let confirm = || ChangeOptions { expected: Some(preview.digest), ..because("confirmed") };
    // Somebody else was first.
    database.sql("UPDATE account SET username = 'Anna' WHERE id = 101");
    let moved = database.change_as_admin(confirm(), take).expect("an answer");
    assert!(!moved.kept && moved.events[0].username.as_deref() == Some("Anna") && taken() == 0);
    database.sql("UPDATE account SET username = 'anna' WHERE id = 101");
    let done = database.change_as_admin(confirm(), take).expect("an answer");
    assert!(done.kept && taken() == 1);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM audit_event WHERE reason = 'try'"), 0);
    assert_eq!(database.violations(), []);
}

/// New rows get ids from the database, on PostgreSQL another one with each try.
#[test]
fn ids_of_new_rows_do_not_count() {
    let database = seeded();
    let enroll = |sql: &dyn Sql, _: &Admin| {
        sql.change("INSERT INTO account (username, entity_id) VALUES ($1, $2)", &[Value::from("new"), Value::Int(42)])?;
        let id = sql.rows("SELECT id FROM account WHERE username = 'new'", &[])?[0].int(0)?;
        sql.change("UPDATE seat SET account_id = $1 WHERE pool_id = 1 AND seat_no = 2", &[Value::Int(id)])
    };
    let preview =
        database.change_as_admin(ChangeOptions { dry_run: true, ..Default::default() }, enroll).expect("a preview");
    let expected = Some(preview.digest);
    let done = database.change_as_admin(ChangeOptions { expected, ..Default::default() }, enroll).expect("done");
    assert!(done.kept, "{:?} {:?}", preview.events, done.events);
}

#[test]
fn what_the_guards_refuse_is_an_answer_in_their_words() {
    let database = seeded();
    database.change_as_admin(ChangeOptions::default(), take).expect("taken");
    for (statement, sentence) in [
        ("UPDATE license_pool SET seats_total = 0 WHERE id = 1", "release 1 first"),
        ("UPDATE entity SET name = '' WHERE id = 42", "entity.name must have 1 to 255 characters"),
        ("UPDATE entity SET parent_id = 42 WHERE id = 42", ""),
        ("INSERT INTO account (username, entity_id) VALUES ('ANNA', 42)", "account"),
        ("DELETE FROM account WHERE id = 101", ""),
    ] {
        let refused = database.change_as_admin(ChangeOptions::default(), move |sql, _| {
            sql.change("UPDATE entity SET note = 'undone' WHERE id = 42", &[])?;
            sql.change(statement, &[])
        });
        match refused {
            Err(AdminRefusal::Guard(said)) => assert!(said.contains(sentence), "{statement}: {said}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
    assert_eq!(database.query::<i64>("SELECT count(*) FROM entity WHERE note IS NOT NULL"), 0);
    let tried = database.change_as_admin(ChangeOptions::default(), |sql, _| {
        sql.change("UPDATE entity SET note = 'kept' WHERE id = 42", &[])?;
        sql.attempt(&mut || sql.change("UPDATE entity SET name = '' WHERE id = 42", &[]).map(drop))
    });
    let tried = tried.expect("an answer");
    assert!(tried.value.is_err() && tried.kept && tried.events.len() == 1, "{tried:?}");
    assert_eq!(database.violations(), []);
}
