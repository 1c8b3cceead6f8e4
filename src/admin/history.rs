//! The history: what changed, when, by whom and why; the receipt of one change, with its undo; and who held what at a past moment.

use std::sync::Arc;

use maud::{Markup, html};
use uuid::Uuid;

use super::change::{self, Plan};
use super::events;
use super::filters;
use super::form::{self, Control, Errors, Field};
use super::frame::{self, Page as Framed, Section};
use super::list::{self, List, ROWS, choice};
use super::parts::{self, Column, facts, fullness, note, time, user_link, user_or_none};
use super::query::Query;
use super::visit::{Answer, Me, Stopped, Visit};
use super::words::Words;
use crate::seats::Role;
use crate::store::admin::as_of::{PoolThen, pool_at};
use crate::store::admin::held_at::{HeldThen, user_at};
use crate::store::admin::history::{self, EventRow, HistoryFilter};
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::undo::{self, Undo};
use crate::store::admin::users::{self, UserRow};
use crate::store::admin::{Admin, Page, Sql, Start, Stop};
use crate::store::history::ACTIONS;

pub(super) struct History;

impl List for History {
    type Filter = HistoryFilter;
    type Row = EventRow;

    const NAME: &'static str = "history";
    const SECTION: Section = Section::History;

    fn title(words: Words) -> &'static str {
        words.history()
    }

    fn fields(words: Words) -> Vec<Field> {
        let [entity, below] = filters::entity_fields(words);
        vec![
            Field::new("since", words.from(), Control::Time),
            Field::new("until", words.until(), Control::Time),
            entity,
            below,
            Field::text("user", words.user_or_credential()),
            Field::text("actor", words.actor()),
            choice(
                "action",
                words.action(),
                words.any(),
                ACTIONS.iter().map(|action| (*action, words.action_name(action).to_owned())),
            ),
            Field::new("pool", words.pool(), Control::Number),
            Field::text("request", words.request_id()),
        ]
    }

    fn filter(query: &Query) -> HistoryFilter {
        let text = |name: &str| query.get(name).map(str::to_owned);
        HistoryFilter {
            since: filters::time(query, "since"),
            until: filters::time(query, "until"),
            entity: filters::entity(query),
            user: text("user"),
            actor: text("actor"),
            request_id: text("request"),
            actions: query.all("action").filter(|action| ACTIONS.contains(action)).map(str::to_owned).collect(),
            pool_id: query.number("pool"),
        }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        filter: &HistoryFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<EventRow>, Stop> {
        history::list(sql, admin, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        events::columns(words)
    }

    fn row(visit: &Visit, _: &Me, row: &EventRow) -> Vec<Markup> {
        events::row(visit, row)
    }

    fn actions(visit: &Visit, _: &Me) -> Markup {
        html! { div.actions { a href=(visit.link("history/as-of")) { (visit.words.as_of()) } } }
    }
}

fn request_id(visit: &Visit) -> Result<Uuid, Stopped> {
    Uuid::try_parse(visit.segment(1)).map_err(|_| Stopped::NotFound)
}

/// The receipt of a change: everything that one request changed.
pub(super) async fn receipt(visit: Arc<Visit>) -> Answer {
    let id = request_id(&visit)?;
    let (me, page) = visit.look(move |sql, admin| history::of_request(sql, admin, &id.to_string(), None)).await?;
    let words = visit.words;
    let Some(first) = page.rows.first() else {
        let why = html! { (note("warn", html! { p { (words.no_events_of_request()) } })) (links(&visit, id)) };
        let page = Framed::new(Section::History, words.receipt(), why).below("history", words.history());
        return Ok(frame::page(&visit, &me, &page));
    };
    let content = html! {
        (facts([
            (words.at(), time(Some(first.at))),
            (words.actor(), events::actor(&visit, first.actor.as_deref())),
            (words.reason(), user_or_none(first.reason.as_deref())),
            (words.request_id(), html! { code { (id) } }),
        ]))
        @if me.may_change() {
            div.actions {
                form method="post" action=(visit.link(&format!("history/{id}/undo"))) {
                    (visit.token())
                    button type="submit" name="step" value="preview" { (words.undo()) }
                }
            }
        }
        h2 { (words.was_changed()) }
        (events::changes(&visit, words.was_changed(), &page.rows))
        @if page.next.is_some() { (links(&visit, id)) }
    };
    let page = Framed::new(Section::History, words.receipt(), content).below("history", words.history());
    Ok(frame::page(&visit, &me, &page))
}

fn links(visit: &Visit, id: Uuid) -> Markup {
    let words = visit.words;
    html! {
        p { a href=(visit.link(&format!("history?request={id}"))) { (words.all_events_of_request()) } }
        p { a href=(visit.link(&format!("explain?id={id}"))) { (words.explain()) } }
    }
}

/// A change undone: a change of its own, with preview, reason and receipt.
pub(super) async fn undo(visit: Arc<Visit>) -> Answer {
    let id = request_id(&visit)?;
    let words = visit.words;
    let plan = Plan::new(Section::History, words.undo_title(&id.to_string()), Vec::new())
        .below("history", words.history())
        .below(format!("history/{id}"), words.receipt())
        .intro(html! { p { (words.undo_intro()) } });
    if visit.form.is_none() {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        return Ok(plan.form(&visit, &me, &Query::default(), &Errors::default()));
    }
    let plan = Plan { reason: Some(Box::new(move |why| undo::reason(id, Some(why)))), ..plan };
    let request = Undo { request_id: id, events: None };
    Ok(change::receipt(&visit, change::step(&visit, &plan, |_| Ok(request), undo::undo).await?))
}

/// The holders of a pool's seats at a past moment.
pub(super) async fn as_of(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let fields = [
        Field::new("pool", words.pool(), Control::Number),
        Field::text("user", words.or_user()),
        Field::new("at", words.at(), Control::Time),
    ];
    visit.require_valid(&fields)?;
    let (pool, user) = (visit.query.number::<i64>("pool"), visit.query.get("user").map(str::to_owned));
    let at = filters::time(&visit.query, "at");
    let start = list::start(&visit.query);
    let (me, then) = visit
        .look(move |sql, admin| {
            Ok(match (at, pool, &user) {
                (Some(at), Some(pool_id), _) => Some(Then::Pool(pool_at(sql, admin, pool_id, at, &start, ROWS)?)),
                (Some(at), None, Some(name)) => {
                    let user = users::named(sql, admin, name)?;
                    let held = user_at(sql, admin, user.id, at)?;
                    Some(Then::User(user, held))
                }
                _ => None,
            })
        })
        .await?;
    let content = html! {
        p { (words.as_of_intro()) }
        (form::asking(words, &visit.link("history/as-of"), (words.as_of(), words.show()), &fields, &visit.query))
        @match &then {
            Some(Then::Pool(then)) => (pool_then(&visit, then)),
            Some(Then::User(user, held)) => (user_then(&visit, user, held.as_deref())),
            None => {},
        }
    };
    let page = Framed::new(Section::History, words.as_of(), content).below("history", words.history());
    Ok(frame::page(&visit, &me, &page))
}

fn pool_then(visit: &Visit, then: &PoolThen) -> Markup {
    let words = visit.words;
    let Some(numbers) = then.numbers else { return note("warn", html! { p { (words.as_of_unknown()) } }) };
    let columns = [
        Column::number(words.seat()),
        Column::text(words.user()),
        Column::text(words.entity()),
        Column::text(words.still_holds()),
    ];
    let rows = then.holders.rows.iter().map(|row| {
        let (name, entity) = match &row.account {
            Some(account) => (
                user_link(&visit.link(&format!("users/{}", account.id)), &account.username),
                user_link(&visit.link(&format!("entities/{}", account.entity_id)), &account.entity_name),
            ),
            None => (html! { span.soft { (words.other_entity()) } }, html! {}),
        };
        vec![html! { (row.seat_no) }, name, entity, parts::yes_no(words, !row.is_over)]
    });
    let id = then.pool.id;
    let next = then.holders.next.as_ref().map(|key| visit.query.filled().with("after", key).url());
    html! {
        (facts([
            (words.at(), time(Some(then.at))),
            (words.pool(), html! { a href=(visit.link(&format!("pools/{id}"))) { (words.pool_title(id, then.pool.license_type.name())) } }),
            (words.seats_in_use(), fullness(words, numbers.seats_in_use, numbers.seats_total)),
        ]))
        (parts::table_or(words.nobody(), words.holders(), &columns, rows.collect()))
        @if let Some(next) = next {
            nav.pages aria-label=(words.paging()) { a href=(visit.link(&format!("history/as-of{next}"))) data-key="n" { (words.next_page()) } }
        }
    }
}

enum Then {
    Pool(PoolThen),
    /// `None`: too much has happened since.
    User(UserRow, Option<Vec<HeldThen>>),
}

fn user_then(visit: &Visit, user: &UserRow, held: Option<&[HeldThen]>) -> Markup {
    let words = visit.words;
    let Some(held) = held else { return note("warn", html! { p { (words.as_of_unknown()) } }) };
    let columns = [
        Column::text(words.license_type()),
        Column::text(words.pool()),
        Column::number(words.seat()),
        Column::text(words.entity()),
        Column::text(words.still_holds()),
    ];
    let rows = held.iter().map(|then| {
        let mut cells = vec![html! { (then.held.license_type) }];
        match &then.held.seat {
            Some(seat) => cells.extend([
                html! { a href=(visit.link(&format!("pools/{}", seat.pool_id))) { (seat.pool_id) } },
                html! { (seat.seat_no) },
                user_link(&visit.link(&format!("entities/{}", seat.entity_id)), &seat.entity_name),
            ]),
            None => cells.extend([html! { span.soft { (words.other_entity()) } }, html! {}, html! {}]),
        }
        cells.push(parts::yes_no(words, !then.is_over));
        cells
    });
    html! {
        p { (user_link(&visit.link(&format!("users/{}", user.id)), &user.username)) }
        (parts::table_or(words.holds_nothing(), words.holds(), &columns, rows.collect()))
    }
}
