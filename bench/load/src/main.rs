//! Takes seats as fast as a server assigns them. Each of N keep-alive connections sends its next AssignLicense as soon as it has
//! the response to the last one.
//!
//! It shares the machine's cores with the server that it measures, so it does as little as possible. It has one thread. It renders
//! the request once, and changes only the digits of the user name. Of a response it reads only the status, the length and the text
//! of `<Code>`.

mod options;
mod request;
mod response;
mod summary;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use options::Options;
use request::Request;
use summary::{ServerMemory, Summary, Tally};

/// Time to wait for a response after the end of the run, before the connection counts as failed.
const GRACE: Duration = Duration::from_secs(5);

/// Failures in a row after which a connection gives up, so that it does not try a dead server until the end.
const FAILURES_IN_A_ROW: u32 = 10;

fn main() -> ExitCode {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("seatkeeper-load: {message}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the runtime needs no more than a few file descriptors");
    match runtime.block_on(run(&options)) {
        Ok(summary) => {
            if options.json {
                println!("{}", summary.to_json());
            } else {
                println!("{summary}");
            }
            if summary.is_all_success() || (options.allow_other && summary.errors == 0) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(message) => {
            eprintln!("seatkeeper-load: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Connects, runs for the given time, and adds up the counts. The clock starts when all connections are open.
async fn run(options: &Options) -> Result<Summary, String> {
    let template = Request::new(options);
    let counter = Arc::new(AtomicU64::new(0));

    let mut connections = Vec::with_capacity(options.connections);
    for _ in 0..options.connections {
        connections.push(connect(&options.addr).await.map_err(|error| format!("{}: {error}", options.addr))?);
    }

    let start = Instant::now();
    let end = start + options.time;
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|stream| tokio::spawn(drive(stream, options.addr.clone(), template.clone(), counter.clone(), end)))
        .collect();
    let mut tally = Tally::default();
    for task in tasks {
        tally.add(task.await.map_err(|error| error.to_string())?);
    }
    let elapsed = start.elapsed();
    let memory = options.pid.and_then(ServerMemory::of);
    Ok(Summary::new(options.connections, elapsed, tally, memory))
}

/// One connection's loop. After a failed call it counts the failure and connects again.
async fn drive(stream: TcpStream, addr: String, mut request: Request, counter: Arc<AtomicU64>, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut stream = Some(stream);
    let mut buffer = Vec::with_capacity(4096);
    let mut failures = 0;

    while Instant::now() < end && failures < FAILURES_IN_A_ROW {
        request.set_number(counter.fetch_add(1, Ordering::Relaxed));
        let left = (end + GRACE).saturating_duration_since(Instant::now());
        match timeout(left, call(&mut stream, &addr, &request, &mut buffer, &mut tally)).await {
            Ok(Ok(())) => failures = 0,
            outcome => {
                let reason = match outcome {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tally.fail(reason);
                failures += 1;
                stream = None;
            }
        }
    }
    tally
}

/// One request and its response. Leaves `stream` empty if the server says that it closes the connection.
async fn call(
    stream: &mut Option<TcpStream>,
    addr: &str,
    request: &Request,
    buffer: &mut Vec<u8>,
    tally: &mut Tally,
) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let connection = match stream {
        Some(connection) => connection,
        None => stream.insert(connect(addr).await?),
    };
    let sent = Instant::now();
    connection.write_all(request.bytes()).await?;
    buffer.clear();
    let answer = loop {
        if connection.read_buf(buffer).await? == 0 {
            return Err(std::io::Error::other("connection closed before the whole answer was in"));
        }
        if let Some(answer) = response::parse(buffer, request.expect()).map_err(std::io::Error::other)? {
            break answer;
        }
    };
    tally.answer(&answer, sent.elapsed());
    if answer.closes {
        *stream = None;
    }
    Ok(())
}

/// Connects without delay of small writes, because a request is a single small write.
async fn connect(addr: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
