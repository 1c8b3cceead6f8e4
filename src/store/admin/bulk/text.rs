//! The text of an import: which bytes are which cells.

use super::super::AdminRefusal;
use super::Kind;
use super::cells::undefused;

/// Lines of one import at most, without the first.
pub const LINES_MAX: usize = 10_000;

/// Bytes of one import at most.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A text as it was read.
#[derive(Debug, Clone)]
pub struct Table {
    /// As the database names them.
    columns: Vec<&'static str>,
    lines: Vec<Line>,
}

/// A line of the text.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Of the line in which it begins, counted from 1.
    pub(super) number: u64,
    /// Column and cell. The cells of a table are those of its columns.
    pub(super) cells: Vec<(&'static str, String)>,
}

impl Line {
    /// The cell of a column; `None`: the text has no such column.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, text)| text.as_str())
    }

    /// The same; `None` also if the cell is empty.
    pub(super) fn filled(&self, column: &str) -> Option<&str> {
        self.get(column).map(str::trim).filter(|text| !text.is_empty())
    }
}

impl Table {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// [`AdminRefusal::Lines`] for what cannot be read; [`AdminRefusal::TooMany`]; [`AdminRefusal::Nothing`] of a text without lines.
    pub fn read(kind: Kind, bytes: &[u8]) -> Result<Table, AdminRefusal> {
        if bytes.len() > BYTES_MAX {
            return Err(AdminRefusal::TooMany { what: "bytes", max: BYTES_MAX as u64 });
        }
        let text = decoded(bytes)?;
        let separator = separator(&text);
        if let Some(line) = open_quote(&text, separator) {
            return Err(one_line(line, "a quote that begins here is not closed".to_owned()));
        }
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut table = Table { columns: Vec::new(), lines: Vec::new() };
        let mut wrong = Vec::new();
        let mut place = Place { text: &text, byte: 0, line: 1 };
        for record in reader.records() {
            // The text is UTF-8, and a line may have any number of cells.
            let record = record.map_err(|error| one_line(1, error.to_string()))?;
            let number = place.line_at(record.position().map_or(0, csv::Position::byte));
            if record.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            if table.columns.is_empty() {
                table.columns = columns(kind, &record).map_err(|why| one_line(number, why))?;
                continue;
            }
            if table.lines.len() == LINES_MAX {
                return Err(AdminRefusal::TooMany { what: "lines", max: LINES_MAX as u64 });
            }
            match cells(&table.columns, &record) {
                Ok(cells) => table.lines.push(Line { number, cells }),
                Err(why) => wrong.push((number, why)),
            }
            if wrong.len() == super::ERRORS_MAX {
                break;
            }
        }
        match (wrong.is_empty(), table.lines.is_empty()) {
            (false, _) => Err(AdminRefusal::Lines(wrong)),
            (true, true) => Err(AdminRefusal::Nothing),
            (true, false) => Ok(table),
        }
    }

    /// Of the lines behind the first; not of empty ones.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Never: [`Table::read`] refuses a text without lines.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// The line of a quote that is not closed: all lines behind it would be one cell.
pub fn open_quote(text: &str, separator: u8) -> Option<u64> {
    let (mut line, mut opened, mut begins) = (1, None, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'"' {
            match opened {
                // A doubled quote is a quote in the cell.
                Some(_) => drop(bytes.next_if_eq(&b'"').is_none().then(|| opened = None)),
                None if begins => opened = Some(line),
                None => {}
            }
        }
        line += u64::from(byte == b'\n');
        begins = opened.is_none() && (byte == separator || byte == b'\n' || byte == b'\r');
    }
    opened
}

fn one_line(number: u64, why: String) -> AdminRefusal {
    AdminRefusal::Lines(vec![(number, why)])
}

/// The text of the bytes. A page gets text already, with U+FFFD for bytes that are none.
fn decoded(bytes: &[u8]) -> Result<String, AdminRefusal> {
    let (encoding, length) = encoding_rs::Encoding::for_bom(bytes).unwrap_or((encoding_rs::UTF_8, 0));
    let (text, _) = encoding.decode_without_bom_handling(&bytes[length..]);
    match text.find('\u{FFFD}') {
        None => Ok(text.into_owned()),
        Some(at) => {
            let number = 1 + text[..at].matches('\n').count() as u64;
            let why = "is not valid UTF-8. Save the table as 'CSV UTF-8' and import that: guessing would spoil umlauts";
            Err(one_line(number, why.to_owned()))
        }
    }
}

/// Of comma, semicolon and tab the one that the first line has most of, outside of quotes.
fn separator(text: &str) -> u8 {
    let mut counts = [(b'\t', 0), (b';', 0), (b',', 0)];
    let mut is_quoted = false;
    for byte in text.trim_start().bytes() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            byte if !is_quoted => {
                counts.iter_mut().filter(|(separator, _)| *separator == byte).for_each(|(_, count)| *count += 1);
            }
            _ => {}
        }
    }
    counts.iter().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| *separator)
}

/// How far the lines were counted.
struct Place<'t> {
    text: &'t str,
    byte: usize,
    line: u64,
}

impl Place<'_> {
    /// The line in which a byte stands that is not before the last one, counted from 1. Any line break ends a line.
    fn line_at(&mut self, byte: u64) -> u64 {
        let bytes = self.text.as_bytes();
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.byte, bytes.len());
        for at in self.byte..byte {
            let is_end = match bytes[at] {
                b'\n' => true,
                b'\r' => bytes.get(at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(is_end);
        }
        self.byte = byte;
        // A record may begin with the rest of the line break before it.
        self.line + u64::from(bytes.get(byte) == Some(&b'\n'))
    }
}

/// The columns in the first line.
fn columns(kind: Kind, record: &csv::StringRecord) -> Result<Vec<&'static str>, String> {
    let known = kind.columns();
    let mut columns = Vec::with_capacity(record.len());
    for cell in record {
        let name = cell.trim();
        let column = known.iter().find(|column| column.eq_ignore_ascii_case(name)).copied();
        let column = column.ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            format!("'{name}' is no column of {}; there are {}", kind.name(), known.join(", "))
        })?;
        if columns.contains(&column) {
            return Err(format!("column {column} is there twice"));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn cells(columns: &[&'static str], record: &csv::StringRecord) -> Result<Vec<(&'static str, String)>, String> {
    if record.len() != columns.len() {
        return Err(format!("has {} cells, and the first line {}", record.len(), columns.len()));
    }
    Ok(columns.iter().zip(record).map(|(column, cell)| (*column, undefused(cell).to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        let table = Table::read(Kind::Users, bytes).map_err(|refusal| match refusal {
            AdminRefusal::Lines(lines) => lines.iter().map(|(line, why)| format!("{line}: {why}")).collect(),
            other => other.to_string(),
        })?;
        Ok(table.lines().iter().map(|line| format!("{} {:?}", line.number, line.cells)).collect())
    }

    #[test]
    fn a_quote_that_is_not_closed_is_found() {
        for (text, line) in [
            ("a,b\n1,\"x\n2,y\n", Some(2)),
            ("\"a", Some(1)),
            ("a\r\n\"x\"\"", Some(2)),
            ("a,b\n\"x\ny\",\"\"\"z\"\n", None),
            ("a,b\n5\" pipe,x\"y\n", None),
            ("\"\",\"\"\n", None),
            ("", None),
        ] {
            assert_eq!(open_quote(text, b','), line, "{text:?}");
        }
        let swallowed = read(b"username,entity_id,note\nimp1,42,\"x\nimp2,42,y\n").expect_err("a quote");
        assert_eq!(swallowed, "2: a quote that begins here is not closed");
    }

    #[test]
    fn texts_come_in_many_forms() {
        let expected = Ok(vec![
            r#"2 [("username", "müller"), ("entity_id", "42")]"#.to_owned(),
            r#"3 [("username", "a,b;c"), ("entity_id", "43")]"#.to_owned(),
        ]);
        let utf16 = |text: &str| -> Vec<u8> {
            std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        };
        for bytes in [
            "username,entity_id\nmüller,42\n\"a,b;c\",43\n".as_bytes().to_vec(),
            "\u{FEFF}username;entity_id\r\nmüller;42\r\n\"a,b;c\";43".as_bytes().to_vec(),
            " UserName \tENTITY_ID\rmüller\t42\ra,b;c\t43\r".as_bytes().to_vec(),
            utf16("username\tentity_id\r\nmüller\t42\r\na,b;c\t43\r\n"),
        ] {
            assert_eq!(read(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_by_line() {
        for (text, expected) in [
            (&b"username,entity_id\nm\xFCller,42"[..], "2: is not valid UTF-8"),
            (
                b"username,entity\na,42",
                "1: 'entity' is no column of users; there are id, username, entity_id, active, note",
            ),
            (b"username,USERNAME\na,b", "1: column username is there twice"),
            (b"username,entity_id\na,42\n\nb\nc,43,44", "4: has 1 cells, and the first line 25: has 3 cells"),
            (b"", "There is nothing to change."),
            (b"username,entity_id\n,\n", "There is nothing to change."),
        ] {
            let said = read(text).expect_err("refused");
            assert!(said.starts_with(expected), "{said}");
        }
        let many = "username\n".to_owned() + &"a\n".repeat(LINES_MAX + 1);
        assert_eq!(read(many.as_bytes()), Err("Too many lines: 10000 are the most at a time.".to_owned()));
    }

    #[test]
    fn an_export_can_be_imported() {
        assert_eq!(
            read(b"username,note\n'=1+1,'@x\n'a,'").expect("read"),
            [r#"2 [("username", "=1+1"), ("note", "@x")]"#, r#"3 [("username", "'a"), ("note", "'")]"#]
        );
    }
}
