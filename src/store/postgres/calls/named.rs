//! Named calls: the table of their outcomes. The outcome is written in the transaction of the change, so that after a crash both
//! are there or neither is, and a retry on any node finds it.
//!
//! The row of a name is read first and written last. If two nodes run a call of one name at once, the second waits at the unique
//! key for the end of the first; then it is run again as a whole, finds the row and returns it.
//!
//! The table is a ring. A sequence numbers the rows; each new row deletes the oldest rows that have expired or are too many,
//! unless another call is deleting them. No row is written by every call, and no call waits for a large deletion.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::facts::{
    Caller, Proof, by, caller_by_password, caller_by_session, caller_by_ticket, caller_of_command_line, of_caller,
    to_caller,
};
use super::stop::{Stop, settle};
use crate::seats::{self, Refusal, Role};
use crate::store::Call;
use crate::store::named::{CallName, Original, Outcome, of_json, to_json};
use crate::store::postgres::run::Work;
use crate::store::postgres::session::{Parameter, Session, Sql, to_time};

/// The limits of the table. See [`crate::store::Options`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) life: SignedDuration,
    /// Rows; one with a long outcome counts as several.
    pub(crate) max: i64,
}

/// An outcome, with its call if that is an earlier one.
pub(crate) type Told<T> = (Result<T, Refusal>, Option<Original>);

/// Runs a named call, or returns the outcome of an earlier call of that name. In both cases it first checks the caller and the
/// role that the call needs: a credential without that right gets no old answer. In a transaction.
pub(crate) async fn run<'w, T: Outcome + Sync>(
    session: &'w Session,
    call: &'w Call,
    name: &'w CallName,
    limits: Limits,
    least: Role,
    change: impl FnOnce() -> Work<'w, T> + Send,
) -> Result<Told<T>, Stop> {
    match begin(session, call, name, limits, least).await {
        Ok(Begun::Told(told)) => Ok(told),
        Ok(Begun::New(new)) => {
            let outcome = settle(change().await)?;
            if name.keeps(&outcome) {
                keep(session, call, name, &new, limits, &to_json(&outcome)).await?;
            }
            Ok((outcome, None))
        }
        // It is not kept, and nothing was changed.
        Err(stop) => settle(Err(stop)).map(|refused| (refused, None)),
    }
}

enum Begun<T> {
    Told(Told<T>),
    New(New),
}

/// A call without an outcome yet.
struct New {
    caller: Caller,
    /// The name as it was sent.
    sent: String,
    /// Rows of this time or before have expired.
    cutoff: String,
}

async fn begin<T: Outcome>(
    session: &Session,
    call: &Call,
    name: &CallName,
    limits: Limits,
    least: Role,
) -> Result<Begun<T>, Stop> {
    let proof = Proof::of(call);
    let sent = name.text();
    let row = session
        .row_opt(&FIND[proof.kind as usize], &[&proof.name, &proof.secret, &to_time(call.now), &sent.as_deref().ok()])
        .await?
        .ok_or(Refusal::CallerUnknown)?;
    let caller = to_caller(call, &row)?;
    seats::check_role(Some(caller.role), least)?;
    let sent = sent?.to_owned();
    let cutoff = |life| to_text(call.now.saturating_sub(life).unwrap_or(Timestamp::MIN));
    if let Some(kept) = Kept::of(&row)? {
        let has_expired = kept.at <= cutoff(name.life(limits.life));
        if !has_expired && kept.request_hash == name.request_hash {
            return kept.tell(call, name).map(Begun::Told);
        }
        if !has_expired && name.source.is_deliberate() {
            let at = kept.at.parse().map_or(kept.at, |at: Timestamp| format!("{at:.0}"));
            return Err(Refusal::NameReused { header: name.source.header(), operation: kept.operation, at }.into());
        }
        session.execute(&FORGET, &[&kept.id]).await?;
    }
    Ok(Begun::New(New { caller, sent, cutoff: cutoff(limits.life) }))
}

/// A row of the table.
struct Kept {
    id: i64,
    request_hash: Vec<u8>,
    operation: String,
    request_id: String,
    at: String,
    outcome: String,
}

impl Kept {
    /// From the columns after the caller's.
    fn of(row: &Row) -> Result<Option<Kept>, Stop> {
        let Some(id) = row.try_get(3)? else { return Ok(None) };
        Ok(Some(Kept {
            id,
            request_hash: row.try_get(4)?,
            operation: row.try_get(5)?,
            request_id: row.try_get(6)?,
            at: row.try_get(7)?,
            outcome: row.try_get(8)?,
        }))
    }

    fn tell<T: Outcome>(self, call: &Call, name: &CallName) -> Result<Told<T>, Stop> {
        let kept = of_json(self.outcome.as_bytes());
        let (Some(outcome), Ok(id), Ok(now)) = (kept, self.request_id.parse(), self.at.parse()) else {
            name.cannot_be_read(self.id);
            return Err(Refusal::NameUnreadable { header: name.source.header() }.into());
        };
        // A call that lost its connection after its commit finds its own row.
        let original = (id != call.id).then_some(Original { id, now });
        Ok((outcome, original))
    }
}

static FIND: [Sql; 4] = of_caller!(
    &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::TEXT],
    "SELECT caller.name, caller.role, caller.entity_id,
            kept.id, kept.request_hash, kept.operation, kept.request_id, kept.at, kept.outcome
       FROM caller
       LEFT JOIN LATERAL (SELECT id, request_hash, operation, request_id, at, outcome
                            FROM named_call
                           WHERE lower(user_name COLLATE \"C\") = lower(caller.name COLLATE \"C\") AND named_call.name = $4
                             AND $3 IS NOT NULL) AS kept ON true"
);

const FORGET: Sql = Sql { text: "DELETE FROM named_call WHERE id = $1", types: &[Type::INT8] };

/// The bytes of an outcome that count as one row.
const BYTES_PER_ROW: usize = 256;

async fn keep(
    session: &Session,
    call: &Call,
    name: &CallName,
    new: &New,
    limits: Limits,
    outcome: &str,
) -> Result<(), Stop> {
    let rows = i32::try_from(1 + outcome.len() / BYTES_PER_ROW).unwrap_or(i32::MAX);
    let by = by(call, &new.caller);
    let at = to_text(call.now);
    let values: [Parameter<'_>; 8] =
        [&by.request_id, &by.actor, &rows, &new.sent, &name.operation, &name.request_hash.as_slice(), &at, &outcome];
    let id: i64 = session.row(&KEEP, &values).await?.try_get(0)?;
    session.execute(&END_OLDEST, &[&id.saturating_sub(limits.max), &new.cutoff]).await?;
    Ok(())
}

/// A row that counts as several takes as many numbers. The statement itself names the actor, because before a refusal no change
/// has done so.
const KEEP: Sql = Sql {
    text: "WITH signed AS (
               SELECT concat(set_config('seatkeeper.request_id', $1, true), set_config('seatkeeper.actor', $2, true),
                             set_config('seatkeeper.reason', '', true), set_config('seatkeeper.service', 'on', true)) AS who)
           INSERT INTO named_call (id, user_name, name, operation, request_hash, request_id, at, outcome)
           SELECT (SELECT max(nextval('named_call_id_seq')) FROM generate_series(1, $3)), $2, $4, $5, $6, $1, $7, $8
             FROM signed WHERE who IS NOT NULL
           RETURNING id",
    types: &[Type::TEXT, Type::TEXT, Type::INT4, Type::TEXT, Type::TEXT, Type::BYTEA, Type::TEXT, Type::TEXT],
};

/// Deletes surplus rows, and two expired rows for each new one: the table shrinks, and no call waits for many. A row of
/// [`seats::ASSIGNMENTS_MAX`] outcomes counts as more than a thousand. Checks only the oldest rows: after a clock was set back,
/// rows may wait for earlier ones.
const END_OLDEST: Sql = Sql {
    text: "DELETE FROM named_call
            WHERE id = ANY (ARRAY (SELECT id FROM named_call WHERE id <= $1 ORDER BY id LIMIT 2000 FOR UPDATE SKIP LOCKED))
               OR id = ANY (ARRAY (SELECT id FROM named_call
                                    WHERE id < (SELECT id + 100 FROM named_call ORDER BY id LIMIT 1) AND at <= $2 COLLATE \"C\"
                                    ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED))",
    types: &[Type::INT8, Type::TEXT],
};

/// To the nanosecond, because an answer may depend on it, and always of the same length, so that text sorts by time.
fn to_text(at: Timestamp) -> String {
    format!("{at:.9}")
}
