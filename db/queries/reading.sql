-- database_epoch --
-- The database's epoch: grows with each restore.
SELECT coalesce(max(database_epoch), 1) AS epoch FROM soulbox.mirror_state;

-- health --
-- The server and database in one row.
SELECT server_version, is_replica, replica_lag_seconds::float8 AS replica_lag_seconds,
       connections, max_connections, schema_version
  FROM soulbox.v_database_health;

-- replica_lag --
-- How far a replica is behind, in seconds; null on a primary. One that has replayed all it
-- received is not behind, however long ago the last commit was.
SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END::float8 AS seconds;

-- list_executions --
-- A page of Executions, newest first, after a position.
SELECT uid, created_at, tenant, user_name, namespace, name, sandbox_uid, class_name, language,
       code_sha256, state, reason, started_at, completed_at, duration_ms, exit_code, deleted_at
  FROM soulbox.executions(
           of_tenant => %(tenant)s, of_user => %(user_name)s, of_sandbox => %(sandbox_uid)s,
           in_state => %(state)s, from_at => %(since)s, to_at => %(until)s,
           after_at => %(after_at)s, after_uid => %(after_uid)s, max_rows => %(limit)s)
 ORDER BY created_at DESC, uid;

-- find_execution --
-- One Execution by its UID alone.
SELECT uid, created_at, tenant, user_name, namespace, name, sandbox_uid, class_name, language,
       code_sha256, code, state, reason, message, started_at, completed_at, duration_ms, exit_code,
       signal, stdout, stderr, error, resource_usage, billing, timeout_seconds, output_limit_bytes,
       kind, function_uid, function_version, cause, trigger_uid, event_id, input, result, deleted_at
  FROM soulbox.v_executions(of_uid => %(uid)s);

-- list_sandboxes --
-- A page of Sandboxes, newest first, after a position.
SELECT uid, created_at, tenant, user_name, namespace, name, class_name, language, state, reason,
       started_at, expires_at, terminated_at, last_activity_at, runtime_seconds, deleted_at
  FROM soulbox.sandboxes(
           of_tenant => %(tenant)s, of_user => %(user_name)s, in_state => %(state)s,
           from_at => %(since)s, to_at => %(until)s,
           after_at => %(after_at)s, after_uid => %(after_uid)s, max_rows => %(limit)s)
 ORDER BY created_at DESC, uid;
