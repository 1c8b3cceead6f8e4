//! SOAP 1.1 and 1.2, messages only: bytes to [`envelope::Envelope`] and back, faults, an XML writer. Knows no operation.
//!
//! [`Version`] holds all that differs between the two; everything else is one path.

pub mod encoding;
pub mod envelope;
pub mod fault;
mod names;
mod tree;
pub mod xml;

use std::borrow::Cow;

/// Namespace of `xsi:nil` and `xsi:type`.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Namespace of the XML Schema types.
pub const XSD: &str = "http://www.w3.org/2001/XMLSchema";

/// Shortens a client's text for a response: a name or value can be as long as a message. Leaves out control characters, because
/// the text also goes into the log, where each entry is one line.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 200;
    if !text.contains(char::is_control) && text.char_indices().nth(CHARS_MAX).is_none() {
        return text.into();
    }
    let mut kept = text.chars().filter(|c| !c.is_control());
    let mut excerpt: String = kept.by_ref().take(CHARS_MAX).collect();
    if kept.next().is_some() {
        excerpt.push('…');
    }
    excerpt.into()
}

/// SOAP 1.1 or 1.2. An answer uses the version of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Soap11,
    Soap12,
}

impl Version {
    pub const ALL: [Version; 2] = [Version::Soap11, Version::Soap12];

    /// The version whose envelope has this namespace (SOAP 1.1 §4.1.2, SOAP 1.2 part 1 §5.1).
    pub fn of_namespace(namespace: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.namespace() == namespace)
    }

    pub const fn namespace(self) -> &'static str {
        match self {
            Version::Soap11 => "http://schemas.xmlsoap.org/soap/envelope/",
            Version::Soap12 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }

    /// SOAP 1.1 §6, SOAP 1.2 part 2 §7.1.4.
    pub const fn media_type(self) -> &'static str {
        match self {
            Version::Soap11 => "text/xml",
            Version::Soap12 => "application/soap+xml",
        }
    }

    /// The attribute with the receiver of a header block (SOAP 1.1 §4.2.2, SOAP 1.2 part 1 §5.2.2).
    pub const fn role_attribute(self) -> &'static str {
        match self {
            Version::Soap11 => "actor",
            Version::Soap12 => "role",
        }
    }

    /// The roles of this service, besides an absent role: the next node, and for 1.2 the ultimate receiver.
    pub const fn our_roles(self) -> &'static [&'static str] {
        match self {
            Version::Soap11 => &["http://schemas.xmlsoap.org/soap/actor/next"],
            Version::Soap12 => &[
                "http://www.w3.org/2003/05/soap-envelope/role/next",
                "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        let (fits, longer) = ("ä".repeat(200), "ä".repeat(201));
        for (text, expected) in [
            ("", String::new()),
            ("name", "name".to_owned()),
            ("two\r\nlines\u{85}", "twolines".to_owned()),
            (&fits, fits.clone()),
            (&longer, format!("{fits}…")),
            (&format!("\n{fits}\n"), fits.clone()),
        ] {
            assert_eq!(excerpt(text), expected, "{text:?}");
        }
    }
}
