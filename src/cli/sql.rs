//! `seatkeeper sql`: the shell to seed, correct and read the database.

mod prompt;

use std::io::{IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rusqlite::Statement;
use rusqlite::types::ValueRef;

use super::author::AuthorArgs;
use super::{Failure, FileArgs};
use crate::auth;
use crate::chain::to_hex;
use crate::store::sqlite::tokens::{starts_with, tokens, words};
use crate::store::sqlite::{self, AdminConnection, Author};

#[derive(Args)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    database: FileArgs,
    /// Create the database if it does not exist.
    #[arg(long)]
    create: bool,
    /// File with SQL; default: standard input.
    file: Option<PathBuf>,
    /// Continue after a failed statement. Without it the first error undoes everything.
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    author: AuthorArgs,
    /// At the prompt: seconds without input after which an open transaction is undone; meanwhile the service cannot write.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle_s: u64,
}

pub(super) fn sql(args: &SqlArgs) -> Result<(), Failure> {
    let database = args.database.file("use psql; `seatkeeper hash-password` makes the hashes of passwords")?;
    let script = match &args.file {
        Some(file) => {
            let name = file.display().to_string();
            Some(decoded(
                std::fs::read(file).map_err(|e| std::io::Error::new(e.kind(), format!("{name}: {e}")))?,
                &name,
            )?)
        }
        None if std::io::stdin().is_terminal() => None,
        None => {
            let mut script = Vec::new();
            std::io::stdin().read_to_end(&mut script)?;
            Some(decoded(script, "standard input")?)
        }
    };
    if let Some(script) = script.as_deref().filter(|script| args.create && is_absent(database) && is_dump(script)) {
        return Ok(sqlite::restore_dump(database, script)?);
    }
    let connection = sqlite::admin_connection(database, args.create, auth::hash_new_password)?;
    let author = args.author.read()?;
    let shell = Shell { connection, author, aligned: std::io::stdout().is_terminal() };
    match script {
        None => prompt::Prompt::new(shell, Duration::from_secs(args.idle_s)).converse(),
        Some(script) if args.keep_going => shell.run_each(&script),
        Some(script) => shell.run_whole(&script),
    }
}

/// Whether the database does not exist yet: no file, or an empty one.
fn is_absent(database: &Path) -> bool {
    std::fs::metadata(database).map_or(true, |file| file.len() == 0)
}

/// Whether a script creates our tables itself, like the output of `.dump`.
fn is_dump(script: &str) -> bool {
    statements(script).take(100).any(|statement| starts_with(statement, &["CREATE", "TABLE", "entity"]))
}

/// SQL is UTF-8. The error names the line, because the dump of an old file may have text in another encoding.
fn decoded(script: Vec<u8>, source: &str) -> Result<String, Failure> {
    String::from_utf8(script).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("{source}, line {line}: this is not UTF-8; write the text in UTF-8. Nothing was run.").into()
    })
}

struct Shell {
    connection: AdminConnection,
    /// The name under which changes are made.
    author: Option<Author>,
    /// Columns padded and with a header, for people; else values separated by '|', for scripts.
    aligned: bool,
}

impl Shell {
    /// Runs the whole script or nothing, unless it has transactions of its own.
    fn run_whole(&self, script: &str) -> Result<(), Failure> {
        let own_transactions = statements(script).any(|s| OUTSIDE.iter().any(|word| starts_with(s, &[word])));
        if !own_transactions {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        for (number, statement) in (1..).zip(statements(script)) {
            if let Err(error) = self.run(statement)? {
                let undone = !self.connection.is_autocommit();
                if undone {
                    self.connection.execute_batch("ROLLBACK")?;
                }
                let kept = if undone || !own_transactions { " Nothing of the script was kept." } else { "" };
                return Err(format!("statement {number}: {error}.{kept}").into());
            }
        }
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Runs statement by statement: prints each error and goes on; the exit code at the end says that some failed.
    fn run_each(&self, script: &str) -> Result<(), Failure> {
        let mut failures = 0;
        for (number, statement) in (1..).zip(statements(script)) {
            if let Err(error) = self.run(statement)? {
                eprintln!("error: statement {number}: {error}");
                failures += 1;
            }
        }
        if failures == 0 { Ok(()) } else { Err(format!("{failures} statements failed").into()) }
    }

    /// Runs one statement and prints its rows. The inner error is that of the database, as text for the user.
    fn run(&self, statement: &str) -> Result<Result<(), String>, Failure> {
        let run = || self.connection.prepare(statement).map_err(PrintError::Sql).and_then(|mut s| self.print(&mut s));
        let done = match &self.author {
            Some(author) if CHANGES.iter().any(|word| starts_with(statement, &[word])) => {
                self.connection.in_the_name_of(author, run)
            }
            _ => run(),
        };
        match done {
            Ok(()) => Ok(Ok(())),
            Err(PrintError::Sql(error)) => Ok(Err(sqlite::explain(&error))),
            Err(PrintError::Output(error)) => Err(error.into()),
        }
    }

    fn print(&self, statement: &mut Statement<'_>) -> Result<(), PrintError> {
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.raw_query();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut table = vec![names];
        while let Some(row) = rows.next()? {
            let cells = (0..table[0].len()).map(|i| row.get_ref(i).map(text)).collect::<Result<Vec<_>, _>>()?;
            if self.aligned {
                table.push(cells);
            } else {
                writeln!(out, "{}", cells.join("|"))?;
            }
        }
        if table.len() > 1 {
            write_aligned(&mut out, &table)?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Statements that change rows.
const CHANGES: [&str; 5] = ["INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"];

/// Statements that begin a transaction of their own or cannot run inside one.
const OUTSIDE: [&str; 6] = ["BEGIN", "SAVEPOINT", "PRAGMA", "VACUUM", "ATTACH", "DETACH"];

enum PrintError {
    Sql(rusqlite::Error),
    Output(std::io::Error),
}

impl From<rusqlite::Error> for PrintError {
    fn from(error: rusqlite::Error) -> Self {
        PrintError::Sql(error)
    }
}

impl From<std::io::Error> for PrintError {
    fn from(error: std::io::Error) -> Self {
        PrintError::Output(error)
    }
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => format!("x'{}'", to_hex(bytes)),
    }
}

fn write_aligned(out: &mut impl Write, table: &[Vec<String>]) -> std::io::Result<()> {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    for row in table {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// The statements of a script, each with its semicolon, split as SQLite's own shell does: not inside quotes or comments, and a
/// CREATE TRIGGER ends with its END. So a failed statement can be skipped as a whole.
fn statements(script: &str) -> impl Iterator<Item = &str> {
    let mut rest = script;
    std::iter::from_fn(move || {
        loop {
            let (statement, after) = rest.split_at(statement_end(rest));
            rest = after;
            if statement.is_empty() {
                return None;
            }
            // White space and comments alone are no statement.
            if words(statement).any(|word| word != ";") {
                return Some(statement.trim());
            }
        }
    })
}

fn statement_end(sql: &str) -> usize {
    let trigger = starts_with(sql, &["CREATE", "TRIGGER"])
        || ["TEMP", "TEMPORARY"].iter().any(|temp| starts_with(sql, &["CREATE", temp, "TRIGGER"]));
    let mut last_word = "";
    for (at, token) in tokens(sql) {
        if token != ";" {
            last_word = token;
        } else if !trigger || last_word.eq_ignore_ascii_case("END") {
            return at + 1;
        }
    }
    sql.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_split_where_sqlite_splits_them() {
        let script = "-- a comment; not a statement
            INSERT INTO a VALUES ('it''s; one', \"b;c\", [d;e]); /* ; */ ;
            CREATE TEMP TRIGGER t AFTER UPDATE ON a BEGIN DELETE FROM b; SELECT 1; END;
            SELECT 1";
        let found: Vec<&str> = statements(script).collect();
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].ends_with("[d;e]);"));
        assert!(found[1].ends_with("SELECT 1; END;"));
        assert_eq!(found[2], "SELECT 1");
        assert_eq!(statements(" -- nothing\n").count(), 0);
        assert_eq!(statements("SELECT 'unclosed; ").count(), 1);
    }
}
