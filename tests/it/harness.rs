//! A service on port 0 with a database of its own, callers, and what they get back. Everything is cleaned up on drop.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::{FromSql, Value, ValueRef};
use seatkeeper::asmx;
use seatkeeper::auth::{self, Authenticator, Ticket};
use seatkeeper::contract::edition::Edition;
use seatkeeper::http::tls::{Files, Tls};
use seatkeeper::http::{self, Limits, Listener};
use seatkeeper::metrics::Metrics;
use seatkeeper::netserver;
use seatkeeper::routes::{self, App};
use seatkeeper::seats::Role;
use seatkeeper::service::Service;
use seatkeeper::store::admin::{Admin, AdminRefusal, ChangeOptions, Changed, Sql, Stop};
use seatkeeper::store::{self, Actor, Call, sqlite};

pub use crate::postgres::SqlError;
use crate::{postgres, validator};

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

/// Whether this run of the tests is on PostgreSQL: `SEATKEEPER_TEST_DATABASE=postgres`. `tests/postgres/skipped` lists the tests that are
/// not for it, and why.
pub fn on_postgres() -> bool {
    static IS_SO: LazyLock<bool> = LazyLock::new(|| match std::env::var("SEATKEEPER_TEST_DATABASE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("SEATKEEPER_TEST_DATABASE is sqlite or postgres, not {other}"),
    });
    *IS_SO
}

const ABOUT_THE_FILE: &str = "a test about an SQLite file is for tests/postgres/skipped";

/// The database of one test: an SQLite file, or one on the PostgreSQL server of the tests ([`on_postgres`]). It is removed on drop.
///
/// SQL is that of SQLite where both can be meant; `postgres` translates it.
pub struct TestDatabase {
    /// As `--database` takes it.
    place: OsString,
    home: Home,
}

enum Home {
    File(TempDir),
    Server(postgres::Database),
}

impl TestDatabase {
    pub fn new(seed: &str) -> TestDatabase {
        TestDatabase::made(seed, TempDir::new)
    }

    /// A file in [`TempDir::in_memory`].
    pub fn in_memory(seed: &str) -> TestDatabase {
        TestDatabase::made(seed, TempDir::in_memory)
    }

    fn made(seed: &str, directory: impl FnOnce() -> TempDir) -> TestDatabase {
        let database = if on_postgres() {
            let home = postgres::Cluster::shared().database();
            TestDatabase { place: home.url().into(), home: Home::Server(home) }
        } else {
            let directory = directory();
            TestDatabase { place: directory.join("seats.db").into(), home: Home::File(directory) }
        };
        database.sql(seed);
        database
    }

    /// As the store takes it.
    pub fn place(&self) -> store::Database {
        match &self.home {
            Home::File(_) => self.file().into(),
            Home::Server(database) => database.url().into(),
        }
    }

    /// As a command takes it.
    pub fn argument(&self) -> String {
        match &self.home {
            Home::File(_) => self.file().to_str().expect("UTF-8").to_owned(),
            Home::Server(database) => database.url().to_owned(),
        }
    }

    /// The SQLite file, for tests that are about it: those are listed in `tests/postgres/skipped`.
    pub fn file(&self) -> PathBuf {
        match &self.home {
            Home::File(_) => PathBuf::from(&self.place),
            Home::Server(_) => panic!("{ABOUT_THE_FILE}"),
        }
    }

    /// `None`: it is an SQLite file.
    pub fn server(&self) -> Option<&postgres::Database> {
        match &self.home {
            Home::File(_) => None,
            Home::Server(database) => Some(database),
        }
    }

    /// The directory of the file.
    pub fn directory(&self) -> &TempDir {
        match &self.home {
            Home::File(directory) => directory,
            Home::Server(_) => panic!("{ABOUT_THE_FILE}"),
        }
    }

    pub fn open(&self, options: &store::Options, metrics: Arc<Metrics>) -> Arc<dyn store::Store> {
        store::open(&self.place(), options, metrics).expect("store")
    }

    /// A connection of an administrator.
    pub fn session(&self) -> Session {
        match &self.home {
            Home::File(_) => Session::File(connection(&self.file())),
            Home::Server(database) => Session::Server(database.session()),
        }
    }

    pub fn try_sql(&self, script: &str) -> Result<(), SqlError> {
        self.session().sql(script)
    }

    /// Runs SQL as an administrator does.
    #[track_caller]
    pub fn sql(&self, script: &str) {
        self.try_sql(script).unwrap_or_else(|e| panic!("{script}: {e}"));
    }

    /// The first column of the first row.
    #[track_caller]
    pub fn query<T: FromSql>(&self, query: &str) -> T {
        self.session().value(query)
    }

    /// See [`Session::lines`].
    #[track_caller]
    pub fn lines(&self, query: &str) -> Vec<String> {
        self.session().lines(query)
    }

    /// SQL in a shell that knows nothing of us; `None`: on PostgreSQL there is only one way in.
    pub fn stock_shell(&self) -> Option<Connection> {
        matches!(self.home, Home::File(_)).then(|| Connection::open(self.file()).expect("open"))
    }

    /// Waits until the most seats of a pool that were ever in use at once are counted: on PostgreSQL a running service does so when it
    /// chains the events.
    pub fn wait_until_counted(&self) {
        if let Home::Server(database) = &self.home {
            let session = database.session();
            wait_until("the events are chained", || session.query("SELECT count(*) FROM audit_pending") == Ok(0));
        }
    }

    /// Waits until no process of the server works any more for a node that was killed: what had reached it may be committed later. A killed
    /// process has nothing of the kind in a file.
    pub fn wait_until_left(&self) {
        const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'seatkeeper'";
        if let Home::Server(database) = &self.home {
            let session = database.session();
            wait_until("the node's sessions have ended", || session.query(SESSIONS) == Ok(0));
        }
    }

    /// Runs a script without triggers in its way, for rows that another program or an earlier version has written.
    pub fn unguarded(&self, script: &str) {
        match &self.home {
            Home::File(_) => unguarded(&self.file(), script),
            Home::Server(database) => database.unguarded(script),
        }
    }

    /// Turns it into what a process that ends now, without a word, leaves: a copy of the files; on the server the same database, without
    /// the connections there are to it. Gives the files that the process has open.
    pub fn crash(&mut self) -> Option<TestDatabase> {
        match &self.home {
            Home::File(directory) => {
                let copy = TempDir::new();
                for name in ["seats.db", "seats.db-wal"].into_iter().filter(|name| directory.join(name).exists()) {
                    std::fs::copy(directory.join(name), copy.join(name)).expect("copy");
                }
                let copy = TestDatabase { place: copy.join("seats.db").into(), home: Home::File(copy) };
                Some(std::mem::replace(self, copy))
            }
            Home::Server(database) => {
                database.disconnect();
                None
            }
        }
    }

    /// Runs reads of administrators' work as the command line does. Opens and closes a store.
    #[track_caller]
    pub fn read_as_admin<T: Send + Sync + 'static>(
        &self,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<T, AdminRefusal> {
        let store = self.open(&store::Options::default(), Arc::new(Metrics::new()));
        let read = block_on(store::admin::read(&*store, of_command_line(), Role::Reader, work));
        store.close();
        read.expect("the database works")
    }

    /// Makes a change likewise.
    #[track_caller]
    pub fn change_as_admin<T: Send + Sync + 'static>(
        &self,
        options: ChangeOptions,
        work: impl Fn(&dyn Sql, &Admin) -> Result<T, Stop> + Send + Sync + 'static,
    ) -> Result<Changed<T>, AdminRefusal> {
        let store = self.open(&store::Options::default(), Arc::new(Metrics::new()));
        let changed = block_on(store::admin::change(&*store, of_command_line(), options, work));
        store.close();
        changed.expect("the database works")
    }

    /// A ticket of this user that expires then; by now the service has not seen it.
    pub fn ticket_until(&self, user: &str, expires_at: Timestamp) -> String {
        let (ticket, row) = new_ticket(user, expires_at);
        // `seatkeeper sql` writes no tickets.
        self.unguarded(&row);
        ticket
    }

    /// What `seatkeeper check` finds.
    pub fn violations(&self) -> Vec<store::Violation> {
        store::check(&self.place(), auth::check_hash).expect("check")
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(work)
}

/// A call of the command line.
pub fn of_command_line() -> Call {
    Call { id: uuid::Uuid::new_v4(), now: Timestamp::now(), actor: Actor::command_line(), name: None, trail: None }
}

/// As `--database` takes it.
impl AsRef<OsStr> for TestDatabase {
    fn as_ref(&self) -> &OsStr {
        &self.place
    }
}

/// An administrator's connection to a [`TestDatabase`].
pub enum Session {
    File(sqlite::AdminConnection),
    Server(postgres::Session),
}

impl Session {
    /// One statement or several.
    pub fn sql(&self, script: &str) -> Result<(), SqlError> {
        match self {
            Session::File(connection) => Ok(connection.execute_batch(script)?),
            Session::Server(session) => session.execute(script),
        }
    }

    /// Every row, with the types of SQLite.
    pub fn try_rows(&self, query: &str) -> Result<Vec<Vec<Value>>, SqlError> {
        match self {
            Session::File(connection) => {
                let mut statement = connection.prepare(query)?;
                let columns = statement.column_count();
                let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            }
            Session::Server(session) => session.rows(query),
        }
    }

    #[track_caller]
    pub fn rows(&self, query: &str) -> Vec<Vec<Value>> {
        self.try_rows(query).unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    /// The first column of the first row.
    #[track_caller]
    pub fn value<T: FromSql>(&self, query: &str) -> T {
        let rows = self.rows(query);
        let value = rows.first().and_then(|row| row.first()).unwrap_or_else(|| panic!("no row: {query}"));
        T::column_result(ValueRef::from(value)).unwrap_or_else(|e| panic!("{value:?}, {e}: {query}"))
    }

    /// Ends a transaction that a script may have left open.
    pub fn roll_back(&self) {
        match self {
            Session::File(connection) if connection.is_autocommit() => {}
            _ => self.sql("ROLLBACK").expect("rollback"),
        }
    }

    /// Keeps every call that changes something waiting, and none that only reads, until [`Session::unlock`].
    pub fn lock(&self) {
        let script = match self {
            Session::File(_) => "BEGIN IMMEDIATE",
            Session::Server(_) => "BEGIN; LOCK TABLE account, seat, license_pool, named_call IN EXCLUSIVE MODE",
        };
        self.sql(script).expect("lock");
    }

    pub fn unlock(&self) {
        self.sql("COMMIT").expect("unlock");
    }

    /// Every row of every table, but for what becomes of an event when it is chained.
    pub fn all_rows(&self) -> Vec<String> {
        let (tables, columns) = match self {
            Session::File(_) => (
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
                "SELECT group_concat(name) FROM pragma_table_info('{}') WHERE name <> 'hash'",
            ),
            Session::Server(_) => (
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
                    AND table_name NOT IN ('audit_pending', 'audit_chain', 'chain_lease') ORDER BY table_name",
                "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns
                  WHERE table_schema = 'public' AND table_name = '{}' AND NOT (table_name = 'license_pool'
                    AND column_name IN ('seats_in_use', 'seats_in_use_max', 'event_id', 'events'))",
            ),
        };
        let mut rows = Vec::new();
        for table in self.lines(tables) {
            let columns: String = self.value(&columns.replace("{}", &table));
            let row = |row: &Vec<Value>| format!("{table}: {row:?}");
            // In the order of the rows' keys, which come first.
            rows.extend(self.rows(&format!("SELECT {columns} FROM {table} ORDER BY 1, 2")).iter().map(row));
        }
        rows
    }

    /// Every row as text, with a blank between columns, and nothing where there is no value.
    #[track_caller]
    pub fn lines(&self, query: &str) -> Vec<String> {
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        };
        self.rows(query).iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
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
    /// Entities with numbers of their own in the metrics; `None`: no listener for metrics.
    pub metrics_entities_max: Option<usize>,
    /// `None`: plain HTTP.
    pub tls: Option<Files>,
    /// The file is in memory: for a test that is about something else, and in which a disk that is slow for a while would be a fault.
    pub in_memory: bool,
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
            metrics_entities_max: None,
            tls: None,
            in_memory: false,
            seed: sample_data(),
        }
    }
}

/// A running service. Dropping it stops it.
pub struct Server {
    pub address: SocketAddr,
    /// Of the listener for metrics, if it has one.
    pub metrics_address: Option<SocketAddr>,
    pub metrics: Arc<Metrics>,
    /// As in [`Options`]; it looks at its files every 50 ms.
    pub tls: Option<Arc<Tls>>,
    database: Arc<TestDatabase>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(Options::default())
    }

    pub fn with(options: Options) -> Server {
        let seed = &options.seed;
        let database = if options.in_memory { TestDatabase::in_memory(seed) } else { TestDatabase::new(seed) };
        let database = Arc::new(database);
        let metrics = Arc::new(Metrics::new());
        let store = database.open(&options.store, Arc::clone(&metrics));
        Server::run(database, store, options, metrics)
    }

    /// On a store that the test uses too.
    pub fn on(database: TestDatabase, store: Arc<dyn store::Store>) -> Server {
        Server::run(Arc::new(database), store, Options::default(), Arc::new(Metrics::new()))
    }

    fn run(
        database: Arc<TestDatabase>,
        store: Arc<dyn store::Store>,
        options: Options,
        metrics: Arc<Metrics>,
    ) -> Server {
        let open = |files: &Files| Arc::new(Tls::open(files, Arc::clone(&metrics)).expect("a certificate"));
        let tls = options.tls.as_ref().map(open);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (started, address) = mpsc::channel();
        let thread = std::thread::spawn({
            let (metrics, tls) = (Arc::clone(&metrics), tls.clone());
            move || run(store, options, metrics, tls, started, stopped)
        });
        let (address, metrics_address) = address.recv().expect("the service starts");
        Server { address, metrics_address, metrics, tls, database, stop: Some(stop), thread: Some(thread) }
    }

    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// See [`TestDatabase::file`].
    pub fn file(&self) -> PathBuf {
        self.database.file()
    }

    /// Runs SQL as an administrator does while the service runs.
    #[track_caller]
    pub fn sql(&self, script: &str) {
        self.database.sql(script);
    }

    /// The first column of the first row.
    #[track_caller]
    pub fn query<T: FromSql>(&self, query: &str) -> T {
        self.database.query(query)
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

    /// Sends a request to the listener for metrics.
    pub fn ask_metrics(&self, request: &str) -> Answer {
        Client(connect(self.metrics_address.expect("a listener for metrics"))).send(request.as_bytes())
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

    /// See [`TestDatabase::ticket_until`].
    pub fn ticket_until(&self, user: &str, expires_at: Timestamp) -> String {
        self.database.ticket_until(user, expires_at)
    }

    /// See [`TestDatabase::unguarded`].
    pub fn unguarded(&self, script: &str) {
        self.database.unguarded(script);
    }

    /// What `seatkeeper check` finds.
    pub fn violations(&self) -> Vec<store::Violation> {
        self.database.violations()
    }

    /// Stops the service as SIGTERM does and waits until it has closed the database.
    pub fn stop(mut self) -> Arc<TestDatabase> {
        self.finish();
        Arc::clone(&self.database)
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
    store: Arc<dyn store::Store>,
    options: Options,
    metrics: Arc<Metrics>,
    tls: Option<Arc<Tls>>,
    started: mpsc::Sender<(SocketAddr, Option<SocketAddr>)>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let authenticator = Authenticator::new(options.auth, Arc::clone(&metrics)).expect("randomness");
    let service = Arc::new(Service::new(Arc::clone(&store), authenticator, Arc::clone(&metrics)));
    let mut limits = options.limits;
    limits.trusted_proxies = options.trusted_proxies.parse().expect("proxies");
    let app = App {
        service: Arc::clone(&service),
        limits: limits.clone().into(),
        public_url: options.public_url,
        cors_origins: options.cors_origins.parse().expect("origins"),
        path_prefix: options.path_prefix.map(|prefix| prefix.parse().expect("a prefix")),
        test_form: options.test_form,
        enroll: options.store.enroll,
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let (stop_notes, notes_stopped) = tokio::sync::oneshot::channel::<()>();
        let metered = Arc::clone(&service);
        let notes = tokio::spawn(service.keep_notes(async { notes_stopped.await.unwrap_or(()) }));
        let mut metrics_address = None;
        if let Some(entities_max) = options.metrics_entities_max {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
            metrics_address = Some(listener.local_addr().expect("address"));
            let routes = routes::metrics_router(Arc::clone(&metered), entities_max);
            let until_dropped = Box::pin(std::future::pending());
            tokio::spawn(http::serve(listener, routes, limits.clone(), Arc::default(), until_dropped));
        }
        started.send((listener.local_addr().expect("address"), metrics_address)).expect("the test waits");
        let shutdown = Box::pin(async { stopped.await.unwrap_or(()) });
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).watch(Duration::from_millis(50), std::future::pending()));
        }
        let listener = Listener { socket: listener, tls };
        http::serve(listener, routes::router(app), limits, metrics, shutdown).await;
        drop(stop_notes);
        notes.await.expect("notes are kept to the end");
    });
    drop(runtime);
    store.close();
}

/// What `seatkeeper check` finds in a database.
pub fn violations(database: &Path) -> Vec<store::Violation> {
    assert!(!on_postgres(), "{ABOUT_THE_FILE}");
    store::check(&database.into(), auth::check_hash).expect("check")
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
    assert!(!on_postgres(), "{ABOUT_THE_FILE}");
    let connection = Connection::open(database).expect("open");
    connection.busy_timeout(Duration::from_secs(10)).expect("timeout");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("triggers off");
    connection.execute_batch(script).expect(script);
}

/// A ticket, and the statement that keeps it.
fn new_ticket(user: &str, expires_at: Timestamp) -> (String, String) {
    let ticket = Ticket::generate().expect("randomness");
    let hash: String = ticket.secret_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let expires_at = expires_at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let row = format!("INSERT INTO ticket VALUES ('{}', x'{hash}', '{user}', '{expires_at}')", ticket.id);
    (ticket.text(), row)
}

pub fn connection(database: &Path) -> sqlite::AdminConnection {
    assert!(!on_postgres(), "{ABOUT_THE_FILE}");
    sqlite::admin_connection(database, true, auth::hash_password).expect("open")
}

/// A port of 127.0.0.1 on which no program listens, for a program that must be given one, or for none. It stays free: no other test gets
/// it, and it is not among those that the system gives to connections and to listeners on port 0.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let of_system = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end: u16 = of_system.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    let ports = u32::from(end).saturating_sub(FIRST.into());
    // Not all from the first on: tests may run twice at once.
    let next = |_| std::process::id().wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)).checked_rem(ports);
    let mut candidates = (0..ports).filter_map(next).filter_map(|port| u16::try_from(port + u32::from(FIRST)).ok());
    let free = candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a port below those of the system, which /proc/sys/net/ipv4/ip_local_port_range has")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
    stream
}

/// One answer, as its Content-Length says; `None`: the connection ended before it was complete.
pub fn received(stream: &mut impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    // Large, because each piece that is read makes it look at all of them.
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if let Some(answer) = Answer::complete(&bytes) {
            return Some(answer);
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
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

    /// The same without the validator, which is one process for all tests: where a time is measured.
    pub fn send_unchecked(&mut self, request: &[u8]) -> Answer {
        let _ = self.0.write_all(request);
        self.receive_unchecked().expect("an answer")
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
        received(&mut self.0)
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

/// A request with a name that makes all its sendings one call, if it has one.
pub fn with_name(request: &[u8], name: Option<&str>) -> Vec<u8> {
    let Some(name) = name else { return request.to_vec() };
    let head = request.iter().position(|byte| *byte == b'\n').expect("a request line") + 1;
    [&request[..head], format!("Idempotency-Key: \"{name}\"\r\n").as_bytes(), &request[head..]].concat()
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
