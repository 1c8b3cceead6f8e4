//! A database is made only where the command line asks for it: a mistyped name or a lost file must not become an empty one.

use std::path::Path;

use crate::harness::*;
use crate::program::{Serving, seatkeeper};

const SEED: &str = "INSERT INTO entity (id, name) VALUES (1, 'Northwind');";

/// Every command that names a database, with arguments that would otherwise do.
const COMMANDS: &[(&str, &[&str])] = &[
    ("serve", &["--listen", "127.0.0.1:0"]),
    ("sql", &[]),
    ("check", &[]),
    ("release", &["--username", "x", "--license-type", "SqlBackup"]),
    ("migrate", &[]),
    ("migrate", &["--dry-run"]),
    ("backup", &["backup.db"]),
    ("audit verify", &[]),
    ("audit show", &[]),
    ("audit show", &["--at", "1d"]),
    ("audit head", &[]),
    ("audit archive", &["--before", "1d", "archive.db"]),
];

fn files(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join(".")).expect("read");
    entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn no_command_makes_a_database_unless_asked_to() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    for (command, arguments) in COMMANDS {
        let refused = seatkeeper(command, &database, arguments, SEED);
        let because = "there is no such database. Check its name, and that its disk is mounted; if it was lost, restore a backup. \
                       Only to begin with a new one, use `serve` or `sql` with --create.";
        assert_eq!(refused.stderr, format!("error: {}: {because}\n", database.display()), "{command}");
        assert_eq!(refused.code, Some(3), "{command}");
        assert_eq!(files(&directory), [""; 0], "{command}");
    }
}

#[test]
fn an_empty_file_is_no_database_and_becomes_one_only_when_asked_to() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    std::fs::write(&database, "").expect("write");
    for (command, arguments) in COMMANDS {
        let refused = seatkeeper(command, &database, arguments, SEED);
        let because = "the file is empty. If it was a database, restore a backup. Only to begin with a new one, use `serve` or `sql` \
                       with --create.";
        assert_eq!(refused.stderr, format!("error: {}: {because}\n", database.display()), "{command}");
        assert_eq!((refused.code, files(&directory)), (Some(3), vec!["seats.db".to_owned()]), "{command}");
        assert_eq!(std::fs::metadata(&database).expect("still there").len(), 0, "{command}");
    }
    assert_eq!(seatkeeper("sql", &database, &["--create"], SEED).stderr, "line 1: 1 row added\n");
    assert_eq!(seatkeeper("check", &database, &[], "").code, Some(0));
    // With --create a database that is there stays as it is.
    let kept = seatkeeper("sql", &database, &["--create"], "SELECT name FROM entity");
    assert_eq!(kept.stdout, "Northwind\n");
}

/// What is left of a lost database is named before anything else.
#[test]
fn every_command_names_what_is_left_of_a_database() {
    for (left, because) in [
        ("seats.db-wal", "there is no such database, but the log of one: "),
        (
            "seats.db.before-restore-20261125T120000.000Z",
            "is what a restore has kept of it. If the restore was interrupted",
        ),
    ] {
        let directory = TempDir::new();
        let database = directory.join("seats.db");
        std::fs::write(directory.join(left), "changes").expect("write");
        for (command, arguments) in COMMANDS {
            let refused = seatkeeper(command, &database, arguments, SEED);
            assert!(refused.stderr.contains(because), "{command}: {}", refused.stderr);
            assert_eq!((refused.code, files(&directory)), (Some(3), vec![left.to_owned()]), "{command}");
        }
    }
}

/// SQLite would replay the log into the file, and the command would answer from the mixture.
#[test]
fn every_command_refuses_a_file_with_the_log_of_another() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    assert_eq!(seatkeeper("sql", &database, &["--create"], SEED).code, Some(0));
    assert_eq!(seatkeeper("backup", &database, &["older.db"], "").code, Some(0));
    let serving = Serving::start(&database);
    assert_eq!(seatkeeper("sql", &database, &[], "UPDATE entity SET name = 'Contoso'").code, Some(0));
    serving.kill();
    std::fs::copy(directory.join("older.db"), &database).expect("copy");
    let before = (std::fs::read(&database).expect("read"), files(&directory).len());
    for (command, arguments) in COMMANDS {
        let refused = seatkeeper(command, &database, arguments, "");
        assert!(refused.stderr.contains("the '-wal' beside it is the log of another file"), "{command}: {refused:?}");
        assert_eq!(refused.code, Some(3), "{command}");
        assert!((std::fs::read(&database).expect("read"), files(&directory).len()) == before, "{command}");
    }
}

#[test]
fn serve_makes_a_database_when_asked_to_and_says_so() {
    let directory = TempDir::new();
    for (name, exists) in [("new.db", false), ("empty.db", true)] {
        let database = directory.join(name);
        if exists {
            std::fs::write(&database, "").expect("write");
        }
        let made = Serving::start_with(&database, &["--create"]);
        assert!(made.log().contains("there was no database; an empty one was made"), "{}", made.log());
        made.kill();
        assert_eq!(seatkeeper("check", &database, &[], "").code, Some(0));
        let again = Serving::start_with(&database, &["--create"]);
        assert!(!again.log().contains("one was made"), "{}", again.log());
    }
    assert_eq!(mode(&directory.join("new.db")), 0o600);
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).expect("metadata").permissions()) & 0o777
}

/// What stands in the log alone is not thrown away by a database that is made in the place of the lost one.
#[test]
fn no_database_is_made_beside_the_log_of_another() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    let service = Serving::start(&database);
    let envelope = assign_envelope("agent", PASSWORD, "backup01", 42, "SqlBackup");
    assert_eq!(Client::to(service.address).send(&post11(&envelope)).code(), "Success");
    service.kill();
    let log = directory.join("seats.db-wal");
    let before = std::fs::read(&log).expect("a log");
    assert!(!before.is_empty());
    std::fs::rename(&database, directory.join("moved.db")).expect("move");
    for empty in [false, true] {
        if empty {
            std::fs::write(&database, "").expect("write");
        }
        for (command, arguments) in &COMMANDS[..2] {
            let refused = seatkeeper(command, &database, &[*arguments, &["--create"]].concat(), SEED);
            let why = if empty { "the '-wal' beside it is the log of another file" } else { "but the log of one: " };
            assert!(refused.stderr.contains(why), "{}", refused.stderr);
            assert_eq!(refused.code, Some(3));
            assert!(std::fs::read(&log).expect("the log") == before);
        }
    }
}

/// A dump makes a database as any other script does.
#[test]
fn a_dump_is_restored_only_with_create() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    let dump = include_str!("../../schema.sql");
    let refused = seatkeeper("sql", &database, &[], dump);
    assert!(refused.stderr.contains("there is no such database"), "{}", refused.stderr);
    assert_eq!((refused.code, files(&directory).len()), (Some(3), 0));
    std::fs::write(&database, "").expect("write");
    let made = seatkeeper("sql", &database, &["--create"], dump);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    assert_eq!(seatkeeper("check", &database, &[], "").code, Some(0));
}

/// An address that is misspelled is the name of a file, and may hold a password.
#[test]
fn a_misspelled_address_is_named_without_its_password() {
    let directory = TempDir::new();
    let backup = directory.join("nope.db");
    let backup = backup.to_str().expect("a path");
    for address in [
        "postgresq://u:kumquat@127.0.0.1:1/x",
        "postgresq://u:kumquat@127.0.0.1:1/x/y",
        "host=127.0.0.1/x password=kumquat",
    ] {
        for (command, arguments) in [
            ("serve", &["--create"][..]),
            ("sql", &["--create"]),
            ("restore", &[backup]),
            ("restore", &[address]),
            ("backup", &[backup]),
            ("check", &[]),
            ("who", &[]),
        ] {
            let done = seatkeeper(command, address, arguments, SEED);
            assert_eq!(done.code, Some(3), "{command}: {done:?}");
            assert!(!done.stderr.contains("kumquat"), "{command}: {done:?}");
        }
    }
}
