//! The whole service, from the bytes on a connection to the bytes of the answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use seatkeeper::auth::{self, Authenticator};
use seatkeeper::http::{self, Limits};
use seatkeeper::metrics::Metrics;
use seatkeeper::routes::{self, App};
use seatkeeper::service::Service;
use seatkeeper::soap::envelope;
use seatkeeper::store;

/// A service that runs as long as the process.
struct Running {
    address: SocketAddr,
}

static SERVICE: LazyLock<Running> = LazyLock::new(start);

/// The password of the sample credentials `agent`, `reader` and `admin`; not a secret.
const PASSWORD: &str = "S3cret!pass";

/// Panics of the service's threads. A request that panics gets an answer, and its connection goes on.
static PANICS: AtomicUsize = AtomicUsize::new(0);
const THREADS: &str = "fuzzed service";

/// The input is a request as a text: `METHOD TARGET`, lines of headers, an empty line, the body. What HTTP needs besides is
/// added, so that the input is about what the service does with it: the version, Host, Content-Length, and the end of the connection.
pub fn dispatch(data: &[u8]) {
    let service = &*SERVICE;
    let (head, body) = split(data);
    let mut request = Vec::with_capacity(data.len() + 200);
    let mut lines = head.split(|byte| *byte == b'\n');
    request.extend_from_slice(lines.next().unwrap_or_default());
    request.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for line in lines {
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);

    let mut connection = TcpStream::connect(service.address).expect("the service listens");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
    // The service may close before it has read all.
    let _ = connection.write_all(&request);
    let mut answer = Vec::new();
    match connection.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end of the answer: {error}"),
    }
    check(&answer);
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "the service panicked");
}

/// The head and the body, without the empty line between them.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[]),
    }
}

/// Of the first answer: its status is one of those documented, and a body that says it is XML is XML.
fn check(answer: &[u8]) {
    if answer.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(answer);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse::<u16>().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {text}"));
    assert!((200..=505).contains(&status), "{text}");
    let Some((head, rest)) = text.split_once("\r\n\r\n") else { panic!("a head without an end: {text}") };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let Some(body) = length.and_then(|length| rest.get(..length)) else { return };
    let is_xml = head.lines().any(|line| {
        line.starts_with("content-type: text/xml") || line.starts_with("content-type: application/soap+xml")
    });
    if is_xml && !body.is_empty() {
        envelope::document(body, &generous()).unwrap_or_else(|error| panic!("{error}: {body}"));
    }
}

/// For documents of ours, which are longer than messages may be.
fn generous() -> envelope::Limits {
    envelope::Limits { depth_max: 64, elements_max: 1 << 20, ..envelope::Limits::default() }
}

fn start() -> Running {
    let directory = std::env::temp_dir().join(format!("seatkeeper-fuzz-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&directory).expect("a temporary directory");
    let database = directory.join("seats.db");
    seed(&database);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some(THREADS) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
    let (sender, address) = std::sync::mpsc::channel();
    std::thread::Builder::new().name(THREADS.to_owned()).spawn(move || serve(&database, &sender)).expect("a thread");
    Running { address: address.recv().expect("the service starts") }
}

fn seed(database: &std::path::Path) {
    let hash = auth::hash_password(PASSWORD).expect("hash");
    let script = format!(
        "INSERT INTO entity (id, parent_id, name, owner_name, serial_nr) VALUES (1, NULL, 'Northwind', NULL, NULL), (42, 1, 'Contoso', 'CONTOSO', '7');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES
             ('agent', '{hash}', 1, 'agent'), ('reader', '{hash}', 1, 'reader'), ('admin', '{hash}', 1, 'admin');
         INSERT INTO account (id, username, entity_id) VALUES (101, 'anna', 42);
         INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 100000), (42, 'ExchangeBackup', 3);"
    );
    store::run_sql(database, &script, auth::hash_password).expect("seed");
}

fn serve(database: &std::path::Path, started: &std::sync::mpsc::Sender<SocketAddr>) {
    let metrics = Arc::new(Metrics::new());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(THREADS).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let store = store::open(&database.into(), &store::Options::default(), Arc::clone(&metrics)).expect("store");
    let authenticator = Authenticator::new(auth::Options::default(), Arc::clone(&metrics)).expect("randomness");
    // A request that announces more than it has is waited for in vain.
    let soon = Duration::from_millis(100);
    let limits = Limits { head_timeout: soon, body_timeout: soon, ..Limits::default() };
    let app = App {
        service: Arc::new(Service::new(store, authenticator, Arc::clone(&metrics))),
        limits: limits.clone().into(),
        public_url: None,
        cors_origins: "https://tools.example".parse().expect("origins"),
        path_prefix: None,
        test_form: true,
        enroll: true,
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        started.send(listener.local_addr().expect("address")).expect("the target waits");
        http::serve(listener, routes::router(app), limits, metrics, Box::pin(std::future::pending())).await;
    });
}
