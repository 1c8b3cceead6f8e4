//! The texts of values, which are the same in a flag, a variable and the file.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::settings::Setting;
use crate::store::{self, masked};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    File {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    /// The name of an environment variable.
    Variable(&'static str),
    /// A flag, with its hyphens.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Source::Variable(name) => f.write_str(name),
            Source::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The text of a setting, and its source.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) source: Source,
}

/// A setting in force.
#[derive(Debug, Clone)]
pub struct Entry {
    pub setting: &'static Setting,
    /// In one form for all texts that mean the same; `None`: not set. It may have a password.
    pub(super) value: Option<String>,
    pub source: Source,
}

impl Entry {
    /// The value without its secrets.
    pub fn shown(&self) -> Option<String> {
        self.value.as_deref().map(masked)
    }

    /// Where to change it: the flag, the variable, or the name with its place in the file.
    pub fn place(&self) -> String {
        match &self.source {
            Source::Default => format!("{} ({})", self.setting.flag(), self.setting.env),
            Source::File { .. } => format!("{} in {}", self.setting.name, self.source),
            source => source.to_string(),
        }
    }

    pub fn is_default(&self) -> bool {
        self.source == Source::Default
    }

    pub fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// Whether it has a password.
    pub fn has_secret(&self) -> bool {
        self.value.as_ref() != self.shown().as_ref()
    }

    /// Whether both have the same value, wherever it comes from.
    pub fn is_same(&self, other: &Entry) -> bool {
        self.value == other.value
    }
}

/// An invalid setting.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) name: &'static str,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(name: &'static str, text: impl Into<String>) -> Problem {
        Problem { name, text: text.into() }
    }
}

/// A type of values.
pub(super) trait Value: Sized {
    /// Whether it counts something, in a unit.
    const IS_QUANTITY: bool = false;

    /// Reads a text that is not empty. The error continues "'TEXT' is ".
    fn read(text: &str) -> Result<Self, String>;

    /// The text that all texts of the same value have in common.
    fn text(&self) -> String;
}

/// Reads a setting from the last of its texts. An empty text means that a setting without a default is not set.
pub(super) fn read<V: Value>(
    name: &'static str,
    given: &[Given],
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Problem>,
) -> Option<V> {
    let setting = Setting::named(name)?;
    let found = given.iter().rev().find(|given| given.name == name);
    let text = found.map_or("", |given| given.text.trim());
    let value = if text.is_empty() && setting.default == "-" { None } else { Some(V::read(text)) };
    let value = match value.transpose() {
        Ok(value) => value,
        Err(wrong) => {
            problems.push(Problem::new(name, format!("{name}: '{}' is {wrong}", masked(text))));
            None
        }
    };
    let source = found.map_or(Source::Default, |given| given.source.clone());
    entries.push(Entry { setting, value: value.as_ref().map(Value::text), source });
    value
}

impl Value for store::Database {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("not a file or an address".to_owned()) } else { Ok(text.into()) }
    }

    fn text(&self) -> String {
        match self {
            store::Database::File(file) => file.display().to_string(),
            store::Database::Server(address) => address.url().to_owned(),
        }
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        address(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// An address and port to listen on. `localhost` is 127.0.0.1; no address, or `*`, is every address of the machine, with IPv6 and
/// IPv4.
///
/// # Errors
///
/// What is expected; it continues "'TEXT' is ".
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let address = text.rsplit_once(':').and_then(|(host, port)| {
        let address: IpAddr = match host {
            "" | "*" => Ipv6Addr::UNSPECIFIED.into(),
            host if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port.parse().ok()?))
    });
    address.ok_or_else(|| {
        "not an address and port, such as 127.0.0.1:8086, localhost:8086, [::1]:8086, or :8086 for every address of this machine"
            .to_owned()
    })
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("not a file".to_owned()) } else { Ok(Path::new(text).to_owned()) }
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("not true or false (also yes, no, on, off, 1, 0)".to_owned()),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl Value for $type {
            const IS_QUANTITY: bool = true;

            fn read(text: &str) -> Result<Self, String> {
                whole_number(text).and_then(|n| n.try_into().ok()).ok_or_else(|| {
                    format!("not a whole number from 0 to {}, such as 4096, 1_000_000 or 1e6", <$type>::MAX)
                })
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
number!(u32 u64 usize);

/// A whole number in digits, with `_` between them or an exponent. The file may have it in another base, as TOML writes it.
fn whole_number(text: &str) -> Option<u128> {
    let of_base = |base, digits: &str| {
        let is_plain = digits.starts_with(|c: char| c.is_digit(base)) && !digits.ends_with('_');
        if is_plain { u128::from_str_radix(&digits.replace('_', ""), base).ok() } else { None }
    };
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return of_base(base, digits);
        }
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else { return of_base(10, text) };
    let exponent: u32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let zeros = exponent.checked_sub(u32::try_from(part.len()).ok()?)?;
    of_base(10, &format!("{whole}{part}"))?.checked_mul(10_u128.checked_pow(zeros)?)
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
    Journald,
}

/// The least important log lines that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A type with a few named values. The first name of a value is the one that is shown.
trait Named: Copy + PartialEq + 'static {
    const NAMES: &'static [(&'static str, Self)];
    const EXPECTED: &'static str;
}

impl Named for LogFormat {
    const NAMES: &'static [(&'static str, Self)] =
        &[("human", LogFormat::Human), ("json", LogFormat::Json), ("journald", LogFormat::Journald)];
    const EXPECTED: &'static str = "not human, json or journald";
}

impl Named for LogLevel {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("warning", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    const EXPECTED: &'static str = "not error, warn, info, debug or trace";
}

macro_rules! named {
    ($($type:ty)*) => {$(
        impl Value for $type {
            fn read(text: &str) -> Result<Self, String> {
                let found = <$type>::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
                found.map(|(_, value)| *value).ok_or_else(|| <$type>::EXPECTED.to_owned())
            }

            fn text(&self) -> String {
                let found = <$type>::NAMES.iter().find(|(_, value)| value == self);
                found.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
            }
        }
    )*};
}
named!(LogFormat LogLevel);

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<V: Value>(cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            let read = V::read(text).ok().map(|value| value.text());
            assert_eq!(read.as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_understood_as_people_write_them() {
        texts::<u64>(&[
            ("0", Some("0")),
            ("4096", Some("4096")),
            ("+4096", Some("4096")),
            ("1_000_000", Some("1000000")),
            ("1e6", Some("1000000")),
            ("1E+6", Some("1000000")),
            ("1.5e6", Some("1500000")),
            ("0x10", Some("16")),
            ("0b11", Some("3")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("18446744073709551616", None),
            ("1e20", None),
            ("1e999999999999", None),
            ("1.55e1", None),
            ("1.5", None),
            ("-1", None),
            ("_1", None),
            ("1_", None),
            ("e6", None),
            ("64k", None),
            ("64 KiB", None),
            ("ten", None),
            ("", None),
        ]);
        texts::<u32>(&[("4294967295", Some("4294967295")), ("4294967296", None)]);
    }

    #[test]
    fn addresses_are_understood_as_people_write_them() {
        texts::<SocketAddr>(&[
            ("127.0.0.1:8086", Some("127.0.0.1:8086")),
            ("localhost:8086", Some("127.0.0.1:8086")),
            ("LocalHost:0", Some("127.0.0.1:0")),
            (":8086", Some("[::]:8086")),
            ("*:8086", Some("[::]:8086")),
            ("[::1]:8086", Some("[::1]:8086")),
            ("0.0.0.0:8086", Some("0.0.0.0:8086")),
            ("127.0.0.1", None),
            ("8086", None),
            ("localhost", None),
            ("localhost:", None),
            ("localhost:65536", None),
            ("::1:8086", None),
            ("seats.example.com:8086", None),
            ("http://localhost:8086", None),
            ("", None),
        ]);
    }

    #[test]
    fn words_are_understood_in_any_case() {
        texts::<bool>(&[
            ("true", Some("true")),
            ("Yes", Some("true")),
            ("ON", Some("true")),
            ("1", Some("true")),
            ("false", Some("false")),
            ("no", Some("false")),
            ("off", Some("false")),
            ("0", Some("false")),
            ("2", None),
            ("maybe", None),
            ("", None),
        ]);
        texts::<LogLevel>(&[
            ("INFO", Some("info")),
            ("Warning", Some("warn")),
            ("warn", Some("warn")),
            ("loud", None),
            ("", None),
        ]);
        texts::<LogFormat>(&[("JSON", Some("json")), ("xml", None)]);
    }
}
