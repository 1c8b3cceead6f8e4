//! What a browser or a client generator gets with `GET` on the ASMX address, and the test form.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version as HttpVersion, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};

use super::forwarded::is_forwarded;
use super::{Address, App, percent_decode};
use crate::contract::asmx::{self, CONTRACT};
use crate::contract::help::{self, Test};
use crate::contract::{sample, wsdl};
use crate::service::CallContext;
use crate::soap::Version;

pub(super) async fn service(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let Some(path) = parts.extensions.get::<Address>().map(Address::whole) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let path = path.as_str();
    let origin = app.origin(&parts);
    let (key, value) = query(&parts.uri);
    match key.as_str() {
        "wsdl" => xml(wsdl::render(&CONTRACT, &format!("{origin}{path}"))),
        "disco" => xml(wsdl::render_disco(&CONTRACT, &format!("{origin}{path}"))),
        "style" => style(),
        "op" => match CONTRACT.operation(&value) {
            Some(operation) => {
                let test = is_local(&app, &parts).then(Test::default);
                html(help::operation(&CONTRACT, operation, path, host_of(&origin), test))
            }
            None => html(help::unknown_operation(&CONTRACT, &value, path)),
        },
        _ => html(help::overview(&CONTRACT, path)),
    }
}

/// The test form, sent. `None`: this is not the form, or not from a browser that may use it.
pub(super) async fn test_form(app: &App, parts: &Parts, body: &[u8]) -> Option<Response> {
    let context = app.context(parts)?;
    let path = parts.extensions.get::<Address>()?.whole();
    let operation = CONTRACT.operation(&query(&parts.uri).1).filter(|o| help::is_simple(o))?;
    let origin = app.origin(parts);
    if !is_local(app, parts) || !is_own_button(&parts.headers, &origin) {
        return None;
    }
    let values: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let value = |name: &str| values.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).filter(|v| !v.is_empty());
    let version = if value(help::VERSION_FIELD).as_deref() == Some("1.2") { Version::Soap12 } else { Version::Soap11 };
    let envelope = sample::request_envelope(&CONTRACT, operation, version, &|field| value(field.name));
    let shown = sample::request_envelope(&CONTRACT, operation, version, &|field| match field.name {
        "Password" => value(field.name).map(|_| "********".to_owned()),
        name => value(name),
    });
    let answer = super::asmx::answer_test(app, &context, version, &envelope).await;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, SHOWN_BYTES_MAX).collect().await;
    let body = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
    let answer = body.unwrap_or_else(|_| format!("(more than {SHOWN_BYTES_MAX} bytes: not shown)"));
    let test = Test {
        exchange: Some((shown, format!("HTTP {}\n\n{answer}", head.status))),
        values: values.into_iter().filter(|(name, _)| name != "Password").collect(),
    };
    Some(html(help::operation(&CONTRACT, operation, &path, host_of(&origin), Some(test))))
}

/// Longest answer the test form shows.
const SHOWN_BYTES_MAX: usize = 256 * 1024;

fn host_of(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, host)| host)
}

/// The first parameter of the query that is known here: its name in lower case, its value decoded.
fn query(uri: &Uri) -> (String, String) {
    let pairs = uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value));
    let found = pairs.find(|(name, _)| ["wsdl", "disco", "style", "op"].contains(&name.as_str()));
    found.map(|(name, value)| (name, readable(value))).unwrap_or_default()
}

/// Whether the request seems to come from a browser on this machine. A proxy on this machine may pass on anything.
fn is_local(app: &App, parts: &Parts) -> bool {
    let peer = parts.extensions.get::<CallContext>().map(|context| context.peer);
    app.test_form
        // public_url and trusted_proxies mean that there is a proxy.
        && app.public_url.is_none()
        && peer.is_some_and(|peer| peer.is_loopback() && !app.limits.trusted_proxies.contains(peer))
        && !is_forwarded(&parts.headers)
        && parts.headers.get(header::HOST).is_some_and(is_loopback_host)
        // Browsers have not spoken HTTP/1.0 for decades; nginx does, to what it passes requests on to.
        && parts.version >= HttpVersion::HTTP_11
}

/// `localhost` or a loopback address, with or without a port. Any other name that resolves to one may be an attacker's.
fn is_loopback_host(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether the form was sent from a page of this service. Every browser sends the page's origin with a POST, so a page of
/// another site cannot send the form. Behind a proxy that adds no header, the origin is not the one of this service.
fn is_own_button(headers: &HeaderMap, origin: &str) -> bool {
    let is = |name: HeaderName, value: &str| headers.get(name).is_some_and(|own| own == value);
    let sec_fetch_site = HeaderName::from_static("sec-fetch-site");
    is(header::ORIGIN, origin) && (!headers.contains_key(&sec_fetch_site) || is(sec_fetch_site, "same-origin"))
}

/// An operation by path instead of by message. .NET serves that where GET and POST of forms are turned on; here they are off.
pub(super) async fn below_asmx(Extension(address): Extension<Address>) -> Response {
    let path = address.path();
    let (service, rest) = path.split_at_checked(asmx::PATH.len()).unwrap_or((path, ""));
    (StatusCode::INTERNAL_SERVER_ERROR, html(help::unrecognized_path(&CONTRACT, service, rest, &readable(rest))))
        .into_response()
}

/// Part of a URL, for people to read.
fn readable(part: &str) -> String {
    percent_decode(part).replace(char::is_control, "\u{FFFD}")
}

pub(super) fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], help::STYLE).into_response()
}

pub(super) fn xml(document: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "private, max-age=0")], document)
        .into_response()
}

/// The pages need nothing but themselves and their style sheet.
const HTML_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=0")),
];

pub(super) fn html(page: String) -> Response {
    (HTML_HEADERS, page).into_response()
}
