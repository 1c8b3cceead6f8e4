//! What administrators read about users, credentials and offers. On both databases.

use jiff::Timestamp;
use seatkeeper::seats::Role;
use seatkeeper::store::admin::credentials::{self, CredentialFilter, CredentialRow};
use seatkeeper::store::admin::held_at;
use seatkeeper::store::admin::offers::{self, OfferFilter};
use seatkeeper::store::admin::users::{self, UserFilter, UserRow};
use seatkeeper::store::admin::{AdminRefusal, EntityFilter, Since, Start};

use crate::admin_lists::{all_pages, lists, read, try_read};
use crate::licenses::*;

fn user_line(row: &UserRow) -> String {
    let held = row.held.iter().map(|held| match &held.seat {
        Some(seat) => {
            let expired = if seat.is_expired { " expired" } else { "" };
            format!(" {}:{} of {}{expired}", seat.pool_id, seat.seat_no, seat.entity_name)
        }
        None => format!(" {} of others", held.license_type),
    });
    format!("{} at {}{}", row.username, row.entity_name, held.collect::<String>())
}

#[test]
fn users_are_listed_with_everything_they_hold() {
    let licenses = lists();
    let list = |who: &str, filter: UserFilter| -> Vec<UserRow> {
        read(&licenses, who, move |sql, admin| users::list(sql, admin, &filter, &Start::First, 50)).rows
    };
    let names = |who: &str, filter: UserFilter| -> Vec<String> {
        list(who, filter).into_iter().map(|row| row.username).collect()
    };
    let all = || UserFilter::default();
    let lines = |who: &str| list(who, all()).iter().map(user_line).collect::<Vec<_>>();
    assert_eq!(
        lines("cli"),
        [
            "amy at Contoso 1:2 of Contoso",
            "bob at Contoso 4:1 of Contoso 1:1 of Contoso",
            "closed at Contoso",
            "Contoso at Contoso 2:1 of Contoso expired",
            "eve at Somebody else 8:2 of Somebody else",
            "fay at Fabrikam 1:3 of Contoso",
            "wes at Contoso West 8:1 of Somebody else",
        ]
    );
    assert_eq!(lines("west"), ["wes at Contoso West SqlBackup of others"]);
    let of = |id, below| UserFilter { entity: Some(EntityFilter { id, below }), ..all() };
    let starts = |text: &str| UserFilter { starts_with: Some(text.to_owned()), ..all() };
    let text = |text: &str| UserFilter { text: Some(text.to_owned()), ..all() };
    for (who, filter, expected) in [
        ("contoso", all(), vec!["amy", "bob", "closed", "Contoso", "wes"]),
        ("contoso", of(420, false), vec!["wes"]),
        ("contoso", of(9, true), vec![]),
        ("cli", of(42, false), vec!["amy", "bob", "closed", "Contoso"]),
        ("cli", of(1, true), vec!["amy", "bob", "closed", "Contoso", "fay", "wes"]),
        ("cli", starts("C"), vec!["closed", "Contoso"]),
        ("cli", starts("ey"), vec![]),
        ("cli", text("E"), vec!["closed", "eve", "wes"]),
        ("elsewhere", text("e"), vec!["eve"]),
        ("cli", starts("%"), vec![]),
        ("cli", text("_"), vec![]),
        ("cli", UserFilter { active: Some(false), ..all() }, vec!["closed"]),
        ("cli", UserFilter { holds: Some(false), ..all() }, vec!["closed"]),
        ("contoso", UserFilter { holds: Some(true), ..of(42, true) }, vec!["amy", "bob", "Contoso", "wes"]),
        ("cli", UserFilter { holds_type: Some(DISK), ..all() }, vec!["bob"]),
        ("cli", UserFilter { holds_type: Some(SQL), ..starts("b") }, vec!["bob"]),
        ("contoso", UserFilter { holds_type: Some(SQL), ..of(420, true) }, vec!["wes"]),
    ] {
        assert_eq!(names(who, filter.clone()), expected, "{who}: {filter:?}");
    }
    for (who, name, found) in
        [("cli", "BOB", true), ("contoso", " bob ", true), ("west", "bob", false), ("cli", "b%", false)]
    {
        let one = try_read(&licenses, who, move |sql, admin| users::named(sql, admin, name));
        assert_eq!(one.is_ok(), found, "{who} {name}");
        if let Ok(one) = one {
            assert_eq!(one.held.len(), 2);
            assert!(
                one.held
                    .iter()
                    .all(|held| matches!(held.seat.as_ref().and_then(|seat| seat.since), Some(Since::At(_))))
            );
        }
    }
    let refused = try_read(&licenses, "west", |sql, admin| users::one(sql, admin, 1));
    assert_eq!(refused, Err(AdminRefusal::NotFound { what: "user", id: "1".to_owned() }));
}

#[test]
fn what_a_user_held_at_a_past_moment_is_told() {
    let licenses = lists();
    let pause = || std::thread::sleep(std::time::Duration::from_millis(30));
    pause();
    let then = Timestamp::now();
    pause();
    licenses.sql(
        "UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 1;
         UPDATE seat SET account_id = 1 WHERE pool_id = 5 AND seat_no = 2;
         UPDATE seat SET account_id = NULL WHERE pool_id = 8 AND seat_no = 1;",
    );
    let held = |who: &str, account_id: i64, moment: Timestamp| -> Option<Vec<String>> {
        let held = read(&licenses, who, move |sql, admin| held_at::user_at(sql, admin, account_id, moment))?;
        let line = |then: &held_at::HeldThen| {
            let seat = then
                .held
                .seat
                .as_ref()
                .map_or("others".to_owned(), |seat| format!("{}:{}", seat.pool_id, seat.seat_no));
            format!("{seat}{}", if then.is_over { " over" } else { "" })
        };
        Some(held.iter().map(line).collect())
    };
    let now = then + jiff::SignedDuration::from_hours(1);
    for (who, account_id, moment, expected) in [
        ("cli", 1, then, vec!["1:1 over", "4:1"]),
        ("cli", 1, now, vec!["4:1", "5:2"]),
        ("contoso", 1, then, vec!["1:1 over", "4:1"]),
        ("west", 3, then, vec!["others over"]),
        ("west", 3, now, vec![]),
        ("cli", 1, at("2020-01-01T00:00:00Z"), vec![]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(held(who, account_id, moment), Some(expected), "{who} {account_id} {moment}");
    }
    let refused = try_read(&licenses, "west", move |sql, admin| held_at::user_at(sql, admin, 1, then));
    assert!(matches!(refused, Err(AdminRefusal::NotFound { .. })));
}

#[test]
fn users_are_paged_in_every_way_that_they_are_found() {
    let licenses = lists();
    let mut script = String::new();
    for number in 0..60 {
        script.push_str(&format!(
            "INSERT INTO account (username, entity_id) VALUES ('User {number:02}', {});",
            [420, 45, 9][number % 3]
        ));
    }
    licenses.sql(&script);
    for (who, filter, number) in [
        ("cli", UserFilter::default(), 67),
        ("cli", UserFilter { starts_with: Some("uSER 1".to_owned()), ..Default::default() }, 10),
        ("contoso", UserFilter { starts_with: Some("user".to_owned()), ..Default::default() }, 40),
        ("contoso", UserFilter { entity: Some(EntityFilter { id: 420, below: false }), ..Default::default() }, 21),
        ("cli", UserFilter { text: Some("R 2".to_owned()), ..Default::default() }, 10),
    ] {
        for size in [1, 4, 13] {
            let rows = all_pages(size, |start, limit| {
                let (start, filter) = (start.clone(), filter.clone());
                read(&licenses, who, move |sql, admin| users::list(sql, admin, &filter, &start, limit))
            });
            assert_eq!(rows.len(), number, "{who} {filter:?} in pages of {size}");
            let names: Vec<String> = rows.iter().map(|row| row.username.to_ascii_lowercase()).collect();
            assert!(names.windows(2).all(|two| two[0] < two[1]), "{names:?}");
        }
    }
}

fn credential_line(row: &CredentialRow) -> String {
    let used = row.last_used_at.map_or("never".to_owned(), |at| at.to_string());
    format!("{} {} at {}: {used}, {} failures", row.user_name, row.role.name(), row.entity_id, row.failures)
}

#[test]
fn credentials_are_listed_with_their_use() {
    let licenses = lists();
    licenses.database().ticket_until("contoso", at("2026-06-01T12:30:00Z"));
    licenses.database().ticket_until("contoso", at("2026-06-01T12:40:00Z"));
    licenses.database().ticket_until("contoso", at("2026-06-01T11:00:00Z"));
    let list = |who: &str, filter: CredentialFilter| -> Vec<CredentialRow> {
        read(&licenses, who, move |sql, admin| credentials::list(sql, admin, &filter, &Start::First, 50)).rows
    };
    let all = || CredentialFilter::default();
    let lines: Vec<String> = list("contoso", all()).iter().map(credential_line).collect();
    assert_eq!(
        lines,
        [
            "contoso admin at 42: 2026-06-01T11:00:00Z, 0 failures",
            "west admin at 420: 2026-05-01T00:00:00Z, 3 failures"
        ]
    );
    let contoso = &list("contoso", all())[0];
    assert_eq!((contoso.tickets, contoso.sessions, contoso.last_address.as_deref()), (2, 0, Some("192.0.2.1")));
    let names = |who: &str, filter: CredentialFilter| -> Vec<String> {
        list(who, filter).into_iter().map(|row| row.user_name).collect()
    };
    for (who, filter, expected) in [
        ("cli", all(), vec!["admin", "agent", "contoso", "elsewhere", "gone", "reader", "west"]),
        ("west", all(), vec!["west"]),
        ("cli", CredentialFilter { failing: true, ..all() }, vec!["elsewhere", "west"]),
        ("contoso", CredentialFilter { failing: true, ..all() }, vec!["west"]),
        ("cli", CredentialFilter { active: Some(false), ..all() }, vec!["gone"]),
        ("cli", CredentialFilter { role: Some(Role::Reader), ..all() }, vec!["reader"]),
        ("cli", CredentialFilter { starts_with: Some("A".to_owned()), ..all() }, vec!["admin", "agent"]),
        ("cli", CredentialFilter { text: Some("EST".to_owned()), ..all() }, vec!["west"]),
        (
            "cli",
            CredentialFilter { entity: Some(EntityFilter { id: 42, below: true }), ..all() },
            vec!["contoso", "west"],
        ),
        ("contoso", CredentialFilter { entity: Some(EntityFilter { id: 1, below: true }), ..all() }, vec![]),
        (
            "reader",
            CredentialFilter { unused_since: Some(at("2026-06-01T00:00:00Z")), ..all() },
            vec!["admin", "agent", "gone", "reader", "west"],
        ),
    ] {
        assert_eq!(names(who, filter.clone()), expected, "{who}: {filter:?}");
    }
    for size in [1, 3] {
        let rows = all_pages(size, |start, limit| {
            let start = start.clone();
            read(&licenses, "cli", move |sql, admin| {
                credentials::list(sql, admin, &CredentialFilter::default(), &start, limit)
            })
        });
        assert_eq!(rows.len(), 7);
    }
    let refused = try_read(&licenses, "west", |sql, admin| credentials::one(sql, admin, "contoso"));
    assert_eq!(refused, Err(AdminRefusal::NotFound { what: "credential", id: "contoso".to_owned() }));
    assert_eq!(read(&licenses, "west", |sql, admin| credentials::one(sql, admin, " WEST ")).user_name, "west");
}

#[test]
fn offers_are_listed_with_their_modules() {
    let licenses = lists();
    let list = |who: &str, filter: OfferFilter| -> Vec<String> {
        let page = read(&licenses, who, move |sql, admin| offers::list(sql, admin, &filter, &Start::First, 50));
        let line = |row: &offers::OfferRow| {
            let modules = row.modules.iter().map(|(license_type, seats)| format!(" {license_type} {seats}"));
            format!("{} {:?} {:?}{}", row.entity_id, row.company_name, row.serial_nr, modules.collect::<String>())
        };
        page.rows.iter().map(line).collect()
    };
    let contoso = "42 Some(\"Contoso Holding\") Some(\"77\") SkraftDiskImageV5 10 SqlBackup 20";
    let other = "9 None Some(\"99\") SqlBackup 1";
    let text = |text: &str| OfferFilter { text: Some(text.to_owned()), entity: None };
    for (who, filter, expected) in [
        ("cli", OfferFilter::default(), vec![other, contoso]),
        ("contoso", OfferFilter::default(), vec![contoso]),
        ("west", OfferFilter::default(), vec![]),
        ("cli", text("holding"), vec![contoso]),
        ("cli", text("elsewhere"), vec![other]),
        ("contoso", text("elsewhere"), vec![]),
        ("cli", OfferFilter { entity: Some(EntityFilter { id: 1, below: true }), text: None }, vec![contoso]),
        ("cli", OfferFilter { entity: Some(EntityFilter { id: 1, below: false }), text: None }, vec![]),
    ] {
        assert_eq!(list(who, filter.clone()), expected, "{who}: {filter:?}");
    }
    assert!(try_read(&licenses, "contoso", |sql, admin| offers::one(sql, admin, 9)).is_err());
}
