-- From version 3 to version 4: events are chained.

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
