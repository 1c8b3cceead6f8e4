//! Health, for whoever runs the service: `/healthz` says that the process answers and touches nothing else; `/readyz` says whether
//! calls can be served now.
//!
//! Plain text, or JSON of the form of draft-inadarei-api-health-check-06 if the Accept header prefers its type or `application/json`.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::accept::preferred;
use super::site::Site;
use crate::service::{Check, Observed, Readiness, State};

const HEALTH_JSON: &str = "application/health+json";

/// `/healthz`.
pub(crate) async fn healthy(headers: HeaderMap) -> Response {
    match json_type(&headers) {
        Some(media_type) => {
            let body = json!({ "status": "pass", "version": env!("CARGO_PKG_VERSION") });
            respond(StatusCode::OK, media_type, format!("{body}\n"))
        }
        None => respond(StatusCode::OK, TEXT, "ok\n".to_owned()),
    }
}

/// `/readyz`: 200 also with warnings, 503 if calls cannot be served.
pub(crate) async fn ready(Shared(site): Shared<Arc<Site>>, headers: HeaderMap) -> Response {
    let readiness = site.service.readiness().await;
    let status = match readiness.state() {
        State::Pass | State::Warn => StatusCode::OK,
        State::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    match json_type(&headers) {
        Some(media_type) => respond(status, media_type, format!("{}\n", document(&readiness))),
        None => respond(status, TEXT, lines(&readiness)),
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn respond(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store"), (header::VARY, "Accept")];
    (status, headers, body).into_response()
}

/// The type of JSON, if the client prefers it to text; with `*/*` it gets text.
fn json_type(headers: &HeaderMap) -> Option<&'static str> {
    const OFFERED: [&str; 3] = ["text/plain", HEALTH_JSON, "application/json"];
    let preferred = preferred(headers, &OFFERED)?;
    (preferred > 0).then_some(OFFERED[preferred])
}

/// `not ready: …` for each part that fails; or `ready`, and `warning: …` for each part that deserves a look.
fn lines(readiness: &Readiness) -> String {
    match readiness.state() {
        State::Fail => readiness.texts(State::Fail).map(|text| format!("not ready: {text}\n")).collect(),
        State::Pass | State::Warn => {
            let warnings = readiness.texts(State::Warn).map(|text| format!("warning: {text}\n"));
            std::iter::once("ready\n".to_owned()).chain(warnings).collect()
        }
    }
}

fn document(readiness: &Readiness) -> Value {
    let checks: Map<String, Value> =
        readiness.checks.iter().map(|check| (check.part.to_owned(), Value::Array(vec![entry(check)]))).collect();
    let mut document = json!({ "status": word(readiness.state()), "version": env!("CARGO_PKG_VERSION") });
    let texts: Vec<_> = readiness.texts(readiness.state()).collect();
    if !texts.is_empty() {
        document["output"] = texts.join("; ").into();
    }
    document["checks"] = checks.into();
    document
}

fn entry(check: &Check) -> Value {
    let mut entry = json!({ "componentType": if check.is_of_system { "system" } else { "datastore" } });
    if let Some(observed) = check.observed {
        let (value, unit) = match observed {
            Observed::Bytes(bytes) => (bytes, "bytes"),
            Observed::Seconds(seconds) => (seconds, "s"),
        };
        entry["observedValue"] = value.into();
        entry["observedUnit"] = unit.into();
    }
    entry["status"] = word(check.state).into();
    entry["time"] = format!("{:.0}", check.at).into();
    if let Some(text) = &check.text {
        entry["output"] = text.as_str().into();
    }
    entry
}

fn word(state: State) -> &'static str {
    match state {
        State::Pass => "pass",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_for_those_that_prefer_it() {
        for (accept, expected) in [
            (&[][..], None),
            (&["*/*"], None),
            (&["application/*"], Some(HEALTH_JSON)),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], None),
            (&["text/plain, application/json"], None),
            (&["text/plain, */*;q=0.1"], None),
            (&["application/health+json"], Some(HEALTH_JSON)),
            (&["Application/Health+JSON; q=0.5"], Some(HEALTH_JSON)),
            (&["application/json"], Some("application/json")),
            (&["text/html, application/json;q=0.9"], Some("application/json")),
            (&["text/html", "application/json"], Some("application/json")),
            (&["application/json;q=0"], None),
            (&["application/json; q=0.0, application/health+json"], Some(HEALTH_JSON)),
            (&["application/jsonx"], None),
            (&["", ";", ",,"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(json_type(&headers), expected, "{accept:?}");
        }
    }
}
