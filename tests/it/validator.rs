//! Holds every SOAP answer that a test gets to the schemas in the WSDLs and to the rules for envelopes and faults, and every
//! answer of the Web API that is XML to being XML. Python and lxml do it, so that nothing of ours judges itself: one
//! process, `tests/clients/validate.py`, for all tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use seatkeeper::asmx::{CONTRACT, wsdl};
use seatkeeper::netserver;
use serde_json::json;

use crate::harness::Answer;

/// What there is to do about a toolkit that does not work.
pub const INSTALL: &str = "If something is not installed, run tests/install.";

/// The Python that `tests/install` brings, with lxml and zeep.
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin/python")
}

/// What a program in `tests/clients` writes about what it reads.
pub fn run(program: &str, input: &str) -> String {
    let mut child = start(program);
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the program reads its input");
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}. {INSTALL}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn start(program: &str) -> Child {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = Command::new(python());
    command.arg(clients.join(program)).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap_or_else(|e| panic!("{}: {e}. {INSTALL}", python().display()))
}

/// Fails the test that got a SOAP answer with something wrong in it. Without that Python nothing is checked here; the
/// tests of `clients` fail then, and say what to do.
pub fn check(answer: &Answer) {
    if is_soap(answer) {
        if python().exists() {
            assert_eq!(problems(answer), [""; 0], "{answer:?}");
        }
    } else if answer.header("content-type").is_some_and(|typed| typed.starts_with("application/xml")) {
        check_xml(answer);
    }
}

/// Fails the test that got an answer of the Web API that says it is XML, and is not.
pub fn check_xml(answer: &Answer) {
    let typed = answer.header("content-type").unwrap_or_default();
    let is_xml = ["text/xml", "application/xml"].iter().any(|t| typed.starts_with(t)) && !answer.body.is_empty();
    if is_xml && python().exists() {
        assert_eq!(problems_of_xml(answer), [""; 0], "{answer:?}");
    }
}

/// What is wrong with an answer, which should be SOAP.
pub fn problems(answer: &Answer) -> Vec<String> {
    found(answer, true)
}

/// What is wrong with an answer, which should be XML.
pub fn problems_of_xml(answer: &Answer) -> Vec<String> {
    found(answer, false)
}

fn found(answer: &Answer, is_soap: bool) -> Vec<String> {
    static VALIDATOR: LazyLock<Mutex<Validator>> = LazyLock::new(|| Mutex::new(Validator::start()));
    VALIDATOR.lock().unwrap_or_else(PoisonError::into_inner).problems(answer, is_soap)
}

/// An empty answer to what is not XML is typed as SOAP; the documents are XML and no SOAP.
fn is_soap(answer: &Answer) -> bool {
    let typed = answer.header("content-type").unwrap_or_default();
    let root = answer.body.split_once("?>").map_or("", |(_, rest)| rest.trim_start());
    let document = ["<wsdl:definitions", "<discovery"].iter().any(|document| root.starts_with(document));
    ["text/xml", "application/soap+xml"].iter().any(|t| typed.starts_with(t)) && !answer.body.is_empty() && !document
}

struct Validator {
    child: Child,
    answers: ChildStdin,
    found: BufReader<ChildStdout>,
}

impl Validator {
    fn start() -> Validator {
        let mut child = start("validate.py");
        let found = BufReader::new(child.stdout.take().expect("piped"));
        let mut validator = Validator { answers: child.stdin.take().expect("piped"), found, child };
        let netserver =
            netserver::Endpoint::all().map(|endpoint| netserver::wsdl::render(endpoint, "http://localhost/"));
        let wsdls: Vec<String> = [wsdl::render(&CONTRACT, "http://localhost/")].into_iter().chain(netserver).collect();
        validator.tell(&json!(wsdls));
        validator
    }

    fn tell(&mut self, value: &serde_json::Value) {
        // If the program has ended, the line that is missing tells.
        let _ = writeln!(self.answers, "{value}");
    }

    fn problems(&mut self, answer: &Answer, is_soap: bool) -> Vec<String> {
        let (status, typed) = (answer.status, answer.header("content-type"));
        self.tell(&json!({ "is_soap": is_soap, "status": status, "content_type": typed, "body": answer.body }));
        let mut line = String::new();
        let read = self.found.read_line(&mut line);
        assert!(read.is_ok_and(|n| n > 0), "the validator has ended: {:?}. {INSTALL}", self.child.wait());
        serde_json::from_str(&line).expect("a list")
    }
}
