//! A caller of the Web API, for tests of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use crate::harness::*;
use crate::validator;

/// An owner with 10 SkraftDiskImageV5 seats, one of them associate 7's, and 3 SqlBackup seats; dates in winter and summer.
pub const SEED: &str = "
    UPDATE entity SET owner_name = 'CONTOSO', owner_description = 'Contoso <R&D>', serial_nr = '1010000014',
        shop_url = 'https://shop.example/?a=1&b=2', next_check_at = '2097-01-31T00:00:00Z',
        maintenance_at = '2097-07-31T12:34:56Z', expires_at = '2098-02-28T23:59:59Z' WHERE id = 42;
    INSERT INTO account (id, username, entity_id) VALUES (7, 'backup07', 42), (8, 'backup08', 42);
    INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, 'SkraftDiskImageV5', 10);
    UPDATE seat SET account_id = 7 WHERE pool_id = 3 AND seat_no = 1;";

pub const OWNER: &str = "/api/v1/License/CONTOSO";
pub const AGENT: &str = "/api/v1/Agents/License";

/// A caller of the Web API.
pub struct Api(pub Server);

impl Api {
    pub fn start() -> Api {
        Api::with("")
    }

    pub fn with(cors_origins: &'static str) -> Api {
        Api(Server::with(Options { seed: sample_data() + SEED, cors_origins, ..Options::default() }))
    }

    /// By `admin`. `line` is method and target; each header ends in CR LF.
    pub fn ask(&self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        self.bare(line, &format!("{}{headers}", basic("admin", PASSWORD)), body)
    }

    /// Without credentials. Reads until the service closes, so that also an answer without a body ends.
    pub fn bare(&self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{line} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n{headers}{length}\r\n");
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.0.address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        stream.write_all(request).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
        validator::check_xml(&answer);
        answer
    }

    /// An agent call with a JSON body.
    pub fn call(&self, operation: &str, arguments: Json) -> Answer {
        self.ask(&format!("POST {AGENT}/{operation}"), JSON, arguments.to_string())
    }
}

pub const JSON: &str = "Content-Type: application/json\r\n";

pub fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{user}:{password}")))
}

pub fn parsed(answer: &Answer) -> Json {
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

/// The resource's error, of this kind.
#[track_caller]
pub fn assert_error(answer: &Answer, status: u16, error_type: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = parsed(answer);
    let names: Vec<&String> = error.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["Error", "ErrorType", "ErrorMessage", "ErrorSource"]);
    assert_eq!((&error["Error"], &error["ErrorType"]), (&json!(true), &json!(error_type)), "{answer:?}");
    assert!(error["ErrorMessage"].as_str().is_some_and(|text| !text.is_empty()));
}

/// What an agent call answers to arguments that cannot be meant.
#[track_caller]
pub fn assert_invalid(answer: &Answer) {
    assert_eq!(answer.status, 400, "{answer:?}");
    let error = parsed(answer);
    assert_eq!(error.as_object().expect("an object").keys().collect::<Vec<_>>(), ["Message", "MessageDetail"]);
    assert_eq!(error["Message"], "The request is invalid.");
}
