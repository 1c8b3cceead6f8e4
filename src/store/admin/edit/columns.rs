//! The columns that administrators write: what each may hold, and what a form or a line of an import means by its text.
//!
//! The rules are those of `schema.sql`. They are checked here before a statement runs, so that the sentence says what to write; the
//! guards of the database hold them a second time.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::super::{AdminRefusal, Value};
use crate::license::POOL_SEATS_MAX;
use crate::seats::{FieldFault, LicenseType, NAME_CHARS_MAX, Role, UserName};

/// The tables that are edited row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    Entity,
    Credential,
    Account,
    Pool,
    /// Only its own product key and license data: its holder changes by [`super::super::seats`].
    Seat,
    Offer,
    OfferModule,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether it may be empty (null).
    pub is_optional: bool,
    /// Whether the database has a value for a new row that does not give one.
    pub has_default: bool,
    /// Whether it stays what it was when the row was made.
    pub is_fixed: bool,
    /// For the reader of a form.
    pub doc: &'static str,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number from 1 up to this.
    Id(i64),
    /// A user name.
    Name,
    /// The user name of a credential: `sql` and `cli` mean others in the history.
    CredentialName,
    /// A text of at most so many characters.
    Text(usize),
    OwnerName,
    /// 0 or 1.
    Flag,
    /// UTC, in whole seconds. As text, because the last day of year 9999 is no [`Timestamp`].
    Time,
    /// A number of seats.
    Seats,
    Role,
    LicenseType,
    /// A PHC string.
    Hash,
    /// In hexadecimal.
    Bytes,
}

/// An id of an entity at most: a 32-bit int on the wire.
const ENTITY_ID_MAX: i64 = 2_147_483_647;

/// No limit of the database; what a form may send at once is less.
const TEXT_MAX: usize = 100_000;

impl Column {
    const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Column {
        Column { name, kind, is_optional: false, has_default: false, is_fixed: false, doc }
    }

    const fn optional(self) -> Column {
        Column { is_optional: true, ..self }
    }

    const fn with_default(self) -> Column {
        Column { has_default: true, ..self }
    }

    const fn fixed(self) -> Column {
        Column { is_fixed: true, ..self }
    }
}

const ENTITY: &[Column] = &[
    Column::new(
        "id",
        Kind::Id(ENTITY_ID_MAX),
        "what agents send as LicenseProviderEntityId; empty: the next free number",
    )
    .with_default()
    .fixed(),
    Column::new("parent_id", Kind::Id(ENTITY_ID_MAX), "the entity above; empty: none").optional(),
    Column::new("name", Kind::Text(255), "1 to 255 characters"),
    Column::new("active", Kind::Flag, "0: no new seats under this entity; seats that are taken stay taken")
        .with_default(),
    Column::new("owner_name", Kind::OwnerName, "A-Z and 0-9; empty: license tools do not see the entity").optional(),
    Column::new("owner_description", Kind::Text(TEXT_MAX), "shown by license tools; empty: the name").optional(),
    Column::new("serial_nr", Kind::Text(TEXT_MAX), "shown by license tools").optional(),
    Column::new("shop_url", Kind::Text(TEXT_MAX), "where the license is renewed").optional(),
    Column::new("next_check_at", Kind::Time, "shown by license tools").optional(),
    Column::new("maintenance_at", Kind::Time, "shown by license tools: the end of maintenance").optional(),
    Column::new("admin_warning_at", Kind::Time, "from then on license tools warn").optional(),
    Column::new("expires_at", Kind::Time, "shown by license tools: the formal end; no pool closes by it").optional(),
    Column::new("grace_at", Kind::Time, "shown by license tools: the real end; no pool closes by it").optional(),
    Column::new("customer_nr", Kind::Text(TEXT_MAX), "yours").optional(),
    Column::new("note", Kind::Text(TEXT_MAX), "yours").optional(),
];

const CREDENTIAL: &[Column] = &[
    Column::new("user_name", Kind::CredentialName, "1 to 128 characters; upper and lower case are the same"),
    Column::new("password_hash", Kind::Hash, "an argon2id PHC string, as seatkeeper hash-password prints it"),
    Column::new("entity_id", Kind::Id(ENTITY_ID_MAX), "where the rights begin: this entity and everything below it"),
    Column::new("role", Kind::Role, "reader looks, agent also assigns, admin also releases and changes").with_default(),
    Column::new("active", Kind::Flag, "0: every call is refused").with_default(),
    Column::new("note", Kind::Text(TEXT_MAX), "yours").optional(),
];

const ACCOUNT: &[Column] = &[
    Column::new("id", Kind::Id(i64::MAX), "empty: the next free number").with_default().fixed(),
    Column::new("username", Kind::Name, "1 to 128 characters; upper and lower case are the same"),
    Column::new("entity_id", Kind::Id(ENTITY_ID_MAX), "the entity that the user belongs to"),
    Column::new("active", Kind::Flag, "0: no new seats; seats that the user holds stay").with_default(),
    Column::new("note", Kind::Text(TEXT_MAX), "yours").optional(),
];

const POOL: &[Column] = &[
    Column::new("id", Kind::Id(i64::MAX), "empty: the next free number").with_default().fixed(),
    Column::new("entity_id", Kind::Id(ENTITY_ID_MAX), "whose seats these are").fixed(),
    Column::new("license_type", Kind::LicenseType, "SkraftDiskImageV5, SqlBackup or ExchangeBackup").fixed(),
    Column::new("seats_total", Kind::Seats, "0 to 10000000"),
    Column::new("starts_at", Kind::Time, "seats are given out from then on; empty: at once").optional(),
    Column::new("expires_at", Kind::Time, "seats are given out until then, not at that moment; empty: for ever")
        .optional(),
    Column::new("product_key", Kind::Text(TEXT_MAX), "what a holder gets whose seat has none of its own").optional(),
    Column::new("license_data", Kind::Bytes, "in hexadecimal; what a holder gets whose seat has none of its own")
        .optional(),
    Column::new("note", Kind::Text(TEXT_MAX), "yours").optional(),
];

const SEAT: &[Column] = &[
    Column::new("pool_id", Kind::Id(i64::MAX), "").fixed(),
    Column::new("seat_no", Kind::Id(ENTITY_ID_MAX), "").fixed(),
    Column::new("product_key", Kind::Text(TEXT_MAX), "of this seat; empty: that of the pool").optional(),
    Column::new("license_data", Kind::Bytes, "of this seat, in hexadecimal; empty: that of the pool").optional(),
];

const OFFER: &[Column] = &[
    Column::new("entity_id", Kind::Id(ENTITY_ID_MAX), "whom it is for").fixed(),
    Column::new("company_name", Kind::Text(255), "becomes the entity's name; empty: as it is").optional(),
    Column::new("serial_nr", Kind::Text(TEXT_MAX), "empty: as it is").optional(),
    Column::new("next_check_at", Kind::Time, "empty: as it is").optional(),
    Column::new("maintenance_at", Kind::Time, "empty: as it is").optional(),
    Column::new("admin_warning_at", Kind::Time, "empty: as it is").optional(),
    Column::new("expires_at", Kind::Time, "empty: as it is").optional(),
    Column::new("grace_at", Kind::Time, "empty: as it is").optional(),
];

const OFFER_MODULE: &[Column] = &[
    Column::new("entity_id", Kind::Id(ENTITY_ID_MAX), "whose offer it is part of").fixed(),
    Column::new("license_type", Kind::LicenseType, "SkraftDiskImageV5, SqlBackup or ExchangeBackup").fixed(),
    Column::new("seats_total", Kind::Seats, "of all open pools together after the activation, 0 to 10000000"),
];

impl Table {
    /// As SQL names it.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Entity => "entity",
            Table::Credential => "credential",
            Table::Account => "account",
            Table::Pool => "license_pool",
            Table::Seat => "seat",
            Table::Offer => "license_offer",
            Table::OfferModule => "license_offer_module",
        }
    }

    /// As people name a row of it.
    pub const fn noun(self) -> &'static str {
        match self {
            Table::Entity => "entity",
            Table::Credential => "credential",
            Table::Account => "user",
            Table::Pool => "pool",
            Table::Seat => "seat",
            Table::Offer => "offer for entity",
            Table::OfferModule => "offered module",
        }
    }

    pub const fn columns(self) -> &'static [Column] {
        match self {
            Table::Entity => ENTITY,
            Table::Credential => CREDENTIAL,
            Table::Account => ACCOUNT,
            Table::Pool => POOL,
            Table::Seat => SEAT,
            Table::Offer => OFFER,
            Table::OfferModule => OFFER_MODULE,
        }
    }

    pub fn column(self, name: &str) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.name == name)
    }

    /// Where the column stands in [`Self::columns`].
    pub(crate) fn position(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name == name)
    }
}

impl Column {
    /// The value of a text in a form or an import. An empty text is null.
    ///
    /// # Errors
    ///
    /// [`AdminRefusal::Invalid`], with what to write instead.
    pub fn parse(&self, text: &str) -> Result<Value, AdminRefusal> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return self.check(Value::Null);
        }
        let value = match self.kind {
            Kind::Id(_) | Kind::Seats => Value::Int(trimmed.parse().map_err(|_| self.invalid(number(trimmed)))?),
            Kind::Flag => Value::Int(match trimmed.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" => 1,
                "0" | "false" | "no" => 0,
                _ => return Err(self.invalid("must be 1 or 0")),
            }),
            // Forms send every line break as a carriage return and a line feed.
            Kind::Text(_) => Value::from(text.replace("\r\n", "\n")),
            _ => Value::from(trimmed),
        };
        self.check(value)
    }

    /// The value as the column holds it, if it may.
    ///
    /// # Errors
    ///
    /// [`AdminRefusal::Invalid`].
    pub fn check(&self, value: Value) -> Result<Value, AdminRefusal> {
        match value {
            Value::Null if self.is_optional => Ok(Value::Null),
            Value::Null => Err(self.invalid("must not be empty")),
            Value::Text(text) if text.is_empty() && self.is_optional => Ok(Value::Null),
            Value::Text(text) => self.check_text(text),
            Value::Int(number) => self.check_number(number),
            Value::Time(at) | Value::EventTime(at) if self.kind == Kind::Time => self.check_text(at.to_string()),
            Value::Bytes(bytes) if self.kind == Kind::Bytes => Ok(Value::Text(to_hex(&bytes))),
            _ => Err(self.invalid("has a value of another kind")),
        }
    }

    fn check_number(&self, number: i64) -> Result<Value, AdminRefusal> {
        let (least, most) = match self.kind {
            Kind::Id(most) => (1, most),
            Kind::Flag => (0, 1),
            Kind::Seats => (0, POOL_SEATS_MAX),
            _ => return Err(self.invalid("has a number where another value belongs")),
        };
        if (least..=most).contains(&number) {
            Ok(Value::Int(number))
        } else {
            Err(self.invalid(format!("must be between {least} and {most}")))
        }
    }

    fn check_text(&self, text: String) -> Result<Value, AdminRefusal> {
        if text.contains(['\0', '\u{FFFD}', '\u{FFFE}', '\u{FFFF}']) {
            return Err(self.invalid("is not valid text: it must not hold NUL, U+FFFD, U+FFFE or U+FFFF"));
        }
        Ok(Value::Text(match self.kind {
            Kind::Name | Kind::CredentialName => self.check_name(text)?,
            Kind::Text(chars_max) => match text.chars().count() {
                _ if text.trim().is_empty() && !self.is_optional => return Err(self.invalid("must not be empty")),
                found if found > chars_max => {
                    return Err(self.invalid(format!("has {found} characters; {chars_max} are the most")));
                }
                _ => text,
            },
            Kind::OwnerName if ["SUPEROFFICE", "USER", "SITE"].contains(&text.as_str()) => {
                return Err(self.invalid("cannot be SUPEROFFICE, USER or SITE: license tools mean others by them"));
            }
            Kind::OwnerName if text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) => text,
            Kind::OwnerName => return Err(self.invalid("must be A-Z and 0-9 only")),
            Kind::Time => to_utc(&text).ok_or_else(|| self.invalid(TIME))?,
            Kind::Role => {
                text.parse::<Role>().map_err(|_| self.invalid("must be reader, agent or admin"))?.name().to_owned()
            }
            Kind::LicenseType => text.parse::<LicenseType>().map_err(|why| self.invalid(why))?.name().to_owned(),
            Kind::Hash if text.starts_with("$argon2id$v=19$m=") && text.bytes().all(|b| b.is_ascii_graphic()) => text,
            Kind::Hash => {
                return Err(self.invalid("must be an argon2id PHC string: make one with seatkeeper hash-password"));
            }
            Kind::Bytes => match from_hex(&text) {
                Some(bytes) => to_hex(&bytes),
                None => return Err(self.invalid("must be hexadecimal digits, two for each byte")),
            },
            Kind::Id(_) | Kind::Seats | Kind::Flag => return Err(self.invalid("must be a number")),
        }))
    }

    fn check_name(&self, text: String) -> Result<String, AdminRefusal> {
        let name = UserName::from(text);
        let name = name.checked().map_err(|fault| {
            self.invalid(match fault {
                FieldFault::TooLong => format!("has more than {NAME_CHARS_MAX} characters"),
                FieldFault::ControlCharacter => "must not contain a control character".to_owned(),
                FieldFault::Empty => "must not be empty".to_owned(),
                _ => "is not valid text".to_owned(),
            })
        })?;
        let small = name.to_ascii_lowercase();
        if self.kind == Kind::CredentialName && (["sql", "cli"].contains(&small.as_str()) || small.starts_with("sql:"))
        {
            return Err(self.invalid("cannot be sql or cli, nor begin with sql: the history means others by them"));
        }
        Ok(name.to_owned())
    }

    pub(crate) fn invalid(&self, why: impl Into<String>) -> AdminRefusal {
        AdminRefusal::Invalid { field: self.name, why: why.into() }
    }
}

const TIME: &str = "must be a day such as 2027-01-31, or a time such as 2027-01-31T00:00:00Z, in the years 1 to 9999 and in whole seconds";

fn number(text: &str) -> &'static str {
    if text.contains(['.', ',', '\'', ' ']) && text.chars().any(|c| c.is_ascii_digit()) {
        "must be a whole number in digits only: write 1000, not 1.000"
    } else {
        "must be a whole number"
    }
}

/// A day or a time of RFC 3339 in the form that both databases read: `2027-01-31T00:00:00Z`.
fn to_utc(text: &str) -> Option<String> {
    let at = if let Ok(at) = text.parse::<Timestamp>() {
        // Of those that a time may have, a fraction is the only part that would be lost.
        (at.subsec_nanosecond() == 0).then(|| format!("{at:.0}"))?
    } else if text.len() == 10 {
        let day: Date = text.parse().ok()?;
        format!("{day}T00:00:00Z")
    } else {
        // The last hours of year 9999 are beyond what a Timestamp can be.
        let at: DateTime = text.strip_suffix(['Z', 'z'])?.parse().ok()?;
        (at.subsec_nanosecond() == 0).then(|| format!("{at:.0}Z"))?
    };
    (at.len() == 20 && at.as_bytes()[0].is_ascii_digit() && !at.starts_with("0000")).then_some(at)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_rfc_3339() {
        for (text, expected) in [
            ("2027-01-31", Some("2027-01-31T00:00:00Z")),
            ("2027-01-31T00:00:00Z", Some("2027-01-31T00:00:00Z")),
            ("2027-01-31T12:30:00+02:00", Some("2027-01-31T10:30:00Z")),
            ("9999-12-31", Some("9999-12-31T00:00:00Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z")),
            ("0001-01-01", Some("0001-01-01T00:00:00Z")),
            ("0000-01-01", None),
            ("-001-01-01", None),
            ("2027-02-30", None),
            ("2027-01-31T00:00:00.5Z", None),
            ("2027-01-31T00:00:00", None),
            ("31.12.2027", None),
            ("20270131", None),
            ("tomorrow", None),
        ] {
            assert_eq!(to_utc(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn texts_of_forms_are_read_or_refused_with_what_to_write() {
        for (table, column, text, expected) in [
            (Table::Entity, "name", "Müller & Söhne", Ok(Value::from("Müller & Söhne"))),
            (Table::Entity, "name", " ", Err("name: must not be empty")),
            (Table::Entity, "name", &"x".repeat(256), Err("name: has 256 characters; 255 are the most")),
            (Table::Entity, "note", "", Ok(Value::Null)),
            (
                Table::Entity,
                "note",
                "a\u{FFFE}",
                Err("note: is not valid text: it must not hold NUL, U+FFFD, U+FFFE or U+FFFF"),
            ),
            (Table::Entity, "owner_name", "CONTOSO42", Ok(Value::from("CONTOSO42"))),
            (Table::Entity, "owner_name", "Contoso", Err("owner_name: must be A-Z and 0-9 only")),
            (
                Table::Entity,
                "owner_name",
                "USER",
                Err("owner_name: cannot be SUPEROFFICE, USER or SITE: license tools mean others by them"),
            ),
            (Table::Entity, "active", "yes", Ok(Value::Int(1))),
            (Table::Entity, "active", "2", Err("active: must be 1 or 0")),
            (Table::Entity, "parent_id", "0", Err("parent_id: must be between 1 and 2147483647")),
            (
                Table::Pool,
                "seats_total",
                "1.000",
                Err("seats_total: must be a whole number in digits only: write 1000, not 1.000"),
            ),
            (Table::Pool, "seats_total", "10000001", Err("seats_total: must be between 0 and 10000000")),
            (Table::Pool, "license_data", "cafe", Ok(Value::from("CAFE"))),
            (Table::Pool, "license_data", "caf", Err("license_data: must be hexadecimal digits, two for each byte")),
            (Table::Account, "username", " backup01 ", Ok(Value::from("backup01"))),
            (Table::Account, "username", "a\tb", Err("username: must not contain a control character")),
            (
                Table::Credential,
                "user_name",
                "SQL:ann",
                Err("user_name: cannot be sql or cli, nor begin with sql: the history means others by them"),
            ),
            (Table::Credential, "role", "owner", Err("role: must be reader, agent or admin")),
            (
                Table::Credential,
                "password_hash",
                "secret",
                Err("password_hash: must be an argon2id PHC string: make one with seatkeeper hash-password"),
            ),
        ] {
            let read = table.column(column).expect("a column").parse(text).map_err(|refusal| refusal.to_string());
            assert_eq!(read, expected.map_err(str::to_owned), "{column} {text:?}");
        }
    }
}
