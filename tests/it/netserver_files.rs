//! License files: what is read from one is shown beside what is in force, and nothing is granted that the issuer does not
//! offer, whatever a file says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seatkeeper::soap::envelope::Element;

use crate::harness::*;
use crate::kill::Random;
use crate::netserver_activation::{ALL_NEW, TAMPERED, granted, presented, tampered};
use crate::netserver_license::{CONTOSO, texts};
use crate::netserver_soap::{at, numbers};
use crate::surfaces::{Form, SURFACES, Surface, Tools, lines};
use crate::web::{AGENT, Api, JSON, parsed};

const NAMESPACE: &str = "http://www.superoffice.net/ws/crm/NetServer/Services86";

/// The whole answer of GetLicenseFromLicenseServer as a file.
fn file(license: &str) -> String {
    format!(
        "<ExtendedLicenseInfo xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">{license}</ExtendedLicenseInfo>"
    )
}

/// Only what is granted, as a file of its own.
fn new_only(license: &str) -> String {
    let (_, new) = license.split_once("<New>").expect("New");
    let (new, _) = new.split_once("</New>").expect("its end");
    format!("<LicenseInfo xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">{new}</LicenseInfo>")
}

fn argument(file: &str) -> String {
    format!("<FileContent>{}</FileContent>", escape(file))
}

fn can_be_activated(answer: &Element) -> (bool, String) {
    (at(answer, "CanBeActivated").text == "true", at(answer, "Reason").text.clone())
}

const DONE: (bool, String) = (true, String::new());

#[test]
fn a_file_is_shown_beside_what_is_in_force() {
    let tools = Tools::start();
    tools.take("SqlBackup", 2);
    tools.server.sql(ALL_NEW);
    let license = granted(&tools);
    let (whole, only) = (file(&license), new_only(&license));
    let expected = tools.response("reader", "GetLicenseFromLicenseServer", CONTOSO);
    let before = tools.state();
    let utf16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xFF, 0xFE].into_iter().chain(units).collect::<Vec<u8>>()
    };
    for (name, file) in [
        ("all of it", whole.clone()),
        ("what is new", only.clone()),
        (
            "in the service's namespace",
            only.replacen("<LicenseInfo", &format!("<LicenseInfo xmlns=\"{NAMESPACE}\""), 1),
        ),
        (
            "in any namespace, with a prefix",
            whole.replace("</", "</x:").replace('<', "<x:").replace("<x:/x:", "</x:").replacen(
                "<x:ExtendedLicenseInfo",
                "<x:ExtendedLicenseInfo xmlns:x=\"urn:x\"",
                1,
            ),
        ),
        ("a declaration", format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n{only}\r\n")),
        ("another encoding declared", format!("<?xml version=\"1.0\" encoding=\"utf-16\"?>{only}")),
        ("a byte order mark", format!("\u{FEFF}{only}")),
        ("a blank line first", format!("\n \t<?xml version=\"1.0\"?>{only}")),
        ("a comment", format!("<!-- {} -->{only}", "x".repeat(2_000))),
        ("names in capitals", only.replace("SerialNr>", "SERIALNR>")),
        ("base64", BASE64.encode(&only)),
        (
            "base64 in lines",
            BASE64
                .encode(&whole)
                .as_bytes()
                .chunks(76)
                .map(|line| format!("{}\r\n", String::from_utf8_lossy(line)))
                .collect(),
        ),
        ("base64 with a mark", BASE64.encode(format!("\u{FEFF}{only}"))),
        ("base64 of UTF-16", BASE64.encode(utf16(&only))),
        ("base64 of Latin-1", BASE64.encode(format!("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>{only}"))),
    ] {
        let answer = tools.response("reader", "GetLicenseFromFile", &argument(&file));
        assert_eq!(can_be_activated(&answer), DONE, "{name}");
        for part in ["New", "Current", "ExtendedModuleLicenses", "AccumulatedNextCheckDate"] {
            assert_eq!(lines(at(&answer, part)), lines(at(&expected, part)), "{name}");
        }
    }
    assert_eq!(tools.state(), before, "reading changes nothing");
}

/// Numbers are those that the license of the file would lead to, also where it is not what the issuer grants.
#[test]
fn a_file_that_is_not_granted_is_shown_with_its_numbers_and_why() {
    let mut tools = Tools::start();
    tools.take("SqlBackup", 2);
    let license = granted(&tools);
    let before = tools.state();
    for (number, expected) in [
        ("9", [2, 3, 4, 9, 7, 5]),
        ("1", [2, 3, -4, 1, -1, 5]),
        ("0", [2, 3, -5, 0, -2, 5]),
        ("2147483647", [2, 3, i32::MAX - 5, i32::MAX, i32::MAX - 2, 5]),
        ("-2147483648", [2, 3, i32::MIN, i32::MIN, i32::MIN, 5]),
    ] {
        let changed = license.replacen("<NumberOfLicenses>5<", &format!("<NumberOfLicenses>{number}<"), 1);
        for (operation, user) in [("GetLicenseFromFile", "reader"), ("AddLicenseFromFile", "admin")] {
            for surface in SURFACES.into_iter().filter(|surface| surface.has(operation)) {
                tools.surface = surface;
                let answer = tools.response(user, operation, &argument(&file(&changed)));
                let (is_good, reason) = can_be_activated(&answer);
                assert!(!is_good && reason.contains("ModuleLicenses differs"), "{number}: {reason}");
                assert_eq!(numbers(&answer, 1), expected, "{number}");
                assert_eq!(at(&answer, "New/ModuleLicenses/ModuleLicense#1/NumberOfLicenses").text, number);
                assert_eq!(at(&answer, "Current/ModuleLicenses/ModuleLicense#1/NumberOfLicenses").text, "5");
            }
        }
    }
    assert_eq!(tools.state(), before);
    // A module that is left out has no New.
    let (head, rest) = license.split_once("<ModuleLicense>").expect("a module");
    let less = format!("{head}{}", rest.split_once("</ModuleLicense>").expect("its end").1);
    let answer = tools.response("reader", "GetLicenseFromFile", &argument(&file(&less)));
    assert!(at(&answer, "ExtendedModuleLicenses/ExtendedModuleLicense/New").is_nil());
    assert_eq!(numbers(&answer, 0), [0, 10, -10, 0, 0, 10]);
}

#[test]
fn a_file_is_activated_as_the_license_in_it_would_be() {
    for tools in Tools::calling("AddLicenseFromFile") {
        tools.take("SqlBackup", 2);
        tools.server.sql(ALL_NEW);
        let twin = Tools::start();
        twin.take("SqlBackup", 2);
        twin.server.sql(ALL_NEW);
        let license = granted(&twin);
        twin.response("admin", "ActivateLicenseInfo", &presented("NewLicense", &license));

        let file = file(&license);
        let answer = tools.response("admin", "AddLicenseFromFile", &argument(&file));
        assert_eq!(can_be_activated(&answer), DONE);
        assert_eq!(tools.state(), twin.state(), "{:?}", tools.surface);
        assert_eq!(lines(&answer), lines(&tools.response("reader", "GetLicenseFromLicenseServer", CONTOSO)));
        assert_eq!(texts(at(&answer, "New")), texts(at(&answer, "Current")), "what was in the file is in force");

        // Once more: it is what is granted, and nothing is left to be done.
        let before = tools.state();
        assert_eq!(can_be_activated(&tools.response("admin", "AddLicenseFromFile", &argument(&file))), DONE);
        assert_eq!(tools.state(), before);
        assert_eq!(tools.server.violations(), []);
    }
}

#[test]
fn a_file_waits_until_seats_are_released() {
    for tools in Tools::calling("AddLicenseFromFile") {
        tools.take("SqlBackup", 3);
        tools.server.sql(ALL_NEW);
        let argument = argument(&file(&granted(&tools)));
        let before = tools.state();
        let answer = tools.response("admin", "AddLicenseFromFile", &argument);
        let (is_good, reason) = can_be_activated(&answer);
        assert!(!is_good && reason.contains("Release 1 "), "{reason}");
        assert_eq!((tools.state(), numbers(&answer, 1)), (before, [3, 2, -3, 2, -1, 5]));
        let holding = "<Username>SqlBackup-0</Username><LicenseType>SqlBackup</LicenseType>";
        assert_eq!(tools.server.call("UnassignLicense", "admin", holding).code(), "Success");
        assert_eq!(can_be_activated(&tools.response("admin", "AddLicenseFromFile", &argument)), DONE);
        assert_eq!(tools.server.violations(), []);
    }
}

/// Whatever is refused of a license that is handed back is refused of a file.
#[test]
fn a_file_that_was_changed_on_the_way_is_refused() {
    let mut tools = Tools::start();
    tools.take("SqlBackup", 1);
    tools.server.sql(ALL_NEW);
    let license = granted(&tools);
    let before = tools.state();
    for (member, from, to) in TAMPERED {
        let changed = file(&tampered(&license, from, to));
        let mut answers = vec![tools.response("admin", "GetLicenseFromFile", &argument(&changed))];
        for surface in SURFACES.into_iter().filter(|surface| surface.has("AddLicenseFromFile")) {
            tools.surface = surface;
            answers.push(tools.response("admin", "AddLicenseFromFile", &argument(&changed)));
        }
        for answer in answers {
            let (is_good, reason) = can_be_activated(&answer);
            let name = member.split(' ').next().unwrap_or_default();
            assert!(!is_good && reason.contains(&format!("{name} ")), "{member}: {from} for {to}: {reason}");
        }
        assert_eq!(tools.state(), before, "{member}: nothing is changed");
    }
}

#[test]
fn a_bad_file_says_what_is_wrong() {
    let mut tools = Tools::start();
    let before = tools.state();
    let license = "<LicenseInfo>\n<OwnerName>CONTOSO</OwnerName>";
    let modules = |count: usize| {
        let module = "<ModuleLicense><ModuleName>SALES</ModuleName></ModuleLicense>";
        format!("{license}<ModuleLicenses>{}</ModuleLicenses></LicenseInfo>", module.repeat(count))
    };
    for (file, expected) in [
        ("x".to_owned(), "neither XML nor base64 of XML"),
        ("{\"OwnerName\":\"CONTOSO\"}".to_owned(), "it looks like JSON, and must be XML"),
        ("x".repeat(200_001), "neither XML nor base64 of XML"),
        ("x".repeat(200_000), "not text in UTF-8"),
        // Words that are base64 by chance.
        ("junk".to_owned(), "it is no XML"),
        ("License data".to_owned(), "neither XML nor base64 of XML"),
        (BASE64.encode("hello"), "not well-formed XML"),
        // An unknown encoding counts as absent, as in messages.
        (BASE64.encode(b"<?xml version='1.0' encoding='klingon'?><LicenseInfo/>"), "names no owner"),
        (BASE64.encode([0xFF; 1000]), "not text in UTF-8"),
        (BASE64.encode(b"<LicenseInfo><OwnerName>M\xFCller</OwnerName></LicenseInfo>"), "not text in UTF-8"),
        ("<".to_owned(), "not well-formed XML"),
        ("<LicenseInfo>".to_owned(), "not well-formed XML"),
        (
            format!("<!DOCTYPE LicenseInfo [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>{license}&x;</LicenseInfo>"),
            "document type declaration",
        ),
        (
            format!("<!DOCTYPE LicenseInfo SYSTEM \"http://127.0.0.1:1/x.dtd\">{license}</LicenseInfo>"),
            "document type declaration",
        ),
        (format!("{license}<SerialNr>&x;</SerialNr></LicenseInfo>"), "entity 'x' is not defined"),
        ("<a>".repeat(100) + &"</a>".repeat(100), "nested deeper than 32"),
        (format!("<LicenseInfo>{}</LicenseInfo>", "<a/>".repeat(9_000)), "more than 8192 elements"),
        (modules(64), "ModuleLicenses differs"),
        (modules(65), "has 65 modules, and 64 are accepted"),
        ("<License/>".to_owned(), "its root element is 'License', and LicenseInfo or ExtendedLicenseInfo is expected"),
        (format!("<{}/>", "x".repeat(1_000)), &format!("'{}…'", "x".repeat(200))),
        ("<ExtendedLicenseInfo/>".to_owned(), "New of its ExtendedLicenseInfo is missing"),
        (
            "<ExtendedLicenseInfo><Current><OwnerName>CONTOSO</OwnerName></Current></ExtendedLicenseInfo>".to_owned(),
            "New of its",
        ),
        ("<LicenseInfo/>".to_owned(), "OwnerName is missing or empty"),
        ("<LicenseInfo><OwnerName> \n</OwnerName></LicenseInfo>".to_owned(), "OwnerName is missing or empty"),
        (format!("{license}\n<ExpiryDate>soon</ExpiryDate></LicenseInfo>"), "line 3: ExpiryDate is not a date-time"),
        (format!("\n\n{license}\n<ExtraFlags>99999999999999999999</ExtraFlags></LicenseInfo>"), "line 5: "),
        (format!("\n<?xml version=\"1.0\"\n?>\n{license}<ExtraFlags>x</ExtraFlags></LicenseInfo>"), "line 5: "),
        (
            format!(
                "{license}<ModuleLicenses>\n\n<ModuleLicense><NumberOfLicenses>1e9</NumberOfLicenses></ModuleLicense></ModuleLicenses></LicenseInfo>"
            ),
            "line 4: ",
        ),
        (
            format!(
                "{license}<ModuleLicenses><ModuleLicense><LicenseType>{}</LicenseType></ModuleLicense></ModuleLicenses></LicenseInfo>",
                "x".repeat(50_000)
            ),
            "line 2: ",
        ),
        (format!("{license}<OwnerDescription><b/></OwnerDescription></LicenseInfo>"), "line 2: "),
    ] {
        let short: String = file.chars().take(80).collect();
        for (operation, user) in [("GetLicenseFromFile", "reader"), ("AddLicenseFromFile", "admin")] {
            for surface in SURFACES.into_iter().filter(|surface| surface.has(operation)) {
                tools.surface = surface;
                let answer = tools.response(user, operation, &argument(&file));
                let (is_good, reason) = can_be_activated(&answer);
                assert!(!is_good && reason.contains(expected), "{surface:?} {short}: {reason}");
                assert!(reason.ends_with('.') && !reason.ends_with("..") && reason.len() < 500, "{short}: {reason}");
                if expected != "ModuleLicenses differs" {
                    assert!(reason.starts_with("The license file cannot be used: "), "{short}: {reason}");
                    assert!(at(&answer, "New").is_nil() && at(&answer, "Current").is_nil(), "{short}");
                }
            }
        }
    }
    assert_eq!(tools.state(), before);
    // No file at all is a call that cannot be meant.
    for operation in ["GetLicenseFromFile", "AddLicenseFromFile"] {
        let (exception, text) = tools.refused("admin", operation, "<FileContent> </FileContent>");
        assert_eq!((&*exception, &*text), ("SoInvalidArgumentException", "FileContent is empty. Send a value."));
    }
}

/// An owner of another company is as unknown as one that does not exist. Without the right to activate, that is the answer.
#[test]
fn a_file_of_another_owner_tells_nothing_of_it() {
    let tools = Tools::start();
    let file = |owner: &str| {
        argument(&format!("<LicenseInfo><OwnerName>{owner}</OwnerName><SerialNr>9090000099</SerialNr></LicenseInfo>"))
    };
    for operation in ["GetLicenseFromFile", "AddLicenseFromFile"] {
        let told = |owner: &str| {
            let answer = tools.response("contoso", operation, &file(owner));
            assert!(at(&answer, "Current").is_nil() && at(&answer, "ExtendedModuleLicenses").children.is_empty());
            lines(&answer).join("\n").replace(owner, "OWNER")
        };
        let unknown = told("NOBODYS");
        assert!(unknown.contains("Owner 'OWNER' does not exist or is not among the entities"), "{unknown}");
        for owner in ["OUTSIDE", "FABRIKAM", "SUPEROFFICE"] {
            assert_eq!(told(owner), unknown, "{operation} {owner}");
        }
        assert_eq!(tools.refused("nobody", operation, &file("CONTOSO")).0, "SoSessionException");
        assert_eq!(tools.refused("nobody", operation, "<FileContent>x</FileContent>").0, "SoSessionException");
    }
    for (user, content) in [("reader", "x"), ("agent", "<LicenseInfo/>")] {
        assert_eq!(tools.refused(user, "AddLicenseFromFile", &argument(content)).0, "SoSentryException");
    }
}

/// However a file is damaged: it is refused and nothing is changed, or it is as good as the file was.
#[test]
fn damaged_files() {
    let mut random = Random::from_seed();
    let tools = Tools::start();
    tools.take("SqlBackup", 2);
    tools.server.sql(ALL_NEW);
    let license = granted(&tools);
    let good = file(&license);
    let before = tools.state();
    let activated = {
        let twin = Tools::start();
        twin.take("SqlBackup", 2);
        twin.server.sql(ALL_NEW);
        twin.response("admin", "ActivateLicenseInfo", &presented("NewLicense", &license));
        twin.state()
    };
    const PIECES: [&str; 14] =
        ["<", ">", "</New>", "<New>", "0", "9", "-", "&amp;", "&x;", "<!--", "]]>", "<ModuleLicense>", " ", "\u{FEFF}"];
    let mut refused = 0;
    for _ in 0..150 {
        let mut bytes: Vec<char> = good.chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            let end = (at + random.below(40) as usize).min(bytes.len());
            let piece = PIECES[random.below(PIECES.len() as u64) as usize];
            let range = if random.below(2) == 0 { at..at } else { at..end };
            drop(bytes.splice(range, piece.chars()));
        }
        let damaged: String = bytes.into_iter().collect();
        let request = Surface::Agent(Form::Json).request(
            crate::surfaces::Caller { ticket: &tools.ticket("admin"), zone: None },
            "AddLicenseFromFile",
            &argument(&damaged),
        );
        let answer = tools.server.send(&request.expect("a call"));
        let answer =
            Surface::Agent(Form::Json).read("AddLicenseFromFile", &answer).expect("an answer, not an exception");
        if can_be_activated(&answer).0 {
            assert_eq!(tools.state(), activated, "{damaged}");
            // Only what is granted is compared: a change of what is in force is none.
            return;
        }
        refused += 1;
        assert_eq!(tools.state(), before, "{damaged}");
    }
    assert_eq!(refused, 150);
    assert_eq!(tools.server.violations(), []);
}

/// The vendor lists these types for POST License.
#[test]
fn a_file_can_be_posted_as_it_is() {
    let api = Api::start();
    let headers = |typed: &str| format!("Content-Type: {typed}\r\n");
    let license = {
        let answer = api.ask(
            &format!("POST {AGENT}/GetLicenseFromLicenseServer"),
            &format!("{JSON}Accept: application/xml\r\n"),
            r#"{"OwnerName":"CONTOSO"}"#,
        );
        answer.body
    };
    let encoded: String = license.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for (typed, body) in [
        ("text/plain", license.clone()),
        ("text/plain; charset=utf-8", license.clone()),
        ("text/plain", BASE64.encode(&license)),
        ("application/xml", license.clone()),
        ("text/xml; charset=utf-8", license.clone()),
        ("application/xml", format!("<string>{}</string>", escape(&license))),
        ("application/json", serde_json::to_string(&license).expect("JSON")),
        ("application/x-www-form-urlencoded", format!("FileContent={encoded}")),
        ("application/x-www-form-urlencoded", format!("={encoded}")),
    ] {
        let answer = api.ask("POST /api/v1/License", &headers(typed), &body);
        assert_eq!(answer.status, 200, "{typed} {answer:?}");
        let found = parsed(&answer);
        assert_eq!((&found["CanBeActivated"], &found["Reason"]), (&true.into(), &"".into()), "{typed}: {answer:?}");
    }
    for (typed, body, status) in [
        ("text/plain", "", 400),
        ("text/plain", "hello", 200),
        ("application/octet-stream", "<LicenseInfo/>", 415),
        ("application/json", "{}", 400),
        ("application/json", "[\"x\"]", 400),
        ("application/x-www-form-urlencoded", "<LicenseInfo/>", 400),
        ("application/x-www-form-urlencoded", "Other=x", 400),
    ] {
        let answer = api.ask("POST /api/v1/License", &headers(typed), body);
        assert_eq!(answer.status, status, "{typed} {body}: {answer:?}");
    }
    assert_eq!(api.bare("POST /api/v1/License", &headers("text/plain"), &license).status, 401);
    // A bad file says so alike, whichever of its types it came with.
    for body in ["<LicenseInfo/>", "<LicenseInfo> </LicenseInfo>", "<x/>", "<License><Owner/></License>"] {
        let reasons = ["text/plain", "application/xml", "text/xml"].map(|typed| {
            let answer = api.ask("POST /api/v1/License", &headers(typed), body);
            assert_eq!(answer.status, 200, "{typed} {body}: {answer:?}");
            let found = parsed(&answer);
            assert_eq!(found["CanBeActivated"], false, "{typed} {body}: {answer:?}");
            found["Reason"].clone()
        });
        assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{body}: {reasons:?}");
    }
    for empty in ["<string/>", "<string> </string>"] {
        assert_eq!(api.ask("POST /api/v1/License", &headers("text/xml"), empty).status, 400, "{empty}");
    }
}
