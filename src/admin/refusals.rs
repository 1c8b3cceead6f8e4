//! Refusals: calls that were refused, as far as they are kept.

use maud::{Markup, html};

use super::form::{Control, Field};
use super::frame::Section;
use super::list::List;
use super::parts::{Column, time, user, user_link, user_or_none};
use super::query::Query;
use super::visit::{Me, Visit};
use super::words::Words;
use super::{events, filters};
use crate::store::admin::refusals::{self, RefusalFilter, RefusalRow};
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, Page, Sql, Start, Stop};

pub(super) struct Refusals;

impl List for Refusals {
    type Filter = RefusalFilter;
    type Row = RefusalRow;

    const NAME: &'static str = "refusals";
    const SECTION: Section = Section::Refusals;

    fn title(words: Words) -> &'static str {
        words.refusals()
    }

    fn fields(words: Words) -> Vec<Field> {
        let [entity, below] = filters::entity_fields(words);
        vec![
            Field::new("since", words.from(), Control::Time),
            Field::new("until", words.until(), Control::Time),
            entity,
            below,
            Field::text("user", words.user()),
            filters::license_type_field(words),
            Field::text("code", words.code()),
            Field::text("actor", words.credential()),
            Field::new("unproved", words.sign_in_failed(), Control::Check),
            Field::text("address", words.address()),
            Field::text("text", words.message()),
        ]
    }

    fn filter(query: &Query) -> RefusalFilter {
        let text = |name: &str| query.get(name).map(str::to_owned);
        RefusalFilter {
            since: filters::time(query, "since"),
            until: filters::time(query, "until"),
            entity: filters::entity(query),
            license_type: filters::license_type(query),
            code: text("code"),
            operation: text("operation"),
            actor: text("actor"),
            unproved: query.flag("unproved"),
            user: text("user"),
            address: text("address"),
            text: text("text"),
        }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        filter: &RefusalFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<RefusalRow>, Stop> {
        refusals::list(sql, admin, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::time(words.at()),
            Column::text(words.code()),
            Column::text(words.message()),
            Column::text(words.user()),
            Column::text(words.entity()),
            Column::text(words.license_type()),
            Column::text(words.credential()),
            Column::text(words.operation()),
            Column::text(words.address()),
        ]
    }

    fn row(visit: &Visit, _: &Me, row: &RefusalRow) -> Vec<Markup> {
        let words = visit.words;
        let why = visit.link(&format!("explain{}", Query::default().with("id", &row.request_id).url()));
        vec![
            html! { a href=(why) { (time(Some(row.at))) } },
            html! { (row.code) },
            user(&row.message),
            user_or_none(row.username.as_deref()),
            html! {
                @match (row.entity_id, &row.entity_name) {
                    (Some(id), Some(name)) => (user_link(&visit.link(&format!("entities/{id}")), name)),
                    (Some(id), None) => (id),
                    (None, _) => {},
                }
            },
            user_or_none(row.license_type.as_deref()),
            html! {
                @if let Some(name) = &row.actor {
                    (user_link(&visit.link(&events::credential_address(name)), name))
                } @else if !row.is_proved {
                    span.soft { (words.sign_in_failed()) }
                }
            },
            html! { (row.operation) },
            user_or_none(row.address.as_deref()),
        ]
    }
}
