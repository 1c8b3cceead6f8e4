//! The invariants of the rows, each a query that must return nothing. They have the same names as on SQLite if they mean the
//! same.

use crate::store::postgres::history::STRAYS;

/// Each query returns one line of text per row that breaks the invariant of that name.
pub(super) const INVARIANTS: &[(&str, &str)] = &[
    (
        "text is stored as UTF-8",
        "SELECT 'the encoding of the database is ' || current_setting('server_encoding') WHERE current_setting('server_encoding') <> 'UTF8'",
    ),
    (
        "a pool has as many seats as its seats_total",
        "SELECT 'pool ' || id || ' has ' || n || ' seats, seats_total is ' || seats_total
           FROM license_pool LEFT JOIN LATERAL (SELECT count(*) AS n FROM seat WHERE pool_id = license_pool.id) AS seats ON true
          WHERE n <> seats_total",
    ),
    (
        "a pool counts its seats in use",
        "SELECT 'pool ' || id || ': ' || n || ' in use, by seats_in_use and the events that are not chained ' || counted
           FROM (SELECT id, seats_in_use + coalesce((SELECT sum(delta) FROM audit_pending WHERE pool_id = license_pool.id), 0) AS counted,
                        (SELECT count(*) FROM seat WHERE pool_id = license_pool.id AND account_id IS NOT NULL) AS n
                   FROM license_pool) AS pool
          WHERE n <> counted",
    ),
    (
        "a pool knows the most of its seats that were in use at once",
        "WITH placed AS (
             SELECT e.pool_id, e.action, first_place + number AS place
               FROM audit_chain, unnest(event_ids) WITH ORDINALITY AS place (event_id, number) JOIN audit_event AS e ON e.id = event_id
              WHERE e.pool_id IS NOT NULL AND e.action IN ('assign', 'release', 'pool-create')),
         born AS (SELECT pool_id, max(place) AS place FROM placed WHERE action = 'pool-create' GROUP BY pool_id)
         SELECT 'pool ' || id || ': ' || most || ' by its history, seats_in_use_max is ' || seats_in_use_max
           FROM license_pool
           JOIN (SELECT pool_id, max(in_use) AS most
                   FROM (SELECT placed.pool_id,
                                sum(CASE action WHEN 'assign' THEN 1 WHEN 'release' THEN -1 ELSE 0 END)
                                    OVER (PARTITION BY placed.pool_id ORDER BY placed.place) AS in_use
                           FROM placed JOIN born ON born.pool_id = placed.pool_id AND placed.place >= born.place) AS use
                  GROUP BY pool_id) AS said ON said.pool_id = id
          WHERE most <> seats_in_use_max
            -- Not if the id has been used again since: then the chain still tells of the pool that had it before.
            AND NOT EXISTS (SELECT 1 FROM audit_pending AS waiting JOIN audit_event AS made ON made.id = waiting.event_id
                             WHERE waiting.pool_id = license_pool.id AND made.action = 'pool-create')",
    ),
    (
        "a pool knows its newest chained event, and how many there are",
        "WITH placed AS (
             SELECT e.pool_id, e.id, e.action, first_place + number AS place
               FROM audit_chain, unnest(event_ids) WITH ORDINALITY AS place (event_id, number) JOIN audit_event AS e ON e.id = event_id
              WHERE e.pool_id IS NOT NULL),
         born AS (SELECT pool_id, max(place) AS place FROM placed WHERE action = 'pool-create' GROUP BY pool_id),
         said AS (SELECT placed.pool_id, count(*) AS events, (array_agg(id ORDER BY placed.place DESC))[1] AS newest
                    FROM placed JOIN born ON born.pool_id = placed.pool_id AND placed.place >= born.place GROUP BY placed.pool_id)
         SELECT 'pool ' || id || ': ' || license_pool.events || ' events, the newest is number ' || coalesce(event_id::text, 'none')
                || '; by the chain ' || said.events || ' and ' || newest
           FROM license_pool JOIN said ON said.pool_id = id
          WHERE (license_pool.events <> said.events OR event_id IS DISTINCT FROM newest)
            -- Not if the id has been used again since: then the chain still tells of the pool that had it before.
            AND NOT EXISTS (SELECT 1 FROM audit_pending AS waiting JOIN audit_event AS made ON made.id = waiting.event_id
                             WHERE waiting.pool_id = license_pool.id AND made.action = 'pool-create')",
    ),
    (
        "a seat belongs to a pool of its type",
        "SELECT 'seat ' || seat_no || ' of pool ' || pool_id FROM seat LEFT JOIN license_pool ON license_pool.id = pool_id
          WHERE license_pool.license_type IS DISTINCT FROM seat.license_type",
    ),
    (
        "a taken seat is held by an account that exists",
        "SELECT 'seat ' || seat_no || ' of pool ' || pool_id || ': account ' || account_id FROM seat
          WHERE account_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account WHERE id = account_id)",
    ),
    (
        "an account holds one seat of a type at most",
        "SELECT 'account ' || account_id || ': ' || count(*) || ' of ' || license_type FROM seat
          WHERE account_id IS NOT NULL GROUP BY account_id, license_type HAVING count(*) > 1",
    ),
    (
        "pools, accounts, credentials and offers belong to entities that exist",
        "SELECT 'pool ' || id FROM license_pool WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = entity_id)
          UNION ALL SELECT 'account ' || id FROM account WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = entity_id)
          UNION ALL SELECT 'credential ' || user_name FROM credential WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = entity_id)
          UNION ALL SELECT 'offer for entity ' || entity_id FROM license_offer WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = entity_id)",
    ),
    (
        "seats are offered as part of an offer",
        "SELECT license_type || ' for entity ' || entity_id FROM license_offer_module AS module
          WHERE NOT EXISTS (SELECT 1 FROM license_offer WHERE entity_id = module.entity_id)",
    ),
    (
        "a ticket belongs to an active credential",
        "SELECT 'ticket ' || id || ' of ' || user_name FROM ticket
          WHERE NOT EXISTS (SELECT 1 FROM credential
                             WHERE lower(credential.user_name COLLATE \"C\") = lower(ticket.user_name COLLATE \"C\") AND active = 1)",
    ),
    (
        "a session belongs to an active credential",
        "SELECT 'session ' || id || ' of ' || user_name FROM session
          WHERE NOT EXISTS (SELECT 1 FROM credential
                             WHERE lower(credential.user_name COLLATE \"C\") = lower(session.user_name COLLATE \"C\") AND active = 1)",
    ),
    (
        "every entity is below a root, in no circle",
        "WITH RECURSIVE below (id) AS (
             SELECT id FROM entity WHERE parent_id IS NULL UNION SELECT entity.id FROM entity JOIN below ON entity.parent_id = below.id)
         SELECT 'entity ' || id FROM entity WHERE NOT EXISTS (SELECT 1 FROM below WHERE below.id = entity.id)",
    ),
    (
        "the newest event of a seat says who holds it",
        "SELECT 'seat ' || seat.seat_no || ' of pool ' || seat.pool_id || ': held by ' || coalesce(seat.account_id::text, 'no account')
                || ', the audit says ' || coalesce(said::text, 'no account')
           FROM seat
           LEFT JOIN (SELECT e.pool_id, e.seat_no, CASE e.action WHEN 'assign' THEN e.account_id END AS said
                        FROM (SELECT max(id) AS id FROM audit_event WHERE action IN ('assign', 'release') GROUP BY pool_id, seat_no) AS newest
                        JOIN audit_event AS e ON e.id = newest.id) AS newest
             ON newest.pool_id = seat.pool_id AND newest.seat_no = seat.seat_no
          WHERE said IS DISTINCT FROM seat.account_id
            -- Its events may be in an archive, from when the database was a file.
            AND (newest.seat_no IS NOT NULL OR NOT EXISTS (SELECT 1 FROM audit_archive)
                 OR seat.pool_id IN (SELECT pool_id FROM audit_event WHERE action = 'pool-create'))",
    ),
    (
        "the pool-create event of a pool names its owner and type",
        "SELECT 'pool ' || pool.id || ' of entity ' || pool.entity_id || ', ' || pool.license_type
                || ': the audit says ' || coalesce('entity ' || said.entity_id || ', ' || said.license_type, 'nothing')
           FROM license_pool AS pool
           LEFT JOIN LATERAL (SELECT entity_id, license_type FROM audit_event WHERE pool_id = pool.id AND action = 'pool-create'
                               ORDER BY id DESC LIMIT 1) AS said ON true
          WHERE (said.entity_id IS DISTINCT FROM pool.entity_id OR said.license_type IS DISTINCT FROM pool.license_type)
            AND (said.entity_id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM audit_archive))",
    ),
    ("every event has one place in the chain, or waits for one", STRAYS.text),
    (
        "the places of the chain have no gap",
        "SELECT 'place ' || first_place || ' follows place ' || expected - 1
           FROM (SELECT first_place, coalesce(lag(first_place + cardinality(event_ids)) OVER (ORDER BY first_place), 1) AS expected
                   FROM audit_chain) AS batch
          WHERE first_place <> expected",
    ),
    (
        "one node at a time can chain the history",
        "SELECT 'chain_lease has ' || count(*) || ' rows' FROM chain_lease HAVING count(*) <> 1",
    ),
    (
        "names have no blank at either end",
        "SELECT place || ' is ''' || name || '''; calls read that name as ''' || trim(name, characters) || ''''
           FROM (SELECT 'account ' || id || ': username' AS place, username AS name FROM account
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': user_name', user_name FROM credential) AS named,
                (SELECT U&' \\00A0\\1680\\2000\\2001\\2002\\2003\\2004\\2005\\2006\\2007\\2008\\2009\\200A\\2028\\2029\\202F\\205F\\3000' AS characters) AS blank
          WHERE name <> trim(name, characters)",
    ),
    (
        "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF",
        "SELECT place || ' is ''' || text || ''''
           FROM (SELECT 'entity ' || id || ': name' AS place, name AS text FROM entity
                 UNION ALL SELECT 'entity ' || id || ': owner_description', owner_description FROM entity
                 UNION ALL SELECT 'entity ' || id || ': serial_nr', serial_nr FROM entity
                 UNION ALL SELECT 'entity ' || id || ': shop_url', shop_url FROM entity
                 UNION ALL SELECT 'entity ' || id || ': customer_nr', customer_nr FROM entity
                 UNION ALL SELECT 'entity ' || id || ': note', note FROM entity
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': note', note FROM credential
                 UNION ALL SELECT 'account ' || id || ': note', note FROM account
                 UNION ALL SELECT 'pool ' || id || ': note', note FROM license_pool
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': user_name', user_name FROM credential
                 UNION ALL SELECT 'account ' || id || ': username', username FROM account
                 UNION ALL SELECT 'pool ' || id || ': product_key', product_key FROM license_pool
                 UNION ALL SELECT 'seat ' || seat_no || ' of pool ' || pool_id || ': product_key', product_key FROM seat
                 UNION ALL SELECT 'offer for entity ' || entity_id || ': company_name', company_name FROM license_offer
                 UNION ALL SELECT 'offer for entity ' || entity_id || ': serial_nr', serial_nr FROM license_offer) AS stored
          WHERE text ~ U&'[\\FFFD\\FFFE\\FFFF]'",
    ),
    (
        "an event says what happened and when",
        "SELECT 'event ' || id FROM audit_event
          WHERE action NOT IN ('assign', 'release', 'seat-change', 'pool-create', 'pool-change', 'pool-delete',
                               'entity-create', 'entity-change', 'entity-delete', 'account-create', 'account-change',
                               'credential-create', 'credential-change', 'credential-delete', 'offer-create', 'offer-change',
                               'offer-delete', 'offer-module-create', 'offer-module-change', 'offer-module-delete', 'archive', 'copy')
             OR license_type NOT IN ('SkraftDiskImageV5', 'SqlBackup', 'ExchangeBackup')
             OR NOT isfinite(at)
             OR old_values NOT LIKE '{%}' OR new_values NOT LIKE '{%}'",
    ),
];

/// Invariants whose violation does not stop the service. No call finds a name with a blank, an invalid text is only shown
/// wrongly, and a credential without a usable hash cannot sign in, which affects no other credential.
pub(super) const TOLERATED: &[&str] = &[
    "names have no blank at either end",
    "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF",
    super::HASHES,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// An action that the invariants do not know would count as damage, and the service would not start again.
    #[test]
    fn every_action_of_the_history_is_known_to_the_invariants() {
        let named = |name: &str| INVARIANTS.iter().find(|(of, _)| *of == name).map(|(_, sql)| *sql);
        let sql = named("an event says what happened and when").expect("the invariant");
        for action in crate::store::history::ACTIONS {
            assert!(sql.contains(&format!("'{action}'")), "{action}");
        }
        assert!(TOLERATED.iter().all(|name| *name == super::super::HASHES || named(name).is_some()));
    }
}
