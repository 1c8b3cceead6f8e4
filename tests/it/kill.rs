//! Many clients at once, and a service that dies under them. What was answered with Success is in the file, whatever
//! happened after; what was refused was refused for a true reason.
//!
//! SEATKEEPER_KILLS says how often the service is killed; SEATKEEPER_SEED repeats the choices of a run that failed, though
//! not the turns that the threads took. `tests/kill` runs this longer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use rusqlite::types::Value;

use crate::harness::*;
use crate::program::{Serving, seatkeeper};

const CLIENTS: usize = 64;
const ENTITY: i32 = 42;
const TYPES: [&str; 3] = ["SkraftDiskImageV5", "SqlBackup", "ExchangeBackup"];

/// The name of an account, and the license type of a seat it holds or asks for.
type Holding = (String, &'static str);
/// What a client asked for, and the Code it got.
type Answered = (Holding, String);

#[test]
fn every_acknowledged_seat_survives_a_kill() {
    let kills = number_from("SEATKEEPER_KILLS").unwrap_or(50);
    let mut random = Random::from_seed();
    let acknowledged: usize = (1..=kills)
        .step_by(KILLS_PER_FILE)
        .map(|first| {
            let last = kills.min(first + KILLS_PER_FILE as u64 - 1);
            kill_repeatedly(first..=last, &mut random)
        })
        .sum();
    println!("{acknowledged} seats were acknowledged");
    assert!(acknowledged > kills as usize, "too few to show anything: {acknowledged}");
}

/// A service is started again on the database that the killed one left; after so many times on a new one, because the
/// history to look through grows.
const KILLS_PER_FILE: usize = 50;

/// How many seats were acknowledged, all of them rightly.
fn kill_repeatedly(kills: RangeInclusive<u64>, random: &mut Random) -> usize {
    let database = TestDatabase::new(&pools(SEATS));
    let mut held = BTreeSet::new();
    let mut acknowledged = 0;
    for kill in kills {
        println!("kill {kill}");
        let answers = race_until_killed(&database, kill, random);
        acknowledged += answers.iter().filter(|(_, code)| code == "Success").count();
        held = verify(&database, &held, &answers);
        if held.len() as u32 > SEATS.iter().sum::<u32>() / 2 {
            // Makes room for the next races, and events of release.
            database.sql("UPDATE seat SET account_id = NULL WHERE seat_no % 8 <> 0");
            held = holdings(&database);
        }
    }
    acknowledged
}

/// Seats of each type: of the last there are too few for one race.
const SEATS: [u32; 3] = [500, 500, 40];

/// One pool of each type.
fn pools(seats: [u32; 3]) -> String {
    let pool = |(license_type, seats)| format!("({ENTITY}, '{license_type}', {seats})");
    format!(
        "INSERT INTO entity (id, name) VALUES ({ENTITY}, 'Contoso');
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '{}', {ENTITY});
         INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES {};",
        *PASSWORD_HASH,
        TYPES.into_iter().zip(seats).map(pool).collect::<Vec<_>>().join(", ")
    )
}

/// Runs the service, lets all clients assign on connections they keep, and kills it amid their calls: at any moment, or,
/// every other time, at the moment when the next answer has come, which is when a change must be safe and barely is.
fn race_until_killed(database: &TestDatabase, kill: u64, random: &mut Random) -> Vec<Answered> {
    let service = Serving::start(database);
    let address = service.address;
    sign_in(address);
    let service = Mutex::new(Some(service));
    let end = || {
        if let Some(service) = service.lock().expect("nobody panics with it").take() {
            service.kill();
        }
    };
    let (started, shared, ends_at_answer) = (Barrier::new(CLIENTS + 1), AtomicUsize::new(0), AtomicBool::new(false));
    let run_client = |client: usize, mut connection: Client, mut choices: Random| -> Vec<Answered> {
        started.wait();
        let call = |number| {
            let holding = choose(&mut choices, &shared, kill, &format!("{client}-{number}"));
            // Without an answer it is nobody's seat yet.
            let code = assign(&mut connection, &holding)?;
            if ends_at_answer.load(Ordering::Relaxed) {
                end();
            }
            Some((holding, code))
        };
        (0..CALLS_MAX).map_while(call).collect()
    };
    // Before the threads: one that could not connect would leave the others waiting for it.
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| (client, Client::to(address), Random::new(random.next()))).collect();
    std::thread::scope(|scope| {
        let run_client = &run_client;
        let clients = clients
            .into_iter()
            .map(|(client, connection, choices)| scope.spawn(move || run_client(client, connection, choices)));
        let clients: Vec<_> = clients.collect();
        started.wait();
        std::thread::sleep(Duration::from_millis(random.between(20, 200)));
        match kill.is_multiple_of(2) {
            true => ends_at_answer.store(true, Ordering::Relaxed),
            false => end(),
        }
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

/// Calls of one client in one race at most; the kill comes long before.
const CALLS_MAX: usize = 100_000;

/// Mostly a user of this call alone; every fourth time one whom other clients try to assign at the same time.
fn choose(random: &mut Random, shared: &AtomicUsize, kill: u64, own: &str) -> Holding {
    if random.below(4) > 0 {
        return (format!("own-{kill}-{own}"), TYPES[random.below(3) as usize]);
    }
    let number = shared.fetch_add(1, Ordering::Relaxed) / CLIENTS_PER_SHARED;
    (format!("shared-{kill}-{number}"), TYPES[number % 3])
}

const CLIENTS_PER_SHARED: usize = 8;

/// Holds the file to what the clients were told, and to what was in it before; gives what is in it now.
fn verify(database: &TestDatabase, before: &BTreeSet<Holding>, answers: &[Answered]) -> BTreeSet<Holding> {
    database.wait_until_left();
    let held = holdings(database);
    let lost: Vec<_> = before.difference(&held).collect();
    assert!(lost.is_empty(), "lost since the last kill: {lost:?}");

    let full: BTreeSet<_> = TYPES.into_iter().filter(|t| free_seats(database, t) == 0).collect();
    let mut acknowledged = BTreeSet::new();
    for (holding, code) in answers {
        match code.as_str() {
            "Success" => {
                assert!(held.contains(holding), "{holding:?} was acknowledged, and is not there");
                assert!(acknowledged.insert(holding), "{holding:?} was acknowledged twice");
            }
            "AlreadyExists" => assert!(held.contains(holding), "{holding:?} was told it has a seat, and has none"),
            "NoFreeSeat" => assert!(full.contains(holding.1), "{holding:?} was told that no seat is free"),
            _ => panic!("{holding:?} was told {code}"),
        }
    }
    let check = seatkeeper("check", database, &[], "");
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    held
}

/// Who holds what. Taken seats, holders and the audit's balance are the same number, and nobody holds two of a type.
fn holdings(database: &TestDatabase) -> BTreeSet<Holding> {
    let session = database.session();
    let holding = |row: Vec<Value>| match <[Value; 2]>::try_from(row).expect("two columns") {
        [Value::Text(username), Value::Text(license_type)] => {
            (username, TYPES.into_iter().find(|t| *t == license_type).expect("a license type"))
        }
        other => panic!("{other:?}"),
    };
    let query = "SELECT lower(username), seat.license_type FROM seat JOIN account ON account.id = seat.account_id";
    let rows: Vec<Holding> = session.rows(query).into_iter().map(holding).collect();
    let number = |query: &str| session.value::<i64>(query);
    let taken = number("SELECT count(*) FROM seat WHERE account_id IS NOT NULL");
    let events = number(
        "SELECT coalesce(sum(CASE action WHEN 'assign' THEN 1 WHEN 'release' THEN -1 ELSE 0 END), 0) FROM audit_event",
    );
    let held: BTreeSet<Holding> = rows.iter().cloned().collect();
    assert_eq!(
        (rows.len() as i64, events, held.len() as i64),
        (taken, taken, taken),
        "rows, events, and different holdings"
    );
    held
}

fn free_seats(database: &TestDatabase, license_type: &str) -> i64 {
    database.query(&format!("SELECT count(*) FROM seat WHERE license_type = '{license_type}' AND account_id IS NULL"))
}

/// One call that changes nothing, so that the race does not begin with the proof of a password.
fn sign_in(address: SocketAddr) {
    let call = post11(&assign_envelope("agent", PASSWORD, "nobody", 999, TYPES[0]));
    assert_eq!(Client::to(address).send(&call).code(), "ObjectEntityMismatch");
}

/// The Code of the answer; `None` if the service was gone before the answer was complete.
fn assign(connection: &mut Client, (username, license_type): &Holding) -> Option<String> {
    let call = post11(&assign_envelope("agent", PASSWORD, username, ENTITY, license_type));
    std::io::Write::write_all(&mut connection.0, &call).ok()?;
    Some(connection.try_receive()?.code())
}

/// On PostgreSQL so many calls at once wait for connections and for each other: on a slow machine longer than calls may usually.
fn patient(seed: String) -> Options {
    let store = seatkeeper::store::Options { busy_timeout: 3 * LONG, ..Default::default() };
    Options { seed, store, ..Options::default() }
}

#[test]
fn the_last_seats_go_to_as_many_clients_as_there_are_seats() {
    let seed = pools([0, 30, 0])
        + "INSERT INTO account (username, entity_id) SELECT 'early-' || seat_no, 42 FROM seat WHERE pool_id = 2 LIMIT 20;
           UPDATE seat SET account_id = seat_no WHERE pool_id = 2 AND seat_no <= 20;";
    let server = Server::with(patient(seed));
    let codes = all_at_once(&server, |client| (format!("user-{client}"), "SqlBackup"));
    assert_eq!((count(&codes, "Success"), count(&codes, "NoFreeSeat")), (10, CLIENTS - 10));
    assert_eq!(free_seats(server.database(), "SqlBackup"), 0, "every refusal was true");
    assert_eq!(holdings(server.database()).len(), 30);
    assert_eq!(server.violations(), []);
}

#[test]
fn one_user_gets_one_seat_however_many_clients_ask() {
    let server = Server::with(patient(pools([0, 100, 0])));
    // Each in a spelling of its own: the six lowest bits of the client say which letters are large.
    let codes = all_at_once(&server, |client| {
        let letter = |(i, c): (usize, char)| if client >> i & 1 == 1 { c.to_ascii_uppercase() } else { c };
        ("backup".chars().enumerate().map(letter).collect(), "SqlBackup")
    });
    assert_eq!((count(&codes, "Success"), count(&codes, "AlreadyExists")), (1, CLIENTS - 1));
    assert_eq!(holdings(server.database()), BTreeSet::from([("backup".to_owned(), "SqlBackup")]));
    assert_eq!(server.violations(), []);
}

/// Each client makes one call, all at the same time; the Codes.
fn all_at_once(server: &Server, holding: impl Fn(usize) -> Holding + Sync) -> Vec<String> {
    sign_in(server.address);
    let started = Barrier::new(CLIENTS);
    let call = |client, mut connection| {
        started.wait();
        assign(&mut connection, &holding(client)).expect("an answer")
    };
    let clients: Vec<_> = (0..CLIENTS).map(|client| (client, server.connect())).collect();
    std::thread::scope(|scope| {
        let call = &call;
        let clients = clients.into_iter().map(|(client, connection)| scope.spawn(move || call(client, connection)));
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    })
}

fn count(codes: &[String], code: &str) -> usize {
    codes.iter().filter(|c| *c == code).count()
}

pub fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Xorshift: repeatable choices.
pub struct Random(u64);

impl Random {
    /// Begins as SEATKEEPER_SEED says; else anywhere, and says where.
    pub fn from_seed() -> Random {
        let seed = number_from("SEATKEEPER_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        // The test runner shows what was printed when the test fails.
        println!("SEATKEEPER_SEED={seed}");
        Random::new(seed)
    }

    pub fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }
}
