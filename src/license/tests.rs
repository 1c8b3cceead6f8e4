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

/// The worked answer: 10 seats, 3 in use; one more in use; 12 offered; 3 offered.
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

/// Each line changes the owner; the first that applies, in the order of the lines, is the status.
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
fn what_can_be_activated_has_its_dates_in_order() {
    for (warning, expires, grace, ordered) in [
        (None, None, None, true),
        (Some("2027-01-01T00:00:00Z"), Some("2027-01-01T00:00:00Z"), Some("2027-01-01T00:00:00Z"), true),
        (Some("2027-01-02T00:00:00Z"), Some("2027-01-01T00:00:00Z"), None, false),
        (None, Some("2027-01-02T00:00:00Z"), Some("2027-01-01T00:00:00Z"), false),
        (Some("2027-01-02T00:00:00Z"), None, Some("2027-01-01T00:00:00Z"), false),
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
        let refused = owner().accept(&presented, at(NOW)).expect_err(what).to_string();
        assert!(refused.contains(&format!("{what} differs")), "{refused}");
    }
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
    ] {
        assert_eq!(resize(LicenseType::SqlBackup, pools, seats), expected, "{seats}");
    }
}
