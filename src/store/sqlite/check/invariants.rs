//! The invariants of the rows, each a query that must return nothing.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

/// Each query returns one line of text per row that breaks the invariant of that name. Connections for them have the functions of
/// [`add_functions`].
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "a pool has as many seats as its seats_total",
        "SELECT 'pool ' || id || ' has ' || n || ' seats, seats_total is ' || seats_total
           FROM (SELECT id, seats_total, (SELECT count(*) FROM seat WHERE pool_id = license_pool.id) AS n FROM license_pool)
          WHERE n <> seats_total",
    ),
    (
        "a pool counts its seats in use",
        "SELECT 'pool ' || id || ': ' || n || ' in use, seats_in_use is ' || seats_in_use
           FROM (SELECT id, seats_in_use, (SELECT count(*) FROM seat WHERE pool_id = license_pool.id AND account_id IS NOT NULL) AS n
                   FROM license_pool)
          WHERE n <> seats_in_use",
    ),
    (
        "a pool knows the most of its seats that were in use at once",
        "SELECT 'pool ' || id || ': ' || most || ' by its history, seats_in_use_max is ' || seats_in_use_max
           FROM license_pool
           JOIN (SELECT pool_id, max(in_use) AS most
                   FROM (SELECT pool_id, sum((action = 'assign') - (action = 'release')) OVER (PARTITION BY pool_id ORDER BY id) AS in_use
                           FROM audit_event AS e
                          WHERE id >= (SELECT newest FROM (SELECT pool_id, max(id) AS newest FROM audit_event
                                                            WHERE action = 'pool-create' GROUP BY pool_id) AS created
                                        WHERE created.pool_id = e.pool_id))
                  GROUP BY pool_id) ON pool_id = id
          WHERE most <> seats_in_use_max",
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
        "a session belongs to an active credential",
        "SELECT 'session ' || id || ' of ' || user_name FROM session
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
        "SELECT 'seat ' || seat.seat_no || ' of pool ' || seat.pool_id || ': held by ' || coalesce(seat.account_id, 'no account')
                || ', the audit says ' || coalesce(said, 'no account')
           FROM seat
           LEFT JOIN (SELECT pool_id, seat_no, CASE action WHEN 'assign' THEN account_id END AS said, max(id)
                        FROM audit_event WHERE action IN ('assign', 'release') GROUP BY pool_id, seat_no) AS newest
             ON newest.pool_id = seat.pool_id AND newest.seat_no = seat.seat_no
          WHERE said IS NOT seat.account_id
            -- Its events may be in an archive.
            AND (newest.seat_no IS NOT NULL OR NOT EXISTS (SELECT 1 FROM audit_archive)
                 OR seat.pool_id IN (SELECT pool_id FROM audit_event WHERE action = 'pool-create'))",
    ),
    (
        "the history of a pool leads from its newest event to its creation",
        "SELECT 'pool ' || license_pool.id || ': ' || license_pool.events || ' events, the newest is number '
                || coalesce(license_pool.event_id, 'none')
           FROM license_pool LEFT JOIN audit_event AS e ON e.id = license_pool.event_id
          WHERE (e.pool_id IS NOT license_pool.id OR e.pool_events IS NOT license_pool.events)
            AND NOT (e.id IS NULL AND coalesce(license_pool.event_id <= (SELECT max(last_event) FROM audit_archive), 0))
          UNION ALL
         SELECT 'event ' || e.id || ' of pool ' || e.pool_id
           FROM audit_event AS e LEFT JOIN audit_event AS previous ON previous.id = e.previous_id
          WHERE e.pool_id IS NOT NULL
            AND NOT (previous.id IS NULL AND coalesce(e.previous_id <= (SELECT max(last_event) FROM audit_archive), 0))
            AND CASE e.action WHEN 'pool-create' THEN e.previous_id IS NOT NULL OR e.pool_events IS NOT 1
                              ELSE previous.pool_id IS NOT e.pool_id OR previous.pool_events IS NOT e.pool_events - 1 END",
    ),
    (
        "the pool-create event of a pool names its owner and type",
        "SELECT 'pool ' || id || ' of entity ' || entity_id || ', ' || license_type
                || ': the audit says ' || coalesce('entity ' || said_id || ', ' || said_type, 'nothing')
           FROM license_pool
           LEFT JOIN (SELECT pool_id, entity_id AS said_id, license_type AS said_type, max(audit_event.id)
                        FROM audit_event WHERE action = 'pool-create' GROUP BY pool_id) AS created ON pool_id = license_pool.id
          WHERE (said_id IS NOT entity_id OR said_type IS NOT license_type)
            AND (created.pool_id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM audit_archive))",
    ),
    (
        "the events that are chained are the first ones",
        "SELECT 'event ' || id || ' has no hash, and later ones have' FROM audit_event
          WHERE hash IS NULL AND id < (SELECT max(id) FROM audit_event WHERE hash IS NOT NULL)",
    ),
    (
        "events that were moved to an archive are not here",
        "SELECT 'event ' || id FROM audit_event WHERE id <= (SELECT max(last_event) FROM audit_archive)",
    ),
    (
        "names have no blank at either end",
        "SELECT place || ' is ''' || name || '''; calls read that name as ''' || trim(name, characters) || ''''
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
                 UNION ALL SELECT 'entity ' || id || ': customer_nr', customer_nr FROM entity
                 UNION ALL SELECT 'entity ' || id || ': note', note FROM entity
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': note', note FROM credential
                 UNION ALL SELECT 'account ' || id || ': note', note FROM account
                 UNION ALL SELECT 'pool ' || id || ': note', note FROM license_pool
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': user_name', user_name FROM credential
                 UNION ALL SELECT 'credential of entity ' || entity_id || ': password_hash', password_hash FROM credential
                 UNION ALL SELECT 'account ' || id || ': username', username FROM account
                 UNION ALL SELECT 'pool ' || id || ': product_key', product_key FROM license_pool
                 UNION ALL SELECT 'seat ' || seat_no || ' of pool ' || pool_id || ': product_key', product_key FROM seat
                 UNION ALL SELECT 'offer for entity ' || entity_id || ': company_name', company_name FROM license_offer
                 UNION ALL SELECT 'offer for entity ' || entity_id || ': serial_nr', serial_nr FROM license_offer) AS stored
          WHERE NOT is_text(text)",
    ),
    (
        "names of owners and of users that are signed in are valid UTF-8",
        "SELECT place || ' is x''' || hex(text) || ''''
           FROM (SELECT 'entity ' || id || ': owner_name' AS place, owner_name AS text FROM entity
                 UNION ALL SELECT 'ticket ' || id || ': user_name', user_name FROM ticket
                 UNION ALL SELECT 'session ' || id || ': user_name', user_name FROM session)
          WHERE NOT is_text(text)",
    ),
    (
        "an event says what happened and when",
        "SELECT 'event ' || id FROM audit_event
          WHERE NOT is_text(at, action, actor, request_id, reason, license_type) OR NOT is_time(at)
             OR action NOT IN ('assign', 'release', 'seat-change', 'pool-create', 'pool-change', 'pool-delete',
                               'entity-create', 'entity-change', 'entity-delete', 'account-create', 'account-change',
                               'credential-create', 'credential-change', 'credential-delete', 'offer-create', 'offer-change',
                               'offer-delete', 'offer-module-create', 'offer-module-change', 'offer-module-delete', 'archive', 'copy')
             OR license_type NOT IN ('SkraftDiskImageV5', 'SqlBackup', 'ExchangeBackup')
             OR CASE WHEN json_valid(old_values) THEN json_type(old_values) <> 'object' ELSE old_values IS NOT NULL END
             OR CASE WHEN json_valid(new_values) THEN json_type(new_values) <> 'object' ELSE new_values IS NOT NULL END",
    ),
    ("no row is left in the middle of a change", "SELECT subject || ' ' || key FROM row_change WHERE before IS NOT after"),
    ("no call is left under way", "SELECT 'call of ' || actor FROM call"),
];

/// Invariants whose violation does not stop the service. Files from before the rules for names and text may break those two, and
/// are served: no call finds such rows, or only their text is shown with replacement characters. A credential without a usable
/// hash cannot sign in, which affects no other credential.
pub(super) const TOLERATED: &[&str] = &[
    "names have no blank at either end",
    "text is valid UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF",
    super::HASHES,
];

/// Invariants whose rows the service deletes when it opens the file: such rows are valid only inside the call or statement that
/// wrote them.
pub(super) const CLEARED: &[&str] = &["no row is left in the middle of a change", "no call is left under way"];

/// Adds the functions of the invariants: `is_text(...)`, whether each argument is null or valid UTF-8 without NUL, U+FFFD, U+FFFE
/// and U+FFFF; `is_time(text)`, whether the service can read it as a time.
pub fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("is_text", -1, flags, |context| {
        Ok((0..context.len()).all(|index| match context.get_raw(index) {
            ValueRef::Null => true,
            ValueRef::Text(bytes) => is_text(bytes),
            _ => false,
        }))
    })?;
    connection.create_scalar_function("is_time", 1, flags, |context| {
        let text = context.get_raw(0).as_str().unwrap_or_default();
        Ok(text.parse::<jiff::Timestamp>().is_ok())
    })
}

fn is_text(bytes: &[u8]) -> bool {
    let is_refused = |c| matches!(c, '\0' | '\u{fffd}' | '\u{fffe}' | '\u{ffff}');
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(is_refused))
}

#[cfg(test)]
mod tests {
    use super::INVARIANTS;

    /// An action that the invariants do not know would count as damage, and the service would not start again.
    #[test]
    fn every_action_of_the_history_is_known_to_the_invariants() {
        let named = |name: &str| INVARIANTS.iter().find(|(of, _)| *of == name).map(|(_, sql)| *sql);
        let sql = named("an event says what happened and when").expect("the invariant");
        for action in crate::store::history::ACTIONS {
            assert!(sql.contains(&format!("'{action}'")), "{action}");
        }
    }
}
