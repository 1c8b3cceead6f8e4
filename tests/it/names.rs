//! Names and texts as they come over the wire: bytes that could not be read are no value, and blanks at the ends of a
//! name do not count, on every surface.

use seatkeeper::netserver::LICENSE;

use crate::documents::{fill_in, origin};
use crate::harness::*;
use crate::netserver_soap::{at, read};
use crate::program::seatkeeper;
use crate::surfaces::{Caller, Form, SURFACES, Surface};
use crate::web::{Api, assert_error, basic, parsed};

/// The request of a client that writes ISO 8859-1 and labels it as UTF-8. Every character must be one of that charset.
fn mislabelled(request: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(request).expect("UTF-8");
    let bytes = latin1(text);
    // Each character has become one byte, and Content-Length counts those.
    let (length, now) = (content_length(text), bytes.len() - text.find("\r\n\r\n").expect("a head") - 4);
    let head = format!("Content-Length: {length}\r\n");
    let at = text.find(&head).expect("Content-Length");
    [&bytes[..at], format!("Content-Length: {now}\r\n").as_bytes(), &bytes[at + head.len()..]].concat()
}

fn content_length(request: &str) -> &str {
    let (_, rest) = request.split_once("Content-Length: ").expect("Content-Length");
    rest.split("\r\n").next().expect("a line")
}

fn undecoded(field: &str) -> String {
    format!("{field} contains U+FFFD: its bytes are not valid in the charset of the message. Send UTF-8.")
}

const MUELLER: &str = "<Username>Müller</Username><LicenseType>SqlBackup</LicenseType>";

/// Operation, caller, fields of the request, code, and what the message says.
const UNDECODED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "AssignLicense",
        "agent",
        "<Username>Müller</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType>",
        "InvalidInputParameters",
        "Username contains U+FFFD: its bytes are not valid in the charset of the message. Send UTF-8.",
    ),
    // In the order of the rules: the caller, the role, this, the entity.
    (
        "AssignLicense",
        "nobody",
        "<Username>Müller</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType>",
        "InvalidSoapCredentials",
        "",
    ),
    (
        "AssignLicense",
        "reader",
        "<Username>Müller</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType>",
        "AccessDenied",
        "",
    ),
    (
        "AssignLicense",
        "agent",
        "<Username>Müller</Username><LicenseProviderEntityId>777</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType>",
        "InvalidInputParameters",
        "Username contains U+FFFD",
    ),
    (
        "AssignLicenses",
        "agent",
        "<Items><AssignLicensesItem><Username>Möller</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType></AssignLicensesItem></Items>",
        "InvalidInputParameters",
        "item 1 of 1, 1 refused: Username contains U+FFFD",
    ),
    ("GetAssignedLicenseDetails", "reader", MUELLER, "InvalidInputParameters", "Username contains U+FFFD"),
    ("UnassignLicense", "agent", MUELLER, "AccessDenied", ""),
    ("UnassignLicense", "admin", MUELLER, "InvalidInputParameters", "Username contains U+FFFD"),
    (
        "TransferLicense",
        "admin",
        "<FromUsername>Müller</FromUsername><ToUsername>Möller</ToUsername><LicenseType>SqlBackup</LicenseType>",
        "InvalidInputParameters",
        "FromUsername contains U+FFFD",
    ),
    (
        "TransferLicense",
        "admin",
        "<FromUsername>Moeller</FromUsername><ToUsername>Müller</ToUsername><LicenseType>SqlBackup</LicenseType>",
        "InvalidInputParameters",
        "ToUsername contains U+FFFD",
    ),
];

#[test]
fn bytes_that_are_not_of_the_charset_are_no_user_name() {
    let server = Server::start();
    for (operation, user, fields, code, says) in UNDECODED {
        let as_utf8 = call11(operation, user, fields);
        for request in [mislabelled(&as_utf8), mislabelled(&to_soap12_call(&as_utf8))] {
            let answer = server.send(&request);
            let codes: Vec<&str> = answer.body.split("<Code>").skip(1).filter_map(|c| c.split('<').next()).collect();
            assert!(!codes.is_empty() && codes.iter().all(|found| found == code), "{operation} {fields}: {answer:?}");
            let whole = answer.body.rsplit("<Message>").next().unwrap_or_default();
            assert!(whole.contains(says), "{operation} {fields}: {answer:?}");
        }
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0, "two people would be one user");
    // The character itself, in good UTF-8: a client that decoded badly before it called.
    assert!(server.assign("M\u{FFFD}ller", 42, "SqlBackup").message().contains("Username contains U+FFFD"));
    assert_eq!(server.assign("Müller", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.assign("Möller", 42, "SqlBackup").code(), "Success");
    // ISO 8859-1 that is called by its name is read as what it is.
    let named = mislabelled(&call11("GetAssignedLicenseDetails", "reader", MUELLER));
    let named = replaced(&named, b"charset=utf-8", b"charset=iso-8859-1");
    assert_eq!(server.send(&named).code(), "Success");
    let held: String = server.query("SELECT group_concat(username, ' ') FROM (SELECT * FROM account ORDER BY id) AS q");
    assert_eq!(held, "Müller Möller");
}

/// The media type and the namespace of the envelope are all that a SOAP 1.2 call differs in here.
fn to_soap12_call(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).expect("UTF-8");
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    post12(&to_soap12(body))
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn the_test_form_takes_no_such_name_either() {
    let server = Server::start();
    let form = format!(
        "UserName=agent&Password={PASSWORD}&Username=M%FCller&LicenseProviderEntityId=42&LicenseType=SqlBackup"
    );
    let page = fill_in(&server, "localhost", &origin("localhost"), &form);
    assert!(page.body.contains("Username contains U+FFFD"), "{page:?}");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0);
}

/// Names of credentials are no values: such a name is simply not valid, and nothing says why.
#[test]
fn bytes_that_are_not_of_the_charset_are_no_credential() {
    let server = Server::start();
    let hash = &*PASSWORD_HASH;
    server.sql(&format!("INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('jürgen', '{hash}', 1)"));
    // From before the schema had a rule for it: the name that the bytes become.
    server.unguarded(&format!(
        "INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('j\u{FFFD}rgen', '{hash}', 1)"
    ));
    let call = call11("GetLicensePools", "jürgen", "<EntityId>42</EntityId>");
    assert_eq!(server.send(&call).code(), "Success");
    let (refused, wrong) =
        (server.send(&mislabelled(&call)), server.call("GetLicensePools", "nobody", "<EntityId>42</EntityId>"));
    assert_eq!(refused.code(), "InvalidSoapCredentials");
    assert_eq!(refused.message()[40..], wrong.message()[40..]);

    assert!(server.authenticate("jürgen", PASSWORD).element("Ticket").is_some());
    for request in [mislabelled(&authenticate("jürgen", PASSWORD)), authenticate("j\u{FFFD}rgen", PASSWORD)] {
        let refused = server.send(&request);
        assert_eq!((refused.exception(), refused.element("AuthenticationSucceeded").as_deref()), (None, Some("false")));
    }
    let api = Api(server);
    let status = |user: &str| api.bare("GET /api/v1/License", &basic(user, PASSWORD), "").status;
    assert_eq!((status("jürgen"), status("j\u{FFFD}rgen")), (200, 401));
}

/// Operation, and arguments of which the first is not of the charset.
const UNDECODED_ARGUMENTS: &[(&str, &str)] = &[
    ("GetLicenseFromLicenseServer", "<OwnerName>CÖNTOSO</OwnerName>"),
    ("GetLicenseStatusFromLicenseServer", "<OwnerName>CÖNTOSO</OwnerName>"),
    ("GetLicenseFromDB", "<OwnerName>CÖNTOSO</OwnerName>"),
    ("GetShopUrl", "<OwnerName>CÖNTOSO</OwnerName>"),
    ("GetModuleLicenseFromDB", "<ModuleName>SQLBÄCKUP</ModuleName><OwnerName>CONTOSO</OwnerName>"),
    ("GetThirdPartyLicenseAssignments", "<ModuleOwner>CÖNTOSO</ModuleOwner><AssociateId>101</AssociateId>"),
    (
        "AssignThirdPartyLicenses",
        "<ModuleOwner>CÖNTOSO</ModuleOwner><AssociateId>101</AssociateId><ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string></ModuleLicenseNames>",
    ),
    (
        "UnassignThirdPartyLicenses",
        "<ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string><a:string>SQLBÄCKUP</a:string></ModuleLicenseNames><AssociateId>101</AssociateId><ModuleOwner>CONTOSO</ModuleOwner>",
    ),
    ("RemoveLicenseFromDB", "<ModuleOwner>CÖNTOSO</ModuleOwner>"),
    ("ChangeSerialNumber", "<NewCompanyName>Größe</NewCompanyName><NewSerialNumber>1</NewSerialNumber>"),
    (
        "ActivateLicenseInfo",
        "<NewLicense><New><CompanyName>Größe</CompanyName><OwnerName>CONTOSO</OwnerName></New></NewLicense>",
    ),
];

/// The name of the innermost element that holds the first text of another charset.
fn field_of(arguments: &str) -> &str {
    let at = arguments.find(|c: char| !c.is_ascii()).expect("a character that is not ASCII");
    let name = arguments[..at].rsplit_once('<').and_then(|(_, tag)| tag.split('>').next()).expect("a tag");
    if name == "a:string" { "ModuleLicenseNames" } else { name }
}

/// The same character in an address or a form is one percent-encoded byte.
fn mislabelled_on(surface: Surface, request: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(request).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let target = head.lines().next().expect("a line");
    let plain = target.replace("%C3%96", "%D6").replace("%C3%84", "%C4").replace("%C3%B6%C3%9F", "%F6%DF");
    let request = format!("{}\r\n\r\n{body}", head.replacen(target, &plain, 1));
    if body.is_empty() { request.into_bytes() } else { mislabelled(&surface.said_to_be_utf8(request)) }
}

impl Surface {
    /// With a charset parameter, in case the tests' requests have none.
    fn said_to_be_utf8(self, request: String) -> Vec<u8> {
        let is_json = matches!(self, Surface::Agent(Form::Json) | Surface::Resource(Form::Json));
        if is_json {
            request.replacen("application/json\r\n", "application/json; charset=utf-8\r\n", 1)
        } else {
            request
        }
        .into_bytes()
    }
}

#[test]
fn bytes_that_are_not_of_the_charset_are_no_argument_of_license_tools() {
    let server = Server::with_owners();
    let before: String = server.query("SELECT group_concat(id || name || coalesce(owner_name, '')) FROM entity");
    let (admin, nobody) = (server.netserver_sign_in("admin"), String::new());
    let mut asked = 0;
    for (operation, arguments) in UNDECODED_ARGUMENTS {
        for surface in SURFACES.into_iter().filter(|surface| surface.has(operation)) {
            for (ticket, expected) in [(&admin, "SoInvalidArgumentException"), (&nobody, "SoSessionException")] {
                let caller = Caller { ticket, zone: None };
                let Some(request) = surface.request(caller, operation, arguments) else { continue };
                let outcome = surface.read(operation, &server.send(&mislabelled_on(surface, &request)));
                let (exception, text) = outcome.expect_err(operation);
                assert_eq!(exception, expected, "{surface:?} {operation}: {text}");
                if ticket == &admin {
                    assert_eq!(text, undecoded(field_of(arguments)), "{surface:?} {operation}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked >= 2 * (4 * UNDECODED_ARGUMENTS.len() + 12), "{asked} calls");
    assert_eq!(
        server.query::<String>("SELECT group_concat(id || name || coalesce(owner_name, '')) FROM entity"),
        before
    );

    let api = Api(server);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = api.ask("POST /api/v1/Agents/License/GetShopUrl", form, "OwnerName=C%D6NTOSO");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains(&undecoded("OwnerName")), "{answer:?}");
    let query = "POST /api/v1/License/ChangeSerialNumber?newCompanyName=Contoso&newSerialNumber=%FF";
    let answer = api.ask(query, "", "");
    assert_error(&answer, 400, "SoInvalidArgumentException");
    assert_eq!(parsed(&answer)["ErrorMessage"], undecoded("NewSerialNumber"));
    // The three that came with Services88 take no text.
    assert_eq!(LICENSE.operations.len(), 19 + 3);
}

// Blanks at the ends -------------------------------------------------------------------------------------------------

/// A space, no-break and ideographic ones, a thin one; none, one or some at either end.
const ENDS: [(&str, &str); 6] =
    [("", ""), (" ", ""), ("", " "), ("  ", "\u{a0}"), ("\u{3000}", "\u{2009}"), ("\u{2028}", "\u{205f} ")];

#[test]
fn a_name_with_blanks_at_its_ends_is_the_name_without() {
    let server = Server::start();
    server.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (5, 42, 'SkraftDiskImageV5', 9)",
    );
    for (n, (before, after)) in ENDS.into_iter().enumerate() {
        let name = format!("{before}User 7{after}");
        let code = server.assign(&name, 42, "SqlBackup").code();
        assert_eq!(code, if n == 0 { "Success" } else { "AlreadyExists" }, "{name:?}");
        let holding = format!("<Username>{name}</Username><LicenseType>SqlBackup</LicenseType>");
        assert_eq!(server.call("GetAssignedLicenseDetails", "reader", &holding).code(), "Success", "{name:?}");

        // A new user by its padded name, which is then stored without.
        let new = format!("{before}new {n}{after}");
        let item = format!(
            "<Items><AssignLicensesItem><Username>{new}</Username><LicenseProviderEntityId>42</LicenseProviderEntityId>\
             <LicenseType>SkraftDiskImageV5</LicenseType></AssignLicensesItem></Items>"
        );
        let several = server.call("AssignLicenses", "agent", &item);
        assert_eq!(several.code(), "Success", "{several:?}");
        assert_eq!(several.element("Username"), Some(new), "each result names its user as the caller did");
    }
    let names: String =
        server.query("SELECT group_concat(username, ',') FROM (SELECT * FROM account ORDER BY id) AS q");
    assert_eq!(names, "User 7,new 0,new 1,new 2,new 3,new 4,new 5");
    let audit: String = server.query(
        "SELECT group_concat(DISTINCT username) FROM (SELECT * FROM audit_event ORDER BY id) AS q WHERE action = 'assign'",
    );
    assert_eq!(audit, names, "the stored spelling");
    let told = server.call(
        "GetAssignedLicensesSummary",
        "reader",
        "<EntityId>42</EntityId><ChildAccountsOnly>false</ChildAccountsOnly>",
    );
    assert!(
        told.body.contains("<Username>User 7</Username>") && told.body.contains("<Username>new 3</Username>"),
        "{told:?}"
    );

    let to = |from: &str, to: &str| {
        let fields = format!(
            "<FromUsername>{from}</FromUsername><ToUsername>{to}</ToUsername><LicenseType>SqlBackup</LicenseType>"
        );
        server.call("TransferLicense", "admin", &fields)
    };
    assert_eq!(to(" user 7", "User 7 ").code(), "AlreadyExists", "to itself");
    assert_eq!(to(" user 7 ", "\u{2003}new 1 ").code(), "Success");
    let unassign = "<Username>\u{a0}NEW 1 </Username><LicenseType>SqlBackup</LicenseType>";
    assert_eq!(server.call("UnassignLicense", "admin", unassign).code(), "Success");
    assert_eq!(server.assign("\u{a0} ", 42, "SqlBackup").message()[42..], *"Username is empty. Send a value.");
    assert!(server.assign("u&#9;", 42, "SqlBackup").message().contains("control character"));
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 7);
    assert_eq!(server.violations(), []);
}

/// Names that other databases, or other parts of this one, may take for one name.
#[test]
fn other_spellings_are_other_users() {
    let server = Server::start();
    for (name, code) in [
        ("Änne", "Success"),
        ("änne", "Success"),
        ("ÄNNE", "AlreadyExists"),
        ("A\u{308}nne", "Success"),
        ("\u{200b}Änne", "NoFreeSeat"),
    ] {
        assert_eq!(server.assign(name, 42, "SqlBackup").code(), code, "{name:?}");
    }
}

#[test]
fn a_credential_is_found_with_blanks_around_its_name() {
    let server = Server::start();
    for user in ["agent", " agent", "AGENT ", "\u{a0}Agent\u{3000}"] {
        assert_eq!(server.call("GetLicensePools", user, "<EntityId>42</EntityId>").code(), "Success", "{user:?}");
        let ticket = server.authenticate(user, PASSWORD).element("Ticket").expect(user);
        assert!(server.license_call(&ticket, "GetLicenseForAllOwnersFromDB", "").exception().is_none(), "{user:?}");
    }
    assert_eq!(
        server.query::<i64>("SELECT count(*) FROM ticket"),
        1,
        "one caller has one ticket, however it is written"
    );
    let signed_in = read(&server.authenticate(" AGENT ", PASSWORD)).body.expect("a Body");
    assert_eq!(at(&signed_in, "Response/Associate").text, "agent", "the stored spelling");
    let assigned = server.send(&call11("AssignLicense", " Agent ", ASSIGN_U));
    assert_eq!(assigned.code(), "Success");
    assert_eq!(server.query::<String>("SELECT actor FROM audit_event ORDER BY id DESC LIMIT 1"), "agent");
    let api = Api(server);
    for user in ["agent", " agent ", "\u{a0}AGENT"] {
        assert_eq!(api.bare("GET /api/v1/License", &basic(user, PASSWORD), "").status, 200, "{user:?}");
    }
}

const ASSIGN_U: &str =
    "<Username>u</Username><LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType>";

#[test]
fn the_command_line_finds_the_same_user() {
    let server = Server::start();
    assert_eq!(server.assign("backup01", 42, "SqlBackup").code(), "Success");
    let database = server.database();
    let release =
        |name: &str| seatkeeper("release", database, &["--username", name, "--license-type", "SqlBackup"], "");
    assert!(release("backup\u{FFFD}1").stderr.contains("2 InvalidInputParameters: Username contains U+FFFD"));
    let released = release(" Backup01 ");
    assert_eq!(released.code, Some(0), "{}", released.stderr);
    assert_eq!(server.query::<i64>("SELECT count(account_id) FROM seat"), 0);
}
