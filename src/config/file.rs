//! The settings file: TOML with a line for each setting.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names::nearest;
use super::settings::{SETTINGS, Setting};
use super::value::{Given, Source};

/// An error in the file, and its line.
pub(super) type Fault = (usize, String);

/// Reads the text of a settings file: the settings in it, and a sentence for each error, with its line and column.
pub(super) fn read(path: &Path, text: &str) -> (Vec<Given>, Vec<Fault>) {
    let place = |text: &str, at: usize| {
        let before = &text[..at.min(text.len())];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        (line, column)
    };
    let (mut given, mut errors) = (Vec::new(), Vec::new());
    let mut quoted = text.to_owned();
    let mut table = DeTable::parse(&quoted);
    if table.is_err() {
        quoted = with_quotes(text);
        table = DeTable::parse(&quoted);
    }
    let table = match table {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let (line, column) = place(&quoted, error.span().map_or(0, |span| span.start));
            return (given, vec![(line, format!("{}:{line}:{column}: {}", path.display(), error.message()))]);
        }
    };
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let (line, column) = place(&quoted, key.span().start);
        let source = Source::File { path: path.to_owned(), line, column };
        let key = key.into_inner();
        let Some(setting) = Setting::named(&key) else {
            errors.push((line, format!("{source}: {}", unknown(&key, &value))));
            continue;
        };
        match text_of(&value) {
            Some(text) => given.push(Given { name: setting.name, text, source }),
            None => {
                let kind = value.get_ref().type_str();
                errors.push((line, format!("{source}: {key} has one value, and this is of the type {kind}")));
            }
        }
    }
    (given, errors)
}

fn unknown(key: &str, value: &Spanned<DeValue<'_>>) -> String {
    if value.get_ref().is_table() {
        return format!("the file has no sections, so [{key}] has no meaning; write the settings without it");
    }
    let near = nearest(key, SETTINGS.iter().map(|setting| setting.name));
    let key = crate::store::masked(key);
    format!("there is no setting '{key}'{}", near.map(|near| format!("; did you mean {near}?")).unwrap_or_default())
}

/// The text of a value that is not a list or a table.
fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    Some(match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => match number.radix() {
            16 => format!("0x{}", number.as_str()),
            8 => format!("0o{}", number.as_str()),
            2 => format!("0b{}", number.as_str()),
            _ => number.as_str().to_owned(),
        },
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

/// The same lines, with quotes around values that TOML wants in quotes, such as `INFO` and `localhost:8086`.
fn with_quotes(text: &str) -> String {
    let quoted = |line: &str| -> Option<String> {
        let (name, rest) = line.split_once('=')?;
        // Also of a name that is no setting, so that the error is about the name.
        let name_of = name.trim();
        if name_of.is_empty() || !name_of.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return None;
        }
        let comment = [" #", "\t#"].iter().filter_map(|begin| rest.find(begin)).min();
        let (value, comment) = comment.map_or((rest, ""), |at| rest.split_at(at));
        let start = rest.len() - rest.trim_start().len();
        let bare = value.trim();
        let is_bare = !bare.is_empty() && !bare.contains(['"', '\'', '#']) && DeValue::parse(bare).is_err();
        is_bare.then(|| format!("{name}={}'{bare}'{comment}", &rest[..start]))
    };
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let whole = line.trim_end_matches(['\n', '\r']);
        match quoted(whole) {
            Some(quoted) => {
                out += &quoted;
                out += &line[whole.len()..];
            }
            None => out += line,
        }
    }
    out
}

/// The example settings file: every setting with its default, commented out.
pub fn example_file() -> String {
    let mut out = String::from(
        "# Settings of seatkeeper: of the service and of every command. Commands read /etc/seatkeeper/seatkeeper.toml,\n\
         # or the file that --config or SEATKEEPER_CONFIG names. The values in comments are the defaults.\n\
         # An environment variable overrides this file, and a flag overrides both.\n\
         # `seatkeeper check --config FILE` tests a file, and `seatkeeper config` prints the settings in force.\n",
    );
    for setting in SETTINGS {
        let default = if setting.default == "-" { "\"...\"".to_owned() } else { toml_value(setting.default) };
        let unit = setting.unit().map(|unit| format!("{unit}; ")).unwrap_or_default();
        let change = if setting.is_live { "a reload" } else { "a restart" };
        out += &format!(
            "\n# {}\n# ({unit}environment: {}; a change needs {change})\n#{} = {default}\n",
            setting.doc, setting.env, setting.name
        );
    }
    out
}

fn toml_value(text: &str) -> String {
    let bare = text.parse::<u64>().is_ok() || text.parse::<bool>().is_ok();
    if bare { text.to_owned() } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Sources};

    #[test]
    fn the_example_file_is_the_one_in_the_repository_and_can_be_used() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/seatkeeper.toml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().expect("parent")).expect("deploy/");
            std::fs::write(&path, example_file()).expect("write");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("deploy/seatkeeper.toml"), example_file());
        Sources::of_file(&path).load().expect("as it stands");

        // With all comments removed it has the same settings as without a file.
        let on: String = example_file()
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' ') && !line.contains("\"...\""))
            .map(|line| format!("{line}\n"))
            .collect();
        let (given, errors) = read(&path, &on);
        assert!(errors.is_empty(), "{errors:?}");
        let defaults = Sources::of_flags(Flags::default()).load().expect("defaults").in_force;
        let defaults: Vec<_> = defaults.iter().filter(|entry| entry.shown().is_some()).collect();
        assert_eq!(given.len(), defaults.len());
        for (given, default) in given.iter().zip(defaults) {
            assert_eq!((given.name, Some(given.text.clone())), (default.setting.name, default.shown()));
        }
    }

    #[test]
    fn values_need_no_quotes_and_errors_have_their_place() {
        let of = |text: &str| {
            let (given, errors) = read(Path::new("a.toml"), text);
            let given = given.into_iter().map(|given| format!("{} {} {}", given.source, given.name, given.text));
            given.chain(errors.into_iter().map(|(_, error)| error)).collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("listen = 'a'\n", "a.toml:1:1 listen a"),
            ("# b\n\n  log_level = INFO", "a.toml:3:3 log_level INFO"),
            ("listen=localhost:8086 # mine\r\n", "a.toml:1:1 listen localhost:8086"),
            ("listen = [::1]:8086", "a.toml:1:1 listen [::1]:8086"),
            ("listen = :8086", "a.toml:1:1 listen :8086"),
            ("listen = 127.0.0.1:8086", "a.toml:1:1 listen 127.0.0.1:8086"),
            ("enroll = no", "a.toml:1:1 enroll no"),
            ("enroll = true", "a.toml:1:1 enroll true"),
            ("body_bytes_max = 1e6", "a.toml:1:1 body_bytes_max 1e6"),
            ("body_bytes_max = \"1e6\"", "a.toml:1:1 body_bytes_max 1e6"),
            ("body_bytes_max = 1_000", "a.toml:1:1 body_bytes_max 1000"),
            ("body_bytes_max = 0x10", "a.toml:1:1 body_bytes_max 0x10"),
            ("trusted_proxies = 10.0.0.5,10.0.0.6", "a.toml:1:1 trusted_proxies 10.0.0.5,10.0.0.6"),
            ("database = /var/lib/seats.db", "a.toml:1:1 database /var/lib/seats.db"),
            ("lisen = 'a'", "a.toml:1:1: there is no setting 'lisen'; did you mean listen?"),
            ("\n zzzzzzzz = 1", "a.toml:2:2: there is no setting 'zzzzzzzz'"),
            (
                "[server]\nlisten = 'a'",
                "a.toml:1:2: the file has no sections, so [server] has no meaning; write the settings without it",
            ),
            ("listen = ['a']", "a.toml:1:1: listen has one value, and this is of the type array"),
            ("listen = 'a'\nlisten = 'b'", "a.toml:2:1: duplicate key"),
            ("\u{e4} = 1", "a.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_`"),
        ] {
            assert_eq!(of(text), [expected], "{text}");
        }
        let (_, errors) = read(Path::new("a.toml"), "\n\nlisten = 'a");
        assert!(errors[0].1.starts_with("a.toml:3:"), "{errors:?}");
    }
}
