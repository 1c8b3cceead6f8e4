//! The prompt: statements from a terminal, one after the other.
//!
//! An open transaction blocks writes of the service. So it is undone after some time without input. Later statements are refused
//! until the user has acknowledged that, because they were meant for that transaction.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::command::{self, Effect};
use super::editor::{Keyboard, Typed};
use super::run::Script;
use super::script::{Change, Piece, may_have_secret, pieces};
use super::shell::{Caution, Done, Shell, Trouble, counted};
use crate::cli::Failure;
use crate::cli::table::printable;
use crate::store::sqlite::tokens::starts_with;

pub(super) struct Prompt {
    shell: Shell,
    /// How long a transaction may be open without input.
    idle_max: Duration,
    keyboard: Keyboard,
    /// A transaction was undone, and the user has not acknowledged it yet.
    is_undone: bool,
}

impl Prompt {
    pub(super) fn new(shell: Shell, idle_max: Duration) -> Prompt {
        Prompt { shell, idle_max, keyboard: Keyboard::open(), is_undone: false }
    }

    /// Runs statements until the end of input.
    pub(super) fn converse(mut self) -> Result<(), Failure> {
        let path = self.shell.connection.file().unwrap_or_default();
        eprintln!(
            "SQL on {}. End a statement with ';', end the session with Ctrl-D. .help lists the commands.",
            path.display()
        );
        self.stop_statements_at_ctrl_c()?;
        loop {
            let prompt = if self.is_open() { "sql*> " } else { "sql> " };
            let idle_max = self.is_open().then_some(self.idle_max);
            match self.keyboard.statements(prompt, idle_max)? {
                None => self.give_up()?,
                Some(Typed::Cleared) => {}
                Some(Typed::End) => return self.end(),
                // SQLite would run what is before it, without the WHERE that may be behind it.
                Some(Typed::Text(text)) if text.contains('\0') => {
                    eprintln!("error: there is a NUL in this text. Nothing was run.");
                }
                Some(Typed::Text(text)) => {
                    let is_secret = may_have_secret(&text);
                    for piece in pieces(&text) {
                        let goes_on = match piece.is_command {
                            true => self.command(&piece)?,
                            false => self.statement(&piece, is_secret).map(|()| true)?,
                        };
                        if !goes_on {
                            return self.end();
                        }
                    }
                }
            }
        }
    }

    /// While a statement runs, Ctrl-C is a signal; while a line is typed, it is a key.
    ///
    /// The handler is there before the first line is read: the editor has one of its own while it reads and puts back the one that
    /// it found.
    fn stop_statements_at_ctrl_c(&self) -> std::io::Result<()> {
        let running = self.shell.connection.get_interrupt_handle();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut pressed = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        std::thread::spawn(move || {
            runtime.block_on(async {
                while pressed.recv().await.is_some() {
                    running.interrupt();
                }
            });
        });
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        if self.is_open() {
            self.shell.connection.execute_batch("ROLLBACK")?;
            eprintln!("the open transaction was rolled back");
        }
        Ok(())
    }

    /// Undoes the transaction, because there was no input for too long.
    fn give_up(&mut self) -> Result<(), Failure> {
        self.shell.connection.execute_batch("ROLLBACK")?;
        self.keyboard.show(&format!(
            "the transaction was rolled back: there was no input for {} s, and the service cannot write meanwhile",
            self.idle_max.as_secs()
        ));
        self.is_undone = true;
        Ok(())
    }

    /// Whether a transaction is open.
    fn is_open(&self) -> bool {
        !self.shell.connection.is_autocommit()
    }

    /// Whether a statement is refused, because it was meant for the transaction that was undone.
    fn is_refused(&mut self, text: &str) -> bool {
        if !self.is_undone {
            return false;
        }
        let ends = ["ROLLBACK", "COMMIT", "END"].iter().any(|word| starts_with(text, &[word]));
        let begins = ["BEGIN", "SAVEPOINT"].iter().any(|word| starts_with(text, &[word]));
        self.is_undone = !(ends || begins);
        if !begins {
            let outcome = if ends { "go on" } else { "ROLLBACK; or BEGIN; first" };
            eprintln!("error: this was not run: the transaction had been rolled back; {outcome}");
        }
        !begins
    }

    /// `false`: the command ends the session.
    fn command(&mut self, piece: &Piece<'_>) -> Result<bool, Failure> {
        let changes = [".read", ".import"].iter().any(|name| piece.text.starts_with(name));
        if changes && self.is_refused(piece.text) {
            return Ok(true);
        }
        match command::run(&self.shell, piece.text) {
            Ok(Effect::Done) => {}
            Ok(Effect::Changed(changed)) => eprintln!("{}", changed.told()),
            Ok(Effect::Quit) => return Ok(false),
            Ok(Effect::Read(file)) => {
                let name = file.display().to_string();
                let ran = super::script_of(&file)
                    .and_then(|text| self.shell.run_whole(Script { text: &text, source: Some(&name), depth: 0 }));
                if let Err(error) = ran {
                    eprintln!("error: {}", printable(&error.to_string()));
                }
            }
            Err(command::Error::Refused(why)) => eprintln!("error: {why}"),
            Err(command::Error::Output(error)) => return Err(error.into()),
        }
        Ok(true)
    }

    fn statement(&mut self, piece: &Piece<'_>, is_secret: bool) -> Result<(), Failure> {
        if self.is_refused(piece.text) {
            return Ok(());
        }
        let was_open = self.is_open();
        match self.run(piece.text, is_secret) {
            Ok(Some(done)) => self.tell(done),
            Ok(None) => eprintln!("nothing was changed"),
            Err(Trouble::Output(error)) => return Err(error.into()),
            Err(trouble) => {
                // The place matters only in a text of several lines or rows.
                let told = self.shell.told(piece, None, &trouble, is_secret).unwrap_or_default();
                let told = told.strip_prefix("line 1, statement 1: ").unwrap_or(&told);
                eprintln!("error: {told}");
                if was_open && !self.is_open() {
                    eprintln!("the transaction was rolled back");
                }
            }
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

    fn tell(&self, done: Done) {
        if self.shell.quiet {
            return;
        }
        if let Some(changed) = done.changed {
            eprintln!("{}", changed.told());
        }
        if let Some(found) = done.found {
            eprintln!("({})", counted(found, "row"));
        }
    }

    /// Runs a statement, a wide change only after a question. While the question waits, the change is undone, so that the service
    /// can write. `None`: the answer was no.
    fn run(&mut self, sql: &str, is_secret: bool) -> Result<Option<Done>, Trouble> {
        let mut caution = if self.shell.yes { Caution::None } else { Caution::Person };
        loop {
            let changed = match self.shell.run(sql, caution, is_secret) {
                Ok(done) => return Ok(Some(done)),
                Err(Trouble::Wide(changed)) => changed,
                Err(other) => return Err(other),
            };
            let rows = counted(changed.rows, "row");
            let table = printable(&Change::of(sql).map(|change| change.table).unwrap_or_default());
            let question = match changed.verb {
                super::script::Verb::Delete => format!("delete {rows} of {table}? [y/N] "),
                _ => format!("change {rows} of {table}? [y/N] "),
            };
            if !self.confirms(&question).map_err(|error| Trouble::Output(std::io::Error::other(error)))? {
                return Ok(None);
            }
            // The answer was about this number.
            caution = Caution::Confirmed(changed.rows);
        }
    }

    fn confirms(&mut self, question: &str) -> Result<bool, Failure> {
        let was_open = self.is_open();
        loop {
            let idle_max = self.is_open().then_some(self.idle_max);
            match self.keyboard.answer(question, idle_max)? {
                // The question stays on the screen; its answer counts no more.
                None => self.give_up()?,
                Some(Typed::Text(answer)) => {
                    let is_yes = ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes));
                    return Ok(is_yes && was_open == self.is_open());
                }
                Some(Typed::Cleared | Typed::End) => return Ok(false),
            }
        }
    }
}
