//! Reads the files of a certificate. Whatever is wrong with one is reported with its name and the next step.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _, SectionKind};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The files of the service's certificate, both in PEM. They may be one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate of the service, and then its chain.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// A certificate or a key that cannot be used; says which file, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub(super) String);

/// A certificate that can be used, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its DNS names and IP addresses.
    pub names: Vec<String>,
    /// The end of its validity.
    pub until: Timestamp,
    /// What most clients will not like, in sentences.
    pub warnings: Vec<String>,
}

/// A certificate with its chain and its key.
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) certificate: Certificate,
    pub(super) warnings: Vec<String>,
}

/// Whether a file is still the one that was read: device, inode, size, and the times of its content and its inode. Links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<[i128; 5]>; 2]);

/// More than any chain needs.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Files {
    /// Reads and checks both files: their form, that the key belongs to the certificate, and that it is valid today.
    ///
    /// # Errors
    ///
    /// Names the file, says what is wrong with it and what to do.
    pub fn check(&self) -> Result<Checked, TlsError> {
        let Loaded { certificate, warnings, .. } = self.load()?;
        self.check_validity(&certificate, Timestamp::now())?;
        Ok(Checked { names: certificate.names, until: certificate.not_after, warnings })
    }

    pub(super) fn check_validity(&self, certificate: &Certificate, now: Timestamp) -> Result<(), TlsError> {
        let Certificate { not_before, not_after, .. } = certificate;
        if *not_after <= now {
            return Err(self.bad_certificate(&format!("expired at {not_after}: renew it")));
        }
        if *not_before > now {
            return Err(
                self.bad_certificate(&format!("is valid only from {not_before}: is the clock of this machine right?"))
            );
        }
        Ok(())
    }

    /// Reads both files. The certificate may have expired.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let text = read(&self.certificate).map_err(|why| self.bad_certificate(&why))?;
        let chain = chain(&text, &self.certificate).map_err(|why| self.bad_certificate(&why))?;
        let read_all = chain.iter().map(|der| Certificate::read(der)).collect::<Option<Vec<_>>>();
        let Some(certificates) = read_all.filter(|all| !all.is_empty()) else {
            return Err(
                self.bad_certificate("holds a certificate that cannot be read: get the file again from its authority")
            );
        };

        let text = read(&self.key).map_err(|why| self.bad_key(&why))?;
        let key = private_key(&text, &self.key).map_err(|why| self.bad_key(&why))?;
        let key = any_supported_type(&key).map_err(|_| {
            self.bad_key(
                "holds a key of a kind that is not supported: make one of RSA with 2048 to 4096 bits, ECDSA on P-256 or P-384, or \
                 Ed25519, and have the certificate issued for it",
            )
        })?;
        let public = key.public_key().map(|public| public.as_ref().to_vec()).unwrap_or_default();
        match certificates.iter().position(|certificate| certificate.public_key == public) {
            Some(0) => {}
            Some(at) => {
                return Err(self.bad_certificate(&format!(
                    "is in the wrong order: the key belongs to certificate {} of {}. Put the certificate of the service first, then \
                     that of its issuer, and so on",
                    at + 1,
                    certificates.len()
                )));
            }
            None => {
                return Err(self.bad_key(&format!(
                    "does not belong to the certificate in {}: one of the two files is older, or of another certificate",
                    self.certificate.display()
                )));
            }
        }
        let warnings = self.warnings(&certificates);
        let certificate = certificates.into_iter().next().expect("it is not empty");
        Ok(Loaded { key: Arc::new(CertifiedKey::new(chain, key)), certificate, warnings })
    }

    fn warnings(&self, certificates: &[Certificate]) -> Vec<String> {
        let mut warnings = Vec::new();
        if certificates[0].names.is_empty() {
            warnings.push(format!(
                "tls_certificate {}: it has no name in subjectAltName, so most clients refuse it",
                self.certificate.display()
            ));
        }
        let broken = certificates.windows(2).position(|pair| pair[0].issuer != pair[1].subject);
        if let Some(at) = broken {
            warnings.push(format!(
                "tls_certificate {}: certificate {} of the file has not issued the one before it, so some clients refuse the chain",
                self.certificate.display(),
                at + 2
            ));
        }
        warnings
    }

    /// Cheap: reads no content.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp([&self.certificate, &self.key].map(|path| {
            let found = fs::metadata(path).ok()?;
            let nanoseconds = |seconds: i64, more: i64| i128::from(seconds) * 1_000_000_000 + i128::from(more);
            Some([
                found.dev().into(),
                found.ino().into(),
                found.size().into(),
                nanoseconds(found.mtime(), found.mtime_nsec()),
                nanoseconds(found.ctime(), found.ctime_nsec()),
            ])
        }))
    }

    fn bad_certificate(&self, why: &str) -> TlsError {
        TlsError(format!("tls_certificate {}: {}", self.certificate.display(), sentence(why)))
    }

    fn bad_key(&self, why: &str) -> TlsError {
        TlsError(format!("tls_key {}: {}", self.key.display(), sentence(why)))
    }
}

/// Most reasons are about the file and begin with a verb.
fn sentence(why: &str) -> String {
    const VERBS: [&str; 5] = ["is ", "holds ", "does ", "expired ", "cannot "];
    if VERBS.iter().any(|verb| why.starts_with(verb)) { format!("it {why}") } else { why.to_owned() }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| {
        match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => {
            "the user of the service may not read it: give it to the service's group (chgrp, chmod 640), and let that group enter the \
             directories above it"
                .to_owned()
        }
        _ => error.to_string(),
    }
    };
    let found = fs::metadata(path).map_err(failed)?;
    // Reading a pipe or a device could wait for ever.
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is longer than {FILE_BYTES_MAX} bytes: it holds more than a certificate or a key"));
    }
    // Editors of Windows begin files with a mark.
    Ok(bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes))
}

fn chain(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = sections(text)?.into_iter().filter(|(kind, _)| *kind == SectionKind::Certificate);
    let chain: Vec<_> = chain.map(|(_, der)| CertificateDer::from(der)).collect();
    if !chain.is_empty() {
        return Ok(chain);
    }
    let file = path.display();
    Err(match Form::of(text) {
        Form::Empty => "is empty".to_owned(),
        Form::Archive => {
            format!("is a PKCS#12 archive, not PEM. Convert it: openssl pkcs12 -in {file} -nokeys -out {file}.pem")
        }
        Form::Der => format!("is in DER, not PEM. Convert it: openssl x509 -inform DER -in {file} -out {file}.pem"),
        Form::Pem(label) if label.ends_with("PRIVATE KEY") => {
            "holds a private key and no certificate: tls_certificate and tls_key may be exchanged".to_owned()
        }
        Form::Pem(label) if label == "PKCS7" => {
            format!("is in PKCS#7. Convert it: openssl pkcs7 -print_certs -in {file} -out {file}.pem")
        }
        Form::Pem(label) if label.ends_with("CERTIFICATE REQUEST") => {
            "holds a request for a certificate: name the file that the authority made of it".to_owned()
        }
        Form::Pem(label) => format!("holds no certificate, but: {label}"),
        Form::Other => "holds no certificate: a line -----BEGIN CERTIFICATE----- is missing".to_owned(),
    })
}

fn private_key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let file = path.display();
    let has = |needle: &[u8]| text.windows(needle.len()).any(|part| part == needle);
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "is encrypted, and the service cannot ask for the passphrase. Decrypt it: openssl pkey -in {file} -out {file}.plain, readable \
             by the service only"
        ));
    }
    let key = sections(text)?.into_iter().find_map(|(kind, der)| match kind {
        SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(der.into())),
        SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(der.into())),
        SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(der.into())),
        _ => None,
    });
    if let Some(key) = key {
        return Ok(key);
    }
    Err(match Form::of(text) {
        Form::Empty => "is empty".to_owned(),
        Form::Archive | Form::Der => format!(
            "is in DER or an archive, not PEM. Convert it: openssl pkey -inform DER -in {file} -out {file}.pem, or openssl pkcs12 -in {file} -nocerts -noenc -out {file}.pem"
        ),
        Form::Pem(label) if label.ends_with("CERTIFICATE") => {
            "holds a certificate and no private key: tls_certificate and tls_key may be exchanged".to_owned()
        }
        Form::Pem(label) if label == "OPENSSH PRIVATE KEY" => {
            format!(
                "is in the form of OpenSSH. Convert a copy of it (RSA and ECDSA only): ssh-keygen -p -N '' -m PEM -f {file}. For \
                 Ed25519 make a new key: openssl genpkey -algorithm ed25519"
            )
        }
        Form::Pem(label) => format!("holds no private key, but: {label}"),
        Form::Other => "holds no private key: a line -----BEGIN PRIVATE KEY----- is missing".to_owned(),
    })
}

/// All sections of a PEM file, those of unknown kinds excepted.
fn sections(text: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, String> {
    let all: Result<Vec<_>, PemError> = <(SectionKind, Vec<u8>)>::pem_slice_iter(text).collect();
    all.map_err(|error| {
        let why = match error {
            PemError::MissingSectionEnd { .. } => "its last line is missing".to_owned(),
            // The text of others may repeat a line of the file.
            PemError::Base64Decode(_) => "some of it is not base64".to_owned(),
            _ => "a line that begins a part is damaged".to_owned(),
        };
        format!("is not PEM: {why}. Copy the file again")
    })
}

/// What a file seems to be.
enum Form {
    Empty,
    Der,
    /// PKCS#12.
    Archive,
    /// The label of its first section.
    Pem(String),
    Other,
}

impl Form {
    fn of(bytes: &[u8]) -> Form {
        if bytes.trim_ascii().is_empty() {
            return Form::Empty;
        }
        // A long SEQUENCE. An archive begins with its version, a certificate with another SEQUENCE, and keys with a version of 0 or 1.
        if let [0x30, 0x82, _, _, first, rest @ ..] = bytes {
            let is_archive = *first == 0x02 && rest.starts_with(&[1, 3]);
            return if is_archive { Form::Archive } else { Form::Der };
        }
        if matches!(bytes, [0x30, ..]) && std::str::from_utf8(bytes).is_err() {
            return Form::Der;
        }
        let text = String::from_utf8_lossy(bytes);
        let label = text.lines().find_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
        label.map_or(Form::Other, |label| {
            Form::Pem(label.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(40).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_counts_from_its_first_second_to_its_last() {
        let files = Files { certificate: "a.pem".into(), key: "a.key".into() };
        let at = |second| Timestamp::from_second(second).expect("a time");
        let (not_before, not_after) = (at(1_800_000_000), at(1_900_000_000));
        let nothing = Vec::new;
        let certificate = Certificate {
            names: Vec::new(),
            not_before,
            not_after,
            public_key: nothing(),
            issuer: nothing(),
            subject: nothing(),
        };
        for (now, says) in [
            (1_799_999_999, "tls_certificate a.pem: it is valid only from 2027-01-15T08:00:00Z: is the clock"),
            (1_800_000_000, ""),
            (1_899_999_999, ""),
            (1_900_000_000, "tls_certificate a.pem: it expired at 2030-03-17T17:46:40Z: renew it"),
        ] {
            match files.check_validity(&certificate, at(now)) {
                Ok(()) => assert_eq!(says, "", "{now}"),
                Err(error) => assert!(!says.is_empty() && error.to_string().starts_with(says), "{now}: {error}"),
            }
        }
    }
}
