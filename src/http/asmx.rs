//! The ASMX service: which operation a message is for, and what status and fault a message gets that cannot be served. The
//! rules are the ones clients know from the vendor's service.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::message::{
    ContentType, Unread, is_compressed, not_a_call, read_body, respond, understand, unsupported_content_coding,
    unsupported_media_type,
};
use super::streamed::StreamedBody;
use super::{App, pages, percent_decode};
use crate::contract::asmx::{AUTH_HEADER, CONTRACT, identity};
use crate::contract::message::{self, Nulls};
use crate::contract::{Answer, Contract, Invocation, Operation};
use crate::service::{CallContext, Identity};
use crate::soap::Version;
use crate::soap::encoding;
use crate::soap::envelope::{self, Element, Envelope, ReadError};
use crate::soap::fault::{Fault, FaultCode, open_envelope};
use crate::soap::xml::Writer;

/// `POST` on the ASMX address.
pub(super) async fn call(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if is_compressed(&parts.headers) {
        return unsupported_content_coding();
    }
    let content_type = ContentType::of(&parts.headers).unwrap_or_default();
    let Some(typed) = content_type.version() else {
        if content_type.media_type == "application/x-www-form-urlencoded"
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
        Ok(bytes) => answer(&app, &context, typed, &content_type, &parts.headers, &bytes).await,
        Err(unread) => Refused::from(unread).response(typed),
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
    let content_type = ContentType { charset: Some("utf-8".to_owned()), ..ContentType::default() };
    answer(app, context, version, &content_type, &HeaderMap::new(), envelope.as_bytes()).await
}

async fn answer(
    app: &App,
    context: &CallContext,
    typed: Version,
    content_type: &ContentType,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    match prepare(app, context, typed, content_type, headers, body) {
        Ok(call) => {
            let Call { version, operation, identity, request } = call;
            let (service, context) = (Arc::clone(&app.service), context.clone());
            let answer = (operation.run)(Invocation { service, context, identity, request }).await;
            let mut w = Writer::compact();
            open_envelope(&mut w, version);
            w.open("soap:Body").open(operation.response).attribute("xmlns", CONTRACT.namespace).open(operation.result);
            let body = match answer {
                Answer::Whole(record) => {
                    record.write(&mut w, Nulls::LeftOut);
                    Body::from(w.finish())
                }
                Answer::Streamed(streamed) => Body::new(StreamedBody::new(w, streamed)),
            };
            respond(StatusCode::OK, version, "private, max-age=0", body)
        }
        Err(refused) => {
            not_a_call(app, context, refused.reason());
            refused.response(typed)
        }
    }
}

/// A message that can be served.
struct Call {
    version: Version,
    operation: &'static Operation,
    identity: Identity,
    request: Option<message::Record>,
}

/// `typed`: the version whose media type the message has.
fn prepare(
    app: &App,
    context: &CallContext,
    typed: Version,
    content_type: &ContentType,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Call, Refused> {
    let text = encoding::decode(body, content_type.charset.as_deref()).ok_or(Refused::UnsupportedMediaType)?;
    let envelope = envelope::read(&text, &app.limits.xml).map_err(Refused::from)?;
    let version = envelope.version;
    // A 1.2 envelope may come as text/xml, a 1.1 envelope not as application/soap+xml.
    if version == Version::Soap11 && typed == Version::Soap12 {
        return Err(Refused::UnsupportedMediaType);
    }
    let fault = |fault| Refused::Fault(version, fault);
    // In this order: SOAP 1.2 part 1 §2.6, and R2725 of the WS-I Basic Profile.
    understand(&envelope, |block| block.is(CONTRACT.namespace, AUTH_HEADER.name)).map_err(fault)?;
    let operation = operation(&CONTRACT, typed, content_type, headers, &envelope).map_err(fault)?;

    let unreadable = |e: message::ValueError| {
        let (line, column) = envelope::position(&text, e.at);
        let reason = e.reason;
        fault(Fault::sender(format!(
            "Server was unable to read request. ---> There is an error in XML document ({line}, {column}). ---> {reason}"
        )))
    };
    let identity = envelope
        .header_blocks
        .iter()
        .find(|block| block.is(CONTRACT.namespace, AUTH_HEADER.name))
        .map(|block| message::read(block, &AUTH_HEADER, Some(CONTRACT.namespace)))
        .transpose()
        .map_err(unreadable)?
        .map_or(Identity::Nobody, |block| identity(block, context));
    let request = envelope
        .body
        .as_ref()
        // Dispatched by SOAPAction, the body may hold something else; then there is no request.
        .filter(|body| body.is(CONTRACT.namespace, operation.name) && !body.is_nil())
        .and_then(|body| body.children.iter().find(|c| c.is(CONTRACT.namespace, "request") && !c.is_nil()))
        .map(|request| message::read(request, operation.input, Some(CONTRACT.namespace)))
        .transpose()
        .map_err(unreadable)?;
    Ok(Call { version, operation, identity, request })
}

/// Which operation a message is for. A SOAPAction header alone decides where there is one and the message is typed as
/// SOAP 1.1; otherwise the action parameter if it is known, else the first element of the Body.
fn operation(
    contract: &Contract,
    typed: Version,
    content_type: &ContentType,
    headers: &HeaderMap,
    envelope: &Envelope,
) -> Result<&'static Operation, Fault> {
    let by_action = |action: &str| {
        let name = action.strip_prefix(contract.namespace)?.strip_prefix('/')?;
        contract.operation(name)
    };
    if typed == Version::Soap11
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

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Refused {
        match unread {
            Unread::BrokeOff(_) => Refused::Malformed(unread.to_string()),
            _ => Refused::Unread(unread.status(), Fault::sender(unread.to_string())),
        }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Refused {
        match error {
            ReadError::Malformed(reason) => Refused::Malformed(reason),
            ReadError::TooMuch(_) => Refused::Unread(
                StatusCode::BAD_REQUEST,
                Fault::sender(format!("Server was unable to read request. ---> {error}.")),
            ),
            ReadError::VersionMismatch { namespace, .. } => Refused::Fault(
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

fn unquote(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}
