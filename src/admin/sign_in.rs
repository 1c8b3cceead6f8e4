//! Signing in and out, and the one-time links that the service prints.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::{Markup, html};
use zeroize::Zeroizing;

use super::form::{self, Control, Errors, Field};
use super::frame;
use super::parts::note;
use super::query::Query;
use super::session;
use super::visit::{Answer, Stopped, Visit};
use crate::auth::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Password};
use crate::contract::log_outcome;
use crate::error::ErrorKind;
use crate::seats::Refusal;
use crate::service::LinkPurpose;
use crate::service::admin::{FirstAdministrator, PageSession};
use crate::store::admin::AdminRefusal;

/// The address below the root of the pages that a sign-in leads back to.
const TO: &str = "to";

/// The address of the sign-in page, from which the browser goes on to `to`.
pub(super) fn address(to: &str, ended: bool) -> String {
    let query = Query::default().with(TO, to).with("ended", if ended { "1" } else { "" });
    format!("sign-in{}", query.url())
}

pub(super) async fn show(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let said = if visit.query.flag("ended") {
        Some(("warn", words.session_ended()))
    } else if visit.query.flag("out") {
        Some(("good", words.signed_out()))
    } else if visit.query.flag("everywhere") {
        Some(("good", words.signed_out_everywhere()))
    } else {
        None
    };
    let content = html! { @if let Some((class, said)) = said { (note(class, html! { p { (said) } })) } (sign_in_form(&visit, "", None)) };
    Ok(frame::outside(&visit, StatusCode::OK, words.sign_in(), content))
}

fn sign_in_form(visit: &Visit, user_name: &str, error: Option<&str>) -> Markup {
    let words = visit.words;
    let to = visit.query.text(TO).to_owned();
    html! {
        @if let Some(error) = error { (note("bad", html! { p #wrong { (error) } })) }
        p { (words.sign_in_intro()) }
        form.edit method="post" action={ (visit.root) (address(&to, false)) } {
            div.field {
                label for="user" { (words.user_name()) }
                input #user name="user" value=(user_name) dir="auto" autocomplete="username" autocapitalize="none" spellcheck="false" required
                    autofocus[user_name.is_empty()] aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "wrong")];
            }
            div.field {
                label for="password" { (words.password()) }
                input #password name="password" type="password" autocomplete="current-password" required
                    autofocus[!user_name.is_empty()] aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "wrong")];
            }
            div { button.main type="submit" { (words.sign_in()) } }
        }
    }
}

pub(super) async fn sign_in(visit: Arc<Visit>) -> Answer {
    let form = visit.form.clone().unwrap_or_default();
    // Passwords may begin and end with blanks.
    let (user_name, password) = (form.text("user"), form.raw("password").unwrap_or_default());
    let signed_in =
        visit.service().sign_in_to_pages(visit.context(), user_name, Password::new(password.to_owned())).await;
    let words = visit.words;
    match signed_in {
        Ok(Some(session)) => Ok(with_session(&visit, &session, visit.query.get(TO).unwrap_or_default())),
        Ok(None) => {
            log_outcome("Pages", visit.service(), visit.context(), Some(&Refusal::CallerUnknown.into()));
            let content = sign_in_form(&visit, user_name, Some(words.sign_in_wrong()));
            Ok(frame::outside(&visit, StatusCode::FORBIDDEN, words.sign_in(), content))
        }
        Err(error) if error.kind == ErrorKind::Throttled => {
            log_outcome("Pages", visit.service(), visit.context(), Some(&error));
            let content = sign_in_form(&visit, user_name, Some(&error.to_string()));
            Ok(frame::outside(&visit, StatusCode::TOO_MANY_REQUESTS, words.sign_in(), content))
        }
        Err(error) => Err(Stopped::Failed(error)),
    }
}

/// Leads a browser on with its new session.
fn with_session(visit: &Visit, session: &PageSession, to: &str) -> Response {
    let mut response = visit.redirect(&own(to));
    if let Some(cookie) = session::set(&session.token, visit.is_secure()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// An address below the root. It is joined to `./` or `../`, so it leads nowhere else, whatever it holds; what a header cannot hold is
/// left out.
fn own(to: &str) -> String {
    if to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') && !to.starts_with("sign-") {
        to.to_owned()
    } else {
        String::new()
    }
}

pub(super) async fn sign_out(visit: Arc<Visit>) -> Answer {
    end(visit, false).await
}

pub(super) async fn sign_out_everywhere(visit: Arc<Visit>) -> Answer {
    end(visit, true).await
}

async fn end(visit: Arc<Visit>, everywhere: bool) -> Answer {
    let session = visit.session.as_ref().ok_or(Stopped::SignIn)?;
    let service = visit.service();
    let ended = match everywhere {
        true => service.sign_out_everywhere(visit.context(), session).await.map(drop),
        false => service.sign_out(visit.context(), session).await,
    };
    ended.map_err(Stopped::Failed)?;
    let mut response = visit.redirect(if everywhere { "sign-in?everywhere=1" } else { "sign-in?out=1" });
    response.headers_mut().append(header::SET_COOKIE, session::clear(visit.is_secure()));
    // The browser also clears its cache of the pages.
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\""));
    Ok(response)
}

/// The page behind the link that creates the first administrator.
pub(super) async fn first_admin(visit: Arc<Visit>) -> Answer {
    let token = visit.segment(1).to_owned();
    let words = visit.words;
    if visit.service().link_purpose(&token, visit.context().instant) != Some(LinkPurpose::FirstAdministrator) {
        return Ok(ended_link(&visit));
    }
    let Some(sent) = visit.form.clone() else {
        return Ok(first_admin_page(&visit, StatusCode::OK, &Query::default(), &Errors::default()));
    };
    let (password, again) = (sent.raw("password").unwrap_or_default(), sent.raw("again").unwrap_or_default());
    let mut errors = Errors::default();
    if password.chars().count() < PASSWORD_CHARS_MIN {
        errors.add("password", words.password_length(PASSWORD_CHARS_MIN));
    } else if password.len() > PASSWORD_BYTES_MAX {
        errors.add("password", words.password_long(PASSWORD_BYTES_MAX));
    } else if password != again {
        errors.add("again", words.passwords_differ());
    }
    for name in ["user", "entity"] {
        if sent.get(name).is_none() {
            errors.add(name, words.required());
        }
    }
    if !errors.is_empty() {
        return Ok(first_admin_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &sent, &errors));
    }
    let first = FirstAdministrator {
        user_name: sent.text("user").to_owned(),
        password: Zeroizing::new(password.to_owned()),
        entity_name: sent.text("entity").to_owned(),
    };
    let made = visit.service().create_first_administrator(visit.context(), &token, first).await;
    match made.map_err(Stopped::Failed)? {
        Ok(session) => Ok(with_session(&visit, &session, "")),
        Err(AdminRefusal::CallerUnknown) => Ok(ended_link(&visit)),
        Err(refusal) => {
            errors.whole.push(words.refusal(&refusal));
            Ok(first_admin_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &sent, &errors))
        }
    }
}

fn first_admin_page(visit: &Visit, status: StatusCode, values: &Query, errors: &Errors) -> Response {
    let words = visit.words;
    let fields = [
        Field::text("entity", words.first_admin_entity()).required(),
        Field::text("user", words.user_name()).required(),
        Field::new("password", words.password(), Control::Password)
            .required()
            .hint(words.password_length(PASSWORD_CHARS_MIN)),
        Field::new("again", words.password_again(), Control::Password).required(),
    ];
    let content = html! {
        (form::summary(words, errors, &fields))
        p { (words.first_admin_intro()) }
        form.edit method="post" {
            (form::fields(words, &fields, values, errors))
            div { button.main type="submit" { (words.first_admin_create()) } }
        }
    };
    frame::outside(visit, status, words.first_admin(), content)
}

fn ended_link(visit: &Visit) -> Response {
    let words = visit.words;
    let content = html! { (note("warn", html! { p { (words.link_ended()) } })) p { a href={ (visit.root) } { (words.sign_in()) } } };
    frame::outside(visit, StatusCode::NOT_FOUND, words.link_ended_title(), content)
}

/// The page behind the link that opens the pages signed in. Only its button uses the link up: programs that look at links for previews
/// send no forms.
pub(super) async fn signed_in_link(visit: Arc<Visit>) -> Answer {
    let token = visit.segment(1).to_owned();
    let words = visit.words;
    let service = visit.service();
    let Some(LinkPurpose::SignIn(name)) = service.link_purpose(&token, visit.context().instant) else {
        return Ok(ended_link(&visit));
    };
    if visit.form.is_none() {
        let content = html! {
            p { (words.open_signed_in_intro(&name)) }
            form method="post" { button.main type="submit" autofocus { (words.open_signed_in()) } }
        };
        return Ok(frame::outside(&visit, StatusCode::OK, words.sign_in(), content));
    }
    match service.sign_in_by_link(visit.context(), &token).await.map_err(Stopped::Failed)? {
        Some(session) => Ok(with_session(&visit, &session, "")),
        None => Ok(ended_link(&visit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_on_this_service() {
        for (to, kept) in [
            ("pools?state=full", "pools?state=full"),
            ("", ""),
            ("/evil.example", "/evil.example"),
            ("a\r\nSet-Cookie: x", ""),
            ("a b", ""),
            ("\\\\evil", ""),
            ("sign-out", ""),
        ] {
            assert_eq!(own(to), kept, "{to:?}");
        }
    }
}
