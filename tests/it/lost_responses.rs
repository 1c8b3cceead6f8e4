//! Responses that are lost: cut off at any byte, or by a kill between commit and response. The caller repeats the call under its
//! name, as often as it must, and learns what came of it: no seat is taken twice, and the caller that has the seat is never told
//! that it was taken already.
//!
//! SEATKEEPER_CUTS says how many responses are cut, SEATKEEPER_SEED repeats the choices of a run that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::program::{Serving, seatkeeper};

const CLIENTS: usize = 16;
/// How often the response to one call is cut before it is read whole.
const CUTS_PER_CALL: u64 = 4;

/// Fewer seats than callers that ask for one.
fn seed(seats: u64) -> String {
    format!(
        "INSERT INTO entity (id, name) VALUES (42, 'Contoso');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('agent', '{0}', 42, 'admin');
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', {seats});",
        *PASSWORD_HASH
    )
}

/// AssignLicense under a name.
fn call(username: &str, name: &str) -> Vec<u8> {
    let body = assign_envelope("agent", PASSWORD, username, 42, "SqlBackup");
    post(&format!("Content-Type: text/xml; charset=utf-8\r\n{ACTION}Idempotency-Key: \"{name}\"\r\n"), body.as_bytes())
}

/// Sends a request on a connection of its own, and reads so many bytes of the response.
fn send_and_cut(address: SocketAddr, request: &[u8], bytes: u64) {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(LONG)).expect("timeout");
    // The service may be gone.
    if stream.write_all(request).is_ok() {
        let _ = std::io::copy(&mut Read::take(&mut stream, bytes), &mut std::io::sink());
    }
    let _ = stream.shutdown(Shutdown::Both);
}

#[test]
fn no_cut_response_loses_or_doubles_a_seat() {
    let cuts = number_from("SEATKEEPER_CUTS").unwrap_or(10_000);
    let calls = cuts / CUTS_PER_CALL;
    let mut random = Random::from_seed();
    let seats = calls * 3 / 4;
    let server = Server::with(Options { seed: seed(seats), ..Options::default() });
    // So that no call waits for the proof of the password. A success is the shortest response: every cut falls inside of one.
    let shortest = server.send(&call("u0", "call-0"));
    assert_eq!(shortest.code(), "Success");
    let response_bytes = (shortest.head.len() + 4 + shortest.body.len()) as u64;
    let (next, cut) = (AtomicU64::new(0), AtomicU64::new(0));
    let told = Mutex::new(Vec::new());
    let client = |mut random: Random| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= calls {
                return;
            }
            // Every eighth user is asked for twice, under two names: only one of the two callers gets the seat.
            let username = if number % 8 == 1 { format!("u{}", number - 1) } else { format!("u{number}") };
            let request = call(&username, &format!("call-{number}"));
            for _ in 0..CUTS_PER_CALL {
                // At once, or anywhere.
                let bytes = if random.below(8) == 0 { 0 } else { random.below(response_bytes) };
                send_and_cut(server.address, &request, bytes);
                cut.fetch_add(1, Ordering::Relaxed);
            }
            let answer = server.send(&request);
            told.lock().expect("not poisoned").push((username, answer.code(), answer.message()));
        }
    };
    std::thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| {
            let random = Random::new(random.next());
            scope.spawn(|| client(random));
        });
    });

    let told = told.into_inner().expect("not poisoned");
    let of = |code: &str| told.iter().filter(|(_, c, _)| c == code).map(|(user, ..)| user).collect::<Vec<_>>();
    let (winners, held, full) = (of("Success"), of("AlreadyExists"), of("NoFreeSeat"));
    println!(
        "{} cut; {} got a seat, {} were told 52, {} none free",
        cut.load(Ordering::Relaxed),
        winners.len(),
        held.len(),
        full.len()
    );
    assert_eq!(
        (winners.len() + held.len() + full.len(), cut.load(Ordering::Relaxed) >= cuts - CUTS_PER_CALL),
        (told.len(), true)
    );
    let different: BTreeSet<_> = winners.iter().collect();
    assert_eq!(different.len(), winners.len(), "no user got two");
    assert_eq!(winners.len() as u64, seats, "every seat is known to the caller that got it");
    for user in held {
        assert!(different.contains(&user), "{user} was told 52, and no other caller got the seat");
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL") as u64, seats);
    assert_eq!(
        server.query::<i64>("SELECT count(*) FROM audit_event WHERE action = 'assign'") as u64,
        seats,
        "once each"
    );
    assert!(server.metric("seatkeeper_replays_total") >= calls, "the last retry of each was a replay");
    assert_eq!(server.violations(), []);
}

/// The service is killed while the responses to calls that are committed are under way; it is started again, and the callers
/// that got no response repeat their calls.
#[test]
fn a_kill_between_commit_and_response_is_no_loss() {
    let kills = number_from("SEATKEEPER_KILLS").unwrap_or(50) / 5;
    let mut random = Random::from_seed();
    let database = TestDatabase::new(&seed(100_000));
    let replays = AtomicUsize::new(0);
    for kill in 0..kills {
        let service = Serving::start(&database);
        let address = service.address;
        Client::to(address).send(&post11(&assign_envelope("agent", PASSWORD, "", 42, "SqlBackup")));
        let service = Mutex::new(Some(service));
        let end = || {
            if let Some(service) = service.lock().expect("not poisoned").take() {
                service.kill();
            }
        };
        // What each client was told, and the calls it was told nothing about.
        let client = |client: usize, mut connection: Client| {
            let (mut told, mut lost) = (BTreeMap::new(), Vec::new());
            for number in 0.. {
                let user = format!("k{kill}-{client}-{number}");
                let sent = connection.0.write_all(&call(&user, &user)).is_ok();
                match connection.try_receive().filter(|_| sent) {
                    Some(answer) => _ = told.insert(user, answer.code()),
                    None => {
                        lost.push(user);
                        break;
                    }
                }
            }
            (told, lost)
        };
        // Before the threads: one that is late would find no service to connect to.
        let connections: Vec<_> = (0..CLIENTS).map(|number| (number, Client::to(address))).collect();
        let answered: Vec<(BTreeMap<String, String>, Vec<String>)> = std::thread::scope(|scope| {
            let client = &client;
            let clients = connections.into_iter();
            let clients: Vec<_> =
                clients.map(|(number, connection)| scope.spawn(move || client(number, connection))).collect();
            std::thread::sleep(Duration::from_millis(random.between(10, 80)));
            if kill % 2 == 0 {
                // In the moment when a commit has become visible, and its responses may be on their way.
                let session = database.session();
                let events = || session.value::<i64>("SELECT count(*) FROM audit_event");
                let before = events();
                let begun = std::time::Instant::now();
                while events() == before && begun.elapsed() < LONG {}
            }
            end();
            clients.into_iter().map(|client| client.join().expect("a client")).collect()
        });
        let service = Serving::start(&database);
        for (told, lost) in &answered {
            assert!(told.values().all(|code| code == "Success"), "{told:?}");
            for user in lost {
                let held: i64 = database.query(&format!("SELECT count(*) FROM account WHERE username = '{user}'"));
                replays.fetch_add(usize::from(held == 1), Ordering::Relaxed);
                for _ in 0..2 {
                    let answer = Client::to(service.address).send(&call(user, user));
                    assert_eq!(answer.code(), "Success", "{user} is the only caller that asked: {answer:?}");
                }
            }
            // Those that were answered get the same again.
            for user in told.keys().rev().take(3) {
                assert_eq!(Client::to(service.address).send(&call(user, user)).code(), "Success");
            }
        }
        let users: usize = answered.iter().map(|(told, lost)| told.len() + lost.len()).sum();
        let query = format!("SELECT count(*) FROM audit_event WHERE action = 'assign' AND username LIKE 'k{kill}-%'");
        let events: i64 = database.query(&query);
        assert_eq!(events as usize, users, "each call happened once");
        service.kill();
    }
    println!("{} calls were committed without a response", replays.load(Ordering::Relaxed));
    let check = seatkeeper("check", &database, &[], "");
    assert_eq!(check.code, Some(0), "{}", check.stdout);
}
