//! Rows made, changed and deleted by a form: entities, pools, users, offers. Credentials are in [`super::secrets`], because of their
//! passwords.

use std::sync::Arc;

use jiff::Timestamp;
use maud::html;

use super::change::{self, Plan};
use super::form::{Control, Errors, Field};
use super::frame::Section;
use super::parts::time_text;
use super::query::Query;
use super::rows;
use super::visit::{Answer, Stopped, Visit};
use crate::license::PerType;
use crate::seats::{LicenseType, Role};
use crate::store::admin::edit::{self, Edit, Key, OfferRequest, Table, set_offer};
use crate::store::admin::entities::{self, Entity};
use crate::store::admin::{offers, pools, users};

const ENTITY: &[&str] = &[
    "name",
    "parent_id",
    "active",
    "owner_name",
    "owner_description",
    "serial_nr",
    "shop_url",
    "next_check_at",
    "maintenance_at",
    "admin_warning_at",
    "expires_at",
    "grace_at",
    "customer_nr",
    "note",
];
const NEW_ENTITY: &[&str] = &[
    "name",
    "parent_id",
    "id",
    "owner_name",
    "owner_description",
    "serial_nr",
    "shop_url",
    "next_check_at",
    "maintenance_at",
    "admin_warning_at",
    "expires_at",
    "grace_at",
    "customer_nr",
    "note",
];
const POOL: &[&str] = &["starts_at", "expires_at", "product_key", "note"];
const NEW_POOL: &[&str] =
    &["entity_id", "license_type", "seats_total", "starts_at", "expires_at", "product_key", "note", "id"];
const USER: &[&str] = &["username", "entity_id", "active", "note"];
const NEW_USER: &[&str] = &["username", "entity_id", "note"];
const OFFER: &[&str] =
    &["company_name", "serial_nr", "next_check_at", "maintenance_at", "admin_warning_at", "expires_at", "grace_at"];

/// A row that is made.
async fn make(visit: &Visit, plan: Plan, table: Table, columns: &'static [&'static str]) -> Answer {
    let words = visit.words;
    if visit.form.is_none() {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        // An address may say what to begin with.
        return Ok(plan.form(visit, &me, &visit.query, &Errors::default()));
    }
    let read = |sent: &Query| rows::values(words, table, columns, sent).map(|values| Edit::Insert { table, values });
    Ok(change::receipt(visit, change::step(visit, &plan, read, edit::apply).await?))
}

pub(super) async fn new_entity(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let plan = Plan::new(Section::Entities, words.new_entity(), rows::fields(words, Table::Entity, NEW_ENTITY))
        .below("entities", words.entities());
    make(&visit, plan, Table::Entity, NEW_ENTITY).await
}

pub(super) async fn new_pool(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let plan = Plan::new(Section::Pools, words.new_pool(), rows::fields(words, Table::Pool, NEW_POOL))
        .below("pools", words.pools());
    make(&visit, plan, Table::Pool, NEW_POOL).await
}

pub(super) async fn new_user(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let plan = Plan::new(Section::Users, words.new_user(), rows::fields(words, Table::Account, NEW_USER))
        .below("users", words.users());
    make(&visit, plan, Table::Account, NEW_USER).await
}

/// A row that is changed. The form has what the row was, so a change by another administrator meanwhile is noticed.
pub(super) async fn change_row(
    visit: &Visit,
    plan: Plan,
    table: Table,
    key: Key,
    columns: &'static [&'static str],
) -> Answer {
    let words = visit.words;
    let read = |sent: &Query| {
        let after = rows::values(words, table, columns, sent)?;
        Ok(Edit::Update { table, key, before: rows::before(table, sent)?, after })
    };
    Ok(change::receipt(visit, change::step(visit, &plan, read, edit::apply).await?))
}

fn when(at: Option<Timestamp>) -> Option<String> {
    at.map(time_text)
}

fn flag(flag: bool) -> Option<String> {
    Some(u8::from(flag).to_string())
}

async fn entity_of(visit: &Visit, id: i64) -> Result<(super::visit::Me, Entity), Stopped> {
    let totals = visit.totals();
    visit.look_as(Role::Admin, move |sql, admin| entities::one(sql, admin, &*totals.get(sql, admin.now)?, id)).await
}

pub(super) async fn entity(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let id = visit.id(1)?;
    let (me, entity) = entity_of(&visit, id).await?;
    let name = &entity.row.name;
    let plan = Plan::new(Section::Entities, words.edit_of(name), rows::fields(words, Table::Entity, ENTITY))
        .below("entities", words.entities())
        .below(format!("entities/{id}"), name.clone());
    if visit.form.is_some() {
        return change_row(&visit, plan, Table::Entity, Key::Id(id), ENTITY).await;
    }
    let (row, dates) = (&entity.row, &entity.dates);
    let values = rows::shown(vec![
        ("name", Some(row.name.clone())),
        ("parent_id", row.parent_id.map(|id| id.to_string())),
        ("active", flag(row.active)),
        ("owner_name", row.owner_name.clone()),
        ("owner_description", entity.owner_description.clone()),
        ("serial_nr", entity.serial_nr.clone()),
        ("shop_url", entity.shop_url.clone()),
        ("next_check_at", when(dates.next_check)),
        ("maintenance_at", when(dates.maintenance)),
        ("admin_warning_at", when(dates.admin_warning)),
        ("expires_at", when(dates.expires)),
        ("grace_at", when(dates.grace)),
        ("customer_nr", row.customer_nr.clone()),
        ("note", entity.note.clone()),
    ]);
    Ok(plan.form(&visit, &me, &values, &Errors::default()))
}

pub(super) async fn pool(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let id = visit.id(1)?;
    let (me, row) = visit.look_as(Role::Admin, move |sql, admin| pools::one(sql, admin, id)).await?;
    let title = words.pool_title(id, row.license_type.name());
    let plan = Plan::new(Section::Pools, words.edit_of(&title), rows::fields(words, Table::Pool, POOL))
        .below("pools", words.pools())
        .below(format!("pools/{id}"), title);
    if visit.form.is_some() {
        return change_row(&visit, plan, Table::Pool, Key::Id(id), POOL).await;
    }
    let values = rows::shown(vec![
        ("starts_at", when(row.starts_at)),
        ("expires_at", when(row.expires_at)),
        ("product_key", row.product_key.clone()),
        ("note", row.note.clone()),
    ]);
    Ok(plan.form(&visit, &me, &values, &Errors::default()))
}

pub(super) async fn user(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let id = visit.id(1)?;
    let (me, row) = visit.look_as(Role::Admin, move |sql, admin| users::one(sql, admin, id)).await?;
    let plan = Plan::new(Section::Users, words.edit_of(&row.username), rows::fields(words, Table::Account, USER))
        .below("users", words.users())
        .below(format!("users/{id}"), row.username.clone());
    if visit.form.is_some() {
        return change_row(&visit, plan, Table::Account, Key::Id(id), USER).await;
    }
    let values = rows::shown(vec![
        ("username", Some(row.username.clone())),
        ("entity_id", Some(row.entity_id.to_string())),
        ("active", flag(row.active)),
        ("note", row.note.clone()),
    ]);
    Ok(plan.form(&visit, &me, &values, &Errors::default()))
}

/// A row that is deleted: its button leads to the preview at once.
pub(super) async fn delete(visit: &Visit, plan: Plan, table: Table, key: Key) -> Answer {
    let words = visit.words;
    let plan = plan.intro(html! { p { (words.delete_intro()) } });
    if visit.form.is_none() {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        return Ok(plan.form(visit, &me, &Query::default(), &Errors::default()));
    }
    let read = |_: &Query| Ok(Edit::Delete { table, key, before: Vec::new() });
    Ok(change::receipt(visit, change::step(visit, &plan, read, edit::apply).await?))
}

pub(super) async fn delete_entity(visit: Arc<Visit>) -> Answer {
    let id = visit.id(1)?;
    let (_, entity) = entity_of(&visit, id).await?;
    let plan = Plan::new(Section::Entities, visit.words.delete_of(&entity.row.name), Vec::new())
        .below("entities", visit.words.entities())
        .below(format!("entities/{id}"), entity.row.name.clone());
    delete(&visit, plan, Table::Entity, Key::Id(id)).await
}

pub(super) async fn delete_pool(visit: Arc<Visit>) -> Answer {
    let id = visit.id(1)?;
    let (_, row) = visit.look_as(Role::Admin, move |sql, admin| pools::one(sql, admin, id)).await?;
    let title = visit.words.pool_title(id, row.license_type.name());
    let plan = Plan::new(Section::Pools, visit.words.delete_of(&title), Vec::new())
        .below("pools", visit.words.pools())
        .below(format!("pools/{id}"), title);
    delete(&visit, plan, Table::Pool, Key::Id(id)).await
}

/// Chooses the entity of a new offer.
pub(super) async fn new_offer(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    if let Some(id) = visit.query.number::<i64>("entity") {
        return Ok(visit.redirect(&format!("offers/{id}")));
    }
    let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
    let content = html! {
        form.edit method="get" action=(visit.link("new/offer")) {
            (super::form::field(words, &Field::new("entity", words.entity(), Control::Number).required().hint(words.entity_id_hint()), "", None))
            div { button.main type="submit" { (words.continue_label()) } }
        }
    };
    let page = super::frame::Page::new(Section::Offers, words.new_offer(), content).below("offers", words.offers());
    Ok(super::frame::page(&visit, &me, &page))
}

/// Names of the fields for the seats of each type.
const SEATS: PerType<&str> = ["seats-SkraftDiskImageV5", "seats-SqlBackup", "seats-ExchangeBackup"];

/// Creates or changes the offer to an entity.
pub(super) async fn offer(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let id = visit.id(1)?;
    let totals = visit.totals();
    let (me, (entity, offer)) = visit
        .look_as(Role::Admin, move |sql, admin| {
            let totals = totals.get(sql, admin.now)?;
            let entity = entities::one(sql, admin, &totals, id)?;
            let offer = if entity.has_offer { Some(offers::one(sql, admin, id)?) } else { None };
            Ok((entity, offer))
        })
        .await?;
    let mut fields: Vec<Field> = LicenseType::ALL
        .map(|license_type| {
            let label = words.seats_of_type(license_type.name());
            Field::new(SEATS[license_type.index()], label, Control::Number).hint(words.offered_seats_hint())
        })
        .to_vec();
    fields.extend(rows::fields(words, Table::Offer, OFFER));
    let title = words.offer_for(&entity.row.name);
    let plan = Plan::new(Section::Offers, title, fields)
        .below("offers", words.offers())
        .below(format!("entities/{id}"), entity.row.name.clone())
        .intro(html! { p { (words.offer_intro()) } });
    if visit.form.is_none() {
        let mut values = Query::default();
        if let Some(offer) = &offer {
            for (license_type, seats) in &offer.modules {
                values = values.with(SEATS[license_type.index()], seats);
            }
            let dates = &offer.dates;
            for (name, value) in [
                ("company_name", offer.company_name.clone()),
                ("serial_nr", offer.serial_nr.clone()),
                ("next_check_at", when(dates.next_check)),
                ("maintenance_at", when(dates.maintenance)),
                ("admin_warning_at", when(dates.admin_warning)),
                ("expires_at", when(dates.expires)),
                ("grace_at", when(dates.grace)),
            ] {
                values = values.with(name, value.unwrap_or_default());
            }
        }
        return Ok(plan.form(&visit, &me, &values, &Errors::default()));
    }
    let read = |sent: &Query| {
        let mut errors = Errors::default();
        let mut modules: PerType<Option<i64>> = Default::default();
        let column = Table::OfferModule.column("seats_total");
        for (at, name) in SEATS.into_iter().enumerate().filter(|(_, name)| sent.get(name).is_some()) {
            match column.map(|column| column.parse(sent.text(name))) {
                Some(Ok(crate::store::admin::Value::Int(seats))) => modules[at] = Some(seats),
                Some(Err(refusal)) => errors.add(name, words.wrong_value(&refusal)),
                _ => {}
            }
        }
        let values = match rows::values(words, Table::Offer, OFFER, sent) {
            Ok(values) => values,
            Err(more) => {
                errors.fields.extend(more.fields);
                Vec::new()
            }
        };
        if errors.is_empty() { Ok(OfferRequest { entity_id: id, values, modules }) } else { Err(errors) }
    };
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, set_offer).await?))
}

pub(super) async fn withdraw_offer(visit: Arc<Visit>) -> Answer {
    let id = visit.id(1)?;
    let (_, row) = visit.look_as(Role::Admin, move |sql, admin| offers::one(sql, admin, id)).await?;
    let plan = Plan::new(Section::Offers, visit.words.withdraw(), Vec::new())
        .below("offers", visit.words.offers())
        .below(format!("entities/{id}"), row.entity_name);
    delete(&visit, plan, Table::Offer, Key::Id(id)).await
}
