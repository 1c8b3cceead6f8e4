//! The log as operators read it: the facts of each call, the same names in every format, and nothing that a caller could forge or
//! that must stay secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::flood::Program;
use crate::harness::*;
use crate::web::basic;

const TRACE: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
const TYPE: &str = "SkraftDiskImageV5";

fn start(seed: &str, flags: &[&str]) -> Program {
    Program::limited(seed, ":", flags)
}

fn objects(log: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    log.lines().map(parse).collect()
}

/// The line about a request.
#[track_caller]
fn line_of(lines: &[Value], answer: &Answer) -> Value {
    let id = answer.header("x-request-id").expect("an id");
    let of_it: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == id).collect();
    assert_eq!(of_it.len(), 1, "{id}: {lines:#?}");
    of_it[0].clone()
}

/// These fields of a line; `null`: it has no such field.
fn picked<const N: usize>(line: &Value, names: [&str; N]) -> Value {
    names.map(|name| line[name].clone()).into()
}

fn traced(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).expect("text");
    text.replacen("\r\n", &format!("\r\n{TRACE}"), 1).into_bytes()
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes()
}

#[test]
fn each_call_is_one_line_with_its_facts() {
    let flags = ["--log-format", "json", "--log-calls", "true", "--trusted-proxies", "127.0.0.1"];
    let mut program = start(&owners_data(), &flags);
    let forwarded = |request: Vec<u8>| {
        let text = String::from_utf8(request).expect("text");
        text.replacen("\r\n", "\r\nX-Forwarded-For: 192.0.2.9\r\n", 1).into_bytes()
    };
    let assign = |user: &str| post11(&assign_envelope("AGENT", PASSWORD, user, 42, TYPE));
    let assigned = program.send(&traced(&forwarded(assign("backup01"))));
    assert_eq!(assigned.code(), "Success");
    let again = program.send(&assign("backup01"));
    let wrong = program.send(&forwarded(post11(&assign_envelope("agent", "no", "backup01", 42, TYPE))));
    let items = "<DryRun>true</DryRun><Items><AssignLicensesItem><Username>a</Username>\
        <LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SkraftDiskImageV5</LicenseType></AssignLicensesItem>\
        <AssignLicensesItem><Username>b</Username></AssignLicensesItem></Items>";
    let many = program.send(&call11("AssignLicenses", "agent", items));
    let signed_in = program.send(&authenticate("admin", PASSWORD));
    let ticket = signed_in.element("Ticket").expect("a ticket");
    let module = "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames><a:string \
        xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">SQLBACKUP</a:string></ModuleLicenseNames>";
    let by_ticket = program.send(&license(&ticket, "AssignThirdPartyLicenses", module));
    let web = program.send(&get("/api/v1/License/CONTOSO", &basic("admin", PASSWORD)));
    let web_wrong = program.send(&get("/api/v1/License/CONTOSO", &basic("admin", "no")));
    let wsdl = program.send(&get("/WebApi/AccountManagementService/LicenseManagementService.asmx?wsdl=secret", ""));
    let link = program.send(&get("/sign-in/s3cret", TRACE));
    let malformed = program.send(&post11("<a"));
    let health = program.send(&get("/healthz", ""));
    let page = program.send(&post_to(
        "/sign-in",
        "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n",
        b"user=admin&password=no",
    ));
    let log = program.kill();
    let lines = objects(&log);

    for (what, answer, names, expected) in [
        (
            "an assignment",
            &assigned,
            [
                "level",
                "message",
                "client",
                "code",
                "operation",
                "surface",
                "credential",
                "user",
                "entity",
                "license_type",
                "trace_id",
                "parent_id",
            ],
            r#"["INFO","done","192.0.2.9","Success","AssignLicense","asmx","AGENT","backup01",42,"SkraftDiskImageV5","4bf92f3577b34da6a3ce929d0e0e4736","00f067aa0ba902b7"]"#,
        ),
        (
            "a refusal",
            &again,
            [
                "level",
                "reason",
                "client",
                "code",
                "operation",
                "surface",
                "credential",
                "user",
                "entity",
                "license_type",
                "trace_id",
                "items",
            ],
            r#"["INFO","already_assigned","127.0.0.1","AlreadyExists","AssignLicense","asmx","AGENT","backup01",42,"SkraftDiskImageV5",null,null]"#,
        ),
        (
            "a wrong password",
            &wrong,
            [
                "level",
                "message",
                "client",
                "code",
                "operation",
                "surface",
                "credential",
                "reason",
                "target",
                "user",
                "owner",
                "items",
            ],
            r#"["INFO","a sign-in was refused","192.0.2.9","InvalidSoapCredentials","AssignLicense","asmx","agent","wrong_password","seatkeeper::sign_in","backup01",null,null]"#,
        ),
        (
            "many at once",
            &many,
            [
                "level",
                "items",
                "items_refused",
                "code",
                "operation",
                "surface",
                "credential",
                "reason",
                "target",
                "user",
                "owner",
                "entity",
            ],
            r#"["INFO",2,1,"InvalidInputParameters","AssignLicenses","asmx","agent","field_invalid","seatkeeper::calls",null,null,null]"#,
        ),
        (
            "a sign-in for a ticket",
            &signed_in,
            [
                "level",
                "message",
                "client",
                "code",
                "operation",
                "surface",
                "credential",
                "reason",
                "target",
                "user",
                "owner",
                "entity",
            ],
            r#"["INFO","done","127.0.0.1","Success","AuthenticateUsernamePassword","netserver","admin",null,"seatkeeper::calls",null,null,null]"#,
        ),
        (
            "a call with a ticket",
            &by_ticket,
            [
                "level",
                "message",
                "code",
                "operation",
                "surface",
                "credential",
                "reason",
                "user",
                "owner",
                "entity",
                "license_type",
                "associate",
            ],
            r#"["INFO","done","Success","AssignThirdPartyLicenses","netserver","admin",null,null,"CONTOSO",null,"SqlBackup",101]"#,
        ),
        (
            "the Web API",
            &web,
            [
                "level",
                "message",
                "code",
                "operation",
                "surface",
                "credential",
                "reason",
                "user",
                "owner",
                "entity",
                "license_type",
                "associate",
            ],
            r#"["INFO","done","Success","GetLicenseFromDB","web_api","admin",null,null,"CONTOSO",null,null,null]"#,
        ),
        (
            "a wrong password at the Web API",
            &web_wrong,
            [
                "level",
                "message",
                "code",
                "surface",
                "credential",
                "reason",
                "target",
                "client",
                "owner",
                "entity",
                "license_type",
                "associate",
            ],
            r#"["INFO","a sign-in was refused","InvalidSoapCredentials","web_api","admin","wrong_password","seatkeeper::sign_in","127.0.0.1","CONTOSO",null,null,null]"#,
        ),
        (
            "a WSDL",
            &wsdl,
            [
                "level",
                "message",
                "method",
                "path",
                "status",
                "target",
                "client",
                "bytes",
                "code",
                "surface",
                "credential",
                "operation",
            ],
            &format!(
                r#"["INFO","request","GET","/webapi/accountmanagementservice/licensemanagementservice.asmx",200,"seatkeeper::access","127.0.0.1",{},null,null,null,null]"#,
                wsdl.body.len()
            ),
        ),
        (
            "a one-time link",
            &link,
            [
                "level",
                "message",
                "method",
                "path",
                "status",
                "target",
                "trace_id",
                "surface",
                "code",
                "operation",
                "credential",
                "user",
            ],
            r#"["INFO","request","GET","/sign-in/…",404,"seatkeeper::access","4bf92f3577b34da6a3ce929d0e0e4736","pages",null,null,null,null]"#,
        ),
        (
            "no call at all",
            &malformed,
            [
                "level",
                "message",
                "code",
                "surface",
                "client",
                "target",
                "operation",
                "credential",
                "user",
                "entity",
                "owner",
                "items",
            ],
            r#"["INFO","not a call we can serve","Fault","asmx","127.0.0.1","seatkeeper::calls",null,null,null,null,null,null]"#,
        ),
        (
            "a wrong password at the pages",
            &page,
            [
                "level",
                "message",
                "code",
                "surface",
                "client",
                "target",
                "operation",
                "credential",
                "reason",
                "entity",
                "owner",
                "items",
            ],
            r#"["INFO","a sign-in was refused","InvalidSoapCredentials","pages","127.0.0.1","seatkeeper::sign_in","Pages","admin","wrong_password",null,null,null]"#,
        ),
    ] {
        let line = line_of(&lines, answer);
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!(picked(&line, names), expected, "{what}: {line:#}");
        assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{what}: {line:#}");
    }
    let id = health.header("x-request-id").expect("an id");
    assert!(!log.contains(id), "probes are not logged: {log}");
    assert!(
        wrong.message().contains(line_of(&lines, &wrong)["request_id"].as_str().expect("an id")),
        "the id of the answer"
    );
    assert!(!log.contains("wsdl=secret"), "no query");
}

#[test]
fn successes_are_logged_only_on_request() {
    let mut program = start(&owners_data(), &["--log-format", "json"]);
    program.send(&post11(&assign_envelope("agent", PASSWORD, "backup01", 42, TYPE)));
    let refused = program.send(&post11(&assign_envelope("agent", PASSWORD, "backup01", 42, TYPE)));
    program.send(&get("/WebApi/AccountManagementService/LicenseManagementService.asmx", ""));
    let lines = objects(&program.kill());
    let about_calls: Vec<&Value> = lines.iter().filter(|line| line["client"].is_string()).collect();
    assert_eq!(about_calls, [&line_of(&lines, &refused)]);
}

/// User names that try to look like something else in the log.
const HOSTILE: [&str; 9] = [
    "x client=10.0.0.1 ",
    "x\" client=10.0.0.1 reason=\"",
    "x\\\" client=10.0.0.1",
    "x\",\"client\":\"10.0.0.1\",\"message\":\"a sign-in was refused",
    "x from 10.0.0.1",
    "\n2026-01-01T00:00:00.000000Z  INFO seatkeeper::sign_in: a sign-in was refused client=10.0.0.1 reason=\"wrong_password\"",
    "\nhost seatkeeper[1]: seatkeeper::sign_in: a sign-in was refused client=10.0.0.1 ",
    "\u{85}\u{2028}\u{202e}\u{2066}1.0.0.01=tneilc\u{feff}\u{9b}31m",
    "<HOST> <ADDR> %(x)s 10.0.0.1",
];

/// One wrong password for each hostile name, over every surface that checks passwords.
fn guess_with_hostile_names(program: &Program) -> usize {
    let mut guesses = 0;
    for (number, name) in HOSTILE.iter().enumerate() {
        let in_xml = name.chars().fold(String::new(), |mut text, c| {
            let _ = write!(text, "&#{};", u32::from(c));
            text
        });
        // The name goes into the envelopes as it stands, so that escapes of XML keep it whole.
        let asmx = assign_envelope("NAME", "no", "backup01", 42, TYPE).replace("NAME", &in_xml);
        program.send(&post11(&asmx));
        program.send(
            &String::from_utf8(authenticate("NAME", "no")).map(|request| resized(&request, &in_xml)).expect("text"),
        );
        program.send(&get("/api/v1/License", &basic(name, "no")));
        let form = format!("user={}&password=no", form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>());
        let headers = "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n";
        program.send(&post_to("/sign-in", headers, form.as_bytes()));
        guesses += 4;
        assert!(number < 12, "fewer than the lines that one client gets in a minute");
    }
    guesses
}

/// A request with another name in its body, and the length that fits.
fn resized(request: &str, name: &str) -> Vec<u8> {
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    let body = body.replace("NAME", name);
    let head: String = head
        .split("\r\n")
        .map(|line| match line.split_once(':') {
            Some((field, _)) if field.eq_ignore_ascii_case("content-length") => format!("{field}: {}\r\n", body.len()),
            _ => format!("{line}\r\n"),
        })
        .collect();
    format!("{head}\r\n{body}").into_bytes()
}

#[test]
fn fail2ban_finds_the_true_address_of_every_refused_sign_in_and_no_other() {
    let tool = Command::new("fail2ban-regex").arg("--version").output();
    assert!(tool.is_ok_and(|done| done.status.success()), "install fail2ban (tests/install does)");
    let directory = TempDir::new();
    let of_journal = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM";
    for (what, first, format) in [
        ("text", ":", "human"),
        ("json", ":", "json"),
        ("unit", of_journal, "human"),
        ("unit, json", of_journal, "json"),
    ] {
        let mut program =
            Program::limited(&owners_data(), first, &["--log-format", format, "--wrong-passwords-max", "1"]);
        let mut guesses = guess_with_hostile_names(&program);
        // The second one is not checked any more.
        for _ in 0..2 {
            program.send(&post11(&assign_envelope("agent", "no", "backup01", 42, TYPE)));
            guesses += 1;
        }
        let refused = program.send(&post11(&assign_envelope("admin", PASSWORD, "x client=10.0.0.1 ", 999, TYPE)));
        assert_ne!(refused.code(), "Success");
        let log = program.kill();
        let is_journal = first != ":";
        let lines: Vec<String> = log
            .lines()
            .map(|line| match is_journal {
                // The journal takes the level off; fail2ban puts host and program in front.
                true => format!("host seatkeeper[4711]: {}", &line[line.find('>').expect("a level") + 1..]),
                false => line.to_owned(),
            })
            .collect();
        if is_journal {
            assert!(log.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{log}");
        }
        let file = directory.join("lines.log");
        std::fs::write(&file, lines.join("\n") + "\n").expect("write");
        let filter = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/fail2ban/filter.d/seatkeeper.conf");
        let done =
            Command::new("fail2ban-regex").args(["--out", "id"]).arg(&file).arg(filter).output().expect("it runs");
        let found = String::from_utf8_lossy(&done.stdout).into_owned();
        let found: Vec<&str> = found.lines().collect();
        assert_eq!(found, vec!["127.0.0.1"; guesses], "{what}: {log}");
    }
}

#[test]
fn a_guesser_causes_a_bounded_number_of_lines_and_no_error() {
    let mut program = start(&sample_data(), &["--log-format", "json"]);
    let mut client = program.connect();
    for _ in 0..300 {
        client.send(&post11(&assign_envelope("agent", "guess", "backup01", 42, TYPE)));
    }
    // What is no call at all is limited too, and a proved caller is not.
    for _ in 0..100 {
        client.send(&post11("<a"));
    }
    let proved: Vec<Answer> =
        (0..70).map(|_| client.send(&post11(&assign_envelope("reader", PASSWORD, "backup01", 1, TYPE)))).collect();
    let lines = objects(&program.kill());
    let strangers = lines
        .iter()
        .filter(|line| line["code"] == "Throttled" || line["code"] == "Fault" || line["reason"] == "wrong_password");
    let count = strangers.count();
    assert!((60..=120).contains(&count), "60 in a minute, and the test may see the next: {count}");
    assert!(lines.iter().all(|line| line["level"] == "INFO"), "{lines:#?}");
    for answer in &proved {
        line_of(&lines, answer);
    }
}

#[test]
fn a_store_that_fails_does_not_fill_the_log() {
    let database = TestDatabase::new(&sample_data());
    let mut service = crate::program::Serving::start_with(&database, &["--busy-timeout-ms", "20"]);
    let session = database.session();
    session.lock();
    for _ in 0..10 {
        let answer =
            Client::to(service.address).send(&post11(&assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup")));
        assert_eq!(answer.code(), "UnexpectedError");
    }
    session.unlock();
    let answer =
        Client::to(service.address).send(&post11(&assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup")));
    assert_eq!(answer.code(), "Success");
    wait_until("the line is read", || service.log().contains("UnexpectedError"));
    let log = service.log();
    service.ends_within(std::time::Duration::ZERO);
    let lines = objects(&log);
    let failures: Vec<&Value> = lines.iter().filter(|line| line["code"] == "UnexpectedError").collect();
    assert_eq!(failures.len(), 1, "{log}");
    assert_eq!(
        picked(failures[0], ["level", "reason", "target"]),
        serde_json::json!(["WARN", "database_locked", "seatkeeper::calls"])
    );
}

#[test]
fn nothing_secret_is_in_the_log_at_any_level() {
    let key = "UPDATE license_pool SET product_key = 'KEY-OF-THE-POOL', license_data = x'5345435245545f44415441';";
    let has_journal = std::path::Path::new("/run/systemd/journal/socket").exists();
    for format in ["human", "json", "journald"] {
        if format == "journald" && has_journal {
            continue;
        }
        let seed = owners_data() + key;
        let mut program = start(&seed, &["--log-format", format, "--log-level", "trace", "--log-calls", "true"]);
        program.send(&post11(&assign_envelope("agent", PASSWORD, "backup01", 42, TYPE)));
        let holding = "<Username>backup01</Username><LicenseType>SkraftDiskImageV5</LicenseType>";
        let details = program.send(&call11("GetAssignedLicenseDetails", "agent", holding));
        assert_eq!(details.element("ProductKey").as_deref(), Some("KEY-OF-THE-POOL"));
        program.send(&post11(&assign_envelope("agent", "wr0ng-passw0rd", "backup01", 42, TYPE)));
        let ticket = program.send(&authenticate("admin", PASSWORD)).element("Ticket").expect("a ticket");
        program.send(&license(&ticket, "GetLicenseForAllOwnersFromDB", ""));
        program.send(&license("7T:not-a-ticket", "GetLicenseForAllOwnersFromDB", ""));
        let headers = "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n";
        let body =
            format!("user=admin&password={}", form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect::<String>());
        let page = program.send(&post_to("/sign-in", headers, body.as_bytes()));
        let cookie =
            page.header("set-cookie").and_then(|cookie| cookie.split(['=', ';']).nth(1)).expect("a session").to_owned();
        program.send(&get(
            "/pools",
            &format!("Cookie: {}\r\n", page.header("set-cookie").expect("a session").split(';').next().expect("it")),
        ));
        program.send(&get("/first-admin/s3cret-link?x=s3cret-query", ""));
        program.send(&get("/x/Sign-In/s3cret-link", ""));
        let log = program.kill();
        assert!(log.lines().count() > 9, "{log}");
        if format == "journald" {
            assert!(log.contains("log_format is journald, but no journal takes lines"), "{log}");
        }
        let hash = PASSWORD_HASH.rsplit('$').next().expect("a hash");
        for secret in [
            PASSWORD,
            "wr0ng-passw0rd",
            &ticket,
            &ticket[3..],
            "not-a-ticket",
            hash,
            "KEY-OF-THE-POOL",
            "SECRET_DATA",
            "U0VDUkVUX0RBVEE",
            &cookie,
            "s3cret",
        ] {
            assert!(!log.contains(secret), "{secret}: {log}");
        }
    }
}

#[test]
fn calls_are_measured_by_operation_and_phase() {
    let server = Server::with_owners();
    assert_eq!(server.assign("backup01", 42, TYPE).code(), "Success");
    assert_eq!(server.assign("backup01", 42, TYPE).code(), "AlreadyExists");
    server.authenticate("admin", "no");
    let metrics = server.metrics.render();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse::<f64>().expect("a number"))
    };
    for (phase, count) in [("request", 2.0), ("sign_in", 1.0), ("wait", 2.0), ("transaction", 2.0), ("total", 2.0)] {
        if phase == "wait" && on_postgres() {
            continue;
        }
        let name = format!("seatkeeper_call_seconds_count{{operation=\"AssignLicense\",phase=\"{phase}\"}}");
        assert_eq!(value(&name), count, "{name}: {metrics}");
    }
    for (code, reason) in [("AlreadyExists", "already_assigned"), ("InvalidSoapCredentials", "wrong_password")] {
        let name = format!("seatkeeper_refusals_total{{code=\"{code}\",reason=\"{reason}\"}}");
        assert_eq!(value(&name), 1.0, "{name}: {metrics}");
    }
}

// The page about monitoring -----------------------------------------------------------------------------------------

/// The uses of `tracing` in the sources: level, names of fields, text. Without those of tests.
fn lines_in_sources() -> Vec<(String, BTreeSet<String>, String)> {
    let mut found = Vec::new();
    for (path, text) in crate::layers::texts() {
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for level in ["error", "warn", "info", "debug", "event"] {
            for (at, name) in text.match_indices(&format!("{level}!(")) {
                let before = &text[..at];
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    || before.lines().last().is_some_and(|l| l.trim_start().starts_with("//"))
                {
                    continue;
                }
                let arguments = arguments(&text[at + name.len()..]);
                let level = match level {
                    "event" => "info".to_owned(),
                    level => level.to_owned(),
                };
                let text = arguments.iter().find(|argument| argument.starts_with('"')).cloned().unwrap_or_default();
                let names = arguments
                    .iter()
                    .take_while(|argument| !argument.starts_with('"'))
                    .filter(|argument| !argument.starts_with("target:") && !argument.contains("Level::"))
                    .map(|argument| {
                        argument.split('=').next().unwrap_or_default().trim().trim_start_matches(['%', '?']).to_owned()
                    });
                found.push((level, names.collect(), format!("{path}: {text}")));
            }
        }
    }
    found
}

/// The arguments of a macro, from behind its opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped, mut found, mut current) = (0, false, false, Vec::new(), String::new());
    for c in text.chars() {
        match c {
            _ if quoted => {
                quoted = c != '"' || escaped;
                escaped = c == '\\' && !escaped;
            }
            '"' => quoted = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    found.push(current.trim().to_owned());
    found.retain(|argument| !argument.is_empty());
    found
}

#[test]
fn the_page_about_monitoring_has_every_message_and_field() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
    let page = std::fs::read_to_string(page).expect("the page").replace('\n', " ");
    let page = page.split("## Logs").nth(1).expect("the section");
    let lines = lines_in_sources();
    assert!(lines.len() > 50, "the sources were found: {}", lines.len());
    let mut missing = BTreeMap::new();
    for (level, names, text) in &lines {
        if level == "debug" {
            continue;
        }
        for name in names {
            if !page.contains(&format!("`{name}`")) {
                missing.entry(format!("field {name}")).or_insert_with(|| text.clone());
            }
        }
        if !["error", "warn"].contains(&level.as_str()) {
            continue;
        }
        let (_, quoted) = text.split_once(": ").expect("a path");
        let quoted = quoted.trim_matches('"').replace("\\\n", " ");
        let words = quoted.split_whitespace().collect::<Vec<_>>().join(" ");
        // Between the values that it holds.
        let pieces = words
            .split(['{', '}'])
            .step_by(2)
            .map(|piece| piece.trim_matches([' ', ':', ';', '.', ',']))
            .filter(|piece| piece.len() > 3);
        for piece in pieces {
            if !page.replace('`', "").contains(&piece.replace('`', "")) {
                missing.entry(format!("message '{piece}'")).or_insert_with(|| text.clone());
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/monitoring.md, section Logs: {missing:#?}");
}
