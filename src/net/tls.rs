//! TLS as a client.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};

/// How the server's certificate is verified.
pub(crate) enum Verified {
    /// Not at all. Encryption keeps eavesdroppers out, but another machine can pose as the server.
    Nothing,
    /// It must be signed by one of these authorities.
    Authority(RootCertStore),
    /// The same, and it must have the name of the host.
    Name(RootCertStore),
}

/// Settings of a client for TLS 1.2 and 1.3.
pub(crate) fn client(verified: Verified) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let of_authorities = |roots| {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        verifier.build().map_err(|error| error.to_string())
    };
    let lenient = |authority| Arc::new(Lenient { provider: Arc::clone(&provider), authority });
    let verifier: Arc<dyn ServerCertVerifier> = match verified {
        Verified::Nothing => lenient(None),
        Verified::Authority(roots) => lenient(Some(of_authorities(roots)?)),
        Verified::Name(roots) => of_authorities(roots)?,
    };
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// A connection to this machine's own service, whose certificate is not verified: it has the names that clients know, and no address
/// of this machine.
pub(crate) fn to_own(
    address: SocketAddr,
    stream: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let config = client(Verified::Nothing)?;
    let connection = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()));
    Ok(StreamOwned::new(connection.map_err(|error| error.to_string())?, stream))
}

/// Verifies less than the name: the authority, or only that the server has the key of its certificate.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
