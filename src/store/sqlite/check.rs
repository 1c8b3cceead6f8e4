//! `seatkeeper check`: every invariant of the database, asked as a query that must return nothing.

use rusqlite::{Connection, Row};

use super::open::{SCHEMA, objects};

/// One broken promise, and the row that breaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub row: String,
}

/// Rows named for one invariant at most: enough to see what happened.
const ROWS_MAX: usize = 20;

/// Each query returns one line of text per row that breaks the invariant of that name.
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "a pool has as many seats as its seats_total",
        "SELECT 'pool ' || id || ' has ' || n || ' seats, seats_total is ' || seats_total
           FROM (SELECT id, seats_total, (SELECT count(*) FROM seat WHERE pool_id = license_pool.id) AS n FROM license_pool)
          WHERE n <> seats_total",
    ),
    (
        "the newest event of a pool says how many seats it has",
        "SELECT 'pool ' || id || ': ' || seats_total || ' seats, the audit says ' || coalesce(said, 'nothing')
           FROM (SELECT id, seats_total,
                        (SELECT seats_total FROM audit_event WHERE pool_id = license_pool.id ORDER BY audit_event.id DESC LIMIT 1) AS said
                   FROM license_pool)
          WHERE said IS NOT seats_total",
    ),
    (
        "a seat belongs to a pool of its type",
        "SELECT 'seat ' || seat_no || ' of pool ' || pool_id FROM seat LEFT JOIN license_pool ON license_pool.id = pool_id
          WHERE license_pool.license_type IS NOT seat.license_type",
    ),
    (
        "a taken seat is held by an account that exists",
        "SELECT 'seat ' || seat_no || ' of pool ' || pool_id || ': account ' || account_id FROM seat
          WHERE account_id IS NOT NULL AND account_id NOT IN (SELECT id FROM account)",
    ),
    (
        "an account holds one seat of a type at most",
        "SELECT 'account ' || account_id || ': ' || count(*) || ' of ' || license_type FROM seat
          WHERE account_id IS NOT NULL GROUP BY account_id, license_type HAVING count(*) > 1",
    ),
    (
        "pools, accounts, credentials and offers belong to entities that exist",
        "SELECT 'pool ' || id FROM license_pool WHERE entity_id NOT IN (SELECT id FROM entity)
          UNION ALL SELECT 'account ' || id FROM account WHERE entity_id NOT IN (SELECT id FROM entity)
          UNION ALL SELECT 'credential ' || user_name FROM credential WHERE entity_id NOT IN (SELECT id FROM entity)
          UNION ALL SELECT 'offer for entity ' || entity_id FROM license_offer WHERE entity_id NOT IN (SELECT id FROM entity)",
    ),
    (
        "seats are offered as part of an offer",
        "SELECT license_type || ' for entity ' || entity_id FROM license_offer_module
          WHERE entity_id NOT IN (SELECT entity_id FROM license_offer)",
    ),
    (
        "a ticket belongs to an active credential",
        "SELECT 'ticket ' || id || ' of ' || user_name FROM ticket
          WHERE user_name NOT IN (SELECT user_name FROM credential WHERE active = 1)",
    ),
    (
        "every entity is below a root, in no circle",
        "SELECT 'entity ' || id FROM entity WHERE id NOT IN (
            WITH RECURSIVE below (id) AS (
                SELECT id FROM entity WHERE parent_id IS NULL
                UNION SELECT entity.id FROM entity JOIN below ON entity.parent_id = below.id)
            SELECT id FROM below)",
    ),
    (
        "the newest event of a seat says who holds it",
        "SELECT 'seat ' || seat_no || ' of pool ' || pool_id || ': held by ' || coalesce(account_id, 'nobody')
                || ', the audit says ' || coalesce(said, 'nobody')
           FROM (SELECT pool_id, seat_no, account_id,
                        (SELECT CASE action WHEN 'assign' THEN account_id END FROM audit_event AS e
                          WHERE e.pool_id = seat.pool_id AND e.seat_no = seat.seat_no AND e.action IN ('assign', 'release')
                          ORDER BY id DESC LIMIT 1) AS said
                   FROM seat)
          WHERE said IS NOT account_id",
    ),
    (
        "the newest event of a pool says how many of its seats are in use",
        "SELECT 'pool ' || id || ': ' || n || ' in use, the audit says ' || coalesce(said, 'nothing')
           FROM (SELECT id, (SELECT count(*) FROM seat WHERE pool_id = license_pool.id AND account_id IS NOT NULL) AS n,
                        (SELECT seats_in_use FROM audit_event WHERE pool_id = license_pool.id ORDER BY audit_event.id DESC LIMIT 1) AS said
                   FROM license_pool)
          WHERE said IS NOT n",
    ),
    (
        "the last call of a pool left an event",
        "SELECT 'pool ' || id || ': ' || last_call FROM license_pool
          WHERE last_call IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM audit_event AS e
                 WHERE e.pool_id = license_pool.id AND action IN ('pool-create', 'pool-change')
                   AND request_id = substr(last_call, 1, 36) AND actor = substr(last_call, 38))",
    ),
    (
        "audit events are numbered without gaps",
        "SELECT count(*) || ' events, the last is number ' || max(id) FROM audit_event HAVING max(id) <> count(*)",
    ),
    (
        "the creation of a pool says whose it is, and of what type",
        "SELECT 'pool ' || id || ' of entity ' || entity_id || ', ' || license_type
                || ': the audit says ' || coalesce('entity ' || said_id || ', ' || said_type, 'nothing')
           FROM (SELECT license_pool.id, license_pool.entity_id, license_pool.license_type, e.entity_id AS said_id, e.license_type AS said_type
                   FROM license_pool
                   LEFT JOIN audit_event AS e ON e.id = (SELECT max(id) FROM audit_event
                                                          WHERE pool_id = license_pool.id AND action = 'pool-create'))
          WHERE said_id IS NOT entity_id OR said_type IS NOT license_type",
    ),
    (
        "names have no blank at either end",
        "SELECT place || ' is ''' || name || '''; a call that says so means ''' || trim(name, characters) || ''''
           FROM (SELECT 'account ' || id || ': username' AS place, username AS name FROM account
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': user_name', user_name FROM credential), blank
          WHERE name <> trim(name, characters)",
    ),
    (
        "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF",
        "SELECT place || ' is x''' || hex(text) || ''''
           FROM (SELECT 'entity ' || id || ': name' AS place, name AS text FROM entity
                 UNION ALL SELECT 'entity ' || id || ': owner_description', owner_description FROM entity
                 UNION ALL SELECT 'entity ' || id || ': serial_nr', serial_nr FROM entity
                 UNION ALL SELECT 'entity ' || id || ': shop_url', shop_url FROM entity
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': user_name', user_name FROM credential
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': password_hash', password_hash FROM credential
                 UNION ALL SELECT 'account ' || id || ': username', username FROM account
                 UNION ALL SELECT 'pool ' || id || ': product_key', product_key FROM license_pool
                 UNION ALL SELECT 'seat ' || seat_no || ' of pool ' || pool_id || ': product_key', product_key FROM seat
                 UNION ALL SELECT 'offer for entity ' || entity_id || ': company_name', company_name FROM license_offer
                 UNION ALL SELECT 'offer for entity ' || entity_id || ': serial_nr', serial_nr FROM license_offer) AS stored
          WHERE (text GLOB '*[^ -~]*' OR instr(text, char(0)))
            AND (instr(text, char(0)) OR instr(text, char(65533)) OR instr(text, char(65534)) OR instr(text, char(65535))
                 OR EXISTS (WITH RECURSIVE part (text) AS (
                                SELECT stored.text
                                UNION ALL SELECT substr(text, 1, length(text) / 2) FROM part WHERE length(text) > 1 AND text GLOB '*[^ -~]*'
                                UNION ALL SELECT substr(text, length(text) / 2 + 1) FROM part WHERE length(text) > 1 AND text GLOB '*[^ -~]*')
                            SELECT 1 FROM part WHERE length(text) = 1 AND char(unicode(text)) <> text))",
    ),
    ("no pool is left in the middle of a change", "SELECT 'pool ' || pool_id FROM pool_resize"),
];

/// All that is wrong with the database; empty if nothing is. Reads every row, changes none.
///
/// `check_hash` says why a password hash could not be verified.
pub fn check(connection: &Connection, check_hash: fn(&str) -> Result<(), String>) -> rusqlite::Result<Vec<Violation>> {
    let mut found = Vec::new();
    let mut add = |invariant, rows: Vec<String>| {
        found.extend(rows.into_iter().map(|row| Violation { invariant, row }));
    };
    add("the schema is the one this program made", schema_differences(connection)?);
    add(
        "the file is sound (PRAGMA integrity_check)",
        texts(connection, "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'")?,
    );
    for (invariant, query) in INVARIANTS {
        add(invariant, texts(connection, query)?);
    }
    add("credentials have a password hash that can be verified", unusable_hashes(connection, check_hash)?);
    Ok(found)
}

/// What of our tables, indexes and triggers is missing or altered, and what others have hung on our tables that acts when
/// rows change. Tables, views and plain indexes of others are not our business.
pub(super) fn schema_differences(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    differences(connection, SCHEMA)
}

/// The same, compared with any schema.
pub(super) fn differences(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<String>> {
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(schema)?;
    let (ours, found) = (objects(&fresh)?, objects(connection)?);
    let altered = ours.iter().filter_map(|(name, sql)| match found.get(name) {
        None => Some(format!("'{name}' is missing")),
        Some(other) if other != sql => Some(format!("'{name}' is not as in schema.sql")),
        Some(_) => None,
    });
    let mut statement = connection.prepare(
        "SELECT name, tbl_name FROM sqlite_schema
          WHERE type = 'trigger' OR (type = 'index' AND upper(sql) LIKE 'CREATE UNIQUE%')",
    )?;
    let acting = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let acting: Vec<(String, String)> = acting.collect::<rusqlite::Result<_>>()?;
    let added = acting
        .into_iter()
        .filter(|(name, table)| ours.contains_key(table) && !ours.contains_key(name))
        .map(|(name, table)| format!("'{name}' on '{table}' is not ours"));
    Ok(altered.chain(added).collect())
}

fn unusable_hashes(
    connection: &Connection,
    check_hash: fn(&str) -> Result<(), String>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT user_name, password_hash FROM credential")?;
    let rows = statement.query_map([], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (user_name, hash) = row?;
        if let Err(reason) = check_hash(&hash) {
            found.push(format!("credential '{user_name}': {reason}"));
        }
    }
    Ok(found)
}

fn texts(connection: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(query)?.query_map([], |row| text(row, 0))?.take(ROWS_MAX).collect()
}

/// A text that need not be valid: a check that stops at the first bad name would find nothing else.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(index)?.as_bytes()?).into_owned())
}
