//! Tickets, which callers send after a sign-in instead of a password. The table has a hash of the ticket's secret and the user
//! name, but no rights: each call reads role, entity and `active` of the credential again, in [`super::facts`]. The schema ends a
//! ticket when its credential's password changes.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::assignee;
use super::facts::{Caller, caller, text, to_text};
use super::owner;
use super::stop::Stop;
use crate::seats::{self, Refusal};
use crate::store::{Call, Credential, HASH_KINDS_MAX, NewTicket, Principal};

/// A name with U+FFFD is invalid, even if a row older than the schema's rules for text has it: the client's bytes may have been
/// another name.
pub(crate) fn credential(connection: &Connection, user_name: &str) -> rusqlite::Result<Option<Credential>> {
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

/// The parameters are between the version and the salt: `$argon2id$v=19$m=19456,t=2,p=1$…`, which the schema checks.
pub(crate) fn hash_kinds(connection: &Connection) -> rusqlite::Result<Vec<(Arc<str>, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT min(password_hash), count(*) FROM credential WHERE active = 1
          GROUP BY substr(password_hash, 1, 15 + instr(substr(password_hash, 16), '$'))
          ORDER BY count(*) DESC, 1 LIMIT ?1",
    )?;
    let rows = statement.query_map([HASH_KINDS_MAX], |row| {
        Ok((row.get::<_, String>(0)?.into(), row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    rows.collect()
}

pub(crate) fn issue(connection: &Connection, call: &Call, ticket: &NewTicket) -> Result<Principal, Stop> {
    let (caller, entity_id) = signed_in(connection, call)?;
    end_expired(connection, call.now)?;
    keep(connection, ticket, &caller.name)?;
    read_principal(connection, caller, entity_id, call.now)
}

pub(crate) fn principal(connection: &Connection, call: &Call) -> Result<Principal, Stop> {
    let (caller, entity_id) = signed_in(connection, call)?;
    read_principal(connection, caller, entity_id, call.now)
}

/// Does nothing for a ticket that has expired, or that already lives that long.
pub(crate) fn renew(connection: &Connection, id: Uuid, now: Timestamp, expires_at: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached(RENEW)?.execute(params![id.to_string(), to_text(now), to_text(expires_at)]).map(drop)
}

pub(crate) const RENEW: &str =
    "UPDATE ticket SET expires_at = ?3 WHERE id = ?1 AND expires_at > ?2 AND expires_at < ?3";

/// The caller and the entity of its credential; the command line has no credential.
fn signed_in(connection: &Connection, call: &Call) -> Result<(Caller, i64), Stop> {
    let caller = caller(connection, call)?.ok_or(Refusal::CallerUnknown)?;
    let entity_id = caller.entity_id.ok_or(Refusal::CallerUnknown)?;
    Ok((caller, entity_id))
}

/// Each sign-in deletes more expired tickets than it creates, so the table stays small.
const EXPIRED_MAX: i64 = 100;

fn end_expired(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached(END_EXPIRED)?.execute(params![to_text(now), EXPIRED_MAX]).map(drop)
}

pub(crate) const END_EXPIRED: &str =
    "DELETE FROM ticket WHERE id IN (SELECT id FROM ticket WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

fn keep(connection: &Connection, ticket: &NewTicket, user_name: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO ticket (id, secret_hash, user_name, expires_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![ticket.proof.id.to_string(), ticket.proof.secret_hash, user_name, to_text(ticket.expires_at)])
        .map(drop)
}

fn read_principal(connection: &Connection, caller: Caller, entity_id: i64, now: Timestamp) -> Result<Principal, Stop> {
    let associate = assignee::of_caller(connection, &caller)?;
    let (entity_id, entity_name) = connection
        .prepare_cached("SELECT id, name FROM entity WHERE id = ?1")?
        .query_row([entity_id], |row| Ok((row.get(0)?, text(row, 1)?.unwrap_or_default())))?;
    Ok(Principal {
        user_name: caller.name,
        role: caller.role,
        // License tools cannot use an id beyond their type, so it is left out.
        associate_id: associate.as_ref().and_then(|associate| i32::try_from(associate.account.id).ok()),
        entity_id,
        entity_name,
        owner: owner::read(connection, entity_id, associate.as_ref(), now)?,
    })
}
