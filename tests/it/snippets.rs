//! The programs of docs/agents.md, "A client in your language": each is saved, prepared and run with the commands beside it, takes a seat
//! although the first response is lost, and prints what the document says.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::*;
use crate::pasted::{ADDRESS, Demo};
use crate::validator::INSTALL;

const SECTION: &str = "\n## A client in your language\n";

/// The section, and the rest of the document, whose calls other tests make.
pub fn split(document: &str) -> (String, String) {
    let (before, rest) = document.split_once(SECTION).expect(SECTION);
    let (section, after) = rest.split_once("\n## ").expect("the section after it");
    (section.to_owned(), format!("{before}\n## {after}"))
}

/// A fenced block: its language and its text.
fn blocks(section: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = section.split("\n```").collect();
    assert_eq!(parts.len() % 2, 1, "every block ends");
    parts.iter().skip(1).step_by(2).map(|block| block.split_once('\n').expect("a language")).collect()
}

fn section() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/agents.md");
    split(&fs::read_to_string(path).expect("docs/agents.md")).0
}

macro_rules! run_in {
    ($($test:ident: $heading:literal;)*) => {
        $(#[test]
        fn $test() {
            run($heading);
        })*

        const HEADINGS: &[&str] = &[$($heading),*];
    };
}

run_in! {
    the_program_for_curl: "curl";
    the_program_in_csharp: "C#";
    the_program_in_java: "Java";
    the_program_in_php: "PHP";
    the_program_in_python: "Python";
    the_program_in_node: "Node";
    the_program_in_perl: "Perl";
    the_program_in_go: "Go";
}

#[test]
fn every_program_is_run() {
    let section = section();
    let headings: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings, [HEADINGS, &["Proxies of other toolkits"]].concat());
}

fn run(heading: &str) {
    let section = section();
    let expected: Vec<&str> =
        blocks(&section).into_iter().filter(|(l, _)| *l == "text").map(|(_, text)| text).collect();
    let [first, again] = expected[..] else { panic!("the output of the first run, and that of the second") };
    let (_, part) = section.split_once(&format!("\n### {heading}\n")).expect(heading);
    let part = part.split("\n### ").next().expect("a part");
    let blocks = blocks(part);
    let [(_, program), commands @ ..] = &blocks[..] else { panic!("{heading}: a program") };
    let text = part.replace('\n', " ");
    let name = ["Save the program as `", "Save it as `"].iter().find_map(|words| text.split_once(words));
    let (name, _) = name.and_then(|(_, rest)| rest.split_once('`')).expect("the name of the file");

    let directory = TempDir::new();
    let demo = Demo::start(&directory);
    let proxy = Cutting::before(&demo.address);
    fs::write(directory.join(name), program.replace(ADDRESS, &proxy.address) + "\n").expect("the program");
    let [preparation @ .., (_, call)] = commands else { panic!("{heading}: a command that runs it") };
    for (_, command) in preparation {
        shell(&directory, &command.replace(ADDRESS, &proxy.address));
    }
    for output in [first, again] {
        let said = shell(&directory, call);
        assert!(is_like(said.trim(), output), "{heading}: not {output:?} but {said:?}");
    }
    assert!(proxy.has_cut.load(Ordering::SeqCst), "a response was lost");
}

#[test]
fn the_commands_make_proxies() {
    let section = section();
    let (_, part) = section.split_once("\n### Proxies of other toolkits\n").expect("the part");
    let directory = TempDir::new();
    let demo = Demo::start(&directory);
    let [(_, commands)] = blocks(part)[..] else { panic!("one block") };
    shell(&directory, &commands.replace(ADDRESS, &demo.address));
    for file in [
        "WcfProxy.cs",
        "axis/axis/LicenseManagementServiceSoap_PortType.java",
        "soapLicenseManagementServiceSoapProxy.h",
        "kdsoap.cpp",
        "perl/Vendor/Interfaces/LicenseManagementService/LicenseManagementServiceSoap.pm",
    ] {
        assert!(directory.join(file).exists(), "no {file}: {:?}", files(&directory.join("")));
    }
}

/// The client in TypeScript that is made from the OpenAPI document, in a project as `npm init` makes it.
#[test]
fn the_program_in_typescript() {
    let document =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/agents.md")).expect("docs/agents.md");
    let (_, part) = document.split_once("\nopenapi-typescript 7 with openapi-fetch.").expect("the part");
    let part = part.split_once("\nopenapi-python-client").expect("the next part").0;
    let [(_, preparation), (_, program), (_, command), (_, output)] = blocks(part)[..] else { panic!("four blocks") };
    let directory = TempDir::new();
    let demo = Demo::start(&directory);
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/node/node_modules");
    std::os::unix::fs::symlink(packages, directory.join("node_modules")).expect("a link");
    // `tests/install` has installed what npm would download.
    let lines: Vec<String> = preparation
        .lines()
        .filter(|line| !line.starts_with("npm install "))
        .map(|l| l.replace(ADDRESS, &demo.address))
        .collect();
    assert_eq!(lines.len() + 1, preparation.lines().count());
    shell(&directory, &lines.join("\n"));
    fs::write(directory.join("seats.ts"), program.replace(ADDRESS, &demo.address) + "\n").expect("the program");
    let said = shell(&directory, command);
    assert!(is_like(said.trim(), output), "{said}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Runs a block as it stands; what it prints.
fn shell(directory: &TempDir, block: &str) -> String {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-eo", "pipefail", "-c", block])
        .current_dir(directory.join(""))
        .env_clear()
        .env("PATH", format!("{}:{path}", tools.join("venv/bin").display()))
        .env("HOME", directory.join(""))
        .env("NODE_PATH", tools.join("node/node_modules"))
        // Compiled packages stay for the next run; nothing is downloaded.
        .envs([("GOCACHE", tools.join("go-build")), ("GOPATH", tools.join("go"))])
        .envs([("GOFLAGS", "-mod=mod"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")])
        // No proxy stands between a test and its server.
        .envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")])
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{block}\n{}{}{INSTALL}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// `…` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else { return false };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || pattern.ends_with('…')
}

/// Passes everything on, except for the response to the first POST: the connection ends instead.
struct Cutting {
    address: String,
    has_cut: Arc<AtomicBool>,
}

impl Cutting {
    fn before(server: &str) -> Cutting {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let has_cut = Arc::new(AtomicBool::new(false));
        let (server, cut) = (server.to_owned(), Arc::clone(&has_cut));
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let service = TcpStream::connect(&server).expect("the service");
                let is_cut = Arc::new(AtomicBool::new(false));
                let ends = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
                let (from_client, to_service) = (ends(&client), ends(&service));
                let (cut, mark) = (Arc::clone(&cut), Arc::clone(&is_cut));
                std::thread::spawn(move || {
                    pass(from_client, to_service, |bytes| {
                        if bytes.starts_with(b"POST ") && !cut.swap(true, Ordering::SeqCst) {
                            mark.store(true, Ordering::SeqCst);
                        }
                        true
                    });
                });
                std::thread::spawn(move || {
                    // An interim response asks for the body.
                    pass(service, client, |bytes| !is_cut.load(Ordering::SeqCst) || bytes.starts_with(b"HTTP/1.1 100"));
                });
            }
        });
        Cutting { address, has_cut }
    }
}

/// Passes bytes on as long as `goes_on`, and then ends both connections.
fn pass(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 65536];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || !goes_on(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
