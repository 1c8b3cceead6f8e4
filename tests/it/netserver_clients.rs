//! Real toolkits against the NetServer services, which know the contracts that are served and nothing else. Their programs
//! are in `tests/clients`. Those that hand out everything make the same calls, and all must see the same; the others sign in,
//! ask, and take seats.

use std::process::Command;

use seatkeeper::contract::edition::Edition;
use serde_json::{Value, json};

use crate::clients::{generated, interpreted, node, python};
use crate::harness::*;
use crate::validator::INSTALL;

#[test]
fn zeep_sees_what_all_see() {
    sees_what_all_see(|| python("netserver_zeep.py"));
}

#[test]
fn php_sees_what_all_see() {
    sees_what_all_see(|| interpreted("php", "netserver_php.php"));
}

#[test]
fn node_sees_what_all_see() {
    sees_what_all_see(|| node("netserver_node.js"));
}

#[test]
fn suds_takes_seats() {
    takes_seats(|_| python("netserver_suds.py"));
}

#[test]
fn strong_soap_takes_seats() {
    takes_seats(|_| node("netserver_strong_soap.js"));
}

/// It puts the items of the list into the namespace of the request.
#[test]
fn nusoap_takes_seats() {
    takes_seats(|_| interpreted("php", "netserver_nusoap.php"));
}

#[test]
fn soap_lite_takes_seats() {
    takes_seats(|_| interpreted("perl", "netserver_soap_lite.pl"));
}

#[test]
fn web_reference_takes_seats() {
    takes_seats(|server| built("netserver-mono", &["NetserverMono.cs"], server));
}

#[test]
fn wcf_takes_seats() {
    takes_seats(|server| built("netserver-wcf", &["NetserverWcf.cs"], server));
}

#[test]
fn jaxws_takes_seats() {
    takes_seats(|server| built("netserver-jaxws", &["NetserverJaxWs.java", "netserver.xjb"], server));
}

fn built(toolkit: &str, sources: &[&str], server: &Server) -> Command {
    let documents = [
        ("License.wsdl", "/Remote/Services86/License.svc?singleWsdl"),
        ("SoPrincipal.wsdl", "/Remote/Services86/SoPrincipal.svc?singleWsdl"),
    ];
    generated(toolkit, sources, &documents, server)
}

/// Where each program reads what: the edition and the document. All have the same schemas in them.
const WSDLS: [(Edition, &str); 5] = [
    (Edition::Services86, "wsdl"),
    (Edition::Services86, "singleWsdl"),
    (Edition::Services84, "wsdl"),
    (Edition::Services87, "wsdl"),
    (Edition::Services88, "wsdl"),
];

const OWNER: &str = "CONTOSO";
const ASSOCIATE: i32 = 7;

/// An owner with 10 SkraftDiskImageV5 seats, one of them the associate's, and 3 SqlBackup seats; summer and winter.
const SEED: &str = "
    UPDATE entity SET owner_name = 'CONTOSO', owner_description = 'Contoso <R&D>', serial_nr = '1010000014',
        shop_url = 'https://shop.example/?a=1&b=2', next_check_at = '2097-01-31T00:00:00Z',
        maintenance_at = '2097-07-31T12:34:56Z', admin_warning_at = '2098-01-31T23:30:00Z',
        expires_at = '2098-02-28T23:59:59Z' WHERE id = 42;
    INSERT INTO account (id, username, entity_id) VALUES (7, 'Zoë Ångström', 42), (8, 'admin', 42);
    INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (3, 42, 'SkraftDiskImageV5', 10);
    UPDATE seat SET account_id = 7 WHERE pool_id = 3 AND seat_no = 1;";

/// Signs in, reads a license and its status, assigns a list of modules, and is refused with a wrong password and ticket.
fn takes_seats(program: impl Fn(&Server) -> Command) {
    let server = Server::with(Options {
        seed: sample_data()
            + SEED
            + "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (4, 42, 'ExchangeBackup', 2);",
        ..Options::default()
    });
    let mut seen = run(&mut program(&server), &server, Edition::Services86, "wsdl");
    let ticket = seen["ticket"].take();
    assert!(ticket.as_str().is_some_and(|text| text.starts_with("7T:")), "{ticket}");
    let expected = json!({
        "signed_in": true, "ticket": null, "wrong_password": false, "company": "Contoso",
        "expires": UTC.times[3], "modules": ["SKRAFTDISKIMAGEV5", "SQLBACKUP", "EXCHANGEBACKUP"], "free": [9, 3, 2],
        "status": "Ok", "assigned": ["SKRAFTDISKIMAGEV5", "SQLBACKUP", "EXCHANGEBACKUP"],
        "exception": "SuperOffice.Exceptions.SoSessionException",
    });
    assert_eq!(seen, expected);
    let held = "SELECT group_concat(pool_id) FROM (SELECT pool_id FROM seat WHERE account_id IS NOT NULL ORDER BY pool_id) AS q";
    assert_eq!(server.query::<String>(held), "1,3,4");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM seat WHERE account_id = 7"), 3);
    assert_eq!(server.violations(), []);
}

fn sees_what_all_see(program: impl Fn() -> Command) {
    let server = Server::with(Options { seed: sample_data() + SEED, ..Options::default() });
    for (edition, query) in WSDLS {
        let expected = expected(edition);
        let mut seen = run(&mut program(), &server, edition, query);
        let mut text = |pointer| match seen.pointer_mut(pointer).map(Value::take) {
            Some(Value::String(text)) => text,
            other => panic!("{pointer}: {other:?}"),
        };
        let ticket = text("/login/body/Credentials/Ticket");
        assert!(ticket.starts_with("7T:"), "{ticket}");
        let message = text("/wrong_ticket/header/ExceptionInfo/Message");
        let friendly = text("/wrong_ticket/header/ExceptionInfo/FriendlyText");
        assert!(message.starts_with("Err-") && message.ends_with(&format!("; {friendly}")), "{message}");
        let problem = text("/unknown_owner_status/body/Response/Message");
        assert!(problem.contains("NOBODY"), "{problem}");

        for (call, seen) in seen.as_object().expect("an object") {
            assert_eq!(seen, &expected[call], "{call}, from {} ?{query}", edition.name());
        }
        assert_eq!(seen.as_object().map(|calls| calls.len()), expected.as_object().map(|calls| calls.len()));
    }
    assert_eq!(server.violations(), []);
}

/// What a program prints.
fn run(command: &mut Command, server: &Server, edition: Edition, query: &str) -> Value {
    let [license, principal] = ["License", "SoPrincipal"]
        .map(|service| format!("http://{}/Remote/{}/{service}.svc?{query}", server.address, edition.name()));
    command
        .args([&license, &principal, "admin", PASSWORD, OWNER, &ASSOCIATE.to_string()])
        // No proxy stands between a test and its server.
        .envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")]);
    let output = command.output().unwrap_or_else(|e| panic!("{:?}: {e}. {INSTALL}", command.get_program()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}. {told}{INSTALL}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What all see. Null stands for the texts that are looked at before.
fn expected(edition: Edition) -> Value {
    let info = |zone: &Zone| json!({ "header": zone.header(), "body": { "Response": license(zone, 0, true) } });
    let links = |links: Value| answer(json!({ "Response": { "ModuleLicenseLink": links } }));
    let link = |sort_order, module, total, in_use, assigned| {
        let link = link(sort_order, module, total, in_use, assigned);
        let link = if edition >= Edition::Services87 { with(link, "IsHidden", json!(false)) } else { link };
        if edition >= Edition::Services88 { with(link, "ExtraFlags", json!(0)) } else { link }
    };
    let (disk, no_sql, sql) = (link(1, DISK, 10, 1, true), link(2, SQL, 3, 0, false), link(2, SQL, 3, 1, true));
    let all = json!({
        "login": answer(json!({
            "Response": {
                "UserType": "InternalAssociate", "Associate": "admin", "AssociateId": 8, "IsPerson": true, "PersonId": 0,
                "CountryId": 0, "HomeCountryId": 0, "ContactId": 1, "GroupId": 0, "BusinessId": 0, "CategoryId": 0,
                "ContactOwner": 0, "RoleId": 3, "RoleName": "admin", "RoleType": "Employee", "FullName": "admin",
                "EjUserId": 0, "EjAccessLevel": 0, "EjUserStatus": "StatusNone",
            },
            "Credentials": { "Ticket": null },
            "AuthenticationSucceeded": true,
        })),
        "wrong_password": answer(json!({ "AuthenticationSucceeded": false })),
        "system_info": answer(json!({ "SystemInfo": {
            "License": {
                "NextCheckDate": ZERO, "MaintenanceDate": ZERO, "AdminWarningDate": ZERO, "ExpiryDate": ZERO,
                "GraceDate": ZERO, "ExtraFlags": 0, "DeploymentType": 0,
            },
            "BuildLabel": env!("CARGO_PKG_VERSION"), "AssemblyVersion": env!("CARGO_PKG_VERSION"),
            "AccumulatedNextCheckDate": ZERO, "FileVersion": env!("CARGO_PKG_VERSION"),
            "Description": "Seatkeeper", "DaysUntilNetServerExpiry": i32::MAX, "BuildType": "Release",
            "DatabaseVersion": 0, "IsUnicode": true, "CompanyId": 0, "IsOnTravel": false, "IsSatellite": false,
        } })),
        "license": info(&UTC),
        "stored": answer(json!({ "Response": license(&UTC, 0, false) })),
        "status": answer(json!({ "Response": { "LicenseStatus": "Ok" } })),
        "user": answer(json!({ "Response": { "LicenseOwner": [{
            "Name": OWNER, "Description": "Contoso <R&D>",
            "RestrictedModuleLicenses": { "ModuleLicenseLink": [disk, no_sql, link(3, EXCHANGE, 0, 0, false)] },
        }] } })),
        "assign": links(json!([disk, sql])),
        "assigned": links(json!([disk, sql])),
        "license_assigned": answer(json!({ "Response": license(&UTC, 1, true) })),
        "unassign": links(json!([disk])),
        "wrong_ticket": {
            "header": {
                "ExceptionInfo": {
                    "Message": null, "FriendlyText": null, "Source": "Seatkeeper",
                    "ExceptionType": "SuperOffice.Exceptions.SoSessionException",
                },
                "Succeeded": false,
                "TimeZone": UTC.header()["TimeZone"],
            },
            "body": {},
        },
        "unknown_owner": answer(json!({})),
        "unknown_owner_status": answer(json!({ "Response": { "LicenseStatus": "ProblemWithLicense", "Message": null } })),
        "in_norway": info(&NORWAY),
    });
    let [.., admin_warning, expiry, grace] = UTC.times;
    let status = json!({
        "AdminWarningDate": admin_warning, "ExpiryDate": expiry, "GraceDate": grace, "CompanyName": "Contoso",
        "SerialNr": "1010000014", "UserLicenses": { "string": [DISK.0] },
    });
    if edition < Edition::Services88 { all } else { with(all, "user_status", answer(json!({ "Response": status }))) }
}

const ZERO: &str = "0001-01-01T00:00:00";

/// Names of a module, for programs and for people.
type Module = (&'static str, &'static str);
const DISK: Module = ("SKRAFTDISKIMAGEV5", "SkraftDiskImageV5");
const SQL: Module = ("SQLBACKUP", "SqlBackup");
const EXCHANGE: Module = ("EXCHANGEBACKUP", "ExchangeBackup");

/// A zone, and the times of the license in it; the last is that of no time.
struct Zone {
    id: i32,
    code: &'static str,
    times: [&'static str; 5],
}

const UTC: Zone = Zone {
    id: 1,
    code: "UTC",
    times: [
        "2097-01-31T00:00:00Z",
        "2097-07-31T12:34:56Z",
        "2098-01-31T23:30:00Z",
        "2098-02-28T23:59:59Z",
        "0001-01-01T00:00:00",
    ],
};

const NORWAY: Zone = Zone {
    id: 261,
    code: "NO",
    times: [
        "2097-01-31T01:00:00",
        "2097-07-31T14:34:56",
        "2098-02-01T00:30:00",
        "2098-03-01T00:59:59",
        "0001-01-01T00:00:00",
    ],
};

impl Zone {
    fn header(&self) -> Value {
        json!({ "Succeeded": true, "TimeZone": { "SoTimeZoneId": self.id, "SoTimeZoneLocationCode": self.code } })
    }
}

fn answer(body: Value) -> Value {
    json!({ "header": UTC.header(), "body": body })
}

/// The owner's license with so many SqlBackup seats in use, and with what the issuer grants or without.
fn license(zone: &Zone, sql_in_use: i32, with_new: bool) -> Value {
    let [next_check, maintenance, admin_warning, expiry, grace] = zone.times;
    let modules = [(1, DISK, 10, 1), (2, SQL, 3, sql_in_use), (3, EXCHANGE, 0, 0)];
    let module = |(sort_order, (name, description), total, _): (i32, Module, i32, i32)| {
        json!({
            "OwnerName": OWNER, "ModuleName": name, "ModuleDescription": description, "LicenseType": "UserLicense",
            "Unrestricted": false, "AllowedUserType": "InternalAssociate", "NumberOfLicenses": total, "ExtraFlags": 0,
            "SortOrder": sort_order, "IsHidden": false,
        })
    };
    let current = json!({
        "CompanyName": "Contoso", "SerialNr": "1010000014", "OwnerName": OWNER, "OwnerDescription": "Contoso <R&D>",
        "NextCheckDate": next_check, "MaintenanceDate": maintenance, "AdminWarningDate": admin_warning,
        "ExpiryDate": expiry, "GraceDate": grace, "ExtraFlags": 0, "LicenseUrl": "https://shop.example/?a=1&b=2",
        "LicenseVersion": "1", "DeploymentType": 0, "ModuleLicenses": { "ModuleLicense": modules.map(module) },
    });
    let extended = modules.map(|of| {
        let (_, _, total, in_use) = of;
        let numbers = json!({
            "Current": module(of), "NumberOfLicensesInUse": in_use, "NumberOfLicensesFree": total - in_use,
            "NumberOfLicensesAdded": 0, "NumberOfLicensesNewTotal": total, "NumberOfLicensesNewFree": total - in_use,
            "NumberOfLicensesTotal": total,
        });
        if with_new { with(numbers, "New", module(of)) } else { numbers }
    });
    let license = json!({
        "CanBeActivated": with_new, "Current": current, "AccumulatedNextCheckDate": next_check,
        "ExtendedModuleLicenses": { "ExtendedModuleLicense": extended },
    });
    if with_new { with(license, "New", current) } else { license }
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// A module as one associate sees it.
fn link(sort_order: i32, (name, description): Module, total: i32, in_use: i32, assigned: bool) -> Value {
    json!({
        "Unrestricted": false, "Total": total, "Tooltip": format!("{in_use} of {total} in use"),
        "CanAssign": !assigned && in_use < total, "Free": total - in_use, "InUse": in_use, "Assigned": assigned,
        "ModuleLicenseId": sort_order, "Name": name, "Description": description, "SortOrder": sort_order,
    })
}
