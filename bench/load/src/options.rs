//! The command line.

use std::str::FromStr;
use std::time::Duration;

/// Printed for `--help` and after a mistake.
pub const HELP: &str = "\
Takes license seats over SOAP 1.1, each for a new user, and reports the rate. Or repeats one request.

Usage: seatkeeper-load --addr HOST:PORT --user NAME --password PASSWORD --entity ID [OPTIONS]
       seatkeeper-load --addr HOST:PORT --path PATH --expect TEXT [OPTIONS]

  --addr HOST:PORT   the server
  --user NAME        the credential, sent in AuthHeader
  --password TEXT
  --entity ID        LicenseProviderEntityId
  --entities N       take seats of N entities, from --entity on, a random one for each call [1]
  --type TYPE        LicenseType [SqlBackup]
  --path PATH        the path to request: with GET, or with POST if there is a message
  --message FILE     the body: a SOAP 1.1 message, unless a header says otherwise
  --header LINE      a header of the request, as 'Name: value'; may be repeated
  --expect TEXT      a response with status 200 that contains this text counts as Success
  --connections N    connections, each with one request at a time [1]
  --seconds S        how long new requests are sent [5]
  --prefix P         the beginning of user names [load-]
  --pid PID          also print the memory of this process (the server) at the end
  --allow-other      exit with 0 even if some responses are not Success
  --json             print one line of JSON
  --help

Exit status: 0 if every response was Success, 1 if not, 2 if the command line is wrong.
";

/// The options of the command line.
#[derive(Debug)]
pub struct Options {
    /// `HOST:PORT`; the `Host` header too.
    pub addr: String,
    pub connections: usize,
    pub time: Duration,
    pub work: Work,
    pub pid: Option<u32>,
    pub allow_other: bool,
    pub json: bool,
}

/// The requests to send.
#[derive(Debug)]
pub enum Work {
    Assign {
        user: String,
        password: String,
        /// The first of the entities.
        entity: u32,
        /// The number of entities.
        entities: u32,
        license_type: String,
        prefix: String,
    },
    /// One request, repeated.
    Request { path: String, body: Option<String>, headers: Vec<String>, expect: String },
}

impl Options {
    /// Reads the arguments after the program's name. `None`: the user asked for help.
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut addr, mut user, mut password, mut entity, mut pid) = (None, None, None, None, None);
        let mut connections = 1_usize;
        let mut entities = 1_u32;
        let mut seconds = 5.0_f64;
        let mut license_type = "SqlBackup".to_owned();
        let mut prefix = "load-".to_owned();
        let (mut path, mut message, mut headers, mut expect) = (None, None, Vec::new(), None);
        let (mut allow_other, mut json) = (false, false);

        let mut args = args;
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--addr" => addr = Some(value()?),
                "--connections" => connections = number(&name, &value()?)?,
                "--seconds" => seconds = number(&name, &value()?)?,
                "--user" => user = Some(value()?),
                "--password" => password = Some(value()?),
                "--entity" => entity = Some(number(&name, &value()?)?),
                "--entities" => entities = number(&name, &value()?)?,
                "--type" => license_type = value()?,
                "--prefix" => prefix = value()?,
                "--path" => path = Some(value()?),
                "--message" => message = Some(value()?),
                "--header" => headers.push(value()?),
                "--expect" => expect = Some(value()?),
                "--pid" => pid = Some(number(&name, &value()?)?),
                "--allow-other" => allow_other = true,
                "--json" => json = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if !(1..=10_000).contains(&connections) {
            return Err("--connections must be between 1 and 10000".to_owned());
        }
        // Also refuses NaN. An hour keeps the list of latencies, which stays in memory, within reason.
        if !(0.1..=3600.0).contains(&seconds) {
            return Err("--seconds must be between 0.1 and 3600".to_owned());
        }
        let work = match path {
            Some(path) => Work::Request {
                path,
                body: message
                    .map(|file| std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}")))
                    .transpose()?,
                headers,
                expect: expect.ok_or("--expect is missing")?,
            },
            None => Work::Assign {
                user: user.ok_or("--user is missing")?,
                password: password.ok_or("--password is missing")?,
                entity: entity.ok_or("--entity is missing")?,
                entities: Some(entities).filter(|n| *n > 0).ok_or("--entities must be 1 or more")?,
                license_type,
                prefix,
            },
        };
        Ok(Some(Self {
            addr: addr.ok_or("--addr is missing")?,
            connections,
            time: Duration::from_secs_f64(seconds),
            work,
            pid,
            allow_other,
            json,
        }))
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not a number it can take"))
}
