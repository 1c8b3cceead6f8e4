//! What a caller may not see is in no answer: every operation of every surface is called for rows outside the caller's
//! subtree, and answers as it does for rows that do not exist.

use crate::harness::*;
use crate::surfaces::{Caller, SURFACES};

/// Of the caller, `contoso` (admin at 42): CONTOSO with accounts 101 `anna` and 102 `bert`. Beside it, with these marks:
/// entity 90909 with owner, serial number, shop, dates, an offer, pools 70707 (in use), 70708 (expired) and 70709 (not
/// begun), account 60606. `anna` holds seats of 70707 and 70708; `bert` one of CONTOSO's. Entity 80808 is above 42.
fn seed() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name, owner_name) VALUES (80808, NULL, 'Marked Distribution', 'MARKEDABOVE');
         INSERT INTO entity (id, parent_id, name, owner_name, serial_nr) VALUES (42, 80808, 'Contoso', 'CONTOSO', '1010000014');
         INSERT INTO entity (id, parent_id, name, owner_name, owner_description, serial_nr, shop_url, next_check_at, grace_at) VALUES
             (90909, 80808, 'Marked Holdings', 'MARKEDOWNER', 'Marked Description', 'SERMARKED', 'https://marked.example/',
              '2031-03-07T00:00:00Z', '2031-03-08T00:00:00Z');
         INSERT INTO license_offer (entity_id, company_name, serial_nr) VALUES (90909, 'MarkedOffer', 'SERMARKED2');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES
             ('contoso', '{hash}', 42, 'admin'), ('markedcaller', '{hash}', 90909, 'admin');
         INSERT INTO account (id, username, entity_id) VALUES (101, 'anna', 42), (102, 'bert', 42), (60606, 'markeduser', 90909);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at, starts_at) VALUES
             (1, 42, 'SqlBackup', 5, NULL, NULL), (2, 42, 'ExchangeBackup', 5, NULL, NULL), (3, 42, 'SkraftDiskImageV5', 5, NULL, NULL),
             (70707, 90909, 'SqlBackup', 5, '2031-03-09T00:00:00Z', NULL),
             (70708, 90909, 'ExchangeBackup', 5, '2031-03-10T00:00:00Z', NULL),
             (70709, 90909, 'SkraftDiskImageV5', 5, NULL, '2031-03-11T00:00:00Z');
         UPDATE seat SET account_id = 101 WHERE pool_id IN (70707, 70708) AND seat_no = 3;
         UPDATE seat SET account_id = 60606 WHERE pool_id = 70707 AND seat_no = 2;
         UPDATE seat SET account_id = 102 WHERE pool_id IN (1, 3) AND seat_no = 1;
         UPDATE license_pool SET expires_at = '2020-03-10T00:00:00Z' WHERE id = 70708;"
    )
}

/// What stands in rows that the caller may not see.
const MARKS: [&str; 12] = [
    "marked",
    "60606",
    "70707",
    "70708",
    "70709",
    "80808",
    "90909",
    "2031-03",
    "2031/03",
    "2020-03-10",
    "5 of 5",
    "seat 3",
];

/// What a call names of others, and something as long that does not exist.
const TWINS: [(&str, &str); 9] = [
    ("MARKEDOWNER", "ABSENTOWNER"),
    ("MARKEDABOVE", "ABSENTABOVE"),
    ("SERMARKED2", "SERABSENT2"),
    ("MarkedOffer", "AbsentOffer"),
    ("markeduser", "absentuser"),
    ("markedcaller", "absentcaller"),
    ("90909", "90908"),
    ("80808", "80807"),
    ("60606", "60605"),
];

/// The answer without what differs in every call.
fn look(answer: &Answer, request: &str) -> String {
    let id = answer.header("x-request-id").unwrap_or("no id").to_owned();
    let mut look = format!("{} {}", answer.status, answer.body.replace(&id, "ID"));
    // What the caller sent may be in the answer.
    for (marked, absent) in TWINS {
        for (marked, absent) in [(marked.to_owned(), absent.to_owned()), (marked.to_lowercase(), absent.to_lowercase())]
        {
            if request.contains(&marked) {
                look = look.replace(&marked, &absent);
            }
        }
    }
    look
}

/// Sends the call, and the same about what does not exist; both must be answered alike, and without any mark.
fn ask(server: &Server, request: &[u8], is_twin: bool) {
    let request = String::from_utf8(request.to_vec()).expect("UTF-8");
    let said = look(&server.send(request.as_bytes()), &request);
    let lower = said.to_lowercase();
    for mark in MARKS {
        assert!(!lower.contains(&mark.to_lowercase()), "'{mark}' in the answer to\n{request}\n{said}");
    }
    if is_twin {
        let twin = TWINS.iter().fold(request.clone(), |twin, (marked, absent)| twin.replace(marked, absent));
        assert_ne!(twin, request, "names nothing of others");
        assert_eq!(look(&server.send(twin.as_bytes()), &twin), said, "{request}");
    }
}

fn start() -> Server {
    // Users are not enrolled: else a name that is free gets a seat, and one that others have does not.
    let store = seatkeeper::store::Options { enroll: false, ..Default::default() };
    Server::with(Options { seed: seed(), store, ..Options::default() })
}

fn fields(username: &str, entity: &str, license_type: &str) -> String {
    format!(
        "<Username>{username}</Username><LicenseProviderEntityId>{entity}</LicenseProviderEntityId><LicenseType>{license_type}</LicenseType>"
    )
}

#[test]
fn agents_are_told_nothing_of_others() {
    let server = start();
    let before: i64 = server.query("SELECT count(*) FROM audit_event");
    let holding = |username: &str| format!("<Username>{username}</Username><LicenseType>SqlBackup</LicenseType>");
    let transfer = |from: &str, to: &str, license_type: &str| {
        format!(
            "<FromUsername>{from}</FromUsername><ToUsername>{to}</ToUsername><LicenseType>{license_type}</LicenseType>"
        )
    };
    let item = |fields: String| format!("<Items><AssignLicensesItem>{fields}</AssignLicensesItem></Items>");
    for (operation, fields, is_twin) in [
        ("AssignLicense", fields("anna", "42", "SqlBackup"), false),
        ("AssignLicense", fields("anna", "90909", "SqlBackup"), true),
        ("AssignLicense", fields("anna", "80808", "SqlBackup"), true),
        ("AssignLicense", fields("markeduser", "42", "SqlBackup"), true),
        ("AssignLicense", fields("markeduser", "90909", "SkraftDiskImageV5"), true),
        ("AssignLicenses", item(fields("anna", "42", "SqlBackup")), false),
        ("AssignLicenses", item(fields("anna", "42", "SqlBackup")) + "<DryRun>true</DryRun>", false),
        ("AssignLicenses", item(fields("markeduser", "90909", "SqlBackup")), true),
        ("AssignLicenses", item(fields("markeduser", "42", "SqlBackup")) + "<DryRun>true</DryRun>", true),
        ("GetAssignedLicenseDetails", holding("markeduser"), true),
        ("UnassignLicense", holding("markeduser"), true),
        ("TransferLicense", transfer("anna", "bert", "SqlBackup"), false),
        ("TransferLicense", transfer("anna", "bert", "ExchangeBackup"), false),
        ("TransferLicense", transfer("bert", "anna", "SqlBackup"), false),
        ("TransferLicense", transfer("markeduser", "bert", "SqlBackup"), true),
        ("TransferLicense", transfer("bert", "markeduser", "SkraftDiskImageV5"), true),
        ("GetLicensePools", "<EntityId>90909</EntityId>".to_owned(), true),
        ("GetLicensePools", "<EntityId>80808</EntityId>".to_owned(), true),
        ("GetLicensePools", "<EntityId>42</EntityId>".to_owned(), false),
        (
            "GetAssignedLicensesSummary",
            "<EntityId>90909</EntityId><ChildAccountsOnly>true</ChildAccountsOnly>".to_owned(),
            true,
        ),
        (
            "GetAssignedLicensesSummary",
            "<EntityId>42</EntityId><ChildAccountsOnly>false</ChildAccountsOnly>".to_owned(),
            false,
        ),
    ] {
        ask(&server, &call11(operation, "contoso", &fields), is_twin);
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event"), before, "each was refused");
    let held = server.call("AssignLicense", "contoso", &fields("anna", "42", "SqlBackup")).message();
    assert!(
        held.ends_with(
            "User 'anna' already holds a SqlBackup license: it holds one from another owner. No second one is needed."
        ),
        "{held}"
    );
    // Of a seat that the caller may see, the refusal says which it is.
    let held = server.call("AssignLicense", "contoso", &fields("bert", "42", "SqlBackup")).message();
    let seat: i64 =
        server.query("SELECT seat_no FROM seat JOIN account ON account.id = account_id WHERE username = 'bert'");
    assert!(held.contains(&format!("(seat {seat} of pool 1)")), "{held}");
}

#[test]
fn license_tools_are_told_nothing_of_others() {
    let server = start();
    let before: i64 = server.query("SELECT count(*) FROM audit_event");
    let ticket = server.netserver_sign_in("contoso");
    let caller = Caller { ticket: &ticket, zone: None };
    const NAMES: &str = "<ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string></ModuleLicenseNames>";
    let owner = |name: &str| format!("<OwnerName>{name}</OwnerName>");
    let of = |associate: &str, owner: &str| {
        format!("<AssociateId>{associate}</AssociateId><ModuleOwner>{owner}</ModuleOwner>")
    };
    let license = |element: &str| format!("<{element}><New><OwnerName>MARKEDOWNER</OwnerName></New></{element}>");
    let mut calls: Vec<(&str, String, bool)> = Vec::new();
    for name in ["MARKEDOWNER", "MARKEDABOVE"] {
        for operation in
            ["GetLicenseFromLicenseServer", "GetLicenseStatusFromLicenseServer", "GetLicenseFromDB", "GetShopUrl"]
        {
            calls.push((operation, owner(name), true));
        }
        calls.push(("GetModuleLicenseFromDB", owner(name) + "<ModuleName>SQLBACKUP</ModuleName>", true));
        for associate in ["101", "102", "60606"] {
            calls.push(("GetThirdPartyLicenseAssignments", of(associate, name), true));
            calls.push(("AssignThirdPartyLicenses", of(associate, name) + NAMES, true));
            calls.push(("UnassignThirdPartyLicenses", of(associate, name) + NAMES, true));
        }
        calls.push(("RemoveLicenseFromDB", format!("<ModuleOwner>{name}</ModuleOwner>"), true));
    }
    for operation in ["GetThirdPartyLicenseAssignments", "AssignThirdPartyLicenses", "UnassignThirdPartyLicenses"] {
        let names = if operation.starts_with("Get") { "" } else { NAMES };
        calls.push((operation, of("60606", "CONTOSO") + names, true));
        // She holds one of another owner.
        calls.push((operation, of("101", "CONTOSO") + names, false));
    }
    calls.extend([
        ("GetUserLicenses", "<AssociateId>60606</AssociateId>".to_owned(), true),
        ("GetUserLicenses", "<AssociateId>101</AssociateId>".to_owned(), false),
        ("GetLicenseForAllOwnersFromDB", String::new(), false),
        ("GetSatelliteLicenses", "<SatelliteId>0</SatelliteId>".to_owned(), false),
        ("GetUserLicensesMDOList", String::new(), false),
        ("ValidateLicenseInfo", license("LicenseInfo"), true),
        ("ActivateLicenseInfo", license("NewLicense"), true),
        (
            "ChangeSerialNumber",
            "<NewCompanyName>MarkedOffer</NewCompanyName><NewSerialNumber>SERMARKED2</NewSerialNumber>".to_owned(),
            true,
        ),
    ]);
    let mut asked = 0;
    for (operation, arguments, is_twin) in &calls {
        for surface in SURFACES.into_iter().filter(|surface| surface.has(operation)) {
            let Some(request) = surface.request(caller, operation, arguments) else { continue };
            ask(&server, &request, *is_twin);
            asked += 1;
        }
    }
    assert!(asked > 4 * calls.len(), "{asked} calls of {}", calls.len());
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event"), before, "each was refused");
    let refused = server.license_call(&ticket, "AssignThirdPartyLicenses", &(of("101", "CONTOSO") + NAMES));
    assert_eq!(refused.exception().as_deref(), Some("SoLicenseException"));
    assert!(refused.body.contains("it holds one from another owner."), "{refused:?}");
    ask(&server, &authenticate("markedcaller", "wrong"), true);
}
