//! What license tools are told by the store: the owners, their numbers, what is offered, what an associate holds.

use seatkeeper::license::OWNERS_MAX;
use seatkeeper::license::{Dates, Terms};
use seatkeeper::seats::Refusal;
use seatkeeper::store::Owners;

use crate::licenses::*;

#[test]
fn an_owner_is_told_with_its_texts_dates_and_numbers() {
    let licenses = Licenses::new();
    licenses.sql(
        "UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 2;
         UPDATE seat SET account_id = 2 WHERE pool_id = 2 AND seat_no = 1;
         UPDATE seat SET account_id = 7 WHERE pool_id = 3 AND seat_no = 1;",
    );
    let owner = licenses.owner("CONTOSO");
    assert_eq!((owner.entity_id, owner.active, owner.name.as_str()), (42, true, "CONTOSO"));
    assert_eq!(owner.description.as_deref(), Some("Backup of Contoso"));
    assert_eq!(owner.shop_url.as_deref(), Some("https://shop.example/"));
    assert_eq!(owner.current.company_name, "Contoso");
    assert_eq!(owner.current.serial_nr.as_deref(), Some("1010000014"));
    assert_eq!(owner.current.dates, contoso_dates());
    assert_eq!(owner.current.seats, [10, 3, 0], "of pools that have begun and not expired at this moment");
    assert_eq!(owner.in_use, [0, 1, 0], "of the same pools");
    assert_eq!(owner.offered, None);
    let closed = licenses.owner("CLOSED");
    assert_eq!((closed.active, closed.description, closed.current.serial_nr), (false, None, None));
}

fn contoso_dates() -> Dates {
    Dates {
        admin_warning: Some(at("2027-01-01T00:00:00Z")),
        expires: Some(at("2027-02-01T00:00:00Z")),
        // The end of year 9999 is later than any time there is.
        grace: Some(jiff::Timestamp::MAX),
        ..Dates::default()
    }
}

#[test]
fn numbers_follow_every_change_at_once() {
    let licenses = Licenses::new();
    for (change, expected) in [
        ("UPDATE seat SET account_id = seat_no WHERE pool_id = 1", "CONTOSO 0/10 3/3 0/0"),
        ("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 2", "CONTOSO 0/10 2/3 0/0"),
        ("UPDATE license_pool SET seats_total = 2 WHERE id = 1", "CONTOSO 0/10 2/2 0/0"),
        ("UPDATE license_pool SET expires_at = NULL WHERE id = 2", "CONTOSO 0/10 2/6 0/0"),
        ("UPDATE license_pool SET expires_at = '2026-06-01T12:00:01Z' WHERE id = 2", "CONTOSO 0/10 2/6 0/0"),
        ("UPDATE license_pool SET expires_at = '2026-06-01T12:00:00Z' WHERE id = 1", "CONTOSO 0/10 0/4 0/0"),
        ("UPDATE license_pool SET starts_at = '2026-06-01T12:00:00Z' WHERE id = 3", "CONTOSO 0/10 0/9 0/0"),
        ("DELETE FROM license_pool WHERE id = 3", "CONTOSO 0/10 0/4 0/0"),
        ("UPDATE license_pool SET seats_total = 1000000 WHERE id = 4", "CONTOSO 0/1000000 0/4 0/0"),
        ("UPDATE seat SET account_id = 6 WHERE pool_id = 4 AND seat_no = 999999", "CONTOSO 1/1000000 0/4 0/0"),
    ] {
        licenses.sql(change);
        assert_eq!(line(&licenses.owner("CONTOSO")), expected, "{change}");
    }
}

#[test]
fn owners_are_known_down_the_subtree_and_no_further() {
    let licenses = Licenses::new();
    for (who, expected) in [
        ("reader", "CLOSED CONTOSO CONTOSOWEST FABRIKAM NORTHWIND"),
        ("contoso", "CONTOSO CONTOSOWEST"),
        ("west", "CONTOSOWEST"),
        ("elsewhere", "ELSEWHERE"),
        ("cli", "CLOSED CONTOSO CONTOSOWEST ELSEWHERE FABRIKAM NORTHWIND"),
    ] {
        let owners = licenses.owners(who, Owners::All, None).expect(who);
        assert_eq!(names(&owners), expected, "{who}");
        for name in ["NORTHWIND", "CONTOSO", "CONTOSOWEST", "FABRIKAM", "CLOSED", "ELSEWHERE", "NOBODY", ""] {
            let one = licenses.owners(who, named(name), None).expect(who);
            let told: Vec<&_> = owners.iter().filter(|owner| owner.name == name).collect();
            assert_eq!(one.iter().collect::<Vec<_>>(), told, "{who} asks for {name}");
        }
    }
    assert_eq!(licenses.owners("gone", Owners::All, None), Err(Refusal::CallerUnknown));
    assert_eq!(licenses.owners("nobody", named("CONTOSO"), None), Err(Refusal::CallerUnknown));
}

#[test]
fn names_of_owners_compare_without_case_and_blanks_around_them() {
    let licenses = Licenses::new();
    for spelling in ["contoso", " CONTOSO\t", "cOnToSo"] {
        assert_eq!(licenses.owners("reader", named(spelling), None).expect("allowed").len(), 1, "{spelling}");
    }
    for spelling in ["CON TOSO", "CONTOSO;", "conto\u{17f}o", "CONTOSO\0", "%", "Contoso, Backup and Sons", "' OR 1=1"]
    {
        assert_eq!(licenses.owners("reader", named(spelling), None), Ok(vec![]), "{spelling:?}");
    }
}

/// Each column of an offer, and each type, says what is new, or nothing.
#[test]
fn what_is_not_offered_stays_as_it_is() {
    let licenses = Licenses::new();
    let current = licenses.owner("CONTOSO").current;
    let grace = |at| Terms { dates: Dates { grace: Some(at), ..current.dates }, ..current.clone() };
    for (offer, expected) in [
        ("INSERT INTO license_offer (entity_id) VALUES (42)", current.clone()),
        ("UPDATE license_offer SET company_name = 'Contoso Ltd'", Terms { company_name: "Contoso Ltd".to_owned(), ..current.clone() }),
        ("UPDATE license_offer SET company_name = NULL, serial_nr = ''", Terms { serial_nr: Some(String::new()), ..current.clone() }),
        ("UPDATE license_offer SET serial_nr = NULL, grace_at = '2028-01-01T00:00:00Z'", grace(at("2028-01-01T00:00:00Z"))),
        ("UPDATE license_offer SET grace_at = '9999-12-31T00:00:00Z'", grace(jiff::Timestamp::MAX)),
        (
            "UPDATE license_offer SET next_check_at = '2026-07-01T00:00:00Z', maintenance_at = '2026-07-02T00:00:00Z',
                    admin_warning_at = '2026-07-03T00:00:00Z', expires_at = '2026-07-04T00:00:00Z', grace_at = '2026-07-05T00:00:00Z'",
            Terms {
                dates: Dates {
                    next_check: Some(at("2026-07-01T00:00:00Z")),
                    maintenance: Some(at("2026-07-02T00:00:00Z")),
                    admin_warning: Some(at("2026-07-03T00:00:00Z")),
                    expires: Some(at("2026-07-04T00:00:00Z")),
                    grace: Some(at("2026-07-05T00:00:00Z")),
                },
                ..current.clone()
            },
        ),
        (
            "DELETE FROM license_offer; INSERT INTO license_offer (entity_id) VALUES (42);
             INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES (42, 'ExchangeBackup', 7), (42, 'SqlBackup', 0)",
            Terms { seats: [10, 0, 7], ..current.clone() },
        ),
    ] {
        licenses.sql(offer);
        let owner = licenses.owner("CONTOSO");
        assert_eq!((owner.offered, owner.current), (Some(expected), current.clone()), "{offer}");
    }
    assert_eq!(licenses.owner("CONTOSOWEST").offered, None, "an offer is for one owner");
    licenses.sql("DELETE FROM license_offer");
    assert_eq!(licenses.owner("CONTOSO").offered, None);
}

#[test]
fn what_an_associate_holds_is_told_of_open_pools_to_those_who_may_know_the_associate() {
    let licenses = Licenses::new();
    licenses.sql(
        "UPDATE seat SET account_id = 1 WHERE seat_no = 1 AND pool_id IN (1, 4);
         UPDATE seat SET account_id = 2 WHERE seat_no = 1 AND pool_id = 2; UPDATE seat SET account_id = 4 WHERE seat_no = 1 AND pool_id = 5;",
    );
    for (who, associate, expected) in [
        ("reader", Some(1), "CONTOSO 1*/10 1*/3 0/0"),
        ("contoso", Some(1), "CONTOSO 1*/10 1*/3 0/0"),
        ("reader", None, "CONTOSO 1/10 1/3 0/0"),
        // Of an expired pool; of another owner; a stranger; nobody.
        ("reader", Some(2), "CONTOSO 1/10 1/3 0/0"),
        ("reader", Some(4), "CONTOSO 1/10 1/3 0/0"),
        ("reader", Some(5), "CONTOSO 1/10 1/3 0/0"),
        ("reader", Some(99), "CONTOSO 1/10 1/3 0/0"),
        ("reader", Some(-1), "CONTOSO 1/10 1/3 0/0"),
    ] {
        let owners = licenses.owners(who, named("CONTOSO"), associate).expect(who);
        assert_eq!(lines(&owners), [expected], "{who} {associate:?}");
    }
    let west = |who| lines(&licenses.owners(who, named("CONTOSOWEST"), Some(4)).expect("allowed"));
    assert_eq!(west("reader"), ["CONTOSOWEST 0/0 1*/2 0/0"]);
    assert_eq!(west("contoso"), ["CONTOSOWEST 0/0 1/2 0/0"], "account 4 is of another entity");
}

/// Those of its entity and above, up to the caller's and the nearest first, and those whose seats it holds.
#[test]
fn the_owners_of_an_associate() {
    let licenses = Licenses::new();
    licenses.sql(
        "INSERT INTO account (id, username, entity_id) VALUES (8, 'east', 45);
         UPDATE seat SET account_id = 3 WHERE pool_id = 6 AND seat_no = 1; UPDATE seat SET account_id = 3 WHERE pool_id = 8 AND seat_no = 1;
         UPDATE seat SET account_id = 4 WHERE (pool_id, seat_no) IN (VALUES (1, 1), (4, 1)); UPDATE seat SET account_id = 5 WHERE pool_id = 1 AND seat_no = 2;",
    );
    for (who, associate, expected) in [
        ("reader", Some(1), "CONTOSO NORTHWIND"),
        ("reader", Some(3), "CONTOSOWEST CONTOSO NORTHWIND FABRIKAM"),
        ("cli", Some(3), "CONTOSOWEST CONTOSO NORTHWIND ELSEWHERE FABRIKAM"),
        ("contoso", Some(3), "CONTOSOWEST CONTOSO"),
        ("west", Some(3), "CONTOSOWEST"),
        ("reader", Some(4), "FABRIKAM NORTHWIND CONTOSO"),
        ("reader", Some(6), "CONTOSO NORTHWIND"),
        ("reader", Some(8), "CONTOSO NORTHWIND"),
        ("elsewhere", Some(5), "ELSEWHERE"),
        ("contoso", Some(4), ""),
        ("west", Some(1), ""),
        ("reader", Some(5), ""),
        ("reader", Some(99), ""),
        ("reader", None, ""),
    ] {
        let owners = licenses.owners(who, Owners::OfAssociate, associate).expect(who);
        assert_eq!(names(&owners), expected, "{who} asks for {associate:?}");
    }
    let owners = licenses.owners("contoso", Owners::OfAssociate, Some(3)).expect("allowed");
    assert_eq!(lines(&owners), ["CONTOSOWEST 0/0 0/2 0/0", "CONTOSO 1/10 2/3 0/0"]);
    assert_eq!(licenses.owners("gone", Owners::OfAssociate, Some(1)), Err(Refusal::CallerUnknown));
}

#[test]
fn there_are_only_so_many_owners_in_one_answer() {
    let licenses = Licenses::new();
    let many = |from: usize, to: usize| {
        licenses.sql(&format!(
            "WITH RECURSIVE number (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM number WHERE n < {to})
             INSERT INTO entity (id, parent_id, name, owner_name) SELECT 1000 + n, 43, 'Many', 'MANY' || n FROM number"
        ));
    };
    let all = |who| licenses.owners(who, Owners::All, None).map(|owners| owners.len());
    let too_many = || Err(Refusal::TooManyOwners { max: OWNERS_MAX });
    many(1, OWNERS_MAX - 6);
    assert_eq!((all("reader"), all("cli")), (Ok(OWNERS_MAX - 1), Ok(OWNERS_MAX)));
    many(OWNERS_MAX - 5, OWNERS_MAX - 5);
    assert_eq!((all("reader"), all("cli")), (Ok(OWNERS_MAX), too_many()));
    many(OWNERS_MAX - 4, OWNERS_MAX - 4);
    assert_eq!((all("reader"), all("contoso")), (too_many(), Ok(2)));
    assert_eq!(licenses.owners("reader", named("MANY7"), None).expect("allowed").len(), 1);
}

/// Somebody's text in one row keeps nobody from reading the others.
#[test]
fn texts_that_are_no_utf_8_are_told_as_well_as_they_can_be() {
    let licenses = Licenses::new();
    // From before the schema had rules for text.
    licenses.database().unguarded(
        "UPDATE entity SET name = CAST(x'4fff' AS TEXT), owner_description = CAST(x'00' AS TEXT), serial_nr = CAST(x'c3' AS TEXT)
          WHERE id = 43",
    );
    let owners = licenses.owners("reader", Owners::All, None).expect("allowed");
    assert_eq!(names(&owners), "CLOSED CONTOSO CONTOSOWEST FABRIKAM NORTHWIND");
    assert_eq!(owners[3].current.company_name, "O\u{fffd}");
    assert_eq!(owners[3].description.as_deref(), Some("\0"));
}

#[test]
fn a_circle_of_entities_hangs_nothing() {
    let licenses = Licenses::new();
    // Past the guards, as somebody with another program could.
    licenses.database().unguarded("UPDATE entity SET parent_id = 420 WHERE id = 1");
    assert_eq!(licenses.owners("reader", Owners::All, None).expect("allowed").len(), 5);
    assert_eq!(licenses.owners("west", Owners::All, None).expect("allowed").len(), 5);
    assert_eq!(licenses.owners("reader", Owners::OfAssociate, Some(3)).expect("allowed").len(), 3);
    assert_eq!(licenses.owners("elsewhere", Owners::OfAssociate, Some(3)), Ok(vec![]));
}
