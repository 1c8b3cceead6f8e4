//! How each message that cannot be served is refused: on every SOAP address and in both versions, by one rule. What was
//! read as a SOAP message gets a fault, under 500 in SOAP 1.1; everything else gets 4xx and plain text, never an envelope.

use std::time::Duration;

use seatkeeper::http;
use seatkeeper::soap::Version;

use seatkeeper::netserver::SO_PRINCIPAL;

use crate::harness::*;

const PLAIN: &str = "text/plain; charset=utf-8";

/// One of the addresses that take SOAP messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    Asmx,
    SoPrincipal,
    License,
}
use Address::*;

impl Address {
    const ALL: [Address; 3] = [Asmx, SoPrincipal, License];

    fn path(self) -> &'static str {
        match self {
            Asmx => PATH,
            SoPrincipal => SO_PRINCIPAL_PATH,
            License => LICENSE_PATH,
        }
    }

    fn namespace(self) -> &'static str {
        if self == Asmx { "sosonlinebackup.com" } else { NAMESPACE }
    }

    /// A call that needs a value, and the value as it should be.
    fn operation(self) -> &'static str {
        match self {
            Asmx => {
                "<AssignLicense xmlns=\"NS\"><request><Username>u</Username>\
                 <LicenseProviderEntityId>42</LicenseProviderEntityId><LicenseType>SqlBackup</LicenseType></request></AssignLicense>"
            }
            SoPrincipal => "<GetSystemInfo xmlns=\"NS\"/>",
            License => "<GetUserLicenses xmlns=\"NS\"><AssociateId>42</AssociateId></GetUserLicenses>",
        }
    }

    fn message(self, version: Version) -> String {
        let message = envelope11("<h xmlns=\"urn:h\"/>", &self.operation().replace("NS", self.namespace()));
        if version == Version::Soap12 { to_soap12(&message) } else { message }
    }
}

/// What a refusal looks like.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// This status and plain text, whatever the version.
    Http(u16),
    /// A fault in the version of the message, with this code of SOAP 1.2.
    Fault(&'static str),
    /// On the ASMX address 400 and plain text, as the vendor's service answers without text; elsewhere a fault.
    Malformed,
}
use Refusal::*;

const LIMIT: Duration = Duration::from_millis(700);

fn typed(version: Version) -> String {
    format!("Content-Type: {}; charset=utf-8\r\n", version.media_type())
}

/// Every message that cannot be served, as a change of one that can; and what the refusal says.
fn refusals(address: Address, version: Version) -> Vec<(&'static str, Vec<u8>, Refusal, &'static str)> {
    let good = address.message(version);
    let send = |headers: &str, body: &str| post_to(address.path(), headers, body.as_bytes());
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "no {from}");
        send(&typed(version), &good.replacen(from, to, 1))
    };
    let inside = |block: &str| changed("<h xmlns=\"urn:h\"/>", block);
    let repeated = |part: &str, times: usize| part.repeat(times);
    let (begin, rest) = good.split_once("<soap:Body>").expect("a Body");
    let (body, end) = rest.split_once("</soap:Body>").expect("its end");
    let header = "<soap:Header></soap:Header>";
    let whole = |message: String| send(&typed(version), &message);
    let mut all = vec![
        (
            "no Content-Type",
            send("", &good),
            Http(415),
            "The request has no Content-Type. Send a SOAP message as text/xml",
        ),
        (
            "JSON",
            send("Content-Type: application/json; x=y\r\n", "{}"),
            Http(415),
            "does not take the Content-Type 'application/json; x=y'. Send a SOAP message as text/xml; charset=utf-8",
        ),
        (
            "a form",
            send("Content-Type: application/x-www-form-urlencoded\r\n", "a=b"),
            Http(415),
            "x-www-form-urlencoded",
        ),
        ("too large", whole(good.clone() + &repeated(" ", 300_000)), Http(413), "exceeded. The limit is 262144 bytes."),
        (
            "too large, in chunks",
            [
                format!("POST {} HTTP/1.1\r\nHost: a\r\n{}", address.path(), typed(version)).as_bytes(),
                b"Transfer-Encoding: chunked\r\n\r\n50000\r\n",
                &[b' '; 0x50000],
                b"\r\n0\r\n\r\n",
            ]
            .concat(),
            Http(413),
            "Maximum request length exceeded.",
        ),
        ("nothing", whole(String::new()), Malformed, "line 1, column 1: it is empty, there is no root element"),
        ("JSON as XML", whole("{}".to_owned()), Malformed, "line 1, column 1: text outside the root element"),
        ("not closed", whole(good.replace("</soap:Envelope>", "")), Malformed, "element 'Envelope' is not closed"),
        ("a document type", whole(format!("<!DOCTYPE a>{good}")), Malformed, "a document type declaration"),
        ("NUL inside", changed("<soap:Body>", "<soap:Body>\0"), Malformed, "line 2, column"),
        ("no XML at all", whole("hello\nworld".to_owned()), Malformed, "line 1, column 1"),
        (
            "bytes that are invalid, in a name",
            {
                let mut bytes = good.clone().into_bytes();
                let at = good.find("<soap:Body>").expect("a Body");
                bytes[at + 1] = 0xFC;
                post_to(address.path(), &typed(version), &bytes)
            },
            Malformed,
            "line 2, column",
        ),
        ("too deep", inside(&(repeated("<a>", 40) + &repeated("</a>", 40))), Fault("Sender"), "nested deeper than 32"),
        ("too many elements", inside(&format!("<a>{}</a>", repeated("<a/>", 9000))), Fault("Sender"), "more than 8192"),
        (
            "too many attributes",
            inside(&format!("<a {}/>", (0..65).map(|n| format!("a{n}='' ")).collect::<String>())),
            Fault("Sender"),
            "more than 64 attributes on one element",
        ),
        ("too many header blocks", inside(&repeated("<a/>", 65)), Fault("Sender"), "more than 64 header blocks"),
        (
            "no Body",
            whole(format!("{begin}{end}")),
            Fault("Sender"),
            "as a child of Envelope, in the namespace 'http://",
        ),
        ("Body of no namespace", whole(format!("{begin}<Body>{body}</Body>{end}")), Fault("Sender"), "Body"),
        (
            "two Headers",
            changed("<soap:Header>", &format!("{header}<soap:Header>")),
            Fault("Sender"),
            "more than one Header",
        ),
        (
            "a Header before and one behind Body",
            changed("</soap:Envelope>", &format!("{header}</soap:Envelope>")),
            Fault("Sender"),
            "more than one Header",
        ),
        (
            "two Headers behind Body",
            whole(
                good.replace("<soap:Header><h xmlns=\"urn:h\"/></soap:Header>", "")
                    .replace("</soap:Envelope>", &format!("{header}{header}</soap:Envelope>")),
            ),
            Fault("Sender"),
            "more than one Header",
        ),
        (
            "a Header behind an element that SOAP does not know",
            changed("<soap:Header>", "<x/><soap:Header>"),
            Fault("Sender"),
            "another element before its Header",
        ),
        ("two Bodies", changed("<soap:Body>", "<soap:Body/><soap:Body>"), Fault("Sender"), "more than one Body"),
        (
            "mustUnderstand that is no boolean",
            inside("<h xmlns=\"urn:h\" soap:mustUnderstand=\"maybe\"/>"),
            Fault("Sender"),
            "'maybe' is not a valid value for mustUnderstand of SOAP header h. Send 1 or 0.",
        ),
        (
            "mustUnderstand",
            inside("<h xmlns=\"urn:h\" soap:mustUnderstand=\"1\"/>"),
            Fault("MustUnderstand"),
            "SOAP header h was not understood.",
        ),
        (
            "another envelope",
            whole(good.replace(version.namespace(), "urn:envelope")),
            Fault("VersionMismatch"),
            "urn:envelope",
        ),
        (
            "no operation",
            whole(format!("{begin}<soap:Body><Nope/></soap:Body>{end}")),
            Fault("Sender"),
            "'Nope' of namespace ''",
        ),
    ];
    if address == Asmx {
        all.push((
            "another root",
            whole(good.replace("soap:Envelope", "soap:Message")),
            Fault("Sender"),
            "Missing required soap:Envelope element. The root element is 'Message'.",
        ));
    }
    if address != SoPrincipal {
        all.push((
            "a word for a number",
            changed(">42<", ">forty two<"),
            Fault("Sender"),
            "2147483647, and holds 'forty two'.",
        ));
        all.push((
            "an element in a number",
            changed(">42<", ">4<b/>2<"),
            Fault("Sender"),
            "Element 'b' was not expected inside '",
        ));
    }
    all
}

#[test]
fn every_refusal_on_every_address_in_both_versions() {
    let server = Server::with_owners();
    let mut seen = 0;
    for address in Address::ALL {
        for version in Version::ALL {
            for (name, request, refusal, said) in refusals(address, version) {
                let answer = server.send(&request);
                check(address, version, name, &answer, refusal, said);
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "{seen}");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account WHERE username = 'u'"), 0, "nothing was done");
}

fn check(address: Address, version: Version, name: &str, answer: &Answer, refusal: Refusal, said: &str) {
    let failed = format!("{address:?}, {version:?}, {name}: {answer:?}");
    let refusal = match refusal {
        Malformed if address == Asmx => Http(400),
        Malformed => Fault("Sender"),
        other => other,
    };
    assert!(answer.body.replace("&gt;", ">").contains(said), "{failed}");
    assert!(answer.body.len() < 2000, "{failed}");
    let is_envelope = answer.body.contains("Envelope>") && answer.body.contains("<?xml");
    match refusal {
        Http(status) => {
            assert_eq!((answer.status, answer.header("content-type")), (status, Some(PLAIN)), "{failed}");
            assert!(!is_envelope && answer.body.ends_with(".\n"), "{failed}");
            let closes = matches!(status, 413 | 408);
            assert_eq!(answer.header("connection"), closes.then_some("close"), "{failed}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{failed}");
        }
        Fault(code) => {
            // In the version that every client reads.
            let version = if code == "VersionMismatch" { Version::Soap11 } else { version };
            let unknown_operation = name == "no operation" && address != Asmx;
            let is_senders_by_http = code == "Sender" && address != Asmx && !unknown_operation;
            let status = if version == Version::Soap12 && is_senders_by_http { 400 } else { 500 };
            let typed = format!("{}; charset=utf-8", version.media_type());
            assert_eq!((answer.status, answer.header("content-type")), (status, Some(&*typed)), "{failed}");
            assert!(is_envelope && answer.body.contains(version.namespace()), "{failed}");
            let code = match (version, code) {
                (Version::Soap11, _) if unknown_operation => ">a:ActionNotSupported</faultcode>".to_owned(),
                (Version::Soap11, "Sender") => "<faultcode>soap:Client</faultcode>".to_owned(),
                (Version::Soap11, code) => format!("<faultcode>soap:{code}</faultcode>"),
                (Version::Soap12, code) => format!("<soap:Code><soap:Value>soap:{code}</soap:Value>"),
            };
            assert!(answer.body.contains(&code), "{failed}");
        }
        Malformed => unreachable!("told apart above"),
    }
}

#[test]
fn a_body_that_comes_too_slowly() {
    let limits = http::Limits { body_timeout: LIMIT, ..http::Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() });
    for address in Address::ALL {
        for version in Version::ALL {
            let head =
                format!("POST {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: 9\r\n\r\n", address.path(), typed(version));
            let answer = server.send(head.as_bytes());
            check(address, version, "too slow", &answer, Http(408), "The request did not arrive within 0 seconds.");
        }
    }
}

#[test]
fn a_limit_is_told_in_the_version_of_the_envelope() {
    let server = Server::with_owners();
    let deep = "<a>".repeat(40);
    for address in Address::ALL {
        for version in Version::ALL {
            let message = address.message(version).replace("<soap:Body>", &format!("<soap:Body>{deep}"));
            let answer = server.send(&post_to(address.path(), "Content-Type: text/xml\r\n", message.as_bytes()));
            check(address, version, "too deep", &answer, Fault("Sender"), "elements nested deeper than 32");
        }
    }
}

/// Ways to write a charset, with the bytes of the message in UTF-8 or Latin 1 and the declaration that is in it.
#[test]
fn charsets_are_read_as_leniently_as_the_original_reads_them() {
    let server = Server::with_owners();
    server.sql("UPDATE license_pool SET seats_total = 500 WHERE entity_id = 42 AND license_type = 'SqlBackup'");
    let ticket = credentials(&server.netserver_sign_in("reader"));
    let utf16 =
        |text: &str, to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(to_bytes).collect() };
    let latin1 = |text: &str| -> Vec<u8> { text.chars().map(|c| u8::try_from(c).expect("Latin 1")).collect() };
    type Encode<'a> = &'a dyn Fn(&str) -> Vec<u8>;
    let utf8: Encode = &|text| text.as_bytes().to_vec();
    let (le, be): (Encode, Encode) = (&|text| utf16(text, u16::to_le_bytes), &|text| utf16(text, u16::to_be_bytes));
    let rows: &[(&str, &str, Encode)] = &[
        ("; charset=utf-8", "utf-8", utf8),
        ("; charset='utf-8'", "utf-8", utf8),
        ("; charset=\"\"UTF-8\"\"", "utf-8", utf8),
        ("; charset=\"'utf-8'\"", "utf-8", utf8),
        ("; charset=utf-8'", "utf-8", utf8),
        ("; charset=\"utf-8", "utf-8", utf8),
        ("; charset= utf-8 ;", "utf-8", utf8),
        ("; charset = utf-8", "utf-8", utf8),
        (" ; charset=utf-8", "utf-8", utf8),
        (";;charset=UTF-8", "utf-8", utf8),
        ("; charset=utf8", "utf-8", utf8),
        ("; charset=", "utf-8", utf8),
        ("; charset=''", "utf-8", utf8),
        ("; charset", "utf-8", utf8),
        ("", "utf-8", utf8),
        ("; fö=bär; charset=utf-8", "utf-8", utf8),
        ("; charset=größe", "utf-8", utf8),
        ("; charset=utf-8; charset=latin1", "utf-8", utf8),
        ("; charset=utf-8, text/xml; charset=latin1", "utf-8", utf8),
        (", text/xml", "utf-8", utf8),
        ("; charset=utf-8\r\nContent-Type: text/xml; charset=latin1", "utf-8", utf8),
        ("\r\nContent-Type: application/json", "utf-8", utf8),
        ("; charset=klingon", "utf-8", utf8),
        ("; charset=utf-7", "utf-8", utf8),
        ("; charset=utf-32", "utf-8", utf8),
        ("; charset=x-user-defined", "utf-8", utf8),
        ("; charset=iso-2022-kr", "utf-8", utf8),
        ("; charset=us-ascii", "us-ascii", utf8),
        ("; charset=utf-8", "latin1", utf8),
        ("; charset=utf-8", "utf-16", utf8),
        ("; charset=utf-16", "utf-16", utf8),
        ("", "utf-16", utf8),
        ("", "klingon", utf8),
        ("; charset=latin1", "utf-8", &latin1),
        ("; charset='ISO-8859-1'", "utf-8", &latin1),
        ("; charset=windows-1252", "klingon", &latin1),
        ("", "iso-8859-1", &latin1),
        ("; charset=klingon", "iso-8859-1", &latin1),
        ("; charset=", "iso-8859-1", &latin1),
        ("; charset=utf-7", "latin1", &latin1),
        ("; charset=utf-16", "utf-16", le),
        ("; charset=utf-16", "utf-16", be),
        ("; charset='utf-16be'", "utf-16", be),
        ("; charset=utf-8", "utf-16", le),
        ("", "utf-16", be),
    ];
    let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    for (n, (charset, declared, encode)) in rows.iter().enumerate() {
        let name = format!("Müller {n}");
        let call = assign_envelope("agent", PASSWORD, &name, 42, "SqlBackup");
        let call = call.replace("encoding=\"utf-8\"", &format!("encoding=\"{declared}\""));
        let headers = format!("Content-Type: text/xml{charset}\r\n{ACTION}");
        let row = format!("{charset:?}, declared as {declared}, {}", text(&encode("ü")));
        let answer = server.send(&post(&headers, &encode(&call)));
        assert_eq!((answer.status, answer.element("Code").as_deref()), (200, Some("Success")), "{row}: {answer:?}");
        let found: i64 = server.query(&format!("SELECT count(*) FROM account WHERE username = '{name}'"));
        assert_eq!(found, 1, "{row}");

        // This operation repeats the name it is given.
        let body = format!(
            "<GetLicenseStatusFromLicenseServer xmlns=\"{NAMESPACE}\"><OwnerName>größe</OwnerName></GetLicenseStatusFromLicenseServer>"
        );
        let call = envelope11(&ticket, &body).replace("encoding=\"utf-8\"", &format!("encoding=\"{declared}\""));
        for call in [to_soap12(&call), call] {
            let answer = server.send(&post_to(LICENSE_PATH, &headers, &encode(&call)));
            assert!(answer.exception().is_none() && answer.body.contains("'größe'"), "{row}: {answer:?}");
        }
    }
}

#[test]
fn utf_7_is_not_decoded() {
    // Markup that only a reader of UTF-7 sees would be hidden from whatever looks at the bytes in front of the service.
    let server = Server::start();
    let hidden =
        assign_envelope("agent", PASSWORD, "hidden", 42, "SqlBackup").replace('<', "+ADw-").replace('>', "+AD4-");
    for declared in ["", "<?xml version=\"1.0\" encoding=\"utf-7\"?>"] {
        let message = format!("{declared}{hidden}");
        let answer =
            server.send(&post(&format!("Content-Type: text/xml; charset=utf-7\r\n{ACTION}"), message.as_bytes()));
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

/// Random bytes under random names of charsets: never a panic, always one of the answers there are.
#[test]
fn any_bytes_in_any_charset_are_answered() {
    use seatkeeper::soap::{encoding, envelope};
    const CHARSETS: [&str; 12] = [
        "utf-8",
        "utf-16",
        "utf-16be",
        "latin1",
        "shift_jis",
        "gb18030",
        "iso-2022-jp",
        "big5",
        "euc-kr",
        "us-ascii",
        "'",
        "x",
    ];
    let mut state = 20_260_301_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let good = assign_envelope("agent", PASSWORD, "ü", 42, "SqlBackup").into_bytes();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        bytes.truncate(1 + random() as usize % good.len());
        for _ in 0..random() % 8 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        let charset = CHARSETS[random() as usize % CHARSETS.len()];
        let text = encoding::decode(&bytes, Some(charset));
        match envelope::read(&text, &envelope::Limits::default()) {
            Ok(_) => assert!(!text.contains('\0'), "{charset}: {bytes:?}"),
            Err(error) => assert!(error.to_string().chars().count() < 700, "{charset}: {error}"),
        }
    }
}

#[test]
fn booleans_in_other_letters() {
    let server = Server::start();
    let block = |value: &str| format!("<x:Trace xmlns:x=\"urn:x\" soap:mustUnderstand=\"{value}\"/>");
    // (value, on a block of ours, on a block that we do not know)
    for (value, ours, unknown) in [
        ("1", 200, 500),
        ("true", 200, 500),
        (" true ", 200, 500),
        ("0", 200, 200),
        ("false", 200, 200),
        // Neither is an xs:boolean. .NET does not take such a block for mandatory.
        ("True", 200, 200),
        ("TRUE", 200, 200),
        ("False", 200, 200),
        ("FALSE", 200, 200),
        ("yes", 500, 500),
        ("", 500, 500),
        ("2", 500, 500),
    ] {
        let call = assign_envelope("agent", PASSWORD, "u", 42, "SqlBackup");
        let of_ours = call.replace("<AuthHeader ", &format!("<AuthHeader soap:mustUnderstand=\"{value}\" "));
        let of_unknown = call.replace("<soap:Header>", &format!("<soap:Header>{}", block(value)));
        for (message, status) in [(of_ours, ours), (of_unknown, unknown)] {
            assert_eq!(server.post11(&message).status, status, "{value:?} {message}");
        }
        let of_ours =
            credentials("x").replace("<Credentials ", &format!("<Credentials soap:mustUnderstand=\"{value}\" "));
        for (block, status) in [(of_ours, ours), (block(value), unknown)] {
            let answer = server.netserver_call(&SO_PRINCIPAL, &block, "GetSystemInfo", "");
            assert_eq!(answer.status, status, "{block}: {answer:?}");
        }
    }
    // In values .NET takes what XML Schema calls a boolean, and so do we.
    for (value, told) in [
        ("true", None),
        (" 0 ", None),
        (
            "True",
            Some(
                "The string 'True' is not a valid Boolean value. Element 'ChildAccountsOnly' takes true or false, in lower case.",
            ),
        ),
        ("FALSE", Some("The string 'FALSE' is not a valid Boolean value. Element 'ChildAccountsOnly'")),
        ("", Some("The string '' is not a valid Boolean value. Element 'ChildAccountsOnly'")),
    ] {
        let fields = format!("<EntityId>42</EntityId><ChildAccountsOnly>{value}</ChildAccountsOnly>");
        let answer = server.call("GetAssignedLicensesSummary", "agent", &fields);
        match told {
            None => assert_eq!(answer.code(), "Success", "{value}"),
            Some(told) => assert!(answer.status == 500 && answer.body.contains(told), "{value}: {answer:?}"),
        }
    }
    // An element so marked can only be meant to be null.
    for value in ["true", "1", "True", "TRUE"] {
        let answer = server.call(
            "UnassignLicense",
            "admin",
            &format!("<Username xsi:nil=\"{value}\"/><LicenseType>SqlBackup</LicenseType>"),
        );
        assert!(answer.message().contains("; Username is missing."), "{value}: {answer:?}");
    }
}

/// Each value error says which element it is about, behind the words of .NET.
#[test]
fn value_errors_name_the_element() {
    let server = Server::start();
    let item = |entity: &str| {
        format!(
            "<AssignLicensesItem><Username>u</Username>\n<LicenseProviderEntityId>{entity}</LicenseProviderEntityId>\
             <LicenseType>SqlBackup</LicenseType></AssignLicensesItem>"
        )
    };
    for (operation, fields, told) in [
        (
            "AssignLicense",
            "<LicenseProviderEntityId>x</LicenseProviderEntityId>".to_owned(),
            "(2, 423). ---> Input string was not in a correct format. Element 'LicenseProviderEntityId' takes a whole \
             number from -2147483648 to 2147483647, and holds 'x'.",
        ),
        (
            "AssignLicense",
            "<LicenseType></LicenseType>".to_owned(),
            ". ---> Instance validation error: '' is not a valid value for LicenseType. Element 'LicenseType' \
             takes one of: SkraftDiskImageV5, SqlBackup, ExchangeBackup.",
        ),
        (
            "AssignLicenses",
            format!("<Items>{}{}</Items>", item("42"), item("3000000000")),
            ". ---> Value was either too large or too small for an Int32. Element 'LicenseProviderEntityId' takes a \
             whole number from -2147483648 to 2147483647, and holds '3000000000'.",
        ),
        (
            "AssignLicenses",
            "<DryRun>yes</DryRun>".to_owned(),
            "---> The string 'yes' is not a valid Boolean value. Element 'DryRun' takes true or false, in lower case.",
        ),
        (
            "AssignLicense",
            "<Username>a<b>c</b></Username>".to_owned(),
            "---> Element 'b' was not expected inside 'Username'. Element 'Username' takes text without elements.",
        ),
    ] {
        let answer = server.call(operation, "agent", &fields);
        let fault = answer.element("faultstring").expect("a fault");
        let begin = "Server was unable to read request. ---> There is an error in XML document ";
        assert!(
            answer.status == 500 && fault.starts_with(begin) && fault.ends_with(told),
            "{operation} {fields}: {fault}"
        );
    }
    // As much of a value as is needed to know it again.
    let long = server.call("AssignLicense", "agent", &format!("<LicenseType>{}</LicenseType>", "x".repeat(100_000)));
    assert!(
        long.body.len() < 2000 && long.body.contains("xxx…' is not a valid value for LicenseType."),
        "{}",
        long.body.len()
    );
}
