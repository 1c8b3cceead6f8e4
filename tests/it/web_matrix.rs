//! The Web API at the wire: what it makes of headers, bodies, paths and queries, as tables. What the operations do is told
//! elsewhere; here it is how one asks and in which form one is answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seatkeeper::auth;
use seatkeeper::contract::netserver::LICENSE;
use seatkeeper::store::sqlite;
use serde_json::{Value as Json, json};

use crate::flood::Program;
use crate::harness::*;
use crate::validator;

/// An owner with 10 SkraftDiskImageV5 seats, one of them associate 7's, and 3 SqlBackup seats; dates in winter and summer.
const SEED: &str = "
    UPDATE entity SET owner_name = 'CONTOSO', owner_description = 'Contoso <R&D>', serial_nr = '1010000014',
        shop_url = 'https://shop.example/?a=1&b=2', next_check_at = '2097-01-31T00:00:00Z',
        maintenance_at = '2097-07-31T12:34:56Z', expires_at = '2098-02-28T23:59:59Z' WHERE id = 42;
    INSERT INTO account (id, username, entity_id) VALUES (7, 'backup07', 42), (8, 'backup08', 42);
    INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, 'SkraftDiskImageV5', 10);
    UPDATE seat SET account_id = 7 WHERE pool_id = 3 AND seat_no = 1;";

const OWNER: &str = "/api/v1/License/CONTOSO";
pub const AGENT: &str = "/api/v1/Agents/License";

/// A caller of the Web API.
pub struct Api(pub Server);

impl Api {
    pub fn start() -> Api {
        Api::with("")
    }

    fn with(cors_origins: &'static str) -> Api {
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
    fn call(&self, operation: &str, arguments: Json) -> Answer {
        self.ask(&format!("POST {AGENT}/{operation}"), JSON, arguments.to_string())
    }
}

pub const JSON: &str = "Content-Type: application/json\r\n";

pub fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{user}:{password}")))
}

fn parsed(answer: &Answer) -> Json {
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

/// The resource's error, of this kind.
#[track_caller]
fn assert_error(answer: &Answer, status: u16, error_type: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = parsed(answer);
    let names: Vec<&String> = error.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["Error", "ErrorType", "ErrorMessage", "ErrorSource"]);
    assert_eq!((&error["Error"], &error["ErrorType"]), (&json!(true), &json!(error_type)), "{answer:?}");
    assert!(error["ErrorMessage"].as_str().is_some_and(|text| !text.is_empty()));
}

/// What an agent call answers to arguments that cannot be meant.
#[track_caller]
fn assert_invalid(answer: &Answer) {
    assert_eq!(answer.status, 400, "{answer:?}");
    let error = parsed(answer);
    assert_eq!(error.as_object().expect("an object").keys().collect::<Vec<_>>(), ["Message", "MessageDetail"]);
    assert_eq!(error["Message"], "The request is invalid.");
}

// Answers -----------------------------------------------------------------------------------------------------------

#[test]
fn accept() {
    let api = Api::start();
    for (headers, media_type) in [
        ("", "application/json"),
        ("Accept: */*\r\n", "application/json"),
        ("Accept: application/*\r\n", "application/json"),
        ("Accept: text/*\r\n", "text/json"),
        ("Accept: application/json\r\n", "application/json"),
        ("Accept: text/json\r\n", "text/json"),
        ("Accept: application/xml\r\n", "application/xml"),
        ("Accept: text/xml\r\n", "text/xml"),
        ("Accept: application/json-patch+json\r\n", "application/json-patch+json"),
        ("Accept: application/merge-patch+json\r\n", "application/merge-patch+json"),
        ("Accept: TEXT/XML; charset=utf-8\r\n", "text/xml"),
        ("accept:text/xml\r\n", "text/xml"),
        ("Accept: application/xml, application/json\r\n", "application/xml"),
        ("Accept: application/xml;q=0.5, application/json;q=0.6\r\n", "application/json"),
        ("Accept: application/xml ; q=0.9 , */* ; q=0.1\r\n", "application/xml"),
        ("Accept: application/xml;Q=0.001\r\n", "application/xml"),
        ("Accept: application/xml;q=0\r\n", "application/json"),
        ("Accept: application/json;q=0, application/*\r\n", "application/xml"),
        ("Accept: application/json;q=0, text/json;q=0, */*\r\n", "application/xml"),
        ("Accept: application/json;q=0\r\n", "application/json"),
        ("Accept: */*;q=0\r\n", "application/json"),
        ("Accept: text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8\r\n", "application/xml"),
        ("Accept: text/xml;q=0.1\r\nAccept: application/merge-patch+json\r\n", "application/merge-patch+json"),
        ("Accept: image/png\r\nAccept: text/xml\r\n", "text/xml"),
        // Not 406: a client that is in use misspells it.
        ("Accept: aplication/json\r\n", "application/json"),
        ("Accept: text/html\r\n", "application/json"),
        ("Accept:\r\n", "application/json"),
        ("Accept: ,;q=,/;=\r\n", "application/json"),
        ("Accept: text/xml;q=lots\r\n", "text/xml"),
        ("Accept: text/xml;q=NaN\r\n", "text/xml"),
        ("Accept: text/xml;q=7, application/json;q=-7\r\n", "text/xml"),
    ] {
        let content_type = format!("{media_type}; charset=utf-8");
        let found = api.ask(&format!("GET {OWNER}"), headers, "");
        let missing = api.ask("GET /api/v1/License/NOBODY", headers, "");
        let called = api.ask(
            &format!("POST {AGENT}/GetLicenseFromDB"),
            &format!("{JSON}{headers}"),
            r#"{"OwnerName":"contoso"}"#,
        );
        let invalid = api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), &format!("{JSON}{headers}"), "{}");
        let nobody = api.bare(&format!("GET {OWNER}"), headers, "");
        for (answer, status) in [(&found, 200), (&missing, 404), (&called, 200), (&invalid, 400), (&nobody, 401)] {
            assert_eq!((answer.status, answer.header("content-type")), (status, Some(&*content_type)), "{headers:?}");
        }
        assert_eq!(called.body, found.body, "{headers:?}");
        if media_type.ends_with("/xml") {
            assert!(found.body.contains("<ExtendedLicenseInfo "), "{found:?}");
            assert_eq!(found.element("OwnerDescription").as_deref(), Some("Contoso <R&D>"));
            assert_eq!(missing.element("ErrorType").as_deref(), Some("SoNotFoundException"), "{missing:?}");
            assert_eq!(invalid.element("Message").as_deref(), Some("The request is invalid."), "{invalid:?}");
            assert_eq!(nobody.element("ErrorType").as_deref(), Some("SoSessionException"), "{nobody:?}");
        } else {
            assert_eq!(parsed(&found)["Current"]["OwnerDescription"], "Contoso <R&D>");
            assert_error(&missing, 404, "SoNotFoundException");
            assert_invalid(&invalid);
            assert_error(&nobody, 401, "SoSessionException");
        }
    }
}

#[test]
fn answers_as_xml() {
    let api = Api::start();
    const XML: &str = "Accept: application/xml\r\n";
    let owner = api.ask(&format!("GET {OWNER}"), XML, "").body;
    let mut rest = owner.as_str();
    // In this order.
    for part in [
        "<ExtendedLicenseInfo xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">",
        "<Reason",
        "<CanBeActivated>false</CanBeActivated>",
        "<New xsi:nil=\"true\"",
        "<Current>",
        "<OwnerDescription>Contoso &lt;R&amp;D&gt;</OwnerDescription>",
        "<NextCheckDate>2097-01-31T00:00:00Z</NextCheckDate>",
        "<GraceDate>0001-01-01T00:00:00</GraceDate>",
        "<ModuleLicenses><ModuleLicense><OwnerName>CONTOSO</OwnerName>",
        "<ExtendedModuleLicenses><ExtendedModuleLicense><New xsi:nil=\"true\"",
        "<NumberOfLicensesTotal>10</NumberOfLicensesTotal></ExtendedModuleLicense><ExtendedModuleLicense>",
        "</ExtendedModuleLicenses><AccumulatedNextCheckDate>",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part} behind the one before it in {owner}"));
        rest = &rest[at + part.len()..];
    }
    for (target, root) in [
        ("/api/v1/License", "<ArrayOfExtendedLicenseInfo "),
        ("/api/v1/License/User/7", "<ArrayOfLicenseOwner "),
        ("/api/v1/License/User/MdoList", "<ArrayOfSelectableMDOListItem "),
        ("/api/v1/License/CONTOSO/7", "<ArrayOfModuleLicenseLink "),
        ("/api/v1/License/CONTOSO/SQLBACKUP", "<ModuleLicense "),
        ("/api/v1/License/CONTOSO/ShopUrl", "<string "),
        ("/api/v1/License/NOBODY", "<ErrorResponse"),
    ] {
        let body = api.ask(&format!("GET {target}"), XML, "").body;
        assert!(body.contains(root), "no {root} in {body}");
    }
    let nothing =
        api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), &format!("{XML}{JSON}"), r#"{"OwnerName":"NOBODY"}"#);
    assert!(nothing.status == 200 && nothing.body.contains("xsi:nil=\"true\""), "{nothing:?}");
    // Every answer that is XML has been validated. That the validation sees what is wrong:
    assert_eq!(validator::problems_of_xml(&nothing), [""; 0]);
    for (from, to) in [
        (" />", ">"),
        ("xmlns:xsi=", "xmlns:x="),
        ("encoding=\"utf-8\"", "encoding=\"iso-8859-1\""),
        ("<ExtendedLicenseInfo", "<!DOCTYPE a><ExtendedLicenseInfo"),
        (" />", " /><a/>"),
        (" />", ">&</ExtendedLicenseInfo>"),
    ] {
        let spoilt = Answer { body: nothing.body.replacen(from, to, 1), ..nothing.clone() };
        assert_ne!(spoilt.body, nothing.body, "no {from}");
        assert_ne!(validator::problems_of_xml(&spoilt), [""; 0], "{spoilt:?}");
    }
}

#[test]
fn what_is_not_there() {
    let api = Api::start();
    for (operation, arguments, resource, found) in [
        ("GetLicenseFromLicenseServer", json!({ "OwnerName": "NOBODY" }), None, Json::Null),
        ("GetLicenseFromDB", json!({ "OwnerName": "NOBODY" }), Some("NOBODY"), Json::Null),
        ("GetLicenseFromDB", json!({ "OwnerName": "Wuckert, Cassin & Goyette <1>" }), None, Json::Null),
        ("GetShopUrl", json!({ "OwnerName": "NOBODY" }), Some("NOBODY/ShopUrl"), Json::Null),
        (
            "GetModuleLicenseFromDB",
            json!({ "OwnerName": "NOBODY", "ModuleName": "SQLBACKUP" }),
            Some("NOBODY/SQLBACKUP"),
            Json::Null,
        ),
        ("GetModuleLicenseFromDB", json!({ "OwnerName": "CONTOSO", "ModuleName": "X" }), Some("CONTOSO/X"), Json::Null),
        ("GetThirdPartyLicenseAssignments", json!({ "ModuleOwner": "NOBODY", "AssociateId": 7 }), None, json!([])),
        ("GetSatelliteLicenses", json!({ "SatelliteId": 5 }), None, json!([])),
    ] {
        let answer = api.call(operation, arguments);
        assert_eq!((answer.status, parsed(&answer)), (200, found), "{operation}");
        if let Some(path) = resource {
            assert_error(&api.ask(&format!("GET /api/v1/License/{path}"), "", ""), 404, "SoNotFoundException");
        }
    }
    let status = api.call("GetLicenseStatusFromLicenseServer", json!({ "OwnerName": "NOBODY" }));
    assert_eq!((status.status, &parsed(&status)["LicenseStatus"]), (200, &json!("ProblemWithLicense")));
    for target in ["/api/v2", "/api/v1/Nothing", "/api/v1/Agents", "/api/v1/Agents/License", "/api/v1/License/a/b/c"] {
        assert_error(&api.ask(&format!("GET {target}"), "", ""), 404, "SoNotFoundException");
    }
    assert_error(&api.call("GetNothing", json!({})), 404, "SoNotFoundException");
}

/// A call answers the same as the resource of the same operation.
#[test]
fn both_surfaces_tell_the_same() {
    let api = Api::start();
    for (operation, arguments, line, body) in [
        ("GetLicenseForAllOwnersFromDB", json!({}), "GET /api/v1/License", ""),
        ("GetLicenseFromDB", json!({ "OwnerName": "CONTOSO" }), "GET /api/v1/License/CONTOSO", ""),
        (
            "GetModuleLicenseFromDB",
            json!({ "OwnerName": "CONTOSO", "ModuleName": "SQLBACKUP" }),
            "GET /api/v1/License/CONTOSO/SQLBACKUP",
            "",
        ),
        ("GetShopUrl", json!({ "OwnerName": "CONTOSO" }), "GET /api/v1/License/CONTOSO/ShopUrl", ""),
        ("GetUserLicenses", json!({ "AssociateId": 7 }), "GET /api/v1/License/User/7", ""),
        ("GetSatelliteLicenses", json!({ "SatelliteId": 0 }), "GET /api/v1/License/Site/0", ""),
        ("GetSatelliteLicenses", json!({}), "GET /api/v1/License/Site/0", ""),
        ("GetUserLicensesMDOList", json!({}), "GET /api/v1/License/User/MdoList", ""),
        (
            "GetThirdPartyLicenseAssignments",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7 }),
            "GET /api/v1/License/CONTOSO/7",
            "",
        ),
        (
            "AssignThirdPartyLicenses",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7, "ModuleLicenseNames": ["SQLBACKUP"] }),
            "PUT /api/v1/License/CONTOSO/7",
            r#"["SQLBACKUP"]"#,
        ),
        (
            "UnassignThirdPartyLicenses",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7, "ModuleLicenseNames": ["SKRAFTDISKIMAGEV5"] }),
            "DELETE /api/v1/License/CONTOSO/7",
            r#"["SQLBACKUP"]"#,
        ),
        ("RemoveLicenseFromDB", json!({ "ModuleOwner": "NOBODY" }), "DELETE /api/v1/License/NOBODY", ""),
        (
            "ChangeSerialNumber",
            json!({ "NewCompanyName": "Contoso & Sons", "NewSerialNumber": "7" }),
            "POST /api/v1/License/ChangeSerialNumber?newCompanyName=Contoso+%26%20Sons&newSerialNumber=7",
            "",
        ),
    ] {
        let called = api.call(operation, arguments);
        let asked = api.ask(line, JSON, body);
        assert_eq!((called.status, asked.status), (200, 200), "{called:?} {asked:?}");
        if operation == "UnassignThirdPartyLicenses" {
            let names = |answer| {
                parsed(answer).as_array().expect("a list").iter().map(|l| l["Name"].clone()).collect::<Vec<_>>()
            };
            assert_eq!((names(&called), names(&asked)), (vec![json!("SQLBACKUP")], vec![]));
        } else {
            assert_eq!(called.body, asked.body, "{operation}");
        }
    }
}

// $select -----------------------------------------------------------------------------------------------------------

#[test]
fn select() {
    let api = Api::start();
    let all = parsed(&api.call("GetLicenseFromDB", json!({ "OwnerName": "CONTOSO" })));
    for (query, wanted) in [
        ("", None),
        ("?$select=", None),
        ("?$select=%20", None),
        ("?$select=,%20,", None),
        ("?other=1", None),
        ("?$select=Reason", Some(vec!["/Reason"])),
        ("?$select=CanBeActivated", Some(vec!["/CanBeActivated"])),
        ("?%24select=Reason", Some(vec!["/Reason"])),
        ("?$SELECT=Reason", Some(vec!["/Reason"])),
        ("?a=b&$select=reason&c", Some(vec!["/Reason"])),
        ("?$select=reason,CANBEACTIVATED", Some(vec!["/Reason", "/CanBeActivated"])),
        ("?$select=%20Reason%20,+CanBeActivated+", Some(vec!["/Reason", "/CanBeActivated"])),
        ("?$select=Current", Some(vec!["/Current"])),
        ("?$select=current/ownername", Some(vec!["/Current/OwnerName"])),
        ("?$select=Current%2FOwnerName", Some(vec!["/Current/OwnerName"])),
        ("?$select=Current/OwnerName,Current/ExpiryDate", Some(vec!["/Current/OwnerName", "/Current/ExpiryDate"])),
        ("?$select=Current/OwnerName,Current", Some(vec!["/Current"])),
        ("?$select=New/OwnerName", Some(vec!["/New"])),
        (
            "?$select=ExtendedModuleLicenses/NumberOfLicensesFree",
            Some(vec![
                "/ExtendedModuleLicenses/0/NumberOfLicensesFree",
                "/ExtendedModuleLicenses/1/NumberOfLicensesFree",
                "/ExtendedModuleLicenses/2/NumberOfLicensesFree",
            ]),
        ),
        (
            "?$select=current/moduleLICENSES/modulename",
            Some(vec![
                "/Current/ModuleLicenses/0/ModuleName",
                "/Current/ModuleLicenses/1/ModuleName",
                "/Current/ModuleLicenses/2/ModuleName",
            ]),
        ),
        ("?$select=Nothing", Some(vec![])),
        ("?$select=Nothing,Reason", Some(vec!["/Reason"])),
        ("?$select=Reason/Deeper/Still", Some(vec!["/Reason"])),
        ("?$select=Gr%C3%B6%C3%9Fe,%FF,%zz", Some(vec![])),
    ] {
        let line = format!("POST {AGENT}/GetLicenseFromDB{query}");
        let answer = api.ask(&line, JSON, r#"{"OwnerName":"CONTOSO"}"#);
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = wanted.map_or_else(|| all.clone(), |paths| only(&all, "", &paths));
        let found = parsed(&answer);
        assert_eq!(found, expected, "{query}");
        let names = |object: &Json| object.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&all), "{query}: all members, in their order");
    }
    // The items of a list that is the answer; and nothing to select from.
    for (operation, arguments, query, expected) in [
        (
            "GetThirdPartyLicenseAssignments",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7 }),
            "name",
            json!("SKRAFTDISKIMAGEV5"),
        ),
        ("GetThirdPartyLicenseAssignments", json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7 }), "total", Json::Null),
    ] {
        let answer = api.ask(&format!("POST {AGENT}/{operation}?$select={query}"), JSON, arguments.to_string());
        assert_eq!(parsed(&answer)[0]["Name"], expected);
        assert_eq!(parsed(&answer)[0]["FieldProperties"], Json::Null);
    }
    let shop = api.ask(&format!("POST {AGENT}/GetShopUrl?$select=Name"), JSON, r#"{"OwnerName":"CONTOSO"}"#);
    assert_eq!(shop.body, r#""https://shop.example/?a=1&b=2""#);
}

/// The members at these paths and below them; the others null.
fn only(value: &Json, at: &str, wanted: &[&str]) -> Json {
    if wanted.iter().any(|path| at.starts_with(path)) {
        return value.clone();
    }
    // The answer itself is there, whatever is selected of it.
    if !at.is_empty() && !wanted.iter().any(|path| path.starts_with(&format!("{at}/"))) {
        return Json::Null;
    }
    match value {
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), only(value, &format!("{at}/{name}"), wanted)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Json::Array(items) => {
            items.iter().enumerate().map(|(i, item)| only(item, &format!("{at}/{i}"), wanted)).collect()
        }
        _ => Json::Null,
    }
}

// Dates -------------------------------------------------------------------------------------------------------------

#[test]
fn time_zones() {
    let api = Api::start();
    const UTC: [&str; 2] = ["2097-01-31T00:00:00Z", "2097-07-31T12:34:56Z"];
    const LOCAL_UTC: [&str; 2] = ["2097-01-31T00:00:00", "2097-07-31T12:34:56"];
    const OSLO: [&str; 2] = ["2097-01-31T01:00:00", "2097-07-31T14:34:56"];
    const OSLO_OFFSET: [&str; 2] = ["2097-01-31T01:00:00+01:00", "2097-07-31T14:34:56+02:00"];
    const NEW_YORK: [&str; 2] = ["2097-01-30T19:00:00", "2097-07-31T08:34:56"];
    const NEW_YORK_OFFSET: [&str; 2] = ["2097-01-30T19:00:00-05:00", "2097-07-31T08:34:56-04:00"];
    for (headers, dates, zone) in [
        ("", UTC, None),
        ("SO-TimeZone: NO\r\n", OSLO, Some("NO")),
        ("so-timezone: no\r\n", OSLO, Some("NO")),
        ("SO-TIMEZONE:261\r\n", OSLO, Some("NO")),
        ("SO-Timezone: NO, includeTZOffset\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: NO,includeTZOffset\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: 261 , INCLUDETZOFFSET \r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: includeTZOffset,NO\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: NO\r\nSO-TimeZone: includeTZOffset\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: US-NY\r\n", NEW_YORK, Some("US-NY")),
        ("SO-TimeZone: 460\r\n", NEW_YORK, Some("US-NY")),
        ("SO-TimeZone: us-ny, includeTZOffset\r\n", NEW_YORK_OFFSET, Some("US-NY")),
        // In the south summer is in January.
        ("SO-TimeZone: AU-ACT\r\n", ["2097-01-31T11:00:00", "2097-07-31T22:34:56"], Some("AU-ACT")),
        // Without daylight saving time; and between the hours.
        ("SO-TimeZone: US-HI\r\n", ["2097-01-30T14:00:00", "2097-07-31T02:34:56"], Some("US-HI")),
        ("SO-TimeZone: IN\r\n", ["2097-01-31T05:30:00", "2097-07-31T18:04:56"], Some("IN")),
        ("SO-TimeZone: UTC\r\n", LOCAL_UTC, Some("UTC")),
        ("SO-TimeZone: 1\r\n", LOCAL_UTC, Some("UTC")),
        ("SO-TimeZone: UTC, includeTZOffset\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: includeTZOffset\r\n", UTC, Some("UTC")),
        // No zone that is known is none.
        ("SO-TimeZone: XX\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: Europe/Oslo\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: 99999\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: -1\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: 99999999999999999999\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: XX, includeTZOffset\r\n", UTC, Some("UTC")),
        ("SO-TimeZone:\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: ,,;\r\n", UTC, Some("UTC")),
        // The vendor's client tells the browser's offset with every call; it is not a wish.
        ("SO-Browser-TZ-Offset: -120\r\n", UTC, None),
    ] {
        let resource = api.ask(&format!("GET {OWNER}"), headers, "");
        let line = format!("POST {AGENT}/GetLicenseFromDB");
        let agent = api.ask(&line, &format!("{JSON}{headers}"), r#"{"OwnerName":"CONTOSO"}"#);
        for answer in [resource, agent] {
            let license = &parsed(&answer)["Current"];
            assert_eq!([&license["NextCheckDate"], &license["MaintenanceDate"]], dates, "{headers:?}");
            assert_eq!(license["GraceDate"], "0001-01-01T00:00:00", "{headers:?}: none, in whatever zone");
            assert_eq!(answer.header("so-timezone"), zone, "{headers:?}");
        }
    }
}

/// What was fetched in a zone can be handed back in it.
#[test]
fn dates_are_read_in_the_zone_they_were_told_in() {
    let api = Api::start();
    api.0.sql(
        "INSERT INTO license_offer (entity_id, company_name, expires_at) VALUES (42, 'Contoso', '2099-07-31T22:30:00Z');
         INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES
             (42, 'SkraftDiskImageV5', 10), (42, 'SqlBackup', 4), (42, 'ExchangeBackup', 0);",
    );
    let validate = |fetched: &str, handed_back: &str| {
        let line = format!("POST {AGENT}/GetLicenseFromLicenseServer");
        let license = api.ask(&line, &format!("{JSON}{fetched}"), r#"{"OwnerName":"CONTOSO"}"#);
        let body = json!({ "LicenseInfo": parsed(&license) }).to_string();
        let answer = api.ask(&format!("POST {AGENT}/ValidateLicenseInfo"), &format!("{JSON}{handed_back}"), body);
        (parsed(&license)["New"]["ExpiryDate"].clone(), parsed(&answer)["Succeeded"].clone())
    };
    for (fetched, handed_back, expiry, succeeded) in [
        ("", "", "2099-07-31T22:30:00Z", true),
        ("SO-TimeZone: NO\r\n", "SO-TimeZone: NO\r\n", "2099-08-01T00:30:00", true),
        ("SO-TimeZone: NO, includeTZOffset\r\n", "", "2099-08-01T00:30:00+02:00", true),
        ("SO-TimeZone: NO, includeTZOffset\r\n", "SO-TimeZone: US-NY\r\n", "2099-08-01T00:30:00+02:00", true),
        ("", "SO-TimeZone: NO\r\n", "2099-07-31T22:30:00Z", true),
        ("SO-TimeZone: NO\r\n", "", "2099-08-01T00:30:00", false),
    ] {
        assert_eq!(validate(fetched, handed_back), (json!(expiry), json!(succeeded)), "{fetched:?} {handed_back:?}");
    }
}

// Bodies ------------------------------------------------------------------------------------------------------------

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn content_types() {
    let api = Api::start();
    let json = r#"{"OwnerName":"größe"}"#;
    let xml = "<Request><OwnerName>größe</OwnerName></Request>";
    let form = "OwnerName=gr%C3%B6%C3%9Fe";
    let bom = |bytes: &[u8]| [&b"\xEF\xBB\xBF"[..], bytes].concat();
    let latin1 = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let little = |text: &str| utf16(text, u16::to_le_bytes);
    let big = |text: &str| utf16(text, u16::to_be_bytes);
    let marked = |text: &str| [&b"\xFF\xFE"[..], &utf16(text, u16::to_le_bytes)].concat();
    let declared = format!("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>{xml}");
    for (content_type, body) in [
        (Some("application/json"), json.as_bytes().to_vec()),
        (Some("text/json"), json.into()),
        (Some("application/json-patch+json"), json.into()),
        (Some("application/merge-patch+json"), json.into()),
        (Some("application/xml"), xml.into()),
        (Some("text/xml"), xml.into()),
        (Some("application/x-www-form-urlencoded"), form.into()),
        // What is not said to be anything is taken for JSON.
        (None, json.into()),
        (Some("Application/JSON"), json.into()),
        (Some("application/json;charset=UTF-8"), json.into()),
        (Some("application/json; charset=\"utf-8\"; odd"), json.into()),
        (Some("application/json; charset=utf-16"), little(json)),
        (Some("application/json; charset=utf-16"), marked(json)),
        (Some("application/json; charset=utf-16be"), big(json)),
        (Some("application/json; charset=iso-8859-1"), latin1(json)),
        // A byte order mark decides.
        (Some("application/json"), bom(json.as_bytes())),
        (Some("application/json; charset=iso-8859-1"), bom(json.as_bytes())),
        (Some("application/json"), marked(json)),
        (Some("text/xml; charset=utf-16"), little(xml)),
        (Some("text/xml"), marked(xml)),
        (Some("text/xml"), bom(xml.as_bytes())),
        (Some("text/xml; charset=utf-8"), declared.clone().into()),
        (Some("application/xml"), latin1(&declared)),
        (Some("application/x-www-form-urlencoded; charset=utf-8"), form.into()),
        (Some("application/x-www-form-urlencoded"), bom(form.as_bytes())),
    ] {
        let headers = content_type.map_or_else(String::new, |t| format!("Content-Type: {t}\r\n"));
        let answer = api.ask(&format!("POST {AGENT}/GetLicenseStatusFromLicenseServer"), &headers, &body);
        assert_eq!(answer.status, 200, "{content_type:?} {answer:?}");
        assert!(answer.body.contains("'größe'"), "{content_type:?} {}: {answer:?}", String::from_utf8_lossy(&body));
    }
    for (coding, status) in [("gzip", 415), ("identity, br", 415), ("", 415), ("identity", 200), ("IDENTITY", 200)] {
        let headers = format!("{JSON}Content-Encoding: {coding}\r\n");
        let answer = api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), &headers, json);
        assert_eq!(answer.status, status, "{coding:?} {answer:?}");
    }
    for content_type in [
        "text/plain",
        "text/html",
        "application/soap+xml",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
        "application/vnd.api+json",
        "application/jso",
        "application",
        "",
        ";",
        "application/json; charset=klingon",
        "gr\u{f6}\u{df}e/json",
    ] {
        let headers = format!("Content-Type: {content_type}\r\n");
        for line in [format!("POST {AGENT}/GetLicenseFromDB"), format!("PUT {OWNER}/7")] {
            let answer = api.ask(&line, &headers, json);
            assert_error(&answer, 415, "SoInvalidArgumentException");
        }
    }
}

#[test]
fn arguments_as_json() {
    let api = Api::start();
    let status = |body: &str| {
        let answer = api.ask(&format!("POST {AGENT}/GetLicenseStatusFromLicenseServer"), JSON, body);
        if answer.status == 400 {
            assert_invalid(&answer);
            return None;
        }
        Some(parsed(&answer)["LicenseStatus"].as_str().expect("a status") == "Ok")
    };
    for (body, known) in [
        (r#"{"OwnerName":"CONTOSO"}"#, Some(true)),
        (r#"{"ownerName":"CONTOSO"}"#, Some(true)),
        (r#"{"OWNERNAME":"contoso"}"#, Some(true)),
        (r#" { "OwnerName" : "\u0043ONTOSO" } "#, Some(true)),
        (r#"{"OwnerName":"CONTOSO","Other":{"deep":[1,{}]},"":null}"#, Some(true)),
        (r#"{"OwnerName":"\"<&>\u00e6\ud83d\ude00"}"#, Some(false)),
        (r#"{"OwnerName":"\ud800"}"#, None),
        (r#"{"OwnerName":"CONTOSO"} {}"#, None),
        (r#"{"OwnerName":"CONTOSO",}"#, None),
        (r#"{'OwnerName':'CONTOSO'}"#, None),
        (r#"{"OwnerName":"CONTOSO""#, None),
        (r#"{"OwnerName":null}"#, None),
        (r#"{"OwnerName":""}"#, None),
        (r#"{"OwnerName":" \t\n"}"#, None),
        (r#"{"OwnerName":5}"#, None),
        (r#"{"OwnerName":["CONTOSO"]}"#, None),
        (r#"{"OwnerName":{"a":"CONTOSO"}}"#, None),
        (r#"{"Owner Name":"CONTOSO"}"#, None),
        ("{}", None),
        ("null", None),
        ("", None),
        (" ", None),
        ("[]", None),
        (r#"["CONTOSO"]"#, None),
        (r#""CONTOSO""#, None),
        ("5", None),
        ("<OwnerName>CONTOSO</OwnerName>", None),
        ("OwnerName=CONTOSO", None),
        ("\0", None),
        (&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), None),
        (&format!(r#"{{"x":{}{},"OwnerName":"CONTOSO"}}"#, "[".repeat(1_000), "]".repeat(1_000)), None),
    ] {
        assert_eq!(status(body), known, "{}", body.get(..80).unwrap_or(body));
    }
    let held = |associate: &str| {
        let body = format!(r#"{{"ModuleOwner":"CONTOSO","AssociateId":{associate}}}"#);
        let answer = api.ask(&format!("POST {AGENT}/GetThirdPartyLicenseAssignments"), JSON, body);
        if answer.status == 400 { None } else { Some(parsed(&answer).as_array().expect("a list").len()) }
    };
    for (associate, count) in [
        ("7", Some(1)),
        ("7.0", Some(1)),
        ("70e-1", Some(1)),
        (r#""7""#, Some(1)),
        (r#"" 7 ""#, Some(1)),
        ("8", Some(0)),
        ("7.5", None),
        ("0", None),
        ("-7", None),
        ("2147483648", None),
        ("4294967303", None),
        ("1e99", None),
        ("1e999", None),
        ("true", None),
        ("null", None),
        ("[7]", None),
        (r#""seven""#, None),
        (r#""""#, None),
        ("007", None),
        ("0x7", None),
    ] {
        assert_eq!(held(associate), count, "{associate}");
    }
}

#[test]
fn arguments_as_xml_and_forms() {
    let api = Api::start();
    let held = |content_type: &str, body: &str| {
        let headers = format!("Content-Type: {content_type}\r\n");
        let answer = api.ask(&format!("POST {AGENT}/GetThirdPartyLicenseAssignments"), &headers, body);
        if answer.status == 400 {
            assert_invalid(&answer);
            return None;
        }
        Some(parsed(&answer).as_array().expect("a list").len())
    };
    const ARGUMENTS: &str = "<ModuleOwner>CONTOSO</ModuleOwner><AssociateId>7</AssociateId>";
    for (body, count) in [
        (format!("<R>{ARGUMENTS}</R>"), Some(1)),
        (format!("<?xml version=\"1.0\"?>\n<!-- x --><R xmlns=\"urn:any\">{ARGUMENTS}<Other a=\"b\"><c/></Other></R>\n"), Some(1)),
        (format!("<x:R xmlns:x=\"urn:x\">{}</x:R>", ARGUMENTS.replace("</", "</x:").replace("<M", "<x:M").replace("<A", "<x:A")), Some(1)),
        ("<r><associateid> 7 </associateid><MODULEOWNER>contoso</MODULEOWNER></r>".to_owned(), Some(1)),
        ("<R><ModuleOwner><![CDATA[CONTOSO]]></ModuleOwner><AssociateId>&#55;</AssociateId></R>".to_owned(), Some(1)),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>8</AssociateId></R>".to_owned(), Some(0)),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner></R>".to_owned(), None),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner><AssociateId/></R>".to_owned(), None),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>x</AssociateId></R>".to_owned(), None),
        (
            "<R xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><ModuleOwner i:nil=\"true\"/><AssociateId>7</AssociateId></R>"
                .to_owned(),
            None,
        ),
        (format!("<!DOCTYPE R [<!ENTITY e \"7\">]><R>{ARGUMENTS}</R>"), None),
        (format!("<R>{ARGUMENTS}"), None),
        (format!("<R>{ARGUMENTS}</R><R/>"), None),
        (format!("{}{ARGUMENTS}{}", "<R>".repeat(1_000), "</R>".repeat(1_000)), None),
        (r#"{"ModuleOwner":"CONTOSO","AssociateId":7}"#.to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(held("application/xml", &body), count, "{}", body.get(..200).unwrap_or(&body));
    }
    for (body, count) in [
        ("ModuleOwner=CONTOSO&AssociateId=7", Some(1)),
        ("moduleowner=contoso&ASSOCIATEID=+7+&other=x&&=", Some(1)),
        ("ModuleOwner=%43ONTOSO&AssociateId=%37", Some(1)),
        ("ModuleOwner=CONTOSO&AssociateId=8", Some(0)),
        ("ModuleOwner=CONTOSO", None),
        ("ModuleOwner=&AssociateId=7", None),
        ("ModuleOwner=CONTOSO&AssociateId=x", None),
        ("", None),
    ] {
        assert_eq!(held("application/x-www-form-urlencoded", body), count, "{body}");
    }
}

/// Names of modules: as one argument, and as the body of the resource.
#[test]
fn lists_as_json_xml_and_forms() {
    let api = Api::start();
    const XML: &str = "Content-Type: text/xml\r\n";
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let agent = format!("POST {AGENT}/AssignThirdPartyLicenses");
    let resource = format!("PUT {OWNER}/8");
    for (line, headers, body, held) in [
        (
            &agent,
            JSON,
            r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":["sqlbackup"," SKRAFTDISKIMAGEV5 "]}"#,
            2,
        ),
        (
            &agent,
            XML,
            "<a><moduleOwner>CONTOSO</moduleOwner><associateId>8</associateId><moduleLicenseNames><string>SQLBACKUP</string></moduleLicenseNames></a>",
            1,
        ),
        (
            &agent,
            XML,
            "<a xmlns:b='http://schemas.microsoft.com/2003/10/Serialization/Arrays'><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>8</AssociateId>\
             <ModuleLicenseNames><b:string>SQLBACKUP</b:string><b:string>SKRAFTDISKIMAGEV5</b:string></ModuleLicenseNames></a>",
            2,
        ),
        (
            &agent,
            FORM,
            "ModuleOwner=CONTOSO&AssociateId=8&ModuleLicenseNames=SQLBACKUP&modulelicensenames=SKRAFTDISKIMAGEV5",
            2,
        ),
        (&agent, FORM, "ModuleOwner=CONTOSO&AssociateId=8&ModuleLicenseNames%5B%5D=SQLBACKUP", 1),
        (&resource, JSON, r#"["SQLBACKUP","SQLBACKUP"]"#, 1),
        (&resource, "", r#"["SQLBACKUP","SKRAFTDISKIMAGEV5"]"#, 2),
        (&resource, XML, "<ArrayOfstring><string>SQLBACKUP</string></ArrayOfstring>", 1),
        (&resource, "Content-Type: application/merge-patch+json\r\n", r#"["SQLBACKUP"]"#, 1),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":"SQLBACKUP"}"#, 400),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":[]}"#, 400),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":[null]}"#, 400),
        (
            &agent,
            JSON,
            r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":["SQLBACKUP","NOTHING"]}"#,
            400,
        ),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8}"#, 400),
        (&resource, JSON, r#""SQLBACKUP""#, 400),
        (&resource, JSON, r#"{"ModuleLicenseNames":["SQLBACKUP"]}"#, 400),
        (&resource, JSON, "[]", 400),
        (&resource, JSON, "null", 400),
        (&resource, JSON, "", 400),
        (&resource, FORM, "SQLBACKUP", 400),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":["EXCHANGEBACKUP"]}"#, 409),
        (&resource, JSON, r#"["EXCHANGEBACKUP"]"#, 409),
        (&agent, JSON, r#"{"ModuleOwner":"NOBODY","AssociateId":8,"ModuleLicenseNames":["SQLBACKUP"]}"#, 404),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":999,"ModuleLicenseNames":["SQLBACKUP"]}"#, 404),
    ] {
        let answer = api.ask(line, headers, body);
        match held {
            0..100 => assert_eq!(parsed(&answer).as_array().map(Vec::len), Some(held), "{body} {answer:?}"),
            400 if line == &agent => assert_invalid(&answer),
            400 => assert_error(&answer, 400, "SoInvalidArgumentException"),
            404 => assert_error(&answer, 404, "SoNotFoundException"),
            status => assert_error(&answer, status as u16, "SoLicenseException"),
        }
        api.0.sql("UPDATE seat SET account_id = NULL WHERE account_id = 8");
    }
    assert_eq!(api.0.violations(), []);
}

#[test]
fn bodies_in_bounds() {
    let api = Api::start();
    let long = format!(r#"{{"OwnerName":"{}"}}"#, "x".repeat(300_000));
    let answer = api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), JSON, long);
    assert_error(&answer, 413, "SoInvalidArgumentException");
    let chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n";
    let line = format!("POST {AGENT}/GetShopUrl");
    let head = format!(
        "{line} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n{}{chunked}\r\n",
        basic("admin", PASSWORD)
    );
    let answer = api.raw(format!("{head}9\r\n{{\"OwnerNa\r\nd\r\nme\":\"CONTOSO\"\r\n1\r\n}}\r\n0\r\n\r\n").as_bytes());
    assert_eq!((answer.status, &*answer.body), (200, r#""https://shop.example/?a=1&b=2""#));
}

// Addresses ---------------------------------------------------------------------------------------------------------

#[test]
fn paths() {
    let api = Api::start();
    for (target, status) in [
        ("/api/v1/License/CONTOSO", 200),
        ("/api/v1/License/contoso", 200),
        ("/API/V1/LICENSE/CONTOSO", 200),
        ("/api/v1/license/Contoso/", 200),
        ("/api/v1/License/%43%4FNTOSO", 200),
        ("/api/v1/License/CONTOSO?x=%zz&&=", 200),
        ("/api/v1/License/%2543ONTOSO", 404),
        ("/api/v1/License/CONTOSO%2FShopUrl", 404),
        ("/api/v1/License/CONTOSO%00", 404),
        ("/api/v1/License/%FF%FE", 404),
        ("/api/v1/License/%zz", 404),
        ("/api/v1/License/a+b", 404),
        ("/api/v1/License/Wuckert,%20Cassin%20and%20Goyette", 404),
        ("/api/v1/License/Gr%C3%B6%C3%9Fe", 404),
        ("/api/v1/License/CONTOSO/shopurl", 200),
        ("/api/v1/License/CONTOSO/SHOPURL/", 200),
        ("/api/v1/License/CONTOSO/%53hopUrl", 200),
        ("/api/v1/License/CONTOSO/sqlBackup", 200),
        ("/api/v1/License/CONTOSO/SQLBACKUP/", 200),
        ("/api/v1/License/CONTOSO/7", 200),
        ("/api/v1/License/CONTOSO/07", 200),
        ("/api/v1/License/CONTOSO/%37", 200),
        ("/api/v1/License/CONTOSO/0", 400),
        ("/api/v1/License/CONTOSO/-7", 400),
        ("/api/v1/License/CONTOSO/7.0", 404),
        ("/api/v1/License/CONTOSO/2147483648", 404),
        ("/api/v1/License/user/mdolist", 200),
        ("/api/v1/License/USER/7", 200),
        ("/api/v1/License/User/0", 400),
        ("/api/v1/License/User/seven", 404),
        ("/api/v1/License/User", 404),
        ("/api/v1/License/Site/0", 200),
        ("/api/v1/License/site/3", 200),
        ("/api/v1/License/", 200),
        ("/api/v1/License", 200),
        ("/api/v1/Licenses", 404),
        ("/api/v1/Agents/License/getshopurl", 200),
        ("/API/V1/AGENTS/LICENSE/GETSHOPURL/", 200),
        ("/api/v1/Agents/License/GetShopUrls", 404),
        ("/api/v1/Agents/License/GetShopUrl/x", 404),
        ("/api/v2/License/CONTOSO", 404),
    ] {
        let answer = api.ask(&format!("GET {target}"), "", "");
        assert_eq!(answer.status, status, "{target} {answer:?}");
    }
    let called = api.ask("POST /API/v1/agents/LICENSE/getshopurl/", JSON, r#"{"OwnerName":"CONTOSO"}"#);
    assert_eq!(called.body, r#""https://shop.example/?a=1&b=2""#);
}

/// Which methods there are where.
#[test]
fn methods() {
    let api = Api::start();
    for (target, allow) in [
        ("/api", "GET, HEAD, OPTIONS"),
        ("/api/v1", "GET, HEAD, OPTIONS"),
        ("/api/v1/openapi.json", "GET, HEAD, OPTIONS"),
        ("/api/v1/Agents/License/GetLicenseFromDB", "GET, POST, HEAD, OPTIONS"),
        ("/api/v1/License", "GET, POST, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO", "GET, DELETE, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO/ShopUrl", "GET, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO/7", "GET, PUT, DELETE, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO/SQLBACKUP", "GET, HEAD, OPTIONS"),
        ("/api/v1/License/User/7", "GET, HEAD, OPTIONS"),
        ("/api/v1/License/ChangeSerialNumber", "POST, OPTIONS"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY", "get"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = api.ask(&format!("{method} {target}"), JSON, "{}");
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {target}");
            if method != "HEAD" {
                assert_error(&answer, 405, "SoNotSupportedException");
            }
        }
        // Of this anybody may ask.
        let options = api.bare(&format!("OPTIONS {target}"), "", "");
        assert_eq!((options.status, options.header("allow"), &*options.body), (204, Some(allow), ""), "{target}");
        if !allow.contains("HEAD") {
            continue;
        }
        let get = api.ask(&format!("GET {target}"), "", "");
        let head = api.ask(&format!("HEAD {target}"), "", "");
        assert_eq!((get.status, head.status, &*head.body), (200, 200, ""), "{target}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{target}");
        }
    }
    assert_eq!(api.0.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 1);
}

/// GET on an agent call says what it is and does not run it.
#[test]
fn agent_calls_describe_themselves() {
    let api = Api::start();
    for operation in LICENSE.operations {
        let answer = api.ask(&format!("GET {AGENT}/{}", operation.name()), "", "");
        let description = parsed(&answer);
        assert_eq!(
            description.as_object().map(|d| d.keys().map(String::as_str).collect::<Vec<_>>()),
            Some(vec!["Operation", "Description", "Method", "Arguments", "Result"])
        );
        assert_eq!((&description["Operation"], &description["Method"]), (&json!(operation.name()), &json!("POST")));
    }
    let assign = parsed(&api.ask(&format!("GET {AGENT}/AssignThirdPartyLicenses"), "", ""));
    let argument = |name: &str, of: &str| json!({ "Name": name, "Type": of });
    assert_eq!(
        assign["Arguments"],
        json!([
            argument("AssociateId", "int"),
            argument("ModuleOwner", "string"),
            argument("ModuleLicenseNames", "string[]")
        ])
    );
    assert_eq!(assign["Result"], "ModuleLicenseLink[]");
}

#[test]
fn what_is_not_supported_says_so() {
    let api = Api::start();
    for (line, body) in [
        ("POST /api/v1/Agents/License/GetLicenseFromFile", r#"{"FileContent":"<x/>"}"#),
        ("POST /api/v1/Agents/License/AddLicenseFromFile", "{}"),
        (
            "POST /api/v1/Agents/License/GetModuleLicenseHistoryFromLicenseServer",
            r#"{"LicenseInfo":{},"ModuleLicense":{}}"#,
        ),
        ("POST /api/v1/License", r#""<x/>""#),
    ] {
        assert_error(&api.ask(line, JSON, body), 501, "SoNotSupportedException");
        assert_eq!(api.bare(line, JSON, body).status, 401, "{line}");
    }
}

/// What needs no sign-in, and is written for the address that was used.
#[test]
fn documents() {
    let api = Api::start();
    let version = parsed(&api.bare("GET /api", "", ""));
    assert_eq!(version["v1"], "http://test.example/api/v1");
    assert_eq!(version["NetServerVersion"], env!("CARGO_PKG_VERSION"));
    let urls = parsed(&api.bare("GET /api/v1/", "", ""));
    assert!(urls["http://test.example/api/v1/Agents/License/GetLicenseFromDB"]["POST"].is_string(), "{urls}");
    assert!(urls["http://test.example/api/v1/License/{ownerName}"]["GET"].is_string(), "{urls}");
    let document = parsed(&api.bare("GET /api/v1/OpenAPI.json", "Accept: text/xml\r\n", ""));
    assert_eq!(
        (&document["openapi"], &document["servers"][0]["url"]),
        (&json!("3.1.0"), &json!("http://test.example"))
    );
}

// Headers -----------------------------------------------------------------------------------------------------------

const CHALLENGE: &str = "Basic realm=\"SuperOffice\", charset=\"UTF-8\"";

#[test]
fn who_is_not_signed_in_learns_nothing_else() {
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
    let ticket = ticket(&api);
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

/// A ticket of SoPrincipal for `admin`.
fn ticket(api: &Api) -> String {
    let body = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><AuthenticateUsernamePassword \
         xmlns=\"http://www.superoffice.net/ws/crm/NetServer/Services86\"><UserName>admin</UserName><Password>{PASSWORD}</Password>\
         </AuthenticateUsernamePassword></s:Body></s:Envelope>"
    );
    let answer = api.bare("POST /Remote/Services86/SoPrincipal.svc", "Content-Type: text/xml\r\n", body);
    answer.element("Ticket").unwrap_or_else(|| panic!("{answer:?}"))
}

/// As over SOAP; HTTP has statuses for it.
#[test]
fn who_must_wait_is_told_how_long() {
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
            assert!(wait.map_or(status != 429, |seconds| (590..=601).contains(&seconds)), "{answer:?}");
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
    let store = sqlite::Options { busy_timeout: Duration::from_millis(50), ..sqlite::Options::default() };
    let api = Api(Server::with(Options { seed: sample_data() + SEED, store, ..Options::default() }));
    let other = connection(&api.0.database());
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let answer = api.ask(&format!("PUT {OWNER}/8"), JSON, r#"["SQLBACKUP"]"#);
    assert_error(&answer, 503, "SoServerException");
    assert_eq!(answer.header("retry-after"), Some("5"));
    other.execute_batch("ROLLBACK").expect("unlock");
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
    let ask = |line: &str, body: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: test.example\r\n{}{JSON}", basic("agent", PASSWORD));
        let answer = program.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        (answer.status, answer.header("x-request-id").expect("an id").to_owned())
    };
    let calls = [
        (
            ask("PUT /api/v1/License/CONTOSO/7", r#"["SQLBACKUP"]"#),
            200,
            "done",
            "operation=\"AssignThirdPartyLicenses\"",
        ),
        (ask("GET /api/v1/License/CONTOSO/0", ""), 400, "AssociateId", "code=\"InvalidInputParameters\""),
        (
            ask("POST /api/v1/Agents/License/GetShopUrl", "{\u{1b}"),
            400,
            "not a call we can serve",
            "The body is not JSON",
        ),
        (ask("DELETE /api/v1/License/CONTOSO", ""), 403, "The role 'agent'", "code=\"AccessDenied\""),
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
