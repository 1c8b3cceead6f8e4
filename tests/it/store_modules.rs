//! Modules assigned and released by license tools: the seat rules of every other call, all types or none.

use seatkeeper::seats::{Held, LicenseType, Refusal, Role, SeatId};

use crate::licenses::*;

const ALL: &[LicenseType] = &LicenseType::ALL;

fn owner_unknown(owner_name: &str) -> Refusal {
    Refusal::OwnerUnknown { owner_name: owner_name.to_owned() }
}

fn no_pool(provider_entity_id: i32, license_type: LicenseType) -> Refusal {
    Refusal::NoPool { provider_entity_id, license_type, starts_at: None }
}

/// What happened since event number `after`: action, pool, user, actor.
fn events(licenses: &Licenses, after: i64) -> String {
    licenses
        .query::<Option<String>>(&format!(
            "SELECT group_concat(action || ' ' || pool_id || ' ' || username || ' by ' || actor, ', ')
           FROM (SELECT * FROM audit_event WHERE id > {after} ORDER BY id) AS q"
        ))
        .unwrap_or_default()
}

fn last_event(licenses: &Licenses) -> i64 {
    licenses.query("SELECT max(id) FROM audit_event")
}

#[test]
fn each_type_is_taken_once_and_the_owner_answered() {
    let licenses = Licenses::new();
    let before = last_event(&licenses);
    let owner = licenses.assign("Agent", 1, " contoso", &[SQL, DISK, SQL]).expect("assigned");
    assert_eq!(line(&owner), "CONTOSO 1*/10 1*/3 0/0");
    assert_eq!(events(&licenses, before), "assign 1 bob by agent, assign 4 bob by agent");
    let calls: i64 = licenses.query(&format!("SELECT count(DISTINCT request_id) FROM audit_event WHERE id > {before}"));
    assert_eq!(calls, 1, "one call, one id");
    assert_eq!(line(&licenses.assign("agent", 2, "CONTOSO", &[]).expect("nothing asked")), "CONTOSO 1/10 1/3 0/0");
    licenses.is_sound();
}

#[test]
fn what_is_held_of_the_owner_already_stays_and_changes_nothing() {
    let licenses = Licenses::new();
    // Of the type, account 1 holds a seat of a pool that has not begun: it is the owner's all the same.
    licenses.sql("UPDATE seat SET account_id = 1 WHERE seat_no = 1 AND pool_id IN (3, 4)");
    let rows = licenses.rows();
    assert_eq!(line(&licenses.assign("agent", 1, "CONTOSO", &[SQL, DISK]).expect("held")), "CONTOSO 1*/10 0/3 0/0");
    assert_eq!(licenses.rows(), rows);
}

#[test]
fn a_seat_of_an_expired_pool_is_given_up_for_the_new_one() {
    let licenses = Licenses::new();
    licenses.sql("UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 4");
    let before = last_event(&licenses);
    assert_eq!(line(&licenses.assign("agent", 1, "CONTOSO", &[SQL]).expect("assigned")), "CONTOSO 0/10 1*/3 0/0");
    assert_eq!(events(&licenses, before), "release 2 bob by agent, assign 1 bob by agent");
    licenses.is_sound();
}

/// In this order: the caller, the associate, the owner, the seat rules of each type in turn.
#[test]
fn the_first_reason_is_told_and_nothing_is_changed() {
    let licenses = Licenses::new();
    licenses.sql(
        "UPDATE seat SET account_id = 2 WHERE pool_id = 5 AND seat_no = 1; UPDATE license_pool SET seats_total = 0 WHERE id = 4;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (10, 42, 'ExchangeBackup', 1);",
    );
    let unknown = |id| Refusal::AssociateUnknown { id };
    let elsewhere = Refusal::AlreadyAssigned {
        username: "amy".to_owned(),
        license_type: SQL,
        held: Some(Held {
            seat: SeatId { pool_id: 5, seat_no: 1 },
            expires_at: None,
            entity_id: 420,
            in_subtree: true,
        }),
    };
    let full = Refusal::NoFreeSeat { provider_entity_id: 42, license_type: DISK, seats_total: 0, pools: 1 };
    for (who, associate, owner, types, expected) in [
        ("gone", 1, "CONTOSO", &[SQL][..], Refusal::CallerUnknown),
        ("reader", 99, "NOBODY", &[], Refusal::RoleTooLow { role: Role::Reader, least: Role::Agent }),
        ("agent", 99, "NOBODY", &[SQL], unknown(99)),
        ("agent", 0, "CONTOSO", &[SQL], unknown(0)),
        ("agent", 5, "CONTOSO", &[SQL], unknown(5)),
        ("contoso", 4, "CONTOSO", &[SQL], unknown(4)),
        ("agent", 1, "NOBODY", &[SQL], owner_unknown("NOBODY")),
        ("agent", 1, "", &[], owner_unknown("")),
        ("agent", 1, "ELSEWHERE", &[SQL], owner_unknown("ELSEWHERE")),
        ("contoso", 1, "NORTHWIND", &[SQL], owner_unknown("NORTHWIND")),
        ("agent", 1, "CLOSED", &[SQL], Refusal::ProviderInactive { provider_entity_id: 44 }),
        ("agent", 6, "CONTOSO", &[SQL], Refusal::AccountUnavailable { username: "closed".to_owned() }),
        ("agent", 1, "NORTHWIND", &[SQL], no_pool(1, SQL)),
        ("agent", 2, "CONTOSO", &[EXCHANGE, SQL], elsewhere),
        ("agent", 1, "CONTOSO", &[SQL, EXCHANGE, DISK], full),
        (
            "agent",
            4,
            "FABRIKAM",
            &[EXCHANGE],
            Refusal::PoolExpired {
                provider_entity_id: 43,
                license_type: EXCHANGE,
                expired_at: at("2020-01-01T00:00:00Z"),
            },
        ),
        ("cli", 1, "ELSEWHERE", &[SQL, EXCHANGE], no_pool(9, EXCHANGE)),
    ] {
        let rows = licenses.rows();
        assert_eq!(licenses.assign(who, associate, owner, types), Err(expected), "{who} {associate} {owner} {types:?}");
        assert_eq!(licenses.rows(), rows, "{who} {associate} {owner} {types:?}");
    }
    licenses.is_sound();
}

#[test]
fn a_refused_call_takes_back_what_it_gave_up() {
    let licenses = Licenses::new();
    licenses.sql("UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 4");
    let rows = licenses.rows();
    assert_eq!(licenses.assign("agent", 1, "CONTOSO", &[SQL, EXCHANGE]), Err(no_pool(42, EXCHANGE)));
    assert_eq!(licenses.rows(), rows);
}

#[test]
fn seats_are_given_back_if_they_are_the_owners() {
    let licenses = Licenses::new();
    licenses.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (10, 420, 'ExchangeBackup', 1);
         UPDATE seat SET account_id = 1 WHERE (pool_id, seat_no) IN (VALUES (2, 1), (4, 1), (10, 1));
         UPDATE seat SET account_id = 2 WHERE (pool_id, seat_no) IN (VALUES (1, 1), (4, 2));",
    );
    let before = last_event(&licenses);
    let owner = licenses.release("admin", 1, "contoso", &[EXCHANGE, DISK, SQL, DISK]).expect("released");
    assert_eq!(line(&owner), "CONTOSO 1/10 1/3 0/0");
    assert_eq!(events(&licenses, before), "release 4 bob by admin, release 2 bob by admin", "also of an expired pool");
    let rows = licenses.rows();
    assert_eq!(line(&licenses.release("admin", 1, "CONTOSO", ALL).expect("nothing left")), "CONTOSO 1/10 1/3 0/0");
    assert_eq!(licenses.rows(), rows, "the seat of another owner, and those of others, stay");
    // An owner or an account that is not active gives back all the same.
    licenses.sql("UPDATE entity SET active = 0 WHERE id = 42; UPDATE account SET active = 0 WHERE id = 2");
    let owner = licenses.release("contoso", 2, "CONTOSO", ALL).expect("released");
    assert_eq!(line(&owner), "CONTOSO 0/10 0/3 0/0");
    licenses.is_sound();
}

#[test]
fn who_may_not_release_is_told_and_changes_nothing() {
    let licenses = Licenses::new();
    licenses.sql("UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1; UPDATE seat SET account_id = 4 WHERE pool_id = 5 AND seat_no = 1");
    let rows = licenses.rows();
    for (who, associate, owner, expected) in [
        ("gone", 1, "CONTOSO", Refusal::CallerUnknown),
        ("reader", 1, "CONTOSO", Refusal::RoleTooLow { role: Role::Reader, least: Role::Admin }),
        ("agent", 99, "NOBODY", Refusal::RoleTooLow { role: Role::Agent, least: Role::Admin }),
        ("admin", 99, "NOBODY", Refusal::AssociateUnknown { id: 99 }),
        ("west", 1, "CONTOSO", Refusal::AssociateUnknown { id: 1 }),
        ("contoso", 4, "CONTOSOWEST", Refusal::AssociateUnknown { id: 4 }),
        ("admin", 1, "NOBODY", owner_unknown("NOBODY")),
        ("elsewhere", 5, "CONTOSO", owner_unknown("CONTOSO")),
    ] {
        assert_eq!(licenses.release(who, associate, owner, ALL), Err(expected), "{who} {associate} {owner}");
    }
    assert_eq!(licenses.rows(), rows);
}

#[test]
fn somebody_at_the_command_line_may_do_all_of_it() {
    let licenses = Licenses::new();
    let before = last_event(&licenses);
    assert_eq!(line(&licenses.assign("cli", 5, "ELSEWHERE", &[SQL]).expect("assigned")), "ELSEWHERE 0/0 1*/8 0/0");
    assert_eq!(line(&licenses.release("cli", 5, "ELSEWHERE", ALL).expect("released")), "ELSEWHERE 0/0 0/8 0/0");
    assert_eq!(events(&licenses, before), "assign 8 eve by cli, release 8 eve by cli");
}
