-- From version 1 to version 2: license offers, tickets, and the call that changed a pool. Comments stand in schema.sql;
-- a test compares what the steps make with what schema.sql makes.

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
