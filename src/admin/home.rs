//! The home page: what needs attention. Each figure links to the list that it counts.

use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};

use super::events::credential_address;
use super::frame::{self, Page, Section};
use super::parts::{figure, fullness, time, time_text};
use super::query::Query;
use super::visit::{Answer, Visit};
use super::words::Words;
use crate::store::admin::home::{self, Home, Upkeep};

pub(super) async fn page(visit: Arc<Visit>) -> Answer {
    let totals = visit.totals();
    let (me, home) = visit
        .look(move |sql, admin| {
            let totals = totals.get(sql, admin.now)?;
            home::read(sql, admin, &totals)
        })
        .await?;
    let words = visit.words;
    let content = html! {
        div.cards {
            (pools(&visit, &home))
            (refusals(&visit, &home))
            (sign_ins(&visit, &home))
            section.card {
                h2 { (words.upkeep()) }
                ul.figures {
                    (upkeep(words, words.last_backup(), home.backup.as_ref(), visit.context().now))
                    (upkeep(words, words.last_check(), home.check.as_ref(), visit.context().now))
                }
            }
        }
        p.soft { (words.as_of_time(&time_text(home.pools_at))) }
    };
    Ok(frame::page(&visit, &me, &Page::new(Section::Home, words.needs_attention(), content)))
}

/// A count that is colored if there is something to do.
fn class(count: i64, class: &'static str) -> &'static str {
    if count > 0 { class } else { "good" }
}

fn pools(visit: &Visit, home: &Home) -> Markup {
    let words = visit.words;
    let to = |query: &str| visit.link(&format!("pools?{query}"));
    let (expired, held) = home.expired_in_use;
    html! {
        section.card {
            h2 { (words.pools()) }
            ul.figures {
                (figure(words.full(), &to("percent=100&state=open&order=use"), home.full, class(home.full, "bad")))
                (figure(words.nearly_full(), &to("percent=90&state=open&order=use"), home.nearly_full, class(home.nearly_full, "warn")))
                @for (days, count) in home.expiring {
                    (figure(words.expire_within(days), &to(&format!("days={days}&order=expiry")), count, class(count, "warn")))
                }
                (figure(words.expired_but_held(), &to("state=expired&used=1"), words.pools_and_seats(expired, held), class(expired, "bad")))
                (figure(words.all_seats(), &visit.link("pools"), fullness(words, home.numbers.in_use, home.numbers.seats), ""))
            }
        }
    }
}

fn refusals(visit: &Visit, home: &Home) -> Markup {
    let words = visit.words;
    let refusals = &home.refusals;
    let since = Query::default().with("since", time_text(refusals.since));
    let to = |query: Query| visit.link(&format!("refusals{}", query.url()));
    html! {
        section.card {
            h2 { (words.refusals_of_day()) }
            ul.figures {
                (figure(words.all(), &to(since.clone()), html! { (refusals.total) @if refusals.is_partial { "+" } }, class(refusals.total, "warn")))
                @for (code, count) in &refusals.by_code { (figure(code.as_str(), &to(since.with("code", code)), *count, "")) }
            }
            @if !refusals.by_entity.is_empty() {
                h3 { (words.by_entity()) }
                ul.figures {
                    @for (id, name, count) in &refusals.by_entity {
                        (figure(html! { bdi { (name) } }, &to(since.with("entity", id)), *count, ""))
                    }
                }
            }
        }
    }
}

fn sign_ins(visit: &Visit, home: &Home) -> Markup {
    let words = visit.words;
    html! {
        section.card {
            h2 { (words.failing_credentials()) }
            @if home.failing.is_empty() { p.good { (words.none_failing()) } }
            ul.figures {
                @for failing in &home.failing {
                    @let address = visit.link(&credential_address(&failing.user_name));
                    li {
                        span { a href=(address) { bdi { (failing.user_name) } } " " span.soft {
                            (time(failing.last_failure_at)) " " @if let Some(address) = &failing.last_failure_address { (address) }
                        } }
                        strong.warn { (failing.failures) }
                    }
                }
            }
            @if home.failing_more { p { a href=(visit.link("credentials?failing=1")) { (words.all()) } } }
        }
    }
}

/// After so many days without it a backup or a verification is due.
const DUE_DAYS: i64 = 7;

fn upkeep(words: Words, label: &str, upkeep: Option<&Upkeep>, now: Timestamp) -> Markup {
    let due = |at: Timestamp| now.duration_since(at).as_hours() > DUE_DAYS * 24;
    html! {
        li {
            span { (label) @if let Some(detail) = upkeep.and_then(|u| u.detail.as_deref()) { " " span.soft { bdi { (detail) } } } }
            @match upkeep {
                Some(upkeep) => strong class=(if due(upkeep.at) { "warn" } else { "good" }) { (time(Some(upkeep.at))) },
                None => strong.warn { (words.never()) },
            }
        }
    }
}
