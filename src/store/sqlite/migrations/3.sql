-- From version 2 to version 3: counters apart from the history, events of every table, rowids for every table. Every table is made
-- again by schema.sql, at the line TABLES, and gets its rows here. Names have no blanks at either end.

-- So views, tables and triggers of others go on naming the tables by their names.
PRAGMA legacy_alter_table = ON;
DROP INDEX entity_by_parent;
DROP INDEX credential_by_entity;
DROP INDEX account_by_entity;
DROP INDEX license_pool_by_entity;
DROP INDEX seat_by_holder;
DROP INDEX seat_free;
DROP INDEX ticket_by_user_name;
DROP INDEX ticket_by_expires_at;
ALTER TABLE entity RENAME TO old_entity;
ALTER TABLE credential RENAME TO old_credential;
ALTER TABLE account RENAME TO old_account;
ALTER TABLE license_pool RENAME TO old_license_pool;
ALTER TABLE seat RENAME TO old_seat;
ALTER TABLE license_offer RENAME TO old_license_offer;
ALTER TABLE license_offer_module RENAME TO old_license_offer_module;
ALTER TABLE ticket RENAME TO old_ticket;
ALTER TABLE audit_event RENAME TO old_audit_event;
DROP TABLE pool_resize;

-- TABLES

INSERT INTO entity (id, parent_id, name, active, owner_name, owner_description, serial_nr, shop_url, next_check_at, maintenance_at,
                    admin_warning_at, expires_at, grace_at)
    SELECT id, parent_id, name, active, owner_name, owner_description, serial_nr, shop_url, next_check_at, maintenance_at,
           admin_warning_at, expires_at, grace_at
      FROM old_entity ORDER BY id;

-- Names that are the same without the blanks at their ends are one name now. Where none of them is without blanks already,
-- the oldest account gets the name. The others stay as they are: no call finds them, and `seatkeeper check` names them.
CREATE TEMP TABLE blanks AS
    SELECT char(32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287, 12288) AS characters;
CREATE TEMP TABLE account_name AS SELECT id, username AS old, trim(username, characters) AS new FROM old_account, blanks;
INSERT INTO account (id, username, entity_id, active)
    SELECT id,
           CASE WHEN id IN (SELECT min(id) FROM account_name WHERE new <> '' GROUP BY new COLLATE NOCASE HAVING sum(old = new) = 0)
                THEN trim(username, characters) ELSE username END,
           entity_id, active
      FROM old_account, blanks ORDER BY id;

-- The same for credentials. Their tickets end, as they do whenever a credential is renamed.
CREATE TEMP TABLE credential_name AS SELECT user_name AS old, trim(user_name, characters) AS new FROM old_credential, blanks;
INSERT INTO credential (user_name, password_hash, entity_id, role, active)
    SELECT CASE WHEN user_name IN (SELECT min(old) FROM credential_name WHERE lower(new) NOT IN ('', 'sql', 'cli')
                                    GROUP BY new COLLATE NOCASE HAVING sum(old = new) = 0)
                THEN trim(user_name, characters) ELSE user_name END,
           password_hash, entity_id, role, active
      FROM old_credential, blanks ORDER BY user_name;
INSERT INTO ticket (id, secret_hash, user_name, expires_at)
    SELECT id, secret_hash, user_name, expires_at FROM old_ticket, blanks WHERE user_name = trim(user_name, characters) ORDER BY id;

-- An id of a pool that was deleted may have been used again: each life of it has a history of its own. Whose pool it was is known of
-- the lives that have not ended.
CREATE TEMP TABLE pool_event AS
    SELECT id, pool_id, life, life = max(life) OVER (PARTITION BY pool_id) AS is_last,
           lag(id) OVER (PARTITION BY pool_id, life ORDER BY id) AS previous_id,
           row_number() OVER (PARTITION BY pool_id, life ORDER BY id) AS pool_events,
           lag(seats_total) OVER (PARTITION BY pool_id, life ORDER BY id) AS seats_before
      FROM (SELECT id, pool_id, seats_total, sum(action = 'pool-create') OVER (PARTITION BY pool_id ORDER BY id) AS life
              FROM old_audit_event);
CREATE UNIQUE INDEX temp.pool_event_by_id ON pool_event (id);
INSERT INTO audit_event (id, at, action, actor, request_id, entity_id, license_type, pool_id, seat_no, account_id, username,
                         old_values, new_values, previous_id, pool_events)
    SELECT e.id, at, action, actor, request_id, old_license_pool.entity_id, old_license_pool.license_type, e.pool_id, e.seat_no,
           e.account_id, e.username,
           CASE WHEN action IN ('pool-change', 'pool-delete') AND e.seats_total <> seats_before THEN json_object('seats_total', seats_before) END,
           CASE WHEN action = 'pool-create' OR action = 'pool-change' AND e.seats_total <> seats_before
                THEN json_object('seats_total', e.seats_total) END,
           previous_id, pool_events
      FROM old_audit_event AS e
      JOIN pool_event ON pool_event.id = e.id
      LEFT JOIN old_license_pool ON old_license_pool.id = e.pool_id AND is_last AND e.seat_no IS NULL
     ORDER BY e.id;

INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data,
                          seats_in_use, seats_in_use_max, event_id, events)
    SELECT p.id, p.entity_id, p.license_type, p.seats_total, p.starts_at, p.expires_at, p.product_key, p.license_data,
           (SELECT count(*) FROM old_seat WHERE pool_id = p.id AND account_id IS NOT NULL), e.seats_in_use_max, e.id, pool_events
      FROM old_license_pool AS p
      JOIN old_audit_event AS e ON e.id = (SELECT max(id) FROM old_audit_event WHERE pool_id = p.id)
      JOIN pool_event ON pool_event.id = e.id
     ORDER BY p.id;
INSERT INTO seat (pool_id, seat_no, license_type, account_id, product_key, license_data)
    SELECT pool_id, seat_no, license_type, account_id, product_key, license_data FROM old_seat ORDER BY pool_id, seat_no;

INSERT INTO license_offer (entity_id, company_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at)
    SELECT entity_id, company_name, serial_nr, next_check_at, maintenance_at, admin_warning_at, expires_at, grace_at
      FROM old_license_offer ORDER BY entity_id;
INSERT INTO license_offer_module (entity_id, license_type, seats_total)
    SELECT entity_id, license_type, seats_total FROM old_license_offer_module ORDER BY entity_id, license_type;

DROP TABLE temp.blanks;
DROP TABLE temp.account_name;
DROP TABLE temp.credential_name;
DROP TABLE temp.pool_event;
DROP TABLE old_ticket;
DROP TABLE old_license_offer_module;
DROP TABLE old_license_offer;
DROP TABLE old_seat;
DROP TABLE old_license_pool;
DROP TABLE old_account;
DROP TABLE old_credential;
DROP TABLE old_audit_event;
DROP TABLE old_entity;
PRAGMA legacy_alter_table = OFF;
