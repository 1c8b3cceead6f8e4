//! The disk fails: an open, a read, a write, a truncation or a sync ends with "Input/output error" or "No space left on device",
//! once or from then on, at the first such operation, at the second, and so on. Whatever is answered is true after a new start:
//! Success is in the file, "Nothing was changed" is not, and only an answer that says so leaves it open. When the fault has gone,
//! the service serves correctly or has said why it does not.
//!
//! `tests/disk/README.md` says how to run all of it and how to run another command under faults.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use seatkeeper::metrics::Metrics;
use seatkeeper::store;

use crate::disk::{Disk, EIO, ENOSPC, Fault, in_turn};
use crate::harness::*;
use crate::kill::number_from;
use crate::program::{Serving, program};

/// The operations at which a fault is tried: the first ones and some of the later ones, or all up to SEATKEEPER_FAULTS.
fn nths() -> impl Iterator<Item = u32> {
    let some = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377];
    match number_from("SEATKEEPER_FAULTS") {
        Some(last) => (1..=last as u32).collect(),
        None => some.to_vec(),
    }
    .into_iter()
}

const ENTITY: i32 = 42;
pub const TYPE: &str = "SqlBackup";

/// A database with a credential and a pool, made once and copied.
static TEMPLATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &seed()).expect("seed");
    std::fs::read(database).expect("a database")
});

/// The user `first` holds a seat of [`TYPE`].
pub fn seed() -> String {
    format!(
        "INSERT INTO entity (id, name) VALUES ({ENTITY}, 'Contoso');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('admin', '{}', {ENTITY}, 'admin');
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, {ENTITY}, '{TYPE}', 1000);
         INSERT INTO account (id, username, entity_id) VALUES (1, 'first', {ENTITY});
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;",
        *PASSWORD_HASH
    )
}

/// What a caller knows after a call.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    /// An error after which nothing was changed.
    Unchanged,
    /// An error that leaves it open, or no answer at all.
    Unknown,
    /// An answer that does not say which of these it is.
    Unclear(String),
}

/// Who shall hold a seat, or no longer, and what was answered.
type Answered = (String, bool, Outcome);

/// Calls after which the caller did not know, and whose change was in the file. Without any, a service that says "Nothing was
/// changed" after each error would pass.
static FOUND_AFTER_UNKNOWN: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_is_answered_while_the_disk_fails_is_true() {
    let mut kinds = Vec::new();
    for error in [EIO, ENOSPC] {
        for count in [1, 0] {
            for (operation, file) in [("sync", "-wal"), ("write", "-wal"), ("open", "")] {
                kinds.push(Fault { operation, file, nth: 1, count, error });
            }
        }
    }
    for count in [1, 0] {
        kinds.push(Fault { operation: "read", file: "", nth: 1, count, error: EIO });
        // A part of each write is done, and SQLite writes the rest.
        kinds.push(Fault { operation: "short", file: "-wal", nth: 1, count, error: ENOSPC });
    }
    try_all(&kinds, &|disk, fault| {
        std::fs::write(disk.database(), &*TEMPLATE).expect("a copy");
        let mut command = program("serve", disk.database());
        disk.expose(&mut command);
        let service = Serving::try_start_as(command).expect("it starts");
        // Signs in, and makes what a start leaves to the first call.
        let mut answered = vec![call(service.address, "early", true)];
        assert_eq!(answered[0].2, Outcome::Done);
        disk.fail(fault);
        answered.extend(calls(service.address, "u"));
        finish(disk, service, answered)
    });
    let found = FOUND_AFTER_UNKNOWN.load(Ordering::Relaxed);
    println!("{found} changes were in the file whose callers could not know");
    assert!(found > 0, "the faults were too harmless to show anything");
}

#[test]
fn a_start_on_a_failing_disk_is_refused_with_a_reason_or_serves_correctly() {
    let mut kinds = Vec::new();
    for (operation, error) in [("open", EIO), ("read", EIO), ("write", ENOSPC), ("truncate", ENOSPC), ("sync", EIO)] {
        for count in [1, 0] {
            kinds.push(Fault { operation, file: "", nth: 1, count, error });
        }
    }
    try_all(&kinds, &|disk, fault| {
        std::fs::write(disk.database(), &*TEMPLATE).expect("a copy");
        start_under(disk, fault, &["first"])
    });
}

/// A file of an earlier version, in which `first` holds a seat.
pub fn version_1(database: &Path) {
    let connection = Connection::open(database).expect("open");
    connection.execute_batch(include_str!("../../src/store/sqlite/migrations/schema_1.sql")).expect("version 1");
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; {}", seed())).expect("data");
}

#[test]
fn a_migration_on_a_failing_disk_leaves_the_old_file_or_the_new_one() {
    let mut kinds = Vec::new();
    for (operation, error) in [("write", ENOSPC), ("sync", EIO), ("read", EIO), ("open", ENOSPC), ("rename", EIO)] {
        for count in [1, 0] {
            kinds.push(Fault { operation, file: "", nth: 1, count, error });
        }
    }
    try_all(&kinds, &|disk, fault| {
        version_1(&disk.database());
        start_under(disk, fault, &["first"])
    });
}

#[test]
fn a_stop_on_a_failing_disk_loses_nothing() {
    let mut kinds = Vec::new();
    for (operation, error) in [("write", ENOSPC), ("sync", EIO), ("read", EIO), ("truncate", EIO), ("unlink", EIO)] {
        kinds.push(Fault { operation, file: "", nth: 1, count: 0, error });
    }
    try_all(&kinds, &|disk, fault| {
        std::fs::write(disk.database(), &*TEMPLATE).expect("a copy");
        let mut command = program("serve", disk.database());
        disk.expose(&mut command);
        let service = Serving::try_start_as(command).expect("it starts");
        let answered = calls(service.address, "u");
        disk.fail(fault);
        service.stop();
        disk.heal();
        verify(&disk.database(), &["first"], &answered)
    });
}

/// Tries faults of these kinds at each operation in turn, a few at a time, and shows all that went wrong.
fn try_all(kinds: &[Fault], run: &(dyn Fn(&Disk, &Fault) -> Result<(), String> + Sync)) {
    let (wrong, left, met) = (Mutex::new(Vec::new()), Mutex::new(kinds.to_vec()), Mutex::new(0));
    LazyLock::force(&TEMPLATE);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(kind) = left.lock().expect("kinds").pop() else { break };
                    in_turn(kind, nths(), |disk, fault| {
                        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(disk, fault)));
                        let judged = judged.unwrap_or_else(|_| Err("a panic; see above".to_owned()));
                        if !disk.failed().is_empty() {
                            *met.lock().expect("a number") += 1;
                        }
                        if let Err(reason) = judged {
                            let failed = disk.failed().into_iter().take(3).collect::<Vec<_>>();
                            wrong.lock().expect("reasons").push(format!("{fault:?} ({}): {reason}", failed.join(", ")));
                        }
                    });
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("reasons");
    println!("{} faults were met", met.into_inner().expect("a number"));
    assert!(wrong.is_empty(), "{} of them were not survived:\n{}", wrong.len(), wrong.join("\n"));
}

/// Starts the service while the disk fails. It refuses with a reason, and starts when the fault has gone; or it serves.
fn start_under(disk: &Disk, fault: &Fault, held: &[&str]) -> Result<(), String> {
    disk.fail(fault);
    let mut command = program("serve", disk.database());
    disk.expose(&mut command);
    match Serving::try_start_as(command) {
        Ok(service) => {
            let answered = calls(service.address, "u");
            finish(disk, service, answered)
        }
        Err(done) => {
            disk.heal();
            let says_why = done.stderr.lines().any(|line| line.starts_with("error: ") && line.contains("seats.db"));
            if done.code.is_none_or(|code| code == 0) || !says_why {
                return Err(format!("it ended without a reason that names the file: {done:?}"));
            }
            verify(&disk.database(), held, &[])
        }
    }
}

/// Takes the fault away, sees how the service goes on, kills it, and holds the file to the answers.
fn finish(disk: &Disk, mut service: Serving, mut answered: Vec<Answered>) -> Result<(), String> {
    disk.heal();
    // Time to end, if it means to.
    if service.ends_within(Duration::from_millis(100)).is_none() {
        let ready = is_ready(service.address);
        let after = call(service.address, "late", true);
        let has_ended = service.ends_within(Duration::from_millis(500)).is_some();
        if after.2 != Outcome::Done && ready && !has_ended {
            return Err("the fault has gone, it says that it is ready, and it refuses calls".to_owned());
        }
        answered.push(after);
    }
    let has_failed = answered.iter().any(|(.., outcome)| *outcome != Outcome::Done);
    let says_why =
        || ["\"level\":\"ERROR\"", "\"level\":\"WARN\"", "error: "].iter().any(|part| service.log().contains(part));
    // What it has written may not be read yet.
    let begun = Instant::now();
    while has_failed && !says_why() {
        if begun.elapsed() > LONG {
            return Err("calls failed, and the log does not say why".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    service.kill();
    verify(&disk.database(), &["first"], &answered)
}

/// Callers on connections of their own. Each assigns, and gives back every second seat that it got.
fn calls(address: SocketAddr, prefix: &str) -> Vec<Answered> {
    let one = |caller: usize| {
        let mut answered = Vec::new();
        for number in 0..4 {
            let user = format!("{prefix}-{caller}-{number}");
            let (_, _, outcome) = call(address, &user, true);
            if outcome == Outcome::Done && number % 2 == 0 {
                answered.push(call(address, &user, false));
                if answered.last().is_some_and(|(_, _, outcome)| *outcome != Outcome::Unchanged) {
                    continue;
                }
                // It still holds the seat.
                answered.pop();
            }
            answered.push((user, true, outcome));
        }
        answered
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|caller| scope.spawn(move || one(caller))).collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect()
    })
}

/// Assigns a seat or gives it back.
fn call(address: SocketAddr, user: &str, is_held: bool) -> Answered {
    let request = match is_held {
        true => post11(&assign_envelope("admin", PASSWORD, user, ENTITY, TYPE)),
        false => {
            let fields = format!("<Username>{user}</Username><LicenseType>{TYPE}</LicenseType>");
            call11("UnassignLicense", "admin", &fields)
        }
    };
    let outcome = match send(address, &request) {
        None => Outcome::Unknown,
        Some(answer) => match (answer.code().as_str(), answer.message()) {
            ("Success", _) => Outcome::Done,
            ("UnexpectedError", message) if message.contains("Nothing was changed") => Outcome::Unchanged,
            ("UnexpectedError", message) if message.contains("It is unknown whether") => Outcome::Unknown,
            (code, message) => Outcome::Unclear(format!("{code}: {message}")),
        },
    };
    (user.to_owned(), is_held, outcome)
}

/// `None`: the service is gone.
fn send(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).expect("timeout");
    let mut client = Client(stream);
    std::io::Write::write_all(&mut client.0, request).ok()?;
    client.try_receive()
}

fn is_ready(address: SocketAddr) -> bool {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    send(address, request.as_bytes()).is_some_and(|answer| answer.status == 200)
}

/// Starts on the file, and holds it to the answers and to every invariant.
fn verify(database: &Path, held_before: &[&str], answered: &[Answered]) -> Result<(), String> {
    // As `serve` does.
    store::migrate(&database.into()).map_err(|e| e.to_string())?;
    let store = store::open(&database.into(), &store::Options::default(), Arc::new(Metrics::new()))
        .map_err(|e| e.to_string())?;
    store.close();
    if let Some(first) = violations(database).first() {
        return Err(format!("{}: {}", first.invariant, first.row));
    }
    let held = holders(database);
    let mut wrong: Vec<String> =
        held_before.iter().filter(|user| !held.contains(**user)).map(|user| format!("{user} is gone")).collect();
    for (user, shall_hold, outcome) in answered {
        let holds = held.contains(user);
        match outcome {
            Outcome::Done if holds != *shall_hold => wrong.push(format!("{user}: acknowledged, and it is not so")),
            Outcome::Unclear(answer) => {
                wrong.push(format!("{user}: the answer does not say what became of the call: {answer}"))
            }
            Outcome::Unchanged if holds == *shall_hold => {
                wrong.push(format!("{user}: \"Nothing was changed\", and it was"))
            }
            Outcome::Unknown if holds == *shall_hold => drop(FOUND_AFTER_UNKNOWN.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn holders(database: &Path) -> BTreeSet<String> {
    let connection = Connection::open(database).expect("open");
    let query = "SELECT username FROM seat JOIN account ON account.id = seat.account_id";
    let mut statement = connection.prepare(query).expect("query");
    statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("holders")
}

/// SQLite has one error for it and for a disk that fails.
#[test]
fn a_full_disk_is_named_as_such() {
    let directory = TempDir::new();
    // In a mount namespace, whose mounts end with it.
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" && cd \"$1\" && \"$0\" sql --quiet --create --database a.db < /dev/null && \
                  (head -c 3000000 /dev/zero > fill; true) 2> /dev/null && \
                  for command in who check 'audit verify' 'serve --listen 127.0.0.1:0'; do \"$0\" $command --database a.db; done";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_seatkeeper")]);
    unshare.arg(directory.join("")).envs(crate::program::NO_SETTINGS);
    let done = crate::program::run(&mut unshare, "");
    let errors: Vec<_> = done.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors, ["error: a.db: disk I/O error (the disk is full)"; 4], "{done:?}");
}
