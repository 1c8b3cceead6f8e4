//! A report for a customer: what an entity had and used in a span of time, to be printed, or as a file.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use tokio::sync::mpsc;

use super::export::{self, Format, Part, Writer};
use super::filters;
use super::form::{self, Control, Field};
use super::frame::{self, Page, Section};
use super::parts::{self, Column, facts, note, time, time_text, user, user_link};
use super::visit::{Answer, Me, Stopped, Visit};
use super::words::Words;
use crate::seats::LicenseType;
use crate::store::admin::EntityFilter;
use crate::store::admin::file::Cell;
use crate::store::admin::report::{self, PoolReport, Report, ReportRequest, TypeReport};

/// The span if none is asked for.
const DAYS: i64 = 30;

pub(super) async fn page(visit: Arc<Visit>) -> Answer {
    let id = visit.segment(1).split('.').next().and_then(|id| id.parse().ok()).ok_or(Stopped::NotFound)?;
    let (me, report) = make(&visit, id).await?;
    match visit.file_format() {
        Some(format) => file(&report, format).await,
        None => Ok(shown(&visit, &me, &report)),
    }
}

fn fields(words: Words) -> [Field; 3] {
    [
        Field::new("since", words.from(), Control::Time),
        Field::new("until", words.until(), Control::Time),
        Field::new("below", words.below(), Control::Check),
    ]
}

async fn make(visit: &Visit, id: i64) -> Result<(Me, Report), Stopped> {
    visit.require_valid(&fields(visit.words))?;
    let now = visit.context().now;
    let month_ago = now.checked_sub(SignedDuration::from_hours(24 * DAYS)).unwrap_or(Timestamp::MIN);
    let request = ReportRequest {
        // Everything below belongs to a customer, unless the form was sent without that.
        entity: EntityFilter { id, below: visit.query.flag("below") || visit.query.get("since").is_none() },
        since: filters::time(&visit.query, "since").unwrap_or(month_ago),
        // The next whole second: the form and the files have no fractions, and what was made in this second is in the report.
        until: filters::time(&visit.query, "until")
            .unwrap_or(Timestamp::from_second(now.as_second() + 1).unwrap_or(now)),
    };
    let totals = visit.totals();
    visit
        .look(move |sql, admin| {
            let totals = totals.get(sql, admin.now)?;
            report::make(sql, admin, &totals, &request)
        })
        .await
}

fn shown(visit: &Visit, me: &Me, report: &Report) -> axum::response::Response {
    let words = visit.words;
    let id = report.entity_id;
    let fields = fields(words);
    let values = visit.query.with("since", time_text(report.since)).with("until", time_text(report.until));
    let values = if visit.query.get("since").is_none() { values.with("below", "1") } else { values };
    let file = |end: &str| visit.link(&format!("report/{id}.{end}{}", values.filled().url()));
    let content = html! {
        (form::asking(words, &visit.link(&format!("report/{id}")), (words.report(), words.show()), &fields, &values))
        p.no-print { (words.print_hint()) " " (words.all_as()) " " a href=(file("csv")) { "CSV" } " " a href=(file("json")) { "JSON" } }
        (facts([
            (words.entity(), user(&report.entity_name)),
            (words.from(), time(Some(report.since))),
            (words.until(), time(Some(report.until))),
        ]))
        @if !report.is_complete { (note("warn", html! { p { (words.report_incomplete()) } })) }
        @if report.has_more_pools { (note("warn", html! { p { (words.report_more_pools()) } })) }
        h2 { (words.by_type()) }
        (types(visit, report))
        h2 { (words.by_pool()) }
        (pools(visit, report))
        @if report.pools.iter().any(|pool| !pool.resized.is_empty()) {
            h2 { (words.sizes_changed()) }
            (resized(visit, report))
        }
    };
    let page = Page::new(Section::Entities, words.report_of(&report.entity_name), content)
        .below("entities", words.entities())
        .below(format!("entities/{id}"), report.entity_name.clone());
    frame::page(visit, me, &page)
}

fn types(visit: &Visit, report: &Report) -> Markup {
    let words = visit.words;
    let columns = [
        Column::text(words.license_type()),
        Column::number(words.seats_at_end()),
        Column::number(words.in_use_at_begin()),
        Column::number(words.in_use_at_end()),
        Column::number(words.peak()),
        Column::number(words.assigned()),
        Column::number(words.released()),
    ];
    let row = |license_type: LicenseType, of: &TypeReport| {
        vec![
            html! { (license_type) },
            html! { (of.seats_end) },
            html! { (of.in_use_begin) },
            html! { (of.in_use_end) },
            html! { strong { (of.peak) } },
            html! { (of.assigned) },
            html! { (of.released) },
        ]
    };
    let rows = LicenseType::ALL
        .into_iter()
        .zip(&report.types)
        .filter_map(|(t, of)| of.as_ref().map(|of| row(t, of)))
        .collect();
    parts::table_or(words.no_pools(), words.by_type(), &columns, rows)
}

fn pools(visit: &Visit, report: &Report) -> Markup {
    let words = visit.words;
    let columns = [
        Column::number(words.pool()),
        Column::text(words.entity()),
        Column::text(words.license_type()),
        Column::time(words.expires_at()),
        Column::number(words.seats_at_begin()),
        Column::number(words.seats_at_end()),
        Column::number(words.in_use_at_begin()),
        Column::number(words.in_use_at_end()),
        Column::number(words.peak()),
        Column::time(words.peak_at()),
        Column::number(words.assigned()),
        Column::number(words.released()),
    ];
    let row = |pool: &PoolReport| {
        vec![
            html! {
                @if pool.is_deleted { (pool.pool_id) " (" (words.deleted()) ")" }
                @else { a href=(visit.link(&format!("pools/{}", pool.pool_id))) { (pool.pool_id) } }
            },
            user_link(&visit.link(&format!("entities/{}", pool.entity_id)), &pool.entity_name),
            html! { (pool.license_type) },
            time(pool.expires_at),
            html! { (pool.seats_begin) },
            html! { (pool.seats_end) },
            html! { (pool.in_use_begin) },
            html! { (pool.in_use_end) },
            html! { strong { (pool.peak) } },
            time(pool.peak_at),
            html! { (pool.assigned) },
            html! { (pool.released) },
        ]
    };
    parts::table_or(words.no_pools(), words.by_pool(), &columns, report.pools.iter().map(row).collect())
}

fn resized(visit: &Visit, report: &Report) -> Markup {
    let words = visit.words;
    let columns = [Column::time(words.at()), Column::number(words.pool()), Column::number(words.seats_total())];
    let rows = report.pools.iter().flat_map(|pool| {
        pool.resized.iter().map(|(at, seats)| vec![time(Some(*at)), html! { (pool.pool_id) }, html! { (seats) }])
    });
    parts::table(words.sizes_changed(), &columns, rows)
}

const COLUMNS: &[&str] = &[
    "pool_id",
    "entity_id",
    "entity_name",
    "license_type",
    "starts_at",
    "expires_at",
    "is_deleted",
    "since",
    "until",
    "seats_begin",
    "seats_end",
    "in_use_begin",
    "in_use_end",
    "peak",
    "peak_at",
    "assigned",
    "released",
    "is_complete",
];

async fn file(report: &Report, format: Format) -> Answer {
    let mut writer = Writer::new(format, COLUMNS.to_vec());
    let mut text = writer.head();
    for pool in &report.pools {
        writer.row(cells(report, pool), &mut text);
    }
    text.push_str(writer.end());
    let (sender, parts) = mpsc::channel(2);
    let mut response = export::streamed(format, "report", parts);
    frame::secure_file(&mut response);
    // Both fit into the channel.
    let _ = sender.send(Part::Text(text)).await;
    let _ = sender.send(Part::End).await;
    Ok(response)
}

fn cells(report: &Report, pool: &PoolReport) -> Vec<Cell> {
    vec![
        pool.pool_id.into(),
        pool.entity_id.into(),
        pool.entity_name.as_str().into(),
        pool.license_type.name().into(),
        pool.starts_at.map(time_text).into(),
        pool.expires_at.map(time_text).into(),
        pool.is_deleted.into(),
        time_text(report.since).into(),
        time_text(report.until).into(),
        pool.seats_begin.into(),
        pool.seats_end.into(),
        pool.in_use_begin.into(),
        pool.in_use_end.into(),
        pool.peak.into(),
        pool.peak_at.map(time_text).into(),
        pool.assigned.into(),
        pool.released.into(),
        pool.is_complete.into(),
    ]
}
