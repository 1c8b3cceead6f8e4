//! Entities: the tree with totals, found by any part of a name, and one entity with what it has.

use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};

use super::filters;
use super::form::{Control, Field};
use super::frame::{self, Page as Framed, Section};
use super::list::{self, List, ROWS};
use super::parts::{self, Column, facts, fullness, time, time_text, user, user_link, user_or_none};
use super::query::Query;
use super::visit::{Answer, Me, Visit};
use super::words::Words;
use crate::seats::LicenseType;
use crate::store::admin::entities::{self, EntitiesFilter, Entity, EntityRow};
use crate::store::admin::totals::{Numbers, TotalsCache};
use crate::store::admin::{Admin, EntityFilter, Page, Sql, Start, Stop};

pub(super) struct Entities;

impl List for Entities {
    type Filter = EntitiesFilter;
    type Row = EntityRow;

    const NAME: &'static str = "entities";
    const SECTION: Section = Section::Entities;

    fn title(words: Words) -> &'static str {
        words.entities()
    }

    fn fields(words: Words) -> Vec<Field> {
        vec![
            Field::text("text", words.entity_text()),
            Field::new("entity", words.below_entity(), Control::Number),
            filters::yes_no_field(words, "active", words.active()),
            filters::yes_no_field(words, "owner", words.has_owner_name()),
        ]
    }

    /// Without a filter the list begins at the top of the tree.
    fn filter(query: &Query) -> EntitiesFilter {
        let filter = EntitiesFilter {
            entity: query.number("entity").map(|id| EntityFilter { id, below: true }),
            parent: query.number("parent"),
            top: false,
            text: query.get("text").map(str::to_owned),
            active: filters::yes_no(query, "active"),
            owner: filters::yes_no(query, "owner"),
        };
        let top = filter == EntitiesFilter::default() && !query.flag("all");
        EntitiesFilter { top, ..filter }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        totals: &TotalsCache,
        filter: &EntitiesFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<EntityRow>, Stop> {
        let totals = totals.get(sql, admin.now)?;
        entities::list(sql, admin, &totals, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::text(words.name()),
            Column::number(words.id()),
            Column::text(words.parent()),
            Column::number(words.children()),
            Column::number(words.in_use_with_below()),
            Column::number(words.seats_free()),
            Column::number(words.in_use_expired()),
            Column::time(words.expires_first()),
            Column::text(words.owner_name()),
            Column::text(words.customer_nr()),
            Column::text(words.active()),
        ]
    }

    fn row(visit: &Visit, _: &Me, row: &EntityRow) -> Vec<Markup> {
        let words = visit.words;
        let below = visit.link(&format!("entities?parent={}", row.id));
        vec![
            user_link(&visit.link(&format!("entities/{}", row.id)), &row.name),
            html! { (row.id) },
            html! { @if let (Some(id), Some(name)) = (row.parent_id, &row.parent_name) { (user_link(&visit.link(&format!("entities/{id}")), name)) } },
            html! { @if row.children > 0 { a href=(below) aria-label=(words.children_of(row.children, &row.name)) { (row.children) } } @else { "0" } },
            fullness(words, row.all.in_use, row.all.seats),
            html! { (row.all.free()) },
            html! { (row.all.in_use_expired) },
            time(row.all.expires_first),
            user_or_none(row.owner_name.as_deref()),
            user_or_none(row.customer_nr.as_deref()),
            parts::yes_no(words, row.active),
        ]
    }

    fn actions(visit: &Visit, me: &Me) -> Markup {
        let words = visit.words;
        html! {
            div.actions {
                @if me.may_change() {
                    @let parent = Query::default().with("parent_id", visit.query.text("parent")).url();
                    (parts::button_link(&visit.link(&format!("new/entity{parent}")), words.new_entity(), None))
                }
                a href=(visit.link("entities")) { (words.top_of_tree()) }
                a href=(visit.link("entities?all=1")) { (words.all_entities()) }
            }
        }
    }
}

/// One entity: what stands in its row, its numbers, and what is directly below it.
pub(super) async fn one(visit: Arc<Visit>) -> Answer {
    let id = visit.id(1)?;
    let totals = visit.totals();
    let start = list::start(&visit.query);
    let (me, (entity, below, at)) = visit
        .look(move |sql, admin| {
            let totals = totals.get(sql, admin.now)?;
            let filter = EntitiesFilter { parent: Some(id), ..EntitiesFilter::default() };
            let below = entities::list(sql, admin, &totals, &filter, &start, ROWS)?;
            Ok((entities::one(sql, admin, &totals, id)?, below, totals.at))
        })
        .await?;
    let words = visit.words;
    let content = html! {
        (actions(&visit, &me, &entity))
        (numbers(&visit, &entity, at))
        @if !below.rows.is_empty() || entity.row.children > 0 {
            h2 { (words.directly_below()) }
            (list::rows::<Entities>(&visit, &me, words.directly_below(), &below))
            (paging_below(&visit, id, &below))
        }
        h2 { (words.details()) }
        (details(&visit, &entity))
    };
    let mut page = Framed::new(Section::Entities, entity.row.name.clone(), content).below("entities", words.entities());
    for (above, name) in &entity.path {
        page = page.below(format!("entities/{above}"), name.clone());
    }
    Ok(frame::page(&visit, &me, &page))
}

fn paging_below(visit: &Visit, id: i64, below: &Page<EntityRow>) -> Markup {
    let address = format!("entities?parent={id}");
    html! { @if below.next.is_some() { p { a href=(visit.link(&address)) { (visit.words.all_below()) } } } }
}

fn actions(visit: &Visit, me: &Me, entity: &Entity) -> Markup {
    let (words, id) = (visit.words, entity.row.id);
    let to = |address: String| visit.link(&address);
    html! {
        div.actions {
            @if me.may_change() {
                (parts::button_link(&to(format!("entities/{id}/edit")), words.edit(), Some("e")))
                (parts::button_link(&to(format!("new/entity?parent_id={id}")), words.new_entity(), None))
                (parts::button_link(&to(format!("new/pool?entity_id={id}")), words.new_pool(), None))
                (parts::button_link(&to(format!("new/user?entity_id={id}")), words.new_user(), None))
                (parts::button_link(&to(format!("new/credential?entity_id={id}")), words.new_credential(), None))
                (parts::button_link(&to(format!("offers/{id}")), if entity.has_offer { words.offer() } else { words.new_offer() }, None))
                (parts::button_link(&to(format!("entities/{id}/delete")), words.delete(), None))
            }
        }
        ul.links {
            li { a href=(to(filters::of_entity("pools", id))) { (words.pools()) } }
            li { a href=(to(filters::of_entity("users", id))) { (words.users()) } }
            li { a href=(to(filters::of_entity("credentials", id))) { (words.credentials()) } }
            li { a href=(to(filters::of_entity("refusals", id))) { (words.refusals()) } }
            li { a href=(to(filters::of_entity("history", id))) { (words.history()) } }
            li { a href=(to(format!("report/{id}"))) { (words.report()) } }
        }
    }
}

fn numbers(visit: &Visit, entity: &Entity, at: Timestamp) -> Markup {
    let (words, id) = (visit.words, entity.row.id);
    let columns = [
        Column::text(words.license_type()),
        Column::number(words.pools()),
        Column::number(words.seats_in_use()),
        Column::number(words.seats_free()),
        Column::number(words.in_use_expired()),
        Column::time(words.expires_first()),
    ];
    let row = |label: Markup, numbers: &Numbers| {
        vec![
            label,
            html! { (numbers.pools) },
            fullness(words, numbers.in_use, numbers.seats),
            html! { (numbers.free()) },
            html! { (numbers.in_use_expired) },
            time(numbers.expires_first),
        ]
    };
    let by_type = LicenseType::ALL.into_iter().zip(&entity.by_type).map(|(license_type, numbers)| {
        let address = format!("{}&type={license_type}", filters::of_entity("pools", id));
        row(html! { a href=(visit.link(&address)) { (license_type) } }, numbers)
    });
    let rows = by_type.chain([
        row(html! { (words.all_types()) }, &entity.row.all),
        row(html! { (words.own_pools()) }, &entity.row.own),
    ]);
    html! {
        h2 { (words.seats_with_below()) }
        (parts::table(words.seats_with_below(), &columns, rows))
        p.soft { (words.as_of_time(&time_text(at))) }
    }
}

fn details(visit: &Visit, entity: &Entity) -> Markup {
    let (words, row) = (visit.words, &entity.row);
    facts([
        (words.id(), html! { (row.id) }),
        (words.active(), parts::yes_no(words, row.active)),
        (words.owner_name(), user_or_none(row.owner_name.as_deref())),
        (words.owner_description(), user_or_none(entity.owner_description.as_deref())),
        (words.serial_nr(), user_or_none(entity.serial_nr.as_deref())),
        // As text: a typed address is not safe as a link.
        (words.shop_url(), user_or_none(entity.shop_url.as_deref())),
        (words.next_check_at(), time(entity.dates.next_check)),
        (words.maintenance_at(), time(entity.dates.maintenance)),
        (words.admin_warning_at(), time(entity.dates.admin_warning)),
        (words.license_expires_at(), time(entity.dates.expires)),
        (words.grace_at(), time(entity.dates.grace)),
        (words.customer_nr(), user_or_none(row.customer_nr.as_deref())),
        (words.note(), html! { @if let Some(note) = &entity.note { (user(note)) } }),
    ])
}
