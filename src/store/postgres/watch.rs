//! Watches the version of the schema, the database's clock, its condition, and whether it is within reach.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::known::{self, Known};
use super::meaning::{Meaning, meaning, store_error};
use super::pool::Connections;
use super::session::{Session, Sql};
use crate::store::health::Health;
use crate::store::{Condition, Fault, SCHEMA_VERSION, StoreError};

/// The interval between two looks. For that long calls may go on after a change of the schema.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a check of readiness waits for the database.
const READY_LIMIT: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) connections: Arc<Connections>,
    pub(super) known: Arc<Known>,
    pub(super) health: Arc<Health>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What was last seen of the database beside what calls depend on.
#[derive(Debug, Default)]
pub(super) struct Seen {
    condition: Condition,
    size_at: Option<Instant>,
    lock: Option<(i32, Instant)>,
}

/// How often the size of the database is asked for: the server looks at each of its files.
const SIZE_INTERVAL: Duration = Duration::from_secs(30);

/// How long the runtime of the store may make no step beside the longest look before it looks stuck.
const STUCK: Duration = Duration::from_secs(60);

/// How long a look at the condition may take.
const CONDITION_LIMIT: Duration = Duration::from_secs(1);

impl Watch {
    /// The first look.
    pub(super) async fn first(self) -> Result<(), StoreError> {
        self.look_once().await
    }

    /// Watches until the store is closed.
    pub(super) async fn run(self, mut closed: watch::Receiver<bool>) {
        self.health.progress.begin(Instant::now());
        loop {
            self.health.progress.step();
            tokio::select! {
                _ = closed.wait_for(|is_closed| *is_closed) => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            // Including the connection that it may need. Errors are in the log then, and appear when calls come.
            let limit = self.connections.wait() + READY_LIMIT;
            let looked = tokio::time::timeout(limit, self.look_once()).await;
            if matches!(looked, Ok(Ok(()))) {
                // It is only shown; the next look may do better.
                let _ = tokio::time::timeout(CONDITION_LIMIT, self.look_around()).await;
                if self.health.commit_failed().is_some() {
                    // A failure is logged where calls fail.
                    let _ = tokio::time::timeout(limit, self.try_to_save()).await;
                }
            }
        }
    }

    /// Finds out whether changes can be saved: a service that is not ready may get no calls that would.
    async fn try_to_save(&self) -> Result<(), StoreError> {
        let session = self.connections.session_aside().await?;
        let saved = async {
            session.begin().await?;
            session.batch(TRY).await?;
            session.commit().await
        };
        if saved.await.map_err(|error| store_error(&error))? {
            self.health.saved();
        }
        Ok(())
    }

    /// What was last seen; what the store itself knows is of now.
    pub(super) fn condition(&self) -> Condition {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).condition.clone();
        Condition {
            commit_failed: self.health.commit_failed(),
            fault: self.health.fault(),
            stuck: self.health.progress.stuck().filter(|stuck| *stuck >= self.connections.wait() + STUCK),
            ..seen
        }
    }

    async fn look_around(&self) -> Result<(), StoreError> {
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= SIZE_INTERVAL);
        let with_size = is_due(self.seen.lock().unwrap_or_else(PoisonError::into_inner).size_at);
        let session = self.connections.session_aside().await?;
        let row = session.row(&CONDITION, &[&with_size]).await.map_err(|error| store_error(&error))?;
        let row = Around::of(&row).map_err(|error| store_error(&error))?;
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if with_size {
            seen.size_at = Some(now);
        }
        seen.lock = row.locked_by.map(|pid| seen.lock.filter(|(before, _)| *before == pid).unwrap_or((pid, now)));
        seen.condition = Condition {
            seen_at: Some(Timestamp::now()),
            looked_at: Some(Instant::now()),
            database_bytes: row.database_bytes.or(seen.condition.database_bytes),
            oldest_transaction: row.oldest_transaction,
            lock_held: seen.lock.map(|(_, since)| now.duration_since(since)),
            last_backup: row.last_backup,
            last_check: row.last_check,
            ..Condition::default()
        };
        Ok(())
    }

    /// Whether calls can be served right now.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        match tokio::time::timeout(READY_LIMIT, self.look_once()).await {
            Ok(Ok(())) if self.health.cannot_save() => {
                Err(StoreError::Unknown("a change could not be saved a moment ago".to_owned()))
            }
            Ok(outcome) => outcome,
            Err(_) => {
                let why = format!("no answer within {} s", READY_LIMIT.as_secs());
                Err(StoreError::Unreachable(self.known.why_unreachable().unwrap_or(why)))
            }
        }
    }

    async fn look_once(&self) -> Result<(), StoreError> {
        for attempt in 0.. {
            let session = self.connections.session_aside().await?;
            match self.look(&session).await {
                Ok(true) => return self.health.check(),
                // A new connection finds a server that takes changes, or says why there is none.
                Ok(false) if attempt == 0 => {
                    self.health.check()?;
                    self.connections.lost();
                }
                Ok(false) => return Err(StoreError::Unreachable("the server takes no changes".to_owned())),
                // An idle connection may have ended unnoticed.
                Err(error) if meaning(&error) == Meaning::Lost && attempt == 0 => self.connections.lost(),
                Err(error) => {
                    let is_changed = error.code().is_some_and(|code| CHANGED.contains(&code.code()));
                    if is_changed {
                        self.health.stop(Fault::Schema, store_error(&error));
                    }
                    self.health.check()?;
                    return Err(store_error(&error));
                }
            }
        }
        Ok(())
    }

    /// Looks through a session, and records the findings. Whether the server takes changes.
    pub(super) async fn look(&self, session: &Session) -> Result<bool, tokio_postgres::Error> {
        let asked = Timestamp::now();
        let row = session.row(&LOOK, &[]).await?;
        let answered = Timestamp::now();
        let (version, database): (Option<i32>, _) = (row.try_get(0)?, row.try_get(1)?);
        self.known.clock(&known::Seen { asked, answered, database });
        self.known.event(row.try_get(2)?);
        if version != Some(SCHEMA_VERSION) {
            let found = version.map_or("none".to_owned(), |version| version.to_string());
            let details = format!(
                "its version is {found}, this program works with version {SCHEMA_VERSION}. Start a seatkeeper of that version."
            );
            self.health.stop(Fault::Schema, details);
        }
        Ok(!row.try_get(3)?)
    }
}

/// Tables or columns are missing.
const CHANGED: [&str; 3] = ["42P01", "42703", "3F000"];

const LOOK: Sql = Sql {
    text:
        "SELECT (SELECT version FROM public.schema_version WHERE id = 1), clock_timestamp(),
                  (SELECT coalesce(max(id), 0) FROM public.audit_event), current_setting('transaction_read_only')::bool",
    types: &[],
};

/// A change that leaves nothing.
const TRY: &str = "SET LOCAL seatkeeper.service = 'on';
    INSERT INTO public.credential_use (user_name) VALUES ('') ON CONFLICT DO NOTHING;
    DELETE FROM public.credential_use WHERE user_name = ''";

/// A row of [`CONDITION`].
struct Around {
    database_bytes: Option<u64>,
    oldest_transaction: Option<Duration>,
    locked_by: Option<i32>,
    last_backup: Option<Timestamp>,
    last_check: Option<Timestamp>,
}

impl Around {
    fn of(row: &Row) -> Result<Around, tokio_postgres::Error> {
        let unsigned = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let at = |time: Option<SystemTime>| time.and_then(|time| Timestamp::try_from(time).ok());
        Ok(Around {
            database_bytes: unsigned(row.try_get(0)?),
            oldest_transaction: unsigned(row.try_get(1)?).map(Duration::from_millis),
            locked_by: row.try_get(2)?,
            last_backup: at(row.try_get(3)?),
            last_check: at(row.try_get(4)?),
        })
    }
}

/// A lock counts if no node can write beside it: one of another session, of a mode that conflicts with writes, on a table that
/// every change writes. A login without `pg_read_all_stats` sees only the transactions of its own user.
const CONDITION: Sql = Sql {
    text: "SELECT CASE WHEN $1 THEN pg_database_size(current_database()) END,
                  (SELECT (extract(epoch FROM max(clock_timestamp() - xact_start)) * 1000)::bigint FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'),
                  (SELECT min(pid) FROM pg_locks
                    WHERE granted AND locktype = 'relation' AND pid <> pg_backend_pid()
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND relation IN ('public.seat'::regclass, 'public.audit_event'::regclass, 'public.audit_pending'::regclass)
                      AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
                  (SELECT at FROM public.upkeep WHERE task = 'backup'), (SELECT at FROM public.upkeep WHERE task = 'check')",
    types: &[Type::BOOL],
};
