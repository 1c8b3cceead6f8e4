//! Decides which other origins may call the Web API: those that the operator lists, by default none.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Origins, such as `https://tools.example.com`, separated by blanks; `*` for all. In one of them, `*.` before the host
/// stands for all hosts below it, and `*` behind it for all ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Vec<Allowed>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Every,
    Origin { origin: Origin, below: bool, any_port: bool },
}

/// As browsers write it: in lower case, and without the scheme's default port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl FromStr for CorsOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |text| Allowed::parse(text).ok_or_else(|| explain(text));
        text.split_ascii_whitespace().map(allowed).collect::<Result<_, _>>().map(CorsOrigins)
    }
}

fn explain(text: &str) -> String {
    format!(
        "'{text}' is not an origin: write scheme and host, and the port if it is not the default one, such as \
         https://tools.example.com. 'https://*.example.com' takes all hosts below it, 'http://localhost:*' all ports, \
         and '*' alone everything"
    )
}

impl Allowed {
    fn parse(text: &str) -> Option<Allowed> {
        if text == "*" {
            return Some(Allowed::Every);
        }
        // An origin has no slash at its end, but it is often copied with one.
        let text = text.strip_suffix('/').unwrap_or(text);
        let (text, any_port) = match text.strip_suffix('*') {
            Some(rest) => (rest.strip_suffix(':').unwrap_or(rest), true),
            None => (text, false),
        };
        let (scheme, rest) = text.split_once("://")?;
        let (rest, below) = rest.strip_prefix("*.").map_or((rest, false), |rest| (rest, true));
        let origin = Origin::parse(&format!("{scheme}://{rest}"))?;
        // A name can have hosts below it, but an address cannot. The port is one port or all.
        let is_address = origin.host.starts_with('[') || origin.host.parse::<Ipv4Addr>().is_ok();
        let has_port = rest.strip_prefix(&*origin.host).is_some_and(|port| !port.is_empty());
        (!(below && is_address || any_port && has_port)).then_some(Allowed::Origin { origin, below, any_port })
    }

    fn takes(&self, typed: &Origin) -> bool {
        let Allowed::Origin { origin, below, any_port } = self else { return true };
        let host = match below {
            true => typed.host.strip_suffix(&*origin.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => typed.host == origin.host,
        };
        typed.scheme == origin.scheme && host && (*any_port || typed.port == origin.port)
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Origin> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
            }
            None => {
                let (host, port) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
                let is_label = |label: &str| {
                    !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                };
                (host.split('.').all(is_label).then(|| host.to_owned())?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            None if port.is_empty() => default_port,
            _ => return None,
        };
        Some(Origin { scheme: scheme.to_owned(), host, port })
    }
}

impl CorsOrigins {
    /// The response to a preflight request. It needs no sign-in.
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
            // Pages may send any header, because no header does harm here.
            if let Some(asked) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        Some(response)
    }

    /// Lets a page read the response. Never repeats an origin that is not listed.
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

    /// Whether pages of this origin may call. A page without an origin sends `null`, which only `*` allows.
    fn has(&self, origin: Option<&HeaderValue>) -> bool {
        let Some(typed) = origin.and_then(|origin| origin.to_str().ok()) else { return false };
        let origin = Origin::parse(typed);
        self.0.iter().any(|allowed| *allowed == Allowed::Every || origin.as_ref().is_some_and(|o| allowed.takes(o)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(listed: &str, origin: &'static str) -> bool {
        let listed: CorsOrigins = listed.parse().expect(listed);
        listed.has(Some(&HeaderValue::from_static(origin)))
    }

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        for (listed, origin, expected) in [
            ("https://tools.example", "https://tools.example", true),
            ("https://Tools.Example/", "https://tools.example", true),
            ("https://tools.example:443", "https://tools.example", true),
            ("http://tools.example:80/", "http://tools.example", true),
            ("http://tools.example:443", "http://tools.example:443", true),
            ("https://tools.example:80", "https://tools.example:80", true),
            ("https://tools.example", "https://tools.example:444", false),
            ("https://tools.example", "http://tools.example", false),
            ("https://tools.example", "https://tools.example.evil.example", false),
            ("https://tools.example", "https://evil-tools.example", false),
            ("https://tools.example", "null", false),
            ("https://tools.example", "", false),
            ("http://[::1]:8080", "http://[::1]:8080", true),
            ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080", true),
            ("http://[::1]", "http://[::1]:8080", false),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", true),
            // All ports, but no other host.
            ("http://localhost*", "http://localhost", true),
            ("http://localhost*", "http://localhost:3000", true),
            ("http://localhost:*", "http://localhost:65535", true),
            ("http://localhost*", "https://localhost:3000", false),
            ("http://localhost*", "http://localhost.evil.example", false),
            ("http://localhost*", "http://localhostevil:3000", false),
            ("http://localhost*", "http://localhost:3000.evil.example", false),
            ("http://localhost*", "http://localhost:70000", false),
            ("http://[::1]*", "http://[::1]:3000", true),
            // All hosts below, but not the host itself.
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://a.example.com:8443", false),
            ("https://*.example.com", "https://a.example.com.evil.example", false),
            ("https://*.example.com", "https://evil.example/?a.example.com", false),
            ("https://*.example.com", "https://evil.example#.example.com", false),
            ("https://*.example.com", "https://user@a.example.com", false),
            ("https://*.example.com:*", "https://a.example.com:8443", true),
            ("https://*.example.com", "https://*.example.com", false),
            ("*", "https://tools.example", true),
            ("*", "null", true),
            ("https://a.example https://b.example", "https://b.example", true),
            ("", "https://a.example", false),
        ] {
            assert_eq!(takes(listed, origin), expected, "{listed} and {origin}");
        }
        // The vendor's own example.
        let listed = "http://foo.bar http://localhost/ http://localhost* https://mail.google.com";
        for origin in ["http://foo.bar", "http://localhost", "http://localhost:4200", "https://mail.google.com"] {
            assert!(takes(listed, origin), "{origin}");
        }
    }

    #[test]
    fn what_is_not_an_origin_is_rejected() {
        for text in [
            "tools.example",
            "https://",
            "https://*",
            "https://*.",
            "https://tools.*",
            "https://t*ls.example",
            "https://*tools.example",
            "https://*.*.example",
            "https://tools.example:8*",
            "https://tools.example:80:*",
            "https://tools.example:8443*",
            "https://tools.example/path",
            "https://tools.example//",
            "https://tools.example?x",
            "https://tools.example#x",
            "https://user@tools.example",
            "https://a.example,https://b.example",
            "https://tools.example:",
            "https://tools.example:+80",
            "https://tools.example:70000",
            "https://bücher.example",
            "http://::1",
            "http://[::1",
            "http://[::g]",
            "http://[::1]x",
            "http://*.[::1]",
            "http://*.127.0.0.1",
            "ftp://tools.example",
            "null",
            "**",
        ] {
            let error = text.parse::<CorsOrigins>().expect_err(text);
            assert!(error.starts_with(&format!("'{text}' is not an origin: ")), "{error}");
        }
    }
}
