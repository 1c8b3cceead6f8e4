//! What programs without a toolkit send: scripts, macros, tools and old libraries, each with the request line, headers and
//! spelling of XML that it is known for. After each request the database has the users that were meant, and no other.

use crate::harness::*;

/// What a row must lead to.
enum Outcome {
    /// `AssignLicense` succeeds, for this user.
    Takes(&'static str),
    /// A result object with this code, and this in its message.
    Refused(&'static str, &'static str),
    /// A fault whose code (in SOAP 1.1) and text are these.
    Fault(&'static str, &'static str),
    /// This status, and no envelope.
    Http(u16),
}
use Outcome::*;

const SOAP11: &str = "text/xml; charset=utf-8";
const ACTION_VALUE: &str = "sosonlinebackup.com/AssignLicense";

/// Sends each row on a connection of its own, and looks into the database.
fn check(rows: Vec<(&str, Vec<u8>, Outcome)>) {
    let server = Server::with(Options {
        seed: sample_data() + "UPDATE license_pool SET seats_total = 100 WHERE id = 1;",
        ..Options::default()
    });
    let mut holders = Vec::new();
    for (sender, request, outcome) in rows {
        let answer = server.send(&request);
        match outcome {
            Takes(username) => {
                assert_eq!((answer.status, answer.code().as_str()), (200, "Success"), "{sender}: {answer:?}");
                holders.push(username.to_owned());
            }
            Refused(code, said) => {
                assert_eq!((answer.status, answer.code().as_str()), (200, code), "{sender}: {answer:?}");
                assert!(answer.message().contains(said), "{sender}: {answer:?}");
            }
            Fault(code, said) => {
                assert_eq!(answer.status, 500, "{sender}: {answer:?}");
                let found = answer.element("faultcode").or(answer.element("soap:Value"));
                assert_eq!(found.as_deref(), Some(&*format!("soap:{code}")), "{sender}: {answer:?}");
                assert!(answer.body.contains(said), "{sender}: {answer:?}");
            }
            Http(status) => {
                assert_eq!(answer.status, status, "{sender}: {answer:?}");
                assert!(!answer.body.contains("Envelope"), "{sender}: {answer:?}");
            }
        }
        holders.sort();
        let held: String = server.query(
            "SELECT coalesce(json_group_array(username), '[]') FROM
                 (SELECT username FROM seat JOIN account ON account.id = account_id ORDER BY username COLLATE BINARY) AS q",
        );
        let held: Vec<String> = serde_json::from_str(&held).expect("a list");
        assert_eq!(held, holders, "{sender}");
        assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), holders.len() as i64, "{sender}");
    }
    assert_eq!(server.violations(), []);
}

fn fields(username: &str) -> String {
    format!(
        "<Username>{username}</Username><LicenseProviderEntityId>42</LicenseProviderEntityId>\
         <LicenseType>SqlBackup</LicenseType>"
    )
}

/// As the vendor's page shows the message.
fn message(username: &str) -> String {
    assign_envelope("agent", PASSWORD, username, 42, "SqlBackup")
}

fn typed(content_type: &str) -> String {
    format!("Content-Type: {content_type}\r\nSOAPAction: \"{ACTION_VALUE}\"\r\n")
}

/// With prefixes for both namespaces, as most programs write it.
fn prefixed(envelope: &str, service: &str, username: &str) -> String {
    let (e, s) = (envelope, service);
    format!(
        "<{e}:Envelope xmlns:{e}=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:{s}=\"sosonlinebackup.com\">\
         <{e}:Header><{s}:AuthHeader><{s}:UserName>agent</{s}:UserName><{s}:Password>{PASSWORD}</{s}:Password></{s}:AuthHeader>\
         </{e}:Header><{e}:Body><{s}:AssignLicense><{s}:request><{s}:Username>{username}</{s}:Username>\
         <{s}:LicenseProviderEntityId>42</{s}:LicenseProviderEntityId><{s}:LicenseType>SqlBackup</{s}:LicenseType></{s}:request>\
         </{s}:AssignLicense></{e}:Body></{e}:Envelope>"
    )
}

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn scripts_and_macros() {
    check(vec![
        (
            "VBScript, MSXML2.XMLHTTP",
            post(
                &(typed(SOAP11)
                    + "Accept: */*\r\nAccept-Language: nb-NO,en;q=0.5\r\nUA-CPU: AMD64\r\nUser-Agent: Mozilla/4.0 \
                       (compatible; MSIE 7.0; Windows NT 6.1; Win64; x64; Trident/4.0)\r\nConnection: Keep-Alive\r\n\
                       Cache-Control: no-cache\r\n"),
                message("vbscript-ø").as_bytes(),
            ),
            Takes("vbscript-ø"),
        ),
        (
            "Excel, WinHttpRequest 5.1, which appends its own charset",
            post(
                &(typed("text/xml; Charset=UTF-8")
                    + "User-Agent: Mozilla/4.0 (compatible; Win32; WinHttp.WinHttpRequest.5)\r\n"),
                message("excel-ü").as_bytes(),
            ),
            Takes("excel-ü"),
        ),
        (
            "Excel, a DOMDocument sent as UTF-16",
            post(&typed("text/xml"), &utf16le(&format!("\u{feff}{}", message("dom-ü").replace("utf-8", "UTF-16")))),
            Takes("dom-ü"),
        ),
        (
            "classic ASP, Microsoft SOAP Toolkit 3.0",
            post(
                "Content-Type: text/xml; charset=\"UTF-8\"\r\nUser-Agent: SOAP Toolkit 3.0\r\n\
                 SOAPAction: \"sosonlinebackup.com/AssignLicense\"\r\nConnection: Keep-Alive\r\nPragma: no-cache\r\n",
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>{}",
                    prefixed("SOAP-ENV", "m", "asp-ü")
                        .replace("<SOAP-ENV:Body>", "<SOAP-ENV:Body SOAP-ENV:encodingStyle=\"\">")
                )
                .as_bytes(),
            ),
            Takes("asp-ü"),
        ),
        (
            "curl --data-binary of a file from Notepad: byte order mark, CR LF, an empty line at the end",
            post(
                &typed(SOAP11),
                format!("\u{feff}{}\r\n\r\n", message("notepad-ü").replace("><", ">\r\n<")).as_bytes(),
            ),
            Takes("notepad-ü"),
        ),
        (
            "curl -d without a Content-Type",
            post(
                "User-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\n",
                message("nobody").as_bytes(),
            ),
            Http(415),
        ),
        (
            "a shell's here-document with an empty line before the XML declaration",
            post(&typed(SOAP11), format!("\n{}", message("nobody")).as_bytes()),
            Http(400),
        ),
        (
            "PHP, curl_exec as it is copied from answer to answer",
            post(
                "Content-type: text/xml;charset=\"utf-8\"\r\nAccept: text/xml\r\nCache-Control: no-cache\r\n\
                 Pragma: no-cache\r\nSOAPAction: sosonlinebackup.com/AssignLicense\r\n",
                message("php-ü").as_bytes(),
            ),
            Takes("php-ü"),
        ),
        (
            "C#, HttpWebRequest as it is copied from answer to answer",
            post(
                "Content-Type: text/xml;charset=\"utf-8\"\r\nAccept: text/xml\r\nSOAPAction: \
                 \"sosonlinebackup.com/AssignLicense\"\r\nExpect: 100-continue\r\nConnection: Keep-Alive\r\n",
                message("csharp-ü").as_bytes(),
            ),
            Takes("csharp-ü"),
        ),
        (
            "Java, HttpURLConnection in chunks",
            {
                let body = message("java-ü");
                let mut request = format!(
                    "POST {PATH} HTTP/1.1\r\nUser-Agent: Java/1.8.0_202\r\nHost: test.example\r\nAccept: text/html, \
                     image/gif, image/jpeg, *; q=.2, */*; q=.2\r\nConnection: keep-alive\r\n{}Transfer-Encoding: \
                     chunked\r\n\r\n",
                    typed("text/xml; charset=UTF-8")
                )
                .into_bytes();
                for part in body.as_bytes().chunks(300) {
                    request.extend(format!("{:x}\r\n", part.len()).bytes());
                    request.extend(part);
                    request.extend(b"\r\n");
                }
                request.extend(b"0\r\n\r\n");
                request
            },
            Takes("java-ü"),
        ),
        (
            "a shell script over netcat, HTTP/1.0 without Host",
            {
                let body = message("netcat-ü");
                format!("POST {PATH} HTTP/1.0\r\n{}Content-Length: {}\r\n\r\n{body}", typed(SOAP11), body.len())
                    .into_bytes()
            },
            Takes("netcat-ü"),
        ),
        (
            "a client behind a proxy, with the whole address in the request line",
            String::from_utf8(post(&typed(SOAP11), message("proxy-ü").as_bytes()))
                .expect("UTF-8")
                .replacen(PATH, &format!("http://test.example{PATH}"), 1)
                .into_bytes(),
            Takes("proxy-ü"),
        ),
        (
            "a program that sends no SOAPAction",
            post("Content-Type: text/xml; charset=utf-8\r\n", message("no-action-ü").as_bytes()),
            Takes("no-action-ü"),
        ),
        (
            "a program that sends an empty SOAPAction",
            post("Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"\"\r\n", message("nobody").as_bytes()),
            Fault("Client", "Server did not recognize the value of HTTP Header SOAPAction: ."),
        ),
        (
            "Oracle UTL_HTTP, which counted characters instead of bytes",
            {
                let body = message("short-äöüß");
                let length = body.chars().count();
                let mut request =
                    format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {length}\r\n\r\n", typed(SOAP11))
                        .into_bytes();
                request.extend(body.as_bytes());
                request
            },
            Http(400),
        ),
    ]);
}

#[test]
fn tools_and_libraries() {
    check(vec![
        (
            "SoapUI over SOAP 1.1",
            post(
                "Accept-Encoding: gzip,deflate\r\nContent-Type: text/xml;charset=UTF-8\r\nSOAPAction: \
                 \"sosonlinebackup.com/AssignLicense\"\r\nConnection: Keep-Alive\r\nUser-Agent: Apache-HttpClient/4.5.5 \
                 (Java/16.0.2)\r\n",
                prefixed("soapenv", "sos", "soapui-ü").replace("><", ">\n   <").as_bytes(),
            ),
            Takes("soapui-ü"),
        ),
        (
            "SoapUI over SOAP 1.2",
            post(
                "Accept-Encoding: gzip,deflate\r\nContent-Type: application/soap+xml;charset=UTF-8;action=\
                 \"sosonlinebackup.com/AssignLicense\"\r\n",
                to_soap12(&prefixed("soap", "sos", "soapui12-ü").replace("><", ">\n   <")).as_bytes(),
            ),
            Takes("soapui12-ü"),
        ),
        (
            "Postman with its XML type",
            post("Content-Type: application/xml\r\nPostman-Token: 1\r\n", message("nobody").as_bytes()),
            Http(415),
        ),
        (
            "Delphi, THTTPRIO",
            post(
                "Content-Type: text/xml; charset=\"utf-8\"\r\nUser-Agent: Borland SOAP 1.2\r\nSOAPAction: \
                 \"sosonlinebackup.com/AssignLicense\"\r\nCache-Control: no-cache\r\n",
                format!(
                    "<?xml version=\"1.0\"?>\r\n{}",
                    prefixed("SOAP-ENV", "NS1", "delphi-ü")
                        .replace("<NS1:AuthHeader>", "<NS1:AuthHeader SOAP-ENV:mustUnderstand=\"1\">")
                )
                .as_bytes(),
            ),
            Takes("delphi-ü"),
        ),
        (
            "Delphi, a WideString as it is in memory",
            post(&typed("text/xml; charset=utf-16"), &utf16le(&message("wide-ü").replace("utf-8", "UTF-16"))),
            Takes("wide-ü"),
        ),
        (
            "Ruby, Savon",
            post(
                "Content-Type: text/xml;charset=UTF-8\r\nSoapaction: \"sosonlinebackup.com/AssignLicense\"\r\n\
                 Accept: */*\r\nUser-Agent: HTTPI/2.4\r\n",
                format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", prefixed("env", "tns", "savon-ü")).as_bytes(),
            ),
            Takes("savon-ü"),
        ),
        (
            "Go, gowsdl",
            post(
                "User-Agent: gowsdl/0.1\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nSoapaction: \
                 sosonlinebackup.com/AssignLicense\r\nAccept-Encoding: gzip\r\nConnection: close\r\n",
                format!(
                    "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Header \
                     xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\">{}</Header><Body \
                     xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><AssignLicense \
                     xmlns=\"sosonlinebackup.com\"><request>{}</request></AssignLicense></Body></Envelope>",
                    auth_header("agent", PASSWORD),
                    fields("go-ü")
                )
                .as_bytes(),
            ),
            Takes("go-ü"),
        ),
        (
            "SAP, with a prefix of its own for everything",
            post(
                "Content-Type: text/xml; charset=utf-8\r\nSoapaction: sosonlinebackup.com/AssignLicense\r\nUser-Agent: \
                 SAP NetWeaver Application Server (1.0;740)\r\nsap-language: EN\r\n",
                prefixed("soap-env", "n0", "sap-ü").as_bytes(),
            ),
            Takes("sap-ü"),
        ),
        (
            "IBM i, HTTPAPI: translated to UTF-8, the declaration still names EBCDIC",
            post(&typed(SOAP11), message("ibmi").replace("utf-8", "IBM037").as_bytes()),
            Takes("ibmi"),
        ),
        (
            "a program that declares Latin 1 and sends it",
            post(&typed("text/xml; charset=ISO-8859-1"), &latin1(&message("latin-ü").replace("utf-8", "ISO-8859-1"))),
            Takes("latin-ü"),
        ),
        (
            "a Windows program that names its code page",
            post(&typed("text/xml; charset=windows-1252"), &latin1(&message("ansi-ü").replace("utf-8", "windows-1252"))),
            Takes("ansi-ü"),
        ),
        (
            "NuSOAP without a WSDL: Latin 1, types, and fields of no namespace",
            post(
                "User-Agent: NuSOAP/0.9.5 (1.123)\r\nContent-Type: text/xml; charset=ISO-8859-1\r\nSOAPAction: \
                 \"sosonlinebackup.com/AssignLicense\"\r\n",
                format!(
                    "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><SOAP-ENV:Envelope SOAP-ENV:encodingStyle=\
                     \"http://schemas.xmlsoap.org/soap/encoding/\" xmlns:SOAP-ENV=\"http://schemas.xmlsoap.org/soap/envelope/\" \
                     xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                     xmlns:SOAP-ENC=\"http://schemas.xmlsoap.org/soap/encoding/\"><SOAP-ENV:Header>{}</SOAP-ENV:Header>\
                     <SOAP-ENV:Body><ns7952:AssignLicense xmlns:ns7952=\"sosonlinebackup.com\"><request>\
                     <Username xsi:type=\"xsd:string\">nobody</Username><LicenseProviderEntityId xsi:type=\"xsd:int\">42\
                     </LicenseProviderEntityId><LicenseType xsi:type=\"xsd:string\">SqlBackup</LicenseType></request>\
                     </ns7952:AssignLicense></SOAP-ENV:Body></SOAP-ENV:Envelope>",
                    auth_header("agent", PASSWORD)
                )
                .as_bytes(),
            ),
            Refused("InvalidInputParameters", "Username is missing."),
        ),
        (
            "WCF, wsHttpBinding: WS-Addressing that must be understood",
            post(
                "Content-Type: application/soap+xml; charset=utf-8\r\n",
                to_soap12(&message("nobody").replace(
                    "<soap:Header>",
                    "<soap:Header xmlns:a=\"http://www.w3.org/2005/08/addressing\"><a:Action soap:mustUnderstand=\"1\">\
                     sosonlinebackup.com/AssignLicense</a:Action><a:To soap:mustUnderstand=\"1\">http://x/</a:To>",
                ))
                .as_bytes(),
            ),
            Fault("MustUnderstand", "SOAP header Action was not understood."),
        ),
        (
            "a client with WS-Security in place of AuthHeader",
            post(
                &typed(SOAP11),
                envelope11(
                    "<wsse:Security xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\">\
                     <wsse:UsernameToken><wsse:Username>agent</wsse:Username></wsse:UsernameToken></wsse:Security>",
                    &format!("<AssignLicense xmlns=\"sosonlinebackup.com\"><request>{}</request></AssignLicense>", fields("nobody")),
                )
                .as_bytes(),
            ),
            Refused("InvalidSoapCredentials", ""),
        ),
    ]);
}

/// The original takes blanks and quotes of both kinds off a charset, and reads the message as if there were none where it
/// does not know the name. A real UTF-8 message must get through under all of these.
#[test]
fn charsets_as_scripts_write_them() {
    const CHARSETS: [(&str, &str); 12] = [
        ("charset='utf-8'", "single-ü"),
        ("charset=\"\"UTF-8\"\"", "twice-ü"),
        ("charset=", "empty-ü"),
        ("charset=\"\"", "empty-quotes-ü"),
        ("charset=utf-8'", "half-ü"),
        ("charset= utf-8 ", "blanks-ü"),
        ("charset=\" utf-8 \"", "blanks-inside-ü"),
        ("charset=utf8", "short-ü"),
        ("charset=UTF-8;", "semicolon-ü"),
        ("charset=unknown-8bit", "unknown-ü"),
        ("charset=utf-8, text/xml; charset=utf-8", "joined-ü"),
        ("charset=utf-8\r\nContent-Type: text/xml", "two-headers-ü"),
    ];
    let row = |(charset, username): (&'static str, &'static str)| {
        (charset, post(&typed(&format!("text/xml; {charset}")), message(username).as_bytes()), Takes(username))
    };
    let mut rows: Vec<_> = CHARSETS.into_iter().map(row).collect();
    rows.push((
        "IBM i: no charset, and the declaration names EBCDIC where none is",
        post(&typed("text/xml"), message("ibmi-2").replace("utf-8", "IBM037").as_bytes()),
        Takes("ibmi-2"),
    ));
    check(rows);
}

/// PowerShell 5.1 sends a text in Latin 1, whatever its XML declaration says: two people must not become one.
#[test]
fn names_that_cannot_be_read_are_refused() {
    let powershell = |username: &str, content_type: &str| post(&typed(content_type), &latin1(&message(username)));
    check(vec![
        ("Müller as text/xml", powershell("Müller", "text/xml"), Refused("InvalidInputParameters", "Username")),
        ("Möller as text/xml", powershell("Möller", "text/xml"), Refused("InvalidInputParameters", "Username")),
        ("Müller as UTF-8", powershell("Müller", SOAP11), Refused("InvalidInputParameters", "Username")),
        (
            "a program that wrote U+FFFD itself",
            post(&typed(SOAP11), message("M\u{fffd}ller").as_bytes()),
            Refused("InvalidInputParameters", "Username"),
        ),
        ("Müller as Latin 1", powershell("Müller", "text/xml; charset=iso-8859-1"), Takes("Müller")),
    ]);
}

/// Columns of a table with a fixed width, and cells of a spreadsheet.
#[test]
fn names_with_blanks_at_their_ends_are_the_same_names() {
    let padded = |username: &str| post(&typed(SOAP11), message(username).as_bytes());
    check(vec![
        ("blanks at the end", padded("backup01    "), Takes("backup01")),
        ("blanks at the beginning", padded("    backup01"), Refused("AlreadyExists", "'backup01'")),
        ("none", padded("backup01"), Refused("AlreadyExists", "'backup01'")),
        ("a blank that does not break", padded("backup01\u{a0}"), Refused("AlreadyExists", "'backup01'")),
        ("blanks only", padded("   "), Refused("InvalidInputParameters", "Username")),
    ]);
}

#[test]
fn what_the_original_forgives() {
    let with = |from: &str, to: &str, username: &str| {
        let good = message(username);
        assert!(good.contains(from), "no {from}");
        post(&typed(SOAP11), good.replacen(from, to, 1).as_bytes())
    };
    let auth_header = "<AuthHeader xmlns=\"sosonlinebackup.com\"";
    check(vec![
        ("C, strlen + 1", with("</soap:Envelope>", "</soap:Envelope>\0", "nul-ü"), Takes("nul-ü")),
        (
            "Python, mustUnderstand=\"True\"",
            with(auth_header, &format!("{auth_header} soap:mustUnderstand=\"True\""), "true-ü"),
            Takes("true-ü"),
        ),
        (
            "the same on a block that is unknown",
            with("<soap:Header>", "<soap:Header><x:Trace xmlns:x=\"urn:x\" soap:mustUnderstand=\"True\"/>", "trace-ü"),
            Takes("trace-ü"),
        ),
        (
            "two Headers, which were merged",
            with("<soap:Header>", "<soap:Header/><soap:Header>", "nobody"),
            Fault("Client", ""),
        ),
    ]);
}

#[test]
fn addresses_that_are_equivalent() {
    let to = |path: &str, username: &str| post_to(path, &typed(SOAP11), message(username).as_bytes());
    let spelt = |from: &str, to: &str| {
        assert!(PATH.contains(from), "no {from}");
        PATH.replacen(from, to, 1)
    };
    check(vec![
        ("a base address that ends in a slash", to(&format!("/{PATH}"), "slash-ü"), Takes("slash-ü")),
        ("doubled slashes inside", to(&spelt("/Account", "//Account"), "inside-ü"), Takes("inside-ü")),
        ("dot segments", to(&spelt("/Account", "/./x/../Account"), "dots-ü"), Takes("dots-ü")),
        ("letters escaped", to(&spelt("WebApi", "%57ebApi"), "escaped-ü"), Takes("escaped-ü")),
        ("the full stop escaped", to(&spelt(".asmx", "%2Easmx"), "stop-ü"), Takes("stop-ü")),
    ]);
}

#[test]
fn a_compressed_body() {
    let body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    check(vec![("gzip", post(&(typed(SOAP11) + "Content-Encoding: gzip\r\n"), body), Http(415))]);
}

/// Users of these toolkits would look for a wrong password.
#[test]
fn an_auth_header_that_got_lost() {
    let header = auth_header("agent", PASSWORD);
    let without = |to: &str| post(&typed(SOAP11), message("nobody").replace(&header, to).as_bytes());
    check(vec![
        ("no AuthHeader", without(""), Refused("InvalidSoapCredentials", "AuthHeader is missing")),
        (
            "strong-soap, NuSOAP and pysimplesoap with a bare name",
            without(&header.replace(" xmlns=\"sosonlinebackup.com\"", "")),
            Refused("InvalidSoapCredentials", "namespace"),
        ),
        (
            "fields as attributes",
            without("<AuthHeader xmlns=\"sosonlinebackup.com\" UserName=\"agent\" Password=\"x\"/>"),
            Refused("InvalidSoapCredentials", "UserName"),
        ),
    ]);
}
