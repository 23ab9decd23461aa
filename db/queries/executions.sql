-- stage_executions --
-- Where rows of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_executions ON COMMIT DELETE ROWS AS
SELECT uid, created_at, cluster, tenant, user_name, sandbox_uid, one_shot, namespace, name,
       class_name, language, code_sha256, state, reason, message, attempt, queued_at,
       started_at, completed_at, duration_ms, exit_code, signal, stdout, stderr, stdout_bytes,
       stderr_bytes, stdout_truncated, stderr_truncated, stdout_sha256, stderr_sha256,
       output_complete, error, resource_usage, billing, receipt, captured_files, resource_version, cleaned,
       deleted_at
  FROM soulbox.executions
  WITH NO DATA;

-- copy_executions --
-- The rows of a batch.
COPY pg_temp.incoming_executions (
        uid, created_at, cluster, tenant, user_name, sandbox_uid, one_shot, namespace, name,
        class_name, language, code_sha256, state, reason, message, attempt, queued_at,
        started_at, completed_at, duration_ms, exit_code, signal, stdout, stderr, stdout_bytes,
        stderr_bytes, stdout_truncated, stderr_truncated, stdout_sha256, stderr_sha256,
        output_complete, error, resource_usage, billing, receipt, captured_files, resource_version, cleaned,
        deleted_at)
FROM STDIN (FORMAT BINARY);

-- upsert_executions --
-- The newest version of each Execution, its change, and once it has ended the mark it is
-- counted by; the same rules as for Sandboxes.
-- Output that was saved whole stays complete, whichever of row and output came first.
WITH written AS (
    INSERT INTO soulbox.executions AS t (
            uid, created_at, cluster, tenant, user_name, sandbox_uid, one_shot, namespace, name,
            class_name, language, code_sha256, state, reason, message, attempt, queued_at,
            started_at, completed_at, duration_ms, exit_code, signal, stdout, stderr,
            stdout_bytes, stderr_bytes, stdout_truncated, stderr_truncated, stdout_sha256,
            stderr_sha256, output_complete, error, resource_usage, billing, receipt,
            captured_files, resource_version, cleaned, deleted_at, mirror_epoch)
    SELECT i.uid, i.created_at, i.cluster, i.tenant, i.user_name, i.sandbox_uid, i.one_shot,
           i.namespace, i.name, i.class_name, i.language, i.code_sha256, i.state, i.reason,
           i.message, i.attempt, i.queued_at, i.started_at, i.completed_at, i.duration_ms,
           i.exit_code, i.signal, i.stdout, i.stderr, i.stdout_bytes, i.stderr_bytes,
           i.stdout_truncated, i.stderr_truncated, i.stdout_sha256, i.stderr_sha256,
           i.output_complete OR (i.state NOT IN ('queued', 'running') AND EXISTS (
               SELECT FROM soulbox.execution_outputs o
                WHERE o.uid = i.uid AND o.created_at = i.created_at AND o.complete)),
           i.error, i.resource_usage, i.billing, i.receipt, i.captured_files,
           i.resource_version, i.cleaned,
           i.deleted_at, %(mirror_epoch)s
      FROM pg_temp.incoming_executions i
    ON CONFLICT (uid, created_at) DO UPDATE SET
            -- Once it has ended nobody rewrites where it ran, or what code: both come from names
            -- on the object. A later epoch (a cluster restored from a backup) begins anew.
            sandbox_uid = CASE WHEN t.completed_at IS NULL OR t.mirror_epoch < excluded.mirror_epoch
                               THEN excluded.sandbox_uid
                               ELSE coalesce(t.sandbox_uid, excluded.sandbox_uid) END,
            class_name = excluded.class_name, language = excluded.language,
            code_sha256 = CASE WHEN t.completed_at IS NULL OR t.mirror_epoch < excluded.mirror_epoch
                               THEN excluded.code_sha256
                               ELSE coalesce(t.code_sha256, excluded.code_sha256) END,
            state = excluded.state, reason = excluded.reason, message = excluded.message,
            attempt = excluded.attempt, queued_at = excluded.queued_at,
            started_at = excluded.started_at, completed_at = excluded.completed_at,
            duration_ms = excluded.duration_ms, exit_code = excluded.exit_code,
            signal = excluded.signal, stdout = excluded.stdout, stderr = excluded.stderr,
            stdout_bytes = excluded.stdout_bytes, stderr_bytes = excluded.stderr_bytes,
            stdout_truncated = excluded.stdout_truncated,
            stderr_truncated = excluded.stderr_truncated,
            stdout_sha256 = excluded.stdout_sha256, stderr_sha256 = excluded.stderr_sha256,
            error = excluded.error, resource_usage = excluded.resource_usage,
            billing = excluded.billing, receipt = excluded.receipt,
            captured_files = excluded.captured_files,
            resource_version = excluded.resource_version, cleaned = excluded.cleaned,
            deleted_at = excluded.deleted_at,
            output_complete = excluded.output_complete OR t.output_complete,
            mirror_epoch = excluded.mirror_epoch
    WHERE (t.mirror_epoch, t.resource_version)
        < (excluded.mirror_epoch, excluded.resource_version)
       OR ((t.mirror_epoch, t.resource_version)
           = (excluded.mirror_epoch, excluded.resource_version)
           AND t.deleted_at IS NULL AND excluded.deleted_at IS NOT NULL)
    RETURNING t.uid, t.cluster, t.tenant, t.user_name, t.sandbox_uid, t.namespace, t.name,
              t.state, t.reason, t.resource_version, t.deleted_at, t.recorded_at,
              t.updated_at, t.created_at, t.completed_at, t.duration_ms
), marked AS (
    INSERT INTO soulbox.usage_marks (
            execution_uid, cluster, tenant, user_name, state, ended_at, duration_ms, epoch)
    SELECT uid, cluster, tenant, user_name, state, coalesce(completed_at, created_at),
           coalesce(duration_ms, 0), (SELECT soulbox.database_epoch())
      FROM written
     WHERE state NOT IN ('queued', 'running')
    ON CONFLICT (execution_uid) DO NOTHING
)
INSERT INTO soulbox.changes (epoch, cluster, tenant, user_name, kind, uid, sandbox_uid, op, payload)
SELECT %(database_epoch)s, cluster, tenant, user_name, 'execution', uid, sandbox_uid,
       CASE WHEN deleted_at IS NOT NULL THEN 'delete'
            WHEN recorded_at = updated_at THEN 'insert' ELSE 'update' END,
       jsonb_build_object('namespace', namespace, 'name', name, 'state', state,
                          'reason', reason, 'resource_version', resource_version)
  FROM written;

-- execution_by_uid --
-- One Execution; its created_at tells the partition.
SELECT uid, created_at, cluster, tenant, user_name, sandbox_uid, one_shot, namespace, name,
       class_name, language, code_sha256, state, reason, message, attempt, queued_at,
       started_at, completed_at, duration_ms, exit_code, signal, stdout, stderr, stdout_bytes,
       stderr_bytes, stdout_truncated, stderr_truncated, stdout_sha256, stderr_sha256,
       output_complete, error, resource_usage, billing, receipt, captured_files, resource_version, cleaned,
       deleted_at
  FROM soulbox.executions
 WHERE uid = %(uid)s AND created_at = %(created_at)s;

-- mark_output_complete --
-- All output of an Execution is saved: its pieces say so, and its row if it is there yet.
WITH pieces AS (
    UPDATE soulbox.execution_outputs
       SET complete = true
     WHERE uid = %(uid)s AND created_at = %(created_at)s AND NOT complete
)
UPDATE soulbox.executions
   SET output_complete = true
 WHERE uid = %(uid)s AND created_at = %(created_at)s AND NOT output_complete;

-- execution_versions --
-- Which version of each of these is written.
SELECT t.uid, t.mirror_epoch, t.resource_version, t.deleted_at IS NOT NULL AS is_deleted,
       t.updated_at < %(before)s AS is_settled
  FROM unnest(%(uids)s::uuid[], %(created_ats)s::timestamptz[]) AS r (uid, created_at)
  JOIN soulbox.executions t ON t.uid = r.uid AND t.created_at = r.created_at;

-- mark_gone_executions --
-- Executions that a complete list taken after `before` no longer has, and their change.
WITH written AS (
    UPDATE soulbox.executions t
       SET deleted_at = %(gone_at)s
     WHERE t.cluster = %(cluster)s
       AND (%(namespaces)s::text[] IS NULL OR t.namespace = ANY (%(namespaces)s))
       AND t.deleted_at IS NULL
       AND t.updated_at < %(before)s
       AND NOT EXISTS (SELECT FROM unnest(%(seen)s::uuid[]) AS s (uid) WHERE s.uid = t.uid)
    RETURNING t.uid, t.cluster, t.tenant, t.user_name, t.sandbox_uid, t.namespace, t.name,
              t.state, t.reason, t.resource_version
)
INSERT INTO soulbox.changes (epoch, cluster, tenant, user_name, kind, uid, sandbox_uid, op, payload)
SELECT %(database_epoch)s, cluster, tenant, user_name, 'execution', uid, sandbox_uid, 'delete',
       jsonb_build_object('namespace', namespace, 'name', name, 'state', state,
                          'reason', reason, 'resource_version', resource_version)
  FROM written;
