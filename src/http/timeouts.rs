//! Time limits of a connection: for being idle, for the head of a request, and for a client that reads no response.
//!
//! hyper decides when to read from a socket, and does not read between a response and the client's next byte. So no limit
//! may depend on an attempt to read. The socket, the requests and the responses only leave [`Notes`]; after each poll of
//! the connection, [`drive`] has the [`Clock`] look at them and sleeps until the next limit.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::limits::Limits;

/// The events of one connection: written by its socket and its exchanges, read by its task.
#[derive(Default)]
pub(super) struct Notes {
    /// [`Exchange`]s that have not ended: at most one, and the rest of a body that is being drained.
    open: AtomicU32,
    /// Counts requests.
    turns: AtomicU32,
    /// Bytes of a head have arrived.
    head: AtomicBool,
    /// Counts writes that the socket accepted.
    writes: AtomicU32,
    /// The socket did not accept the last write.
    blocked: AtomicBool,
    /// The current head is too late: the next read sends 408 to the client and fails.
    late: AtomicBool,
    /// A time limit has ended the connection while no request was in progress.
    ended_at_rest: AtomicBool,
    /// The task is being polled, and will read the notes before it waits.
    polled: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Notes {
    /// A request has arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.head.store(false, Ordering::Relaxed);
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::SeqCst);
        Exchange(Arc::clone(self))
    }

    /// Whether a time limit has ended the connection while no request was in progress.
    pub(super) fn ended_at_rest(&self) -> bool {
        self.ended_at_rest.load(Ordering::Relaxed)
    }

    fn read(&self) {
        if self.open.load(Ordering::Relaxed) == 0 {
            self.head.store(true, Ordering::Relaxed);
        }
    }

    fn written(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
    }

    fn look(&self) -> Seen {
        Seen {
            open: self.open.load(Ordering::SeqCst) > 0,
            turns: self.turns.load(Ordering::Relaxed),
            head: self.head.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            blocked: self.blocked.load(Ordering::Relaxed),
        }
    }
}

/// A request in progress. Lives until hyper has read all of its response and the rest of its body is drained.
pub(super) struct Exchange(Arc<Notes>);

impl Clone for Exchange {
    fn clone(&self) -> Exchange {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Exchange(Arc::clone(&self.0))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        // If dropped outside of the connection's task, it must wake that task. Sequential consistency: either the task sees the
        // count when it reads the notes, or it has ended its poll and we see that here.
        if !self.0.polled.load(Ordering::SeqCst)
            && let Some(waker) = &*self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake_by_ref();
        }
    }
}

/// A copy of the notes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    open: bool,
    turns: u32,
    head: bool,
    writes: u32,
    blocked: bool,
}

/// The limits of a connection in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    idle: Duration,
    head: Duration,
    write: Duration,
}

impl Times {
    pub(super) fn of(limits: &Limits) -> Times {
        Times { idle: limits.idle_timeout, head: limits.head_timeout, write: limits.write_timeout }
    }
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No byte of the next request has arrived.
    Resting { since: Instant },
    /// A part of a request's head has arrived.
    Head { since: Instant },
    /// A request is in progress. Its body has a limit of its own.
    Serving,
}

/// The next step of the connection's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Check again at this time at the latest; `None`: at the next event.
    Wait(Option<Instant>),
    /// The client was idle for too long, or does not read the response.
    Close,
    HeadLate,
}

/// Decides which limits are reached, from copies of the notes and their times.
#[derive(Debug)]
struct Clock {
    times: Times,
    phase: Phase,
    seen: Seen,
    /// When the socket stopped accepting writes.
    blocked: Option<Instant>,
}

impl Clock {
    fn new(times: Times, now: Instant) -> Clock {
        Clock { times, phase: Phase::Resting { since: now }, seen: Seen::default(), blocked: None }
    }

    fn look(&mut self, seen: Seen, now: Instant) -> Next {
        let same_turn = seen.turns == self.seen.turns;
        let wrote = seen.writes != self.seen.writes;
        self.seen = seen;
        self.phase = match self.phase {
            _ if seen.open => Phase::Serving,
            Phase::Head { since } if seen.head && same_turn && !seen.blocked => Phase::Head { since },
            // hyper reads a new head only after it sent the last response.
            _ if seen.head => Phase::Head { since: now },
            // The rest of a response may still be on its way.
            Phase::Resting { since } if same_turn && !wrote => Phase::Resting { since },
            _ => Phase::Resting { since: now },
        };
        self.blocked = if seen.blocked { self.blocked.filter(|_| !wrote).or(Some(now)) } else { None };

        let write = self.blocked.map(|since| since + self.times.write);
        let (limit, reached) = match self.phase {
            Phase::Resting { since } => (Some(since + self.times.idle), Next::Close),
            Phase::Head { since } => (Some(since + self.times.head), Next::HeadLate),
            Phase::Serving => (None, Next::Close),
        };
        let is_over = |limit: Option<Instant>| limit.is_some_and(|limit| limit <= now);
        if is_over(write) {
            Next::Close
        } else if is_over(limit) {
            reached
        } else {
            Next::Wait(limit.into_iter().chain(write).min())
        }
    }
}

/// Runs a connection, whose socket is [`Reads`] and [`Writes`] with the same notes, until it ends; `None`: a time limit ended it.
pub(super) async fn drive<C: Future>(connection: C, notes: &Notes, times: Times) -> Option<C::Output> {
    let mut connection = pin!(connection);
    let mut clock = Clock::new(times, Instant::now());
    // Rarely set again: only when it has run out, or for an earlier limit.
    let mut timer = pin!(tokio::time::sleep(times.idle));
    let mut waker: Option<Waker> = None;
    let mut is_late = false;
    poll_fn(|cx| {
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            waker = Some(cx.waker().clone());
            *notes.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker.clone();
        }
        loop {
            notes.polled.store(true, Ordering::SeqCst);
            let polled = connection.as_mut().poll(cx);
            notes.polled.store(false, Ordering::SeqCst);
            if let Poll::Ready(output) = polled {
                return Poll::Ready(Some(output));
            }
            match clock.look(notes.look(), Instant::now()) {
                Next::Wait(None) => return Poll::Pending,
                Next::Wait(Some(limit)) => {
                    if timer.is_elapsed() || timer.deadline() > limit {
                        timer.as_mut().reset(limit);
                    }
                    ready!(timer.as_mut().poll(cx));
                }
                // hyper always reads while it waits for a head, and ends when that fails.
                Next::HeadLate if !is_late => {
                    is_late = true;
                    notes.ended_at_rest.store(true, Ordering::Relaxed);
                    notes.late.store(true, Ordering::Relaxed);
                }
                Next::HeadLate | Next::Close => {
                    let is_at_rest = matches!(clock.phase, Phase::Resting { .. }) && clock.blocked.is_none();
                    notes.ended_at_rest.store(is_at_rest, Ordering::Relaxed);
                    return Poll::Ready(None);
                }
            }
        }
    })
    .await
}

/// A connection that notes what was read from it. Inside of TLS or without TLS.
pub(super) struct Reads<S> {
    connection: S,
    notes: Arc<Notes>,
}

impl<S> Reads<S> {
    pub(super) fn new(connection: S, notes: Arc<Notes>) -> Reads<S> {
        Reads { connection, notes }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Reads<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.notes.late.load(Ordering::Relaxed) {
            const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            // If the socket does not accept it, the connection is closed anyway.
            let _ = Pin::new(&mut this.connection).poll_write(cx, TIMEOUT);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of the request took too long")));
        }
        let filled = buf.filled().len();
        let result = Pin::new(&mut this.connection).poll_read(cx, buf);
        if buf.filled().len() > filled {
            this.notes.read();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reads<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(cx)
    }
}

/// A socket that notes what it accepts. TLS is around it: TLS accepts writes that the socket does not accept yet.
pub(super) struct Writes<S> {
    socket: S,
    notes: Arc<Notes>,
}

impl<S> Writes<S> {
    pub(super) fn new(socket: S, notes: Arc<Notes>) -> Writes<S> {
        Writes { socket, notes }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.socket
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() {
            self.notes.blocked.store(true, Ordering::Relaxed);
        } else {
            self.notes.written();
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Writes<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Writes<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.note(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush, and its writes have a time limit.
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
