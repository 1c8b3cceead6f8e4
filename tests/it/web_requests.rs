//! The Web API at the wire, as tables: how it reads bodies, paths, queries and methods. Other files test what the
//! operations do.

use seatkeeper::netserver::{LICENSE, types};
use serde_json::json;

use crate::harness::*;
use crate::web::*;

// Bodies ------------------------------------------------------------------------------------------------------------

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn content_types() {
    let api = Api::start();
    let json = r#"{"OwnerName":"größe"}"#;
    let xml = "<Request><OwnerName>größe</OwnerName></Request>";
    let form = "OwnerName=gr%C3%B6%C3%9Fe";
    let bom = |bytes: &[u8]| [&b"\xEF\xBB\xBF"[..], bytes].concat();
    let little = |text: &str| utf16(text, u16::to_le_bytes);
    let big = |text: &str| utf16(text, u16::to_be_bytes);
    let marked = |text: &str| [&b"\xFF\xFE"[..], &utf16(text, u16::to_le_bytes)].concat();
    let declared = format!("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>{xml}");
    for (content_type, body) in [
        (Some("application/json"), json.as_bytes().to_vec()),
        (Some("text/json"), json.into()),
        (Some("application/json-patch+json"), json.into()),
        (Some("application/merge-patch+json"), json.into()),
        (Some("application/xml"), xml.into()),
        (Some("text/xml"), xml.into()),
        (Some("application/x-www-form-urlencoded"), form.into()),
        // What is not said to be anything is taken for JSON.
        (None, json.into()),
        (Some("Application/JSON"), json.into()),
        (Some("application/json;charset=UTF-8"), json.into()),
        (Some("application/json; charset=\"utf-8\"; odd"), json.into()),
        (Some("application/json; charset=utf-16"), little(json)),
        (Some("application/json; charset=utf-16"), marked(json)),
        (Some("application/json; charset=utf-16be"), big(json)),
        (Some("application/json; charset=iso-8859-1"), latin1(json)),
        (Some("application/json; charset='utf-8'"), json.into()),
        (Some("application/json; charset=\"\"latin1\"\""), latin1(json)),
        (Some("application/json; charset=klingon"), json.into()),
        (Some("application/json; charset="), json.into()),
        (Some("application/json, application/json; charset=latin1"), latin1(json)),
        (Some("application/xml; charset=klingon"), latin1(&declared)),
        // A C program's end of a string.
        (Some("application/json"), format!("{json}\0").into()),
        (Some("application/xml"), format!("{xml}\n\0").into()),
        (Some("application/x-www-form-urlencoded"), format!("{form}\0").into()),
        // A byte order mark decides.
        (Some("application/json"), bom(json.as_bytes())),
        (Some("application/json; charset=iso-8859-1"), bom(json.as_bytes())),
        (Some("application/json"), marked(json)),
        (Some("text/xml; charset=utf-16"), little(xml)),
        (Some("text/xml"), marked(xml)),
        (Some("text/xml"), bom(xml.as_bytes())),
        (Some("text/xml; charset=utf-8"), declared.clone().into()),
        (Some("application/xml"), latin1(&declared)),
        (Some("application/x-www-form-urlencoded; charset=utf-8"), form.into()),
        (Some("application/x-www-form-urlencoded"), bom(form.as_bytes())),
    ] {
        let headers = content_type.map_or_else(String::new, |t| format!("Content-Type: {t}\r\n"));
        let answer = api.ask(&format!("POST {AGENT}/GetLicenseStatusFromLicenseServer"), &headers, &body);
        assert_eq!(answer.status, 200, "{content_type:?} {answer:?}");
        assert!(answer.body.contains("'größe'"), "{content_type:?} {}: {answer:?}", String::from_utf8_lossy(&body));
    }
    for (coding, status) in
        [("gzip", 415), ("identity, br", 415), ("identity", 200), ("IDENTITY", 200), ("utf-8", 200), ("", 200)]
    {
        let headers = format!("{JSON}Content-Encoding: {coding}\r\n");
        let answer = api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), &headers, json);
        assert_eq!(answer.status, status, "{coding:?} {answer:?}");
    }
    for content_type in [
        "text/plain",
        "text/html",
        "application/soap+xml",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
        "application/vnd.api+json",
        "application/jso",
        "application",
        "",
        ";",
        "gr\u{f6}\u{df}e/json",
    ] {
        let headers = format!("Content-Type: {content_type}\r\n");
        for line in [format!("POST {AGENT}/GetLicenseFromDB"), format!("PUT {OWNER}/7")] {
            let answer = api.ask(&line, &headers, json);
            assert_error(&answer, 415, "SoInvalidArgumentException");
        }
    }
}

#[test]
fn arguments_as_json() {
    let api = Api::start();
    let status = |body: &str| {
        let answer = api.ask(&format!("POST {AGENT}/GetLicenseStatusFromLicenseServer"), JSON, body);
        if answer.status == 400 {
            assert_invalid(&answer);
            return None;
        }
        Some(parsed(&answer)["LicenseStatus"].as_str().expect("a status") == "Ok")
    };
    for (body, known) in [
        (r#"{"OwnerName":"CONTOSO"}"#, Some(true)),
        (r#"{"ownerName":"CONTOSO"}"#, Some(true)),
        (r#"{"OWNERNAME":"contoso"}"#, Some(true)),
        (r#" { "OwnerName" : "\u0043ONTOSO" } "#, Some(true)),
        (r#"{"OwnerName":"CONTOSO","Other":{"deep":[1,{}]},"":null}"#, Some(true)),
        (r#"{"OwnerName":"\"<&>\u00e6\ud83d\ude00"}"#, Some(false)),
        (r#"{"OwnerName":"\ud800"}"#, None),
        (r#"{"OwnerName":"CONTOSO"} {}"#, None),
        (r#"{"OwnerName":"CONTOSO",}"#, None),
        (r#"{'OwnerName':'CONTOSO'}"#, None),
        (r#"{"OwnerName":"CONTOSO""#, None),
        (r#"{"OwnerName":null}"#, None),
        (r#"{"OwnerName":""}"#, None),
        (r#"{"OwnerName":" \t\n"}"#, None),
        (r#"{"OwnerName":5}"#, None),
        (r#"{"OwnerName":["CONTOSO"]}"#, None),
        (r#"{"OwnerName":{"a":"CONTOSO"}}"#, None),
        (r#"{"Owner Name":"CONTOSO"}"#, None),
        ("{}", None),
        ("null", None),
        ("", None),
        (" ", None),
        ("[]", None),
        (r#"["CONTOSO"]"#, None),
        (r#""CONTOSO""#, None),
        ("5", None),
        ("<OwnerName>CONTOSO</OwnerName>", None),
        ("OwnerName=CONTOSO", None),
        ("\0", None),
        (&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), None),
        (&format!(r#"{{"x":{}{},"OwnerName":"CONTOSO"}}"#, "[".repeat(1_000), "]".repeat(1_000)), None),
    ] {
        assert_eq!(status(body), known, "{}", body.get(..80).unwrap_or(body));
    }
    let held = |associate: &str| {
        let body = format!(r#"{{"ModuleOwner":"CONTOSO","AssociateId":{associate}}}"#);
        let answer = api.ask(&format!("POST {AGENT}/GetThirdPartyLicenseAssignments"), JSON, body);
        if answer.status == 400 { None } else { Some(parsed(&answer).as_array().expect("a list").len()) }
    };
    for (associate, count) in [
        ("7", Some(1)),
        ("7.0", Some(1)),
        ("70e-1", Some(1)),
        (r#""7""#, Some(1)),
        (r#"" 7 ""#, Some(1)),
        ("8", Some(0)),
        ("7.5", None),
        ("0", Some(0)),
        ("-7", None),
        ("2147483648", None),
        ("4294967303", None),
        ("1e99", None),
        ("1e999", None),
        ("true", None),
        ("null", None),
        ("[7]", None),
        (r#""seven""#, None),
        (r#""""#, None),
        ("007", None),
        ("0x7", None),
    ] {
        assert_eq!(held(associate), count, "{associate}");
    }
}

#[test]
fn arguments_as_xml_and_forms() {
    let api = Api::start();
    let held = |content_type: &str, body: &str| {
        let headers = format!("Content-Type: {content_type}\r\n");
        let answer = api.ask(&format!("POST {AGENT}/GetThirdPartyLicenseAssignments"), &headers, body);
        if answer.status == 400 {
            assert_invalid(&answer);
            return None;
        }
        Some(parsed(&answer).as_array().expect("a list").len())
    };
    const ARGUMENTS: &str = "<ModuleOwner>CONTOSO</ModuleOwner><AssociateId>7</AssociateId>";
    for (body, count) in [
        (format!("<R>{ARGUMENTS}</R>"), Some(1)),
        (format!("<?xml version=\"1.0\"?>\n<!-- x --><R xmlns=\"urn:any\">{ARGUMENTS}<Other a=\"b\"><c/></Other></R>\n"), Some(1)),
        (format!("<x:R xmlns:x=\"urn:x\">{}</x:R>", ARGUMENTS.replace("</", "</x:").replace("<M", "<x:M").replace("<A", "<x:A")), Some(1)),
        ("<r><associateid> 7 </associateid><MODULEOWNER>contoso</MODULEOWNER></r>".to_owned(), Some(1)),
        ("<R><ModuleOwner><![CDATA[CONTOSO]]></ModuleOwner><AssociateId>&#55;</AssociateId></R>".to_owned(), Some(1)),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>8</AssociateId></R>".to_owned(), Some(0)),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner></R>".to_owned(), None),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner><AssociateId/></R>".to_owned(), None),
        ("<R><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>x</AssociateId></R>".to_owned(), None),
        (
            "<R xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><ModuleOwner i:nil=\"true\"/><AssociateId>7</AssociateId></R>"
                .to_owned(),
            None,
        ),
        (format!("<!DOCTYPE R [<!ENTITY e \"7\">]><R>{ARGUMENTS}</R>"), None),
        (format!("<R>{ARGUMENTS}"), None),
        (format!("<R>{ARGUMENTS}</R><R/>"), None),
        (format!("{}{ARGUMENTS}{}", "<R>".repeat(1_000), "</R>".repeat(1_000)), None),
        (r#"{"ModuleOwner":"CONTOSO","AssociateId":7}"#.to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(held("application/xml", &body), count, "{}", body.get(..200).unwrap_or(&body));
    }
    for (body, count) in [
        ("ModuleOwner=CONTOSO&AssociateId=7", Some(1)),
        ("moduleowner=contoso&ASSOCIATEID=+7+&other=x&&=", Some(1)),
        ("ModuleOwner=%43ONTOSO&AssociateId=%37", Some(1)),
        ("ModuleOwner=CONTOSO&AssociateId=8", Some(0)),
        ("ModuleOwner=CONTOSO", None),
        ("ModuleOwner=&AssociateId=7", None),
        ("ModuleOwner=CONTOSO&AssociateId=x", None),
        ("", None),
    ] {
        assert_eq!(held("application/x-www-form-urlencoded", body), count, "{body}");
    }
}

/// Names of modules: as one argument, and as the body of the resource.
#[test]
fn lists_as_json_xml_and_forms() {
    let api = Api::start();
    const XML: &str = "Content-Type: text/xml\r\n";
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let agent = format!("POST {AGENT}/AssignThirdPartyLicenses");
    let resource = format!("PUT {OWNER}/8");
    for (line, headers, body, held) in [
        (
            &agent,
            JSON,
            r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":["sqlbackup"," SKRAFTDISKIMAGEV5 "]}"#,
            2,
        ),
        (
            &agent,
            XML,
            "<a><moduleOwner>CONTOSO</moduleOwner><associateId>8</associateId><moduleLicenseNames><string>SQLBACKUP</string></moduleLicenseNames></a>",
            1,
        ),
        (
            &agent,
            XML,
            "<a xmlns:b='http://schemas.microsoft.com/2003/10/Serialization/Arrays'><ModuleOwner>CONTOSO</ModuleOwner><AssociateId>8</AssociateId>\
             <ModuleLicenseNames><b:string>SQLBACKUP</b:string><b:string>SKRAFTDISKIMAGEV5</b:string></ModuleLicenseNames></a>",
            2,
        ),
        (
            &agent,
            FORM,
            "ModuleOwner=CONTOSO&AssociateId=8&ModuleLicenseNames=SQLBACKUP&modulelicensenames=SKRAFTDISKIMAGEV5",
            2,
        ),
        (&agent, FORM, "ModuleOwner=CONTOSO&AssociateId=8&ModuleLicenseNames%5B%5D=SQLBACKUP", 1),
        (
            &agent,
            FORM,
            "ModuleLicenseNames[1]=SKRAFTDISKIMAGEV5&moduleOwner=CONTOSO&associateId=8&ModuleLicenseNames[0]=SQLBACKUP",
            2,
        ),
        (&agent, FORM, "ModuleLicenseNames%5B007%5D=SQLBACKUP&ModuleOwner=CONTOSO&AssociateId=8", 1),
        (
            &agent,
            FORM,
            "ModuleLicenseNames[99999999999999999999999]=SQLBACKUP&ModuleLicenseNames[]=SQLBACKUP&ModuleLicenseNames=SKRAFTDISKIMAGEV5&ModuleOwner=CONTOSO&AssociateId=8",
            2,
        ),
        (&agent, FORM, "ModuleLicenseNames[x]=SQLBACKUP&ModuleOwner=CONTOSO&AssociateId=8", 400),
        (&agent, FORM, "ModuleLicenseNames[0][Name]=SQLBACKUP&ModuleOwner=CONTOSO&AssociateId=8", 400),
        (&agent, FORM, "ModuleLicenseNames[0=SQLBACKUP&ModuleOwner=CONTOSO&AssociateId=8", 400),
        (&agent, FORM, "ModuleLicenseNamesX=SQLBACKUP&ModuleOwner=CONTOSO&AssociateId=8", 400),
        (&resource, JSON, r#"["SQLBACKUP","SQLBACKUP"]"#, 1),
        (&resource, "", r#"["SQLBACKUP","SKRAFTDISKIMAGEV5"]"#, 2),
        (&resource, XML, "<ArrayOfstring><string>SQLBACKUP</string></ArrayOfstring>", 1),
        (&resource, "Content-Type: application/merge-patch+json\r\n", r#"["SQLBACKUP"]"#, 1),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":"SQLBACKUP"}"#, 400),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":[]}"#, 400),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":[null]}"#, 400),
        (
            &agent,
            JSON,
            r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":["SQLBACKUP","NOTHING"]}"#,
            400,
        ),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8}"#, 400),
        (&resource, JSON, r#""SQLBACKUP""#, 400),
        (&resource, JSON, r#"{"ModuleLicenseNames":["SQLBACKUP"]}"#, 400),
        (&resource, JSON, "[]", 400),
        (&resource, JSON, "null", 400),
        (&resource, JSON, "", 400),
        (&resource, FORM, "ModuleLicenseNames=SQLBACKUP&moduleLicenseNames=SKRAFTDISKIMAGEV5&other=x", 2),
        (&resource, FORM, "ModuleLicenseNames[1]=SQLBACKUP&ModuleLicenseNames[0]=SKRAFTDISKIMAGEV5", 2),
        (&resource, FORM, "ModuleLicenseNames%5B%5D=SQLBACKUP", 1),
        (&resource, FORM, "=SQLBACKUP&=SKRAFTDISKIMAGEV5", 2),
        (&resource, FORM, "[0]=SQLBACKUP", 1),
        (&resource, FORM, "[]=SQLBACKUP&[]=SQLBACKUP", 1),
        (&resource, FORM, "[x]=SQLBACKUP", 400),
        (&resource, FORM, "SQLBACKUP", 400),
        (&resource, FORM, "Other=SQLBACKUP", 400),
        (&resource, FORM, r#"["SQLBACKUP"]"#, 400),
        (&resource, XML, "<ArrayOfstring><item>SQLBACKUP</item></ArrayOfstring>", 400),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":8,"ModuleLicenseNames":["EXCHANGEBACKUP"]}"#, 409),
        (&resource, JSON, r#"["EXCHANGEBACKUP"]"#, 409),
        (&agent, JSON, r#"{"ModuleOwner":"NOBODY","AssociateId":8,"ModuleLicenseNames":["SQLBACKUP"]}"#, 404),
        (&agent, JSON, r#"{"ModuleOwner":"CONTOSO","AssociateId":999,"ModuleLicenseNames":["SQLBACKUP"]}"#, 404),
    ] {
        let answer = api.ask(line, headers, body);
        match held {
            0..100 => assert_eq!(parsed(&answer).as_array().map(Vec::len), Some(held), "{body} {answer:?}"),
            400 if line == &agent => assert_invalid(&answer),
            400 => assert_error(&answer, 400, "SoInvalidArgumentException"),
            404 => assert_error(&answer, 404, "SoNotFoundException"),
            status => assert_error(&answer, status as u16, "SoLicenseException"),
        }
        api.0.sql("UPDATE seat SET account_id = NULL WHERE account_id = 8");
    }
    assert_eq!(api.0.violations(), []);
}

/// The indices say in which order: of two modules that are refused the first is named.
#[test]
fn items_of_a_form_are_read_in_the_order_of_their_indices() {
    let api = Api::start();
    for (items, first) in [
        ("ModuleLicenseNames[1]=A&ModuleLicenseNames[0]=B", "B"),
        ("ModuleLicenseNames[10]=A&ModuleLicenseNames[9]=B", "B"),
        ("ModuleLicenseNames[10]=A&ModuleLicenseNames[009]=B", "B"),
        ("ModuleLicenseNames[18446744073709551616]=A&ModuleLicenseNames[18446744073709551615]=B", "B"),
        ("ModuleLicenseNames=A&ModuleLicenseNames[5]=B", "B"),
        ("ModuleLicenseNames[]=A&ModuleLicenseNames=B", "A"),
        ("ModuleLicenseNames[0]=A&ModuleLicenseNames[0]=B", "A"),
    ] {
        let form = format!("ModuleOwner=CONTOSO&AssociateId=8&{items}");
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = api.ask(&format!("POST {AGENT}/AssignThirdPartyLicenses"), headers, form);
        assert_invalid(&answer);
        assert!(answer.body.contains(&format!("no module '{first}'")), "{items}: {answer:?}");
    }
}

/// The vendor's own examples write arguments of agent calls into the query.
#[test]
fn arguments_in_the_query() {
    let api = Api::start();
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let shop = r#""https://shop.example/?a=1&b=2""#;
    for (call, headers, body, expected) in [
        ("GetShopUrl?ownerName=CONTOSO", "", "", Ok(shop)),
        ("GetShopUrl?OWNERNAME=contoso", "", "", Ok(shop)),
        ("GetShopUrl?ownerName=%43ONTOSO&x=1&&=", "", "", Ok(shop)),
        ("GetShopUrl?ownerName=NOBODY", "", "", Ok("null")),
        ("GetShopUrl?ownerName=CONTOSO", JSON, "", Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", FORM, "", Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", "Content-Type: text/plain\r\n", "", Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", JSON, "{}", Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", JSON, "null", Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", JSON, r#"{"OwnerName":null}"#, Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", "Content-Type: text/xml\r\n", "<R/>", Ok(shop)),
        // Both places may say the same.
        ("GetShopUrl?ownerName=CONTOSO", JSON, r#"{"OwnerName":"CONTOSO"}"#, Ok(shop)),
        ("GetShopUrl?ownerName=CONTOSO", FORM, "OwnerName=CONTOSO", Ok(shop)),
        (
            "GetShopUrl?ownerName=CONTOSO",
            JSON,
            r#"{"OwnerName":"NOBODY"}"#,
            Err("OwnerName is in the body and in the query, with different values."),
        ),
        (
            "GetShopUrl?ownerName=",
            JSON,
            r#"{"OwnerName":"CONTOSO"}"#,
            Err("OwnerName is in the body and in the query, with different values."),
        ),
        ("GetShopUrl?ownerName=", "", "", Err("OwnerName is empty.")),
        ("GetShopUrl?name=CONTOSO", "", "", Err("OwnerName is empty.")),
        ("GetShopUrl", "", "", Err("OwnerName is empty.")),
        // Some here, some there.
        (
            "GetModuleLicenseFromDB?ownerName=CONTOSO&$select=modulename",
            JSON,
            r#"{"ModuleName":"SQLBACKUP"}"#,
            Ok("\"ModuleName\":\"SQLBACKUP\",\"ModuleDescription\":null"),
        ),
        (
            "GetThirdPartyLicenseAssignments?moduleOwner=CONTOSO&associateId=7&%24select=name",
            "",
            "",
            Ok("\"Name\":\"SKRAFTDISKIMAGEV5\",\"Description\":null"),
        ),
        (
            "GetThirdPartyLicenseAssignments?moduleOwner=CONTOSO&associateId=x",
            "",
            "",
            Err("AssociateId is not an integer of 32 bits."),
        ),
        (
            "GetThirdPartyLicenseAssignments?moduleOwner=CONTOSO&associateId=7",
            JSON,
            r#"{"AssociateId":"8"}"#,
            Err("AssociateId is in the body"),
        ),
        ("UnassignThirdPartyLicenses?moduleOwner=CONTOSO&associateId=8&moduleLicenseNames=SQLBACKUP", "", "", Ok("[]")),
        (
            "UnassignThirdPartyLicenses?moduleOwner=CONTOSO&associateId=8&moduleLicenseNames[0]=SQLBACKUP&moduleLicenseNames[1]=EXCHANGEBACKUP",
            "",
            "",
            Ok("[]"),
        ),
        (
            "UnassignThirdPartyLicenses?moduleOwner=CONTOSO&associateId=8&moduleLicenseNames[a]=SQLBACKUP",
            "",
            "",
            Err("is not an index"),
        ),
        (
            "ChangeSerialNumber?newCompanyName=a+b&newSerialNumber=1",
            "",
            "",
            Ok("company 'a b' under serial number '1'"),
        ),
        ("ValidateLicenseInfo?licenseInfo=x", "", "", Err("LicenseInfo cannot be sent in a form or a query.")),
        (
            "ValidateLicenseInfo?licenseInfo[New][OwnerName]=x",
            "",
            "",
            Err("LicenseInfo cannot be sent in a form or a query."),
        ),
        ("GetSatelliteLicenses?satelliteId=5", "", "", Ok("[]")),
    ] {
        let answer = api.ask(&format!("POST {AGENT}/{call}"), headers, body);
        let text = match expected {
            Ok(text) => {
                assert_eq!(answer.status, 200, "{call} {body}: {answer:?}");
                text
            }
            Err(text) => {
                assert_invalid(&answer);
                text
            }
        };
        assert!(answer.body.contains(text), "{call} {body}: {answer:?}");
    }
    assert_eq!(api.bare(&format!("POST {AGENT}/GetShopUrl?ownerName=CONTOSO"), "", "").status, 401);
}

/// System.Text.Json writes enumerations as numbers, and other serializers as numbers in quotes.
#[test]
fn enumerations_by_name_or_number() {
    for (of, number, name) in [
        (&types::LICENSE_STATUS, 0, Some("Ok")),
        (&types::LICENSE_STATUS, 6, Some("NewLicenseActivated")),
        (&types::LICENSE_STATUS, 7, None),
        (&types::LICENSE_STATUS, 100, Some("ProblemWithLicense")),
        (&types::LICENSE_STATUS, 5000, Some("UnknownError")),
        (&types::LICENSE_TYPE, 3, Some("UserLicense")),
        (&types::LICENSE_TYPE, -1, None),
        (&types::USER_TYPE, 1, Some("InternalAssociate")),
        (&types::ROLE_TYPE, 3, Some("System")),
        (&types::EJ_USER_STATUS, 127, Some("StatusSystem")),
        (&types::EJ_USER_STATUS, 6, None),
        (&types::NET_SERVER_BUILD_TYPE, 5, Some("Release")),
    ] {
        assert_eq!(of.numbered(number), name, "{} {number}", of.name);
    }
    let api = Api::start();
    let call = |media_type: &str, operation: &str, body: String| {
        let headers = format!("Content-Type: {media_type}\r\nAccept: {media_type}\r\n");
        api.ask(&format!("POST {AGENT}/{operation}"), &headers, body)
    };
    const JSON: &str = "application/json";
    const XML: &str = "application/xml";
    let as_json = call(JSON, "GetLicenseFromLicenseServer", r#"{"OwnerName":"CONTOSO"}"#.to_owned()).body;
    let as_xml = call(XML, "GetLicenseFromLicenseServer", "<R><OwnerName>CONTOSO</OwnerName></R>".to_owned()).body;
    let (_, as_xml) = as_xml.split_once("?>").expect("a declaration");
    for (media_type, typed, outcome) in [
        (JSON, "3", "true"),
        (JSON, "3.0", "true"),
        (JSON, "\"3\"", "true"),
        (JSON, "\" 3 \"", "true"),
        (JSON, "\"userlicense\"", "true"),
        (JSON, "null", "true"),
        (JSON, "1", "LicenseType of module SKRAFTDISKIMAGEV5 differs"),
        (JSON, "4", "LicenseType is not one of Unknown, SiteLicense"),
        (JSON, "-1", "LicenseType is not one of"),
        (JSON, "3.5", "LicenseType is not one of"),
        (JSON, "1e99", "LicenseType is not one of"),
        (JSON, "\"User\"", "LicenseType is not one of"),
        (JSON, "\"\"", "LicenseType is not one of"),
        (JSON, "true", "LicenseType is not the name or number of a value"),
        (JSON, "[3]", "LicenseType is not the name or number of a value"),
        (XML, "3", "true"),
        (XML, " 3 ", "true"),
        (XML, "1", "LicenseType of module SKRAFTDISKIMAGEV5 differs"),
        (XML, "4", "'4' is not a valid value for LicenseType"),
    ] {
        let body = if media_type == JSON {
            let license = as_json.replacen("\"LicenseType\":\"UserLicense\"", &format!("\"LicenseType\":{typed}"), 1);
            format!("{{\"LicenseInfo\":{license}}}")
        } else {
            let license = as_xml.replacen("<LicenseType>UserLicense<", &format!("<LicenseType>{typed}<"), 1);
            format!("<R>{}</R>", license.replace("ExtendedLicenseInfo", "LicenseInfo"))
        };
        let answer = call(media_type, "ValidateLicenseInfo", body);
        let found = if media_type == JSON { "\"Succeeded\":true" } else { "<Succeeded>true<" };
        let expected = if outcome == "true" { found } else { outcome };
        assert!(answer.body.contains(expected), "{media_type} {typed}: {answer:?}");
    }
}

/// The usual mistake of a first call: curl -d sends a form, fetch sends plain text, and a copied header says something else.
#[test]
fn a_wrong_content_type_is_named() {
    let api = Api::start();
    let list = r#"["SQLBACKUP"]"#;
    let object = r#"{"OwnerName":"CONTOSO"}"#;
    let xml = "<R><OwnerName>CONTOSO</OwnerName></R>";
    let form = "OwnerName=CONTOSO";
    const SEND_JSON: &str = "send it with Content-Type: application/json.";
    for (line, sent, body, status, expected) in [
        (
            "POST",
            "application/x-www-form-urlencoded",
            object,
            400,
            "looks like JSON, but its Content-Type is application/x-www-form-urlencoded. Send Content-Type: application/json.",
        ),
        ("POST", "application/x-www-form-urlencoded", "[]", 400, "looks like JSON"),
        (
            "POST",
            "application/x-www-form-urlencoded",
            xml,
            400,
            "looks like XML, but its Content-Type is application/x-www-form-urlencoded. Send Content-Type: application/xml.",
        ),
        ("PUT", "application/x-www-form-urlencoded", list, 400, "Send Content-Type: application/json."),
        ("PUT", "application/x-www-form-urlencoded", "<a/>", 400, "Send Content-Type: application/xml."),
        (
            "POST",
            "text/plain",
            object,
            415,
            "'text/plain' is not accepted here. The body looks like JSON: send Content-Type: application/json.",
        ),
        ("POST", "text/plain", xml, 415, "looks like XML: send Content-Type: application/xml."),
        ("POST", "text/plain", form, 415, "looks like a form: send Content-Type: application/x-www-form-urlencoded."),
        (
            "POST",
            "text/plain",
            "CONTOSO",
            415,
            "Send Content-Type: application/json, application/xml or application/x-www-form-urlencoded, whichever the body is.",
        ),
        ("PUT", "text/plain", list, 415, "looks like JSON: send Content-Type: application/json."),
        ("POST", "application/json", xml, 400, "It looks like XML: send it with Content-Type: application/xml."),
        ("PUT", "application/json", "<a/>", 400, "It looks like XML"),
        (
            "POST",
            "application/json",
            form,
            400,
            "It looks like a form: send it with Content-Type: application/x-www-form-urlencoded.",
        ),
        ("POST", "", xml, 400, "It looks like XML"),
        ("POST", "application/xml", object, 400, SEND_JSON),
        ("PUT", "text/xml", list, 400, SEND_JSON),
        ("POST", "text/xml", form, 400, "It looks like a form"),
        // Where nothing else is meant, nothing else is said.
        (
            "POST",
            "application/json",
            r#"{"OwnerName":"#,
            400,
            "The body is not JSON: EOF while parsing a value at line 1 column 13.\"",
        ),
        ("POST", "application/xml", "<R>", 400, "The body could not be read: not well-formed XML"),
    ] {
        let line = if line == "POST" { format!("POST {AGENT}/GetShopUrl") } else { format!("PUT {OWNER}/8") };
        let headers = if sent.is_empty() { String::new() } else { format!("Content-Type: {sent}\r\n") };
        let answer = api.ask(&line, &headers, body);
        assert_eq!(answer.status, status, "{line} {sent} {body}: {answer:?}");
        assert!(answer.body.contains(expected), "{line} {sent} {body}: {answer:?}");
    }
    // An operation without arguments does not look into the body.
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(api.ask(&format!("POST {AGENT}/GetLicenseForAllOwnersFromDB"), headers, "{}").status, 200);
}

#[test]
fn bodies_in_bounds() {
    let api = Api::start();
    let long = format!(r#"{{"OwnerName":"{}"}}"#, "x".repeat(300_000));
    let answer = api.ask(&format!("POST {AGENT}/GetLicenseFromDB"), JSON, long);
    assert_error(&answer, 413, "SoInvalidArgumentException");
    let chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n";
    let line = format!("POST {AGENT}/GetShopUrl");
    let head = format!(
        "{line} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n{}{chunked}\r\n",
        basic("admin", PASSWORD)
    );
    let answer = api.raw(format!("{head}9\r\n{{\"OwnerNa\r\nd\r\nme\":\"CONTOSO\"\r\n1\r\n}}\r\n0\r\n\r\n").as_bytes());
    assert_eq!((answer.status, &*answer.body), (200, r#""https://shop.example/?a=1&b=2""#));
}

/// As few as XML may have: each takes hundreds of bytes when it is read, and anybody may send them.
#[test]
fn json_has_as_many_values_as_xml() {
    let api = Api::start();
    let body = |modules: usize| {
        let modules = vec!["{}"; modules].join(",");
        format!(r#"{{"LicenseInfo":{{"New":{{"OwnerName":"CONTOSO","ModuleLicenses":[{modules}]}}}}}}"#)
    };
    let line = format!("POST {AGENT}/ValidateLicenseInfo");
    // Five more are around them, and each of them counts twice, for its comma and for itself, but for the first.
    let answer = api.ask(&line, JSON, body(4_093));
    assert_eq!(answer.status, 200, "{answer:?}");
    for modules in [4_094, 80_000] {
        let answer = api.ask(&line, JSON, body(modules));
        assert_invalid(&answer);
        assert!(answer.body.contains("more than 8192 values"), "{answer:?}");
    }
}

/// A path without its id would otherwise name the owner, and the call would remove it.
#[test]
fn a_delete_that_would_remove_too_much_is_refused() {
    let api = Api::start();
    api.0.sql("UPDATE seat SET account_id = NULL");
    for (path, status) in
        [("CONTOSO/", 400), ("CONTOSO", 400), ("/CONTOSO", 404), ("CONTOSO//", 404), ("/7", 404), ("//", 404)]
    {
        let answer = api.ask(&format!("DELETE /api/v1/License/{path}"), JSON, r#"["SQLBACKUP"]"#);
        let kind = if status == 400 { "SoInvalidArgumentException" } else { "SoNotFoundException" };
        assert_error(&answer, status, kind);
    }
    assert_eq!(api.0.query::<i64>("SELECT count(*) FROM entity WHERE owner_name = 'CONTOSO'"), 1);
    assert_error(&api.ask("GET /api/v1/License//SQLBACKUP", "", ""), 404, "SoNotFoundException");
    let answer = api.ask("DELETE /api/v1/License/CONTOSO/", "", "");
    assert_eq!((answer.status, &parsed(&answer)["Succeeded"]), (200, &json!(true)), "{answer:?}");
}

/// The first call of many clients has no credentials, and they read nothing before all of it is sent.
#[test]
fn a_client_can_read_why_its_body_was_refused() {
    let api = Api::start();
    let body = vec![b' '; 20_000_000];
    for (line, headers, status) in [
        (format!("POST {AGENT}/GetLicenseFromDB"), JSON.to_owned(), 401),
        (format!("POST {AGENT}/GetNothing"), basic("admin", PASSWORD), 404),
        (format!("PATCH {AGENT}/GetLicenseFromDB"), basic("admin", PASSWORD), 405),
        (
            format!("POST {AGENT}/GetLicenseFromDB"),
            format!("{}Content-Encoding: br\r\n", basic("admin", PASSWORD)),
            415,
        ),
        (format!("POST {AGENT}/GetLicenseFromDB"), basic("admin", PASSWORD), 413),
    ] {
        assert_eq!(api.bare(&line, &headers, &body).status, status, "{line}");
    }
}

// Addresses ---------------------------------------------------------------------------------------------------------

#[test]
fn paths() {
    let api = Api::start();
    for (target, status) in [
        ("/api/v1/License/CONTOSO", 200),
        ("/api/v1/License/contoso", 200),
        ("/API/V1/LICENSE/CONTOSO", 200),
        ("/api/v1/license/Contoso/", 200),
        ("/api/v1/License/%43%4FNTOSO", 200),
        ("/api/v1/License/CONTOSO?x=%zz&&=", 200),
        ("/api/v1/License/%2543ONTOSO", 404),
        ("/api/v1/License/CONTOSO%2FShopUrl", 404),
        ("/api/v1/License/CONTOSO%00", 404),
        ("/api/v1/License/%FF%FE", 400),
        ("/api/v1/License/%zz", 404),
        ("/api/v1/License/a+b", 404),
        ("/api/v1/License/Wuckert,%20Cassin%20and%20Goyette", 404),
        ("/api/v1/License/Gr%C3%B6%C3%9Fe", 404),
        ("/api/v1/License/CONTOSO/shopurl", 200),
        ("/api/v1/License/CONTOSO/SHOPURL/", 200),
        ("/api/v1/License/CONTOSO/%53hopUrl", 200),
        ("/api/v1/License/CONTOSO/sqlBackup", 200),
        ("/api/v1/License/CONTOSO/SQLBACKUP/", 200),
        ("/api/v1/License/CONTOSO/7", 200),
        ("/api/v1/License/CONTOSO/07", 200),
        ("/api/v1/License/CONTOSO/%37", 200),
        ("/api/v1/License/CONTOSO/0", 200),
        ("/api/v1/License/CONTOSO/-7", 400),
        ("/api/v1/License/CONTOSO/7.0", 404),
        ("/api/v1/License/CONTOSO/2147483648", 404),
        ("/api/v1/License/user/mdolist", 200),
        ("/api/v1/License/USER/7", 200),
        ("/api/v1/License/User/0", 200),
        ("/api/v1/License/User/-1", 400),
        ("/api/v1/License/User/seven", 404),
        ("/api/v1/License/User", 404),
        ("/api/v1/License/Site/0", 200),
        ("/api/v1/License/site/3", 200),
        ("/api/v1/License/", 200),
        ("/api/v1/License", 200),
        ("/api/v1/Licenses", 404),
        ("/api/v1/Agents/License/getshopurl", 200),
        ("/API/V1/AGENTS/LICENSE/GETSHOPURL/", 200),
        ("/api/v1/Agents/License/GetShopUrls", 404),
        ("/api/v1/Agents/License/GetShopUrl/x", 404),
        ("/api/v2/License/CONTOSO", 404),
    ] {
        let answer = api.ask(&format!("GET {target}"), "", "");
        assert_eq!(answer.status, status, "{target} {answer:?}");
    }
    let called = api.ask("POST /API/v1/agents/LICENSE/getshopurl/", JSON, r#"{"OwnerName":"CONTOSO"}"#);
    assert_eq!(called.body, r#""https://shop.example/?a=1&b=2""#);
}

/// Which methods there are where.
#[test]
fn methods() {
    let api = Api::start();
    for (target, allow) in [
        ("/api", "GET, HEAD, OPTIONS"),
        ("/api/v1", "GET, HEAD, OPTIONS"),
        ("/api/v1/openapi.json", "GET, HEAD, OPTIONS"),
        ("/api/v1/swagger.json", "GET, HEAD, OPTIONS"),
        ("/api/v1/Agents/License/GetLicenseFromDB", "GET, POST, HEAD, OPTIONS"),
        ("/api/v1/License", "GET, POST, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO", "GET, DELETE, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO/ShopUrl", "GET, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO/7", "GET, PUT, DELETE, HEAD, OPTIONS"),
        ("/api/v1/License/CONTOSO/SQLBACKUP", "GET, HEAD, OPTIONS"),
        ("/api/v1/License/User/7", "GET, HEAD, OPTIONS"),
        ("/api/v1/License/ChangeSerialNumber", "POST, OPTIONS"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY", "get"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = api.ask(&format!("{method} {target}"), JSON, "{}");
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {target}");
            if method != "HEAD" {
                assert_error(&answer, 405, "SoNotSupportedException");
            }
        }
        // Of this anybody may ask.
        let options = api.bare(&format!("OPTIONS {target}"), "", "");
        assert_eq!((options.status, options.header("allow"), &*options.body), (204, Some(allow), ""), "{target}");
        if !allow.contains("HEAD") {
            continue;
        }
        let get = api.ask(&format!("GET {target}"), "", "");
        let head = api.ask(&format!("HEAD {target}"), "", "");
        assert_eq!((get.status, head.status, &*head.body), (200, 200, ""), "{target}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{target}");
        }
    }
    assert_eq!(api.0.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 1);
}

/// GET on an agent call says what it is and does not run it.
#[test]
fn agent_calls_describe_themselves() {
    let api = Api::start();
    for operation in LICENSE.operations {
        let answer = api.ask(&format!("GET {AGENT}/{}", operation.name), "", "");
        let description = parsed(&answer);
        assert_eq!(
            description.as_object().map(|d| d.keys().map(String::as_str).collect::<Vec<_>>()),
            Some(vec!["Operation", "Description", "Method", "Arguments", "Result"])
        );
        assert_eq!((&description["Operation"], &description["Method"]), (&json!(operation.name), &json!("POST")));
    }
    let assign = parsed(&api.ask(&format!("GET {AGENT}/AssignThirdPartyLicenses"), "", ""));
    let argument = |name: &str, of: &str| json!({ "Name": name, "Type": of });
    assert_eq!(
        assign["Arguments"],
        json!([
            argument("AssociateId", "int"),
            argument("ModuleOwner", "string"),
            argument("ModuleLicenseNames", "string[]")
        ])
    );
    assert_eq!(assign["Result"], "ModuleLicenseLink[]");
}

/// What needs no sign-in, and is written for the address that was used.
#[test]
fn documents() {
    let api = Api::start();
    let version = parsed(&api.bare("GET /api", "", ""));
    assert_eq!(version["v1"], "http://test.example/api/v1");
    assert_eq!(version["NetServerVersion"], env!("CARGO_PKG_VERSION"));
    // The newest edition of the SOAP services, and each with its namespace.
    assert_eq!(version["Services"], "Services88");
    for edition in ["Services84", "Services85", "Services86", "Services87", "Services88"] {
        assert_eq!(version[edition], format!("http://www.superoffice.net/ws/crm/NetServer/{edition}"));
    }
    let urls = parsed(&api.bare("GET /api/v1/", "", ""));
    assert!(urls["http://test.example/api/v1/Agents/License/GetLicenseFromDB"]["POST"].is_string(), "{urls}");
    assert!(urls["http://test.example/api/v1/License/{ownerName}"]["GET"].is_string(), "{urls}");
    let document = parsed(&api.bare("GET /api/v1/OpenAPI.json", "Accept: text/xml\r\n", ""));
    assert_eq!(
        (&document["openapi"], &document["servers"][0]["url"]),
        (&json!("3.1.0"), &json!("http://test.example"))
    );
    let document = parsed(&api.bare("GET /api/v1/Swagger.json", "Accept: text/xml\r\n", ""));
    assert_eq!((&document["swagger"], &document["host"]), (&json!("2.0"), &json!("test.example")));
}
