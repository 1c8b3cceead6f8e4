//! Forms for the rows that administrators write: made, changed and deleted. The fields are the columns of the table.

use super::change::WAS;
use super::filters::ROLES;
use super::form::{Control, Errors, Field};
use super::query::Query;
use super::words::Words;
use crate::seats::LicenseType;
use crate::store::admin::AdminRefusal;
use crate::store::admin::edit::{Column, Edit, Kind, Table, Values};

/// Fields for columns of a table. `made`: of a new row, which has no number yet.
pub(super) fn fields(words: Words, table: Table, columns: &[&str]) -> Vec<Field> {
    columns.iter().filter_map(|name| table.column(name)).map(|column| field(words, table, column)).collect()
}

fn field(words: Words, table: Table, column: &'static Column) -> Field {
    let choice =
        |names: Vec<&str>| Control::Choice(names.into_iter().map(|name| (name.to_owned(), name.to_owned())).collect());
    let control = match column.kind {
        Kind::Id(_) | Kind::Seats => Control::Number,
        Kind::Flag => Control::Check,
        Kind::Time => Control::Time,
        Kind::Role => choice(ROLES.map(|role| role.name()).to_vec()),
        Kind::LicenseType => choice(LicenseType::ALL.map(LicenseType::name).to_vec()),
        _ if ["note", "owner_description"].contains(&column.name) => Control::Area,
        _ => Control::Text,
    };
    let hint = words.column_hint(table, column);
    let hint = match column.kind {
        Kind::Time => format!("{hint}{}{}", if hint.is_empty() { "" } else { ". " }, words.time_hint()),
        _ => hint.to_owned(),
    };
    Field {
        name: column.name,
        label: words.column_label(table, column.name).to_owned(),
        hint: (!hint.is_empty()).then_some(hint),
        required: !column.is_optional && !column.has_default && column.kind != Kind::Flag,
        control,
    }
}

/// The values that a form sends for columns of a table.
pub(super) fn values(words: Words, table: Table, columns: &[&str], sent: &Query) -> Result<Values, Errors> {
    let mut errors = Errors::default();
    let mut values = Values::new();
    for column in columns.iter().filter_map(|name| table.column(name)) {
        let text = match column.kind {
            // A box that is not ticked is not sent.
            Kind::Flag => {
                if sent.flag(column.name) {
                    "1"
                } else {
                    "0"
                }
            }
            _ => sent.raw(column.name).unwrap_or_default(),
        };
        match Edit::values(table, &[(column.name, text)]) {
            Ok(value) => values.extend(value),
            Err(refusal) => errors.add(column.name, words.wrong_value(&refusal)),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// What the form's row was when the form was made. A value that came back otherwise than any row can be is as good as none: it matches no
/// row.
pub(super) fn before(table: Table, sent: &Query) -> Result<Values, Errors> {
    let pairs: Vec<(&str, &str)> =
        sent.pairs().iter().filter_map(|(name, value)| Some((name.strip_prefix(WAS)?, value.as_str()))).collect();
    Edit::values(table, &pairs).map_err(|refusal| Errors { fields: Vec::new(), whole: vec![refusal.to_string()] })
}

/// The values of a form that shows a row: each column as a field, and once more as what it was.
pub(super) fn shown(values: Vec<(&str, Option<String>)>) -> Query {
    let mut pairs = Vec::new();
    for (name, value) in values {
        let value = value.unwrap_or_default();
        // A browser sends other line breaks than there were.
        if !value.contains('\r') {
            pairs.push((format!("{WAS}{name}"), value.clone()));
        }
        // A box that is not ticked has no value.
        let value = if name == "active" && value == "0" { String::new() } else { value };
        pairs.push((name.to_owned(), value));
    }
    Query::from_pairs(pairs)
}

impl Words {
    /// The error of a value, without the name of its field.
    pub(super) fn wrong_value(self, refusal: &AdminRefusal) -> String {
        match refusal {
            AdminRefusal::Invalid { why, .. } => self.invalid(why),
            other => self.refusal(other),
        }
    }
}
