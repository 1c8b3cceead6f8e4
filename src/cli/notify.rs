//! Tells systemd how the service is: sd_notify(3), for units of `Type=notify` or `Type=notify-reload`. Without NOTIFY_SOCKET in the
//! environment nothing is sent.
//!
//! | told | when |
//! |---|---|
//! | `READY=1` | calls are accepted; again after a reload |
//! | `STATUS=` | the line that `systemctl status` shows, when it changes |
//! | `RELOADING=1`, `MONOTONIC_USEC=` | a reload begins |
//! | `STOPPING=1` | a stop begins |
//! | `EXTEND_TIMEOUT_USEC=` | while a migration, a verification or a stop takes long |
//! | `WATCHDOG=1` | at half of WATCHDOG_USEC, while the runtime runs and the store is not stuck |

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr as SocketName, UnixDatagram};
use std::sync::{Arc, Once, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{error, warn};

use crate::metrics::SparseLogs;
use crate::service::{Readiness, Service, State};
use crate::store::Store;

/// The interval at which the status is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// By so much a timeout is extended, and how often.
const EXTENSION: Duration = Duration::from_secs(60);
const EXTENSION_INTERVAL: Duration = Duration::from_secs(10);
/// A service manager that does not read must not hold the service up.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// Calls are accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins. [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "systemd was not told that the settings are read again"),
    }
}

/// A stop begins.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: calls in progress are finished")]);
}

/// Lets systemd wait for the start or the stop as long as this lives. `status`: why, for `systemctl status`.
pub(super) fn waiting(status: &str) -> Waiting {
    if std::env::var_os(SOCKET).is_none() {
        return Waiting(None);
    }
    tell(&[NotifyState::Status(status)]);
    let (ended, end) = mpsc::channel::<()>();
    let thread = std::thread::Builder::new().name("notify".to_owned()).spawn(move || {
        let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        loop {
            tell(&[NotifyState::ExtendTimeoutUsec(extension)]);
            if end.recv_timeout(EXTENSION_INTERVAL) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    Waiting(thread.ok().map(|thread| (ended, thread)))
}

/// See [`waiting`].
pub(super) struct Waiting(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.0.take() {
            drop(ended);
            // It has nothing to return.
            let _ = thread.join();
        }
    }
}

/// Keeps the status up to date, and the log of readiness, until `stop` is done.
pub(super) async fn keep_status(service: Arc<Service>, address: SocketAddr, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut told = String::new();
    loop {
        let status = status(address, &service.readiness().await);
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

fn status(address: SocketAddr, readiness: &Readiness) -> String {
    let state = readiness.state();
    let texts: Vec<_> = readiness.texts(state).collect();
    match state {
        State::Pass => format!("serving on {address}"),
        State::Warn => format!("serving on {address}; warning: {}", texts.join("; ")),
        State::Fail => format!("not ready: {}", texts.join("; ")),
    }
}

/// Tells the watchdog that the service works, until `stop` is done. It runs on the runtime of the calls: if that hangs, nothing is
/// told. A database that another program has locked is no reason to start again, and neither is a disk that is full.
pub(super) async fn feed_watchdog(store: Arc<dyn Store>, stop: impl Future<Output = ()>) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut stop = std::pin::pin!(stop);
    let log = SparseLogs::default();
    loop {
        match store.condition().await.stuck {
            None => tell(&[NotifyState::Watchdog]),
            Some(stuck) => {
                if let Some(before) = log.count("stuck") {
                    let stuck_s = stuck.as_secs();
                    error!(
                        stuck_s,
                        left_out = before,
                        "the store is stuck: the watchdog is not told that the service works"
                    );
                }
            }
        }
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(limit / 2) => {}
        }
    }
}

const SOCKET: &str = "NOTIFY_SOCKET";

fn tell(states: &[NotifyState<'_>]) {
    let Some(name) = std::env::var_os(SOCKET).filter(|name| !name.is_empty()) else { return };
    let lines: String = states.iter().map(|state| format!("{}\n", state.to_string().replace('\n', " "))).collect();
    if let Err(error) = send(&name, lines.as_bytes()) {
        // Most likely every message fails alike.
        static WARNED: Once = Once::new();
        WARNED.call_once(|| warn!(%error, socket = %name.display(), "systemd cannot be told about the service"));
    }
}

/// Sends one datagram. `name`: a path, or an abstract name after `@`.
fn send(name: &OsStr, message: &[u8]) -> io::Result<()> {
    let to = match name.as_bytes() {
        [b'@', name @ ..] => SocketName::from_abstract_name(name)?,
        [b'/', ..] => SocketName::from_pathname(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "NOTIFY_SOCKET is neither a path nor @ and a name",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.send_to_addr(message, &to).map(drop)
}
