//! Modules: what license tools call the license types of an owner. They are assigned and released by the same rules, and
//! seen by the same audit, as everything else that takes seats.

use rusqlite::Connection;

use super::assignee::Assignee;
use super::change::{last_call, set_holder, take};
use super::facts::{Caller, pools};
use super::owner;
use super::stop::{Stop, caller_of_role, settle};
use crate::license::Owner;
use crate::seats::{LicenseType, Provider, Refusal, Role};
use crate::store::{Call, ModulesRequest};

/// All or nothing: the savepoint takes back what the types before the refused one got.
pub(super) fn assign(
    connection: &Connection,
    call: &Call,
    request: &ModulesRequest,
) -> rusqlite::Result<Result<Owner, Refusal>> {
    connection.execute_batch("SAVEPOINT modules")?;
    let outcome = settle(try_assign(connection, call, request))?;
    connection.execute_batch(if outcome.is_ok() {
        "RELEASE modules"
    } else {
        "ROLLBACK TO modules; RELEASE modules"
    })?;
    Ok(outcome)
}

fn try_assign(connection: &Connection, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    let parties = Parties::find(connection, call, request, Role::Agent)?;
    for license_type in types(request) {
        parties.assign(connection, call, license_type)?;
    }
    parties.owner(connection, call, request.associate_id)
}

pub(super) fn release(
    connection: &Connection,
    call: &Call,
    request: &ModulesRequest,
) -> rusqlite::Result<Result<Owner, Refusal>> {
    settle(try_release(connection, call, request))
}

fn try_release(connection: &Connection, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    let parties = Parties::find(connection, call, request, Role::Admin)?;
    let last_call = last_call(call, Some(&parties.caller));
    for license_type in types(request) {
        if let Some(held) = parties.associate.held_of(license_type, parties.entity_id) {
            set_holder(connection, held.seat, None, &last_call)?;
        }
    }
    parties.owner(connection, call, request.associate_id)
}

/// Each type once, in the order of the request, however long a list somebody sends.
fn types(request: &ModulesRequest) -> impl Iterator<Item = LicenseType> {
    let types = &request.license_types;
    types.iter().enumerate().filter(|(at, license_type)| !types[..*at].contains(license_type)).map(|(_, t)| *t)
}

/// The caller, the associate, and the owner whose seats are asked for.
struct Parties {
    caller: Caller,
    associate: Assignee,
    entity_id: i32,
    provider: Provider,
}

impl Parties {
    fn find(connection: &Connection, call: &Call, request: &ModulesRequest, least: Role) -> Result<Parties, Stop> {
        let caller = caller_of_role(connection, call, least)?;
        let associate = Assignee::find(connection, request.associate_id, &caller)?
            .ok_or(Refusal::AssociateUnknown { id: request.associate_id })?;
        let (entity_id, provider) = owner::find(connection, &request.owner_name, caller.entity_id)?;
        Ok(Parties { caller, associate, entity_id, provider })
    }

    /// Takes a seat as any call does. Where the associate holds one of this owner's already, nothing is to be done.
    fn assign(&self, connection: &Connection, call: &Call, license_type: LicenseType) -> Result<(), Stop> {
        let pools = pools(connection, self.entity_id, license_type, call.now)?;
        match self.associate.assign(license_type, self.entity_id, self.provider, pools, call.now) {
            Ok(assignment) => {
                let last_call = last_call(call, Some(&self.caller));
                Ok(take(connection, &assignment, None, None, &last_call)?)
            }
            Err(Refusal::AlreadyAssigned { .. }) if self.associate.held_of(license_type, self.entity_id).is_some() => {
                Ok(())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The owner as it is now, with what the associate holds.
    fn owner(&self, connection: &Connection, call: &Call, associate_id: i32) -> Result<Owner, Stop> {
        let associate = Assignee::find(connection, associate_id, &self.caller)?;
        owner::get(connection, self.entity_id, associate.as_ref(), call.now)
    }
}
