//! Users: the list, and one user with everything that it holds.

use std::sync::Arc;

use maud::{Markup, html};

use super::form::Field;
use super::frame::{self, Page as Framed, Section};
use super::list::{List, choice};
use super::parts::{self, Column, facts, time, user_link, user_or_none};
use super::query::Query;
use super::visit::{Answer, Me, Visit};
use super::words::Words;
use super::{filters, pools, selection};
use crate::seats::LicenseType;
use crate::store::admin::seats::Taken;
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::users::{self, HeldSeat, UserFilter, UserRow};
use crate::store::admin::{Admin, Page, Sql, Start, Stop};

pub(super) struct Users;

impl List for Users {
    type Filter = UserFilter;
    type Row = UserRow;

    const NAME: &'static str = "users";
    const SECTION: Section = Section::Users;

    fn title(words: Words) -> &'static str {
        words.users()
    }

    fn fields(words: Words) -> Vec<Field> {
        let [entity, below] = filters::entity_fields(words);
        vec![
            Field::text("name", words.name_begins()),
            Field::text("text", words.name_or_note()),
            entity,
            below,
            filters::yes_no_field(words, "active", words.active()),
            filters::yes_no_field(words, "holds", words.holds_a_seat()),
            choice("type", words.holds_type(), words.any(), LicenseType::ALL.map(|t| (t.name(), t.name().to_owned()))),
        ]
    }

    fn filter(query: &Query) -> UserFilter {
        UserFilter {
            entity: filters::entity(query),
            starts_with: query.get("name").map(str::to_owned),
            text: query.get("text").map(str::to_owned),
            active: filters::yes_no(query, "active"),
            holds: filters::yes_no(query, "holds"),
            holds_type: filters::license_type(query),
        }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        filter: &UserFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<UserRow>, Stop> {
        users::list(sql, admin, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::text(words.user_name()),
            Column::number(words.id()),
            Column::text(words.entity()),
            Column::text(words.holds()),
            Column::text(words.active()),
            Column::text(words.note()),
        ]
    }

    fn row(visit: &Visit, me: &Me, row: &UserRow) -> Vec<Markup> {
        vec![
            html! {
                @if me.may_change() { (selection::user_box(visit.words, row.id, &row.username)) " " }
                (user_link(&visit.link(&format!("users/{}", row.id)), &row.username))
            },
            html! { (row.id) },
            user_link(&visit.link(&format!("entities/{}", row.entity_id)), &row.entity_name),
            holds(visit, &row.held),
            parts::yes_no(visit.words, row.active),
            user_or_none(row.note.as_deref()),
        ]
    }

    fn around(visit: &Visit, me: &Me, table: Markup) -> Markup {
        if me.may_change() { selection::leave_form(visit, table) } else { table }
    }

    fn actions(visit: &Visit, me: &Me) -> Markup {
        html! {
            @if me.may_change() {
                @let entity = Query::default().with("entity_id", visit.query.text("entity")).url();
                div.actions { (parts::button_link(&visit.link(&format!("new/user{entity}")), visit.words.new_user(), None)) }
            }
        }
    }
}

fn holds(visit: &Visit, held: &[HeldSeat]) -> Markup {
    html! {
        @for (at, held) in held.iter().enumerate() {
            @if at > 0 { ", " }
            @match &held.seat {
                Some(seat) => a href=(visit.link(&format!("pools/{}", seat.pool_id))) { (held.license_type) },
                None => (held.license_type),
            }
        }
    }
}

pub(super) async fn one(visit: Arc<Visit>) -> Answer {
    let id = visit.id(1)?;
    let (me, user) = visit.look(move |sql, admin| users::one(sql, admin, id)).await?;
    let words = visit.words;
    let content = html! {
        (actions(&visit, &me, &user))
        (facts([
            (words.id(), html! { (user.id) }),
            (words.entity(), user_link(&visit.link(&format!("entities/{}", user.entity_id)), &user.entity_name)),
            (words.active(), parts::yes_no(words, user.active)),
            (words.note(), user_or_none(user.note.as_deref())),
        ]))
        h2 { (words.holds()) }
        (held_table(&visit, &me, &user))
    };
    let page = Framed::new(Section::Users, user.username.clone(), content).below("users", words.users());
    Ok(frame::page(&visit, &me, &page))
}

fn actions(visit: &Visit, me: &Me, user: &UserRow) -> Markup {
    let (words, id) = (visit.words, user.id);
    let to = |address: String| visit.link(&address);
    let history = format!("history{}", Query::default().with("user", &user.username).url());
    let why = format!("explain{}", Query::default().with("user", &user.username).with("entity", user.entity_id).url());
    html! {
        div.actions {
            @if me.may_change() {
                (parts::button_link(&to(format!("users/{id}/assign")), words.assign(), None))
                @if !user.held.is_empty() {
                    (parts::button_link(&to(format!("users/{id}/transfer")), words.transfer(), None))
                    form method="post" action=(to(format!("users/{id}/release"))) {
                        (visit.token())
                        button type="submit" name="step" value="preview" { (words.release_all()) }
                    }
                }
                (parts::button_link(&to(format!("users/{id}/leave")), words.leaver(), None))
                (parts::button_link(&to(format!("users/{id}/edit")), words.edit(), Some("e")))
            }
            a href=(to(history)) { (words.history()) }
            a href=(to(why)) { (words.explain()) }
        }
    }
}

fn held_table(visit: &Visit, me: &Me, user: &UserRow) -> Markup {
    let words = visit.words;
    let mut columns = vec![
        Column::text(words.license_type()),
        Column::text(words.pool()),
        Column::number(words.seat()),
        Column::text(words.entity()),
        Column::time(words.since()),
        Column::time(words.expires_at()),
    ];
    if me.may_change() {
        columns.push(Column::text(words.select()));
    }
    let row = |held: &HeldSeat| {
        let mut cells = vec![html! { (held.license_type) }];
        match &held.seat {
            Some(seat) => {
                cells.extend([
                    html! { a href=(visit.link(&format!("pools/{}", seat.pool_id))) { (seat.pool_id) } },
                    html! { (seat.seat_no) },
                    user_link(&visit.link(&format!("entities/{}", seat.entity_id)), &seat.entity_name),
                    html! { @if let Some(since) = &seat.since { (pools::since(words, since)) } },
                    html! { (time(seat.expires_at)) @if seat.is_expired { " " span.warn { (words.state_expired()) } } },
                ]);
                if me.may_change() {
                    let taken = Taken { pool_id: seat.pool_id, seat_no: seat.seat_no, account_id: user.id };
                    cells.push(selection::seat_box(words, taken, held.license_type.name()));
                }
            }
            None => {
                cells.push(html! { span.soft { (words.other_entity()) } });
                cells.extend(std::iter::repeat_n(html! {}, columns.len() - 2));
            }
        }
        cells
    };
    let rows: Vec<_> = user.held.iter().map(row).collect();
    let any = user.held.iter().any(|held| held.seat.is_some());
    let table = parts::table_or(words.holds_nothing(), words.holds(), &columns, rows);
    if me.may_change() && any { selection::release_form(visit, table) } else { table }
}
