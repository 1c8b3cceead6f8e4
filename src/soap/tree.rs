//! The elements of an XML document, from the parser's events.
//!
//! quick-xml splits the text into events and resolves references. This module makes the checks that it leaves to its users: one
//! root and nothing after it, names, characters, attributes, the XML declaration, depth, counts. `names` resolves namespaces. A
//! document type declaration is refused before anything is built (SOAP 1.1 §3), so no entity is ever defined, and only the five
//! predefined ones and character references are resolved. Processing instructions are ignored: SOAP forbids them, but the
//! original service accepts them.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::Attribute as RawAttribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

use super::envelope::{Attribute, Element, Limits};
use super::excerpt;
use super::names::{self, Scope};
use super::xml::is_xml_char;

pub(super) const TEXT_OUTSIDE: &str = "text outside the root element";

/// Why an event cannot be added to the tree.
pub(super) enum Problem {
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
pub(super) struct Tree<'l> {
    limits: &'l Limits,
    scope: Scope,
    open: Vec<Element>,
    elements: usize,
    root: Option<Element>,
}

impl Tree<'_> {
    pub(super) fn new(limits: &Limits) -> Tree<'_> {
        Tree { limits, scope: Scope::new(), open: Vec::new(), elements: 0, root: None }
    }

    /// The root, if its start tag has been read and its end tag has not.
    pub(super) fn open_root(&self) -> Option<&Element> {
        self.open.first()
    }

    /// `start`, `end`: where the event is, in bytes.
    pub(super) fn add(&mut self, event: &Event<'_>, start: usize, end: usize) -> Result<(), Problem> {
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

    /// Text in another notation (CDATA, a reference), which is allowed only inside an element.
    fn content(&mut self, what: &str, piece: &str) -> Result<(), Problem> {
        let element = self.open.last_mut().ok_or_else(|| malformed(format!("{what} outside the root element")))?;
        element.text.push_str(piece);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Element, String> {
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
    // Prefixes can be resolved once all attributes are read.
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

/// Splits the next attribute off the inside of a tag: its name, its raw value, and the rest (XML 1.0 §3.1, productions 40 and
/// 41). `None`: there was only white space.
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

/// The value of an attribute, with references resolved and white space normalized (XML 1.0 §3.3.3).
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

/// Checks the inside of an XML declaration (XML 1.0 §2.8, production 23).
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
