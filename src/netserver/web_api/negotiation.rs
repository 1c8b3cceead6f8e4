//! The media type of an answer: RFC 9110 §12.5.1, except that JSON is sent if nothing matches. The vendor's service also answers
//! clients that misspell their Accept header.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{MEDIA_TYPES, is_xml};

/// A media type that answers can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format(&'static str);

impl Format {
    pub(super) fn is_xml(self) -> bool {
        is_xml(self.0)
    }

    pub(super) fn respond(self, status: StatusCode, text: String) -> Response {
        (status, [(header::CONTENT_TYPE, format!("{}; charset=utf-8", self.0))], text).into_response()
    }
}

impl Default for Format {
    fn default() -> Self {
        Format(MEDIA_TYPES[0])
    }
}

/// The media type of [`MEDIA_TYPES`] that the client prefers.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let mut best = None;
    for format in MEDIA_TYPES.map(Format) {
        let Some(wish) = wish(&ranges, format) else { continue };
        if wish.quality > 0 && best.is_none_or(|(_, known): (Format, Wish)| wish > known) {
            best = Some((format, wish));
        }
    }
    best.map_or_else(Format::default, |(format, _)| format)
}

/// The greater is preferred: by quality, then a named type over one that a star includes, then the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    /// In thousandths.
    quality: u16,
    precision: u8,
    before: std::cmp::Reverse<usize>,
}

/// The quality of a type. If several ranges include it, the most precise one counts.
fn wish(ranges: &[Range], format: Format) -> Option<Wish> {
    let fitting = ranges.iter().enumerate().filter_map(|(index, range)| {
        let precision = range.precision(format)?;
        Some(Wish { quality: range.quality, precision, before: std::cmp::Reverse(index) })
    });
    fitting.max_by_key(|wish| (wish.precision, wish.before))
}

struct Range {
    media_type: String,
    quality: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let mut parts = text.split(';');
        let media_type = parts.next()?.trim().to_ascii_lowercase();
        let mut quality = 1000;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name.trim().eq_ignore_ascii_case("q") {
                // A value that is not a number is ignored.
                let number = value.trim().parse::<f32>().ok().filter(|q| !q.is_nan());
                quality = number.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16);
            }
        }
        media_type.contains('/').then_some(Range { media_type, quality })
    }

    fn precision(&self, format: Format) -> Option<u8> {
        let (kind, _) = format.0.split_once('/')?;
        match self.media_type.as_str() {
            "*/*" => Some(0),
            range if range.strip_suffix("/*") == Some(kind) => Some(1),
            range => (range == format.0).then_some(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_best_of_what_there_is() {
        for (accept, expected) in [
            (&[][..], "application/json"),
            (&["*/*"], "application/json"),
            (&["application/*"], "application/json"),
            (&["text/*"], "text/json"),
            (&["application/xml"], "application/xml"),
            (&["text/xml, application/json"], "text/xml"),
            (&["text/xml;q=0.5, application/json;q=0.9"], "application/json"),
            (&["text/xml;q=0.9, */*;q=0.1"], "text/xml"),
            (&["text/xml", "application/xml;q=0.9"], "text/xml"),
            (&["application/json;q=0, */*"], "text/json"),
            (&["application/xml;q=0"], "application/json"),
            (&["*/*, application/xml"], "application/xml"),
            (&["aplication/json"], "application/json"),
            (&["text/html, application/xhtml+xml"], "application/json"),
            (&["application/merge-patch+json; charset=utf-8"], "application/merge-patch+json"),
            (&["TEXT/XML; Q=1.0"], "text/xml"),
            (&["text/xml;q=abc"], "text/xml"),
            (&["text/xml;q=NaN"], "text/xml"),
            (&[",;,/"], "application/json"),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(format(&headers).0, expected, "{accept:?}");
        }
    }
}
