//! Connections: when they are closed, how many there may be, and what responses say of theirs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use seatkeeper::http::Limits;
use socket2::{Domain, Socket, Type};

use crate::flood::Program;
use crate::harness::*;
use crate::web::{AGENT, JSON, basic};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn server(change: impl FnOnce(&mut Limits)) -> Server {
    let mut options = Options::default();
    change(&mut options.limits);
    Server::with(options)
}

/// Whether the service has closed the connection, or will soon.
fn is_closed(client: &mut Client) -> bool {
    client.0.set_read_timeout(Some(LONG)).expect("timeout");
    match client.0.read(&mut [0; 16]) {
        Ok(bytes) => bytes == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn is_open(client: &Client) -> bool {
    client.0.set_nonblocking(true).expect("a socket");
    let peeked = client.0.peek(&mut [0; 16]);
    client.0.set_nonblocking(false).expect("a socket");
    matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// As many clients at once, each with one call on a connection of its own that it keeps; the statuses.
fn round(server: &Server, clients: usize) -> Vec<(u16, Client)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let one = |_| {
                        // Sent as soon as connected, so that it is there before the service looks.
                        let mut client = server.connect();
                        let status = client.send(HEALTH).status;
                        (status, client)
                    };
                    (0..clients / 8).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    })
}

#[test]
fn connections_at_rest_are_closed_whenever_their_requests_came() {
    let server = server(|limits| limits.idle_timeout = Duration::from_secs(1));
    let clients = round(&server, 40);
    wait_until("all are closed", || clients.iter().all(|(_, client)| !is_open(client)));
    wait_until("and gone", || server.metrics.connections.get() == 0);
}

#[test]
fn clients_that_leave_connections_behind_do_not_shut_out_the_next() {
    let server = server(|limits| {
        limits.idle_timeout = Duration::from_secs(1);
        limits.connections_max = 60;
    });
    let mut left = Vec::new();
    for number in 0..4 {
        let clients = round(&server, 48);
        assert!(clients.iter().all(|(status, _)| *status == 200), "round {number}");
        left.push(clients);
        wait_until("there is room", || server.metrics.connections.get() <= 12);
    }
}

/// A connection from another address of this machine.
#[cfg(target_os = "linux")]
fn connect_from(source: Ipv4Addr, server: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into()).expect("an address of this machine");
    socket.connect(&server.into()).expect("connect");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    Client(stream)
}

#[test]
#[cfg(target_os = "linux")]
fn one_client_cannot_take_every_connection() {
    let mut options = Options { trusted_proxies: "127.0.0.9", ..Options::default() };
    options.limits.connections_per_client_max = 3;
    let server = Server::with(options);
    let from = |last: u8| connect_from(Ipv4Addr::new(127, 0, 0, last), server.address);
    let mut held: Vec<Client> = (0..3).map(|_| from(2)).collect();
    for client in &mut held {
        assert_eq!(client.send(HEALTH).status, 200);
    }
    let mut refused = from(2);
    let answer = refused.send(HEALTH);
    let headers = (answer.header("retry-after"), answer.header("connection"));
    assert_eq!((answer.status, headers), (503, (Some("5"), Some("close"))));
    assert!(is_closed(&mut refused));
    assert_eq!(server.metric("seatkeeper_connections_refused_total{reason=\"client\"}"), 1);

    // Also many at once are not just cut off.
    let mut burst: Vec<Client> = (0..200).map(|_| from(2)).collect();
    assert!(burst.iter_mut().all(|client| client.receive().status == 503));
    drop(burst);

    assert_eq!(from(3).send(HEALTH).status, 200, "another client");
    let mut proxied: Vec<Client> = (0..10).map(|_| from(9)).collect();
    assert!(proxied.iter_mut().all(|client| client.send(HEALTH).status == 200), "a proxy carries many clients");
    assert_eq!(held[0].send(HEALTH).status, 200, "connections that are open are served");
    held.pop();
    wait_until("the place is free again", || from(2).send(HEALTH).status == 200);
}

/// The kernel asks after peers that say nothing.
#[test]
#[cfg(target_os = "linux")]
fn accepted_sockets_have_tcp_keepalive() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.send(HEALTH).status, 200);
    let hex = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let (local, remote) = (hex(server.address), hex(client.0.local_addr().expect("an address")));
    wait_until("the service's socket has the timer", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        let mut lines = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let socket = lines.find(|fields| fields[1..3] == [&*local, &*remote]).expect("the service's socket");
        // Timer 2 is that of keepalive; it fires after what follows, in hundredths of a second.
        let (timer, after) = socket[5].split_once(':').expect("a timer");
        let after = u64::from_str_radix(after, 16).expect("a time");
        timer == "02" && (1..=6000).contains(&after)
    });
}

// Memory of bodies --------------------------------------------------------------------------------------------------

/// All but the last byte of a message as long as allowed.
fn unfinished(length: usize) -> Vec<u8> {
    let mut request = post("Content-Type: text/xml\r\n", &vec![b' '; length]);
    request.pop();
    request
}

#[test]
fn bodies_take_as_much_memory_as_allowed_and_short_ones_always_fit() {
    const KIB: usize = 1024;
    let server = server(|limits| limits.bodies_bytes_max = 2048 * KIB);
    // Twice what the budget has room for, of one client: half of it is this client's.
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for client in &mut clients {
        let _ = client.0.write_all(&unfinished(256 * KIB));
    }
    let has_answer = |client: &Client| !is_open(client);
    wait_until("the rest is refused", || clients.iter().filter(|client| has_answer(client)).count() >= 12);
    let (refused, waiting): (Vec<_>, Vec<_>) = clients.into_iter().partition(has_answer);
    assert_eq!((refused.len(), waiting.len()), (12, 4));
    for mut client in refused {
        let answer = client.receive();
        let headers = (answer.header("retry-after"), answer.header("connection"));
        assert_eq!((answer.status, headers), (503, (Some("5"), Some("close"))), "{answer:?}");
        assert!(answer.body.contains("too many large requests"), "{answer:?}");
    }
    assert_eq!(server.metric("seatkeeper_bodies_refused_total"), 12);
    // An ordinary call is short, and is served all the same, on every surface.
    assert_eq!(server.assign("backup01", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.authenticate("agent", PASSWORD).status, 200);
    let large = post11(&(assign_envelope("agent", PASSWORD, "a", 42, "SqlBackup") + &" ".repeat(100 * KIB)));
    assert_eq!(server.send(&large).status, 503);
    drop(waiting);
    wait_until("what was taken is given back", || server.send(&large).status == 200);
    // Again and again: nothing is lost on the way.
    for _ in 0..50 {
        // The service may be a little late to see that the last one is gone.
        wait_until("there is room", || server.send(&large).status == 200);
        let _ = server.connect().0.write_all(&unfinished(200 * KIB));
    }
    wait_until("all is given back", || {
        let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        let all = clients.iter_mut().all(|client| client.0.write_all(&unfinished(256 * KIB)).is_ok());
        std::thread::sleep(Duration::from_millis(100));
        all && clients.iter().all(is_open)
    });
}

#[test]
fn a_body_as_long_as_allowed_fits_however_small_the_budget_is_set() {
    let server = server(|limits| limits.bodies_bytes_max = 0);
    let call = assign_envelope("agent", PASSWORD, "a", 42, "SqlBackup");
    let padded = call.clone() + &" ".repeat(Limits::default().body_bytes_max - call.len());
    assert_eq!(server.post11(&padded).code(), "Success");
}

// What a response says of its connection -----------------------------------------------------------------------------

/// How a body comes.
#[derive(Debug, Clone, Copy)]
enum Framed {
    Length,
    Chunked,
    /// The head first, the body a little later, as .NET sends them.
    ChunkedLater,
    LengthLater,
    /// A chunk that is none comes in the middle.
    Broken,
    /// The client waits until it is asked for it, or for the response.
    Expected,
}

/// A request's line, headers, and status.
type Row = (String, String, u16);

fn rows() -> Vec<Row> {
    let admin = basic("admin", PASSWORD);
    let xml = "Content-Type: text/xml\r\n";
    let mut rows: Vec<Row> = Vec::new();
    for (line, headers, status) in [
        ("POST /nowhere".to_owned(), String::new(), 404),
        ("PUT /healthz".to_owned(), String::new(), 405),
        (format!("PUT {PATH}"), xml.to_owned(), 405),
        (format!("DELETE {}", LICENSE_PATH), xml.to_owned(), 405),
        (format!("POST {PATH}/AssignLicense"), xml.to_owned(), 500),
        (format!("POST {AGENT}/GetShopUrl"), String::new(), 401),
        (format!("PATCH {AGENT}/GetShopUrl"), admin.clone(), 405),
        (format!("POST {AGENT}/GetNothing"), admin.clone(), 404),
        (format!("POST {AGENT}/GetShopUrl"), format!("{admin}{JSON}Content-Encoding: gzip\r\n"), 415),
        ("GET /healthz".to_owned(), String::new(), 200),
        ("POST /api".to_owned(), String::new(), 405),
        (format!("GET {PATH}?WSDL"), String::new(), 200),
    ] {
        rows.push((line, headers, status));
    }
    for path in [PATH, SO_PRINCIPAL_PATH, LICENSE_PATH] {
        for (headers, status) in [
            ("Content-Type: text/plain\r\n", 415),
            ("", 415),
            ("Content-Type: text/xml\r\nContent-Encoding: gzip\r\n", 415),
        ] {
            rows.push((format!("POST {path}"), headers.to_owned(), status));
        }
    }
    rows
}

/// Sends a request with a body that is not wanted; its response, and whether the connection could be used again.
fn exchange(server: &Server, version: &str, row: &Row, framed: Framed, body: &[u8]) -> (Answer, bool) {
    let (line, headers, _) = row;
    let framing = match framed {
        Framed::Length | Framed::LengthLater => format!("Content-Length: {}\r\n", body.len()),
        Framed::Chunked | Framed::ChunkedLater | Framed::Broken => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framed::Expected => format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len()),
    };
    let keep = if version == "1.0" { "Connection: keep-alive\r\n" } else { "" };
    let head = format!("{line} HTTP/{version}\r\nHost: a\r\n{headers}{keep}{framing}\r\n");
    let body = match framed {
        Framed::Length | Framed::LengthLater => body.to_vec(),
        Framed::Chunked | Framed::ChunkedLater => [&chunks(body, body.len().div_ceil(3).max(1)), LAST_CHUNK].concat(),
        Framed::Broken => b"3\r\nabc\r\nzz\r\n\r\n".to_vec(),
        Framed::Expected => Vec::new(),
    };
    let mut client = server.connect();
    if matches!(framed, Framed::ChunkedLater | Framed::LengthLater) {
        client.0.write_all(head.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_millis(30));
        let _ = client.0.write_all(&body);
    } else {
        let _ = client.0.write_all(&[head.as_bytes(), &body].concat());
    }
    let answer = client.receive();
    let says_close = answer.header("connection").is_some_and(|value| value.contains("close"));
    if says_close {
        assert!(is_closed(&mut client), "{line} {version} {framed:?}: said to be closed, and is not");
        return (answer, false);
    }
    // After whatever the client still sent, the connection is at the next request.
    let next = client.0.write_all(HEALTH).ok().and_then(|()| client.try_receive());
    let status = next.map(|answer| answer.status);
    assert_eq!(status, Some(200), "{line} {version} {framed:?}: {answer:?}\nsaid to stay open, and is not");
    (answer, true)
}

#[test]
fn a_response_to_a_body_that_is_not_read_says_whether_the_connection_stays_open() {
    let server = server(|_| {});
    let (short, long) = (vec![b'x'; 1000], vec![b'x'; 600_000]);
    for row in rows() {
        for framed in [Framed::Length, Framed::Chunked, Framed::ChunkedLater, Framed::LengthLater] {
            let (answer, stays) = exchange(&server, "1.1", &row, framed, &short);
            assert_eq!(answer.status, row.2, "{row:?} {framed:?}");
            assert!(stays, "{row:?} {framed:?}: a short body is no reason to close");
        }
        for framed in [Framed::Broken, Framed::Expected] {
            let (answer, stays) = exchange(&server, "1.1", &row, framed, &short);
            assert!(!stays && answer.status == row.2, "{row:?} {framed:?}: {answer:?}");
        }
        let (answer, stays) = exchange(&server, "1.0", &row, Framed::Length, &short);
        assert!(stays && answer.status == row.2 && answer.header("connection") == Some("keep-alive"), "{answer:?}");
    }
    for row in rows() {
        for framed in [Framed::Length, Framed::Chunked] {
            let (answer, stays) = exchange(&server, "1.1", &row, framed, &long);
            assert!(!stays && answer.status == row.2, "{row:?} {framed:?}: {answer:?}");
        }
        let (answer, stays) = exchange(&server, "1.0", &row, Framed::Length, &long);
        assert!(!stays && answer.header("connection") == Some("close"), "{row:?}: {answer:?}");
    }
}

/// A client that is slow with a body that is not wanted gets its response after a moment, and before the body's time.
#[test]
fn a_slow_body_that_is_not_read_does_not_delay_the_response_for_long() {
    let server = Server::start();
    let begun = Instant::now();
    let mut client = server.connect();
    client.0.write_all(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx").expect("sent");
    let answer = client.receive();
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(is_closed(&mut client));
    assert!(begun.elapsed() < LONG);
}

#[test]
fn requests_that_are_not_understood_say_close() {
    let server = Server::start();
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\nConnection: keep-alive\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
    ] {
        let mut client = server.connect();
        let answer = client.send(request);
        let shown = String::from_utf8_lossy(request);
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{shown}");
        assert!(is_closed(&mut client), "{shown}");
    }
}

/// RFC 3986 §3.2.3: a port is any number of digits, none too.
#[test]
fn a_host_with_an_empty_port_is_valid() {
    let server = Server::start();
    for host in ["a:", "127.0.0.1:", "[::1]:"] {
        assert_eq!(
            server.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).status,
            200,
            "{host}"
        );
    }
}

/// Where it is the service and not its HTTP library that refuses, the response says what is wrong.
#[test]
fn a_request_that_may_be_misread_is_told_why() {
    let server = Server::start();
    for (request, status, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "no Host header"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "several Host headers"),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "The Host header is not a name"),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, "The Host header is not a name"),
        ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "The host in the request's target"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "Transfer-Encoding"),
    ] {
        let answer = server.connect().send(request.as_bytes());
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{request}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{request}");
        assert!(answer.body.contains(reason), "{request}: {answer:?}");
    }
}

/// HTTP/1.0 has no chunks: a response whose length is not known ends with the connection, and says so.
#[test]
fn a_streamed_response_to_http_1_0_does_not_promise_to_stay_open() {
    let server = Server::start();
    let accounts = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO account (username, entity_id) SELECT 'user' || i, 42 FROM n;
        UPDATE license_pool SET seats_total = 5000 WHERE id = 1;
        UPDATE seat SET account_id = seat_no WHERE pool_id = 1;";
    server.sql(accounts);
    let request = call11(
        "GetAssignedLicensesSummary",
        "agent",
        "<EntityId>42</EntityId><ChildAccountsOnly>false</ChildAccountsOnly>",
    );
    let request = String::from_utf8(request).expect("text");
    let mut client = server.connect();
    assert_eq!(client.send(request.as_bytes()).header("transfer-encoding"), Some("chunked"), "long enough");
    assert_eq!(client.send(HEALTH).status, 200);

    let old = request.replacen("HTTP/1.1\r\n", "HTTP/1.0\r\nConnection: keep-alive\r\n", 1);
    client.0.write_all(old.as_bytes()).expect("sent");
    let mut response = Vec::new();
    client.0.read_to_end(&mut response).expect("until it is closed");
    let response = String::from_utf8(response).expect("UTF-8");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let connection: Vec<&str> =
        head.lines().filter(|line| line.to_ascii_lowercase().starts_with("connection:")).collect();
    assert_eq!(connection, ["Connection: close"], "{head}");
    assert!(body.ends_with("</soap:Envelope>") && body.contains("<Code>Success</Code>"));

    let short = request.replacen("HTTP/1.1\r\n", "HTTP/1.0\r\nConnection: keep-alive\r\n", 1).replace(">42<", ">9<");
    let mut client = server.connect();
    let answer = client.send(short.as_bytes());
    if answer.header("connection") == Some("keep-alive") {
        assert_eq!(client.send(HEALTH).status, 200);
    } else {
        assert!(is_closed(&mut client));
    }
}

#[test]
fn a_compressed_body_is_refused_alike_on_every_surface() {
    let server = Server::start();
    let admin = basic("admin", PASSWORD);
    let call = assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup");
    for (path, headers, body) in [
        (PATH, "Content-Type: text/xml\r\n", &*call),
        (PATH, "Content-Type: application/soap+xml\r\n", &to_soap12(&call)),
        (PATH, "Content-Type: application/x-www-form-urlencoded\r\n", "a=b"),
        (SO_PRINCIPAL_PATH, "Content-Type: text/xml\r\n", &*call),
        (LICENSE_PATH, "Content-Type: application/soap+xml\r\n", &*call),
        (&format!("{AGENT}/GetShopUrl"), &format!("{admin}{JSON}"), "{}"),
        ("/api/v1/License", &format!("{admin}{JSON}"), "{}"),
    ] {
        for coding in ["gzip", "deflate", "br", "zstd", "x-gzip", "GZIP", "identity, gzip"] {
            let answer =
                server.send(&post_to(path, &format!("{headers}Content-Encoding: {coding}\r\n"), body.as_bytes()));
            assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("identity")), "{path} {coding}");
            assert!(answer.body.contains("compressed"), "{path} {coding}: {answer:?}");
            assert!(!answer.body.contains("Envelope"), "no fault without status 500: {answer:?}");
        }
    }
    // Some clients name their charset there, and the original does not look.
    for (number, word) in ["identity", "Identity", "utf-8", "UTF-8", "8bit", ""].into_iter().enumerate() {
        let encoding = format!("Content-Encoding: {word}\r\n");
        let code = server.send(&post(&format!("Content-Type: text/xml\r\n{ACTION}{encoding}"), call.as_bytes())).code();
        assert_eq!(code, if number == 0 { "Success" } else { "AlreadyExists" }, "{word}");
        let (agent_call, headers) = (format!("{AGENT}/GetShopUrl"), format!("{admin}{JSON}{encoding}"));
        let answer = server.send(&post_to(&agent_call, &headers, br#"{"OwnerName":"NONE"}"#));
        assert_eq!((answer.status, &*answer.body), (200, "null"), "{word}");
    }
}

// File descriptors --------------------------------------------------------------------------------------------------

/// The soft limit of file descriptors that a process has.
#[cfg(target_os = "linux")]
fn descriptors_of(program: &Program) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(3).expect("a number").parse().unwrap_or(u64::MAX)
}

#[test]
#[cfg(target_os = "linux")]
fn the_limit_of_descriptors_is_raised_to_what_connections_need() {
    let mut program = Program::limited(&sample_data(), "ulimit -Sn 100", &["--connections-max", "300"]);
    let descriptors = descriptors_of(&program);
    assert!((400..2000).contains(&descriptors), "{descriptors}");
    let log = program.kill();
    assert!(!log.contains("connections_max is lowered"), "{log}");
}

#[test]
#[cfg(target_os = "linux")]
fn connections_max_is_lowered_where_descriptors_do_not_suffice() {
    let mut program = Program::limited(&sample_data(), "ulimit -n 300", &["--connections-max", "2000"]);
    assert_eq!(descriptors_of(&program), 300);
    let mut held: Vec<Client> = Vec::new();
    let refused = loop {
        let mut client = program.connect();
        let answer = client.send(HEALTH);
        if answer.status == 503 {
            break answer;
        }
        held.push(client);
        assert!(held.len() < 300, "more connections than descriptors");
    };
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(held.len() >= 16, "{}", held.len());
    let log = program.kill();
    assert!(log.contains(&format!("connections_max={}", held.len())), "{log}");
    assert!(log.contains("LimitNOFILE=2") && log.contains("ulimit -n 2"), "{log}");
    assert!(!log.contains("no connection can be accepted"), "{log}");
}

/// Nothing spins and the log stays short; waiting clients are served when there are descriptors again.
#[test]
#[cfg(target_os = "linux")]
fn accepting_pauses_when_descriptors_run_out() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let mut program = Program::limited(&sample_data(), "true", &["--connections-max", "200"]);
    assert_eq!(program.send(HEALTH).status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.id())).expect("Linux").count() as u64;
    let limit = Rlimit { current: Some(open + 5), maximum: Some(open + 5) };
    let pid = Pid::from_raw(i32::try_from(program.id()).expect("a pid"));
    prlimit(pid, Resource::Nofile, limit).expect("the limit of our own child");

    let mut clients: Vec<Client> = (0..12).map(|_| program.connect()).collect();
    for client in &mut clients {
        client.0.write_all(HEALTH).expect("sent");
    }
    let busy = |program: &Program| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.id())).expect("Linux");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum::<u64>()
    };
    let before = busy(&program);
    std::thread::sleep(Duration::from_secs(3));
    // Hundredths of a second, in three seconds.
    assert!(busy(&program) - before < 100, "{} hundredths of a second", busy(&program) - before);
    let served: Vec<bool> = clients.iter().map(|client| !is_open(client)).collect();
    let count = served.iter().filter(|served| **served).count();
    assert!((1..12).contains(&count), "{served:?}");

    // Each one that ends makes room for the next.
    while let Some(at) = clients.iter().position(|client| !is_open(client)) {
        assert_eq!(clients[at].receive().status, 200);
        clients.remove(at);
        if let Some(client) = clients.first() {
            wait_until("the next one is served", || clients.iter().any(|client| !is_open(client)) || !is_open(client));
        }
    }
    assert!(clients.is_empty(), "{} left", clients.len());
    let log = program.kill();
    assert_eq!(log.matches("no connection can be accepted").count(), 1, "{log}");
}

/// A flood of refused connections is a line of the log, not one for each.
#[test]
fn refused_connections_are_logged_once_in_a_while() {
    let mut program = Program::limited(&sample_data(), "true", &["--connections-per-client-max", "2"]);
    let mut held: Vec<Client> = (0..2).map(|_| program.connect()).collect();
    assert!(held.iter_mut().all(|client| client.send(HEALTH).status == 200));
    for _ in 0..100 {
        assert_eq!(program.send(HEALTH).status, 503);
    }
    let log = program.kill();
    assert_eq!(log.matches("more are refused").count(), 1, "{log}");
    assert!(log.contains("client=127.0.0.1") && log.contains("trusted_proxies"), "{log}");
}

/// A core dump would have the passwords of the calls in progress.
#[test]
fn a_service_leaves_no_core_dump() {
    let database = TestDatabase::new(&sample_data());
    let serving = crate::program::Serving::start(database.argument());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.id())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("that of core dumps");
    let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"], "{core}");
}
