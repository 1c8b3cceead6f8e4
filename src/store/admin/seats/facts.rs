//! The facts for the seat rules, read for administrators, and the statements that carry out their decisions.

use jiff::Timestamp;

use super::super::edit::{Work, failed, license_type_of, not_found};
use super::super::{AdminRefusal, Row, Stop, Value};
use super::Taken;
use crate::seats::{Account, Assignment, Entity, Held, LicenseType, Pool, SeatId, UserName};

/// A user that can hold seats.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) account: Account,
    /// As the store spells it.
    pub(crate) username: String,
}

/// Locks the existing accounts of these names, in the order of their ids, before a change of all that one of them holds. On PostgreSQL
/// SQL by hand that gives an account a seat waits too, at the foreign key of the seat: FOR UPDATE conflicts with its FOR KEY SHARE. So no
/// seat is missed that a reader can see before the change. SQLite has one writer.
pub(crate) fn lock_accounts(work: &Work<'_>, names: &[&str]) -> Result<(), Stop> {
    if !work.is_postgres() || names.is_empty() {
        return Ok(());
    }
    let places: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
    let key = work.sql.dialect().name_key("username");
    let text = format!("SELECT id FROM account WHERE {key} IN ({}) ORDER BY id FOR UPDATE", places.join(", "));
    let values: Vec<Value> = names.iter().map(|name| Value::name(UserName::from(*name).as_str())).collect();
    work.sql.rows(&text, &values).map(drop)
}

/// The account of this name, locked, whether the caller reaches it or not.
pub(crate) fn account(work: &Work<'_>, name: &str) -> Result<Option<Holder>, Stop> {
    let key = work.sql.dialect().name_key("username");
    let text = format!("SELECT id, username, entity_id, active FROM account WHERE {key} = $1{}", work.for_update());
    let Some(row) = work.first(&text, &[Value::name(name)])? else { return Ok(None) };
    let account = Account { id: row.int(0)?, active: row.flag(3)?, in_subtree: work.reaches(row.int(2)?)? };
    Ok(Some(Holder { account, username: row.text(1)? }))
}

/// The same, if the caller reaches it.
pub(crate) fn account_or_refusal(work: &Work<'_>, name: &str) -> Result<Holder, Stop> {
    let name = UserName::from(name);
    let found = account(work, name.as_str())?.filter(|holder| holder.account.in_subtree);
    found.ok_or_else(|| super::no_user(name.as_str()))
}

pub(crate) fn entity_facts(work: &Work<'_>, entity_id: i32) -> Result<Option<Entity>, Stop> {
    let row = work.first("SELECT active FROM entity WHERE id = $1", &[entity_id.into()])?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Entity { active: row.flag(0)?, in_subtree: work.reaches(entity_id.into())? }))
}

/// The seats that a user holds, by type. CROSS JOIN: SQLite begins with the user, whatever it thinks of the tables.
pub(crate) fn held_seats(work: &Work<'_>, holder: &Holder) -> Result<Vec<(LicenseType, Held)>, Stop> {
    let rows = work.sql.rows(HELD, &[holder.account.id.into()])?;
    rows.iter()
        .map(|row| {
            let entity_id = row.int(3)?;
            let held = Held {
                seat: SeatId { pool_id: row.int(0)?, seat_no: row.int(1)? },
                expires_at: end(row, 2)?,
                entity_id: i32::try_from(entity_id).map_err(|_| failed("an entity's id is too large"))?,
                in_subtree: work.reaches(entity_id)?,
            };
            Ok((license_type_of(Some(&row.text(4)?.into()))?, held))
        })
        .collect()
}

const HELD: &str = "
    SELECT seat.pool_id, seat.seat_no, license_pool.expires_at, license_pool.entity_id, seat.license_type
      FROM seat CROSS JOIN license_pool
     WHERE seat.account_id = $1 AND license_pool.id = seat.pool_id
     ORDER BY seat.license_type";

pub(crate) fn held(work: &Work<'_>, holder: &Holder, license_type: LicenseType) -> Result<Option<Held>, Stop> {
    let held = held_seats(work, holder)?.into_iter().find(|(of, _)| *of == license_type);
    Ok(held.map(|(_, held)| held))
}

/// A time after which something ends. The last day of year 9999, which many a system writes for "never", is no [`Timestamp`]: it is the
/// last one that is.
fn end(row: &Row, index: usize) -> Result<Option<Timestamp>, Stop> {
    Ok(match row.value(index)? {
        Value::Null => None,
        _ => Some(row.time(index)?.unwrap_or(Timestamp::MAX)),
    })
}

/// The pools of an entity and type. Only of the pool that a seat is taken from a free seat is looked for: of the open pools with one it is
/// the one that expires first.
pub(crate) fn pools(work: &Work<'_>, entity_id: i32, license_type: LicenseType) -> Result<Vec<Pool>, Stop> {
    let text = format!("SELECT {POOL} FROM license_pool WHERE entity_id = $1 AND license_type = $2 ORDER BY id");
    let rows = work.sql.rows(&text, &[entity_id.into(), license_type.name().into()])?;
    let mut pools = rows.iter().map(to_pool).collect::<Result<Vec<Pool>, Stop>>()?;
    pools.sort_by_key(|pool| (pool.expires_at.unwrap_or(Timestamp::MAX), pool.id));
    let now = work.admin.now;
    let is_open =
        |pool: &&mut Pool| pool.starts_at.is_none_or(|at| at <= now) && pool.expires_at.is_none_or(|at| at > now);
    for pool in pools.iter_mut().filter(is_open) {
        pool.free_seat_no = free_seat(work, pool.id)?;
        if pool.free_seat_no.is_some() {
            break;
        }
    }
    Ok(pools)
}

const POOL: &str = "id, seats_total, starts_at, expires_at";

fn to_pool(row: &Row) -> Result<Pool, Stop> {
    let (starts_at, expires_at) = (end(row, 2)?, end(row, 3)?);
    Ok(Pool { id: row.int(0)?, seats_total: row.int(1)?, starts_at, expires_at, free_seat_no: None })
}

/// A pool that the caller reaches, without a free seat; its entity and its type.
pub(crate) fn pool(work: &Work<'_>, pool_id: i64) -> Result<(Pool, i32, LicenseType), Stop> {
    let text = format!("SELECT {POOL}, entity_id, license_type FROM license_pool WHERE id = $1");
    let missing = || not_found("pool", pool_id);
    let row = work.first(&text, &[pool_id.into()])?.ok_or_else(missing)?;
    let entity_id = row.int(4)?;
    if !work.reaches(entity_id)? {
        return Err(missing());
    }
    let entity_id = i32::try_from(entity_id).map_err(|_| failed("an entity's id is too large"))?;
    Ok((to_pool(&row)?, entity_id, license_type_of(Some(&row.text(5)?.into()))?))
}

/// The free seat of a pool with the highest number, below that of the last one that was picked; on PostgreSQL one that no other call holds at
/// this moment, and locked.
pub(crate) fn free_seat(work: &Work<'_>, pool_id: i64) -> Result<Option<i64>, Stop> {
    let below = work.picked.borrow().get(&pool_id).copied();
    let found = match below {
        Some(below) => one_free(work, pool_id, below)?,
        None => None,
    };
    let found = match found {
        // A seat above may have been released since.
        None => one_free(work, pool_id, i64::from(i32::MAX))?,
        found => found,
    };
    if let Some(seat_no) = found {
        work.picked.borrow_mut().insert(pool_id, seat_no);
    }
    Ok(found)
}

fn one_free(work: &Work<'_>, pool_id: i64, below: i64) -> Result<Option<i64>, Stop> {
    let values = [pool_id.into(), below.into()];
    let query = |text: &str| work.first(text, &values)?.map(|row| row.int(0)).transpose();
    if !work.is_postgres() {
        return query(&FREE.replace("FROM seat", "FROM seat INDEXED BY seat_free"));
    }
    let found = query(&format!("{FREE} FOR UPDATE SKIP LOCKED"))?;
    if found.is_some() {
        return Ok(found);
    }
    // None but those that other calls are about to take, or to give back.
    for _ in 0..WAITS_MAX {
        let found = query(&format!("{FREE} FOR UPDATE"))?;
        if found.is_some() || query(FREE)?.is_none() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Waits for a seat that another call takes then.
const WAITS_MAX: u32 = 20;

const FREE: &str = "SELECT seat_no FROM seat WHERE pool_id = $1 AND account_id IS NULL AND seat_no <= $2 ORDER BY pool_id DESC, seat_no DESC LIMIT 1";

/// The number of a seat that must be there and free.
pub(crate) fn this_seat(work: &Work<'_>, seat: SeatId) -> Result<i64, Stop> {
    let text = format!("SELECT account_id FROM seat WHERE pool_id = $1 AND seat_no = $2{}", work.for_update());
    let row = work.first(&text, &[seat.pool_id.into(), seat.seat_no.into()])?;
    match row.ok_or_else(|| not_found("seat", format!("{} of pool {}", seat.seat_no, seat.pool_id)))?.opt_int(0)? {
        None => Ok(seat.seat_no),
        Some(_) => {
            let why = format!(
                "Seat {} of pool {} is taken. Release it first, or choose another.",
                seat.seat_no, seat.pool_id
            );
            Err(AdminRefusal::Guard(why).into())
        }
    }
}

/// Whether the caller reaches the holder of a seat, or its pool.
///
/// # Errors
///
/// [`AdminRefusal::NotFound`].
pub(crate) fn may_release(work: &Work<'_>, taken: Taken) -> Result<(), Stop> {
    let text = "SELECT license_pool.entity_id, account.entity_id FROM license_pool CROSS JOIN account WHERE license_pool.id = $1 AND account.id = $2";
    let row = work.first(text, &[taken.pool_id.into(), taken.account_id.into()])?;
    if let Some(row) = row
        && (work.reaches(row.int(0)?)? || work.reaches(row.int(1)?)?)
    {
        return Ok(());
    }
    Err(not_found("seat", format!("{} of pool {}", taken.seat_no, taken.pool_id)))
}

/// Writes what was decided: adds the user if need be, gives up the old seat, takes the new one.
pub(crate) fn carry_out(work: &Work<'_>, assignment: &Assignment, username: &str, entity_id: i32) -> Result<(), Stop> {
    let account_id = match assignment.account_id {
        Some(id) => id,
        None => {
            let nothing = work.or_nothing();
            let text = format!("INSERT INTO account (username, entity_id) VALUES ($1, $2){nothing} RETURNING id");
            let row = work.first(&text, &[username.into(), entity_id.into()])?;
            row.ok_or_else(|| AdminRefusal::Moved { what: format!("user {username}") })?.int(0)?
        }
    };
    if let Some(old) = assignment.give_up {
        take_back(work, Taken { pool_id: old.pool_id, seat_no: old.seat_no, account_id })?;
    }
    let SeatId { pool_id, seat_no } = assignment.seat;
    give(work, Taken { pool_id, seat_no, account_id })
}

/// Frees a seat.
///
/// # Errors
///
/// [`AdminRefusal::Moved`]: the account does not hold it.
pub(crate) fn take_back(work: &Work<'_>, taken: Taken) -> Result<(), Stop> {
    let values = [taken.pool_id.into(), taken.seat_no.into(), taken.account_id.into()];
    work.change_one(
        || format!("the holder of seat {} of pool {}", taken.seat_no, taken.pool_id),
        "UPDATE seat SET account_id = NULL WHERE pool_id = $1 AND seat_no = $2 AND account_id = $3",
        &values,
    )
}

/// Gives a free seat to an account.
///
/// # Errors
///
/// [`AdminRefusal::Moved`]: it is not free.
pub(crate) fn give(work: &Work<'_>, taken: Taken) -> Result<(), Stop> {
    let values = [taken.pool_id.into(), taken.seat_no.into(), taken.account_id.into()];
    work.change_one(
        || format!("seat {} of pool {}", taken.seat_no, taken.pool_id),
        "UPDATE seat SET account_id = $3 WHERE pool_id = $1 AND seat_no = $2 AND account_id IS NULL",
        &values,
    )
}
