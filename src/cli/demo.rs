//! `seatkeeper demo`: a fresh database with sample data, the service on it, and calls to paste.

mod directory;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::signals::Hangup;
use super::{Failure, Unsuitable, serve};
use crate::asmx::{self, sample};
use crate::auth;
use crate::config::{self, Flags, Sources};
use crate::netserver::web_api::{BASE, RESOURCE};
use crate::service::{LinkPurpose, SIGN_IN_PATH};
use crate::soap::Version;
use crate::store::{self, Database};
use directory::Watch;

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Address and port to serve on.
    #[arg(long, default_value = "127.0.0.1:8086", value_name = "ADDRESS", value_parser = listen_address)]
    listen: SocketAddr,
    /// The database file to create; it must not exist, and it stays. [default: a new file in the temporary directory, removed at the end]
    #[arg(long, value_name = "FILE")]
    database: Option<Database>,
}

/// A sample credential. The password is public: use it only to try the service out.
const USER_NAME: &str = "agent";
const PASSWORD: &str = "demo-password";
/// The credential that the link to the pages signs in.
const ADMINISTRATOR: &str = "admin";
const PROVIDER_ENTITY_ID: i32 = 42;
/// The name of that entity in license tools.
const OWNER_NAME: &str = "CONTOSO";
/// An account without seats.
const ASSOCIATE_ID: i32 = 7;

pub(super) fn demo(args: DemoArgs) -> Result<(), Failure> {
    let file = match args.database {
        Some(Database::Server(address)) => {
            return Err(Unsuitable(format!(
                "{address}: the demo makes an SQLite file. On PostgreSQL run `seatkeeper serve --create`, and seed with psql: docs/postgres.md."
            ))
            .into());
        }
        Some(Database::File(file)) if file.exists() => {
            return Err(format!("{}: exists already; the demo makes a new file", file.display()).into());
        }
        Some(Database::File(file)) => Some(file),
        None => None,
    };
    // Before there is a directory: a signal must not leave one behind.
    let watch = Watch::start()?;
    let (database, directory) = match file {
        Some(file) => (file, None),
        None => {
            directory::remove_leftovers();
            let directory = watch.make_directory()?;
            (directory.database(), Some(directory))
        }
    };
    seed(&database)?;
    let flags = Flags {
        database: Some(database.display().to_string()),
        listen: Some(args.listen.to_string()),
        ..Flags::default()
    };
    let served = serve::serve_and(Sources::of_flags(flags), false, Hangup::Ignore, |address, service| {
        watch.started();
        let link = service.make_link(LinkPurpose::SignIn(ADMINISTRATOR.to_owned()));
        let pages = link.map_or_else(|_| "/".to_owned(), |secret| format!("{SIGN_IN_PATH}/{secret}"));
        let end = if directory.is_some() { "Stopping removes it" } else { "It stays when the demo ends" };
        // A closed pipe must not end the demo.
        let _ = write!(std::io::stdout(), "{}", guide(address, &database, end, &pages));
    });
    drop(directory);
    served
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    config::address(text).map_err(|wrong| format!("it is {wrong}"))
}

fn seed(database: &Path) -> Result<(), Failure> {
    let script = format!(
        "BEGIN;
         INSERT INTO entity (id, parent_id, name) VALUES
             (1, NULL, 'Northwind Distribution'), ({PROVIDER_ENTITY_ID}, 1, 'Contoso Backup'), (43, 1, 'Fabrikam Hosting');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES
             ('{USER_NAME}', hash_password('{PASSWORD}'), 1, 'agent'), ('{ADMINISTRATOR}', hash_password('{PASSWORD}'), 1, 'admin');
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (1, {PROVIDER_ENTITY_ID}, 'SqlBackup', 100, NULL),
             (2, {PROVIDER_ENTITY_ID}, 'ExchangeBackup', 2, NULL),
             (3, 43, 'SkraftDiskImageV5', 10, '2020-01-01T00:00:00Z');
         -- For license tools: an owner, an associate, and an offer of more seats.
         UPDATE entity SET owner_name = '{OWNER_NAME}', serial_nr = '1010000014', shop_url = 'https://shop.example.com/contoso',
             admin_warning_at = {in_days_335}, expires_at = {in_days_365}, grace_at = {in_days_395} WHERE id = {PROVIDER_ENTITY_ID};
         INSERT INTO account (id, username, entity_id) VALUES ({ASSOCIATE_ID}, 'backup07', {PROVIDER_ENTITY_ID});
         INSERT INTO license_offer (entity_id) VALUES ({PROVIDER_ENTITY_ID});
         INSERT INTO license_offer_module (entity_id, license_type, seats_total) VALUES ({PROVIDER_ENTITY_ID}, 'SqlBackup', 150);
         COMMIT;",
        in_days_335 = midnight_in(335),
        in_days_365 = midnight_in(365),
        in_days_395 = midnight_in(395),
    );
    Ok(store::run_sql(database, &script, auth::hash_new_password)?)
}

/// As SQL, so that the sample license is in force on any day.
fn midnight_in(days: u16) -> String {
    format!("strftime('%Y-%m-%dT00:00:00Z', 'now', '+{days} days')")
}

/// `end`: what becomes of the database.
fn guide(address: SocketAddr, database: &Path, end: &str, pages: &str) -> String {
    let url = format!("http://{address}{}", asmx::PATH);
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "seatkeeper".into());
    format!(
        "
A fresh database with sample data is served. Stop with Ctrl-C.

  pages        http://{address}{pages}
               signed in as an administrator: once, within 30 minutes
  operations   {url}
  database     {database}
               {end}.

Paste this into another terminal: it takes a seat. Paste it again and the response says why it does not.

curl -s {url} \\
  -H 'Content-Type: text/xml; charset=utf-8' -H 'SOAPAction: \"{action}\"' --data-binary @- <<'EOF'
{envelope}
EOF

Then read the history: it has the seat, and that 'agent' took it.

{program} audit show --database {database} --newest-first --limit 2

License tools see the same seat: '1 of 100 in use'.

curl -s -u {USER_NAME}:{PASSWORD} http://{address}{BASE}/{RESOURCE}/User/{ASSOCIATE_ID}

",
        database = database.display(),
        program = program.display(),
        action = asmx::CONTRACT.soap_action(&asmx::CONTRACT.operations[0]),
        envelope = sample_call(),
    )
}

/// The sample message of the help page, with its placeholders filled in.
fn sample_call() -> String {
    let sample = sample::request(&asmx::CONTRACT, &asmx::CONTRACT.operations[0], Version::Soap11, asmx::PATH, "");
    let envelope = sample.split_once("\n\n").map_or(sample.as_str(), |(_, envelope)| envelope);
    [
        ("<UserName>string", format!("<UserName>{USER_NAME}")),
        ("<Password>string", format!("<Password>{PASSWORD}")),
        ("<Username>string", "<Username>backup01".to_owned()),
        ("Id>int", format!("Id>{PROVIDER_ENTITY_ID}")),
        ("SkraftDiskImageV5 or SqlBackup or ExchangeBackup", "SqlBackup".to_owned()),
    ]
    .iter()
    .fold(envelope.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
}
