//! The place of the database: the URL and its parameters.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};

use super::meaning::text;
use super::tls::Verification;
use crate::store::{Address, OpenError};

/// A database on one of several PostgreSQL servers.
#[derive(Clone)]
pub(crate) struct Server {
    address: Address,
    /// All settings but the hosts.
    config: Config,
    pub(super) places: Vec<Place>,
    pub(super) verification: Verification,
    /// The time limit for one host, from the first byte until the connection is checked.
    pub(super) connect_timeout: Duration,
    pub(super) attributes: TargetSessionAttrs,
    pub(super) is_balanced: bool,
    /// The index in `places` of the last connection. That host is tried first; otherwise each new connection would wait for a
    /// silent host before it.
    pub(super) last: Arc<AtomicUsize>,
}

/// One host of the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The directory of the server's socket.
    Socket { directory: PathBuf, port: u16 },
    /// `name`: for TLS, and for the look-up if there is no `address`.
    Tcp { name: String, address: Option<IpAddr>, port: u16 },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Socket { directory, port } => write!(f, "{}/.s.PGSQL.{port}", directory.display()),
            Place::Tcp { name, port, .. } => write!(f, "{name}:{port}"),
        }
    }
}

/// The default of `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The socket directory of Debian's server.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// A silent connection is probed after this time, and again three times.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_RETRIES: u32 = 3;

/// How long sent data may stay unconfirmed by the peer.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Parameters of libpq that this program does not support, with an alternative.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("sslcert", "client certificates are not supported: use a password"),
    ("sslkey", "client certificates are not supported: use a password"),
    ("sslcrl", "revocation lists are not supported"),
    ("service", "service files are not supported: write the hosts into the URL"),
    ("gssencmode", "GSSAPI is not supported"),
];

impl Server {
    /// # Errors
    ///
    /// An address that is invalid or has an unsupported parameter.
    pub(super) fn of(address: &Address) -> Result<Server, OpenError> {
        Server::read(address).map_err(|reason| OpenError::Address { place: address.to_string(), reason })
    }

    /// The error as text, without the password.
    fn read(address: &Address) -> Result<Server, String> {
        address.require_clear()?;
        for (name, instead) in UNSUPPORTED {
            if address.without([name]).1[0].is_some() {
                return Err(format!("the parameter {name} cannot be used: {instead}"));
            }
        }
        let (url, [mode, root, _]) = address.without(["sslmode", "sslrootcert", "passfile"]);
        // The driver's error names the parameter, not its value.
        let mut config: Config = url.parse().map_err(|error| text(&error))?;
        let (ssl_mode, verification) = Verification::of(mode.as_deref(), root.map(PathBuf::from))?;
        if config.get_channel_binding() == ChannelBinding::Require {
            return Err("channel_binding=require cannot be used: channel binding is not supported".to_owned());
        }
        config.ssl_mode(ssl_mode);
        let limit = config.get_connect_timeout().copied().filter(|limit| !limit.is_zero());
        let server = Server {
            address: address.clone(),
            places: places(&config)?,
            verification,
            connect_timeout: limit.unwrap_or(CONNECT_TIMEOUT),
            attributes: config.get_target_session_attrs(),
            is_balanced: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
            last: Arc::default(),
            config: without_hosts(&config),
        };
        let is_socket = |place: &Place| matches!(place, Place::Socket { .. });
        if ssl_mode == SslMode::Require && server.places.iter().any(is_socket) {
            return Err("a Unix socket has no TLS: leave sslmode out, or name the host".to_owned());
        }
        Ok(server)
    }

    /// The settings of a connection to one of the hosts.
    pub(super) fn config_for(&self, place: &Place, address: Option<SocketAddr>) -> Result<Config, String> {
        let mut config = self.config.clone();
        let (host, port) = match place {
            Place::Socket { directory, port } => {
                config.host_path(directory).port(*port).ssl_mode(SslMode::Disable);
                let is_usual = directory.as_path() == Path::new(SOCKET_DIRECTORY);
                (if is_usual { "localhost".into() } else { directory.to_string_lossy() }, *port)
            }
            Place::Tcp { name, port, .. } => {
                config.host(name.as_str()).port(*port);
                (name.into(), *port)
            }
        };
        if let Some(address) = address {
            config.hostaddr(address.ip());
        }
        if config.get_password().is_none() {
            let user = config.get_user().unwrap_or_default();
            let database = config.get_dbname().unwrap_or(user);
            if let Some(password) = self.address.password(&host, port, database, user)? {
                config.password(password.as_bytes());
            }
        }
        Ok(config)
    }
}

fn places(config: &Config) -> Result<Vec<Place>, String> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err("host and hostaddr name different numbers of hosts".to_owned());
    }
    if ports.len() > 1 && ports.len() != count {
        return Err("there must be one port, or one for each host".to_owned());
    }
    let port = |number: usize| match ports {
        [] => 5432,
        [port] => *port,
        ports => ports[number],
    };
    if count == 0 {
        return Ok(vec![Place::Socket { directory: SOCKET_DIRECTORY.into(), port: port(0) }]);
    }
    let place = |number: usize| {
        let address = addresses.get(number).copied();
        match hosts.get(number) {
            Some(Host::Unix(directory)) => Place::Socket { directory: directory.clone(), port: port(number) },
            Some(Host::Tcp(name)) => Place::Tcp { name: name.clone(), address, port: port(number) },
            None => {
                let name = address.map(|address| address.to_string()).unwrap_or_default();
                Place::Tcp { name, address, port: port(number) }
            }
        }
    };
    Ok((0..count).map(place).collect())
}

/// The same settings without hosts, which the driver would try by itself; and with our defaults.
fn without_hosts(config: &Config) -> Config {
    let mut own = Config::new();
    if let Some(user) = config.get_user() {
        own.user(user);
    }
    if let Some(password) = config.get_password() {
        own.password(password);
    }
    if let Some(name) = config.get_dbname() {
        own.dbname(name);
    }
    if let Some(options) = config.get_options() {
        own.options(options);
    }
    own.application_name(config.get_application_name().unwrap_or("seatkeeper"));
    own.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
    own.channel_binding(config.get_channel_binding());
    own.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(TCP_USER_TIMEOUT));
    let is_default = config.get_keepalives_idle() == Config::new().get_keepalives_idle();
    own.keepalives(config.get_keepalives());
    own.keepalives_idle(if is_default { KEEPALIVES_IDLE } else { config.get_keepalives_idle() });
    own.keepalives_interval(config.get_keepalives_interval().unwrap_or(KEEPALIVES_INTERVAL));
    own.keepalives_retries(config.get_keepalives_retries().unwrap_or(KEEPALIVES_RETRIES));
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Database;

    fn server(url: &str) -> Result<Server, String> {
        match Database::from(url) {
            Database::Server(address) => Server::read(&address),
            Database::File(_) => panic!("{url} is no address of a server"),
        }
    }

    #[test]
    fn urls_are_read() {
        let tcp = |name: &str, port| Place::Tcp { name: name.to_owned(), address: None, port };
        let socket = |directory: &str, port| Place::Socket { directory: directory.into(), port };
        for (url, places, limit) in [
            ("postgres://u:p@a/d", vec![tcp("a", 5432)], 2),
            (
                "POSTGRESQL://u@a:1,b:2,c:3/d?target_session_attrs=read-write",
                vec![tcp("a", 1), tcp("b", 2), tcp("c", 3)],
                2,
            ),
            ("postgres://u@a,b:6432/d?connect_timeout=7", vec![tcp("a", 5432), tcp("b", 6432)], 7),
            ("postgres://[::1]:1/d", vec![tcp("::1", 1)], 2),
            ("postgres:///d", vec![socket("/var/run/postgresql", 5432)], 2),
            ("postgres:///d?host=/tmp/s&port=99", vec![socket("/tmp/s", 99)], 2),
            ("postgres://%2Ftmp%2Fs:7/d?sslmode=prefer", vec![socket("/tmp/s", 7)], 2),
        ] {
            let server = server(url).expect(url);
            assert_eq!(server.places, places, "{url}");
            assert_eq!(server.connect_timeout, Duration::from_secs(limit), "{url}");
            assert_eq!(server.config.get_application_name(), Some("seatkeeper"));
            assert!(server.config.get_hosts().is_empty());
        }
    }

    #[test]
    fn urls_that_cannot_be_used_say_why() {
        for (url, why) in [
            ("postgres://a:x/d", "port"),
            ("postgres://a/d?sslmode=maybe", "sslmode"),
            ("postgres://a/d?sslmode=verify-full", "sslrootcert"),
            ("postgres://a/d?sslmode=verify-ca", "sslrootcert"),
            ("postgres://a/d?sslmode=verify-full&sslrootcert=system", "sslrootcert"),
            ("postgres://a/d?sslmode=verify-full&sslrootcert=/no/such/file", "/no/such/file"),
            ("postgres://a/d?sslcert=x", "client certificates"),
            ("postgres://a/d?statement_timeout=7", "statement_timeout"),
            ("postgres:///d?host=/tmp&sslmode=require", "socket"),
            ("postgres://a,b/d?port=1,2,3", "port"),
            ("postgres://a/d?channel_binding=require", "channel binding is not supported"),
        ] {
            let error = server(url).err().expect(url);
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_taken_for_a_host() {
        for url in [
            "postgres://u:sec@ret@a/d",
            "postgres://u:sec@ret/x@a/d",
            "postgres://u:sec@ret?x@a/d",
            "postgres://u:s@e@cret@a:1,b:2/d?sslmode=require",
            "postgres://a/d?user=u&password=sec@ret",
            "postgres://a:1/d?user=u&password=sec@ret",
        ] {
            let error = server(url).err().expect(url);
            assert!(error.contains("percent-encoded (%40") && !error.contains("ret"), "{url}: {error}");
        }
        // These are read as ever: only an '@' ends a password.
        for (url, password) in [
            ("postgres://u:sec/ret@a/d", "sec/ret"),
            ("postgres://u:sec?re&&t=@a/d?sslmode=disable&passfile=f", "sec?re&&t="),
            ("postgres://u:sec:ret%40@a/d?application_name=x@y", "sec:ret@"),
        ] {
            let server = server(url).expect(url);
            assert_eq!(server.config.get_password(), Some(password.as_bytes()), "{url}");
            assert!(matches!(&server.places[..], [Place::Tcp { name, .. }] if name == "a"), "{url}");
        }
    }
}
