//! The OpenAPI document of the Web API.

use std::path::Path;
use std::process::Command;

use seatkeeper::auth;
use seatkeeper::contract::netserver::{openapi, web};
use serde_json::Value as Json;

use crate::documents::golden;
use crate::harness::*;
use crate::validator::{self, INSTALL};

const FILE: &str = "openapi.json";

#[test]
fn the_document_in_the_repository_is_the_one_that_is_served() {
    golden(FILE, &openapi::render("http://localhost:8086"));
}

/// openapi-spec-validator knows the schema of OpenAPI 3.1 and what it says besides. It must see what is spoilt.
#[test]
fn the_document_is_valid() {
    let directory = TempDir::new();
    let judge = |name: &str, document: &str| {
        let file = directory.join(name);
        std::fs::write(&file, document).expect("write");
        let output = Command::new(validator::python())
            .args(["-m", "openapi_spec_validator", "--errors", "all"])
            .arg(Path::new(&file))
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}. {INSTALL}", validator::python().display()));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let document = openapi::render("http://localhost:8086");
    let (valid, said) = judge("document.json", &document);
    assert!(valid && said.contains("OK"), "{said} {INSTALL}");
    for (from, to) in [
        ("#/components/schemas/ErrorResponse", "#/components/schemas/Nothing"),
        ("\"in\": \"path\"", "\"in\": \"body\""),
        ("\"v1License_GetShopUrl\"", "\"v1License_GetUserLicenses\""),
        ("\"name\": \"moduleOwner\"", "\"name\": \"owner\""),
    ] {
        assert!(document.contains(from), "no {from}");
        assert!(!judge("spoilt.json", &document.replacen(from, to, 1)).0, "not seen: {from} as {to}");
    }
}

/// Also where the validator does not look: templates are identical if only the names in them differ.
#[test]
fn no_two_paths_are_identical() {
    let document: Json = serde_json::from_str(&openapi::render("")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let unnamed = |path: &String| {
        let segments = path.split('/').map(|s| if s.starts_with('{') { "{}".to_owned() } else { s.to_lowercase() });
        segments.collect::<Vec<_>>().join("/")
    };
    let mut shapes: Vec<String> = paths.keys().map(unnamed).collect();
    shapes.sort();
    let all = shapes.len();
    shapes.dedup();
    assert_eq!((shapes.len(), all), (all, 34));
}

/// What the document's examples name: an owner, with a seat of the associate's and one of another's, so that the owner is
/// not removed on the way.
const SEED: &str = "
    UPDATE entity SET owner_name = 'CONTOSO', serial_nr = '1010000014', expires_at = '2098-02-28T23:59:59Z' WHERE id = 42;
    UPDATE entity SET owner_name = 'FABRIKAM' WHERE id = 43;
    INSERT INTO account (id, username, entity_id) VALUES (7, 'backup07', 42), (8, 'backup08', 42);
    INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, 'SkraftDiskImageV5', 10);
    UPDATE seat SET account_id = 7 WHERE pool_id = 3 AND seat_no = 1;
    UPDATE seat SET account_id = 8 WHERE pool_id = 3 AND seat_no = 2;";

/// schemathesis reads the document as it is served, calls what is in it with what it allows and with what it does not, and
/// holds every answer to it.
#[test]
fn the_service_does_what_its_document_says() {
    // It tries wrong passwords too.
    let auth = auth::Options { failures_max: u32::MAX, ..auth::Options::default() };
    let server = Server::with(Options { seed: sample_data() + SEED, auth, ..Options::default() });
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let directory = TempDir::new();
    let output = Command::new(validator::python())
        .current_dir(directory.join("."))
        .env("SCHEMATHESIS_HOOKS", "openapi_hooks")
        .env("PYTHONPATH", &clients)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(clients.join("schemathesis.toml"))
        .args(["run", "--auth", &format!("admin:{PASSWORD}")])
        .arg(format!("http://{}{}/{}", server.address, web::BASE, web::OPENAPI))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}. {INSTALL}", validator::python().display()));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}\n{INSTALL}");
    // What it was given as the document it does not call.
    let operations = format!("Tested: {}\n", operations() - 1);
    assert!(said.contains(&operations), "not '{operations}': {said}");
    assert_eq!(server.violations(), []);
}

/// Methods on paths.
fn operations() -> usize {
    let document: Json = serde_json::from_str(&openapi::render("")).expect("JSON");
    let items =
        document["paths"].as_object().expect("paths").values().map(|item| item.as_object().expect("a path item"));
    items.map(|item| item.keys().filter(|key| *key != "parameters").count()).sum()
}

/// With several, the client that openapi-python-client generates fails when it sends the list.
#[test]
fn a_list_can_be_sent_as_json_under_one_name_only() {
    let document: Json = serde_json::from_str(&openapi::render("")).expect("JSON");
    let items = document["paths"].as_object().expect("paths").values();
    let bodies =
        items.flat_map(|item| item.as_object().expect("a path item").values()).map(|call| &call["requestBody"]);
    let lists: Vec<Vec<&String>> = bodies
        .filter_map(|body| body["content"].as_object())
        .filter(|content| content.values().any(|of| of["schema"]["type"] == "array"))
        .map(|content| content.keys().collect())
        .collect();
    assert_eq!(lists, [["application/json", "application/xml"], ["application/json", "application/xml"]]);
}
