//! `seatkeeper audit show`: events are found, and written so that people and programs can read them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::*;
use crate::program::{Done, run};

/// Runs `seatkeeper audit SUBCOMMAND --database DATABASE ARGS`.
pub fn audit(subcommand: &str, database: impl AsRef<OsStr>, args: &[&str]) -> Done {
    let mut command = crate::program::command();
    let directory = Path::new(&database).parent().filter(|directory| directory.is_dir());
    command.env_clear().current_dir(directory.unwrap_or(&std::env::temp_dir()));
    run(command.args(["audit", subcommand, "--database"]).arg(database).args(args), "")
}

/// What a successful run prints.
#[track_caller]
pub fn audit_ok(subcommand: &str, database: impl AsRef<OsStr>, args: &[&str]) -> String {
    let done = audit(subcommand, database, args);
    assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
    done.stdout
}

/// Entities 1 > 42 > 420, and 43; two credentials; pools of 42, 420 and 43. Then seats by hand, moves, renames, a pool that is
/// deleted and whose id is another entity's afterwards.
fn seeded() -> TestDatabase {
    let hash = &*PASSWORD_HASH;
    let script = format!(
        "INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'Northwind'), (42, 1, 'Contoso'), (420, 42, 'West'),
             (421, 42, 'Gone'), (43, 1, 'Fabrikam');
         DELETE FROM entity WHERE id = 421;
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '{hash}', 1), ('boss', '{hash}', 42);
         INSERT INTO account (id, username, entity_id) VALUES (1, 'anna', 42), (2, 'bert', 43), (3, 'carl', 420);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (1, 42, 'SqlBackup', 3), (2, 43, 'ExchangeBackup', 2), (3, 420, 'SqlBackup', 1);
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;
         UPDATE seat SET account_id = 1 WHERE pool_id = 2 AND seat_no = 1;
         UPDATE seat SET account_id = NULL WHERE pool_id = 2 AND seat_no = 1;
         UPDATE account SET username = 'annabel' WHERE id = 1;
         UPDATE account SET entity_id = 42 WHERE id = 2;
         DELETE FROM license_pool WHERE id = 2;
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (2, 420, 'SqlBackup', 2);
         UPDATE seat SET account_id = 3 WHERE pool_id = 2 AND seat_no = 2;
         UPDATE license_pool SET seats_total = 5 WHERE id = 1;
         UPDATE credential SET user_name = 'chief' WHERE user_name = 'boss';"
    );
    TestDatabase::new(&script)
}

/// The events as lines of their action, and what they are of.
fn found(database: impl AsRef<OsStr>, args: &[&str]) -> Vec<String> {
    let text = audit_ok("show", database, &[args, &["--format", "json"]].concat());
    text.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let shown = |name: &str| match &event[name] {
                Value::Null => String::new(),
                Value::String(text) => format!(" {text}"),
                other => format!(" {}{other}", &name[..1]),
            };
            let parts = ["entity_id", "pool_id", "seat_no", "username"].map(shown).concat();
            format!("{}{parts}", event["action"].as_str().expect("an action"))
        })
        .collect()
}

const CREATED: [&str; 12] = [
    "entity-create e1",
    "entity-create e42",
    "entity-create e420",
    "entity-create e421",
    "entity-create e43",
    "entity-delete e421",
    "credential-create e1 agent",
    "credential-create e42 boss",
    "account-create e42 anna",
    "account-create e43 bert",
    "account-create e420 carl",
    "pool-create e42 p1",
];

#[test]
fn events_are_selected_by_what_they_are_about() {
    let database = seeded();
    let all = found(&database, &[]);
    assert_eq!(all[..12], CREATED);
    assert_eq!(all.len(), 24);
    // Each row: the arguments, and the events that are left.
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--entity", "43"],
            &[
                "entity-create e43",
                "account-create e43 bert",
                "pool-create e43 p2",
                "assign e43 p2 s1 anna",
                "release e43 p2 s1 anna",
                "account-change e42 bert",
                "pool-delete e43 p2",
            ],
        ),
        (
            &["--entity", "420"],
            &[
                "entity-create e420",
                "account-create e420 carl",
                "pool-create e420 p3",
                "pool-create e420 p2",
                "assign e420 p2 s2 carl",
            ],
        ),
        // The seats that its accounts hold elsewhere, too; and not the pool that has the id of another's later.
        (
            &["--entity", "42"],
            &[
                "entity-create e42",
                "credential-create e42 boss",
                "account-create e42 anna",
                "pool-create e42 p1",
                "assign e42 p1 s1 anna",
                "assign e43 p2 s1 anna",
                "release e43 p2 s1 anna",
                "account-change e42 annabel",
                "account-change e42 bert",
                "pool-change e42 p1",
                "credential-change e42 chief",
            ],
        ),
        (
            &["--entity", "42", "--below", "--action", "entity-create,entity-delete"],
            &["entity-create e42", "entity-create e420", "entity-create e421", "entity-delete e421"],
        ),
        (&["--entity", "7"], &[]),
        // Under all names of the account.
        (
            &["--user", " ANNABEL "],
            &[
                "account-create e42 anna",
                "assign e42 p1 s1 anna",
                "assign e43 p2 s1 anna",
                "release e43 p2 s1 anna",
                "account-change e42 annabel",
            ],
        ),
        (
            &["--user", "anna", "--action", "account-create,account-change"],
            &["account-create e42 anna", "account-change e42 annabel"],
        ),
        (&["--user", "boss"], &["credential-create e42 boss", "credential-change e42 chief"]),
        (&["--user", "nobody"], &[]),
        (
            &["--pool", "2", "--action", "pool-create", "--action", "pool-delete"],
            &["pool-create e43 p2", "pool-delete e43 p2", "pool-create e420 p2"],
        ),
        (
            &["--pool", "2", "--newest-first", "--limit", "3"],
            &["assign e420 p2 s2 carl", "pool-create e420 p2", "pool-delete e43 p2"],
        ),
        (&["--action", "release", "--actor", "SQL"], &["release e43 p2 s1 anna"]),
        (&["--action", "release", "--actor", "cli"], &[]),
        (&["--limit", "0"], &[]),
        (&["--until", "2020-01-01"], &[]),
        (&["--since", "1h", "--limit", "1"], &["entity-create e1"]),
        (&["--since", "1h", "--until", "30m"], &[]),
    ];
    for (args, expected) in cases {
        assert_eq!(found(&database, args), *expected, "{args:?}");
    }
}

#[test]
fn calls_and_authors_are_found_by_actor_and_request_id() {
    let server = Server::start();
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    let database = server.database();
    let id: String = server.query("SELECT request_id FROM audit_event WHERE action = 'assign'");
    let seat: i64 = server.query("SELECT seat_no FROM seat WHERE account_id IS NOT NULL");
    let of_call = ["account-create e42 bob".to_owned(), format!("assign e42 p1 s{seat} bob")];
    assert_eq!(found(database, &["--actor", "Agent"]), of_call);
    assert_eq!(found(database, &["--request-id", &id]), of_call);
    assert_eq!(found(database, &["--request-id", &format!("Err-{}", id.to_uppercase())]), of_call);
    let table = audit_ok("show", database, &["--request-id", &id]);
    let assignment: Vec<&str> = table.lines().nth(2).expect("the assignment").split_whitespace().skip(2).collect();
    assert_eq!(assignment, ["assign", "bob", "agent", "42", "SqlBackup", "1", &seat.to_string(), &id]);
}

/// Names are free text; a terminal must not act on them.
#[test]
fn text_is_escaped_for_a_terminal_and_kept_for_programs() {
    let name = "=1+1,\"a\"\u{1b}[2J\u{202e}\r\nb";
    let script = format!("INSERT INTO entity (id, name) VALUES (1, '{name}')");
    let database = TestDatabase::new(&script);
    let table = audit_ok("show", &database, &[]);
    assert!(table.contains("name: =1+1,\"a\"\\u{1b}[2J\\u{202e}\\u{d}\\u{a}b"), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
    let csv = audit_ok("show", &database, &["--format", "csv"]);
    let header = "id,at,action,actor,request_id,reason,entity_id,license_type,pool_id,seat_no,account_id,username,old_values,new_values,hash\r\n";
    assert!(csv.starts_with(header) && csv.ends_with("\r\n"), "{csv}");
    let json: Value = serde_json::from_str(&audit_ok("show", &database, &["--format", "json"])).expect("JSON");
    assert_eq!(json["new_values"]["name"], name);
    let in_csv = json["new_values"].to_string().replace('"', "\"\"");
    assert!(csv.contains(&format!("\"{in_csv}\"")), "{csv}");
}

#[test]
fn a_table_says_what_changed() {
    let script = format!(
        "INSERT INTO entity (id, name) VALUES (1, 'a');
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, license_data) VALUES (1, 1, 'SqlBackup', 2, x'{}');
         UPDATE license_pool SET seats_total = 3, note = 'more' WHERE id = 1;
         UPDATE license_pool SET note = NULL, license_data = NULL WHERE id = 1;
         DELETE FROM license_pool;",
        "00".repeat(100)
    );
    let database = TestDatabase::new(&script);
    let table = audit_ok("show", &database, &["--pool", "1"]);
    let zeros = "0".repeat(60);
    for change in [
        format!("license_type: SqlBackup, seats_total: 2, license_data: {zeros}..."),
        "seats_total: 2 -> 3, note: -> more".to_owned(),
        format!("license_data: {zeros}... ->, note: more ->"),
        "seats_total: 3 ->".to_owned(),
    ] {
        assert!(table.contains(&change), "{change}\n{table}");
    }
}

#[test]
fn what_cannot_be_shown_is_said_with_its_exit_code() {
    let home = seeded();
    let (directory, database) = (home.directory(), home.file());
    let nowhere = directory.join("nowhere.db");
    let other = directory.join("other.db");
    std::fs::write(&other, "no database at all, but some text that is long enough to be read").expect("write");
    for (database, args, code, said) in [
        (&database, vec!["--since", "yesterday"], 2, "'yesterday' is not a time: write 2027-01-31"),
        (&database, vec!["--action", "asign"], 2, "there is no such action; the actions are assign, release"),
        (&database, vec!["--below"], 2, "--entity"),
        (&database, vec!["--at", "now", "--limit", "3"], 2, "cannot be used with"),
        (&database, vec!["--format", "xml"], 2, "table, csv, json"),
        (&database, vec!["--archive", "other.db"], 3, "other.db: "),
        (&nowhere, vec![], 3, "nowhere.db: there is no such database"),
        (&other, vec![], 3, "other.db: "),
    ] {
        let done = audit("show", database, &args);
        assert!(done.code == Some(code) && done.stderr.contains(said), "{args:?}: {done:?}");
    }
    assert!(!nowhere.exists());
}

/// An auditor gets a copy, without the right to write to it.
#[test]
fn a_copy_is_read_and_not_touched() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = seeded();
    let (directory, database) = (home.directory(), home.file());
    let copy_directory = directory.join("read only");
    std::fs::create_dir(&copy_directory).expect("a directory");
    let copy = copy_directory.join("c?py #1%.db");
    std::fs::copy(&database, &copy).expect("copy");
    let before = std::fs::read(&copy).expect("the copy");
    std::fs::set_permissions(&copy_directory, std::fs::Permissions::from_mode(0o555)).expect("mode");
    let shown = audit_ok("show", &copy, &["--limit", "1"]);
    std::fs::set_permissions(&copy_directory, std::fs::Permissions::from_mode(0o755)).expect("mode");
    assert!(shown.contains("entity-create"), "{shown}");
    assert_eq!(std::fs::read(&copy).expect("the copy"), before);
}

/// A reader that looks at the beginning only, as `head` does.
#[test]
fn a_pipe_that_is_closed_is_no_failure() {
    let database = seeded();
    let mut bulk = String::from("BEGIN;");
    for n in 0..3000 {
        bulk += &format!(
            "UPDATE license_pool SET note = 'a note that is long enough to fill the pipe, number {n}' WHERE id = 1;"
        );
    }
    database.sql(&(bulk + "COMMIT"));
    let script = "\"$0\" audit show --database \"$1\" | head -n 2; echo \"${PIPESTATUS[0]}\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_seatkeeper")]).arg(&database);
    let done = run(&mut shell, "");
    assert_eq!((done.stdout.lines().last(), done.stderr.as_str()), (Some("0"), ""), "{done:?}");
}
