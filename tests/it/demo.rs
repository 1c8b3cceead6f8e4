//! `seatkeeper demo` leaves nothing behind, however it ends, and removes what earlier demos left.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::*;

/// A demo whose temporary directory is this one. It does not ignore SIGHUP, also where the tests run under nohup(1).
fn demo(temporary: &Path) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_seatkeeper"), "demo", "--listen", "127.0.0.1:0"]);
    command.env_clear().env("TMPDIR", temporary).stderr(Stdio::null());
    command
}

/// Waits until the demo has printed where it is.
fn wait_until_ready(demo: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut output = BufReader::new(demo.stdout.take().expect("is piped"));
    let mut line = String::new();
    while !line.contains("operations   http://") {
        line.clear();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "it ended");
    }
    output
}

fn directories(temporary: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(temporary.join("")).expect("the directory");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found
}

#[test]
fn a_demo_removes_its_directory_however_it_ends() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let temporary = TempDir::new();
        let mut demo = demo(&temporary.join("")).stdout(Stdio::piped()).spawn().expect("the demo starts");
        let _output = wait_until_ready(&mut demo);
        assert_eq!(directories(&temporary).len(), 1);
        kill_process(Pid::from_child(&demo), signal).expect("a signal");
        assert_eq!(demo.wait().expect("it ends").code(), Some(0), "{signal:?}");
        assert_eq!(directories(&temporary), Vec::<PathBuf>::new(), "{signal:?}");
    }
}

/// At moments of the start at which the service does not take signals yet; the first is when the directory has just been made.
#[test]
fn a_demo_that_is_stopped_while_it_starts_leaves_nothing() {
    for milliseconds in [None, None, None, Some(15), Some(30), Some(60), Some(90)] {
        let temporary = TempDir::new();
        let mut demo = demo(&temporary.join("")).stdout(Stdio::null()).spawn().expect("the demo starts");
        match milliseconds {
            Some(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
            None => {
                let begun = Instant::now();
                while directories(&temporary).is_empty() {
                    assert!(begun.elapsed() < LONG, "it makes no directory");
                }
            }
        }
        // Not SIGINT: a shell in whose background the tests run has them ignore it.
        kill_process(Pid::from_child(&demo), Signal::TERM).expect("a signal");
        demo.wait().expect("it ends");
        assert_eq!(directories(&temporary), Vec::<PathBuf>::new(), "after {milliseconds:?} ms");
    }
}

#[test]
fn a_demo_ends_with_its_terminal_and_leaves_nothing() {
    let temporary = TempDir::new();
    let mut terminal = Command::new("script");
    // `script` is the terminal, and closes it when it is killed.
    terminal.args(["--quiet", "--flush", "--return", "--command"]);
    let program = env!("CARGO_BIN_EXE_seatkeeper");
    terminal.arg(format!("exec env --default-signal=HUP '{program}' demo --listen 127.0.0.1:0")).arg("/dev/null");
    terminal.env("TMPDIR", temporary.join("")).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut terminal = terminal.spawn().expect("script, of bsdutils");
    let _output = wait_until_ready(&mut terminal);
    assert_eq!(directories(&temporary).len(), 1);
    terminal.kill().expect("it can be killed");
    terminal.wait().expect("it was killed");
    wait_until("the directory is gone", || directories(&temporary).is_empty());
}

#[test]
fn a_demo_that_cannot_start_leaves_nothing() {
    let temporary = TempDir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    demo.args(["demo", "--listen", &address]).env_clear().env("TMPDIR", temporary.join("")).stderr(Stdio::null());
    assert_eq!(demo.status().expect("it runs").code(), Some(3));
    assert_eq!(directories(&temporary), Vec::<PathBuf>::new());
}

#[test]
fn a_demo_removes_what_killed_demos_left_and_nothing_else() {
    let temporary = TempDir::new();
    let id = |n: u32| format!("seatkeeper-demo-00000000-0000-4000-8000-00000000000{n}");
    let make = |name: &str, file: &str| {
        let directory = temporary.join(name);
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join(file), "").expect("a file");
        directory
    };
    let age = |directory: &Path| {
        let old = SystemTime::now() - Duration::from_secs(3600);
        for entry in fs::read_dir(directory).expect("a directory") {
            let file = fs::File::open(entry.expect("an entry").path()).expect("a file");
            file.set_modified(old).expect("its time");
        }
        fs::File::open(directory).expect("the directory").set_modified(old).expect("its time");
    };
    let left = make(&id(1), "seatkeeper.db");
    fs::write(left.join("seatkeeper.db-wal"), "").expect("a file");
    let kept = [
        make(&id(2), "notes.txt"),
        make("seatkeeper-demo-of-mine", "seatkeeper.db"),
        make("seatkeeper-test-00000000-0000-4000-8000-000000000004", "seatkeeper.db"),
    ];
    let elsewhere = make("elsewhere", "seatkeeper.db");
    let link = temporary.join(&id(5));
    std::os::unix::fs::symlink(&elsewhere, &link).expect("a link");
    let recent = make(&id(6), "seatkeeper.db");
    for directory in [&left, &elsewhere].into_iter().chain(&kept) {
        age(directory);
    }
    // A demo that has run for an hour.
    let mut running = demo(&temporary.join("")).stdout(Stdio::piped()).spawn().expect("the demo starts");
    let _output = wait_until_ready(&mut running);
    assert!(!left.exists(), "what was left behind is gone");
    let used = directories(&temporary).into_iter().find(|path| {
        path.join("seatkeeper.db-wal").exists()
            && path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("seatkeeper-demo-"))
    });
    let used = used.expect("the running demo's");
    age(&used);
    let mut other = demo(&temporary.join("")).stdout(Stdio::piped()).spawn().expect("the demo starts");
    let _output = wait_until_ready(&mut other);
    for directory in kept.iter().chain([&elsewhere, &link, &recent, &used]) {
        assert!(directory.exists(), "{}", directory.display());
    }
    for demo in [&mut running, &mut other] {
        kill_process(Pid::from_child(demo), Signal::TERM).expect("a signal");
        demo.wait().expect("it ends");
    }
}
