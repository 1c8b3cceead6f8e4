use super::*;

fn terms(seats: PerType<i64>) -> Terms {
    Terms {
        company_name: "Contoso".to_owned(),
        serial_nr: Some("1010000014".to_owned()),
        dates: Dates::default(),
        seats,
    }
}

fn owner() -> Owner {
    Owner {
        entity_id: 42,
        active: true,
        name: "CONTOSO".to_owned(),
        description: None,
        shop_url: None,
        current: terms([10, 5, 7]),
        offered: None,
        in_use: [3, 5, 0],
        can_assign: [false; 3],
        held: [false; 3],
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

const NOW: &str = "2026-06-01T00:00:00Z";

/// The example: 10 seats, 3 in use; one more in use; 12 offered; 3 offered.
#[test]
fn numbers() {
    let of = |in_use: i64, offered: Option<i64>| {
        let mut owner = owner();
        owner.in_use[0] = in_use;
        owner.offered = offered.map(|n| terms([n, 5, 7]));
        let n = owner.numbers(LicenseType::SkraftDiskImageV5, true);
        (
            [n.in_use, n.free, n.added, n.new_total, n.new_free, n.total],
            owner.status(at(NOW)).0,
            owner.obstacle(at(NOW)).is_none(),
        )
    };
    assert_eq!(of(3, None), ([3, 7, 0, 10, 7, 10], Status::Ok, true));
    assert_eq!(of(4, None), ([4, 6, 0, 10, 6, 10], Status::Ok, true));
    assert_eq!(of(4, Some(12)), ([4, 6, 2, 12, 8, 10], Status::NewLicenseAvailable, true));
    assert_eq!(of(4, Some(3)), ([4, 6, -7, 3, -1, 10], Status::ProblemWithLicense, false));
}

/// Each line changes the owner; the first line that applies gives the status.
#[test]
fn the_first_status_that_applies_is_told() {
    type Change = fn(&mut Owner);
    let changes: [(Change, Status); 7] = [
        (
            |o| o.offered.get_or_insert(o.current.clone()).dates.grace = Some(at("2026-05-31T23:59:59Z")),
            Status::ProblemWithLicense,
        ),
        (|o| o.offered.get_or_insert(o.current.clone()).seats[1] = 4, Status::ProblemWithLicense),
        (|o| o.offered.get_or_insert(o.current.clone()).company_name.push_str(" Ltd"), Status::NewCompanyNameAvailable),
        (|o| o.offered.get_or_insert(o.current.clone()).serial_nr = None, Status::NewSerialAvailable),
        (|o| o.offered.get_or_insert(o.current.clone()).dates.next_check = Some(at(NOW)), Status::NewLicenseAvailable),
        (|o| o.shop_url = Some("https://shop.example".to_owned()), Status::Ok),
        (|_| {}, Status::Ok),
    ];
    for first in 0..changes.len() {
        let mut owner = owner();
        changes[first..].iter().for_each(|(change, _)| change(&mut owner));
        assert_eq!(owner.status(at(NOW)).0, changes[first].1, "{first}");
    }
    let mut owner = owner();
    owner.current.dates.admin_warning = Some(at(NOW));
    owner.current.dates.expires = Some(at("2026-07-01T00:00:00Z"));
    let (status, text) = owner.status(at(NOW));
    assert_eq!(status, Status::UseCustomMessage);
    assert_eq!(text, "The license of CONTOSO expires at 2026-07-01T00:00:00Z. Renew it with your supplier.");
    assert_eq!(owner.status(at("2026-05-31T23:59:59Z")).0, Status::Ok, "not yet");
    owner.shop_url = Some("https://shop.example".to_owned());
    assert_eq!(owner.status(at(NOW)).0, Status::UseCustomMessageAndUrl);
}

#[test]
fn a_warning_says_what_ends_when() {
    let (past, now, later, last) =
        (Some("2026-05-01T00:00:00Z"), Some(NOW), Some("2026-07-01T00:00:00Z"), Some("2026-08-01T00:00:00Z"));
    for (expires, grace, says) in [
        (None, None, "needs attention since 2026-06-01T00:00:00Z"),
        (None, last, "ends at 2026-08-01T00:00:00Z"),
        (later, None, "expires at 2026-07-01T00:00:00Z"),
        (later, last, "expires at 2026-07-01T00:00:00Z"),
        (now, None, "expired at 2026-06-01T00:00:00Z"),
        (past, last, "expired at 2026-05-01T00:00:00Z, and ends at 2026-08-01T00:00:00Z"),
        (now, last, "expired at 2026-06-01T00:00:00Z, and ends at 2026-08-01T00:00:00Z"),
    ] {
        let mut owner = owner();
        let warning = expires.filter(|at| *at < NOW).unwrap_or(NOW);
        owner.current.dates = Dates {
            admin_warning: Some(at(warning)),
            expires: expires.map(at),
            grace: grace.map(at),
            ..Dates::default()
        };
        for (shop_url, renew) in [
            (None, "Renew it with your supplier."),
            (Some(""), "Renew it with your supplier."),
            (Some("https://shop.example"), "Renew it in the shop."),
        ] {
            owner.shop_url = shop_url.map(str::to_owned);
            assert_eq!(owner.status(at(NOW)).1, format!("The license of CONTOSO {says}. {renew}"));
            assert_eq!(owner.shop_url(), shop_url.filter(|url| !url.is_empty()));
        }
    }
}

#[test]
fn people_are_shown_the_description_or_the_company() {
    let mut owner = owner();
    assert_eq!((owner.description(), owner.shop_url()), ("Contoso", None));
    owner.description = Some("Contoso of Oslo".to_owned());
    assert_eq!(owner.description(), "Contoso of Oslo");
}

#[test]
fn numbers_with_and_without_what_is_offered() {
    let mut owner = owner();
    owner.offered = Some(terms([20, 3, 7]));
    let of = |with_new| LicenseType::ALL.map(|license_type| owner.numbers(license_type, with_new));
    let numbers = |[in_use, free, added, new_total, new_free, total]: [i64; 6]| Numbers {
        in_use,
        free,
        added,
        new_total,
        new_free,
        total,
    };
    assert_eq!(of(true), [[3, 7, 10, 20, 17, 10], [5, 0, -2, 3, -2, 5], [0, 7, 0, 7, 7, 7]].map(numbers));
    assert_eq!(of(false), [[3, 7, 0, 10, 7, 10], [5, 0, 0, 5, 0, 5], [0, 7, 0, 7, 7, 7]].map(numbers));
}

#[test]
fn what_can_be_activated_has_its_dates_in_order() {
    for (warning, expires, grace, ordered) in [
        (None, None, None, true),
        (Some("2027-01-01T00:00:00Z"), Some("2027-01-01T00:00:00Z"), Some("2027-01-01T00:00:00Z"), true),
        (Some("2027-01-02T00:00:00Z"), Some("2027-01-01T00:00:00Z"), None, false),
        (None, Some("2027-01-02T00:00:00Z"), Some("2027-01-01T00:00:00Z"), false),
        (Some("2027-01-02T00:00:00Z"), None, Some("2027-01-01T00:00:00Z"), false),
        (Some("2027-01-01T00:00:00Z"), Some("2027-01-02T00:00:00Z"), Some("2027-01-03T00:00:00Z"), true),
    ] {
        let mut owner = owner();
        owner.current.dates = Dates {
            admin_warning: warning.map(at),
            expires: expires.map(at),
            grace: grace.map(at),
            ..Dates::default()
        };
        assert_eq!(owner.obstacle(at(NOW)).is_none(), ordered, "{warning:?} {expires:?} {grace:?}");
    }
}

#[test]
fn nobody_can_present_more_than_is_granted() {
    let granted = Presented {
        owner_name: Some("CONTOSO".to_owned()),
        company_name: Some("Contoso".to_owned()),
        serial_nr: Some("1010000014".to_owned()),
        owner_description: Some("Contoso".to_owned()),
        license_url: Some(String::new()),
        dates: PresentedDates { grace: Some(None), ..PresentedDates::default() },
        modules: [("SKRAFTDISKIMAGEV5", 10), ("SQLBACKUP", 5), ("EXCHANGEBACKUP", 7)]
            .map(|(n, s)| (n.to_owned(), s))
            .into(),
    };
    assert_eq!(owner().accept(&granted, at(NOW)), Ok(()));
    type Change = fn(&mut Presented);
    // Members that were not sent are not compared.
    assert_eq!(owner().accept(&Presented::default(), at(NOW)), Err(not_granted("ModuleLicenses")));
    let modules_only = Presented { modules: granted.modules.clone(), ..Presented::default() };
    assert_eq!(owner().accept(&modules_only, at(NOW)), Ok(()));
    let changes: [(Change, &str); 10] = [
        (|p| p.modules[0].1 = 11, "ModuleLicenses"),
        (|p| drop(p.modules.pop()), "ModuleLicenses"),
        (|p| p.modules.push(("SQLBACKUP".to_owned(), 5)), "ModuleLicenses"),
        (|p| p.modules[1].0 = "OTHER".to_owned(), "ModuleLicenses"),
        (|p| p.company_name = Some("contoso".to_owned()), "CompanyName"),
        (|p| p.serial_nr = Some(String::new()), "SerialNr"),
        (|p| p.owner_description = Some("Fabrikam".to_owned()), "OwnerDescription"),
        (|p| p.license_url = Some("https://shop.example".to_owned()), "LicenseUrl"),
        (|p| p.dates.grace = Some(Some(at(NOW))), "GraceDate"),
        (|p| p.dates.expires = Some(Some(at(NOW))), "ExpiryDate"),
    ];
    for (change, what) in changes {
        let mut presented = granted.clone();
        change(&mut presented);
        assert_eq!(owner().accept(&presented, at(NOW)), Err(not_granted(what)));
    }
}

fn not_granted(differs: &'static str) -> Refusal {
    Refusal::LicenseNotGranted { owner_name: "CONTOSO".to_owned(), differs }
}

/// A date must be the granted one. 1 January 1970, up to 14 hours before and after it in UTC, means no date too.
#[test]
fn dates_are_presented_as_they_are_granted() {
    let day = Some("2027-01-01T00:00:00Z");
    for (granted, sent, same) in [
        (None, None, true),
        (day, day, true),
        (day, Some("2027-01-01T00:00:01Z"), false),
        (day, None, false),
        (None, day, false),
        (Some("1970-01-01T00:00:00Z"), None, true),
        (Some("1970-01-01T14:00:00Z"), None, true),
        (Some("1969-12-31T10:00:00Z"), None, true),
        (Some("1970-01-01T14:00:01Z"), None, false),
        (Some("1969-12-31T09:59:59Z"), None, false),
    ] {
        let mut owner = owner();
        owner.current.dates.maintenance = granted.map(at);
        let dates = PresentedDates { maintenance: Some(sent.map(at)), ..PresentedDates::default() };
        let modules = LicenseType::ALL.map(|t| (t.module_name().to_owned(), owner.current.seats[t.index()] as i32));
        let presented = Presented { dates, modules: modules.into(), ..Presented::default() };
        let expected = if same { Ok(()) } else { Err(not_granted("MaintenanceDate")) };
        assert_eq!(owner.accept(&presented, at(NOW)), expected, "{granted:?} {sent:?}");
    }
}

/// A license that matches the offer may still not be activated.
#[test]
fn what_is_granted_has_ended_when_its_grace_has() {
    let mut owner = owner();
    owner.current.dates.grace = Some(at(NOW));
    let modules =
        vec![("SKRAFTDISKIMAGEV5".to_owned(), 10), ("SQLBACKUP".to_owned(), 5), ("EXCHANGEBACKUP".to_owned(), 7)];
    let presented = Presented { modules, ..Presented::default() };
    let ended = Refusal::LicenseEnded { owner_name: "CONTOSO".to_owned(), ended_at: at(NOW) };
    assert_eq!(owner.accept(&presented, at(NOW)), Err(ended));
    assert_eq!(owner.accept(&presented, at("2026-05-31T23:59:59Z")), Ok(()));
}

#[test]
fn modules_without_seats_may_be_left_out() {
    let mut owner = owner();
    owner.current = terms([10, 0, 0]);
    owner.in_use = [0; 3];
    let module = |name: &str, number| (name.to_owned(), number);
    for (modules, same) in [
        (vec![module("SKRAFTDISKIMAGEV5", 10)], true),
        (vec![module("SKRAFTDISKIMAGEV5", 10), module("SQLBACKUP", 0)], true),
        (vec![module("SQLBACKUP", 0)], false),
        (vec![module("SKRAFTDISKIMAGEV5", 10), module("SQLBACKUP", 0), module("SQLBACKUP", 0)], false),
    ] {
        let presented = Presented { modules, ..Presented::default() };
        assert_eq!(owner.accept(&presented, at(NOW)).is_ok(), same, "{presented:?}");
    }
}

#[test]
fn an_activation_changes_the_pools_of_each_type() {
    let pool = |id, license_type, seats_total, seats_in_use| OpenPool {
        id,
        license_type,
        seats_total,
        seats_in_use,
        expires_at: None,
    };
    let pools = [
        pool(1, LicenseType::SkraftDiskImageV5, 10, 3),
        pool(2, LicenseType::SqlBackup, 5, 5),
        pool(3, LicenseType::ExchangeBackup, 7, 0),
    ];
    let mut owner = owner();
    assert_eq!(owner.plan(&pools), Ok(None), "nothing is offered");
    for (seats, expected) in [
        ([10, 5, 7], Ok(Some(vec![]))),
        (
            [12, 5, 6],
            Ok(Some(vec![
                PoolChange::Resize { pool_id: 1, seats_total: 12 },
                PoolChange::Resize { pool_id: 3, seats_total: 6 },
            ])),
        ),
        (
            [10, 4, 7],
            Err(Refusal::LicenseTooSmall {
                owner_name: "CONTOSO".to_owned(),
                license_type: LicenseType::SqlBackup,
                in_use: 5,
                seats: 4,
            }),
        ),
    ] {
        owner.offered = Some(terms(seats));
        assert_eq!(owner.plan(&pools), expected, "{seats:?}");
    }
    owner.offered = Some(terms([10, 5, 7]));
    let created = PoolChange::Create { license_type: LicenseType::ExchangeBackup, seats_total: 7 };
    assert_eq!(owner.plan(&pools[..2]), Ok(Some(vec![created])));
}

#[test]
fn an_offer_is_there_and_can_be_activated() {
    let offered = |owners: &[Owner]| offered_to(owners, "Contoso", "1010000014", at(NOW));
    let (company_name, serial_nr) = ("Contoso".to_owned(), "1010000014".to_owned());
    assert_eq!(offered(&[]), Err(Refusal::NothingOffered { company_name, serial_nr }));
    assert_eq!(offered(&[owner(), owner()]), Ok(()));
    let mut ended = owner();
    ended.current.dates.grace = Some(at(NOW));
    let refusal = Refusal::LicenseEnded { owner_name: "CONTOSO".to_owned(), ended_at: at(NOW) };
    assert_eq!(offered(&[owner(), ended]), Err(refusal));
}

#[test]
fn a_license_in_use_is_not_removed() {
    assert_eq!(remove(" contoso ", 0), Ok(()));
    for in_use in [1, 2] {
        assert_eq!(
            remove(" contoso ", in_use),
            Err(Refusal::LicenseInUse { owner_name: "CONTOSO".to_owned(), in_use })
        );
    }
}

#[test]
fn a_field_is_filled_by_more_than_blanks() {
    assert_eq!(filled("OwnerName", " CONTOSO\t"), Ok("CONTOSO"));
    for empty in ["", " \t\n"] {
        assert_eq!(filled("OwnerName", empty), Err(Refusal::field("OwnerName", FieldFault::Empty)));
    }
}

#[test]
fn one_answer_holds_as_many_owners_as_it_may() {
    assert_eq!((check_owners(0), check_owners(OWNERS_MAX)), (Ok(()), Ok(())));
    for found in [OWNERS_MAX + 1, OWNERS_MAX + 2] {
        assert_eq!(check_owners(found), Err(Refusal::TooManyOwners { max: OWNERS_MAX }));
    }
}

#[test]
fn a_module_that_is_held_is_not_taken_again() {
    let seat = crate::seats::SeatId { pool_id: 1, seat_no: 2 };
    let taken = Assignment { seat, account_id: Some(5), give_up: None };
    let license_type = LicenseType::SqlBackup;
    let held = || Refusal::AlreadyAssigned { username: "bob".to_owned(), license_type, held: None };
    for (decided, holds_one, expected) in [
        (Ok(taken), false, Ok(Some(taken))),
        (Err(held()), true, Ok(None)),
        // A seat of another owner.
        (Err(held()), false, Err(held())),
        (Err(Refusal::CallerUnknown), true, Err(Refusal::CallerUnknown)),
    ] {
        assert_eq!(take_module(decided, holds_one), expected);
    }
}

#[test]
fn each_type_is_taken_once() {
    use LicenseType::{ExchangeBackup, SqlBackup};
    let once = |types: &[LicenseType]| each_once(types).collect::<Vec<_>>();
    assert_eq!(once(&[]), []);
    assert_eq!(once(&[SqlBackup, ExchangeBackup, SqlBackup, SqlBackup]), [SqlBackup, ExchangeBackup]);
}

#[test]
fn pools_follow_the_number_that_is_granted() {
    use PoolChange::{Create, Resize};
    let pool = |id, seats_total, seats_in_use, expires_at: Option<&str>| OpenPool {
        id,
        license_type: LicenseType::SqlBackup,
        seats_total,
        seats_in_use,
        expires_at: expires_at.map(at),
    };
    let (soon, late) = (Some("2027-01-01T00:00:00Z"), Some("2028-01-01T00:00:00Z"));
    let pools = [pool(1, 10, 4, late), pool(2, 5, 5, None), pool(3, 8, 6, soon)];
    let to = |pool_id, seats_total| Resize { pool_id, seats_total };
    let create = |seats_total| Create { license_type: LicenseType::SqlBackup, seats_total };
    for (pools, seats, expected) in [
        (&pools[..], 23, Some(vec![])),
        (&pools[..], 24, Some(vec![to(2, 6)])),
        (&pools[..], 22, Some(vec![to(3, 7)])),
        (&pools[..], 20, Some(vec![to(3, 6), to(1, 9)])),
        (&pools[..], 15, Some(vec![to(3, 6), to(1, 4)])),
        (&pools[..], 14, None),
        (&[][..], 3, Some(vec![create(3)])),
        (&[][..], 0, Some(vec![])),
        (&[pool(1, POOL_SEATS_MAX, 0, None)][..], POOL_SEATS_MAX + 2, Some(vec![create(2)])),
        (&[pool(1, 2, 0, None)][..], POOL_SEATS_MAX, Some(vec![to(1, POOL_SEATS_MAX)])),
        (&[pool(1, 2, 0, None)][..], POOL_SEATS_MAX + 1, Some(vec![create(POOL_SEATS_MAX - 1)])),
        (&[pool(1, 5, 2, None), pool(2, 5, 2, None)][..], 6, Some(vec![to(2, 2), to(1, 4)])),
    ] {
        assert_eq!(resize(LicenseType::SqlBackup, pools, seats), expected, "{seats}");
    }
}
