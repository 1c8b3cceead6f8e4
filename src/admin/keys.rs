//! The list of keys.

use std::sync::Arc;

use maud::{Markup, html};

use super::frame::{self, Page, Section};
use super::parts::{self, Column};
use super::visit::{Answer, Visit};

pub(super) async fn page(visit: Arc<Visit>) -> Answer {
    let (me, ()) = visit.look(|_, _| Ok(())).await?;
    let words = visit.words;
    let key = |name: &str| html! { kbd { (name) } };
    let mut rows: Vec<Vec<Markup>> = vec![
        vec![key("?"), html! { (words.key_help()) }],
        vec![key("/"), html! { (words.key_search()) }],
        vec![key("j"), html! { (words.key_down()) }],
        vec![key("k"), html! { (words.key_up()) }],
        vec![key("x"), html! { (words.key_tick()) }],
        vec![key("Enter"), html! { (words.key_open()) }],
        vec![key("n"), html! { (words.key_next()) }],
        vec![key("e"), html! { (words.key_edit()) }],
    ];
    rows.extend(Section::ALL.into_iter().filter(|(section, ..)| *section != Section::Import || me.may_change()).map(
        |(section, _, letter)| {
            vec![html! { (key("g")) " " (key(letter)) }, html! { (words.key_go(section.label(words))) }]
        },
    ));
    let content = html! {
        p { (words.keys_intro()) }
        div #keys-switch data-off=(words.keys_off()) data-on=(words.keys_on()) {}
        (parts::table(words.keys(), &[Column::text(words.key()), Column::text(words.key_does())], rows))
    };
    Ok(frame::page(&visit, &me, &Page::new(Section::Keys, words.keys(), content)))
}
