-- Under what terms an Execution ran: they are fixed when it is dispatched. Nullable: rows of before
-- do not say, and a release of before that writes meanwhile does not name them.

ALTER TABLE soulbox.executions
    ADD COLUMN timeout_seconds bigint,
    ADD COLUMN output_limit_bytes bigint;
COMMENT ON COLUMN soulbox.executions.class_name IS
    'SandboxClass it ran under: its own, or its Sandbox''s as it was at its dispatch; null while that is not known';
COMMENT ON COLUMN soulbox.executions.language IS
    'spec.language, else the language it was dispatched in; before that the default of its own class';
COMMENT ON COLUMN soulbox.executions.timeout_seconds IS
    'Wall time it was given at its dispatch, in seconds; null before, and where an earlier release dispatched it';
COMMENT ON COLUMN soulbox.executions.output_limit_bytes IS
    'Most bytes kept of each stream, and of all captured files together; known as timeout_seconds is';

CREATE OR REPLACE VIEW soulbox.v_executions WITH (security_invoker = true) AS
SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.sandbox_uid, e.one_shot,
       e.namespace, e.name, e.class_name, e.language, e.code_sha256, p.code, e.state, e.reason,
       e.message, e.attempt, e.queued_at, e.started_at, e.completed_at, e.duration_ms,
       e.exit_code, e.signal, e.stdout, e.stderr, e.stdout_bytes, e.stderr_bytes,
       e.stdout_truncated, e.stderr_truncated, e.stdout_sha256, e.stderr_sha256,
       e.output_complete, e.error, e.resource_usage, e.billing, e.receipt, e.resource_version,
       e.deleted_at, e.recorded_at, e.updated_at, e.timeout_seconds, e.output_limit_bytes
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
           e.deleted_at, e.recorded_at, e.updated_at, e.timeout_seconds, e.output_limit_bytes
      FROM soulbox.executions(of_tenant, of_user, of_sandbox, of_uid, in_state, from_at, to_at,
                              after_at, after_uid, max_rows) e
      LEFT JOIN soulbox.programs p ON p.tenant = e.tenant AND p.code_sha256 = e.code_sha256
     ORDER BY e.created_at DESC, e.uid;
END
$$;
