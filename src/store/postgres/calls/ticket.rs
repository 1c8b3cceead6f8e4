//! Tickets, which callers send after a sign-in instead of a password. The table has a hash of the ticket's secret and the user
//! name, but no rights: each call reads role, entity and `active` of the credential again, in [`super::facts`]. The schema ends a
//! ticket when its credential's password changes.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::assignee;
use super::facts::{Caller, Proof, ProofKind, caller, caller_by_password, caller_by_ticket, findable, to_caller};
use super::owner;
use super::stop::Stop;
use crate::seats::{self, Refusal};
use crate::store::postgres::session::{Parameter, Session, Sql, to_time};
use crate::store::{Call, Credential, HASH_KINDS_MAX, NewTicket, Principal};

/// A name with U+FFFD is invalid, even if a row has it: the client's bytes may have been another name.
pub(crate) async fn credential(session: &Session, user_name: &str) -> Result<Option<Credential>, Stop> {
    if seats::is_undecoded(user_name) {
        return Ok(None);
    }
    let key = findable(user_name).map(str::to_ascii_lowercase);
    let row = session.row_opt(&CREDENTIAL, &[&key]).await?;
    row.map(|row| {
        let (user_name, password_hash): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Credential { user_name: user_name.into(), password_hash: password_hash.into() })
    })
    .transpose()
}

const CREDENTIAL: Sql = Sql {
    text: "SELECT user_name, password_hash FROM credential WHERE lower(user_name COLLATE \"C\") = $1 AND active = 1",
    types: &[Type::TEXT],
};

/// The parameters are between the version and the salt: `$argon2id$v=19$m=19456,t=2,p=1$…`, which the schema checks.
pub(crate) async fn hash_kinds(session: &Session) -> Result<Vec<(Arc<str>, u64)>, Stop> {
    let rows = session.rows(&HASH_KINDS, &[&i64::from(HASH_KINDS_MAX)]).await?;
    rows.iter().map(|row| Ok((row.try_get::<_, &str>(0)?.into(), row.try_get::<_, i64>(1)?.unsigned_abs()))).collect()
}

const HASH_KINDS: Sql = Sql {
    text: "SELECT min(password_hash COLLATE \"C\"), count(*) FROM credential WHERE active = 1
            GROUP BY substr(password_hash, 1, 15 + strpos(substr(password_hash, 16), '$'))
            ORDER BY 2 DESC, 1 LIMIT $1",
    types: &[Type::INT8],
};

/// Stores a ticket, in a transaction at READ COMMITTED. It may be run again after its commit.
pub(crate) async fn issue(session: &Session, call: &Call, ticket: &NewTicket) -> Result<Principal, Stop> {
    let (caller, entity_id) = signed_in(lock_caller(session, call).await?)?;
    session.execute(&END_EXPIRED, &[&to_time(call.now)]).await?;
    let id = ticket.proof.id.to_string();
    let values: [Parameter<'_>; 4] =
        [&id, &ticket.proof.secret_hash.as_slice(), &caller.name, &whole(ticket.expires_at)];
    session.execute(&KEEP, &values).await?;
    read_principal(session, caller, entity_id, call.now).await
}

/// The caller, whose credential cannot change until the transaction ends: a new password must end the tickets of the old one, and
/// it cannot see an uncommitted ticket.
async fn lock_caller(session: &Session, call: &Call) -> Result<Option<Caller>, Stop> {
    let proof = Proof::of(call);
    let sql = match proof.kind {
        ProofKind::Password => &LOCK_BY_PASSWORD,
        ProofKind::Ticket => &LOCK_BY_TICKET,
        // Tickets are got with a password or another ticket.
        ProofKind::Session | ProofKind::CommandLine => return Ok(None),
    };
    let row = session.row_opt(sql, &[&proof.name, &proof.secret, &to_time(call.now)]).await?;
    row.map(|row| to_caller(call, &row)).transpose()
}

const CALLER: &[Type] = &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
const LOCK_BY_PASSWORD: Sql = Sql { text: concat!(caller_by_password!(), " FOR SHARE OF credential"), types: CALLER };
const LOCK_BY_TICKET: Sql = Sql { text: concat!(caller_by_ticket!(), " FOR SHARE OF credential"), types: CALLER };

/// Each sign-in deletes more expired tickets than it creates, so the table stays small.
const END_EXPIRED: Sql = Sql {
    text: "DELETE FROM ticket WHERE id = ANY (ARRAY (
               SELECT id FROM ticket WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED))",
    types: &[Type::TIMESTAMPTZ],
};

/// The ticket may exist already, if the answer to its commit was lost.
const KEEP: Sql = Sql {
    text: "INSERT INTO ticket (id, secret_hash, user_name, expires_at)
           SELECT $1, $2, $3, $4 FROM (SELECT set_config('seatkeeper.service', 'on', true) AS is_on) AS service WHERE is_on = 'on'
               ON CONFLICT (id) DO NOTHING",
    types: &[Type::TEXT, Type::BYTEA, Type::TEXT, Type::TIMESTAMPTZ],
};

/// Reads in one snapshot.
pub(crate) async fn principal(session: &Session, call: &Call) -> Result<Principal, Stop> {
    let (caller, entity_id) = signed_in(caller(session, call).await?)?;
    read_principal(session, caller, entity_id, call.now).await
}

/// Does nothing for a ticket that has expired, or that already lives that long.
pub(crate) async fn renew(session: &Session, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Result<(), Stop> {
    session.execute(&RENEW, &[&id.to_string(), &to_time(now), &whole(expires_at)]).await?;
    Ok(())
}

const RENEW: Sql = Sql {
    text: "UPDATE ticket SET expires_at = $3
             FROM (SELECT set_config('seatkeeper.service', 'on', true) AS is_on) AS service
            WHERE is_on = 'on' AND id = $1 AND expires_at > $2 AND expires_at < $3",
    types: &[Type::TEXT, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ],
};

/// The end of a ticket as stored, in whole seconds.
fn whole(at: Timestamp) -> SystemTime {
    to_time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The caller and the entity of its credential; the command line has no credential.
fn signed_in(caller: Option<Caller>) -> Result<(Caller, i32), Stop> {
    let caller = caller.ok_or(Refusal::CallerUnknown)?;
    let entity_id = caller.entity_id.ok_or(Refusal::CallerUnknown)?;
    Ok((caller, entity_id))
}

async fn read_principal(session: &Session, caller: Caller, entity_id: i32, now: Timestamp) -> Result<Principal, Stop> {
    let associate = assignee::of_caller(session, &caller).await?;
    let owner = owner::read(session, entity_id, now).await?;
    let entity_name = session.row(&ENTITY_NAME, &[&entity_id]).await?.try_get(0)?;
    Ok(Principal {
        owner: owner.map(|facts| facts.owner(associate.as_ref(), now)),
        user_name: caller.name,
        role: caller.role,
        // License tools cannot use an id beyond their type, so it is left out.
        associate_id: associate.as_ref().and_then(|associate| i32::try_from(associate.account.id).ok()),
        entity_id,
        entity_name,
    })
}

const ENTITY_NAME: Sql = Sql { text: "SELECT name FROM entity WHERE id = $1", types: &[Type::INT4] };
