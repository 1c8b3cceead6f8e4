//! A proxy between a node and its database that cuts connections, and keeps them waiting, at chosen moments of the protocol. It understands
//! nothing of what it passes on but where a message begins and ends.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The message waits for so long.
    Delay(Duration),
    /// Both sides see the connection end: by RST, or by FIN.
    Cut { by_reset: bool },
    /// Nothing is passed on any more, and after so long the connection is cut.
    Silence(Duration),
    /// The client sees it end at once, the server only after so long, as when a network loses one side.
    LeaveServer(Duration),
}

/// When something happens, and what.
#[derive(Debug, Clone)]
pub struct Strike {
    pub way: Way,
    /// On the connection on which this text was seen on its way to the server; `None`: on any.
    pub marker: Option<&'static str>,
    /// Only on a connection that has not signed in yet.
    pub in_sign_in: bool,
    /// Only messages of this kind, by their first byte, count.
    pub kind: Option<u8>,
    /// Messages that pass before.
    pub messages: usize,
    /// Bytes of the message that pass before; 0: at its border.
    pub bytes: usize,
    pub act: Act,
    /// It happens to all connections at once.
    pub to_all: bool,
}

impl Strike {
    /// The next message that goes this way.
    pub fn next(way: Way, act: Act) -> Strike {
        Strike { way, marker: None, in_sign_in: false, kind: None, messages: 0, bytes: 0, act, to_all: false }
    }
}

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    /// `Some` until it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    server_port: u16,
    /// Those to come; the first one that fits a message happens.
    strikes: Mutex<VecDeque<Strike>>,
    has_struck: Condvar,
    /// While it is so, what is new is silent from its beginning.
    is_dark: AtomicBool,
    /// While it is so, what is new is cut at once.
    refuses: AtomicBool,
    pairs: Mutex<Vec<Weak<Pair>>>,
    /// Connections that are open on the server's side.
    open: AtomicUsize,
}

/// A connection, both sides of it.
struct Pair {
    client: Arc<TcpStream>,
    server: Arc<Server>,
    state: watch::Sender<State>,
    marker: Mutex<Option<&'static str>>,
    has_signed_in: AtomicBool,
}

struct Server(TcpStream, Arc<Shared>);

impl Drop for Server {
    fn drop(&mut self) {
        self.1.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Silent,
    Ended,
}

impl Proxy {
    pub fn to(server_port: u16) -> Proxy {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            server_port,
            strikes: Mutex::default(),
            has_struck: Condvar::new(),
            is_dark: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            pairs: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        runtime.spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&shared).connect(client));
                }
            }
        });
        Proxy { port, shared, runtime: Some(runtime) }
    }

    /// Lets something happen, once.
    pub fn strike(&self, strike: Strike) {
        self.shared.strikes.lock().expect("not poisoned").push_back(strike);
    }

    /// Waits until all of it has happened, but no longer than this. Whether it has.
    pub fn wait(&self, limit: Duration) -> bool {
        let strikes = self.shared.strikes.lock().expect("not poisoned");
        let waited = self.shared.has_struck.wait_timeout_while(strikes, limit, |strikes| !strikes.is_empty());
        waited.expect("not poisoned").0.is_empty()
    }

    /// What did not happen yet will not.
    pub fn forget(&self) {
        self.shared.strikes.lock().expect("not poisoned").clear();
    }

    /// From now on new connections are cut at once, or not.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Does this to all connections.
    pub fn act_on_all(&self, act: Act) {
        let _in_runtime = self.runtime.as_ref().expect("it runs").enter();
        self.shared.act_on_all(act);
    }

    /// Connections that the server still has.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    async fn connect(self: Arc<Shared>, client: TcpStream) {
        if self.refuses.load(Ordering::SeqCst) {
            let _ = client.set_zero_linger();
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server_port)).await else { return };
        let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
        self.open.fetch_add(1, Ordering::SeqCst);
        let pair = Arc::new(Pair {
            client: Arc::new(client),
            server: Arc::new(Server(server, Arc::clone(&self))),
            state: watch::Sender::new(State::Open),
            marker: Mutex::default(),
            has_signed_in: AtomicBool::new(false),
        });
        let mut pairs = self.pairs.lock().expect("not poisoned");
        pairs.retain(|pair| pair.strong_count() > 0);
        pairs.push(Arc::downgrade(&pair));
        drop(pairs);
        if self.is_dark.load(Ordering::SeqCst) {
            pair.state.send_replace(State::Silent);
        }
        for way in [Way::ToServer, Way::ToClient] {
            let (shared, pair) = (Arc::clone(&self), Arc::clone(&pair));
            tokio::spawn(async move {
                let _ = shared.pump(&pair, way).await;
                pair.state.send_replace(State::Ended);
            });
        }
    }

    async fn pump(self: &Arc<Shared>, pair: &Arc<Pair>, way: Way) -> io::Result<()> {
        let (from, to) = match way {
            Way::ToServer => (&*pair.client, &pair.server.0),
            Way::ToClient => (&pair.server.0, &*pair.client),
        };
        let (mut state, mut open) = (pair.state.subscribe(), pair.state.subscribe());
        let mut messages = Messages::new(way);
        let mut buffer = vec![0; 16 * 1024];
        // Bytes that pass before it happens.
        let mut pending: Option<(usize, Strike)> = None;
        loop {
            let length = tokio::select! {
                biased;
                _ = state.wait_for(|state| *state == State::Ended) => return Ok(()),
                length = read(from, &mut buffer) => length?,
            };
            let mut rest = &buffer[..length];
            if length == 0 {
                return Ok(());
            }
            if way == Way::ToServer {
                self.look_for_marker(pair, rest);
            }
            while !rest.is_empty() {
                // A run of bytes that ends where something happens, or with what was read.
                let mut run = 0;
                let mut struck = None;
                while run < rest.len() && struck.is_none() {
                    let piece = messages.next(&rest[run..]);
                    if let Some(kind) = piece.begins
                        && pending.is_none()
                    {
                        if way == Way::ToClient && kind == b'Z' {
                            pair.has_signed_in.store(true, Ordering::SeqCst);
                        }
                        pending = self.take(pair, way, kind).map(|strike| (strike.bytes, strike));
                    }
                    let passes = pending.as_ref().map_or(piece.length, |(bytes, _)| piece.length.min(*bytes));
                    messages.pass(&rest[run..run + passes]);
                    run += passes;
                    pending = pending.map(|(bytes, strike)| (bytes - passes, strike));
                    // At the latest at the end of the message, if it has begun.
                    let is_due = |bytes: usize| bytes == 0 || messages.is_at_border();
                    struck = pending.take_if(|(bytes, _)| is_due(*bytes)).map(|(_, strike)| strike);
                }
                tokio::select! {
                    biased;
                    _ = state.wait_for(|state| *state == State::Ended) => return Ok(()),
                    done = async {
                        let _ = open.wait_for(|state| *state != State::Silent).await;
                        write(to, &rest[..run]).await
                    } => done?,
                }
                rest = &rest[run..];
                if let Some(strike) = struck {
                    match strike.act {
                        Act::Delay(length) => tokio::time::sleep(length).await,
                        act if strike.to_all => self.act_on_all(act),
                        act => pair.act(act),
                    }
                    self.has_struck.notify_all();
                }
            }
        }
    }

    fn look_for_marker(&self, pair: &Pair, bytes: &[u8]) {
        let strikes = self.strikes.lock().expect("not poisoned");
        let Some(marker) = strikes.front().and_then(|strike| strike.marker) else { return };
        if bytes.windows(marker.len()).any(|window| window == marker.as_bytes()) {
            *pair.marker.lock().expect("not poisoned") = Some(marker);
        }
    }

    /// What happens to the message that begins.
    fn take(&self, pair: &Pair, way: Way, kind: u8) -> Option<Strike> {
        let mut strikes = self.strikes.lock().expect("not poisoned");
        let strike = strikes.front_mut()?;
        let fits = strike.way == way
            && (!strike.in_sign_in || !pair.has_signed_in.load(Ordering::SeqCst))
            && (strike.marker.is_none() || strike.marker == *pair.marker.lock().expect("not poisoned"))
            && strike.kind.is_none_or(|only| only == kind)
            && *pair.state.borrow() == State::Open;
        if !fits {
            return None;
        }
        if strike.messages > 0 {
            strike.messages -= 1;
            return None;
        }
        strikes.pop_front()
    }

    fn act_on_all(self: &Arc<Shared>, act: Act) {
        if let Act::Silence(length) = act {
            self.is_dark.store(true, Ordering::SeqCst);
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(length).await;
                shared.is_dark.store(false, Ordering::SeqCst);
                shared.act_on_all(Act::Cut { by_reset: true });
            });
        }
        let pairs: Vec<_> = self.pairs.lock().expect("not poisoned").iter().filter_map(Weak::upgrade).collect();
        pairs.iter().for_each(|pair| pair.act(act));
    }
}

impl Pair {
    fn act(self: &Arc<Pair>, act: Act) {
        match act {
            Act::Delay(_) => {}
            Act::Cut { by_reset } => self.end(by_reset),
            Act::Silence(length) => {
                self.state.send_if_modified(|state| {
                    let is_open = *state == State::Open;
                    *state = if is_open { State::Silent } else { *state };
                    is_open
                });
                let pair = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(length).await;
                    pair.end(true);
                });
            }
            Act::LeaveServer(length) => {
                let _ = self.client.set_zero_linger();
                let server = Arc::clone(&self.server);
                self.state.send_replace(State::Ended);
                tokio::spawn(async move {
                    tokio::time::sleep(length).await;
                    drop(server);
                });
            }
        }
    }

    /// The sockets are closed when the pumps have ended.
    fn end(&self, by_reset: bool) {
        if by_reset {
            let _ = self.client.set_zero_linger();
            let _ = self.server.0.set_zero_linger();
        }
        self.state.send_replace(State::Ended);
    }
}

async fn read(from: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(written) => bytes = &bytes[written..],
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where messages begin and end. The first one of a client has no kind. (A client that asks for TLS is not understood.)
struct Messages {
    header: Vec<u8>,
    header_length: usize,
    /// Bytes of the message behind its header.
    rest: usize,
}

/// Bytes of one message, as far as they are there.
struct Piece {
    /// The kind of the message, if it begins here.
    begins: Option<u8>,
    length: usize,
}

impl Messages {
    fn new(way: Way) -> Messages {
        Messages { header: Vec::new(), header_length: if way == Way::ToServer { 4 } else { 5 }, rest: 0 }
    }

    fn is_at_border(&self) -> bool {
        self.header.is_empty() && self.rest == 0
    }

    /// The piece at the beginning of these bytes.
    fn next(&self, bytes: &[u8]) -> Piece {
        let begins = self.is_at_border().then(|| if self.header_length == 5 { bytes[0] } else { 0 });
        let length = match self.rest {
            0 => (self.header_length - self.header.len()).min(bytes.len()),
            rest => rest.min(bytes.len()),
        };
        Piece { begins, length }
    }

    /// Takes note of bytes that passed, no more than a piece.
    fn pass(&mut self, bytes: &[u8]) {
        if self.rest > 0 {
            self.rest -= bytes.len();
            return;
        }
        self.header.extend_from_slice(bytes);
        if self.header.len() == self.header_length {
            let length = self.header.split_off(self.header_length - 4);
            // The length counts itself.
            self.rest = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize - 4;
            self.header.clear();
            self.header_length = 5;
        }
    }
}
