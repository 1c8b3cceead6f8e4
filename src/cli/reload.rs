//! Reads the settings again while the service runs, and puts those in force that need no restart.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::logging::Level;
use super::{descriptors, notify};
use crate::config::{Entry, Settings, Sources};
use crate::http::tls::{Tls, TlsError};
use crate::http::{Limits, LiveLimits};
use crate::service::Service;

/// The parts of the service whose settings can change, and the settings in force.
pub(super) struct Reload {
    pub(super) sources: Sources,
    /// Those that need a restart stay as they were at the start.
    pub(super) in_force: Vec<Entry>,
    pub(super) level: Level,
    pub(super) service: Arc<Service>,
    pub(super) limits: LiveLimits,
    /// Of the metrics listener, which has its own number of connections.
    pub(super) metrics_limits: LiveLimits,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Reload {
    /// Reads the settings from the same sources. All of the new values count, or none: if one is invalid, the old ones stay.
    pub(super) fn run(&mut self) {
        notify::reloading();
        self.reload();
        notify::ready();
    }

    fn reload(&mut self) {
        let settings = match self.sources.load() {
            Ok(settings) => settings,
            Err(error) => {
                error!(%error, "reload: the settings cannot be used, so the old ones stay in force");
                return;
            }
        };
        for unknown in self.sources.unknown_variables() {
            warn!("{unknown}");
        }
        // First what can fail.
        if let Err(error) = self.reload_certificate(&settings) {
            error!(%error, "reload: the certificate cannot be used, so the old one and the old settings stay in force");
            return;
        }
        self.set(&settings);
        let (mut changed, mut waiting) = (Vec::new(), Vec::new());
        for (old, new) in self.in_force.iter_mut().zip(settings.in_force) {
            let is_live = new.setting.is_live && !(is_of_tls(&new) && old.is_set() != new.is_set());
            let name = new.setting.name;
            match (old.is_same(&new), is_live) {
                (true, _) => {}
                (false, true) => changed.push(name),
                (false, false) => waiting.push(name),
            }
            if is_live {
                *old = new;
            }
        }
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let (changed, needs_restart) = (list(&changed), list(&waiting));
        match waiting.is_empty() {
            true => info!(changed, "reload: the settings were read again"),
            false => warn!(changed, needs_restart, "reload: the settings were read again; some changes need a restart"),
        }
    }

    /// TLS itself is switched on and off only by a restart, because the listener belongs to it. Files that would keep that restart from
    /// working are reported now.
    fn reload_certificate(&self, settings: &Settings) -> Result<(), TlsError> {
        match (&self.tls, &settings.config.tls) {
            (Some(tls), Some(files)) => tls.reload(files).map(drop),
            (None, Some(files)) => files.check().map(drop),
            (_, None) => Ok(()),
        }
    }

    /// Nothing here can fail.
    fn set(&self, settings: &Settings) {
        let config = &settings.config;
        let mut limits = config.limits.clone();
        limits.connections_max = descriptors::fit(limits.connections_max);
        let connections_max = self.metrics_limits.now().connections_max;
        self.metrics_limits.set(Limits { connections_max, ..limits.clone() });
        self.limits.set(limits);
        self.service.set_sign_ins(&config.auth);
        self.service.set_disk_free_min(config.disk_free_min);
        self.service.set_logs_calls(config.log_calls);
        self.level.set(config.log_level);
    }
}

fn is_of_tls(entry: &Entry) -> bool {
    ["tls_certificate", "tls_key"].contains(&entry.setting.name)
}
