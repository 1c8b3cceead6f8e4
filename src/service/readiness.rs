//! Whether calls can be served now, part by part: what a load balancer and an operator want to know.
//!
//! Only what the operator can mend, or what passes by itself, makes the service not ready. What deserves a look soon is a warning.
//! The texts name no paths and no addresses, because anyone may read them; the log has the details.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Service;
use crate::metrics::SparseLog;
use crate::store::{Condition, StoreError};

/// How long a check waits for the store.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The store looks at its file once a second. After this long without a look the disk does not answer.
const SEEN_MAX: Duration = Duration::from_secs(10);
/// A backup that is older deserves a look.
const BACKUP_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A longer log deserves a look: four times what it usually is.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Limits that the operator sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadinessLimits {
    /// Bytes of free disk beside the database below which the service is not ready; 0: not looked at.
    pub disk_free_min: u64,
    /// How long calls wait for another program that holds the database.
    pub busy_timeout: Duration,
}

impl Default for ReadinessLimits {
    fn default() -> ReadinessLimits {
        ReadinessLimits { disk_free_min: 64 * 1024 * 1024, busy_timeout: Duration::from_secs(5) }
    }
}

/// The state of a part, or of the service: that of its worst part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pass,
    /// It works, and deserves a look.
    Warn,
    Fail,
}

/// A measured value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    Bytes(u64),
    Seconds(u64),
}

/// One part, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Component and measurement, such as `disk:free`.
    pub part: &'static str,
    /// Whether it is about the machine, and not about the database.
    pub is_of_system: bool,
    pub state: State,
    pub observed: Option<Observed>,
    /// When this was seen.
    pub at: Timestamp,
    /// Why it does not pass: one short sentence without an end.
    pub text: Option<String>,
}

/// All parts, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub checks: Vec<Check>,
}

impl Readiness {
    pub fn state(&self) -> State {
        self.checks.iter().map(|check| check.state).max().unwrap_or(State::Pass)
    }

    /// Why parts are in this state.
    pub fn texts(&self, state: State) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(move |check| check.state == state).filter_map(|check| check.text.as_deref())
    }
}

/// The limits, and what was logged last.
#[derive(Default)]
pub(super) struct Watched {
    limits: Mutex<ReadinessLimits>,
    logged: Mutex<Logged>,
}

#[derive(Default)]
struct Logged {
    /// The parts that failed when it was last looked.
    failing: Vec<&'static str>,
    reminder: SparseLog,
}

impl Service {
    /// Sets the limits of readiness; they count at once.
    pub fn set_readiness_limits(&self, limits: ReadinessLimits) {
        *self.readiness.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Sets one of the limits.
    pub fn set_disk_free_min(&self, bytes: u64) {
        self.readiness.limits.lock().unwrap_or_else(PoisonError::into_inner).disk_free_min = bytes;
    }

    /// Whether calls can be served now. Logs a change once, and a failure once a minute while it lasts.
    pub async fn readiness(&self) -> Readiness {
        let limits = *self.readiness.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = tokio::time::timeout(ANSWER_MAX, self.store.ready()).await;
        let answer = answer.unwrap_or_else(|_| Err(StoreError::Failed("the database does not answer".to_owned())));
        let condition = self.store.condition().await;
        let readiness = judge(&answer, &condition, &limits, Timestamp::now());
        self.readiness.log(&readiness, answer.as_ref().err());
        readiness
    }
}

impl Watched {
    fn log(&self, readiness: &Readiness, cause: Option<&StoreError>) {
        let failing: Vec<_> =
            readiness.checks.iter().filter(|check| check.state == State::Fail).map(|check| check.part).collect();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = logged.failing != failing;
        if failing.is_empty() {
            if has_changed {
                *logged = Logged::default();
                tracing::info!("ready again");
            }
            return;
        }
        if has_changed {
            *logged = Logged { failing, reminder: SparseLog::default() };
        }
        if logged.reminder.count(Instant::now()).is_some() {
            let why: Vec<_> = readiness.texts(State::Fail).collect();
            match cause {
                Some(error) => tracing::warn!(%error, "not ready: {}", why.join("; ")),
                None => tracing::warn!("not ready: {}", why.join("; ")),
            }
        }
    }
}

fn judge(
    answer: &Result<(), StoreError>,
    condition: &Condition,
    limits: &ReadinessLimits,
    now: Timestamp,
) -> Readiness {
    let seen_at = condition.seen_at.unwrap_or(now);
    let check = |part, at| Check { part, is_of_system: false, state: State::Pass, observed: None, at, text: None };
    let fail = |check: Check, text: String| Check { state: State::Fail, text: Some(text), ..check };
    let warn = |check: Check, text: String| Check { state: State::Warn, text: Some(text), ..check };
    let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();

    let mut checks = Vec::with_capacity(8);
    let available = check("database:available", now);
    let is_over = matches!(answer, Err(StoreError::Stopped(_) | StoreError::Closed));
    checks.push(match unavailable(answer, condition) {
        Some(text) => fail(available, text),
        None if condition.wal_bytes.is_some() && condition.looked_at.is_some_and(|at| at.elapsed() > SEEN_MAX) => {
            fail(available, "the disk of the database does not answer".to_owned())
        }
        None => available,
    });
    if is_over {
        // Nothing else counts, and the rest may be about other files.
        return Readiness { checks };
    }

    let commits = Check { observed: condition.commit_failed.map(seconds), ..check("database:commits", now) };
    let is_unsaved = condition.commit_failed.is_some() || matches!(answer, Err(StoreError::Unknown(_)));
    checks.push(match condition.stuck {
        _ if is_unsaved => fail(commits, "changes cannot be saved".to_owned()),
        Some(stuck) => {
            let text = format!("a change has made no progress for {} s", stuck.as_secs());
            fail(Check { observed: Some(seconds(stuck)), ..commits }, text)
        }
        None => commits,
    });

    let lock = Check { observed: condition.lock_held.map(seconds), ..check("database:lock", seen_at) };
    checks.push(match condition.lock_held {
        Some(held) if held > limits.busy_timeout => {
            fail(lock, format!("another program has kept the database locked for {} s", held.as_secs()))
        }
        _ => lock,
    });

    if let Some(bytes) = condition.wal_bytes {
        let log = Check { observed: Some(Observed::Bytes(bytes)), ..check("database:log", seen_at) };
        checks.push(match bytes {
            bytes if bytes > LOG_BYTES_MAX => {
                let text =
                    format!("the write-ahead log has {} MiB: a long read keeps it from starting over", mib(bytes));
                warn(log, text)
            }
            _ => log,
        });
    }

    if let Some(free) = condition.disk_free_bytes {
        let disk = Check { is_of_system: true, observed: Some(Observed::Bytes(free)), ..check("disk:free", seen_at) };
        let least = limits.disk_free_min;
        let text = || format!("the disk of the database has {} MiB free, and {} are the least", mib(free), mib(least));
        checks.push(match free {
            free if free < least => fail(disk, text()),
            free if free < least.saturating_mul(2) => warn(disk, text()),
            _ => disk,
        });
    }

    let verified =
        Check { observed: condition.last_check.map(|at| seconds(since(at))), ..check("database:verified", seen_at) };
    checks.push(match condition.verification_failed {
        true => warn(verified, "the last verification of the database did not end".to_owned()),
        false => verified,
    });

    if let Some(age) = condition.last_backup.map(since) {
        let backup = Check { observed: Some(seconds(age)), ..check("database:backup", seen_at) };
        checks.push(match age {
            age if age > BACKUP_AGE_MAX => {
                warn(backup, format!("the last backup is {} days old", age.as_secs() / (24 * 3600)))
            }
            _ => backup,
        });
    }
    Readiness { checks }
}

/// Why the database cannot be read, for anyone to read.
fn unavailable(answer: &Result<(), StoreError>, condition: &Condition) -> Option<String> {
    Some(match answer {
        // It can be read.
        Ok(()) | Err(StoreError::Unknown(_)) => return None,
        Err(StoreError::Stopped(fault)) => fault.to_string(),
        Err(StoreError::Closed) if condition.stuck.is_some() => "the writer of the database has ended".to_owned(),
        Err(StoreError::Closed) => "the service is stopping".to_owned(),
        Err(StoreError::Unreachable(_)) => "the database is out of reach".to_owned(),
        Err(_) => "the database cannot be read".to_owned(),
    })
}

fn seconds(time: Duration) -> Observed {
    Observed::Seconds(time.as_secs())
}

fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Fault;

    const MIB: u64 = 1024 * 1024;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn ago(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(1_800_000_000 - seconds).expect("a time"))
    }

    /// A file that is well.
    fn well() -> Condition {
        Condition {
            seen_at: ago(1),
            database_bytes: Some(MIB),
            wal_bytes: Some(MIB),
            disk_free_bytes: Some(10_000 * MIB),
            last_backup: ago(3600),
            last_check: ago(3600),
            ..Condition::default()
        }
    }

    #[test]
    fn each_part_is_judged_by_itself() {
        let limits = ReadinessLimits::default();
        let s = Duration::from_secs;
        let failed = |error| Err::<(), _>(error);
        for (name, answer, condition, state, texts) in [
            ("well", Ok(()), well(), State::Pass, ""),
            ("nothing known", Ok(()), Condition::default(), State::Pass, ""),
            ("a short lock", Ok(()), Condition { lock_held: Some(s(5)), ..well() }, State::Pass, ""),
            (
                "a long lock",
                Ok(()),
                Condition { lock_held: Some(s(6)), ..well() },
                State::Fail,
                "another program has kept the database locked for 6 s",
            ),
            (
                "a failed commit",
                Ok(()),
                Condition { commit_failed: Some(s(1)), stuck: Some(s(200)), ..well() },
                State::Fail,
                "changes cannot be saved",
            ),
            (
                "a moment ago",
                failed(StoreError::Unknown("/secret".to_owned())),
                well(),
                State::Fail,
                "changes cannot be saved",
            ),
            (
                "stuck",
                Ok(()),
                Condition { stuck: Some(s(200)), ..well() },
                State::Fail,
                "a change has made no progress for 200 s",
            ),
            (
                "little disk",
                Ok(()),
                Condition { disk_free_bytes: Some(63 * MIB), ..well() },
                State::Fail,
                "the disk of the database has 63 MiB free, and 64 are the least",
            ),
            (
                "less disk",
                Ok(()),
                Condition { disk_free_bytes: Some(127 * MIB), ..well() },
                State::Warn,
                "the disk of the database has 127 MiB free, and 64 are the least",
            ),
            ("enough disk", Ok(()), Condition { disk_free_bytes: Some(128 * MIB), ..well() }, State::Pass, ""),
            (
                "a long log",
                Ok(()),
                Condition { wal_bytes: Some(300 * MIB), ..well() },
                State::Warn,
                "the write-ahead log has 300 MiB: a long read keeps it from starting over",
            ),
            (
                "no verification",
                Ok(()),
                Condition { verification_failed: true, ..well() },
                State::Warn,
                "the last verification of the database did not end",
            ),
            (
                "an old backup",
                Ok(()),
                Condition { last_backup: ago(8 * 24 * 3600), ..well() },
                State::Warn,
                "the last backup is 8 days old",
            ),
            ("no backup", Ok(()), Condition { last_backup: None, ..well() }, State::Pass, ""),
            (
                "a silent disk",
                Ok(()),
                Condition { looked_at: Instant::now().checked_sub(Duration::from_secs(11)), ..well() },
                State::Fail,
                "the disk of the database does not answer",
            ),
            // The clock was set.
            ("a clock that was set ahead", Ok(()), Condition { seen_at: ago(7200), ..well() }, State::Pass, ""),
            ("a look in the future", Ok(()), Condition { seen_at: ago(-3600), ..well() }, State::Pass, ""),
            (
                "unreadable",
                failed(StoreError::Failed("/secret".to_owned())),
                well(),
                State::Fail,
                "the database cannot be read",
            ),
            (
                "out of reach",
                failed(StoreError::Unreachable("db1.example".to_owned())),
                Condition::default(),
                State::Fail,
                "the database is out of reach",
            ),
            (
                "stopped",
                failed(StoreError::Stopped(Fault::File)),
                Condition { commit_failed: Some(s(1)), ..well() },
                State::Fail,
                "the database file was deleted, replaced or overwritten",
            ),
            ("closing", failed(StoreError::Closed), well(), State::Fail, "the service is stopping"),
            (
                "dead",
                failed(StoreError::Closed),
                Condition { stuck: Some(s(120)), ..well() },
                State::Fail,
                "the writer of the database has ended",
            ),
        ] {
            let readiness = judge(&answer, &condition, &limits, now());
            assert_eq!(readiness.state(), state, "{name}");
            let found: Vec<_> = readiness.checks.iter().filter_map(|check| check.text.as_deref()).collect();
            assert_eq!(found.join("; "), texts, "{name}");
        }
        let none = ReadinessLimits { disk_free_min: 0, ..limits };
        let full = Condition { disk_free_bytes: Some(0), ..well() };
        assert_eq!(judge(&Ok(()), &full, &none, now()).state(), State::Pass, "not looked at");
    }
}
