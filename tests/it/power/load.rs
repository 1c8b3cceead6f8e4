//! Clients that assign, release, transfer and assign in bulk, and an administrator who writes SQL at the same time, while the
//! service and `seatkeeper sql` are traced.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::recording::{Call, Holding, Via, keep_before, keep_calls};
use crate::disk::{Disk, EIO, Fault};
use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::program::{Serving, program};

const ENTITY: i32 = 42;
const TYPES: [&str; 3] = ["SkraftDiskImageV5", "SqlBackup", "ExchangeBackup"];
const CLIENTS: usize = 8;
/// Calls of a client between a start of the service and its end, unless SEATKEEPER_POWER_CALLS says how many.
const CALLS: u64 = 40;

/// Many times what the calls of a run take: the service is traced, and waits for a disk that has other work too.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

fn wait_until_run(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < RUN_TIMEOUT, "not in {RUN_TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How a run of the service ends.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    /// With SIGTERM when the clients are done: it folds back the WAL.
    Stop,
    /// With SIGKILL amid their calls: the next start recovers the WAL.
    Kill,
    /// By itself, because a sync fails.
    FailedSync,
    /// With SIGKILL as soon as a sync has failed.
    FailedSyncAndKill,
}

/// Of the last type there are too few seats, so that some calls are refused.
fn seed() -> String {
    format!(
        "INSERT INTO entity (id, name) VALUES ({ENTITY}, 'Contoso');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('admin', '{}', {ENTITY}, 'admin');
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (1, {ENTITY}, '{}', 3000), (2, {ENTITY}, '{}', 3000), (3, {ENTITY}, '{}', 60);",
        *PASSWORD_HASH, TYPES[0], TYPES[1], TYPES[2]
    )
}

/// Records on a new database, which is served once after the other.
pub fn record(disk: &Disk, ends: &[End], random: &mut Random) {
    sql(&disk.database(), &seed()).expect("seed");
    keep_before(disk);
    let mut calls = Vec::new();
    for (run, end) in ends.iter().copied().enumerate() {
        let mut command = program("serve", disk.database());
        disk.trace(&mut command);
        if matches!(end, End::FailedSync | End::FailedSyncAndKill) {
            disk.expose(&mut command);
            let nth = random.between(5, 40) as u32;
            disk.fail(&Fault { operation: "sync", file: "-wal", nth, count: 1, error: EIO });
        }
        let service = Serving::try_start_as(command).expect("it starts");
        calls.extend(run_all(disk, service, run, end, random));
    }
    keep_calls(disk, &calls);
}

/// All clients and the administrator on one service.
fn run_all(disk: &Disk, mut service: Serving, run: usize, end: End, random: &mut Random) -> Vec<Call> {
    let (address, process) = (service.address, service.id());
    let mut randoms: Vec<Random> = (0..=CLIENTS).map(|_| Random::new(random.next())).collect();
    let left = AtomicUsize::new(CLIENTS);
    let kill_at = random.between(1, CLIENTS as u64) as usize;
    let mut administrator = randoms.pop().expect("one for each");
    // Before the threads: one that is late would find no service to connect to.
    let connections: Vec<_> = randoms.into_iter().map(|random| (Client::to(address), random)).collect();
    std::thread::scope(|scope| {
        let left = &left;
        let administrator = scope.spawn(move || administrate(disk, run, left, &mut administrator));
        let clients = connections.into_iter().enumerate();
        let clients: Vec<_> = clients
            .map(|(client, (connection, mut random))| {
                scope.spawn(move || {
                    let calls = run_client(&format!("{run}-{client}"), process, connection, &mut random);
                    left.fetch_sub(1, Ordering::Relaxed);
                    calls
                })
            })
            .collect();
        match end {
            End::Kill => {
                wait_until_run("some clients are done", || left.load(Ordering::Relaxed) <= kill_at);
                service.kill();
            }
            End::FailedSync => {
                wait_until_run("a sync fails", || !disk.failed().is_empty());
                let ended = service.ends_within(LONG);
                assert!(ended.is_some(), "it goes on after a sync that failed");
            }
            End::FailedSyncAndKill => {
                wait_until_run("a sync fails", || !disk.failed().is_empty());
                service.kill();
            }
            End::Stop => {
                wait_until_run("all clients are done", || left.load(Ordering::Relaxed) == 0);
                service.stop();
            }
        }
        let of_clients = clients.into_iter().flat_map(|client| client.join().expect("a client"));
        let mut calls: Vec<Call> = of_clients.collect();
        calls.extend(administrator.join().expect("the administrator"));
        calls
    })
}

/// Makes calls until it has made enough, or the service is gone.
fn run_client(actor: &str, process: u32, mut connection: Client, random: &mut Random) -> Vec<Call> {
    let via = Via::Port(process, connection.0.local_addr().expect("an address").port());
    let mut held: Vec<Holding> = Vec::new();
    let mut calls = Vec::new();
    for number in 0..number_from("SEATKEEPER_POWER_CALLS").unwrap_or(CALLS) as usize {
        let new = |item| (format!("{actor}-{number}-{item}"), TYPES[random_type(number, item)].to_owned());
        let (request, changes) = match random.below(8) {
            0 | 1 if !held.is_empty() => {
                let old = held.swap_remove(random.below(held.len() as u64) as usize);
                (release(&old), vec![(old, false)])
            }
            2 | 3 if !held.is_empty() => {
                let old = held.swap_remove(random.below(held.len() as u64) as usize);
                let new = (new(0).0, old.1.clone());
                (transfer(&old, &new), vec![(old, false), (new, true)])
            }
            4 => {
                // Of types with many seats: if it is cut off, all of it is done or nothing.
                let new = |item: usize| (new(item).0, TYPES[(number + item) % 2].to_owned());
                let new: Vec<Holding> = (0..4).map(new).collect();
                (assign_all(&new), new.into_iter().map(|new| (new, true)).collect())
            }
            _ => {
                let new = new(0);
                (assign(&new), vec![(new, true)])
            }
        };
        calls.push(Call { actor: actor.to_owned(), via, changes: changes.clone() });
        if std::io::Write::write_all(&mut connection.0, &request).is_err() {
            break;
        }
        let Some(answer) = connection.try_receive() else { break };
        // Of a refusal the seat that was to be given back is forgotten here; the trace has what was answered.
        let all = answer.body.matches("<Code>Success</Code>").count() == answer.body.matches("<Code>").count();
        if all {
            held.extend(changes.into_iter().filter(|(_, is_held)| *is_held).map(|(holding, _)| holding));
        }
    }
    calls
}

/// Mostly the types with many seats.
fn random_type(number: usize, item: usize) -> usize {
    if (number + item).is_multiple_of(5) { 2 } else { (number + item) % 2 }
}

fn assign((user, of_type): &Holding) -> Vec<u8> {
    post11(&assign_envelope("admin", PASSWORD, user, ENTITY, of_type))
}

fn release((user, of_type): &Holding) -> Vec<u8> {
    let fields = format!("<Username>{user}</Username><LicenseType>{of_type}</LicenseType>");
    call11("UnassignLicense", "admin", &fields)
}

fn transfer((from, of_type): &Holding, (to, _): &Holding) -> Vec<u8> {
    let fields =
        format!("<FromUsername>{from}</FromUsername><ToUsername>{to}</ToUsername><LicenseType>{of_type}</LicenseType>");
    call11("TransferLicense", "admin", &fields)
}

fn assign_all(holdings: &[Holding]) -> Vec<u8> {
    let item = |(user, of_type): &Holding| {
        format!(
            "<AssignLicensesItem><Username>{user}</Username><LicenseProviderEntityId>{ENTITY}</LicenseProviderEntityId>\
             <LicenseType>{of_type}</LicenseType></AssignLicensesItem>"
        )
    };
    let items: String = holdings.iter().map(item).collect();
    call11("AssignLicenses", "admin", &format!("<Items>{items}</Items>"))
}

/// Runs scripts, one after the other, until the clients are done.
fn administrate(disk: &Disk, run: usize, clients_left: &AtomicUsize, random: &mut Random) -> Vec<Call> {
    let actor = format!("sql-{run}");
    let mut held: Vec<Holding> = Vec::new();
    let mut calls = Vec::new();
    while clients_left.load(Ordering::Relaxed) > 0 {
        let new: Holding = (format!("hand-{run}-{}", calls.len()), TYPES[1].to_owned());
        let (script, changes) = match random.below(5) {
            0 if !held.is_empty() => {
                let old = held.swap_remove(random.below(held.len() as u64) as usize);
                (
                    format!("UPDATE seat SET account_id = NULL WHERE account_id = {}", account(&old.0)),
                    vec![(old, false)],
                )
            }
            1 => {
                let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][random.below(4) as usize];
                (
                    format!(
                        "PRAGMA wal_checkpoint({mode}); UPDATE license_pool SET seats_total = seats_total + 1 WHERE id = 3"
                    ),
                    vec![],
                )
            }
            _ => {
                let script = format!(
                    "INSERT INTO account (username, entity_id) VALUES ('{}', {ENTITY});
                     UPDATE seat SET account_id = {} WHERE pool_id = 2
                        AND seat_no = (SELECT max(seat_no) FROM seat WHERE pool_id = 2 AND account_id IS NULL)",
                    new.0,
                    account(&new.0)
                );
                (script, vec![(new, true)])
            }
        };
        let (process, succeeded) = run_script(disk, &script);
        calls.push(Call { actor: actor.clone(), via: Via::Process(process), changes: changes.clone() });
        if succeeded {
            held.extend(changes.into_iter().filter(|(_, is_held)| *is_held).map(|(holding, _)| holding));
        }
    }
    calls
}

fn account(user: &str) -> String {
    format!("(SELECT id FROM account WHERE username = '{user}')")
}

/// Makes a database with a script, in which this user gets a seat, and starts the service on it.
pub fn record_creation(disk: &Disk, script: &str, holding: Holding) {
    keep_before(disk);
    let (process, succeeded) = run_script(disk, script);
    assert!(succeeded, "it makes the database");
    keep_calls(disk, &[Call { actor: "sql".to_owned(), via: Via::Process(process), changes: vec![(holding, true)] }]);
    record_start(disk);
}

/// Starts the service on a file, which it may bring to the newest version, and stops it.
pub fn record_start(disk: &Disk) {
    let mut command = program("serve", disk.database());
    disk.trace(&mut command);
    Serving::try_start_as(command).expect("it starts").stop();
}

/// `seatkeeper sql`, traced: its process, and whether it succeeded.
fn run_script(disk: &Disk, script: &str) -> (u32, bool) {
    let mut command = program("sql", disk.database());
    if !disk.database().exists() && must_ask_to_create() {
        command.arg("--create");
    }
    disk.trace(&mut command);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("is piped"), script.as_bytes()).expect("a script");
    let process = child.id();
    (process, child.wait().expect("it ends").success())
}

/// Whether a database is made only with an option.
fn must_ask_to_create() -> bool {
    let help = program("sql", std::path::Path::new("/nonexistent/seats.db")).current_dir("/").arg("--help").output();
    String::from_utf8_lossy(&help.expect("a help text").stdout).contains("--create")
}
