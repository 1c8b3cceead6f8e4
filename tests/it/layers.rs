//! What the sources may look like: the layer table of `src/lib.rs`, which crate appears where, and a few habits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Crates that belong to one part, and that part. The last paragraph of the map in `src/lib.rs` says so.
const CRATES: [(&str, &[&str]); 7] = [
    ("axum", &["http", "routes", "asmx", "netserver", "admin"]),
    ("deadpool", &["store::postgres"]),
    ("ed25519_dalek", &["chain::sign"]),
    ("quick_xml", &["soap"]),
    ("rusqlite", &["store::sqlite", "cli::sql"]),
    ("tokio_postgres", &["store::postgres"]),
    ("tokio_rustls", &["http::tls", "net::tls", "store::postgres"]),
];

/// Of a file under `src`.
const LINES_MAX: usize = 600;

#[test]
fn modules_use_only_what_the_table_allows() {
    let table = table(&read(&root().join("src/lib.rs")));
    let modules: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    let mut found = Vec::new();
    for source in sources() {
        // The map itself; and files of tests, which are not built into anything.
        if source.path == ["lib"] || source.path.ends_with(&["tests".to_owned()]) {
            continue;
        }
        let Some(allowed) = table.get(&source.path[0]) else {
            panic!("{}: the table in src/lib.rs has no row for it", source.name);
        };
        for used in source.uses(&modules) {
            assert_ne!(used, "*", "{}: name what you use of this crate", source.name);
            if used != source.path[0] && !allowed.contains(&used) && modules.contains(used.as_str()) {
                found.push(format!("{} uses {used}", source.name));
            }
        }
    }
    assert_eq!(found, [""; 0], "not in the table of src/lib.rs");
}

#[test]
fn the_table_names_every_module() {
    let table = table(&read(&root().join("src/lib.rs")));
    let modules: BTreeSet<String> = sources().into_iter().map(|s| s.path[0].clone()).filter(|m| m != "lib").collect();
    assert_eq!(table.into_keys().collect::<BTreeSet<_>>(), modules);
}

#[test]
fn crates_stay_where_they_belong() {
    let mut found = Vec::new();
    for source in sources() {
        let path = source.path.join("::");
        for (name, homes) in CRATES {
            let at_home = homes.iter().any(|home| path == *home || path.starts_with(&format!("{home}::")));
            if !at_home && !words(&source.code, name).is_empty() {
                found.push(format!("{} uses {name}", source.name));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn code_is_safe_finished_and_in_small_files() {
    assert!(read(&root().join("src/lib.rs")).lines().any(|line| line == "#![forbid(unsafe_code)]"));
    let mut found = Vec::new();
    for source in sources() {
        if source.lines > LINES_MAX {
            found.push(format!("{} has {} lines; {LINES_MAX} are the most", source.name, source.lines));
        }
    }
    for file in files().iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
        let code = code(&read(file));
        for leftover in ["todo", "unimplemented", "dbg"] {
            if words(&code, leftover).iter().any(|rest| rest.starts_with('!')) {
                found.push(format!("{} has {leftover}!", shown(file)));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

/// A path of somebody's machine helps nobody else.
#[test]
fn no_file_names_a_path_of_a_machine() {
    let mut found = Vec::new();
    for file in files() {
        let Ok(text) = String::from_utf8(std::fs::read(&file).expect("a file of the project")) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            for directory in ["work", "root", "home", "Users"] {
                let absolute = |at: usize| line[..at].chars().next_back().is_none_or(|c| !is_path(c));
                let starts = words(line, directory).into_iter().map(|rest| line.len() - rest.len() - directory.len());
                if starts.into_iter().any(|at| line[..at].ends_with('/') && absolute(at - 1)) {
                    found.push(format!("{}:{number}: {}", shown(&file), line.trim()));
                }
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || "/._-~}*".contains(c)
}

/// Who may use whom, from the map's table. In its cells "those" are the modules of the cell above, and "everything
/// above" are the modules of all rows above; a row's own modules may use the ones before them if the row says "then".
fn table(lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut table = BTreeMap::new();
    let mut those = BTreeSet::new();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! |")?.strip_suffix('|')?.split_once('|')).skip(2);
    for (modules, uses) in rows {
        let above: BTreeSet<String> = table.keys().cloned().collect();
        let mut allowed: BTreeSet<String> = quoted(uses).collect();
        let prose = uses.split('`').step_by(2).collect::<String>();
        let prose = prose.trim().trim_end_matches("; never each other");
        match prose.trim_matches([' ', ',']) {
            "" | "nothing" => {}
            "those" => allowed.append(&mut those),
            "everything above" => allowed.extend(above),
            other => panic!("a cell of the table in src/lib.rs that this test does not understand: {other}"),
        }
        those = allowed.clone();
        for module in quoted(modules) {
            table.insert(module.clone(), allowed.clone());
            if modules.contains("then") {
                allowed.insert(module);
            }
        }
    }
    table
}

fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// A file under `src`.
struct Source {
    name: String,
    /// Of the module.
    path: Vec<String>,
    code: String,
    lines: usize,
}

impl Source {
    /// The modules at the top of this crate that the file names, however it spells the way there.
    fn uses(&self, modules: &BTreeSet<&str>) -> BTreeSet<String> {
        let start = if self.path == ["main"] { "seatkeeper" } else { "crate" };
        let mut used = BTreeSet::new();
        for rest in words(&self.code, start) {
            used.extend(rest.strip_prefix("::").map(first_segments).unwrap_or_default());
        }
        for mut rest in words(&self.code, "super") {
            let mut up = 1;
            while let Some(next) = rest.strip_prefix("::super") {
                (up, rest) = (up + 1, next);
            }
            // As many steps up as the file is deep lead to the top, or to less in a module inside the file.
            if up >= self.path.len() {
                let names = rest.strip_prefix("::").map(first_segments).unwrap_or_default();
                used.extend(names.into_iter().filter(|name| modules.contains(name.as_str())));
            }
        }
        used
    }
}

/// The first names of a path, or of the paths in braces.
fn first_segments(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        if text.starts_with('*') {
            return "*".to_owned();
        }
        text.chars().take_while(|c| is_word(*c)).collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = vec![name(group)];
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

/// What follows each place where this word stands.
fn words<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let alone = |at: usize| !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word);
    text.match_indices(word).filter(|(at, _)| alone(*at)).map(|(at, _)| &text[at + word.len()..]).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    let rust = files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    rust.map(|file| {
        let module = file.strip_prefix(&src).expect("under src").with_extension("");
        let path = module.iter().map(|part| part.to_str().expect("UTF-8").to_owned()).filter(|part| part != "mod");
        let text = read(&file);
        Source { name: shown(&file), path: path.collect(), code: code(&text), lines: text.lines().count() }
    })
    .collect()
}

/// Name and text of each file under `src`.
pub fn texts() -> Vec<(String, String)> {
    let mut files = Vec::new();
    walk(&root().join("src"), &mut files);
    files.retain(|file| file.extension().is_some_and(|e| e == "rs"));
    files.iter().map(|file| (shown(file), read(file))).collect()
}

/// Without the lines that are comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| line.to_owned() + "\n").collect()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", shown(file)))
}

/// A file's name as the project knows it.
fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the project: what git knows or would add; without git, what is there.
fn files() -> Vec<PathBuf> {
    let git = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut files: Vec<PathBuf> = match git {
        Ok(git) if git.status.success() && !git.stdout.is_empty() => {
            let names = String::from_utf8(git.stdout).expect("file names are UTF-8");
            names.split_terminator('\0').map(|name| root().join(name)).collect()
        }
        _ => {
            let mut files = Vec::new();
            walk(root(), &mut files);
            files
        }
    };
    files.retain(|file| file.is_file());
    assert!(files.contains(&root().join("src/lib.rs")), "{files:?}");
    files
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory of the project") {
        let path = entry.expect("an entry").path();
        if !path.is_dir() {
            files.push(path);
        } else if !path.ends_with("target") && !path.ends_with(".git") {
            walk(&path, files);
        }
    }
}
