//! The catalogue of the pages: every sentence has a name, an English and a German text, which stand side by side. A missing text does
//! not compile, and a sentence that no page uses is a warning.

use axum::http::{HeaderMap, header};

#[macro_use]
mod catalogue;
mod changes;
mod explain;
mod fields;
mod frame;
mod hints;
mod lists;
mod refusals;

/// The language of a page. Its methods are the sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    English,
    German,
}

impl Words {
    /// The language that the browser prefers (RFC 9110 §12.5.4); English if it prefers none that there is.
    pub(super) fn of(headers: &HeaderMap) -> Words {
        let values = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0, Words::English);
        for range in values.flat_map(|value| value.split(',')).take(RANGES_MAX) {
            let (tag, weight) = range.split_once(';').map_or((range, "q=1"), |(tag, weight)| (tag, weight));
            let language = match tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "de" => Words::German,
                "en" | "*" => Words::English,
                _ => continue,
            };
            let weight = thousandths(weight);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// As the attribute `lang` names it.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Words::English => "en",
            Words::German => "de",
        }
    }
}

/// Of a browser's list; it names a handful.
const RANGES_MAX: usize = 32;

/// A weight such as `q=0.8` in thousandths; an invalid one counts as 0.
fn thousandths(parameter: &str) -> u32 {
    let Some(value) = parameter.trim().strip_prefix("q=").or_else(|| parameter.trim().strip_prefix("Q=")) else {
        return 0;
    };
    let weight: f32 = value.trim().parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&weight) { (weight * 1000.0) as u32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_language_is_chosen() {
        for (accepted, tag) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("fr, de;q=0.3, en;q=0.4", "en"),
            ("fr, de;q=0.5, en;q=0.4", "de"),
            ("fr", "en"),
            ("de;q=0, en;q=0.1", "en"),
            ("DE ; q=0.7 , *;q=0.1", "de"),
            ("de;q=nonsense", "en"),
            ("*", "en"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().expect("a header"));
            assert_eq!(Words::of(&headers).tag(), tag, "{accepted}");
        }
        assert_eq!(Words::of(&HeaderMap::new()), Words::English);
    }
}
