//! What a browser or a client generator gets with `GET` on the ASMX address.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::{App, TypedPath};
use crate::contract::asmx::CONTRACT;
use crate::contract::{help, wsdl};

pub(super) async fn asmx(
    State(app): State<Arc<App>>,
    Extension(TypedPath(path)): Extension<TypedPath>,
    ConnectInfo(local): ConnectInfo<super::LocalAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or(&local.0).to_owned();
    let base = app.public_url.clone().unwrap_or_else(|| format!("http://{host}"));
    let query = uri.query().unwrap_or_default();
    let (key, value) = query.split('&').next().and_then(|p| p.split_once('=')).unwrap_or((query, ""));
    match key.to_ascii_lowercase().as_str() {
        "wsdl" => xml(wsdl::render(&CONTRACT, &format!("{base}{path}"))),
        "disco" => xml(wsdl::render_disco(&CONTRACT, &format!("{base}{path}"))),
        "style" => ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], help::STYLE).into_response(),
        "op" => match CONTRACT.operation(value) {
            Some(operation) => {
                let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host);
                html(help::operation(&CONTRACT, operation, &path, host))
            }
            None => html(help::unknown_operation(&CONTRACT, value, &path)),
        },
        _ => html(help::overview(&CONTRACT, &path)),
    }
}

fn xml(document: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "private, max-age=0")], document)
        .into_response()
}

/// The pages need nothing but themselves and their style sheet.
const HTML_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=0")),
];

fn html(page: String) -> Response {
    (HTML_HEADERS, page).into_response()
}
