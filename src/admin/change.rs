//! How every change goes: a form, a preview that shows the events it would write, a confirmation with a reason, and the receipt, which is
//! the page of the request id in the history. A confirmation carries the digest of the events that were shown; if the change would do
//! anything else by now, nothing is changed and the preview is shown again. So two administrators never overwrite each other.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::events;
use super::form::{self, Control, Errors, Field};
use super::frame::{self, Page, Section};
use super::parts::note;
use super::query::Query;
use super::refused;
use super::visit::{Me, Stopped, TOKEN, Visit};
use crate::seats::Role;
use crate::store::admin::{Admin, AdminRefusal, ChangeOptions, Changed, Sql, Stop};

/// Events of a preview that are shown; the rest is counted.
const EVENTS_SHOWN: usize = 500;

/// Characters of a reason at most.
const REASON_CHARS_MAX: usize = 500;

/// Fields of a form that are not of the change.
const STEP: &str = "step";
const REASON: &str = "reason";
const DIGEST: &str = "digest";

/// A change as its pages show it.
pub(super) struct Plan {
    pub(super) section: Section,
    pub(super) title: String,
    /// As in [`Page`]: the last of it is where "cancel" leads.
    pub(super) path: Vec<(String, String)>,
    pub(super) intro: Markup,
    pub(super) fields: Vec<Field>,
    /// Fields that are sent with the confirmation, beside the reason: secrets, which a preview would send back and forth.
    pub(super) at_the_end: Vec<Field>,
    /// The errors of those values.
    pub(super) wrong_at_the_end: Errors,
    /// Sent as `multipart/form-data`: there is a file.
    pub(super) has_file: bool,
    /// Makes the reason for the history of the typed one, if the two differ.
    pub(super) reason: Option<Reason>,
}

type Reason = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The beginning of the names of hidden fields that say what the row was when the form was made.
pub(super) const WAS: &str = "was-";

impl Plan {
    pub(super) fn new(section: Section, title: impl Into<String>, fields: Vec<Field>) -> Plan {
        Plan {
            section,
            title: title.into(),
            path: Vec::new(),
            intro: html! {},
            fields,
            at_the_end: Vec::new(),
            wrong_at_the_end: Errors::default(),
            has_file: false,
            reason: None,
        }
    }

    pub(super) fn below(mut self, address: impl Into<String>, name: impl Into<String>) -> Plan {
        self.path.push((address.into(), name.into()));
        self
    }

    pub(super) fn intro(self, intro: Markup) -> Plan {
        Plan { intro, ..self }
    }

    fn page(&self, visit: &Visit, me: &Me, status: StatusCode, content: Markup) -> Response {
        let mut page = Page::new(self.section, self.title.clone(), content);
        page.path.clone_from(&self.path);
        frame::page_with(visit, me, status, &page)
    }

    fn cancel(&self, visit: &Visit) -> Markup {
        let address = self.path.last().map_or("", |(address, _)| address.as_str());
        html! { a href=(visit.link(address)) { (visit.words.cancel()) } }
    }

    /// The form, with what is wrong with it.
    pub(super) fn form(&self, visit: &Visit, me: &Me, values: &Query, errors: &Errors) -> Response {
        let words = visit.words;
        let encoding = self.has_file.then_some("multipart/form-data");
        let content = html! {
            (form::summary(words, errors, &self.fields))
            (self.intro)
            form.edit method="post" enctype=[encoding] {
                (visit.token())
                @for (name, value) in values.pairs().iter().filter(|(name, _)| name.starts_with(WAS)) {
                    input type="hidden" name=(name) value=(value);
                }
                (form::fields(words, &self.fields, values, errors))
                div.actions {
                    button.main type="submit" name=(STEP) value="preview" { (words.preview()) }
                    (self.cancel(visit))
                }
            }
        };
        let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        self.page(visit, me, status, content)
    }

    /// The events that the change would write, and the form that confirms it. `moved`: it was confirmed, but would now write other events.
    fn preview(
        &self,
        visit: &Visit,
        me: &Me,
        sent: &Query,
        changed: &Changed<()>,
        moved: bool,
        errors: &Errors,
    ) -> Response {
        let words = visit.words;
        let fields = std::iter::once(Field::text(REASON, words.reason()).required().hint(words.reason_hint()));
        let fields: Vec<Field> = fields.chain(self.at_the_end.iter().cloned()).collect();
        let encoding = self.has_file.then_some("multipart/form-data");
        let shown: Vec<_> = changed.events.iter().take(EVENTS_SHOWN).map(events::of_preview).collect();
        let own = |name: &str| [TOKEN, STEP, DIGEST].contains(&name) || fields.iter().any(|field| field.name == name);
        let content = html! {
            @if moved { (note("warn", html! { p { (words.moved()) } })) }
            (form::summary(words, errors, &fields))
            @if changed.events.is_empty() {
                (note("warn", html! { p { (words.nothing_to_change()) } }))
                p { (self.cancel(visit)) }
            } @else {
                h2 { (words.would_change()) }
                (events::count(words, &changed.events))
                form.edit method="post" enctype=[encoding] {
                    (visit.token())
                    @for (name, value) in sent.pairs().iter().filter(|(name, _)| !own(name)) {
                        @if self.has_file {
                            // As a text area, which keeps line breaks.
                            textarea name=(name) hidden { "\n" (value) }
                        } @else {
                            input type="hidden" name=(name) value=(value);
                        }
                    }
                    input type="hidden" name=(DIGEST) value=(changed.digest);
                    (form::fields(words, &fields, sent, errors))
                    div.actions {
                        button.main type="submit" name=(STEP) value="confirm" { (words.confirm()) }
                        @if self.fields.iter().any(|field| field.control != Control::Hidden) {
                            button type="submit" name=(STEP) value="form" formnovalidate { (words.back_to_form()) }
                        }
                        (self.cancel(visit))
                    }
                }
                (events::changes(visit, words.would_change(), &shown))
                @if changed.events.len() > shown.len() { p { (words.and_more(changed.events.len() - shown.len())) } }
            }
        };
        let status = if moved {
            StatusCode::CONFLICT
        } else if errors.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        self.page(visit, me, status, content)
    }
}

/// The outcome of a step of a change.
pub(super) enum Outcome<T> {
    /// The next page of it.
    Shown(Response),
    /// It is done.
    Done(Me, T),
}

/// Takes a change one step further. `read` reads the form; `work` is the use case.
pub(super) async fn step<R, T>(
    visit: &Visit,
    plan: &Plan,
    read: impl FnOnce(&Query) -> Result<R, Errors>,
    work: impl Fn(&dyn Sql, &Admin, &R) -> Result<T, Stop> + Send + Sync + 'static,
) -> Result<Outcome<T>, Stopped>
where
    R: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    // Before anything is said about the form.
    let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
    let empty = Query::default();
    let sent = visit.form.as_ref().unwrap_or(&empty);
    let step = sent.text(STEP);
    if step == "form" {
        return Ok(Outcome::Shown(plan.form(visit, &me, sent, &Errors::default())));
    }
    let request = match read(sent) {
        Ok(request) => request,
        Err(errors) => return Ok(Outcome::Shown(plan.form(visit, &me, sent, &errors))),
    };
    let typed = sent.get(REASON).map(str::to_owned);
    let expected = sent.get(DIGEST).and_then(|digest| digest.parse().ok());
    let mut errors = Errors::default();
    if step == "confirm" {
        match &typed {
            None => errors.add(REASON, visit.words.reason_missing()),
            Some(reason) if reason.chars().count() > REASON_CHARS_MAX => {
                errors.add(REASON, visit.words.reason_long(REASON_CHARS_MAX))
            }
            Some(_) => {}
        }
        errors.fields.extend(plan.wrong_at_the_end.fields.iter().cloned());
    }
    let reason = typed.map(|typed| plan.reason.as_ref().map_or_else(|| typed.clone(), |reason| reason(&typed)));
    let confirmed = step == "confirm" && errors.is_empty() && expected.is_some();
    let options = ChangeOptions { reason, dry_run: !confirmed, expected };
    match visit.change(options, move |sql, admin| work(sql, admin, &request)).await {
        Ok(Changed { value: (me, value), kept: true, .. }) => Ok(Outcome::Done(me, value)),
        Ok(changed) => {
            let changed = Changed { value: (), events: changed.events, digest: changed.digest, kept: false };
            Ok(Outcome::Shown(plan.preview(visit, &me, sent, &changed, confirmed, &errors)))
        }
        Err(Stopped::Refused(refusal)) => Ok(Outcome::Shown(refusal_page(visit, plan, &me, sent, &refusal))),
        Err(other) => Err(other),
    }
}

/// The form again, with why it cannot be done.
fn refusal_page(visit: &Visit, plan: &Plan, me: &Me, sent: &Query, refusal: &AdminRefusal) -> Response {
    let mut errors = Errors::default();
    match refusal {
        AdminRefusal::Invalid { field, why }
            if plan.fields.iter().any(|f| f.name == *field && f.control != Control::Hidden) =>
        {
            errors.add(field, visit.words.invalid(why));
        }
        AdminRefusal::Lines(lines) => {
            errors.whole.extend(lines.iter().map(|(line, why)| visit.words.line(*line, why)));
        }
        other => errors.whole.push(visit.words.refusal(other)),
    }
    let mut response = plan.form(visit, me, sent, &errors);
    *response.status_mut() = refused::status(refusal);
    response
}

/// Whether a form is being confirmed.
pub(super) fn is_confirmed(sent: &Query) -> bool {
    sent.text(STEP) == "confirm"
}

/// Leads to the receipt of a change that is done.
pub(super) fn receipt<T>(visit: &Visit, outcome: Outcome<T>) -> Response {
    match outcome {
        Outcome::Shown(response) => response,
        Outcome::Done(..) => visit.redirect(&format!("history/{}", visit.context().id)),
    }
}
