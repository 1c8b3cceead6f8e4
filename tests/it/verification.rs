//! The database is verified when the service starts and while it runs; damage that is found stops the service. And `check` verifies a
//! file without changing it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use seatkeeper::store;

use crate::harness::*;
use crate::program::{Done, Serving, run, seatkeeper};

fn verifying_each(verify_interval: Duration) -> Server {
    let store = store::Options { verify_interval, ..store::Options::default() };
    Server::with(Options { store, ..Options::default() })
}

/// Changes past every guard, and the invariant that finds each.
const DAMAGES: &[(&str, &str)] = &[
    ("UPDATE license_pool SET seats_in_use = 2, seats_in_use_max = 2 WHERE id = 1", "a pool counts its seats in use"),
    (
        "PRAGMA foreign_keys = OFF; UPDATE seat SET account_id = 999 WHERE pool_id = 1 AND seat_no = 3",
        "a pool counts its seats in use",
    ),
    ("UPDATE audit_event SET at = 'yesterday' WHERE id = 2", "an event says what happened and when"),
    ("DELETE FROM audit_event WHERE action = 'assign'", "a pool knows the most of its seats that were in use at once"),
    (
        "PRAGMA ignore_check_constraints = ON; UPDATE credential SET role = 'owner' WHERE user_name = 'reader'",
        "every value is one that its column may have",
    ),
];

#[test]
fn damage_that_is_found_while_the_service_runs_stops_it() {
    for (damage, invariant) in DAMAGES {
        let server = verifying_each(Duration::from_millis(100));
        assert_eq!(server.assign("before", 42, "SqlBackup").code(), "Success");
        assert_eq!(server.get("/readyz").status, 200);
        server.unguarded(damage);
        wait_until(damage, || server.get("/readyz").status == 503);
        let why = server.get("/readyz").body;
        assert_eq!(why, format!("not ready: the database is damaged: {invariant}\n"), "{damage}");
        let refused = server.assign("after", 42, "SqlBackup");
        assert_eq!((refused.status, refused.code().as_str()), (200, "UnexpectedError"), "{damage}");
        let holding = "<Username>before</Username><LicenseType>SqlBackup</LicenseType>";
        let refused = server.call("GetAssignedLicenseDetails", "agent", holding);
        assert_eq!((refused.status, refused.code().as_str()), (200, "UnexpectedError"), "{damage}");
        assert!(!server.authenticate("agent", PASSWORD).body.contains("<Ticket>"), "{damage}");
        assert_eq!(server.get("/healthz").status, 200, "{damage}");
        assert_eq!(server.query::<i64>("SELECT count(*) FROM account WHERE username = 'after'"), 0, "{damage}");
    }
}

/// Verification all the time, beside calls and SQL by hand: it sees committed states only, which keep every invariant.
#[test]
fn verification_beside_calls_finds_nothing_and_holds_up_nobody() {
    let server = verifying_each(Duration::from_millis(1));
    server.sql("UPDATE license_pool SET seats_total = 50 WHERE id = 1");
    let verified_at = || {
        let metrics = server.metrics.render();
        let value = |line: &str| line.strip_prefix("seatkeeper_store_verified_timestamp_seconds ")?.parse::<f64>().ok();
        metrics.lines().find_map(value).unwrap_or_default()
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut number = 0;
                while !done.load(Ordering::Relaxed) {
                    let user = format!("user-{caller}-{}", number % 20);
                    server.assign(&user, 42, "SqlBackup");
                    let holding = format!("<Username>{user}</Username><LicenseType>SqlBackup</LicenseType>");
                    assert_eq!(server.call("UnassignLicense", "admin", &holding).code(), "Success");
                    number += 1;
                }
            });
        }
        for seats in [60, 40, 70] {
            server.sql(&format!("UPDATE license_pool SET seats_total = {seats} WHERE id = 1"));
            let last = verified_at();
            wait_until("another verification", || verified_at() > last);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.get("/readyz").status, 200);
    let metrics = server.metrics.render();
    let took = metrics.lines().find_map(|line| line.strip_prefix("seatkeeper_store_verification_seconds "));
    let took: f64 = took.and_then(|seconds| seconds.parse().ok()).expect("how long the last one took");
    assert!(took > 0.0 && took < LONG.as_secs_f64(), "{took}");
}

#[test]
fn zero_switches_verification_off_and_stopping_does_not_wait_for_the_next_one() {
    let server = verifying_each(Duration::ZERO);
    server.unguarded("UPDATE license_pool SET seats_in_use = 2, seats_in_use_max = 2 WHERE id = 1");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.get("/readyz").status, 200);
    let begun = std::time::Instant::now();
    verifying_each(Duration::from_secs(3600)).stop();
    assert!(begun.elapsed() < LONG);
}

/// The line says what is broken and what to do; rows that concern nothing but themselves are a warning.
#[test]
fn a_start_says_what_it_found() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    unguarded(&database, "UPDATE entity SET name = CAST(x'436166E9' AS TEXT) WHERE id = 43");
    let service = Serving::start(&database);
    assert!(service.log().contains("\"message\":\"the database was verified\""), "{}", service.log());
    let warned = "\"invariant\":\"text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF\",\"row\":\"entity 43: name is x'436166E9'\"";
    assert!(service.log().contains(warned), "{}", service.log());
    drop(service);
    unguarded(&database, "UPDATE license_pool SET seats_in_use = 2, seats_in_use_max = 2 WHERE id = 1");
    let refused = Serving::try_start(&database).err().expect("it does not serve this");
    let last = refused.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with(&format!(
            "error: {}: the database is damaged: a pool counts its seats in use: pool 1: 0 in use, seats_in_use is 2; ",
            database.display()
        )),
        "{last}"
    );
    assert!(last.ends_with("or repair the rows with 'seatkeeper sql' while no service runs."), "{last}");
    // As the line says.
    let mend = "UPDATE license_pool SET seats_in_use = 0, seats_in_use_max = 0 WHERE id = 1";
    unguarded(&database, mend);
    drop(Serving::start(&database));
}

/// Name, content and time of each file in the directory; of the index of a log the name only: programs share it as memory.
fn state(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let entries = std::fs::read_dir(directory).expect("read");
    entries
        .map(|entry| entry.expect("entry").path())
        .map(|path| {
            if path.to_string_lossy().ends_with("-shm") {
                return (path, (Vec::new(), std::time::SystemTime::UNIX_EPOCH));
            }
            let changed_at = std::fs::metadata(&path).and_then(|file| file.modified()).expect("time");
            (path.clone(), (std::fs::read(&path).expect("read"), changed_at))
        })
        .collect()
}

/// Runs a command as a user that may read the directory and write nothing in it.
fn as_a_reader(directory: &TempDir, command_line: &str, database: &Path) -> Done {
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    };
    let place = database.parent().expect("a directory");
    for entry in std::fs::read_dir(place).expect("read") {
        set_mode(&entry.expect("entry").path(), 0o444);
    }
    set_mode(place, 0o555);
    // Permissions do not hold back root.
    let mut command = crate::program::unprivileged(&directory.join(""));
    let done = run(command.args(command_line.split(' ')).arg("--database").arg(database), "");
    set_mode(place, 0o755);
    done
}

/// A database as a service leaves it that is killed: what was last changed is in the log only. `broken`: by the last change.
fn killed(directory: &Path, broken: bool) -> PathBuf {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    let service = Serving::start(&database);
    let assign = assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup");
    assert_eq!(Client::to(service.address).send(&post11(&assign)).code(), "Success");
    if broken {
        unguarded(&database, "UPDATE license_pool SET seats_in_use = 0 WHERE id = 1");
    }
    service.kill();
    database
}

#[test]
fn a_check_changes_nothing_and_needs_no_right_to_write() {
    // What stands beside the file: nothing; its log and the index of that; the log alone.
    for beside in [&[][..], &["-wal", "-shm"], &["-wal"]] {
        for broken in [false, true] {
            for is_reader in [false, true] {
                let directory = TempDir::new();
                let place = directory.join("place");
                std::fs::create_dir(&place).expect("directory");
                let database = killed(&place, broken);
                if beside.is_empty() {
                    Connection::open(&database)
                        .and_then(|c| c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
                        .expect("folded back");
                }
                for name in ["-wal", "-shm"].iter().filter(|name| !beside.contains(name)) {
                    let _ = std::fs::remove_file(format!("{}{name}", database.display()));
                }
                let before = state(&place);
                let done = if is_reader {
                    as_a_reader(&directory, "check", &database)
                } else {
                    seatkeeper("check", &database, &[], "")
                };
                let said = if broken {
                    "broken: a pool counts its seats in use: pool 1: 1 in use, seats_in_use is 0\n"
                } else {
                    "ok: every invariant holds\n"
                };
                let context = format!("beside: {beside:?}, reader: {is_reader}: {}", done.stderr);
                assert_eq!((done.code, done.stdout.as_str()), (Some(i32::from(broken)), said), "{context}");
                assert!(state(&place) == before, "{context}");
            }
        }
    }
}

/// A copy of a database and its log, on a medium that cannot be written, is read with what only the log has.
#[test]
fn the_history_of_a_copy_is_read_without_the_right_to_write() {
    for beside in [&[][..], &["-shm"]] {
        let directory = TempDir::new();
        let place = directory.join("place");
        std::fs::create_dir(&place).expect("directory");
        let database = killed(&place, false);
        for name in beside {
            std::fs::remove_file(format!("{}{name}", database.display())).expect("removed");
        }
        let before = state(&place);
        for (command, said) in [
            ("audit verify", "ok: the history is unbroken"),
            ("audit show --action assign", "backup01"),
            ("audit show --at 2099-01-01", "backup01"),
            ("audit head", "{\"event\":"),
        ] {
            let done = as_a_reader(&directory, command, &database);
            assert!(done.code == Some(0) && done.stdout.contains(said), "without {beside:?}: {command}: {done:?}");
            assert!(state(&place) == before, "without {beside:?}: {command}");
        }
    }
    let directory = TempDir::new();
    let place = directory.join("place");
    std::fs::create_dir(&place).expect("directory");
    let database = killed(&place, false);
    std::fs::remove_file(format!("{}-shm", database.display())).expect("removed");
    let refused = as_a_reader(&directory, &format!("backup {}", directory.join("backup.db").display()), &database);
    assert!(
        refused.code == Some(3) && refused.stderr.contains("Copy it, with its '-wal', to another place"),
        "{refused:?}"
    );
}

/// A name with characters that mean something in the addresses by which SQLite opens files.
#[test]
fn a_check_takes_any_file_name() {
    let directory = TempDir::new();
    let database = directory.join("a b%20?x=1#ü&mode=memory.db");
    sql(&database, &sample_data()).expect("seed");
    let done = seatkeeper("check", &database, &[], "");
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "ok: every invariant holds\n"), "{}", done.stderr);
}
