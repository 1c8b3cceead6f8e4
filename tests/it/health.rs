//! `/healthz`, `/readyz`, and what systemd is told: why the service cannot take calls, while it cannot, and no longer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::Role;
use seatkeeper::store::{self, admin};
use serde_json::Value;

use crate::disk::{Disk, ENOSPC, Fault};
use crate::harness::*;
use crate::program::{Serving, program};

fn request(address: SocketAddr, method: &str, path: &str, accept: &str) -> Answer {
    let accept = if accept.is_empty() { String::new() } else { format!("Accept: {accept}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{accept}Connection: close\r\n\r\n");
    let mut client = Client::to(address);
    if method != "HEAD" {
        return client.send(request.as_bytes());
    }
    let mut text = String::new();
    client.0.write_all(request.as_bytes()).and_then(|()| client.0.read_to_string(&mut text)).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn ready(address: SocketAddr) -> (u16, String) {
    let answer = request(address, "GET", "/readyz", "");
    (answer.status, answer.body)
}

/// The document that monitoring gets; no text of it names a path.
fn document(address: SocketAddr) -> Value {
    let answer = request(address, "GET", "/readyz", "application/health+json");
    assert_eq!(answer.header("content-type"), Some("application/health+json"));
    assert!(!answer.body.contains('/'), "{}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).expect("JSON");
    let status = document["status"].as_str().expect("a status");
    assert_eq!(answer.status, if status == "fail" { 503 } else { 200 }, "{document}");
    for (part, checks) in document["checks"].as_object().expect("checks") {
        for check in checks.as_array().expect("a list") {
            let kind = check["componentType"].as_str().expect("a type");
            assert!(["datastore", "system"].contains(&kind), "{part}: {check}");
            assert!(["pass", "warn", "fail"].contains(&check["status"].as_str().expect("a status")), "{part}: {check}");
            check["time"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
            assert_eq!(check.get("observedValue").is_some(), check.get("observedUnit").is_some(), "{part}: {check}");
        }
    }
    document
}

#[track_caller]
fn wait_until_ready(address: SocketAddr) {
    wait_until("it is ready again", || ready(address).0 == 200);
}

#[test]
fn text_or_json_as_the_caller_asks() {
    let server = Server::start();
    const TEXT: &str = "text/plain; charset=utf-8";
    const HEALTH: &str = "application/health+json";
    for (method, path, accept, status, media_type, body) in [
        ("GET", "/healthz", "", 200, TEXT, "ok\n"),
        ("HEAD", "/healthz", "", 200, TEXT, ""),
        ("GET", "/readyz", "", 200, TEXT, "ready\n"),
        ("GET", "/readyz", "*/*", 200, TEXT, "ready\n"),
        ("GET", "/readyz", "text/html, */*;q=0.1", 200, TEXT, "ready\n"),
        ("HEAD", "/readyz", "", 200, TEXT, ""),
        ("GET", "/readyz", HEALTH, 200, HEALTH, "{"),
        ("GET", "/readyz", "application/json", 200, "application/json", "{"),
        ("HEAD", "/readyz", HEALTH, 200, HEALTH, ""),
        ("GET", "/healthz", HEALTH, 200, HEALTH, "{\"status\":\"pass\","),
        ("POST", "/healthz", "", 405, "", ""),
        ("PUT", "/readyz", HEALTH, 405, "", ""),
        ("DELETE", "/readyz", "", 405, "", ""),
    ] {
        let case = format!("{method} {path} {accept}");
        let answer = request(server.address, method, path, accept);
        assert_eq!(answer.status, status, "{case}");
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{case}");
            continue;
        }
        assert_eq!(answer.header("content-type"), Some(media_type), "{case}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
        assert_eq!(answer.header("vary"), Some("Accept"), "{case}");
        // Machines with little free disk get a warning.
        assert!(answer.body.starts_with(body) && answer.body.is_empty() == body.is_empty(), "{case}: {}", answer.body);
    }
    let document = document(server.address);
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    let parts: Vec<_> = document["checks"].as_object().expect("checks").keys().map(String::as_str).collect();
    let expected = match on_postgres() {
        true => &["database:available", "database:commits", "database:lock", "database:verified"][..],
        false => &[
            "database:available",
            "database:commits",
            "database:lock",
            "database:log",
            "disk:free",
            "database:verified",
        ],
    };
    assert_eq!(parts, expected);
}

/// Every connection to the database is taken by a read that does not end.
#[test]
fn healthz_answers_while_the_store_is_stuck() {
    let database = TestDatabase::new(&sample_data());
    let store = database.open(&store::Options::default(), Arc::new(Metrics::new()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (held, begun) = (Arc::new((Mutex::new(true), Condvar::new())), mpsc::channel());
    let server = Server::on(database, Arc::clone(&store));
    // As many as may read at once, and more.
    let reads: Vec<_> = (0..64)
        .map(|_| {
            let (store, held, begun) = (Arc::clone(&store), Arc::clone(&held), begun.0.clone());
            runtime.spawn(async move {
                let work = move |_: &dyn admin::Sql, _: &admin::Admin| {
                    let _ = begun.send(());
                    let is_held = held.0.lock().expect("no panic");
                    drop(held.1.wait_while(is_held, |is_held| *is_held).expect("no panic"));
                    Ok(())
                };
                admin::read(&*store, of_command_line(), Role::Reader, work).await.map(drop)
            })
        })
        .collect();
    begun.1.recv_timeout(LONG).expect("a read has begun");
    wait_until("no read gets a turn", || {
        begun.1.recv_timeout(Duration::from_millis(200)).is_err() && ready(server.address).0 == 503
    });

    let asked = Instant::now();
    for _ in 0..10 {
        assert_eq!(request(server.address, "GET", "/healthz", "").body, "ok\n");
    }
    // Each that waits for the store waits for three seconds.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(ready(server.address), (503, "not ready: the database cannot be read\n".to_owned()));
    assert_eq!(document(server.address)["checks"]["database:available"][0]["status"], "fail");
    *held.0.lock().expect("no panic") = false;
    held.1.notify_all();
    wait_until_ready(server.address);
    for read in reads {
        runtime.block_on(read).expect("no panic").expect("the database works");
    }
}

/// A shell that waits for its turn, and ends at an error.
fn shell(database: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command.args(["-bail", "-cmd", ".timeout 20000"]).arg(database).stdin(Stdio::piped());
    command
}

/// Another program with a transaction that writes, such as a prompt that was left open.
struct Holder(Child);

impl Holder {
    fn of(database: &Path) -> Holder {
        let mut child = shell(database).stdout(Stdio::piped()).spawn().expect("sqlite3");
        let input = child.stdin.as_mut().expect("is piped");
        input.write_all(b"BEGIN IMMEDIATE; SELECT 'held';\n").expect("written");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "held\n");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn seeded(directory: &TempDir) -> std::path::PathBuf {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    database
}

fn lines(service: &Serving, part: &str) -> usize {
    service.log().lines().filter(|line| line.contains(part)).count()
}

/// No call comes meanwhile that could find out.
#[test]
fn a_lock_held_longer_than_promised_makes_it_not_ready_until_it_is_released() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let service = Serving::start_with(&database, &["--busy-timeout-ms", "700"]);
    assert_eq!(ready(service.address).0, 200);
    let locked = Instant::now();
    let holder = Holder::of(&database);
    wait_until("it is not ready", || ready(service.address).0 == 503);
    assert!(locked.elapsed() >= Duration::from_millis(700), "{:?}", locked.elapsed());
    let (_, why) = ready(service.address);
    assert!(why.starts_with("not ready: another program has kept the database locked for "), "{why}");
    let document = document(service.address);
    let lock = &document["checks"]["database:lock"][0];
    assert_eq!((lock["status"].as_str(), lock["observedUnit"].as_str()), (Some("fail"), Some("s")), "{document}");
    assert_eq!(document["checks"]["database:available"][0]["status"], "pass", "{document}");
    drop(holder);
    let released = Instant::now();
    wait_until_ready(service.address);
    // It looks ten times a second while there is a lock.
    assert!(released.elapsed() < Duration::from_secs(5), "{:?}", released.elapsed());
    // Asked dozens of times, and told once.
    wait_until("it is logged", || lines(&service, "ready again") == 1);
    assert_eq!(lines(&service, "\"not ready: "), 1, "{}", service.log());
}

/// Others that write in turn keep nobody waiting for long.
#[test]
fn short_locks_of_another_program_do_no_harm() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    // A disk that is busy with other work may keep one of the locks for some hundred milliseconds.
    let service = Serving::start_with(&database, &["--busy-timeout-ms", "1000"]);
    let mut other = shell(&database).spawn().expect("sqlite3");
    let mut input = other.stdin.take().expect("is piped");
    let begun = Instant::now();
    input.write_all(b"CREATE TABLE temp_of_test (x);\n").expect("written");
    // Nearly always locked, but never for long. The pipe holds up this test when it is full.
    while begun.elapsed() < Duration::from_secs(5) {
        let commit = "BEGIN IMMEDIATE; INSERT INTO temp_of_test VALUES (1); COMMIT;\n";
        input.write_all(commit.repeat(50).as_bytes()).expect("written");
        assert_eq!(ready(service.address).0, 200);
    }
    drop(input);
    assert!(other.wait().expect("it ends").success());
    assert_eq!(lines(&service, "not ready"), 0, "{}", service.log());
}

#[test]
fn too_little_free_disk_makes_it_not_ready_until_there_is_room() {
    let directory = TempDir::in_memory();
    let database = seeded(&directory);
    let free = || {
        let disk = statvfs(directory.join("")).expect("a disk");
        disk.f_bavail * disk.f_frsize / (1024 * 1024)
    };
    let begun_with = free();
    if begun_with <= 400 {
        eprintln!("left out: there is too little room in memory");
        return;
    }
    let floor = (begun_with - 200).to_string();
    let service = Serving::start_with(&database, &["--disk-free-min-mib", &floor]);
    let (status, body) = ready(service.address);
    // Below twice the floor it is a warning.
    assert_eq!((status, body.starts_with("ready\nwarning: the disk of the database has ")), (200, true), "{body}");
    assert_eq!(document(service.address)["status"], "warn");
    let filler = std::fs::File::create(directory.join("filler")).expect("a file");
    fallocate(&filler, FallocateFlags::empty(), 0, 300 * 1024 * 1024).expect("there is room");
    wait_until("it is not ready", || ready(service.address).0 == 503);
    let (_, why) = ready(service.address);
    assert!(why.starts_with("not ready: the disk of the database has ") && why.ends_with(" are the least\n"), "{why}");
    let document = document(service.address);
    let disk = &document["checks"]["disk:free"][0];
    assert_eq!((disk["componentType"].as_str(), disk["status"].as_str()), (Some("system"), Some("fail")), "{disk}");
    assert!(disk["observedValue"].as_u64().is_some_and(|bytes| bytes > 0), "{disk}");
    drop(filler);
    std::fs::remove_file(directory.join("filler")).expect("removed");
    wait_until_ready(service.address);
    // 0: not looked at.
    drop(service);
    let service = Serving::start_with(&database, &["--disk-free-min-mib", "0"]);
    assert_eq!(ready(service.address), (200, "ready\n".to_owned()));
}

fn hang_up(service: &Serving) {
    let pid = rustix::process::Pid::from_raw(service.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it can be told");
}

#[test]
fn the_floor_can_be_lowered_without_a_restart() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let settings = directory.join("seatkeeper.toml");
    std::fs::write(&settings, "disk_free_min_mib = 1000000000\n").expect("written");
    let service = Serving::start_with(&database, &["--config", settings.to_str().expect("UTF-8")]);
    let (status, why) = ready(service.address);
    assert_eq!((status, why.ends_with(" MiB free, and 1000000000 are the least\n")), (503, true), "{why}");
    std::fs::write(&settings, "disk_free_min_mib = 0\n").expect("written");
    hang_up(&service);
    wait_until_ready(service.address);
    assert_eq!(ready(service.address).1, "ready\n");
}

/// The service finds out by itself that changes can be saved again: no caller is sent to one that is not ready. And a disk that is
/// full is not filled with log lines.
#[test]
fn a_full_disk_makes_it_not_ready_until_a_change_can_be_saved() {
    let disk = Disk::new();
    sql(&disk.database(), &sample_data()).expect("seed");
    let mut command = program("serve", disk.database());
    disk.expose(&mut command);
    let service = Serving::try_start_as(command).expect("it starts");
    let assign = |user: &str| {
        let call = post11(&assign_envelope("agent", PASSWORD, user, 42, "SqlBackup"));
        Client::to(service.address).send(&call).code()
    };
    assert_eq!(assign("before"), "Success");
    disk.fail(&Fault { operation: "write", file: "-wal", nth: 1, count: 0, error: ENOSPC });
    for number in 0..40 {
        assert_eq!(assign(&format!("user{number}")), "UnexpectedError");
    }
    assert_eq!(ready(service.address), (503, "not ready: changes cannot be saved\n".to_owned()));
    // Longer than a failure counts by itself.
    let failing = Instant::now();
    while failing.elapsed() < Duration::from_secs(6) {
        assert_eq!(document(service.address)["checks"]["database:commits"][0]["status"], "fail");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(lines(&service, "a group of calls failed"), 1, "{}", service.log());
    assert_eq!(lines(&service, "\"not ready: "), 1, "{}", service.log());
    disk.heal();
    wait_until_ready(service.address);
    wait_until("it is logged", || lines(&service, "changes are saved again") == 1);
    assert_eq!(assign("after"), "Success");
}

#[test]
fn a_replaced_file_fails_for_good_and_the_document_says_which_part() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let service = Serving::start(&database);
    std::fs::rename(&database, directory.join("moved.db")).expect("moved");
    wait_until("it is not ready", || ready(service.address).0 == 503);
    let document = document(service.address);
    assert_eq!(document["output"], "the database file was deleted, replaced or overwritten");
    assert_eq!(document["checks"].as_object().expect("checks").len(), 1, "{document}");
    assert_eq!(request(service.address, "GET", "/healthz", "").body, "ok\n");
}

// systemd -----------------------------------------------------------------------------------------------------------------------------

/// A service manager that writes down what it is told.
struct Manager(std::os::unix::net::UnixDatagram);

impl Manager {
    /// The next message; its lines.
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("a message");
        std::str::from_utf8(&bytes[..length]).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    /// Reads until a message has this line; gives the lines before it.
    fn until(&self, line: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut before = Vec::new();
        loop {
            let message = self.next();
            if message.iter().any(|found| found.starts_with(line)) {
                return before;
            }
            before.extend(message);
            assert!(begun.elapsed() < LONG, "never told {line}: {before:?}");
        }
    }
}

#[test]
fn systemd_is_told_how_the_service_is() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    for is_abstract in [false, true] {
        let directory = TempDir::new();
        let database = seeded(&directory);
        let (name, socket) = match is_abstract {
            true => {
                let name = format!("seatkeeper-{}", uuid::Uuid::new_v4());
                let address = SocketAddr::from_abstract_name(&name).expect("a name");
                (format!("@{name}"), UnixDatagram::bind_addr(&address))
            }
            false => {
                let path = directory.join("notify");
                (path.to_str().expect("UTF-8").to_owned(), UnixDatagram::bind(&path))
            }
        };
        let manager = Manager(socket.expect("a socket"));
        manager.0.set_read_timeout(Some(LONG)).expect("a timeout");
        let mut command = program("serve", &database);
        command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "200000").args(["--busy-timeout-ms", "300"]);
        let service = Serving::try_start_as(command).expect("it starts");

        let before = manager.until("READY=1");
        assert!(before.iter().any(|line| line.starts_with("STATUS=starting")), "{before:?}");
        assert!(before.contains(&"EXTEND_TIMEOUT_USEC=60000000".to_owned()), "{before:?}");
        let _ = manager.until(&format!("STATUS=serving on {}", service.address));

        // Every 100 ms, also while another program has the database: a new start would not help.
        let holder = Holder::of(&database);
        let before = manager.until("STATUS=not ready: another program has kept the database locked");
        assert!(before.contains(&"WATCHDOG=1".to_owned()), "{before:?}");
        for _ in 0..5 {
            let _ = manager.until("WATCHDOG=1");
        }
        drop(holder);
        let _ = manager.until("STATUS=serving on");

        hang_up(&service);
        loop {
            let message = manager.next();
            if message[0] == "RELOADING=1" {
                assert!(message[1].starts_with("MONOTONIC_USEC="), "{message:?}");
                break;
            }
        }
        let _ = manager.until("READY=1");

        let stopped = std::thread::spawn(move || service.stop());
        let _ = manager.until("STOPPING=1");
        // The watchdog may be told in between.
        let _ = manager.until("STATUS=stopping: calls in progress are finished");
        stopped.join().expect("it stops");
    }
}

/// A wrong address is one line in the log, and no reason not to serve.
#[test]
fn a_service_manager_that_does_not_answer_does_no_harm() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    for name in ["/nowhere/notify", "@nowhere", "vsock:2:1"] {
        let mut command = program("serve", &database);
        command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000");
        let service = Serving::try_start_as(command).expect("it starts");
        assert_eq!(ready(service.address).0, 200, "{name}");
        assert_eq!(lines(&service, "systemd cannot be told"), 1, "{name}: {}", service.log());
        service.stop();
    }
}
