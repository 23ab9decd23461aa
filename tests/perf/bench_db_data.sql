-- The bench's database: made by arithmetic from the numbers of the rows alone, so that two
-- runs make the same. Skewed: tenant 0 has a fourteenth of all rows. Parameters by psql-like
-- names are put in by bench_db.py.
-- partitions
SELECT count(*) FILTER (WHERE soulbox.ensure_partition(parent, now() - make_interval(days => d)))
  FROM generate_series(-1, 31) AS d,
       unnest(ARRAY['executions', 'execution_outputs', 'execution_logs', 'resource_metrics']) AS parent;
-- sandboxes
INSERT INTO soulbox.sandboxes (uid, cluster, tenant, user_name, namespace, name, class_name, language,
        state, created_at, started_at, resource_version)
SELECT bench_uuid('box', i), bench_uuid('cluster', 0), 'tenant-' || t, 'user-' || t || '-' || i % 10,
       'ns-' || t, 'box-' || i, 'python', 'python',
       CASE WHEN i % 20 = 0 THEN 'running' ELSE 'terminated' END,
       now() - bench_share('box-at', i) * interval '30 days', now(), i + 1
  FROM (SELECT i, bench_tenant('box', i) AS t FROM generate_series(0, %(sandboxes)s - 1) AS i) AS x;
-- programs
INSERT INTO soulbox.programs (tenant, code_sha256, cluster, user_name, language, code, code_bytes, recorded_at)
SELECT 'tenant-' || t, encode(sha256(('program ' || i)::bytea), 'hex'), bench_uuid('cluster', 0),
       'user-' || t || '-' || i % 10, 'python', c.code, length(c.code), now() - bench_share('program-at', i) * interval '30 days'
  FROM (SELECT i, bench_tenant('program', i) AS t FROM generate_series(0, %(programs)s - 1) AS i) AS x,
       LATERAL (SELECT string_agg(bench_word(i * 40 + w), ' ' ORDER BY w) AS code
                  FROM generate_series(1, 40) AS w) AS c;
-- functions
/* 10,000 tools, each with a version before its current one. */
INSERT INTO soulbox.functions (uid, cluster, tenant, namespace, name, version, versions, state, created_at, resource_version)
SELECT bench_uuid('tool', i), bench_uuid('cluster', 0), 'tenant-' || t, 'ns-' || t,
       'tool-' || row_number() OVER (PARTITION BY t ORDER BY i), '2', '{1,2}', 'ready', now() - interval '40 days', i + 1
  FROM (SELECT i, bench_tenant('tool', i) AS t FROM generate_series(0, %(tools)s - 1) AS i) AS x;
-- function_versions
INSERT INTO soulbox.function_versions (function_uid, version, cluster, tenant, namespace, name, tool_id, revision,
        input_schema, tags, category, tool_type, title, description, registered_at, resource_version, is_current)
SELECT f.uid, v::text, f.cluster, f.tenant, f.namespace, f.name, 'tool:' || f.namespace || '/' || f.name || '@' || v,
       f.name || '-' || v, '{"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}',
       ARRAY['tag-' || f.resource_version % 50, 'tag-' || f.resource_version % 7], 'category-' || f.resource_version % 20,
       'code', bench_word(f.resource_version * 31) || ' ' || bench_word(f.resource_version * 37), d.text,
       now() - interval '40 days', f.resource_version, v = 2
  FROM soulbox.functions f, generate_series(1, 2) AS v,
       LATERAL (SELECT string_agg(bench_word(f.resource_version * 40 + w), ' ' ORDER BY w) AS text
                  FROM generate_series(1, 20) AS w) AS d;
-- executions
/* Each a call of a tool of its tenant. */
INSERT INTO soulbox.executions (uid, created_at, cluster, tenant, user_name, sandbox_uid, namespace, name,
        language, code_sha256, state, reason, attempt, queued_at, started_at, completed_at, duration_ms,
        exit_code, stdout, stderr, stdout_bytes, stderr_bytes, output_complete, resource_usage, billing,
        resource_version, kind, function_uid, function_version, input, result)
SELECT bench_uuid('run', i), a.at, bench_uuid('cluster', 0), 'tenant-' || t, 'user-' || t || '-' || i % 10,
       bench_uuid('box', i % %(sandboxes)s), 'ns-' || t, 'run-' || i, 'python',
       encode(sha256(('program ' || i % %(programs)s)::bytea), 'hex'), s.state, s.state, 1, a.at, a.at,
       a.at + d.ms * interval '1 ms', d.ms, CASE s.state WHEN 'completed' THEN 0 ELSE 1 END,
       'result ' || bench_word(i) || ' of run ' || i, '', 24, 0, true,
       '{"cpu_time_milliseconds": 20, "peak_memory_bytes": 9000000, "shared": false}',
       '{"compute_units": "0.0625", "cost_usd": "0.00000125", "tier": "free"}', i + 1,
       'function', bench_uuid('tool', x.called), '2', '{"url": "https://example.com/a.png", "width": 320}', '{"bytes": 8123}'
  FROM (SELECT c.i, c.called, bench_tenant('tool', c.called) AS t
          FROM (SELECT i, floor(%(tools)s * bench_share('called', i) ^ 2)::bigint AS called
                  FROM generate_series(0, %(rows)s - 1) AS i) AS c) AS x,
       LATERAL (SELECT now() - bench_share('run-at', i) * interval '30 days' AS at) AS a,
       LATERAL (SELECT (1 + 4000 * bench_share('run-ms', i) ^ 4)::bigint AS ms) AS d,
       LATERAL (SELECT CASE WHEN i % 100 < 92 THEN 'completed' WHEN i % 100 < 97 THEN 'failed'
                            WHEN i % 100 < 99 THEN 'timeout' ELSE 'cancelled' END AS state) AS s
 ORDER BY a.at;  -- as the mirror writes them
-- usage_marks
INSERT INTO soulbox.usage_marks (execution_uid, cluster, tenant, user_name, state, ended_at, duration_ms)
SELECT uid, cluster, tenant, user_name, state, completed_at, duration_ms FROM soulbox.executions;
-- pod_runs
/* Up to six hours each, four rows of the ledger; those of a Sandbox one after the other. */
INSERT INTO soulbox.pod_runs (pod_uid, cluster, tenant, user_name, namespace, pod_name, owner_name, sandbox_uid,
        node, cpu_millicores, memory_bytes, sku, started_at, finished_at, end_source, exit_reason, resource_version)
SELECT bench_uuid('pod', i), bench_uuid('cluster', 0), 'tenant-' || t, 'user-' || t || '-' || i % 10, 'ns-' || t,
       'box-' || i % %(sandboxes)s, 'box-' || i % %(sandboxes)s, bench_uuid('box', i % %(sandboxes)s), 'node-' || i % 10,
       250, 268435456, 'default', a.at, a.at + bench_share('pod-runs', i) * interval '6 hours', 'kubelet', 'Completed', i + 1
  FROM (SELECT i, bench_tenant('event', i) AS t FROM generate_series(0, %(pods)s - 1) AS i) AS x,
       LATERAL (SELECT date_trunc('hour', now()) - interval '7 hours'
                       - (i / %(sandboxes)s + 0.9 * bench_share('pod-at', i)) * interval '22 days' AS at) AS a;
-- resource_metrics
INSERT INTO soulbox.resource_metrics (sandbox_uid, recorded_at, cluster, tenant, user_name, cpu_seconds_total,
        cpu_cores, memory_bytes, memory_peak_bytes, processes)
SELECT bench_uuid('box', b), a.at, bench_uuid('cluster', 0), 'tenant-' || t, 'user-' || t || '-' || b % 10,
       n * 2, bench_share('cpu', b * 1000 + n)::numeric(12,6), 1000000 + n * 1000, 9000000, 3
  FROM (SELECT b, n, bench_tenant('box', b) AS t
          FROM generate_series(0, %(sandboxes)s - 1) AS b, generate_series(1, %(samples)s) AS n) AS x,
       LATERAL (SELECT date_trunc('day', now()) - (b % 28) * interval '1 day' + n * interval '10 seconds' AS at) AS a;
