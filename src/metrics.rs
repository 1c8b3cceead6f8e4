//! Metrics for operators: counters and histograms, served in OpenMetrics text on their own listener; and a limit on how often the
//! log repeats a line ([`SparseLog`]).

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// An operation and its outcome: `code` is the `Code` of the answer ("Success", "NoFreeSeat", …) or "Fault".
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    pub operation: &'static str,
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabels {
    pub lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

/// All metrics. Cheap to update from any thread; made once and shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Calls by operation and code.
    pub calls: Family<CallLabels, Counter>,
    /// Outcomes of credential checks: `remembered`, `verified`, `wrong`, `throttled`, `throttled_name`, `busy`.
    pub sign_ins: Family<OutcomeLabels, Counter>,
    /// The cost of all password checks: memory in KiB times passes.
    pub sign_in_work_kib: Counter,
    /// Password checks that wait for their turn: of user names that signed in before from the same address (`known`), and all
    /// others (`other`).
    pub sign_ins_waiting: Family<LaneLabels, Gauge>,
    /// Calls that shared one commit.
    pub group_calls: Histogram,
    /// From the beginning of a group's transaction until its commit is durable.
    pub commit_seconds: Histogram,
    /// Calls refused because the store's queue was full.
    pub queue_refused: Counter,
    /// Groups that failed as a whole: they changed nothing, or it is unknown whether they did.
    pub groups_failed: Counter,
    /// End of the last verification of the database that found no error, in seconds since 1970.
    pub verified_at_seconds: Gauge<f64, AtomicU64>,
    /// Its duration.
    pub verification_seconds: Gauge<f64, AtomicU64>,
    /// Events that this node has chained. On PostgreSQL only.
    pub chained_events: Counter,
    /// Events that are not chained yet, and the age of the oldest of them. On PostgreSQL only.
    pub unchained_events: Gauge,
    pub unchained_seconds: Gauge<f64, AtomicU64>,
    /// Retries of named calls that got the answer of the first try.
    pub replays: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections refused because the `service` or the `client` had too many.
    pub connections_refused: Family<ReasonLabels, Counter>,
    /// Failed attempts to accept a connection, mostly for lack of file descriptors.
    pub accepts_failed: Counter,
    /// Requests refused because bodies used all the memory allowed for them.
    pub bodies_refused: Counter,
    /// Refusals that were not noted for administrators: more came than are written, or they could not be written.
    pub notes_left_out: Counter,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("seatkeeper"),
            calls: Family::default(),
            sign_ins: Family::default(),
            sign_in_work_kib: Counter::default(),
            sign_ins_waiting: Family::default(),
            group_calls: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 14)),
            queue_refused: Counter::default(),
            groups_failed: Counter::default(),
            verified_at_seconds: Gauge::default(),
            verification_seconds: Gauge::default(),
            chained_events: Counter::default(),
            unchained_events: Gauge::default(),
            unchained_seconds: Gauge::default(),
            replays: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
            accepts_failed: Counter::default(),
            bodies_refused: Counter::default(),
            notes_left_out: Counter::default(),
        };
        let r = &mut metrics.registry;
        r.register("calls", "Calls answered, by operation and code", metrics.calls.clone());
        r.register("sign_ins", "Credential checks, by outcome", metrics.sign_ins.clone());
        r.register("sign_in_work_kib", "Password checks: KiB of memory times passes", metrics.sign_in_work_kib.clone());
        r.register("sign_ins_waiting", "Password checks that wait, by lane", metrics.sign_ins_waiting.clone());
        r.register("store_group_calls", "Calls that shared one commit", metrics.group_calls.clone());
        r.register_with_unit(
            "store_commit",
            "Time from the beginning of a group until its commit was durable",
            Unit::Seconds,
            metrics.commit_seconds.clone(),
        );
        r.register("store_queue_refused", "Calls refused because the queue was full", metrics.queue_refused.clone());
        r.register("store_groups_failed", "Groups of calls that failed as a whole", metrics.groups_failed.clone());
        r.register_with_unit(
            "store_verified_timestamp",
            "End of the last verification of the database that found no error",
            Unit::Seconds,
            metrics.verified_at_seconds.clone(),
        );
        r.register_with_unit(
            "store_verification",
            "Duration of the last verification that found no error",
            Unit::Seconds,
            metrics.verification_seconds.clone(),
        );
        r.register(
            "store_chained_events",
            "Events of the history that this node has chained (PostgreSQL)",
            metrics.chained_events.clone(),
        );
        r.register(
            "store_unchained_events",
            "Events of the history that are not chained yet (PostgreSQL)",
            metrics.unchained_events.clone(),
        );
        r.register_with_unit(
            "store_unchained",
            "Age of the oldest event of the history that is not chained yet (PostgreSQL)",
            Unit::Seconds,
            metrics.unchained_seconds.clone(),
        );
        r.register("replays", "Retries of named calls that got the answer of the first try", metrics.replays.clone());
        r.register("connections", "Open connections", metrics.connections.clone());
        r.register(
            "connections_refused",
            "Connections refused because the service or the client had too many",
            metrics.connections_refused.clone(),
        );
        r.register("accepts_failed", "Failed attempts to accept a connection", metrics.accepts_failed.clone());
        r.register(
            "bodies_refused",
            "Requests refused because bodies used all their memory",
            metrics.bodies_refused.clone(),
        );
        r.register(
            "notes_left_out",
            "Refusals that were not noted for administrators: too many, or the database failed",
            metrics.notes_left_out.clone(),
        );
        metrics
    }

    /// Records a verification of the database that ended now without an error.
    pub fn verified(&self, took: Duration) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.verified_at_seconds.set(now.as_secs_f64());
        self.verification_seconds.set(took.as_secs_f64());
    }

    pub fn count_call(&self, operation: &'static str, code: &'static str) {
        self.calls.get_or_create(&CallLabels { operation, code }).inc();
    }

    pub fn count_sign_in(&self, outcome: &'static str) {
        self.sign_ins.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The gauge of one lane.
    pub fn sign_ins_waiting(&self, lane: &'static str) -> Gauge {
        self.sign_ins_waiting.get_or_create(&LaneLabels { lane }).clone()
    }

    pub fn count_refused_connection(&self, reason: &'static str) {
        self.connections_refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// All of it in OpenMetrics text format (`application/openmetrics-text; version=1.0.0; charset=utf-8`).
    pub fn render(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            // Writing to a String does not fail; a scraper accepts incomplete text.
            let _ = out.write_str("# EOF\n");
        }
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

/// Logs an event once a minute, although it may occur thousands of times.
#[derive(Debug, Default)]
pub struct SparseLog {
    logged_at: Option<Instant>,
    left_out: u64,
}

impl SparseLog {
    const INTERVAL: Duration = Duration::from_secs(60);

    /// Counts an event. If it must be logged: the number of events left out before it.
    pub fn count(&mut self, now: Instant) -> Option<u64> {
        if self.logged_at.is_some_and(|logged_at| now < logged_at + Self::INTERVAL) {
            self.left_out += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}
