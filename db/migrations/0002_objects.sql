-- Sandboxes, Executions with their programs and output, and their monthly partitions.

CREATE TABLE soulbox.sandboxes (
    uid              uuid        NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    user_name        text        NOT NULL DEFAULT '',
    namespace        text        NOT NULL,
    name             text        NOT NULL,
    class_name       text        NOT NULL,
    language         text,
    state            text        NOT NULL,
    reason           text,
    message          text,
    resource_limits  jsonb       NOT NULL DEFAULT '{}',
    network          text,
    incarnation      bigint      NOT NULL DEFAULT 0,
    pod_uid          uuid,
    pod_name         text,
    node             text,
    image_id         text,
    runtime_class    text,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    expires_at       timestamptz,
    terminated_at    timestamptz,
    last_activity_at timestamptz,
    runtime_seconds  numeric,
    labels           jsonb       NOT NULL DEFAULT '{}',
    spec             jsonb       NOT NULL DEFAULT '{}',
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    cleaned          boolean     NOT NULL DEFAULT false,
    deleted_at       timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sandboxes_pkey PRIMARY KEY (uid),
    CONSTRAINT sandboxes_state_known CHECK (
        state IN ('created', 'starting', 'running', 'stopped', 'error', 'terminated')),
    CONSTRAINT sandboxes_incarnation_positive CHECK (incarnation >= 0),
    CONSTRAINT sandboxes_runtime_positive CHECK (runtime_seconds >= 0)
);
CREATE INDEX sandboxes_tenant_idx ON soulbox.sandboxes (tenant, created_at DESC, uid);
CREATE INDEX sandboxes_user_idx ON soulbox.sandboxes (tenant, user_name, created_at DESC);
COMMENT ON TABLE soulbox.sandboxes IS 'Every Sandbox there was, as last seen';
COMMENT ON COLUMN soulbox.sandboxes.uid IS 'metadata.uid: names it for ever';
COMMENT ON COLUMN soulbox.sandboxes.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.sandboxes.tenant IS
    'Label soulbox.dev/tenant of its namespace when first written, else the namespace';
COMMENT ON COLUMN soulbox.sandboxes.user_name IS 'spec.user; empty when nobody is named';
COMMENT ON COLUMN soulbox.sandboxes.namespace IS 'Namespace; with name it locates, uid identifies';
COMMENT ON COLUMN soulbox.sandboxes.name IS 'Name in its namespace; may be used again later';
COMMENT ON COLUMN soulbox.sandboxes.class_name IS 'SandboxClass it is made from';
COMMENT ON COLUMN soulbox.sandboxes.language IS 'Default language of its class, where known';
COMMENT ON COLUMN soulbox.sandboxes.state IS
    'created, starting, running, stopped, error or terminated: status.state in lower case';
COMMENT ON COLUMN soulbox.sandboxes.reason IS 'status.reason: why it is in its state';
COMMENT ON COLUMN soulbox.sandboxes.message IS 'status.message: the same for people';
COMMENT ON COLUMN soulbox.sandboxes.resource_limits IS
    'spec.resources: cpu, memory, disk as asked for; what is absent is the default of the class';
COMMENT ON COLUMN soulbox.sandboxes.network IS 'Network profile; null is "none"';
COMMENT ON COLUMN soulbox.sandboxes.incarnation IS 'How many pods it has had, 0 before the first';
COMMENT ON COLUMN soulbox.sandboxes.pod_uid IS 'UID of the pod that runs it or ran it last';
COMMENT ON COLUMN soulbox.sandboxes.pod_name IS 'Name of that pod';
COMMENT ON COLUMN soulbox.sandboxes.node IS 'Node of that pod';
COMMENT ON COLUMN soulbox.sandboxes.image_id IS 'Image that pod runs, by digest';
COMMENT ON COLUMN soulbox.sandboxes.runtime_class IS 'RuntimeClass of that pod; null is the default';
COMMENT ON COLUMN soulbox.sandboxes.created_at IS 'metadata.creationTimestamp';
COMMENT ON COLUMN soulbox.sandboxes.started_at IS 'status.startTime: its first pod ran';
COMMENT ON COLUMN soulbox.sandboxes.expires_at IS 'status.expirationTime: end of its lifetime';
COMMENT ON COLUMN soulbox.sandboxes.terminated_at IS 'status.terminationTime';
COMMENT ON COLUMN soulbox.sandboxes.last_activity_at IS 'status.lastActivityTime: to 30 s';
COMMENT ON COLUMN soulbox.sandboxes.runtime_seconds IS
    'status.runtimeSeconds: running time of all its pods; the bill is in billing_events';
COMMENT ON COLUMN soulbox.sandboxes.labels IS 'metadata.labels';
COMMENT ON COLUMN soulbox.sandboxes.spec IS
    'spec, keys in snake_case; the values of environment variables are left out';
COMMENT ON COLUMN soulbox.sandboxes.resource_version IS
    'metadata.resourceVersion of the version shown; an older one never overwrites it';
COMMENT ON COLUMN soulbox.sandboxes.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.sandboxes.cleaned IS
    'Some text held NUL or a lone surrogate; U+FFFD stands in its place';
COMMENT ON COLUMN soulbox.sandboxes.deleted_at IS
    'When its deletion was asked for; when it was found gone if nobody saw that; null: it is there';
COMMENT ON COLUMN soulbox.sandboxes.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.sandboxes.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER sandboxes_touch BEFORE UPDATE ON soulbox.sandboxes
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE TABLE soulbox.executions (
    uid              uuid        NOT NULL,
    created_at       timestamptz NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    user_name        text        NOT NULL DEFAULT '',
    sandbox_uid      uuid,
    one_shot         boolean     NOT NULL DEFAULT false,
    namespace        text        NOT NULL,
    name             text        NOT NULL,
    class_name       text,
    language         text,
    code_sha256      text,
    state            text        NOT NULL,
    reason           text,
    message          text,
    attempt          bigint,
    queued_at        timestamptz,
    started_at       timestamptz,
    completed_at     timestamptz,
    duration_ms      bigint,
    exit_code        bigint,
    signal           text,
    stdout           text,
    stderr           text,
    stdout_bytes     bigint,
    stderr_bytes     bigint,
    stdout_truncated boolean,
    stderr_truncated boolean,
    stdout_sha256    text,
    stderr_sha256    text,
    output_complete  boolean     NOT NULL DEFAULT false,
    error            jsonb,
    resource_usage   jsonb,
    billing          jsonb,
    receipt          jsonb,
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    cleaned          boolean     NOT NULL DEFAULT false,
    deleted_at       timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT executions_pkey PRIMARY KEY (uid, created_at),
    CONSTRAINT executions_state_known CHECK (
        state IN ('queued', 'running', 'completed', 'failed', 'timeout', 'cancelled')),
    CONSTRAINT executions_sha256_hex CHECK (
        code_sha256 ~ '^[0-9a-f]{64}$' AND stdout_sha256 ~ '^[0-9a-f]{64}$'
        AND stderr_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT executions_figures_positive CHECK (
        attempt >= 0 AND duration_ms >= 0 AND stdout_bytes >= 0 AND stderr_bytes >= 0)
) PARTITION BY RANGE (created_at);
CREATE INDEX executions_tenant_idx ON soulbox.executions (tenant, created_at DESC, uid);
CREATE INDEX executions_sandbox_idx ON soulbox.executions (sandbox_uid, created_at DESC)
    WHERE sandbox_uid IS NOT NULL;
-- What repair looks for: rows whose object should still be there.
CREATE INDEX executions_live_idx ON soulbox.executions (cluster, uid) WHERE deleted_at IS NULL;
COMMENT ON TABLE soulbox.executions IS
    'Every Execution there was, as last seen; one partition a month of created_at (UTC)';
COMMENT ON COLUMN soulbox.executions.uid IS 'metadata.uid: names it for ever';
COMMENT ON COLUMN soulbox.executions.created_at IS
    'metadata.creationTimestamp; give it with uid and one partition is looked at';
COMMENT ON COLUMN soulbox.executions.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.executions.tenant IS
    'Label soulbox.dev/tenant of its namespace when first written, else the namespace';
COMMENT ON COLUMN soulbox.executions.user_name IS 'spec.user; empty when nobody is named';
COMMENT ON COLUMN soulbox.executions.sandbox_uid IS
    'Sandbox it was dispatched to; null for a one-shot and before dispatch';
COMMENT ON COLUMN soulbox.executions.one_shot IS 'It names a class, not a sandbox: it has a pod of its own';
COMMENT ON COLUMN soulbox.executions.namespace IS 'Namespace; with name it locates, uid identifies';
COMMENT ON COLUMN soulbox.executions.name IS 'Name in its namespace; may be used again later';
COMMENT ON COLUMN soulbox.executions.class_name IS
    'SandboxClass of a one-shot; null where its sandbox says it';
COMMENT ON COLUMN soulbox.executions.language IS 'spec.language; null is the default of the class';
COMMENT ON COLUMN soulbox.executions.code_sha256 IS
    'SHA-256 of the code, hex; the code is in programs unless it came from elsewhere';
COMMENT ON COLUMN soulbox.executions.state IS
    'queued, running, completed, failed, timeout or cancelled: status.state in lower case';
COMMENT ON COLUMN soulbox.executions.reason IS 'status.reason: why it ended so';
COMMENT ON COLUMN soulbox.executions.message IS 'status.message: the same for people';
COMMENT ON COLUMN soulbox.executions.attempt IS 'Which attempt the figures are of, from 1';
COMMENT ON COLUMN soulbox.executions.queued_at IS 'status.queuedTime';
COMMENT ON COLUMN soulbox.executions.started_at IS 'status.startTime: its code began; null: it never did';
COMMENT ON COLUMN soulbox.executions.completed_at IS 'status.completionTime';
COMMENT ON COLUMN soulbox.executions.duration_ms IS 'Wall time of the code in milliseconds';
COMMENT ON COLUMN soulbox.executions.exit_code IS 'Exit code; null when a signal ended it';
COMMENT ON COLUMN soulbox.executions.signal IS 'Signal that ended it, for example SIGSEGV';
COMMENT ON COLUMN soulbox.executions.stdout IS
    'Standard output as in the status: head and tail; all of it is in execution_outputs';
COMMENT ON COLUMN soulbox.executions.stderr IS
    'Standard error as in the status: head and tail; all of it is in execution_outputs';
COMMENT ON COLUMN soulbox.executions.stdout_bytes IS 'Bytes the program wrote to standard output';
COMMENT ON COLUMN soulbox.executions.stderr_bytes IS 'Bytes the program wrote to standard error';
COMMENT ON COLUMN soulbox.executions.stdout_truncated IS 'stdout is not all that was written';
COMMENT ON COLUMN soulbox.executions.stderr_truncated IS 'stderr is not all that was written';
COMMENT ON COLUMN soulbox.executions.stdout_sha256 IS 'SHA-256 of all that was kept of standard output, hex';
COMMENT ON COLUMN soulbox.executions.stderr_sha256 IS 'SHA-256 of all that was kept of standard error, hex';
COMMENT ON COLUMN soulbox.executions.output_complete IS
    'All kept output is in PostgreSQL: in stdout and stderr, or in execution_outputs';
COMMENT ON COLUMN soulbox.executions.error IS 'status.error: type, message, stack_trace';
COMMENT ON COLUMN soulbox.executions.resource_usage IS
    'status.usage: cpu_time_milliseconds, peak_memory_bytes, disk and network bytes, shared';
COMMENT ON COLUMN soulbox.executions.billing IS
    'status.billing: compute_units, cost_usd, tier, price_plan; attributed, never added to the ledger';
COMMENT ON COLUMN soulbox.executions.receipt IS
    'status.receipt: image_id, runtime_class, limits, network_profile, node, pod_uid, runner_version';
COMMENT ON COLUMN soulbox.executions.resource_version IS
    'metadata.resourceVersion of the version shown; an older one never overwrites it';
COMMENT ON COLUMN soulbox.executions.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.executions.cleaned IS
    'Some text held NUL or a lone surrogate; U+FFFD stands in its place';
COMMENT ON COLUMN soulbox.executions.deleted_at IS
    'When its deletion was asked for; when it was found gone if nobody saw that; null: it is there';
COMMENT ON COLUMN soulbox.executions.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.executions.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER executions_touch BEFORE UPDATE ON soulbox.executions
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE TABLE soulbox.programs (
    tenant      text        NOT NULL,
    code_sha256 text        NOT NULL,
    cluster     uuid        NOT NULL,
    user_name   text        NOT NULL DEFAULT '',
    language    text,
    code        text        NOT NULL,
    code_bytes  bigint      NOT NULL,
    code_search tsvector    GENERATED ALWAYS AS (to_tsvector('simple', left(code, 65536))) STORED,
    cleaned     boolean     NOT NULL DEFAULT false,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT programs_pkey PRIMARY KEY (tenant, code_sha256),
    CONSTRAINT programs_sha256_hex CHECK (code_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT programs_bytes_positive CHECK (code_bytes >= 0)
);
CREATE INDEX programs_code_search_idx ON soulbox.programs USING gin (code_search);
COMMENT ON TABLE soulbox.programs IS 'Code that ran, once a tenant however often it ran';
COMMENT ON COLUMN soulbox.programs.tenant IS 'Tenant whose code it is';
COMMENT ON COLUMN soulbox.programs.code_sha256 IS 'SHA-256 of the code as given, hex';
COMMENT ON COLUMN soulbox.programs.cluster IS 'Cluster it was first seen on';
COMMENT ON COLUMN soulbox.programs.user_name IS 'User it was first seen of; empty when nobody was named';
COMMENT ON COLUMN soulbox.programs.language IS 'Language it was first run as; null is the default of the class';
COMMENT ON COLUMN soulbox.programs.code IS 'The code itself';
COMMENT ON COLUMN soulbox.programs.code_bytes IS 'Its length in bytes';
COMMENT ON COLUMN soulbox.programs.code_search IS
    'Words of the first 65536 characters, for code_search @@ to_tsquery(''simple'', ...)';
COMMENT ON COLUMN soulbox.programs.cleaned IS
    'The code held NUL or a lone surrogate; U+FFFD stands in its place';
COMMENT ON COLUMN soulbox.programs.recorded_at IS 'When the row was made';

CREATE TABLE soulbox.execution_outputs (
    uid         uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    stream      text        NOT NULL,
    seq         integer     NOT NULL,
    cluster     uuid        NOT NULL,
    tenant      text        NOT NULL,
    user_name   text        NOT NULL DEFAULT '',
    bytes       bytea       NOT NULL,
    complete    boolean     NOT NULL DEFAULT false,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT execution_outputs_pkey PRIMARY KEY (uid, created_at, stream, seq),
    CONSTRAINT execution_outputs_stream_known CHECK (stream IN ('stdout', 'stderr')),
    CONSTRAINT execution_outputs_seq_positive CHECK (seq >= 0),
    CONSTRAINT execution_outputs_size CHECK (octet_length(bytes) BETWEEN 1 AND 1048576)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE soulbox.execution_outputs IS
    'Whole output of Executions whose status does not hold all of it, in pieces of at most 1 MiB; one partition a month of created_at (UTC)';
COMMENT ON COLUMN soulbox.execution_outputs.uid IS 'The Execution';
COMMENT ON COLUMN soulbox.execution_outputs.created_at IS 'created_at of the Execution';
COMMENT ON COLUMN soulbox.execution_outputs.stream IS 'stdout or stderr';
COMMENT ON COLUMN soulbox.execution_outputs.seq IS 'Place of the piece in its stream, from 0';
COMMENT ON COLUMN soulbox.execution_outputs.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.execution_outputs.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.execution_outputs.user_name IS 'User of the Execution';
COMMENT ON COLUMN soulbox.execution_outputs.bytes IS 'The bytes as written, not cleaned';
COMMENT ON COLUMN soulbox.execution_outputs.complete IS
    'All output of this Execution is saved; without it a save was begun and not finished';
COMMENT ON COLUMN soulbox.execution_outputs.recorded_at IS 'When the row was made';

CREATE FUNCTION soulbox.ensure_partition(parent text, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month    timestamp   := date_trunc('month', moment AT TIME ZONE 'UTC');
    from_at  timestamptz := month AT TIME ZONE 'UTC';
    to_at    timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
    child    text        := parent || to_char(month, '"_y"YYYY"m"MM');
BEGIN
    IF parent NOT IN ('executions', 'execution_outputs') THEN
        RAISE EXCEPTION 'soulbox.% has no monthly partitions', parent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF moment IS NULL OR moment < '2000-01-01 00:00:00+00' OR moment >= '2200-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'no partition is made for %: not a time between the years 2000 and 2200', moment
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- Two writers may need the same month at once; the second finds it made. Looked up in
    -- the catalog and not by to_regclass, which remembers that it was missing.
    PERFORM pg_advisory_xact_lock(hashtext('soulbox.ensure_partition'));
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF: readers and
    -- writers of other months go on. It adds the indexes and triggers of the parent.
    -- fillfactor: each row is updated once or twice soon after it is made.
    EXECUTE format('CREATE TABLE soulbox.%I (LIKE soulbox.%I INCLUDING DEFAULTS '
                   'INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS) '
                   'WITH (fillfactor = 85)', child, parent);
    EXECUTE format('ALTER TABLE soulbox.%I ATTACH PARTITION soulbox.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, from_at, to_at);
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.ensure_partition(text, timestamptz) IS
    'Makes the monthly partition of executions or execution_outputs that a moment lies in; true when it was missing';
REVOKE ALL ON FUNCTION soulbox.ensure_partition(text, timestamptz) FROM PUBLIC;
