//! Records: the content of a message by its described type, read from and written to XML.

mod read;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;

use crate::contract::edition::Edition;
use crate::contract::{ComplexType, Field, SERIALIZATION_ARRAYS};
use crate::seats::is_undecoded;
use crate::soap::xml::Writer;

pub use read::{Naming, ValueError, read, read_value};

/// Values of the fields of one complex type, in its order; `None`: absent.
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

/// How an absent value is written.
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

    /// The first field that both have with different values.
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

    /// The first field, in this record or below it, whose text has U+FFFD; see [`is_undecoded`].
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

    /// The fields in their order, each with its value.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, Option<&Value>)> {
        self.of.fields.iter().zip(self.values.iter().map(Option::as_ref))
    }

    /// Writes the fields of an edition as children of the open element.
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
    /// A simple value as text; `None` for a compound value and for null.
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
        // It is null: otherwise a simple value has a text.
        _ => w.nil(name),
    };
}
