//! Runs a script: all of it or nothing; or statement by statement.

use super::command::{self, Effect};
use super::script::{Kind, Piece, kind, may_have_secret, pieces};
use super::shell::{Caution, Changed, Shell, counted, failure};
use crate::cli::{CannotRun, Failure};
use crate::store::sqlite::tokens::{starts_with, words};

/// A script, and the name of its file if it is not the only one.
#[derive(Clone, Copy)]
pub(super) struct Script<'s> {
    pub text: &'s str,
    pub source: Option<&'s str>,
    /// The number of scripts that read this one.
    pub depth: usize,
}

/// How far a script has come.
struct Progress {
    /// The last statement that ended a transaction, with its line.
    committed: Option<(usize, String)>,
    /// The line of the BEGIN of a transaction of the script's own that is open.
    own: Option<usize>,
}

/// The changes of a script, told when they are kept.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<(bool, String)>,
    statements: u64,
    rows: u64,
}

impl Report {
    /// The most lines about single statements.
    const LINES_MAX: usize = 20;

    fn add(&mut self, script: Script<'_>, line: usize, changed: Changed) {
        self.statements += 1;
        self.rows += changed.rows;
        if self.lines.len() <= 1000 {
            let source = script.source.map_or_else(String::new, |source| format!("{source}, "));
            self.lines.push((changed.rows == 0, format!("{source}line {line}: {}", changed.told())));
        }
    }

    fn tell(&self) {
        let has_all = self.lines.len() <= Self::LINES_MAX;
        let shown = self.lines.iter().filter(|(is_nothing, _)| has_all || *is_nothing).take(Self::LINES_MAX);
        shown.for_each(|(_, line)| eprintln!("{line}"));
        if !has_all {
            eprintln!("{} rows changed by {} statements", self.rows, self.statements);
        }
    }
}

/// A reader that needs no more rows ends a script that only reads without a word. A script that changes something has failed.
fn lost_output(error: Failure, changes: bool) -> Failure {
    match error.is::<std::io::Error>() && changes {
        true => CannotRun(format!("its rows could not be written: {error}")).into(),
        false => error,
    }
}

impl Shell {
    fn caution(&self) -> Caution {
        if self.yes { Caution::None } else { Caution::Script }
    }

    /// Runs the whole script or nothing, up to the statements with which it ends a transaction itself.
    pub(super) fn run_whole(&self, script: Script<'_>) -> Result<(), Failure> {
        let mut report = Report::default();
        self.run_in(script, &mut report)?;
        if !self.quiet {
            report.tell();
        }
        Ok(())
    }

    /// Inside an open transaction the script is a part of it.
    fn run_in(&self, script: Script<'_>, report: &mut Report) -> Result<(), Failure> {
        if self.connection.is_autocommit() {
            self.run_transactions(script, report)
        } else {
            let ran = || self.run_transactions(script, report).map_err(Stopped::Failed);
            self.in_savepoint("script", ran).map_err(|stopped| match stopped {
                Stopped::Failed(failure) => failure,
                Stopped::Sql(error) => self.text_of(&error, true).into(),
            })
        }
    }

    fn run_transactions(&self, script: Script<'_>, report: &mut Report) -> Result<(), Failure> {
        let is_part = !self.connection.is_autocommit();
        let is_secret = may_have_secret(script.text);
        let begin = if pieces(script.text).all(|piece| reads_only(&piece)) { "BEGIN" } else { "BEGIN IMMEDIATE" };
        let mut progress = Progress { committed: None, own: None };
        for piece in pieces(script.text) {
            let kind = if piece.is_command { Kind::Other } else { kind(piece.text) };
            // What surrounds the script could not be undone any more, nor say what was kept.
            if is_part && ends_transaction(&piece) {
                let source = script.source.map_or_else(String::new, |source| format!("{source}, "));
                return Err(format!("{source}line {}: a script inside a transaction cannot end it", piece.line).into());
            }
            match (self.connection.is_autocommit(), kind) {
                // The script's own transaction, or a statement that must be alone, ends ours.
                (false, Kind::Begin | Kind::Alone) if !is_part && progress.own.is_none() => {
                    self.commit(is_secret, &progress)?;
                    progress.committed = Some((piece.line, first_word(piece.text)));
                }
                (true, Kind::Read | Kind::Other) => {
                    let begun = self.connection.execute_batch(begin);
                    begun.map_err(|error| self.locked(&error, is_secret, &progress))?;
                }
                _ => {}
            }
            let ran = match piece.is_command {
                true => self.run_command(&piece, script, report),
                false => self.run_statement(&piece, script, is_secret, report),
            };
            match ran {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if is_part => return Err(error),
                Err(error) => return Err(self.undone(lost_output(error, begin != "BEGIN"), &progress)),
            }
            match kind {
                Kind::Begin => progress.own = Some(piece.line),
                Kind::Commit => progress.committed = Some((piece.line, first_word(piece.text))),
                _ => {}
            }
            if self.connection.is_autocommit() {
                progress.own = None;
            }
        }
        if is_part || self.connection.is_autocommit() {
            return Ok(());
        }
        match progress.own {
            None => self.commit(is_secret, &progress),
            Some(line) => {
                self.connection.execute_batch("ROLLBACK")?;
                Err(format!("{}{}", no_commit(line), kept(&progress).unwrap_or_default()).into())
            }
        }
    }

    /// `Ok(true)`: go on.
    fn run_statement(
        &self,
        piece: &Piece<'_>,
        script: Script<'_>,
        is_secret: bool,
        report: &mut Report,
    ) -> Result<bool, Failure> {
        match self.run(piece.text, self.caution(), is_secret) {
            Ok(done) => {
                if let Some(changed) = done.changed {
                    report.add(script, piece.line, changed);
                }
                Ok(true)
            }
            Err(trouble) => {
                let told = self.told(piece, script.source, &trouble, is_secret);
                Err(failure(trouble, || told.unwrap_or_default()))
            }
        }
    }

    /// `Ok(false)`: the command ends the script.
    fn run_command(&self, piece: &Piece<'_>, script: Script<'_>, report: &mut Report) -> Result<bool, Failure> {
        let place = |why: String| {
            let source = script.source.map_or_else(String::new, |source| format!("{source}, "));
            format!("{source}line {}: {why}", piece.line)
        };
        match command::run(self, piece.text) {
            Ok(Effect::Done) => Ok(true),
            Ok(Effect::Changed(changed)) => {
                report.add(script, piece.line, changed);
                Ok(true)
            }
            Ok(Effect::Quit) => Ok(false),
            Ok(Effect::Read(file)) => {
                /// A file that reads itself would never end.
                const DEPTH_MAX: usize = 8;
                if script.depth >= DEPTH_MAX {
                    return Err(place(format!(".read: more than {DEPTH_MAX} files read each other")).into());
                }
                let name = file.display().to_string();
                let text = super::script_of(&file)?;
                self.run_in(Script { text: &text, source: Some(&name), depth: script.depth + 1 }, report)?;
                Ok(true)
            }
            Err(command::Error::Output(error)) => Err(error.into()),
            Err(command::Error::Refused(why)) => Err(place(why).into()),
        }
    }

    /// Undoes what is open, and adds to the error what is kept.
    fn undone(&self, error: Failure, progress: &Progress) -> Failure {
        if !self.connection.is_autocommit()
            && let Err(failed) = self.connection.execute_batch("ROLLBACK")
        {
            return self.text_of(&failed, true).into();
        }
        let kept = kept(progress).unwrap_or_else(|| " Nothing of the script was kept.".to_owned());
        with_note(error, &format!(".{kept}"))
    }

    fn commit(&self, is_secret: bool, progress: &Progress) -> Result<(), Failure> {
        let committed = self.connection.execute_batch("COMMIT");
        committed.map_err(|error| {
            let at_end = format!("at the end: {}", self.text_of(&error, is_secret));
            self.undone(at_end.into(), progress)
        })
    }

    fn locked(&self, error: &rusqlite::Error, is_secret: bool, progress: &Progress) -> Failure {
        let trouble = self.refused(error, is_secret);
        let text = self.text_of(error, is_secret);
        self.undone(failure(trouble, || text), progress)
    }

    fn text_of(&self, error: &rusqlite::Error, is_secret: bool) -> String {
        match self.refused(error, is_secret) {
            super::shell::Trouble::Refused { why, .. } => why,
            _ => error.to_string(),
        }
    }

    /// Runs statement by statement: prints each error and goes on; the exit code at the end says that some failed.
    pub(super) fn run_each(&self, script: Script<'_>) -> Result<(), Failure> {
        let is_secret = may_have_secret(script.text);
        let changes = !pieces(script.text).all(|piece| reads_only(&piece));
        let (mut failures, mut report) = (0, Report::default());
        let mut own = None;
        for piece in pieces(script.text) {
            let ran = match piece.is_command {
                true => self.run_command(&piece, script, &mut report),
                false => self.run_statement(&piece, script, is_secret, &mut report),
            };
            match ran {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.is::<std::io::Error>() => return Err(lost_output(error, changes)),
                Err(error) => {
                    eprintln!("error: {error}");
                    failures += 1;
                }
            }
            own = if self.connection.is_autocommit() { None } else { own.or(Some(piece.line)) };
        }
        if !self.quiet {
            report.tell();
        }
        if let Some(line) = own {
            self.connection.execute_batch("ROLLBACK")?;
            eprintln!("error: {}", no_commit(line));
            failures += 1;
        }
        if failures == 0 { Ok(()) } else { Err(format!("{} failed", counted(failures, "statement")).into()) }
    }
}

/// Whether a statement needs no lock for writing.
fn reads_only(piece: &Piece<'_>) -> bool {
    match piece.is_command {
        true => ![".read", ".import"].iter().any(|name| piece.text.starts_with(name)),
        false => matches!(kind(piece.text), Kind::Read | Kind::Setting),
    }
}

/// COMMIT, END, or ROLLBACK of the whole transaction.
fn ends_transaction(piece: &Piece<'_>) -> bool {
    let is_whole = || !words(piece.text).any(|word| word.eq_ignore_ascii_case("TO"));
    !piece.is_command && (kind(piece.text) == Kind::Commit || (starts_with(piece.text, &["ROLLBACK"]) && is_whole()))
}

fn no_commit(line: usize) -> String {
    format!("line {line}: the transaction that begins here has no COMMIT: it was rolled back.")
}

enum Stopped {
    Failed(Failure),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Stopped::Sql(error)
    }
}

fn kept(progress: &Progress) -> Option<String> {
    let (line, word) = progress.committed.as_ref()?;
    Some(format!(
        " What comes before {word} in line {line} was kept, because {word} ends a transaction; nothing after it was kept."
    ))
}

fn first_word(sql: &str) -> String {
    words(sql).next().unwrap_or_default().to_ascii_uppercase()
}

/// Keeps the kind of the failure, which decides the exit code.
fn with_note(error: Failure, note: &str) -> Failure {
    if error.is::<std::io::Error>() {
        return error;
    }
    let text = format!("{error}{note}");
    if error.is::<crate::cli::CannotRun>() { crate::cli::CannotRun(text).into() } else { text.into() }
}
