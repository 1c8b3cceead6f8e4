//! The body of a request, read within limits; its Content-Type and Content-Encoding; and its text in the log.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt as _;

use super::limits::Limits;
use super::site::Site;
use crate::service::CallContext;
use crate::soap::Version;

/// The parts of a Content-Type that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// In lower case.
    pub(crate) media_type: String,
    pub(crate) charset: Option<String>,
    /// SOAP 1.2 part 2 §6.5.3.
    pub(crate) action: Option<String>,
}

impl ContentType {
    /// Read as leniently as .NET reads it: scripts write the charset in single quotes, in two pairs of quotes, with one
    /// quote, or leave it empty. Of a repeated header or parameter the first counts. `None`: there is no header.
    pub(crate) fn of(headers: &HeaderMap) -> Option<ContentType> {
        let value = String::from_utf8_lossy(headers.get(header::CONTENT_TYPE)?.as_bytes());
        let (media_type, mut rest) = value.split_once(';').unwrap_or((&value, ""));
        // Proxies join two headers into one with a comma (RFC 9110 §5.2).
        let media_type = media_type.split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut found = ContentType { media_type, ..ContentType::default() };
        // Limited because each parameter may take a pass over the rest of the header.
        const PARAMETERS_MAX: usize = 16;
        for _ in 0..PARAMETERS_MAX {
            let (name, value, after) = parameter(rest);
            rest = after;
            match name.to_ascii_lowercase().as_str() {
                "charset" => _ = found.charset.get_or_insert_with(|| first_of(value).to_owned()),
                "action" => _ = found.action.get_or_insert_with(|| value.to_owned()),
                _ => {}
            }
        }
        Some(found)
    }

    /// The SOAP version whose media type it is.
    pub(crate) fn version(&self) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.media_type() == self.media_type)
    }
}

/// Splits the first parameter off: its name, its value without quotes, and the rest.
fn parameter(rest: &str) -> (&str, &str, &str) {
    let end = rest.find([';', '=']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let Some(value) = rest.strip_prefix('=') else { return (name.trim(), "", rest.get(1..).unwrap_or_default()) };
    let value = value.trim_start();
    // A quote ends the value only where a parameter can end: some clients send `""utf-8""`.
    let closing = |inside: &str| {
        let mut quotes = inside.match_indices('"').map(|(at, _)| at);
        quotes.find(|at| matches!(inside[at + 1..].trim_start().chars().next(), None | Some(';' | ',')))
    };
    let quoted = value.strip_prefix('"').and_then(|inside| Some((inside, closing(inside)?)));
    let (value, after) = match quoted {
        Some((inside, end)) => (&inside[..end], &inside[end + 1..]),
        None => value.split_at(value.find(';').unwrap_or(value.len())),
    };
    let after = after.split_once(';').map_or("", |(_, after)| after);
    (name.trim(), value.trim().trim_matches('"').trim(), after)
}

/// The first of two headers that a proxy joined.
fn first_of(value: &str) -> &str {
    value.split(',').next().unwrap_or_default().trim()
}

/// Why a body was not read to its end. Then the connection is closed.
#[derive(Debug)]
pub(crate) enum Unread {
    TooLong { bytes_max: usize },
    Late { seconds: u64 },
    BrokeOff(String),
}

impl Unread {
    pub(crate) fn status(&self) -> StatusCode {
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
            Unread::TooLong { bytes_max } => {
                write!(f, "Maximum request length exceeded. The limit is {bytes_max} bytes.")
            }
            Unread::Late { seconds } => write!(f, "The request did not arrive within {seconds} seconds."),
            Unread::BrokeOff(why) => write!(f, "The body could not be read to its end: {why}."),
        }
    }
}

/// Reads the whole body, within limits.
pub(crate) async fn read_body(mut body: Body, headers: &HeaderMap, limits: &Limits) -> Result<Vec<u8>, Unread> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.body_bytes_max as u64) {
        return Err(Unread::TooLong { bytes_max: limits.body_bytes_max });
    }
    let length = length.map_or(0, |length| length as usize);
    let read = tokio::time::timeout(limits.body_timeout, read_to_end(&mut body, length, limits.body_bytes_max)).await;
    read.unwrap_or(Err(Unread::Late { seconds: limits.body_timeout.as_secs() }))
}

/// Collects the body in one buffer, so that it takes no more memory than its bytes, however small its chunks are. `length`: as
/// announced, or 0. A buffer that grows step by step leaves gaps in memory, which add up in a flood of large bodies.
async fn read_to_end(body: &mut Body, length: usize, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await.transpose().map_err(|e| Unread::BrokeOff(e.to_string()))? {
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(Unread::TooLong { bytes_max });
        }
        // No memory is reserved for a body that is only announced, because the budget counts it only after its first bytes.
        if bytes.len() + data.len() > bytes.capacity() && bytes.len() + data.len() > 8 * 1024 {
            bytes.reserve_exact(length.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

pub(crate) const COMPRESSED: &str = "The body is compressed. Send it as it is, without Content-Encoding.";

/// Says that no content coding is accepted (RFC 9110 §15.5.16).
pub(crate) fn accept_uncompressed(response: &mut Response) {
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Whether the body is compressed or encrypted, which is not supported. Other words in Content-Encoding are ignored, because
/// some clients name their charset there, and the original service ignores the header.
pub(crate) fn is_compressed(headers: &HeaderMap) -> bool {
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

/// Counts and logs a request that is no valid call of an operation.
pub(crate) fn not_a_call(site: &Site, context: &CallContext, reason: &str) {
    site.service.metrics.count_call("none", "Fault");
    let facts = context.trail.note(|facts| {
        facts.is_logged = true;
        facts.clone()
    });
    let Some(left_out) = site.service.line_of_unproved(context) else { return };
    tracing::info!(
        target: "seatkeeper::calls",
        client = %context.peer,
        code = "Fault",
        surface = facts.surface,
        request_id = %context.id,
        trace_id = facts.trace.as_ref().map(|trace| trace.trace_id.as_str()),
        parent_id = facts.trace.as_ref().map(|trace| trace.parent_id.as_str()),
        duration_ms = context.instant.elapsed().as_micros() as f64 / 1000.0,
        left_out = Some(left_out).filter(|left_out| *left_out > 0),
        error = reason,
        "not a call we can serve"
    );
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> ContentType {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
        }
        ContentType::of(&headers).expect("a header")
    }

    #[test]
    fn content_types() {
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
            ("application/soap+xml; action=\"unclosed; charset=utf-8", soap12("utf-8", "unclosed")),
            ("application/soap+xml; charset=\"utf-8\" ; action=\"urn:x\"", soap12("utf-8", "urn:x")),
            ("application/soap+xml; start=\"<a;charset=b>\"; CHARSET = utf-8", soap12("utf-8", "")),
            ("application/soap+xml; action; charset=utf-8", soap12("utf-8", "")),
            ("application/soap+xml; action=\"größe\"; charset=utf-8", soap12("utf-8", "größe")),
            ("application/soap+xml; größe=klein; charset=utf-8", soap12("utf-8", "")),
            ("application/soap+xml;;; charset=utf-8;", soap12("utf-8", "")),
            ("application/soap+xml; charset=utf-8; charset=latin1; action=a; action=b", soap12("utf-8", "a")),
            ("application/xml", none.clone()),
            ("application/json", none.clone()),
            (";charset=", none.clone()),
            ("", none),
        ] {
            let found = of(&[value]);
            let version = found.version();
            let found = (version, found.charset.unwrap_or_default(), found.action.unwrap_or_default());
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn charsets_as_scripts_write_them() {
        for (values, expected) in [
            (&["text/xml; charset=\"\"UTF-8\"\""][..], Some("UTF-8")),
            (&["text/xml; charset=\"\"UTF-8\"\"; a=b"], Some("UTF-8")),
            (&["text/xml; charset=\"utf-8"], Some("utf-8")),
            (&["text/xml; charset=utf-8\""], Some("utf-8")),
            // `encoding` handles single quotes.
            (&["text/xml; charset='utf-8'"], Some("'utf-8'")),
            (&["text/xml; charset="], Some("")),
            (&["text/xml; charset=; a=b"], Some("")),
            (&["text/xml; charset=\"\""], Some("")),
            (&["text/xml; charset"], Some("")),
            (&["text/xml; charset=\t utf-8 \t"], Some("utf-8")),
            (&["text/xml ;\tcharset\t=\tutf-8"], Some("utf-8")),
            (&["text/xml; xcharset=latin1"], None),
            (&["text/xml; charset=utf-8, text/xml; charset=latin1"], Some("utf-8")),
            (&["text/xml; charset=\"utf-8\", text/xml; charset=latin1"], Some("utf-8")),
            (&["text/xml, text/xml; charset=utf-8"], Some("utf-8")),
            (&["text/xml, application/json"], None),
            (&["text/xml; charset=utf-8", "text/xml; charset=latin1"], Some("utf-8")),
            (&["text/xml", "application/json"], None),
        ] {
            let found = of(values);
            assert_eq!((found.version(), found.charset.as_deref()), (Some(Version::Soap11), expected), "{values:?}");
        }
    }
}
