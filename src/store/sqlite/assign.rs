//! The statements of assign and release: facts in, the rules' decision out. Each runs inside the writer's savepoint.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::seats::{self, Account, AssignRequest, Facts, Held, LicenseType, Pool, Provider, Refusal, Role, SeatId};
use crate::store::{Actor, Call};

pub(super) fn assign(
    connection: &Connection,
    call: &Call,
    request: &AssignRequest,
    enroll: bool,
) -> rusqlite::Result<Result<SeatId, Refusal>> {
    let caller = caller(connection, &call.actor)?;
    let facts = facts(connection, caller.as_ref(), request, call.now)?;
    let assignment = match seats::assign(request, &facts, enroll, call.now) {
        Ok(assignment) => assignment,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let last_call = last_call(call, caller.as_ref().map_or("", |c| &c.name));
    if let Some(seat) = assignment.give_up {
        set_holder(connection, seat, None, &last_call)?;
    }
    let account_id = match assignment.account_id {
        Some(id) => id,
        None => {
            connection
                .prepare_cached("INSERT INTO account (username, entity_id) VALUES (?1, ?2)")?
                .execute(params![request.username, request.provider_entity_id])?;
            connection.last_insert_rowid()
        }
    };
    set_holder(connection, assignment.seat, Some(account_id), &last_call)?;
    Ok(Ok(assignment.seat))
}

pub(super) fn release(
    connection: &Connection,
    call: &Call,
    username: &str,
    license_type: LicenseType,
) -> rusqlite::Result<Result<SeatId, Refusal>> {
    let held = match account(connection, username)? {
        Some(account) => held(connection, account.id, license_type)?,
        None => None,
    };
    match seats::release(username, license_type, held) {
        Ok(seat) => {
            set_holder(connection, seat, None, &last_call(call, COMMAND_LINE))?;
            Ok(Ok(seat))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// "<request id> <actor>", from which the audit trigger takes both.
fn last_call(call: &Call, actor: &str) -> String {
    format!("{} {actor}", call.id)
}

/// Gives the seat to `account_id`, or frees it. The condition makes "a free row is taken" hold by itself.
fn set_holder(connection: &Connection, seat: SeatId, account_id: Option<i64>, last_call: &str) -> rusqlite::Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE seat SET account_id = ?3, last_call = ?4
              WHERE pool_id = ?1 AND seat_no = ?2 AND (account_id IS NULL) = (?3 IS NOT NULL)",
        )?
        .execute(params![seat.pool_id, seat.seat_no, account_id, last_call])?;
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
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

    if let Some(id) = request.provider_entity_id {
        facts.provider = provider(connection, id, caller.entity_id)?;
    }
    if let Some(username) = &request.username
        && let Some(row) = account(connection, username)?
    {
        facts.account = Some(Account {
            id: row.id,
            active: row.active,
            in_subtree: provider(connection, row.entity_id, caller.entity_id)?.is_some_and(|e| e.in_subtree),
        });
    }
    if let Some(license_type) = request.license_type {
        if let Some(account) = facts.account {
            facts.held = held(connection, account.id, license_type)?;
        }
        if let Some(id) = request.provider_entity_id {
            facts.pools = pools(connection, id, license_type, now)?;
        }
    }
    Ok(facts)
}

/// What the audit calls somebody at the command line.
const COMMAND_LINE: &str = "cli";

struct Caller {
    /// As the store spells it.
    name: String,
    role: Role,
    /// The root of the caller's subtree; `None` for the command line, which may reach everything.
    entity_id: Option<i64>,
}

fn caller(connection: &Connection, actor: &Actor) -> rusqlite::Result<Option<Caller>> {
    let Actor::Credential(proved) = actor else {
        return Ok(Some(Caller { name: COMMAND_LINE.to_owned(), role: Role::Admin, entity_id: None }));
    };
    connection
        .prepare_cached(
            "SELECT user_name, role, entity_id FROM credential
              WHERE user_name = ?1 AND password_hash = ?2 AND active = 1",
        )?
        .query_row(params![proved.user_name, proved.password_hash], |row| {
            Ok(Caller { name: row.get(0)?, role: parse(row, 1)?, entity_id: Some(row.get(2)?) })
        })
        .optional()
}

fn provider(connection: &Connection, id: impl Into<i64>, root: Option<i64>) -> rusqlite::Result<Option<Provider>> {
    // UNION, not UNION ALL: a circle that got past the guards must not hang a call.
    connection
        .prepare_cached(
            "SELECT active, ?2 IS NULL OR id = ?2 OR EXISTS (
                WITH RECURSIVE above (id) AS (
                    SELECT e.parent_id UNION SELECT entity.parent_id FROM entity JOIN above ON entity.id = above.id)
                SELECT 1 FROM above WHERE above.id = ?2)
               FROM entity AS e WHERE id = ?1",
        )?
        .query_row(params![id.into(), root], |row| Ok(Provider { active: row.get(0)?, in_subtree: row.get(1)? }))
        .optional()
}

struct AccountRow {
    id: i64,
    active: bool,
    entity_id: i64,
}

fn account(connection: &Connection, username: &str) -> rusqlite::Result<Option<AccountRow>> {
    connection
        .prepare_cached("SELECT id, active, entity_id FROM account WHERE username = ?1")?
        .query_row([username], |row| Ok(AccountRow { id: row.get(0)?, active: row.get(1)?, entity_id: row.get(2)? }))
        .optional()
}

fn held(connection: &Connection, account_id: i64, license_type: LicenseType) -> rusqlite::Result<Option<Held>> {
    connection
        .prepare_cached(
            "SELECT seat.pool_id, seat.seat_no, license_pool.expires_at
               FROM seat JOIN license_pool ON license_pool.id = seat.pool_id
              WHERE seat.account_id = ?1 AND seat.license_type = ?2",
        )?
        .query_row(params![account_id, license_type.name()], |row| {
            Ok(Held { seat: SeatId { pool_id: row.get(0)?, seat_no: row.get(1)? }, expires_at: time(row, 2)? })
        })
        .optional()
}

/// The pools that have not expired, each with a free seat; if there is none, the one that expired last.
fn pools(
    connection: &Connection,
    entity_id: i32,
    license_type: LicenseType,
    now: Timestamp,
) -> rusqlite::Result<Vec<Pool>> {
    let to_pool = |row: &Row<'_>| {
        Ok(Pool {
            id: row.get(0)?,
            seats_total: row.get(1)?,
            starts_at: time(row, 2)?,
            expires_at: time(row, 3)?,
            free_seat_no: row.get(4)?,
        })
    };
    let mut statement = connection.prepare_cached(OPEN_POOLS)?;
    let key = params![entity_id, license_type.name(), now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()];
    let open: Vec<Pool> = statement.query_map(key, to_pool)?.collect::<rusqlite::Result<_>>()?;
    if !open.is_empty() {
        return Ok(open);
    }
    connection
        .prepare_cached(
            "SELECT id, seats_total, starts_at, expires_at, NULL FROM license_pool
              WHERE entity_id = ?1 AND license_type = ?2 AND expires_at IS NOT NULL ORDER BY expires_at DESC LIMIT 1",
        )?
        .query_map(params![entity_id, license_type.name()], to_pool)?
        .collect()
}

/// The inner query is one step into the partial index `seat_free`, however many seats the pool has. It is named because
/// the planner would walk the primary key past every taken seat instead.
const OPEN_POOLS: &str = "
    SELECT id, seats_total, starts_at, expires_at,
           (SELECT seat_no FROM seat INDEXED BY seat_free
             WHERE pool_id = license_pool.id AND account_id IS NULL ORDER BY seat_no LIMIT 1)
      FROM license_pool
     WHERE entity_id = ?1 AND license_type = ?2 AND (expires_at IS NULL OR expires_at > ?3)";

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    if row.get_ref(index)? == rusqlite::types::ValueRef::Null { Ok(None) } else { parse(row, index).map(Some) }
}

/// A text column whose CHECK constraint holds it to what `T` can read.
fn parse<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::fmt::Display,
{
    row.get_ref(index)?.as_str()?.parse().map_err(|e: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, e.to_string().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every statement an assignment runs is a search by key, whatever the planner's statistics say, and the free seat
    /// comes from the partial index.
    #[test]
    fn plans_are_searches_and_the_free_seat_comes_from_its_index() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(super::super::SCHEMA).expect("schema");
        let plan = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepare");
            let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<_, _>>();
            rows.expect("plan")
        };
        let open_pools = plan(OPEN_POOLS);
        assert!(open_pools.iter().any(|l| l == "SEARCH seat USING INDEX seat_free (pool_id=?)"), "{open_pools:?}");
        for line in open_pools {
            assert!(!line.starts_with("SCAN") && !line.contains("TEMP B-TREE"), "{line}");
        }
        let held = plan(
            "SELECT 1 FROM seat JOIN license_pool ON license_pool.id = seat.pool_id
              WHERE seat.account_id = ?1 AND seat.license_type = ?2",
        );
        assert!(held[0].contains("seat_by_holder (account_id=? AND license_type=?)"), "{held:?}");
    }
}
