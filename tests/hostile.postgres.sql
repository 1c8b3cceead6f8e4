-- SQL that would break what the database promises on PostgreSQL, the twin of hostile.sql. Each paragraph is one attempt, tried by psql in
-- it/postgres_hostile.rs as the owner of the tables and as a member of seatkeeper_admin. Its comment says what it tries, and
--
--   expect: ...   a part of the message that refuses it; "nothing": it says nothing and changes nothing
--   admin: ...    the same for the member of seatkeeper_admin, where the rights refuse it first
--   only: admin   not for the owner, who may do this: an owner can drop what guards the tables
--   only: owner   not for the member of seatkeeper_admin
--
-- Whatever an attempt is told, every row of every table, and every trigger, must be as it was.


-- A row that is there, written again.

-- the entity that everything hangs on
-- expect: Key (id)=(1) already exists
INSERT INTO entity (id, name) VALUES (1, 'Mine now');

-- an entity in the way by its owner name
-- expect: owner_name belongs to another entity
INSERT INTO entity (id, name, owner_name) VALUES (77, 'Contoso Two', 'CONTOSO');

-- a credential in other letters
-- expect: already exists
INSERT INTO credential SELECT 'AGENT', password_hash, entity_id, 'reader', 0, NULL FROM credential WHERE user_name = 'agent';

-- an account by its id
-- expect: Key (id)=(1) already exists
INSERT INTO account (id, username, entity_id) VALUES (1, 'somebody-else', 42);

-- an account by its name in other letters
-- expect: already exists
INSERT INTO account (username, entity_id) VALUES ('BACKUP01', 43);

-- a pool in use, to make it larger
-- expect: Key (id)=(1) already exists
INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 500);

-- the same, hoping for seats on the way
-- expect: nothing
INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 500) ON CONFLICT DO NOTHING;

-- a taken seat, with a free one of the same number
-- expect: seats are made by raising license_pool.seats_total
-- admin: permission denied for table seat
INSERT INTO seat (pool_id, seat_no, license_type) VALUES (1, 1, 'SqlBackup') ON CONFLICT DO NOTHING;

-- the newest event
-- expect: audit events are written by the database itself
-- admin: permission denied for table audit_event
INSERT INTO audit_event (id, action, actor) SELECT max(id), 'pool-change', 'sql' FROM audit_event ON CONFLICT (id) DO UPDATE SET actor = 'agent';


-- ON CONFLICT DO UPDATE and MERGE: an INSERT that turns into an UPDATE.

-- a pool to a size below its use
-- expect: seats_total of pool 1 cannot be 0: 3 seats are in use, release 3 first
INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 0)
    ON CONFLICT (id) DO UPDATE SET seats_total = excluded.seats_total;

-- a pool to another type
-- expect: a license pool cannot change its type
-- admin: permission denied for table license_pool
INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'ExchangeBackup', 5)
    ON CONFLICT (id) DO UPDATE SET license_type = excluded.license_type;

-- the counters of a pool
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (1, 42, 'SqlBackup', 5) ON CONFLICT (id) DO UPDATE SET seats_in_use_max = 9;

-- an account to another id
-- expect: the id of an account cannot change
-- admin: permission denied for table account
INSERT INTO account (id, username, entity_id) VALUES (1, 'x', 42) ON CONFLICT (id) DO UPDATE SET id = 99;

-- an entity below itself
-- expect: an entity cannot be above itself
INSERT INTO entity (id, name) VALUES (42, 'x') ON CONFLICT (id) DO UPDATE SET parent_id = 4200;

-- an offer to another entity
-- expect: a license offer cannot move to another entity
INSERT INTO license_offer (entity_id) VALUES (42) ON CONFLICT (entity_id) DO UPDATE SET entity_id = 43;

-- a taken seat to another holder
-- expect: seats are made by raising license_pool.seats_total
-- admin: permission denied for table seat
INSERT INTO seat (pool_id, seat_no, license_type, account_id) VALUES (1, 1, 'SqlBackup', 4)
    ON CONFLICT (pool_id, seat_no) DO UPDATE SET account_id = excluded.account_id;

-- a taken seat by MERGE
-- expect: seat is taken by another account: release it first
MERGE INTO seat USING (VALUES (1, 1)) AS wanted (pool_id, seat_no) ON seat.pool_id = wanted.pool_id AND seat.seat_no = wanted.seat_no
 WHEN MATCHED THEN UPDATE SET account_id = 4;

-- a seat that MERGE makes
-- expect: seats are made by raising license_pool.seats_total
-- admin: permission denied for table seat
MERGE INTO seat USING (VALUES (1, 6)) AS wanted (pool_id, seat_no) ON seat.pool_id = wanted.pool_id AND seat.seat_no = wanted.seat_no
 WHEN NOT MATCHED THEN INSERT (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- seats that MERGE removes
-- expect: seats are removed by lowering license_pool.seats_total
-- admin: permission denied for table seat
MERGE INTO seat USING (VALUES (1)) AS wanted (pool_id) ON seat.pool_id = wanted.pool_id AND seat.account_id IS NULL WHEN MATCHED THEN DELETE;

-- a pool in use that MERGE deletes
-- expect: pool 1 cannot be deleted: 3 seats are in use, release them first
MERGE INTO license_pool USING (VALUES (1)) AS wanted (id) ON license_pool.id = wanted.id WHEN MATCHED THEN DELETE;

-- an account that MERGE deletes
-- expect: accounts are not deleted
-- admin: permission denied for table account
MERGE INTO account USING (VALUES (5)) AS wanted (id) ON account.id = wanted.id WHEN MATCHED THEN DELETE;


-- Statements in statements.

-- a seat freed, and given away in the same statement
-- expect: seat is taken by another account: release it first
WITH freed AS (UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = 1)
UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- a pool made smaller, and a seat of it taken in the same statement
-- expect: seats_total of pool 1 cannot be 3: 4 seats are in use, release 1 first
WITH smaller AS (UPDATE license_pool SET seats_total = 3 WHERE id = 1)
UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 5;

-- a pool deleted, and a seat of it taken in the same statement
-- expect: pool 4 cannot be deleted: 1 seats are in use, release them first
WITH deleted AS (DELETE FROM license_pool WHERE id = 4)
UPDATE seat SET account_id = 4 WHERE pool_id = 4 AND seat_no = 1;

-- a pool made, and taken away in the same statement
-- expect: nothing
WITH made AS (INSERT INTO license_pool (id, entity_id, license_type, seats_total) SELECT 9, 42, 'SqlBackup', 3 WHERE false RETURNING id)
DELETE FROM license_pool USING made WHERE license_pool.id = made.id;

-- an entity deleted, with a pool for it in the same statement
-- expect: entity still owns license pools
WITH deleted AS (DELETE FROM entity WHERE id = 4201)
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (4201, 'SqlBackup', 1);

-- events removed on the way
-- expect: audit events cannot be deleted
-- admin: permission denied for table audit_event
WITH gone AS (DELETE FROM audit_event RETURNING id) SELECT count(*) FROM gone;

-- two seats for one account in one statement
-- expect: seat_by_holder
UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND account_id IS NULL;


-- Taking seats that are taken.

-- from the one who holds it
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = 4 WHERE pool_id = 1 AND seat_no = 1;

-- two holders changing places
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = CASE account_id WHEN 1 THEN 2 ELSE 1 END WHERE account_id IN (1, 2) AND pool_id = 1;

-- every seat for one account
-- expect: ERROR
UPDATE seat SET account_id = 4;

-- every account at once
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = seat_no + 1 WHERE pool_id = 1;

-- from one table to another
-- expect: seat is taken by another account: release it first
UPDATE seat SET account_id = account.id FROM account WHERE account.username = 'backup04' AND seat.pool_id = 1 AND seat.seat_no = 2;


-- More seats for an account than it may hold.

-- a second seat of the type in the same pool
-- expect: Key (account_id, license_type)=(1, SqlBackup) already exists
UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 5;

-- and in another pool
-- expect: Key (account_id, license_type)=(1, SqlBackup) already exists
UPDATE seat SET account_id = 1 WHERE pool_id = 4 AND seat_no = 1;

-- by calling the seat one of another type
-- expect: the pool, number and type of a seat cannot change
-- admin: permission denied for table seat
UPDATE seat SET license_type = 'ExchangeBackup', account_id = 2 WHERE pool_id = 1 AND seat_no = 5;

-- by giving another account that name in other letters
-- expect: account_by_name
UPDATE account SET username = 'bACKUP01' WHERE id = 4;

-- an account that does not exist
-- expect: seat.account_id names no account: insert the account first
UPDATE seat SET account_id = 999 WHERE pool_id = 1 AND seat_no = 5;

-- an account that could never exist
-- expect: seat.account_id names no account: insert the account first
UPDATE seat SET account_id = -1 WHERE pool_id = 1 AND seat_no = 5;


-- More seats than were bought.

-- one more by hand
-- expect: seats are made by raising license_pool.seats_total
-- admin: permission denied for table seat
INSERT INTO seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- of a pool that does not exist
-- expect: seats are made by raising license_pool.seats_total
-- admin: permission denied for table seat
INSERT INTO seat (pool_id, seat_no, license_type) VALUES (99, 1, 'SqlBackup');

-- by COPY
-- expect: seats are made by raising license_pool.seats_total
-- admin: permission denied for table seat
COPY seat (pool_id, seat_no, license_type) FROM STDIN;
1	6	SqlBackup
\.

-- beyond the bound
-- expect: license_pool.seats_total must be between 0 and 10000000
UPDATE license_pool SET seats_total = 10000001 WHERE id = 1;

-- a new pool beyond the bound
-- expect: license_pool.seats_total must be between 0 and 10000000
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'SqlBackup', 10000001);

-- a number that is none
-- expect: invalid input syntax for type integer
UPDATE license_pool SET seats_total = 'unlimited' WHERE id = 3;

-- without a number
-- expect: null value in column "seats_total"
UPDATE license_pool SET seats_total = NULL WHERE id = 1;


-- Fewer seats than are in use.

-- by one too many
-- expect: seats_total of pool 1 cannot be 2: 3 seats are in use, release 1 first
UPDATE license_pool SET seats_total = 2 WHERE id = 1;

-- none at all
-- expect: seats_total of pool 1 cannot be 0: 3 seats are in use, release 3 first
UPDATE license_pool SET seats_total = 0 WHERE id = 1;

-- in two pools
-- expect: seats_total of pool 2 cannot be 0: 1 seats are in use, release 1 first
UPDATE license_pool SET seats_total = CASE id WHEN 1 THEN 4 ELSE 0 END WHERE id <= 2;

-- below zero, with seats in use
-- expect: license_pool.seats_total must be between 0 and 10000000
UPDATE license_pool SET seats_total = -1 WHERE id = 1;

-- below zero, with none in use
-- expect: license_pool.seats_total must be between 0 and 10000000
UPDATE license_pool SET seats_total = -1 WHERE id = 3;

-- a free seat by hand
-- expect: seats are removed by lowering license_pool.seats_total
-- admin: permission denied for table seat
DELETE FROM seat WHERE pool_id = 1 AND seat_no = 5;

-- a taken seat
-- expect: seats are removed by lowering license_pool.seats_total
-- admin: permission denied for table seat
DELETE FROM seat WHERE pool_id = 1 AND seat_no = 1;

-- a pool in use
-- expect: pool 1 cannot be deleted: 3 seats are in use, release them first
DELETE FROM license_pool WHERE id = 1;

-- all pools
-- expect: seats are in use, release them first
DELETE FROM license_pool;


-- Tables emptied at once.

-- the seats
-- expect: TRUNCATE is refused
-- admin: permission denied for table seat
TRUNCATE seat;

-- everything that hangs on the entities
-- expect: TRUNCATE is refused
-- admin: permission denied for table entity
TRUNCATE entity CASCADE;

-- with the numbers from 1 again
-- expect: TRUNCATE is refused
-- admin: permission denied for table account
TRUNCATE account, seat RESTART IDENTITY CASCADE;

-- the history
-- expect: TRUNCATE is refused
-- admin: permission denied for table audit_event
TRUNCATE audit_event;

-- what is not chained
-- expect: TRUNCATE is refused
-- admin: permission denied for table audit_pending
TRUNCATE audit_pending;

-- the chain
-- expect: TRUNCATE is refused
-- admin: permission denied for table audit_chain
TRUNCATE audit_chain;

-- who chains
-- expect: TRUNCATE is refused
-- admin: permission denied for table chain_lease
TRUNCATE chain_lease;

-- tickets and named calls
-- expect: TRUNCATE is refused
-- admin: permission denied for table
TRUNCATE ticket, named_call;

-- credentials and offers
-- expect: TRUNCATE is refused
-- admin: permission denied for table
TRUNCATE credential, license_offer, license_offer_module;

-- pools, the version, the archive
-- expect: TRUNCATE is refused
-- admin: permission denied for table
TRUNCATE schema_version;
TRUNCATE license_pool;
TRUNCATE audit_archive;
TRUNCATE license_offer_module;


-- What others refer to, deleted.

-- an account that holds seats
-- expect: accounts are not deleted, their ids stay in the history
-- admin: permission denied for table account
DELETE FROM account WHERE id = 1;

-- an account that holds none
-- expect: accounts are not deleted, their ids stay in the history
-- admin: permission denied for table account
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

-- all entities
-- expect: entity still
DELETE FROM entity;


-- What others refer to, renamed.

-- the id of an entity
-- expect: the id of an entity cannot change
UPDATE entity SET id = 99 WHERE id = 42;

-- the id of an account
-- expect: the id of an account cannot change
-- admin: permission denied for table account
UPDATE account SET id = 99 WHERE id = 1;

-- the id of a pool in use
-- expect: the id of a license pool cannot change
-- admin: permission denied for table license_pool
UPDATE license_pool SET id = 99 WHERE id = 1;

-- by its default
-- expect: the id of a license pool cannot change
-- admin: permission denied for table license_pool
UPDATE license_pool SET id = DEFAULT WHERE id = 3;

-- the owner of a pool
-- expect: a license pool cannot move to another entity
-- admin: permission denied for table license_pool
UPDATE license_pool SET entity_id = 43 WHERE id = 1;

-- the type of a pool
-- expect: a license pool cannot change its type
-- admin: permission denied for table license_pool
UPDATE license_pool SET license_type = 'ExchangeBackup' WHERE id = 1;

-- the type of a seat
-- expect: the pool, number and type of a seat cannot change
-- admin: permission denied for table seat
UPDATE seat SET license_type = 'ExchangeBackup' WHERE pool_id = 1;

-- the number of a seat
-- expect: the pool, number and type of a seat cannot change
-- admin: permission denied for table seat
UPDATE seat SET seat_no = 99 WHERE pool_id = 1 AND seat_no = 5;

-- the pool of a free seat
-- expect: the pool, number and type of a seat cannot change
-- admin: permission denied for table seat
UPDATE seat SET pool_id = 4, seat_no = 99 WHERE pool_id = 1 AND seat_no = 5;

-- the entity of an offer
-- expect: a license offer cannot move to another entity
UPDATE license_offer SET entity_id = 43 WHERE entity_id = 42;

-- the entity of offered seats
-- expect: the entity and type of a license offer module cannot change
UPDATE license_offer_module SET entity_id = 44;

-- the type of offered seats
-- expect: the entity and type of a license offer module cannot change
UPDATE license_offer_module SET license_type = 'SkraftDiskImageV5' WHERE license_type = 'SqlBackup';


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
-- expect: credential_by_name
UPDATE credential SET user_name = 'AGENT' WHERE user_name = 'Operator';

-- an offer for nobody
-- expect: license_offer.entity_id names no entity
INSERT INTO license_offer (entity_id) VALUES (999);

-- seats without an offer
-- expect: the entity has no license offer
INSERT INTO license_offer_module VALUES (43, 'SqlBackup', 5);

-- an entity below none
-- expect: parent entity does not exist
INSERT INTO entity (id, parent_id, name) VALUES (77, 999, 'Orphan');

-- an entity below itself from the start
-- expect: parent entity does not exist
INSERT INTO entity (id, parent_id, name) VALUES (77, 77, 'Ouroboros');

-- two entities below each other from the start
-- expect: parent entity does not exist
INSERT INTO entity (id, parent_id, name) VALUES (77, 78, 'Ouro'), (78, 77, 'Boros');

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

-- the same in a statement inside a statement
-- expect: an entity cannot be above itself
WITH one AS (UPDATE entity SET parent_id = 43 WHERE id = 42) UPDATE entity SET parent_id = 42 WHERE id = 43;

-- two owners of one name
-- expect: owner_name belongs to another entity
UPDATE entity SET owner_name = 'CONTOSO' WHERE id = 43;


-- Values that are not of their kind.

-- an id beyond what fits on the wire
-- expect: integer out of range
INSERT INTO entity (id, name) VALUES (2147483648, 'Too far');

-- an id that is none
-- expect: entity.id must be between 1 and 2147483647
INSERT INTO entity (id, name) VALUES (0, 'Nothing');

-- a negative account
-- expect: account.id must be positive
INSERT INTO account (id, username, entity_id) VALUES (-1, 'minus', 42);

-- a day that February does not have
-- expect: date/time field value out of range
UPDATE license_pool SET expires_at = '2027-02-30T00:00:00Z' WHERE id = 1;

-- a time without end
-- expect: license_pool.expires_at must be in the years 1 to 9999
UPDATE license_pool SET expires_at = 'infinity' WHERE id = 1;

-- a time before time
-- expect: license_pool.starts_at must be in the years 1 to 9999
UPDATE license_pool SET starts_at = '0044-03-15 BC' WHERE id = 1;

-- a time after time
-- expect: entity.expires_at must be in the years 1 to 9999
UPDATE entity SET expires_at = '10000-01-01T00:00:00Z' WHERE id = 42;

-- a time that is rounded up to one
-- expect: license_offer.grace_at must be in the years 1 to 9999
UPDATE license_offer SET grace_at = '9999-12-31T23:59:59.9Z' WHERE entity_id = 42;

-- the end before the beginning
-- expect: license_pool.starts_at must be before expires_at
UPDATE license_pool SET starts_at = '2027-01-31T00:00:00Z', expires_at = '2026-01-31T00:00:00Z' WHERE id = 1;

-- a license type that is none
-- expect: license_type is SkraftDiskImageV5, SqlBackup or ExchangeBackup
INSERT INTO license_pool (entity_id, license_type, seats_total) VALUES (42, 'OracleBackup', 1);

-- a license type in other letters
-- expect: license_type is SkraftDiskImageV5, SqlBackup or ExchangeBackup
INSERT INTO license_offer_module VALUES (44, 'SQLBACKUP', 1);

-- a password as it is
-- expect: credential.password_hash must be an argon2id PHC string
UPDATE credential SET password_hash = 'S3cret!pass' WHERE user_name = 'agent';

-- a hash of another kind
-- expect: credential.password_hash must be an argon2id PHC string
INSERT INTO credential VALUES ('other', '$2b$12$abcdefghijklmnopqrstuv', 42, 'agent', 1, NULL);

-- a hash with the line feed of the file it was read from
-- expect: credential.password_hash has a blank or a control character
UPDATE credential SET password_hash = password_hash || E'\r\n' WHERE user_name = 'agent';

-- a hash with a blank
-- expect: credential.password_hash has a blank or a control character
UPDATE credential SET password_hash = password_hash || U&'\00a0' WHERE user_name = 'agent';

-- a role that is none
-- expect: credential.role must be reader, agent or admin
UPDATE credential SET role = 'root' WHERE user_name = 'agent';

-- a truth that is none
-- expect: account.active must be 0 or 1
UPDATE account SET active = 2 WHERE id = 1;

-- a name without letters
-- expect: account.username must have 1 to 128 characters
INSERT INTO account (username, entity_id) VALUES ('', 42);

-- a name that is too long
-- expect: account.username must have 1 to 128 characters
UPDATE account SET username = repeat('ä', 129) WHERE id = 5;

-- a name with a line break
-- expect: account.username must not contain a control character
INSERT INTO account (username, entity_id) VALUES (E'line\nbreak', 42);

-- a control character beyond ASCII
-- expect: account.username must not contain a control character
INSERT INTO account (username, entity_id) VALUES (U&'next\0085line', 42);

-- a byte of zero
-- expect: invalid
INSERT INTO account (username, entity_id) VALUES (E'zero\x00byte', 42);

-- a login with a line feed
-- expect: credential.user_name must not contain a control character
INSERT INTO credential SELECT E'agent\n', password_hash, entity_id, 'agent', 1, NULL FROM credential WHERE user_name = 'agent';

-- names that license tools give to others
-- expect: entity.owner_name cannot be SUPEROFFICE, USER or SITE
INSERT INTO entity (id, name, owner_name) VALUES (77, 'Tools', 'USER');

-- and by change
-- expect: entity.owner_name cannot be SUPEROFFICE, USER or SITE
UPDATE entity SET owner_name = 'SUPER' || 'OFFICE' WHERE id = 43;

-- in other letters
-- expect: entity.owner_name must be A-Z and 0-9 only
UPDATE entity SET owner_name = 'Site' WHERE id = 43;

-- with a line break behind it
-- expect: entity.owner_name must be A-Z and 0-9 only
UPDATE entity SET owner_name = E'SITE\n' WHERE id = 43;

-- a company without a name
-- expect: license_offer.company_name must have 1 to 255 characters
UPDATE license_offer SET company_name = '' WHERE entity_id = 42;

-- an offer of fewer seats than none
-- expect: license_offer_module.seats_total must be between 0 and 10000000
UPDATE license_offer_module SET seats_total = -1 WHERE entity_id = 42;


-- Names that would be others' names, and text that cannot be read.

-- an account with a blank behind its name, beside the one without
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES ('backup01 ', 42);

-- with a blank of another script in front
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES (U&'\3000newcomer', 42);

-- nothing but a blank
-- expect: account.username must not begin or end with a blank
INSERT INTO account (username, entity_id) VALUES (U&'\00a0', 42);

-- all at once
-- expect: account.username must not begin or end with a blank
UPDATE account SET username = ' ' || username;

-- a credential that would be called as another
-- expect: credential.user_name must not begin or end with a blank
INSERT INTO credential SELECT U&'agent\202f', password_hash, entity_id, 'admin', 1, NULL FROM credential WHERE user_name = 'agent';

-- a credential that the history would take for the command line
-- expect: credential.user_name cannot be sql or cli, nor begin with sql:
INSERT INTO credential SELECT 'CLI', password_hash, entity_id, 'admin', 1, NULL FROM credential WHERE user_name = 'agent';

-- and for the change of a login
-- expect: credential.user_name cannot be sql or cli, nor begin with sql:
UPDATE credential SET user_name = 'SQL:ann' WHERE user_name = 'agent';

-- what a program wrote for bytes it could not read
-- expect: account.username is not valid text
INSERT INTO account (username, entity_id) VALUES (U&'M\FFFDller', 42);

-- bytes that are no text
-- expect: invalid byte sequence for encoding "UTF8"
INSERT INTO account (username, entity_id) VALUES (E'M\xfcller', 42);

-- a surrogate
-- expect: ERROR
INSERT INTO account (username, entity_id) VALUES (U&'M\D800ller', 42);

-- what XML cannot hold, in each text
-- expect: entity.name is not valid text
UPDATE entity SET name = U&'Contoso\FFFE' WHERE id = 42;

-- the description
-- expect: entity.owner_description is not valid text
UPDATE entity SET owner_description = U&'\FFFF' WHERE id = 42;

-- the serial number
-- expect: entity.serial_nr is not valid text
UPDATE entity SET serial_nr = U&'\FFFD' WHERE id = 42;

-- the shop
-- expect: entity.shop_url is not valid text
UPDATE entity SET shop_url = U&'https://example.com/\FFFE' WHERE id = 42;

-- a note
-- expect: credential.note is not valid text
UPDATE credential SET note = U&'\FFFD' WHERE user_name = 'agent';

-- the key of a pool
-- expect: license_pool.product_key is not valid text
UPDATE license_pool SET product_key = U&'\FFFD' WHERE id = 1;

-- the key of a seat
-- expect: seat.product_key is not valid text
UPDATE seat SET product_key = U&'\FFFD' WHERE pool_id = 1 AND seat_no = 1;

-- an offer
-- expect: license_offer.serial_nr is not valid text
INSERT INTO license_offer (entity_id, serial_nr) VALUES (421, U&'\FFFF');


-- History, made up.

-- an assignment that did not happen
-- expect: audit events are written by the database itself
-- admin: permission denied for table audit_event
INSERT INTO audit_event (action, actor, pool_id, seat_no, account_id, username) VALUES ('assign', 'agent', 1, 5, 4, 'backup04');

-- by COPY
-- expect: audit events are written by the database itself
-- admin: permission denied for table audit_event
COPY audit_event (action, actor) FROM STDIN;
entity-create	agent
\.

-- who did it
-- expect: audit events cannot be changed
-- admin: permission denied for table audit_event
UPDATE audit_event SET actor = 'nobody';

-- the newest event
-- expect: audit events cannot be deleted
-- admin: permission denied for table audit_event
DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event);

-- with the service's word for it
-- expect: audit events cannot be deleted
-- admin: permission denied for table audit_event
SET seatkeeper.service = 'on';
DELETE FROM audit_event;

-- seats in use that nobody uses
-- expect: audit_pending is written by the database itself
-- admin: permission denied for table audit_pending
INSERT INTO audit_pending VALUES (1, 1, 1);

-- what an event counts
-- expect: audit_pending is written by the database itself
-- admin: permission denied for table audit_pending
UPDATE audit_pending SET delta = 0;

-- events that are never chained
-- expect: audit_pending is emptied by the service
-- admin: permission denied for table audit_pending
DELETE FROM audit_pending;

-- an event that is chained
-- expect: audit_chain is written by the service
-- admin: permission denied for table audit_chain
INSERT INTO audit_chain VALUES (1, '{1}', decode(repeat('00', 32), 'hex'));

-- the hash of an event
-- expect: the chained history cannot be changed
-- admin: permission denied for table audit_chain
UPDATE audit_chain SET hashes = decode(repeat('00', 32), 'hex');

-- the chain
-- expect: the chained history cannot be changed
-- admin: permission denied for table audit_chain
DELETE FROM audit_chain;

-- who chains
-- expect: chain_lease is written by the service
-- admin: permission denied for table chain_lease
UPDATE chain_lease SET holder = 'me', held_until = 'infinity';

-- nobody chains
-- expect: chain_lease always has its one row
-- admin: permission denied for table chain_lease
DELETE FROM chain_lease;

-- two that chain
-- expect: chain_lease always has its one row
-- admin: permission denied for table chain_lease
INSERT INTO chain_lease VALUES (2, 'me', 'infinity');

-- a beginning of the history that is elsewhere
-- expect: on PostgreSQL no events are moved to files
-- admin: permission denied for table audit_archive
INSERT INTO audit_archive VALUES (1, 1, 1, now(), decode(repeat('00', 32), 'hex'), NULL, 'moved.db');

-- another version
-- expect: schema_version is written by the service
-- admin: permission denied for table schema_version
UPDATE schema_version SET version = 99;

-- none
-- expect: schema_version is written by the service
-- admin: permission denied for table schema_version
DELETE FROM schema_version;


-- Counters, by hand.

-- more seats in use than are taken
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
UPDATE license_pool SET seats_in_use = 4 WHERE id = 1;

-- fewer, so that the pool could shrink below its use
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
UPDATE license_pool SET seats_in_use = -3, seats_total = 0 WHERE id = 1;

-- a high-water mark that is too high
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
UPDATE license_pool SET seats_in_use_max = 9;

-- a pool that begins in use
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
INSERT INTO license_pool (entity_id, license_type, seats_total, seats_in_use, seats_in_use_max) VALUES (42, 'SqlBackup', 5, 3, 3);

-- another history
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
UPDATE license_pool SET event_id = 1, events = 1 WHERE id = 1;

-- none at all
-- expect: of a license pool are kept by the database
-- admin: permission denied for table license_pool
UPDATE license_pool SET event_id = NULL, events = 1 WHERE id = 1;


-- Tickets and named calls: a sign-in and an answer that the service never gave.

-- a ticket for somebody
-- expect: tickets are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table ticket
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', decode(repeat('00', 32), 'hex'), 'agent', '2099-01-01T00:00:00Z');

-- a session for somebody
-- expect: sessions are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table session
INSERT INTO session VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', decode(repeat('00', 32), 'hex'), 'agent', now(), '2099-01-01T00:00:00Z', '2099-01-01T00:00:00Z', NULL);

-- a refusal that never was
-- expect: refusals are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table refusal
INSERT INTO refusal (at, request_id, operation, code, message) VALUES (now(), 'r', 'o', 'c', 'm');

-- a use of a credential that never was
-- expect: uses of credentials are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table credential_use
INSERT INTO credential_use (user_name) VALUES ('agent');

-- a backup that was never made
-- expect: upkeep is written by the service and seatkeeper backup
-- admin: permission denied for table upkeep
INSERT INTO upkeep VALUES ('backup', now(), NULL);

-- the user of a ticket
-- expect: tickets are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table ticket
UPDATE ticket SET user_name = 'operator' WHERE user_name = 'agent';

-- the same with the service's word for it
-- expect: of a ticket only expires_at can change
-- only: owner
SET seatkeeper.service = 'on';
UPDATE ticket SET user_name = 'operator' WHERE user_name = 'agent';

-- a ticket for nobody, with the service's word
-- expect: ticket.user_name names no active credential
-- only: owner
SET seatkeeper.service = 'on';
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', decode(repeat('00', 32), 'hex'), 'stray', '2099-01-01T00:00:00Z');

-- for a credential that is locked out
-- expect: ticket.user_name names no active credential
-- only: owner
SET seatkeeper.service = 'on';
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', decode(repeat('00', 32), 'hex'), 'GONE', '2099-01-01T00:00:00Z');

-- a ticket in capitals
-- expect: ticket.id must be a UUID in small letters
-- only: owner
SET seatkeeper.service = 'on';
INSERT INTO ticket VALUES ('0D6F6F0F-0000-4000-8000-00000000000C', decode(repeat('00', 32), 'hex'), 'agent', '2099-01-01T00:00:00Z');

-- a secret cut short
-- expect: ticket.secret_hash must have 32 bytes
-- only: owner
SET seatkeeper.service = 'on';
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', decode(repeat('00', 31), 'hex'), 'agent', '2099-01-01T00:00:00Z');

-- an outcome for a name
-- expect: named calls are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table named_call
INSERT INTO named_call (user_name, name, operation, request_hash, request_id, at, outcome)
    VALUES ('agent', 'b', 'AssignLicense', decode(repeat('00', 32), 'hex'), 'r', '2026-06-01T12:00:00.000000000Z', 'x') ON CONFLICT DO NOTHING;

-- another outcome
-- expect: named calls are kept by the service; rows can only be deleted by hand
-- admin: permission denied for table named_call
UPDATE named_call SET outcome = 'x';


-- Under the name of a call, or with the word of the service.

-- a row of the view
-- expect: cannot insert into view "call"
-- admin: cannot insert into view "call"
INSERT INTO call (id, actor) VALUES (1, 'agent');

-- the counters, with the service's word
-- expect: permission denied for table license_pool
-- only: admin
SET seatkeeper.service = 'on';
UPDATE license_pool SET seats_in_use = 0;

-- a ticket, with the service's word
-- expect: permission denied for table ticket
-- only: admin
SET seatkeeper.service = 'on';
INSERT INTO ticket VALUES ('0d6f6f0f-0000-4000-8000-00000000000c', decode(repeat('00', 32), 'hex'), 'agent', '2099-01-01T00:00:00Z');

-- the owner's login
-- expect: permission denied to set
-- only: admin
SET SESSION AUTHORIZATION seatkeeper;
UPDATE license_pool SET seats_in_use = 0;

-- the owner's role
-- expect: permission denied to set role
-- only: admin
SET ROLE seatkeeper;
UPDATE license_pool SET seats_in_use = 0;


-- The guards themselves.

-- one trigger
-- expect: must be owner of table seat
-- only: admin
ALTER TABLE seat DISABLE TRIGGER seat_taken;

-- all triggers
-- expect: must be owner of table seat
-- only: admin
ALTER TABLE seat DISABLE TRIGGER USER;

-- a trigger of one's own
-- expect: permission denied for table seat
-- only: admin
CREATE FUNCTION pg_temp.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER mine BEFORE UPDATE ON seat FOR EACH ROW EXECUTE FUNCTION pg_temp.mine();

-- a rule
-- expect: must be owner of
-- only: admin
CREATE RULE mine AS ON INSERT TO audit_event DO INSTEAD NOTHING;

-- a policy
-- expect: must be owner of
-- only: admin
ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY;

-- a trigger dropped
-- expect: must be owner of
-- only: admin
DROP TRIGGER audit_event_delete ON audit_event;

-- a table dropped
-- expect: must be owner of table audit_event
-- only: admin
DROP TABLE audit_event CASCADE;

-- a function of the guards
-- expect: permission denied for schema public
-- only: admin
CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

-- the same in its schema under another name
-- expect: permission denied for schema public
-- only: admin
CREATE FUNCTION public.lower(text, text) RETURNS text LANGUAGE sql AS 'SELECT $1';

-- as a standby does it
-- expect: permission denied to set parameter "session_replication_role"
SET session_replication_role = replica;
DELETE FROM audit_event;

-- a foreign key that locks rows
-- expect: constraints on temporary tables may reference only temporary tables
-- only: admin
CREATE TEMP TABLE mine (id bigint REFERENCES public.account (id));

-- a statement that sets the default of a column
-- expect: must be owner of table account
-- only: admin
ALTER TABLE account ALTER COLUMN active SET DEFAULT 0;

-- a sequence set back
-- expect: permission denied for sequence audit_event_id_seq
-- only: admin
SELECT setval('audit_event_id_seq', 1, false);

-- a sequence used up
-- expect: permission denied for sequence account_id_seq
-- only: admin
SELECT setval('account_id_seq', 9223372036854775807);

-- a number drawn
-- expect: permission denied for sequence license_pool_id_seq
-- only: admin
SELECT nextval('license_pool_id_seq');

-- a file of the server
-- expect: to COPY to
COPY account (username) FROM PROGRAM 'echo mine';

-- what is written, to a file of the server
-- expect: to COPY to
COPY credential TO '/tmp/seatkeeper-credentials';


-- Things that stand where the guards look.

-- a temporary table of accounts, with one that holds no seat
-- expect: seat.account_id names no account: insert the account first
CREATE TEMP TABLE account AS SELECT 999 AS id, 'mine'::text AS username, 42 AS entity_id, 1 AS active, NULL::text AS note;
UPDATE public.seat SET account_id = 999 WHERE pool_id = 1 AND seat_no = 5;

-- temporary tables of entities and seats
-- expect: entity still has entities below it
CREATE TEMP TABLE entity (id integer, parent_id integer);
CREATE TEMP TABLE license_pool (id bigint, entity_id integer);
CREATE TEMP TABLE seat (pool_id bigint, seat_no integer, account_id bigint);
DELETE FROM public.entity WHERE id = 42;

-- and of pools that are larger
-- expect: seats_total of pool 1 cannot be 2: 3 seats are in use, release 1 first
CREATE TEMP TABLE license_pool AS SELECT id, 100 AS seats_total FROM public.license_pool;
CREATE TEMP TABLE seat AS SELECT pool_id, seat_no + 100 AS seat_no, license_type, NULL::bigint AS account_id FROM public.seat;
UPDATE public.license_pool SET seats_total = 2 WHERE id = 1;

-- functions and operators found before PostgreSQL's
-- expect: seat is taken by another account: release it first
CREATE FUNCTION pg_temp.differs(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR pg_temp.<> (FUNCTION = pg_temp.differs, LEFTARG = bigint, RIGHTARG = bigint);
SET search_path = pg_temp, public, pg_catalog;
UPDATE public.seat SET account_id = 4 WHERE pool_id OPERATOR(pg_catalog.=) 1 AND seat_no OPERATOR(pg_catalog.=) 1;

-- the same for what the functions compare
-- expect: an entity cannot be above itself
CREATE FUNCTION pg_temp.never(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR pg_temp.= (FUNCTION = pg_temp.never, LEFTARG = integer, RIGHTARG = integer);
SET search_path = pg_temp, public, pg_catalog;
UPDATE public.entity SET parent_id = 4200 WHERE id OPERATOR(pg_catalog.=) 42;

-- a trigger on a table of one's own that runs a function of ours with the owner's rights
-- expect: permission denied for function public.seat_changed
-- only: admin
CREATE TEMP TABLE mine (LIKE public.seat);
CREATE TRIGGER mine AFTER UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION public.seat_changed();
INSERT INTO mine VALUES (1, 5, 'SqlBackup');
UPDATE mine SET account_id = 4;

-- the functions called
-- expect: permission denied for function audit_change
-- only: admin
SELECT public.audit_change('entity', NULL, '{}', 1, NULL, NULL, NULL, NULL, NULL);

-- and the one that moves sequences
-- expect: permission denied for function next_id_after
-- only: admin
SELECT public.next_id_after(1000000, 'account_id_seq');

-- the grants
-- expect: permission denied for function grant_to_roles
-- only: admin
SELECT public.grant_to_roles();

-- a function of one's own in the place of the depth of triggers
-- expect: permission denied for table seat
-- only: admin
CREATE FUNCTION pg_temp.pg_trigger_depth() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SET search_path = pg_temp, public, pg_catalog;
INSERT INTO public.seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup');

-- from inside a trigger of one's own
-- expect: permission denied for table seat
-- only: admin
CREATE TEMP TABLE mine (n integer);
CREATE FUNCTION pg_temp.insert_seat() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.seat (pool_id, seat_no, license_type) VALUES (1, 6, 'SqlBackup'); RETURN NULL; END $$;
CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION pg_temp.insert_seat();
INSERT INTO mine VALUES (1);

-- credentials changed where a ticket of this moment is not seen
-- expect: must be made at READ COMMITTED
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE credential SET active = 0 WHERE user_name = 'agent';
COMMIT;

-- settings that are gone with the transaction
-- expect: of a license pool are kept by the database
-- only: owner
BEGIN;
SELECT set_config('seatkeeper.service', 'on', true) \g /dev/null
COMMIT;
UPDATE license_pool SET seats_in_use_max = 9;

-- settings rolled back
-- expect: tickets are kept by the service
-- only: owner
BEGIN;
SET seatkeeper.service = 'on';
ROLLBACK;
UPDATE ticket SET expires_at = '2099-12-31T00:00:00Z';
