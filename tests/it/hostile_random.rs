//! Random SQL by hand, most of it hostile: after each statement no note of a change may look as if the change were under way,
//! because then events could be forged and counters written. In the end every invariant holds.

use rusqlite::Connection;
use seatkeeper::store::sqlite::{INVARIANTS, SCHEMA, add_functions};

use crate::harness::PASSWORD_HASH;
use crate::kill::{Random, number_from};

/// Entities 1 > 42, 43; pools 1 (5 seats, one taken) and 2 of 42, 3 of 43; accounts 1 to 3; credential `agent`.
fn seeded(random: &mut Random) -> Connection {
    let connection = Connection::open_in_memory().expect("open");
    connection.execute_batch(SCHEMA).expect("schema");
    add_functions(&connection).expect("functions");
    let (recursive, foreign) = (random.below(2), random.below(2));
    let hash = &*PASSWORD_HASH;
    let data = format!(
        "PRAGMA recursive_triggers = {recursive}; PRAGMA foreign_keys = {foreign};
         INSERT INTO entity (id, parent_id, name) VALUES (1, NULL, 'a'), (42, 1, 'b'), (43, 1, 'c');
         INSERT INTO credential (user_name, password_hash, entity_id) VALUES ('agent', '{hash}', 1);
         INSERT INTO account (username, entity_id) VALUES ('u1', 42), ('u2', 42), ('u3', 43);
         INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES
             (42, 'SqlBackup', 5), (42, 'ExchangeBackup', 2), (43, 'SqlBackup', 2);
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 1;"
    );
    connection.execute_batch(&data).expect("data");
    connection
}

/// In each, `@` is how conflicts are dealt with; a list in braces is one of its words. An empty word is nothing.
const STATEMENTS: &[&str] = &[
    "INSERT @ INTO {row_change|change} (subject, key, part) VALUES ('{entity|credential|account|license_pool|seat|license_offer|license_offer_module|Account}', {1|2|3|42|'1'|' 1'|1.0|x'31'|NULL|-1|99}, {''|''|''|1|2|3|6|'1'|'SqlBackup'|NULL|x''|1.0})",
    "INSERT @ INTO {row_change|change} (subject, key, part) VALUES ('{license_pool|account|seat}', {1|2|3|4}, {''|1|2|5})",
    "UPDATE @ change SET {key|part|before|subject|events|event_id} = {1|2|''|NULL|'x'}",
    "DELETE FROM {change|license_pool WHERE id = 3|license_pool|account|entity WHERE id = 43|license_offer|license_offer_module|seat|audit_event}",
    "UPDATE @ account SET {note|active|username|entity_id|id} = {0|1|7|42|NULL|''|'q'} {|WHERE id = 1}",
    "INSERT @ INTO account (id, username, entity_id, active) VALUES ({NULL|1|2|5|6}, '{|u1|n1|n2|n3}', {42|1|99}, {1|0|7})",
    "UPDATE @ license_pool SET seats_total = {0|1|2|3|5|8|-1|10000001} {|WHERE id = 1|WHERE id = 2}",
    "UPDATE @ license_pool SET {note|expires_at|seats_in_use|seats_in_use_max|event_id|events|product_key} = {0|1|2|NULL|'x'}",
    "INSERT @ INTO license_pool (id, entity_id, license_type, seats_total) VALUES ({NULL|1|3|4}, {42|43}, 'SqlBackup', {0|2|5|-1})",
    "UPDATE @ seat SET account_id = {NULL|1|2|3|seat_no} WHERE pool_id = {1|2|3} AND seat_no = {1|2|3}",
    "UPDATE @ seat SET product_key = {NULL|'k'}, account_id = {account_id|NULL|1} WHERE pool_id = 1",
    "INSERT @ INTO license_offer (entity_id, serial_nr) VALUES ({42|43|NULL|1}, {NULL|1})",
    "INSERT @ INTO license_offer_module VALUES ({42|43}, '{SqlBackup|x}', {1|-1})",
    "UPDATE @ credential SET {note|role|active|user_name} = {0|1|'reader'|user_name || 1}",
    "UPDATE @ entity SET note = {NULL|1|2}, active = {1|0|5}",
];

const CONFLICTS: &str = "{|OR IGNORE|OR FAIL|OR REPLACE|OR ROLLBACK}";

/// What is possible only while a change is under way.
const FORGERIES: &[&str] = &[
    "INSERT INTO audit_event (action, actor) VALUES ('assign', 'forged')",
    "UPDATE license_pool SET seats_in_use_max = seats_in_use_max + 1",
    "INSERT INTO seat (pool_id, seat_no, license_type) SELECT id, 77, license_type FROM license_pool",
    "DELETE FROM seat WHERE account_id IS NULL",
];

fn statement(random: &mut Random) -> String {
    let mut rest = STATEMENTS[random.below(STATEMENTS.len() as u64) as usize].replace('@', CONFLICTS);
    let mut made = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (words, after) = after.split_once('}').expect("a closing brace");
        let words: Vec<&str> = words.split('|').collect();
        made += before;
        made += words[random.below(words.len() as u64) as usize];
        rest = after.to_owned();
    }
    made + &rest
}

#[test]
fn no_sequence_of_statements_looks_like_a_change_under_way() {
    let mut random = Random::from_seed();
    for _ in 0..number_from("SEATKEEPER_SEQUENCES").unwrap_or(60) {
        let connection = seeded(&mut random);
        add_functions(&connection).expect("functions");
        let mut done = Vec::new();
        let exists = |query: &str| connection.prepare(query).and_then(|mut query| query.exists([])).expect(query);
        for _ in 0..30 {
            let sql = statement(&mut random);
            // Most are refused; what counts is what they leave behind.
            let outcome = connection.execute_batch(&sql).map_err(|e| e.to_string());
            done.push((sql, outcome));
            assert!(!exists("SELECT 1 FROM row_change WHERE before IS NOT after"), "{done:#?}");
            for forgery in FORGERIES {
                assert!(!matches!(connection.execute(forgery, []), Ok(1..)), "{forgery}\n{done:#?}");
            }
        }
        for (invariant, query) in INVARIANTS {
            assert!(!exists(query), "{invariant}\n{done:#?}");
        }
    }
}
