//! Every limit at its bound and one over it, slow clients, and requests of odd shapes. The timeouts here are short so that
//! the tests are; nothing is asserted about how soon a timeout is noticed, only that it is, and not too early.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use seatkeeper::http::Limits;

use crate::harness::*;

const SHORT: Duration = Duration::from_millis(300);

fn server(change: impl FnOnce(&mut Limits)) -> Server {
    let mut options = Options::default();
    change(&mut options.limits);
    Server::with(options)
}

fn call() -> String {
    assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup")
}

/// Everything until the service closes the connection.
fn rest(client: &mut Client) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a way to close, too.
    if let Err(error) = client.0.read_to_end(&mut bytes) {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "left open");
    }
    bytes
}

/// The statuses of answers that follow each other.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head") + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length: usize = head
            .split_once("content-length: ")
            .map_or(0, |(_, v)| v.lines().next().unwrap().parse().expect("a length"));
        statuses.push(head[9..12].parse().expect("a status"));
        bytes = &bytes[end + length..];
    }
    statuses
}

/// The head of a POST with these header lines.
fn head(lines: &str) -> Vec<u8> {
    format!("POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\n{lines}\r\n").into_bytes()
}

/// The call, its message padded to a length.
fn padded(length: usize) -> String {
    let call = call();
    let padding = " ".repeat(length - call.len());
    call + &padding
}

fn swapped(request: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(request).replace(from, to).into_bytes()
}

#[test]
fn a_head_has_as_many_bytes_as_allowed_and_no_more() {
    let max = 10_000;
    let server = server(|limits| limits.head_bytes_max = max);
    let of = |length: usize| {
        let empty = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - empty)).into_bytes()
    };
    assert_eq!(server.send(&of(max)).status, 200);
    assert_eq!(server.send(&of(max + 1)).status, 431);
    assert_eq!(server.send(&of(max + 1)[..max]).status, 431, "not finished, and there is no room to finish it");
    let target = "x".repeat(max);
    assert_eq!(server.send(format!("GET /{target}").as_bytes()).status, 431, "a request line without end");
    let lines = "X: x\r\n".repeat(200);
    assert_eq!(server.send(format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()).status, 431, "lines");
}

#[test]
fn a_body_has_as_many_bytes_as_allowed_and_no_more() {
    let max = 20_000;
    let server = server(|limits| limits.body_bytes_max = max);
    let chunks = |length: usize, end: &[u8]| {
        [&head("Transfer-Encoding: chunked\r\n")[..], &chunks(padded(length).as_bytes(), 999), end].concat()
    };
    assert_eq!(server.post11(&padded(max)).code(), "Success");
    assert_eq!(server.send(&chunks(max, LAST_CHUNK)).code(), "AlreadyExists");

    let over = [
        ("announced", server.post11(&padded(max + 1))),
        // The service does not wait for what it will not take.
        ("announced, and nothing of it sent", server.send(&head(&format!("Content-Length: {}\r\n", max + 1)))),
        ("announced beyond all measure", server.send(&head("Content-Length: 18446744073709551613\r\n"))),
        ("in chunks", server.send(&chunks(max + 1, LAST_CHUNK))),
        ("in chunks without end", server.send(&chunks(max + 1, b""))),
    ];
    for (how, answer) in over {
        assert_eq!(answer.status, 413, "{how}");
        assert_eq!(answer.body, "Maximum request length exceeded. The limit is 20000 bytes.\n", "{how}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{how}");
        assert_eq!(answer.header("connection"), Some("close"), "{how}");
    }
}

/// Most clients send all of a request before they read of an answer.
#[test]
fn a_client_that_sends_too_much_can_read_the_response() {
    let server = Server::start();
    let length = 20_000_000;
    let body = vec![b'x'; length];
    for head in [head(&format!("Content-Length: {length}\r\n")), head("Transfer-Encoding: chunked\r\n")] {
        let is_chunked = head.windows(7).any(|w| w == b"chunked");
        let body = if is_chunked { [&chunks(&body, 1_000_000)[..], LAST_CHUNK].concat() } else { body.clone() };
        let mut client = server.connect();
        client.0.write_all(&[head, body].concat()).expect("all of it is sent");
        assert_eq!(statuses(&rest(&mut client)), [413], "in chunks: {is_chunked}");
    }
    for path in [PATH, LICENSE_PATH] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut client = server.connect();
        client.0.write_all(&[head.as_bytes(), &body].concat()).expect("all of it is sent");
        assert_eq!(statuses(&rest(&mut client)), [415], "{path}");
    }
}

#[test]
fn a_message_is_as_rich_as_allowed_and_no_richer() {
    let server = Server::start();
    let numbered = |n: usize, of: fn(usize) -> String| (0..n).map(of).collect::<String>();
    // Envelope and Body are two levels more, with the header six elements, and soap, xsi and xsd three declarations.
    let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    let attributes = |n| format!("<a{}/>", numbered(n, |i| format!(" a{i}=''")));
    let namespaces = |n| format!("<a{}/>", numbered(n, |i| format!(" xmlns:p{i}='urn:{i}'")));
    let in_scope = |n| {
        let outer = numbered(5, |level| {
            format!("<a{}>", (0..20).map(|i| format!(" xmlns:p{level}-{i}='u'")).collect::<String>())
        });
        format!("{outer}<a{}/>{}", numbered(n, |i| format!(" xmlns:p{i}='u'")), "</a>".repeat(5))
    };
    for (what, at, over) in [
        ("elements nested deeper than 32", nested(30), nested(31)),
        ("more than 8192 elements", "<a/>".repeat(8186), "<a/>".repeat(8187)),
        ("more than 64 attributes on one element", attributes(64), attributes(65)),
        ("more than 32 namespace declarations on one element", namespaces(32), namespaces(33)),
        ("more than 128 namespace declarations in scope", in_scope(25), in_scope(26)),
    ] {
        let fits = server.post11(&envelope11(&auth_header("agent", PASSWORD), &at));
        assert_eq!((fits.status, &*fits.code()), (200, "InvalidInputParameters"), "read, and no request found: {what}");
        let refused = server.post11(&envelope11(&auth_header("agent", PASSWORD), &over));
        assert_eq!((refused.status, refused.element("faultcode").as_deref()), (500, Some("soap:Client")), "{what}");
        let told = format!("Server was unable to read request. ---> The message has {what}.");
        assert_eq!(refused.element("faultstring"), Some(told));
    }
    let header = |blocks: usize| auth_header("agent", PASSWORD) + &"<a/>".repeat(blocks - 1);
    assert_eq!(server.post11(&envelope11(&header(64), "")).code(), "InvalidInputParameters");
    let refused = server.post11(&envelope11(&header(65), ""));
    assert!(refused.status == 500 && refused.body.contains("more than 64 header blocks"), "{refused:?}");
}

#[test]
fn a_head_has_its_time_from_its_first_byte() {
    let server = server(|limits| {
        limits.head_timeout = SHORT;
        limits.idle_timeout = LONG;
    });
    for (how, first, second) in
        [("stops", "P", ""), ("stops after the request line", "GET / HTTP/1.1\r\n", ""), ("a second head", "", "P")]
    {
        let mut client = server.connect();
        if first.is_empty() {
            assert_eq!(client.send(&post11(&call())).status, 200);
            // Between requests there is no hurry.
            std::thread::sleep(2 * SHORT);
        }
        let begun = Instant::now();
        client.0.write_all(first.as_bytes()).and_then(|()| client.0.write_all(second.as_bytes())).expect("send");
        assert_eq!(statuses(&rest(&mut client)), [408], "{how}");
        assert!((SHORT..LONG).contains(&begun.elapsed()), "{how}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_byte_now_and_then_does_not_give_a_head_more_time() {
    let server = server(|limits| {
        limits.head_timeout = SHORT;
        limits.idle_timeout = LONG;
    });
    for (how, bytes) in
        [("header lines", format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(200))), ("empty lines", "\r\n".repeat(800))]
    {
        let mut client = server.connect();
        let begun = Instant::now();
        let sent = bytes.bytes().take_while(|byte| {
            std::thread::sleep(SHORT / 10);
            begun.elapsed() < LONG && client.0.write_all(&[*byte]).is_ok()
        });
        let sent = sent.count();
        assert!(begun.elapsed() < LONG, "{how}: {sent} bytes taken");
        assert_eq!(statuses(&rest(&mut client)), [408], "{how}");
    }
}

#[test]
fn a_head_that_began_behind_another_request_is_not_waited_for_longer_than_an_idle_client() {
    let server = server(|limits| {
        limits.head_timeout = SHORT;
        limits.idle_timeout = 2 * SHORT;
    });
    let mut client = server.connect();
    let begun = Instant::now();
    client.0.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal").expect("send");
    assert_eq!(statuses(&rest(&mut client)), [200]);
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_connection_rests_as_long_as_it_may() {
    let idle = Duration::from_secs(2);
    let server = server(|limits| {
        limits.head_timeout = SHORT;
        limits.idle_timeout = idle;
    });
    let mut unused = server.connect();
    let mut client = server.connect();
    assert_eq!(client.send_unchecked(&post11(&call())).code(), "Success");
    std::thread::sleep(2 * SHORT);
    // The service begins to count when it has written the answer.
    let rested = Instant::now();
    assert_eq!(client.send_unchecked(&post11(&call())).code(), "AlreadyExists", "it outlived the time for a head");
    assert_eq!(rest(&mut client), b"", "closed without a word");
    assert!((idle..LONG).contains(&rested.elapsed()), "{:?}", rested.elapsed());
    assert_eq!(rest(&mut unused), b"");
}

#[test]
fn a_body_has_its_time_from_the_end_of_the_head() {
    let server = server(|limits| limits.body_timeout = SHORT);
    let request = post11(&call());
    let check = |client: &mut Client, how: &str| {
        let bytes = rest(client);
        assert_eq!(statuses(&bytes), [408], "{how}");
        assert!(String::from_utf8_lossy(&bytes).contains("The request did not arrive within"), "{how}");
    };
    let mut stops = server.connect();
    let begun = Instant::now();
    stops.0.write_all(&request[..request.len() - 1]).expect("send");
    check(&mut stops, "stops before the last byte");
    assert!((SHORT..LONG).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    let mut trickles = server.connect();
    let begun = Instant::now();
    let (begin, trickle) = request.split_at(request.len() - 400);
    trickles.0.write_all(begin).expect("send");
    for byte in trickle {
        std::thread::sleep(SHORT / 10);
        if begun.elapsed() > LONG || trickles.0.write_all(&[*byte]).is_err() {
            break;
        }
    }
    assert!(begun.elapsed() < LONG);
    check(&mut trickles, "a byte now and then");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0, "nothing was done");
}

#[test]
fn a_client_that_takes_no_answers_is_left() {
    let server = server(|limits| limits.write_timeout = SHORT);
    let mut client = server.connect();
    client.0.set_write_timeout(Some(LONG)).expect("timeout");
    let requests = format!("GET {PATH}?wsdl HTTP/1.1\r\nHost: a\r\n\r\n").repeat(100);
    let begun = Instant::now();
    // Until the buffers between us are full and the service has waited long enough.
    while begun.elapsed() < LONG && client.0.write_all(requests.as_bytes()).is_ok() {}
    assert!(begun.elapsed() < LONG, "it is still being served");
    assert_eq!(server.assign("backup01", 42, "SqlBackup").code(), "Success");
}

#[test]
fn one_connection_too_many_gets_503_and_its_place_is_free_again_when_another_ends() {
    let server = server(|limits| limits.connections_max = 3);
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
    let mut refused = server.connect();
    let answer = refused.receive();
    assert_eq!(
        (answer.status, answer.header("retry-after"), answer.header("connection")),
        (503, Some("5"), Some("close"))
    );
    assert_eq!(rest(&mut refused), b"");
    assert_eq!(clients[0].send(&post11(&call())).code(), "Success", "open connections are served");

    clients.pop();
    let status = || server.connect().send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status;
    wait_until("the place is free again", || status() != 503);
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let server = Server::start();
    let users = ["one", "two", "one", "three", "four"];
    let mut client = server.connect();
    let requests: Vec<u8> =
        users.iter().flat_map(|user| post11(&assign_envelope("agent", PASSWORD, user, 42, "SqlBackup"))).collect();
    let close = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.0.write_all(&[&requests[..], close].concat()).expect("send");
    let bytes = rest(&mut client);
    assert_eq!(statuses(&bytes), [200; 6]);
    let answers = String::from_utf8_lossy(&bytes).into_owned();
    let codes: Vec<&str> = answers.split("<Code>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(codes, ["Success", "Success", "AlreadyExists", "Success", "NoFreeSeat"]);
}

#[test]
fn a_client_that_asks_first_is_told_to_continue_only_if_its_body_is_taken() {
    let server = Server::start();
    let mut client = server.connect();
    let expect = |length: usize| head(&format!("Expect: 100-continue\r\nContent-Length: {length}\r\n"));
    client.0.write_all(&expect(call().len())).expect("send");
    let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    client.0.read_exact(&mut told).expect("an interim answer");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.send(call().as_bytes()).code(), "Success");

    client.0.write_all(&expect(10_000_000)).expect("send");
    assert_eq!(statuses(&rest(&mut client)), [413], "and nothing before");
}

/// Requests of odd shapes, and the statuses of all that is answered before the connection is closed. A plain GET that asks
/// for the close follows each: where its 200 is missing, the service did not trust the connection any longer.
#[test]
fn odd_requests_are_answered_by_the_book_and_nothing_hides_behind_them() {
    let server = Server::start();
    assert_eq!(server.assign("backup01", 42, "SqlBackup").code(), "Success");
    let body = call();
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunks = [&chunks(body.as_bytes(), 100)[..], LAST_CHUNK].concat();
    let with = |lines: &str, body: &[u8]| [&head(lines)[..], body].concat();
    let plain = |lines: &str| with(&format!("{lines}{length}"), body.as_bytes());
    let in_chunks = |lines: &str| with(lines, &chunks);
    let to = |target: &str| swapped(&plain(""), PATH, target);
    let bare = |line: &str| format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
    let replaced = |from: &str, to: &str| swapped(&plain(""), from, to);
    let hidden = b"0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = |start: &str| {
        with("Transfer-Encoding: chunked\r\n", &[start.as_bytes(), body.as_bytes(), b"\r\n", LAST_CHUNK].concat())
    };
    let size = format!("{:x}", body.len());

    let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("plain", plain(""), &[200, 200]),
        ("chunked", in_chunks("Transfer-Encoding: chunked\r\n"), &[200, 200]),
        ("chunked, in other case", in_chunks("TRANSFER-ENCODING: Chunked\r\n"), &[200, 200]),
        ("chunk extensions", chunk(&format!("{size};a=\"b\"\r\n")), &[200, 200]),
        (
            "a trailer",
            with("Transfer-Encoding: chunked\r\n", &[&chunks[..chunks.len() - 2], b"A: b\r\n\r\n"].concat()),
            &[200, 200],
        ),
        // Who is asked.
        ("HTTP/1.0 without Host", replaced("HTTP/1.1\r\nHost: a", "HTTP/1.0\r\nConnection: keep-alive"), &[200, 200]),
        ("HTTP/1.0", replaced("HTTP/1.1", "HTTP/1.0"), &[200]),
        ("HTTP/1.1 without Host", replaced("Host: a\r\n", ""), &[400]),
        ("two Hosts", plain("Host: b\r\n"), &[400]),
        ("HTTP/2.0", replaced("HTTP/1.1", "HTTP/2.0"), &[400]),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n".to_vec(), &[400]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n".to_vec(), &[400]),
        // How long the body is. Where two readers could differ about it, the connection ends.
        ("a Content-Length too many", plain("Content-Length: 3\r\n"), &[400]),
        ("the same Content-Length twice", plain(&length), &[200, 200]),
        ("a Content-Length of two", with("Content-Length: 3, 3\r\n", b"abc"), &[400]),
        ("a Content-Length with a sign", with("Content-Length: +3\r\n", b"abc"), &[400]),
        ("a negative Content-Length", with("Content-Length: -3\r\n", b"abc"), &[400]),
        ("a hexadecimal Content-Length", with("Content-Length: 0x3\r\n", b"abc"), &[400]),
        ("an empty Content-Length", with("Content-Length: \r\n", b"abc"), &[400]),
        ("a Content-Length beyond 64 bits", with("Content-Length: 99999999999999999999\r\n", b"abc"), &[400]),
        ("length and chunks", in_chunks(&format!("{length}Transfer-Encoding: chunked\r\n")), &[200]),
        ("chunks and length", in_chunks(&format!("Transfer-Encoding: chunked\r\n{length}")), &[200]),
        (
            "a request hidden by length and chunks",
            with(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()), hidden),
            &[400],
        ),
        (
            "a request hidden by chunks and length",
            with(&format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", hidden.len()), hidden),
            &[400],
        ),
        ("chunks in HTTP/1.0", swapped(&in_chunks("Transfer-Encoding: chunked\r\n"), "HTTP/1.1", "HTTP/1.0"), &[400]),
        ("another transfer coding", in_chunks("Transfer-Encoding: gzip\r\n"), &[400]),
        ("another transfer coding below chunks", in_chunks("Transfer-Encoding: gzip, chunked\r\n"), &[501]),
        ("another transfer coding above chunks", in_chunks("Transfer-Encoding: chunked, gzip\r\n"), &[400]),
        ("almost chunked", in_chunks("Transfer-Encoding: xchunked\r\n"), &[400]),
        ("chunked twice", in_chunks("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), &[501]),
        ("a space before the colon", in_chunks("Transfer-Encoding : chunked\r\n"), &[400]),
        ("a chunk size that is none", chunk("zz\r\n"), &[400]),
        ("a negative chunk size", chunk("-1\r\n"), &[400]),
        ("a chunk size beyond 64 bits", chunk("fffffffffffffffff\r\n"), &[400]),
        ("a chunk size ended by a bare LF", chunk(&format!("{size}\n")), &[400]),
        ("a chunk longer than its size", chunk("3\r\n"), &[400]),
        ("chunk extensions without end", chunk(&format!("3;{}\r\n", "a".repeat(20_000))), &[400]),
        // How the head is written.
        ("empty lines first", [b"\r\n\r\n", &plain("")[..]].concat(), &[200, 200]),
        ("a header line folded", plain("A: b\r\n c\r\n"), &[400]),
        ("a framing header line folded", in_chunks("Transfer-Encoding:\r\n chunked\r\n"), &[400]),
        ("a bare CR in a header", plain("A: b\rc\r\n"), &[400]),
        ("NUL in a header", plain("A: b\0c\r\n"), &[400]),
        ("a header without a name", plain(": a\r\n"), &[400]),
        ("a header name with a space", plain("a b: c\r\n"), &[400]),
        ("bytes beyond ASCII in a header", plain("A: \u{e9}\r\n"), &[200, 200]),
        // What is done.
        ("an unknown method", bare(&format!("BREW {PATH} HTTP/1.1")), &[405, 200]),
        ("a long method", bare(&format!("{} {PATH} HTTP/1.1", "A".repeat(1000))), &[405, 200]),
        ("a method in lower case", bare(&format!("get {PATH} HTTP/1.1")), &[405, 200]),
        ("OPTIONS *", bare("OPTIONS * HTTP/1.1"), &[404, 200]),
        ("TRACE", bare(&format!("TRACE {PATH} HTTP/1.1")), &[405, 200]),
        ("CONNECT", bare("CONNECT a:443 HTTP/1.1"), &[404, 200]),
        ("a method of signs", bare(&format!("G@T {PATH} HTTP/1.1")), &[400]),
        ("an upgrade", plain("Connection: upgrade\r\nUpgrade: h2c\r\n"), &[200, 200]),
        ("an unknown expectation", plain("Expect: tea\r\n"), &[200, 200]),
        // Where. `addresses` has more of this.
        ("the path in upper case", to(&PATH.to_uppercase()), &[200, 200]),
        ("the path in lower case", to(&PATH.to_lowercase()), &[200, 200]),
        ("the absolute form", to(&format!("http://other.example{PATH}")), &[200, 200]),
        ("a trailing slash", to(&format!("{PATH}/")), &[404, 200]),
        ("two leading slashes", to(&format!("/{PATH}")), &[200, 200]),
        ("the path percent-encoded", to(&PATH.replace(".asmx", "%2Easmx")), &[200, 200]),
        ("the path with a NUL", to(&format!("{PATH}%00")), &[404, 200]),
        ("the path by way of ..", to(&format!("/x/..{PATH}")), &[200, 200]),
        ("a path in UTF-8", to("/É"), &[404, 200]),
        ("no path at all", bare("GET http://other.example HTTP/1.1"), &[303, 200]),
        ("a path without its slash", bare("GET healthz HTTP/1.1"), &[404, 200]),
        ("a space in the target", bare("GET /a b HTTP/1.1"), &[400]),
        ("a long query", to(&format!("{PATH}?{}", "a".repeat(15_000))), &[200, 200]),
        ("a query of signs", bare(&format!("GET {PATH}?op=%zz&&==%00?? HTTP/1.1")), &[200, 200]),
        ("a fragment", to(&format!("{PATH}#a")), &[200, 200]),
        // A body nobody waits for.
        ("a body where there is nothing", to("/nowhere"), &[404, 200]),
        ("a body of another type", replaced("text/xml", "text/plain"), &[415, 200]),
        ("a body that GET does not need", replaced("POST", "GET"), &[200, 200]),
        ("no length at all", with("", b""), &[400, 200]),
    ];
    for (name, request, expected) in rows {
        let mut client = server.connect();
        let close = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        // The service may close before it has read everything.
        let _ = client.0.write_all(&[&request[..], close].concat());
        assert_eq!(statuses(&rest(&mut client)), expected, "{name}");
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 1);
}
