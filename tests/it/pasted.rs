//! The calls in the documents, pasted into a shell one after the other while the demo runs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::*;
use crate::snippets;
use crate::validator::{self, INSTALL};

/// Where the documents have the demo.
pub const ADDRESS: &str = "127.0.0.1:8086";
const END: &str = "@@ ended with ";

/// Where a document says what exactly is answered, it is. Otherwise there is an answer, and it is none of the errors.
#[test]
fn the_calls_in_the_documents_do_what_is_said_of_them() {
    let directory = TempDir::new();
    let demo = Demo::start(&directory);
    for (file, calls_min) in [("README.md", 2), ("docs/agents.md", 8)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let document = std::fs::read_to_string(path).expect(file);
        let document = if file == "README.md" { document } else { snippets::split(&document).1 };
        let calls = calls(&document);
        assert!(calls.len() >= calls_min, "{file}: {} calls", calls.len());
        // One shell, because a call may use what one before it kept.
        let mut script =
            "set -o pipefail; curl() { command curl -q --fail-with-body --noproxy '*' \"$@\"; }\n".to_owned();
        for (call, _) in &calls {
            script += &format!("{}\necho; echo \"{END}$?\"\n", call.replace(ADDRESS, &demo.address));
        }
        let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let answers: Vec<&str> = said.split(END).collect();
        assert_eq!(answers.len(), calls.len() + 1, "{said}");
        for (at, (call, expected)) in calls.iter().enumerate() {
            // In front of an answer is the exit code of the call before it.
            let answer =
                answers[at].split_once('\n').map_or("", |(_, rest)| if at == 0 { answers[0] } else { rest }).trim();
            assert!(answers[at + 1].starts_with("0\n"), "{file}: {call}\n{answer}");
            if let Some(expected) = expected {
                assert_eq!(answer, *expected, "{file}: {call}");
            }
            assert!(!answer.is_empty() || call.starts_with("ticket="), "{file}: {call}");
        }
    }
}

/// The programs on toolkits, each with the one in the document that calls this service.
#[test]
fn the_programs_in_the_documents_take_a_seat() {
    let directory = TempDir::new();
    let demo = Demo::start(&directory);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (_, document) = snippets::split(&std::fs::read_to_string(root.join("docs/agents.md")).expect("docs/agents.md"));
    let mut ran = Vec::new();
    for language in ["python", "php", "js", "perl", "tcl"] {
        for block in document.split(&format!("\n```{language}\n")).skip(1) {
            let (program, _) = block.split_once("\n```").expect("its end");
            if !program.contains("LicenseManagementService.asmx") {
                continue;
            }
            let program = program.replace(ADDRESS, &demo.address);
            // NuSOAP of Debian is older than PHP 8.
            let nusoap = root.join("tests/clients/nusoap.php");
            let program = program.replace("\"nusoap.php\"", &format!("\"{}\"", nusoap.display()));
            let file = directory.join(&format!("program.{language}"));
            std::fs::write(&file, &program).expect("the program");
            let mut command = match language {
                "python" if program.contains("pysimplesoap") => Command::new("/usr/bin/python3"),
                "python" => Command::new(validator::python()),
                "js" => Command::new("node"),
                "tcl" => Command::new("tclsh"),
                interpreter => Command::new(interpreter),
            };
            command
                .arg(&file)
                .env("NODE_PATH", root.join("target/test-tools/node/node_modules"))
                // No proxy stands between a test and its server.
                .envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")]);
            let output = command.output().unwrap_or_else(|e| panic!("{language}: {e}. {INSTALL}"));
            let said = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(said.starts_with("0 Success"), "{program}\n{said}{errors}{INSTALL}");
            ran.push(language);
        }
    }
    assert_eq!(ran, ["python", "php", "js", "perl", "tcl"]);
}

/// Blocks of shell with a call in them, each with the JSON that stands right behind it.
fn calls(document: &str) -> Vec<(&str, Option<&str>)> {
    let blocks = document.split("\n```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| {
        let (call, rest) = rest.split_once("\n```\n")?;
        let answer = rest.strip_prefix("\n```json\n").and_then(|rest| rest.split_once("\n```")).map(|(json, _)| json);
        Some((call, answer))
    });
    blocks.filter(|(call, _)| call.contains("curl ") && call.contains(ADDRESS)).collect()
}

/// `seatkeeper demo`, which ends when this is dropped.
pub struct Demo {
    process: Child,
    pub address: String,
}

impl Demo {
    pub fn start(directory: &TempDir) -> Demo {
        let mut process = crate::program::command()
            .args(["demo", "--listen", "127.0.0.1:0", "--database"])
            .arg(directory.join("demo.db"))
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "TMPDIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo starts");
        let lines = BufReader::new(process.stdout.take().expect("is piped")).lines().map_while(Result::ok);
        let address = lines.into_iter().find_map(|line| {
            let (_, rest) = line.split_once("operations   http://")?;
            rest.split('/').next().map(str::to_owned)
        });
        Demo { process, address: address.expect("the guide says where it is") }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it was killed");
    }
}
