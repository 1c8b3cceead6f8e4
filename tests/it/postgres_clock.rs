//! Nodes whose clocks are wrong, on one database, at the wire: whatever depends on the time goes by the database's clock, on every node.
//! `tests/histories/clock.c` gives the program another time of day.

use std::path::PathBuf;

use crate::harness::*;
use crate::histories::clock;
use crate::postgres::{Cluster, Database};
use crate::program::{Serving, program};

/// How wrong the clocks are, in seconds. What is about to happen, or has just happened, is [`SOON`] away: those nodes would be wrong about it.
const WRONG: i64 = 90;
const SOON: &str = "interval '60 seconds'";
/// Longer than what happens here takes, and shorter than the clocks are wrong.
const NAMES_LIVE: &str = "75";

/// A node with a clock of its own.
struct Node {
    name: &'static str,
    service: Serving,
    clock: PathBuf,
}

impl Node {
    fn start(name: &'static str, database: &Database, directory: &TempDir, offset: i64) -> Node {
        let file = directory.join(name);
        std::fs::write(&file, offset.to_ne_bytes()).expect("the clock's file");
        let mut command = program("serve", database.url());
        command.env("LD_PRELOAD", clock()).env("SEATKEEPER_CLOCK", &file).args(["--named-calls-s", NAMES_LIVE]);
        let service = Serving::try_start_as(command).unwrap_or_else(|done| panic!("{name}: {done:?}"));
        Node { name, service, clock: file }
    }

    fn send(&self, request: &[u8]) -> Answer {
        Client::to(self.service.address).send(request)
    }

    fn assign(&self, username: &str, entity: i32, license_type: &str) -> String {
        self.send(&post11(&assign_envelope("agent", PASSWORD, username, entity, license_type))).code()
    }

    fn assign_named(&self, username: &str, name: &str) -> String {
        let body = assign_envelope("agent", PASSWORD, username, 42, "SkraftDiskImageV5");
        let headers = format!("Content-Type: text/xml; charset=utf-8\r\n{ACTION}Idempotency-Key: \"{name}\"\r\n");
        self.send(&post(&headers, body.as_bytes())).code()
    }

    fn sign_in(&self, user: &str) -> String {
        let answer = self.send(&authenticate(user, PASSWORD));
        answer.element("Ticket").unwrap_or_else(|| panic!("{}: {answer:?}", self.name))
    }

    /// Steps its clock, and waits until it has noticed.
    fn step(&self, offset: i64) {
        std::fs::write(&self.clock, offset.to_ne_bytes()).expect("the clock's file");
        wait_until("the node finds its clock wrong", || self.has_noticed());
    }

    fn has_noticed(&self) -> bool {
        self.service.log().contains("the clock of this node differs from the database's, which decides: set it right")
    }
}

/// Owners of the sample data. Of CONTOSO the license has just expired and ends soon; of its pools 1 has just begun, 2 expires soon, 3 starts
/// soon; pool 4 of FABRIKAM has just expired.
fn set_times(database: &Database) {
    let script = format!(
        "UPDATE entity SET admin_warning_at = now() - {SOON}, expires_at = now() - {SOON}, grace_at = now() + {SOON} WHERE id = 42;
         UPDATE license_pool SET starts_at = now() - {SOON} WHERE id = 1;
         UPDATE license_pool SET expires_at = now() + {SOON} WHERE id = 2;
         UPDATE license_pool SET starts_at = now() + {SOON} WHERE id = 3;
         UPDATE license_pool SET expires_at = now() - {SOON} WHERE id = 4;"
    );
    database.execute(&script).expect("times");
}

#[test]
fn nodes_whose_clocks_are_wrong_go_by_the_databases() {
    let database = Cluster::shared().database();
    database.execute(&owners_data()).expect("seed");
    database.execute("UPDATE license_pool SET seats_total = 100 WHERE id IN (1, 2)").expect("seats enough");
    let directory = TempDir::new();
    let nodes = [("right", 0), ("ahead", WRONG), ("behind", 0)]
        .map(|(name, offset)| Node::start(name, &database, &directory, offset));
    // This one's clock steps while it runs.
    nodes[2].step(-WRONG);
    assert_eq!(nodes.each_ref().map(Node::has_noticed), [false, true, true]);

    for node in &nodes {
        let name = node.name;
        // Pools.
        set_times(&database);
        let user = |entity: i32, what: &str| format!("{name}-{entity}-{what}");
        for (entity, license_type, expected) in [
            (42, "SkraftDiskImageV5", "Success"),
            (42, "SqlBackup", "Success"),
            (42, "ExchangeBackup", "NoLicensePool"),
            (43, "SqlBackup", "LicenseExpired"),
        ] {
            let code = node.assign(&user(entity, license_type), entity, license_type);
            assert_eq!(code, expected, "{name}: {entity} {license_type}");
        }

        // Tickets: those that are there, and new ones.
        let ticket = node.sign_in("admin");
        let lives: f64 = database
            .query("SELECT extract(epoch FROM max(expires_at) - now())::float8 FROM ticket WHERE user_name = 'admin'");
        let full = 6.0 * 3600.0 + 360.0;
        assert!((full - 30.0..=full + 30.0).contains(&lives), "{name}: {lives}");
        let is_good = |way: &str| {
            database.unguarded(&format!("UPDATE ticket SET expires_at = now() {way} {SOON} WHERE user_name = 'admin'"));
            node.send(&license(&ticket, "GetLicenseForAllOwnersFromDB", "")).exception()
        };
        assert_eq!(is_good("+"), None, "{name}");
        let lives: f64 = database
            .query("SELECT extract(epoch FROM min(expires_at) - now())::float8 FROM ticket WHERE user_name = 'admin'");
        assert!(lives < full + 30.0, "{name}: {lives}");
        assert_eq!(is_good("-").as_deref(), Some("SoSessionException"), "{name}");

        // What license tools are told of times.
        set_times(&database);
        let ticket = node.sign_in("reader");
        let owner = "<OwnerName>CONTOSO</OwnerName>";
        let status = node.send(&license(&ticket, "GetLicenseStatusFromLicenseServer", owner));
        assert_eq!(status.element("LicenseStatus").as_deref(), Some("UseCustomMessageAndUrl"), "{name}: {status:?}");
        assert!(status.message().contains("expired at"), "{name}: {status:?}");
        let history = |owner: &str| {
            let arguments = format!(
                "<LicenseInfo><New><OwnerName>{owner}</OwnerName></New></LicenseInfo>\
                 <ModuleLicense><New><ModuleName>SQLBACKUP</ModuleName></New></ModuleLicense>"
            );
            node.send(&license(&ticket, "GetModuleLicenseHistoryFromLicenseServer", &arguments)).body
        };
        let (contoso, fabrikam) = (history("CONTOSO"), history("FABRIKAM"));
        assert!(contoso.contains("Pool 2 expires at"), "{name}: {contoso}");
        assert!(fabrikam.contains("Pool 4 expired at"), "{name}: {fabrikam}");

        // Named calls: the name lives as long as it is to, wherever the retry arrives.
        for other in &nodes {
            let call = format!("{name} then {}", other.name).replace(' ', "-");
            assert_eq!(node.assign_named(&call, &call), "Success", "{call}");
            assert_eq!(other.assign_named(&call, &call), "Success", "{call}");
            let expired = format!(
                "UPDATE named_call SET at = to_char((now() - interval '80 seconds') AT TIME ZONE 'UTC', \
                'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '000Z' WHERE name = '{call}'"
            );
            database.unguarded(&expired);
            assert_eq!(other.assign_named(&call, &call), "AlreadyExists", "{call}: the name has expired");
        }
    }

    // The history.
    let far = "SELECT count(*) FROM audit_event WHERE at NOT BETWEEN now() - interval '80 seconds' AND now() + interval '1 second'";
    let first: f64 = database.query("SELECT extract(epoch FROM now() - min(at))::float8 FROM audit_event");
    if first < 80.0 {
        assert_eq!(database.query::<i64>(far), 0);
    }
    let taken = "SELECT count(*) FROM audit_event WHERE action = 'assign' AND request_id IS NOT NULL";
    assert_eq!(database.query::<i64>(taken), 3 * 2 + 9);
}
