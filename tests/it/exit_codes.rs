//! Every command and every kind of failure: the exit code says what to do. 0 done, 1 something is broken or was refused, 2 invalid arguments
//! or settings, 3 the command could not run.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::*;
use crate::program::{Done, command, run};

/// Commands that read, with their arguments.
const READERS: &[&str] = &[
    "check",
    "check --report",
    "attention",
    "who",
    "pool list",
    "entity list",
    "account list",
    "credential list",
    "offer list",
    "refusals",
    "report 42",
    "export users",
    "audit show",
    "audit head",
    "explain --user a --entity 42 --type SqlBackup",
];

/// Commands that change something, with their arguments.
const WRITERS: &[&str] = &[
    "migrate",
    "assign --username a --entity 42 --license-type SqlBackup --enroll",
    "release --username a --license-type SqlBackup",
    "release --username a --all-types",
    "transfer --from a --to b --all-types",
    "leaver --username a --release",
    "pool create entity_id=42 license_type=SqlBackup seats_total=5",
    "pool set 1 note=x",
    "pool resize --pool 1 --seats 9",
    "pool delete 2",
    "entity create parent_id=1 name=New",
    "entity set 42 name=New",
    "entity delete 43",
    "account create username=new entity_id=42",
    "account set a active=0",
    "credential create user_name=new entity_id=42 --generate",
    "credential set agent role=reader",
    "credential set-password agent --generate",
    "credential sign-out agent",
    "credential delete agent",
    "offer set 42 --seats SqlBackup=10",
    "offer withdraw 42",
    "import users -",
    "undo 6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11",
];

/// Commands for SQLite files, with their arguments. `TO` is a file that does not exist.
const OF_FILES: &[&str] = &["sql", "backup TO", "resize --pool 1 --seats 2", "audit archive --before 1d TO"];

/// Commands without a database.
const OTHERS: &[&str] =
    &["hash-password", "audit key TO", "audit verify-archive TO", "config", "demo", "copy --from TO --to TO"];

/// For an import.
const ROW: &str = "username,entity_id\nx,42\n";

fn words(command: &str, to: &Path) -> Vec<String> {
    command.split(' ').map(|word| if word == "TO" { to.display().to_string() } else { word.to_owned() }).collect()
}

fn of_database(line: &str, to: &Path, database: &str) -> Command {
    let mut command = command();
    command.args(words(line, to)).args(["--database", database]).current_dir(std::env::temp_dir());
    command
}

#[track_caller]
fn expect(done: &Done, code: i32, case: &str) {
    assert_eq!(done.code, Some(code), "{case}: {done:?}");
    if code != 0 {
        let has_error = done.stderr.lines().any(|line| line.starts_with("error: "));
        assert!(has_error && !done.stderr.contains("panicked"), "{case}: {done:?}");
    }
}

fn with_database() -> impl Iterator<Item = &'static str> {
    READERS.iter().chain(WRITERS).chain(OF_FILES).copied().chain(["audit verify", "restore TO"])
}

#[test]
fn invalid_arguments_end_with_2() {
    let directory = TempDir::new();
    let to = directory.join("to");
    for line in with_database().chain(OTHERS.iter().copied()).chain(["serve", "completions bash", "man TO"]) {
        let mut words = words(line, &to);
        words.push("--no-such-flag".to_owned());
        expect(&run(command().args(&words), ""), 2, line);
    }
    for line in [
        "",
        "nonsense",
        "serve --listen",
        "serve --listen nowhere",
        "serve --idle-timeout-s -1",
        "serve --config",
        "demo --listen nowhere",
        "config --format xml",
        "config --listen nowhere",
        "who --format xml",
        "who --entity x",
        "report",
        "report x",
        "report 42 --since never",
        "pool",
        "pool list --state lost",
        "pool resize --pool 1",
        "release --username a",
        "assign --username a",
        "undo x",
        "explain",
        "import nonsense -",
        "export nonsense",
        "audit show --since never",
        "audit nonsense",
        "backup",
        "restore",
        "resize --pool 1",
        "copy --from a",
        "completions nonsense",
    ] {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let done = run(command().args(&words), "");
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{line}: {done:?}");
        assert!(!done.stderr.is_empty(), "{line}");
    }
}

#[test]
fn invalid_settings_end_with_2() {
    let directory = TempDir::new();
    let (to, broken) = (directory.join("to"), directory.join("broken.toml"));
    std::fs::write(&broken, "database = 'a").expect("write");
    let nowhere = directory.join("nowhere.toml");
    for line in with_database().chain(["serve", "config"]) {
        for file in [&broken, &nowhere] {
            let case = format!("{line} with {}", file.display());
            let mut named = command();
            expect(&run(named.args(words(line, &to)).env("SEATKEEPER_CONFIG", file), ROW), 2, &case);
            let mut flag = command();
            expect(&run(flag.args(words(line, &to)).arg("--config").arg(file), ROW), 2, &case);
        }
        // A directory is no file: the command cannot run.
        let mut flag = command();
        expect(&run(flag.args(words(line, &to)).arg("--config").arg(directory.join("")), ROW), 3, line);
    }
}

#[test]
fn a_database_that_cannot_be_used_ends_with_3() {
    let directory = TempDir::new();
    let (to, notes) = (directory.join("to"), directory.join("notes.txt"));
    std::fs::write(&notes, "Licenses: ask Marianne.\n".repeat(100)).expect("write");
    std::fs::write(directory.join("empty.db"), "").expect("write");
    let path = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    for line in with_database().chain(["serve --listen 127.0.0.1:0"]) {
        for database in [path("nowhere.db"), path("notes.txt"), path("empty.db"), path(""), path("nowhere/seats.db")] {
            // Restoring makes a database, and needs a backup.
            let done = run(&mut of_database(line, &to, &database), ROW);
            expect(&done, 3, &format!("{line} on {database}"));
        }
        let is_for_files = OF_FILES.contains(&line) || line == "restore TO";
        let out_of_reach = "postgres://u@127.0.0.1:1/seats?connect_timeout=1";
        let done = run(&mut of_database(line, &to, out_of_reach), ROW);
        expect(&done, if is_for_files { 2 } else { 3 }, &format!("{line} on {out_of_reach}"));
        for invalid in ["postgres://127.0.0.1:x/seats", "postgres://127.0.0.1/seats?sslcert=x"] {
            let done = run(&mut of_database(line, &to, invalid), ROW);
            expect(&done, 2, &format!("{line} on {invalid}"));
        }
    }
    assert!(!to.exists(), "nothing was made");
}

#[test]
fn files_that_cannot_be_read_or_written_end_with_3() {
    let directory = TempDir::new();
    let database = TestDatabase::new(&sample_data());
    let place = database.file().to_str().expect("UTF-8").to_owned();
    let (to, nowhere) = (directory.join("to"), directory.join("nowhere/file").display().to_string());
    for line in [
        format!("backup --database {place} {nowhere}"),
        format!("restore --database {place} {nowhere}"),
        format!("sql --database {place} {nowhere}"),
        format!("import --database {place} users {nowhere}"),
        format!("audit head --database {place} --key {nowhere}"),
        format!("audit verify --database {place} --head {nowhere}"),
        format!("audit key {nowhere}"),
        format!("audit key --public {nowhere}"),
        format!("audit verify-archive {nowhere}"),
        format!("copy --from {nowhere} --to postgres://u@127.0.0.1:1/seats?connect_timeout=1"),
        format!("demo --listen 127.0.0.1:0 --database {nowhere}"),
        format!("demo --listen 127.0.0.1:0 --database {place}"),
        format!("serve --database {place} --listen 127.0.0.1:0 --audit-key {nowhere}"),
        format!("serve --database {place} --listen 127.0.0.1:0 --tls-certificate {nowhere} --tls-key {nowhere}"),
        format!("serve --create --database {nowhere} --listen 127.0.0.1:0"),
        format!("sql --create --database {nowhere}"),
    ] {
        let done = run(command().args(line.split(' ')), "");
        expect(&done, 3, &line);
    }
    // A full disk under the output.
    for line in READERS {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let mut command = of_database(line, &to, &place);
        let output = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{line}: {said}");
        assert!(said.contains("No space left on device"), "{line}: {said}");
    }
}

/// A reader such as `head` that needs no more closes the pipe.
#[test]
fn a_closed_pipe_is_no_failure() {
    let directory = TempDir::new();
    let database = TestDatabase::new(&sample_data());
    let to = directory.join("to");
    let place = database.argument();
    for line in READERS.iter().copied().chain(["config", "hash-password", "completions bash"]) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = match READERS.contains(&line) {
            true => of_database(line, &to, &place),
            false => {
                let mut command = command();
                command.args(words(line, &to));
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped()).spawn().expect("it runs");
        let _ = std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), b"twelve chars\n");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}: {said}");
        assert!(!said.contains("error"), "{line}: {said}");
    }
}

/// A check that has found something ends with 1, whoever reads it.
#[test]
fn a_closed_or_full_output_hides_no_finding() {
    let directory = TempDir::new();
    let database = TestDatabase::new(&sample_data());
    let (to, place) = (directory.join("to"), database.argument());
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let code = |command: &mut Command| command.stdin(Stdio::null()).status().expect("it runs").code();
    let nowhere = directory.join("nope.db").display().to_string();
    for (line, place, expected) in
        [("who", &nowhere, 3), ("pool delete 4711", &place, 1), ("who --nonsense", &place, 2)]
    {
        assert_eq!(code(of_database(line, &to, place).stderr(full())), Some(expected), "{line}");
    }
    // A password that was made is shown somewhere, once it counts.
    for line in ["credential set-password agent --generate", "credential create user_name=new2 entity_id=42 --generate"]
    {
        let output = of_database(line, &to, &place).stdin(Stdio::null()).stdout(full()).output().expect("it runs");
        assert!(String::from_utf8_lossy(&output.stderr).contains("password, shown only now: "), "{line}: {output:?}");
    }
    // One that does not count is shown nowhere.
    for script in [
        "ulimit -n 8; exec \"$0\" credential set-password agent --generate --database \"$1\"",
        "exec \"$0\" credential set-password agent --generate --dry-run --database \"$1\" > /dev/full",
    ] {
        let mut limited = Command::new("sh");
        limited.args(["-c", script, env!("CARGO_BIN_EXE_seatkeeper"), &place]);
        let done = run(&mut limited, "");
        assert!(done.code == Some(3) && !format!("{done:?}").contains("shown only now"), "{script}: {done:?}");
    }
    for seats in [i64::MIN, -1, i64::MAX] {
        for more in ["", " --propose"] {
            let line = format!("pool resize --pool 1 --seats={seats}{more}");
            let done = run(&mut of_database(&line, &to, &place), "");
            expect(&done, 1, &line);
            assert!(done.stderr.contains("must be between 0 and 10000000"), "{line}: {done:?}");
        }
    }
    if !on_postgres() {
        database.unguarded("UPDATE license_pool SET seats_in_use = 2, seats_in_use_max = 2 WHERE id = 1");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(
            code(of_database("check", &to, &place).stdout(writer).stderr(Stdio::null())),
            Some(1),
            "a broken database"
        );
        let done = run(&mut of_database("check", &to, &directory.join("").display().to_string()), "");
        expect(&done, 3, "a directory");
        assert!(done.stderr.contains("this is a directory"), "{done:?}");
    }
}

#[test]
fn what_is_refused_ends_with_1_and_what_is_done_with_0() {
    let directory = TempDir::new();
    let database = TestDatabase::new(&sample_data());
    let to = directory.join("to");
    let place = database.argument();
    for (line, code) in [
        ("release --username nobody --license-type SqlBackup", 1),
        ("release --username nobody --all-types", 1),
        ("assign --username a --entity 4711 --license-type SqlBackup --enroll", 1),
        ("transfer --from nobody --to b --all-types", 1),
        ("leaver --username nobody --release", 1),
        ("pool set 4711 note=x", 1),
        ("entity delete 1", 1),
        ("credential delete nobody", 1),
        ("undo 6f1c0a1e-8e5d-4a53-9f0c-3a0d5a0f6c11", 1),
        ("who --entity 4711", 1),
        ("report 4711", 1),
        ("check", 0),
        ("who", 0),
        ("assign --username a --entity 42 --license-type SqlBackup --enroll", 0),
    ] {
        expect(&run(&mut of_database(line, &to, &place), ""), code, line);
    }
    expect(&run(command().arg("hash-password"), ""), 1, "an empty password");
    if !on_postgres() {
        expect(&run(&mut of_database("sql", &to, &place), "SELEC 1"), 1, "invalid SQL");
        expect(&run(&mut of_database("sql", &to, &place), "SELECT 1"), 0, "SQL");
    }
}
