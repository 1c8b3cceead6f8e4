//! `seatkeeper resize`: a pool grows and shrinks by many seats while calls are served.

use crate::harness::*;
use crate::program::{Serving, seatkeeper};

fn seeded(directory: &TempDir) -> std::path::PathBuf {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    database
}

fn resize(database: &std::path::Path, pool: &str, seats: &str, more: &[&str]) -> crate::program::Done {
    seatkeeper("resize", database, &[&["--pool", pool, "--seats", seats], more].concat(), "")
}

#[test]
fn a_pool_grows_and_shrinks_in_steps_while_calls_are_served() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let service = Serving::start(&database);
    let mut client = Client::to(service.address);
    let mut served = 0;
    for (seats, steps) in [("150000", 8), ("3", 8)] {
        let before = texts(&database, "SELECT count(*) || '' FROM audit_event")[0].clone();
        let done = std::thread::scope(|scope| {
            let resizing = scope.spawn(|| resize(&database, "1", seats, &["--as", "anna", "--reason", "order 4711"]));
            while !resizing.is_finished() {
                let username = format!("b{}", served % 3);
                let call = assign_envelope("agent", PASSWORD, &username, 42, "SqlBackup");
                let answer = client.send(&post11(&call));
                assert!(["Success", "AlreadyExists"].contains(&answer.code().as_str()), "{answer:?}");
                served += 1;
            }
            resizing.join().expect("resized")
        });
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), format!("pool 1: {seats} seats\n").as_str()));
        let by_anna = format!(
            "SELECT count(*) || ' ' || count(DISTINCT request_id) FROM audit_event
              WHERE id > {before} AND action = 'pool-change' AND actor = 'anna' AND reason = 'order 4711'"
        );
        assert_eq!(texts(&database, &by_anna), [format!("{steps} {steps}")]);
        assert_eq!(texts(&database, "SELECT count(*) || '' FROM seat WHERE pool_id = 1"), [seats]);
    }
    assert!(served > 10, "{served} calls were served meanwhile");
    assert_eq!(violations(&database), []);
}

#[test]
fn what_cannot_be_changes_nothing_and_says_why() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let hold = "INSERT INTO account (id, username, entity_id) VALUES (7, 'b', 42); UPDATE seat SET account_id = 7 WHERE pool_id = 1 AND seat_no = 2";
    sql(&database, hold).expect("a holder");
    for (pool, seats, said) in [
        (
            "1",
            "0",
            "pool 1: seats_total of pool 1 cannot be 0: 1 seats are in use, release 1 first; nothing was changed",
        ),
        ("1", "10000001", "pool 1: license_pool.seats_total must be between 0 and 10000000; nothing was changed"),
        ("99", "5", "pool 99: there is no pool 99; nothing was changed"),
    ] {
        let done = resize(&database, pool, seats, &[]);
        assert_eq!((done.code, done.stderr.trim()), (Some(1), format!("error: {said}").as_str()));
    }
    assert_eq!(texts(&database, "SELECT seats_total || '' FROM license_pool WHERE id = 1"), ["3"]);
    let done = resize(&database, "1", "3", &[]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "pool 1: 3 seats\n"));
}
