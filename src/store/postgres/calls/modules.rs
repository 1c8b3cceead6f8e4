//! Modules: the license types of an owner in the words of license tools. The same rules assign and release them, and the same
//! audit records them, as for agents.
//!
//! The transaction is READ COMMITTED. The associate's row and the seats that it holds are locked before anything about them is
//! read, so that decisions about them stay true until the commit. If another session takes the free seat meanwhile, the call is
//! decided again.

use tokio_postgres::types::Type;

use super::assignee::{self, Locked};
use super::facts::{by, open_pools, to_pool, to_seat};
use super::owner::{self, Status};
use super::stop::{Stop, caller_of_role};
use super::taking::{carry_out, give_up};
use crate::license::{Assignee, Owner, OwnerFacts, each_once, take_module};
use crate::seats::{Assignment, Entity, Held, LicenseType, Pool, Refusal, Role};
use crate::store::postgres::session::{By, Session, Sql, to_time};
use crate::store::{Call, ModulesRequest};

/// All or nothing: all types are decided before a seat is taken.
pub(crate) async fn assign(session: &Session, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    let parties = Parties::find(session, call, request, Role::Agent, Locked::AgainstCalls).await?;
    let mut assignments = Vec::new();
    for license_type in each_once(&request.license_types) {
        assignments.extend(parties.decide(session, call, license_type).await?);
    }
    for assignment in &assignments {
        carry_out(session, &parties.by, assignment).await?;
    }
    parties.owner(session, call, request).await
}

pub(crate) async fn release(session: &Session, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
    let parties = Parties::find(session, call, request, Role::Admin, Locked::AgainstAll).await?;
    let of_owner = |license_type| parties.associate.held_of(license_type, parties.facts.entity_id);
    let held: Vec<_> = each_once(&request.license_types).filter_map(of_owner).collect();
    for held in held {
        give_up(session, &parties.by, held.seat, parties.associate.account.id).await?;
    }
    parties.owner(session, call, request).await
}

/// The caller, the associate, and the owner of the requested seats.
struct Parties {
    by: By,
    associate: Assignee,
    facts: OwnerFacts,
}

impl Parties {
    async fn find(
        session: &Session,
        call: &Call,
        request: &ModulesRequest,
        least: Role,
        locked: Locked,
    ) -> Result<Parties, Stop> {
        let caller = caller_of_role(session, call, least).await?;
        assignee::lock(session, request.associate_id, &caller, locked).await?;
        let (name, id) = (&request.owner_name, request.associate_id);
        let Status { caller, associate, owner } = owner::status(session, call, name, Some(id), least).await?;
        let associate = associate.ok_or(Refusal::AssociateUnknown { id })?;
        let facts = owner.ok_or_else(|| Refusal::OwnerUnknown { owner_name: name.clone() })?;
        Ok(Parties { by: by(call, &caller), associate, facts })
    }

    /// Decides like any call. `None`: the associate already holds a seat of this owner, and there is nothing to do.
    async fn decide(
        &self,
        session: &Session,
        call: &Call,
        license_type: LicenseType,
    ) -> Result<Option<Assignment>, Stop> {
        let entity_id = self.facts.entity_id;
        let held = self.associate.held[license_type.index()];
        let pools = pools(session, call, entity_id, license_type, self.associate.account.id, held).await?;
        // The caller may see the owner.
        let provider = Entity { active: self.facts.active, in_subtree: true };
        let decided = self.associate.assign(license_type, entity_id, provider, pools, call.now);
        Ok(take_module(decided, self.associate.held_of(license_type, entity_id).is_some())?)
    }

    /// The owner as it is now, with what the associate holds.
    async fn owner(&self, session: &Session, call: &Call, request: &ModulesRequest) -> Result<Owner, Stop> {
        let id = Some(request.associate_id);
        let now = owner::status(session, call, &self.facts.name, id, Role::Reader).await?;
        // The name may have been removed meanwhile.
        let facts = now.owner.unwrap_or_else(|| self.facts.clone());
        Ok(facts.owner(now.associate.as_ref(), call.now))
    }
}

/// The pools of an entity and a type, as [`open_pools!`] has them. [`Stop::Again`]: the account does not hold this seat of the type at
/// the same moment. By hand it can be given one that it did not have, the last free one: "no free seat" would then be true at no moment.
async fn pools(
    session: &Session,
    call: &Call,
    entity_id: i32,
    license_type: LicenseType,
    account_id: i64,
    held: Option<Held>,
) -> Result<Vec<Pool>, Stop> {
    let rows =
        session.rows(&POOLS_AND_SEAT, &[&entity_id, &license_type.name(), &to_time(call.now), &account_id]).await?;
    let mut pools = Vec::new();
    for row in &rows {
        let now = match row.try_get::<_, Option<i64>>(0)? {
            Some(_) => Some(to_seat(row, 0)?),
            None => None,
        };
        if now != held.map(|held| held.seat) {
            return Err(Stop::Again);
        }
        if row.try_get::<_, Option<i64>>(2)?.is_some() {
            pools.push(to_pool(row, 2)?);
        }
    }
    Ok(pools)
}

/// At least one row.
const POOLS_AND_SEAT: Sql = Sql {
    text: concat!(
        "SELECT held.pool_id, held.seat_no, pool.id, pool.seats_total, pool.starts_at, pool.expires_at, pool.free_seat_no
           FROM (SELECT 1) AS one
           LEFT JOIN (SELECT pool_id, seat_no FROM seat WHERE account_id = $4 AND license_type = $2) AS held ON true
           LEFT JOIN (",
        open_pools!("$1", "$2", "$3"),
        ") AS pool ON true"
    ),
    types: &[Type::INT4, Type::TEXT, Type::TIMESTAMPTZ, Type::INT8],
};
