//! Reading an envelope: well-formed XML with namespaces, in bounds, as SOAP lays it out.
//!
//! quick-xml splits the text into events and resolves references; what it leaves to its users is checked here: one root
//! and nothing behind it, names, characters, attributes, the XML declaration, depth, counts. Namespaces are `names`'s.
//! A document type declaration is refused before anything is built (SOAP 1.1 §3), so no entity is ever defined, and only
//! the five predefined ones and character references are resolved. Processing instructions are passed over: SOAP forbids
//! them, but the service that clients know takes them.

use std::borrow::Cow;
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::Attribute as RawAttribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;
use quick_xml::reader::Reader;

use super::names::{self, Scope};
use super::{Version, XSI, excerpt, xml::is_xml_char};

/// Bounds on what is built from a message.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Elements inside each other.
    pub depth_max: usize,
    /// Elements of one message. An empty one is 4 bytes of a message and 200 of memory.
    pub elements_max: usize,
    /// Attributes of one element, namespace declarations not counted.
    pub attributes_max: usize,
    /// Namespace declarations of one element.
    pub namespaces_max: usize,
    /// Namespace declarations in scope: each name is looked up among them.
    pub namespaces_in_scope_max: usize,
    /// Header blocks of one message.
    pub header_blocks_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth_max: 32,
            elements_max: 8192,
            attributes_max: 64,
            namespaces_max: 32,
            namespaces_in_scope_max: 128,
            header_blocks_max: 64,
        }
    }
}

/// A message as SOAP sees it.
#[derive(Debug)]
pub struct Envelope {
    pub version: Version,
    /// The children of Header, if it stands before Body.
    pub header_blocks: Vec<Element>,
    /// Elements before Body that are neither Header nor Body. SOAP knows none there; some clients write header blocks so.
    pub beside: Vec<Element>,
    /// The first child of Body; `None`: the Body is empty.
    pub body: Option<Element>,
    /// The other children of Body, which no operation reads.
    pub body_others: Vec<Element>,
    /// Whether a Header stands behind the Body, where it is never reached, as in the service clients know.
    pub header_comes_late: bool,
}

/// An element of a message.
#[derive(Debug, Default)]
pub struct Element {
    pub namespace: Arc<str>,
    pub name: String,
    pub attributes: Vec<Attribute>,
    pub children: Vec<Element>,
    /// All text directly inside, references resolved, CDATA included.
    pub text: String,
    /// Where it ends: byte offset just behind its end tag. See [`position`].
    pub end: usize,
}

#[derive(Debug)]
pub struct Attribute {
    pub namespace: Arc<str>,
    pub name: String,
    pub value: String,
}

impl Element {
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && &*self.namespace == namespace
    }

    pub fn attribute(&self, namespace: &str, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.name == name && &*a.namespace == namespace).map(|a| a.value.as_str())
    }

    /// Whether `xsi:nil` says there is no value. `True` is no xs:boolean, but an element so marked can only be meant so.
    pub fn is_nil(&self) -> bool {
        self.attribute(XSI, "nil").is_some_and(|value| value.trim() == "1" || value.trim().eq_ignore_ascii_case("true"))
    }

    /// Whether the sender insists that this header block is understood, and by us (SOAP 1.1 §4.2.3, SOAP 1.2 part 1
    /// §5.2.3). A block for another role is none of our business (SOAP 1.1 §4.2.2). Where the attribute is no boolean,
    /// its value is the error: what the sender wants cannot be known.
    ///
    /// `True` and `False` in another case are no xs:boolean either. .NET, ASMX and WCF alike, does not take such a block
    /// for mandatory, and clients that send them are used to that.
    pub fn must_be_understood(&self, version: Version) -> Result<bool, &str> {
        let namespace = version.namespace();
        let for_us = match self.attribute(namespace, version.role_attribute()).map(str::trim) {
            None | Some("") => true,
            Some(role) => version.our_roles().contains(&role),
        };
        let Some(value) = self.attribute(namespace, "mustUnderstand").filter(|_| for_us) else { return Ok(false) };
        match value.trim() {
            "1" | "true" => Ok(true),
            "0" => Ok(false),
            other if ["true", "false"].iter().any(|name| name.eq_ignore_ascii_case(other)) => Ok(false),
            _ => Err(value),
        }
    }
}

/// Why a body is not an envelope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not well-formed XML 1.0, or it has a document type declaration. Line and column count from 1.
    #[error("not well-formed XML: line {line}, column {column}: {reason}")]
    Malformed { line: usize, column: usize, reason: String },
    /// More of something than is taken. `version`: that of the envelope, if its start was seen.
    #[error("the message has {what}")]
    TooMuch { version: Option<Version>, what: String },
    /// The root is not an Envelope of SOAP 1.1 or 1.2.
    #[error("the root element is not a SOAP envelope but '{}' of namespace '{}'", excerpt(.name), excerpt(.namespace))]
    VersionMismatch { namespace: String, name: String },
    #[error("the envelope has no Body")]
    NoBody { version: Version },
    /// Header and Body are not each once and in their order, so that two receivers could read two messages.
    #[error("the envelope has {what}")]
    Ambiguous { version: Version, what: &'static str },
}

/// Reads a message.
pub fn read(text: &str, limits: &Limits) -> Result<Envelope, ReadError> {
    let root = document(text, limits)?;
    let version = version_of(&root)
        .ok_or_else(|| ReadError::VersionMismatch { namespace: root.namespace.to_string(), name: root.name.clone() })?;
    let ambiguous = |what| Err(ReadError::Ambiguous { version, what });
    let (mut header, mut body, mut beside, mut header_comes_late) = (None, None, Vec::new(), false);
    for child in root.children {
        if child.is(version.namespace(), "Header") {
            if header.is_some() || header_comes_late {
                return ambiguous("more than one Header");
            }
            if body.is_some() {
                header_comes_late = true;
            } else if !beside.is_empty() {
                return ambiguous("another element before its Header");
            } else if child.children.len() > limits.header_blocks_max {
                let what = format!("more than {} header blocks", limits.header_blocks_max);
                return Err(ReadError::TooMuch { version: Some(version), what });
            } else {
                header = Some(child.children);
            }
        } else if child.is(version.namespace(), "Body") {
            if body.is_some() {
                return ambiguous("more than one Body");
            }
            body = Some(child.children);
        } else if body.is_none() {
            beside.push(child);
        }
    }
    let mut children = body.ok_or(ReadError::NoBody { version })?.into_iter();
    let (body, body_others) = (children.next(), children.collect());
    Ok(Envelope { version, header_blocks: header.unwrap_or_default(), beside, body, body_others, header_comes_late })
}

/// The version of the envelope that this element is.
fn version_of(root: &Element) -> Option<Version> {
    Version::of_namespace(&root.namespace).filter(|_| root.name == "Envelope")
}

/// Reads an XML document that is no message: its root, in the same bounds.
pub fn document(text: &str, limits: &Limits) -> Result<Element, ReadError> {
    let at = |at: usize, reason| {
        let (line, column) = position(text, at);
        ReadError::Malformed { line, column, reason }
    };
    if let Some((offset, c)) = forbidden_character(text) {
        return Err(at(offset, format!("character U+{:04X} is not allowed in XML", c as u32)));
    }
    // The byte order mark is off already, and quick-xml would pass over another one.
    if text.starts_with('\u{FEFF}') {
        return Err(at(0, TEXT_OUTSIDE.to_owned()));
    }
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_comments = true;
    let mut tree = Tree::new(limits);
    loop {
        let start = offset(reader.buffer_position());
        let event = reader.read_event().map_err(|error| at(offset(reader.error_position()), worded(error)))?;
        if matches!(event, Event::Eof) {
            if text.trim().is_empty() {
                return Err(at(0, "it is empty, there is no root element".to_owned()));
            }
            return tree.finish().map_err(|reason| at(text.len(), reason));
        }
        match tree.add(&event, start, offset(reader.buffer_position())) {
            Ok(()) => {}
            Err(Problem::Malformed { reason, offset }) => {
                return Err(at(start + offset, excerpt(&reason).into_owned()));
            }
            Err(Problem::TooMuch(what)) => return Err(ReadError::TooMuch { version: tree.version(), what }),
        }
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The first character that XML does not allow, and where it is.
fn forbidden_character(text: &str) -> Option<(usize, char)> {
    // Only a byte below the space, or one of U+FFFE and U+FFFF, which begin with EF, can be of such a character. Most
    // messages have neither. Without an early exit the compiler looks at many bytes at a time.
    const CHUNK_BYTES: usize = 64;
    let suspicious =
        |byte: &u8| (*byte < 0x20) & (*byte != b'\t') & (*byte != b'\n') & (*byte != b'\r') | (*byte == 0xEF);
    let mut chunks = text.as_bytes().chunks(CHUNK_BYTES);
    if !chunks.any(|chunk| chunk.iter().fold(false, |found, byte| found | suspicious(byte))) {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_xml_char(*c))
}

/// What the parser says, without the names of its own parts.
fn worded(error: quick_xml::Error) -> String {
    let reason = match error {
        quick_xml::Error::Syntax(error) => error.to_string(),
        quick_xml::Error::IllFormed(error) => error.to_string(),
        other => other.to_string(),
    };
    excerpt(&reason.replace('`', "'")).into_owned()
}

const TEXT_OUTSIDE: &str = "text outside the root element";

/// Why an event cannot be added to the tree.
enum Problem {
    /// `offset`: how far into the event, in bytes.
    Malformed {
        reason: String,
        offset: usize,
    },
    TooMuch(String),
}

fn malformed(reason: impl ToString) -> Problem {
    Problem::Malformed { reason: reason.to_string(), offset: 0 }
}

/// The elements as far as they have been read.
struct Tree<'l> {
    limits: &'l Limits,
    scope: Scope,
    open: Vec<Element>,
    elements: usize,
    root: Option<Element>,
}

impl Tree<'_> {
    fn new(limits: &Limits) -> Tree<'_> {
        Tree { limits, scope: Scope::new(), open: Vec::new(), elements: 0, root: None }
    }

    /// Of the envelope, if this is one and its start tag has been read.
    fn version(&self) -> Option<Version> {
        version_of(self.open.first()?)
    }

    /// `start`, `end`: where the event is, in bytes.
    fn add(&mut self, event: &Event<'_>, start: usize, end: usize) -> Result<(), Problem> {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(_) => self.end(end),
            Event::Text(piece) => {
                // `contains` is faster than `find`.
                if piece.contains("]]>") {
                    let offset = piece.find("]]>").unwrap_or_default();
                    return Err(Problem::Malformed { reason: "']]>' in text".to_owned(), offset });
                }
                self.text(&piece.xml10_content())
            }
            Event::CData(piece) => self.content("CDATA", &piece.xml10_content()),
            Event::GeneralRef(reference) => {
                let c = reference.resolve_char_ref().map_err(|e| malformed(e.to_string().replace('`', "'")))?;
                let resolved: Cow<'_, str> = match c {
                    Some(c) if is_xml_char(c) => c.to_string().into(),
                    Some(c) => return Err(forbidden_reference(c)),
                    None => resolve_predefined_entity(reference)
                        .ok_or_else(|| malformed(format!("entity '{}' is not defined", &**reference)))?
                        .into(),
                };
                self.content("a reference", &resolved)
            }
            Event::Decl(_) if start != 0 => Err(malformed(LATE_DECLARATION)),
            Event::Decl(declaration) => check_declaration(declaration.strip_prefix("xml").unwrap_or_default()),
            Event::PI(instruction) => match instruction.target() {
                target if target.eq_ignore_ascii_case("xml") => Err(malformed(LATE_DECLARATION)),
                target if names::is_ncname(target) => Ok(()),
                target => Err(malformed(format!("'{target}' is not a name"))),
            },
            Event::DocType(_) => Err(malformed("a document type declaration is not allowed")),
            Event::Comment(_) | Event::Eof => Ok(()),
            Event::Empty(_) => Err(malformed("an unexpected empty element")),
        }
    }

    fn begin(&mut self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        if self.root.is_some() {
            return Err(malformed("a second root element"));
        }
        if self.open.len() == self.limits.depth_max {
            return Err(Problem::TooMuch(format!("elements nested deeper than {}", self.limits.depth_max)));
        }
        if self.elements == self.limits.elements_max {
            return Err(Problem::TooMuch(format!("more than {} elements", self.limits.elements_max)));
        }
        self.elements += 1;
        let element = element(tag, self.open.len(), &mut self.scope, self.limits)?;
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), Problem> {
        let mut done = self.open.pop().ok_or_else(|| malformed("an end tag without its start tag"))?;
        done.end = end;
        self.scope.end(self.open.len());
        match self.open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => self.root = Some(done),
        }
        Ok(())
    }

    fn text(&mut self, piece: &str) -> Result<(), Problem> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(piece),
            None if piece.trim_matches(WHITE_SPACE).is_empty() => {}
            None => {
                let offset = piece.find(|c| !WHITE_SPACE.contains(&c)).unwrap_or_default();
                return Err(Problem::Malformed { reason: TEXT_OUTSIDE.to_owned(), offset });
            }
        }
        Ok(())
    }

    /// Text that is written as something else, which can only stand inside an element.
    fn content(&mut self, what: &str, piece: &str) -> Result<(), Problem> {
        let element = self.open.last_mut().ok_or_else(|| malformed(format!("{what} outside the root element")))?;
        element.text.push_str(piece);
        Ok(())
    }

    fn finish(self) -> Result<Element, String> {
        match self.open.last() {
            Some(open) => Err(format!("element '{}' is not closed", excerpt(&open.name))),
            None => self.root.ok_or_else(|| "there is no root element".to_owned()),
        }
    }
}

const LATE_DECLARATION: &str = "an XML declaration that is not at the beginning";

fn forbidden_reference(c: char) -> Problem {
    malformed(format!("a reference to character U+{:04X}, which is not allowed in XML", c as u32))
}

fn element(start: &BytesStart<'_>, depth: usize, scope: &mut Scope, limits: &Limits) -> Result<Element, Problem> {
    // What the prefixes stand for is known once all attributes are read.
    let mut attributes: Vec<(&str, &str, String)> = Vec::new();
    let mut namespaces = Vec::new();
    let mut rest = start.attributes_raw();
    while let Some((name, value, after)) = split_attribute(rest)? {
        rest = after;
        let (prefix, local) = names::split_qname(name).map_err(malformed)?;
        let value = attribute_value(value)?.into_owned();
        if prefix == "xmlns" || name == "xmlns" {
            let declared = if prefix.is_empty() { "" } else { local };
            if namespaces.contains(&declared) {
                return Err(malformed(format!("attribute '{name}' twice")));
            }
            namespaces.push(declared);
            scope.declare(declared, &value, depth).map_err(malformed)?;
        } else {
            attributes.push((prefix, local, value));
        }
        let max = limits.attributes_max;
        if attributes.len() > max {
            return Err(Problem::TooMuch(format!("more than {max} attributes on one element")));
        }
        let max = limits.namespaces_max;
        if namespaces.len() > max {
            return Err(Problem::TooMuch(format!("more than {max} namespace declarations on one element")));
        }
        let max = limits.namespaces_in_scope_max;
        if scope.len() > max {
            return Err(Problem::TooMuch(format!("more than {max} namespace declarations in scope")));
        }
    }

    let name = start.name();
    let (prefix, local) = names::split_qname(name.as_ref()).map_err(malformed)?;
    let namespace = scope.of_element(prefix).map_err(malformed)?;
    let mut element = Element { namespace, name: local.to_owned(), ..Element::default() };
    for (prefix, name, value) in attributes {
        let namespace = scope.of_attribute(prefix).map_err(malformed)?;
        if element.attribute(&namespace, name).is_some() {
            return Err(malformed(format!("attribute '{name}' twice")));
        }
        element.attributes.push(Attribute { namespace, name: name.to_owned(), value });
    }
    Ok(element)
}

/// XML 1.0 §2.3, production 3.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Takes the next attribute off the inside of a tag: its name, its raw value, and what is left (XML 1.0 §3.1,
/// productions 40 and 41). `None`: there was only white space.
fn split_attribute(inside: &str) -> Result<Option<(&str, &str, &str)>, Problem> {
    let found = inside.trim_start_matches(WHITE_SPACE);
    if found.is_empty() {
        return Ok(None);
    }
    if found.len() == inside.len() {
        return Err(malformed("no white space before an attribute"));
    }
    let (name, value) = found.split_once('=').ok_or_else(|| malformed("an attribute without a value"))?;
    let value = value.trim_start_matches(WHITE_SPACE);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (value, rest) = quote
        .and_then(|quote| value[1..].split_once(quote))
        .ok_or_else(|| malformed("an attribute value without its quotes"))?;
    Ok(Some((name.trim_end_matches(WHITE_SPACE), value, rest)))
}

/// The value an attribute has, references resolved and white space normalized (XML 1.0 §3.3.3).
fn attribute_value(raw: &str) -> Result<Cow<'_, str>, Problem> {
    if raw.contains('<') {
        return Err(malformed("'<' in an attribute value"));
    }
    let attribute = RawAttribute { key: QName(""), value: raw.into() };
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    let value = value.map_err(|error| malformed(error.to_string().replace('`', "'")))?;
    match value.chars().find(|c| !is_xml_char(*c)) {
        None => Ok(value),
        Some(c) => Err(forbidden_reference(c)),
    }
}

/// Checks what stands in an XML declaration (XML 1.0 §2.8, production 23).
fn check_declaration(mut inside: &str) -> Result<(), Problem> {
    let mut expected = ["version", "encoding", "standalone"].into_iter();
    let mut has_version = false;
    while let Some((name, value, rest)) = split_attribute(inside)? {
        inside = rest;
        let is_good = match name {
            "version" if value != "1.0" => return Err(malformed(format!("XML version {value}"))),
            "version" => true,
            "encoding" => {
                value.starts_with(|c: char| c.is_ascii_alphabetic())
                    && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            }
            _ => matches!(value, "yes" | "no"),
        };
        // Each at most once, and in this order.
        if !is_good || !expected.any(|e| e == name) {
            return Err(malformed(format!("'{name}' in the XML declaration")));
        }
        has_version |= name == "version";
    }
    if has_version { Ok(()) } else { Err(malformed("an XML declaration without a version")) }
}

/// Line and column of a byte offset, both from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
