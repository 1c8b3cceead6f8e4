-- From version 4 to version 5: sessions of the pages for administrators; refusals, uses of credentials and upkeep are kept; the events
-- of a change with a reason are found by its request id.

-- The events of one change of the pages or the command line, which give a reason. Calls give none, so this costs them nothing.
CREATE INDEX audit_event_with_reason ON audit_event (request_id) WHERE reason IS NOT NULL;

-- Kept by the service: who is signed in on the pages for administrators. No column is yours to write, but rows are yours to delete;
-- that signs somebody out:  DELETE FROM session WHERE user_name = 'ann'  A session also ends when its credential is deleted, renamed or
-- made inactive, or gets another password_hash.
CREATE TABLE session (
    id          TEXT NOT NULL PRIMARY KEY
                CONSTRAINT "session.id must be a UUID in small letters"
                CHECK (length(CAST(id AS BLOB)) = 36 AND id GLOB '????????-????-????-????-????????????'
                       AND length(replace(id, '-', '')) = 32 AND id NOT GLOB '*[^0-9a-f-]*'),
    -- a hash of what the browser holds: who reads this file cannot sign in with it
    secret_hash BLOB NOT NULL
                CONSTRAINT "session.secret_hash must have 32 bytes" CHECK (length(secret_hash) = 32),
    user_name   TEXT NOT NULL COLLATE NOCASE REFERENCES credential (user_name),
    created_at  TEXT NOT NULL CONSTRAINT "session.created_at must be UTC like 2027-01-31T00:00:00Z" CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%SZ', created_at, '+0 days') AND created_at >= '0'),
    -- when it ends if it is not used; moves on with use
    expires_at  TEXT NOT NULL CONSTRAINT "session.expires_at must be UTC like 2027-01-31T00:00:00Z" CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%SZ', expires_at, '+0 days') AND expires_at >= '0'),
    -- when it ends in any case
    ends_at     TEXT NOT NULL CONSTRAINT "session.ends_at must be UTC like 2027-01-31T00:00:00Z" CHECK (ends_at IS strftime('%Y-%m-%dT%H:%M:%SZ', ends_at, '+0 days') AND ends_at >= '0'),
    -- of the browser at the sign-in
    address     TEXT
) STRICT;

CREATE INDEX session_by_user_name ON session (user_name);
CREATE INDEX session_by_expires_at ON session (expires_at);

-- Kept by the service: calls that were refused, the newest (refusals_kept_max), written up to a second after the call. No column is
-- yours to write, but rows are yours to delete.
CREATE TABLE refusal (
    -- in the order in which they were written
    id           INTEGER PRIMARY KEY NOT NULL,
    at           TEXT NOT NULL CONSTRAINT "refusal.at must be UTC like 2027-01-31T00:00:00Z" CHECK (at IS strftime('%Y-%m-%dT%H:%M:%SZ', at, '+0 days') AND at >= '0'),
    -- the call's id, as it stands in the log and in the answer (Err-...)
    request_id   TEXT NOT NULL,
    -- the name of the credential, if the caller proved to be that; of a failed sign-in it is null
    actor        TEXT COLLATE NOCASE,
    operation    TEXT NOT NULL,
    -- as the caller got it, such as NoFreeSeat
    code         TEXT NOT NULL,
    message      TEXT NOT NULL,
    -- what the request named, if it did; none of them need exist
    entity_id    INTEGER,
    username     TEXT COLLATE NOCASE,
    license_type TEXT,
    address      TEXT
) STRICT;

CREATE INDEX refusal_by_request_id ON refusal (request_id);

-- Kept by the service: when and from where a credential was used last, written up to a second after the call. No column is yours to
-- write, but rows are yours to delete. The row of a credential that is deleted or renamed goes with it.
CREATE TABLE credential_use (
    user_name            TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    last_used_at         TEXT CONSTRAINT "credential_use.last_used_at must be UTC like 2027-01-31T00:00:00Z" CHECK (last_used_at IS strftime('%Y-%m-%dT%H:%M:%SZ', last_used_at, '+0 days') AND last_used_at >= '0'),
    last_address         TEXT,
    -- wrong passwords since it was last used
    failures             INTEGER NOT NULL DEFAULT 0
                         CONSTRAINT "credential_use.failures cannot be negative" CHECK (failures >= 0),
    last_failure_at      TEXT CONSTRAINT "credential_use.last_failure_at must be UTC like 2027-01-31T00:00:00Z" CHECK (last_failure_at IS strftime('%Y-%m-%dT%H:%M:%SZ', last_failure_at, '+0 days') AND last_failure_at >= '0'),
    last_failure_address TEXT
) STRICT;

-- Kept by the service: when what an operator has to see to was done last.
CREATE TABLE upkeep (
    -- backup: by seatkeeper backup; check: the verification by the service or seatkeeper check
    task   TEXT NOT NULL PRIMARY KEY
           CONSTRAINT "upkeep.task must be backup or check" CHECK (task IN ('backup', 'check')),
    at     TEXT NOT NULL CONSTRAINT "upkeep.at must be UTC like 2027-01-31T00:00:00Z" CHECK (at IS strftime('%Y-%m-%dT%H:%M:%SZ', at, '+0 days') AND at >= '0'),
    -- how it went, for people
    detail TEXT
) STRICT;
