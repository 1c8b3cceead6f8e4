//! Responses to `GET` on the ASMX address, for browsers and client generators; and the test form.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version as HttpVersion, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};

use super::help::{self, Test};
use super::{CONTRACT, PATH, endpoint, sample, wsdl};
use crate::http::address::percent_decode;
use crate::http::body::{ContentType, is_compressed, read_body};
use crate::http::forwarded::is_forwarded;
use crate::http::html;
use crate::http::site::{Received, WithBody};
use crate::soap::Version;

/// `GET` on the ASMX address. `test_form`: whether browsers on this machine get the test form.
pub(crate) async fn service(request: Received, test_form: bool) -> Response {
    let path = request.address.whole();
    let path = path.as_str();
    let origin = request.origin();
    let (key, value) = query(&request.parts.uri);
    match key.as_str() {
        "wsdl" => html::xml(wsdl::render(&CONTRACT, &format!("{origin}{path}"))),
        "disco" => html::xml(wsdl::render_disco(&CONTRACT, &format!("{origin}{path}"))),
        "style" => html::style(),
        "op" => match CONTRACT.operation(&value) {
            Some(operation) => {
                let test = (test_form && is_local(&request)).then(Test::default);
                help::operation(&CONTRACT, operation, path, host_of(&origin), test)
            }
            None => help::unknown_operation(&CONTRACT, &value, path),
        },
        _ => help::overview(&CONTRACT, path),
    }
}

/// `POST` on the ASMX address: a message, or the test form. `test_form`: whether browsers on this machine may use it.
pub(crate) async fn post(WithBody(request, body): WithBody, test_form: bool) -> Response {
    let headers = &request.parts.headers;
    if !is_form(headers) || is_compressed(headers) {
        return endpoint::call(&request, body).await;
    }
    if let Ok(bytes) = read_body(body, headers, &request.limits).await
        && test_form
        && let Some(page) = self::test_form(&request, &bytes).await
    {
        return page;
    }
    // It refuses the Content-Type.
    endpoint::call(&request, Body::empty()).await
}

/// Whether the Content-Type is that of forms. Most requests are messages, for which one comparison is enough.
fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &str = "application/x-www-form-urlencoded";
    let begins = |value: &HeaderValue| {
        let start = value.as_bytes().trim_ascii_start().get(..FORM.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(FORM.as_bytes()))
    };
    headers.get(header::CONTENT_TYPE).is_some_and(begins)
        && ContentType::of(headers).is_some_and(|of| of.media_type == FORM)
}

/// The response to the test form. `None`: the body is not the form, or the browser may not use it.
async fn test_form(request: &Received, body: &[u8]) -> Option<Response> {
    let path = request.address.whole();
    let operation = CONTRACT.operation(&query(&request.parts.uri).1).filter(|o| help::is_simple(o))?;
    let origin = request.origin();
    if !is_local(request) || !is_own_button(&request.parts.headers, &origin) {
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
    let answer = endpoint::answer_test(request, version, &envelope).await;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, SHOWN_BYTES_MAX).collect().await;
    let body = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
    let answer = body.unwrap_or_else(|_| format!("(more than {SHOWN_BYTES_MAX} bytes: not shown)"));
    let test = Test {
        exchange: Some((shown, format!("HTTP {}\n\n{answer}", head.status))),
        values: values.into_iter().filter(|(name, _)| name != "Password").collect(),
    };
    Some(help::operation(&CONTRACT, operation, &path, host_of(&origin), Some(test)))
}

/// The longest response that the test form shows.
const SHOWN_BYTES_MAX: usize = 256 * 1024;

fn host_of(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, host)| host)
}

/// The first known parameter of the query: its name in lower case, its value decoded.
fn query(uri: &Uri) -> (String, String) {
    let pairs = uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value));
    let found = pairs.find(|(name, _)| ["wsdl", "disco", "style", "op"].contains(&name.as_str()));
    found.map(|(name, value)| (name, readable(value))).unwrap_or_default()
}

/// Whether the request seems to come from a browser on this machine. A proxy on this machine may forward requests of any client.
fn is_local(request: &Received) -> bool {
    let Received { site, limits, parts, peer, .. } = request;
    // public_url and trusted_proxies imply a proxy.
    site.public_url.is_none()
        && peer.is_loopback()
        && !limits.trusted_proxies.contains(*peer)
        && !is_forwarded(&parts.headers)
        && parts.headers.get(header::HOST).is_some_and(is_loopback_host)
        // Browsers have not used HTTP/1.0 for decades, but nginx uses it to the servers behind it.
        && parts.version >= HttpVersion::HTTP_11
}

/// `localhost` or a loopback address, with or without a port. Another name that resolves to such an address may be an attacker's.
fn is_loopback_host(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a page of this service sent the form. Every browser sends the page's origin with a POST, so a page of another site
/// cannot send the form. Behind a proxy that adds no header, the origin is not that of this service.
fn is_own_button(headers: &HeaderMap, origin: &str) -> bool {
    let is = |name: HeaderName, value: &str| headers.get(name).is_some_and(|own| own == value);
    let sec_fetch_site = HeaderName::from_static("sec-fetch-site");
    is(header::ORIGIN, origin) && (!headers.contains_key(&sec_fetch_site) || is(sec_fetch_site, "same-origin"))
}

/// A call by path instead of by message. .NET answers it if GET and POST of forms are switched on; here they are off.
pub(crate) async fn below_asmx(request: Received) -> Response {
    let path = request.address.path();
    let (service, rest) = path.split_at_checked(PATH.len()).unwrap_or((path, ""));
    let page = help::unrecognized_path(&CONTRACT, service, rest, &readable(rest));
    (StatusCode::INTERNAL_SERVER_ERROR, page).into_response()
}

/// Part of a URL, for people to read.
fn readable(part: &str) -> String {
    percent_decode(part).replace(char::is_control, "\u{FFFD}")
}
