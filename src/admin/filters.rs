//! Filters that several lists have: how they are written in an address, and asked for in a form.

use crate::store::admin::EntityFilter;
use jiff::Timestamp;
use jiff::civil::Date;

use super::form::{Control, Field};
use super::list::choice;
use super::query::Query;
use super::words::Words;
use crate::seats::{LicenseType, Role};

/// The entity of a list, with or without what is below it.
pub(super) fn entity(query: &Query) -> Option<EntityFilter> {
    query.number("entity").map(|id| EntityFilter { id, below: query.flag("below") })
}

pub(super) fn entity_fields(words: Words) -> [Field; 2] {
    [Field::new("entity", words.entity(), Control::Number), Field::new("below", words.below(), Control::Check)]
}

/// A link to a list of an entity and everything below it.
pub(super) fn of_entity(list: &str, id: i64) -> String {
    format!("{list}?entity={id}&below=1")
}

pub(super) fn license_type(query: &Query) -> Option<LicenseType> {
    query.get("type")?.parse().ok()
}

pub(super) fn license_type_field(words: Words) -> Field {
    choice("type", words.license_type(), words.any(), LicenseType::ALL.map(|t| (t.name(), t.name().to_owned())))
}

/// `1` or `0`; anything else: both.
pub(super) fn yes_no(query: &Query, name: &str) -> Option<bool> {
    match query.get(name)? {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

pub(super) fn yes_no_field(words: Words, name: &'static str, label: &str) -> Field {
    choice(name, label, words.any(), [("1", words.yes().to_owned()), ("0", words.no().to_owned())])
}

pub(super) const ROLES: [Role; 3] = [Role::Reader, Role::Agent, Role::Admin];

/// A moment in UTC: a day, which means its beginning, or a time.
pub(super) fn time(query: &Query, name: &str) -> Option<Timestamp> {
    let text = query.get(name)?;
    moment(text)
}

pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let as_time = text.parse::<Timestamp>().ok();
    as_time.or_else(|| {
        // The parser of days ignores a time behind the day, and a time without a zone is not clear.
        let day: Date = if text.len() == "2026-11-25".len() { text.parse().ok()? } else { return None };
        format!("{day}T00:00:00Z").parse().ok()
    })
}
