//! Takes a request to its handler, and the response back.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::address::{Address, PathPrefix};
use super::intake::{Framing, Intake};
use super::site::Arrival;
use super::timeouts::Exchange;
use crate::service::{CallContext, FIRST_ADMINISTRATOR_PATH, SIGN_IN_PATH, Service};
use crate::store::{Trace, Trail};

/// The routes of a listener.
pub struct Routes {
    router: Router,
    prefix: Option<PathPrefix>,
    clock: Option<Arc<Service>>,
}

impl Routes {
    /// `router` has its paths in lower case. `prefix`: every path is served below it too. `clock`: the service whose clock gives
    /// the time of a request; `None`: no route depends on the time.
    pub(crate) fn new(router: Router, prefix: Option<PathPrefix>, clock: Option<Arc<Service>>) -> Routes {
        Routes { router, prefix, clock }
    }
}

/// A connection, as its requests see it.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// Address and port that the client reached.
    pub(super) local: Arc<str>,
    /// `https` if it speaks TLS.
    pub(super) scheme: &'static str,
    pub(super) intake: Arc<Intake>,
}

/// Hands a request to the routes. Puts its address into normal form, adds its context, turns a panic into a response, and drains
/// the rest of the body that the handler did not read.
pub(super) async fn dispatch(
    routes: &Routes,
    request: Request<Incoming>,
    connection: &Connection,
    exchange: &Exchange,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let now = jiff::Timestamp::now();
    let context = CallContext {
        id: Uuid::new_v4(),
        now: routes.clock.as_ref().map_or(now, |service| service.corrected(now)),
        instant: Instant::now(),
        // An IPv4 client on an IPv6 socket counts as that IPv4 client.
        peer: connection.peer.ip().to_canonical(),
        name: None,
        trail: Arc::new(Trail::new(trace(&parts.headers))),
    };
    let (request_id, instant, peer) = (context.id, context.instant, context.peer);
    let trail = Arc::clone(&context.trail);
    let framing = Framing::of(parts.version, &parts.headers);
    let refused = ambiguous(&parts);
    let address = Address::of(&parts.uri, routes.prefix.as_ref());
    if let Some(host) = absolute_host(&parts.uri) {
        parts.headers.insert(header::HOST, host);
    }
    if let Some(routed) = address.routed(&parts.uri) {
        parts.uri = routed;
    }
    let logging = routes.clock.as_ref().filter(|service| service.logs_calls());
    let target = logging.map(|_| (parts.method.clone(), path_for_log(parts.uri.path())));
    // Also of a request that no handler takes.
    let client = logging.and_then(|_| connection.intake.limits().trusted_proxies.read(peer, &parts.headers).client);
    parts.extensions.insert(Arrival {
        context,
        address,
        local: Arc::clone(&connection.local),
        scheme: connection.scheme,
    });
    let body = connection.intake.admit(body);
    // Releases the memory of the body, also if this future is dropped.
    let intake = Cleared(&connection.intake);
    let answer = match refused {
        Some((status, why)) => {
            drop(body);
            Some(Ok((status, [(header::CONNECTION, "close")], format!("{why}\n")).into_response()))
        }
        None => catch_panic(routes.router.clone().oneshot(Request::from_parts(parts, body))).await,
    };
    let response = match answer {
        Some(Ok(response)) => response,
        Some(Err(never)) => match never {},
        None => {
            let line = routes.clock.as_ref().map_or(Some(0), |service| service.line_of_failure("panic"));
            if let Some(left_out) = line {
                tracing::error!(%request_id, left_out, "a request panicked: report it, with the line about the panic before this one");
            }
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    let mut response = intake.0.settle(response, &framing, exchange).await;
    framing.apply(&mut response);
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    if let Some((method, path)) = target {
        let facts = trail.facts();
        // A call has its own line. A probe every few seconds is no news.
        if !facts.is_logged && !["/healthz", "/readyz"].contains(&path.as_str()) {
            tracing::info!(
                target: "seatkeeper::access",
                client = %facts.client.or(client).unwrap_or(peer),
                status = response.status().as_u16(),
                %method,
                path,
                surface = facts.surface,
                %request_id,
                trace_id = facts.trace.as_ref().map(|trace| trace.trace_id.as_str()),
                parent_id = facts.trace.as_ref().map(|trace| trace.parent_id.as_str()),
                duration_ms = instant.elapsed().as_micros() as f64 / 1000.0,
                bytes = response.body().size_hint().exact(),
                credential = facts.credential.as_deref(),
                "request"
            );
        }
    }
    response
}

/// The place of a request in the caller's trace. Several headers are invalid (Trace Context §3.2).
fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut values = headers.get_all("traceparent").iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { Trace::parse(value.as_bytes()) }
}

/// The path of a request without what is secret in it: the end of a one-time link. The query is no part of it.
fn path_for_log(path: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let ends = [FIRST_ADMINISTRATOR_PATH, SIGN_IN_PATH].into_iter().filter_map(|link| {
        let at = lower.find(&format!("{link}/"))?;
        Some(at + link.len() + 1)
    });
    match ends.min() {
        Some(end) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// Releases the memory of a body on drop.
struct Cleared<'a>(&'a Intake);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// The host of a request target in absolute form. It replaces the Host header (RFC 9112 §3.2.2).
fn absolute_host(uri: &Uri) -> Option<HeaderValue> {
    uri.scheme().and(uri.authority()).and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
}

/// The status and the reason for a request that a proxy in front may parse differently (request smuggling): without a host, with
/// several hosts or an invalid one (RFC 9112 §3.2), or in an unsupported transfer coding (§6.1). hyper refuses other ambiguous
/// requests.
fn ambiguous(parts: &Parts) -> Option<(StatusCode, &'static str)> {
    let values = |name| parts.headers.get_all(name).iter();
    let mut hosts = values(header::HOST);
    let reason = match (hosts.next(), hosts.next()) {
        (None, _) if parts.version >= Version::HTTP_11 => Some("The request has no Host header. Send one."),
        (Some(_), Some(_)) => Some("The request has several Host headers. Send one."),
        (Some(host), None) if !is_host(host.as_bytes()) => {
            Some("The Host header is not a name or an address, with or without a port.")
        }
        _ if absolute_host(&parts.uri).is_some_and(|host| !is_host(host.as_bytes())) => {
            Some("The host in the request's target is not a name or an address, with or without a port.")
        }
        _ => None,
    };
    if let Some(reason) = reason {
        return Some((StatusCode::BAD_REQUEST, reason));
    }
    let mut codings = values(header::TRANSFER_ENCODING);
    let (first, more) = (codings.next(), codings.next().is_some());
    let is_ours = first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    const CODING: &str = "The Transfer-Encoding is not supported. Send chunked alone, or a Content-Length.";
    (more || !is_ours).then_some((StatusCode::NOT_IMPLEMENTED, CODING))
}

/// A name or address, with or without a port; or empty (RFC 9110 §7.2).
pub(crate) fn is_host(typed: &[u8]) -> bool {
    // The longest name and port. A WSDL repeats it many times.
    const BYTES_MAX: usize = 255 + ":65535".len();
    if typed.is_empty() || typed.len() > BYTES_MAX || typed.iter().any(|byte| b"@,".contains(byte)) {
        return typed.is_empty();
    }
    Authority::try_from(typed).is_ok_and(|authority| {
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        // The digits after the colon may be missing (RFC 3986 §3.2.3).
        matches!(port, "" | ":") || authority.port_u16().is_some()
    })
}

/// Runs a future; `None` if it panicked.
pub(super) async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}
