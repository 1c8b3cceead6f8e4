//! What `/metrics` shows of the database: read at a scrape, kept for some seconds, and never read twice at once, so that many
//! scrapers, or one that scrapes often, cost no more than one. A scrape does not wait long for a slow or locked database: it shows what is
//! known, and that it is old.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::admin::call_of_service;
use super::{Readiness, Service, State};
use crate::metrics::SparseLog;
use crate::metrics::gathered::{Seats, StoreCondition};
use crate::seats::Role;
use crate::store::admin::{self, seat_numbers};
use crate::store::{Condition, Fault};

/// How long a scrape waits for the database. Scrapers give up after 10 seconds.
const WAIT: Duration = Duration::from_secs(2);
/// How long numbers of seats are kept at least.
const SEATS_KEPT: Duration = Duration::from_secs(5);
/// They are kept for so many times as long as it took to read them, so that reading takes a hundredth of the time at most. After a read that
/// failed the next one waits only as long as that one took.
const SEATS_KEPT_FACTOR: u32 = 100;
/// But no longer than this.
const SEATS_KEPT_MAX: Duration = Duration::from_secs(60);
/// How long the condition of the store is kept.
const CONDITION_KEPT: Duration = Duration::from_secs(1);

/// See the module.
pub struct Gauges {
    service: Arc<Service>,
    /// Entities with numbers of their own.
    entities_max: usize,
    seats: Mutex<Turns>,
    condition: tokio::sync::Mutex<Option<Instant>>,
    log: Mutex<SparseLog>,
}

/// Whose turn it is to read the numbers of seats.
#[derive(Default)]
struct Turns {
    /// They need not be read before this.
    kept_until: Option<Instant>,
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    begun: Instant,
    /// Closed when it ends.
    ended: watch::Receiver<()>,
}

impl Gauges {
    /// `entities_max`: entities with numbers of their own, those with most seats first; 0: none.
    pub fn new(service: Arc<Service>, entities_max: usize) -> Arc<Gauges> {
        Arc::new(Gauges {
            service,
            entities_max,
            seats: Mutex::default(),
            condition: tokio::sync::Mutex::default(),
            log: Mutex::default(),
        })
    }

    /// Brings what `/metrics` shows of the database up to date. Takes three seconds at most; what cannot be read in this time stays as it is,
    /// and `seatkeeper_seats_read_success` is 0.
    pub async fn refresh(self: &Arc<Self>) {
        tokio::join!(self.refresh_condition(), self.refresh_seats());
    }

    /// All metrics of the service.
    pub fn metrics(&self) -> &crate::metrics::Metrics {
        &self.service.metrics
    }

    async fn refresh_condition(&self) {
        let mut read_at = self.condition.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < CONDITION_KEPT) {
            return;
        }
        // Takes three seconds at most.
        let readiness = self.service.readiness().await;
        let condition = self.service.store.condition().await;
        self.service.metrics.gathered.set_condition(shown(&condition, &readiness));
        *read_at = Some(Instant::now());
    }

    async fn refresh_seats(self: &Arc<Self>) {
        let Some(mut running) = self.seats_running() else { return };
        // An error says that it has ended.
        if timeout_at(running.begun + WAIT, running.ended.changed()).await.is_err() {
            self.service.metrics.gathered.seats_failed();
        }
    }

    /// The reading in progress, which is begun if it is time for that; `None`: the numbers are new enough.
    fn seats_running(self: &Arc<Self>) -> Option<Running> {
        let now = Instant::now();
        let mut turns = self.turns();
        if let Some(running) = &turns.running {
            return Some(running.clone());
        }
        if turns.kept_until.is_some_and(|until| now < until) {
            return None;
        }
        let (end, ended) = watch::channel(());
        let running = Running { begun: now, ended };
        turns.running = Some(running.clone());
        drop(turns);
        let gauges = Arc::clone(self);
        // A task of its own: a scraper that gives up does not end it.
        tokio::spawn(async move {
            // And another, so that a panic is a failure like others.
            let read = tokio::spawn(Arc::clone(&gauges).read_seats()).await;
            let read = read.unwrap_or_else(|panicked| Err(panicked.to_string()));
            let took = now.elapsed();
            let gathered = &gauges.service.metrics.gathered;
            let kept = match read {
                Ok(seats) => {
                    gathered.set_seats(seats);
                    took * SEATS_KEPT_FACTOR
                }
                Err(error) => {
                    gathered.seats_failed();
                    let mut log = gauges.log.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(before) = log.count(std::time::Instant::now()) {
                        tracing::warn!(error, left_out = before, "the numbers of seats for the metrics were not read");
                    }
                    // A read that failed has waited more than it worked, and the database may answer again soon.
                    took
                }
            };
            let mut turns = gauges.turns();
            turns.running = None;
            turns.kept_until = Some(Instant::now() + kept.clamp(SEATS_KEPT, SEATS_KEPT_MAX));
            drop(end);
        });
        Some(running)
    }

    async fn read_seats(self: Arc<Self>) -> Result<Seats, String> {
        let store = &*self.service.store;
        let call = call_of_service(store.corrected(Timestamp::now()));
        let entities_max = self.entities_max;
        let read =
            admin::read(store, call, Role::Reader, move |sql, admin| seat_numbers::read(sql, admin, entities_max));
        read.await.map_err(|error| error.to_string())?.map_err(|refusal| refusal.to_string())
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The condition of the store as the metrics have it.
fn shown(condition: &Condition, readiness: &Readiness) -> StoreCondition {
    let seconds = |at: Timestamp| at.as_millisecond() as f64 / 1000.0;
    StoreCondition {
        is_ready: readiness.state() != State::Fail,
        parts: readiness.checks.iter().map(|check| (check.part, check.state != State::Fail)).collect(),
        database_bytes: condition.database_bytes,
        wal_bytes: condition.wal_bytes,
        disk_free_bytes: condition.disk_free_bytes,
        oldest_transaction_s: condition.oldest_transaction.map(|age| age.as_secs_f64()),
        lock_held_s: condition.lock_held.map(|age| age.as_secs_f64()),
        has_verification_failed: condition.verification_failed,
        commit_failing_s: condition.commit_failed.map(|age| age.as_secs_f64()),
        fault: condition.fault.map(|fault| match fault {
            Fault::File => "file",
            Fault::Log => "log",
            Fault::Schema => "schema",
            Fault::Sync => "sync",
            Fault::Damaged(_) => "damaged",
        }),
        last_backup_s: condition.last_backup.map(seconds),
        last_check_s: condition.last_check.map(seconds),
    }
}
