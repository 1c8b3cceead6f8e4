//! Chains the history behind the calls: each node has a thread for it, and only the node with the lease works.
//!
//! Calls write events in no order but that of their ids, with a row of `audit_pending` for each. The node with the lease takes
//! the waiting events, in one transaction each time, and gives them places in the chain; it also updates the numbers of pools. No
//! call waits for it: the numbers of a pool are those at the end of the chain plus those of the waiting events.
//!
//! The thread has its own connection and runtime, so that calls and chaining never wait for each other.

pub(in crate::store::postgres) mod batch;
pub(in crate::store::postgres) mod event;
pub(in crate::store::postgres) mod rollup;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Error;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::connect::{Purpose, TimeLimits, connect};
use super::known::Known;
use super::meaning::{Meaning, meaning, text};
use super::server::Server;
use super::session::{Parameter, Session, Sql};
use crate::metrics::{Metrics, SparseLog};
use batch::{Done, Memory};

/// How long the lease lasts if it is not renewed: for that long nothing is chained after its node has vanished.
const LEASE: Duration = Duration::from_secs(5);
/// How often its holder renews it, when no batch does, and other nodes check whether it has ended.
const LEASE_LOOK: Duration = Duration::from_secs(1);
/// The pause after a batch, in which events gather for the next one.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The pause after finding no event; it doubles up to the second value.
const IDLE_PAUSES: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(250)];
/// The pause after a lost connection; it doubles up to the second value.
const LOST_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// How often a node measures the waiting events.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// How long the events of a locked pool are skipped.
const LOCKED_FOR: Duration = Duration::from_millis(500);
/// Chained events leave dead rows in `audit_pending`, which every reader of the numbers has to skip. After this many of them they
/// are vacuumed; autovacuum runs only once a minute.
const VACUUM_AFTER: u64 = 20_000;
/// The interval for a few dead rows.
const VACUUM_EVERY: Duration = Duration::from_secs(60);

/// The time limit of one turn: looking, chaining and vacuuming. Otherwise the thread would wait for a silent connection without
/// end, even after another server has taken over.
const TURN: Duration = Duration::from_secs(60);
/// How long a turn may continue after the store was closed. The lease ends by itself.
const CLOSE: Duration = Duration::from_secs(5);

/// A batch takes some milliseconds. A statement that hangs, or waits for a lock, must not keep the lease.
const LIMITS: TimeLimits = TimeLimits {
    statement: Duration::from_secs(30),
    lock: Duration::from_secs(2),
    idle_in_transaction: Duration::from_secs(5),
};

/// The thread. Dropping it leaves it running; see [`Chainer::close`].
pub(super) struct Chainer {
    is_closed: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Chainer {
    pub(super) fn start(server: Server, known: Arc<Known>, metrics: Arc<Metrics>) -> std::io::Result<Chainer> {
        let (is_closed, closed) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let node = Node {
            server,
            known,
            metrics,
            // Unique for each node; the process id is for administrators.
            holder: format!("process {}, {}", std::process::id(), Uuid::new_v4()),
            holds: false,
            is_busy: false,
            memory: Memory::default(),
            vacuum: Vacuum::default(),
        };
        let thread = std::thread::Builder::new()
            .name("store-chain".to_owned())
            .spawn(move || runtime.block_on(node.run(closed)))?;
        Ok(Chainer { is_closed, thread: Mutex::new(Some(thread)) })
    }

    /// Gives up the lease and ends the thread.
    pub(super) fn close(&self) {
        self.is_closed.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread that chains events panicked");
        }
    }
}

struct Node {
    server: Server,
    known: Arc<Known>,
    metrics: Arc<Metrics>,
    holder: String,
    /// Whether this node had the lease when it last looked. Its work depends on the locked row, not on this.
    holds: bool,
    /// Whether the last look found events.
    is_busy: bool,
    memory: Memory,
    vacuum: Vacuum,
}

/// Waits, unless the store is closed meanwhile; returns whether it was closed.
async fn pause(closed: &mut watch::Receiver<bool>, length: Duration) -> bool {
    let is_closed = closed.wait_for(|is_closed| *is_closed);
    // The sender is gone only with the store.
    tokio::time::timeout(length, is_closed).await.is_ok()
}

/// Waits until the store has been closed for [`CLOSE`].
async fn long_closed(closed: &mut watch::Receiver<bool>) {
    // The sender is gone only with the store.
    let _ = closed.wait_for(|is_closed| *is_closed).await;
    tokio::time::sleep(CLOSE).await;
}

/// The times of the last actions on one connection.
struct Last {
    /// The pause after the next look without events.
    idle_pause: Duration,
    looked: Option<Instant>,
    measured: Option<Instant>,
    locked: Option<Instant>,
}

impl Node {
    async fn run(mut self, mut closed: watch::Receiver<bool>) {
        let mut log = SparseLog::default();
        let mut lost_pause = LOST_PAUSES[0];
        loop {
            let connected = tokio::select! {
                connected = connect(&self.server, Purpose::Write, &LIMITS) => connected,
                _ = closed.wait_for(|is_closed| *is_closed) => return,
            };
            let failed = match connected {
                Ok((connection, seen)) => {
                    self.known.clock(&seen);
                    let session = Session::alone(connection);
                    let begun = Instant::now();
                    let Err(reason) = self.work(&session, &mut closed).await else { return };
                    if begun.elapsed() > LOST_PAUSES[1] {
                        lost_pause = LOST_PAUSES[0];
                    }
                    reason
                }
                Err(reason) => reason,
            };
            if let Some(left_out) = log.count(Instant::now()) {
                tracing::warn!(left_out, "the history is not chained at the moment: {failed}; trying again");
            }
            if pause(&mut closed, lost_pause).await {
                return;
            }
            lost_pause = (lost_pause * 2).min(LOST_PAUSES[1]);
        }
    }

    /// Works until the store is closed, or the connection fails.
    async fn work(&mut self, session: &Session, closed: &mut watch::Receiver<bool>) -> Result<(), String> {
        let mut last = Last { idle_pause: IDLE_PAUSES[0], looked: None, measured: None, locked: None };
        loop {
            let turn = tokio::time::timeout(TURN, self.turn(session, &mut last));
            let length = tokio::select! {
                turn = turn => match turn {
                    Ok(length) => length.map_err(|error| text(&error))?,
                    Err(_) => return Err(format!("the server did not answer within {} s", TURN.as_secs())),
                },
                () = long_closed(closed) => return Ok(()),
            };
            if pause(closed, length).await {
                if self.holds {
                    let holder: [Parameter<'_>; 1] = [&self.holder];
                    // The lease ends by itself.
                    let _ = tokio::time::timeout(CLOSE, self.change_lease(session, &GIVE_UP_LEASE, &holder)).await;
                }
                return Ok(());
            }
        }
    }

    /// Does the due actions; returns how long to wait then.
    async fn turn(&mut self, session: &Session, last: &mut Last) -> Result<Duration, Error> {
        let is_due = |last: Option<Instant>, after: Duration| last.is_none_or(|last| last.elapsed() >= after);
        if is_due(last.measured, MEASURE_EVERY) {
            last.measured = Some(Instant::now());
            self.measure(session).await?;
        }
        if is_due(last.looked, LEASE_LOOK) {
            last.looked = Some(Instant::now());
            self.look_at_lease(session).await?;
        }
        if is_due(last.locked, LOCKED_FOR) {
            last.locked = Some(Instant::now());
            self.memory.locked.clear();
        }
        Ok(match self.chain(session).await? {
            Done::Chained { events, is_full } => {
                self.metrics.chained_events.inc_by(events);
                last.looked = Some(Instant::now());
                self.vacuum.chained(session, events).await?;
                last.idle_pause = IDLE_PAUSES[0];
                if is_full { Duration::ZERO } else { BUSY_PAUSE }
            }
            Done::Again => Duration::from_millis(1),
            Done::Nothing => {
                self.vacuum.idle(session).await?;
                let length = last.idle_pause;
                last.idle_pause = (length * 2).min(IDLE_PAUSES[1]);
                length
            }
            Done::NotHolder => LEASE_LOOK,
        })
    }

    /// Chains a batch, if this node has the lease and events wait.
    async fn chain(&mut self, session: &Session) -> Result<Done, Error> {
        if !self.holds {
            return Ok(Done::NotHolder);
        }
        // After a batch more events are likely; a look costs a round trip.
        let is_idle = !std::mem::take(&mut self.is_busy);
        if is_idle && !session.row(&SOMETHING_WAITS, &[]).await?.try_get::<_, bool>(0)? {
            return Ok(Done::Nothing);
        }
        match batch::chain(session, &self.holder, &mut self.memory).await {
            Ok(done) => {
                self.holds = done != Done::NotHolder;
                self.is_busy = matches!(done, Done::Chained { .. });
                Ok(done)
            }
            // Another session holds a needed row for longer than we wait: most likely the row of the lease.
            Err(error) if matches!(meaning(&error), Meaning::Conflict | Meaning::Locked | Meaning::Stale) => {
                session.roll_back().await?;
                Ok(Done::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// Renews the lease, or takes it if it has ended.
    async fn look_at_lease(&mut self, session: &Session) -> Result<(), Error> {
        let held = self.holds;
        let row = session.row_opt(&LEASE_OF, &[&self.holder, &LEASE.as_secs_f64()]).await?;
        let (is_ours, has_ended) = match row {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (false, false),
        };
        self.holds = match is_ours || has_ended {
            true => self.change_lease(session, &TAKE_LEASE, &[&self.holder, &LEASE.as_secs_f64()]).await?,
            false => false,
        };
        match (held, self.holds) {
            (false, true) => tracing::info!("this node chains the history now"),
            (true, false) => tracing::info!("another node chains the history now"),
            _ => {}
        }
        Ok(())
    }

    /// Returns whether the lease was changed.
    async fn change_lease(&self, session: &Session, change: &Sql, parameters: &[Parameter<'_>]) -> Result<bool, Error> {
        batch::begin_as_service(session).await?;
        match session.execute(change, parameters).await {
            Ok(rows) => Ok(session.commit().await? && rows > 0),
            // Another node is chaining.
            Err(error) if matches!(meaning(&error), Meaning::Conflict | Meaning::Locked | Meaning::Stale) => {
                session.roll_back().await.map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    async fn measure(&self, session: &Session) -> Result<(), Error> {
        let row = session.row(&MEASURE, &[]).await?;
        self.metrics.unchained_events.set(row.try_get(0)?);
        self.metrics.unchained_seconds.set(row.try_get::<_, Option<f64>>(1)?.unwrap_or(0.0).max(0.0));
        Ok(())
    }
}

const SOMETHING_WAITS: Sql = Sql { text: "SELECT EXISTS (SELECT 1 FROM audit_pending)", types: &[] };

/// The number of waiting events, and the age of the one with the lowest id in seconds.
const MEASURE: Sql = Sql {
    text: "SELECT events, extract(epoch FROM clock_timestamp() - (SELECT at FROM audit_event WHERE id = first))::float8
             FROM (SELECT count(*) AS events, min(event_id) AS first FROM audit_pending) AS waiting",
    types: &[],
};

/// `$2`: how long a lease lasts, in seconds. A longer lease comes from a server whose clock was ahead of this one's.
macro_rules! lease_has_ended {
    () => {
        "(held_until < clock_timestamp() OR held_until > clock_timestamp() + $2 * interval '1 second')"
    };
}

const LEASE_OF: Sql = Sql {
    text: concat!("SELECT holder = $1, ", lease_has_ended!(), " FROM chain_lease WHERE id = 1"),
    types: &[Type::TEXT, Type::FLOAT8],
};

const TAKE_LEASE: Sql = Sql {
    text: concat!(
        "UPDATE chain_lease SET holder = $1, held_until = clock_timestamp() + $2 * interval '1 second'
          WHERE id = 1 AND (holder = $1 OR ",
        lease_has_ended!(),
        ")"
    ),
    types: &[Type::TEXT, Type::FLOAT8],
};

const GIVE_UP_LEASE: Sql =
    Sql { text: "UPDATE chain_lease SET held_until = '-infinity' WHERE id = 1 AND holder = $1", types: &[Type::TEXT] };

/// Keeps `audit_pending` small.
#[derive(Default)]
struct Vacuum {
    /// Events since the last vacuum.
    events: u64,
    last: Option<Instant>,
}

impl Vacuum {
    async fn chained(&mut self, session: &Session, events: u64) -> Result<(), Error> {
        self.events += events;
        if self.events >= VACUUM_AFTER { self.run(session).await } else { Ok(()) }
    }

    async fn idle(&mut self, session: &Session) -> Result<(), Error> {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= VACUUM_EVERY);
        if self.events > 0 && is_due { self.run(session).await } else { Ok(()) }
    }

    async fn run(&mut self, session: &Session) -> Result<(), Error> {
        *self = Vacuum { events: 0, last: Some(Instant::now()) };
        match session.batch("VACUUM (SKIP_LOCKED) audit_pending").await {
            Err(error) if meaning(&error) != Meaning::Lost => {
                tracing::debug!("audit_pending was not vacuumed: {}", text(&error));
                Ok(())
            }
            done => done,
        }
    }
}
