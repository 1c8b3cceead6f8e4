//! The changes of an event, as text for a table.

use serde_json::{Map, Value};

use crate::store::history::Event;

/// The most characters of a value that a table shows: license data can be long.
const VALUE_CHARS_MAX: usize = 60;

/// `seats_total: 3 -> 5`; for a new row `seats_total: 5`, for a deleted row `seats_total: 5 ->`.
pub(super) fn change(event: &Event) -> String {
    let object = |text: &Option<String>| -> Map<String, Value> {
        text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let (old, new) = (object(&event.old_values), object(&event.new_values));
    let is_creation = event.old_values.is_none();
    let only_old = old.keys().filter(|name| !new.contains_key(*name));
    let changes = new.keys().chain(only_old).map(|name| {
        let (old, new) = (shown(old.get(name)), shown(new.get(name)));
        let parts = if is_creation { ["", "", &new] } else { [old.as_str(), "->", &new] };
        let parts = parts.iter().filter(|part| !part.is_empty()).map(|part| format!(" {part}"));
        format!("{name}:{}", parts.collect::<String>())
    });
    changes.collect::<Vec<_>>().join(", ")
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
