-- Seatkeeper's database on SQLite. This file makes an empty one; `seatkeeper serve` and `seatkeeper sql`
-- run it by themselves on a new file. Everything an administrator seeds or corrects is an ordinary row here.
--
-- Reading guide
--   * Columns without a remark "kept by the database" are yours to write. Everything has a default except what only you can know.
--   * Times are UTC text of exactly this form: 2027-01-31T00:00:00Z. It sorts as it reads, so SQL can compare it. In
--     their CHECKs '+0 days' makes SQLite 3.40 notice too that February has no 30th, and >= '0' keeps out years before 0,
--     which would be written with a minus.
--   * Names of people and logins compare without regard to ASCII case (NOCASE) and keep the spelling they came with.
--   * A seat is one row of `seat`. Nothing counts seats but the number of those rows, so more assignments than
--     seats cannot be written down, whatever a program or a person does.
--   * The triggers repeat every promise that foreign keys and UNIQUE make, because the sqlite3 shell leaves foreign
--     keys off, and because INSERT OR REPLACE deletes conflicting rows without asking. They refuse; they never repair.
--   * Where an id must not change, the trigger is for UPDATE of any column: UPDATE OF id is not fired by SET rowid = ...
--   * A CONSTRAINT's name is the message you get when it refuses.
--   * The file stays readable by SQLite 3.38 and later, so that every shell and browser in the field opens it. To write
--     while the service runs use `seatkeeper sql`: SQLite before 3.51.3 has a bug with concurrent writers in WAL mode.

PRAGMA application_id = 1397048145; -- 0x53454151; tells file(1) and Seatkeeper itself whose file this is
PRAGMA user_version = 1;            -- the schema's version: an older file is migrated at start, a newer one is refused

-- A distributor, partner or company. The tree of entities decides who may see and assign what: a credential's
-- rights reach its own entity and everything below it.
CREATE TABLE entity (
    -- the number callers send as LicenseProviderEntityId (a 32-bit int on the wire)
    id                INTEGER PRIMARY KEY
                      CONSTRAINT "entity.id must be between 1 and 2147483647" CHECK (id BETWEEN 1 AND 2147483647),
    -- the entity above; null for a root. Insert the parent first.
    parent_id         INTEGER REFERENCES entity (id),
    name              TEXT NOT NULL
                      CONSTRAINT "entity.name must have 1 to 255 characters" CHECK (length(name) BETWEEN 1 AND 255),
    -- 0: assignments under this entity are refused (ObjectEntityMismatch); seats already taken stay taken
    active            INTEGER NOT NULL DEFAULT 1
                      CONSTRAINT "entity.active must be 0 or 1" CHECK (active IN (0, 1)),
    -- what license tools call the module owner; without it the entity is invisible to them
    owner_name        TEXT UNIQUE
                      CONSTRAINT "entity.owner_name must be A-Z and 0-9 only" CHECK (owner_name <> '' AND owner_name NOT GLOB '*[^A-Z0-9]*'),
    owner_description TEXT,
    serial_nr         TEXT,
    shop_url          TEXT,
    -- dates shown to license tools; none of them opens or closes a pool (license_pool.expires_at does)
    next_check_at     TEXT CONSTRAINT "entity.next_check_at must be UTC like 2027-01-31T00:00:00Z" CHECK (next_check_at IS strftime('%Y-%m-%dT%H:%M:%SZ', next_check_at, '+0 days') AND next_check_at >= '0'),
    maintenance_at    TEXT CONSTRAINT "entity.maintenance_at must be UTC like 2027-01-31T00:00:00Z" CHECK (maintenance_at IS strftime('%Y-%m-%dT%H:%M:%SZ', maintenance_at, '+0 days') AND maintenance_at >= '0'),
    admin_warning_at  TEXT CONSTRAINT "entity.admin_warning_at must be UTC like 2027-01-31T00:00:00Z" CHECK (admin_warning_at IS strftime('%Y-%m-%dT%H:%M:%SZ', admin_warning_at, '+0 days') AND admin_warning_at >= '0'),
    expires_at        TEXT CONSTRAINT "entity.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0'),
    grace_at          TEXT CONSTRAINT "entity.grace_at must be UTC like 2027-01-31T00:00:00Z" CHECK (grace_at IS strftime('%Y-%m-%dT%H:%M:%SZ', grace_at, '+0 days') AND grace_at >= '0')
) STRICT;

CREATE INDEX entity_by_parent ON entity (parent_id);

-- Who may call. Make a hash with `seatkeeper hash-password`, or in `seatkeeper sql` with hash_password('...').
CREATE TABLE credential (
    user_name     TEXT NOT NULL COLLATE NOCASE PRIMARY KEY
                  CONSTRAINT "credential.user_name must have 1 to 128 characters" CHECK (length(user_name) BETWEEN 1 AND 128)
                  CONSTRAINT "credential.user_name cannot be sql or cli: the audit means others by them" CHECK (user_name NOT IN ('sql', 'cli')),
    -- argon2id as a PHC string; at least m=19456,t=2,p=1, or the sign-in is refused. Changing it counts at once.
    password_hash TEXT NOT NULL
                  CONSTRAINT "credential.password_hash must be an argon2id PHC string: make one with seatkeeper hash-password"
                  CHECK (password_hash GLOB '$argon2id$v=19$m=[0-9]*,t=[0-9]*,p=[0-9]*$?*'),
    -- where the rights begin: this entity and everything below it
    entity_id     INTEGER NOT NULL REFERENCES entity (id),
    -- reader looks, agent also assigns, admin also releases
    role          TEXT NOT NULL DEFAULT 'agent'
                  CONSTRAINT "credential.role must be reader, agent or admin" CHECK (role IN ('reader', 'agent', 'admin')),
    -- 0: every call is refused as if the password were wrong
    active        INTEGER NOT NULL DEFAULT 1
                  CONSTRAINT "credential.active must be 0 or 1" CHECK (active IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX credential_by_entity ON credential (entity_id);

-- The backup user that holds seats. A name that is new is enrolled by its first assignment (unless the service
-- runs with --enroll=false), under the provider entity of that call.
CREATE TABLE account (
    -- stable for life and never used again: accounts are made inactive, not deleted
    id        INTEGER PRIMARY KEY
              CONSTRAINT "account.id must be positive" CHECK (id > 0),
    username  TEXT NOT NULL COLLATE NOCASE UNIQUE
              CONSTRAINT "account.username must have 1 to 128 characters, none of them a control character"
              CHECK (length(username) BETWEEN 1 AND 128 AND instr(username, char(0)) = 0
                     AND username NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
    entity_id INTEGER NOT NULL REFERENCES entity (id),
    -- 0: new assignments are refused (ObjectEntityMismatch); seats it holds stay until released
    active    INTEGER NOT NULL DEFAULT 1
              CONSTRAINT "account.active must be 0 or 1" CHECK (active IN (0, 1))
) STRICT;

CREATE INDEX account_by_entity ON account (entity_id);

-- One purchase of seats. An entity may own several pools of one type: seats are drawn from the one that expires
-- first. To buy more or fewer seats change seats_total; the rows of `seat` follow in the same statement.
CREATE TABLE license_pool (
    id           INTEGER PRIMARY KEY
                 CONSTRAINT "license_pool.id must be positive" CHECK (id > 0),
    -- whose seats these are, and of what type: fixed for the pool's life
    entity_id    INTEGER NOT NULL REFERENCES entity (id),
    license_type TEXT NOT NULL
                 CONSTRAINT "license_pool.license_type must be SkraftDiskImageV5, SqlBackup or ExchangeBackup"
                 CHECK (license_type IN ('SkraftDiskImageV5', 'SqlBackup', 'ExchangeBackup')),
    seats_total  INTEGER NOT NULL
                 CONSTRAINT "license_pool.seats_total must be between 0 and 10000000" CHECK (seats_total BETWEEN 0 AND 10000000),
    -- seats are given out from starts_at (included) to expires_at (excluded); null means no bound on that side
    starts_at    TEXT CONSTRAINT "license_pool.starts_at must be UTC like 2027-01-31T00:00:00Z" CHECK (starts_at IS strftime('%Y-%m-%dT%H:%M:%SZ', starts_at, '+0 days') AND starts_at >= '0'),
    expires_at   TEXT CONSTRAINT "license_pool.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0'),
    -- what the holder of a seat gets, where the seat has none of its own
    product_key  TEXT,
    license_data BLOB,
    CONSTRAINT "license_pool.starts_at must be before expires_at" CHECK (starts_at < expires_at)
) STRICT;

CREATE INDEX license_pool_by_entity ON license_pool (entity_id, license_type, expires_at);

-- One row per seat. Rows are made and removed by the database as license_pool.seats_total changes; an administrator
-- releases a seat with  UPDATE seat SET account_id = NULL WHERE pool_id = ... AND seat_no = ...
CREATE TABLE seat (
    pool_id      INTEGER NOT NULL REFERENCES license_pool (id),
    -- identity within the pool; a pool that shrank and grew has gaps
    seat_no      INTEGER NOT NULL
                 CONSTRAINT "seat.seat_no must be positive" CHECK (seat_no > 0),
    -- kept by the database: the pool's type, repeated so that "one seat of a type per account" can be a unique key
    license_type TEXT NOT NULL,
    -- who holds it; null = free. A taken seat is released first, then assigned again.
    account_id   INTEGER REFERENCES account (id),
    -- where each seat has its own
    product_key  TEXT,
    license_data BLOB,
    -- kept by the service: "<request id> <actor>" of the last call that changed the row ("+" between them if it
    -- changed the row twice). SQL by hand leaves it as it is, which is how the audit tells a call from a correction;
    -- `seatkeeper sql` does not write it.
    last_call    TEXT,
    PRIMARY KEY (pool_id, seat_no)
) STRICT, WITHOUT ROWID;

-- One seat of a type per account: the second guard behind the seat rules.
CREATE UNIQUE INDEX seat_by_holder ON seat (account_id, license_type) WHERE account_id IS NOT NULL;
-- Finding a free seat is one step into this index, with ten seats or a million.
CREATE INDEX seat_free ON seat (pool_id, seat_no) WHERE account_id IS NULL;

-- Kept by the database: who did what to which seat or pool, when. Append-only. ids have no gaps.
CREATE TABLE audit_event (
    id           INTEGER PRIMARY KEY,
    at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    action       TEXT NOT NULL
                 CHECK (action IN ('assign', 'release', 'seat-change', 'pool-create', 'pool-change', 'pool-delete')),
    -- the credential's user name, 'cli' for the command line, 'sql' for a change made by hand
    actor        TEXT NOT NULL,
    -- the call's id, as it stands in the log; null for 'sql'
    request_id   TEXT,
    pool_id      INTEGER NOT NULL,
    seat_no      INTEGER,
    -- the holder who got or lost the seat, by the name of that moment
    account_id   INTEGER,
    username     TEXT,
    -- the pool after this event. The newest event of a pool therefore tells its use without counting rows.
    seats_total  INTEGER NOT NULL,
    seats_in_use INTEGER NOT NULL,
    -- the most seats that were ever in use at once
    seats_in_use_max INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_event_by_pool ON audit_event (pool_id);
CREATE INDEX audit_event_by_seat ON audit_event (pool_id, seat_no) WHERE seat_no IS NOT NULL;

-- Kept by the database: holds a row only inside the statement that resizes a pool. See its triggers.
CREATE TABLE pool_resize (pool_id INTEGER PRIMARY KEY) STRICT;


-- entity -------------------------------------------------------------------------------------------------------

CREATE TRIGGER entity_insert BEFORE INSERT ON entity BEGIN
    SELECT RAISE(ABORT, 'entity exists already: change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM entity WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'owner_name belongs to another entity')
     WHERE EXISTS (SELECT 1 FROM entity WHERE owner_name = NEW.owner_name);
    SELECT RAISE(ABORT, 'parent entity does not exist: insert it first')
     WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.parent_id);
END;

CREATE TRIGGER entity_update BEFORE UPDATE ON entity BEGIN
    SELECT RAISE(ABORT, 'the id of an entity cannot change: callers know it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'owner_name belongs to another entity')
     WHERE EXISTS (SELECT 1 FROM entity WHERE owner_name = NEW.owner_name AND id <> OLD.id);
    SELECT RAISE(ABORT, 'parent entity does not exist: insert it first')
     WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.parent_id);
    SELECT RAISE(ABORT, 'an entity cannot be above itself: parent_id would close a circle')
     WHERE EXISTS (WITH RECURSIVE above (id) AS (
                       SELECT NEW.parent_id UNION SELECT entity.parent_id FROM entity JOIN above ON entity.id = above.id)
                   SELECT 1 FROM above WHERE id = NEW.id);
END;

CREATE TRIGGER entity_delete BEFORE DELETE ON entity BEGIN
    SELECT RAISE(ABORT, 'entity still has entities below it: move or delete them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM entity WHERE parent_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still owns license pools: delete them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM license_pool WHERE entity_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still has accounts: move them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM account WHERE entity_id = OLD.id);
    SELECT RAISE(ABORT, 'entity still has credentials: delete them first, or set active = 0')
     WHERE EXISTS (SELECT 1 FROM credential WHERE entity_id = OLD.id);
END;

-- credential ---------------------------------------------------------------------------------------------------

CREATE TRIGGER credential_insert BEFORE INSERT ON credential BEGIN
    SELECT RAISE(ABORT, 'credential exists already (user names compare without regard to case): change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM credential WHERE user_name = NEW.user_name);
    SELECT RAISE(ABORT, 'credential.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
END;

CREATE TRIGGER credential_update BEFORE UPDATE OF user_name, entity_id ON credential BEGIN
    SELECT RAISE(ABORT, 'credential.entity_id names no entity')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    SELECT RAISE(ABORT, 'another credential has this user_name (in any case)')
     WHERE NEW.user_name <> OLD.user_name AND EXISTS (SELECT 1 FROM credential WHERE user_name = NEW.user_name);
END;

-- account ------------------------------------------------------------------------------------------------------

CREATE TRIGGER account_insert BEFORE INSERT ON account BEGIN
    SELECT RAISE(ABORT, 'account exists already (user names compare without regard to case): change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM account WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM account WHERE username = NEW.username);
    SELECT RAISE(ABORT, 'account.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
END;

CREATE TRIGGER account_update BEFORE UPDATE ON account BEGIN
    SELECT RAISE(ABORT, 'the id of an account cannot change: seats refer to it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'another account has this username (in any case)')
     WHERE EXISTS (SELECT 1 FROM account WHERE username = NEW.username AND id <> OLD.id);
    SELECT RAISE(ABORT, 'account.entity_id names no entity')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
END;

CREATE TRIGGER account_delete BEFORE DELETE ON account BEGIN
    SELECT RAISE(ABORT, 'accounts are not deleted, their ids stay in the history: set active = 0');
END;

-- license_pool -------------------------------------------------------------------------------------------------

CREATE TRIGGER license_pool_insert BEFORE INSERT ON license_pool BEGIN
    SELECT RAISE(ABORT, 'license pool exists already: change it with UPDATE')
     WHERE EXISTS (SELECT 1 FROM license_pool WHERE id = NEW.id);
    SELECT RAISE(ABORT, 'license_pool.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
END;

CREATE TRIGGER license_pool_inserted AFTER INSERT ON license_pool BEGIN
    INSERT INTO pool_resize (pool_id) SELECT NEW.id WHERE NEW.seats_total > 0;
    INSERT INTO seat (pool_id, seat_no, license_type)
        SELECT NEW.id, n, NEW.license_type
          FROM (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < NEW.seats_total) SELECT n FROM number)
         WHERE NEW.seats_total > 0;
    DELETE FROM pool_resize WHERE pool_id = NEW.id;
    INSERT INTO audit_event (action, actor, pool_id, seats_total, seats_in_use, seats_in_use_max)
        VALUES ('pool-create', 'sql', NEW.id, NEW.seats_total, 0, 0);
END;

CREATE TRIGGER license_pool_update BEFORE UPDATE ON license_pool BEGIN
    SELECT RAISE(ABORT, 'the id of a license pool cannot change: seats refer to it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'a license pool cannot move to another entity: set its seats_total to 0 and insert a new pool')
     WHERE NEW.entity_id IS NOT OLD.entity_id;
    SELECT RAISE(ABORT, 'a license pool cannot change its type: set its seats_total to 0 and insert a new pool')
     WHERE NEW.license_type IS NOT OLD.license_type;
    -- RAISE takes no expression before SQLite 3.47, so the number reaches the reader as the path of a JSON error.
    SELECT json_extract('{}', 'seats_total of pool ' || OLD.id || ' cannot be ' || NEW.seats_total || ': '
                              || in_use || ' seats are in use, release ' || (in_use - NEW.seats_total) || ' first')
      FROM (SELECT count(*) AS in_use FROM seat WHERE pool_id = OLD.id AND account_id IS NOT NULL)
     WHERE NEW.seats_total BETWEEN 0 AND OLD.seats_total AND in_use > NEW.seats_total;
END;

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
    INSERT INTO audit_event (action, actor, pool_id, seats_total, seats_in_use, seats_in_use_max)
        SELECT 'pool-change', 'sql', NEW.id, NEW.seats_total, seats_in_use, seats_in_use_max
          FROM audit_event WHERE pool_id = NEW.id ORDER BY id DESC LIMIT 1;
END;

CREATE TRIGGER license_pool_delete BEFORE DELETE ON license_pool BEGIN
    SELECT json_extract('{}', 'pool ' || OLD.id || ' cannot be deleted: ' || in_use || ' seats are in use, release them first')
      FROM (SELECT count(*) AS in_use FROM seat WHERE pool_id = OLD.id AND account_id IS NOT NULL)
     WHERE in_use > 0;
END;

CREATE TRIGGER license_pool_deleted AFTER DELETE ON license_pool BEGIN
    INSERT INTO pool_resize (pool_id) SELECT OLD.id WHERE OLD.seats_total > 0;
    DELETE FROM seat WHERE pool_id = OLD.id;
    DELETE FROM pool_resize WHERE pool_id = OLD.id;
    INSERT INTO audit_event (action, actor, pool_id, seats_total, seats_in_use, seats_in_use_max)
        VALUES ('pool-delete', 'sql', OLD.id, 0, 0, 0);
END;

-- pool_resize: the marker that lets rows of `seat` come and go. It can be set only while a pool's rows differ from
-- its seats_total, and cleared only when they agree again, so it cannot be used by hand to slip a seat in or out.

CREATE TRIGGER pool_resize_insert BEFORE INSERT ON pool_resize BEGIN
    SELECT RAISE(ABORT, 'seats are made and removed by changing license_pool.seats_total')
     WHERE coalesce((SELECT seats_total FROM license_pool WHERE id = NEW.pool_id), 0)
         = (SELECT count(*) FROM seat WHERE pool_id = NEW.pool_id);
END;

CREATE TRIGGER pool_resize_delete BEFORE DELETE ON pool_resize BEGIN
    SELECT RAISE(ABORT, 'the seats of the pool do not add up to its seats_total')
     WHERE coalesce((SELECT seats_total FROM license_pool WHERE id = OLD.pool_id), 0)
        <> (SELECT count(*) FROM seat WHERE pool_id = OLD.pool_id);
END;

CREATE TRIGGER pool_resize_update BEFORE UPDATE ON pool_resize BEGIN
    SELECT RAISE(ABORT, 'seats are made and removed by changing license_pool.seats_total');
END;

-- seat ---------------------------------------------------------------------------------------------------------

CREATE TRIGGER seat_insert BEFORE INSERT ON seat BEGIN
    SELECT RAISE(ABORT, 'seats are made by raising license_pool.seats_total, not by inserting them')
     WHERE NOT EXISTS (SELECT 1 FROM pool_resize WHERE pool_id = NEW.pool_id);
END;

CREATE TRIGGER seat_delete BEFORE DELETE ON seat BEGIN
    SELECT RAISE(ABORT, 'seats are removed by lowering license_pool.seats_total, not by deleting them')
     WHERE NOT EXISTS (SELECT 1 FROM pool_resize WHERE pool_id = OLD.pool_id);
    SELECT RAISE(ABORT, 'a taken seat cannot be removed: release it first') WHERE OLD.account_id IS NOT NULL;
END;

CREATE TRIGGER seat_identity BEFORE UPDATE OF pool_id, seat_no, license_type ON seat BEGIN
    SELECT RAISE(ABORT, 'the pool, number and type of a seat cannot change')
     WHERE NEW.pool_id IS NOT OLD.pool_id OR NEW.seat_no IS NOT OLD.seat_no OR NEW.license_type IS NOT OLD.license_type;
END;

CREATE TRIGGER seat_holder BEFORE UPDATE OF account_id ON seat WHEN NEW.account_id IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'seat is taken by another account: release it first (account_id = NULL)')
     WHERE OLD.account_id <> NEW.account_id;
    SELECT RAISE(ABORT, 'seat.account_id names no account: insert the account first')
     WHERE NOT EXISTS (SELECT 1 FROM account WHERE id = NEW.account_id);
    SELECT RAISE(ABORT, 'the account already holds a seat of this type')
     WHERE EXISTS (SELECT 1 FROM seat WHERE account_id = NEW.account_id AND license_type = NEW.license_type
                      AND (pool_id <> OLD.pool_id OR seat_no <> OLD.seat_no));
END;

-- The audit takes request id and actor from here. One that cannot be taken apart would make its INSERT fail, and
-- UPDATE OR IGNORE passes over such a failure: the seat would change hands without an event.
CREATE TRIGGER seat_call BEFORE UPDATE OF last_call ON seat WHEN NEW.last_call IS NOT OLD.last_call BEGIN
    SELECT RAISE(ABORT, 'seat.last_call is written by the service, when the seat gets or loses its holder')
     WHERE NEW.last_call IS NULL OR length(NEW.last_call) < 38 OR substr(NEW.last_call, 37, 1) NOT IN (' ', '+')
        OR (NEW.account_id IS NULL) = (OLD.account_id IS NULL);
END;

CREATE TRIGGER seat_assigned AFTER UPDATE OF account_id ON seat
WHEN OLD.account_id IS NULL AND NEW.account_id IS NOT NULL BEGIN
    INSERT INTO audit_event (action, actor, request_id, pool_id, seat_no, account_id, username, seats_total, seats_in_use, seats_in_use_max)
        SELECT 'assign',
               CASE WHEN NEW.last_call IS OLD.last_call THEN 'sql' ELSE substr(NEW.last_call, 38) END,
               CASE WHEN NEW.last_call IS OLD.last_call THEN NULL ELSE substr(NEW.last_call, 1, 36) END,
               NEW.pool_id, NEW.seat_no, NEW.account_id,
               (SELECT username FROM account WHERE id = NEW.account_id), seats_total, seats_in_use + 1, max(seats_in_use + 1, seats_in_use_max)
          FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1;
END;

CREATE TRIGGER seat_released AFTER UPDATE OF account_id ON seat
WHEN OLD.account_id IS NOT NULL AND NEW.account_id IS NULL BEGIN
    INSERT INTO audit_event (action, actor, request_id, pool_id, seat_no, account_id, username, seats_total, seats_in_use, seats_in_use_max)
        SELECT 'release',
               CASE WHEN NEW.last_call IS OLD.last_call THEN 'sql' ELSE substr(NEW.last_call, 38) END,
               CASE WHEN NEW.last_call IS OLD.last_call THEN NULL ELSE substr(NEW.last_call, 1, 36) END,
               NEW.pool_id, NEW.seat_no, OLD.account_id,
               (SELECT username FROM account WHERE id = OLD.account_id), seats_total, seats_in_use - 1, seats_in_use_max
          FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1;
END;

CREATE TRIGGER seat_changed AFTER UPDATE OF product_key, license_data ON seat
WHEN NEW.product_key IS NOT OLD.product_key OR NEW.license_data IS NOT OLD.license_data BEGIN
    INSERT INTO audit_event (action, actor, pool_id, seat_no, account_id, username, seats_total, seats_in_use, seats_in_use_max)
        SELECT 'seat-change', 'sql', NEW.pool_id, NEW.seat_no, NEW.account_id,
               (SELECT username FROM account WHERE id = NEW.account_id), seats_total, seats_in_use, seats_in_use_max
          FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1;
END;

-- audit_event --------------------------------------------------------------------------------------------------

-- An event can be written only if it says what is so and what no earlier event said, so that one made up by hand
-- is refused and the numbers of the newest event of a pool stay exact. All that passes by hand is a 'pool-change' or
-- 'seat-change' with nothing in it but the truth: by 'sql', now.
CREATE TRIGGER audit_event_insert BEFORE INSERT ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events are written by the database itself')
     WHERE EXISTS (SELECT 1 FROM audit_event WHERE id = NEW.id)
        OR NEW.seats_in_use <> coalesce((SELECT seats_in_use FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1), 0)
                             + CASE NEW.action WHEN 'assign' THEN 1 WHEN 'release' THEN -1 ELSE 0 END
        OR NEW.seats_in_use_max <> CASE WHEN NEW.action IN ('pool-create', 'pool-delete') THEN 0
               ELSE max(NEW.seats_in_use, coalesce((SELECT seats_in_use_max FROM audit_event WHERE pool_id = NEW.pool_id ORDER BY id DESC LIMIT 1), 0)) END
        OR NEW.seats_total <> coalesce((SELECT seats_total FROM license_pool WHERE id = NEW.pool_id), 0)
        OR CASE WHEN NEW.action IN ('assign', 'release') THEN
               -- The seat has changed hands since its last event.
               NEW.account_id IS NULL
               OR (SELECT account_id FROM seat WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no)
                      IS NOT CASE NEW.action WHEN 'assign' THEN NEW.account_id END
               OR coalesce((SELECT action FROM audit_event WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no
                               AND action IN ('assign', 'release') ORDER BY id DESC LIMIT 1), 'release') = NEW.action
           ELSE
               -- The events of a pool begin with its creation and end with its deletion.
               (NEW.action = 'pool-create') <> (coalesce((SELECT action FROM audit_event WHERE pool_id = NEW.pool_id
                                                           ORDER BY id DESC LIMIT 1), 'pool-delete') = 'pool-delete')
               OR (NEW.action = 'pool-delete') = EXISTS (SELECT 1 FROM license_pool WHERE id = NEW.pool_id)
               OR NEW.actor <> 'sql' OR NEW.request_id IS NOT NULL OR NEW.at <> strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
               OR (NEW.action = 'seat-change') <> (NEW.seat_no IS NOT NULL)
               OR NEW.seat_no IS NOT (SELECT seat_no FROM seat WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no)
               OR NEW.account_id IS NOT (SELECT account_id FROM seat WHERE pool_id = NEW.pool_id AND seat_no = NEW.seat_no)
               OR NEW.username IS NOT (SELECT username FROM account WHERE id = NEW.account_id)
           END;
END;

CREATE TRIGGER audit_event_inserted AFTER INSERT ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events are numbered without gaps')
     WHERE NEW.id <> 1 + coalesce((SELECT max(id) FROM audit_event WHERE id < NEW.id), 0)
        OR EXISTS (SELECT 1 FROM audit_event WHERE id > NEW.id);
END;

CREATE TRIGGER audit_event_update BEFORE UPDATE ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events cannot be changed');
END;

CREATE TRIGGER audit_event_delete BEFORE DELETE ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events cannot be deleted');
END;
