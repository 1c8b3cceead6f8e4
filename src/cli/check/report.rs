//! `seatkeeper check --report`: a text to paste into a bug report.
//!
//! Nothing in it was written by an operator, an administrator or a client: no name, address, path or password. Numbers, versions and words of
//! this program, of the kernel and of the database engine are all there is.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::auth;
use crate::cli::{CannotRun, Failure, Unsuitable};
use crate::config::{ConfigError, Source, Sources};
use crate::store::{self, Checked, Database, Fact, OpenError, SCHEMA_VERSION};

/// `database`: an error if the settings do not say which one it is.
pub(super) fn report(database: Result<&Database, ConfigError>, sources: &Sources) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: &str| writeln!(out, "{:<34} {value}", format!("{name}:"));
    for (name, value) in program().into_iter().chain(system()).chain(limits("self")).chain(service()) {
        line(&name, &value)?;
    }
    for (name, value) in settings(sources) {
        line(&name, &value)?;
    }
    let database = match database {
        Ok(database) => database,
        Err(error) => {
            line("check", "not done: the settings do not say which database")?;
            let why = "the settings cannot be used; 'seatkeeper config' says more".to_owned();
            return Err(if error.is_unreadable() { CannotRun(why).into() } else { Unsuitable(why).into() });
        }
    };
    if let Database::File(file) = database {
        for (name, value) in files(file) {
            line(&name, &value)?;
        }
    }
    for Fact { name, value } in store::facts(database) {
        line(&name, &value)?;
    }
    let checked = store::examine(database, auth::check_hash);
    for found in result(&checked) {
        line("check", &found)?;
    }
    match checked {
        Ok(Checked { violations, .. }) if violations.is_empty() => Ok(()),
        Ok(_) => Err("the database is broken; 'seatkeeper check' names the rows".into()),
        Err(error @ OpenError::Address { .. }) => Err(Unsuitable(unchecked(&error)).into()),
        Err(error) => Err(CannotRun(unchecked(&error)).into()),
    }
}

fn unchecked(error: &OpenError) -> String {
    format!("the database was not checked: {}; 'seatkeeper check' says more", error.kind())
}

type Line = (String, String);

fn program() -> Vec<Line> {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    vec![
        ("report".to_owned(), jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        (
            "seatkeeper".to_owned(),
            format!(
                "{}, {}-{}-{libc}, {linked}, {build}",
                env!("CARGO_PKG_VERSION"),
                std::env::consts::ARCH,
                std::env::consts::OS
            ),
        ),
    ]
}

fn system() -> Vec<Line> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned())
    };
    let word = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = value(&memory, "MemTotal:").unwrap_or_else(unknown);
    let containers = ["/.dockerenv", "/run/.containerenv"];
    let around = if containers.iter().any(|file| Path::new(file).exists()) {
        "container"
    } else if Path::new("/run/systemd/system").is_dir() {
        "systemd"
    } else {
        "no systemd"
    };
    vec![
        ("kernel".to_owned(), word("/proc/sys/kernel/osrelease").unwrap_or_else(unknown)),
        ("distribution".to_owned(), value(&release, "PRETTY_NAME=").unwrap_or_else(unknown)),
        ("runs under".to_owned(), around.to_owned()),
        ("machine".to_owned(), format!("{cores} cores, {memory} of memory")),
        ("memory limit".to_owned(), word("/sys/fs/cgroup/memory.max").unwrap_or_else(|| "none".to_owned())),
        ("runs as".to_owned(), if rustix::process::geteuid().is_root() { "root" } else { "not root" }.to_owned()),
    ]
}

/// The limits of a process, soft and hard.
fn limits(process: &str) -> Vec<Line> {
    const LIMITS: [&str; 4] = ["Max open files", "Max address space", "Max file size", "Max processes"];
    let text = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
    let shown = text.lines().filter_map(|line| {
        let limit = LIMITS.into_iter().find(|limit| line.starts_with(limit))?;
        let mut values = line[limit.len()..].split_whitespace();
        Some((limit.to_lowercase(), format!("{} soft, {} hard", values.next()?, values.next()?)))
    });
    shown.collect()
}

/// The services that run on this machine, whatever their databases are.
fn service() -> Vec<Line> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut lines = Vec::new();
    for pid in pids {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        let is_service = arguments.next().is_some_and(|program| program.ends_with(b"seatkeeper"))
            && arguments.next().is_some_and(|verb| verb == b"serve" || verb == b"demo");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if !is_service || status.is_empty() {
            continue;
        }
        let of = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name));
            found.map_or_else(|| "unknown".to_owned(), |value| value.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let files = limits(&pid.to_string()).into_iter().find(|(name, _)| name == "max open files");
        let files = files.map_or_else(|| "unknown".to_owned(), |(_, value)| value);
        lines.push((
            "running service".to_owned(),
            format!("memory {}, {} threads, open files {files}", of("VmRSS:"), of("Threads:")),
        ));
    }
    if lines.is_empty() {
        lines.push(("running service".to_owned(), "none".to_owned()));
    }
    lines
}

/// The settings that are not the defaults. Of texts only that they are set: they are names, addresses and paths.
fn settings(sources: &Sources) -> Vec<Line> {
    let settings = match sources.load() {
        Ok(settings) => settings,
        Err(error) => return vec![("settings".to_owned(), format!("{} invalid", error.errors().len()))],
    };
    let changed = settings.in_force.iter().filter(|entry| !entry.is_default() && entry.is_set());
    let mut lines: Vec<Line> = changed
        .map(|entry| {
            let name = entry.setting.name;
            let value = entry.shown().unwrap_or_default();
            let is_plain = entry.setting.unit().is_some() || value.parse::<bool>().is_ok() || name.starts_with("log_");
            let value = match name {
                _ if is_plain => value,
                "listen" if settings.config.listen.ip().is_loopback() => "loopback".to_owned(),
                "listen" => "beyond loopback".to_owned(),
                _ => "set".to_owned(),
            };
            let source = match entry.source {
                Source::File { .. } => "file",
                Source::Variable(_) => "variable",
                _ => "flag",
            };
            (format!("setting {name}"), format!("{value} ({source})"))
        })
        .collect();
    if lines.is_empty() {
        lines.push(("settings".to_owned(), "all are the defaults".to_owned()));
    }
    lines
}

/// The file, the files beside it, and the disk below them.
fn files(path: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        let name = if suffix.is_empty() { "database file".to_owned() } else { format!("file {suffix}") };
        let value = match fs::metadata(PathBuf::from(beside)) {
            Ok(found) if found.is_file() => {
                let owner =
                    if found.uid() == rustix::process::geteuid().as_raw() { "this user" } else { "another user" };
                format!("{} bytes, mode {:04o}, of {owner}", found.len(), found.mode() & 0o7777)
            }
            Ok(_) => "not a file".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => continue,
            Err(error) => format!("cannot be read: {}", error.kind()),
        };
        lines.push((name, value));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let (Ok(kind), Ok(space)) = (rustix::fs::statfs(directory), rustix::fs::statvfs(directory)) {
        let [free, total] = [space.f_bavail, space.f_blocks].map(|blocks| blocks * space.f_frsize / (1024 * 1024));
        lines.push(("disk".to_owned(), format!("{}, {free} MiB free of {total} MiB", file_system(kind.f_type))));
    }
    lines
}

/// The name of a kind of file system, from `linux/magic.h`.
fn file_system(magic: i64) -> String {
    let name = match magic {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x2FC1_2FC1 => "zfs",
        0xF2F5_2010 => "f2fs",
        0x0102_1994 => "tmpfs",
        0x794C_7630 => "overlay",
        0x6969 => "nfs (the file must be on a local disk)",
        0xFF53_4D42 | 0xFE53_4D42 => "cifs (the file must be on a local disk)",
        0x6573_5546 => "fuse",
        _ => return format!("file system {magic:#x}"),
    };
    name.to_owned()
}

/// The result of the check: the invariants that are broken, without the rows, which have names.
fn result(checked: &Result<Checked, OpenError>) -> Vec<String> {
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return vec![format!("not done: {}", error.kind())],
    };
    if checked.version < SCHEMA_VERSION {
        return vec![format!("the schema has version {}; the rows were not checked", checked.version)];
    }
    if checked.violations.is_empty() {
        return vec!["ok: every invariant holds".to_owned()];
    }
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for violation in &checked.violations {
        match counted.iter_mut().find(|(invariant, _)| *invariant == violation.invariant) {
            Some((_, count)) => *count += 1,
            None => counted.push((violation.invariant, 1)),
        }
    }
    counted.into_iter().map(|(invariant, count)| format!("broken, {count} times: {invariant}")).collect()
}
