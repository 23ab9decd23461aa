-- Temporary tables are taken from everybody, and given first to whatever writes here: the operator
-- stages its batches in them. soulbox_writer has that right already where migrations made it;
-- not where it was made by hand, and neither has the owner.

CREATE OR REPLACE FUNCTION soulbox.grant_reader(login text, tenants text[], connections integer DEFAULT 10,
                                     statement_seconds integer DEFAULT 60)
    RETURNS SETOF text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bounds text[] := ARRAY[
        format('statement_timeout = %L', statement_seconds || 's'),
        format('idle_in_transaction_session_timeout = %L', statement_seconds || 's'),
        format('idle_session_timeout = %L', '1d')];
    bound  text;
    -- Whatever writes here stages rows in temporary tables.
    writers CONSTANT text := (
        SELECT string_agg(DISTINCT format('%I', g.rolname), ', ')
          FROM pg_class c
         CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
          JOIN pg_roles g ON g.oid = a.grantee
         WHERE c.oid = 'soulbox.billing_events'::regclass AND a.privilege_type = 'INSERT');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = login AND r.rolcanlogin) THEN
        RAISE EXCEPTION 'there is no login "%"', login
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'login_exists',
                  HINT = 'Make it first: create role … login password ….';
    ELSIF EXISTS (SELECT FROM pg_roles r
                   WHERE pg_has_role(login, r.oid, 'MEMBER')
                     AND (r.rolsuper OR r.rolbypassrls
                          OR r.rolname IN ('soulbox_owner', 'soulbox_writer', 'soulbox_admin_reader'))) THEN
        RAISE EXCEPTION 'login "%" sees the rows of all tenants already', login
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'login_of_tenants',
                  HINT = 'Take another login for a tenant.';
    ELSIF coalesce(cardinality(tenants), 0) = 0 OR '' = ANY (tenants) OR array_position(tenants, NULL) > 0 THEN
        RAISE EXCEPTION 'no tenant is named'
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'tenant_named';
    ELSIF connections NOT BETWEEN 1 AND 1000 OR statement_seconds NOT BETWEEN 1 AND 86400 THEN
        RAISE EXCEPTION 'connections are from 1 to 1000, seconds from 1 to 86400'
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    IF NOT pg_has_role(login, 'soulbox_reader', 'MEMBER') THEN
        EXECUTE format('GRANT soulbox_reader TO %I', login);
    END IF;
    INSERT INTO soulbox.tenant_roles (role_name, tenant)
    SELECT login, t.tenant FROM unnest(tenants) AS t (tenant)
    ON CONFLICT DO NOTHING;
    EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', login, connections);
    RETURN NEXT format('at most %s connections', connections);
    IF current_setting('server_version_num')::integer >= 170000 THEN
        bounds := bounds || format('transaction_timeout = %L', statement_seconds * 10 || 's');
    END IF;
    FOREACH bound IN ARRAY bounds LOOP
        EXECUTE format('ALTER ROLE %I SET %s', login, bound);
        RETURN NEXT bound;
    END LOOP;
    IF has_parameter_privilege('temp_file_limit', 'SET') THEN
        EXECUTE format('ALTER ROLE %I SET temp_file_limit = %L', login, '1GB');
        RETURN NEXT 'temp_file_limit = ''1GB''';
    ELSE
        RETURN NEXT format('not set, a superuser may: alter role %I set temp_file_limit = ''1GB''', login);
    END IF;
    IF NOT has_database_privilege('public', current_database(), 'TEMPORARY') THEN
        NULL;
    ELSIF (SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database()) THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %s', current_database(), writers);
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        RETURN NEXT 'temporary tables in this database only for those that they are granted to';
    ELSE
        RETURN NEXT format('not done, the owner of the database may: grant temporary on database %1$I to %2$s; '
                           'revoke temporary on database %1$I from public', current_database(), writers);
    END IF;
END
$$;
