//! The store's connections to PostgreSQL: hosts that are silent, take no changes or come back; connections that are killed or cut off while
//! a change is under way; poolers, TLS, and callers that go away.

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use seatkeeper::auth;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, Holding, LicenseType, Refusal, SeatId};
use seatkeeper::store::{self, Actor, Call, Fault, OpenError, Options, Store, StoreError};
use uuid::Uuid;

use crate::harness::{Client, LONG, TempDir, free_port, sample_data, wait_until};
use crate::postgres::{Cluster, Database, OWNER, OWNER_PASSWORD};

/// A store and what it takes to call it.
pub struct Node {
    store: Arc<dyn Store>,
    runtime: tokio::runtime::Runtime,
}

pub type Outcome = Result<Result<SeatId, Refusal>, StoreError>;

impl Node {
    pub fn on(url: &str, options: &Options) -> Node {
        let store = store::open(&url.into(), options, Arc::new(Metrics::new())).unwrap_or_else(|e| panic!("{e}"));
        Node { store, runtime: tokio::runtime::Runtime::new().expect("a runtime") }
    }

    /// For tests that keep calls waiting for a lock: however slow the machine is, no call gives up before its lock is free.
    fn patient(url: &str, options: Options) -> Node {
        let (busy_timeout, statement_timeout) = (Duration::from_secs(60), Duration::from_secs(30));
        Node::on(url, &Options { busy_timeout, statement_timeout, ..options })
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn assign(&self, username: &str) -> Outcome {
        self.run(self.store.assign(call(), request(username)))
    }

    /// An assignment that goes on meanwhile.
    fn begin_assign(&self, username: &str) -> tokio::task::JoinHandle<Outcome> {
        let (store, request) = (Arc::clone(&self.store), request(username));
        self.runtime.spawn(async move { store.assign(call(), request).await })
    }

    fn release(&self, username: &str) -> Outcome {
        let holding = Holding { username: Some(username.into()), license_type: Some(LicenseType::SqlBackup) };
        self.run(self.store.release(call(), holding))
    }

    fn ready(&self) -> Result<(), StoreError> {
        self.run(self.store.ready())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.store.close();
    }
}

fn call() -> Call {
    Call { id: Uuid::new_v4(), now: Timestamp::now(), actor: Actor::command_line(), name: None, trail: None }
}

fn request(username: &str) -> AssignRequest {
    AssignRequest {
        username: Some(username.into()),
        provider_entity_id: Some(42),
        license_type: Some(LicenseType::SqlBackup),
    }
}

/// With the sample data, and many seats.
pub fn database(cluster: &Arc<Cluster>) -> Database {
    let database = cluster.database();
    database.execute(&sample_data()).expect("seed");
    database.execute("UPDATE license_pool SET seats_total = 1000 WHERE id = 1").expect("grow");
    database
}

/// Users that hold a seat of the sample pool, and the events that say so.
fn holders(database: &Database) -> (String, i64) {
    let names = "SELECT coalesce(group_concat(username, ',' ORDER BY username), '') FROM account JOIN seat ON account_id = account.id";
    (
        database.query(names),
        database.query("SELECT count(*) FROM audit_event WHERE action = 'assign' AND request_id IS NOT NULL"),
    )
}

/// Waits until a session of the service waits for a lock.
fn wait_for_lock(database: &Database, sessions: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'seatkeeper' AND wait_event_type = 'Lock'";
    wait_until("the call waits for a lock", || database.query::<i64>(waiting) == sessions);
}

// Hosts -----------------------------------------------------------------------------------------------------------------------------

/// As a server that was stopped by SIGSTOP: the system takes the connection, and nothing answers.
#[test]
fn a_silent_first_host_is_passed_over() {
    let cluster = Cluster::start_on_tcp(&[]);
    let database = database(&cluster);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    let url = format!(
        "postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{silent_port},127.0.0.1:{}/{}?target_session_attrs=read-write&connect_timeout=5",
        cluster.port(),
        database.name()
    );
    let node = Node::on(&url, &Options { busy_timeout: Duration::from_secs(30), ..Options::default() });
    let calls: Vec<_> = (0..8).map(|n| node.begin_assign(&format!("user{n}"))).collect();
    for call in calls {
        node.run(call).expect("no panic").expect("the database works").expect("a seat");
    }
    // Each connection that was made later went to the host that answered.
    silent.set_nonblocking(true).expect("a listener");
    let tried = std::iter::from_fn(|| silent.accept().ok()).count();
    assert!((1..=3).contains(&tried), "{tried}");
    assert_eq!(holders(&database).1, 8);
}

/// As after a switchover: the old primary answers, but takes no changes.
#[test]
fn a_host_that_takes_no_changes_any_more_is_left_for_one_that_does() {
    let (old, new) = (Cluster::start_on_tcp(&[]), Cluster::start_on_tcp(&[]));
    let (on_old, on_new) = (database(&old), database(&new));
    assert_eq!(on_old.name(), on_new.name());
    let url = format!(
        "postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{},127.0.0.1:{}/{}",
        old.port(),
        new.port(),
        on_old.name()
    );
    let node = Node::on(&url, &Options::default());
    node.assign("anna").expect("the database works").expect("a seat");
    let superuser = old.superuser("postgres");
    superuser.execute("ALTER SYSTEM SET default_transaction_read_only = on").expect("a setting");
    superuser.execute("SELECT pg_reload_conf()").expect("a setting");
    wait_until("the setting counts", || {
        on_old.session().query::<String>("SHOW transaction_read_only").as_deref() == Ok("on")
    });
    node.assign("bert").expect("another host takes it").expect("a seat");
    assert_eq!((holders(&on_old).0.as_str(), holders(&on_new).0.as_str()), ("anna", "bert"));
    assert_eq!(node.release("bert").map(|released| released.is_ok()).ok(), Some(true));
    // Neither does: nothing was changed, and the caller may try again.
    let superuser = new.superuser("postgres");
    superuser.execute("ALTER SYSTEM SET default_transaction_read_only = on").expect("a setting");
    superuser.execute("SELECT pg_reload_conf()").expect("a setting");
    wait_until("the node finds out", || matches!(node.assign("carl"), Err(StoreError::Unreachable(_))));
    let error = node.assign("carl").expect_err("out of reach").to_string();
    assert!(error.contains("takes no changes"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn a_database_that_cannot_be_served_says_why() {
    let cluster = Cluster::start_on_tcp(&[]);
    let empty = cluster.empty_database();
    let foreign = cluster.empty_database();
    foreign.execute("CREATE TABLE theirs (n int)").expect("a table");
    let newer = cluster.database();
    newer.unguarded("UPDATE schema_version SET version = 99");
    let place = |host: &str, name: &str| format!("postgres://{OWNER}:{OWNER_PASSWORD}@{host}/{name}");
    let here = format!("127.0.0.1:{}", cluster.port());
    let wrong_password = format!("postgres://{OWNER}:wrong@{here}/{}", empty.name());
    for (url, expected) in [
        (place(&here, empty.name()), "there is nothing in this database"),
        (place(&here, foreign.name()), "tables that are not Seatkeeper's"),
        (place(&here, newer.name()), "its schema has version 99"),
        (place(&here, "none"), "database \"none\" does not exist (3D000)"),
        (wrong_password, "password authentication failed"),
        (place("127.0.0.1:1", "none"), "127.0.0.1:1: "),
        (place("no-such-host.invalid", "none"), "no-such-host.invalid:5432: "),
    ] {
        let opened = store::open(&url.as_str().into(), &Options::default(), Arc::new(Metrics::new()));
        let error = opened.err().unwrap_or_else(|| panic!("{url} was opened"));
        assert!(matches!(error, OpenError::Server { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains(OWNER_PASSWORD), "{error}");
    }
}

// The schema ------------------------------------------------------------------------------------------------------------------------

#[test]
fn of_many_nodes_that_start_at_once_one_makes_the_schema() {
    let database = Cluster::shared().empty_database();
    let place: store::Database = database.url().into();
    let made: Vec<bool> = std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..8).map(|_| scope.spawn(|| store::create(&place).expect("created"))).collect();
        nodes.into_iter().map(|node| node.join().expect("no panic")).collect()
    });
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    assert!(!store::create(&place).expect("is there"));
    assert!(store::migrate(&place).expect("is of this version").is_none());
    database.execute(&sample_data()).expect("seed");
    let node = Node::on(&database.url(), &Options::default());
    node.assign("anna").expect("the database works").expect("a seat");
}

/// A database as version 4 has made it, with some rows, a credential that is signed in, and an administrator's own view, function and index.
fn of_version_4() -> Database {
    let database = Cluster::shared().empty_database();
    let script = include_str!("../../src/store/postgres/migrations/schema_4.sql");
    database.execute(script).expect("schema of version 4");
    database.execute(&sample_data()).expect("seed");
    database
        .execute(
            "UPDATE seat SET account_id = NULL; INSERT INTO account (username, entity_id) VALUES ('anna', 42);
             UPDATE seat SET account_id = (SELECT id FROM account) WHERE pool_id = 1 AND seat_no = 1;
             CREATE VIEW theirs AS SELECT id, note FROM entity; CREATE INDEX their_index ON account (note);
             CREATE FUNCTION their_function() RETURNS integer LANGUAGE sql AS 'SELECT 1';",
        )
        .expect("use");
    database
}

#[test]
fn an_older_database_is_brought_to_the_newest_version() {
    let database = of_version_4();
    let place: store::Database = database.url().into();
    let all = "SELECT string_agg(line, E'\n' ORDER BY line) FROM (SELECT 'event ' || row::text AS line FROM audit_event AS row
                UNION ALL SELECT 'seat ' || row::text FROM seat AS row UNION ALL SELECT 'credential ' || row::text FROM credential AS row) AS lines";
    let before: String = database.query(all);
    let opened = store::open(&place, &Options::default(), Arc::new(Metrics::new())).err().expect("too old").to_string();
    assert!(
        opened.contains("its schema has version 4, this program works with version 5. Run 'seatkeeper migrate'"),
        "{opened}"
    );

    let tried = store::try_migration(&place, auth::check_hash).expect("tried").expect("there is something to do");
    assert_eq!((tried.from, tried.to, tried.violations.as_slice()), (4, 5, [].as_slice()));
    assert_eq!(database.query::<i64>("SELECT version FROM schema_version"), 4, "nothing was changed");

    // Several nodes start at once.
    let migrated: Vec<bool> = std::thread::scope(|scope| {
        let nodes: Vec<_> =
            (0..4).map(|_| scope.spawn(|| store::migrate(&place).expect("migrated").is_some())).collect();
        nodes.into_iter().map(|node| node.join().expect("no panic")).collect()
    });
    assert_eq!(migrated.iter().filter(|migrated| **migrated).count(), 1, "{migrated:?}");
    assert!(store::migrate(&place).expect("is done").is_none());
    assert_eq!(database.query::<String>(all), before, "every row is as it was");
    assert_eq!(store::check(&place, auth::check_hash).expect("checked"), [], "as a new database");
    assert_eq!(database.query::<i64>("SELECT their_function() + (SELECT count(*) FROM theirs WHERE id = 42)"), 2);
    let forged = database.execute("INSERT INTO upkeep VALUES ('backup', now(), 'never')").expect_err("refused");
    assert!(forged.message.contains("upkeep is written by the service"), "{forged}");
    let node = Node::on(&database.url(), &Options::default());
    node.assign("bert").expect("the database works").expect("a seat");
}

#[test]
fn a_database_whose_guards_were_changed_is_not_migrated() {
    let database = of_version_4();
    let place: store::Database = database.url().into();
    database.execute("DROP TRIGGER account_delete ON account").expect("the owner may");
    for error in [
        store::migrate(&place).expect_err("refused"),
        store::try_migration(&place, auth::check_hash).expect_err("refused"),
    ] {
        assert!(
            error.to_string().contains("the schema was changed: trigger account_delete on account is missing"),
            "{error}"
        );
    }
    assert_eq!(database.query::<i64>("SELECT version FROM schema_version"), 4);
}

#[test]
fn a_node_whose_schema_is_changed_takes_no_more_calls() {
    let database = database(&Cluster::shared());
    let node = Node::on(&database.url(), &Options::default());
    node.assign("anna").expect("the database works").expect("a seat");
    database.unguarded("UPDATE schema_version SET version = 99");
    let stopped = node.run(async { tokio::time::timeout(LONG, node.store.stopped()).await });
    assert_eq!(stopped.expect("the node stops"), Fault::Schema);
    assert!(matches!(node.assign("bert"), Err(StoreError::Stopped(Fault::Schema))));
    assert!(matches!(node.ready(), Err(StoreError::Stopped(Fault::Schema))));
    assert_eq!(holders(&database).0, "anna");
}

// Connections that end --------------------------------------------------------------------------------------------------------------

#[test]
fn a_change_whose_connection_is_killed_is_made_once() {
    let database = database(&Cluster::shared());
    let node = Node::patient(&database.url(), Options::default());
    node.assign("anna").expect("the database works").expect("a seat");
    node.release("anna").expect("the database works").expect("her seat");
    let lock = database.session();
    for change in ["assign", "release"] {
        lock.execute(
            "BEGIN; SELECT 1 FROM account WHERE username = 'anna' FOR UPDATE; LOCK TABLE seat IN EXCLUSIVE MODE",
        )
        .expect("lock");
        let call = match change {
            "assign" => node.begin_assign("anna"),
            _ => {
                let (store, username) = (Arc::clone(&node.store), Some("anna".into()));
                let holding = Holding { username, license_type: Some(LicenseType::SqlBackup) };
                node.runtime.spawn(async move { store.release(call(), holding).await })
            }
        };
        wait_for_lock(&database, 1);
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'seatkeeper' AND wait_event_type = 'Lock'";
        assert_eq!(database.cluster().superuser(database.name()).query::<i64>(kill), Ok(1));
        // It is made again, on another connection.
        wait_for_lock(&database, 1);
        lock.execute("COMMIT").expect("unlock");
        node.run(call).expect("no panic").expect("the database works").unwrap_or_else(|e| panic!("{change}: {e}"));
        let events = format!("SELECT count(*) FROM audit_event WHERE action = '{change}' AND request_id IS NOT NULL");
        assert_eq!(database.query::<i64>(&events), 2, "{change}");
    }
    assert_eq!(holders(&database), (String::new(), 2));
}

#[test]
fn a_statement_that_takes_too_long_changes_nothing() {
    let database = database(&Cluster::shared());
    let options = Options {
        // Long enough for any statement that waits for no lock.
        statement_timeout: Duration::from_secs(3),
        busy_timeout: Duration::from_secs(60),
        ..Options::default()
    };
    let node = Node::on(&database.url(), &options);
    node.assign("anna").expect("the database works").expect("a seat");
    let lock = database.session();
    lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
    let begun = Instant::now();
    let error = node.assign("bert").expect_err("it waits for too long");
    assert!(matches!(&error, StoreError::Failed(text) if text.contains("57014")), "{error:?}");
    // It is not tried again for as long as calls may wait.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    lock.execute("COMMIT").expect("unlock");
    assert_eq!(holders(&database).0, "anna");
    node.assign("bert").expect("the database works").expect("a seat");
}

#[test]
fn a_lock_is_waited_for_as_long_as_the_setting_says() {
    let database = database(&Cluster::shared());
    let options = Options { busy_timeout: Duration::from_millis(400), ..Options::default() };
    let node = Node::on(&database.url(), &options);
    let lock = database.session();
    lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
    assert!(matches!(node.assign("anna"), Err(StoreError::Locked)));
    lock.execute("COMMIT").expect("unlock");
    assert_eq!(holders(&database).0, "");
}

/// Passes bytes on in both directions, until it is told to swallow what the server says, and then to cut.
struct Proxy {
    port: u16,
    state: Arc<ProxyState>,
}

#[derive(Default)]
struct ProxyState {
    is_silent: AtomicBool,
    /// The server does not see that its clients are gone, as behind a network that has lost them.
    keeps_server: AtomicBool,
    /// Of clients and of the server.
    connections: Mutex<Vec<(TcpStream, TcpStream)>>,
    kept: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    fn to(server_port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(ProxyState::default());
        let shared = Arc::clone(&state);
        // Ends with the tests.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { continue };
                let clone = |stream: &TcpStream| stream.try_clone().expect("a socket");
                let (from, to, state) = (clone(&client), clone(&server), Arc::clone(&shared));
                std::thread::spawn(move || {
                    pass(from, &to, || false);
                    if !state.keeps_server.load(Ordering::SeqCst) {
                        let _ = to.shutdown(Shutdown::Both);
                    }
                });
                let (from, to, state) = (clone(&server), clone(&client), Arc::clone(&shared));
                std::thread::spawn(move || {
                    pass(from, &to, || state.is_silent.load(Ordering::SeqCst));
                    let _ = to.shutdown(Shutdown::Both);
                });
                shared.connections.lock().expect("not poisoned").push((client, server));
            }
        });
        Proxy { port, state }
    }

    /// From now on nothing comes back from the server.
    fn swallow(&self) {
        self.state.is_silent.store(true, Ordering::SeqCst);
    }

    /// Ends all connections, and passes on later ones. `of_server`: the server sees it too.
    fn cut(&self, of_server: bool) {
        self.state.keeps_server.store(!of_server, Ordering::SeqCst);
        for (client, server) in self.state.connections.lock().expect("not poisoned").drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            match of_server {
                true => drop(server.shutdown(Shutdown::Both)),
                false => self.state.kept.lock().expect("not poisoned").push(server),
            }
        }
        self.state.is_silent.store(false, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: &TcpStream, is_silent: impl Fn() -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if !is_silent() && to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
}

/// The answer to a change is lost with the connection, and the caller still gets the true one: the seat that was taken.
#[test]
fn a_change_whose_answer_is_lost_gets_the_true_one() {
    let cluster = Cluster::start_on_tcp(&[]);
    let database = database(&cluster);
    let proxy = Proxy::to(cluster.port());
    let url = format!("postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{}/{}", proxy.port, database.name());
    let node = Node::patient(&url, Options { server_connections_max: 1, ..Options::default() });
    let lock = database.session();
    for (number, (is_committed_first, of_server)) in
        [(true, true), (true, false), (false, true), (false, false)].into_iter().enumerate()
    {
        let username = format!("user{number}");
        // From here on there is one connection, on which the statements are prepared: what waits is the change itself.
        node.assign(&format!("first{number}")).expect("the database works").expect("a seat");
        lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
        let call = node.begin_assign(&username);
        wait_for_lock(&database, 1);
        proxy.swallow();
        let held =
            format!("SELECT count(*) FROM account JOIN seat ON account_id = account.id WHERE username = '{username}'");
        if is_committed_first {
            // The change is saved, and the answer does not arrive.
            lock.execute("COMMIT").expect("unlock");
            wait_until("the seat is taken", || database.query::<i64>(&held) == 1);
            std::thread::sleep(Duration::from_millis(50));
            proxy.cut(of_server);
        } else {
            // The server is still at work when the connection ends, and saves the change after that.
            proxy.cut(of_server);
            std::thread::sleep(Duration::from_millis(200));
            lock.execute("COMMIT").expect("unlock");
        }
        let seat = node
            .run(call)
            .expect("no panic")
            .expect("the database works")
            .unwrap_or_else(|e| panic!("{username}: {e}"));
        let taken =
            format!("SELECT seat_no FROM account JOIN seat ON account_id = account.id WHERE username = '{username}'");
        assert_eq!(database.query::<i64>(&taken), seat.seat_no, "{username}");
        let events = format!("SELECT count(*) FROM audit_event WHERE action = 'assign' AND username = '{username}'");
        assert_eq!(database.query::<i64>(&events), 1, "{username}");
    }
}

#[test]
fn a_node_that_loses_its_database_says_so_and_recovers() {
    let cluster = Cluster::start_on_tcp(&[]);
    let database = database(&cluster);
    let mut service = Service::start(&cluster.tcp_url(database.name()));
    assert_eq!(service.ready(), (200, "ready\n".to_owned()));
    let node = Node::on(
        &cluster.tcp_url(database.name()),
        &Options { busy_timeout: Duration::from_millis(500), ..Options::default() },
    );
    node.assign("anna").expect("the database works").expect("a seat");
    for is_crash in [true, false] {
        if is_crash {
            cluster.crash()
        } else {
            cluster.stop()
        }
        let begun = Instant::now();
        let (status, body) = service.ready();
        assert_eq!((status, body.as_str()), (503, "not ready: the database is out of reach\n"));
        // It waits for the database for two seconds.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(matches!(node.assign("bert"), Err(StoreError::Unreachable(_))));
        cluster.start_again();
        wait_until("the service is ready again", || service.ready().0 == 200);
        wait_until("the node is ready again", || node.ready().is_ok());
    }
    node.assign("bert").expect("the database works").expect("a seat");
    assert_eq!(holders(&database).0, "anna,bert");
    service.stop();
}

/// The program.
struct Service {
    child: Child,
    address: std::net::SocketAddr,
}

impl Service {
    fn start(url: &str) -> Service {
        let mut child = crate::program::command()
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--database", url])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let log = std::io::BufReader::new(child.stderr.take().expect("stderr"));
        let mut lines = std::io::BufRead::lines(log)
            .map_while(Result::ok)
            .inspect(|line| assert!(!line.contains("s3cret"), "{line}"));
        let address = lines
            .by_ref()
            .find_map(|line| Some(line.split_once("\"address\":\"")?.1.split_once('"')?.0.parse().expect("an address")))
            .expect("the service starts");
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Service { child, address }
    }

    fn ready(&self) -> (u16, String) {
        let answer = Client::to(self.address).send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
        (answer.status, answer.body)
    }

    fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it can be told to stop");
        assert!(self.child.wait().expect("wait").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// Callers ---------------------------------------------------------------------------------------------------------------------------

#[test]
fn a_caller_that_goes_away_leaves_no_transaction_behind() {
    let database = database(&Cluster::shared());
    let node = Node::patient(&database.url(), Options { server_connections_max: 2, ..Options::default() });
    node.assign("anna").expect("the database works").expect("a seat");
    let lock = database.session();
    lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
    // Both connections are at work, and what comes then has not begun.
    let begun = [node.begin_assign("bert"), node.begin_assign("carl")];
    wait_for_lock(&database, 2);
    let waiting = node.begin_assign("dora");
    std::thread::sleep(Duration::from_millis(100));
    waiting.abort();
    begun.iter().for_each(tokio::task::JoinHandle::abort);
    std::thread::sleep(Duration::from_millis(100));
    lock.execute("COMMIT").expect("unlock");
    // What had begun is finished. Nothing is left open.
    wait_until("what had begun is finished", || holders(&database).0 == "anna,bert,carl");
    node.assign("emil").expect("the database works").expect("a seat");
    assert_eq!(holders(&database).0, "anna,bert,carl,emil");
    let open = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'seatkeeper' AND state LIKE 'idle in%'";
    wait_until("no transaction is open", || database.query::<i64>(open) == 0);
}

#[test]
fn more_calls_than_may_wait_are_refused() {
    let database = database(&Cluster::shared());
    let options = Options { server_connections_max: 1, queue_calls_max: 2, ..Options::default() };
    let node = Node::patient(&database.url(), options);
    let lock = database.session();
    lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
    let calls: Vec<_> = (0..3).map(|n| node.begin_assign(&format!("user{n}"))).collect();
    wait_for_lock(&database, 1);
    wait_until("the queue is full", || matches!(node.assign("late"), Err(StoreError::QueueFull)));
    lock.execute("COMMIT").expect("unlock");
    for call in calls {
        node.run(call).expect("no panic").expect("the database works").expect("a seat");
    }
    node.assign("late").expect("the database works").expect("a seat");
}

#[test]
fn a_store_that_is_closed_finishes_what_it_took() {
    let database = database(&Cluster::shared());
    let node = Node::patient(&database.url(), Options::default());
    let lock = database.session();
    lock.execute("BEGIN; LOCK TABLE seat IN EXCLUSIVE MODE").expect("lock");
    let call = node.begin_assign("anna");
    wait_for_lock(&database, 1);
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| node.store.close());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!closing.is_finished());
        lock.execute("COMMIT").expect("unlock");
    });
    node.run(call).expect("no panic").expect("the database works").expect("a seat");
    assert!(matches!(node.assign("bert"), Err(StoreError::Closed)));
    assert!(matches!(node.ready(), Err(StoreError::Closed)));
    let open =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'seatkeeper'";
    wait_until("all connections are closed", || database.query::<i64>(open) == 0);
}

// Poolers and TLS -------------------------------------------------------------------------------------------------------------------

/// Where Debian has it; the PATH of a user may not have that directory.
const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

/// PgBouncer in transaction mode, with few connections to the server.
pub struct PgBouncer {
    child: Child,
    pub port: u16,
    _directory: TempDir,
}

impl PgBouncer {
    pub fn to(cluster: &Cluster) -> PgBouncer {
        let directory = TempDir::new();
        let port = free_port();
        let (users, log) = (directory.join("users"), directory.join("log"));
        std::fs::write(&users, format!("\"{OWNER}\" \"{OWNER_PASSWORD}\"\n")).expect("users");
        std::fs::write(&log, "").expect("a log");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 100\nlogfile = {}\n",
            cluster.port(),
            users.display(),
            log.display(),
        );
        std::fs::write(directory.join("pgbouncer.ini"), settings).expect("settings");
        let mut command = Command::new(PGBOUNCER);
        // It refuses to run as root; its files must be the other user's then.
        if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
            for file in [directory.join("."), users, log, directory.join("pgbouncer.ini")] {
                assert!(Command::new("chown").arg("postgres").arg(file).status().expect("chown").success());
            }
            command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", PGBOUNCER]);
        }
        let child = command.arg(directory.join("pgbouncer.ini")).stderr(Stdio::null()).spawn().expect("pgbouncer");
        wait_until("PgBouncer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        PgBouncer { child, port, _directory: directory }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn calls_work_through_pgbouncer_in_transaction_mode() {
    let cluster = Cluster::start_on_tcp(&[]);
    let database = database(&cluster);
    let pooler = PgBouncer::to(&cluster);
    let url = format!("postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{}/{}", pooler.port, database.name());
    // All calls wait for the same two connections of the pooler.
    let node = Node::patient(&url, Options::default());
    let calls: Vec<_> = (0..60).map(|n| node.begin_assign(&format!("user{n}"))).collect();
    for call in calls {
        node.run(call).expect("no panic").expect("the database works").expect("a seat");
    }
    node.release("user7").expect("the database works").expect("its seat");
    assert_eq!(holders(&database).1, 60);
    let actors = "SELECT group_concat(DISTINCT actor) FROM audit_event WHERE request_id IS NOT NULL";
    assert_eq!(database.query::<String>(actors), "cli");
    // No setting of ours stays with the server's processes: SHOW goes through the pooler to one of them.
    let changed = "SELECT count(*) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'plan_cache_mode') AND source <> 'default'";
    let mut psql = cluster.program("psql");
    psql.env("PGHOST", "127.0.0.1").env("PGPORT", pooler.port.to_string()).env("PGPASSWORD", OWNER_PASSWORD);
    let shown = psql.args(["-Atc", changed, database.name()]).output().expect("psql");
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "0\n");
}

#[test]
fn certificates_are_verified_as_sslmode_says() {
    let directory = TempDir::new();
    let openssl = |arguments: &[&str], name: &str| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(arguments)
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .current_dir(directory.join("."))
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    // Two authorities, a certificate for localhost by the first one, and one that is its own authority.
    openssl(&["-subj", "/CN=ours"], "ours");
    openssl(&["-subj", "/CN=other"], "other");
    let of_localhost = [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    openssl(&["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], "self");
    openssl(&[&of_localhost[..], &["-CA", "ours.pem", "-CAkey", "ours.key"]].concat(), "server");
    let (certificate, key) = (directory.join("server.pem"), directory.join("server.key"));
    let (own_certificate, own_key) = (directory.join("self.pem"), directory.join("self.key"));
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if is_root {
        for file in [directory.join("."), certificate.clone(), key.clone(), own_certificate.clone(), own_key.clone()] {
            assert!(Command::new("chown").arg("postgres").arg(file).status().expect("chown").success());
        }
    }
    let setting = |name: &str, file: &Path| format!("{name}={}", file.display());
    let with_tls =
        Cluster::start_on_tcp(&["ssl=on", &setting("ssl_cert_file", &certificate), &setting("ssl_key_file", &key)]);
    let own_authority = Cluster::start_on_tcp(&[
        "ssl=on",
        &setting("ssl_cert_file", &own_certificate),
        &setting("ssl_key_file", &own_key),
    ]);
    let without = Cluster::start_on_tcp(&[]);
    let own = own_certificate.display().to_string();
    let (ours, other) =
        (directory.join("ours.pem").display().to_string(), directory.join("other.pem").display().to_string());
    for (cluster, host, parameters, expected) in [
        (&with_tls, "localhost", format!("sslmode=verify-full&sslrootcert={ours}"), Ok(true)),
        (&with_tls, "127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ours}"), Ok(true)),
        (&with_tls, "127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        (&with_tls, "127.0.0.1", "sslmode=prefer".to_owned(), Ok(true)),
        (&with_tls, "127.0.0.1", String::new(), Ok(true)),
        (&with_tls, "127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
        (&with_tls, "127.0.0.1", format!("sslmode=verify-full&sslrootcert={ours}"), Err("certificate")),
        (&with_tls, "localhost", format!("sslmode=verify-full&sslrootcert={other}"), Err("certificate")),
        (&with_tls, "127.0.0.1", format!("sslmode=verify-ca&sslrootcert={other}"), Err("certificate")),
        (
            &own_authority,
            "localhost",
            format!("sslmode=verify-full&sslrootcert={own}"),
            Err("make one with basicConstraints=CA:FALSE and the name of the host as subjectAltName"),
        ),
        (&without, "127.0.0.1", "sslmode=prefer".to_owned(), Ok(false)),
        (&without, "localhost", "sslmode=require".to_owned(), Err("TLS")),
        (&without, "localhost", format!("sslmode=verify-full&sslrootcert={ours}"), Err("TLS")),
    ] {
        let database = cluster.database();
        let place =
            format!("postgres://{OWNER}:{OWNER_PASSWORD}@{host}:{}/{}?{parameters}", cluster.port(), database.name());
        let opened = store::open(&place.as_str().into(), &Options::default(), Arc::new(Metrics::new()));
        match (opened, expected) {
            (Ok(store), Ok(is_encrypted)) => {
                let ours = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                             WHERE datname = current_database() AND application_name = 'seatkeeper' AND ssl";
                let count: i64 = database.cluster().superuser(database.name()).query(ours).expect("a number");
                assert_eq!(count > 0, is_encrypted, "{host} {parameters}");
                store.close();
            }
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{host} {parameters}: {error}"),
            (Ok(_), Err(_)) => panic!("{host} {parameters} was accepted"),
            (Err(error), Ok(_)) => panic!("{host} {parameters}: {error}"),
        }
    }
}
