//! The accept loop, and the timeouts of one connection.
//!
//! hyper's one header timer runs from the end of the last answer, so it would cut pooled connections of agents between
//! requests, and it is set anew for each. [`Timed`], the socket's wrapper, keeps all the times instead: how long a
//! connection rests, how long the head of a request takes from its first byte, how long a client takes none of an answer.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;

use super::{Limits, dispatch};
use crate::metrics::Metrics;

/// Completes when the service is to stop accepting.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until `shutdown` completes, then finishes the calls under way, for at most `limits.shutdown_timeout`.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, metrics: Arc<Metrics>, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let mut shutdown = shutdown;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must end before more can be taken.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tokio::spawn(refuse(stream));
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let local = stream.local_addr().map(|a| a.to_string()).unwrap_or_default();
        let turns = Arc::new(AtomicU32::new(0));
        let io = TokioIo::new(Timed::new(stream, &limits, Arc::clone(&turns)));
        let router = router.clone();
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            turns.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(super::LocalAddr(local.clone()));
            let answer = dispatch(router.clone(), request, peer);
            let turns = Arc::clone(&turns);
            async move {
                let answer = answer.await;
                turns.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            // A client that ends its side is taken for gone, and its call is dropped if it has still to wait: those that
            // give up and call again are many, those that want an answer nonetheless few.
            .half_close(false)
            .max_header_size(limits.head_bytes_max)
            // The read buffer grows with the bodies that come and stays that large while the connection rests. hyper
            // takes no less than 8 KiB.
            .max_buf_size(limits.head_bytes_max.max(8192))
            .serve_connection(io, service);
        let connection = graceful.watch(connection);
        metrics.connections.inc();
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
            metrics.connections.dec();
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in time and were cut");
    }
}

/// When clients may come again that find the service too busy.
pub(super) const RETRY_SECONDS: u64 = 5;

/// Tells a client that there is no place for it, without reading what it sends.
async fn refuse(mut stream: TcpStream) {
    let full = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_SECONDS}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(full.as_bytes())).await;
}

/// Runs a future; `None` if it panicked.
pub(super) async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// A socket that gives up on a client too slow with a request's head, or not taking an answer.
struct Timed<S> {
    socket: S,
    idle_timeout: Duration,
    head_timeout: Duration,
    write_timeout: Duration,
    /// Odd while a request is with the routes, whose body has a timeout of its own; moves on with each.
    turns: Arc<AtomicU32>,
    turn: u32,
    /// When the last answer was made.
    idle_since: Instant,
    /// Set once; when it runs out it is set again if there was a request meanwhile.
    idle: Option<Pin<Box<Sleep>>>,
    /// When the first byte of the head under way came.
    head_since: Option<Instant>,
    /// Set once a head has to be waited for.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the socket takes nothing.
    write: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    fn new(socket: S, limits: &Limits, turns: Arc<AtomicU32>) -> Timed<S> {
        Timed {
            socket,
            idle_timeout: limits.idle_timeout,
            head_timeout: limits.head_timeout,
            write_timeout: limits.write_timeout,
            turns,
            turn: 0,
            idle_since: Instant::now(),
            idle: None,
            head_since: None,
            head: None,
            write: None,
        }
    }

    /// Whether the connection has rested for long enough.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = (self.idle_since + self.idle_timeout).into();
        let timer = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Passes on a write's result; while it is pending, counts the time.
    fn timed_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write = None;
            return result;
        }
        let timeout = self.write_timeout;
        let timer = self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buf.filled().len();
        let result = Pin::new(&mut this.socket).poll_read(cx, buf);
        let turn = this.turns.load(Ordering::Relaxed);
        if turn != this.turn {
            (this.turn, this.head_since, this.head) = (turn, None, None);
            this.idle_since = Instant::now();
        }
        if turn % 2 == 1 {
            return result;
        }
        if buf.filled().len() > filled {
            this.head_since.get_or_insert_with(Instant::now);
        }
        if result.is_pending() && this.head_since.is_none() {
            // As if the client had closed it: nothing read.
            return this.poll_idle(cx).map(Ok);
        }
        // Almost every head comes in one piece and never needs the timer.
        let Some(since) = this.head_since.filter(|_| result.is_pending() || this.head.is_some()) else { return result };
        let deadline = (since + this.head_timeout).into();
        let timer = this.head.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.as_mut().poll(cx).is_ready() {
            const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            // As far as it goes: the client gets no second chance anyway.
            let _ = Pin::new(&mut this.socket).poll_write(cx, TIMEOUT);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the head of the request came too slowly",
            )));
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.timed_write(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.timed_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_flush(cx);
        this.timed_write(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
