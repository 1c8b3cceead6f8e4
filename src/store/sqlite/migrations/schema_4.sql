-- Seatkeeper's database on SQLite. This file makes an empty one; `seatkeeper serve --create` and
-- `seatkeeper sql --create` run it on a new file. Everything an administrator seeds or corrects is an ordinary row here.
--
-- Reading guide
--   * Columns without a remark "kept by the database" are yours to write. Everything has a default except what only you can know.
--   * Times are UTC text of exactly this form: 2027-01-31T00:00:00Z. It sorts as it reads, so SQL can compare it. In
--     their CHECKs '+0 days' makes SQLite 3.40 notice too that February has no 30th, and >= '0' keeps out years before 0,
--     which would be written with a minus.
--   * Names of users (account.username, credential.user_name) compare without regard to ASCII case (NOCASE) and keep the
--     spelling they came with. They are stored without blanks at either end, because calls are read without them: 'u' and
--     'u ' are one user. Other differences count: 'Ä' and 'ä', and the composed and decomposed forms of one letter.
--   * Text is valid UTF-8, without NUL, U+FFFE, U+FFFF (which XML cannot hold) and U+FFFD (which stands for bytes that
--     could not be read). Triggers hold names and text to these rules, not CHECKs: SQLite has no function that tests
--     UTF-8 and a CHECK cannot hold the query that does; and a file from before these rules still opens.
--     `seatkeeper check` names the rows that break them.
--   * A seat is one row of `seat`, so more assignments than seats cannot be written down, whatever a program or a person
--     does. license_pool.seats_in_use counts the taken ones and is never above seats_total: a second guard.
--   * Every change of a row, also one made by hand, leaves an event in `audit_event` in the same transaction (of tickets and named calls, which
--     only the service writes, there are none). A statement that changes nothing leaves none.
--   * Tables and indexes come first, then all views and triggers, which a migration makes again.
--   * The triggers repeat every promise that foreign keys and UNIQUE make, because the sqlite3 shell leaves foreign
--     keys off, and because INSERT OR REPLACE deletes conflicting rows without asking. They refuse; they never repair.
--   * INSERT OR IGNORE passes over rows that exist already. INSERT OR REPLACE and UPSERT are refused.
--   * Every table to be edited has a rowid, because some tools (DB Browser for SQLite) name the row they change by it.
--   * Tables, views and plain indexes of your own are safe in this file. A column, trigger or unique index of your own on these
--     tables is not: the service refuses the file. For what you need to note down there are customer_nr and note.
--   * A whole number in a spreadsheet that uses points, such as 1.000, is 1 to SQLite: write 1000.
--   * Where an id must not change, the trigger is for UPDATE of any column: UPDATE OF id is not fired by SET rowid = ...
--   * A CONSTRAINT's name is the message you get when it refuses.
--   * The file stays readable by SQLite 3.38 and later, so that every shell and browser in the field opens it. To write
--     while the service runs use `seatkeeper sql`: SQLite before 3.51.3 has a bug with concurrent writers in WAL mode.

PRAGMA application_id = 1397048145; -- 0x53454151; tells file(1) and Seatkeeper itself whose file this is
PRAGMA user_version = 4;            -- the schema's version: an older file is migrated at start, a newer one is refused

-- A distributor, partner or company. The tree of entities decides who may see and assign what: a credential's
-- rights reach its own entity and everything below it.
CREATE TABLE entity (
    -- the number callers send as LicenseProviderEntityId (a 32-bit int on the wire)
    id                INTEGER PRIMARY KEY NOT NULL
                      CONSTRAINT "entity.id must be between 1 and 2147483647" CHECK (id BETWEEN 1 AND 2147483647),
    -- the entity above; null for a root. Insert the parent first.
    parent_id         INTEGER REFERENCES entity (id),
    name              TEXT NOT NULL
                      CONSTRAINT "entity.name must have 1 to 255 characters" CHECK (length(name) BETWEEN 1 AND 255),
    -- 0: assignments under this entity are refused (ObjectEntityMismatch); seats already taken stay taken
    active            INTEGER NOT NULL DEFAULT 1
                      CONSTRAINT "entity.active must be 0 or 1" CHECK (active IN (0, 1)),
    -- what license tools call the module owner; without it the entity is invisible to them. SUPEROFFICE, USER and
    -- SITE are reserved by them.
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
    grace_at          TEXT CONSTRAINT "entity.grace_at must be UTC like 2027-01-31T00:00:00Z" CHECK (grace_at IS strftime('%Y-%m-%dT%H:%M:%SZ', grace_at, '+0 days') AND grace_at >= '0'),
    -- yours: nothing reads them
    customer_nr       TEXT,
    note              TEXT
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
                  CONSTRAINT "credential.active must be 0 or 1" CHECK (active IN (0, 1)),
    -- yours: nothing reads it
    note          TEXT
) STRICT;

CREATE INDEX credential_by_entity ON credential (entity_id);

-- The backup user that holds seats. A name that is new is enrolled by its first assignment (unless the service
-- runs with --enroll=false), under the provider entity of that call.
CREATE TABLE account (
    -- stable for life and never used again: accounts are made inactive, not deleted
    id        INTEGER PRIMARY KEY NOT NULL
              CONSTRAINT "account.id must be positive" CHECK (id > 0),
    username  TEXT NOT NULL COLLATE NOCASE UNIQUE
              CONSTRAINT "account.username must have 1 to 128 characters, none of them a control character"
              CHECK (length(username) BETWEEN 1 AND 128 AND instr(username, char(0)) = 0
                     AND username NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
    entity_id INTEGER NOT NULL REFERENCES entity (id),
    -- 0: new assignments are refused (ObjectEntityMismatch); seats it holds stay until released
    active    INTEGER NOT NULL DEFAULT 1
              CONSTRAINT "account.active must be 0 or 1" CHECK (active IN (0, 1)),
    -- yours: nothing reads it
    note      TEXT
) STRICT;

CREATE INDEX account_by_entity ON account (entity_id);

-- One purchase of seats. An entity may own several pools of one type: seats are drawn from the one that expires
-- first. To buy more or fewer seats change seats_total; the rows of `seat` follow in the same statement.
CREATE TABLE license_pool (
    id           INTEGER PRIMARY KEY NOT NULL
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
    -- what the holder of a seat gets, where the seat has none of its own; an empty text is none
    product_key  TEXT,
    license_data BLOB,
    -- kept by the database: seats that are taken, and the most that ever were at once
    seats_in_use     INTEGER NOT NULL DEFAULT 0,
    seats_in_use_max INTEGER NOT NULL DEFAULT 0,
    -- kept by the database: the newest event of the pool or one of its seats, and how many events there are
    event_id     INTEGER,
    events       INTEGER NOT NULL DEFAULT 0,
    -- yours: nothing reads it
    note         TEXT,
    CONSTRAINT "license_pool.starts_at must be before expires_at" CHECK (starts_at < expires_at),
    CONSTRAINT "license_pool.seats_in_use must be between 0 and seats_total" CHECK (seats_in_use BETWEEN 0 AND seats_total),
    CONSTRAINT "license_pool.seats_in_use_max cannot be below seats_in_use" CHECK (seats_in_use_max >= seats_in_use)
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
    -- where each seat has its own; an empty text is none
    product_key  TEXT,
    license_data BLOB,
    PRIMARY KEY (pool_id, seat_no)
) STRICT;

-- One seat of a type per account: the second guard behind the seat rules.
CREATE UNIQUE INDEX seat_by_holder ON seat (account_id, license_type) WHERE account_id IS NOT NULL;
-- Finding a free seat is one step into this index, with ten seats or a million.
CREATE INDEX seat_free ON seat (pool_id, seat_no) WHERE account_id IS NULL;

-- What the issuer offers an entity next: license tools show it as "New". It changes nothing until it is activated; then
-- the entity gets these values, its pools follow the modules, and the row is gone. A column that is null, and a type
-- without a module, stay as they are:  INSERT INTO license_offer (entity_id) VALUES (42)  offers just what there is.
CREATE TABLE license_offer (
    -- whom it is for: one offer per entity, fixed. To withdraw it delete the row; its modules go with it.
    entity_id        INTEGER PRIMARY KEY NOT NULL REFERENCES entity (id),
    -- becomes entity.name
    company_name     TEXT CONSTRAINT "license_offer.company_name must have 1 to 255 characters" CHECK (length(company_name) BETWEEN 1 AND 255),
    -- the rest becomes the entity's column of the same name
    serial_nr        TEXT,
    next_check_at    TEXT CONSTRAINT "license_offer.next_check_at must be UTC like 2027-01-31T00:00:00Z" CHECK (next_check_at IS strftime('%Y-%m-%dT%H:%M:%SZ', next_check_at, '+0 days') AND next_check_at >= '0'),
    maintenance_at   TEXT CONSTRAINT "license_offer.maintenance_at must be UTC like 2027-01-31T00:00:00Z" CHECK (maintenance_at IS strftime('%Y-%m-%dT%H:%M:%SZ', maintenance_at, '+0 days') AND maintenance_at >= '0'),
    admin_warning_at TEXT CONSTRAINT "license_offer.admin_warning_at must be UTC like 2027-01-31T00:00:00Z" CHECK (admin_warning_at IS strftime('%Y-%m-%dT%H:%M:%SZ', admin_warning_at, '+0 days') AND admin_warning_at >= '0'),
    expires_at       TEXT CONSTRAINT "license_offer.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0'),
    grace_at         TEXT CONSTRAINT "license_offer.grace_at must be UTC like 2027-01-31T00:00:00Z" CHECK (grace_at IS strftime('%Y-%m-%dT%H:%M:%SZ', grace_at, '+0 days') AND grace_at >= '0')
) STRICT;

-- The seats an offer holds, a row per license type; no row leaves that type as it is. Insert the license_offer first.
CREATE TABLE license_offer_module (
    -- which offer, and seats of what type: fixed
    entity_id    INTEGER NOT NULL REFERENCES license_offer (entity_id),
    license_type TEXT NOT NULL
                 CONSTRAINT "license_offer_module.license_type must be SkraftDiskImageV5, SqlBackup or ExchangeBackup"
                 CHECK (license_type IN ('SkraftDiskImageV5', 'SqlBackup', 'ExchangeBackup')),
    -- of all open pools of the entity together, as they shall be after the activation; not how many are added
    seats_total  INTEGER NOT NULL
                 CONSTRAINT "license_offer_module.seats_total must be between 0 and 10000000" CHECK (seats_total BETWEEN 0 AND 10000000),
    PRIMARY KEY (entity_id, license_type)
) STRICT;

-- Kept by the service: who is signed in with the NetServer login. No column is yours to write, but rows are yours to
-- delete; that signs somebody out:  DELETE FROM ticket WHERE user_name = 'agent'  A ticket also ends when its credential
-- is deleted, renamed or made inactive, or gets another password_hash.
CREATE TABLE ticket (
    id          TEXT NOT NULL PRIMARY KEY
                CONSTRAINT "ticket.id must be a UUID in small letters"
                CHECK (length(CAST(id AS BLOB)) = 36 AND id GLOB '????????-????-????-????-????????????'
                       AND length(replace(id, '-', '')) = 32 AND id NOT GLOB '*[^0-9a-f-]*'),
    -- a hash of what the client holds: who reads this file cannot sign in with it
    secret_hash BLOB NOT NULL
                CONSTRAINT "ticket.secret_hash must have 32 bytes" CHECK (length(secret_hash) = 32),
    user_name   TEXT NOT NULL COLLATE NOCASE REFERENCES credential (user_name),
    -- moves on with each use
    expires_at  TEXT NOT NULL CONSTRAINT "ticket.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0')
) STRICT;

CREATE INDEX ticket_by_user_name ON ticket (user_name);
CREATE INDEX ticket_by_expires_at ON ticket (expires_at);

-- Kept by the database: who changed what, when and why. Append-only. An id says nothing but which event it is: ids may have gaps.
-- action                                          the row it is about
--   assign, release, seat-change                  pool_id, seat_no; account_id and username of its holder
--   pool-create, pool-change, pool-delete         pool_id, of entity_id and license_type
--   entity-create, -change, -delete               entity_id
--   account-create, -change                       account_id, username, entity_id
--   credential-create, -change, -delete           username, entity_id
--   offer-create, -change, -delete                entity_id
--   offer-module-create, -change, -delete         entity_id, license_type
--   archive                                       none: events that were moved to a file, which new_values names
--   copy                                          none: the database was copied from another, whose head new_values names
CREATE TABLE audit_event (
    id           INTEGER PRIMARY KEY NOT NULL,
    at           TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    action       TEXT NOT NULL,
    -- the credential's user name, 'cli' for the command line, 'sql' for a change made by hand
    actor        TEXT NOT NULL,
    -- the call's id, as it stands in the log; null for 'sql'
    request_id   TEXT,
    -- why, where the caller said so
    reason       TEXT,
    entity_id    INTEGER,
    license_type TEXT,
    pool_id      INTEGER,
    seat_no      INTEGER,
    account_id   INTEGER,
    -- of the holder, account or credential, by the name of that moment
    username     TEXT,
    -- the columns that changed, as JSON objects. A creation has only the new ones, a deletion only the old ones; null columns
    -- are left out. Of a password_hash they say that it changed, not what it is. license_data is in hexadecimal.
    old_values   TEXT,
    new_values   TEXT,
    -- of a pool and its seats: the event before this one in the history of the pool, which begins with its pool-create, and
    -- how many there were with this one. license_pool.event_id is the newest: so a history is read without an index, of
    -- which each assignment would write a page.
    previous_id  INTEGER,
    pool_events  INTEGER,
    -- SHA-256 over the hash of the event before it and the values of this one: docs/history.md. Null: not yet chained. The service
    -- chains what was changed by hand before its own next change.
    hash         BLOB CONSTRAINT "audit_event.hash must have 32 bytes" CHECK (length(hash) = 32)
) STRICT;

-- The pools an entity has had of a type, also those that are gone.
CREATE INDEX audit_event_of_pool ON audit_event (entity_id, license_type) WHERE pool_id IS NOT NULL AND seat_no IS NULL;

-- Kept by `seatkeeper audit archive`: events that were moved to files, oldest first. The chain goes on from the last row: the first
-- event that is here follows its hash.
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

-- Kept by the service: who makes the changes, while a call is under way; no row: SQL by hand. `seatkeeper sql --as NAME` writes it.
CREATE TABLE call (
    id         INTEGER PRIMARY KEY NOT NULL CONSTRAINT "call holds one row" CHECK (id = 1),
    request_id TEXT,
    actor      TEXT NOT NULL,
    reason     TEXT
) STRICT;

-- Kept by the service: what calls came to that their callers named (Idempotency-Key and the like), so that a retry gets the
-- answer of the first try. No column is yours to write, but rows are yours to delete: a retry under that name is then a new call.
-- Rows of a credential that is deleted or renamed go with it. The oldest go first when they expire or are too many.
CREATE TABLE named_call (
    -- in the order in which they came; a long outcome leaves a gap before it, because it counts as several
    id           INTEGER PRIMARY KEY NOT NULL,
    -- the credential's, also of a caller with a ticket
    user_name    TEXT NOT NULL COLLATE NOCASE,
    name         TEXT NOT NULL CONSTRAINT "named_call.name must have 1 to 255 characters" CHECK (length(name) BETWEEN 1 AND 255),
    operation    TEXT NOT NULL,
    -- SHA-256 of the operation and its arguments: under the same name another request is refused
    request_hash BLOB NOT NULL CONSTRAINT "named_call.request_hash must have 32 bytes" CHECK (length(request_hash) = 32),
    -- the call's id, as it stands in the log and in audit_event, and its time
    request_id   TEXT NOT NULL,
    at           TEXT NOT NULL,
    -- JSON, in a form of the service's own
    outcome      TEXT NOT NULL,
    UNIQUE (user_name, name)
) STRICT;

-- Kept by the database: what a row was before the statement that is changing it. See its triggers.
CREATE TABLE change (
    -- the table, and the row of it: its number; of a seat or an offer's module also the number or type, else an empty text
    subject TEXT NOT NULL,
    key     INTEGER NOT NULL,
    part    ANY NOT NULL,
    -- as in the view row_change; null: there was no such row
    before  TEXT,
    -- of a pool: event_id and events, as they were
    event_id INTEGER,
    events  INTEGER,
    PRIMARY KEY (subject, key, part),
    CONSTRAINT "a row has one note in change" CHECK (
        CASE subject WHEN 'seat' THEN typeof(part) = 'integer' WHEN 'license_offer_module' THEN typeof(part) = 'text' ELSE part = '' END)
) STRICT, WITHOUT ROWID;

-- Never has a row: its constraints refuse the INSERT of a row that exists already. They are constraints, because INSERT OR IGNORE
-- passes over those and not over RAISE.
CREATE TABLE existing (
    entity               ANY CONSTRAINT "entity exists already: change it with UPDATE; INSERT OR IGNORE passes over it" CHECK (entity IS NULL),
    credential           ANY CONSTRAINT "credential exists already (user names compare without regard to case): change it with UPDATE; INSERT OR IGNORE passes over it" CHECK (credential IS NULL),
    account              ANY CONSTRAINT "account exists already (user names compare without regard to case): change it with UPDATE; INSERT OR IGNORE passes over it" CHECK (account IS NULL),
    license_pool         ANY CONSTRAINT "license pool exists already: change it with UPDATE; INSERT OR IGNORE passes over it" CHECK (license_pool IS NULL),
    license_offer        ANY CONSTRAINT "license offer exists already: change it with UPDATE; INSERT OR IGNORE passes over it" CHECK (license_offer IS NULL),
    license_offer_module ANY CONSTRAINT "license offer module exists already: change it with UPDATE; INSERT OR IGNORE passes over it" CHECK (license_offer_module IS NULL),
    CONSTRAINT "the table existing has no rows" CHECK (0)
) STRICT;


-- GUARDS: a migration drops all views and triggers, and runs this file again from this line on.

-- text and names: rules that several tables share. A table's trigger inserts the new value into the view, whose own trigger
-- refuses it if it breaks the rule. Nothing is stored. `before` is the value that the column has now, which may stay.

CREATE VIEW text_rule (place, text, before) AS SELECT NULL, NULL, NULL WHERE 0;

-- Text that is not all printable ASCII is halved until each part is ASCII or one character. A character is valid UTF-8 if
-- its code point, written again, is the same bytes. GLOB and length() end at a NUL, so that is looked for first.
CREATE TRIGGER text_rule_insert INSTEAD OF INSERT ON text_rule
WHEN NEW.text IS NOT NEW.before AND (NEW.text GLOB '*[^ -~]*' OR instr(NEW.text, char(0))) BEGIN
    SELECT json_extract('{}', NEW.place || ' is not valid text: its bytes must be UTF-8, without NUL, U+FFFD, U+FFFE and U+FFFF')
     WHERE instr(NEW.text, char(0)) OR instr(NEW.text, char(65533)) OR instr(NEW.text, char(65534)) OR instr(NEW.text, char(65535))
        OR EXISTS (WITH RECURSIVE part (text) AS (
                       SELECT NEW.text
                       UNION ALL SELECT substr(text, 1, length(text) / 2) FROM part WHERE length(text) > 1 AND text GLOB '*[^ -~]*'
                       UNION ALL SELECT substr(text, length(text) / 2 + 1) FROM part WHERE length(text) > 1 AND text GLOB '*[^ -~]*')
                   SELECT 1 FROM part WHERE length(text) = 1 AND char(unicode(text)) <> text);
END;

-- The blanks that do not count at the ends of a name: Unicode's White_Space without the control characters.
CREATE VIEW blank (characters) AS
    SELECT char(32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287, 12288);

CREATE VIEW name_rule (place, name, before) AS SELECT NULL, NULL, NULL WHERE 0;

CREATE TRIGGER name_rule_insert INSTEAD OF INSERT ON name_rule WHEN NEW.name IS NOT NEW.before BEGIN
    SELECT json_extract('{}', NEW.place || ' must not begin or end with a blank: names compare without them')
     WHERE NEW.name <> trim(NEW.name, (SELECT characters FROM blank));
    INSERT INTO text_rule VALUES (NEW.place, NEW.name, NEW.before);
    SELECT json_extract('{}', NEW.place || ' must not contain a control character')
     WHERE NEW.name GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*';
END;

-- change: a state that exists only inside the statement ----------------------------------------------------------
--
-- Before a row changes, a trigger notes in `change` what it is; after it changed, a trigger deletes the note, and that writes
-- the event. Only between the two does a note differ from its row: a note always says what is so when it is written, a row has
-- one note only, and every change of the row begins with a new one. So "a note differs from its row" means "inside a statement
-- that changes this row", and that is when events may be written, seats come and go, and counters move. A note that agrees with
-- its row means nothing; a statement that OR IGNORE passed over may leave one. Seats that are made have had no note, those that are
-- removed lose theirs, and the service, which works with these triggers off, deletes all notes before its change ends.

-- The notes, and what their rows are now. Every column whose changes leave events stands here.
CREATE VIEW row_change (subject, key, part, before, after) AS
    SELECT subject, key, part, before, CASE subject
        WHEN 'entity' THEN (
            SELECT json_object('parent_id', parent_id, 'name', name, 'active', active, 'owner_name', owner_name,
                               'owner_description', owner_description, 'serial_nr', serial_nr, 'shop_url', shop_url,
                               'next_check_at', next_check_at, 'maintenance_at', maintenance_at, 'admin_warning_at', admin_warning_at,
                               'expires_at', expires_at, 'grace_at', grace_at, 'customer_nr', customer_nr, 'note', note)
              FROM entity WHERE id = key)
        WHEN 'credential' THEN (
            SELECT json_object('user_name', user_name, 'password_hash', password_hash, 'entity_id', entity_id, 'role', role,
                               'active', active, 'note', note)
              FROM credential WHERE credential.rowid = key)
        WHEN 'account' THEN (
            SELECT json_object('username', username, 'entity_id', entity_id, 'active', active, 'note', note)
              FROM account WHERE id = key)
        WHEN 'license_pool' THEN (
            SELECT json_object('entity_id', entity_id, 'license_type', license_type, 'seats_total', seats_total,
                               'starts_at', starts_at, 'expires_at', expires_at, 'product_key', product_key,
                               'license_data', CASE WHEN license_data IS NOT NULL THEN hex(license_data) END, 'note', note)
              FROM license_pool WHERE id = key)
        WHEN 'seat' THEN (
            SELECT json_object('account_id', account_id, 'product_key', product_key,
                               'license_data', CASE WHEN license_data IS NOT NULL THEN hex(license_data) END)
              FROM seat WHERE pool_id = key AND seat_no = part)
        WHEN 'license_offer' THEN (
            SELECT json_object('company_name', company_name, 'serial_nr', serial_nr, 'next_check_at', next_check_at,
                               'maintenance_at', maintenance_at, 'admin_warning_at', admin_warning_at, 'expires_at', expires_at,
                               'grace_at', grace_at)
              FROM license_offer WHERE entity_id = key)
        WHEN 'license_offer_module' THEN (
            SELECT json_object('seats_total', seats_total)
              FROM license_offer_module WHERE entity_id = key AND license_type = part)
        END
      FROM change;

-- INSERT INTO row_change (subject, key, part) begins a change.
CREATE TRIGGER row_change_insert INSTEAD OF INSERT ON row_change BEGIN
    DELETE FROM change WHERE subject = NEW.subject AND key = NEW.key AND part = NEW.part;
    INSERT INTO change (subject, key, part) VALUES (NEW.subject, NEW.key, NEW.part);
END;

-- Whatever the INSERT says, the note says what is so.
CREATE TRIGGER change_inserted AFTER INSERT ON change BEGIN
    SELECT RAISE(ABORT, 'there is no such seat whose change could be noted')
     WHERE NEW.subject = 'seat' AND NOT EXISTS (SELECT 1 FROM seat WHERE pool_id = NEW.key AND seat_no = NEW.part);
    UPDATE change
       SET before = (SELECT after FROM row_change WHERE subject = NEW.subject AND key = NEW.key AND part = NEW.part),
           (event_id, events) = (SELECT event_id, events FROM license_pool WHERE NEW.subject = 'license_pool' AND id = NEW.key)
     WHERE subject = NEW.subject AND key = NEW.key AND part = NEW.part;
END;

CREATE TRIGGER change_update BEFORE UPDATE ON change BEGIN
    SELECT RAISE(ABORT, 'changes are noted by the database itself')
     WHERE NEW.subject IS NOT OLD.subject OR NEW.key IS NOT OLD.key OR NEW.part IS NOT OLD.part
        OR NEW.before IS NOT (SELECT after FROM row_change WHERE subject = OLD.subject AND key = OLD.key AND part = OLD.part)
        OR NEW.event_id IS NOT (SELECT event_id FROM license_pool WHERE OLD.subject = 'license_pool' AND id = OLD.key)
        OR NEW.events IS NOT (SELECT events FROM license_pool WHERE OLD.subject = 'license_pool' AND id = OLD.key);
END;

-- Ends a change, and writes what it was.
CREATE TRIGGER change_delete BEFORE DELETE ON change BEGIN
    -- A seat that got or lost its holder.
    INSERT INTO audit_event (action, actor, request_id, reason, pool_id, seat_no, account_id, username, previous_id, pool_events)
        SELECT CASE WHEN seat.account_id IS NULL THEN 'release' ELSE 'assign' END,
               coalesce(call.actor, 'sql'), call.request_id, call.reason, pool_id, seat_no, account.id, account.username,
               license_pool.event_id, license_pool.events + 1
          FROM seat
          JOIN license_pool ON license_pool.id = pool_id
          LEFT JOIN call ON call.id = 1
          LEFT JOIN account ON account.id = coalesce(seat.account_id, json_extract(OLD.before, '$.account_id'))
         WHERE OLD.subject = 'seat' AND pool_id = OLD.key AND seat_no = OLD.part
           AND seat.account_id IS NOT json_extract(OLD.before, '$.account_id');
    -- Any other column of any table.
    INSERT INTO audit_event (action, actor, request_id, reason, entity_id, license_type, pool_id, seat_no, account_id, username,
                             old_values, new_values, previous_id, pool_events)
        WITH row (before, after, state) AS MATERIALIZED (
                SELECT before, after, coalesce(after, before) FROM row_change
                 WHERE subject = OLD.subject AND key = OLD.key AND part = OLD.part AND before IS NOT after),
             changed (old_values, new_values) AS MATERIALIZED (
                SELECT (SELECT nullif(json_group_object(key, CASE key WHEN 'password_hash' THEN 'secret' ELSE value END), '{}')
                          FROM json_each(before)
                         WHERE value IS NOT json_extract(after, fullkey) AND NOT (OLD.subject = 'seat' AND key = 'account_id')),
                       (SELECT nullif(json_group_object(key, CASE key WHEN 'password_hash' THEN 'secret' ELSE value END), '{}')
                          FROM json_each(after)
                         WHERE value IS NOT json_extract(before, fullkey) AND NOT (OLD.subject = 'seat' AND key = 'account_id'))
                  FROM row)
        SELECT CASE OLD.subject WHEN 'license_pool' THEN 'pool' WHEN 'license_offer' THEN 'offer'
                                WHEN 'license_offer_module' THEN 'offer-module' ELSE OLD.subject END
               || CASE WHEN before IS NULL THEN '-create' WHEN after IS NULL THEN '-delete' ELSE '-change' END,
               coalesce(call.actor, 'sql'), call.request_id, call.reason,
               CASE WHEN OLD.subject IN ('entity', 'license_offer', 'license_offer_module') THEN OLD.key
                    ELSE json_extract(state, '$.entity_id') END,
               CASE OLD.subject WHEN 'license_offer_module' THEN OLD.part ELSE json_extract(state, '$.license_type') END,
               CASE WHEN OLD.subject IN ('license_pool', 'seat') THEN OLD.key END,
               CASE OLD.subject WHEN 'seat' THEN OLD.part END,
               CASE OLD.subject WHEN 'account' THEN OLD.key ELSE json_extract(state, '$.account_id') END,
               CASE OLD.subject WHEN 'seat' THEN (SELECT username FROM account WHERE id = json_extract(state, '$.account_id'))
                                ELSE coalesce(json_extract(state, '$.username'), json_extract(state, '$.user_name')) END,
               old_values, new_values,
               CASE OLD.subject WHEN 'license_pool' THEN OLD.event_id WHEN 'seat' THEN license_pool.event_id END,
               CASE OLD.subject WHEN 'license_pool' THEN coalesce(OLD.events, 0) + 1 WHEN 'seat' THEN license_pool.events + 1 END
          FROM row CROSS JOIN changed
          LEFT JOIN call ON call.id = 1
          LEFT JOIN license_pool ON OLD.subject = 'seat' AND license_pool.id = OLD.key
         WHERE old_values IS NOT NULL OR new_values IS NOT NULL OR before IS NULL OR after IS NULL;
END;

-- call ---------------------------------------------------------------------------------------------------------
-- The service and `seatkeeper sql --as` write it while these triggers are switched off.

CREATE TRIGGER call_insert BEFORE INSERT ON call BEGIN
    SELECT RAISE(ABORT, 'call is written by the service: seatkeeper sql --as NAME makes changes under a name');
END;

CREATE TRIGGER call_update BEFORE UPDATE ON call BEGIN
    SELECT RAISE(ABORT, 'call is written by the service: seatkeeper sql --as NAME makes changes under a name');
END;

CREATE TRIGGER call_delete BEFORE DELETE ON call BEGIN
    SELECT RAISE(ABORT, 'call is written by the service: seatkeeper sql --as NAME makes changes under a name');
END;

-- entity -------------------------------------------------------------------------------------------------------
-- In a trigger before INSERT an id that SQLite is to choose is -1. It chooses the one after the largest.

CREATE TRIGGER entity_insert BEFORE INSERT ON entity BEGIN
    INSERT INTO existing (entity) SELECT id FROM entity WHERE id = NEW.id;
    SELECT RAISE(ABORT, 'owner_name belongs to another entity')
     WHERE EXISTS (SELECT 1 FROM entity WHERE owner_name = NEW.owner_name AND id <> NEW.id);
    SELECT RAISE(ABORT, 'owner_name cannot be SUPEROFFICE, USER or SITE: license tools mean others by them')
     WHERE NEW.owner_name IN ('SUPEROFFICE', 'USER', 'SITE');
    SELECT RAISE(ABORT, 'parent entity does not exist: insert it first')
     WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.parent_id);
    INSERT INTO text_rule VALUES ('entity.name', NEW.name, NULL), ('entity.owner_description', NEW.owner_description, NULL),
        ('entity.serial_nr', NEW.serial_nr, NULL), ('entity.shop_url', NEW.shop_url, NULL),
        ('entity.customer_nr', NEW.customer_nr, NULL), ('entity.note', NEW.note, NULL);
    INSERT INTO row_change (subject, key, part)
        SELECT 'entity', CASE WHEN NEW.id > 0 THEN NEW.id ELSE 1 + coalesce((SELECT max(id) FROM entity), 0) END, ''
         WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.id);
END;

CREATE TRIGGER entity_inserted AFTER INSERT ON entity BEGIN
    SELECT RAISE(ABORT, 'the new entity was not noted: insert it with an id')
     WHERE NOT EXISTS (SELECT 1 FROM change WHERE subject = 'entity' AND key = NEW.id);
    DELETE FROM change WHERE subject = 'entity' AND key = NEW.id;
END;

CREATE TRIGGER entity_update BEFORE UPDATE ON entity BEGIN
    SELECT RAISE(ABORT, 'the id of an entity cannot change: callers know it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'owner_name belongs to another entity')
     WHERE EXISTS (SELECT 1 FROM entity WHERE owner_name = NEW.owner_name AND id <> OLD.id);
    -- One that stands there since version 1 may stay.
    SELECT RAISE(ABORT, 'owner_name cannot be SUPEROFFICE, USER or SITE: license tools mean others by them')
     WHERE NEW.owner_name IN ('SUPEROFFICE', 'USER', 'SITE') AND NEW.owner_name IS NOT OLD.owner_name;
    SELECT RAISE(ABORT, 'parent entity does not exist: insert it first')
     WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.parent_id);
    SELECT RAISE(ABORT, 'an entity cannot be above itself: parent_id would close a circle')
     WHERE EXISTS (WITH RECURSIVE above (id) AS (
                       SELECT NEW.parent_id UNION SELECT entity.parent_id FROM entity JOIN above ON entity.id = above.id)
                   SELECT 1 FROM above WHERE id = NEW.id);
    INSERT INTO text_rule VALUES ('entity.name', NEW.name, OLD.name),
        ('entity.owner_description', NEW.owner_description, OLD.owner_description),
        ('entity.serial_nr', NEW.serial_nr, OLD.serial_nr), ('entity.shop_url', NEW.shop_url, OLD.shop_url),
        ('entity.customer_nr', NEW.customer_nr, OLD.customer_nr), ('entity.note', NEW.note, OLD.note);
    INSERT INTO row_change (subject, key, part) VALUES ('entity', OLD.id, '');
END;

CREATE TRIGGER entity_updated AFTER UPDATE ON entity BEGIN
    DELETE FROM change WHERE subject = 'entity' AND key = NEW.id;
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
    SELECT RAISE(ABORT, 'entity still has a license offer: delete it first')
     WHERE EXISTS (SELECT 1 FROM license_offer WHERE entity_id = OLD.id);
    INSERT INTO row_change (subject, key, part) VALUES ('entity', OLD.id, '');
END;

CREATE TRIGGER entity_deleted AFTER DELETE ON entity BEGIN
    DELETE FROM change WHERE subject = 'entity' AND key = OLD.id;
END;

-- credential ---------------------------------------------------------------------------------------------------

CREATE TRIGGER credential_insert BEFORE INSERT ON credential BEGIN
    INSERT INTO existing (credential) SELECT rowid FROM credential WHERE user_name = NEW.user_name OR rowid = NEW.rowid;
    SELECT RAISE(ABORT, 'credential.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    INSERT INTO name_rule VALUES ('credential.user_name', NEW.user_name, NULL);
    SELECT RAISE(ABORT, 'credential.password_hash must not contain a blank or control character')
     WHERE NEW.password_hash GLOB '*[' || char(1) || '-' || char(32) || char(127) || '-' || char(160) || ']*';
    INSERT INTO text_rule VALUES ('credential.password_hash', NEW.password_hash, NULL), ('credential.note', NEW.note, NULL);
    INSERT INTO row_change (subject, key, part)
        SELECT 'credential', CASE WHEN NEW.rowid > 0 THEN NEW.rowid ELSE 1 + coalesce((SELECT max(rowid) FROM credential), 0) END, ''
         WHERE NOT EXISTS (SELECT 1 FROM credential WHERE user_name = NEW.user_name OR rowid = NEW.rowid);
END;

CREATE TRIGGER credential_inserted AFTER INSERT ON credential BEGIN
    SELECT RAISE(ABORT, 'the new credential was not noted: insert it without a rowid')
     WHERE NOT EXISTS (SELECT 1 FROM change WHERE subject = 'credential' AND key = NEW.rowid);
    DELETE FROM change WHERE subject = 'credential' AND key = NEW.rowid;
END;

CREATE TRIGGER credential_update BEFORE UPDATE ON credential BEGIN
    SELECT RAISE(ABORT, 'the rowid of a credential cannot change') WHERE NEW.rowid IS NOT OLD.rowid;
    SELECT RAISE(ABORT, 'credential.entity_id names no entity')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    SELECT RAISE(ABORT, 'another credential has this user_name (in any case)')
     WHERE NEW.user_name <> OLD.user_name AND EXISTS (SELECT 1 FROM credential WHERE user_name = NEW.user_name);
    INSERT INTO name_rule VALUES ('credential.user_name', NEW.user_name, OLD.user_name);
    SELECT RAISE(ABORT, 'credential.password_hash must not contain a blank or control character')
     WHERE NEW.password_hash IS NOT OLD.password_hash
       AND NEW.password_hash GLOB '*[' || char(1) || '-' || char(32) || char(127) || '-' || char(160) || ']*';
    INSERT INTO text_rule VALUES ('credential.password_hash', NEW.password_hash, OLD.password_hash),
        ('credential.note', NEW.note, OLD.note);
    INSERT INTO row_change (subject, key, part) VALUES ('credential', OLD.rowid, '');
END;

-- AFTER, so that a change which OR IGNORE passes over ends no ticket.
CREATE TRIGGER credential_updated AFTER UPDATE ON credential BEGIN
    DELETE FROM ticket
     WHERE user_name = OLD.user_name
       AND (NEW.user_name <> OLD.user_name OR NEW.password_hash <> OLD.password_hash OR NEW.active = 0);
    DELETE FROM change WHERE subject = 'credential' AND key = NEW.rowid;
END;

CREATE TRIGGER credential_delete BEFORE DELETE ON credential BEGIN
    INSERT INTO row_change (subject, key, part) VALUES ('credential', OLD.rowid, '');
END;

CREATE TRIGGER credential_deleted AFTER DELETE ON credential BEGIN
    DELETE FROM ticket WHERE user_name = OLD.user_name;
    DELETE FROM change WHERE subject = 'credential' AND key = OLD.rowid;
END;

-- account ------------------------------------------------------------------------------------------------------

CREATE TRIGGER account_insert BEFORE INSERT ON account BEGIN
    INSERT INTO existing (account) SELECT id FROM account WHERE id = NEW.id OR username = NEW.username;
    SELECT RAISE(ABORT, 'account.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    INSERT INTO name_rule VALUES ('account.username', NEW.username, NULL);
    INSERT INTO text_rule VALUES ('account.note', NEW.note, NULL);
    INSERT INTO row_change (subject, key, part)
        SELECT 'account', CASE WHEN NEW.id > 0 THEN NEW.id ELSE 1 + coalesce((SELECT max(id) FROM account), 0) END, ''
         WHERE NOT EXISTS (SELECT 1 FROM account WHERE id = NEW.id OR username = NEW.username);
END;

CREATE TRIGGER account_inserted AFTER INSERT ON account BEGIN
    SELECT RAISE(ABORT, 'the new account was not noted: insert it with an id')
     WHERE NOT EXISTS (SELECT 1 FROM change WHERE subject = 'account' AND key = NEW.id);
    DELETE FROM change WHERE subject = 'account' AND key = NEW.id;
END;

CREATE TRIGGER account_update BEFORE UPDATE ON account BEGIN
    SELECT RAISE(ABORT, 'the id of an account cannot change: seats refer to it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'another account has this username (in any case)')
     WHERE EXISTS (SELECT 1 FROM account WHERE username = NEW.username AND id <> OLD.id);
    SELECT RAISE(ABORT, 'account.entity_id names no entity')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    INSERT INTO name_rule VALUES ('account.username', NEW.username, OLD.username);
    INSERT INTO text_rule VALUES ('account.note', NEW.note, OLD.note);
    INSERT INTO row_change (subject, key, part) VALUES ('account', OLD.id, '');
END;

CREATE TRIGGER account_updated AFTER UPDATE ON account BEGIN
    DELETE FROM change WHERE subject = 'account' AND key = NEW.id;
END;

CREATE TRIGGER account_delete BEFORE DELETE ON account BEGIN
    SELECT RAISE(ABORT, 'accounts are not deleted, their ids stay in the history: set active = 0');
END;

-- license_pool -------------------------------------------------------------------------------------------------

CREATE TRIGGER license_pool_insert BEFORE INSERT ON license_pool BEGIN
    INSERT INTO existing (license_pool) SELECT id FROM license_pool WHERE id = NEW.id;
    SELECT RAISE(ABORT, 'license_pool.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    SELECT RAISE(ABORT, 'seats_in_use, seats_in_use_max, event_id and events of a license pool are kept by the database: leave them out')
     WHERE NEW.seats_in_use <> 0 OR NEW.seats_in_use_max <> 0 OR NEW.event_id IS NOT NULL OR NEW.events <> 0;
    INSERT INTO text_rule VALUES ('license_pool.product_key', NEW.product_key, NULL), ('license_pool.note', NEW.note, NULL);
    INSERT INTO row_change (subject, key, part)
        SELECT 'license_pool', CASE WHEN NEW.id > 0 THEN NEW.id ELSE 1 + coalesce((SELECT max(id) FROM license_pool), 0) END, ''
         WHERE NOT EXISTS (SELECT 1 FROM license_pool WHERE id = NEW.id);
END;

CREATE TRIGGER license_pool_inserted AFTER INSERT ON license_pool BEGIN
    SELECT RAISE(ABORT, 'the new license pool was not noted: insert it with an id')
     WHERE NOT EXISTS (SELECT 1 FROM change WHERE subject = 'license_pool' AND key = NEW.id);
    INSERT INTO seat (pool_id, seat_no, license_type)
        SELECT NEW.id, n, NEW.license_type
          FROM (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < NEW.seats_total) SELECT n FROM number)
         WHERE NEW.seats_total > 0;
    SELECT RAISE(ABORT, 'the seats of the pool do not add up to its seats_total') WHERE changes() <> NEW.seats_total;
    DELETE FROM change WHERE subject = 'license_pool' AND key = NEW.id;
END;

CREATE TRIGGER license_pool_update BEFORE UPDATE ON license_pool BEGIN
    SELECT RAISE(ABORT, 'the id of a license pool cannot change: seats refer to it') WHERE NEW.id IS NOT OLD.id;
    SELECT RAISE(ABORT, 'seats_in_use, seats_in_use_max, event_id and events of a license pool are kept by the database: leave them out')
     WHERE (NEW.seats_in_use IS NOT OLD.seats_in_use OR NEW.seats_in_use_max IS NOT OLD.seats_in_use_max
            OR NEW.event_id IS NOT OLD.event_id OR NEW.events IS NOT OLD.events)
       AND NOT EXISTS (SELECT 1 FROM row_change WHERE key = OLD.id AND subject IN ('seat', 'license_pool') AND before IS NOT after);
END;

CREATE TRIGGER license_pool_change BEFORE UPDATE OF entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data, note
ON license_pool BEGIN
    SELECT RAISE(ABORT, 'a license pool cannot move to another entity: set its seats_total to 0 and insert a new pool')
     WHERE NEW.entity_id IS NOT OLD.entity_id;
    SELECT RAISE(ABORT, 'a license pool cannot change its type: set its seats_total to 0 and insert a new pool')
     WHERE NEW.license_type IS NOT OLD.license_type;
    -- RAISE takes no expression before SQLite 3.47, so the number reaches the reader as the path of a JSON error.
    SELECT json_extract('{}', 'seats_total of pool ' || OLD.id || ' cannot be ' || NEW.seats_total || ': '
                              || OLD.seats_in_use || ' seats are in use, release ' || (OLD.seats_in_use - NEW.seats_total) || ' first')
     WHERE NEW.seats_total BETWEEN 0 AND OLD.seats_in_use - 1;
    INSERT INTO text_rule VALUES ('license_pool.product_key', NEW.product_key, OLD.product_key),
        ('license_pool.note', NEW.note, OLD.note);
    INSERT INTO row_change (subject, key, part) VALUES ('license_pool', OLD.id, '');
END;

-- Makes new seats after the last, or removes the last free ones: as many as the change is large, however large the pool is.
CREATE TRIGGER license_pool_changed AFTER UPDATE OF entity_id, license_type, seats_total, starts_at, expires_at, product_key, license_data, note
ON license_pool BEGIN
    INSERT INTO seat (pool_id, seat_no, license_type)
        SELECT NEW.id, n + coalesce((SELECT max(seat_no) FROM seat WHERE pool_id = NEW.id), 0), NEW.license_type
          FROM (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < NEW.seats_total - OLD.seats_total) SELECT n FROM number)
         WHERE NEW.seats_total > OLD.seats_total;
    SELECT RAISE(ABORT, 'the seats of the pool do not add up to its seats_total')
     WHERE changes() <> max(NEW.seats_total - OLD.seats_total, 0);
    DELETE FROM seat
     WHERE NEW.seats_total < OLD.seats_total
       AND rowid IN (SELECT rowid FROM seat INDEXED BY seat_free WHERE pool_id = NEW.id AND account_id IS NULL
                      ORDER BY seat_no DESC LIMIT max(OLD.seats_total - NEW.seats_total, 0));
    SELECT RAISE(ABORT, 'the seats of the pool do not add up to its seats_total')
     WHERE changes() <> max(OLD.seats_total - NEW.seats_total, 0);
    DELETE FROM change WHERE subject = 'license_pool' AND key = NEW.id;
END;

CREATE TRIGGER license_pool_delete BEFORE DELETE ON license_pool BEGIN
    SELECT json_extract('{}', 'pool ' || OLD.id || ' cannot be deleted: ' || OLD.seats_in_use || ' seats are in use, release them first')
     WHERE OLD.seats_in_use > 0;
    INSERT INTO row_change (subject, key, part) VALUES ('license_pool', OLD.id, '');
END;

CREATE TRIGGER license_pool_deleted AFTER DELETE ON license_pool BEGIN
    DELETE FROM seat WHERE pool_id = OLD.id;
    DELETE FROM change WHERE subject = 'license_pool' AND key = OLD.id;
END;

-- seat ---------------------------------------------------------------------------------------------------------
-- Seats come and go while their pool's seats_total changes: inside the statement that changes it.

CREATE TRIGGER seat_insert BEFORE INSERT ON seat BEGIN
    SELECT RAISE(ABORT, 'seats are made by raising license_pool.seats_total, not by inserting them')
     WHERE NOT EXISTS (SELECT 1 FROM change
                        WHERE subject = 'license_pool' AND key = NEW.pool_id
                          AND json_extract(before, '$.seats_total') IS NOT (SELECT seats_total FROM license_pool WHERE id = NEW.pool_id));
END;

CREATE TRIGGER seat_delete BEFORE DELETE ON seat BEGIN
    SELECT RAISE(ABORT, 'seats are removed by lowering license_pool.seats_total, not by deleting them')
     WHERE NOT EXISTS (SELECT 1 FROM change
                        WHERE subject = 'license_pool' AND key = OLD.pool_id
                          AND json_extract(before, '$.seats_total') IS NOT (SELECT seats_total FROM license_pool WHERE id = OLD.pool_id));
    SELECT RAISE(ABORT, 'a taken seat cannot be removed: release it first') WHERE OLD.account_id IS NOT NULL;
    DELETE FROM change WHERE subject = 'seat' AND key = OLD.pool_id AND part = OLD.seat_no;
END;

CREATE TRIGGER seat_update BEFORE UPDATE ON seat BEGIN
    SELECT RAISE(ABORT, 'the pool, number and type of a seat cannot change')
     WHERE NEW.rowid IS NOT OLD.rowid OR NEW.pool_id IS NOT OLD.pool_id OR NEW.seat_no IS NOT OLD.seat_no
        OR NEW.license_type IS NOT OLD.license_type;
    SELECT RAISE(ABORT, 'seat is taken by another account: release it first (account_id = NULL)')
     WHERE OLD.account_id <> NEW.account_id;
    SELECT RAISE(ABORT, 'seat.account_id names no account: insert the account first')
     WHERE NEW.account_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account WHERE id = NEW.account_id);
    SELECT RAISE(ABORT, 'the account already holds a seat of this type')
     WHERE EXISTS (SELECT 1 FROM seat WHERE account_id = NEW.account_id AND license_type = NEW.license_type AND rowid <> OLD.rowid);
    INSERT INTO text_rule VALUES ('seat.product_key', NEW.product_key, OLD.product_key);
    INSERT INTO row_change (subject, key, part) VALUES ('seat', OLD.pool_id, OLD.seat_no);
END;

CREATE TRIGGER seat_updated AFTER UPDATE ON seat BEGIN
    UPDATE license_pool SET seats_in_use = seats_in_use + 1, seats_in_use_max = max(seats_in_use_max, seats_in_use + 1)
     WHERE id = NEW.pool_id AND OLD.account_id IS NULL AND NEW.account_id IS NOT NULL;
    UPDATE license_pool SET seats_in_use = seats_in_use - 1
     WHERE id = NEW.pool_id AND OLD.account_id IS NOT NULL AND NEW.account_id IS NULL;
    DELETE FROM change WHERE subject = 'seat' AND key = NEW.pool_id AND part = NEW.seat_no;
END;

-- license_offer ------------------------------------------------------------------------------------------------

CREATE TRIGGER license_offer_insert BEFORE INSERT ON license_offer BEGIN
    INSERT INTO existing (license_offer) SELECT entity_id FROM license_offer WHERE entity_id = NEW.entity_id;
    SELECT RAISE(ABORT, 'license_offer.entity_id names no entity: insert the entity first')
     WHERE NOT EXISTS (SELECT 1 FROM entity WHERE id = NEW.entity_id);
    INSERT INTO text_rule VALUES ('license_offer.company_name', NEW.company_name, NULL), ('license_offer.serial_nr', NEW.serial_nr, NULL);
    INSERT INTO row_change (subject, key, part)
        SELECT 'license_offer', NEW.entity_id, ''
                            WHERE NOT EXISTS (SELECT 1 FROM license_offer WHERE entity_id = NEW.entity_id);
END;

CREATE TRIGGER license_offer_inserted AFTER INSERT ON license_offer BEGIN
    DELETE FROM change WHERE subject = 'license_offer' AND key = NEW.entity_id;
END;

CREATE TRIGGER license_offer_update BEFORE UPDATE ON license_offer BEGIN
    SELECT RAISE(ABORT, 'a license offer cannot move to another entity: delete it and insert a new one')
     WHERE NEW.entity_id IS NOT OLD.entity_id;
    INSERT INTO text_rule VALUES ('license_offer.company_name', NEW.company_name, OLD.company_name),
        ('license_offer.serial_nr', NEW.serial_nr, OLD.serial_nr);
    INSERT INTO row_change (subject, key, part) VALUES ('license_offer', OLD.entity_id, '');
END;

CREATE TRIGGER license_offer_updated AFTER UPDATE ON license_offer BEGIN
    DELETE FROM change WHERE subject = 'license_offer' AND key = NEW.entity_id;
END;

CREATE TRIGGER license_offer_delete BEFORE DELETE ON license_offer BEGIN
    INSERT INTO row_change (subject, key, part) VALUES ('license_offer', OLD.entity_id, '');
END;

CREATE TRIGGER license_offer_deleted AFTER DELETE ON license_offer BEGIN
    DELETE FROM license_offer_module WHERE entity_id = OLD.entity_id;
    DELETE FROM change WHERE subject = 'license_offer' AND key = OLD.entity_id;
END;

CREATE TRIGGER license_offer_module_insert BEFORE INSERT ON license_offer_module BEGIN
    INSERT INTO existing (license_offer_module)
        SELECT rowid FROM license_offer_module
         WHERE entity_id = NEW.entity_id AND license_type = NEW.license_type OR rowid = NEW.rowid;
    SELECT RAISE(ABORT, 'the entity has no license offer: insert the row of license_offer first')
     WHERE NOT EXISTS (SELECT 1 FROM license_offer WHERE entity_id = NEW.entity_id);
    INSERT INTO row_change (subject, key, part)
        SELECT 'license_offer_module', NEW.entity_id, NEW.license_type
                            WHERE NOT EXISTS (SELECT 1 FROM license_offer_module
                                               WHERE entity_id = NEW.entity_id AND license_type = NEW.license_type OR rowid = NEW.rowid);
END;

CREATE TRIGGER license_offer_module_inserted AFTER INSERT ON license_offer_module BEGIN
    DELETE FROM change WHERE subject = 'license_offer_module' AND key = NEW.entity_id AND part = NEW.license_type;
END;

CREATE TRIGGER license_offer_module_update BEFORE UPDATE ON license_offer_module BEGIN
    SELECT RAISE(ABORT, 'the entity and type of a license offer module cannot change: delete it and insert a new one')
     WHERE NEW.entity_id IS NOT OLD.entity_id OR NEW.license_type IS NOT OLD.license_type OR NEW.rowid IS NOT OLD.rowid;
    INSERT INTO row_change (subject, key, part) VALUES ('license_offer_module', OLD.entity_id, OLD.license_type);
END;

CREATE TRIGGER license_offer_module_updated AFTER UPDATE ON license_offer_module BEGIN
    DELETE FROM change WHERE subject = 'license_offer_module' AND key = NEW.entity_id AND part = NEW.license_type;
END;

CREATE TRIGGER license_offer_module_delete BEFORE DELETE ON license_offer_module BEGIN
    INSERT INTO row_change (subject, key, part) VALUES ('license_offer_module', OLD.entity_id, OLD.license_type);
END;

CREATE TRIGGER license_offer_module_deleted AFTER DELETE ON license_offer_module BEGIN
    DELETE FROM change WHERE subject = 'license_offer_module' AND key = OLD.entity_id AND part = OLD.license_type;
END;

-- ticket -------------------------------------------------------------------------------------------------------

CREATE TRIGGER ticket_insert BEFORE INSERT ON ticket BEGIN
    SELECT RAISE(ABORT, 'ticket exists already: every sign-in makes a new one')
     WHERE EXISTS (SELECT 1 FROM ticket WHERE id = NEW.id OR rowid = NEW.rowid);
    SELECT RAISE(ABORT, 'ticket.user_name names no active credential')
     WHERE NOT EXISTS (SELECT 1 FROM credential WHERE user_name = NEW.user_name AND active = 1);
END;

CREATE TRIGGER ticket_update BEFORE UPDATE ON ticket BEGIN
    SELECT RAISE(ABORT, 'of a ticket only expires_at can change')
     WHERE NEW.id IS NOT OLD.id OR NEW.secret_hash IS NOT OLD.secret_hash OR NEW.user_name IS NOT OLD.user_name COLLATE BINARY
        OR NEW.rowid IS NOT OLD.rowid;
END;

-- named_call ---------------------------------------------------------------------------------------------------

CREATE TRIGGER named_call_insert BEFORE INSERT ON named_call BEGIN
    SELECT RAISE(ABORT, 'named calls are kept by the service; rows can only be deleted by hand');
END;

CREATE TRIGGER named_call_update BEFORE UPDATE ON named_call BEGIN
    SELECT RAISE(ABORT, 'named calls are kept by the service; rows can only be deleted by hand');
END;

CREATE TRIGGER named_call_credential_updated AFTER UPDATE ON credential WHEN NEW.user_name <> OLD.user_name BEGIN
    DELETE FROM named_call WHERE user_name = OLD.user_name;
END;

CREATE TRIGGER named_call_credential_deleted AFTER DELETE ON credential BEGIN
    DELETE FROM named_call WHERE user_name = OLD.user_name;
END;

-- audit_event --------------------------------------------------------------------------------------------------

CREATE TRIGGER audit_event_insert BEFORE INSERT ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events are written by the database itself')
     WHERE NOT EXISTS (SELECT 1 FROM row_change WHERE before IS NOT after) OR NEW.hash IS NOT NULL;
END;

CREATE TRIGGER audit_event_inserted AFTER INSERT ON audit_event BEGIN
    UPDATE license_pool SET event_id = NEW.id, events = NEW.pool_events WHERE id = NEW.pool_id;
END;

CREATE TRIGGER audit_event_update BEFORE UPDATE ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events cannot be changed');
END;

CREATE TRIGGER audit_event_delete BEFORE DELETE ON audit_event BEGIN
    SELECT RAISE(ABORT, 'audit events cannot be deleted');
END;

-- audit_archive ------------------------------------------------------------------------------------------------

CREATE TRIGGER audit_archive_insert BEFORE INSERT ON audit_archive BEGIN
    SELECT RAISE(ABORT, 'audit_archive is written by seatkeeper audit archive');
END;

CREATE TRIGGER audit_archive_update BEFORE UPDATE ON audit_archive BEGIN
    SELECT RAISE(ABORT, 'audit_archive is written by seatkeeper audit archive');
END;

CREATE TRIGGER audit_archive_delete BEFORE DELETE ON audit_archive BEGIN
    SELECT RAISE(ABORT, 'audit_archive is written by seatkeeper audit archive');
END;
