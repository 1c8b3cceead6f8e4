//! Every block of commands in the pages for operators is run by a test: `tests/packages/operators` walks through them in a bare Debian 12, and
//! `operators.not-run` says which test runs the others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 3] = ["operators.md", "tls.md", "monitoring.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Page, heading, and number of the block below that heading, from 1.
type Block = (String, String, usize);

fn blocks() -> BTreeSet<Block> {
    let mut blocks = BTreeSet::new();
    for page in PAGES {
        let (mut heading, mut number, mut is_inside) = (String::new(), 0, false);
        for line in read(&format!("docs/{page}")).lines() {
            if let Some(language) = line.strip_prefix("```") {
                is_inside = !is_inside;
                if is_inside && language == "sh" {
                    number += 1;
                    blocks.insert((page.to_owned(), heading.clone(), number));
                }
                assert!(!["bash", "shell", "console"].contains(&language), "{page}, {heading}: commands are ```sh");
            } else if !is_inside && line.starts_with('#') {
                (heading, number) = (line.trim_start_matches('#').trim().to_owned(), 0);
            }
        }
        assert!(!is_inside, "{page}: a block does not end");
    }
    blocks
}

#[test]
fn every_command_for_operators_is_run_by_a_test() {
    let blocks = blocks();
    let list = read("tests/packages/operators.not-run");
    let mut not_walked = BTreeSet::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let [page, heading, number, test] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}")
        };
        let block = (page.to_owned(), heading.to_owned(), number.parse().expect("a number"));
        assert!(blocks.contains(&block), "there is no such block: {line}");
        match test.strip_prefix("none: ") {
            Some(reason) => assert!(reason.len() > 10, "why not? {line}"),
            None => {
                let source = read(test.split_whitespace().next().expect("the file of a test"));
                assert!(source.contains(heading) || source.contains(page), "{test} says nothing of it: {line}");
            }
        }
        assert!(not_walked.insert(block), "twice: {line}");
    }
    let walked = blocks.difference(&not_walked).filter(|(page, ..)| page == "operators.md").count();
    assert!(walked >= 15, "{walked}");
    assert!(read("tests/packages/run").contains("tests/packages/operators"), "a whole run walks through them");
}

/// A page that nobody finds is not read: each page of docs/ is in the table of README.md, says who it is for, and leads on.
#[test]
fn every_page_says_its_reader_and_leads_on() {
    let readme = read("README.md");
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).expect("docs/").map(|e| e.expect("a file").path()).collect();
    pages.retain(|page| page.extension().is_some_and(|e| e == "md"));
    pages.sort();
    for page in pages {
        let name = page.file_name().expect("a name").to_str().expect("UTF-8");
        let text = read(&format!("docs/{name}"));
        let mut lines = text.lines();
        assert!(lines.next().is_some_and(|title| title.starts_with("# ")), "{name}: a title");
        let first = text.split("\n\n").nth(1).expect("a paragraph").replace('\n', " ");
        assert!(first.starts_with("For "), "{name} begins with its reader: {first}");
        assert!(text.contains(".md)") || text.contains(".md#"), "{name} leads on");
        assert!(readme.contains(&format!("docs/{name}")), "README.md leads to {name}");
    }
}

/// Links between the pages, and to places in them.
#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    let pages = fs::read_dir(root().join("docs")).expect("docs/").map(|e| e.expect("a file").path());
    for page in pages.filter(|p| p.extension().is_some_and(|e| e == "md")).chain([root().join("README.md")]) {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') || link.is_empty() {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            let leads = target.exists() && (place.is_empty() || anchors(&target).contains(place));
            if !leads {
                found.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

/// The names that GitHub gives headings.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).expect("a page");
    let mut is_inside = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_inside ^= line.starts_with("```");
        if !is_inside && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let second = format!("{anchor}-1");
            if !anchors.insert(anchor) {
                anchors.insert(second);
            }
        }
    }
    anchors
}
