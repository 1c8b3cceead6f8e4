//! `seatkeeper audit show --at`: pools and the holders of their seats at a past moment.

use serde_json::{Value, json};

use super::unless_closed;
use crate::cli::Failure;
use crate::cli::table::{Format, Rows};
use crate::store::history::{self, History, HolderThen, MomentSelection, PoolThen};

/// One row per taken seat. A pool without a taken seat has one row, in which the columns from `seat_no` on are empty.
const COLUMNS: &[&str] = &[
    "pool_id",
    "entity_id",
    "license_type",
    "seats_total",
    "seats_in_use",
    "seat_no",
    "account_id",
    "username",
    "since",
    "event",
];

pub(super) fn show(history: &History, selection: &MomentSelection, format: Format) -> Result<(), Failure> {
    let mut rows = Rows::to_stdout(format, COLUMNS);
    let mut show = |pool: &PoolThen, holder: Option<&HolderThen>| {
        // The pool alone is for readers that compute sums; here its row would repeat one of a seat.
        if holder.is_none() && pool.seats_in_use > 0 { Ok(()) } else { rows.row(row(pool, holder)) }
    };
    let shown = history::holders_at(history, selection, &mut show);
    unless_closed(shown.and_then(|newest| {
        rows.end()?;
        match newest {
            Some(event) => eprintln!("note: as of event {event}, the newest by {:.3}", selection.at),
            None => eprintln!("note: no event happened by {:.3}", selection.at),
        }
        Ok(())
    }))
}

fn row(pool: &PoolThen, holder: Option<&HolderThen>) -> Vec<Value> {
    vec![
        json!(pool.id),
        json!(pool.entity_id),
        json!(pool.license_type),
        json!(pool.seats_total),
        json!(pool.seats_in_use),
        json!(holder.map(|holder| holder.seat_no)),
        json!(holder.and_then(|holder| holder.account_id)),
        json!(holder.map(|holder| &holder.username)),
        json!(holder.map(|holder| &holder.since)),
        json!(holder.map(|holder| holder.event)),
    ]
}
