//! Writes the rows of a query: for people, for shells, as CSV and as JSON.

use std::io::Write;

use clap::ValueEnum;
use rusqlite::types::ValueRef;

use crate::chain::to_hex;
use crate::cli::table::{Aligned, printable};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns with a header; null is NULL. Control characters are shown as \u{1b}.
    Table,
    /// Values separated by '|', without a header; null is empty. A value with a '|' or a line break is in double quotes.
    List,
    /// RFC 4180, with a header; null is empty, an empty text is "".
    Csv,
    /// A JSON object per line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Headers {
    On,
    Off,
}

/// How rows are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub format: Format,
    /// `None`: as the format has it.
    pub headers: Option<Headers>,
    /// Control characters in data never reach a terminal.
    pub is_terminal: bool,
}

/// Writes the rows of one query.
pub(super) struct Rows<W: Write> {
    style: Style,
    columns: Vec<String>,
    out: W,
    table: Aligned,
}

impl<W: Write> Rows<W> {
    pub(super) fn begin(style: Style, columns: Vec<String>, mut out: W) -> std::io::Result<Rows<W>> {
        let has_header = style.headers.map_or(style.format != Format::List, |headers| headers == Headers::On);
        let header = || columns.iter().map(|name| printable(name)).collect();
        let table = Aligned::new((has_header && style.format == Format::Table).then(header));
        if has_header {
            let names: Vec<ValueRef<'_>> = columns.iter().map(|name| ValueRef::Text(name.as_bytes())).collect();
            match style.format {
                Format::List => list_line(&mut out, style, &names)?,
                Format::Csv => csv_line(&mut out, style, &names)?,
                Format::Table | Format::Json => {}
            }
        }
        Ok(Rows { style, columns: unique(columns), out, table })
    }

    pub(super) fn row(&mut self, values: &[ValueRef<'_>]) -> std::io::Result<()> {
        match self.style.format {
            Format::Table => {
                let cells = values.iter().map(|value| match value {
                    ValueRef::Null => "NULL".to_owned(),
                    value => printable(&plain(*value)),
                });
                self.table.row(&mut self.out, cells.collect())
            }
            Format::List => list_line(&mut self.out, self.style, values),
            Format::Csv => csv_line(&mut self.out, self.style, values),
            Format::Json => {
                let members: Vec<String> = self
                    .columns
                    .iter()
                    .zip(values)
                    .map(|(name, value)| format!("{}:{}", json_text(name), json(*value)))
                    .collect();
                writeln!(self.out, "{{{}}}", members.join(","))
            }
        }
    }

    /// Ends the output, and returns what it went to.
    pub(super) fn end(mut self) -> std::io::Result<W> {
        if self.style.format == Format::Table {
            self.table.end(&mut self.out)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A JSON object has each name once: of two columns `id` the second becomes `id_2`.
fn unique(columns: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for name in columns {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
        names.extend(free);
    }
    names
}

fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) if n.is_infinite() => if n > 0.0 { "1e999" } else { "-1e999" }.to_owned(),
        ValueRef::Real(n) => format!("{n:?}"),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => format!("x'{}'", to_hex(bytes)),
    }
}

fn shown(style: Style, text: String) -> String {
    if style.is_terminal { printable(&text) } else { text }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn list_line(out: &mut impl Write, style: Style, values: &[ValueRef<'_>]) -> std::io::Result<()> {
    let cell = |value: &ValueRef<'_>| {
        let text = shown(style, plain(*value));
        if text.contains(['|', '\n', '\r']) || text.starts_with('"') { quoted(&text) } else { text }
    };
    let cells: Vec<String> = values.iter().map(cell).collect();
    writeln!(out, "{}", cells.join("|"))
}

fn csv_line(out: &mut impl Write, style: Style, values: &[ValueRef<'_>]) -> std::io::Result<()> {
    let cell = |value: &ValueRef<'_>| {
        let text = shown(style, plain(*value));
        let is_empty_text = text.is_empty() && *value != ValueRef::Null;
        let needs_quotes = text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
        if is_empty_text || needs_quotes { quoted(&text) } else { text }
    };
    let cells: Vec<String> = values.iter().map(cell).collect();
    let line = cells.join(",");
    if style.is_terminal { writeln!(out, "{line}") } else { write!(out, "{line}\r\n") }
}

fn json(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(_) | ValueRef::Real(_) => plain(value),
        ValueRef::Text(_) | ValueRef::Blob(_) => json_text(&plain(value)),
    }
}

/// A JSON string that a terminal shows unchanged.
fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in serde_json::Value::from(text).to_string().chars() {
        let mut alone = [0; 4];
        let is_shown = printable(c.encode_utf8(&mut alone)).chars().eq([c]);
        if is_shown { out.push(c) } else { out += &format!("\\u{:04x}", u32::from(c)) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, is_terminal: bool, headers: Option<Headers>) -> String {
        let style = Style { format, headers, is_terminal };
        let columns = ["id", "name", "id"].map(str::to_owned).to_vec();
        let mut rows = Rows::begin(style, columns, Vec::new()).expect("begun");
        for values in [
            [ValueRef::Integer(9_007_199_254_740_993), ValueRef::Null, ValueRef::Real(1.0)],
            [ValueRef::Integer(-1), ValueRef::Text(b""), ValueRef::Real(f64::INFINITY)],
            [
                ValueRef::Integer(0),
                ValueRef::Text("a|b \"c\", d\ne\u{1b}[31m\u{9b}ä".as_bytes()),
                ValueRef::Blob(&[0, 255]),
            ],
        ] {
            rows.row(&values).expect("written");
        }
        String::from_utf8(rows.end().expect("ended")).expect("UTF-8")
    }

    #[test]
    fn each_format_keeps_numbers_nulls_and_quotes_apart() {
        assert_eq!(
            written(Format::Table, true, None),
            "id                name                               id\n\
             9007199254740993  NULL                               1.0\n\
             -1                                                   1e999\n\
             0                 a|b \"c\", d\\u{a}e\\u{1b}[31m\\u{9b}ä  x'00ff'\n"
        );
        assert_eq!(
            written(Format::List, false, None),
            "9007199254740993||1.0\n-1||1e999\n0|\"a|b \"\"c\"\", d\ne\u{1b}[31m\u{9b}ä\"|x'00ff'\n"
        );
        assert_eq!(
            written(Format::Csv, false, None),
            "id,name,id\r\n9007199254740993,,1.0\r\n-1,\"\",1e999\r\n0,\"a|b \"\"c\"\", d\ne\u{1b}[31m\u{9b}ä\",x'00ff'\r\n"
        );
        assert_eq!(
            written(Format::Json, false, None),
            "{\"id\":9007199254740993,\"name\":null,\"id_2\":1.0}\n{\"id\":-1,\"name\":\"\",\"id_2\":1e999}\n\
             {\"id\":0,\"name\":\"a|b \\\"c\\\", d\\ne\\u001b[31m\\u009bä\",\"id_2\":\"x'00ff'\"}\n"
        );
    }

    #[test]
    fn nothing_raw_reaches_a_terminal() {
        for format in [Format::Table, Format::List, Format::Csv, Format::Json] {
            let text = written(format, true, Some(Headers::On));
            assert!(
                !text.contains(['\u{1b}', '\u{9b}', '\r']) && text.lines().all(|line| !line.is_empty()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn headers_are_switched_on_and_off() {
        assert!(written(Format::List, false, Some(Headers::On)).starts_with("id|name|id\n"));
        for format in [Format::Table, Format::Csv] {
            assert!(!written(format, false, Some(Headers::Off)).contains("name"), "{format:?}");
        }
    }
}
