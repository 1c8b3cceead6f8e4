//! `seatkeeper check` names what is broken, and `serve` does not run on what it cannot trust.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;
use seatkeeper::store::sqlite;

use crate::harness::*;
use crate::program::{Done, Serving, seatkeeper};

/// Entities 1 > 42 > 420 and 1 > 43. Of 42: account 1, who holds seat 1 of pool 1 (SqlBackup, 3 seats), account 2, and
/// pool 2 (SqlBackup, 1 seat). Of 43: pool 3, account 3, credential `operator`.
fn seeded(directory: &TempDir) -> std::path::PathBuf {
    let database = directory.join("seats.db");
    let hash = &*PASSWORD_HASH;
    let data = format!(
        "INSERT INTO entity (id, parent_id, name) VALUES
             (1, NULL, 'Northwind'), (42, 1, 'Contoso'), (420, 42, 'Contoso West'), (43, 1, 'Fabrikam');
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '{hash}', 1), ('operator', '{hash}', 43);
         INSERT INTO account (id, username, entity_id) VALUES (1, 'backup01', 42), (2, 'backup02', 42), (3, 'backup03', 43);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES
             (1, 42, 'SqlBackup', 3), (2, 42, 'SqlBackup', 1), (3, 43, 'SqlBackup', 1);
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;"
    );
    sql(&database, &data).expect("seed");
    database
}

/// One way to break a promise.
struct Breach {
    /// The guards that must be out of the way. Triggers come back afterwards, as they were.
    without: &'static [&'static str],
    sql: &'static str,
    /// The lines of the check, without "broken: ".
    told: &'static [&'static str],
}

const BREACHES: &[Breach] = &[
    Breach {
        without: &["license_pool_changed"],
        sql: "UPDATE license_pool SET seats_total = 9 WHERE id = 1",
        told: &[
            "a pool has as many seats as its seats_total: pool 1 has 3 seats, seats_total is 9",
            "no row is left in the middle of a change: license_pool 1",
        ],
    },
    Breach {
        without: &["license_pool_update"],
        sql: "UPDATE license_pool SET seats_in_use = 2, seats_in_use_max = 3 WHERE id = 1",
        told: &[
            "a pool counts its seats in use: pool 1: 1 in use, seats_in_use is 2",
            "a pool knows the most of its seats that were in use at once: pool 1: 1 by its history, seats_in_use_max is 3",
        ],
    },
    Breach {
        without: &["license_pool_update"],
        sql: "UPDATE license_pool SET seats_in_use_max = 1 WHERE id = 2",
        told: &[
            "a pool knows the most of its seats that were in use at once: pool 2: 0 by its history, seats_in_use_max is 1",
        ],
    },
    Breach {
        without: &["license_pool_update"],
        sql: "UPDATE license_pool SET event_id = 1, events = 7 WHERE id = 2",
        told: &["the history of a pool leads from its newest event to its creation: pool 2: 7 events, the newest is number 1"],
    },
    Breach {
        without: &["audit_event_update"],
        sql: "UPDATE audit_event SET previous_id = 1 WHERE action = 'assign'",
        told: &["the history of a pool leads from its newest event to its creation: event 13 of pool 1"],
    },
    Breach {
        without: &["audit_archive_insert"],
        sql: "INSERT INTO audit_archive VALUES (1, 1, 1, '2026-01-01T00:00:00.000Z', zeroblob(32), NULL, 'moved.db')",
        told: &["events that were moved to an archive are not here: event 1"],
    },
    Breach {
        without: &["call_insert"],
        sql: "INSERT INTO call (id, actor) VALUES (1, 'agent')",
        told: &["no call is left under way: call of agent"],
    },
    Breach {
        without: &[],
        sql: "CREATE TRIGGER mine AFTER UPDATE ON seat BEGIN SELECT 1; END; CREATE UNIQUE INDEX lone ON account (id, active);
              CREATE INDEX plain ON account (active); CREATE TABLE theirs (x UNIQUE);",
        told: &[
            "the schema is the one this program made: 'lone' on 'account' is not ours",
            "the schema is the one this program made: 'mine' on 'seat' is not ours",
        ],
    },
    Breach {
        without: &["seat_update"],
        sql: "UPDATE seat SET license_type = 'ExchangeBackup' WHERE pool_id = 1 AND seat_no = 2",
        told: &["a seat belongs to a pool of its type: seat 2 of pool 1"],
    },
    Breach {
        without: &["license_pool_deleted"],
        sql: "DELETE FROM license_pool WHERE id = 2",
        told: &[
            "a seat belongs to a pool of its type: seat 1 of pool 2",
            "no row is left in the middle of a change: license_pool 2",
        ],
    },
    Breach {
        without: &["account_delete"],
        sql: "DELETE FROM account WHERE id = 1",
        told: &["a taken seat is held by an account that exists: seat 1 of pool 1: account 1"],
    },
    Breach {
        without: &["seat_update", "seat_updated", "seat_by_holder"],
        sql: "UPDATE seat SET account_id = 1 WHERE pool_id = 2",
        told: &[
            "the schema is the one this program made: 'seat_by_holder' is missing",
            "an account holds one seat of a type at most: account 1: 2 of SqlBackup",
            "the newest event of a seat says who holds it: seat 1 of pool 2: held by 1, the audit says no account",
            "a pool counts its seats in use: pool 2: 1 in use, seats_in_use is 0",
        ],
    },
    Breach {
        without: &["entity_delete"],
        sql: "DELETE FROM entity WHERE id = 43",
        told: &[
            "pools, accounts, credentials and offers belong to entities that exist: pool 3",
            "pools, accounts, credentials and offers belong to entities that exist: account 3",
            "pools, accounts, credentials and offers belong to entities that exist: credential operator",
        ],
    },
    Breach {
        without: &["license_offer_insert"],
        sql: "INSERT INTO license_offer (entity_id) VALUES (999)",
        told: &["pools, accounts, credentials and offers belong to entities that exist: offer for entity 999"],
    },
    Breach {
        without: &["license_offer_deleted"],
        sql: "INSERT INTO license_offer (entity_id) VALUES (42);
              INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 9);
              DELETE FROM license_offer",
        told: &[
            "seats are offered as part of an offer: SqlBackup for entity 42",
            "no row is left in the middle of a change: license_offer 42",
        ],
    },
    Breach {
        without: &["credential_updated", "credential_deleted"],
        sql: "INSERT INTO ticket (id, secret_hash, user_name, expires_at) VALUES
                  ('6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01', zeroblob(32), 'AGENT', '2099-01-01T00:00:00Z'),
                  ('6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a02', zeroblob(32), 'operator', '2099-01-01T00:00:00Z');
              UPDATE credential SET active = 0 WHERE user_name = 'agent';
              DELETE FROM credential WHERE user_name = 'operator'",
        told: &[
            "a ticket belongs to an active credential: ticket 6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01 of AGENT",
            "a ticket belongs to an active credential: ticket 6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a02 of operator",
            "no row is left in the middle of a change: credential 1",
            "no row is left in the middle of a change: credential 2",
        ],
    },
    Breach {
        without: &["entity_update"],
        sql: "UPDATE entity SET parent_id = 420 WHERE id = 42",
        told: &[
            "every entity is below a root, in no circle: entity 42",
            "every entity is below a root, in no circle: entity 420",
        ],
    },
    Breach {
        without: &["entity_update"],
        sql: "UPDATE entity SET parent_id = 999 WHERE id = 420",
        told: &["every entity is below a root, in no circle: entity 420"],
    },
    Breach {
        without: &["change_delete"],
        sql: "UPDATE seat SET account_id = NULL WHERE account_id = 1;
              UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 1",
        told: &["the newest event of a seat says who holds it: seat 1 of pool 1: held by 2, the audit says 1"],
    },
    Breach {
        without: &["seat_updated"],
        sql: "UPDATE seat SET account_id = 2 WHERE pool_id = 1 AND seat_no = 3",
        told: &[
            "the newest event of a seat says who holds it: seat 3 of pool 1: held by 2, the audit says no account",
            "a pool counts its seats in use: pool 1: 2 in use, seats_in_use is 1",
            "no row is left in the middle of a change: seat 1",
        ],
    },
    Breach {
        without: &["audit_event_update"],
        sql: "UPDATE audit_event SET at = '2026-13-01T00:00:00Z' WHERE id = 1;
              UPDATE audit_event SET action = CAST(x'6173FF' AS TEXT) WHERE id = 2;
              UPDATE audit_event SET new_values = '{\"name\":' WHERE id = 3;
              UPDATE audit_event SET new_values = '[1]' WHERE id = 4;
              UPDATE audit_event SET license_type = 'SqlBackpu' WHERE action = 'pool-create' AND pool_id = 2",
        told: &[
            "an event says what happened and when: event 1",
            "an event says what happened and when: event 2",
            "an event says what happened and when: event 3",
            "an event says what happened and when: event 4",
            "an event says what happened and when: event 11",
            "the pool-create event of a pool names its owner and type: pool 2 of entity 42, SqlBackup: the audit says entity 42, SqlBackpu",
        ],
    },
    Breach {
        without: &["session_insert"],
        sql: "PRAGMA foreign_keys = OFF;
              INSERT INTO session (id, secret_hash, user_name, created_at, expires_at, ends_at) VALUES
                  ('6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01', zeroblob(32), 'stray', '2026-01-01T00:00:00Z', '2099-01-01T00:00:00Z', '2099-01-01T00:00:00Z')",
        told: &[
            "a session belongs to an active credential: session 6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01 of stray",
        ],
    },
    Breach {
        without: &["entity_update", "ticket_update"],
        sql: "PRAGMA ignore_check_constraints = ON;
              INSERT INTO ticket (id, secret_hash, user_name, expires_at) VALUES
                  ('6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');
              UPDATE ticket SET user_name = CAST(x'6167656EF4' AS TEXT), expires_at = '2099-01-01T00:00:00\u{dc}';
              UPDATE entity SET owner_name = CAST(x'414243FF' AS TEXT) WHERE id = 43",
        told: &[
            "a ticket belongs to an active credential: ticket 6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01 of agen\u{fffd}",
            "names of owners and of users that are signed in are valid UTF-8: ticket 6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01: user_name is x'6167656EF4'",
            "names of owners and of users that are signed in are valid UTF-8: entity 43: owner_name is x'414243FF'",
            "every value is one that its column may have: entity, row 43: entity.owner_name must be A-Z and 0-9 only",
            "every value is one that its column may have: ticket, row 1: ticket.expires_at must be UTC like 2027-01-31T00:00:00Z",
        ],
    },
    Breach {
        without: &["audit_event_delete"],
        sql: "DELETE FROM audit_event WHERE action = 'pool-create' AND pool_id = 1",
        told: &[
            "the pool-create event of a pool names its owner and type: pool 1 of entity 42, SqlBackup: the audit says nothing",
            "the history of a pool leads from its newest event to its creation: event 13 of pool 1",
        ],
    },
    Breach {
        without: &["audit_event_update"],
        sql: "UPDATE audit_event SET entity_id = 42 WHERE action = 'pool-create' AND pool_id = 3",
        told: &[
            "the pool-create event of a pool names its owner and type: pool 3 of entity 43, SqlBackup: the audit says entity 42, SqlBackup",
        ],
    },
    Breach {
        without: &["account_update", "credential_update"],
        sql: "UPDATE account SET username = 'backup01 ' WHERE id = 2;
              UPDATE account SET username = char(8239) || 'Müller' WHERE id = 3;
              UPDATE credential SET user_name = ' operator' WHERE user_name = 'operator'",
        told: &[
            "names have no blank at either end: account 2: username is 'backup01 '; calls read that name as 'backup01'",
            "names have no blank at either end: account 3: username is '\u{202f}Müller'; calls read that name as 'Müller'",
            "names have no blank at either end: credential of entity 43: user_name is ' operator'; calls read that name as 'operator'",
        ],
    },
    Breach {
        without: &["account_update", "credential_update", "entity_update", "license_pool_change", "seat_update"],
        sql: "UPDATE account SET username = CAST(x'FF41' AS TEXT) WHERE id = 3;
              UPDATE credential SET user_name = CAST(x'EDA080' AS TEXT) WHERE user_name = 'operator';
              UPDATE entity SET shop_url = 'https://example.com/' || char(65533) WHERE id = 42;
              UPDATE entity SET name = 'Contoso' || char(0) || 'x' WHERE id = 420;
              UPDATE license_pool SET product_key = CAST(x'C3A4E282' AS TEXT) WHERE id = 3;
              UPDATE seat SET product_key = char(65535) WHERE pool_id = 3",
        told: &[
            "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: account 3: username is x'FF41'",
            "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: credential of entity 43: user_name is x'EDA080'",
            "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: entity 42: shop_url is x'68747470733A2F2F6578616D706C652E636F6D2FEFBFBD'",
            "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: entity 420: name is x'436F6E746F736F0078'",
            "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: pool 3: product_key is x'C3A4E282'",
            "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF: seat 1 of pool 3: product_key is x'EFBFBF'",
        ],
    },
    Breach {
        without: &["audit_event_update"],
        sql: "UPDATE audit_event SET hash = zeroblob(32) WHERE id <> 3",
        told: &["the events that are chained are the first ones: event 3 has no hash, and later ones have"],
    },
    Breach {
        without: &[],
        sql: "DROP TRIGGER seat_update; DROP INDEX seat_free",
        told: &[
            "the schema is the one this program made: 'seat_free' is missing",
            "the schema is the one this program made: 'seat_update' is missing",
        ],
    },
    Breach {
        without: &["seat_delete"],
        sql: "CREATE TRIGGER seat_delete BEFORE DELETE ON seat BEGIN SELECT 1; END",
        told: &["the schema is the one this program made: 'seat_delete' is not as in schema.sql"],
    },
    Breach {
        without: &[],
        sql: "PRAGMA ignore_check_constraints = ON; UPDATE entity SET active = 7 WHERE id = 43",
        told: &["every value is one that its column may have: entity, row 43: entity.active must be 0 or 1"],
    },
    Breach {
        without: &[],
        sql: "UPDATE credential SET password_hash = replace(password_hash, 't=2', 't=1') WHERE user_name = 'operator'",
        told: &[
            "credentials have a password hash that can be verified: credential 'operator': password_hash has t=1; 2 to 16 is taken",
        ],
    },
];

/// Runs the SQL on a connection that nothing holds back, with some guards out of the way meanwhile.
fn breach(database: &Path, without: &[&str], sql: &str) -> rusqlite::Result<()> {
    let connection = Connection::open(database)?;
    connection.execute_batch("PRAGMA foreign_keys = OFF")?;
    let mut triggers = Vec::new();
    for name in without {
        let guard = "SELECT type, sql FROM sqlite_schema WHERE name = ?1";
        let (kind, sql): (String, String) =
            connection.query_row(guard, [name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        connection.execute_batch(&format!("DROP {kind} {name}"))?;
        // An index cannot come back over rows that it would refuse.
        if kind == "trigger" {
            triggers.push((name, sql));
        }
    }
    connection.execute_batch(sql)?;
    for (name, sql) in triggers {
        let back = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([name])?;
        if !back {
            connection.execute_batch(&sql)?;
        }
    }
    Ok(())
}

#[test]
fn the_check_names_every_row_that_breaks_an_invariant() {
    for Breach { without, sql, told } in BREACHES {
        let directory = TempDir::new();
        let database = seeded(&directory);
        breach(&database, without, sql).expect(sql);
        let Done { code, stdout, stderr } = seatkeeper("check", &database, &[], "");
        let expected: BTreeSet<String> = told.iter().map(|line| format!("broken: {line}")).collect();
        assert_eq!((code, stdout.lines().map(str::to_owned).collect()), (Some(1), expected), "{sql}\n{stderr}");
        let rows = match told.len() {
            1 => "1 row breaks".to_owned(),
            n => format!("{n} rows break"),
        };
        assert_eq!(stderr, format!("error: {}: {rows} an invariant\n", database.display()));
    }
}

#[test]
fn every_invariant_is_broken_by_one_of_these() {
    for (invariant, _) in sqlite::INVARIANTS {
        let is_told = |breach: &Breach| breach.told.iter().any(|line| line.starts_with(&format!("{invariant}: ")));
        assert!(BREACHES.iter().any(is_told), "{invariant}");
    }
}

#[test]
fn a_good_database_is_ok_and_one_that_is_not_there_is_not_made() {
    let directory = TempDir::new();
    let check = seatkeeper("check", seeded(&directory), &[], "");
    assert_eq!((check.code, check.stdout.as_str()), (Some(0), "ok: every invariant holds\n"), "{}", check.stderr);

    let nowhere = directory.join("nowhere.db");
    let check = seatkeeper("check", &nowhere, &[], "");
    assert_eq!(check.code, Some(3));
    assert_eq!(
        check.stderr,
        format!(
            "error: {}: there is no such database. Check its name, and that its disk is mounted; if it was lost, restore a backup. \
             Only to begin with a new one, use `serve` or `sql` with --create.\n",
            nowhere.display()
        )
    );
    assert!(!nowhere.exists());
}

/// A copy or a dump may hold the row of a call, and notes of changes that did not take place. They mean nothing there.
#[test]
fn leftovers_of_calls_are_cleared_when_the_file_is_opened_to_write() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let leftovers = "INSERT INTO call (id, actor) VALUES (1, 'agent');
                     INSERT INTO change (subject, key, part, before) VALUES ('account', 1, '', '{}'), ('seat', 1, 2, NULL);";
    let check = || seatkeeper("check", &database, &[], "").stdout;
    let ok = "ok: every invariant holds\n";
    unguarded(&database, leftovers);
    assert_eq!(check().lines().count(), 3, "{}", check());
    let done = seatkeeper("sql", &database, &[], "UPDATE account SET note = 'x' WHERE id = 1");
    assert_eq!((done.code, check().as_str()), (Some(0), ok), "{}", done.stderr);
    let connection = Connection::open(&database).expect("open");
    let newest = "SELECT actor || ': ' || action FROM audit_event ORDER BY id DESC LIMIT 1";
    let newest: String = connection.query_row(newest, [], |row| row.get(0)).expect("an event");
    assert_eq!(newest, "sql: account-change");
    unguarded(&database, leftovers);
    drop(Serving::start(&database));
    assert_eq!(check(), ok);
}

/// `serve` ends with this one line, and leaves the file as it was.
fn serve_refuses(database: &Path, because: &str) {
    let before = std::fs::read(database).expect("read");
    let refused = Serving::try_start(database).err().expect("it does not serve this");
    assert_eq!(refused.stderr, format!("error: {}: {because}\n", database.display()));
    assert_eq!(refused.code, Some(3));
    assert!(before == std::fs::read(database).expect("read"), "the file was changed");
}

#[test]
fn serve_refuses_a_database_whose_guards_are_gone() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    breach(&database, &[], "DROP TRIGGER seat_update").expect("drop");
    serve_refuses(
        &database,
        "the schema was changed: 'seat_update' is missing. Run 'seatkeeper check' for all of it; \
         restore a backup or undo the change.",
    );
}

#[test]
fn serve_refuses_a_database_of_a_newer_program() {
    let directory = TempDir::new();
    let database = seeded(&directory);
    let newer = sqlite::SCHEMA_VERSION + 1;
    breach(&database, &[], &format!("PRAGMA user_version = {newer}")).expect("version");
    serve_refuses(
        &database,
        &format!(
            "its schema has version {newer}, this program knows up to {}. Run a newer seatkeeper, \
             or restore a backup made before the upgrade.",
            sqlite::SCHEMA_VERSION
        ),
    );
}

#[test]
fn serve_refuses_the_database_of_another_program() {
    let directory = TempDir::new();
    let database = directory.join("other.db");
    breach(&database, &[], "CREATE TABLE somebody_elses (x); INSERT INTO somebody_elses VALUES (1)").expect("make");
    serve_refuses(&database, "this is not a Seatkeeper database, and it is not empty. Name another file.");
}

#[test]
fn serve_refuses_a_file_that_is_no_database() {
    let directory = TempDir::new();
    let database = directory.join("notes.txt");
    std::fs::write(&database, "Licenses: ask Marianne.\n".repeat(100)).expect("write");
    serve_refuses(&database, "file is not a database");
}

#[test]
fn a_directory_whose_name_is_not_utf_8_is_as_good_as_any() {
    use std::os::unix::ffi::OsStrExt as _;
    let directory = TempDir::new();
    let odd = directory.join("").join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    std::fs::create_dir(&odd).expect("a directory");
    std::fs::rename(seeded(&directory), odd.join("seats.db")).expect("moved");
    let program = |subcommand: &str| {
        let mut command = crate::program::program(subcommand, "seats.db");
        command.current_dir(&odd);
        command
    };
    let run = |subcommand: &str, more: Option<&str>| {
        let done = crate::program::run(program(subcommand).args(more), "");
        assert_eq!(done.code, Some(0), "{subcommand}: {done:?}");
    };
    run("check", None);
    run("backup", Some("backup.db"));
    run("restore", Some("backup.db"));
    run("check", None);
    Serving::try_start_as(program("serve")).expect("it starts").stop();
}
