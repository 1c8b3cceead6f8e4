//! Rows made, changed and deleted by administrators: entities, credentials, users, pools, offers, and what a seat holds.
//!
//! An [`Edit`] is checked here before a guard has to refuse it, so that its sentence can say what to write: whether the caller reaches
//! the row as it is and as it will be, whether it is the caller's own credential, what each column may hold, which names are taken. The
//! guards of the database hold the same a second time, and write the events.
//!
//! The row is locked before it is compared with what the caller expects of it ([`Edit::Update`], `before`).

mod columns;
mod offer;
mod rows;
mod rules;
mod work;

pub use columns::{Column, Kind, Table};
pub use offer::{OfferRequest, set_offer};
pub use rows::Key;
pub(crate) use rows::{Cells, delete, failed, license_type_of, read, readable};
pub(crate) use rules::{in_use, may_delete};
pub(crate) use work::{Work, not_found};

use super::sql::LAST;
use super::{Admin, AdminRefusal, Sql, Stop, Value};

/// Values for columns, by the columns' names.
pub type Values = Vec<(&'static str, Value)>;

/// A change of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// A new row. Columns that are left out have their default.
    Insert { table: Table, values: Values },
    /// A row that is there gets other values. `before`: what the caller saw; the change is refused if the row has other values by now.
    Update { table: Table, key: Key, before: Values, after: Values },
    /// A row goes. `before` as above.
    Delete { table: Table, key: Key, before: Values },
}

impl Edit {
    /// Another password for a credential: the PHC string of it.
    pub fn password(user_name: &str, password_hash: &str) -> Edit {
        Edit::Update {
            table: Table::Credential,
            key: Key::Name(user_name.to_owned()),
            before: Vec::new(),
            after: vec![("password_hash", password_hash.into())],
        }
    }

    /// An entity, a credential or a user that gets or may do nothing new from now on, or may again.
    pub fn active(table: Table, key: Key, active: bool) -> Edit {
        Edit::Update { table, key, before: Vec::new(), after: vec![("active", active.into())] }
    }

    /// Values as a form sends them. Fields that are no columns of the table are passed over.
    ///
    /// # Errors
    ///
    /// [`AdminRefusal::Invalid`], for the first field that cannot be what was sent.
    pub fn values(table: Table, fields: &[(&str, &str)]) -> Result<Values, AdminRefusal> {
        let known = fields.iter().filter_map(|(name, text)| Some((table.column(name)?, *text)));
        known
            .filter(|(column, text)| !(column.has_default && text.trim().is_empty()))
            .map(|(column, text)| Ok((column.name, column.parse(text)?)))
            .collect()
    }
}

/// Most edits in one change.
pub const EDITS_MAX: usize = 10_000;

/// Makes a change of one row; its key.
///
/// # Errors
///
/// [`AdminRefusal::NotFound`] also of what the caller does not reach, [`AdminRefusal::Moved`], [`AdminRefusal::Nothing`],
/// [`AdminRefusal::Own`], [`AdminRefusal::Invalid`], [`AdminRefusal::Guard`].
pub fn apply(sql: &dyn Sql, admin: &Admin, edit: &Edit) -> Result<Key, Stop> {
    edit_row(&Work::new(sql, admin)?, edit)
}

/// Makes several changes, all or nothing, in this order. Those that change nothing are passed over, unless all do.
///
/// # Errors
///
/// As [`apply`]; [`AdminRefusal::TooMany`].
pub fn apply_all(sql: &dyn Sql, admin: &Admin, edits: &[Edit]) -> Result<Vec<Key>, Stop> {
    if edits.len() > EDITS_MAX {
        return Err(AdminRefusal::TooMany { what: "rows", max: EDITS_MAX as u64 }.into());
    }
    let work = Work::new(sql, admin)?;
    let mut keys = Vec::with_capacity(edits.len());
    for edit in edits {
        match edit_row(&work, edit) {
            Err(Stop::Refused(AdminRefusal::Nothing)) => {}
            outcome => keys.push(outcome?),
        }
    }
    if keys.is_empty() { Err(AdminRefusal::Nothing.into()) } else { Ok(keys) }
}

pub(crate) fn edit_row(work: &Work<'_>, edit: &Edit) -> Result<Key, Stop> {
    match edit {
        Edit::Insert { table, values } => {
            let cells = checked(*table, values)?;
            make(work, *table, &cells, false)
        }
        Edit::Update { table, key, before, after } => {
            let (key, row) = found(work, *table, key)?;
            expect(*table, &key, &row, &as_in_row(*table, &row, checked(*table, before)?))?;
            change(work, *table, &key, &row, &as_in_row(*table, &row, checked(*table, after)?))
        }
        Edit::Delete { table, key, before } => {
            let (key, row) = found(work, *table, key)?;
            expect(*table, &key, &row, &as_in_row(*table, &row, checked(*table, before)?))?;
            rules::may_delete(work, *table, &key, &row)?;
            rows::delete(work, *table, &key)?;
            Ok(key)
        }
    }
}

/// Makes a row of values that were checked. `is_new`: the caller looked for a row of this key, and there was none.
pub(crate) fn make(work: &Work<'_>, table: Table, cells: &Cells, is_new: bool) -> Result<Key, Stop> {
    for column in table.columns() {
        let is_given = cells.iter().any(|(given, _)| given.name == column.name);
        if !is_given && !column.is_optional && !column.has_default {
            return Err(column.invalid("must not be empty").into());
        }
    }
    rules::may_insert(work, table, cells, is_new)?;
    rows::insert(work, table, cells)
}

/// Gives a row that was found other values that were checked.
pub(crate) fn change(work: &Work<'_>, table: Table, key: &Key, row: &[Value], after: &Cells) -> Result<Key, Stop> {
    let differs = |(column, value): &&(&'static Column, Value)| value_of(table, row, column.name) != value;
    let changes: Cells = after.iter().filter(differs).cloned().collect();
    if changes.is_empty() {
        return Err(AdminRefusal::Nothing.into());
    }
    if let Some((column, _)) = changes.iter().find(|(column, _)| column.is_fixed) {
        return Err(column.invalid(rules::fixed(table)).into());
    }
    rules::may_update(work, table, key, row, &changes)?;
    rows::update(work, table, key, &changes)?;
    Ok(match (table, changes.iter().find(|(column, _)| column.name == "user_name")) {
        (Table::Credential, Some((_, Value::Text(name)))) => Key::Name(name.clone()),
        _ => key.clone(),
    })
}

/// The row of this key, locked, if the caller reaches it. The key of an account is its id from here on.
pub(crate) fn found(work: &Work<'_>, table: Table, key: &Key) -> Result<(Key, Vec<Value>), Stop> {
    look_up(work, table, key)?.ok_or_else(|| not_found(table.noun(), key))
}

/// The same; `None`: there is no such row. One of others is refused.
pub(crate) fn look_up(work: &Work<'_>, table: Table, key: &Key) -> Result<Option<(Key, Vec<Value>)>, Stop> {
    let missing = || not_found(table.noun(), key);
    let Some(row) = rows::read(work, table, key)? else { return Ok(None) };
    let entity_id = match (table, key) {
        (Table::Seat, Key::Seat(pool_id, _)) => {
            let pool = work.first("SELECT entity_id FROM license_pool WHERE id = $1", &[(*pool_id).into()])?;
            pool.ok_or_else(missing)?.int(0)?
        }
        (Table::Entity, _) => number(table, &row, "id")?,
        _ => number(table, &row, "entity_id")?,
    };
    if !work.reaches(entity_id)? {
        return Err(missing());
    }
    let key = match (table, key) {
        (Table::Account, _) => Key::Id(number(table, &row, "id")?),
        _ => key.clone(),
    };
    Ok(Some((key, row)))
}

/// The values as the columns hold them.
pub(crate) fn checked(table: Table, values: &Values) -> Result<Cells, Stop> {
    let mut cells = Cells::with_capacity(values.len());
    for (name, value) in values {
        let column = table.column(name).ok_or_else(|| failed(&format!("{} has no column {name}", table.name())))?;
        if cells.iter().any(|(known, _)| known.name == column.name) {
            return Err(column.invalid("is given twice").into());
        }
        cells.push((column, column.check(value.clone())?));
    }
    Ok(cells)
}

/// Values that differ from those of the row only as forms change them are those of the row: in their line breaks, and in what they show
/// for a time that is later than any timestamp.
fn as_in_row(table: Table, row: &[Value], mut cells: Cells) -> Cells {
    for (column, value) in &mut cells {
        let is = value_of(table, row, column.name);
        if let (Value::Text(text), Value::Text(is_text)) = (&*value, is)
            && (text.replace("\r\n", "\n") == is_text.replace("\r\n", "\n")
                || (column.kind == Kind::Time && [text, is_text].into_iter().all(|time| time.as_str() >= LAST)))
        {
            *value = is.clone();
        }
    }
    cells
}

/// Whether a row still has the values that the caller saw.
pub(crate) fn expect(table: Table, key: &Key, row: &[Value], before: &Cells) -> Result<(), Stop> {
    match before.iter().find(|(column, value)| value_of(table, row, column.name) != value) {
        Some((column, _)) => {
            Err(AdminRefusal::Moved { what: format!("{} of {} {key}", column.name, table.noun()) }.into())
        }
        None => Ok(()),
    }
}

/// A value of a row.
pub(crate) fn value_of<'r>(table: Table, row: &'r [Value], name: &str) -> &'r Value {
    table.position(name).and_then(|at| row.get(at)).unwrap_or(&Value::Null)
}

pub(crate) fn number(table: Table, row: &[Value], name: &str) -> Result<i64, Stop> {
    match value_of(table, row, name) {
        Value::Int(number) => Ok(*number),
        _ => Err(failed(&format!("{} has no {name}", table.name()))),
    }
}

pub(crate) fn text<'r>(table: Table, row: &'r [Value], name: &str) -> &'r str {
    match value_of(table, row, name) {
        Value::Text(text) => text,
        _ => "",
    }
}
