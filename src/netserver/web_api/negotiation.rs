//! The media type of an answer: as the header Accept says, except that JSON is sent if nothing matches. The vendor's service also
//! answers clients that misspell that header.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{MEDIA_TYPES, is_xml};
use crate::http::accept;

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
    accept::preferred(headers, &MEDIA_TYPES).map_or_else(Format::default, |index| Format(MEDIA_TYPES[index]))
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
