//! Reads an envelope: well-formed XML with namespaces, within limits, in SOAP's structure. `tree` makes the elements.

use std::sync::Arc;

use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::tree::{Problem, TEXT_OUTSIDE, Tree};
use super::xml::is_xml_char;
use super::{Version, XSI, excerpt};

/// Limits on the elements built from a message.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Nested elements.
    pub depth_max: usize,
    /// Elements of one message. An empty element takes 4 bytes of the message and 200 bytes of memory.
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

/// A SOAP message.
#[derive(Debug)]
pub struct Envelope {
    pub version: Version,
    /// The children of Header, if it stands before Body.
    pub header_blocks: Vec<Element>,
    /// Elements before Body that are neither Header nor Body. SOAP allows none; some clients place header blocks there.
    pub beside: Vec<Element>,
    /// The first child of Body; `None`: the Body is empty.
    pub body: Option<Element>,
    /// The other children of Body, which no operation reads.
    pub body_others: Vec<Element>,
    /// Whether a Header stands behind the Body, where the original service does not read it either.
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
    /// Byte offset just after its end tag. See [`position`].
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

    /// Whether `xsi:nil` marks it as null. `True` is no xs:boolean, but its meaning is clear.
    pub fn is_nil(&self) -> bool {
        self.attribute(XSI, "nil").is_some_and(|value| value.trim() == "1" || value.trim().eq_ignore_ascii_case("true"))
    }

    /// Whether this header block is mandatory for this service (SOAP 1.1 §4.2.3, SOAP 1.2 part 1 §5.2.3). A block for another
    /// role is ignored (SOAP 1.1 §4.2.2). If the attribute is no boolean, its value is the error, because it could mean either.
    ///
    /// `True` and `False` are no xs:boolean either. For .NET (ASMX and WCF) such a block is not mandatory, and clients that send
    /// it rely on that.
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
    /// A limit is exceeded. `version`: that of the envelope, if its start tag was read.
    #[error("the message has {what}")]
    TooMuch { version: Option<Version>, what: String },
    /// The root is not an Envelope of SOAP 1.1 or 1.2.
    #[error("the root element is not a SOAP envelope but '{}' of namespace '{}'", excerpt(.name), excerpt(.namespace))]
    VersionMismatch { namespace: String, name: String },
    #[error("the envelope has no Body")]
    NoBody { version: Version },
    /// Header or Body is repeated or out of order, so that two receivers could read two messages.
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
            } else if !beside.iter().all(is_vendor_block) {
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

/// A header block that clients of NetServer may write as a child of the Envelope, as the vendor's own samples do. It is read after those of
/// the Header, so its place does not matter.
fn is_vendor_block(element: &Element) -> bool {
    element.namespace.starts_with("http://www.superoffice.net/ws/crm/NetServer/")
}

/// The version, if this element is an envelope.
fn version_of(root: &Element) -> Option<Version> {
    Version::of_namespace(&root.namespace).filter(|_| root.name == "Envelope")
}

/// Reads an XML document; its root.
pub fn document(text: &str, limits: &Limits) -> Result<Element, ReadError> {
    let at = |at: usize, reason| {
        let (line, column) = position(text, at);
        ReadError::Malformed { line, column, reason }
    };
    if let Some((offset, c)) = forbidden_character(text) {
        return Err(at(offset, format!("character U+{:04X} is not allowed in XML", c as u32)));
    }
    // `encoding` has removed the byte order mark, and quick-xml would ignore a second one.
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
            Err(Problem::TooMuch(what)) => {
                return Err(ReadError::TooMuch { version: tree.open_root().and_then(version_of), what });
            }
        }
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The first character that XML does not allow, and where it is.
fn forbidden_character(text: &str) -> Option<(usize, char)> {
    // Such a character begins with a byte below the space, or with EF (U+FFFE and U+FFFF). Most messages have neither. Without an
    // early exit the compiler tests many bytes at a time.
    const CHUNK_BYTES: usize = 64;
    let suspicious =
        |byte: &u8| (*byte < 0x20) & (*byte != b'\t') & (*byte != b'\n') & (*byte != b'\r') | (*byte == 0xEF);
    let mut chunks = text.as_bytes().chunks(CHUNK_BYTES);
    if !chunks.any(|chunk| chunk.iter().fold(false, |found, byte| found | suspicious(byte))) {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_xml_char(*c))
}

/// The parser's error text, without its internal names.
fn worded(error: quick_xml::Error) -> String {
    let reason = match error {
        quick_xml::Error::Syntax(error) => error.to_string(),
        quick_xml::Error::IllFormed(error) => error.to_string(),
        other => other.to_string(),
    };
    excerpt(&reason.replace('`', "'")).into_owned()
}

/// Line and column of a byte offset, both from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
