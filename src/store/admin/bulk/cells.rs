//! Text as a cell of CSV (RFC 4180), and back.
//!
//! Spreadsheets run a cell that begins like a formula, so such a text gets an apostrophe in front: spreadsheets take the cell as text then.
//! Imports take the apostrophe away again.

/// The characters that OWASP lists for CSV injection, and their wide forms.
const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text as a cell: no formula, and quoted where that is needed.
pub fn cell(text: &str) -> String {
    match is_formula(text) {
        true => quoted(&format!("'{text}")),
        false => quoted(text),
    }
}

/// A text or number as a cell, with quotes where they are needed. The semicolon is the separator of spreadsheets in half of Europe.
pub fn quoted(text: &str) -> String {
    match text.contains(['"', ',', ';', '\r', '\n', '\t']) || text.starts_with(' ') || text.ends_with(' ') {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// The text from which [`cell`] made this, without quotes.
pub(super) fn undefused(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(cell)
}

/// Apostrophes in front do not count, so that a text that has one already gets another, and comes back as it was.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(STARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_defused_and_come_back() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("=1+1", "'=1+1"),
            ("+49 30", "'+49 30"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("'a", "'a"),
            ("a,b", "\"a,b\""),
            ("a;b", "\"a;b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            (" =1", "\" =1\""),
            ("=cmd|' /C calc'!A0,x", "\"'=cmd|' /C calc'!A0,x\""),
            ("Ä\u{202E}ö", "Ä\u{202E}ö"),
        ] {
            let written = cell(text);
            assert_eq!(written, expected, "{text:?}");
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(written.as_bytes());
            let read = reader.records().next().map(|record| record.expect("a record"));
            let read = read.as_ref().and_then(|record| record.get(0)).unwrap_or_default();
            assert_eq!(undefused(read), text);
        }
    }
}
