//! What becomes known of a call on its way, for the one line that logs it, and for the metrics.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::seats::LicenseType;

/// Collects facts of one request. Shared by the parts that the request passes.
#[derive(Debug, Default)]
pub struct Trail(Mutex<Facts>);

/// See [`Trail`]. A time is the sum, if a call does something several times.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Of the caller, if it sent some that are valid.
    pub trace: Option<Trace>,
    /// Whether the request has its line in the log, or had none because its kind is limited.
    pub is_logged: bool,
    /// Which surface took the request: `asmx`, `netserver`, `web_api` or `pages`.
    pub surface: Option<&'static str>,
    /// The address of the client, if a trusted proxy named another one than its own.
    pub client: Option<std::net::IpAddr>,
    /// The user name that the caller gave; of a ticket or a session, the one that the store found.
    pub credential: Option<String>,
    /// Why its password was refused.
    pub sign_in_refused: Option<&'static str>,
    pub subject: Subject,
    /// Of a call with several items: how many there are, and how many of them were refused.
    pub items: Option<(usize, usize)>,
    /// From the head of the request until the call began: reading and parsing the body. `None`: no call began.
    pub request: Option<Duration>,
    /// Looking up the credential and checking the password, with the wait for a free place.
    pub sign_in: Option<Duration>,
    /// In the store, from the question to the durable answer.
    pub store: Option<Duration>,
    /// The part of that before the transaction began: waiting for other writers. A file only.
    pub wait: Option<Duration>,
}

/// What the request of a call names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub entity_id: Option<i32>,
    /// The user of a backup account; of a transfer the new one.
    pub user: Option<String>,
    /// Of a transfer: the user that has the seat before.
    pub from_user: Option<String>,
    pub license_types: Vec<LicenseType>,
    /// The name of a module owner.
    pub owner: Option<String>,
    pub associate_id: Option<i32>,
}

/// The caller's place in a trace: W3C Trace Context, of the header `traceparent`. For the log only; it proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub parent_id: String,
}

impl Trail {
    pub fn new(trace: Option<Trace>) -> Trail {
        Trail(Mutex::new(Facts { trace, ..Facts::default() }))
    }

    /// Adds to the facts, or reads some.
    pub fn note<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known until now.
    pub fn facts(&self) -> Facts {
        self.note(|facts| facts.clone())
    }

    /// For stores: the caller that a ticket or a session proved.
    pub(super) fn found_caller(&self, user_name: &str) {
        self.note(|facts| facts.credential = Some(user_name.to_owned()));
    }

    /// For stores: how long a call waited for its transaction.
    pub(super) fn waited(&self, time: Duration) {
        self.note(|facts| *facts.wait.get_or_insert_default() += time);
    }
}

impl Trace {
    /// Reads a value of the header `traceparent` (Trace Context §3.2). `None`: it is invalid, and therefore ignored.
    pub fn parse(value: &[u8]) -> Option<Trace> {
        let text = std::str::from_utf8(value).ok()?;
        let digits = |from: usize, to: usize| {
            let part = text.get(from..to)?;
            let is_hex = part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            is_hex.then_some(part)
        };
        let (version, trace_id, parent_id, _) = (digits(0, 2)?, digits(3, 35)?, digits(36, 52)?, digits(53, 55)?);
        let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
        // A later version may have more behind another dash.
        let ends = match text.as_bytes().get(55) {
            None => true,
            Some(byte) => version != "00" && *byte == b'-',
        };
        let is_set = |id: &str| id.bytes().any(|byte| byte != b'0');
        let is_valid = dashes && ends && version != "ff" && is_set(trace_id) && is_set(parent_id);
        is_valid.then(|| Trace { trace_id: trace_id.to_owned(), parent_id: parent_id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (value, is_valid) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-more"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-more"), false),
            (format!("00-{TRACE}-00f067aa0ba902b7-01x"), false),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01x"), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            (format!("00-{TRACE}-00f067aa0ba902b7"), false),
            (format!("00_{TRACE}_00f067aa0ba902b7_01"), false),
            (format!("00-{TRACE}-00f067aa0ba902b7-0\n"), false),
            (format!("00-{}\u{e9}-00f067aa0ba902b7-01", &TRACE[2..]), false),
            (String::new(), false),
            ("0".repeat(55), false),
        ] {
            let parsed = Trace::parse(value.as_bytes());
            assert_eq!(parsed.is_some(), is_valid, "{value:?}");
            if let Some(trace) = parsed {
                assert_eq!((trace.trace_id.as_str(), trace.parent_id.as_str()), (TRACE, "00f067aa0ba902b7"));
            }
        }
        assert_eq!(Trace::parse(b"\xff\xfe"), None);
    }
}
