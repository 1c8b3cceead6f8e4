//! Lines that are seats for users.

use super::super::edit::{Table, Work, not_found};
use super::super::seats::{Assign, Source, assign_in};
use super::super::{AdminRefusal, Stop, Value};
use super::text::Line;
use super::{Import, Outcome};
use crate::seats::{Held, LicenseType, Refusal, SeatId};

/// `entity_id`: whose pools; or `pool_id`: which pool, with `seat_no` which seat of it.
pub(super) const COLUMNS: &[&str] = &["username", "license_type", "entity_id", "pool_id", "seat_no"];

pub(super) fn import(work: &Work<'_>, import: &Import, line: &Line) -> Result<Outcome, Stop> {
    let username = line.filled("username").ok_or_else(|| invalid("username", "must not be empty"))?;
    let username = match Table::Account.column("username").map(|column| column.parse(username)) {
        Some(Ok(Value::Text(name))) => name,
        Some(Err(refusal)) => return Err(refusal.into()),
        _ => username.to_owned(),
    };
    let asked = line.filled("license_type").map(str::parse::<LicenseType>).transpose();
    let asked = asked.map_err(|why| invalid("license_type", &why))?;
    let pool_id = number_of(line, "pool_id")?;
    let seat_no = number_of(line, "seat_no")?;
    let entity_id = number_of(line, "entity_id")?;
    let source = match (pool_id, seat_no, entity_id) {
        (Some(pool_id), _, Some(entity_id)) if !is_pool_of(work, pool_id, entity_id)? => {
            return Err(invalid("entity_id", &format!("is not the owner of pool {pool_id}")).into());
        }
        (Some(pool_id), Some(seat_no), _) => Source::Seat(SeatId { pool_id, seat_no }),
        (Some(pool_id), None, _) => Source::Pool(pool_id),
        (None, Some(_), _) => return Err(invalid("pool_id", "must not be empty where seat_no is given").into()),
        (None, None, Some(entity_id)) => {
            let id = i32::try_from(entity_id).map_err(|_| invalid("entity_id", "must be between 1 and 2147483647"))?;
            Source::Entity(id)
        }
        (None, None, None) => return Err(invalid("entity_id", "must not be empty, or give pool_id").into()),
    };
    // A line that was imported before says what is so.
    if let Source::Seat(seat) = source
        && is_held(work, seat, &username)?
    {
        return Ok(Outcome::Unchanged);
    }
    match assign_in(work, &Assign { username, source, license_type: asked, enroll: import.enroll }) {
        Err(Stop::Refused(AdminRefusal::Rule(Refusal::AlreadyAssigned { held: Some(held), .. })))
            if is_of(held, source) =>
        {
            Ok(Outcome::Unchanged)
        }
        outcome => outcome.map(|_| Outcome::Made),
    }
}

/// Whether a seat is from where one was asked for.
fn is_of(held: Held, source: Source) -> bool {
    match source {
        Source::Entity(id) => held.entity_id == id,
        Source::Pool(id) => held.seat.pool_id == id,
        Source::Seat(seat) => held.seat == seat,
    }
}

/// Whether a user holds this very seat.
fn is_held(work: &Work<'_>, seat: SeatId, username: &str) -> Result<bool, Stop> {
    let key = work.sql.dialect().name_key("account.username");
    let text = format!(
        "SELECT account.entity_id FROM seat JOIN account ON account.id = seat.account_id
          WHERE seat.pool_id = $1 AND seat.seat_no = $2 AND {key} = $3"
    );
    let row = work.first(&text, &[seat.pool_id.into(), seat.seat_no.into(), Value::name(username)])?;
    row.map_or(Ok(false), |row| work.reaches(row.int(0)?))
}

fn is_pool_of(work: &Work<'_>, pool_id: i64, entity_id: i64) -> Result<bool, Stop> {
    let row = work.first("SELECT entity_id FROM license_pool WHERE id = $1", &[pool_id.into()])?;
    match row {
        Some(row) if work.reaches(row.int(0)?)? => Ok(row.int(0)? == entity_id),
        _ => Err(not_found("pool", pool_id)),
    }
}

fn number_of(line: &Line, column: &'static str) -> Result<Option<i64>, Stop> {
    let number = line.filled(column).map(str::parse::<i64>).transpose();
    let number = number.map_err(|_| invalid(column, "must be a whole number"))?;
    match number {
        Some(..1) => Err(invalid(column, "must be 1 or more").into()),
        number => Ok(number),
    }
}

fn invalid(field: &'static str, why: &str) -> AdminRefusal {
    AdminRefusal::Invalid { field, why: why.to_owned() }
}
