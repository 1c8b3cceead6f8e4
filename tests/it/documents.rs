//! The documents the service hands out: WSDL, discovery, pages, and the samples on them. The fixed copies in the
//! repository are rewritten with UPDATE_GOLDEN=1 and reviewed as diffs.

use std::path::Path;
use std::process::Command;

use seatkeeper::asmx::{CONTRACT, sample, wsdl};
use seatkeeper::soap::Version;

use crate::harness::*;
use crate::program::{run, seatkeeper};

const ADDRESS: &str =
    "https://secure-sandbox.sosonlinebackup.com/WebApi/AccountManagementService/LicenseManagementService.asmx";

/// Holds the file in the repository to what is rendered; or rewrites it.
pub fn golden(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).expect("write");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert!(found == expected, "{file} is not what is rendered; UPDATE_GOLDEN=1 rewrites it\n{found}");
}

#[test]
fn the_wsdl_in_the_repository_is_the_one_that_is_served() {
    golden("wsdl/LicenseManagementService.wsdl", &wsdl::render(&CONTRACT, ADDRESS));
}

#[test]
fn operations_are_named_as_dot_net_names_them() {
    for operation in CONTRACT.operations {
        let name = operation.name;
        assert_eq!(operation.response, format!("{name}Response"));
        assert_eq!(operation.output.name, format!("{name}Result"));
        assert_eq!(operation.input.name, format!("{name}Request"));
        assert_eq!(operation.output.fields.last().map(|f| f.name), Some("Result"), "behind what it is the result of");
    }
}

#[test]
fn the_wsdl_has_what_generated_clients_depend_on() {
    let document = wsdl::render(&CONTRACT, ADDRESS);
    let mut rest = document.as_str();
    // In this order.
    for part in [
        "targetNamespace=\"sosonlinebackup.com\"",
        "<s:schema elementFormDefault=\"qualified\" targetNamespace=\"sosonlinebackup.com\">",
        "<s:element name=\"AssignLicense\">",
        "<s:element minOccurs=\"0\" maxOccurs=\"1\" name=\"request\" type=\"tns:AssignLicenseRequest\" />",
        "<s:element minOccurs=\"0\" maxOccurs=\"1\" name=\"Username\" type=\"s:string\" />",
        "<s:element minOccurs=\"1\" maxOccurs=\"1\" name=\"LicenseProviderEntityId\" type=\"s:int\" />",
        "<s:element minOccurs=\"1\" maxOccurs=\"1\" name=\"LicenseType\" type=\"tns:LicenseType\" />",
        "<s:simpleType name=\"LicenseType\">",
        "<s:enumeration value=\"SkraftDiskImageV5\" />",
        "<s:enumeration value=\"SqlBackup\" />",
        "<s:enumeration value=\"ExchangeBackup\" />",
        "<s:element name=\"AssignLicenseResponse\">",
        "<s:element minOccurs=\"1\" maxOccurs=\"1\" name=\"Result\" type=\"s:int\" />",
        "<s:element minOccurs=\"0\" maxOccurs=\"1\" name=\"Code\" type=\"s:string\" />",
        "<s:element minOccurs=\"0\" maxOccurs=\"1\" name=\"Message\" type=\"s:string\" />",
        "<s:element name=\"AuthHeader\" type=\"tns:AuthHeader\" />",
        "<s:anyAttribute />",
        "<wsdl:message name=\"AssignLicenseSoapIn\">",
        "<wsdl:part name=\"parameters\" element=\"tns:AssignLicense\" />",
        "<wsdl:message name=\"AssignLicenseSoapOut\">",
        "<wsdl:message name=\"AssignLicenseAuthHeader\">",
        "<wsdl:part name=\"AuthHeader\" element=\"tns:AuthHeader\" />",
        "<wsdl:portType name=\"LicenseManagementServiceSoap\">",
        "Attaches license to user. User should not have already been assigned to the same type of license",
        "<wsdl:binding name=\"LicenseManagementServiceSoap\" type=\"tns:LicenseManagementServiceSoap\">",
        "<soap:operation soapAction=\"sosonlinebackup.com/AssignLicense\" style=\"document\" />",
        "<soap:header message=\"tns:AssignLicenseAuthHeader\" part=\"AuthHeader\" use=\"literal\" />",
        "<wsdl:binding name=\"LicenseManagementServiceSoap12\" type=\"tns:LicenseManagementServiceSoap\">",
        "<soap12:header message=\"tns:AssignLicenseAuthHeader\" part=\"AuthHeader\" use=\"literal\" />",
        "<wsdl:service name=\"LicenseManagementService\">",
        "<wsdl:port name=\"LicenseManagementServiceSoap\" binding=\"tns:LicenseManagementServiceSoap\">",
        "<soap:address location=\"https://secure-sandbox.sosonlinebackup.com/",
        "<wsdl:port name=\"LicenseManagementServiceSoap12\" binding=\"tns:LicenseManagementServiceSoap12\">",
        "<soap12:address location=",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part} behind the one before it"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn the_samples_are_those_of_the_vendors_page() {
    let operation = CONTRACT.operation("AssignLicense").expect("AssignLicense");
    let mut samples = String::new();
    for version in Version::ALL {
        samples += &sample::request(&CONTRACT, operation, version, PATH, "secure-sandbox.sosonlinebackup.com");
        samples += "\n";
        samples += &sample::response(&CONTRACT, operation, version);
        samples += "\n\n";
    }
    golden("tests/golden/samples.txt", &samples);
}

/// The vendor's sample request with nothing but its placeholders filled in, and the vendor's sample response: ours has
/// the same elements in the same order and namespaces, with the result object where the sample shows it empty.
#[test]
fn the_vendors_sample_request_gets_the_vendors_sample_response() {
    let server = Server::start();
    let operation = CONTRACT.operation("AssignLicense").expect("AssignLicense");
    for (version, username) in [(Version::Soap11, "sample11"), (Version::Soap12, "sample12")] {
        let sample = sample::request(&CONTRACT, operation, version, PATH, "secure-sandbox.sosonlinebackup.com");
        let (head, envelope) = sample.split_once("\n\n").expect("head and envelope");
        let envelope = envelope
            .replace("<UserName>string", "<UserName>agent")
            .replace("<Password>string", &format!("<Password>{PASSWORD}"))
            .replace("<Username>string", &format!("<Username>{username}"))
            .replace(">int<", ">42<")
            .replace("SkraftDiskImageV5 or SqlBackup or ExchangeBackup", "SqlBackup");
        let head = head.replace("length", &envelope.len().to_string()).replace('\n', "\r\n");
        let answer = server.send(format!("{head}\r\n\r\n{envelope}").as_bytes());

        let sample = sample::response(&CONTRACT, operation, version);
        let (sample_head, sample_envelope) = sample.split_once("\n\n").expect("head and envelope");
        assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
        assert!(sample_head.starts_with("HTTP/1.1 200 OK\n"));
        let content_type = sample_head.lines().find_map(|l| l.strip_prefix("Content-Type: "));
        assert_eq!(answer.header("content-type"), content_type);
        // The real service writes no white space, and `soap:` for both versions, declared first.
        let expected = sample_envelope
            .lines()
            .map(str::trim)
            .collect::<String>()
            .replace("soap12", "soap")
            .replace("<Result />", "<Result><Result>0</Result><Code>Success</Code><Message /></Result>");
        let soap = format!(" xmlns:soap=\"{}\"", version.namespace());
        let expected = expected.replacen(&soap, "", 1).replacen("<soap:Envelope", &format!("<soap:Envelope{soap}"), 1);
        assert_eq!(answer.body, expected);
    }
}

#[test]
fn pages() {
    let server = Server::start();
    for (query, holds) in [
        (
            "",
            vec![
                "The following operations are supported.",
                "href=\"LicenseManagementService.asmx?WSDL\"",
                "?op=AssignLicense\">AssignLicense</a>",
                "Attaches license to user.",
                "rel=\"alternate\" type=\"text/xml\" href=\"LicenseManagementService.asmx?disco\"",
            ],
        ),
        (
            "?op=AssignLicense",
            vec![
                "for a complete list of operations.",
                "<h2>AssignLicense</h2>",
                "<button type=\"submit\">Invoke</button>",
                "The following is a sample SOAP 1.1 request and response.",
                "The following is a sample SOAP 1.2 request and response.",
                "SOAPAction: &quot;sosonlinebackup.com/AssignLicense&quot;",
                "<span class=\"placeholder\">SkraftDiskImageV5 or SqlBackup or ExchangeBackup</span>",
                "&lt;Result /&gt;",
            ],
        ),
        ("?op=Nope", vec!["Method Not Found", "Method 'Nope' was not found in service LicenseManagementService."]),
        ("?op=%3Cscript%3E", vec!["Method '&lt;script&gt;' was not found"]),
        ("?op=a%0d%00b%ff%zz", vec!["Method 'a\u{FFFD}\u{FFFD}b\u{FFFD}%zz' was not found"]),
        ("?op=Assign%4Cicense", vec!["<h2>AssignLicense</h2>"]),
        ("?from=mail&OP=AssignLicense", vec!["<h2>AssignLicense</h2>"]),
        ("?anything", vec!["The following operations are supported."]),
    ] {
        let page = server.get(&format!("{PATH}{query}"));
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{query}");
        assert!(page.header("content-security-policy").is_some_and(|p| p.starts_with("default-src 'none'")), "{query}");
        assert!(!page.body.contains("<script") && !page.body.contains("style="), "nothing inline: {query}");
        for part in holds {
            assert!(page.body.contains(part), "{query}: no {part} in {}", page.body);
        }
    }
    let style = server.get(&format!("{PATH}?style"));
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    // The pages for administrators are there.
    let root = server.get("/");
    assert_eq!((root.status, root.header("location")), (303, Some("./sign-in")));
}

#[test]
fn addresses_are_what_the_client_used() {
    let server = Server::start();
    let typed = PATH.replace("WebApi", "webapi");
    let wsdl = |host: &str| {
        let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
        let version = if host.is_empty() { "1.0" } else { "1.1" };
        server.send(format!("GET {typed}?wSdL HTTP/{version}\r\n{host}\r\n").as_bytes())
    };
    let answer = wsdl("licenses.example:8443");
    assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
    for port in ["soap", "soap12"] {
        let location = format!("<{port}:address location=\"http://licenses.example:8443{typed}\" />");
        assert!(answer.body.contains(&location), "{}", answer.body);
    }
    assert!(
        wsdl("").body.contains(&format!("location=\"http://{}{typed}\"", server.address)),
        "no Host: our own address"
    );
    assert!(wsdl("a&lt;b").body.contains("http://a&amp;lt;b/"), "whatever it is, it stays a value");
    assert_eq!(wsdl("a\"><b").status, 400, "no host has that in its name");
    let disco = server.get(&format!("{typed}?DISCO"));
    assert!(disco.body.contains(&format!("docRef=\"http://{}{typed}\"", server.address)), "{}", disco.body);

    let public =
        Server::with(Options { public_url: Some("https://licenses.example".to_owned()), ..Options::default() });
    let answer = public.get(&format!("{PATH}?wsdl"));
    assert!(answer.body.contains(&format!("location=\"https://licenses.example{PATH}\"")));
    assert!(public.get(&format!("{PATH}?op=AssignLicense")).body.contains("Host: licenses.example\n"));
}

#[test]
fn addresses_behind_a_trusted_proxy_are_what_its_client_used() {
    let ask = |server: &Server, headers: &str| {
        let request = format!("GET {PATH}?wsdl HTTP/1.1\r\nHost: inside:8086\r\n{headers}\r\n");
        server.send(request.as_bytes()).body
    };
    const HEADERS: &str =
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: licenses.example\r\nX-Forwarded-For: 192.0.2.7\r\n";
    let trusting = Server::with(Options { trusted_proxies: "127.0.0.0/8", ..Options::default() });
    assert!(ask(&trusting, HEADERS).contains(&format!("location=\"https://licenses.example{PATH}\"")));
    assert!(ask(&trusting, "").contains(&format!("location=\"http://inside:8086{PATH}\"")));
    assert!(ask(&Server::start(), HEADERS).contains(&format!("location=\"http://inside:8086{PATH}\"")), "not trusted");
}

#[test]
fn health() {
    let server = Server::start();
    assert_eq!(server.get("/healthz").body, "ok\n");
    assert_eq!(server.get("/readyz").body, "ready\n");
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const SENTENCE: &str = "The test form is only available for requests from the local machine.";

/// Sends the form as a browser does that shows the page of this host.
pub fn fill_in(server: &Server, host: &str, headers: &str, body: &str) -> Answer {
    let request = post(&format!("{FORM}{headers}"), body.as_bytes());
    let request = String::from_utf8(request).expect("text").replacen(PATH, &format!("{PATH}?op=AssignLicense"), 1);
    server.send(request.replacen("test.example", host, 1).as_bytes())
}

/// The header that every browser sends with a form.
pub fn origin(host: &str) -> String {
    format!("Origin: http://{host}\r\n")
}

#[test]
fn the_test_form_sends_what_was_filled_in() {
    let server = Server::start();
    let filled = format!(
        "UserName=agent&Password={}&Username=b%26b+1&LicenseProviderEntityId=42&LicenseType=SqlBackup&SOAP=1.2",
        PASSWORD.replace('!', "%21")
    );
    let local = origin("localhost");
    let page = fill_in(&server, "localhost", &format!("{local}Sec-Fetch-Site: same-origin\r\n"), &filled);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for part in [
        "&lt;Username&gt;b&amp;amp;b 1&lt;/Username&gt;",
        "http://www.w3.org/2003/05/soap-envelope",
        "HTTP 200 OK",
        "&lt;Code&gt;Success&lt;/Code&gt;",
        "value=\"b&amp;b 1\"",
        "<option selected>1.2</option>",
        "&lt;Password&gt;********&lt;/Password&gt;",
    ] {
        assert!(page.body.contains(part), "no {part} in {}", page.body);
    }
    assert!(!page.body.contains(PASSWORD), "the password is not repeated");
    assert_eq!(server.query::<String>("SELECT username FROM account"), "b&b 1");
    let empty = fill_in(&server, "localhost", &local, "");
    assert!(empty.body.contains("InvalidSoapCredentials"), "{}", empty.body);
    let wrong = fill_in(&server, "localhost", &local, &filled.replace("=42", "=forty-two"));
    assert!(wrong.body.contains("Input string was not in a correct format."), "{}", wrong.body);
}

#[test]
fn the_test_form_is_for_the_local_machine_only() {
    let server = Server::start();
    let shows = |server: &Server, version: &str, host: &str, headers: &str| {
        let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
        let request = format!("GET {PATH}?op=UnassignLicense HTTP/{version}\r\n{host}{headers}\r\n");
        let page = server.send(request.as_bytes());
        assert_eq!(page.status, 200, "{host} {headers}");
        assert_ne!(page.body.contains(SENTENCE), page.body.contains("<form "), "{host} {headers}");
        page.body.contains("<form ")
    };
    for host in ["localhost", "LOCALHOST:8086", "127.0.0.1", "127.0.0.1:8086", "127.9.8.7", "[::1]", "[::1]:8086"] {
        assert!(shows(&server, "1.1", host, ""), "{host}");
        assert_eq!(fill_in(&server, host, &origin(host), "").status, 200, "{host}");
    }
    // Names of others, which may lead here all the same.
    for host in [
        "test.example",
        "localhost.example",
        "127.0.0.1.example",
        "128.0.0.1",
        "[::2]",
        "[2001:db8::1]",
        "0.0.0.0",
        "a",
    ] {
        assert!(!shows(&server, "1.1", host, ""), "{host}");
        assert_eq!(fill_in(&server, host, &origin(host), "").status, 415, "{host}");
    }
    let absolute = format!("GET http://test.example{PATH}?op=AssignLicense HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(server.send(absolute.as_bytes()).body.contains(SENTENCE), "the host of the target counts");

    // What nginx passes on as it is installed.
    assert!(!shows(&server, "1.0", "127.0.0.1:8086", "Connection: close\r\n"));
    assert!(!shows(&server, "1.0", "", ""));
    // What else tells of a proxy.
    for name in [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "X-Forwarded-Anything",
        "X-Real-IP",
        "Via",
        "CF-Connecting-IP",
        "CF-Ray",
        "True-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
        "X-Azure-ClientIP",
        "X-Original-URL",
        "X-ARR-LOG-ID",
        "X-Envoy-External-Address",
        "X-Amzn-Trace-Id",
        "X-Original-Forwarded-For",
        "Front-End-Https",
        "CDN-Loop",
    ] {
        let header = format!("{name}: 127.0.0.1\r\n");
        assert!(!shows(&server, "1.1", "localhost", &header), "{name}");
        assert_eq!(fill_in(&server, "localhost", &(origin("localhost") + &header), "").status, 415, "{name}");
    }
    for options in [
        Options { test_form: false, ..Options::default() },
        Options { trusted_proxies: "127.0.0.1", ..Options::default() },
        Options { public_url: Some("https://licenses.example".to_owned()), ..Options::default() },
    ] {
        let server = Server::with(options);
        assert!(!shows(&server, "1.1", "localhost", ""));
        assert_eq!(fill_in(&server, "localhost", &origin("localhost"), "").status, 415);
    }
    let arrays = server.get(&format!("{PATH}?op=AssignLicenses")).body;
    assert!(arrays.contains("The test form is only available for methods with primitive types as parameters."));
}

/// The page of another site cannot send the form, and neither can one that a proxy passed on and gave our name.
#[test]
fn the_test_form_is_sent_from_its_own_page_only() {
    let server = Server::start();
    let own = origin("localhost");
    for (headers, status) in [
        (own.clone(), 200),
        (format!("{own}Sec-Fetch-Site: same-origin\r\n"), 200),
        (format!("{own}Sec-Fetch-Site: cross-site\r\n"), 415),
        (format!("{own}Sec-Fetch-Site: same-site\r\n"), 415),
        (format!("{own}Sec-Fetch-Site: none\r\n"), 415),
        (String::new(), 415),
        ("Origin: null\r\n".to_owned(), 415),
        (origin("elsewhere.example"), 415),
        (origin("localhost:81"), 415),
        ("Origin: https://localhost\r\n".to_owned(), 415),
        ("Origin: https://licenses.example\r\n".to_owned(), 415),
    ] {
        assert_eq!(fill_in(&server, "localhost", &headers, "").status, status, "{headers}");
    }
}

/// docs/admins.md has each task of a day as commands and as SQL. Both run here, on databases that are the same in the beginning, and have to
/// come to the same.
#[test]
fn the_days_work_comes_to_the_same_by_commands_and_by_sql() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admins.md");
    // So that no pool expires as the years go by.
    let document =
        std::fs::read_to_string(path).expect("docs/admins.md").replace("'2027-", "'2097-").replace("2028-", "2098-");
    let section = |heading: &str| {
        let (_, section) = document.split_once(&format!("\n## {heading}\n")).expect(heading);
        section.split("\n## ").next().expect("a section").to_owned()
    };
    let blocks = |section: &str| -> Vec<(String, String)> {
        let block = |rest: &str| {
            let (language, rest) = rest.split_once('\n')?;
            Some((language.to_owned(), rest.split("\n```").next()?.to_owned()))
        };
        section.split("\n```").skip(1).step_by(2).filter_map(block).collect()
    };
    let (by_commands, by_sql) = (TempDir::new(), TempDir::new());
    let (one, other) = (by_commands.join("seats.db"), by_sql.join("seats.db"));
    let (_, seed) = blocks(&section("Seeding")).into_iter().next().expect("SQL");
    for database in [&one, &other] {
        let seeded = seatkeeper("sql --create", database, &[], &seed);
        assert_eq!(seeded.code, Some(0), "{seeded:?}");
    }
    let program = Path::new(env!("CARGO_BIN_EXE_seatkeeper")).parent().expect("its folder").to_owned();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut request_id = String::new();
    let tasks = blocks(&section("The day's work"));
    assert!(tasks.iter().filter(|(language, _)| language == "sh").count() > 12, "{tasks:?}");
    for (language, text) in tasks {
        if language == "sql" {
            let done = seatkeeper("sql", &other, &[], &text);
            assert_eq!(done.code, Some(0), "{text}\n{done:?}");
            continue;
        }
        assert_eq!(language, "sh");
        let text = text.replace("REQUEST-ID", &request_id);
        let mut bash = Command::new("bash");
        bash.args(["-eo", "pipefail", "-c", &text]).current_dir(one.parent().expect("a folder"));
        let done = run(bash.env_clear().env("PATH", &path), "");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{text}\n{}", done.stdout);
        if let Some(id) = done.stdout.lines().rev().find_map(|line| line.strip_prefix("request id: ")) {
            id.clone_into(&mut request_id);
        }
    }
    for query in [
        "SELECT id || ' ' || parent_id || name || active || coalesce(customer_nr, '') FROM entity WHERE id > 1 ORDER BY id",
        "SELECT id || ' ' || entity_id || license_type || seats_total || ' ' || seats_in_use || expires_at || coalesce(note, '')
           FROM license_pool ORDER BY id",
        "SELECT username || ' ' || entity_id || ' ' || active FROM account ORDER BY username",
        "SELECT user_name || ' ' || entity_id || role || active FROM credential ORDER BY user_name",
        "SELECT username || ' ' || pool_id FROM seat JOIN account ON account.id = account_id ORDER BY username",
        "SELECT entity_id || ' ' || expires_at FROM license_offer",
        "SELECT entity_id || ' ' || license_type || seats_total FROM license_offer_module",
    ] {
        let found = texts(&one, query);
        assert_eq!(found, texts(&other, query), "{query}");
        assert!(!found.is_empty(), "{query}");
    }
    assert_eq!((violations(&one), violations(&other)), (Vec::new(), Vec::new()));
}
