//! `seatkeeper backup` and `restore`, as an operator runs them: under load, killed, with a full disk, with the obvious mistakes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use seatkeeper::store::sqlite;

use crate::harness::*;
use crate::program::{Done, Serving, program, run, seatkeeper};

/// An entity, a credential, a pool with so many seats and as many accounts.
fn seeded(database: &Path, seats: u32) {
    let hash = &*PASSWORD_HASH;
    let seed = format!(
        "INSERT INTO entity (id, name) VALUES (42, 'Contoso');
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '{hash}', 42);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', {seats});
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {seats})
         INSERT INTO account (id, username, entity_id) SELECT i, 'user-' || i, 42 FROM n;"
    );
    sql(database, &seed).expect("seed");
}

/// Gives seats to the accounts of these numbers, by hand.
fn take(database: &Path, first: u32, last: u32) {
    let change = format!("UPDATE seat SET account_id = seat_no WHERE seat_no BETWEEN {first} AND {last}");
    sql(database, &change).expect("taken");
}

fn taken(database: &Path) -> i64 {
    let connection = Connection::open(database).expect("open");
    connection.query_row("SELECT count(*) FROM seat WHERE account_id IS NOT NULL", [], |row| row.get(0)).expect("seats")
}

/// Changes that are in the WAL and not in the file, as they are after a crash.
fn crash(database: &Path, change: &str) {
    let directory = TempDir::new();
    let live = directory.join("live.db");
    fs::copy(database, &live).expect("copy");
    let connection = Connection::open(&live).expect("open");
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0").expect("no checkpoints");
    connection.execute_batch(change).expect(change);
    fs::copy(&live, database).expect("copy");
    for end in ["-wal", "-shm"] {
        fs::copy(beside(&live, end), beside(database, end)).expect("copy");
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    format!("{}{end}", path.display()).into()
}

fn backup(database: &Path, target: &Path, more: &[&str]) -> Done {
    seatkeeper("backup", database, &[&[target.to_str().expect("UTF-8")], more].concat(), "")
}

fn restore(database: &Path, file: &Path, more: &[&str]) -> Done {
    seatkeeper("restore", database, &[&[file.to_str().expect("UTF-8")], more].concat(), "")
}

#[track_caller]
fn succeeds(done: Done) -> String {
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    done.stdout
}

#[track_caller]
fn fails(done: &Done, reason: &str) {
    // 1: refused or broken. 3: a file cannot be read.
    assert!(matches!(done.code, Some(1 | 3)), "{done:?}");
    assert!(done.stderr.contains(reason), "'{reason}' is not in {}", done.stderr);
}

/// Each file of a directory, with its length and a hash of its content. An index of a WAL changes when the WAL is read.
fn files(directory: &TempDir) -> BTreeMap<String, (usize, u64)> {
    let entries = fs::read_dir(directory.join("")).expect("a directory").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().expect("a type").is_file());
    let files = files.map(|entry| (entry.file_name().into_string().expect("UTF-8"), entry.path()));
    files.map(|(name, path)| if name.ends_with("-shm") { (name, (0, 0)) } else { (name, content(&path)) }).collect()
}

fn content(path: &Path) -> (usize, u64) {
    let bytes = fs::read(path).expect("a file");
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.hash(&mut hasher);
    (bytes.len(), hasher.finish())
}

fn names(directory: &TempDir) -> Vec<String> {
    files(directory).into_keys().collect()
}

/// A line of the output, without its key.
fn line<'o>(output: &'o str, key: &str) -> &'o str {
    let found = output.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no '{key}' in {output}"))
}

// Backups.

/// Calls go on and succeed; what was acknowledged before a backup began is in it; no other user can read it, not even for a moment.
#[test]
fn a_backup_under_load_has_every_seat_acknowledged_before_it_began() {
    const CLIENTS: usize = 8;
    let server = Server::with(Options {
        seed: sample_data() + "UPDATE license_pool SET seats_total = 60000 WHERE id = 1;",
        ..Options::default()
    });
    let target = TempDir::new();
    let (acknowledged, is_done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (server, acknowledged, is_done) = (&server, &acknowledged, &is_done);
            scope.spawn(move || {
                let mut connection = server.connect();
                for number in 0..5000 {
                    if is_done.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("user-{client}-{number}");
                    let answer = connection.send(&post11(&assign_envelope("agent", PASSWORD, &name, 42, "SqlBackup")));
                    assert_eq!(answer.code(), "Success", "{answer:?}");
                    acknowledged.lock().expect("the list").push(name);
                }
            });
        }
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(target.join("")).expect("a directory").flatten() {
                    let Ok(found) = entry.metadata() else { continue };
                    assert_eq!(found.mode() & 0o777, 0o600, "{:?}", entry.path());
                }
            }
        });
        wait_until("there are seats", || acknowledged.lock().expect("the list").len() > 50);
        for round in 0..5 {
            let before = acknowledged.lock().expect("the list").clone();
            let file = target.join(&format!("round-{round}.db"));
            let mut command = Command::new("sh");
            let script = "umask 000; exec \"$0\" backup --database \"$1\" \"$2\"";
            command.args(["-c", script, env!("CARGO_BIN_EXE_seatkeeper")]).arg(server.file()).arg(&file);
            let said = succeeds(run(&mut command, ""));
            let connection = Connection::open(&file).expect("open");
            let query =
                "SELECT EXISTS (SELECT 1 FROM seat JOIN account ON account.id = account_id WHERE username = ?1)";
            let mut is_there = connection.prepare(query).expect("query");
            for name in &before {
                assert!(is_there.query_row([name], |row| row.get::<_, bool>(0)).expect("a row"), "{name} is missing");
            }
            let head = "SELECT 'event ' || id || ' at ' || at FROM audit_event ORDER BY id DESC LIMIT 1";
            let head: String = connection.query_row(head, [], |row| row.get(0)).expect("an event");
            assert!(line(&said, "newest event").starts_with(&head), "{said}");
            assert_eq!(line(&said, "size"), format!("{} bytes", fs::metadata(&file).expect("a file").len()));
        }
        is_done.store(true, Ordering::Relaxed);
    });
    for round in 0..5 {
        assert_eq!(violations(&target.join(&format!("round-{round}.db"))), []);
    }
    assert_eq!(server.violations(), []);
}

/// The line of a cron table: it has to work every night.
#[test]
fn a_backup_of_the_same_name_is_replaced() {
    let directory = TempDir::new();
    let (database, file) = (directory.join("seats.db"), directory.join("backup.db"));
    seeded(&database, 10);
    for round in 1..=3 {
        take(&database, round, round);
        succeeds(backup(&database, &file, &[]));
        assert_eq!((taken(&file), fs::metadata(&file).expect("a file").mode() & 0o777), (i64::from(round), 0o600));
    }
    // Through a symbolic link, the file it names is replaced.
    let link = directory.join("link.db");
    std::os::unix::fs::symlink(&file, &link).expect("link");
    take(&database, 4, 4);
    succeeds(backup(&database, &link, &[]));
    assert_eq!((taken(&file), fs::read_link(&link).expect("a link")), (4, file.clone()));
    // An empty file was made by mktemp.
    fs::write(directory.join("empty.db"), "").expect("write");
    succeeds(backup(&database, &directory.join("empty.db"), &[]));
    assert_eq!(names(&directory), ["backup.db", "empty.db", "seats.db"]);
    // No WAL belongs to a backup, also where the database itself is in WAL mode.
    assert_eq!(fs::read(&file).expect("a file")[18..20], [1, 1]);
    assert_eq!(fs::read(&database).expect("a file")[18..20], [2, 2]);
}

#[test]
fn a_directory_keeps_the_newest_backups_and_every_other_file() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let database = directory.join("seats.db");
    seeded(&database, 10);
    let others = [
        "other-20200101T000000.000Z.db",
        "seats-20200101T000000.db",
        "seats-20200101T000000.000Z.db.gz",
        "seats-20200101T000000.000Z.db-wal",
        "seats-2020010aT000000.000Z.db",
        "seats.db",
    ];
    for name in others {
        fs::write(target.join(name), name).expect("write");
    }
    fs::create_dir(target.join("seats-20200101T000000.000Z.db")).expect("a directory");
    std::os::unix::fs::symlink(target.join("seats.db"), target.join("seats-20200102T000000.000Z.db")).expect("link");
    // Made when the clock was wrong.
    fs::write(target.join("seats-20990101T000000.000Z.db"), "").expect("write");
    let mut made = Vec::new();
    for _ in 0..4 {
        let said = succeeds(backup(&database, &target.join(""), &["--keep", "2"]));
        made.push(PathBuf::from(line(&said, "backup")));
        assert!(made.iter().rev().take(1).all(|path| path.exists()), "{said}");
    }
    let kept: Vec<_> = names(&target).into_iter().filter(|name| !others.contains(&name.as_str())).collect();
    let newest = made[3].file_name().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(kept, [newest, "seats-20990101T000000.000Z.db"], "the newest, and the one with the latest name");
    for name in others {
        assert_eq!(fs::read(target.join(name)).expect("it stays"), name.as_bytes());
    }
    assert!(target.join("seats-20200101T000000.000Z.db").is_dir());
    assert!(target.join("seats-20200102T000000.000Z.db").is_symlink());
    // Without --keep none is deleted.
    succeeds(backup(&database, &target.join(""), &[]));
    assert_eq!(names(&target).len(), others.len() + 3);
}

#[test]
fn a_target_that_is_something_else_is_refused_and_stays() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    seeded(&database, 10);
    let other = directory.join("other.db");
    seeded(&other, 3);
    fs::write(directory.join("notes.txt"), "not a backup").expect("write");
    fs::hard_link(&database, directory.join("hard.db")).expect("link");
    let foreign = Connection::open(directory.join("foreign.db")).expect("open");
    foreign.execute_batch("CREATE TABLE theirs (x)").expect("a table");
    succeeds(backup(&database, &directory.join("used.db"), &[]));
    fs::write(directory.join("used.db-wal"), "x").expect("write");
    fs::create_dir(directory.join("empty")).expect("a directory");
    fs::remove_file(directory.join("hard.db")).expect("remove");
    fs::copy(&database, directory.join("changed.db")).expect("copy");
    take(&directory.join("changed.db"), 1, 1);
    let before = files(&directory);
    for (target, more, reason) in [
        ("seats.db", &[][..], "this is the database itself"),
        ("seats.db-wal", &[], "this is the database itself, or belongs to it"),
        ("notes.txt", &[], "exists, and is no backup of Seatkeeper"),
        ("foreign.db", &[], "exists, and is no backup of Seatkeeper"),
        ("used.db", &[], "a -wal or -journal of this name stands there"),
        ("other.db", &[], "this backup has events that the database has not"),
        ("changed.db", &[], "this backup has events that the database has not"),
        ("nowhere/backup.db", &[], "there is no such directory"),
        ("nowhere/", &[], "there is no such directory"),
        ("new.db", &["--keep", "3"], "--keep needs a directory"),
    ] {
        fails(&backup(&database, &directory.join(target), more), reason);
        assert_eq!(files(&directory), before, "{target}");
    }
    // Also where the names are relative, and the file is not there yet.
    for name in ["seats.db-wal", "seats.db-journal", "./seats.db-shm"] {
        let mut command = program("backup", "seats.db");
        fails(&run(command.arg(name).current_dir(directory.join("")), ""), "belongs to it");
        assert_eq!(files(&directory), before, "{name}");
    }
    let serving = Serving::start(&other);
    fails(&backup(&database, &other, &[]), "it open. Name another file.");
    serving.kill();
    let usage = backup(&database, &directory.join("empty"), &["--keep", "0"]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
    fails(&backup(&directory.join("typo.db"), &directory.join("new.db"), &[]), "there is no such database");
    assert!(!directory.join("typo.db").exists() && !directory.join("new.db").exists());
}

/// What is damaged is not kept as a backup, and displaces none.
#[test]
fn a_damaged_database_displaces_no_backup() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 2000);
    succeeds(backup(&database, &file, &[]));
    let good = files(&target);
    let whole = fs::read(&database).expect("the database");
    unguarded(&database, "UPDATE license_pool SET seats_in_use = 170, seats_in_use_max = 170");
    let done = backup(&database, &file, &[]);
    fails(&done, "No backup was made");
    assert!(done.stderr.contains("broken: a pool counts its seats in use: pool 1"), "{}", done.stderr);
    assert_eq!(files(&target), good);
    for page in 1..whole.len() / 4096 {
        if page % 29 != 1 {
            continue;
        }
        fs::write(&database, &whole).expect("write");
        let file_bytes = OpenOptions::new().write(true).open(&database).expect("open");
        file_bytes.write_all_at(&[0xa5; 4096], page as u64 * 4096).expect("damage");
        let done = backup(&database, &file, &[]);
        assert!(matches!(done.code, Some(1 | 3)), "page {page}: {done:?}");
        assert_eq!(files(&target), good, "page {page}");
    }
}

/// A limit on the size of files stands for a full disk: both fail in the middle of the copy.
#[test]
fn a_full_disk_leaves_the_backup_before_and_no_rest() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 20000);
    succeeds(backup(&database, &file, &[]));
    let good = files(&target);
    take(&database, 1, 10);
    let limited = |script: &str, subcommand: &str| {
        let mut command = Command::new("bash");
        let script = format!("{script}; ulimit -f 1000; exec \"$0\" {subcommand} --database \"$1\" \"$2\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_seatkeeper")]).arg(&database).arg(&file);
        run(&mut command, "")
    };
    let done = limited("trap '' XFSZ", "backup");
    assert!(matches!(done.code, Some(1 | 3)), "{done:?}");
    assert!(done.stderr.contains("backup.db"), "{}", done.stderr);
    assert_eq!(files(&target), good);
    // The signal kills it.
    let done = limited(":", "backup");
    assert_eq!((done.code, names(&target).len()), (None, 2), "{done:?}");
    let database_before = files(&directory);
    let done = limited("trap '' XFSZ", "restore");
    assert!(matches!(done.code, Some(1 | 3)), "{done:?}");
    assert_eq!(files(&directory), database_before, "a restore that fails changes nothing");
    succeeds(backup(&database, &file, &[]));
    assert_eq!((names(&target), taken(&file)), (vec!["backup.db".to_owned()], 10));
}

#[test]
fn a_backup_killed_at_any_moment_leaves_the_one_before_or_the_new_one() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 5000);
    succeeds(backup(&database, &file, &[]));
    let begun = Instant::now();
    succeeds(backup(&database, &file, &[]));
    let duration = begun.elapsed();
    const KILLS: u32 = 20;
    let mut before = taken(&file);
    for kill in 0..KILLS {
        take(&database, kill + 1, kill + 1);
        kill_after(&["backup"], &database, &file, duration * kill / KILLS);
        let now = taken(&file);
        assert!(now == before || now == i64::from(kill) + 1, "kill {kill}: {now}");
        assert_eq!(violations(&file), [], "kill {kill}");
        leave_wal_mode(&file);
        before = now;
        assert!(names(&target).len() <= 4, "{:?}", names(&target));
    }
    succeeds(backup(&database, &file, &[]));
    assert_eq!(names(&target), ["backup.db"]);
}

/// What a look at a backup with other tools leaves behind.
fn leave_wal_mode(file: &Path) {
    let connection = Connection::open(file).expect("open");
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0)).expect("a mode");
    assert_eq!(mode, "delete");
}

fn kill_after(arguments: &[&str], database: &Path, file: &Path, time: Duration) {
    let mut command = crate::program::command();
    command.args(arguments).arg("--database").arg(database).arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().expect("it starts");
    std::thread::sleep(time);
    process.kill().expect("it can be killed");
    process.wait().expect("it ended");
}

// Restores.

#[test]
fn a_restore_keeps_the_old_files_and_says_what_is_lost() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 50);
    take(&database, 1, 5);
    succeeds(backup(&database, &file, &[]));
    take(&database, 6, 20);
    sql(&database, "UPDATE seat SET account_id = NULL WHERE seat_no = 6").expect("released");
    // The newest change is only in the WAL.
    crash(&database, "UPDATE entity SET name = 'Contoso Ltd' WHERE id = 42");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o640)).expect("a mode");
    // Only root can give a file away.
    let is_root = std::os::unix::fs::chown(&database, Some(4321), Some(4321)).is_ok();
    let before = files(&directory);
    let backup_before = files(&target);

    let said = succeeds(restore(&database, &file, &["--dry-run"]));
    assert_eq!(files(&directory), before, "a dry run changes nothing");
    assert!(said.ends_with("dry run: nothing was changed\n"), "{said}");
    let lost = said.split_once("lost: ").map(|(_, lost)| lost).expect("what is lost");
    assert!(lost.starts_with("17 events, from 20"), "{said}");
    assert!(lost.contains("\n  15 assign\n") && lost.contains("\n  1 release\n"), "{said}");
    assert!(lost.contains(": assign seat 6 of pool 1 'user-6' by sql\n") && lost.contains("  and 7 more\n"), "{said}");

    let said = succeeds(restore(&database, &file, &[]));
    assert!(said.contains(lost.split_once("dry run").expect("its end").0), "the same is lost: {said}");
    assert_eq!((taken(&database), violations(&database)), (5, vec![]));
    let found = fs::metadata(&database).expect("a file");
    assert_eq!((found.mode() & 0o777, !is_root || (found.uid(), found.gid()) == (4321, 4321)), (0o640, true));
    assert_eq!(files(&target), backup_before, "the backup is as it was");
    let kept = line(&said, "kept").strip_suffix(", with its -wal").expect("it has a WAL");
    for end in ["", "-wal"] {
        let name = format!("{kept}{end}");
        assert_eq!(content(Path::new(&name)), before[&format!("seats.db{end}")], "{name}");
    }

    // And back, with the line that it printed.
    let undo = line(&said, "undo").strip_prefix("seatkeeper ").expect("a command");
    let mut command = crate::program::command();
    let said = succeeds(run(command.args(undo.split(' ')), ""));
    assert!(said.contains("lost: nothing, the database is older than the backup, which has 17 events more"), "{said}");
    assert_eq!((taken(&database), violations(&database)), (19, vec![]));
    assert_eq!(
        connection(&database).query_row("SELECT name FROM entity", [], |row| row.get(0)),
        Ok("Contoso Ltd".to_owned())
    );
    // It was closed, so there is no WAL, and the line says that this is right.
    let undo = line(&said, "undo").strip_prefix("seatkeeper ").expect("a command");
    let mut command = crate::program::command();
    succeeds(run(command.args(undo.split(' ')), ""));
    assert_eq!(taken(&database), 5);
}

#[test]
fn a_database_in_use_is_not_restored() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 10);
    succeeds(backup(&database, &file, &[]));
    take(&database, 1, 2);
    let refused = |program: &str| {
        let before = names(&directory);
        let done = restore(&database, &file, &[]);
        fails(&done, program);
        assert!(done.stderr.contains("has it open. Stop it first"), "{done:?}");
        assert_eq!(names(&directory), before);
        let said = succeeds(restore(&database, &file, &["--dry-run"]));
        assert!(line(&said, "in use").starts_with("process "), "{said}");
        assert!(line(&said, "lost").starts_with("2 events"), "{said}");
    };
    // A service that rests.
    let serving = Serving::start(&database);
    refused("(seatkeeper)");
    assert_eq!(taken(&database), 2);
    serving.kill();
    // A shell that has read and does nothing now; this process is another program to the one that restores.
    let shell = Connection::open(&database).expect("open");
    shell.query_row("SELECT count(*) FROM seat", [], |_| Ok(())).expect("a read");
    refused("process ");
    drop(shell);
    // A service whose files were deleted still serves them.
    let serving = Serving::start(&database);
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&database, end)).expect("remove");
    }
    fails(&restore(&database, &file, &[]), "(seatkeeper)");
    serving.kill();
    let said = succeeds(restore(&database, &file, &[]));
    assert_eq!((line(&said, "kept"), taken(&database)), ("nothing, there was no database", 0));
    assert_eq!(fs::metadata(&database).expect("a file").mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_database_is_replaced_and_kept() {
    let whole = TempDir::new();
    let (good, file) = (whole.join("seats.db"), whole.join("backup.db"));
    seeded(&good, 500);
    succeeds(backup(&good, &file, &[]));
    let bytes = fs::read(&good).expect("the database");
    let mut header = bytes.clone();
    header[..100].fill(0xff);
    let mut tables = bytes.clone();
    tables[100..4096].fill(0xff);
    for (damage, bytes) in [
        ("no database", vec![b'x'; 5000]),
        ("its header", header),
        ("its tables", tables),
        ("its end", bytes[..bytes.len() / 2].to_vec()),
        ("all of it", Vec::new()),
    ] {
        let directory = TempDir::new();
        let database = directory.join("seats.db");
        fs::write(&database, &bytes).expect("write");
        let said = succeeds(restore(&database, &file, &[]));
        assert_eq!((taken(&database), violations(&database)), (0, vec![]), "{damage}");
        assert_eq!(fs::read(line(&said, "kept")).expect("kept"), bytes, "{damage}");
        Serving::start(&database).kill();
    }
}

/// What somebody has at hand who needs a backup, and what is said of it.
#[test]
fn a_file_that_is_no_whole_backup_is_refused() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let database = directory.join("seats.db");
    seeded(&database, 2000);
    take(&database, 1, 100);
    let good = target.join("good.db");
    succeeds(backup(&database, &good, &[]));
    let bytes = fs::read(&good).expect("a backup");
    for length in [0, 50, 1000, 4096, 40960, bytes.len() - 4096, bytes.len() - 1] {
        fs::write(target.join(&format!("cut-{length}.db")), &bytes[..length]).expect("write");
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2..bytes.len() / 2 + 64].fill(0xee);
    fs::write(target.join("flipped.db"), flipped).expect("write");
    fs::write(target.join("text.db"), "not a database at all".repeat(100)).expect("write");
    let foreign = Connection::open(target.join("foreign.db")).expect("open");
    foreign.execute_batch("CREATE TABLE theirs (x)").expect("a table");
    drop(foreign);
    fs::copy(&good, target.join("newer.db")).expect("copy");
    let newer = Connection::open(target.join("newer.db")).expect("open");
    newer.pragma_update(None, "user_version", sqlite::SCHEMA_VERSION + 1).expect("a version");
    drop(newer);
    fs::copy(&good, target.join("broken.db")).expect("copy");
    unguarded(&target.join("broken.db"), "UPDATE license_pool SET seats_in_use = 170, seats_in_use_max = 170");
    // Only the main file of a database that is open: the newest changes are in its WAL.
    let live = Connection::open(&database).expect("open");
    live.execute_batch("UPDATE seat SET account_id = seat_no WHERE seat_no = 101").expect("a change");
    fs::copy(&database, target.join("plain.db")).expect("copy");
    drop(live);
    fs::copy(&good, target.join("stray.db")).expect("copy");
    fs::write(target.join("stray.db-wal"), vec![7; 5000]).expect("write");
    fs::create_dir(target.join("directory.db")).expect("a directory");

    let (before, backups_before) = (files(&directory), files(&target));
    for (file, reason) in [
        ("missing.db", "No such file"),
        ("directory.db", "this is not a file. Name one backup."),
        ("cut-0.db", "not a database, or only the beginning of one"),
        ("cut-50.db", "not a database, or only the beginning of one"),
        ("cut-1000.db", "it is truncated: 1000 bytes of "),
        ("cut-4096.db", "it is truncated: 4096 bytes of "),
        ("cut-40960.db", "it is truncated: 40960 bytes of "),
        ("flipped.db", "flipped.db"),
        ("text.db", "not a database, or only the beginning of one"),
        ("foreign.db", "this is not a Seatkeeper database"),
        ("newer.db", "Run a newer seatkeeper"),
        ("broken.db", "rows break an invariant: 2. It was not restored"),
        ("plain.db", "the newest changes were in its -wal and are not here"),
        ("stray.db", "stray.db: the '-wal' beside it is the log of another file"),
        ("../seats.db", "No such file"),
    ] {
        fails(&restore(&database, &target.join(file), &[]), reason);
        assert_eq!(files(&directory), before, "{file}");
    }
    for cut in [bytes.len() - 4096, bytes.len() - 1] {
        fails(&restore(&database, &target.join(&format!("cut-{cut}.db")), &[]), "it is truncated");
    }
    fails(&restore(&database, &database, &[]), "this is the database itself");
    assert_eq!((files(&directory), files(&target)), (before, backups_before));
    // A plain copy is taken from somebody who knows that the database was closed.
    succeeds(restore(&database, &target.join("plain.db"), &["--stopped-copy"]));
    assert_eq!(violations(&database), []);
}

/// The mistake that is made most: SQLite replays the WAL that the old database has left into the backup.
#[test]
fn a_backup_copied_over_a_crashed_database_is_not_opened() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 500);
    succeeds(backup(&database, &file, &[]));
    take(&database, 1, 200);
    crash(&database, "UPDATE seat SET account_id = NULL; UPDATE entity SET name = 'later' WHERE id = 42;");
    fs::copy(&file, &database).expect("cp backup.db seats.db");
    let before = files(&directory);
    let reason = "seats.db: the '-wal' beside it is the log of another file";
    fails(&seatkeeper("check", &database, &[], ""), reason);
    fails(&seatkeeper("sql", &database, &[], "SELECT 1;"), reason);
    fails(&seatkeeper("release", &database, &["--username", "a", "--license-type", "SqlBackup"], ""), reason);
    fails(&backup(&database, &target.join("other.db"), &[]), reason);
    fails(&Serving::try_start(&database).map(drop).expect_err("it must not start"), reason);
    assert_eq!(files(&directory), before, "nothing is changed by any of them");
    let said = succeeds(restore(&database, &file, &[]));
    assert!(line(&said, "lost").starts_with("unknown, because the database cannot be read"), "{said}");
    assert_eq!((taken(&database), violations(&database)), (0, vec![]));
    Serving::start(&database).kill();
}

#[test]
fn a_backup_of_an_earlier_version_stays_and_is_migrated_when_restored() {
    let directory = TempDir::new();
    let (database, file, new) = (directory.join("old.db"), directory.join("backup.db"), directory.join("seats.db"));
    let old = Connection::open(&database).expect("open");
    old.execute_batch(include_str!("../../src/store/sqlite/migrations/schema_3.sql")).expect("schema of version 3");
    old.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO entity (id, name) VALUES (42, 'Contoso');")
        .expect("data");
    drop(old);
    let version = |path: &Path| {
        let connection = Connection::open(path).expect("open");
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).expect("a version")
    };
    let said = succeeds(backup(&database, &file, &[]));
    assert!(said.contains("schema: version 3\n"), "{said}");
    assert_eq!((version(&database), version(&file)), (3, 3), "neither is migrated");
    let backup_before = fs::read(&file).expect("a backup");
    let said = succeeds(restore(&new, &file, &[]));
    assert!(said.contains("schema: version 3 in the backup, version "), "{said}");
    assert_eq!((version(&new), violations(&new)), (sqlite::SCHEMA_VERSION, vec![]));
    assert_eq!(fs::read(&file).expect("a backup"), backup_before);
    // A database of that version is compared with it all the same.
    let said = succeeds(restore(&database, &file, &[]));
    assert_eq!(line(&said, "lost"), "nothing, the backup has every event", "{said}");

    // Migrations record what they found, each at its own time: that does not part the histories.
    let file = directory.join("version-2.db");
    let older = Connection::open(&file).expect("open");
    older.execute_batch(include_str!("../../src/store/sqlite/migrations/schema_2.sql")).expect("schema of version 2");
    older
        .execute_batch(
            "INSERT INTO entity (id, name) VALUES (42, 'Contoso');
             INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 5);",
        )
        .expect("data");
    drop(older);
    succeeds(restore(&new, &file, &[]));
    let said = succeeds(restore(&new, &file, &["--dry-run"]));
    assert!(!said.contains("warning: ") && said.contains("entity-create by migration"), "{said}");
    let head = line(&said, "newest event of the backup");
    assert!(head.starts_with("event 1 at "), "{said}");
}

#[test]
fn a_backup_of_another_database_is_restored_with_a_warning() {
    let directory = TempDir::new();
    let (database, other, file) = (directory.join("seats.db"), directory.join("other.db"), directory.join("backup.db"));
    seeded(&database, 10);
    std::thread::sleep(Duration::from_millis(5));
    seeded(&other, 20);
    succeeds(backup(&other, &file, &[]));
    let said = succeeds(restore(&database, &file, &["--dry-run"]));
    assert!(line(&said, "warning").starts_with("the backup has no event in common with this database"), "{said}");
    // Both go on from one history.
    succeeds(backup(&database, &directory.join("early.db"), &[]));
    take(&database, 1, 3);
    succeeds(backup(&database, &directory.join("late.db"), &[]));
    succeeds(restore(&database, &directory.join("early.db"), &[]));
    take(&database, 4, 8);
    let said = succeeds(restore(&database, &directory.join("late.db"), &["--dry-run"]));
    assert!(line(&said, "warning").starts_with("the histories part after event "), "{said}");
    assert!(said.contains("the backup 3. It is") && line(&said, "lost").starts_with("5 events"), "{said}");
    // And no backup of the earlier time is lost by the next night's.
    fails(&backup(&database, &directory.join("late.db"), &[]), "of the time before a restore");
}

#[test]
fn a_restore_killed_at_any_moment_leaves_the_old_database_or_the_new_one() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (origin, database, file) = (target.join("origin.db"), directory.join("seats.db"), target.join("backup.db"));
    seeded(&origin, 3000);
    take(&origin, 1, 10);
    succeeds(backup(&origin, &file, &[]));
    let change = "UPDATE seat SET account_id = seat_no WHERE seat_no BETWEEN 11 AND 20";
    crash(&origin, change);
    let crashed = |name: &str| fs::read(target.join(&format!("origin.db{name}"))).expect("a file");
    let (main, wal) = (crashed(""), crashed("-wal"));
    let put = || {
        for name in names(&directory) {
            fs::remove_file(directory.join(&name)).expect("remove");
        }
        fs::write(&database, &main).expect("write");
        fs::write(beside(&database, "-wal"), &wal).expect("write");
    };
    put();
    let begun = Instant::now();
    succeeds(restore(&database, &file, &[]));
    let duration = begun.elapsed();
    const KILLS: u32 = 24;
    for kill in 0..KILLS {
        put();
        // Half of them near the end, where the files are exchanged.
        let time = if kill % 2 == 0 { duration * kill / KILLS } else { duration * (72 + kill) / (72 + KILLS) };
        kill_after(&["restore"], &database, &file, time);
        let check = seatkeeper("check", &database, &[], "");
        match check.code {
            Some(0) => assert!([10, 20].contains(&taken(&database)), "kill {kill}: {}", taken(&database)),
            _ => fails(&check, "If the restore was interrupted, run it again"),
        }
        succeeds(restore(&database, &file, &[]));
        assert_eq!(taken(&database), 10, "kill {kill}");
        assert!(!names(&directory).iter().any(|name| name.starts_with('.')), "{:?}", names(&directory));
    }
}

/// Where a restore was interrupted no command makes an empty database.
#[test]
fn an_interrupted_restore_is_explained() {
    let directory = TempDir::new();
    let (database, file) = (directory.join("seats.db"), directory.join("backup.db"));
    seeded(&database, 10);
    succeeds(backup(&database, &file, &[]));
    fs::rename(&database, directory.join("seats.db.before-restore-20261125T120000.000Z")).expect("rename");
    let before = files(&directory);
    let reason =
        "seats.db.before-restore-20261125T120000.000Z is what a restore has kept of it. If the restore was interrupted";
    fails(&seatkeeper("sql", &database, &[], "SELECT 1;"), reason);
    fails(&seatkeeper("check", &database, &[], ""), reason);
    fails(&Serving::try_start(&database).map(drop).expect_err("it must not start"), reason);
    assert_eq!(files(&directory), before);
    succeeds(restore(&database, &file, &[]));
    assert_eq!(violations(&database), []);
}

/// The bound is many times what it takes, because other tests run beside this one and the machine may be a slow one; a restore that costs
/// more than the rows it has would take hours. docs/evidence.md has the time it takes.
#[test]
fn a_million_seats_are_restored() {
    let (directory, target) = (TempDir::new(), TempDir::new());
    let (database, file) = (directory.join("seats.db"), target.join("backup.db"));
    seeded(&database, 1000);
    sql(&database, "UPDATE license_pool SET seats_total = 1000000").expect("a million seats");
    take(&database, 1, 500);
    let begun = Instant::now();
    succeeds(backup(&database, &file, &[]));
    println!("backup of {} bytes: {:?}", fs::metadata(&file).expect("a file").len(), begun.elapsed());
    take(&database, 501, 600);
    let begun = Instant::now();
    let said = succeeds(restore(&database, &file, &[]));
    println!("restore: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(180), "{:?}", begun.elapsed());
    assert!(line(&said, "lost").starts_with("100 events"), "{said}");
    let seats = "SELECT count(*) || ' seats, ' || count(account_id) || ' taken' FROM seat";
    assert_eq!(connection(&database).query_row(seats, [], |row| row.get(0)), Ok("1000000 seats, 500 taken".to_owned()));
}

/// The lines that the documents and the unit have for every night, with the paths of this machine.
#[test]
fn the_line_for_cron_and_the_unit_make_backups() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = TempDir::new();
    let (database, target) = (directory.join("seats.db"), directory.join("backups"));
    seeded(&database, 10);
    fs::create_dir(&target).expect("a directory");
    let settings = directory.join("seatkeeper.toml");
    fs::write(&settings, format!("database = '{}'\n", database.display())).expect("write");
    let local = |line: &str| {
        let line = line.replace("/etc/seatkeeper/seatkeeper.toml", settings.to_str().expect("UTF-8"));
        let line = line.replace("/usr/bin/seatkeeper", env!("CARGO_BIN_EXE_seatkeeper"));
        let line =
            line.replace("/var/lib/seatkeeper", directory.join("").to_str().expect("UTF-8").trim_end_matches('/'));
        line.replace("/var/backups/seatkeeper", target.to_str().expect("UTF-8"))
    };
    let document = fs::read_to_string(root.join("docs/operators.md")).expect("docs/operators.md");
    let line = document.lines().find(|line| line.starts_with("30 2 * * * seatkeeper ")).expect("a line for cron");
    assert!(!line.contains('%'), "cron makes a line break of it");
    let unit = fs::read_to_string(root.join("deploy/seatkeeper-backup.service")).expect("the unit");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a line that starts it");
    let cron = line.strip_prefix("30 2 * * * seatkeeper ").expect("a command");
    for (made, command) in [(1, cron), (2, start), (3, cron)] {
        succeeds(run(Command::new("sh").args(["-c", &local(command)]), ""));
        assert_eq!(fs::read_dir(&target).expect("a directory").count(), made, "{command}");
    }
    // Where systemd is, it reads the units; it wants to see the program.
    let units = [
        "seatkeeper.service",
        "seatkeeper-backup.service",
        "seatkeeper-backup.timer",
        "seatkeeper-check.service",
        "seatkeeper-check.timer",
    ];
    for name in units {
        let unit = fs::read_to_string(root.join("deploy").join(name)).expect(name);
        fs::write(directory.join(name), local(&unit)).expect("write");
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(units.map(|name| directory.join(name)));
    if let Ok(output) = verify.output() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !units.iter().any(|name| said.contains(name)), "{said}");
    }
}
