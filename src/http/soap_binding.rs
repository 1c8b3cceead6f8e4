//! SOAP over HTTP for all SOAP services: mandatory header blocks, responses, and the form of a refusal ([`NotServed`]).

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::body::{COMPRESSED, Unread, accept_uncompressed};
use super::intake::close;
use crate::contract::naming::{IDEMPOTENCY_KEY, SentName};
use crate::soap::envelope::{Element, Envelope};
use crate::soap::fault::{Fault, FaultCode};
use crate::soap::{Version, excerpt};

/// The name that the caller gave the call. `is_own`: whether a namespace is of the service.
pub(crate) fn call_name<'e>(
    headers: &'e HeaderMap,
    blocks: impl IntoIterator<Item = &'e Element>,
    is_own: impl Fn(&str) -> bool,
) -> Option<SentName> {
    SentName::of_request(headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes), blocks, is_own)
}

/// Refuses a message with an unknown mandatory header block, or with one that may be mandatory.
pub(crate) fn understand(envelope: &Envelope, known: impl Fn(&Element) -> bool) -> Result<(), Fault> {
    let mut unknown = None;
    for block in &envelope.header_blocks {
        let mandatory = block.must_be_understood(envelope.version).map_err(|value| {
            let (name, value) = (excerpt(&block.name), excerpt(value));
            Fault::sender(format!(
                "Server was unable to read request. ---> '{value}' is not a valid value for mustUnderstand of SOAP header {name}. Send 1 or 0."
            ))
        })?;
        if mandatory && unknown.is_none() && !known(block) {
            unknown = Some(block);
        }
    }
    match unknown {
        None => Ok(()),
        Some(block) => Err(Fault {
            not_understood: Some((block.namespace.to_string(), block.name.clone())),
            ..Fault::new(FaultCode::MustUnderstand, format!("SOAP header {} was not understood.", excerpt(&block.name)))
        }),
    }
}

pub(crate) fn respond(
    status: StatusCode,
    version: Version,
    cache_control: &'static str,
    body: impl Into<Body>,
) -> Response {
    let content_type = match version {
        Version::Soap11 => "text/xml; charset=utf-8",
        Version::Soap12 => "application/soap+xml; charset=utf-8",
    };
    (status, [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, cache_control)], body.into())
        .into_response()
}

/// Why a message is refused before an operation is called. One rule holds at every SOAP address, so that every toolkit shows the
/// reason to its user:
///
/// * An invalid SOAP message gets a fault in its version. Toolkits for SOAP 1.1 look for it only under 500 (SOAP 1.1 §6.2, WS-I
///   Basic Profile 1.1 R1126).
/// * Everything else gets a 4xx status, whose name toolkits show, and a sentence in plain text, never an envelope. The NetServer
///   addresses have one exception: XML that is not well-formed gets a fault there.
pub(crate) enum NotServed {
    Http(StatusCode, String),
    /// See [`is_compressed`].
    Compressed,
    Unread(Unread),
    Fault(StatusCode, Version, Fault),
}

impl NotServed {
    /// This address does not accept the request's Content-Type.
    pub(crate) fn media_type(headers: &HeaderMap) -> NotServed {
        let found = match headers.get(header::CONTENT_TYPE) {
            Some(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                format!("This address does not take the Content-Type '{}'.", excerpt(&value))
            }
            None => "The request has no Content-Type.".to_owned(),
        };
        NotServed::unsupported(&format!(
            "{found} Send a SOAP message as text/xml; charset=utf-8 (SOAP 1.1) or application/soap+xml; charset=utf-8 (SOAP 1.2)."
        ))
    }

    /// 415, with another reason.
    pub(crate) fn unsupported(text: &str) -> NotServed {
        NotServed::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, text.to_owned())
    }

    /// For the log.
    pub(crate) fn reason(&self) -> Cow<'_, str> {
        match self {
            NotServed::Http(_, text) => text.into(),
            NotServed::Compressed => COMPRESSED.into(),
            NotServed::Unread(unread) => unread.to_string().into(),
            NotServed::Fault(_, _, fault) => (&*fault.text).into(),
        }
    }

    pub(crate) fn response(self, cache_control: &'static str) -> Response {
        match self {
            NotServed::Fault(status, version, fault) => respond(status, version, cache_control, fault.render(version)),
            NotServed::Http(status, text) => plain(status, &text, cache_control),
            NotServed::Unread(unread) => {
                let mut response = plain(unread.status(), &unread.to_string(), cache_control);
                close(&mut response);
                response
            }
            NotServed::Compressed => {
                let mut response = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, COMPRESSED, cache_control);
                accept_uncompressed(&mut response);
                response
            }
        }
    }
}

fn plain(status: StatusCode, text: &str, cache_control: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, cache_control),
    ];
    (status, headers, format!("{text}\n")).into_response()
}

impl From<Unread> for NotServed {
    fn from(unread: Unread) -> NotServed {
        NotServed::Unread(unread)
    }
}
