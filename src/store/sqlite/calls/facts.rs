//! Facts about callers, entities, accounts, holdings and pools: the reads at the beginning of every decision.

use ctutils::CtEq as _;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::seats::{Account, Entity, Held, LicenseType, Pool, Role, SeatId, UserName};
use crate::store::{Actor, Call, Credential, TicketProof};

/// The actor of changes made at the command line, in the history.
const COMMAND_LINE: &str = "cli";

pub(crate) struct Caller {
    /// In the store's spelling.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The root of the caller's subtree; `None` for the command line, which may access everything.
    pub(crate) entity_id: Option<i64>,
}

/// The caller, from its present row; `None` if its proof is no longer valid.
pub(crate) fn caller(connection: &Connection, call: &Call) -> rusqlite::Result<Option<Caller>> {
    let caller = match &call.actor {
        Actor::Credential(proved) => caller_by_password(connection, proved)?,
        Actor::Ticket(proof) => caller_by_proof(connection, TICKET, proof, call.now)?,
        Actor::Session(proof) => caller_by_proof(connection, SESSION, proof, call.now)?,
        Actor::CommandLine { name } => {
            let name = name.as_deref().unwrap_or(COMMAND_LINE).to_owned();
            Some(Caller { name, role: Role::Admin, entity_id: None })
        }
    };
    caller.iter().for_each(|caller| call.found_caller(&caller.name));
    Ok(caller)
}

fn caller_by_password(connection: &Connection, proved: &Credential) -> rusqlite::Result<Option<Caller>> {
    connection
        .prepare_cached(
            "SELECT user_name, role, entity_id FROM credential
              WHERE user_name = ?1 AND password_hash = ?2 AND active = 1",
        )?
        .query_row(params![proved.user_name, proved.password_hash], to_caller)
        .optional()
}

/// The ticket or session is found by what is no secret. Of the secret there is a hash, compared in constant time.
fn caller_by_proof(
    connection: &Connection,
    sql: &str,
    proof: &TicketProof,
    now: Timestamp,
) -> rusqlite::Result<Option<Caller>> {
    connection
        .prepare_cached(sql)?
        .query_row(params![proof.id.to_string(), to_text(now)], |row| {
            let is_proved = row.get_ref(3)?.as_blob()?.ct_eq(&proof.secret_hash[..]).to_bool();
            Ok((is_proved, to_caller(row)?))
        })
        .optional()
        .map(|found| found.filter(|(is_proved, _)| *is_proved).map(|(_, caller)| caller))
}

pub(crate) const TICKET: &str = "
    SELECT credential.user_name, role, entity_id, secret_hash
      FROM ticket CROSS JOIN credential ON credential.user_name = ticket.user_name
     WHERE id = ?1 AND expires_at > ?2 AND active = 1";

pub(crate) const SESSION: &str = "
    SELECT credential.user_name, role, entity_id, secret_hash
      FROM session CROSS JOIN credential ON credential.user_name = session.user_name
     WHERE id = ?1 AND expires_at > ?2 AND ends_at > ?2 AND active = 1";

fn to_caller(row: &Row<'_>) -> rusqlite::Result<Caller> {
    Ok(Caller { name: text(row, 0)?.unwrap_or_default(), role: parse(row, 1)?, entity_id: Some(row.get(2)?) })
}

pub(crate) fn entity(
    connection: &Connection,
    id: impl Into<i64>,
    root: Option<i64>,
) -> rusqlite::Result<Option<Entity>> {
    let id = id.into();
    let row = connection.prepare_cached(ENTITY)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((active, parent_id)) = row else { return Ok(None) };
    let in_subtree = match root {
        None => true,
        Some(root) => id == root || is_above(connection, root, parent_id)?,
    };
    Ok(Some(Entity { active, in_subtree }))
}

pub(crate) const ENTITY: &str = "SELECT active, parent_id FROM entity WHERE id = ?1";

pub(crate) const PARENT: &str = "SELECT parent_id FROM entity WHERE id = ?1";

/// Whether `root` is this entity or above it. Walks up one entity at a time: trees are shallow, and a recursive query makes two
/// temporary tables, which cost more than ten steps.
fn is_above(connection: &Connection, root: i64, from: Option<i64>) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(PARENT)?;
    // A cycle that evaded the guards must not hang a call. Brent's algorithm: remember the entity of step 1, 2, 4, 8, ...; a walk
    // that meets the remembered entity again is in a cycle.
    let (mut at, mut remembered, mut steps, mut next) = (from, None, 0_u64, 1);
    while let Some(id) = at {
        if id == root {
            return Ok(true);
        }
        if remembered == at {
            return Ok(false);
        }
        steps += 1;
        if steps == next {
            (remembered, next) = (at, next * 2);
        }
        at = statement.query_row([id], |row| row.get(0)).optional()?.flatten();
    }
    Ok(false)
}

/// `root`: the caller's entity; accounts at or below it are in the subtree. `known`: an entity that has been read already.
pub(crate) fn account(
    connection: &Connection,
    username: Option<&UserName>,
    root: Option<i64>,
    known: Option<(i32, Entity)>,
) -> rusqlite::Result<Option<Account>> {
    let Some(username) = username else { return Ok(None) };
    let row = connection
        .prepare_cached("SELECT id, active, entity_id FROM account WHERE username = ?1")?
        .query_row([username.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, active, entity_id)) = row else { return Ok(None) };
    Ok(Some(Account { id, active, in_subtree: is_below(connection, entity_id, root, known)? }))
}

/// Whether an entity is in the subtree of the caller's entity. `known`: an entity that has been read already.
pub(crate) fn is_below(
    connection: &Connection,
    entity_id: i32,
    root: Option<i64>,
    known: Option<(i32, Entity)>,
) -> rusqlite::Result<bool> {
    match known {
        Some((id, entity)) if id == entity_id => Ok(entity.in_subtree),
        _ => Ok(entity(connection, entity_id, root)?.is_some_and(|entity| entity.in_subtree)),
    }
}

/// The seat of this type that an account holds.
pub(crate) fn seat_held(
    connection: &Connection,
    account: Account,
    license_type: LicenseType,
) -> rusqlite::Result<Option<SeatId>> {
    let key = params![account.id, license_type.name()];
    connection.prepare_cached(SEAT_HELD)?.query_row(key, |row| to_seat(row, 0)).optional()
}

pub(crate) const SEAT_HELD: &str = "
    SELECT pool_id, seat_no FROM seat INDEXED BY seat_by_holder WHERE account_id = ?1 AND license_type = ?2";

/// The same, with the facts about its pool that the rules need. `known`: an entity that has been read already.
pub(crate) fn held(
    connection: &Connection,
    account: Account,
    license_type: LicenseType,
    root: Option<i64>,
    known: Option<(i32, Entity)>,
) -> rusqlite::Result<Option<Held>> {
    let key = params![account.id, license_type.name()];
    let held = connection.prepare_cached(HELD)?.query_row(key, |row| to_held(row, 0)).optional()?;
    let Some(mut held) = held else { return Ok(None) };
    held.in_subtree = is_below(connection, held.entity_id, root, known)?;
    Ok(Some(held))
}

pub(crate) const HELD: &str = "
    SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id
      FROM seat INDEXED BY seat_by_holder CROSS JOIN license_pool ON license_pool.id = seat.pool_id
     WHERE seat.account_id = ?1 AND seat.license_type = ?2";

/// Reads the four columns of [`HELD`]. Leaves `in_subtree` false; the caller sets it.
pub(crate) fn to_held(row: &Row<'_>, first: usize) -> rusqlite::Result<Held> {
    Ok(Held {
        seat: to_seat(row, first)?,
        expires_at: time(row, first + 2)?,
        entity_id: row.get(first + 3)?,
        in_subtree: false,
    })
}

fn to_seat(row: &Row<'_>, first: usize) -> rusqlite::Result<SeatId> {
    Ok(SeatId { pool_id: row.get(first)?, seat_no: row.get(first + 1)? })
}

/// The pools that have not expired, each with a free seat; if none of them has started, also the one that expired last.
pub(crate) fn pools(
    connection: &Connection,
    entity_id: i32,
    license_type: LicenseType,
    now: Timestamp,
) -> rusqlite::Result<Vec<Pool>> {
    let to_pool = |row: &Row<'_>| {
        Ok(Pool {
            id: row.get(0)?,
            seats_total: row.get(1)?,
            starts_at: time(row, 2)?,
            expires_at: time(row, 3)?,
            free_seat_no: row.get(4)?,
        })
    };
    let mut statement = connection.prepare_cached(OPEN_POOLS)?;
    let key = params![entity_id, license_type.name(), to_text(now)];
    let mut pools: Vec<Pool> = statement.query_map(key, to_pool)?.collect::<rusqlite::Result<_>>()?;
    if pools.iter().any(|pool| pool.starts_at.is_none_or(|at| at <= now)) {
        return Ok(pools);
    }
    let expired = connection
        .prepare_cached(
            "SELECT id, seats_total, starts_at, expires_at, NULL FROM license_pool
              WHERE entity_id = ?1 AND license_type = ?2 AND expires_at <= ?3 ORDER BY expires_at DESC LIMIT 1",
        )?
        .query_row(params![entity_id, license_type.name(), to_text(now)], to_pool)
        .optional()?;
    pools.extend(expired);
    Ok(pools)
}

/// The inner query is one step into the partial index `seat_free`, for any number of seats. The query names the index because the
/// planner would otherwise walk the primary key past every taken seat.
pub(crate) const OPEN_POOLS: &str = "
    SELECT id, seats_total, starts_at, expires_at,
           (SELECT seat_no FROM seat INDEXED BY seat_free
             WHERE pool_id = license_pool.id AND account_id IS NULL ORDER BY seat_no LIMIT 1)
      FROM license_pool
     WHERE entity_id = ?1 AND license_type = ?2 AND (expires_at IS NULL OR expires_at > ?3)";

/// The last day of year 9999, which some systems write for "never", is later than any [`Timestamp`].
pub(crate) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(index)?.as_str_or_null()? {
        None => Ok(None),
        Some(text) if text >= "9999-12-30T22:00:00Z" => Ok(Some(Timestamp::MAX)),
        Some(_) => parse(row, index).map(Some),
    }
}

/// A text column. A text older than the schema's rules for text may be invalid UTF-8; it must not make a list unreadable.
pub(crate) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(index)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// A time as the store writes it, in whole seconds. Comparisons stay right, because all stored times are whole seconds.
pub(crate) fn to_text(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A text column whose CHECK constraint allows only values that `T` can parse.
pub(crate) fn parse<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::fmt::Display,
{
    row.get_ref(index)?.as_str()?.parse().map_err(|e: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, e.to_string().into())
    })
}
