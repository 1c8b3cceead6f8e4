//! The style sheet, the script and the icon of the pages. Their addresses name their content, so browsers keep them.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("admin.css");
const SCRIPT: &str = include_str!("admin.js");
const ICON: &str = include_str!("icon.svg");

/// Of what is served: the end of an asset's address.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    [STYLE, SCRIPT, ICON].iter().for_each(|asset| hash.update(asset));
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "public, max-age=604800, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // An icon that is opened as a page runs nothing.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'self'"),
    ];
    (headers, content).into_response()
}
