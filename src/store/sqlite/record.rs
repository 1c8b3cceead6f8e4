//! The changes of the service, and their events.
//!
//! The triggers of `schema.sql` count and record what is written by hand. The writer's connection has them switched off: here
//! stands, for the changes that calls make, what the triggers do for the same rows. A test makes random calls both ways and
//! compares every row. Constraints and foreign keys hold in both. Rare changes leave it to the triggers: [`by_triggers`].

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::facts::Caller;
use crate::seats::SeatId;
use crate::store::Call;

/// Who makes a change, as its event names them.
pub(super) struct By {
    request_id: String,
    actor: String,
}

impl By {
    pub(super) fn new(call: &Call, caller: &Caller) -> By {
        By { request_id: call.id.to_string(), actor: caller.name.clone() }
    }
}

/// Gives a free seat to an account. The condition makes "a free row is taken" hold by itself.
pub(super) fn take(connection: &Connection, by: &By, seat: SeatId, account_id: i64) -> rusqlite::Result<()> {
    change_one(connection, TAKE, params![seat.pool_id, seat.seat_no, account_id])?;
    record(connection, by, "assign", seat, account_id)?;
    change_one(connection, COUNT_TAKEN, params![seat.pool_id, connection.last_insert_rowid()])
}

pub(super) const TAKE: &str = "
    UPDATE seat INDEXED BY seat_free SET account_id = ?3 WHERE pool_id = ?1 AND seat_no = ?2 AND account_id IS NULL";

const COUNT_TAKEN: &str = "
    UPDATE license_pool
       SET seats_in_use = seats_in_use + 1, seats_in_use_max = max(seats_in_use_max, seats_in_use + 1), event_id = ?2,
           events = events + 1
     WHERE id = ?1";

/// Frees the seat that an account holds.
pub(super) fn release(connection: &Connection, by: &By, seat: SeatId, account_id: i64) -> rusqlite::Result<()> {
    change_one(connection, RELEASE, params![seat.pool_id, seat.seat_no, account_id])?;
    record(connection, by, "release", seat, account_id)?;
    change_one(connection, COUNT_RELEASED, params![seat.pool_id, connection.last_insert_rowid()])
}

pub(super) const RELEASE: &str = "
    UPDATE seat SET account_id = NULL WHERE pool_id = ?1 AND seat_no = ?2 AND account_id = ?3";

const COUNT_RELEASED: &str =
    "UPDATE license_pool SET seats_in_use = seats_in_use - 1, event_id = ?2, events = events + 1 WHERE id = ?1";

fn record(connection: &Connection, by: &By, action: &str, seat: SeatId, account_id: i64) -> rusqlite::Result<()> {
    change_one(connection, RECORD, params![action, by.actor, by.request_id, seat.pool_id, seat.seat_no, account_id])
}

pub(super) const RECORD: &str = "
    INSERT INTO audit_event (action, actor, request_id, pool_id, seat_no, account_id, username, previous_id, pool_events)
    SELECT ?1, ?2, ?3, license_pool.id, ?5, account.id, username, event_id, events + 1
      FROM license_pool CROSS JOIN account
     WHERE license_pool.id = ?4 AND account.id = ?6";

/// Enrolls a user name under an entity; its account's id.
pub(super) fn enroll(connection: &Connection, by: &By, username: &str, entity_id: i32) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO account (username, entity_id) VALUES (?1, ?2)")?
        .execute(params![username, entity_id])?;
    let id = connection.last_insert_rowid();
    change_one(connection, RECORD_ENROLLED, params![by.actor, by.request_id, entity_id, id, username])?;
    Ok(id)
}

const RECORD_ENROLLED: &str = "
    INSERT INTO audit_event (action, actor, request_id, entity_id, account_id, username, new_values)
    VALUES ('account-create', ?1, ?2, ?3, ?4, ?5, json_object('username', ?5, 'entity_id', ?3, 'active', 1))";

fn change_one(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
    match connection.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        changed => Err(rusqlite::Error::StatementChangedRows(changed)),
    }
}

/// Runs changes with the triggers on, in the name of a call: they do the counting and recording. For changes that are rare:
/// switching makes SQLite prepare its statements again, which takes about a millisecond.
pub(super) fn by_triggers<T>(
    connection: &Connection,
    by: &By,
    change: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection
        .execute("INSERT INTO call (id, request_id, actor) VALUES (1, ?1, ?2)", params![by.request_id, by.actor])?;
    set_triggers(connection, true)?;
    let changed = change();
    set_triggers(connection, false)?;
    let changed = changed?;
    connection.execute("DELETE FROM call", [])?;
    Ok(changed)
}

/// Switches the triggers of a connection on or off.
pub(super) fn set_triggers(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).map(drop)
}
