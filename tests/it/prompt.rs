//! The prompt of `seatkeeper sql`, at a terminal that script(1) makes.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::*;

struct Terminal {
    process: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(database: &Path, arguments: &str) -> Terminal {
        let program = env!("CARGO_BIN_EXE_seatkeeper");
        let command = format!("'{program}' sql --database '{}' {arguments}", database.display());
        let mut process = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &command, "/dev/null"])
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
        let terminal = Terminal { process, keys, shown };
        terminal.wait_for("sql> ");
        terminal
    }

    fn type_in(&mut self, line: &str) {
        self.shown.lock().expect("lock").clear();
        self.keys.write_all(line.as_bytes()).expect("typed");
        self.keys.flush().expect("typed");
    }

    fn wait_for(&self, text: &str) {
        wait_until(text, || self.shown.lock().expect("lock").contains(text));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A transaction that somebody left open keeps the service from writing for the limit, and no longer. What is typed after that was
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
    let mut prompt = Terminal::start(&server.file(), "--idle-s 3");
    std::thread::sleep(Duration::from_secs(4));
    prompt.type_in("BEGIN;\n");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1500));
        prompt.type_in("UPDATE entity SET note = 'typed' WHERE id = 42;\n");
    }
    prompt.type_in("COMMIT; SELECT 'do' || 'ne';\n");
    prompt.wait_for("done");
    assert_eq!(server.query::<String>("SELECT note FROM entity WHERE id = 42"), "typed");
}
