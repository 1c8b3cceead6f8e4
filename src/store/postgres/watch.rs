//! Watches the version of the schema, the database's clock, and whether the database is within reach.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::known::{Known, Seen};
use super::meaning::{Meaning, meaning, store_error};
use super::pool::Connections;
use super::session::{Session, Sql};
use crate::store::health::Health;
use crate::store::{Fault, SCHEMA_VERSION, StoreError};

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
}

impl Watch {
    /// The first look.
    pub(super) async fn first(self) -> Result<(), StoreError> {
        self.look_once().await
    }

    /// Watches until the store is closed.
    pub(super) async fn run(self, mut closed: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = closed.wait_for(|is_closed| *is_closed) => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            // Including the connection that it may need. Errors are in the log then, and appear when calls come.
            let limit = self.connections.wait() + READY_LIMIT;
            let _ = tokio::time::timeout(limit, self.look_once()).await;
        }
    }

    /// Whether calls can be served right now.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        match tokio::time::timeout(READY_LIMIT, self.look_once()).await {
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
                Ok(()) => return self.health.check(),
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

    /// Looks through a session, and records the findings.
    pub(super) async fn look(&self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let asked = Timestamp::now();
        let row = session.row(&LOOK, &[]).await?;
        let answered = Timestamp::now();
        let (version, database): (Option<i32>, _) = (row.try_get(0)?, row.try_get(1)?);
        self.known.clock(&Seen { asked, answered, database });
        self.known.event(row.try_get(2)?);
        if version != Some(SCHEMA_VERSION) {
            let found = version.map_or("none".to_owned(), |version| version.to_string());
            let details = format!(
                "its version is {found}, this program works with version {SCHEMA_VERSION}. Start a seatkeeper of that version."
            );
            self.health.stop(Fault::Schema, details);
        }
        Ok(())
    }
}

/// Tables or columns are missing.
const CHANGED: [&str; 3] = ["42P01", "42703", "3F000"];

const LOOK: Sql = Sql {
    text: "SELECT (SELECT version FROM public.schema_version WHERE id = 1), clock_timestamp(),
                  (SELECT coalesce(max(id), 0) FROM public.audit_event)",
    types: &[],
};
