//! The sockets that the service listens on, and the certificate of the one that speaks TLS.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Failure;
use crate::http::tls::{Files, Tls, TlsError};
use crate::metrics::Metrics;

/// TLS with these files; `None`: the service speaks plain HTTP.
pub(super) fn open_tls(files: Option<&Files>, metrics: &Arc<Metrics>) -> Result<Option<Arc<Tls>>, TlsError> {
    files.map(|files| Tls::open(files, Arc::clone(metrics)).map(Arc::new)).transpose()
}

/// Scheme, host and port for links to the service at this address.
pub(super) fn base(tls: Option<&Tls>, address: SocketAddr) -> String {
    tls.map_or_else(|| format!("http://{address}"), |tls| tls.base(address))
}

/// Listens on an address. `place`: where the operator can change it, for the error.
pub(super) async fn listen(address: SocketAddr, place: &str) -> Result<TcpListener, Failure> {
    let listener = match TcpListener::bind(address).await {
        // The kernel has no IPv6: every address of the machine is an IPv4 address.
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.raw_os_error() == Some(AF_NOT_SUPPORTED) => {
            TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port())).await
        }
        listener => listener,
    };
    listener.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "Another program listens there: stop it, or choose another port with",
            ErrorKind::PermissionDenied => {
                "Ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or choose another port with"
            }
            ErrorKind::AddrNotAvailable => "This machine does not have that address: choose another with",
            _ => "Choose another address with",
        };
        format!("cannot listen on {address}: {error}. {advice} {place}.").into()
    })
}

/// EAFNOSUPPORT of Linux.
const AF_NOT_SUPPORTED: i32 = 97;
