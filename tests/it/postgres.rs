//! A PostgreSQL server of the tests' own, databases in it, and SQL on them. `tests/postgres/cluster` is the server.
//!
//! The server that tests share is started by the first one that needs it, and stops when the process of the tests ends, however it
//! ends. A test that kills, stops or configures its server starts one of its own ([`Cluster::start`]).

use std::error::Error as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use rusqlite::types::{FromSql, Value, ValueRef};
use tokio_postgres::NoTls;
use tokio_postgres::types::{self, Type};

/// Owns the databases of the tests, and is no superuser.
pub const OWNER: &str = "seatkeeper";
/// Over TCP; on the socket none is asked for.
pub const OWNER_PASSWORD: &str = "s3cret:pass";

/// A running server. Dropping it stops it and removes its files.
pub struct Cluster {
    shell: Mutex<Shell>,
    directory: PathBuf,
    binaries: PathBuf,
    port: u16,
    listens: bool,
    role: OnceLock<()>,
    template: OnceLock<()>,
    databases: AtomicU64,
}

struct Shell {
    process: Child,
    /// `None`: it is being stopped.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Where the databases of the tests are copied from.
const TEMPLATE: &str = "seatkeeper_template";

impl Cluster {
    /// The one for all tests that do not stop it. It listens on its socket only.
    pub fn shared() -> Arc<Cluster> {
        // A test has up to four nodes of 19 connections, and there are as many tests at a time as cores.
        static SHARED: LazyLock<Arc<Cluster>> = LazyLock::new(|| Cluster::start(&["max_connections=1000"]));
        Arc::clone(&SHARED)
    }

    /// A server of one's own, with settings like `commit_delay=2000`, on its socket only.
    pub fn start(settings: &[&str]) -> Arc<Cluster> {
        Arc::new(Cluster::try_start(settings, None).unwrap_or_else(|reason| panic!("no PostgreSQL: {reason}")))
    }

    /// The same, also on a free port of 127.0.0.1.
    pub fn start_on_tcp(settings: &[&str]) -> Arc<Cluster> {
        let mut reason = String::new();
        // Another program may take the port before the server does.
        for _ in 0..3 {
            match Cluster::try_start(settings, Some(crate::harness::free_port())) {
                Ok(cluster) => return Arc::new(cluster),
                Err(why) => reason = why,
            }
        }
        panic!("no PostgreSQL: {reason}");
    }

    fn try_start(settings: &[&str], tcp_port: Option<u16>) -> Result<Cluster, String> {
        let mut command = Command::new("bash");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/cluster"));
        if let Some(port) = tcp_port {
            command.args([format!("port={port}"), "listen_addresses=127.0.0.1".to_owned()]);
        }
        command.args(settings).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C ends the tests; the shell stops the server after them.
        let mut process = command.process_group(0).spawn().map_err(|e| e.to_string())?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("is piped"));
        let mut shell = Shell { process, input, output };
        let line = match shell.read_line() {
            Some(line) => line,
            None => {
                let mut reason = String::new();
                let _ = std::io::Read::read_to_string(&mut shell.process.stderr.take().expect("is piped"), &mut reason);
                return Err(reason.trim().to_owned());
            }
        };
        let mut words = line.split(' ').skip(1);
        let mut word = || words.next().expect("ready DIRECTORY PORT BINARIES");
        Ok(Cluster {
            directory: word().into(),
            port: word().parse().expect("a port"),
            binaries: word().into(),
            listens: tcp_port.is_some(),
            shell: Mutex::new(shell),
            role: OnceLock::new(),
            template: OnceLock::new(),
            databases: AtomicU64::new(0),
        })
    }

    /// Kills all of its processes, as when the machine fails. What was committed is there after [`Cluster::start_again`].
    pub fn crash(&self) {
        self.tell("crash");
    }

    /// Stops it as an administrator does.
    pub fn stop(&self) {
        self.tell("stop");
    }

    /// After [`Cluster::crash`] or [`Cluster::stop`].
    pub fn start_again(&self) {
        self.tell("start");
    }

    fn tell(&self, word: &str) {
        let mut shell = self.shell.lock().expect("not poisoned");
        writeln!(shell.input.as_mut().expect("it runs"), "{word}").expect("the shell runs");
        assert_eq!(shell.read_line().as_deref(), Some("done"), "{word}: see the standard error of the tests");
    }

    /// A program of PostgreSQL, such as `psql` or `pgbench`, with what it needs to find the server.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.env("PGHOST", &self.directory).env("PGPORT", self.port.to_string()).env("PGUSER", OWNER);
        command
    }

    /// Of its TCP listener.
    pub fn port(&self) -> u16 {
        assert!(self.listens, "it was not started on TCP");
        self.port
    }

    /// A database of this name on the socket, as this user.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@/{database}?host={}&port={}", self.directory.display(), self.port)
    }

    /// The same over TCP, as [`OWNER`].
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgres://{OWNER}:{OWNER_PASSWORD}@127.0.0.1:{}/{database}", self.port())
    }

    /// SQL as a superuser.
    pub fn superuser(&self, database: &str) -> Session {
        Session::open(&self.url("postgres", database)).unwrap_or_else(|e| panic!("{database}: {e}"))
    }

    /// A database with nothing in it, not even the schema.
    pub fn empty_database(self: &Arc<Self>) -> Database {
        self.create("template0")
    }

    /// A database with the schema in it.
    pub fn database(self: &Arc<Self>) -> Database {
        self.template.get_or_init(|| self.make_template());
        self.create(TEMPLATE)
    }

    fn create(self: &Arc<Self>, template: &str) -> Database {
        self.make_role();
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.superuser("postgres")
            .execute(&format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}"))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        Database { cluster: Arc::clone(self), name }
    }

    fn make_role(&self) {
        self.role.get_or_init(|| {
            let role = format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER_PASSWORD}'");
            self.superuser("postgres").execute(&role).expect("a role");
        });
    }

    fn make_template(&self) {
        self.make_role();
        let postgres = self.superuser("postgres");
        postgres.execute(&format!("CREATE DATABASE {TEMPLATE} OWNER {OWNER} TEMPLATE template0")).expect("a template");
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.postgres.sql");
        let schema = std::fs::read_to_string(&schema).unwrap_or_else(|e| panic!("{}: {e}", schema.display()));
        let template = Session::open(&self.url(OWNER, TEMPLATE)).expect("the template");
        template.execute(&schema).unwrap_or_else(|e| panic!("schema.postgres.sql: {e}"));
        self.superuser(TEMPLATE).execute(SQLITE_FUNCTIONS).unwrap_or_else(|e| panic!("SQLITE_FUNCTIONS: {e}"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(shell.input.take());
        let _ = shell.process.wait();
    }
}

impl Shell {
    /// `None`: it has ended.
    fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.output.read_line(&mut line).unwrap_or(0);
        (bytes > 0).then(|| line.trim_end().to_owned())
    }
}

/// A database of one test. Dropping it removes it, and ends the connections that are left.
pub struct Database {
    cluster: Arc<Cluster>,
    name: String,
}

impl Database {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// On the socket, as [`OWNER`].
    pub fn url(&self) -> String {
        self.cluster.url(OWNER, &self.name)
    }

    /// SQL as its owner: an administrator.
    pub fn session(&self) -> Session {
        Session::open(&self.url()).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Runs a script as its owner.
    pub fn execute(&self, script: &str) -> Result<(), SqlError> {
        self.session().execute(script)
    }

    /// The first column of the first row.
    pub fn query<T: FromSql>(&self, query: &str) -> T {
        self.session().query(query).unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    /// Ends all connections to it.
    pub fn disconnect(&self) {
        let others = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        );
        self.cluster.superuser("postgres").execute(&others).expect("a superuser");
    }

    /// Runs a script without triggers in its way, for rows that another program has written.
    pub fn unguarded(&self, script: &str) {
        let session = self.cluster.superuser(&self.name);
        session.execute("SET session_replication_role = replica").expect("a superuser");
        session.execute(script).unwrap_or_else(|e| panic!("{script}: {e}"));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may have been stopped.
        if let Ok(session) = Session::open(&self.cluster.url("postgres", "postgres")) {
            let _ = session.execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// Why SQL was refused: SQLSTATE, which SQLite has not, and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub code: String,
    pub message: String,
}

impl std::fmt::Display for SqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        SqlError { code: String::new(), message: error.to_string() }
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(error) => {
                let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
                SqlError { code: error.code().code().to_owned(), message: format!("{}{detail}", error.message()) }
            }
            None => {
                let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
                SqlError { code: String::new(), message: format!("{error}{source}") }
            }
        }
    }
}

/// A connection for a test, which waits for each answer.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl Session {
    pub fn open(url: &str) -> Result<Session, SqlError> {
        let mut config: tokio_postgres::Config = url.parse()?;
        config.options("-c search_path=public,sqlite").application_name("seatkeeper tests");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let client = runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, SqlError>(client)
        })?;
        Ok(Session { runtime, client })
    }

    /// One statement or several.
    pub fn execute(&self, script: &str) -> Result<(), SqlError> {
        Ok(self.runtime.block_on(self.client.batch_execute(&in_postgres(script)))?)
    }

    /// Every row of one statement, as SQLite would give it: see [`Cell`].
    pub fn rows(&self, query: &str) -> Result<Vec<Vec<Value>>, SqlError> {
        let rows = self.runtime.block_on(self.client.query(&with_numbers_of_now(&in_postgres(query)), &[]))?;
        let row = |row: &tokio_postgres::Row| (0..row.len()).map(|at| row.get::<_, Cell>(at).0).collect();
        Ok(rows.iter().map(row).collect())
    }

    /// The first column of the first row.
    pub fn query<T: FromSql>(&self, query: &str) -> Result<T, SqlError> {
        let rows = self.rows(query)?;
        let value = rows
            .first()
            .and_then(|row| row.first())
            .ok_or_else(|| SqlError { code: "02000".to_owned(), message: "no row".to_owned() })?;
        T::column_result(ValueRef::from(value))
            .map_err(|e| SqlError { code: String::new(), message: format!("{value:?}: {e}") })
    }
}

/// A value as SQLite has it: whole numbers and truth are INTEGER, times are text like 2027-01-31T00:00:00Z, and 2027-01-31T00:00:00.120Z
/// where they have a fraction.
struct Cell(Value);

impl<'a> types::FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Cell, Box<dyn std::error::Error + Sync + Send>> {
        fn whole(raw: &[u8]) -> Option<i64> {
            let mut bytes = match raw.first()? {
                0x80.. => [0xff; 8],
                _ => [0; 8],
            };
            bytes.get_mut(8 - raw.len()..)?.copy_from_slice(raw);
            Some(i64::from_be_bytes(bytes))
        }
        let value = match *ty {
            Type::BOOL => Value::Integer((raw[0] != 0).into()),
            Type::INT2 | Type::INT4 | Type::INT8 => Value::Integer(whole(raw).ok_or("a number")?),
            Type::OID => Value::Integer(u32::from_be_bytes(raw.try_into()?).into()),
            Type::FLOAT8 => Value::Real(f64::from_be_bytes(raw.try_into()?)),
            Type::NUMERIC => numeric(raw).ok_or("a number that no test needs")?,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
                Value::Text(std::str::from_utf8(raw)?.to_owned())
            }
            Type::JSONB => Value::Text(std::str::from_utf8(&raw[1..])?.to_owned()),
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::TIMESTAMPTZ => Value::Text(time(whole(raw).ok_or("a time")?)?),
            Type::UUID => Value::Text(uuid::Uuid::from_slice(raw)?.to_string()),
            ref other => Value::Text(format!("{other}: {raw:?}")),
        };
        Ok(Cell(value))
    }

    fn from_sql_null(_: &Type) -> Result<Cell, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Cell(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Microseconds since 2000, as text.
fn time(microseconds: i64) -> Result<String, jiff::Error> {
    let at: DateTime = date(2000, 1, 1).at(0, 0, 0, 0).checked_add(SignedDuration::from_micros(microseconds))?;
    let form = if at.subsec_nanosecond() == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
    Ok(at.strftime(form).to_string())
}

/// What `sum` of a bigint gives: digits of 10,000 each, behind their number, the weight of the first, sign and scale.
fn numeric(raw: &[u8]) -> Option<Value> {
    let words: Vec<i16> = raw.chunks_exact(2).map(|two| i16::from_be_bytes([two[0], two[1]])).collect();
    let (weight, sign) = (i64::from(*words.get(1)?), *words.get(2)?);
    let mut number = 0_f64;
    for (at, digit) in (0_i64..).zip(words.get(4..)?) {
        number += f64::from(*digit) * 10_000_f64.powi(i32::try_from(weight - at).ok()?);
    }
    let number = if sign == 0 { number } else { -number };
    Some(if number.fract() == 0.0 && number.abs() < 9e15 { Value::Integer(number as i64) } else { Value::Real(number) })
}

/// SQL of tests that run on both is SQLite's. Where PostgreSQL needs another form, it gets it here; [`SQLITE_FUNCTIONS`] does the rest.
fn in_postgres(script: &str) -> String {
    let mut statements = vec![String::new()];
    let mut rest = script;
    while let Some(at) = rest.find(['\'', '-', ';']) {
        let (before, found) = rest.split_at(at);
        let statement = statements.last_mut().expect("there is one");
        *statement += before;
        let end = match found.as_bytes()[0] {
            b'-' if found.starts_with("--") => found.find('\n').unwrap_or(found.len()),
            b'\'' => literal(found),
            _ => 1,
        };
        let (this, after) = found.split_at(end);
        rest = after;
        let is_bytes = |text: &str| {
            let name = text.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
            text[name..].eq_ignore_ascii_case("x")
        };
        if this == ";" {
            statements.push(String::new());
        } else if this.starts_with('\'') && is_bytes(statement) {
            statement.pop();
            *statement += &format!("'\\x{}::bytea", &this[1..]);
        } else if let Some(call) = statement.strip_suffix("hash_password(").filter(|_| this.starts_with('\'')) {
            let password = this[1..this.len() - 1].replace("''", "'");
            *statement = format!("{call}'{}'", seatkeeper::auth::hash_password(&password).expect("a hash"));
            rest = rest.strip_prefix(')').expect("hash_password('...')");
        } else {
            *statement += this;
        }
    }
    *statements.last_mut().expect("there is one") += rest;
    let script = statements.iter().map(|statement| with_conflicts(statement)).collect::<Vec<_>>().join(";");
    script.replace("COLLATE BINARY", "COLLATE \"C\"")
}

/// The length of the literal at the beginning, quotes included.
fn literal(text: &str) -> usize {
    let mut end = 1;
    while let Some(quote) = text[end..].find('\'') {
        end += quote + 1;
        if !text[end..].starts_with('\'') {
            return end;
        }
        end += 1;
    }
    text.len()
}

/// What SQLite does where rows are in the way: they are passed over, or, as our triggers have it there, the statement is refused.
fn with_conflicts(statement: &str) -> String {
    let (blank, words) = statement.split_at(statement.len() - statement.trim_start().len());
    if let Some(insert) = words.strip_prefix("INSERT OR IGNORE ") {
        return format!("{blank}INSERT {insert} ON CONFLICT DO NOTHING");
    }
    for (sqlite, postgres) in [
        ("INSERT OR REPLACE ", "INSERT "),
        ("REPLACE INTO ", "INSERT INTO "),
        ("UPDATE OR REPLACE ", "UPDATE "),
        ("UPDATE OR IGNORE ", "UPDATE "),
    ] {
        if let Some(rest) = words.strip_prefix(sqlite) {
            return format!("{blank}{postgres}{rest}");
        }
    }
    statement.to_owned()
}

/// The numbers of pools as they are now: in the table they come some hundredths of a second later.
fn with_numbers_of_now(query: &str) -> String {
    if query.contains("seats_in_use") { query.replace("license_pool", "pool_use") } else { query.to_owned() }
}

/// Functions that SQLite has, for queries of tests that run on both: in a schema of their own, which only [`Session`] searches.
const SQLITE_FUNCTIONS: &str = "
    CREATE SCHEMA sqlite;
    SET search_path = sqlite;
    CREATE FUNCTION as_text(anyelement) RETURNS text LANGUAGE sql STABLE AS $$
        SELECT CASE WHEN pg_typeof($1) = 'timestamptz'::regtype
                    THEN to_char(($1::text)::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
                    WHEN pg_typeof($1) = 'boolean'::regtype THEN ($1::text)::boolean::int::text
                    ELSE $1::text END $$;
    CREATE FUNCTION add_text(text, anyelement, text) RETURNS text LANGUAGE sql STABLE AS $$
        SELECT coalesce($1 || $3 || sqlite.as_text($2), $1, sqlite.as_text($2)) $$;
    CREATE FUNCTION add_text(text, anyelement) RETURNS text LANGUAGE sql STABLE AS $$ SELECT sqlite.add_text($1, $2, ',') $$;
    CREATE AGGREGATE group_concat(anyelement) (SFUNC = add_text, STYPE = text);
    CREATE AGGREGATE group_concat(anyelement, text) (SFUNC = add_text, STYPE = text);
    CREATE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(encode($1, 'hex')) $$;
    CREATE FUNCTION ifnull(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce($1, $2) $$;
    CREATE FUNCTION json_extract(text, text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
        SELECT ($1::jsonb ->> substr($2, 3))::numeric $$;
    CREATE AGGREGATE json_group_array(anyelement) (SFUNC = json_agg_transfn, STYPE = internal, FINALFUNC = json_agg_finalfn);
    CREATE FUNCTION strftime(text, text) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT date_trunc('second', $2::timestamptz) $$;
    GRANT USAGE ON SCHEMA sqlite TO PUBLIC;
    CREATE FUNCTION instr(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT strpos($1, $2) $$;
";

// Tests -----------------------------------------------------------------------------------------------------------------------------

/// Values arrive as SQLite would give them.
#[test]
fn values_are_as_on_sqlite() {
    let database = Cluster::shared().empty_database();
    let session = database.session();
    for (query, expected) in [
        ("SELECT 1", Value::Integer(1)),
        ("SELECT -1::smallint", Value::Integer(-1)),
        ("SELECT -9000000000", Value::Integer(-9_000_000_000)),
        ("SELECT sum(n) FROM (VALUES (4000000000::bigint), (60001)) v (n)", Value::Integer(4_000_060_001)),
        ("SELECT sum(n) FROM (VALUES (-70000::bigint), (0)) v (n)", Value::Integer(-70_000)),
        ("SELECT 0::numeric", Value::Integer(0)),
        ("SELECT 10000.5", Value::Real(10_000.5)),
        ("SELECT 1.5::float8", Value::Real(1.5)),
        ("SELECT true", Value::Integer(1)),
        ("SELECT NULL", Value::Null),
        ("SELECT 'ö'", Value::Text("ö".to_owned())),
        ("SELECT x'00fF' || x''", Value::Blob(vec![0, 255])),
        ("SELECT 'Max''s x''00'''", Value::Text("Max's x'00'".to_owned())),
        ("SELECT timestamptz '2027-01-31T00:00:00Z'", Value::Text("2027-01-31T00:00:00Z".to_owned())),
        ("SELECT timestamptz '9999-12-31T23:59:59Z'", Value::Text("9999-12-31T23:59:59Z".to_owned())),
        ("SELECT timestamptz '0001-01-01T00:00:00.25Z'", Value::Text("0001-01-01T00:00:00.250Z".to_owned())),
    ] {
        assert_eq!(session.rows(query), Ok(vec![vec![expected]]), "{query}");
    }
    let error = session.execute("SELECT 1/0").expect_err("division by zero");
    assert_eq!(error.to_string(), "22012 division by zero");
}

/// What was committed outlives a crash, and a server that was stopped takes no calls.
#[test]
fn a_cluster_can_crash_and_start_again() {
    let cluster = Cluster::start_on_tcp(&["max_connections=30"]);
    let database = cluster.empty_database();
    database.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)").expect("a table");
    let before = database.session();
    cluster.crash();
    assert!(before.query::<i64>("SELECT 1").is_err());
    assert!(Session::open(&database.url()).is_err());
    cluster.start_again();
    let over_tcp = Session::open(&cluster.tcp_url(database.name())).expect("over TCP");
    assert_eq!(over_tcp.query("SELECT n FROM t"), Ok(7));
    assert_eq!(over_tcp.query("SHOW max_connections"), Ok("30".to_owned()));
    cluster.stop();
    assert!(Session::open(&database.url()).is_err());
    let directory = cluster.directory.clone();
    drop((database, cluster));
    assert!(!directory.exists(), "{}", directory.display());
}

/// A server does not outlive its tests, however they end.
#[test]
fn a_cluster_stops_when_its_owner_is_killed() {
    // The owner is a process between this one and the shell, with the only other end of its input.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/cluster");
    let mut owner = Command::new("python3")
        .args(["-c", "import subprocess, sys; p = subprocess.Popen(['bash', sys.argv[1]], stdin=subprocess.PIPE, start_new_session=True); p.wait()"])
        .arg(script)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut line = String::new();
    BufReader::new(owner.stdout.take().expect("is piped")).read_line(&mut line).expect("a line");
    let directory = PathBuf::from(line.split(' ').nth(1).expect("ready DIRECTORY"));
    assert!(directory.is_dir(), "{line}");
    owner.kill().expect("killed");
    owner.wait().expect("ended");
    crate::harness::wait_until("the server stops and its files go", || !directory.exists());
}

/// Databases of tests are apart from each other.
#[test]
fn each_test_has_a_database_of_its_own() {
    let cluster = Cluster::shared();
    let (one, other) = (cluster.database(), cluster.database());
    one.execute("INSERT INTO entity (id, name) VALUES (1, 'one')").expect("a row");
    assert_eq!(
        (one.query::<i64>("SELECT count(*) FROM entity"), other.query::<i64>("SELECT count(*) FROM entity")),
        (1, 0)
    );
    let (name, psql) = (
        one.name().to_owned(),
        one.cluster().program("psql").args(["-Atc", "SELECT name FROM entity", one.name()]).output(),
    );
    assert_eq!(String::from_utf8_lossy(&psql.expect("psql").stdout), "one\n");
    drop(one);
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(cluster.superuser("postgres").query::<i64>(&left), Ok(0));
}

/// What `tests/postgres/run` leaves out is there, and has a reason: a name that changed would bring its test back, or hide another.
#[test]
fn tests_that_are_skipped_are_there() {
    let list = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/skipped"))
        .expect("the list");
    let this = std::env::current_exe().expect("the tests");
    let tests = Command::new(this)
        .arg("--list")
        .env("SEATKEEPER_TEST_DATABASE", "sqlite")
        .output()
        .expect("the names of tests");
    let tests = String::from_utf8(tests.stdout).expect("text");
    let lines: Vec<&str> = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines.len() > 20, "{list}");
    for line in lines {
        let (name, reason) = line.split_once(' ').unwrap_or((line, ""));
        assert!(reason.trim().len() > 10, "{name}: why?");
        assert!(tests.lines().any(|test| test.starts_with(name)), "{name} names no test");
        // The test runner skips what has the name anywhere.
        let others: Vec<&str> = tests.lines().filter(|test| test.contains(name) && !test.starts_with(name)).collect();
        assert!(others.is_empty(), "{name} also names {others:?}");
    }
}

/// SQL of tests is SQLite's, and does the same here.
#[test]
fn sql_of_tests_may_be_sqlites() {
    let database = Cluster::shared().database();
    for (query, expected) in [
        ("SELECT group_concat(n) FROM (VALUES (1), (NULL), (2)) v (n)", "1,2"),
        ("SELECT group_concat(n, ' ' ORDER BY n DESC) FROM (VALUES ('a'), ('b')) v (n)", "b a"),
        ("SELECT group_concat(t) FROM (VALUES (timestamptz '2027-01-31T00:00:00Z')) v (t)", "2027-01-31T00:00:00Z"),
        ("SELECT group_concat(n > 1) FROM (VALUES (1), (2)) v (n)", "0,1"),
        ("SELECT json_group_array(n) FROM (VALUES ('a'), ('b')) v (n)", "[\"a\", \"b\"]"),
        ("SELECT 'no' || json_extract('{\"n\":7}', '$.n')", "no7"),
        ("SELECT hex(x'00ff')", "00FF"),
        ("SELECT 'a' WHERE 'a' <> 'A' COLLATE BINARY -- that's a comment; it ends", "a"),
    ] {
        assert_eq!(database.query::<String>(query), expected, "{query}");
    }
    let script = "INSERT INTO entity (id, name) VALUES (1, 'one;'); INSERT OR IGNORE INTO entity (id, name) VALUES (1, 'two');
        INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('u', hash_password('it''s (a) '' secret'), 1);";
    database.execute(script).expect(script);
    assert_eq!(database.query::<String>("SELECT name FROM entity"), "one;");
    let hash: String = database.query("SELECT password_hash FROM credential");
    assert!(seatkeeper::auth::check_hash(&hash).is_ok(), "{hash}");
    database.unguarded("UPDATE entity SET name = 'two'");
    assert_eq!(database.query::<String>("SELECT name FROM entity"), "two");
    assert!(database.execute("INSERT OR REPLACE INTO entity (id, name) VALUES (1, 'three')").is_err());
}
