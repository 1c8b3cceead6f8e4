//! Pools and holders: the calls that only read. The whole answer of each was true at one moment.

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::facts::{
    Proof, caller, caller_by_password, caller_by_session, caller_by_ticket, caller_of_command_line, entity, is_below,
};
use super::facts::{is_set, of_caller, parse};
use super::stop::Stop;
use crate::seats::{self, Entity, Role};
use crate::store::postgres::session::{Parameter, Session, Sql, time, to_time};
use crate::store::spool::Spool;
use crate::store::{Call, Holder, HoldersRequest, PoolUse, StoreError};

/// The pools of an entity, for a caller that may see it. One statement.
pub(crate) async fn pools(session: &Session, call: &Call, entity_id: Option<i32>) -> Result<Vec<PoolUse>, Stop> {
    let proof = Proof::of(call);
    let values: [Parameter<'_>; 4] = [&proof.name, &proof.secret, &to_time(call.now), &entity_id];
    let rows = session.rows(&VISIBLE[proof.kind as usize], &values).await?;
    let (mut role, mut found) = (None, None);
    if let Some(row) = rows.first() {
        role = Some(parse::<Role>(row, 0)?);
        if let Some(in_subtree) = row.try_get(2)? {
            found = Some(Entity { active: is_set(row, 1)?, in_subtree });
        }
    }
    seats::look(role, "EntityId", entity_id, found)?;
    rows.iter().filter_map(|row| to_pool(row, 3).transpose()).collect()
}

/// All pools of an entity, in the columns that [`to_pool`] reads. The events that are not chained yet are read once for all of them.
macro_rules! pools_of {
    ($entity_id:literal) => {
        concat!(
            "SELECT pool.id, pool.license_type, pool.seats_total, pool.seats_in_use + coalesce(since.delta, 0) AS seats_in_use,
                    greatest(pool.seats_in_use_max, pool.seats_in_use + coalesce(since.delta, 0)) AS seats_in_use_max,
                    pool.starts_at, pool.expires_at, pool.events + coalesce(since.events, 0) AS events
               FROM license_pool AS pool
               LEFT JOIN (SELECT pool_id, sum(delta)::integer AS delta, count(*) AS events
                            FROM audit_pending JOIN license_pool ON license_pool.id = pool_id
                           WHERE entity_id = ",
            $entity_id,
            " GROUP BY pool_id) AS since ON since.pool_id = pool.id
              WHERE pool.entity_id = ",
            $entity_id
        )
    };
}

/// The caller's role, the entity, and its pools in the columns that [`to_pool`] reads, a row for each pool. One row without a
/// pool if there is none, or if the caller may not see the entity.
pub(crate) static VISIBLE: [Sql; 4] = of_caller!(
    &[Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::INT4],
    ", looked_at AS MATERIALIZED (
        SELECT entity.id, entity.active, ",
    is_below!("entity.id", "caller.entity_id"),
    " AS in_subtree FROM caller JOIN entity ON entity.id = $4)
    SELECT caller.role, looked_at.active, looked_at.in_subtree, pool.*
      FROM caller
      LEFT JOIN looked_at ON true
      LEFT JOIN (",
    pools_of!("(SELECT id FROM looked_at WHERE in_subtree)"),
    ") AS pool ON true
     WHERE $3 IS NOT NULL ORDER BY pool.id"
);

/// All pools of an entity, each with the number of its events.
pub(crate) async fn pools_of(session: &Session, entity_id: i32) -> Result<Vec<(PoolUse, i64)>, Stop> {
    let rows = session.rows(&POOLS, &[&entity_id]).await?;
    let with_events = |row: &Row| to_pool(row, 0)?.map(|pool| Ok((pool, row.try_get(7)?))).transpose();
    rows.iter().filter_map(|row| with_events(row).transpose()).collect()
}

pub(crate) const POOLS: Sql = Sql { text: concat!(pools_of!("$1"), " ORDER BY pool.id"), types: &[Type::INT4] };

/// `None`: the row has no pool.
fn to_pool(row: &Row, first: usize) -> Result<Option<PoolUse>, Stop> {
    let Some(id) = row.try_get(first)? else { return Ok(None) };
    Ok(Some(PoolUse {
        id,
        license_type: parse(row, first + 1)?,
        seats_total: row.try_get(first + 2)?,
        seats_in_use: row.try_get(first + 3)?,
        seats_in_use_max: row.try_get(first + 4)?,
        starts_at: time(row, first + 5)?,
        expires_at: time(row, first + 6)?,
    }))
}

/// The holders in one page.
const PAGE: usize = 500;
/// The time limit for reading a list, which holds a snapshot of the database, so that dead rows cannot be removed meanwhile.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads all holders of seats into `spool`, page by page. In a transaction with one snapshot.
pub(crate) async fn holders(
    session: &Session,
    call: &Call,
    request: &HoldersRequest,
    mut spool: Spool,
) -> Result<Spool, Stop> {
    let caller = caller(session, call).await?;
    let found = match (&caller, request.entity_id) {
        (Some(caller), Some(id)) => entity(session, id, caller.entity_id).await?,
        _ => None,
    };
    let entity_id = seats::look(caller.map(|caller| caller.role), "EntityId", request.entity_id, found)?;
    let begun = Instant::now();
    let sql = if request.child_accounts_only { &OF_CHILDREN } else { &OF_SUBTREE };
    let cursor = session.cursor(sql, &[&entity_id], PAGE).await?;
    loop {
        let rows = cursor.next().await?;
        let holder = |row: &Row| Ok(Holder { username: row.try_get(0)?, license_type: parse(row, 1)? });
        let page = rows.iter().map(holder).collect::<Result<Vec<_>, Stop>>()?;
        if page.is_empty() {
            cursor.close().await?;
            return Ok(spool);
        }
        spool.push(&page)?;
        if begun.elapsed() > SNAPSHOT_TIMEOUT {
            return Err(StoreError::Failed("the list of holders took too long to read".to_owned()).into());
        }
    }
}

/// UNION ends even in a cycle.
pub(crate) const OF_SUBTREE: Sql = Sql {
    text: "WITH RECURSIVE provider (id) AS (
               SELECT $1::integer UNION SELECT entity.id FROM entity JOIN provider ON entity.parent_id = provider.id)
           SELECT username, license_type
             FROM provider JOIN account ON account.entity_id = provider.id JOIN seat ON seat.account_id = account.id",
    types: &[Type::INT4],
};

pub(crate) const OF_CHILDREN: Sql = Sql {
    text: "SELECT username, license_type
             FROM entity JOIN account ON account.entity_id = entity.id JOIN seat ON seat.account_id = account.id
            WHERE entity.id = $1 OR entity.parent_id = $1",
    types: &[Type::INT4],
};
