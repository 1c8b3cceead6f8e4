//! What the issuer grants is put into force by license tools, and what it grants not is refused.

use seatkeeper::netserver::LICENSE;
use seatkeeper::soap::envelope::Element;

use crate::harness::*;
use crate::netserver_license::{CONTOSO, OFFER, license_status, offer_seats, texts};
use crate::netserver_soap::{at, numbers, read, shape};
use crate::surfaces::{Form, SURFACES, Surface, Tools};

/// What GetLicenseFromLicenseServer tells of CONTOSO, as it stands in an answer of SOAP.
pub fn granted(tools: &Tools) -> String {
    let answer = tools.server.license_call(&tools.ticket("reader"), "GetLicenseFromLicenseServer", CONTOSO);
    inside(&answer, "Response").to_owned()
}

/// All that stands in the outermost element of this name.
fn inside<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let (_, rest) = answer.body.split_once(&format!("<{name}>")).expect(name);
    rest.rsplit_once(&format!("</{name}>")).expect(name).0
}

/// A license as an argument.
pub fn presented(argument: &str, license: &str) -> String {
    format!("<{argument}>{license}</{argument}>")
}

fn activate(tools: &Tools, user: &str, license: &str) -> (bool, String) {
    result(&tools.response(user, "ActivateLicenseInfo", &presented("NewLicense", license)))
}

fn validate(tools: &Tools, user: &str, license: &str) -> (bool, String) {
    result(&tools.response(user, "ValidateLicenseInfo", &presented("LicenseInfo", license)))
}

/// Succeeded and Reason of a LicenseResult.
fn result(result: &Element) -> (bool, String) {
    assert_eq!(shape(result), "Response(TableRight FieldProperties Succeeded Reason)");
    (at(result, "Succeeded").text == "true", at(result, "Reason").text.clone())
}

const DONE: (bool, String) = (true, String::new());

/// An offer in which everything is new.
pub const ALL_NEW: &str = "INSERT INTO license_offer VALUES (42, 'Contoso & Sons <Ltd>', '1010000022', '2097-01-01T00:00:00Z',
        '2097-02-01T00:00:00Z', '2097-03-01T00:00:00Z', '2097-04-01T00:00:00Z', '2097-05-01T00:00:00Z');
    INSERT INTO license_offer_module VALUES (42, 'SkraftDiskImageV5', 12), (42, 'SqlBackup', 2), (42, 'ExchangeBackup', 0);";

#[test]
fn what_was_fetched_can_be_activated_as_it_is() {
    for tools in Tools::calling("ActivateLicenseInfo") {
        tools.take("SqlBackup", 2);
        tools.server.sql(ALL_NEW);
        let license = granted(&tools);
        let before = tools.state();
        assert_eq!(validate(&tools, "reader", &license), DONE);
        assert_eq!(tools.state(), before, "to validate changes nothing");

        assert_eq!(activate(&tools, "admin", &license), DONE);
        let pools: String = tools
            .server
            .query("SELECT group_concat(seats_total, ' ' ORDER BY id) FROM license_pool WHERE entity_id = 42");
        assert_eq!(pools, "12 2 0");
        let entity = tools.server.database().lines(
            "SELECT name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at FROM entity WHERE id = 42",
        );
        assert_eq!(
            entity,
            [
                "Contoso & Sons <Ltd> 1010000022 2097-01-01T00:00:00Z 2097-02-01T00:00:00Z 2097-03-01T00:00:00Z 2097-04-01T00:00:00Z 2097-05-01T00:00:00Z"
            ]
        );
        assert_eq!(
            tools.server.query::<i64>(
                "SELECT (SELECT count(*) FROM license_offer) + (SELECT count(*) FROM license_offer_module)"
            ),
            0
        );
        assert_eq!(license_status(&tools)[0], "Ok");
        let now = tools.response("reader", "GetLicenseFromLicenseServer", CONTOSO);
        assert_eq!(texts(at(&now, "New")), texts(at(&now, "Current")), "what was granted is in force");
        assert_eq!(numbers(&now, 1), [2, 0, 0, 2, 0, 2]);

        // Once more, with the license that is in force now or with the one from before: it is what is granted.
        let before = tools.state();
        for license in [&license, &granted(&tools)] {
            assert_eq!(activate(&tools, "admin", license), DONE);
        }
        assert_eq!(tools.state(), before, "nothing is left to be done");
        assert_eq!(tools.server.violations(), []);
    }
}

/// Also over the Web API, in the form it came in, byte for byte.
#[test]
fn what_the_web_api_told_can_be_activated_as_it_is() {
    const AGENT: &str = "/api/v1/Agents/License";
    for form in [Form::Json, Form::Xml] {
        let tools = Tools::start();
        tools.server.sql(ALL_NEW);
        let post = |operation: &str, arguments: &str| {
            let typed = form.media_type();
            let head = format!("Authorization: SOTicket {}\r\nContent-Type: {typed}\r\n", tools.ticket("admin"));
            let request =
                post_to(&format!("{AGENT}/{operation}"), &format!("{head}Accept: {typed}\r\n"), arguments.as_bytes());
            tools.server.send(&request)
        };
        let owner =
            if form == Form::Json { r#"{"OwnerName":"CONTOSO"}"# } else { "<R><OwnerName>CONTOSO</OwnerName></R>" };
        let license = post("GetLicenseFromLicenseServer", owner);
        for (operation, argument) in [("ValidateLicenseInfo", "LicenseInfo"), ("ActivateLicenseInfo", "NewLicense")] {
            let arguments = match form {
                Form::Json => format!("{{\"{argument}\":{}}}", license.body),
                Form::Xml => {
                    let (_, root) = license.body.split_once("?>").expect("a declaration");
                    format!("<R>{}</R>", root.replace("ExtendedLicenseInfo", argument))
                }
            };
            let response = Surface::Agent(form).read(operation, &post(operation, &arguments)).expect(operation);
            assert_eq!(result(&response), DONE, "{form:?} {operation}");
        }
        assert_eq!(tools.server.query::<i64>("SELECT seats_total FROM license_pool WHERE id = 1"), 12);
    }
}

#[test]
fn whatever_is_granted_can_be_activated() {
    for (name, sql) in [
        ("nothing new", String::new()),
        ("an offer of what there is", OFFER.to_owned()),
        (
            "a name of odd characters",
            format!("{OFFER} UPDATE license_offer SET company_name = ' a & b <c> \"d\" größe 名\t\r\n\u{1F512} ';"),
        ),
        ("a blank serial number", format!("{OFFER} UPDATE license_offer SET serial_nr = '  ';")),
        ("no serial number", "UPDATE entity SET serial_nr = NULL WHERE id = 42;".to_owned()),
        (
            "no description and no shop",
            "UPDATE entity SET owner_description = NULL, shop_url = NULL WHERE id = 42;".to_owned(),
        ),
        (
            "the end of time",
            format!(
                "{OFFER} UPDATE license_offer SET expires_at = '9999-12-31T23:59:59Z', grace_at = '9999-12-31T00:00:00Z';"
            ),
        ),
        ("almost", format!("{OFFER} UPDATE license_offer SET expires_at = '9999-12-30T21:59:59Z';")),
        (
            "no end any more",
            format!(
                "UPDATE entity SET grace_at = '2020-01-01T00:00:00Z' WHERE id = 42; {OFFER} UPDATE license_offer SET grace_at = '0001-01-01T00:00:00Z';"
            ),
        ),
        ("long ago", format!("{OFFER} UPDATE license_offer SET maintenance_at = '1850-06-01T12:34:56Z';")),
        (
            "a summer's day",
            format!(
                "{OFFER} UPDATE license_offer SET expires_at = '2097-07-01T00:00:00Z', grace_at = '2097-10-27T00:30:00Z';"
            ),
        ),
        (
            "several pools",
            format!(
                "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (31, 42, 'SqlBackup', 7); {}",
                offer_seats("SqlBackup", 3)
            ),
        ),
    ] {
        let tools = Tools::start();
        tools.server.sql(&sql);
        // By somebody with the base zone, and by somebody with another one.
        for zone in [
            "",
            "<SoTimeZoneId>261</SoTimeZoneId>",
            "<SoTimeZoneId>433</SoTimeZoneId>",
            "<SoTimeZoneLocationCode>NZ</SoTimeZoneLocationCode>",
        ] {
            let zone = if zone.is_empty() {
                String::new()
            } else {
                format!("<TimeZone xmlns=\"{}\">{zone}</TimeZone>", NAMESPACE)
            };
            let blocks = format!("{zone}{}", credentials(&tools.ticket("admin")));
            let fetched = tools.server.netserver_call(&LICENSE, &blocks, "GetLicenseFromLicenseServer", CONTOSO);
            let license = inside(&fetched, "Response");
            assert!(license.contains("<CanBeActivated>true<"), "{name}: {license}");
            let argument = presented("LicenseInfo", license);
            let validated = tools.server.netserver_call(&LICENSE, &blocks, "ValidateLicenseInfo", &argument);
            let body = read(&validated).body.expect("a Body");
            assert_eq!(result(at(&body, "Response")), DONE, "{name} {zone}: {license}");
        }
        assert_eq!(activate(&tools, "admin", &granted(&tools)), DONE, "{name}");
        assert_eq!(license_status(&tools)[0], "Ok", "{name}");
        assert_eq!(tools.server.violations(), [], "{name}");
    }
}

/// Changes of a license that make it another one: what differs then, and one text for another. Of what is there several
/// times the first is changed, which is in New.
pub const TAMPERED: &[(&str, &str, &str)] = &[
    ("CompanyName", "Contoso &amp; Sons", "Contoso &amp; Daughters"),
    ("CompanyName", "<CompanyName>Contoso", "<CompanyName> Contoso"),
    ("CompanyName", "<CompanyName>Contoso &amp; Sons &lt;Ltd&gt;", "<CompanyName>"),
    ("SerialNr", ">1010000022<", ">1010000014<"),
    ("SerialNr", ">1010000022<", "><"),
    ("OwnerName", "<OwnerName>CONTOSO<", "<OwnerName>FABRIKAM<"),
    ("OwnerName", "<OwnerName>CONTOSO<", "<OwnerName>NOBODY<"),
    ("OwnerName", "<OwnerName>CONTOSO<", "<OwnerName>SUPEROFFICE<"),
    ("OwnerName", "<OwnerName>CONTOSO<", "<OwnerName>OUTSIDE<"),
    ("OwnerName", "<OwnerName>CONTOSO</OwnerName><OwnerDescription>", "<OwnerDescription>"),
    ("OwnerDescription", ">Contoso Backup &amp; Recovery<", ">Contoso<"),
    ("NextCheckDate", "2097-01-01T00:00:00Z", "2097-01-01T00:00:01Z"),
    ("NextCheckDate", "2097-01-01T00:00:00Z", "soon"),
    ("MaintenanceDate", "2097-02-01T00:00:00Z", "2098-02-01T00:00:00Z"),
    ("AdminWarningDate", "2097-03-01T00:00:00Z", "2097-03-01T00:00:00+01:00"),
    ("ExpiryDate", "2097-04-01T00:00:00Z", "0001-01-01T00:00:00"),
    ("GraceDate", "2097-05-01T00:00:00Z", "9999-12-31T23:59:59.9999999"),
    ("ExtraFlags", "<ExtraFlags>0<", "<ExtraFlags>1<"),
    ("LicenseUrl", ">https://shop.example/contoso<", ">https://shop.example/other<"),
    ("LicenseVersion", "<LicenseVersion>1<", "<LicenseVersion>2<"),
    ("DeploymentType", "<DeploymentType>0<", "<DeploymentType>1<"),
    ("ProductType", "<ProductType />", "<ProductType>x</ProductType>"),
    ("ProductDescription", "<ProductDescription />", "<ProductDescription>x</ProductDescription>"),
    (
        "Signature",
        "</ModuleLicenses><PublicKey xsi:nil=\"true\" /><Signature />",
        "</ModuleLicenses><Signature>x</Signature>",
    ),
    ("ModuleLicenses", "<NumberOfLicenses>12<", "<NumberOfLicenses>13<"),
    ("ModuleLicenses", "<NumberOfLicenses>2<", "<NumberOfLicenses>1<"),
    ("ModuleLicenses", "<NumberOfLicenses>0<", "<NumberOfLicenses>-1<"),
    ("ModuleLicenses", "<NumberOfLicenses>12</NumberOfLicenses>", ""),
    ("ModuleDescription", ">SQLBACKUP<", ">EXCHANGEBACKUP<"),
    ("ModuleLicenses", ">SQLBACKUP<", ">SALES<"),
    ("ModuleLicenses", "<ModuleName>SQLBACKUP</ModuleName>", ""),
    ("ModuleLicenses", "<ModuleLicenses>", "<ModuleLicenses/><Other>"),
    (
        "ModuleLicenses",
        "<ModuleLicenses>",
        "<ModuleLicenses><ModuleLicense><ModuleName>SQLBACKUP</ModuleName><NumberOfLicenses>2</NumberOfLicenses></ModuleLicense>",
    ),
    ("OwnerName of a module", "<ModuleLicense><OwnerName>CONTOSO<", "<ModuleLicense><OwnerName>FABRIKAM<"),
    ("ModuleDescription", "<ModuleDescription>SqlBackup<", "<ModuleDescription>x<"),
    ("ModuleTooltip", "<ModuleTooltip />", "<ModuleTooltip>x</ModuleTooltip>"),
    ("ModuleVersion", "<ModuleVersion />", "<ModuleVersion>x</ModuleVersion>"),
    ("LicenseType", ">UserLicense<", ">SiteLicense<"),
    ("Unrestricted", "<Unrestricted>false<", "<Unrestricted>true<"),
    ("AllowedUserType", ">InternalAssociate<", ">AnonymousAssociate<"),
    ("ExtraFlags of a module", "</NumberOfLicenses><ExtraFlags>0<", "</NumberOfLicenses><ExtraFlags>1<"),
    ("ExtraInfo", "<ExtraInfo />", "<ExtraInfo>set=a,b,c</ExtraInfo>"),
    ("SortOrder", "<SortOrder>1<", "<SortOrder>9<"),
    ("IsHidden", "<IsHidden>false<", "<IsHidden>true<"),
    ("PrerequisiteModuleName", "<PrerequisiteModuleName />", "<PrerequisiteModuleName>x</PrerequisiteModuleName>"),
    ("Signature of a module", "<Signature /></ModuleLicense>", "<Signature>x</Signature></ModuleLicense>"),
    ("New", "<New>", "<New xsi:nil=\"true\" /><Other>"),
    ("New", "<New>", "<New xsi:nil=\"true\">"),
];

/// A license with such a change.
pub fn tampered(license: &str, from: &str, to: &str) -> String {
    assert!(license.contains(from), "no {from} in {license}");
    let changed = license.replacen(from, to, 1);
    if to.ends_with("<Other>") { changed.replacen(&from.replace('<', "</"), "</Other>", 1) } else { changed }
}

#[test]
fn a_license_that_was_changed_on_the_way_is_refused() {
    let mut tools = Tools::start();
    tools.take("SqlBackup", 1);
    tools.server.sql(ALL_NEW);
    let license = granted(&tools);
    let before = tools.state();
    for (member, from, to) in TAMPERED {
        let changed = tampered(&license, from, to);
        let mut results = vec![validate(&tools, "admin", &changed)];
        for surface in SURFACES.into_iter().filter(|surface| surface.has("ActivateLicenseInfo")) {
            tools.surface = surface;
            results.push(activate(&tools, "admin", &changed));
        }
        for (succeeded, reason) in results {
            assert!(!succeeded, "{member}: {from} for {to}");
            let name = member.split(' ').next().unwrap_or_default();
            assert!(reason.contains(&format!("{name} ")), "{member}: {from} for {to}: {reason}");
        }
        assert_eq!(tools.state(), before, "{member}: nothing is changed");
    }
    // Of what is in force, and of the numbers, nothing is taken from a caller.
    let current = license.replacen("<Current><CompanyName>Contoso Backup<", "<Current><CompanyName>x<", 1);
    assert_ne!(current, license);
    assert_eq!(activate(&tools, "admin", &current), DONE);
}

#[test]
fn what_was_not_sent_is_not_compared() {
    // A client may leave out what it does not know; who grants what is said by owner and modules.
    for tools in Tools::calling("ActivateLicenseInfo") {
        tools.server.sql(&offer_seats("SqlBackup", 6));
        let module = |name: &str, number: i32| {
            format!(
                "<ModuleLicense><ModuleName>{name}</ModuleName><NumberOfLicenses>{number}</NumberOfLicenses></ModuleLicense>"
            )
        };
        let modules = [module("sqlbackup", 6), module("SKRAFTDISKIMAGEV5", 10), module("EXCHANGEBACKUP", 7)].concat();
        let license = format!("<New>{CONTOSO}<ModuleLicenses>{modules}</ModuleLicenses></New>");
        assert_eq!(activate(&tools, "admin", &license), DONE);
        assert_eq!(tools.server.query::<i64>("SELECT seats_total FROM license_pool WHERE id = 2"), 6);
    }
}

#[test]
fn an_offer_below_use_waits_until_seats_are_released() {
    for tools in Tools::calling("ActivateLicenseInfo") {
        tools.take("SqlBackup", 3);
        tools.server.sql(&offer_seats("SqlBackup", 2));
        let license = granted(&tools);
        assert!(license.starts_with("<Reason>3 SqlBackup seats of CONTOSO are in use and the new license has 2. Release 1 first.</Reason><CanBeActivated>false<"), "{license}");
        let before = tools.state();
        let (succeeded, reason) = activate(&tools, "admin", &license);
        assert!(!succeeded && reason.contains("Release 1 first."), "{reason}");
        assert_eq!(tools.state(), before, "nobody's seat is taken");
        let holding = "<Username>SqlBackup-0</Username><LicenseType>SqlBackup</LicenseType>";
        assert_eq!(tools.server.call("UnassignLicense", "admin", holding).code(), "Success");
        assert_eq!(activate(&tools, "admin", &license), DONE, "the same license, now");
        assert_eq!(tools.server.query::<i64>("SELECT seats_total FROM license_pool WHERE id = 2"), 2);
        assert_eq!(tools.server.violations(), []);
    }
}

#[test]
fn a_serial_number_brings_what_is_offered_under_it() {
    for tools in Tools::calling("ChangeSerialNumber") {
        let change = |user: &str, company: &str, serial: &str| {
            let arguments = format!(
                "<NewCompanyName>{}</NewCompanyName><NewSerialNumber>{serial}</NewSerialNumber>",
                escape(company)
            );
            result(&tools.response(user, "ChangeSerialNumber", &arguments))
        };
        const NAME: &str = "Contoso & Sons <Ltd>";
        let before = tools.state();
        let (succeeded, reason) = change("admin", "Contoso Backup", "1010000014");
        assert!(!succeeded && reason.contains("No license is offered to company 'Contoso Backup'"), "{reason}");
        assert_eq!(tools.state(), before, "there is no offer");
        tools.server.sql(ALL_NEW);
        let before = tools.state();
        for (user, company, serial) in [
            ("admin", NAME, "1010000014"),
            ("admin", "Contoso Backup", "1010000022"),
            ("admin", "contoso & sons <ltd>", "1010000022"),
            ("outside", NAME, "1010000022"),
        ] {
            assert!(!change(user, company, serial).0, "{user} {company} {serial}");
            assert_eq!(tools.state(), before);
        }
        tools.take("ExchangeBackup", 1);
        let before = tools.state();
        let (succeeded, reason) = change("admin", NAME, "1010000022");
        assert!(!succeeded && reason.contains("Release 1 first."), "{reason}");
        assert_eq!(tools.state(), before);
        tools.server.sql("UPDATE license_offer_module SET seats_total = 1 WHERE license_type = 'ExchangeBackup'");
        // By the company itself, and with the blanks that people add.
        assert_eq!(change("contoso", " Contoso & Sons <Ltd> ", " 1010000022 "), DONE);
        assert_eq!(
            tools.server.query::<String>("SELECT name || ' ' || serial_nr FROM entity WHERE id = 42"),
            "Contoso & Sons <Ltd> 1010000022"
        );
        assert_eq!(tools.server.query::<i64>("SELECT sum(seats_total) FROM license_pool WHERE entity_id = 42"), 15);
        assert!(!change("admin", NAME, "1010000022").0, "the offer is used up");
        assert_eq!(tools.server.violations(), []);
    }
}

#[test]
fn a_license_is_forgotten_when_no_seat_is_in_use() {
    for tools in Tools::calling("RemoveLicenseFromDB") {
        tools.take("SqlBackup", 1);
        tools.server.sql(&format!(
            "UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 2; {}",
            offer_seats("SqlBackup", 1)
        ));
        let remove = |owner: &str| {
            result(&tools.response("admin", "RemoveLicenseFromDB", &format!("<ModuleOwner>{owner}</ModuleOwner>")))
        };
        let before = tools.state();
        let (succeeded, reason) = remove("CONTOSO");
        assert!(!succeeded && reason.starts_with("The license of CONTOSO is in use: 1 of its seats"), "{reason}");
        for owner in ["NOBODY", "OUTSIDE", "SUPEROFFICE", "SuperOffice"] {
            let (succeeded, reason) = remove(owner);
            assert!(!succeeded && reason.starts_with(&format!("Owner '{owner}' does not exist")), "{reason}");
        }
        assert_eq!(tools.state(), before);
        tools.server.sql("UPDATE seat SET account_id = NULL");
        assert_eq!(remove("contoso"), DONE);
        assert_eq!(tools.server.query::<i64>("SELECT sum(seats_total) FROM license_pool WHERE entity_id = 42"), 0);
        assert_eq!(
            tools.server.query::<i64>(
                "SELECT (SELECT count(*) FROM license_offer) + (SELECT count(*) FROM license_offer_module)"
            ),
            0
        );
        assert_eq!(shape(&tools.response("reader", "GetLicenseFromDB", CONTOSO)), "Response", "it is unknown now");
        assert!(!remove("CONTOSO").0);
        assert_eq!(tools.server.assign("anna", 42, "SkraftDiskImageV5").code(), "NoFreeSeat");
        assert_eq!(tools.server.violations(), []);
    }
}
