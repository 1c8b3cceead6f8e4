//! One transaction that chains events: it takes waiting events, appends them to the chain, and updates the numbers of their
//! pools.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::LEASE;
use super::event::{self, event_columns};
use super::rollup::{Changes, Counters};
use crate::chain::{Hash, Link};
use crate::store::postgres::session::{Parameter, Session, Sql};

/// The most events chained in one transaction.
pub(super) const EVENTS_MAX: i64 = 5_000;
/// The most bytes of stored values in one transaction; a single event may have more.
const BYTES_MAX: i64 = 8 << 20;

/// The result of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    Chained {
        events: u64,
        /// The batch was full: most likely more events wait.
        is_full: bool,
    },
    /// No waiting event can be chained now.
    Nothing,
    /// Another node has the lease.
    NotHolder,
    /// A pool was just deleted; the next try sees that.
    Again,
}

/// The state carried from one transaction to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Pools that another session has locked. Their events wait for its commit; events of other pools do not.
    pub locked: Vec<i64>,
    /// How many times in a row events were left for the next try.
    again: u32,
}

/// How often the events of a missing pool are left for the next try, which should see its deletion. After that they are chained
/// anyway.
const AGAIN_MAX: u32 = 3;

/// Chains events if `holder` has the lease. The lease's row stays locked until the commit, so no other node chains meanwhile,
/// whatever the clock.
pub(super) async fn chain(session: &Session, holder: &str, memory: &mut Memory) -> Result<Done, Error> {
    begin_as_service(session).await?;
    let done = chain_in_transaction(session, holder, memory).await?;
    if matches!(done, Done::Chained { .. }) {
        // A failed statement that was ignored has rolled back everything.
        if !session.commit().await? {
            return Ok(Done::Again);
        }
        memory.again = 0;
        return Ok(done);
    }
    if done == Done::Again {
        memory.again += 1;
    }
    session.roll_back().await?;
    Ok(done)
}

/// Begins a transaction that may write the service's own tables: the guards check this setting before each statement.
pub(super) async fn begin_as_service(session: &Session) -> Result<(), Error> {
    let service = "SET LOCAL seatkeeper.service = 'on'";
    let (begun, set) = tokio::join!(session.begin(), session.batch(service));
    begun.and(set)
}

async fn chain_in_transaction(session: &Session, holder: &str, memory: &mut Memory) -> Result<Done, Error> {
    if session.row_opt(&HOLD, &[&holder, &LEASE.as_secs_f64()]).await?.is_none() {
        return Ok(Done::NotHolder);
    }
    // Independent statements are sent together: each round trip delays the chaining by some milliseconds.
    let parameters: [Parameter<'_>; 3] = [&EVENTS_MAX, &BYTES_MAX, &memory.locked];
    let (end, rows) = tokio::join!(End::read(session), session.rows(&WAITING, &parameters));
    let (end, rows) = (end?, rows?);
    let mut touched: Vec<i64> = Vec::new();
    for row in &rows {
        touched.extend(row.try_get::<_, Option<i64>>(OF_POOL)?);
    }
    touched.sort_unstable();
    touched.dedup();
    let pools = Pools::lock(session, touched).await?;
    memory.locked.extend(&pools.locked);

    let mut batch = Batch::begin(end.link);
    for row in &rows {
        let is_locked = row.try_get::<_, Option<i64>>(OF_POOL)?.is_some_and(|pool| pools.locked.contains(&pool));
        if !is_locked {
            batch.add(row)?;
        }
    }
    if batch.taken.is_empty() {
        return Ok(Done::Nothing);
    }
    let Some(numbers) = pools.numbers(&batch.changes, memory.again < AGAIN_MAX) else { return Ok(Done::Again) };
    let roll_up = async {
        let Numbers { ids, in_use, most, event_ids, events } = &numbers;
        if ids.is_empty() {
            return Ok(0);
        }
        session.execute(&ROLL_UP, &[ids, in_use, most, event_ids, events]).await
    };
    let append = async {
        if batch.ids.is_empty() {
            return Ok(0);
        }
        session.execute(&APPEND, &[&end.next_place, &batch.ids, &batch.hashes]).await
    };
    let take = async { session.execute(&TAKE, &[&batch.taken]).await };
    let (taken, rolled_up, appended) = tokio::join!(take, roll_up, append);
    rolled_up.and(appended)?;
    if taken? != batch.taken.len() as u64 {
        // The owner of the tables removed some by hand: the next try sees the rest.
        return Ok(Done::Again);
    }
    Ok(Done::Chained { events: batch.ids.len() as u64, is_full: rows.len() as i64 == EVENTS_MAX })
}

/// Renews the lease, and locks its row.
const HOLD: Sql = Sql {
    text: "UPDATE chain_lease SET held_until = clock_timestamp() + $2 * interval '1 second' WHERE id = 1 AND holder = $1 RETURNING id",
    types: &[Type::TEXT, Type::FLOAT8],
};

/// The waiting events, lowest ids first. One statement sees no event without its causes: an event that depends on another has a
/// higher id, and is never visible before it.
const WAITING: Sql = Sql {
    text: concat!(
        "SELECT event_id, of_pool, delta, ",
        event_columns!(),
        " FROM (SELECT event_id, of_pool, delta, ",
        event_columns!(),
        ",            sum(coalesce(pg_column_size(e.old_values), 0) + coalesce(pg_column_size(e.new_values), 0))
                          OVER (ORDER BY event_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
                 FROM (SELECT event_id, pool_id AS of_pool, delta FROM audit_pending
                        WHERE pool_id IS NULL OR NOT pool_id = ANY ($3) ORDER BY event_id LIMIT $1) AS waiting
                 LEFT JOIN audit_event AS e ON e.id = event_id) AS e
          WHERE bytes_before IS NULL OR bytes_before < $2
          ORDER BY event_id"
    ),
    types: &[Type::INT8, Type::INT8, Type::INT8_ARRAY],
};
/// Its columns.
const OF_POOL: usize = 1;
const DELTA: usize = 2;
const EVENT: usize = 3;

/// Only this deletes these rows. They have no index, so all of them are read once.
const TAKE: Sql = Sql {
    text: "DELETE FROM audit_pending WHERE event_id IN (SELECT unnest($1::bigint[]))",
    types: &[Type::INT8_ARRAY],
};

const APPEND: Sql = Sql {
    text: "INSERT INTO audit_chain (first_place, event_ids, hashes) VALUES ($1, $2, $3)",
    types: &[Type::INT8, Type::INT8_ARRAY, Type::BYTEA],
};

const ROLL_UP: Sql = Sql {
    text: "UPDATE license_pool AS pool
              SET seats_in_use = new.seats_in_use, seats_in_use_max = new.seats_in_use_max, event_id = new.event_id, events = new.events
             FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[])
                  AS new (id, seats_in_use, seats_in_use_max, event_id, events)
            WHERE pool.id = new.id",
    types: &[Type::INT8_ARRAY, Type::INT4_ARRAY, Type::INT4_ARRAY, Type::INT8_ARRAY, Type::INT8_ARRAY],
};

/// The end of the chain.
pub(in crate::store::postgres) struct End {
    /// The newest chained event.
    pub link: Option<Link>,
    /// The place of the next event.
    pub next_place: i64,
}

impl End {
    pub(in crate::store::postgres) async fn read(session: &Session) -> Result<End, Error> {
        let Some(row) = session.row_opt(&NEWEST, &[]).await? else { return Ok(End { link: None, next_place: 1 }) };
        let hash = Hash::try_from(row.try_get::<_, &[u8]>(1)?).unwrap_or_default();
        let link = Link { event: row.try_get(0)?, hash };
        Ok(End { link: Some(link), next_place: row.try_get(2)? })
    }
}

const NEWEST: Sql = Sql {
    text: "SELECT event_ids[cardinality(event_ids)], substring(hashes FROM length(hashes) - 31), first_place + cardinality(event_ids)
             FROM audit_chain ORDER BY first_place DESC LIMIT 1",
    types: &[],
};

/// Events on their way into the chain.
struct Batch {
    link: Option<Link>,
    ids: Vec<i64>,
    hashes: Vec<u8>,
    changes: Changes,
    /// The events that no longer have to wait.
    taken: Vec<i64>,
}

impl Batch {
    fn begin(link: Option<Link>) -> Batch {
        Batch { link, ids: Vec::new(), hashes: Vec::new(), changes: Changes::new(), taken: Vec::new() }
    }

    fn add(&mut self, row: &Row) -> Result<(), Error> {
        let event_id = row.try_get(0)?;
        self.taken.push(event_id);
        let mut at = String::new();
        let mut action = "";
        // The owner of the tables may have removed the event; its waiting row still counts.
        if row.try_get::<_, Option<i64>>(EVENT)?.is_some() {
            let event = event::read(row, EVENT, &mut at)?;
            action = std::str::from_utf8(event.action).unwrap_or_default();
            let link = Link::next(self.link.as_ref(), &event);
            self.ids.push(event_id);
            self.hashes.extend_from_slice(&link.hash);
            self.link = Some(link);
        }
        if let Some(pool_id) = row.try_get(OF_POOL)? {
            let delta = row.try_get::<_, i32>(DELTA)?.into();
            self.changes.entry(pool_id).or_default().add(event_id, action, delta);
        }
        Ok(())
    }
}

/// The pools of a batch, locked until it commits.
struct Pools {
    now: Vec<(i64, Counters)>,
    /// Pools locked by other sessions.
    locked: HashSet<i64>,
}

/// New numbers of pools, as one array per column.
#[derive(Default)]
struct Numbers {
    ids: Vec<i64>,
    in_use: Vec<i32>,
    most: Vec<i32>,
    event_ids: Vec<Option<i64>>,
    events: Vec<i64>,
}

impl Pools {
    async fn lock(session: &Session, touched: Vec<i64>) -> Result<Pools, Error> {
        let mut pools = Pools { now: Vec::new(), locked: HashSet::new() };
        if touched.is_empty() {
            return Ok(pools);
        }
        for row in session.rows(&LOCK, &[&touched]).await? {
            let (in_use, most): (i32, i32) = (row.try_get(1)?, row.try_get(2)?);
            let counters = Counters {
                in_use: in_use.into(),
                most: most.into(),
                event_id: row.try_get(3)?,
                events: row.try_get(4)?,
            };
            pools.now.push((row.try_get(0)?, counters));
        }
        let has = |id: &i64| pools.now.binary_search_by_key(id, |(id, _)| *id).is_ok();
        let others: Vec<i64> = touched.into_iter().filter(|id| !has(id)).collect();
        if !others.is_empty() {
            for row in session.rows(&THERE, &[&others]).await? {
                pools.locked.insert(row.try_get(0)?);
            }
        }
        Ok(pools)
    }

    /// The numbers after the changes. `None`: one of the pools was deleted meanwhile, and may have been created again; without
    /// `is_choosy` that is ignored.
    fn numbers(&self, changes: &Changes, is_choosy: bool) -> Option<Numbers> {
        let mut numbers = Numbers::default();
        for (id, change) in changes.iter().filter(|(_, change)| !change.is_gone()) {
            let now = self.now.binary_search_by_key(id, |(id, _)| *id).ok().map(|at| self.now[at].1);
            let is_choosable = now.is_some_and(|now| change.fits(&now));
            if !is_choosable && is_choosy {
                return None;
            }
            let Some(now) = now else { continue };
            let after = change.applied_to(now);
            numbers.ids.push(*id);
            numbers.in_use.push(i32::try_from(after.in_use).unwrap_or(i32::MAX));
            numbers.most.push(i32::try_from(after.most).unwrap_or(i32::MAX));
            numbers.event_ids.push(after.event_id);
            numbers.events.push(after.events);
        }
        Some(numbers)
    }
}

const LOCK: Sql = Sql {
    text:
        "SELECT id, seats_in_use, seats_in_use_max, event_id, events FROM license_pool WHERE id = ANY ($1) ORDER BY id
              FOR NO KEY UPDATE SKIP LOCKED",
    types: &[Type::INT8_ARRAY],
};

const THERE: Sql = Sql { text: "SELECT id FROM license_pool WHERE id = ANY ($1)", types: &[Type::INT8_ARRAY] };
