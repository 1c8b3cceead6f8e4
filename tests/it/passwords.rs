//! An address with its password in a wrong place: no command shows the password, whatever it says.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::program::{Done, command, run};

const SECRET: &str = "topsecret";

/// Addresses that a user may type: right, without a host, with characters that must be encoded, with blanks, and as the words of libpq.
const ADDRESSES: [&str; 6] = [
    "postgres://u:topsecret@127.0.0.1:1/d?connect_timeout=1",
    "postgres://u:topsecret/d",
    "postgres://u:p@topsecret@127.0.0.1:1/d",
    "postgres://u:p/topsecret, it's",
    "postgres://127.0.0.1:1/d?user=u&password=topsecret&connect_timeout=1",
    "host=127.0.0.1 password='p topsecret' port=1",
];

/// Every verb with its subcommands, such as `pool list`, and its flags that take a value.
fn verbs() -> Vec<(Vec<String>, Vec<String>)> {
    let mut waiting = vec![vec![]];
    let mut found = Vec::new();
    while let Some(verb) = waiting.pop() {
        let done = run(command().args(&verb).arg("--help"), "");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{verb:?}");
        let mut flags = Vec::new();
        let mut is_command = false;
        for line in done.stdout.lines() {
            is_command = line == "Commands:" || is_command && line.starts_with("  ");
            let name = line.trim_start().split(' ').next().unwrap_or_default();
            if is_command && line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
                waiting.push([verb.as_slice(), &[name.to_owned()]].concat());
            }
            let flag = line.split_once("--").filter(|(before, _)| before.trim_start().len() <= 4);
            if let Some((flag, _)) = flag.and_then(|(_, flag)| flag.split_once(" <")) {
                flags.push(format!("--{flag}"));
            }
        }
        found.push((verb, flags));
    }
    found
}

/// Runs a command to its end, or for some seconds: a service may start.
fn done(words: &[&str], directory: &Path) -> Done {
    done_on(None, words, directory)
}

fn done_on(database: Option<&Path>, words: &[&str], directory: &Path) -> Done {
    let (out, err) = (directory.join("stdout"), directory.join("stderr"));
    let file = |path| std::fs::File::create(path).expect("a file");
    let mut command = command();
    command.args(words).current_dir(directory).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
    if let Some(database) = database {
        command.env("SEATKEEPER_DATABASE", database);
    }
    let mut child = command.spawn().expect("the program starts");
    let begun = Instant::now();
    let code = loop {
        match child.try_wait().expect("its state") {
            Some(status) => break status.code(),
            None if begun.elapsed() > Duration::from_secs(5) => {
                let _ = child.kill();
                break child.wait().expect("it ends").code();
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = |path| std::fs::read_to_string(path).expect("UTF-8");
    let done = Done { code, stdout: text(&out), stderr: text(&err) };
    assert!(!done.stderr.contains("panicked"), "{words:?}: {done:?}");
    done
}

#[test]
fn no_command_shows_the_password_of_an_address_in_a_wrong_place() {
    let directory = TempDir::new();
    let directory = directory.join("");
    let verbs = verbs();
    assert!(verbs.len() > 50 && verbs.iter().any(|(_, flags)| flags.iter().any(|flag| flag == "--since")), "{verbs:?}");
    let mut shown = Vec::new();
    let mut shows = |words: &[&str]| {
        let done = done(words, &directory);
        if format!("{done:?}").contains(SECRET) {
            shown.push(format!("{words:?}: {done:?}"));
        }
        done
    };
    for (verb, flags) in &verbs {
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        for address in ADDRESSES {
            shows(&[&verb[..], &[address]].concat());
        }
        let address = ADDRESSES[0];
        // A tip may name an argument.
        for words in [&["users", address][..], &["--no-such-flag", address], &[&format!("--databas={address}")]] {
            shows(&[&verb[..], words].concat());
        }
        let too_many = shows(&[&verb[..], &[address; 9]].concat());
        assert_eq!(too_many.code, Some(2), "{verb:?}: {too_many:?}");
        for flag in flags {
            shows(&[&verb[..], &[flag, address]].concat());
            shows(&[&verb[..], &[&format!("{flag}={}", ADDRESSES[1])]].concat());
        }
    }
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn no_command_that_has_its_database_shows_the_password_of_an_address() {
    let directory = TempDir::new();
    let directory = directory.join("");
    let database = TestDatabase::new(&sample_data());
    let mut shown = Vec::new();
    for line in [
        "serve --listen URL",
        "serve --listen 127.0.0.1:0 --audit-key URL",
        "serve --listen 127.0.0.1:0 --tls-certificate URL --tls-key URL",
        "serve --listen 127.0.0.1:0 --public-url URL",
        "serve --listen 127.0.0.1:0 --trusted-proxies URL",
        "sql URL",
        "backup URL",
        "backup --keep 2 URL",
        "restore URL",
        "restore --dry-run URL",
        "check --config URL",
        "config --config URL",
        "copy --from URL --to URL",
        "copy --from other.db --to URL",
        "copy --from URL --to other.db",
        "health URL",
        "health http://u:topsecret@127.0.0.1:1/",
        "import URL -",
        "import users URL",
        "export URL",
        "undo URL",
        "report URL",
        "report 42 --since URL",
        "explain URL",
        "refusals --since URL",
        "who --entity URL",
        "pool set URL note=x",
        "pool set 1 URL",
        "pool set 1 seats_total=URL",
        "pool create URL",
        "pool create entity_id=URL license_type=SqlBackup seats_total=1",
        "entity set URL name=x",
        "entity create URL=x",
        "resize --pool URL --seats 1",
        "credential set agent role=URL",
        "audit show --since URL",
        "audit show --action URL",
        "audit verify --head URL",
        "audit verify --head 1:00 --key URL",
        "audit verify --archive URL",
        "audit verify-archive URL",
        "audit archive --before URL to",
        "audit archive --before 1d URL",
        "audit head --key URL",
        "audit key URL",
        "audit key --public URL",
        "man URL",
        "completions URL",
    ] {
        for address in ADDRESSES {
            let words: Vec<String> = line.split(' ').map(|word| word.replace("URL", address)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let done = done_on(Some(&database.file()), &words, &directory);
            // A file that was made there is named as it is.
            if done.code != Some(0) && format!("{done:?}").contains(SECRET) {
                shown.push(format!("{words:?}: {done:?}"));
            }
        }
    }
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn errors_name_the_argument_and_help_prints_as_ever() {
    let directory = TempDir::new();
    let directory = directory.join("");
    let address = ADDRESSES[0];
    let wrong = done(&["serve", address], &directory);
    let named = "error: unexpected argument 'postgres://u:***@127.0.0.1:1/d?connect_timeout=1' found\n";
    assert!(wrong.stderr.starts_with(named) && wrong.stderr.contains("\nUsage: seatkeeper serve"), "{wrong:?}");
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    let config = done(&["serve", "--config", address], &directory);
    assert!(config.stderr.contains("settings file postgres://u:***@127.0.0.1:1/d"), "{config:?}");
    for (words, code) in [(&["--help"][..], 0), (&["--version"], 0), (&["serve", "--help"], 0), (&[], 2)] {
        let done = done(words, &directory);
        assert_eq!((done.code, done.stdout.is_empty()), (Some(code), code == 2), "{words:?}: {done:?}");
    }
}
