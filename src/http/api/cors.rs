//! Which pages of other origins may call the Web API: those that the operator lists, and by default none.

use std::str::FromStr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Origins, such as `https://tools.example.com`, separated by blanks; `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl FromStr for AllowedOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origins: Vec<String> = text.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(wrong) => {
                Err(format!("'{wrong}' is no origin: write scheme, host and port, such as https://tools.example.com"))
            }
            None => Ok(AllowedOrigins(origins)),
        }
    }
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ',']))
}

impl AllowedOrigins {
    /// The answer to a browser that asks whether a page may call. Nobody signs in for that.
    pub(super) fn preflight(&self, parts: &Parts) -> Option<Response> {
        let asks = parts.method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.0.is_empty() {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        self.mark(&parts.headers, headers);
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
            const HEADERS: HeaderValue = HeaderValue::from_static(
                "Authorization, Content-Type, Accept, Accept-Language, SO-Language, SO-Culture, SO-TimeZone, SO-AppToken, SO-Browser-TZ-Offset, X-XSRF-TOKEN",
            );
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        Some(response)
    }

    /// Tells the browser that a page may read the answer. An origin that is not listed is not told of.
    pub(super) fn mark(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let typed = origin.to_str().unwrap_or_default();
        if self.0.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(typed)) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("SO-TimeZone, X-Request-Id"));
        }
    }
}
