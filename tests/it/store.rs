//! What happens when the database cannot do its work: a defined answer, nothing lost, nothing half done.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use seatkeeper::store;

use crate::harness::*;

/// A service that waits this long for other programs.
fn with_busy_timeout(busy_timeout: Duration) -> Server {
    Server::with(Options { store: store::Options { busy_timeout, ..store::Options::default() }, ..Options::default() })
}

#[test]
fn a_database_locked_for_too_long_is_told_and_changes_nothing() {
    let server = with_busy_timeout(Duration::from_millis(100));
    assert_eq!(server.assign("a1", 42, "SqlBackup").code(), "Success");
    let other = connection(&server.file());
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let answer = server.assign("a2", 42, "SqlBackup");
    assert_eq!((answer.status, answer.code().as_str()), (200, "UnexpectedError"));
    assert!(answer.body.contains("<Result>1</Result>"));
    assert!(answer.message().contains("in use by another program. Nothing was changed"), "{}", answer.message());
    assert_eq!(server.get("/readyz").status, 200, "reading goes on");
    other.execute_batch("COMMIT").expect("unlock");
    assert_eq!(server.assign("a2", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 2);
}

#[test]
fn a_short_lock_is_waited_for() {
    let server = with_busy_timeout(Duration::from_secs(30));
    assert_eq!(server.assign("a1", 42, "SqlBackup").code(), "Success");
    let other = connection(&server.file());
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let mut waiting = server.connect();
    std::io::Write::write_all(&mut waiting.0, &post11(&assign_envelope("agent", PASSWORD, "a2", 42, "SqlBackup")))
        .expect("send");
    // Another call is answered meanwhile, so the one above has been begun.
    assert_eq!(server.get("/healthz").status, 200);
    other.execute_batch("INSERT INTO account (username, entity_id) VALUES ('by-hand', 42); COMMIT").expect("unlock");
    assert_eq!(waiting.receive().code(), "Success");
}

/// Agents give up and call again. A seat for one that is no longer there would be told to nobody, and the next call would
/// be refused for it.
#[test]
fn a_caller_that_goes_away_before_its_turn_takes_no_seat() {
    let server = with_busy_timeout(Duration::from_secs(30));
    assert_eq!(server.assign("first", 42, "SqlBackup").code(), "Success");
    let other = connection(&server.file());
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let send = |username: &str| {
        let mut client = server.connect();
        let call = post11(&assign_envelope("agent", PASSWORD, username, 42, "SqlBackup"));
        std::io::Write::write_all(&mut client.0, &call).expect("send");
        // Another call is answered meanwhile, so this one has been begun.
        assert_eq!(server.get("/healthz").status, 200);
        client
    };
    let mut patient = send("patient");
    drop(send("gone"));
    let is_alone = || server.metrics.render().contains("seatkeeper_connections 1\n");
    // Not seen at all it would fail below.
    (0..1000).find(|_| {
        is_alone() || {
            std::thread::sleep(Duration::from_millis(5));
            false
        }
    });
    other.execute_batch("COMMIT").expect("unlock");
    assert_eq!(patient.receive().code(), "Success");
    let holders: String =
        server.query("SELECT group_concat(username) FROM account JOIN seat ON account_id = account.id");
    assert_eq!(holders, "first,patient");
}

/// Calls that were committed, and commits.
fn groups(server: &Server) -> (u64, u64) {
    let metrics = server.metrics.render();
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|l| l.strip_prefix(name)).expect("a metric");
        line.trim().parse::<f64>().expect("a number") as u64
    };
    (value("seatkeeper_store_group_calls_sum "), value("seatkeeper_store_group_calls_count "))
}

/// As beside a service under full load, which is away from the lock only while it answers the calls of a commit. Waiting
/// as SQLite does, a statement would see hundreds of commits go by, and at times give up.
#[test]
fn hand_written_sql_gets_its_turn_between_commits() {
    const STATEMENTS: usize = 50;
    let server = Server::start();
    let (is_done, commits) = (AtomicBool::new(false), AtomicUsize::new(0));
    let administrator = connection(&server.file());
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let busy = connection(&server.file());
            while !is_done.load(Ordering::Relaxed) {
                busy.execute_batch("BEGIN IMMEDIATE").expect("lock");
                std::thread::sleep(Duration::from_millis(5));
                busy.execute_batch("COMMIT").expect("unlock");
                commits.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        let mut passed_by = Vec::new();
        let outcome = (0..STATEMENTS).try_for_each(|n| {
            // Into the middle of a transaction of the other.
            std::thread::sleep(Duration::from_millis(7));
            let before = commits.load(Ordering::Relaxed);
            let outcome = administrator.execute_batch(&format!("UPDATE entity SET name = 'n{n}' WHERE id = 43"));
            passed_by.push(commits.load(Ordering::Relaxed) - before);
            outcome
        });
        is_done.store(true, Ordering::Relaxed);
        outcome.map(|()| passed_by)
    });
    let mut passed_by = outcome.expect("each gets its turn");
    passed_by.sort_unstable();
    // A few, where SQLite's way takes dozens.
    let passed_by = passed_by[STATEMENTS / 2];
    assert!(passed_by < 20, "{passed_by} commits for each statement");
}

#[test]
fn calls_that_wait_together_share_a_commit() {
    let server = with_busy_timeout(Duration::from_secs(30));
    server.sql("UPDATE license_pool SET seats_total = 100 WHERE id = 1");
    assert_eq!(server.assign("first", 42, "SqlBackup").code(), "Success");
    let (calls_before, groups_before) = groups(&server);
    let other = connection(&server.file());
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let username = format!("user{number}");
        let call = post11(&assign_envelope("agent", PASSWORD, &username, 42, "SqlBackup"));
        std::io::Write::write_all(&mut client.0, &call).expect("send");
    }
    other.execute_batch("COMMIT").expect("unlock");
    for client in &mut clients {
        assert_eq!(client.receive().code(), "Success");
    }
    let (calls, groups) = groups(&server);
    // Notes of refused calls and of credentials are written there too, at most once a second.
    assert!(calls - calls_before >= 20, "{} calls", calls - calls_before);
    assert!(groups - groups_before < 20, "{} groups", groups - groups_before);
    assert_eq!(server.violations(), []);
}

#[test]
fn the_seat_in_an_expired_pool_is_given_up_for_the_new_one() {
    let server = Server::start();
    server.sql("UPDATE license_pool SET expires_at = '2099-01-01T00:00:00Z' WHERE id = 1");
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    server.sql(
        "UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 1;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (7, 42, 'SqlBackup', 1);",
    );
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    let held: String = server.query("SELECT group_concat(pool_id) FROM seat WHERE account_id IS NOT NULL");
    assert_eq!(held, "7");
    let events: String = server.query(
        "SELECT group_concat(action || ' ' || pool_id || ' ' || CASE WHEN request_id = (SELECT request_id FROM audit_event ORDER BY id DESC LIMIT 1) THEN 1 ELSE 0 END, ', ' ORDER BY id)
           FROM audit_event WHERE actor = 'agent'",
    );
    assert_eq!(events, "assign 1 0, release 1 1, assign 7 1", "both under the id of one call");
    assert_eq!(server.assign("amy", 42, "SqlBackup").code(), "NoFreeSeat");
    assert_eq!(server.assign("eve", 43, "ExchangeBackup").code(), "LicenseExpired");
    assert_eq!(server.assign("eve", 43, "SqlBackup").code(), "NoLicensePool");
    assert_eq!(server.violations(), []);
}

/// A pool that has not started says nothing of one that has expired.
#[test]
fn licenses_have_expired_also_where_the_next_pool_has_not_started() {
    let server = Server::start();
    let not_started = "INSERT INTO license_pool (entity_id, license_type, seats_total, starts_at) VALUES";
    server.sql(&format!(
        "{not_started} (43, 'ExchangeBackup', 1, '2098-01-01T00:00:00Z'), (43, 'SqlBackup', 1, '2098-01-01T00:00:00Z')"
    ));
    assert_eq!(server.assign("eve", 43, "ExchangeBackup").code(), "LicenseExpired");
    assert_eq!(server.assign("eve", 43, "SqlBackup").code(), "NoLicensePool");
    server.sql("UPDATE license_pool SET starts_at = '2020-01-01T00:00:00Z' WHERE starts_at IS NOT NULL");
    assert_eq!(server.assign("eve", 43, "ExchangeBackup").code(), "Success");
}

#[test]
fn unknown_users_are_refused_where_they_are_not_enrolled() {
    let server = Server::with(Options {
        store: store::Options { enroll: false, ..store::Options::default() },
        ..Options::default()
    });
    server.sql("INSERT INTO account (username, entity_id) VALUES ('known', 42)");
    assert_eq!(server.assign("unknown", 42, "SqlBackup").code(), "ObjectEntityMismatch");
    assert_eq!(server.assign("Known", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 1);
}

#[test]
fn a_stop_finishes_what_was_accepted() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.send(&post11(&assign_envelope("agent", PASSWORD, "a1", 42, "SqlBackup"))).code(), "Success");
    let database = server.stop();
    let directory = database.directory();
    let left: Vec<String> = std::fs::read_dir(directory.join("."))
        .expect("directory")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left, ["seats.db"], "the last connection has written the WAL back");
    assert_eq!(database.violations(), []);
}

/// The program with a limit on the size of the files it writes: what a full disk looks like from inside. A write beyond the limit
/// fails; the signal that comes with it does not end the service.
fn serve_with_file_limit(database: &std::path::Path, kib: u32) -> (Child, std::net::SocketAddr) {
    let mut child = Command::new("bash")
        .arg("-c")
        .arg("ulimit -f \"$0\"; exec \"$1\" serve --listen 127.0.0.1:0 --log-format json --database \"$2\"")
        .arg(kib.to_string())
        .arg(env!("CARGO_BIN_EXE_seatkeeper"))
        .arg(database)
        .envs(crate::program::NO_SETTINGS)
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    let log = std::io::BufReader::new(child.stderr.take().expect("stderr"));
    let mut lines = std::io::BufRead::lines(log);
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("\"address\":\"")?.1.split_once('"')?.0.parse().expect("an address")))
        .expect("the service starts");
    // The pipe must not fill up.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (child, address)
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    sql(&database, "UPDATE license_pool SET seats_total = 20000 WHERE id = 1; PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("grow");
    let size_kib = std::fs::metadata(&database).expect("database").len() / 1024;
    // `ulimit -f` counts KiB. The database may grow by little, the log not beyond the same size.
    let (mut child, address) = serve_with_file_limit(&database, size_kib as u32 + 100);

    let mut client = Client::to(address);
    let mut taken = 0;
    let refused = loop {
        let username = format!("user{taken:05}");
        let answer = client.send(&post11(&assign_envelope("agent", PASSWORD, &username, 42, "SqlBackup")));
        if answer.code() != "Success" {
            break answer;
        }
        taken += 1;
        assert!(taken < 19_000, "the disk never filled up");
    };
    assert_eq!(refused.code(), "UnexpectedError");
    assert!(refused.message().contains("The license database failed"), "{}", refused.message());
    assert!(taken > 0);
    assert_eq!(
        Client::to(address).send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").status,
        200,
        "the service is alive"
    );
    let ready = Client::to(address).send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: changes cannot be saved\n"));
    child.kill().expect("kill");
    child.wait().expect("wait");

    let connection = connection(&database);
    let held: i64 = connection
        .query_row("SELECT count(*) FROM seat WHERE account_id IS NOT NULL", [], |row| row.get(0))
        .expect("count");
    // The call that was refused may have reached the log before its commit failed; none that was acknowledged is missing.
    assert!(held == taken || held == taken + 1, "{held} seats held, {taken} acknowledged");
    assert_eq!(violations(&database), []);
}
