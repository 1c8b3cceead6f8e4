//! The calls in the documents, pasted into a shell one after the other while the demo runs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::*;

/// Where the documents have the demo.
const ADDRESS: &str = "127.0.0.1:8086";
const END: &str = "@@ ended with ";

/// Where a document says what exactly is answered, it is. Otherwise there is an answer, and it is none of the errors.
#[test]
fn the_calls_in_the_documents_do_what_is_said_of_them() {
    let directory = TempDir::new();
    let demo = Demo::start(&directory);
    for (file, calls_min) in [("README.md", 2), ("docs/agents.md", 8)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let document = std::fs::read_to_string(path).expect(file);
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
struct Demo {
    process: Child,
    address: String,
}

impl Demo {
    fn start(directory: &TempDir) -> Demo {
        let mut process = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
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
