-- The roles of people who work with Seatkeeper's database, for a server where the owner of that database may not create roles. A superuser
-- runs it in that database, before or after `seatkeeper serve --create` has made the tables, and as often as wanted:
--   psql -d seatkeeper -f roles.sql
-- What the roles may do stands at the end of schema.postgres.sql. Logins follow by hand:
--   CREATE ROLE ann LOGIN PASSWORD '...' IN ROLE seatkeeper_admin;

DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database());
BEGIN
    IF to_regrole('seatkeeper_admin') IS NULL THEN
        CREATE ROLE seatkeeper_admin NOLOGIN;
    END IF;
    IF to_regrole('seatkeeper_reader') IS NULL THEN
        CREATE ROLE seatkeeper_reader NOLOGIN;
    END IF;
    -- Before PostgreSQL 15 everybody may make tables and functions in the schema public, beside the service's own.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA public TO %I', owner);
    GRANT USAGE ON SCHEMA public TO seatkeeper_admin, seatkeeper_reader;
    -- The grants run with the rights of the owner, not with a superuser's.
    EXECUTE format('SET LOCAL ROLE %I', owner);
    IF to_regprocedure('public.grant_to_roles()') IS NOT NULL THEN
        PERFORM public.grant_to_roles();
    END IF;
END $$;
