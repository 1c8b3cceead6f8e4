//! A request to the Web API, with what its parts mean.

use axum::http::request::Parts;

use super::negotiation::{self, Format};
use super::target;
use crate::http::Limits;
use crate::http::site::{Received, Site};
use crate::service::CallContext;

/// A request with everything needed to answer it.
pub(super) struct WebRequest {
    pub(super) received: Received,
    /// The media type that the client prefers for the answer.
    pub(super) format: Format,
    /// As [`target::segments`] has them.
    pub(super) segments: Vec<String>,
}

impl WebRequest {
    pub(super) fn new(received: Received) -> WebRequest {
        let segments = target::segments(&received.address, &received.parts.method);
        let format = negotiation::format(&received.parts.headers);
        WebRequest { received, format, segments }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.received.parts
    }

    pub(super) fn site(&self) -> &Site {
        &self.received.site
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.received.limits
    }

    pub(super) fn context(&self) -> &CallContext {
        &self.received.context
    }

    /// A parameter of the query; names compare without regard to case.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts().uri.query().unwrap_or_default();
        let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.into_owned())
    }
}
