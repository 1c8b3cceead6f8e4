//! The NetServer services over SOAP, with WCF's responses. The element in the Body determines the operation; SOAPAction is
//! ignored. Header blocks may also be beside Header, as in the vendor's samples. The refusal of an operation is no fault, but an
//! `ExceptionInfo` in the header of an ordinary answer.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use uuid::Uuid;

use super::dates::DateForm;
use super::types::{SO_CREDENTIALS, SO_EXCEPTION_INFO, SO_TIME_ZONE};
use super::{
    CREDENTIALS, Call, EXCEPTION_INFO, EXTRA_INFO, Endpoint, Operation, SUCCEEDED, TIME_ZONE, exception, explain,
    is_block, is_own, page, wsdl,
};
use crate::contract::credential::CredentialBlock;
use crate::contract::naming;
use crate::contract::record::{self, Naming, Nulls, Record, Value};
use crate::contract::{ComplexType, Ended};
use crate::error::Error;
use crate::http::body::{ContentType, is_compressed, not_a_call, read_body};
use crate::http::html;
use crate::http::site::{Received, WithBody};
use crate::http::soap_binding::{NotServed, call_name, respond, understand};
use crate::service::Identity;
use crate::soap::envelope::{self, Element, Envelope, ReadError};
use crate::soap::fault::{Fault, FaultCode, open_envelope};
use crate::soap::xml::Writer;
use crate::soap::{Version, encoding};

/// `GET` on the address of a service: its WSDL, or a page.
pub(crate) async fn page(endpoint: Endpoint, request: Received) -> Response {
    let path = request.address.path();
    match asked(&request.parts.uri).as_str() {
        // All schemas are in the one document.
        "wsdl" | "singlewsdl" => {
            html::xml(wsdl::render(endpoint, &format!("{}{}", request.base(), path.trim_end_matches('/'))))
        }
        "style" => html::style(),
        _ => page::overview(endpoint, path),
    }
}

/// The first known parameter of the query, in lower case.
fn asked(uri: &Uri) -> String {
    let names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let mut names = names.map(str::to_ascii_lowercase);
    names.find(|name| ["wsdl", "singlewsdl", "style"].contains(&name.as_str())).unwrap_or_default()
}

/// `POST` on the address of a service.
pub(crate) async fn call(endpoint: Endpoint, WithBody(request, body): WithBody) -> Response {
    let Received { site, limits, parts, context, .. } = &request;
    context.trail.note(|facts| facts.surface = Some("netserver"));
    let content_type = ContentType::of(&parts.headers).unwrap_or_default();
    let typed = match content_type.version() {
        None if content_type.media_type == "application/xml" => Some(Version::Soap11),
        typed => typed,
    };
    let prepared = match typed {
        _ if is_compressed(&parts.headers) => Err(NotServed::Compressed),
        None => Err(NotServed::media_type(&parts.headers)),
        Some(typed) => match read_body(body, &parts.headers, limits).await {
            Ok(bytes) => prepare(endpoint, &request, typed, content_type.charset.as_deref(), &bytes),
            Err(unread) => Err(unread.into()),
        },
    };
    match prepared {
        Ok((version, call)) => {
            let (operation, dates) = (call.operation, call.dates());
            let ended = call.run().await;
            respond(StatusCode::OK, version, CACHED, answer(version, endpoint, operation, dates, ended))
        }
        Err(refused) => {
            not_a_call(site, context, &refused.reason());
            refused.response(CACHED)
        }
    }
}

const CACHED: &str = "private, max-age=0";

fn prepare(
    endpoint: Endpoint,
    received: &Received,
    typed: Version,
    charset: Option<&str>,
    body: &[u8],
) -> Result<(Version, Call), NotServed> {
    let text = encoding::decode(body, charset);
    let envelope = envelope::read(&text, &received.limits.xml).map_err(|error| unreadable(typed, &error))?;
    let version = envelope.version;
    understand(&envelope, is_known).map_err(|fault| match fault.code {
        FaultCode::Sender => sender(version, fault.text),
        _ => NotServed::Fault(StatusCode::INTERNAL_SERVER_ERROR, version, fault),
    })?;

    let body = envelope.body.as_ref().ok_or_else(|| sender(version, "The Body of the message is empty."))?;
    let operation = endpoint.operation(&body.namespace, &body.name).map_err(|reason| {
        let fault = Fault::new(FaultCode::ActionNotSupported, reason);
        NotServed::Fault(StatusCode::INTERNAL_SERVER_ERROR, version, fault)
    })?;

    let read = |element: &Element, of: &'static ComplexType, naming: Naming<'_>| {
        record::read(element, of, naming).map_err(|error| {
            let (line, column) = envelope::position(&text, error.at);
            let reason = error.reason;
            sender(version, format!("The message could not be read: line {line}, column {column}: {reason}"))
        })
    };
    let block = |name: &str, of: &'static ComplexType| {
        let read = |element: &Element| read(element, of, Naming::Exact(&element.namespace));
        header_block(&envelope, endpoint, name).map(read).transpose()
    };
    let ticket = block(CREDENTIALS.name, &SO_CREDENTIALS)?.and_then(|mut block| block.take_string("Ticket"));
    let identity = ticket.map_or_else(|| no_ticket(&envelope, endpoint), |ticket| Identity::of_ticket(&ticket));
    let time_zone = block(TIME_ZONE.name, &SO_TIME_ZONE)?;
    let dates = time_zone.map_or_else(DateForm::base, |mut zone| {
        DateForm::of_soap(zone.take_int("SoTimeZoneId"), zone.take_string("SoTimeZoneLocationCode").as_deref())
    });
    let blocks = envelope.header_blocks.iter().chain(&envelope.beside);
    let name = call_name(&received.parts.headers, blocks, is_own);
    let arguments = read(body, operation.input, Naming::Near(endpoint.namespace()))?;
    Ok((version, Call::of(received, operation, identity, name, dates, arguments)))
}

/// Header blocks that may be marked as mandatory. Toolkits add those of WS-Addressing by themselves; the service complies with
/// them anyway.
fn is_known(block: &Element) -> bool {
    const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
    &*block.namespace == ADDRESSING || naming::is_block(block, is_own) || is_block(&block.namespace, &block.name)
}

/// A block of the edition, or else of another edition, because all have the same blocks. A block inside Header takes precedence
/// over one beside it.
fn header_block<'e>(envelope: &'e Envelope, endpoint: Endpoint, name: &str) -> Option<&'e Element> {
    let blocks = || envelope.header_blocks.iter().chain(&envelope.beside);
    let of_edition = blocks().find(|block| block.is(endpoint.namespace(), name));
    let of_another = || blocks().find(|block| block.name == name && is_block(&block.namespace, name));
    of_edition.or_else(of_another).filter(|block| !block.is_nil())
}

/// Says what is missing in the message. The service decides whether a ticket is valid.
fn no_ticket(envelope: &Envelope, endpoint: Endpoint) -> Identity {
    let expected = CredentialBlock { namespace: endpoint.namespace(), name: CREDENTIALS.name, may_stand_beside: true };
    let reason = match header_block(envelope, endpoint, expected.name) {
        Some(block) => expected.field_missing(block, "Ticket"),
        None => expected.missing(envelope),
    };
    Identity::Missing(format!("A valid session is missing. Sign in, and send the ticket of that sign-in: {reason}"))
}

fn answer(
    version: Version,
    endpoint: Endpoint,
    operation: &Operation,
    dates: DateForm,
    Ended { outcome, id }: Ended<Record>,
) -> String {
    let mut w = Writer::compact();
    let Endpoint { edition, .. } = endpoint;
    let block = |w: &mut Writer, name| _ = w.open(name).attribute("xmlns", endpoint.namespace());
    open_envelope(&mut w, version);
    w.open("soap:Header");
    if let Err(error) = &outcome {
        block(&mut w, EXCEPTION_INFO.name);
        exception_info(error, id).write(&mut w, edition, Nulls::LeftOut);
        w.close();
    }
    block(&mut w, EXTRA_INFO.name);
    w.close();
    block(&mut w, SUCCEEDED.name);
    w.text(if outcome.is_ok() { "true" } else { "false" }).close();
    block(&mut w, TIME_ZONE.name);
    time_zone(dates).write(&mut w, edition, Nulls::LeftOut);
    w.close().close();
    w.open("soap:Body");
    block(&mut w, operation.output.name);
    if let Ok(done) = outcome {
        done.answer.write(&mut w, edition, Nulls::Nil);
    }
    w.finish()
}

fn time_zone(dates: DateForm) -> Record {
    let zone = dates.zone();
    Record::new(&SO_TIME_ZONE)
        .with_some("SoTimeZoneId", (zone.id != 0).then_some(Value::Int(zone.id)))
        .with("SoTimeZoneLocationCode", Value::String(zone.code.to_owned()))
}

/// The id identifies the log line. A stack trace is never sent.
fn exception_info(error: &Error, id: Uuid) -> Record {
    let text = explain(error);
    Record::new(&SO_EXCEPTION_INFO)
        .with("Message", Value::String(format!("Err-{id}; {text}")))
        .with("FriendlyText", Value::String(text))
        .with("ExceptionType", Value::String(format!("SuperOffice.Exceptions.{}", exception(error.kind))))
        .with("Source", Value::String("Seatkeeper".to_owned()))
}

/// A fault of the sender. SOAP 1.1 §6.2 has one status for all faults; SOAP 1.2 part 2 §7.5.2.2 has 400 for these.
fn sender(version: Version, text: impl Into<String>) -> NotServed {
    let status = match version {
        Version::Soap11 => StatusCode::INTERNAL_SERVER_ERROR,
        Version::Soap12 => StatusCode::BAD_REQUEST,
    };
    NotServed::Fault(status, version, Fault::sender(text))
}

/// `typed`: the version whose media type the message has. Unlike at the ASMX address, XML that is not well-formed gets a
/// fault too: clients know no other response of NetServer.
fn unreadable(typed: Version, error: &ReadError) -> NotServed {
    let text = format!("The message could not be read: {error}.");
    match error {
        ReadError::VersionMismatch { name, .. } if name == "Envelope" => {
            let text = format!("{text} Send an Envelope of SOAP 1.1 or 1.2.");
            let fault = Fault::new(FaultCode::VersionMismatch, text);
            NotServed::Fault(StatusCode::INTERNAL_SERVER_ERROR, Version::Soap11, fault)
        }
        ReadError::NoBody { version } => sender(
            *version,
            format!("{text} Send it as a child of Envelope, in the namespace '{}'.", version.namespace()),
        ),
        ReadError::Ambiguous { version, .. } => sender(*version, format!("{text} Send one Header, then one Body.")),
        ReadError::TooMuch { version, .. } => sender(version.unwrap_or(typed), text),
        ReadError::Malformed { .. } | ReadError::VersionMismatch { .. } => sender(typed, text),
    }
}
