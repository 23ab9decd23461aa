-- report_dashboard --
-- A user at a glance.
SELECT soulbox.dashboard(%(user)s, %(tenant)s) AS dashboard;

-- report_usage --
-- What a sandbox used over a window of time.
SELECT * FROM soulbox.usage_summary(%(sandbox)s, %(from)s, %(to)s);

-- report_statistics --
-- Executions of the last days by a key.
SELECT * FROM soulbox.execution_stats(%(days)s, %(by)s);

-- report_owns --
-- User owns Sandbox.
SELECT * FROM soulbox.owns(
    of_user => %(user)s, of_sandbox => %(sandbox)s, of_tenant => %(tenant)s, max_rows => %(limit)s);

-- report_runs --
-- Sandbox runs Execution.
SELECT * FROM soulbox.runs(
    of_sandbox => %(sandbox)s, of_execution => %(execution)s, max_rows => %(limit)s);

-- report_generates --
-- Execution generates billing event.
SELECT * FROM soulbox.generates(
    of_execution => %(execution)s, of_event => %(event)s, max_rows => %(limit)s);

-- report_metrics --
-- Execution generates metrics.
SELECT * FROM soulbox.generates_metrics(of_execution => %(execution)s, max_rows => %(limit)s);

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

-- report_tool --
-- One tool by its id.
SELECT tool_id, function_uid, tenant, namespace, name, version, is_current, withdrawn_at, deprecated,
       published_by, registered_at, code_sha256, title, description, tags, category, tool_type,
       execution_config, input_schema, output_schema
  FROM soulbox.find_tool(%(id)s, %(tenant)s);

-- report_tool_counts --
-- How many tools there are of each key.
SELECT * FROM soulbox.count_tools(%(by)s, %(tenant)s);

-- report_tool_stats --
-- Calls of tools of the last days.
SELECT * FROM soulbox.tool_stats(%(days)s, %(by)s, %(tenant)s);

-- report_logs --
-- What an Execution logged.
SELECT seq, at, level, message, metadata, lines_omitted
  FROM soulbox.execution_logs(%(execution)s, %(level)s, max_rows => %(limit)s);

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
SELECT uid FROM soulbox.sandboxes(in_namespace => %(namespace)s, of_name => %(name)s, max_rows => 1)
 WHERE 'sandbox' = ANY (%(kinds)s::text[])
UNION ALL
SELECT uid FROM soulbox.executions(in_namespace => %(namespace)s, of_name => %(name)s, max_rows => 1)
 WHERE 'execution' = ANY (%(kinds)s::text[]);
