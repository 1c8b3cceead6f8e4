//! Certificates for tests, made with openssl in a directory of their own; and a client that speaks TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use seatkeeper::http::tls::Files;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::harness::*;
use crate::validator::INSTALL;

/// An authority, and certificates by it.
pub struct Authority {
    directory: TempDir,
}

/// As arguments of openssl.
pub const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

const EXTENSIONS: &str = "[req]
distinguished_name = dn
prompt = no
[dn]
CN = test
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,DNS:licenses.example.com,IP:127.0.0.1
[nameless]
basicConstraints = critical,CA:FALSE
";

impl Authority {
    pub fn new() -> Authority {
        let authority = Authority { directory: TempDir::new() };
        std::fs::write(authority.join("openssl.cnf"), EXTENSIONS).expect("a file");
        let own = ["-x509", "-extensions", "ca", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30"];
        authority.openssl(&[&["req", "-config", "openssl.cnf", "-subj", "/CN=An authority"], P256, &own].concat());
        authority
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The file that clients trust.
    pub fn root(&self) -> PathBuf {
        self.join("ca.pem")
    }

    /// `NAME.pem` and `NAME.key`, for localhost and licenses.example.com, valid for so many days from now.
    pub fn issue(&self, name: &str, days: i32) -> Files {
        self.issue_with(name, days, P256, "leaf")
    }

    /// The same with a key of this kind and the extensions of this section.
    pub fn issue_with(&self, name: &str, days: i32, kind: &[&str], extensions: &str) -> Files {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let asked = ["-nodes", "-keyout", &key, "-out", &request, "-subj", "/CN=a service"];
        self.openssl(&[&["req", "-config", "openssl.cnf"], kind, &asked].concat());
        let (days, serial) = (days.to_string(), format!("0x{}", uuid::Uuid::new_v4().simple()));
        let by = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", &serial];
        let with = ["-extfile", "openssl.cnf", "-extensions", extensions, "-days", &days, "-out", &certificate];
        self.openssl(&[&by[..], &with].concat());
        Files { certificate: self.join(&certificate), key: self.join(&key) }
    }

    /// Runs openssl in the directory.
    #[track_caller]
    pub fn openssl(&self, arguments: &[&str]) {
        let done = Command::new("openssl").args(arguments).current_dir(self.join("")).output();
        let done = done.unwrap_or_else(|e| panic!("openssl: {e}. {INSTALL}"));
        assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A connection to `localhost` that trusts this authority only.
    pub fn connect(&self, address: SocketAddr) -> TlsClient {
        TlsClient::handshake(stream(address), &[&TLS13, &TLS12], &self.root()).expect("a handshake")
    }

    pub fn try_connect(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<TlsClient> {
        TlsClient::handshake(stream(address), versions, &self.root())
    }
}

fn stream(address: SocketAddr) -> TcpStream {
    Client::to(address).0
}

/// A connection with TLS that is kept.
pub struct TlsClient(pub StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    fn handshake(
        mut socket: TcpStream,
        versions: &[&'static SupportedProtocolVersion],
        root: &Path,
    ) -> io::Result<TlsClient> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).expect("the authority")).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // As browsers do.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(TlsClient(StreamOwned::new(session, socket)))
    }

    pub fn version(&self) -> ProtocolVersion {
        self.0.conn.protocol_version().expect("negotiated")
    }

    pub fn protocol(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    /// The certificate of the service, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }

    pub fn send(&mut self, request: &[u8]) -> Answer {
        self.0.write_all(request).expect("the service reads");
        self.receive().expect("an answer")
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// `None`: the connection ended before an answer was complete.
    pub fn receive(&mut self) -> Option<Answer> {
        received(&mut self.0)
    }

    /// Waits until the service ends the connection: whether it said so (`close_notify`), as opposed to a connection that is cut.
    pub fn ends_properly(&mut self) -> bool {
        loop {
            match self.0.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// The certificate in a PEM file, in DER.
pub fn der(file: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(file).expect("a certificate").to_vec()
}
