-- A login that may add samples, and no changes, writes changes all the same: what it has not
-- committed yet is waited for, or followers of the feed would miss it.

CREATE OR REPLACE FUNCTION soulbox.may_write(role_oid oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Null is no login: a process of the server itself.
    SELECT role_oid IS NULL
           OR EXISTS (SELECT FROM pg_roles g
                       WHERE pg_has_role(role_oid, g.oid, 'MEMBER')
                         AND (g.rolsuper
                              OR has_any_column_privilege(g.oid, 'soulbox.changes', 'INSERT')
                              OR has_any_column_privilege(g.oid, 'soulbox.billing_events', 'INSERT')
                              OR has_any_column_privilege(g.oid, 'soulbox.usage_marks', 'INSERT')
                              -- Its trigger writes changes with the owner's rights.
                              OR has_any_column_privilege(g.oid, 'soulbox.resource_metrics', 'INSERT')))
$$;
COMMENT ON FUNCTION soulbox.may_write(oid) IS
    'Whether a role, or one that it may act as, adds rows to what is followed by transaction: changes, billing_events, usage_marks; or samples, which become changes';
