//! The statements that carry out decisions to take or free seats. Each makes one change under its condition, names the actor for
//! the triggers, and commits by itself if no transaction is open.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::stop::Stop;
use crate::seats::{Assignment, Pool, SeatId, UserName};
use crate::store::StoreError;
use crate::store::postgres::session::{By, Parameter, Session, Sql};

/// From this attempt on a call waits for locked seats.
pub(super) const WAITS_FROM: u32 = 2;

/// Any number: without randomness calls are slower, not wrong.
fn random() -> u32 {
    getrandom::u32().unwrap_or(0)
}

/// The rules refuse a request without a caller, a user name and an entity.
pub(super) fn undecided() -> Stop {
    StoreError::Failed("a decision without its facts".to_owned()).into()
}

fn number(seat: SeatId) -> Result<i32, Stop> {
    i32::try_from(seat.seat_no).map_err(|_| undecided())
}

/// Carries out an assignment to an account that the transaction locked before the decision.
pub(crate) async fn carry_out(session: &Session, by: &By, assignment: &Assignment) -> Result<SeatId, Stop> {
    let taking =
        Taking { by, assignment: *assignment, pools: &[], username: None, entity_id: None, account_entity_id: None };
    take(session, &taking, session.attempt() >= WAITS_FROM).await
}

/// A decided assignment that is to be carried out.
pub(crate) struct Taking<'t> {
    pub(crate) by: &'t By,
    /// Only the pool of its seat matters: any free seat of that pool is taken.
    pub(crate) assignment: Assignment,
    /// The pools of the decision; if the seat's pool is not among them, the search begins at the seat.
    pub(crate) pools: &'t [Pool],
    /// The user name to enroll, if the assignment names no account, and its entity.
    pub(crate) username: Option<&'t UserName>,
    pub(crate) entity_id: Option<i32>,
    /// The entity of the account at the decision; `None`: the account was locked before that.
    pub(crate) account_entity_id: Option<i32>,
}

/// Carries out an assignment in one statement, all or nothing: enrolls the user if necessary, gives up the old seat, takes a new
/// one. [`Stop::Again`]: the facts have changed, or no seat was free without waiting. `waits`: for seats that others have locked.
pub(crate) async fn take(session: &Session, taking: &Taking<'_>, waits: bool) -> Result<SeatId, Stop> {
    let Taking { by, assignment, pools, username, entity_id, account_entity_id } = taking;
    let pool_id = assignment.seat.pool_id;
    // Calls that begin at different seats do not conflict.
    let start = match pools.iter().find(|pool| pool.id == pool_id) {
        Some(pool) => i64::from(random()) % pool.seats_total.max(1),
        None => assignment.seat.seat_no - 1,
    };
    let start = i32::try_from(start).unwrap_or(0);
    let row = match (assignment.account_id, assignment.give_up) {
        (Some(id), None) => {
            let sql = if waits { &TAKE_WAITING } else { &TAKE };
            changed(session, sql, &[&by.request_id, &by.actor, &id, account_entity_id, &pool_id, &start]).await?
        }
        (Some(id), Some(old)) => {
            let sql = if waits { &MOVE_WAITING } else { &MOVE };
            let old_no = number(old)?;
            let values: [Parameter<'_>; 8] =
                [&by.request_id, &by.actor, &id, account_entity_id, &pool_id, &start, &old.pool_id, &old_no];
            changed(session, sql, &values).await?
        }
        (None, _) => {
            let (Some(username), Some(entity_id)) = (username, entity_id) else { return Err(undecided()) };
            let sql = if waits { &ENROLL_AND_TAKE_WAITING } else { &ENROLL_AND_TAKE };
            let values: [Parameter<'_>; 6] =
                [&by.request_id, &by.actor, &username.as_str(), entity_id, &pool_id, &start];
            changed(session, sql, &values).await?
        }
    };
    Ok(SeatId { pool_id, seat_no: row.try_get::<_, i32>(0)?.into() })
}

/// Frees the seat that an account holds. [`Stop::Again`]: the account no longer holds it.
pub(crate) async fn give_up(session: &Session, by: &By, seat: SeatId, account_id: i64) -> Result<(), Stop> {
    let seat_no = number(seat)?;
    let values: [Parameter<'_>; 5] = [&by.request_id, &by.actor, &seat.pool_id, &seat_no, &account_id];
    changed(session, &RELEASE, &values).await.map(drop)
}

/// Enrolls a user name under an entity, in a transaction; returns the id of its account. [`Stop::Again`]: another session was
/// first.
pub(crate) async fn enroll_user(session: &Session, by: &By, username: &UserName, entity_id: i32) -> Result<i64, Stop> {
    let values: [Parameter<'_>; 4] = [&by.request_id, &by.actor, &username.as_str(), &entity_id];
    Ok(changed(session, &ENROLL, &values).await?.try_get(0)?)
}

/// Runs a statement that changes one row, which commits by itself if no transaction is open.
async fn changed(session: &Session, sql: &Sql, values: &[Parameter<'_>]) -> Result<Row, Stop> {
    let row = if session.is_in_transaction() {
        session.row_opt(sql, values).await?
    } else {
        session.commit_row_opt(sql, values).await?
    };
    row.ok_or(Stop::Again)
}

/// Names the actor for the triggers: the call in `$1`, the caller in `$2`. The changes read from it, so that it runs first.
macro_rules! signed {
    () => {
        "WITH signed AS (
            SELECT concat(set_config('seatkeeper.request_id', $1, true), set_config('seatkeeper.actor', $2, true),
                          set_config('seatkeeper.reason', '', true)) AS who)"
    };
}

/// The account `$3`, if it is still active and in the entity `$4`; it stays so until the end of the transaction.
macro_rules! holder {
    () => {
        ", holder AS (
            SELECT id FROM account WHERE id = $3 AND ($4 IS NULL OR entity_id = $4) AND active = 1 FOR SHARE)"
    };
}

/// A free seat of a pool, locked: with a number above `$6`, or else any.
macro_rules! pick {
    ($pool_id:literal, $locked:literal) => {
        concat!(
            ", pick AS (
                SELECT pool_id, seat_no
                  FROM (SELECT pool_id, seat_no
                          FROM (SELECT pool_id, seat_no FROM seat
                                 WHERE pool_id = ",
            $pool_id,
            " AND account_id IS NULL AND seat_no > $6
                                 ORDER BY pool_id, seat_no LIMIT 1 FOR UPDATE ",
            $locked,
            ") AS above
                        UNION ALL
                        SELECT pool_id, seat_no
                          FROM (SELECT pool_id, seat_no FROM seat
                                 WHERE pool_id = ",
            $pool_id,
            " AND account_id IS NULL
                                 ORDER BY pool_id, seat_no LIMIT 1 FOR UPDATE ",
            $locked,
            ") AS first) AS found
                 LIMIT 1)"
        )
    };
}

/// Locks the account's row before it searches a seat.
macro_rules! take {
    ($locked:literal) => {
        Sql {
            text: concat!(
                signed!(),
                holder!(),
                pick!("(SELECT $5 FROM holder)", $locked),
                " UPDATE seat SET account_id = $3
                   WHERE (pool_id, seat_no) = (SELECT pool_id, seat_no FROM pick) AND account_id IS NULL
                     AND (SELECT who FROM signed) IS NOT NULL
                  RETURNING seat_no"
            ),
            types: &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT4, Type::INT8, Type::INT4],
        }
    };
}

const TAKE: Sql = take!("SKIP LOCKED");
const TAKE_WAITING: Sql = take!("");

/// The same for an account that gives up the seat `$7`, `$8`.
macro_rules! give_up_and_take {
    ($locked:literal) => {
        Sql {
            text: concat!(
                signed!(),
                holder!(),
                pick!("(SELECT $5 FROM holder)", $locked),
                ", given_up AS (
                    UPDATE seat SET account_id = NULL
                     WHERE pool_id = $7 AND seat_no = $8 AND account_id = $3
                       AND EXISTS (SELECT FROM pick, signed WHERE who IS NOT NULL)
                    RETURNING seat_no)
                  UPDATE seat SET account_id = $3 FROM given_up
                   WHERE (seat.pool_id, seat.seat_no) = (SELECT pool_id, seat_no FROM pick) AND seat.account_id IS NULL
                  RETURNING seat.seat_no"
            ),
            types: &[
                Type::TEXT,
                Type::TEXT,
                Type::INT8,
                Type::INT4,
                Type::INT8,
                Type::INT4,
                Type::INT8,
                Type::INT4,
            ],
        }
    };
}

const MOVE: Sql = give_up_and_take!("SKIP LOCKED");
const MOVE_WAITING: Sql = give_up_and_take!("");

/// The same for a user name `$3` that is enrolled under entity `$4`: only together with a seat, and only if no other session has
/// enrolled it.
macro_rules! enroll_and_take {
    ($locked:literal) => {
        Sql {
            text: concat!(
                signed!(),
                pick!("$5", $locked),
                ", holder AS (
                    INSERT INTO account (username, entity_id)
                    SELECT $3, $4 FROM pick, signed WHERE who IS NOT NULL
                    ON CONFLICT DO NOTHING
                    RETURNING id)
                  UPDATE seat SET account_id = holder.id FROM holder
                   WHERE (seat.pool_id, seat.seat_no) = (SELECT pool_id, seat_no FROM pick) AND seat.account_id IS NULL
                  RETURNING seat.seat_no"
            ),
            types: &[Type::TEXT, Type::TEXT, Type::TEXT, Type::INT4, Type::INT8, Type::INT4],
        }
    };
}

const ENROLL_AND_TAKE: Sql = enroll_and_take!("SKIP LOCKED");
const ENROLL_AND_TAKE_WAITING: Sql = enroll_and_take!("");

const ENROLL: Sql = Sql {
    text: concat!(
        signed!(),
        " INSERT INTO account (username, entity_id) SELECT $3, $4 FROM signed WHERE who IS NOT NULL
          ON CONFLICT DO NOTHING RETURNING id"
    ),
    types: &[Type::TEXT, Type::TEXT, Type::TEXT, Type::INT4],
};

const RELEASE: Sql = Sql {
    text: concat!(
        signed!(),
        " UPDATE seat SET account_id = NULL
           WHERE pool_id = $3 AND seat_no = $4 AND account_id = $5 AND (SELECT who FROM signed) IS NOT NULL
          RETURNING seat_no"
    ),
    types: &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT4, Type::INT8],
};

/// Takes this free seat for an active account. [`Stop::Again`]: the seat is taken or the account inactive.
pub(crate) async fn take_this(session: &Session, by: &By, seat: SeatId, account_id: i64) -> Result<(), Stop> {
    let seat_no = number(seat)?;
    let values: [Parameter<'_>; 5] = [&by.request_id, &by.actor, &account_id, &seat.pool_id, &seat_no];
    changed(session, &TAKE_THIS, &values).await.map(drop)
}

/// The seat `$4`, `$5` for the account `$3`.
const TAKE_THIS: Sql = Sql {
    text: concat!(
        signed!(),
        ", holder AS (SELECT id FROM account WHERE id = $3 AND active = 1 FOR SHARE)
          UPDATE seat SET account_id = (SELECT id FROM holder)
           WHERE pool_id = $4 AND seat_no = $5 AND account_id IS NULL
             AND (SELECT who FROM signed) IS NOT NULL AND EXISTS (SELECT FROM holder)
          RETURNING seat_no"
    ),
    types: &[Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::INT4],
};
