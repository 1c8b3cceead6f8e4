-- From version 1 to version 2: license offers, tickets, and the call that changed a pool. Comments stand in schema.sql;
-- a test holds what this makes equal to what schema.sql makes.

ALTER TABLE license_pool ADD COLUMN last_call TEXT;

CREATE TABLE license_offer (
    entity_id        INTEGER PRIMARY KEY REFERENCES entity (id),
    company_name     TEXT CONSTRAINT "license_offer.company_name must have 1 to 255 characters" CHECK (length(company_name) BETWEEN 1 AND 255),
    serial_nr        TEXT,
    next_check_at    TEXT CONSTRAINT "license_offer.next_check_at must be UTC like 2027-01-31T00:00:00Z" CHECK (next_check_at IS strftime('%Y-%m-%dT%H:%M:%SZ', next_check_at, '+0 days') AND next_check_at >= '0'),
    maintenance_at   TEXT CONSTRAINT "license_offer.maintenance_at must be UTC like 2027-01-31T00:00:00Z" CHECK (maintenance_at IS strftime('%Y-%m-%dT%H:%M:%SZ', maintenance_at, '+0 days') AND maintenance_at >= '0'),
    admin_warning_at TEXT CONSTRAINT "license_offer.admin_warning_at must be UTC like 2027-01-31T00:00:00Z" CHECK (admin_warning_at IS strftime('%Y-%m-%dT%H:%M:%SZ', admin_warning_at, '+0 days') AND admin_warning_at >= '0'),
    expires_at       TEXT CONSTRAINT "license_offer.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0'),
    grace_at         TEXT CONSTRAINT "license_offer.grace_at must be UTC like 2027-01-31T00:00:00Z" CHECK (grace_at IS strftime('%Y-%m-%dT%H:%M:%SZ', grace_at, '+0 days') AND grace_at >= '0')
) STRICT;

CREATE TABLE license_offer_module (
    entity_id    INTEGER NOT NULL REFERENCES license_offer (entity_id),
    license_type TEXT NOT NULL
                 CONSTRAINT "license_offer_module.license_type must be SkraftDiskImageV5, SqlBackup or ExchangeBackup"
                 CHECK (license_type IN ('SkraftDiskImageV5', 'SqlBackup', 'ExchangeBackup')),
    seats_total  INTEGER NOT NULL
                 CONSTRAINT "license_offer_module.seats_total must be between 0 and 10000000" CHECK (seats_total BETWEEN 0 AND 10000000),
    PRIMARY KEY (entity_id, license_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket (
    id          TEXT NOT NULL PRIMARY KEY
                CONSTRAINT "ticket.id must be a UUID in small letters"
                CHECK (length(CAST(id AS BLOB)) = 36 AND id GLOB '????????-????-????-????-????????????'
                       AND length(replace(id, '-', '')) = 32 AND id NOT GLOB '*[^0-9a-f-]*'),
    secret_hash BLOB NOT NULL
                CONSTRAINT "ticket.secret_hash must have 32 bytes" CHECK (length(secret_hash) = 32),
    user_name   TEXT NOT NULL COLLATE NOCASE REFERENCES credential (user_name),
    expires_at  TEXT NOT NULL CONSTRAINT "ticket.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0')
) STRICT, WITHOUT ROWID;

CREATE INDEX ticket_by_user_name ON ticket (user_name);

CREATE INDEX ticket_by_expires_at ON ticket (expires_at);

DROP TRIGGER IF EXISTS entity_insert;
CREATE TRIGGER entity_insert BEFORE INSERT ON entity BEGIN
    SELECT RAISE(ABORT, 'entity exists already: change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM entity WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'owner_name belongs to another entity')
     WHERE EXISTS (SELECT 1 FROM entity WHERE owner_name = NEW.owner_name);
    SELECT RAISE(ABORT, 'owner_name cannot be SUPEROFFICE, USER or SITE: license tools mean others by them')
     WHERE NEW.owner_name IN ('SUPEROFFICE', 'USER', 'SITE');
    SELECT RAISE(ABORT, 'parent entity does not exist: insert it first')
     WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.parent_id);
END;

DROP TRIGGER IF EXISTS entity_update;
CREATE TRIGGER entity_update BEFORE UPDATE ON entity BEGIN
    SELECT RAISE(ABORT, 'the id of an entity cannot change: callers know it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'owner_name belongs to another entity')
     WHERE EXISTS (SELECT 1 FROM entity WHERE owner_name = NEW.owner_name AND id <> OLD.id);
    SELECT RAISE(ABORT, 'owner_name cannot be SUPEROFFICE, USER or SITE: license tools mean others by them')
     WHERE NEW.owner_name IN ('SUPEROFFICE', 'USER', 'SITE') AND NEW.owner_name IS NOT OLD.owner_name;
    SELECT RAISE(ABORT, 'parent entity does not exist: insert it first')
     WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.parent_id);
    SELECT RAISE(ABORT, 'an entity cannot be above itself: parent_id would close a circle')
     WHERE EXISTS (WITH RECURSIVE above (id) AS (
                       SELECT NEW.parent_id UNION SELECT entity.parent_id FROM entity JOIN above ON entity.id = above.id)
                   SELECT 1 FROM above WHERE id = NEW.id);
END;

DROP TRIGGER IF EXISTS entity_delete;
CREATE TRIGGER entity_delete BEFORE DELETE ON entity BEGIN
    SELECT RAISE(ABORT, 'entity still has entities below it: move or delete them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM entity WHERE parent_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still owns license pools: delete them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM license_pool WHERE entity_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still has accounts: move them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM account WHERE entity_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still has credentials: delete them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM credential WHERE entity_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still has a license offer: delete it first')
     WHERE EXISTS (SELECT 1 FROM license_offer WHERE entity_id = OLD.id);
END;

CREATE TRIGGER credential_updated AFTER UPDATE OF user_name, password_hash, active ON credential
WHEN NEW.user_name <> OLD.user_name OR NEW.password_hash <> OLD.password_hash OR NEW.active = 0 BEGIN
    DELETE FROM ticket WHERE user_name = OLD.user_name;
END;

CREATE TRIGGER credential_deleted AFTER DELETE ON credential BEGIN
    DELETE FROM ticket WHERE user_name = OLD.user_name;
END;

DROP TRIGGER IF EXISTS license_pool_insert;
CREATE TRIGGER license_pool_insert BEFORE INSERT ON license_pool BEGIN
    SELECT RAISE(ABORT, 'license pool exists already: change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM license_pool WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'license_pool.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    SELECT RAISE(ABORT, 'license_pool.last_call is written by the service, when it makes a pool or changes seats_total')
     WHERE length(NEW.last_call) < 38 OR substr(NEW.last_call, 37, 1) NOT IN (' ', '+');
END;

DROP TRIGGER IF EXISTS license_pool_inserted;
CREATE TRIGGER license_pool_inserted AFTER INSERT ON license_pool BEGIN
    INSERT INTO pool_resize (pool_id) SELECT NEW.id WHERE NEW.seats_total > 0;
    INSERT INTO seat (pool_id, seat_no, license_type)
        SELECT NEW.id, n, NEW.license_type
          FROM (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < NEW.seats_total) SELECT n FROM number)
         WHERE NEW.seats_total > 0;
    DELETE FROM pool_resize WHERE pool_id = NEW.id;
    INSERT INTO audit_event (action, actor, request_id, pool_id, seats_total, seats_in_use, seats_in_use_max)
        VALUES ('pool-create',
                CASE WHEN NEW.last_call IS NULL THEN 'sql' ELSE substr(NEW.last_call, 38) END,
                substr(NEW.last_call, 1, 36),
                NEW.id, NEW.seats_total, 0, 0);
END;

CREATE TRIGGER license_pool_call BEFORE UPDATE OF last_call ON license_pool WHEN NEW.last_call IS NOT OLD.last_call BEGIN
    SELECT RAISE(ABORT, 'license_pool.last_call is written by the service, when it makes a pool or changes seats_total')
     WHERE NEW.last_call IS NULL OR length(NEW.last_call) < 38 OR substr(NEW.last_call, 37, 1) NOT IN (' ', '+')
        OR NEW.seats_total IS OLD.seats_total;
END;

DROP TRIGGER IF EXISTS license_pool_updated;
CREATE TRIGGER license_pool_updated AFTER UPDATE ON license_pool BEGIN
    INSERT INTO pool_resize (pool_id) SELECT NEW.id WHERE NEW.seats_total <> OLD.seats_total;
    INSERT INTO seat (pool_id, seat_no, license_type)
        SELECT NEW.id, n + coalesce((SELECT max(seat_no) FROM seat WHERE pool_id = NEW.id), 0), NEW.license_type
          FROM (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < NEW.seats_total - OLD.seats_total) SELECT n FROM number)
         WHERE NEW.seats_total > OLD.seats_total;
    DELETE FROM seat
     WHERE NEW.seats_total < OLD.seats_total AND pool_id = NEW.id
       AND seat_no IN (SELECT seat_no FROM seat WHERE pool_id = NEW.id AND account_id IS NULL
                        ORDER BY seat_no DESC LIMIT max(OLD.seats_total - NEW.seats_total, 0));
    DELETE FROM pool_resize WHERE pool_id = NEW.id;
    INSERT INTO audit_event (action, actor, request_id, pool_id, seats_total, seats_in_use, seats_in_use_max)
        SELECT 'pool-change',
               CASE WHEN NEW.last_call IS OLD.last_call THEN 'sql' ELSE substr(NEW.last_call, 38) END,
               CASE WHEN NEW.last_call IS OLD.last_call THEN NULL ELSE substr(NEW.last_call, 1, 36) END,
               NEW.id, NEW.seats_total, seats_in_use, seats_in_use_max
          FROM audit_event WHERE pool_id = NEW.id ORDER BY id DESC LIMIT 1;
END;

CREATE TRIGGER license_offer_insert BEFORE INSERT ON license_offer BEGIN
    SELECT RAISE(ABORT, 'license offer exists already: change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM license_offer WHERE entity_id = NEW.entity_id);
    SELECT RAISE(ABORT, 'license_offer.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
END;

CREATE TRIGGER license_offer_update BEFORE UPDATE ON license_offer BEGIN
    SELECT RAISE(ABORT, 'a license offer cannot move to another entity: delete it and insert a new one')
     WHERE NEW.entity_id IS NOT OLD.entity_id;
END;

CREATE TRIGGER license_offer_deleted AFTER DELETE ON license_offer BEGIN
    DELETE FROM license_offer_module WHERE entity_id = OLD.entity_id;
END;

CREATE TRIGGER license_offer_module_insert BEFORE INSERT ON license_offer_module BEGIN
    SELECT RAISE(ABORT, 'license offer module exists already: change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM license_offer_module WHERE entity_id = NEW.entity_id AND license_type = NEW.license_type);
    SELECT RAISE(ABORT, 'the entity has no license offer: insert the row of license_offer first')
     WHERE NOT EXISTS (SELECT 1 FROM license_offer WHERE entity_id = NEW.entity_id);
END;

CREATE TRIGGER license_offer_module_update BEFORE UPDATE OF entity_id, license_type ON license_offer_module BEGIN
    SELECT RAISE(ABORT, 'the entity and type of a license offer module cannot change: delete it and insert a new one')
     WHERE NEW.entity_id IS NOT OLD.entity_id OR NEW.license_type IS NOT OLD.license_type;
END;

CREATE TRIGGER ticket_insert BEFORE INSERT ON ticket BEGIN
    SELECT RAISE(ABORT, 'ticket exists already: every sign-in makes a new one')
     WHERE EXISTS (SELECT 1 FROM ticket WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'ticket.user_name names no active credential')
     WHERE NOT EXISTS (SELECT 1 FROM credential WHERE user_name = NEW.user_name AND active = 1);
END;

CREATE TRIGGER ticket_update BEFORE UPDATE OF id, secret_hash, user_name ON ticket BEGIN
    SELECT RAISE(ABORT, 'of a ticket only expires_at can change')
     WHERE NEW.id IS NOT OLD.id OR NEW.secret_hash IS NOT OLD.secret_hash OR NEW.user_name IS NOT OLD.user_name COLLATE BINARY;
END;

DROP TRIGGER IF EXISTS audit_event_insert;
CREATE TRIGGER audit_event_insert BEFORE INSERT ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events are written by the database itself')
     WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = NEW.id)
        OR NEW.seats_in_use <> coalesce((SELECT seats_in_use FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1), 0)
                             + CASE NEW.action WHEN 'assign' THEN 1 WHEN 'release' THEN -1 ELSE 0 END
        OR NEW.seats_in_use_max <> CASE WHEN NEW.action IN ('pool-create', 'pool-delete') THEN 0
               ELSE max(NEW.seats_in_use, coalesce((SELECT seats_in_use_max FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1), 0)) END
        OR NEW.seats_total <> coalesce((SELECT seats_total FROM license_pool WHERE id = NEW.pool_id), 0)
        OR CASE WHEN NEW.action IN ('assign', 'release') THEN
               NEW.account_id IS NULL
               OR (SELECT account_id FROM seat WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no)
                      IS NOT CASE NEW.action WHEN 'assign' THEN NEW.account_id END
               OR coalesce((SELECT action FROM audit_event WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no
                               AND action IN ('assign', 'release') ORDER BY id DESC LIMIT 1), 'release') = NEW.action
           ELSE
               (NEW.action = 'pool-create') <> (coalesce((SELECT action FROM audit_event WHERE pool_id = NEW.pool_id
                                                           ORDER BY id DESC LIMIT 1), 'pool-delete') = 'pool-delete')
               OR (NEW.action = 'pool-delete') = EXISTS (SELECT 1 FROM license_pool WHERE id = NEW.pool_id)
               OR NEW.at <> strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
               OR NOT (NEW.actor = 'sql' AND NEW.request_id IS NULL
                       OR NEW.action IN ('pool-create', 'pool-change')
                          AND EXISTS (SELECT 1 FROM license_pool WHERE id = NEW.pool_id
                                         AND substr(last_call, 1, 36) = NEW.request_id AND substr(last_call, 38) = NEW.actor)
                          AND (NEW.action = 'pool-create'
                               OR NEW.seats_total <> (SELECT seats_total FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1)))
               OR (NEW.action = 'seat-change') <> (NEW.seat_no IS NOT NULL)
               OR NEW.seat_no IS NOT (SELECT seat_no FROM seat WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no)
               OR NEW.account_id IS NOT (SELECT account_id FROM seat WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no)
               OR NEW.username IS NOT (SELECT username FROM account WHERE id = NEW.account_id)
           END;
END;
