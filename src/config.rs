//! Settings: what they are (`settings`), where they come from (`sources`), and what they mean ([`Config`]).
//!
//! A value is text until its source is known, so that an error can name the flag, the variable, or the line and column. Flags,
//! variables and the file understand the same texts.

mod file;
mod names;
mod settings;
mod sources;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::netserver::web_api::CorsOrigins;
use crate::{auth, http, routes, service, soap, store};
pub use file::example_file;
use settings::Values;
pub use settings::{Flags, SETTINGS, Setting};
pub use sources::{DEFAULT_FILE, Named, Settings, Sources};
use value::Problem;
pub use value::{Entry, LogFormat, LogLevel, Source, address};

/// The settings in force, in the types that their users need.
#[derive(Debug, Clone)]
pub struct Config {
    pub database: store::Database,
    pub listen: SocketAddr,
    /// `None`: the service speaks plain HTTP.
    pub tls: Option<http::tls::Files>,
    pub metrics_listen: Option<SocketAddr>,
    pub public_url: Option<String>,
    pub cors_origins: CorsOrigins,
    pub path_prefix: Option<http::PathPrefix>,
    pub test_form: bool,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    /// Whether every call is logged.
    pub log_calls: bool,
    /// Bytes of free disk below which the service is not ready; 0: any number.
    pub disk_free_min: u64,
    /// Entities with numbers of their own in the metrics.
    pub metrics_entities_max: usize,
    pub auth: auth::Options,
    pub store: store::Options,
    pub limits: http::Limits,
    pub pages: service::admin::Options,
    /// `None`: heads of the history are not signed.
    pub heads: Option<Heads>,
}

/// How heads of the history are signed.
#[derive(Debug, Clone)]
pub struct Heads {
    pub key: PathBuf,
    /// The file to append them to; `None`: they are only in the log.
    pub file: Option<PathBuf>,
    pub interval: Duration,
}

/// Settings that cannot be used: a sentence for each error.
#[derive(Debug, thiserror::Error)]
#[error("{}", .errors.join("; "))]
pub struct ConfigError {
    errors: Vec<String>,
    is_unreadable: bool,
}

impl ConfigError {
    /// Invalid settings, or settings that name files that cannot be used.
    pub fn new(errors: Vec<String>) -> ConfigError {
        ConfigError { errors, is_unreadable: false }
    }

    /// A missing file was misspelled, most likely. Other files may be readable for another user.
    fn unreadable(path: &Path, named_by: Option<&str>, error: &std::io::Error) -> ConfigError {
        let advice = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                ". Only some users may read the settings: run this as one of them, with sudo or as the service's user"
            }
            _ => "",
        };
        let is_unreadable = error.kind() != std::io::ErrorKind::NotFound;
        let source = named_by.map(|name| format!("{name}: ")).unwrap_or_default();
        ConfigError {
            errors: vec![format!("{source}settings file {}: {error}{advice}", path.display())],
            is_unreadable,
        }
    }

    /// Names a flag that makes an unreadable file unnecessary.
    fn or_use(mut self, flag: &str) -> ConfigError {
        if self.is_unreadable {
            self.errors.iter_mut().for_each(|error| *error += &format!(", or give {flag}"));
        }
        self
    }

    /// A sentence for each error.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Whether the file could not be read, as opposed to an invalid setting.
    pub fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }
}

const YEAR_S: u64 = 365 * 24 * 3600;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// The service reserves room for this many when it starts.
const CALLS_MAX: u64 = 1_000_000;

impl Config {
    /// Checks the values, also against each other. `None`: some are invalid; the problems say which.
    fn check(values: Values, problems: &mut Vec<Problem>) -> Option<Config> {
        let v = values;
        let mut range = |name: &'static str, value: Option<u64>, least: u64, most: u64, why: &str| {
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                let bounds = match most {
                    u64::MAX => format!("{least} or more"),
                    most => format!("from {least} to {most}"),
                };
                problems.push(Problem::new(name, format!("{name} must be {bounds}{why}")));
            }
        };
        let wide = |value: Option<usize>| value.map(|value| value as u64);
        const ANY: u64 = u64::MAX;
        const NO_SIGN_IN: &str = ": with 0 no caller could sign in";
        range("queue_calls_max", wide(v.queue_calls_max), 1, CALLS_MAX, "");
        range("group_calls_max", wide(v.group_calls_max), 1, CALLS_MAX, "");
        // PostgreSQL never allows more.
        range("postgres_connections_max", wide(v.postgres_connections_max), 1, 262_143, "");
        range("connections_max", wide(v.connections_max), 1, ANY, "");
        range("body_bytes_max", wide(v.body_bytes_max), 1, ANY, "");
        range("named_calls_max", wide(v.named_calls_max), 1, ANY, "");
        range("xml_depth_max", wide(v.xml_depth_max), 1, ANY, "");
        range("wrong_passwords_max", v.wrong_passwords_max.map(u64::from), 1, ANY, NO_SIGN_IN);
        range("sign_ins_waiting_max", wide(v.sign_ins_waiting_max), 1, ANY, NO_SIGN_IN);
        range("head_bytes_max", wide(v.head_bytes_max), 8192, ANY, ", the smallest piece in which a head is read");
        // With 0 no call could succeed. An endless time cannot be added to a clock.
        range("head_timeout_s", v.head_timeout_s, 1, YEAR_S, "");
        range("body_timeout_s", v.body_timeout_s, 1, YEAR_S, "");
        range("idle_timeout_s", v.idle_timeout_s, 1, YEAR_S, "");
        range("write_timeout_s", v.write_timeout_s, 1, YEAR_S, "");
        range("shutdown_timeout_s", v.shutdown_timeout_s, 0, YEAR_S, "");
        range("remember_sign_ins_s", v.remember_sign_ins_s, 0, YEAR_S, "");
        range("remember_sign_ins_max_s", v.remember_sign_ins_max_s, 0, YEAR_S, "");
        range("named_calls_s", v.named_calls_s, 0, YEAR_S, "");
        range("wrong_password_interval_s", v.wrong_password_interval_s, 0, YEAR_S, "");
        range("busy_timeout_ms", v.busy_timeout_ms, 0, DAY_MS, "");
        range("postgres_statement_timeout_ms", v.postgres_statement_timeout_ms, 100, DAY_MS, "");
        range("verify_interval_s", v.verify_interval_s, 0, YEAR_S, "");
        range("metrics_entities_max", wide(v.metrics_entities_max), 0, 10_000, "");
        range("disk_free_min_mib", v.disk_free_min_mib, 0, 1 << 40, "");
        range("audit_head_interval_s", v.audit_head_interval_s, 1, YEAR_S, "");
        range("refusals_kept_max", v.refusals_kept_max, 0, 10_000_000, "");
        range("session_idle_min", v.session_idle_min, 1, 24 * 60, "");
        range("session_max_h", v.session_max_h, 1, 7 * 24, "");
        let mut problem = |name, text: String| problems.push(Problem::new(name, text));
        if let Some(store::Database::Server(address)) = &v.database
            && let Err(error) = store::check_address(address)
        {
            problem("database", format!("database {error}"));
        }
        if let Some(url) = &v.public_url {
            let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
            if host.is_empty() || !http::is_host(host.as_bytes()) {
                problem(
                    "public_url",
                    format!(
                        "public_url '{}' must be scheme, host and port only, such as https://licenses.example.com",
                        store::masked(url)
                    ),
                );
            }
        }
        if let (Some(service), Some(metrics)) = (v.listen, v.metrics_listen)
            && are_same(service, metrics)
        {
            problem(
                "metrics_listen",
                format!(
                    "metrics_listen {metrics} is the address of the service too (listen {service}): choose another port"
                ),
            );
        }
        let (certificate, key) = (v.tls_certificate, v.tls_key);
        for (name, is_alone, missing) in [
            ("tls_certificate", key.is_none() && certificate.is_some(), "tls_key"),
            ("tls_key", certificate.is_none() && key.is_some(), "tls_certificate"),
        ] {
            if is_alone {
                problem(name, format!("{name} is set and {missing} is not: set both, or neither"));
            }
        }
        if v.audit_heads.is_some() && v.audit_key.is_none() {
            problem("audit_heads", "audit_heads is where signed heads go: set audit_key too".to_owned());
        }
        let mut parsed =
            |name, error: String| problems.push(Problem::new(name, format!("{name}: {}", store::masked(&error))));
        let trusted_proxies = v.trusted_proxies.unwrap_or_default().parse();
        let trusted_proxies = trusted_proxies.map_err(|e: String| parsed("trusted_proxies", e)).ok();
        let cors_origins = v.cors_origins.unwrap_or_default().parse();
        let cors_origins = cors_origins.map_err(|e: String| parsed("cors_origins", e)).ok();
        let path_prefix = v.path_prefix.as_deref().map(routes::path_prefix).transpose();
        let path_prefix = path_prefix.map_err(|e| parsed("path_prefix", e)).ok();
        // What is missing here could not be read: there is a problem for it.
        let minutes = |value: u64| Some(jiff::SignedDuration::from_mins(i64::try_from(value).ok()?));
        Some(Config {
            auth: auth::Options {
                remember: Duration::from_secs(v.remember_sign_ins_s?),
                remember_max: Duration::from_secs(v.remember_sign_ins_max_s?),
                waiting_max: v.sign_ins_waiting_max?,
                failures_max: v.wrong_passwords_max?,
                failure_interval: Duration::from_secs(v.wrong_password_interval_s?),
                ..auth::Options::default()
            },
            store: store::Options {
                queue_calls_max: v.queue_calls_max?,
                group_calls_max: v.group_calls_max?,
                busy_timeout: Duration::from_millis(v.busy_timeout_ms?),
                verify_interval: Duration::from_secs(v.verify_interval_s?),
                enroll: v.enroll?,
                named_calls_life: Duration::from_secs(v.named_calls_s?),
                named_calls_max: v.named_calls_max?,
                server_connections_max: v.postgres_connections_max?,
                statement_timeout: Duration::from_millis(v.postgres_statement_timeout_ms?),
            },
            limits: http::Limits {
                head_bytes_max: v.head_bytes_max?,
                head_timeout: Duration::from_secs(v.head_timeout_s?),
                idle_timeout: Duration::from_secs(v.idle_timeout_s?),
                body_bytes_max: v.body_bytes_max?,
                bodies_bytes_max: v.bodies_bytes_max?,
                body_timeout: Duration::from_secs(v.body_timeout_s?),
                write_timeout: Duration::from_secs(v.write_timeout_s?),
                connections_max: v.connections_max?,
                connections_per_client_max: v.connections_per_client_max?,
                trusted_proxies: trusted_proxies?,
                shutdown_timeout: Duration::from_secs(v.shutdown_timeout_s?),
                xml: soap::envelope::Limits {
                    depth_max: v.xml_depth_max?,
                    attributes_max: v.xml_attributes_max?,
                    namespaces_max: v.xml_namespaces_max?,
                    ..soap::envelope::Limits::default()
                },
            },
            pages: service::admin::Options {
                session_idle: minutes(v.session_idle_min?)?,
                session_max: minutes(v.session_max_h?.saturating_mul(60))?,
                refusals_kept_max: v.refusals_kept_max?,
            },
            heads: match v.audit_key {
                Some(key) => {
                    let interval = Duration::from_secs(v.audit_head_interval_s?);
                    Some(Heads { key, file: v.audit_heads, interval })
                }
                None => None,
            },
            database: v.database?,
            listen: v.listen?,
            tls: certificate.zip(key).map(|(certificate, key)| http::tls::Files { certificate, key }),
            metrics_listen: v.metrics_listen,
            public_url: v.public_url,
            cors_origins: cors_origins?,
            path_prefix: path_prefix?,
            test_form: v.test_form?,
            log_format: v.log_format?,
            log_level: v.log_level?,
            log_calls: v.log_calls?,
            disk_free_min: v.disk_free_min_mib?.saturating_mul(1 << 20),
            metrics_entities_max: v.metrics_entities_max?,
        })
    }
}

/// Whether two sockets could not both listen. Port 0 is a free port each time.
fn are_same(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

#[cfg(test)]
mod tests;
