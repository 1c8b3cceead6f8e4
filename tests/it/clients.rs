//! Real toolkits against the service: zeep (Python) and SoapClient (PHP), which know where the WSDL is and nothing else.
//! Their programs are in `tests/clients`; `tests/install` brings the toolkits.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::*;

#[test]
fn zeep_over_soap_11() {
    every_answer_reaches(Toolkit::Zeep, "1.1", "soap:Client");
}

#[test]
fn zeep_over_soap_12() {
    every_answer_reaches(Toolkit::Zeep, "1.2", "soap:Sender");
}

#[test]
fn php_over_soap_11() {
    every_answer_reaches(Toolkit::Php, "1.1", "soap:Client");
}

#[test]
fn php_over_soap_12() {
    every_answer_reaches(Toolkit::Php, "1.2", "soap:Sender");
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

fn every_answer_reaches(toolkit: Toolkit, version: &str, sender: &str) {
    let server = Server::with(Options {
        seed: sample_data()
            + "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES
                   (420, 'SqlBackup', 100), (420, 'ExchangeBackup', 0);",
        ..Options::default()
    });
    let mut caller = Caller::start(toolkit, &server, version);
    let mut call = |given: Value| {
        let mut whole = json!({ "user_name": "agent", "password": PASSWORD, "username": "backup01",
            "provider_entity_id": 420, "license_type": "SqlBackup" });
        whole.as_object_mut().expect("an object").extend(given.as_object().expect("an object").clone());
        caller.call(&whole)
    };
    let seats_of = |name: &str| {
        let query =
            "SELECT count(*) FROM seat JOIN account ON account.id = account_id WHERE username COLLATE BINARY = ?1";
        connection(&server.database()).query_row(query, [name], |row| row.get::<_, i64>(0)).expect("query")
    };

    assert_eq!(call(json!({})), json!({ "result": 0, "code": "Success", "message": "" }));
    assert_eq!(seats_of("backup01"), 1);

    assert_refused(&call(json!({})), 52, "AlreadyExists", "User 'backup01' already holds a SqlBackup license");
    assert_eq!(seats_of("backup01"), 1);

    let wrong = call(json!({ "password": "wrong", "username": "nobody" }));
    assert_refused(&wrong, 3, "InvalidSoapCredentials", "The user name or password in AuthHeader is not valid.");
    let empty = call(json!({ "license_type": "ExchangeBackup", "username": "nobody" }));
    assert_refused(&empty, 1003, "NoFreeSeat", "All 0 ExchangeBackup seats of provider entity 420 are in use");

    // Neither toolkit checks the value itself: the fault is the service's, in the version that was asked for.
    let fault = call(json!({ "license_type": "TapeBackup", "username": "nobody" }));
    assert_eq!(fault["faultcode"], sender, "{fault}");
    let reason = fault["fault"].as_str().expect("a text");
    assert!(reason.ends_with("'TapeBackup' is not a valid value for LicenseType."), "{reason}");
    // Both refuse to leave it out.
    let unsent = call(json!({ "license_type": null, "username": "nobody" }));
    let said = unsent["error"].as_str().or(unsent["fault"].as_str()).expect("a refusal");
    assert!(said.contains("LicenseType") && !said.contains("Server was unable"), "{unsent}");
    assert_eq!(seats_of("nobody"), 0);

    for name in NAMES {
        assert_eq!(call(json!({ "username": name }))["code"], "Success", "{name}");
        assert_eq!(seats_of(name), 1, "{name}");
        let again = call(json!({ "username": name }));
        assert_refused(&again, 52, "AlreadyExists", &format!("User '{name}' already holds"));
    }

    let (user_name, password) = ("Büro & <Söhne>", "pässwörd \"&\" <']]>");
    connection(&server.database())
        .execute(
            "INSERT INTO credential (user_name, password_hash, entity_id) VALUES (?1, hash_password(?2), 42)",
            [user_name, password],
        )
        .expect("a credential");
    let signed_in = call(json!({ "user_name": user_name, "password": password, "username": "backup02" }));
    assert_eq!(signed_in["code"], "Success", "{signed_in}");
    let actor: String = server.query("SELECT actor FROM audit_event WHERE username = 'backup02'");
    assert_eq!(actor, user_name);
    assert_eq!(server.violations(), []);
}

#[track_caller]
fn assert_refused(answer: &Value, result: i32, code: &str, message: &str) {
    assert_eq!((&answer["result"], &answer["code"]), (&json!(result), &json!(code)), "{answer}");
    // After the id, "Err-…; ".
    let said = answer["message"].as_str().expect("a text");
    assert!(said.starts_with("Err-") && said.contains(&format!("; {message}")), "{said}");
}

#[test]
fn zeep_resolves_all_of_the_wsdl() {
    let server = Server::start();
    let described = run(Toolkit::Zeep.command("zeep_client.py").args([&wsdl_url(&server), "describe"]), "");
    let address = format!("http://{}{PATH}", server.address);
    let operation = json!([
        "sosonlinebackup.com/AssignLicense",
        "request: ns0:AssignLicenseRequest, _soapheaders={AuthHeader: ns0:AuthHeader}",
        "AssignLicenseResult: ns0:AssignLicenseResult",
    ]);
    assert_eq!(
        described,
        json!({
            "ports": { "LicenseManagementServiceSoap": address, "LicenseManagementServiceSoap12": address },
            "operations": {
                "LicenseManagementServiceSoap.AssignLicense": operation,
                "LicenseManagementServiceSoap12.AssignLicense": operation,
            },
            "elements": {
                "AssignLicense": "ns0:AssignLicense(request: ns0:AssignLicenseRequest)",
                "AssignLicenseResponse": "ns0:AssignLicenseResponse(AssignLicenseResult: ns0:AssignLicenseResult)",
                "AuthHeader": "ns0:AuthHeader(ns0:AuthHeader)",
            },
            "types": {
                "AssignLicenseRequest": "ns0:AssignLicenseRequest(Username: xsd:string, LicenseProviderEntityId: xsd:int, \
                                         LicenseType: ns0:LicenseType)",
                "LicenseType": "ns0:LicenseType",
                "AssignLicenseResult": "ns0:AssignLicenseResult(Result: ns0:WebServiceResult)",
                "WebServiceResult": "ns0:WebServiceResult(Result: xsd:int, Code: xsd:string, Message: xsd:string)",
                "AuthHeader": "ns0:AuthHeader(UserName: xsd:string, Password: xsd:string, _attr_1: {})",
            },
        })
    );
}

/// Every code and every kind of fault, in both versions.
#[test]
fn every_answer_is_valid_against_the_schema_in_the_wsdl() {
    let mut options = Options {
        seed: sample_data()
            + "INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'ExchangeBackup', 0);",
        ..Options::default()
    };
    options.store.busy_timeout = std::time::Duration::from_millis(50);
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
        ("Maximum request length exceeded", called("agent", &"x".repeat(300 * 1024), 42, "SqlBackup")),
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
        let other = connection(&server.database());
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
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

    let wsdl = server.get(&format!("{PATH}?WSDL")).body;
    let validate = |responses: &[String]| {
        let input = json!({ "wsdl": wsdl, "responses": responses }).to_string();
        run(&mut Toolkit::Zeep.command("validate.py"), &input)
    };
    let bodies: Vec<String> = answers.into_iter().map(|answer| answer.body).collect();
    let found = validate(&bodies);
    assert_eq!(found.as_array().map(Vec::len), Some(bodies.len()));
    for (body, problems) in bodies.iter().zip(found.as_array().expect("a list")) {
        assert_eq!(*problems, json!([]), "{body}");
    }
    // And the check itself sees what is wrong.
    let spoilt = [
        ("<Result>0<", "<Result>none<"),
        ("<Result>0</Result>", ""),
        ("<AssignLicenseResult>", "<AssignLicenseResult><Extra />"),
        ("</soap:Body>", "<Extra /></soap:Body>"),
        ("<faultcode>", "<faultcode> :"),
        ("<soap:Reason>", "<soap:Node>urn:x</soap:Node><soap:Reason>"),
    ]
    .map(|(from, to)| bodies.iter().find(|body| body.contains(from)).expect("one of them").replace(from, to));
    for (body, problems) in spoilt.iter().zip(validate(&spoilt).as_array().expect("a list")) {
        assert_ne!(*problems, json!([]), "{body}");
    }
}

#[derive(Clone, Copy)]
enum Toolkit {
    Zeep,
    Php,
}

impl Toolkit {
    /// The toolkit's interpreter with a program of `tests/clients`.
    fn command(self, program: &str) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = match self {
            Toolkit::Zeep => Command::new(root.join("target/test-tools/venv/bin/python")),
            Toolkit::Php => Command::new("php"),
        };
        command.arg(root.join("tests/clients").join(program)).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// What there is to do about a toolkit that does not work.
const INSTALL: &str = "If something is not installed, run tests/install.";

fn spawn(command: &mut Command) -> Child {
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
}

impl Caller {
    fn start(toolkit: Toolkit, server: &Server, version: &str) -> Caller {
        let program = match toolkit {
            Toolkit::Zeep => "zeep_client.py",
            Toolkit::Php => "soap_client.php",
        };
        let mut child = spawn(toolkit.command(program).args([&wsdl_url(server), version]));
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Caller { calls: child.stdin.take(), answers, child }
    }

    fn call(&mut self, given: &Value) -> Value {
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
