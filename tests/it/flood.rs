//! Floods. Whatever comes, the program goes on answering, its memory stays what it was, its log has no panic, and the
//! database holds whole calls only.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use seatkeeper::auth;
use seatkeeper::soap::envelope;

use crate::harness::*;

/// `seatkeeper serve` itself, in a process of its own.
pub struct Program {
    process: Child,
    address: SocketAddr,
    /// Gathers the log until the program ends.
    log: Option<JoinHandle<String>>,
    database: TestDatabase,
}

const TYPE: &str = "SkraftDiskImageV5";

impl Program {
    fn start() -> Program {
        let pool = format!(
            "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, '{TYPE}', 5000);"
        );
        Program::with(&(sample_data() + &pool), "info")
    }

    pub fn with(seed: &str, log_level: &str) -> Program {
        Program::run(seed, crate::program::command(), &["--log-level", log_level])
    }

    /// Started by a shell after this command of it, such as one that sets a limit; with these flags.
    pub fn limited(seed: &str, first: &str, flags: &[&str]) -> Program {
        let mut shell = Command::new("/bin/sh");
        let exec = format!("{first} && exec \"$0\" \"$@\"");
        shell.args(["-c", &exec, env!("CARGO_BIN_EXE_seatkeeper")]);
        Program::run(seed, shell, flags)
    }

    fn run(seed: &str, mut command: Command, flags: &[&str]) -> Program {
        let database = TestDatabase::new(seed);
        let mut process = command
            .env_clear()
            .envs(crate::program::NO_SETTINGS)
            .args(["serve", "--listen", "127.0.0.1:0", "--database"])
            .arg(&database)
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let (started, address) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            for line in lines.map_while(Result::ok) {
                let of_json = || line.split("\"address\":\"").nth(1);
                let address =
                    line.split("address=").nth(1).or_else(of_json).and_then(|rest| rest.split([' ', '"']).next());
                if let Some(Ok(address)) = address.map(str::parse) {
                    let _ = started.send(address);
                }
                log += &line;
                log.push('\n');
            }
            log
        });
        let address = address.recv_timeout(Duration::from_secs(60)).expect("the program says where it serves");
        Program { process, address, log: Some(log), database }
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn connect(&self) -> Client {
        Client::to(self.address)
    }

    pub fn send(&self, request: &[u8]) -> Answer {
        self.connect().send(request)
    }

    fn assign(&self, username: &str) -> Answer {
        self.send(&post11(&call(username)))
    }

    /// Ends the program as a power cut does. What it has logged.
    pub fn kill(&mut self) -> String {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }

    /// Resident memory in KiB; `None` where the system does not say.
    pub fn memory(&self) -> Option<i64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn call(username: &str) -> String {
    assign_envelope("agent", PASSWORD, username, 42, TYPE)
}

const BODY_BYTES: usize = 256 * 1024;

/// A message as full of `unit` as it can be, between `start` and `end`.
fn full(start: &str, unit: &str, end: &str) -> String {
    full_part("Body", start, unit, end)
}

fn full_part(part: &str, start: &str, unit: &str, end: &str) -> String {
    let start = format!("<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:{part}>{start}");
    let end = format!("{end}</e:{part}></e:Envelope>");
    let units = (BODY_BYTES - start.len() - end.len()) / unit.len();
    start + &unit.repeat(units) + &end
}

/// Messages of the greatest length allowed that are made to be expensive.
fn expensive() -> Vec<(&'static str, String)> {
    let numbered = |n: usize, of: &dyn Fn(usize) -> String| (0..n).map(of).collect::<String>();
    let long = "u".repeat(100_000);
    let attributes = numbered(64, &|n| format!(" a{n}=''"));
    let nested = |declarations: usize| {
        numbered(29, &|level| format!("<a{}>", numbered(declarations, &|n| format!(" xmlns:p{level}-{n}='u'"))))
    };
    let alike = numbered(31, &|n| format!(" xmlns:p{n}='{}{n}'", "u".repeat(3000)));
    let all_alike = numbered(31, &|n| format!(" p{n}:a=''"));
    let entities: String = numbered(9, &|n| format!("<!ENTITY e{} \"{}\">", n + 1, format!("&e{n};").repeat(10)));
    vec![
        ("empty elements", full("", "<a/>", "")),
        ("an element in each level", full("", "<a>", "")),
        ("100,000 levels, as far as they fit", "<a>".repeat(100_000)[..BODY_BYTES].to_owned()),
        ("a long namespace on many elements", full(&format!("<a xmlns='{long}'>"), "<b/>", "</a>")),
        ("a long namespace on many attributes", full(&format!("<a xmlns:p='{long}'>"), "<b p:c=''/>", "</a>")),
        ("names looked up among many", full(&nested(4), "<b/>", &"</a>".repeat(29))),
        ("declarations in every level", full(&nested(31), "<b/>", &"</a>".repeat(29))),
        ("attributes on every element", full("", &format!("<a{attributes}/>"), "")),
        (
            "attributes that differ at the end of a namespace",
            full(&format!("<a{alike}>"), &format!("<b{all_alike}/>"), "</a>"),
        ),
        ("10,000 attributes", full(&format!("<a{}/>", numbered(10_000, &|n| format!(" a{n}=''"))), " ", "")),
        ("10,000 declarations", full(&format!("<a{}/>", numbered(10_000, &|n| format!(" xmlns:a{n}='u'"))), " ", "")),
        ("a long attribute", full("<a b='", "x", "'/>")),
        ("references", full("", "&#65;", "")),
        ("references in an attribute", full("<a b='", "&lt;", "'/>")),
        ("text in pieces", full("", "x<!---->", "")),
        ("CDATA in pieces", full("", "<![CDATA[x]]>", "")),
        ("carriage returns", full("", "\r", "")),
        ("a comment of hyphens", full("<!--", "- ", "-->")),
        ("a name without end", full("<", "n", "")),
        ("colons", full("<a", ":", "/>")),
        ("header blocks", full_part("Header", "", "<a/>", "")),
        ("a billion laughs", format!("<!DOCTYPE a [<!ENTITY e0 \"ha\">{entities}]><a>{}</a>", "&e9;".repeat(10_000))),
        ("declarations of entities without end", "<!DOCTYPE a [".to_owned() + &"<!ENTITY a 'b'>".repeat(17_000)),
        ("an unclosed DTD", "<!DOCTYPE a ".to_owned() + &"[".repeat(BODY_BYTES - 12)),
    ]
}

#[test]
fn no_message_takes_long_to_read() {
    for (name, message) in expensive() {
        let read = || {
            let begun = Instant::now();
            let _ = envelope::read(&message, &envelope::Limits::default());
            begun.elapsed()
        };
        // The quickest of three: other tests take turns on the same cores. In a release build each takes less than 20 ms. What grows with the
        // square of the message takes seconds.
        let took = (0..3).map(|_| read()).min().expect("three");
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
    }
}

/// Sends until the service has had enough.
fn pour(mut client: Client, head: &str, piece: &[u8], bytes: usize) -> Option<Answer> {
    let mut sent = client.0.write_all(head.as_bytes());
    for _ in 0..bytes / piece.len() {
        sent = sent.and_then(|()| client.0.write_all(piece));
    }
    client.try_receive()
}

fn head(lines: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\n{lines}\r\n")
}

fn in_chunks(message: &str, size: usize) -> Vec<u8> {
    let mut request = head("Transfer-Encoding: chunked\r\n");
    for chunk in message.as_bytes().chunks(size) {
        let _ = write!(request, "{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk));
    }
    (request + "0\r\n\r\n").into_bytes()
}

/// A message of ours, padded to the greatest length.
fn padded(username: &str) -> String {
    let call = call(username);
    let padding = " ".repeat(BODY_BYTES - call.len());
    call + &padding
}

fn wrong_password(n: usize) -> Vec<u8> {
    post11(&assign_envelope(&format!("nobody{n}"), "wrong", "backup01", 42, TYPE))
}

/// A client whose connection is reset, not closed, when it is dropped: there is an answer that it has not read.
fn about_to_reset(program: &Program) -> Client {
    let mut client = program.connect();
    client.0.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    assert!(client.0.peek(&mut [0]).expect("an answer") > 0);
    client
}

/// Connections it returns are still open while the program is looked at.
type Flood = (&'static str, fn(&Program) -> Vec<Client>);

const FLOODS: &[Flood] = &[
    ("50 MB announced", |program| {
        let head = head("Content-Length: 50000000\r\n");
        // The answer may be lost where the service closes on a client that still writes.
        let answer = pour(program.connect(), &head, &[b'x'; 64 * 1024], 50_000_000);
        assert!(answer.is_none_or(|answer| answer.status == 413));
        Vec::new()
    }),
    ("50 MB in chunks", |program| {
        let head = head("Transfer-Encoding: chunked\r\n");
        let piece = [b"10000\r\n", &[b'x'; 64 * 1024][..], b"\r\n"].concat();
        let answer = pour(program.connect(), &head, &piece, 50_000_000);
        assert!(answer.is_none_or(|answer| answer.status == 413));
        Vec::new()
    }),
    ("50 MB of head", |program| {
        let answer = pour(program.connect(), "GET / HTTP/1.1\r\n", &b"A: b\r\n".repeat(1000), 50_000_000);
        assert!(answer.is_none_or(|answer| answer.status == 431));
        Vec::new()
    }),
    ("100,000 levels in chunks", |program| {
        let answer = program.send(&in_chunks(&"<a>".repeat(100_000), 1000));
        assert_eq!(answer.status, 413);
        Vec::new()
    }),
    ("expensive messages, three of each at once", |program| {
        for (name, message) in expensive() {
            let request = post("Content-Type: text/xml; charset=utf-8\r\n", message.as_bytes());
            let mut clients: Vec<Client> = (0..3).map(|_| program.connect()).collect();
            for client in &mut clients {
                client.0.write_all(&request).expect("send");
            }
            for client in &mut clients {
                let status = client.receive().status;
                assert!(matches!(status, 200 | 400 | 500), "{name}: {status}");
            }
        }
        Vec::new()
    }),
    ("bodies in chunks of one byte", |program| {
        let request = in_chunks(&padded("chunks"), 1);
        let mut clients: Vec<Client> = (0..4).map(|_| program.connect()).collect();
        for client in &mut clients {
            // All but the end: the service holds the bodies.
            client.0.write_all(&request[..request.len() - 5]).expect("send");
        }
        // When it has read one more, it has read those.
        assert_eq!(program.send(&request).code(), "Success");
        clients
    }),
    ("connections that rest after a large body", |program| {
        let request = post11(&padded("large"));
        let mut clients: Vec<Client> = (0..100).map(|_| program.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.send(&request).status, 200);
        }
        clients
    }),
    ("200 slow heads", |program| {
        let mut clients: Vec<Client> = (0..200).map(|_| program.connect()).collect();
        for client in &mut clients {
            client.0.write_all(head("X: ").trim_end().as_bytes()).expect("send");
        }
        clients
    }),
    ("half-closed connections", |program| {
        let request = post11(&call("half"));
        for end in [5, request.len() / 2, request.len() - 1, request.len()] {
            let clients: Vec<Client> = (0..50).map(|_| program.connect()).collect();
            for mut client in clients {
                client.0.write_all(&request[..end]).and_then(|()| client.0.shutdown(Shutdown::Write)).expect("send");
                let status = client.try_receive().map(|answer| answer.status);
                assert!(matches!(status, None | Some(200 | 400)), "{status:?}");
            }
        }
        Vec::new()
    }),
    ("resets in the middle of a body", |program| {
        for n in 0..100 {
            let request = post11(&call(&format!("reset-{n}")));
            let mut client = about_to_reset(program);
            client.0.write_all(&request[..request.len() - 1 - n]).expect("send");
        }
        Vec::new()
    }),
    ("resets right after sending", |program| {
        for n in 0..200 {
            let mut client = about_to_reset(program);
            client.0.write_all(&post11(&call(&format!("gone-{n}")))).expect("send");
        }
        Vec::new()
    }),
    ("resets in the middle of many calls", |program| {
        for batch in 0..20 {
            let clients: Vec<Client> = (0..20).map(|_| about_to_reset(program)).collect();
            for (n, mut client) in clients.into_iter().enumerate() {
                client.0.write_all(&post11(&call(&format!("gone-{batch}-{n}")))).expect("send");
            }
        }
        Vec::new()
    }),
    ("wrong passwords of different users", |program| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..25 {
                        let answer = program.send(&wrong_password(100 * thread + n));
                        assert_eq!(answer.code(), "InvalidSoapCredentials");
                    }
                });
            }
        });
        Vec::new()
    }),
    ("wrong passwords of clients that hang up", |program| {
        for n in 0..100 {
            let mut client = about_to_reset(program);
            client.0.write_all(&wrong_password(1000 + n)).expect("send");
            std::thread::sleep(Duration::from_millis(2));
        }
        Vec::new()
    }),
];

/// What memory may grow by.
const MEMORY_KIB_MAX: i64 = 24 * 1024;

fn grown(before: Option<i64>, after: Option<i64>) -> i64 {
    before.zip(after).map_or(0, |(before, after)| after - before)
}

#[test]
fn floods_pass() {
    let mut program = Program::start();
    for user in ["warm", "up"] {
        assert_eq!(program.assign(user).code(), "Success");
        assert_eq!(program.send(&post11(&padded(user))).code(), "AlreadyExists");
    }
    let warm = program.memory();
    for (name, flood) in FLOODS {
        let _open = flood(&program);
        let begun = Instant::now();
        let answer = program.connect().send_unchecked(&post11(&call("warm")));
        let took = begun.elapsed();
        assert_eq!(answer.code(), "AlreadyExists", "after {name}");
        assert!(took < Duration::from_secs(5), "after {name} a call took {took:?}");
        let grown = grown(warm, program.memory());
        assert!(grown < MEMORY_KIB_MAX, "{name}: memory has grown by {grown} KiB");
    }
    let log = program.kill();
    assert!(!log.contains("panic"), "{log}");

    // Each call that was cut off happened as a whole or not at all.
    let database = &program.database;
    assert_eq!(database.violations(), []);
    let count = |query: &str| database.query::<i64>(query);
    let accounts = count("SELECT count(*) FROM account");
    assert_eq!(count("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), accounts);
    assert_eq!(count("SELECT count(*) FROM audit_event WHERE action = 'assign'"), accounts);
    assert_eq!(
        count("SELECT count(*) FROM account WHERE username LIKE 'reset-%'"),
        0,
        "a body that broke off is no call"
    );
}

/// Bodies that never end are held in bounded memory, round after round, and do not keep out ordinary calls.
#[test]
fn unfinished_bodies_take_bounded_memory() {
    const BUDGET: &str = "16777216";
    let program = Program::limited(&sample_data(), "true", &["--bodies-bytes-max", BUDGET]);
    assert_eq!(program.assign("warm").status, 200);
    let before = program.memory();
    for round in 0..3 {
        let mut clients: Vec<Client> = (0..300).map(|_| program.connect()).collect();
        for client in &mut clients {
            let head = head(&format!("Content-Length: {BODY_BYTES}\r\n"));
            let _ = client.0.write_all(&[head.as_bytes(), &vec![b'x'; BODY_BYTES - 1]].concat());
        }
        let begun = Instant::now();
        let status = program.connect().send_unchecked(&post11(&call("warm"))).status;
        let took = begun.elapsed();
        assert_eq!(status, 200, "a short call");
        assert!(took < Duration::from_secs(5), "{took:?}");
        // Half of the budget is one client's, and each connection takes a little.
        let grown = grown(before, program.memory());
        assert!(grown < MEMORY_KIB_MAX, "round {round}: memory has grown by {grown} KiB");
        let refused = clients.iter_mut().rev().take(10).map(|client| client.receive().status).collect::<Vec<_>>();
        assert_eq!(refused, [503; 10], "round {round}");
    }
}

/// A line that a client would like to have in the log.
const FORGED: &str = "2026-01-01T00:00:00.000000Z ERROR seatkeeper: forged";

/// Without those of the store, which says on PostgreSQL when it chains the history.
fn lines_of_calls(log: &str) -> Vec<&str> {
    log.lines().filter(|line| !line.contains("Z  INFO seatkeeper::store::postgres::")).collect()
}

#[test]
fn clients_cannot_write_lines_of_the_log() {
    let mut program = Program::start();
    let action = format!("SOAPAction: \"x%0A{}%1B[31m\"\r\n", FORGED.replace(' ', "%20"));
    let messages = [
        (action.as_str(), call("a")),
        (ACTION, call(&format!("&a\n{FORGED};"))),
        (ACTION, call("a").replace(TYPE, &format!("x\r\n{FORGED}"))),
        (ACTION, call("a").replace("http://schemas.xmlsoap.org/soap/envelope/", &format!("x&#10;{FORGED}"))),
        (ACTION, call("a").replace(PASSWORD, &format!("x&#10;{FORGED}"))),
        (ACTION, call("a").replace(">agent<", &format!(">x&#10;{FORGED}<"))),
        (ACTION, call(&format!("a&#10;{FORGED}"))),
        (ACTION, call("a").replace("</request>", &format!("</{}>", "n".repeat(200_000)))),
        (ACTION, call(&format!("&{};", "n".repeat(200_000)))),
    ];
    for (action, message) in &messages {
        program.send(&post(&format!("Content-Type: text/xml; charset=utf-8\r\n{action}"), message.as_bytes()));
    }
    let log = program.kill();
    let lines = lines_of_calls(&log);
    assert_eq!(lines.len(), 2 + messages.len(), "two lines when it starts and one for each refusal\n{log}");
    for line in lines {
        assert!(!line.starts_with(FORGED) && !line.contains(|c: char| c.is_control()) && line.len() < 2000, "{line}");
    }
}

#[test]
fn license_tools_cannot_either() {
    let mut program = Program::with(&owners_data(), "info");
    let sign_in = authenticate("admin", PASSWORD);
    let ticket = program.send(&sign_in).element("Ticket").expect("a ticket");
    let owner = format!("<ModuleOwner>x&#10;{FORGED}\u{85}{}</ModuleOwner>", "y".repeat(200_000));
    let module = |name: &str| {
        format!(
            "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames><a:string \
             xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">{name}</a:string></ModuleLicenseNames>"
        )
    };
    let messages = [
        license(
            &ticket,
            "AssignThirdPartyLicenses",
            &module("SQLBACKUP").replace("<ModuleOwner>CONTOSO</ModuleOwner>", &owner),
        ),
        license(&ticket, "AssignThirdPartyLicenses", &module(&format!("x&#13;&#10;{FORGED}"))),
        license(&format!("7T:x&#10;{FORGED}"), "GetLicenseForAllOwnersFromDB", ""),
        license(&ticket, &format!("Nope.{}", "n".repeat(100_000)), ""),
        license(&ticket, "GetUserLicenses", &format!("<AssociateId>x&#10;{FORGED}</AssociateId>")),
        license(
            &ticket,
            "ActivateLicenseInfo",
            &format!("<NewLicense><CanBeActivated>x&#10;{FORGED}</CanBeActivated></NewLicense>"),
        ),
    ];
    for message in &messages {
        program.send(message);
    }
    let log = program.kill();
    let lines = lines_of_calls(&log);
    assert_eq!(lines.len(), 2 + messages.len(), "two lines when it starts and one for each refusal\n{log}");
    for line in lines {
        assert!(!line.starts_with(FORGED) && !line.contains(|c: char| c.is_control()) && line.len() < 2000, "{line}");
    }
}

/// The service as the tests have it, never forgetting a wrong password.
fn strict(waiting_max: usize) -> Server {
    let auth = auth::Options { failure_interval: Duration::from_secs(3600), waiting_max, ..auth::Options::default() };
    Server::with(Options { auth, ..Options::default() })
}

fn sign_in(server: &Server, user: &str, password: &str) -> Answer {
    server.post11(&assign_envelope(user, password, "backup01", 42, "SqlBackup"))
}

#[test]
fn an_unknown_user_and_a_wrong_password_look_alike() {
    let server = strict(256);
    // All that may differ: the id of the call, and the time.
    let look = |answer: Answer| {
        let id = answer.header("x-request-id").expect("an id").to_owned();
        let date = answer.header("date").expect("a date").to_owned();
        (answer.head.replace(&id, "ID").replace(&date, "DATE"), answer.body.replace(&id, "ID"))
    };
    let wrong = look(sign_in(&server, "agent", "wrong"));
    assert!(wrong.1.contains("<Result>3</Result><Code>InvalidSoapCredentials</Code><Message>Err-ID; "), "{}", wrong.1);
    for (how, answer) in [
        ("unknown", sign_in(&server, "nobody", PASSWORD)),
        ("inactive", sign_in(&server, "gone", PASSWORD)),
        ("no user name", sign_in(&server, "", PASSWORD)),
        ("no password", sign_in(&server, "agent", "")),
        ("a long password", sign_in(&server, "agent", &"x".repeat(10_000))),
        ("the password in other case", sign_in(&server, "agent", &PASSWORD.to_uppercase())),
        ("a user name with a wildcard", sign_in(&server, "agen%", PASSWORD)),
        ("a user name with a quote", sign_in(&server, "agent' OR '1'='1", PASSWORD)),
        ("a user name with a blank inside", sign_in(&server, "age nt", PASSWORD)),
        ("a user name with a tab", sign_in(&server, "agent&#9;", PASSWORD)),
        ("bytes that could not be read", sign_in(&server, "agent\u{fffd}", PASSWORD)),
    ] {
        assert_eq!(look(answer), wrong, "{how}");
    }
}

#[test]
fn guesses_at_one_user_are_slowed_and_signed_in_callers_are_not() {
    let server = strict(256);
    assert_eq!(sign_in(&server, "agent", PASSWORD).code(), "Success");
    for user in ["agent", "reader", "nobody"] {
        for n in 0..10 {
            assert_eq!(sign_in(&server, user, &format!("guess {n}")).code(), "InvalidSoapCredentials", "{user}");
        }
        let slowed = sign_in(&server, user, "guess 11");
        assert_eq!(slowed.code(), "UnexpectedError", "{user}");
        let message = slowed.message();
        let told = message.split_once("; Too many wrong passwords for this user name from this address. Wait ");
        let seconds = told.and_then(|(_, rest)| rest.strip_suffix(" seconds, then call again.")?.parse::<u64>().ok());
        // An hour, less what has passed since the first guess.
        assert!(seconds.is_some_and(|seconds| (3000..=3601).contains(&seconds)), "{user}: {message}");
    }
    assert_eq!(sign_in(&server, "agent", PASSWORD).code(), "AlreadyExists", "signed in before the guesses");
    assert_eq!(sign_in(&server, "reader", PASSWORD).code(), "UnexpectedError", "even the right one has to wait");
    assert_eq!(sign_in(&server, "admin", PASSWORD).code(), "AlreadyExists", "others are not concerned");
}

#[test]
fn a_flood_of_sign_ins_does_not_keep_out_signed_in_callers() {
    let server = strict(4);
    assert_eq!(sign_in(&server, "agent", PASSWORD).code(), "Success");
    let (codes, slowest) = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..16)
            .map(|thread| {
                let server = &server;
                scope.spawn(move || {
                    let guess = |n| sign_in(server, &format!("nobody{thread}-{n}"), "guess");
                    (0..20).map(guess).collect::<Vec<Answer>>()
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        while !flood.iter().all(|thread| thread.is_finished()) {
            let begun = Instant::now();
            let request = post11(&assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup"));
            let answer = server.connect().send_unchecked(&request);
            slowest = slowest.max(begun.elapsed());
            assert_eq!(answer.code(), "AlreadyExists");
        }
        let answers: Vec<Answer> = flood.into_iter().flat_map(|thread| thread.join().expect("a guesser")).collect();
        (answers, slowest)
    });
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // Sign-ins that do not fit into the queue are refused at once.
    let (refused, wrong): (Vec<Answer>, Vec<Answer>) =
        codes.into_iter().partition(|answer| answer.code() == "UnexpectedError");
    assert!(wrong.iter().all(|answer| answer.code() == "InvalidSoapCredentials"));
    assert!(!refused.is_empty() && !wrong.is_empty(), "{} refused, {} wrong", refused.len(), wrong.len());
    for answer in refused {
        let message = "; Too many sign-ins at once. Nothing was changed; call again in a few seconds.";
        assert!(answer.message().ends_with(message), "{}", answer.message());
    }
}
