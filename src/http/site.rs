//! The state that the handlers of all surfaces share, and a request as they see it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use super::address::Address;
use super::limits::{Limits, LiveLimits};
use crate::service::{CallContext, Service};

/// The state that the handlers of all surfaces share.
pub(crate) struct Site {
    pub(crate) service: Arc<Service>,
    pub(crate) limits: LiveLimits,
    /// Scheme, host and port at which clients reach the service, if it differs from the Host that they send; no trailing slash.
    pub(crate) public_url: Option<String>,
}

/// Facts about a request that [`super::dispatch`] adds to its head.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) context: CallContext,
    pub(super) address: Address,
    /// Address and port that the client reached: used in responses if it sent no Host.
    pub(super) local: Arc<str>,
    /// `http` or `https`, as the connection is.
    pub(super) scheme: &'static str,
}

/// The head of a request as handlers see it, with the facts that [`super::dispatch`] added.
pub(crate) struct Received {
    pub(crate) site: Arc<Site>,
    /// The limits in force when it arrived.
    pub(crate) limits: Arc<Limits>,
    pub(crate) parts: Parts,
    /// Its peer is the client itself, if a trusted proxy names it.
    pub(crate) context: CallContext,
    /// The other end of the connection: the client, or a proxy.
    pub(crate) peer: IpAddr,
    pub(crate) address: Address,
    local: Arc<str>,
    scheme: &'static str,
}

/// A request with its body.
pub(crate) struct WithBody(pub(crate) Received, pub(crate) Body);

impl FromRequest<Arc<Site>> for WithBody {
    /// For a request that did not come through [`super::dispatch`], which does not occur.
    type Rejection = StatusCode;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<WithBody, StatusCode> {
        let (mut parts, body) = request.into_parts();
        let arrival = parts.extensions.remove::<Arrival>().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let Arrival { mut context, address, local, scheme } = arrival;
        let peer = context.peer;
        let limits = site.limits.now();
        if let Some(client) = limits.trusted_proxies.read(peer, &parts.headers).client {
            context.peer = client;
            context.trail.note(|facts| facts.client = Some(client));
        }
        Ok(WithBody(Received { site: Arc::clone(site), limits, parts, context, peer, address, local, scheme }, body))
    }
}

impl FromRequest<Arc<Site>> for Received {
    type Rejection = StatusCode;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Received, StatusCode> {
        WithBody::from_request(request, site).await.map(|WithBody(received, _)| received)
    }
}

impl Received {
    /// The beginning of every address in a response: the origin, and the prefix that the client used.
    pub(crate) fn base(&self) -> String {
        self.origin() + self.address.prefix()
    }

    /// Scheme, host and port that the client used: as configured, or else as a trusted proxy says, or as the client and its
    /// connection show.
    pub(crate) fn origin(&self) -> String {
        if let Some(url) = &self.site.public_url {
            return url.clone();
        }
        let said = self.limits.trusted_proxies.read(self.peer, &self.parts.headers);
        let host = self.parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
        let host = host.filter(|host| !host.is_empty()).map(str::to_owned);
        let local = || self.local.to_string();
        format!("{}://{}", said.scheme.as_deref().unwrap_or(self.scheme), said.host.or(host).unwrap_or_else(local))
    }
}
