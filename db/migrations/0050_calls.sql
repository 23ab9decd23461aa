-- What an Execution was given, what it returned, what started it, and which Function it calls. Rows
-- of before are programs; a release of before that writes meanwhile does not name these columns.

ALTER TABLE soulbox.executions
    ADD COLUMN kind text NOT NULL DEFAULT 'program',
    ADD COLUMN function_uid uuid,
    ADD COLUMN function_version text,
    ADD COLUMN cause jsonb,
    ADD COLUMN input jsonb,
    ADD COLUMN result jsonb;
-- Rows of before are what the default says: they need not be looked through under a lock.
ALTER TABLE soulbox.executions
    ADD CONSTRAINT executions_kind_known CHECK (kind IN ('program', 'function')) NOT VALID;
CREATE INDEX executions_function_idx ON soulbox.executions (function_uid, created_at DESC)
    WHERE function_uid IS NOT NULL;
COMMENT ON COLUMN soulbox.executions.cleaned IS
    'Some text held NUL or a lone surrogate, in whose place U+FFFD stands, or input or result what PostgreSQL cannot hold: numbers beyond those of 64 bits, more than 100 levels';
COMMENT ON COLUMN soulbox.executions.kind IS 'program: code of its own; function: a call of a Function';
COMMENT ON COLUMN soulbox.executions.function_uid IS
    'The Function that it is a call of; null for a program, and before that is known';
COMMENT ON COLUMN soulbox.executions.function_version IS
    'Version of the Function: the one it ran, before its dispatch the one asked for; null: the one that is current then';
COMMENT ON COLUMN soulbox.executions.cause IS
    'What started it: kind, name, uid, event_id, scheduled_time; null: whoever created it did';
COMMENT ON COLUMN soulbox.executions.input IS 'spec.input: what it was given, any JSON; null: nothing';
COMMENT ON COLUMN soulbox.executions.result IS 'status.result: what it returned, any JSON; null: nothing, or null';

DO $$
DECLARE
    wide record;
BEGIN
    FOR wide IN
        SELECT c.oid::regclass AS relation, a.attname
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('input', 'result')
         WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relkind IN ('r', 'p')
           AND regexp_replace(c.relname, '_y\d{4}m\d\d$', '') = 'executions'
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION lz4', wide.relation, wide.attname);
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

CREATE OR REPLACE VIEW soulbox.v_executions WITH (security_invoker = true) AS
SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.sandbox_uid, e.one_shot,
       e.namespace, e.name, e.class_name, e.language, e.code_sha256, p.code, e.state, e.reason,
       e.message, e.attempt, e.queued_at, e.started_at, e.completed_at, e.duration_ms,
       e.exit_code, e.signal, e.stdout, e.stderr, e.stdout_bytes, e.stderr_bytes,
       e.stdout_truncated, e.stderr_truncated, e.stdout_sha256, e.stderr_sha256,
       e.output_complete, e.error, e.resource_usage, e.billing, e.receipt, e.resource_version,
       e.deleted_at, e.recorded_at, e.updated_at, e.timeout_seconds, e.output_limit_bytes,
       e.kind, e.function_uid, e.function_version, e.cause, e.input, e.result
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
           e.kind, e.function_uid, e.function_version, e.cause, e.input, e.result
      FROM soulbox.executions(of_tenant, of_user, of_sandbox, of_uid, in_state, from_at, to_at,
                              after_at, after_uid, max_rows) e
      LEFT JOIN soulbox.programs p ON p.tenant = e.tenant AND p.code_sha256 = e.code_sha256
     ORDER BY e.created_at DESC, e.uid;
END
$$;
