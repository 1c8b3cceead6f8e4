-- From version 2 to version 3: events of a pool name its owner and type, and names have no blanks at either end.

ALTER TABLE audit_event ADD COLUMN entity_id INTEGER;
ALTER TABLE audit_event ADD COLUMN license_type TEXT;
CREATE INDEX audit_event_by_owner ON audit_event (entity_id, license_type) WHERE entity_id IS NOT NULL;

-- Of the pools that are still there. An id may have been used before by a pool that is gone, of which nothing is known.
UPDATE audit_event
   SET entity_id = license_pool.entity_id, license_type = license_pool.license_type
  FROM license_pool
 WHERE license_pool.id = audit_event.pool_id
   AND audit_event.id IN (SELECT max(id) FROM audit_event WHERE action = 'pool-create' GROUP BY pool_id);

-- Names that are the same without the blanks at their ends are one name now. Where none of them is without blanks already,
-- the oldest account gets the name. The others stay as they are: no call finds them, and `seatkeeper check` names them.
WITH name (id, old, new) AS (SELECT id, username, trim(username, char(32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287, 12288)) FROM account)
UPDATE account
   SET username = name.new
  FROM name
 WHERE name.id = account.id
   AND account.id IN (SELECT min(id) FROM name WHERE new <> '' GROUP BY new COLLATE NOCASE HAVING sum(old = new) = 0);

-- The same for credentials. Their tickets end, as they do whenever a credential is renamed.
DELETE FROM ticket
 WHERE user_name <> trim(user_name, char(32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287, 12288));
WITH name (old, new) AS (SELECT user_name, trim(user_name, char(32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287, 12288)) FROM credential)
UPDATE credential
   SET user_name = name.new
  FROM name
 WHERE name.old = credential.user_name
   AND credential.user_name IN (SELECT min(old) FROM name WHERE lower(new) NOT IN ('', 'sql', 'cli')
                                 GROUP BY new COLLATE NOCASE HAVING sum(old = new) = 0);
