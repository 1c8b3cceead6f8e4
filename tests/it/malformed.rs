//! What is XML and what is not. Anything that is not well-formed XML 1.0 with namespaces is answered with 400, as the
//! service clients know does, and a text that says what is wrong and where; anything that is well-formed is read, however
//! unusual it looks. `parsers` asks other parsers about thousands of damaged messages.

use seatkeeper::soap::encoding;
use seatkeeper::soap::envelope::{self, Limits, ReadError};

use crate::harness::*;

/// A message whose Body holds `inner`.
fn around(inner: &str) -> String {
    format!("<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body>{inner}</e:Body></e:Envelope>")
}

/// Documents that are not well-formed, each with what is wrong about it.
fn malformed() -> Vec<(&'static str, String)> {
    let good = around("<a/>");
    let documents = [
        ("nothing", String::new()),
        ("white space", " \r\n\t".to_owned()),
        ("text", "hello".to_owned()),
        ("a comment only", "<!-- a -->".to_owned()),
        ("a declaration only", "<?xml version=\"1.0\"?>".to_owned()),
        ("JSON", "{\"jsonrpc\": \"2.0\"}".to_owned()),
        ("a form", "a=b&c=d".to_owned()),
        ("HTML", "<html><p>a<br></p></html>".to_owned()),
        ("an unclosed root", good.replace("</e:Envelope>", "")),
        ("an unclosed tag", good.replace("</e:Envelope>", "</e:Envelope")),
        ("two roots", format!("{good}{good}")),
        ("an empty element behind the root", format!("{good}<a/>")),
        ("text behind the root", format!("{good}x")),
        ("text before the root", format!("x{good}")),
        ("a reference behind the root", format!("{good}&#32;")),
        ("CDATA behind the root", format!("{good}<![CDATA[]]>")),
        ("no-break space behind the root", format!("{good}\u{A0}")),
        ("an end tag behind the root", format!("{good}</a>")),
        ("white space before the declaration", format!(" <?xml version=\"1.0\"?>{good}")),
        ("a comment before the declaration", format!("<!-- a --><?xml version=\"1.0\"?>{good}")),
        ("a second declaration", format!("<?xml version=\"1.0\"?><?xml version=\"1.0\"?>{good}")),
        ("a declaration behind the root", format!("{good}<?xml version=\"1.0\"?>")),
        ("a second byte order mark", format!("\u{FEFF}\u{FEFF}{good}")),
        ("NUL before the root", format!("\u{0}{good}")),
        ("NUL behind the root, and something behind that", format!("{good}\u{0}<!-- a -->")),
        ("NUL in place of the last byte", format!("{}\u{0}", &good[..good.len() - 1])),
        ("NUL in an end tag", good.replace("</e:Envelope>", "</e:Envelope\u{0}>")),
        ("U+001A behind the root, as DOS ends a file", format!("{good}\u{1A}")),
    ];
    let declarations = [
        ("version 1.1", "<?xml version=\"1.1\"?>"),
        ("version 2.0", "<?xml version='2.0'?>"),
        ("no version", "<?xml encoding=\"utf-8\"?>"),
        ("an empty declaration", "<?xml?>"),
        ("the encoding first", "<?xml encoding=\"utf-8\" version=\"1.0\"?>"),
        ("an encoding that is no name", "<?xml version=\"1.0\" encoding=\"utf 8\"?>"),
        ("standalone=\"maybe\"", "<?xml version=\"1.0\" standalone=\"maybe\"?>"),
        ("standalone before encoding", "<?xml version=\"1.0\" standalone=\"no\" encoding=\"utf-8\"?>"),
        ("the version twice", "<?xml version=\"1.0\" version=\"1.0\"?>"),
        ("something else", "<?xml version=\"1.0\" a=\"b\"?>"),
        ("no white space", "<?xml version=\"1.0\"encoding=\"utf-8\"?>"),
        ("no quotes", "<?xml version=1.0?>"),
        ("upper case", "<?XML version=\"1.0\"?>"),
        ("an internal subset", "<!DOCTYPE a [<!ELEMENT a ANY>]>"),
        ("a DTD by name only", "<!DOCTYPE e:Envelope>"),
        ("an external DTD", "<!DOCTYPE a SYSTEM \"http://127.0.0.1:1/a.dtd\">"),
        ("a public DTD", "<!DOCTYPE a PUBLIC \"-//A//B\" \"file:///etc/hostname\">"),
        ("an external entity", "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>"),
        ("a parameter entity", "<!DOCTYPE a [<!ENTITY % x SYSTEM \"http://127.0.0.1:1/x\">%x;]>"),
        ("a DTD in lower case", "<!doctype a>"),
        ("an entity declaration outside a DTD", "<!ENTITY a \"b\">"),
    ];
    let bodies = [
        ("']]>' in text", "<a>]]></a>"),
        ("'<' in an attribute value", "<a b=\"<\"/>"),
        ("'&' alone", "<a>a & b</a>"),
        ("'&' in an attribute value", "<a b=\"a&b\"/>"),
        ("NUL", "<a>\u{0}</a>"),
        ("U+0001", "<a>\u{1}</a>"),
        ("a form feed between attributes", "<a\u{C}b=\"\"/>"),
        ("U+001F in an attribute value", "<a b=\"\u{1F}\"/>"),
        ("escape in a comment", "<!-- \u{1B} -->"),
        ("U+FFFE", "<a>\u{FFFE}</a>"),
        ("U+FFFF in CDATA", "<![CDATA[\u{FFFF}]]>"),
        ("a reference to NUL", "<a>&#0;</a>"),
        ("a reference to U+0001", "<a>&#1;</a>"),
        ("a reference to U+000B in an attribute value", "<a b=\"&#xB;\"/>"),
        ("a reference to U+FFFE", "<a>&#xFFFE;</a>"),
        ("a reference to a surrogate", "<a>&#xD800;</a>"),
        ("references to a pair of surrogates", "<a>&#xD83D;&#xDE00;</a>"),
        ("a reference beyond Unicode", "<a>&#x110000;</a>"),
        ("a reference beyond 32 bits", "<a>&#99999999999999999999;</a>"),
        ("a reference with a sign", "<a>&#+65;</a>"),
        ("a reference with a space", "<a>&# 65;</a>"),
        ("a reference without digits", "<a>&#;</a>"),
        ("a hexadecimal reference without digits", "<a>&#x;</a>"),
        ("a hexadecimal reference with X", "<a>&#X41;</a>"),
        ("a reference without its semicolon", "<a>&#65</a>"),
        ("an entity of HTML", "<a>&nbsp;</a>"),
        ("an entity of HTML in an attribute value", "<a b=\"&eacute;\"/>"),
        ("a predefined entity in upper case", "<a>&AMP;</a>"),
        ("an entity without a name", "<a>&;</a>"),
        ("a name that begins with a digit", "<1a/>"),
        ("a name that begins with a hyphen", "<-a/>"),
        ("a name with a sign that is no letter", "<a×/>"),
        ("a name with bytes that are no character", "<a\u{FFFD}/>"),
        ("two colons", "<e:b:c/>"),
        ("a colon first", "<:a/>"),
        ("a colon last", "<e:/>"),
        ("an attribute name with two colons", "<a e:b:c=\"\"/>"),
        ("an attribute name that begins with a digit", "<a 1=\"\"/>"),
        ("a space before the name", "< a/>"),
        ("a space in an end tag", "<a></ a>"),
        ("an attribute on an end tag", "<a></a b=\"\">"),
        ("a space in '/>'", "<a / >"),
        ("no name", "<>"),
        ("mismatched tags", "<a></b>"),
        ("tags in the wrong order", "<a><b></a></b>"),
        ("tags that differ in case", "<a></A>"),
        ("tags that differ in prefix", "<a xmlns:p=\"urn:a\" xmlns:q=\"urn:a\"><p:b></q:b></a>"),
        ("an undeclared element prefix", "<p:a/>"),
        ("an undeclared attribute prefix", "<a p:b=\"\"/>"),
        ("a prefix out of its scope", "<a><b xmlns:p=\"urn:a\"/><p:c/></a>"),
        ("an undeclared prefix on a declaration", "<a p:xmlns=\"urn:a\"/>"),
        ("a prefix bound to nothing", "<a xmlns:p=\"\"/>"),
        ("the xml prefix bound to another namespace", "<a xmlns:xml=\"urn:a\"/>"),
        ("another prefix bound to xml's namespace", "<a xmlns:p=\"http://www.w3.org/XML/1998/namespace\"/>"),
        ("xml's namespace as the default", "<a xmlns=\"http://www.w3.org/XML/1998/namespace\"/>"),
        ("the xmlns prefix declared", "<a xmlns:xmlns=\"urn:a\"/>"),
        ("another prefix bound to xmlns's namespace", "<a xmlns:p=\"http://www.w3.org/2000/xmlns/\"/>"),
        ("xmlns's namespace as the default", "<a xmlns=\"http://www.w3.org/2000/xmlns/\"/>"),
        ("xmlns as an element's prefix", "<xmlns:a/>"),
        ("a declaration without a prefix", "<a xmlns:=\"urn:a\"/>"),
        ("an attribute twice", "<a b=\"\" b=\"\"/>"),
        ("an attribute twice by two prefixes", "<a xmlns:p=\"urn:a\" xmlns:q=\"urn:a\" p:b=\"\" q:b=\"\"/>"),
        (
            "an attribute twice by two spellings of a namespace",
            "<a xmlns:p=\"urn:a\" xmlns:q=\"urn:&#97;\" p:b=\"\" q:b=\"\"/>",
        ),
        ("a prefix declared twice", "<a xmlns:p=\"urn:a\" xmlns:p=\"urn:b\"/>"),
        ("the default namespace declared twice", "<a xmlns=\"urn:a\" xmlns='urn:a'/>"),
        ("no white space between attributes", "<a b=\"\"c=\"\"/>"),
        ("an attribute without a value", "<a b/>"),
        ("an attribute value without quotes", "<a b=c/>"),
        ("an attribute value with two kinds of quotes", "<a b=\"c'/>"),
        ("an attribute without a name", "<a =\"\"/>"),
        ("'--' in a comment", "<!-- a -- b -->"),
        ("'--->' at the end of a comment", "<!-- a --->"),
        ("a comment of two hyphens and a bit", "<!-->"),
        ("an unclosed comment", "<!-- a"),
        ("an unclosed processing instruction", "<?a b"),
        ("an unclosed CDATA section", "<![CDATA[a]]"),
        ("CDATA in lower case", "<![cdata[a]]>"),
        ("a declaration in the middle", "<?xml version=\"1.0\"?>"),
        ("a processing instruction named XmL", "<?XmL a?>"),
        ("a processing instruction without a name", "<? a?>"),
        ("a processing instruction named 1", "<?1?>"),
        ("a processing instruction with a colon", "<?a:b c?>"),
        ("a DTD in the middle", "<!DOCTYPE a>"),
        ("an element declaration", "<!ELEMENT a ANY>"),
        ("'<!'", "<!>"),
    ];
    let entities: String =
        (1..10).map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))).collect();
    let laughs = format!("<!DOCTYPE a [<!ENTITY e0 \"ha\">{entities}]>{}", around("<a>&e9;</a>"));
    let blowup = format!(
        "<!DOCTYPE a [<!ENTITY e \"{}\">]>{}",
        "x".repeat(50_000),
        around(&format!("<a>{}</a>", "&e;".repeat(50_000)))
    );
    documents
        .into_iter()
        .chain(declarations.map(|(name, declaration)| (name, format!("{declaration}{good}"))))
        .chain(bodies.map(|(name, body)| (name, around(body))))
        .chain([("a billion laughs", laughs), ("quadratic blowup", blowup)])
        .collect()
}

#[test]
fn what_is_not_well_formed_gets_400_with_line_and_column() {
    let server = Server::start();
    let mut client = server.connect();
    for (name, document) in malformed() {
        let text = encoding::decode(document.as_bytes(), Some("utf-8"));
        let read = envelope::read(&text, &Limits::default());
        let Err(error @ ReadError::Malformed { .. }) = read else { panic!("{name}: {read:?}\n{document}") };
        let told = format!("The message is {error}.\n");
        assert!(told.starts_with("The message is not well-formed XML: line "), "{told}");

        for content_type in ["text/xml; charset=utf-8", "application/soap+xml; charset=utf-8"] {
            let request = post(&format!("Content-Type: {content_type}\r\n{ACTION}"), document.as_bytes());
            let answer = client.send(&request);
            let seen = (answer.status, answer.header("content-type"), &*answer.body);
            assert_eq!(seen, (400, Some("text/plain; charset=utf-8"), &*told), "{name}\n{document}");
        }
    }
    // The connection has lived through all of it.
    assert_eq!(
        client.send(&post11(&assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup"))).code(),
        "Success"
    );
}

#[test]
fn what_is_malformed_is_told_with_its_place_and_in_plain_words() {
    let lines = |last: &str| format!("<a>\n  <b/>\n  {last}");
    for (document, told) in [
        (lines("</b></a>"), "line 3, column 3: expected '</a>', but '</b>' was found"),
        (lines("<c></a>"), "line 3, column 6: expected '</c>', but '</a>' was found"),
        (lines("é<c d=1/></a>"), "line 3, column 4: an attribute value without its quotes"),
        (lines("<c d='1' d='2'/></a>"), "line 3, column 3: attribute 'd' twice"),
        (lines("<p:c/></a>"), "line 3, column 3: prefix 'p' is not declared"),
        (lines("<1/></a>"), "line 3, column 3: '1' is not a name"),
        (lines("\n\n x ]]></a>"), "line 5, column 4: ']]>' in text"),
        (lines("&nbsp;</a>"), "line 3, column 3: entity 'nbsp' is not defined"),
        (lines("&#1;</a>"), "line 3, column 3: a reference to character U+0001, which is not allowed in XML"),
        (lines("<c d='&nbsp;'/></a>"), "line 3, column 3: at 1..5: unrecognized entity 'nbsp'"),
        (lines("x\u{0}</a>"), "line 3, column 4: character U+0000 is not allowed in XML"),
        (lines("<!-- x"), "line 3, column 3: comment not closed: '-->' not found before end of input"),
        (lines("<c d='"), "line 3, column 3: attribute value not closed: ''' not found before end of input"),
        (lines("<c"), "line 3, column 3: tag not closed: '>' not found before end of input"),
        (lines("<c>"), "line 3, column 6: element 'c' is not closed"),
        (lines("</a>\n \nx"), "line 5, column 1: text outside the root element"),
        (lines("</a>\n<b/>"), "line 4, column 1: a second root element"),
        ("<!DOCTYPE a><a/>".to_owned(), "line 1, column 1: a document type declaration is not allowed"),
        ("hello".to_owned(), "line 1, column 1: text outside the root element"),
        (String::new(), "line 1, column 1: it is empty, there is no root element"),
        ("<?xml version='1.1'?>\n<a/>".to_owned(), "line 1, column 1: XML version 1.1"),
        ("\n<?xml version='1.0'?><a/>".to_owned(), "line 2, column 1: an XML declaration that is not at the beginning"),
    ] {
        let error = envelope::read(&document, &Limits::default()).expect_err("not well-formed").to_string();
        assert_eq!(error, format!("not well-formed XML: {told}"), "{document}");
    }
    // A name can be as long as a message.
    let long = "x".repeat(100_000);
    for document in
        [format!("<{long}></a>"), format!("<{long}:{long}:{long}/>"), format!("<a>&{long};</a>"), format!("<{long}")]
    {
        let error = envelope::read(&document, &Limits::default()).expect_err("not well-formed").to_string();
        assert!(error.chars().count() < 300, "{} characters", error.chars().count());
    }
}

/// Ways to write one and the same call, as replacements in the plain one.
const WELL_FORMED: &[(&str, &[(&str, &str)])] = &[
    ("as it is", &[]),
    ("no declaration", &[("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n", "")]),
    ("white space first, then", &[("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n", "\r\n\t ")]),
    ("a declaration in single quotes", &[("version=\"1.0\" encoding=\"utf-8\"", "version = '1.0'  standalone='yes' ")]),
    ("an encoding that the Content-Type overrules", &[("encoding=\"utf-8\"", "encoding=\"iso-8859-1\"")]),
    ("a byte order mark", &[("<?xml ", "\u{FEFF}<?xml ")]),
    ("a comment before the root", &[("<soap:Envelope", "<!-- a - b --><soap:Envelope")]),
    ("a style sheet", &[("<soap:Envelope", "<?xml-stylesheet href=\"a\"?>\n<soap:Envelope")]),
    ("comment, instruction and white space behind", &[("</soap:Envelope>", "</soap:Envelope>\n<!---->\r\n<?a?> ")]),
    ("CR LF and tabs between elements", &[("><", ">\r\n\t<")]),
    ("CR alone between elements", &[("><", ">\r<")]),
    ("comments everywhere", &[("><", "><!-- <&]]> --><")]),
    ("instructions everywhere", &[("><", "><?a <&]]> ?><")]),
    ("CDATA everywhere", &[("><", "><![CDATA[]]><")]),
    ("a comment in a value", &[("backup01", "back<!-- -->up01")]),
    ("an instruction in a value", &[("backup01", "back<?a b?>up01")]),
    ("a value in CDATA", &[("backup01", "<![CDATA[backup01]]>")]),
    ("a value half in CDATA", &[("backup01", "ba<![CDATA[ckup]]>0<![CDATA[1]]>")]),
    ("a decimal reference", &[("backup01", "back&#117;p01")]),
    ("a hexadecimal reference", &[("backup01", "backu&#x000070;01")]),
    ("references in a row", &[("backup01", "&#98;&#97;&#99;k&#x75;&#x70;01")]),
    ("a number in references", &[(">42<", ">&#52;2<")]),
    ("another prefix", &[("soap:", "s:"), ("xmlns:soap", "xmlns:s")]),
    ("a prefix that is barely a name", &[("soap:", "_é.-9名:"), ("xmlns:soap", "xmlns:_é.-9名")]),
    ("a prefix that looks like xml", &[("soap:", "XMLNS:"), ("xmlns:soap", "xmlns:XMLNS")]),
    ("the envelope in the default namespace", &[("soap:", ""), ("xmlns:soap", "xmlns")]),
    (
        "our elements by prefix",
        &[
            ("<AssignLicense xmlns=", "<v:AssignLicense xmlns:v="),
            ("</AssignLicense>", "</v:AssignLicense>"),
            ("<request", "<v:request"),
            ("</request", "</v:request"),
            ("<Username", "<v:Username"),
            ("</Username", "</v:Username"),
            ("<LicenseProviderEntityId", "<v:LicenseProviderEntityId"),
            ("</LicenseProviderEntityId", "</v:LicenseProviderEntityId"),
            ("<LicenseType", "<v:LicenseType"),
            ("</LicenseType", "</v:LicenseType"),
        ],
    ),
    ("a prefix redeclared inside", &[("<request>", "<request xmlns:soap=\"urn:a\"><soap:Body/>")]),
    (
        "a prefix redeclared to the same",
        &[("<Username>", "<Username xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'>")],
    ),
    ("the default namespace redeclared", &[("<Username>", "<x xmlns=\"urn:a\"><Username>x</Username></x><Username>")]),
    ("the default namespace taken back", &[("<Username>", "<Username xmlns=\"\">x</Username><Username>")]),
    ("a reference in a namespace name", &[("\"sosonlinebackup.com\"", "\"sosonline&#98;ackup.com\"")]),
    ("the xml prefix declared", &[("<request>", "<request xmlns:xml=\"http://www.w3.org/XML/1998/namespace\">")]),
    ("attributes of the xml prefix", &[("<request>", "<request xml:lang=\"en\" xml:space='preserve'>")]),
    ("attributes in single quotes", &[("\"", "'")]),
    ("quotes in attributes", &[("<request>", "<request a='\"' b=\"'\" c=\"&quot;&apos;\">")]),
    ("'>' in text and attributes", &[("<request>", "<request a=\">\">> ]] ]]&gt; ")]),
    ("white space in tags", &[("<request>", "<request\r\n a\t=\n\"\"\t>"), ("</request>", "</request\r\n>")]),
    ("an attribute of two namespaces", &[("<request>", "<request a=\"\" soap:a=\"\" xsi:a=\"\">")]),
    (
        "xsi:type",
        &[
            ("<Username>", "<Username xsi:type=\"xsd:string\">"),
            ("<LicenseProviderEntityId>", "<LicenseProviderEntityId xsi:type=\"xsd:int\">"),
        ],
    ),
    (
        "encodingStyle",
        &[("<soap:Body>", "<soap:Body soap:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\">")],
    ),
    ("xsi:nil=\"false\"", &[("<Username>", "<Username xsi:nil=\"false\">")]),
    ("unknown elements", &[("<Username>", "<Unknown>1</Unknown><Username>"), ("</request>", "<größe/></request>")]),
    ("unknown elements in the password's block", &[("<UserName>", "<Other><Password>x</Password></Other><UserName>")]),
    (
        "an unknown header block",
        &[("<soap:Header>", "<soap:Header><a xmlns=\"urn:a\" soap:mustUnderstand=\"0\">b</a>")],
    ),
    ("the first of two values", &[("</Username>", "</Username><Username>other</Username>")]),
    (
        "the fields in another order",
        &[("<Username>backup01</Username>", ""), ("</LicenseType>", "</LicenseType><Username>backup01</Username>")],
    ),
    (
        "the credentials in another order",
        &[("<UserName>agent</UserName>", ""), ("</Password>", "</Password><UserName>agent</UserName>")],
    ),
    ("a line break around a number", &[(">42<", ">\r\n 42\t<")]),
    ("another element behind ours", &[("</soap:Body>", "<other/></soap:Body>")]),
    // C programs send their strings with the NUL at the end.
    ("NUL behind", &[("</soap:Envelope>", "</soap:Envelope>\u{0}")]),
    ("NULs and white space behind", &[("</soap:Envelope>", "</soap:Envelope>\r\n\u{0}\u{0} \n\u{0}\t")]),
    ("NUL behind a comment", &[("</soap:Envelope>", "</soap:Envelope><!-- -->\u{0}")]),
    ("a NUL for every byte of a buffer", &[("</soap:Envelope>", NULS)]),
    ("a mandatory block that is ours", &[("<AuthHeader ", "<AuthHeader soap:mustUnderstand=\"1\" ")]),
    ("mustUnderstand as Python writes booleans", &[("<AuthHeader ", "<AuthHeader soap:mustUnderstand=\"True\" ")]),
    ("the first of two fields of the credentials", &[("</Password>", "</Password><Password>x</Password>")]),
    ("the first of two blocks with credentials", &[("</soap:Header>", SECOND_AUTH_HEADER)]),
];

#[test]
fn what_is_well_formed_is_read_however_it_looks() {
    let server = Server::start();
    let mut client = server.connect();
    let plain = assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup");
    assert_eq!(client.send(&post11(&plain)).code(), "Success");
    for (name, replacements) in WELL_FORMED {
        let mut message = plain.clone();
        for (from, to) in *replacements {
            assert!(message.contains(from), "{name}: {from} is not in the message");
            message = message.replace(from, to);
        }
        for request in [post11(&message), post12(&to_soap12(&message))] {
            let answer = client.send(&request);
            // Only who read all of the message can say this.
            let expected = "'backup01' already holds a SqlBackup license";
            assert!(answer.message().contains(expected), "{name}: {answer:?}\n{message}");
        }
    }
}

const NULS: &str = concat!("</soap:Envelope>", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

const SECOND_AUTH_HEADER: &str = "<AuthHeader xmlns=\"sosonlinebackup.com\"><UserName>x</UserName><Password>y</Password>\
    </AuthHeader></soap:Header>";

#[test]
fn deep_but_not_too_deep_is_read() {
    let server = Server::start();
    // Envelope, Header and Body are three of the levels.
    let deep = format!("{}{}", "<a>".repeat(30), "</a>".repeat(30));
    let message = assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup");
    let message = message.replace("<soap:Header>", &format!("<soap:Header>{deep}"));
    assert_eq!(server.post11(&message).code(), "Success");
}

#[test]
fn bytes_that_are_no_character_are_read_as_the_replacement_character() {
    // As .NET reads them: the message is well-formed, and the value is refused.
    let server = Server::start();
    let mut message = assign_envelope("agent", PASSWORD, "backup?", 42, "SqlBackup").into_bytes();
    let at = message.iter().rposition(|b| *b == b'?').expect("the user name");
    message[at] = 0xFF;
    let request = post(&format!("Content-Type: text/xml; charset=utf-8\r\n{ACTION}"), &message);
    let answer = server.send(&request);
    assert_eq!((answer.status, answer.code().as_str()), (200, "InvalidInputParameters"));
    assert!(answer.message().contains("Username contains U+FFFD"), "{answer:?}");
}

/// The parser quotes with backticks, and people read the reasons.
#[test]
fn reasons_have_no_marks_of_the_parser() {
    let server = Server::start();
    for document in
        ["<a>&#xD800;</a>", "<a>&#x110000;</a>", "<a>&#x;</a>", "<a b='&#xD800;'/>", "<a>&b;</a>", "<a></b>", "<a b/>"]
    {
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{document}",
            document.len()
        );
        let answer = server.send(request.as_bytes());
        assert_eq!(answer.status, 400, "{document}: {answer:?}");
        assert!(!answer.body.contains('`') && answer.body.contains("line 1, column"), "{document}: {answer:?}");
    }
}
