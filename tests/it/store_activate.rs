//! Activating what the issuer offers, and forgetting a license: all of it or nothing, and never a seat that is taken.

use seatkeeper::error::ErrorKind;
use seatkeeper::license::{Owner, Presented, PresentedDates};
use seatkeeper::seats::{FieldFault, LicenseType, Refusal, Role};
use seatkeeper::store::Activation;

use rusqlite::types::Value;

use crate::licenses::*;

fn serial(company_name: &str, serial_nr: &str) -> Activation {
    Activation::Serial { company_name: company_name.to_owned(), serial_nr: serial_nr.to_owned() }
}

/// Everything there is of Contoso, offered anew.
const OFFER: &str = "
    INSERT INTO license_offer (entity_id, company_name, serial_nr, next_check_at, expires_at, grace_at) VALUES
        (42, 'Contoso Ltd', '2020', '2026-09-01T00:00:00Z', '2028-01-01T00:00:00Z', '9999-12-31T23:59:59Z');
    INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES
        (42, 'SqlBackup', 8), (42, 'SkraftDiskImageV5', 9), (42, 'ExchangeBackup', 7);";

/// A table's rows, columns apart by blanks; null is a dash.
fn table(licenses: &Licenses, query: &str) -> Vec<String> {
    let rows = licenses.database().session().rows(query);
    let cell = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => "-".to_owned(),
    };
    rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
}

fn pools(licenses: &Licenses, entity_id: i32) -> Vec<String> {
    let query = "SELECT CAST(id AS TEXT), license_type, CAST(seats_total AS TEXT), starts_at, expires_at, product_key FROM license_pool";
    table(licenses, &format!("{query} WHERE entity_id = {entity_id} ORDER BY id"))
}

fn events_after(licenses: &Licenses, id: i64) -> Vec<String> {
    let query = "SELECT action, CAST(pool_id AS TEXT), CAST(json_extract(new_values, '$.seats_total') AS TEXT), actor, CAST(length(request_id) AS TEXT)";
    table(licenses, &format!("{query} FROM audit_event WHERE id > {id} AND pool_id IS NOT NULL ORDER BY id"))
}

fn reason(outcome: Result<(), Refusal>) -> String {
    let refusal = outcome.expect_err("refused");
    assert_eq!(ErrorKind::from(&refusal), ErrorKind::LicenseNotAccepted, "{refusal}");
    refusal.to_string()
}

#[test]
fn entity_and_pools_follow_and_the_offer_is_gone() {
    let licenses = Licenses::new();
    licenses.sql(OFFER);
    licenses.sql("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 2");
    let before: i64 = licenses.query("SELECT max(id) FROM audit_event");
    let owner = licenses.owner("CONTOSO");
    licenses.activate("admin", presented(&owner), false).expect("activated");

    let now = licenses.owner("CONTOSO");
    assert_eq!(line(&now), "CONTOSO 0/9 1/8 0/7");
    assert_eq!(Some(&now.current), owner.offered.as_ref());
    let entity = "SELECT name, owner_name, owner_description, serial_nr, shop_url, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at FROM entity WHERE id = 42";
    assert_eq!(
        table(&licenses, entity),
        [
            "Contoso Ltd CONTOSO Backup of Contoso 2020 https://shop.example/ 2026-09-01T00:00:00Z - 2027-01-01T00:00:00Z 2028-01-01T00:00:00Z 9999-12-31T23:59:59Z"
        ],
        "a date beyond any time there is stays as it was typed"
    );
    assert_eq!(
        pools(&licenses, 42),
        [
            "1 SqlBackup 8 - 2027-01-01T00:00:00Z KEY-1",
            "2 SqlBackup 4 - 2026-06-01T12:00:00Z -",
            "3 SqlBackup 5 2026-06-01T12:00:01Z - -",
            "4 SkraftDiskImageV5 9 2026-06-01T12:00:00Z - -",
            "9 ExchangeBackup 7 - - -",
        ]
    );
    assert_eq!(
        events_after(&licenses, before),
        ["pool-change 4 9 admin 36", "pool-change 1 8 admin 36", "pool-create 9 7 admin 36"]
    );
    let calls: i64 = licenses.query(&format!("SELECT count(DISTINCT request_id) FROM audit_event WHERE id > {before}"));
    assert_eq!(calls, 1, "one call, one id");
    assert_eq!(licenses.query::<i64>("SELECT count(*) FROM license_offer_module"), 0);
    assert_eq!(licenses.query::<i64>("SELECT account_id FROM seat WHERE pool_id = 1 AND seat_no = 2"), 1);
    licenses.is_sound();

    // Nothing is new now, and activating that changes nothing.
    let rows = licenses.rows();
    licenses.activate("admin", presented(&now), false).expect("activated");
    assert_eq!(licenses.rows(), rows);
}

#[test]
fn an_offer_that_says_nothing_goes_and_nothing_else_changes() {
    let licenses = Licenses::new();
    let rows =
        || -> Vec<String> { licenses.rows().into_iter().filter(|row| !row.starts_with("audit_event: ")).collect() };
    let before = rows();
    licenses.sql("INSERT INTO license_offer (entity_id) VALUES (42)");
    licenses.activate("contoso", presented(&licenses.owner("CONTOSO")), false).expect("activated");
    assert_eq!(rows(), before);
    let events = "SELECT group_concat(action || ' ' || actor, ', ') FROM audit_event WHERE action LIKE 'offer%'";
    assert_eq!(licenses.query::<String>(events), "offer-create sql, offer-delete contoso");
}

/// Seats go where they last longest, and are taken, free ones only, where they end first.
#[test]
fn free_seats_are_taken_from_the_pools_that_expire_first() {
    let licenses = Licenses::new();
    licenses.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (10, 42, 'SqlBackup', 5, NULL), (11, 42, 'SqlBackup', 4, '2026-12-01T00:00:00Z');
         UPDATE seat SET account_id = 1 WHERE pool_id = 11 AND seat_no = 1; UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 3;
         UPDATE seat SET account_id = 7 WHERE pool_id = 10 AND seat_no = 5;",
    );
    for (seats, expected) in [(14, [3, 7, 4]), (6, [1, 4, 1]), (3, [1, 1, 1]), (4, [1, 2, 1])] {
        licenses.sql(&format!(
            "INSERT INTO license_offer (entity_id) VALUES (42);
             INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', {seats})"
        ));
        licenses.activate("admin", presented(&licenses.owner("CONTOSO")), false).expect("activated");
        let sizes = [1, 10, 11]
            .map(|id| licenses.query::<i64>(&format!("SELECT seats_total FROM license_pool WHERE id = {id}")));
        assert_eq!(sizes, expected, "{seats}");
        let holders: i64 = licenses.query("SELECT count(*) FROM seat WHERE account_id IS NOT NULL");
        assert_eq!(holders, 3, "{seats}");
    }
    licenses.is_sound();
}

#[test]
fn what_is_refused_leaves_every_row_as_it_was() {
    let licenses = Licenses::new();
    licenses.sql(OFFER);
    licenses.sql("UPDATE seat SET account_id = seat_no WHERE pool_id = 4 AND seat_no <= 3; UPDATE license_offer_module SET seats_total = 2 WHERE license_type = 'SkraftDiskImageV5'");
    let owner = licenses.owner("CONTOSO");
    let (too_low, good) = (|role, least| Refusal::RoleTooLow { role, least }, presented(&owner));
    let of = |change: fn(&mut Presented)| {
        let Activation::Presented(mut presented) = presented(&owner) else { unreachable!("see presented") };
        change(&mut presented);
        Activation::Presented(presented)
    };
    let differs = |differs| Refusal::LicenseNotGranted { owner_name: "CONTOSO".to_owned(), differs };
    let unknown = |name: &str| Refusal::OwnerUnknown { owner_name: name.to_owned() };
    let over = Refusal::LicenseTooSmall {
        owner_name: "CONTOSO".to_owned(),
        license_type: LicenseType::SkraftDiskImageV5,
        in_use: 3,
        seats: 2,
    };
    assert_eq!(
        over.to_string(),
        "3 SkraftDiskImageV5 seats of CONTOSO are in use and the new license has 2. Release 1 first."
    );
    for (who, activation, dry_run, expected) in [
        ("gone", good.clone(), true, Refusal::CallerUnknown),
        ("reader", of(|p| p.owner_name = None), false, too_low(Role::Reader, Role::Admin)),
        ("agent", good.clone(), false, too_low(Role::Agent, Role::Admin)),
        ("admin", of(|p| p.owner_name = None), false, Refusal::field("OwnerName", FieldFault::Empty)),
        ("admin", of(|p| p.owner_name = Some(" \t".to_owned())), true, Refusal::field("OwnerName", FieldFault::Empty)),
        ("admin", of(|p| p.owner_name = Some("NOBODY".to_owned())), false, unknown("NOBODY")),
        ("west", good.clone(), false, unknown("CONTOSO")),
        ("elsewhere", good.clone(), true, unknown("CONTOSO")),
        ("admin", of(|p| p.company_name = Some("Contoso".to_owned())), false, differs("CompanyName")),
        ("admin", of(|p| p.serial_nr = Some("1010000014".to_owned())), false, differs("SerialNr")),
        (
            "admin",
            of(|p| p.dates = PresentedDates { expires: Some(None), ..Default::default() }),
            false,
            differs("ExpiryDate"),
        ),
        ("admin", of(|p| p.modules[1].1 = 80), false, differs("ModuleLicenses")),
        ("reader", of(|p| p.modules[1].1 = 80), true, differs("ModuleLicenses")),
        ("admin", good.clone(), false, over.clone()),
        ("reader", good, true, over.clone()),
        ("admin", serial("Contoso Ltd", "2020"), false, over),
        ("agent", serial("", ""), false, too_low(Role::Agent, Role::Admin)),
        ("admin", serial(" ", "2020"), false, Refusal::field("NewCompanyName", FieldFault::Empty)),
        ("admin", serial("Contoso Ltd", ""), true, Refusal::field("NewSerialNumber", FieldFault::Empty)),
    ] {
        let rows = licenses.rows();
        assert_eq!(
            licenses.activate(who, activation.clone(), dry_run),
            Err(expected),
            "{who} {activation:?} {dry_run}"
        );
        assert_eq!(licenses.rows(), rows, "{who} {activation:?} {dry_run}");
    }
    // What had to be released is released: now it can be done.
    licenses.release("admin", 3, "CONTOSO", &[DISK]).expect("released");
    licenses.activate("reader", serial(" Contoso Ltd ", "2020\n"), true).expect("could be activated");
    licenses.activate("admin", serial(" Contoso Ltd ", "2020\n"), false).expect("activated");
    assert_eq!(line(&licenses.owner("CONTOSO")), "CONTOSO 2/2 0/8 0/7");
    licenses.is_sound();
}

#[test]
fn a_license_that_has_ended_or_whose_dates_are_not_in_order_is_not_activated() {
    let licenses = Licenses::new();
    for (offer, expected) in [
        ("grace_at) VALUES (42, '2026-06-01T12:00:00Z')", "The license of CONTOSO ended at 2026-06-01T12:00:00Z."),
        ("expires_at) VALUES (42, '2026-12-31T00:00:00Z')", "The dates of the license of CONTOSO are not in order"),
    ] {
        licenses.sql(&format!("INSERT INTO license_offer (entity_id, {offer}"));
        let rows = licenses.rows();
        let told = reason(licenses.activate("admin", presented(&licenses.owner("CONTOSO")), false));
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(licenses.rows(), rows);
        licenses.sql("DELETE FROM license_offer");
    }
}

#[test]
fn whether_it_could_be_activated_is_told_without_doing_it() {
    let licenses = Licenses::new();
    licenses.sql(OFFER);
    let rows = licenses.rows();
    for who in ["reader", "agent", "admin", "contoso", "cli"] {
        licenses.activate(who, presented(&licenses.owner("CONTOSO")), true).expect(who);
        licenses.activate(who, serial("Contoso Ltd", "2020"), true).expect(who);
    }
    assert_eq!(licenses.rows(), rows);
}

/// A new company name and serial number are those of every offer that leads to them.
#[test]
fn all_that_is_offered_to_a_company_is_activated_together() {
    let licenses = Licenses::new();
    licenses.sql(
        "UPDATE entity SET name = 'Contoso', serial_nr = ' 2020 ' WHERE id IN (420, 43, 9);
         INSERT INTO license_offer (entity_id, company_name, serial_nr) VALUES
             (42, 'Contoso', '2020'), (420, NULL, NULL), (43, 'Contoso Inc', NULL), (45, 'Contoso', '2020'), (9, NULL, NULL);
         INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES
             (42, 'SqlBackup', 1), (420, 'SqlBackup', 1), (43, 'SqlBackup', 1), (45, 'SqlBackup', 1), (9, 'SqlBackup', 1);
         UPDATE seat SET account_id = seat_no WHERE pool_id = 5;",
    );
    let left = || {
        licenses.query::<String>(
            "SELECT group_concat(entity_id) FROM (SELECT entity_id FROM license_offer ORDER BY 1) AS q",
        )
    };

    let rows = licenses.rows();
    let told = reason(licenses.activate("admin", serial("Contoso", "2020"), false));
    assert_eq!(told, "2 SqlBackup seats of CONTOSOWEST are in use and the new license has 1. Release 1 first.");
    assert_eq!(licenses.rows(), rows, "one that cannot be activated keeps the others from it");

    licenses.release("admin", 1, "CONTOSOWEST", &[SQL]).expect("released");
    licenses.activate("admin", serial("Contoso", "2020"), false).expect("activated");
    assert_eq!(left(), "9,43,45", "not of others, of another name, or of no owner");
    assert_eq!(
        lines(&[licenses.owner("CONTOSO"), licenses.owner("CONTOSOWEST")]),
        ["CONTOSO 0/10 0/1 0/0", "CONTOSOWEST 0/0 1/1 0/0"]
    );

    for (who, company, number) in [
        ("admin", "Contoso", "2020"),
        ("admin", "contoso inc", "2020"),
        ("admin", "Contoso Inc", "2021"),
        ("contoso", "Contoso Inc", "2020"),
    ] {
        let rows = licenses.rows();
        let told = reason(licenses.activate(who, serial(company, number), false));
        assert_eq!(
            told,
            format!(
                "No license is offered to company '{company}' under serial number '{number}' among the entities of this credential. Check that both are written as the issuer has them, or ask it for an offer."
            )
        );
        assert_eq!(licenses.rows(), rows);
    }
    licenses.activate("cli", serial("Contoso", "2020"), false).expect("activated");
    assert_eq!(left(), "43,45", "the command line reaches everything");
    licenses.is_sound();
}

#[test]
fn a_license_is_forgotten_when_no_seat_of_it_is_taken() {
    let licenses = Licenses::new();
    licenses.sql(OFFER);
    licenses.sql(
        "UPDATE seat SET account_id = 1 WHERE (pool_id, seat_no) IN (VALUES (2, 1), (4, 2));
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (10, 42, 'ExchangeBackup', 0);",
    );
    let in_use = |in_use| Refusal::LicenseInUse { owner_name: "CONTOSO".to_owned(), in_use };
    assert_eq!(
        in_use(1).to_string(),
        "The license of CONTOSO is in use: 1 of its seats is taken, including those of pools that have expired or not started. Release it first."
    );
    let role = |role| Refusal::RoleTooLow { role, least: Role::Admin };
    let unknown = |name: &str| Refusal::OwnerUnknown { owner_name: name.to_owned() };
    let refused = |who: &str, owner: &str, expected| {
        let rows = licenses.rows();
        assert_eq!(licenses.remove(who, owner), Err(expected), "{who} {owner}");
        assert_eq!(licenses.rows(), rows, "{who} {owner}");
    };
    refused("gone", "CONTOSO", Refusal::CallerUnknown);
    refused("reader", "NOBODY", role(Role::Reader));
    refused("agent", "CONTOSO", role(Role::Agent));
    refused("admin", "NOBODY", unknown("NOBODY"));
    refused("admin", "", unknown(""));
    refused("west", "CONTOSO", unknown("CONTOSO"));
    refused("admin", " contoso", in_use(2));
    licenses.sql("UPDATE seat SET account_id = NULL WHERE pool_id = 4");
    refused("admin", "CONTOSO", in_use(1));
    licenses.sql("UPDATE seat SET account_id = NULL WHERE pool_id = 2");

    let before: i64 = licenses.query("SELECT max(id) FROM audit_event");
    licenses.remove("contoso", "contoso ").expect("removed");
    assert_eq!(licenses.owners("cli", named("CONTOSO"), None), Ok(vec![]));
    let mut events = events_after(&licenses, before);
    events.sort();
    let emptied = [1, 2, 3, 4].map(|pool| format!("pool-change {pool} 0 contoso 36"));
    assert_eq!(events, emptied, "the pool that was empty did not change");
    assert_eq!(licenses.query::<i64>("SELECT count(*) FROM license_offer"), 0);
    assert_eq!(
        licenses.query::<String>("SELECT name || ' ' || serial_nr FROM entity WHERE id = 42"),
        "Contoso 1010000014"
    );
    assert_eq!(
        licenses.query::<i64>("SELECT count(*) FROM seat JOIN license_pool ON id = pool_id WHERE entity_id = 42"),
        0
    );
    refused("admin", "CONTOSO", unknown("CONTOSO"));
    licenses.remove("cli", "northwind").expect("an owner without pools");
    licenses.is_sound();
}

/// What the owner would be after activation is what it then is.
#[test]
fn what_is_offered_is_what_it_comes_to() {
    let licenses = Licenses::new();
    licenses.sql(OFFER);
    licenses.sql(
        "UPDATE license_offer SET maintenance_at = '2027-10-01T00:00:00Z', admin_warning_at = '2027-11-01T00:00:00Z',
                grace_at = '2028-02-01T00:00:00Z'",
    );
    let Owner { offered, .. } = licenses.owner("CONTOSO");
    licenses.activate("cli", serial("Contoso Ltd", "2020"), false).expect("activated");
    assert_eq!(Some(licenses.owner("CONTOSO").current), offered);
}
