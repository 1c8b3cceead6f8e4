//! What a user held at a past moment: what it holds now, with the events since then taken back.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::moment::ids_between;
use super::page::{by_ids, count, indexed_by};
use super::pools::license_type;
use super::scope::{Scope, entity_names, not_found};
use super::users::{HeldSeat, HeldWhere};
use super::{Admin, Sql, Stop, Value, first};

/// A seat that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldThen {
    /// As the pool is now.
    pub held: HeldSeat,
    /// It is not held any more.
    pub is_over: bool,
}

/// Events that are looked at, from now back to the moment.
pub const EVENTS_MAX: usize = 200_000;

/// The seats that a user held at a moment; `None`: too many events happened since, or they were moved to an archive. A pool that is gone is
/// left out.
///
/// # Errors
///
/// [`super::AdminRefusal::NotFound`]: there is no such user that the caller may see.
pub fn user_at(sql: &dyn Sql, admin: &Admin, account_id: i64, at: Timestamp) -> Result<Option<Vec<HeldThen>>, Stop> {
    let scope = Scope::of(sql, admin);
    let account = first(sql, "SELECT entity_id FROM account WHERE id = $1", &[account_id.into()])?;
    match account {
        Some(row) if scope.has(row.int(0)?)? => {}
        _ => return Err(not_found("user", account_id)),
    }
    let archived = first(sql, "SELECT max(until) FROM audit_archive", &[])?;
    if archived.map(|row| row.time(0)).transpose()?.flatten().is_some_and(|until| until > at) {
        return Ok(None);
    }
    let (low, _) = ids_between(sql, "audit_event", Some(at), None)?;
    let values = [Value::Int(low), count(EVENTS_MAX + 1), account_id.into()];
    let number =
        first(sql, &format!("{SINCE} SELECT count(*) FROM found"), &values)?.map_or(Ok(0), |row| row.int(0))?;
    if usize::try_from(number).is_ok_and(|number| number > EVENTS_MAX) {
        return Ok(None);
    }
    // By pool and number.
    let index = indexed_by(sql.dialect(), "seat_by_holder");
    let mut seats: BTreeSet<(i64, i64)> = BTreeSet::new();
    for row in
        sql.rows(&format!("SELECT pool_id, seat_no FROM seat{index} WHERE account_id = $1"), &[account_id.into()])?
    {
        seats.insert((row.int(0)?, row.int(1)?));
    }
    let now = seats.clone();
    let events = format!(
        "{SINCE} SELECT at, action, pool_id, seat_no FROM found
          WHERE account_id = $3 AND pool_id IS NOT NULL AND seat_no IS NOT NULL ORDER BY id DESC"
    );
    for row in sql.rows(&events, &values)? {
        if row.time(0)?.is_some_and(|then| then <= at) {
            continue;
        }
        let seat = (row.int(2)?, row.int(3)?);
        let _ = match row.text(1)?.as_str() {
            "assign" => seats.remove(&seat),
            "release" => seats.insert(seat),
            _ => false,
        };
    }
    let ids: Vec<i64> = seats.iter().map(|(pool_id, _)| *pool_id).collect();
    let pools =
        by_ids(sql, "SELECT id, license_type, entity_id, expires_at FROM license_pool WHERE id IN ($ids)", &[], &ids)?;
    let pools: HashMap<i64, _> = pools
        .iter()
        .map(|row| Ok((row.int(0)?, (license_type(row, 1)?, row.int(2)?, row.time(3)?))))
        .collect::<Result<_, Stop>>()?;
    let names = entity_names(&scope, pools.values().map(|(_, entity_id, _)| *entity_id))?;
    let mut held = Vec::new();
    for (pool_id, seat_no) in seats {
        let Some((license_type, entity_id, expires_at)) = pools.get(&pool_id).copied() else { continue };
        let seat = names.get(&entity_id).map(|name| HeldWhere {
            pool_id,
            seat_no,
            entity_id,
            entity_name: name.clone(),
            expires_at,
            is_expired: expires_at.is_some_and(|end| end <= at),
            since: None,
        });
        let is_over = !now.contains(&(pool_id, seat_no));
        held.push(HeldThen { held: HeldSeat { license_type, seat }, is_over });
    }
    Ok(Some(held))
}

/// From the newest event back, `$2` at most.
const SINCE: &str = "
    WITH found AS (
        SELECT id, at, action, pool_id, seat_no, account_id FROM audit_event WHERE id >= $1 ORDER BY id DESC LIMIT $2)";
