//! TLS inside the service: its certificate, which is replaced without a restart, and handshakes with their limits.
//!
//! [`Tls::watch`] and SIGHUP take a new certificate from the files. If they cannot be used, the old certificate stays in force. Open
//! connections keep the certificate that they began with.

mod certificate;
mod files;
mod handshake;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};

pub use files::{Checked, Files, TlsError};
use files::{Loaded, Stamp};
use handshake::Troubles;
pub(super) use handshake::{BUSY_ALERT, Failed, answer_plain};

use crate::metrics::Metrics;

/// How often [`Tls::watch`] looks at the files.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Files that changed and cannot be used are looked at again after this time: another program may be replacing them.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// The log warns of a certificate that expires within this time, once a day.
const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// TLS of one service.
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    watched: Mutex<Watched>,
    /// Half the cores compute handshakes: the others answer calls meanwhile.
    turns: Semaphore,
    troubles: Troubles,
    metrics: Arc<Metrics>,
}

/// The certificate in force.
struct Current(RwLock<Arc<Loaded>>);

/// The files, and how far they are known.
struct Watched {
    files: Files,
    /// Of the files when they were last read, successfully or not.
    stamp: Stamp,
    warned_at: Option<Instant>,
}

impl Tls {
    /// Reads certificate and key. A certificate that has expired is served all the same: some clients do not mind, and a restart must
    /// not take the service away from them. The log says so.
    ///
    /// # Errors
    ///
    /// A file that cannot be used.
    pub fn open(files: &Files, metrics: Arc<Metrics>) -> Result<Tls, TlsError> {
        let stamp = files.stamp();
        let current = Arc::new(Current(RwLock::new(Arc::new(files.load()?))));
        let failed = |error: tokio_rustls::rustls::Error| TlsError(format!("TLS cannot be used: {error}"));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Current>::clone(&current));
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // A client that comes back signs nothing again; the tickets take no memory here.
        config.ticketer = ring::Ticketer::new().map_err(failed)?;
        config.send_tls13_tickets = 1;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let tls = Tls {
            config: Arc::new(config),
            current,
            watched: Mutex::new(Watched { files: files.clone(), stamp, warned_at: None }),
            turns: Semaphore::new(cores.div_ceil(2)),
            troubles: Troubles::default(),
            metrics,
        };
        let loaded = tls.current.get();
        tls.announce(&loaded, files);
        let mut watched = tls.watched();
        tls.warn_of_expiry(&mut watched);
        drop(watched);
        Ok(tls)
    }

    /// Reads the files again, which may be others than before. Returns whether another certificate is in force now.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, or a certificate that is not valid now; the old certificate stays in force.
    pub fn reload(&self, files: &Files) -> Result<bool, TlsError> {
        let mut watched = self.watched();
        // If they change while they are read, the next look reads them again.
        let stamp = files.stamp();
        let loaded = self.read(files);
        if loaded.is_ok() || *files == watched.files {
            (watched.files, watched.stamp) = (files.clone(), stamp);
        }
        let Some(loaded) = loaded? else { return Ok(false) };
        let loaded = self.current.set(loaded);
        self.announce(&loaded, files);
        watched.warned_at = None;
        self.warn_of_expiry(&mut watched);
        Ok(true)
    }

    /// `None`: the certificate is the one in force.
    fn read(&self, files: &Files) -> Result<Option<Loaded>, TlsError> {
        let loaded = files.load()?;
        if self.current.get().key.cert == loaded.key.cert {
            return Ok(None);
        }
        files.check_validity(&loaded.certificate, Timestamp::now())?;
        Ok(Some(loaded))
    }

    /// Looks at the files now and then until `shutdown` completes, and takes a certificate that was renewed: `certbot` and Kubernetes
    /// replace files without a signal. Warns once a day of a certificate that expires soon.
    pub async fn watch(self: Arc<Self>, interval: Duration, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut is_second = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(if is_second { interval.min(SECOND_LOOK) } else { interval }) => {}
                () = &mut shutdown => return,
            }
            let tls = Arc::clone(&self);
            let failed = tokio::task::spawn_blocking(move || tls.look(is_second)).await.unwrap_or(false);
            // One file may be new already and the other one not yet.
            is_second = failed && !is_second;
        }
    }

    /// Takes a changed certificate; returns whether that failed. `is_second`: it failed before, and the log says so if it does again.
    fn look(&self, is_second: bool) -> bool {
        let mut watched = self.watched();
        self.warn_of_expiry(&mut watched);
        if watched.files.stamp() == watched.stamp && !is_second {
            return false;
        }
        let files = watched.files.clone();
        drop(watched);
        let Err(error) = self.reload(&files) else { return false };
        if is_second {
            tracing::warn!(%error, "the files of the certificate have changed and cannot be used; the old certificate stays in force");
        }
        true
    }

    /// Scheme, host and port for a link to the service: with a name of its certificate if it has one, or else with this address.
    pub fn base(&self, address: SocketAddr) -> String {
        let loaded = self.current.get();
        let is_name = |name: &&String| name.contains('.') && !name.contains('*') && name.parse::<IpAddr>().is_err();
        match loaded.certificate.names.iter().find(is_name) {
            Some(name) if address.port() == 443 => format!("https://{name}"),
            Some(name) => format!("https://{name}:{}", address.port()),
            None => format!("https://{address}"),
        }
    }

    fn announce(&self, loaded: &Loaded, files: &Files) {
        const NAMES_SHOWN_MAX: usize = 10;
        let all = &loaded.certificate.names;
        let mut names = all[..all.len().min(NAMES_SHOWN_MAX)].join(" ");
        if let more @ 1.. = all.len().saturating_sub(NAMES_SHOWN_MAX) {
            names += &format!(" and {more} more");
        }
        let until = loaded.certificate.not_after;
        tracing::info!(names, %until, file = %files.certificate.display(), "this certificate is in force");
        if loaded.certificate.not_before > Timestamp::now() {
            let from = loaded.certificate.not_before;
            tracing::warn!(%from, "the certificate is not valid yet: is the clock of this machine right?");
        }
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.metrics.tls_certificate_expires_at(until.as_second());
    }

    fn warn_of_expiry(&self, watched: &mut Watched) {
        let until = self.current.get().certificate.not_after;
        let left = until.duration_since(Timestamp::now());
        if left >= EXPIRY_WARNING || watched.warned_at.is_some_and(|at| at.elapsed() < WARNING_INTERVAL) {
            return;
        }
        watched.warned_at = Some(Instant::now());
        let file = watched.files.certificate.display();
        if left.is_negative() {
            tracing::error!(%until, %file, "the certificate has expired, and clients refuse it: renew it; a new one is taken within a minute");
        } else {
            let days = left.as_hours() / 24;
            tracing::warn!(%until, days, %file, "the certificate expires soon: renew it; a new one is taken within a minute");
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn get(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, loaded: Loaded) -> Arc<Loaded> {
        let loaded = Arc::new(loaded);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&loaded);
        loaded
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Current").field(&self.get().certificate.names).finish()
    }
}

impl ResolvesServerCert for Current {
    /// There is one certificate, also for clients that name no host, or one that is not in it: they decide.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.get().key))
    }
}
