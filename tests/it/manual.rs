//! What a package installs beside the program, `seatkeeper man` and `seatkeeper completions`, and the health check of its image.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::certificates::Authority;
use crate::harness::*;

fn seatkeeper(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seatkeeper")).args(arguments).output().expect("seatkeeper")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The commands below these, as their help lists them.
fn commands(above: &[&str]) -> Vec<String> {
    let help = text(&seatkeeper(&[above, &["--help"]].concat()));
    let list = help.split_once("Commands:\n").map_or("", |(_, list)| list);
    let names = list.lines().take_while(|line| !line.is_empty());
    // Further lines of a description have more blanks in front.
    let names = names.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = TempDir::new();
    let made = seatkeeper(&["man", directory.join("pages").to_str().expect("UTF-8")]);
    assert!(made.status.success(), "{}", text(&made));
    let mut expected = BTreeSet::from(["seatkeeper.1".to_owned()]);
    for command in commands(&[]) {
        expected.extend(commands(&[&command]).into_iter().map(|below| format!("seatkeeper-{command}-{below}.1")));
        expected.insert(format!("seatkeeper-{command}.1"));
    }
    assert!(expected.contains("seatkeeper-pool-create.1") && expected.len() > 40, "{expected:?}");
    let pages: BTreeSet<String> = fs::read_dir(directory.join("pages"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(pages, expected);
    let page = fs::read_to_string(directory.join("pages").join("seatkeeper-backup.1")).expect("a page");
    // Examples stand as they are, a line each; and nothing of this machine is in a page.
    let examples = page.split_once(".SH EXAMPLES\n.nf\n").expect("examples").1;
    assert!(examples.starts_with("  seatkeeper backup \\-\\-database seats.db /var/backups/seats.db\n"), "{examples}");
    assert!(!page.contains(env!("CARGO_MANIFEST_DIR")), "{page}");
}

#[test]
fn completions_are_scripts_of_their_shell() {
    for (shell, check) in [
        ("bash", &["bash", "-c", ". \"$1\" && complete -p seatkeeper", "bash"][..]),
        ("zsh", &["zsh", "-n"]),
        ("fish", &["fish", "--no-execute"]),
    ] {
        let made = seatkeeper(&["completions", shell]);
        assert!(made.status.success() && text(&made).contains("hash-password"), "{shell}: {}", text(&made));
        let directory = TempDir::new();
        let script = directory.join("script");
        fs::write(&script, &made.stdout).expect("write");
        match Command::new(check[0]).args(&check[1..]).arg(&script).output() {
            Ok(checked) => assert!(checked.status.success(), "{shell}: {}", text(&checked)),
            // bash is on every machine that tests run on; the others are not.
            Err(error) => assert!(shell != "bash", "{shell}: {error}"),
        }
    }
    let unknown = seatkeeper(&["completions", "korn"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
}

/// Answers one request with these bytes; the address to ask.
fn answers_once(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut request = [0; 1024];
        let read = connection.read(&mut request).expect("a request");
        assert!(
            request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"),
            "{}",
            String::from_utf8_lossy(&request[..read])
        );
        connection.write_all(answer.as_bytes()).expect("an answer");
    });
    format!("http://{address}")
}

#[test]
fn health_says_whether_a_service_is_ready() {
    let server = Server::start();
    let url = format!("http://{}", server.address);
    let nowhere = format!("127.0.0.1:{}", free_port());
    for (url, code, said) in [
        (url.clone(), 0, ""),
        (format!("{url}/"), 0, ""),
        (format!("{url}/healthz"), 0, "ok"),
        (
            answers_once("HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: the disk is full\n"),
            1,
            "not ready: the disk is full",
        ),
        (answers_once("220 mail.example ESMTP\r\n"), 3, "no HTTP server answers there"),
        (answers_once(""), 3, "no HTTP server answers there"),
        (format!("http://{nowhere}"), 3, "no answer: Connection refused"),
        ("https://127.0.0.1:1".to_owned(), 2, "without TLS"),
        ("http://".to_owned(), 2, "an address is such as"),
        ("http://:8086".to_owned(), 2, "an address is such as"),
        ("http://127.0.0.1:99999".to_owned(), 2, "an address is such as"),
        ("http://127.0.0.1:".to_owned(), 2, "an address is such as"),
        ("http://127.0.0.1:1/\r\nX: y".to_owned(), 2, "an address is such as"),
    ] {
        let output = seatkeeper(&["health", &url]);
        assert_eq!(output.status.code(), Some(code), "{url}: {}", text(&output));
        assert!(text(&output).contains(said), "{url}: {}", text(&output));
    }
}

/// Without an address the service is asked that the settings start. Their other values do not matter: a service that runs keeps its old
/// ones.
#[test]
fn health_asks_the_service_of_the_settings() {
    let (plain, authority, directory) = (Server::start(), Authority::new(), TempDir::new());
    let files = authority.issue("service", 30);
    let encrypted = crate::tls::server(&files, Options::default());
    let (plain, encrypted) = (plain.address.port(), encrypted.address.port());
    let tls = format!("tls_certificate = '{}'\ntls_key = '{}'", files.certificate.display(), files.key.display());
    let settings = directory.join("seatkeeper.toml");
    for (lines, code, said) in [
        (format!("listen = '127.0.0.1:{plain}'"), 0, "ready"),
        (format!("listen = ':{plain}'"), 0, "ready"),
        (format!("listen = '0.0.0.0:{plain}'\nlog_level = 'loud'"), 0, "ready"),
        (format!("listen = 'localhost:{encrypted}'\n{tls}"), 0, "ready"),
        (format!("listen = '127.0.0.1:{plain}'\n{tls}"), 3, "https://127.0.0.1:"),
        (format!("listen = '127.0.0.1:{encrypted}'"), 1, "status 400"),
        (format!("listen = '127.0.0.1:{}'", free_port()), 3, "no answer: Connection refused"),
        ("listen = '127.0.0.1:0'".to_owned(), 2, "give the address of the service"),
        ("listen = 'here'".to_owned(), 2, "seatkeeper.toml:1:1: listen: 'here' is"),
        ("listne = ':1'".to_owned(), 2, "did you mean listen?"),
    ] {
        fs::write(&settings, &lines).expect("settings");
        let output = seatkeeper(&["health", "--config", settings.to_str().expect("a path")]);
        assert_eq!(output.status.code(), Some(code), "{lines}: {}", text(&output));
        assert!(text(&output).contains(said), "{lines}: {}", text(&output));
    }
}
