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
use super::{Version, XSI, xml::is_xml_char};

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
    /// Elements between Header and Body that are neither. SOAP knows none there; some clients write header blocks so.
    pub beside: Vec<Element>,
    /// The first child of Body; `None`: the Body is empty.
    pub body: Option<Element>,
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

    /// Whether `xsi:nil` says there is no value.
    pub fn is_nil(&self) -> bool {
        self.attribute(XSI, "nil").is_some_and(is_true)
    }

    /// Whether the sender insists that this header block is understood, and by us (SOAP 1.1 §4.2.3, SOAP 1.2 part 1
    /// §5.2.3). A block for another role is none of our business (SOAP 1.1 §4.2.2). Where the attribute is no boolean,
    /// its value is the error: what the sender wants cannot be known.
    pub fn must_be_understood(&self, version: Version) -> Result<bool, &str> {
        let namespace = version.namespace();
        let for_us = match self.attribute(namespace, version.role_attribute()).map(str::trim) {
            None | Some("") => true,
            Some(role) => version.our_roles().contains(&role),
        };
        match self.attribute(namespace, "mustUnderstand").filter(|_| for_us) {
            None => Ok(false),
            Some(value) if is_true(value) => Ok(true),
            Some(value) if matches!(value.trim(), "0" | "false") => Ok(false),
            Some(value) => Err(value),
        }
    }
}

/// xs:boolean.
fn is_true(value: &str) -> bool {
    matches!(value.trim(), "1" | "true")
}

/// Why a body is not an envelope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not well-formed XML 1.0, or it has a document type declaration.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// More of something than is taken.
    #[error("the message has {0}")]
    TooMuch(String),
    /// The root is not an Envelope of SOAP 1.1 or 1.2.
    #[error("the root element is not a SOAP envelope but '{name}' of namespace '{namespace}'")]
    VersionMismatch { namespace: String, name: String },
    #[error("the envelope has no Body")]
    NoBody { version: Version },
}

/// Reads a message.
pub fn read(text: &str, limits: &Limits) -> Result<Envelope, ReadError> {
    let root = document(text, limits)?;
    let version = Version::of_namespace(&root.namespace)
        .filter(|_| root.name == "Envelope")
        .ok_or_else(|| ReadError::VersionMismatch { namespace: root.namespace.to_string(), name: root.name.clone() })?;

    let (mut header_blocks, mut beside) = (Vec::new(), Vec::new());
    for child in root.children {
        // A Header behind the Body is never reached, as in the service clients know.
        if child.is(version.namespace(), "Body") {
            return Ok(Envelope { version, header_blocks, beside, body: child.children.into_iter().next() });
        }
        if child.is(version.namespace(), "Header") && header_blocks.is_empty() {
            header_blocks = child.children;
            if header_blocks.len() > limits.header_blocks_max {
                return Err(ReadError::TooMuch(format!("more than {} header blocks", limits.header_blocks_max)));
            }
        } else {
            beside.push(child);
        }
    }
    Err(ReadError::NoBody { version })
}

/// Reads an XML document that is no message: its root, in the same bounds.
pub fn document(text: &str, limits: &Limits) -> Result<Element, ReadError> {
    if let Some(c) = text.chars().find(|c| !is_xml_char(*c)) {
        return Err(malformed(format!("character U+{:04X}", c as u32)));
    }
    // The byte order mark is off already, and quick-xml would pass over another one.
    if text.starts_with('\u{FEFF}') {
        return Err(malformed("text outside the root element"));
    }
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_comments = true;
    let mut scope = Scope::new();
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0;
    let mut root = None;
    loop {
        let before = reader.buffer_position();
        let event = reader.read_event().map_err(malformed)?;
        match event {
            Event::Start(start) => {
                if root.is_some() {
                    return Err(malformed("a second root element"));
                }
                if open.len() == limits.depth_max {
                    return Err(ReadError::TooMuch(format!("elements nested deeper than {}", limits.depth_max)));
                }
                if elements == limits.elements_max {
                    return Err(ReadError::TooMuch(format!("more than {} elements", limits.elements_max)));
                }
                elements += 1;
                open.push(element(&start, open.len(), &mut scope, limits)?);
            }
            Event::End(_) => {
                let mut done = open.pop().ok_or_else(|| malformed("an end tag without its start tag"))?;
                done.end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
                scope.end(open.len());
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => root = Some(done),
                }
            }
            Event::Text(piece) => {
                let piece = piece.xml10_content();
                if piece.contains("]]>") {
                    return Err(malformed("']]>' in text"));
                }
                add_text(&mut open, &piece)?;
            }
            Event::CData(piece) => match open.last_mut() {
                Some(element) => element.text.push_str(&piece.xml10_content()),
                None => return Err(malformed("CDATA outside the root element")),
            },
            Event::GeneralRef(reference) => {
                let c = reference.resolve_char_ref().map_err(malformed)?;
                let resolved: Cow<'_, str> = match c {
                    Some(c) if is_xml_char(c) => c.to_string().into(),
                    Some(c) => return Err(malformed(format!("a reference to character U+{:04X}", c as u32))),
                    None => resolve_predefined_entity(&reference)
                        .ok_or_else(|| malformed(format!("entity '{}' is not defined", &*reference)))?
                        .into(),
                };
                match open.last_mut() {
                    Some(element) => element.text.push_str(&resolved),
                    None => return Err(malformed("a reference outside the root element")),
                }
            }
            Event::Decl(declaration) => {
                if before != 0 {
                    return Err(malformed("an XML declaration that is not at the beginning"));
                }
                check_declaration(declaration.strip_prefix("xml").unwrap_or_default())?;
            }
            Event::PI(instruction) => {
                let target = instruction.target();
                if target.eq_ignore_ascii_case("xml") {
                    return Err(malformed("an XML declaration that is not at the beginning"));
                }
                if !names::is_ncname(target) {
                    return Err(malformed(format!("'{target}' is not a name")));
                }
            }
            Event::DocType(_) => return Err(malformed("a document type declaration")),
            Event::Comment(_) => {}
            Event::Empty(_) => return Err(malformed("an unexpected empty element")),
            Event::Eof => break,
        }
    }
    if !open.is_empty() {
        return Err(malformed("the root element is not closed"));
    }
    root.ok_or_else(|| malformed("no root element"))
}

fn element(start: &BytesStart<'_>, depth: usize, scope: &mut Scope, limits: &Limits) -> Result<Element, ReadError> {
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
        if attributes.len() > limits.attributes_max {
            return Err(ReadError::TooMuch(format!("more than {} attributes on one element", limits.attributes_max)));
        }
        if namespaces.len() > limits.namespaces_max {
            let max = limits.namespaces_max;
            return Err(ReadError::TooMuch(format!("more than {max} namespace declarations on one element")));
        }
        if scope.len() > limits.namespaces_in_scope_max {
            let max = limits.namespaces_in_scope_max;
            return Err(ReadError::TooMuch(format!("more than {max} namespace declarations in scope")));
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
fn split_attribute(inside: &str) -> Result<Option<(&str, &str, &str)>, ReadError> {
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
fn attribute_value(raw: &str) -> Result<Cow<'_, str>, ReadError> {
    if raw.contains('<') {
        return Err(malformed("'<' in an attribute value"));
    }
    let attribute = RawAttribute { key: QName(""), value: raw.into() };
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(malformed)?;
    match value.chars().find(|c| !is_xml_char(*c)) {
        None => Ok(value),
        Some(c) => Err(malformed(format!("a reference to character U+{:04X}", c as u32))),
    }
}

/// Checks what stands in an XML declaration (XML 1.0 §2.8, production 23).
fn check_declaration(mut inside: &str) -> Result<(), ReadError> {
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

fn add_text(open: &mut [Element], piece: &str) -> Result<(), ReadError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(piece),
        None if piece.trim_matches(WHITE_SPACE).is_empty() => {}
        None => return Err(malformed("text outside the root element")),
    }
    Ok(())
}

fn malformed(reason: impl ToString) -> ReadError {
    ReadError::Malformed(reason.to_string())
}

/// Line and column of a byte offset, both from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
