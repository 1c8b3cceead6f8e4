//! Named calls, at the wire: on every surface a retry gets the response of the first try, byte by byte, and the name goes with
//! one request.

use std::collections::BTreeSet;

use seatkeeper::soap::Version;
use seatkeeper::{asmx, netserver};
use serde_json::json;

use crate::flood::Program;
use crate::harness::*;
use crate::netserver_activation::{granted, presented};
use crate::surfaces::{Caller, SURFACES, Surface, Tools};
use crate::web::{AGENT, Api, JSON, OWNER, SEED, assert_error, assert_invalid, basic, parsed};

const ADDRESSING_2004: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
const ADDRESSING_2005: &str = "http://www.w3.org/2005/08/addressing";

/// Adds a header to a request.
fn with_header(request: &[u8], header: &str) -> Vec<u8> {
    let at = request.windows(2).position(|w| w == b"\r\n").expect("a first line") + 2;
    [&request[..at], header.as_bytes(), b"\r\n", &request[at..]].concat()
}

/// Adds a header block to a SOAP message.
fn with_block(request: &[u8], block: &str) -> Vec<u8> {
    let request = String::from_utf8(request.to_vec()).expect("UTF-8");
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    let body = body.replacen("<soap:Header>", &format!("<soap:Header>{block}"), 1);
    let lines = head.lines().filter(|line| !line.starts_with("Content-Length"));
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The ways to name a call of SOAP; `namespace`: that of the service.
fn named_by_soap(request: &[u8], name: &str, namespace: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("Idempotency-Key", with_header(request, &format!("Idempotency-Key: \"{name}\""))),
        ("bare Idempotency-Key", with_header(request, &format!("idempotency-key: {name}"))),
        ("RequestId", with_block(request, &format!("<RequestId xmlns=\"{namespace}\">{name}</RequestId>"))),
        ("RequestId of no namespace", with_block(request, &format!("<RequestId xmlns=\"\"> {name}\n</RequestId>"))),
        (
            "MessageID 2004",
            with_block(request, &format!("<a:MessageID xmlns:a=\"{ADDRESSING_2004}\">{name}</a:MessageID>")),
        ),
        (
            "MessageID 2005, mandatory",
            with_block(
                request,
                &format!("<a:MessageID xmlns:a=\"{ADDRESSING_2005}\" soap:mustUnderstand=\"1\">{name}</a:MessageID>"),
            ),
        ),
    ]
}

/// A request of the ASMX service, in a version.
fn asmx_call(version: Version, operation: &str, fields: &str) -> Vec<u8> {
    let body = format!("<{operation} xmlns=\"sosonlinebackup.com\"><request>{fields}</request></{operation}>");
    let envelope = envelope11(&auth_header("admin", PASSWORD), &body);
    match version {
        Version::Soap11 => call11(operation, "admin", fields),
        Version::Soap12 => post12(&to_soap12(&envelope)),
    }
}

fn assignment(username: &str) -> String {
    format!(
        "<Username>{username}</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType>"
    )
}

fn holding(username: &str) -> String {
    format!("<Username>{username}</Username><LicenseType>SqlBackup</LicenseType>")
}

/// All rows but the named calls; the time of a ticket moves on.
fn state(server: &Server) -> (i64, i64, String) {
    (
        server.query("SELECT count(*) FROM audit_event"),
        server.query("SELECT coalesce(max(id), 0) FROM named_call"),
        server.query("SELECT coalesce(group_concat(pool_id || '/' || seat_no || ':' || account_id, ' '), '') FROM seat WHERE account_id IS NOT NULL"),
    )
}

/// Sends a request twice: the second response is the first, and nothing is changed. Gives it. Under a MessageID, which may be that of a
/// template, a refusal is not kept.
#[track_caller]
fn sent_twice(server: &Server, request: &[u8], how: &str, context: &str) -> Answer {
    let (replays, at_first) = (server.metric("seatkeeper_replays_total"), state(server));
    let first = server.send(request);
    let before = state(server);
    let again = server.send(request);
    let is_kept = before != at_first;
    assert!(is_kept || how.starts_with("MessageID"), "{how} {context}");
    let without_id = |answer: &Answer| match answer.body.split_once("Err-") {
        Some((before, rest)) if !is_kept => format!("{before}{}", rest.split_once(';').expect("the end of an id").1),
        _ => answer.body.clone(),
    };
    assert_eq!((again.status, without_id(&again)), (first.status, without_id(&first)), "{how} {context}");
    assert_eq!(state(server), before, "{how} {context}");
    assert_eq!(server.metric("seatkeeper_replays_total"), replays + u64::from(is_kept), "{how} {context}");
    assert_ne!(
        again.header("x-request-id"),
        first.header("x-request-id"),
        "{how} {context}: each request has an id of its own"
    );
    first
}

#[test]
fn a_retry_of_the_agents_service_gets_the_same_response() {
    for version in Version::ALL {
        let ways = named_by_soap(&asmx_call(version, "AssignLicense", ""), "", "").len();
        for way in 0..ways {
            let server = Server::start();
            let mut number = 0;
            let mut twice = |operation: &str, fields: &str, expected: &str| {
                number += 1;
                let request = asmx_call(version, operation, fields);
                let (how, request) =
                    named_by_soap(&request, &format!("urn:call:{number}"), "sosonlinebackup.com").swap_remove(way);
                let context = format!("{version:?} {operation} {fields}");
                let answer = sent_twice(&server, &request, how, &context);
                // Of many items that of the whole is the last.
                let (_, code) = answer.body.rsplit_once("<Code>").expect("a result");
                assert_eq!(code.split('<').next(), Some(expected), "{context}");
            };
            twice("AssignLicense", &assignment("u1"), "Success");
            // Under another name.
            twice("AssignLicense", &assignment("u1"), "AlreadyExists");
            twice("AssignLicense", &assignment(""), "InvalidInputParameters");
            twice("AssignLicense", "", "InvalidInputParameters");
            twice(
                "TransferLicense",
                "<FromUsername>u1</FromUsername><ToUsername>u2</ToUsername><LicenseType>SqlBackup</LicenseType>",
                "Success",
            );
            twice("UnassignLicense", &holding("u1"), "NotAssigned");
            twice("UnassignLicense", &holding("u2"), "Success");
            let items: String = ["a", "a", "b", "c", "d"]
                .map(|u| format!("<AssignLicensesItem>{}</AssignLicensesItem>", assignment(u)))
                .concat();
            twice("AssignLicenses", &format!("<Items>{items}</Items>"), "AlreadyExists");
            twice("AssignLicense", &assignment("u3"), "NoFreeSeat");
            assert_eq!(server.violations(), []);
        }
    }
}

#[test]
fn a_name_with_another_request_is_refused_in_the_callers_protocol() {
    let server = Server::start();
    let first = call11("AssignLicense", "agent", &assignment("u1"));
    let requests = |user: &str| {
        [
            call11("AssignLicense", user, &assignment("u2")),
            call11("AssignLicense", user, &assignment("U1")),
            call11("AssignLicense", user, ""),
            call11("UnassignLicense", user, &holding("u1")),
            call11(
                "AssignLicenses",
                user,
                &format!("<Items><AssignLicensesItem>{}</AssignLicensesItem></Items>", assignment("u1")),
            ),
        ]
    };
    server.sql("UPDATE credential SET role = 'admin' WHERE user_name = 'agent'");
    for (number, way) in (0..4).enumerate() {
        let name = format!("n{number}");
        let named = |request: &[u8]| named_by_soap(request, &name, "sosonlinebackup.com").swap_remove(way);
        server.send(&named(&first).1);
        let before = state(&server);
        for other in requests("agent") {
            let (how, request) = named(&other);
            let answer = server.send(&request);
            let header = if way < 2 { "Idempotency-Key" } else { "RequestId" };
            assert_eq!(
                (answer.status, answer.element("Result").is_some(), answer.code()),
                (200, true, "InvalidInputParameters".to_owned()),
                "{how}"
            );
            assert!(
                answer.message().contains(&format!("; {header} names another request: AssignLicense ")),
                "{how}: {answer:?}"
            );
            assert!(answer.message().contains(answer.header("x-request-id").expect("an id")), "it is of this request");
        }
        assert_eq!(state(&server), before);
        // White space, prefixes and the order of elements are not the request.
        let reordered = " <LicenseType>SqlBackup</LicenseType>\n<Username>u1</Username><LicenseProviderEntityId> +42</LicenseProviderEntityId><Unknown/>";
        let first_again = server.send(&named(&first).1);
        assert_eq!(server.send(&named(&call11("AssignLicense", "agent", reordered)).1).body, first_again.body);
    }
    // A MessageID is not the developer's promise: with another request it is another call.
    for way in [4, 5] {
        let named = |request: &[u8]| named_by_soap(request, "urn:constant", "sosonlinebackup.com").swap_remove(way).1;
        for (username, expected) in [("v1", "Success"), ("v1", "Success"), ("v2", "Success"), ("v1", "AlreadyExists")] {
            assert_eq!(server.send(&named(&call11("AssignLicense", "agent", &assignment(username)))).code(), expected);
        }
        for username in ["v1", "v2"] {
            assert_eq!(server.send(&named(&call11("UnassignLicense", "agent", &holding(username)))).code(), "Success");
        }
    }
    assert_eq!(server.metric("seatkeeper_calls_total{operation=\"AssignLicense\",code=\"NameReused\"}"), 12);
}

#[test]
fn an_invalid_name_is_refused_and_an_invalid_message_id_ignored() {
    let server = Server::start();
    let request = call11("AssignLicense", "agent", &assignment("u1"));
    let (long, longest) = ("n".repeat(256), "n".repeat(255));
    for (header, why) in [
        ("Idempotency-Key:", "Idempotency-Key is empty. "),
        ("Idempotency-Key: \"\"", "Idempotency-Key is empty. "),
        ("Idempotency-Key: \"open", "Idempotency-Key is no valid string: "),
        ("Idempotency-Key: a, b", "Idempotency-Key names the call several times. "),
        ("Idempotency-Key: a\r\nIdempotency-Key: a", "Idempotency-Key names the call several times. "),
        ("Idempotency-Key: gr\u{f6}\u{df}e", "Idempotency-Key holds characters that cannot be printed. "),
        (&format!("Idempotency-Key: {long}"), "Idempotency-Key has more than 255 characters. "),
    ] {
        let answer = server.send(&with_header(&request, header));
        assert_eq!((answer.status, answer.code()), (200, "InvalidInputParameters".to_owned()), "{header}: {answer:?}");
        assert!(answer.message().contains(&format!("; {why}")), "{header}: {answer:?}");
        assert!(answer.message().ends_with(" Nothing was changed."), "{answer:?}");
    }
    let id = |text: &str| format!("<RequestId xmlns=\"sosonlinebackup.com\">{text}</RequestId>");
    for (block, why) in [
        (id(""), "RequestId is empty. "),
        (id(&long), "RequestId has more than 255 characters. "),
        (id("a\nb"), "RequestId holds characters that cannot be printed. "),
        (id("<a/>"), "RequestId holds characters that cannot be printed. "),
    ] {
        let answer = server.send(&with_block(&request, &block));
        assert_eq!(answer.code(), "InvalidInputParameters", "{block}: {answer:?}");
        assert!(answer.message().contains(&format!("; {why}")), "{block}: {answer:?}");
    }
    // A stranger learns only that it is not signed in.
    let stranger = post11(&assign_envelope("agent", "wrong", "u1", 42, "SqlBackup"));
    assert_eq!(server.send(&with_header(&stranger, "Idempotency-Key:")).code(), "InvalidSoapCredentials");
    assert_eq!(state(&server).1, 0, "nothing was kept");

    let mut expected = "Success";
    for text in ["", &long, "a\nb", "<a/>"] {
        let block = format!("<MessageID xmlns=\"{ADDRESSING_2005}\">{text}</MessageID>");
        assert_eq!(server.send(&with_block(&request, &block)).code(), expected, "{text}");
        expected = "AlreadyExists";
    }
    assert_eq!(state(&server).1, 0);
    // A block of another service is nothing to this one.
    for block in [
        "<RequestId xmlns=\"urn:other\"/>",
        "<RequestId xmlns=\"urn:other\">x</RequestId>",
        "<MessageID xmlns=\"\">x</MessageID>",
        "<RequestId xmlns=\"\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:nil=\"true\"/>",
    ] {
        assert_eq!(server.send(&with_block(&request, block)).code(), "AlreadyExists");
    }
    assert_eq!(state(&server).1, 0);
    server.send(&with_header(&request, &format!("Idempotency-Key: \"{longest}\"; a=1")));
    assert_eq!(server.query::<String>("SELECT name FROM named_call"), longest);
}

/// What a caller sees of one surface belongs to its credential alone, also after the credential has changed.
#[test]
fn a_name_of_another_credential_gets_no_answer() {
    let server = Server::start();
    let named = |user: &str| with_header(&call11("AssignLicense", user, &assignment("u1")), "Idempotency-Key: a");
    assert_eq!(server.send(&named("agent")).code(), "Success");
    assert_eq!(server.send(&named("contoso")).code(), "AlreadyExists");
    assert_eq!(server.send(&named("reader")).code(), "AccessDenied");
    assert_eq!(server.send(&named("agent")).code(), "Success");
    server.sql("UPDATE credential SET active = 0 WHERE user_name = 'agent'");
    assert_eq!(server.send(&named("agent")).code(), "InvalidSoapCredentials");
    server.sql("UPDATE credential SET active = 1 WHERE user_name = 'agent'");
    assert_eq!(server.send(&named("agent")).code(), "Success");
}

/// Names the call on any surface of the license tools.
fn named_on(surface: Surface, request: &[u8], name: &str) -> Vec<(&'static str, Vec<u8>)> {
    match surface {
        Surface::Soap(_) => named_by_soap(request, name, NAMESPACE),
        _ => named_by_soap(request, name, NAMESPACE).into_iter().take(2).collect(),
    }
}

#[test]
fn a_retry_of_a_license_tool_gets_the_same_response() {
    let modules = |user: &str, names: &str| {
        format!(
            "<AssociateId>{user}</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">{names}</ModuleLicenseNames>"
        )
    };
    let name = |name: &str| format!("<a:string>{name}</a:string>");
    let file = |license: &str| {
        format!(
            "<FileContent>{}</FileContent>",
            escape(&format!("<ExtendedLicenseInfo>{license}</ExtendedLicenseInfo>"))
        )
    };
    for surface in SURFACES {
        // All ways on one surface, one on each of the others.
        let ways = if surface == SURFACES[0] { 0..6 } else { 0..1 };
        for way in ways {
            let tools = Tools::of(surface);
            let server = &tools.server;
            server.sql("INSERT INTO license_offer (entity_id, serial_nr) VALUES (42, '1010000022'); INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 6)");
            let license = granted(&tools);
            let ticket = tools.ticket("admin");
            let mut number = 0;
            let mut statuses = Vec::new();
            let mut twice = |operation: &str, arguments: &str| {
                number += 1;
                let caller = Caller { ticket: &ticket, zone: None };
                let Some(request) = surface.request(caller, operation, arguments) else { return };
                let (how, request) = named_on(surface, &request, &format!("urn:call:{number}")).swap_remove(way);
                let answer = sent_twice(server, &request, how, &format!("{surface:?} {operation} {arguments}"));
                statuses.push(answer.status);
            };
            twice("AssignThirdPartyLicenses", &modules("101", &(name("SQLBACKUP") + &name("EXCHANGEBACKUP"))));
            twice("AssignThirdPartyLicenses", &modules("109", &name("SQLBACKUP")));
            // Refused before any rule is asked.
            twice("AssignThirdPartyLicenses", &modules("101", &name("NOPE")));
            twice("AssignThirdPartyLicenses", &modules("101", ""));
            twice("AssignThirdPartyLicenses", &modules("0", &name("SQLBACKUP")));
            twice("UnassignThirdPartyLicenses", &modules("101", &name("SQLBACKUP")));
            twice("ActivateLicenseInfo", &presented("NewLicense", &license.replacen("1010000022", "6", 1)));
            twice("ActivateLicenseInfo", "<NewLicense/>");
            twice("AddLicenseFromFile", "<FileContent>none</FileContent>");
            twice("AddLicenseFromFile", &file(&license.replacen("1010000022", "6", 1)));
            twice("AddLicenseFromFile", &file(&license));
            twice(
                "ChangeSerialNumber",
                "<NewCompanyName>Contoso Backup</NewCompanyName><NewSerialNumber>7</NewSerialNumber>",
            );
            server.sql(
                "INSERT OR IGNORE INTO license_offer (entity_id) VALUES (42); UPDATE license_offer SET serial_nr = '7'",
            );
            twice(
                "ChangeSerialNumber",
                "<NewCompanyName>Contoso Backup</NewCompanyName><NewSerialNumber>7</NewSerialNumber>",
            );
            twice("RemoveLicenseFromDB", "<ModuleOwner>CONTOSO</ModuleOwner>");
            twice("RemoveLicenseFromDB", "<ModuleOwner>FABRIKAM</ModuleOwner>");
            assert!(statuses.len() >= 10, "{surface:?}: {statuses:?}");
            assert_eq!(server.violations(), []);
        }
    }
}

/// The answer is of the first try even where it tells of what can change in between.
#[test]
fn a_retry_is_answered_with_the_numbers_of_the_first_try() {
    for tools in Tools::calling("AddLicenseFromFile") {
        tools.server.sql("INSERT INTO license_offer (entity_id, serial_nr) VALUES (42, '22')");
        let license = granted(&tools);
        let ticket = tools.ticket("admin");
        let caller = Caller { ticket: &ticket, zone: None };
        let named = |operation: &str, arguments: &str, name: &str| {
            let request = tools.surface.request(caller, operation, arguments).expect("a request");
            with_header(&request, &format!("Idempotency-Key: {name}"))
        };
        let file = |license: &str| {
            format!(
                "<FileContent>{}</FileContent>",
                escape(&format!("<ExtendedLicenseInfo>{license}</ExtendedLicenseInfo>"))
            )
        };
        let requests = [
            named("AddLicenseFromFile", &file(&license.replacen("22", "23", 1)), "refused"),
            named("AddLicenseFromFile", &file(&license), "added"),
            named(
                "AssignThirdPartyLicenses",
                "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string></ModuleLicenseNames>",
                "assigned",
            ),
        ];
        let first: Vec<Answer> = requests.iter().map(|request| tools.server.send(request)).collect();
        tools.server.sql(
            "UPDATE license_pool SET seats_total = seats_total + 90; UPDATE entity SET name = 'Renamed', grace_at = '2020-01-01T00:00:00Z' WHERE id = 42;
             INSERT INTO account (username, entity_id) VALUES ('late', 42);
             UPDATE seat SET account_id = (SELECT max(id) FROM account) WHERE pool_id = 2 AND seat_no = 5;",
        );
        for (request, first) in requests.iter().zip(first) {
            let again = tools.server.send(request);
            assert_eq!((again.status, again.body), (first.status, first.body), "{:?}", tools.surface);
        }
    }
}

/// Also of the operations whose answers tell of errors themselves.
#[test]
fn an_invalid_name_is_no_answer_of_a_license_tool() {
    let tools = Tools::start();
    let ticket = tools.ticket("admin");
    let before = state(&tools.server);
    let license = presented("NewLicense", &granted(&tools));
    let file =
        format!("<FileContent>{}</FileContent>", escape("<LicenseInfo><OwnerName>CONTOSO</OwnerName></LicenseInfo>"));
    for (operation, arguments) in [
        (
            "AssignThirdPartyLicenses",
            "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string></ModuleLicenseNames>",
        ),
        ("ActivateLicenseInfo", &license),
        ("ChangeSerialNumber", "<NewCompanyName>x</NewCompanyName><NewSerialNumber>1</NewSerialNumber>"),
        ("RemoveLicenseFromDB", "<ModuleOwner>FABRIKAM</ModuleOwner>"),
        ("AddLicenseFromFile", &file),
        ("AddLicenseFromFile", "<FileContent>none</FileContent>"),
    ] {
        for surface in SURFACES {
            let request = surface.request(Caller { ticket: &ticket, zone: None }, operation, arguments);
            let Some(request) = request else { continue };
            let answer = tools.server.send(&with_header(&request, "Idempotency-Key: \""));
            let expected = if matches!(surface, Surface::Soap(_)) { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{surface:?} {operation}: {answer:?}");
            let (exception, text) = surface.read(operation, &answer).expect_err(operation);
            assert_eq!(exception, "SoInvalidArgumentException", "{surface:?} {operation}");
            assert!(text.starts_with("Idempotency-Key is no valid string: "), "{text}");
        }
    }
    assert_eq!(state(&tools.server), before);
}

/// SOAP, agent calls and the resource share one name: a tool may retry on another surface.
#[test]
fn a_retry_may_take_another_surface() {
    let tools = Tools::start();
    let ticket = tools.ticket("agent");
    let arguments = "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner><ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string></ModuleLicenseNames>";
    let mut before = None;
    for surface in SURFACES {
        let request = surface.request(Caller { ticket: &ticket, zone: None }, "AssignThirdPartyLicenses", arguments);
        let answer = tools.server.send(&with_header(&request.expect("a request"), "Idempotency-Key: \"one\""));
        assert_eq!(answer.status, 200, "{answer:?}");
        let after = state(&tools.server);
        assert_eq!(before.get_or_insert_with(|| after.clone()), &after, "{surface:?}");
    }
    assert_eq!(tools.server.metric("seatkeeper_replays_total"), SURFACES.len() as u64 - 1);
}

#[test]
fn the_web_api_answers_422_to_a_name_of_another_request() {
    let api = Api::start();
    let key = format!("{JSON}Idempotency-Key: \"k\"\r\n");
    let put = |body: &str| api.ask(&format!("PUT {OWNER}/7"), &key, body);
    assert_eq!(put("[\"SQLBACKUP\"]").status, 200);
    let before = state(&api.0);
    assert_error(&put("[\"EXCHANGEBACKUP\"]"), 422, "SoInvalidArgumentException");
    let answer = api.ask(&format!("DELETE {OWNER}/7"), &key, "[\"SQLBACKUP\"]");
    assert_error(&answer, 422, "SoInvalidArgumentException");
    let text = parsed(&answer)["ErrorMessage"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("Idempotency-Key names another request: AssignThirdPartyLicenses "), "{text}");
    let line = format!("POST {AGENT}/AssignThirdPartyLicenses");
    let body = json!({ "AssociateId": 8, "ModuleOwner": "CONTOSO", "ModuleLicenseNames": ["SQLBACKUP"] });
    assert_error(&api.ask(&line, &key, body.to_string()), 422, "SoInvalidArgumentException");
    assert_eq!(put("[ \"SQLBACKUP\" ]").status, 200, "as before");

    // An invalid name is an invalid argument; what only reads does not look at it.
    let invalid = format!("{JSON}Idempotency-Key: \"\r\n");
    assert_error(&api.ask(&format!("PUT {OWNER}/8"), &invalid, "[\"SQLBACKUP\"]"), 400, "SoInvalidArgumentException");
    assert_invalid(&api.ask(&line, &invalid, body.to_string()));
    assert_eq!(api.ask(&format!("GET {OWNER}"), &invalid, "").status, 200);
    assert_eq!(api.bare(&format!("PUT {OWNER}/8"), &invalid, "[\"SQLBACKUP\"]").status, 401);
    assert_eq!(state(&api.0), before);
}

/// Over SOAP NetServer's way to refuse is an exception in the header.
#[test]
fn netserver_refuses_a_name_of_another_request_by_exception() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("admin");
    let call =
        |operation: &str, arguments: &str| with_header(&license(&ticket, operation, arguments), "Idempotency-Key: x");
    let remove = |owner: &str| call("RemoveLicenseFromDB", &format!("<ModuleOwner>{owner}</ModuleOwner>"));
    assert_eq!(server.send(&remove("FABRIKAM")).exception(), None);
    for request in [
        remove("CONTOSO"),
        remove(""),
        call("ChangeSerialNumber", "<NewCompanyName>x</NewCompanyName><NewSerialNumber>1</NewSerialNumber>"),
    ] {
        let answer = server.send(&request);
        assert_eq!(answer.exception().as_deref(), Some("SoInvalidArgumentException"), "{answer:?}");
        assert!(answer.message().contains("Idempotency-Key names another request: RemoveLicenseFromDB "), "{answer:?}");
    }
    // Header blocks may stand beside Header there, in any edition's namespace.
    let beside = |namespace: &str| {
        let body = format!(
            "<RemoveLicenseFromDB xmlns=\"{NAMESPACE}\"><ModuleOwner>CONTOSO</ModuleOwner></RemoveLicenseFromDB>"
        );
        let envelope = envelope11("", &body).replace(
            "<soap:Header></soap:Header>",
            &format!("{}<RequestId xmlns=\"{namespace}\">x</RequestId>", credentials(&ticket)),
        );
        server.send(&post_to(LICENSE_PATH, "Content-Type: text/xml\r\n", envelope.as_bytes())).exception()
    };
    for namespace in [NAMESPACE, "", "http://www.superoffice.net/ws/crm/NetServer/Services88"] {
        assert_eq!(beside(namespace).as_deref(), Some("SoInvalidArgumentException"), "{namespace}");
    }
    assert_eq!(beside("sosonlinebackup.com"), None, "a block of another service");
}

/// What an operation says of itself is so: of a named call that changes something an outcome is kept, and of no other.
#[test]
fn operations_say_whether_they_can_be_named() {
    let server = Server::with(Options { seed: sample_data() + SEED, ..Options::default() });
    let ticket = server.netserver_sign_in("admin");
    let mut kept = BTreeSet::new();
    let mut newly_kept = |name: &str| {
        let now: i64 = server.query(&format!("SELECT count(*) FROM named_call WHERE operation = '{name}'"));
        now > 0 && kept.insert(name.to_owned())
    };
    for operation in asmx::CONTRACT.operations {
        server
            .send(&with_header(&call11(operation.name, "admin", ""), &format!("Idempotency-Key: {}", operation.name)));
        assert_eq!(newly_kept(operation.name), operation.changes, "{}", operation.name);
    }
    let arguments = "<OwnerName>CONTOSO</OwnerName><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>7</AssociateId><ModuleName>SQLBACKUP</ModuleName>
        <NewCompanyName>x</NewCompanyName><NewSerialNumber>1</NewSerialNumber><FileContent>x</FileContent>";
    for operation in netserver::LICENSE.operations {
        // With arguments and without.
        for arguments in [arguments, ""] {
            let name = operation.name;
            server.send(&with_header(&license(&ticket, name, arguments), &format!("Idempotency-Key: {name}")));
        }
        assert_eq!(newly_kept(operation.name), operation.changes, "{}", operation.name);
    }
    for operation in netserver::SO_PRINCIPAL.operations {
        assert!(!operation.changes);
        let arguments = format!("<UserName>admin</UserName><Password>{PASSWORD}</Password>");
        let request = server.netserver_call(
            &netserver::SO_PRINCIPAL,
            &format!("<MessageID xmlns=\"{ADDRESSING_2005}\">urn:x</MessageID>"),
            operation.name,
            &arguments,
        );
        assert_eq!(request.status, 200);
        assert!(!newly_kept(operation.name), "a ticket is a secret");
    }
}

/// While the first call is still running the others wait for it, whether they share its commit or not.
#[test]
fn callers_at_once_with_one_name_are_one_call() {
    const CALLERS: usize = 32;
    let server = Server::start();
    let request = with_header(&call11("AssignLicense", "agent", &assignment("u1")), "Idempotency-Key: one");
    server.send(&call11("AssignLicense", "agent", ""));
    let started = std::sync::Barrier::new(CALLERS);
    let connections: Vec<Client> = (0..CALLERS).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for mut connection in connections {
            let (started, request) = (&started, &request);
            scope.spawn(move || {
                started.wait();
                assert_eq!(connection.send(request).code(), "Success");
            });
        }
    });
    assert_eq!(server.metric("seatkeeper_replays_total"), CALLERS as u64 - 1);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event WHERE action = 'assign'"), 1);
}

/// A page of a listed origin may send the header.
#[test]
fn pages_may_name_their_calls() {
    let api = Api::with("https://tools.example");
    let headers = "Origin: https://tools.example\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization,content-type,idempotency-key\r\n";
    let answer = api.bare(&format!("OPTIONS {OWNER}/7"), headers, "");
    assert_eq!(answer.status, 204);
    let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
    assert!(allowed.split(',').any(|name| name.trim().eq_ignore_ascii_case("idempotency-key")), "{answer:?}");
}

#[test]
fn the_log_says_that_a_response_is_a_replay() {
    let mut program = Program::with(&(sample_data() + SEED), "info");
    let request = with_header(&call11("AssignLicense", "agent", &assignment("u1")), "Idempotency-Key: a");
    let first = program.send(&request).header("x-request-id").expect("an id").to_owned();
    let again = program.send(&request).header("x-request-id").expect("an id").to_owned();
    let head = format!(
        "PUT {OWNER}/7 HTTP/1.1\r\nHost: test.example\r\n{}{JSON}Idempotency-Key: b\r\nContent-Length: 13\r\n\r\n",
        basic("agent", PASSWORD)
    );
    let web = format!("{head}[\"SQLBACKUP\"]").into_bytes();
    let web_first = program.send(&web).header("x-request-id").expect("an id").to_owned();
    let web_again = program.send(&web).header("x-request-id").expect("an id").to_owned();
    let log = program.kill();
    for (first, again) in [(first, again), (web_first, web_again)] {
        let line = log.lines().find(|line| line.contains(&again)).unwrap_or_else(|| panic!("{again} in {log}"));
        assert!(line.contains(&format!("a replay of call {first}")), "{line}");
        assert!(line.contains("code=\"Success\""), "{line}");
    }
}
