//! The responses to messages without a credential in its place: they say where it is, or that it is missing. Users of
//! several toolkits would otherwise look for a wrong password. No response depends on which users exist.

use crate::harness::*;

const WRONG: &str =
    "The user name or password in AuthHeader is not valid. Send the UserName and Password of an active credential.";
const SEND_IT: &str = "Send it inside soap:Header, in the namespace 'sosonlinebackup.com'.";

fn call(header: &str, body_too: &str) -> String {
    let body = "<AssignLicense xmlns=\"sosonlinebackup.com\"><request><Username>u</Username>\
        <LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType></request></AssignLicense>";
    envelope11(header, &format!("{body}{body_too}"))
}

#[test]
fn what_is_wrong_with_auth_header() {
    let server = Server::start();
    let good = auth_header("agent", PASSWORD);
    let but = |from: &str, to: &str| {
        assert!(good.contains(from), "no {from}");
        call(&good.replacen(from, to, 1), "")
    };
    let missing = |finding: &str| format!("AuthHeader is missing{finding}. {SEND_IT}");
    let without = |field: &str, finding: &str| {
        format!(
            "AuthHeader has no {field}{finding}. Send it as an element inside AuthHeader, in the namespace 'sosonlinebackup.com'."
        )
    };
    let user_name = "<UserName>agent</UserName>";
    let password = format!("<Password>{PASSWORD}</Password>");
    let late = {
        let message = call(&good, "");
        let header = format!("<soap:Header>{good}</soap:Header>");
        message.replace(&header, "").replace("</soap:Envelope>", &format!("{header}</soap:Envelope>"))
    };
    let rows = [
        ("no block", call("", ""), missing("")),
        ("no Header", call("", "").replace("<soap:Header></soap:Header>", ""), missing("")),
        ("another block", call("<Security xmlns=\"urn:wsse\"/>", ""), missing("")),
        (
            "in another namespace",
            but("\"sosonlinebackup.com\"", "\"http://sosonlinebackup.com/\""),
            missing(": the one in soap:Header is in the namespace 'http://sosonlinebackup.com/'"),
        ),
        (
            "in no namespace",
            but(" xmlns=\"sosonlinebackup.com\"", ""),
            missing(": the one in soap:Header is in no namespace"),
        ),
        (
            "in other letters",
            call(&good.replace("AuthHeader", "authHeader"), ""),
            missing(": the one in soap:Header is called 'authHeader', and names are case-sensitive"),
        ),
        ("in Body", call("", &good), missing(": the one in the message is inside soap:Body")),
        (
            "in the request",
            call("", "").replace("<request>", &format!("<request>{good}")),
            missing(": the one in the message is inside soap:Body"),
        ),
        (
            "beside Header",
            call("", "").replace("</soap:Header>", &format!("</soap:Header>{good}")),
            missing(": the one in the message is not inside soap:Header"),
        ),
        ("Header behind Body", late, missing(": soap:Header comes after soap:Body, where it is not read")),
        ("empty", call("<AuthHeader xmlns=\"sosonlinebackup.com\"/>", ""), without("UserName", "")),
        ("no user name", but(user_name, ""), without("UserName", "")),
        ("no password", but(&password, ""), without("Password", "")),
        ("null", but(user_name, "<UserName xsi:nil=\"true\"/>"), without("UserName", ": the one there is null")),
        (
            "children of no namespace",
            call(
                &good.replace("<UserName>", "<UserName xmlns=\"\">").replace("<Password>", "<Password xmlns=\"\">"),
                "",
            ),
            without("UserName", ": the one there is in no namespace"),
        ),
        (
            "one child of another namespace",
            but("<Password>", "<Password xmlns=\"urn:php\">"),
            without("Password", ": the one there is in the namespace 'urn:php'"),
        ),
        (
            "as AssignLicense calls the user",
            call(&good.replace("UserName", "Username"), ""),
            without("UserName", ": the one there is called 'Username', and names are case-sensitive"),
        ),
        (
            "as attributes",
            call("<AuthHeader xmlns=\"sosonlinebackup.com\" UserName=\"agent\" Password=\"x\"/>", ""),
            without("UserName", ": it is an attribute there"),
        ),
        // The first block counts, and of a repeated field the first: two halves make no credential.
        (
            "two halves",
            call(&(good.replace(&password, "") + &good.replace(user_name, "")), ""),
            without("Password", ""),
        ),
        (
            "an empty block first",
            call(&format!("<AuthHeader xmlns=\"sosonlinebackup.com\"/>{good}"), ""),
            without("UserName", ""),
        ),
        (
            "null, and then a name",
            but(user_name, &format!("<UserName xsi:nil=\"1\"/>{user_name}")),
            without("UserName", ": the one there is null"),
        ),
        // Sent, but not valid.
        ("an empty user name", but(">agent<", "><"), WRONG.to_owned()),
        ("an empty password", but(&format!(">{PASSWORD}<"), "><"), WRONG.to_owned()),
        ("a wrong password", but(PASSWORD, "wrong"), WRONG.to_owned()),
        ("a wrong password first", call(&(auth_header("agent", "wrong") + &good), ""), WRONG.to_owned()),
    ];
    for (name, message, told) in rows {
        for request in [post11(&message), post12(&to_soap12(&message))] {
            let answer = server.send(&request);
            let id = answer.header("x-request-id").expect("an id");
            assert_eq!((answer.status, &*answer.code()), (200, "InvalidSoapCredentials"), "{name}: {answer:?}");
            assert_eq!(answer.message(), format!("Err-{id}; {told}"), "{name}");
        }
        // No response depends on which users exist.
        if told != WRONG {
            let answer = server.post11(&message.replace("agent", "nobody").replace(PASSWORD, "x"));
            assert!(answer.message().ends_with(&told), "{name}: {answer:?}");
        }
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0);
    let namespace = "x".repeat(100_000);
    let long = server.post11(&but("\"sosonlinebackup.com\"", &format!("\"{namespace}\"")));
    assert!(long.message().len() < 500 && long.message().contains("xxx…'"), "{}", long.message().len());
}

#[test]
fn what_is_wrong_with_the_credentials_of_license_tools() {
    let server = Server::with_owners();
    let good = credentials(&server.netserver_sign_in("reader"));
    let told = |header: &str, beside: &str| {
        let call = envelope11(
            header,
            &format!("<GetShopUrl xmlns=\"{NAMESPACE}\"><OwnerName>CONTOSO</OwnerName></GetShopUrl>"),
        );
        let call = call.replace("</soap:Header>", &format!("</soap:Header>{beside}"));
        let answers = [call.clone(), to_soap12(&call)]
            .map(|call| server.send(&post_to(LICENSE_PATH, "Content-Type: text/xml\r\n", call.as_bytes())));
        let texts = answers.map(|answer| {
            let exception = answer.exception();
            assert!(exception.as_deref().is_none_or(|name| name == "SoSessionException"), "{answer:?}");
            answer.element("FriendlyText").unwrap_or_default()
        });
        assert_eq!(texts[0], texts[1]);
        texts[0].clone()
    };
    const BEGIN: &str = "A valid session is missing. Sign in, and send the ticket of that sign-in";
    const ENDED: &str = "; it ends 6 hours after its last use.";
    let missing = |finding: &str| {
        format!("{BEGIN}: Credentials is missing{finding}. Send it inside soap:Header, in the namespace '{NAMESPACE}'.")
    };
    let without = |finding: &str| {
        format!(
            "{BEGIN}: Credentials has no Ticket{finding}. Send it as an element inside Credentials, in the namespace '{NAMESPACE}'."
        )
    };
    assert_eq!((told(&good, ""), told("", &good)), (String::new(), String::new()));
    for (name, header, beside, expected) in [
        ("no block", String::new(), String::new(), missing("")),
        ("a null block", good.replace("<Credentials ", "<Credentials xsi:nil=\"true\" "), String::new(), missing("")),
        (
            "in another namespace",
            good.replace("Services86", "Services83"),
            String::new(),
            missing(&format!(": the one in soap:Header is in the namespace '{}'", NAMESPACE.replace("86", "83"))),
        ),
        (
            "in no namespace, beside",
            String::new(),
            "<Credentials><Ticket>x</Ticket></Credentials>".to_owned(),
            missing(": the one in soap:Envelope is in no namespace"),
        ),
        ("no ticket", credentials("").replace("<Ticket></Ticket>", ""), String::new(), without("")),
        (
            "a ticket of no namespace",
            good.replace("<Ticket>", "<Ticket xmlns=\"\">"),
            String::new(),
            without(": the one there is in no namespace"),
        ),
        // What has been a ticket and what never was are not told apart.
        ("an empty ticket", credentials(""), String::new(), format!("{BEGIN}{ENDED}")),
        ("no ticket of ours", credentials("7T:x"), String::new(), format!("{BEGIN}{ENDED}")),
        ("another ticket", good.replace("</Ticket>", "x</Ticket>"), String::new(), format!("{BEGIN}{ENDED}")),
    ] {
        assert_eq!(told(&header, &beside), expected, "{name}");
    }
}
