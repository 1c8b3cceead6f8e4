//! Pieces that pages are made of: tables, figures, facts, notes.

use jiff::Timestamp;
use maud::{Markup, Render, html};

use super::words::Words;

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) label: &'static str,
    class: Option<&'static str>,
}

impl Column {
    pub(super) const fn text(label: &'static str) -> Column {
        Column { label, class: None }
    }

    pub(super) const fn number(label: &'static str) -> Column {
        Column { label, class: Some("number") }
    }

    pub(super) const fn time(label: &'static str) -> Column {
        Column { label, class: Some("time") }
    }
}

/// A table in a region of its own that scrolls sideways where it is wider than the window, also by keyboard. The first cell of a row is
/// its heading. `label`: what the table lists, for people who do not see it.
pub(super) fn table(label: &str, columns: &[Column], rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" {
            table {
                thead { tr { @for column in columns { th scope="col" class=[column.class] { (column.label) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.into_iter().enumerate() {
                                @let class = columns.get(at).and_then(|column| column.class);
                                @if at == 0 { th scope="row" class=[class] { (cell) } } @else { td class=[class] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The same, or a sentence if there are no rows.
pub(super) fn table_or(empty: &str, label: &str, columns: &[Column], rows: Vec<Vec<Markup>>) -> Markup {
    if rows.is_empty() {
        html! { p.soft { (empty) } }
    } else {
        table(label, columns, rows)
    }
}

/// Text that users typed. Its direction is its own, so that it turns nothing around it.
pub(super) fn user(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// The same; nothing if there is none.
pub(super) fn user_or_none(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { (user(text)) } }
}

/// A link with the text of a user.
pub(super) fn user_link(address: &str, text: &str) -> Markup {
    html! { a href=(address) { bdi { (text) } } }
}

/// A moment in UTC, to the second.
pub(super) fn time(at: Option<Timestamp>) -> Markup {
    html! { @if let Some(at) = at { @let text = time_text(at); time datetime=(text) { (text) } } }
}

pub(super) fn time_text(at: Timestamp) -> String {
    format!("{at:.0}")
}

pub(super) fn yes_no(words: Words, flag: bool) -> Markup {
    html! { @if flag { (words.yes()) } @else { span.warn { (words.no()) } } }
}

/// How full something is, as a number and a bar.
pub(super) fn fullness(words: Words, in_use: i64, total: i64) -> Markup {
    let label = words.used_of_total(in_use, total);
    html! {
        (in_use) " / " (total)
        @if total > 0 {
            // Beyond 90 % it is colored; the numbers say it too.
            " " meter min="0" max=(total) low=(total * 9 / 10) high=(total.saturating_sub(1)) optimum="0" value=(in_use) aria-label=(label) { (label) }
        }
    }
}

/// Names and values of one thing.
pub(super) fn facts(rows: impl IntoIterator<Item = (&'static str, Markup)>) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows { dt { (name) } dd { @if value.0.is_empty() { span.soft { "–" } } @else { (value) } } }
        }
    }
}

/// A figure that leads to the list of what it counts.
pub(super) fn figure(label: impl Render, address: &str, value: impl Render, class: &str) -> Markup {
    html! { li { a href=(address) { (label) } strong class=(class) { (value) } } }
}

/// A remark that stands out. Its class is `good`, `warn` or `bad`; a bad one is read out at once.
pub(super) fn note(class: &str, content: impl Render) -> Markup {
    html! { div class={ "note " (class) } role=[(class == "bad").then_some("alert")] { (content) } }
}

/// A link that looks like a button. `key`: what opens it, if the script runs.
pub(super) fn button_link(address: &str, label: &str, key: Option<&str>) -> Markup {
    html! { a.button href=(address) data-key=[key] { (label) } }
}
