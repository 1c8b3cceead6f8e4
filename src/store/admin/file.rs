//! Rows of lists as files have them: the columns and their values, for the exports of pages and the output of commands alike.

use jiff::Timestamp;

use super::credentials::CredentialRow;
use super::entities::EntityRow;
use super::history::EventRow;
use super::offers::OfferRow;
use super::pools::PoolRow;
use super::refusals::RefusalRow;
use super::users::UserRow;

/// A value in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Number(i64),
    Flag(bool),
    Text(String),
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Cell {
        Cell::Flag(flag)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

/// To the second, in UTC, as the tables have times.
impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Cell {
        Cell::Text(format!("{at:.0}"))
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Empty, Into::into)
    }
}

/// A row of a list that is written to files.
pub trait FileRow {
    /// Names of the columns: those of the tables, where a table has them.
    const COLUMNS: &'static [&'static str];

    /// A value for each column.
    fn cells(&self) -> Vec<Cell>;
}

impl FileRow for EntityRow {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "parent_id",
        "name",
        "active",
        "owner_name",
        "customer_nr",
        "children",
        "pools",
        "seats_total",
        "seats_in_use",
        "seats_total_below",
        "seats_in_use_below",
        "in_use_expired_below",
        "expires_first_below",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.into(),
            self.parent_id.into(),
            self.name.as_str().into(),
            self.active.into(),
            self.owner_name.clone().into(),
            self.customer_nr.clone().into(),
            self.children.into(),
            self.own.pools.into(),
            self.own.seats.into(),
            self.own.in_use.into(),
            self.all.seats.into(),
            self.all.in_use.into(),
            self.all.in_use_expired.into(),
            self.all.expires_first.into(),
        ]
    }
}

impl FileRow for PoolRow {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "entity_id",
        "entity_name",
        "license_type",
        "seats_total",
        "seats_in_use",
        "seats_in_use_max",
        "starts_at",
        "expires_at",
        "state",
        "product_key",
        "note",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.into(),
            self.entity_id.into(),
            self.entity_name.as_str().into(),
            self.license_type.name().into(),
            self.seats_total.into(),
            self.seats_in_use.into(),
            self.seats_in_use_max.into(),
            self.starts_at.into(),
            self.expires_at.into(),
            self.state.name().into(),
            self.product_key.clone().into(),
            self.note.clone().into(),
        ]
    }
}

impl FileRow for UserRow {
    const COLUMNS: &'static [&'static str] = &["id", "username", "entity_id", "entity_name", "active", "holds", "note"];

    fn cells(&self) -> Vec<Cell> {
        let holds: Vec<&str> = self.held.iter().map(|held| held.license_type.name()).collect();
        vec![
            self.id.into(),
            self.username.as_str().into(),
            self.entity_id.into(),
            self.entity_name.as_str().into(),
            self.active.into(),
            holds.join(" ").into(),
            self.note.clone().into(),
        ]
    }
}

impl FileRow for CredentialRow {
    const COLUMNS: &'static [&'static str] = &[
        "user_name",
        "entity_id",
        "entity_name",
        "role",
        "active",
        "note",
        "last_used_at",
        "last_address",
        "failures",
        "last_failure_at",
        "last_failure_address",
        "tickets",
        "sessions",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.user_name.as_str().into(),
            self.entity_id.into(),
            self.entity_name.as_str().into(),
            self.role.name().into(),
            self.active.into(),
            self.note.clone().into(),
            self.last_used_at.into(),
            self.last_address.clone().into(),
            self.failures.into(),
            self.last_failure_at.into(),
            self.last_failure_address.clone().into(),
            self.tickets.into(),
            self.sessions.into(),
        ]
    }
}

impl FileRow for OfferRow {
    const COLUMNS: &'static [&'static str] = &[
        "entity_id",
        "entity_name",
        "owner_name",
        "company_name",
        "serial_nr",
        "next_check_at",
        "maintenance_at",
        "admin_warning_at",
        "expires_at",
        "grace_at",
        "modules",
    ];

    fn cells(&self) -> Vec<Cell> {
        let modules: Vec<String> =
            self.modules.iter().map(|(license_type, seats)| format!("{license_type}={seats}")).collect();
        vec![
            self.entity_id.into(),
            self.entity_name.as_str().into(),
            self.owner_name.clone().into(),
            self.company_name.clone().into(),
            self.serial_nr.clone().into(),
            self.dates.next_check.into(),
            self.dates.maintenance.into(),
            self.dates.admin_warning.into(),
            self.dates.expires.into(),
            self.dates.grace.into(),
            modules.join(" ").into(),
        ]
    }
}

impl FileRow for RefusalRow {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "at",
        "request_id",
        "actor",
        "operation",
        "code",
        "message",
        "entity_id",
        "entity_name",
        "username",
        "license_type",
        "address",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.into(),
            self.at.to_string().into(),
            self.request_id.as_str().into(),
            self.actor.clone().into(),
            self.operation.as_str().into(),
            self.code.as_str().into(),
            self.message.as_str().into(),
            self.entity_id.into(),
            self.entity_name.clone().into(),
            self.username.clone().into(),
            self.license_type.clone().into(),
            self.address.clone().into(),
        ]
    }
}

/// The columns of the table, and the entity and type that a seat has from its pool.
impl FileRow for EventRow {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "at",
        "action",
        "actor",
        "request_id",
        "reason",
        "entity_id",
        "license_type",
        "pool_id",
        "seat_no",
        "account_id",
        "username",
        "old_values",
        "new_values",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.into(),
            self.at.into(),
            self.action.as_str().into(),
            self.actor.clone().into(),
            self.request_id.clone().into(),
            self.reason.clone().into(),
            self.entity_id.into(),
            self.license_type.clone().into(),
            self.pool_id.into(),
            self.seat_no.into(),
            self.account_id.into(),
            self.username.clone().into(),
            self.old_values.clone().into(),
            self.new_values.clone().into(),
        ]
    }
}
