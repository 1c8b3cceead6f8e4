//! Bodies of requests: the limit of their memory, and the draining of unread bodies.
//!
//! A handler may drop a body at any time. The rest is drained, within limits, so that the client can read the response: closing a
//! connection with unread bytes resets it, and the client then loses the response. If hyper is going to close the connection, the
//! response says so.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};

use super::limits::{Limits, LiveLimits, RETRY_SECONDS};
use super::places::Client;
use super::timeouts::Exchange;
use crate::metrics::Metrics;

/// A body up to this length is not counted, because its connection takes about as much anyway. Almost every call is that short,
/// and is answered also while large bodies are refused.
const UNCOUNTED_BYTES: usize = 8 * 1024;

/// How long a response waits for the rest of a short body, so that the connection can be reused.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits of the drained rest of a body.
const DISCARD_BYTES_MAX: u64 = 32 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// The memory that the bodies of all requests may take.
pub(super) struct Budget {
    limits: LiveLimits,
    taken: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Budget {
    pub(super) fn new(limits: LiveLimits, metrics: Arc<Metrics>) -> Arc<Budget> {
        Arc::new(Budget { limits, taken: AtomicUsize::new(0), metrics })
    }

    fn bytes_max(&self) -> usize {
        let limits = self.limits.now();
        // Room for two bodies of the greatest length, so that one client's body leaves room for another's.
        let least = limits.body_bytes_max.checked_next_power_of_two().unwrap_or(usize::MAX / 2).saturating_mul(2);
        limits.bodies_bytes_max.max(least)
    }
}

/// Adds bytes to a counter, unless it would exceed its limit.
fn take(counter: &AtomicUsize, bytes: usize, bytes_max: usize) -> bool {
    let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= bytes_max);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// The body of the current request of one connection.
pub(super) struct Intake {
    budget: Arc<Budget>,
    /// `None`: limits per client do not apply.
    client: Option<Arc<Client>>,
    /// Bytes of the budget that the current body has taken.
    counted: AtomicUsize,
    returned: Mutex<Returned>,
}

/// The rest of a body that a handler dropped.
enum Returned {
    /// No request is waiting for it.
    Closed,
    Open(Option<Left>),
}

/// The state of a dropped body.
struct Left {
    /// `None`: it was read to its end, or until an error.
    unread: Option<Incoming>,
    /// The handler began to read: hyper has sent `100 Continue` to a client that waits for it.
    is_asked_for: bool,
    is_broken: bool,
    has_no_room: bool,
}

impl Intake {
    pub(super) fn new(budget: Arc<Budget>, client: Option<Arc<Client>>) -> Arc<Intake> {
        let (counted, returned) = (AtomicUsize::new(0), Mutex::new(Returned::Closed));
        Arc::new(Intake { budget, client, counted, returned })
    }

    /// The limits that are in force.
    pub(super) fn limits(&self) -> Arc<Limits> {
        self.budget.limits.now()
    }

    fn returned(&self) -> MutexGuard<'_, Returned> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body as handlers get it.
    pub(super) fn admit(self: &Arc<Self>, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        *self.returned() = Returned::Open(None);
        let length = match body.size_hint().exact().unwrap_or(0) {
            // Almost every body: the limit is not needed.
            short if short <= UNCOUNTED_BYTES as u64 => short as usize,
            long => long.min(self.budget.limits.now().body_bytes_max as u64) as usize,
        };
        let left = Left { unread: Some(body), is_asked_for: false, is_broken: false, has_no_room: false };
        Body::new(RequestBody { intake: Arc::clone(self), left: Some(left), bytes: 0, length })
    }

    /// Counts the body's buffer, which grows by doubling; `false`: there is no room for it. A body of known length counts in full
    /// at once, so that it is not refused half way.
    fn count(&self, bytes: usize, length: usize) -> bool {
        let counted = self.counted.load(Ordering::Relaxed);
        if bytes <= UNCOUNTED_BYTES.max(counted) {
            return true;
        }
        let (size, max) = (bytes.max(length).next_power_of_two(), self.budget.bytes_max());
        let more = size - counted;
        // One client alone may use half of it.
        let client = self.client.as_ref().map(|client| &client.body_bytes);
        if client.is_some_and(|client| !take(client, more, max / 2)) {
            return false;
        }
        if !take(&self.budget.taken, more, max) {
            client.inspect(|client| _ = client.fetch_sub(more, Ordering::Relaxed));
            return false;
        }
        self.counted.store(size, Ordering::Relaxed);
        true
    }

    /// Releases the body's memory. The response is ready, so its bytes have been dropped.
    pub(super) fn clear(&self) {
        *self.returned() = Returned::Closed;
        let counted = self.counted.swap(0, Ordering::Relaxed);
        if counted > 0 {
            self.budget.taken.fetch_sub(counted, Ordering::Relaxed);
            self.client.as_ref().inspect(|client| _ = client.body_bytes.fetch_sub(counted, Ordering::Relaxed));
        }
    }

    /// Drains the rest of the body, and marks the response if the connection will be closed.
    pub(super) async fn settle(&self, mut response: Response, request: &Framing, exchange: &Exchange) -> Response {
        let returned = std::mem::replace(&mut *self.returned(), Returned::Closed);
        let Returned::Open(Some(left)) = returned else { return response };
        if left.has_no_room {
            self.budget.metrics.bodies_refused.inc();
            response = no_room();
        }
        let Some(mut unread) = left.unread else {
            if left.is_broken {
                close(&mut response);
            }
            return response;
        };
        if request.expects_continue && !left.is_asked_for {
            // The client sends the body only when it is asked for.
            close(&mut response);
            return response;
        }
        if !request.closes && !says_close(response.headers()) && self.reads_rest(&mut unread).await {
            return response;
        }
        close(&mut response);
        let exchange = exchange.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard(&mut unread, DISCARD_BYTES_MAX)).await;
            drop((unread, exchange));
        });
        response
    }

    async fn reads_rest(&self, body: &mut Incoming) -> bool {
        let bytes_max = self.budget.limits.now().body_bytes_max as u64;
        body.size_hint().lower() <= bytes_max
            && tokio::time::timeout(REST_TIMEOUT, discard(body, bytes_max)).await.unwrap_or(false)
    }
}

/// Drains a body; returns whether it ended within the limit.
async fn discard(body: &mut Incoming, bytes_max: u64) -> bool {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > bytes_max {
            return false;
        }
    }
    true
}

/// The parts of a request's head that decide whether its connection can stay open.
pub(super) struct Framing {
    version: Version,
    expects_continue: bool,
    closes: bool,
}

impl Framing {
    pub(super) fn of(version: Version, headers: &HeaderMap) -> Framing {
        let keeps = || tokens(headers).any(|token| token.eq_ignore_ascii_case("keep-alive"));
        Framing {
            version,
            // As hyper interprets it.
            expects_continue: version > Version::HTTP_10 && headers.contains_key(header::EXPECT),
            closes: says_close(headers) || (version < Version::HTTP_11 && !keeps()),
        }
    }

    /// Corrects the Connection header of a response to HTTP/1.0.
    pub(super) fn apply(&self, response: &mut Response) {
        if self.version >= Version::HTTP_11 {
            return;
        }
        // A body of unknown length ends with the connection: HTTP/1.0 has no chunks.
        if response.body().size_hint().exact().is_none() {
            close(response);
        }
        if says_close(response.headers()) {
            // To a response of version 1.1 hyper would add `keep-alive`.
            *response.version_mut() = Version::HTTP_10;
        }
    }
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn says_close(headers: &HeaderMap) -> bool {
    tokens(headers).any(|token| token.eq_ignore_ascii_case("close"))
}

/// Makes the response the last one of its connection.
pub(crate) fn close(response: &mut Response) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

fn no_room() -> Response {
    const TEXT: &str = "The service holds too many large requests. Send this one again in a few seconds.\n";
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, TEXT).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_SECONDS.into());
    response
}

/// A body on its way to a handler.
struct RequestBody {
    intake: Arc<Intake>,
    left: Option<Left>,
    /// Bytes received.
    bytes: usize,
    /// Bytes announced; 0: unknown.
    length: usize,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Some(left) = &mut this.left else { return Poll::Ready(None) };
        if left.has_no_room {
            return Poll::Ready(None);
        }
        let Some(body) = &mut left.unread else { return Poll::Ready(None) };
        left.is_asked_for = true;
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => left.unread = None,
            Poll::Ready(Some(Err(_))) => (left.unread, left.is_broken) = (None, true),
            Poll::Ready(Some(Ok(frame))) => {
                this.bytes += frame.data_ref().map_or(0, Bytes::len);
                if !this.intake.count(this.bytes, this.length) {
                    left.has_no_room = true;
                    return Poll::Ready(Some(Err(axum::Error::new("there is no room for it"))));
                }
            }
        }
        polled.map_err(axum::Error::new)
    }

    fn is_end_stream(&self) -> bool {
        self.left.as_ref().and_then(|left| left.unread.as_ref()).is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.as_ref().and_then(|left| left.unread.as_ref()).map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(mut left) = self.left.take() {
            left.unread.take_if(|body| body.is_end_stream());
            if let Returned::Open(place) = &mut *self.intake.returned() {
                *place = Some(left);
            }
        }
    }
}

/// The body of a response. Its exchange ends when hyper has read all of it.
pub(super) struct ResponseBody {
    body: Body,
    _exchange: Exchange,
}

impl ResponseBody {
    pub(super) fn new(body: Body, exchange: Exchange) -> ResponseBody {
        ResponseBody { body, _exchange: exchange }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
