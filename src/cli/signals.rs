//! The signals that the service obeys.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the service does when its terminal closes (SIGHUP), which is also how a supervisor asks for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangup {
    /// It reads the settings again and goes on: a closed terminal must not end a service.
    Reload,
    /// Nothing: the caller handles it.
    Ignore,
}

impl Hangup {
    /// Takes SIGHUP over from now on, so that it does not end the process while the service starts. One that arrives meanwhile waits for
    /// [`Signals::next`].
    pub(super) fn listen(self) -> std::io::Result<Option<Signal>> {
        match self {
            Hangup::Reload => signal(SignalKind::hangup()).map(Some),
            Hangup::Ignore => Ok(None),
        }
    }
}

/// From now on a write beyond the largest size of files (`ulimit -f`) fails like one on a full disk, and does not end the process in the
/// middle of a call.
pub(super) fn outlive_file_limit() -> std::io::Result<()> {
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Finish the calls in progress and end.
    Stop,
    /// Read the settings again.
    Reload,
}

/// SIGINT and SIGTERM stop the service, and SIGHUP is a wish for a reload, also under nohup.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None`: it is not handled here.
    hangup: Option<Signal>,
}

impl Signals {
    /// From now on the signals no longer end the process by themselves. `hangup`: see [`Hangup::listen`].
    pub(super) fn listen(hangup: Option<Signal>) -> std::io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Wish {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            _ = hangup => Wish::Reload,
        }
    }
}
