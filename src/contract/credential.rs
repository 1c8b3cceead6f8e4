//! Says why a message has no credential. Some toolkits put the header block in the wrong place or namespace, and their users
//! would otherwise suspect a wrong password. The texts depend on the message alone, so they do not reveal which users exist.

use crate::soap::XSI;
use crate::soap::envelope::{Element, Envelope};
use crate::soap::excerpt;

/// A header block that holds the credential of the caller.
pub struct CredentialBlock {
    pub namespace: &'static str,
    pub name: &'static str,
    /// Whether it may also be in Envelope, beside Header.
    pub may_stand_beside: bool,
}

impl CredentialBlock {
    /// The text for a message without the block in its place.
    pub fn missing(&self, envelope: &Envelope) -> String {
        let CredentialBlock { namespace, name, .. } = self;
        let finding = self.finding(envelope).map_or_else(String::new, |finding| format!(": {finding}"));
        format!("{name} is missing{finding}. Send it inside soap:Header, in the namespace '{namespace}'.")
    }

    /// The text for a message whose block lacks an element.
    pub fn field_missing(&self, block: &Element, field: &str) -> String {
        let CredentialBlock { namespace, name, .. } = self;
        let found = block.children.iter().find(|child| child.name.eq_ignore_ascii_case(field));
        let finding = match found {
            Some(found) => match self.misnamed(found, field) {
                Some(finding) => format!(": the one there {finding}"),
                None if found.attribute(XSI, "nil").is_some() => ": the one there is null".to_owned(),
                None => String::new(),
            },
            None if block.attributes.iter().any(|a| a.name.eq_ignore_ascii_case(field)) => {
                ": it is an attribute there".to_owned()
            }
            None => String::new(),
        };
        format!("{name} has no {field}{finding}. Send it as an element inside {name}, in the namespace '{namespace}'.")
    }

    /// Where the message has an element that was probably meant as the block.
    fn finding(&self, envelope: &Envelope) -> Option<String> {
        if let Some(found) = envelope.header_blocks.iter().find(|block| self.is_meant(block)) {
            return self.misnamed(found, self.name).map(|finding| format!("the one in soap:Header {finding}"));
        }
        if let Some(found) = envelope.beside.iter().find(|block| self.is_meant(block)) {
            return match self.misnamed(found, self.name) {
                Some(finding) if self.may_stand_beside => Some(format!("the one in soap:Envelope {finding}")),
                _ => Some("the one in the message is not inside soap:Header".to_owned()),
            };
        }
        if envelope.header_comes_late {
            return Some("soap:Header comes after soap:Body, where it is not read".to_owned());
        }
        let mut to_do: Vec<&Element> = envelope.body.iter().chain(&envelope.body_others).collect();
        while let Some(element) = to_do.pop() {
            if self.is_meant(element) {
                return Some("the one in the message is inside soap:Body".to_owned());
            }
            to_do.extend(&element.children);
        }
        None
    }

    fn is_meant(&self, element: &Element) -> bool {
        element.name.eq_ignore_ascii_case(self.name)
    }

    /// The error in the name of an element that should be called `name`.
    fn misnamed(&self, element: &Element, name: &str) -> Option<String> {
        if element.name != name {
            Some(format!("is called '{}', and names are case-sensitive", excerpt(&element.name)))
        } else if element.namespace.is_empty() {
            Some("is in no namespace".to_owned())
        } else if &*element.namespace != self.namespace {
            Some(format!("is in the namespace '{}'", excerpt(&element.namespace)))
        } else {
            None
        }
    }
}
