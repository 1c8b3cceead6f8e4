//! One function per target. It takes any bytes and panics if a promise is broken, so that a fuzzer, and the test that repeats
//! the corpora and the findings (`tests/it/fuzz.rs`), can call it alike.

mod dispatch;
mod history;

use seatkeeper::auth::Ticket;
use seatkeeper::netserver::license::LICENSE;
use seatkeeper::netserver::web_api::read::{self, Syntax};
use seatkeeper::netserver::web_api::select::Select;
use seatkeeper::soap::encoding;
use seatkeeper::soap::envelope::{self, Element, Limits, ReadError};

pub use dispatch::dispatch;
pub use history::{canonical, chain};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// All of them, by name: each has a corpus of that name.
pub const ALL: &[(&str, Target)] = &[
    ("canonical", canonical),
    ("chain", chain),
    ("dispatch", dispatch),
    ("envelope", envelope),
    ("forms", forms),
    ("json", json),
    ("select", select),
    ("tickets", tickets),
];

/// The body of a message, in whatever encoding: read twice it is the same, and what is read keeps the limits.
pub fn envelope(data: &[u8]) {
    let text = encoding::decode(data, None);
    let limits = Limits::default();
    match envelope::read(&text, &limits) {
        Ok(envelope) => {
            assert!(envelope.header_blocks.len() <= limits.header_blocks_max);
            for block in &envelope.header_blocks {
                let _ = block.must_be_understood(envelope.version);
            }
            let root = envelope::document(&text, &limits).expect("an envelope is a document");
            let mut elements = 0;
            keeps(&root, 1, &limits, &mut elements);
            assert!(elements <= limits.elements_max, "{elements} elements");
            assert_eq!(root.end, text.trim_end().len().min(root.end), "the root ends in the text");
        }
        Err(ReadError::Malformed { line, column, reason }) => {
            assert!(line >= 1 && column >= 1 && !reason.is_empty());
            assert!(line <= text.matches('\n').count() + 1, "line {line}");
            assert!(!reason.contains(char::is_control), "{reason:?}");
        }
        Err(error) => assert!(error.to_string().chars().count() < 1000, "{error}"),
    }
}

fn keeps(element: &Element, depth: usize, limits: &Limits, elements: &mut usize) {
    *elements += 1;
    assert!(depth <= limits.depth_max, "depth {depth}");
    assert!(element.attributes.len() <= limits.attributes_max);
    assert!(!element.name.is_empty() && !element.name.contains([':', '<', '>', ' ']), "{:?}", element.name);
    for (at, attribute) in element.attributes.iter().enumerate() {
        let is_same =
            |other: &&envelope::Attribute| (&other.namespace, &other.name) == (&attribute.namespace, &attribute.name);
        assert_eq!(element.attributes[at + 1..].iter().find(is_same).map(|a| &a.name), None, "an attribute twice");
    }
    for child in &element.children {
        assert!(child.end <= element.end);
        keeps(child, depth + 1, limits, elements);
    }
}

/// The arguments of the Web API as JSON: those of every operation, and each single one that can be a whole body.
pub fn json(data: &[u8]) {
    arguments(data, Syntax::Json);
}

/// The arguments of the Web API as a form, and as the pairs of a query.
pub fn forms(data: &[u8]) {
    arguments(data, Syntax::Form);
    let text = String::from_utf8_lossy(data);
    for operation in LICENSE.operations {
        let _ = read::pairs(&text, operation.input);
    }
}

fn arguments(data: &[u8], syntax: Syntax) {
    let text = encoding::decode(data, None);
    let limits = Limits::default();
    let _ = Syntax::of_text(&text);
    for operation in LICENSE.operations {
        says_why(read::object(&text, syntax, operation.input, &limits).map(drop));
        for field in operation.input.fields {
            says_why(read::value(&text, syntax, field, &limits).map(drop));
        }
    }
}

/// A reason goes to the caller and into the log: short and on one line.
fn says_why(read: Result<(), String>) {
    if let Err(reason) = read {
        assert!(
            !reason.is_empty() && reason.chars().count() < 1000 && !reason.contains(char::is_control),
            "{reason:?}"
        );
    }
}

/// `$select`: names are found in any case, and a path that was selected is.
pub fn select(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let select = Select::parse(&text);
    for path in text.split(',') {
        let mut at = Some(&select);
        for name in path.split('/').map(str::trim).filter(|name| !name.is_empty()).take(16) {
            at = at.and_then(|at| at.of(&name.to_ascii_uppercase()));
            assert!(at.is_some(), "'{path}' is selected, '{name}' is not");
        }
    }
}

/// What is read as a ticket means the same when it is written and read again.
pub fn tickets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(ticket) = Ticket::parse(&text) {
        let again = Ticket::parse(&ticket.text());
        // A number of a client's own making may be longer than a ticket can be.
        if let Some(again) = again {
            assert_eq!((ticket.id, ticket.secret_hash()), (again.id, again.secret_hash()));
        }
    }
}
