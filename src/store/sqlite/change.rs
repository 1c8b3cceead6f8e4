//! The calls that change seats: facts in, the rules' decision out. Each runs inside the writer's transaction.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::facts::{Caller, account, caller, held, pools, provider, seat_held};
use crate::seats::{
    self, AssignRequest, Assignment, Facts, Holding, HoldingFacts, Refusal, Role, SeatId, Transfer, TransferFacts,
    UserName,
};
use crate::store::Call;

pub(super) fn assign(
    connection: &Connection,
    call: &Call,
    request: &AssignRequest,
    enroll: bool,
) -> rusqlite::Result<Result<SeatId, Refusal>> {
    let caller = caller(connection, call)?;
    let facts = facts(connection, caller.as_ref(), request, call.now)?;
    let assignment = match seats::assign(request, &facts, enroll, call.now) {
        Ok(assignment) => assignment,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let last_call = last_call(call, caller.as_ref());
    take(connection, &assignment, request.username.as_ref(), request.provider_entity_id, &last_call)?;
    Ok(Ok(assignment.seat))
}

/// Many assignments, one after the other, each with a result of its own: a refusal of one does not undo the others. Each
/// sees what the ones before it did. `dry_run`: all of it is undone in the end, so the results are what would have been.
pub(super) fn assign_all(
    connection: &Connection,
    call: &Call,
    requests: &[AssignRequest],
    enroll: bool,
    dry_run: bool,
) -> rusqlite::Result<Result<Vec<Result<SeatId, Refusal>>, Refusal>> {
    let role = caller(connection, call)?.map(|caller| caller.role);
    if let Err(refusal) = seats::assign_all(role, requests.len()) {
        return Ok(Err(refusal));
    }
    connection.execute_batch("SAVEPOINT items")?;
    let results: rusqlite::Result<_> =
        requests.iter().map(|request| assign(connection, call, request, enroll)).collect();
    connection.execute_batch(if dry_run { "ROLLBACK TO items; RELEASE items" } else { "RELEASE items" })?;
    results.map(Ok)
}

pub(super) fn release(
    connection: &Connection,
    call: &Call,
    holding: &Holding,
) -> rusqlite::Result<Result<SeatId, Refusal>> {
    let (caller, facts) = holding_facts(connection, call, holding)?;
    match seats::find(holding, &facts, Role::Admin) {
        Ok(seat) => {
            set_holder(connection, seat, None, &last_call(call, caller.as_ref()))?;
            Ok(Ok(seat))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Gives the seat of one user to another.
pub(super) fn transfer(
    connection: &Connection,
    call: &Call,
    transfer: &Transfer,
    enroll: bool,
) -> rusqlite::Result<Result<SeatId, Refusal>> {
    let caller = caller(connection, call)?;
    let facts = transfer_facts(connection, caller.as_ref(), transfer)?;
    let assignment = match seats::transfer(transfer, &facts, enroll, call.now) {
        Ok(assignment) => assignment,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let last_call = last_call(call, caller.as_ref());
    // The same row changes twice, and the mark must change with it each time.
    set_holder(connection, assignment.seat, None, &last_call.replacen(' ', "+", 1))?;
    let entity_id = facts.held.map(|(held, _)| held.entity_id);
    take(connection, &assignment, transfer.to.as_ref(), entity_id, &last_call)?;
    Ok(Ok(assignment.seat))
}

fn transfer_facts(
    connection: &Connection,
    caller: Option<&Caller>,
    transfer: &Transfer,
) -> rusqlite::Result<TransferFacts> {
    let mut facts = TransferFacts::default();
    let Some(caller) = caller else { return Ok(facts) };
    facts.caller = Some(caller.role);
    facts.from = account(connection, transfer.from.as_ref(), caller.entity_id)?;
    let (Some(from), Some(license_type)) = (facts.from.filter(|from| from.in_subtree), transfer.license_type) else {
        return Ok(facts);
    };
    let Some(found) = held(connection, from, license_type, caller.entity_id, None)? else { return Ok(facts) };
    let provider = provider(connection, found.entity_id, caller.entity_id)?;
    facts.held = provider.map(|provider| (found, provider));
    facts.to = account(connection, transfer.to.as_ref(), caller.entity_id)?;
    if let Some(to) = facts.to.filter(|to| to.is_usable()) {
        let known = provider.map(|provider| (found.entity_id, provider));
        facts.to_held = held(connection, to, license_type, caller.entity_id, known)?;
    }
    Ok(facts)
}

pub(super) fn holding_facts(
    connection: &Connection,
    call: &Call,
    holding: &Holding,
) -> rusqlite::Result<(Option<Caller>, HoldingFacts)> {
    let caller = caller(connection, call)?;
    let mut facts = HoldingFacts::default();
    if let Some(caller) = &caller {
        facts.caller = Some(caller.role);
        facts.account = account(connection, holding.username.as_ref(), caller.entity_id)?;
        let theirs = facts.account.filter(|account| account.in_subtree);
        if let (Some(account), Some(license_type)) = (theirs, holding.license_type) {
            facts.held = seat_held(connection, account, license_type)?;
        }
    }
    Ok((caller, facts))
}

/// Writes what was decided: gives up the old seat, enrolls the user if need be, takes the new seat.
pub(super) fn take(
    connection: &Connection,
    assignment: &Assignment,
    username: Option<&UserName>,
    provider_entity_id: Option<i32>,
    last_call: &str,
) -> rusqlite::Result<()> {
    if let Some(seat) = assignment.give_up {
        set_holder(connection, seat, None, last_call)?;
    }
    let account_id = match assignment.account_id {
        Some(id) => id,
        None => {
            connection
                .prepare_cached("INSERT INTO account (username, entity_id) VALUES (?1, ?2)")?
                .execute(params![username.map(UserName::as_str), provider_entity_id])?;
            connection.last_insert_rowid()
        }
    };
    set_holder(connection, assignment.seat, Some(account_id), last_call)
}

/// "<request id> <actor>", from which the audit trigger takes both. It reads them by position; see `seat.last_call`.
pub(super) fn last_call(call: &Call, caller: Option<&Caller>) -> String {
    format!("{} {}", call.id, caller.map_or("", |c| &c.name))
}

/// Gives the seat to `account_id`, or frees it. The condition makes "a free row is taken" hold by itself.
pub(super) fn set_holder(
    connection: &Connection,
    seat: SeatId,
    account_id: Option<i64>,
    last_call: &str,
) -> rusqlite::Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE seat SET account_id = ?3, last_call = ?4
              WHERE pool_id = ?1 AND seat_no = ?2 AND (account_id IS NULL) = (?3 IS NOT NULL)",
        )?
        .execute(params![seat.pool_id, seat.seat_no, account_id, last_call])?;
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

fn facts(
    connection: &Connection,
    caller: Option<&Caller>,
    request: &AssignRequest,
    now: Timestamp,
) -> rusqlite::Result<Facts> {
    let mut facts = Facts::default();
    let Some(caller) = caller else { return Ok(facts) };
    facts.caller = Some(caller.role);

    // Where the rules end is where the reading ends.
    let Some(entity_id) = request.provider_entity_id else { return Ok(facts) };
    facts.provider = provider(connection, entity_id, caller.entity_id)?;
    let Some(usable) = facts.provider.filter(|provider| provider.is_usable()) else { return Ok(facts) };
    facts.account = account(connection, request.username.as_ref(), caller.entity_id)?;
    let Some(license_type) = request.license_type else { return Ok(facts) };
    match facts.account {
        Some(account) if !account.is_usable() => return Ok(facts),
        Some(account) => {
            facts.held = held(connection, account, license_type, caller.entity_id, Some((entity_id, usable)))?;
        }
        None => {}
    }
    facts.pools = pools(connection, entity_id, license_type, now)?;
    Ok(facts)
}
