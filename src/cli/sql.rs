//! `seatkeeper sql`: the shell to seed, correct and read the database.

mod command;
mod editor;
mod output;
mod prompt;
mod run;
mod script;
mod shell;

use std::cell::Cell;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::author::AuthorArgs;
use super::table::printable;
use super::{CannotRun, Failure, FileArgs, Unsuitable};
use crate::auth;
use crate::store::sqlite;
use crate::store::sqlite::tokens::starts_with;
use output::{Format, Headers, Style};
use run::Script;
use script::{looks_like_sql, may_have_secret, pieces};
use shell::Shell;

#[derive(Args)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    database: FileArgs,
    /// Create the database if it does not exist.
    #[arg(long)]
    create: bool,
    /// File with SQL, or SQL itself; '-' or nothing: standard input.
    #[arg(value_name = "FILE|SQL")]
    file: Option<String>,
    /// SQL to run. Not for passwords: other users see the arguments of a program.
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,
    /// Format of rows; default: table on a terminal, else list.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Whether the names of columns are above the rows; default: on, except for list.
    #[arg(long, value_enum)]
    headers: Option<Headers>,
    /// Make changes of many rows without a question; a script may UPDATE and DELETE rows of the service without WHERE.
    #[arg(long)]
    yes: bool,
    /// Do not say how many rows each statement has changed.
    #[arg(long)]
    quiet: bool,
    /// Continue after a failed statement. Without it the first error undoes everything.
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    author: AuthorArgs,
    /// At the prompt: seconds without input after which an open transaction is undone; meanwhile the service cannot write.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle_s: u64,
}

pub(super) const EXAMPLES: &str = "Examples:
  seatkeeper sql --create --database seats.db seed.sql
  seatkeeper sql --database seats.db \"SELECT * FROM license_pool\"
  seatkeeper sql --database seats.db --format csv -c \"SELECT username, note FROM account\" > accounts.csv
  seatkeeper sql --database seats.db";

pub(super) fn sql(args: &SqlArgs) -> Result<(), Failure> {
    let instead = "use psql; `seatkeeper hash-password` makes the hashes of passwords";
    let database = args.database.file(instead).map_err(with_psql)?;
    let script = args.script()?;
    if let Some(script) = script.as_deref().filter(|script| args.create && is_absent(database) && is_dump(script)) {
        return Ok(sqlite::restore_dump(database, pieces(script).map(|piece| (piece.line, piece.text)))?);
    }
    let connection = sqlite::admin_connection(database, args.create, auth::hash_new_password)?;
    let is_terminal = std::io::stdout().is_terminal();
    let format = args.format.unwrap_or(if is_terminal { Format::Table } else { Format::List });
    let shell = Shell {
        connection,
        author: args.author.read()?,
        style: Cell::new(Style { format, headers: args.headers, is_terminal }),
        yes: args.yes,
        quiet: args.quiet,
    };
    let Some(script) = script else {
        return prompt::Prompt::new(shell, Duration::from_secs(args.idle_s)).converse();
    };
    let script = Script { text: &script, source: None, depth: 0 };
    if args.keep_going { shell.run_each(script) } else { shell.run_whole(script) }
}

/// Adds the command to paste.
fn with_psql(error: Failure) -> Failure {
    let said = error.to_string();
    match said.split_once(": this command is for SQLite files only") {
        Some((address, _)) => Unsuitable(format!("{said} Here: psql '{address}'")).into(),
        None => error,
    }
}

impl SqlArgs {
    /// The script; `None`: the user types.
    fn script(&self) -> Result<Option<String>, Failure> {
        if let Some(sql) = &self.command {
            warn_of_secret(sql);
            return Ok(Some(sql.clone()));
        }
        match self.file.as_deref() {
            None | Some("-") if std::io::stdin().is_terminal() => Ok(None),
            None | Some("-") => {
                let mut script = Vec::new();
                std::io::stdin().read_to_end(&mut script)?;
                decoded(script, "standard input").map(Some)
            }
            Some(text) if !Path::new(text).exists() && looks_like_sql(text) => {
                warn_of_secret(text);
                Ok(Some(text.to_owned()))
            }
            Some(file) => script_of(Path::new(file)).map(Some),
        }
    }
}

fn warn_of_secret(sql: &str) {
    if sql.to_ascii_lowercase().contains("hash_password") {
        eprintln!(
            "warning: other users can see a password among the arguments of a program, and the shell keeps it in its history. \
             Use standard input, or the prompt."
        );
    }
}

/// The text of a file with SQL.
fn script_of(file: &Path) -> Result<String, Failure> {
    let name = printable(&file.display().to_string());
    // It may be a statement with a typing error and a password.
    let name = if may_have_secret(&name) && !file.exists() { "the argument".to_owned() } else { name };
    let script = std::fs::read(file).map_err(|error| {
        // A text that is neither has perhaps a typing error.
        let no_sql =
            if error.kind() == std::io::ErrorKind::NotFound { ". It does not begin like SQL either" } else { "" };
        CannotRun(format!("{name}: {error}{no_sql}"))
    })?;
    decoded(script, &name)
}

/// Whether the database does not exist yet: no file, or an empty one.
fn is_absent(database: &Path) -> bool {
    std::fs::metadata(database).map_or(true, |file| file.len() == 0)
}

/// Whether a script creates our tables itself, like the output of `.dump`.
fn is_dump(script: &str) -> bool {
    pieces(script).take(100).any(|piece| starts_with(piece.text, &["CREATE", "TABLE", "entity"]))
}

/// SQL is UTF-8. The error names the line, because the dump of an old file may have text in another encoding.
fn decoded(script: Vec<u8>, source: &str) -> Result<String, Failure> {
    if script.starts_with(b"SQLite format 3\0") {
        return Err(
            format!("{source}: this is a database, and no SQL: name it with --database. Nothing was run.").into()
        );
    }
    let is_utf16 = script.starts_with(&[0xff, 0xfe]) || script.starts_with(&[0xfe, 0xff]);
    let text = String::from_utf8(script).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        let found = if is_utf16 { "this is UTF-16" } else { "this is not UTF-8" };
        format!("{source}, line {line}: {found}; write the text in UTF-8. Nothing was run.")
    })?;
    // SQLite would run what is before it, without the WHERE that may be behind it.
    if let Some(at) = text.find('\0') {
        let line = 1 + text[..at].matches('\n').count();
        return Err(format!("{source}, line {line}: there is a NUL; write the text in UTF-8. Nothing was run.").into());
    }
    // Editors on Windows begin a file with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
