//! Assigns, releases, transfers and reads seats: reads the facts, asks the rules, carries out their decision.
//!
//! An assignment is two statements. The first reads all facts in one snapshot, so a refusal that follows from them is true. The
//! second carries out the decision, and commits by itself unless the call has a transaction: it takes any free seat of the pool,
//! from a random number on, and skips seats that others have locked. If it finds none, or the user got a seat meanwhile (the
//! unique key reports it), or the account has changed, the call is run again: it reads the facts and the rules decide. From the
//! third time on it waits for locked seats.
//!
//! Locks are taken in one order: accounts before seats, accounts by their ids. An assignment shares the lock of the account's
//! row, so that the account cannot become inactive between the decision and the commit. Transfers and lists of assignments lock
//! the accounts exclusively before they read the facts.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::facts::{
    Caller, Proof, by, caller_by_password, caller_by_session, caller_by_ticket, caller_of_command_line, is_below,
    is_set, name_key, of_caller, open_pools, to_caller, to_held, to_pool, to_seat,
};
use super::stop::{Stop, caller_of_role, settle};
use super::taking::{Taking, WAITS_FROM, enroll_user, give_up, take, take_this, undecided};
use crate::seats::{
    self, Account, AssignRequest, Entity, Facts, Held, Holding, HoldingFacts, Refusal, Role, SeatId, Transfer,
    TransferFacts, UserName,
};
use crate::store::postgres::session::{Session, Sql, to_time};
use crate::store::{Call, Details};

/// How often an assignment inside a transaction decides before the whole call is run again.
const DECISIONS: u32 = 3;

/// Assigns a seat.
pub(crate) async fn assign(
    session: &Session,
    call: &Call,
    request: &AssignRequest,
    enroll: bool,
) -> Result<SeatId, Stop> {
    if !session.is_in_transaction() {
        let waits = session.attempt() >= WAITS_FROM;
        return assign_once(session, call, request, enroll, waits).await;
    }
    // One seat does not discard the earlier work of the transaction. It waits soon, because others may wait for it.
    for decision in 0..DECISIONS {
        match assign_once(session, call, request, enroll, decision > 0).await {
            Err(Stop::Again) => {}
            outcome => return outcome,
        }
    }
    Err(Stop::Again)
}

async fn assign_once(
    session: &Session,
    call: &Call,
    request: &AssignRequest,
    enroll: bool,
    waits: bool,
) -> Result<SeatId, Stop> {
    let read = facts(session, call, request).await?;
    let assignment = seats::assign(request, &read.facts, enroll, call.now)?;
    let taking = Taking {
        by: &by(call, &read.caller.ok_or(Refusal::CallerUnknown)?),
        assignment,
        pools: &read.facts.pools,
        username: request.username.as_ref(),
        entity_id: request.provider_entity_id,
        account_entity_id: read.account_entity_id,
    };
    take(session, &taking, waits).await
}

/// Many assignments, one after the other, each with an outcome of its own: a refusal does not undo the others. Each sees the
/// changes of the earlier ones. `dry_run`: undoes all of them at the end. In a transaction.
pub(crate) async fn assign_all(
    session: &Session,
    call: &Call,
    requests: &[AssignRequest],
    enroll: bool,
    dry_run: bool,
) -> Result<Vec<Result<SeatId, Refusal>>, Stop> {
    let caller = caller_of_role(session, call, Role::Agent).await?;
    seats::assign_all(Some(caller.role), requests.len())?;
    if dry_run {
        session.savepoint("items").await?;
    }
    lock_accounts(session, &caller, requests.iter().map(|request| request.username.as_ref())).await?;
    let mut outcomes = Vec::with_capacity(requests.len());
    for request in requests {
        outcomes.push(settle(assign(session, call, request, enroll).await)?);
    }
    if dry_run {
        session.undo("items").await?;
    }
    Ok(outcomes)
}

/// Releases the seat that a user holds.
pub(crate) async fn release(session: &Session, call: &Call, holding: &Holding) -> Result<SeatId, Stop> {
    let (caller, facts, _) = holding_facts(session, call, holding, &HOLDING).await?;
    let (seat, account_id) = seats::find(holding, &facts, Role::Admin)?;
    give_up(session, &by(call, &caller.ok_or(Refusal::CallerUnknown)?), seat, account_id).await?;
    Ok(seat)
}

/// Transfers the seat of one user to another. In a transaction.
pub(crate) async fn transfer(
    session: &Session,
    call: &Call,
    transfer: &Transfer,
    enroll: bool,
) -> Result<SeatId, Stop> {
    let caller = caller_of_role(session, call, Role::Admin).await?;
    lock_accounts(session, &caller, [transfer.from.as_ref(), transfer.to.as_ref()].into_iter()).await?;
    let (caller, facts) = transfer_facts(session, call, transfer).await?;
    let (assignment, from) = seats::transfer(transfer, &facts, enroll, call.now)?;
    let by = by(call, &caller.ok_or(Refusal::CallerUnknown)?);
    let entity_id = facts.held.map(|(held, _)| held.entity_id);
    give_up(session, &by, assignment.seat, from).await?;
    let to = match (assignment.account_id, transfer.to.as_ref(), entity_id) {
        (Some(id), _, _) => id,
        (None, Some(username), Some(entity_id)) => enroll_user(session, &by, username, entity_id).await?,
        (None, _, _) => return Err(undecided()),
    };
    if let Some(seat) = assignment.give_up {
        give_up(session, &by, seat, to).await?;
    }
    take_this(session, &by, assignment.seat, to).await?;
    Ok(assignment.seat)
}

/// The details for the holder of a seat: the seat's own, or else the pool's. An empty key, as from an empty cell of a
/// spreadsheet, counts as null.
pub(crate) async fn details(session: &Session, call: &Call, holding: &Holding) -> Result<Details, Stop> {
    let (_, facts, row) = holding_facts(session, call, holding, &DETAILS).await?;
    seats::find(holding, &facts, Role::Reader)?;
    let row = row.ok_or_else(undecided)?;
    Ok(Details { product_key: row.try_get(8)?, license_data: row.try_get(9)? })
}

struct AssignmentFacts {
    caller: Option<Caller>,
    facts: Facts,
    account_entity_id: Option<i32>,
}

async fn facts(session: &Session, call: &Call, request: &AssignRequest) -> Result<AssignmentFacts, Stop> {
    let proof = Proof::of(call);
    let rows = session
        .rows(
            &ASSIGNMENT[proof.kind as usize],
            &[
                &proof.name,
                &proof.secret,
                &to_time(call.now),
                &request.provider_entity_id,
                &name_key(request.username.as_ref()),
                &request.license_type.map(|license_type| license_type.name()),
            ],
        )
        .await?;
    let mut read = AssignmentFacts { caller: None, facts: Facts::default(), account_entity_id: None };
    let Some(row) = rows.first() else { return Ok(read) };
    let caller = to_caller(call, row)?;
    read.facts.caller = Some(caller.role);
    read.caller = Some(caller);
    read.facts.provider = to_entity(row, 3)?;
    read.facts.account = to_account(row, 5)?;
    read.account_entity_id = row.try_get(8)?;
    read.facts.held = to_held_if_any(row, 9)?;
    for row in &rows {
        if is_there(row, 14)? {
            read.facts.pools.push(to_pool(row, 14)?);
        }
    }
    Ok(read)
}

/// All facts for [`seats::assign`] in one snapshot: a row for each pool. Reads no facts that the rules do not reach: the account
/// only if the provider can be used, its seat only if the account can, the pools only if a seat may be taken.
///
/// `OFFSET 0` keeps PostgreSQL from making one join of it all: planned while the tables are nearly empty, that would compare names and
/// holders with whole indexes, and go on to do so until the tables are analyzed.
static ASSIGNMENT: [Sql; 4] = of_caller!(
    &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::INT4, Type::TEXT, Type::TEXT],
    "SELECT caller.name, caller.role, caller.entity_id, provider.active, provider.in_subtree,
            account.id, account.active, account.in_subtree, account.entity_id,
            held.pool_id, held.seat_no, held.expires_at, held.entity_id, held.in_subtree,
            pool.id, pool.seats_total, pool.starts_at, pool.expires_at, pool.free_seat_no
       FROM caller
       LEFT JOIN LATERAL (SELECT active, ",
    is_below!("$4", "caller.entity_id"),
    " AS in_subtree FROM entity WHERE id = $4 OFFSET 0) AS provider ON true
       LEFT JOIN LATERAL (SELECT id, active, entity_id, ",
    is_below!("account.entity_id", "caller.entity_id"),
    " AS in_subtree
                            FROM account
                           WHERE lower(username COLLATE \"C\") = CASE WHEN provider.active = 1 AND provider.in_subtree THEN $5 END
                          OFFSET 0) AS account ON true
       LEFT JOIN LATERAL (SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, ",
    is_below!("license_pool.entity_id", "caller.entity_id"),
    " AS in_subtree
                            FROM seat JOIN license_pool ON license_pool.id = seat.pool_id
                           WHERE seat.account_id = CASE WHEN account.active = 1 AND account.in_subtree THEN account.id END
                             AND seat.license_type = $6
                          OFFSET 0) AS held ON true
       LEFT JOIN LATERAL (SELECT CASE WHEN provider.active = 1 AND provider.in_subtree
                                       AND (account.id IS NULL OR account.active = 1 AND account.in_subtree)
                                       AND (held.pool_id IS NULL OR held.expires_at <= $3) THEN $4 END AS entity_id
                          OFFSET 0) AS owner ON true
       LEFT JOIN LATERAL (",
    open_pools!("owner.entity_id", "$6", "$3"),
    ") AS pool ON true"
);

async fn holding_facts(
    session: &Session,
    call: &Call,
    holding: &Holding,
    sql: &'static [Sql; 4],
) -> Result<(Option<Caller>, HoldingFacts, Option<Row>), Stop> {
    let proof = Proof::of(call);
    let username = name_key(holding.username.as_ref());
    let license_type = holding.license_type.map(|license_type| license_type.name());
    let row = session
        .row_opt(&sql[proof.kind as usize], &[&proof.name, &proof.secret, &to_time(call.now), &username, &license_type])
        .await?;
    let Some(row) = row else { return Ok((None, HoldingFacts::default(), None)) };
    let caller = to_caller(call, &row)?;
    let held = if is_there(&row, 6)? { Some(to_seat(&row, 6)?) } else { None };
    let facts = HoldingFacts { caller: Some(caller.role), account: to_account(&row, 3)?, held };
    Ok((Some(caller), facts, Some(row)))
}

/// The facts for [`seats::find`], and columns of the held seat, from `seat` and `license_pool`.
macro_rules! holding {
    ($columns:literal, $held:literal) => {
        of_caller!(
            &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT],
            "SELECT caller.name, caller.role, caller.entity_id, account.id, account.active, account.in_subtree,
                    held.pool_id, held.seat_no",
            $columns,
            " FROM caller
               LEFT JOIN LATERAL (SELECT id, active, ",
            is_below!("account.entity_id", "caller.entity_id"),
            " AS in_subtree FROM account
                                   WHERE lower(username COLLATE \"C\") = $4 AND $3 IS NOT NULL OFFSET 0) AS account ON true
               LEFT JOIN LATERAL (SELECT seat.pool_id, seat.seat_no",
            $held,
            "      WHERE seat.account_id = CASE WHEN account.in_subtree THEN account.id END AND seat.license_type = $5
                  OFFSET 0) AS held ON true"
        )
    };
}

static HOLDING: [Sql; 4] = holding!("", " FROM seat");

static DETAILS: [Sql; 4] = holding!(
    ", held.product_key, held.license_data",
    ", coalesce(nullif(seat.product_key, ''), nullif(license_pool.product_key, '')) AS product_key,
       coalesce(seat.license_data, license_pool.license_data) AS license_data
       FROM seat JOIN license_pool ON license_pool.id = seat.pool_id"
);

async fn transfer_facts(
    session: &Session,
    call: &Call,
    transfer: &Transfer,
) -> Result<(Option<Caller>, TransferFacts), Stop> {
    let proof = Proof::of(call);
    let row = session
        .row_opt(
            &TRANSFER[proof.kind as usize],
            &[
                &proof.name,
                &proof.secret,
                &to_time(call.now),
                &name_key(transfer.from.as_ref()),
                &name_key(transfer.to.as_ref()),
                &transfer.license_type.map(|license_type| license_type.name()),
            ],
        )
        .await?;
    let mut facts = TransferFacts::default();
    let Some(row) = row else { return Ok((None, facts)) };
    let caller = to_caller(call, &row)?;
    facts.caller = Some(caller.role);
    facts.from = to_account(&row, 3)?;
    facts.held = to_held_if_any(&row, 6)?.zip(to_entity(&row, 11)?);
    facts.to = to_account(&row, 13)?;
    facts.to_held = to_held_if_any(&row, 16)?;
    Ok((Some(caller), facts))
}

/// All facts for [`seats::transfer`] in one snapshot.
static TRANSFER: [Sql; 4] = of_caller!(
    &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT, Type::TEXT],
    "SELECT caller.name, caller.role, caller.entity_id, giver.id, giver.active, giver.in_subtree,
            held.pool_id, held.seat_no, held.expires_at, held.entity_id, held.in_subtree, held.active, held.in_subtree,
            taker.id, taker.active, taker.in_subtree,
            taken.pool_id, taken.seat_no, taken.expires_at, taken.entity_id, taken.in_subtree
       FROM caller
       LEFT JOIN LATERAL (SELECT id, active, ",
    is_below!("account.entity_id", "caller.entity_id"),
    " AS in_subtree FROM account
                           WHERE lower(username COLLATE \"C\") = $4 AND $3 IS NOT NULL OFFSET 0) AS giver ON true
       LEFT JOIN LATERAL (SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, entity.active, ",
    is_below!("license_pool.entity_id", "caller.entity_id"),
    " AS in_subtree
                            FROM seat JOIN license_pool ON license_pool.id = seat.pool_id
                                 JOIN entity ON entity.id = license_pool.entity_id
                           WHERE seat.account_id = CASE WHEN giver.in_subtree THEN giver.id END
                             AND seat.license_type = $6 OFFSET 0) AS held ON true
       LEFT JOIN LATERAL (SELECT id, active, ",
    is_below!("account.entity_id", "caller.entity_id"),
    " AS in_subtree FROM account
                           WHERE lower(username COLLATE \"C\") = CASE WHEN held.pool_id IS NOT NULL THEN $5 END OFFSET 0) AS taker ON true
       LEFT JOIN LATERAL (SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, ",
    is_below!("license_pool.entity_id", "caller.entity_id"),
    " AS in_subtree
                            FROM seat JOIN license_pool ON license_pool.id = seat.pool_id
                           WHERE seat.account_id = CASE WHEN taker.active = 1 AND taker.in_subtree THEN taker.id END
                             AND seat.license_type = $6 OFFSET 0) AS taken ON true"
);

fn is_there(row: &Row, index: usize) -> Result<bool, Stop> {
    Ok(row.try_get::<_, Option<i64>>(index)?.is_some())
}

/// Reads three columns: the id, whether it is active, whether it is in the subtree.
fn to_account(row: &Row, first: usize) -> Result<Option<Account>, Stop> {
    Ok(match row.try_get(first)? {
        None => None,
        Some(id) => Some(Account { id, active: is_set(row, first + 1)?, in_subtree: row.try_get(first + 2)? }),
    })
}

/// Reads two columns: whether it is active, whether it is in the subtree.
fn to_entity(row: &Row, first: usize) -> Result<Option<Entity>, Stop> {
    let active: Option<i32> = row.try_get(first)?;
    Ok(match active {
        None => None,
        Some(active) => Some(Entity { active: active != 0, in_subtree: row.try_get(first + 1)? }),
    })
}

fn to_held_if_any(row: &Row, first: usize) -> Result<Option<Held>, Stop> {
    if is_there(row, first)? { to_held(row, first).map(Some) } else { Ok(None) }
}

/// Locks the accounts of these names, if the caller may see them, until the transaction ends, in the order of their ids, so that
/// facts read afterwards stay true. The unique key detects a user that is enrolled meanwhile.
pub(crate) async fn lock_accounts<'u>(
    session: &Session,
    caller: &Caller,
    usernames: impl Iterator<Item = Option<&'u UserName>> + Send,
) -> Result<(), Stop> {
    let keys: BTreeSet<String> = usernames.filter_map(name_key).collect();
    let keys: Vec<String> = keys.into_iter().collect();
    session.rows(&LOCK_ACCOUNTS, &[&keys, &caller.entity_id]).await?;
    Ok(())
}

const LOCK_ACCOUNTS: Sql = Sql {
    text: concat!(
        "SELECT id FROM account WHERE lower(username COLLATE \"C\") = ANY ($1) AND ",
        is_below!("entity_id", "$2"),
        " ORDER BY id FOR NO KEY UPDATE"
    ),
    types: &[Type::TEXT_ARRAY, Type::INT4],
};
