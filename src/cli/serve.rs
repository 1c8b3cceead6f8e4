//! `seatkeeper serve`: puts the parts together and runs until a signal stops it.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use tokio::net::TcpListener;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use super::heads::Signer;
use super::{Failure, descriptors};
use crate::auth::{self, Authenticator};
use crate::config::{Config, LogFormat, LogLevel};
use crate::http::{self, Limits};
use crate::metrics::Metrics;
use crate::routes::{App, metrics_router, router};
use crate::service::{LinkPurpose, Service};
use crate::store::{self, Fault};

/// The most connections of the metrics listener.
const METRICS_CONNECTIONS_MAX: usize = 32;

/// `create`: creates the database if it does not exist.
pub(super) fn serve(config: Config, create: bool) -> Result<(), Failure> {
    serve_and(config, create, |_, _| ())
}

/// Serves; calls `started` with the address and the service once calls are accepted.
pub(super) fn serve_and(
    config: Config,
    create: bool,
    started: impl FnOnce(std::net::SocketAddr, &Service),
) -> Result<(), Failure> {
    start_log(config.log_format, config.log_level);
    let mut limits = config.limits;
    limits.connections_max = descriptors::fit(limits.connections_max);
    // At least two: a single call commits on its own thread, and another thread must accept calls meanwhile, or calls would never
    // meet and share a commit.
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let metrics = Arc::new(Metrics::new());
    let signer = config.heads.map(Signer::new).transpose()?;
    if create && store::create(&config.database)? {
        info!(database = %config.database, "there was no database; an empty one was made");
    }
    if let Some(done) = store::migrate(&config.database)? {
        let store::Migrated { from, to, copy, took } = done;
        let took_ms = took.as_millis();
        match copy.as_deref().map(std::path::Path::display) {
            Some(copy) => info!(from, to, took_ms, %copy, "the database was migrated; a copy of it as it was is kept"),
            None => info!(from, to, took_ms, "the database was migrated"),
        }
    }
    let begun = std::time::Instant::now();
    for violation in store::verify(&config.database, auth::check_hash)? {
        warn!(
            invariant = violation.invariant,
            row = violation.row,
            "a row breaks an invariant that the service can do without"
        );
    }
    metrics.verified(begun.elapsed());
    info!(took_ms = begun.elapsed().as_millis(), "the database was verified");
    let store = store::open(&config.database, &config.store, Arc::clone(&metrics))?;
    let authenticator = Authenticator::new(config.auth, Arc::clone(&metrics))?;
    let service = Arc::new(Service::with_pages(Arc::clone(&store), authenticator, Arc::clone(&metrics), config.pages));
    let app = App {
        service: Arc::clone(&service),
        limits: limits.clone(),
        public_url: config.public_url.clone(),
        cors_origins: config.cors_origins,
        path_prefix: config.path_prefix,
        test_form: config.test_form,
        enroll: config.store.enroll,
    };
    let failed = runtime.block_on(async {
        let listener = listen(config.listen).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::watch::channel(());
        let until_stopped = || {
            let mut stopped = stopped.clone();
            Box::pin(async move { stopped.changed().await.unwrap_or(()) })
        };
        let metrics_server = match config.metrics_listen {
            Some(address) => {
                let listener = listen(address).await?;
                info!(address = %listener.local_addr()?, "serving metrics");
                let routes = metrics_router(Arc::clone(&metrics));
                // Leaves the descriptors to the service's connections.
                let limits = Limits { connections_max: METRICS_CONNECTIONS_MAX, ..limits.clone() };
                Some(tokio::spawn(http::serve(listener, routes, limits, Arc::default(), until_stopped())))
            }
            None => None,
        };
        let heads = signer.map(|signer| tokio::spawn(signer.run(Arc::clone(&store), until_stopped())));
        let signals = Signals::listen()?;
        info!(%address, database = %config.database, version = env!("CARGO_PKG_VERSION"), "serving");
        let base = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let notes = tokio::spawn(Arc::clone(&service).keep_notes(until_stopped()));
        offer_first_administrator(&service, &base).await;
        started(address, &service);
        let server = tokio::spawn(http::serve(listener, router(app), limits, metrics, until_stopped()));
        // A store that stopped for another reason waits for the operator, and says why at /readyz; a restart would change
        // nothing, or make it worse.
        let must_restart = async {
            if store.stopped().await != Fault::Sync {
                std::future::pending::<()>().await;
            }
        };
        let failed = tokio::select! {
            () = signals.wait() => None,
            () = must_restart => Some("The disk failed to save a change. Start again: a new start reads what the disk has."),
        };
        info!("stopping: no new connections; calls in progress are finished");
        stop.send_replace(());
        server.await?;
        if let Some(server) = metrics_server {
            server.await?;
        }
        if let Some(heads) = heads {
            heads.await?.sign(&*store).await;
        }
        notes.await?;
        // Of the calls that were finished meanwhile.
        service.write_notes().await;
        Ok::<_, Failure>(failed)
    })?;
    drop(runtime);
    store.close();
    info!("stopped");
    failed.map_or(Ok(()), |failed| Err(failed.into()))
}

/// If the database has no credential, prints a one-time link that makes the first administrator.
async fn offer_first_administrator(service: &Service, base: &str) {
    let link = async {
        if !service.is_unclaimed().await? {
            return Ok(None);
        }
        service.make_link(LinkPurpose::FirstAdministrator).map(Some)
    };
    match link.await {
        Ok(None) => {}
        Ok(Some(secret)) => {
            let url = format!("{base}{}/{secret}", crate::service::FIRST_ADMINISTRATOR_PATH);
            info!(
                url,
                "there is no credential yet: this link makes the first administrator, once and within 30 minutes"
            );
            if std::io::stdout().is_terminal() {
                // A closed pipe must not end the service.
                let _ = writeln!(
                    std::io::stdout(),
                    "\nThere is no credential yet. Make the first administrator here (once, within 30 minutes):\n\n  {url}\n"
                );
            }
        }
        Err(error) => warn!(%error, "no link for the first administrator was made"),
    }
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|e| {
        format!("cannot listen on {address}: {e}. Is another program there? --listen chooses another port.").into()
    })
}

/// SIGINT and SIGTERM: both mean "finish and stop".
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Log lines go to standard error.
fn start_log(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    match format {
        LogFormat::Human => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
