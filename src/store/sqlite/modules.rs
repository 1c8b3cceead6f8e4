//! Modules: what license tools call the license types of an owner. They are assigned and released by the same rules, and
//! seen by the same audit, as everything else that takes seats.

use rusqlite::Connection;

use super::change::{self, last_call, set_holder};
use super::facts::{Caller, held};
use super::owner::{self, Associate};
use super::stop::{Stop, caller_of_role, settle};
use crate::license::Owner;
use crate::seats::{Account, AssignRequest, LicenseType, Refusal, Role, SeatId};
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
    parties.owner(connection, call)
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
        if let Some(seat) = parties.seat(connection, license_type)? {
            set_holder(connection, seat, None, &last_call)?;
        }
    }
    parties.owner(connection, call)
}

/// Each type once, in the order of the request, however long a list somebody sends.
fn types(request: &ModulesRequest) -> impl Iterator<Item = LicenseType> {
    let types = &request.license_types;
    types.iter().enumerate().filter(|(at, license_type)| !types[..*at].contains(license_type)).map(|(_, t)| *t)
}

/// Who calls, for whom, and whose seats it is about.
struct Parties {
    caller: Caller,
    associate: Associate,
    entity_id: i32,
}

impl Parties {
    fn find(connection: &Connection, call: &Call, request: &ModulesRequest, least: Role) -> Result<Parties, Stop> {
        let caller = caller_of_role(connection, call, least)?;
        let associate = owner::associate(connection, request.associate_id, caller.entity_id)?
            .ok_or(Refusal::AssociateUnknown { id: request.associate_id })?;
        let entity_id = owner::find(connection, &request.owner_name, caller.entity_id)?;
        Ok(Parties { caller, associate, entity_id })
    }

    /// Takes a seat as any call does. Where the associate holds one of this owner's already, nothing is to be done.
    fn assign(&self, connection: &Connection, call: &Call, license_type: LicenseType) -> Result<(), Stop> {
        let request = AssignRequest {
            username: Some(self.associate.username.clone()),
            provider_entity_id: Some(self.entity_id),
            license_type: Some(license_type),
        };
        match change::assign(connection, call, &request, false)? {
            Err(Refusal::AlreadyAssigned { held, .. }) if self.owns(connection, held.seat)? => Ok(()),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// The associate's seat of this type, if it is one of this owner's; its pool may have expired.
    fn seat(&self, connection: &Connection, license_type: LicenseType) -> rusqlite::Result<Option<SeatId>> {
        let account = Account { id: self.associate.id, active: true, in_subtree: true };
        match held(connection, Some(account), Some(license_type))? {
            Some(held) if self.owns(connection, held.seat)? => Ok(Some(held.seat)),
            _ => Ok(None),
        }
    }

    fn owns(&self, connection: &Connection, seat: SeatId) -> rusqlite::Result<bool> {
        Ok(change::entity_of_pool(connection, seat.pool_id)? == self.entity_id)
    }

    /// The owner as it is now, with what the associate holds.
    fn owner(&self, connection: &Connection, call: &Call) -> Result<Owner, Stop> {
        let held = owner::pools_held(connection, self.associate.id)?;
        owner::get(connection, self.entity_id, &held, call.now)
    }
}
