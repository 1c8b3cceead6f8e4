//! Records: the contents of a message by its described type, and their way from and to XML.

use crate::contract::{ComplexType, Enumeration, Kind};
use crate::soap::envelope::Element;
use crate::soap::xml::Writer;

/// Values of the fields of one complex type, in its order; `None`: not there.
pub struct Record {
    of: &'static ComplexType,
    values: Vec<Option<Value>>,
}

pub enum Value {
    String(String),
    Int(i32),
    Enumeration(&'static str),
    Record(Record),
}

impl Record {
    pub fn new(of: &'static ComplexType) -> Record {
        Record { of, values: of.fields.iter().map(|_| None).collect() }
    }

    pub fn with(mut self, field: &str, value: Value) -> Record {
        let at = self.index(field);
        self.values[at] = Some(value);
        self
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

    /// Writes the fields that are there as children of the open element. Absent ones are left out.
    pub fn write(&self, w: &mut Writer) {
        for (field, value) in self.of.fields.iter().zip(&self.values) {
            match value {
                None => {}
                Some(Value::String(text)) => {
                    w.leaf(field.name, text);
                }
                Some(Value::Int(number)) => {
                    w.leaf(field.name, &number.to_string());
                }
                Some(Value::Enumeration(name)) => {
                    w.leaf(field.name, name);
                }
                Some(Value::Record(record)) => {
                    w.open(field.name);
                    record.write(w);
                    w.close();
                }
            }
        }
    }
}

/// A value that does not fit its type. Worded as .NET words it.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueError {
    pub reason: String,
    /// Where the offending element ends, as a byte offset into the message.
    pub at: usize,
}

/// Reads the children of `element`. As the service clients know: order is free, unknown elements and those of other
/// namespaces are passed over, of a repeated one the first counts, what is missing stays absent.
pub fn read(element: &Element, of: &'static ComplexType, namespace: &str) -> Result<Record, ValueError> {
    let mut record = Record::new(of);
    for child in element.children.iter().filter(|c| c.namespace == namespace) {
        let Some(at) = of.fields.iter().position(|f| f.name == child.name) else { continue };
        if record.values[at].is_none() {
            record.values[at] = read_value(child, of.fields[at].kind, namespace)?;
        }
    }
    Ok(record)
}

fn read_value(element: &Element, kind: Kind, namespace: &str) -> Result<Option<Value>, ValueError> {
    if let Kind::Complex(of) = kind {
        return if element.is_nil() { Ok(None) } else { Ok(Some(Value::Record(read(element, of, namespace)?))) };
    }
    let error = |reason: String| ValueError { reason, at: element.end };
    if let Some(child) = element.children.first() {
        return Err(error(format!("Element '{}' was not expected inside '{}'.", child.name, element.name)));
    }
    match kind {
        Kind::String if element.is_nil() => Ok(None),
        Kind::String => Ok(Some(Value::String(element.text.clone()))),
        Kind::Int => read_int(&element.text).map(|n| Some(Value::Int(n))).map_err(|e| error(e.to_owned())),
        Kind::Enumeration(of) => read_enumeration(&element.text, of).map(Some).map_err(error),
        Kind::Complex(_) => Ok(None),
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
    let value = of.values.iter().find(|v| **v == text);
    value
        .map(|v| Value::Enumeration(v))
        .ok_or_else(|| format!("Instance validation error: '{text}' is not a valid value for {}.", of.name))
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
