//! `seatkeeper health`: asks a running service whether it is ready, where there is no curl, as in a container.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{CannotRun, Failure, Unsuitable};
use crate::config::{Flags, Sources};
use crate::net;

pub(super) const EXAMPLES: &str = "Examples:\n  seatkeeper health\n  seatkeeper health http://127.0.0.1:9000\n  seatkeeper health http://127.0.0.1:8086/healthz";

/// To connect, and for each part of the response.
const PATIENCE: Duration = Duration::from_secs(4);
/// More than any answer of /readyz.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const DEFAULT_PATH: &str = "/readyz";

#[derive(Args)]
pub(super) struct HealthArgs {
    /// Address of the service, without TLS; /readyz is asked if it has no path [default: `listen` of the settings, with TLS if the
    /// service speaks it].
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The settings file [default: /etc/seatkeeper/seatkeeper.toml, if it exists] [env: SEATKEEPER_CONFIG].
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
}

/// What to ask.
struct Target {
    /// As the user wrote it, or as a user would write it.
    url: String,
    host: String,
    path: String,
    addresses: Vec<SocketAddr>,
    is_tls: bool,
}

/// Prints the answer.
///
/// # Errors
///
/// Exit code 1 if the service is not ready, 3 if there is no answer, 2 for an address or settings that cannot be used.
pub(super) fn health(args: &HealthArgs) -> Result<(), Failure> {
    let target = match &args.url {
        Some(url) => Target::of_url(url)?,
        None => Target::of_settings(&Sources::of_process(args.config.as_deref(), Flags::default()))?,
    };
    let url = &target.url;
    let answer = target.ask().map_err(|error| CannotRun(format!("{url}: no answer: {error}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(write!(std::io::stdout(), "{body}")?),
        Some(status) if head.starts_with("HTTP/1.") => {
            Err(format!("{url}: status {status}: {}", body.trim_end()).into())
        }
        _ => Err(CannotRun(format!("{url}: no HTTP server answers there")).into()),
    }
}

impl Target {
    fn of_url(url: &str) -> Result<Target, Failure> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(Unsuitable(format!(
                "{url}: only addresses such as http://127.0.0.1:8086 can be asked, without TLS. Without an address the service of the \
                 settings is asked, also with TLS"
            ))
            .into());
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.len() > 1 { path } else { DEFAULT_PATH };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let place = if has_port { host.to_owned() } else { format!("{host}:80") };
        let port = place.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if host.is_empty()
            || host.starts_with(':')
            || port.is_none()
            || !url.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Unsuitable(format!("{url}: an address is such as http://127.0.0.1:8086")).into());
        }
        let addresses = place.to_socket_addrs().map_err(|error| CannotRun(format!("{url}: no answer: {error}")))?;
        let (host, path) = (host.to_owned(), path.to_owned());
        Ok(Target { url: url.to_owned(), host, path, addresses: addresses.collect(), is_tls: false })
    }

    /// The service that these settings start on this machine.
    fn of_settings(sources: &Sources) -> Result<Target, Failure> {
        let (listen, is_tls) = sources.service()?;
        let port = listen.port();
        if port == 0 {
            return Err(Unsuitable(
                "listen has port 0, so any port may be meant: give the address of the service".to_owned(),
            )
            .into());
        }
        let local = match listen {
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
            _ => vec![listen.ip()],
        };
        let addresses: Vec<SocketAddr> = local.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let host = addresses[0].to_string();
        let scheme = if is_tls { "https" } else { "http" };
        Ok(Target { url: format!("{scheme}://{host}"), host, path: DEFAULT_PATH.to_owned(), addresses, is_tls })
    }

    fn ask(&self) -> std::io::Result<String> {
        let mut failed = std::io::ErrorKind::NotFound.into();
        for address in &self.addresses {
            match TcpStream::connect_timeout(address, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return match self.is_tls {
                        true => self.ask_over(net::tls::to_own(*address, stream).map_err(std::io::Error::other)?),
                        false => self.ask_over(stream),
                    };
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn ask_over(&self, mut stream: impl Read + Write) -> std::io::Result<String> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.path, self.host);
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
