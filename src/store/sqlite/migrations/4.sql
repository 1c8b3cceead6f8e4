-- From version 3 to version 4: events are chained.

ALTER TABLE audit_event ADD COLUMN hash BLOB CONSTRAINT "audit_event.hash must have 32 bytes" CHECK (length(hash) = 32);
