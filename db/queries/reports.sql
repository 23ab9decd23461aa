-- report_dashboard --
-- A user at a glance.
SELECT soulbox.dashboard(%(user)s) AS dashboard;

-- report_usage --
-- What a sandbox used over a window of time.
SELECT * FROM soulbox.usage_summary(%(sandbox)s, %(from)s, %(to)s);

-- report_statistics --
-- Executions of the last days by a key.
SELECT * FROM soulbox.execution_stats(%(days)s, %(by)s);

-- report_owns --
-- User owns Sandbox.
SELECT * FROM soulbox.owns
 WHERE (%(user)s::text IS NULL OR user_name = %(user)s)
   AND (%(sandbox)s::uuid IS NULL OR sandbox_uid = %(sandbox)s)
 ORDER BY created_at DESC
 LIMIT %(limit)s;

-- report_runs --
-- Sandbox runs Execution.
SELECT * FROM soulbox.runs
 WHERE (%(sandbox)s::uuid IS NULL OR sandbox_uid = %(sandbox)s)
   AND (%(execution)s::uuid IS NULL OR execution_uid = %(execution)s)
 ORDER BY created_at DESC
 LIMIT %(limit)s;

-- report_generates --
-- Execution generates billing event.
SELECT * FROM soulbox.generates
 WHERE (%(execution)s::uuid IS NULL OR execution_uid = %(execution)s)
   AND (%(event)s::uuid IS NULL OR event_id = %(event)s)
 ORDER BY starts_at DESC
 LIMIT %(limit)s;

-- report_metrics --
-- Execution generates metrics.
SELECT * FROM soulbox.generates_metrics
 WHERE execution_uid = %(execution)s
 ORDER BY recorded_at
 LIMIT %(limit)s;

-- report_code --
-- Programs by words.
SELECT * FROM soulbox.search_code(%(query)s, %(limit)s);

-- report_output --
-- Executions by words of their output.
SELECT * FROM soulbox.search_output(%(query)s, %(days)s, %(limit)s);

-- report_history --
-- What happened to one object.
SELECT * FROM soulbox.history(%(uid)s);

-- report_slowest --
-- Programs by their duration.
SELECT * FROM soulbox.slowest_programs(%(days)s, %(limit)s);

-- report_failing --
-- Programs by their failures.
SELECT * FROM soulbox.failing_programs(%(days)s, %(limit)s);

-- report_health --
-- The server and database.
SELECT * FROM soulbox.v_database_health;

-- report_tables --
-- Each table's rows and sizes.
SELECT * FROM soulbox.v_table_health ORDER BY table_bytes + index_bytes DESC;

-- report_partitions --
-- What there is of each partitioned table.
SELECT * FROM soulbox.v_partitions ORDER BY parent, starts_at;

-- report_find_uid --
-- The newest Sandbox, and the newest Execution, of a name that the caller may see.
(SELECT uid FROM soulbox.sandboxes
  WHERE 'sandbox' = any(%(kinds)s::text[]) AND namespace = %(namespace)s AND name = %(name)s
  ORDER BY created_at DESC, uid LIMIT 1)
UNION ALL
(SELECT uid FROM soulbox.executions
  WHERE 'execution' = any(%(kinds)s::text[]) AND namespace = %(namespace)s AND name = %(name)s
  ORDER BY created_at DESC, uid LIMIT 1);
