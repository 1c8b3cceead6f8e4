//! Seats given, taken and moved by a form, and pools that get another number of seats.

use std::sync::Arc;

use maud::{Markup, html};

use super::change::{self, Plan};
use super::form::{self, Control, Errors, Field};
use super::frame::{self, Page, Section};
use super::list::List as _;
use super::parts::{self, Column, user};
use super::pools::{holder_fields, holder_filter};
use super::query::Query;
use super::selection::{self, SEAT};
use super::users::Users;
use super::visit::{Answer, Me, Visit};
use super::words::Words;
use crate::seats::{LicenseType, Role};
use crate::store::admin::holders::{self, HolderFilter, HolderRow};
use crate::store::admin::pools::{self, PoolRow};
use crate::store::admin::seats::{
    self, Assign, Leaver, LeaverSeats, RELEASES_MAX, Release, Resize, Shrink, Source, Taken, Transfer, Why, proposals,
};
use crate::store::admin::users::{self, UserFilter, UserRow};
use crate::store::admin::{Admin, AdminRefusal, ROWS_MAX, Sql, Start, Stop};

async fn user_of(visit: &Visit) -> Result<(Me, UserRow), super::visit::Stopped> {
    let id = visit.id(1)?;
    visit.look_as(Role::Admin, move |sql, admin| users::one(sql, admin, id)).await
}

fn plan_for(words: Words, user: &UserRow, title: String, fields: Vec<Field>) -> Plan {
    Plan::new(Section::Users, title, fields)
        .below("users", words.users())
        .below(format!("users/{}", user.id), user.username.clone())
}

fn type_field(words: Words, everything: bool) -> Field {
    let all = everything.then(|| (String::new(), words.everything().to_owned()));
    let types = LicenseType::ALL.map(|t| (t.name().to_owned(), t.name().to_owned()));
    let label = if everything { words.transfer_type() } else { words.license_type() };
    Field::new("type", label, Control::Choice(all.into_iter().chain(types).collect()))
}

/// A seat for a user that may be new.
pub(super) async fn assign_by_name(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let fields = vec![
        Field::text("user", words.user_name()).required(),
        Field::new("entity", words.entity(), Control::Number).hint(words.assign_entity_hint()),
        type_field(words, false),
        Field::new("pool", words.pool(), Control::Number).hint(words.assign_pool_hint()),
        Field::new("enroll", words.enroll(), Control::Check),
    ];
    let plan = Plan::new(Section::Users, words.assign(), fields).below("users", words.users());
    if visit.form.is_none() {
        let (me, ()) = visit.look_as(Role::Admin, |_, _| Ok(())).await?;
        return Ok(plan.form(&visit, &me, &visit.query.with("enroll", "1"), &Errors::default()));
    }
    let read = |sent: &Query| assignment(words, sent, required(words, sent, "user")?, sent.flag("enroll"));
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, seats::assign).await?))
}

/// From which entity, or which pool, a seat is to be taken.
fn assignment(words: Words, sent: &Query, username: String, enroll: bool) -> Result<Assign, Errors> {
    let source = match (sent.get("pool"), sent.get("entity")) {
        (Some(pool), _) => pool.parse().map(Source::Pool).map_err(|_| "pool"),
        (None, Some(entity)) => entity.parse().map(Source::Entity).map_err(|_| "entity"),
        (None, None) => Err("entity"),
    };
    // A pool has its own type.
    let license_type = sent.get("type").and_then(|name| name.parse().ok()).filter(|_| sent.get("pool").is_none());
    source.map(|source| Assign { username, source, license_type, enroll }).map_err(|name| {
        let mut errors = Errors::default();
        errors.add(name, words.not_a_number());
        errors
    })
}

/// A seat for a user.
pub(super) async fn assign(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let (me, user) = user_of(&visit).await?;
    let fields = vec![
        Field::new("entity", words.entity(), Control::Number).hint(words.assign_entity_hint()),
        type_field(words, false),
        Field::new("pool", words.pool(), Control::Number).hint(words.assign_pool_hint()),
    ];
    let plan = plan_for(words, &user, words.assign_of(&user.username), fields);
    if visit.form.is_none() {
        let values = Query::default().with("entity", user.entity_id).with("type", visit.query.text("type"));
        return Ok(plan.form(&visit, &me, &values, &Errors::default()));
    }
    let username = user.username.clone();
    let read = |sent: &Query| assignment(words, sent, username, false);
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, seats::assign).await?))
}

/// Seats of a user that another one gets.
pub(super) async fn transfer(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let (me, user) = user_of(&visit).await?;
    let fields = vec![
        Field::text("to", words.transfer_to()).required(),
        type_field(words, true),
        Field::new("enroll", words.enroll(), Control::Check),
    ];
    let plan = plan_for(words, &user, words.transfer_of(&user.username), fields);
    if visit.form.is_none() {
        return Ok(plan.form(&visit, &me, &visit.query, &Errors::default()));
    }
    let from = user.username.clone();
    let read = |sent: &Query| {
        let to = required(words, sent, "to")?;
        let license_type = sent.get("type").and_then(|name| name.parse().ok());
        Ok(Transfer { from, to, license_type, enroll: sent.flag("enroll") })
    };
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, seats::transfer).await?))
}

fn required(words: Words, sent: &Query, name: &'static str) -> Result<String, Errors> {
    sent.get(name).map(str::to_owned).ok_or_else(|| {
        let mut errors = Errors::default();
        errors.add(name, words.required());
        errors
    })
}

/// A user that leaves: its seats, and its account, in one change.
pub(super) async fn leave(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let (me, user) = user_of(&visit).await?;
    let fields = vec![
        Field::text("to", words.leaver_to()),
        Field::new("enroll", words.enroll(), Control::Check),
        Field::new("keep", words.keep_seats(), Control::Check),
        Field::new("deactivate", words.deactivate(), Control::Check),
    ];
    let plan =
        plan_for(words, &user, words.leaver_of(&user.username), fields).intro(html! { p { (words.leaver_intro()) } });
    if visit.form.is_none() {
        let values = Query::default().with("deactivate", "1");
        return Ok(plan.form(&visit, &me, &values, &Errors::default()));
    }
    let username = user.username.clone();
    let read = |sent: &Query| {
        let seats = match sent.get("to") {
            _ if sent.flag("keep") => LeaverSeats::Keep,
            Some(to) => LeaverSeats::TransferTo(to.to_owned()),
            None => LeaverSeats::Release,
        };
        Ok(Leaver { username, seats, deactivate: sent.flag("deactivate"), enroll: sent.flag("enroll") })
    };
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, seats::leave).await?))
}

/// Many users at once.
struct Leavers {
    of: Chosen,
    deactivate: bool,
}

enum Chosen {
    /// The ticked users.
    Selected(Vec<i64>),
    /// All that match the filters of the list.
    Matching(UserFilter),
}

/// Users that release what they hold, and get nothing new if that is asked for.
pub(super) async fn leave_many(visit: Arc<Visit>) -> Answer {
    // Back from the sign-in, without the selection.
    if visit.form.is_none() {
        return Ok(visit.redirect("users"));
    }
    let words = visit.words;
    visit.require_valid(&Users::fields(words))?;
    let plan = Plan::new(Section::Users, words.leave_title(), Vec::new()).below("users", words.users());
    let read = |sent: &Query| {
        let selected: Vec<i64> = sent.all(selection::USER).filter_map(|id| id.parse().ok()).collect();
        let of = match sent.flag("matching") {
            true => Chosen::Matching(Users::filter(sent)),
            false if selected.is_empty() => {
                return Err(Errors { whole: vec![words.nobody_selected().to_owned()], ..Errors::default() });
            }
            false => Chosen::Selected(selected),
        };
        Ok(Leavers { of, deactivate: sent.flag("deactivate") })
    };
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, leave_all).await?))
}

/// Users of one change at most.
const LEAVERS_MAX: usize = RELEASES_MAX;

fn leave_all(sql: &dyn Sql, admin: &Admin, request: &Leavers) -> Result<(), Stop> {
    let mut names = Vec::new();
    match &request.of {
        Chosen::Selected(ids) => {
            for id in ids {
                names.push(users::one(sql, admin, *id)?.username);
            }
        }
        Chosen::Matching(filter) => {
            let mut start = Start::First;
            loop {
                let page = users::list(sql, admin, filter, &start, ROWS_MAX)?;
                names.extend(page.rows.into_iter().map(|row| row.username));
                match page.next {
                    Some(next) if names.len() <= LEAVERS_MAX => start = Start::After(next),
                    _ => break,
                }
            }
        }
    }
    if names.len() > LEAVERS_MAX {
        return Err(AdminRefusal::TooMany { what: "users", max: LEAVERS_MAX as u64 }.into());
    }
    for username in names {
        let leaver = Leaver { username, seats: LeaverSeats::Release, deactivate: request.deactivate, enroll: false };
        match seats::leave(sql, admin, &leaver) {
            // One that holds nothing.
            Ok(_) | Err(Stop::Refused(AdminRefusal::Nothing)) => {}
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}

/// Everything that a user holds.
pub(super) async fn release_user(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let (_, user) = user_of(&visit).await?;
    let plan = plan_for(words, &user, words.release_title().to_owned(), Vec::new());
    let username = user.username.clone();
    let read = |_: &Query| Ok(Release::OfUser { username, license_type: None });
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, seats::release).await?))
}

/// Seats whose boxes are ticked.
pub(super) async fn release(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    // A sign-in leads back to the address, but not to what was ticked.
    let Some(sent) = visit.form.clone() else { return Ok(visit.redirect("pools")) };
    let chosen: Vec<Taken> = sent.all(SEAT).filter_map(selection::seat).collect();
    let mut plan = Plan::new(Section::Pools, words.release_title(), Vec::new()).below("pools", words.pools());
    if let Some(taken) = chosen.first() {
        plan = plan.below(format!("pools/{}", taken.pool_id), taken.pool_id.to_string());
    }
    let read = |_: &Query| Ok(Release::Seats(chosen));
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, seats::release).await?))
}

/// The seats of a pool whose holders match the filters of its page, all of them.
pub(super) async fn release_matching(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let id = visit.id(1)?;
    let Some(sent) = visit.form.clone() else { return Ok(visit.redirect(&format!("pools/{id}"))) };
    visit.require_valid(&holder_fields(words))?;
    let filter = holder_filter(&sent);
    let plan = Plan::new(Section::Pools, words.release_title(), Vec::new())
        .below("pools", words.pools())
        .below(format!("pools/{id}"), id.to_string());
    let step = change::step(&visit, &plan, |_| Ok((id, filter)), release_all).await?;
    Ok(change::receipt(&visit, step))
}

fn release_all(sql: &dyn Sql, admin: &Admin, (pool_id, filter): &(i64, HolderFilter)) -> Result<Vec<Taken>, Stop> {
    let mut seats = Vec::new();
    let mut start = Start::First;
    loop {
        let page = holders::list(sql, admin, *pool_id, filter, &start, ROWS_MAX)?;
        let taken = |row: &HolderRow| {
            let account_id = row.account.as_ref()?.id;
            Some(Taken { pool_id: *pool_id, seat_no: row.seat_no, account_id })
        };
        seats.extend(page.rows.iter().filter_map(taken));
        match page.next {
            // One more than may be released at a time is enough to be refused.
            Some(next) if seats.len() <= RELEASES_MAX => start = Start::After(next),
            _ => return seats::release(sql, admin, &Release::Seats(seats)),
        }
    }
}

/// Another number of seats for a pool. If fewer are wanted than are in use, the page asks whom to release, with proposals.
pub(super) async fn resize(visit: Arc<Visit>) -> Answer {
    let words = visit.words;
    let id = visit.id(1)?;
    let (me, pool) = visit.look_as(Role::Admin, move |sql, admin| pools::one(sql, admin, id)).await?;
    let field = Field::new("seats_total", words.seats_total(), Control::Number).required();
    let plan = Plan::new(Section::Pools, words.resize_of(id), vec![field, Field::hidden("before")])
        .below("pools", words.pools())
        .below(format!("pools/{id}"), words.pool_title(id, pool.license_type.name()))
        .intro(html! { p { (words.resize_intro(pool.seats_in_use)) } });
    let Some(sent) = visit.form.clone() else {
        // An address may say what is wanted.
        let wanted = visit.query.number("seats_total").unwrap_or(pool.seats_total);
        let values = Query::default().with("seats_total", wanted).with("before", pool.seats_total);
        return Ok(plan.form(&visit, &me, &values, &Errors::default()));
    };
    let release: Vec<Taken> = sent.all(SEAT).filter_map(selection::seat).filter(|taken| taken.pool_id == id).collect();
    let wanted = sent.number::<i64>("seats_total").filter(|seats| *seats >= 0);
    if let Some(seats_total) = wanted
        && sent.text("step") == "preview"
    {
        let (_, shrink) = visit.look_as(Role::Admin, move |sql, admin| proposals(sql, admin, id, seats_total)).await?;
        if i64::try_from(release.len()).is_ok_and(|chosen| chosen < shrink.excess) {
            return Ok(choose(&visit, &me, &pool, &shrink, &sent, &release));
        }
    }
    let read = |sent: &Query| {
        let seats_total = wanted.ok_or_else(|| {
            let mut errors = Errors::default();
            errors.add("seats_total", words.not_a_number());
            errors
        })?;
        Ok(Resize { pool_id: id, before: sent.number("before"), seats_total, release })
    };
    Ok(change::receipt(&visit, change::step(&visit, &plan, read, resize_in).await?))
}

fn resize_in(sql: &dyn Sql, admin: &Admin, request: &Resize) -> Result<(), Stop> {
    seats::resize(sql, admin, request).map(drop)
}

/// Asks whom to release. What is proposed is ticked, unless the caller has chosen already.
fn choose(
    visit: &Visit,
    me: &Me,
    pool: &PoolRow,
    shrink: &Shrink,
    sent: &Query,
    chosen: &[Taken],
) -> axum::response::Response {
    let words = visit.words;
    let columns = [
        Column::text(words.select()),
        Column::text(words.user()),
        Column::number(words.seat()),
        Column::time(words.since()),
        Column::text(words.proposal_reason()),
    ];
    let is_proposed = |at: usize| i64::try_from(at).is_ok_and(|at| at < shrink.excess);
    let rows = shrink.candidates.iter().enumerate().map(|(at, candidate)| {
        let taken = candidate.taken;
        let ticked = if chosen.is_empty() { is_proposed(at) } else { chosen.contains(&taken) };
        vec![
            selection::ticked_box(words, taken, &candidate.username, ticked),
            user(&candidate.username),
            html! { (taken.seat_no) },
            html! { @match &candidate.since { Some(at) => (at), None => span.soft { (words.unknown()) } } },
            html! {
                (match candidate.why {
                    Why::PoolExpired => words.why_pool_expired(),
                    Why::Inactive => words.why_inactive(),
                    Why::LongestHeld => words.why_longest(),
                })
            },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    let mut errors = Errors::default();
    if !chosen.is_empty() {
        errors.whole.push(words.chosen_first(shrink.excess));
    }
    let content = html! {
        (form::summary(words, &errors, &[]))
        p { (words.proposals(shrink.excess)) }
        @if shrink.own_data_lost > 0 { (parts::note("warn", html! { p { (words.own_data_lost(shrink.own_data_lost)) } })) }
        form method="post" {
            (visit.token())
            input type="hidden" name="seats_total" value=(shrink.seats_total);
            input type="hidden" name="before" value=(sent.text("before"));
            (parts::table(words.holders(), &columns, rows))
            div.actions {
                button.main type="submit" name="step" value="preview" { (words.preview()) }
                button type="submit" name="step" value="form" { (words.back_to_form()) }
                a href=(visit.link(&format!("pools/{}", pool.id))) { (words.cancel()) }
            }
        }
    };
    let page = Page::new(Section::Pools, words.resize_of(pool.id), content)
        .below("pools", words.pools())
        .below(format!("pools/{}", pool.id), words.pool_title(pool.id, pool.license_type.name()));
    frame::page(visit, me, &page)
}
