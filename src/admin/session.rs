//! The cookie of a signed-in browser, and what keeps other sites from sending forms in its name.
//!
//! * The cookie is `HttpOnly` and `SameSite=Strict`; behind TLS it is `Secure` and its name begins with `__Host-`, so that no other host
//!   of the domain can set it.
//! * Every form carries a token that is made of the session's secret: a page that cannot read the cookie cannot make it. `Origin` and
//!   `Sec-Fetch-Site` are checked where the browser sends them.
//! * Each sign-in makes a new session, whatever cookie the browser had: a session that somebody planted becomes no signed-in one.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::auth::SessionToken;

const NAME: &str = "seatkeeper_session";
/// The name behind TLS (RFC 6265bis §4.1.3.2).
const HOST_NAME: &str = "__Host-seatkeeper_session";
/// The purpose of the forms' tokens.
const FORMS: &str = "pages";

/// The session of a browser, as its cookie has it. `secure`: the browser speaks TLS; only the cookie of that name counts then.
pub(super) fn of(headers: &HeaderMap, secure: bool) -> Option<SessionToken> {
    let wanted = if secure { HOST_NAME } else { NAME };
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == wanted)?;
    SessionToken::parse(value)
}

/// The token of every form of this session.
pub(super) fn form_token(session: &SessionToken) -> String {
    session.form_token(FORMS)
}

/// Whether a form's token is that of this session.
pub(super) fn proves(session: &SessionToken, token: &str) -> bool {
    session.is_form_token(FORMS, token)
}

/// The header that gives a browser its session. It ends with the browser, and with the session.
pub(super) fn set(session: &SessionToken, secure: bool) -> Option<HeaderValue> {
    let text = session.text();
    let (name, more) = if secure { (HOST_NAME, "; Secure") } else { (NAME, "") };
    HeaderValue::from_str(&format!("{name}={}; Path=/; HttpOnly; SameSite=Strict{more}", *text)).ok()
}

/// The header that takes it away.
pub(super) fn clear(secure: bool) -> HeaderValue {
    HeaderValue::from_static(if secure {
        "__Host-seatkeeper_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure"
    } else {
        "seatkeeper_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    })
}

/// Whether a form may come from a page of this service. Browsers say with every POST over TLS, and to the machine itself, whether the
/// page is of the same origin; that counts, because a proxy may have replaced the Host header. Otherwise they name the origin of the page,
/// which is compared with `origin`: scheme, host and port at which the browser reaches the service. What says neither is no browser, or
/// an old one that the token stops.
pub(super) fn is_own_form(headers: &HeaderMap, origin: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let is_own = |value: &HeaderValue| value.to_str().is_ok_and(|value| host(value).eq_ignore_ascii_case(host(origin)));
    headers.get(header::ORIGIN).is_none_or(is_own)
}

/// Without the scheme: a proxy that ends TLS and does not say so must not lock everybody out. The cookie and the token are of one host
/// whatever the scheme.
fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn the_cookie_is_found_by_its_name() {
        let session = SessionToken::generate().expect("randomness");
        let text = session.text();
        for (secure, name, found) in [
            (false, NAME, true),
            (false, HOST_NAME, false),
            (true, HOST_NAME, true),
            (true, NAME, false),
            (false, "xseatkeeper_session", false),
        ] {
            for cookie in [format!("{name}={}", *text), format!("a=b; {name}={}; c=d", *text)] {
                let read = of(&headers(&[("cookie", &cookie)]), secure);
                assert_eq!(read.is_some_and(|read| read.text() == text), found, "{cookie}");
            }
        }
        for cookie in ["", "seatkeeper_session=", "seatkeeper_session=abc", "seatkeeper_session=a.b"] {
            assert!(of(&headers(&[("cookie", cookie)]), false).is_none(), "{cookie}");
        }
    }

    #[test]
    fn a_token_is_of_one_session() {
        let (one, other) =
            (SessionToken::generate().expect("randomness"), SessionToken::generate().expect("randomness"));
        assert!(proves(&one, &form_token(&one)));
        for token in [form_token(&other).as_str(), "", "x", &form_token(&one)[1..], &one.text()] {
            assert!(!proves(&one, token), "{token}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        for (lines, own) in [
            (vec![], true),
            (vec![("origin", "http://a.example")], true),
            (vec![("origin", "https://A.example")], true),
            (vec![("origin", "http://a.example:81")], false),
            (vec![("origin", "http://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "https://public.example"), ("sec-fetch-site", "same-origin")], true),
            (vec![("origin", "http://a.example"), ("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
        ] {
            assert_eq!(is_own_form(&headers(&lines), "http://a.example"), own, "{lines:?}");
        }
    }
}
