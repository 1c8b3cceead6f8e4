//! Signed heads of the history, taken while the service runs.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::{error, info};

use super::CannotRun;
use super::audit::read_key;
use crate::chain::sign::Key;
use crate::chain::{Link, to_hex};
use crate::config::Heads;
use crate::metrics::SparseLogs;
use crate::store::Store;

/// For intervals shorter than a minute.
static LOG: SparseLogs = SparseLogs::new();

/// Takes heads, signs them, and writes them to the configured places.
pub(super) struct Signer {
    key: Key,
    file: Option<PathBuf>,
    interval: std::time::Duration,
    /// The event of the newest signed head, so that none is signed twice.
    last: Option<Link>,
}

impl Signer {
    pub(super) fn new(heads: Heads) -> Result<Signer, CannotRun> {
        Ok(Signer { key: read_key(&heads.key)?, file: heads.file, interval: heads.interval, last: None })
    }

    /// Signs at once and then at intervals, until `stopped` completes.
    pub(super) async fn run(mut self, store: Arc<dyn Store>, stopped: impl Future<Output = ()>) -> Signer {
        let mut turns = tokio::time::interval(self.interval);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopped = std::pin::pin!(stopped);
        loop {
            tokio::select! {
                _ = turns.tick() => self.sign(&*store).await,
                () = &mut stopped => return self,
            }
        }
    }

    /// Signs the head, if there are new events. Logs a failure and tries again at the next interval: the service goes on.
    pub(super) async fn sign(&mut self, store: &dyn Store) {
        let link = match store.head().await {
            Ok(Some(link)) if self.last != Some(link) => link,
            Ok(_) => return,
            Err(error) => {
                if let Some(left_out) = LOG.count("not read") {
                    error!(%error, left_out, "the head of the history was not read, so it was not signed");
                }
                return;
            }
        };
        let head = self.key.sign(&link, format!("{:.3}", Timestamp::now()));
        if let Some(file) = self.file.clone() {
            let line = format!("{head}\n");
            let name = file.display().to_string();
            let appended = tokio::task::spawn_blocking(move || append(&file, &line)).await;
            if let Err(error) = appended.map_err(std::io::Error::other).flatten() {
                if let Some(left_out) = LOG.count("not written") {
                    error!(%error, file = name, left_out, "the signed head of the history was not written");
                }
                return;
            }
        }
        self.last = Some(link);
        let signature = head.signature.as_deref().unwrap_or_default();
        info!(event = link.event, hash = to_hex(&link.hash), at = head.at, signature, "signed the head of the history");
    }
}

/// Appends the line and waits until it is durable. Never changes existing lines.
fn append(file: &Path, line: &str) -> std::io::Result<()> {
    let mut out = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    out.write_all(line.as_bytes())?;
    out.sync_data()
}
