//! Heads of the history, signed: what is kept elsewhere shows a history that was cut off, replaced or rewritten.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::audit_holders::open;
use crate::audit_show::{audit, audit_ok};
use crate::harness::*;
use crate::program::{Done, run};

/// Runs `seatkeeper audit key ARGS`.
fn key(args: &[&str], file: &Path) -> Done {
    run(crate::program::command().args(["audit", "key"]).args(args).arg(file), "")
}

/// A database whose events are chained.
fn seeded(directory: &TempDir) -> PathBuf {
    let database = directory.join("seats.db");
    sql(&database, &sample_data()).expect("seed");
    open(&database).close();
    database
}

/// Makes more events, which are chained.
fn go_on(database: &Path) {
    sql(database, "UPDATE entity SET note = coalesce(note, '') || 'x' WHERE id = 42").expect("an event");
    open(database).close();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn a_key_is_made_once_and_only_its_owner_reads_it() {
    let directory = TempDir::new();
    let file = directory.join("audit.key");
    let public = key(&[], &file);
    assert_eq!((public.code, public.stdout.trim().len()), (Some(0), 64), "{public:?}");
    assert_eq!(std::fs::metadata(&file).expect("the key").permissions().mode() & 0o777, 0o600);
    assert_eq!(key(&["--public"], &file).stdout, public.stdout);
    assert!(key(&["--public", "--pem"], &file).stdout.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let before = std::fs::read(&file).expect("the key");
    let again = key(&[], &file);
    assert!(
        again.code == Some(3) && again.stderr.contains("it exists already. --public prints its public key"),
        "{again:?}"
    );
    assert_eq!(std::fs::read(&file).expect("the key"), before);
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("mode");
        let refused = key(&["--public"], &file);
        let said = format!("audit.key: others than its owner can read or write this key (mode {mode:04o})");
        assert!(refused.code == Some(3) && refused.stderr.contains(&said), "{refused:?}");
    }
    std::fs::write(&file, "no key").expect("write");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let refused = key(&["--public"], &file);
    assert!(
        refused.code == Some(3) && refused.stderr.contains("not an Ed25519 private key in PKCS#8 PEM"),
        "{refused:?}"
    );
}

#[test]
fn the_head_is_one_line_of_json_and_its_signature_is_what_openssl_verifies() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let file = directory.join("audit.key");
    let public = key(&[], &file).stdout.trim().to_owned();
    let unsigned: Value = serde_json::from_str(&audit_ok("head", &database, &[])).expect("JSON");
    let newest = "SELECT id || ' ' || lower(hex(hash)) FROM audit_event ORDER BY id DESC LIMIT 1";
    let newest: String = connection(&database).query_row(newest, [], |row| row.get(0)).expect("the newest");
    assert_eq!(format!("{} {}", unsigned["event"], unsigned["hash"].as_str().expect("a hash")), newest);
    let done = audit("head", &database, &["--key", text(&file)]);
    assert!(done.stderr.ends_with(" events up to it\n"), "{done:?}");
    assert_eq!(done.stdout.lines().count(), 1);
    let head: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let of = |name: &str| head[name].as_str().expect("a text").to_owned();
    assert_eq!(of("key"), public);

    let message = directory.join("message");
    let (event, hash, at) = (&head["event"], of("hash"), of("at"));
    std::fs::write(&message, format!("seatkeeper audit head 1\n{event}\n{hash}\n{at}\n")).expect("write");
    let signature: Vec<u8> =
        (0..64).map(|n| u8::from_str_radix(&of("signature")[2 * n..2 * n + 2], 16).expect("hex")).collect();
    std::fs::write(directory.join("signature"), signature).expect("write");
    std::fs::write(directory.join("public.pem"), key(&["--public", "--pem"], &file).stdout).expect("write");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(message.parent().expect("a directory"));
    openssl.args([
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "public.pem",
        "-rawin",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ]);
    match openssl.output() {
        Ok(done) => assert!(done.status.success(), "{done:?}"),
        Err(error) => println!("not tried with openssl: {error}"),
    }
}

#[test]
fn a_database_without_chained_events_has_no_head() {
    let directory = TempDir::new();
    let database = directory.join("seats.db");
    sql(&database, "").expect("an empty database");
    let done = audit("head", &database, &[]);
    assert!(done.code == Some(3) && done.stderr.contains("no event is chained"), "{done:?}");
}

#[test]
fn heads_show_a_history_that_was_cut_off_replaced_or_rewritten() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let (file, heads, other) =
        (directory.join("audit.key"), directory.join("heads.jsonl"), directory.join("other.key"));
    let public = key(&[], &file).stdout;
    let mut kept = String::new();
    let older = directory.join("older.db");
    for n in 0..3 {
        kept += &audit_ok("head", &database, &["--key", text(&file)]);
        if n == 1 {
            std::fs::copy(&database, &older).expect("copy");
        }
        go_on(&database);
    }
    std::fs::write(&heads, &kept).expect("write");
    let heads = text(&heads).to_owned();
    let verified = audit_ok("verify", &database, &["--head", &heads, "--key", public.trim()]);
    assert!(verified.contains("heads kept elsewhere that are in the history: 3\n"), "{verified}");
    assert!(verified.ends_with(&format!("the heads are signed by the key {public}")), "{verified}");

    // What happened, to which file, with which heads; and what is said.
    let broken = |database: &Path, args: &[&str], said: &str| {
        let done = audit("verify", database, args);
        assert!(done.code == Some(1) && done.stdout.contains(said), "{said}: {done:?}");
    };
    // An older file took its place; also one that went on since.
    broken(&older, &["--head", &heads], "the history ends at event ");
    go_on(&older);
    sql(&older, "UPDATE entity SET name = 'other' WHERE id = 42").expect("an event");
    open(&older).close();
    broken(&older, &["--head", &heads], "the history was rewritten after event ");
    // Another key; a head that was altered; one without a signature.
    let of_other = key(&[], &other).stdout;
    broken(&database, &["--head", &heads, "--key", of_other.trim()], "is signed by another key, ");
    for (from, to, said) in [
        ("\"at\":\"2", "\"at\":\"3", "is not valid: the head was altered"),
        ("\"signature\":", "\"signed\":", "is not signed"),
        ("\"key\":\"", "\"key\":\"0", "has a key or signature that is none"),
    ] {
        let altered = directory.join("altered.jsonl");
        std::fs::write(&altered, kept.replacen(from, to, 1)).expect("write");
        broken(&database, &["--head", text(&altered), "--key", public.trim()], said);
    }
    // The newest event was removed, behind the guards.
    let cut = directory.join("cut.db");
    std::fs::copy(&database, &cut).expect("copy");
    unguarded(&cut, "DELETE FROM audit_event WHERE id >= (SELECT max(id) - 1 FROM audit_event)");
    broken(&cut, &["--head", &heads], "the history ends at event ");
    // A file that is none.
    for (content, said) in [("", "it has no head"), ("{\"event\":1}\n", "line 1 is no head")] {
        let bad = directory.join("bad.jsonl");
        std::fs::write(&bad, content).expect("write");
        let done = audit("verify", &database, &["--head", text(&bad)]);
        assert!(done.code == Some(3) && done.stderr.contains(said), "{done:?}");
    }
    let done = audit("verify", &database, &["--head", &heads, "--key", "nowhere.pub"]);
    assert!(done.code == Some(3) && done.stderr.contains("nowhere.pub: "), "{done:?}");
}

/// The service signs at start, at intervals, and when it stops; and what it wrote verifies.
#[test]
fn the_service_signs_heads_while_it_runs() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let (file, heads) = (directory.join("audit.key"), directory.join("heads.jsonl"));
    let public = key(&[], &file).stdout;
    let signed = || std::fs::read_to_string(&heads).unwrap_or_default();
    let lines = || signed().lines().count();
    // Of a line that is written at this moment a part may be there.
    let event_of = |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["event"].clone());
    let is_newest = || {
        let newest: Value = serde_json::from_str(&audit_ok("head", &database, &[])).expect("JSON");
        signed().lines().last().and_then(event_of) == Some(newest["event"].clone())
    };
    let start = |interval: &str| {
        let mut serve = crate::program::command();
        serve.env_clear().envs(crate::program::NO_SETTINGS).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        serve.arg("--database").arg(&database).arg("--audit-key").arg(&file).arg("--audit-heads").arg(&heads);
        serve.args(["--audit-head-interval-s", interval]).stdin(Stdio::null()).stderr(Stdio::piped());
        serve
    };
    // A change by hand, which another command of ours chains.
    let change = || {
        sql(&database, "UPDATE seat SET account_id = 1 WHERE seat_no = 1 AND pool_id = 1").expect("a seat");
        let args = ["--database", text(&database), "--username", "a", "--license-type", "SqlBackup"];
        assert_eq!(run(crate::program::command().arg("release").args(args), "").code, Some(0));
    };
    // What it logs until SIGTERM has ended it.
    let stop = |service: Child| {
        let stopped = Command::new("kill").args(["-TERM", &service.id().to_string()]).status().expect("kill");
        assert!(stopped.success());
        let output = service.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    sql(&database, "INSERT INTO account (id, username, entity_id) VALUES (1, 'a', 42)").expect("an account");
    open(&database).close();

    let service = start("1").spawn().expect("the service");
    wait_until("a head is signed at start", || lines() == 1);
    change();
    // The command chains in two steps, and an interval may end between them.
    wait_until("a head is signed at an interval", || lines() > 1 && is_newest());
    let at_intervals = stop(service).matches("signed the head of the history").count();
    assert_eq!(at_intervals, lines(), "nothing is signed twice");

    let service = start("3600").spawn().expect("the service");
    wait_until("a head is signed at the next start", || lines() == at_intervals + 1);
    change();
    let log = stop(service);
    assert_eq!((lines(), log.matches("signed the head of the history").count()), (at_intervals + 2, 2), "{log}");
    assert!(is_newest(), "{}", signed());
    assert_eq!(std::fs::metadata(&heads).expect("heads").permissions().mode() & 0o777, 0o600);
    let verified = audit_ok("verify", &database, &["--head", text(&heads), "--key", public.trim()]);
    assert!(verified.contains(&format!("heads kept elsewhere that are in the history: {}\n", lines())), "{verified}");

    // A key that cannot be used is said at start.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("mode");
    let done = run(&mut start("3600"), "");
    assert!(done.code == Some(3) && done.stderr.contains("can read or write this key"), "{done:?}");
}

#[test]
fn a_key_that_could_not_be_written_is_not_in_the_way_of_the_next_try() {
    let directory = TempDir::new();
    let file = directory.join("audit.key");
    let mut limited = Command::new("bash");
    // As a full disk does, the limit fails the write of a file that could be made.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" audit key \"$1\"";
    let done = run(limited.args(["-c", script, env!("CARGO_BIN_EXE_seatkeeper")]).arg(&file), "");
    assert_eq!((done.code, file.exists()), (Some(3), false), "{done:?}");
    assert_eq!(key(&[], &file).code, Some(0));
}
