//! The NetServer services over SOAP, answered as WCF answers: the element in the Body says which operation a message is
//! for, whatever its SOAPAction says; header blocks may stand where the vendor's samples have them; and what an operation
//! refuses is no fault but an `ExceptionInfo` in the header of an ordinary answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::message::{
    ContentType, Unread, is_compressed, not_a_call, read_body, respond, understand, unsupported_content_coding,
    unsupported_media_type,
};
use super::{Address, App, pages};
use crate::contract::ComplexType;
use crate::contract::message::{self, Nulls, Record, Value};
use crate::contract::netserver::dates::Dates;
use crate::contract::netserver::types::{SO_CREDENTIALS, SO_EXCEPTION_INFO, SO_TIME_ZONE};
use crate::contract::netserver::{
    CREDENTIALS, Call, Contract, EXCEPTION_INFO, EXTRA_INFO, NAMESPACE, Operation, SUCCEEDED, TIME_ZONE, exception,
    explain, page as html, wsdl,
};
use crate::error::Error;
use crate::service::{CallContext, Identity};
use crate::soap::Version;
use crate::soap::encoding;
use crate::soap::envelope::{self, Element, Envelope, ReadError};
use crate::soap::fault::{Fault, FaultCode, open_envelope};
use crate::soap::xml::Writer;

/// `GET` on the address of a service: its WSDL, or a page.
pub(super) async fn page(contract: &'static Contract, State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let Some(path) = parts.extensions.get::<Address>().map(Address::path) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match asked(&parts.uri).as_str() {
        // All schemas are in the one document.
        "wsdl" | "singlewsdl" => {
            pages::xml(wsdl::render(contract, &format!("{}{}", app.base(&parts), path.trim_end_matches('/'))))
        }
        "style" => pages::style(),
        _ => pages::html(html::overview(contract, path)),
    }
}

/// The first parameter of the query that is one of ours, in lower case.
fn asked(uri: &Uri) -> String {
    let names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let mut names = names.map(str::to_ascii_lowercase);
    names.find(|name| ["wsdl", "singlewsdl", "style"].contains(&name.as_str())).unwrap_or_default()
}

/// `POST` on the address of a service.
pub(super) async fn call(contract: &'static Contract, State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if is_compressed(&parts.headers) {
        return unsupported_content_coding();
    }
    let content_type = ContentType::of(&parts.headers).unwrap_or_default();
    let typed = match content_type.version() {
        Some(version) => version,
        None if content_type.media_type == "application/xml" => Version::Soap11,
        None => return unsupported_media_type(),
    };
    let Some(context) = app.context(&parts) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let prepared = match read_body(body, &parts.headers, &app.limits).await {
        Ok(bytes) => prepare(contract, &app, &context, typed, content_type.charset.as_deref(), &bytes),
        Err(unread) => Err(Refused::unread(typed, &unread)),
    };
    match prepared {
        Ok((version, operation, call)) => {
            let dates = call.dates;
            let outcome = operation.call(call).await;
            respond(StatusCode::OK, version, CACHED, answer(version, operation, dates, outcome, &context))
        }
        Err(refused) => {
            not_a_call(&app, &context, refused.reason());
            refused.response()
        }
    }
}

const CACHED: &str = "private, max-age=0";

fn prepare(
    contract: &'static Contract,
    app: &App,
    context: &CallContext,
    typed: Version,
    charset: Option<&str>,
    body: &[u8],
) -> Result<(Version, &'static Operation, Call), Refused> {
    let text = encoding::decode(body, charset).ok_or(Refused::UnsupportedMediaType)?;
    let envelope = envelope::read(&text, &app.limits.xml).map_err(|error| Refused::unreadable(typed, &error))?;
    let version = envelope.version;
    understand(&envelope, is_known).map_err(|fault| match fault.code {
        FaultCode::Sender => Refused::Fault(status(version), version, fault),
        _ => Refused::Fault(StatusCode::INTERNAL_SERVER_ERROR, version, fault),
    })?;

    let body = envelope.body.as_ref().ok_or_else(|| Refused::message(version, "The Body of the message is empty."))?;
    let operation =
        Some(body).filter(|body| &*body.namespace == NAMESPACE).and_then(|body| contract.operation(&body.name));
    let operation = operation.ok_or_else(|| {
        let fault = Fault::new(
            FaultCode::ActionNotSupported,
            format!("There is no operation '{}' of namespace '{}' at this address.", body.name, body.namespace),
        );
        Refused::Fault(StatusCode::INTERNAL_SERVER_ERROR, version, fault)
    })?;

    let read = |element: &Element, of: &'static ComplexType| {
        message::read(element, of, Some(NAMESPACE)).map_err(|error| Refused::message(version, &error.reason))
    };
    let block = |name: &str, of: &'static ComplexType| {
        header_block(&envelope, name).map(|element| read(element, of)).transpose()
    };
    let ticket = block(CREDENTIALS.name, &SO_CREDENTIALS)?.and_then(|mut block| block.take_string("Ticket"));
    let time_zone = block(TIME_ZONE.name, &SO_TIME_ZONE)?;
    let dates = time_zone.map_or_else(Dates::base, |mut zone| {
        Dates::of_soap(zone.take_int("SoTimeZoneId"), zone.take_string("SoTimeZoneLocationCode").as_deref())
    });
    let call = Call {
        service: Arc::clone(&app.service),
        context: context.clone(),
        identity: ticket.map_or(Identity::Nobody, |ticket| Identity::of_ticket(&ticket)),
        dates,
        arguments: read(body, operation.input)?,
    };
    Ok((version, operation, call))
}

/// Header blocks that may be marked as mandatory. Of those of WS-Addressing, which toolkits add by themselves, none asks
/// for anything else than what is done anyway.
fn is_known(block: &Element) -> bool {
    const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
    &*block.namespace == ADDRESSING
        || (&*block.namespace == NAMESPACE && crate::contract::netserver::is_block(&block.name))
}

/// Where both places have it, the one that SOAP has for it counts.
fn header_block<'e>(envelope: &'e Envelope, name: &str) -> Option<&'e Element> {
    let blocks = envelope.header_blocks.iter().chain(&envelope.beside);
    blocks.into_iter().find(|block| block.is(NAMESPACE, name)).filter(|block| !block.is_nil())
}

fn answer(
    version: Version,
    operation: &Operation,
    dates: Dates,
    outcome: Result<Record, Error>,
    context: &CallContext,
) -> String {
    let mut w = Writer::compact();
    open_envelope(&mut w, version);
    w.open("soap:Header");
    if let Err(error) = &outcome {
        block(&mut w, EXCEPTION_INFO.name);
        exception_info(error, context).write(&mut w, Nulls::LeftOut);
        w.close();
    }
    block(&mut w, EXTRA_INFO.name).close();
    block(&mut w, SUCCEEDED.name).text(if outcome.is_ok() { "true" } else { "false" }).close();
    block(&mut w, TIME_ZONE.name);
    time_zone(dates).write(&mut w, Nulls::LeftOut);
    w.close().close();
    w.open("soap:Body");
    block(&mut w, operation.output.name);
    if let Ok(record) = outcome {
        record.write(&mut w, Nulls::Nil);
    }
    w.finish()
}

fn block<'w>(w: &'w mut Writer, name: &'static str) -> &'w mut Writer {
    w.open(name).attribute("xmlns", NAMESPACE)
}

fn time_zone(dates: Dates) -> Record {
    let zone = dates.zone();
    Record::new(&SO_TIME_ZONE)
        .with_some("SoTimeZoneId", (zone.id != 0).then_some(Value::Int(zone.id)))
        .with("SoTimeZoneLocationCode", Value::String(zone.code.to_owned()))
}

/// The id finds the log line. There is never a stack trace.
fn exception_info(error: &Error, context: &CallContext) -> Record {
    let text = explain(error);
    Record::new(&SO_EXCEPTION_INFO)
        .with("Message", Value::String(format!("Err-{}; {text}", context.id)))
        .with("FriendlyText", Value::String(text))
        .with("ExceptionType", Value::String(format!("SuperOffice.Exceptions.{}", exception(error.kind))))
        .with("Source", Value::String("Seatkeeper".to_owned()))
}

/// Why a message is not served, before any operation has seen it.
enum Refused {
    UnsupportedMediaType,
    Fault(StatusCode, Version, Fault),
}

impl Refused {
    /// What stands in the message is wrong.
    fn message(version: Version, text: &str) -> Refused {
        Refused::Fault(status(version), version, Fault::sender(text))
    }

    fn unreadable(typed: Version, error: &ReadError) -> Refused {
        match error {
            ReadError::NoBody { version } => Refused::message(*version, &format!("{error}.")),
            ReadError::VersionMismatch { name, .. } if name == "Envelope" => {
                let fault = Fault::new(FaultCode::VersionMismatch, format!("{error}."));
                Refused::Fault(StatusCode::INTERNAL_SERVER_ERROR, Version::Soap11, fault)
            }
            _ => Refused::message(typed, &format!("The message could not be read: {error}.")),
        }
    }

    fn unread(typed: Version, unread: &Unread) -> Refused {
        let status = if matches!(unread, Unread::BrokeOff(_)) { status(typed) } else { unread.status() };
        Refused::Fault(status, typed, Fault::sender(unread.to_string()))
    }

    fn reason(&self) -> &str {
        match self {
            Refused::UnsupportedMediaType => "unsupported media type",
            Refused::Fault(_, _, fault) => &fault.text,
        }
    }

    fn response(self) -> Response {
        match self {
            Refused::UnsupportedMediaType => unsupported_media_type(),
            Refused::Fault(status, version, fault) => {
                let mut response = respond(status, version, CACHED, fault.render(version));
                if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
                    // The rest of the body is not read.
                    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
                }
                response
            }
        }
    }
}

/// SOAP 1.1 §6.2 has one status for faults; SOAP 1.2 part 2 §7.5.2.2 tells the sender's.
fn status(version: Version) -> StatusCode {
    match version {
        Version::Soap11 => StatusCode::INTERNAL_SERVER_ERROR,
        Version::Soap12 => StatusCode::BAD_REQUEST,
    }
}
