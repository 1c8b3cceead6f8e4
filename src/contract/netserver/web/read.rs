//! Arguments from the body of a request: an object as JSON, XML or a form. Member names compare without regard to case,
//! unknown members are passed over, and what is null is not there.

use serde_json::Value as Json;

use super::{FORM_TYPE, MEDIA_TYPES, is_xml};
use crate::contract::edition::Edition;
use crate::contract::message::{self, Record, Value};
use crate::contract::{ComplexType, Enumeration, Kind};
use crate::soap::envelope::{self, Limits};

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    Json,
    Xml,
    Form,
}

impl Syntax {
    /// By media type in lower case; `None`: it is not taken.
    pub fn of_media_type(media_type: &str) -> Option<Syntax> {
        match media_type {
            FORM_TYPE => Some(Syntax::Form),
            known if MEDIA_TYPES.contains(&known) => Some(if is_xml(known) { Syntax::Xml } else { Syntax::Json }),
            _ => None,
        }
    }
}

/// The members of an object of type `of`. Says why where there are none to be had.
pub fn object(text: &str, syntax: Syntax, of: &'static ComplexType, limits: &Limits) -> Result<Record, String> {
    match syntax {
        _ if text.trim().is_empty() => Ok(Record::new(of)),
        Syntax::Json => match json(text, limits)? {
            Json::Null => Ok(Record::new(of)),
            Json::Object(members) => record(&members, of),
            _ => Err("The body is not a JSON object.".to_owned()),
        },
        Syntax::Xml => {
            let root = envelope::document(text, limits).map_err(|e| format!("The body could not be read: {e}."))?;
            message::read(&root, of, None).map_err(|e| e.reason)
        }
        Syntax::Form => form(text, of),
    }
}

/// One value that is the whole body.
pub fn value(text: &str, syntax: Syntax, kind: Kind, limits: &Limits) -> Result<Option<Value>, String> {
    match syntax {
        _ if text.trim().is_empty() => Ok(None),
        Syntax::Json => from_json(&json(text, limits)?, kind, "The body"),
        Syntax::Xml => {
            let root = envelope::document(text, limits).map_err(|e| format!("The body could not be read: {e}."))?;
            message::read_value(&root, kind, None).map_err(|e| e.reason)
        }
        Syntax::Form => Err("The body must be a single value, as JSON or XML.".to_owned()),
    }
}

/// A value from a path or a query.
pub fn from_text(text: &str, kind: Kind, name: &str) -> Result<Option<Value>, String> {
    match kind {
        Kind::Int => int_from_text(text, name).map(Some),
        _ => Ok(Some(Value::String(text.to_owned()))),
    }
}

/// Bounded like XML: a few bytes of text become hundreds in memory.
fn json(text: &str, limits: &Limits) -> Result<Json, String> {
    if values_at_most(text) > limits.elements_max {
        return Err(format!("The body could not be read: more than {} values.", limits.elements_max));
    }
    serde_json::from_str(text).map_err(|e| format!("The body is not JSON: {e}."))
}

/// At least as many values as there are in JSON, and twice as many at most: one at first, one in each array and object, and one behind
/// each comma.
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

/// `name`: what to call the value where it does not fit.
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
        (Kind::Enumeration(of), Json::String(text)) => enumeration(text, of, name)?,
        (Kind::Enumeration(_), _) => return unfit("the name of a value"),
        (Kind::Complex(of), Json::Object(members)) => Value::Record(record(members, of)?),
        (Kind::Complex(_), _) => return unfit("an object"),
        (Kind::Array(of), Json::Array(items)) => {
            let items = items.iter().filter(|item| !item.is_null()).map(|item| match item {
                Json::Object(members) => record(members, of.item),
                _ => Err(format!("An item of {name} is not an object.")),
            });
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Kind::Strings, Json::Array(items)) => {
            let items = items.iter().map(|item| item.as_str().map(str::to_owned));
            Value::Strings(items.collect::<Option<_>>().ok_or_else(|| format!("An item of {name} is not a string."))?)
        }
        (Kind::Ints, _) => return Ok(None),
        (Kind::Array(_) | Kind::Strings, _) => return unfit("an array"),
    }))
}

/// Only simple values can be in a form. Of a list each item is a pair of its own.
fn form(text: &str, of: &'static ComplexType) -> Result<Record, String> {
    let mut record = Record::new(of);
    for field in of.fields {
        let mut values = form_urlencoded::parse(text.as_bytes())
            .filter(|(name, _)| field.name.eq_ignore_ascii_case(name.trim_end_matches("[]")))
            .map(|(_, value)| value.into_owned());
        let value = match field.kind {
            Kind::String => values.next().map(Value::String),
            Kind::Int => values.next().map(|text| int_from_text(&text, field.name)).transpose()?,
            Kind::Strings => Some(values.collect()).filter(|all: &Vec<_>| !all.is_empty()).map(Value::Strings),
            _ if values.next().is_some() => return Err(format!("{} cannot be sent in a form: send JSON.", field.name)),
            _ => None,
        };
        record = record.with_some(field.name, value);
    }
    Ok(record)
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

fn enumeration(text: &str, of: &'static Enumeration, name: &str) -> Result<Value, String> {
    let found = of.values.iter().find(|value| value.name.eq_ignore_ascii_case(text.trim()));
    found
        .map(|value| Value::Enumeration(value.name))
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
