//! The table of the settings. Everything about a setting follows from its line: the flag with its help, the environment variable, the
//! name in the file, and its line in `seatkeeper config` and in the example file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::value::{Entry, Given, LogFormat, LogLevel, Problem, Value, read};
use crate::store;

/// The new value counts after a reload (SIGHUP).
const LIVE: bool = true;
/// The new value counts after a restart.
const START: bool = false;

/// Declares the settings: name, type, default as text (`-`: none), unit or form of the value, when a change counts, environment
/// variable, description.
macro_rules! settings {
    ($($name:ident: $type:ty = $default:literal, $unit:literal, $live:ident, $env:literal, $doc:literal;)*) => {
        /// The settings that are given as flags, as text.
        #[derive(Debug, Clone, Default, clap::Args)]
        #[expect(rustdoc::bare_urls, reason = "the texts are for --help, which would show the brackets of a link")]
        pub struct Flags {
            $(
                #[doc = $doc]
                #[arg(long, value_name = $unit, help = concat!($doc, " [default: ", $default, "] [env: ", $env, "]"))]
                pub $name: Option<String>,
            )*
        }

        impl Flags {
            /// Name and text of each flag that is given.
            pub(super) fn given(&self) -> Vec<(&'static str, &str)> {
                [$((stringify!($name), self.$name.as_deref()),)*]
                    .into_iter()
                    .filter_map(|(name, text)| Some((name, text?)))
                    .collect()
            }
        }

        /// The values of the settings; `None`: not set, and without a default.
        #[derive(Debug)]
        pub(super) struct Values {
            $(pub(super) $name: Option<$type>,)*
        }

        impl Values {
            /// Reads each text; those that cannot be read become problems.
            pub(super) fn read(given: &[Given], entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) -> Values {
                Values { $($name: read::<$type>(stringify!($name), given, entries, problems),)* }
            }
        }

        /// Every setting, in order.
        pub const SETTINGS: &[Setting] = &[
            $(Setting {
                name: stringify!($name),
                env: $env,
                default: $default,
                form: $unit,
                is_quantity: <$type as Value>::IS_QUANTITY,
                is_live: $live,
                doc: $doc,
            },)*
        ];
    };
}

/// One setting, described.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// As text; `-`: none.
    pub default: &'static str,
    form: &'static str,
    is_quantity: bool,
    /// Whether a reload puts a change in force; otherwise it takes a restart.
    pub is_live: bool,
    pub doc: &'static str,
}

impl Setting {
    /// The unit of the value, if it is a number.
    pub fn unit(&self) -> Option<String> {
        self.is_quantity.then(|| if self.form == "MiB" { self.form.to_owned() } else { self.form.to_ascii_lowercase() })
    }

    /// Whether the value is a path, or may be one.
    pub fn is_path(&self) -> bool {
        self.form.starts_with("FILE")
    }

    /// The name as a flag.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    pub(super) fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

settings! {
    database: store::Database = "seatkeeper.db", "FILE|URL", START, "SEATKEEPER_DATABASE", "SQLite file, or address of a PostgreSQL database such as postgres://seatkeeper@db1,db2/seatkeeper; created only with --create";
    listen: SocketAddr = "127.0.0.1:8086", "ADDRESS:PORT", START, "SEATKEEPER_LISTEN", "Address and port to serve on; localhost:8086 is for this machine only, :8086 for every address of the machine";
    tls_certificate: PathBuf = "-", "FILE", LIVE, "SEATKEEPER_TLS_CERTIFICATE", "PEM file with the certificate and its chain; the service then speaks TLS; none: plain HTTP";
    tls_key: PathBuf = "-", "FILE", LIVE, "SEATKEEPER_TLS_KEY", "PEM file with the private key of tls_certificate";
    metrics_listen: SocketAddr = "-", "ADDRESS:PORT", START, "SEATKEEPER_METRICS_LISTEN", "Address and port for /metrics, separate from the service; none: no metrics are served";
    public_url: String = "-", "URL", START, "SEATKEEPER_PUBLIC_URL", "Scheme, host and port that clients use, such as https://licenses.example.com; none: as in their Host header";
    trusted_proxies: String = "-", "ADDRESSES", LIVE, "SEATKEEPER_TRUSTED_PROXIES", "Addresses and networks of proxies whose Forwarded or X-Forwarded-* headers count, such as 127.0.0.1,10.0.0.0/8; none: the headers are ignored";
    cors_origins: String = "-", "ORIGINS", START, "SEATKEEPER_CORS_ORIGINS", "Origins whose pages may call the Web API, separated by blanks, such as https://tools.example.com, https://*.example.com or http://localhost:*; * alone for all; none: no page";
    path_prefix: String = "-", "PATH", START, "SEATKEEPER_PATH_PREFIX", "Path such as /SuperOffice below which every address is served too; none: only at the root";
    test_form: bool = "true", "YES|NO", START, "SEATKEEPER_TEST_FORM", "Whether browsers on this machine get a form to try operations with";
    enroll: bool = "true", "YES|NO", START, "SEATKEEPER_ENROLL", "Whether an assignment enrolls an unknown user name";
    log_format: LogFormat = "human", "FORMAT", START, "SEATKEEPER_LOG_FORMAT", "Log lines: human, json, or journald (fields of the systemd journal)";
    log_level: LogLevel = "info", "LEVEL", LIVE, "SEATKEEPER_LOG_LEVEL", "Least important log lines shown: error, warn, info, debug or trace";
    log_calls: bool = "false", "YES|NO", LIVE, "SEATKEEPER_LOG_CALLS", "Whether every call is logged, in one line each";
    remember_sign_ins_s: u64 = "300", "SECONDS", LIVE, "SEATKEEPER_REMEMBER_SIGN_INS_S", "How long a proved password is remembered after its last use; 0: not at all";
    remember_sign_ins_max_s: u64 = "3600", "SECONDS", LIVE, "SEATKEEPER_REMEMBER_SIGN_INS_MAX_S", "Age at which a remembered password is checked again, however often it is used; remember_sign_ins_s if that is more";
    sign_ins_waiting_max: usize = "512", "CHECKS", LIVE, "SEATKEEPER_SIGN_INS_WAITING_MAX", "Password checks that may run or wait for their turn; further ones are refused";
    wrong_passwords_max: u32 = "10", "PASSWORDS", LIVE, "SEATKEEPER_WRONG_PASSWORDS_MAX", "Wrong passwords for one user name from one client address (IPv6: /64) before more are slowed down; from all addresses 5 times as many";
    wrong_password_interval_s: u64 = "6", "SECONDS", LIVE, "SEATKEEPER_WRONG_PASSWORD_INTERVAL_S", "Time after which one more wrong password is checked beyond wrong_passwords_max; 0: none are slowed down";
    queue_calls_max: usize = "4096", "CALLS", START, "SEATKEEPER_QUEUE_CALLS_MAX", "Calls that may wait for the database; further ones are refused";
    group_calls_max: usize = "256", "CALLS", START, "SEATKEEPER_GROUP_CALLS_MAX", "The most calls that share one commit";
    postgres_connections_max: usize = "16", "CONNECTIONS", START, "SEATKEEPER_POSTGRES_CONNECTIONS_MAX", "Connections of this node to PostgreSQL";
    postgres_statement_timeout_ms: u64 = "10000", "MILLISECONDS", START, "SEATKEEPER_POSTGRES_STATEMENT_TIMEOUT_MS", "How long PostgreSQL may take for one statement of a call";
    busy_timeout_ms: u64 = "5000", "MILLISECONDS", START, "SEATKEEPER_BUSY_TIMEOUT_MS", "How long to wait for another program that holds the database file";
    verify_interval_s: u64 = "3600", "SECONDS", START, "SEATKEEPER_VERIFY_INTERVAL_S", "Time between two verifications of the whole database while the service runs; 0: only at the start";
    disk_free_min_mib: u64 = "64", "MiB", LIVE, "SEATKEEPER_DISK_FREE_MIN_MIB", "Free disk beside the database below which /readyz answers 503; 0: not looked at";
    metrics_entities_max: usize = "100", "ENTITIES", START, "SEATKEEPER_METRICS_ENTITIES_MAX", "Entities with numbers of their own in /metrics, those with most seats first; the others are added up; 0: none";
    named_calls_s: u64 = "86400", "SECONDS", START, "SEATKEEPER_NAMED_CALLS_S", "How long the outcome of a named call (Idempotency-Key) is kept for a retry; 0: names are ignored";
    named_calls_max: usize = "1000000", "OUTCOMES", START, "SEATKEEPER_NAMED_CALLS_MAX", "Outcomes of named calls kept; an outcome of more than 256 bytes counts as several; the oldest are dropped first";
    refusals_kept_max: u64 = "100000", "CALLS", START, "SEATKEEPER_REFUSALS_KEPT_MAX", "Refused calls kept for administrators; the oldest go first; 0: none";
    session_idle_min: u64 = "30", "MINUTES", START, "SEATKEEPER_SESSION_IDLE_MIN", "Time after which a session of the pages for administrators ends if it is not used";
    session_max_h: u64 = "12", "HOURS", START, "SEATKEEPER_SESSION_MAX_H", "Time after the sign-in at which a session of the pages ends in any case";
    audit_key: PathBuf = "-", "FILE", START, "SEATKEEPER_AUDIT_KEY", "File with the key that signs heads of the history, made by seatkeeper audit key; none: they are not signed";
    audit_heads: PathBuf = "-", "FILE", START, "SEATKEEPER_AUDIT_HEADS", "File to which signed heads are appended, a line of JSON each; none: they are only in the log";
    audit_head_interval_s: u64 = "3600", "SECONDS", START, "SEATKEEPER_AUDIT_HEAD_INTERVAL_S", "Time between two signed heads of the history";
    connections_max: usize = "4096", "CONNECTIONS", LIVE, "SEATKEEPER_CONNECTIONS_MAX", "Open connections; further ones are answered 503";
    connections_per_client_max: usize = "1024", "CONNECTIONS", LIVE, "SEATKEEPER_CONNECTIONS_PER_CLIENT_MAX", "Open connections of one address (IPv6: one /64), trusted proxies excepted; further ones are answered 503; 0: no limit";
    head_bytes_max: usize = "16384", "BYTES", LIVE, "SEATKEEPER_HEAD_BYTES_MAX", "The longest head of a request";
    head_timeout_s: u64 = "10", "SECONDS", LIVE, "SEATKEEPER_HEAD_TIMEOUT_S", "Time from the first byte of a request until its head is complete";
    body_bytes_max: usize = "262144", "BYTES", LIVE, "SEATKEEPER_BODY_BYTES_MAX", "The longest body of a request";
    bodies_bytes_max: usize = "67108864", "BYTES", LIVE, "SEATKEEPER_BODIES_BYTES_MAX", "Memory for all bodies of more than 8 KiB together; one client gets half of it; a request beyond it is answered 503";
    body_timeout_s: u64 = "30", "SECONDS", LIVE, "SEATKEEPER_BODY_TIMEOUT_S", "Time from the end of the head until the body is complete";
    idle_timeout_s: u64 = "120", "SECONDS", LIVE, "SEATKEEPER_IDLE_TIMEOUT_S", "How long a connection may be idle between requests";
    write_timeout_s: u64 = "30", "SECONDS", LIVE, "SEATKEEPER_WRITE_TIMEOUT_S", "How long a client may read nothing of a response";
    shutdown_timeout_s: u64 = "30", "SECONDS", LIVE, "SEATKEEPER_SHUTDOWN_TIMEOUT_S", "How long a shutdown waits for calls in progress";
    xml_depth_max: usize = "32", "ELEMENTS", LIVE, "SEATKEEPER_XML_DEPTH_MAX", "Depth of nested elements in a message";
    xml_attributes_max: usize = "64", "ATTRIBUTES", LIVE, "SEATKEEPER_XML_ATTRIBUTES_MAX", "Attributes of one element";
    xml_namespaces_max: usize = "32", "DECLARATIONS", LIVE, "SEATKEEPER_XML_NAMESPACES_MAX", "Namespace declarations of one element";
}
