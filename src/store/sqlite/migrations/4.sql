-- From version 3 to version 4: events are chained, and rows that are older than the history get a beginning in it.

ALTER TABLE audit_event ADD COLUMN hash BLOB CONSTRAINT "audit_event.hash must have 32 bytes" CHECK (length(hash) = 32);

-- Events can be moved to archives.

CREATE TABLE audit_archive (
    first_event   INTEGER PRIMARY KEY NOT NULL,
    last_event    INTEGER NOT NULL,
    events        INTEGER NOT NULL,
    -- when the last of them happened
    until         TEXT NOT NULL,
    -- of the last of them
    hash          BLOB NOT NULL CONSTRAINT "audit_archive.hash must have 32 bytes" CHECK (length(hash) = 32),
    -- of the event before the first; null: the history begins with it
    previous_hash BLOB CONSTRAINT "audit_archive.previous_hash must have 32 bytes" CHECK (length(previous_hash) = 32),
    -- where they were moved to
    file          TEXT NOT NULL,
    CONSTRAINT "audit_archive.last_event cannot be before first_event" CHECK (last_event >= first_event)
) STRICT;

-- As found: version 1 and 2 told of the numbers and holders of seats, and of nothing else. What the tables hold of a row that no
-- event created is recorded as it stands, so that later changes behind the guards show. json_patch leaves out what is null.
CREATE TEMP TABLE as_found AS
    SELECT 'migration' AS actor, 'as found when the file came to version 4' AS reason, coalesce(max(id), 0) AS id FROM audit_event;

INSERT INTO audit_event (action, actor, reason, entity_id, new_values)
    SELECT 'entity-create', actor, reason, entity.id,
           json_patch('{}', json_object('parent_id', parent_id, 'name', name, 'active', active, 'owner_name', owner_name,
                                        'owner_description', owner_description, 'serial_nr', serial_nr, 'shop_url', shop_url,
                                        'next_check_at', next_check_at, 'maintenance_at', maintenance_at,
                                        'admin_warning_at', admin_warning_at, 'expires_at', expires_at, 'grace_at', grace_at,
                                        'customer_nr', customer_nr, 'note', note))
      FROM entity, as_found
     WHERE entity.id NOT IN (SELECT entity_id
                               FROM (SELECT entity_id, action, max(id) FROM audit_event
                                      WHERE action IN ('entity-create', 'entity-delete') AND entity_id IS NOT NULL GROUP BY entity_id)
                              WHERE action = 'entity-create')
     ORDER BY entity.id;

-- One that was renamed is recorded once more, which does no harm.
CREATE TEMP TABLE credential_event AS
    SELECT id, action, username COLLATE NOCASE AS username FROM audit_event
     WHERE action IN ('credential-create', 'credential-delete') AND username IS NOT NULL
     UNION ALL
    SELECT id, action, json_extract(old_values, '$.user_name') FROM audit_event
     WHERE action = 'credential-change' AND json_extract(old_values, '$.user_name') IS NOT NULL;
CREATE INDEX temp.credential_event_of_name ON credential_event (username COLLATE NOCASE, id);
INSERT INTO audit_event (action, actor, reason, entity_id, username, new_values)
    SELECT 'credential-create', actor, reason, entity_id, user_name,
           json_patch('{}', json_object('user_name', user_name, 'password_hash', 'secret', 'entity_id', entity_id, 'role', role,
                                        'active', active, 'note', note))
      FROM credential, as_found
     WHERE (SELECT action FROM credential_event WHERE username = user_name COLLATE NOCASE ORDER BY credential_event.id DESC LIMIT 1)
           IS NOT 'credential-create'
     ORDER BY user_name;

INSERT INTO audit_event (action, actor, reason, entity_id, account_id, username, new_values)
    SELECT 'account-create', actor, reason, entity_id, account.id, username,
           json_patch('{}', json_object('username', username, 'entity_id', entity_id, 'active', active, 'note', note))
      FROM account, as_found
     WHERE account.id NOT IN (SELECT account_id FROM audit_event WHERE action = 'account-create' AND account_id IS NOT NULL)
     ORDER BY account.id;

-- A pool has the event that created it, but those of version 1 and 2 say only how many seats it had. Its seats follow from that,
-- their holders from the events after it; keys of their own do not.
CREATE TEMP TABLE pool_as_found AS
    SELECT id FROM license_pool
     WHERE id NOT IN (SELECT pool_id
                        FROM (SELECT pool_id, new_values, max(id) FROM audit_event
                               WHERE action = 'pool-create' AND pool_id IS NOT NULL GROUP BY pool_id)
                       WHERE json_type(new_values, '$.license_type') IS NOT NULL);
CREATE TEMP TABLE pool_event AS
    SELECT (SELECT max(id) FROM audit_event) + row_number() OVER (ORDER BY pool_id, seat_no) AS id,
           row_number() OVER (PARTITION BY pool_id ORDER BY seat_no) AS number, *
      FROM (SELECT id AS pool_id, NULL AS seat_no, entity_id, license_type, NULL AS account_id,
                   json_patch('{}', json_object('entity_id', entity_id, 'license_type', license_type, 'seats_total', seats_total,
                                                'starts_at', starts_at, 'expires_at', expires_at, 'product_key', product_key,
                                                'license_data', CASE WHEN license_data IS NOT NULL THEN hex(license_data) END,
                                                'note', note)) AS new_values
              FROM license_pool WHERE id IN pool_as_found
             UNION ALL
            SELECT pool_id, seat_no, NULL, NULL, account_id,
                   json_patch('{}', json_object('product_key', product_key,
                                                'license_data', CASE WHEN license_data IS NOT NULL THEN hex(license_data) END))
              FROM seat
             WHERE pool_id IN pool_as_found AND (product_key IS NOT NULL OR license_data IS NOT NULL));
INSERT INTO audit_event (id, action, actor, reason, entity_id, license_type, pool_id, seat_no, account_id, username, new_values,
                         previous_id, pool_events)
    SELECT e.id, CASE WHEN seat_no IS NULL THEN 'pool-change' ELSE 'seat-change' END, actor, reason, e.entity_id, e.license_type,
           pool_id, seat_no, account_id, (SELECT username FROM account WHERE id = account_id), new_values,
           CASE number WHEN 1 THEN event_id ELSE e.id - 1 END, events + number
      FROM pool_event AS e JOIN license_pool ON license_pool.id = pool_id, as_found ORDER BY e.id;
UPDATE license_pool SET event_id = newest, events = events + n
  FROM (SELECT pool_id, max(id) AS newest, count(*) AS n FROM pool_event GROUP BY pool_id) WHERE license_pool.id = pool_id;

INSERT INTO audit_event (action, actor, reason, entity_id, new_values)
    SELECT 'offer-create', actor, reason, entity_id,
           json_patch('{}', json_object('company_name', company_name, 'serial_nr', serial_nr, 'next_check_at', next_check_at,
                                        'maintenance_at', maintenance_at, 'admin_warning_at', admin_warning_at,
                                        'expires_at', expires_at, 'grace_at', grace_at))
      FROM license_offer, as_found
     WHERE entity_id NOT IN (SELECT entity_id
                               FROM (SELECT entity_id, action, max(id) FROM audit_event
                                      WHERE action IN ('offer-create', 'offer-delete') AND entity_id IS NOT NULL GROUP BY entity_id)
                              WHERE action = 'offer-create')
     ORDER BY entity_id;
INSERT INTO audit_event (action, actor, reason, entity_id, license_type, new_values)
    SELECT 'offer-module-create', actor, reason, entity_id, license_type, json_object('seats_total', seats_total)
      FROM license_offer_module, as_found
     WHERE (entity_id, license_type) NOT IN (
               SELECT entity_id, license_type
                 FROM (SELECT entity_id, license_type, action, max(id) FROM audit_event
                        WHERE action IN ('offer-module-create', 'offer-module-delete') AND entity_id IS NOT NULL AND license_type IS NOT NULL
                        GROUP BY entity_id, license_type)
                WHERE action = 'offer-module-create')
     ORDER BY entity_id, license_type;

DROP TABLE temp.as_found;
DROP TABLE temp.credential_event;
DROP TABLE temp.pool_as_found;
DROP TABLE temp.pool_event;
