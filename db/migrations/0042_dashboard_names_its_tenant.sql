-- A program tells the refusal by its name.

CREATE OR REPLACE FUNCTION soulbox.dashboard(of_user text, of_tenant text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who      CONSTANT text := coalesce(soulbox.visible_user(), of_user);
    tenants  text[];
    document jsonb;
BEGIN
    IF who = of_user AND who <> '' THEN
        tenants := ARRAY(
            SELECT t.tenant FROM unnest(soulbox.listed_tenants(of_tenant)) AS t (tenant)
             WHERE EXISTS (SELECT FROM soulbox.executions e WHERE e.tenant = t.tenant AND e.user_name = (SELECT who))
                OR EXISTS (SELECT FROM soulbox.sandboxes s WHERE s.tenant = t.tenant AND s.user_name = (SELECT who))
             ORDER BY t.tenant);
    END IF;
    -- Two people of one name are two people.
    IF cardinality(tenants) > 1 THEN
        RAISE EXCEPTION 'user "%" is in several tenants: %', of_user, array_to_string(tenants[:10], ', ')
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'dashboard_tenant',
                  HINT = 'Name the tenant too.';
    END IF;
    SELECT jsonb_build_object(
        'user', of_user,
        'tenant', tenants[1],
        'active_sandboxes', coalesce((
            SELECT jsonb_agg(to_jsonb(s) ORDER BY s.created_at DESC, s.uid) FROM (
                SELECT uid, tenant, namespace, name, class_name, state, created_at, started_at,
                       expires_at, last_activity_at
                  FROM soulbox.sandboxes
                 WHERE tenant = tenants[1] AND user_name = (SELECT who) AND deleted_at IS NULL
                   AND state IN ('created', 'starting', 'running')
                 ORDER BY created_at DESC
                 LIMIT 100) s), '[]'),
        'last_executions', coalesce((
            SELECT jsonb_agg(to_jsonb(e) ORDER BY e.created_at DESC, e.uid) FROM (
                SELECT uid, tenant, namespace, name, sandbox_uid, language, state, reason,
                       created_at, started_at, completed_at, duration_ms, exit_code
                  FROM soulbox.executions
                 WHERE tenant = tenants[1] AND user_name = (SELECT who)
                 ORDER BY created_at DESC
                 LIMIT 10) e), '[]'),
        'executions_24h', d.executions,
        'duration_ms_24h', d.duration_ms)
      INTO document
      FROM (SELECT count(*) AS executions, coalesce(sum(duration_ms), 0) AS duration_ms
              FROM soulbox.executions
             WHERE tenant = tenants[1] AND user_name = (SELECT who)
               AND created_at > now() - interval '24 hours') d;
    RETURN document;
END
$$;
