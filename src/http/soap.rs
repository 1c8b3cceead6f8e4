//! SOAP over HTTP, answered as an ASMX service answers: which operation a message is for, and what status and fault a
//! message gets that cannot be served. The rules are the ones clients know from the vendor's service.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::streamed::StreamedBody;
use super::{App, Limits, pages, percent_decode};
use crate::contract::asmx::{AUTH_HEADER, CONTRACT, auth_header};
use crate::contract::{Answer, Contract, Invocation, Operation, message};
use crate::service::{AuthHeader, CallContext};
use crate::soap::Version;
use crate::soap::encoding;
use crate::soap::envelope::{self, Element, Envelope, ReadError};
use crate::soap::fault::{Fault, FaultCode, open_envelope};
use crate::soap::xml::Writer;

/// `POST` on the ASMX address.
pub(super) async fn asmx(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(content_type) = ContentType::of(&parts.headers) else {
        if is_form(&parts.headers)
            && let Ok(bytes) = read_body(body, &parts.headers, &app.limits).await
            && let Some(page) = pages::test_form(&app, &parts, &bytes).await
        {
            return page;
        }
        return unsupported_media_type();
    };
    let Some(context) = app.context(&parts) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let started = Instant::now();
    let response = match read_body(body, &parts.headers, &app.limits).await {
        Ok(bytes) => answer(&app, &context, &content_type, &parts.headers, &bytes).await,
        Err(refused) => refused.response(content_type.version),
    };
    tracing::debug!(
        request_id = %context.id,
        status = response.status().as_u16(),
        us = started.elapsed().as_micros() as u64,
        "answered"
    );
    response
}

/// The answer to a message that the test form made.
pub(super) async fn answer_test(app: &App, context: &CallContext, version: Version, envelope: &str) -> Response {
    let content_type = ContentType { version, charset: Some("utf-8".to_owned()), action: None };
    answer(app, context, &content_type, &HeaderMap::new(), envelope.as_bytes()).await
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

async fn answer(
    app: &App,
    context: &CallContext,
    content_type: &ContentType,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    match prepare(app, content_type, headers, body) {
        Ok(call) => {
            let Call { version, operation, auth_header, request } = call;
            let (service, context) = (Arc::clone(&app.service), context.clone());
            let answer = (operation.run)(Invocation { service, context, auth_header, request }).await;
            let mut w = Writer::compact();
            open_envelope(&mut w, version);
            w.open("soap:Body").open(operation.response).attribute("xmlns", CONTRACT.namespace).open(operation.result);
            let body = match answer {
                Answer::Whole(record) => {
                    record.write(&mut w);
                    Body::from(w.finish())
                }
                Answer::Streamed(streamed) => Body::new(StreamedBody::new(w, streamed)),
            };
            respond(StatusCode::OK, version, "private, max-age=0", body)
        }
        Err(refused) => {
            app.service.metrics.count_call("none", "Fault");
            tracing::info!(error_id = %context.id, reason = %ForLog(refused.reason()), "not a call we can serve");
            refused.response(content_type.version)
        }
    }
}

/// A message that can be served.
struct Call {
    version: Version,
    operation: &'static Operation,
    auth_header: Option<AuthHeader>,
    request: Option<message::Record>,
}

fn prepare(app: &App, content_type: &ContentType, headers: &HeaderMap, body: &[u8]) -> Result<Call, Refused> {
    let text = encoding::decode(body, content_type.charset.as_deref()).ok_or(Refused::UnsupportedMediaType)?;
    let envelope = envelope::read(&text, &app.limits.xml).map_err(Refused::from)?;
    let version = envelope.version;
    // A 1.2 envelope may come as text/xml, a 1.1 envelope not as application/soap+xml.
    if version == Version::Soap11 && content_type.version == Version::Soap12 {
        return Err(Refused::UnsupportedMediaType);
    }
    let fault = |fault| Refused::Fault(version, fault);
    // In this order: SOAP 1.2 part 1 §2.6, and R2725 of the WS-I Basic Profile.
    understand(&envelope).map_err(fault)?;
    let operation = operation(&CONTRACT, content_type, headers, &envelope).map_err(fault)?;

    let unreadable = |e: message::ValueError| {
        let (line, column) = envelope::position(&text, e.at);
        let reason = e.reason;
        fault(Fault::sender(format!(
            "Server was unable to read request. ---> There is an error in XML document ({line}, {column}). ---> {reason}"
        )))
    };
    let auth_header = envelope
        .header_blocks
        .iter()
        .find(|block| block.is(CONTRACT.namespace, AUTH_HEADER.name))
        .map(|block| message::read(block, &AUTH_HEADER, CONTRACT.namespace).map(auth_header))
        .transpose()
        .map_err(unreadable)?;
    let request = envelope
        .body
        .as_ref()
        // Dispatched by SOAPAction, the body may hold something else; then there is no request.
        .filter(|body| body.is(CONTRACT.namespace, operation.name) && !body.is_nil())
        .and_then(|body| body.children.iter().find(|c| c.is(CONTRACT.namespace, "request") && !c.is_nil()))
        .map(|request| message::read(request, operation.input, CONTRACT.namespace))
        .transpose()
        .map_err(unreadable)?;
    Ok(Call { version, operation, auth_header, request })
}

/// Which operation a message is for. A SOAPAction header alone decides where there is one and the message is typed as
/// SOAP 1.1; otherwise the action parameter if it is known, else the first element of the Body.
fn operation(
    contract: &Contract,
    content_type: &ContentType,
    headers: &HeaderMap,
    envelope: &Envelope,
) -> Result<&'static Operation, Fault> {
    let by_action = |action: &str| {
        let name = action.strip_prefix(contract.namespace)?.strip_prefix('/')?;
        contract.operation(name)
    };
    if content_type.version == Version::Soap11
        && let Some(header) = headers.get("soapaction")
    {
        // SOAPAction is compared URL-decoded.
        let action = percent_decode(unquote(&String::from_utf8_lossy(header.as_bytes())));
        return by_action(&action).ok_or_else(|| {
            Fault::sender(format!("Server did not recognize the value of HTTP Header SOAPAction: {action}."))
        });
    }
    let by_body =
        |body: &Element| if &*body.namespace == contract.namespace { contract.operation(&body.name) } else { None };
    let action = content_type.action.as_deref();
    action.and_then(by_action).or_else(|| envelope.body.as_ref().and_then(by_body)).ok_or_else(|| {
        Fault::sender(match action {
            Some(action) => format!("Unable to handle request. The action '{action}' was not recognized."),
            None => "Unable to handle request without a valid action parameter. Please supply a valid soap action."
                .to_owned(),
        })
    })
}

/// Refuses a message with a header block we are told to understand and do not, or cannot tell whether we must.
fn understand(envelope: &Envelope) -> Result<(), Fault> {
    let mut unknown = None;
    for block in &envelope.header_blocks {
        let mandatory = block.must_be_understood(envelope.version).map_err(|value| {
            let name = &block.name;
            Fault::sender(format!(
                "Server was unable to read request. ---> '{value}' is not a valid value for mustUnderstand of SOAP header {name}."
            ))
        })?;
        if mandatory && unknown.is_none() && !block.is(CONTRACT.namespace, AUTH_HEADER.name) {
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

/// Why a message is not served, before any operation has seen it.
enum Refused {
    UnsupportedMediaType,
    /// Not XML: the service clients know answers with a status and no body.
    Malformed(String),
    /// A fault in the version of the message.
    Fault(Version, Fault),
    /// A fault for a message whose version was never seen, with a status of its own.
    Unread(StatusCode, Fault),
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Refused {
        match error {
            ReadError::Malformed(reason) => Refused::Malformed(reason),
            ReadError::TooMuch(_) => Refused::Unread(
                StatusCode::BAD_REQUEST,
                Fault::sender(format!("Server was unable to read request. ---> {error}.")),
            ),
            ReadError::VersionMismatch { namespace } => Refused::Fault(
                // Written in the version that every client reads.
                Version::Soap11,
                Fault::new(
                    FaultCode::VersionMismatch,
                    format!(
                        "Possible SOAP version mismatch: Envelope namespace {namespace} was unexpected. Expecting {}.",
                        Version::Soap11.namespace()
                    ),
                ),
            ),
            ReadError::NoBody { version } => Refused::Fault(
                version,
                Fault::sender(
                    "Server was unable to read request. ---> Request format is invalid: Missing required soap:Body element.",
                ),
            ),
        }
    }
}

impl Refused {
    fn reason(&self) -> &str {
        match self {
            Refused::UnsupportedMediaType => "unsupported media type",
            Refused::Malformed(reason) => reason,
            Refused::Fault(_, fault) | Refused::Unread(_, fault) => &fault.text,
        }
    }

    fn response(self, typed: Version) -> Response {
        match self {
            Refused::UnsupportedMediaType => unsupported_media_type(),
            Refused::Malformed(_) => respond(StatusCode::BAD_REQUEST, typed, "private", Body::empty()),
            Refused::Fault(version, fault) => {
                let cached = if fault.code == FaultCode::MustUnderstand { "private, max-age=0" } else { "private" };
                respond(StatusCode::INTERNAL_SERVER_ERROR, version, cached, fault.render(version))
            }
            Refused::Unread(status, fault) => {
                let mut response = respond(status, typed, "private", fault.render(typed));
                if status != StatusCode::BAD_REQUEST {
                    // The rest of the body is not read.
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }
    }
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

async fn read_body(body: Body, headers: &HeaderMap, limits: &Limits) -> Result<Vec<u8>, Refused> {
    let too_long = || {
        Refused::Unread(
            StatusCode::PAYLOAD_TOO_LARGE,
            Fault::sender(format!("Maximum request length exceeded: {} bytes are taken.", limits.body_bytes_max)),
        )
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.body_bytes_max as u64) {
        return Err(too_long());
    }
    let mut body = Limited::new(body, limits.body_bytes_max);
    // Into one buffer as it comes: what is kept of a body is then its bytes, however small the chunks it came in.
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await.transpose()? {
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<_, axum::BoxError>(bytes)
    };
    match tokio::time::timeout(limits.body_timeout, collect).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(e)) => Err(Refused::Malformed(format!("the body broke off: {e}"))),
        Err(_) => Err(Refused::Unread(
            StatusCode::REQUEST_TIMEOUT,
            Fault::sender(format!("The request did not arrive within {} seconds.", limits.body_timeout.as_secs())),
        )),
    }
}

fn respond(status: StatusCode, version: Version, cache_control: &'static str, body: impl Into<Body>) -> Response {
    let content_type = match version {
        Version::Soap11 => "text/xml; charset=utf-8",
        Version::Soap12 => "application/soap+xml; charset=utf-8",
    };
    (status, [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, cache_control)], body.into())
        .into_response()
}

fn unsupported_media_type() -> Response {
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        [(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "private")],
    )
        .into_response()
}

/// The parts of a Content-Type that matter here.
#[derive(Debug, PartialEq, Eq)]
struct ContentType {
    /// The version whose media type it is.
    version: Version,
    charset: Option<String>,
    /// SOAP 1.2 part 2 §6.5.3.
    action: Option<String>,
}

impl ContentType {
    /// `None` unless it is the media type of a SOAP version.
    fn of(headers: &HeaderMap) -> Option<ContentType> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let (media_type, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let version = Version::ALL.into_iter().find(|v| v.media_type() == media_type)?;
        let mut found = ContentType { version, charset: None, action: None };
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
}

fn unquote(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).expect("header"));
            ContentType::of(&headers).map(|c| (c.version, c.charset.unwrap_or_default(), c.action.unwrap_or_default()))
        };
        let soap11 = |charset: &str| Some((Version::Soap11, charset.to_owned(), String::new()));
        let soap12 = |charset: &str, action: &str| Some((Version::Soap12, charset.to_owned(), action.to_owned()));
        for (value, expected) in [
            ("text/xml", soap11("")),
            ("Text/XML;charset=UTF-8", soap11("UTF-8")),
            ("text/xml; charset=\"utf-8\"", soap11("utf-8")),
            ("application/soap+xml; charset=utf-8; action=\"a;b=c\"", soap12("utf-8", "a;b=c")),
            ("application/soap+xml;action=\"urn:x\";charset=utf-8", soap12("utf-8", "urn:x")),
            ("application/soap+xml; action=urn:x", soap12("", "urn:x")),
            ("application/soap+xml; action=\"unclosed", soap12("", "unclosed")),
            ("application/xml", None),
            ("application/json", None),
            ("", None),
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
