//! What the NetServer services say of themselves: their WSDLs against the facts of the vendor's, the address in them, and the
//! page for people.

use std::path::Path;

use seatkeeper::contract::netserver::{Contract, LICENSE, SO_PRINCIPAL, wsdl};

use crate::documents::golden;
use crate::harness::*;
use crate::validator;

const SERVICES: [&Contract; 2] = [&LICENSE, &SO_PRINCIPAL];

#[test]
fn the_wsdls_state_the_facts_of_the_vendors() {
    let server = Server::with_owners();
    for contract in SERVICES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/netserver/{}.facts", contract.name));
        let expected = std::fs::read_to_string(file).expect("facts");
        for query in ["wsdl", "singleWsdl"] {
            let served = server.get(&format!("{}?{query}", contract.path));
            assert_eq!(served.header("content-type"), Some("text/xml; charset=utf-8"));
            let found = facts(&served.body);
            for (number, (found, expected)) in (1..).zip(found.lines().zip(expected.lines())) {
                assert_eq!(found, expected, "{} ?{query}, fact {number}", contract.name);
            }
            assert_eq!(found.lines().count(), expected.lines().count(), "{} ?{query}", contract.name);
        }
    }
}

/// The facts that a WSDL states, one a line.
fn facts(wsdl: &str) -> String {
    validator::run("contract_facts.py", wsdl)
}

#[test]
fn the_wsdls_in_the_repository_are_the_ones_that_are_served() {
    for contract in SERVICES {
        let address = format!("https://licenses.example{}", contract.path);
        golden(&format!("wsdl/{}.svc.wsdl", contract.name), &wsdl::render(contract, &address));
    }
}

#[test]
fn a_wsdl_is_one_document() {
    let server = Server::with_owners();
    for contract in SERVICES {
        let get = |query: &str| server.get(&format!("{}?{query}", contract.path)).body;
        let document = get("wsdl");
        for elsewhere in ["schemaLocation", "wsdl:import", "xs:include", "xsd="] {
            assert!(!document.contains(elsewhere), "{elsewhere} in {}", contract.name);
        }
        // In any case, and with parameters of others around it.
        for query in ["WSDL", "Wsdl=", "singleWsdl", "SINGLEWSDL", "from=mail&wsdl", "wsdl&v=1"] {
            assert!(get(query) == document, "{query}");
        }
    }
}

/// Where the port is, in the WSDL that this request gets.
fn address(server: &Server, target: &str, headers: &str) -> String {
    let answer = server.send(format!("GET {target} HTTP/1.1\r\n{headers}\r\n").as_bytes());
    let (_, rest) = answer.body.split_once("<soap:address location=\"").unwrap_or_else(|| panic!("{answer:?}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn the_address_is_the_one_the_client_used() {
    const FORWARDED: &str = "Host: inside:8086\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: licenses.example\r\n";
    let plain = Server::with_owners();
    let trusting = Server::with(Options { trusted_proxies: "127.0.0.0/8", ..Options::default() });
    let public =
        Server::with(Options { public_url: Some("https://licenses.example".to_owned()), ..Options::default() });
    for contract in SERVICES {
        let path = contract.path;
        let (lower, upper) = (path.to_ascii_lowercase(), path.to_ascii_uppercase());
        let slash = format!("{path}/");
        for (server, typed, headers, expected) in [
            (&plain, path, "Host: licenses.example:8443\r\n", format!("http://licenses.example:8443{path}")),
            (&plain, &lower, "Host: a.example\r\n", format!("http://a.example{lower}")),
            (&plain, &upper, "Host: a.example\r\n", format!("http://a.example{upper}")),
            (&plain, &slash, "Host: a.example\r\n", format!("http://a.example{path}")),
            (&plain, path, FORWARDED, format!("http://inside:8086{path}")),
            (&trusting, path, FORWARDED, format!("https://licenses.example{path}")),
            (&trusting, &slash, FORWARDED, format!("https://licenses.example{path}")),
            (&trusting, path, "Host: inside:8086\r\n", format!("http://inside:8086{path}")),
            (&public, path, "Host: inside:8086\r\n", format!("https://licenses.example{path}")),
        ] {
            for query in ["wsdl", "singleWsdl"] {
                let found = address(server, &format!("{typed}?{query}"), headers);
                assert_eq!(found, expected, "{typed}?{query} {headers}");
            }
        }
        // And calls are taken wherever the WSDL is.
        for typed in [path, &lower, &upper, &slash] {
            let answer = plain.send(&post_to(typed, "Content-Type: text/xml\r\n", envelope11("", "<a/>").as_bytes()));
            assert!(answer.body.contains("ActionNotSupported"), "{typed}: {answer:?}");
        }
    }
    assert_eq!(plain.get("/Remote/Services86/Contact.svc?wsdl").status, 404);
}

#[test]
fn without_a_query_there_is_a_page_that_lists_the_operations() {
    let server = Server::with_owners();
    for contract in SERVICES {
        let file = contract.path.rsplit('/').next().expect("a file");
        for (typed, there) in [(contract.path.to_owned(), ""), (format!("{}/", contract.path), "../")] {
            for query in ["", "?", "?anything"] {
                let page = server.get(&format!("{typed}{query}"));
                assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
                assert!(page.header("content-security-policy").is_some_and(|p| p.starts_with("default-src 'none'")));
                assert!(!page.body.contains("<script") && !page.body.contains("style="), "nothing inline");
                for operation in contract.operations {
                    let listed = format!("<strong>{}</strong><p>{}", operation.name(), operation.documentation);
                    assert!(page.body.contains(&listed), "{listed} in {}", page.body);
                }
                for query in ["wsdl", "singleWsdl", "style"] {
                    let link = format!("href=\"{there}{file}?{query}\"");
                    assert!(page.body.contains(&link), "{typed}: no {link} in {}", page.body);
                }
            }
        }
        assert_eq!(
            server.get(&format!("{}?style", contract.path)).header("content-type"),
            Some("text/css; charset=utf-8")
        );
    }
}
