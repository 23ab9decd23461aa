-- Views: Executions with their code, and the relations, each walkable both ways.

CREATE VIEW soulbox.v_executions WITH (security_invoker = true) AS
SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.sandbox_uid, e.one_shot,
       e.namespace, e.name, e.class_name, e.language, e.code_sha256, p.code, e.state, e.reason,
       e.message, e.attempt, e.queued_at, e.started_at, e.completed_at, e.duration_ms,
       e.exit_code, e.signal, e.stdout, e.stderr, e.stdout_bytes, e.stderr_bytes,
       e.stdout_truncated, e.stderr_truncated, e.stdout_sha256, e.stderr_sha256,
       e.output_complete, e.error, e.resource_usage, e.billing, e.receipt, e.resource_version,
       e.deleted_at, e.recorded_at, e.updated_at
  FROM soulbox.executions e
  LEFT JOIN soulbox.programs p ON p.tenant = e.tenant AND p.code_sha256 = e.code_sha256;
COMMENT ON VIEW soulbox.v_executions IS
    'Executions with their code; code is null where it came from a Secret or ConfigMap';

CREATE VIEW soulbox.owns WITH (security_invoker = true) AS
SELECT cluster, tenant, user_name, uid AS sandbox_uid, namespace, name, state, created_at, deleted_at
  FROM soulbox.sandboxes;
COMMENT ON VIEW soulbox.owns IS 'User owns Sandbox; walk by user_name or by sandbox_uid';

CREATE VIEW soulbox.runs WITH (security_invoker = true) AS
SELECT cluster, tenant, user_name, sandbox_uid, uid AS execution_uid, one_shot, namespace, name,
       state, created_at, deleted_at
  FROM soulbox.executions
 WHERE sandbox_uid IS NOT NULL
UNION ALL
SELECT cluster, tenant, user_name, uid AS sandbox_uid, uid AS execution_uid, one_shot, namespace,
       name, state, created_at, deleted_at
  FROM soulbox.executions
 WHERE sandbox_uid IS NULL AND one_shot;
COMMENT ON VIEW soulbox.runs IS
    'Sandbox runs Execution; a one-shot is run by a sandbox of its own, of the same UID';

CREATE VIEW soulbox.generates WITH (security_invoker = true) AS
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       b.event_id, b.kind, b.starts_at, b.ends_at, b.amount, b.currency
  FROM soulbox.executions e
  JOIN soulbox.billing_events b
    ON b.sandbox_uid = e.sandbox_uid
   AND b.starts_at <= coalesce(e.completed_at, 'infinity'::timestamptz)
   AND b.ends_at >= e.started_at
UNION ALL
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       b.event_id, b.kind, b.starts_at, b.ends_at, b.amount, b.currency
  FROM soulbox.executions e
  JOIN soulbox.billing_events b ON b.execution_uid = e.uid;
COMMENT ON VIEW soulbox.generates IS
    'Execution generates billing event: the bill of its own pod, or those of the runtime of its sandbox that it ran in; amount is the whole event''s';
