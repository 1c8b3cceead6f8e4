//! The calls that only look. Each is one read transaction: what it answers was all true at one moment.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::mpsc;

use super::change::holding_facts;
use super::facts::{caller, parse, provider, text, time};
use crate::seats::{self, Holding, Provider, Refusal, Role};
use crate::store::{Call, Credential, Details, Holder, HoldersRequest, PoolUse, StoreError};

/// A name that holds U+FFFD is nobody's, even if such a row is left from before the schema's rules for text: the bytes that
/// were sent may have been another name.
pub(super) fn credential(connection: &Connection, user_name: &str) -> rusqlite::Result<Option<Credential>> {
    if seats::is_undecoded(user_name) {
        return Ok(None);
    }
    connection
        .prepare_cached("SELECT user_name, password_hash FROM credential WHERE user_name = ?1 AND active = 1")?
        .query_row([user_name], |row| {
            Ok(Credential {
                user_name: text(row, 0)?.unwrap_or_default().into(),
                password_hash: text(row, 1)?.unwrap_or_default().into(),
            })
        })
        .optional()
}

pub(super) fn details(
    connection: &Connection,
    call: &Call,
    holding: &Holding,
) -> rusqlite::Result<Result<Details, Refusal>> {
    let (_, facts) = holding_facts(connection, call, holding)?;
    let seat = match seats::find(holding, &facts, Role::Reader) {
        Ok(seat) => seat,
        Err(refusal) => return Ok(Err(refusal)),
    };
    connection
        .prepare_cached(
            "SELECT coalesce(seat.product_key, license_pool.product_key), coalesce(seat.license_data, license_pool.license_data)
               FROM seat JOIN license_pool ON license_pool.id = pool_id WHERE pool_id = ?1 AND seat_no = ?2",
        )?
        .query_row(params![seat.pool_id, seat.seat_no], |row| {
            Ok(Details { product_key: text(row, 0)?, license_data: row.get(1)? })
        })
        .map(Ok)
}

/// Use and high-water mark come from each pool's newest audit event, one step however many seats there are.
pub(super) fn pools(
    connection: &Connection,
    call: &Call,
    entity_id: Option<i32>,
) -> rusqlite::Result<Result<Vec<PoolUse>, Refusal>> {
    let (role, entity) = entity(connection, call, entity_id)?;
    let entity_id = match seats::look(role, "EntityId", entity_id, entity) {
        Ok(id) => id,
        Err(refusal) => return Ok(Err(refusal)),
    };
    pools_of(connection, entity_id).map(Ok)
}

/// All pools of an entity.
pub(super) fn pools_of(connection: &Connection, entity_id: i32) -> rusqlite::Result<Vec<PoolUse>> {
    connection
        .prepare_cached(
            "SELECT license_pool.id, license_pool.license_type, license_pool.seats_total, seats_in_use, seats_in_use_max, starts_at, expires_at
               FROM license_pool
               JOIN audit_event ON audit_event.id = (
                    SELECT id FROM audit_event WHERE pool_id = license_pool.id ORDER BY id DESC LIMIT 1)
              WHERE license_pool.entity_id = ?1 ORDER BY license_pool.id",
        )?
        .query_map([entity_id], |row| {
            Ok(PoolUse {
                id: row.get(0)?,
                license_type: parse(row, 1)?,
                seats_total: row.get(2)?,
                seats_in_use: row.get(3)?,
                seats_in_use_max: row.get(4)?,
                starts_at: time(row, 5)?,
                expires_at: time(row, 6)?,
            })
        })?
        .collect()
}

/// Holders sent at a time.
const PAGE: usize = 500;
/// How long one list of holders may take, the client's reading included: it holds a snapshot of the database open.
const HOLDERS_TIMEOUT: Duration = Duration::from_secs(120);

/// Sends everybody who holds a seat, page by page, from one snapshot. Waits while the receiver is behind.
pub(super) fn holders(
    connection: &Connection,
    call: &Call,
    request: &HoldersRequest,
    pages: &mpsc::Sender<Vec<Holder>>,
) -> rusqlite::Result<Result<Result<(), Refusal>, StoreError>> {
    let (role, entity) = entity(connection, call, request.entity_id)?;
    let entity_id = match seats::look(role, "EntityId", request.entity_id, entity) {
        Ok(id) => id,
        Err(refusal) => return Ok(Ok(Err(refusal))),
    };
    let begun = Instant::now();
    let mut statement =
        connection.prepare_cached(if request.child_accounts_only { OF_CHILDREN } else { OF_SUBTREE })?;
    let mut rows = statement.query([entity_id])?;
    loop {
        let mut page = Vec::with_capacity(PAGE);
        while page.len() < PAGE
            && let Some(row) = rows.next()?
        {
            page.push(Holder { username: text(row, 0)?.unwrap_or_default(), license_type: parse(row, 1)? });
        }
        let is_last = page.len() < PAGE;
        if !page.is_empty() && pages.blocking_send(page).is_err() {
            return Ok(Err(StoreError::Closed));
        }
        if is_last {
            return Ok(Ok(Ok(())));
        }
        if begun.elapsed() > HOLDERS_TIMEOUT {
            return Ok(Err(StoreError::Failed("the list of holders took too long to read".to_owned())));
        }
    }
}

/// Entity by entity, so that nothing needs sorting and rows leave as they are found. UNION ends even in a circle.
const OF_SUBTREE: &str = "
    WITH RECURSIVE owner (id) AS (
        SELECT ?1 UNION SELECT entity.id FROM entity JOIN owner ON entity.parent_id = owner.id)
    SELECT username, license_type
      FROM owner
     CROSS JOIN account INDEXED BY account_by_entity ON account.entity_id = owner.id
     CROSS JOIN seat INDEXED BY seat_by_holder ON seat.account_id = account.id";

const OF_CHILDREN: &str = "
    WITH owner (id) AS (SELECT ?1 UNION ALL SELECT id FROM entity WHERE parent_id = ?1)
    SELECT username, license_type
      FROM owner
     CROSS JOIN account INDEXED BY account_by_entity ON account.entity_id = owner.id
     CROSS JOIN seat INDEXED BY seat_by_holder ON seat.account_id = account.id";

fn entity(
    connection: &Connection,
    call: &Call,
    entity_id: Option<i32>,
) -> rusqlite::Result<(Option<Role>, Option<Provider>)> {
    let Some(caller) = caller(connection, call)? else { return Ok((None, None)) };
    let entity = match entity_id {
        Some(id) => provider(connection, id, caller.entity_id)?,
        None => None,
    };
    Ok((Some(caller.role), entity))
}
