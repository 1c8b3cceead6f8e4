//! Every address of the pages. Paths are in lower case, as requests come here.

use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};

use super::credentials::Credentials;
use super::entities::Entities;
use super::history::History;
use super::list::{self, List};
use super::offers::Offers;
use super::pools::Pools;
use super::refusals::Refusals;
use super::users::Users;
use super::visit::{Shared, action, form, long_form, outside_action, outside_form, view};
use super::{
    assets, credentials, edits, entities, explain, history, home, import, keys, pools, report, search, seats, secrets,
    sign_in, users,
};
use crate::http::site::Site;

pub(crate) use super::visit::Elsewhere;

/// First segments of the addresses below. A prefix that begins with one would hide them.
pub(crate) const FIRST_SEGMENTS: [&str; 22] = [
    "assets",
    "sign-in",
    "sign-out",
    "sign-out-everywhere",
    "first-admin",
    "entities",
    "pools",
    "users",
    "credentials",
    "credential",
    "offers",
    "refusals",
    "history",
    "search",
    "explain",
    "import",
    "report",
    "release",
    "leave",
    "assign",
    "new",
    "help",
];

/// The routes of the pages. `elsewhere`: addresses of the other surfaces, which the pages link to. `enroll`: whether an assignment enrolls a
/// user name that is not known.
pub(crate) fn router(elsewhere: Elsewhere, enroll: bool) -> Router<Arc<Site>> {
    let shared = Shared { elsewhere: Arc::new(elsewhere), totals: Arc::default(), enroll };
    let router = Router::new()
        .route("/", view(home::page))
        .route("/search", view(search::page))
        .route("/explain", view(explain::page))
        .route("/help/keys", view(keys::page))
        .route("/entities/{id}", view(entities::one))
        .route("/pools/{id}", view(pools::one))
        .route("/users/{id}", view(users::one))
        .route("/credential", view(credentials::one))
        .route("/history/as-of", view(history::as_of))
        .route("/history/{request}", view(history::receipt))
        .route("/report/{entity}", view(report::page));
    let router = listed::<Entities>(router);
    let router = listed::<Pools>(router);
    let router = listed::<Users>(router);
    let router = listed::<Credentials>(router);
    let router = listed::<Offers>(router);
    let router = listed::<Refusals>(router);
    let router = listed::<History>(router);
    changes(sessions(assets(router))).layer(Extension(shared))
}

/// A list and its files.
fn listed<L: List>(router: Router<Arc<Site>>) -> Router<Arc<Site>> {
    let name = L::NAME;
    router
        .route(&format!("/{name}"), view(list::page::<L>))
        .route(&format!("/{name}.csv"), view(list::csv::<L>))
        .route(&format!("/{name}.json"), view(list::json::<L>))
}

fn assets(router: Router<Arc<Site>>) -> Router<Arc<Site>> {
    router
        .route("/assets/admin.css", get(assets::style))
        .route("/assets/admin.js", get(assets::script))
        .route("/assets/icon.svg", get(assets::icon))
}

fn sessions(router: Router<Arc<Site>>) -> Router<Arc<Site>> {
    router
        .route("/sign-in", view(sign_in::show).merge(outside_action(sign_in::sign_in)))
        .route("/sign-in/{secret}", outside_form(sign_in::signed_in_link))
        .route("/first-admin/{secret}", outside_form(sign_in::first_admin))
        .route("/sign-out", action(sign_in::sign_out))
        .route("/sign-out-everywhere", action(sign_in::sign_out_everywhere))
}

fn changes(router: Router<Arc<Site>>) -> Router<Arc<Site>> {
    router
        .route("/new/entity", form(edits::new_entity))
        .route("/new/pool", form(edits::new_pool))
        .route("/new/user", form(edits::new_user))
        .route("/new/credential", form(secrets::new_credential))
        .route("/new/offer", view(edits::new_offer))
        .route("/entities/{id}/edit", form(edits::entity))
        .route("/entities/{id}/delete", form(edits::delete_entity))
        .route("/pools/{id}/edit", form(edits::pool))
        .route("/pools/{id}/resize", form(seats::resize))
        .route("/pools/{id}/delete", form(edits::delete_pool))
        .route("/pools/{id}/release", form(seats::release_matching))
        .route("/users/{id}/edit", form(edits::user))
        .route("/users/{id}/assign", form(seats::assign))
        .route("/users/{id}/transfer", form(seats::transfer))
        .route("/users/{id}/leave", form(seats::leave))
        .route("/users/{id}/release", form(seats::release_user))
        .route("/assign", form(seats::assign_by_name))
        .route("/release", form(seats::release))
        .route("/leave", form(seats::leave_many))
        .route("/credential/edit", form(secrets::credential))
        .route("/credential/rotate", form(secrets::rotate))
        .route("/credential/end", form(secrets::end))
        .route("/credential/delete", form(secrets::delete))
        .route("/offers/{id}", form(edits::offer))
        .route("/offers/{id}/delete", form(edits::withdraw_offer))
        .route("/history/{request}/undo", form(history::undo))
        .route("/import/{file}", view(import::rows))
        .route("/import", long_form(import::page, import::BYTES_MAX))
}
