//! The OpenAPI document of the Web API.

use std::path::Path;
use std::process::Command;

use seatkeeper::contract::netserver::openapi;
use serde_json::Value as Json;

use crate::documents::golden;
use crate::validator::{self, INSTALL};

const FILE: &str = "openapi.json";

#[test]
fn the_document_in_the_repository_is_the_one_that_is_served() {
    golden(FILE, &openapi::render("http://localhost:8086"));
}

/// openapi-spec-validator knows the schema of OpenAPI 3.1 and what it says besides. It must see what is spoilt.
#[test]
fn the_document_is_valid() {
    let directory = crate::harness::TempDir::new();
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
        ("#/components/schemas/Error", "#/components/schemas/Nothing"),
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
    assert_eq!((shapes.len(), all), (all, 31));
}
