//! What is known about callers, entities, accounts, holdings and pools: the reads that every decision begins with.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::seats::{Account, Held, LicenseType, Pool, Provider, Role, SeatId};
use crate::store::Actor;

/// What the audit calls somebody at the command line.
const COMMAND_LINE: &str = "cli";

pub(super) struct Caller {
    /// As the store spells it.
    pub(super) name: String,
    pub(super) role: Role,
    /// The root of the caller's subtree; `None` for the command line, which may reach everything.
    pub(super) entity_id: Option<i64>,
}

pub(super) fn caller(connection: &Connection, actor: &Actor) -> rusqlite::Result<Option<Caller>> {
    let proved = match actor {
        Actor::Credential(proved) => proved,
        Actor::Ticket(_) => unimplemented!(),
        Actor::CommandLine => {
            return Ok(Some(Caller { name: COMMAND_LINE.to_owned(), role: Role::Admin, entity_id: None }));
        }
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

pub(super) fn provider(
    connection: &Connection,
    id: impl Into<i64>,
    root: Option<i64>,
) -> rusqlite::Result<Option<Provider>> {
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

/// `root`: the caller's entity, under which the account must be to be theirs.
pub(super) fn account(
    connection: &Connection,
    username: Option<&str>,
    root: Option<i64>,
) -> rusqlite::Result<Option<Account>> {
    let Some(username) = username else { return Ok(None) };
    let row = connection
        .prepare_cached("SELECT id, active, entity_id FROM account WHERE username = ?1")?
        .query_row([username], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?)))
        .optional()?;
    let Some((id, active, entity_id)) = row else { return Ok(None) };
    let in_subtree = provider(connection, entity_id, root)?.is_some_and(|entity| entity.in_subtree);
    Ok(Some(Account { id, active, in_subtree }))
}

/// The seat of this type that an account holds.
pub(super) fn held(
    connection: &Connection,
    account: Option<Account>,
    license_type: Option<LicenseType>,
) -> rusqlite::Result<Option<Held>> {
    let (Some(account), Some(license_type)) = (account, license_type) else { return Ok(None) };
    connection
        .prepare_cached(HELD)?
        .query_row(params![account.id, license_type.name()], |row| {
            Ok(Held { seat: SeatId { pool_id: row.get(0)?, seat_no: row.get(1)? }, expires_at: time(row, 2)? })
        })
        .optional()
}

const HELD: &str = "
    SELECT seat.pool_id, seat.seat_no, license_pool.expires_at
      FROM seat INDEXED BY seat_by_holder CROSS JOIN license_pool ON license_pool.id = seat.pool_id
     WHERE seat.account_id = ?1 AND seat.license_type = ?2";

/// The pools that have not expired, each with a free seat; if there is none, the one that expired last.
pub(super) fn pools(
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

/// The last day of year 9999, which many a system writes for "never", is later than any [`Timestamp`].
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(index)?.as_str_or_null()? {
        None => Ok(None),
        Some(text) if text >= "9999-12-30T22:00:00Z" => Ok(Some(Timestamp::MAX)),
        Some(_) => parse(row, index).map(Some),
    }
}

/// A text column whose CHECK constraint holds it to what `T` can read.
pub(super) fn parse<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
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

    /// Every statement an assignment runs is a search by key. The free seat comes from the partial index, and what a user
    /// holds from the user's, also with statistics of a database whose one pool has all the seats.
    #[test]
    fn plans_are_searches_and_the_free_seat_comes_from_its_index() {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch(super::super::SCHEMA).expect("schema");
        let plan = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepare");
            let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<_, _>>();
            rows.expect("plan")
        };
        // Without statistics the planner would take the primary key, and walk past every taken seat.
        let free_seat = "SEARCH seat USING INDEX seat_free (pool_id=?)".to_owned();
        let open_pools = plan(OPEN_POOLS);
        assert!(open_pools.contains(&free_seat), "{open_pools:?}");
        for line in open_pools {
            assert!(!line.starts_with("SCAN") && !line.contains("TEMP B-TREE"), "{line}");
        }
        assert_eq!(plan(HELD)[1], "SEARCH license_pool USING INTEGER PRIMARY KEY (rowid=?)");

        connection
            .execute_batch(
                "INSERT INTO entity (id, name) VALUES (1, 'a');
                 INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 1, 'SqlBackup', 20000);
                 ANALYZE;",
            )
            .expect("a full pool's statistics");
        // The table of pools, which now has one row, may rightly be read whole.
        let open_pools = plan(OPEN_POOLS);
        assert!(open_pools.contains(&free_seat), "{open_pools:?}");
        let held = plan(HELD);
        assert!(held[0].contains("seat_by_holder (account_id=? AND license_type=?)"), "{held:?}");
    }
}
