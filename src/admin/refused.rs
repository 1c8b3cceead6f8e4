//! The page for a request that a handler does not answer with its own: the status, and what to do next.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{self, Page, Section};
use super::parts::note;
use super::visit::{Stopped, Visit};
use super::{session, sign_in};
use crate::contract::log_outcome;
use crate::error::{ErrorKind, Retry};
use crate::store::admin::AdminRefusal;

pub(super) async fn page(visit: &Visit, stopped: Stopped) -> Response {
    let words = visit.words;
    let (status, title, sentence) = match stopped {
        Stopped::SignIn => return to_sign_in(visit),
        Stopped::NotFound => (StatusCode::NOT_FOUND, words.not_found_title(), words.not_found().to_owned()),
        Stopped::NotOwnForm => (StatusCode::FORBIDDEN, words.not_allowed_title(), words.form_not_yours().to_owned()),
        Stopped::Unreadable => (StatusCode::BAD_REQUEST, words.not_done_title(), words.form_unreadable().to_owned()),
        Stopped::TooLong { bytes_max } => {
            (StatusCode::PAYLOAD_TOO_LARGE, words.not_done_title(), words.too_long(bytes_max))
        }
        Stopped::Body(status, why) => (status, words.not_done_title(), why),
        Stopped::Refused(refusal) => {
            let title = match refusal {
                AdminRefusal::NotFound { .. } => words.not_found_title(),
                AdminRefusal::RoleTooLow { .. } | AdminRefusal::OutOfScope { .. } => words.not_allowed_title(),
                _ => words.not_done_title(),
            };
            (status(&refusal), title, words.refusal(&refusal))
        }
        Stopped::Failed(error) => {
            let (status, retry_seconds) = match (error.kind, error.retry) {
                (ErrorKind::Throttled, Some(Retry::After(wait))) => {
                    (StatusCode::TOO_MANY_REQUESTS, Some(wait.as_secs() + 1))
                }
                (_, Some(_)) => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
            };
            // The details are for the log, which has them under the request id.
            log_outcome("Pages", visit.service(), visit.context(), Some(&error));
            let mut response = shown(visit, status, words.unavailable_title(), &error.to_string()).await;
            if let Some(seconds) = retry_seconds {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            return response;
        }
    };
    shown(visit, status, title, &sentence).await
}

/// The status of a refusal.
pub(super) fn status(refusal: &AdminRefusal) -> StatusCode {
    match refusal {
        AdminRefusal::CallerUnknown => StatusCode::FORBIDDEN,
        AdminRefusal::RoleTooLow { .. } | AdminRefusal::OutOfScope { .. } | AdminRefusal::Own => StatusCode::FORBIDDEN,
        AdminRefusal::NotFound { .. } => StatusCode::NOT_FOUND,
        AdminRefusal::Moved { .. } | AdminRefusal::NotUndoable { .. } | AdminRefusal::NotEmpty => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// In the frame of the caller, if it is signed in.
async fn shown(visit: &Visit, status: StatusCode, title: &str, sentence: &str) -> Response {
    let words = visit.words;
    let content: Markup = html! {
        (note("bad", html! { p { bdi { (sentence) } } }))
        p.soft { (words.request_id()) ": " code { (visit.context().id) } }
    };
    match visit.look(|_, _| Ok(())).await {
        Ok((me, ())) => frame::page_with(visit, &me, status, &Page::new(Section::Other, title, content)),
        Err(_) => frame::outside(visit, status, title, content),
    }
}

/// Leads to the sign-in, and from there back to what was asked for.
fn to_sign_in(visit: &Visit) -> Response {
    let mut response = visit.redirect(&sign_in::address(visit.target(), visit.session.is_some()));
    if visit.session.is_some() {
        response.headers_mut().append(header::SET_COOKIE, session::clear(visit.is_secure()));
    }
    response
}
