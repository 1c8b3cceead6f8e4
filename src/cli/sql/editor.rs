//! Reads lines from the terminal, on a thread of its own: with editing and a history, or plainly if the terminal cannot edit.

use std::fs::DirBuilder;
use std::io::{BufRead as _, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{DefaultHistory, History as _};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, ExternalPrinter, Helper};

use super::script::{is_complete, may_have_secret};
use crate::cli::Failure;

/// What the user did.
pub(super) enum Typed {
    /// Complete statements, or an answer.
    Text(String),
    /// Ctrl-C: the line was cleared.
    Cleared,
    /// Ctrl-D, or the end of the input.
    End,
}

/// A text to ask for.
struct Question {
    prompt: String,
    /// Read on until every statement has its end, and keep the text in the history.
    is_statement: bool,
}

/// The terminal.
pub(super) struct Keyboard {
    questions: Sender<Question>,
    answers: Receiver<std::io::Result<Typed>>,
    /// A question was asked, and its answer is not read yet.
    is_asked: bool,
    /// The time of the last key.
    touched: Arc<Mutex<Instant>>,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Keyboard {
    pub(super) fn open() -> Keyboard {
        let touched = Arc::new(Mutex::new(Instant::now()));
        let (mut reader, mut printer) = (Reader::Plain, None);
        if can_edit()
            && let Some(lines) = Lines::open(Arc::clone(&touched))
        {
            let mut lines = lines;
            printer = lines.editor.create_external_printer().ok().map(|printer| Box::new(printer) as _);
            reader = Reader::Lines(Box::new(lines));
        }
        let (questions, asked) = mpsc::channel::<Question>();
        let (typed, answers) = mpsc::channel();
        // The thread ends with the input, or with the program.
        std::thread::spawn(move || {
            for question in asked {
                let read = reader.read(&question);
                let is_end = !matches!(read, Ok(Typed::Text(_) | Typed::Cleared));
                if typed.send(read).is_err() || is_end {
                    return;
                }
            }
        });
        Keyboard { questions, answers, is_asked: false, touched, printer }
    }

    /// Waits for complete statements. `None`: no key was pressed for `idle_max`; the question stays on the screen.
    pub(super) fn statements(&mut self, prompt: &str, idle_max: Option<Duration>) -> Result<Option<Typed>, Failure> {
        self.ask(prompt, true, idle_max)
    }

    /// Waits for an answer to a question, as [`Keyboard::statements`].
    pub(super) fn answer(&mut self, prompt: &str, idle_max: Option<Duration>) -> Result<Option<Typed>, Failure> {
        self.ask(prompt, false, idle_max)
    }

    fn ask(&mut self, prompt: &str, is_statement: bool, idle_max: Option<Duration>) -> Result<Option<Typed>, Failure> {
        if !self.is_asked {
            self.touch();
            self.is_asked = true;
            let question = Question { prompt: prompt.to_owned(), is_statement };
            if self.questions.send(question).is_err() {
                return Ok(Some(Typed::End));
            }
        }
        loop {
            let idle_until = idle_max.map(|idle_max| self.touched() + idle_max);
            let answer = match idle_until {
                Some(until) => self.answers.recv_timeout(until.saturating_duration_since(Instant::now())),
                None => self.answers.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            match answer {
                Ok(typed) => {
                    self.is_asked = false;
                    return Ok(Some(typed?));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(Some(Typed::End)),
                Err(mpsc::RecvTimeoutError::Timeout) if idle_max.is_some_and(|max| self.touched().elapsed() >= max) => {
                    return Ok(None);
                }
                // A key was pressed meanwhile.
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Shows a message while a line is being typed.
    pub(super) fn show(&mut self, message: &str) {
        let shown = self.printer.as_mut().map(|printer| printer.print(format!("{message}\n")));
        if !matches!(shown, Some(Ok(()))) {
            eprintln!("\n{message}");
        }
    }

    fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn touched(&self) -> Instant {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Terminals that cannot move the cursor.
fn can_edit() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    !["dumb", "cons25", "emacs"].iter().any(|plain| term.eq_ignore_ascii_case(plain))
}

enum Reader {
    Lines(Box<Lines>),
    Plain,
}

impl Reader {
    fn read(&mut self, question: &Question) -> std::io::Result<Typed> {
        match self {
            Reader::Lines(lines) => lines.read(question),
            Reader::Plain => plain(question),
        }
    }
}

const NOT_UTF_8: &str = "error: this is not UTF-8. Nothing was run.";

fn plain(question: &Question) -> std::io::Result<Typed> {
    let mut text = String::new();
    loop {
        let prompt = if text.is_empty() { question.prompt.as_str() } else { "...> " };
        std::io::stderr().write_all(prompt.as_bytes())?;
        std::io::stderr().flush()?;
        match std::io::stdin().lock().read_line(&mut text) {
            Ok(0) => {
                eprintln!();
                return Ok(Typed::End);
            }
            Ok(_) => {}
            // The whole line was read.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                eprintln!("{NOT_UTF_8}");
                return Ok(Typed::Cleared);
            }
            Err(error) => return Err(error),
        }
        if !question.is_statement || is_complete(&text) {
            return Ok(Typed::Text(text));
        }
    }
}

/// The editor with its history.
struct Lines {
    editor: Editor<Hand, DefaultHistory>,
    history: Option<PathBuf>,
}

/// The most statements in the history.
const HISTORY_MAX: usize = 1000;

impl Lines {
    fn open(touched: Arc<Mutex<Instant>>) -> Option<Lines> {
        let config = rustyline::Config::builder().max_history_size(HISTORY_MAX).ok()?.auto_add_history(false).build();
        let mut editor = Editor::with_config(config).ok()?;
        editor.set_helper(Some(Hand { touched, is_statement: true }));
        let history = history_file();
        if let Some(file) = &history {
            // There is none at first.
            let _ = editor.load_history(file);
        }
        Some(Lines { editor, history })
    }

    fn read(&mut self, question: &Question) -> std::io::Result<Typed> {
        if let Some(hand) = self.editor.helper_mut() {
            hand.is_statement = question.is_statement;
        }
        match self.editor.readline(&question.prompt) {
            Ok(text) => {
                if question.is_statement {
                    self.remember(&text);
                }
                Ok(Typed::Text(text))
            }
            // The key, or a signal from another process.
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Ok(Typed::Cleared),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                eprintln!("\r\n{NOT_UTF_8}");
                self.skip_line()
            }
            Err(ReadlineError::Io(error)) => Err(error),
            Err(other) => Err(std::io::Error::other(other)),
        }
    }

    /// Reads the rest of a line, which is no statement by itself.
    fn skip_line(&mut self) -> std::io::Result<Typed> {
        if let Some(hand) = self.editor.helper_mut() {
            hand.is_statement = false;
        }
        loop {
            match self.editor.readline("the rest of the line is ignored, end it with Enter: ") {
                Ok(_) | Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => return Ok(Typed::Cleared),
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {}
                Err(ReadlineError::Eof) => return Ok(Typed::End),
                Err(ReadlineError::Io(error)) => return Err(error),
                Err(other) => return Err(std::io::Error::other(other)),
            }
        }
    }

    /// Also in the file at once, because a session may end in any way.
    fn remember(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() || may_have_secret(text) || !self.editor.history_mut().add(text).unwrap_or(false) {
            return;
        }
        if let Some(file) = self.history.take() {
            // A history that cannot be written is kept for this session only.
            self.history = self.editor.append_history(&file).is_ok().then_some(file);
        }
    }
}

/// The file with the history, in a directory that only its owner can read. `None`: there is no place for it.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let directory = state.join("seatkeeper");
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).ok()?;
    Some(directory.join("sql_history"))
}

/// Decides when a statement is complete, and notes that keys are pressed.
struct Hand {
    touched: Arc<Mutex<Instant>>,
    is_statement: bool,
}

impl Helper for Hand {}
impl Highlighter for Hand {}
impl Completer for Hand {
    type Candidate = String;
}

impl Hinter for Hand {
    type Hint = String;

    /// The editor asks for a hint after every change of the line.
    fn hint(&self, _line: &str, _position: usize, _context: &Context<'_>) -> Option<String> {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        None
    }
}

impl Validator for Hand {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match !self.is_statement || is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}
