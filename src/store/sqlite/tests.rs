//! The plans of the statements: each is made once, and is a search by key, however large the database grows.

use std::time::Duration;

use rusqlite::{Connection, StatementStatus};

use super::SCHEMA;
use super::calls::{activate, assignee, facts, module_history, named, owner, record, seats as of_seats, ticket};
use super::file::open;
use super::history::chain;
use crate::seats;

fn made() -> Connection {
    let connection = Connection::open_in_memory().expect("open");
    connection.execute_batch(SCHEMA).expect("schema");
    connection
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepare");
    let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<_, _>>();
    rows.expect("plan")
}

/// The chain is looked at again and again while no call writes, so that must not read all events.
#[test]
fn the_ends_of_the_history_are_found_without_reading_it() {
    let steps = plan(&made(), chain::ENDS);
    assert!(steps.iter().all(|step| !step.starts_with("SCAN audit_event")), "{steps:?}");
    let both = plan(&made(), "SELECT min(id), max(id) FROM audit_event");
    assert!(both.iter().any(|step| step.starts_with("SCAN audit_event")), "what this avoids: {both:?}");
}

/// Every statement of an assignment is a search by key. The free seat comes from the partial index, and the seats of a user from
/// the user's index, also with statistics of a database whose one pool has all the seats.
#[test]
fn the_free_seat_comes_from_its_index() {
    let connection = made();
    let plan = |sql| plan(&connection, sql);
    // Without statistics the planner would take the primary key, and walk past every taken seat.
    let free_seat = "SEARCH seat USING INDEX seat_free (pool_id=?)".to_owned();
    let open_pools = plan(facts::OPEN_POOLS);
    assert!(open_pools.contains(&free_seat), "{open_pools:?}");
    for line in open_pools {
        assert!(!line.starts_with("SCAN") && !line.contains("TEMP B-TREE"), "{line}");
    }
    assert_eq!(plan(facts::HELD)[1], "SEARCH license_pool USING INTEGER PRIMARY KEY (rowid=?)");

    connection
        .execute_batch(
            "INSERT INTO entity (id, name) VALUES (1, 'a');
             INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 1, 'SqlBackup', 20000);
             ANALYZE;",
        )
        .expect("a full pool's statistics");
    // The table of pools now has one row, so a scan of it is right.
    let open_pools = plan(facts::OPEN_POOLS);
    assert!(open_pools.contains(&free_seat), "{open_pools:?}");
    let held = plan(facts::HELD);
    assert!(held[0].contains("seat_by_holder (account_id=? AND license_type=?)"), "{held:?}");
    let seat_held = plan(facts::SEAT_HELD);
    assert!(seat_held[0].contains("seat_by_holder (account_id=? AND license_type=?)"), "{seat_held:?}");
}

const OF_LICENSE_TOOLS: [&str; 31] = [
    facts::TICKET,
    facts::SESSION,
    ticket::RENEW,
    ticket::END_EXPIRED,
    owner::NAMED,
    owner::ALL,
    owner::ALL_BELOW,
    owner::ABOVE,
    assignee::ALL_HELD,
    owner::OWNER,
    owner::OPEN_POOLS,
    owner::OFFERED_SEATS,
    activate::OFFERED,
    activate::OFFERED_BELOW,
    activate::FOLLOW_OFFER,
    activate::SEATS_IN_USE,
    activate::EMPTY_POOLS,
    module_history::NEWEST_OF_POOL,
    module_history::DELETIONS,
    module_history::EVENT,
    record::TAKE,
    record::RELEASE,
    record::OF_SEAT,
    chain::INSERT,
    of_seats::DETAILS,
    facts::ENTITY,
    facts::PARENT,
    named::FIND,
    named::KEEP,
    named::OLDEST,
    named::END,
];

/// Queries of license tools walk a subtree step by step, and for a caller that may see everything they scan all offers.
/// Everything else is a search by key; for tables that grow with use also if statistics make their keys look useless.
#[test]
fn what_license_tools_ask_is_searched_by_key() {
    let connection = made();
    for sql in OF_LICENSE_TOOLS {
        for line in plan(&connection, sql) {
            // `blank` is a view of one row; `change` is only tested for a row.
            let is_walk =
                ["SCAN below", "SCAN above", "SCAN CONSTANT ROW", "SCAN blank", "SCAN change"].contains(&line.as_str());
            let is_all_offers = sql == activate::OFFERED && line == "SCAN license_offer";
            assert!(!line.starts_with("SCAN") || is_walk || is_all_offers, "{sql}: {line}");
            assert!(!line.contains("TEMP B-TREE"), "{sql}: {line}");
        }
    }

    connection
        .execute_batch(
            "INSERT INTO entity (id, name) VALUES (1, 'a');
             INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('a', '$argon2id$v=19$m=1,t=1,p=1$a$a', 1);
             INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 1, 'SqlBackup', 5000);
             UPDATE seat SET product_key = seat_no;
             WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 5000)
             INSERT INTO ticket (id, secret_hash, user_name, expires_at)
                 SELECT format('00000000-0000-0000-0000-%012d', n), zeroblob(32), 'a', '2027-01-31T00:00:00Z' FROM number;
             ANALYZE;",
        )
        .expect("statistics of one user and one pool that have everything");
    for sql in OF_LICENSE_TOOLS {
        for line in plan(&connection, sql) {
            let grows = ["seat", "audit_event", "ticket", "named_call"]
                .iter()
                .any(|table| line.starts_with(&format!("SCAN {table}")));
            assert!(!grows, "{sql}: {line}");
        }
    }
}

/// SQLite prepares a statement again at each use if its plan may depend on bound values, as with a LIMIT. That took half the time
/// of a read.
#[test]
fn a_plan_serves_all_values() {
    let path = std::env::temp_dir().join(format!("seatkeeper-plans-{}.db", uuid::Uuid::new_v4()));
    super::create(&path).expect("made");
    let connection = open::writer(&path, Duration::ZERO).expect("a database");
    for sql in OF_LICENSE_TOOLS.into_iter().chain([facts::OPEN_POOLS, facts::HELD]) {
        let mut statement = connection.prepare(sql).expect("a statement");
        for value in ["1", "7", "CONTOSO"] {
            for parameter in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(parameter, value).expect("bound");
            }
            // Some of these values are not numbers, and no statement finds or changes a row by them.
            let _ = statement.raw_query().next();
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
    drop(connection);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// Schema and calls have the same rule for text: one never writes what the other refuses.
#[test]
fn the_schema_takes_the_text_that_calls_take() {
    let connection = made();
    let mut write = connection.prepare("INSERT INTO text_rule VALUES ('it', CAST(?1 AS TEXT), NULL)").expect("prepare");
    let mut agrees = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes);
        let is_text = text.is_ok_and(|text| !text.contains(['\0', '\u{FFFD}', '\u{FFFE}', '\u{FFFF}']));
        assert_eq!(write.execute([bytes]).is_ok(), is_text, "{bytes:02x?}");
    };
    // Each byte, then pairs of the significant bytes of UTF-8, then longer sequences of the limits of each class.
    (0..=0xFF).for_each(|byte| agrees(&[byte]));
    (0x7F..=0xFF).for_each(|first| (0x7F..0xC3).for_each(|second| agrees(&[first, second])));
    let bounds = [0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBD, 0xBE, 0xBF, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF8];
    for first in [0x41, 0xC3, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xF8, 0xFC] {
        for second in bounds {
            for third in bounds {
                agrees(&[first, second, third]);
                bounds.iter().for_each(|fourth| agrees(&[first, second, third, *fourth]));
            }
        }
    }
    for text in
        ["", "plain", "Müller", "größe 名 \u{1F512}", "\u{10FFFF}\u{E000}\u{D7FF}\u{FFFC}", "a\u{300}", "\u{1FFFE}"]
    {
        agrees(text.as_bytes());
        // Before it, in the middle, after it.
        let bytes = text.as_bytes();
        for bad in [&b"\xFF"[..], b"\x80", b"\xC3", b"\xED\xA0\x80", b"\0", "\u{FFFD}".as_bytes()] {
            let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            agrees(&[bad, bytes].concat());
            agrees(&[&bytes[..middle], bad, &bytes[middle..]].concat());
            agrees(&[bytes, bad].concat());
        }
    }
    // An absent row has no text; and an existing text may stay.
    connection
        .execute_batch("INSERT INTO text_rule VALUES ('it', NULL, NULL), ('it', char(65533), char(65533))")
        .expect("kept");
}

/// Schema and rules ignore the same blanks at the ends of a name.
#[test]
fn the_schema_has_the_blanks_of_the_rules() {
    let connection = made();
    let mut trimmed = connection.prepare("SELECT trim(?1, characters) FROM blank").expect("prepare");
    // Unicode has no other blanks.
    for c in (1..=0xFFFF).filter_map(char::from_u32) {
        let name = format!("{c}a{c}{c}");
        let by_schema: String = trimmed.query_row([&name], |row| row.get(0)).expect("a text");
        assert_eq!(by_schema, seats::normal_name(&name), "{c:?}");
    }
}
