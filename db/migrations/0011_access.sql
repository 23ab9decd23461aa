-- Who sees which rows. From here on soulbox_reader sees the tenants that tenant_roles gives
-- it and no longer all: who shall see all is made a member of soulbox_admin_reader.

CREATE TABLE soulbox.tenant_roles (
    role_name  text        NOT NULL,
    tenant     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_roles_pkey PRIMARY KEY (role_name, tenant),
    CONSTRAINT tenant_roles_named CHECK (role_name <> '' AND tenant <> '')
);
COMMENT ON TABLE soulbox.tenant_roles IS
    'Which tenants'' rows a login that is a member of soulbox_reader sees';
COMMENT ON COLUMN soulbox.tenant_roles.role_name IS 'The login (session_user): SET ROLE changes nothing';
COMMENT ON COLUMN soulbox.tenant_roles.tenant IS 'A tenant whose rows it sees';
COMMENT ON COLUMN soulbox.tenant_roles.created_at IS 'When the row was made';

CREATE FUNCTION soulbox.visible_tenants() RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM pg_roles r
                      WHERE (r.rolname = session_user AND (r.rolsuper OR r.rolbypassrls))
                         OR (pg_has_role(session_user, r.oid, 'USAGE')
                             AND (r.rolname IN ('soulbox_admin_reader', 'soulbox_writer')
                                  OR r.oid = (SELECT c.relowner FROM pg_class c
                                               WHERE c.oid = 'soulbox.executions'::regclass))))
        THEN NULL
        ELSE ARRAY(
            SELECT tr.tenant FROM soulbox.tenant_roles tr
             WHERE tr.role_name = session_user
               AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_reader'
                              AND pg_has_role(session_user, r.oid, 'USAGE'))
            UNION
            SELECT current_setting('app.tenant', true)
             WHERE nullif(current_setting('app.tenant', true), '') IS NOT NULL
               AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_app'
                              AND pg_has_role(session_user, r.oid, 'USAGE')))
    END
$$;
COMMENT ON FUNCTION soulbox.visible_tenants() IS
    'The tenants whose rows this login sees; null is all. For functions that must apply them themselves';
REVOKE ALL ON FUNCTION soulbox.visible_tenants() FROM PUBLIC;

CREATE FUNCTION soulbox.visible_user() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN soulbox.visible_tenants() IS NOT NULL
                 AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_app'
                                AND pg_has_role(session_user, r.oid, 'USAGE'))
           THEN nullif(current_setting('app.user', true), '') END
$$;
COMMENT ON FUNCTION soulbox.visible_user() IS
    'The user to whose own rows a back end (soulbox_app) has narrowed itself by app.user; null is all';
REVOKE ALL ON FUNCTION soulbox.visible_user() FROM PUBLIC;

CREATE PROCEDURE soulbox.apply_access()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has_reader CONSTANT boolean := to_regrole('soulbox_reader') IS NOT NULL;
    has_app    CONSTANT boolean := to_regrole('soulbox_app') IS NOT NULL;
    has_admin  CONSTANT boolean := to_regrole('soulbox_admin_reader') IS NOT NULL;
    has_writer CONSTANT boolean := to_regrole('soulbox_writer') IS NOT NULL;
    -- Subselects are evaluated once a statement, and an array can be looked up in an index.
    of_reader  CONSTANT text := 'tenant = ANY (ARRAY(SELECT tr.tenant FROM soulbox.tenant_roles tr '
                                'WHERE tr.role_name = session_user))';
    of_app     CONSTANT text := 'tenant = (SELECT nullif(current_setting(''app.tenant'', true), ''''))';
    of_user    CONSTANT text := ' AND ((SELECT nullif(current_setting(''app.user'', true), '''')) IS NULL '
                                'OR user_name = (SELECT nullif(current_setting(''app.user'', true), '''')))';
    relation   record;
    old        record;
    own_rows   text;
BEGIN
    IF NOT (has_reader OR has_app OR has_admin OR has_writer) THEN
        -- Nobody but the owner: rights given by hand stay as they are.
        RETURN;
    END IF;
    FOR relation IN
        SELECT c.oid, c.relname, c.relkind,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                          AND a.attname = 'tenant' AND NOT a.attisdropped) AS has_tenant,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                          AND a.attname = 'user_name' AND NOT a.attisdropped) AS has_user
          FROM pg_class c
         WHERE c.relnamespace = 'soulbox'::regnamespace
           AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
         ORDER BY c.relname
    LOOP
        IF has_writer THEN
            EXECUTE format('GRANT SELECT ON soulbox.%I TO soulbox_writer', relation.relname);
        END IF;
        IF has_reader THEN
            EXECUTE format('GRANT SELECT ON soulbox.%I TO soulbox_reader', relation.relname);
        END IF;
        IF has_app THEN
            EXECUTE format('GRANT SELECT ON soulbox.%I TO soulbox_app', relation.relname);
        END IF;
        IF has_admin THEN
            EXECUTE format('GRANT SELECT ON soulbox.%I TO soulbox_admin_reader', relation.relname);
        END IF;
        CONTINUE WHEN relation.relkind = 'v' OR NOT relation.has_tenant;

        EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', relation.relname);
        FOR old IN SELECT polname FROM pg_policy WHERE polrelid = relation.oid LOOP
            EXECUTE format('DROP POLICY %I ON soulbox.%I', old.polname, relation.relname);
        END LOOP;
        IF has_writer THEN
            EXECUTE format('CREATE POLICY writer ON soulbox.%I TO soulbox_writer USING (true)',
                           relation.relname);
        END IF;
        IF has_admin THEN
            EXECUTE format('CREATE POLICY admin_reader ON soulbox.%I FOR SELECT '
                           'TO soulbox_admin_reader USING (true)', relation.relname);
        END IF;
        IF has_reader THEN
            EXECUTE format('CREATE POLICY reader ON soulbox.%I FOR SELECT TO soulbox_reader USING (%s)',
                           relation.relname,
                           CASE relation.relname WHEN 'tenant_roles' THEN 'role_name = session_user'
                                                 ELSE of_reader END);
        END IF;
        IF has_app THEN
            own_rows := of_app || CASE WHEN relation.has_user THEN of_user ELSE '' END;
            EXECUTE format('CREATE POLICY app ON soulbox.%I TO soulbox_app USING (%s) WITH CHECK (%s)',
                           relation.relname, own_rows, own_rows);
        END IF;
    END LOOP;
    IF has_app THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_app;
    END IF;
    IF has_admin THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_admin_reader;
    END IF;
    -- Functions with their owner's rights that only read: they apply the caller's tenants.
    FOR relation IN
        SELECT p.oid::regprocedure AS signature, r.rolname
          FROM pg_proc p, pg_roles r
         WHERE p.pronamespace = 'soulbox'::regnamespace AND p.prosecdef AND p.provolatile = 's'
           AND r.rolname IN ('soulbox_writer', 'soulbox_reader', 'soulbox_app', 'soulbox_admin_reader')
         ORDER BY p.oid::regprocedure::text, r.rolname
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', relation.signature, relation.rolname);
    END LOOP;
    -- Nobody but the owner reads a partition but through its table: no policy is on it.
    FOR relation IN
        SELECT c.relname FROM pg_class c
         WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relispartition AND c.relkind = 'r'
    LOOP
        EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', relation.relname);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE soulbox.apply_access() IS
    'Gives the group roles that exist their rights and row policies on every table and view; soulbox migrate calls it after migrations, an administrator after making the roles himself';
REVOKE ALL ON PROCEDURE soulbox.apply_access() FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.ensure_partition(parent text, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    period   text := CASE parent WHEN 'executions' THEN 'month'
                                 WHEN 'execution_outputs' THEN 'month'
                                 WHEN 'resource_metrics' THEN 'day' END;
    first_at timestamp   := date_trunc(period, moment AT TIME ZONE 'UTC');
    from_at  timestamptz := first_at AT TIME ZONE 'UTC';
    to_at    timestamptz := (first_at + ('1 ' || period)::interval) AT TIME ZONE 'UTC';
    child    text := parent || to_char(first_at, CASE period WHEN 'day' THEN '"_y"YYYY"m"MM"d"DD'
                                                             ELSE '"_y"YYYY"m"MM' END);
BEGIN
    IF period IS NULL THEN
        RAISE EXCEPTION 'soulbox.% has no partitions', parent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF moment IS NULL OR moment < '2000-01-01 00:00:00+00' OR moment >= '2200-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'no partition is made for %: not a time between the years 2000 and 2200', moment
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- Two writers may need the same partition at once; the second finds it made. Looked up in
    -- the catalog and not by to_regclass, which remembers that it was missing.
    PERFORM pg_advisory_xact_lock(hashtext('soulbox.ensure_partition'));
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF: readers and
    -- writers of other partitions go on. It adds the indexes and triggers of the parent.
    -- fillfactor: a row of executions is updated once or twice soon after it is made, the
    -- others' never.
    EXECUTE format('CREATE TABLE soulbox.%I (LIKE soulbox.%I INCLUDING DEFAULTS '
                   'INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION '
                   'INCLUDING COMMENTS) WITH (fillfactor = %s)',
                   child, parent, CASE period WHEN 'day' THEN 100 ELSE 85 END);
    -- The table's policies hold for who reads the table; nobody reads the partition itself.
    EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE soulbox.%I ATTACH PARTITION soulbox.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, from_at, to_at);
    RETURN true;
END
$$;

CALL soulbox.apply_access();
