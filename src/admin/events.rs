//! Events of the history as rows of a table: what happened, to what, and each column's old and new value.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::parts::{self, Column, time, user, user_link};
use super::visit::Visit;
use super::words::Words;
use crate::store::admin::history::EventRow;
use crate::store::history::Event;

/// Of a value that is longer, as license data can be, the rest is not shown.
const VALUE_CHARS_MAX: usize = 300;

/// The values that all events of one change share stand above the table; a row has only the others.
pub(super) fn changes(visit: &Visit, label: &str, events: &[EventRow]) -> Markup {
    let words = visit.words;
    let columns = [Column::text(words.action()), Column::text(words.subject()), Column::text(words.changes())];
    let rows = events
        .iter()
        .map(|event| vec![html! { (words.action_name(&event.action)) }, subject(visit, event), values(words, event)]);
    parts::table(label, &columns, rows)
}

/// An event of a preview, as lists have them.
pub(super) fn of_preview(event: &Event) -> EventRow {
    EventRow {
        id: event.id,
        at: event.at.parse().unwrap_or_default(),
        action: event.action.clone(),
        actor: Some(event.actor.clone()),
        request_id: event.request_id.clone(),
        reason: event.reason.clone(),
        entity_id: event.entity_id,
        entity_name: None,
        license_type: event.license_type.clone(),
        pool_id: event.pool_id,
        seat_no: event.seat_no,
        account_id: event.account_id,
        username: event.username.clone(),
        old_values: event.old_values.clone(),
        new_values: event.new_values.clone(),
    }
}

/// The columns of a list of events.
pub(super) fn columns(words: Words) -> Vec<Column> {
    vec![
        Column::time(words.at()),
        Column::text(words.action()),
        Column::text(words.subject()),
        Column::text(words.changes()),
        Column::text(words.actor()),
        Column::text(words.reason()),
    ]
}

pub(super) fn row(visit: &Visit, event: &EventRow) -> Vec<Markup> {
    let at = match &event.request_id {
        Some(id) => html! { a href=(visit.link(&format!("history/{id}"))) { (time(Some(event.at))) } },
        None => time(Some(event.at)),
    };
    vec![
        at,
        html! { (visit.words.action_name(&event.action)) },
        subject(visit, event),
        values(visit.words, event),
        actor(visit, event.actor.as_deref()),
        parts::user_or_none(event.reason.as_deref()),
    ]
}

/// The actor of a change, with a link to its other changes.
pub(super) fn actor(visit: &Visit, name: Option<&str>) -> Markup {
    let Some(name) = name else { return html! { span.soft { (visit.words.other_entity()) } } };
    let address = super::query::Query::default().with("actor", name).url();
    user_link(&visit.link(&format!("history{address}")), name)
}

/// How many events there are of each kind.
pub(super) fn count(words: Words, events: &[Event]) -> Markup {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        *counts.entry(event.action.as_str()).or_default() += 1;
    }
    html! { ul { @for (action, count) in counts { li { (words.action_name(action)) ": " strong { (count) } } } } }
}

/// The subject of an event, with links.
fn subject(visit: &Visit, event: &EventRow) -> Markup {
    let words = visit.words;
    let is_credential = event.action.starts_with("credential-");
    html! {
        ul.values {
            @if let Some(name) = &event.username {
                li {
                    @if is_credential {
                        (words.credential()) " " (user_link(&visit.link(&credential_address(name)), name))
                    } @else if let Some(id) = event.account_id {
                        (words.user()) " " (user_link(&visit.link(&format!("users/{id}")), name))
                    } @else {
                        (words.user()) " " (user(name))
                    }
                }
            } @else if let Some(id) = event.account_id {
                li { (words.user()) " " a href=(visit.link(&format!("users/{id}"))) { (id) } }
            }
            @if event.pool_id.is_some() || event.license_type.is_some() {
                li {
                    @if let Some(id) = event.pool_id { (words.pool()) " " a href=(visit.link(&format!("pools/{id}"))) { (id) } " " }
                    @if let Some(name) = &event.license_type { (name) }
                    @if let Some(number) = event.seat_no { ", " (words.seat()) " " (number) }
                }
            }
            @if let Some(id) = event.entity_id {
                li {
                    (words.entity()) " "
                    a href=(visit.link(&format!("entities/{id}"))) { @match &event.entity_name { Some(name) => (user(name)), None => (id) } }
                }
            }
        }
    }
}

/// Where a credential is shown. Its name may be any text, so it is no segment of a path.
pub(super) fn credential_address(name: &str) -> String {
    format!("credential{}", super::query::Query::default().with("name", name).url())
}

/// Old and new values of each column that changed, as deleted and inserted text.
fn values(words: Words, event: &EventRow) -> Markup {
    let changes = event.changes();
    html! {
        @if !changes.is_empty() {
            ul.values {
                @for change in &changes {
                    li {
                        (words.column_name(&change.name)) ": "
                        @if change.name == "password_hash" {
                            ins { (words.password_hash_changed()) }
                        } @else {
                            @if let Some(value) = &change.old { del { bdi { (shown(words, &change.name, value)) } } " → " }
                            @match &change.new {
                                Some(value) => ins { bdi { (shown(words, &change.name, value)) } },
                                None => span.soft { (words.nothing()) },
                            }
                        }
                    }
                }
            }
        }
    }
}

fn shown(words: Words, column: &str, text: &str) -> String {
    match (column, text) {
        ("active", "1") => return words.yes().to_owned(),
        ("active", "0") => return words.no().to_owned(),
        _ => {}
    }
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}
