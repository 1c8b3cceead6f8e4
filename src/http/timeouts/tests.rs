//! The time limits, in every order of events: of the clock alone, and with hyper on a paused clock.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::*;
use crate::http::intake::ResponseBody;

const TIMES: Times =
    Times { idle: Duration::from_secs(120), head: Duration::from_secs(10), write: Duration::from_secs(30) };

// The clock ---------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    HeadBytes,
    Begin,
    End,
    Written,
    Blocked,
    /// A few seconds in which nothing happens.
    Pause,
    /// The task reads the notes. Several events may happen between two readings.
    Look,
}

use Event::{Begin, Blocked, End, HeadBytes, Look, Pause, Written};

const EVENTS: [Event; 7] = [HeadBytes, Begin, End, Written, Blocked, Pause, Look];

/// What a connection should do, described independently of [`Clock`]: by the times of its last events.
struct Model {
    seen: Seen,
    now: Instant,
    /// When the start of the current head was noticed.
    head: Option<Instant>,
    /// When a request or a write was last noticed.
    active: Instant,
    blocked: Option<Instant>,
    /// The events since the last reading.
    unseen: Seen,
}

impl Model {
    fn limit(&self) -> Option<(Instant, Next)> {
        let resting = (self.active + TIMES.idle, Next::Close);
        let reading = self.head.map(|since| (since + TIMES.head, Next::HeadLate));
        let own = if self.seen.open { None } else { Some(reading.unwrap_or(resting)) };
        let write = self.blocked.map(|since| (since + TIMES.write, Next::Close));
        own.into_iter().chain(write).min_by_key(|(at, _)| *at)
    }

    /// Notices the events since the last reading.
    fn look(&mut self) {
        let (old, new) = (self.seen, self.unseen);
        self.seen = new;
        if new.turns != old.turns || new.writes != old.writes || new.open || old.open {
            self.active = self.now;
        }
        if !new.head || new.open {
            // After a head, the connection is idle from the time when that is noticed.
            if self.head.take().is_some() {
                self.active = self.now;
            }
        } else if self.head.is_none() || new.turns != old.turns || new.blocked {
            self.head = Some(self.now);
        }
        if !new.blocked {
            self.blocked = None;
        } else if self.blocked.is_none() || new.writes != old.writes {
            self.blocked = Some(self.now);
        }
    }
}

/// Every sequence of this many events.
fn check(events: &mut Vec<Event>, length: usize) {
    if events.len() < length {
        for event in EVENTS {
            events.push(event);
            check(events, length);
            events.pop();
        }
        return;
    }
    let start = Instant::now();
    let mut clock = Clock::new(TIMES, start);
    let none = Seen::default();
    let mut model = Model { seen: none, now: start, head: None, active: start, blocked: None, unseen: none };
    // Read at the end, and then as often as the clock demands, without further events.
    for event in events.iter().chain([&Look]) {
        let noted = &mut model.unseen;
        match event {
            HeadBytes => noted.head |= !noted.open,
            Begin if !noted.open => {
                *noted = Seen { open: true, head: false, turns: noted.turns + 1, ..*noted };
            }
            End => noted.open = false,
            Written => *noted = Seen { blocked: false, writes: noted.writes + 1, ..*noted },
            Blocked => noted.blocked = true,
            Pause => model.now += Duration::from_secs(4),
            Begin => {}
            Look => {
                model.look();
                let next = clock.look(model.seen, model.now);
                match model.limit() {
                    Some((at, then)) if at <= model.now => assert_eq!(next, then, "{events:?}"),
                    limit => assert_eq!(next, Next::Wait(limit.map(|(at, _)| at)), "{events:?}"),
                }
            }
        }
    }
    let mut looks = 0;
    while let Some((at, _)) = model.limit() {
        model.now = at;
        model.look();
        looks += 1;
        match clock.look(model.seen, model.now) {
            // After a response that is not read, the connection waits for a head again and again, but no longer than for the
            // response.
            Next::Wait(_) => assert!(looks < 5, "{events:?}"),
            _ => return,
        }
    }
    assert!(model.seen.open && !model.seen.blocked, "{events:?}: a connection at rest has a limit");
}

#[test]
fn every_order_of_events_has_its_limit() {
    for length in 0..=6 {
        check(&mut Vec::new(), length);
    }
}

// With hyper --------------------------------------------------------------------------------------------------------

/// When the handler makes its response.
#[derive(Debug, Clone, Copy)]
enum Answered {
    AtOnce,
    /// In a later poll of the connection.
    Later,
    /// By another thread or task, which wakes the connection.
    Elsewhere,
    /// Before the body of the request is read, which is dropped.
    BodyDropped,
    /// The rest of the body is read by another task, which then drops it.
    BodyLeftElsewhere,
}

/// When the request comes.
#[derive(Debug, Clone, Copy)]
enum Sent {
    BeforeTheFirstPoll,
    Later,
    InPieces,
    /// Twice at once.
    Ahead,
}

/// How the client reads the response.
#[derive(Debug, Clone, Copy)]
enum Taken {
    AtOnce,
    /// The socket takes a few bytes at a time.
    InPieces,
    /// After a while, in which the socket is full.
    Late,
}

#[derive(Debug, Clone, Copy)]
enum Response {
    Whole,
    /// In pieces from another task, over a longer time than a connection may be idle.
    Streamed,
}

struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

fn response(response: Response) -> Body {
    match response {
        Response::Whole => Body::from("x".repeat(500)),
        Response::Streamed => {
            let (pieces, receiver) = mpsc::channel(1);
            tokio::spawn(async move {
                for _ in 0..5 {
                    tokio::time::sleep(TIMES.idle / 3).await;
                    let _ = pieces.send(Bytes::from("x".repeat(100))).await;
                }
            });
            Body::new(Pieces(receiver))
        }
    }
}

fn serve(socket: DuplexStream, answered: Answered, kind: Response) -> tokio::task::JoinHandle<Option<()>> {
    let notes = Arc::new(Notes::default());
    let io = TokioIo::new(Reads::new(Writes::new(socket, Arc::clone(&notes)), Arc::clone(&notes)));
    let of_requests = Arc::clone(&notes);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let exchange = of_requests.begin();
        async move {
            let mut body = request.into_body();
            match answered {
                Answered::AtOnce => while body.frame().await.is_some() {},
                Answered::Later => {
                    while body.frame().await.is_some() {}
                    tokio::task::yield_now().await;
                }
                Answered::Elsewhere => {
                    while body.frame().await.is_some() {}
                    tokio::spawn(tokio::time::sleep(Duration::from_secs(1))).await.expect("a task");
                }
                Answered::BodyDropped => drop(body),
                Answered::BodyLeftElsewhere => {
                    let exchange = exchange.clone();
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
                        drop((body, exchange));
                    });
                }
            }
            Ok::<_, Infallible>(hyper::Response::new(ResponseBody::new(response(kind), exchange)))
        }
    });
    tokio::spawn(async move {
        let connection = http1::Builder::new().half_close(false).serve_connection(io, service);
        drive(connection, &notes, TIMES).await.map(|_| ())
    })
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

/// hyper may close after a body that was not read, before all of it is sent.
async fn send(client: &mut (impl AsyncWrite + Unpin), sent: Sent) {
    match sent {
        Sent::BeforeTheFirstPoll => drop(client.write_all(POST).await),
        Sent::Later => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let _ = client.write_all(POST).await;
        }
        Sent::InPieces => {
            for piece in POST.chunks(7) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = client.write_all(piece).await;
            }
        }
        Sent::Ahead => drop(client.write_all(&[POST, POST].concat()).await),
    }
}

/// Reads until the connection is closed; the time of the last byte, and the number of bytes.
async fn read_to_close(client: &mut (impl AsyncRead + Unpin), taken: Taken) -> (Instant, usize) {
    let (mut last, mut bytes) = (Instant::now(), 0);
    let mut buffer = [0; 64];
    loop {
        let wanted = if matches!(taken, Taken::InPieces) { 16 } else { buffer.len() };
        match client.read(&mut buffer[..wanted]).await {
            Ok(n) if n > 0 => (last, bytes) = (Instant::now(), bytes + n),
            _ => return (last, bytes),
        }
        if matches!(taken, Taken::Late) && bytes < 1000 {
            tokio::time::sleep(TIMES.write / 2).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_served_rests_as_long_as_it_may_whatever_came_first() {
    for answered in
        [Answered::AtOnce, Answered::Later, Answered::Elsewhere, Answered::BodyDropped, Answered::BodyLeftElsewhere]
    {
        for sent in [Sent::BeforeTheFirstPoll, Sent::Later, Sent::InPieces, Sent::Ahead] {
            for taken in [Taken::AtOnce, Taken::InPieces, Taken::Late] {
                for kind in [Response::Whole, Response::Streamed] {
                    let case = format!("{answered:?} {sent:?} {taken:?} {kind:?}");
                    let buffer = if matches!(taken, Taken::AtOnce) { 64 * 1024 } else { 48 };
                    let (client, socket) = duplex(buffer);
                    let (mut reads, mut writes) = tokio::io::split(client);
                    let (ended, (last, bytes), ()) = tokio::join!(
                        async {
                            let task = serve(socket, answered, kind);
                            let _ = task.await.expect("the task");
                            Instant::now()
                        },
                        read_to_close(&mut reads, taken),
                        send(&mut writes, sent),
                    );
                    assert!(bytes > 500, "{case}: {bytes} bytes of the response");
                    let rested = ended - last;
                    // If the body was not read, hyper may close at once.
                    let may_close = matches!(answered, Answered::BodyDropped | Answered::BodyLeftElsewhere);
                    assert!(rested <= TIMES.idle + Duration::from_secs(1), "{case}: open for {rested:?}");
                    // The last bytes have already been waiting for a late client.
                    let waited = if matches!(taken, Taken::Late) { TIMES.write / 2 } else { Duration::ZERO };
                    let least = TIMES.idle - waited - Duration::from_secs(1);
                    assert!(may_close || rested >= least, "{case}: only {rested:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_in_time_whatever_it_stops_in() {
    for (sent, expected, answer) in [
        (&b""[..], TIMES.idle, &b""[..]),
        (b"P", TIMES.head, b"HTTP/1.1 408 "),
        (b"\r\n", TIMES.head, b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: a\r\n", TIMES.head, b"HTTP/1.1 408 "),
    ] {
        let case = String::from_utf8_lossy(sent);
        let (mut client, socket) = duplex(1024);
        let begun = Instant::now();
        client.write_all(sent).await.expect("sent");
        let task = serve(socket, Answered::AtOnce, Response::Whole);
        let _ = task.await.expect("the task");
        assert_eq!(begun.elapsed().as_secs(), expected.as_secs(), "{case:?}");
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.expect("closed");
        assert!(read.starts_with(answer) && read.is_empty() == answer.is_empty(), "{case:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_left_and_one_that_is_slow_is_not() {
    // More than fits between the two.
    let (mut client, socket) = duplex(16);
    client.write_all(&POST[..16]).await.expect("sent");
    let task = serve(socket, Answered::AtOnce, Response::Whole);
    client.write_all(&POST[16..]).await.expect("sent");
    let begun = Instant::now();
    assert_eq!(task.await.expect("the task"), None);
    assert_eq!(begun.elapsed().as_secs(), TIMES.write.as_secs());

    let (mut client, socket) = duplex(16);
    client.write_all(&POST[..16]).await.expect("sent");
    let task = serve(socket, Answered::AtOnce, Response::Whole);
    client.write_all(&POST[16..]).await.expect("sent");
    let mut read = 0;
    // Longer than any limit, but never nothing for long.
    while read < 500 {
        tokio::time::sleep(TIMES.write - Duration::from_secs(1)).await;
        read += client.read(&mut [0; 16]).await.expect("more");
    }
    assert!(!task.is_finished());
}
