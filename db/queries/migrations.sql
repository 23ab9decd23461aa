-- set_lock_wait --
-- How long to wait for another runner.
SELECT set_config('lock_timeout', %(wait)s, false);

-- lock --
-- One runner at a time; released when its connection ends, however it ends.
SELECT pg_advisory_lock(hashtextextended('soulbox.migrate', 0));

-- has_record --
-- Whether this database was ever migrated.
SELECT to_regclass('soulbox.schema_migrations') IS NOT NULL AS has_record;

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
-- What is made from here on belongs to soulbox_owner, so that functions with the rights
-- of their owner have no more rights than that role.
DO $$
BEGIN
    IF to_regrole('soulbox_owner') IS NOT NULL
       AND pg_has_role(current_user, 'soulbox_owner', 'MEMBER')
       AND has_database_privilege('soulbox_owner', current_database(), 'CREATE') THEN
        SET ROLE soulbox_owner;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- a member that may not act as the role: what is made belongs to the login
END
$$;

-- has_access --
-- Whether this schema can give rights by itself.
SELECT to_regprocedure('soulbox.apply_access()') IS NOT NULL;

-- apply_access --
-- Rights and row policies of the group roles, on tables of the newest migrations too.
CALL soulbox.apply_access();
