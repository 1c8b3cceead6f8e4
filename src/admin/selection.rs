//! Boxes in tables, and the button that releases the seats of those that are ticked.

use maud::{Markup, html};

use super::visit::Visit;
use super::words::Words;
use crate::store::admin::seats::Taken;

/// The name of the boxes.
pub(super) const SEAT: &str = "seat";

/// A box for a seat.
pub(super) fn seat_box(words: Words, taken: Taken, username: &str) -> Markup {
    ticked_box(words, taken, username, false)
}

pub(super) fn ticked_box(words: Words, taken: Taken, username: &str, ticked: bool) -> Markup {
    let value = format!("{}.{}.{}", taken.pool_id, taken.seat_no, taken.account_id);
    html! { input type="checkbox" name=(SEAT) value=(value) checked[ticked] aria-label={ (words.select()) " " (username) }; }
}

/// A seat as a box has it, with the account that the caller saw in it.
pub(super) fn seat(value: &str) -> Option<Taken> {
    let mut numbers = value.split('.').map(|part| part.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    Some(Taken { pool_id: next()?, seat_no: next()?, account_id: next()? })
}

/// A form around a table with boxes.
pub(super) fn release_form(visit: &Visit, table: Markup) -> Markup {
    let words = visit.words;
    html! {
        form method="post" action=(visit.link("release")) {
            (visit.token())
            (table)
            div.actions {
                label hidden { input type="checkbox" data-all=(SEAT); " " (words.select_all()) }
                button type="submit" name="step" value="preview" { (words.release_selected()) }
            }
        }
    }
}

/// The name of the boxes of users.
pub(super) const USER: &str = "user";

pub(super) fn user_box(words: Words, id: i64, username: &str) -> Markup {
    html! { input type="checkbox" name=(USER) value=(id) aria-label={ (words.select()) " " (username) }; }
}

/// A form around a table of users: those that are ticked, or all that match the filters of the page, release what they hold and may get
/// nothing new.
pub(super) fn leave_form(visit: &Visit, table: Markup) -> Markup {
    let words = visit.words;
    let filters = visit.query.filled().without(&["after", "before", USER]);
    html! {
        form method="post" action=(visit.link("leave")) {
            (visit.token())
            input type="hidden" name="step" value="preview";
            @for (name, value) in filters.pairs() { input type="hidden" name=(name) value=(value); }
            (table)
            div.actions {
                label hidden { input type="checkbox" data-all=(USER); " " (words.select_all()) }
                button type="submit" { (words.release_of_selected()) }
                button type="submit" name="matching" value="1" { (words.release_of_matching()) }
                label { input type="checkbox" name="deactivate" value="1"; " " (words.make_inactive()) }
            }
        }
    }
}
