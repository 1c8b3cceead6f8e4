//! Metrics for operators, served on their own listener; and a limit on how often the log repeats a line ([`SparseLog`]).
//!
//! Most metrics are counted where something happens. [`gathered`] has those that are read from the database at a scrape,
//! and `process` those that the system knows. docs/monitoring.md explains each; a test holds the table there to
//! [`Metrics::descriptions`].

mod call_times;
pub mod gathered;
mod process;
mod registrar;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use call_times::{CallTimes, Phase};
pub use registrar::Description;

use gathered::Gathered;
use process::Process;
use registrar::Registrar;

/// A format that scrapers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4: what every scraper and tool reads.
    Text,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
}

impl Format {
    /// The more common first.
    pub const ALL: [Format; 2] = [Format::Text, Format::OpenMetrics];

    /// Without parameters.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            Format::OpenMetrics => "application/openmetrics-text",
        }
    }

    /// For the header Content-Type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => prometheus_text::CONTENT_TYPE,
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

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

/// A refusal: the `code` of [`CallLabels`], and the reason, which is finer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    pub code: &'static str,
    pub reason: &'static str,
}

/// All metrics. Cheap to update from any thread; made once and shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    descriptions: Vec<Description>,
    /// What is read from the database at a scrape.
    pub gathered: Gathered,
    /// Calls by operation and code.
    pub calls: Family<CallLabels, Counter>,
    /// Refused calls, and refused items of calls, by code and reason.
    pub refusals: Family<RefusalLabels, Counter>,
    /// Durations of calls by operation and phase.
    pub call_times: CallTimes,
    /// Outcomes of credential checks: `remembered`, `verified`, `wrong`, `throttled`, `throttled_name`, `busy`.
    pub sign_ins: Family<OutcomeLabels, Counter>,
    /// The cost of all password checks: bytes of memory times passes.
    pub sign_in_work_bytes: Counter,
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
    /// Handshakes of TLS, by outcome: `done`, `failed`, `timeout`, and `plain_http` for clients that speak no TLS.
    pub tls_handshakes: Family<OutcomeLabels, Counter>,
    /// End of the certificate's validity, in seconds since 1970. Without TLS there is none, rather than a time long ago.
    tls_certificate_expires_at: Family<[(&'static str, &'static str); 0], Gauge>,
    /// Requests refused because bodies used all the memory allowed for them.
    pub bodies_refused: Counter,
    /// Refusals that were not noted for administrators: more came than are written, or they could not be written.
    pub notes_left_out: Counter,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            descriptions: Vec::new(),
            gathered: Gathered::default(),
            calls: Family::default(),
            refusals: Family::default(),
            call_times: CallTimes::default(),
            sign_ins: Family::default(),
            sign_in_work_bytes: Counter::default(),
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
            tls_handshakes: Family::default(),
            tls_certificate_expires_at: Family::default(),
            bodies_refused: Counter::default(),
            notes_left_out: Counter::default(),
        };
        metrics.descriptions.extend(Process::descriptions());
        metrics.registry.register_collector(Box::new(Process::new()));
        let mut r = Registrar::new(&mut metrics.registry, &mut metrics.descriptions);
        r.register("build", "The program that runs", Info::new(build()));
        r.collect(metrics.gathered.clone(), Gathered::descriptions());
        r.register("calls", "Calls answered, by operation and code", metrics.calls.clone());
        r.register(
            "refusals",
            "Refused calls, and further refused items of calls, by code and reason",
            metrics.refusals.clone(),
        );
        metrics.call_times.register(&mut r);
        r.register("sign_ins", "Credential checks, by outcome", metrics.sign_ins.clone());
        r.register_with_unit(
            "sign_in_work",
            "Cost of password checks: memory times passes",
            Unit::Bytes,
            metrics.sign_in_work_bytes.clone(),
        );
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
        r.register("tls_handshakes", "Handshakes of TLS, by outcome", metrics.tls_handshakes.clone());
        r.register_with_unit(
            "tls_certificate_expiry_timestamp",
            "End of the validity of the certificate in force",
            Unit::Seconds,
            metrics.tls_certificate_expires_at.clone(),
        );
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

    pub fn count_refusal(&self, code: &'static str, reason: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { code, reason }).inc();
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

    pub fn count_tls_handshake(&self, outcome: &'static str) {
        self.tls_handshakes.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A certificate is in force that is valid until this time, in seconds since 1970.
    pub fn tls_certificate_expires_at(&self, seconds: i64) {
        self.tls_certificate_expires_at.get_or_create(&[]).set(seconds);
    }

    /// All of it in OpenMetrics text.
    pub fn render(&self) -> String {
        self.render_as(Format::OpenMetrics)
    }

    /// All of it.
    pub fn render_as(&self, format: Format) -> String {
        let mut out = String::new();
        let encoded = match format {
            Format::Text => prometheus_text::encode(&mut out, &self.registry),
            Format::OpenMetrics => text::encode(&mut out, &self.registry),
        };
        // Writing to a String does not fail, and no metric is one that a format does not know.
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        out
    }

    /// Every metric there is, also those that have no series yet.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }
}

/// What the program was made from. `SEATKEEPER_REVISION`: set it when you build a package.
fn build() -> Vec<(&'static str, &'static str)> {
    let mut labels = vec![("version", env!("CARGO_PKG_VERSION")), ("arch", std::env::consts::ARCH)];
    labels.extend(option_env!("SEATKEEPER_REVISION").map(|revision| ("revision", revision)));
    labels
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

/// The same for several kinds of events, each with a minute of its own. A kind is a constant: there are few.
#[derive(Debug, Default)]
pub struct SparseLogs(Mutex<Vec<(&'static str, SparseLog)>>);

impl SparseLogs {
    pub const fn new() -> SparseLogs {
        SparseLogs(Mutex::new(Vec::new()))
    }

    /// Counts an event that occurs now. If it must be logged: the number of events of its kind left out before it.
    pub fn count(&self, kind: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, log)) = logs.iter_mut().find(|(known, _)| *known == kind) {
            return log.count(now);
        }
        let mut log = SparseLog::default();
        let count = log.count(now);
        logs.push((kind, log));
        count
    }
}
