//! Names and the namespaces of their prefixes, exactly by XML 1.0 §2.3 and Namespaces in XML 1.0.

use std::sync::Arc;

/// The namespace of the prefix `xml`. No other prefix may be bound to it.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of the prefix `xmlns`, which names must not use.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The namespace declarations in scope, outer ones first.
///
/// A namespace name is stored once and shared by all names in it: a message can declare a long one and use it in tens of
/// thousands of elements.
pub(super) struct Scope {
    declarations: Vec<Declaration>,
    none: Arc<str>,
    xml: Arc<str>,
}

struct Declaration {
    /// Empty: the default namespace.
    prefix: String,
    namespace: Arc<str>,
    depth: usize,
}

impl Scope {
    pub(super) fn new() -> Scope {
        Scope { declarations: Vec::new(), none: "".into(), xml: XML.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.declarations.len()
    }

    /// Adds a declaration of the element at `depth`. Namespaces in XML 1.0 §3 says what may not be declared.
    pub(super) fn declare(&mut self, prefix: &str, namespace: &str, depth: usize) -> Result<(), String> {
        match (prefix, namespace) {
            ("xml", XML) => return Ok(()),
            ("xml" | "xmlns", _) => return Err(format!("prefix '{prefix}' declared")),
            (_, XML | XMLNS) => return Err(format!("prefix '{prefix}' bound to a reserved namespace")),
            ("", "") => {}
            (_, "") => return Err(format!("prefix '{prefix}' bound to no namespace")),
            _ => {}
        }
        self.declarations.push(Declaration { prefix: prefix.to_owned(), namespace: namespace.into(), depth });
        Ok(())
    }

    /// Forgets the declarations of the element at `depth`, which has ended.
    pub(super) fn end(&mut self, depth: usize) {
        while self.declarations.pop_if(|d| d.depth >= depth).is_some() {}
    }

    /// The namespace of an element's name.
    pub(super) fn of_element(&self, prefix: &str) -> Result<Arc<str>, String> {
        self.find(prefix).or_else(|| prefix.is_empty().then(|| Arc::clone(&self.none))).ok_or_else(|| unbound(prefix))
    }

    /// The namespace of an attribute's name: the default namespace is not for attributes.
    pub(super) fn of_attribute(&self, prefix: &str) -> Result<Arc<str>, String> {
        if prefix.is_empty() { Ok(Arc::clone(&self.none)) } else { self.find(prefix).ok_or_else(|| unbound(prefix)) }
    }

    fn find(&self, prefix: &str) -> Option<Arc<str>> {
        if prefix == "xml" {
            return Some(Arc::clone(&self.xml));
        }
        let declaration = self.declarations.iter().rev().find(|d| d.prefix == prefix)?;
        Some(Arc::clone(&declaration.namespace))
    }
}

fn unbound(prefix: &str) -> String {
    format!("prefix '{prefix}' is not declared")
}

/// A qualified name as prefix, empty if there is none, and local part (Namespaces in XML 1.0 §4).
pub(super) fn split_qname(name: &str) -> Result<(&str, &str), String> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    if is_ncname(local) && (prefix.len() + local.len() == name.len() || is_ncname(prefix)) {
        return Ok((prefix, local));
    }
    Err(format!("'{name}' is not a name"))
}

/// A name without a colon.
pub(super) fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

/// XML 1.0 (fifth edition) §2.3, production 4, without the colon. U+FFFD is left out too: the decoder writes it for bytes that
/// are no character.
fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_')
        || matches!(c, '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}')
        || matches!(c, '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}')
        || matches!(c, '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}')
        || matches!(c, '\u{FDF0}'..='\u{FFFC}' | '\u{10000}'..='\u{EFFFF}')
}

/// Production 4a.
fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names() {
        for (name, expected) in [
            ("a", Some(("", "a"))),
            ("p:a", Some(("p", "a"))),
            ("_-.9", Some(("", "_-.9"))),
            ("größe", Some(("", "größe"))),
            ("名:前", Some(("名", "前"))),
            ("a\u{B7}", Some(("", "a\u{B7}"))),
            ("", None),
            (":", None),
            (":a", None),
            ("a:", None),
            ("a:b:c", None),
            ("1a", None),
            ("-a", None),
            ("p:1", None),
            ("a b", None),
            ("a'", None),
            ("a=", None),
            ("×", None),
            ("a×", None),
            ("\u{B7}", None),
            ("\u{37E}", None),
            ("a\u{FFFD}", None),
        ] {
            assert_eq!(split_qname(name).ok(), expected, "{name:?}");
        }
    }

    #[test]
    fn the_innermost_declaration_counts_and_ends_with_its_element() {
        let mut scope = Scope::new();
        let of = |scope: &Scope, prefix: &str| scope.of_element(prefix).ok().map(|n| n.to_string());
        assert_eq!((of(&scope, ""), of(&scope, "p")), (Some(String::new()), None));
        scope.declare("", "urn:outer", 0).expect("default");
        scope.declare("p", "urn:p", 0).expect("prefix");
        scope.declare("", "", 1).expect("undeclaring the default");
        scope.declare("p", "urn:q", 1).expect("redeclaring");
        assert_eq!((of(&scope, ""), of(&scope, "p")), (Some(String::new()), Some("urn:q".to_owned())));
        scope.end(1);
        assert_eq!((of(&scope, ""), of(&scope, "p")), (Some("urn:outer".to_owned()), Some("urn:p".to_owned())));
        assert_eq!(scope.of_attribute("").as_deref(), Ok(""), "no default for attributes");
        assert_eq!(scope.of_attribute("xml").as_deref(), Ok(XML));
        scope.end(0);
        assert_eq!((of(&scope, ""), of(&scope, "p")), (Some(String::new()), None));
    }

    #[test]
    fn what_may_not_be_declared() {
        for (prefix, namespace, allowed) in [
            ("p", "", false),
            ("", "", true),
            ("xml", XML, true),
            ("xml", "urn:a", false),
            ("p", XML, false),
            ("", XML, false),
            ("xmlns", XMLNS, false),
            ("xmlns", "urn:a", false),
            ("p", XMLNS, false),
            ("", XMLNS, false),
            ("xmlfoo", "urn:a", true),
        ] {
            assert_eq!(Scope::new().declare(prefix, namespace, 0).is_ok(), allowed, "xmlns:{prefix}='{namespace}'");
        }
        assert!(Scope::new().of_element("xmlns").is_err(), "no name has this prefix");
    }
}
