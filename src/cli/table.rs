//! Writes rows for people, as CSV, or as JSON, one by one, so that memory does not grow with their number.

use std::io::{BufWriter, Stdout, Write};

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::store::admin::bulk::cells;
use crate::store::admin::file::{Cell, FileRow};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns for people. Control characters are shown as \u{1b}.
    Table,
    /// RFC 4180, with a header. A text that a spreadsheet would run as a formula begins with an apostrophe.
    Csv,
    /// A JSON object per line.
    Json,
}

/// The rows that determine the widths of the columns in a table. Wider cells of later rows push their row to the right.
const ROWS_MEASURED: usize = 200;

/// Writes rows of these columns. A value is a number, a text, null, or an object, which CSV has as JSON text.
pub(super) struct Rows<W: Write> {
    format: Format,
    columns: Vec<&'static str>,
    out: W,
    table: Aligned,
    is_begun: bool,
}

/// Writes rows in columns, the widths of which the first rows decide.
pub(super) struct Aligned {
    /// The header and the first rows, which wait until the widths are known.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Aligned {
    pub(super) fn new(header: Option<Vec<String>>) -> Aligned {
        Aligned { waiting: header.into_iter().collect(), widths: None }
    }

    /// The cells must be printable.
    pub(super) fn row(&mut self, out: &mut impl Write, cells: Vec<String>) -> std::io::Result<()> {
        if let Some(widths) = &self.widths {
            return write_aligned(out, widths, &cells);
        }
        self.waiting.push(cells);
        if self.waiting.len() > ROWS_MEASURED { self.write_waiting(out) } else { Ok(()) }
    }

    /// Writes what still waits.
    pub(super) fn end(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if self.widths.is_none() { self.write_waiting(out) } else { Ok(()) }
    }

    fn write_waiting(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let columns = waiting.first().map_or(0, Vec::len);
        let width = |column: usize| waiting.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        waiting.iter().try_for_each(|row| write_aligned(out, &widths, row))?;
        self.widths = Some(widths);
        Ok(())
    }
}

fn write_aligned(out: &mut impl Write, widths: &[usize], cells: &[String]) -> std::io::Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line += &format!("{cell:width$}  ");
    }
    writeln!(out, "{}", line.trim_end())
}

impl Rows<BufWriter<Stdout>> {
    pub(super) fn to_stdout(format: Format, columns: impl Into<Vec<&'static str>>) -> Self {
        Rows::new(format, columns, BufWriter::new(std::io::stdout()))
    }
}

impl<W: Write> Rows<W> {
    pub(super) fn new(format: Format, columns: impl Into<Vec<&'static str>>, out: W) -> Rows<W> {
        let columns = columns.into();
        let header = columns.iter().map(|name| (*name).to_owned()).collect();
        Rows { format, columns, out, table: Aligned::new(Some(header)), is_begun: false }
    }

    /// A row with a value for each column. In a table, cells are made by `cells`, which may have other columns.
    pub(super) fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
        match self.format {
            Format::Table => {
                let cells = values.iter().map(|value| printable(&plain(value))).collect();
                self.table.row(&mut self.out, cells)
            }
            Format::Csv => {
                if !std::mem::replace(&mut self.is_begun, true) {
                    write!(self.out, "{}\r\n", self.columns.join(","))?;
                }
                let cells: Vec<String> = values.iter().map(csv_cell).collect();
                write!(self.out, "{}\r\n", cells.join(","))
            }
            Format::Json => {
                let names = self.columns.iter().map(|name| (*name).to_owned());
                let object: Map<String, Value> = names.zip(values).collect();
                writeln!(self.out, "{}", Value::Object(object))
            }
        }
    }

    /// A row of a list.
    pub(super) fn file_row(&mut self, row: &impl FileRow) -> std::io::Result<()> {
        self.row(row.cells().into_iter().map(value).collect())
    }

    /// Ends the output after the last row. Without rows it is only a header, or nothing for JSON.
    pub(super) fn end(mut self) -> std::io::Result<()> {
        match self.format {
            Format::Table => self.table.end(&mut self.out)?,
            Format::Csv if !self.is_begun => write!(self.out, "{}\r\n", self.columns.join(","))?,
            _ => {}
        }
        self.out.flush()
    }
}

/// A flag is 0 or 1, as in the tables.
fn value(cell: Cell) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Number(number) => number.into(),
        Cell::Flag(flag) => i64::from(flag).into(),
        Cell::Text(text) => text.into(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Only text can be a formula. A negative number is none.
fn csv_cell(value: &Value) -> String {
    match value {
        Value::String(text) => cells::cell(text),
        other => cells::quoted(&plain(other)),
    }
}

/// A text that a terminal shows unchanged, on one line: control characters and those that change the direction of writing are
/// escaped.
pub(super) fn printable(text: &str) -> String {
    let is_dangerous = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_dangerous(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(format: Format, rows: &[Vec<Value>]) -> String {
        let mut out = Vec::new();
        let mut table = Rows::new(format, ["id", "name", "note"], &mut out);
        rows.iter().for_each(|row| table.row(row.clone()).expect("written"));
        table.end().expect("written");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_row_is_written_in_each_format() {
        let rows = [
            vec![json!(1), json!("plain"), Value::Null],
            vec![json!(22), json!("a \"b\", c\r\n\u{1b}[31mred\u{9b}\u{202e}ä"), json!({"x": 1})],
        ];
        assert_eq!(
            written(Format::Table, &rows),
            "id  name                                            note\n\
             1   plain\n\
             22  a \"b\", c\\u{d}\\u{a}\\u{1b}[31mred\\u{9b}\\u{202e}ä  {\"x\":1}\n"
        );
        assert_eq!(
            written(Format::Csv, &rows),
            "id,name,note\r\n1,plain,\r\n22,\"a \"\"b\"\", c\r\n\u{1b}[31mred\u{9b}\u{202e}ä\",\"{\"\"x\"\":1}\"\r\n"
        );
        let lines = written(Format::Json, &rows);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0], json!({"id": 1, "name": "plain", "note": null}));
        assert_eq!(lines[1]["name"], rows[1][1]);
    }

    #[test]
    fn without_rows_there_is_a_header() {
        assert_eq!(written(Format::Table, &[]), "id  name  note\n");
        assert_eq!(written(Format::Csv, &[]), "id,name,note\r\n");
        assert_eq!(written(Format::Json, &[]), "");
    }

    #[test]
    fn a_table_keeps_its_widths_and_forgets_its_rows() {
        let mut out = Vec::new();
        let mut table = Rows::new(Format::Table, ["id"], &mut out);
        for id in 0..1000 {
            table.row(vec![json!(id)]).expect("written");
            assert!(table.table.waiting.len() <= ROWS_MEASURED);
        }
        table.end().expect("written");
        assert_eq!(String::from_utf8(out).expect("UTF-8").lines().count(), 1001);
    }
}
