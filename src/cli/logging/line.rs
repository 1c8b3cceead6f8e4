//! One line of the log, and what it looks like.
//!
//! Values may hold text that callers sent. In text, a character that would not show as itself (a line break, an escape code, a
//! mark that turns the direction of writing) is written as an escape; a value that holds blanks, quotes or an equals sign is
//! quoted. JSON keeps every character, as an escape of JSON where needed. All values have a greatest length.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The longest value of a field, in characters; the message may be twice as long.
const CHARS_MAX: usize = 500;

/// What a line on standard error looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// For people.
    Text { is_coloured: bool },
    /// For people who read the journal: it has the time itself, and takes the level from the prefix `<N>` (sd-daemon(3)).
    Unit,
    /// One object per line. `is_prefixed`: with the prefix of [`Look::Unit`], which the journal removes.
    Json { is_prefixed: bool },
}

/// A line with its values.
pub(super) struct Line {
    at: Timestamp,
    level: Level,
    target: String,
    message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Number(String),
    Boolean(bool),
    /// `is_name`: it is always quoted, so that a filter can rely on the quotes.
    Text {
        text: String,
        is_name: bool,
    },
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Line {
        let metadata = event.metadata();
        let mut line = Line {
            at: Timestamp::now(),
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    #[cfg(test)]
    pub(super) fn for_test(message: &str, fields: Vec<(&'static str, Value)>) -> Line {
        Line {
            at: "2026-01-02T03:04:05.678901Z".parse().expect("a time"),
            level: Level::WARN,
            target: "seatkeeper::test".to_owned(),
            message: message.to_owned(),
            fields,
        }
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// As sd-daemon(3) and syslog(3) count levels.
    pub(super) fn priority(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        }
    }

    /// With the line break at its end.
    pub(super) fn render(&self, look: Look) -> String {
        let mut out = String::with_capacity(256);
        // Writing to a String does not fail.
        let _ = match look {
            Look::Text { is_coloured } => self.text(&mut out, is_coloured),
            Look::Unit => write!(out, "<{}>{}: ", self.priority(), self.target).and_then(|()| self.facts(&mut out)),
            Look::Json { is_prefixed } => {
                let prefix = if is_prefixed { format!("<{}>", self.priority()) } else { String::new() };
                out.write_str(&prefix).and_then(|()| self.json(&mut out))
            }
        };
        out.push('\n');
        out
    }

    fn text(&self, out: &mut String, is_coloured: bool) -> fmt::Result {
        let colour = match self.level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            _ => 34,
        };
        if is_coloured {
            write!(out, "\u{1b}[2m{:.6}\u{1b}[0m \u{1b}[{colour}m{:>5}\u{1b}[0m ", self.at, self.level.as_str())?;
        } else {
            write!(out, "{:.6} {:>5} ", self.at, self.level.as_str())?;
        }
        write!(out, "{}: ", self.target)?;
        self.facts(out)
    }

    /// The message and the fields, for people.
    pub(super) fn facts(&self, out: &mut String) -> fmt::Result {
        write_plain(out, &self.message, 2 * CHARS_MAX)?;
        for (name, value) in &self.fields {
            write!(out, " {name}=")?;
            match value {
                Value::Number(number) => out.write_str(number)?,
                Value::Boolean(value) => write!(out, "{value}")?,
                Value::Text { text, is_name } if *is_name || needs_quotes(text) => write_quoted(out, text)?,
                Value::Text { text, .. } => write_plain(out, text, CHARS_MAX)?,
            }
        }
        Ok(())
    }

    fn json(&self, out: &mut String) -> fmt::Result {
        write!(out, "{{\"timestamp\":\"{:.6}\",\"level\":\"{}\",\"message\":", self.at, self.level.as_str())?;
        write_json(out, &self.message, 2 * CHARS_MAX)?;
        for (name, value) in &self.fields {
            write!(out, ",\"{name}\":")?;
            match value {
                Value::Number(number) => out.write_str(number)?,
                Value::Boolean(value) => write!(out, "{value}")?,
                Value::Text { text, .. } => write_json(out, text, CHARS_MAX)?,
            }
        }
        write!(out, ",\"target\":\"{}\"}}", self.target)
    }

    fn add(&mut self, field: &Field, value: Value) {
        let value = match value {
            Value::Text { text, is_name } => Value::Text { text: without_tickets(text), is_name },
            other => other,
        };
        match (field.name(), value) {
            ("message", Value::Text { text, .. }) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

/// Tickets are secrets, wherever a caller puts them.
fn without_tickets(text: String) -> String {
    const PREFIX: &str = "7T:";
    /// Shorter than any ticket.
    const CHARS_MIN: usize = 40;
    if !text.contains(PREFIX) {
        return text;
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(at) = rest.find(PREFIX) {
        let (before, after) = rest.split_at(at + PREFIX.len());
        let length = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte)).count();
        let (secret, behind) = after.split_at(length);
        kept.push_str(before);
        kept.push_str(if length < CHARS_MIN { secret } else { "…" });
        rest = behind;
    }
    kept + rest
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::Text { text: format!("{value:?}"), is_name: false });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text { text: value.to_owned(), is_name: true });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Boolean(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Number(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Number(value.to_string()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add(field, Value::Number(value.to_string()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add(field, Value::Number(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() { value } else { 0.0 };
        self.add(field, Value::Number(format!("{value:.3}")));
    }
}

impl Value {
    /// For a field of the journal.
    pub(super) fn plain(&self) -> String {
        match self {
            Value::Number(number) => number.clone(),
            Value::Boolean(value) => value.to_string(),
            Value::Text { text, .. } => {
                let mut out = String::with_capacity(text.len());
                let _ = write_plain(&mut out, text, CHARS_MAX);
                out
            }
        }
    }
}

/// The characters of a text, up to a number of them; then a mark that there are more.
fn cut(text: &str, chars_max: usize) -> impl Iterator<Item = char> {
    let is_longer = text.len() > chars_max && text.chars().nth(chars_max).is_some();
    text.chars().take(chars_max).chain(is_longer.then_some('…'))
}

/// Whether a character shows as itself, and leaves the characters around it where they are.
fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library knows which characters print, and tells by its escapes. A combining mark prints after a letter.
    let mut text = [b'a'; 5];
    let end = 1 + c.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..end]).is_ok_and(|text| text.escape_debug().count() == 2)
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains([' ', '"', '=']) || !text.chars().all(is_plain)
}

fn write_plain(out: &mut String, text: &str, chars_max: usize) -> fmt::Result {
    cut(text, chars_max).try_for_each(|c| if is_plain(c) { out.write_char(c) } else { escape(out, c) })
}

fn write_quoted(out: &mut String, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in cut(text, CHARS_MAX) {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            c if is_plain(c) => out.write_char(c)?,
            c => escape(out, c)?,
        }
    }
    out.write_char('"')
}

/// As Rust escapes it: `\n`, `\u{202e}`.
fn escape(out: &mut String, c: char) -> fmt::Result {
    match c {
        '\n' | '\r' | '\t' => write!(out, "{}", c.escape_default()),
        c => write!(out, "{}", c.escape_unicode()),
    }
}

fn write_json(out: &mut String, text: &str, chars_max: usize) -> fmt::Result {
    out.write_char('"')?;
    for c in cut(text, chars_max) {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            '\n' => out.write_str("\\n")?,
            c if is_plain(c) => out.write_char(c)?,
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What callers may try: each must stay inside its value.
    const HOSTILE: [&str; 9] = [
        "a\nERROR forged",
        "a\r\n2026-01-01T00:00:00.000000Z ERROR seatkeeper: forged",
        "\u{1b}[31mred\u{1b}[0m\u{9b}2J",
        "\u{202e}gnp.exe\u{2066}x\u{200f}\u{061c}\u{2028}\u{2029}\u{85}\u{0}\u{7f}\u{feff}\u{e0041}",
        "x\" client=10.0.0.1 code=\"Success",
        "x\\\" client=10.0.0.1",
        "{\"level\":\"ERROR\"}",
        "<3>urgent",
        "<HOST> %(x)s ${x} \\n",
    ];

    fn line(message: &str, text: &str, is_name: bool) -> Line {
        let fields = vec![
            ("client", Value::Text { text: "192.0.2.1".to_owned(), is_name: false }),
            ("user", Value::Text { text: text.to_owned(), is_name }),
            ("count", Value::Number("7".to_owned())),
        ];
        Line::for_test(message, fields)
    }

    #[test]
    fn a_line_in_each_look() {
        let line = line("it is so", "Größe", true);
        for (look, expected) in [
            (
                Look::Text { is_coloured: false },
                "2026-01-02T03:04:05.678901Z  WARN seatkeeper::test: it is so client=192.0.2.1 user=\"Größe\" count=7\n",
            ),
            (Look::Unit, "<4>seatkeeper::test: it is so client=192.0.2.1 user=\"Größe\" count=7\n"),
            (
                Look::Json { is_prefixed: false },
                "{\"timestamp\":\"2026-01-02T03:04:05.678901Z\",\"level\":\"WARN\",\"message\":\"it is so\",\"client\":\"192.0.2.1\",\"user\":\"Größe\",\"count\":7,\"target\":\"seatkeeper::test\"}\n",
            ),
        ] {
            assert_eq!(line.render(look), expected);
        }
        let prefixed = line.render(Look::Json { is_prefixed: true });
        assert_eq!(prefixed.strip_prefix("<4>"), Some(&*line.render(Look::Json { is_prefixed: false })));
    }

    #[test]
    fn a_ticket_is_left_out_wherever_it_stands() {
        let ticket = "7T:ezI3NTMwZjEzLTU2NzgtNGFiYy04ZGVmLTAxMjM0NTY3ODlhYn07MTIzNDU2Nzg5MDE4OTE4ODY2";
        let kept = |text: &str| without_tickets(text.to_owned());
        assert_eq!(kept(ticket), "7T:…");
        assert_eq!(kept(&format!("the type '{ticket}' and {ticket}.")), "the type '7T:…' and 7T:….");
        for plain in ["", "bob", "7T:short", "7T:", "at 7T: and 7T:abc="] {
            assert_eq!(kept(plain), plain);
        }
    }

    #[test]
    fn text_of_callers_stays_inside_its_value() {
        for text in HOSTILE.into_iter().map(str::to_owned).chain([HOSTILE.concat(), "x".repeat(300_000)]) {
            for is_name in [true, false] {
                let line = line(&text, &text, is_name);
                for look in [Look::Text { is_coloured: false }, Look::Unit, Look::Json { is_prefixed: false }] {
                    let rendered = line.render(look);
                    let inner = rendered.strip_suffix('\n').expect("a line");
                    assert!(inner.chars().all(is_plain), "{look:?}: {rendered:?}");
                    assert!(inner.chars().count() < 6 * 3 * CHARS_MAX, "{look:?}");
                    if look == (Look::Json { is_prefixed: false }) {
                        let json: serde_json::Value = serde_json::from_str(inner).expect("JSON");
                        let kept: String = text.chars().take(CHARS_MAX).collect();
                        assert!(json["user"].as_str().is_some_and(|user| user.starts_with(&kept)), "{rendered}");
                        assert_eq!((&json["client"], &json["level"]), (&"192.0.2.1".into(), &"WARN".into()));
                    } else {
                        // The value ends where its quotes end, or where it does.
                        let (_, user) = inner.split_once(" client=192.0.2.1 user=").expect("the field");
                        let rest = if let Some(quoted) = user.strip_prefix('"') {
                            let mut escaped = false;
                            let end = quoted.find(|c| {
                                let is_end = c == '"' && !escaped;
                                escaped = c == '\\' && !escaped;
                                is_end
                            });
                            &quoted[end.expect("the end of the quotes") + 1..]
                        } else {
                            &user[user.find(' ').expect("the end of the value")..]
                        };
                        assert_eq!(rest, " count=7", "{rendered}");
                    }
                }
            }
        }
    }
}
