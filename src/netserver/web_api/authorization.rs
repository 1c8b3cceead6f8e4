//! The credentials in a request of the Web API.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::auth::Password;
use crate::service::{CallContext, Identity};

/// From the only Authorization header: Basic with a user name and a password (RFC 7617, in UTF-8), or SoTicket or Bearer with a
/// ticket. The Web API has no browser sessions, so it ignores X-XSRF-TOKEN.
pub(super) fn identity(headers: &HeaderMap, context: &CallContext) -> Identity {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Identity::Nobody };
    let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.trim().split_once(' ')) else {
        return Identity::Nobody;
    };
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => basic(rest.trim(), context).unwrap_or(Identity::Nobody),
        "soticket" | "bearer" => Identity::of_ticket(rest),
        _ => Identity::Nobody,
    }
}

fn basic(encoded: &str, context: &CallContext) -> Option<Identity> {
    let text = BASE64.decode(encoded).ok()?;
    // Clients older than RFC 7617 send ISO 8859-1, which is hardly ever valid UTF-8 by chance.
    let text = String::from_utf8(text).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect());
    let (user_name, password) = text.split_once(':')?;
    Some(Identity::of_password(Some(user_name.to_owned()), Some(Password::new(password.to_owned())), context))
}
