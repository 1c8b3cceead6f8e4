//! The sources of settings: the defaults, the settings file, the environment and the flags, each of which overrides those before it.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::file::Fault;
use super::names::nearest;
use super::settings::{Flags, SETTINGS, Setting, Values};
use super::value::{Entry, Given, Problem, Source};
use super::{Config, ConfigError, file};
use crate::store::{self, Database};

/// The settings file that is read if no other one is named and it exists.
pub const DEFAULT_FILE: &str = "/etc/seatkeeper/seatkeeper.toml";

/// The variable that names the settings file.
const FILE_VARIABLE: &str = "SEATKEEPER_CONFIG";
const PREFIX: &str = "SEATKEEPER_";

/// Where settings are read from. Reading again after a change of the file gives the new settings.
#[derive(Debug, Clone)]
pub struct Sources {
    file: Option<File>,
    /// Name and value of the variables that begin with SEATKEEPER_ and are not empty.
    variables: Vec<(String, OsString)>,
    flags: Flags,
}

#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    /// The flag or the variable that names it; `None`: it is [`DEFAULT_FILE`].
    named_by: Option<&'static str>,
    /// Whether it is an error if the file is missing.
    is_needed: bool,
}

impl File {
    fn named(path: &Path, by: &'static str) -> File {
        File { path: path.to_owned(), named_by: Some(by), is_needed: true }
    }
}

/// The database of a command.
#[derive(Debug)]
pub struct Named {
    pub database: Database,
    source: Source,
}

impl Named {
    fn new(database: impl Into<Database>, source: Source) -> Named {
        Named { database: database.into(), source }
    }

    /// # Errors
    ///
    /// The address of a server that cannot be used; the error names its source.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Database::Server(address) = &self.database else { return Ok(()) };
        let named = |error| ConfigError::new(vec![format!("{}: database {error}", self.source)]);
        store::check_address(address).map_err(named)
    }
}

/// The settings in force.
#[derive(Debug)]
pub struct Settings {
    pub config: Config,
    /// Each setting with its value and its source, in order.
    pub in_force: Vec<Entry>,
}

impl Settings {
    /// The entry of a setting.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.in_force.iter().find(|entry| entry.setting.name == name)
    }
}

impl Sources {
    /// The sources of a command: `config` or the variable names the file, or else it is [`DEFAULT_FILE`].
    pub fn of_process(config: Option<&Path>, flags: Flags) -> Sources {
        let named = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            // A unit file or a script that sets a variable to nothing means that it is not set.
            (!is_blank(&value)).then_some((name, value))
        };
        let mut variables: Vec<_> = std::env::vars_os().filter_map(named).collect();
        variables.sort();
        let by_variable = variables.iter().find(|(name, _)| name == FILE_VARIABLE);
        let file = match (config, by_variable) {
            (Some(path), _) => File::named(path, "--config"),
            (None, Some((_, path))) => File::named(Path::new(path), FILE_VARIABLE),
            (None, None) => File { path: DEFAULT_FILE.into(), named_by: None, is_needed: false },
        };
        Sources { file: Some(file), variables, flags }
    }

    /// Only flags, over the defaults.
    pub fn of_flags(flags: Flags) -> Sources {
        Sources { file: None, variables: Vec::new(), flags }
    }

    /// Only a file, over the defaults.
    pub fn of_file(path: &Path) -> Sources {
        Sources { file: Some(File::named(path, "--config")), variables: Vec::new(), flags: Flags::default() }
    }

    /// The same, and a settings file that is there now is missed if it goes away. Otherwise a service that reads its settings again would
    /// silently take the defaults.
    pub fn keeping_file(mut self) -> Sources {
        if let Some(file) = &mut self.file {
            file.is_needed |= file.path.exists();
        }
        self
    }

    /// A file that nothing names.
    #[cfg(test)]
    pub(super) fn of_default_file(path: &Path) -> Sources {
        let file = File { path: path.to_owned(), named_by: None, is_needed: false };
        Sources { file: Some(file), variables: Vec::new(), flags: Flags::default() }
    }

    /// The same with other flags.
    #[cfg(test)]
    pub(super) fn with_flags(self, flags: Flags) -> Sources {
        Sources { flags, ..self }
    }

    /// The settings file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        let file = self.file.as_ref().filter(|file| file.is_needed || file.path.exists());
        file.map(|file| file.path.as_path())
    }

    /// Reads all settings.
    ///
    /// # Errors
    ///
    /// A file that cannot be read; every invalid setting, each with its source.
    pub fn load(&self) -> Result<Settings, ConfigError> {
        let (given, mut errors) = self.given()?;
        let (mut in_force, mut problems) = (Vec::new(), Vec::new());
        let values = Values::read(&given, &mut in_force, &mut problems);
        let config = Config::check(values, &mut problems);
        errors.extend(problems.into_iter().map(|problem| placed(problem, &in_force)));
        errors.sort_by_key(|(line, _)| *line);
        match config {
            Some(config) if errors.is_empty() => Ok(Settings { config, in_force }),
            _ => Err(ConfigError::new(texts(errors))),
        }
    }

    /// Where the service listens, and whether it speaks TLS. Other values may be invalid: a service that runs keeps its old ones.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has an unknown name in it; an invalid address.
    pub fn service(&self) -> Result<(SocketAddr, bool), ConfigError> {
        let (given, errors) = self.given()?;
        if !errors.is_empty() {
            return Err(ConfigError::new(texts(errors)));
        }
        let (mut in_force, mut problems) = (Vec::new(), Vec::new());
        let values = Values::read(&given, &mut in_force, &mut problems);
        let Some(listen) = values.listen else {
            let of_listen = problems.into_iter().filter(|problem| problem.name == "listen");
            return Err(ConfigError::new(texts(of_listen.map(|problem| placed(problem, &in_force)).collect())));
        };
        Ok((listen, values.tls_certificate.is_some()))
    }

    /// The database alone. Other settings may be invalid, and the file is not read if a flag or a variable names the database: a
    /// command may run as a user that is not allowed to read the settings of the service.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has an unknown name in it.
    pub fn database(&self) -> Result<Named, ConfigError> {
        const NAME: &str = "database";
        const VARIABLE: &str = "SEATKEEPER_DATABASE";
        let variable = self.variables.iter().find(|(name, _)| name == VARIABLE);
        let found = match (&self.flags.database, variable) {
            (Some(flag), _) if flag.trim().is_empty() => {
                return Err(ConfigError::new(vec!["--database: it is empty".to_owned()]));
            }
            (Some(flag), _) => return Ok(Named::new(flag.trim(), Source::Flag(format!("--{NAME}")))),
            (None, Some((_, value))) => {
                let source = Source::Variable(VARIABLE);
                return Ok(match value.to_str() {
                    Some(text) => Named::new(text.trim(), source),
                    None => Named::new(Path::new(value), source),
                });
            }
            (None, None) => {
                let (given, errors) = self.read_file().map_err(|error| error.or_use("--database"))?;
                if !errors.is_empty() {
                    return Err(ConfigError::new(texts(errors)));
                }
                given.into_iter().find(|given| given.name == NAME && !given.text.trim().is_empty())
            }
        };
        let default = || Setting::named(NAME).map(|setting| setting.default).unwrap_or_default().to_owned();
        Ok(match found {
            Some(Given { text, source, .. }) => Named::new(text.trim(), source),
            None => Named::new(default(), Source::Default),
        })
    }

    /// A sentence for each variable that begins like those of the settings and is none of them.
    pub fn unknown_variables(&self) -> Vec<String> {
        let known = || SETTINGS.iter().map(|setting| setting.env).chain([FILE_VARIABLE]);
        let unknown = self
            .variables
            .iter()
            .filter(|(name, value)| !known().any(|known| known == name) && !is_of_kubernetes(name, value));
        let sentence = |(name, _): &(String, OsString)| {
            let near = nearest(name, known()).map(|near| format!("; did you mean {near}?"));
            format!("the variable {name} is no setting and has no effect{}", near.unwrap_or_default())
        };
        unknown.map(sentence).collect()
    }

    /// The texts of all sources, those that count last, and the errors of the sources themselves.
    fn given(&self) -> Result<(Vec<Given>, Vec<Fault>), ConfigError> {
        let (mut given, mut errors) = self.read_file()?;
        for (name, value) in &self.variables {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.env == name) else { continue };
            match value.to_str() {
                Some(text) => given.push(variable(setting, text)),
                None => errors.push((0, format!("{name}: the value is not UTF-8"))),
            }
        }
        for (name, text) in self.flags.given() {
            let flag = Setting::named(name).map(Setting::flag).unwrap_or_default();
            given.push(Given { name, text: text.to_owned(), source: Source::Flag(flag) });
        }
        let defaults = SETTINGS.iter().filter(|setting| setting.default != "-").map(|setting| Given {
            name: setting.name,
            text: setting.default.to_owned(),
            source: Source::Default,
        });
        Ok((defaults.chain(given).collect(), errors))
    }

    fn read_file(&self) -> Result<(Vec<Given>, Vec<Fault>), ConfigError> {
        let Some(File { path, named_by, is_needed }) = &self.file else { return Ok(Default::default()) };
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(file::read(path, &text)),
                Err(_) => Err(ConfigError::new(vec![format!("{}: the file is not UTF-8", path.display())])),
            },
            Err(error) if !is_needed && error.kind() == std::io::ErrorKind::NotFound => Ok(Default::default()),
            Err(error) => Err(ConfigError::unreadable(path, *named_by, &error)),
        }
    }
}

/// An invalid setting with its source.
fn placed(problem: Problem, in_force: &[Entry]) -> Fault {
    let source = in_force.iter().find(|entry| entry.setting.name == problem.name).map(|entry| &entry.source);
    match source {
        Some(Source::Default) | None => (0, problem.text),
        Some(source @ Source::File { line, .. }) => (*line, format!("{source}: {}", problem.text)),
        Some(source) => (0, format!("{source}: {}", problem.text)),
    }
}

fn texts(faults: Vec<Fault>) -> Vec<String> {
    faults.into_iter().map(|(_, text)| text).collect()
}

/// Kubernetes sets such variables in each container, if a service of the cluster has the name `seatkeeper`.
fn is_of_kubernetes(name: &str, value: &OsStr) -> bool {
    let name = name.trim_start_matches(PREFIX);
    name.starts_with("SERVICE_HOST")
        || name.starts_with("SERVICE_PORT")
        || name.starts_with("PORT_")
        || name == "PORT" && value.to_str().is_some_and(|value| value.contains("://"))
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|value| value.trim().is_empty())
}

fn variable(setting: &'static Setting, text: &str) -> Given {
    Given { name: setting.name, text: text.to_owned(), source: Source::Variable(setting.env) }
}
