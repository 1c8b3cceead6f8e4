//! What license tools are told of the pools, and what they may do to them: status, numbers, each operation. Whatever is
//! told here is told alike on all surfaces; see `surfaces`.

use seatkeeper::contract::SERIALIZATION_ARRAYS;
use seatkeeper::netserver::LICENSE;
use seatkeeper::netserver::web_api::ROUTES;
use seatkeeper::soap::envelope::Element;

use crate::harness::*;
use crate::netserver_activation::{granted, presented};
use crate::netserver_soap::{at, numbers, shape};
use crate::surfaces::{Caller, Form, SURFACES, Surface, Tools, lines};

pub const CONTOSO: &str = "<OwnerName>CONTOSO</OwnerName>";

/// The texts of the leaves of an element, in their order.
pub fn texts(element: &Element) -> Vec<String> {
    if element.children.is_empty() {
        return vec![element.text.clone()];
    }
    element.children.iter().flat_map(texts).collect()
}

fn names(names: &[&str]) -> String {
    let strings: String = names.iter().map(|name| format!("<a:string>{name}</a:string>")).collect();
    format!(
        "<ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">{strings}</ModuleLicenseNames>"
    )
}

fn modules(associate: i32, owner: &str, of: &[&str]) -> String {
    format!("<AssociateId>{associate}</AssociateId><ModuleOwner>{owner}</ModuleOwner>{}", names(of))
}

// Status and numbers -------------------------------------------------------------------------------------------------

pub const OFFER: &str = "INSERT INTO license_offer (entity_id) VALUES (42);";

pub fn offer_seats(license_type: &str, seats: i32) -> String {
    format!("{OFFER} INSERT INTO license_offer_module VALUES (42, '{license_type}', {seats});")
}

#[test]
fn the_status_follows_what_stands_in_the_database() {
    const NO_SHOP: &str = "UPDATE entity SET shop_url = NULL WHERE id = 42;";
    const WARNED: &str = "UPDATE entity SET admin_warning_at = '2020-01-01T00:00:00Z', expires_at = '2098-01-01T00:00:00Z' WHERE id = 42;";
    const COMPANY: &str = "UPDATE license_offer SET company_name = 'Contoso Ltd' WHERE entity_id = 42;";
    const SERIAL: &str = "UPDATE license_offer SET serial_nr = '1010000022' WHERE entity_id = 42;";
    const ENDED: &str = "UPDATE entity SET grace_at = '2020-01-01T00:00:00Z' WHERE id = 42;";
    const LONGER: &str = "UPDATE license_offer SET grace_at = '2099-01-01T00:00:00Z' WHERE entity_id = 42;";
    const SHOP: &str = "https://shop.example/contoso";
    let (more, fewer, below) = (offer_seats("SqlBackup", 6), offer_seats("SqlBackup", 1), offer_seats("SqlBackup", 0));
    let expires = "The license of CONTOSO expires at 2098-01-01T00:00:00Z. Renew it";
    let all = |parts: &[&str]| parts.concat();
    for (name, sql, status, message, url) in [
        ("as seeded", String::new(), "Ok", "", ""),
        ("no seat is free", "UPDATE license_pool SET seats_total = 1 WHERE id = 2;".to_owned(), "Ok", "", ""),
        (
            "no pool is open",
            "UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 2;".to_owned(),
            "Ok",
            "",
            "",
        ),
        ("not active", "UPDATE entity SET active = 0 WHERE id = 42;".to_owned(), "Ok", "", ""),
        ("an offer of what there is", OFFER.to_owned(), "Ok", "", ""),
        ("the same number", offer_seats("SqlBackup", 5), "Ok", "", ""),
        ("more seats", more.clone(), "NewLicenseAvailable", "", ""),
        ("fewer seats", fewer, "NewLicenseAvailable", "", ""),
        (
            "seats of a type that had none",
            all(&["UPDATE license_pool SET seats_total = 0 WHERE id = 3;", &offer_seats("ExchangeBackup", 1)]),
            "NewLicenseAvailable",
            "",
            "",
        ),
        ("another date", all(&[OFFER, LONGER]), "NewLicenseAvailable", "", ""),
        ("another name", all(&[OFFER, COMPANY]), "NewCompanyNameAvailable", "", ""),
        ("another number", all(&[OFFER, SERIAL]), "NewSerialAvailable", "", ""),
        ("number before seats", all(&[&more, SERIAL]), "NewSerialAvailable", "", ""),
        ("name before number and seats", all(&[&more, SERIAL, COMPANY]), "NewCompanyNameAvailable", "", ""),
        ("warned", all(&[WARNED, NO_SHOP]), "UseCustomMessage", expires, ""),
        (
            "warned, an empty shop",
            all(&[WARNED, "UPDATE entity SET shop_url = '' WHERE id = 42;"]),
            "UseCustomMessage",
            expires,
            "",
        ),
        ("warned, with a shop", WARNED.to_owned(), "UseCustomMessageAndUrl", expires, SHOP),
        (
            "not yet warned",
            "UPDATE entity SET admin_warning_at = '2098-01-01T00:00:00Z' WHERE id = 42;".to_owned(),
            "Ok",
            "",
            "",
        ),
        ("an offer before the warning", all(&[WARNED, &more]), "NewLicenseAvailable", "", ""),
        ("an offer of what there is, warned", all(&[WARNED, OFFER]), "UseCustomMessageAndUrl", expires, SHOP),
        ("ended", ENDED.to_owned(), "ProblemWithLicense", "ended at 2020-01-01T00:00:00Z", ""),
        ("ended, before all else", all(&[ENDED, WARNED, &more, COMPANY, SERIAL]), "ProblemWithLicense", "ended at", ""),
        ("ended, a longer one is offered", all(&[ENDED, OFFER, LONGER]), "NewLicenseAvailable", "", ""),
        (
            "offered below use",
            below.clone(),
            "ProblemWithLicense",
            "1 SqlBackup seat of CONTOSO is in use and the new license has 0. Release 1 first.",
            "",
        ),
        (
            "below use, before all else",
            all(&[&below, COMPANY, SERIAL, WARNED]),
            "ProblemWithLicense",
            "Release 1 first",
            "",
        ),
        (
            "dates in disorder",
            "UPDATE entity SET expires_at = '2098-01-01T00:00:00Z', grace_at = '2097-01-01T00:00:00Z' WHERE id = 42;"
                .to_owned(),
            "ProblemWithLicense",
            "not in order",
            "",
        ),
        (
            "no owner of that name",
            "UPDATE entity SET owner_name = NULL WHERE id = 42;".to_owned(),
            "ProblemWithLicense",
            "Owner 'CONTOSO' does not exist",
            "",
        ),
    ] {
        let tools = Tools::start();
        tools.take("SqlBackup", 1);
        tools.server.sql(&sql);
        let [found, told, at] = license_status(&tools);
        assert_eq!((&*found, &*at), (status, url), "{name}: {told}");
        assert!(told.contains(message) && told.is_empty() == message.is_empty(), "{name}: {told}");
    }
}

/// LicenseStatus, Message and Url of CONTOSO.
pub fn license_status(tools: &Tools) -> [String; 3] {
    let response = tools.response("reader", "GetLicenseStatusFromLicenseServer", CONTOSO);
    ["LicenseStatus", "Message", "Url"].map(|member| at(&response, member).text.clone())
}

/// As the first module has them: with what is granted, and, where nothing is told of that, of what is in force.
#[test]
fn the_worked_answer_step_by_step() {
    let tools = Tools::start();
    tools.take("SkraftDiskImageV5", 3);
    tools.take("SqlBackup", 5);
    let offer = |seats: i32| {
        tools.server.sql(&format!("DELETE FROM license_offer; {}", offer_seats("SkraftDiskImageV5", seats)));
    };
    let assign = || assert_eq!(tools.server.assign("one-more", 42, "SkraftDiskImageV5").code(), "Success");
    type Step<'s> = (&'s str, &'s dyn Fn(), [i32; 6], [i32; 6], bool, &'s str);
    let steps: [Step; 4] = [
        ("3 of 10 in use", &|| (), [3, 7, 0, 10, 7, 10], [3, 7, 0, 10, 7, 10], true, "Ok"),
        ("one more", &assign, [4, 6, 0, 10, 6, 10], [4, 6, 0, 10, 6, 10], true, "Ok"),
        ("12 offered", &|| offer(12), [4, 6, 2, 12, 8, 10], [4, 6, 0, 10, 6, 10], true, "NewLicenseAvailable"),
        ("3 offered", &|| offer(3), [4, 6, -7, 3, -1, 10], [4, 6, 0, 10, 6, 10], false, "ProblemWithLicense"),
    ];
    for (step, change, with_new, in_force, can_be_activated, state) in steps {
        change();
        let granted = tools.response("reader", "GetLicenseFromLicenseServer", CONTOSO);
        assert_eq!(numbers(&granted, 0), with_new, "{step}");
        assert_eq!(at(&granted, "CanBeActivated").text, can_be_activated.to_string(), "{step}");
        assert_eq!(numbers(&granted, 1), [5, 0, 0, 5, 0, 5], "{step}");
        assert_eq!(numbers(&granted, 2), [0, 7, 0, 7, 7, 7], "{step}");
        for (operation, arguments, path) in
            [("GetLicenseFromDB", CONTOSO, ""), ("GetLicenseForAllOwnersFromDB", "", "ExtendedLicenseInfo")]
        {
            let response = tools.response("reader", operation, arguments);
            let stored = if path.is_empty() { &response } else { at(&response, path) };
            assert_eq!(numbers(stored, 0), in_force, "{step}, {operation}");
            assert_eq!(at(stored, "CanBeActivated").text, "false", "{step}, {operation}: nothing new is told");
        }
        assert_eq!(license_status(&tools)[0], state, "{step}");
    }
    let seats: i64 = tools.server.query(
        "SELECT count(*) FROM seat JOIN license_pool ON id = pool_id WHERE entity_id = 42 AND account_id IS NOT NULL",
    );
    assert_eq!(seats, 9, "an offer takes nobody's seat");
}

#[test]
fn numbers_are_of_the_pools_that_are_open() {
    let tools = Tools::start();
    tools.server.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at) VALUES
             (21, 42, 'SkraftDiskImageV5', 100, NULL, '2020-01-01T00:00:00Z'),
             (22, 42, 'SkraftDiskImageV5', 200, '2098-01-01T00:00:00Z', NULL),
             (23, 42, 'SkraftDiskImageV5', 4, '2020-01-01T00:00:00Z', '2098-01-01T00:00:00Z');
         UPDATE seat SET account_id = 101 WHERE pool_id = 21 AND seat_no = 1;
         UPDATE seat SET account_id = 102 WHERE pool_id = 23 AND seat_no = 1;",
    );
    let license = tools.response("reader", "GetLicenseFromDB", CONTOSO);
    assert_eq!(numbers(&license, 0), [1, 13, 0, 14, 13, 14]);
    let held = |associate: i32| {
        let asked = format!("<AssociateId>{associate}</AssociateId><ModuleOwner>CONTOSO</ModuleOwner>");
        tools.response("reader", "GetThirdPartyLicenseAssignments", &asked).children.len()
    };
    assert_eq!((held(101), held(102)), (0, 1), "a seat that has expired is none");
}

// Who may do what ----------------------------------------------------------------------------------------------------

const UNSUPPORTED: [&str; 1] = ["SaveCentralLicense"];

/// Each operation with arguments that do, and the least role that may call it. What changes something comes last.
fn operations() -> Vec<(&'static str, String, &'static str)> {
    let owner = CONTOSO.to_owned();
    let sql = modules(101, "CONTOSO", &["SQLBACKUP"]);
    let new = format!("<New>{CONTOSO}</New>");
    let history = "<ModuleLicense><New><ModuleName>SQLBACKUP</ModuleName></New></ModuleLicense>";
    let file = format!("<FileContent>{}</FileContent>", escape(&format!("<LicenseInfo>{CONTOSO}</LicenseInfo>")));
    vec![
        ("GetModuleLicenseHistoryFromLicenseServer", format!("{}{history}", presented("LicenseInfo", &new)), "reader"),
        ("GetLicenseFromFile", file.clone(), "reader"),
        ("AddLicenseFromFile", file, "admin"),
        ("GetLicenseForAllOwnersFromDB", String::new(), "reader"),
        ("GetLicenseFromLicenseServer", owner.clone(), "reader"),
        ("ValidateLicenseInfo", presented("LicenseInfo", &new), "reader"),
        ("GetLicenseStatusFromLicenseServer", owner.clone(), "reader"),
        ("GetLicenseFromDB", owner.clone(), "reader"),
        ("GetUserLicenses", "<AssociateId>101</AssociateId>".to_owned(), "reader"),
        ("GetUserAndInstallationLicenceStatus", "<AssociateId>101</AssociateId>".to_owned(), "reader"),
        ("GetSatelliteLicenses", "<SatelliteId>0</SatelliteId>".to_owned(), "reader"),
        ("GetCentralLicense", String::new(), "reader"),
        ("GetShopUrl", owner.clone(), "reader"),
        ("GetUserLicensesMDOList", String::new(), "reader"),
        ("GetModuleLicenseFromDB", format!("{CONTOSO}<ModuleName>SQLBACKUP</ModuleName>"), "reader"),
        (
            "GetThirdPartyLicenseAssignments",
            "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner>".to_owned(),
            "reader",
        ),
        ("AssignThirdPartyLicenses", sql.clone(), "agent"),
        ("UnassignThirdPartyLicenses", sql, "admin"),
        ("ActivateLicenseInfo", presented("NewLicense", &new), "admin"),
        (
            "ChangeSerialNumber",
            "<NewCompanyName>C</NewCompanyName><NewSerialNumber>1</NewSerialNumber>".to_owned(),
            "admin",
        ),
        ("RemoveLicenseFromDB", "<ModuleOwner>CONTOSO</ModuleOwner>".to_owned(), "admin"),
    ]
}

#[test]
fn each_operation_is_for_its_role_and_those_above() {
    let tools = Tools::start();
    const ROLES: [&str; 3] = ["reader", "agent", "admin"];
    let rank = |role: &str| ROLES.iter().position(|r| *r == role);
    let mut known: Vec<&str> = UNSUPPORTED.to_vec();
    for (operation, arguments, least) in operations() {
        known.push(operation);
        assert_eq!(tools.refused("nobody", operation, &arguments).0, "SoSessionException", "{operation}");
        for surface in SURFACES {
            let request = surface.request(Caller { ticket: "", zone: None }, operation, &arguments);
            assert_eq!(request.is_some(), surface.has(operation), "{surface:?} {operation}");
        }
        for role in ROLES {
            if rank(role) < rank(least) {
                let before = tools.state();
                let (exception, text) = tools.refused(role, operation, &arguments);
                assert_eq!(exception, "SoSentryException", "{operation} by {role}");
                assert!(text.contains(&format!("'{role}'")) && text.contains(&format!("'{least}' may")), "{text}");
                assert_eq!(tools.state(), before, "{operation} by {role}");
            } else {
                tools.response(role, operation, &arguments);
            }
        }
    }
    known.sort_unstable();
    let routed = LICENSE.operations.iter().filter(|o| Surface::Resource(Form::Json).has(o.name));
    assert_eq!(routed.count(), ROUTES.len());
    let mut all: Vec<&str> = LICENSE.operations.iter().map(|operation| operation.name).collect();
    all.sort_unstable();
    assert_eq!(known, all, "and there is no other operation");
    assert_eq!(tools.server.violations(), []);
}

#[test]
fn unsupported_operations_say_so() {
    let tools = Tools::start();
    for operation in UNSUPPORTED {
        for arguments in ["", "<FileContent>x</FileContent>", "<LicenseInfo/><ModuleLicense/>"] {
            assert_eq!(tools.refused("nobody", operation, arguments).0, "SoSessionException", "{operation}");
            for role in ["reader", "admin"] {
                assert_eq!(tools.refused(role, operation, arguments).0, "SoNotSupportedException", "{operation}");
            }
        }
    }
}

// Arguments ----------------------------------------------------------------------------------------------------------

#[test]
fn an_argument_that_is_not_there_is_named() {
    let tools = Tools::start();
    let strings = [
        ("GetLicenseFromLicenseServer", "OwnerName", ""),
        ("GetLicenseStatusFromLicenseServer", "OwnerName", ""),
        ("GetLicenseFromDB", "OwnerName", ""),
        ("GetShopUrl", "OwnerName", ""),
        ("GetModuleLicenseFromDB", "OwnerName", "<ModuleName>SQLBACKUP</ModuleName>"),
        ("GetModuleLicenseFromDB", "ModuleName", CONTOSO),
        ("GetThirdPartyLicenseAssignments", "ModuleOwner", "<AssociateId>101</AssociateId>"),
        ("RemoveLicenseFromDB", "ModuleOwner", ""),
        ("ChangeSerialNumber", "NewCompanyName", "<NewSerialNumber>1</NewSerialNumber>"),
        ("ChangeSerialNumber", "NewSerialNumber", "<NewCompanyName>C</NewCompanyName>"),
    ];
    for (operation, argument, others) in strings {
        let ways = [
            String::new(),
            format!("<{argument} />"),
            format!("<{argument} xsi:nil=\"true\" />"),
            format!("<{argument}> \t\r\n</{argument}>"),
        ];
        for way in ways {
            let arguments = format!("{others}{way}");
            let (exception, text) = tools.refused("admin", operation, &arguments);
            assert_eq!(exception, "SoInvalidArgumentException", "{operation} {arguments}");
            assert!(text.starts_with(&format!("{argument} is empty")), "{operation} {arguments}: {text}");
            assert_eq!(tools.refused("nobody", operation, &arguments).0, "SoSessionException", "{operation}");
        }
    }
    let (sql, no_names) = (names(&["SQLBACKUP"]), names(&[]));
    let owner = "<ModuleOwner>CONTOSO</ModuleOwner>";
    let associate = "<AssociateId>101</AssociateId>";
    for operation in ["AssignThirdPartyLicenses", "UnassignThirdPartyLicenses"] {
        for (arguments, starts) in [
            (String::new(), "AssociateId is empty"),
            (format!("{owner}{sql}"), "AssociateId is empty"),
            (
                format!("<AssociateId>0</AssociateId>{owner}{sql}"),
                "AssociateId must be 1 or more. Send the id of a user.",
            ),
            (format!("<AssociateId>-1</AssociateId>{owner}{sql}"), "AssociateId must be 1 or more"),
            (format!("{associate}{sql}"), "ModuleOwner is empty"),
            (format!("{associate}{owner}"), "ModuleLicenseNames is empty"),
            (format!("{associate}{owner}<ModuleLicenseNames xsi:nil=\"true\" />"), "ModuleLicenseNames is empty"),
            (format!("{associate}{owner}{no_names}"), "ModuleLicenseNames is empty"),
            (modules(101, "CONTOSO", &[""]), "There is no module ''"),
            (
                modules(101, "CONTOSO", &["SQLBACKUP", "SALES"]),
                "There is no module 'SALES'; there are SKRAFTDISKIMAGEV5,",
            ),
        ] {
            let (exception, text) = tools.refused("admin", operation, &arguments);
            assert_eq!(exception, "SoInvalidArgumentException", "{arguments}");
            assert!(text.starts_with(starts), "{arguments}: {text}");
        }
    }
    for operation in ["GetUserLicenses", "GetThirdPartyLicenseAssignments"] {
        for (arguments, starts) in [
            ("", "AssociateId is empty"),
            (
                "<AssociateId>-1</AssociateId>",
                "AssociateId must not be negative. Send the id of a user, or 0 for the caller.",
            ),
        ] {
            let (exception, text) = tools.refused("reader", operation, arguments);
            assert_eq!(exception, "SoInvalidArgumentException", "{operation}");
            assert!(text.starts_with(starts), "{operation}: {text}");
        }
    }
    for (operation, argument) in [("ValidateLicenseInfo", "LicenseInfo"), ("ActivateLicenseInfo", "NewLicense")] {
        for arguments in [String::new(), format!("<{argument} xsi:nil=\"true\" />")] {
            let (exception, text) = tools.refused("admin", operation, &arguments);
            assert_eq!(exception, "SoInvalidArgumentException", "{operation}");
            assert!(text.starts_with(&format!("{argument} is empty")), "{text}");
        }
    }
    assert_eq!(
        tools
            .server
            .query::<i64>("SELECT count(*) FROM audit_event WHERE action IN ('assign', 'release', 'pool-change')"),
        0
    );
}

/// NuSOAP and other toolkits write arguments without a namespace or in a wrong one, and the items of a list in the service's.
#[test]
fn an_argument_in_a_neighbouring_namespace_is_read_where_only_one_can_be_meant() {
    let tools = Tools::start();
    let soap =
        |operation: &str, arguments: &str| tools.server.license_call(&tools.ticket("admin"), operation, arguments);
    const ARRAYS: &str = SERIALIZATION_ARRAYS;
    let shop = "https://shop.example/contoso";
    for (arguments, found) in [
        ("<OwnerName xmlns=\"\">CONTOSO</OwnerName>", Some(shop)),
        ("<OwnerName xmlns=\"urn:other\">CONTOSO</OwnerName>", Some(shop)),
        ("<Other/><OwnerName xmlns=\"\">CONTOSO</OwnerName><OwnerName xmlns=\"\">NOBODY</OwnerName>", Some(shop)),
        // The right one counts, wherever it stands.
        ("<OwnerName xmlns=\"\">NOBODY</OwnerName><OwnerName>CONTOSO</OwnerName>", Some(shop)),
        ("<OwnerName>CONTOSO</OwnerName><OwnerName xmlns=\"\">NOBODY</OwnerName>", Some(shop)),
        ("<OwnerName xmlns=\"urn:a\">CONTOSO</OwnerName><OwnerName xmlns=\"urn:b\">CONTOSO</OwnerName>", None),
    ] {
        let answer = soap("GetShopUrl", arguments);
        match found {
            Some(found) => assert_eq!(answer.element("Response").as_deref(), Some(found), "{arguments}"),
            None => {
                assert_eq!(answer.status, 500, "{arguments}: {answer:?}");
                let expected = format!("Send it in namespace '{NAMESPACE}'");
                assert!(answer.body.contains("'OwnerName'") && answer.body.contains(&expected), "{answer:?}");
            }
        }
    }
    let list = |items: &str| {
        let names = format!("<ModuleLicenseNames xmlns:b=\"{ARRAYS}\">{items}</ModuleLicenseNames>");
        format!("<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner>{names}")
    };
    for (arguments, held, says) in [
        (list("<string>SQLBACKUP</string>"), 1, ""),
        (list("<string xmlns=\"\">SQLBACKUP</string><string xmlns=\"\">EXCHANGEBACKUP</string>"), 2, ""),
        (list("<b:string>SQLBACKUP</b:string><string>EXCHANGEBACKUP</string>"), 0, "Send all of them in namespace"),
        (list("<string xmlns=\"\">SQLBACKUP</string><string>EXCHANGEBACKUP</string>"), 0, ARRAYS),
        (list("<item>SQLBACKUP</item>"), 0, ARRAYS),
        (list("<b:String>SQLBACKUP</b:String>"), 0, "'String' was not expected inside 'ModuleLicenseNames'"),
        (list("SQLBACKUP"), 0, "'ModuleLicenseNames' takes a list, and holds 'SQLBACKUP'"),
        (
            list("<string xsi:nil=\"true\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" />"),
            0,
            "ModuleLicenseNames is empty",
        ),
        (
            list("<string xmlns=\"\">SQLBACKUP</string>")
                .replace("<AssociateId", "<AssociateId xmlns=\"\"")
                .replace("<ModuleOwner", "<ModuleOwner xmlns=\"urn:other\"")
                .replace("<ModuleLicenseNames", "<ModuleLicenseNames xmlns=\"\""),
            1,
            "",
        ),
    ] {
        let answer = soap("AssignThirdPartyLicenses", &arguments);
        assert!(answer.body.contains(says), "{arguments}: {answer:?}");
        let seats: i64 = tools.server.query("SELECT count(*) FROM seat WHERE account_id = 101");
        assert_eq!(seats, held, "{arguments}: {answer:?}");
        tools.server.sql("UPDATE seat SET account_id = NULL WHERE account_id = 101");
    }
    // Deep inside: a license that a toolkit wrote without namespaces.
    let license = granted(&tools).replace("<New>", "<New xmlns=\"\">");
    let answer = soap("ValidateLicenseInfo", &presented("LicenseInfo", &license));
    assert_eq!(answer.element("Reason").as_deref(), None, "{answer:?}");
    assert!(answer.body.contains("<Succeeded>true</Succeeded>"), "{answer:?}");
    // Numbers of enumerations are read here too, and not in the other service, where they are no names.
    let fields =
        "<Username>u</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>1</LicenseType>";
    let other = tools.server.call("AssignLicense", "agent", fields);
    assert!(other.status == 500 && other.body.contains("'1' is not a valid value for LicenseType."), "{other:?}");
    let license = granted(&tools).replace(">UserLicense<", ">3<");
    let answer = soap("ValidateLicenseInfo", &presented("LicenseInfo", &license));
    assert!(answer.body.contains("<Succeeded>true</Succeeded>"), "{answer:?}");
}

/// The vendor's 0 is oneself. To assign is for users that are named.
#[test]
fn associate_0_is_the_caller() {
    let tools = Tools::start();
    const ZERO: &str = "<AssociateId>0</AssociateId>";
    let owner = "<ModuleOwner>CONTOSO</ModuleOwner>";
    let before = tools.state();
    // Without an account of one's own there is nothing; and nothing is made.
    assert_eq!(tools.response("contoso", "GetUserLicenses", ZERO).children.len(), 0);
    let held = tools.response("contoso", "GetThirdPartyLicenseAssignments", &format!("{ZERO}{owner}"));
    assert_eq!(held.children.len(), 0);
    assert_eq!(tools.state(), before);
    let accounts: i64 = tools.server.query("SELECT count(*) FROM account");
    assert_eq!(accounts, 4);
    // An account of the same name that is not among the caller's entities is another one.
    tools.server.sql("INSERT INTO account (id, username, entity_id) VALUES (110, 'contoso', 43), (111, 'Agent', 42)");
    assert_eq!(tools.response("contoso", "GetUserLicenses", ZERO).children.len(), 0);
    tools.server.sql("UPDATE seat SET account_id = 111 WHERE pool_id = 2 AND seat_no = 1");
    for (operation, others) in [("GetUserLicenses", ""), ("GetThirdPartyLicenseAssignments", owner)] {
        let of =
            |id: i32| lines(&tools.response("agent", operation, &format!("<AssociateId>{id}</AssociateId>{others}")));
        assert_eq!(of(0), of(111), "{operation}");
        assert_ne!(of(0), of(101), "{operation}");
        assert_eq!(tools.refused("nobody", operation, &format!("{ZERO}{others}")).0, "SoSessionException");
    }
}

/// A client that counts from 1970 hands back the zero date as the zero of its own.
#[test]
fn the_beginning_of_1970_is_no_date() {
    for tools in Tools::calling("ValidateLicenseInfo") {
        let license = granted(&tools);
        assert!(license.contains(">0001-01-01T00:00:00<"), "{license}");
        let epoch = license.replace(">0001-01-01T00:00:00<", ">1970-01-01T00:00:00Z<");
        let result = tools.response("reader", "ValidateLicenseInfo", &presented("LicenseInfo", &epoch));
        assert_eq!(at(&result, "Reason").text, "");
        // A date that is there stays one.
        tools.server.sql("UPDATE entity SET expires_at = '2097-04-01T00:00:00Z' WHERE id = 42");
        let result = tools.response("reader", "ValidateLicenseInfo", &presented("LicenseInfo", &epoch));
        assert!(at(&result, "Reason").text.contains("ExpiryDate differs"), "{:?}", at(&result, "Reason").text);
        // Even this one.
        tools.server.sql("UPDATE entity SET expires_at = NULL, maintenance_at = '1970-01-01T00:00:00Z' WHERE id = 42");
        let result = tools.response("reader", "ValidateLicenseInfo", &presented("LicenseInfo", &granted(&tools)));
        assert_eq!(at(&result, "Reason").text, "");
    }
}

#[test]
fn a_name_that_is_no_owners_is_simply_unknown() {
    let tools = Tools::start();
    let long = "X".repeat(100_000);
    let strange = [
        "NOBODY",
        "SUPEROFFICE",
        "USER",
        "SITE",
        "CONTOSO'",
        "' OR 1=1 --",
        "CONTOSO; DROP TABLE entity",
        "%",
        "_ONTOSO",
        "CONTOSO*",
        "Wuckert, Cassin and Goyette",
        "a & b < c > \"d\"",
        "../../etc",
        "CONTO\u{17F}O",
        "ＣＯＮＴＯＳＯ",
        "größe 名 \u{1F512}",
        "CON\tTOSO",
        "CON\r\nTOSO",
        "CONTOSO\u{85}x",
        "\u{202E}OSOTNOC",
        &long,
    ];
    for name in strange {
        let owner = format!("<OwnerName>{}</OwnerName>", escape(name));
        let module_owner = owner.replace("OwnerName", "ModuleOwner");
        for operation in ["GetLicenseFromLicenseServer", "GetLicenseFromDB", "GetShopUrl"] {
            assert_eq!(shape(&tools.response("reader", operation, &owner)), "Response", "{operation} {name}");
        }
        let module = format!("{owner}<ModuleName>SQLBACKUP</ModuleName>");
        assert_eq!(shape(&tools.response("reader", "GetModuleLicenseFromDB", &module)), "Response", "{name}");
        let status = tools.response("reader", "GetLicenseStatusFromLicenseServer", &owner);
        assert_eq!(at(&status, "LicenseStatus").text, "ProblemWithLicense", "{name}");
        let removed = tools.response("admin", "RemoveLicenseFromDB", &module_owner);
        assert_eq!(at(&removed, "Succeeded").text, "false", "{name}");
        let held = format!("<AssociateId>101</AssociateId>{module_owner}");
        assert_eq!(shape(&tools.response("reader", "GetThirdPartyLicenseAssignments", &held)), "Response", "{name}");
        let assigned = format!("{held}{}", names(&["SQLBACKUP"]));
        let (exception, refusal) = tools.refused("admin", "AssignThirdPartyLicenses", &assigned);
        assert_eq!(exception, "SoNotFoundException", "{name}");
        let serial =
            format!("<NewCompanyName>{0}</NewCompanyName><NewSerialNumber>{0}</NewSerialNumber>", escape(name));
        let changed = tools.response("admin", "ChangeSerialNumber", &serial);
        assert_eq!(at(&changed, "Succeeded").text, "false", "{name}");
        // What was sent is told back so that it can be recognised, not so that it fills an answer or breaks a line.
        for text in [&at(&status, "Message").text, &at(&removed, "Reason").text, &at(&changed, "Reason").text, &refusal]
        {
            let start: String = name.chars().filter(|c| !c.is_control()).take(20).collect();
            assert!(text.contains(start.trim()), "{name}: {text}");
            assert!(text.len() < 1000 && !text.contains(char::is_control), "{name}: {text}");
        }
    }
    // And in any case, with blanks around it, it is known.
    for name in ["CONTOSO", "contoso", "Contoso", " CONTOSO\t"] {
        let owner = format!("<OwnerName>{name}</OwnerName>");
        let license = tools.response("reader", "GetLicenseFromDB", &owner);
        assert_eq!(at(&license, "Current/OwnerName").text, "CONTOSO", "{name}");
    }
    assert_eq!(tools.server.query::<i64>("SELECT count(*) FROM entity WHERE owner_name IS NOT NULL"), 3);
}

// Reading ------------------------------------------------------------------------------------------------------------

#[test]
fn all_owners_are_told_that_the_caller_may_know() {
    let tools = Tools::start();
    for (user, expected) in [("reader", "CONTOSO FABRIKAM"), ("contoso", "CONTOSO"), ("outside", "OUTSIDE")] {
        let owners = |operation: &str, path: &str| {
            let list = tools.response(user, operation, "<SatelliteId>0</SatelliteId>");
            list.children.iter().map(|item| at(item, path).text.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(owners("GetLicenseForAllOwnersFromDB", "Current/OwnerName"), expected, "{user}");
        assert_eq!(owners("GetUserLicensesMDOList", "Name"), expected, "{user}");
        assert_eq!(owners("GetSatelliteLicenses", "Name"), expected, "{user}");
    }
}

#[test]
fn a_license_in_the_database_is_told_without_what_is_granted() {
    let tools = Tools::start();
    tools.take("SqlBackup", 2);
    tools.server.sql(&offer_seats("SqlBackup", 1));
    for license in [
        tools.response("reader", "GetLicenseFromDB", CONTOSO),
        tools.response("reader", "GetLicenseForAllOwnersFromDB", "").children.remove(0),
    ] {
        assert_eq!(shape(at(&license, "New")), "New");
        assert_eq!((&*at(&license, "CanBeActivated").text, &*at(&license, "Reason").text), ("false", ""));
        assert_eq!(numbers(&license, 1), [2, 3, 0, 5, 3, 5]);
        assert_eq!(at(&license, "Current/CompanyName").text, "Contoso Backup");
    }
}

#[test]
fn one_module_is_told() {
    let tools = Tools::start();
    let module = |owner: &str, name: &str| {
        let asked = format!("<OwnerName>{owner}</OwnerName><ModuleName>{name}</ModuleName>");
        texts(&tools.response("reader", "GetModuleLicenseFromDB", &asked)).join("|")
    };
    for (owner, name, expected) in [
        (
            "CONTOSO",
            "SKRAFTDISKIMAGEV5",
            "CONTOSO|SKRAFTDISKIMAGEV5|SkraftDiskImageV5|||UserLicense|false|InternalAssociate|10|0||1|false||",
        ),
        ("contoso", " sqlbackup ", "CONTOSO|SQLBACKUP|SqlBackup|||UserLicense|false|InternalAssociate|5|0||2|false||"),
        (
            "FABRIKAM",
            "ExchangeBackup",
            "FABRIKAM|EXCHANGEBACKUP|ExchangeBackup|||UserLicense|false|InternalAssociate|0|0||3|false||",
        ),
        ("CONTOSO", "SALES", ""),
        ("NOBODY", "SQLBACKUP", ""),
    ] {
        assert_eq!(module(owner, name), expected);
    }
}

#[test]
fn what_a_user_holds_and_can_be_assigned_is_told_by_owner() {
    let tools = Tools::start();
    tools.server.sql(
        "UPDATE entity SET owner_name = 'NORTHWIND' WHERE id = 1;
         UPDATE license_pool SET seats_total = 1 WHERE id = 3;
         UPDATE seat SET account_id = 101 WHERE pool_id = 2 AND seat_no = 1;
         UPDATE seat SET account_id = 102 WHERE pool_id = 3 AND seat_no = 1;
         UPDATE seat SET account_id = 103 WHERE pool_id = 9 AND seat_no = 1;",
    );
    // Name, description, then for each module: can be assigned, free, in use, assigned.
    let licenses = |user: &str, associate: i32| {
        let owners = tools.response(user, "GetUserLicenses", &format!("<AssociateId>{associate}</AssociateId>"));
        let owner = |owner: &Element| {
            let links = at(owner, "RestrictedModuleLicenses").children.iter().map(|link| {
                ["CanAssign", "Free", "InUse", "Assigned"].map(|member| at(link, member).text.clone()).join(" ")
            });
            format!("{}: {}", at(owner, "Name").text, links.collect::<Vec<_>>().join(", "))
        };
        owners.children.iter().map(owner).collect::<Vec<_>>()
    };
    const ANNA: &str = "CONTOSO: true 10 0 false, false 4 1 true, false 0 1 false";
    const NORTHWIND: &str = "NORTHWIND: false 0 0 false, false 0 0 false, false 0 0 false";
    const NOTHING: &str = "CONTOSO: false 10 0 false, false 4 1 true, false 0 1 false";
    assert_eq!(licenses("agent", 101), [ANNA, NORTHWIND], "the user's company and those above it");
    assert_eq!(licenses("reader", 101), [NOTHING, NORTHWIND], "a reader assigns nothing");
    assert_eq!(licenses("contoso", 101), [ANNA], "as far as the caller may know them");
    assert_eq!(licenses("contoso", 103), [""; 0], "whose user that is");
    assert_eq!(licenses("reader", 999), [""; 0]);
    assert_eq!(licenses("outside", 103), [""; 0], "what is held is told to whom the user belongs");
    assert_eq!(licenses("outside", 109), ["OUTSIDE: false 0 0 false, true 3 1 false, false 0 0 false"]);
    // Fay holds a seat that is not among the caller's.
    assert_eq!(licenses("agent", 103), ["FABRIKAM: false 0 0 false, false 2 0 false, false 0 0 false", NORTHWIND]);
    tools.server.sql("UPDATE seat SET account_id = NULL WHERE account_id = 103");
    assert_eq!(licenses("agent", 103), ["FABRIKAM: false 0 0 false, true 2 0 false, false 0 0 false", NORTHWIND]);
    tools.server.sql("UPDATE entity SET active = 0 WHERE id = 42");
    assert_eq!(licenses("contoso", 101), [NOTHING], "the owner is not active");
    tools.server.sql("UPDATE entity SET active = 1 WHERE id = 42; UPDATE account SET active = 0 WHERE id = 101");
    assert_eq!(licenses("contoso", 101), [NOTHING], "the user is not active");

    let links = tools.response(
        "reader",
        "GetThirdPartyLicenseAssignments",
        "<AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner>",
    );
    assert_eq!(links.children.len(), 1);
    assert_eq!(texts(&links).join("|"), "||false|5|1 of 5 in use|false|4|1|true|2|SQLBACKUP|SqlBackup||2");
}

#[test]
fn the_central_database_is_the_one_site() {
    let tools = Tools::start();
    tools.take("SqlBackup", 1);
    let site = |arguments: &str| {
        let owners = tools.response("reader", "GetSatelliteLicenses", arguments);
        owners.children.iter().map(|owner| texts(owner).join("|")).collect::<Vec<_>>()
    };
    const CONTOSO: &str = "||CONTOSO|Contoso Backup & Recovery\
        |||false|10|0 of 10 in use|false|10|0|true|1|SKRAFTDISKIMAGEV5|SkraftDiskImageV5||1\
        |||false|5|1 of 5 in use|false|4|1|true|2|SQLBACKUP|SqlBackup||2\
        |||false|7|0 of 7 in use|false|7|0|true|3|EXCHANGEBACKUP|ExchangeBackup||3|";
    assert_eq!(site("<SatelliteId>0</SatelliteId>")[0], CONTOSO);
    assert_eq!(site("")[0], CONTOSO, "left out, it is 0");
    assert!(site("<SatelliteId>0</SatelliteId>")[1].starts_with("||FABRIKAM|Fabrikam|"));
    assert_eq!(site("<SatelliteId>7</SatelliteId>"), [""; 0]);
    assert_eq!(site("<SatelliteId>-1</SatelliteId>"), [""; 0]);
}

#[test]
fn the_list_of_licenses_is_a_tree() {
    let tools = Tools::start();
    let list = tools.response("reader", "GetUserLicensesMDOList", "");
    assert_eq!(list.children.len(), 2);
    let line = |item: &Element| {
        ["Id", "Rank", "Name", "Type", "ToolTip", "FullName", "LastChanged"].map(|m| at(item, m).text.clone()).join("|")
    };
    assert_eq!(
        line(&list.children[0]),
        "42|1|CONTOSO|owner|Contoso Backup & Recovery|Contoso Backup & Recovery|0001-01-01T00:00:00"
    );
    assert_eq!(line(&list.children[1]), "43|2|FABRIKAM|owner|Fabrikam|Fabrikam|0001-01-01T00:00:00");
    let modules: Vec<String> = at(&list.children[1], "ChildItems").children.iter().map(line).collect();
    assert_eq!(
        modules,
        [
            "1|1|SKRAFTDISKIMAGEV5|module|0 of 0 in use|SkraftDiskImageV5|0001-01-01T00:00:00",
            "2|2|SQLBACKUP|module|0 of 2 in use|SqlBackup|0001-01-01T00:00:00",
            "3|3|EXCHANGEBACKUP|module|0 of 0 in use|ExchangeBackup|0001-01-01T00:00:00",
        ]
    );
}

#[test]
fn what_people_typed_is_told_as_it_is() {
    let tools = Tools::start();
    tools.server.sql(
        "UPDATE entity SET name = ' A & B <C> \"größe\" 名\r\n\t\u{1F512} ', owner_description = '\u{1}x',
                           serial_nr = '  ', shop_url = 'https://shop.example/?a=1&b=<2>' WHERE id = 42;",
    );
    let license = tools.response("reader", "GetLicenseFromDB", CONTOSO);
    assert_eq!(at(&license, "Current/CompanyName").text, " A & B <C> \"größe\" 名\r\n\t\u{1F512} ");
    assert_eq!(at(&license, "Current/OwnerDescription").text, "\u{FFFD}x", "XML has no such character");
    let caller = Caller { ticket: &tools.ticket("reader"), zone: None };
    let request = Surface::Resource(Form::Json).request(caller, "GetLicenseFromDB", CONTOSO).expect("a route");
    assert!(tools.server.send(&request).body.contains(r#""OwnerDescription":"\u0001x""#), "and JSON has");
    assert_eq!(at(&license, "Current/SerialNr").text, "  ");
    assert_eq!(tools.response("reader", "GetShopUrl", CONTOSO).text, "https://shop.example/?a=1&b=<2>");
}

/// From before the schema had a rule for it.
#[test]
fn text_that_is_no_utf_8_is_told_as_well_as_it_can_be() {
    let tools = Tools::start();
    tools.server.sql("UPDATE entity SET owner_description = 'x' WHERE id = 43");
    tools.server.unguarded("UPDATE entity SET owner_description = CAST(x'C328' AS TEXT) WHERE id = 43");
    let fabrikam = tools.response("reader", "GetLicenseFromDB", "<OwnerName>FABRIKAM</OwnerName>");
    assert_eq!(at(&fabrikam, "Current/OwnerDescription").text, "\u{FFFD}(");
}

// Assigning ----------------------------------------------------------------------------------------------------------

fn module_names(links: &Element) -> String {
    links.children.iter().map(|link| at(link, "Name").text.clone()).collect::<Vec<_>>().join(" ")
}

#[test]
fn modules_are_assigned_and_taken_back() {
    for tools in Tools::calling("AssignThirdPartyLicenses") {
        let assign = |of: &[&str]| {
            module_names(&tools.response("agent", "AssignThirdPartyLicenses", &modules(101, "CONTOSO", of)))
        };
        let unassign = |of: &[&str]| {
            module_names(&tools.response("admin", "UnassignThirdPartyLicenses", &modules(101, "CONTOSO", of)))
        };
        let events = || -> i64 {
            tools.server.query("SELECT count(*) FROM audit_event WHERE action IN ('assign', 'release', 'pool-change')")
        };
        assert_eq!(assign(&["SqlBackup"]), "SQLBACKUP", "all that is held then, in whatever case it is asked for");
        assert_eq!(events(), 1);
        assert_eq!(assign(&["SQLBACKUP"]), "SQLBACKUP", "once more changes nothing");
        assert_eq!(events(), 1);
        assert_eq!(assign(&["EXCHANGEBACKUP", "SQLBACKUP", "ExchangeBackup"]), "SQLBACKUP EXCHANGEBACKUP");
        assert_eq!(events(), 2);
        // The other service sees the same seats.
        assert_eq!(tools.server.assign("anna", 42, "SqlBackup").code(), "AlreadyExists");
        assert_eq!(tools.server.assign("anna", 42, "SkraftDiskImageV5").code(), "Success");
        assert_eq!(unassign(&["SQLBACKUP"]), "SKRAFTDISKIMAGEV5 EXCHANGEBACKUP", "what is still held");
        assert_eq!(unassign(&["SQLBACKUP"]), "SKRAFTDISKIMAGEV5 EXCHANGEBACKUP", "once more changes nothing");
        assert_eq!(unassign(&["SKRAFTDISKIMAGEV5", "SQLBACKUP", "EXCHANGEBACKUP"]), "");
        assert_eq!(events(), 6);
        assert_eq!(tools.server.violations(), []);
    }
}

#[test]
fn the_audit_knows_the_caller_and_the_call() {
    for tools in Tools::calling("ActivateLicenseInfo") {
        let last = || -> String {
            tools.server.query(
                "SELECT concat_ws(' ', action, actor, request_id, username) FROM audit_event WHERE pool_id IS NOT NULL ORDER BY id DESC LIMIT 1",
            )
        };
        let id = |answer: &Answer| answer.header("x-request-id").expect("an id").to_owned();
        let assigned = tools.call("agent", "AssignThirdPartyLicenses", &modules(101, "CONTOSO", &["SQLBACKUP"]));
        assert_eq!(last(), format!("assign agent {} anna", id(&assigned)));
        let released = tools.call("admin", "UnassignThirdPartyLicenses", &modules(101, "CONTOSO", &["SQLBACKUP"]));
        assert_eq!(last(), format!("release admin {} anna", id(&released)));
        tools.server.sql(&offer_seats("SqlBackup", 8));
        let activated = tools.call("admin", "ActivateLicenseInfo", &presented("NewLicense", &granted(&tools)));
        assert_eq!(last(), format!("pool-change admin {}", id(&activated)));
        tools.server.sql(&format!(
            "{} UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 2",
            offer_seats("SqlBackup", 3)
        ));
        let activated = tools.call("admin", "ActivateLicenseInfo", &presented("NewLicense", &granted(&tools)));
        assert_eq!(last(), format!("pool-create admin {}", id(&activated)));
        let removed = tools.call("admin", "RemoveLicenseFromDB", "<ModuleOwner>CONTOSO</ModuleOwner>");
        assert_eq!(last(), format!("pool-change admin {}", id(&removed)));
        assert_eq!(tools.server.violations(), []);
    }
}

#[test]
fn all_modules_are_assigned_or_none() {
    let tools = Tools::start();
    let all = ["SKRAFTDISKIMAGEV5", "SQLBACKUP", "EXCHANGEBACKUP"];
    for (name, sql, associate, owner, exception, says) in [
        (
            "full",
            "UPDATE license_pool SET seats_total = 0 WHERE id = 3",
            101,
            "CONTOSO",
            "SoLicenseException",
            "has no ExchangeBackup seats",
        ),
        ("no pool", "", 101, "FABRIKAM", "SoLicenseException", "has no SkraftDiskImageV5 license pool"),
        (
            "expired",
            "UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 3",
            101,
            "CONTOSO",
            "SoLicenseException",
            "expired at 2020-01-01T00:00:00Z",
        ),
        (
            "of another owner",
            "UPDATE license_pool SET expires_at = NULL, seats_total = 7 WHERE id = 3;
             UPDATE seat SET account_id = 101 WHERE pool_id = 9 AND seat_no = 1",
            101,
            "CONTOSO",
            "SoLicenseException",
            "'anna' already holds a SqlBackup license",
        ),
        ("an unknown user", "", 999, "CONTOSO", "SoNotFoundException", "Associate 999 does not exist"),
        ("somebody else's user", "", 109, "CONTOSO", "SoNotFoundException", "Associate 109 does not exist"),
        ("an unknown owner", "", 102, "NOBODY", "SoNotFoundException", "Owner 'NOBODY' does not exist"),
        ("somebody else's owner", "", 102, "OUTSIDE", "SoNotFoundException", "Owner 'OUTSIDE' does not exist"),
        (
            "a user who is not active",
            "UPDATE account SET active = 0 WHERE id = 102",
            102,
            "CONTOSO",
            "SoNotFoundException",
            "'bert' is not active",
        ),
        (
            "an owner that is not active",
            "UPDATE account SET active = 1; UPDATE entity SET active = 0 WHERE id = 42",
            102,
            "CONTOSO",
            "SoNotFoundException",
            "entity 42 is not active",
        ),
    ] {
        tools.server.sql(sql);
        let before = tools.state();
        let (found, text) = tools.refused("agent", "AssignThirdPartyLicenses", &modules(associate, owner, &all));
        assert_eq!(found, exception, "{name}: {text}");
        assert!(text.contains(says), "{name}: {text}");
        assert_eq!(tools.state(), before, "{name}: nothing is changed");
    }
    assert_eq!(
        tools.server.query::<i64>("SELECT count(*) FROM audit_event WHERE action = 'assign' AND actor <> 'sql'"),
        0
    );
    assert_eq!(tools.server.violations(), []);
}

#[test]
fn what_another_owner_gave_is_not_taken_back() {
    for tools in Tools::calling("UnassignThirdPartyLicenses") {
        tools.server.sql("UPDATE seat SET account_id = 101 WHERE pool_id = 4 AND seat_no = 1");
        let before = tools.state();
        let left = tools.response("admin", "UnassignThirdPartyLicenses", &modules(101, "CONTOSO", &["SQLBACKUP"]));
        assert_eq!((module_names(&left), tools.state()), (String::new(), before));
        let left = tools.response("admin", "UnassignThirdPartyLicenses", &modules(101, "FABRIKAM", &["SQLBACKUP"]));
        assert_eq!(module_names(&left), "");
        assert_eq!(tools.server.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 0);
        // A seat of a pool that has expired is one, when it is to be given back.
        tools.server.sql(
            "UPDATE seat SET account_id = 101 WHERE pool_id = 2 AND seat_no = 1;
         UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 2",
        );
        tools.response("admin", "UnassignThirdPartyLicenses", &modules(101, "CONTOSO", &["SQLBACKUP"]));
        assert_eq!(tools.server.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 0);
        for (associate, owner, exception) in
            [(999, "CONTOSO", "SoNotFoundException"), (101, "NOBODY", "SoNotFoundException")]
        {
            assert_eq!(
                tools.refused("admin", "UnassignThirdPartyLicenses", &modules(associate, owner, &["SQLBACKUP"])).0,
                exception
            );
        }
    }
}
