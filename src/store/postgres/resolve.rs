//! What became of a commit whose answer was lost with the connection.
//!
//! The server's process that had the connection may still be at work: it may wait for a synchronous standby, or the statement may not
//! have reached it yet. Only once that process is gone does "there is no event of the call" mean that nothing was committed. A process
//! that waits for its client is ended; one that works is waited for.
//!
//! An event that is found was committed on this server, but a standby may not have it, if the server was restarted or the wait was cut off
//! by an administrator. So a commit of our own is made after it, which the standby confirms after the one before.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::meaning::text;
use super::pool::Connections;
use super::session::{Backend, Session, Sql};
use crate::seats::SeatId;

/// The commit that is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    /// Of the call.
    pub(super) id: Uuid,
    /// An event from before the call.
    pub(super) since: i64,
    /// Where it was made.
    pub(super) backend: Backend,
    pub(super) is_pooled: bool,
}

/// What became of it.
pub(super) enum Resolved {
    /// It was committed; the seat that the last event of the call names.
    Committed(Option<SeatId>),
    /// It was not, and will not be.
    NotCommitted,
    /// Not found out, and why.
    Unknown(String),
}

/// How long it is looked for. A server that takes over needs twenty seconds and more.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it is looked for behind a pooler, which does not say which process had it.
const POOLED_LIMIT: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(50);

/// How long one look may take: a connection that has gone silent must leave time for another one.
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

/// `None`: it cannot be said yet.
async fn look(session: &Session, lost: &Lost) -> Result<Option<Resolved>, tokio_postgres::Error> {
    // Asked before the event is looked for: what the process commits before it ends is then seen.
    let is_gone = is_gone(session, lost).await?;
    let found = session.row_opt(&EVENT, &[&lost.since, &lost.id.to_string()]).await?;
    let Some(event) = found else { return Ok(is_gone.then_some(Resolved::NotCommitted)) };
    let (pool_id, seat_no): (Option<i64>, Option<i32>) = (event.try_get(0)?, event.try_get(1)?);
    session.row(&COMMIT_AFTER, &[]).await?;
    let seat = pool_id.zip(seat_no).map(|(pool_id, seat_no)| SeatId { pool_id, seat_no: seat_no.into() });
    Ok(Some(Resolved::Committed(seat)))
}

/// Whether the process that had the connection has ended; if it waits for its client, it is ended.
async fn is_gone(session: &Session, lost: &Lost) -> Result<bool, tokio_postgres::Error> {
    // Behind a pooler the process goes on to serve others, and must not be ended.
    if lost.is_pooled || session.is_pooled() {
        return Ok(true);
    }
    // Another server, or one that was started again: all processes of the old one have ended, or can commit nothing any more.
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

/// Whether it waits for its client. One that got a statement but not the end of the message behind it counts as active, and may wait for
/// the rest for hours, with its locks.
const PROCESS: Sql = Sql {
    text: "SELECT state LIKE 'idle%' OR wait_event_type = 'Client' FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
    types: &[Type::INT4, Type::TIMESTAMPTZ],
};

const END_PROCESS: Sql = Sql { text: "SELECT pg_terminate_backend($1)", types: &[Type::INT4] };

/// Writes a record that changes nothing, and commits it.
const COMMIT_AFTER: Sql = Sql { text: "SELECT pg_logical_emit_message(true, 'seatkeeper', '')", types: &[] };
