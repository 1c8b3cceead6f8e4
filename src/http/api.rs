//! The Web API: License over plain HTTP, as agent calls and as a resource. Callers that are not signed in learn nothing
//! about the call they make. What is answered follows from the description of the operations.

mod authorization;
mod cors;
mod negotiation;
mod place;

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::connection::RETRY_SECONDS;
use super::message::{ContentType, Unread, discard, not_a_call, read_body};
use super::{App, TypedPath, percent_decode};
use crate::contract::message::Record;
use crate::contract::netserver::dates::Dates;
use crate::contract::netserver::web::read::{self, Syntax};
use crate::contract::netserver::web::select::Select;
use crate::contract::netserver::web::write::{Written, problem};
use crate::contract::netserver::web::{
    self, AGENT, BASE, FORM_TYPE, MEDIA_TYPES, ROUTES, Route, Segment, TEXT_TYPE, parameter,
};
use crate::contract::netserver::{Call, LICENSE, NAMESPACE, Operation, exception, explain, openapi};
use crate::contract::{Field, Kind, log_outcome};
use crate::error::{Error, Kind as ErrorKind, Retry};
use crate::seats::shortened;
use crate::service::{CallContext, Identity};
use crate::soap::encoding;
use negotiation::Format;
use place::Place;

pub use cors::CorsOrigins;

const SO_TIME_ZONE: HeaderName = HeaderName::from_static("so-timezone");

/// Everything at and below `/api`.
pub(super) async fn api(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let mut response = match app.cors_origins.preflight(&parts) {
        Some(answer) => answer,
        None => match Exchange::new(&app, parts) {
            Some(exchange) => {
                let mut answer = exchange.answer(body).await;
                exchange.name_zone(answer.headers_mut());
                answer
            }
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
    };
    let headers = response.headers_mut();
    app.cors_origins.mark(origin, headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// One request that is being answered.
struct Exchange<'a> {
    app: &'a Arc<App>,
    parts: Parts,
    context: CallContext,
    /// The form that the client prefers for the answer.
    format: Format,
    /// The segments of the path below `/api`, decoded once, in the caller's spelling. A slash at the end adds none.
    segments: Vec<String>,
}

impl Exchange<'_> {
    fn new(app: &Arc<App>, parts: Parts) -> Option<Exchange<'_>> {
        let context = app.context(&parts)?;
        let TypedPath(path) = parts.extensions.get::<TypedPath>()?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments = path.split('/').skip(2);
        // In a path a plus sign is no blank.
        let segments = segments.map(|segment| percent_decode(&segment.replace('+', "%2B"))).collect();
        let format = negotiation::format(&parts.headers);
        Some(Exchange { app, parts, context, format, segments })
    }

    async fn answer(&self, body: Body) -> Response {
        let mut body = Some(body);
        let answer = self.answer_to(&mut body).await;
        if let Some(unread) = body {
            discard(unread, &self.parts.headers);
        }
        answer
    }

    /// Takes the body only if the call reads it.
    async fn answer_to(&self, body: &mut Option<Body>) -> Response {
        let place = Place::of(&self.segments);
        if self.parts.method == Method::OPTIONS
            && let Some(allowed) = place.allowed()
        {
            return (StatusCode::NO_CONTENT, [(header::ALLOW, allowed)]).into_response();
        }
        match &place {
            Place::Versions if self.is_get() => return json(self.versions().to_string()),
            Place::Operations if self.is_get() => return json(self.operations().to_string()),
            Place::OpenApi if self.is_get() => return json(openapi::render(&self.app.base(&self.parts))),
            Place::Versions | Place::Operations | Place::OpenApi => return self.nothing_to_do(&place),
            Place::Agent(_) | Place::Resource(_) | Place::Nothing => {}
        }
        let identity = authorization::identity(&self.parts.headers, &self.context);
        if matches!(identity, Identity::Nobody) {
            return self.unauthorized();
        }
        if let Place::Agent(operation) = &place
            && self.parts.method == Method::POST
        {
            let arguments = self.object(operation, body).await;
            return self.call(operation, arguments, identity, Style::Agent).await;
        }
        if let Place::Resource(routes) = &place
            && let Some(route) = routes.iter().find(|route| self.is_method(route))
        {
            let arguments = self.arguments(route, body).await;
            return self.call(route.operation(), arguments, identity, Style::Resource).await;
        }
        match (self.known(&identity).await, &place) {
            (Err(refused), _) => refused,
            (Ok(()), Place::Agent(operation)) if self.is_get() => json(description(operation).to_string()),
            (Ok(()), _) => self.nothing_to_do(&place),
        }
    }

    fn is_get(&self) -> bool {
        self.parts.method == Method::GET || self.parts.method == Method::HEAD
    }

    fn is_method(&self, route: &Route) -> bool {
        route.method.name() == if self.is_get() { "GET" } else { self.parts.method.as_str() }
    }

    /// The answer where there is nothing at the address, or nothing for the method.
    fn nothing_to_do(&self, place: &Place) -> Response {
        let Some(allowed) = place.allowed() else {
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

    // Arguments ------------------------------------------------------------------------------------------------------

    /// The arguments of an agent call: members of the one object that is its body, or parameters of the query.
    async fn object(&self, operation: &'static Operation, body: &mut Option<Body>) -> Result<Record, Refused> {
        let (text, syntax) = self.text(body, false).await?;
        let in_body = read::object(&text, syntax, operation.input, &self.app.limits.xml).map_err(Refused::Malformed)?;
        let query = self.parts.uri.query().unwrap_or_default();
        let in_query = read::pairs(query, operation.input).map_err(Refused::Malformed)?;
        match in_body.differs_from(&in_query) {
            None => Ok(in_body.completed_by(in_query)),
            Some(name) => {
                let text = format!("{name} is in the body and in the query, with different values. Send it once.");
                Err(Refused::Malformed(text))
            }
        }
    }

    /// The arguments of a call of the resource, wherever its route has them.
    async fn arguments(&self, route: &'static Route, body: &mut Option<Body>) -> Result<Record, Refused> {
        let mut arguments = Record::new(route.operation().input);
        for (segment, typed) in route.path.iter().zip(&self.segments[2..]) {
            if let Segment::Argument(name) = segment {
                let value = read::from_text(typed, route.kind(name), name).map_err(Refused::Malformed)?;
                arguments = arguments.with_some(name, value);
            }
        }
        for name in route.query {
            if let Some(text) = self.query(&parameter(name)) {
                arguments = arguments
                    .with_some(name, read::from_text(&text, route.kind(name), name).map_err(Refused::Malformed)?);
            }
        }
        if let Some(name) = route.body {
            let (text, syntax) = self.text(body, matches!(route.kind(name), Kind::String)).await?;
            let value = read::value(&text, syntax, route.argument(name), &self.app.limits.xml);
            arguments = arguments.with_some(name, value.map_err(Refused::Malformed)?);
        } else if route.method == web::Method::Delete && body.as_ref().is_some_and(|body| !body.is_end_stream()) {
            // The body belongs to another path, which takes away less.
            let text = format!(
                "DELETE {} removes the owner and takes no body, but one was sent. To take modules from a user, put the \
                 user's id behind the owner.",
                route.template()
            );
            return Err(Refused::Malformed(text));
        }
        Ok(arguments)
    }

    /// The body, if its type and charset are accepted. `plain_text`: whether it may be one string as it is. An empty body
    /// needs no type.
    async fn text(&self, body: &mut Option<Body>, plain_text: bool) -> Result<(String, Syntax), Refused> {
        let codings = self.parts.headers.get_all(header::CONTENT_ENCODING);
        if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refused::Coding);
        }
        let body = body.take().unwrap_or_default();
        let bytes = read_body(body, &self.parts.headers, &self.app.limits).await.map_err(Refused::Unread)?;
        if bytes.is_empty() {
            return Ok((String::new(), Syntax::Json));
        }
        let typed = match self.parts.headers.contains_key(header::CONTENT_TYPE) {
            true => ContentType::of(&self.parts.headers).unwrap_or_default(),
            // Without a Content-Type, assume JSON: most clients send it.
            false => ContentType { media_type: MEDIA_TYPES[0].to_owned(), ..ContentType::default() },
        };
        let syntax = Syntax::of_media_type(&typed.media_type).filter(|syntax| plain_text || *syntax != Syntax::Text);
        let decoded = encoding::decode(&bytes, typed.charset.as_deref());
        let Some(syntax) = syntax else {
            let seems = decoded.and_then(|text| Syntax::of_text(&text));
            return Err(Refused::MediaType { sent: shortened(&typed.media_type), seems, plain_text });
        };
        Ok((decoded.ok_or(Refused::Charset)?.into_owned(), syntax))
    }

    /// A parameter of the query; names compare without regard to case.
    fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.into_owned())
    }

    // The call -------------------------------------------------------------------------------------------------------

    async fn call(
        &self,
        operation: &'static Operation,
        arguments: Result<Record, Refused>,
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
        let call = Call {
            service: Arc::clone(&self.app.service),
            context: self.context.clone(),
            identity,
            dates: self.dates(),
            arguments,
            xml_limits: self.app.limits.xml.clone(),
        };
        match operation.call(call).await {
            Ok(record) => self.result(&record, style),
            Err(error) => self.failed(&error, style),
        }
    }

    fn dates(&self) -> Dates {
        let values = self.parts.headers.get_all(SO_TIME_ZONE).iter().filter_map(|value| value.to_str().ok());
        let value = values.collect::<Vec<_>>().join(",");
        if value.is_empty() { Dates::base() } else { Dates::of_header(&value) }
    }

    /// Names the zone in every answer, also in errors: unauthenticated callers must not learn how far a call got.
    fn name_zone(&self, answer: &mut HeaderMap) {
        if self.parts.headers.contains_key(SO_TIME_ZONE) {
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

    /// Whether the caller is signed in; otherwise the answer that says so.
    async fn known(&self, identity: &Identity) -> Result<(), Response> {
        match self.app.service.principal(&self.context, identity).await {
            Ok(_) => Ok(()),
            Err(error) => {
                log_outcome("none", &self.app.service.metrics, &self.context, Some(&error));
                Err(self.failed(&error, Style::Resource))
            }
        }
    }

    // Answers --------------------------------------------------------------------------------------------------------

    fn failed(&self, error: &Error, style: Style) -> Response {
        match error.kind {
            ErrorKind::InvalidSoapCredentials => self.unauthorized(),
            ErrorKind::InvalidInputParameters if style == Style::Agent => self.invalid(&explain(error)),
            kind => {
                let (status, wait) = match error.retry {
                    None => (status(kind), None),
                    Some(Retry::Soon) => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECONDS)),
                    // RFC 6585 §4.
                    Some(Retry::After(wait)) => (StatusCode::TOO_MANY_REQUESTS, Some(wait.as_secs() + 1)),
                };
                let mut response = self.error(status, exception(kind), &explain(error));
                if let Some(seconds) = wait {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
        }
    }

    fn refused(&self, refused: &Refused, style: Style) -> Response {
        const EXCEPTION: &str = exception(ErrorKind::InvalidInputParameters);
        let text = refused.to_string();
        not_a_call(self.app, &self.context, &text);
        match refused {
            Refused::Malformed(_) if style == Style::Agent => self.invalid(&text),
            Refused::Malformed(_) => self.error(StatusCode::BAD_REQUEST, EXCEPTION, &text),
            Refused::MediaType { .. } | Refused::Charset | Refused::Coding => {
                self.error(StatusCode::UNSUPPORTED_MEDIA_TYPE, EXCEPTION, &text)
            }
            Refused::Unread(unread) => {
                let mut response = self.error(unread.status(), EXCEPTION, &text);
                // The rest of the body is not read.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
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

    /// An agent call whose arguments are wrong.
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

    // What there is --------------------------------------------------------------------------------------------------

    fn versions(&self) -> serde_json::Value {
        const VERSION: &str = env!("CARGO_PKG_VERSION");
        json!({
            "v1": format!("{}{BASE}", self.app.base(&self.parts)),
            "Version": "v1",
            "NetServerVersion": VERSION,
            "NetServer": format!("Seatkeeper {VERSION}"),
            "Services": "Services86",
            "Services86": NAMESPACE,
        })
    }

    /// The addresses, each with its methods and what they do.
    fn operations(&self) -> serde_json::Value {
        let base = self.app.base(&self.parts);
        let mut all = serde_json::Map::new();
        for operation in LICENSE.operations {
            let address = format!("{base}{BASE}/{AGENT}/{}", operation.name());
            all.insert(address, json!({ "POST": operation.documentation }));
        }
        for route in ROUTES {
            let methods = all.entry(format!("{base}{}", route.template())).or_insert_with(|| json!({}));
            methods[route.method.name()] = route.operation().documentation.into();
        }
        all.into()
    }
}

/// GET on an agent call describes it and does not run it.
fn description(operation: &Operation) -> serde_json::Value {
    let arguments = operation.input.fields.iter();
    let arguments: Vec<_> =
        arguments.map(|field| json!({ "Name": field.name, "Type": web::type_name(field.kind) })).collect();
    json!({
        "Operation": operation.name(),
        "Description": operation.documentation,
        "Method": "POST",
        "Arguments": arguments,
        "Result": operation.output.fields.first().map(|field| web::type_name(field.kind)),
    })
}

/// An answer that is JSON whatever the client prefers.
fn json(text: String) -> Response {
    Format::default().respond(StatusCode::OK, text)
}

/// Which of the two styles a call is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Agent,
    Resource,
}

/// Why no operation was called. `Display` is for the caller.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Malformed(String),
    #[error("Content-Type '{sent}' is not accepted here. {}", advice(*.seems, *.plain_text))]
    MediaType { sent: String, seems: Option<Syntax>, plain_text: bool },
    #[error("The charset of the Content-Type is unknown. Send UTF-8.")]
    Charset,
    #[error("The body is compressed (Content-Encoding). Send it as it is.")]
    Coding,
    #[error("{0}")]
    Unread(Unread),
}

/// Which Content-Type to send instead.
fn advice(seems: Option<Syntax>, plain_text: bool) -> String {
    match seems {
        Some(syntax) => {
            let (name, media_type) = syntax.names();
            format!("The body looks like {name}: send Content-Type: {media_type}.")
        }
        None => {
            let text = if plain_text { format!(", {TEXT_TYPE}") } else { String::new() };
            format!(
                "Send Content-Type: {}, {}{text} or {FORM_TYPE}, whichever the body is.",
                MEDIA_TYPES[0], MEDIA_TYPES[2]
            )
        }
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidSoapCredentials => StatusCode::UNAUTHORIZED,
        ErrorKind::InvalidInputParameters => StatusCode::BAD_REQUEST,
        ErrorKind::AccessDenied => StatusCode::FORBIDDEN,
        ErrorKind::ObjectEntityMismatch => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists
        | ErrorKind::NoLicensePool
        | ErrorKind::LicenseExpired
        | ErrorKind::NoFreeSeat
        | ErrorKind::NotAssigned
        | ErrorKind::LicenseNotAccepted => StatusCode::CONFLICT,
        ErrorKind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::UnexpectedError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
