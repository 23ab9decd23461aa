-- Runs of one Trigger are looked for by it, and one start by its event. Rows of before have no cause.

ALTER TABLE soulbox.executions
    ADD COLUMN trigger_uid uuid,
    ADD COLUMN event_id text;
CREATE INDEX executions_trigger_idx ON soulbox.executions (trigger_uid, created_at DESC)
    WHERE trigger_uid IS NOT NULL;
COMMENT ON COLUMN soulbox.executions.cause IS
    'spec.cause, what started it: kind, name, uid, event_id, scheduled_time, attempt; null: its creator did';
COMMENT ON COLUMN soulbox.executions.trigger_uid IS 'The Trigger that started it; null: none did';
COMMENT ON COLUMN soulbox.executions.event_id IS
    'Id of the event or request that it was started for; null: none, or that of a schedule';

CREATE OR REPLACE VIEW soulbox.v_executions WITH (security_invoker = true) AS
SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.sandbox_uid, e.one_shot,
       e.namespace, e.name, e.class_name, e.language, e.code_sha256, p.code, e.state, e.reason,
       e.message, e.attempt, e.queued_at, e.started_at, e.completed_at, e.duration_ms,
       e.exit_code, e.signal, e.stdout, e.stderr, e.stdout_bytes, e.stderr_bytes,
       e.stdout_truncated, e.stderr_truncated, e.stdout_sha256, e.stderr_sha256,
       e.output_complete, e.error, e.resource_usage, e.billing, e.receipt, e.resource_version,
       e.deleted_at, e.recorded_at, e.updated_at, e.timeout_seconds, e.output_limit_bytes,
       e.kind, e.function_uid, e.function_version, e.cause, e.input, e.result,
       e.trigger_uid, e.event_id
  FROM soulbox.executions e
  LEFT JOIN soulbox.programs p ON p.tenant = e.tenant AND p.code_sha256 = e.code_sha256;

CREATE OR REPLACE FUNCTION soulbox.v_executions(
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
           e.deleted_at, e.recorded_at, e.updated_at, e.timeout_seconds, e.output_limit_bytes,
           e.kind, e.function_uid, e.function_version, e.cause, e.input, e.result,
           e.trigger_uid, e.event_id
      FROM soulbox.executions(of_tenant, of_user, of_sandbox, of_uid, in_state, from_at, to_at,
                              after_at, after_uid, max_rows) e
      LEFT JOIN soulbox.programs p ON p.tenant = e.tenant AND p.code_sha256 = e.code_sha256
     ORDER BY e.created_at DESC, e.uid;
END
$$;
