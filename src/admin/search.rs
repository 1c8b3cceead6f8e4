//! One field that finds everything.

use std::sync::Arc;

use maud::{Markup, html};

use super::credentials::Credentials;
use super::entities::Entities;
use super::events;
use super::frame::{self, Page, Section};
use super::list::List;
use super::parts;
use super::pools::Pools;
use super::refusals::Refusals;
use super::users::Users;
use super::visit::{Answer, Me, Visit};
use crate::store::admin::search;

pub(super) async fn page(visit: Arc<Visit>) -> Answer {
    let text = visit.query.text("q").to_owned();
    let totals = visit.totals();
    let (me, found) = visit
        .look(move |sql, admin| {
            let totals = totals.get(sql, admin.now)?;
            search::find(sql, admin, &totals, &text)
        })
        .await?;
    let words = visit.words;
    let content = html! {
        @if found.is_empty() { p { (words.nothing_found()) } }
        (hits::<Entities>(&visit, &me, &found.entities))
        (hits::<Users>(&visit, &me, &found.users))
        (hits::<Credentials>(&visit, &me, &found.credentials))
        (hits::<Pools>(&visit, &me, &found.pools))
        @if let Some(refusal) = &found.refusal { (hits::<Refusals>(&visit, &me, std::slice::from_ref(refusal))) }
        @if let Some(event) = found.events.first() {
            h2 { (words.was_changed()) }
            @if let Some(id) = &event.request_id { p { a href=(visit.link(&format!("history/{id}"))) { (words.receipt()) } } }
            (events::changes(&visit, words.was_changed(), &found.events))
        }
        @if found.more { p.soft { (words.more_found()) } }
    };
    Ok(frame::page(&visit, &me, &Page::new(Section::Other, words.search_for(visit.query.text("q")), content)))
}

fn hits<L: List>(visit: &Visit, me: &Me, rows: &[L::Row]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    let title = L::title(visit.words);
    html! {
        h2 { (title) }
        (parts::table(title, &L::columns(visit.words), rows.iter().map(|row| L::row(visit, me, row))))
    }
}
