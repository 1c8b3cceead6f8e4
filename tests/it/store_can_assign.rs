//! CanAssign says exactly whether the next assignment would take a seat: both are asked of random databases.

use std::collections::{BTreeMap, BTreeSet};

use seatkeeper::error::ErrorKind;
use seatkeeper::seats::LicenseType;
use seatkeeper::store::Owners;

use crate::harness::Session;
use crate::kill::{Random, number_from};
use crate::licenses::*;

const CALLERS: [&str; 6] = ["reader", "agent", "admin", "contoso", "elsewhere", "cli"];
const OWNERS: [(i64, &str); 6] =
    [(1, "NORTHWIND"), (42, "CONTOSO"), (43, "FABRIKAM"), (420, "CONTOSOWEST"), (44, "CLOSED"), (9, "ELSEWHERE")];
/// Around the moment of the calls, [`NOW`].
const TIMES: [&str; 5] =
    ["NULL", "'2026-06-01T11:59:59Z'", "'2026-06-01T12:00:00Z'", "'2026-06-01T12:00:01Z'", "'2020-01-01T00:00:00Z'"];

fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[random.below(from.len() as u64) as usize]
}

/// What an administrator may do meanwhile; what the schema refuses is not done.
fn change(random: &mut Random) -> String {
    let (pool, account) = (random.between(1, 20), random.between(1, 7));
    let entity = pick(random, &OWNERS).0;
    match random.below(12) {
        0..4 => format!(
            "UPDATE seat SET account_id = {account} WHERE account_id IS NULL AND pool_id = {pool}
                AND seat_no = (SELECT min(seat_no) FROM seat WHERE account_id IS NULL AND pool_id = {pool})"
        ),
        4 => format!("UPDATE seat SET account_id = NULL WHERE account_id = {account}"),
        5 => format!("UPDATE license_pool SET seats_total = {} WHERE id = {pool}", random.below(3)),
        6 => format!(
            "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES ({pool}, {entity}, '{}', {})",
            pick(random, &LicenseType::ALL),
            random.below(3)
        ),
        7 => format!("UPDATE license_pool SET starts_at = {} WHERE id = {pool}", pick(random, &TIMES)),
        8 => format!("UPDATE license_pool SET expires_at = {} WHERE id = {pool}", pick(random, &TIMES)),
        9 => format!("UPDATE account SET active = {} WHERE id = {account}", random.below(3).min(1)),
        10 => format!("UPDATE account SET entity_id = {entity} WHERE id = {account}"),
        _ => format!("UPDATE entity SET active = {} WHERE id = {entity}", random.below(4).min(1)),
    }
}

/// `SEATKEEPER_SNAPSHOTS=10000` for a long run; `SEATKEEPER_SEED` to see one again.
#[test]
fn what_can_be_assigned_is_what_an_assignment_takes() {
    let snapshots = number_from("SEATKEEPER_SNAPSHOTS").unwrap_or(150);
    let mut random = Random::from_seed();
    let licenses = Licenses::new();
    let connection = licenses.database().session();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for snapshot in 0..snapshots {
        let changes: Vec<String> = (0..random.between(1, 12)).map(|_| change(&mut random)).collect();
        changes.iter().for_each(|sql| _ = connection.sql(sql));
        let mut asked = BTreeSet::new();
        for _ in 0..24 {
            let (who, (entity, owner)) = (*pick(&mut random, &CALLERS), *pick(&mut random, &OWNERS));
            let (associate, license_type) = (random.between(1, 8) as i32, *pick(&mut random, &LicenseType::ALL));
            if asked.insert((who, owner, associate, license_type.name())) {
                let outcome = compare(&licenses, &connection, who, (entity, owner), associate, license_type);
                *seen.entry(outcome).or_default() += 1;
            }
        }
        if snapshot % 16 == 0 {
            licenses.is_sound();
        }
    }
    for outcome in [
        "Success",
        "held of this owner",
        ErrorKind::AlreadyExists.code(),
        ErrorKind::NoFreeSeat.code(),
        ErrorKind::LicenseExpired.code(),
        ErrorKind::NoLicensePool.code(),
        ErrorKind::ObjectEntityMismatch.code(),
        ErrorKind::AccessDenied.code(),
    ] {
        assert!(seen.contains_key(outcome), "{outcome} is not among {seen:?}");
    }
}

/// Compares CanAssign with what an assignment then does.
fn compare(
    licenses: &Licenses,
    connection: &Session,
    who: &str,
    (entity, owner): (i64, &str),
    associate: i32,
    license_type: LicenseType,
) -> &'static str {
    let context = || {
        let rows =
            licenses.rows().into_iter().filter(|row| !row.starts_with("audit_event") && !row.starts_with("credential"));
        format!("{who}, {owner}, associate {associate}, {license_type}\n{}", rows.collect::<Vec<_>>().join("\n"))
    };
    let told = |owners| {
        let owners = licenses.owners(who, owners, Some(associate)).unwrap_or_default();
        owners.into_iter().find(|found| found.name == owner).map(|found| found.can_assign[license_type.index()])
    };
    let by_name = told(named(owner)).unwrap_or(false);
    // The list for the user need not have this owner.
    if let Some(of_user) = told(Owners::OfAssociate) {
        assert_eq!(of_user, by_name, "{}", context());
    }
    if let Some(of_all) = told(Owners::All) {
        assert_eq!(of_all, by_name, "{}", context());
    }
    let count = |query: &str| -> i64 { connection.value(query) };
    let assignments =
        || count(&format!("SELECT count(*) FROM audit_event WHERE action = 'assign' AND account_id = {associate}"));
    let held = count(&format!(
        "SELECT count(*) FROM seat JOIN license_pool ON id = pool_id WHERE account_id = {associate}
            AND seat.license_type = '{license_type}' AND entity_id = {entity} AND (expires_at IS NULL OR expires_at > '{NOW}')"
    )) > 0;
    let before = assignments();
    let outcome = licenses.assign(who, associate, owner, &[license_type]);
    let taken = assignments() - before;
    assert_eq!(taken, i64::from(by_name), "{}\n{outcome:?}", context());
    assert!(!(by_name && held), "{}", context());
    match outcome {
        Ok(after) => {
            let at = license_type.index();
            assert!(!after.can_assign[at] && (after.held[at] || held), "{}", context());
            if taken == 1 { "Success" } else { "held of this owner" }
        }
        Err(refusal) => ErrorKind::from(&refusal).code(),
    }
}
