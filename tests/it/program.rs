//! The real program: run to its end, or started as a service that can be killed.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::harness::TempDir;

/// What a program left behind when it ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `seatkeeper SUBCOMMAND --database DATABASE ARGS` on this standard input.
pub fn seatkeeper(subcommand: &str, database: impl AsRef<OsStr>, args: &[&str], stdin: &str) -> Done {
    run(program(subcommand, database).args(args), stdin)
}

/// Runs a command to its end.
pub fn run(command: &mut Command, stdin: &str) -> Done {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // The program may end without having read all of it.
    let _ = child.stdin.take().expect("is piped").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The program, without settings of the machine that runs the tests: neither its variables nor its settings file.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| name.starts_with("SEATKEEPER_")))
    {
        command.env_remove(name);
    }
    command.envs(NO_SETTINGS);
    command
}

/// The program as a user without rights, if this is root. `directory`: where that user may run a copy of it.
pub fn unprivileged(directory: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command();
    }
    let copy = directory.join("seatkeeper");
    if !copy.exists() {
        // By another process: while this one has the copy open for writing, a program that another test starts may get that descriptor, and
        // the copy is then busy.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_seatkeeper")).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()), "the program is copied");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).envs(NO_SETTINGS);
    command
}

/// An empty settings file instead of that of the machine.
pub const NO_SETTINGS: [(&str, &str); 1] = [("SEATKEEPER_CONFIG", "/dev/null")];

/// Without the environment of the user that runs the tests, where a variable could change a setting, and in the directory of
/// the database, which is removed in the end. The database may be on PostgreSQL.
pub fn program(subcommand: &str, database: impl AsRef<OsStr>) -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_seatkeeper")), subcommand, database)
}

/// The same of another build of the program.
pub fn program_at(binary: &Path, subcommand: &str, database: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(binary);
    let directory = Path::new(&database).parent().filter(|directory| directory.is_dir());
    command.env_clear().envs(NO_SETTINGS).current_dir(directory.unwrap_or(&std::env::temp_dir()));
    command.args(subcommand.split(' ')).arg("--database").arg(database);
    command
}

/// `seatkeeper serve` on port 0, in a process of its own. Dropping it kills it.
pub struct Serving {
    process: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Serving {
    /// Returns when it accepts calls.
    pub fn start(database: impl AsRef<OsStr>) -> Serving {
        Serving::start_with(database, &[])
    }

    /// With these arguments besides.
    pub fn start_with(database: impl AsRef<OsStr>, arguments: &[&str]) -> Serving {
        Serving::try_start_with(database, arguments)
            .unwrap_or_else(|done| panic!("the service did not start: {done:?}"))
    }

    /// Returns when it accepts calls, or has ended without.
    pub fn try_start(database: impl AsRef<OsStr>) -> Result<Serving, Done> {
        Serving::try_start_with(database, &[])
    }

    /// With these arguments besides.
    pub fn try_start_with(database: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Serving, Done> {
        let mut command = program("serve", database);
        command.args(arguments);
        Serving::try_start_as(command)
    }

    /// The same, with a library that is loaded before others (`LD_PRELOAD`).
    pub fn start_with_library(database: impl AsRef<OsStr>, library: &Path) -> Serving {
        let mut command = program("serve", database);
        command.env("LD_PRELOAD", library);
        Serving::try_start_as(command).unwrap_or_else(|done| panic!("the service did not start: {done:?}"))
    }

    /// The same, without the right to write where only root may.
    pub fn try_start_unprivileged(database: impl AsRef<OsStr>) -> Result<Serving, Done> {
        if !rustix::process::geteuid().is_root() {
            return Serving::try_start(database);
        }
        // The folder of the build may be one that only root can enter.
        let directory = TempDir::new();
        let mut command = unprivileged(&directory.join(""));
        command.env_clear().envs(NO_SETTINGS).args(["serve", "--database"]).arg(database);
        Serving::try_start_as(command)
    }

    /// The same for a command of one's own.
    pub fn try_start_as(mut command: Command) -> Result<Serving, Done> {
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(process.stderr.take().expect("is piped")).lines();
        let (told, address) = mpsc::channel();
        let log = Arc::new(Mutex::new(String::new()));
        // Reads to the end, so that the service never waits for a reader of its log.
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.map_while(Result::ok) {
                    if !line.contains("\"level\":\"INFO\"") {
                        eprintln!("{line}");
                    }
                    *log.lock().expect("no panic") += &format!("{line}\n");
                    address_in(&line).map(|address| told.send(address));
                }
            }
        });
        if let Ok(address) = address.recv_timeout(START_TIMEOUT) {
            return Ok(Serving { process, address, log });
        }
        // It has ended already, or it hangs.
        let _ = process.kill();
        let code = process.wait().expect("it ended").code();
        reader.join().expect("the reader of the log");
        let stderr = log.lock().expect("no panic").clone();
        Err(Done { code, stdout: String::new(), stderr })
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it ends by itself; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().expect("it ends").code()
    }

    /// Its exit code, if it ends within this time.
    pub fn ends_within(&mut self, time: Duration) -> Option<Option<i32>> {
        let begun = Instant::now();
        loop {
            match self.process.try_wait().expect("its state") {
                Some(status) => return Some(status.code()),
                None if begun.elapsed() >= time => return None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Ends it with SIGTERM, as an administrator does.
    pub fn stop(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), rustix::process::Signal::TERM)
            .expect("it can be told to stop");
        self.process.wait().expect("it stops");
    }

    /// Ends it with SIGKILL, as the kernel does when memory runs out.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().expect("it was killed");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

/// Many times what a start takes on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the service is, if this is the line of its log that says so.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, fields) = line.split_once("\"message\":\"serving\"")?;
    let (_, address) = fields.split_once("\"address\":\"")?;
    address.split('"').next()?.parse().ok()
}
