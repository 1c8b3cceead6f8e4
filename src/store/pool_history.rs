//! How far the history of a module is read, and what its events mean: the same in every store.

use super::PoolEventKind;

/// Pools that are looked at, deleted ones and others, the newest first.
pub(super) const POOLS_MAX: usize = 200;
/// Events that are read, of all pools together.
pub(super) const EVENTS_MAX: usize = 10_000;

/// What an event of a pool was, and the seats that the pool had before it. `seats`: after it. `from` and `to`: `seats_total` among
/// the event's old and new values.
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
