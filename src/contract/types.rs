//! The types of messages: what a field holds, and which edition added it.

use super::edition::Edition;

/// A sequence of elements.
pub struct ComplexType {
    pub name: &'static str,
    pub fields: &'static [Field],
}

pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// The edition that added it.
    pub since: Edition,
}

impl Field {
    /// A field of all editions.
    pub const fn new(name: &'static str, kind: Kind) -> Field {
        Field { name, kind, since: Edition::First }
    }

    /// The same field, which older editions do not have.
    pub const fn since(self, edition: Edition) -> Field {
        Field { since: edition, ..self }
    }
}

/// The type of an element. .NET's rule says which elements are required: values of reference types (string, class, array) may be
/// left out, values of value types (int, bool, enumeration) may not; a value that can be null is nillable.
#[derive(Clone, Copy)]
pub enum Kind {
    String,
    Int,
    Boolean,
    Base64,
    /// A time, or null (`xsi:nil`).
    NullableDateTime,
    /// A time as text, in the zone and form of its caller.
    DateTime,
    Enumeration(&'static Enumeration),
    Complex(&'static ComplexType),
    Array(&'static Array),
    /// Any number of strings, in elements `string` of .NET's own namespace ([`SERIALIZATION_ARRAYS`]).
    Strings,
    /// Any number of ints, likewise.
    Ints,
    /// A type that contracts declare and this service does not use: written as null, ignored in requests.
    Declared(&'static Declared),
}

/// Namespace of .NET's arrays of simple types.
pub const SERIALIZATION_ARRAYS: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";

/// See [`Kind::Declared`].
pub enum Declared {
    /// Pairs of a key and a value of this kind, each pair in an element of this name.
    Dictionary { name: &'static str, pair: &'static str, value: Kind },
    /// Any of these names, separated by blanks.
    Flags(Enumeration),
    /// A structure of another namespace.
    DsaParameters,
}

impl Kind {
    pub const fn min_occurs(self) -> &'static str {
        match self {
            Kind::Int | Kind::Boolean | Kind::NullableDateTime | Kind::DateTime | Kind::Enumeration(_) => "1",
            _ => "0",
        }
    }

    /// Whether it is of a reference type of .NET, which can be null.
    pub const fn is_reference(self) -> bool {
        match self {
            Kind::Int | Kind::Boolean | Kind::DateTime | Kind::Enumeration(_) => false,
            Kind::Declared(declared) => matches!(declared, Declared::Dictionary { .. }),
            _ => true,
        }
    }
}

/// A string with a fixed set of values.
pub struct Enumeration {
    pub name: &'static str,
    pub values: &'static [EnumValue],
}

impl Enumeration {
    /// The values of an edition, in their order.
    pub fn values(&self, edition: Edition) -> impl Iterator<Item = &'static EnumValue> {
        self.values.iter().filter(move |value| value.since <= edition)
    }

    /// Their names.
    pub fn names(&self, edition: Edition) -> Vec<&'static str> {
        self.values(edition).map(|value| value.name).collect()
    }

    /// The value with this name, in any case, or with this number: some clients send the number instead of the name.
    pub fn value(&self, text: &str) -> Option<&'static str> {
        let text = text.trim();
        let named = self.values.iter().find(|value| value.name.eq_ignore_ascii_case(text));
        named.map(|value| value.name).or_else(|| self.numbered(text.parse().ok()?))
    }

    /// The value of this number.
    pub fn numbered(&self, number: i32) -> Option<&'static str> {
        let mut numbers = (0..).zip(self.values).map(|(place, value)| (value.number.unwrap_or(place), value.name));
        numbers.find(|(own, _)| *own == number).map(|(_, name)| name)
    }
}

/// One value of an [`Enumeration`].
pub struct EnumValue {
    pub name: &'static str,
    /// The number behind the name; `None`: its place among the values, counted from 0.
    pub number: Option<i32>,
    /// The edition that added it.
    pub since: Edition,
}

impl EnumValue {
    /// A value of all editions.
    pub const fn new(name: &'static str) -> EnumValue {
        EnumValue { name, number: None, since: Edition::First }
    }

    /// The same value with a number that is not its place.
    pub const fn number(self, number: i32) -> EnumValue {
        EnumValue { number: Some(number), ..self }
    }

    /// The same value, which older editions do not have.
    pub const fn since(self, edition: Edition) -> EnumValue {
        EnumValue { since: edition, ..self }
    }
}

/// Any number of one type, each in an element of the type's name.
pub struct Array {
    pub name: &'static str,
    pub item: &'static ComplexType,
}
