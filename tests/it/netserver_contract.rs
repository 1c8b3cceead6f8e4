//! What the NetServer services say of themselves, in every edition: their WSDLs against the facts of the vendor's, the
//! address in them, the page for people, and what an edition answers to a message of another one.

use std::path::Path;

use seatkeeper::contract::edition::Edition;
use seatkeeper::netserver::{Endpoint, LICENSE, SO_PRINCIPAL, wsdl};

use crate::documents::golden;
use crate::harness::*;
use crate::validator;

#[test]
fn the_wsdls_state_the_facts_of_the_vendors() {
    let server = Server::with_owners();
    for endpoint in Endpoint::all() {
        let expected = expected_facts(endpoint);
        for query in ["wsdl", "singleWsdl"] {
            let address = format!("{}?{query}", endpoint.path());
            let served = server.get(&address);
            assert_eq!(served.header("content-type"), Some("text/xml; charset=utf-8"));
            let found = facts(&served.body);
            for (number, (found, expected)) in (1..).zip(found.lines().zip(expected.lines())) {
                assert_eq!(found, expected, "{address}, fact {number}");
            }
            assert_eq!(found.lines().count(), expected.lines().count(), "{address}");
        }
    }
}

/// What the vendor's document says. Those of Services86 and Services88 were read whole. Of Services84, 85 and 87 what
/// differs from Services86 was read, and their length says that nothing else does.
fn expected_facts(endpoint: Endpoint) -> String {
    let (name, edition) = (endpoint.contract.name, endpoint.edition);
    let read_whole = if edition < Edition::Services88 { Edition::Services86 } else { edition };
    let file = format!("tests/netserver/{name}.{}.facts", read_whole.name());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let facts = std::fs::read_to_string(file).expect("facts").replace(read_whole.namespace(), edition.namespace());
    match (name, edition) {
        ("SoPrincipal", Edition::Services84 | Edition::Services85) => without(&facts, "AuthenticateWithAccessToken"),
        ("License", Edition::Services87) => {
            let link = "complexType ModuleLicenseLink extends so:Carrier";
            let (before, rest) = facts.split_once(link).expect(link);
            let in_use = "    InUse xs:int 0..1\n";
            format!("{before}{link}{}", rest.replacen(in_use, &format!("{in_use}    IsHidden xs:boolean 0..1\n"), 1))
        }
        _ => facts,
    }
}

/// The facts but those of an operation, and what belongs to them.
fn without(facts: &str, operation: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut left_out = None;
    let is_kept = |line: &&str| {
        left_out = left_out.filter(|above| depth(line) > *above);
        let names_it = line.split_whitespace().nth(1).is_some_and(|name| name.starts_with(operation));
        if left_out.is_none() && names_it {
            left_out = Some(depth(line));
        }
        left_out.is_none()
    };
    facts.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// The facts that a WSDL states, one a line.
fn facts(wsdl: &str) -> String {
    validator::run("contract_facts.py", wsdl)
}

#[test]
fn the_wsdls_in_the_repository_are_the_ones_that_are_served() {
    for endpoint in Endpoint::all() {
        let file = format!("wsdl/{}/{}.svc.wsdl", endpoint.edition.name(), endpoint.contract.name);
        golden(&file, &wsdl::render(endpoint, &format!("https://licenses.example{}", endpoint.path())));
    }
}

#[test]
fn a_wsdl_is_one_document() {
    let server = Server::with_owners();
    for endpoint in Endpoint::all() {
        let get = |query: &str| server.get(&format!("{}?{query}", endpoint.path())).body;
        let document = get("wsdl");
        for elsewhere in ["schemaLocation", "wsdl:import", "xs:include", "xsd="] {
            assert!(!document.contains(elsewhere), "{elsewhere} in {}", endpoint.path());
        }
        // In any case, and with parameters of others around it.
        for query in ["WSDL", "Wsdl=", "singleWsdl", "SINGLEWSDL", "from=mail&wsdl", "wsdl&v=1"] {
            assert!(get(query) == document, "{query}");
        }
    }
}

/// A version that was not compared with the vendor's document is not served.
#[test]
fn other_editions_are_not_served() {
    let server = Server::with_owners();
    for edition in ["Services83", "Services89", "Services860", "Services", ""] {
        for service in ["License", "SoPrincipal"] {
            let path = format!("/Remote/{edition}/{service}.svc");
            assert_eq!(server.get(&format!("{path}?wsdl")).status, 404, "{path}");
            assert_eq!(server.send(&post_to(&path, "Content-Type: text/xml\r\n", b"<a/>")).status, 404, "{path}");
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
    for endpoint in Endpoint::all() {
        let path = &*endpoint.path();
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
    for endpoint in Endpoint::all() {
        let path = endpoint.path();
        let file = path.rsplit('/').next().expect("a file");
        for (typed, there) in [(path.clone(), ""), (format!("{path}/"), "../")] {
            for query in ["", "?", "?anything"] {
                let page = server.get(&format!("{typed}{query}"));
                assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
                assert!(page.header("content-security-policy").is_some_and(|p| p.starts_with("default-src 'none'")));
                assert!(page.body.contains(&format!("in the edition {}.", endpoint.edition.name())), "{}", page.body);
                assert!(!page.body.contains("<script") && !page.body.contains("style="), "nothing inline");
                let listed = page.body.matches("<strong>").count();
                assert_eq!(listed, endpoint.operations().count(), "{typed}");
                for operation in endpoint.operations() {
                    let listed = format!("<strong>{}</strong><p>{}", operation.name, operation.documentation);
                    assert!(page.body.contains(&listed), "{listed} in {}", page.body);
                }
                for query in ["wsdl", "singleWsdl", "style"] {
                    let link = format!("href=\"{there}{file}?{query}\"");
                    assert!(page.body.contains(&link), "{typed}: no {link} in {}", page.body);
                }
            }
        }
        let style = server.get(&format!("{path}?style"));
        assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    }
}

// Calls --------------------------------------------------------------------------------------------------------------

const CONTOSO: &str = "<OwnerName>CONTOSO</OwnerName>";

/// CONTOSO, with a user who holds a seat and one who holds none.
fn server() -> Server {
    let server = Server::with_owners();
    server.sql("UPDATE entity SET expires_at = '2098-02-28T23:59:59Z' WHERE id = 42");
    assert_eq!(server.assign("zoe", 42, "SqlBackup").code(), "Success");
    server
}

fn associate(server: &Server, user: &str) -> String {
    let id: i64 = server.query(&format!("SELECT id FROM account WHERE username = '{user}'"));
    format!("<AssociateId>{id}</AssociateId>")
}

fn credentials_in(edition: Edition, ticket: &str) -> String {
    credentials(ticket).replace(NAMESPACE, edition.namespace())
}

/// An answer without what differs by edition: the namespace, and the members that were added.
fn leveled(answer: &Answer, edition: Edition) -> String {
    let mut body = answer.body.replace(edition.namespace(), "");
    if edition >= Edition::Services87 {
        assert_eq!(
            body.matches("<InUse>").count(),
            body.matches("</InUse><IsHidden>false</IsHidden><Assigned>").count()
        );
        body = body.replace("</InUse><IsHidden>false</IsHidden>", "</InUse>");
    }
    if edition >= Edition::Services88 {
        let last = "</SortOrder><ExtraFlags>0</ExtraFlags></ModuleLicenseLink>";
        assert_eq!(body.matches("</ModuleLicenseLink>").count(), body.matches(last).count());
        body = body.replace(last, "</SortOrder></ModuleLicenseLink>");
    }
    body
}

#[test]
fn a_call_is_answered_alike_in_every_edition() {
    let server = server();
    let zoe = associate(&server, "zoe");
    let ticket = server.netserver_sign_in("admin");
    for (operation, arguments) in [
        ("GetLicenseFromLicenseServer", CONTOSO.to_owned()),
        ("GetLicenseForAllOwnersFromDB", String::new()),
        ("GetLicenseStatusFromLicenseServer", CONTOSO.to_owned()),
        ("GetUserLicenses", zoe.clone()),
        ("GetSatelliteLicenses", String::new()),
        ("GetUserLicensesMDOList", String::new()),
        ("GetThirdPartyLicenseAssignments", format!("{zoe}<ModuleOwner>CONTOSO</ModuleOwner>")),
        ("GetShopUrl", CONTOSO.to_owned()),
        ("GetLicenseFromDB", "<OwnerName>NOBODY</OwnerName>".to_owned()),
    ] {
        let ask = |edition: Edition| {
            let blocks = credentials_in(edition, &ticket);
            let answer = server.send(&netserver_in(edition, &LICENSE, &blocks, operation, &arguments));
            assert_eq!(answer.exception(), None, "{operation}");
            leveled(&answer, edition)
        };
        let expected = ask(EDITION);
        for edition in Edition::SERVICES {
            assert_eq!(ask(edition), expected, "{operation} in {}", edition.name());
        }
    }
}

/// A sign-in at one address is good for all.
#[test]
fn a_ticket_of_one_edition_works_in_all_others() {
    let server = server();
    for signed_in in Edition::SERVICES {
        let arguments = format!("<UserName>agent</UserName><Password>{}</Password>", escape(PASSWORD));
        let answer =
            server.send(&netserver_in(signed_in, &SO_PRINCIPAL, "", "AuthenticateUsernamePassword", &arguments));
        let ticket = answer.element("Ticket").expect("a ticket");
        let response = format!("<AuthenticateResponse xmlns=\"{}\">", signed_in.namespace());
        assert!(answer.body.contains(&response), "{answer:?}");
        for edition in Edition::SERVICES {
            // The header blocks are the same in all editions, so those of another one are taken too.
            for blocks in [credentials_in(edition, &ticket), credentials_in(signed_in, &ticket)] {
                let answer = server.send(&netserver_in(edition, &LICENSE, &blocks, "GetShopUrl", CONTOSO));
                assert_eq!(answer.exception(), None, "{} at {}: {answer:?}", signed_in.name(), edition.name());
                let response = format!("<GetShopUrlResponse xmlns=\"{}\"", edition.namespace());
                assert!(answer.body.contains(&response), "{answer:?}");
            }
        }
    }
}

/// Of two blocks the one of the address's own edition counts.
#[test]
fn a_header_block_of_its_own_edition_counts_first() {
    let server = server();
    let ticket = server.netserver_sign_in("agent");
    let (own, other) = (Edition::Services88, Edition::Services86);
    for (blocks, expected) in [
        ([credentials_in(own, &ticket), credentials_in(other, "7T:no")], None),
        ([credentials_in(other, "7T:no"), credentials_in(own, &ticket)], None),
        ([credentials_in(own, "7T:no"), credentials_in(other, &ticket)], Some("SoSessionException")),
    ] {
        let answer = server.send(&netserver_in(own, &LICENSE, &blocks.concat(), "GetShopUrl", CONTOSO));
        assert_eq!(answer.exception().as_deref(), expected, "{blocks:?}");
    }
}

/// What stands in the Body must be of the edition of the address. The fault says where to send it instead.
#[test]
fn a_message_of_another_edition_gets_a_fault_that_helps() {
    let server = server();
    let ticket = server.netserver_sign_in("agent");
    let at = |edition: Edition, body: &str| {
        let path = LICENSE.edition(edition).path();
        let message = envelope11(&credentials(&ticket), body);
        server.send(&post_to(&path, "Content-Type: text/xml\r\n", message.as_bytes()))
    };
    for here in Edition::SERVICES {
        for there in Edition::SERVICES.into_iter().filter(|there| *there != here) {
            let answer = at(here, &format!("<GetShopUrl xmlns=\"{}\">{CONTOSO}</GetShopUrl>", there.namespace()));
            assert_eq!(answer.status, 500);
            let text = answer.element("faultstring").expect("a fault");
            assert_eq!(
                text,
                format!(
                    "This address is for messages of namespace '{}', and the message is of '{}'. Send it to \
                     /Remote/{}/License.svc, or make the client from the WSDL of this address.",
                    here.namespace(),
                    there.namespace(),
                    there.name()
                )
            );
        }
        let of_here = |operation: &str| at(here, &format!("<{operation} xmlns=\"{}\"/>", here.namespace()));
        for (operation, since) in [
            ("GetUserAndInstallationLicenceStatus", Edition::Services88),
            ("GetCentralLicense", Edition::Services88),
            ("SaveCentralLicense", Edition::Services88),
        ] {
            let answer = of_here(operation);
            assert_eq!(answer.status == 200, here >= since, "{answer:?}");
            if here < since {
                let text = answer.element("faultstring").expect("a fault");
                assert!(text.contains("It is new in Services88: use /Remote/Services88/License.svc."), "{text}");
            }
        }
        let text = of_here("GetSystemInfo").element("faultstring").expect("a fault");
        assert!(text.contains(&format!("It is one of /Remote/{}/SoPrincipal.svc.", here.name())), "{text}");
        let text = at(here, "<GetShopUrl/>").element("faultstring").expect("a fault");
        assert!(text.ends_with(&format!("Its namespace is '{}'.", here.namespace())), "{text}");
    }
}

#[test]
fn sign_in_with_a_token_is_new_in_services86() {
    let server = server();
    let ticket = server.netserver_sign_in("agent");
    let arguments = format!("<AccessToken>{}</AccessToken>", escape(&ticket));
    for edition in Edition::SERVICES {
        let request = netserver_in(edition, &SO_PRINCIPAL, "", "AuthenticateWithAccessToken", &arguments);
        let answer = server.send(&request);
        assert_eq!(answer.status == 200, edition >= Edition::Services86, "{answer:?}");
        if answer.status != 200 {
            let text = answer.element("faultstring").expect("a fault");
            assert!(text.contains("It is new in Services86: use /Remote/Services86/SoPrincipal.svc."), "{text}");
        }
    }
}

/// A member that an edition does not have is ignored there like any unknown element.
#[test]
fn members_of_later_editions_are_unknown_to_older_ones() {
    let server = server();
    let ticket = server.netserver_sign_in("agent");
    let licenses = "<License><LicenseOwner><RestrictedModuleLicenses><ModuleLicenseLink><IsHidden>perhaps</IsHidden>\
        </ModuleLicenseLink></RestrictedModuleLicenses></LicenseOwner></License>";
    let save =
        |edition| server.send(&netserver_in(edition, &LICENSE, &credentials(&ticket), "SaveCentralLicense", licenses));
    let answer = save(Edition::Services88);
    assert!(answer.body.contains("'perhaps' is not a valid Boolean value"), "{answer:?}");
    assert!(save(Edition::Services87).body.contains("ActionNotSupported"));
}

#[test]
fn the_central_license_is_that_of_site_0() {
    let server = server();
    let ticket = server.netserver_sign_in("agent");
    let ask = |operation: &str, arguments: &str| {
        let blocks = credentials_in(Edition::Services88, &ticket);
        let answer = server.send(&netserver_in(Edition::Services88, &LICENSE, &blocks, operation, arguments));
        assert_eq!(answer.exception(), None, "{answer:?}");
        answer.body.replace(operation, "")
    };
    let central = ask("GetCentralLicense", "");
    assert!(central.contains("<Name>CONTOSO</Name>"), "{central}");
    assert_eq!(central, ask("GetSatelliteLicenses", "<SatelliteId>0</SatelliteId>"));
    let saved = server.license_call(&ticket, "SaveCentralLicense", "");
    assert_eq!(saved.exception().as_deref(), Some("SoNotSupportedException"));
}

// The status of a user -----------------------------------------------------------------------------------------------

const STATUS: &str = "GetUserAndInstallationLicenceStatus";

/// Dates, company and number of a status, and the modules that the user holds; `None`: null.
fn status(server: &Server, ticket: &str, arguments: &str) -> Option<[String; 6]> {
    let answer = server.license_call(ticket, STATUS, arguments);
    assert_eq!(answer.exception(), None, "{answer:?}");
    if answer.body.contains("<Response xsi:nil=\"true\"") {
        return None;
    }
    let text = |name: &str| answer.element(name).unwrap_or_default();
    let (_, rest) = answer.body.split_once("<UserLicenses").expect("UserLicenses");
    let (list, _) = rest.split_once("</UserLicenses>").unwrap_or_default();
    let modules = list.split("<a:string>").skip(1).map(|rest| rest.split('<').next().unwrap_or_default());
    let modules = modules.collect::<Vec<_>>().join(" ");
    let [warning, expiry, grace] = ["AdminWarningDate", "ExpiryDate", "GraceDate"].map(text);
    Some([warning, expiry, grace, text("CompanyName"), text("SerialNr"), modules])
}

/// The license that a user is under is that of the nearest owner above, and the modules are those of all owners.
#[test]
fn the_status_of_a_user_is_that_of_the_nearest_owner() {
    let server = Server::with(Options { seed: sample_data(), ..Options::default() });
    // 420 is below 42, which is below 1. The names are in another order than the tree.
    server.sql(
        "UPDATE entity SET owner_name = 'AAA', serial_nr = '1', expires_at = '2097-01-01T00:00:00Z' WHERE id = 1;
         UPDATE entity SET owner_name = 'MMM', serial_nr = '42', admin_warning_at = '2098-01-31T00:00:00Z',
             expires_at = '2098-02-28T23:59:59Z', grace_at = '2098-03-31T00:00:00Z' WHERE id = 42;
         UPDATE entity SET owner_name = 'BBB', serial_nr = '43' WHERE id = 43;
         INSERT INTO account (id, username, entity_id) VALUES (7, 'west', 420), (8, 'top', 1), (9, 'none', 9);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (10, 43, 'SqlBackup', 5), (11, 42, 'SkraftDiskImageV5', 5);
         UPDATE seat SET account_id = 7 WHERE pool_id IN (10, 11) AND seat_no = 1;
         UPDATE seat SET account_id = 8 WHERE pool_id = 10 AND seat_no = 2;",
    );
    let admin = server.netserver_sign_in("admin");
    let of = |id: i64| status(&server, &admin, &format!("<AssociateId>{id}</AssociateId>"));
    let never = "0001-01-01T00:00:00";
    let texts = |texts: [&str; 6]| Some(texts.map(str::to_owned));
    let of_contoso = ["2098-01-31T00:00:00Z", "2098-02-28T23:59:59Z", "2098-03-31T00:00:00Z", "Contoso", "42"];
    let [warning, expiry, grace, company, serial] = of_contoso;
    let both = "SKRAFTDISKIMAGEV5 SQLBACKUP";
    assert_eq!(of(7), texts([warning, expiry, grace, company, serial, both]));
    assert_eq!(of(8), texts([never, "2097-01-01T00:00:00Z", never, "Northwind", "1", "SQLBACKUP"]));
    // An associate that the caller may not see is as unknown as one that does not exist.
    assert_eq!((of(99), of(9)), (None, None));
    // Without an owner above, the license is that of a module's.
    server.sql("UPDATE entity SET owner_name = NULL WHERE id IN (1, 42)");
    assert_eq!(of(8), texts([never, never, never, "Fabrikam", "43", "SQLBACKUP"]));

    let missing = server.license_call(&admin, STATUS, "");
    assert_eq!(missing.exception().as_deref(), Some("SoInvalidArgumentException"));
    let stranger = server.license_call("7T:no", STATUS, "<AssociateId>7</AssociateId>");
    assert_eq!(stranger.exception().as_deref(), Some("SoSessionException"));
}

/// A caller sees no license above its own entity, and none beside it.
#[test]
fn the_status_of_a_user_shows_no_license_that_the_caller_may_not_see() {
    let server = Server::with(Options { seed: sample_data(), ..Options::default() });
    server.sql(
        "UPDATE entity SET owner_name = 'NORTHWIND', serial_nr = '1' WHERE id = 1;
         UPDATE entity SET owner_name = 'FABRIKAM', serial_nr = '43' WHERE id = 43;
         INSERT INTO account (id, username, entity_id) VALUES (7, 'west', 420);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (10, 43, 'SqlBackup', 5);
         UPDATE seat SET account_id = 7 WHERE pool_id = 10 AND seat_no = 1;",
    );
    let ticket = server.netserver_sign_in("contoso");
    assert_eq!(status(&server, &ticket, "<AssociateId>7</AssociateId>"), None);
    server.sql("UPDATE entity SET owner_name = 'CONTOSO', serial_nr = '42' WHERE id = 42");
    let [.., company, serial, modules] = status(&server, &ticket, "<AssociateId>7</AssociateId>").expect("a status");
    assert_eq!([&*company, &*serial, &*modules], ["Contoso", "42", ""]);
}
