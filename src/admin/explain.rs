//! Why a call was refused: from the id of its refusal, or from user, entity and type. The page has the decision, the facts, the rule that
//! fired, what would make the call succeed, and the button that does it.

use std::sync::Arc;

use maud::{Markup, html};

use super::events::credential_address;
use super::filters;
use super::form::{self, Control, Field};
use super::frame::{self, Page, Section};
use super::parts::{self, Column, facts, note, time, user, user_or_none};
use super::query::Query;
use super::visit::{Answer, Me, Visit};
use super::words::Words;
use crate::store::admin::explain::{self, Decision, ExplainRequest, Explanation, RULES, Remedy};
use crate::store::admin::refusals::RefusalRow;

pub(super) async fn page(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let query = &visit.query;
    visit.require_valid(&facts_asked(words))?;
    let id = query.get("id").map(str::to_owned);
    let asked = || {
        Some(ExplainRequest {
            username: query.get("user")?.to_owned(),
            entity_id: query.number("entity")?,
            license_type: filters::license_type(query)?,
            credential: query.get("credential").map(str::to_owned),
        })
    };
    let (request, enroll, totals) = (asked(), visit.enrolls(), visit.totals());
    let (me, explanation) = visit
        .look(move |sql, admin| {
            let totals = totals.get(sql, admin.now)?;
            Ok(match (&id, &request) {
                (Some(id), _) => Some(explain::of_refusal(sql, admin, &totals, id, enroll)?),
                (None, Some(request)) => Some(explain::explain(sql, admin, &totals, request, enroll)?),
                (None, None) => None,
            })
        })
        .await?;
    let content = html! {
        p { (words.explain_intro()) }
        (asking(&visit))
        @if let Some(explanation) = &explanation { (explained(&visit, &me, explanation)) }
    };
    Ok(frame::page(&visit, &me, &Page::new(Section::Explain, words.explain(), content)))
}

/// The facts of an assignment that is not made yet.
fn facts_asked(words: Words) -> [Field; 4] {
    [
        Field::text("user", words.user()),
        Field::new("entity", words.entity(), Control::Number),
        filters::license_type_field(words),
        Field::text("credential", words.as_credential()),
    ]
}

fn asking(visit: &Visit) -> Markup {
    let words = visit.words;
    let action = visit.link("explain");
    let by_id = [Field::text("id", words.error_id())];
    let by_facts = facts_asked(words);
    html! {
        (form::asking(words, &action, (words.by_error_id(), words.explain_now()), &by_id, &visit.query))
        (form::asking(words, &action, (words.by_assignment(), words.explain_now()), &by_facts, &visit.query.without(&["id"])))
    }
}

fn explained(visit: &Visit, me: &Me, explanation: &Explanation) -> Markup {
    let words = visit.words;
    let refused = !matches!(explanation.decision, Some(Decision::Assigned { .. }));
    html! {
        @if let Some(refusal) = &explanation.refusal { (refusal_facts(visit, refusal)) }
        h2 { (words.decision()) }
        @match &explanation.decision {
            Some(decision) => (note(if refused { "warn" } else { "good" }, html! { p { bdi { (words.decision_text(decision)) } } })),
            None => (note("warn", html! { p { (words.no_decision()) } })),
        }
        @if !explanation.remedies.is_empty() {
            h2 { (words.remedies_title()) }
            ul { @for remedy in &explanation.remedies { (remedy_item(visit, me, remedy)) } }
        }
        @if !explanation.facts.is_empty() {
            h2 { (words.facts_title()) }
            ul { @for fact in &explanation.facts { li { bdi { (words.fact(fact)) } } } }
        }
        @if let Some(rule) = explanation.rule {
            h2 { (words.rules_asked()) }
            (rules(visit, rule, refused))
        }
    }
}

fn refusal_facts(visit: &Visit, refusal: &RefusalRow) -> Markup {
    let words = visit.words;
    html! {
        h2 { (words.the_refusal()) }
        (facts([
            (words.at(), time(Some(refusal.at))),
            (words.code(), html! { (refusal.code) }),
            (words.message(), user(&refusal.message)),
            (words.operation(), html! { (refusal.operation) }),
            (words.user(), user_or_none(refusal.username.as_deref())),
            (words.entity(), html! { @if let Some(id) = refusal.entity_id { a href=(visit.link(&format!("entities/{id}"))) { (id) } } }),
            (words.license_type(), user_or_none(refusal.license_type.as_deref())),
            (words.credential(), html! {
                @match &refusal.actor {
                    Some(name) => a href=(visit.link(&credential_address(name))) { bdi { (name) } },
                    None if !refusal.is_proved => (words.sign_in_failed()),
                    None => {},
                }
            }),
            (words.address(), user_or_none(refusal.address.as_deref())),
            (words.request_id(), html! { code { (refusal.request_id) } }),
        ]))
    }
}

fn rules(visit: &Visit, fired: usize, refused: bool) -> Markup {
    let words = visit.words;
    let columns = [Column::number(words.number()), Column::text(words.rule()), Column::text(words.state())];
    let rows = (0..RULES.len()).map(|at| {
        let state = match (at + 1).cmp(&fired) {
            std::cmp::Ordering::Less => html! { span.good { (words.rule_met()) } },
            std::cmp::Ordering::Equal if refused => html! { strong.bad { (words.rule_fired()) } },
            std::cmp::Ordering::Equal => html! { span.good { (words.rule_met()) } },
            std::cmp::Ordering::Greater => html! { span.soft { (words.rule_not_asked()) } },
        };
        vec![html! { (at + 1) }, html! { (words.rule_text(at)) }, state]
    });
    parts::table(words.rules_asked(), &columns, rows)
}

/// The remedies: each would make the call succeed, and links to its form.
fn remedy_item(visit: &Visit, me: &Me, remedy: &Remedy) -> Markup {
    let words = visit.words;
    let address = address(visit, remedy).filter(|_| me.may_change() || matches!(remedy, Remedy::ChooseEntity { .. }));
    html! {
        li {
            bdi { (words.remedy(remedy)) }
            @if let Some(address) = address { " " a.button href=(visit.link(&address)) { (words.do_it()) } }
        }
    }
}

fn address(visit: &Visit, remedy: &Remedy) -> Option<String> {
    let form = |path: &str, pairs: &[(&str, String)]| {
        let query = pairs.iter().fold(Query::default(), |query, (name, value)| query.with(name, value));
        format!("{path}{}", query.url())
    };
    let credential = |page: &str, name: &str| form(&format!("credential/{page}"), &[("name", name.to_owned())]);
    Some(match remedy {
        Remedy::Assign { username, entity_id, license_type } => form(
            "assign",
            &[("user", username.clone()), ("entity", entity_id.to_string()), ("type", license_type.name().to_owned())],
        ),
        Remedy::RaisePool { pool_id, seats_total } => {
            form(&format!("pools/{pool_id}/resize"), &[("seats_total", seats_total.to_string())])
        }
        Remedy::ReleaseOther { pool_id } => format!("pools/{pool_id}"),
        Remedy::ReleaseHeld { account_id, .. } => format!("users/{account_id}"),
        Remedy::RenewPool { pool_id, .. } | Remedy::StartPool { pool_id, .. } => format!("pools/{pool_id}/edit"),
        Remedy::AddPool { entity_id, license_type } => {
            form("new/pool", &[("entity_id", entity_id.to_string()), ("license_type", license_type.name().to_owned())])
        }
        Remedy::ActivateEntity { entity_id } => format!("entities/{entity_id}/edit"),
        Remedy::ActivateAccount { account_id } | Remedy::MoveAccount { account_id } => {
            format!("users/{account_id}/edit")
        }
        Remedy::CreateAccount { username, entity_id } => {
            form("new/user", &[("username", username.clone()), ("entity_id", entity_id.to_string())])
        }
        Remedy::ChooseEntity { entity_id, .. } => {
            format!("explain{}", visit.query.without(&["id"]).with("entity", entity_id).url())
        }
        Remedy::ActivateCredential { user_name } | Remedy::ChangeRole { user_name, .. } => {
            credential("edit", user_name)
        }
        Remedy::CheckPassword { user_name: Some(name) } => credential("rotate", name),
        Remedy::NothingNeeded
        | Remedy::ChooseUser
        | Remedy::ChooseAnyEntity
        | Remedy::UseCredentialOf { .. }
        | Remedy::CheckPassword { user_name: None }
        | Remedy::CorrectRequest { .. } => return None,
    })
}
