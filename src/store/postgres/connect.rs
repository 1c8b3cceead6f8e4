//! Connections: tries the hosts of the URL one by one, each with our own time limit, and checks the server before it is used.
//!
//! The driver's own time limit covers only TCP: a host that accepts the connection and stays silent, such as a stopped server,
//! would hang for ever, and the next host would never be tried.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Row};

use super::known::Seen;
use super::meaning::text;
use super::server::{Place, Server};
use super::session::{Backend, Connection};
use super::tls::Tls;

/// The time limits of a statement, of the wait for a lock, and of an idle transaction; zero: no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    pub(super) statement: Duration,
    pub(super) lock: Duration,
    pub(super) idle_in_transaction: Duration,
}

impl TimeLimits {
    /// For commands, which may take long and are watched by their user.
    pub(super) const COMMAND: TimeLimits =
        TimeLimits { statement: Duration::ZERO, lock: Duration::from_secs(10), idle_in_transaction: Duration::ZERO };
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For calls of any kind: as [`Purpose::Write`], and their statements find rows by indexes.
    Calls,
    /// For changes: a read-only server is skipped.
    Write,
    /// Only for reads: any server is accepted, unless the URL says otherwise.
    Read,
}

/// Connects to the first suitable host.
///
/// # Errors
///
/// The error of each host.
pub(super) async fn connect(
    server: &Server,
    purpose: Purpose,
    limits: &TimeLimits,
) -> Result<(Connection, Seen), String> {
    let tls = server.verification.connector()?;
    let mut places: Vec<(usize, &Place)> = server.places.iter().enumerate().collect();
    let start = match server.is_balanced {
        true => getrandom::u32().unwrap_or_default() as usize,
        false => server.last.load(Ordering::Relaxed),
    };
    places.rotate_left(start % server.places.len());
    let mut reasons = Vec::new();
    for (number, place) in places {
        let addresses = match tokio::time::timeout(server.connect_timeout, addresses(place)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                reasons.push(format!("{place}: {error}"));
                continue;
            }
            Err(_) => {
                reasons.push(format!("{place}: its address was not found in time"));
                continue;
            }
        };
        for address in addresses {
            let one = connect_to(server, place, address, &tls, purpose, limits);
            match tokio::time::timeout(server.connect_timeout, one).await {
                Ok(Ok(connected)) => {
                    server.last.store(number, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(reason)) => reasons.push(format!("{place}: {reason}")),
                Err(_) => {
                    let limit = server.connect_timeout.as_secs_f64();
                    reasons.push(format!("{place}: the server did not answer within {limit} s"));
                }
            }
        }
    }
    Err(reasons.join("; "))
}

/// The addresses of a host; `None`: a socket.
async fn addresses(place: &Place) -> std::io::Result<Vec<Option<SocketAddr>>> {
    match place {
        Place::Socket { .. } => Ok(vec![None]),
        Place::Tcp { address: Some(address), port, .. } => Ok(vec![Some(SocketAddr::new(*address, *port))]),
        Place::Tcp { name, port, .. } => Ok(tokio::net::lookup_host((name.as_str(), *port)).await?.map(Some).collect()),
    }
}

async fn connect_to(
    server: &Server,
    place: &Place,
    address: Option<SocketAddr>,
    tls: &Tls,
    purpose: Purpose,
    limits: &TimeLimits,
) -> Result<(Connection, Seen), String> {
    let config = server.config_for(place, address)?;
    let (client, connection) = config.connect(tls.clone()).await.map_err(|error| explained(text(&error)))?;
    // Notices belong to the connection, not to the statement that caused them.
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = text(&error), "a connection to the database ended");
        }
    });
    // Closes the connection if this fails or is dropped.
    let driver = AbortOnDrop(Some(driver));
    let asked = Timestamp::now();
    let row = client.query_typed_one(CHECK, &[]).await.map_err(|error| text(&error))?;
    let answered = Timestamp::now();
    let checked = Checked::of(&row).map_err(|error| text(&error))?;
    let has_to_write = purpose != Purpose::Read || server.attributes == TargetSessionAttrs::ReadWrite;
    if has_to_write && checked.is_read_only {
        return Err("the server takes no changes: it is a standby, or set to read only".to_owned());
    }
    if purpose == Purpose::Read && server.attributes == TargetSessionAttrs::ReadOnly && !checked.is_read_only {
        return Err("the server takes changes, and the URL asks for one that takes none".to_owned());
    }
    let is_pooled = process_id(&client).await != Some(checked.backend.pid);
    checked.accept(purpose, is_pooled)?;
    if !is_pooled {
        // A script is read as a whole, with the settings from before it.
        client.batch_execute(READ_AS_WRITTEN).await.map_err(|error| text(&error))?;
        client.batch_execute(&settings(purpose, limits)).await.map_err(|error| text(&error))?;
        if checked.is_asynchronous {
            client.batch_execute("SET synchronous_commit = on").await.map_err(|error| text(&error))?;
        }
    }
    let seen = Seen { asked, answered, database: checked.now };
    Ok((Connection::new(client, driver.release(), checked.backend, is_pooled), seen))
}

/// The reason why there is no connection, with the remedy for a certificate as `openssl req -x509` makes it.
fn explained(reason: String) -> String {
    if !reason.contains("CaUsedAsEndEntity") {
        return reason;
    }
    format!(
        "{reason}. The server's certificate is that of an authority: make one with basicConstraints=CA:FALSE and the name of the \
         host as subjectAltName, or sign one with it"
    )
}

const CHECK: &str = "
    SELECT pg_backend_pid(), (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
           pg_postmaster_start_time(), current_setting('transaction_read_only') = 'on', clock_timestamp(),
           current_setting('synchronous_commit') = 'off', current_setting('session_replication_role') = 'replica',
           EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v') AND NOT pg_catalog.pg_table_is_visible(c.oid))";

struct Checked {
    backend: Backend,
    is_read_only: bool,
    now: SystemTime,
    /// A commit is confirmed before it is on the disk.
    is_asynchronous: bool,
    /// Triggers do not run.
    is_replica: bool,
    /// Names without a schema do not lead to all the tables in `public`.
    has_hidden_tables: bool,
}

impl Checked {
    fn of(row: &Row) -> Result<Checked, tokio_postgres::Error> {
        let backend = Backend { pid: row.try_get(0)?, started: row.try_get(1)?, server_started: row.try_get(2)? };
        Ok(Checked {
            backend,
            is_read_only: row.try_get(3)?,
            now: row.try_get(4)?,
            is_asynchronous: row.try_get(5)?,
            is_replica: row.try_get(6)?,
            has_hidden_tables: row.try_get(7)?,
        })
    }

    /// Refuses a login or database whose settings break a promise, if the session cannot set them itself.
    fn accept(&self, purpose: Purpose, is_pooled: bool) -> Result<(), String> {
        let writes = purpose != Purpose::Read;
        let reason = if is_pooled && self.has_hidden_tables {
            "behind a pooler the search_path of the login must lead to the tables in public: \
             ALTER ROLE … SET search_path = public, pg_temp, then RECONNECT in the pooler"
        } else if is_pooled && writes && self.is_asynchronous {
            "synchronous_commit is off for this login or database, so confirmed changes could be lost. Behind a pooler: \
             ALTER ROLE … SET synchronous_commit = on, then RECONNECT in the pooler"
        } else if writes && self.is_replica {
            "session_replication_role is replica for this login or database, so the triggers that guard the tables would not \
             run. Reset it (ALTER ROLE … RESET session_replication_role, or ALTER DATABASE … RESET …)"
        } else {
            return Ok(());
        };
        Err(reason.to_owned())
    }
}

/// A plan is made once for a connection, perhaps while a table is still empty, and is not made again before the server has
/// counted the rows. Queries that need whole tables, such as lists, switch this on again.
const BY_INDEX: &str = "SET enable_seqscan = off;";

/// When a client vanishes, because its machine or the network failed, the server would wait for it for two hours and keep its
/// locks. The times are those of the client's side, in [`super::server`]. A Unix socket has no such settings, and needs none.
const ENDS_WITH_CLIENT: &str =
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
     SET tcp_user_timeout = 15000;";

/// With other values the server would read our scripts, or describe the schema, in another way than they are written.
const READ_AS_WRITTEN: &str = "SET standard_conforming_strings = on; SET quote_all_identifiers = off";

/// The same for the open transaction, also behind a pooler; it must be a message of its own before the script.
pub(super) const READ_AS_WRITTEN_HERE: &str =
    "SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off";

/// The settings of our own sessions. Behind a pooler they would also affect other sessions, or be lost; there the administrator
/// sets them for the login: ALTER ROLE … SET. Without `jit = off` the server may compile a long statement for more than a second
/// before it runs for a millisecond, in particular on tables that were never analyzed.
fn settings(purpose: Purpose, limits: &TimeLimits) -> String {
    let ms = |limit: Duration| limit.as_millis();
    let plans = if purpose == Purpose::Calls { BY_INDEX } else { "" };
    format!(
        "{plans} {ENDS_WITH_CLIENT} SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET search_path = public, pg_temp; SET default_transaction_isolation = 'read committed';
         SET plan_cache_mode = force_generic_plan; SET jit = off",
        ms(limits.statement),
        ms(limits.lock),
        ms(limits.idle_in_transaction)
    )
}

/// The process id from the server, or from a pooler in its place, at sign-in. The driver reveals it only in a cancel request, so
/// one is written here, into memory. None is ever sent.
async fn process_id(client: &Client) -> Option<i32> {
    const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    let (ours, mut theirs) = tokio::io::duplex(64);
    let token = client.cancel_token();
    let write = async {
        // If no request was written, the read below fails.
        let _ = token.cancel_query_raw(ours, in_memory::Plain).await;
    };
    let read = async {
        let mut start = [0; 8];
        theirs.read_exact(&mut start).await.ok()?;
        if start == TLS_REQUEST {
            theirs.write_all(b"S").await.ok()?;
            theirs.read_exact(&mut start).await.ok()?;
        }
        let mut process_id = [0; 4];
        theirs.read_exact(&mut process_id).await.ok()?;
        // The key follows.
        theirs.read_exact(&mut [0; 4]).await.ok()?;
        Some(i32::from_be_bytes(process_id))
    };
    tokio::join!(write, read).1
}

/// A stream in memory that the driver accepts as one with TLS.
mod in_memory {
    use std::future::{Ready, ready};
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
    use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

    pub(super) struct Plain;

    impl TlsConnect<DuplexStream> for Plain {
        type Stream = InMemory;
        type Error = io::Error;
        type Future = Ready<io::Result<InMemory>>;

        fn connect(self, stream: DuplexStream) -> Self::Future {
            ready(Ok(InMemory(stream)))
        }
    }

    pub(super) struct InMemory(DuplexStream);

    impl TlsStream for InMemory {
        fn channel_binding(&self) -> ChannelBinding {
            ChannelBinding::none()
        }
    }

    impl AsyncRead for InMemory {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for InMemory {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}

/// A task that ends when this is dropped, unless it was released.
struct AbortOnDrop<T>(Option<tokio::task::JoinHandle<T>>);

impl<T> AbortOnDrop<T> {
    fn release(mut self) -> tokio::task::JoinHandle<T> {
        self.0.take().unwrap_or_else(|| unreachable!("it is taken once"))
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
