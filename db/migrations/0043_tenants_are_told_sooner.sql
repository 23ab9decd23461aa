-- What each question begins with is planned once a session, and not at each call.

CREATE OR REPLACE FUNCTION soulbox.visible_tenants() RETURNS text[]
    -- Not in language sql: that would be planned anew at each of many calls.
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
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
    END;
END
$$;

CREATE OR REPLACE FUNCTION soulbox.visible_user() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Mostly there is none, and that is soon said.
    IF nullif(current_setting('app.user', true), '') IS NULL
       OR soulbox.visible_tenants() IS NULL
       OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_app'
                         AND pg_has_role(session_user, r.oid, 'USAGE')) THEN
        RETURN NULL;
    END IF;
    RETURN current_setting('app.user', true);
END
$$;

CREATE OR REPLACE FUNCTION soulbox.readable_tenants(of_tenant text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
BEGIN
    RETURN CASE WHEN of_tenant IS NULL THEN tenants
                WHEN tenants IS NULL OR of_tenant = ANY (tenants) THEN ARRAY[of_tenant]
                ELSE '{}' END;
END
$$;

CREATE OR REPLACE FUNCTION soulbox.listed_tenants(of_tenant text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
BEGIN
    IF tenants IS NOT NULL THEN
        RETURN tenants;
    END IF;
    -- From one tenant to the next in an index: a few pages for each, whatever the tables' size.
    RETURN ARRAY(
    WITH RECURSIVE runs (tenant) AS (
        SELECT min(e.tenant) FROM soulbox.executions e
        UNION ALL
        SELECT (SELECT min(e.tenant) FROM soulbox.executions e WHERE e.tenant > r.tenant)
          FROM runs r WHERE r.tenant IS NOT NULL),
    boxes (tenant) AS (
        SELECT min(s.tenant) FROM soulbox.sandboxes s
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM soulbox.sandboxes s WHERE s.tenant > b.tenant)
          FROM boxes b WHERE b.tenant IS NOT NULL),
    codes (tenant) AS (
        SELECT min(p.tenant) FROM soulbox.programs p
        UNION ALL
        SELECT (SELECT min(p.tenant) FROM soulbox.programs p WHERE p.tenant > c.tenant)
          FROM codes c WHERE c.tenant IS NOT NULL)
    SELECT r.tenant FROM runs r WHERE r.tenant IS NOT NULL
    UNION SELECT b.tenant FROM boxes b WHERE b.tenant IS NOT NULL
    UNION SELECT c.tenant FROM codes c WHERE c.tenant IS NOT NULL);
END
$$;
