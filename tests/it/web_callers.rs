//! The Web API at the wire, as tables: who may call, and what else the headers of a request do.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seatkeeper::auth;
use seatkeeper::store;
use serde_json::json;

use crate::flood::Program;
use crate::harness::*;
use crate::web::*;

// Headers -----------------------------------------------------------------------------------------------------------

const CHALLENGE: &str = "Basic realm=\"SuperOffice\", charset=\"UTF-8\"";

#[test]
fn unauthenticated_callers_learn_nothing_else() {
    // Ten wrong passwords would slow the next one down.
    let auth = auth::Options { failures_max: u32::MAX, ..auth::Options::default() };
    let api = Api(Server::with(Options { seed: sample_data() + SEED, auth, ..Options::default() }));
    let mut bodies = Vec::new();
    for (line, headers, body) in [
        ("GET /api/v1/License/CONTOSO", "", ""),
        ("GET /api/v1/License/NOBODY", "", ""),
        ("GET /api/v1/License", "Accept: nonsense\r\n", ""),
        ("GET /api/v1/Nothing", "", ""),
        ("GET /api/v2", "", ""),
        ("PATCH /api/v1/License/CONTOSO", "", ""),
        ("PUT /api/v1/License/CONTOSO/7", "Content-Type: text/plain\r\n", "x"),
        ("DELETE /api/v1/License/CONTOSO", "", ""),
        ("POST /api/v1/License", JSON, "{"),
        ("GET /api/v1/Agents/License/GetLicenseFromDB", "", ""),
        ("PUT /api/v1/Agents/License/GetLicenseFromDB", "", ""),
        ("POST /api/v1/Agents/License/GetLicenseFromDB", JSON, "{"),
        ("POST /api/v1/Agents/License/GetLicenseFromDB", JSON, "{}"),
        ("POST /api/v1/Agents/License/GetLicenseFromDB", "Content-Type: text/plain\r\n", "x"),
        ("POST /api/v1/Agents/License/GetNothing", JSON, "{}"),
        // There are no sessions of browsers.
        ("GET /api/v1/License/CONTOSO", "X-XSRF-TOKEN: 1234\r\n", ""),
        ("GET /api/v1/License/CONTOSO", "X-XSRF-TOKEN: 1234\r\nCookie: XSRF_TOKEN=1234\r\n", ""),
        ("GET /api/v1/License/CONTOSO", "SO-AppToken: 1234\r\n", ""),
    ] {
        let wrong = basic("admin", "wrong");
        for headers in [headers.to_owned(), format!("{wrong}{headers}")] {
            let answer = api.bare(line, &headers, body);
            assert_error(&answer, 401, "SoSessionException");
            assert_eq!(answer.header("www-authenticate"), Some(CHALLENGE), "{line} {headers}");
            bodies.push(answer.body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[test]
fn authorization() {
    let api = Api::start();
    let ticket = api.0.netserver_sign_in("admin");
    let good = BASE64.encode(format!("admin:{PASSWORD}"));
    for (value, status) in [
        (format!("Basic {good}"), 200),
        (format!("basic {good}"), 200),
        (format!("BASIC   {good}  "), 200),
        (format!("SOTicket {ticket}"), 200),
        (format!("SoTicket {ticket}"), 200),
        (format!("soticket {ticket}"), 200),
        (format!("SOTICKET {ticket}"), 200),
        (format!("Bearer {ticket}"), 200),
        (format!("bearer {ticket}"), 200),
        // Only where one signs in does a ticket stand for a user name.
        (format!("Basic {}", BASE64.encode(format!("{ticket}:"))), 401),
        (format!("Basic {}", BASE64.encode("admin:wrong")), 401),
        (format!("Basic {}", BASE64.encode(format!("nobody:{PASSWORD}"))), 401),
        (format!("Basic {}", BASE64.encode(format!("gone:{PASSWORD}"))), 401),
        (format!("Basic {}", BASE64.encode("admin")), 401),
        (format!("Basic {}", BASE64.encode(":")), 401),
        (format!("Basic {}", BASE64.encode("")), 401),
        (format!("Basic {}", BASE64.encode(b"admin:\xFF\xFE")), 401),
        (format!("Basic {}", good.trim_end_matches('=').to_owned() + "!"), 401),
        (format!("Basic admin:{PASSWORD}"), 401),
        (format!("Basic={good}"), 401),
        ("Basic".to_owned(), 401),
        ("Basic ".to_owned(), 401),
        (String::new(), 401),
        (good.clone(), 401),
        (format!("Bearer {good}"), 401),
        (format!("SOTicket {good}"), 401),
        (format!("SOTicket {}", BASE64.encode(&ticket)), 401),
        (format!("SOTicket {}", ticket.to_lowercase()), 401),
        (format!("SOTicket {}x", ticket), 401),
        ("SOTicket 7T:AAAA".to_owned(), 401),
        ("SOTicket".to_owned(), 401),
        ("Bearer".to_owned(), 401),
        (format!("Token {ticket}"), 401),
        (format!("Negotiate {good}"), 401),
        ("NTLM TlRMTVNTUAABAAAA".to_owned(), 401),
        ("Digest username=\"admin\"".to_owned(), 401),
        (format!("Basic {good}, Basic {good}"), 401),
        (format!("Basic {good}\r\nAuthorization: Basic {good}"), 401),
        ("Basic gr\u{f6}\u{df}e".to_owned(), 401),
    ] {
        let answer = api.bare(&format!("GET {OWNER}"), &format!("Authorization: {value}\r\n"), "");
        assert_eq!(answer.status, status, "{value:?} {answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some(CHALLENGE).filter(|_| status == 401), "{value:?}");
        if status == 401 {
            assert_error(&answer, 401, "SoSessionException");
        }
    }
    let with_xsrf = api.ask(&format!("GET {OWNER}"), "X-XSRF-TOKEN: 1\r\nSO-AppToken: 2\r\n", "");
    assert_eq!(with_xsrf.status, 200, "passed over beside a sign-in");
    api.0.sql("UPDATE credential SET active = 0 WHERE user_name = 'admin'");
    for value in [format!("SOTicket {ticket}"), format!("Basic {good}")] {
        let answer = api.bare(&format!("GET {OWNER}"), &format!("Authorization: {value}\r\n"), "");
        assert_error(&answer, 401, "SoSessionException");
    }
}

/// RFC 7617 has it in UTF-8, which is told with the challenge; older clients know nothing of it.
#[test]
fn passwords_beyond_ascii() {
    let api = Api::start();
    let hash = auth::hash_password("schl\u{fc}ssel:\u{df}").expect("a hash");
    api.0.sql(&format!(
        "INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('j\u{f6}rg', '{hash}', 42, 'reader')"
    ));
    let text = "j\u{f6}rg:schl\u{fc}ssel:\u{df}";
    let latin1: Vec<u8> = text.chars().map(|c| c as u8).collect();
    for bytes in [text.as_bytes(), &latin1] {
        let headers = format!("Authorization: Basic {}\r\n", BASE64.encode(bytes));
        assert_eq!(api.bare(&format!("GET {OWNER}"), &headers, "").status, 200, "{bytes:?}");
    }
}

/// As over SOAP; HTTP has statuses for it.
#[test]
fn a_slowed_sign_in_says_how_long_to_wait() {
    let auth =
        auth::Options { failures_max: 2, failure_interval: Duration::from_secs(600), ..auth::Options::default() };
    let seed = sample_data() + SEED;
    let api = Api(Server::with(Options { seed, auth, ..Options::default() }));
    let mut bodies = Vec::new();
    for user in ["reader", "nobody", "gone"] {
        for status in [401, 401, 429] {
            let answer = api.bare(&format!("GET {OWNER}"), &basic(user, "wrong"), "");
            assert_eq!(answer.status, status, "{user} {answer:?}");
            let wait = answer.header("retry-after").map(|seconds| seconds.parse::<u64>().expect("a number"));
            assert!(wait.map_or(status != 429, |seconds| (1..=601).contains(&seconds)), "{answer:?}");
            if status == 429 {
                assert_error(&answer, 429, "SoServerException");
                bodies.push(answer.body.split("Wait").next().map(str::to_owned));
            }
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[test]
fn a_locked_database_is_worth_another_try() {
    let store = store::Options { busy_timeout: Duration::from_millis(500), ..store::Options::default() };
    let api = Api(Server::with(Options { seed: sample_data() + SEED, store, ..Options::default() }));
    let other = api.0.database().session();
    other.lock();
    let answer = api.ask(&format!("PUT {OWNER}/8"), JSON, r#"["SQLBACKUP"]"#);
    assert_error(&answer, 503, "SoServerException");
    assert_eq!(answer.header("retry-after"), Some("5"));
    other.unlock();
    assert_eq!(api.ask(&format!("PUT {OWNER}/8"), JSON, r#"["SQLBACKUP"]"#).status, 200);
}

/// Also those that are told in an answer that has nothing wrong with it.
#[test]
fn refusals_are_counted_by_their_code() {
    let api = Api::start();
    for (operation, arguments) in [
        ("RemoveLicenseFromDB", json!({ "ModuleOwner": "NOBODY" })),
        ("RemoveLicenseFromDB", json!({ "ModuleOwner": "CONTOSO" })),
        ("ChangeSerialNumber", json!({ "NewCompanyName": "x", "NewSerialNumber": "y" })),
        ("ActivateLicenseInfo", json!({ "NewLicense": {} })),
    ] {
        let answer = api.call(operation, arguments);
        assert_eq!((answer.status, &parsed(&answer)["Succeeded"]), (200, &json!(false)), "{answer:?}");
    }
    assert_eq!(api.call("GetShopUrl", json!({ "OwnerName": "CONTOSO" })).status, 200);
    assert_eq!(api.call("GetShopUrl", json!({})).status, 400);
    api.0.authenticate("admin", "wrong");
    api.0.authenticate("admin", PASSWORD);
    let metrics = api.0.metrics.render();
    for (operation, code, calls) in [
        ("RemoveLicenseFromDB", "ObjectEntityMismatch", 1),
        ("RemoveLicenseFromDB", "LicenseNotAccepted", 1),
        ("ChangeSerialNumber", "LicenseNotAccepted", 1),
        ("ActivateLicenseInfo", "LicenseNotAccepted", 1),
        ("GetShopUrl", "Success", 1),
        ("GetShopUrl", "InvalidInputParameters", 1),
        ("AuthenticateUsernamePassword", "InvalidSoapCredentials", 1),
        ("AuthenticateUsernamePassword", "Success", 1),
    ] {
        let line = format!("seatkeeper_calls_total{{operation=\"{operation}\",code=\"{code}\"}} {calls}\n");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}

#[test]
fn roles() {
    let api = Api::start();
    let by = |user: &str, line: &str, body: &str| api.bare(line, &format!("{}{JSON}", basic(user, PASSWORD)), body);
    let names = r#"["SQLBACKUP"]"#;
    for (user, line, body, status) in [
        ("reader", "GET /api/v1/License/CONTOSO", "", 200),
        ("reader", "PUT /api/v1/License/CONTOSO/7", names, 403),
        ("agent", "PUT /api/v1/License/CONTOSO/7", names, 200),
        ("agent", "DELETE /api/v1/License/CONTOSO/7", names, 403),
        ("agent", "DELETE /api/v1/License/CONTOSO", "", 403),
        ("agent", "POST /api/v1/License/ChangeSerialNumber?newCompanyName=a&newSerialNumber=b", "", 403),
        ("admin", "DELETE /api/v1/License/CONTOSO/7", names, 200),
    ] {
        let answer = by(user, line, body);
        assert_eq!(answer.status, status, "{user} {line} {answer:?}");
        if status == 403 {
            assert_error(&answer, 403, "SoSentryException");
        }
    }
}

/// Texts are in one language, and nothing is ever not modified.
#[test]
fn headers_without_effect() {
    let api = Api::start();
    let plain = api.ask(&format!("GET {OWNER}"), "", "");
    for header in [
        "Accept-Language: nb-NO",
        "Accept-Language: *",
        "Accept-Language: fr,de,ru,zh",
        "Accept-Language: ;;;q=9",
        "SO-Language: *",
        "SO-Language: x",
        "SO-Language: -",
        "SO-Language: klingon",
        "SO-Language:",
        "SO-Culture: nb-NO",
        "SO-Culture: ???",
        "SO-AppToken: secret",
        "SO-Browser-TZ-Offset: -120",
        "SO-Browser-TZ-Offset: x",
        "If-Modified-Since: Sat, 01 Jan 2090 00:00:00 GMT",
        "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
        "If-None-Match: *",
        "If-Match: \"x\"",
        "Range: bytes=0-1",
        "Accept-Encoding: gzip, br",
        "Accept-Charset: utf-16",
        "Content-Type: text/plain",
        "Cookie: a=b; XSRF_TOKEN=x",
        "X-Requested-With: XMLHttpRequest",
        "X-HTTP-Method-Override: DELETE",
        "SO-Language: gr\u{f6}\u{df}e",
    ] {
        let answer = api.ask(&format!("GET {OWNER}"), &format!("{header}\r\n"), "");
        assert_eq!((answer.status, &answer.body), (200, &plain.body), "{header}");
        let names = |answer: &Answer| {
            answer.head.lines().skip(1).filter_map(|l| Some(l.split_once(':')?.0.to_lowercase())).collect::<Vec<_>>()
        };
        assert_eq!(names(&answer), names(&plain), "{header}");
    }
}

#[test]
fn every_answer_is_for_its_caller_only() {
    let api = Api::start();
    for (line, headers) in [
        ("GET /api", ""),
        ("GET /api/v1/openapi.json", ""),
        ("GET /api/v1/License/CONTOSO", ""),
        ("GET /api/v1/License/CONTOSO", "Accept: text/xml\r\n"),
        ("GET /api/v1/License/NOBODY", ""),
        ("PATCH /api/v1/License/NOBODY", ""),
        ("OPTIONS /api/v1/License", ""),
        ("GET /api/nothing", ""),
        ("POST /api/v1/Agents/License/GetShopUrl", "Content-Type: x/y\r\n"),
    ] {
        for answer in [api.ask(line, headers, ""), api.bare(line, headers, "")] {
            assert_eq!(answer.header("cache-control"), Some("no-store, no-cache"), "{line}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
            assert!(answer.header("x-request-id").is_some(), "{line}");
            assert_eq!((answer.header("etag"), answer.header("set-cookie")), (None, None), "{line}");
        }
    }
}

/// With the id of an answer the operator finds what became of the call.
#[test]
fn every_call_is_in_the_log_under_the_id_of_its_answer() {
    let mut program = Program::with(&(sample_data() + SEED), "debug");
    let ask_as = |password: &str, line: &str, body: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: test.example\r\n{}{JSON}", basic("agent", password));
        let answer = program.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        (answer.status, answer.header("x-request-id").expect("an id").to_owned())
    };
    let ask = |line: &str, body: &str| ask_as(PASSWORD, line, body);
    let calls = [
        (
            ask("PUT /api/v1/License/CONTOSO/7", r#"["SQLBACKUP"]"#),
            200,
            "done",
            "operation=\"AssignThirdPartyLicenses\"",
        ),
        (ask("GET /api/v1/License/CONTOSO/-1", ""), 400, "AssociateId", "code=\"InvalidInputParameters\""),
        (
            ask("POST /api/v1/Agents/License/GetShopUrl", "{\u{1b}"),
            400,
            "not a call we can serve",
            "The body is not JSON",
        ),
        (ask("DELETE /api/v1/License/CONTOSO", ""), 403, "The role 'agent'", "code=\"AccessDenied\""),
        (
            ask_as("wrong", "GET /api/v1/Agents/License/GetShopUrl", ""),
            401,
            "a sign-in was refused",
            "code=\"InvalidSoapCredentials\"",
        ),
        (
            ask_as("wrong", "POST /api/v1/Agents/License/GetShopUrl", "["),
            401,
            "a sign-in was refused",
            "code=\"InvalidSoapCredentials\"",
        ),
    ];
    let log = program.kill();
    for ((status, id), expected, says, field) in calls {
        assert_eq!(status, expected, "{says}");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
        assert!(matches!(lines[..], [line] if line.contains(says) && line.contains(field)), "{says}: {lines:?}");
    }
    assert!(!log.contains(PASSWORD), "{log}");
}

// Pages of other origins --------------------------------------------------------------------------------------------

#[test]
fn origins() {
    const ASKS: &str =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, so-timezone\r\n";
    const LISTED: &str = "https://tools.example https://other.example:8443";
    for (allowed, origin, told) in [
        ("", "https://tools.example", false),
        ("", "null", false),
        (LISTED, "https://tools.example", true),
        (LISTED, "https://other.example:8443", true),
        (LISTED, "https://other.example", false),
        (LISTED, "http://tools.example", false),
        (LISTED, "https://tools.example.evil.example", false),
        (LISTED, "https://evil.example/https://tools.example", false),
        (LISTED, "null", false),
        ("*", "https://anybody.example", true),
        ("http://localhost*", "http://localhost:4200", true),
        ("http://localhost*", "http://localhost.evil.example", false),
        ("https://*.example", "https://tools.example", true),
    ] {
        let api = Api::with(allowed);
        let header = format!("Origin: {origin}\r\n");
        let preflight = api.bare(&format!("OPTIONS {OWNER}"), &format!("{header}{ASKS}"), "");
        let answers = [
            api.ask(&format!("GET {OWNER}"), &header, ""),
            api.ask("GET /api/v1/License/NOBODY", &header, ""),
            api.bare(&format!("GET {OWNER}"), &header, ""),
            api.bare("GET /api", &header, ""),
        ];
        let told = told.then_some(origin);
        assert_eq!(preflight.status, 204, "nobody signs in for that: {preflight:?}");
        for answer in answers.iter().chain([&preflight]) {
            let said = answer.header("access-control-allow-origin");
            assert_eq!(said, told, "{allowed:?} {origin} {answer:?}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "no cookies");
            assert_eq!(answer.header("vary").is_some_and(|v| v.contains("Origin")), !allowed.is_empty(), "{answer:?}");
        }
        let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
        let headers = preflight.header("access-control-allow-headers");
        assert_eq!(["GET", "POST", "PUT", "DELETE"].iter().all(|m| methods.contains(m)), told.is_some());
        assert_eq!(headers, told.map(|_| "authorization, so-timezone"), "whatever is asked for");
    }
    // Without an origin nothing is told to anybody.
    let answer = Api::with(LISTED).ask(&format!("GET {OWNER}"), "", "");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}
