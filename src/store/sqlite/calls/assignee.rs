//! Associates: the accounts that license tools assign modules to, with the facts that decide about each type.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::facts::{Caller, account, is_below, parse, text, to_held};
use crate::license::PerType;
use crate::seats::{
    self, Account, AssignRequest, Assignment, Entity, Facts, Held, LicenseType, Pool, Refusal, Role, UserName,
};

/// An account in the caller's subtree, with the facts that decide whether the caller can give it a seat.
pub(crate) struct Assignee {
    pub(crate) account: Account,
    pub(crate) held: PerType<Option<Held>>,
    username: UserName,
    /// What the caller may do.
    role: Role,
}

impl Assignee {
    /// `None` if there is no such account in the caller's subtree.
    pub(crate) fn find(connection: &Connection, id: i32, caller: &Caller) -> rusqlite::Result<Option<Assignee>> {
        let row = connection
            .prepare_cached("SELECT id, username, entity_id, active FROM account WHERE id = ?1")?
            .query_row([id], |row| {
                let username = UserName::from(text(row, 1)?.unwrap_or_default());
                Ok((row.get(0)?, username, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((id, username, entity_id, active)) = row else { return Ok(None) };
        let in_subtree = is_below(connection, entity_id, caller.entity_id, None)?;
        Assignee::of(connection, Account { id, active, in_subtree }, username, caller)
    }

    /// The account with the caller's own name, if it is in the caller's subtree.
    pub(crate) fn of_caller(connection: &Connection, caller: &Caller) -> rusqlite::Result<Option<Assignee>> {
        let username = UserName::from(caller.name.as_str());
        match account(connection, Some(&username), caller.entity_id, None)? {
            Some(account) => Assignee::of(connection, account, username, caller),
            None => Ok(None),
        }
    }

    fn of(
        connection: &Connection,
        account: Account,
        username: UserName,
        caller: &Caller,
    ) -> rusqlite::Result<Option<Assignee>> {
        if !account.in_subtree {
            return Ok(None);
        }
        let mut held = PerType::default();
        let mut statement = connection.prepare_cached(ALL_HELD)?;
        let mut rows = statement.query([account.id])?;
        while let Some(row) = rows.next()? {
            let mut seat = to_held(row, 0)?;
            seat.in_subtree = is_below(connection, seat.entity_id, caller.entity_id, None)?;
            held[parse::<LicenseType>(row, 4)?.index()] = Some(seat);
        }
        Ok(Some(Assignee { account, held, username, role: caller.role }))
    }

    /// Asks the seat rules for a seat of this type from these pools of an entity.
    pub(crate) fn assign(
        &self,
        license_type: LicenseType,
        entity_id: i32,
        provider: Entity,
        pools: Vec<Pool>,
        now: Timestamp,
    ) -> Result<Assignment, Refusal> {
        let request = AssignRequest {
            username: Some(self.username.clone()),
            provider_entity_id: Some(entity_id),
            license_type: Some(license_type),
        };
        let facts = Facts {
            caller: Some(self.role),
            provider: Some(provider),
            account: Some(self.account),
            held: self.held[license_type.index()],
            pools,
        };
        seats::assign(&request, &facts, false, now)
    }

    /// The seat of this type that the account holds in the entity's pools, open or not.
    pub(crate) fn held_of(&self, license_type: LicenseType, entity_id: i32) -> Option<Held> {
        self.held[license_type.index()].filter(|held| held.entity_id == entity_id)
    }
}

/// One seat of each type at most.
pub(crate) const ALL_HELD: &str = "
    SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, seat.license_type
      FROM seat INDEXED BY seat_by_holder CROSS JOIN license_pool ON license_pool.id = seat.pool_id
     WHERE seat.account_id = ?1";
