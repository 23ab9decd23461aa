-- What is asked most, as functions and views. All of them see what the caller sees (row
-- security); search_code alone runs with its owner's rights and applies the tenants itself.

-- Hot queries' indexes: a user's newest Executions, his live sandboxes, words by stem.
CREATE INDEX executions_user_idx ON soulbox.executions (user_name, created_at DESC)
    WHERE user_name <> '';
CREATE INDEX sandboxes_active_idx ON soulbox.sandboxes (user_name, created_at DESC)
    WHERE deleted_at IS NULL AND state IN ('created', 'starting', 'running');
CREATE INDEX programs_code_english_idx ON soulbox.programs
    USING gin (to_tsvector('english', left(code, 65536)));

CREATE FUNCTION soulbox.check_window(from_at timestamptz, to_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF from_at IS NULL OR to_at IS NULL OR from_at > to_at THEN
        RAISE EXCEPTION 'the window begins at % and ends at %: reversed or open', from_at, to_at
            USING ERRCODE = 'datetime_field_overflow', HINT = 'Give the earlier time first.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.check_window(timestamptz, timestamptz) IS
    'True, or an error when a window of time is reversed or has no bound';

CREATE FUNCTION soulbox.check_days(days integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL OR days < 1 OR days > 3660 THEN
        RAISE EXCEPTION '% is no number of days from 1 to 3660', days
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.check_days(integer) IS 'True, or an error when it is no number of days from 1 to 3660';

CREATE FUNCTION soulbox.dashboard(of_user text) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'user', of_user,
        'active_sandboxes', coalesce((
            SELECT jsonb_agg(to_jsonb(s) ORDER BY s.created_at DESC, s.uid) FROM (
                SELECT uid, tenant, namespace, name, class_name, state, created_at, started_at,
                       expires_at, last_activity_at
                  FROM soulbox.sandboxes
                 WHERE user_name = of_user AND user_name <> '' AND deleted_at IS NULL
                   AND state IN ('created', 'starting', 'running')
                 ORDER BY created_at DESC
                 LIMIT 100) s), '[]'),
        'last_executions', coalesce((
            SELECT jsonb_agg(to_jsonb(e) ORDER BY e.created_at DESC, e.uid) FROM (
                SELECT uid, tenant, namespace, name, sandbox_uid, language, state, reason,
                       created_at, started_at, completed_at, duration_ms, exit_code
                  FROM soulbox.executions
                 WHERE user_name = of_user AND user_name <> ''
                 ORDER BY created_at DESC
                 LIMIT 10) e), '[]'),
        'executions_24h', d.executions,
        'duration_ms_24h', d.duration_ms)
      FROM (SELECT count(*) AS executions, coalesce(sum(duration_ms), 0) AS duration_ms
              FROM soulbox.executions
             WHERE user_name = of_user AND user_name <> ''
               AND created_at > now() - interval '24 hours') d
$$;
COMMENT ON FUNCTION soulbox.dashboard(text) IS
    'A user at a glance, one document: active sandboxes (at most 100), the last 10 executions, their number and duration over 24 hours';

CREATE FUNCTION soulbox.usage_summary(of_sandbox uuid, from_at timestamptz, to_at timestamptz)
    RETURNS TABLE (data_points bigint, average_cpu_cores numeric, peak_cpu_cores numeric,
                   average_memory_bytes bigint, peak_memory_bytes bigint,
                   first_at timestamptz, last_at timestamptz, longest_gap_seconds numeric)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*), round(avg(m.cpu_cores), 6), max(m.cpu_cores),
           round(avg(m.memory_bytes))::bigint, max(m.memory_bytes),
           min(m.recorded_at), max(m.recorded_at), max(m.gap)
      FROM (SELECT cpu_cores, memory_bytes, recorded_at,
                   extract(epoch FROM recorded_at - lag(recorded_at) OVER (ORDER BY recorded_at)) AS gap
              FROM soulbox.resource_metrics
             WHERE sandbox_uid = of_sandbox AND recorded_at >= from_at AND recorded_at < to_at) m
     WHERE soulbox.check_window(from_at, to_at)
$$;
COMMENT ON FUNCTION soulbox.usage_summary(uuid, timestamptz, timestamptz) IS
    'What a sandbox used in [from, to): averages and peaks of the samples there are; nothing is made up for a gap, the longest is told';

CREATE FUNCTION soulbox.execution_stats(days integer, by text)
    RETURNS TABLE (key text, total bigint, completed bigint, failed bigint, timeout bigint,
                   cancelled bigint, unfinished bigint, average_ms numeric, p50_ms numeric,
                   p95_ms numeric, p99_ms numeric)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
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
      FROM (SELECT CASE by
                       WHEN 'class' THEN coalesce(e.class_name, s.class_name)
                       WHEN 'day' THEN to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                       WHEN 'language' THEN e.language
                       WHEN 'namespace' THEN e.namespace
                       WHEN 'program' THEN e.code_sha256
                       WHEN 'sandbox' THEN coalesce(e.sandbox_uid, e.uid)::text
                       WHEN 'tenant' THEN e.tenant
                       WHEN 'user' THEN e.user_name
                   END AS key,
                   e.state, e.duration_ms
              FROM soulbox.executions e
              LEFT JOIN soulbox.sandboxes s ON by = 'class' AND s.uid = e.sandbox_uid
             WHERE e.created_at > now() - make_interval(days => days)) g
     GROUP BY g.key
     ORDER BY count(*) DESC, g.key;
END
$$;
COMMENT ON FUNCTION soulbox.execution_stats(integer, text) IS
    'Executions of the last days by class, day, language, namespace, program, sandbox, tenant or user: how many, how they ended, durations (average, p50, p95, p99)';

CREATE FUNCTION soulbox.slowest_programs(days integer, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, runs bigint, average_ms numeric, p95_ms numeric,
                   max_ms bigint, code text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.tenant, g.code_sha256, g.runs, g.average_ms, g.p95_ms, g.max_ms, left(p.code, 200)
      FROM (SELECT e.tenant, e.code_sha256, count(*) AS runs, round(avg(e.duration_ms), 3) AS average_ms,
                   percentile_disc(0.95) WITHIN GROUP (ORDER BY e.duration_ms)::numeric AS p95_ms,
                   max(e.duration_ms) AS max_ms
              FROM soulbox.executions e
             WHERE soulbox.check_days(days) AND e.created_at > now() - make_interval(days => days)
               AND e.duration_ms IS NOT NULL AND e.code_sha256 IS NOT NULL
             GROUP BY e.tenant, e.code_sha256
             ORDER BY p95_ms DESC, e.tenant, e.code_sha256
             LIMIT least(greatest(max_rows, 1), 1000)) g
      LEFT JOIN soulbox.programs p ON p.tenant = g.tenant AND p.code_sha256 = g.code_sha256
     ORDER BY g.p95_ms DESC, g.tenant, g.code_sha256
$$;
COMMENT ON FUNCTION soulbox.slowest_programs(integer, integer) IS
    'Programs of the last days by their p95 duration, with the first 200 characters of their code';

CREATE FUNCTION soulbox.failing_programs(days integer, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, runs bigint, failures bigint, failed_percent numeric,
                   last_error text, code text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.tenant, g.code_sha256, g.runs, g.failures, round(100.0 * g.failures / g.runs, 2),
           g.last_error, left(p.code, 200)
      FROM (SELECT e.tenant, e.code_sha256, count(*) AS runs,
                   count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) AS failures,
                   left((array_agg(coalesce(e.error ->> 'type', e.reason) ORDER BY e.created_at DESC)
                         FILTER (WHERE e.state IN ('failed', 'timeout')))[1], 200) AS last_error
              FROM soulbox.executions e
             WHERE soulbox.check_days(days) AND e.created_at > now() - make_interval(days => days)
               AND e.code_sha256 IS NOT NULL
             GROUP BY e.tenant, e.code_sha256
            HAVING count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) > 0
             ORDER BY failures DESC, e.tenant, e.code_sha256
             LIMIT least(greatest(max_rows, 1), 1000)) g
      LEFT JOIN soulbox.programs p ON p.tenant = g.tenant AND p.code_sha256 = g.code_sha256
     ORDER BY g.failures DESC, g.tenant, g.code_sha256
$$;
COMMENT ON FUNCTION soulbox.failing_programs(integer, integer) IS
    'Programs of the last days by how often they failed or ran out of time, with their last error';

CREATE FUNCTION soulbox.search_code(query text, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, user_name text, language text, rank real,
                   headline text, recorded_at timestamptz)
    -- The operators of text search are not leakproof: under row security the index would
    -- not be used. So the owner searches, and sees to it that the tenants are the caller's.
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH q AS MATERIALIZED (
        SELECT websearch_to_tsquery('simple', left(query, 1000)) AS simple,
               websearch_to_tsquery('english', left(query, 1000)) AS english,
               soulbox.visible_tenants() AS tenants,
               soulbox.visible_user() AS only_user),
    -- A word that is everywhere: a thousand of its programs are ranked, not all.
    found AS (
        SELECT p.tenant, p.code_sha256, p.user_name, p.language, p.code, p.code_search, p.recorded_at,
               q.simple, q.english
          FROM q, soulbox.programs p
         WHERE (p.code_search @@ q.simple OR to_tsvector('english', left(p.code, 65536)) @@ q.english)
           AND (q.tenants IS NULL OR p.tenant = ANY (q.tenants))
           AND (q.only_user IS NULL OR p.user_name = q.only_user)
         LIMIT 1000),
    best AS (
        SELECT f.*, ts_rank(f.code_search, f.simple)
                    + ts_rank(to_tsvector('english', left(f.code, 4096)), f.english) AS rank
          FROM found f
         ORDER BY rank DESC, f.recorded_at DESC, f.tenant, f.code_sha256
         LIMIT least(greatest(max_rows, 1), 200))
    SELECT b.tenant, b.code_sha256, b.user_name, b.language, b.rank,
           ts_headline('english', left(b.code, 65536), b.english || b.simple,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5'),
           b.recorded_at
      FROM best b
     ORDER BY b.rank DESC, b.recorded_at DESC, b.tenant, b.code_sha256
$$;
COMMENT ON FUNCTION soulbox.search_code(text, integer) IS
    'Programs by words of their code, as written or by English stem, ranked, with what matched between « and »; the query is as in a web search and never an error';
REVOKE ALL ON FUNCTION soulbox.search_code(text, integer) FROM PUBLIC;

CREATE FUNCTION soulbox.search_output(query text, days integer DEFAULT 1, max_rows integer DEFAULT 20)
    RETURNS TABLE (uid uuid, created_at timestamptz, tenant text, user_name text, state text,
                   rank real, headline text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH q AS MATERIALIZED (
        SELECT websearch_to_tsquery('simple', left(query, 1000)) AS simple,
               websearch_to_tsquery('english', left(query, 1000)) AS english),
    -- Output has no index of words: it would take half the speed of writing. So the newest
    -- are looked through, and not too many.
    newest AS MATERIALIZED (
        SELECT e.uid, e.created_at, e.tenant, e.user_name, e.state,
               left(concat_ws(E'\n', e.stdout, e.stderr), 65536) AS output
          FROM soulbox.executions e
         WHERE soulbox.check_days(days) AND e.created_at > now() - make_interval(days => days)
           AND (e.stdout <> '' OR e.stderr <> '')
         ORDER BY e.created_at DESC
         LIMIT 20000),
    best AS (
        SELECT n.*, ts_rank(to_tsvector('simple', n.output), q.simple) AS rank, q.english || q.simple AS words
          FROM newest n, q
         WHERE to_tsvector('simple', n.output) @@ q.simple OR to_tsvector('english', n.output) @@ q.english
         ORDER BY rank DESC, n.created_at DESC, n.uid
         LIMIT least(greatest(max_rows, 1), 200))
    SELECT b.uid, b.created_at, b.tenant, b.user_name, b.state, b.rank,
           ts_headline('english', b.output, b.words,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5')
      FROM best b
     ORDER BY b.rank DESC, b.created_at DESC, b.uid
$$;
COMMENT ON FUNCTION soulbox.search_output(text, integer, integer) IS
    'Executions of the last days by words of their output as the status shows it, ranked, with what matched between « and »; the newest 20000 with output are looked through';

CREATE FUNCTION soulbox.history(of_uid uuid) RETURNS TABLE (at timestamptz, event text, detail jsonb)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.at, h.event, h.detail
      FROM soulbox.sandboxes s
     CROSS JOIN LATERAL (VALUES
            (s.created_at, 'created', jsonb_build_object('kind', 'sandbox', 'namespace', s.namespace, 'name', s.name, 'class_name', s.class_name)),
            (s.started_at, 'started', jsonb_build_object('node', s.node)),
            (s.terminated_at, 'terminated', jsonb_build_object('reason', s.reason)),
            (s.deleted_at, 'deleted', '{}'::jsonb)) AS h (at, event, detail)
     WHERE s.uid = of_uid AND h.at IS NOT NULL
    UNION ALL
    SELECT h.at, h.event, h.detail
      FROM soulbox.executions e
     CROSS JOIN LATERAL (VALUES
            (e.created_at, 'created', jsonb_build_object('kind', 'execution', 'namespace', e.namespace, 'name', e.name, 'sandbox_uid', e.sandbox_uid)),
            (e.queued_at, 'queued', '{}'::jsonb),
            (e.started_at, 'started', jsonb_build_object('attempt', e.attempt)),
            (e.completed_at, e.state, jsonb_build_object('reason', e.reason, 'exit_code', e.exit_code, 'duration_ms', e.duration_ms)),
            (e.deleted_at, 'deleted', '{}'::jsonb)) AS h (at, event, detail)
     WHERE e.uid = of_uid AND h.at IS NOT NULL
    UNION ALL
    SELECT h.at, h.event, h.detail
      FROM soulbox.pod_runs r
     CROSS JOIN LATERAL (VALUES
            (r.started_at, 'pod_started', jsonb_build_object('pod_uid', r.pod_uid, 'node', r.node, 'incarnation', r.incarnation)),
            (r.finished_at, 'pod_finished', jsonb_build_object('pod_uid', r.pod_uid, 'reason', r.exit_reason, 'end_source', r.end_source))) AS h (at, event, detail)
     WHERE (r.sandbox_uid = of_uid OR r.execution_uid = of_uid) AND h.at IS NOT NULL
    UNION ALL
    SELECT e.created_at, 'execution', jsonb_build_object('uid', e.uid, 'name', e.name, 'state', e.state)
      FROM soulbox.executions e
     WHERE e.sandbox_uid = of_uid
     ORDER BY 1, 2
$$;
COMMENT ON FUNCTION soulbox.history(uuid) IS
    'What happened to a Sandbox or Execution, in order: its states, its pods, a Sandbox''s Executions';

CREATE VIEW soulbox.generates_metrics WITH (security_invoker = true) AS
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       m.sandbox_uid, m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
       m.execution_uid IS NOT DISTINCT FROM e.uid AS ran_alone
  FROM soulbox.executions e
  JOIN soulbox.resource_metrics m
    ON m.sandbox_uid = coalesce(e.sandbox_uid, e.uid)
   AND m.recorded_at >= e.started_at
   AND m.recorded_at <= coalesce(e.completed_at, 'infinity'::timestamptz);
COMMENT ON VIEW soulbox.generates_metrics IS
    'Execution generates metrics: the samples of its sandbox while it ran; ran_alone when no other ran then';

CREATE VIEW soulbox.v_table_health WITH (security_invoker = true) AS
SELECT coalesce(p.relname, t.relname)::text AS table_name,
       count(*) AS parts,
       sum(t.n_live_tup)::bigint AS live_rows,
       sum(t.n_dead_tup)::bigint AS dead_rows,
       sum(t.n_tup_ins)::bigint AS inserts,
       sum(t.n_tup_upd)::bigint AS updates,
       sum(t.n_tup_del)::bigint AS deletes,
       sum(t.seq_scan)::bigint AS sequential_scans,
       sum(t.idx_scan)::bigint AS index_scans,
       sum(pg_table_size(t.relid))::bigint AS table_bytes,
       sum(pg_indexes_size(t.relid))::bigint AS index_bytes,
       max(greatest(t.last_vacuum, t.last_autovacuum)) AS vacuumed_at,
       max(greatest(t.last_analyze, t.last_autoanalyze)) AS analyzed_at
  FROM pg_stat_user_tables t
  LEFT JOIN pg_inherits i ON i.inhrelid = t.relid
  LEFT JOIN pg_class p ON p.oid = i.inhparent
 WHERE t.schemaname = 'soulbox'
   AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relid AND c.relkind = 'p')
 GROUP BY coalesce(p.relname, t.relname);
COMMENT ON VIEW soulbox.v_table_health IS
    'Each table with its partitions together: rows alive and dead, changes since statistics were reset, sizes';

CREATE VIEW soulbox.v_database_health WITH (security_invoker = true) AS
SELECT current_setting('server_version') AS server_version,
       pg_is_in_recovery() AS is_replica,
       CASE WHEN pg_is_in_recovery()
            THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END AS replica_lag_seconds,
       pg_database_size(current_database()) AS database_bytes,
       d.numbackends AS connections,
       current_setting('max_connections')::integer AS max_connections,
       d.xact_commit AS commits,
       d.xact_rollback AS rollbacks,
       d.deadlocks,
       d.temp_bytes,
       round(d.blks_hit::numeric / nullif(d.blks_hit + d.blks_read, 0), 4) AS cache_hit_ratio,
       (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = 'soulbox') AS dead_rows,
       (SELECT extract(epoch FROM max(now() - xact_start)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()) AS oldest_transaction_seconds,
       age(b.datfrozenxid) AS transaction_id_age,
       (SELECT max(version) FROM soulbox.schema_migrations) AS schema_version,
       d.stats_reset AS statistics_since
  FROM pg_stat_database d
  JOIN pg_database b ON b.oid = d.datid
 WHERE d.datname = current_database();
COMMENT ON VIEW soulbox.v_database_health IS
    'This server and database in one row: connections, commits and roll-backs, cache hits, dead rows, sizes, age';

CALL soulbox.apply_access();
