//! Names that callers give their calls, so that a retry gets the answer of the first try: where a request has its name, and which
//! requests are the same.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::record::{Record, Value};
use crate::seats::{CALL_NAME_CHARS_MAX, NameFault, is_undecoded};
use crate::service::CallContext;
use crate::soap::envelope::Element;
use crate::store::{CallName, NameSource};

/// The HTTP header for a name, on every surface: draft-ietf-httpapi-idempotency-key-header.
pub const IDEMPOTENCY_KEY: &str = NameSource::IdempotencyKey.header();
/// The SOAP header block for a name: in the namespace of the service, or in none.
pub const REQUEST_ID: &str = NameSource::RequestId.header();
/// WS-Addressing, of 2004 and of 2005: both are in use.
const ADDRESSING: [&str; 2] =
    ["http://schemas.xmlsoap.org/ws/2004/08/addressing", "http://www.w3.org/2005/08/addressing"];

/// For people, in documents of the Web API.
pub const ABOUT: &str = "Names the call, to make a retry safe: under the same name, with the same request, it gets the answer of the first try.";
/// For people, on pages of SOAP services.
pub const ABOUT_SOAP: &str = "To make a retry safe, name the call: in the HTTP header Idempotency-Key, or in a header block RequestId. \
    A retry under the same name, with the same request, gets the answer of the first try.";

/// A name as the caller sent it.
#[derive(Debug, PartialEq, Eq)]
pub struct SentName {
    source: NameSource,
    text: Result<String, NameFault>,
}

/// Whether a header block holds a name. `is_own`: whether a namespace is of the service.
pub fn is_block(block: &Element, is_own: impl Fn(&str) -> bool) -> bool {
    source_of(block, is_own).is_some()
}

fn source_of(block: &Element, is_own: impl Fn(&str) -> bool) -> Option<NameSource> {
    let namespace = &*block.namespace;
    match block.name.as_str() {
        "RequestId" if namespace.is_empty() || is_own(namespace) => Some(NameSource::RequestId),
        "MessageID" if ADDRESSING.contains(&namespace) => Some(NameSource::MessageId),
        _ => None,
    }
}

impl SentName {
    /// The name in a request: an Idempotency-Key, or else the first RequestId, or else the first MessageID. `values`: of the header
    /// Idempotency-Key.
    pub fn of_request<'r>(
        values: impl IntoIterator<Item = &'r [u8]>,
        blocks: impl IntoIterator<Item = &'r Element>,
        is_own: impl Fn(&str) -> bool,
    ) -> Option<SentName> {
        let mut values = values.into_iter();
        if let Some(value) = values.next() {
            let text = if values.next().is_some() { Err(NameFault::Several) } else { of_header(value) };
            return Some(SentName { source: NameSource::IdempotencyKey, text });
        }
        let mut found: Option<SentName> = None;
        for block in blocks {
            let Some(source) = source_of(block, &is_own) else { continue };
            // A RequestId takes precedence over any MessageID.
            let is_wanted = found.as_ref().is_none_or(|found| source.is_deliberate() && !found.source.is_deliberate());
            if !is_wanted || block.is_nil() {
                continue;
            }
            let text =
                if block.children.is_empty() { checked(block.text.trim()) } else { Err(NameFault::NotPrintable) };
            // Toolkits send MessageID by themselves, so one that cannot be a name is ignored.
            if source.is_deliberate() || text.is_ok() {
                found = Some(SentName { source, text });
            }
        }
        found
    }
}

/// Gives a call the name that its caller sent, if there is one. `scope`: within it, one name is one call; a retry may take
/// another surface of the same scope. `arguments`: `None`: the message held no request.
pub fn name_call(
    context: &mut CallContext,
    sent: Option<SentName>,
    scope: &str,
    operation: &'static str,
    arguments: Option<&Record>,
) {
    if let Some(SentName { source, text }) = sent {
        let request_hash = request_hash(scope, operation, arguments);
        context.name = Some(Arc::new(CallName::new(source, text, operation, request_hash)));
    }
}

fn checked(text: &str) -> Result<String, NameFault> {
    if text.is_empty() {
        Err(NameFault::Empty)
    } else if text.chars().count() > CALL_NAME_CHARS_MAX {
        Err(NameFault::TooLong)
    } else if text.chars().any(char::is_control) || is_undecoded(text) || text.contains(['\u{FFFE}', '\u{FFFF}']) {
        Err(NameFault::NotPrintable)
    } else {
        Ok(text.to_owned())
    }
}

/// A string of RFC 9651 §3.3.3, whose parameters are ignored; or a word without quotes, as most clients send it.
fn of_header(value: &[u8]) -> Result<String, NameFault> {
    let value = value.trim_ascii();
    if value.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
        return Err(NameFault::NotPrintable);
    }
    let value: String = value.iter().map(|byte| char::from(*byte)).collect();
    let Some(quoted) = value.strip_prefix('"') else {
        return match value.chars().find(|c| " \",;\\".contains(*c)) {
            // A proxy joined two headers.
            Some(',') => Err(NameFault::Several),
            Some(_) => Err(NameFault::NotAString),
            None => checked(&value),
        };
    };
    let (mut text, mut rest) = (String::new(), quoted.chars());
    loop {
        match rest.next() {
            Some('"') => break,
            Some('\\') => match rest.next() {
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                _ => return Err(NameFault::NotAString),
            },
            Some(c) => text.push(c),
            None => return Err(NameFault::NotAString),
        }
    }
    match rest.as_str().trim_start().chars().next() {
        None | Some(';') => checked(&text),
        Some(',') => Err(NameFault::Several),
        Some(_) => Err(NameFault::NotAString),
    }
}

/// The hash that identical requests share: of the operation and its decoded arguments, not of the bytes. Fields that were not
/// sent are left out, so that a request stays the same when a version adds fields.
fn request_hash(service: &str, operation: &str, arguments: Option<&Record>) -> [u8; 32] {
    let mut hash = Encoder(Sha256::new());
    hash.text(service);
    hash.text(operation);
    match arguments {
        Some(arguments) => hash.record(arguments),
        None => hash.tag(b'-'),
    }
    hash.0.finalize().into()
}

/// Feeds a hash with values so that different values give different bytes: each has a tag for its kind, and a value of variable
/// length has its length in front.
struct Encoder(Sha256);

impl Encoder {
    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    fn length(&mut self, length: usize) {
        self.0.update((length as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.update(bytes);
    }

    fn list<T>(&mut self, tag: u8, items: &[T], item: impl Fn(&mut Encoder, &T)) {
        self.tag(tag);
        self.length(items.len());
        items.iter().for_each(|value| item(self, value));
    }

    fn record(&mut self, record: &Record) {
        self.tag(b'R');
        self.length(record.fields().filter(|(_, value)| value.is_some()).count());
        for (field, value) in record.fields() {
            if let Some(value) = value {
                self.text(field.name);
                self.value(value);
            }
        }
    }

    fn value(&mut self, value: &Value) {
        let mut simple = |tag: u8, text: &str| {
            self.tag(tag);
            self.text(text);
        };
        match value {
            Value::String(text) => simple(b'S', text),
            Value::DateTime(text) => simple(b'D', text),
            Value::Enumeration(name) => simple(b'E', name),
            Value::Int(number) => simple(b'I', &number.to_string()),
            Value::Boolean(value) => simple(b'B', if *value { "1" } else { "0" }),
            Value::NullableDateTime(time) => simple(b'T', &time.map(|time| time.to_string()).unwrap_or_default()),
            Value::Base64(bytes) => {
                self.tag(b'X');
                self.bytes(bytes);
            }
            Value::Record(record) => self.record(record),
            Value::Array(records) => self.list(b'A', records, |hash, record| hash.record(record)),
            Value::Strings(texts) => self.list(b's', texts, |hash, text| hash.text(text)),
            Value::Ints(numbers) => self.list(b'i', numbers, |hash, number| hash.text(&number.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ComplexType, Field, Kind};

    #[test]
    fn header_values() {
        use NameFault::{Empty, NotAString, NotPrintable, Several, TooLong};
        let (fits, longer) = ("n".repeat(255), "n".repeat(256));
        for (value, expected) in [
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", Ok("8e03978e-40d5-43dd-bc93-6894a57f9324")),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", Ok("8e03978e-40d5-43dd-bc93-6894a57f9324")),
            (" \" a b \" ", Ok(" a b ")),
            ("\"a\\\"b\\\\c\"", Ok("a\"b\\c")),
            ("\"a\"; x=1", Ok("a")),
            ("\"a,b\"", Ok("a,b")),
            ("urn:a/b=c?d#{e}", Ok("urn:a/b=c?d#{e}")),
            (&fits, Ok(&fits)),
            (&longer, Err(TooLong)),
            (&format!("\"{longer}\""), Err(TooLong)),
            ("", Err(Empty)),
            ("  ", Err(Empty)),
            ("\"\"", Err(Empty)),
            ("\"a", Err(NotAString)),
            ("\"a\\b\"", Err(NotAString)),
            ("\"a\\", Err(NotAString)),
            ("\"a\"b", Err(NotAString)),
            ("\"a\", \"b\"", Err(Several)),
            ("a, b", Err(Several)),
            ("a b", Err(NotAString)),
            ("a;b=1", Err(NotAString)),
            ("a\"b\"", Err(NotAString)),
            ("a\\b", Err(NotAString)),
            ("a\tb", Err(NotPrintable)),
            ("größe", Err(NotPrintable)),
        ] {
            assert_eq!(of_header(value.as_bytes()), expected.map(str::to_owned), "{value:?}");
        }
        assert_eq!(of_header(b"\xFF"), Err(NotPrintable));
    }

    fn block(namespace: &str, name: &str, text: &str) -> Element {
        Element { namespace: namespace.into(), name: name.to_owned(), text: text.to_owned(), ..Element::default() }
    }

    #[test]
    fn where_a_name_is_looked_for() {
        let [old, new] = ADDRESSING;
        let long = "ä".repeat(256);
        let found = |values: &[&str], blocks: &[Element]| {
            let name = SentName::of_request(values.iter().map(|v| v.as_bytes()), blocks, |n| n == "urn:own");
            name.map(|name| (name.source.header(), name.text))
        };
        let named = |header, text: &str| Some((header, Ok(text.to_owned())));
        for (values, blocks, expected) in [
            (&[][..], vec![], None),
            (&[], vec![block("urn:own", "RequestId", " a\n")], named("RequestId", "a")),
            (&[], vec![block("", "RequestId", "größe")], named("RequestId", "größe")),
            (&[], vec![block("urn:other", "RequestId", "a")], None),
            (&[], vec![block("urn:own", "RequestID", "a")], None),
            (&[], vec![block(old, "MessageID", "urn:uuid:1")], named("MessageID", "urn:uuid:1")),
            (&[], vec![block(new, "MessageID", "\nurn:uuid:1 ")], named("MessageID", "urn:uuid:1")),
            (&[], vec![block("", "MessageID", "urn:uuid:1")], None),
            (&[], vec![block("urn:own", "MessageID", "urn:uuid:1")], None),
            // A name from the developer takes precedence over one from a toolkit.
            (&[], vec![block(new, "MessageID", "m"), block("", "RequestId", "r")], named("RequestId", "r")),
            (&[], vec![block("", "RequestId", "r"), block(new, "MessageID", "m")], named("RequestId", "r")),
            (&["k"], vec![block("", "RequestId", "r")], named("Idempotency-Key", "k")),
            // The first of several blocks counts; several headers are invalid.
            (&[], vec![block("", "RequestId", "1"), block("urn:own", "RequestId", "2")], named("RequestId", "1")),
            (&[], vec![block(new, "MessageID", "1"), block(old, "MessageID", "2")], named("MessageID", "1")),
            (&["a", "a"], vec![], Some(("Idempotency-Key", Err(NameFault::Several)))),
            // Invalid names: refused if the developer sent them.
            (&[], vec![block("", "RequestId", " ")], Some(("RequestId", Err(NameFault::Empty)))),
            (&[], vec![block("", "RequestId", &long)], Some(("RequestId", Err(NameFault::TooLong)))),
            (&[], vec![block("", "RequestId", "a\u{FFFD}")], Some(("RequestId", Err(NameFault::NotPrintable)))),
            (&[], vec![block("", "RequestId", "a\u{85}b")], Some(("RequestId", Err(NameFault::NotPrintable)))),
            (&[], vec![block(new, "MessageID", "")], None),
            (&[], vec![block(new, "MessageID", &long)], None),
            (&[], vec![block(new, "MessageID", "a\nb"), block(old, "MessageID", "m")], named("MessageID", "m")),
        ] {
            assert_eq!(found(values, &blocks), expected, "{values:?} {blocks:?}");
        }
    }

    static INNER: ComplexType =
        ComplexType { name: "Inner", fields: &[Field::new("A", Kind::String), Field::new("B", Kind::String)] };
    static OUTER: ComplexType = ComplexType {
        name: "Outer",
        fields: &[
            Field::new("A", Kind::String),
            Field::new("B", Kind::String),
            Field::new("N", Kind::Int),
            Field::new("L", Kind::Strings),
            Field::new("I", Kind::Complex(&INNER)),
        ],
    };

    /// Different requests have different hashes, however similar their bytes are.
    #[test]
    fn requests_are_told_apart() {
        let text = |text: &str| Value::String(text.to_owned());
        let texts = |texts: &[&str]| Value::Strings(texts.iter().map(|&text| text.to_owned()).collect());
        let outer = || Record::new(&OUTER);
        let inner = || Record::new(&INNER);
        let records = [
            outer(),
            outer().with("A", text("")),
            outer().with("A", text("ab")),
            outer().with("B", text("ab")),
            outer().with("A", text("a")).with("B", text("b")),
            outer().with("A", text("ab")).with("B", text("")),
            outer().with("A", text("aB")),
            outer().with("A", text("1")),
            outer().with("A", Value::Enumeration("1")),
            outer().with("A", Value::DateTime("1".to_owned())),
            outer().with("A", Value::Base64(b"1".to_vec())),
            outer().with("N", Value::Int(1)),
            outer().with("N", Value::Int(-1)),
            outer().with("N", Value::Boolean(true)),
            outer().with("N", Value::NullableDateTime(None)),
            outer().with("N", Value::Ints(vec![1])),
            outer().with("L", texts(&[])),
            outer().with("L", texts(&[""])),
            outer().with("L", texts(&["a", "b"])),
            outer().with("L", texts(&["b", "a"])),
            outer().with("L", texts(&["ab"])),
            outer().with("I", Value::Record(inner())),
            outer().with("I", Value::Record(inner().with("A", text("ab")))),
            outer().with("I", Value::Array(vec![inner()])),
            outer().with("I", Value::Array(vec![inner(), inner()])),
        ];
        let mut hashes: Vec<[u8; 32]> = records.iter().map(|record| request_hash("s", "o", Some(record))).collect();
        hashes.push(request_hash("s", "o", None));
        hashes.push(request_hash("so", "", None));
        hashes.push(request_hash("s", "p", None));
        let all = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), all);
        assert_eq!(request_hash("s", "o", Some(&outer())), request_hash("s", "o", Some(&outer())));
    }

    /// It must not change, because it is compared with rows of earlier versions.
    #[test]
    fn the_hash_of_a_request_is_stable() {
        let record = Record::new(&OUTER)
            .with("A", Value::String("größe".to_owned()))
            .with("N", Value::Int(7))
            .with("L", Value::Strings(vec!["a".to_owned()]));
        let hash: String = request_hash("s", "o", Some(&record)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "4b7a18bf6268cc10aabe1140378928395b3d84aa3bc38020f09eb21d784895a3");
    }
}
