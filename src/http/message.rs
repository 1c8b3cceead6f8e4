//! What every surface that takes messages shares: reading a body in bounds, the type it says it has, what of it may go
//! into the log, and SOAP answers.

use std::fmt::{self, Write as _};

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;

use super::{App, Limits};
use crate::service::CallContext;
use crate::soap::Version;
use crate::soap::envelope::{Element, Envelope};
use crate::soap::fault::{Fault, FaultCode};

/// The parts of a Content-Type that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ContentType {
    /// In lower case.
    pub(super) media_type: String,
    pub(super) charset: Option<String>,
    /// SOAP 1.2 part 2 §6.5.3.
    pub(super) action: Option<String>,
}

impl ContentType {
    /// `None`: there is none that can be read.
    pub(super) fn of(headers: &HeaderMap) -> Option<ContentType> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let (media_type, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let mut found = ContentType { media_type, ..ContentType::default() };
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([' ', '\t', ';']).to_ascii_lowercase();
            let (parameter, after) = match after.trim_start().strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => after.split_once(';').unwrap_or((after, "")),
            };
            rest = after;
            match name.as_str() {
                "charset" => found.charset = Some(parameter.trim().to_owned()),
                "action" => found.action = Some(parameter.trim().to_owned()),
                _ => {}
            }
        }
        Some(found)
    }

    /// The SOAP version whose media type it is.
    pub(super) fn version(&self) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.media_type() == self.media_type)
    }
}

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum Unread {
    TooLong { bytes_max: usize },
    Late { seconds: u64 },
    BrokeOff(String),
}

impl Unread {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Unread::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::Late { .. } => StatusCode::REQUEST_TIMEOUT,
            Unread::BrokeOff(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::TooLong { bytes_max } => write!(f, "Maximum request length exceeded: {bytes_max} bytes are taken."),
            Unread::Late { seconds } => write!(f, "The request did not arrive within {seconds} seconds."),
            Unread::BrokeOff(why) => write!(f, "the body broke off: {why}"),
        }
    }
}

/// All of a body, in bounds.
pub(super) async fn read_body(mut body: Body, headers: &HeaderMap, limits: &Limits) -> Result<Vec<u8>, Unread> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.body_bytes_max as u64) {
        return Err(Unread::TooLong { bytes_max: limits.body_bytes_max });
    }
    let read = tokio::time::timeout(limits.body_timeout, read_to_end(&mut body, limits.body_bytes_max)).await;
    read.unwrap_or(Err(Unread::Late { seconds: limits.body_timeout.as_secs() }))
}

/// Into one buffer as it comes: what is kept of a body is then its bytes, however small the chunks it came in.
async fn read_to_end(body: &mut Body, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await.transpose().map_err(|e| Unread::BrokeOff(e.to_string()))? {
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(Unread::TooLong { bytes_max });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Refuses a message with a header block we are told to understand and do not, or cannot tell whether we must.
pub(super) fn understand(envelope: &Envelope, known: impl Fn(&Element) -> bool) -> Result<(), Fault> {
    let mut unknown = None;
    for block in &envelope.header_blocks {
        let mandatory = block.must_be_understood(envelope.version).map_err(|value| {
            let name = &block.name;
            Fault::sender(format!(
                "Server was unable to read request. ---> '{value}' is not a valid value for mustUnderstand of SOAP header {name}."
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
            ..Fault::new(FaultCode::MustUnderstand, format!("SOAP header {} was not understood.", block.name))
        }),
    }
}

pub(super) fn respond(
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

pub(super) fn unsupported_media_type() -> Response {
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        [(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "private")],
    )
        .into_response()
}

/// Whether the body is compressed or encrypted, which is not supported. Other words in this header are ignored, as the
/// original ignores all of it: clients name their charset there.
pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    // IANA's registry of content codings.
    const CODINGS: [&str; 12] = [
        "aes128gcm",
        "br",
        "compress",
        "dcb",
        "dcz",
        "deflate",
        "exi",
        "gzip",
        "pack200-gzip",
        "x-compress",
        "x-gzip",
        "zstd",
    ];
    let values = headers.get_all(header::CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(',')).map(str::trim);
    codings.any(|coding| CODINGS.iter().any(|known| known.eq_ignore_ascii_case(coding)))
}

/// The response to a compressed body; its Accept-Encoding says which codings are supported (RFC 9110 §15.5.16).
pub(super) fn unsupported_content_coding() -> Response {
    const TEXT: &str = "The body is compressed: send it as it is, without Content-Encoding.\n";
    let headers = [(header::ACCEPT_ENCODING, "identity"), (header::CACHE_CONTROL, "private")];
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, headers, TEXT).into_response()
}

/// Counts and logs what did not become a call of any operation.
pub(super) fn not_a_call(app: &App, context: &CallContext, reason: &str) {
    app.service.metrics.count_call("none", "Fault");
    tracing::info!(error_id = %context.id, reason = %ForLog(reason), "not a call we can serve");
}

/// What a client wrote, for the log: on one line, so that it cannot pass for another entry, and not without end.
struct ForLog<'a>(&'a str);

impl fmt::Display for ForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 500;
        for c in self.0.chars().take(CHARS_MAX) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        if self.0.chars().nth(CHARS_MAX).is_some() { f.write_char('…') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn content_types() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).expect("header"));
            let found = ContentType::of(&headers).expect("readable");
            (found.version(), found.charset.unwrap_or_default(), found.action.unwrap_or_default())
        };
        let soap11 = |charset: &str| (Some(Version::Soap11), charset.to_owned(), String::new());
        let soap12 = |charset: &str, action: &str| (Some(Version::Soap12), charset.to_owned(), action.to_owned());
        let none = (None, String::new(), String::new());
        for (value, expected) in [
            ("text/xml", soap11("")),
            ("Text/XML;charset=UTF-8", soap11("UTF-8")),
            ("text/xml; charset=\"utf-8\"", soap11("utf-8")),
            ("application/soap+xml; charset=utf-8; action=\"a;b=c\"", soap12("utf-8", "a;b=c")),
            ("application/soap+xml;action=\"urn:x\";charset=utf-8", soap12("utf-8", "urn:x")),
            ("application/soap+xml; action=urn:x", soap12("", "urn:x")),
            ("application/soap+xml; action=\"unclosed", soap12("", "unclosed")),
            ("application/xml", none.clone()),
            ("application/json", none.clone()),
            ("", none),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
    }

    #[test]
    fn what_a_client_wrote_stays_on_one_line_of_the_log() {
        for (written, logged) in [
            ("entity 'größe' is not defined", "entity 'größe' is not defined"),
            ("a\nERROR b\r\t\u{1b}[31m\u{85}", "a\\nERROR b\\r\\t\\u{1b}[31m\\u{85}"),
        ] {
            assert_eq!(ForLog(written).to_string(), logged);
        }
        assert_eq!(ForLog(&"x".repeat(500)).to_string(), "x".repeat(500));
        assert_eq!(ForLog(&"x".repeat(300_000)).to_string(), "x".repeat(500) + "…");
    }
}
