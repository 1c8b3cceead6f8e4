//! The Web API under attack: what is no HTTP or not quite, what is made to be expensive, people who should learn nothing,
//! and many who want the same seat. SEATKEEPER_SEED repeats the choices of a run that failed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::Duration;

use seatkeeper::auth;
use seatkeeper::netserver::web_api::{BASE, MEDIA_TYPES, ROUTES, Route, parameter};
use seatkeeper::netserver::{LICENSE, Operation};
use serde_json::json;

use crate::flood::Program;
use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::program::Serving;
use crate::web::{AGENT, Api, JSON, basic};

/// Sends bytes, and reads until the service closes; what it answered, as it came.
fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    // A reset is a way to close, too.
    match stream.read_to_end(&mut answer) {
        Err(error) if is_timeout(&error) => panic!("left open behind {}", String::from_utf8_lossy(request)),
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The same, but ends a request that the service, silent for so long, may take for the beginning of a longer one.
fn exchange_or_end(address: SocketAddr, request: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    // The service may have closed on what it will not read.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    for patience in [patience, Duration::from_secs(60)] {
        stream.set_read_timeout(Some(patience)).expect("timeout");
        match stream.read_to_end(&mut answer) {
            Err(error) if is_timeout(&error) => {
                let _ = stream.shutdown(Shutdown::Write);
            }
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
    panic!("no end of the answer: {}", String::from_utf8_lossy(request));
}

/// The statuses of all answers in what came over one connection.
fn statuses(answers: &str) -> Vec<u16> {
    let after = answers.split("HTTP/1.1 ").skip(1);
    // What was sent, and is told back, may look like the beginning of an answer.
    after.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

// Requests that are not quite ---------------------------------------------------------------------------------------

/// A request that a proxy may take for two is answered once, and the connection is closed behind it.
#[test]
fn nothing_is_smuggled() {
    let api = Api(Server::with_owners());
    let head = format!("POST {AGENT}/GetShopUrl HTTP/1.1\r\nHost: a\r\n{JSON}{}", basic("admin", PASSWORD));
    const BODY: &str = r#"{"OwnerName":"CONTOSO"}"#;
    const CHUNKED: &str = "17\r\n{\"OwnerName\":\"CONTOSO\"}\r\n0\r\n\r\n";
    let next = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (headers, body, expected) in [
        ("Content-Length: 23\r\n", BODY, &[200, 200][..]),
        ("Transfer-Encoding: chunked\r\n", CHUNKED, &[200, 200]),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKED, &[200]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKED, &[200]),
        ("Content-Length: 23\r\nContent-Length: 5\r\n", BODY, &[400]),
        ("Content-Length: 23, 5\r\n", BODY, &[400]),
        ("Content-Length: +23\r\n", BODY, &[400]),
        ("Content-Length: 0x17\r\n", BODY, &[400]),
        ("Content-Length: 99999999999999999999\r\n", BODY, &[400]),
        ("Content-Length : 23\r\n", BODY, &[400]),
        ("X: a\r\n b\r\nContent-Length: 23\r\n", BODY, &[400]),
        ("X: a\0b\r\nContent-Length: 23\r\n", BODY, &[400]),
        ("X: a\rContent-Length: 23\r\n", BODY, &[400]),
        ("Transfer-Encoding:\r\n chunked\r\n", CHUNKED, &[400]),
        ("Transfer-Encoding: xchunked\r\n", CHUNKED, &[400]),
        ("Transfer-Encoding: \u{b}chunked\r\n", CHUNKED, &[400]),
        ("Transfer-Encoding: identity, chunked\r\n", CHUNKED, &[501]),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKED, &[400]),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\n", "0x17\r\n{}", &[400]),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n{}", &[400]),
        ("Transfer-Encoding: chunked\r\n", "2\r\n{}XX0\r\n\r\n", &[400]),
    ] {
        let answers = exchange(api.0.address, format!("{head}{headers}\r\n{body}{next}").as_bytes());
        assert_eq!(statuses(&answers), expected, "{headers:?} {body:?}: {answers}");
    }
}

/// RFC 9112 §3.2. The text comes back in the addresses that answers tell.
#[test]
fn only_a_host_is_taken_for_one() {
    let api = Api::start();
    let ask = |host: &str| api.raw(format!("GET /api/v1 HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes());
    let longest = format!("Host: {}\r\n", "a".repeat(255));
    let longer = format!("Host: {}\r\n", "a".repeat(262));
    for host in ["Host: a.example\r\n", "Host: a_b:1\r\n", "Host: [::1]:80\r\n", "Host: 127.0.0.1\r\n", &longest] {
        assert_eq!(ask(host).status, 200, "{host}");
    }
    let nowhere = ask("Host:\r\n");
    assert!(nowhere.body.contains(&format!("\"http://{}/api/v1/License\"", api.0.address)), "{nowhere:?}");
    for host in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\"><script>alert(1)</script>\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a?b\r\n",
        "Host: a\\b\r\n",
        "Host: user@a\r\n",
        "Host: a:b\r\n",
        "Host: a:65536\r\n",
        "Host: a,b\r\n",
        "Host: gr\u{f6}\u{df}e\r\n",
        &longer,
    ] {
        assert_eq!(ask(host).status, 400, "{host}");
    }
}

/// Also where nobody reads the body that came with a request, the connection is used again, or closed and not left open.
#[test]
fn connections_survive_a_refusal() {
    let api = Api(Server::with_owners());
    let next = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let admin = basic("admin", PASSWORD);
    let small = "{}".to_owned();
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(200_000));
    for (line, headers, status) in [
        (format!("POST {AGENT}/GetShopUrl"), String::new(), 401),
        (format!("POST {AGENT}/GetShopUrl"), admin.clone(), 400),
        (format!("POST {AGENT}/GetShopUrl"), format!("{admin}Content-Type: text/plain\r\n"), 415),
        (format!("POST {AGENT}/GetShopUrl"), format!("{admin}Content-Encoding: gzip\r\n"), 415),
        (format!("PATCH {AGENT}/GetShopUrl"), admin.clone(), 405),
        (format!("POST {AGENT}/GetNothing"), admin.clone(), 404),
        ("GET /api/v1/License/CONTOSO".to_owned(), admin.clone(), 200),
        ("GET /api".to_owned(), String::new(), 200),
        ("OPTIONS /api".to_owned(), String::new(), 204),
    ] {
        for body in [&small, &large] {
            let request =
                format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {}\r\n\r\n{body}{next}", body.len());
            let found = statuses(&exchange(api.0.address, request.as_bytes()));
            assert!(matches!(found[..], [first] | [first, 200] if first == status), "{line} {headers}: {found:?}");
            assert!(body == &large || found.len() == 2, "{line} {headers}: a short body is no reason to close");
        }
    }
    // Who waits to be asked for the body is not asked, where it would not be read.
    let waiting =
        format!("POST {AGENT}/GetShopUrl HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(statuses(&exchange(api.0.address, waiting.as_bytes())), [401]);
}

#[test]
fn absurd_addresses() {
    let api = Api(Server::with_owners());
    for (target, status) in [
        ("/api/", 200),
        ("/API/V1/LICENSE/", 200),
        ("/api//v1/License", 200),
        ("/api/v1/License//", 404),
        ("/api/v1/License/..", 200),
        ("/api/v1/License/%2e%2e/%2e%2e/healthz", 404),
        ("/api/v1/License/../../../healthz", 200),
        ("/api/v1/License/../../../../../../etc/passwd", 404),
        ("/api/v1/License/..%2f..%2f..%2fhealthz", 404),
        ("/api/v1/License/CONTOSO;x=1", 404),
        ("/api/v1/License/CONTOSO%00", 404),
        ("/api/v1/License/%0d%0aX-Injected:%201", 404),
        ("/api/v1/License/%c0%af", 400),
        ("/api/v1/License/CONTOSO/%2B101", 200),
        ("/api/v1/License/CONTOSO/%20101", 404),
        ("/api/v1/License/CONTOSO/101%00", 404),
        (&format!("/api/v1/License/{}", "a".repeat(15_000)), 404),
        (&format!("/api/v1{}", "/a".repeat(7_000)), 404),
        (&format!("/api/v1/License?$select={}", "Current/".repeat(1_800)), 200),
        (&format!("/api/v1/License?$select={}", "a,".repeat(7_000)), 200),
        (&format!("/api/v1/License/{}", "a".repeat(17_000)), 431),
    ] {
        let answer = api.ask(&format!("GET {target}"), "", "");
        assert_eq!(answer.status, status, "{target} {answer:?}");
        assert!(answer.header("x-injected").is_none(), "{answer:?}");
    }
}

// The fuzzer --------------------------------------------------------------------------------------------------------

const FRAGMENTS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"%00",
    b"%2e%2e/",
    b"//",
    b";",
    b"\r\n",
    b"\n",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"<",
    b">",
    b"&#0;",
    b"<!DOCTYPE a>",
    b"<![CDATA[",
    b"&x;",
    b"1e999",
    b"-0",
    b"99999999999999999999",
    b"null",
    b"$select=",
    b",",
    b"=",
    b"&",
    b"+",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Host: x\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.1",
    b":",
    b" ",
];

/// A few small damages, or none.
fn damage(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..[0, 0, 1, 1, 2, 3, 8][random.below(7) as usize] {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let fragment = FRAGMENTS[random.below(FRAGMENTS.len() as u64) as usize];
        match random.below(4) {
            0 => drop(bytes.splice(at..at, fragment.iter().copied())),
            1 => drop(bytes.splice(at..at, fragment.repeat(random.between(2, 100) as usize))),
            2 => drop(bytes.drain(at..(at + random.below(30) as usize).min(bytes.len()))),
            _ => drop(bytes.splice(at..at, [random.below(256) as u8])),
        }
    }
    bytes
}

/// One of the valid requests, damaged in its head, its body, or both.
fn request(targets: &[String], bodies: &[String], random: &mut Random) -> Vec<u8> {
    let mut any = |of: &[&str]| of[random.below(of.len() as u64) as usize].to_owned();
    let method = any(&["GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "get"]);
    let target = any(&targets.iter().map(String::as_str).collect::<Vec<_>>());
    let body = any(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let select = any(&[
        "",
        "",
        "?$select=name,current/OwnerName",
        "?newCompanyName=a&newSerialNumber=b",
        "?ownerName=CONTOSO&associateId=0&moduleLicenseNames[]=A",
    ]);
    let user = any(&["admin", "admin", "agent", "contoso", "outside"]);
    let content_type = any(&[
        MEDIA_TYPES.as_slice(),
        &["application/x-www-form-urlencoded", "text/plain", "text/xml; charset=utf-16", "x"],
    ]
    .concat());
    let accept = any(&["*/*", "application/xml", "text/xml;q=0.5, application/json;q=0.1"]);
    let zone = any(&["", "SO-TimeZone: NO\r\n", "SO-TimeZone: 261, includeTZOffset\r\n"]);
    let body = damage(body.into_bytes(), random);
    let (length, body) = match random.below(6) {
        0 => {
            let chunks = body.chunks(40).flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat());
            ("Transfer-Encoding: chunked\r\n".to_owned(), damage(chunks.chain(*b"0\r\n\r\n").collect(), random))
        }
        _ => (format!("Content-Length: {}\r\n", body.len()), body),
    };
    let head = format!(
        "{method} {target}{select} HTTP/1.1\r\nHost: a\r\n{}Content-Type: {content_type}\r\nAccept: {accept}\r\n{zone}{length}\r\n",
        basic(&user, PASSWORD)
    );
    let head = if random.below(2) == 0 { damage(head.into_bytes(), random) } else { head.into_bytes() };
    [head, body].concat()
}

/// Whatever comes, there is an answer or an end, and no answer says that the service failed. SEATKEEPER_REQUESTS says how
/// much comes.
#[test]
fn damaged_requests() {
    let mut random = Random::from_seed();
    // A damaged password is one more that is wrong.
    let auth = auth::Options { failures_max: u32::MAX, ..auth::Options::default() };
    // What is not answered at once is cut off: a disk must not decide what that is.
    let api = Api(Server::with(Options { seed: owners_data(), auth, in_memory: true, ..Options::default() }));
    let operations = LICENSE.operations.iter().map(|operation| format!("{AGENT}/{}", operation.name));
    let routes = ROUTES.iter().map(|route| filled(route, "CONTOSO", 101));
    let targets: Vec<String> = operations
        .chain(routes)
        .chain(["/api", BASE, "/api/v1/openapi.json", "/api/v1/swagger.json"].map(str::to_owned))
        .collect();
    let fetch = |accept: &str| {
        let headers = format!("{JSON}Accept: {accept}\r\n");
        api.ask(&format!("POST {AGENT}/GetLicenseFromLicenseServer"), &headers, r#"{"OwnerName":"CONTOSO"}"#).body
    };
    let arguments = json!({ "OwnerName": "CONTOSO", "ModuleOwner": "CONTOSO", "AssociateId": 101, "SatelliteId": 0,
        "ModuleName": "SQLBACKUP", "ModuleLicenseNames": ["SQLBACKUP"], "FileContent": fetch("text/xml"),
        "ModuleLicense": { "New": { "ModuleName": "SQLBACKUP" } }, "LicenseInfo": { "New": { "OwnerName": "CONTOSO" } } });
    let xml = fetch("text/xml");
    let bodies = [
        arguments.to_string(),
        r#"["SQLBACKUP","EXCHANGEBACKUP"]"#.to_owned(),
        format!("{{\"NewLicense\":{0},\"LicenseInfo\":{0}}}", fetch("application/json")),
        format!("<R><NewLicense>{}</NewLicense></R>", xml.split_once("?>").expect("a declaration").1),
        "<R><OwnerName>CONTOSO</OwnerName><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>101</AssociateId>\
         <ModuleLicenseNames><string>SQLBACKUP</string></ModuleLicenseNames></R>"
            .to_owned(),
        "OwnerName=CONTOSO&ModuleOwner=CONTOSO&AssociateId=101&ModuleLicenseNames[0]=SQLBACKUP".to_owned(),
        json!(xml).to_string(),
        xml.clone(),
        String::new(),
    ];
    let mut served = 0;
    let requests = number_from("SEATKEEPER_REQUESTS").unwrap_or(1500);
    for number in 0..requests {
        // What follows ends the connection behind a request that is whole.
        let end = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let sent = [&request(&targets, &bodies, &mut random)[..], end].concat();
        let answers = exchange_or_end(api.0.address, &sent, Duration::from_millis(50));
        let says = || format!("request {number}: {}\n{answers}", String::from_utf8_lossy(&sent));
        let found = statuses(&answers);
        assert!(found.iter().all(|status| *status < 500 || *status == 501), "{}", says());
        served += u64::from(found.first() == Some(&200));
    }
    assert!(served >= requests / 30, "too few were served to show anything: {served}");
    assert_eq!(api.0.violations(), []);
    assert_eq!(api.0.get("/healthz").status, 200);
}

/// A route's address with its arguments filled in.
fn filled(route: &Route, owner: &str, associate: i32) -> String {
    let template = route.template();
    let template = template.replace("{ownerName}", owner).replace("{moduleOwner}", owner);
    let template = template.replace("{moduleName}", "SQLBACKUP").replace("{satelliteId}", "0");
    let address = template.replace("{associateId}", &associate.to_string());
    let query: Vec<String> = route.query.iter().map(|name| format!("{}={owner}", parameter(name))).collect();
    if query.is_empty() { address } else { format!("{address}?{}", query.join("&")) }
}

// What is expensive -------------------------------------------------------------------------------------------------

/// Bodies of the greatest length allowed that are made to be expensive are answered as any other, in few words.
#[test]
fn bodies_made_to_be_expensive() {
    let api = Api(Server::with_owners());
    let full = |start: &str, unit: &str, end: &str| {
        let units = (256 * 1024 - start.len() - end.len()) / unit.len();
        format!("{start}{}{end}", unit.repeat(units))
    };
    const XML: &str = "Content-Type: text/xml\r\n";
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    const NAMES: &str = r#"{"ModuleOwner":"CONTOSO","AssociateId":101,"ModuleLicenseNames":["#;
    let keys: Vec<String> = (0..24_000).map(|n| format!("\"{n:x}\":0")).collect();
    let nine = format!("{{\"AssociateId\":1e{}}}", "9".repeat(260_000));
    for (headers, body, status) in [
        (JSON, full("", "[", ""), 400),
        (JSON, full(r#"{"a":["#, "[],", "[]]}"), 400),
        (JSON, full(r#"{"a":["#, r#"{"":0},"#, "{}]}"), 400),
        (JSON, format!("{{{}}}", keys.join(",")), 400),
        (JSON, full("{", r#""OwnerName":"a","#, r#""OwnerName":"b"}"#), 400),
        (JSON, nine, 400),
        (JSON, full(r#"{"AssociateId":0."#, "9", "}"), 400),
        (JSON, full(NAMES, r#""SQLBACKUP","#, r#""SQLBACKUP"]}"#), 400),
        (JSON, full(NAMES, r#""","#, r#""SQLBACKUP"]}"#), 400),
        ("Content-Type: application/json; charset=utf-16\r\n", full("", "[ ", "]"), 400),
        (XML, full("<a>", "<b/>", "</a>"), 400),
        (XML, full("<a>", "<b>", ""), 400),
        (FORM, full("", "a&", "a"), 400),
        (FORM, full("", "ModuleLicenseNames&", "a"), 400),
        (FORM, full("ModuleOwner=CONTOSO&AssociateId=101", "&ModuleLicenseNames[]=SQLBACKUP", ""), 200),
        (FORM, full("", "%00=&", "a"), 400),
        (FORM, full("ModuleLicenseNames[", "9", "]=SQLBACKUP"), 400),
        (FORM, full("ModuleLicenseNames[", "x", "]=SQLBACKUP"), 400),
        (FORM, full("", "ModuleLicenseNames[1]=a&", "a"), 400),
        (FORM, full("{", " ", "}"), 400),
        (FORM, full("[", "0,", "0]"), 400),
        (XML, full("<a><ModuleLicenseNames><", "b", "/></ModuleLicenseNames></a>"), 400),
    ] {
        let answer = api.ask(&format!("POST {AGENT}/AssignThirdPartyLicenses"), headers, &body);
        let what = &body[..60];
        assert_eq!(answer.status, status, "{what} {answer:?}");
        assert!(answer.body.len() < 2000, "{what}: so much is not worth repeating: {}", answer.body.len());
    }
    for (headers, body) in [
        (XML, full("<LicenseInfo>", "<b/>", "</LicenseInfo>")),
        (
            XML,
            full(
                "<LicenseInfo><OwnerName>CONTOSO</OwnerName><ModuleLicenses>",
                "<ModuleLicense/>",
                "</ModuleLicenses></LicenseInfo>",
            ),
        ),
        (XML, full("<LicenseInfo><OwnerName>", "a", "</OwnerName></LicenseInfo>")),
        (XML, full("<LicenseInfo><OwnerName>CONTOSO</OwnerName><ExtraFlags>", "9", "</ExtraFlags></LicenseInfo>")),
        (XML, full("<LicenseInfo><OwnerName>CONTOSO</OwnerName><", "a", "/></LicenseInfo>")),
        ("Content-Type: text/plain\r\n", full("", "x", "xxxx")),
        ("Content-Type: text/plain\r\n", full("", "<", "")),
        ("Content-Type: text/plain\r\n", full("", "\u{1}", "")),
        (JSON, full("\"<LicenseInfo>", "&amp;", "</LicenseInfo>\"")),
    ] {
        let answer = api.ask("POST /api/v1/License?$select=reason,canbeactivated", headers, &body);
        let what = &body[..60];
        assert!(answer.status == 400 || answer.body.contains("\"CanBeActivated\":false"), "{what} {answer:?}");
        assert!(answer.body.len() < 2000, "{what}: so much is not worth repeating: {}", answer.body.len());
    }
    let ranges = format!("Accept: {}\r\n", "a/b;q=1,".repeat(1_900));
    assert_eq!(api.ask("GET /api/v1/License", &ranges, "").status, 200);
}

/// Of people who send no credentials the service holds nothing, however much they send.
#[test]
fn bodies_of_unauthenticated_callers_are_not_held() {
    let program = Program::with(&owners_data(), "info");
    let ask = |headers: &str, length: usize| {
        let mut client = program.connect();
        let head =
            format!("POST {AGENT}/GetShopUrl HTTP/1.1\r\nHost: a\r\n{headers}{JSON}Content-Length: {length}\r\n\r\n");
        let _ = client.0.write_all(head.as_bytes()).and_then(|()| client.0.write_all(&vec![b' '; length - 1]));
        client
    };
    ask("", 200_000).receive();
    let warm = program.memory();
    let mut clients: Vec<Client> = (0..200).map(|_| ask("", 256 * 1024)).collect();
    for client in &mut clients {
        assert_eq!(client.receive().status, 401);
    }
    let grown = warm.zip(program.memory()).map_or(0, |(before, after)| after - before);
    assert!(grown < 24 * 1024, "memory has grown by {grown} KiB");
}

// Who should learn nothing ------------------------------------------------------------------------------------------

/// What tells two answers apart, but for what is different in each.
fn told(answer: &Answer) -> (u16, Vec<String>, String) {
    let own = |line: &&str| {
        !line.starts_with("X-Request-Id:") && !line.starts_with("Date:") && !line.starts_with("Content-Length:")
    };
    (answer.status, answer.head.lines().filter(own).map(str::to_owned).collect(), answer.body.clone())
}

/// Whoever somebody says they are, if they are not, all they ask for is answered the same.
#[test]
fn unauthenticated_callers_learn_neither_users_nor_owners() {
    let auth = auth::Options { failures_max: u32::MAX, ..auth::Options::default() };
    let api = Api(Server::with(Options { seed: owners_data(), auth, ..Options::default() }));
    let expired = api.0.ticket_until("admin", "2020-01-01T00:00:00Z".parse().expect("a time"));
    let unknown = auth::Ticket::generate().expect("randomness").text();
    let callers = [
        String::new(),
        basic("admin", "wrong"),
        basic("nobody", PASSWORD),
        basic("gone", PASSWORD),
        format!("Authorization: Bearer {expired}\r\n"),
        format!("Authorization: SOTicket {unknown}\r\n"),
        "Authorization: SOTicket 7T:x\r\n".to_owned(),
    ];
    let mut first = None;
    for (line, body) in [
        ("GET /api/v1/License", ""),
        ("GET /api/v1/License/CONTOSO", ""),
        ("GET /api/v1/License/CONTOSO/0", ""),
        ("GET /api/v1/License/NOBODY/x/y", ""),
        ("PUT /api/v1/License/CONTOSO/101", r#"["SQLBACKUP"]"#),
        ("PUT /api/v1/License/CONTOSO/101", r#"["NOTHING"]"#),
        ("DELETE /api/v1/License/CONTOSO", ""),
        ("PATCH /api/v1/License/CONTOSO", ""),
        ("POST /api/v1/License", ""),
        ("POST /api/v1/License/ChangeSerialNumber", ""),
        ("GET /api/v1/Agents/License/GetShopUrl", ""),
        ("POST /api/v1/Agents/License/GetShopUrl", r#"{"OwnerName":"CONTOSO"}"#),
        ("POST /api/v1/Agents/License/GetShopUrl", "{}"),
        ("POST /api/v1/Agents/License/GetShopUrl", "{"),
        ("POST /api/v1/Agents/License/GetNothing", "{}"),
    ] {
        for caller in &callers {
            let answer = told(&api.bare(line, &format!("{caller}SO-TimeZone: NO\r\n"), body));
            assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "{line} {body} {caller}");
        }
    }
    assert_eq!(first.map(|(status, ..)| status), Some(401));
}

/// An owner or associate of others is as unknown as one that does not exist, wherever it is named.
#[test]
fn what_belongs_to_others_is_not_there() {
    let api = Api(Server::with_owners());
    let caller = basic("contoso", PASSWORD);
    // By what is named: the owner, the associate, or both.
    for (owners, associates) in [
        (["OUTSIDE", "SUPPOSE"], [101, 101]),
        (["CONTOSO", "CONTOSO"], [109, 999]),
        (["FABRIKAM", "SUPPOSED"], [103, 998]),
    ] {
        let mut calls: Vec<[(String, String); 2]> = Vec::new();
        // An owner of ours is asked for only where the associate makes the difference.
        let is_asked = |operation: &Operation| {
            owners[0] != owners[1] || operation.input.fields.iter().any(|field| field.name == "AssociateId")
        };
        for route in ROUTES.iter().filter(|route| is_asked(route.operation())) {
            let line = |at: usize| format!("{} {}", route.method.name(), filled(route, owners[at], associates[at]));
            let body = if route.body.is_some() { r#"["SQLBACKUP"]"# } else { "" };
            calls.push([0, 1].map(|at| (line(at), body.to_owned())));
        }
        for operation in LICENSE.operations.iter().filter(|operation| is_asked(operation)) {
            let carrier =
                |owner: &str| json!({ "OwnerName": owner, "SerialNr": "9090000099", "CompanyName": "Somebody else" });
            let license = |owner: &str| json!({ "Current": carrier(owner), "New": carrier(owner) });
            let arguments = |at: usize| {
                json!({ "OwnerName": owners[at], "ModuleOwner": owners[at], "AssociateId": associates[at],
                    "ModuleName": "SQLBACKUP", "ModuleLicenseNames": ["SQLBACKUP"], "SatelliteId": associates[at],
                    "NewCompanyName": owners[at], "NewSerialNumber": "9090000099", "FileContent": "",
                    "LicenseInfo": license(owners[at]), "NewLicense": license(owners[at]) })
            };
            calls.push([0, 1].map(|at| (format!("POST {AGENT}/{}", operation.name), arguments(at).to_string())));
        }
        for [others, nobodys] in calls {
            let ask = |(line, body): &(String, String)| told(&api.bare(line, &format!("{caller}{JSON}"), body));
            let (status, head, body) = ask(&others);
            let renamed =
                body.replace(owners[0], owners[1]).replace(&associates[0].to_string(), &associates[1].to_string());
            assert_eq!((status, head, renamed), ask(&nobodys), "{others:?}");
        }
    }
    for target in ["License", "License/User/MdoList", "License/Site/0"] {
        let answer = api.bare(&format!("GET {BASE}/{target}"), &caller, "");
        assert!(answer.body.contains("CONTOSO"), "{answer:?}");
        assert!(!answer.body.contains("OUTSIDE") && !answer.body.contains("FABRIKAM"), "{answer:?}");
    }
}

/// One count of wrong passwords, whichever surface they come to, however the name is written, whatever headers say.
#[test]
fn guesses_are_counted_across_surfaces() {
    let auth =
        auth::Options { failures_max: 3, failure_interval: Duration::from_secs(600), ..auth::Options::default() };
    let api = Api(Server::with(Options { seed: owners_data(), auth, ..Options::default() }));
    let guess = |user: &str| {
        let headers = format!("X-Forwarded-For: 192.0.2.9\r\nForwarded: for=192.0.2.8\r\n{}", basic(user, "wrong"));
        api.bare("GET /api/v1/License/CONTOSO", &headers, "").status
    };
    assert_eq!(guess("reader"), 401);
    assert_eq!(
        api.0.post11(&assign_envelope("READER", "wrong", "a", 42, "SqlBackup")).code(),
        "InvalidSoapCredentials"
    );
    assert!(api.0.authenticate("Reader", "wrong").exception().is_none(), "refused without an exception");
    assert_eq!((guess("rEADER"), guess("reader ")), (429, 429));
    assert_eq!(api.0.authenticate("reader", PASSWORD).exception().as_deref(), Some("SoServerException"));
}

/// A line that a client would like to have in the log.
const FORGED: &str = "2026-01-01T00:00:00.000000Z ERROR seatkeeper: forged";

#[test]
fn clients_cannot_write_lines_of_the_log() {
    let mut program = Program::with(&owners_data(), "info");
    let escaped = FORGED.replace(' ', "%20");
    let value = format!("x\r\n{FORGED}\u{85}\u{1b}[31m{}", "y".repeat(50_000));
    let ask = |line: &str, user: &str, content_type: &str, body: &str| {
        let length = body.len();
        let headers = format!("{}Content-Type: {content_type}\r\n", basic(user, PASSWORD));
        program
            .send(format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}").as_bytes())
    };
    let names = json!([value]).to_string();
    let mut refused = 0;
    for (line, user, content_type, body) in [
        (format!("GET /api/v1/License/x%0D%0A{escaped}/101"), "admin", "", ""),
        (format!("PUT /api/v1/License/x%0D%0A{escaped}/101"), "admin", "application/json", r#"["SQLBACKUP"]"#),
        (format!("DELETE /api/v1/License/x%0D%0A{escaped}%1B[31m"), "admin", "", ""),
        (format!("POST /api/v1/License/ChangeSerialNumber?newCompanyName=%0A{escaped}&newSerialNumber=%0D{escaped}"), "admin", "", ""),
        (format!("POST {AGENT}/%0A{escaped}"), "admin", "application/json", "{}"),
        ("PUT /api/v1/License/CONTOSO/101".to_owned(), "admin", "application/json", &names),
        ("PUT /api/v1/License/CONTOSO/101".to_owned(), FORGED, "application/json", &names),
        ("PUT /api/v1/License/CONTOSO/101".to_owned(), &format!("x\r\n{FORGED}"), "application/json", &names),
        (format!("POST {AGENT}/RemoveLicenseFromDB"), "admin", "application/json", &json!({ "ModuleOwner": value }).to_string()),
        (format!("POST {AGENT}/ActivateLicenseInfo"), "admin", "application/json",
            &json!({ "NewLicense": { "Current": { "OwnerName": value, "SerialNr": value }, "New": { "OwnerName": "CONTOSO", "NextCheckDate": value } } }).to_string()),
        (format!("POST {AGENT}/ActivateLicenseInfo"), "admin", "text/xml",
            &format!("<a><NewLicense><CanBeActivated>x&#13;&#10;{FORGED}</CanBeActivated></NewLicense></a>")),
        (format!("POST {AGENT}/GetShopUrl"), "admin", "application/json", &format!("{{\"OwnerName\": \u{1b}{FORGED}")),
    ] {
        let answer = ask(&line, user, content_type, body);
        assert!(answer.body.len() < 2000, "{line}: {answer:?}");
        refused += 1;
    }
    let log = program.kill();
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        (refused / 2..=1 + refused).contains(&lines.len()),
        "a line when it starts and at most one for each\n{log}"
    );
    for line in lines {
        assert!(!line.starts_with(FORGED) && !line.contains(|c: char| c.is_control()) && line.len() < 2000, "{line}");
    }
}

// Many at once ------------------------------------------------------------------------------------------------------

/// Associates 201 to 240 of CONTOSO.
fn many_associates() -> String {
    (201..=240)
        .map(|id| format!("INSERT INTO account (id, username, entity_id) VALUES ({id}, 'user{id}', 42);"))
        .collect()
}

/// Seats of one pool go back and forth over every surface: there are never more in use than there are, what is answered
/// adds up, and the audit says how it came about.
#[test]
fn seats_are_never_assigned_twice_over_all_surfaces() {
    let api = Api(Server::with(Options { seed: owners_data() + &many_associates(), ..Options::default() }));
    api.0.sql(
        "INSERT INTO license_offer (entity_id) VALUES (42);
         INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES
             (42, 'SkraftDiskImageV5', 10), (42, 'SqlBackup', 8), (42, 'ExchangeBackup', 7);",
    );
    let fetched =
        api.ask(&format!("POST {AGENT}/GetLicenseFromLicenseServer"), JSON, r#"{"OwnerName":"CONTOSO"}"#).body;
    let ticket = api.0.netserver_sign_in("admin");
    let started = Barrier::new(8);
    std::thread::scope(|scope| {
        let (api, started, fetched, ticket) = (&api, &started, &fetched, &*ticket);
        for thread in 0..8 {
            scope.spawn(move || {
                started.wait();
                for id in (201..=240).filter(|id| id % 4 == thread % 4) {
                    let target = format!("/api/v1/License/CONTOSO/{id}");
                    let names = r#"["SQLBACKUP"]"#;
                    let status = match thread {
                        0 | 1 => api.ask(&format!("PUT {target}"), JSON, names).status,
                        2 => {
                            let body = json!({ "ModuleOwner": "CONTOSO", "AssociateId": id, "ModuleLicenseNames": ["SQLBACKUP"] });
                            let line = format!("POST {AGENT}/AssignThirdPartyLicenses");
                            api.ask(&line, JSON, body.to_string()).status
                        }
                        3 => {
                            let arguments = format!(
                                "<AssociateId>{id}</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames>\
                                 <a:string xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">SQLBACKUP</a:string>\
                                 </ModuleLicenseNames>"
                            );
                            let answer = api.0.license_call(ticket, "AssignThirdPartyLicenses", &arguments);
                            match answer.exception().as_deref() {
                                None => answer.status,
                                Some("SoLicenseException") => 409,
                                Some(other) => panic!("{other}: {answer:?}"),
                            }
                        }
                        4 => match &*api.0.assign(&format!("user{id}"), 42, "SqlBackup").code() {
                            "Success" => 200,
                            "AlreadyExists" | "NoFreeSeat" => 409,
                            other => panic!("{id}: {other}"),
                        },
                        5 => api.ask(&format!("DELETE {target}"), JSON, names).status,
                        6 => {
                            let body = format!("{{\"NewLicense\":{fetched}}}");
                            api.ask(&format!("POST {AGENT}/ActivateLicenseInfo"), JSON, body).status
                        }
                        _ => api.ask("GET /api/v1/License/CONTOSO", "", "").status,
                    };
                    assert!(matches!(status, 200 | 409), "{thread} {id}: {status}");
                }
            });
        }
    });
    // Whoever came last, all that are left are wanted now.
    for id in 201..=240 {
        let answer = api.ask(&format!("PUT /api/v1/License/CONTOSO/{id}"), JSON, r#"["SQLBACKUP"]"#);
        assert!(matches!(answer.status, 200 | 409), "{id}: {answer:?}");
    }
    assert_eq!(api.0.violations(), []);
    let in_use: i64 = api.0.query("SELECT count(*) FROM seat WHERE account_id IS NOT NULL");
    let total: i64 =
        api.0.query("SELECT sum(seats_total) FROM license_pool WHERE entity_id = 42 AND license_type = 'SqlBackup'");
    assert_eq!(total, 8, "the offer is in force");
    assert_eq!(in_use, total, "more wanted one than there are");
    let taken: i64 = api.0.query("SELECT count(*) FROM audit_event WHERE action = 'assign'");
    let given_back: i64 = api.0.query("SELECT count(*) FROM audit_event WHERE action = 'release'");
    assert_eq!(taken - given_back, in_use);
    let answer = api.ask("GET /api/v1/License/CONTOSO?$select=ExtendedModuleLicenses", "Accept: text/xml\r\n", "").body;
    assert!(answer.contains(&format!("<NumberOfLicensesInUse>{in_use}</NumberOfLicensesInUse>")), "{answer}");
}

/// What was answered with 200 is there after a kill, and what was answered with 409 was refused for want of a seat.
#[test]
fn acknowledged_seats_survive_a_kill() {
    let database = TestDatabase::new(&(owners_data() + &many_associates()));
    let service = Serving::start(&database);
    let put = |client: &mut Client, id: i32| {
        let body = r#"["EXCHANGEBACKUP"]"#;
        let headers = format!("{}{JSON}Content-Length: {}\r\n", basic("admin", PASSWORD), body.len());
        let request = format!("PUT /api/v1/License/CONTOSO/{id} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        let _ = client.0.write_all(request.as_bytes());
        client.try_receive().map(|answer| answer.status)
    };
    let (answered, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (answered, put) = (answered.clone(), &put);
            let mut client = Client::to(service.address);
            scope.spawn(move || {
                for id in (201..=240).filter(|id| id % 4 == thread) {
                    // When the service is dead there is no answer.
                    let Some(status) = put(&mut client, id) else { return };
                    let _ = answered.send((id, status));
                }
            });
        }
        // Three have theirs, others are on their way.
        let next = || told.recv_timeout(Duration::from_secs(30)).expect("an answer");
        let first = [next(), next(), next()];
        service.kill();
        drop(answered);
        let all: Vec<(i32, u16)> = first.into_iter().chain(told.iter()).collect();
        assert!(all.iter().all(|(_, status)| matches!(status, 200 | 409)), "{all:?}");
        let kept = database.session();
        for (id, _) in all.iter().filter(|(_, status)| *status == 200) {
            let query = format!("SELECT count(*) FROM seat WHERE account_id = {id}");
            let seats: i64 = kept.value(&query);
            assert_eq!(seats, 1, "associate {id} was told of a seat");
        }
        if all.iter().any(|(_, status)| *status == 409) {
            let query = "SELECT count(*) FROM seat WHERE pool_id = 3 AND account_id IS NOT NULL";
            let taken: i64 = kept.value(query);
            assert_eq!(taken, 7, "some were refused");
        }
        assert_eq!(database.violations(), []);
    });
    let again = Serving::start(&database);
    assert!(matches!(put(&mut Client::to(again.address), 201), Some(200 | 409)));
}
