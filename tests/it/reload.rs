//! SIGHUP: the settings are read again, all of the new ones count or none, and the service goes on.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::certificates::{Authority, der};
use crate::harness::*;
use crate::program::{NO_SETTINGS, Serving, program};

/// A service with a settings file.
struct Reloaded {
    service: Serving,
    file: PathBuf,
    _directory: TempDir,
    _database: TestDatabase,
}

impl Reloaded {
    fn start(text: &str) -> Reloaded {
        let (database, directory) = (TestDatabase::new(&sample_data()), TempDir::new());
        let file = directory.join("a.toml");
        std::fs::write(&file, text).expect("write");
        let mut serve = program("serve", &database);
        serve.arg("--config").arg(&file);
        let service = Serving::try_start_as(serve).unwrap_or_else(|done| panic!("{done:?}"));
        Reloaded { service, file, _directory: directory, _database: database }
    }

    /// Sends SIGHUP after this change of the file; the line of the log about it.
    fn reload(&self, text: &str) -> String {
        std::fs::write(&self.file, text).expect("write");
        let lines = || {
            self.service.log().lines().filter(|line| line.contains("\"reload: ")).map(str::to_owned).collect::<Vec<_>>()
        };
        let before = lines().len();
        hang_up(self.service.id());
        wait_until("the reload is logged", || lines().len() > before);
        lines()[before].clone()
    }

    fn status(&self, request: &[u8]) -> u16 {
        Client::to(self.service.address).send(request).status
    }
}

/// A call of more than 5,000 bytes.
fn large_call() -> Vec<u8> {
    post11(&format!("{}{}", assign_envelope("agent", PASSWORD, "x", 42, "SqlBackup"), " ".repeat(9000)))
}

fn hang_up(process: u32) {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).expect("an id")).expect("not 0");
    rustix::process::kill_process(process, rustix::process::Signal::HUP).expect("sent");
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn limits_and_the_level_of_the_log_change_without_a_restart() {
    let reloaded = Reloaded::start("body_bytes_max = 5000\n");
    let large = large_call();
    let mut open = Client::to(reloaded.service.address);
    assert_eq!(open.send(HEALTH).status, 200);
    assert_eq!(reloaded.status(&large), 413);

    let line = reloaded.reload("body_bytes_max = 100_000\nlog_level = debug\nidle_timeout_s = 77\n");
    assert!(line.contains("\"changed\":\"log_level, body_bytes_max, idle_timeout_s\""), "{line}");
    assert!(line.contains("\"level\":\"INFO\"") && !line.contains("needs_restart\":\"listen"), "{line}");
    assert_eq!(reloaded.status(&large), 200);
    assert_eq!(open.send(&large).status, 200, "also on a connection that was open");
    wait_until("lines of the new level", || reloaded.service.log().contains("\"level\":\"DEBUG\""));

    // What needs a restart is named, each time, and does not count.
    let line = reloaded.reload("body_bytes_max = 100_000\nenroll = no\nqueue_calls_max = 7\n");
    assert!(
        line.contains("\"needs_restart\":\"enroll, queue_calls_max\"") && line.contains("\"level\":\"WARN\""),
        "{line}"
    );
    assert!(line.contains("\"changed\":\"log_level, idle_timeout_s\""), "{line}");
    let answer =
        Client::to(reloaded.service.address).send(&post11(&assign_envelope("agent", PASSWORD, "new", 42, "SqlBackup")));
    assert_eq!(answer.code(), "Success", "enroll still counts: {answer:?}");
    let line = reloaded.reload("body_bytes_max = 1e5\nenroll = no\n");
    assert!(line.contains("\"needs_restart\":\"enroll\"") && line.contains("\"changed\":\"none\""), "{line}");
    reloaded.service.stop();
}

#[test]
fn a_bad_file_leaves_the_old_settings_in_force_and_the_log_says_so() {
    let reloaded = Reloaded::start("body_bytes_max = 5000\n");
    let large = large_call();
    for (text, says) in [
        ("body_bytes_max = 100_000\nidle_timeout_s = 0\n", ":2:1: idle_timeout_s must be from 1 to 31536000"),
        ("body_bytes_max = 100_000\nnonsense = 0\n", ":2:1: there is no setting 'nonsense'"),
        ("body_bytes_max = 100_000\nnonsense", ":2:"),
        ("body_bytes_max = 100_000\naudit_heads = 'h'\n", ":2:1: audit_heads is where signed heads go"),
    ] {
        let line = reloaded.reload(text);
        assert!(line.contains("\"level\":\"ERROR\"") && line.contains("the old ones stay in force"), "{line}");
        assert!(line.contains(says), "{line}");
        assert_eq!(reloaded.status(&large), 413, "{text}");
    }
    std::fs::remove_file(&reloaded.file).expect("removed");
    hang_up(reloaded.service.id());
    wait_until("a missing file is named", || reloaded.service.log().contains("No such file or directory"));
    assert_eq!(reloaded.status(&large), 413);
    assert!(reloaded.reload("body_bytes_max = 100_000\n").contains("\"changed\":\"body_bytes_max\""));
    assert_eq!(reloaded.status(&large), 200);
}

#[test]
fn a_certificate_is_replaced_together_with_the_settings_or_not_at_all() {
    let authority = Authority::new();
    let [first, second, expired] = [("a", 30), ("b", 40), ("c", -1)].map(|(name, days)| authority.issue(name, days));
    let of = |files: &seatkeeper::http::tls::Files, more: &str| {
        format!("tls_certificate = \"{}\"\ntls_key = \"{}\"\n{more}", files.certificate.display(), files.key.display())
    };
    let reloaded = Reloaded::start(&of(&first, ""));
    let shown = || authority.connect(reloaded.service.address).certificate();
    assert_eq!(shown(), der(&first.certificate));
    let line = reloaded.reload(&of(&expired, "body_bytes_max = 7\n"));
    assert!(line.contains("\"level\":\"ERROR\"") && line.contains("expired"), "{line}");
    assert_eq!(shown(), der(&first.certificate));
    let line = reloaded.reload(&of(&second, "body_bytes_max = 5000\n"));
    assert!(line.contains("\"changed\":\"tls_certificate, tls_key, body_bytes_max\""), "{line}");
    assert_eq!(shown(), der(&second.certificate));
    // TLS itself stays until a restart.
    let line = reloaded.reload("body_bytes_max = 5000\n");
    assert!(line.contains("\"needs_restart\":\"tls_certificate, tls_key\""), "{line}");
    assert_eq!(shown(), der(&second.certificate));
}

/// TLS is switched on by a restart. Files that would make it fail are reported before.
#[test]
fn a_certificate_for_the_next_start_is_tested_by_the_reload() {
    let authority = Authority::new();
    let [good, expired] = [("a", 30), ("b", -1)].map(|(name, days)| authority.issue(name, days));
    let reloaded = Reloaded::start("body_bytes_max = 5000\n");
    let large = large_call();
    for (files, line_has) in [(&expired, "expired"), (&good, "\"needs_restart\":\"tls_certificate, tls_key\"")] {
        let lines = format!(
            "tls_certificate = \"{}\"\ntls_key = \"{}\"\nbody_bytes_max = 5000\n",
            files.certificate.display(),
            files.key.display()
        );
        let line = reloaded.reload(&lines);
        assert!(line.contains(line_has), "{line}");
        assert_eq!(reloaded.status(&large), 413, "it goes on without TLS");
    }
}

/// The limit of wrong passwords, the number of connections, and trusted proxies.
#[test]
fn limits_of_sign_ins_and_connections_change_too() {
    let reloaded = Reloaded::start("wrong_passwords_max = 1\nwrong_password_interval_s = 3600\n");
    let address = reloaded.service.address;
    let wrong = |user: &str| {
        let call = assign_envelope("agent", "wrong password", user, 42, "SqlBackup");
        Client::to(address).send(&post11(&call)).message()
    };
    let expect = |user: &str, is_slowed: bool| {
        let message = wrong(user);
        assert_eq!(message.contains("Too many wrong passwords"), is_slowed, "{user}: {message}");
    };
    expect("a", false);
    expect("b", true);
    let line = reloaded.reload("wrong_passwords_max = 1\nwrong_password_interval_s = 0\n");
    assert!(line.contains("\"changed\":\"wrong_password_interval_s\""), "{line}");
    expect("c", false);
    expect("d", false);

    let held: Vec<Client> = (0..3).map(|_| Client::to(address)).collect();
    let line = reloaded.reload("connections_max = 2\n");
    assert!(line.contains("connections_max"), "{line}");
    let mut refused = Client::to(address);
    assert_eq!(refused.send(HEALTH).status, 503);
    drop(held);
    wait_until("places are free again", || Client::to(address).send(HEALTH).status == 200);
}

/// A terminal that closes sends SIGHUP to its programs, and then none of them can write to it.
#[test]
fn a_closed_terminal_and_nohup_do_not_end_the_service() {
    let (database, directory) = (TestDatabase::new(&sample_data()), TempDir::new());
    let program = env!("CARGO_BIN_EXE_seatkeeper");
    let place = database.argument();
    let (pid, port) = (directory.join("pid"), free_port());
    let inner =
        format!("echo $$ > '{}'; exec '{program}' serve --database '{place}' --listen 127.0.0.1:{port}", pid.display());
    let mut terminal = Command::new("script")
        .args(["-q", "-f", "-c", &inner, "/dev/null"])
        .envs(NO_SETTINGS)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("script");
    let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until("it serves", is_up);
    let process: u32 = std::fs::read_to_string(&pid).expect("its id").trim().parse().expect("a number");
    terminal.kill().expect("the terminal closes");
    terminal.wait().expect("it ended");
    // Twice: each writes to the terminal that is gone.
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        hang_up(process);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(is_up());
    assert_eq!(Client::to(([127, 0, 0, 1], port).into()).send(HEALTH).status, 200);
    let id = rustix::process::Pid::from_raw(process as i32).expect("not 0");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    wait_until("it stops", || !is_up());

    // nohup ignores SIGHUP for the program, which asks for it again.
    let log = directory.join("log");
    let mut nohup = Command::new("nohup")
        .args([program, "serve", "--database", &place, "--listen", &format!("127.0.0.1:{port}")])
        .envs(NO_SETTINGS)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("nohup");
    wait_until("it serves", is_up);
    hang_up(nohup.id());
    wait_until("it reloads", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("the settings were read again"))
    });
    let id = rustix::process::Pid::from_child(&nohup);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(nohup.wait().expect("it ends").code(), Some(0));
}
