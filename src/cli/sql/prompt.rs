//! The prompt: statements from a terminal, one after the other.
//!
//! An open transaction blocks writes of the service. So it is undone after some time without input. Later statements are refused
//! until the user has acknowledged that, because they were meant for that transaction.

use std::io::BufRead as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{Failure, Shell, starts_with, statements};

pub(super) struct Prompt {
    shell: Shell,
    /// How long a transaction may be open without input.
    idle_max: Duration,
    /// The typed lines; closed at the end of input.
    lines: Receiver<std::io::Result<String>>,
    /// A transaction was undone, and the user has not acknowledged it yet.
    is_undone: bool,
}

enum Input {
    Line(String),
    End,
    /// There was no input for too long.
    Idle,
}

impl Prompt {
    pub(super) fn new(shell: Shell, idle_max: Duration) -> Prompt {
        let (typed, lines) = mpsc::channel();
        // The thread ends with the input, or with the program.
        std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line);
                let is_end = matches!(read, Ok(0));
                if is_end || typed.send(read.map(|_| line)).is_err() {
                    return;
                }
            }
        });
        Prompt { shell, idle_max, lines, is_undone: false }
    }

    /// Runs statements until the end of input.
    pub(super) fn converse(mut self) -> Result<(), Failure> {
        let path = self.shell.connection.path().unwrap_or_default();
        eprintln!("SQL on {path}. End a statement with ';', end the session with Ctrl-D.");
        let mut pending = String::new();
        loop {
            eprint!("{}", if pending.is_empty() { "sql> " } else { "...> " });
            match self.next()? {
                Input::End => {
                    eprintln!();
                    return Ok(());
                }
                Input::Idle => {
                    self.shell.connection.execute_batch("ROLLBACK")?;
                    eprintln!(
                        "\nthe transaction was rolled back: there was no input for {} s, and the service cannot write meanwhile",
                        self.idle_max.as_secs()
                    );
                    self.is_undone = true;
                    pending.clear();
                }
                Input::Line(line) => pending += &line,
            }
            if statements(&pending).all(|statement| statement.ends_with(';')) {
                for statement in statements(&pending) {
                    self.run(statement)?;
                }
                pending.clear();
            }
        }
    }

    fn next(&self) -> Result<Input, Failure> {
        let line = if self.is_open() {
            self.lines.recv_timeout(self.idle_max)
        } else {
            self.lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match line {
            Ok(line) => Ok(Input::Line(line?)),
            Err(RecvTimeoutError::Disconnected) => Ok(Input::End),
            Err(RecvTimeoutError::Timeout) => Ok(Input::Idle),
        }
    }

    /// Whether a transaction is open.
    fn is_open(&self) -> bool {
        !self.shell.connection.is_autocommit()
    }

    fn run(&mut self, statement: &str) -> Result<(), Failure> {
        if self.is_undone {
            let ends = ["ROLLBACK", "COMMIT", "END"].iter().any(|word| starts_with(statement, &[word]));
            let begins = ["BEGIN", "SAVEPOINT"].iter().any(|word| starts_with(statement, &[word]));
            self.is_undone = !(ends || begins);
            if !begins {
                let outcome = if ends { "go on" } else { "ROLLBACK; or BEGIN; first" };
                eprintln!("error: this was not run: the transaction had been rolled back; {outcome}");
                return Ok(());
            }
        }
        let was_open = self.is_open();
        if let Err(error) = self.shell.run(statement)? {
            eprintln!("error: {error}");
        }
        if self.is_open() && !was_open {
            eprintln!(
                "a transaction is open: once it has changed something, the service cannot write until COMMIT or ROLLBACK; {} s \
                 without input roll it back",
                self.idle_max.as_secs()
            );
        }
        Ok(())
    }
}
