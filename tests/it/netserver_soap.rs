//! The NetServer services over SOAP: the vendor's own messages, the ways to write one and the same call, and what is told to
//! those that are no call.

use seatkeeper::netserver::{LICENSE, SO_PRINCIPAL};
use seatkeeper::soap::Version;
use seatkeeper::soap::envelope::{self, Element};

use crate::harness::*;

const SOAP11: &str = "text/xml; charset=utf-8";
const SOAP12: &str = "application/soap+xml; charset=utf-8";
const WSA: &str = "http://www.w3.org/2005/08/addressing";

// The vendor's messages ----------------------------------------------------------------------------------------------

/// As the vendor's page has it, with nothing but its placeholders filled in.
fn published(sample: &str, values: &[(&str, &str)]) -> String {
    let file = format!("{}/tests/netserver/{sample}.xml", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(file).expect("a sample");
    for (placeholder, value) in values {
        assert!(text.contains(placeholder), "{sample}: {placeholder}");
        text = text.replace(placeholder, value);
    }
    text
}

/// Sends a sample and reads what is in the Body of its answer.
fn send_published(server: &Server, path: &str, sample: &str) -> Element {
    let answer = server.send(&post_to(path, "Content-Type: text/xml;charset=UTF-8\r\n", sample.as_bytes()));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(SOAP12)), "{answer:?}");
    // They would make objects of what is a text.
    assert!(!answer.body.contains("xsi:type"), "{}", answer.body);
    read(&answer).body.expect("a Body")
}

pub fn read(answer: &Answer) -> envelope::Envelope {
    envelope::read(&answer.body, &envelope::Limits::default()).expect("an envelope")
}

/// Names and order: `A(B C*2)` is an A with a B and two C in it.
pub fn shape(element: &Element) -> String {
    let shapes: Vec<String> = element.children.iter().map(shape).collect();
    let groups = shapes.chunk_by(|a, b| a == b).map(|alike| match alike.len() {
        1 => alike[0].clone(),
        n => format!("{}*{n}", alike[0]),
    });
    let inside = groups.collect::<Vec<_>>().join(" ");
    if inside.is_empty() { element.name.clone() } else { format!("{}({inside})", element.name) }
}

/// What is at the end of a path of names; of several the one at this number.
pub fn at<'e>(element: &'e Element, path: &str) -> &'e Element {
    path.split('/').fold(element, |element, step| {
        let (name, number) = step.split_once('#').map_or((step, 0), |(name, n)| (name, n.parse().expect("a number")));
        let found = element.children.iter().filter(|child| child.name == name).nth(number);
        found.unwrap_or_else(|| panic!("no {step} of {path} in {}", shape(element)))
    })
}

/// From the vendor's answers, each member in its place. PublicKey is null here: nothing is signed.
const MODULE_LICENSE: &str = "OwnerName ModuleName ModuleDescription ModuleTooltip ModuleVersion LicenseType Unrestricted \
    AllowedUserType NumberOfLicenses ExtraFlags ExtraInfo SortOrder IsHidden PrerequisiteModuleName Signature";
const LICENSE_INFO: &str = "CompanyName SerialNr OwnerName OwnerDescription NextCheckDate MaintenanceDate AdminWarningDate \
    ExpiryDate GraceDate ExtraFlags LicenseUrl LicenseVersion DeploymentType ProductType ProductDescription \
    ModuleLicenses(ModuleLicense(MODULE_LICENSE)*3) PublicKey Signature";
const EXTENDED_LICENSE_INFO: &str = "Reason CanBeActivated New(LICENSE_INFO) Current(LICENSE_INFO) \
    ExtendedModuleLicenses(ExtendedModuleLicense(New(MODULE_LICENSE) Current(MODULE_LICENSE) NumberOfLicensesInUse \
    NumberOfLicensesFree NumberOfLicensesAdded NumberOfLicensesNewTotal NumberOfLicensesNewFree NumberOfLicensesTotal)*3) \
    AccumulatedNextCheckDate";
const CHECK_LICENSE_STATUS_RESULT: &str = "LicenseStatus Message Url";

fn expected_shape(operation: &str, members: &str) -> String {
    let members = members.replace("LICENSE_INFO", LICENSE_INFO).replace("MODULE_LICENSE", MODULE_LICENSE);
    format!("{operation}Response(Response({members}))")
}

#[test]
fn the_published_requests_get_the_published_responses() {
    let server = Server::with_owners();
    server.sql(
        "UPDATE entity SET next_check_at = '2027-01-15T10:00:00Z', grace_at = '2028-01-01T00:00:00Z' WHERE id = 42",
    );
    for (username, license_type, seats) in [("sql", "SqlBackup", 5), ("image", "SkraftDiskImageV5", 3)] {
        for n in 0..seats {
            assert_eq!(server.assign(&format!("{username}{n}"), 42, license_type).code(), "Success");
        }
    }
    let sign_in = published("AuthenticateUsernamePassword", &[("{user}", "reader"), ("{password}", PASSWORD)]);
    let signed_in = send_published(&server, SO_PRINCIPAL_PATH, &sign_in);
    assert_eq!(at(&signed_in, "AuthenticationSucceeded").text, "true");
    let ticket = at(&signed_in, "Credentials/Ticket").text.clone();

    const FETCH: &str = "GetLicenseFromLicenseServer";
    let fetch = published(FETCH, &[("{ticket}", &ticket), ("{owner}", "CONTOSO")]);
    let license = send_published(&server, LICENSE_PATH, &fetch);
    assert_eq!(shape(&license), expected_shape(FETCH, EXTENDED_LICENSE_INFO));
    let license = at(&license, "Response");
    for info in ["New", "Current"] {
        for (member, value) in [
            ("CompanyName", "Contoso Backup"),
            ("SerialNr", "1010000014"),
            ("OwnerName", "CONTOSO"),
            ("OwnerDescription", "Contoso Backup & Recovery"),
            ("NextCheckDate", "2027-01-15T10:00:00Z"),
            ("MaintenanceDate", "0001-01-01T00:00:00"),
            ("GraceDate", "2028-01-01T00:00:00Z"),
            ("LicenseUrl", "https://shop.example/contoso"),
            ("ModuleLicenses/ModuleLicense#0/ModuleName", "SKRAFTDISKIMAGEV5"),
            ("ModuleLicenses/ModuleLicense#1/ModuleName", "SQLBACKUP"),
            ("ModuleLicenses/ModuleLicense#2/ModuleName", "EXCHANGEBACKUP"),
            ("ModuleLicenses/ModuleLicense#0/NumberOfLicenses", "10"),
            ("ModuleLicenses/ModuleLicense#1/NumberOfLicenses", "5"),
            ("ModuleLicenses/ModuleLicense#2/NumberOfLicenses", "7"),
            ("ModuleLicenses/ModuleLicense#2/SortOrder", "3"),
            ("ModuleLicenses/ModuleLicense#2/LicenseType", "UserLicense"),
            ("ModuleLicenses/ModuleLicense#2/AllowedUserType", "InternalAssociate"),
        ] {
            assert_eq!(at(license, &format!("{info}/{member}")).text, value, "{info}/{member}");
        }
    }
    assert_eq!(at(license, "CanBeActivated").text, "true");
    assert_eq!(at(license, "AccumulatedNextCheckDate").text, "2027-01-15T10:00:00Z");
    assert_eq!(numbers(license, 0), [3, 7, 0, 10, 7, 10]);
    assert_eq!(numbers(license, 1), [5, 0, 0, 5, 0, 5]);
    assert_eq!(numbers(license, 2), [0, 7, 0, 7, 7, 7]);

    // A seat that is taken through the other service is seen by the next call.
    assert_eq!(server.assign("image3", 42, "SkraftDiskImageV5").code(), "Success");
    let license = send_published(&server, LICENSE_PATH, &fetch);
    assert_eq!(numbers(at(&license, "Response"), 0), [4, 6, 0, 10, 6, 10]);

    const ASK: &str = "GetLicenseStatusFromLicenseServer";
    let ask = published(ASK, &[("{ticket}", &ticket), ("{owner}", "CONTOSO")]);
    let status = send_published(&server, LICENSE_PATH, &ask);
    assert_eq!(shape(&status), expected_shape(ASK, CHECK_LICENSE_STATUS_RESULT));
    let texts: Vec<&str> = at(&status, "Response").children.iter().map(|child| child.text.as_str()).collect();
    assert_eq!(texts, ["Ok", "", ""]);

    // As it stands on the page, without an owner.
    let empty = published(ASK, &[("{ticket}", &ticket), ("{owner}", "")]);
    let answer = server.send(&post_to(LICENSE_PATH, "Content-Type: text/xml\r\n", empty.as_bytes()));
    assert_eq!(answer.exception().as_deref(), Some("SoInvalidArgumentException"));
}

/// The six numbers of a module, in their order.
pub fn numbers(license: &Element, module: usize) -> [i32; 6] {
    let module = at(license, &format!("ExtendedModuleLicenses/ExtendedModuleLicense#{module}"));
    std::array::from_fn(|n| module.children[2 + n].text.parse().expect("a number"))
}

// One call, however it is written ------------------------------------------------------------------------------------

fn envelope(version: Version, header: &str, beside: &str, body: &str) -> String {
    let soap = version.namespace();
    let header = if header.is_empty() { String::new() } else { format!("<s:Header>{header}</s:Header>") };
    format!(
        "<s:Envelope xmlns:s=\"{soap}\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:n=\"{NAMESPACE}\">{header}{beside}<s:Body>{body}</s:Body></s:Envelope>"
    )
}

const SHOP: &str = "<n:GetShopUrl><n:OwnerName>CONTOSO</n:OwnerName></n:GetShopUrl>";

/// Whether this is the answer to [`SHOP`] from somebody who is signed in, in this version.
fn is_served(answer: &Answer, version: Version) -> bool {
    let typed = if version == Version::Soap11 { SOAP11 } else { SOAP12 };
    answer.body.contains("<Response>https://shop.example/contoso</Response>")
        && answer.exception().is_none()
        && answer.header("content-type") == Some(typed)
        && read(answer).version == version
}

#[test]
fn the_envelope_decides_whatever_the_head_says() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("reader");
    let heads = [
        "Content-Type: text/xml",
        "Content-Type: text/xml; charset=utf-8",
        "Content-Type: TEXT/XML;charset=\"UTF-8\"",
        "Content-Type: application/soap+xml",
        "Content-Type: application/soap+xml; charset=utf-8; action=\"http://www.superoffice.net/ws/crm/NetServer/Services86/License/GetShopUrl\"",
        "Content-Type: application/soap+xml; action=urn:other",
        "Content-Type: application/xml",
        "Content-Type: application/xml; charset=utf-8",
        "Content-Type: text/xml\r\nSOAPAction: \"http://www.superoffice.net/ws/crm/NetServer/Services86/License/GetShopUrl\"",
        "Content-Type: text/xml\r\nSOAPAction: http://www.superoffice.net/ws/crm/NetServer/Services86/License/GetShopUrl",
        "Content-Type: text/xml\r\nSOAPAction: \"\"",
        "Content-Type: text/xml\r\nSOAPAction: \"http://www.superoffice.net/ws/crm/NetServer/Services86/License/GetLicenseFromDB\"",
        "Content-Type: text/xml\r\nAccept: text/html, image/gif, image/jpeg, *; q=.2\r\nAccept-Encoding: none",
        "Content-Type: text/xml\r\nAccept: application/json\r\nAccept-Encoding: gzip, identity;q=0",
        "Content-Type: text/xml\r\nAccept-Language: fr,de,ru,zh\r\nAuthorization: Basic eDp5",
    ];
    for version in Version::ALL {
        let message = envelope(version, &credentials(&ticket), "", SHOP);
        for head in heads {
            let answer = server.send(&post_to(LICENSE_PATH, &format!("{head}\r\n"), message.as_bytes()));
            assert!(is_served(&answer, version), "{version:?} {head}: {answer:?}");
            assert_eq!(answer.header("content-encoding"), None, "{head}");
        }
    }
}

#[test]
fn text_is_read_in_the_encoding_it_is_in() {
    let server = Server::with_owners();
    server.sql("UPDATE entity SET shop_url = 'https://shop.example/größe' WHERE id = 42");
    let ticket = server.netserver_sign_in("reader");
    for version in Version::ALL {
        let plain = envelope(version, &credentials(&ticket), "", SHOP);
        let utf16 =
            |text: &str, to_bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
        let declared = format!("<?xml version=\"1.0\" encoding=\"utf-16\"?>{plain}");
        for (name, charset, bytes) in [
            ("no declaration", "", plain.clone().into_bytes()),
            ("a byte order mark", "", format!("\u{FEFF}{plain}").into_bytes()),
            ("a mark and a charset", "; charset=utf-8", format!("\u{FEFF}{plain}").into_bytes()),
            ("UTF-16 with a mark", "; charset=utf-16", utf16(&format!("\u{FEFF}{declared}"), u16::to_le_bytes)),
            ("the other way round", "; charset=utf-16", utf16(&format!("\u{FEFF}{declared}"), u16::to_be_bytes)),
            ("without a mark", "; charset=utf-16le", utf16(&declared, u16::to_le_bytes)),
            ("without a charset", "", utf16(&declared, u16::to_be_bytes)),
            ("Latin-1", "; charset=iso-8859-1", plain.clone().into_bytes()),
        ] {
            let head = format!("Content-Type: {}{charset}\r\n", version.media_type());
            let answer = server.send(&post_to(LICENSE_PATH, &head, &bytes));
            // And answered in UTF-8, whatever it was.
            assert!(answer.body.contains("<Response>https://shop.example/größe</Response>"), "{name}: {answer:?}");
        }
    }
}

#[test]
fn header_blocks_are_read_where_clients_put_them() {
    let server = Server::with_owners();
    let good = credentials(&server.netserver_sign_in("reader"));
    let bad = credentials("7T:1234abcxyzExample==");
    let block = |inside: &str| format!("<n:Credentials>{inside}</n:Credentials>");
    let ticket = good.split_once("<Ticket>").and_then(|(_, rest)| rest.split_once('<')).expect("a ticket").0;
    let nil = "<n:Credentials xsi:nil=\"true\"/>".to_owned();
    let token = "<n:ApplicationToken>1234567-1234-9876</n:ApplicationToken>";
    let none = String::new();
    for (name, header, beside, served) in [
        ("in Header", good.clone(), none.clone(), true),
        ("beside Body", none.clone(), good.clone(), true),
        ("beside an empty Header", "<n:TimeZone xsi:nil=\"1\"/>".to_owned(), good.clone(), true),
        ("the good one in Header", good.clone(), bad.clone(), true),
        ("the good one beside Body", bad.clone(), good.clone(), false),
        ("null in Header, good beside", nil.clone(), good.clone(), false),
        ("the first of two", format!("{good}{bad}"), none.clone(), true),
        ("nowhere", none.clone(), none.clone(), false),
        ("null", nil.clone(), none.clone(), false),
        ("empty", block(""), none.clone(), false),
        ("a null ticket", block("<n:Ticket xsi:nil=\"true\"/>"), none.clone(), false),
        ("an empty ticket", block("<n:Ticket/>"), none.clone(), false),
        ("blanks around the ticket", block(&format!("<n:Ticket>\r\n  {ticket}\r\n</n:Ticket>")), none.clone(), true),
        (
            "a type on the ticket",
            block(&format!("<n:Ticket xsi:type=\"xsd:string\">{ticket}</n:Ticket>")),
            none.clone(),
            true,
        ),
        ("a ticket of another namespace", block(&format!("<Ticket>{ticket}</Ticket>")), none.clone(), false),
        (
            "another namespace",
            format!("<Credentials xmlns=\"urn:other\"><Ticket>{ticket}</Ticket></Credentials>"),
            none.clone(),
            false,
        ),
        ("a token", format!("{token}{good}"), none.clone(), true),
        ("a token beside", good.clone(), token.to_owned(), true),
        ("a null token", format!("<n:ApplicationToken xsi:nil=\"true\"/>{good}"), none.clone(), true),
        ("a strange token", format!("<n:ApplicationToken><x/></n:ApplicationToken>{good}"), none.clone(), true),
        ("an unknown block", format!("<x xmlns=\"urn:x\">y</x>{good}"), none.clone(), true),
        ("an unknown block beside", good.clone(), "<x xmlns=\"urn:x\" s:mustUnderstand=\"1\">y</x>".to_owned(), true),
    ] {
        for version in Version::ALL {
            let message = envelope(version, &header, &beside, SHOP);
            // The vendor's sample has its blocks in front of everything; a toolkit adds a Header behind them.
            let mut messages = vec![message.clone()];
            if !beside.contains("urn:x") && !beside.is_empty() {
                let without = envelope(version, &header, "", SHOP);
                let (root, rest) = without.split_at(without.find('>').expect("a root") + 1);
                messages.push(format!("{root}{beside}{rest}"));
            }
            for message in messages {
                let answer = server.send(&post_to(LICENSE_PATH, "Content-Type: text/xml\r\n", message.as_bytes()));
                if served {
                    assert!(is_served(&answer, version), "{name} {version:?}: {message} {answer:?}");
                } else {
                    assert_eq!(
                        answer.exception().as_deref(),
                        Some("SoSessionException"),
                        "{name} {version:?}: {message}"
                    );
                }
            }
        }
    }
}

#[test]
fn only_what_must_be_understood_and_is_not_is_refused() {
    let server = Server::with_owners();
    let good = credentials(&server.netserver_sign_in("reader"));
    let must = good.replacen("<Credentials", "<Credentials s:mustUnderstand=\"1\"", 1);
    let addressing = format!(
        "<a:Action xmlns:a=\"{WSA}\" s:mustUnderstand=\"1\">{NAMESPACE}/License/GetLicenseFromDB</a:Action>\
         <a:MessageID xmlns:a=\"{WSA}\">urn:uuid:1</a:MessageID>\
         <a:To xmlns:a=\"{WSA}\" s:mustUnderstand=\"true\">https://example.com/Remote/Services86/License.svc</a:To>\
         <a:ReplyTo xmlns:a=\"{WSA}\" s:mustUnderstand=\"1\"><a:Address>{WSA}/anonymous</a:Address></a:ReplyTo>"
    );
    let other = |attributes: &str| format!("{good}<x:Other xmlns:x=\"urn:x\" {attributes}/>");
    let somebody = "s:role=\"urn:somebody\" s:actor=\"urn:somebody\" s:mustUnderstand=\"1\"";
    for version in Version::ALL {
        let call = |header: &str| {
            let message = envelope(version, header, "", SHOP);
            server.send(&post_to(LICENSE_PATH, "Content-Type: text/xml\r\n", message.as_bytes()))
        };
        for header in [
            must.clone(),
            format!("{addressing}{good}"),
            format!(
                "<n:ApplicationToken s:mustUnderstand=\"1\">x</n:ApplicationToken><n:TimeZone s:mustUnderstand=\"1\"/>{good}"
            ),
            other("s:mustUnderstand=\"0\""),
            other("s:mustUnderstand=\"false\""),
            other("mustUnderstand=\"1\""),
            other(somebody),
        ] {
            let answer = call(&header);
            assert!(is_served(&answer, version), "{header}: {answer:?}");
        }
        for header in [other("s:mustUnderstand=\"1\""), other("s:mustUnderstand=\"true\"")] {
            let answer = call(&header);
            assert_eq!(answer.status, 500);
            assert!(answer.body.contains(">soap:MustUnderstand<"), "{}", answer.body);
            assert!(answer.body.contains("SOAP header Other was not understood."), "{}", answer.body);
            assert_eq!(
                answer.body.contains("NotUnderstood qname=\"n:Other\" xmlns:n=\"urn:x\""),
                version == Version::Soap12
            );
        }
        // What the sender wants cannot be known, and is not guessed.
        let answer = call(&other("s:mustUnderstand=\"perhaps\""));
        let (status, code) = if version == Version::Soap11 { (500, "soap:Client") } else { (400, "soap:Sender") };
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(&format!(">{code}<")), "{}", answer.body);
    }
}

#[test]
fn what_is_in_the_body_is_read_by_name_and_namespace() {
    let server = Server::with_owners();
    let good = credentials(&server.netserver_sign_in("reader"));
    for (name, body) in [
        ("xsi:type", SHOP.replace("<n:OwnerName>", "<n:OwnerName xsi:type=\"n:int\">")),
        (
            "a default namespace",
            format!("<GetShopUrl xmlns=\"{NAMESPACE}\"><OwnerName>CONTOSO</OwnerName></GetShopUrl>"),
        ),
        ("what is not known", SHOP.replace("<n:OwnerName>", "<n:Other/><OwnerName>x</OwnerName><n:OwnerName>")),
        ("the first of two", SHOP.replace("</n:GetShopUrl>", "<n:OwnerName>FABRIKAM</n:OwnerName></n:GetShopUrl>")),
        ("CDATA, references, comments", SHOP.replace("CONTOSO", "<![CDATA[CON]]>&#84;<!-- -->OSO")),
        ("blanks", SHOP.replace("CONTOSO", "\r\n\tCONTOSO ")),
        ("another case", SHOP.replace("CONTOSO", "contoSO")),
        ("another element behind", format!("{SHOP}<n:GetLicenseFromDB/>")),
        ("not null", SHOP.replace("<n:OwnerName>", "<n:OwnerName xsi:nil=\"false\">")),
    ] {
        for version in Version::ALL {
            let message = envelope(version, &good, "", &body);
            let answer = server.send(&post_to(LICENSE_PATH, "Content-Type: text/xml\r\n", message.as_bytes()));
            assert!(is_served(&answer, version), "{name}: {answer:?}");
        }
    }
}

// What answers look like ---------------------------------------------------------------------------------------------

#[test]
fn answers_have_their_header_blocks_in_order() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("reader");
    const SERVED: &str = "ExtraInfo, Succeeded=true, TimeZone";
    const FAILED: &str = "ExceptionInfo, ExtraInfo, Succeeded=false, TimeZone";
    let blocks = |answer: &Answer| {
        let blocks = read(answer).header_blocks;
        assert!(blocks.iter().all(|block| &*block.namespace == NAMESPACE), "{answer:?}");
        let told =
            blocks.iter().map(|b| if b.text.is_empty() { b.name.clone() } else { format!("{}={}", b.name, b.text) });
        told.collect::<Vec<_>>().join(", ")
    };
    let principal = |operation: &str| server.netserver_call(&SO_PRINCIPAL, "", operation, "");
    for (name, answer, expected) in [
        ("served", server.license_call(&ticket, "GetLicenseForAllOwnersFromDB", ""), SERVED),
        ("nothing found", server.license_call(&ticket, "GetLicenseFromDB", "<OwnerName>NOBODY</OwnerName>"), SERVED),
        ("refused", server.license_call("", "GetLicenseForAllOwnersFromDB", ""), FAILED),
        ("not signed in", principal("AuthenticateImplicit"), SERVED),
        ("signed in", server.authenticate("reader", PASSWORD), SERVED),
        ("system", principal("GetSystemInfo"), SERVED),
    ] {
        assert_eq!(blocks(&answer), expected, "{name}");
    }
}

#[test]
fn a_refusal_says_what_and_nothing_of_the_inside() {
    let server = Server::with_owners();
    let answer = server.license_call("", "GetShopUrl", "<OwnerName>CONTOSO</OwnerName>");
    let blocks = read(&answer).header_blocks;
    let exception = &blocks[0];
    assert_eq!(shape(exception), "ExceptionInfo(Message FriendlyText ExceptionType Source)");
    let friendly = &at(exception, "FriendlyText").text;
    assert!(friendly.starts_with("A valid session is missing. Sign in"), "{friendly}");
    let id = answer.header("x-request-id").expect("an id");
    assert_eq!(at(exception, "Message").text, format!("Err-{id}; {friendly}"));
    assert_eq!(at(exception, "ExceptionType").text, "SuperOffice.Exceptions.SoSessionException");
    assert!(
        answer
            .body
            .ends_with(&format!("<soap:Body><GetShopUrlResponse xmlns=\"{NAMESPACE}\" /></soap:Body></soap:Envelope>"))
    );
}

#[test]
fn what_is_null_is_nil_and_what_is_empty_is_empty() {
    let server = Server::with_owners();
    server.sql("UPDATE entity SET shop_url = NULL WHERE id = 43");
    let ticket = server.netserver_sign_in("reader");
    let nil = |name: &str| format!("<{name} xsi:nil=\"true\" />");
    for (operation, arguments, holds) in [
        ("GetLicenseFromLicenseServer", "<OwnerName>NOBODY</OwnerName>", nil("Response")),
        ("GetLicenseFromDB", "<OwnerName>NOBODY</OwnerName>", nil("Response")),
        ("GetModuleLicenseFromDB", "<OwnerName>CONTOSO</OwnerName><ModuleName>X</ModuleName>", nil("Response")),
        ("GetShopUrl", "<OwnerName>NOBODY</OwnerName>", nil("Response")),
        ("GetShopUrl", "<OwnerName>FABRIKAM</OwnerName>", "<Response />".to_owned()),
        ("GetUserLicenses", "<AssociateId>999</AssociateId>", "<Response />".to_owned()),
        ("GetLicenseFromDB", "<OwnerName>CONTOSO</OwnerName>", format!("</CanBeActivated>{}<Current>", nil("New"))),
        (
            "GetLicenseFromDB",
            "<OwnerName>CONTOSO</OwnerName>",
            format!("<ExtendedModuleLicense>{}<Current>", nil("New")),
        ),
        ("GetLicenseFromDB", "<OwnerName>CONTOSO</OwnerName>", format!("{}<Signature /></Current>", nil("PublicKey"))),
        ("GetLicenseFromDB", "<OwnerName>CONTOSO</OwnerName>", "<Response><Reason /><CanBeActivated>".to_owned()),
        (
            "GetUserLicenses",
            "<AssociateId>103</AssociateId>",
            format!("<LicenseOwner>{}{}<Name>FABRIKAM</Name>", nil("TableRight"), nil("FieldProperties")),
        ),
        ("GetUserLicenses", "<AssociateId>103</AssociateId>", "<UnrestrictedModuleLicenses />".to_owned()),
    ] {
        let answer = server.license_call(&ticket, operation, arguments);
        assert_eq!(answer.exception(), None, "{answer:?}");
        assert!(answer.body.contains(&holds), "{operation}: no {holds} in {}", answer.body);
    }
}

// Faults -------------------------------------------------------------------------------------------------------------

#[test]
fn what_is_no_call_is_told_so() {
    let server = Server::with_owners();
    let with = |version: Version, body: &str| envelope(version, "", "", body);
    let (soap11, soap12) = (Version::Soap11, Version::Soap12);
    let nothing = "The Body of the message is empty.";
    let unread = "The message could not be read: not well-formed XML: ";
    const PLAIN: &str = "text/plain; charset=utf-8";
    const CLIENT: &str = "<faultcode>soap:Client</faultcode>";
    const SENDER: &str = "<soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code>";
    const UNKNOWN11: &str = "<faultcode xmlns:a=\"http://schemas.microsoft.com/ws/2005/05/addressing/none\">a:ActionNotSupported</faultcode>";
    const UNKNOWN12: &str = "<soap:Code><soap:Value>soap:Sender</soap:Value><soap:Subcode>\
        <soap:Value xmlns:a=\"http://schemas.microsoft.com/ws/2005/05/addressing/none\">a:ActionNotSupported</soap:Value></soap:Subcode></soap:Code>";
    let doctype = |version| format!("<!DOCTYPE x [<!ENTITY e \"f\">]>{}", with(version, SHOP));
    let deep = format!("<n:GetShopUrl>{}{}</n:GetShopUrl>", "<x>".repeat(50), "</x>".repeat(50));
    let many = format!("<n:GetShopUrl>{}</n:GetShopUrl>", "<x/>".repeat(9000));
    let long = format!("<n:GetShopUrl><n:OwnerName>{}</n:OwnerName></n:GetShopUrl>", "x".repeat(300_000));
    let arguments = |operation: &str, arguments: &str| format!("<n:{operation}>{arguments}</n:{operation}>");
    let activate = |inside: &str| arguments("ActivateLicenseInfo", &format!("<n:NewLicense>{inside}</n:NewLicense>"));
    for (name, typed, message, status, answered, code, reason) in [
        ("no XML", SOAP11, "hello".to_owned(), 500, SOAP11, CLIENT, unread),
        ("no XML", SOAP12, "hello".to_owned(), 400, SOAP12, SENDER, unread),
        ("no XML", "application/xml", "{\"OwnerName\":\"CONTOSO\"}".to_owned(), 500, SOAP11, CLIENT, unread),
        ("nothing", SOAP11, String::new(), 500, SOAP11, CLIENT, "no root element"),
        ("nothing", SOAP12, String::new(), 400, SOAP12, SENDER, "no root element"),
        ("half", SOAP11, with(soap11, SHOP).replace("</s:Envelope>", ""), 500, SOAP11, CLIENT, "is not closed"),
        ("a DTD", SOAP11, doctype(soap11), 500, SOAP11, CLIENT, "a document type declaration"),
        ("a DTD", SOAP12, doctype(soap12), 400, SOAP12, SENDER, "a document type declaration"),
        ("no envelope", SOAP11, "<a/>".to_owned(), 500, SOAP11, CLIENT, "is not a SOAP envelope but 'a'"),
        ("no envelope", SOAP12, "<a/>".to_owned(), 400, SOAP12, SENDER, "is not a SOAP envelope but 'a'"),
        (
            "an envelope of no version",
            SOAP12,
            with(soap12, SHOP).replace("2003/05/soap-envelope", "2001/12/soap-envelope"),
            500,
            SOAP11,
            "<faultcode>soap:VersionMismatch</faultcode>",
            "2001/12/soap-envelope",
        ),
        ("no Body", SOAP11, with(soap11, SHOP).replace("s:Body", "Body"), 500, SOAP11, CLIENT, "has no Body"),
        (
            "no Body, version seen",
            SOAP11,
            with(soap12, SHOP).replace("s:Body", "Body"),
            400,
            SOAP12,
            SENDER,
            "has no Body",
        ),
        ("an empty Body", SOAP11, with(soap11, ""), 500, SOAP11, CLIENT, nothing),
        ("an empty Body", SOAP12, with(soap12, ""), 400, SOAP12, SENDER, nothing),
        ("text in the Body", SOAP12, with(soap11, "GetShopUrl"), 500, SOAP11, CLIENT, nothing),
        ("an unknown operation", SOAP11, with(soap11, "<n:Nope/>"), 500, SOAP11, UNKNOWN11, "no operation 'Nope'"),
        ("an unknown operation", SOAP12, with(soap12, "<n:Nope/>"), 500, SOAP12, UNKNOWN12, "no operation 'Nope'"),
        ("in another case", SOAP11, with(soap11, "<n:getShopUrl/>"), 500, SOAP11, UNKNOWN11, "'getShopUrl'"),
        ("of no namespace", SOAP11, with(soap11, "<GetShopUrl/>"), 500, SOAP11, UNKNOWN11, "of namespace ''"),
        (
            "of another namespace",
            SOAP12,
            with(soap12, "<n:GetShopUrl/>").replace("Services86", "Services88"),
            500,
            SOAP12,
            UNKNOWN12,
            "NetServer/Services88'",
        ),
        ("of the other service", SOAP11, with(soap11, "<n:GetSystemInfo/>"), 500, SOAP11, UNKNOWN11, "'GetSystemInfo'"),
        (
            "null for a number",
            SOAP11,
            with(soap11, &arguments("GetUserLicenses", "<n:AssociateId xsi:nil=\"true\"/>")),
            500,
            SOAP11,
            CLIENT,
            "Input string was not in a correct format.",
        ),
        (
            "a number beyond 32 bits",
            SOAP12,
            with(soap12, &arguments("GetUserLicenses", "<n:AssociateId>2147483648</n:AssociateId>")),
            400,
            SOAP12,
            SENDER,
            "Value was either too large or too small for an Int32.",
        ),
        (
            "text for a boolean",
            SOAP11,
            with(soap11, &activate("<n:CanBeActivated>maybe</n:CanBeActivated>")),
            500,
            SOAP11,
            CLIENT,
            "The string 'maybe' is not a valid Boolean value.",
        ),
        (
            "a value that is none of those there are",
            SOAP12,
            with(
                soap12,
                &activate(
                    "<n:New><n:ModuleLicenses><n:ModuleLicense><n:LicenseType>Free</n:LicenseType></n:ModuleLicense></n:ModuleLicenses></n:New>",
                ),
            ),
            400,
            SOAP12,
            SENDER,
            "'Free' is not a valid value for LicenseType.",
        ),
        (
            "elements for a text",
            SOAP11,
            with(soap11, &arguments("GetShopUrl", "<n:OwnerName><x/></n:OwnerName>")),
            500,
            SOAP11,
            CLIENT,
            "Element 'x' was not expected inside 'OwnerName'.",
        ),
        (
            "text for the number of a zone",
            SOAP11,
            envelope(soap11, "<n:TimeZone><n:SoTimeZoneId>NO</n:SoTimeZoneId></n:TimeZone>", "", SHOP),
            500,
            SOAP11,
            CLIENT,
            "Input string was not in a correct format.",
        ),
        ("too deep", SOAP11, with(soap11, &deep), 500, SOAP11, CLIENT, "elements nested deeper than 32"),
        ("too deep", SOAP12, with(soap12, &deep), 400, SOAP12, SENDER, "elements nested deeper than 32"),
        ("too many elements", SOAP11, with(soap11, &many), 500, SOAP11, CLIENT, "more than 8192 elements"),
        ("too long", SOAP11, with(soap11, &long), 413, PLAIN, "", "Maximum request length exceeded"),
        ("too long", SOAP12, with(soap12, &long), 413, PLAIN, "", "Maximum request length exceeded"),
    ] {
        let answer = server.send(&post_to(LICENSE_PATH, &format!("Content-Type: {typed}\r\n"), message.as_bytes()));
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(answered)), "{name}: {answer:?}");
        for part in [code, reason] {
            assert!(answer.body.contains(part), "{name}: no {part} in {}", answer.body);
        }
    }
}

#[test]
fn what_is_not_xml_by_its_type_is_not_read() {
    let server = Server::with_owners();
    let message = envelope(Version::Soap11, "", "", SHOP);
    for head in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/related; type=\"application/xop+xml\"\r\n",
        "Content-Type: xml\r\n",
    ] {
        for path in [LICENSE_PATH, SO_PRINCIPAL_PATH] {
            let answer = server.send(&post_to(path, head, message.as_bytes()));
            let typed = answer.header("content-type");
            assert_eq!((answer.status, typed), (415, Some("text/plain; charset=utf-8")), "{head}");
            assert!(
                answer.body.ends_with(" or application/soap+xml; charset=utf-8 (SOAP 1.2).\n"),
                "{head}: {}",
                answer.body
            );
        }
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        let request = format!("{method} {} HTTP/1.1\r\nHost: test.example\r\nContent-Length: 0\r\n\r\n", LICENSE_PATH);
        let answer = server.send(request.as_bytes());
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD,POST")), "{method}");
    }
}

// Date-times ---------------------------------------------------------------------------------------------------------

#[test]
fn date_times_are_told_in_the_zone_of_the_caller() {
    let server = Server::with_owners();
    server.sql(
        "UPDATE entity SET next_check_at = '2027-01-15T10:00:00Z', admin_warning_at = '2027-07-01T02:00:00Z',
                           expires_at = '2027-10-31T00:59:59Z', grace_at = '2027-10-31T01:00:00Z' WHERE id = 42",
    );
    let ticket = server.netserver_sign_in("reader");
    const UTC: [&str; 4] =
        ["2027-01-15T10:00:00Z", "2027-07-01T02:00:00Z", "2027-10-31T00:59:59Z", "2027-10-31T01:00:00Z"];
    const OSLO: [&str; 4] =
        ["2027-01-15T11:00:00", "2027-07-01T04:00:00", "2027-10-31T02:59:59", "2027-10-31T02:00:00"];
    const NEW_YORK: [&str; 4] =
        ["2027-01-15T05:00:00", "2027-06-30T22:00:00", "2027-10-30T20:59:59", "2027-10-30T21:00:00"];
    let id = |id: i32| format!("<SoTimeZoneId>{id}</SoTimeZoneId>");
    let code = |code: &str| format!("<SoTimeZoneLocationCode>{code}</SoTimeZoneLocationCode>");
    let zone = |number: i32, name: &str| format!("{}{}", id(number), code(name));
    let plain = UTC.map(|text| text.trim_end_matches('Z'));
    for (name, block, dates, told) in [
        ("none", None, UTC, zone(1, "UTC")),
        ("null", Some(" xsi:nil=\"true\"/>".to_owned()), UTC, zone(1, "UTC")),
        ("empty", Some("/>".to_owned()), UTC, zone(1, "UTC")),
        ("an id", Some(id(261)), OSLO, zone(261, "NO")),
        ("a code", Some(code("NO")), OSLO, zone(261, "NO")),
        ("in small letters", Some(code(" us-ny ")), NEW_YORK, zone(460, "US-NY")),
        ("both", Some(zone(460, "NO")), OSLO, zone(261, "NO")),
        ("an unknown code and an id", Some(zone(460, "XX")), NEW_YORK, zone(460, "US-NY")),
        ("a null code", Some(format!("{}<SoTimeZoneLocationCode xsi:nil=\"true\"/>", id(261))), OSLO, zone(261, "NO")),
        ("a zone whose id nobody knows", Some(code("SE")), OSLO, code("SE")),
        ("UTC by name", Some(code("UTC")), plain, zone(1, "UTC")),
        ("an unknown id", Some(id(7)), UTC, zone(1, "UTC")),
        ("no id", Some(id(0)), UTC, zone(1, "UTC")),
        ("an unknown code", Some(code("Europe/Oslo")), UTC, zone(1, "UTC")),
    ] {
        let block = block.map_or_else(String::new, |inside| match inside.ends_with("/>") && !inside.starts_with('<') {
            true => format!("<TimeZone xmlns=\"{NAMESPACE}\"{inside}"),
            false => format!("<TimeZone xmlns=\"{NAMESPACE}\">{inside}</TimeZone>"),
        });
        let blocks = format!("{block}{}", credentials(&ticket));
        let answer = server.netserver_call(&LICENSE, &blocks, "GetLicenseFromDB", "<OwnerName>CONTOSO</OwnerName>");
        assert_eq!(answer.exception(), None, "{name}: {answer:?}");
        let members =
            ["NextCheckDate", "AdminWarningDate", "ExpiryDate", "GraceDate"].map(|m| answer.element(m).expect(m));
        assert_eq!(members, dates, "{name}");
        assert_eq!(
            answer.element("MaintenanceDate").as_deref(),
            Some("0001-01-01T00:00:00"),
            "{name}: no date is no date"
        );
        assert!(
            answer.body.contains(&format!("<TimeZone xmlns=\"{NAMESPACE}\">{told}</TimeZone>")),
            "{name}: {}",
            answer.body
        );
    }
}
