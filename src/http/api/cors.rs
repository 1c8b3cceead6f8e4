//! Which pages of other origins may call the Web API: those that the operator lists, and by default none.

use std::str::FromStr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Origins, such as `https://tools.example.com`, separated by blanks; `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Vec<String>);

impl FromStr for CorsOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origins: Vec<String> = text.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(wrong) => Err(format!(
                "'{wrong}' is no origin: write scheme and host, and the port if it is not the default one, such as https://tools.example.com"
            )),
            None => Ok(CorsOrigins(origins)),
        }
    }
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    // Browsers never write a default port.
    let default_port = if text.starts_with("https:") { ":443" } else { ":80" };
    let can_be =
        |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', ',', '@']) && !host.ends_with(default_port);
    text == "*" || host.is_some_and(can_be)
}

impl CorsOrigins {
    /// The answer to a browser that asks whether a page may call. Nobody signs in for that.
    pub(super) fn preflight(&self, parts: &Parts) -> Option<Response> {
        let asks = parts.method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.0.is_empty() {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        if self.has(parts.headers.get(header::ORIGIN)) {
            const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            // No header that a page may send does any harm here.
            if let Some(asked) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        Some(response)
    }

    /// Tells the browser that a page may read the answer. An origin that is not listed is not told of.
    pub(super) fn mark(&self, origin: Option<HeaderValue>, answer: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|origin| self.has(Some(origin))) {
            const EXPOSED: HeaderValue = HeaderValue::from_static("SO-TimeZone, Retry-After, X-Request-Id");
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    fn has(&self, origin: Option<&HeaderValue>) -> bool {
        let typed = origin.and_then(|origin| origin.to_str().ok());
        typed.is_some_and(|typed| self.0.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(typed)))
    }
}
