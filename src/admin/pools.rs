//! Pools: the list, and one pool with its use over time and its holders.

use std::sync::Arc;

use maud::{Markup, html};

use super::chart::{self, Labels, Point};
use super::form::{Control, Field};
use super::frame::{self, Page as Framed, Section};
use super::list::{self, List, ROWS, choice};
use super::parts::{self, Column, facts, fullness, time, time_text, user, user_link, user_or_none};
use super::query::Query;
use super::visit::{Answer, Me, Visit};
use super::words::Words;
use super::{filters, selection};
use crate::store::admin::file::Cell;
use crate::store::admin::holders::{self, HolderFilter, HolderRow};
use crate::store::admin::pools::{self, POINTS_MAX, PoolFilter, PoolOrder, PoolRow, PoolState, UseOverTime};
use crate::store::admin::seats::Taken;
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, Page, Since, Sql, Start, Stop};

pub(super) struct Pools;

impl List for Pools {
    type Filter = PoolFilter;
    type Row = PoolRow;

    const NAME: &'static str = "pools";
    const SECTION: Section = Section::Pools;

    fn title(words: Words) -> &'static str {
        words.pools()
    }

    fn fields(words: Words) -> Vec<Field> {
        let [entity, below] = filters::entity_fields(words);
        vec![
            entity,
            below,
            filters::license_type_field(words),
            choice(
                "state",
                words.state(),
                words.any(),
                PoolState::ALL.map(|state| (state.name(), state_name(words, state).to_owned())),
            ),
            Field::new("percent", words.percent_least(), Control::Number),
            Field::new("days", words.expires_within_days(), Control::Number),
            Field::new("used", words.has_seats_in_use(), Control::Check),
            choice(
                "order",
                words.order(),
                words.id(),
                [("expiry", words.expires_at().to_owned()), ("use", words.seats_in_use().to_owned())],
            ),
        ]
    }

    fn filter(query: &Query) -> PoolFilter {
        PoolFilter {
            entity: filters::entity(query),
            license_type: filters::license_type(query),
            state: query.get("state").and_then(|state| state.parse().ok()),
            percent_min: query.number("percent"),
            expires_within_days: query.number("days"),
            in_use: query.flag("used"),
            order: match query.text("order") {
                "expiry" => PoolOrder::Expiry,
                "use" => PoolOrder::Use,
                _ => PoolOrder::Id,
            },
        }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        totals: &TotalsCache,
        filter: &PoolFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<PoolRow>, Stop> {
        let totals = totals.get(sql, admin.now)?;
        pools::list(sql, admin, &totals, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::number(words.id()),
            Column::text(words.entity()),
            Column::text(words.license_type()),
            Column::number(words.seats_in_use()),
            Column::number(words.seats_free()),
            Column::time(words.starts_at()),
            Column::time(words.expires_at()),
            Column::text(words.state()),
            Column::text(words.note()),
        ]
    }

    fn row(visit: &Visit, _: &Me, row: &PoolRow) -> Vec<Markup> {
        let words = visit.words;
        vec![
            html! { a href=(visit.link(&format!("pools/{}", row.id))) { (row.id) } },
            user_link(&visit.link(&format!("entities/{}", row.entity_id)), &row.entity_name),
            html! { (row.license_type) },
            fullness(words, row.seats_in_use, row.seats_total),
            html! { (row.free()) },
            time(row.starts_at),
            time(row.expires_at),
            state(words, row.state),
            user_or_none(row.note.as_deref()),
        ]
    }

    fn actions(visit: &Visit, me: &Me) -> Markup {
        html! {
            @if me.may_change() {
                @let entity = Query::default().with("entity_id", visit.query.text("entity")).url();
                div.actions { (parts::button_link(&visit.link(&format!("new/pool{entity}")), visit.words.new_pool(), None)) }
            }
        }
    }
}

fn state_name(words: Words, state: PoolState) -> &'static str {
    match state {
        PoolState::Open => words.state_open(),
        PoolState::NotBegun => words.state_not_begun(),
        PoolState::Expired => words.state_expired(),
    }
}

fn state(words: Words, state: PoolState) -> Markup {
    let class = if state == PoolState::Open { "" } else { "warn" };
    html! { span class=(class) { (state_name(words, state)) } }
}

/// One pool.
pub(super) async fn one(visit: Arc<Visit>) -> Answer {
    if let Some(format) = visit.file_format() {
        return list::export::<Holders>(visit, format).await;
    }
    let id = visit.id(1)?;
    visit.require_valid(&holder_fields(visit.words))?;
    let filter = holder_filter(&visit.query);
    let start = list::start(&visit.query);
    let (me, (pool, course, holders)) = visit
        .look(move |sql, admin| {
            let pool = pools::one(sql, admin, id)?;
            let course = pools::use_over_time(sql, admin, id, POINTS_MAX)?;
            Ok((pool, course, holders::list(sql, admin, id, &filter, &start, ROWS)?))
        })
        .await?;
    let words = visit.words;
    let address = format!("pools/{id}");
    let content = html! {
        (actions(&visit, &me, &pool))
        (facts([
            (words.entity(), user_link(&visit.link(&format!("entities/{}", pool.entity_id)), &pool.entity_name)),
            (words.license_type(), html! { (pool.license_type) }),
            (words.seats_in_use(), fullness(words, pool.seats_in_use, pool.seats_total)),
            (words.seats_free(), html! { (pool.free()) }),
            (words.seats_in_use_max(), html! { (pool.seats_in_use_max) }),
            (words.state(), state(words, pool.state)),
            (words.starts_at(), time(pool.starts_at)),
            (words.expires_at(), time(pool.expires_at)),
            (words.product_key(), user_or_none(pool.product_key.as_deref())),
            (words.license_data(), html! { (if pool.has_license_data { words.yes() } else { words.no() }) }),
            (words.note(), user_or_none(pool.note.as_deref())),
        ]))
        h2 { (words.use_over_time()) }
        (use_over_time(words, &course))
        h2 { (words.holders()) }
        (super::form::filters(words, &visit.link(&address), &holder_fields(words), &visit.query))
        (holder_rows(&visit, &me, &pool, &holders))
        (list::paging(&visit, &address, &holders))
    };
    let title = words.pool_title(id, pool.license_type.name());
    let page = Framed::new(Section::Pools, title, content)
        .below("pools", words.pools())
        .below(filters::of_entity("pools", pool.entity_id), pool.entity_name.clone());
    Ok(frame::page(&visit, &me, &page))
}

fn actions(visit: &Visit, me: &Me, pool: &PoolRow) -> Markup {
    let words = visit.words;
    let history = visit.link(&format!("history?pool={}", pool.id));
    html! {
        div.actions {
            @if me.may_change() {
                (parts::button_link(&visit.link(&format!("pools/{}/resize", pool.id)), words.resize(), None))
                (parts::button_link(&visit.link(&format!("pools/{}/edit", pool.id)), words.edit(), Some("e")))
                (parts::button_link(&visit.link(&format!("pools/{}/delete", pool.id)), words.delete(), None))
            }
            a href=(history) { (words.history()) }
            a href=(visit.link(&format!("report/{}", pool.entity_id))) { (words.report()) }
        }
    }
}

fn use_over_time(words: Words, course: &UseOverTime) -> Markup {
    let point = |p: &pools::UsePoint| Point { at: p.at.as_second(), in_use: p.seats_in_use, total: p.seats_total };
    let points: Vec<Point> = course.points.iter().map(point).collect();
    let (Some(first), Some(last)) = (course.points.first(), course.points.last()) else { return html! {} };
    let (from, until) = (time_text(first.at), time_text(last.at));
    let title = words.chart_title(&from, &until);
    let labels =
        Labels { title: &title, in_use: words.seats_in_use(), total: words.seats_total(), from: &from, until: &until };
    let columns = [
        Column::time(words.at()),
        Column::number(words.seats_in_use()),
        Column::number(words.peak_since()),
        Column::number(words.seats_total()),
    ];
    let rows = course.points.iter().rev().map(|point| {
        vec![
            time(Some(point.at)),
            html! { (point.seats_in_use) },
            html! { (point.peak) },
            html! { (point.seats_total) },
        ]
    });
    html! {
        (chart::steps(&points, last.at.as_second(), &labels))
        @if !course.is_complete { p.soft { (words.chart_incomplete()) } }
        details {
            summary { (words.as_table()) }
            (parts::table(words.use_over_time(), &columns, rows))
        }
    }
}

pub(super) fn holder_filter(query: &Query) -> HolderFilter {
    HolderFilter { text: query.get("text").map(str::to_owned), active: filters::yes_no(query, "active") }
}

pub(super) fn holder_fields(words: Words) -> Vec<Field> {
    vec![Field::text("text", words.user_name()), filters::yes_no_field(words, "active", words.active())]
}

fn holder_rows(visit: &Visit, me: &Me, pool: &PoolRow, page: &Page<HolderRow>) -> Markup {
    let words = visit.words;
    let selectable = me.may_change();
    let mut columns = vec![
        Column::number(words.seat()),
        Column::text(words.user()),
        Column::text(words.entity()),
        Column::text(words.active()),
        Column::time(words.since()),
    ];
    if selectable {
        columns.push(Column::text(words.select()));
    }
    let row = |row: &HolderRow| {
        let mut cells = vec![html! { (row.seat_no) }];
        match &row.account {
            Some(account) => cells.extend([
                user_link(&visit.link(&format!("users/{}", account.id)), &account.username),
                user(&account.entity_name),
                parts::yes_no(words, account.active),
            ]),
            None => cells.extend([html! { span.soft { (words.other_entity()) } }, html! {}, html! {}]),
        }
        cells.push(since(words, &row.since));
        if selectable {
            cells.push(match &row.account {
                Some(account) => {
                    let taken = Taken { pool_id: pool.id, seat_no: row.seat_no, account_id: account.id };
                    selection::seat_box(words, taken, &account.username)
                }
                None => html! {},
            });
        }
        cells
    };
    let rows: Vec<_> = page.rows.iter().map(row).collect();
    let table = parts::table_or(words.nobody(), words.holders(), &columns, rows);
    if selectable && !page.rows.is_empty() {
        html! { (selection::release_form(visit, table)) (release_matching(visit, pool.id)) }
    } else {
        table
    }
}

/// A button that releases every seat whose holder matches the filters, on whatever page it is.
fn release_matching(visit: &Visit, pool_id: i64) -> Markup {
    let words = visit.words;
    html! {
        form method="post" action=(visit.link(&format!("pools/{pool_id}/release"))) {
            (visit.token())
            @for name in ["text", "active"] { input type="hidden" name=(name) value=(visit.query.text(name)); }
            div.actions { button type="submit" name="step" value="preview" { (words.release_matching()) } }
        }
    }
}

pub(super) fn since(words: Words, since: &Since) -> Markup {
    match since {
        Since::At(at) => time(Some(*at)),
        Since::Before(at) => html! { (words.before_time(&time_text(*at))) },
        Since::Unknown => html! { span.soft { (words.unknown()) } },
    }
}

/// The holders of one pool, as a file.
struct Holders;

impl list::Export for Holders {
    type Filter = (i64, HolderFilter);
    type Row = HolderRow;

    fn name(_: &(i64, HolderFilter)) -> &'static str {
        "holders"
    }

    fn columns(_: &(i64, HolderFilter)) -> Vec<&'static str> {
        vec!["seat_no", "account_id", "username", "active", "entity_id", "entity_name", "since"]
    }

    fn filter(visit: &Visit) -> Result<(i64, HolderFilter), super::visit::Stopped> {
        // The address is `/pools/7.csv`.
        let id =
            visit.segment(1).split('.').next().and_then(|id| id.parse().ok()).ok_or(super::visit::Stopped::NotFound)?;
        visit.require_valid(&holder_fields(visit.words))?;
        Ok((id, holder_filter(&visit.query)))
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        (id, filter): &(i64, HolderFilter),
        start: Start,
        rows: usize,
    ) -> Result<Page<HolderRow>, Stop> {
        holders::list(sql, admin, *id, filter, &start, rows)
    }

    fn cells(row: &HolderRow) -> Vec<Cell> {
        let account = row.account.as_ref();
        vec![
            row.seat_no.into(),
            account.map(|account| account.id).into(),
            account.map(|account| account.username.clone()).into(),
            account.map(|account| account.active).into(),
            account.map(|account| account.entity_id).into(),
            account.map(|account| account.entity_name.clone()).into(),
            match row.since {
                Since::At(at) => time_text(at).into(),
                Since::Before(_) | Since::Unknown => Cell::Empty,
            },
        ]
    }
}
