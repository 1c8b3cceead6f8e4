//! A change undone: a new change that leads back to what was before, from the events of the call that made the first one.
//!
//! For each event, the last one first, there is a change that takes it back (`event`). Each expects what the event left: if a row has
//! changed since, nothing is undone. What there was is restored as it was, whatever the rules say of it by now: a user that is inactive
//! gets back the seat that was taken from it. An undo is a change like any other, with events of its own; so it can be undone too.
//!
//! | action | undone by | cannot be undone if |
//! |---|---|---|
//! | assign | the seat is released | another user holds it |
//! | release | the same user gets the same seat, or if that is taken or gone another one of the pool | it holds a seat of the type, or none is free |
//! | pool-create | the pool is deleted | it was changed, seats are in use or have data of their own |
//! | pool-delete | the pool is made again, with the same id and new seats | the id is in use |
//! | account-create | the user becomes inactive | it was changed |
//! | entity-, offer-, offer-module-create | the row is deleted | it was changed, others refer to it |
//! | credential-create | the row is deleted | it was changed, also only its password |
//! | -delete of an entity, an offer, a module | the row is made again | it is there |
//! | -change | the columns get their old values | one of them has changed since |
//! | credential-change of a password, credential-delete | | always: hashes are not in the history |
//! | archive, copy | | always |

mod event;

use std::collections::BTreeSet;

use uuid::Uuid;

use super::edit::{Work, not_found};
use super::{Admin, AdminRefusal, Sql, Stop, Value};
use crate::store::history::Event;

/// Events of a call that can be undone at most.
pub const EVENTS_MAX: usize = 50_000;

/// The change that is to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undo {
    pub request_id: Uuid,
    /// Its first and last event, if the caller knows them: without them the whole history is searched.
    pub events: Option<(i64, i64)>,
}

/// The outcome of an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// Events that were taken back.
    pub events: usize,
}

/// The reason under which an undo is kept, with what the caller says besides.
pub fn reason(request_id: Uuid, why: Option<&str>) -> String {
    match why.map(str::trim).filter(|why| !why.is_empty()) {
        Some(why) => format!("undo of {request_id}: {why}"),
        None => format!("undo of {request_id}"),
    }
}

/// Undoes a change, all of it or nothing.
///
/// # Errors
///
/// [`AdminRefusal::NotFound`] if no event of the call is about what the caller reaches; [`AdminRefusal::NotUndoable`] with the reason.
pub fn undo(sql: &dyn Sql, admin: &Admin, request: &Undo) -> Result<Undone, Stop> {
    let work = Work::new(sql, admin)?;
    let missing = || not_found("change", request.request_id);
    let events = events(&work, request)?;
    if events.is_empty() || !event::reaches_one(&work, &events)? {
        return Err(missing());
    }
    if events.len() > EVENTS_MAX {
        return Err(AdminRefusal::TooMany { what: "events to undo", max: EVENTS_MAX as u64 }.into());
    }
    lock(&work, &events)?;
    let last = events.iter().map(|event| event.id).max().unwrap_or_default();
    for event in events.iter().rev() {
        event::take_back(&work, event, last).map_err(|stop| why_not(event, stop))?;
    }
    Ok(Undone { events: events.len() })
}

/// The events of a call, in their order.
fn events(work: &Work<'_>, request: &Undo) -> Result<Vec<Event>, Stop> {
    let (first, last) = request.events.unwrap_or((0, i64::MAX));
    let values: [Value; 4] = [
        request.request_id.to_string().into(),
        first.into(),
        last.into(),
        i64::try_from(EVENTS_MAX + 1).unwrap_or(i64::MAX).into(),
    ];
    work.sql.rows(EVENTS, &values)?.iter().map(super::event).collect()
}

const EVENTS: &str = "
    SELECT e.id, e.at, e.action, e.actor, e.request_id, e.reason, e.entity_id, e.license_type, e.pool_id, e.seat_no, e.account_id,
           e.username, e.old_values, e.new_values
      FROM audit_event AS e
     WHERE e.request_id = $1 AND e.id BETWEEN $2 AND $3
     ORDER BY e.id
     LIMIT $4";

/// Locks the accounts of these events, before any seat: the order of every call.
fn lock(work: &Work<'_>, events: &[Event]) -> Result<(), Stop> {
    if !work.is_postgres() {
        return Ok(());
    }
    let ids: BTreeSet<i64> = events.iter().filter_map(|event| event.account_id).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    for ids in ids.chunks(1000) {
        let places: Vec<String> = (1..=ids.len()).map(|at| format!("${at}")).collect();
        let text =
            format!("SELECT id FROM account WHERE id IN ({}) ORDER BY id{}", places.join(", "), work.for_update());
        let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
        work.sql.rows(&text, &values)?;
    }
    Ok(())
}

/// A refusal of one step as the reason why the whole cannot be undone.
fn why_not(event: &Event, stop: Stop) -> Stop {
    let Stop::Refused(refusal) = stop else { return stop };
    let why = match refusal {
        refusal @ (AdminRefusal::NotUndoable { .. } | AdminRefusal::Own | AdminRefusal::OutOfScope { .. }) => {
            return refusal.into();
        }
        AdminRefusal::Moved { what } => format!("{what} has changed since"),
        AdminRefusal::NotFound { what, id } => {
            format!("{what} {id} is no longer there, or is not among your entities")
        }
        AdminRefusal::Nothing => format!("{} of it has been taken back already", event.action),
        other => other.to_string().trim_end_matches('.').to_owned(),
    };
    AdminRefusal::NotUndoable { why }.into()
}
