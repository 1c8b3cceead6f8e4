//! `seatkeeper health`: asks a running service whether it is ready, where there is no curl, as in a container.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use clap::Args;

use super::{CannotRun, Failure, Unsuitable};

pub(super) const EXAMPLES: &str = "Examples:\n  seatkeeper health\n  seatkeeper health http://127.0.0.1:9000\n  seatkeeper health http://127.0.0.1:8086/healthz";

/// To connect, and for each part of the response.
const PATIENCE: Duration = Duration::from_secs(4);
/// More than any answer of /readyz.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

#[derive(Args)]
pub(super) struct HealthArgs {
    /// Address of the service; /readyz is asked if it has no path.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
}

/// Prints the answer.
///
/// # Errors
///
/// Exit code 1 if the service is not ready, 3 if there is no answer, 2 for an address that it cannot ask.
pub(super) fn health(args: &HealthArgs) -> Result<(), Failure> {
    let url = args.url.as_str();
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(Unsuitable(format!(
            "{url}: only addresses such as http://127.0.0.1:8086 can be asked, without TLS"
        ))
        .into());
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.len() > 1 { path } else { "/readyz" };
    if host.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unsuitable(format!("{url}: an address is such as http://127.0.0.1:8086")).into());
    }
    let answer = ask(host, path).map_err(|error| CannotRun(format!("{url}: no answer: {error}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(write!(std::io::stdout(), "{body}")?),
        Some(status) if head.starts_with("HTTP/1.") => {
            Err(format!("{url}: status {status}: {}", body.trim_end()).into())
        }
        _ => Err(CannotRun(format!("{url}: no HTTP server answers there")).into()),
    }
}

fn ask(host: &str, path: &str) -> std::io::Result<String> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let place = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut failed = std::io::ErrorKind::NotFound.into();
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
