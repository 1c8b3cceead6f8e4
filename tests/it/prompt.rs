//! The prompt of `seatkeeper sql`, at a terminal that script(1) makes.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::program::NO_SETTINGS;

struct Terminal {
    process: Child,
    /// Where the history is kept.
    state: Arc<TempDir>,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(database: &Path, arguments: &str) -> Terminal {
        Terminal::start_as(database, arguments, "xterm", Arc::new(TempDir::new()))
    }

    fn start_as(database: &Path, arguments: &str, term: &str, state: Arc<TempDir>) -> Terminal {
        let program = env!("CARGO_BIN_EXE_seatkeeper");
        // Without `exec` some shells stay, and end at the Ctrl-C that is meant for the program.
        let command = format!("exec '{program}' sql --database '{}' {arguments}", database.display());
        let mut process = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &command, "/dev/null"])
            .envs(NO_SETTINGS)
            .envs([("SHELL", "/bin/sh"), ("TERM", term)])
            .env("XDG_STATE_HOME", state.join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script(1)");
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, text) = (process.stdout.take().expect("is piped"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                *text.lock().expect("lock") += &String::from_utf8_lossy(&buffer[..read]);
            }
        });
        let keys = process.stdin.take().expect("is piped");
        let terminal = Terminal { process, state, keys, shown };
        terminal.wait_for("sql> ");
        terminal
    }

    fn type_in(&mut self, line: &str) {
        self.shown.lock().expect("lock").clear();
        self.keys.write_all(line.as_bytes()).expect("typed");
        self.keys.flush().expect("typed");
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        assert!(self.shows_within(text, LONG), "not in {LONG:?}: {text:?} in {:?}", self.shown());
    }

    fn shows_within(&self, text: &str, time: Duration) -> bool {
        let begun = Instant::now();
        while !self.shown().contains(text) {
            if begun.elapsed() > time {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn shown(&self) -> String {
        self.shown.lock().expect("lock").clone()
    }

    /// Types a statement and waits for what it says.
    #[track_caller]
    fn says(&mut self, line: &str, text: &str) {
        self.type_in(line);
        self.wait_for(text);
    }

    /// Waits until the next line is asked for. A key that is typed before, while the terminal is not the editor's yet, means something else
    /// to the system: Ctrl-D is lost.
    fn wait_for_prompt(&self) {
        let is_prompt = |line: &str| line.contains("sql> ") || line.contains("sql*> ");
        wait_until("a prompt", || self.shown().rsplit_once('\n').is_some_and(|(_, last)| is_prompt(last)));
    }

    /// Ends the session, and waits for that.
    fn ends(&mut self, line: &str) -> Option<i32> {
        self.wait_for_prompt();
        self.type_in(line);
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            if let Some(status) = self.process.try_wait().expect("its state") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end: {}", self.shown());
    }

    fn history(&self) -> PathBuf {
        self.state.join("state/seatkeeper/sql_history")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A transaction that is left open keeps the service from writing for the limit, and no longer. What is typed after that was
/// meant to be part of it, so it is not run.
#[test]
fn a_transaction_left_open_at_the_prompt_ends_after_a_limit() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "--idle-s 2");
    prompt.type_in("BEGIN IMMEDIATE;\nUPDATE entity SET note = 'left open' WHERE id = 42;\n");
    prompt.wait_for("a transaction is open");
    prompt.wait_for("the transaction was rolled back: there was no input for 2 s");
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");

    prompt.type_in("UPDATE entity SET note = 'later' WHERE id = 42;\n");
    prompt.wait_for("error: this was not run: the transaction had been rolled back; ROLLBACK; or BEGIN; first");
    prompt.type_in("COMMIT;\n");
    prompt.wait_for("had been rolled back; go on");
    assert_eq!(server.query::<Option<String>>("SELECT note FROM entity WHERE id = 42"), None);
    prompt.type_in("UPDATE entity SET note = 'again' WHERE id = 42; SELECT note FROM entity WHERE id = 42;\n");
    prompt.wait_for("again");
    wait_until("kept", || {
        server.query::<Option<String>>("SELECT note FROM entity WHERE id = 42").as_deref() == Some("again")
    });
}

/// Without a transaction there is no limit, and with input none is reached.
#[test]
fn a_prompt_waits_as_long_as_nothing_is_open() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "--idle-s 4");
    std::thread::sleep(Duration::from_secs(5));
    prompt.type_in("BEGIN;\n");
    // Each pause is far below the limit, all of them are above it.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(500));
        prompt.type_in("UPDATE entity SET note = 'typed' WHERE id = 42;\n");
    }
    prompt.type_in("COMMIT; SELECT 'do' || 'ne';\n");
    prompt.wait_for("done");
    assert_eq!(server.query::<String>("SELECT note FROM entity WHERE id = 42"), "typed");
}

/// The question holds no lock: the service writes while the user thinks.
#[test]
fn a_wide_change_shows_its_rows_and_asks() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "");
    let notes = || server.query::<i64>("SELECT count(note) FROM entity");
    prompt.says("UPDATE entity SET note = 'w';\n", "change 6 rows of entity? [y/N] ");
    assert_eq!((server.assign("bob", 42, "SqlBackup").code(), notes()), ("Success".into(), 0));
    prompt.says("n\n", "nothing was changed");
    assert_eq!(notes(), 0);
    prompt.says("UPDATE entity SET note = 'w';\n", "change 6 rows of entity? [y/N] ");
    prompt.says("y\n", "6 rows changed");
    assert_eq!(notes(), 6);
    prompt.says("UPDATE entity SET note = 'w' WHERE id = 77;\n", "no row matches");
    // More rows than a person means, also with a condition; Ctrl-C is no.
    prompt.says(
        "CREATE TABLE mine AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 30) SELECT x FROM c;\n",
        "sql> ",
    );
    prompt.says("DELETE FROM mine WHERE x > 20;\n", "10 rows deleted");
    prompt.says("INSERT INTO mine SELECT x FROM mine;\n", "20 rows added");
    prompt.says("DELETE FROM mine WHERE x > 0;\n", "delete 40 rows of mine? [y/N] ");
    prompt.says("\x03", "nothing was changed");
    // The number changes while the question waits: it is asked again.
    prompt.says("DELETE FROM mine;\n", "delete 40 rows of mine? [y/N] ");
    server.sql("INSERT INTO mine VALUES (99)");
    prompt.says("y\n", "delete 41 rows of mine? [y/N] ");
    prompt.says("yes\n", "41 rows deleted");
    assert_eq!(prompt.ends("\x04"), Some(0));
}

#[test]
fn with_yes_nothing_is_asked() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "--yes --quiet");
    prompt.says("UPDATE entity SET note = 'w'; SELECT 'do' || 'ne';\n", "done");
    assert_eq!(server.query::<i64>("SELECT count(note) FROM entity"), 6);
}

/// A question that waits inside a transaction does not keep it open for ever.
#[test]
fn a_question_waits_no_longer_than_a_transaction_may() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "--idle-s 5");
    prompt.says("BEGIN IMMEDIATE;\n", "a transaction is open");
    prompt.says("UPDATE entity SET note = 'w';\n", "change 6 rows of entity? [y/N] ");
    prompt.wait_for("the transaction was rolled back: there was no input for 5 s");
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    prompt.says("y\n", "nothing was changed");
    prompt.says("ROLLBACK;\n", "go on");
    assert_eq!(server.query::<i64>("SELECT count(note) FROM entity"), 0);
}

#[test]
fn keys_clear_the_line_stop_a_statement_and_end_the_session() {
    let server = Server::start();
    for term in ["xterm", "dumb"] {
        let mut prompt = Terminal::start_as(&server.file(), "", term, Arc::new(TempDir::new()));
        prompt.type_in("SELECT 'never");
        prompt.wait_for("never");
        prompt.type_in("\x03");
        // The editor asks again; without it the system only throws the line away.
        match term {
            "dumb" => prompt.wait_for("^C"),
            _ => prompt.wait_for_prompt(),
        }
        let next = "SELECT 'al' || 'ive';\n";
        prompt.type_in(next);
        if !prompt.shows_within("alive", LONG / 5) {
            // Without the editor the key is a signal. On a loaded machine it may come when the next statement runs already.
            assert!(term == "dumb" && prompt.shown().contains("interrupted"), "{term}: {:?}", prompt.shown());
            prompt.says(next, "alive");
        }
        // What the first statement says shows that the line was read: the key would throw it away before.
        let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
        prompt.says(&format!("SELECT 'run' || 'ning'; {endless};\n"), "running");
        // Pressed between the two statements, the key stops nothing.
        for _ in 0..5 {
            prompt.keys.write_all(b"\x03").expect("typed");
            if prompt.shows_within("interrupted", LONG / 5) {
                break;
            }
        }
        prompt.wait_for("error: line 1, statement 2: interrupted");
        // Several lines, also typed at once.
        prompt.says("SELECT 'sev' ||\n  'eral' AS x;\nSELECT 'li' || 'nes';\n", "lines");
        assert!(prompt.shown().contains("several"), "{}", prompt.shown());
        prompt.says("SELECT id,\n  nope FROM entity;\n", "error: no such column: nope (line 2, column 3)");
        prompt.says("BEGIN; UPDATE entity SET note = 'open' WHERE id = 1;\n", "1 row changed");
        assert_eq!(prompt.ends("\x04"), Some(0));
        wait_until("the last words", || prompt.shown().contains("the open transaction was rolled back"));
        assert_eq!(server.query::<Option<String>>("SELECT note FROM entity WHERE id = 1"), None);
        let mut prompt = Terminal::start_as(&server.file(), "", term, Arc::new(TempDir::new()));
        assert_eq!(prompt.ends(".quit\n"), Some(0));
    }
}

/// SQLite would run what stands before the NUL. The editor of other terminals takes the key for a command.
/// Such as a line that is pasted from a file in Latin-1.
#[test]
fn a_line_that_is_not_utf_8_is_not_run_and_ends_nothing() {
    for term in ["xterm", "dumb"] {
        let server = Server::start();
        let mut prompt = Terminal::start_as(&server.file(), "--yes", term, Arc::new(TempDir::new()));
        prompt.says("BEGIN; UPDATE entity SET note = 'kept' WHERE id = 1;\n", "1 row changed");
        prompt.shown.lock().expect("lock").clear();
        // What follows the byte is no statement by itself. The editor reads key by key, the plain prompt line by line.
        let rest = b"ller'; UPDATE entity SET note = 'lost' WHERE id = 1;\n";
        prompt.keys.write_all(b"SELECT 'M\xfc").expect("typed");
        if term == "xterm" {
            prompt.keys.flush().expect("typed");
            prompt.wait_for("the rest of the line is ignored, end it with Enter: ");
        }
        prompt.keys.write_all(rest).expect("typed");
        prompt.keys.flush().expect("typed");
        prompt.wait_for("error: this is not UTF-8. Nothing was run.");
        prompt.says("COMMIT; SELECT 'do' || 'ne';\n", "done");
        assert_eq!(prompt.ends("\x04"), Some(0));
        assert_eq!(server.query::<String>("SELECT note FROM entity WHERE id = 1"), "kept", "{term}");
    }
}

/// The terminal would send other bytes for it than a client.
#[test]
fn a_typed_password_that_is_not_utf_8_is_refused() {
    for (typed, code) in [("schlüssel-schlüssel".as_bytes(), 0), (b"schl\xfcssel-schl\xfcssel", 1)] {
        let command = format!("exec '{}' hash-password", env!("CARGO_BIN_EXE_seatkeeper"));
        let mut process = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &command, "/dev/null"])
            .envs(NO_SETTINGS)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script(1)");
        let (mut keys, mut screen) = (process.stdin.take().expect("keys"), process.stdout.take().expect("screen"));
        let mut shown = Vec::new();
        for question in ["Password: ", "Again: "] {
            while !String::from_utf8_lossy(&shown).contains(question) {
                let mut byte = [0];
                screen.read_exact(&mut byte).expect("the question");
                shown.extend(byte);
            }
            keys.write_all(&[typed, b"\n"].concat()).expect("typed");
        }
        screen.read_to_end(&mut shown).expect("the end");
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert_eq!(process.wait().expect("it ends").code(), Some(code), "{shown}");
        assert_eq!(shown.contains("the password has a character that is not UTF-8"), code == 1, "{shown}");
    }
}

#[test]
fn a_statement_with_a_nul_is_not_run() {
    let server = Server::start();
    let mut prompt = Terminal::start_as(&server.file(), "--yes", "dumb", Arc::new(TempDir::new()));
    prompt.says(
        "UPDATE entity SET note = 'x' \0 WHERE id = 1;\n",
        "error: there is a NUL in this text. Nothing was run.",
    );
    assert_eq!(prompt.ends("\x04"), Some(0));
    assert_eq!(server.query::<i64>("SELECT count(note) FROM entity"), 0);
}

#[test]
fn the_history_has_statements_and_no_secrets() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "--yes");
    for (line, text) in [
        ("SELECT 'one',\n 'line', 'or two';\n", "(1 row)"),
        (
            "UPDATE credential SET password_hash = hash_password('kumquat tangelo') WHERE user_name = 'agent';\n",
            "1 row changed",
        ),
        (
            "UPDATE credential SET password_hash = hash_pasword('kumquat tangelo') WHERE user_name = 'agent';\n",
            "error: no such function",
        ),
        (
            "INSERT INTO credential VALUES ('kumquat', '$argon2id$v=19$m=19456,t=2,p=1$tangelo', 1, 'agent', 1, NULL);\n",
            "1 row added",
        ),
        ("UPDATE license_pool SET product_key = 'kumquat' WHERE id = 1;\n", "1 row changed"),
        ("SELECT 'the last';\n", "(1 row)"),
    ] {
        prompt.says(line, text);
    }
    assert_eq!(prompt.ends("\x04"), Some(0));
    let (history, state) = (prompt.history(), Arc::clone(&prompt.state));
    let text = std::fs::read_to_string(&history).expect("the history");
    assert_eq!(text, "#V2\nSELECT 'one',\\n 'line', 'or two';\nSELECT 'the last';\n");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&history), mode(history.parent().expect("a directory"))), (0o600, 0o700));
    // It is there in the next session.
    let mut again = Terminal::start_as(&server.file(), "", "xterm", state);
    again.type_in("\x1b[A");
    again.wait_for("SELECT 'the last';");
    again.says("\n", "(1 row)");
    drop(again);
    // A history of any length is cut, and a place that cannot be written is no error.
    std::fs::write(&history, format!("#V2\n{}", "SELECT 'old';\nSELECT 'older';\n".repeat(2000))).expect("write");
    let mut again = Terminal::start_as(&server.file(), "", "xterm", Arc::clone(&prompt.state));
    again.says("SELECT 'new' || 'est';\n", "newest");
    assert_eq!(again.ends("\x04"), Some(0));
    let lines = std::fs::read_to_string(&history).expect("the history").lines().count();
    assert!((100..=1001).contains(&lines), "{lines}");
    std::fs::remove_dir_all(prompt.state.join("state")).expect("removed");
    std::fs::write(prompt.state.join("state"), "a file").expect("write");
    let mut again = Terminal::start_as(&server.file(), "", "xterm", Arc::clone(&prompt.state));
    again.says("SELECT 'no' || 'where';\n", "nowhere");
}

#[test]
fn commands_work_at_the_prompt() {
    let server = Server::start();
    let mut prompt = Terminal::start(&server.file(), "");
    let directory = TempDir::new();
    let file = directory.join("broken.sql");
    std::fs::write(&file, "UPDATE entity SET note = 'x' WHERE id = 1;\nnonsense;\n").expect("write");
    prompt.says(".mode csv\nSELECT 'a,b' AS x;\n", "\"a,b\"");
    prompt.says(".tables\n", "license_offer_module");
    prompt.says(".dump\n", "error: .dump: `seatkeeper backup FILE`");
    prompt.says(
        &format!(".read {}\n", file.display()),
        "line 2, statement 2: near \"nonsense\": syntax error. Nothing of the script was kept.",
    );
    // In an open transaction, only what the file did is undone.
    prompt.says("BEGIN; UPDATE entity SET note = 'mine' WHERE id = 9;\n", "1 row changed");
    prompt.says(&format!(".read {}\n", file.display()), "syntax error");
    prompt.says("COMMIT; SELECT 'do' || 'ne';\n", "done");
    assert_eq!(server.query::<String>("SELECT group_concat(note) FROM entity"), "mine");
    prompt.says("SELECT char(27) || '[31m', x'1b';\n", "\\u{1b}[31m");
    assert_eq!(prompt.ends(".exit\n"), Some(0));
}
