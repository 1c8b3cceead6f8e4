//! The history of a module as text: what became of its pools and seats, for callers that may see the owner.

use crate::netserver_activation::{granted, presented};
use crate::netserver_license::offer_seats;
use crate::surfaces::{SURFACES, Tools};

const OPERATION: &str = "GetModuleLicenseHistoryFromLicenseServer";

fn arguments(owner: &str, module: &str) -> String {
    format!(
        "<LicenseInfo><New><OwnerName>{owner}</OwnerName></New></LicenseInfo>\
         <ModuleLicense><New><ModuleName>{module}</ModuleName></New></ModuleLicense>"
    )
}

/// The text, and with it today's date, or another day's if midnight passed meanwhile.
fn history(tools: &Tools, user: &str, owner: &str, module: &str) -> String {
    tools.response(user, OPERATION, &arguments(owner, module)).text
}

/// The entries without their times, each by its event.
fn entries(text: &str) -> Vec<String> {
    let (_, entries) = text.split_once("Times are in time zone UTC.\n").expect("entries");
    entries.lines().map(|line| line.split_once(": ").expect("a time").1.to_owned()).collect()
}

#[test]
fn every_change_of_a_module_is_in_its_history() {
    let tools = Tools::start();
    assert_eq!(entries(&history(&tools, "reader", "CONTOSO", "SQLBACKUP")), ["pool 2 created with 5 seats by hand."]);
    tools.take("SqlBackup", 3);
    tools.server.sql(
        "UPDATE seat SET account_id = NULL WHERE account_id > (SELECT min(account_id) FROM seat);
         UPDATE seat SET product_key = 'x' WHERE pool_id = 2 AND seat_no < 3;
         UPDATE license_pool SET seats_total = 1 WHERE id = 2;
         UPDATE license_pool SET expires_at = '2097-01-01T00:00:00Z' WHERE id = 2;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (20, 42, 'SqlBackup', 1, '2020-01-01T00:00:00Z'), (21, 42, 'SqlBackup', 0, NULL);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at) VALUES
             (22, 42, 'SqlBackup', 2, '2096-01-01T00:00:00Z');
         DELETE FROM license_pool WHERE id = 21;",
    );
    tools.server.sql(&offer_seats("SqlBackup", 2));
    tools.response("admin", "ActivateLicenseInfo", &presented("NewLicense", &granted(&tools)));
    tools.server.database().wait_until_counted();
    let text = history(&tools, "reader", "contoso", "sqlbackup");
    assert_eq!(
        text.lines().take(5).collect::<Vec<_>>(),
        [
            "Module SQLBACKUP of CONTOSO: 2 seats, 1 in use.",
            "Pool 2 expires at 2097-01-01T00:00:00Z: 2 seats, 1 in use, 3 at most so far.",
            "Pool 20 expired at 2020-01-01T00:00:00Z: 1 seat, 0 in use, 0 at most so far.",
            "Pool 22 starts at 2096-01-01T00:00:00Z: 2 seats, 0 in use, 0 at most so far.",
            "",
        ]
    );
    assert_eq!(
        entries(&text),
        [
            "3 seats assigned, 2 seats released, 2 seats changed by hand.",
            "pool 2 changed from 1 to 2 seats by a call.",
            "pool 21 deleted by hand.",
            "pool 22 created with 2 seats by hand.",
            "pool 21 created with 0 seats by hand.",
            "pool 20 created with 1 seat by hand.",
            "pool 2 changed by hand; its number of seats stayed 1.",
            "pool 2 changed from 5 to 1 seat by hand.",
            "pool 2 created with 5 seats by hand.",
        ]
    );
    // The text names neither users nor callers: the reader may not be allowed to see all of them.
    for name in ["anna", "SqlBackup-", "admin", "agent", "Contoso", "cli", "sql'"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    // The other modules have histories of their own.
    assert_eq!(
        entries(&history(&tools, "reader", "CONTOSO", "EXCHANGEBACKUP")),
        ["pool 3 created with 7 seats by hand."]
    );
    assert_eq!(tools.server.violations(), []);
}

#[test]
fn a_pool_that_is_gone_stays_in_its_owners_history() {
    let tools = Tools::start();
    tools.take("SqlBackup", 1);
    // The id is another owner's afterwards, and of another type; then this owner's again.
    tools.server.sql(
        "UPDATE seat SET account_id = NULL WHERE account_id IS NOT NULL;
         DELETE FROM license_pool WHERE id = 2;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (2, 9, 'SqlBackup', 100);
         UPDATE license_pool SET seats_total = 101 WHERE id = 2;
         DELETE FROM license_pool WHERE id = 2;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (2, 42, 'ExchangeBackup', 50);
         DELETE FROM license_pool WHERE id = 2;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (2, 42, 'SqlBackup', 6);",
    );
    assert_eq!(
        entries(&history(&tools, "contoso", "CONTOSO", "SQLBACKUP")),
        [
            "1 seat assigned, 1 seat released.",
            "pool 2 created with 6 seats by hand.",
            "pool 2 deleted by hand.",
            "pool 2 created with 5 seats by hand.",
        ]
    );
    assert_eq!(
        entries(&history(&tools, "outside", "OUTSIDE", "SQLBACKUP")),
        [
            "pool 2 deleted by hand.",
            "pool 2 changed from 100 to 101 seats by hand.",
            "pool 2 created with 100 seats by hand.",
            "pool 9 created with 4 seats by hand.",
        ]
    );
    tools.server.sql("DELETE FROM license_pool WHERE id IN (1, 2, 3)");
    let text = history(&tools, "contoso", "CONTOSO", "SKRAFTDISKIMAGEV5");
    assert!(text.starts_with("Module SKRAFTDISKIMAGEV5 of CONTOSO: 0 seats, 0 in use.\n\nThe newest entry"), "{text}");
    assert_eq!(entries(&text), ["pool 1 deleted by hand.", "pool 1 created with 10 seats by hand."]);
    assert_eq!(tools.server.violations(), []);
}

#[test]
fn a_history_is_found_by_the_names_in_a_license() {
    let tools = Tools::start();
    let owner = "<OwnerName>CONTOSO</OwnerName>";
    let module = "<ModuleName>SQLBACKUP</ModuleName>";
    let license = |part: &str| format!("<LicenseInfo>{part}</LicenseInfo>");
    let of_module = |part: &str| format!("<ModuleLicense>{part}</ModuleLicense>");
    let new = |inside: &str| format!("<New>{inside}</New>");
    let current = |inside: &str| format!("<Current>{inside}</Current>");
    let expected = history(&tools, "reader", "CONTOSO", "SQLBACKUP");
    for arguments in [
        license(&current(owner)) + &of_module(&current(module)),
        license(&(new("") + &current(owner))) + &of_module(&(new("<ModuleName />") + &current(module))),
        license(&(new(owner) + &current("<OwnerName>OUTSIDE</OwnerName>"))) + &of_module(&new(module)),
        of_module(&new(&format!("{owner}{module}"))),
        license("<New xsi:nil=\"true\" />") + &of_module(&(current(&format!("{owner}{module}")))),
    ] {
        assert_eq!(tools.response("reader", OPERATION, &arguments).text, expected, "{arguments}");
    }
    for (arguments, text) in [
        (String::new(), "LicenseInfo holds no OwnerName. Send one in its New or its Current."),
        (of_module(&new(module)), "LicenseInfo holds no OwnerName."),
        (license(&new(owner)), "ModuleLicense holds no ModuleName."),
        (license(&new(owner)) + &of_module(""), "ModuleLicense holds no ModuleName."),
        (license(&new("<OwnerName> </OwnerName>")) + &of_module(&new(module)), "LicenseInfo holds no OwnerName."),
    ] {
        let (exception, found) = tools.refused("reader", OPERATION, &arguments);
        assert_eq!(exception, "SoInvalidArgumentException", "{arguments}");
        assert!(found.starts_with(text), "{arguments}: {found}");
        assert_eq!(tools.refused("nobody", OPERATION, &arguments).0, "SoSessionException");
    }
    for (user, owner, module) in [
        ("contoso", "OUTSIDE", "SQLBACKUP"),
        ("contoso", "FABRIKAM", "SQLBACKUP"),
        ("contoso", "NOBODY", "SQLBACKUP"),
        ("contoso", "CONTOSO", "SALES"),
        ("contoso", "OUTSIDE", "SALES"),
    ] {
        assert!(tools.response(user, OPERATION, &arguments(owner, module)).is_nil(), "{user} {owner} {module}");
        assert_eq!(tools.refused("nobody", OPERATION, &arguments(owner, module)).0, "SoSessionException");
    }
}

#[test]
fn the_times_of_a_history_are_in_the_callers_zone() {
    use crate::surfaces::Caller;
    let tools = Tools::start();
    tools.server.sql("UPDATE license_pool SET expires_at = '2097-07-01T00:00:00Z' WHERE id = 2");
    for surface in SURFACES.into_iter().filter(|surface| surface.has(OPERATION)) {
        let caller = Caller { ticket: &tools.ticket("reader"), zone: Some("NO") };
        let request = surface.request(caller, OPERATION, &arguments("CONTOSO", "SQLBACKUP")).expect("a call");
        let text = surface.read(OPERATION, &tools.server.send(&request)).expect("a text").text;
        assert!(text.contains("Pool 2 expires at 2097-07-01T02:00:00: 5 seats"), "{text}");
        assert!(text.contains("Times are in time zone NO.\n2"), "{text}");
    }
}

/// However much happened, the text is short, and says how much it leaves out.
#[test]
fn a_long_history_is_cut() {
    let tools = Tools::start();
    tools.server.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (50, 42, 'ExchangeBackup', 6000);
         UPDATE seat SET product_key = 'a' WHERE pool_id = 50;
         UPDATE seat SET product_key = 'b' WHERE pool_id = 50;",
    );
    let text = history(&tools, "reader", "CONTOSO", "EXCHANGEBACKUP");
    // Of two pools each may have half of the ten thousand.
    assert_eq!(
        entries(&text),
        ["5000 seats changed by hand.", "pool 3 created with 7 seats by hand.", "7001 earlier events."]
    );
    assert!(text.ends_with("\nLeft out: 7001 earlier events."), "{text}");
    let before = tools.server.query::<i64>("SELECT max(id) FROM audit_event");
    let script: String =
        (0..400).map(|n| format!("UPDATE license_pool SET seats_total = {} WHERE id = 2;", 10 + n % 2)).collect();
    tools.server.sql(&script);
    let text = history(&tools, "reader", "CONTOSO", "SQLBACKUP");
    assert_eq!(tools.server.query::<i64>("SELECT max(id) FROM audit_event") - before, 400);
    assert!(text.len() < 30_000, "{}", text.len());
    let last = text.lines().last().expect("a line");
    assert_eq!(last, "Left out: 101 earlier events.", "{last}");
    assert_eq!(entries(&text).len(), 301);
}
