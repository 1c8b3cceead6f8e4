//! Carriers as JSON and as XML, member by member in the order of their description. All members are present.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::select::Select;
use crate::contract::record::{Record, Value};
use crate::contract::{Declared, Kind};
use crate::soap::XSI;
use crate::soap::xml::Writer;

/// The selected part of a value. `None` is null.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    pub value: Option<&'a Value>,
    /// The kind of the value, also of null.
    pub kind: Kind,
    /// The selected members.
    pub select: &'a Select,
}

impl Written<'_> {
    /// On one line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|e| unreachable!("all keys are strings and nothing fails: {e}"))
    }

    /// A document whose root has the name of the type.
    pub fn xml(&self) -> String {
        let mut w = Writer::compact();
        let root = match self.kind {
            Kind::Complex(of) => of.name,
            Kind::Array(of) => of.name,
            Kind::Strings => "ArrayOfstring",
            Kind::Int => "int",
            Kind::Boolean => "boolean",
            _ => "string",
        };
        w.open(root).attribute("xmlns:xsi", XSI);
        self.content(&mut w);
        w.finish()
    }

    /// Fills the element that was just opened.
    fn content(&self, w: &mut Writer) {
        match self.value {
            None if is_dictionary(self.kind) => {}
            None => _ = w.attribute("xsi:nil", "true"),
            Some(Value::Record(record)) => members(w, record, self.select),
            Some(Value::Array(items)) => {
                for item in items {
                    w.open(item.of().name);
                    members(w, item, self.select);
                    w.close();
                }
            }
            Some(Value::Strings(values)) => values.iter().for_each(|value| _ = w.leaf("string", value)),
            Some(Value::Ints(values)) => values.iter().for_each(|value| _ = w.leaf("int", &value.to_string())),
            Some(simple) => _ = w.text(&simple.text().unwrap_or_default()),
        }
    }
}

fn members(w: &mut Writer, record: &Record, select: &Select) {
    for (name, member) in wanted(record, select) {
        w.open(name);
        member.content(w);
        w.close();
    }
}

/// The members of a record, null where they are not selected.
fn wanted<'a>(record: &'a Record, select: &'a Select) -> impl Iterator<Item = (&'static str, Written<'a>)> {
    record.fields().map(move |(field, value)| {
        let written = match select.of(field.name) {
            Some(select) => Written { value, kind: field.kind, select },
            // With the kind of a string, because a missing string is null. A missing dictionary would be written as an empty one.
            None => Written { value: None, kind: Kind::String, select },
        };
        (field.name, written)
    })
}

/// A missing dictionary is written as an empty one, not as null.
fn is_dictionary(kind: Kind) -> bool {
    matches!(kind, Kind::Declared(Declared::Dictionary { .. }))
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            None if is_dictionary(self.kind) => serializer.serialize_map(Some(0))?.end(),
            None => serializer.serialize_unit(),
            Some(Value::Record(record)) => Members { record, select: self.select }.serialize(serializer),
            Some(Value::Array(items)) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for record in items {
                    seq.serialize_element(&Members { record, select: self.select })?;
                }
                seq.end()
            }
            Some(Value::Strings(values)) => values.serialize(serializer),
            Some(Value::Ints(values)) => values.serialize(serializer),
            Some(Value::Int(number)) => serializer.serialize_i32(*number),
            Some(Value::Boolean(value)) => serializer.serialize_bool(*value),
            Some(simple) => simple.text().serialize(serializer),
        }
    }
}

struct Members<'a> {
    record: &'a Record,
    select: &'a Select,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, member) in wanted(self.record, self.select) {
            map.serialize_entry(name, &member)?;
        }
        map.end()
    }
}

/// An error object: a flag that is true, and texts by name. `root`: of the XML document.
pub fn problem(
    root: &'static str,
    flag: Option<&'static str>,
    members: &[(&'static str, &str)],
    as_xml: bool,
) -> String {
    if as_xml {
        let mut w = Writer::compact();
        w.open(root);
        flag.into_iter().for_each(|name| _ = w.leaf(name, "true"));
        members.iter().for_each(|(name, text)| _ = w.leaf(name, text));
        return w.finish();
    }
    let flag = flag.map(|name| (name.to_owned(), true.into()));
    let texts = members.iter().map(|(name, text)| ((*name).to_owned(), (*text).into()));
    serde_json::Value::Object(flag.into_iter().chain(texts).collect()).to_string()
}
