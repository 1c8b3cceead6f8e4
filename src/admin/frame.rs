//! The frame around every page: the heading with the search field, the navigation, the content, and where else to go.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::{Markup, html as markup};

use super::assets;
use super::events::credential_address;
use super::visit::{Me, Visit};
use super::words::Words;
use crate::http::html;

/// Where a page belongs in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Home,
    Entities,
    Pools,
    Users,
    Credentials,
    Offers,
    Refusals,
    History,
    Explain,
    Import,
    Keys,
    /// None of them.
    Other,
}

impl Section {
    /// In the order of the navigation, with the key that follows `g`.
    pub(super) const ALL: [(Section, &'static str, &'static str); 10] = [
        (Section::Home, "", "h"),
        (Section::Entities, "entities", "e"),
        (Section::Pools, "pools", "p"),
        (Section::Users, "users", "u"),
        (Section::Credentials, "credentials", "c"),
        (Section::Offers, "offers", "o"),
        (Section::Refusals, "refusals", "r"),
        (Section::History, "history", "y"),
        (Section::Explain, "explain", "w"),
        (Section::Import, "import", "i"),
    ];

    pub(super) fn label(self, words: Words) -> &'static str {
        match self {
            Section::Home => words.home(),
            Section::Entities => words.entities(),
            Section::Pools => words.pools(),
            Section::Users => words.users(),
            Section::Credentials => words.credentials(),
            Section::Offers => words.offers(),
            Section::Refusals => words.refusals(),
            Section::History => words.history(),
            Section::Explain => words.explain(),
            Section::Import => words.import(),
            Section::Keys => words.keys(),
            Section::Other => "",
        }
    }
}

/// The content of a page, and what the frame says about it.
pub(super) struct Page {
    pub(super) section: Section,
    /// The heading.
    pub(super) title: String,
    /// From the section down to the page: addresses below the root of the pages, and names. The page itself is not in it.
    pub(super) path: Vec<(String, String)>,
    pub(super) content: Markup,
}

impl Page {
    pub(super) fn new(section: Section, title: impl Into<String>, content: Markup) -> Page {
        Page { section, title: title.into(), path: Vec::new(), content }
    }

    pub(super) fn below(mut self, address: impl Into<String>, name: impl Into<String>) -> Page {
        self.path.push((address.into(), name.into()));
        self
    }
}

/// A page for a caller that is signed in.
pub(super) fn page(visit: &Visit, me: &Me, page: &Page) -> Response {
    page_with(visit, me, StatusCode::OK, page)
}

pub(super) fn page_with(visit: &Visit, me: &Me, status: StatusCode, page: &Page) -> Response {
    let (words, root) = (visit.words, visit.root.as_str());
    let body = markup! {
        header {
            a.product href={ (root) } { "Seatkeeper" }
            form method="get" action={ (root) "search" } role="search" aria-label=(words.search()) {
                input #q name="q" type="search" aria-label=(words.search()) placeholder=(words.search_hint()) value=(visit.searched()) dir="auto" autocomplete="off";
                button type="submit" { (words.search()) }
            }
            div.me {
                span { (words.signed_in_as()) " " a href={ (root) (credential_address(&me.name)) } { bdi { (me.name) } } " (" (words.role_name(me.role.name())) ")" }
                form method="post" action={ (root) "sign-out" } {
                    (visit.token())
                    button.plain type="submit" { (words.sign_out()) }
                }
            }
        }
        nav.main aria-label=(words.main_navigation()) {
            ul {
                @for (section, address, key) in Section::ALL {
                    @if section != Section::Import || me.may_change() {
                        li {
                            a href={ (root) (address) } data-key={ "g " (key) } aria-current=[(section == page.section).then_some("page")] { (section.label(words)) }
                        }
                    }
                }
            }
        }
        main #content tabindex="-1" {
            @if !page.path.is_empty() {
                nav aria-label=(words.you_are_here()) {
                    ol.path { @for (address, name) in &page.path { li { a href={ (root) (address) } { bdi { (name) } } } } }
                }
            }
            h1 { bdi { (page.title) } }
            (page.content)
        }
        footer {
            a href={ (root) "help/keys" } data-key="?" aria-current=[(page.section == Section::Keys).then_some("page")] { (words.keys()) }
            a href={ (root) (visit.elsewhere().operations) } { (words.operations()) }
            a href={ (root) (visit.elsewhere().license) } { (words.license_service()) }
            a href={ (root) (visit.elsewhere().open_api) } { (words.open_api()) }
            span { (words.utc()) }
        }
    };
    document(visit, status, &page.title, body)
}

/// A page for a caller that is not signed in.
pub(super) fn outside(visit: &Visit, status: StatusCode, title: &str, content: Markup) -> Response {
    let (words, root) = (visit.words, visit.root.as_str());
    let body = markup! {
        header { a.product href={ (root) } { "Seatkeeper" } }
        main.narrow #content tabindex="-1" {
            h1 { (title) }
            (content)
        }
        footer {
            a href={ (root) (visit.elsewhere().operations) } { (words.operations()) }
            a href={ (root) (visit.elsewhere().license) } { (words.license_service()) }
            a href={ (root) (visit.elsewhere().open_api) } { (words.open_api()) }
        }
    };
    document(visit, status, title, body)
}

fn document(visit: &Visit, status: StatusCode, title: &str, body: Markup) -> Response {
    let (words, root, version) = (visit.words, visit.root.as_str(), assets::VERSION.as_str());
    let page = html::Page {
        language: words.tag(),
        title: &format!("{title} – Seatkeeper"),
        styles: &[&format!("{root}assets/admin.css?v={version}")],
        scripts: &[&format!("{root}assets/admin.js?v={version}")],
        head: markup! {
            meta name="color-scheme" content="light dark";
            link rel="icon" type="image/svg+xml" href={ (root) "assets/icon.svg?v=" (version) };
        },
        body: markup! {
            a.skip href="#content" { (words.skip_to_content()) }
            (body)
        },
    };
    let mut response = page.response();
    *response.status_mut() = status;
    secure(&mut response, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// The headers of every response of the pages: nothing is kept by caches, nothing runs but our own script, no other site may frame it.
pub(super) fn secure(response: &mut Response, content_type: HeaderValue) {
    const HEADERS: [(HeaderName, HeaderValue); 7] = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            ),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // For browsers that do not know frame-ancestors.
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
}

/// The same for a file to be saved, which has its Content-Type.
pub(super) fn secure_file(response: &mut Response) {
    let file = response.headers().get(header::CONTENT_TYPE).cloned();
    secure(response, file.unwrap_or(HeaderValue::from_static("application/octet-stream")));
}
