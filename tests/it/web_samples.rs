//! The vendor's sample requests of the Web API, sent as they stand on its pages, and what they are answered: the members,
//! order and JSON types that the pages show, nothing missing and nothing besides.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Value as Json, json};

use crate::harness::*;

const AGENT: &str = "agent-GetLicenseFromLicenseServer";
const RESOURCE: &str = "rest-GetLicense";
/// Whose license the sample asks for.
const SAMPLE_OWNER: &str = "Wuckert, Cassin and Goyette";
const SAMPLE_AUTHORIZATION: &str = "Basic dGplMDpUamUw";

/// What the pages' tables say of the members that the samples leave null.
const LICENSE_INFO: &str = "CompanyName:string SerialNr:string OwnerName:string OwnerDescription:string \
    NextCheckDate:date MaintenanceDate:date AdminWarningDate:date ExpiryDate:date GraceDate:date ExtraFlags:int \
    ExtraInfo:string LicenseUrl:string LicenseVersion:string DeploymentType:int ProductType:string ProductDescription:string \
    ModuleLicenses:[{MODULE_LICENSE}*3] PublicKey:null Signature:string";
const MODULE_LICENSE: &str = "OwnerName:string ModuleName:string ModuleDescription:string ModuleTooltip:string \
    ModuleVersion:string LicenseType:string Unrestricted:bool AllowedUserType:string NumberOfLicenses:int ExtraFlags:int \
    ExtraInfo:string SortOrder:int IsHidden:bool PrerequisiteModuleName:string Signature:string";
const EXTENDED_LICENSE_INFO: &str = "{Reason:string CanBeActivated:bool New:NEW_LICENSE Current:{LICENSE_INFO} \
    ExtendedModuleLicenses:[{New:NEW_MODULE Current:{MODULE_LICENSE} NumberOfLicensesInUse:int NumberOfLicensesFree:int \
    NumberOfLicensesAdded:int NumberOfLicensesNewTotal:int NumberOfLicensesNewFree:int NumberOfLicensesTotal:int}*3] \
    AccumulatedNextCheckDate:date}";

fn file(name: &str) -> String {
    let file = format!("{}/tests/netserver/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).expect("a sample")
}

/// The user of the samples signs in with what stands there: `tje0` and `Tje0`.
fn start() -> Server {
    let server = Server::with_owners();
    server.sql(
        "INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('tje0', hash_password('Tje0'), 1, 'reader');
         UPDATE entity SET next_check_at = '2027-01-15T10:00:00Z' WHERE id = 42",
    );
    for n in 0..3 {
        assert_eq!(server.assign(&format!("image{n}"), 42, "SkraftDiskImageV5").code(), "Success");
    }
    server
}

/// Sends a sample as an HTTP client does: with the version, a host, and the length of the body.
fn send(server: &Server, sample: &str) -> Answer {
    let (head, body) = sample.split_once("\n\n").unwrap_or((sample, ""));
    let (line, headers) = head.split_once('\n').expect("headers");
    let headers: String = headers.lines().map(|header| format!("{header}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    server.send(format!("{line} HTTP/1.1\r\nHost: test.example\r\n{headers}{length}\r\n{body}").as_bytes())
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}

/// Names, order and types: `{A:int B:[string*2]}`.
fn shape(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(_) => "bool".to_owned(),
        Json::Number(number) if number.is_i64() => "int".to_owned(),
        Json::Number(_) => "number".to_owned(),
        Json::String(text) if is_date(text) => "date".to_owned(),
        Json::String(_) => "string".to_owned(),
        Json::Array(items) => {
            let shapes: Vec<String> = items.iter().map(shape).collect();
            let alike = shapes.chunk_by(|a, b| a == b).map(|alike| format!("{}*{}", alike[0], alike.len()));
            format!("[{}]", alike.collect::<Vec<_>>().join(" "))
        }
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}:{}", shape(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(" "))
        }
    }
}

/// With a zone or without; a year alone is no date.
fn is_date(text: &str) -> bool {
    text.contains('T') && (text.parse::<Timestamp>().is_ok() || text.parse::<DateTime>().is_ok())
}

/// Whether an answer is as the page's: the same members in the same order, of the same types but where the page has null.
#[track_caller]
fn assert_as_on_the_page(answer: &Json, page: &Json, path: &str) {
    match (answer, page) {
        (_, Json::Null) => {}
        (Json::Object(members), Json::Object(of_page)) => {
            let names = |of: &serde_json::Map<String, Json>| of.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(members), names(of_page), "{path}");
            members.iter().zip(of_page.values()).for_each(|((name, value), page)| {
                assert_as_on_the_page(value, page, &format!("{path}/{name}"));
            });
        }
        (Json::Array(items), Json::Array(of_page)) => {
            items.iter().for_each(|item| assert_as_on_the_page(item, &of_page[0], path));
        }
        _ => assert_eq!(shape(answer), shape(page), "{path}"),
    }
}

#[test]
fn the_samples_get_what_the_pages_show() {
    let server = start();
    for (sample, owner, new_license, new_module, can_be_activated) in [
        (AGENT, SAMPLE_OWNER, "{LICENSE_INFO}", "{MODULE_LICENSE}", true),
        // What is in the database, without what is granted.
        (RESOURCE, "{ownerName}", "null", "null", false),
    ] {
        let answer = send(&server, &replaced(&file(&format!("{sample}.http")), owner, "CONTOSO"));
        let typed = answer.header("content-type");
        assert_eq!((answer.status, typed), (200, Some("application/json; charset=utf-8")), "{answer:?}");
        let license: Json = serde_json::from_str(&answer.body).expect("JSON");
        let page = serde_json::from_str(&file(&format!("{sample}.json"))).expect("JSON");
        assert_as_on_the_page(&license, &page, sample);
        let expected = EXTENDED_LICENSE_INFO.replace("NEW_LICENSE", new_license).replace("NEW_MODULE", new_module);
        let expected = expected.replace("LICENSE_INFO", LICENSE_INFO).replace("MODULE_LICENSE", MODULE_LICENSE);
        assert_eq!(shape(&license), expected, "{sample}");

        let module = &license["ExtendedModuleLicenses"][0];
        let numbers = ["InUse", "Free", "Added", "NewTotal", "NewFree", "Total"];
        assert_eq!(numbers.map(|name| &module[format!("NumberOfLicenses{name}")]), [3, 7, 0, 10, 7, 10], "{sample}");
        assert_eq!(license["CanBeActivated"], can_be_activated);
        assert_eq!(license["AccumulatedNextCheckDate"], "2027-01-15T10:00:00Z");
        assert_eq!(license["Current"]["CompanyName"], "Contoso Backup");
        assert_eq!(license["Current"]["ModuleLicenses"][1]["NumberOfLicenses"], 5);
    }
}

/// As they stand there, byte for byte: an owner whom nobody has heard of.
#[test]
fn the_samples_own_owner_is_unknown() {
    let server = start();
    let answer = send(&server, &file(&format!("{AGENT}.http")));
    assert_eq!((answer.status, &*answer.body), (200, "null"), "{answer:?}");

    let address: String = SAMPLE_OWNER.replace(' ', "%20");
    let answer = send(&server, &replaced(&file(&format!("{RESOURCE}.http")), "{ownerName}", &address));
    let error: Json = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(
        (answer.status, &*shape(&error)),
        (404, "{Error:bool ErrorType:string ErrorMessage:string ErrorSource:string}")
    );
    assert_eq!((&error["Error"], &error["ErrorType"]), (&json!(true), &json!("SoNotFoundException")));
}

#[test]
fn the_samples_user_must_be_somebody() {
    let server = Server::with_owners();
    for (sample, status) in [(AGENT, 200), (RESOURCE, 404)] {
        let sample = file(&format!("{sample}.http"));
        let answer = send(&server, &sample);
        assert_eq!((answer.status, answer.header("www-authenticate").is_some()), (401, true), "{answer:?}");
        let ticket = format!("SoTicket {}", server.netserver_sign_in("reader"));
        let answer = send(&server, &replaced(&sample, SAMPLE_AUTHORIZATION, &ticket));
        assert_eq!(answer.status, status, "{answer:?}");
    }
}
