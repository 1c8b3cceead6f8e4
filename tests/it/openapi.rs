//! The OpenAPI document of the Web API.

use std::path::Path;
use std::process::Command;

use seatkeeper::auth;
use seatkeeper::netserver::web_api::{self, openapi, swagger};
use serde_json::Value as Json;

use crate::documents::golden;
use crate::harness::*;
use crate::validator::{self, INSTALL};

const URL: &str = "http://localhost:8086";

#[test]
fn the_documents_in_the_repository_are_the_ones_that_are_served() {
    golden("openapi.json", &openapi::render(URL));
    golden("swagger.json", &swagger::render(URL));
    let server = Server::with_owners();
    let url = format!("http://{}", server.address);
    for (file, rendered) in [(web_api::OPENAPI, openapi::render(&url)), (web_api::SWAGGER, swagger::render(&url))] {
        let served = server.get(&format!("{}/{file}", web_api::BASE));
        assert_eq!((served.status, served.header("content-type")), (200, Some("application/json; charset=utf-8")));
        assert!(served.body == rendered, "{file}");
    }
}

/// openapi-spec-validator knows the schemas of OpenAPI 3.1 and Swagger 2.0, and what they say besides. It must see what is
/// spoilt.
#[test]
fn the_documents_are_valid() {
    const OPENAPI: [(&str, &str); 4] = [
        ("#/components/schemas/ErrorResponse", "#/components/schemas/Nothing"),
        ("\"in\": \"path\"", "\"in\": \"body\""),
        ("\"v1License_GetShopUrl\"", "\"v1License_GetUserLicenses\""),
        ("\"name\": \"moduleOwner\"", "\"name\": \"owner\""),
    ];
    const SWAGGER: [(&str, &str); 5] = [
        ("#/definitions/ErrorResponse", "#/definitions/Nothing"),
        ("\"in\": \"path\"", "\"in\": \"body\""),
        ("\"v1License_GetShopUrl\"", "\"v1License_GetUserLicenses\""),
        ("\"type\": \"basic\"", "\"type\": \"http\""),
        ("\"schemes\"", "\"servers\""),
    ];
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
    for (document, spoilt) in [(openapi::render(URL), &OPENAPI[..]), (swagger::render(URL), &SWAGGER)] {
        let (valid, said) = judge("document.json", &document);
        assert!(valid && said.contains("OK"), "{said} {INSTALL}");
        for (from, to) in spoilt {
            assert!(document.contains(from), "no {from}");
            assert!(!judge("spoilt.json", &document.replacen(from, to, 1)).0, "not seen: {from} as {to}");
        }
    }
}

/// Both describe the same calls: their names, addresses, arguments and answers.
#[test]
fn both_documents_describe_the_same_calls() {
    let parsed = |text: String| serde_json::from_str::<Json>(&text).expect("JSON");
    let (newer, older) = (parsed(openapi::render(URL)), parsed(swagger::render(URL)));
    let names = |of: &Json| of.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&newer["paths"]), names(&older["paths"]));
    assert_eq!(names(&newer["components"]["schemas"]), names(&older["definitions"]));
    for path in names(&newer["paths"]) {
        let (newer, older) = (&newer["paths"][&path], &older["paths"][&path]);
        assert_eq!(names(newer), names(older), "{path}");
        for method in names(newer).iter().filter(|name| *name != "parameters") {
            let (newer, older) = (&newer[method], &older[method]);
            assert_eq!(newer["operationId"], older["operationId"]);
            assert_eq!(names(&newer["responses"]), names(&older["responses"]), "{path}");
            let parameters = |of: &Json| of["parameters"].as_array().map_or(0, Vec::len);
            let bodies = usize::from(newer["requestBody"].is_object());
            assert_eq!(parameters(newer) + bodies, parameters(older), "{path}");
        }
    }
    // Nothing of the newer words is left.
    let text = older.to_string();
    for word in ["#/components", "anyOf", "requestBody", "\"null\"", "\"const\"", "\"examples\"", "contentEncoding"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn the_address_of_a_swagger_document_is_in_parts() {
    for (url, expected) in [
        ("http://localhost:8086", ["http", "localhost:8086", "/"]),
        ("https://licenses.example", ["https", "licenses.example", "/"]),
        ("https://licenses.example/SuperOffice", ["https", "licenses.example", "/SuperOffice"]),
        ("https://licenses.example/a/b/", ["https", "licenses.example", "/a/b"]),
        ("http://[::1]:8086", ["http", "[::1]:8086", "/"]),
    ] {
        let document: Json = serde_json::from_str(&swagger::render(url)).expect("JSON");
        let found = [&document["schemes"][0], &document["host"], &document["basePath"]];
        assert_eq!(found, expected, "{url}");
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
    assert_eq!((shapes.len(), all), (all, 35));
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
    let server = Server::with(Options { seed: sample_data() + SEED, auth, in_memory: true, ..Options::default() });
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
        .arg(format!("http://{}{}/{}", server.address, web_api::BASE, web_api::OPENAPI))
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

/// openapi-generator makes clients from either document, which take what is sent for what it is, with nulls wherever
/// `$select` leaves them.
#[test]
fn generated_clients_read_what_is_sent() {
    for document in [web_api::OPENAPI, web_api::SWAGGER] {
        let server = Server::with(Options { seed: sample_data() + SEED, ..Options::default() });
        let base = format!("http://{}", server.address);
        let output = Command::new(validator::python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/openapi_client.py"))
            .arg(format!("{base}{}/{document}", web_api::BASE))
            .args([&*base, "admin", PASSWORD, "CONTOSO", "7"])
            .env("NO_PROXY", "*")
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}. {INSTALL}", validator::python().display()));
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{document}: {said}\n{told}\n{INSTALL}");
        // The generator writes there too.
        let calls: Vec<Json> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(calls.len(), 78, "{said}");
        for mut call in calls {
            assert_eq!(call["status"], 200);
            let [read, sent] = ["read", "sent"].map(|name| without_nulls(call[name].take()));
            assert_eq!(read, sent, "{document}: {call}");
        }
        assert_eq!(server.violations(), []);
    }
}

/// What is null some clients leave out.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            members.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
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
