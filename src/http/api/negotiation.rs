//! In which form an answer is written: RFC 9110 §12.5.1, except that JSON is sent where nothing matches. A client that
//! misspells its Accept header is served by the vendor's service too.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::Exchange;

/// A media type that answers can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form(&'static str);

/// The first is for those who have no wish.
const FORMS: [Form; 6] = [
    Form("application/json"),
    Form("text/json"),
    Form("application/xml"),
    Form("text/xml"),
    Form("application/json-patch+json"),
    Form("application/merge-patch+json"),
];

impl Form {
    pub(super) fn is_xml(self) -> bool {
        self.0.ends_with("/xml")
    }

    pub(super) fn respond(self, status: StatusCode, text: &str, exchange: &Exchange<'_>) -> Response {
        let content_type = format!("{}; charset=utf-8", self.0);
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], text.to_owned()).into_response();
        exchange.origin_headers(response.headers_mut());
        response
    }
}

/// What the client would like best of what there is.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let mut best = None;
    for form in FORMS {
        let Some(wish) = wish(&ranges, form) else { continue };
        if wish.quality > 0 && best.is_none_or(|(_, known): (Form, Wish)| wish > known) {
            best = Some((form, wish));
        }
    }
    best.map_or(FORMS[0], |(form, _)| form)
}

/// Better is greater: by quality, then by what was named rather than meant by a star, then by what was named first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    /// In thousandths.
    quality: u16,
    precision: u8,
    before: std::cmp::Reverse<usize>,
}

/// Of several ranges that a type is in, the most precise tells its quality.
fn wish(ranges: &[Range], form: Form) -> Option<Wish> {
    let fitting = ranges.iter().enumerate().filter_map(|(index, range)| {
        let precision = range.precision(form)?;
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
                // What is no number is as if it were not there.
                let number = value.trim().parse::<f32>().ok().filter(|q| !q.is_nan());
                quality = number.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16);
            }
        }
        media_type.contains('/').then_some(Range { media_type, quality })
    }

    fn precision(&self, form: Form) -> Option<u8> {
        let (kind, _) = form.0.split_once('/')?;
        match self.media_type.as_str() {
            "*/*" => Some(0),
            range if range.strip_suffix("/*") == Some(kind) => Some(1),
            range => (range == form.0).then_some(2),
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
            assert_eq!(form(&headers).0, expected, "{accept:?}");
        }
    }
}
