//! The accept loop, and the parts of a connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::dispatch::{Connection, Routes, dispatch};
use super::intake::{Budget, Intake, ResponseBody};
use super::limits::{LiveLimits, RETRY_SECONDS};
use super::places::{Full, Place, Places};
use super::timeouts::{Notes, Reads, Times, Writes, drive};
use super::tls::{BUSY_ALERT, Failed, Tls, answer_plain};
use crate::metrics::{Metrics, SparseLog};

/// Completes when the service must stop accepting.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Descriptors that [`serve`] needs besides one for each of `connections_max`: for those that are refused.
pub const DESCRIPTORS: usize = REFUSED_MAX + 16;

/// A socket that listens, and what is spoken on it.
pub struct Listener {
    pub socket: TcpListener,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Listener {
        Listener { socket, tls: None }
    }
}

/// Serves until `shutdown` completes, then finishes the calls in progress, for at most `limits.shutdown_timeout`. Changed limits
/// count for new connections and requests.
pub async fn serve(
    listener: impl Into<Listener>,
    routes: Routes,
    limits: impl Into<LiveLimits>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) {
    let Listener { socket: listener, tls } = listener.into();
    let limits = limits.into();
    let places = Places::new(limits.clone());
    let mut door = Door::new(Arc::clone(&metrics), tls.is_some());
    let connections = Connections {
        routes: Arc::new(routes),
        budget: Budget::new(limits.clone(), Arc::clone(&metrics)),
        graceful: GracefulShutdown::new(),
        stopping: watch::Sender::new(()),
        tls,
        metrics,
        limits,
    };
    let mut shutdown = shutdown;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                door.accepted();
                match places.take(peer.ip()) {
                    Ok(place) => connections.start(stream, peer, place),
                    Err(full) => door.refuse(stream, peer, full),
                }
            }
            Err(error) => {
                let pause = door.failed(&error);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // A connection that ended has freed its descriptor.
                    () = places.freed(), if !pause.is_zero() => {}
                    () = &mut shutdown => break,
                }
            }
        }
    }
    drop(listener);
    connections.stopping.send_replace(());
    if tokio::time::timeout(connections.limits.now().shutdown_timeout, connections.graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in time and were cut");
    }
}

/// Turns off Nagle's algorithm, and turns on TCP keepalive: the connection of a vanished peer ends within two minutes.
fn set_options(stream: &TcpStream) -> io::Result<()> {
    const PROBES: u32 = 4;
    let keep_alive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(PROBES);
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// The state that all connections share.
struct Connections {
    routes: Arc<Routes>,
    budget: Arc<Budget>,
    graceful: GracefulShutdown,
    /// Ends handshakes.
    stopping: watch::Sender<()>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    limits: LiveLimits,
}

impl Connections {
    /// Serves a connection in a task of its own.
    fn start(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        if let Err(error) = set_options(&stream) {
            tracing::debug!(%error, "options of a socket");
        }
        let limits = self.limits.now();
        let local = stream.local_addr().map(|address| address.to_string()).unwrap_or_default().into();
        let intake = Intake::new(Arc::clone(&self.budget), place.client());
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let accepted = Accepted {
            shared: Arc::new(Connection { peer, local, scheme, intake }),
            routes: Arc::clone(&self.routes),
            notes: Arc::default(),
            head_bytes_max: limits.head_bytes_max,
            times: Times::of(&limits),
            watcher: self.graceful.watcher(),
            open: Open::new(Arc::clone(&self.metrics), place),
        };
        match &self.tls {
            None => {
                let socket = Writes::new(stream, Arc::clone(&accepted.notes));
                tokio::spawn(accepted.serve(socket));
            }
            Some(tls) => {
                let (tls, timeout) = (Arc::clone(tls), limits.head_timeout);
                tokio::spawn(accepted.serve_tls(stream, tls, timeout, self.stopping.subscribe()));
            }
        }
    }
}

/// A connection that was accepted.
struct Accepted {
    shared: Arc<Connection>,
    routes: Arc<Routes>,
    notes: Arc<Notes>,
    head_bytes_max: usize,
    times: Times,
    watcher: Watcher,
    open: Open,
}

/// Counts an open connection, which has a place.
struct Open {
    metrics: Arc<Metrics>,
    _place: Place,
}

impl Open {
    fn new(metrics: Arc<Metrics>, place: Place) -> Open {
        metrics.connections.inc();
        Open { metrics, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Accepted {
    /// Serves it once the handshake is done.
    async fn serve_tls(self, stream: TcpStream, tls: Arc<Tls>, timeout: Duration, mut stopped: watch::Receiver<()>) {
        let accepted = tokio::select! {
            accepted = tls.accept(stream, &self.notes, timeout) => accepted,
            // No request of this client has arrived.
            _ = stopped.changed() => return,
        };
        match accepted {
            Ok(encrypted) => self.serve(encrypted).await,
            Err(failed) => {
                tls.log_failure(self.shared.peer.ip().to_canonical(), &failed);
                if let Failed::Plain(mut stream) = failed {
                    let refused = async {
                        answer_plain(&mut stream).await?;
                        drain(stream).await
                    };
                    let _ = tokio::time::timeout(REFUSED_TIMEOUT, refused).await;
                }
            }
        }
    }

    /// Serves it until it ends.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, connection: S) {
        let Accepted { shared, routes, notes, head_bytes_max, times, watcher, open } = self;
        let peer = shared.peer;
        let io = TokioIo::new(Reads::new(connection, Arc::clone(&notes)));
        let of_requests = Arc::clone(&notes);
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let exchange = of_requests.begin();
            let (routes, connection) = (Arc::clone(&routes), Arc::clone(&shared));
            async move {
                let response = dispatch(&routes, request, &connection, &exchange).await;
                Ok::<_, std::convert::Infallible>(response.map(|body| ResponseBody::new(body, exchange)))
            }
        });
        let connection = http1::Builder::new()
            // As the original services write them. Clients written by hand may compare letter by letter.
            .title_case_headers(true)
            // hyper's timer would also run between requests, and be set again for each: `timeouts` has the limits instead.
            .header_read_timeout(None)
            // A half-closed connection is treated as closed, and a call that still waits is dropped: most such clients have
            // given up and call again.
            .half_close(false)
            .max_header_size(head_bytes_max)
            // The read buffer grows with large bodies and stays that large while the connection is idle. hyper accepts no less
            // than 8 KiB.
            .max_buf_size(head_bytes_max.max(8192))
            .serve_connection(io, service);
        match drive(watcher.watch(connection), &notes, times).await {
            None => {
                tracing::debug!(%peer, "connection closed: it was idle, or its client read no response, for too long")
            }
            Some(Err(error)) => tracing::debug!(%peer, %error, "connection ended early"),
            Some(Ok(())) => {}
        }
        drop(open);
    }
}

/// The most refused connections that may wait at a time for their clients to read the refusal. More are closed at once.
const REFUSED_MAX: usize = 64;
const REFUSED_TIMEOUT: Duration = Duration::from_secs(1);

/// Refuses connections, and limits how often the log says so.
struct Door {
    is_tls: bool,
    metrics: Arc<Metrics>,
    waiting: Arc<Semaphore>,
    service_full: SparseLog,
    client_full: SparseLog,
    cannot_accept: SparseLog,
    /// Failures in a row: the pause grows with them.
    failures: u32,
}

impl Door {
    fn new(metrics: Arc<Metrics>, is_tls: bool) -> Door {
        Door {
            is_tls,
            metrics,
            waiting: Arc::new(Semaphore::new(REFUSED_MAX)),
            service_full: SparseLog::default(),
            client_full: SparseLog::default(),
            cannot_accept: SparseLog::default(),
            failures: 0,
        }
    }

    fn accepted(&mut self) {
        self.failures = 0;
    }

    /// How long to pause after accepting failed.
    fn failed(&mut self, error: &io::Error) -> Duration {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied, TimedOut};
        const FIRST_PAUSE: Duration = Duration::from_millis(10);
        const PAUSE_MAX: Duration = Duration::from_secs(1);
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied | TimedOut) {
            // The client closed it before it was accepted, or a firewall dropped it.
            tracing::debug!(%error, "a connection ended before it was accepted");
            return Duration::ZERO;
        }
        self.metrics.accepts_failed.inc();
        if let Some(left_out) = self.cannot_accept.count(Instant::now().into_std()) {
            tracing::error!(
                %error,
                left_out,
                "no connection can be accepted; out of file descriptors, most likely (raise LimitNOFILE or ulimit -n); \
                 accepting goes on as connections end"
            );
        }
        let pause = FIRST_PAUSE * (1 << self.failures.min(10));
        self.failures += 1;
        pause.min(PAUSE_MAX)
    }

    /// Sends 503, or an alert of TLS, to a client that has no place.
    fn refuse(&mut self, stream: TcpStream, peer: SocketAddr, full: Full) {
        self.metrics.count_refused_connection(full.reason());
        match full {
            Full::Service => {
                if let Some(left_out) = self.service_full.count(Instant::now().into_std()) {
                    tracing::warn!(left_out, "all connections_max connections are taken: more are refused");
                }
            }
            Full::Client => {
                if let Some(left_out) = self.client_full.count(Instant::now().into_std()) {
                    let client = peer.ip().to_canonical();
                    tracing::warn!(
                        %client,
                        left_out,
                        "a client has connections_per_client_max connections: more are refused; a proxy should be named in \
                         trusted_proxies"
                    );
                }
            }
        }
        // A new socket has room for the response; tokio would first wait for an event.
        let head = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_SECONDS}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let refusal = if self.is_tls { BUSY_ALERT } else { head.as_bytes() };
        if SockRef::from(&stream).send(refusal).is_ok()
            && let Ok(turn) = Arc::clone(&self.waiting).try_acquire_owned()
        {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(REFUSED_TIMEOUT, drain(stream)).await;
                drop(turn);
            });
        }
    }
}

/// Drains the request so that the client can read the refusal: closing a connection with unread bytes resets it, and some systems
/// then drop the response.
async fn drain(mut stream: TcpStream) -> io::Result<()> {
    const BYTES_MAX: usize = 64 * 1024;
    stream.shutdown().await?;
    let mut buffer = [0; 1024];
    let mut bytes = 0;
    while bytes < BYTES_MAX {
        match stream.read(&mut buffer).await? {
            0 => break,
            n => bytes += n,
        }
    }
    Ok(())
}
