//! Associates: the accounts that license tools assign modules to, with the facts that decide about each type.

use rusqlite::{Connection, OptionalExtension as _};

use super::facts::{Caller, account, is_below, parse, text, to_held};
use crate::license::{Assignee, PerType};
use crate::seats::{Account, LicenseType, UserName};

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
    of(connection, Account { id, active, in_subtree }, username, caller)
}

/// The account with the caller's own name, if it is in the caller's subtree.
pub(crate) fn of_caller(connection: &Connection, caller: &Caller) -> rusqlite::Result<Option<Assignee>> {
    let username = UserName::from(caller.name.as_str());
    match account(connection, Some(&username), caller.entity_id, None)? {
        Some(account) => of(connection, account, username, caller),
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

/// At most one seat of each type.
pub(crate) const ALL_HELD: &str = "
    SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, seat.license_type
      FROM seat INDEXED BY seat_by_holder CROSS JOIN license_pool ON license_pool.id = seat.pool_id
     WHERE seat.account_id = ?1";
