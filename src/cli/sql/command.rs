//! The commands that begin with a dot, as in SQLite's own shell: those that make sense here, and for the others what to use instead.

use std::path::PathBuf;

use super::output::{Format, Headers, Style};
use super::script::Verb;
use super::shell::{Changed, Shell, Trouble};
use crate::cli::table::printable;
use crate::store::admin::bulk::open_quote;

/// What is left to do after a command.
pub(super) enum Effect {
    Done,
    Changed(Changed),
    Quit,
    /// The file with SQL is to be run.
    Read(PathBuf),
}

pub(super) enum Error {
    /// As text for the user.
    Refused(String),
    Output(std::io::Error),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Output(error)
    }
}

impl From<String> for Error {
    fn from(why: String) -> Self {
        Error::Refused(why)
    }
}

const HELP: &str = "\
.help                  these lines
.quit, .exit           end the session; Ctrl-D does the same
.tables                the tables and views
.schema [NAME]         the SQL that made them
.mode FORMAT           table, list, csv or json
.headers on|off        the names of columns above the rows
.read FILE             run the SQL in a file, all of it or nothing
.import FILE TABLE     add the rows of a CSV file, all of them or none; its first line names the columns
Every statement ends with ';'. hash_password('…') makes the hash of a password. Ctrl-C clears the line, or stops a statement.";

/// Commands of SQLite's shell that do not exist here, and what to use instead.
const INSTEAD: [(&[&str], &str); 17] = [
    (&["backup", "save", "clone"], "`seatkeeper backup FILE` copies the database while the service runs"),
    (&["restore"], "`seatkeeper restore FILE` replaces the database while the service is stopped"),
    (&["dump"], "`seatkeeper backup FILE` copies everything; `sqlite3 FILE .dump` writes SQL"),
    (&["open"], "start again with --database FILE"),
    (&["output", "once", "excel", "www"], "start with `seatkeeper sql --format csv -c 'SELECT …' > FILE`"),
    (&["separator", "nullvalue", "width"], "`.mode csv` and `.mode json` write every value unambiguously"),
    (&["databases"], "use `PRAGMA database_list;`"),
    (&["indexes", "indices"], "use `SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index';`"),
    (&["bail"], "a script stops at the first error, unless it runs with --keep-going"),
    (&["changes"], "the number of rows is always shown; --quiet leaves it out"),
    (&["timeout"], "a statement waits 5 seconds for the lock"),
    (&["parameter", "param"], "write the values into the statement"),
    (&["shell", "system", "cd"], "use another terminal"),
    (&["echo", "print", "prompt", "log", "trace", "timer", "stats", "progress"], "it does not exist here"),
    (&["explain", "eqp", "expert", "scanstats"], "use `EXPLAIN QUERY PLAN SELECT …;`"),
    (&["check", "integrity", "lint", "recover", "dbinfo", "sha3sum", "selftest"], "use `seatkeeper check`"),
    (
        &["load", "archive", "connection", "session", "vfslist", "filectrl", "limit", "auth", "nonce", "testcase"],
        "it does not exist here",
    ),
];

/// Runs a line that begins with a dot.
pub(super) fn run(shell: &Shell, line: &str) -> Result<Effect, Error> {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = words.first().copied().unwrap_or_default().trim_start_matches('.').to_ascii_lowercase();
    match (name.as_str(), &words[1..]) {
        ("quit" | "exit" | "q", _) => Ok(Effect::Quit),
        ("help", _) => {
            eprintln!("{HELP}");
            Ok(Effect::Done)
        }
        ("tables", []) => lines(
            shell,
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
            None,
        ),
        ("schema", [] | [_]) => lines(
            shell,
            "SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL AND coalesce(?1, name) COLLATE NOCASE IN (name, tbl_name) ORDER BY rowid",
            words.get(1).copied(),
        ),
        ("mode", [mode]) => {
            let format = match mode.to_ascii_lowercase().as_str() {
                "table" | "column" | "box" => Format::Table,
                "list" => Format::List,
                "csv" => Format::Csv,
                "json" => Format::Json,
                _ => return Err(".mode: the formats are table, list, csv and json".to_owned().into()),
            };
            shell.style.set(Style { format, headers: None, ..shell.style.get() });
            Ok(Effect::Done)
        }
        ("headers" | "header", [switch]) => {
            let headers = match switch.to_ascii_lowercase().as_str() {
                "on" | "yes" | "1" => Headers::On,
                "off" | "no" | "0" => Headers::Off,
                _ => return Err(".headers: on or off".to_owned().into()),
            };
            shell.style.set(Style { headers: Some(headers), ..shell.style.get() });
            Ok(Effect::Done)
        }
        ("read", [file]) => Ok(Effect::Read(PathBuf::from(file))),
        ("import", [file, table]) => import(shell, file, table).map(Effect::Changed),
        ("tables" | "schema" | "mode" | "headers" | "header" | "read" | "import", _) => {
            let usage =
                HELP.lines().find(|usage| usage[1..].starts_with(name.trim_end_matches('s'))).unwrap_or_default();
            Err(format!(".{name} takes other arguments: {}", usage.split("  ").next().unwrap_or_default()).into())
        }
        _ => {
            let instead = INSTEAD.iter().find(|(names, _)| names.contains(&name.as_str()));
            let instead = instead.map_or("there is no such command; .help lists them", |(_, instead)| instead);
            Err(format!(".{}: {instead}", printable(&name)).into())
        }
    }
}

/// The words of a line; quotes keep blanks in a word.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_begun) = (Vec::new(), String::new(), None, false);
    for c in line.trim().trim_end_matches(';').chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => (quote, is_begun) = (Some(c), true),
            None if c.is_whitespace() => {
                if is_begun {
                    words.push(std::mem::take(&mut word));
                }
                is_begun = false;
            }
            None => {
                word.push(c);
                is_begun = true;
            }
        }
    }
    if is_begun {
        words.push(word);
    }
    words
}

/// Prints the one column of a query, as lines.
fn lines(shell: &Shell, query: &str, parameter: Option<&str>) -> Result<Effect, Error> {
    let refused = |error: rusqlite::Error| Error::from(text(shell, &error));
    let mut statement = shell.connection.prepare(query).map_err(refused)?;
    if statement.parameter_count() == 1 {
        statement.raw_bind_parameter(1, parameter).map_err(refused)?;
    }
    let mut rows = statement.raw_query();
    let mut out = std::io::stdout().lock();
    while let Some(row) = rows.next().map_err(refused)? {
        let text: String = row.get(0).map_err(refused)?;
        for line in text.lines() {
            std::io::Write::write_fmt(&mut out, format_args!("{}\n", printable(line)))?;
        }
    }
    Ok(Effect::Done)
}

fn text(shell: &Shell, error: &rusqlite::Error) -> String {
    match shell.refused(error, true) {
        Trouble::Refused { why, .. } => why,
        _ => String::new(),
    }
}

/// Adds the rows of a CSV file to a table. An empty cell is null; `x'00ff'` is a blob in a column for blobs.
fn import(shell: &Shell, file: &str, table: &str) -> Result<Changed, Error> {
    let name = printable(file);
    let bytes = std::fs::read(file).map_err(|error| format!(".import: {name}: {error}"))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let of_line = |line: u64, why: String| format!(".import: {name}, line {line}: {why}. No row was added");
    let of_csv = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        let why = match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} cells for {expected_len} columns")
            }
            _ => "this is not CSV".to_owned(),
        };
        Error::from(of_line(line, why))
    };
    if let Some(line) = std::str::from_utf8(bytes).ok().and_then(|text| open_quote(text, b',')) {
        return Err(of_line(line, "a quote that begins here is not closed".to_owned()).into());
    }
    let columns: Vec<String> = reader.headers().map_err(of_csv)?.iter().map(identifier).collect();
    if columns.is_empty() {
        return Err(of_line(1, "the first line must name the columns".to_owned()).into());
    }
    if let Some(twice) =
        (1..columns.len()).find(|at| columns[..*at].iter().any(|c| c.eq_ignore_ascii_case(&columns[*at])))
    {
        return Err(of_line(1, format!("the column {} is there twice", printable(&columns[twice]))).into());
    }
    let places = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT INTO {} ({}) VALUES ({places})", identifier(table), columns.join(", "));
    let is_blob: Vec<bool> = blobs(shell, table, reader.headers().map_err(of_csv)?);
    let refused = |line: u64, error: rusqlite::Error| Refusal(of_line(line, text(shell, &error)).into());
    let add = || -> Result<u64, Refusal> {
        let mut statement = shell.connection.prepare(&insert).map_err(|error| refused(1, error))?;
        let mut rows = 0;
        for record in reader.records() {
            let record = record.map_err(|error| Refusal(of_csv(error)))?;
            let line = record.position().map_or(0, csv::Position::line);
            for (number, (cell, is_blob)) in (1..).zip(record.iter().zip(&is_blob)) {
                let bound = match (cell.is_empty(), is_blob.then(|| blob(cell)).flatten()) {
                    (true, _) => statement.raw_bind_parameter(number, rusqlite::types::Null),
                    (_, Some(bytes)) => statement.raw_bind_parameter(number, bytes),
                    _ => statement.raw_bind_parameter(number, cell),
                };
                bound.map_err(|error| refused(line, error))?;
            }
            statement.raw_execute().map_err(|error| refused(line, error))?;
            rows += 1;
        }
        Ok(rows)
    };
    let rows = match &shell.author {
        Some(author) => shell.connection.in_the_name_of(author, add),
        None => shell.in_savepoint("import", add),
    };
    let rows = rows.map_err(|Refusal(error)| error)?;
    Ok(Changed { verb: Verb::Insert, rows })
}

struct Refusal(Error);

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Refusal(crate::store::sqlite::explain_discreetly(&error).into())
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.trim().replace('"', "\"\""))
}

/// Which of the columns are for blobs.
fn blobs(shell: &Shell, table: &str, columns: &csv::StringRecord) -> Vec<bool> {
    let is_blob = |column: &str| {
        let kind = "SELECT type = 'BLOB' FROM pragma_table_info(?1) WHERE name = ?2 COLLATE NOCASE";
        shell.connection.query_row(kind, [table, column.trim()], |row| row.get(0)).unwrap_or(false)
    };
    columns.iter().map(is_blob).collect()
}

/// The bytes of `x'00ff'`.
fn blob(cell: &str) -> Option<Vec<u8>> {
    let digits = cell.strip_prefix(['x', 'X'])?.strip_prefix('\'')?.strip_suffix('\'')?;
    if digits.len() % 2 != 0 || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_blanks_in_quotes() {
        for (line, expected) in [
            (".read 'my file.sql'", vec![".read", "my file.sql"]),
            (".import \"a b.csv\"  entity ;", vec![".import", "a b.csv", "entity"]),
            (".mode csv;", vec![".mode", "csv"]),
            (".schema ''", vec![".schema", ""]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn a_blob_is_read_as_it_is_written() {
        assert_eq!(blob("x'00FF'"), Some(vec![0, 255]));
        for text in ["x'0'", "x'zz'", "00ff", "x''0'", "x'ää'"] {
            assert_eq!(blob(text), None, "{text}");
        }
    }
}
