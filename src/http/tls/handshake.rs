//! The beginning of a connection with TLS, and its end.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;
use crate::http::dispatch::is_host;
use crate::http::timeouts::{Notes, Writes};
use crate::metrics::SparseLog;

/// Bytes that rustls holds for a client that reads slowly.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

/// The record of TLS that refuses a connection before its handshake: alert `internal_error` (RFC 8446 §6), which is what servers send
/// that are overloaded. A response of HTTP would need a whole handshake.
pub(in crate::http) const BUSY_ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 80];

/// Why there is no connection.
pub(in crate::http) enum Failed {
    /// The client left before it sent anything, as probes of load balancers do.
    Left,
    /// The client speaks HTTP without TLS. Its request is unread.
    Plain(TcpStream),
    Late,
    Broken(io::Error),
}

/// Limits how often the log speaks of handshakes that fail.
#[derive(Default)]
pub(super) struct Troubles {
    plain: Mutex<SparseLog>,
    others: Mutex<SparseLog>,
}

impl Tls {
    /// The handshake, which must be done within `timeout`.
    pub(in crate::http) async fn accept(
        &self,
        stream: TcpStream,
        notes: &Arc<Notes>,
        timeout: Duration,
    ) -> Result<Encrypted, Failed> {
        let accepted = tokio::time::timeout(timeout, self.handshake(stream, notes)).await.unwrap_or(Err(Failed::Late));
        self.metrics.count_tls_handshake(match &accepted {
            Ok(_) => "done",
            Err(Failed::Left) => return accepted,
            Err(Failed::Plain(_)) => "plain_http",
            Err(Failed::Late) => "timeout",
            Err(Failed::Broken(_)) => "failed",
        });
        accepted
    }

    async fn handshake(&self, stream: TcpStream, notes: &Arc<Notes>) -> Result<Encrypted, Failed> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) => return Err(Failed::Left),
            // A method; a handshake begins with 22.
            Ok(_) if first[0].is_ascii_alphabetic() => return Err(Failed::Plain(stream)),
            Ok(_) => {}
            Err(error) => return Err(Failed::Broken(error)),
        }
        let socket = Writes::new(stream, Arc::clone(notes));
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(Failed::Broken)?;
        // The private key signs in `into_stream_with`, not in its future: a flood of handshakes waits here, in turn.
        let turn = self.turns.acquire().await;
        let limit =
            |session: &mut tokio_rustls::rustls::ServerConnection| session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        let rest = hello.into_stream_with(Arc::clone(&self.config), limit);
        drop(turn);
        let stream = rest.await.map_err(Failed::Broken)?;
        Ok(Encrypted { stream, notes: Arc::clone(notes) })
    }

    /// Logs a failed handshake, once a minute at most for each kind.
    pub(in crate::http) fn log_failure(&self, client: IpAddr, failed: &Failed) {
        let count = |log: &Mutex<SparseLog>| {
            log.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now().into_std())
        };
        let why: &dyn std::fmt::Display = match failed {
            Failed::Left => return,
            Failed::Plain(_) => {
                if let Some(before) = count(&self.troubles.plain) {
                    tracing::warn!(
                        %client,
                        left_out = before,
                        "a client speaks plain HTTP to the port of TLS and was refused: its address must begin with https://; its \
                         request, and a password in it, was not encrypted"
                    );
                }
                return;
            }
            Failed::Late => &"it took too long",
            Failed::Broken(error) => error,
        };
        if let Some(before) = count(&self.troubles.others) {
            tracing::info!(%client, error = %why, left_out = before, "a TLS handshake failed");
        }
    }
}

/// Tells a client that speaks plain HTTP to use TLS. Its request is left unread.
pub(in crate::http) async fn answer_plain(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = [0; 2048];
    let length = stream.peek(&mut head).await?;
    let address = host(&head[..length])
        .map_or_else(|| "https:// instead of http://".to_owned(), |host| format!("https://{host}/"));
    let body = format!("This port speaks TLS: use {address}\n");
    let length = body.len();
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes()).await
}

/// The host that the first bytes of a request name.
fn host(head: &[u8]) -> Option<String> {
    let lines = head.split(|byte| *byte == b'\n').skip(1).take_while(|line| !line.trim_ascii().is_empty());
    let mut hosts = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(5)?;
        // The last line may be cut off.
        name.eq_ignore_ascii_case(b"host:").then(|| value.strip_suffix(b"\r"))?
    });
    let host = std::str::from_utf8(hosts.next()?.trim_ascii()).ok()?;
    (!host.is_empty() && is_host(host.as_bytes())).then(|| host.to_owned())
}

/// A connection with TLS.
pub(in crate::http) struct Encrypted {
    stream: TlsStream<Writes<TcpStream>>,
    notes: Arc<Notes>,
}

/// Says goodbye (`close_notify`) when a time limit ends a connection between two requests. A response that is cut off must not look
/// complete, so a connection that ends in the middle of one says nothing.
impl Drop for Encrypted {
    fn drop(&mut self) {
        if !self.notes.ended_at_rest() {
            return;
        }
        let (socket, session) = self.stream.get_mut();
        session.send_close_notify();
        let mut socket = Now(socket.get_ref());
        while session.wants_write() && session.write_tls(&mut socket).is_ok() {}
    }
}

/// Writes what the socket takes at once.
struct Now<'s>(&'s TcpStream);

impl io::Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.try_write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => Ok(n),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Sends `close_notify`.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_repeated_only_if_it_is_one() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: licenses.example:8443\r\n\r\n", Some("licenses.example:8443")),
            ("GET / HTTP/1.1\r\nAccept: */*\r\nhOST:[::1]:8443\r\nX: y", Some("[::1]:8443")),
            ("GET / HTTP/1.1\r\nHost: licenses.exam", None),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: <script>\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: \r\n\r\n", None),
            ("GET / HTTP/1.1\r\nX: y\r\n\r\nHost: body.example\r\n", None),
            ("Host: a.example\r\n", None),
            ("", None),
        ] {
            assert_eq!(host(head.as_bytes()).as_deref(), expected, "{head}");
        }
    }
}
