//! One address, however a client spells it, on every surface; and addresses below a prefix.

use crate::harness::*;
use crate::web::{AGENT, JSON, OWNER, SEED, basic, parsed};

fn server(path_prefix: Option<&'static str>) -> Server {
    Server::with(Options { seed: sample_data() + SEED, path_prefix, ..Options::default() })
}

/// Something to ask at an address of each surface.
struct Asked {
    method: &'static str,
    path: String,
    query: &'static str,
    headers: String,
    body: String,
    /// What stands in the response.
    part: &'static str,
}

fn surfaces() -> Vec<Asked> {
    let get = |path: &str, query, part| Asked {
        method: "GET",
        path: path.to_owned(),
        query,
        headers: basic("admin", PASSWORD),
        body: String::new(),
        part,
    };
    let post = |path: &str, headers: &str, body: String, part| Asked {
        method: "POST",
        path: path.to_owned(),
        query: "",
        headers: headers.to_owned(),
        body,
        part,
    };
    let xml = "Content-Type: text/xml\r\n";
    let sign_in = String::from_utf8(authenticate("agent", PASSWORD)).expect("text");
    let (_, sign_in) = sign_in.split_once("\r\n\r\n").expect("a body");
    let details = call11("GetAssignedLicenseDetails", "agent", "<Username>nobody</Username>");
    let details = String::from_utf8(details).expect("text").split_once("\r\n\r\n").expect("a body").1.to_owned();
    vec![
        post(PATH, xml, details, "<Code>InvalidInputParameters</Code>"),
        get(PATH, "?WSDL", "<soap:address location="),
        get(PATH, "?op=AssignLicense", "<h2>AssignLicense</h2>"),
        get(PATH, "?disco", "docRef="),
        get(PATH, "?style", "body"),
        post(SO_PRINCIPAL_PATH, xml, sign_in.to_owned(), "<AuthenticationSucceeded>true"),
        get(LICENSE_PATH, "?wsdl", "address location="),
        get(&format!("{}/", LICENSE_PATH), "", "This is a service of SOAP"),
        get("/api", "", "NetServerVersion"),
        get("/api/v1/", "", "/api/v1/License/{ownerName}"),
        get("/api/v1/openapi.json", "", "\"3.1.0\""),
        post(
            &format!("{AGENT}/GetShopUrl"),
            &(basic("admin", PASSWORD) + JSON),
            r#"{"OwnerName":"CONTOSO"}"#.to_owned(),
            "https://shop.example/",
        ),
        get(OWNER, "?$select=Current/OwnerName", "CONTOSO"),
        get(&format!("{OWNER}/7"), "", "SKRAFTDISKIMAGEV5"),
        get("/api/v1/License", "", "CONTOSO"),
        get("/healthz", "", "ok\n"),
        get("/readyz", "", "ready\n"),
    ]
}

impl Asked {
    /// Its response at this spelling of its path, without what differs from call to call.
    fn at(&self, server: &Server, target: &str) -> (u16, String) {
        let Asked { method, query, headers, body, .. } = self;
        let request = format!(
            "{method} {target}{query} HTTP/1.1\r\nHost: licenses.example\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = server.send(request.as_bytes());
        let id = answer.header("x-request-id").map(str::to_owned).unwrap_or_default();
        let ticket = answer.element("Ticket").unwrap_or_default();
        let mut body = answer.body.replace(&id, "ID");
        if !ticket.is_empty() {
            body = body.replace(&ticket, "TICKET");
        }
        (answer.status, body)
    }
}

/// The letters, digits and other unreserved characters of a path, escaped.
fn escaped(path: &str, digits: fn(u8) -> String) -> String {
    path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { digits(byte) }).collect()
}

/// What a way to spell paths is called, and another spelling of a path.
type Spelling = (&'static str, fn(&str) -> String);

/// As RFC 3986 §6.2.2 has them, and what clients make of a base address that ends in a slash.
const SPELLINGS: &[Spelling] = &[
    ("two slashes in front", |path| format!("/{path}")),
    ("many slashes in front", |path| format!("////{path}")),
    ("a dot in front", |path| format!("/.{path}")),
    ("a dot behind every slash", |path| path.replace('/', "/./").trim_end_matches("./").to_owned()),
    ("a detour in front", |path| format!("/x/..{path}")),
    ("a detour behind every slash", |path| path.replace('/', "/x/../").trim_end_matches("x/../").to_owned()),
    ("a climb above the root", |path| format!("/../..{path}")),
    ("an escaped dot in front", |path| format!("/%2e{path}")),
    ("an escaped detour", |path| format!("/x/%2E%2e{path}")),
    ("half escaped dots", |path| format!("/x/.%2e{path}")),
    ("all escaped", |path| escaped(path, |byte| format!("%{byte:02X}"))),
    ("all escaped, in lower case", |path| escaped(path, |byte| format!("%{byte:02x}"))),
    ("only dots escaped", |path| path.replace('.', "%2E")),
    ("the absolute form", |path| format!("http://licenses.example{path}")),
    ("the absolute form with all of it", |path| format!("HTTP://licenses.example//x/.././{path}")),
];

#[test]
fn equivalent_addresses_are_served_alike_on_every_surface() {
    let server = server(None);
    for asked in surfaces() {
        let expected = asked.at(&server, &asked.path);
        assert_eq!(expected.0, 200, "{}: {}", asked.path, expected.1);
        assert!(expected.1.contains(asked.part), "{}: {}", asked.path, expected.1);
        for (how, spelled) in SPELLINGS {
            let target = spelled(&asked.path);
            assert_eq!(asked.at(&server, &target), expected, "{how}: {} {target}{}", asked.method, asked.query);
        }
        for target in [asked.path.to_uppercase(), asked.path.to_lowercase()] {
            let (status, body) = asked.at(&server, &target);
            // An owner's name is not what compares without regard to case here, only what is before it.
            assert_eq!(status, 200, "{target}: {body}");
        }
        // Doubled everywhere, where no segment is an argument.
        if !asked.path.starts_with(OWNER) {
            let target = asked.path.replace('/', "//");
            assert_eq!(asked.at(&server, &target), expected, "{target}");
        }
    }
}

/// Addresses that clients are given are as they typed them, but for what is left over of a careless spelling.
#[test]
fn addresses_in_documents_are_in_normal_form() {
    let server = server(None);
    let typed = PATH.replace("WebApi", "WEBAPI");
    for target in [format!("//x/..{typed}"), typed.replace("WEBAPI", "%57EBAPI").replace('/', "//")] {
        let wsdl = server.get(&format!("{target}?WSDL")).body;
        assert!(wsdl.contains(&format!("location=\"http://{}{typed}\"", server.address)), "{wsdl}");
        let page = server.get(&format!("{target}?op=AssignLicense")).body;
        assert!(page.contains(&format!("POST {typed} HTTP/1.1")), "{page}");
    }
    let wsdl = server.get(&format!("/./{}/?wsdl", LICENSE_PATH)).body;
    assert!(wsdl.contains(&format!("location=\"http://{}{}\"", server.address, LICENSE_PATH)), "{wsdl}");
    // The host of an absolute form counts, not the other one (RFC 9112 §3.2.2).
    let request = format!("GET http://other.example:81/./{PATH}?wsdl HTTP/1.1\r\nHost: inside\r\n\r\n");
    let wsdl = server.send(request.as_bytes()).body;
    assert!(wsdl.contains(&format!("location=\"http://other.example:81{PATH}\"")), "{wsdl}");
    for host in ["user@other.example", "other.example:99999", "a,b"] {
        let request = format!("GET http://{host}/healthz HTTP/1.1\r\nHost: inside\r\n\r\n");
        assert_eq!(server.send(request.as_bytes()).status, 400, "{host}");
    }
}

/// What only looks like an address of ours is none: it is decoded once, and a slash that is escaped is data.
#[test]
fn other_addresses_stay_others() {
    let server = server(None);
    let path = |from: &str, to: &str| PATH.replacen(from, to, 1);
    for target in [
        path("Api/", "Api%2F"),
        path("Api/", "Api%2f"),
        path("Api/", "Api%5C"),
        path("Api/", "Api\\"),
        path("WebApi", "%2557ebApi"),
        path("WebApi", "%EF%BC%B7ebApi"),
        path("WebApi", "%C1%97ebApi"),
        path("WebApi", "WebApi%00"),
        path("WebApi", "WebApi%20"),
        path("WebApi", "WebApi."),
        path("WebApi", "WebApi;x=1"),
        path("/WebApi", "/x%2F..%2FWebApi"),
        path("/WebApi", "/x/%252e%252e/WebApi"),
        path("/WebApi", "/x/%c0%ae%c0%ae/WebApi"),
        path("/WebApi", "/.../WebApi"),
        // Some readers take away the empty segment, others the name in front of it.
        path("/WebApi", "/x//../WebApi"),
        path("/WebApi", "//../WebApi"),
        "/healthz%2f".to_owned(),
        "/healthz%3F".to_owned(),
        "/healthz/x".to_owned(),
        "/healthz/..%2f".to_owned(),
    ] {
        assert_eq!(server.get(&target).status, 404, "{target}");
    }
}

/// In the resource an empty segment is a forgotten argument, and a dot segment may be one: nothing is done to the owner
/// that the rest of the address happens to name.
#[test]
fn nothing_is_deleted_by_a_path_that_is_not_in_normal_form() {
    let server = server(None);
    server.sql("UPDATE seat SET account_id = NULL");
    let ask = |line: &str| {
        let admin = basic("admin", PASSWORD);
        server.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{admin}\r\n").as_bytes())
    };
    for path in [
        "CONTOSO/7/..",
        "CONTOSO/.",
        "CONTOSO/%2e%2E/CONTOSO",
        "x/../CONTOSO",
        "/CONTOSO",
        "CONTOSO//",
        "CONTOSO/x//..",
    ] {
        let answer = ask(&format!("DELETE /api/v1/License/{path}"));
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert_eq!(ask("DELETE /x/../api/v1/License/CONTOSO").status, 404);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM entity WHERE owner_name = 'CONTOSO'"), 1);
    for (path, status) in [("/CONTOSO", 404), ("CONTOSO//7", 404), ("x/../CONTOSO", 200), ("./CONTOSO/./7", 200)] {
        assert_eq!(ask(&format!("GET /api/v1/License/{path}")).status, status, "{path}");
    }
    // An escaped slash is part of a name.
    assert_eq!(ask("GET /api/v1/License/CONTOSO%2f7").status, 404);
    assert_eq!(ask("DELETE //api//v1//License/CONTOSO").status, 200, "no argument is in doubt");
}

const PREFIX: &str = "/SuperOffice";

#[test]
fn every_surface_is_below_the_prefix_too() {
    let plain = server(None);
    let server = server(Some(PREFIX));
    for asked in surfaces() {
        let expected = asked.at(&plain, &asked.path);
        let (status, body) = asked.at(&server, &asked.path);
        assert_eq!((status, &body), (expected.0, &expected.1), "{}: at the root nothing is different", asked.path);

        let below = format!("{PREFIX}{}", asked.path);
        let (status, body) = asked.at(&server, &below);
        assert_eq!(status, 200, "{below}: {body}");
        // Addresses begin with the prefix, and sample messages have it.
        let host = "http://licenses.example";
        let expected = expected.1.replace(&format!("{host}/"), &format!("{host}{PREFIX}/"));
        let expected = expected.replace(&format!("POST {PATH}"), &format!("POST {PREFIX}{PATH}"));
        let expected = expected.replace(&format!("\"url\":\"{host}\""), &format!("\"url\":\"{host}{PREFIX}\""));
        let expected = expected.replace(&format!("\"url\": \"{host}\""), &format!("\"url\": \"{host}{PREFIX}\""));
        assert_eq!(body, expected, "{below}");

        for target in
            [below.replace("Super", "%53uper"), format!("//x/..{below}"), format!("http://licenses.example{below}")]
        {
            assert_eq!(asked.at(&server, &target), (200, body.clone()), "{target}");
        }
        assert_eq!(asked.at(&server, &below.to_lowercase()).0, 200);
        for other in [format!("{PREFIX}x{}", asked.path), format!("{PREFIX}{PREFIX}{}", asked.path)] {
            assert_eq!(asked.at(&server, &other).0, 404, "{other}");
        }
        assert_eq!(asked.at(&plain, &below).0, 404, "without the setting");
    }
}

#[test]
fn addresses_below_the_prefix_are_what_the_client_used() {
    let typed = "/superoffice";
    let public_url = Some("https://licenses.example".to_owned());
    let public = Server::with(Options { path_prefix: Some(PREFIX), public_url, ..Options::default() });
    let wsdl = public.get(&format!("{typed}{PATH}?WSDL")).body;
    assert!(wsdl.contains(&format!("location=\"https://licenses.example{typed}{PATH}\"")), "{wsdl}");
    let wsdl = public.get(&format!("{PATH}?WSDL")).body;
    assert!(wsdl.contains(&format!("location=\"https://licenses.example{PATH}\"")), "{wsdl}");

    let server = server(Some("/a/SuperOffice"));
    let openapi = parsed(&server.get("/A/superoffice/api/v1/openapi.json"));
    assert_eq!(openapi["servers"][0]["url"], format!("http://{}/A/superoffice", server.address));
    let listing = parsed(&server.get("/a/SuperOffice/api"));
    assert_eq!(listing["v1"], format!("http://{}/a/SuperOffice/api/v1", server.address));
    for (target, location) in [
        ("/", "./sign-in"),
        ("/a/SuperOffice", "/a/SuperOffice/sign-in"),
        ("/a/SuperOffice/", "/a/SuperOffice/sign-in"),
        ("/a//SuperOffice//", "/a/SuperOffice/sign-in"),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.header("location")), (303, Some(location)), "{target}");
    }
    for target in ["/a", "/a/", "/SuperOffice/healthz", "/a/SuperOffice/x"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    let page = server.get(&format!("/a/SuperOffice{PATH}/AssignLicense"));
    assert!(page.status == 500 && page.body.contains("unexpectedly ending in '/AssignLicense'"), "{page:?}");
    assert!(page.body.contains("href=\"../LicenseManagementService.asmx\""), "{page:?}");
}
