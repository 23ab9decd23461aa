-- set_lock_wait --
-- How long this transaction waits for another runner, and for the locks it needs; other
-- settings it relies on, whatever the role or the database have for default.
SELECT set_config('lock_timeout', %(wait)s, true),
       set_config('search_path', 'pg_catalog', true),
       set_config('standard_conforming_strings', 'on', true),
       set_config('check_function_bodies', 'on', true),
       set_config('default_tablespace', '', true),
       set_config('TimeZone', 'UTC', true),
       set_config('DateStyle', 'ISO, MDY', true),
       set_config('client_min_messages', 'warning', true);

-- lock --
-- One runner at a time, until the transaction ends, however it ends. Any login could take an
-- advisory lock, and keep it; that on the record only who may write it. Where there is no record
-- yet there is no login of a tenant either. (A login that has to act as another role to write it
-- takes the advisory one.)
DO $$
DECLARE
    record_oid oid := (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'soulbox' AND c.relname = 'schema_migrations');
BEGIN
    IF record_oid IS NULL OR NOT has_table_privilege(record_oid, 'UPDATE') THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('soulbox.migrate', 0));
        record_oid := (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'soulbox' AND c.relname = 'schema_migrations');
    END IF;
    IF record_oid IS NOT NULL AND has_table_privilege(record_oid, 'UPDATE') THEN
        LOCK TABLE soulbox.schema_migrations IN SHARE ROW EXCLUSIVE MODE;
    END IF;
END
$$;

-- has_record --
-- Whether this database was ever migrated. Looked up in the catalog and not by to_regclass,
-- which remembers that it was missing while another runner, waited for, made it.
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'soulbox' AND c.relname = 'schema_migrations') AS has_record;

-- has_replaced --
-- Whether a restore was ended in the middle: what is there is not proved.
SELECT to_regnamespace('soulbox_replaced') IS NOT NULL AS has_replaced;

-- applied --
-- What was applied.
SELECT version, name, sha256 FROM soulbox.schema_migrations ORDER BY version;

-- record --
-- One more was applied.
INSERT INTO soulbox.schema_migrations (version, name, sha256)
VALUES (%(version)s, %(name)s, %(sha256)s);

-- make_roles --
-- The group roles, where the login may make them; people are made members by name.
DO $$
DECLARE
    role_name text;
BEGIN
    IF NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOREACH role_name IN ARRAY ARRAY['soulbox_owner', 'soulbox_writer', 'soulbox_reader',
                                   'soulbox_app', 'soulbox_admin_reader'] LOOP
        IF to_regrole(role_name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
                -- From PostgreSQL 16 on who makes a role may not at once act as it.
                IF role_name = 'soulbox_owner'
                   AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                    GRANT soulbox_owner TO CURRENT_USER;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- roles belong to the whole server: another database's runner made it
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO soulbox_owner', current_database());
    -- The mirror stages its batches in temporary tables.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO soulbox_writer', current_database());
END
$$;

-- become_owner --
-- What is made in this transaction belongs to the owner of what is there, and of a new schema
-- to soulbox_owner, so that functions with the rights of their owner have no more rights than
-- that role.
DO $$
DECLARE
    owner text := (SELECT pg_get_userbyid(coalesce(
                              (SELECT c.relowner FROM pg_class c
                                WHERE c.relnamespace = n.oid AND c.relname = 'schema_migrations'),
                              n.nspowner))
                     FROM pg_namespace n WHERE n.nspname = 'soulbox');
BEGIN
    IF owner IS NULL AND to_regrole('soulbox_owner') IS NOT NULL
       AND has_database_privilege('soulbox_owner', current_database(), 'CREATE') THEN
        owner := 'soulbox_owner';
    END IF;
    IF owner IS NOT NULL AND pg_has_role(current_user, owner, 'MEMBER') THEN
        EXECUTE format('SET LOCAL ROLE %I', owner);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- a member that may not act as the role: what is made belongs to the login
END
$$;

-- schema_owner --
-- Whose the schema is; null where there is none.
SELECT (SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'soulbox');

-- has_access --
-- Whether this schema can give rights by itself.
SELECT to_regprocedure('soulbox.apply_access()') IS NOT NULL;

-- apply_access --
-- Rights and row policies of the group roles, on tables of the newest migrations too.
CALL soulbox.apply_access();
