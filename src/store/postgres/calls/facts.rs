//! Facts about callers, entities, accounts, holdings and pools: the reads at the beginning of every decision, each in one
//! statement. An assignment, a release, a transfer and a read of details get all their facts from one statement, in
//! [`super::seats`].
//!
//! The statements are assembled at compile time from the fragments here, so that each condition is in one place. An expression
//! like `CASE WHEN the caller may know THEN name END` looks up null in the index if the caller may not know the row, which costs
//! nothing: the time of a refusal does not depend on rows that the rules do not reach.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::stop::Stop;
use crate::seats::{Entity, Held, Pool, Role, SeatId, UserName};
use crate::store::postgres::session::{By, Session, Sql, time, to_time};
use crate::store::{Actor, Call, StoreError};

/// The actor of changes made at the command line, in the history.
const COMMAND_LINE: &str = "cli";

pub(crate) struct Caller {
    /// In the store's spelling.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The root of the caller's subtree; `None` for the command line, which may access everything.
    pub(crate) entity_id: Option<i32>,
}

/// The proof of a caller: the first two parameters of each statement that begins with the caller's row.
pub(crate) struct Proof {
    pub(crate) kind: ProofKind,
    pub(crate) name: String,
    pub(crate) secret: String,
}

/// Selects the variant of a statement; in the order of [`of_caller!`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProofKind {
    Password,
    Ticket,
    CommandLine,
    Session,
}

impl Proof {
    pub(crate) fn of(call: &Call) -> Proof {
        let (kind, name, secret) = match &call.actor {
            Actor::Credential(proved) => {
                (ProofKind::Password, proved.user_name.to_ascii_lowercase(), proved.password_hash.to_string())
            }
            Actor::Ticket(proof) => (ProofKind::Ticket, proof.id.to_string(), hex(&proof.secret_hash)),
            Actor::Session(proof) => (ProofKind::Session, proof.id.to_string(), hex(&proof.secret_hash)),
            Actor::CommandLine { name } => {
                (ProofKind::CommandLine, name.as_deref().unwrap_or(COMMAND_LINE).to_owned(), String::new())
            }
        };
        Proof { kind, name, secret }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A caller's row, by the proof in `$1` and `$2` and the time of the call in `$3`: `name`, `role` and `entity_id`.
macro_rules! caller_by_password {
    () => {
        "SELECT user_name AS name, role, entity_id FROM credential
          WHERE lower(user_name COLLATE \"C\") = $1 AND password_hash = $2 AND active = 1"
    };
}

/// The public part identifies the ticket. The table has a hash of the secret; the comparison is between hashes of that hash,
/// which a client cannot choose, so its time reveals nothing.
macro_rules! caller_by_ticket {
    () => {
        "SELECT credential.user_name AS name, role, entity_id
           FROM ticket JOIN credential ON lower(credential.user_name COLLATE \"C\") = lower(ticket.user_name COLLATE \"C\")
          WHERE id = $1 AND sha256(secret_hash) = sha256(decode($2, 'hex')) AND expires_at > $3 AND active = 1"
    };
}

/// The same for a session of the pages for administrators.
macro_rules! caller_by_session {
    () => {
        "SELECT credential.user_name AS name, role, entity_id
           FROM session JOIN credential ON lower(credential.user_name COLLATE \"C\") = lower(session.user_name COLLATE \"C\")
          WHERE id = $1 AND sha256(secret_hash) = sha256(decode($2, 'hex')) AND expires_at > $3 AND ends_at > $3 AND active = 1"
    };
}

macro_rules! caller_of_command_line {
    () => {
        "SELECT $1::text AS name, 'admin'::text AS role, NULL::integer AS entity_id"
    };
}

/// Whether an entity is `$root` or below it; null is above everything. Walks up one entity at a time, and ends even in a cycle
/// that evaded the guards, because UNION finds each entity once. The inner query ensures one index look-up per step.
macro_rules! is_below {
    ($entity_id:literal, $root:literal) => {
        concat!(
            "(",
            $root,
            " IS NULL OR ",
            $entity_id,
            " = ",
            $root,
            " OR EXISTS (
                WITH RECURSIVE above (id) AS (
                    SELECT ",
            $entity_id,
            "::integer
                     UNION SELECT (SELECT parent_id FROM entity WHERE entity.id = above.id) FROM above WHERE above.id IS NOT NULL)
                SELECT FROM above WHERE above.id = ",
            $root,
            "))"
        )
    };
}

/// A statement that begins with the caller's row, as `caller` after WITH; one for each [`ProofKind`]. `$1` to `$3` are the caller's.
macro_rules! of_caller {
    ($types:expr, $($text:tt)+) => {
        [
            Sql { text: concat!("WITH caller AS (", caller_by_password!(), ") ", $($text)+), types: $types },
            Sql { text: concat!("WITH caller AS (", caller_by_ticket!(), ") ", $($text)+), types: $types },
            Sql { text: concat!("WITH caller AS (", caller_of_command_line!(), ") ", $($text)+), types: $types },
            Sql { text: concat!("WITH caller AS (", caller_by_session!(), ") ", $($text)+), types: $types },
        ]
    };
}

pub(crate) use {caller_by_password, caller_by_session, caller_by_ticket, caller_of_command_line, is_below, of_caller};

const CALLER: &[Type] = &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
pub(crate) const CALLER_BY_PASSWORD: Sql = Sql { text: caller_by_password!(), types: CALLER };
pub(crate) const CALLER_BY_TICKET: Sql = Sql { text: caller_by_ticket!(), types: CALLER };
const CALLER_BY_SESSION: Sql = Sql { text: caller_by_session!(), types: CALLER };

/// The caller, from its present row; `None` if the proof is no longer valid.
pub(crate) async fn caller(session: &Session, call: &Call) -> Result<Option<Caller>, Stop> {
    let proof = Proof::of(call);
    let sql = match proof.kind {
        ProofKind::Password => &CALLER_BY_PASSWORD,
        ProofKind::Ticket => &CALLER_BY_TICKET,
        ProofKind::Session => &CALLER_BY_SESSION,
        ProofKind::CommandLine => {
            return Ok(Some(Caller { name: proof.name, role: Role::Admin, entity_id: None }));
        }
    };
    let row = session.row_opt(sql, &[&proof.name, &proof.secret, &to_time(call.now)]).await?;
    row.map(|row| to_caller(call, &row)).transpose()
}

/// The caller as the actor of events.
pub(crate) fn by(call: &Call, caller: &Caller) -> By {
    By::new(call.id, &caller.name)
}

/// Reads the first three columns.
pub(crate) fn to_caller(call: &Call, row: &Row) -> Result<Caller, Stop> {
    let caller = Caller { name: row.try_get(0)?, role: parse(row, 1)?, entity_id: row.try_get(2)? };
    call.found_caller(&caller.name);
    Ok(caller)
}

/// An entity. `root`: the caller's entity.
pub(crate) async fn entity(session: &Session, id: i32, root: Option<i32>) -> Result<Option<Entity>, Stop> {
    let row = session.row_opt(&ENTITY, &[&id, &root]).await?;
    row.map(|row| Ok(Entity { active: is_set(&row, 0)?, in_subtree: row.try_get(1)? })).transpose()
}

pub(crate) const ENTITY: Sql = Sql {
    text: concat!("SELECT active, ", is_below!("$1", "$2"), " FROM entity WHERE id = $1"),
    types: &[Type::INT4, Type::INT4],
};

/// The key for looking up a user; `None`: the name is invalid. PostgreSQL would refuse some invalid names, such as one with
/// U+0000.
pub(crate) fn name_key(username: Option<&UserName>) -> Option<String> {
    username.and_then(|name| name.checked().ok()).map(str::to_ascii_lowercase)
}

/// A text for looking up a row. No row has a text with U+0000, and PostgreSQL would refuse the statement, so null is used, which
/// finds none.
pub(crate) fn findable(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.contains('\0'))
}

/// Reads five columns: those of [`to_seat`], the end of its pool, the pool's entity, and whether that is in the subtree.
pub(crate) fn to_held(row: &Row, first: usize) -> Result<Held, Stop> {
    Ok(Held {
        seat: to_seat(row, first)?,
        expires_at: time(row, first + 2)?,
        entity_id: row.try_get(first + 3)?,
        in_subtree: row.try_get(first + 4)?,
    })
}

/// Reads two columns: the pool and the number of the seat in it.
pub(crate) fn to_seat(row: &Row, first: usize) -> Result<SeatId, Stop> {
    Ok(SeatId { pool_id: row.try_get(first)?, seat_no: row.try_get::<_, i32>(first + 1)?.into() })
}

/// The pools of an entity and a type that have not expired at a moment, each with a free seat; if none of them has started, also
/// the one that expired last.
///
/// The free seat is read in the order of the index `seat_free`, one step into it, for any number of seats. Without the order the
/// planner may choose to read the table.
macro_rules! open_pools {
    ($entity_id:literal, $license_type:literal, $now:literal) => {
        concat!(
            "SELECT id, seats_total, starts_at, expires_at,
                    (SELECT seat_no FROM seat WHERE pool_id = license_pool.id AND account_id IS NULL
                      ORDER BY pool_id, seat_no LIMIT 1) AS free_seat_no
               FROM license_pool
              WHERE entity_id = ",
            $entity_id,
            " AND license_type = ",
            $license_type,
            " AND expires_at > ",
            $now,
            " UNION ALL
             SELECT id, seats_total, starts_at, expires_at,
                    (SELECT seat_no FROM seat WHERE pool_id = license_pool.id AND account_id IS NULL
                      ORDER BY pool_id, seat_no LIMIT 1)
               FROM license_pool
              WHERE entity_id = ",
            $entity_id,
            " AND license_type = ",
            $license_type,
            " AND expires_at IS NULL
              UNION ALL
             (SELECT id, seats_total, starts_at, expires_at, NULL
                FROM license_pool
               WHERE entity_id = ",
            $entity_id,
            " AND license_type = ",
            $license_type,
            " AND expires_at <= ",
            $now,
            " AND NOT EXISTS (
                     SELECT FROM license_pool AS begun
                      WHERE begun.entity_id = ",
            $entity_id,
            " AND begun.license_type = ",
            $license_type,
            " AND (begun.starts_at IS NULL OR begun.starts_at <= ",
            $now,
            ") AND (begun.expires_at IS NULL OR begun.expires_at > ",
            $now,
            "))
               ORDER BY expires_at DESC LIMIT 1)"
        )
    };
}

pub(crate) use open_pools;

/// Reads the five columns of [`open_pools!`].
pub(crate) fn to_pool(row: &Row, first: usize) -> Result<Pool, Stop> {
    Ok(Pool {
        id: row.try_get(first)?,
        seats_total: row.try_get::<_, i32>(first + 1)?.into(),
        starts_at: time(row, first + 2)?,
        expires_at: time(row, first + 3)?,
        free_seat_no: row.try_get::<_, Option<i32>>(first + 4)?.map(i64::from),
    })
}

/// A column of 0 and 1.
pub(crate) fn is_set(row: &Row, index: usize) -> Result<bool, Stop> {
    Ok(row.try_get::<_, i32>(index)? != 0)
}

/// A text column whose CHECK constraint allows only values that `T` can parse.
pub(crate) fn parse<T: std::str::FromStr>(row: &Row, index: usize) -> Result<T, Stop>
where
    T::Err: std::fmt::Display,
{
    let text: &str = row.try_get(index)?;
    text.parse().map_err(|error: T::Err| StoreError::Failed(format!("a column holds '{text}': {error}")).into())
}
