//! The limits of a module's history, and the meaning of its events: the same in every store.

use super::PoolEventKind;

/// The most pools that are read, including deleted ones; the newest first.
pub(super) const POOLS_MAX: usize = 200;
/// The most events that are read, of all pools together.
pub(super) const EVENTS_MAX: usize = 10_000;

/// The kind of an event of a pool, and the number of seats before it. `seats`: after it. `from` and `to`: `seats_total` in the
/// event's old and new values.
pub(super) fn kind(action: &str, from: Option<i64>, to: Option<i64>, seats: i64) -> (PoolEventKind, i64) {
    let kind = match action {
        "pool-create" => PoolEventKind::Created { seats: to.unwrap_or(seats) },
        "pool-change" => PoolEventKind::Changed { from: from.unwrap_or(seats), to: to.unwrap_or(seats) },
        "pool-delete" => PoolEventKind::Deleted,
        "assign" => PoolEventKind::Assigned,
        "release" => PoolEventKind::Released,
        _ => PoolEventKind::SeatChanged,
    };
    (kind, from.unwrap_or(seats))
}
