//! The Web API at the wire, as tables: in which form one is answered, how much of it, and in which time zone.

use serde_json::{Value as Json, json};

use crate::harness::*;
use crate::validator;
use crate::web::*;

// Answers -----------------------------------------------------------------------------------------------------------

#[test]
fn accept() {
    let api = Api::start();
    for (headers, media_type) in [
        ("", "application/json"),
        ("Accept: */*\r\n", "application/json"),
        ("Accept: application/*\r\n", "application/json"),
        ("Accept: text/*\r\n", "text/json"),
        ("Accept: application/json\r\n", "application/json"),
        ("Accept: text/json\r\n", "text/json"),
        ("Accept: application/xml\r\n", "application/xml"),
        ("Accept: text/xml\r\n", "text/xml"),
        ("Accept: application/json-patch+json\r\n", "application/json-patch+json"),
        ("Accept: application/merge-patch+json\r\n", "application/merge-patch+json"),
        ("Accept: TEXT/XML; charset=utf-8\r\n", "text/xml"),
        ("accept:text/xml\r\n", "text/xml"),
        ("Accept: application/xml, application/json\r\n", "application/xml"),
        ("Accept: application/xml;q=0.5, application/json;q=0.6\r\n", "application/json"),
        ("Accept: application/xml ; q=0.9 , */* ; q=0.1\r\n", "application/xml"),
        ("Accept: application/xml;Q=0.001\r\n", "application/xml"),
        ("Accept: application/xml;q=0\r\n", "application/json"),
        ("Accept: application/json;q=0, application/*\r\n", "application/xml"),
        ("Accept: application/json;q=0, text/json;q=0, */*\r\n", "application/xml"),
        ("Accept: application/json;q=0\r\n", "application/json"),
        ("Accept: */*;q=0\r\n", "application/json"),
        ("Accept: text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8\r\n", "application/xml"),
        ("Accept: text/xml;q=0.1\r\nAccept: application/merge-patch+json\r\n", "application/merge-patch+json"),
        ("Accept: image/png\r\nAccept: text/xml\r\n", "text/xml"),
        // Not 406: a client that is in use misspells it.
        ("Accept: aplication/json\r\n", "application/json"),
        ("Accept: text/html\r\n", "application/json"),
        ("Accept:\r\n", "application/json"),
        ("Accept: ,;q=,/;=\r\n", "application/json"),
        ("Accept: text/xml;q=lots\r\n", "text/xml"),
        ("Accept: text/xml;q=NaN\r\n", "text/xml"),
        ("Accept: text/xml;q=7, application/json;q=-7\r\n", "text/xml"),
    ] {
        let content_type = format!("{media_type}; charset=utf-8");
        let found = api.ask(&format!("GET {OWNER}"), headers, "");
        let missing = api.ask("GET /api/v1/License/NOBODY", headers, "");
        let called = api.ask(
            &format!("POST {AGENT}/GetLicenseFromDB"),
            &format!("{JSON}{headers}"),
            r#"{"OwnerName":"contoso"}"#,
        );
        let invalid = api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), &format!("{JSON}{headers}"), "{}");
        let nobody = api.bare(&format!("GET {OWNER}"), headers, "");
        for (answer, status) in [(&found, 200), (&missing, 404), (&called, 200), (&invalid, 400), (&nobody, 401)] {
            assert_eq!((answer.status, answer.header("content-type")), (status, Some(&*content_type)), "{headers:?}");
        }
        assert_eq!(called.body, found.body, "{headers:?}");
        if media_type.ends_with("/xml") {
            assert!(found.body.contains("<ExtendedLicenseInfo "), "{found:?}");
            assert_eq!(found.element("OwnerDescription").as_deref(), Some("Contoso <R&D>"));
            assert_eq!(missing.element("ErrorType").as_deref(), Some("SoNotFoundException"), "{missing:?}");
            assert_eq!(invalid.element("Message").as_deref(), Some("The request is invalid."), "{invalid:?}");
            assert_eq!(nobody.element("ErrorType").as_deref(), Some("SoSessionException"), "{nobody:?}");
        } else {
            assert_eq!(parsed(&found)["Current"]["OwnerDescription"], "Contoso <R&D>");
            assert_error(&missing, 404, "SoNotFoundException");
            assert_invalid(&invalid);
            assert_error(&nobody, 401, "SoSessionException");
        }
    }
}

#[test]
fn answers_as_xml() {
    let api = Api::start();
    const XML: &str = "Accept: application/xml\r\n";
    let owner = api.ask(&format!("GET {OWNER}"), XML, "").body;
    let mut rest = owner.as_str();
    // In this order.
    for part in [
        "<ExtendedLicenseInfo xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">",
        "<Reason",
        "<CanBeActivated>false</CanBeActivated>",
        "<New xsi:nil=\"true\"",
        "<Current>",
        "<OwnerDescription>Contoso &lt;R&amp;D&gt;</OwnerDescription>",
        "<NextCheckDate>2097-01-31T00:00:00Z</NextCheckDate>",
        "<GraceDate>0001-01-01T00:00:00</GraceDate>",
        "<ModuleLicenses><ModuleLicense><OwnerName>CONTOSO</OwnerName>",
        "<ExtendedModuleLicenses><ExtendedModuleLicense><New xsi:nil=\"true\"",
        "<NumberOfLicensesTotal>10</NumberOfLicensesTotal></ExtendedModuleLicense><ExtendedModuleLicense>",
        "</ExtendedModuleLicenses><AccumulatedNextCheckDate>",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part} behind the one before it in {owner}"));
        rest = &rest[at + part.len()..];
    }
    for (target, root) in [
        ("/api/v1/License", "<ArrayOfExtendedLicenseInfo "),
        ("/api/v1/License/User/7", "<ArrayOfLicenseOwner "),
        ("/api/v1/License/User/MdoList", "<ArrayOfSelectableMDOListItem "),
        ("/api/v1/License/CONTOSO/7", "<ArrayOfModuleLicenseLink "),
        ("/api/v1/License/CONTOSO/SQLBACKUP", "<ModuleLicense "),
        ("/api/v1/License/CONTOSO/ShopUrl", "<string "),
        ("/api/v1/License/NOBODY", "<ErrorResponse"),
    ] {
        let body = api.ask(&format!("GET {target}"), XML, "").body;
        assert!(body.contains(root), "no {root} in {body}");
    }
    let nothing =
        api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), &format!("{XML}{JSON}"), r#"{"OwnerName":"NOBODY"}"#);
    assert!(nothing.status == 200 && nothing.body.contains("xsi:nil=\"true\""), "{nothing:?}");
    // Every answer that is XML has been validated. That the validation sees what is wrong:
    assert_eq!(validator::problems_of_xml(&nothing), [""; 0]);
    for (from, to) in [
        (" />", ">"),
        ("xmlns:xsi=", "xmlns:x="),
        ("encoding=\"utf-8\"", "encoding=\"iso-8859-1\""),
        ("<ExtendedLicenseInfo", "<!DOCTYPE a><ExtendedLicenseInfo"),
        (" />", " /><a/>"),
        (" />", ">&</ExtendedLicenseInfo>"),
    ] {
        let spoilt = Answer { body: nothing.body.replacen(from, to, 1), ..nothing.clone() };
        assert_ne!(spoilt.body, nothing.body, "no {from}");
        assert_ne!(validator::problems_of_xml(&spoilt), [""; 0], "{spoilt:?}");
    }
}

#[test]
fn what_is_not_there() {
    let api = Api::start();
    for (operation, arguments, resource, found) in [
        ("GetLicenseFromLicenseServer", json!({ "OwnerName": "NOBODY" }), None, Json::Null),
        ("GetLicenseFromDB", json!({ "OwnerName": "NOBODY" }), Some("NOBODY"), Json::Null),
        ("GetLicenseFromDB", json!({ "OwnerName": "Wuckert, Cassin & Goyette <1>" }), None, Json::Null),
        ("GetShopUrl", json!({ "OwnerName": "NOBODY" }), Some("NOBODY/ShopUrl"), Json::Null),
        (
            "GetModuleLicenseFromDB",
            json!({ "OwnerName": "NOBODY", "ModuleName": "SQLBACKUP" }),
            Some("NOBODY/SQLBACKUP"),
            Json::Null,
        ),
        ("GetModuleLicenseFromDB", json!({ "OwnerName": "CONTOSO", "ModuleName": "X" }), Some("CONTOSO/X"), Json::Null),
        ("GetThirdPartyLicenseAssignments", json!({ "ModuleOwner": "NOBODY", "AssociateId": 7 }), None, json!([])),
        ("GetSatelliteLicenses", json!({ "SatelliteId": 5 }), None, json!([])),
    ] {
        let answer = api.call(operation, arguments);
        assert_eq!((answer.status, parsed(&answer)), (200, found), "{operation}");
        if let Some(path) = resource {
            assert_error(&api.ask(&format!("GET /api/v1/License/{path}"), "", ""), 404, "SoNotFoundException");
        }
    }
    let status = api.call("GetLicenseStatusFromLicenseServer", json!({ "OwnerName": "NOBODY" }));
    assert_eq!((status.status, &parsed(&status)["LicenseStatus"]), (200, &json!("ProblemWithLicense")));
    for target in ["/api/v2", "/api/v1/Nothing", "/api/v1/Agents", "/api/v1/Agents/License", "/api/v1/License/a/b/c"] {
        assert_error(&api.ask(&format!("GET {target}"), "", ""), 404, "SoNotFoundException");
    }
    assert_error(&api.call("GetNothing", json!({})), 404, "SoNotFoundException");
}

/// A call answers the same as the resource of the same operation.
#[test]
fn both_surfaces_tell_the_same() {
    let api = Api::start();
    for (operation, arguments, line, body) in [
        ("GetLicenseForAllOwnersFromDB", json!({}), "GET /api/v1/License", ""),
        ("GetLicenseFromDB", json!({ "OwnerName": "CONTOSO" }), "GET /api/v1/License/CONTOSO", ""),
        (
            "GetModuleLicenseFromDB",
            json!({ "OwnerName": "CONTOSO", "ModuleName": "SQLBACKUP" }),
            "GET /api/v1/License/CONTOSO/SQLBACKUP",
            "",
        ),
        ("GetShopUrl", json!({ "OwnerName": "CONTOSO" }), "GET /api/v1/License/CONTOSO/ShopUrl", ""),
        ("GetUserLicenses", json!({ "AssociateId": 7 }), "GET /api/v1/License/User/7", ""),
        ("GetSatelliteLicenses", json!({ "SatelliteId": 0 }), "GET /api/v1/License/Site/0", ""),
        ("GetSatelliteLicenses", json!({}), "GET /api/v1/License/Site/0", ""),
        ("GetUserLicensesMDOList", json!({}), "GET /api/v1/License/User/MdoList", ""),
        (
            "GetThirdPartyLicenseAssignments",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7 }),
            "GET /api/v1/License/CONTOSO/7",
            "",
        ),
        (
            "AssignThirdPartyLicenses",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7, "ModuleLicenseNames": ["SQLBACKUP"] }),
            "PUT /api/v1/License/CONTOSO/7",
            r#"["SQLBACKUP"]"#,
        ),
        (
            "UnassignThirdPartyLicenses",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7, "ModuleLicenseNames": ["SKRAFTDISKIMAGEV5"] }),
            "DELETE /api/v1/License/CONTOSO/7",
            r#"["SQLBACKUP"]"#,
        ),
        ("RemoveLicenseFromDB", json!({ "ModuleOwner": "NOBODY" }), "DELETE /api/v1/License/NOBODY", ""),
        (
            "ChangeSerialNumber",
            json!({ "NewCompanyName": "Contoso & Sons", "NewSerialNumber": "7" }),
            "POST /api/v1/License/ChangeSerialNumber?newCompanyName=Contoso+%26%20Sons&newSerialNumber=7",
            "",
        ),
    ] {
        let called = api.call(operation, arguments);
        let asked = api.ask(line, JSON, body);
        assert_eq!((called.status, asked.status), (200, 200), "{called:?} {asked:?}");
        if operation == "UnassignThirdPartyLicenses" {
            let names = |answer| {
                parsed(answer).as_array().expect("a list").iter().map(|l| l["Name"].clone()).collect::<Vec<_>>()
            };
            assert_eq!((names(&called), names(&asked)), (vec![json!("SQLBACKUP")], vec![]));
        } else {
            assert_eq!(called.body, asked.body, "{operation}");
        }
    }
}

// $select -----------------------------------------------------------------------------------------------------------

#[test]
fn select() {
    let api = Api::start();
    let all = parsed(&api.call("GetLicenseFromDB", json!({ "OwnerName": "CONTOSO" })));
    for (query, wanted) in [
        ("", None),
        ("?$select=", None),
        ("?$select=%20", None),
        ("?$select=,%20,", None),
        ("?other=1", None),
        ("?$select=Reason", Some(vec!["/Reason"])),
        ("?$select=CanBeActivated", Some(vec!["/CanBeActivated"])),
        ("?%24select=Reason", Some(vec!["/Reason"])),
        ("?$SELECT=Reason", Some(vec!["/Reason"])),
        ("?a=b&$select=reason&c", Some(vec!["/Reason"])),
        ("?$select=reason,CANBEACTIVATED", Some(vec!["/Reason", "/CanBeActivated"])),
        ("?$select=%20Reason%20,+CanBeActivated+", Some(vec!["/Reason", "/CanBeActivated"])),
        ("?$select=Current", Some(vec!["/Current"])),
        ("?$select=current/ownername", Some(vec!["/Current/OwnerName"])),
        ("?$select=Current%2FOwnerName", Some(vec!["/Current/OwnerName"])),
        ("?$select=Current/OwnerName,Current/ExpiryDate", Some(vec!["/Current/OwnerName", "/Current/ExpiryDate"])),
        ("?$select=Current/OwnerName,Current", Some(vec!["/Current"])),
        ("?$select=New/OwnerName", Some(vec!["/New"])),
        (
            "?$select=ExtendedModuleLicenses/NumberOfLicensesFree",
            Some(vec![
                "/ExtendedModuleLicenses/0/NumberOfLicensesFree",
                "/ExtendedModuleLicenses/1/NumberOfLicensesFree",
                "/ExtendedModuleLicenses/2/NumberOfLicensesFree",
            ]),
        ),
        (
            "?$select=current/moduleLICENSES/modulename",
            Some(vec![
                "/Current/ModuleLicenses/0/ModuleName",
                "/Current/ModuleLicenses/1/ModuleName",
                "/Current/ModuleLicenses/2/ModuleName",
            ]),
        ),
        ("?$select=Nothing", Some(vec![])),
        ("?$select=Nothing,Reason", Some(vec!["/Reason"])),
        ("?$select=Reason/Deeper/Still", Some(vec!["/Reason"])),
        ("?$select=Gr%C3%B6%C3%9Fe,%FF,%zz", Some(vec![])),
    ] {
        let line = format!("POST {AGENT}/GetLicenseFromDB{query}");
        let answer = api.ask(&line, JSON, r#"{"OwnerName":"CONTOSO"}"#);
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = wanted.map_or_else(|| all.clone(), |paths| only(&all, "", &paths));
        let found = parsed(&answer);
        assert_eq!(found, expected, "{query}");
        let names = |object: &Json| object.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&all), "{query}: all members, in their order");
    }
    // The items of a list that is the answer; and nothing to select from.
    for (operation, arguments, query, expected) in [
        (
            "GetThirdPartyLicenseAssignments",
            json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7 }),
            "name",
            json!("SKRAFTDISKIMAGEV5"),
        ),
        ("GetThirdPartyLicenseAssignments", json!({ "ModuleOwner": "CONTOSO", "AssociateId": 7 }), "total", Json::Null),
    ] {
        let answer = api.ask(&format!("POST {AGENT}/{operation}?$select={query}"), JSON, arguments.to_string());
        assert_eq!(parsed(&answer)[0]["Name"], expected);
        assert_eq!(parsed(&answer)[0]["FieldProperties"], Json::Null);
    }
    let shop = api.ask(&format!("POST {AGENT}/GetShopUrl?$select=Name"), JSON, r#"{"OwnerName":"CONTOSO"}"#);
    assert_eq!(shop.body, r#""https://shop.example/?a=1&b=2""#);
}

/// The members at these paths and below them; the others null.
fn only(value: &Json, at: &str, wanted: &[&str]) -> Json {
    if wanted.iter().any(|path| at.starts_with(path)) {
        return value.clone();
    }
    // The answer itself is there, whatever is selected of it.
    if !at.is_empty() && !wanted.iter().any(|path| path.starts_with(&format!("{at}/"))) {
        return Json::Null;
    }
    match value {
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), only(value, &format!("{at}/{name}"), wanted)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Json::Array(items) => {
            items.iter().enumerate().map(|(i, item)| only(item, &format!("{at}/{i}"), wanted)).collect()
        }
        _ => Json::Null,
    }
}

// Dates -------------------------------------------------------------------------------------------------------------

#[test]
fn time_zones() {
    let api = Api::start();
    const UTC: [&str; 2] = ["2097-01-31T00:00:00Z", "2097-07-31T12:34:56Z"];
    const LOCAL_UTC: [&str; 2] = ["2097-01-31T00:00:00", "2097-07-31T12:34:56"];
    const OSLO: [&str; 2] = ["2097-01-31T01:00:00", "2097-07-31T14:34:56"];
    const OSLO_OFFSET: [&str; 2] = ["2097-01-31T01:00:00+01:00", "2097-07-31T14:34:56+02:00"];
    const NEW_YORK: [&str; 2] = ["2097-01-30T19:00:00", "2097-07-31T08:34:56"];
    const NEW_YORK_OFFSET: [&str; 2] = ["2097-01-30T19:00:00-05:00", "2097-07-31T08:34:56-04:00"];
    for (headers, dates, zone) in [
        ("", UTC, None),
        ("SO-TimeZone: NO\r\n", OSLO, Some("NO")),
        ("so-timezone: no\r\n", OSLO, Some("NO")),
        ("SO-TIMEZONE:261\r\n", OSLO, Some("NO")),
        ("SO-Timezone: NO, includeTZOffset\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: NO,includeTZOffset\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: 261 , INCLUDETZOFFSET \r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: includeTZOffset,NO\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: NO\r\nSO-TimeZone: includeTZOffset\r\n", OSLO_OFFSET, Some("NO")),
        ("SO-TimeZone: US-NY\r\n", NEW_YORK, Some("US-NY")),
        ("SO-TimeZone: 460\r\n", NEW_YORK, Some("US-NY")),
        ("SO-TimeZone: us-ny, includeTZOffset\r\n", NEW_YORK_OFFSET, Some("US-NY")),
        // In the south summer is in January.
        ("SO-TimeZone: AU-ACT\r\n", ["2097-01-31T11:00:00", "2097-07-31T22:34:56"], Some("AU-ACT")),
        // Without daylight saving time; and between the hours.
        ("SO-TimeZone: US-HI\r\n", ["2097-01-30T14:00:00", "2097-07-31T02:34:56"], Some("US-HI")),
        ("SO-TimeZone: IN\r\n", ["2097-01-31T05:30:00", "2097-07-31T18:04:56"], Some("IN")),
        ("SO-TimeZone: UTC\r\n", LOCAL_UTC, Some("UTC")),
        ("SO-TimeZone: 1\r\n", LOCAL_UTC, Some("UTC")),
        ("SO-TimeZone: UTC, includeTZOffset\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: includeTZOffset\r\n", UTC, Some("UTC")),
        // No zone that is known is none.
        ("SO-TimeZone: XX\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: Europe/Oslo\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: 99999\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: -1\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: 99999999999999999999\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: XX, includeTZOffset\r\n", UTC, Some("UTC")),
        ("SO-TimeZone:\r\n", UTC, Some("UTC")),
        ("SO-TimeZone: ,,;\r\n", UTC, Some("UTC")),
        // The vendor's client tells the browser's offset with every call; it is not a wish.
        ("SO-Browser-TZ-Offset: -120\r\n", UTC, None),
    ] {
        let resource = api.ask(&format!("GET {OWNER}"), headers, "");
        let line = format!("POST {AGENT}/GetLicenseFromDB");
        let agent = api.ask(&line, &format!("{JSON}{headers}"), r#"{"OwnerName":"CONTOSO"}"#);
        for answer in [resource, agent] {
            let license = &parsed(&answer)["Current"];
            assert_eq!([&license["NextCheckDate"], &license["MaintenanceDate"]], dates, "{headers:?}");
            assert_eq!(license["GraceDate"], "0001-01-01T00:00:00", "{headers:?}: none, in whatever zone");
            assert_eq!(answer.header("so-timezone"), zone, "{headers:?}");
        }
    }
}

/// What was fetched in a zone can be handed back in it.
#[test]
fn dates_are_read_in_the_zone_they_were_told_in() {
    let api = Api::start();
    api.0.sql(
        "INSERT INTO license_offer (entity_id, company_name, expires_at) VALUES (42, 'Contoso', '2099-07-31T22:30:00Z');
         INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES
             (42, 'SkraftDiskImageV5', 10), (42, 'SqlBackup', 4), (42, 'ExchangeBackup', 0);",
    );
    let validate = |fetched: &str, handed_back: &str| {
        let line = format!("POST {AGENT}/GetLicenseFromLicenseServer");
        let license = api.ask(&line, &format!("{JSON}{fetched}"), r#"{"OwnerName":"CONTOSO"}"#);
        let body = json!({ "LicenseInfo": parsed(&license) }).to_string();
        let answer = api.ask(&format!("POST {AGENT}/ValidateLicenseInfo"), &format!("{JSON}{handed_back}"), body);
        (parsed(&license)["New"]["ExpiryDate"].clone(), parsed(&answer)["Succeeded"].clone())
    };
    for (fetched, handed_back, expiry, succeeded) in [
        ("", "", "2099-07-31T22:30:00Z", true),
        ("SO-TimeZone: NO\r\n", "SO-TimeZone: NO\r\n", "2099-08-01T00:30:00", true),
        ("SO-TimeZone: NO, includeTZOffset\r\n", "", "2099-08-01T00:30:00+02:00", true),
        ("SO-TimeZone: NO, includeTZOffset\r\n", "SO-TimeZone: US-NY\r\n", "2099-08-01T00:30:00+02:00", true),
        ("", "SO-TimeZone: NO\r\n", "2099-07-31T22:30:00Z", true),
        ("SO-TimeZone: NO\r\n", "", "2099-08-01T00:30:00", false),
    ] {
        assert_eq!(validate(fetched, handed_back), (json!(expiry), json!(succeeded)), "{fetched:?} {handed_back:?}");
    }
}
