//! Offers: what the issuer offers entities next.

use maud::{Markup, html};

use super::filters;
use super::form::Field;
use super::frame::Section;
use super::list::List;
use super::parts::{self, Column, time, user_link, user_or_none};
use super::query::Query;
use super::visit::{Me, Visit};
use super::words::Words;
use crate::store::admin::offers::{self, OfferFilter, OfferRow};
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, Page, Sql, Start, Stop};

pub(super) struct Offers;

impl List for Offers {
    type Filter = OfferFilter;
    type Row = OfferRow;

    const NAME: &'static str = "offers";
    const SECTION: Section = Section::Offers;

    fn title(words: Words) -> &'static str {
        words.offers()
    }

    fn fields(words: Words) -> Vec<Field> {
        let [entity, below] = filters::entity_fields(words);
        vec![Field::text("text", words.entity_text()), entity, below]
    }

    fn filter(query: &Query) -> OfferFilter {
        OfferFilter { entity: filters::entity(query), text: query.get("text").map(str::to_owned) }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        filter: &OfferFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<OfferRow>, Stop> {
        offers::list(sql, admin, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::text(words.entity()),
            Column::text(words.owner_name()),
            Column::text(words.offered()),
            Column::text(words.company_name()),
            Column::text(words.serial_nr()),
            Column::time(words.license_expires_at()),
            Column::time(words.grace_at()),
            Column::text(words.action()),
        ]
    }

    fn row(visit: &Visit, me: &Me, row: &OfferRow) -> Vec<Markup> {
        let words = visit.words;
        vec![
            user_link(&visit.link(&format!("entities/{}", row.entity_id)), &row.entity_name),
            user_or_none(row.owner_name.as_deref()),
            html! { @for (at, (license_type, seats)) in row.modules.iter().enumerate() { @if at > 0 { ", " } (license_type) ": " (seats) } },
            user_or_none(row.company_name.as_deref()),
            user_or_none(row.serial_nr.as_deref()),
            time(row.dates.expires),
            time(row.dates.grace),
            html! {
                @if me.may_change() {
                    a href=(visit.link(&format!("offers/{}", row.entity_id))) aria-label=(words.edit_of(&row.entity_name)) { (words.edit()) } " "
                    a href=(visit.link(&format!("offers/{}/delete", row.entity_id))) aria-label={ (words.withdraw()) " " (row.entity_name) } { (words.withdraw()) }
                }
            },
        ]
    }

    fn actions(visit: &Visit, me: &Me) -> Markup {
        html! {
            @if me.may_change() {
                div.actions { (parts::button_link(&visit.link("new/offer"), visit.words.new_offer(), None)) }
            }
        }
    }
}
