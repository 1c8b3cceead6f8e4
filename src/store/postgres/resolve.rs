//! Finds out the outcome of a commit whose answer was lost with the connection.
//!
//! The server process of that connection may still be working: it may wait for a synchronous standby, or the statement may not
//! have reached it yet. Only once that process has ended does a missing event of the call prove that nothing was committed. We
//! end a process that waits for its client, and wait for one that works.
//!
//! If the event is found, it was committed on this server. A standby may not have it, if the server was restarted or an
//! administrator cancelled the wait. So we make a commit of our own after it, which the standby confirms only after the earlier
//! one.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::meaning::text;
use super::pool::Connections;
use super::session::{Backend, Session, Sql};
use crate::seats::SeatId;

/// A commit with an unknown outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    /// The request id of the call.
    pub(super) id: Uuid,
    /// An earlier event.
    pub(super) since: i64,
    /// The server process that made it.
    pub(super) backend: Backend,
    pub(super) is_pooled: bool,
}

/// The outcome of the commit.
pub(super) enum Resolved {
    /// It was committed; with the seat in the last event of the call.
    Committed(Option<SeatId>),
    /// It was not committed, and will not be.
    NotCommitted,
    /// The outcome is unknown; with the reason.
    Unknown(String),
}

/// The time limit of the search. A failover takes twenty seconds and more.
const LIMIT: Duration = Duration::from_secs(30);

/// The time limit behind a pooler, which does not reveal the process.
const POOLED_LIMIT: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(50);

/// The time limit of one look: a silent connection must leave time for another one.
const LOOK: Duration = Duration::from_secs(6);

pub(super) async fn resolve(connections: &Connections, lost: &Lost) -> Resolved {
    let begun = Instant::now();
    let mut why = "the connection was lost during a commit".to_owned();
    let mut is_pooled = lost.is_pooled;
    while begun.elapsed() < LIMIT {
        let step = async {
            let session = connections.session_aside().await.map_err(|error| error.to_string())?;
            is_pooled |= session.is_pooled();
            look(&session, lost).await.map_err(|error| text(&error))
        };
        match tokio::time::timeout(LOOK.min(LIMIT.saturating_sub(begun.elapsed())), step).await {
            Ok(Ok(Some(Resolved::NotCommitted))) if is_pooled && begun.elapsed() < POOLED_LIMIT => {}
            Ok(Ok(Some(Resolved::NotCommitted))) if is_pooled => {
                return Resolved::Unknown("the connection was lost during a commit, behind a pooler".to_owned());
            }
            Ok(Ok(Some(resolved))) => return resolved,
            Ok(Ok(None)) => "the server is still at work on it".clone_into(&mut why),
            Ok(Err(error)) => why = error,
            Err(_) => "the server does not answer".clone_into(&mut why),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Resolved::Unknown(why)
}

/// `None`: it is not known yet.
async fn look(session: &Session, lost: &Lost) -> Result<Option<Resolved>, tokio_postgres::Error> {
    // Checked before the search for the event, so that the search sees everything that the process commits before it ends.
    let is_gone = is_gone(session, lost).await?;
    let found = session.row_opt(&EVENT, &[&lost.since, &lost.id.to_string()]).await?;
    let Some(event) = found else { return Ok(is_gone.then_some(Resolved::NotCommitted)) };
    let (pool_id, seat_no): (Option<i64>, Option<i32>) = (event.try_get(0)?, event.try_get(1)?);
    session.row(&COMMIT_AFTER, &[]).await?;
    let seat = pool_id.zip(seat_no).map(|(pool_id, seat_no)| SeatId { pool_id, seat_no: seat_no.into() });
    Ok(Some(Resolved::Committed(seat)))
}

/// Whether the process of the connection has ended; ends it if it waits for its client.
async fn is_gone(session: &Session, lost: &Lost) -> Result<bool, tokio_postgres::Error> {
    // Behind a pooler the process serves other clients, and must not be ended.
    if lost.is_pooled || session.is_pooled() {
        return Ok(true);
    }
    // Another server, or a restarted one: all processes of the old one have ended, or can no longer commit.
    if session.backend().server_started != lost.backend.server_started {
        return Ok(true);
    }
    let process = session.row_opt(&PROCESS, &[&lost.backend.pid, &lost.backend.started]).await?;
    let Some(process) = process else { return Ok(true) };
    if process.try_get::<_, Option<bool>>(0)? == Some(true) {
        session.row(&END_PROCESS, &[&lost.backend.pid]).await?;
    }
    Ok(false)
}

const EVENT: Sql = Sql {
    text: "SELECT pool_id, seat_no FROM audit_event WHERE id > $1 AND request_id = $2 ORDER BY id DESC LIMIT 1",
    types: &[Type::INT8, Type::TEXT],
};

/// Whether the process waits for its client. A process that got a statement but not the end of the message after it counts as
/// active, and may wait for the rest for hours, with its locks.
const PROCESS: Sql = Sql {
    text: "SELECT state LIKE 'idle%' OR wait_event_type = 'Client' FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
    types: &[Type::INT4, Type::TIMESTAMPTZ],
};

const END_PROCESS: Sql = Sql { text: "SELECT pg_terminate_backend($1)", types: &[Type::INT4] };

/// Writes a record that changes nothing, and commits it.
const COMMIT_AFTER: Sql = Sql { text: "SELECT pg_logical_emit_message(true, 'seatkeeper', '')", types: &[] };
