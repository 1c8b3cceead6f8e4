//! `seatkeeper audit archive`: old events move to a file, and what is left and what was moved verify, together and alone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use seatkeeper::store::history::{self, History, Selection};

use crate::audit_holders::{by_hand, made, make_call, of_history, open};
use crate::audit_show::{audit, audit_ok};
use crate::harness::*;
use crate::kill::Random;
use crate::program::run;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn number(database: &Path, query: &str) -> i64 {
    rusqlite::Connection::open(database).expect("open").query_row(query, [], |row| row.get(0)).expect(query)
}

/// The ids of all events.
fn ids(database: &Path, archives: &[&Path]) -> Vec<i64> {
    let archives = archives.iter().map(|path| path.to_path_buf()).collect();
    let history = History { database: database.into(), archives };
    let mut ids = Vec::new();
    let mut show = |event: &history::Event| {
        ids.push(event.id);
        Ok(())
    };
    history::events(&history, &Selection::default(), &mut show).expect("read");
    ids
}

/// Moves events to a file; what the command says.
#[track_caller]
fn archived(database: &Path, before: &str, file: &Path) -> String {
    audit_ok("archive", database, &["--before", before, text(file)])
}

/// Verifies with these archives; fails if anything is broken.
#[track_caller]
fn verified(database: &Path, archives: &[&Path]) -> String {
    let args: Vec<&str> = archives.iter().flat_map(|path| ["--archive", text(path)]).collect();
    audit_ok("verify", database, &args)
}

fn verify_archive(file: &Path) -> crate::program::Done {
    run(crate::program::command().args(["audit", "verify-archive"]).arg(file), "")
}

#[test]
fn events_that_were_moved_verify_and_answer_with_the_rest() {
    let mut random = Random::from_seed();
    let directory = TempDir::new();
    let (home, moments) = made(&mut random, 200);
    let database = home.file();
    open(&database).close();
    let all = ids(&database, &[]);
    let (first, second) = (directory.join("first.db"), directory.join("second.db"));
    for (file, moment) in [(&first, 6), (&second, 12)] {
        let said = archived(&database, &moments[moment].0.to_string(), file);
        assert!(said.starts_with("moved: ") && said.contains(text(file)), "{said}");
        assert_eq!(violations(&database), []);
        assert_eq!(verify_archive(file).code, Some(0));
    }
    let events = number(&database, "SELECT count(*) FROM audit_event");
    assert!(events > 10 && number(&first, "SELECT count(*) FROM audit_event") > 10);

    // The rest alone: its chain; not the tables, which follow from all events.
    let said = verified(&database, &[]);
    assert!(
        said.contains("not read: events 1 to ") && said.ends_with("ok: this part of the history is unbroken\n"),
        "{said}"
    );
    let said = verified(&database, &[&second]);
    assert!(said.contains(&format!("were moved to {}", text(&first.canonicalize().expect("a path")))), "{said}");
    // All of it, in any order of the files.
    for archives in [[&first, &second], [&second, &first]] {
        let said = verified(&database, &archives.map(PathBuf::as_path));
        assert!(said.ends_with("ok: the history is unbroken, and the tables are what it leads to\n"), "{said}");
    }
    // One event for each move, and no other is new.
    let now = ids(&database, &[&first, &second]);
    assert_eq!((&now[..all.len()], now.len()), (&all[..], all.len() + 2));
    assert!(audit_ok("show", &database, &["--action", "archive"]).contains("first_event: 1, last_event: "));
    let archives = [first.clone(), second.clone()];
    for (at, holdings) in &moments {
        assert_eq!(of_history(&database, &archives, *at), *holdings, "at {at}");
    }

    // Without the archives an answer that needs them says so.
    let done = audit("show", &database, &["--at", "now"]);
    assert!(done.code == Some(3) && done.stderr.contains("first.db: name that file with --archive"), "{done:?}");
    let done = audit("show", &database, &["--limit", "1"]);
    assert!(done.code == Some(0) && done.stderr.matches("name that file with --archive").count() == 2, "{done:?}");
    assert_eq!(audit("show", &database, &["--archive", text(&first), "--archive", text(&second)]).stderr, "");

    // The service goes on: calls, changes by hand, and the chain.
    let store = open(&database);
    for _ in 0..60 {
        make_call(&*store, &mut random);
        let _ = sql(&database, &by_hand(&mut random));
    }
    store.close();
    assert_eq!(violations(&database), []);
    verified(&database, &[&first, &second]);
    verified(&database, &[]);
}

/// A database with a history of three parts, of which two were moved.
fn moved(directory: &TempDir) -> (PathBuf, PathBuf, PathBuf) {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    let files = ["first.db", "second.db"].map(|name| directory.join(name));
    for file in &files {
        for n in 0..10 {
            sql(&database, &format!("UPDATE entity SET note = '{} {n}' WHERE id = 42", text(file))).expect("an event");
        }
        open(&database).close();
        std::thread::sleep(Duration::from_millis(3));
        archived(&database, "now", file);
    }
    let [first, second] = files;
    (database, first, second)
}

/// Runs a script on a copy of a file, which is put in its place in the arguments.
fn altered(directory: &TempDir, file: &Path, script: &str) -> PathBuf {
    let copy = directory.join("altered.db");
    std::fs::copy(file, &copy).expect("copy");
    unguarded(&copy, script);
    copy
}

#[test]
fn an_archive_that_is_missing_or_altered_is_found() {
    let directory = TempDir::new();
    let (database, first, second) = moved(&directory);
    verified(&database, &[&first, &second]);
    for script in [
        "UPDATE audit_event SET actor = 'agent' WHERE id = 5",
        "UPDATE audit_event SET at = '2020-01-01T00:00:00.000Z' WHERE id = 5",
        "DELETE FROM audit_event WHERE id = 5",
        "DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event)",
        "DELETE FROM audit_event WHERE id = 1",
        "UPDATE audit_event SET hash = zeroblob(32) WHERE id = (SELECT max(id) FROM audit_event)",
        "INSERT INTO audit_event (id, action, actor) SELECT max(id) + 1, 'assign', 'agent' FROM audit_event",
    ] {
        let copy = altered(&directory, &first, script);
        let done = audit("verify", &database, &["--archive", text(&copy), "--archive", text(&second)]);
        assert!(done.code == Some(1) && done.stdout.starts_with("broken: event "), "{script}: {done:?}");
        assert_eq!(verify_archive(&copy).code, Some(1), "{script}");
    }
    // One that is not there, and one that is empty.
    let (nowhere, empty) = (directory.join("nowhere.db"), directory.join("empty.db"));
    std::fs::write(&empty, "").expect("write");
    for (archive, reason) in [(&nowhere, "nowhere.db: there is no such file"), (&empty, "empty.db: the file is empty")]
    {
        let named = audit("verify", &database, &["--archive", text(archive)]);
        for done in [named, verify_archive(archive)] {
            assert!(done.code == Some(3) && done.stderr.contains(&format!("{reason}\n")), "{done:?}");
        }
    }
    // One that says of itself that it holds more or less than it does.
    for script in [
        "UPDATE audit_archive SET last_event = last_event + 1000",
        "UPDATE audit_archive SET events = 3",
        "UPDATE audit_archive SET previous_hash = randomblob(32)",
    ] {
        let copy = altered(&directory, &first, script);
        assert_eq!(verify_archive(&copy).code, Some(1), "{script}");
    }
    let hides = altered(&directory, &second, "UPDATE audit_archive SET last_event = 1000000");
    unguarded(&database, "UPDATE entity SET note = 'flipped' WHERE id = 42");
    let done = audit("verify", &database, &["--archive", text(&first), "--archive", text(&hides)]);
    assert!(done.code == Some(1) && done.stdout.contains("entity 42: note is 'flipped'"), "{done:?}");
    // The middle is not there: the next file does not follow.
    let done = audit("verify", &database, &["--archive", text(&first)]);
    assert!(done.code == Some(1) && done.stdout.contains("its hash does not follow from event "), "{done:?}");
    // Where the database says that its part of the chain begins is part of the chain.
    let copy = altered(&directory, &database, "UPDATE audit_archive SET hash = zeroblob(32) WHERE first_event > 1");
    assert_eq!(audit("verify", &copy, &[]).code, Some(1));
    let copy = altered(&directory, &database, "DELETE FROM audit_archive");
    assert_eq!(audit("verify", &copy, &[]).code, Some(1));
    // Another database's.
    let other = TempDir::new();
    let (_, other_first, _) = moved(&other);
    let done = audit("show", &database, &["--archive", text(&other_first)]);
    assert!(done.code == Some(3) && done.stderr.contains("has another hash than the database says"), "{done:?}");
}

/// A row of `audit_archive` that fits the chain does not stand for a move.
#[test]
fn events_that_were_removed_as_if_they_were_moved_are_found() {
    let directory = TempDir::new();
    let (database, _, second) = moved(&directory);
    let removed = |script: &str| {
        let copy = altered(&directory, &database, script);
        let done = audit("verify", &copy, &[]);
        let is_found = done.stdout.contains("no event says that they were moved to an archive: they were removed");
        assert!(done.code == Some(1) && is_found, "{script}: {done:?}");
    };
    verified(&database, &[]);
    for n in 0..5 {
        sql(&database, &format!("UPDATE entity SET note = 'more {n}' WHERE id = 42")).expect("an event");
    }
    open(&database).close();
    verified(&database, &[]);
    let more = "(SELECT max(id) - 2 FROM audit_event)";
    // An archive of the forger's own; and one that is said to go on.
    removed(&format!(
        "INSERT INTO audit_archive SELECT 1 + max(last_event), {more}, 1, until, (SELECT hash FROM audit_event WHERE id = {more}), NULL,
                '/lost' FROM audit_archive;
         DELETE FROM audit_event WHERE id <= {more}"
    ));
    removed(&format!(
        "UPDATE audit_archive SET last_event = {more}, hash = (SELECT hash FROM audit_event WHERE id = {more})
          WHERE first_event > 1;
         DELETE FROM audit_event WHERE id <= {more}"
    ));
    verified(&database, &[&second]);
}

#[test]
fn a_move_that_cannot_be_done_changes_nothing() {
    let directory = TempDir::new();
    let (database, first, _) = moved(&directory);
    for n in 0..5 {
        sql(&database, &format!("UPDATE entity SET note = '{n}' WHERE id = 43")).expect("an event");
    }
    open(&database).close();
    let before = (ids(&database, &[]), std::fs::read(&first).expect("the archive"));
    let foreign = directory.join("foreign");
    std::fs::write(&foreign, "something else").expect("write");
    let rejected = |database: &Path, file: &Path, said: &str| {
        let done = audit("archive", database, &["--before", "now", text(file)]);
        assert!(done.code == Some(3) && done.stderr.contains(said), "{done:?}");
    };
    assert!(archived(&database, "now", &first).starts_with("nothing to move: "));
    rejected(&database, &foreign, "foreign: ");
    rejected(&database, &directory.join("no/such/directory.db"), "No such file or directory");
    let broken = directory.join("broken.db");
    std::fs::copy(&database, &broken).expect("copy");
    unguarded(&broken, "UPDATE audit_event SET actor = 'agent' WHERE id = (SELECT min(id) + 1 FROM audit_event)");
    rejected(&broken, &directory.join("new.db"), "its hash does not follow from");
    assert!(!directory.join("new.db").exists() && !directory.join("new.db.part").exists());
    assert_eq!((ids(&database, &[]), std::fs::read(&first).expect("the archive")), before);
    assert_eq!(std::fs::read_to_string(&foreign).expect("the file"), "something else");
    // Nothing that old; and the newest event stays.
    assert!(archived(&database, "2020-01-01", &directory.join("none.db")).starts_with("nothing to move"));
    assert!(!directory.join("none.db").exists());
    archived(&database, "now", &directory.join("rest.db"));
    assert_eq!(ids(&database, &[]).len(), 2, "the newest, and the one that tells of the move");
    assert!(archived(&database, "2020-01-01", &directory.join("none.db")).starts_with("nothing to move"));
}

/// Only events that are chained are moved: the rest would be in no chain.
#[test]
fn events_that_are_not_chained_stay() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    assert!(archived(&database, "now", &directory.join("none.db")).starts_with("nothing to move"));
    open(&database).close();
    let chained = number(&database, "SELECT count(*) FROM audit_event");
    sql(&database, "UPDATE entity SET note = 'x' WHERE id = 42").expect("an event");
    std::thread::sleep(Duration::from_millis(3));
    archived(&database, "now", &directory.join("old.db"));
    assert_eq!(number(&directory.join("old.db"), "SELECT count(*) FROM audit_event"), chained - 1);
    verified(&database, &[&directory.join("old.db")]);
}

#[test]
fn where_the_chain_begins_is_not_written_by_hand() {
    let directory = TempDir::new();
    let (database, ..) = moved(&directory);
    for script in [
        "DELETE FROM audit_archive",
        "UPDATE audit_archive SET last_event = 7",
        "INSERT INTO audit_archive SELECT 900, 901, 2, until, hash, hash, file FROM audit_archive LIMIT 1",
        "INSERT OR REPLACE INTO audit_archive SELECT * FROM audit_archive",
    ] {
        let error = sql(&database, script).expect_err(script).to_string();
        assert!(error.contains("audit_archive is written by seatkeeper audit archive"), "{error}");
    }
}

/// Killed at any moment: nothing is lost, both files verify, and the same command again finishes the work.
#[test]
fn an_interrupted_move_is_finished_by_the_next_run() {
    let mut random = Random::from_seed();
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    let mut script = String::from("BEGIN;");
    for n in 0..9_000 {
        script += &format!("UPDATE entity SET note = {n} WHERE id = 42;");
    }
    sql(&database, &(script + "COMMIT")).expect("events");
    open(&database).close();
    std::thread::sleep(Duration::from_millis(3));
    let all = ids(&database, &[]);
    let file = directory.join("old.db");
    let (mut before, mut within) = (0, 0);
    for _ in 0..6 {
        let mut child = crate::program::command()
            .args(["audit", "archive", "--before", "now", "--database", text(&database), text(&file)])
            .stdout(Stdio::null())
            .spawn()
            .expect("the command");
        // It takes about a second; the beginning is not more interesting than the end.
        if file.exists() {
            std::thread::sleep(Duration::from_millis(random.below(500)));
        } else {
            std::thread::sleep(Duration::from_millis(100 + random.below(900)));
        }
        child.kill().expect("it can be killed");
        if child.wait().expect("it ended").success() {
            break;
        }
        let archives: &[&Path] = if file.exists() { &[&file] } else { &[] };
        verified(&database, archives);
        verified(&database, &[]);
        let now = ids(&database, archives);
        assert_eq!(now[..all.len()], all[..], "no event is lost, none is twice");
        if now.len() == all.len() { before += 1 } else { within += 1 }
    }
    println!("killed {before} times before the first event was deleted, {within} times after");
    let said = archived(&database, "now", &file);
    assert!(said.starts_with("moved: ") || said.starts_with("nothing"), "{said}");
    assert_eq!(ids(&database, &[&file])[..all.len()], all[..]);
    assert_eq!(number(&database, "SELECT count(*) FROM audit_event"), 2);
    assert_eq!(number(&database, "SELECT count(*) FROM audit_archive"), 1);
    assert_eq!(number(&database, "SELECT events FROM audit_archive"), all.len() as i64 - 1);
    verified(&database, &[&file]);
    assert_eq!(verify_archive(&file).code, Some(0));
}

/// Calls are served meanwhile, and license tools are told that older events are left out.
#[test]
fn the_service_goes_on_while_events_are_moved() {
    let mut seed = owners_data() + "BEGIN; UPDATE seat SET account_id = 101 WHERE pool_id = 2 AND seat_no = 1;";
    for n in 0..9_000 {
        seed += &format!("UPDATE license_pool SET note = {n} WHERE id = 2;");
    }
    // They are chained when the service starts.
    let server = Server::with(Options { seed: seed + "COMMIT", ..Options::default() });
    let database = server.file();
    let assign = |n: i64| server.assign(&format!("user{n}"), 42, "SqlBackup").code();
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event WHERE hash IS NULL"), 0);
    std::thread::sleep(Duration::from_millis(3));
    let file = database.parent().expect("a directory").join("old.db");
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| archived(&database, "now", &file));
        while !moving.is_finished() {
            let begun = std::time::Instant::now();
            let code = assign(answers);
            assert!(["Success", "AlreadyExists", "NoFreeSeat"].contains(&code.as_str()), "{code}");
            slowest = slowest.max(begun.elapsed());
            answers += 1;
        }
        moving.join().expect("moved");
    });
    println!("{answers} calls meanwhile, the slowest took {slowest:?}");
    assert!(answers > 3);
    assert_eq!(server.violations(), []);
    verified(&database, &[&file]);
    let ticket = server.netserver_sign_in("reader");
    let answer = server.license_call(
        &ticket,
        "GetModuleLicenseHistoryFromLicenseServer",
        "<LicenseInfo><New><OwnerName>CONTOSO</OwnerName></New></LicenseInfo><ModuleLicense><New><ModuleName>SQLBACKUP</ModuleName></New></ModuleLicense>",
    );
    let events = server.query::<i64>("SELECT events FROM license_pool WHERE id = 2");
    let kept = server.query::<i64>("SELECT count(*) FROM audit_event WHERE pool_id = 2");
    let left_out = format!("Left out: {} earlier events or more.", events - kept);
    assert!(kept > 0 && answer.body.contains(&left_out), "{left_out}\n{}", answer.body);
}
