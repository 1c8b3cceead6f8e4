//! `seatkeeper config`: the settings in force; and the test of a settings file, for `seatkeeper check --config`.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::audit::read_key;
use super::table::{Format, Rows};
use crate::config::{Config, ConfigError, Entry, Flags, Sources};
use crate::http::tls::Files;
use crate::store::Database;

pub(super) const EXAMPLES: &str = "\
Examples:
  seatkeeper config
  seatkeeper config --config /etc/seatkeeper/seatkeeper.toml --format json
A change of a setting takes a reload of the service (systemctl reload seatkeeper, or SIGHUP) or a restart.";

#[derive(Args)]
pub(super) struct ConfigArgs {
    /// The settings file [default: /etc/seatkeeper/seatkeeper.toml, if it exists] [env: SEATKEEPER_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to write it.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    flags: Box<Flags>,
}

/// Prints every setting in force. A password is shown as `***`.
pub(super) fn config(args: ConfigArgs) -> Result<(), Failure> {
    let sources = Sources::of_process(args.config.as_deref(), *args.flags);
    warn_of_unknown(&sources);
    let settings = sources.load()?;
    if args.format == Format::Table {
        match sources.file() {
            Some(file) => eprintln!("note: the settings file is {}", file.display()),
            None => eprintln!("note: there is no settings file"),
        }
    }
    let mut rows = Rows::to_stdout(args.format, ["name", "value", "unit", "source", "change"]);
    for entry in &settings.in_force {
        let setting = entry.setting;
        let change = if setting.is_live { "reload" } else { "restart" };
        rows.row(vec![
            json!(setting.name),
            value(entry),
            json!(setting.unit()),
            json!(entry.source.to_string()),
            json!(change),
        ])?;
    }
    Ok(rows.end()?)
}

/// A number or a truth value as JSON has it.
fn value(entry: &Entry) -> Value {
    match entry.shown() {
        None => Value::Null,
        Some(text) if entry.setting.unit().is_some() => {
            text.parse::<u64>().map_or_else(|_| json!(text.as_str()), |n| json!(n))
        }
        Some(text) => text.parse::<bool>().map_or_else(|_| json!(text.as_str()), |b| json!(b)),
    }
}

/// Says on standard error which variables look like settings and are none.
pub(super) fn warn_of_unknown(sources: &Sources) {
    for unknown in sources.unknown_variables() {
        eprintln!("warning: {unknown}");
    }
}

/// Tests a settings file: its values, and the files that it names, as far as this user can see them. Needs no database.
///
/// # Errors
///
/// Every error that keeps the service from starting with this file.
pub(super) fn test(file: &Path) -> Result<(), ConfigError> {
    let settings = Sources::of_file(file).load()?;
    let Config { database, heads, tls, .. } = &settings.config;
    let mut faults: Vec<(&str, String)> = Vec::new();
    let mut warnings = hints(file, &settings.in_force);
    match tls.as_ref().map(Files::check).transpose() {
        Ok(checked) => warnings.extend(checked.into_iter().flat_map(|checked| checked.warnings)),
        // Its text begins with the name of the setting.
        Err(error) => faults.push(match error.to_string() {
            text if text.starts_with("tls_key") => ("tls_key", text),
            text => ("tls_certificate", text),
        }),
    }
    if let Some(heads) = heads {
        faults.extend(read_key(&heads.key).err().map(|error| ("audit_key", format!("audit_key: {error}"))));
        let fault = heads.file.as_deref().and_then(no_directory);
        faults.extend(fault.map(|fault| ("audit_heads", format!("audit_heads: {fault}"))));
    }
    if let Database::File(path) = database {
        faults.extend(no_directory(path).map(|fault| ("database", format!("database: {fault}"))));
    }
    let place = |name: &str| settings.entry(name).map(|entry| entry.source.to_string()).unwrap_or_default();
    if !faults.is_empty() {
        let errors = faults.iter().map(|(name, fault)| format!("{}: {fault}", place(name))).collect();
        return Err(ConfigError::new(errors));
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

/// The fault if the directory of a file does not exist.
fn no_directory(file: &Path) -> Option<String> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty())?;
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(format!("{} is not a directory", directory.display())),
        Err(error) => Some(format!("{}: {error}", directory.display())),
    }
}

/// What is allowed, but most likely a mistake.
fn hints(file: &Path, entries: &[Entry]) -> Vec<String> {
    let mut hints = Vec::new();
    for entry in entries.iter().filter(|entry| entry.setting.is_path()) {
        if entry.is_default() {
            continue;
        }
        if let Some(path) = entry.shown().filter(|path| !path.starts_with('/') && !path.contains("://")) {
            hints.push(format!(
                "{}: {} '{path}' is below the working directory of each command; begin it with /",
                entry.source, entry.setting.name
            ));
        }
    }
    let is_open = std::fs::metadata(file).is_ok_and(|found| found.mode() & 0o004 != 0);
    if is_open && entries.iter().any(Entry::has_secret) {
        hints.push(format!("{}: it has a password, and every user can read it (chmod 0640)", file.display()));
    }
    hints
}

/// Says that a settings file is in order.
pub(super) fn say_ok(file: &Path) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "ok: {}: every setting can be used", file.display())
}
