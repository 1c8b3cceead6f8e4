//! Arguments from a request: an object as JSON, XML or a form, one value that is the whole body, and parameters of the
//! query. Names compare without regard to case, unknown names are ignored, and null is the same as left out.

use serde_json::Value as Json;

use super::{FORM_TYPE, MEDIA_TYPES, TEXT_TYPE, is_xml};
use crate::contract::edition::Edition;
use crate::contract::record::{self, Naming, Record, Value};
use crate::contract::{ComplexType, Enumeration, Field, Kind};
use crate::soap::envelope::{self, Element, Limits};
use crate::soap::excerpt;

/// The syntax of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    Json,
    Xml,
    Form,
    /// One string, unchanged.
    Text,
}

impl Syntax {
    /// By media type in lower case; `None`: it is not accepted.
    pub fn of_media_type(media_type: &str) -> Option<Syntax> {
        match media_type {
            FORM_TYPE => Some(Syntax::Form),
            TEXT_TYPE => Some(Syntax::Text),
            known if MEDIA_TYPES.contains(&known) => Some(if is_xml(known) { Syntax::Xml } else { Syntax::Json }),
            _ => None,
        }
    }

    /// The syntax that a body seems to have, whatever its Content-Type says.
    pub fn of_text(text: &str) -> Option<Syntax> {
        let name_of_pair = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '[' | ']' | '%' | '_' | '.'))
        };
        match text.trim_start().chars().next()? {
            '{' => Some(Syntax::Json),
            '<' => Some(Syntax::Xml),
            '[' | '"' if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => Some(Syntax::Json),
            _ => text.split_once('=').filter(|(name, _)| name_of_pair(name)).map(|_| Syntax::Form),
        }
    }

    /// The name of the syntax, and the Content-Type to send it with.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Syntax::Json => ("JSON", MEDIA_TYPES[0]),
            Syntax::Xml => ("XML", MEDIA_TYPES[2]),
            Syntax::Form => ("a form", FORM_TYPE),
            Syntax::Text => ("plain text", TEXT_TYPE),
        }
    }
}

/// The members of an object of type `of`. The error says why the body is invalid.
pub fn object(text: &str, syntax: Syntax, of: &'static ComplexType, limits: &Limits) -> Result<Record, String> {
    match syntax {
        _ if text.trim().is_empty() => Ok(Record::new(of)),
        Syntax::Json => match json(text, limits)? {
            Json::Null => Ok(Record::new(of)),
            Json::Object(members) => record(&members, of),
            _ => Err("The body is not a JSON object. Send the arguments as { \"name\": value }.".to_owned()),
        },
        Syntax::Xml => record::read(&document(text, limits)?, of, Naming::Local).map_err(|e| e.reason),
        // If the operation has no arguments, the body is ignored.
        Syntax::Form if !of.fields.is_empty() && is_no_form(text) => Err(no_form(text)),
        Syntax::Form => pairs(text, of),
        Syntax::Text => Err(format!("The body cannot be {}.", Syntax::Text.names().0)),
    }
}

/// One value that is the whole body: the argument `field`.
pub fn value(text: &str, syntax: Syntax, field: &Field, limits: &Limits) -> Result<Option<Value>, String> {
    match syntax {
        _ if text.trim().is_empty() => Ok(None),
        Syntax::Json => from_json(&json(text, limits)?, field.kind, "The body"),
        Syntax::Xml => {
            let root = document(text, limits)?;
            let is_text = root.name.eq_ignore_ascii_case("string") || !root.text.trim().is_empty();
            if matches!(field.kind, Kind::String) && !(is_text && root.children.is_empty()) {
                // A document sent directly, not as the text of an element.
                return Ok(Some(Value::String(text.to_owned())));
            }
            record::read_value(&root, field.kind, Naming::Local).map_err(|e| e.reason)
        }
        Syntax::Form if is_no_form(text) => Err(no_form(text)),
        // ASP.NET reads a value without a name.
        Syntax::Form => from_pairs(text, field, &["", field.name]),
        Syntax::Text => Ok(Some(Value::String(text.to_owned()))),
    }
}

/// The arguments among the pairs of a form or a query.
pub fn pairs(text: &str, of: &'static ComplexType) -> Result<Record, String> {
    of.fields.iter().try_fold(Record::new(of), |record, field| {
        Ok(record.with_some(field.name, from_pairs(text, field, &[field.name])?))
    })
}

/// A value from a path, a query or a form.
pub fn from_text(text: &str, kind: Kind, name: &str) -> Result<Option<Value>, String> {
    Ok(Some(match kind {
        Kind::Int => int_from_text(text, name)?,
        Kind::Boolean => boolean_from_text(text, name)?,
        Kind::Enumeration(of) => enumeration(of.value(text), of, name)?,
        Kind::String => Value::String(text.to_owned()),
        _ => return Err(format!("{name} cannot be sent in a form or a query. Send it in a body of JSON or XML.")),
    }))
}

/// A field under one of its names. A list has a pair for each item: `Name[0]=a`, `Name[]=a` or `Name=a`; items with a number come
/// first, in the order of their numbers.
fn from_pairs(text: &str, field: &Field, names: &[&str]) -> Result<Option<Value>, String> {
    let mut found: Vec<(Index, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let behind = |own: &&str| strip_prefix(&name, own).filter(|rest| rest.is_empty() || rest.starts_with('['));
        let suffix = names.iter().find_map(behind);
        let Some(suffix) = suffix else { continue };
        if !is_in_pairs(field.kind) {
            return Err(format!(
                "{} cannot be sent in a form or a query. Send it in a body of JSON or XML.",
                field.name
            ));
        }
        let index = Index::of(suffix).ok_or_else(|| {
            let suffix = excerpt(suffix);
            format!("'{suffix}' behind {} is not an index. Write [0], [1] and so on, or [].", field.name)
        })?;
        found.push((index, value.into_owned()));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut values = found.into_iter().map(|(_, value)| value);
    match field.kind {
        Kind::Strings => Ok(Some(values.collect()).filter(|all: &Vec<_>| !all.is_empty()).map(Value::Strings)),
        kind => values.next().map_or(Ok(None), |text| from_text(&text, kind, field.name)),
    }
}

/// The place of an item in its list: by number, of any length, or after the numbered items.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    Number { digits: usize, text: String },
    Behind,
}

impl Index {
    fn of(suffix: &str) -> Option<Index> {
        if suffix.is_empty() || suffix == "[]" {
            return Some(Index::Behind);
        }
        let number = suffix.strip_prefix('[')?.strip_suffix(']')?;
        let digits = number.trim_start_matches('0');
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Index::Number { digits: digits.len(), text: digits.to_owned() })
    }
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

const fn is_in_pairs(kind: Kind) -> bool {
    matches!(kind, Kind::String | Kind::Int | Kind::Boolean | Kind::Enumeration(_) | Kind::Strings)
}

fn is_no_form(text: &str) -> bool {
    matches!(Syntax::of_text(text), Some(Syntax::Json | Syntax::Xml))
}

/// curl and others send a body as a form if the caller names no Content-Type.
fn no_form(text: &str) -> String {
    let (name, media_type) = Syntax::of_text(text).unwrap_or(Syntax::Json).names();
    format!("The body looks like {name}, but its Content-Type is {FORM_TYPE}. Send Content-Type: {media_type}.")
}

/// The syntax that an unreadable body may have instead: a sentence after the error, or nothing.
fn other_syntax(text: &str, read_as: Syntax) -> String {
    match Syntax::of_text(text) {
        Some(other) if other != read_as => {
            let (name, media_type) = other.names();
            format!(" It looks like {name}: send it with Content-Type: {media_type}.")
        }
        _ => String::new(),
    }
}

fn document(text: &str, limits: &Limits) -> Result<Element, String> {
    envelope::document(text, limits)
        .map_err(|e| format!("The body could not be read: {e}.{}", other_syntax(text, Syntax::Xml)))
}

/// Limited like XML, because a few bytes of text become hundreds in memory.
fn json(text: &str, limits: &Limits) -> Result<Json, String> {
    if values_at_most(text) > limits.elements_max {
        return Err(format!("The body could not be read: more than {} values.", limits.elements_max));
    }
    serde_json::from_str(text).map_err(|e| format!("The body is not JSON: {e}.{}", other_syntax(text, Syntax::Json)))
}

/// An upper bound of the values in JSON, at most twice their number: one at first, one in each array and object, and one
/// behind each comma.
fn values_at_most(text: &str) -> usize {
    let (mut values, mut in_string, mut escaped) = (1, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

fn record(members: &serde_json::Map<String, Json>, of: &'static ComplexType) -> Result<Record, String> {
    let mut record = Record::new(of);
    for (name, value) in members {
        if let Some(field) = of.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)) {
            record = record.with_some(field.name, from_json(value, field.kind, field.name)?);
        }
    }
    Ok(record)
}

/// `name`: that of the value in errors.
fn from_json(value: &Json, kind: Kind, name: &str) -> Result<Option<Value>, String> {
    let unfit = |what: &str| Err(format!("{name} is not {what}."));
    Ok(Some(match (kind, value) {
        (Kind::Declared(_), _) | (_, Json::Null) => return Ok(None),
        (Kind::String | Kind::Base64, Json::String(text)) => Value::String(text.clone()),
        (Kind::String | Kind::Base64, _) => return unfit("a string"),
        (Kind::DateTime | Kind::NullableDateTime, Json::String(text)) => Value::DateTime(text.trim().to_owned()),
        (Kind::DateTime | Kind::NullableDateTime, _) => return unfit("a date-time"),
        (Kind::Int, Json::Number(number)) => match int_from_number(number) {
            Some(number) => Value::Int(number),
            None => return unfit("an integer of 32 bits"),
        },
        (Kind::Int, Json::String(text)) => int_from_text(text, name)?,
        (Kind::Int, _) => return unfit("an integer"),
        (Kind::Boolean, Json::Bool(value)) => Value::Boolean(*value),
        (Kind::Boolean, Json::String(text)) => boolean_from_text(text, name)?,
        (Kind::Boolean, _) => return unfit("a boolean"),
        (Kind::Enumeration(of), Json::String(text)) => enumeration(of.value(text), of, name)?,
        (Kind::Enumeration(of), Json::Number(number)) => {
            enumeration(int_from_number(number).and_then(|number| of.numbered(number)), of, name)?
        }
        (Kind::Enumeration(_), _) => return unfit("the name or number of a value"),
        (Kind::Complex(of), Json::Object(members)) => Value::Record(record(members, of)?),
        (Kind::Complex(_), _) => return unfit("an object"),
        (Kind::Array(of), Json::Array(items)) => {
            let items = items.iter().filter(|item| !item.is_null()).map(|item| match item {
                Json::Object(members) => record(members, of.item),
                _ => Err(format!("{name} has an item that is not an object.")),
            });
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Kind::Strings, Json::Array(items)) => {
            let items = items.iter().map(|item| item.as_str().map(str::to_owned));
            let items = items.collect::<Option<_>>();
            Value::Strings(items.ok_or_else(|| format!("{name} has an item that is not a string."))?)
        }
        (Kind::Ints, _) => return Ok(None),
        (Kind::Array(_) | Kind::Strings, _) => return unfit("an array"),
    }))
}

/// JSON has one type of number: 5.0 and 5e0 are 5.
fn int_from_number(number: &serde_json::Number) -> Option<i32> {
    let whole =
        number.as_f64().filter(|n| n.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(n))?;
    Some(whole as i32)
}

fn int_from_text(text: &str, name: &str) -> Result<Value, String> {
    text.trim().parse().map(Value::Int).map_err(|_| format!("{name} is not an integer of 32 bits."))
}

fn boolean_from_text(text: &str, name: &str) -> Result<Value, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Boolean(true)),
        "false" => Ok(Value::Boolean(false)),
        _ => Err(format!("{name} is not a boolean.")),
    }
}

fn enumeration(value: Option<&'static str>, of: &Enumeration, name: &str) -> Result<Value, String> {
    value
        .map(Value::Enumeration)
        .ok_or_else(|| format!("{name} is not one of {}.", of.names(Edition::WebApi).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_without_reading_them() {
        for (text, values) in [
            ("", 1),
            ("5", 1),
            (r#""a,b""#, 1),
            ("[1,2,3]", 4),
            (r#"{"a":1,"b":[{},{}]}"#, 7),
            (r#"["[{,\",", "\\",5]"#, 4),
        ] {
            assert_eq!(values_at_most(text), values, "{text}");
        }
    }
}
