//! Assigns, releases, transfers and reads seats: reads the facts, asks the rules, carries out their decision. Each call runs in
//! one transaction.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::facts::{Caller, account, caller, entity, held, pools, seat_held, text};
use super::record::{self, By};
use super::stop::{Stop, settle};
use crate::seats::{
    self, AssignRequest, Assignment, Facts, Holding, HoldingFacts, Refusal, Role, SeatId, Transfer, TransferFacts,
    UserName,
};
use crate::store::{Call, Details};

pub(crate) fn assign(
    connection: &Connection,
    call: &Call,
    request: &AssignRequest,
    enroll: bool,
) -> Result<SeatId, Stop> {
    let caller = caller(connection, call)?;
    let facts = facts(connection, caller.as_ref(), request, call.now)?;
    let assignment = seats::assign(request, &facts, enroll, call.now)?;
    carry_out(connection, &by(call, caller)?, &assignment, request.username.as_ref(), request.provider_entity_id)?;
    Ok(assignment.seat)
}

/// Many assignments, one after the other, each with an outcome of its own: a refusal does not undo the others. Each sees the
/// changes of the earlier ones. `dry_run`: undoes all of them at the end.
pub(crate) fn assign_all(
    connection: &Connection,
    call: &Call,
    requests: &[AssignRequest],
    enroll: bool,
    dry_run: bool,
) -> Result<Vec<Result<SeatId, Refusal>>, Stop> {
    let role = caller(connection, call)?.map(|caller| caller.role);
    seats::assign_all(role, requests.len())?;
    connection.execute_batch("SAVEPOINT items")?;
    let outcomes: Result<_, _> =
        requests.iter().map(|request| settle(assign(connection, call, request, enroll))).collect();
    connection.execute_batch(if dry_run { "ROLLBACK TO items; RELEASE items" } else { "RELEASE items" })?;
    Ok(outcomes?)
}

pub(crate) fn release(connection: &Connection, call: &Call, holding: &Holding) -> Result<SeatId, Stop> {
    let (caller, facts) = holding_facts(connection, call, holding)?;
    let (seat, account_id) = seats::find(holding, &facts, Role::Admin)?;
    record::release(connection, &by(call, caller)?, seat, account_id)?;
    Ok(seat)
}

/// Transfers the seat of one user to another.
pub(crate) fn transfer(
    connection: &Connection,
    call: &Call,
    transfer: &Transfer,
    enroll: bool,
) -> Result<SeatId, Stop> {
    let caller = caller(connection, call)?;
    let facts = transfer_facts(connection, caller.as_ref(), transfer)?;
    let (assignment, from) = seats::transfer(transfer, &facts, enroll, call.now)?;
    let by = by(call, caller)?;
    record::release(connection, &by, assignment.seat, from)?;
    let entity_id = facts.held.map(|(held, _)| held.entity_id);
    carry_out(connection, &by, &assignment, transfer.to.as_ref(), entity_id)?;
    Ok(assignment.seat)
}

/// The details for the holder of a seat: the seat's own, or else the pool's.
pub(crate) fn details(connection: &Connection, call: &Call, holding: &Holding) -> Result<Details, Stop> {
    let (_, facts) = holding_facts(connection, call, holding)?;
    let (seat, _) = seats::find(holding, &facts, Role::Reader)?;
    let details = connection.prepare_cached(DETAILS)?.query_row(params![seat.pool_id, seat.seat_no], |row| {
        Ok(Details { product_key: text(row, 0)?, license_data: row.get(1)? })
    });
    Ok(details?)
}

/// An empty key, as from an empty cell of a spreadsheet, counts as null.
pub(crate) const DETAILS: &str = "
    SELECT coalesce(nullif(seat.product_key, ''), nullif(license_pool.product_key, '')),
           coalesce(seat.license_data, license_pool.license_data)
      FROM seat CROSS JOIN license_pool ON license_pool.id = pool_id WHERE pool_id = ?1 AND seat_no = ?2";

fn by(call: &Call, caller: Option<Caller>) -> Result<By, Refusal> {
    caller.map(|caller| By::new(call, &caller)).ok_or(Refusal::CallerUnknown)
}

fn transfer_facts(
    connection: &Connection,
    caller: Option<&Caller>,
    transfer: &Transfer,
) -> rusqlite::Result<TransferFacts> {
    let mut facts = TransferFacts::default();
    let Some(caller) = caller else { return Ok(facts) };
    facts.caller = Some(caller.role);
    facts.from = account(connection, transfer.from.as_ref(), caller.entity_id, None)?;
    let (Some(from), Some(license_type)) = (facts.from.filter(|from| from.in_subtree), transfer.license_type) else {
        return Ok(facts);
    };
    let Some(found) = held(connection, from, license_type, caller.entity_id, None)? else { return Ok(facts) };
    let provider = entity(connection, found.entity_id, caller.entity_id)?;
    facts.held = provider.map(|provider| (found, provider));
    facts.to = account(connection, transfer.to.as_ref(), caller.entity_id, None)?;
    if let Some(to) = facts.to.filter(|to| to.is_usable()) {
        let known = provider.map(|provider| (found.entity_id, provider));
        facts.to_held = held(connection, to, license_type, caller.entity_id, known)?;
    }
    Ok(facts)
}

pub(crate) fn holding_facts(
    connection: &Connection,
    call: &Call,
    holding: &Holding,
) -> rusqlite::Result<(Option<Caller>, HoldingFacts)> {
    let caller = caller(connection, call)?;
    let mut facts = HoldingFacts::default();
    if let Some(caller) = &caller {
        facts.caller = Some(caller.role);
        facts.account = account(connection, holding.username.as_ref(), caller.entity_id, None)?;
        let theirs = facts.account.filter(|account| account.in_subtree);
        if let (Some(account), Some(license_type)) = (theirs, holding.license_type) {
            facts.held = seat_held(connection, account, license_type)?;
        }
    }
    Ok((caller, facts))
}

/// Carries out a decision: gives up the old seat, enrolls the user if necessary, takes the new seat.
pub(crate) fn carry_out(
    connection: &Connection,
    by: &By,
    assignment: &Assignment,
    username: Option<&UserName>,
    entity_id: Option<i32>,
) -> rusqlite::Result<()> {
    let account_id = match (assignment.account_id, username, entity_id) {
        (Some(id), _, _) => id,
        (None, Some(username), Some(entity_id)) => record::enroll(connection, by, username.as_str(), entity_id)?,
        // The rules refuse a request without a user name and an entity.
        (None, _, _) => return Err(rusqlite::Error::QueryReturnedNoRows),
    };
    if let Some(seat) = assignment.give_up {
        record::release(connection, by, seat, account_id)?;
    }
    record::take(connection, by, assignment.seat, account_id)
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

    // Reads no facts that the rules do not reach.
    let Some(entity_id) = request.provider_entity_id else { return Ok(facts) };
    facts.provider = entity(connection, entity_id, caller.entity_id)?;
    let Some(usable) = facts.provider.filter(|provider| provider.is_usable()) else { return Ok(facts) };
    let known = Some((entity_id, usable));
    facts.account = account(connection, request.username.as_ref(), caller.entity_id, known)?;
    let Some(license_type) = request.license_type else { return Ok(facts) };
    match facts.account {
        Some(account) if !account.is_usable() => return Ok(facts),
        Some(account) => {
            facts.held = held(connection, account, license_type, caller.entity_id, known)?;
        }
        None => {}
    }
    // If the user holds a seat whose pool has not expired, the rules go no further.
    if facts.held.is_none_or(|held| held.has_expired(now)) {
        facts.pools = pools(connection, entity_id, license_type, now)?;
    }
    Ok(facts)
}
