//! The ASMX service: which operation a message is for, and the status and fault for a message that cannot be served, by
//! the rules of the original service.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::message::{ContentType, Refused, call_name, is_compressed, not_a_call, read_body, respond, understand};
use super::streamed::StreamedBody;
use super::{App, pages, percent_decode};
use crate::contract::asmx::{CONTRACT, identity, is_block, is_own};
use crate::contract::edition::Edition;
use crate::contract::message::{self, Naming, Nulls};
use crate::contract::naming::SentName;
use crate::contract::{Answer, Contract, Invocation, Operation};
use crate::service::{CallContext, Identity};
use crate::soap::envelope::{self, Element, Envelope, ReadError};
use crate::soap::fault::{Fault, FaultCode, open_envelope};
use crate::soap::xml::Writer;
use crate::soap::{Version, encoding, excerpt};

/// `POST` on the ASMX address.
pub(super) async fn call(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(context) = app.context(&parts) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if is_compressed(&parts.headers) {
        return refuse(&app, &context, Refused::Compressed);
    }
    let content_type = ContentType::of(&parts.headers).unwrap_or_default();
    let Some(typed) = content_type.version() else {
        if content_type.media_type == "application/x-www-form-urlencoded"
            && let Ok(bytes) = read_body(body, &parts.headers, &app.limits).await
            && let Some(page) = pages::test_form(&app, &parts, &bytes).await
        {
            return page;
        }
        return refuse(&app, &context, Refused::media_type(&parts.headers));
    };
    let started = Instant::now();
    let response = match read_body(body, &parts.headers, &app.limits).await {
        Ok(bytes) => answer(&app, &context, typed, &content_type, &parts.headers, &bytes).await,
        Err(unread) => refuse(&app, &context, unread.into()),
    };
    tracing::debug!(
        request_id = %context.id,
        status = response.status().as_u16(),
        us = started.elapsed().as_micros() as u64,
        "answered"
    );
    response
}

fn refuse(app: &App, context: &CallContext, refused: Refused) -> Response {
    not_a_call(app, context, &refused.reason());
    // As .NET sends it.
    let understood = !matches!(&refused, Refused::Fault(_, _, fault) if fault.code == FaultCode::MustUnderstand);
    refused.response(if understood { "private" } else { "private, max-age=0" })
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
            let Call { version, operation, identity, name, request } = call;
            let (service, context) = (Arc::clone(&app.service), context.clone());
            let answer = operation.call(Invocation { service, context, identity, request }, name).await;
            let mut w = Writer::compact();
            open_envelope(&mut w, version);
            w.open("soap:Body").open(operation.response).attribute("xmlns", CONTRACT.namespace).open(operation.result);
            let body = match answer {
                Answer::Whole(record) => {
                    record.write(&mut w, Edition::First, Nulls::LeftOut);
                    Body::from(w.finish())
                }
                Answer::Streamed(streamed) => Body::new(StreamedBody::new(w, streamed)),
            };
            respond(StatusCode::OK, version, "private, max-age=0", body)
        }
        Err(refused) => refuse(app, context, refused),
    }
}

/// A message that can be served.
struct Call {
    version: Version,
    operation: &'static Operation,
    identity: Identity,
    name: Option<SentName>,
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
    let text = encoding::decode(body, content_type.charset.as_deref());
    let envelope = envelope::read(&text, &app.limits.xml).map_err(|error| unreadable(typed, error))?;
    let version = envelope.version;
    // A 1.2 envelope may come as text/xml, a 1.1 envelope not as application/soap+xml.
    if version == Version::Soap11 && typed == Version::Soap12 {
        return Err(Refused::unsupported(
            "The Content-Type application/soap+xml is for SOAP 1.2, and the envelope is of SOAP 1.1. Send it as text/xml; charset=utf-8, or an envelope of the namespace http://www.w3.org/2003/05/soap-envelope.",
        ));
    }
    let refused = |fault| self::fault(version, fault);
    // In this order: SOAP 1.2 part 1 §2.6, and R2725 of the WS-I Basic Profile.
    understand(&envelope, is_block).map_err(refused)?;
    let operation = operation(&CONTRACT, typed, content_type, headers, &envelope).map_err(refused)?;

    let wrong_value = |e: message::ValueError| {
        let (line, column) = envelope::position(&text, e.at);
        let reason = e.reason;
        refused(Fault::sender(format!(
            "Server was unable to read request. ---> There is an error in XML document ({line}, {column}). ---> {reason}"
        )))
    };
    let identity = identity(&envelope, context).map_err(wrong_value)?;
    let name = call_name(headers, &envelope.header_blocks, is_own);
    let request = envelope
        .body
        .as_ref()
        // A message dispatched by SOAPAction may have another element in its Body; then there is no request.
        .filter(|body| body.is(CONTRACT.namespace, operation.name) && !body.is_nil())
        .and_then(|body| body.children.iter().find(|c| c.is(CONTRACT.namespace, "request") && !c.is_nil()))
        .map(|request| message::read(request, operation.input, Naming::Exact(CONTRACT.namespace)))
        .transpose()
        .map_err(wrong_value)?;
    Ok(Call { version, operation, identity, name, request })
}

/// Which operation a message is for. In a message typed as SOAP 1.1 a SOAPAction header decides alone. Otherwise the action
/// parameter decides if it names an operation, or else the first element of the Body.
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
            Fault::sender(format!(
                "Server did not recognize the value of HTTP Header SOAPAction: {action}. Send '{}/' and the name of an operation, or no SOAPAction.",
                contract.namespace
            ))
        });
    }
    let by_body =
        |body: &Element| if &*body.namespace == contract.namespace { contract.operation(&body.name) } else { None };
    let action = content_type.action.as_deref();
    action.and_then(by_action).or_else(|| envelope.body.as_ref().and_then(by_body)).ok_or_else(|| {
        let reason = match action {
            Some(action) => format!("Unable to handle request. The action '{action}' was not recognized."),
            None => "Unable to handle request without a valid action parameter. Please supply a valid soap action."
                .to_owned(),
        };
        let found = match &envelope.body {
            Some(body) => {
                format!("soap:Body holds '{}' of namespace '{}'", excerpt(&body.name), excerpt(&body.namespace))
            }
            None => "soap:Body is empty".to_owned(),
        };
        Fault::sender(format!(
            "{reason} {found}. Send an operation of the namespace '{}', for example AssignLicense.",
            contract.namespace
        ))
    })
}

/// Always 500, as .NET sends it, also in SOAP 1.2, whose HTTP binding has 400 for faults of the sender.
fn fault(version: Version, fault: Fault) -> Refused {
    Refused::Fault(StatusCode::INTERNAL_SERVER_ERROR, version, fault)
}

/// `typed`: the version whose media type the message has.
fn unreadable(typed: Version, error: ReadError) -> Refused {
    const UNABLE: &str = "Server was unable to read request. --->";
    match error {
        // .NET sends the status without a body.
        ReadError::Malformed { .. } => Refused::Http(StatusCode::BAD_REQUEST, format!("The message is {error}.")),
        ReadError::TooMuch { version, what } => {
            fault(version.unwrap_or(typed), Fault::sender(format!("{UNABLE} The message has {what}.")))
        }
        ReadError::VersionMismatch { namespace, name } => {
            let text = format!(
                "Possible SOAP version mismatch: Envelope namespace {} was unexpected. Expecting {}. The root element is '{}'; send an Envelope of SOAP 1.1 or 1.2.",
                excerpt(&namespace),
                Version::Soap11.namespace(),
                excerpt(&name)
            );
            // In the version that every client can read.
            fault(Version::Soap11, Fault::new(FaultCode::VersionMismatch, text))
        }
        ReadError::NoBody { version } => {
            let text = format!(
                "{UNABLE} Request format is invalid: Missing required soap:Body element. Send it as a child of Envelope, in the namespace '{}'.",
                version.namespace()
            );
            fault(version, Fault::sender(text))
        }
        ReadError::Ambiguous { version, what } => {
            let text = format!(
                "{UNABLE} Request format is invalid: The envelope has {what}. Send one soap:Header, then one soap:Body."
            );
            fault(version, Fault::sender(text))
        }
    }
}

fn unquote(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}
