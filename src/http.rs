//! HTTP: [`serve`], for the program and the tests; connections, bodies and addresses with their limits; and the parts that the
//! surfaces share: a request as handlers see it, SOAP over HTTP, pages. No module here knows a surface.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod body;
mod connection;
mod dispatch;
pub(crate) mod forwarded;
pub(crate) mod health;
pub(crate) mod html;
mod intake;
mod limits;
mod places;
pub(crate) mod site;
pub(crate) mod soap_binding;
mod timeouts;
pub mod tls;

pub use address::PathPrefix;
pub use connection::{DESCRIPTORS, Listener, Shutdown, serve};
pub use dispatch::Routes;
pub(crate) use dispatch::is_host;
pub use forwarded::TrustedProxies;
pub(crate) use intake::close;
pub(crate) use limits::RETRY_SECONDS;
pub use limits::{Limits, LiveLimits};
