//! Credentials: the list, and one credential with its use.

use std::sync::Arc;

use maud::{Markup, html};

use super::events::credential_address;
use super::filters;
use super::form::{Control, Field};
use super::frame::{self, Page as Framed, Section};
use super::list::{List, choice};
use super::parts::{self, Column, facts, time, user_link, user_or_none};
use super::query::Query;
use super::visit::{Answer, Me, Stopped, Visit};
use super::words::Words;
use crate::store::admin::credentials::{self, CredentialFilter, CredentialRow};
use crate::store::admin::totals::TotalsCache;
use crate::store::admin::{Admin, Page, Sql, Start, Stop};

pub(super) struct Credentials;

impl List for Credentials {
    type Filter = CredentialFilter;
    type Row = CredentialRow;

    const NAME: &'static str = "credentials";
    const SECTION: Section = Section::Credentials;

    fn title(words: Words) -> &'static str {
        words.credentials()
    }

    fn fields(words: Words) -> Vec<Field> {
        let [entity, below] = filters::entity_fields(words);
        vec![
            Field::text("name", words.name_begins()),
            Field::text("text", words.name_or_note()),
            entity,
            below,
            choice("role", words.role(), words.any(), filters::ROLES.map(|role| (role.name(), role.name().to_owned()))),
            filters::yes_no_field(words, "active", words.active()),
            Field::new("failing", words.failing(), Control::Check),
            Field::new("unused", words.unused_since(), Control::Time),
        ]
    }

    fn filter(query: &Query) -> CredentialFilter {
        CredentialFilter {
            entity: filters::entity(query),
            starts_with: query.get("name").map(str::to_owned),
            text: query.get("text").map(str::to_owned),
            role: query.get("role").and_then(|role| role.parse().ok()),
            active: filters::yes_no(query, "active"),
            failing: query.flag("failing"),
            unused_since: filters::time(query, "unused"),
        }
    }

    fn read(
        sql: &dyn Sql,
        admin: &Admin,
        _: &TotalsCache,
        filter: &CredentialFilter,
        start: Start,
        rows: usize,
    ) -> Result<Page<CredentialRow>, Stop> {
        credentials::list(sql, admin, filter, &start, rows)
    }

    fn columns(words: Words) -> Vec<Column> {
        vec![
            Column::text(words.user_name()),
            Column::text(words.entity()),
            Column::text(words.role()),
            Column::text(words.active()),
            Column::time(words.last_used()),
            Column::text(words.last_address()),
            Column::number(words.failures()),
            Column::time(words.last_failure()),
            Column::number(words.tickets()),
            Column::number(words.sessions()),
            Column::text(words.note()),
        ]
    }

    fn row(visit: &Visit, _: &Me, row: &CredentialRow) -> Vec<Markup> {
        let words = visit.words;
        vec![
            user_link(&visit.link(&credential_address(&row.user_name)), &row.user_name),
            user_link(&visit.link(&format!("entities/{}", row.entity_id)), &row.entity_name),
            html! { (row.role.name()) },
            parts::yes_no(words, row.active),
            time(row.last_used_at),
            user_or_none(row.last_address.as_deref()),
            html! { @if row.failures > 0 { span.warn { (row.failures) } } @else { "0" } },
            time(row.last_failure_at),
            html! { (row.tickets) },
            html! { (row.sessions) },
            user_or_none(row.note.as_deref()),
        ]
    }

    fn actions(visit: &Visit, me: &Me) -> Markup {
        html! {
            @if me.may_change() {
                @let entity = Query::default().with("entity_id", visit.query.text("entity")).url();
                div.actions { (parts::button_link(&visit.link(&format!("new/credential{entity}")), visit.words.new_credential(), None)) }
            }
        }
    }
}

/// The credential that the query of the address names.
pub(super) fn named(visit: &Visit) -> Result<String, Stopped> {
    visit.query.raw("name").filter(|name| !name.is_empty()).map(str::to_owned).ok_or(Stopped::NotFound)
}

pub(super) async fn one(visit: Arc<Visit>) -> Answer {
    let name = named(&visit)?;
    let (me, row) = visit.look(move |sql, admin| credentials::one(sql, admin, &name)).await?;
    let words = visit.words;
    let content = html! {
        (actions(&visit, &me, &row))
        (facts([
            (words.entity(), user_link(&visit.link(&format!("entities/{}", row.entity_id)), &row.entity_name)),
            (words.role(), html! { (row.role.name()) }),
            (words.active(), parts::yes_no(words, row.active)),
            (words.note(), user_or_none(row.note.as_deref())),
        ]))
        h2 { (words.sign_ins()) }
        (facts([
            (words.last_used(), time(row.last_used_at)),
            (words.last_address(), user_or_none(row.last_address.as_deref())),
            (words.failures(), html! { (row.failures) }),
            (words.last_failure(), time(row.last_failure_at)),
            (words.last_failure_address(), user_or_none(row.last_failure_address.as_deref())),
            (words.tickets(), html! { (row.tickets) }),
            (words.sessions(), html! { (row.sessions) }),
        ]))
        @if row.user_name.eq_ignore_ascii_case(&me.name) {
            form method="post" action=(visit.link("sign-out-everywhere")) {
                (visit.token())
                button type="submit" { (words.sign_out_everywhere()) }
            }
        }
    };
    let page =
        Framed::new(Section::Credentials, row.user_name.clone(), content).below("credentials", words.credentials());
    Ok(frame::page(&visit, &me, &page))
}

fn actions(visit: &Visit, me: &Me, row: &CredentialRow) -> Markup {
    let words = visit.words;
    let name = Query::default().with("name", &row.user_name).url();
    let by = Query::default().with("actor", &row.user_name).url();
    html! {
        div.actions {
            @if me.may_change() {
                (parts::button_link(&visit.link(&format!("credential/rotate{name}")), words.rotate(), None))
                @if row.tickets + row.sessions > 0 {
                    form method="post" action=(visit.link(&format!("credential/end{name}"))) {
                        (visit.token())
                        button type="submit" { (words.end_tickets()) }
                    }
                }
                (parts::button_link(&visit.link(&format!("credential/edit{name}")), words.edit(), Some("e")))
                (parts::button_link(&visit.link(&format!("credential/delete{name}")), words.delete(), None))
            }
            a href=(visit.link(&format!("history{by}"))) { (words.what_it_changed()) }
            a href=(visit.link(&format!("refusals{by}"))) { (words.refusals()) }
        }
    }
}
