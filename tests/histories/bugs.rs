//! A build of the program with known faults, to see that the checker finds them. The table is `bugs.toml`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    support: Vec<Change>,
    #[serde(rename = "bug")]
    pub bugs: Vec<Bug>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bug {
    pub name: String,
    pub what: String,
    /// Whether the service runs as one process, and its file is not written to by hand.
    #[serde(default)]
    pub is_alone: bool,
    #[serde(rename = "change")]
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    file: PathBuf,
    search: String,
    replace: String,
}

/// The table.
pub fn table() -> Table {
    toml::from_str(include_str!("bugs.toml")).unwrap_or_else(|e| panic!("tests/histories/bugs.toml: {e}"))
}

/// Changes of the table that do not fit the source, in words: what is searched for must stand exactly once in the file.
pub fn unfit(table: &Table) -> Vec<String> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changes = table.support.iter().chain(table.bugs.iter().flat_map(|bug| &bug.changes));
    let unfit = changes.filter_map(|change| {
        let found =
            std::fs::read_to_string(ours.join(&change.file)).map_or(0, |text| text.matches(&change.search).count());
        let Change { file, search, .. } = change;
        (found != 1).then(|| format!("{}, {found} times: {search}", file.display()))
    });
    unfit.collect()
}

/// What the copy of the source has of ours, but for the manifest. Its tests are one empty file.
const COPIED: [&str; 8] =
    ["src", "bench", "schema.sql", "schema.postgres.sql", "wsdl", "openapi.json", "swagger.json", "deploy"];
/// The binary in the copy: it must not take the place of the real one.
const BINARY: &str = "seatkeeper-seeded";

/// Builds the program with all faults of the table in it, none of them switched on. Only this crate is built: the others are those of
/// the tests, in the same target directory.
pub fn build(table: &Table, place: &Path) -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = place.join("source");
    let changes: Vec<&Change> = table.support.iter().chain(table.bugs.iter().flat_map(|bug| &bug.changes)).collect();
    for name in COPIED {
        copy_changed(ours, Path::new(name), &copy, &changes);
    }
    // Cargo tells packages of two workspaces in one target directory apart by name and version, not by place.
    let version = |text: &str| {
        let ours = concat!("name = \"seatkeeper\"\nversion = \"", env!("CARGO_PKG_VERSION"));
        assert_eq!(text.matches(ours).count(), 1, "the version of this package stands behind its name");
        text.replace(ours, &format!("{ours}-seeded"))
    };
    let read = |name| std::fs::read_to_string(ours.join(name)).expect(name);
    let binary = format!("\n[[bin]]\nname = \"{BINARY}\"\npath = \"src/main.rs\"\n");
    write_if_new(&copy.join("Cargo.toml"), (version(&read("Cargo.toml")) + &binary).as_bytes());
    write_if_new(&copy.join("Cargo.lock"), version(&read("Cargo.lock")).as_bytes());
    write_if_new(&copy.join("tests/it/main.rs"), b"");

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The build of an (empty) test has the features of the dependencies that our tests were built with.
    let mut build = Command::new(cargo);
    build.current_dir(&copy).args(["test", "--no-run", "--locked", "--test", "it"]);
    build.env("CARGO_TARGET_DIR", target());
    let output = build.output().unwrap_or_else(|e| panic!("{build:?}: {e}"));
    assert!(output.status.success(), "{build:?}: {}", String::from_utf8_lossy(&output.stderr));
    target().join("debug").join(BINARY)
}

/// Where the tests were built.
fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => Path::new(env!("CARGO_MANIFEST_DIR")).join(target),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
    }
}

/// Copies a file, or a directory and all that is below it, with the changes made.
fn copy_changed(ours: &Path, name: &Path, copy: &Path, changes: &[&Change]) {
    let from = ours.join(name);
    if from.is_dir() {
        for entry in std::fs::read_dir(&from).expect("a directory") {
            copy_changed(ours, &name.join(entry.expect("an entry").file_name()), copy, changes);
        }
    } else if from.exists() {
        let bytes = std::fs::read(&from).expect("a file");
        match changes.iter().any(|change| change.file == name) {
            true => write_if_new(&copy.join(name), changed(name, bytes, changes).as_bytes()),
            false => write_if_new(&copy.join(name), &bytes),
        }
    }
}

fn changed(name: &Path, bytes: Vec<u8>, changes: &[&Change]) -> String {
    let mut text = String::from_utf8(bytes).expect("source is UTF-8");
    for change in changes.iter().filter(|change| change.file == name) {
        let found = text.matches(&change.search).count();
        assert_eq!(
            found,
            1,
            "tests/histories/bugs.toml is out of date: '{}' must stand exactly once in {}. Update the table: write the same fault \
             for the source as it is now.",
            change.search,
            name.display()
        );
        text = text.replace(&change.search, change.replace.trim());
    }
    text
}

/// What is the same keeps its time of change, so that nothing is built in vain.
fn write_if_new(path: &Path, bytes: &[u8]) {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return;
    }
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory in target");
    std::fs::write(path, bytes).expect("a file in target");
}
