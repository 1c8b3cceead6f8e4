-- SQL that would break what the database promises. Each paragraph is one attempt, tried on a fresh copy of the data in
-- it/hostile_sql.rs, by `seatkeeper sql` and by the stock sqlite3 shell. Its comment says what it tries, and
--
--   expect: ...   a part of the message that refuses it; "nothing": SQLite passes over it silently and changes nothing
--   ours: ...     the same for `seatkeeper sql`, where that has a guard of its own in front of the schema's
--   only: ours    not for the stock shell: what refuses it is not the schema but `seatkeeper sql` itself
--
-- Whatever an attempt is told, every row of every table must be as it was.


-- A row that is there, replaced: OR REPLACE deletes what is in the way without asking and without a delete trigger.

-- the entity that everything hangs on
-- expect: entity exists already
INSERT OR REPLACE INTO entity (id, name) VALUES (1, 'Mine now');

-- the same by the rowid's other name
-- expect: entity exists already
REPLACE INTO entity (oid, name) VALUES (42, 'Mine now');

-- an entity in the way by its owner name
-- expect: owner_name belongs to another entity
REPLACE INTO entity (id, name, owner_name) VALUES (77, 'Contoso Two', 'CONTOSO');

-- a credential of the same name
-- expect: credential exists already
INSERT OR REPLACE INTO credential SELECT user_name, password_hash, entity_id, 'admin', 1, NULL FROM credential WHERE user_name = 'agent';

-- a credential in other letters
-- expect: credential exists already
REPLACE INTO credential SELECT 'AGENT', password_hash, entity_id, 'reader', 0, NULL FROM credential WHERE user_name = 'agent';

-- an account by its id
-- expect: account exists already
INSERT OR REPLACE INTO account (id, username, entity_id) VALUES (1, 'somebody-else', 42);

-- an account by its name in other letters
-- expect: account exists already
REPLACE INTO account (username, entity_id) VALUES ('BACKUP01', 43);

-- a pool in use, to make it larger
-- expect: license pool exists already
INSERT OR REPLACE INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 500);

-- a pool by the rowid's other name, with another type
-- expect: license pool exists already
REPLACE INTO license_pool (_rowid_, entity_id, license_type, seats_total) VALUES (2, 42, 'SqlBackup', 3);

-- a taken seat, with a free one of the same number
-- expect: seats are made by raising license_pool.seats_total
INSERT OR REPLACE INTO seat (pool_id, seat_no, license_type) VALUES (1, 1, 'SqlBackup');

-- a taken seat, with one that another account holds
-- expect: seats are made by raising license_pool.seats_total
REPLACE INTO seat (pool_id, seat_no, license_type, account_id) VALUES (1, 1, 'SqlBackup', 4);

-- the newest event, which no later one would betray
-- expect: audit events are written by the database itself
REPLACE INTO audit_event (id, action, actor, pool_id) SELECT id, 'pool-change', 'sql', 1 FROM audit_event ORDER BY id DESC LIMIT 1;

-- an old event
-- expect: audit events are written by the database itself
INSERT OR REPLACE INTO audit_event (id, action, actor, pool_id) VALUES (1, 'pool-change', 'sql', 1);

-- the note of a change, to make it seem under way
-- expect: nothing
REPLACE INTO change (subject, key, part, before) VALUES ('license_pool', 1, '', '{"seats_total":1}');

-- an offer
-- expect: license offer exists already
INSERT OR REPLACE INTO license_offer (entity_id, company_name) VALUES (42, 'Mine now');

-- by the rowid's other name
-- expect: license offer exists already
REPLACE INTO license_offer (rowid) VALUES (44);

-- the seats of an offer
-- expect: license offer module exists already
INSERT OR REPLACE INTO license_offer_module VALUES (42, 'SqlBackup', 10000000);

-- the ticket of somebody else
-- expect: ticket exists already
-- ours: not authorized
INSERT OR REPLACE INTO ticket SELECT id, secret_hash, 'operator', expires_at FROM ticket WHERE user_name = 'agent';

-- the same with delete triggers on, and foreign keys off where they are on
-- expect: license pool exists already
PRAGMA recursive_triggers = ON;
PRAGMA foreign_keys = OFF;
REPLACE INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 500);


-- UPSERT: an INSERT that turns into an UPDATE.

-- an entity to another parent
-- expect: entity exists already
INSERT INTO entity (id, name) VALUES (42, 'x') ON CONFLICT (id) DO UPDATE SET parent_id = 4200;

-- a pool to another size
-- expect: license pool exists already
INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 0)
    ON CONFLICT (id) DO UPDATE SET seats_total = excluded.seats_total;

-- an offer to other values
-- expect: license offer exists already
INSERT INTO license_offer (entity_id) VALUES (42) ON CONFLICT DO UPDATE SET company_name = 'x';

-- a ticket to another secret
-- expect: ticket exists already
-- ours: not authorized
INSERT INTO ticket SELECT * FROM ticket WHERE user_name = 'agent' ON CONFLICT DO UPDATE SET secret_hash = zeroblob(32);

-- a taken seat to another holder
-- expect: seats are made by raising license_pool.seats_total
INSERT INTO seat (pool_id, seat_no, license_type, account_id) VALUES (1, 1, 'SqlBackup', 4)
    ON CONFLICT (pool_id, seat_no) DO UPDATE SET account_id = excluded.account_id;

-- an account to another name
-- expect: account exists already
INSERT INTO account (id, username, entity_id) VALUES (1, 'x', 42) ON CONFLICT DO UPDATE SET username = 'x';


-- Taking seats that are taken.

-- from the one who holds it
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- with OR REPLACE
-- expect: seat is taken by another account: release it first
UPDATE OR REPLACE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- with OR IGNORE
-- expect: seat is taken by another account: release it first
UPDATE OR IGNORE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- two holders changing places
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = CASE account_id WHEN 1 THEN 2 ELSE 1 END WHERE account_id IN (1, 2) AND pool_id = 1;

-- every seat for one account
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = 4;

-- every free seat for one account
-- expect: the account already holds a seat of this type
UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND account_id IS NULL;

-- the same, hoping that the first is kept
-- expect: the account already holds a seat of this type
UPDATE OR FAIL seat SET account_id = 4 WHERE pool_id = 1 AND account_id IS NULL;

-- every account at once
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = seat_no + 1 WHERE pool_id = 1;


-- More seats for an account than it may hold.

-- a second seat of the type in the same pool
-- expect: the account already holds a seat of this type
UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 5;

-- and in another pool
-- expect: the account already holds a seat of this type
UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 1;

-- with OR REPLACE, which would delete the first of the two
-- expect: the account already holds a seat of this type
UPDATE OR REPLACE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 5;

-- with OR REPLACE, delete triggers on or off
-- expect: the account already holds a seat of this type
PRAGMA recursive_triggers = OFF;
UPDATE OR REPLACE seat SET account_id = 2 WHERE pool_id = 4 AND seat_no = 2;

-- by calling the seat one of another type
-- expect: the pool, number and type of a seat cannot change
UPDATE seat SET license_type = 'ExchangeBackup', account_id = 2 WHERE pool_id = 1 AND seat_no = 5;

-- by the same account in other letters
-- expect: account exists already
INSERT INTO account (username, entity_id) VALUES ('backup01', 42);

-- by giving another account that name in other letters
-- expect: another account has this username (in any case)
UPDATE account SET username = 'bACKUP01' WHERE id = 4;

-- the same with OR REPLACE, which would delete the account
-- expect: another account has this username (in any case)
UPDATE OR REPLACE account SET username = 'backup01' WHERE id = 4;

-- an account that does not exist
-- expect: seat.account_id names no account
UPDATE seat SET account_id = 999 WHERE pool_id = 1 AND seat_no = 5;

-- an account that could never exist
-- expect: seat.account_id names no account
UPDATE seat SET account_id = -1 WHERE pool_id = 1 AND seat_no = 5;


-- More seats than were bought.

-- one more by hand
-- expect: seats are made by raising license_pool.seats_total
INSERT INTO seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- one that is taken from the start
-- expect: seats are made by raising license_pool.seats_total
INSERT INTO seat (pool_id, seat_no, license_type, account_id) VALUES (1, 6, 'SqlBackup', 4);

-- of a pool that does not exist
-- expect: seats are made by raising license_pool.seats_total
INSERT INTO seat (pool_id, seat_no, license_type) VALUES (99, 1, 'SqlBackup');

-- by pretending that the pool is being changed
-- expect: seats are made by raising license_pool.seats_total
INSERT INTO change (subject, key, part, before) VALUES ('license_pool', 1, '', '{"seats_total":1}');
INSERT INTO seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- the same for a pool that does not exist
-- expect: seats are made by raising license_pool.seats_total
INSERT OR IGNORE INTO row_change (subject, key, part, before) VALUES ('license_pool', 99, '', '{"seats_total":1}');
INSERT OR IGNORE INTO seat (pool_id, seat_no, license_type) VALUES (99, 1, 'SqlBackup');

-- with a table of that name which the triggers might look into
-- expect: seats are made by raising license_pool.seats_total
CREATE TEMP TABLE change (subject, key, part, before);
INSERT INTO temp.change VALUES ('license_pool', 1, '', '{"seats_total":1}');
INSERT INTO main.seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- with a table of another name which the triggers might look into instead
-- expect: seats are made by raising license_pool.seats_total
CREATE TEMP TABLE license_pool AS SELECT id, seats_total + 1 AS seats_total FROM main.license_pool;
INSERT INTO main.change (subject, key, part) VALUES ('license_pool', 1, '');
INSERT INTO main.seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- a note, changed afterwards
-- expect: changes are noted by the database itself
INSERT INTO change (subject, key, part) VALUES ('license_pool', 1, '');
UPDATE change SET before = '{"seats_total":1}';

-- with OR REPLACE, and for another row
-- expect: changes are noted by the database itself
INSERT INTO change (subject, key, part) VALUES ('license_pool', 1, ''), ('license_pool', 2, '');
UPDATE OR REPLACE change SET key = 2 WHERE key = 1;

-- a note of another history of the pool
-- expect: changes are noted by the database itself
INSERT INTO change (subject, key, part, event_id, events) VALUES ('license_pool', 1, '', 1, 1);
UPDATE change SET event_id = 1;

-- a note that is left over when the pool shrinks by hand and fails
-- expect: seats are removed by lowering license_pool.seats_total
UPDATE OR IGNORE license_pool SET seats_total = 10000001 WHERE id = 1;
DELETE FROM seat WHERE pool_id = 1 AND account_id IS NULL;

-- notes that are none
-- expect: nothing
INSERT INTO change (subject, key, part, before) VALUES ('license_pool', 99, '', NULL), ('seat', 1, 2, '{}'), ('ticket', 1, '', 'z');
DELETE FROM change;

-- a second note of a row, which the row's next change does not take away: a text for the number
-- expect: audit events are written by the database itself
BEGIN;
INSERT INTO row_change (subject, key, part) VALUES ('account', '1', '');
UPDATE account SET note = 'x' WHERE id = 1;
INSERT INTO audit_event (action, actor) VALUES ('assign', 'agent');
ROLLBACK;

-- a second part where there is none
-- expect: a row has one note in change
INSERT INTO row_change (subject, key, part) VALUES ('license_pool', 1, 'again');

-- a text for the number of the seat
-- expect: a row has one note in change
INSERT OR REPLACE INTO change (subject, key, part) VALUES ('seat', 1, '5');

-- a key that is no number
-- expect: cannot store TEXT value in INTEGER column change.key
INSERT INTO change (subject, key, part) VALUES ('license_pool', 'x', '');

-- the note of a seat that then goes with its pool's last free seats
-- expect: audit events are written by the database itself
BEGIN;
INSERT INTO row_change (subject, key, part) VALUES ('seat', 1, 5);
UPDATE license_pool SET seats_total = 4 WHERE id = 1;
INSERT INTO audit_event (action, actor) VALUES ('assign', 'agent');
ROLLBACK;

-- the same, and then the counters
-- expect: of a license pool are kept by the database
BEGIN;
INSERT INTO row_change (subject, key, part) VALUES ('seat', 1, 5);
UPDATE license_pool SET seats_total = 4 WHERE id = 1;
UPDATE license_pool SET seats_in_use = 0 WHERE id = 1;
ROLLBACK;

-- or with the whole pool
-- expect: audit events are written by the database itself
BEGIN;
INSERT INTO row_change (subject, key, part) VALUES ('seat', 3, 1);
DELETE FROM license_pool WHERE id = 3;
INSERT INTO audit_event (action, actor) VALUES ('assign', 'agent');
ROLLBACK;

-- the note of a seat that is yet to come
-- expect: there is no such seat
INSERT INTO row_change (subject, key, part) VALUES ('seat', 1, 6);

-- beyond the bound
-- expect: license_pool.seats_total must be between 0 and 10000000
UPDATE license_pool SET seats_total = 10000001 WHERE id = 1;

-- a new pool beyond the bound
-- expect: license_pool.seats_total must be between 0 and 10000000
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 10000001);

-- beyond the bound, passed over
-- expect: nothing
UPDATE OR IGNORE license_pool SET seats_total = 10000001 WHERE id = 1;

-- a number that is none
-- expect: cannot store TEXT value in INTEGER column license_pool.seats_total
UPDATE license_pool SET seats_total = 'unlimited' WHERE id = 3;

-- without a number
-- expect: NOT NULL constraint failed: license_pool.seats_total
UPDATE OR REPLACE license_pool SET seats_total = NULL WHERE id = 1;


-- Fewer seats than are in use.

-- by one too many
-- expect: seats_total of pool 1 cannot be 2: 3 seats are in use, release 1 first
UPDATE license_pool SET seats_total = 2 WHERE id = 1;

-- none at all
-- expect: seats_total of pool 1 cannot be 0: 3 seats are in use, release 3 first
UPDATE OR IGNORE license_pool SET seats_total = 0 WHERE id = 1;

-- in two pools, hoping that the first is kept
-- expect: seats_total of pool 2 cannot be 0: 1 seats are in use, release 1 first
UPDATE OR FAIL license_pool SET seats_total = CASE id WHEN 1 THEN 4 ELSE 0 END WHERE id <= 2;

-- below zero, with seats in use
-- expect: license_pool.seats_total must be between 0 and 10000000
UPDATE license_pool SET seats_total = -1 WHERE id = 1;

-- below zero, with none in use
-- expect: license_pool.seats_total must be between 0 and 10000000
UPDATE license_pool SET seats_total = -1 WHERE id = 3;

-- a new pool below zero
-- expect: license_pool.seats_total must be between 0 and 10000000
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', -1);

-- a free seat by hand
-- expect: seats are removed by lowering license_pool.seats_total
DELETE FROM seat WHERE pool_id = 1 AND seat_no = 5;

-- a taken seat
-- expect: seats are removed by lowering license_pool.seats_total
DELETE FROM seat WHERE pool_id = 1 AND seat_no = 1;

-- all seats
-- expect: seats are removed by lowering license_pool.seats_total
DELETE FROM seat;

-- a pool in use
-- expect: pool 1 cannot be deleted: 3 seats are in use, release them first
DELETE FROM license_pool WHERE id = 1;

-- all pools
-- expect: seats are in use, release them first
DELETE FROM license_pool;


-- What others refer to, deleted.

-- an account that holds seats
-- expect: accounts are not deleted, their ids stay in the history
DELETE FROM account WHERE id = 1;

-- an account that holds none
-- expect: accounts are not deleted, their ids stay in the history
DELETE FROM account WHERE id = 5;

-- an entity with others below it
-- expect: entity still has entities below it
DELETE FROM entity WHERE id = 42;

-- an entity with pools
-- expect: entity still owns license pools
DELETE FROM entity WHERE id = 43;

-- an entity with accounts
-- expect: entity still has accounts
DELETE FROM entity WHERE id = 4200;

-- an entity with credentials
-- expect: entity still has credentials
DELETE FROM entity WHERE id = 421;

-- an entity with an offer
-- expect: entity still has a license offer: delete it first
DELETE FROM entity WHERE id = 44;

-- all entities, from the bottom
-- expect: entity still
DELETE FROM entity WHERE id IN (SELECT id FROM entity ORDER BY id DESC);


-- What others refer to, renamed.

-- the id of an entity
-- expect: the id of an entity cannot change
UPDATE entity SET id = 99 WHERE id = 42;

-- by the rowid's other names, which UPDATE OF id does not see
-- expect: the id of an entity cannot change
UPDATE entity SET rowid = 99 WHERE id = 42;

-- the id of an account
-- expect: the id of an account cannot change
UPDATE account SET id = 99 WHERE id = 1;

-- by another name
-- expect: the id of an account cannot change
UPDATE account SET _rowid_ = 99 WHERE id = 1;

-- into the place of another
-- expect: the id of an account cannot change
UPDATE OR REPLACE account SET id = 2 WHERE id = 1;

-- the id of a pool in use
-- expect: the id of a license pool cannot change
UPDATE license_pool SET id = 99 WHERE id = 1;

-- by another name
-- expect: the id of a license pool cannot change
UPDATE license_pool SET oid = 99 WHERE id = 3;

-- into the place of another
-- expect: the id of a license pool cannot change
UPDATE OR REPLACE license_pool SET id = 2 WHERE id = 1;

-- the owner of a pool
-- expect: a license pool cannot move to another entity
UPDATE license_pool SET entity_id = 43 WHERE id = 1;

-- the type of a pool
-- expect: a license pool cannot change its type
UPDATE license_pool SET license_type = 'ExchangeBackup' WHERE id = 1;

-- the type of a pool without use, into none of the three
-- expect: a license pool cannot change its type
UPDATE OR IGNORE license_pool SET license_type = 'sqlbackup' WHERE id = 3;

-- the type of a seat
-- expect: the pool, number and type of a seat cannot change
UPDATE seat SET license_type = 'ExchangeBackup' WHERE pool_id = 1;

-- the entity of an offer
-- expect: a license offer cannot move to another entity
UPDATE license_offer SET entity_id = 43 WHERE entity_id = 42;

-- by another name
-- expect: a license offer cannot move to another entity
UPDATE license_offer SET _rowid_ = 43 WHERE entity_id = 42;

-- into the place of another
-- expect: a license offer cannot move to another entity
UPDATE OR REPLACE license_offer SET entity_id = 44 WHERE entity_id = 42;

-- the entity of offered seats
-- expect: the entity and type of a license offer module cannot change
UPDATE license_offer_module SET entity_id = 44;

-- the type of offered seats, into the place of others
-- expect: the entity and type of a license offer module cannot change
UPDATE OR REPLACE license_offer_module SET license_type = 'ExchangeBackup' WHERE license_type = 'SqlBackup';

-- the id of a ticket
-- expect: of a ticket only expires_at can change
UPDATE ticket SET id = '0d6f6f0f-0000-4000-8000-00000000000c' WHERE user_name = 'agent';

-- into the place of another
-- expect: of a ticket only expires_at can change
UPDATE OR REPLACE ticket SET id = '0d6f6f0f-0000-4000-8000-00000000000b' WHERE user_name = 'agent';

-- the user of a ticket
-- expect: of a ticket only expires_at can change
UPDATE ticket SET user_name = 'operator' WHERE user_name = 'agent';

-- the user of a ticket, passed over
-- expect: of a ticket only expires_at can change
UPDATE OR IGNORE ticket SET user_name = 'gone';

-- the secret of a ticket
-- expect: of a ticket only expires_at can change
UPDATE ticket SET secret_hash = randomblob(32), expires_at = '2099-12-31T00:00:00Z';

-- the number of a seat
-- expect: the pool, number and type of a seat cannot change
UPDATE seat SET seat_no = 99 WHERE pool_id = 1 AND seat_no = 5;

-- the number of a seat, into the place of a taken one
-- expect: the pool, number and type of a seat cannot change
UPDATE OR REPLACE seat SET seat_no = 1 WHERE pool_id = 1 AND seat_no = 5;

-- the pool of a free seat
-- expect: the pool, number and type of a seat cannot change
UPDATE seat SET pool_id = 4, seat_no = 99 WHERE pool_id = 1 AND seat_no = 5;


-- Names that stand for nothing, and trees that are none.

-- a pool of nobody
-- expect: license_pool.entity_id names no entity
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (999, 'SqlBackup', 1);

-- an account of nobody
-- expect: account.entity_id names no entity
INSERT INTO account (username, entity_id) VALUES ('stray', 999);

-- an account moved to nobody
-- expect: account.entity_id names no entity
UPDATE account SET entity_id = 999 WHERE id = 1;

-- a credential of nobody
-- expect: credential.entity_id names no entity
INSERT INTO credential SELECT 'stray', password_hash, 999, 'agent', 1, NULL FROM credential WHERE user_name = 'agent';

-- a credential moved to nobody
-- expect: credential.entity_id names no entity
UPDATE credential SET entity_id = 999 WHERE user_name = 'agent';

-- two credentials of one name
-- expect: another credential has this user_name (in any case)
UPDATE OR REPLACE credential SET user_name = 'AGENT' WHERE user_name = 'operator';

-- an offer for nobody
-- expect: license_offer.entity_id names no entity
INSERT INTO license_offer (entity_id) VALUES (999);

-- an offer for whoever comes next
-- expect: license_offer.entity_id names no entity
INSERT OR IGNORE INTO license_offer (entity_id) VALUES (NULL);

-- seats without an offer
-- expect: the entity has no license offer: insert the row of license_offer first
INSERT INTO license_offer_module VALUES (43, 'SqlBackup', 5);

-- seats of no offer at all
-- expect: the entity has no license offer: insert the row of license_offer first
INSERT OR IGNORE INTO license_offer_module VALUES (NULL, 'SqlBackup', 5);

-- a ticket for nobody
-- expect: ticket.user_name names no active credential
-- ours: not authorized
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'stray', '2099-01-01T00:00:00Z');

-- a ticket for a credential that is locked out
-- expect: ticket.user_name names no active credential
-- ours: not authorized
INSERT OR IGNORE INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'GONE', '2099-01-01T00:00:00Z');

-- a ticket for somebody, by hand
-- expect: not authorized
-- only: ours
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');

-- a session for somebody
-- expect: sessions are kept by the service
-- ours: not authorized
INSERT OR IGNORE INTO session VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'agent', '2026-01-01T00:00:00Z', '2099-01-01T00:00:00Z', '2099-01-01T00:00:00Z', NULL);

-- a refusal that never was
-- expect: refusals are kept by the service
-- ours: not authorized
INSERT INTO refusal (at, request_id, operation, code, message) VALUES ('2026-01-01T00:00:00Z', 'r', 'o', 'c', 'm');

-- a use of a credential that never was
-- expect: uses of credentials are kept by the service
-- ours: not authorized
INSERT OR REPLACE INTO credential_use (user_name) VALUES ('agent');

-- a backup that was never made
-- expect: upkeep is written by the service
-- ours: not authorized
INSERT INTO upkeep VALUES ('backup', '2026-01-01T00:00:00Z', NULL);

-- an entity below none
-- expect: parent entity does not exist
INSERT INTO entity (id, parent_id, name) VALUES (77, 999, 'Orphan');

-- an entity below itself from the start
-- expect: parent entity does not exist
INSERT INTO entity (id, parent_id, name) VALUES (77, 77, 'Ouroboros');

-- an entity moved below none
-- expect: parent entity does not exist
UPDATE entity SET parent_id = 999 WHERE id = 420;

-- an entity moved below itself
-- expect: an entity cannot be above itself
UPDATE entity SET parent_id = 42 WHERE id = 42;

-- a circle of two
-- expect: an entity cannot be above itself
UPDATE entity SET parent_id = 420 WHERE id = 42;

-- a circle of four
-- expect: an entity cannot be above itself
UPDATE entity SET parent_id = 4200 WHERE id = 1;

-- a circle of two in one statement
-- expect: an entity cannot be above itself
UPDATE entity SET parent_id = CASE id WHEN 42 THEN 43 ELSE 42 END WHERE id IN (42, 43);

-- a circle that OR REPLACE or OR IGNORE might close
-- expect: an entity cannot be above itself
UPDATE OR IGNORE entity SET parent_id = 4200 WHERE id = 42;
UPDATE OR REPLACE entity SET parent_id = 4200 WHERE id = 42;

-- two owners of one name
-- expect: owner_name belongs to another entity
UPDATE OR REPLACE entity SET owner_name = 'CONTOSO' WHERE id = 43;


-- Values that are not of their kind.

-- an id beyond what fits on the wire
-- expect: entity.id must be between 1 and 2147483647
INSERT INTO entity (id, name) VALUES (2147483648, 'Too far');

-- an id that is none
-- expect: entity.id must be between 1 and 2147483647
INSERT INTO entity (id, name) VALUES (0, 'Nothing');

-- a day without a time
-- expect: license_pool.expires_at must be UTC like 2027-01-31T00:00:00Z
UPDATE license_pool SET expires_at = '2027-01-31' WHERE id = 1;

-- a day that February does not have
-- expect: license_pool.expires_at must be UTC like 2027-01-31T00:00:00Z
UPDATE license_pool SET expires_at = '2027-02-30T00:00:00Z' WHERE id = 1;

-- an hour that no day has
-- expect: license_pool.expires_at must be UTC like 2027-01-31T00:00:00Z
UPDATE license_pool SET expires_at = '2027-01-31T24:00:00Z' WHERE id = 1;

-- a local time
-- expect: license_pool.starts_at must be UTC like 2027-01-31T00:00:00Z
UPDATE license_pool SET starts_at = '2027-01-31T00:00:00+02:00' WHERE id = 1;

-- a time that is another one tomorrow
-- expect: non-deterministic use of strftime() in a CHECK constraint
UPDATE license_pool SET starts_at = 'now' WHERE id = 1;

-- a time before time, which SQLite writes the same way but which sorts after all others
-- expect: license_pool.starts_at must be UTC like 2027-01-31T00:00:00Z
UPDATE license_pool SET starts_at = '-4712-01-01T00:00:00Z' WHERE id = 1;

-- a time with a fraction
-- expect: entity.expires_at must be UTC like 2027-01-31T00:00:00Z
UPDATE entity SET expires_at = '2027-01-31T00:00:00.5Z' WHERE id = 42;

-- the end before the beginning
-- expect: license_pool.starts_at must be before expires_at
UPDATE license_pool SET starts_at = '2027-01-31T00:00:00Z', expires_at = '2026-01-31T00:00:00Z' WHERE id = 1;

-- a license type that is none
-- expect: license_pool.license_type must be SkraftDiskImageV5, SqlBackup or ExchangeBackup
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'OracleBackup', 1);

-- a license type in other letters
-- expect: license_pool.license_type must be SkraftDiskImageV5, SqlBackup or ExchangeBackup
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'SQLBACKUP', 1);

-- a password as it is
-- expect: credential.password_hash must be an argon2id PHC string
UPDATE credential SET password_hash = 'S3cret!pass' WHERE user_name = 'agent';

-- a hash of another kind
-- expect: credential.password_hash must be an argon2id PHC string
INSERT INTO credential VALUES ('other', '$2b$12$abcdefghijklmnopqrstuv', 42, 'agent', 1, NULL);

-- a role that is none
-- expect: credential.role must be reader, agent or admin
UPDATE credential SET role = 'root' WHERE user_name = 'agent';

-- a name without letters
-- expect: account.username must have 1 to 128 characters
INSERT INTO account (username, entity_id) VALUES ('', 42);

-- a name that is too long
-- expect: account.username must have 1 to 128 characters
UPDATE account SET username = hex(zeroblob(65)) WHERE id = 5;

-- a name with a line break, a byte of zero, a control character beyond ASCII
-- expect: control character
INSERT OR IGNORE INTO account (username, entity_id) VALUES ('line' || char(10) || 'break', 42);
INSERT OR IGNORE INTO account (username, entity_id) VALUES ('zero' || char(0) || 'byte', 42);
INSERT INTO account (username, entity_id) VALUES ('next' || char(133) || 'line', 42);

-- names that license tools give to others
-- expect: owner_name cannot be SUPEROFFICE, USER or SITE
INSERT OR IGNORE INTO entity (id, name, owner_name) VALUES (77, 'Tools', 'USER');

-- and by change, however it is written
-- expect: owner_name cannot be SUPEROFFICE, USER or SITE
UPDATE OR REPLACE entity SET owner_name = 'SUPER' || 'OFFICE' WHERE id = 43;

-- in other letters
-- expect: entity.owner_name must be A-Z and 0-9 only
UPDATE entity SET owner_name = 'Site' WHERE id = 43;

-- a company without a name
-- expect: license_offer.company_name must have 1 to 255 characters
UPDATE license_offer SET company_name = '' WHERE entity_id = 42;

-- a day that February does not have
-- expect: license_offer.expires_at must be UTC like 2027-01-31T00:00:00Z
UPDATE license_offer SET expires_at = '2027-02-30T00:00:00Z' WHERE entity_id = 42;

-- a day without a time
-- expect: license_offer.next_check_at must be UTC like 2027-01-31T00:00:00Z
INSERT INTO license_offer (entity_id, next_check_at) VALUES (43, '2027-01-31');

-- an offer of fewer seats than none
-- expect: license_offer_module.seats_total must be between 0 and 10000000
UPDATE license_offer_module SET seats_total = -1 WHERE entity_id = 42;

-- beyond the bound
-- expect: license_offer_module.seats_total must be between 0 and 10000000
INSERT INTO license_offer_module VALUES (44, 'SqlBackup', 10000001);

-- seats of no number
-- expect: NOT NULL constraint failed: license_offer_module.seats_total
INSERT INTO license_offer_module (entity_id, license_type) VALUES (44, 'SqlBackup');

-- seats of a type that is none
-- expect: license_offer_module.license_type must be SkraftDiskImageV5, SqlBackup or ExchangeBackup
INSERT INTO license_offer_module VALUES (44, 'sqlbackup', 1);

-- a ticket in capitals
-- expect: ticket.id must be a UUID in small letters
-- ours: not authorized
INSERT INTO ticket VALUES ('0D6F6F0F-0000-4000-8000-00000000000C', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');

-- a ticket of as many characters
-- expect: ticket.id must be a UUID in small letters
-- ours: not authorized
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-0000000000--', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');

-- a secret as it is
-- expect: cannot store TEXT value in BLOB column ticket.secret_hash
-- ours: not authorized
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', 'S3cret!pass', 'agent', '2099-01-01T00:00:00Z');

-- a hash cut short
-- expect: ticket.secret_hash must have 32 bytes
-- ours: not authorized
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(31), 'agent', '2099-01-01T00:00:00Z');

-- a ticket for ever
-- expect: NOT NULL constraint failed: ticket.expires_at
UPDATE OR REPLACE ticket SET expires_at = NULL;

-- a ticket until some day
-- expect: ticket.expires_at must be UTC like 2027-01-31T00:00:00Z
UPDATE ticket SET expires_at = '9999';

-- an owner name in small letters
-- expect: entity.owner_name must be A-Z and 0-9 only
UPDATE entity SET owner_name = 'contoso' WHERE id = 43;

-- History, made up.

-- an assignment that did not happen
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor, pool_id, seat_no, account_id, username) VALUES ('assign', 'agent', 1, 5, 4, 'backup04');

-- a beginning of the history that is elsewhere
-- expect: audit_archive is written by seatkeeper audit archive
INSERT INTO audit_archive VALUES (1, 1, 1, '2026-01-01T00:00:00.000Z', zeroblob(32), NULL, 'moved.db');

-- an event with a hash
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor, hash) VALUES ('entity-create', 'sql', zeroblob(32));

-- the hash of an event
-- expect: audit events cannot be changed
UPDATE audit_event SET hash = zeroblob(32);

-- no hash, where there is one or not
-- expect: audit events cannot be changed
UPDATE OR IGNORE audit_event SET hash = NULL WHERE id = 1;

-- an assignment a second time
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor, pool_id, seat_no, account_id, username) VALUES ('assign', 'agent', 1, 1, 1, 'Backup01');

-- a release that did not happen
-- expect: audit events are written by the database itself
INSERT OR IGNORE INTO audit_event (action, actor, pool_id, seat_no, account_id, username) VALUES ('release', 'agent', 1, 1, 1, 'Backup01');

-- an event of a pool that does not exist
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor, pool_id) VALUES ('pool-delete', 'sql', 99);

-- an event that says nothing but the truth
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor, pool_id, entity_id, license_type, new_values)
    VALUES ('pool-change', 'sql', 1, 42, 'SqlBackup', '{"seats_total":5}');

-- an action that is none
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor) VALUES ('seat-steal', 'sql');

-- an event of every table
-- expect: audit events are written by the database itself
INSERT OR IGNORE INTO audit_event (action, actor, entity_id, old_values, new_values)
    SELECT 'entity-change', 'agent', id, '{"name":"Contoso"}', '{"name":"Mine"}' FROM entity;

-- copies of events
-- expect: audit events are written by the database itself
CREATE TEMP TABLE copy AS SELECT * FROM audit_event;
UPDATE copy SET id = id + 1000;
INSERT INTO audit_event SELECT * FROM copy;

-- an event before the first
-- expect: audit events are written by the database itself
INSERT INTO audit_event (id, action, actor) VALUES (0, 'pool-change', 'sql');

-- with a note that the seat is changing
-- expect: audit events are written by the database itself
INSERT INTO change (subject, key, part, before) VALUES ('seat', 1, 5, '{"account_id":4}');
INSERT INTO audit_event (action, actor, pool_id, seat_no, account_id, username) VALUES ('release', 'agent', 1, 5, 4, 'backup04');

-- with notes of everything
-- expect: audit events are written by the database itself
INSERT OR REPLACE INTO change (subject, key, part) SELECT 'seat', pool_id, seat_no FROM seat;
INSERT OR REPLACE INTO row_change (subject, key, part) SELECT 'account', id, '' FROM account;
INSERT INTO audit_event (action, actor, account_id) VALUES ('account-create', 'agent', 1);

-- with a note of a row that is not there yet
-- expect: audit events are written by the database itself
INSERT INTO change (subject, key, part) VALUES ('account', 6, '');
INSERT INTO audit_event (action, actor, account_id) VALUES ('account-create', 'agent', 6);

-- by ending a change that never began
-- expect: nothing
INSERT INTO change (subject, key, part, before) VALUES ('seat', 1, 1, NULL);
DELETE FROM change;

-- at the moment when a statement fails
-- expect: audit events are written by the database itself
UPDATE OR FAIL license_pool SET seats_total = CASE id WHEN 1 THEN 5 ELSE 10000001 END WHERE id <= 2;
INSERT INTO audit_event (action, actor, pool_id) VALUES ('pool-change', 'sql', 2);

-- who did it
-- expect: audit events cannot be changed
UPDATE audit_event SET actor = 'nobody';

-- the order of things
-- expect: audit events cannot be changed
UPDATE OR REPLACE audit_event SET rowid = rowid + 100;

-- the newest event
-- expect: audit events cannot be deleted
DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event);

-- all of it
-- expect: audit events cannot be deleted
DELETE FROM audit_event;

-- Counters, by hand.

-- more seats in use than are taken
-- expect: of a license pool are kept by the database
UPDATE license_pool SET seats_in_use = 4 WHERE id = 1;

-- fewer, so that the pool could shrink below its use
-- expect: 3 seats are in use, release 3 first
UPDATE license_pool SET seats_in_use = 0, seats_total = 0 WHERE id = 1;

-- a high-water mark that is too low
-- expect: of a license pool are kept by the database
UPDATE OR IGNORE license_pool SET seats_in_use_max = seats_in_use;

-- and one that is too high
-- expect: of a license pool are kept by the database
UPDATE OR REPLACE license_pool SET seats_in_use_max = 9 WHERE id = 1;

-- a pool that begins in use
-- expect: of a license pool are kept by the database
INSERT INTO license_pool (entity_id, license_type, seats_total, seats_in_use) VALUES (42, 'SqlBackup', 5, 3);

-- a pool that was in use once
-- expect: of a license pool are kept by the database
INSERT OR IGNORE INTO license_pool (entity_id, license_type, seats_total, seats_in_use_max) VALUES (42, 'SqlBackup', 5, 3);

-- with a note that a seat of the pool is changing
-- expect: of a license pool are kept by the database
INSERT INTO change (subject, key, part, before) VALUES ('seat', 1, 1, '{"account_id":null}');
UPDATE license_pool SET seats_in_use = 2 WHERE id = 1;

-- another history
-- expect: of a license pool are kept by the database
UPDATE license_pool SET event_id = 1, events = 1 WHERE id = 1;

-- none at all
-- expect: of a license pool are kept by the database
UPDATE license_pool SET seats_in_use = NULL, event_id = NULL WHERE id = 1;


-- Under the name of a call.

-- a name for what comes next
-- expect: call is written by the service
-- ours: not authorized
INSERT INTO call (id, request_id, actor) VALUES (1, '6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a02', 'agent');

-- with OR REPLACE and OR IGNORE
-- expect: call is written by the service
-- ours: not authorized
REPLACE INTO call (id, actor) VALUES (1, 'agent');
INSERT OR IGNORE INTO call (id, actor) VALUES (1, 'agent');

-- two names
-- expect: call is written by the service
-- ours: not authorized
INSERT INTO call (id, actor) VALUES (1, 'agent'), (2, 'admin');

-- the name of a call, taken away
-- expect: nothing
-- ours: not authorized
UPDATE call SET actor = 'agent';
DELETE FROM call;

-- in the same file under another name
-- expect: not authorized
-- only: ours
ATTACH 'seats.db' AS again;
INSERT INTO again.call (id, actor) VALUES (1, 'agent');

-- the sign-in of another, in the same file under a name as VACUUM uses
-- expect: not authorized
-- only: ours
ATTACH 'seats.db' AS vacuum_1;
INSERT INTO vacuum_1.ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');

-- the same file by an address
-- expect: not authorized
-- only: ours
ATTACH 'file:seats.db?cache=private' AS vacuum_1;
INSERT INTO vacuum_1.ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');

-- the same file by a name that is computed
-- expect: not authorized
-- only: ours
ATTACH 'seats' || '.db' AS vacuum_1;
INSERT INTO vacuum_1.ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', zeroblob(32), 'agent', '2099-01-01T00:00:00Z');

-- a row that says what exists
-- expect: the table existing has no rows
INSERT INTO existing DEFAULT VALUES;


-- The guards themselves.

-- a trigger
-- expect: not authorized
-- only: ours
DROP TRIGGER seat_update;

-- a trigger in other letters, by its full name
-- expect: not authorized
-- only: ours
DROP TRIGGER IF EXISTS main.AUDIT_EVENT_DELETE;

-- a table
-- expect: not authorized
-- only: ours
DROP TABLE audit_event;

-- an index
-- expect: not authorized
-- only: ours
DROP INDEX seat_by_holder;

-- a column
-- expect: not authorized
-- only: ours
ALTER TABLE audit_event DROP COLUMN actor;

-- a name
-- expect: not authorized
-- only: ours
ALTER TABLE seat RENAME TO seat_old;

-- a trigger of one's own that undoes what ours do
-- expect: not authorized
-- only: ours
CREATE TRIGGER mine AFTER UPDATE OF account_id ON seat BEGIN UPDATE license_pool SET seats_total = seats_total + 1; END;

-- the same for this session only
-- expect: not authorized
-- only: ours
CREATE TEMP TRIGGER mine BEFORE INSERT ON main.audit_event BEGIN SELECT RAISE(IGNORE); END;

-- an index of one's own, by which OR REPLACE deletes a taken seat
-- expect: not authorized
-- only: ours
CREATE UNIQUE INDEX mine ON seat (product_key) WHERE product_key LIKE 'KEY-%';

-- the same file under another name
-- expect: not authorized
-- only: ours
ATTACH 'seats.db' AS again;
DROP TRIGGER again.seat_update;
UPDATE again.seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- an index of one's own, in the same file under another name
-- expect: not authorized
-- only: ours
ATTACH 'seats.db' AS again;
CREATE UNIQUE INDEX again.mine ON seat (product_key) WHERE product_key LIKE 'KEY-%';

-- checks switched off
-- expect: not authorized
-- only: ours
PRAGMA ignore_check_constraints = ON;
UPDATE license_pool SET seats_total = -1 WHERE id = 3;

-- checks switched off in the other spelling
-- expect: license_pool.seats_total must be between 0 and 10000000
-- only: ours
PRAGMA main.IGNORE_CHECK_CONSTRAINTS(1);
UPDATE license_pool SET seats_total = -1 WHERE id = 3;

-- the schema as a table like any other
-- expect: not authorized
-- only: ours
PRAGMA writable_schema = ON;
DELETE FROM sqlite_schema WHERE type = 'trigger';

-- the schema without permission
-- expect: table sqlite_master may not be modified
DELETE FROM sqlite_schema WHERE type = 'trigger';

-- the mark that tells whose file it is
-- expect: not authorized
-- only: ours
PRAGMA application_id = 0;

-- the mark that tells which schema it has
-- expect: not authorized
-- only: ours
PRAGMA user_version = 1;

-- durability
-- expect: not authorized
-- only: ours
PRAGMA journal_mode = DELETE;

-- every switch at once, then a steal
-- expect: seat is taken by another account: release it first
-- only: ours
PRAGMA recursive_triggers = ON;
PRAGMA foreign_keys = OFF;
PRAGMA ignore_check_constraints = ON;
PRAGMA writable_schema = ON;
PRAGMA trusted_schema = ON;
UPDATE OR REPLACE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- every switch at once, then a pool in use
-- expect: pool 1 cannot be deleted: 3 seats are in use
-- only: ours
PRAGMA recursive_triggers = OFF;
PRAGMA foreign_keys = OFF;
PRAGMA ignore_check_constraints = ON;
PRAGMA writable_schema = ON;
DELETE FROM license_pool WHERE id = 1;

-- a credential that the audit would take for the command line
-- expect: credential.user_name cannot be sql or cli
INSERT INTO credential (user_name, password_hash, entity_id) SELECT 'CLI', password_hash, entity_id FROM credential LIMIT 1;


-- Names that would be others' names, and text that cannot be read.

-- an account with a blank behind its name, beside the one without
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES ('backup01 ', 42);

-- a new account with a blank in front of its name
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES (' newcomer', 42);

-- with a blank of another script
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES ('newcomer' || char(12288), 42);

-- nothing but blanks
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES (char(160), 42);

-- renamed to one
-- expect: account.username must not begin or end with a blank
UPDATE account SET username = username || ' ' WHERE id = 4;

-- all at once, hoping that one gets through
-- expect: account.username must not begin or end with a blank
UPDATE OR IGNORE account SET username = ' ' || username;

-- a credential that would be called as another
-- expect: credential.user_name must not begin or end with a blank
INSERT INTO credential SELECT 'agent ', password_hash, entity_id, 'admin', 1, NULL FROM credential WHERE user_name = 'agent';

-- renamed to one
-- expect: credential.user_name must not begin or end with a blank
UPDATE credential SET user_name = ' agent' WHERE user_name = 'operator';

-- a credential that the audit would take for a hand
-- expect: credential.user_name must not begin or end with a blank
INSERT INTO credential SELECT 'sql ', password_hash, entity_id, 'admin', 1, NULL FROM credential WHERE user_name = 'agent';

-- a user name that is not UTF-8
-- expect: account.username is not valid text
INSERT INTO account (username, entity_id) VALUES (CAST(x'FF41' AS TEXT), 42);

-- an existing one
-- expect: account.username is not valid text
UPDATE account SET username = CAST(x'4DFC6C6C6572' AS TEXT) WHERE id = 4;

-- a surrogate
-- expect: account.username is not valid text
UPDATE account SET username = CAST(x'EDA080' AS TEXT) WHERE id = 4;

-- a character longer than it needs to be
-- expect: account.username is not valid text
UPDATE account SET username = CAST(x'41C1BF' AS TEXT) WHERE id = 4;

-- a character without its end
-- expect: account.username is not valid text
UPDATE account SET username = CAST(x'41E282' AS TEXT) WHERE id = 4;

-- an end without its character
-- expect: account.username is not valid text
UPDATE account SET username = CAST(x'41C3A480' AS TEXT) WHERE id = 4;

-- what a program wrote for bytes it could not read
-- expect: account.username is not valid text
INSERT INTO account (username, entity_id) VALUES ('M' || char(65533) || 'ller', 42);

-- with OR IGNORE
-- expect: account.username is not valid text
INSERT OR IGNORE INTO account (username, entity_id) VALUES ('M' || char(65533) || 'ller', 42);

-- a credential's name
-- expect: credential.user_name is not valid text
INSERT INTO credential SELECT CAST(x'FF41' AS TEXT), password_hash, entity_id, 'admin', 1, NULL FROM credential WHERE user_name = 'agent';

-- the same, renamed
-- expect: credential.user_name is not valid text
UPDATE credential SET user_name = 'operator' || CAST(x'80' AS TEXT) WHERE user_name = 'operator';

-- a hash
-- expect: credential.password_hash is not valid text
UPDATE credential SET password_hash = password_hash || CAST(x'FF' AS TEXT);

-- an entity's name
-- expect: entity.name is not valid text
INSERT INTO entity (id, name) VALUES (77, CAST(x'436166E9' AS TEXT));

-- the same, renamed
-- expect: entity.name is not valid text
UPDATE entity SET name = name || CAST(x'E9' AS TEXT) WHERE id = 42;

-- with something behind a NUL
-- expect: entity.name is not valid text
UPDATE entity SET name = 'Contoso' || char(0) || CAST(x'E9' AS TEXT) WHERE id = 42;

-- the other texts of an entity
-- expect: entity.owner_description is not valid text
UPDATE entity SET owner_description = CAST(x'F8888080' AS TEXT) WHERE id = 42;

-- its serial number
-- expect: entity.serial_nr is not valid text
UPDATE entity SET serial_nr = char(65533) WHERE id = 42;

-- its shop
-- expect: entity.shop_url is not valid text
UPDATE entity SET shop_url = 'https://example.com/' || char(65534) WHERE id = 42;

-- the key of a pool
-- expect: license_pool.product_key is not valid text
UPDATE license_pool SET product_key = CAST(x'FF' AS TEXT) WHERE id = 1;

-- of a new one
-- expect: license_pool.product_key is not valid text
INSERT INTO license_pool (entity_id, license_type, seats_total, product_key) VALUES (42, 'SqlBackup', 1, CAST(x'FF' AS TEXT));

-- the key of a seat
-- expect: seat.product_key is not valid text
UPDATE seat SET product_key = CAST(x'FF' AS TEXT) WHERE pool_id = 1 AND seat_no = 1;

-- an offer
-- expect: license_offer.company_name is not valid text
UPDATE license_offer SET company_name = CAST(x'FF' AS TEXT) WHERE entity_id = 42;

-- a new offer
-- expect: license_offer.serial_nr is not valid text
INSERT INTO license_offer (entity_id, serial_nr) VALUES (421, CAST(x'F4908080' AS TEXT));

-- the rules themselves
-- only: ours
-- expect: not authorized
DROP VIEW text_rule;

-- and the blanks
-- only: ours
-- expect: not authorized
DROP VIEW blank;


-- Whose a pool is, and was.

-- a creation of others' pool
-- expect: audit events are written by the database itself
INSERT INTO audit_event (action, actor, pool_id, entity_id, license_type) VALUES ('pool-create', 'sql', 1, 43, 'SqlBackup');

-- another owner, afterwards
-- expect: audit events cannot be changed
UPDATE audit_event SET entity_id = 43 WHERE action = 'pool-create';


-- What tools write that name a row by its rowid, or by a column that is not there.

-- a row by the text of its rowid's name, as DB Browser writes it for a table without rowid
-- expect: nothing
UPDATE credential SET role = 'admin' WHERE "_rowid_" = '_rowid_';
UPDATE seat SET product_key = 'MINE' WHERE "_rowid_" = '_rowid_';
UPDATE license_offer_module SET seats_total = 1 WHERE "_rowid_" = '_rowid_';
UPDATE ticket SET expires_at = '2099-12-31T00:00:00Z' WHERE "_rowid_" = '_rowid_';

-- a word in double quotes that should have been a text
-- expect: no such column
-- only: ours
UPDATE credential SET active = 0 WHERE "username" = 'username';

-- a credential in the place of another, by its rowid
-- expect: credential exists already
REPLACE INTO credential (rowid, user_name, password_hash, entity_id) SELECT rowid, 'mine', password_hash, 1 FROM credential WHERE user_name = 'agent';

-- moved there
-- expect: the rowid of a credential cannot change
UPDATE OR REPLACE credential SET rowid = 1 WHERE user_name = 'gone';

-- a free seat into the place of a taken one, by its rowid
-- expect: the pool, number and type of a seat cannot change
UPDATE OR REPLACE seat SET rowid = 1 WHERE pool_id = 1 AND seat_no = 5;

-- offered seats in the place of others, by their rowid
-- expect: license offer module exists already
REPLACE INTO license_offer_module (rowid, entity_id, license_type, seats_total) SELECT rowid, 44, 'SqlBackup', 7 FROM license_offer_module;

-- moved there
-- expect: the entity and type of a license offer module cannot change
UPDATE OR REPLACE license_offer_module SET rowid = 1 WHERE license_type = 'ExchangeBackup';

-- a ticket in the place of another, by its rowid
-- expect: ticket exists already
-- ours: not authorized
INSERT OR REPLACE INTO ticket (rowid, id, secret_hash, user_name, expires_at)
    SELECT rowid, '0d6f6f0f-0000-4000-8000-00000000000c', secret_hash, 'operator', expires_at FROM ticket WHERE user_name = 'agent';

-- moved there
-- expect: of a ticket only expires_at can change
UPDATE OR REPLACE ticket SET rowid = 1 WHERE user_name = 'operator';

-- a login with a line feed
-- expect: credential.user_name must not contain a control character
INSERT INTO credential SELECT 'agent' || char(10), password_hash, entity_id, 'agent', 1, NULL FROM credential WHERE user_name = 'agent';

-- a hash with the line feed of the file it was read from
-- expect: credential.password_hash must not contain a blank or control character
UPDATE credential SET password_hash = password_hash || char(13) || char(10) WHERE user_name = 'agent';

-- a hash with a blank
-- expect: credential.password_hash must not contain a blank or control character
UPDATE credential SET password_hash = password_hash || char(160) WHERE user_name = 'agent';


-- Named calls: an outcome written by hand would be an answer that the service never gave.

-- an outcome for a name
-- expect: named calls are kept by the service
-- ours: not authorized
INSERT INTO named_call (user_name, name, operation, request_hash, request_id, at, outcome)
    VALUES ('agent', 'a', 'AssignLicense', zeroblob(32), '0d6f6f0f-0000-4000-8000-00000000000c', '2026-06-01T12:00:00.000000000Z', '{"done":{"pool_id":1,"seat_no":1}}');

-- the same, if there is none
-- expect: named calls are kept by the service
-- ours: not authorized
INSERT OR IGNORE INTO named_call (user_name, name, operation, request_hash, request_id, at, outcome)
    VALUES ('agent', 'a', 'AssignLicense', zeroblob(32), '0d6f6f0f-0000-4000-8000-00000000000c', '2026-06-01T12:00:00.000000000Z', 'x');

-- the same, in place of another
-- expect: named calls are kept by the service
-- ours: not authorized
REPLACE INTO named_call (id, user_name, name, operation, request_hash, request_id, at, outcome)
    VALUES (1, 'agent', 'a', 'AssignLicense', zeroblob(32), '0d6f6f0f-0000-4000-8000-00000000000c', '2026-06-01T12:00:00.000000000Z', 'x');
