//! Signing in to the NetServer services: what it tells, to whom, and how long a ticket is good for whom.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{Timestamp, ToSpan as _};
use seatkeeper::auth;
use seatkeeper::netserver::{LICENSE, SO_PRINCIPAL};

use crate::flood::Program;
use crate::harness::*;
use crate::netserver_soap::{at, read, shape};

const WRONG: &str = "not the password";

/// All of an answer but what differs from call to call: its id and the time.
fn look(answer: &Answer) -> (String, String) {
    let id = answer.header("x-request-id").expect("an id");
    let date = answer.header("date").expect("a date");
    (answer.head.replace(id, "ID").replace(date, "DATE"), answer.body.replace(id, "ID"))
}

fn principal(server: &Server, operation: &str, arguments: &str) -> Answer {
    server.netserver_call(&SO_PRINCIPAL, "", operation, arguments)
}

fn with_token(server: &Server, token: &str) -> Answer {
    let token = format!("<AccessToken>{}</AccessToken>", escape(token));
    principal(server, "AuthenticateWithAccessToken", &token)
}

/// Whether a ticket is good for a call.
fn is_good(server: &Server, ticket: &str) -> bool {
    match server.license_call(ticket, "GetLicenseForAllOwnersFromDB", "").exception() {
        None => true,
        Some(exception) => {
            assert_eq!(exception, "SoSessionException");
            false
        }
    }
}

fn tickets(server: &Server) -> i64 {
    server.query("SELECT count(*) FROM ticket")
}

// Signing in ---------------------------------------------------------------------------------------------------------

#[test]
fn a_sign_in_answers_with_the_principal() {
    let server = Server::with_owners();
    server.sql("INSERT INTO account (id, username, entity_id) VALUES (110, 'Contoso', 42); UPDATE license_pool SET seats_total = 0 WHERE id = 3");
    let answer = server.authenticate("CONTOSO", PASSWORD);
    let body = read(&answer).body.expect("a Body");
    let module = "GrantedModuleLicense(TableRight FieldProperties OwnerId OwnerName OwnerDescription ModuleId Name Description \
        Version LicenseType ExtraFlags SortOrder LicenseNumber IsHidden IsUnrestricted ExpiryDate)";
    assert_eq!(
        shape(&body),
        format!(
            "AuthenticateResponse(Response(UserType Associate AssociateId IsPerson PersonId CountryId HomeCountryId ContactId \
             GroupId BusinessId CategoryId ContactOwner RoleId RoleName RoleDescription RoleType Licenses({module}*2) FullName \
             EMailAddress FunctionRights EjUserId EjAccessLevel EjUserStatus ProvidedCredentials SecondaryGroups \
             DatabaseContextIdentifier) Credentials(Ticket) AuthenticationSucceeded)"
        )
    );
    for (member, value) in [
        ("AuthenticationSucceeded", "true"),
        ("Response/UserType", "InternalAssociate"),
        ("Response/Associate", "contoso"),
        ("Response/AssociateId", "110"),
        ("Response/ContactId", "42"),
        ("Response/RoleName", "admin"),
        ("Response/RoleType", "Employee"),
        ("Response/Licenses/GrantedModuleLicense#0/Name", "SKRAFTDISKIMAGEV5"),
        ("Response/Licenses/GrantedModuleLicense#0/LicenseNumber", "10"),
        ("Response/Licenses/GrantedModuleLicense#1/OwnerName", "CONTOSO"),
        ("Response/Licenses/GrantedModuleLicense#1/LicenseNumber", "5"),
        ("Response/Licenses/GrantedModuleLicense#1/ExpiryDate", "0001-01-01T00:00:00"),
    ] {
        assert_eq!(at(&body, member).text, value, "{member}");
    }
    assert!(answer.body.contains(&format!("<AuthenticateResponse xmlns=\"{}\">", NAMESPACE)));
    // Whose company is no owner, and who is no user.
    let body = read(&server.authenticate("reader", PASSWORD)).body.expect("a Body");
    assert_eq!(
        (shape(at(&body, "Response/Licenses")), at(&body, "Response/AssociateId").text.as_str()),
        ("Licenses".to_owned(), "0")
    );
}

#[test]
fn unauthenticated_callers_learn_nothing() {
    let server = Server::with_owners();
    let refused = server.authenticate("agent", WRONG);
    let body = read(&refused).body.expect("a Body");
    assert_eq!(refused.exception(), None);
    assert_eq!(shape(&body), "AuthenticateResponse(Response Credentials AuthenticationSucceeded)");
    assert!(
        refused
            .body
            .contains("<Response xsi:nil=\"true\" /><Credentials xsi:nil=\"true\" /><AuthenticationSucceeded>false<"),
        "{refused:?}"
    );
    let nobodys = auth::Ticket::generate().expect("randomness").text();
    let expired = server.ticket_until("agent", Timestamp::now() - 1.minute());
    for (case, user, password) in [
        ("an unknown user", "nobody", PASSWORD),
        ("inactive", "gone", PASSWORD),
        ("inactive, wrong", "gone", WRONG),
        ("an empty password", "agent", ""),
        ("a blank password", "agent", " "),
        ("an empty user", "", PASSWORD),
        ("nothing at all", "", ""),
        ("a long password", "agent", &"x".repeat(5000)),
        ("a long user", &"x".repeat(5000), PASSWORD),
        ("an SQL joke", "' OR 1=1 --", PASSWORD),
        ("blanks around the user, wrong", " agent ", WRONG),
        ("a tab behind the user", "agent\t", PASSWORD),
        ("bytes that could not be read", "agent\u{fffd}", PASSWORD),
        ("the command line", "cli", PASSWORD),
        ("nobody's ticket", &nobodys, ""),
        ("an expired ticket", &expired, ""),
        ("the ticket of the samples", "7T:1234abcxyzExample==", ""),
    ] {
        assert_eq!(look(&server.authenticate(user, password)), look(&refused), "{case}");
    }
    for (operation, arguments) in [
        ("AuthenticateUsernamePassword", ""),
        ("AuthenticateUsernamePassword", "<UserName>agent</UserName>"),
        ("AuthenticateUsernamePassword", "<UserName xsi:nil=\"true\" /><Password xsi:nil=\"true\" />"),
        ("AuthenticateImplicit", ""),
        ("AuthenticateGeneric", ""),
        (
            "AuthenticateGeneric",
            "<AuthenticationData><AuthenticationGenericDataKeyValuePair><Key>user</Key><Value>agent</Value>\
             </AuthenticationGenericDataKeyValuePair></AuthenticationData>",
        ),
        ("AuthenticateWithAccessToken", ""),
        ("AuthenticateWithAccessToken", "<AccessToken />"),
        ("AuthenticateWithAccessToken", "<AccessToken xsi:nil=\"true\" />"),
        ("AuthenticateWithAccessToken", "<AccessToken>8A:Cust12345.abcd</AccessToken>"),
    ] {
        assert_eq!(look(&principal(&server, operation, arguments)), look(&refused), "{operation} {arguments}");
    }
    assert_eq!(look(&with_token(&server, &nobodys)), look(&refused));
    assert_eq!(look(&with_token(&server, &expired)), look(&refused));
    assert_eq!(tickets(&server), 1, "the expired one");
}

#[test]
fn a_ticket_signs_in_and_stays_the_same() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("contoso");
    let signed_in = look(&server.authenticate("contoso", PASSWORD));
    assert_eq!(look(&server.authenticate(&ticket, "")), signed_in);
    assert_eq!(look(&with_token(&server, &ticket)), signed_in);
    let user = format!("<UserName>{ticket}</UserName>");
    for password in ["", "<Password />", "<Password xsi:nil=\"true\" />"] {
        let answer = principal(&server, "AuthenticateUsernamePassword", &format!("{user}{password}"));
        assert_eq!(look(&answer), signed_in, "{password}");
    }
    let with_password = server.authenticate(&ticket, PASSWORD);
    assert_eq!(with_password.element("AuthenticationSucceeded").as_deref(), Some("false"), "a ticket has no password");
    assert_eq!(tickets(&server), 1);
}

#[test]
fn a_second_sign_in_gets_the_same_ticket() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("agent");
    for user in ["agent", "AGENT", "Agent", "agent"] {
        assert_eq!(server.netserver_sign_in(user), ticket, "{user}");
    }
    assert_eq!(tickets(&server), 1, "and one row is written");
    assert_ne!(server.netserver_sign_in("reader"), ticket);
    server.sql("DELETE FROM ticket WHERE user_name = 'agent'");
    let next = server.netserver_sign_in("agent");
    assert_ne!(next, ticket, "somebody who was signed out gets a new one");
    assert!(is_good(&server, &next) && !is_good(&server, &ticket));

    let auth = auth::Options { remember: Duration::ZERO, ..auth::Options::default() };
    let forgetful = Server::with(Options { auth, seed: owners_data(), ..Options::default() });
    let (first, second) = (forgetful.netserver_sign_in("agent"), forgetful.netserver_sign_in("agent"));
    assert_ne!(first, second);
    assert!(is_good(&forgetful, &first) && is_good(&forgetful, &second), "several sessions of one user");
}

#[test]
fn what_stands_behind_the_address_is_told_without_a_word_on_licenses() {
    let server = Server::with_owners();
    let answer = principal(&server, "GetSystemInfo", "");
    assert_eq!(answer.exception(), None);
    let body = read(&answer).body.expect("a Body");
    assert_eq!(
        shape(&body),
        "GetSystemInfoResponse(SystemInfo(TableRight FieldProperties License(CompanyName SerialNr OwnerName OwnerDescription \
         NextCheckDate MaintenanceDate AdminWarningDate ExpiryDate GraceDate ExtraFlags LicenseUrl LicenseVersion \
         DeploymentType ProductType ProductDescription ModuleLicenses PublicKey Signature) WarningEnglish WarningResource BranchName \
         BuildLabel AssemblyVersion AccumulatedNextCheckDate FileVersion Description DaysUntilNetServerExpiry BuildType \
         DatabaseVersion IsUnicode CompanyName CompanyId DatabaseType DatabaseMinor DatabaseName IsOnTravel IsSatellite))"
    );
    // A license, so that clients which look into it find one, and nothing in it.
    let license = at(&body, "SystemInfo/License");
    for member in &license.children {
        assert!(["", "0", "0001-01-01T00:00:00"].contains(&member.text.as_str()), "{}", member.name);
        assert_eq!(member.is_nil(), member.name == "PublicKey", "{}", member.name);
    }
    for secret in ["Contoso", "CONTOSO", "Fabrikam", "Northwind", "1010000014", "shop.example", "seats.db", "SQLite"] {
        assert!(!answer.body.contains(secret), "{secret}");
    }
    let blocks = credentials(&server.netserver_sign_in("contoso"));
    let signed_in = server.netserver_call(&SO_PRINCIPAL, &blocks, "GetSystemInfo", "");
    assert_eq!(look(&signed_in), look(&answer), "whoever asks");
}

#[test]
fn guesses_are_slowed_here_too() {
    let auth =
        auth::Options { failures_max: 2, failure_interval: Duration::from_secs(3600), ..auth::Options::default() };
    let server =
        Server::with(Options { auth, seed: owners_data(), trusted_proxies: "127.0.0.1", ..Options::default() });
    let ticket = server.netserver_sign_in("agent");
    let guess = |user: &str| {
        let answer = server.authenticate(user, WRONG);
        assert_eq!(answer.element("AuthenticationSucceeded").is_none(), answer.exception().is_some());
        answer.exception().unwrap_or_default()
    };
    for user in ["agent", "nobody", "gone"] {
        let guesses: Vec<String> = (0..4).map(|_| guess(user)).collect();
        assert_eq!(guesses, ["", "", "SoServerException", "SoServerException"], "{user}");
    }
    let told = server.authenticate("nobody", WRONG).element("FriendlyText").expect("a text");
    assert!(told.contains("Too many wrong passwords for this user name from this address. Wait "), "{told}");
    assert_eq!(server.authenticate("gone", PASSWORD).exception().as_deref(), Some("SoServerException"));
    // Who is signed in goes on, and is signed in again; others, and the owner elsewhere, are not slowed.
    assert!(is_good(&server, &ticket));
    assert_eq!(server.netserver_sign_in("agent"), ticket);
    assert!(is_good(&server, &server.netserver_sign_in("reader")));
    let from = |address: &str, request: Vec<u8>| {
        let head = format!("Host: test.example\r\nX-Forwarded-For: {address}\r\n");
        String::from_utf8(request).expect("text").replacen("Host: test.example\r\n", &head, 1).into_bytes()
    };
    let elsewhere = |password| server.send(&from("192.0.2.7", authenticate("agent", password)));
    assert_eq!(elsewhere(WRONG).element("AuthenticationSucceeded").as_deref(), Some("false"));
    // The count is one for both services.
    let asmx = post11(&assign_envelope("agent", WRONG, "x", 42, "SqlBackup"));
    assert_eq!(server.send(&from("192.0.2.7", asmx)).code(), "InvalidSoapCredentials");
    assert_eq!(elsewhere(WRONG).exception().as_deref(), Some("SoServerException"));
}

// Tickets ------------------------------------------------------------------------------------------------------------

/// The two parts of a ticket: GUID and number.
fn parts(ticket: &str) -> (String, String) {
    let inside = BASE64.decode(ticket.strip_prefix("7T:").expect("7T:")).expect("base64");
    let inside = String::from_utf8(inside).expect("text");
    let (guid, number) = inside.split_once(';').expect("two parts");
    (guid.to_owned(), number.to_owned())
}

fn ticket_of(guid: &str, number: &str) -> String {
    format!("7T:{}", BASE64.encode(format!("{guid};{number}")))
}

#[test]
fn a_ticket_is_random_and_the_database_has_a_hash_of_it() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("agent");
    let (guid, number) = parts(&ticket);
    assert!(guid.starts_with('{') && guid.ends_with('}') && guid.len() == 38, "{guid}");
    assert!(number.parse::<u128>().expect("a number") > u128::from(u64::MAX), "of 128 bits: {number}");
    assert!(is_good(&server, &ticket));
    let database = server.file();
    let bytes = || {
        let files =
            ["", "-wal", "-shm"].map(|end| std::fs::read(format!("{}{end}", database.display())).unwrap_or_default());
        files.concat()
    };
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let id = guid.trim_matches(['{', '}']);
    let secret = number.parse::<u128>().expect("a number");
    let written = bytes();
    assert!(holds(&written, id.as_bytes()), "what is written can be found");
    for (name, what) in [
        ("number", number.as_bytes()),
        ("number, big-endian", &secret.to_be_bytes()[..]),
        ("number, little-endian", &secret.to_le_bytes()[..]),
        ("ticket", &ticket.as_bytes()[3..]),
        ("end of the ticket", &ticket.as_bytes()[60..]),
        ("password", PASSWORD.as_bytes()),
    ] {
        assert!(!holds(&written, what), "{name}");
    }
}

#[test]
fn what_is_no_ticket_of_ours_is_all_alike() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("agent");
    let (guid, number) = parts(&ticket);
    let (other_guid, other_number) = parts(&server.netserver_sign_in("admin"));
    let expired = server.ticket_until("agent", Timestamp::now() - 1.second());
    let plus_one = (number.parse::<u128>().expect("a number") ^ 1).to_string();
    let call = |ticket: &str| look(&server.license_call(ticket, "GetShopUrl", "<OwnerName>CONTOSO</OwnerName>"));
    let refused = call("");
    assert!(refused.1.contains("SuperOffice.Exceptions.SoSessionException"));
    for (name, ticket) in [
        ("of the samples", "7T:1234abcxyzExample==".to_owned()),
        ("of another kind", "8A:Cust12345.abcd".to_owned()),
        ("a word", "agent".to_owned()),
        ("an SQL joke", "' OR 1=1 --".to_owned()),
        ("long", format!("7T:{}", "QUJD".repeat(50_000))),
        ("nobody's", auth::Ticket::generate().expect("randomness").text()),
        ("expired", expired),
        ("another number", ticket_of(&guid, &plus_one)),
        ("somebody else's number", ticket_of(&guid, &other_number)),
        ("somebody else's GUID", ticket_of(&other_guid, &number)),
        ("no number", ticket_of(&guid, "")),
        ("half a number", ticket_of(&guid, &number[..number.len() / 2])),
        ("the number, written in another way", ticket_of(&guid, &format!("0{number}"))),
        ("no GUID", ticket_of("", &number)),
        ("the other way round", ticket_of(&number, &guid)),
        ("cut off", ticket[..ticket.len() - 4].to_owned()),
        ("two of them", format!("{ticket}{ticket}")),
        ("without its start", ticket[3..].to_owned()),
        ("in small letters", ticket.to_ascii_lowercase()),
        ("a password", PASSWORD.to_owned()),
    ] {
        assert_eq!(call(&ticket), refused, "{name}");
    }
    assert!(is_good(&server, &ticket), "nothing of it has harmed the ticket");
    assert!(is_good(&server, &ticket_of(&guid.to_ascii_uppercase(), &number)), "a GUID has no case");
}

#[test]
fn a_ticket_ends_with_the_credential_it_was_got_for() {
    for (name, sql) in [
        (
            "another password",
            "UPDATE credential SET password_hash = hash_password('another') WHERE user_name = 'agent'",
        ),
        (
            "the same password, hashed anew",
            "UPDATE credential SET password_hash = hash_password('S3cret!pass') WHERE user_name = 'agent'",
        ),
        ("not active", "UPDATE credential SET active = 0 WHERE user_name = 'agent'"),
        (
            "not active for a moment",
            "UPDATE credential SET active = 0 WHERE user_name = 'agent'; UPDATE credential SET active = 1",
        ),
        ("deleted", "DELETE FROM credential WHERE user_name = 'agent'"),
        ("another name", "UPDATE credential SET user_name = 'agent2' WHERE user_name = 'agent'"),
        ("signed out", "DELETE FROM ticket"),
    ] {
        let server = Server::with_owners();
        let ticket = server.netserver_sign_in("agent");
        assert!(is_good(&server, &ticket), "{name}");
        server.sql(sql);
        assert!(!is_good(&server, &ticket), "{name}");
        assert_eq!(with_token(&server, &ticket).element("Ticket"), None, "{name}");
        assert_eq!(tickets(&server), 0, "{name}");
        let again = server.authenticate("agent", PASSWORD);
        let may = ["hashed anew", "for a moment", "signed out"].iter().any(|end| name.ends_with(end));
        assert_eq!(again.element("Ticket").is_some(), may, "{name}: {again:?}");
        assert_ne!(again.element("Ticket"), Some(ticket), "{name}");
    }
}

#[test]
fn what_the_holder_of_a_ticket_may_do_is_read_with_each_call() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("admin");
    let call = |operation: &str, arguments: &str| server.license_call(&ticket, operation, arguments).exception();
    let remove = "<ModuleOwner>NOBODY</ModuleOwner>";
    assert_eq!(call("RemoveLicenseFromDB", remove), None);
    server.sql("UPDATE credential SET role = 'reader' WHERE user_name = 'admin'");
    assert_eq!(call("RemoveLicenseFromDB", remove).as_deref(), Some("SoSentryException"));
    let owners = || {
        let body = read(&server.license_call(&ticket, "GetLicenseForAllOwnersFromDB", "")).body.expect("a Body");
        at(&body, "Response")
            .children
            .iter()
            .map(|owner| at(owner, "Current/OwnerName").text.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(owners(), ["CONTOSO", "FABRIKAM"]);
    server.sql("UPDATE credential SET entity_id = 43 WHERE user_name = 'admin'");
    assert_eq!(owners(), ["FABRIKAM"]);
}

#[test]
fn of_other_companies_a_ticket_tells_no_more_than_of_none() {
    let server = Server::with_owners();
    server.sql(
        "UPDATE seat SET account_id = 103 WHERE pool_id = 4 AND seat_no = 1;
         INSERT INTO license_offer (entity_id, company_name, serial_nr) VALUES (43, 'Fabrikam!', '1')",
    );
    let ticket = server.netserver_sign_in("contoso");
    let owner = |argument: &str| format!("<{argument}>OWNER</{argument}>");
    let modules = "<ModuleLicenseNames xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>SQLBACKUP</a:string></ModuleLicenseNames>";
    let presented = |argument: &str| format!("<{argument}><New>{}</New></{argument}>", owner("OwnerName"));
    let known = "<ModuleOwner>CONTOSO</ModuleOwner>";
    let mut operations = Vec::new();
    for (operation, arguments) in [
        ("GetLicenseFromLicenseServer", owner("OwnerName")),
        ("GetLicenseStatusFromLicenseServer", owner("OwnerName")),
        ("GetLicenseFromDB", owner("OwnerName")),
        ("GetShopUrl", owner("OwnerName")),
        ("GetModuleLicenseFromDB", format!("{}<ModuleName>SQLBACKUP</ModuleName>", owner("OwnerName"))),
        ("RemoveLicenseFromDB", owner("ModuleOwner")),
        ("ValidateLicenseInfo", presented("LicenseInfo")),
        ("ActivateLicenseInfo", presented("NewLicense")),
        (
            "ChangeSerialNumber",
            "<NewCompanyName>OWNER!</NewCompanyName><NewSerialNumber>1</NewSerialNumber>".to_owned(),
        ),
        ("GetUserLicenses", "<AssociateId>USER</AssociateId>".to_owned()),
        ("GetUserAndInstallationLicenceStatus", "<AssociateId>USER</AssociateId>".to_owned()),
        ("GetThirdPartyLicenseAssignments", format!("<AssociateId>101</AssociateId>{}", owner("ModuleOwner"))),
        ("GetThirdPartyLicenseAssignments", format!("<AssociateId>USER</AssociateId>{known}")),
        ("GetThirdPartyLicenseAssignments", format!("<AssociateId>USER</AssociateId>{}", owner("ModuleOwner"))),
        ("AssignThirdPartyLicenses", format!("<AssociateId>101</AssociateId>{}{modules}", owner("ModuleOwner"))),
        ("AssignThirdPartyLicenses", format!("<AssociateId>USER</AssociateId>{known}{modules}")),
        ("UnassignThirdPartyLicenses", format!("<AssociateId>101</AssociateId>{}{modules}", owner("ModuleOwner"))),
        ("UnassignThirdPartyLicenses", format!("<AssociateId>USER</AssociateId>{known}{modules}")),
    ] {
        let ask = |owner: &str, user: &str| {
            let filled = arguments.replace("OWNER", owner).replace("USER", user);
            let (head, body) = look(&server.license_call(&ticket, operation, &filled));
            (head, body.replace(owner, "OWNER").replace(user, "USER"))
        };
        // Names and numbers of one length, so that not even the length of an answer tells.
        assert_eq!(ask("FABRIKAM", "103"), ask("NOBODIES", "999"), "{operation} {arguments}");
        assert_eq!(ask("Fabrikam", "103"), ask("Nobodies", "999"), "{operation} {arguments}");
        operations.push(operation);
    }
    for operation in LICENSE.operations.iter().filter(|operation| !operations.contains(&operation.name)) {
        let answer = server.license_call(&ticket, operation.name, "");
        assert!(
            !answer.body.contains("FABRIKAM") && !answer.body.contains("Fabrikam"),
            "{}: {answer:?}",
            operation.name
        );
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event WHERE actor = 'contoso'"), 0);
}

#[test]
fn use_gives_a_ticket_its_six_hours_again() {
    let server = Server::with_owners();
    let life = |ticket: &str| {
        let id = parts(ticket).0;
        let expires_at: String =
            server.query(&format!("SELECT expires_at FROM ticket WHERE id = '{}'", id.trim_matches(['{', '}'])));
        let expires_at: Timestamp = expires_at.parse().expect("a time");
        expires_at.duration_since(Timestamp::now()).as_mins()
    };
    // With a few minutes more, so that not every use is written.
    let full = 359..=366;
    assert!(full.contains(&life(&server.netserver_sign_in("agent"))));
    let soon = || server.ticket_until("agent", Timestamp::now() + 1.minute());
    type Use<'u> = &'u dyn Fn(&str);
    let uses: [(&str, Use); 4] = [
        ("a call", &|ticket| assert!(is_good(&server, ticket))),
        ("a call that is refused", &|ticket| {
            let answer = server.license_call(ticket, "RemoveLicenseFromDB", "<ModuleOwner>CONTOSO</ModuleOwner>");
            assert_eq!(answer.exception().as_deref(), Some("SoSentryException"));
        }),
        ("a call that lacks something", &|ticket| {
            let answer = server.license_call(ticket, "GetShopUrl", "");
            assert_eq!(answer.exception().as_deref(), Some("SoInvalidArgumentException"));
        }),
        ("signing in", &|ticket| assert_eq!(with_token(&server, ticket).element("Ticket").as_deref(), Some(ticket))),
    ];
    for (name, use_it) in uses {
        let ticket = soon();
        assert!(life(&ticket) <= 1);
        use_it(&ticket);
        assert!(full.contains(&life(&ticket)), "{name}: {}", life(&ticket));
    }
    let ticket = soon();
    let (guid, _) = parts(&ticket);
    assert!(!is_good(&server, &ticket_of(&guid, "1")));
    assert!(life(&ticket) <= 1, "who does not have the number does not use the ticket");

    let expired = server.ticket_until("agent", Timestamp::now() - 1.second());
    assert!(!is_good(&server, &expired));
    assert_eq!(with_token(&server, &expired).element("Ticket"), None);
    assert!(life(&expired) <= 0, "one that has expired is not renewed");
    let before = tickets(&server);
    server.netserver_sign_in("reader");
    assert_eq!(tickets(&server), before, "the next to sign in takes its place");
}

#[test]
fn an_end_that_is_set_by_sql_counts_at_once() {
    let server = Server::with_owners();
    let ticket = server.netserver_sign_in("agent");
    assert!(is_good(&server, &ticket));
    server.unguarded("UPDATE ticket SET expires_at = '2020-01-01T00:00:00Z'");
    assert!(!is_good(&server, &ticket));
    let next = server.netserver_sign_in("agent");
    assert_ne!(next, ticket, "who signs in again does not get one that has expired");
    assert!(is_good(&server, &next));
}

#[test]
fn the_log_has_no_password_and_no_ticket() {
    let mut program = Program::with(&owners_data(), "trace");
    let ticket = program.send(&authenticate("admin", PASSWORD)).element("Ticket").expect("a ticket");
    let (guid, number) = parts(&ticket);
    let forged = ticket_of(&guid, "12345678901234567890");
    for request in [
        authenticate("admin", WRONG),
        authenticate(&ticket, ""),
        authenticate(&ticket, WRONG),
        license(&ticket, "GetLicenseForAllOwnersFromDB", ""),
        license(&ticket, "RemoveLicenseFromDB", "<ModuleOwner>NOBODY</ModuleOwner>"),
        license(&ticket, "Nope", ""),
        license(&ticket, "GetUserLicenses", "<AssociateId>x</AssociateId>"),
        license(&forged, "GetLicenseForAllOwnersFromDB", ""),
        license("7T:a<b", "GetLicenseForAllOwnersFromDB", ""),
    ] {
        program.send(&request);
    }
    let log = program.kill();
    assert!(log.contains("GetLicenseForAllOwnersFromDB") && log.contains("'Nope'"), "it is written: {log}");
    for secret in [PASSWORD, WRONG, &ticket, &ticket[3..40], &number, &forged, "12345678901234567890", "7T:"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
