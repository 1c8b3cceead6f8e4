//! Modules: the license types of an owner in the words of license tools. The same rules assign and release them, and the same
//! audit records them, as for agents.

use rusqlite::Connection;

use super::assignee;
use super::facts::{Caller, pools};
use super::owner;
use super::record::{self, By};
use super::seats::carry_out;
use super::stop::{Stop, caller_of_role};
use crate::license::{Assignee, Owner, each_once, take_module};
use crate::seats::{Entity, LicenseType, Refusal, Role};
use crate::store::{Call, ModulesRequest};

/// All or nothing: the savepoint undoes the assignments before the refused one.
pub(crate) fn assign(connection: &Connection, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    connection.execute_batch("SAVEPOINT modules")?;
    let outcome = assign_each(connection, call, request);
    connection.execute_batch(if outcome.is_ok() {
        "RELEASE modules"
    } else {
        "ROLLBACK TO modules; RELEASE modules"
    })?;
    outcome
}

fn assign_each(connection: &Connection, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    let parties = Parties::find(connection, call, request, Role::Agent)?;
    for license_type in each_once(&request.license_types) {
        parties.assign(connection, call, license_type)?;
    }
    parties.owner(connection, call, request.associate_id)
}

pub(crate) fn release(connection: &Connection, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    let parties = Parties::find(connection, call, request, Role::Admin)?;
    let by = By::new(call, &parties.caller);
    for license_type in each_once(&request.license_types) {
        if let Some(held) = parties.associate.held_of(license_type, parties.entity_id) {
            record::release(connection, &by, held.seat, parties.associate.account.id)?;
        }
    }
    parties.owner(connection, call, request.associate_id)
}

/// The caller, the associate, and the owner of the requested seats.
struct Parties {
    caller: Caller,
    associate: Assignee,
    entity_id: i32,
    entity: Entity,
}

impl Parties {
    fn find(connection: &Connection, call: &Call, request: &ModulesRequest, least: Role) -> Result<Parties, Stop> {
        let caller = caller_of_role(connection, call, least)?;
        let associate = assignee::find(connection, request.associate_id, &caller)?
            .ok_or(Refusal::AssociateUnknown { id: request.associate_id })?;
        let (entity_id, entity) = owner::find(connection, &request.owner_name, caller.entity_id)?;
        Ok(Parties { caller, associate, entity_id, entity })
    }

    /// Takes a seat like any call. If the associate already holds a seat of this owner, there is nothing to do.
    fn assign(&self, connection: &Connection, call: &Call, license_type: LicenseType) -> Result<(), Stop> {
        let pools = pools(connection, self.entity_id, license_type, call.now)?;
        let decided = self.associate.assign(license_type, self.entity_id, self.entity, pools, call.now);
        let holds_one = self.associate.held_of(license_type, self.entity_id).is_some();
        if let Some(assignment) = take_module(decided, holds_one)? {
            carry_out(connection, &By::new(call, &self.caller), &assignment, None, None)?;
        }
        Ok(())
    }

    /// The owner as it is now, with what the associate holds.
    fn owner(&self, connection: &Connection, call: &Call, associate_id: i32) -> Result<Owner, Stop> {
        let associate = assignee::find(connection, associate_id, &self.caller)?;
        owner::get(connection, self.entity_id, associate.as_ref(), call.now)
    }
}
