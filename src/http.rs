//! HTTP: every route, and [`serve`], which both the program and the tests call.

mod address;
mod api;
mod asmx;
mod bodies;
mod connection;
mod forwarded;
mod message;
mod netserver;
mod pages;
mod places;
mod streamed;
mod timeouts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::contract::asmx::PATH as ASMX_PATH;
use crate::contract::netserver::Endpoint;
use crate::metrics::Metrics;
use crate::service::{CallContext, Service};
use crate::soap::envelope;
use crate::store::StoreError;

use address::Address;
use bodies::Framing;
use connection::Connection;
use timeouts::Exchange;

pub use address::PathPrefix;
pub use api::CorsOrigins;
pub use connection::{DESCRIPTORS, Shutdown, serve};
pub use forwarded::TrustedProxies;

/// Bounds on what one client can make the service hold or wait for. Most are settings; see `seatkeeper serve --help`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the request line and headers.
    pub head_bytes_max: usize,
    /// From the first byte of a request until its head is complete.
    pub head_timeout: Duration,
    /// How long a connection may rest between requests. More than the 100 s for which .NET keeps an unused one: if the
    /// service closes first, the client may just be sending a call, which then fails.
    pub idle_timeout: Duration,
    pub body_bytes_max: usize,
    /// Memory for all bodies of more than 8 KiB together; one client gets half of it. A request beyond it is answered 503.
    pub bodies_bytes_max: usize,
    /// From the end of the head until the body is complete.
    pub body_timeout: Duration,
    /// How long a client may take none of the bytes of an answer.
    pub write_timeout: Duration,
    /// Open connections; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Open connections of one client, which is an IPv4 address or the /64 of an IPv6 address; 0: no limit.
    pub connections_per_client_max: usize,
    /// Proxies whose headers about the client count. They carry many clients, so limits per client do not apply to them.
    pub trusted_proxies: TrustedProxies,
    /// How long a shutdown waits for calls under way.
    pub shutdown_timeout: Duration,
    pub xml: envelope::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes_max: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            body_bytes_max: 256 * 1024,
            bodies_bytes_max: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections_max: 4096,
            connections_per_client_max: 1024,
            trusted_proxies: TrustedProxies::default(),
            shutdown_timeout: Duration::from_secs(30),
            xml: envelope::Limits::default(),
        }
    }
}

/// What the routes share.
pub struct App {
    pub service: Arc<Service>,
    pub limits: Limits,
    /// Scheme, host and port clients reach us at, where that is not what they send as Host; no trailing slash.
    pub public_url: Option<String>,
    /// Whose pages may call the Web API.
    pub cors_origins: CorsOrigins,
    /// Every address is served below it, too.
    pub path_prefix: Option<PathPrefix>,
    /// Whether browsers on the service's own machine get the test form.
    pub test_form: bool,
}

impl App {
    /// The request's context, with the client's own address where a trusted proxy tells it.
    fn context(&self, parts: &Parts) -> Option<CallContext> {
        let mut context = parts.extensions.get::<CallContext>()?.clone();
        if let Some(client) = self.limits.trusted_proxies.read(context.peer, &parts.headers).client {
            context.peer = client;
        }
        Some(context)
    }

    /// The beginning of every address in a response: the origin, and the prefix that the client used.
    fn base(&self, parts: &Parts) -> String {
        let prefix = parts.extensions.get::<Address>().map(Address::prefix).unwrap_or_default();
        self.origin(parts) + prefix
    }

    /// Scheme, host and port that the client used: as configured, or else as a trusted proxy or the client says.
    fn origin(&self, parts: &Parts) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let peer = parts.extensions.get::<CallContext>().map(|c| c.peer);
        let said = peer.map(|peer| self.limits.trusted_proxies.read(peer, &parts.headers)).unwrap_or_default();
        let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
        let host = host.filter(|host| !host.is_empty()).map(str::to_owned);
        let local = || parts.extensions.get::<LocalAddr>().map(|local| local.0.to_string()).unwrap_or_default();
        format!("{}://{}", said.scheme.as_deref().unwrap_or("http"), said.host.or(host).unwrap_or_else(local))
    }
}

/// What a listener serves.
pub struct Routes {
    router: Router,
    prefix: Option<PathPrefix>,
    /// Whose clock counts; `None`: no route depends on the time.
    service: Option<Arc<Service>>,
}

/// The routes. `dispatch` puts paths into lower case and normal form first.
pub fn router(app: Arc<App>) -> Routes {
    let prefix = app.path_prefix.clone();
    let asmx = ASMX_PATH.to_ascii_lowercase();
    let mut router = Router::new()
        .route(&asmx, get(pages::service).post(asmx::call))
        .route(&format!("{asmx}/{{*rest}}"), get(pages::below_asmx).post(pages::below_asmx));
    for endpoint in Endpoint::all() {
        let path = endpoint.path().to_ascii_lowercase();
        let routes = get(move |app, request| netserver::page(endpoint, app, request))
            .post(move |app, request| netserver::call(endpoint, app, request));
        router = router.route(&format!("{path}/"), routes.clone()).route(&path, routes);
    }
    let router = router
        .route("/api", any(api::api))
        .route("/api/", any(api::api))
        .route("/api/{*rest}", any(api::api))
        .route("/", get(start))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing at this address.\n") })
        .with_state(Arc::clone(&app));
    Routes { router, prefix, service: Some(Arc::clone(&app.service)) }
}

/// The routes of the metrics listener.
pub fn metrics_router(metrics: Arc<Metrics>) -> Routes {
    let render = move || async move {
        const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.render())
    };
    Routes { router: Router::new().route("/metrics", get(render)), prefix: None, service: None }
}

async fn start(Extension(address): Extension<Address>) -> Redirect {
    Redirect::temporary(&format!("{}{ASMX_PATH}", address.prefix()))
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.service.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            // The text of a failure may name paths, which are for the log.
            let why = match error {
                StoreError::Stopped(fault) => format!("not ready: {fault}\n"),
                StoreError::Unknown(_) => "not ready: changes cannot be saved\n".to_owned(),
                StoreError::Closed => "not ready: the service is stopping\n".to_owned(),
                StoreError::Unreachable(_) => "not ready: the database is out of reach\n".to_owned(),
                _ => "not ready: the database cannot be read\n".to_owned(),
            };
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

/// Hands a request to the routes. Puts its address into normal form, adds its context, turns a panic into a response, and
/// reads and drops what a handler left of the body.
async fn dispatch(
    routes: &Routes,
    request: Request<hyper::body::Incoming>,
    connection: &Connection,
    exchange: &Exchange,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let now = jiff::Timestamp::now();
    let context = CallContext {
        id: Uuid::new_v4(),
        now: routes.service.as_ref().map_or(now, |service| service.corrected(now)),
        instant: Instant::now(),
        // An IPv4 client that came in over an IPv6 socket is still that IPv4 client.
        peer: connection.peer.ip().to_canonical(),
        name: None,
    };
    let request_id = context.id;
    let framing = Framing::of(parts.version, &parts.headers);
    let refused = ambiguous(&parts);
    let address = Address::of(&parts.uri, routes.prefix.as_ref());
    if let Some(host) = absolute_host(&parts.uri) {
        parts.headers.insert(header::HOST, host);
    }
    if let Some(routed) = address.routed(&parts.uri) {
        parts.uri = routed;
    }
    parts.extensions.insert(address);
    parts.extensions.insert(LocalAddr(Arc::clone(&connection.local)));
    parts.extensions.insert(context);
    let body = connection.intake.admit(body);
    // Gives back the memory of the body, also if this future is dropped.
    let intake = Cleared(&connection.intake);
    let answer = match refused {
        Some((status, why)) => {
            drop(body);
            Some(Ok((status, [(header::CONNECTION, "close")], format!("{why}\n")).into_response()))
        }
        None => connection::catch_panic(routes.router.clone().oneshot(Request::from_parts(parts, body))).await,
    };
    let response = match answer {
        Some(Ok(response)) => response,
        Some(Err(never)) => match never {},
        None => {
            tracing::error!(%request_id, "a request panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    let mut response = intake.0.settle(response, &framing, exchange).await;
    framing.apply(&mut response);
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// Gives back on drop the memory that a body took.
struct Cleared<'a>(&'a bodies::Intake);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// The host of a request target in absolute form. It replaces the Host header (RFC 9112 §3.2.2).
fn absolute_host(uri: &Uri) -> Option<HeaderValue> {
    uri.scheme().and(uri.authority()).and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
}

/// The status and the reason for a request that a proxy in front may read in another way than the service: without a host,
/// with several or with an invalid one (RFC 9112 §3.2), or in a transfer coding that is not supported (§6.1). hyper refuses
/// the other ambiguous requests.
fn ambiguous(parts: &Parts) -> Option<(StatusCode, &'static str)> {
    let values = |name| parts.headers.get_all(name).iter();
    let mut hosts = values(header::HOST);
    let reason = match (hosts.next(), hosts.next()) {
        (None, _) if parts.version >= Version::HTTP_11 => Some("The request has no Host header. Send one."),
        (Some(_), Some(_)) => Some("The request has several Host headers. Send one."),
        (Some(host), None) if !is_host(host) => {
            Some("The Host header is not a name or an address, with or without a port.")
        }
        _ if absolute_host(&parts.uri).is_some_and(|host| !is_host(&host)) => {
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
fn is_host(value: &HeaderValue) -> bool {
    // The longest name and port. A WSDL repeats it many times.
    const BYTES_MAX: usize = 255 + ":65535".len();
    let typed = value.as_bytes();
    if typed.is_empty() || typed.len() > BYTES_MAX || typed.iter().any(|byte| b"@,".contains(byte)) {
        return typed.is_empty();
    }
    Authority::try_from(typed).is_ok_and(|authority| {
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        // The digits behind the colon may be missing (RFC 3986 §3.2.3).
        matches!(port, "" | ":") || authority.port_u16().is_some()
    })
}

/// The address that a connection came in on: given to a client that sent no Host.
#[derive(Clone)]
struct LocalAddr(Arc<str>);

/// Decodes percent escapes as .NET does in URLs: `+` is a space, and an invalid escape stays as it is.
fn percent_decode(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
        let mut ahead = bytes.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_decoded() {
        for (value, expected) in [
            ("a%2Fb", "a/b"),
            ("a%2fb", "a/b"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("a+b", "a b"),
            ("%", "%"),
            ("%2", "%2"),
        ] {
            assert_eq!(percent_decode(value), expected);
        }
    }
}
