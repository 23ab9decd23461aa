-- Logins that see some tenants call functions, and read no table: the functions, the views and
-- indexes behind them, and what they may not be kept waiting by.

-- Each pair of breakdowns was compiled anew, in seconds, where the server compiles.
ALTER FUNCTION soulbox.add_breakdown(jsonb, jsonb) SET jit = off;

-- Indexes that begin with the tenant.
DROP INDEX soulbox.executions_user_idx, soulbox.sandboxes_active_idx, soulbox.programs_code_search_idx,
    soulbox.programs_code_english_idx;
-- Hot queries' indexes: a user's newest Executions, a user's live sandboxes, captured files.
CREATE INDEX executions_user_idx ON soulbox.executions (tenant, user_name, created_at DESC);
CREATE INDEX sandboxes_active_idx ON soulbox.sandboxes (tenant, user_name, created_at DESC)
    WHERE deleted_at IS NULL AND state IN ('created', 'starting', 'running');
CREATE INDEX executions_files_idx ON soulbox.executions (tenant, created_at DESC, uid)
    WHERE captured_files IS NOT NULL;

COMMENT ON COLUMN soulbox.programs.code_search IS
    'Words of the first 65536 characters, with their places: what search_code ranks by';
COMMENT ON COLUMN soulbox.changes.xid8 IS
    'Transaction that wrote it; all below watermark() are there for good';

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
    -- the catalog and not by to_regclass, which remembers that it was missing. Any login could
    -- take an advisory lock, and keep it; this one only who may write that table.
    LOCK TABLE soulbox.schema_migrations IN SHARE UPDATE EXCLUSIVE MODE;
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

CREATE OR REPLACE VIEW soulbox.generates_metrics WITH (security_invoker = true) AS
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       m.sandbox_uid, m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
       m.execution_uid IS NOT DISTINCT FROM e.uid AS ran_alone
  FROM soulbox.executions e
  JOIN soulbox.resource_metrics m
    ON m.sandbox_uid = e.sandbox_uid
   AND m.recorded_at >= e.started_at
   AND m.recorded_at <= coalesce(e.completed_at, 'infinity'::timestamptz)
UNION ALL
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       m.sandbox_uid, m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
       m.execution_uid IS NOT DISTINCT FROM e.uid AS ran_alone
  FROM soulbox.executions e
  JOIN soulbox.resource_metrics m
    ON m.sandbox_uid = e.uid
   AND m.recorded_at >= e.started_at
   AND m.recorded_at <= coalesce(e.completed_at, 'infinity'::timestamptz)
 WHERE e.sandbox_uid IS NULL;

CREATE OR REPLACE VIEW soulbox.execution_files WITH (security_invoker = true) AS
SELECT e.uid,
       e.created_at,
       e.cluster,
       e.tenant,
       e.user_name,
       e.namespace,
       e.name,
       (f.place - 1)::integer                            AS place,
       f.file ->> 'path'                                 AS path,
       (f.file ->> 'size_bytes')::bigint                 AS size_bytes,
       f.file ->> 'sha256'                               AS sha256,
       coalesce((f.file ->> 'truncated')::boolean, false) AS truncated,
       CASE WHEN (f.file ->> 'size_bytes')::bigint = 0 THEN ''::bytea
            ELSE (SELECT string_agg(o.bytes, ''::bytea ORDER BY o.seq)
                    FROM soulbox.execution_outputs o
                   WHERE o.uid = e.uid AND o.created_at = e.created_at
                     AND o.stream = 'file/' || (f.place - 1))
       END                                               AS content
  FROM soulbox.executions e
 CROSS JOIN LATERAL jsonb_array_elements(e.captured_files -> 'files')
       WITH ORDINALITY AS f (file, place)
 WHERE e.captured_files IS NOT NULL;

CREATE OR REPLACE PROCEDURE soulbox.apply_access()
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
    -- What a tenant's login may read as it is: no row of anybody lies in these.
    of_all     CONSTANT text[] := ARRAY['schema_migrations', 'mirror_state', 'rollup_state', 'v_partitions',
                                        'v_table_health', 'v_database_health'];
    relation   record;
    old        record;
    own_rows   text;
BEGIN
    -- Functions that read with their owner's rights apply the caller's tenants themselves. Their
    -- plans depend on what is asked; nothing of them is told to the caller's screen, as
    -- debug_print_plan would; and none takes seconds to compile.
    FOR relation IN
        SELECT p.oid::regprocedure AS signature FROM pg_proc p
         WHERE p.pronamespace = 'soulbox'::regnamespace AND p.prosecdef AND p.provolatile = 's'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_custom_plan', relation.signature);
        EXECUTE format('ALTER FUNCTION %s SET client_min_messages = notice', relation.signature);
        EXECUTE format('ALTER FUNCTION %s SET jit = off', relation.signature);
    END LOOP;
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
            EXECUTE format(CASE WHEN relation.relname = ANY (of_all)
                                THEN 'GRANT SELECT ON soulbox.%I TO soulbox_reader'
                                ELSE 'REVOKE SELECT ON soulbox.%I FROM soulbox_reader' END, relation.relname);
        END IF;
        IF has_app THEN
            EXECUTE format(CASE WHEN relation.relname = ANY (of_all)
                                THEN 'GRANT SELECT ON soulbox.%I TO soulbox_app'
                                ELSE 'REVOKE SELECT ON soulbox.%I FROM soulbox_app' END, relation.relname);
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
    IF has_reader THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_reader;
    END IF;
    IF has_admin THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_admin_reader;
    END IF;
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

DROP FUNCTION soulbox.dashboard(text);
DROP FUNCTION soulbox.search_code(text, integer);

-- Reading for logins that see some tenants only: functions, and no table. Whoever may put a
-- condition on a table that others' rows lie in learns of these rows by EXPLAIN, since
-- PostgreSQL may test a leakproof condition before the tenant's. Of a function EXPLAIN tells the
-- rows it gave and the pages it read: so every function here finds its rows by an index that
-- begins with the tenant, or by a UID that the caller knows already.

CREATE FUNCTION soulbox.readable_tenants(of_tenant text) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN of_tenant IS NULL THEN v.tenants
                WHEN v.tenants IS NULL OR of_tenant = ANY (v.tenants) THEN ARRAY[of_tenant]
                ELSE '{}' END
      FROM (SELECT soulbox.visible_tenants() AS tenants) v
$$;
COMMENT ON FUNCTION soulbox.readable_tenants(text) IS
    'Those of visible_tenants() that are meant: the one named, or all that this login sees; null is all there are';
REVOKE ALL ON FUNCTION soulbox.readable_tenants(text) FROM PUBLIC;

CREATE FUNCTION soulbox.listed_tenants(of_tenant text) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- From one tenant to the next in an index: a few pages for each, whatever the tables' size.
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
    SELECT CASE WHEN m.tenants IS NOT NULL THEN m.tenants
                ELSE ARRAY(SELECT r.tenant FROM runs r WHERE r.tenant IS NOT NULL
                           UNION SELECT b.tenant FROM boxes b WHERE b.tenant IS NOT NULL
                           UNION SELECT c.tenant FROM codes c WHERE c.tenant IS NOT NULL) END
      FROM (SELECT soulbox.readable_tenants(of_tenant) AS tenants) m
$$;
COMMENT ON FUNCTION soulbox.listed_tenants(text) IS
    'readable_tenants(), name by name where it is all there are';
REVOKE ALL ON FUNCTION soulbox.listed_tenants(text) FROM PUBLIC;

CREATE FUNCTION soulbox.is_readable(of_uid uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.tenants IS NULL
           OR EXISTS (SELECT FROM soulbox.sandboxes s WHERE s.uid = of_uid AND s.tenant = ANY (v.tenants))
           OR EXISTS (SELECT FROM soulbox.executions e WHERE e.uid = of_uid AND e.tenant = ANY (v.tenants))
      FROM (SELECT soulbox.visible_tenants() AS tenants) v
$$;
COMMENT ON FUNCTION soulbox.is_readable(uuid) IS
    'Whether a Sandbox or Execution is of a tenant that this login sees: asked before what lies under its UID is read';
REVOKE ALL ON FUNCTION soulbox.is_readable(uuid) FROM PUBLIC;

CREATE FUNCTION soulbox.may_write(role_oid oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Null is no login: a process of the server itself.
    SELECT role_oid IS NULL
           OR EXISTS (SELECT FROM pg_roles g
                       WHERE pg_has_role(role_oid, g.oid, 'MEMBER')
                         AND (g.rolsuper
                              OR has_table_privilege(g.oid, 'soulbox.changes', 'INSERT')
                              OR has_table_privilege(g.oid, 'soulbox.billing_events', 'INSERT')
                              OR has_table_privilege(g.oid, 'soulbox.usage_marks', 'INSERT')))
$$;
COMMENT ON FUNCTION soulbox.may_write(oid) IS
    'Whether a role, or one that it may act as, adds rows to what is followed by transaction: changes, billing_events, usage_marks';
REVOKE ALL ON FUNCTION soulbox.may_write(oid) FROM PUBLIC;

CREATE FUNCTION soulbox.watermark() RETURNS xid8
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- pg_snapshot_xmin would do, and would let any login of the server, of other databases too,
    -- stop everybody's feed with a transaction that it leaves open. A transaction whose session
    -- is not found in the list of sessions (a prepared one) is waited for.
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_snapshot_xmin(s.now)
                ELSE least(pg_snapshot_xmax(s.now), pg_current_xact_id_if_assigned(),
                           (SELECT min(x.xid8) FROM pg_snapshot_xip(s.now) AS x (xid8)
                             WHERE NOT EXISTS (
                                 SELECT FROM pg_stat_get_activity(NULL) a
                                  WHERE a.backend_xid = x.xid8::xid
                                    AND (a.datid <> (SELECT d.oid FROM pg_database d
                                                      WHERE d.datname = current_database())
                                         OR NOT soulbox.may_write(a.usesysid))))) END
      FROM (SELECT pg_current_snapshot() AS now) s
$$;
COMMENT ON FUNCTION soulbox.watermark() IS
    'All transactions below it that write rows here have ended: their rows are there for good. Transactions of other databases, and of logins that may not write, are not waited for';
REVOKE ALL ON FUNCTION soulbox.watermark() FROM PUBLIC;

-- Each relation that a tenant may read, as a function of its name. Null is no filter.
-- A name that is asked for is no constant to the planner (SELECT who): else its statistics of all
-- tenants' rows would choose the plan, and the pages read would tell a name of another tenant.

CREATE FUNCTION soulbox.sandboxes(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_uid uuid DEFAULT NULL,
        in_state text DEFAULT NULL, from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL,
        after_at timestamptz DEFAULT NULL, after_uid uuid DEFAULT NULL,
        max_rows bigint DEFAULT NULL, in_namespace text DEFAULT NULL, of_name text DEFAULT NULL)
    RETURNS SETOF soulbox.sandboxes
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_uid IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    ELSIF of_uid IS NOT NULL THEN
        RETURN QUERY
        SELECT s.* FROM soulbox.sandboxes s
         WHERE s.uid = of_uid
           AND (tenants IS NULL OR s.tenant = ANY (tenants))
           AND (who IS NULL OR s.user_name = (SELECT who))
           AND (in_state IS NULL OR s.state = in_state)
           AND (in_namespace IS NULL OR s.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR s.name = (SELECT of_name))
           AND (from_at IS NULL OR s.created_at >= from_at)
           AND (to_at IS NULL OR s.created_at < to_at)
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT s.* FROM soulbox.sandboxes s
             WHERE s.tenant = t.tenant
               AND (who IS NULL OR s.user_name = (SELECT who))
               AND (in_state IS NULL OR s.state = in_state)
               AND (in_namespace IS NULL OR s.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR s.name = (SELECT of_name))
               AND (from_at IS NULL OR s.created_at >= from_at)
               AND (to_at IS NULL OR s.created_at < to_at)
               AND (after_at IS NULL
                    OR (s.created_at <= after_at AND (s.created_at < after_at OR s.uid > after_uid)))
             ORDER BY s.created_at DESC, s.uid
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.sandboxes(text, text, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text) IS
    'Rows of sandboxes that this login sees, newest first; created in [from_at, to_at), after the row of after_at and after_uid';
REVOKE ALL ON FUNCTION soulbox.sandboxes(text, text, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.executions(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_sandbox uuid DEFAULT NULL,
        of_uid uuid DEFAULT NULL, in_state text DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL, after_at timestamptz DEFAULT NULL, after_uid uuid DEFAULT NULL,
        max_rows bigint DEFAULT NULL, in_namespace text DEFAULT NULL, of_name text DEFAULT NULL)
    RETURNS SETOF soulbox.executions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_list CONSTANT boolean := of_uid IS NULL AND of_sandbox IS NULL;
    tenants CONSTANT text[] := CASE WHEN is_list THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user
       OR (of_uid IS NOT NULL AND NOT soulbox.is_readable(of_uid))
       OR (of_sandbox IS NOT NULL AND NOT soulbox.is_readable(of_sandbox)) THEN
        RETURN;
    ELSIF NOT is_list THEN
        RETURN QUERY
        SELECT e.* FROM soulbox.executions e
         WHERE (of_uid IS NULL OR e.uid = of_uid)
           AND (of_sandbox IS NULL OR e.sandbox_uid = of_sandbox)
           AND (tenants IS NULL OR e.tenant = ANY (tenants))
           AND (who IS NULL OR e.user_name = (SELECT who))
           AND (in_state IS NULL OR e.state = in_state)
           AND (in_namespace IS NULL OR e.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR e.name = (SELECT of_name))
           AND (from_at IS NULL OR e.created_at >= from_at)
           AND (to_at IS NULL OR e.created_at < to_at)
           AND (after_at IS NULL
                OR (e.created_at <= after_at AND (e.created_at < after_at OR e.uid > after_uid)))
         ORDER BY e.created_at DESC, e.uid
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT e.* FROM soulbox.executions e
             WHERE e.tenant = t.tenant
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND (in_state IS NULL OR e.state = in_state)
               AND (in_namespace IS NULL OR e.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR e.name = (SELECT of_name))
               AND (from_at IS NULL OR e.created_at >= from_at)
               AND (to_at IS NULL OR e.created_at < to_at)
               AND (after_at IS NULL
                    OR (e.created_at <= after_at AND (e.created_at < after_at OR e.uid > after_uid)))
             ORDER BY e.created_at DESC, e.uid
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text) IS
    'Rows of executions that this login sees, newest first; created in [from_at, to_at), after the row of after_at and after_uid';
REVOKE ALL ON FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.v_executions(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_sandbox uuid DEFAULT NULL,
        of_uid uuid DEFAULT NULL, in_state text DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL, after_at timestamptz DEFAULT NULL, after_uid uuid DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.v_executions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whoever sees an Execution sees its code, whichever user of the tenant ran it first.
    RETURN QUERY
    SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.sandbox_uid, e.one_shot,
           e.namespace, e.name, e.class_name, e.language, e.code_sha256, p.code, e.state, e.reason,
           e.message, e.attempt, e.queued_at, e.started_at, e.completed_at, e.duration_ms,
           e.exit_code, e.signal, e.stdout, e.stderr, e.stdout_bytes, e.stderr_bytes,
           e.stdout_truncated, e.stderr_truncated, e.stdout_sha256, e.stderr_sha256,
           e.output_complete, e.error, e.resource_usage, e.billing, e.receipt, e.resource_version,
           e.deleted_at, e.recorded_at, e.updated_at
      FROM soulbox.executions(of_tenant, of_user, of_sandbox, of_uid, in_state, from_at, to_at,
                              after_at, after_uid, max_rows) e
      LEFT JOIN soulbox.programs p ON p.tenant = e.tenant AND p.code_sha256 = e.code_sha256
     ORDER BY e.created_at DESC, e.uid;
END
$$;
COMMENT ON FUNCTION soulbox.v_executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint) IS
    'executions() with their code';
REVOKE ALL ON FUNCTION soulbox.v_executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.programs(of_tenant text DEFAULT NULL, of_sha256 text DEFAULT NULL)
    RETURNS SETOF soulbox.programs
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    RETURN QUERY
    SELECT p.* FROM soulbox.programs p
     WHERE (tenants IS NULL OR p.tenant = ANY (tenants))
       AND (of_sha256 IS NULL OR p.code_sha256 = of_sha256)
       -- user_name is whoever ran it first.
       AND (who IS NULL OR p.user_name = (SELECT who)
            OR EXISTS (SELECT FROM soulbox.executions e
                        WHERE e.tenant = p.tenant AND e.user_name = (SELECT who)
                          AND e.code_sha256 = p.code_sha256));
END
$$;
COMMENT ON FUNCTION soulbox.programs(text, text) IS
    'Rows of programs that this login sees; narrowed to one user, those that any Execution of the user ran';
REVOKE ALL ON FUNCTION soulbox.programs(text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.execution_outputs(of_execution uuid, of_stream text DEFAULT NULL)
    RETURNS SETOF soulbox.execution_outputs
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT o.*
      FROM soulbox.executions(of_uid => of_execution) e
      JOIN soulbox.execution_outputs o ON o.uid = e.uid AND o.created_at = e.created_at
     WHERE of_execution IS NOT NULL AND (of_stream IS NULL OR o.stream = of_stream)
     ORDER BY o.stream, o.seq;
END
$$;
COMMENT ON FUNCTION soulbox.execution_outputs(uuid, text) IS
    'Rows of execution_outputs of one Execution that this login sees, in order';
REVOKE ALL ON FUNCTION soulbox.execution_outputs(uuid, text) FROM PUBLIC;

CREATE FUNCTION soulbox.execution_files(
        of_execution uuid DEFAULT NULL, of_tenant text DEFAULT NULL, of_user text DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.execution_files
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_execution IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    ELSIF of_execution IS NOT NULL THEN
        RETURN QUERY
        SELECT f.* FROM soulbox.execution_files f
         WHERE f.uid = of_execution
           AND (tenants IS NULL OR f.tenant = ANY (tenants))
           AND (who IS NULL OR f.user_name = (SELECT who))
         ORDER BY f.place
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT f.* FROM soulbox.execution_files f
             WHERE f.tenant = t.tenant AND (who IS NULL OR f.user_name = (SELECT who))
             ORDER BY f.created_at DESC, f.uid, f.place
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid, found.place
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.execution_files(uuid, text, text, bigint) IS
    'Rows of execution_files that this login sees: of one Execution, or the newest';
REVOKE ALL ON FUNCTION soulbox.execution_files(uuid, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.resource_metrics(
        of_sandbox uuid DEFAULT NULL, from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL,
        of_tenant text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.resource_metrics
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
    -- Of all sandboxes together there is no index but of the time.
    since   CONSTANT timestamptz := CASE WHEN of_sandbox IS NULL AND from_at IS NULL
                                         THEN coalesce(to_at, now()) - interval '1 hour'
                                         ELSE from_at END;
BEGIN
    IF of_sandbox IS NOT NULL AND NOT soulbox.is_readable(of_sandbox) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.* FROM soulbox.resource_metrics m
     WHERE (of_sandbox IS NULL OR m.sandbox_uid = of_sandbox)
       AND (tenants IS NULL OR m.tenant = ANY (tenants))
       AND (who IS NULL OR m.user_name = (SELECT who))
       AND (since IS NULL OR m.recorded_at >= since)
       AND (to_at IS NULL OR m.recorded_at < to_at)
     ORDER BY m.recorded_at DESC, m.sandbox_uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.resource_metrics(uuid, timestamptz, timestamptz, text, bigint) IS
    'Rows of resource_metrics that this login sees, newest first: of one sandbox, or of all that were taken in [from_at, to_at), the last hour unless given';
REVOKE ALL ON FUNCTION soulbox.resource_metrics(uuid, timestamptz, timestamptz, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.pod_runs(
        of_tenant text DEFAULT NULL, of_uid uuid DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.pod_runs
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    IF of_uid IS NOT NULL AND NOT soulbox.is_readable(of_uid) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.* FROM soulbox.pod_runs r
     WHERE (tenants IS NULL OR r.tenant = ANY (tenants))
       AND (who IS NULL OR r.user_name = (SELECT who))
       AND (of_uid IS NULL OR r.sandbox_uid = of_uid OR r.execution_uid = of_uid)
       AND (from_at IS NULL OR r.started_at >= from_at)
       AND (to_at IS NULL OR r.started_at < to_at)
     ORDER BY r.started_at DESC, r.pod_uid;
END
$$;
COMMENT ON FUNCTION soulbox.pod_runs(text, uuid, timestamptz, timestamptz) IS
    'Rows of pod_runs that this login sees, newest first: of a Sandbox or one-shot Execution (of_uid), begun in [from_at, to_at)';
REVOKE ALL ON FUNCTION soulbox.pod_runs(text, uuid, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.billing_events(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.billing_events
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    -- An adjustment counts for the time it was decided at.
    RETURN QUERY
    SELECT b.* FROM soulbox.billing_events b
     WHERE b.kind <> 'adjustment'
       AND (tenants IS NULL OR b.tenant = ANY (tenants))
       AND (who IS NULL OR b.user_name = (SELECT who))
       AND (from_at IS NULL OR b.starts_at >= from_at)
       AND (to_at IS NULL OR b.starts_at < to_at)
    UNION ALL
    SELECT b.* FROM soulbox.billing_events b
     WHERE b.kind = 'adjustment'
       AND (tenants IS NULL OR b.tenant = ANY (tenants))
       AND (who IS NULL OR b.user_name = (SELECT who))
       AND (from_at IS NULL OR b.occurred_at >= from_at)
       AND (to_at IS NULL OR b.occurred_at < to_at);
END
$$;
COMMENT ON FUNCTION soulbox.billing_events(text, text, timestamptz, timestamptz) IS
    'Rows of the ledger that this login sees: use that began in [from_at, to_at), and adjustments decided in it';
REVOKE ALL ON FUNCTION soulbox.billing_events(text, text, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.price_plans() RETURNS SETOF soulbox.price_plans
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
BEGIN
    -- Rates and names of other tiers may have been agreed upon with others.
    RETURN QUERY
    SELECT p.* FROM soulbox.price_plans p
     WHERE tenants IS NULL
        OR p.tier = 'free'
        OR p.tier IN (SELECT a.tier FROM soulbox.account_tiers a WHERE a.tenant = ANY (tenants))
     ORDER BY p.sku, p.tier, lower(p.valid);
END
$$;
COMMENT ON FUNCTION soulbox.price_plans() IS
    'Plans of tier "free" and of the tiers that the tenants this login sees have or had';
REVOKE ALL ON FUNCTION soulbox.price_plans() FROM PUBLIC;

CREATE FUNCTION soulbox.account_tiers() RETURNS SETOF soulbox.account_tiers
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    RETURN QUERY
    SELECT a.* FROM soulbox.account_tiers a
     WHERE (tenants IS NULL OR a.tenant = ANY (tenants))
       AND (who IS NULL OR a.user_name IN ((SELECT who), ''))
     ORDER BY a.tenant, a.user_name, a.valid;
END
$$;
COMMENT ON FUNCTION soulbox.account_tiers() IS 'Rows of account_tiers that this login sees';
REVOKE ALL ON FUNCTION soulbox.account_tiers() FROM PUBLIC;

CREATE FUNCTION soulbox.v_allowances(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_period timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.v_allowances
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT a.* FROM soulbox.v_allowances a
     WHERE (tenants IS NULL OR a.tenant = ANY (tenants))
       AND (who IS NULL OR a.user_name = (SELECT who))
       AND (of_period IS NULL OR a.period_start = of_period);
END
$$;
COMMENT ON FUNCTION soulbox.v_allowances(text, text, timestamptz) IS
    'Rows of v_allowances that this login sees, of the month that begins at of_period';
REVOKE ALL ON FUNCTION soulbox.v_allowances(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.v_focus(
        of_tenant text DEFAULT NULL, from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.v_focus
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    RETURN QUERY
    SELECT f.* FROM soulbox.v_focus f
     WHERE f.charge_category = 'Usage'
       AND (tenants IS NULL OR f.tenant = ANY (tenants))
       AND (who IS NULL OR f.user_name = (SELECT who))
       AND (from_at IS NULL OR f.charge_period_start >= from_at)
       AND (to_at IS NULL OR f.charge_period_start < to_at)
    UNION ALL
    SELECT f.* FROM soulbox.v_focus f
     WHERE f.charge_category <> 'Usage'
       AND (tenants IS NULL OR f.tenant = ANY (tenants))
       AND (who IS NULL OR f.user_name = (SELECT who))
       AND (from_at IS NULL OR f.billing_period_start >= from_at)
       AND (to_at IS NULL OR f.billing_period_start < to_at);
END
$$;
COMMENT ON FUNCTION soulbox.v_focus(text, timestamptz, timestamptz) IS
    'Rows of v_focus that this login sees: use that began in [from_at, to_at); all else whose billing period begins in it';
REVOKE ALL ON FUNCTION soulbox.v_focus(text, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.v_usage_daily(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, from_day date DEFAULT NULL,
        to_day date DEFAULT NULL)
    RETURNS SETOF soulbox.v_usage_daily
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT u.* FROM soulbox.v_usage_daily u
     WHERE (tenants IS NULL OR u.tenant = ANY (tenants))
       AND (who IS NULL OR u.user_name = (SELECT who))
       AND (from_day IS NULL OR u.day >= from_day)
       AND (to_day IS NULL OR u.day < to_day);
END
$$;
COMMENT ON FUNCTION soulbox.v_usage_daily(text, text, date, date) IS
    'Rows of v_usage_daily that this login sees, of days in [from_day, to_day)';
REVOKE ALL ON FUNCTION soulbox.v_usage_daily(text, text, date, date) FROM PUBLIC;

CREATE FUNCTION soulbox.v_usage_monthly(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, from_period text DEFAULT NULL,
        to_period text DEFAULT NULL)
    RETURNS SETOF soulbox.v_usage_monthly
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT u.* FROM soulbox.v_usage_monthly u
     WHERE (tenants IS NULL OR u.tenant = ANY (tenants))
       AND (who IS NULL OR u.user_name = (SELECT who))
       AND (from_period IS NULL OR u.period >= from_period)
       AND (to_period IS NULL OR u.period <= to_period);
END
$$;
COMMENT ON FUNCTION soulbox.v_usage_monthly(text, text, text, text) IS
    'Rows of v_usage_monthly that this login sees, of months from from_period to to_period, both included';
REVOKE ALL ON FUNCTION soulbox.v_usage_monthly(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.owns(
        of_user text DEFAULT NULL, of_sandbox uuid DEFAULT NULL, of_tenant text DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.owns
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.cluster, s.tenant, s.user_name, s.uid, s.namespace, s.name, s.state, s.created_at, s.deleted_at
      FROM soulbox.sandboxes(of_tenant => of_tenant, of_user => of_user, of_uid => of_sandbox,
                             max_rows => max_rows) s
$$;
COMMENT ON FUNCTION soulbox.owns(text, uuid, text, bigint) IS
    'Rows of owns that this login sees, newest first';
REVOKE ALL ON FUNCTION soulbox.owns(text, uuid, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.runs(
        of_sandbox uuid DEFAULT NULL, of_execution uuid DEFAULT NULL, of_tenant text DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.runs
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.cluster, e.tenant, e.user_name, coalesce(e.sandbox_uid, e.uid), e.uid, e.one_shot,
           e.namespace, e.name, e.state, e.created_at, e.deleted_at
      FROM (SELECT x.* FROM soulbox.executions(of_tenant => of_tenant, of_sandbox => of_sandbox,
                                               of_uid => of_execution, max_rows => max_rows) x
            UNION ALL
            -- The sandbox of a one-shot, of the same UID.
            SELECT x.* FROM soulbox.executions(of_tenant => of_tenant, of_uid => of_sandbox) x
             WHERE of_sandbox IS NOT NULL AND x.sandbox_uid IS NULL
               AND (of_execution IS NULL OR x.uid = of_execution)) e
     WHERE e.sandbox_uid IS NOT NULL OR e.one_shot
     ORDER BY e.created_at DESC, e.uid
     LIMIT max_rows
$$;
COMMENT ON FUNCTION soulbox.runs(uuid, uuid, text, bigint) IS
    'Rows of runs that this login sees, newest first';
REVOKE ALL ON FUNCTION soulbox.runs(uuid, uuid, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.generates(
        of_execution uuid DEFAULT NULL, of_event uuid DEFAULT NULL, of_tenant text DEFAULT NULL,
        from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.generates
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_list CONSTANT boolean := of_execution IS NULL AND of_event IS NULL;
    tenants CONSTANT text[] := CASE WHEN is_list THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := soulbox.visible_user();
    since   CONSTANT timestamptz := CASE WHEN is_list AND from_at IS NULL
                                         THEN coalesce(to_at, now()) - interval '1 day'
                                         ELSE from_at END;
BEGIN
    IF of_execution IS NOT NULL AND NOT soulbox.is_readable(of_execution) THEN
        RETURN;
    ELSIF of_event IS NOT NULL
          AND NOT EXISTS (SELECT FROM soulbox.billing_events b
                           WHERE b.event_id = of_event AND (tenants IS NULL OR b.tenant = ANY (tenants))) THEN
        RETURN;
    ELSIF NOT is_list THEN
        RETURN QUERY
        SELECT g.* FROM soulbox.generates g
         WHERE (of_execution IS NULL OR g.execution_uid = of_execution)
           AND (of_event IS NULL OR g.event_id = of_event)
           AND (tenants IS NULL OR g.tenant = ANY (tenants))
           AND (who IS NULL OR g.user_name = (SELECT who))
           AND (since IS NULL OR g.starts_at >= since)
           AND (to_at IS NULL OR g.starts_at < to_at)
         ORDER BY g.starts_at DESC, g.event_id
         LIMIT max_rows;
        RETURN;
    END IF;
    -- From the ledger's rows of that time to the Executions, not from all Executions.
    RETURN QUERY
    WITH billed AS MATERIALIZED (
        SELECT b.* FROM unnest(tenants) AS t (tenant), soulbox.billing_events b
         WHERE b.tenant = t.tenant AND b.starts_at >= since
           AND b.starts_at < coalesce(to_at, 'infinity'))
    SELECT e.cluster, e.tenant, e.user_name, e.uid, e.created_at, b.event_id, b.kind, b.starts_at,
           b.ends_at, b.amount, b.currency
      FROM billed b
      JOIN LATERAL (
            SELECT x.* FROM soulbox.executions x
             WHERE x.sandbox_uid = b.sandbox_uid AND x.tenant = b.tenant
               AND x.started_at <= b.ends_at
               AND coalesce(x.completed_at, 'infinity'::timestamptz) >= b.starts_at
            UNION ALL
            SELECT x.* FROM soulbox.executions x
             WHERE x.uid = b.execution_uid AND x.tenant = b.tenant) e ON true
     WHERE who IS NULL OR e.user_name = (SELECT who)
     ORDER BY b.starts_at DESC, b.event_id
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.generates(uuid, uuid, text, timestamptz, timestamptz, bigint) IS
    'Rows of generates that this login sees, newest first: of an Execution, of an event, or of all events that began in [from_at, to_at), the last day unless given';
REVOKE ALL ON FUNCTION soulbox.generates(uuid, uuid, text, timestamptz, timestamptz, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.generates_metrics(of_execution uuid, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.generates_metrics
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
BEGIN
    -- Known times reach the partitions; a joined row's would not.
    SELECT e.* INTO run FROM soulbox.executions(of_uid => of_execution) e WHERE of_execution IS NOT NULL;
    IF run.started_at IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT run.cluster, run.tenant, run.user_name, run.uid, run.created_at, m.sandbox_uid,
           m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
           m.execution_uid IS NOT DISTINCT FROM run.uid
      FROM soulbox.resource_metrics m
     WHERE m.sandbox_uid = coalesce(run.sandbox_uid, run.uid)
       AND m.recorded_at >= run.started_at
       AND m.recorded_at <= coalesce(run.completed_at, 'infinity'::timestamptz)
     ORDER BY m.recorded_at
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.generates_metrics(uuid, bigint) IS
    'Rows of generates_metrics of an Execution that this login sees, in order of time';
REVOKE ALL ON FUNCTION soulbox.generates_metrics(uuid, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.changes(
        after_xid8 xid8 DEFAULT '0', after_seq bigint DEFAULT 0, below_xid8 xid8 DEFAULT NULL,
        of_kind text DEFAULT NULL, of_sandbox uuid DEFAULT NULL, of_user text DEFAULT NULL,
        of_tenant text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.changes
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
    until_xid8 CONSTANT xid8 := least(soulbox.watermark(), below_xid8);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.* FROM soulbox.changes c
     WHERE (c.xid8, c.seq) > (after_xid8, after_seq) AND c.xid8 < until_xid8
       AND (tenants IS NULL OR c.tenant = ANY (tenants))
       AND (who IS NULL OR c.user_name = (SELECT who))
       AND (of_kind IS NULL OR c.kind = of_kind)
       AND (of_sandbox IS NULL OR c.sandbox_uid = of_sandbox)
     ORDER BY c.xid8, c.seq
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.changes(xid8, bigint, xid8, text, uuid, text, text, bigint) IS
    'Rows of changes that this login sees, in order: after a position and below watermark(), so that none is missed';
REVOKE ALL ON FUNCTION soulbox.changes(xid8, bigint, xid8, text, uuid, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.changes_wait() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM soulbox.changes c WHERE c.xid8 >= soulbox.watermark())
$$;
COMMENT ON FUNCTION soulbox.changes_wait() IS
    'Whether changes are committed that lie above watermark(): it is worth looking again soon';
REVOKE ALL ON FUNCTION soulbox.changes_wait() FROM PUBLIC;

-- Words of code, by tenant: whoever searches reads the index's pages of their own tenants alone.

CREATE FUNCTION soulbox.tenant_mark(tenant text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN left(md5(tenant), 12);
COMMENT ON FUNCTION soulbox.tenant_mark(text) IS
    'What the words of a tenant''s programs begin with in programs_words_idx';

CREATE FUNCTION soulbox.program_words(tenant text, code_search tsvector, code text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mark CONSTANT text := soulbox.tenant_mark(tenant);
BEGIN
    -- Without places, which the index does not keep either. Longer words are no words.
    RETURN array_to_tsvector(mark || ARRAY(
        SELECT mark || w.word
          FROM unnest(tsvector_to_array(code_search)
                      || tsvector_to_array(to_tsvector('english', left(code, 65536)))) AS w (word)
         WHERE octet_length(w.word) <= 512));
END
$$;
COMMENT ON FUNCTION soulbox.program_words(text, tsvector, text) IS
    'What programs_words_idx holds of a program: its words as written and by English stem, each behind tenant_mark(), and that alone';

CREATE FUNCTION soulbox.search_words(query text)
    RETURNS TABLE (simple tsquery, english tsquery)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words  CONSTANT text := left(query, 1000);
    begins text;
BEGIN
    -- prim* is a word that begins so: it has to be there, whatever else is asked for.
    simple := websearch_to_tsquery('simple', regexp_replace(words, '(^|\s)\w+\*(?=\s|$)', '\1', 'g'));
    english := websearch_to_tsquery('english', regexp_replace(words, '(^|\s)\w+\*(?=\s|$)', '\1', 'g'));
    FOR begins IN SELECT m[1] FROM regexp_matches(words, '(?:^|\s)(\w+)\*(?=\s|$)', 'g') AS m LOOP
        simple := simple && to_tsquery('simple', quote_literal(begins) || ':*');
        english := english && to_tsquery('simple', quote_literal(begins) || ':*');
    END LOOP;
    -- Without a word that has to be there all that there is would be found.
    IF querytree(simple) IN ('T', '') THEN
        simple := ''::tsquery;
    END IF;
    IF querytree(english) IN ('T', '') THEN
        english := ''::tsquery;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION soulbox.search_words(text) IS
    'A query as in a web search, of words as written and of English stems: words, "a phrase", or, -without, begin*; empty where no word has to be there';

CREATE FUNCTION soulbox.words_of_tenant(words tsquery, tenant text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- By its text, in which each word stands between apostrophes and none has a space.
    SELECT CASE WHEN numnode(words) > 0
                THEN (quote_literal(m.mark) || ' & ('
                      || regexp_replace(regexp_replace(words::text, ' <(?:-|\d+)> ', ' & ', 'g'),
                                        '''((?:[^''\\]|''''|\\\\)+)''', '''' || m.mark || '\1''', 'g')
                      || ')')::tsquery END
      FROM (SELECT soulbox.tenant_mark(tenant) AS mark) m
$$;
COMMENT ON FUNCTION soulbox.words_of_tenant(tsquery, text) IS
    'The query for programs_words_idx: its words behind tenant_mark(), phrases as words; null where it is empty';

CREATE INDEX programs_words_idx ON soulbox.programs
    USING gin (soulbox.program_words(tenant, code_search, code));

CREATE FUNCTION soulbox.search_code(query text, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, user_name text, language text, rank real,
                   headline text, recorded_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.listed_tenants(NULL);
    who     CONSTANT text := soulbox.visible_user();
    -- Of a word that is everywhere some hundreds of programs are ranked, not all.
    portion CONSTANT bigint := greatest(300 / greatest(cardinality(tenants), 1), 3);
    limited CONSTANT bigint := least(greatest(max_rows, 1), 200);
    q       record;
BEGIN
    SELECT s.simple, s.english, s.english::text ~ ' <(-|\d+)> ' AS has_phrase INTO q
      FROM soulbox.search_words(query) s;
    RETURN QUERY
    WITH written AS MATERIALIZED (
        SELECT f.*
          FROM unnest(tenants) AS t (tenant)
         CROSS JOIN LATERAL (
                SELECT p.tenant, p.code_sha256, p.user_name, p.language, p.code, p.code_search, p.recorded_at
                  FROM soulbox.programs p
                 WHERE soulbox.program_words(p.tenant, p.code_search, p.code)
                       @@ soulbox.words_of_tenant(q.simple, t.tenant)
                   AND p.tenant = t.tenant
                   AND p.code_search @@ q.simple
                   AND (who IS NULL OR p.user_name = (SELECT who)
                        OR EXISTS (SELECT FROM soulbox.executions e
                                    WHERE e.tenant = p.tenant AND e.user_name = (SELECT who)
                                      AND e.code_sha256 = p.code_sha256))
                 LIMIT portion) f),
    -- Words as written come before words by their stem, which are looked for where the former
    -- are too few: to stem a program takes 30 us and more.
    stemmed AS MATERIALIZED (
        SELECT f.*
          FROM unnest(tenants) AS t (tenant)
         CROSS JOIN LATERAL (
                SELECT p.tenant, p.code_sha256, p.user_name, p.language, p.code, p.code_search, p.recorded_at
                  FROM soulbox.programs p
                 WHERE soulbox.program_words(p.tenant, p.code_search, p.code)
                       @@ soulbox.words_of_tenant(q.english, t.tenant)
                   AND p.tenant = t.tenant
                   AND (NOT q.has_phrase OR to_tsvector('english', left(p.code, 65536)) @@ q.english)
                   AND NOT p.code_search @@ q.simple
                   AND (who IS NULL OR p.user_name = (SELECT who)
                        OR EXISTS (SELECT FROM soulbox.executions e
                                    WHERE e.tenant = p.tenant AND e.user_name = (SELECT who)
                                      AND e.code_sha256 = p.code_sha256))
                 LIMIT portion) f
         WHERE (SELECT count(*) FROM written) < limited),
    best AS (
        SELECT w.*, (1 + ts_rank(w.code_search, q.simple))::real AS rank FROM written w
        UNION ALL
        SELECT s.*, ts_rank(to_tsvector('english', left(s.code, 4096)), q.english) FROM stemmed s
         ORDER BY rank DESC, recorded_at DESC, tenant, code_sha256
         LIMIT limited)
    SELECT b.tenant, b.code_sha256, b.user_name, b.language, b.rank,
           ts_headline('english', left(b.code, 65536), q.english || q.simple,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5'),
           b.recorded_at
      FROM best b
     ORDER BY b.rank DESC, b.recorded_at DESC, b.tenant, b.code_sha256;
END
$$;
COMMENT ON FUNCTION soulbox.search_code(text, integer) IS
    'Programs by words of their code, those as written before those by English stem, ranked, with what matched between « and »; the query is as in a web search and never an error';
REVOKE ALL ON FUNCTION soulbox.search_code(text, integer) FROM PUBLIC;

-- The reports, with the caller's tenants applied.

CREATE FUNCTION soulbox.dashboard(of_user text, of_tenant text DEFAULT NULL) RETURNS jsonb
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
            USING ERRCODE = 'ambiguous_parameter', HINT = 'Name the tenant too.';
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
COMMENT ON FUNCTION soulbox.dashboard(text, text) IS
    'A user of a tenant at a glance, one document: active sandboxes (at most 100), the last 10 executions, their number and duration over 24 hours; the tenant may be left out where the user is in one alone';
REVOKE ALL ON FUNCTION soulbox.dashboard(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.usage_summary(of_sandbox uuid, from_at timestamptz, to_at timestamptz)
    RETURNS TABLE (data_points bigint, average_cpu_cores numeric, peak_cpu_cores numeric,
                   average_memory_bytes bigint, peak_memory_bytes bigint,
                   first_at timestamptz, last_at timestamptz, longest_gap_seconds numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*), round(avg(m.cpu_cores), 6), max(m.cpu_cores),
           round(avg(m.memory_bytes))::bigint, max(m.memory_bytes),
           min(m.recorded_at), max(m.recorded_at), max(m.gap)
      FROM (SELECT r.cpu_cores, r.memory_bytes, r.recorded_at,
                   extract(epoch FROM r.recorded_at - lag(r.recorded_at) OVER (ORDER BY r.recorded_at)) AS gap
              FROM soulbox.resource_metrics(of_sandbox, from_at, to_at) r
             WHERE of_sandbox IS NOT NULL) m
     WHERE soulbox.check_window(from_at, to_at)
$$;
COMMENT ON FUNCTION soulbox.usage_summary(uuid, timestamptz, timestamptz) IS
    'What a sandbox used in [from, to): averages and peaks of the samples there are; nothing is made up for a gap, the longest is told';
REVOKE ALL ON FUNCTION soulbox.usage_summary(uuid, timestamptz, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.execution_stats(days integer, by text)
    RETURNS TABLE (key text, total bigint, completed bigint, failed bigint, timeout bigint,
                   cancelled bigint, unfinished bigint, average_ms numeric, p50_ms numeric,
                   p95_ms numeric, p99_ms numeric)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    IF by IS NULL OR by NOT IN ('class', 'day', 'language', 'namespace', 'program', 'sandbox', 'tenant', 'user') THEN
        RAISE EXCEPTION 'executions are not counted by "%"', by
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'By class, day, language, namespace, program, sandbox, tenant or user.';
    END IF;
    RETURN QUERY
    SELECT g.key, count(*), count(*) FILTER (WHERE g.state = 'completed'),
           count(*) FILTER (WHERE g.state = 'failed'), count(*) FILTER (WHERE g.state = 'timeout'),
           count(*) FILTER (WHERE g.state = 'cancelled'),
           count(*) FILTER (WHERE g.state IN ('queued', 'running')),
           round(avg(g.duration_ms), 3),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY g.duration_ms)::numeric,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY g.duration_ms)::numeric,
           percentile_disc(0.99) WITHIN GROUP (ORDER BY g.duration_ms)::numeric
      FROM (SELECT coalesce(nullif(CASE by
                       WHEN 'class' THEN coalesce(e.class_name, s.class_name)
                       WHEN 'day' THEN to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                       WHEN 'language' THEN e.language
                       WHEN 'namespace' THEN e.namespace
                       WHEN 'program' THEN e.code_sha256
                       WHEN 'sandbox' THEN coalesce(e.sandbox_uid, e.uid)::text
                       WHEN 'tenant' THEN e.tenant
                       WHEN 'user' THEN e.user_name
                   END, ''), '(none)') AS key,
                   e.state, e.duration_ms
              FROM soulbox.executions e
              LEFT JOIN soulbox.sandboxes s ON by = 'class' AND s.uid = e.sandbox_uid
             WHERE e.created_at > now() - make_interval(days => days)
               AND (tenants IS NULL OR e.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))) g
     GROUP BY g.key
     ORDER BY count(*) DESC, g.key;
END
$$;
COMMENT ON FUNCTION soulbox.execution_stats(integer, text) IS
    'Executions of the last days by class, day, language, namespace, program, sandbox, tenant or user: how many, how they ended, durations (average, p50, p95, p99); "(none)" is where no class, language, program or user is known';
REVOKE ALL ON FUNCTION soulbox.execution_stats(integer, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.slowest_programs(days integer, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, runs bigint, average_ms numeric, p95_ms numeric,
                   max_ms bigint, code text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    RETURN QUERY
    SELECT g.tenant, g.code_sha256, g.runs, g.average_ms, g.p95_ms, g.max_ms, left(p.code, 200)
      FROM (SELECT e.tenant, e.code_sha256, count(*) AS runs, round(avg(e.duration_ms), 3) AS average_ms,
                   percentile_disc(0.95) WITHIN GROUP (ORDER BY e.duration_ms)::numeric AS p95_ms,
                   max(e.duration_ms) AS max_ms
              FROM soulbox.executions e
             WHERE e.created_at > now() - make_interval(days => days)
               AND (tenants IS NULL OR e.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND e.duration_ms IS NOT NULL AND e.code_sha256 IS NOT NULL
             GROUP BY e.tenant, e.code_sha256
             ORDER BY p95_ms DESC, e.tenant, e.code_sha256
             LIMIT least(greatest(max_rows, 1), 1000)) g
      LEFT JOIN soulbox.programs p ON p.tenant = g.tenant AND p.code_sha256 = g.code_sha256
     ORDER BY g.p95_ms DESC, g.tenant, g.code_sha256;
END
$$;
COMMENT ON FUNCTION soulbox.slowest_programs(integer, integer) IS
    'Programs of the last days by their p95 duration, with the first 200 characters of their code';
REVOKE ALL ON FUNCTION soulbox.slowest_programs(integer, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.failing_programs(days integer, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, runs bigint, failures bigint, failed_percent numeric,
                   last_error text, code text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    RETURN QUERY
    SELECT g.tenant, g.code_sha256, g.runs, g.failures, round(100.0 * g.failures / g.runs, 2),
           g.last_error, left(p.code, 200)
      FROM (SELECT e.tenant, e.code_sha256, count(*) AS runs,
                   count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) AS failures,
                   left((array_agg(coalesce(e.error ->> 'type', e.reason) ORDER BY e.created_at DESC)
                         FILTER (WHERE e.state IN ('failed', 'timeout')))[1], 200) AS last_error
              FROM soulbox.executions e
             WHERE e.created_at > now() - make_interval(days => days)
               AND (tenants IS NULL OR e.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND e.code_sha256 IS NOT NULL
             GROUP BY e.tenant, e.code_sha256
            HAVING count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) > 0
             ORDER BY failures DESC, e.tenant, e.code_sha256
             LIMIT least(greatest(max_rows, 1), 1000)) g
      LEFT JOIN soulbox.programs p ON p.tenant = g.tenant AND p.code_sha256 = g.code_sha256
     ORDER BY g.failures DESC, g.tenant, g.code_sha256;
END
$$;
COMMENT ON FUNCTION soulbox.failing_programs(integer, integer) IS
    'Programs of the last days by how often they failed or ran out of time, with their last error';
REVOKE ALL ON FUNCTION soulbox.failing_programs(integer, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.search_output(query text, days integer DEFAULT 1, max_rows integer DEFAULT 20)
    RETURNS TABLE (uid uuid, created_at timestamptz, tenant text, user_name text, state text,
                   rank real, headline text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
    q       record;
BEGIN
    PERFORM soulbox.check_days(days);
    SELECT s.simple, s.english INTO q FROM soulbox.search_words(query) s;
    RETURN QUERY
    -- Output has no index of words: it would take half the speed of writing. So the newest
    -- are looked through, and not too many.
    WITH newest AS MATERIALIZED (
        SELECT e.uid, e.created_at, e.tenant, e.user_name, e.state,
               left(concat_ws(E'\n', e.stdout, e.stderr), 65536) AS output
          FROM soulbox.executions e
         WHERE e.created_at > now() - make_interval(days => days)
           AND (tenants IS NULL OR e.tenant = ANY (tenants))
           AND (who IS NULL OR e.user_name = (SELECT who))
           AND (e.stdout <> '' OR e.stderr <> '')
         ORDER BY e.created_at DESC
         LIMIT 20000),
    best AS (
        SELECT n.*, ts_rank(to_tsvector('simple', n.output), q.simple) AS rank, q.english || q.simple AS words
          FROM newest n
         WHERE to_tsvector('simple', n.output) @@ q.simple OR to_tsvector('english', n.output) @@ q.english
         ORDER BY rank DESC, n.created_at DESC, n.uid
         LIMIT least(greatest(max_rows, 1), 200))
    SELECT b.uid, b.created_at, b.tenant, b.user_name, b.state, b.rank,
           ts_headline('english', b.output, b.words,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5')
      FROM best b
     ORDER BY b.rank DESC, b.created_at DESC, b.uid;
END
$$;
COMMENT ON FUNCTION soulbox.search_output(text, integer, integer) IS
    'Executions of the last days by words of their output as the status shows it, ranked, with what matched between « and »; the newest 20000 with output are looked through';
REVOKE ALL ON FUNCTION soulbox.search_output(text, integer, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION soulbox.history(of_uid uuid) RETURNS TABLE (at timestamptz, event text, detail jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.at, h.event, h.detail
      FROM soulbox.sandboxes(of_uid => of_uid) s
     CROSS JOIN LATERAL (VALUES
            (s.created_at, 'created', jsonb_build_object('kind', 'sandbox', 'namespace', s.namespace, 'name', s.name, 'class_name', s.class_name)),
            (s.started_at, 'started', jsonb_build_object('node', s.node)),
            (s.terminated_at, 'terminated', jsonb_build_object('reason', s.reason)),
            (s.deleted_at, 'deleted', '{}'::jsonb)) AS h (at, event, detail)
     WHERE of_uid IS NOT NULL AND h.at IS NOT NULL
    UNION ALL
    SELECT h.at, h.event, h.detail
      FROM soulbox.executions(of_uid => of_uid) e
     CROSS JOIN LATERAL (VALUES
            (e.created_at, 'created', jsonb_build_object('kind', 'execution', 'namespace', e.namespace, 'name', e.name, 'sandbox_uid', e.sandbox_uid)),
            (e.queued_at, 'queued', '{}'::jsonb),
            (e.started_at, 'started', jsonb_build_object('attempt', e.attempt)),
            (e.completed_at, e.state, jsonb_build_object('reason', e.reason, 'exit_code', e.exit_code, 'duration_ms', e.duration_ms)),
            (e.deleted_at, 'deleted', '{}'::jsonb)) AS h (at, event, detail)
     WHERE of_uid IS NOT NULL AND h.at IS NOT NULL
    UNION ALL
    SELECT h.at, h.event, h.detail
      FROM soulbox.pod_runs(of_uid => of_uid) r
     CROSS JOIN LATERAL (VALUES
            (r.started_at, 'pod_started', jsonb_build_object('pod_uid', r.pod_uid, 'node', r.node, 'incarnation', r.incarnation)),
            (r.finished_at, 'pod_finished', jsonb_build_object('pod_uid', r.pod_uid, 'reason', r.exit_reason, 'end_source', r.end_source))) AS h (at, event, detail)
     WHERE of_uid IS NOT NULL AND h.at IS NOT NULL
    UNION ALL
    SELECT e.created_at, 'execution', jsonb_build_object('uid', e.uid, 'name', e.name, 'state', e.state)
      FROM soulbox.executions(of_sandbox => of_uid) e
     WHERE of_uid IS NOT NULL
     ORDER BY 1, 2
$$;
COMMENT ON FUNCTION soulbox.history(uuid) IS
    'What happened to a Sandbox or Execution, in order: its states, its pods, a Sandbox''s Executions';
REVOKE ALL ON FUNCTION soulbox.history(uuid) FROM PUBLIC;

CALL soulbox.apply_access();
