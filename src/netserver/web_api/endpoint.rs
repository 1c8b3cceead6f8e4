//! The Web API: License over plain HTTP, as agent calls and as a resource. Unauthenticated callers learn nothing about their
//! call. Arguments and answers follow from the description of the operations.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::arguments::Unreadable;
use super::cors::CorsOrigins;
use super::negotiation::Format;
use super::request::WebRequest;
use super::select::Select;
use super::target::Target;
use super::write::{Written, problem};
use super::{AGENT, BASE, ROUTES, Route, authorization, openapi, swagger, type_name};
use crate::contract::edition::Edition;
use crate::contract::record::Record;
use crate::contract::{Field, log_outcome};
use crate::error::{Error, ErrorKind, Retry};
use crate::http::body::{accept_uncompressed, not_a_call};
use crate::http::site::WithBody;
use crate::http::soap_binding::call_name;
use crate::http::{RETRY_SECONDS, close};
use crate::netserver::dates::DateForm;
use crate::netserver::{Call, LICENSE, Operation, exception, explain};
use crate::service::Identity;

const SO_TIME_ZONE: HeaderName = HeaderName::from_static("so-timezone");

/// Everything at and below `/api`.
pub(crate) async fn answer(WithBody(received, body): WithBody, cors_origins: &CorsOrigins) -> Response {
    let origin = received.parts.headers.get(header::ORIGIN).cloned();
    received.context.trail.note(|facts| facts.surface = Some("web_api"));
    let mut response = match cors_origins.preflight(&received.parts) {
        Some(answer) => answer,
        None => {
            let request = WebRequest::new(received);
            let mut answer = request.answer(body).await;
            request.name_zone(answer.headers_mut());
            answer
        }
    };
    let headers = response.headers_mut();
    cors_origins.mark(origin, headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl WebRequest {
    async fn answer(&self, body: Body) -> Response {
        // Taken when it is read.
        let body = &mut Some(body);
        let target = Target::of(&self.segments);
        if self.parts().method == Method::OPTIONS
            && let Some(allowed) = target.allowed()
        {
            return (StatusCode::NO_CONTENT, [(header::ALLOW, allowed)]).into_response();
        }
        match &target {
            Target::Versions if self.is_get() => return json(self.versions().to_string()),
            Target::Operations if self.is_get() => return json(self.operations().to_string()),
            Target::OpenApi if self.is_get() => return json(openapi::render(&self.received.base())),
            Target::Swagger if self.is_get() => return json(swagger::render(&self.received.base())),
            Target::Versions | Target::Operations | Target::OpenApi | Target::Swagger => {
                return self.nothing_to_do(&target);
            }
            Target::Agent(_) | Target::Resource(_) | Target::Nothing => {}
        }
        let identity = authorization::identity(&self.parts().headers, self.context());
        if matches!(identity, Identity::Nobody) {
            return self.unauthorized();
        }
        if let Target::Agent(operation) = &target
            && self.parts().method == Method::POST
        {
            let arguments = self.object(operation, body).await;
            return self.call(operation, arguments, identity, Style::Agent).await;
        }
        if let Target::Resource(routes) = &target
            && let Some(route) = routes.iter().find(|route| self.is_method(route))
        {
            let arguments = self.arguments(route, body).await;
            return self.call(route.operation(), arguments, identity, Style::Resource).await;
        }
        match (self.known(&identity).await, &target) {
            (Err(refused), _) => refused,
            (Ok(()), Target::Agent(operation)) if self.is_get() => json(description(operation).to_string()),
            (Ok(()), _) => self.nothing_to_do(&target),
        }
    }

    fn is_get(&self) -> bool {
        self.parts().method == Method::GET || self.parts().method == Method::HEAD
    }

    fn is_method(&self, route: &Route) -> bool {
        route.method.name() == if self.is_get() { "GET" } else { self.parts().method.as_str() }
    }

    /// The response for an unknown address, or for a method that the address does not have.
    fn nothing_to_do(&self, target: &Target) -> Response {
        let Some(allowed) = target.allowed() else {
            let kind = ErrorKind::ObjectEntityMismatch;
            return self.error(StatusCode::NOT_FOUND, exception(kind), "There is nothing at this address.");
        };
        let text = format!("This address accepts the methods {allowed}.");
        let mut response = self.error(StatusCode::METHOD_NOT_ALLOWED, exception(ErrorKind::NotSupported), &text);
        if let Ok(value) = HeaderValue::from_str(&allowed) {
            response.headers_mut().insert(header::ALLOW, value);
        }
        response
    }

    // The call -------------------------------------------------------------------------------------------------------

    async fn call(
        &self,
        operation: &'static Operation,
        arguments: Result<Record, Unreadable>,
        identity: Identity,
        style: Style,
    ) -> Response {
        let arguments = match arguments {
            Ok(arguments) => arguments,
            // Unauthenticated callers must not learn what a call needs.
            Err(refused) => {
                return self.known(&identity).await.err().unwrap_or_else(|| self.refused(&refused, style));
            }
        };
        let name = call_name(&self.parts().headers, [], |_| false);
        let call = Call::of(&self.received, operation, identity, name, self.dates(), arguments);
        match call.run().await.outcome {
            Ok(done) => self.result(&done.answer, style),
            Err(error) => self.failed(&error, style),
        }
    }

    fn dates(&self) -> DateForm {
        let values = self.parts().headers.get_all(SO_TIME_ZONE).iter().filter_map(|value| value.to_str().ok());
        let value = values.collect::<Vec<_>>().join(",");
        if value.is_empty() { DateForm::base() } else { DateForm::of_header(&value) }
    }

    /// Names the zone in every response, also in errors: unauthenticated callers must not learn how far a call got.
    fn name_zone(&self, answer: &mut HeaderMap) {
        if self.parts().headers.contains_key(SO_TIME_ZONE) {
            answer.insert(SO_TIME_ZONE, HeaderValue::from_static(self.dates().zone().code));
        }
    }

    fn result(&self, record: &Record, style: Style) -> Response {
        let Some((Field { kind, .. }, value)) = record.fields().next() else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        if value.is_none() && style == Style::Resource {
            let kind = ErrorKind::ObjectEntityMismatch;
            return self.error(
                StatusCode::NOT_FOUND,
                exception(kind),
                "There is no such owner, or no such module of it.",
            );
        }
        let selected = self.query("$select").map(|text| Select::parse(&text));
        let select = selected.as_ref().unwrap_or(Select::everything());
        self.written(&Written { value, kind: *kind, select })
    }

    /// Checks that the caller is signed in; otherwise returns the response that says so.
    async fn known(&self, identity: &Identity) -> Result<(), Response> {
        match self.site().service.principal(self.context(), identity).await {
            Ok(_) => Ok(()),
            Err(error) => {
                log_outcome("none", &self.site().service, self.context(), Some(&error));
                Err(self.failed(&error, Style::Resource))
            }
        }
    }

    // Answers --------------------------------------------------------------------------------------------------------

    fn failed(&self, error: &Error, style: Style) -> Response {
        match error.kind {
            ErrorKind::InvalidSoapCredentials | ErrorKind::CredentialMissing => self.unauthorized(),
            ErrorKind::InvalidInputParameters | ErrorKind::NameInvalid if style == Style::Agent => {
                self.invalid(&explain(error))
            }
            kind => {
                let (status, wait) = match error.retry {
                    None => (status(kind), None),
                    Some(Retry::Soon) => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECONDS)),
                    Some(Retry::After(wait)) => (status(kind), Some(wait.as_secs().saturating_add(1))),
                };
                let mut response = self.error(status, exception(kind), &explain(error));
                if let Some(seconds) = wait {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
        }
    }

    fn refused(&self, refused: &Unreadable, style: Style) -> Response {
        const EXCEPTION: &str = exception(ErrorKind::InvalidInputParameters);
        let text = refused.to_string();
        not_a_call(self.site(), self.context(), &text);
        match refused {
            Unreadable::Malformed(_) if style == Style::Agent => self.invalid(&text),
            Unreadable::Malformed(_) => self.error(StatusCode::BAD_REQUEST, EXCEPTION, &text),
            Unreadable::MediaType { .. } => self.error(StatusCode::UNSUPPORTED_MEDIA_TYPE, EXCEPTION, &text),
            Unreadable::Compressed => {
                let mut response = self.error(StatusCode::UNSUPPORTED_MEDIA_TYPE, EXCEPTION, &text);
                accept_uncompressed(&mut response);
                response
            }
            Unreadable::Unread(unread) => {
                let mut response = self.error(unread.status(), EXCEPTION, &text);
                close(&mut response);
                response
            }
        }
    }

    fn unauthorized(&self) -> Response {
        const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"SuperOffice\", charset=\"UTF-8\"");
        let text = "The caller is not signed in. Send Authorization with a valid user name and password as Basic, or with a \
            ticket as SOTicket; a ticket ends 6 hours after its last use.";
        let mut response = self.error(StatusCode::UNAUTHORIZED, exception(ErrorKind::InvalidSoapCredentials), text);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        response
    }

    /// The response to an agent call with invalid arguments.
    fn invalid(&self, detail: &str) -> Response {
        let members = [("Message", "The request is invalid."), ("MessageDetail", detail)];
        self.format.respond(StatusCode::BAD_REQUEST, problem("HttpError", None, &members, self.format.is_xml()))
    }

    fn error(&self, status: StatusCode, name: &str, text: &str) -> Response {
        let members = [("ErrorType", name), ("ErrorMessage", text), ("ErrorSource", "Seatkeeper")];
        self.format.respond(status, problem("ErrorResponse", Some("Error"), &members, self.format.is_xml()))
    }

    fn written(&self, written: &Written<'_>) -> Response {
        self.format.respond(StatusCode::OK, if self.format.is_xml() { written.xml() } else { written.json() })
    }

    // Versions and descriptions ---------------------------------------------------------------------------------------

    fn versions(&self) -> serde_json::Value {
        const VERSION: &str = env!("CARGO_PKG_VERSION");
        let mut versions = json!({
            "v1": format!("{}{BASE}", self.received.base()),
            "Version": "v1",
            "NetServerVersion": VERSION,
            "NetServer": format!("Seatkeeper {VERSION}"),
            // The newest.
            "Services": Edition::SERVICES.last().map(|edition| edition.name()),
        });
        for edition in Edition::SERVICES {
            versions[edition.name()] = edition.namespace().into();
        }
        versions
    }

    /// The addresses, each with its methods and what they do.
    fn operations(&self) -> serde_json::Value {
        let base = self.received.base();
        let mut all = serde_json::Map::new();
        for operation in LICENSE.operations {
            let address = format!("{base}{BASE}/{AGENT}/{}", operation.name);
            all.insert(address, json!({ "POST": operation.documentation }));
        }
        for route in ROUTES {
            let methods = all.entry(format!("{base}{}", route.template())).or_insert_with(|| json!({}));
            methods[route.method.name()] = route.operation().documentation.into();
        }
        all.into()
    }
}

/// The response to GET on an agent call, which describes the call and does not run it.
fn description(operation: &Operation) -> serde_json::Value {
    let arguments = operation.input.fields.iter();
    let arguments: Vec<_> =
        arguments.map(|field| json!({ "Name": field.name, "Type": type_name(field.kind) })).collect();
    json!({
        "Operation": operation.name,
        "Description": operation.documentation,
        "Method": "POST",
        "Arguments": arguments,
        "Result": operation.output.fields.first().map(|field| type_name(field.kind)),
    })
}

/// A JSON response, whatever the client prefers.
fn json(text: String) -> Response {
    Format::default().respond(StatusCode::OK, text)
}

/// The style of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Agent,
    Resource,
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidSoapCredentials | ErrorKind::CredentialMissing => StatusCode::UNAUTHORIZED,
        ErrorKind::InvalidInputParameters | ErrorKind::NameInvalid => StatusCode::BAD_REQUEST,
        ErrorKind::NameReused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::AccessDenied => StatusCode::FORBIDDEN,
        ErrorKind::ObjectEntityMismatch => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists
        | ErrorKind::NoLicensePool
        | ErrorKind::LicenseExpired
        | ErrorKind::NoFreeSeat
        | ErrorKind::NotAssigned
        | ErrorKind::LicenseNotAccepted => StatusCode::CONFLICT,
        ErrorKind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        // RFC 6585 §4.
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::UnexpectedError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
