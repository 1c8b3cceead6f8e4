//! Records: the contents of a message by its described type, and their way from and to XML.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;

use crate::contract::edition::Edition;
use crate::contract::{ComplexType, Enumeration, Field, Kind, SERIALIZATION_ARRAYS};
use crate::seats::{is_undecoded, shortened};
use crate::soap::envelope::Element;
use crate::soap::excerpt;
use crate::soap::xml::Writer;

/// Values of the fields of one complex type, in its order; `None`: not there.
#[derive(Clone)]
pub struct Record {
    of: &'static ComplexType,
    values: Vec<Option<Value>>,
}

impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        std::ptr::eq(self.of, other.of) && self.values == other.values
    }
}

#[derive(Clone, PartialEq)]
pub enum Value {
    String(String),
    Int(i32),
    Boolean(bool),
    Base64(Vec<u8>),
    NullableDateTime(Option<Timestamp>),
    DateTime(String),
    Enumeration(&'static str),
    Record(Record),
    Array(Vec<Record>),
    Strings(Vec<String>),
    Ints(Vec<i32>),
}

/// How a value that is not there is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Not at all.
    LeftOut,
    /// As an element with `xsi:nil`, where its type can be null.
    Nil,
}

impl Record {
    pub fn new(of: &'static ComplexType) -> Record {
        Record { of, values: of.fields.iter().map(|_| None).collect() }
    }

    pub fn with(self, field: &str, value: Value) -> Record {
        self.with_some(field, Some(value))
    }

    /// `None`: the field is left out.
    pub fn with_some(mut self, field: &str, value: Option<Value>) -> Record {
        let at = self.index(field);
        self.values[at] = value;
        self
    }

    pub fn get(&self, field: &str) -> Option<&Value> {
        self.values[self.index(field)].as_ref()
    }

    pub fn take_string(&mut self, field: &str) -> Option<String> {
        match self.take(field) {
            Some(Value::String(value)) => Some(value),
            _ => None,
        }
    }

    pub fn take_int(&mut self, field: &str) -> Option<i32> {
        match self.take(field) {
            Some(Value::Int(value)) => Some(value),
            _ => None,
        }
    }

    pub fn take_boolean(&mut self, field: &str) -> Option<bool> {
        match self.take(field) {
            Some(Value::Boolean(value)) => Some(value),
            _ => None,
        }
    }

    pub fn take_array(&mut self, field: &str) -> Option<Vec<Record>> {
        match self.take(field) {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        }
    }

    pub fn take_record(&mut self, field: &str) -> Option<Record> {
        match self.take(field) {
            Some(Value::Record(value)) => Some(value),
            _ => None,
        }
    }

    pub fn take_strings(&mut self, field: &str) -> Option<Vec<String>> {
        match self.take(field) {
            Some(Value::Strings(values)) => Some(values),
            _ => None,
        }
    }

    pub fn take_date_time(&mut self, field: &str) -> Option<String> {
        match self.take(field) {
            Some(Value::DateTime(value)) => Some(value),
            _ => None,
        }
    }

    pub fn take_enumeration(&mut self, field: &str) -> Option<&'static str> {
        match self.take(field) {
            Some(Value::Enumeration(value)) => Some(value),
            _ => None,
        }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        let at = self.index(field);
        self.values[at].take()
    }

    fn index(&self, field: &str) -> usize {
        let at = self.of.fields.iter().position(|f| f.name == field);
        at.unwrap_or_else(|| panic!("type {} has no field {field}: a mistake in the contract", self.of.name))
    }

    /// The first field that both have, and in which they differ.
    pub fn differs_from(&self, other: &Record) -> Option<&'static str> {
        let mut both = self.fields().zip(other.fields().map(|(_, value)| value));
        both.find_map(|((field, ours), theirs)| {
            (ours.is_some() && theirs.is_some() && ours != theirs).then_some(field.name)
        })
    }

    /// Takes the fields that this record lacks from another one of the same type.
    pub fn completed_by(mut self, other: Record) -> Record {
        for (own, theirs) in self.values.iter_mut().zip(other.values) {
            *own = own.take().or(theirs);
        }
        self
    }

    /// The first field, in this record or below it, that holds a text with U+FFFD; see [`is_undecoded`].
    pub fn undecoded(&self) -> Option<&'static str> {
        self.fields().find_map(|(field, value)| match value? {
            Value::String(text) | Value::DateTime(text) => is_undecoded(text).then_some(field.name),
            Value::Strings(texts) => texts.iter().any(|text| is_undecoded(text)).then_some(field.name),
            Value::Record(record) => record.undecoded(),
            Value::Array(records) => records.iter().find_map(Record::undecoded),
            _ => None,
        })
    }

    pub fn of(&self) -> &'static ComplexType {
        self.of
    }

    /// The fields in their order, each with what it holds.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, Option<&Value>)> {
        self.of.fields.iter().zip(self.values.iter().map(Option::as_ref))
    }

    /// Writes the fields that an edition has as children of the open element.
    pub fn write(&self, w: &mut Writer, edition: Edition, nulls: Nulls) {
        for (field, value) in self.fields().filter(|(field, _)| field.since <= edition) {
            match value {
                Some(value) => write_value(w, field.name, value, edition, nulls),
                None if nulls == Nulls::Nil && field.kind.is_reference() => _ = w.nil(field.name),
                None => {}
            }
        }
    }

    /// Writes this record as one item of an array.
    pub fn write_item(&self, w: &mut Writer, edition: Edition, nulls: Nulls) {
        w.open(self.of.name);
        self.write(w, edition, nulls);
        w.close();
    }
}

impl Value {
    /// A simple value as text; `None` of one that has parts, and of null.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::String(text) | Value::DateTime(text) => Some(text.into()),
            Value::Enumeration(name) => Some((*name).into()),
            Value::Int(number) => Some(number.to_string().into()),
            Value::Boolean(value) => Some(if *value { "true" } else { "false" }.into()),
            Value::Base64(bytes) => Some(BASE64.encode(bytes).into()),
            Value::NullableDateTime(time) => time.map(|time| time.to_string().into()),
            Value::Record(_) | Value::Array(_) | Value::Strings(_) | Value::Ints(_) => None,
        }
    }
}

fn write_value(w: &mut Writer, name: &'static str, value: &Value, edition: Edition, nulls: Nulls) {
    if let Some(text) = value.text() {
        w.leaf(name, &text);
        return;
    }
    match value {
        Value::Record(record) => {
            w.open(name);
            record.write(w, edition, nulls);
            w.close()
        }
        Value::Array(items) => {
            w.open(name);
            items.iter().for_each(|item| item.write_item(w, edition, nulls));
            w.close()
        }
        Value::Strings(values) => {
            w.open(name).attribute("xmlns:a", SERIALIZATION_ARRAYS);
            values.iter().for_each(|value| _ = w.leaf("a:string", value));
            w.close()
        }
        Value::Ints(values) => {
            w.open(name).attribute("xmlns:a", SERIALIZATION_ARRAYS);
            values.iter().for_each(|value| _ = w.leaf("a:int", &value.to_string()));
            w.close()
        }
        // Null: a simple value has a text otherwise.
        _ => w.nil(name),
    };
}

/// A value that does not fit its type.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueError {
    /// First the sentence of .NET, unchanged, because clients may look for it; then which element it is about, and what to
    /// send there.
    pub reason: String,
    /// Where the offending element ends, as a byte offset into the message.
    pub at: usize,
}

/// How the elements of a message are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming<'n> {
    /// By name and namespace. Elements of other namespaces are ignored, as in the ASMX service that clients know.
    Exact(&'n str),
    /// The same, but an element that is missing may be in another namespace: NuSOAP and other toolkits write arguments
    /// without a namespace, and the items of a list in that of the service.
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

    /// Whether a number may stand for the name of an enumeration's value. The ASMX service knows names alone.
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

/// Reads the children of `element`, as the original service does: in any order; unknown elements are ignored; of a repeated
/// element the first counts; what is missing stays absent. The namespace tells the edition too; elements of later editions are
/// unknown.
pub fn read(element: &Element, of: &'static ComplexType, naming: Naming<'_>) -> Result<Record, ValueError> {
    let mut record = Record::new(of);
    let edition = naming.edition();
    // A repeated element that was null first stays null.
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

/// Reads what an element holds; `None` is null.
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

/// What .NET does not say of a value that does not fit.
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
    if let Naming::Near(namespace) = naming
        && items.is_empty()
    {
        items = neighbours(list, name, namespace)?;
    }
    items.retain(|item| !item.is_nil());
    Ok(items)
}

/// Refuses a list that has items, but under another name, or as its text.
fn only_strings(list: &Element, naming: Naming<'_>) -> Result<(), ValueError> {
    let is_string = |child: &Element| match naming {
        Naming::Local => child.name.eq_ignore_ascii_case("string"),
        Naming::Exact(_) | Naming::Near(_) => child.name == "string",
    };
    let name = shortened(&list.name);
    let (found, at) = match list.children.iter().find(|child| !is_string(child)) {
        Some(other) => (format!("Element '{}' was not expected inside '{name}'.", shortened(&other.name)), other.end),
        None if list.text.trim().is_empty() => return Ok(()),
        None => (format!("Element '{name}' takes a list, and holds '{}'.", excerpt(&list.text)), list.end),
    };
    let send = format!("Send each item as an element 'string' of namespace '{SERIALIZATION_ARRAYS}'.");
    Err(ValueError { reason: format!("{found} {send}"), at })
}

/// The children of this name that were meant for `namespace`, where none is in it: all are in the same other one. In
/// several, it cannot be known which of them are meant.
fn neighbours<'e>(parent: &'e Element, name: &str, namespace: &str) -> Result<Vec<&'e Element>, ValueError> {
    let found: Vec<&Element> =
        parent.children.iter().filter(|child| child.name == name && &*child.namespace != namespace).collect();
    match found.iter().find(|child| child.namespace != found[0].namespace) {
        None => Ok(found),
        Some(other) => Err(ValueError {
            reason: format!(
                "Element '{name}' stands in '{}' in several namespaces, and in none of them is it expected. Send it in namespace '{namespace}'.",
                shortened(&parent.name)
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
