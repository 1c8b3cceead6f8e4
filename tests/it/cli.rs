//! The command line, as somebody at a shell uses it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use seatkeeper::auth;
use seatkeeper::store::Database;

use crate::harness::*;

fn seatkeeper(arguments: &[&str], input: &str) -> Output {
    let mut child = crate::program::command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("seatkeeper");
    // A program that does not read its input may have ended already.
    let _ = child.stdin.take().expect("stdin").write_all(input.as_bytes());
    child.wait_with_output().expect("output")
}

/// What a successful run prints.
fn ok(arguments: &[&str], input: &str) -> String {
    let output = seatkeeper(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What a failed run says.
fn fails(arguments: &[&str], input: &str) -> String {
    let output = seatkeeper(arguments, input);
    assert!(matches!(output.status.code(), Some(1..=3)), "{arguments:?}: {:?}", output.status);
    String::from_utf8(output.stderr).expect("text")
}

fn seeded(directory: &TempDir) -> String {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    database.to_str().expect("a path").to_owned()
}

#[test]
fn hash_password_makes_a_hash_that_verifies() {
    let hash = ok(&["hash-password"], "twelve chars\n");
    auth::check_hash(hash.trim_end()).expect("usable");
    assert_ne!(hash, ok(&["hash-password"], "twelve chars\n"), "the salt is random");
    assert!(fails(&["hash-password"], "").contains("the password is empty"));
    // Characters, not bytes, and without the end of the line.
    let short = fails(&["hash-password"], "\u{e9}leven char\n");
    assert!(short.contains("the password has 11 characters: 12 are the least"), "{short}");
    assert!(fails(&["hash-password"], &"x".repeat(5000)).contains("longer than 1024 bytes"));
}

#[test]
fn sql_seeds_corrects_and_reads() {
    let directory = TempDir::new();
    let database = directory.join("new.db");
    let database = database.to_str().expect("a path");
    let sql = |script: &str| ok(&["sql", "--create", "--database", database], script);
    sql("INSERT INTO entity (id, name) VALUES (1, 'Semi;colon'); -- a comment; with one
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', hash_password('twelve chars'), 1);");
    assert_eq!(sql("SELECT id, parent_id, name FROM entity; SELECT x'00ff';"), "1||Semi;colon\nx'00ff'\n");
    assert!(sql("SELECT password_hash FROM credential").starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));

    let file = directory.join("seed.sql");
    std::fs::write(&file, "INSERT INTO entity (id, name) VALUES (2, 'From a file')").expect("write");
    ok(&["sql", "--database", database, file.to_str().expect("a path")], "");
    assert_eq!(sql("SELECT count(*) FROM entity"), "2\n");
    assert!(fails(&["sql", "--database", database, "nowhere.sql"], "").contains("nowhere.sql: No such file"));
}

#[test]
fn sql_keeps_a_script_whole_or_not_at_all_unless_told_to_go_on() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let script = "INSERT INTO entity (id, name) VALUES (100, 'a'); INSERT INTO entity (id, name) VALUES (1, 'again');
                  SELEC nonsense; INSERT INTO entity (id, name) VALUES (101, 'b');";
    let count = || ok(&["sql", "--database", &database], "SELECT count(*) FROM entity WHERE id BETWEEN 100 AND 200");
    let said = fails(&["sql", "--database", &database], script);
    assert!(
        said.contains("statement 2: entity exists already: change it with UPDATE; INSERT OR IGNORE passes over it. Nothing of the script was kept."),
        "{said}"
    );
    assert_eq!(count(), "0\n");
    let said = fails(&["sql", "--database", &database, "--keep-going"], script);
    assert!(said.contains("statement 2: entity exists") && said.contains("statement 3: near \"SELEC\""), "{said}");
    assert_eq!(count(), "2\n");
    let own = "BEGIN; INSERT INTO entity (id, name) VALUES (102, 'c'); COMMIT; INSERT INTO entity (id, name) VALUES (102, 'c');";
    assert!(fails(&["sql", "--database", &database], own).contains("statement 4"));
    assert_eq!(count(), "3\n", "what the script committed itself stays");
    let copy = directory.join("copy.db");
    let copy = copy.to_str().expect("a path");
    ok(&["sql", "--database", &database], &format!("VACUUM INTO '{copy}';"));
    assert_eq!(ok(&["check", "--database", copy], ""), "ok: every invariant holds\n");
}

#[test]
fn a_message_with_a_number_reads_like_any_other() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    sql(
        Path::new(&database),
        "INSERT INTO account (id, username, entity_id) VALUES (1, 'a', 42), (2, 'b', 42);
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1 AND seat_no <= 2;",
    )
    .expect("two seats");
    let said = fails(&["sql", "--database", &database], "UPDATE license_pool SET seats_total = 1 WHERE id = 1");
    assert_eq!(
        said,
        "error: line 1, statement 1: seats_total of pool 1 cannot be 1: 2 seats are in use, release 1 first. Nothing of the script was kept.\n"
    );
}

#[test]
fn release_gives_a_seat_back_while_the_service_runs() {
    let server = Server::start();
    let database = server.database().place();
    let database = match &database {
        Database::File(file) => file.to_str().expect("a path"),
        Database::Server(server) => server.url(),
    };
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    let seat: i64 = server.query("SELECT seat_no FROM seat WHERE account_id IS NOT NULL");
    let release = ["release", "--database", database, "--username", "BOB", "--license-type", "SqlBackup"];
    assert_eq!(ok(&release, ""), format!("released: 'BOB' gave back its SqlBackup seat {seat} of pool 1\n"));
    assert_eq!(
        server.query::<String>("SELECT actor || ' ' || action FROM audit_event ORDER BY id DESC LIMIT 1"),
        "cli release"
    );
    assert!(fails(&release, "").starts_with("error: 1004 NotAssigned: User 'BOB' holds no SqlBackup license"));
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    let nowhere = ["release", "--database", "nowhere.db", "--username", "x", "--license-type", "SqlBackup"];
    assert!(fails(&nowhere, "").contains("nowhere.db: there is no such database"));
    assert!(!Path::new("nowhere.db").exists());
}

/// 0 done, 1 broken or refused, 2 usage, 3 cannot run.
#[test]
fn the_exit_code_says_what_kind_of_failure_it_is() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let other = directory.join("notes.txt");
    std::fs::write(&other, "Licenses: ask Marianne.\n".repeat(100)).expect("write");
    let (other, database) = (other.to_str().expect("a path"), database.as_str());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let taken = taken.local_addr().expect("address").to_string();
    for (arguments, input, code) in [
        (vec!["check", "--database", database], "", 0),
        (vec!["sql", "--database", database], "SELECT 1", 0),
        (vec!["sql", "--database", database], "SELEC 1", 1),
        (vec!["sql", "--database", database, "--keep-going"], "SELEC 1", 1),
        (vec!["release", "--database", database, "--username", "x", "--license-type", "SqlBackup"], "", 1),
        (vec!["hash-password"], "", 1),
        (vec!["release", "--database", database], "", 2),
        (vec!["nonsense"], "", 2),
        (vec!["serve", "--config", "nowhere.toml"], "", 2),
        (vec!["serve", "--queue-calls-max", "0"], "", 2),
        (vec!["serve", "--database", database, "--listen", &taken], "", 3),
        (vec!["serve", "--database", other, "--listen", "127.0.0.1:0"], "", 3),
        (vec!["sql", "--database", other], "SELECT 1", 3),
        (vec!["sql", "--database", database, "nowhere.sql"], "", 3),
        (vec!["check", "--database", other], "", 3),
        (vec!["check", "--database", "nowhere.db"], "", 3),
        (vec!["check", "--database", "postgres://localhost:x/seats"], "", 2),
        (vec!["serve", "--database", "postgres://localhost/seats?sslmode=maybe"], "", 2),
        (vec!["copy", "--from", database, "--to", "postgres://localhost/seats?sslcert=x"], "", 2),
        (vec!["check", "--database", "postgres://localhost:1/seats?connect_timeout=1"], "", 3),
    ] {
        let output = seatkeeper(&arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    }
}

#[test]
fn commands_for_files_say_what_to_use_on_postgresql() {
    let url = "postgres://seatkeeper:secret@db1/seats";
    for (command, instead) in [
        (vec!["sql"], "use psql"),
        (vec!["backup", "to.db"], "pg_dump"),
        (vec!["restore", "from.db"], "pg_restore"),
        (vec!["resize", "--pool", "1", "--seats", "2"], "UPDATE license_pool"),
        (vec!["audit", "archive", "--before", "1d", "old.db"], "all events stay in the database"),
        (vec!["audit", "verify", "--archive", "old.db"], "--archive is for SQLite files only"),
        (vec!["audit", "show", "--archive", "old.db"], "--archive is for SQLite files only"),
        (vec!["demo"], "seatkeeper serve --create"),
    ] {
        let arguments = [command.as_slice(), &["--database", url]].concat();
        let output = seatkeeper(&arguments, "SELECT 1");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(instead) && said.contains("postgres://seatkeeper@db1/seats"), "{said}");
        assert!(!said.contains("secret") && !std::path::Path::new("old.db").exists(), "{said}");
    }
    // Nor does the help show what the environment holds.
    for command in ["serve", "check", "sql"] {
        let help =
            crate::program::command().args([command, "--help"]).env("SEATKEEPER_DATABASE", url).output().expect("help");
        assert!(!String::from_utf8_lossy(&help.stdout).contains("secret"), "{command}");
    }
}

#[test]
fn every_command_shows_an_example() {
    for command in
        ["serve", "demo", "sql", "hash-password", "check", "migrate", "backup", "restore", "copy", "release", "audit"]
    {
        assert!(ok(&[command, "--help"], "").contains("Example"), "{command}");
    }
    for command in ["verify", "verify-archive", "show", "head", "key", "archive"] {
        assert!(ok(&["audit", command, "--help"], "").contains("Example"), "audit {command}");
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named() {
    for (arguments, complaint) in [
        (vec!["serve", "--config", "nowhere.toml"], "nowhere.toml"),
        (vec!["serve", "--queue-calls-max", "0"], "queue_calls_max must be from 1 to 1000000"),
        (vec!["serve", "--head-bytes-max", "100"], "head_bytes_max must be 8192 or more"),
    ] {
        let said = fails(&arguments, "");
        assert!(said.contains(complaint), "{said}");
    }
}

#[test]
fn the_demo_prints_calls_that_can_be_pasted() {
    let directory = TempDir::new();
    let database = directory.join("demo.db");
    let mut demo = crate::program::command()
        .args(["demo", "--listen", "127.0.0.1:0", "--database", database.to_str().expect("a path")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("demo");
    let mut guide = String::new();
    let mut out = std::io::BufReader::new(demo.stdout.take().expect("stdout"));
    while !guide.contains("/api/v1/") {
        let read = std::io::BufRead::read_line(&mut out, &mut guide).expect("the guide");
        assert!(read > 0, "the demo ended: {guide}");
    }
    let call = &guide[guide.find("curl ").expect("a call")..guide.find("\nThen read").expect("the next step")];
    let paste = |script: &str| {
        let output = Command::new("bash").arg("-c").arg(script).output().expect("bash");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(paste(call).contains("<Code>Success</Code>"));
    let again = paste(call);
    assert!(again.contains("<Result>52</Result>") && again.contains("already holds a SqlBackup license"), "{again}");
    let (read, tools) = guide.split_once("\nLicense tools").expect("the step after it");
    let history = paste(read.trim().lines().last().expect("the next step"));
    assert!(["assign", "backup01", "agent"].iter().all(|word| history.contains(word)), "{history}");
    let seats = paste(&tools[tools.find("curl ").expect("a call")..]);
    assert!(seats.contains("\"1 of 100 in use\"") && tools.contains("'1 of 100 in use'"), "{seats}");
    demo.kill().expect("kill");
    demo.wait().expect("wait");
}
