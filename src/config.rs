//! Every setting, with its default and unit. `settings!` describes each once: the command line, the environment, the settings
//! file, `--help` and the example file follow from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use crate::netserver::web_api::CorsOrigins;
use crate::{auth, http, routes, service, soap, store};

/// Declares the settings: name, type, environment variable, default as text (`-`: none), description with its unit.
macro_rules! settings {
    ($($name:ident: $type:ty = $default:literal, $env:literal, $doc:literal;)*) => {
        /// The settings from one source (flags and environment, or the file); `None`: the next source decides.
        #[derive(Debug, Clone, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(rustdoc::bare_urls, reason = "the texts are for --help, which would show the brackets of a link")]
        pub struct Overrides {
            $(
                #[doc = $doc]
                #[arg(long, env = $env, hide_env_values = true, value_name = "VALUE", help = concat!($doc, " [default: ", $default, "]"))]
                pub $name: Option<$type>,
            )*
        }

        impl Overrides {
            /// These settings; where one is not set, that of `those`.
            fn or(self, those: Overrides) -> Overrides {
                Overrides { $($name: self.$name.or(those.$name),)* }
            }
        }

        /// Name, environment variable, default and description of every setting, in order.
        pub const SETTINGS: &[Setting] = &[
            $(Setting { name: stringify!($name), env: $env, default: $default, doc: $doc },)*
        ];
    };
}

/// One setting, described.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    pub env: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
}

settings! {
    database: store::Database = "seatkeeper.db", "SEATKEEPER_DATABASE", "SQLite file, or address of a PostgreSQL database such as postgres://seatkeeper@db1,db2/seatkeeper; created only with --create";
    listen: SocketAddr = "127.0.0.1:8086", "SEATKEEPER_LISTEN", "Address and port to serve on";
    metrics_listen: SocketAddr = "-", "SEATKEEPER_METRICS_LISTEN", "Address and port for /metrics, separate from the service; none: no metrics are served";
    public_url: String = "-", "SEATKEEPER_PUBLIC_URL", "Scheme, host and port that clients use, such as https://licenses.example.com; none: as in their Host header";
    trusted_proxies: String = "-", "SEATKEEPER_TRUSTED_PROXIES", "Addresses and networks of proxies whose Forwarded or X-Forwarded-* headers count, such as 127.0.0.1,10.0.0.0/8; none: the headers are ignored";
    cors_origins: String = "-", "SEATKEEPER_CORS_ORIGINS", "Origins whose pages may call the Web API, separated by blanks, such as https://tools.example.com, https://*.example.com or http://localhost:*; * alone for all; none: no page";
    path_prefix: String = "-", "SEATKEEPER_PATH_PREFIX", "Path such as /SuperOffice below which every address is served too; none: only at the root";
    test_form: bool = "true", "SEATKEEPER_TEST_FORM", "Whether browsers on this machine get a form to try operations with";
    enroll: bool = "true", "SEATKEEPER_ENROLL", "Whether an assignment enrolls an unknown user name";
    log_format: LogFormat = "human", "SEATKEEPER_LOG_FORMAT", "Log lines: human or json";
    log_level: LogLevel = "info", "SEATKEEPER_LOG_LEVEL", "Least important log lines shown: error, warn, info, debug or trace";
    remember_sign_ins_s: u64 = "300", "SEATKEEPER_REMEMBER_SIGN_INS_S", "Seconds a proved password is remembered after its last use; 0: not at all";
    remember_sign_ins_max_s: u64 = "3600", "SEATKEEPER_REMEMBER_SIGN_INS_MAX_S", "Seconds after which a remembered password is checked again, however often it is used; remember_sign_ins_s if that is more";
    sign_ins_waiting_max: usize = "512", "SEATKEEPER_SIGN_INS_WAITING_MAX", "Password checks that may run or wait for their turn; further ones are refused";
    wrong_passwords_max: u32 = "10", "SEATKEEPER_WRONG_PASSWORDS_MAX", "Wrong passwords for one user name from one client address (IPv6: /64) before more are slowed down; from all addresses 5 times as many";
    wrong_password_interval_s: u64 = "6", "SEATKEEPER_WRONG_PASSWORD_INTERVAL_S", "Seconds after which one more wrong password is checked beyond wrong_passwords_max; 0: none are slowed down";
    queue_calls_max: usize = "4096", "SEATKEEPER_QUEUE_CALLS_MAX", "Calls that may wait for the database; further ones are refused";
    group_calls_max: usize = "256", "SEATKEEPER_GROUP_CALLS_MAX", "The most calls that share one commit";
    postgres_connections_max: usize = "16", "SEATKEEPER_POSTGRES_CONNECTIONS_MAX", "Connections of this node to PostgreSQL";
    postgres_statement_timeout_ms: u64 = "10000", "SEATKEEPER_POSTGRES_STATEMENT_TIMEOUT_MS", "Milliseconds that PostgreSQL may take for one statement of a call";
    busy_timeout_ms: u64 = "5000", "SEATKEEPER_BUSY_TIMEOUT_MS", "Milliseconds to wait for another program that holds the database file";
    verify_interval_s: u64 = "3600", "SEATKEEPER_VERIFY_INTERVAL_S", "Seconds between two verifications of the whole database while the service runs; 0: only at the start";
    named_calls_s: u64 = "86400", "SEATKEEPER_NAMED_CALLS_S", "Seconds that the outcome of a named call (Idempotency-Key) is kept for a retry; 0: names are ignored";
    named_calls_max: usize = "1000000", "SEATKEEPER_NAMED_CALLS_MAX", "Outcomes of named calls kept; an outcome of more than 256 bytes counts as several; the oldest are dropped first";
    refusals_kept_max: u64 = "100000", "SEATKEEPER_REFUSALS_KEPT_MAX", "Refused calls kept for administrators; the oldest go first; 0: none";
    session_idle_min: u64 = "30", "SEATKEEPER_SESSION_IDLE_MIN", "Minutes after which a session of the pages for administrators ends if it is not used";
    session_max_h: u64 = "12", "SEATKEEPER_SESSION_MAX_H", "Hours after the sign-in at which a session of the pages ends in any case";
    audit_key: PathBuf = "-", "SEATKEEPER_AUDIT_KEY", "File with the key that signs heads of the history, made by seatkeeper audit key; none: they are not signed";
    audit_heads: PathBuf = "-", "SEATKEEPER_AUDIT_HEADS", "File to which signed heads are appended, a line of JSON each; none: they are only in the log";
    audit_head_interval_s: u64 = "3600", "SEATKEEPER_AUDIT_HEAD_INTERVAL_S", "Seconds between two signed heads of the history";
    connections_max: usize = "4096", "SEATKEEPER_CONNECTIONS_MAX", "Open connections; further ones are answered 503";
    connections_per_client_max: usize = "1024", "SEATKEEPER_CONNECTIONS_PER_CLIENT_MAX", "Open connections of one address (IPv6: one /64), trusted proxies excepted; further ones are answered 503; 0: no limit";
    head_bytes_max: usize = "16384", "SEATKEEPER_HEAD_BYTES_MAX", "Bytes of a request's head";
    head_timeout_s: u64 = "10", "SEATKEEPER_HEAD_TIMEOUT_S", "Seconds from the first byte of a request until its head is complete";
    body_bytes_max: usize = "262144", "SEATKEEPER_BODY_BYTES_MAX", "Bytes of a request's body";
    bodies_bytes_max: usize = "67108864", "SEATKEEPER_BODIES_BYTES_MAX", "Bytes of memory for all bodies of more than 8 KiB together; one client gets half of it; a request beyond it is answered 503";
    body_timeout_s: u64 = "30", "SEATKEEPER_BODY_TIMEOUT_S", "Seconds from the end of the head until the body is complete";
    idle_timeout_s: u64 = "120", "SEATKEEPER_IDLE_TIMEOUT_S", "Seconds a connection may be idle between requests";
    write_timeout_s: u64 = "30", "SEATKEEPER_WRITE_TIMEOUT_S", "Seconds a client may read nothing of a response";
    shutdown_timeout_s: u64 = "30", "SEATKEEPER_SHUTDOWN_TIMEOUT_S", "Seconds a shutdown waits for calls in progress";
    xml_depth_max: usize = "32", "SEATKEEPER_XML_DEPTH_MAX", "Depth of nested elements in a message";
    xml_attributes_max: usize = "64", "SEATKEEPER_XML_ATTRIBUTES_MAX", "Attributes of one element";
    xml_namespaces_max: usize = "32", "SEATKEEPER_XML_NAMESPACES_MAX", "Namespace declarations of one element";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The settings in force, in the types that their users need.
#[derive(Debug, Clone)]
pub struct Config {
    pub database: store::Database,
    pub listen: SocketAddr,
    pub metrics_listen: Option<SocketAddr>,
    pub public_url: Option<String>,
    pub cors_origins: CorsOrigins,
    pub path_prefix: Option<http::PathPrefix>,
    pub test_form: bool,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
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

/// An invalid setting; says which and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Defaults < file < environment < flags; `flags` holds the last two already merged.
    pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Config, ConfigError> {
        let file = file.map_or_else(|| Ok(Overrides::default()), read_file)?;
        Config::check(flags.or(file).or(parse_toml(&defaults_toml(), "the defaults")?))
    }

    fn check(o: Overrides) -> Result<Config, ConfigError> {
        let at_least_one = [
            ("queue_calls_max", o.queue_calls_max),
            ("group_calls_max", o.group_calls_max),
            ("postgres_connections_max", o.postgres_connections_max),
            ("connections_max", o.connections_max),
            ("body_bytes_max", o.body_bytes_max),
            ("named_calls_max", o.named_calls_max),
            ("xml_depth_max", o.xml_depth_max),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == Some(0)) {
            return Err(ConfigError(format!("{name} must be 1 or more")));
        }
        // The service reserves room for this many when it starts.
        const CALLS_MAX: usize = 1_000_000;
        for (name, value) in [("queue_calls_max", o.queue_calls_max), ("group_calls_max", o.group_calls_max)] {
            if value.is_some_and(|value| value > CALLS_MAX) {
                return Err(ConfigError(format!("{name} must be {CALLS_MAX} or less")));
            }
        }
        // With 0 no call could succeed. An endless time cannot be added to a clock.
        const YEAR_S: u64 = 365 * 24 * 3600;
        for (name, value, least, most) in [
            ("head_timeout_s", o.head_timeout_s, 1, YEAR_S),
            ("body_timeout_s", o.body_timeout_s, 1, YEAR_S),
            ("idle_timeout_s", o.idle_timeout_s, 1, YEAR_S),
            ("write_timeout_s", o.write_timeout_s, 1, YEAR_S),
            ("shutdown_timeout_s", o.shutdown_timeout_s, 0, YEAR_S),
            ("remember_sign_ins_s", o.remember_sign_ins_s, 0, YEAR_S),
            ("remember_sign_ins_max_s", o.remember_sign_ins_max_s, 0, YEAR_S),
            ("named_calls_s", o.named_calls_s, 0, YEAR_S),
            ("wrong_password_interval_s", o.wrong_password_interval_s, 0, YEAR_S),
            ("busy_timeout_ms", o.busy_timeout_ms, 0, 24 * 3600 * 1000),
            ("postgres_statement_timeout_ms", o.postgres_statement_timeout_ms, 100, 24 * 3600 * 1000),
            ("verify_interval_s", o.verify_interval_s, 0, YEAR_S),
            ("audit_head_interval_s", o.audit_head_interval_s, 1, YEAR_S),
            ("refusals_kept_max", o.refusals_kept_max, 0, 10_000_000),
            ("session_idle_min", o.session_idle_min, 1, 24 * 60),
            ("session_max_h", o.session_max_h, 1, 7 * 24),
        ] {
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                return Err(ConfigError(format!("{name} must be from {least} to {most}")));
            }
        }
        for (name, value) in [
            ("wrong_passwords_max", o.wrong_passwords_max.map(u64::from)),
            ("sign_ins_waiting_max", o.sign_ins_waiting_max.map(|n| n as u64)),
        ] {
            if value == Some(0) {
                return Err(ConfigError(format!("{name} must be 1 or more: with 0 no caller could sign in")));
            }
        }
        // The smallest piece in which hyper reads a head.
        if o.head_bytes_max.is_some_and(|n| n < 8192) {
            return Err(ConfigError("head_bytes_max must be 8192 or more".to_owned()));
        }
        if let Some(url) = &o.public_url {
            let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
            if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
                return Err(ConfigError(format!(
                    "public_url '{url}' must be scheme, host and port only, such as https://licenses.example.com"
                )));
            }
        }
        if o.audit_heads.is_some() && o.audit_key.is_none() {
            return Err(ConfigError("audit_heads is where signed heads go: set audit_key too".to_owned()));
        }
        // PostgreSQL never allows more.
        const SERVER_CONNECTIONS_MAX: usize = 262_143;
        if o.postgres_connections_max.is_some_and(|n| n > SERVER_CONNECTIONS_MAX) {
            return Err(ConfigError(format!("postgres_connections_max must be {SERVER_CONNECTIONS_MAX} or less")));
        }
        let set = |name: &str| ConfigError(format!("{name} is not set"));
        let seconds = |name: &str, value: Option<u64>| value.map(Duration::from_secs).ok_or_else(|| set(name));
        let milliseconds = |name: &str, value: Option<u64>| value.map(Duration::from_millis).ok_or_else(|| set(name));
        let minutes = |name: &str, value: Option<u64>| {
            let minutes = value.and_then(|value| i64::try_from(value).ok()).ok_or_else(|| set(name))?;
            Ok(jiff::SignedDuration::from_mins(minutes))
        };
        let number = |name: &str, value: Option<usize>| value.ok_or_else(|| set(name));
        Ok(Config {
            auth: auth::Options {
                remember: seconds("remember_sign_ins_s", o.remember_sign_ins_s)?,
                remember_max: seconds("remember_sign_ins_max_s", o.remember_sign_ins_max_s)?,
                waiting_max: number("sign_ins_waiting_max", o.sign_ins_waiting_max)?,
                failures_max: o.wrong_passwords_max.ok_or_else(|| set("wrong_passwords_max"))?,
                failure_interval: seconds("wrong_password_interval_s", o.wrong_password_interval_s)?,
                ..auth::Options::default()
            },
            store: store::Options {
                queue_calls_max: number("queue_calls_max", o.queue_calls_max)?,
                group_calls_max: number("group_calls_max", o.group_calls_max)?,
                busy_timeout: milliseconds("busy_timeout_ms", o.busy_timeout_ms)?,
                verify_interval: seconds("verify_interval_s", o.verify_interval_s)?,
                enroll: o.enroll.ok_or_else(|| set("enroll"))?,
                named_calls_life: seconds("named_calls_s", o.named_calls_s)?,
                named_calls_max: number("named_calls_max", o.named_calls_max)?,
                server_connections_max: number("postgres_connections_max", o.postgres_connections_max)?,
                statement_timeout: milliseconds("postgres_statement_timeout_ms", o.postgres_statement_timeout_ms)?,
            },
            limits: http::Limits {
                head_bytes_max: number("head_bytes_max", o.head_bytes_max)?,
                head_timeout: seconds("head_timeout_s", o.head_timeout_s)?,
                idle_timeout: seconds("idle_timeout_s", o.idle_timeout_s)?,
                body_bytes_max: number("body_bytes_max", o.body_bytes_max)?,
                bodies_bytes_max: number("bodies_bytes_max", o.bodies_bytes_max)?,
                body_timeout: seconds("body_timeout_s", o.body_timeout_s)?,
                write_timeout: seconds("write_timeout_s", o.write_timeout_s)?,
                connections_max: number("connections_max", o.connections_max)?,
                connections_per_client_max: number("connections_per_client_max", o.connections_per_client_max)?,
                trusted_proxies: o
                    .trusted_proxies
                    .unwrap_or_default()
                    .parse()
                    .map_err(|e| ConfigError(format!("trusted_proxies: {e}")))?,
                shutdown_timeout: seconds("shutdown_timeout_s", o.shutdown_timeout_s)?,
                xml: soap::envelope::Limits {
                    depth_max: number("xml_depth_max", o.xml_depth_max)?,
                    attributes_max: number("xml_attributes_max", o.xml_attributes_max)?,
                    namespaces_max: number("xml_namespaces_max", o.xml_namespaces_max)?,
                    ..soap::envelope::Limits::default()
                },
            },
            pages: service::admin::Options {
                session_idle: minutes("session_idle_min", o.session_idle_min)?,
                session_max: minutes("session_max_h", o.session_max_h.map(|hours| 60 * hours))?,
                refusals_kept_max: o.refusals_kept_max.ok_or_else(|| set("refusals_kept_max"))?,
            },
            heads: match o.audit_key {
                Some(key) => {
                    let interval = seconds("audit_head_interval_s", o.audit_head_interval_s)?;
                    Some(Heads { key, file: o.audit_heads, interval })
                }
                None => None,
            },
            database: o.database.ok_or_else(|| set("database"))?,
            listen: o.listen.ok_or_else(|| set("listen"))?,
            metrics_listen: o.metrics_listen,
            public_url: o.public_url,
            cors_origins: o
                .cors_origins
                .unwrap_or_default()
                .parse()
                .map_err(|e| ConfigError(format!("cors_origins: {e}")))?,
            path_prefix: o
                .path_prefix
                .map(|prefix| routes::path_prefix(&prefix).map_err(|e| ConfigError(format!("path_prefix: {e}"))))
                .transpose()?,
            test_form: o.test_form.ok_or_else(|| set("test_form"))?,
            log_format: o.log_format.ok_or_else(|| set("log_format"))?,
            log_level: o.log_level.ok_or_else(|| set("log_level"))?,
        })
    }
}

fn read_file(path: &Path) -> Result<Overrides, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
    parse_toml(&text, &path.display().to_string())
}

fn parse_toml(text: &str, source: &str) -> Result<Overrides, ConfigError> {
    toml::from_str(text).map_err(|e| ConfigError(format!("{source}: {e}")))
}

/// The example settings file: every setting with its default, commented out.
pub fn example_file() -> String {
    let mut out = String::from(
        "# Settings of `seatkeeper serve --config FILE`. The values in comments are the defaults.\n\
         # An environment variable overrides this file, and a flag overrides both.\n",
    );
    for setting in SETTINGS {
        let default = if setting.default == "-" { "\"...\"".to_owned() } else { toml_value(setting.default) };
        out += &format!("\n# {}\n# (environment: {})\n#{} = {default}\n", setting.doc, setting.env, setting.name);
    }
    out
}

fn defaults_toml() -> String {
    SETTINGS.iter().filter(|s| s.default != "-").map(|s| format!("{} = {}\n", s.name, toml_value(s.default))).collect()
}

fn toml_value(text: &str) -> String {
    let bare = text.parse::<u64>().is_ok() || text.parse::<bool>().is_ok();
    if bare { text.to_owned() } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_the_one_in_the_repository_and_can_be_used() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/seatkeeper.toml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().expect("parent")).expect("deploy/");
            std::fs::write(&path, example_file()).expect("write");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("deploy/seatkeeper.toml"), example_file());
        Config::load(Some(&path), Overrides::default()).expect("as it stands");

        // With all comments removed it has the same settings as without a file.
        let on: String = example_file()
            .lines()
            .filter_map(|l| l.strip_prefix('#'))
            .filter(|l| !l.starts_with(' ') && !l.contains("\"...\""))
            .map(|l| format!("{l}\n"))
            .collect();
        assert_eq!(on, defaults_toml());
    }

    #[test]
    fn defaults_of_the_file_and_of_the_parts_are_the_same() {
        let config = Config::load(None, Overrides::default()).expect("defaults");
        assert_eq!(format!("{:?}", config.limits), format!("{:?}", http::Limits::default()));
        assert_eq!(format!("{:?}", config.auth), format!("{:?}", auth::Options::default()));
        assert_eq!(format!("{:?}", config.store), format!("{:?}", store::Options::default()));
        assert_eq!(format!("{:?}", config.pages), format!("{:?}", service::admin::Options::default()));
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let dir = std::env::temp_dir().join(format!("seatkeeper-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("dir");
        let path = dir.join("a.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\nbody_bytes_max = 7\n").expect("write");
        let flags = Overrides { listen: Some("127.0.0.1:2".parse().expect("address")), ..Overrides::default() };
        let config = Config::load(Some(&path), flags).expect("load");
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.limits.body_bytes_max, 7);
        assert_eq!(config.limits.xml.depth_max, 32);

        for (text, complaint) in [
            ("lisen = \"127.0.0.1:1\"", "unknown field `lisen`"),
            ("listen = \"nowhere\"", "listen"),
            ("queue_calls_max = 0", "queue_calls_max must be 1 or more"),
            ("wrong_passwords_max = 0", "wrong_passwords_max must be 1 or more"),
            ("sign_ins_waiting_max = 0", "sign_ins_waiting_max must be 1 or more"),
            ("queue_calls_max = 9223372036854775807", "queue_calls_max must be 1000000 or less"),
            ("group_calls_max = 4294967295", "group_calls_max must be 1000000 or less"),
            ("idle_timeout_s = 0", "idle_timeout_s must be from 1 to 31536000"),
            ("idle_timeout_s = 9223372036854775807", "idle_timeout_s must be from 1 to 31536000"),
            ("head_timeout_s = 0", "head_timeout_s must be from 1 to 31536000"),
            ("remember_sign_ins_s = 31536001", "remember_sign_ins_s must be from 0 to 31536000"),
            ("audit_heads = \"heads.jsonl\"", "audit_heads is where signed heads go: set audit_key too"),
            ("audit_head_interval_s = 0", "audit_head_interval_s must be from 1 to 31536000"),
            ("busy_timeout_ms = 9223372036854775807", "busy_timeout_ms must be from 0 to 86400000"),
            ("postgres_connections_max = 0", "postgres_connections_max must be 1 or more"),
            ("postgres_statement_timeout_ms = 0", "postgres_statement_timeout_ms must be from 100 to 86400000"),
            ("public_url = \"licenses.example.com\"", "public_url"),
            ("public_url = \"https://a.example/path\"", "public_url"),
            ("cors_origins = \"tools.example.com\"", "cors_origins: 'tools.example.com' is not an origin"),
            ("path_prefix = \"SuperOffice/\"", "path_prefix: 'SuperOffice/' must be a path"),
            ("trusted_proxies = \"10.0.0.0/99\"", "trusted_proxies: '10.0.0.0/99' has a bad prefix"),
        ] {
            std::fs::write(&path, text).expect("write");
            let error = Config::load(Some(&path), Overrides::default()).expect_err(text).to_string();
            assert!(error.contains(complaint), "{error}");
        }
        std::fs::remove_dir_all(&dir).expect("clean up");
    }
}
