//! TLS to the server, with rustls: the trusted authorities, and the verification of names.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::net::tls::Verified;

/// How the server's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verification {
    /// Not at all: `sslmode=disable`, `prefer` and `require`. Encryption keeps eavesdroppers out, but another machine can pose as
    /// the server.
    None,
    /// It must be signed by one of the authorities in the file: `verify-ca`.
    Authority(PathBuf),
    /// The same, and it must have the name of the host: `verify-full`.
    Name(PathBuf),
}

impl Verification {
    /// Interprets `sslmode` and `sslrootcert` of a URL.
    pub(super) fn of(mode: Option<&str>, root: Option<PathBuf>) -> Result<(SslMode, Verification), String> {
        let root_of = |mode: &str| match &root {
            Some(path) if path != Path::new("system") => Ok(path.clone()),
            _ => Err(format!(
                "sslmode={mode} needs sslrootcert=FILE, the certificates of the authorities that are trusted, as PEM; the system's \
                 are used only if that file is named, on Debian /etc/ssl/certs/ca-certificates.crt"
            )),
        };
        let (ssl_mode, verification) = match mode {
            Some("disable") => (SslMode::Disable, Verification::None),
            None | Some("prefer" | "allow") => (SslMode::Prefer, Verification::None),
            // Like libpq, which does so for compatibility.
            Some("require") => (SslMode::Require, root.clone().map_or(Verification::None, Verification::Authority)),
            Some("verify-ca") => (SslMode::Require, Verification::Authority(root_of("verify-ca")?)),
            Some("verify-full") => (SslMode::Require, Verification::Name(root_of("verify-full")?)),
            Some(other) => {
                return Err(format!(
                    "sslmode={other} is unknown: use disable, prefer, require, verify-ca or verify-full"
                ));
            }
        };
        // Report an unreadable file now rather than at the first connection.
        verification.roots()?;
        Ok((ssl_mode, verification))
    }

    fn roots(&self) -> Result<Option<RootCertStore>, String> {
        let path = match self {
            Verification::None => return Ok(None),
            Verification::Authority(path) | Verification::Name(path) => path,
        };
        let failed = |why: &dyn std::fmt::Display| format!("sslrootcert {}: {why}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        if roots.is_empty() {
            return Err(failed(&"there is no certificate in the file"));
        }
        Ok(Some(roots))
    }

    /// Makes the connector for TLS. Reads the file again, so that the next connection uses a renewed file.
    pub(super) fn connector(&self) -> Result<Tls, String> {
        let verified = match (self, self.roots()?) {
            (_, None) => Verified::Nothing,
            (Verification::Name(_), Some(roots)) => Verified::Name(roots),
            (_, Some(roots)) => Verified::Authority(roots),
        };
        Ok(Tls { config: Arc::new(crate::net::tls::client(verified)?) })
    }
}

/// Makes TLS connections for the driver.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        // A socket has no name and no TLS, so no handshake reports this error.
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other);
        Ok(Handshake { connector: TlsConnector::from(Arc::clone(&self.config)), name })
    }
}

pub(super) struct Handshake {
    connector: TlsConnector,
    name: io::Result<ServerName<'static>>,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Stream(self.connector.connect(self.name?, stream).await?)) })
    }
}

/// A connection with TLS.
pub(super) struct Stream<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    /// None: channel binding is not supported.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
