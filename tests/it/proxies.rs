//! nginx, HAProxy and Caddy with the blocks of docs/tls.md as they stand there: only ports and files of certificates are others.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use seatkeeper::auth;

use crate::certificates::Authority;
use crate::harness::*;
use crate::validator::INSTALL;

/// The page, and the block of this language in it.
fn block(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md");
    let page = std::fs::read_to_string(page).expect("docs/tls.md");
    let fence = format!("\n```{language}\n");
    let mut blocks = page.split(&fence).skip(1).map(|rest| rest.split("\n```").next());
    let block = blocks.next().flatten().unwrap_or_else(|| panic!("no block of {language}"));
    assert!(blocks.next().is_none(), "several blocks of {language}");
    format!("{block}\n")
}

/// The block with these places in it replaced, each of which must be there.
fn replaced(language: &str, places: &[(&str, String)]) -> String {
    places.iter().fold(block(language), |text, (from, to)| {
        assert!(text.contains(from), "{language}: no {from} in {text}");
        text.replace(from, to)
    })
}

const NAME: &str = "licenses.example.com";

/// A proxy that runs in the foreground, without root's services and files. Dropping it stops it.
struct Proxy {
    process: Child,
    port: u16,
    authority: Authority,
}

impl Proxy {
    fn nginx(service: SocketAddr) -> Proxy {
        let (authority, port) = (Authority::new(), free_port());
        let files = authority.issue("proxy", 30);
        let block = replaced(
            "nginx",
            &[
                ("127.0.0.1:8086", service.to_string()),
                ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
                ("/etc/ssl/licenses.example.com.pem", files.certificate.display().to_string()),
                ("/etc/ssl/private/licenses.example.com.key", files.key.display().to_string()),
            ],
        );
        let mut config = String::from("pid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n");
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(config, "{kind}_temp_path {kind};");
        }
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        std::fs::write(authority.join("nginx.conf"), format!("{user}{config}{block}}}\n")).expect("a file");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(authority.join("")).args(["-c", "nginx.conf", "-g", "daemon off;", "-e", "stderr"]);
        Proxy::start(command, port, authority)
    }

    fn haproxy(service: SocketAddr) -> Proxy {
        let (authority, port) = (Authority::new(), free_port());
        let files = authority.issue("proxy", 30);
        let read = |path| std::fs::read(path).expect("a file");
        let both = [read(&files.certificate), read(&files.key)].concat();
        std::fs::write(authority.join("both.pem"), both).expect("a file");
        let block = replaced(
            "haproxy",
            &[
                ("127.0.0.1:8086", service.to_string()),
                ("bind :443 ", format!("bind 127.0.0.1:{port} ")),
                ("/etc/haproxy/licenses.example.com.pem", authority.join("both.pem").display().to_string()),
            ],
        );
        std::fs::write(authority.join("haproxy.cfg"), block).expect("a file");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(authority.join("haproxy.cfg"));
        Proxy::start(command, port, authority)
    }

    fn caddy(service: SocketAddr) -> Proxy {
        let (authority, port) = (Authority::new(), free_port());
        let files = authority.issue("proxy", 30);
        let block = replaced(
            "caddy",
            &[
                ("127.0.0.1:8086", service.to_string()),
                ("licenses.example.com {", format!("licenses.example.com:{port} {{")),
                ("/etc/caddy/licenses.example.com.pem", files.certificate.display().to_string()),
                ("/etc/caddy/licenses.example.com.key", files.key.display().to_string()),
            ],
        );
        // Without its own interface for administrators and its port 80.
        let options = "{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n}\n";
        std::fs::write(authority.join("Caddyfile"), format!("{options}{block}")).expect("a file");
        let mut command = Command::new("/usr/bin/caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(authority.join("Caddyfile"));
        command.env("HOME", authority.join(""));
        Proxy::start(command, port, authority)
    }

    fn start(mut command: Command, port: u16, authority: Authority) -> Proxy {
        let errors = std::fs::File::create(authority.join("stderr")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let process = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}. {INSTALL}"));
        let mut proxy = Proxy { process, port, authority };
        let begun = std::time::Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = proxy.process.try_wait().expect("its state");
            assert!(ended.is_none() && begun.elapsed() < LONG, "{command:?} {ended:?}: {}", proxy.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.authority.join("stderr")).unwrap_or_default()
    }

    /// The address at which clients see this path.
    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.port)
    }

    /// Runs curl as a client at this address of the machine; the answer to the last request.
    fn curl(&self, client: &str, arguments: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--max-time", "20", "--noproxy", "*", "--path-as-is"]);
        curl.arg("--cacert").arg(self.authority.root());
        curl.args(["--resolve", &format!("{NAME}:{}:127.0.0.1", self.port), "--interface", client]);
        let done =
            curl.args(["-H", "Expect:"]).args(arguments).output().unwrap_or_else(|e| panic!("curl: {e}. {INSTALL}"));
        let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{arguments:?}: {errors} {said} {}", self.errors());
        // Of HTTP/2 too, whose first line is shorter.
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {said}"));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.curl("127.0.0.1", &[&self.url(path)])
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx has other processes, which it ends.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
    }
}

macro_rules! proxies {
    ($($proxy:ident;)*) => {
        $(#[test]
        fn $proxy() {
            behind(Proxy::$proxy);
        })*
    };
}

proxies! {
    nginx;
    haproxy;
    caddy;
}

/// Everything that a proxy has to do, with the setting of the page: `trusted_proxies = "127.0.0.1"`.
fn behind(proxy: fn(SocketAddr) -> Proxy) {
    let auth =
        auth::Options { failures_max: 2, failure_interval: Duration::from_secs(600), ..auth::Options::default() };
    let server =
        Server::with(Options { seed: owners_data(), trusted_proxies: "127.0.0.1", auth, ..Options::default() });
    let proxy = proxy(server.address);
    health_and_addresses(&proxy);
    bodies_and_connections(&proxy, &server);
    web_api(&proxy);
    guesses_count_by_client(&proxy);
    assert_eq!(server.violations(), []);
}

fn health_and_addresses(proxy: &Proxy) {
    assert_eq!((proxy.get("/healthz").status, proxy.get("/readyz").status), (200, 200));
    let address = proxy.url(PATH);
    let addresses = |answer: &Answer| -> Vec<String> {
        answer.body.split(" location=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    // However the path is written.
    for path in [PATH, &PATH.to_lowercase(), &format!("/{PATH}"), &PATH.replace("WebApi", "%57ebApi")] {
        let answer = proxy.get(&format!("{path}?WSDL"));
        let expected = if *path == PATH.to_lowercase() { proxy.url(path) } else { address.clone() };
        assert_eq!(addresses(&answer), [expected.clone(), expected], "{path}");
    }
    assert!(proxy.get(&format!("{LICENSE_PATH}?wsdl")).body.contains(&proxy.url(LICENSE_PATH)));
    assert!(proxy.get("/api/v1/openapi.json").body.contains(&proxy.url("")));
    // What a client says of itself does not count.
    let forged = [
        "-H",
        "X-Forwarded-Host: evil.example",
        "-H",
        "X-Forwarded-Proto: http",
        "-H",
        "Forwarded: host=evil.example;proto=http",
    ];
    let answer = proxy.curl("127.0.0.1", &[&forged[..], &[&proxy.url(&format!("{PATH}?WSDL"))]].concat());
    assert_eq!(addresses(&answer), [&*address, &address]);
    // The cookie of the pages knows that it travels over TLS.
    let origin = format!("Origin: {}", proxy.url(""));
    let password = format!("password={PASSWORD}");
    let form = ["-H", &origin, "--data-urlencode", "user=admin", "--data-urlencode", &password];
    let answer = proxy.curl("127.0.0.1", &[&form[..], &[&proxy.url("/sign-in")]].concat());
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(answer.status == 303 && cookie.starts_with("__Host-") && cookie.ends_with("; Secure"), "{answer:?}");
}

fn bodies_and_connections(proxy: &Proxy, server: &Server) {
    let soap = |length: usize| {
        let envelope = assign_envelope("agent", PASSWORD, "anna", 42, "SqlBackup");
        let padded = format!("{envelope}{}", " ".repeat(length.saturating_sub(envelope.len())));
        std::fs::write(proxy.authority.join("body"), padded).expect("a file");
        let file = format!("@{}", proxy.authority.join("body").display());
        let action = "SOAPAction: \"sosonlinebackup.com/AssignLicense\"";
        let call = ["-H", "Content-Type: text/xml; charset=utf-8", "-H", action, "--data-binary", &file];
        proxy.curl("127.0.0.1", &[&call[..], &[&proxy.url(PATH)]].concat())
    };
    assert_eq!(soap(0).code(), "Success");
    assert_eq!(soap(250_000).code(), "AlreadyExists", "a large body");
    let too_large = soap(300_000);
    assert!(too_large.status == 413 && too_large.header("x-request-id").is_some(), "by the service: {too_large:?}");
    // Faults arrive as they are.
    let unknown = assign_envelope("agent", PASSWORD, "anna", 42, "TapeBackup");
    let fault = proxy.curl("127.0.0.1", &["-H", "Content-Type: text/xml", "-d", &unknown, &proxy.url(PATH)]);
    assert!(fault.status == 500 && fault.body.contains("<faultcode>"), "{fault:?}");
    // Agents reuse their connection to the proxy, and the proxy its own to the service.
    let url = proxy.url("/healthz");
    let many = [&["-w", "connects=%{num_connects}\\n"][..], &vec![&*url; 20]].concat();
    let answer = proxy.curl("127.0.0.1", &many);
    assert_eq!(answer.body.matches("connects=0").count(), 19, "{answer:?}");
    assert!(server.metrics.connections.get() <= 6, "{}", server.metrics.connections.get());
}

fn web_api(proxy: &Proxy) {
    let sign_in = format!("admin:{PASSWORD}");
    let ask = |method: &str, path: &str, arguments: &[&str]| {
        let (url, head) = (proxy.url(path), ["-u", &*sign_in, "-X", method, "-H", "Accept: application/json"]);
        proxy.curl("127.0.0.1", &[&head[..], arguments, &[&url]].concat())
    };
    let (resource, json) =
        ("/api/v1/License/CONTOSO/102", ["-H", "Content-Type: application/json", "-d", "[\"ExchangeBackup\"]"]);
    assert_eq!(proxy.get(resource).status, 401);
    for (method, arguments, status) in
        [("GET", &[][..], 200), ("PUT", &json, 200), ("DELETE", &json, 200), ("DELETE", &json, 200)]
    {
        let answer = ask(method, resource, arguments);
        assert_eq!(answer.status, status, "{method}: {answer:?}");
    }
    let answer = proxy.curl("127.0.0.1", &["-X", "OPTIONS", &proxy.url(resource)]);
    assert!(answer.status < 300 && answer.header("allow").is_some_and(|allow| allow.contains("DELETE")), "{answer:?}");
}

/// Guesses from one client do not keep another one out, and a client cannot change its address.
fn guesses_count_by_client(proxy: &Proxy) {
    let guess = |client: &str, headers: &[&str]| {
        let call = ["-u", "reader:wrong", "-H", "Accept: application/json"];
        proxy.curl(client, &[&call[..], headers, &[&proxy.url("/api/v1/License/CONTOSO")]].concat()).status
    };
    let statuses: Vec<u16> = (0..3).map(|_| guess("127.0.0.2", &[])).collect();
    assert_eq!(statuses, [401, 401, 429]);
    for header in ["X-Forwarded-For: 192.0.2.66", "Forwarded: for=192.0.2.66", "X-Real-IP: 192.0.2.66"] {
        assert_eq!(guess("127.0.0.2", &["-H", header]), 429, "{header}");
    }
    assert_eq!(guess("127.0.0.3", &[]), 401, "another client");
}

/// The commands of the page that make certificates, and the script that copies one from certbot.
#[test]
fn the_commands_of_the_page_make_certificates_that_the_service_takes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md");
    let page = std::fs::read_to_string(page).expect("docs/tls.md");
    let directory = TempDir::new();
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).current_dir(directory.join("")).env("RENEWED_LINEAGE", directory.join("live"));
        let done = crate::program::run(&mut shell, "");
        assert_eq!(done.code, Some(0), "{script}: {done:?}");
    };
    let command = |begins: &str| {
        let at = page.find(&format!("\n{begins}")).unwrap_or_else(|| panic!("{begins}"));
        let lines = page[at + 1..].split_inclusive('\n');
        let mut command = String::new();
        for line in lines {
            command += line;
            if !line.ends_with("\\\n") {
                break;
            }
        }
        command
    };
    shell(&command("openssl req -new"));
    shell("openssl req -in tls.csr -noout -text | grep -q DNS:licenses.example.com");
    shell(&command("openssl req -x509"));
    let files = |certificate: &str, key: &str| {
        let files = seatkeeper::http::tls::Files { certificate: directory.join(certificate), key: directory.join(key) };
        files.check().unwrap_or_else(|e| panic!("{e}")).names
    };
    assert_eq!(files("tls.pem", "tls.key"), [NAME]);

    std::fs::create_dir(directory.join("live")).expect("a directory");
    shell("cp tls.pem live/fullchain.pem; cp tls.key live/privkey.pem");
    let (_, script) = page.split_once("\n```sh\n#!/bin/sh\n").expect("the script");
    let script = script.split("\n```").next().expect("its end");
    let target = directory.join("copied.");
    assert!(script.contains("-g seatkeeper") && script.contains("/etc/seatkeeper/tls."));
    shell(&script.replace("-g seatkeeper ", "").replace("/etc/seatkeeper/tls.", &target.display().to_string()));
    assert_eq!(files("copied.pem", "copied.key"), [NAME]);
}
