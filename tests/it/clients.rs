//! Real toolkits against the service, which know where the WSDL is and nothing else: some read it as they run, of some the
//! code is generated from it first. Their programs are in `tests/clients`; `tests/install` brings the toolkits.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use seatkeeper::asmx::CONTRACT;
use seatkeeper::contract::{ComplexType, Kind};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::harness::*;
use crate::validator::{self, INSTALL};

macro_rules! calls_everything {
    ($($test:ident: $toolkit:ident, $version:literal;)*) => {
        $(#[test]
        fn $test() {
            assigns(Toolkit::$toolkit, $version);
            does_the_rest(Toolkit::$toolkit, $version);
        })*
    };
}

calls_everything! {
    zeep_over_soap_11: Zeep, "1.1";
    zeep_over_soap_12: Zeep, "1.2";
    php_over_soap_11: Php, "1.1";
    php_over_soap_12: Php, "1.2";
    node_over_soap_11: Node, "1.1";
    node_over_soap_12: Node, "1.2";
    gsoap_over_soap_11: Gsoap, "1.1";
    gsoap_over_soap_12: Gsoap, "1.2";
    mono_over_soap_11: Mono, "1.1";
    mono_over_soap_12: Mono, "1.2";
    jaxws_over_soap_11: JaxWs, "1.1";
    jaxws_over_soap_12: JaxWs, "1.2";
    wcf_over_soap_11: Wcf, "1.1";
    wcf_over_soap_12: Wcf, "1.2";
    kdsoap_over_soap_11: KdSoap, "1.1";
    kdsoap_over_soap_12: KdSoap, "1.2";
    strong_soap_over_soap_11: StrongSoap, "1.1";
    strong_soap_over_soap_12: StrongSoap, "1.2";
    soap_lite_over_soap_11: SoapLite, "1.1";
    soap_lite_over_soap_12: SoapLite, "1.2";
    // These know SOAP 1.1 only.
    axis: Axis, "1.1";
    nusoap: NuSoap, "1.1";
    pysimplesoap: PySimpleSoap, "1.1";
    soap_wsdl: SoapWsdl, "1.1";
    soap4r: Soap4r, "1.1";
    suds: Suds, "1.1";
    tcl_web_services: Tcl, "1.1";
}

/// Over TLS inside, with a certificate of an authority that the client is told to trust: the WSDL and a call.
#[test]
fn clients_that_trust_the_authority_call_over_tls() {
    let authority = Authority::new();
    let tls = Some(authority.issue("service", 30));
    let seed = sample_data()
        + "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (420, 'SqlBackup', 100);";
    let server = Server::with(Options { tls, seed, ..Options::default() });
    let url = format!("https://localhost:{}{PATH}?WSDL", server.address.port());
    let root = authority.root();
    // Node and OpenSSL, which all others use, read these.
    let trusting = [("SSL_CERT_FILE", &root), ("NODE_EXTRA_CA_CERTS", &root), ("PERL_LWP_SSL_CA_FILE", &root)];
    for toolkit in [Toolkit::Zeep, Toolkit::Php, Toolkit::Node, Toolkit::SoapLite] {
        for version in ["1.1", "1.2"] {
            let mut command = toolkit.program(&server);
            let mut caller = Caller::run(command.args([&url, version]).envs(trusting), toolkit);
            let username = format!("{toolkit:?} {version}");
            let request = json!({ "Username": username, "LicenseProviderEntityId": 420, "LicenseType": "SqlBackup" });
            let answer = caller.call("agent", "AssignLicense", request);
            assert_eq!(answer["code"], "Success", "{toolkit:?} {version}: {answer}");
        }
    }
    let curl = |trust: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--noproxy", "*", "--fail"]).args(trust).arg(&url);
        curl.output().unwrap_or_else(|e| panic!("curl: {e}. {INSTALL}"))
    };
    let wsdl = curl(&["--cacert", root.to_str().expect("UTF-8")]);
    let wsdl = String::from_utf8(wsdl.stdout).expect("UTF-8");
    assert!(wsdl.contains(&format!("location=\"{}\"", url.replace("?WSDL", ""))), "{wsdl}");
    assert_eq!(curl(&[]).status.code(), Some(60), "it does not trust the authority");
    assert_eq!(server.violations(), []);
}

/// User names as people have them, and as only testers do.
const NAMES: [&str; 8] = [
    "Zoë Ångström",
    "バックアップ 01",
    "backup-🦀",
    "R&D <backup>",
    "\"double\" and 'single'",
    "&amp; &#65; ]]> <!-- -->",
    "CONTOSO\\backup$",
    "two  spaces",
];

fn assigns(toolkit: Toolkit, version: &str) {
    let server = Server::with(Options {
        seed: sample_data()
            + "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES
                   (420, 'SqlBackup', 100), (420, 'ExchangeBackup', 0);",
        ..Options::default()
    });
    let mut caller = Caller::start(toolkit, &server, version);
    let request = |username: &str, license_type: &str| json!({ "Username": username, "LicenseProviderEntityId": 420, "LicenseType": license_type });
    let mut assign =
        |username: &str, license_type: &str| caller.call("agent", "AssignLicense", request(username, license_type));
    let seats_of = |username: &str| {
        let username = username.replace('\'', "''");
        server.query::<i64>(&format!(
            "SELECT count(*) FROM seat JOIN account ON account.id = account_id WHERE username COLLATE BINARY = '{username}'"
        ))
    };

    // The XML that Axis makes of characters beyond the basic plane is not well-formed, and Tcl makes none of them.
    let basic_only = matches!(toolkit, Toolkit::Axis | Toolkit::Tcl);
    let names: Vec<&str> =
        NAMES.into_iter().filter(|name| !basic_only || name.chars().all(|c| c <= '\u{ffff}')).collect();
    for username in &names {
        let success = json!({ "result": 0, "code": "Success", "message": "" });
        assert_eq!(assign(username, "SqlBackup"), success, "{username}");
        assert_eq!(seats_of(username), 1, "{username}");
        let again = format!("User '{username}' already holds a SqlBackup license (seat ");
        assert_refused(&assign(username, "SqlBackup"), 52, "AlreadyExists", &again);
        assert_eq!(seats_of(username), 1, "{username}");
    }

    let none_free = "Provider entity 420 has no ExchangeBackup seats (1 pool)";
    assert_refused(&assign("nobody", "ExchangeBackup"), 1003, "NoFreeSeat", none_free);
    // What is not in the WSDL is sent, or else something else that is answered with a fault.
    let unknown = assign("nobody", "TapeBackup");
    let (fault, reason) = match toolkit {
        Toolkit::Mono | Toolkit::Soap4r | Toolkit::Wcf => {
            let said = unknown["error"].as_str().expect("not sent");
            let expected = match toolkit {
                Toolkit::Mono => "'99' is not a valid value for Vendor.LicenseType.",
                Toolkit::Soap4r => "cannot accept 'TapeBackup'",
                _ => "Enum value '99' is invalid for type 'Vendor.LicenseType'",
            };
            assert!(said.contains(expected), "{said}");
            let fault = caller.call("agent", "NoSuchOperation", request("nobody", "SqlBackup"));
            // Over SOAP 1.2 Mono's WCF names the operation in the Body only.
            let in_body = matches!(toolkit, Toolkit::Wcf) && version == "1.2";
            (fault, if in_body { "without a valid action parameter" } else { "sosonlinebackup.com/NoSuchOperation" })
        }
        Toolkit::Gsoap => (unknown, "'99' is not a valid value for LicenseType."),
        _ => (unknown, "'TapeBackup' is not a valid value for LicenseType."),
    };
    let sender = if version == "1.1" { "Client" } else { "Sender" };
    assert_eq!(fault["faultcode"].as_str().and_then(|code| code.rsplit(':').next()), Some(sender), "{fault}");
    assert!(fault["fault"].as_str().expect("a text").contains(reason), "{fault}");
    if matches!(toolkit, Toolkit::Zeep | Toolkit::Php) {
        // These refuse to leave it out.
        let unsent =
            caller.call("agent", "AssignLicense", json!({ "Username": "nobody", "LicenseProviderEntityId": 420 }));
        let said = unsent["error"].as_str().or(unsent["fault"].as_str()).expect("a refusal");
        assert!(said.contains("LicenseType") && !said.contains("Server was unable"), "{unsent}");
    }
    let wrong = caller.call_with("agent", "wrong", "AssignLicense", request("nobody", "SqlBackup"));
    assert_refused(&wrong, 3, "InvalidSoapCredentials", "The user name or password in AuthHeader is not valid.");
    assert_eq!(seats_of("nobody"), 0);

    let (user_name, password) = ("Büro & <Söhne>", "pässwörd \"&\" <']]>");
    server.sql(&format!(
        "INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('{user_name}', hash_password('{}'), 42)",
        password.replace('\'', "''")
    ));
    let signed_in = caller.call_with(user_name, password, "AssignLicense", request("backup02", "SqlBackup"));
    assert_eq!(signed_in["code"], "Success", "{signed_in}");
    let actor: String = server.query("SELECT actor FROM audit_event WHERE username = 'backup02'");
    assert_eq!(actor, user_name);

    let summary =
        caller.call("reader", "GetAssignedLicensesSummary", json!({ "EntityId": 42, "ChildAccountsOnly": true }));
    let mut listed: Vec<_> = list(&summary["UsersLicenses"]["UserLicenseSummary"])
        .iter()
        .map(|user| user["Username"].as_str().expect("a name"))
        .collect();
    listed.sort_unstable();
    let mut names = [&names[..], &["backup02"]].concat();
    names.sort_unstable();
    assert_eq!(listed, names);
    assert_eq!(server.violations(), []);
}

#[track_caller]
fn assert_refused(answer: &Value, result: i32, code: &str, message: &str) {
    assert_eq!((&answer["result"], &answer["code"]), (&json!(result), &json!(code)), "{answer}");
    // After the id, "Err-…; ".
    let said = answer["message"].as_str().expect("a text");
    assert!(said.starts_with("Err-") && said.contains(&format!("; {message}")), "{said}");
}

/// Bytes, times, nulls, and arrays with many, one and no items, there and back.
fn does_the_rest(toolkit: Toolkit, version: &str) {
    let server = Server::start();
    server.sql(
        "UPDATE license_pool SET product_key = 'K-<1>&', license_data = x'00FF10' WHERE id = 1;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at)
             VALUES (3, 42, 'ExchangeBackup', 1, '2099-01-31T00:00:00Z');",
    );
    let mut caller = Caller::start(toolkit, &server, version);
    let mut call = |user: &str, operation: &str, request: Value| {
        let answer = caller.call(user, operation, request);
        assert!(answer["code"].is_string(), "{operation}: {answer}");
        answer
    };
    let item =
        |username: &str| json!({ "Username": username, "LicenseProviderEntityId": 42, "LicenseType": "SqlBackup" });
    let holding = |username: &str| json!({ "Username": username, "LicenseType": "SqlBackup" });

    let items = json!({ "AssignLicensesItem": [item("a"), item("b"), item("A")] });
    let many = call("agent", "AssignLicenses", json!({ "Items": items, "DryRun": false }));
    let results: Vec<_> = list(&many["Results"]["AssignLicensesItemResult"])
        .iter()
        .map(|r| (r["Username"].as_str().expect("a name"), r["Result"]["Code"].as_str().expect("a code")))
        .collect();
    assert_eq!(results, [("a", "Success"), ("b", "Success"), ("A", "AlreadyExists")]);
    assert_eq!(many["code"], "AlreadyExists", "not all of them");

    let details = call("reader", "GetAssignedLicenseDetails", holding("a"));
    assert_eq!((&details["ProductKey"], &details["LicenseData"]), (&json!("K-<1>&"), &json!("AP8Q")));
    let none = call("reader", "GetAssignedLicenseDetails", holding("nobody"));
    assert_refused(&none, 1004, "NotAssigned", "User 'nobody' holds no SqlBackup license");
    assert_eq!((&none["ProductKey"], &none["LicenseData"]), (&Value::Null, &Value::Null), "{none}");

    assert_eq!(call("admin", "UnassignLicense", holding("b"))["code"], "Success");
    let transfer = json!({ "FromUsername": "a", "ToUsername": "c", "LicenseType": "SqlBackup" });
    assert_eq!(call("admin", "TransferLicense", transfer)["code"], "Success");

    let summary = |entity: i32| json!({ "EntityId": entity, "ChildAccountsOnly": false });
    let one = call("reader", "GetAssignedLicensesSummary", summary(42));
    assert_eq!(list(&one["UsersLicenses"]["UserLicenseSummary"]), [holding("c")]);
    let none = call("reader", "GetAssignedLicensesSummary", summary(420));
    assert_eq!(none["code"], "Success");
    assert!(list(&none["UsersLicenses"]["UserLicenseSummary"]).is_empty(), "{none}");

    server.database().wait_until_counted();
    let pools = call("reader", "GetLicensePools", json!({ "EntityId": 42 }));
    let pool = |id: &str, license_type: &str, [total, in_use, free, max]: [i32; 4], expires_at: Option<&str>| {
        json!({ "PoolId": id, "LicenseType": license_type, "SeatsTotal": total, "SeatsInUse": in_use, "SeatsFree": free,
            "SeatsInUseMax": max, "StartsAt": null, "ExpiresAt": expires_at })
    };
    assert_eq!(
        list(&pools["Pools"]["LicensePool"]),
        [
            pool("1", "SqlBackup", [3, 1, 2, 2], None),
            pool("3", "ExchangeBackup", [1, 0, 1, 0], Some("2099-01-31T00:00:00Z")),
        ]
    );
    assert_eq!(server.violations(), []);
}

/// The toolkits have several ways to say that nothing is in an array.
fn list(array: &Value) -> &[Value] {
    array.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn zeep_resolves_all_of_the_wsdl() {
    let server = Server::start();
    let described = run(python("zeep_client.py").args([&wsdl_url(&server), "describe"]), "");
    let address = format!("http://{}{PATH}", server.address);
    let ports = ["LicenseManagementServiceSoap", "LicenseManagementServiceSoap12"];
    assert_eq!(described["ports"], json!({ ports[0]: address, ports[1]: address }));
    let mut operations = json!({});
    let mut elements = json!({ "AuthHeader": "ns0:AuthHeader(ns0:AuthHeader)" });
    for operation in CONTRACT.operations {
        let (name, input, output) = (operation.name, operation.input.name, operation.output.name);
        for port in ports {
            operations[format!("{port}.{name}")] = json!([
                format!("sosonlinebackup.com/{name}"),
                format!("request: ns0:{input}, _soapheaders={{AuthHeader: ns0:AuthHeader}}"),
                format!("{name}Result: ns0:{output}"),
            ]);
        }
        elements[name] = json!(format!("ns0:{name}(request: ns0:{input})"));
        elements[operation.response] = json!(format!("ns0:{name}Response({name}Result: ns0:{output})"));
    }
    assert_eq!(described["operations"], operations);
    assert_eq!(described["elements"], elements);
    // zeep has resolved them all; a few tell whether it understood.
    for (name, signature) in [
        ("AuthHeader", "(UserName: xsd:string, Password: xsd:string, _attr_1: {})"),
        (
            "AssignLicenseRequest",
            "(Username: xsd:string, LicenseProviderEntityId: xsd:int, LicenseType: ns0:LicenseType)",
        ),
        ("LicenseType", ""),
        ("WebServiceResult", "(Result: xsd:int, Code: xsd:string, Message: xsd:string)"),
        ("ArrayOfUserLicenseSummary", "(UserLicenseSummary: ns0:UserLicenseSummary[])"),
        (
            "GetAssignedLicenseDetailsResult",
            "(ProductKey: xsd:string, LicenseData: xsd:base64Binary, Result: ns0:WebServiceResult)",
        ),
    ] {
        assert_eq!(described["types"][name], format!("ns0:{name}{signature}"));
    }
}

/// Every code and every kind of fault, in both versions.
#[test]
fn codes_and_faults_are_valid_against_the_schema_in_the_wsdl() {
    let mut options = Options {
        seed: sample_data()
            + "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'ExchangeBackup', 0);",
        ..Options::default()
    };
    options.store.busy_timeout = std::time::Duration::from_millis(500);
    let server = Server::with(options);
    let called = |user: &str, username: &str, entity: i32, license_type: &str| {
        assign_envelope(user, PASSWORD, username, entity, license_type)
    };
    let good = called("agent", "R&amp;D &lt;Zoë&gt; ]]&gt;", 42, "SqlBackup");
    let answered = [
        ("Success", good.clone()),
        ("AlreadyExists", good.clone()),
        ("InvalidInputParameters", called("agent", "", 42, "SqlBackup")),
        ("InvalidSoapCredentials", called("nobody", "x", 42, "SqlBackup")),
        ("ObjectEntityMismatch", called("agent", "x", 9, "SqlBackup")),
        ("NoLicensePool", called("agent", "x", 43, "SqlBackup")),
        ("LicenseExpired", called("agent", "x", 43, "ExchangeBackup")),
        ("NoFreeSeat", called("agent", "x", 42, "ExchangeBackup")),
        ("AccessDenied", called("reader", "x", 42, "SqlBackup")),
    ];
    let ignored = format!("<x:Trace xmlns:x=\"urn:x\" soap:mustUnderstand=\"1\"/>{}", auth_header("agent", PASSWORD));
    let refused = [
        ("'TapeBackup' is not a valid value for LicenseType", called("agent", "x", 42, "TapeBackup")),
        ("Missing required soap:Body element", good.replace("soap:Body", "soap:Torso")),
        (
            "SOAP header Trace was not understood",
            envelope11(&ignored, "<AssignLicense xmlns=\"sosonlinebackup.com\"/>"),
        ),
        ("Possible SOAP version mismatch", good.replace("xmlns:soap=\"", "xmlns:soap=\"urn:")),
        ("more than 64 header blocks", good.replace("<soap:Header>", &format!("<soap:Header>{}", "<a/>".repeat(64)))),
    ];

    let mut answers = Vec::new();
    for post in [post11, |envelope: &str| post12(&to_soap12(envelope))] {
        server.sql("UPDATE seat SET account_id = NULL");
        for (code, envelope) in &answered {
            let answer = server.send(&post(envelope));
            assert_eq!((answer.status, answer.code()), (200, (*code).to_owned()));
            answers.push(answer);
        }
        for (reason, envelope) in &refused {
            let answer = server.send(&post(envelope));
            assert!(answer.status >= 400 && answer.body.contains(reason), "{reason}: {answer:?}");
            answers.push(answer);
        }
        let other = server.database().session();
        other.lock();
        let locked = server.send(&post(&called("agent", "x", 42, "SqlBackup")));
        assert_eq!(locked.code(), "UnexpectedError");
        answers.push(locked);
    }
    for (action, content_type) in
        [("SOAPAction: \"urn:x\"\r\n", "text/xml"), ("", "application/soap+xml; action=\"urn:x\"")]
    {
        let body = envelope11("", "<Unknown xmlns=\"urn:x\"/>");
        let body = if action.is_empty() { to_soap12(&body) } else { body };
        let answer = server.send(&post(&format!("Content-Type: {content_type}\r\n{action}"), body.as_bytes()));
        assert_eq!(answer.status, 500, "{answer:?}");
        answers.push(answer);
    }

    // The harness has validated them. That the validation sees what is wrong:
    for answer in &answers {
        assert_eq!(validator::problems(answer), [""; 0], "{answer:?}");
    }
    for (from, to) in [
        ("<Result>0<", "<Result>none<"),
        ("<Result>0</Result>", ""),
        ("<AssignLicenseResult>", "<AssignLicenseResult><Extra />"),
        ("</soap:Body>", "<Extra /></soap:Body>"),
        ("</soap:Body>", "</soap:Body><Extra />"),
        ("<soap:Body>", "<soap:Body a=\"b\">"),
        ("<faultcode>", "<faultcode> :"),
        ("<faultcode>soap:Client", "<faultcode>soap:Sender"),
        ("<faultcode>soap:Client", "<faultcode>Client"),
        ("<faultcode>", "<faultcode xmlns:soap=\"urn:x\">"),
        ("faultstring>", "soap:faultstring>"),
        ("<soap:Reason>", "<soap:Node>urn:x</soap:Node><soap:Reason>"),
        (" xml:lang=\"en\"", ""),
        ("qname=\"n:Trace\"", ""),
        ("qname=\"n:Trace\"", "qname=\"m:Trace\""),
        ("SupportedEnvelope", "Supported"),
        ("<soap:Envelope", "<!DOCTYPE a><soap:Envelope"),
        ("<soap:Envelope", "<?a b?><soap:Envelope"),
        ("encoding=\"utf-8\"", "encoding=\"iso-8859-1\""),
        ("</soap:Envelope>", ""),
    ] {
        let mut spoilt = answers.iter().find(|a| a.body.contains(from)).expect("one of them").clone();
        spoilt.body = spoilt.body.replace(from, to);
        assert_ne!(validator::problems(&spoilt), [""; 0], "{spoilt:?}");
    }
    for (from, to) in
        [(" 200 ", " 500 "), (" 500 ", " 200 "), (" 500 ", " 413 "), ("utf-8", "utf-16"), ("text/xml", "text/html")]
    {
        let mut spoilt = answers.iter().find(|a| a.head.contains(from)).expect("one of them").clone();
        spoilt.head = spoilt.head.replace(from, to);
        spoilt.status = spoilt.head[9..12].parse().expect("a status");
        assert_ne!(validator::problems(&spoilt), [""; 0], "{spoilt:?}");
    }
}

/// Every operation, with success and refused; one answer so long that it is streamed. The harness validates them all.
#[test]
fn every_operation_answers_as_the_schema_in_the_wsdl_says() {
    let server = Server::start();
    server.sql(
        "UPDATE license_pool SET seats_total = 5000, product_key = 'KEY', license_data = x'00FF' WHERE id = 1;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
             INSERT INTO account (id, username, entity_id) SELECT n, 'user' || n, 42 FROM n;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 4000;",
    );
    let mut asked: Vec<&str> = Vec::new();
    let mut streamed = 0;
    for (operation, user, fields) in [
        ("AssignLicense", "agent", ITEM),
        ("GetAssignedLicenseDetails", "reader", "<Username>user1</Username><LicenseType>SqlBackup</LicenseType>"),
        ("GetAssignedLicensesSummary", "reader", "<EntityId>1</EntityId>"),
        ("GetAssignedLicensesSummary", "reader", "<EntityId>420</EntityId><ChildAccountsOnly>1</ChildAccountsOnly>"),
        ("UnassignLicense", "admin", "<Username>user1</Username><LicenseType>SqlBackup</LicenseType>"),
        (
            "TransferLicense",
            "admin",
            "<FromUsername>user2</FromUsername><ToUsername>user1</ToUsername><LicenseType>SqlBackup</LicenseType>",
        ),
        ("GetLicensePools", "reader", "<EntityId>42</EntityId>"),
        ("GetLicensePools", "reader", "<EntityId>43</EntityId>"),
        ("AssignLicenses", "agent", &format!("<Items><AssignLicensesItem>{ITEM}</AssignLicensesItem></Items>")),
    ] {
        let answer = server.call(operation, user, fields);
        assert!(answer.body.contains(&format!("<{operation}Result>")), "{operation}: {answer:?}");
        streamed += usize::from(answer.header("transfer-encoding") == Some("chunked"));
        // Refusals leave out what they cannot tell.
        let refused = server.call(operation, "nobody", fields);
        assert_eq!(refused.code(), "InvalidSoapCredentials", "{operation}");
        asked.push(operation);
    }
    assert_eq!(streamed, 1);
    asked.dedup();
    let operations: Vec<&str> = CONTRACT.operations.iter().map(|operation| operation.name).collect();
    assert_eq!(asked, operations);
}

const ITEM: &str = "<Username>new</Username><LicenseProviderEntityId>42</LicenseProviderEntityId>\
                    <LicenseType>SqlBackup</LicenseType>";

#[derive(Debug, Clone, Copy)]
enum Toolkit {
    Axis,
    Gsoap,
    JaxWs,
    KdSoap,
    Mono,
    Node,
    NuSoap,
    Php,
    PySimpleSoap,
    Soap4r,
    SoapLite,
    SoapWsdl,
    StrongSoap,
    Suds,
    Tcl,
    Wcf,
    Zeep,
}

impl Toolkit {
    /// Whether its program takes calls as JSON, and as fields else.
    fn takes_json(self) -> bool {
        !matches!(self, Toolkit::Axis | Toolkit::Gsoap | Toolkit::JaxWs | Toolkit::Mono | Toolkit::Wcf)
    }

    /// The program on this toolkit, in `tests/clients`.
    fn program(self, server: &Server) -> Command {
        match self {
            Toolkit::Axis => asmx("axis", &["AxisClient.java"], server),
            Toolkit::Gsoap => asmx("gsoap", &["gsoap_client.cpp"], server),
            Toolkit::JaxWs => asmx("jaxws", &["JaxWsClient.java"], server),
            Toolkit::KdSoap => asmx("kdsoap", &["kdsoap_client.cpp"], server),
            Toolkit::Mono => asmx("mono", &["DotnetCalls.cs", "MonoClient.cs"], server),
            Toolkit::Node => node("node_client.js"),
            Toolkit::NuSoap => interpreted("php", "nusoap_client.php"),
            Toolkit::Php => interpreted("php", "soap_client.php"),
            // Of Debian, which the Python of the tests does not see.
            Toolkit::PySimpleSoap => interpreted("/usr/bin/python3", "pysimplesoap_client.py"),
            Toolkit::Soap4r => interpreted("ruby", "soap4r_client.rb"),
            Toolkit::SoapLite => interpreted("perl", "soap_lite.pl"),
            Toolkit::SoapWsdl => asmx("soapwsdl", &["soap_wsdl.pl"], server),
            Toolkit::StrongSoap => node("strong_soap_client.js"),
            Toolkit::Suds => python("suds_client.py"),
            Toolkit::Tcl => interpreted("tclsh", "tcl_client.tcl"),
            Toolkit::Wcf => asmx("wcf", &["DotnetCalls.cs", "WcfClient.cs"], server),
            Toolkit::Zeep => python("zeep_client.py"),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn python(program: &str) -> Command {
    interpreted(validator::python(), program)
}

pub fn interpreted(interpreter: impl AsRef<Path>, program: &str) -> Command {
    let mut command = Command::new(interpreter.as_ref());
    command.arg(root().join("tests/clients").join(program));
    command
}

pub fn node(program: &str) -> Command {
    let mut command = interpreted("node", program);
    command.env("NODE_PATH", root().join("target/test-tools/node/node_modules"));
    command
}

/// A program that `tests/clients/build` makes of its sources and the WSDL.
fn asmx(toolkit: &str, sources: &[&str], server: &Server) -> Command {
    generated(toolkit, sources, &[("service.wsdl", &format!("{PATH}?WSDL"))], server)
}

/// A program that `tests/clients/build` makes of its sources and these documents of the server, each with the name of its file.
/// It is kept for as long as neither they nor the script change.
pub fn generated(toolkit: &str, sources: &[&str], documents: &[(&str, &str)], server: &Server) -> Command {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);

    let documents: Vec<(&str, String)> = documents
        .iter()
        .map(|(name, target)| {
            // A WSDL repeats the Host: with the server's own it would be another one every time.
            let answer = server.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
            (*name, answer.body)
        })
        .collect();
    let clients = root().join("tests/clients");
    let build = clients.join("build");
    let mut hasher = DefaultHasher::new();
    (&documents, fs::read(&build).expect("the script")).hash(&mut hasher);
    sources.iter().for_each(|source| fs::read(clients.join(source)).expect("the source").hash(&mut hasher));

    let kept = root().join("target/test-tools/generated").join(format!("{toolkit}-{:016x}", hasher.finish()));
    if !kept.exists() {
        let made = kept.with_extension(std::process::id().to_string());
        let _ = fs::remove_dir_all(&made);
        fs::create_dir_all(&made).expect("a directory");
        for (name, document) in documents {
            fs::write(made.join(name), document).expect("the WSDL");
        }
        let status = Command::new(&build).arg(toolkit).arg(&made).status();
        let status = status.unwrap_or_else(|e| panic!("{}: {e}", build.display()));
        assert!(status.success(), "{} {toolkit}: {status}. {INSTALL}", build.display());
        // Another process may have been faster; what it made is the same.
        if fs::rename(&made, &kept).is_err() {
            let _ = fs::remove_dir_all(&made);
        }
    }
    Command::new(kept.join("client"))
}

fn spawn(command: &mut Command) -> Child {
    // No proxy stands between a test and its server.
    command.envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap_or_else(|e| panic!("{:?}: {e}. {INSTALL}", command.get_program()))
}

/// Runs a program to its end; what it prints is JSON.
fn run(command: &mut Command, input: &str) -> Value {
    let mut child = spawn(command);
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the program reads its input");
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{command:?}: {}. {INSTALL}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A program on a toolkit that makes the calls it is told to.
struct Caller {
    child: Child,
    calls: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    toolkit: Toolkit,
}

impl Caller {
    fn start(toolkit: Toolkit, server: &Server, version: &str) -> Caller {
        Caller::run(toolkit.program(server).args([&wsdl_url(server), version]), toolkit)
    }

    fn run(command: &mut Command, toolkit: Toolkit) -> Caller {
        let mut child = spawn(command);
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Caller { calls: child.stdin.take(), answers, child, toolkit }
    }

    fn call(&mut self, user_name: &str, operation: &str, request: Value) -> Value {
        self.call_with(user_name, PASSWORD, operation, request)
    }

    fn call_with(&mut self, user_name: &str, password: &str, operation: &str, request: Value) -> Value {
        let given = if self.toolkit.takes_json() {
            json!({ "user_name": user_name, "password": password, "operation": operation, "request": request })
                .to_string()
        } else {
            // One that the service does not have is called as the first one it has.
            let known = CONTRACT.operations.iter().find(|o| o.name == operation).unwrap_or(&CONTRACT.operations[0]);
            let mut fields = [user_name, password, operation].map(str::to_owned).to_vec();
            add_fields(&mut fields, known.input, &request);
            fields.join("\t")
        };
        // If the program has ended, the answer that is missing tells.
        let _ = writeln!(self.calls.as_mut().expect("not dropped"), "{given}");
        let Some(line) = self.answers.next() else {
            panic!("the program ended without an answer to {given}: {:?}. {INSTALL}", self.child.wait());
        };
        serde_json::from_str(&line.expect("UTF-8")).expect("JSON")
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.calls.take());
        let _ = self.child.wait();
    }
}

fn wsdl_url(server: &Server) -> String {
    format!("http://{}{PATH}?WSDL", server.address)
}

/// The members of a request, those of the items of arrays too, in the order of the WSDL.
fn add_fields(fields: &mut Vec<String>, of: &ComplexType, request: &Value) {
    for field in of.fields {
        let value = &request[field.name];
        match (field.kind, value) {
            (Kind::Array(array), _) => {
                list(&value[array.item.name]).iter().for_each(|item| add_fields(fields, array.item, item));
            }
            (_, Value::String(text)) => fields.push(text.clone()),
            (_, other) => fields.push(other.to_string()),
        }
    }
}
