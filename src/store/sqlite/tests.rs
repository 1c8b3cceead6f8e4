//! The plans of the statements: each is made once, and is a search by key, however large the database grows.

use std::time::Duration;

use rusqlite::{Connection, StatementStatus};

use super::{SCHEMA, activate, facts, history, open, owner, ticket};

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

/// Every statement an assignment runs is a search by key. The free seat comes from the partial index, and what a user
/// holds from the user's, also with statistics of a database whose one pool has all the seats.
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
    // The table of pools, which now has one row, may rightly be read whole.
    let open_pools = plan(facts::OPEN_POOLS);
    assert!(open_pools.contains(&free_seat), "{open_pools:?}");
    let held = plan(facts::HELD);
    assert!(held[0].contains("seat_by_holder (account_id=? AND license_type=?)"), "{held:?}");
}

const OF_LICENSE_TOOLS: [&str; 20] = [
    facts::TICKET,
    ticket::RENEW,
    ticket::END_EXPIRED,
    owner::NAMED,
    owner::ALL,
    owner::ALL_BELOW,
    owner::ABOVE,
    owner::ENTITIES_HELD,
    owner::POOLS_HELD,
    owner::OWNER,
    owner::OPEN_POOLS,
    owner::OFFERED_SEATS,
    activate::OFFERED,
    activate::OFFERED_BELOW,
    activate::FOLLOW_OFFER,
    activate::SEATS_IN_USE,
    activate::EMPTY_POOLS,
    history::LIVES,
    history::EVENTS,
    history::COUNT,
];

/// Of what license tools ask, a subtree is walked step by step, and whoever may reach everything has all offers looked at.
/// The rest is searched by key; the tables that grow with use also where statistics make their keys look useless.
#[test]
fn what_license_tools_ask_is_searched_by_key() {
    let connection = made();
    for sql in OF_LICENSE_TOOLS {
        for line in plan(&connection, sql) {
            let is_walk = ["SCAN below", "SCAN above", "SCAN CONSTANT ROW"].contains(&line.as_str());
            let is_all_offers = sql == activate::OFFERED && line == "SCAN license_offer";
            // At most as many as it may count.
            let is_counted = sql == history::COUNT && line.starts_with("SCAN (subquery");
            assert!(!line.starts_with("SCAN") || is_walk || is_all_offers || is_counted, "{sql}: {line}");
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
            let grows =
                ["seat", "audit_event", "ticket"].iter().any(|table| line.starts_with(&format!("SCAN {table}")));
            assert!(!grows, "{sql}: {line}");
        }
    }
}

/// SQLite prepares a statement anew at each use if its plan may depend on the values bound, as with a LIMIT. That took
/// half the time of a read.
#[test]
fn a_plan_serves_all_values() {
    let path = std::env::temp_dir().join(format!("seatkeeper-plans-{}.db", uuid::Uuid::new_v4()));
    let connection = open::writer(&path, Duration::ZERO).expect("a database");
    for sql in OF_LICENSE_TOOLS.into_iter().chain([facts::OPEN_POOLS, facts::HELD]) {
        let mut statement = connection.prepare(sql).expect("a statement");
        for value in ["1", "7", "CONTOSO"] {
            for parameter in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(parameter, value).expect("bound");
            }
            // Some of these values are no numbers, and nothing is found or changed by any.
            let _ = statement.raw_query().next();
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
    drop(connection);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}
