//! Why a seat is refused or given: each rule, its facts, and what would make the call succeed. On both databases.

use seatkeeper::seats::{AssignRequest, LicenseType};
use seatkeeper::store::admin::explain::{self, Decision, ExplainRequest, RULES, Remedy};
use seatkeeper::store::admin::search;

use crate::admin_lists::{lists, read_with_totals, try_read};
use crate::licenses::*;

struct Case {
    credential: &'static str,
    username: &'static str,
    entity_id: i64,
    license_type: LicenseType,
    enroll: bool,
    rule: usize,
    remedies: &'static str,
}

const fn case(
    credential: &'static str,
    username: &'static str,
    entity_id: i64,
    rule: usize,
    remedies: &'static str,
) -> Case {
    Case { credential, username, entity_id, license_type: SQL, enroll: true, rule, remedies }
}

fn of_type(license_type: LicenseType, case: Case) -> Case {
    Case { license_type, ..case }
}

fn without_enrolling(case: Case) -> Case {
    Case { enroll: false, ..case }
}

#[test]
fn each_rule_has_its_remedies() {
    let licenses = lists();
    // Of entity 43 there is an open pool without seats; of 45 one that is yet to begin.
    licenses.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (60, 43, 'SkraftDiskImageV5', 0);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at) VALUES (61, 45, 'SqlBackup', 2, '2027-01-01T00:00:00Z');",
    );
    for case in [
        case("gone", "max", 42, 1, "activate-credential"),
        case("reader", "max", 42, 2, "change-role"),
        case("agent", "", 42, 3, "correct-request"),
        case("agent", "a\u{1}b", 42, 3, "correct-request"),
        case("agent", "max", 0, 4, "correct-request"),
        case("agent", "max", -7, 4, "correct-request"),
        case("agent", "max", 4711, 6, "choose-entity 420"),
        case("agent", "max", 9, 6, "use-credential-of choose-entity 420"),
        case("west", "max", 42, 6, "use-credential-of choose-entity 420"),
        case("agent", "max", 44, 7, "activate-entity 44 choose-entity 420"),
        without_enrolling(case("agent", "max", 420, 8, "create-account")),
        case("agent", "closed", 42, 9, "activate-account 6"),
        case("agent", "eve", 42, 9, "move-account 5 use-credential-of"),
        without_enrolling(case("agent", "eve", 42, 9, "move-account 5 use-credential-of")),
        case("agent", "bob", 42, 10, "nothing-needed release-held"),
        case("agent", "max", 45, 11, "start-pool 61 add-pool choose-entity 420"),
        of_type(EXCHANGE, case("agent", "max", 43, 11, "renew-pool 6 add-pool")),
        of_type(EXCHANGE, case("agent", "max", 42, 11, "add-pool")),
        case("agent", "max", 42, 12, "raise-pool 1->4 release-other 1 add-pool choose-entity 420"),
        of_type(DISK, case("agent", "max", 43, 12, "raise-pool 60->1 add-pool choose-entity 42")),
        case("agent", "max", 420, 12, "assign"),
        case("agent", "Contoso", 420, 12, "assign"),
    ] {
        let Case { credential, username, entity_id, license_type, enroll, rule, remedies } = case;
        let request = ExplainRequest {
            username: username.to_owned(),
            entity_id,
            license_type,
            credential: Some(credential.to_owned()),
        };
        let what = format!("{request:?}");
        let told = read_with_totals(&licenses, "cli", move |sql, admin, totals| {
            explain::explain(sql, admin, totals, &request, enroll)
        });
        let short = |remedy: &Remedy| match remedy {
            Remedy::ChooseEntity { entity_id, .. } | Remedy::ActivateEntity { entity_id } => {
                format!("{} {entity_id}", remedy.key())
            }
            Remedy::ActivateAccount { account_id } | Remedy::MoveAccount { account_id } => {
                format!("{} {account_id}", remedy.key())
            }
            Remedy::RaisePool { pool_id, seats_total } => format!("{} {pool_id}->{seats_total}", remedy.key()),
            Remedy::RenewPool { pool_id, .. }
            | Remedy::StartPool { pool_id, .. }
            | Remedy::ReleaseOther { pool_id } => {
                format!("{} {pool_id}", remedy.key())
            }
            other => other.key().to_owned(),
        };
        let found: Vec<String> = told.remedies.iter().map(short).collect();
        assert_eq!((told.rule, found.join(" ")), (Some(rule), remedies.to_owned()), "{what}: {:?}", told.decision);
        assert!(!RULES[rule - 1].is_empty() && told.remedies.iter().all(|remedy| remedy.to_string().ends_with('.')));
        assert!(told.facts.iter().all(|fact| fact.to_string().ends_with('.')), "{:?}", told.facts);
        // The store decides the same.
        let request = AssignRequest {
            username: Some(username.into()),
            provider_entity_id: i32::try_from(entity_id).ok(),
            license_type: Some(license_type),
        };
        if enroll {
            let outcome = match wait(licenses.store.assign_all(call(credential), vec![request], true)) {
                Ok(mut outcomes) => outcomes.remove(0),
                Err(refusal) => Err(refusal),
            };
            match (outcome, told.decision) {
                (Ok(seat), Some(Decision::Assigned { pool_id, .. })) => assert_eq!(seat.pool_id, pool_id, "{what}"),
                (Err(refusal), Some(Decision::Refused(told))) => assert_eq!(refusal, told, "{what}"),
                (outcome, told) => panic!("{what}: {outcome:?}, but told {told:?}"),
            }
        }
    }
}

#[test]
fn a_refusal_is_explained_by_its_id() {
    let licenses = lists();
    let explained = |who: &str, number: u32| {
        try_read(&licenses, who, move |sql, admin| {
            let totals = seatkeeper::store::admin::totals::Totals::read(sql, admin.now)?;
            let id = format!(" Err-00000000-0000-4000-8000-00000000000{number}; All seats are in use ");
            explain::of_refusal(sql, admin, &totals, &id, true)
        })
    };
    let told = explained("contoso", 1).expect("explained");
    assert_eq!(told.rule, Some(12));
    assert!(
        matches!(told.remedies.first(), Some(Remedy::RaisePool { pool_id: 1, seats_total: 4 })),
        "{:?}",
        told.remedies
    );
    assert_eq!(told.refusal.map(|refusal| refusal.id), Some(1));
    // A sign-in that failed has no decision; nor has a call that assigns nothing.
    let sign_in = explained("cli", 4).expect("explained");
    assert_eq!((sign_in.rule, sign_in.decision), (Some(1), None));
    let release = explained("cli", 7).expect("explained");
    assert_eq!((release.rule, release.decision), (None, None));
    for (who, number) in [("contoso", 3), ("contoso", 5), ("elsewhere", 1), ("cli", 9)] {
        assert!(explained(who, number).is_err(), "{who} {number}");
    }
    // The credential is above: it is not told, and the decision is made for the administrator.
    let above = explained("contoso", 2).expect("explained");
    assert_eq!((above.rule, above.refusal.and_then(|refusal| refusal.actor)), (Some(12), None));
    assert_eq!(above.request.and_then(|request| request.credential), None);
    // The world moves on.
    licenses.sql("UPDATE license_pool SET seats_total = 4 WHERE id = 1");
    assert_eq!(explained("contoso", 1).expect("explained").remedies[0].key(), "assign");
}

#[test]
fn one_field_finds_everything() {
    let licenses = lists();
    for (who, text, expected) in [
        ("cli", "contoso", "entities 42 45 420; users Contoso; credentials contoso"),
        ("cli", " CONTOSOWEST ", "entities 420"),
        ("cli", "42", "entities 42"),
        ("cli", "4", "pools 4"),
        ("cli", "#8", "pools 8"),
        ("cli", "9", "entities 9"),
        ("cli", "bo", "entities 9; users bob"),
        ("cli", "WES", "entities 420; users wes; credentials west"),
        ("west", "contoso", "entities 420"),
        ("west", "42", ""),
        ("west", "4", ""),
        ("west", "bob", ""),
        ("cli", "Err-00000000-0000-4000-8000-000000000005", "refusal 5"),
        ("contoso", "Err-00000000-0000-4000-8000-000000000005", ""),
        ("contoso", "00000000-0000-4000-8000-000000000006", "refusal 6"),
        ("cli", "%", ""),
        ("cli", "", ""),
        ("cli", "nothing like it", ""),
    ] {
        let found = read_with_totals(&licenses, who, move |sql, admin, totals| search::find(sql, admin, totals, text));
        let kind = |name: &str, rows: Vec<String>| (!rows.is_empty()).then(|| format!("{name} {}", rows.join(" ")));
        let told = [
            kind("entities", found.entities.iter().map(|row| row.id.to_string()).collect()),
            kind("users", found.users.iter().map(|row| row.username.clone()).collect()),
            kind("pools", found.pools.iter().map(|row| row.id.to_string()).collect()),
            kind("credentials", found.credentials.iter().map(|row| row.user_name.clone()).collect()),
            kind("refusal", found.refusal.iter().map(|row| row.id.to_string()).collect()),
        ];
        assert_eq!(told.into_iter().flatten().collect::<Vec<_>>().join("; "), expected, "{who}: {text}");
    }
}
