//! The vendor's own clients against the Web API, as their registries have them: the npm package @superoffice/webapi, whose
//! LicenseAgent makes agent calls, and the PyPI package superoffice-python-sdk, which is for resources. Their programs are
//! in `tests/clients`: each makes the calls it is told to.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seatkeeper::auth;
use serde_json::{Value as Json, json};

use crate::harness::*;
use crate::validator::{self, INSTALL};

/// Dates of CONTOSO in winter and summer; the grace date is none.
const DATES: &str = "
    UPDATE entity SET next_check_at = '2097-01-31T00:00:00Z', maintenance_at = '2097-07-31T12:34:56Z',
        admin_warning_at = '2098-01-31T23:30:00Z', expires_at = '2098-02-28T23:59:59Z' WHERE id = 42;";

/// What the issuer offers CONTOSO next: everything is new.
const OFFER: &str = "
    INSERT INTO license_offer VALUES (42, 'Contoso & Sons <Ltd>', '1010000022', '2097-02-01T00:00:00Z',
        '2097-08-01T12:34:56Z', '2097-10-31T00:30:00Z', '2098-03-01T00:00:00Z', '2098-07-01T00:00:00Z');
    INSERT INTO license_offer_module VALUES (42, 'SkraftDiskImageV5', 12), (42, 'SqlBackup', 2), (42, 'ExchangeBackup', 0);";

fn server() -> Server {
    Server::with(Options { seed: owners_data() + DATES, ..Options::default() })
}

/// One that many wrong passwords do not slow down.
fn patient_server() -> Server {
    let auth = auth::Options { failures_max: u32::MAX, ..auth::Options::default() };
    Server::with(Options { seed: owners_data() + DATES, auth, ..Options::default() })
}

/// The seats that the pools of CONTOSO have, and how many are taken.
fn seats(server: &Server) -> String {
    server.query(
        "SELECT group_concat(seats_total || '/' || (SELECT count(*) FROM seat WHERE pool_id = p.id AND account_id IS NOT NULL),
             ' ' ORDER BY id) FROM license_pool p WHERE entity_id = 42",
    )
}

// @superoffice/webapi -----------------------------------------------------------------------------------------------

#[test]
fn license_agent_with_a_password() {
    let server = server();
    calls_of_the_license_agent(&server, json!(["authenticateWithPassword", "admin", PASSWORD]));
}

#[test]
fn license_agent_with_a_ticket() {
    let server = server();
    calls_of_the_license_agent(&server, json!(["authenticateWithTicket", server.netserver_sign_in("admin")]));
}

#[test]
fn license_agent_with_a_token() {
    let server = server();
    calls_of_the_license_agent(&server, json!(["authenticateWithToken", server.netserver_sign_in("admin")]));
}

/// Every call that there is; those that find nothing and those that are refused too.
fn calls_of_the_license_agent(server: &Server, sign_in: Json) {
    let mut agent = LicenseAgent::start(server, "UTC", sign_in);
    reads(&mut agent);
    assert_eq!(seats(server), "10/0 5/0 7/0");

    assigns(&mut agent, server);
    assert_eq!(seats(server), "10/0 5/1 7/0");
    activates(&mut agent, server);
    assert_eq!(seats(server), "12/0 2/1 0/0");
    reads_files_and_history(&mut agent);
    removes(&mut agent);
    is_refused(&mut agent);
    assert_eq!(seats(server), "12/0 2/1 0/0");
    assert_eq!(server.violations(), []);
}

fn reads(agent: &mut LicenseAgent) {
    let granted = license([0, 0, 0], true);
    let stored = license([0, 0, 0], false);
    for (call, arguments, expected) in [
        ("getLicenseFromLicenseServerAsync", json!(["CONTOSO"]), granted.clone()),
        ("getLicenseFromLicenseServerAsync", json!([{ "ownerName": "contoso" }]), granted),
        ("getLicenseFromDBAsync", json!(["CONTOSO"]), stored.clone()),
        (
            "getLicenseStatusFromLicenseServerAsync",
            json!(["CONTOSO"]),
            json!({ "licenseStatus": "Ok", "message": "", "url": "" }),
        ),
        ("getShopUrlAsync", json!(["CONTOSO"]), json!("https://shop.example/contoso")),
        ("getShopUrlAsync", json!(["FABRIKAM"]), json!("")),
        ("getModuleLicenseFromDBAsync", json!(["CONTOSO", "SQLBACKUP"]), module(SQL)),
        ("getThirdPartyLicenseAssignmentsAsync", json!([101, "CONTOSO"]), json!([])),
        // What is not there.
        ("getLicenseFromLicenseServerAsync", json!(["NOBODY"]), Json::Null),
        ("getLicenseFromDBAsync", json!(["Wuckert, Cassin and Goyette"]), Json::Null),
        ("getModuleLicenseFromDBAsync", json!(["CONTOSO", "NOTHING"]), Json::Null),
        ("getShopUrlAsync", json!(["NOBODY"]), Json::Null),
        ("getThirdPartyLicenseAssignmentsAsync", json!([101, "NOBODY"]), json!([])),
        ("getSatelliteLicensesAsync", json!([5]), json!([])),
    ] {
        assert_eq!(agent.result(call, arguments.clone()), expected, "{call} {arguments}");
    }
    let status = agent.result("getUserAndInstallationLicenceStatusAsync", json!([101]));
    assert_eq!(
        status,
        json!({
            "adminWarningDate": "Date 2098-01-31T23:30:00.000Z", "expiryDate": "Date 2098-02-28T23:59:59.000Z",
            "graceDate": "Date 0001-01-01T00:00:00.000Z", "companyName": "Contoso Backup", "serialNr": "1010000014",
            "userLicenses": [],
        })
    );
    let central = agent.result("getCentralLicenseAsync", json!([]));
    assert_eq!(central, agent.result("getSatelliteLicensesAsync", json!([0])));
    let all = agent.result("getLicenseForAllOwnersFromDBAsync", json!([]));
    assert_eq!(all[0], stored);
    assert_eq!((&all[1]["current"]["ownerName"], &all[2]), (&json!("FABRIKAM"), &Json::Null));

    let of_user = agent.result("getUserLicensesAsync", json!([101]));
    assert_eq!(of_user, json!([owner([link(DISK, 0, false), link(SQL, 0, false), link(EXCHANGE, 0, false)])]));
    let of_site = agent.result("getSatelliteLicensesAsync", json!([0]));
    assert_eq!((&of_site[0]["name"], &of_site[1]["name"]), (&json!("CONTOSO"), &json!("FABRIKAM")));
    assert_eq!(of_site[0]["restrictedModuleLicenses"][1]["total"], 5);
    let tree = agent.result("getUserLicensesMDOListAsync", json!([]));
    assert_eq!((&tree[0]["name"], &tree[1]["name"]), (&json!("CONTOSO"), &json!("FABRIKAM")));
    let names = |items: &Json| items.as_array().expect("items").iter().map(|i| i["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&tree[0]["childItems"]), ["SKRAFTDISKIMAGEV5", "SQLBACKUP", "EXCHANGEBACKUP"]);
    let problem = agent.result("getLicenseStatusFromLicenseServerAsync", json!(["NOBODY"]));
    assert_eq!(problem["licenseStatus"], "ProblemWithLicense");
    assert!(problem["message"].as_str().is_some_and(|text| text.contains("NOBODY")), "{problem}");
}

fn assigns(agent: &mut LicenseAgent, server: &Server) {
    let of_anna = |names: Json| json!([101, "CONTOSO", names]);
    let both = of_anna(json!(["SQLBACKUP", "EXCHANGEBACKUP"]));
    let held = json!([link(SQL, 1, true), link(EXCHANGE, 1, true)]);
    assert_eq!(agent.result("assignThirdPartyLicensesAsync", both.clone()), held);
    assert_eq!(agent.result("assignThirdPartyLicensesAsync", both.clone()), held, "once more changes nothing");
    assert_eq!(agent.result("getThirdPartyLicenseAssignmentsAsync", json!([101, "CONTOSO"])), held);
    assert_eq!(agent.result("getLicenseFromDBAsync", json!(["CONTOSO"])), license([0, 1, 1], false));
    let of_user = agent.result("getUserLicensesAsync", json!([{ "associateId": 102 }]));
    assert_eq!(of_user, json!([owner([link(DISK, 0, false), link(SQL, 1, false), link(EXCHANGE, 1, false)])]));
    assert_eq!(seats(server), "10/0 5/1 7/1");

    let left = agent.result("unassignThirdPartyLicensesAsync", of_anna(json!(["EXCHANGEBACKUP"])));
    assert_eq!(left, json!([link(SQL, 1, true)]));
    // What cannot be assigned says why, and nothing of it is.
    let fabrikam = json!([103, "FABRIKAM", ["SQLBACKUP", "EXCHANGEBACKUP"]]);
    for (arguments, status, says) in [
        (of_anna(json!(["SQLBACKUP", "NOTHING"])), 400, "NOTHING"),
        (of_anna(json!([])), 400, "ModuleLicenseNames"),
        (json!([101, "NOBODY", ["SQLBACKUP"]]), 404, "NOBODY"),
        (json!([999, "CONTOSO", ["SQLBACKUP"]]), 404, "999"),
        (fabrikam, 409, "ExchangeBackup"),
    ] {
        let error = agent.error("assignThirdPartyLicensesAsync", arguments.clone());
        assert_eq!(error["status"], status, "{arguments} {error}");
        assert!(error["data"].to_string().contains(says), "{arguments} {error}");
    }
}

/// A license that is handed back is the client's own objects, with dates that it has read and writes anew.
fn activates(agent: &mut LicenseAgent, server: &Server) {
    const GET: &str = "getLicenseFromLicenseServerAsync";
    let done = json!({ "tableRight": null, "fieldProperties": {}, "succeeded": true, "reason": "" });
    let fetched = || json!([{ "result_of": GET }]);
    agent.result(GET, json!(["CONTOSO"]));
    assert_eq!(agent.result("validateLicenseInfoAsync", fetched()), done);
    assert_eq!(agent.result("activateLicenseInfoAsync", fetched()), done, "what is in force");

    server.sql(OFFER);
    let status = agent.result("getLicenseStatusFromLicenseServerAsync", json!(["CONTOSO"]));
    assert_eq!(status["licenseStatus"], "NewCompanyNameAvailable");
    let offered = agent.result(GET, json!(["CONTOSO"]));
    assert_eq!(offered["canBeActivated"], true);
    assert_eq!(offered["new"]["adminWarningDate"], "Date 2097-10-31T00:30:00.000Z");
    assert_eq!(offered["current"], license([0, 1, 0], true)["current"]);
    let numbers = &offered["extendedModuleLicenses"][1];
    assert_eq!((&numbers["numberOfLicensesAdded"], &numbers["numberOfLicensesNewFree"]), (&json!(-3), &json!(1)));

    // Nobody grants themselves anything.
    for (what, path, changed) in [
        ("ModuleLicenses", "new.moduleLicenses.1.numberOfLicenses", json!(500)),
        ("GraceDate", "new.graceDate", json!("2099-01-01T00:00:00.000Z")),
        ("Unrestricted", "new.moduleLicenses.1.unrestricted", json!(true)),
        ("New", "new", Json::Null),
    ] {
        let changed = json!([{ "result_of": GET, "but": { path: changed } }]);
        for call in ["validateLicenseInfoAsync", "activateLicenseInfoAsync"] {
            let refused = agent.result(call, changed.clone());
            assert_eq!(refused["succeeded"], false, "{changed}");
            assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains(what)), "{changed} {refused}");
        }
    }
    assert_eq!(seats(server), "10/0 5/1 7/0");

    assert_eq!(agent.result("validateLicenseInfoAsync", fetched()), done);
    assert_eq!(agent.result("activateLicenseInfoAsync", fetched()), done);
    let now = agent.result(GET, json!(["CONTOSO"]));
    assert_eq!((&now["current"], &now["new"]), (&offered["new"], &offered["new"]));
    let status = agent.result("getLicenseStatusFromLicenseServerAsync", json!(["CONTOSO"]));
    assert_eq!(status["licenseStatus"], "Ok");

    let serial = json!(["Contoso & Sons <Ltd>", "1010000033"]);
    let refused = agent.result("changeSerialNumberAsync", serial.clone());
    assert_eq!(refused["succeeded"], false, "nothing is offered under it: {refused}");
    server.sql("INSERT INTO license_offer (entity_id, serial_nr) VALUES (42, '1010000033')");
    assert_eq!(agent.result("changeSerialNumberAsync", serial), done);
    assert_eq!(
        server.query::<String>("SELECT name || ' ' || serial_nr FROM entity WHERE id = 42"),
        "Contoso & Sons <Ltd> 1010000033"
    );
}

/// A file, and the history of a module.
fn reads_files_and_history(agent: &mut LicenseAgent) {
    const GET: &str = "getLicenseFromLicenseServerAsync";
    for call in ["getLicenseFromFileAsync", "addLicenseFromFileAsync"] {
        let bad = agent.result(call, json!(["<License/>"]));
        assert_eq!(bad["canBeActivated"], false, "{call}");
        assert!(bad["reason"].as_str().is_some_and(|reason| reason.contains("'License'")), "{call}: {bad}");
    }
    let history = json!([{ "result_of": GET }, { "result_of": GET, "at": ["extendedModuleLicenses", 0] }]);
    let history = agent.result("getModuleLicenseHistoryFromLicenseServerAsync", history);
    assert!(
        history.as_str().is_some_and(|text| text.starts_with("Module SKRAFTDISKIMAGEV5 of CONTOSO: ")),
        "{history}"
    );
}

fn removes(agent: &mut LicenseAgent) {
    assert_eq!(agent.result("removeLicenseFromDBAsync", json!(["CONTOSO"]))["succeeded"], false, "a seat is in use");
    assert_eq!(agent.result("removeLicenseFromDBAsync", json!(["FABRIKAM"]))["succeeded"], true);
    assert_eq!(agent.result("removeLicenseFromDBAsync", json!(["FABRIKAM"]))["succeeded"], false, "there is none left");
    assert_eq!(agent.result("getLicenseFromDBAsync", json!(["FABRIKAM"])), Json::Null);
}

/// What the service does not do, and what the client knows and the service never heard of.
fn is_refused(agent: &mut LicenseAgent) {
    for (call, arguments, code, status, error_type) in [
        ("saveCentralLicenseAsync", json!([[]]), "ERR_BAD_RESPONSE", 501, "SoNotSupportedException"),
        ("getFencingInfoAsync", json!([]), "ERR_BAD_REQUEST", 404, "SoNotFoundException"),
    ] {
        let error = agent.error(call, arguments);
        assert_eq!((&error["code"], &error["status"]), (&json!(code), &json!(status)), "{call}");
        assert_eq!(error["data"]["ErrorType"], error_type, "{call}");
    }
    let invalid = agent.error("getLicenseFromDBAsync", json!([""]));
    assert_eq!((&invalid["status"], &invalid["data"]["Message"]), (&json!(400), &json!("The request is invalid.")));
}

#[test]
fn license_agent_of_nobody() {
    let server = patient_server();
    let ticket = server.netserver_sign_in("admin");
    let wrong = format!("{ticket}x");
    let expired = server.ticket_until("admin", "2020-01-01T00:00:00Z".parse().expect("a time"));
    let mut agent = LicenseAgent::start(&server, "UTC", Json::Null);
    for sign_in in [
        json!(["authenticateWithPassword", "admin", "wrong"]),
        json!(["authenticateWithPassword", "nobody", PASSWORD]),
        json!(["authenticateWithPassword", "", ""]),
        json!(["authenticateWithTicket", wrong]),
        json!(["authenticateWithTicket", expired]),
        json!(["authenticateWithTicket", ""]),
        json!(["authenticateWithToken", "7T:garbage"]),
        // A token that is only for the vendor's own cloud signs nobody in.
        json!(["applicationToken", ticket]),
    ] {
        agent.sign_in = sign_in.clone();
        for (call, arguments) in [
            ("getLicenseFromLicenseServerAsync", json!(["CONTOSO"])),
            ("getLicenseForAllOwnersFromDBAsync", json!([])),
            ("assignThirdPartyLicensesAsync", json!([101, "CONTOSO", ["SQLBACKUP"]])),
            ("getFencingInfoAsync", json!([])),
        ] {
            let error = agent.error(call, arguments);
            assert_eq!(
                (&error["code"], &error["status"]),
                (&json!("ERR_BAD_REQUEST"), &json!(401)),
                "{sign_in} {call}"
            );
            assert_eq!(error["data"]["ErrorType"], "SoSessionException", "{sign_in} {call}");
        }
    }
    agent.sign_in = json!(["authenticateWithPassword", "reader", PASSWORD]);
    let error = agent.error("assignThirdPartyLicensesAsync", json!([101, "CONTOSO", ["SQLBACKUP"]]));
    assert_eq!((&error["status"], &error["data"]["ErrorType"]), (&json!(403), &json!("SoSentryException")));
    assert_eq!(seats(&server), "10/0 5/0 7/0");
    assert_eq!(server.violations(), []);
}

/// The client makes dates of its own of what it reads, and takes those without an offset for times of where it runs.
#[test]
fn license_agent_and_time_zones() {
    let server = server();
    server.sql(OFFER);
    const UTC_DATE: &str = "2097-07-31T12:34:56.000Z";
    let zone = |code: &str| json!({ "timezone": code });
    let with_offset = |code: &str| json!({ "timezone": code, "timezoneInclude": true });
    for (runs_in, options, told, date) in [
        ("UTC", json!({}), Json::Null, UTC_DATE),
        ("Europe/Oslo", json!({}), Json::Null, UTC_DATE),
        ("America/New_York", json!({}), Json::Null, UTC_DATE),
        ("Asia/Kolkata", json!({}), Json::Null, UTC_DATE),
        ("Asia/Kolkata", json!({ "timezoneInclude": true }), json!("UTC"), UTC_DATE),
        ("Asia/Kolkata", with_offset("UTC"), json!("UTC"), UTC_DATE),
        ("America/New_York", with_offset("NO"), json!("NO"), UTC_DATE),
        ("Europe/Oslo", with_offset("460"), json!("US-NY"), UTC_DATE),
        ("Europe/Oslo", with_offset("XX"), json!("UTC"), UTC_DATE),
        ("UTC", zone("UTC"), json!("UTC"), UTC_DATE),
        ("Europe/Oslo", zone("NO"), json!("NO"), UTC_DATE),
        ("America/New_York", zone("US-NY"), json!("US-NY"), UTC_DATE),
        // Another time than is meant, as in all that this client reads so.
        ("UTC", zone("NO"), json!("NO"), "2097-07-31T14:34:56.000Z"),
    ] {
        let sign_in = json!(["authenticateWithPassword", "admin", PASSWORD]);
        let mut agent = LicenseAgent::start(&server, runs_in, sign_in);
        // With each call, or once for all.
        for (settings, options) in [(json!({}), &options), (options.clone(), &json!({}))] {
            agent.settings = settings;
            let got = agent.ask("getLicenseFromLicenseServerAsync", json!(["CONTOSO"]), options.clone());
            assert_eq!(got["zone"], told, "{runs_in} {options}");
            let current = &got["result"]["current"];
            assert_eq!(current["maintenanceDate"], format!("Date {date}"), "{runs_in} {options}");
            let back = json!([{ "result_of": "getLicenseFromLicenseServerAsync" }]);
            let validated = agent.ask("validateLicenseInfoAsync", back, options.clone());
            assert_eq!(validated["result"]["succeeded"], date == UTC_DATE, "{runs_in} {options} {validated}");
        }
    }
    assert_eq!(server.violations(), []);
}

/// Settings that change nothing of what is answered, and one that does.
#[test]
fn license_agent_and_its_settings() {
    let server = server();
    let mut agent = LicenseAgent::start(&server, "UTC", json!(["authenticateWithPassword", "admin", PASSWORD]));
    for settings in [
        json!({ "languageCode": "en", "cultureCode": "nb-NO" }),
        json!({ "languageCode": "", "cultureCode": "" }),
        json!({ "resourceParsing": 1 }),
        json!({ "baseUrl": format!("http://{}/", server.address) }),
        json!({ "baseUrl": format!("http://{}/api", server.address) }),
        json!({ "axiosConfig": { "headers": { "SO-AppToken": "1234567-1234-9876" } } }),
    ] {
        agent.settings = settings.clone();
        for options in [
            json!({}),
            json!({ "languageCode": "de", "cultureCode": "fr" }),
            json!({ "languageCode": "", "timezone": "" }),
        ] {
            let got = agent.ask("getLicenseFromLicenseServerAsync", json!(["CONTOSO"]), options.clone());
            assert_eq!(got["result"], license([0, 0, 0], true), "{settings} {options}");
            assert_eq!(got["status"], 10, "completed");
        }
    }
    agent.settings =
        json!({ "axiosConfig": { "params": { "$select": "current/companyName,accumulatedNextCheckDate" } } });
    let got = agent.result("getLicenseFromDBAsync", json!(["CONTOSO"]));
    assert_eq!((&got["current"]["companyName"], &got["current"]["serialNr"]), (&json!("Contoso Backup"), &Json::Null));
    assert_eq!(got["accumulatedNextCheckDate"], "Date 2097-01-31T00:00:00.000Z");
}

/// A program on @superoffice/webapi.
struct LicenseAgent {
    program: Program,
    /// A method that signs in, and its arguments.
    sign_in: Json,
    settings: Json,
}

impl LicenseAgent {
    /// `runs_in`: the time zone of the program's machine.
    fn start(server: &Server, runs_in: &str, sign_in: Json) -> LicenseAgent {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("node");
        command
            .arg(root.join("tests/clients/superoffice_webapi.js"))
            .arg(format!("http://{}", server.address))
            .env("NODE_PATH", root.join("target/test-tools/node/node_modules"))
            .env("TZ", runs_in);
        LicenseAgent { program: Program::start(command), sign_in, settings: json!({}) }
    }

    fn ask(&mut self, call: &str, arguments: Json, options: Json) -> Json {
        let line = json!({
            "sign_in": self.sign_in, "settings": self.settings, "call": call, "arguments": arguments, "options": options,
        });
        let seen = self.program.ask(&line);
        assert!(!seen["result"].to_string().contains("\"undefined\""), "a member is missing in {seen}");
        seen
    }

    #[track_caller]
    fn result(&mut self, call: &str, arguments: Json) -> Json {
        let mut seen = self.ask(call, arguments, json!({}));
        assert!(seen.get("result").is_some(), "{call}: {seen}");
        seen["result"].take()
    }

    #[track_caller]
    fn error(&mut self, call: &str, arguments: Json) -> Json {
        let mut seen = self.ask(call, arguments, json!({}));
        assert_eq!((seen.get("result"), &seen["status"]), (None, &json!(-1)), "{call}: {seen}");
        seen["error"].take()
    }
}

/// Number, name for programs, name for people and seats of a module of CONTOSO.
type Module = (i32, &'static str, &'static str, i32);
const DISK: Module = (1, "SKRAFTDISKIMAGEV5", "SkraftDiskImageV5", 10);
const SQL: Module = (2, "SQLBACKUP", "SqlBackup", 5);
const EXCHANGE: Module = (3, "EXCHANGEBACKUP", "ExchangeBackup", 7);

/// The license of CONTOSO as this client has it, with these seats of each module in use, and with what the issuer grants
/// or without.
fn license(in_use: [i32; 3], with_new: bool) -> Json {
    let modules = [DISK, SQL, EXCHANGE];
    let current = json!({
        "companyName": "Contoso Backup", "serialNr": "1010000014", "ownerName": "CONTOSO",
        "ownerDescription": "Contoso Backup & Recovery", "nextCheckDate": "Date 2097-01-31T00:00:00.000Z",
        "maintenanceDate": "Date 2097-07-31T12:34:56.000Z", "adminWarningDate": "Date 2098-01-31T23:30:00.000Z",
        "expiryDate": "Date 2098-02-28T23:59:59.000Z", "graceDate": "Date 0001-01-01T00:00:00.000Z", "extraFlags": 0,
        "licenseUrl": "https://shop.example/contoso", "licenseVersion": "1", "deploymentType": 0, "productType": "",
        "productDescription": "", "moduleLicenses": modules.map(module), "publicKey": null, "signature": "",
    });
    let new = |of: Json| if with_new { of } else { Json::Null };
    let extended = [0, 1, 2].map(|at| {
        let (of, in_use) = (modules[at], in_use[at]);
        json!({
            "new": new(module(of)), "current": module(of), "numberOfLicensesInUse": in_use,
            "numberOfLicensesFree": of.3 - in_use, "numberOfLicensesAdded": 0, "numberOfLicensesNewTotal": of.3,
            "numberOfLicensesNewFree": of.3 - in_use, "numberOfLicensesTotal": of.3,
        })
    });
    json!({
        "reason": "", "canBeActivated": with_new, "new": new(current.clone()), "current": current,
        "extendedModuleLicenses": extended, "accumulatedNextCheckDate": "Date 2097-01-31T00:00:00.000Z",
    })
}

fn module((number, name, description, seats): Module) -> Json {
    json!({
        "ownerName": "CONTOSO", "moduleName": name, "moduleDescription": description, "moduleTooltip": "",
        "moduleVersion": "", "licenseType": "UserLicense", "unrestricted": false,
        "allowedUserType": "InternalAssociate", "numberOfLicenses": seats, "extraFlags": 0, "extraInfo": "",
        "sortOrder": number, "isHidden": false, "prerequisiteModuleName": "", "signature": "",
    })
}

fn owner(modules: [Json; 3]) -> Json {
    json!({
        "tableRight": null, "fieldProperties": {}, "name": "CONTOSO", "description": "Contoso Backup & Recovery",
        "restrictedModuleLicenses": modules, "unrestrictedModuleLicenses": [],
    })
}

/// A module as one associate sees it.
fn link((number, name, description, seats): Module, in_use: i32, assigned: bool) -> Json {
    json!({
        "tableRight": null, "fieldProperties": {}, "unrestricted": false, "total": seats,
        "tooltip": format!("{in_use} of {seats} in use"), "canAssign": !assigned && in_use < seats,
        "free": seats - in_use, "inUse": in_use, "isHidden": false, "assigned": assigned, "moduleLicenseId": number,
        "name": name, "description": description, "prerequisiteModuleName": "", "sortOrder": number, "extraFlags": 0,
    })
}

// superoffice-python-sdk --------------------------------------------------------------------------------------------

#[test]
fn resource_with_a_ticket() {
    resource(|_| json!({}));
}

#[test]
fn resource_with_a_password() {
    let basic = format!("Basic {}", BASE64.encode(format!("admin:{PASSWORD}")));
    resource(|_| json!({ "Authorization": basic }));
}

#[test]
fn resource_with_a_token() {
    resource(|ticket| json!({ "Authorization": format!("Bearer {ticket}") }));
}

/// `headers`: beside or instead of those that the package sends, for a ticket.
fn resource(headers: impl Fn(&str) -> Json) {
    let server = server();
    let ticket = server.netserver_sign_in("admin");
    let mut sdk = Sdk::start(&server, &ticket, headers(&ticket));
    gets(&mut sdk);
    assert_eq!(seats(&server), "10/0 5/0 7/0");
    puts_and_deletes(&mut sdk, &server);
    assert_eq!(seats(&server), "10/0 5/1 7/0");
    creates_agent_calls(&mut sdk, &server);
    assert_eq!(seats(&server), "12/0 2/0 0/0");
    assert_eq!(server.violations(), []);
}

/// It gives the body of an answer whatever its status is.
fn gets(sdk: &mut Sdk) {
    let contoso = sdk.get("CONTOSO");
    let members: Vec<&String> = contoso.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        ["Reason", "CanBeActivated", "New", "Current", "ExtendedModuleLicenses", "AccumulatedNextCheckDate"]
    );
    assert_eq!(contoso["Current"]["MaintenanceDate"], "2097-07-31T12:34:56Z");
    assert_eq!(contoso["Current"]["GraceDate"], "0001-01-01T00:00:00");
    assert_eq!(contoso["ExtendedModuleLicenses"][2]["NumberOfLicensesTotal"], 7);
    assert_eq!(sdk.get("contoso"), contoso);
    for (id, pointer, expected) in [
        ("", "/0", contoso),
        ("", "/1/Current/OwnerName", json!("FABRIKAM")),
        ("CONTOSO/SQLBACKUP", "/NumberOfLicenses", json!(5)),
        ("CONTOSO/ShopUrl", "", json!("https://shop.example/contoso")),
        ("CONTOSO/101", "", json!([])),
        ("User/101", "/0/RestrictedModuleLicenses/1/Total", json!(5)),
        ("User/MdoList", "/1/Name", json!("FABRIKAM")),
        ("Site/0", "/0/Name", json!("CONTOSO")),
        ("Site/5", "", json!([])),
        // What is not there.
        ("NOBODY", "/ErrorType", json!("SoNotFoundException")),
        ("Wuckert, Cassin and Goyette", "/ErrorType", json!("SoNotFoundException")),
        ("CONTOSO/NOTHING", "/ErrorType", json!("SoNotFoundException")),
        ("CONTOSO/SQLBACKUP/x", "/ErrorType", json!("SoNotFoundException")),
    ] {
        assert_eq!(sdk.get(id).pointer(pointer), Some(&expected), "{id}");
    }
    for (zone, date) in [
        ("NO", "2097-07-31T14:34:56"),
        ("NO, includeTZOffset", "2097-07-31T14:34:56+02:00"),
        ("includeTZOffset", "2097-07-31T12:34:56Z"),
    ] {
        let seen = sdk.ask("License", "get", json!(["CONTOSO"]), json!({ "SO-TimeZone": zone, "SO-Language": "nb" }));
        assert_eq!(seen["result"]["Current"]["MaintenanceDate"], date, "{zone}");
    }
}

fn puts_and_deletes(sdk: &mut Sdk, server: &Server) {
    let names = |answer: &Json| {
        let links = answer["body"].as_array().expect("links");
        links.iter().map(|link| link["Name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sdk.call("License", "update", json!(["CONTOSO/101", ["SQLBACKUP"]])), 200);
    let raw = sdk.call("License", "update", json!(["CONTOSO/101", ["SQLBACKUP", "EXCHANGEBACKUP"], true]));
    assert_eq!((&raw["status"], names(&raw)), (&json!(200), vec![json!("SQLBACKUP"), json!("EXCHANGEBACKUP")]));
    assert_eq!(seats(server), "10/0 5/1 7/1");
    for (id, names, status) in [
        ("CONTOSO/101", json!(["NOTHING"]), 400),
        ("CONTOSO/101", json!([]), 400),
        ("CONTOSO/999", json!(["SQLBACKUP"]), 404),
        ("NOBODY/101", json!(["SQLBACKUP"]), 404),
        ("FABRIKAM/103", json!(["SQLBACKUP", "EXCHANGEBACKUP"]), 409),
        ("CONTOSO", json!(["SQLBACKUP"]), 405),
    ] {
        assert_eq!(sdk.call("License", "update", json!([id, names])), status, "{id} {names}");
    }
    // It deletes without a body, so that nobody knows which modules are meant.
    assert_eq!(sdk.call("License", "delete", json!(["CONTOSO/101"])), 400);
    assert_eq!(seats(server), "10/0 5/1 7/1");
    let agent = "Agents/License/UnassignThirdPartyLicenses";
    let of_anna = json!({ "AssociateId": 101, "ModuleOwner": "CONTOSO", "ModuleLicenseNames": ["EXCHANGEBACKUP"] });
    let left = sdk.call(agent, "create", json!([of_anna]));
    assert_eq!((&left[0]["Name"], &left[1]), (&json!("SQLBACKUP"), &Json::Null));

    assert_eq!(sdk.call("License", "delete", json!(["FABRIKAM"])), 200);
    assert_eq!(sdk.get("FABRIKAM")["ErrorType"], "SoNotFoundException");
    assert_eq!(sdk.call("License", "create", json!(["<License/>"]))["CanBeActivated"], false);
}

/// What is created below the name of an agent is a call.
fn creates_agent_calls(sdk: &mut Sdk, server: &Server) {
    let owner = json!({ "OwnerName": "CONTOSO" });
    let done = json!({ "TableRight": null, "FieldProperties": {}, "Succeeded": true, "Reason": "" });
    server.sql(OFFER);
    let mut agent = |operation: &str, arguments: Json| {
        sdk.call(&format!("Agents/License/{operation}"), "create", json!([arguments]))
    };
    assert_eq!(agent("GetLicenseStatusFromLicenseServer", owner.clone())["LicenseStatus"], "NewCompanyNameAvailable");
    let offered = agent("GetLicenseFromLicenseServer", owner.clone());
    let mut more = offered.clone();
    more["New"]["ModuleLicenses"][1]["NumberOfLicenses"] = json!(500);
    assert_eq!(agent("ActivateLicenseInfo", json!({ "NewLicense": more }))["Succeeded"], false);
    assert_eq!(agent("ValidateLicenseInfo", json!({ "LicenseInfo": offered })), done);
    assert_eq!(agent("ActivateLicenseInfo", json!({ "NewLicense": offered })), done);
    assert_eq!(agent("GetLicenseFromDB", owner)["Current"], offered["New"]);
    assert_eq!(agent("GetLicenseFromDB", json!({ "OwnerName": "NOBODY" })), Json::Null);
    assert_eq!(agent("GetLicenseFromDB", json!({}))["Message"], "The request is invalid.");
    let of_anna = json!({ "AssociateId": 101, "ModuleOwner": "CONTOSO", "ModuleLicenseNames": ["SQLBACKUP"] });
    assert_eq!(agent("UnassignThirdPartyLicenses", of_anna), json!([]));
    for operation in ["GetLicenseFromFile", "AddLicenseFromFile"] {
        assert_eq!(agent(operation, json!({ "FileContent": "<License/>" }))["CanBeActivated"], false, "{operation}");
    }
    assert_eq!(agent("GetFencingInfo", json!({}))["ErrorType"], "SoNotFoundException");
}

#[test]
fn resource_of_nobody() {
    let server = patient_server();
    let ticket = server.netserver_sign_in("admin");
    let basic = |text: &str| json!({ "Authorization": format!("Basic {}", BASE64.encode(text)) });
    for (ticket, headers) in [
        (format!("{ticket}x"), json!({})),
        (String::new(), json!({})),
        (ticket.clone(), basic("admin:wrong")),
        (ticket, json!({ "Authorization": "Bearer 7T:garbage" })),
    ] {
        let mut sdk = Sdk::start(&server, &ticket, headers);
        assert_eq!(sdk.get("CONTOSO")["ErrorType"], "SoSessionException");
        assert_eq!(sdk.call("License", "update", json!(["CONTOSO/101", ["SQLBACKUP"]])), 401);
        assert_eq!(sdk.call("License", "delete", json!(["CONTOSO"])), 401);
        let raw = sdk.call("License", "update", json!(["CONTOSO/101", ["SQLBACKUP"], true]));
        assert_eq!((&raw["status"], &raw["body"]["ErrorType"]), (&json!(401), &json!("SoSessionException")));
        let called = sdk.call("Agents/License/GetLicenseFromDB", "create", json!([{ "OwnerName": "CONTOSO" }]));
        assert_eq!(called["ErrorType"], "SoSessionException");
    }
    assert_eq!(seats(&server), "10/0 5/0 7/0");
    assert_eq!(server.violations(), []);
}

/// A program on superoffice-python-sdk.
struct Sdk {
    program: Program,
    /// Sent with each call.
    headers: Json,
}

impl Sdk {
    fn start(server: &Server, ticket: &str, headers: Json) -> Sdk {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(validator::python());
        command
            .arg(root.join("tests/clients/superoffice_sdk.py"))
            .args([&format!("http://{}", server.address), ticket]);
        Sdk { program: Program::start(command), headers }
    }

    fn get(&mut self, id: &str) -> Json {
        self.call("License", "get", json!([id]))
    }

    #[track_caller]
    fn call(&mut self, entity: &str, call: &str, arguments: Json) -> Json {
        let mut seen = self.ask(entity, call, arguments, json!({}));
        if seen.get("result").is_some() { seen["result"].take() } else { seen }
    }

    fn ask(&mut self, entity: &str, call: &str, arguments: Json, mut headers: Json) -> Json {
        for (name, value) in self.headers.as_object().expect("an object") {
            headers[name] = value.clone();
        }
        self.program.ask(&json!({ "entity": entity, "call": call, "arguments": arguments, "headers": headers }))
    }
}

// Programs ----------------------------------------------------------------------------------------------------------

/// A program that answers each line with one.
struct Program {
    child: Child,
    calls: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(mut command: Command) -> Program {
        // No proxy stands between a test and its server.
        command.envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{:?}: {e}. {INSTALL}", command.get_program()));
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Program { calls: child.stdin.take(), answers, child }
    }

    fn ask(&mut self, line: &Json) -> Json {
        // If the program has ended, the answer that is missing tells.
        let _ = writeln!(self.calls.as_mut().expect("not dropped"), "{line}");
        let answer = self.answers.next().and_then(Result::ok);
        let answer = answer.unwrap_or_else(|| panic!("{line}: no answer. {INSTALL}"));
        serde_json::from_str(&answer).expect("JSON")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // At the end of its input a program ends.
        drop(self.calls.take());
        let _ = self.child.wait();
    }
}
