//! Records from XML: the elements of a message, read by their described type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Record, Value};
use crate::contract::edition::Edition;
use crate::contract::{ComplexType, Enumeration, Field, Kind, SERIALIZATION_ARRAYS};
use crate::soap::envelope::Element;
use crate::soap::excerpt;

/// A value that does not fit its type.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueError {
    /// First .NET's sentence, unchanged, because clients may match it; then the name of the element and the values that it takes.
    pub reason: String,
    /// The end of the invalid element, as a byte offset into the message.
    pub at: usize,
}

/// How the elements of a message are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming<'n> {
    /// By name and namespace. Elements of other namespaces are ignored, as in the original ASMX service.
    Exact(&'n str),
    /// The same, but a missing element may be in another namespace: NuSOAP and other toolkits write arguments without a
    /// namespace, and the items of a list in the service's namespace.
    Near(&'n str),
    /// By local name alone, in any case.
    Local,
}

impl<'n> Naming<'n> {
    /// The same for elements of another namespace.
    fn of(self, namespace: &'n str) -> Naming<'n> {
        match self {
            Naming::Exact(_) => Naming::Exact(namespace),
            Naming::Near(_) => Naming::Near(namespace),
            Naming::Local => Naming::Local,
        }
    }

    /// Whether a number may stand for the name of an enumeration's value. The ASMX service accepts names only.
    const fn has_numbers(self) -> bool {
        !matches!(self, Naming::Exact(_))
    }

    fn edition(self) -> Edition {
        match self {
            Naming::Exact(namespace) | Naming::Near(namespace) => Edition::of_namespace(namespace),
            Naming::Local => Edition::WebApi,
        }
    }

    fn fits(self, element: &Element, name: &str) -> bool {
        match self {
            Naming::Exact(namespace) | Naming::Near(namespace) => element.is(namespace, name),
            Naming::Local => element.name.eq_ignore_ascii_case(name),
        }
    }
}

/// Reads the children of `element` as the original service does: in any order; unknown elements are ignored; of a repeated
/// element the first counts; missing elements stay absent. The namespace also determines the edition; elements of later editions
/// are unknown.
pub fn read(element: &Element, of: &'static ComplexType, naming: Naming<'_>) -> Result<Record, ValueError> {
    let mut record = Record::new(of);
    let edition = naming.edition();
    // If the first of a repeated element is null, it stays null.
    let mut seen = vec![false; of.fields.len()];
    for child in &element.children {
        let is_meant = |f: &Field| f.since <= edition && naming.fits(child, f.name);
        let Some(at) = of.fields.iter().position(is_meant) else { continue };
        if !std::mem::replace(&mut seen[at], true) {
            record.values[at] = read_value(child, of.fields[at].kind, naming)?;
        }
    }
    if let Naming::Near(namespace) = naming {
        let unseen = seen.into_iter().map(|seen| !seen);
        let fields = record.values.iter_mut().zip(of.fields).zip(unseen);
        for ((value, field), _) in fields.filter(|((_, field), unseen)| *unseen && field.since <= edition) {
            if let Some(child) = neighbours(element, field.name, namespace)?.first() {
                *value = read_value(child, field.kind, naming)?;
            }
        }
    }
    Ok(record)
}

/// Reads the value of an element; `None` is null.
pub fn read_value(element: &Element, kind: Kind, naming: Naming<'_>) -> Result<Option<Value>, ValueError> {
    match kind {
        Kind::Declared(_) => Ok(None),
        _ if kind.is_reference() && element.is_nil() => Ok(None),
        Kind::Complex(of) => Ok(Some(Value::Record(read(element, of, naming)?))),
        Kind::Array(of) => {
            let items = items(element, of.item.name, naming)?.into_iter();
            Ok(Some(Value::Array(items.map(|item| read(item, of.item, naming)).collect::<Result<_, _>>()?)))
        }
        Kind::Strings => {
            let items = items(element, "string", naming.of(SERIALIZATION_ARRAYS))?;
            if items.is_empty() && !matches!(naming, Naming::Exact(_)) {
                only_strings(element, naming)?;
            }
            Ok(Some(Value::Strings(items.into_iter().map(|item| item.text.clone()).collect())))
        }
        Kind::Enumeration(of)
            if naming.has_numbers()
                && element.children.is_empty()
                && let Some(value) = element.text.trim().parse().ok().and_then(|number| of.numbered(number)) =>
        {
            Ok(Some(Value::Enumeration(value)))
        }
        _ => read_simple(element, kind)
            .map(Some)
            .map_err(|reason| ValueError { reason: format!("{reason} {}", expected(element, kind)), at: element.end }),
    }
}

/// The sentence after .NET's: the element and the values that it takes.
fn expected(element: &Element, kind: Kind) -> String {
    let what = match kind {
        _ if !element.children.is_empty() => "text without elements".to_owned(),
        Kind::Int => {
            let text = excerpt(&element.text);
            format!("a whole number from {} to {}, and holds '{text}'", i32::MIN, i32::MAX)
        }
        Kind::Boolean => "true or false, in lower case".to_owned(),
        Kind::Enumeration(of) => {
            let names: Vec<&str> = of.values.iter().map(|value| value.name).collect();
            format!("one of: {}", names.join(", "))
        }
        Kind::Base64 => "Base-64 with its padding".to_owned(),
        Kind::NullableDateTime => "a date-time like 2026-01-31T12:00:00Z".to_owned(),
        _ => "text".to_owned(),
    };
    format!("Element '{}' takes {what}.", excerpt(&element.name))
}

/// The items of a list that are not null.
fn items<'e>(list: &'e Element, name: &str, naming: Naming<'_>) -> Result<Vec<&'e Element>, ValueError> {
    let mut items: Vec<&Element> = list.children.iter().filter(|child| naming.fits(child, name)).collect();
    if let Naming::Near(namespace) = naming {
        let others = neighbours(list, name, namespace)?;
        match (items.first(), others.first()) {
            (None, _) => items = others,
            (Some(_), None) => {}
            // The whole list is processed, so none of its items may be ignored.
            (Some(_), Some(other)) => {
                let reason = format!(
                    "Some elements '{name}' inside '{}' are in another namespace. Send all of them in namespace '{namespace}'.",
                    excerpt(&list.name)
                );
                return Err(ValueError { reason, at: other.end });
            }
        }
    }
    items.retain(|item| !item.is_nil());
    Ok(items)
}

/// Refuses a list whose items have another name, or stand in its text.
fn only_strings(list: &Element, naming: Naming<'_>) -> Result<(), ValueError> {
    let is_string = |child: &Element| match naming {
        Naming::Local => child.name.eq_ignore_ascii_case("string"),
        Naming::Exact(_) | Naming::Near(_) => child.name == "string",
    };
    let name = excerpt(&list.name);
    let (found, at) = match list.children.iter().find(|child| !is_string(child)) {
        Some(other) => (format!("Element '{}' was not expected inside '{name}'.", excerpt(&other.name)), other.end),
        None if list.text.trim().is_empty() => return Ok(()),
        None => (format!("Element '{name}' takes a list, and holds '{}'.", excerpt(&list.text)), list.end),
    };
    let send = format!("Send each item as an element 'string' of namespace '{SERIALIZATION_ARRAYS}'.");
    Err(ValueError { reason: format!("{found} {send}"), at })
}

/// The children of this name, if none is in `namespace` and all are in one other namespace. If they are in several, the message
/// is ambiguous.
fn neighbours<'e>(parent: &'e Element, name: &str, namespace: &str) -> Result<Vec<&'e Element>, ValueError> {
    let found: Vec<&Element> =
        parent.children.iter().filter(|child| child.name == name && &*child.namespace != namespace).collect();
    match found.iter().find(|child| child.namespace != found[0].namespace) {
        None => Ok(found),
        Some(other) => Err(ValueError {
            reason: format!(
                "Element '{name}' stands in '{}' in several namespaces, and in none of them is it expected. Send it in namespace '{namespace}'.",
                excerpt(&parent.name)
            ),
            at: other.end,
        }),
    }
}

fn read_simple(element: &Element, kind: Kind) -> Result<Value, String> {
    if let Some(child) = element.children.first() {
        let (child, element) = (excerpt(&child.name), excerpt(&element.name));
        return Err(format!("Element '{child}' was not expected inside '{element}'."));
    }
    let text = element.text.as_str();
    match kind {
        Kind::Int => read_int(text).map(Value::Int).map_err(str::to_owned),
        Kind::Enumeration(of) => read_enumeration(text, of),
        Kind::Boolean => match text.trim() {
            "true" | "1" => Ok(Value::Boolean(true)),
            "false" | "0" => Ok(Value::Boolean(false)),
            other => Err(format!("The string '{}' is not a valid Boolean value.", excerpt(other))),
        },
        Kind::Base64 => {
            let digits: String = text.split_ascii_whitespace().collect();
            let bytes = BASE64.decode(digits);
            bytes.map(Value::Base64).map_err(|_| "The input is not a valid Base-64 string.".to_owned())
        }
        Kind::NullableDateTime => {
            let time = text.trim().parse();
            let time = time.map_err(|_| format!("The string '{}' is not a valid AllXsd value.", excerpt(text)))?;
            Ok(Value::NullableDateTime(Some(time)))
        }
        Kind::DateTime => Ok(Value::DateTime(text.trim().to_owned())),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// xs:int, with white space around it and a plus sign as Int32.Parse takes them.
fn read_int(text: &str) -> Result<i32, &'static str> {
    let digits = text.trim();
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err("Input string was not in a correct format.");
    }
    digits.parse().map_err(|_| "Value was either too large or too small for an Int32.")
}

fn read_enumeration(text: &str, of: &'static Enumeration) -> Result<Value, String> {
    let value = of.values.iter().find(|v| v.name == text).map(|v| v.name);
    value
        .map(Value::Enumeration)
        .ok_or_else(|| format!("Instance validation error: '{}' is not a valid value for {}.", excerpt(text), of.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_int32_parse_reads_them() {
        const FORMAT: Result<i32, &str> = Err("Input string was not in a correct format.");
        const RANGE: Result<i32, &str> = Err("Value was either too large or too small for an Int32.");
        for (text, expected) in [
            ("42", Ok(42)),
            (" \n42\t", Ok(42)),
            ("+42", Ok(42)),
            ("-1", Ok(-1)),
            ("007", Ok(7)),
            ("2147483647", Ok(i32::MAX)),
            ("-2147483648", Ok(i32::MIN)),
            ("2147483648", RANGE),
            ("99999999999999999999", RANGE),
            ("", FORMAT),
            ("4 2", FORMAT),
            ("1.0", FORMAT),
            ("0x1", FORMAT),
            ("+-1", FORMAT),
            ("٤٢", FORMAT),
        ] {
            assert_eq!(read_int(text), expected, "{text:?}");
        }
    }
}
