//! `seatkeeper check --report`: enough for a bug report, and nothing that anybody wrote into the database or its settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::*;
use crate::program::{Done, run, seatkeeper};

/// Every text of the database has it, and so have its path and the environment.
const SECRET: &str = "Kanarienvogel";

fn full_of_secrets() -> String {
    let (hash, upper) = (&*PASSWORD_HASH, SECRET.to_uppercase());
    format!(
        "INSERT INTO entity (id, name, customer_nr, owner_name, serial_nr, shop_url) VALUES
             (1, '{SECRET} AG', '{SECRET}-17', '{upper}', '{SECRET}-4711', 'https://{SECRET}.example/shop');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('{SECRET}-agent', '{hash}', 1, 'admin');
         INSERT INTO account (id, username, entity_id) VALUES (1, '{SECRET}-user', 1);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, product_key, note) VALUES
             (1, 1, 'SqlBackup', 3, '{SECRET}-KEY', '{SECRET} pays late');
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;"
    )
}

fn report(database: impl AsRef<std::ffi::OsStr>) -> Done {
    let done = seatkeeper("check", database, &["--report"], "");
    let all = format!("{}{}", done.stdout, done.stderr).to_lowercase();
    assert!(!all.contains(&SECRET.to_lowercase()), "{done:?}");
    let hash = PASSWORD_HASH.rsplit('$').next().expect("a hash").to_lowercase();
    assert!(!all.contains(&hash), "{done:?}");
    // Neither the name of a file nor of a directory.
    assert!(!all.contains("/tmp/") && !all.contains("seats.db") && !all.contains("home"), "{done:?}");
    done
}

fn value<'d>(done: &'d Done, name: &str) -> &'d str {
    let found = done.stdout.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    found.unwrap_or_else(|| panic!("no {name} in {done:?}")).trim()
}

#[test]
fn a_report_has_versions_numbers_and_the_result_and_no_names() {
    let database = TestDatabase::new(&full_of_secrets());
    let done = report(database.argument());
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    assert!(value(&done, "seatkeeper").starts_with(env!("CARGO_PKG_VERSION")), "{done:?}");
    for name in ["kernel", "distribution", "machine", "max open files", "newest event", "newest backup"] {
        assert!(!value(&done, name).is_empty(), "{name}");
    }
    for (name, expected) in [
        ("rows of entity", "1"),
        ("rows of credential", "1"),
        ("rows of account", "1"),
        ("rows of license_pool", "1"),
        ("rows of seat", "3"),
        ("seats in use", "1"),
        ("newest check", "none"),
        ("check", "ok: every invariant holds"),
    ] {
        assert_eq!(value(&done, name), expected, "{name}: {done:?}");
    }
    let version = seatkeeper::store::SCHEMA_VERSION;
    assert_eq!(value(&done, "schema version"), format!("{version}; this program has {version}"));
    if on_postgres() {
        assert!(value(&done, "PostgreSQL").starts_with(|c: char| c.is_ascii_digit()), "{done:?}");
        assert!(value(&done, "server settings").contains("fsync"), "{done:?}");
    } else {
        assert!(value(&done, "SQLite").contains("THREADSAFE"), "{done:?}");
        assert!(value(&done, "database file").contains("mode 0600, of this user"), "{done:?}");
        assert_eq!(value(&done, "page_size"), "4096");
    }
}

#[test]
fn a_report_names_broken_promises_and_not_their_rows() {
    let database = TestDatabase::new(&full_of_secrets());
    let file = database.file();
    unguarded(&file, "UPDATE license_pool SET seats_in_use = 2, seats_in_use_max = 2 WHERE id = 1");
    database.sql(&format!("CREATE TABLE {SECRET} (x)"));
    let sound = seatkeeper("check", &file, &[], "");
    assert_eq!(sound.code, Some(1), "{sound:?}");
    let done = report(&file);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stdout.contains("broken, 1 times: a pool counts its seats in use"), "{done:?}");
    assert!(done.stderr.contains("'seatkeeper check' names the rows"), "{done:?}");
}

#[test]
fn a_report_is_made_of_what_is_there() {
    let directory = TempDir::new();
    let below = directory.join(SECRET);
    fs::create_dir(&below).expect("a directory");
    let database = TestDatabase::new(&full_of_secrets());
    let copy = |name: &str| {
        let made = seatkeeper("backup", database.file(), &[below.join(name).to_str().expect("UTF-8")], "");
        assert_eq!(made.code, Some(0), "{made:?}");
        below.join(name)
    };
    let damaged = copy("damaged");
    let mut bytes = fs::read(&damaged).expect("a file");
    let end = bytes.len();
    bytes[4096..end].fill(0x5a);
    fs::write(&damaged, bytes).expect("a file");
    let noise = below.join("noise");
    fs::write(&noise, format!("{SECRET} ").repeat(1000)).expect("a file");
    let foreign = below.join("foreign");
    rusqlite::Connection::open(&foreign)
        .and_then(|c| c.execute_batch(&format!("CREATE TABLE {SECRET} (x); INSERT INTO {SECRET} VALUES ('{SECRET}')")))
        .expect("a database");
    let newer = copy("newer");
    unguarded(&newer, "PRAGMA user_version = 99");
    let empty = below.join("empty");
    fs::write(&empty, "").expect("a file");
    let tampered = copy("tampered");
    unguarded(
        &tampered,
        &format!("DROP TRIGGER upkeep_insert; CREATE TRIGGER {SECRET} AFTER INSERT ON entity BEGIN SELECT 1; END"),
    );
    for (path, code, said) in [
        (below.join("missing"), 3, "not done: there is no such database"),
        (empty, 3, "not done: the file is empty"),
        (foreign, 3, "not done: it is the database of another program"),
        (newer, 3, "not done: its schema is newer than this program"),
        (damaged, 1, "broken"),
        (noise, 3, "not done: it cannot be read"),
        (tampered, 1, "broken"),
        (below.clone(), 3, "not done: it cannot be read"),
        ("postgres://Kanarienvogel:Kanarienvogel@127.0.0.1:1/Kanarienvogel".into(), 3, "not done: the server"),
        (
            "postgres://Kanarien@vogel:Kanarienvogel@/?sslmode=x".into(),
            2,
            "not done: the address of the server is invalid",
        ),
    ] {
        let done = report(&path);
        assert_eq!(done.code, Some(code), "{}: {done:?}", path.display());
        assert!(value(&done, "check").starts_with(said), "{}: {done:?}", path.display());
        assert!(!value(&done, "kernel").is_empty());
    }
}

/// A service that runs is in the report too, because its limits are those that count.
#[test]
fn a_report_has_the_limits_of_a_running_service() {
    let database = TestDatabase::new(&full_of_secrets());
    let serving = crate::program::Serving::start(database.file());
    let done = report(database.file());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(value(&done, "running service").contains("open files"), "{done:?}");
    drop(serving);
    let limited =
        format!("ulimit -n 300; exec '{}' check --report --database \"$0\"", env!("CARGO_BIN_EXE_seatkeeper"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &limited]).arg(Path::new(&database.file()));
    let done = run(shell.env_clear(), "");
    assert_eq!(value(&done, "max open files"), "300 soft, 300 hard");
}

#[test]
fn a_report_has_the_changed_settings_without_their_texts() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &full_of_secrets()).expect("seed");
    let file = directory.join("settings.toml");
    let report = |text: &str| {
        fs::write(&file, text).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
        command.args(["check", "--report", "--config"]).arg(&file).env_clear();
        let done = run(command.env("SEATKEEPER_PUBLIC_URL", format!("https://{SECRET}.example")), "");
        let all = format!("{}{}", done.stdout, done.stderr).to_lowercase();
        assert!(!all.contains(&SECRET.to_lowercase()) && !all.contains("/tmp/"), "{done:?}");
        done
    };
    let database = database.display();
    let done = report(&format!(
        "database = \"{database}\"\nbody_bytes_max = 500000\nlog_level = \"debug\"\ntest_form = false\naudit_key = \"/etc/{SECRET}\"\n\
         listen = \"0.0.0.0:18086\"\n"
    ));
    assert_eq!(done.code, Some(0), "{done:?}");
    for (name, expected) in [
        ("setting body_bytes_max", "500000 (file)"),
        ("setting log_level", "debug (file)"),
        ("setting test_form", "false (file)"),
        ("setting audit_key", "set (file)"),
        ("setting database", "set (file)"),
        ("setting listen", "beyond loopback (file)"),
        ("setting public_url", "set (variable)"),
        ("check", "ok: every invariant holds"),
    ] {
        assert_eq!(value(&done, name), expected, "{done:?}");
    }
    let broken = report(&format!("lisen = \"{SECRET}\"\npublic_url = \"{SECRET}\"\n"));
    assert_eq!(broken.code, Some(2), "{broken:?}");
    assert!(value(&broken, "settings").ends_with("invalid"), "{broken:?}");
    assert!(value(&broken, "check").starts_with("not done"), "{broken:?}");
}
