//! HTTP: every route, and [`serve`], which both the program and the tests call.

mod api;
mod asmx;
mod connection;
mod forwarded;
mod message;
mod netserver;
mod pages;
mod streamed;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{any, get};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::contract::asmx::PATH as ASMX_PATH;
use crate::contract::netserver::Endpoint;
use crate::metrics::Metrics;
use crate::service::{CallContext, Service};
use crate::soap::envelope;

pub use api::CorsOrigins;
pub use connection::{Shutdown, serve};
pub use forwarded::TrustedProxies;

/// Bounds on what one client can make the service hold or wait for. Most are settings; see `seatkeeper serve --help`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the request line and headers.
    pub head_bytes_max: usize,
    /// From the first byte of a request until its head is complete.
    pub head_timeout: Duration,
    /// How long a connection may rest between requests.
    pub idle_timeout: Duration,
    pub body_bytes_max: usize,
    /// From the end of the head until the body is complete.
    pub body_timeout: Duration,
    /// How long a client may take none of the bytes of an answer.
    pub write_timeout: Duration,
    /// Open connections; one more is told 503 and closed.
    pub connections_max: usize,
    /// How long a shutdown waits for calls under way.
    pub shutdown_timeout: Duration,
    pub xml: envelope::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes_max: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_bytes_max: 256 * 1024,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            connections_max: 4096,
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
    /// Whose word on the client and its address counts.
    pub trusted_proxies: TrustedProxies,
    /// Whose pages may call the Web API.
    pub cors_origins: CorsOrigins,
}

impl App {
    /// The request's context, with the client's own address where a trusted proxy tells it.
    fn context(&self, parts: &Parts) -> Option<CallContext> {
        let mut context = parts.extensions.get::<CallContext>()?.clone();
        if let Some(client) = self.trusted_proxies.read(context.peer, &parts.headers).client {
            context.peer = client;
        }
        Some(context)
    }

    /// Scheme, host and port that the client used: as configured, as a trusted proxy says, as the client says.
    fn base(&self, parts: &Parts) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let peer = parts.extensions.get::<CallContext>().map(|c| c.peer);
        let said = peer.map(|peer| self.trusted_proxies.read(peer, &parts.headers)).unwrap_or_default();
        let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
        let host = host.filter(|host| !host.is_empty()).map(str::to_owned);
        let local = || parts.extensions.get::<LocalAddr>().map(|l| l.0.clone()).unwrap_or_default();
        format!("{}://{}", said.scheme.as_deref().unwrap_or("http"), said.host.or(host).unwrap_or_else(local))
    }
}

/// The routes. Paths are matched in lower case: `dispatch` folds what the client typed.
pub fn router(app: Arc<App>) -> Router {
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
    router
        .route("/api", any(api::api))
        .route("/api/", any(api::api))
        .route("/api/{*rest}", any(api::api))
        .route("/", get(|| async { Redirect::temporary(ASMX_PATH) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing at this address.\n") })
        .with_state(app)
}

/// The routes of the metrics listener.
pub fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let render = move || async move {
        const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.render())
    };
    Router::new().route("/metrics", get(render))
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.service.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
        }
    }
}

/// The path as the client typed it, for addresses we tell it.
#[derive(Clone)]
struct TypedPath(Arc<str>);

/// Hands a request to the routes: matches paths without regard to case, gives it its context, and turns a panic into an
/// answer instead of a cut connection.
async fn dispatch(router: Router, request: Request<hyper::body::Incoming>, peer: SocketAddr) -> Response {
    let (mut parts, body) = request.into_parts();
    let context = CallContext {
        id: Uuid::new_v4(),
        now: jiff::Timestamp::now(),
        instant: Instant::now(),
        peer: canonical(peer.ip()),
    };
    let request_id = context.id;
    parts.extensions.insert(TypedPath(parts.uri.path().into()));
    parts.extensions.insert(context);
    if let Some(folded) = lower_case_path(&parts.uri) {
        parts.uri = folded;
    }
    let request = Request::from_parts(parts, Body::new(body));
    let answer = match misread(&request) {
        Some(status) => Some(Ok((status, [(header::CONNECTION, "close")]).into_response())),
        None => connection::catch_panic(router.oneshot(request)).await,
    };
    let mut response = match answer {
        Some(Ok(response)) => response,
        Some(Err(never)) => match never {},
        None => {
            tracing::error!(%request_id, "a request panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The answer to a request that a proxy before us may take for another one than we do: addressed to no host, to several or
/// to what is none (RFC 9112 §3.2), or in a transfer coding that is not ours (§6.1). hyper refuses the rest of what is
/// ambiguous.
fn misread(request: &Request) -> Option<StatusCode> {
    let values = |name| request.headers().get_all(name).iter();
    let mut hosts = values(header::HOST);
    let (host, more) = (hosts.next(), hosts.next().is_some());
    if more || !host.map_or(request.version() < Version::HTTP_11, is_host) {
        return Some(StatusCode::BAD_REQUEST);
    }
    let mut codings = values(header::TRANSFER_ENCODING);
    let (first, more) = (codings.next(), codings.next().is_some());
    let is_ours = first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    (more || !is_ours).then_some(StatusCode::NOT_IMPLEMENTED)
}

/// A name or address, with or without a port; or nothing, of a request for no host in particular (RFC 9110 §7.2).
fn is_host(value: &HeaderValue) -> bool {
    // The longest name and port. Answers say it again and again.
    const BYTES_MAX: usize = 255 + ":65535".len();
    let typed = value.as_bytes();
    if typed.is_empty() || typed.len() > BYTES_MAX || typed.iter().any(|byte| b"@,".contains(byte)) {
        return typed.is_empty();
    }
    Authority::try_from(typed).is_ok_and(|authority| {
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        port.is_empty() || authority.port_u16().is_some()
    })
}

/// An IPv4 client that came in over an IPv6 socket is still that IPv4 client.
fn canonical(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(peer, |v4: Ipv4Addr| IpAddr::V4(v4)),
        IpAddr::V4(_) => peer,
    }
}

fn lower_case_path(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !path.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let query = uri.query().map_or_else(String::new, |q| format!("?{q}"));
    format!("{}{query}", path.to_ascii_lowercase()).parse().ok()
}

/// The address a connection came in on: what to tell a client that sent no Host.
#[derive(Clone)]
struct LocalAddr(String);

/// As .NET decodes URLs and what stands in them: `+` is a space, and what is no escape stays as it is.
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
