//! Sign-ins under attack: strangers keep no known user out, guesses are slowed down by name too, and nothing tells which users
//! exist.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seatkeeper::auth;

use crate::flood::Program;
use crate::harness::*;
use crate::licenses::{Licenses, wait};
use crate::web::basic;

/// A service whose clients say by `X-Forwarded-For` where they are.
fn server(auth: auth::Options) -> Server {
    Server::with(Options { auth, trusted_proxies: "127.0.0.1", ..Options::default() })
}

fn request(address: &str, user: &str, password: &str) -> Vec<u8> {
    let headers = format!("Content-Type: text/xml; charset=utf-8\r\nX-Forwarded-For: {address}\r\n{ACTION}");
    post(&headers, assign_envelope(user, password, "backup01", 42, "SqlBackup").as_bytes())
}

fn is_signed_in(answer: &Answer) -> bool {
    matches!(answer.code().as_str(), "Success" | "AlreadyExists")
}

fn sign_ins(server: &Server, outcome: &str) -> u64 {
    server.metric(&format!("seatkeeper_sign_ins_total{{outcome=\"{outcome}\"}}"))
}

/// Guesses at ever-new user names, on one connection, until `stop` is set.
fn flood(server: SocketAddr, stop: &AtomicBool, thread: usize, address: &str) {
    let mut client = Client::to(server);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let answer = client.send(&request(address, &format!("stranger-{thread}-{n}"), "guess"));
        if answer.code() == "UnexpectedError" {
            // Refused for want of a place. The test machine has other work than to refuse more of them.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A user must not wait longer, on two cores.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[test]
fn a_flood_of_strangers_keeps_no_known_user_out() {
    // Nothing is remembered, so that each sign-in needs a check; there are more strangers than places.
    let server = server(auth::Options { remember: Duration::ZERO, waiting_max: 32, ..auth::Options::default() });
    let home = "192.0.2.1";
    assert!(is_signed_in(&server.send(&request(home, "agent", PASSWORD))));
    let stop = AtomicBool::new(false);
    let outcomes = std::thread::scope(|scope| {
        for thread in 0..48 {
            let (stop, address) = (&stop, server.address);
            // Most from where the user is, the others from an IPv6 network, each from an address of its own.
            let from = if thread % 4 == 0 { format!("2001:db8::{thread:x}") } else { home.to_owned() };
            scope.spawn(move || flood(address, stop, thread, &from));
        }
        let begun = Instant::now();
        while sign_ins(&server, "busy") < 20 && begun.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut outcomes = Vec::new();
        for (user, address) in [
            ("agent", home),
            ("agent", home),
            ("agent", home),
            // A user that has not proved itself yet, and one that is somewhere else today.
            ("contoso", "198.51.100.7"),
            ("agent", "2001:db8:0:7::1"),
        ] {
            let begun = Instant::now();
            let answer = server.connect().send_unchecked(&request(address, user, PASSWORD));
            outcomes.push((user, address, is_signed_in(&answer), begun.elapsed(), answer.message()));
        }
        stop.store(true, Ordering::Relaxed);
        outcomes
    });
    assert!(sign_ins(&server, "busy") >= 20, "the places were not all taken");
    for (user, address, signed_in, took, message) in outcomes {
        assert!(signed_in && took < WAIT_MAX, "{user} at {address} waited {took:?}: {message}");
    }
    for lane in ["known", "other"] {
        assert_eq!(server.metric(&format!("seatkeeper_sign_ins_waiting{{lane=\"{lane}\"}}")), 0, "{lane}");
    }
}

#[test]
fn guesses_at_one_name_from_many_addresses_are_slowed() {
    let limit =
        auth::Options { failures_max: 3, failure_interval: Duration::from_secs(3600), ..auth::Options::default() };
    let server = server(auth::Options { remember: Duration::ZERO, ..limit });
    let home = "192.0.2.1";
    assert!(is_signed_in(&server.send(&request(home, "agent", PASSWORD))));
    let mut looks = Vec::new();
    for user in ["agent", "nobody"] {
        let before = sign_ins(&server, "wrong");
        let mut codes = Vec::new();
        for round in 0..5 {
            for client in 0..12 {
                let answer = server.send(&request(&format!("198.51.100.{client}"), user, &format!("guess {round}")));
                codes.push((answer.code(), answer.message().get(42..).map(str::to_owned)));
            }
        }
        // One of each client and 15 more: the limits of 12 clients would let 36 through.
        assert_eq!(sign_ins(&server, "wrong") - before, 27, "{user}");
        looks.push(codes);
    }
    // The seconds to wait differ by what has passed; an hour and more is in all of them.
    let without_seconds = |look: &Vec<(String, Option<String>)>| -> Vec<(String, Option<String>)> {
        look.iter()
            .cloned()
            .map(|(code, text)| (code, text.map(|t| t.replace(|c: char| c.is_ascii_digit(), ""))))
            .collect()
    };
    assert_eq!(without_seconds(&looks[0]), without_seconds(&looks[1]), "an unknown user is slowed like a known one");
    let told = |what: &str| looks[0].iter().any(|(_, text)| text.as_deref().is_some_and(|text| text.starts_with(what)));
    assert!(told("Too many wrong passwords for this user name. Wait "), "{:?}", looks[0].last());
    assert!(sign_ins(&server, "throttled_name") > 0);
    for (address, whose) in [(home, "known"), ("203.0.113.5", "new")] {
        let owner = server.send(&request(address, "agent", PASSWORD));
        assert!(is_signed_in(&owner), "the owner at a {whose} address: {}", owner.message());
    }
}

#[test]
fn slowed_guesses_do_not_find_a_remembered_password() {
    let limit =
        auth::Options { failures_max: 2, failure_interval: Duration::from_secs(600), ..auth::Options::default() };
    let server = server(limit);
    assert!(is_signed_in(&server.send(&request("192.0.2.1", "agent", PASSWORD))));
    let at = |address: &str, password: &str| server.send(&request(address, "agent", password));
    let codes: Vec<String> = ["a", "b", "c", PASSWORD].map(|password| at("192.0.2.66", password).code()).into();
    assert_eq!(codes, ["InvalidSoapCredentials", "InvalidSoapCredentials", "UnexpectedError", "UnexpectedError"]);
    let ticket = String::from_utf8(authenticate("agent", PASSWORD)).expect("text").replacen(
        "Host: test.example\r\n",
        "Host: test.example\r\nX-Forwarded-For: 192.0.2.66\r\n",
        1,
    );
    assert_eq!(server.send(ticket.as_bytes()).exception().as_deref(), Some("SoServerException"), "nor a ticket");
    assert!(is_signed_in(&at("192.0.2.1", PASSWORD)) && is_signed_in(&at("192.0.2.2", PASSWORD)));
}

/// Callers read what they always read; operators see a kind of its own, and no error.
#[test]
fn a_slowed_sign_in_is_a_kind_of_its_own() {
    let limit =
        auth::Options { failures_max: 1, failure_interval: Duration::from_secs(600), ..auth::Options::default() };
    let server = server(limit);
    let begun = Instant::now();
    let slowed: Vec<Answer> = (0..2).map(|_| server.send(&request("192.0.2.1", "agent", "guess"))).collect();
    assert_eq!((slowed[1].status, slowed[1].code().as_str()), (200, "UnexpectedError"));
    assert!(slowed[1].body.contains("<Result>1</Result>"), "{}", slowed[1].body);
    let api = server.send(
        format!(
            "GET /api/v1/License HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n{}\r\n",
            basic("agent", "guess")
        )
        .as_bytes(),
    );
    // Ten minutes, less what has passed since the first guess.
    let least = 600 - begun.elapsed().as_secs() - 1;
    let retry_after = api.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(retry_after.is_some_and(|seconds| (least..=600).contains(&seconds)), "{retry_after:?}, not {least} to 600");
    assert_eq!(api.status, 429);
    let slowed =
        |code: &str| server.metric(&format!("seatkeeper_calls_total{{operation=\"AssignLicense\",code=\"{code}\"}}"));
    assert_eq!((slowed("Throttled"), slowed("UnexpectedError")), (1, 0));
}

#[test]
fn a_sign_in_without_a_place_is_a_kind_of_its_own() {
    let server = Server::with(Options {
        auth: auth::Options { waiting_max: 0, ..auth::Options::default() },
        seed: owners_data(),
        ..Options::default()
    });
    let refused = server.assign("backup01", 42, "SqlBackup");
    assert!(refused.body.contains("<Result>1</Result><Code>UnexpectedError</Code>"), "{}", refused.body);
    assert!(
        refused.message().ends_with("; Too many sign-ins at once. Nothing was changed; call again in a few seconds.")
    );
    assert_eq!(server.authenticate("agent", PASSWORD).exception().as_deref(), Some("SoServerException"));
    let api =
        server.send(format!("GET /api/v1/License HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("agent", PASSWORD)).as_bytes());
    assert_eq!((api.status, api.header("retry-after")), (503, Some("5")));
    let calls = |code: &str| {
        let metrics = server.metrics.render();
        let calls = metrics.lines().filter(|line| line.starts_with("seatkeeper_calls_total"));
        calls.filter(|line| line.contains(&format!("code=\"{code}\""))).count()
    };
    assert_eq!((calls("Overloaded"), calls("UnexpectedError")), (3, 0), "{}", server.metrics.render());
}

#[test]
fn slowed_sign_ins_are_no_errors_in_the_log() {
    let mut program = Program::with(&sample_data(), "info");
    let sign_in = |user: &str| post11(&assign_envelope(user, "guess", "backup01", 42, "SqlBackup"));
    let answers: Vec<Answer> = (0..12).map(|_| program.send(&sign_in("agent"))).collect();
    let slowed = answers.last().expect("answers").message();
    let id = &slowed[4..40];
    let log = program.kill();
    let line = log.lines().find(|line| line.contains(id)).expect("a line for each refusal");
    assert!(line.contains(" INFO ") && line.contains("code=\"Throttled\""), "{line}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn what_stored_hashes_cost_is_read_from_active_credentials() {
    let licenses = Licenses::new();
    let dear = |n: u32| PASSWORD_HASH.replace("m=19456,t=2,p=1", &format!("m=65536,t={n},p=1"));
    licenses.sql(&format!(
        "UPDATE credential SET password_hash = '{}' WHERE user_name IN ('west', 'contoso');
         UPDATE credential SET password_hash = '{}' WHERE user_name IN ('gone');
         UPDATE credential SET password_hash = '{}' WHERE user_name IN ('reader');",
        dear(4),
        dear(5),
        PASSWORD_HASH.replace("m=19456,t=2,p=1", "m=19456,t=2,p=1,keyid=YQ"),
    ));
    let kinds = wait(licenses.store.hash_kinds());
    let kinds: Vec<(&str, u64)> =
        kinds.iter().map(|(hash, count)| (hash.split('$').nth(3).expect("parameters"), *count)).collect();
    assert_eq!(kinds, [("m=19456,t=2,p=1", 3), ("m=65536,t=4,p=1", 2), ("m=19456,t=2,p=1,keyid=YQ", 1)]);
}

/// By the work that a check did, not by its time.
#[test]
fn an_answer_costs_no_less_because_there_is_no_such_user() {
    let server = Server::start();
    // No password matches it; only its cost counts here.
    let dear = PASSWORD_HASH.replace("m=19456,t=2", "m=20480,t=3");
    server.sql(&format!(
        "UPDATE credential SET password_hash = '{dear}';
         UPDATE credential SET password_hash = '$argon2id$v=19$m=19456,t=1,p=1$c2FsdHNhbHQ' WHERE user_name = 'reader';"
    ));
    let work = || server.metric("seatkeeper_sign_in_work_bytes_total");
    let cost = |answer: &dyn Fn()| {
        let before = work();
        answer();
        work() - before
    };
    let long = "x".repeat(5000);
    for (case, user, password, kib) in [
        ("a wrong password", "agent", "guess", 3 * 20_480),
        ("an unknown user", "nobody", "guess", 3 * 20_480),
        ("an inactive one", "gone", "guess", 3 * 20_480),
        ("one whose hash cannot be used", "reader", "guess", 3 * 20_480),
        ("no password", "agent", "", 3 * 20_480),
        ("no password of an unknown user", "nobody", "", 3 * 20_480),
        ("too long a password", "agent", &long, 0),
        ("too long a password of an unknown user", "nobody", &long, 0),
    ] {
        let sign_in = || drop(server.send(&request("192.0.2.1", user, password)));
        assert_eq!(cost(&sign_in), 1024 * kib, "{case}");
    }
}
