-- From version 3 to version 4: events are chained; outcomes of named calls are kept.

ALTER TABLE audit_event ADD COLUMN hash BLOB CONSTRAINT "audit_event.hash must have 32 bytes" CHECK (length(hash) = 32);

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
