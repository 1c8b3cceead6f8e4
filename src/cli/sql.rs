//! `seatkeeper sql`: the shell to seed, correct and read the database with.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::PathBuf;

use clap::Args;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement};

use super::{DatabaseArgs, Failure};
use crate::auth;
use crate::store::sqlite;

#[derive(Args)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// File with SQL; without it standard input is read.
    file: Option<PathBuf>,
    /// Go on after a statement that failed. Without it everything is undone at the first error.
    #[arg(long)]
    keep_going: bool,
}

pub(super) fn sql(args: &SqlArgs) -> Result<(), Failure> {
    let connection = sqlite::admin_connection(&args.database.database, true, auth::hash_password)?;
    let shell = Shell { connection, aligned: std::io::stdout().is_terminal() };
    let script = match &args.file {
        Some(file) => std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?,
        None if std::io::stdin().is_terminal() => return shell.converse(),
        None => {
            let mut script = String::new();
            std::io::stdin().read_to_string(&mut script)?;
            script
        }
    };
    if args.keep_going { shell.run_each(&script) } else { shell.run_whole(&script) }
}

struct Shell {
    connection: Connection,
    /// Columns padded and with a header, for people; else values separated by '|', for scripts.
    aligned: bool,
}

impl Shell {
    /// All of the script or nothing, unless it has transactions of its own.
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

    /// Statement by statement; each that fails is told, and the exit code says so in the end.
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

    /// Runs one statement and prints its rows. The inner error is the database's, in words for the reader.
    fn run(&self, statement: &str) -> Result<Result<(), String>, Failure> {
        match self.connection.prepare(statement).map_err(PrintError::Sql).and_then(|mut s| self.print(&mut s)) {
            Ok(()) => Ok(Ok(())),
            Err(PrintError::Sql(error)) => Ok(Err(explain(&error))),
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

    /// Reads statements from a terminal until end of input.
    fn converse(&self) -> Result<(), Failure> {
        let path = self.connection.path().unwrap_or_default();
        eprintln!("SQL on {path}. End a statement with ';', end the session with Ctrl-D.");
        let mut pending = String::new();
        loop {
            eprint!("{}", if pending.is_empty() { "sql> " } else { "...> " });
            if std::io::stdin().lock().read_line(&mut pending)? == 0 {
                eprintln!();
                return Ok(());
            }
            if statements(&pending).all(|s| s.ends_with(';')) {
                for statement in statements(&pending) {
                    if let Err(error) = self.run(statement)? {
                        eprintln!("error: {error}");
                    }
                }
                pending.clear();
            }
        }
    }
}

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
        ValueRef::Blob(bytes) => format!("x'{}'", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
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

/// The statements of a script, each with its semicolon, split where SQLite's own shell splits: not inside quotes or
/// comments, and a CREATE TRIGGER ends with its END. A statement that fails can so be passed over whole.
fn statements(script: &str) -> impl Iterator<Item = &str> {
    let mut rest = script;
    std::iter::from_fn(move || {
        loop {
            let (statement, after) = rest.split_at(statement_end(rest));
            rest = after;
            if statement.is_empty() {
                return None;
            }
            // Nothing but white space and comments is no statement.
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

fn starts_with(sql: &str, expected: &[&str]) -> bool {
    let mut words = words(sql);
    expected.iter().all(|e| words.next().is_some_and(|w| w.eq_ignore_ascii_case(e)))
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    tokens(sql).map(|(_, token)| token)
}

/// Words, quoted things and single characters, with where they begin; white space and comments are left out.
fn tokens(sql: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &sql[at..];
            let first = rest.chars().next()?;
            let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |i| from + i + end.len());
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let (length, is_token) = match first {
                c if c.is_whitespace() => (c.len_utf8(), false),
                '-' if rest.starts_with("--") => (until("\n", 2), false),
                '/' if rest.starts_with("/*") => (until("*/", 2), false),
                '\'' => (until("'", 1), true),
                '"' => (until("\"", 1), true),
                '`' => (until("`", 1), true),
                '[' => (until("]", 1), true),
                c if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
                c => (c.len_utf8(), true),
            };
            let begin = at;
            at += length;
            if is_token {
                return Some((begin, &sql[begin..at]));
            }
        }
    })
}

/// The message of a guard, without what SQLite puts around it.
fn explain(error: &rusqlite::Error) -> String {
    let message = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    // The schema's way to say a number; see license_pool_update.
    match message.strip_prefix("bad JSON path: '").and_then(|m| m.strip_suffix('\'')) {
        Some(said) => said.to_owned(),
        None => message,
    }
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
