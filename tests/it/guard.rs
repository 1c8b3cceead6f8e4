//! What a running service does when its files or its schema go wrong: it stops taking calls, says why, and nothing that it
//! acknowledged is lost to the next start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use seatkeeper::store;

use crate::harness::*;
use crate::program::{Serving, run, seatkeeper};

/// A database with many seats, a backup of it, and a service that has acknowledged seats since.
struct Accident {
    directory: TempDir,
    database: PathBuf,
    service: Serving,
}

const ACKNOWLEDGED: usize = 5;

impl Accident {
    fn new() -> Accident {
        let directory = TempDir::new();
        let database = directory.join("seats.db");
        seed(&database);
        let backup = format!("VACUUM INTO '{}'", directory.join("backup.db").display());
        stock(&database, &backup);
        let service = Serving::start(&database);
        let accident = Accident { directory, database, service };
        for number in 0..ACKNOWLEDGED {
            assert_eq!(accident.assign(&format!("user{number}")).code(), "Success");
        }
        accident
    }

    fn assign(&self, username: &str) -> Answer {
        assign(&self.service, username)
    }

    fn ready(&self) -> Answer {
        get(&self.service, "/readyz")
    }

    fn shell(&self, command: &str) {
        shell(&self.directory, command);
    }

    /// Lines of the log that are errors.
    fn errors(&self) -> Vec<String> {
        self.service.log().lines().filter(|line| line.contains("\"level\":\"ERROR\"")).map(str::to_owned).collect()
    }
}

/// Runs a shell command in the directory.
fn shell(directory: &TempDir, command: &str) {
    let done = run(Command::new("bash").args(["-ec", command]).current_dir(directory.join(".")), "");
    assert_eq!(done.code, Some(0), "{command}: {done:?}");
}

fn seed(database: &Path) {
    sql(database, &sample_data()).expect("seed");
    sql(database, "UPDATE license_pool SET seats_total = 1000 WHERE id = 1").expect("seats");
}

/// Runs SQL as a stock shell does.
fn stock(database: &Path, script: &str) {
    let shell = Connection::open(database).expect("open");
    shell.busy_timeout(LONG).expect("timeout");
    shell.execute_batch(script).expect(script);
}

fn assign(service: &Serving, username: &str) -> Answer {
    Client::to(service.address).send(&post11(&assign_envelope("agent", PASSWORD, username, 42, "SqlBackup")))
}

fn get(service: &Serving, target: &str) -> Answer {
    Client::to(service.address).send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
}

/// Who holds a seat, in order.
fn holders(database: &Path) -> Vec<String> {
    let connection = connection(database);
    let query = "SELECT username FROM seat JOIN account ON account.id = seat.account_id ORDER BY username";
    let mut statement = connection.prepare(query).expect("query");
    let holders = statement.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>();
    holders.expect("names")
}

fn acknowledged() -> Vec<String> {
    (0..ACKNOWLEDGED).map(|number| format!("user{number}")).collect()
}

const FILE: &str = "not ready: the database file was deleted, replaced or overwritten\n";
const LOG: &str = "not ready: the write-ahead log of the database was deleted, replaced or overwritten\n";
const SCHEMA: &str = "not ready: the schema of the database was changed\n";

/// How the operator gets everything back that was acknowledged.
enum Repair {
    /// By starting again.
    Start,
    /// By this command first.
    Run(&'static str),
    /// By the commands that the log has.
    FromLog,
    /// Not at all: what was acknowledged was overwritten. The next start refuses what is there, and says this.
    Refused(&'static str),
}

/// What an operator does, what `/readyz` says then, and how nothing is lost.
const ACCIDENTS: [(&str, &str, Repair); 14] = [
    ("rm seats.db*", FILE, Repair::FromLog),
    ("mv backup.db seats.db", FILE, Repair::FromLog),
    ("mv seats.db old.db", FILE, Repair::Run("mv old.db seats.db")),
    ("mkdir old; mv seats.db* old", FILE, Repair::Run("mv old/* .")),
    ("cp backup.db seats.db", FILE, Repair::Refused("is the log of another file")),
    ("cat backup.db > seats.db", FILE, Repair::Refused("is the log of another file")),
    (": > seats.db", FILE, Repair::Refused("is the log of another file")),
    ("rm seats.db-wal seats.db-shm", LOG, Repair::Start),
    ("rm seats.db-wal", LOG, Repair::Start),
    ("mv seats.db-wal old", LOG, Repair::Start),
    ("rm seats.db-shm", LOG, Repair::Start),
    ("cp seats.db-wal w; mv w seats.db-wal", LOG, Repair::Start),
    ("sqlite3 seats.db 'DROP TRIGGER license_pool_insert'", SCHEMA, Repair::Refused("the schema was changed")),
    ("sqlite3 seats.db 'ALTER TABLE entity ADD COLUMN mine TEXT'", SCHEMA, Repair::Refused("the schema was changed")),
];

#[test]
fn after_an_accident_nothing_is_acknowledged_and_nothing_is_lost() {
    for (command, why, repair) in ACCIDENTS {
        println!("{command}");
        let mut accident = Accident::new();
        accident.shell(command);

        for _ in 0..3 {
            let refused = accident.assign("late");
            assert_eq!(refused.code(), "UnexpectedError", "{command}");
            assert!(refused.message().contains("out of service"), "{command}: {}", refused.message());
            assert!(refused.message().contains("Nothing was changed"), "{command}: {}", refused.message());
        }
        let pools = call11("GetLicensePools", "reader", "<EntityId>42</EntityId>");
        assert_eq!(
            Client::to(accident.service.address).send(&pools).code(),
            "UnexpectedError",
            "{command}: reads stop too"
        );
        let ready = accident.ready();
        assert_eq!((ready.status, ready.body.as_str()), (503, why), "{command}");
        assert_eq!(get(&accident.service, "/healthz").status, 200);
        let is_of_stop = |line: &String| line.contains("the store has stopped taking calls");
        wait_until("the line of the log", || accident.errors().iter().any(is_of_stop));
        let errors = accident.errors();
        let stopped: Vec<_> = errors.iter().filter(|line| is_of_stop(line)).collect();
        assert_eq!(stopped.len(), 1, "{command}: {errors:?}");

        let mut from_log = String::new();
        if let Repair::FromLog = repair {
            let (_, copy) = stopped[0].split_once("'cp ").expect(stopped[0]);
            let (copy, rest) = copy.split_once(" FILE'").expect(copy);
            accident.shell(&format!("cp {copy} saved.db"));
            let (_, restore) = rest.split_once("'seatkeeper ").expect(rest);
            let (restore, _) = restore.split_once(" FILE'").expect(restore);
            from_log = format!("{} {restore} saved.db", env!("CARGO_BIN_EXE_seatkeeper"));
        }
        accident.service.kill();
        accident.service = match repair {
            Repair::Refused(why) => {
                let refused = Serving::try_start(&accident.database).err().expect(command);
                assert!(refused.stderr.contains(why), "{command}: {}", refused.stderr);
                continue;
            }
            Repair::Start => Serving::start(&accident.database),
            Repair::Run(repair) => {
                shell(&accident.directory, repair);
                Serving::start(&accident.database)
            }
            Repair::FromLog => {
                shell(&accident.directory, &from_log);
                Serving::start(&accident.database)
            }
        };
        assert_eq!(accident.ready().status, 200, "{command}");
        assert_eq!(holders(&accident.database), acknowledged(), "{command}");
        assert_eq!(violations(&accident.database), [], "{command}");
    }
}

/// What was acknowledged was overwritten, and no program can bring it back. But nothing more is acknowledged.
#[test]
fn an_overwritten_log_is_seen_before_the_next_change() {
    for command in [": > seats.db-wal", "truncate -s 8K seats.db-wal", "head -c 100000 /dev/urandom > seats.db-wal"] {
        let accident = Accident::new();
        accident.shell(command);
        let refused = accident.assign("late");
        assert!(refused.message().contains("Nothing was changed"), "{command}: {}", refused.message());
        let ready = accident.ready();
        assert_eq!(ready.status, 503, "{command}: {}", ready.body);
    }
}

#[test]
fn a_service_without_calls_sees_an_accident_too() {
    for (command, repair) in [("rm seats.db-wal seats.db-shm", false), ("rm seats.db*", true)] {
        let accident = Accident::new();
        accident.shell(command);
        wait_until("the service sees it", || accident.service.log().contains("the store has stopped"));
        assert_eq!(accident.ready().status, 503);
        if !repair {
            accident.service.kill();
            assert_eq!(holders(&accident.database), acknowledged(), "the log was saved");
        }
    }
    // Readiness sees it first, and has no connection to save the log with.
    let accident = Accident::new();
    accident.shell("rm seats.db-wal seats.db-shm");
    assert_eq!(accident.ready().body, LOG);
    wait_until("the log is saved", || accident.service.log().contains("Nothing is lost"));
    accident.service.kill();
    assert_eq!(holders(&accident.database), acknowledged());
}

/// A service that ends in order leaves files alone that are no longer its own.
#[test]
fn a_stop_after_an_accident_harms_no_file() {
    let accident = Accident::new();
    accident.shell("mkdir old; mv seats.db* old; cp backup.db seats.db; sqlite3 seats.db 'PRAGMA wal_checkpoint' > other.txt; echo mine > seats.db-wal");
    accident.shell(&format!("kill -TERM {}", accident.service.id()));
    let Accident { directory, mut service, .. } = accident;
    assert_eq!(service.wait(), Some(0));
    assert_eq!(std::fs::read_to_string(directory.join("seats.db-wal")).expect("left there"), "mine\n");
    std::fs::remove_file(directory.join("seats.db-wal")).expect("removed");
    let old = directory.join("old").join("seats.db");
    assert_eq!(holders(&old), acknowledged(), "the old file is whole with its log");
}

#[test]
fn what_harms_nothing_stops_nothing() {
    let accident = Accident::new();
    let harmless = [
        "cp seats.db copy.db",
        "chmod 400 seats.db",
        "chmod 600 seats.db",
        "ln seats.db link.db; rm link.db",
        "sqlite3 seats.db 'PRAGMA wal_checkpoint(PASSIVE)'",
        "sqlite3 seats.db 'PRAGMA wal_checkpoint(TRUNCATE)'",
        "sqlite3 seats.db 'CREATE INDEX mine ON account (note)'",
        "sqlite3 seats.db 'CREATE TABLE mine_too (x); INSERT INTO mine_too VALUES (1)'",
        "sqlite3 seats.db 'ANALYZE'",
        "sqlite3 seats.db 'VACUUM'",
        "sqlite3 seats.db '.backup copy.db'",
        "sqlite3 seats.db \"PRAGMA wal_autocheckpoint = 1; UPDATE entity SET note = 'by hand' WHERE id = 43\"",
    ];
    for (number, command) in harmless.into_iter().enumerate() {
        accident.shell(command);
        assert_eq!(accident.assign(&format!("user{}", ACKNOWLEDGED + number)).code(), "Success", "{command}");
        assert_eq!(accident.ready().status, 200, "{command}");
    }
    accident.service.kill();
    assert_eq!(holders(&accident.database).len(), ACKNOWLEDGED + harmless.len());
    assert_eq!(violations(&accident.database), []);
}

/// Each of them, and a third program, folds the log back while the others write.
#[test]
fn two_services_on_one_file_disturb_each_other_in_nothing() {
    let accident = Accident::new();
    let other = Serving::start(&accident.database);
    for number in 0..100 {
        let service = if number % 2 == 0 { &accident.service } else { &other };
        assert_eq!(assign(service, &format!("both{number}")).code(), "Success");
        if number % 10 == 0 {
            stock(&accident.database, "PRAGMA wal_checkpoint(RESTART)");
        }
    }
    other.kill();
    assert_eq!(accident.assign("last").code(), "Success");
    assert_eq!(accident.ready().status, 200);
}

/// `cp` of an older copy onto a database whose service was killed, with its log still there.
#[test]
fn a_log_of_another_file_is_refused() {
    let copies: [(&str, bool); 4] = [
        ("sqlite3 seats.db '.backup backup.db'", false),
        ("rm backup.db; sqlite3 seats.db \"VACUUM INTO 'backup.db'\"", false),
        ("sqlite3 other.db 'CREATE TABLE t (x)'; cp other.db backup.db", false),
        // The file is then what it is with the log.
        ("cp seats.db backup.db", true),
    ];
    for (command, fits) in copies {
        let accident = Accident::new();
        accident.shell(command);
        assert_eq!(accident.assign("later").code(), "Success");
        let Accident { directory, database, service } = accident;
        service.kill();
        std::fs::copy(directory.join("backup.db"), &database).expect("copied");
        match Serving::try_start(&database) {
            Ok(_) => {
                assert!(fits, "{command}");
                assert_eq!(holders(&database).len(), ACKNOWLEDGED + 1, "{command}: nothing is lost");
            }
            Err(refused) => {
                assert!(!fits, "{command}: {}", refused.stderr);
                assert!(refused.stderr.contains("is the log of another file"), "{command}: {}", refused.stderr);
                assert!(refused.stderr.contains("seats.db-wal and"), "{command}: {}", refused.stderr);
                let shell = seatkeeper("sql", &database, &[], "SELECT 1;");
                assert!(shell.stderr.contains("is the log of another file"), "{command}: {}", shell.stderr);
                // As it says.
                for log in ["seats.db-wal", "seats.db-shm"] {
                    std::fs::remove_file(directory.join(log)).expect("there");
                }
                if !command.contains("other.db") {
                    assert_eq!(get(&Serving::start(&database), "/readyz").status, 200, "{command}");
                }
            }
        }
    }
}

/// SQLite keeps the log beside the file, not beside the link.
#[test]
fn a_link_to_the_file_is_guarded_as_the_file() {
    let directory = TempDir::new();
    std::fs::create_dir(directory.join("data")).expect("a directory");
    let database = directory.join("seats.db");
    seed(&directory.join("data").join("real.db"));
    std::os::unix::fs::symlink("data/real.db", &database).expect("a link");
    let service = Serving::start(&database);
    assert_eq!(assign(&service, "first").code(), "Success");
    service.kill();
    let service = Serving::start(&database);
    assert_eq!(assign(&service, "second").code(), "Success");
    // Another database behind the same name.
    seed(&directory.join("data").join("other.db"));
    std::fs::remove_file(&database).expect("removed");
    std::os::unix::fs::symlink("data/other.db", &database).expect("a link");
    assert!(assign(&service, "third").message().contains("Nothing was changed"));
    assert_eq!(get(&service, "/readyz").body, FILE);
    service.kill();
    assert_eq!(holders(&directory.join("data").join("real.db")), ["first", "second"]);
}

#[test]
fn a_killed_service_starts_again_and_again() {
    let accident = Accident::new();
    let Accident { database, mut service, directory: _directory } = accident;
    for number in 0..5 {
        service.kill();
        service = Serving::start(&database);
        assert_eq!(assign(&service, &format!("again{number}")).code(), "Success");
        assert_eq!(assign(&service, &format!("and-again{number}")).code(), "Success");
        if number == 2 {
            stock(&database, "PRAGMA wal_checkpoint(RESTART)");
        }
    }
    service.kill();
    assert_eq!(holders(&database).len(), ACKNOWLEDGED + 10);
}

#[test]
fn what_cannot_be_written_is_not_served() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    };
    for (directory_mode, file_mode, is_served) in [(0o777, 0o666, true), (0o777, 0o444, false), (0o555, 0o666, false)] {
        let directory = TempDir::new();
        let database = directory.join("seats.db");
        seed(&database);
        mode(&database, file_mode);
        mode(&directory.join("."), directory_mode);
        let started = Serving::try_start_unprivileged(&database);
        mode(&directory.join("."), 0o755);
        match started {
            Ok(service) => {
                assert!(is_served, "{directory_mode:o} {file_mode:o}");
                assert_eq!(assign(&service, "first").code(), "Success");
            }
            Err(refused) => {
                assert!(!is_served, "{}", refused.stderr);
                assert!(refused.stderr.contains("the service cannot write there"), "{}", refused.stderr);
            }
        }
    }
}

/// Compiles a library that lets syncs of a `-wal` fail, and of the file itself, while the file `fail` is in the directory.
fn failing_syncs(directory: &TempDir) -> PathBuf {
    let (source, library) = (directory.join("sync.c"), directory.join("sync.so"));
    std::fs::write(&source, FAILING_SYNCS).expect("source");
    let done = run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]), "");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    library
}

const FAILING_SYNCS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 16);
    if (n <= 0) return 0;
    path[n] = 0;
    char *name = strrchr(path, '/');
    if (!name || strncmp(name, "/seats.db", 9)) return 0;
    strcpy(name, "/fail");
    return access(path, F_OK) == 0;
}

int fsync(int fd) {
    if (fails(fd)) { errno = EIO; return -1; }
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    if (fails(fd)) { errno = EIO; return -1; }
    return syscall(SYS_fdatasync, fd);
}
"#;

#[test]
fn after_a_failed_sync_the_outcome_is_unknown_and_the_service_starts_over() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    seed(&database);
    let library = failing_syncs(&directory);
    let mut unknown = 0;
    for round in 0..3 {
        sql(&database, "DELETE FROM credential_use").expect("deleted");
        let mut service = Serving::start_with_library(&database, &library);
        for number in 0..ACKNOWLEDGED {
            assert_eq!(assign(&service, &format!("user{round}-{number}")).code(), "Success");
        }
        // The service itself writes it a second later, and must not be what meets the fault.
        wait_until("the use of the credential is noted", || {
            !texts(&database, "SELECT user_name FROM credential_use").is_empty()
        });
        let before = std::fs::metadata(&database).expect("a file").modified().expect("a time");
        std::fs::write(directory.join("fail"), "").expect("written");
        let answer = assign(&service, &format!("unknown{round}"));
        assert_eq!(answer.code(), "UnexpectedError");
        let message = answer.message();
        assert!(message.contains("It is unknown whether the change was made; it is safe to call again."), "{message}");
        assert!(!message.contains("Nothing was changed"), "{message}");
        assert_eq!(service.wait(), Some(3));
        wait_until("the log says why", || service.log().contains("the disk failed to save a change"));
        let after = std::fs::metadata(&database).expect("a file").modified().expect("a time");
        assert_eq!(before, after, "nothing was written again");
        std::fs::remove_file(directory.join("fail")).expect("removed");

        let service = Serving::start(&database);
        let repeated = assign(&service, &format!("unknown{round}")).code();
        assert!(["Success", "AlreadyExists"].contains(&repeated.as_str()), "{repeated}");
        unknown += usize::from(repeated == "AlreadyExists");
    }
    // A disk that reports an error and has it all the same: that is why the outcome is unknown.
    assert_eq!(unknown, 3, "all were there");
    assert_eq!(holders(&database).len(), 3 * (ACKNOWLEDGED + 1));
    assert_eq!(violations(&database), []);
    assert_eq!(seatkeeper("check", &database, &[], "").code, Some(0));
}

/// Another program holds the lock. Every call is answered when its own time is up, not when that of all groups before it is.
#[test]
fn a_lock_is_waited_for_once() {
    const CLIENTS: usize = 120;
    const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
    let server = Server::with(Options {
        store: store::Options { busy_timeout: BUSY_TIMEOUT, group_calls_max: 8, ..store::Options::default() },
        ..Options::default()
    });
    assert_eq!(server.assign("first", 42, "SqlBackup").code(), "Success");
    let other = connection(&server.file());
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let start = Barrier::new(CLIENTS);
    let slowest = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (server, start) = (&server, &start);
                scope.spawn(move || {
                    let mut client = server.connect();
                    start.wait();
                    let begun = Instant::now();
                    let call = post11(&assign_envelope("agent", PASSWORD, &format!("u{number}"), 42, "SqlBackup"));
                    let answer = client.send_unchecked(&call);
                    let took = begun.elapsed();
                    assert!(answer.message().contains("in use by another program. Nothing was changed"), "{answer:?}");
                    took
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().expect("a call")).max().expect("calls")
    });
    assert!(slowest >= BUSY_TIMEOUT, "{slowest:?}");
    // One timeout after the other: there are 15 groups.
    assert!(slowest < 6 * BUSY_TIMEOUT, "{slowest:?}");
    other.execute_batch("COMMIT").expect("unlock");
    assert_eq!(server.assign("u1", 42, "SqlBackup").code(), "Success");
}

/// Clients that read a long list slowly, or not at all, keep no snapshot: others get their lists, and the log starts over.
#[test]
fn slow_readers_of_long_lists_hold_no_snapshot() {
    const HOLDERS: usize = 60_000;
    const SLOW: usize = 12;
    let mut options = Options::default();
    // They stay as long as the test looks.
    options.limits.write_timeout = Duration::from_secs(600);
    let server = Server::with(options);
    server.sql(&format!(
        "UPDATE license_pool SET seats_total = {HOLDERS} WHERE id = 1;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {HOLDERS})
             INSERT INTO account (id, username, entity_id) SELECT n, 'user' || n, 42 FROM n;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1;"
    ));
    let request = call11(
        "GetAssignedLicensesSummary",
        "reader",
        "<EntityId>42</EntityId><ChildAccountsOnly>false</ChildAccountsOnly>",
    );
    let mut slow: Vec<Client> = (0..SLOW).map(|_| server.connect()).collect();
    for client in &mut slow {
        std::io::Write::write_all(&mut client.0, &request).expect("send");
        let mut head = [0; 100];
        std::io::Read::read_exact(&mut client.0, &mut head).expect("it has begun");
    }
    let begun = Instant::now();
    let list = server.connect().send_unchecked(&request);
    let took = begun.elapsed();
    assert_eq!(list.body.matches("<Username>").count(), HOLDERS);
    // It takes a second or two; if it waited for one of them, it would wait for ever.
    assert!(took < LONG, "{took:?}");

    // The log can be folded back whole and be started over: no reader needs it.
    assert_eq!(
        server
            .call("UnassignLicense", "admin", "<Username>user7</Username><LicenseType>SqlBackup</LicenseType>")
            .code(),
        "Success"
    );
    // It is busy also while the service makes a checkpoint, which ends.
    wait_until("no reader holds a snapshot", || server.query::<i64>("PRAGMA wal_checkpoint(RESTART)") == 0);
    // Their lists are of the moment when they asked.
    let mut rest = String::new();
    let client = slow.last_mut().expect("a client");
    while !rest.ends_with("</soap:Envelope>\r\n0\r\n\r\n") {
        let mut bytes = [0; 65_536];
        let n = std::io::Read::read(&mut client.0, &mut bytes).expect("the list");
        assert!(n > 0, "ends early: {}", &rest[rest.len().saturating_sub(300)..]);
        rest += &String::from_utf8_lossy(&bytes[..n]);
    }
    assert!(rest.contains("user7<"), "the seat was released later");
}

/// Each name has a log of its own: services on both would give out the same seats.
#[test]
fn a_file_under_two_names_is_refused_under_each() {
    let directory = TempDir::new();
    let (database, link) = (directory.join("seats.db"), directory.join("other.db"));
    seed(&database);
    std::fs::hard_link(&database, &link).expect("a link");
    let commands: [(&str, &[&str]); 5] = [
        ("serve", &["--listen", "127.0.0.1:0"]),
        ("sql", &["UPDATE entity SET note = 'x'"]),
        ("migrate", &[]),
        ("pool list", &[]),
        ("entity set 42 note=x", &[]),
    ];
    for name in [&database, &link] {
        for (command, arguments) in commands {
            let done = seatkeeper(command, name, arguments, "");
            assert_eq!(done.code, Some(3), "{command}: {done:?}");
            assert!(done.stderr.contains("the file has another name (a hard link)"), "{command}: {done:?}");
        }
    }
    // A symbolic link is the same name, and an interrupted restore has left a name that the next one removes.
    std::fs::rename(&link, directory.join("seats.db.before-restore-20261126T120000.000Z")).expect("renamed");
    std::os::unix::fs::symlink(&database, &link).expect("a link");
    for (name, user) in [(&database, "anna"), (&link, "bert")] {
        assert_eq!(assign(&Serving::start(name), user).code(), "Success");
    }
}
