//! Answers messages to the ASMX service: finds the operation, and gives invalid messages the status and fault of the original
//! service.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::operations::{Answer, CONTRACT, Call, Contract, Operation, identity, is_block, is_own, with_result};
use super::streamed::StreamedBody;
use crate::contract::edition::Edition;
use crate::contract::record::{self, Naming, Nulls, Record};
use crate::contract::{Done, End, Ended, naming};
use crate::http::address::percent_decode;
use crate::http::body::{ContentType, is_compressed, not_a_call, read_body};
use crate::http::site::{Received, Site};
use crate::http::soap_binding::{NotServed, call_name, respond, understand};
use crate::service::CallContext;
use crate::soap::envelope::{self, Element, Envelope, ReadError};
use crate::soap::fault::{Fault, FaultCode, open_envelope};
use crate::soap::xml::Writer;
use crate::soap::{Version, encoding, excerpt};

/// Answers a message.
pub(super) async fn call(request: &Received, body: Body) -> Response {
    let Received { site, limits, parts, context, .. } = request;
    context.trail.note(|facts| facts.surface = Some("asmx"));
    if is_compressed(&parts.headers) {
        return refuse(site, context, NotServed::Compressed);
    }
    let content_type = ContentType::of(&parts.headers).unwrap_or_default();
    let Some(typed) = content_type.version() else {
        return refuse(site, context, NotServed::media_type(&parts.headers));
    };
    match read_body(body, &parts.headers, limits).await {
        Ok(bytes) => answer(request, typed, &content_type, &parts.headers, &bytes).await,
        Err(unread) => refuse(site, context, unread.into()),
    }
}

fn refuse(site: &Site, context: &CallContext, refused: NotServed) -> Response {
    not_a_call(site, context, &refused.reason());
    // .NET's value.
    let understood = !matches!(&refused, NotServed::Fault(_, _, fault) if fault.code == FaultCode::MustUnderstand);
    refused.response(if understood { "private" } else { "private, max-age=0" })
}

/// The response to a message of the test form.
pub(super) async fn answer_test(request: &Received, version: Version, envelope: &str) -> Response {
    let content_type = ContentType { charset: Some("utf-8".to_owned()), ..ContentType::default() };
    request.context.trail.note(|facts| facts.surface = Some("asmx"));
    answer(request, version, &content_type, &HeaderMap::new(), envelope.as_bytes()).await
}

async fn answer(
    request: &Received,
    typed: Version,
    content_type: &ContentType,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let Received { site, limits, context, .. } = request;
    match prepare(site, &limits.xml, context, typed, content_type, headers, body) {
        Ok((version, call)) => {
            let operation = call.operation;
            let Ended { outcome, id } = call.run().await;
            let mut w = Writer::compact();
            open_envelope(&mut w, version);
            w.open("soap:Body")
                .open(operation.response)
                .attribute("xmlns", CONTRACT.namespace)
                .open(operation.output.name);
            let (answer, end) = match outcome {
                Ok(Done { answer, end }) => (answer, end),
                Err(error) => (Answer::Whole(Record::new(operation.output)), End::Reached(Some(error))),
            };
            let body = match answer {
                Answer::Whole(answer) => {
                    let refused = end.await.expect("the use case does not panic and is not aborted");
                    with_result(answer, refused.as_ref(), id).write(&mut w, Edition::First, Nulls::LeftOut);
                    Body::from(w.finish())
                }
                Answer::Streamed(holders) => Body::new(StreamedBody::new(w, operation, holders, end, id)),
            };
            respond(StatusCode::OK, version, "private, max-age=0", body)
        }
        Err(refused) => refuse(site, context, refused),
    }
}

/// The call that a message makes, and its version. `typed`: the version whose media type the message has.
fn prepare(
    site: &Site,
    limits: &envelope::Limits,
    context: &CallContext,
    typed: Version,
    content_type: &ContentType,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Version, Call), NotServed> {
    let text = encoding::decode(body, content_type.charset.as_deref());
    let envelope = envelope::read(&text, limits).map_err(|error| unreadable(typed, error))?;
    let version = envelope.version;
    // A 1.2 envelope may be sent as text/xml, but a 1.1 envelope not as application/soap+xml.
    if version == Version::Soap11 && typed == Version::Soap12 {
        return Err(NotServed::unsupported(
            "The Content-Type application/soap+xml is for SOAP 1.2, and the envelope is of SOAP 1.1. Send it as text/xml; charset=utf-8, or an envelope of the namespace http://www.w3.org/2003/05/soap-envelope.",
        ));
    }
    let refused = |fault| self::fault(version, fault);
    // In this order: SOAP 1.2 part 1 §2.6, and R2725 of the WS-I Basic Profile.
    understand(&envelope, is_block).map_err(refused)?;
    let operation = operation(&CONTRACT, typed, content_type, headers, &envelope).map_err(refused)?;

    let wrong_value = |e: record::ValueError| {
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
        // A message dispatched by SOAPAction may have another element in its Body. Then it has no request.
        .filter(|body| body.is(CONTRACT.namespace, operation.name) && !body.is_nil())
        .and_then(|body| body.children.iter().find(|c| c.is(CONTRACT.namespace, "request") && !c.is_nil()))
        .map(|request| record::read(request, operation.input, Naming::Exact(CONTRACT.namespace)))
        .transpose()
        .map_err(wrong_value)?;
    let mut context = context.clone();
    naming::name_call(&mut context, name, CONTRACT.name, operation.name, request.as_ref());
    let arguments = request.unwrap_or_else(|| Record::new(operation.input));
    let call = Call { operation, service: Arc::clone(&site.service), context, identity, arguments, extra: () };
    Ok((version, call))
}

/// The operation of a message. If its media type is that of SOAP 1.1, a SOAPAction header decides alone. Otherwise the action
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
fn fault(version: Version, fault: Fault) -> NotServed {
    NotServed::Fault(StatusCode::INTERNAL_SERVER_ERROR, version, fault)
}

/// `typed`: the version whose media type the message has.
fn unreadable(typed: Version, error: ReadError) -> NotServed {
    const UNABLE: &str = "Server was unable to read request. --->";
    match error {
        // .NET sends the status without a body.
        ReadError::Malformed { .. } => NotServed::Http(StatusCode::BAD_REQUEST, format!("The message is {error}.")),
        ReadError::TooMuch { version, what } => {
            fault(version.unwrap_or(typed), Fault::sender(format!("{UNABLE} The message has {what}.")))
        }
        ReadError::VersionMismatch { namespace, name } => match Version::of_namespace(&namespace) {
            Some(version) => {
                let text = format!(
                    "{UNABLE} Request format is invalid: Missing required soap:Envelope element. The root element is '{}'.",
                    excerpt(&name)
                );
                fault(version, Fault::sender(text))
            }
            None => {
                let text = format!(
                    "Possible SOAP version mismatch: Envelope namespace {} was unexpected. Expecting {}. The root element is '{}'; send an Envelope of SOAP 1.1 or 1.2.",
                    excerpt(&namespace),
                    Version::Soap11.namespace(),
                    excerpt(&name)
                );
                // In the version that every client can read.
                fault(Version::Soap11, Fault::new(FaultCode::VersionMismatch, text))
            }
        },
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
