//! `seatkeeper serve`: puts the parts together and runs until a signal stops it.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use tracing::{info, warn};

use super::heads::Signer;
use super::listening::{base, listen, open_tls};
use super::logging::start_log;
use super::reload::Reload;
use super::signals::{Hangup, Signals, Wish, outlive_file_limit};
use super::{Failure, descriptors, notify};
use crate::auth::{self, Authenticator};
use crate::config::{Config, Entry, Settings, Sources};
use crate::http::tls::LOOK_INTERVAL;
use crate::http::{self, Limits, Listener, LiveLimits};
use crate::metrics::Metrics;
use crate::routes::{App, metrics_router, router};
use crate::service::{LinkPurpose, ReadinessLimits, Service};
use crate::store::{self, Fault};

/// The most connections of the metrics listener.
const METRICS_CONNECTIONS_MAX: usize = 32;

/// `create`: creates the database if it does not exist.
pub(super) fn serve(sources: Sources, create: bool) -> Result<(), Failure> {
    serve_and(sources, create, Hangup::Reload, |_, _| ())
}

/// Serves; calls `started` with the address and the service once calls are accepted.
pub(super) fn serve_and(
    sources: Sources,
    create: bool,
    on_hangup: Hangup,
    started: impl FnOnce(std::net::SocketAddr, &Service),
) -> Result<(), Failure> {
    no_core_dump();
    let sources = sources.keeping_file();
    let settings = sources.load()?;
    let places = ["listen", "metrics_listen"].map(|name| settings.entry(name).map(Entry::place).unwrap_or_default());
    let Settings { config, in_force } = settings;
    let level = start_log(config.log_format, config.log_level);
    let settings_file = sources.file().map(|file| file.display().to_string());
    for unknown in sources.unknown_variables() {
        warn!("{unknown}");
    }
    warn_of_listeners(&config);
    let mut limits = config.limits;
    limits.connections_max = descriptors::fit(limits.connections_max);
    // At least two: a single call commits on its own thread, and another thread must accept calls meanwhile, or calls would never
    // meet and share a commit.
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let entered = runtime.enter();
    let hangup = on_hangup.listen()?;
    outlive_file_limit()?;
    drop(entered);
    let metrics = Arc::new(Metrics::new());
    let tls = open_tls(config.tls.as_ref(), &metrics)?;
    let signer = config.heads.map(Signer::new).transpose()?;
    let starting = notify::waiting("starting: the database is opened, migrated if it is older, and verified");
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
    service.set_logs_calls(config.log_calls);
    let disk_free_min = config.disk_free_min;
    service.set_readiness_limits(ReadinessLimits { disk_free_min, busy_timeout: config.store.busy_timeout });
    // The metrics listener leaves the descriptors to the service's connections.
    let metrics_limits = LiveLimits::new(Limits { connections_max: METRICS_CONNECTIONS_MAX, ..limits.clone() });
    let limits = LiveLimits::new(limits);
    let mut reload = Reload {
        sources,
        in_force,
        level,
        service: Arc::clone(&service),
        limits: limits.clone(),
        metrics_limits: metrics_limits.clone(),
        tls: tls.clone(),
    };
    let app = App {
        service: Arc::clone(&service),
        limits: limits.clone(),
        public_url: config.public_url.clone(),
        cors_origins: config.cors_origins,
        path_prefix: config.path_prefix,
        test_form: config.test_form,
        enroll: config.store.enroll,
    };
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen(hangup)?;
        let listener = listen(config.listen, &places[0]).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::watch::channel(());
        let until_stopped = || {
            let mut stopped = stopped.clone();
            Box::pin(async move { stopped.changed().await.unwrap_or(()) })
        };
        let metrics_server = match config.metrics_listen {
            Some(address) => {
                let listener = listen(address, &places[1]).await?;
                info!(address = %listener.local_addr()?, "serving metrics");
                let routes = metrics_router(Arc::clone(&service), config.metrics_entities_max);
                Some(tokio::spawn(http::serve(listener, routes, metrics_limits, Arc::default(), until_stopped())))
            }
            None => None,
        };
        let heads = signer.map(|signer| tokio::spawn(signer.run(Arc::clone(&store), until_stopped())));
        info!(%address, database = %config.database, version = env!("CARGO_PKG_VERSION"), settings = settings_file, "serving");
        let base = config.public_url.clone().unwrap_or_else(|| base(tls.as_deref(), address));
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).watch(LOOK_INTERVAL, until_stopped()));
        }
        let notes = tokio::spawn(Arc::clone(&service).keep_notes(until_stopped()));
        offer_first_administrator(&service, &base).await;
        started(address, &service);
        let server = tokio::spawn(http::serve(
            Listener { socket: listener, tls },
            router(app),
            limits,
            metrics,
            until_stopped(),
        ));
        drop(starting);
        notify::ready();
        let status = tokio::spawn(notify::keep_status(Arc::clone(&service), address, until_stopped()));
        let watchdog = tokio::spawn(notify::feed_watchdog(Arc::clone(&store), until_stopped()));
        // A store that stopped for another reason waits for the operator, and says why at /readyz; a restart would change
        // nothing, or make it worse.
        let must_restart = async {
            if store.stopped().await != Fault::Sync {
                std::future::pending::<()>().await;
            }
        };
        let mut must_restart = std::pin::pin!(must_restart);
        let failed = loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Stop => break None,
                    Wish::Reload => reload.run(),
                },
                () = &mut must_restart => {
                    break Some("The disk failed to save a change. Start again: a new start reads what the disk has.");
                }
            }
        };
        info!("stopping: no new connections; calls in progress are finished");
        notify::stopping();
        let stopping = notify::waiting("stopping: calls in progress are finished");
        stop.send_replace(());
        status.await?;
        watchdog.await?;
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
        Ok::<_, Failure>((failed, stopping))
    });
    let (failed, stopping) = ended?;
    drop(runtime);
    store.close();
    drop(stopping);
    info!("stopped");
    failed.map_or(Ok(()), |failed| Err(failed.into()))
}

/// A core dump would have the passwords of the calls in progress. A system that refuses the limit is no reason not to serve.
fn no_core_dump() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Warns of listeners that other machines reach without protection.
fn warn_of_listeners(config: &Config) {
    if !config.listen.ip().is_loopback() && config.tls.is_none() && config.limits.trusted_proxies.is_empty() {
        warn!(
            listen = %config.listen,
            "other machines reach the service without TLS, so passwords cross the network unencrypted; set tls_certificate and tls_key, \
             or trusted_proxies if a proxy in front speaks TLS"
        );
    }
    if let Some(address) = config.metrics_listen.filter(|address| !address.ip().is_loopback()) {
        warn!(
            metrics_listen = %address,
            "other machines reach /metrics, which asks for no password; allow only your monitoring in the firewall, or listen on a \
             loopback address"
        );
    }
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
