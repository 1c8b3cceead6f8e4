//! Forms: fields with labels, hints and errors, and filters of lists.

use maud::{Markup, html};

use super::filters;
use super::query::Query;
use super::words::Words;

/// How a field is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    Text,
    Number,
    /// UTC, as the database has it.
    Time,
    Area,
    /// A table pasted in.
    Csv,
    File,
    Password,
    Check,
    /// Values and what they are called.
    Choice(Vec<(String, String)>),
    /// Not shown: what the form is about.
    Hidden,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) hint: Option<String>,
    pub(super) control: Control,
    pub(super) required: bool,
}

impl Field {
    pub(super) fn new(name: &'static str, label: impl Into<String>, control: Control) -> Field {
        Field { name, label: label.into(), hint: None, control, required: false }
    }

    pub(super) fn text(name: &'static str, label: impl Into<String>) -> Field {
        Field::new(name, label, Control::Text)
    }

    pub(super) fn hidden(name: &'static str) -> Field {
        Field::new(name, "", Control::Hidden)
    }

    pub(super) fn required(self) -> Field {
        Field { required: true, ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Field {
        Field { hint: Some(hint.into()), ..self }
    }
}

/// The errors of a form: of a field, or of the whole form.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors {
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) whole: Vec<String>,
}

impl Errors {
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.whole.is_empty()
    }

    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, error)| error.as_str())
    }

    pub(super) fn add(&mut self, name: &'static str, error: impl Into<String>) {
        self.fields.push((name, error.into()));
    }
}

/// The first field with an invalid value. A list without that filter would show, and export, rows that the address does not ask for.
pub(super) fn invalid<'f>(fields: &'f [Field], query: &Query) -> Option<&'f Field> {
    let is_invalid = |field: &Field, value: &str| match &field.control {
        Control::Number => value.parse::<i64>().is_err(),
        Control::Time => filters::moment(value).is_none(),
        Control::Choice(choices) => !choices.iter().any(|(own, _)| own == value),
        _ => false,
    };
    let has_invalid =
        |field: &Field| query.all(field.name).map(str::trim).any(|v| !v.is_empty() && is_invalid(field, v));
    fields.iter().find(|field| has_invalid(field))
}

/// The errors above a form; each leads to its field.
pub(super) fn summary(words: Words, errors: &Errors, fields: &[Field]) -> Markup {
    let label = |name: &str| {
        fields.iter().find(|field| field.name == name).map_or(name.to_owned(), |field| field.label.clone())
    };
    html! {
        @if !errors.is_empty() {
            div.note.bad role="alert" tabindex="-1" {
                h2 { (words.not_done()) }
                ul {
                    @for error in &errors.whole { li { bdi { (error) } } }
                    @for (name, error) in &errors.fields { li { a href={ "#f-" (name) } { (label(name)) } ": " bdi { (error) } } }
                }
            }
        }
    }
}

/// A field with its label, and what is wrong with it.
pub(super) fn field(words: Words, field: &Field, value: &str, error: Option<&str>) -> Markup {
    let id = format!("f-{}", field.name);
    let hint_id = format!("{id}-hint");
    let error_id = format!("{id}-error");
    let described: Vec<&str> = [field.hint.as_ref().map(|_| hint_id.as_str()), error.map(|_| error_id.as_str())]
        .into_iter()
        .flatten()
        .collect();
    let described = (!described.is_empty()).then(|| described.join(" "));
    let (invalid, required) = (error.map(|_| "true"), field.required);
    let name = field.name;
    let input = |kind: &str, mode: Option<&str>, placeholder: Option<&str>| {
        html! {
            input #(id) name=(name) type=(kind) value=(value) dir=[(kind == "text" && mode.is_none()).then_some("auto")] inputmode=[mode] placeholder=[placeholder]
                autocomplete=(if kind == "password" { "new-password" } else { "off" }) required[required] aria-invalid=[invalid] aria-describedby=[described.as_deref()];
        }
    };
    let control = match &field.control {
        Control::Hidden => return html! { input type="hidden" name=(name) value=(value); },
        Control::Check => {
            return html! {
                div.field {
                    div.check {
                        input #(id) name=(name) type="checkbox" value="1" checked[!value.trim().is_empty()] aria-invalid=[invalid] aria-describedby=[described.as_deref()];
                        label for=(id) { (field.label) }
                    }
                    (hints(field, &hint_id, error, &error_id))
                }
            };
        }
        Control::Text => input("text", None, None),
        Control::Number => input("text", Some("numeric"), None),
        Control::Time => input("text", None, Some("2027-01-31T00:00:00Z")),
        Control::Password => html! {
            input #(id) name=(name) type="password" autocomplete="new-password" required[required] aria-invalid=[invalid] aria-describedby=[described.as_deref()];
        },
        Control::File => html! {
            input #(id) name=(name) type="file" accept=".csv,.txt,text/csv,text/plain" aria-invalid=[invalid] aria-describedby=[described.as_deref()];
        },
        Control::Area => html! {
            // A browser drops the first line break inside the element.
            textarea #(id) name=(name) dir="auto" required[required] aria-invalid=[invalid] aria-describedby=[described.as_deref()] { "\n" (value) }
        },
        Control::Csv => html! {
            textarea.csv #(id) name=(name) spellcheck="false" aria-invalid=[invalid] aria-describedby=[described.as_deref()] { "\n" (value) }
        },
        Control::Choice(options) => html! {
            select #(id) name=(name) required[required] aria-invalid=[invalid] aria-describedby=[described.as_deref()] {
                @for (option, label) in options { option value=(option) selected[option == value] { (label) } }
            }
        },
    };
    html! {
        div.field {
            label for=(id) { (field.label) @if required { " " span.soft { "(" (words.required()) ")" } } }
            (control)
            (hints(field, &hint_id, error, &error_id))
        }
    }
}

fn hints(field: &Field, hint_id: &str, error: Option<&str>, error_id: &str) -> Markup {
    html! {
        @if let Some(hint) = &field.hint { p.hint #(hint_id) { (hint) } }
        @if let Some(error) = error { p.error #(error_id) { bdi { (error) } } }
    }
}

/// All fields of a form with their values.
pub(super) fn fields(words: Words, fields: &[Field], values: &Query, errors: &Errors) -> Markup {
    html! {
        @for one in fields { (field(words, one, values.raw(one.name).unwrap_or_default(), errors.of(one.name))) }
    }
}

/// The filters of a list: a form that leads to the same page. `action`: the page's own address.
pub(super) fn filters(words: Words, action: &str, fields: &[Field], query: &Query) -> Markup {
    asking(words, action, (words.filters(), words.filter()), fields, query)
}

/// The same, with a name for the form and for its button.
pub(super) fn asking(
    words: Words,
    action: &str,
    (label, button): (&str, &str),
    fields: &[Field],
    query: &Query,
) -> Markup {
    html! {
        form.filters method="get" action=(action) role="search" aria-label=(label) {
            @for field in fields {
                @let value = query.raw(field.name).unwrap_or_default();
                @match &field.control {
                    Control::Check => label.check { input type="checkbox" name=(field.name) value="1" checked[query.flag(field.name)]; (field.label) },
                    Control::Choice(options) => label {
                        (field.label)
                        select name=(field.name) { @for (option, label) in options { option value=(option) selected[option == value] { (label) } } }
                    },
                    Control::Hidden => input type="hidden" name=(field.name) value=(value);,
                    Control::Number => label { (field.label) input name=(field.name) value=(value) inputmode="numeric" autocomplete="off"; },
                    Control::Time => label { (field.label) input name=(field.name) value=(value) placeholder="2027-01-31" autocomplete="off"; },
                    _ => label { (field.label) input name=(field.name) value=(value) dir="auto" autocomplete="off"; },
                }
            }
            button type="submit" { (button) }
            @if fields.iter().any(|field| query.get(field.name).is_some()) { a href=(action) { (words.no_filter()) } }
        }
    }
}
