//! A service on port 0 with a database of its own, callers, and what they get back. Everything is cleaned up on drop.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use seatkeeper::auth::{self, Authenticator, Ticket};
use seatkeeper::contract::edition::Edition;
use seatkeeper::contract::{asmx, netserver};
use seatkeeper::http::{self, App, Limits};
use seatkeeper::metrics::Metrics;
use seatkeeper::service::Service;
use seatkeeper::store::{self, sqlite};

use crate::validator;

/// The password of every sample credential.
pub const PASSWORD: &str = "S3cret!pass";
/// Its hash, made once: a hash costs 25 ms and more in a debug build.
pub static PASSWORD_HASH: LazyLock<String> = LazyLock::new(|| auth::hash_password(PASSWORD).expect("hash"));

/// Much longer than anything takes here, also on a loaded machine.
pub const LONG: Duration = Duration::from_secs(20);

/// Waits until something is so; fails after [`LONG`].
#[track_caller]
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "not in {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where the service is.
pub const PATH: &str = asmx::PATH;

/// Entities 1 > 42 > 420 and 1 > 43, and 9 beside them; credentials `agent`, `reader`, `admin` at 1, `contoso` at 42,
/// `gone` (inactive); pools of 42: 1 SqlBackup with 3 seats; of 43: 2 ExchangeBackup, expired; accounts none.
pub fn sample_data() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'Northwind'), (42, 1, 'Contoso'), (43, 1, 'Fabrikam'),
             (420, 42, 'Contoso West'), (9, NULL, 'Somebody else');
         INSERT INTO entity (id, parent_id, name, active) VALUES (44, 1, 'Closed', 0);
         INSERT INTO credential (user_name, password_hash, entity_id, role, active) VALUES
             ('agent', '{hash}', 1, 'agent', 1), ('reader', '{hash}', 1, 'reader', 1), ('admin', '{hash}', 1, 'admin', 1),
             ('contoso', '{hash}', 42, 'agent', 1), ('gone', '{hash}', 1, 'agent', 0);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (1, 42, 'SqlBackup', 3, NULL), (2, 43, 'ExchangeBackup', 5, '2020-01-01T00:00:00Z');"
    )
}

/// What license tools see. Under 1: 42 is CONTOSO with 10, 5 and 7 seats, of which none is taken, and 43 is FABRIKAM with 2 of
/// SqlBackup; 9 beside them is OUTSIDE with 4 of SqlBackup. Accounts: 101 `anna` and 102 `bert` of 42, 103 `fay` of 43, 109
/// `otto` of 9. Credentials: `reader`, `agent`, `admin` and `gone` (inactive) at 1, `contoso` (admin) at 42, `outside`
/// (admin) at 9.
pub fn owners_data() -> String {
    let hash = &*PASSWORD_HASH;
    format!(
        "INSERT INTO entity (id, parent_id, name, owner_name, owner_description, serial_nr, shop_url) VALUES
             (1, NULL, 'Northwind', NULL, NULL, NULL, NULL),
             (42, 1, 'Contoso Backup', 'CONTOSO', 'Contoso Backup & Recovery', '1010000014', 'https://shop.example/contoso'),
             (43, 1, 'Fabrikam', 'FABRIKAM', NULL, NULL, NULL),
             (9, NULL, 'Somebody else', 'OUTSIDE', NULL, '9090000099', 'https://shop.example/outside');
         INSERT INTO credential (user_name, password_hash, entity_id, role, active) VALUES
             ('agent', '{hash}', 1, 'agent', 1), ('reader', '{hash}', 1, 'reader', 1), ('admin', '{hash}', 1, 'admin', 1),
             ('gone', '{hash}', 1, 'agent', 0), ('contoso', '{hash}', 42, 'admin', 1), ('outside', '{hash}', 9, 'admin', 1);
         INSERT INTO account (id, username, entity_id) VALUES (101, 'anna', 42), (102, 'bert', 42), (103, 'fay', 43), (109, 'otto', 9);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (1, 42, 'SkraftDiskImageV5', 10), (2, 42, 'SqlBackup', 5), (3, 42, 'ExchangeBackup', 7),
             (4, 43, 'SqlBackup', 2), (9, 9, 'SqlBackup', 4);"
    )
}

/// A directory that is removed on drop.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        TempDir::below(&std::env::temp_dir())
    }

    /// In memory where the system offers that: quicker for files that no test needs to be durable.
    pub fn in_memory() -> TempDir {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { TempDir::below(memory) } else { TempDir::new() }
    }

    fn below(directory: &Path) -> TempDir {
        let path = directory.join(format!("seatkeeper-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).expect("temporary directory");
        TempDir(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a service under test differs from the default.
pub struct Options {
    pub limits: Limits,
    pub store: store::Options,
    pub auth: auth::Options,
    pub public_url: Option<String>,
    pub trusted_proxies: &'static str,
    pub cors_origins: &'static str,
    pub path_prefix: Option<&'static str>,
    pub test_form: bool,
    pub seed: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limits: Limits { shutdown_timeout: Duration::from_secs(2), ..Limits::default() },
            store: store::Options::default(),
            auth: auth::Options::default(),
            public_url: None,
            trusted_proxies: "",
            cors_origins: "",
            path_prefix: None,
            test_form: true,
            seed: sample_data(),
        }
    }
}

/// A running service. Dropping it stops it.
pub struct Server {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    directory: TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(Options::default())
    }

    pub fn with(options: Options) -> Server {
        let directory = TempDir::new();
        let database = directory.join("seats.db");
        sql(&database, &options.seed).expect("seed");
        let metrics = Arc::new(Metrics::new());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (started, address) = mpsc::channel();
        let thread = std::thread::spawn({
            let metrics = Arc::clone(&metrics);
            move || run(&database, options, metrics, started, stopped)
        });
        let address = address.recv().expect("the service starts");
        Server { address, metrics, directory, stop: Some(stop), thread: Some(thread) }
    }

    pub fn database(&self) -> PathBuf {
        self.directory.join("seats.db")
    }

    /// Runs SQL as an administrator does while the service runs.
    pub fn sql(&self, script: &str) {
        sql(&self.database(), script).expect("sql");
    }

    /// The first column of the first row.
    pub fn query<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        connection(&self.database()).query_row(query, [], |row| row.get(0)).expect("query")
    }

    /// The value of a counter or gauge, with its labels as `/metrics` has them; 0: it was never counted.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics.render();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// Sends bytes on a connection of their own, and reads until the service closes it or the answer is complete.
    pub fn send(&self, request: &[u8]) -> Answer {
        self.connect().send(request)
    }

    pub fn connect(&self) -> Client {
        Client(connect(self.address))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes())
    }

    /// AssignLicense over SOAP 1.1 by `agent`.
    pub fn assign(&self, username: &str, entity: i32, license_type: &str) -> Answer {
        self.post11(&assign_envelope("agent", PASSWORD, username, entity, license_type))
    }

    /// POST as a SOAP 1.1 client does.
    pub fn post11(&self, envelope: &str) -> Answer {
        self.send(&post11(envelope))
    }

    /// Any operation over SOAP 1.1, with these fields of its request.
    pub fn call(&self, operation: &str, user: &str, fields: &str) -> Answer {
        self.send(&call11(operation, user, fields))
    }

    /// A service for license tools, with [`owners_data`].
    pub fn with_owners() -> Server {
        Server::with(Options { seed: owners_data(), ..Options::default() })
    }

    /// The ticket that this user gets for [`PASSWORD`].
    pub fn netserver_sign_in(&self, user: &str) -> String {
        let answer = self.authenticate(user, PASSWORD);
        answer.element("Ticket").unwrap_or_else(|| panic!("{user} is not signed in: {answer:?}"))
    }

    /// AuthenticateUsernamePassword over SOAP 1.1.
    pub fn authenticate(&self, user: &str, password: &str) -> Answer {
        self.send(&authenticate(user, password))
    }

    /// Any operation of License.svc over SOAP 1.1, with these children of its element.
    pub fn license_call(&self, ticket: &str, operation: &str, arguments: &str) -> Answer {
        self.send(&license(ticket, operation, arguments))
    }

    pub fn netserver_call(
        &self,
        contract: &netserver::Contract,
        blocks: &str,
        operation: &str,
        arguments: &str,
    ) -> Answer {
        self.send(&netserver(contract, blocks, operation, arguments))
    }

    /// See [`ticket_until`].
    pub fn ticket_until(&self, user: &str, expires_at: Timestamp) -> String {
        ticket_until(&self.database(), user, expires_at)
    }

    /// See [`unguarded`].
    pub fn unguarded(&self, script: &str) {
        unguarded(&self.database(), script);
    }

    /// What `seatkeeper check` finds.
    pub fn violations(&self) -> Vec<store::Violation> {
        violations(&self.database())
    }

    /// Stops the service as SIGTERM does and waits until it has closed the database.
    pub fn stop(mut self) -> TempDir {
        self.finish();
        std::mem::replace(&mut self.directory, TempDir(PathBuf::new()))
    }

    fn finish(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.finish();
    }
}

fn run(
    database: &Path,
    options: Options,
    metrics: Arc<Metrics>,
    started: mpsc::Sender<SocketAddr>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let store = store::open(database, &options.store, Arc::clone(&metrics)).expect("store");
    let authenticator = Authenticator::new(options.auth, Arc::clone(&metrics)).expect("randomness");
    let service = Arc::new(Service::new(Arc::clone(&store), authenticator, Arc::clone(&metrics)));
    let mut limits = options.limits;
    limits.trusted_proxies = options.trusted_proxies.parse().expect("proxies");
    let app = Arc::new(App {
        service,
        limits: limits.clone(),
        public_url: options.public_url,
        cors_origins: options.cors_origins.parse().expect("origins"),
        path_prefix: options.path_prefix.map(|prefix| prefix.parse().expect("a prefix")),
        test_form: options.test_form,
    });
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        started.send(listener.local_addr().expect("address")).expect("the test waits");
        let shutdown = Box::pin(async { stopped.await.unwrap_or(()) });
        http::serve(listener, http::router(app), limits, metrics, shutdown).await;
    });
    drop(runtime);
    store.close();
}

/// What `seatkeeper check` finds in a database.
pub fn violations(database: &Path) -> Vec<store::Violation> {
    store::check(database, auth::check_hash).expect("check")
}

/// Runs a script on a database file, made if there is none, the way `seatkeeper sql` does.
pub fn sql(database: &Path, script: &str) -> rusqlite::Result<()> {
    connection(database).execute_batch(script)
}

/// The first column of every row.
pub fn texts(database: &Path, query: &str) -> Vec<String> {
    let connection = Connection::open(database).expect("open");
    let mut statement = connection.prepare(query).expect("query");
    statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("texts")
}

/// Runs a script without triggers in its way, for rows that another program or an earlier version has written.
pub fn unguarded(database: &Path, script: &str) {
    let connection = Connection::open(database).expect("open");
    connection.busy_timeout(Duration::from_secs(10)).expect("timeout");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("triggers off");
    connection.execute_batch(script).expect(script);
}

/// A ticket of this user that expires then; by now the service has not seen it.
pub fn ticket_until(database: &Path, user: &str, expires_at: Timestamp) -> String {
    let ticket = Ticket::generate().expect("randomness");
    let hash: String = ticket.secret_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let expires_at = expires_at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let row = format!("INSERT INTO ticket VALUES ('{}', x'{hash}', '{user}', '{expires_at}')", ticket.id);
    // `seatkeeper sql` writes no tickets.
    let shell = Connection::open(database).expect("open");
    shell.busy_timeout(Duration::from_secs(10)).expect("timeout");
    shell.execute_batch(&row).expect("a ticket");
    ticket.text()
}

pub fn connection(database: &Path) -> sqlite::AdminConnection {
    sqlite::admin_connection(database, true, auth::hash_password).expect("open")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    stream
}

/// A connection that is kept.
pub struct Client(pub TcpStream);

impl Client {
    pub fn to(address: SocketAddr) -> Client {
        Client(connect(address))
    }

    pub fn send(&mut self, request: &[u8]) -> Answer {
        // The service may answer and close before it has read everything.
        let _ = self.0.write_all(request);
        self.receive()
    }

    /// One answer, as its Content-Length says. A SOAP answer is validated.
    pub fn receive(&mut self) -> Answer {
        self.try_receive().expect("an answer")
    }

    /// `None`: the connection was closed before an answer was complete.
    pub fn try_receive(&mut self) -> Option<Answer> {
        self.receive_unchecked().inspect(validator::check)
    }

    /// The same without the validator, which is one process for all clients.
    pub fn receive_unchecked(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(answer) = Answer::complete(&bytes) {
                return Some(answer);
            }
            match self.0.read(&mut buffer) {
                Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
                _ => return None,
            }
        }
    }
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The answer at the beginning of these bytes; `None` while it is not complete.
    pub fn complete(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.get(9..12)?.parse().ok()?;
        let rest = &bytes[end + 4..];
        if status == 100 {
            return Answer::complete(rest);
        }
        let body = if header(&head, "transfer-encoding").is_some() {
            unchunk(rest)?
        } else {
            let length = header(&head, "content-length").map_or(0, |v| v.parse().expect("a length"));
            rest.get(..length)?.to_vec()
        };
        Some(Answer { status, head, body: String::from_utf8(body).expect("all we send is UTF-8") })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The text of the first element of this name, entities resolved.
    pub fn element(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text.replace("&#xD;", "\r").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    }

    /// `Code` of the result object.
    pub fn code(&self) -> String {
        self.element("Code").unwrap_or_else(|| panic!("no Code in {self:?}"))
    }

    pub fn message(&self) -> String {
        self.element("Message").unwrap_or_default()
    }

    /// The exception in the header of a NetServer answer, without its namespace; `None`: the call succeeded.
    pub fn exception(&self) -> Option<String> {
        let succeeded = self.body.contains(">true</Succeeded><TimeZone ");
        let exception = self.element("ExceptionType");
        assert_eq!((self.status, exception.is_none()), (200, succeeded), "{self:?}");
        let name = exception?;
        Some(name.strip_prefix("SuperOffice.Exceptions.").unwrap_or_else(|| panic!("{name}")).to_owned())
    }
}

/// The body of a chunked answer; `None` while it is not complete.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + size)?;
        rest = rest.get(end + 4 + size..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A SOAP 1.1 AssignLicense request as the vendor's page shows it.
pub fn assign_envelope(user: &str, password: &str, username: &str, entity: i32, license_type: &str) -> String {
    envelope11(
        &auth_header(user, password),
        &format!(
            "<AssignLicense xmlns=\"sosonlinebackup.com\"><request><Username>{username}</Username>\
             <LicenseProviderEntityId>{entity}</LicenseProviderEntityId><LicenseType>{license_type}</LicenseType>\
             </request></AssignLicense>"
        ),
    )
}

/// A call of any operation, as [`Server::call`] sends it.
pub fn call11(operation: &str, user: &str, fields: &str) -> Vec<u8> {
    let body = format!("<{operation} xmlns=\"sosonlinebackup.com\"><request>{fields}</request></{operation}>");
    let action =
        format!("Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"sosonlinebackup.com/{operation}\"\r\n");
    post(&action, envelope11(&auth_header(user, PASSWORD), &body).as_bytes())
}

pub fn auth_header(user: &str, password: &str) -> String {
    format!(
        "<AuthHeader xmlns=\"sosonlinebackup.com\"><UserName>{user}</UserName><Password>{password}</Password></AuthHeader>"
    )
}

pub fn envelope11(header: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\">\
         <soap:Header>{header}</soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    )
}

/// A call as [`Server::authenticate`] sends it.
pub fn authenticate(user: &str, password: &str) -> Vec<u8> {
    let arguments = format!("<UserName>{}</UserName><Password>{}</Password>", escape(user), escape(password));
    netserver(&netserver::SO_PRINCIPAL, "", "AuthenticateUsernamePassword", &arguments)
}

/// A call as [`Server::license_call`] sends it.
pub fn license(ticket: &str, operation: &str, arguments: &str) -> Vec<u8> {
    netserver(&netserver::LICENSE, &credentials(ticket), operation, arguments)
}

/// The edition of calls where a test does not say which.
pub const EDITION: Edition = Edition::Services86;
pub const NAMESPACE: &str = EDITION.namespace();
pub const LICENSE_PATH: &str = "/Remote/Services86/License.svc";
pub const SO_PRINCIPAL_PATH: &str = "/Remote/Services86/SoPrincipal.svc";

/// In [`EDITION`], or in the first one that has the operation.
fn netserver(contract: &netserver::Contract, blocks: &str, operation: &str, arguments: &str) -> Vec<u8> {
    let edition = contract.operation(operation).map_or(EDITION, |operation| operation.since.max(EDITION));
    netserver_in(edition, contract, blocks, operation, arguments)
}

pub fn netserver_in(
    edition: Edition,
    contract: &netserver::Contract,
    blocks: &str,
    operation: &str,
    arguments: &str,
) -> Vec<u8> {
    let body = format!("<{operation} xmlns=\"{}\">{arguments}</{operation}>", edition.namespace());
    let path = format!("/Remote/{}/{}.svc", edition.name(), contract.name);
    post_to(&path, "Content-Type: text/xml; charset=utf-8\r\n", envelope11(blocks, &body).as_bytes())
}

/// A header block with a ticket.
pub fn credentials(ticket: &str) -> String {
    format!("<Credentials xmlns=\"{}\"><Ticket>{}</Ticket></Credentials>", NAMESPACE, escape(ticket))
}

/// As text of an element.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

/// The same message as SOAP 1.2.
pub fn to_soap12(envelope: &str) -> String {
    envelope.replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
}

pub const ACTION: &str = "SOAPAction: \"sosonlinebackup.com/AssignLicense\"\r\n";

pub fn post11(envelope: &str) -> Vec<u8> {
    post(&format!("Content-Type: text/xml; charset=utf-8\r\n{ACTION}"), envelope.as_bytes())
}

pub fn post12(envelope: &str) -> Vec<u8> {
    post("Content-Type: application/soap+xml; charset=utf-8\r\n", envelope.as_bytes())
}

/// A POST with these header lines, each ending in CR LF.
pub fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    post_to(PATH, headers, body)
}

pub fn post_to(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: test.example\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A body in chunks of this size, without the last chunk, which is [`LAST_CHUNK`].
pub fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out
}

pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Text in ISO 8859-1.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a character of ISO 8859-1")).collect()
}
