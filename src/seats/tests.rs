//! The rules as tables, and against a model.

mod model;

use super::*;
use crate::error::ErrorKind;

const NOW: &str = "2026-06-15T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// One line of a table: `fact=value` words that change a successful call, and the expected outcome.
///
/// | word | meaning |
/// |---|---|
/// | `caller=` | `none` or a role |
/// | `user=`, `entity=`, `type=` | fields of the request; `-` is missing, `''` is empty |
/// | `provider=`, `account=` | `none`, `ok`, `inactive`, `outside` |
/// | `held=` | the held seat's pool is `valid`, `endless` or `expired`, or that of `theirs`, which the caller must not see |
/// | `pools=` | comma-separated `ID:START..END:FREE` with `-` for null; `FREE` is the free seat number or `full` |
/// | `enroll=` | `no`: unknown users are not enrolled |
fn decide(words: &str) -> Result<Assignment, Refusal> {
    let mut request = AssignRequest {
        username: Some("bob".into()),
        provider_entity_id: Some(42),
        license_type: Some(LicenseType::SqlBackup),
    };
    let mut facts = Facts {
        caller: Some(Role::Agent),
        provider: Some(Entity { active: true, in_subtree: true }),
        account: None,
        held: None,
        pools: pools("1:-..-:7"),
    };
    let mut enroll = true;
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').expect("key=value");
        let (active, in_subtree) = (value != "inactive", value != "outside");
        match key {
            "caller" => facts.caller = value.parse().ok(),
            "user" => request.username = given(value).map(UserName::from),
            "entity" => request.provider_entity_id = given(value).map(|v| v.parse().expect("a number")),
            "type" => request.license_type = given(value).map(|v| v.parse().expect("a type")),
            "provider" => facts.provider = (value != "none").then_some(Entity { active, in_subtree }),
            "account" => facts.account = (value != "none").then_some(Account { id: 5, active, in_subtree }),
            "held" => {
                let expires_at = match value {
                    "valid" => Some(at("2026-06-15T12:00:01Z")),
                    "expired" => Some(at(NOW)),
                    _ => None,
                };
                facts.account = Some(Account { id: 5, active: true, in_subtree: true });
                let seat = SeatId { pool_id: 9, seat_no: 90 };
                facts.held = Some(Held { seat, expires_at, entity_id: 43, in_subtree: value != "theirs" });
            }
            "pools" => facts.pools = pools(value),
            "enroll" => enroll = value != "no",
            other => panic!("unknown word {other}"),
        }
    }
    assign(&request, &facts, enroll, at(NOW))
}

fn given(value: &str) -> Option<String> {
    match value {
        "-" => None,
        "''" => Some(String::new()),
        "long" => Some("x".repeat(NAME_CHARS_MAX + 1)),
        "longest" => Some("ü".repeat(NAME_CHARS_MAX)),
        "bell" => Some("b\u{7}b".to_owned()),
        "blank" => Some(" \u{a0}".to_owned()),
        "tab" => Some("bob\t".to_owned()),
        "latin1" => Some("b\u{fffd}b".to_owned()),
        "noncharacter" => Some("b\u{ffff}b".to_owned()),
        "padded" => Some(format!(" \u{2003}{}\u{3000} ", "x".repeat(NAME_CHARS_MAX))),
        value => Some(value.to_owned()),
    }
}

fn pools(text: &str) -> Vec<Pool> {
    let time = |t: &str| (t != "-").then(|| at(&format!("{t}T00:00:00Z")));
    text.split(',')
        .filter(|p| !p.is_empty() && *p != "none")
        .map(|pool| {
            let mut parts = pool.split(':');
            let mut part = || parts.next().expect("ID:START..END:FREE");
            let (id, (start, end), free) = (part(), part().split_once("..").expect("START..END"), part());
            Pool {
                id: id.parse().expect("an id"),
                seats_total: 100,
                starts_at: time(start),
                expires_at: time(end),
                free_seat_no: free.parse().ok(),
            }
        })
        .collect()
}

#[test]
fn refusals_come_in_their_order() {
    // Each row breaks one more rule than the one below it; the first broken rule is the answer.
    let broken = [
        ("caller=none", ErrorKind::InvalidSoapCredentials),
        ("caller=reader", ErrorKind::AccessDenied),
        ("user=-", ErrorKind::InvalidInputParameters),
        ("provider=none", ErrorKind::ObjectEntityMismatch),
        ("account=inactive", ErrorKind::ObjectEntityMismatch),
        ("held=valid", ErrorKind::AlreadyExists),
        ("pools=none", ErrorKind::NoLicensePool),
    ];
    for from in 0..broken.len() {
        // `held=` implies an account, so it is applied before `account=` can break it.
        let words: Vec<&str> = broken[from..].iter().rev().map(|(words, _)| *words).collect();
        let refusal = decide(&words.join(" ")).expect_err("refused");
        assert_eq!(ErrorKind::from(&refusal), broken[from].1, "{words:?}: {refusal}");
    }
}

#[test]
fn what_is_refused_and_what_is_said() {
    for (words, kind, says) in [
        ("caller=none", ErrorKind::InvalidSoapCredentials, "The caller is not signed in"),
        ("caller=reader", ErrorKind::AccessDenied, "role 'reader' of this credential may not do this; 'agent' may"),
        ("user=-", ErrorKind::InvalidInputParameters, "Username is missing"),
        ("user=''", ErrorKind::InvalidInputParameters, "Username is empty"),
        ("user=blank", ErrorKind::InvalidInputParameters, "Username is empty"),
        ("user=long", ErrorKind::InvalidInputParameters, "Username is longer than 128 characters"),
        ("user=bell", ErrorKind::InvalidInputParameters, "Username contains a control character"),
        ("user=tab", ErrorKind::InvalidInputParameters, "Username contains a control character"),
        (
            "user=latin1",
            ErrorKind::InvalidInputParameters,
            "Username contains U+FFFD: its bytes are not valid in the charset of the message. Send UTF-8.",
        ),
        ("user=noncharacter", ErrorKind::InvalidInputParameters, "Username contains U+FFFE or U+FFFF"),
        ("entity=-", ErrorKind::InvalidInputParameters, "LicenseProviderEntityId is missing"),
        ("entity=0", ErrorKind::InvalidInputParameters, "LicenseProviderEntityId must be 1 or more"),
        ("entity=-7", ErrorKind::InvalidInputParameters, "LicenseProviderEntityId must be 1 or more"),
        ("type=-", ErrorKind::InvalidInputParameters, "LicenseType is missing"),
        ("provider=none", ErrorKind::ObjectEntityMismatch, "Entity 42 does not exist or is not among"),
        ("provider=outside", ErrorKind::ObjectEntityMismatch, "Entity 42 does not exist or is not among"),
        ("provider=inactive", ErrorKind::ObjectEntityMismatch, "42 is not active"),
        ("account=inactive", ErrorKind::ObjectEntityMismatch, "'bob' is not active or does not belong"),
        ("account=outside", ErrorKind::ObjectEntityMismatch, "'bob' is not active or does not belong"),
        ("enroll=no", ErrorKind::ObjectEntityMismatch, "'bob' is not known"),
        ("account=outside enroll=no", ErrorKind::ObjectEntityMismatch, "'bob' is not known"),
        ("account=inactive enroll=no", ErrorKind::ObjectEntityMismatch, "'bob' is not active"),
        ("held=valid", ErrorKind::AlreadyExists, "(seat 90 of pool 9, valid until 2026-06-15T12:00:01Z)"),
        ("held=endless", ErrorKind::AlreadyExists, "(seat 90 of pool 9)"),
        (
            "held=theirs",
            ErrorKind::AlreadyExists,
            "User 'bob' already holds a SqlBackup license: it holds one from another owner. No second one is needed.",
        ),
        ("pools=none", ErrorKind::NoLicensePool, "has no SqlBackup license pool."),
        ("pools=1:2026-07-01..-:7", ErrorKind::NoLicensePool, "the next one starts at 2026-07-01T00:00:00Z"),
        ("pools=1:2026-08-01..-:7,2:2026-07-01..-:7", ErrorKind::NoLicensePool, "starts at 2026-07-01T00:00:00Z"),
        ("pools=1:-..2026-06-15:7", ErrorKind::LicenseExpired, "expired at 2026-06-15T00:00:00Z"),
        ("pools=1:-..2025-01-01:7,2:-..2026-01-01:7", ErrorKind::LicenseExpired, "expired at 2026-01-01T00:00:00Z"),
        ("pools=1:-..2025-01-01:7,2:2027-01-01..-:7", ErrorKind::LicenseExpired, "expired at 2025-01-01T00:00:00Z"),
        (
            "pools=1:-..-:full",
            ErrorKind::NoFreeSeat,
            "All 100 SqlBackup seats of provider entity 42 are in use (1 pool)",
        ),
        ("pools=1:-..-:full,2:-..-:full,3:-..2026-01-01:7", ErrorKind::NoFreeSeat, "All 200 SqlBackup seats"),
        ("held=expired pools=1:-..-:full", ErrorKind::NoFreeSeat, "All 100"),
    ] {
        let refusal = decide(words).expect_err(words);
        assert_eq!(ErrorKind::from(&refusal), kind, "{words}");
        assert!(refusal.to_string().contains(says), "{words}: {refusal}");
    }
}

#[test]
fn which_seat_is_taken() {
    let seat = |pool_id, seat_no| SeatId { pool_id, seat_no };
    for (words, expected) in [
        ("", Assignment { seat: seat(1, 7), account_id: None, give_up: None }),
        ("user=longest", Assignment { seat: seat(1, 7), account_id: None, give_up: None }),
        ("user=padded", Assignment { seat: seat(1, 7), account_id: None, give_up: None }),
        ("caller=admin account=ok", Assignment { seat: seat(1, 7), account_id: Some(5), give_up: None }),
        ("account=ok enroll=no", Assignment { seat: seat(1, 7), account_id: Some(5), give_up: None }),
        ("held=expired", Assignment { seat: seat(1, 7), account_id: Some(5), give_up: Some(seat(9, 90)) }),
        // The pool that expires first, then the one without end, then the older one.
        (
            "pools=1:-..-:1,2:-..2027-01-01:2,3:-..2026-12-01:3",
            Assignment { seat: seat(3, 3), account_id: None, give_up: None },
        ),
        (
            "pools=1:-..-:1,3:-..2026-12-01:full,2:-..2027-01-01:2",
            Assignment { seat: seat(2, 2), account_id: None, give_up: None },
        ),
        ("pools=8:-..-:1,5:-..-:2,6:-..-:full", Assignment { seat: seat(5, 2), account_id: None, give_up: None }),
        ("pools=1:2026-06-15..-:1", Assignment { seat: seat(1, 1), account_id: None, give_up: None }),
        ("pools=1:2026-07-01..2026-08-01:1,2:-..-:2", Assignment { seat: seat(2, 2), account_id: None, give_up: None }),
    ] {
        assert_eq!(decide(words), Ok(expected), "{words}");
    }
}

#[test]
fn a_holding_is_found_for_those_who_may() {
    let seat = SeatId { pool_id: 1, seat_no: 2 };
    let held = Some(seat);
    let account = |in_subtree| Some(Account { id: 5, active: false, in_subtree });
    let bob = Holding { username: Some("bob".into()), license_type: Some(LicenseType::SqlBackup) };
    let no_name = Holding { username: None, ..bob.clone() };
    let no_type = Holding { license_type: None, ..bob.clone() };
    for (holding, caller, account, held, role, expected) in [
        (&bob, Some(Role::Admin), account(true), held, Role::Admin, Ok(seat)),
        (&bob, Some(Role::Reader), account(true), held, Role::Reader, Ok(seat)),
        (&bob, None, account(true), held, Role::Reader, Err(ErrorKind::InvalidSoapCredentials)),
        (&no_name, Some(Role::Agent), account(true), held, Role::Admin, Err(ErrorKind::AccessDenied)),
        (&no_name, Some(Role::Admin), None, None, Role::Admin, Err(ErrorKind::InvalidInputParameters)),
        (&no_type, Some(Role::Admin), None, None, Role::Admin, Err(ErrorKind::InvalidInputParameters)),
        (&bob, Some(Role::Admin), None, None, Role::Admin, Err(ErrorKind::NotAssigned)),
        (&bob, Some(Role::Admin), account(false), held, Role::Admin, Err(ErrorKind::NotAssigned)),
        (&bob, Some(Role::Admin), account(true), None, Role::Admin, Err(ErrorKind::NotAssigned)),
    ] {
        let found = find(holding, &HoldingFacts { caller, account, held }, role);
        let found = found.map(|(seat, _)| seat).map_err(|r| ErrorKind::from(&r));
        assert_eq!(found, expected, "{holding:?} {caller:?} {account:?} {held:?}");
    }
}

#[test]
fn a_seat_changes_hands_under_the_rules_of_an_assignment() {
    let seat = SeatId { pool_id: 1, seat_no: 2 };
    let other = SeatId { pool_id: 8, seat_no: 80 };
    let held = |expires_at: &str| Held { seat, expires_at: Some(at(expires_at)), entity_id: 42, in_subtree: true };
    let fine = TransferFacts {
        caller: Some(Role::Admin),
        from: Some(Account { id: 5, active: false, in_subtree: true }),
        held: Some((held("2027-01-01T00:00:00Z"), Entity { active: true, in_subtree: true })),
        to: Some(Account { id: 6, active: true, in_subtree: true }),
        to_held: None,
    };
    let request =
        Transfer { from: Some("bob".into()), to: Some("amy".into()), license_type: Some(LicenseType::SqlBackup) };
    let decide = |facts: &TransferFacts, enroll| {
        let decided = transfer(&request, facts, enroll, at(NOW)).map_err(|refusal| ErrorKind::from(&refusal));
        decided.map(|(assignment, from)| {
            assert_eq!(Some(from), facts.from.map(|account| account.id));
            assignment
        })
    };
    let taken = |account_id, give_up| Ok(Assignment { seat, account_id, give_up });
    assert_eq!(decide(&fine, true), taken(Some(6), None));
    assert_eq!(decide(&TransferFacts { to: None, ..fine.clone() }, true), taken(None, None));
    let expired = Held { seat: other, ..held("2020-01-01T00:00:00Z") };
    assert_eq!(decide(&TransferFacts { to_held: Some(expired), ..fine.clone() }, true), taken(Some(6), Some(other)));

    let valid = Held { expires_at: None, ..expired };
    let theirs = Some(Account { id: 5, active: true, in_subtree: false });
    let provider = |active, in_subtree| TransferFacts {
        held: Some((held("2027-01-01T00:00:00Z"), Entity { active, in_subtree })),
        ..fine.clone()
    };
    let ended = Some((held("2026-01-01T00:00:00Z"), Entity { active: true, in_subtree: true }));
    for (facts, enroll, expected) in [
        (TransferFacts { caller: None, ..fine.clone() }, true, ErrorKind::InvalidSoapCredentials),
        (TransferFacts { caller: Some(Role::Agent), ..fine.clone() }, true, ErrorKind::AccessDenied),
        (TransferFacts { from: None, held: None, ..fine.clone() }, true, ErrorKind::NotAssigned),
        (TransferFacts { from: theirs, ..fine.clone() }, true, ErrorKind::NotAssigned),
        (TransferFacts { held: None, ..fine.clone() }, true, ErrorKind::NotAssigned),
        (provider(true, false), true, ErrorKind::ObjectEntityMismatch),
        (provider(false, true), true, ErrorKind::ObjectEntityMismatch),
        (TransferFacts { to: theirs, ..fine.clone() }, true, ErrorKind::ObjectEntityMismatch),
        (TransferFacts { to: None, ..fine.clone() }, false, ErrorKind::ObjectEntityMismatch),
        (TransferFacts { to_held: Some(valid), ..fine.clone() }, true, ErrorKind::AlreadyExists),
        (TransferFacts { held: ended, ..fine.clone() }, true, ErrorKind::LicenseExpired),
    ] {
        assert_eq!(decide(&facts, enroll), Err(expected), "{facts:?}");
    }
}

/// No refusal shows facts about another owner's seat, although the decision uses them.
#[test]
fn what_others_own_is_in_no_refusal() {
    let theirs = Held {
        seat: SeatId { pool_id: 77_777, seat_no: 88_888 },
        expires_at: Some(at("2031-03-07T00:00:00Z")),
        entity_id: 99_999,
        in_subtree: false,
    };
    let hidden = Entity { active: true, in_subtree: false };
    let bob = Some(Account { id: 66_666, active: true, in_subtree: true });
    let mine = Some(Entity { active: true, in_subtree: true });
    let (username, license_type) = (Some(UserName::from("bob")), Some(LicenseType::SqlBackup));
    let request = AssignRequest { username: username.clone(), provider_entity_id: Some(42), license_type };
    let facts =
        Facts { caller: Some(Role::Agent), provider: mine, account: bob, held: Some(theirs), pools: pools("1:-..-:7") };
    let held = assign(&request, &facts, true, at(NOW)).expect_err("it is held");

    let handed = Transfer { from: username.clone(), to: Some("amy".into()), license_type };
    let facts = TransferFacts { caller: Some(Role::Admin), from: bob, ..TransferFacts::default() };
    let from_theirs = TransferFacts { held: Some((theirs, hidden)), ..facts.clone() };
    let from_theirs = transfer(&handed, &from_theirs, true, at(NOW)).expect_err("it is theirs");
    let own = Held { seat: SeatId { pool_id: 1, seat_no: 1 }, entity_id: 42, in_subtree: true, expires_at: None };
    let to_held = TransferFacts { held: mine.map(|mine| (own, mine)), to: bob, to_held: Some(theirs), ..facts };
    let to_held = transfer(&handed, &to_held, true, at(NOW)).expect_err("it is held");
    for refusal in [held, from_theirs, to_held] {
        let said = format!("{refusal} {refusal:?}");
        for mark in ["77777", "88888", "2031", "99999", "66666"] {
            assert!(!said.contains(mark), "{said}");
        }
    }
}

#[test]
fn blanks_at_the_ends_are_no_part_of_a_name() {
    let blanks: String =
        (0..=0x10FFFF).filter_map(char::from_u32).filter(|c| c.is_whitespace() && !c.is_control()).collect();
    assert_eq!(blanks.chars().count(), 19, "as many as the schema has");
    for (sent, name) in [
        ("bob", "bob"),
        (" bob", "bob"),
        ("bob  ", "bob"),
        ("bob smith ", "bob smith"),
        ("\u{a0}bob\u{3000}", "bob"),
        (&format!("{blanks}bob{blanks}"), "bob"),
        ("bob\t", "bob\t"),
        ("bob\n ", "bob\n"),
        ("\u{200b}bob\u{feff}", "\u{200b}bob\u{feff}"),
        ("  ", ""),
        ("", ""),
    ] {
        assert_eq!(normal_name(sent), name, "{sent:?}");
        assert_eq!((UserName::from(sent).as_str(), UserName::from(sent.to_owned()).as_str()), (name, name));
    }
}

/// The names are those of the vendor and of license tools; the order is that of the numbers in a license.
#[test]
fn types_and_roles_have_one_name_each() {
    let names =
        [("SkraftDiskImageV5", "SKRAFTDISKIMAGEV5"), ("SqlBackup", "SQLBACKUP"), ("ExchangeBackup", "EXCHANGEBACKUP")];
    for ((at, (name, module)), license_type) in names.into_iter().enumerate().zip(LicenseType::ALL) {
        assert_eq!((license_type.name(), license_type.to_string().as_str()), (name, name));
        assert_eq!((license_type.module_name(), license_type.index()), (module, at));
        assert_eq!(name.parse(), Ok(license_type));
        assert_eq!(LicenseType::of_module(&format!(" {} ", module.to_lowercase())), Some(license_type));
    }
    for unknown in ["", "sqlbackup", "SQLBACKUP", "SqlBackup ", "Other"] {
        let refused = unknown.parse::<LicenseType>().expect_err(unknown);
        assert!(refused.contains("there are SkraftDiskImageV5, SqlBackup, ExchangeBackup"), "{refused}");
    }
    assert_eq!((LicenseType::of_module(""), LicenseType::of_module("SQL")), (None, None));
    for (name, role) in [("reader", Role::Reader), ("agent", Role::Agent), ("admin", Role::Admin)] {
        assert_eq!((role.name(), name.parse()), (name, Ok(role)));
    }
    assert!("Admin".parse::<Role>().is_err());
}

/// Which roles pass each check of a role.
#[test]
fn a_role_may_do_what_those_before_it_may() {
    use Role::{Admin, Agent, Reader};
    for (least, may) in [(Reader, [true, true, true]), (Agent, [false, true, true]), (Admin, [false, false, true])] {
        for (role, may) in [Reader, Agent, Admin].into_iter().zip(may) {
            let expected = if may { Ok(()) } else { Err(Refusal::RoleTooLow { role, least }) };
            assert_eq!(check_role(Some(role), least), expected);
        }
        assert_eq!(check_role(None, least), Err(Refusal::CallerUnknown));
    }
}

#[test]
fn one_call_assigns_as_many_as_it_may() {
    let agent = Some(Role::Agent);
    for (caller, items, expected) in [
        (agent, 1, Ok(())),
        (agent, ASSIGNMENTS_MAX, Ok(())),
        (Some(Role::Admin), 1, Ok(())),
        (agent, ASSIGNMENTS_MAX + 1, Err(Refusal::TooMany { field: "Items", found: 1001, max: 1000 })),
        (agent, 0, Err(Refusal::field("Items", FieldFault::NoItems))),
        (Some(Role::Reader), 0, Err(Refusal::RoleTooLow { role: Role::Reader, least: Role::Agent })),
        (None, 1, Err(Refusal::CallerUnknown)),
    ] {
        assert_eq!(assign_all(caller, items), expected, "{caller:?} {items}");
    }
}

#[test]
fn callers_look_at_what_is_theirs() {
    let entity = |active, in_subtree| Some(Entity { active, in_subtree });
    let field = "EntityId";
    let unknown = Refusal::EntityUnknown { field, entity_id: 42 };
    let reader = Some(Role::Reader);
    for (caller, entity_id, entity, expected) in [
        (reader, Some(42), entity(true, true), Ok(42)),
        (reader, Some(42), entity(false, true), Ok(42)),
        (reader, Some(1), entity(true, true), Ok(1)),
        (reader, Some(42), entity(true, false), Err(unknown.clone())),
        (reader, Some(42), None, Err(unknown)),
        (reader, Some(0), entity(true, true), Err(Refusal::field(field, FieldFault::NotPositive))),
        (reader, None, None, Err(Refusal::field(field, FieldFault::Missing))),
        (None, Some(42), entity(true, true), Err(Refusal::CallerUnknown)),
    ] {
        assert_eq!(look(caller, field, entity_id, entity), expected, "{caller:?} {entity_id:?} {entity:?}");
    }
}

/// The store asks this first, so that it need not read the other facts.
#[test]
fn what_can_be_used_is_active_and_of_the_caller() {
    for (active, in_subtree) in [(true, true), (true, false), (false, true), (false, false)] {
        assert_eq!(Entity { active, in_subtree }.is_usable(), active && in_subtree);
        assert_eq!(Account { id: 5, active, in_subtree }.is_usable(), active && in_subtree);
    }
    let held = |expires_at: Option<&str>| {
        let seat = SeatId { pool_id: 9, seat_no: 90 };
        Held { seat, expires_at: expires_at.map(at), entity_id: 43, in_subtree: true }.has_expired(at(NOW))
    };
    assert_eq!([held(None), held(Some(NOW)), held(Some("2026-06-15T12:00:00.001Z"))], [false, true, false]);
}

/// Sentences that differ by their subject, or by a number.
#[test]
fn refusals_say_what_they_found() {
    let license_type = LicenseType::SqlBackup;
    let full = |seats_total, pools| Refusal::NoFreeSeat { provider_entity_id: 42, license_type, seats_total, pools };
    let small = |in_use| Refusal::LicenseTooSmall { owner_name: "ACME".to_owned(), license_type, in_use, seats: 0 };
    let in_use = |in_use| Refusal::LicenseInUse { owner_name: "ACME".to_owned(), in_use };
    let field = Refusal::field;
    let named = |fault| Refusal::NameInvalid { header: "Idempotency-Key", fault };
    for (refusal, says) in [
        (full(0, 1), "Provider entity 42 has no SqlBackup seats (1 pool). Add seats to a pool."),
        (
            full(1, 1),
            "The only SqlBackup seat of provider entity 42 is in use (1 pool). Release a seat or add seats to a pool.",
        ),
        (
            full(2, 2),
            "All 2 SqlBackup seats of provider entity 42 are in use (2 pools). Release a seat or add seats to a pool.",
        ),
        (small(1), "1 SqlBackup seat of ACME is in use and the new license has 0. Release 1 first."),
        (small(2), "2 SqlBackup seats of ACME are in use and the new license has 0. Release 2 first."),
        (
            in_use(1),
            "1 of its seats is taken, including those of pools that have expired or not started. Release it first.",
        ),
        (
            in_use(2),
            "2 of its seats are taken, including those of pools that have expired or not started. Release them first.",
        ),
        (Refusal::TooManyOwners { max: 1 }, "more than 1 owner."),
        (Refusal::TooManyOwners { max: 0 }, "more than 0 owners."),
        (field("AssociateId", FieldFault::NotPositive), "AssociateId must be 1 or more. Send the id of a user."),
        (
            field("EntityId", FieldFault::NotPositive),
            "EntityId must be 1 or more. Send the number of a provider entity.",
        ),
        (field("ModuleLicense", FieldFault::Unnamed), "ModuleLicense holds no ModuleName."),
        (field("LicenseInfo", FieldFault::Unnamed), "LicenseInfo holds no OwnerName."),
        (field("AssociateId", FieldFault::Negative), "AssociateId must not be negative."),
        (field("Items", FieldFault::NoItems), "Items is missing or has no items."),
        (named(NameFault::Empty), "Idempotency-Key is empty. Send a name for the call"),
        (named(NameFault::TooLong), "Idempotency-Key has more than 255 characters."),
        (named(NameFault::Several), "Idempotency-Key names the call several times."),
        (Refusal::OwnerUnknown { owner_name: "A\u{7}C\nME".to_owned() }, "Owner 'ACME' does not exist"),
        (Refusal::ModuleUnknown { name: "x".repeat(65) }, &format!("There is no module '{}';", "x".repeat(64))),
    ] {
        assert!(refusal.to_string().contains(says), "{refusal}");
    }
}
