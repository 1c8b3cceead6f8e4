//! Every sentence that refuses something, as its reader gets it: with the numbers 0, 1 and 2, and with dates before and
//! after now.

use jiff::Timestamp;
use seatkeeper::license::{Dates, Owner, Terms};
use seatkeeper::seats::{FieldFault, Held, LicenseType, NameFault, Refusal, Role, SeatId};

use crate::harness::*;
use crate::web::{AGENT, Api, JSON, OWNER, basic, parsed};

const NOW: &str = "2027-01-31T00:00:00Z";
const PAST: &str = "2026-01-31T00:00:00Z";
const FUTURE: &str = "2028-01-31T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// What no sentence for a caller may have.
#[track_caller]
fn assert_readable(text: &str) {
    assert!(text.ends_with('.') && !text.ends_with(".."), "no end: {text}");
    assert!(
        text.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '\''),
        "no beginning: {text}"
    );
    assert!(!text.contains("  ") && !text.contains(" .") && !text.contains(" ,"), "blanks: {text}");
    let words: Vec<&str> =
        text.split_whitespace().map(|word| word.trim_matches(['(', ')', '.', ',', ';', ':'])).collect();
    for pair in words.windows(2) {
        let things = ["seat", "pool", "item", "owner", "module", "event", "user", "second", "license", "value", "byte"];
        let Some(thing) = things.iter().find(|thing| pair[1].strip_suffix('s').unwrap_or(pair[1]) == **thing) else {
            continue;
        };
        if let Ok(number) = pair[0].parse::<i64>() {
            assert_eq!(pair[1] == *thing, number == 1, "'{} {}': {text}", pair[0], pair[1]);
        }
    }
    for word in ["anew", "nobody", "Nobody", "whoever", "told"] {
        assert!(!words.contains(&word), "'{word}': {text}");
    }
    assert!(!text.contains("1 are ") && !text.contains("An item of The"), "{text}");
}

/// Each kind of refusal is in the table below: a new one does not compile until it has its line here.
fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::CallerUnknown => "CallerUnknown",
        Refusal::RoleTooLow { .. } => "RoleTooLow",
        Refusal::Field { .. } => "Field",
        Refusal::TooMany { .. } => "TooMany",
        Refusal::EntityUnknown { .. } => "EntityUnknown",
        Refusal::ProviderInactive { .. } => "ProviderInactive",
        Refusal::AccountUnavailable { .. } => "AccountUnavailable",
        Refusal::AccountNotEnrolled { .. } => "AccountNotEnrolled",
        Refusal::AlreadyAssigned { .. } => "AlreadyAssigned",
        Refusal::NoPool { .. } => "NoPool",
        Refusal::PoolExpired { .. } => "PoolExpired",
        Refusal::NoFreeSeat { .. } => "NoFreeSeat",
        Refusal::NotAssigned { .. } => "NotAssigned",
        Refusal::SeatOfOthers { .. } => "SeatOfOthers",
        Refusal::OwnerUnknown { .. } => "OwnerUnknown",
        Refusal::AssociateUnknown { .. } => "AssociateUnknown",
        Refusal::ModuleUnknown { .. } => "ModuleUnknown",
        Refusal::TooManyOwners { .. } => "TooManyOwners",
        Refusal::LicenseEnded { .. } => "LicenseEnded",
        Refusal::LicenseTooSmall { .. } => "LicenseTooSmall",
        Refusal::LicenseDates { .. } => "LicenseDates",
        Refusal::LicenseNotGranted { .. } => "LicenseNotGranted",
        Refusal::LicenseInUse { .. } => "LicenseInUse",
        Refusal::NothingOffered { .. } => "NothingOffered",
        Refusal::LicenseUnreadable { .. } => "LicenseUnreadable",
        Refusal::NotSupported => "NotSupported",
        Refusal::NameInvalid { .. } => "NameInvalid",
        Refusal::NameReused { .. } => "NameReused",
        Refusal::NameUnreadable { .. } => "NameUnreadable",
        Refusal::Kept { .. } => "Kept",
    }
}

const KINDS: usize = 30;

#[test]
fn every_refusal_is_a_sentence() {
    const SQL: LicenseType = LicenseType::SqlBackup;
    let name = || "backup03".to_owned();
    let owner = || "CONTOSO".to_owned();
    let too_small = |in_use| Refusal::LicenseTooSmall { owner_name: owner(), license_type: SQL, in_use, seats: 0 };
    let no_free_seat =
        |seats_total, pools| Refusal::NoFreeSeat { provider_entity_id: 42, license_type: SQL, seats_total, pools };
    let held = |expires_at: Option<&str>| Refusal::AlreadyAssigned {
        username: name(),
        license_type: SQL,
        held: Some(Held {
            seat: SeatId { pool_id: 1, seat_no: 2 },
            entity_id: 42,
            in_subtree: true,
            expires_at: expires_at.map(at),
        }),
    };
    let no_pool = |starts_at: Option<&str>| Refusal::NoPool {
        provider_entity_id: 42,
        license_type: SQL,
        starts_at: starts_at.map(at),
    };
    let too_many = |found, max| Refusal::TooMany { field: "Items", found, max };
    let field = Refusal::field;
    let bad_name = |fault| Refusal::NameInvalid { header: "Idempotency-Key", fault };
    let rows = [
        (
            bad_name(NameFault::Empty),
            "Idempotency-Key is empty. Send a name for the call, such as a new UUID, or leave it out.",
        ),
        (
            bad_name(NameFault::TooLong),
            "Idempotency-Key has more than 255 characters. Send a shorter name. Nothing was changed.",
        ),
        (bad_name(NameFault::NotPrintable), "Idempotency-Key holds characters that cannot be printed."),
        (bad_name(NameFault::NotAString), "Idempotency-Key is no valid string: send a word without blanks,"),
        (bad_name(NameFault::Several), "Idempotency-Key names the call several times. Send one name."),
        (
            Refusal::NameReused { header: "RequestId", operation: "AssignLicense".to_owned(), at: PAST.to_owned() },
            "RequestId names another request: AssignLicense with other arguments, or another operation, at 2026-01-31T00:00:00Z. Nothing was changed.",
        ),
        (
            Refusal::NameUnreadable { header: "MessageID" },
            "MessageID names a call that was made before, but its outcome was written by another version of this service",
        ),
        (Refusal::Kept { code: "NotAssigned".to_owned(), text: "As it was.".to_owned() }, "As it was."),
        (Refusal::CallerUnknown, "is not signed in"),
        (
            Refusal::RoleTooLow { role: Role::Reader, least: Role::Agent },
            "The role 'reader' of this credential may not do this; 'agent' may. Use another credential, or have an administrator give this one that role.",
        ),
        (field("Username", FieldFault::Missing), "Username is missing. Send it inside the request element,"),
        (field("OwnerName", FieldFault::Empty), "OwnerName is empty. Send a value."),
        (field("Username", FieldFault::TooLong), "Username is longer than 128 characters. Send a shorter one."),
        (field("Username", FieldFault::Undecoded), "Username contains U+FFFD"),
        (field("Username", FieldFault::ControlCharacter), "Username contains a control character."),
        (field("Username", FieldFault::Noncharacter), "Username contains U+FFFE or U+FFFF"),
        (field("AssociateId", FieldFault::NotPositive), "AssociateId must be 1 or more. Send the id of a user."),
        (
            field("EntityId", FieldFault::NotPositive),
            "EntityId must be 1 or more. Send the number of a provider entity.",
        ),
        (
            field("AssociateId", FieldFault::Negative),
            "AssociateId must not be negative. Send the id of a user, or 0 for the caller.",
        ),
        (
            field("LicenseInfo", FieldFault::Unnamed),
            "LicenseInfo holds no OwnerName. Send one in its New or its Current.",
        ),
        (field("ModuleLicense", FieldFault::Unnamed), "ModuleLicense holds no ModuleName."),
        (too_many(1001, 1000), "Items holds 1001 items; 1000 are accepted in one call. Send the rest in another call."),
        (Refusal::EntityUnknown { field: "EntityId", entity_id: 0 }, "Entity 0 does not exist"),
        (Refusal::ProviderInactive { provider_entity_id: 42 }, "Provider entity 42 is not active."),
        (Refusal::AccountUnavailable { username: name() }, "User 'backup03' is not active"),
        (Refusal::AccountNotEnrolled { username: name() }, "User 'backup03' is not known"),
        (held(None), "User 'backup03' already holds a SqlBackup license (seat 2 of pool 1)."),
        (held(Some(FUTURE)), "(seat 2 of pool 1, valid until 2028-01-31T00:00:00Z)."),
        (Refusal::AlreadyAssigned { username: name(), license_type: SQL, held: None }, "from another owner."),
        (no_pool(None), "Provider entity 42 has no SqlBackup license pool. An administrator can add one."),
        (
            no_pool(Some(FUTURE)),
            "Provider entity 42 has no SqlBackup license pool that has started; the next one starts at 2028-01-31T00:00:00Z.",
        ),
        (
            Refusal::PoolExpired { provider_entity_id: 42, license_type: SQL, expired_at: at(PAST) },
            "The SqlBackup licenses of provider entity 42 expired at 2026-01-31T00:00:00Z.",
        ),
        (no_free_seat(0, 1), "Provider entity 42 has no SqlBackup seats (1 pool). Add seats to a pool."),
        (no_free_seat(0, 2), "Provider entity 42 has no SqlBackup seats (2 pools). Add seats to a pool."),
        (
            no_free_seat(1, 1),
            "The only SqlBackup seat of provider entity 42 is in use (1 pool). Release a seat or add seats to a pool.",
        ),
        (
            no_free_seat(2, 2),
            "All 2 SqlBackup seats of provider entity 42 are in use (2 pools). Release a seat or add seats to a pool.",
        ),
        (Refusal::NotAssigned { username: name(), license_type: SQL }, "User 'backup03' holds no SqlBackup license."),
        (
            Refusal::SeatOfOthers { username: name(), license_type: SQL },
            "User 'backup03' holds a SqlBackup license from",
        ),
        (Refusal::OwnerUnknown { owner_name: "NOTHING".to_owned() }, "Owner 'NOTHING' does not exist"),
        (Refusal::AssociateUnknown { id: 0 }, "Associate 0 does not exist"),
        (
            Refusal::ModuleUnknown { name: "SALES".to_owned() },
            "There is no module 'SALES'; there are SKRAFTDISKIMAGEV5,",
        ),
        (Refusal::TooManyOwners { max: 1 }, "There are more than 1 owner. Ask for one of them at a time."),
        (Refusal::TooManyOwners { max: 2000 }, "There are more than 2000 owners."),
        (
            Refusal::LicenseEnded { owner_name: owner(), ended_at: at(PAST) },
            "The license of CONTOSO ended at 2026-01-31T00:00:00Z.",
        ),
        (too_small(1), "1 SqlBackup seat of CONTOSO is in use and the new license has 0. Release 1 first."),
        (too_small(3), "3 SqlBackup seats of CONTOSO are in use and the new license has 0. Release 3 first."),
        (
            Refusal::LicenseDates { owner_name: owner() },
            "The dates of the license of CONTOSO are not in order: AdminWarningDate comes first,",
        ),
        (
            Refusal::LicenseNotGranted { owner_name: owner(), differs: "SerialNr" },
            "This is not the license that the issuer grants CONTOSO: SerialNr differs.",
        ),
        (
            Refusal::LicenseInUse { owner_name: owner(), in_use: 1 },
            "The license of CONTOSO is in use: 1 of its seats is taken,",
        ),
        (
            Refusal::LicenseInUse { owner_name: owner(), in_use: 2 },
            "2 of its seats are taken, including those of pools",
        ),
        (
            Refusal::NothingOffered { company_name: "Contoso".to_owned(), serial_nr: "7".to_owned() },
            "No license is offered to company 'Contoso' under serial number '7'",
        ),
        (Refusal::LicenseUnreadable { reason: "A reason.".to_owned() }, "A reason."),
        (Refusal::NotSupported, "This operation is not supported here."),
    ];
    let mut kinds: Vec<&str> = rows.iter().map(|(refusal, _)| kind(refusal)).collect();
    kinds.dedup();
    assert_eq!(kinds.len(), KINDS, "each kind has its lines together: {kinds:?}");
    for (refusal, expected) in rows {
        let text = refusal.to_string();
        assert!(text.contains(expected), "{refusal:?}: {text}");
        assert_readable(&text);
    }
}

/// In what way a license ends, before and after that.
#[test]
fn the_status_of_a_license_is_told_in_the_right_tense() {
    let terms = |seats: i64, dates: Dates| Terms {
        company_name: "Contoso".to_owned(),
        serial_nr: None,
        dates,
        seats: [seats; 3],
    };
    let owner = |in_use: i64, offered: Option<i64>, dates: Dates| Owner {
        entity_id: 42,
        active: true,
        name: "CONTOSO".to_owned(),
        description: None,
        shop_url: None,
        current: terms(10, dates),
        offered: offered.map(|seats| terms(seats, dates)),
        in_use: [in_use, 0, 0],
        held: [false; 3],
        can_assign: [false; 3],
    };
    let warned = |expires: Option<&str>, grace: Option<&str>| Dates {
        admin_warning: Some(at(PAST)),
        expires: expires.map(at),
        grace: grace.map(at),
        ..Dates::default()
    };
    let disordered = Dates { admin_warning: Some(at(FUTURE)), expires: Some(at(NOW)), ..Dates::default() };
    const LATER: &str = "2029-01-31T00:00:00Z";
    for (owner, expected) in [
        (
            owner(0, None, warned(Some(FUTURE), None)),
            "The license of CONTOSO expires at 2028-01-31T00:00:00Z. Renew it with your supplier.",
        ),
        (owner(0, None, warned(Some(FUTURE), Some(LATER))), "The license of CONTOSO expires at 2028-01-31T00:00:00Z."),
        (owner(0, None, warned(Some(NOW), None)), "The license of CONTOSO expired at 2027-01-31T00:00:00Z. Renew it"),
        (owner(0, None, warned(Some(PAST), None)), "The license of CONTOSO expired at 2026-01-31T00:00:00Z. Renew it"),
        (
            owner(0, None, warned(Some(PAST), Some(FUTURE))),
            "expired at 2026-01-31T00:00:00Z, and ends at 2028-01-31T00:00:00Z.",
        ),
        (owner(0, None, warned(None, Some(FUTURE))), "The license of CONTOSO ends at 2028-01-31T00:00:00Z."),
        (
            owner(0, None, warned(Some(PAST), Some(PAST))),
            "The license of CONTOSO ended at 2026-01-31T00:00:00Z. Ask its issuer for a new one.",
        ),
        (owner(0, None, warned(None, Some(NOW))), "The license of CONTOSO ended at 2027-01-31T00:00:00Z."),
        (owner(0, None, warned(None, None)), "The license of CONTOSO needs attention since 2026-01-31T00:00:00Z."),
        (
            owner(1, Some(0), Dates::default()),
            "1 SkraftDiskImageV5 seat of CONTOSO is in use and the new license has 0. Release 1 first.",
        ),
        (
            owner(2, Some(1), Dates::default()),
            "2 SkraftDiskImageV5 seats of CONTOSO are in use and the new license has 1. Release 1 first.",
        ),
        (
            owner(4, Some(2), Dates::default()),
            "4 SkraftDiskImageV5 seats of CONTOSO are in use and the new license has 2. Release 2 first.",
        ),
        (
            owner(0, None, disordered),
            "The dates of the license of CONTOSO are not in order: AdminWarningDate comes first, then ExpiryDate, then GraceDate.",
        ),
    ] {
        let (_, text) = owner.status(at(NOW));
        assert!(text.starts_with(expected) || text.contains(expected) && expected.starts_with("expired"), "{text}");
        assert_readable(&text);
    }
}

/// What the Web API says of requests that it cannot serve. Longer tables stand in `web_requests`.
#[test]
fn every_message_of_the_web_api_is_a_sentence() {
    let api = Api::start();
    api.0.sql("UPDATE seat SET account_id = NULL; UPDATE license_pool SET seats_total = 0 WHERE id = 1");
    const XML: &str = "Content-Type: application/xml\r\n";
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let call = |operation: &str| format!("POST {AGENT}/{operation}");
    let put = format!("PUT {OWNER}/8");
    let license = |members: &str| format!(r#"{{"LicenseInfo":{{"New":{{"OwnerName":"CONTOSO"{members}}}}}}}"#);
    let module = |members: &str| license(&format!(r#","ModuleLicenses":[{{{members}}}]"#));
    let (shop, validate, assign) = (call("GetShopUrl"), call("ValidateLicenseInfo"), call("AssignThirdPartyLicenses"));
    let rows: Vec<(&str, &str, String, u16, &str)> = vec![
        (
            &shop,
            JSON,
            "[]".to_owned(),
            400,
            "The body is not a JSON object. Send the arguments as { \"name\": value }.",
        ),
        (&shop, JSON, r#"{"OwnerName":5}"#.to_owned(), 400, "OwnerName is not a string."),
        (&shop, JSON, "{}".to_owned(), 400, "OwnerName is empty. Send a value."),
        (
            &shop,
            "Content-Encoding: br\r\n",
            "{}".to_owned(),
            415,
            "The body is compressed. Send it as it is, without Content-Encoding.",
        ),
        (&validate, JSON, r#"{"LicenseInfo":5}"#.to_owned(), 400, "LicenseInfo is not an object."),
        (&validate, JSON, license(r#","ExtraFlags":"x""#), 400, "ExtraFlags is not an integer of 32 bits."),
        (&validate, JSON, license(r#","ExtraFlags":0.5"#), 400, "ExtraFlags is not an integer of 32 bits."),
        (&validate, JSON, license(r#","ExtraFlags":true"#), 400, "ExtraFlags is not an integer."),
        (&validate, JSON, license(r#","ExpiryDate":5"#), 400, "ExpiryDate is not a date-time."),
        (&validate, JSON, license(r#","ModuleLicenses":{}"#), 400, "ModuleLicenses is not an array."),
        (
            &validate,
            JSON,
            license(r#","ModuleLicenses":[5]"#),
            400,
            "ModuleLicenses has an item that is not an object.",
        ),
        (&validate, JSON, module(r#""IsHidden":5"#), 400, "IsHidden is not a boolean."),
        (&validate, JSON, module(r#""IsHidden":"x""#), 400, "IsHidden is not a boolean."),
        (
            &validate,
            JSON,
            module(r#""LicenseType":9"#),
            400,
            "LicenseType is not one of Unknown, SiteLicense, SatelliteLicense, UserLicense.",
        ),
        (&validate, JSON, module(r#""LicenseType":{}"#), 400, "LicenseType is not the name or number of a value."),
        (
            &assign,
            JSON,
            r#"{"AssociateId":0,"ModuleOwner":"CONTOSO","ModuleLicenseNames":["SQLBACKUP"]}"#.to_owned(),
            400,
            "AssociateId must be 1 or more. Send the id of a user.",
        ),
        (
            &assign,
            JSON,
            r#"{"AssociateId":8,"ModuleOwner":"CONTOSO","ModuleLicenseNames":"SQLBACKUP"}"#.to_owned(),
            400,
            "ModuleLicenseNames is not an array.",
        ),
        (
            &assign,
            FORM,
            "ModuleLicenseNames[x]=SQLBACKUP".to_owned(),
            400,
            "'[x]' behind ModuleLicenseNames is not an index. Write [0], [1] and so on, or [].",
        ),
        (&put, JSON, "5".to_owned(), 400, "The body is not an array."),
        (&put, JSON, "[5]".to_owned(), 400, "The body has an item that is not a string."),
        (&put, JSON, "[]".to_owned(), 400, "ModuleLicenseNames is empty. Send a value."),
        (
            &put,
            XML,
            "<a><b/></a>".to_owned(),
            400,
            "Element 'b' was not expected inside 'a'. Send each item as an element 'string' of namespace 'http://schemas.microsoft.com/2003/10/Serialization/Arrays'.",
        ),
        (
            &put,
            JSON,
            r#"["SALES"]"#.to_owned(),
            400,
            "There is no module 'SALES'; there are SKRAFTDISKIMAGEV5, SQLBACKUP and EXCHANGEBACKUP.",
        ),
        (
            &put,
            JSON,
            r#"["SQLBACKUP"]"#.to_owned(),
            409,
            "Provider entity 42 has no SqlBackup seats (1 pool). Add seats to a pool.",
        ),
        (
            &put,
            JSON,
            r#"["EXCHANGEBACKUP"]"#.to_owned(),
            409,
            "Provider entity 42 has no ExchangeBackup license pool. An administrator can add one.",
        ),
        (
            "PUT /api/v1/License/NOTHING/8",
            JSON,
            r#"["SQLBACKUP"]"#.to_owned(),
            404,
            "Owner 'NOTHING' does not exist or is not among the entities of this credential. Check the name.",
        ),
        (
            "PUT /api/v1/License/CONTOSO/999",
            JSON,
            r#"["SQLBACKUP"]"#.to_owned(),
            404,
            "Associate 999 does not exist or does not belong to the entities of this credential. Check the id.",
        ),
        (
            "GET /api/v1/License/CONTOSO/-8",
            "",
            String::new(),
            400,
            "AssociateId must not be negative. Send the id of a user, or 0 for the caller.",
        ),
        ("GET /api/v1/License/NOTHING", "", String::new(), 404, "There is no such owner, or no such module of it."),
        ("GET /api/v1/Nothing", "", String::new(), 404, "There is nothing at this address."),
        (
            "PATCH /api/v1/License",
            JSON,
            "{}".to_owned(),
            405,
            "This address accepts the methods GET, POST, HEAD, OPTIONS.",
        ),
        (
            "DELETE /api/v1/License/CONTOSO",
            JSON,
            "[]".to_owned(),
            400,
            "DELETE /api/v1/License/{moduleOwner} removes the owner and takes no body, but one was sent. To take modules from a user, put the user's id behind the owner.",
        ),
    ];
    for (line, headers, body, status, expected) in rows {
        let answer = api.ask(line, headers, &body);
        assert_eq!(answer.status, status, "{line} {body}: {answer:?}");
        let found = parsed(&answer);
        let text = found["MessageDetail"].as_str().or(found["ErrorMessage"].as_str()).expect("a text");
        assert_eq!(text, expected, "{line} {body}");
        assert_readable(text);
    }
    let nobody = parsed(&api.bare(&shop, JSON, "{}"));
    assert_readable(nobody["ErrorMessage"].as_str().expect("a text"));
    let reader = parsed(&api.bare(&put, &format!("{JSON}{}", basic("reader", PASSWORD)), r#"["SQLBACKUP"]"#));
    assert_readable(reader["ErrorMessage"].as_str().expect("a text"));
}
