//! The offer to an entity and its seats, set in one step.

use super::super::{Admin, AdminRefusal, Sql, Stop, Value};
use super::columns::Table;
use super::rows::{self, Key};
use super::work::Work;
use super::{Edit, Values, checked, edit_row, value_of};
use crate::license::PerType;
use crate::seats::LicenseType;

/// An offer as it is to be, all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferRequest {
    pub entity_id: i64,
    /// Columns that are left out, and those that are null, stay as the entity has them when the offer is activated.
    pub values: Values,
    /// Of each type the seats of all open pools together; `None`: as they are.
    pub modules: PerType<Option<i64>>,
}

/// Makes the offer of an entity, or the offer there is, what is asked for. To withdraw it delete its row: its modules go with it.
///
/// # Errors
///
/// As [`super::apply`].
pub fn set_offer(sql: &dyn Sql, admin: &Admin, request: &OfferRequest) -> Result<(), Stop> {
    let work = Work::new(sql, admin)?;
    work.require_entity(request.entity_id)?;
    let key = Key::Id(request.entity_id);
    let mut is_changed = false;
    let mut edit = |edit: Edit| match edit_row(&work, &edit) {
        Err(Stop::Refused(AdminRefusal::Nothing)) => Ok(()),
        outcome => outcome.map(|_| is_changed = true),
    };
    let entity = ("entity_id", Value::Int(request.entity_id));
    if rows::read(&work, Table::Offer, &key)?.is_none() {
        let mut values = vec![entity.clone()];
        values.extend(request.values.iter().filter(|(name, _)| *name != "entity_id").cloned());
        edit(Edit::Insert { table: Table::Offer, values })?;
    } else {
        let given = checked(Table::Offer, &request.values)?;
        let columns = Table::Offer.columns().iter().filter(|column| !column.is_fixed);
        let after = columns.map(|column| {
            let value = given.iter().find(|(known, _)| known.name == column.name);
            (column.name, value.map_or(Value::Null, |(_, value)| value.clone()))
        });
        edit(Edit::Update { table: Table::Offer, key, before: Vec::new(), after: after.collect() })?;
    }
    for license_type in LicenseType::ALL {
        let (table, key) = (Table::OfferModule, Key::Module(request.entity_id, license_type));
        let row = rows::read(&work, table, &key)?;
        let is_there = row.as_ref().map(|row| value_of(table, row, "seats_total"));
        match (is_there, request.modules[license_type.index()]) {
            (None, None) => {}
            (None, Some(seats)) => {
                let seats = ("seats_total", Value::Int(seats));
                let values = vec![entity.clone(), ("license_type", license_type.name().into()), seats];
                edit(Edit::Insert { table, values })?;
            }
            (Some(_), None) => edit(Edit::Delete { table, key, before: Vec::new() })?,
            (Some(_), Some(seats)) => {
                let after = vec![("seats_total", Value::Int(seats))];
                edit(Edit::Update { table, key, before: Vec::new(), after })?;
            }
        }
    }
    if is_changed { Ok(()) } else { Err(AdminRefusal::Nothing.into()) }
}
