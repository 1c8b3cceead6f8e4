//! One frame for all HTML pages: head, style and headers. With these headers a page can load only the service's own style sheets
//! and scripts, and no other page can embed it.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

/// A page, without the parts common to all pages.
pub(crate) struct Page<'p> {
    /// The language of the text: a tag of BCP 47.
    pub(crate) language: &'p str,
    pub(crate) title: &'p str,
    /// Addresses of style sheets.
    pub(crate) styles: &'p [&'p str],
    /// Addresses of scripts, which run after the page has been parsed.
    pub(crate) scripts: &'p [&'p str],
    /// More elements of `head`.
    pub(crate) head: Markup,
    /// The contents of `body`.
    pub(crate) body: Markup,
}

impl Page<'_> {
    /// The document.
    pub(crate) fn render(&self) -> String {
        html! {
            (DOCTYPE)
            html lang=(self.language) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    (self.head)
                    @for style in self.styles { link rel="stylesheet" href=(style); }
                    @for script in self.scripts { script src=(script) defer {} }
                }
                body { (self.body) }
            }
        }
        .into_string()
    }

    /// The page as a response with the status 200. Scripts are allowed only if the page has some.
    pub(crate) fn response(&self) -> Response {
        let policy = match self.scripts {
            [] => POLICY,
            _ => POLICY_WITH_SCRIPTS,
        };
        ([(header::CONTENT_SECURITY_POLICY, policy)], HEADERS, self.render()).into_response()
    }
}

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

const POLICY_WITH_SCRIPTS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=0")),
];

/// The style sheet of the pages that describe a SOAP service. It has an address of its own because the pages allow no
/// inline style.
pub(crate) fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("html.css")).into_response()
}

/// A description of a SOAP service.
pub(crate) fn xml(document: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "private, max-age=0")], document)
        .into_response()
}
