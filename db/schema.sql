-- The schema as all migrations together make it: what to read to know it, and what a test
-- compares the migrated database with. It is changed together with a new migration, never
-- run by SoulBox itself.

-- Schema, the record of migrations, the mirror's state, and helpers every table uses.

CREATE SCHEMA IF NOT EXISTS soulbox;
COMMENT ON SCHEMA soulbox IS
    'SoulBox: what ran on the cluster, what it said, and what it cost';

CREATE TABLE soulbox.schema_migrations (
    version    integer     NOT NULL,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT session_user,
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version),
    CONSTRAINT schema_migrations_sha256_hex CHECK (sha256 ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE soulbox.schema_migrations IS
    'Migrations applied to this database, written by soulbox migrate';
COMMENT ON COLUMN soulbox.schema_migrations.version IS 'Number the file name starts with';
COMMENT ON COLUMN soulbox.schema_migrations.name IS 'File name without .sql';
COMMENT ON COLUMN soulbox.schema_migrations.sha256 IS
    'SHA-256 of the file as applied, hex; an edited file is refused';
COMMENT ON COLUMN soulbox.schema_migrations.applied_at IS 'When it was applied';
COMMENT ON COLUMN soulbox.schema_migrations.applied_by IS 'Login role that applied it';

CREATE TABLE soulbox.mirror_state (
    cluster        uuid        NOT NULL,
    leader_epoch   bigint      NOT NULL DEFAULT 0,
    mirror_epoch   integer     NOT NULL DEFAULT 1,
    database_epoch integer     NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mirror_state_pkey PRIMARY KEY (cluster),
    CONSTRAINT mirror_state_epochs_positive
        CHECK (leader_epoch >= 0 AND mirror_epoch >= 1 AND database_epoch >= 1)
);
COMMENT ON TABLE soulbox.mirror_state IS 'Who may write, and which timeline is written: one row a cluster';
COMMENT ON COLUMN soulbox.mirror_state.cluster IS 'UID of the namespace kube-system';
COMMENT ON COLUMN soulbox.mirror_state.leader_epoch IS
    'Grows with each operator that becomes leader; writes of an earlier one are refused';
COMMENT ON COLUMN soulbox.mirror_state.mirror_epoch IS
    'Grows when resource versions go backwards (etcd was restored to an older state)';
COMMENT ON COLUMN soulbox.mirror_state.database_epoch IS
    'Grows when this database was restored from a backup; cursors of an earlier one end';
COMMENT ON COLUMN soulbox.mirror_state.created_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.mirror_state.updated_at IS 'When the row last changed; kept by trigger';

CREATE FUNCTION soulbox.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.touch_updated_at() IS 'Keeps updated_at of every table that changes';

CREATE FUNCTION soulbox.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of soulbox.% is refused: its rows are never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
              CONSTRAINT = TG_TABLE_NAME || '_append_only',
              HINT = 'Correct a bill with an adjustment row.';
END
$$;
COMMENT ON FUNCTION soulbox.refuse_change() IS 'Makes a table append-only';

CREATE TRIGGER mirror_state_touch BEFORE UPDATE ON soulbox.mirror_state
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

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
    captured_files   jsonb,
    timeout_seconds    bigint,
    output_limit_bytes bigint,
    kind             text        NOT NULL DEFAULT 'program',
    function_uid     uuid,
    function_version text,
    cause            jsonb,
    input            jsonb,
    result           jsonb,
    trigger_uid      uuid,
    event_id         text,
    CONSTRAINT executions_pkey PRIMARY KEY (uid, created_at),
    CONSTRAINT executions_state_known CHECK (
        state IN ('queued', 'running', 'completed', 'failed', 'timeout', 'cancelled')),
    -- Not one expression with a counted repeat: that takes twenty times as long.
    CONSTRAINT executions_sha256_hex CHECK (
        octet_length(code_sha256) = 64 AND code_sha256 !~ '[^0-9a-f]'
        AND octet_length(stdout_sha256) = 64 AND stdout_sha256 !~ '[^0-9a-f]'
        AND octet_length(stderr_sha256) = 64 AND stderr_sha256 !~ '[^0-9a-f]'),
    CONSTRAINT executions_figures_positive CHECK (
        attempt >= 0 AND duration_ms >= 0 AND stdout_bytes >= 0 AND stderr_bytes >= 0)
) PARTITION BY RANGE (created_at);
CREATE INDEX executions_tenant_idx ON soulbox.executions (tenant, created_at DESC, uid);
CREATE INDEX executions_sandbox_idx ON soulbox.executions (sandbox_uid, created_at DESC)
    WHERE sandbox_uid IS NOT NULL;
-- Rows of before are what the default says: they need not be looked through under a lock.
ALTER TABLE soulbox.executions
    ADD CONSTRAINT executions_kind_known CHECK (kind IN ('program', 'function')) NOT VALID;
CREATE INDEX executions_function_idx ON soulbox.executions (function_uid, created_at DESC)
    WHERE function_uid IS NOT NULL;
CREATE INDEX executions_trigger_idx ON soulbox.executions (trigger_uid, created_at DESC)
    WHERE trigger_uid IS NOT NULL;
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
    'SandboxClass it ran under: its own, or its Sandbox''s as it was at its dispatch; null while that is not known';
COMMENT ON COLUMN soulbox.executions.language IS
    'spec.language, else the language it was dispatched in; before that the default of its own class';
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
    'Standard output as in the status: its head and tail, all of it where stdout_truncated is false and it is text; otherwise the whole is in execution_outputs';
COMMENT ON COLUMN soulbox.executions.stderr IS
    'Standard error as in the status: its head and tail, all of it where stderr_truncated is false and it is text; otherwise the whole is in execution_outputs';
COMMENT ON COLUMN soulbox.executions.stdout_bytes IS 'Bytes the program wrote to standard output';
COMMENT ON COLUMN soulbox.executions.stderr_bytes IS 'Bytes the program wrote to standard error';
COMMENT ON COLUMN soulbox.executions.stdout_truncated IS 'stdout is not all that was written';
COMMENT ON COLUMN soulbox.executions.stderr_truncated IS 'stderr is not all that was written';
COMMENT ON COLUMN soulbox.executions.stdout_sha256 IS
    'SHA-256 of all that the program wrote to standard output, hex; also of what was not kept';
COMMENT ON COLUMN soulbox.executions.stderr_sha256 IS
    'SHA-256 of all that the program wrote to standard error, hex; also of what was not kept';
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
    'Some text held NUL or a lone surrogate, in whose place U+FFFD stands, or input or result what PostgreSQL cannot hold: numbers beyond those of 64 bits, more than 100 levels';
COMMENT ON COLUMN soulbox.executions.deleted_at IS
    'When its deletion was asked for; when it was found gone if nobody saw that; null: it is there';
COMMENT ON COLUMN soulbox.executions.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.executions.updated_at IS 'When the row last changed; kept by trigger';
COMMENT ON COLUMN soulbox.executions.captured_files IS
    'status.output.files: files [{path, size_bytes, sha256, truncated}], omitted; null: none were captured';
COMMENT ON COLUMN soulbox.executions.timeout_seconds IS
    'Wall time it was given at its dispatch, in seconds; null before, and where an earlier release dispatched it';
COMMENT ON COLUMN soulbox.executions.output_limit_bytes IS
    'Most bytes kept of each stream, and of all captured files together; known as timeout_seconds is';
COMMENT ON COLUMN soulbox.executions.kind IS 'program: code of its own; function: a call of a Function';
COMMENT ON COLUMN soulbox.executions.function_uid IS
    'The Function that it is a call of; null for a program, and before that is known';
COMMENT ON COLUMN soulbox.executions.function_version IS
    'Version of the Function: the one it ran, before its dispatch the one asked for; null: the one that is current then';
COMMENT ON COLUMN soulbox.executions.cause IS
    'spec.cause, what started it: kind, name, uid, event_id, scheduled_time, attempt; null: its creator did';
COMMENT ON COLUMN soulbox.executions.trigger_uid IS 'The Trigger that started it; null: none did';
COMMENT ON COLUMN soulbox.executions.event_id IS
    'Id of the event or request that it was started for; null: none, or that of a schedule';
COMMENT ON COLUMN soulbox.executions.input IS 'spec.input: what it was given, any JSON; null: nothing';
COMMENT ON COLUMN soulbox.executions.result IS 'status.result: what it returned, any JSON; null: nothing, or null';
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
    CONSTRAINT programs_sha256_hex CHECK (
        octet_length(code_sha256) = 64 AND code_sha256 !~ '[^0-9a-f]'),
    CONSTRAINT programs_bytes_positive CHECK (code_bytes >= 0)
);
COMMENT ON TABLE soulbox.programs IS 'Code that ran, once a tenant however often it ran';
COMMENT ON COLUMN soulbox.programs.tenant IS 'Tenant whose code it is';
COMMENT ON COLUMN soulbox.programs.code_sha256 IS 'SHA-256 of the code as given, hex';
COMMENT ON COLUMN soulbox.programs.cluster IS 'Cluster it was first seen on';
COMMENT ON COLUMN soulbox.programs.user_name IS 'User it was first seen of; empty when nobody was named';
COMMENT ON COLUMN soulbox.programs.language IS 'Language it was first run as; null is the default of the class';
COMMENT ON COLUMN soulbox.programs.code IS 'The code itself';
COMMENT ON COLUMN soulbox.programs.code_bytes IS 'Its length in bytes';
COMMENT ON COLUMN soulbox.programs.code_search IS
    'Words of the first 65536 characters, with their places: what search_code ranks by';
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
    CONSTRAINT execution_outputs_stream_known CHECK (stream IN ('stdout', 'stderr') OR stream ~ '^file/[0-9]{1,2}$'),
    CONSTRAINT execution_outputs_seq_positive CHECK (seq >= 0),
    CONSTRAINT execution_outputs_size CHECK (octet_length(bytes) BETWEEN 1 AND 1048576)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE soulbox.execution_outputs IS
    'Whole output of Executions whose status does not hold all of it, in pieces of at most 1 MiB; one partition a month of created_at (UTC)';
COMMENT ON COLUMN soulbox.execution_outputs.uid IS 'The Execution';
COMMENT ON COLUMN soulbox.execution_outputs.created_at IS 'created_at of the Execution';
COMMENT ON COLUMN soulbox.execution_outputs.stream IS
    'stdout, stderr, or file/N: the captured file at place N, from 0, of executions.captured_files';
COMMENT ON COLUMN soulbox.execution_outputs.seq IS 'Place of the piece in its stream, from 0';
COMMENT ON COLUMN soulbox.execution_outputs.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.execution_outputs.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.execution_outputs.user_name IS 'User of the Execution';
COMMENT ON COLUMN soulbox.execution_outputs.bytes IS 'The bytes as written, not cleaned';
COMMENT ON COLUMN soulbox.execution_outputs.complete IS
    'All output of this Execution is saved; without it a save was begun and not finished';
COMMENT ON COLUMN soulbox.execution_outputs.recorded_at IS 'When the row was made';

-- What calls of Functions logged.

CREATE TABLE soulbox.execution_logs (
    uid           uuid        NOT NULL,
    created_at    timestamptz NOT NULL,
    seq           integer     NOT NULL,
    cluster       uuid        NOT NULL,
    tenant        text        NOT NULL,
    user_name     text        NOT NULL DEFAULT '',
    at            timestamptz,
    level         text        NOT NULL,
    message       text        NOT NULL,
    metadata      jsonb       NOT NULL DEFAULT '{}',
    lines_omitted bigint      NOT NULL DEFAULT 0,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT execution_logs_pkey PRIMARY KEY (uid, created_at, seq),
    CONSTRAINT execution_logs_level_known CHECK (level IN ('debug', 'info', 'warn', 'error')),
    CONSTRAINT execution_logs_figures_positive CHECK (seq >= 0 AND lines_omitted >= 0)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE soulbox.execution_logs IS
    'Lines of the log that a call of a Function wrote to standard error as JSON, at most 1,000 and 256 KiB of one; one partition a month of created_at (UTC)';
COMMENT ON COLUMN soulbox.execution_logs.uid IS 'The Execution';
COMMENT ON COLUMN soulbox.execution_logs.created_at IS 'created_at of the Execution';
COMMENT ON COLUMN soulbox.execution_logs.seq IS 'Place of the line, from 0';
COMMENT ON COLUMN soulbox.execution_logs.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.execution_logs.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.execution_logs.user_name IS 'User of the Execution';
COMMENT ON COLUMN soulbox.execution_logs.at IS 'When it was written, as the program says; null where it does not';
COMMENT ON COLUMN soulbox.execution_logs.level IS 'debug, info, warn or error, whatever the program calls it';
COMMENT ON COLUMN soulbox.execution_logs.message IS 'What it says';
COMMENT ON COLUMN soulbox.execution_logs.metadata IS 'Its other members, as far as PostgreSQL can hold them';
COMMENT ON COLUMN soulbox.execution_logs.lines_omitted IS
    'So many lines that followed were not kept; on the last one that was, else 0';
COMMENT ON COLUMN soulbox.execution_logs.recorded_at IS 'When the row was made';

-- Functions and their versions. A version is a row for ever.

CREATE TABLE soulbox.functions (
    uid              uuid        NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    namespace        text        NOT NULL,
    name             text        NOT NULL,
    version          text,
    versions         text[]      NOT NULL DEFAULT '{}',
    state            text,
    reason           text,
    message          text,
    suspended        boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,
    labels           jsonb       NOT NULL DEFAULT '{}',
    spec             jsonb       NOT NULL DEFAULT '{}',
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    cleaned          boolean     NOT NULL DEFAULT false,
    deleted_at       timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT functions_pkey PRIMARY KEY (uid),
    CONSTRAINT functions_state_known CHECK (state IN ('ready', 'suspended', 'error'))
);
CREATE INDEX functions_tenant_idx ON soulbox.functions (tenant, namespace, name, uid);
COMMENT ON TABLE soulbox.functions IS 'Every Function there was, as last seen';
COMMENT ON COLUMN soulbox.functions.uid IS 'metadata.uid: names it for ever';
COMMENT ON COLUMN soulbox.functions.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.functions.tenant IS
    'Label soulbox.dev/tenant of its namespace when first written, else the namespace; it is of the tenant, not of one user';
COMMENT ON COLUMN soulbox.functions.namespace IS 'Namespace; with name it locates, uid identifies';
COMMENT ON COLUMN soulbox.functions.name IS 'Name in its namespace; may be used again later';
COMMENT ON COLUMN soulbox.functions.version IS
    'status.version: the one that is called where none is named; null before the first';
COMMENT ON COLUMN soulbox.functions.versions IS
    'status.versions: those that can be called; all there were are in function_versions';
COMMENT ON COLUMN soulbox.functions.state IS
    'ready, suspended or error: status.state in lower case; null: not looked at yet';
COMMENT ON COLUMN soulbox.functions.reason IS 'status.reason: why it is in its state';
COMMENT ON COLUMN soulbox.functions.message IS 'status.message: the same for people';
COMMENT ON COLUMN soulbox.functions.suspended IS 'spec.suspend: it is not called';
COMMENT ON COLUMN soulbox.functions.created_at IS 'metadata.creationTimestamp';
COMMENT ON COLUMN soulbox.functions.labels IS 'metadata.labels';
COMMENT ON COLUMN soulbox.functions.spec IS
    'spec, keys in snake_case but for those of its schemas; the code and the values of environment variables are left out';
COMMENT ON COLUMN soulbox.functions.resource_version IS
    'metadata.resourceVersion of the version shown; an older one never overwrites it';
COMMENT ON COLUMN soulbox.functions.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.functions.cleaned IS
    'Some text held NUL or a lone surrogate, in whose place U+FFFD stands, or the spec what PostgreSQL cannot hold';
COMMENT ON COLUMN soulbox.functions.deleted_at IS
    'When its deletion was asked for; when it was found gone if nobody saw that; null: it is there';
COMMENT ON COLUMN soulbox.functions.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.functions.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER functions_touch BEFORE UPDATE ON soulbox.functions
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE FUNCTION soulbox.tool_search(name text, title text, description text, tags text[]) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head CONSTANT text := left(concat_ws(' ', translate(name, '-._', '   '), title,
                                         array_to_string(tags, ' ')), 65536);
    body CONSTANT text := left(coalesce(description, ''), 65536);
BEGIN
    RETURN setweight(to_tsvector('simple', head), 'A') || setweight(to_tsvector('simple', body), 'B')
        || setweight(to_tsvector('english', head), 'C') || to_tsvector('english', body);
END
$$;
COMMENT ON FUNCTION soulbox.tool_search(text, text, text, text[]) IS
    'Words of a tool as search_tools ranks them: as written in its name, title and tags (A), as written in its description (B), by English stem in the same (C, D)';

CREATE TABLE soulbox.function_versions (
    function_uid     uuid        NOT NULL,
    version          text        NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    namespace        text        NOT NULL,
    name             text        NOT NULL,
    tool_id          text,
    revision         text,
    content_sha256   text,
    code_sha256      text,
    input_schema     jsonb,
    output_schema    jsonb,
    execution_config jsonb       NOT NULL DEFAULT '{}',
    tags             text[]      NOT NULL DEFAULT '{}',
    category         text,
    tool_type        text,
    title            text,
    description      text,
    published_by     text,
    registered_at    timestamptz NOT NULL,
    deprecated       text,
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    cleaned          boolean     NOT NULL DEFAULT false,
    is_current       boolean     NOT NULL DEFAULT false,
    withdrawn_at     timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    search           tsvector    GENERATED ALWAYS AS (soulbox.tool_search(name, title, description, tags)) STORED,
    CONSTRAINT function_versions_pkey PRIMARY KEY (function_uid, version),
    CONSTRAINT function_versions_tool_id_form CHECK (tool_id ~ '^tool:[^/]+/[^@]+@[^@]+$'),
    CONSTRAINT function_versions_sha256_hex CHECK (
        octet_length(content_sha256) = 64 AND content_sha256 !~ '[^0-9a-f]'
        AND octet_length(code_sha256) = 64 AND code_sha256 !~ '[^0-9a-f]')
);
CREATE INDEX function_versions_tenant_idx ON soulbox.function_versions (tenant, namespace, name, registered_at DESC);
-- What can be called now, and the tools among them by their words.
CREATE INDEX function_versions_tools_idx ON soulbox.function_versions (tenant, namespace, name, function_uid)
    WHERE is_current AND tool_id IS NOT NULL;
COMMENT ON TABLE soulbox.function_versions IS
    'Every version of a Function that was published, kept for ever; those with a tool_id are the registry of tools';
COMMENT ON COLUMN soulbox.function_versions.function_uid IS 'The Function';
COMMENT ON COLUMN soulbox.function_versions.version IS 'spec.version, or the number counted';
COMMENT ON COLUMN soulbox.function_versions.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.function_versions.tenant IS 'Tenant of the Function';
COMMENT ON COLUMN soulbox.function_versions.namespace IS 'Namespace of the Function';
COMMENT ON COLUMN soulbox.function_versions.name IS 'Name of the Function';
COMMENT ON COLUMN soulbox.function_versions.tool_id IS
    'tool:namespace/name@version; null: the Function is no tool. A Function deleted and made again may publish the same one';
COMMENT ON COLUMN soulbox.function_versions.revision IS
    'ControllerRevision that holds it, as long as it can be called';
COMMENT ON COLUMN soulbox.function_versions.content_sha256 IS 'SHA-256 of all that makes it what it is, hex';
COMMENT ON COLUMN soulbox.function_versions.code_sha256 IS
    'SHA-256 of its code, hex: the code is in programs once it has run, unless it came from elsewhere';
COMMENT ON COLUMN soulbox.function_versions.input_schema IS 'spec.inputSchema, as written; null: any input';
COMMENT ON COLUMN soulbox.function_versions.output_schema IS 'spec.outputSchema, as written; null: any result';
COMMENT ON COLUMN soulbox.function_versions.execution_config IS
    'How it runs: class_name, language, handler, timeout_seconds, resources, network and so on; the values of environment variables are left out';
COMMENT ON COLUMN soulbox.function_versions.tags IS 'spec.tool.tags';
COMMENT ON COLUMN soulbox.function_versions.category IS 'spec.tool.category';
COMMENT ON COLUMN soulbox.function_versions.tool_type IS 'spec.tool.type';
COMMENT ON COLUMN soulbox.function_versions.title IS 'spec.tool.title';
COMMENT ON COLUMN soulbox.function_versions.description IS 'spec.description';
COMMENT ON COLUMN soulbox.function_versions.published_by IS 'Who made it the current one; null: nobody knows';
COMMENT ON COLUMN soulbox.function_versions.registered_at IS 'When it was published: its ControllerRevision was made';
COMMENT ON COLUMN soulbox.function_versions.deprecated IS
    'spec.deprecated: what to use instead; it can still be called. Null: it is not deprecated';
COMMENT ON COLUMN soulbox.function_versions.resource_version IS
    'metadata.resourceVersion of the Function that it is shown as in; an older one never overwrites it';
COMMENT ON COLUMN soulbox.function_versions.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.function_versions.cleaned IS
    'Some text held NUL or a lone surrogate, in whose place U+FFFD stands, or a schema what PostgreSQL cannot hold';
COMMENT ON COLUMN soulbox.function_versions.is_current IS
    'It is the one that is called where none is named; kept by trigger';
COMMENT ON COLUMN soulbox.function_versions.withdrawn_at IS
    'When its Function was deleted, or was found to have it no longer; null: it can be called. Kept by trigger';
COMMENT ON COLUMN soulbox.function_versions.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.function_versions.updated_at IS 'When the row last changed; kept by trigger';
COMMENT ON COLUMN soulbox.function_versions.search IS
    'Words of its name, title, tags and description, weighted: what search_tools ranks by';
CREATE TRIGGER function_versions_touch BEFORE UPDATE ON soulbox.function_versions
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

-- Which versions can be called is said by the Function, in whichever order the rows come.

CREATE FUNCTION soulbox.place_version() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    SELECT x.version, x.versions, x.deleted_at INTO f FROM soulbox.functions x WHERE x.uid = NEW.function_uid;
    IF FOUND THEN
        NEW.is_current := f.deleted_at IS NULL AND NEW.version IS NOT DISTINCT FROM f.version;
        -- A row of a backup says when.
        NEW.withdrawn_at := CASE WHEN f.deleted_at IS NULL
                                      AND (NEW.is_current OR NEW.version = ANY (f.versions)) THEN NULL
                                 ELSE coalesce(NEW.withdrawn_at, f.deleted_at, now()) END;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.place_version() IS
    'Says of a version whose row is new whether it is current, or withdrawn';
CREATE TRIGGER function_versions_place BEFORE INSERT ON soulbox.function_versions
    FOR EACH ROW EXECUTE FUNCTION soulbox.place_version();

CREATE FUNCTION soulbox.place_versions() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE soulbox.function_versions v
       SET is_current = p.is_current, withdrawn_at = p.withdrawn_at
      FROM (SELECT x.version,
                   NEW.deleted_at IS NULL AND x.version IS NOT DISTINCT FROM NEW.version AS is_current,
                   CASE WHEN NEW.deleted_at IS NOT NULL THEN coalesce(x.withdrawn_at, NEW.deleted_at)
                        WHEN x.version = ANY (NEW.versions || NEW.version) THEN NULL
                        ELSE coalesce(x.withdrawn_at, now()) END AS withdrawn_at
              FROM soulbox.function_versions x
             WHERE x.function_uid = NEW.uid) p
     WHERE v.function_uid = NEW.uid AND v.version = p.version
       AND (v.is_current, v.withdrawn_at) IS DISTINCT FROM (p.is_current, p.withdrawn_at);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION soulbox.place_versions() IS
    'Says of the versions of a Function which is current, and which are withdrawn';
CREATE TRIGGER functions_place AFTER INSERT OR UPDATE ON soulbox.functions
    FOR EACH ROW EXECUTE FUNCTION soulbox.place_versions();

-- Resource figures, partitions and retention.

CREATE TABLE soulbox.resource_metrics (
    sandbox_uid        uuid        NOT NULL,
    recorded_at        timestamptz NOT NULL,
    cluster            uuid        NOT NULL,
    tenant             text        NOT NULL,
    user_name          text        NOT NULL DEFAULT '',
    pod_uid            uuid,
    execution_uid      uuid,
    cpu_seconds_total  numeric(20,6),
    cpu_cores          numeric(12,6),
    memory_bytes       bigint,
    memory_peak_bytes  bigint,
    memory_limit_bytes bigint,
    disk_used_bytes    bigint,
    disk_read_bytes    bigint,
    disk_write_bytes   bigint,
    network_rx_bytes   bigint,
    network_tx_bytes   bigint,
    network_rx_packets bigint,
    network_tx_packets bigint,
    processes          bigint,
    custom             jsonb,
    CONSTRAINT resource_metrics_pkey PRIMARY KEY (sandbox_uid, recorded_at),
    CONSTRAINT resource_metrics_figures_positive CHECK (
        cpu_seconds_total >= 0 AND cpu_cores >= 0 AND memory_bytes >= 0
        AND memory_peak_bytes >= 0 AND memory_limit_bytes >= 0 AND processes >= 0)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX resource_metrics_time_idx ON soulbox.resource_metrics USING brin (recorded_at);
COMMENT ON TABLE soulbox.resource_metrics IS
    'What each running sandbox used, sample by sample; one partition a day of recorded_at (UTC); a gap is a gap';
COMMENT ON COLUMN soulbox.resource_metrics.sandbox_uid IS
    'The Sandbox; of a one-shot the UID of its Execution, as in runs';
COMMENT ON COLUMN soulbox.resource_metrics.recorded_at IS 'When the sample was taken';
COMMENT ON COLUMN soulbox.resource_metrics.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.resource_metrics.tenant IS 'Tenant of the sandbox';
COMMENT ON COLUMN soulbox.resource_metrics.user_name IS 'User of the sandbox; empty when nobody is named';
COMMENT ON COLUMN soulbox.resource_metrics.pod_uid IS 'The pod whose figures these are; totals begin anew with each';
COMMENT ON COLUMN soulbox.resource_metrics.execution_uid IS
    'The Execution that alone ran then; null when none or several did';
COMMENT ON COLUMN soulbox.resource_metrics.cpu_seconds_total IS 'CPU seconds used since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.cpu_cores IS 'CPU used since the sample before, in cores; null in the first';
COMMENT ON COLUMN soulbox.resource_metrics.memory_bytes IS 'Memory in use';
COMMENT ON COLUMN soulbox.resource_metrics.memory_peak_bytes IS 'Most memory in use since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.memory_limit_bytes IS 'Memory limit then in force';
COMMENT ON COLUMN soulbox.resource_metrics.disk_used_bytes IS 'Bytes its workspace holds';
COMMENT ON COLUMN soulbox.resource_metrics.disk_read_bytes IS 'Bytes read from block devices since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.disk_write_bytes IS 'Bytes written to block devices since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_rx_bytes IS 'Bytes received since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_tx_bytes IS 'Bytes sent since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_rx_packets IS 'Packets received since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_tx_packets IS 'Packets sent since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.processes IS 'Processes alive';
COMMENT ON COLUMN soulbox.resource_metrics.custom IS 'Other figures by name; null when there are none';

CREATE VIEW soulbox.v_partitions WITH (security_invoker = true) AS
SELECT p.relname::text AS parent,
       c.relname::text AS name,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $r$FROM \('([^']+)'\)$r$)::timestamptz AS starts_at,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $r$ TO \('([^']+)'\)$r$)::timestamptz AS ends_at,
       c.reltuples::bigint AS estimated_rows,
       pg_total_relation_size(c.oid) AS size_bytes
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_class p ON p.oid = i.inhparent
 WHERE p.relnamespace = 'soulbox'::regnamespace
   AND p.relkind = 'p'
   AND c.relkind = 'r';
COMMENT ON VIEW soulbox.v_partitions IS
    'Partitions of executions, execution_outputs, execution_logs and resource_metrics: which times they hold, and their size; estimated_rows is -1 before the first analyze';

CREATE FUNCTION soulbox.ensure_partition(parent text, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    period   text := CASE parent WHEN 'executions' THEN 'month'
                                 WHEN 'execution_outputs' THEN 'month'
                                 WHEN 'execution_logs' THEN 'month'
                                 WHEN 'resource_metrics' THEN 'day' END;
    first_at timestamp   := date_trunc(period, moment AT TIME ZONE 'UTC');
    from_at  timestamptz := first_at AT TIME ZONE 'UTC';
    to_at    timestamptz := (first_at + ('1 ' || period)::interval) AT TIME ZONE 'UTC';
    child    text := parent || to_char(first_at, CASE period WHEN 'day' THEN '"_y"YYYY"m"MM"d"DD'
                                                             ELSE '"_y"YYYY"m"MM' END);
BEGIN
    IF period IS NULL THEN
        RAISE EXCEPTION 'soulbox.% has no partitions', parent
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
    -- Two writers may need the same partition at once; the second finds it made. Looked up in
    -- the catalog and not by to_regclass, which remembers that it was missing. Any login could
    -- take an advisory lock, and keep it; this one only who may write that table.
    LOCK TABLE soulbox.schema_migrations IN SHARE UPDATE EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF: readers and
    -- writers of other partitions go on. It adds the indexes and triggers of the parent.
    -- fillfactor: a row of executions is updated once or twice soon after it is made, the
    -- others' never.
    EXECUTE format('CREATE TABLE soulbox.%I (LIKE soulbox.%I INCLUDING DEFAULTS '
                   'INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION '
                   'INCLUDING COMMENTS) WITH (fillfactor = %s)',
                   child, parent, CASE period WHEN 'day' THEN 100 ELSE 85 END);
    -- The table's policies hold for who reads the table; nobody reads the partition itself.
    EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE soulbox.%I ATTACH PARTITION soulbox.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, from_at, to_at);
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.ensure_partition(text, timestamptz) IS
    'Makes the partition (a month of executions, execution_outputs and execution_logs, a day of resource_metrics) that a moment lies in; true when it was missing';
REVOKE ALL ON FUNCTION soulbox.ensure_partition(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.drop_expired(parent text, keep interval) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- Dropping waits for readers of that partition; who asks next must not wait behind it.
    SET lock_timeout = '5s'
AS $$
DECLARE
    expired record;
BEGIN
    IF parent IS NULL OR parent NOT IN ('executions', 'execution_outputs', 'execution_logs', 'resource_metrics') THEN
        RAISE EXCEPTION 'soulbox.% is never dropped', parent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The caller may be a stolen login of the operator: what is recent stays whatever it asks.
    IF keep IS NULL OR keep < interval '1 day' THEN
        RAISE EXCEPTION 'at least one day is kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR expired IN
        SELECT p.name, p.starts_at, p.ends_at FROM soulbox.v_partitions p
         WHERE p.parent = drop_expired.parent AND p.ends_at <= now() - keep
         ORDER BY p.ends_at
    LOOP
        EXECUTE format('DROP TABLE soulbox.%I', expired.name);
        IF parent = 'executions' THEN
            -- No trigger is told.
            DELETE FROM soulbox.call_sums s
             WHERE s.day >= (expired.starts_at AT TIME ZONE 'UTC')::date
               AND s.day < (expired.ends_at AT TIME ZONE 'UTC')::date;
        END IF;
        RETURN NEXT expired.name;
    END LOOP;
END
$$;
COMMENT ON FUNCTION soulbox.drop_expired(text, interval) IS
    'Drops the partitions of executions, execution_outputs, execution_logs or resource_metrics that ended longer ago than this; returns their names';
REVOKE ALL ON FUNCTION soulbox.drop_expired(text, interval) FROM PUBLIC;

-- lz4 takes a fifth of the time of pglz; a server built without it says so and keeps pglz.
DO $$
DECLARE
    wide record;
BEGIN
    FOR wide IN
        SELECT c.oid::regclass AS relation, a.attname
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
         WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relkind IN ('r', 'p')
           AND (regexp_replace(c.relname, '_y\d{4}m\d\d$', ''), a.attname) IN (
               ('executions', 'stdout'), ('executions', 'stderr'), ('execution_outputs', 'bytes'),
               ('executions', 'input'), ('executions', 'result'),
               ('execution_logs', 'message'), ('execution_logs', 'metadata'),
               ('functions', 'spec'), ('function_versions', 'input_schema'),
               ('function_versions', 'output_schema'),
               ('programs', 'code'), ('resource_metrics', 'custom'))
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION lz4', wide.relation, wide.attname);
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

-- Prices, the running time of pods, and the ledger made from both.

CREATE TABLE soulbox.price_plans (
    name        text           NOT NULL,
    sku         text           NOT NULL,
    tier        text           NOT NULL,
    rate        numeric(20,10) NOT NULL,
    currency    text           NOT NULL DEFAULT 'USD',
    valid       tstzrange      NOT NULL,
    description text           NOT NULL DEFAULT '',
    created_at  timestamptz    NOT NULL DEFAULT now(),
    updated_at  timestamptz    NOT NULL DEFAULT now(),
    minimum_seconds   bigint         NOT NULL DEFAULT 0,
    increment_seconds bigint         NOT NULL DEFAULT 0,
    free_units        numeric(30,10) NOT NULL DEFAULT 0,
    CONSTRAINT price_plans_pkey PRIMARY KEY (name),
    CONSTRAINT price_plans_rate_positive CHECK (rate >= 0),
    CONSTRAINT price_plans_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT price_plans_sku_given CHECK (sku <> '' AND tier <> '' AND name <> ''),
    CONSTRAINT price_plans_valid_from_given CHECK (
        NOT isempty(valid) AND NOT lower_inf(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    -- Equality in a GiST index needs an extension that not every server has; a range of
    -- one 64-bit hash is built in. Two pairs with one hash would be refused for nothing.
    CONSTRAINT price_plans_no_overlap EXCLUDE USING gist (
        int8range(hashtextextended(sku || chr(31) || tier, 0),
                  hashtextextended(sku || chr(31) || tier, 0), '[]') WITH &&,
        valid WITH &&),
    CONSTRAINT price_plans_terms_positive CHECK (
        minimum_seconds >= 0 AND increment_seconds >= 0 AND free_units >= 0),
    CONSTRAINT price_plans_valid_bounded CHECK (
        lower(valid) >= '0001-01-01 00:00:00+00' AND lower(valid) < '10000-01-01 00:00:00+00'
        AND (upper_inf(valid) OR upper(valid) < '10000-01-01 00:00:00+00')),
    -- NaN is greater than every number. A row's amount has ten digits before the point: a pod of
    -- 10,000 vCPU fits.
    CONSTRAINT price_plans_numbers_bounded CHECK (
        rate < 'NaN' AND free_units < 'NaN'
        AND minimum_seconds <= 31622400 AND increment_seconds <= 31622400
        AND rate * (3600 + minimum_seconds + increment_seconds) <= 1000000)
);
COMMENT ON TABLE soulbox.price_plans IS
    'Prices by SKU and tier over ranges of time that never overlap; immutable once begun, but that a later end may be set';
COMMENT ON COLUMN soulbox.price_plans.name IS 'Name of the plan, stamped in the ledger rows it prices';
COMMENT ON COLUMN soulbox.price_plans.sku IS
    'SandboxClass.spec.sku it prices; "default" prices those without a plan of their own';
COMMENT ON COLUMN soulbox.price_plans.tier IS 'Tier it prices; "free" prices those without a plan of their own';
COMMENT ON COLUMN soulbox.price_plans.rate IS
    'Price of one compute unit: one vCPU or 2 GiB, whichever is more, for one second';
COMMENT ON COLUMN soulbox.price_plans.currency IS 'ISO 4217 code';
COMMENT ON COLUMN soulbox.price_plans.valid IS 'When it applies: [from, to), to may be open';
COMMENT ON COLUMN soulbox.price_plans.description IS 'For people';
COMMENT ON COLUMN soulbox.price_plans.created_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.price_plans.updated_at IS 'When the row last changed; kept by trigger';
COMMENT ON COLUMN soulbox.price_plans.minimum_seconds IS
    'A pod is billed for at least so long; 0: for as long as it ran';
COMMENT ON COLUMN soulbox.price_plans.increment_seconds IS
    'The time billed of a pod is rounded up to a multiple of this; 0: not at all';
COMMENT ON COLUMN soulbox.price_plans.free_units IS
    'Compute units a month that a user of a tenant is not asked to pay; invoices subtract them, the ledger does not';

CREATE FUNCTION soulbox.guard_price_plan() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND lower(OLD.valid) <= now() THEN
        -- A plan that has begun may only end, and only later than now: nothing that was or
        -- could have been billed by it changes. Else no price could ever be replaced.
        IF TG_OP = 'UPDATE'
           AND (NEW.name, NEW.sku, NEW.tier, NEW.rate, NEW.currency, NEW.minimum_seconds,
                NEW.increment_seconds, NEW.free_units, lower(NEW.valid))
               IS NOT DISTINCT FROM
               (OLD.name, OLD.sku, OLD.tier, OLD.rate, OLD.currency, OLD.minimum_seconds,
                OLD.increment_seconds, OLD.free_units, lower(OLD.valid))
           AND (NEW.valid = OLD.valid
                OR (coalesce(upper(OLD.valid), 'infinity') > now()
                    AND coalesce(upper(NEW.valid), 'infinity') > now()))
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'price plan "%" has begun and cannot be changed', OLD.name
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'price_plans_immutable',
                  HINT = 'End it at a later time and insert a new plan that begins there.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF lower(NEW.valid) <= clock_timestamp() THEN
        -- Who bills reads the plans first and keeps that lock until his rows are committed:
        -- after this nobody is under way with the plans as they were.
        LOCK TABLE soulbox.price_plans IN ACCESS EXCLUSIVE MODE;
    END IF;
    IF EXISTS (SELECT FROM soulbox.billing_events b
                WHERE b.kind <> 'adjustment' AND b.starts_at <@ NEW.valid
                  AND b.starts_at >= lower(NEW.valid)
                  AND NEW.sku IN (b.sku, 'default') AND NEW.tier IN (b.tier, 'free')) THEN
        RAISE EXCEPTION 'price plan "%" would apply to time that is billed already', NEW.name
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'price_plans_unbilled', HINT = 'Let it begin later.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.guard_price_plan() IS 'Keeps a plan that has begun as it is';
CREATE TRIGGER price_plans_guard BEFORE INSERT OR UPDATE OR DELETE ON soulbox.price_plans
    FOR EACH ROW EXECUTE FUNCTION soulbox.guard_price_plan();
CREATE TRIGGER price_plans_no_truncate BEFORE TRUNCATE ON soulbox.price_plans
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER price_plans_touch BEFORE UPDATE ON soulbox.price_plans
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE TABLE soulbox.pod_runs (
    pod_uid          uuid        NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    user_name        text        NOT NULL DEFAULT '',
    namespace        text        NOT NULL,
    pod_name         text        NOT NULL,
    owner_name       text,
    class_name       text,
    sandbox_uid      uuid,
    execution_uid    uuid,
    incarnation      bigint      NOT NULL DEFAULT 0,
    node             text,
    cpu_millicores   bigint      NOT NULL,
    memory_bytes     bigint      NOT NULL,
    sku              text        NOT NULL,
    started_at       timestamptz NOT NULL,
    finished_at      timestamptz,
    end_source       text,
    exit_reason      text,
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    deleted_at       timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pod_runs_pkey PRIMARY KEY (pod_uid),
    CONSTRAINT pod_runs_owner_given CHECK (sandbox_uid IS NOT NULL OR execution_uid IS NOT NULL),
    CONSTRAINT pod_runs_limits_positive CHECK (cpu_millicores >= 0 AND memory_bytes >= 0),
    CONSTRAINT pod_runs_end_source_known CHECK (end_source IN ('kubelet', 'lease')),
    CONSTRAINT pod_runs_end_whole CHECK ((finished_at IS NULL) = (end_source IS NULL))
);
CREATE INDEX pod_runs_sandbox_idx ON soulbox.pod_runs (sandbox_uid, started_at);
CREATE INDEX pod_runs_tenant_idx ON soulbox.pod_runs (tenant, started_at);
CREATE INDEX pod_runs_live_idx ON soulbox.pod_runs (cluster, pod_uid)
    WHERE finished_at IS NULL AND deleted_at IS NULL;
COMMENT ON TABLE soulbox.pod_runs IS
    'Running time of each pod whose container started: what the ledger is proved from; kept as long as it';
COMMENT ON COLUMN soulbox.pod_runs.pod_uid IS 'metadata.uid of the pod';
COMMENT ON COLUMN soulbox.pod_runs.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.pod_runs.tenant IS
    'Label soulbox.dev/tenant of its namespace when first written, else the namespace';
COMMENT ON COLUMN soulbox.pod_runs.user_name IS 'User it is billed to; empty when nobody is named';
COMMENT ON COLUMN soulbox.pod_runs.namespace IS 'Namespace of the pod';
COMMENT ON COLUMN soulbox.pod_runs.pod_name IS 'Name of the pod';
COMMENT ON COLUMN soulbox.pod_runs.owner_name IS 'Name of its Sandbox or Execution';
COMMENT ON COLUMN soulbox.pod_runs.class_name IS 'SandboxClass it was made from';
COMMENT ON COLUMN soulbox.pod_runs.sandbox_uid IS 'Its Sandbox; null for a one-shot';
COMMENT ON COLUMN soulbox.pod_runs.execution_uid IS 'The one-shot Execution it ran; null for a Sandbox';
COMMENT ON COLUMN soulbox.pod_runs.incarnation IS 'Which life of its owner it is, from 1';
COMMENT ON COLUMN soulbox.pod_runs.node IS 'Node it ran on, by whose clock the times are';
COMMENT ON COLUMN soulbox.pod_runs.cpu_millicores IS 'CPU limit in thousandths of a core';
COMMENT ON COLUMN soulbox.pod_runs.memory_bytes IS 'Memory limit in bytes';
COMMENT ON COLUMN soulbox.pod_runs.sku IS 'What it is priced as: spec.sku of its class';
COMMENT ON COLUMN soulbox.pod_runs.started_at IS 'startedAt of its container, as the kubelet says';
COMMENT ON COLUMN soulbox.pod_runs.finished_at IS
    'finishedAt of its container; null while it runs, or while nobody knows its end';
COMMENT ON COLUMN soulbox.pod_runs.end_source IS
    'kubelet: it said finishedAt; lease: the node was lost and its Lease was last renewed then';
COMMENT ON COLUMN soulbox.pod_runs.exit_reason IS 'Completed, Error, OOMKilled, Evicted and so on';
COMMENT ON COLUMN soulbox.pod_runs.resource_version IS
    'metadata.resourceVersion of the version shown; an older one never overwrites it';
COMMENT ON COLUMN soulbox.pod_runs.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.pod_runs.deleted_at IS
    'When the pod was found gone before its end was known; null otherwise';
COMMENT ON COLUMN soulbox.pod_runs.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.pod_runs.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER pod_runs_touch BEFORE UPDATE ON soulbox.pod_runs
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE FUNCTION soulbox.database_epoch() RETURNS integer
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(max(database_epoch), 1) FROM soulbox.mirror_state
$$;
COMMENT ON FUNCTION soulbox.database_epoch() IS
    'The epoch of this database: grows when it is restored from a backup';

CREATE FUNCTION soulbox.usage_day(kind text, starts_at timestamptz, occurred_at timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((CASE kind WHEN 'adjustment' THEN occurred_at ELSE starts_at END) AT TIME ZONE 'UTC')::date;
COMMENT ON FUNCTION soulbox.usage_day(text, timestamptz, timestamptz) IS
    'The day (UTC) a ledger row counts for: when its time began; an adjustment''s when it was decided';

CREATE TABLE soulbox.billing_events (
    event_id      uuid           NOT NULL,
    cluster       uuid           NOT NULL,
    tenant        text           NOT NULL,
    user_name     text           NOT NULL DEFAULT '',
    kind          text           NOT NULL,
    pod_uid       uuid,
    window_hour   timestamptz    NOT NULL,
    sandbox_uid   uuid,
    execution_uid uuid,
    starts_at     timestamptz    NOT NULL,
    ends_at       timestamptz    NOT NULL,
    quantity      numeric(20,6)  NOT NULL,
    unit          text           NOT NULL DEFAULT 'seconds',
    compute_units numeric(30,10) NOT NULL,
    amount        numeric(20,10) NOT NULL,
    currency      text           NOT NULL DEFAULT 'USD',
    price_plan    text,
    sku           text           NOT NULL,
    tier          text           NOT NULL,
    occurred_at   timestamptz    NOT NULL,
    recorded_at   timestamptz    NOT NULL DEFAULT now(),
    corrects      uuid,
    metadata      jsonb          NOT NULL DEFAULT '{}',
    epoch         integer        NOT NULL DEFAULT soulbox.database_epoch(),
    xid8          xid8           NOT NULL DEFAULT pg_current_xact_id(),
    rounding_seconds numeric(20,6) NOT NULL DEFAULT 0,
    CONSTRAINT billing_events_pkey PRIMARY KEY (event_id),
    CONSTRAINT billing_events_window_key UNIQUE (pod_uid, kind, window_hour),
    CONSTRAINT billing_events_price_plan_fkey
        FOREIGN KEY (price_plan) REFERENCES soulbox.price_plans (name),
    CONSTRAINT billing_events_corrects_fkey
        FOREIGN KEY (corrects) REFERENCES soulbox.billing_events (event_id),
    CONSTRAINT billing_events_kind_known CHECK (
        kind IN ('sandbox_runtime', 'execution', 'adjustment')),
    CONSTRAINT billing_events_hour_whole CHECK (extract(epoch FROM window_hour) % 3600 = 0),
    CONSTRAINT billing_events_starts_in_hour CHECK (
        starts_at >= window_hour AND starts_at < window_hour + interval '1 hour'),
    CONSTRAINT billing_events_ends_in_hour CHECK (
        ends_at >= starts_at AND ends_at <= window_hour + interval '1 hour'),
    CONSTRAINT billing_events_quantity_proved CHECK (
        kind = 'adjustment' OR quantity = extract(epoch FROM ends_at - starts_at)),
    CONSTRAINT billing_events_signs CHECK (
        kind = 'adjustment' OR (quantity >= 0 AND compute_units >= 0 AND amount >= 0)),
    CONSTRAINT billing_events_pod_given CHECK (kind = 'adjustment' OR pod_uid IS NOT NULL),
    CONSTRAINT billing_events_adjustment_explained CHECK (
        CASE WHEN kind = 'adjustment'
             THEN pod_uid IS NULL AND corrects IS NOT NULL AND coalesce(metadata ->> 'reason', '') <> ''
             ELSE corrects IS NULL END),
    CONSTRAINT billing_events_unpriced_free CHECK (
        kind = 'adjustment' OR price_plan IS NOT NULL OR amount = 0),
    CONSTRAINT billing_events_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT billing_events_rounding_known CHECK (
        rounding_seconds >= 0
        AND (rounding_seconds = 0 OR (kind <> 'adjustment' AND price_plan IS NOT NULL)))
);
-- Not looked for in rows of before these constraints: that would read the ledger under a lock.
ALTER TABLE soulbox.billing_events
    ADD CONSTRAINT billing_events_numbers_bounded CHECK (
        quantity < 'NaN' AND rounding_seconds < 'NaN' AND compute_units < 'NaN' AND amount < 'NaN') NOT VALID,
    ADD CONSTRAINT billing_events_times_bounded CHECK (
        window_hour >= '0001-01-01 00:00:00+00' AND window_hour < '9999-12-31 00:00:00+00'
        AND occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < '10000-01-01 00:00:00+00') NOT VALID;
CREATE INDEX billing_events_tenant_idx ON soulbox.billing_events (tenant, starts_at);
CREATE INDEX billing_events_user_idx ON soulbox.billing_events (tenant, user_name, starts_at)
    INCLUDE (amount, quantity);
CREATE INDEX billing_events_sandbox_idx ON soulbox.billing_events (sandbox_uid, starts_at)
    WHERE sandbox_uid IS NOT NULL;
CREATE INDEX billing_events_execution_idx ON soulbox.billing_events (execution_uid)
    WHERE execution_uid IS NOT NULL;
CREATE INDEX billing_events_time_idx ON soulbox.billing_events USING brin (starts_at);
CREATE INDEX billing_events_corrects_idx ON soulbox.billing_events (corrects)
    WHERE corrects IS NOT NULL;
CREATE INDEX billing_events_fold_idx ON soulbox.billing_events (epoch, xid8);
CREATE INDEX billing_events_day_idx ON soulbox.billing_events
    USING brin (soulbox.usage_day(kind, starts_at, occurred_at)) WITH (pages_per_range = 32);
COMMENT ON TABLE soulbox.billing_events IS
    'The ledger: the running time of each pod by UTC hour, priced; rows are added, never changed';
COMMENT ON COLUMN soulbox.billing_events.event_id IS
    'uuid5(be67f3a9-3bf2-5107-8102-42e6a16c85c8, "{pod_uid}/{kind}/{window_hour as RFC 3339 UTC}"): made again it is the same';
COMMENT ON COLUMN soulbox.billing_events.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.billing_events.tenant IS 'Tenant it is billed to';
COMMENT ON COLUMN soulbox.billing_events.user_name IS 'User it is billed to; empty when nobody is named';
COMMENT ON COLUMN soulbox.billing_events.kind IS
    'sandbox_runtime: pod of a Sandbox; execution: own pod of a one-shot; adjustment: signed correction';
COMMENT ON COLUMN soulbox.billing_events.pod_uid IS 'The pod, see pod_runs; null for an adjustment';
COMMENT ON COLUMN soulbox.billing_events.window_hour IS 'The UTC hour that starts_at and ends_at lie in';
COMMENT ON COLUMN soulbox.billing_events.sandbox_uid IS 'The Sandbox whose pod it was; null for a one-shot';
COMMENT ON COLUMN soulbox.billing_events.execution_uid IS 'The one-shot Execution whose pod it was; null for a Sandbox';
COMMENT ON COLUMN soulbox.billing_events.starts_at IS 'First billed moment (inclusive)';
COMMENT ON COLUMN soulbox.billing_events.ends_at IS 'First moment no longer billed (exclusive)';
COMMENT ON COLUMN soulbox.billing_events.quantity IS 'ends_at - starts_at in units of unit; signed in an adjustment';
COMMENT ON COLUMN soulbox.billing_events.unit IS 'seconds';
COMMENT ON COLUMN soulbox.billing_events.compute_units IS
    '(quantity + rounding_seconds) x max(vCPU, GiB / 2), rounded half up to 10 decimals';
COMMENT ON COLUMN soulbox.billing_events.amount IS
    'compute_units x rate of price_plan, rounded half up to 10 decimals; signed in an adjustment';
COMMENT ON COLUMN soulbox.billing_events.currency IS 'ISO 4217 code';
COMMENT ON COLUMN soulbox.billing_events.price_plan IS
    'Plan valid at starts_at that priced it; null when there was none and it cost nothing';
COMMENT ON COLUMN soulbox.billing_events.sku IS 'What the pod is priced as';
COMMENT ON COLUMN soulbox.billing_events.tier IS 'Tier of the user at that time';
COMMENT ON COLUMN soulbox.billing_events.occurred_at IS 'ends_at; for an adjustment when it was decided';
COMMENT ON COLUMN soulbox.billing_events.recorded_at IS 'When the row was written';
COMMENT ON COLUMN soulbox.billing_events.corrects IS 'Event that an adjustment corrects';
COMMENT ON COLUMN soulbox.billing_events.metadata IS
    'An adjustment says its reason here; unpriced: true where no plan applied';
COMMENT ON COLUMN soulbox.billing_events.epoch IS
    'database_epoch() it was written in; 0: before there was this column';
COMMENT ON COLUMN soulbox.billing_events.xid8 IS
    'Transaction that wrote it: what the sums follow; of this epoch only';
COMMENT ON COLUMN soulbox.billing_events.rounding_seconds IS
    'Seconds billed beyond quantity: what the minimum and the increment of price_plan add to the pod''s whole time; on its last row, else 0';
CREATE TRIGGER billing_events_append_only BEFORE UPDATE OR DELETE ON soulbox.billing_events
    FOR EACH ROW EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER billing_events_no_truncate BEFORE TRUNCATE ON soulbox.billing_events
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();

-- Its guard looks into the ledger.
INSERT INTO soulbox.price_plans (name, sku, tier, rate, valid, description) VALUES
    ('default-free-1', 'default', 'free', 0.0000200000, '[2020-01-01 00:00:00+00,)',
     'Comes with SoulBox: 0.000020 USD a compute unit, that is 0.072 USD for one vCPU (or 2 GiB) for an hour');

CREATE TABLE soulbox.account_tiers (
    tenant     text        NOT NULL,
    user_name  text        NOT NULL DEFAULT '',
    tier       text        NOT NULL,
    valid      tstzrange   NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_tiers_pkey PRIMARY KEY (tenant, user_name, valid),
    CONSTRAINT account_tiers_named CHECK (tenant <> '' AND tier <> ''),
    CONSTRAINT account_tiers_valid_from_given CHECK (
        NOT isempty(valid) AND NOT lower_inf(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    -- By a hash as in price_plans.
    CONSTRAINT account_tiers_no_overlap EXCLUDE USING gist (
        int8range(hashtextextended(tenant || chr(31) || user_name, 0),
                  hashtextextended(tenant || chr(31) || user_name, 0), '[]') WITH &&,
        valid WITH &&),
    CONSTRAINT account_tiers_valid_bounded CHECK (
        lower(valid) >= '0001-01-01 00:00:00+00' AND lower(valid) < '10000-01-01 00:00:00+00'
        AND (upper_inf(valid) OR upper(valid) < '10000-01-01 00:00:00+00'))
);
COMMENT ON TABLE soulbox.account_tiers IS
    'Who is of which tier, over ranges of time that never overlap; whoever is not in it is of tier "free"';
COMMENT ON COLUMN soulbox.account_tiers.tenant IS 'The tenant';
COMMENT ON COLUMN soulbox.account_tiers.user_name IS
    'The user of it; empty: all of its users that have no row of their own then';
COMMENT ON COLUMN soulbox.account_tiers.tier IS 'The tier: price_plans.tier';
COMMENT ON COLUMN soulbox.account_tiers.valid IS 'When it applies: [from, to), to may be open';
COMMENT ON COLUMN soulbox.account_tiers.created_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.account_tiers.updated_at IS 'When the row last changed; kept by trigger';

CREATE FUNCTION soulbox.guard_account_tier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND lower(OLD.valid) <= now() THEN
        IF TG_OP = 'UPDATE'
           AND (NEW.tenant, NEW.user_name, NEW.tier, lower(NEW.valid))
               IS NOT DISTINCT FROM (OLD.tenant, OLD.user_name, OLD.tier, lower(OLD.valid))
           AND (NEW.valid = OLD.valid
                OR (coalesce(upper(OLD.valid), 'infinity') > now()
                    AND coalesce(upper(NEW.valid), 'infinity') > now()))
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'the tier of a tenant has begun and cannot be changed'
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'account_tiers_immutable',
                  HINT = 'End it at a later time and insert a new one that begins there.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF lower(NEW.valid) <= clock_timestamp() THEN
        LOCK TABLE soulbox.account_tiers IN ACCESS EXCLUSIVE MODE;
    END IF;
    IF EXISTS (SELECT FROM soulbox.billing_events b
                WHERE b.kind <> 'adjustment' AND b.tenant = NEW.tenant
                  AND b.starts_at <@ NEW.valid AND b.starts_at >= lower(NEW.valid)
                  AND NEW.user_name IN (b.user_name, '')) THEN
        RAISE EXCEPTION 'the tier of a tenant would apply to time that is billed already'
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'account_tiers_unbilled', HINT = 'Let it begin later.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.guard_account_tier() IS
    'Keeps a tier that has begun, and that time was billed by, as it is';
CREATE TRIGGER account_tiers_guard BEFORE INSERT OR UPDATE OR DELETE ON soulbox.account_tiers
    FOR EACH ROW EXECUTE FUNCTION soulbox.guard_account_tier();
CREATE TRIGGER account_tiers_no_truncate BEFORE TRUNCATE ON soulbox.account_tiers
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER account_tiers_touch BEFORE UPDATE ON soulbox.account_tiers
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

-- An adjustment is on the bill of the month it was decided in.
CREATE INDEX billing_events_adjusted_idx ON soulbox.billing_events (tenant, occurred_at)
    WHERE kind = 'adjustment';

CREATE VIEW soulbox.v_allowances WITH (security_invoker = true) AS
WITH used AS (
    SELECT b.tenant, b.user_name, date_trunc('month', b.starts_at, 'UTC') AS period_start,
           b.price_plan, sum(b.compute_units) AS compute_units
      FROM soulbox.billing_events b
     WHERE b.kind <> 'adjustment' AND b.price_plan IS NOT NULL
     GROUP BY b.tenant, b.user_name, date_trunc('month', b.starts_at, 'UTC'), b.price_plan
), placed AS (
    -- Plans of one SKU and tier that follow each other within a month share its allowance:
    -- what the earlier ones used is gone.
    SELECT u.tenant, u.user_name, u.period_start, u.price_plan, p.sku, p.tier, p.rate, p.currency,
           p.free_units, u.compute_units,
           coalesce(sum(u.compute_units) OVER (
               PARTITION BY u.tenant, u.user_name, u.period_start, p.sku, p.tier
               ORDER BY lower(p.valid)
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS used_before
      FROM used u
      JOIN soulbox.price_plans p ON p.name = u.price_plan
), granted AS (
    SELECT g.*, least(g.compute_units, greatest(g.free_units - g.used_before, 0)) AS granted_units
      FROM placed g
)
SELECT tenant, user_name, period_start, price_plan, sku AS plan_sku, tier AS plan_tier, currency,
       compute_units, granted_units, -round(granted_units * rate, 10) AS amount
  FROM granted
 WHERE granted_units > 0;
COMMENT ON VIEW soulbox.v_allowances IS
    'What the free allowance takes off the bill of a user, by month and plan; amount is negative and in no row of the ledger';

-- A plan may price several SKUs while a price of FOCUS belongs to one: its id names both. Costs
-- by list and contract are FOCUS' product of price and quantity, to the last digit; what is
-- billed is that rounded to ten decimals. A branch a category: each finds its index.
CREATE VIEW soulbox.v_focus WITH (security_invoker = true) AS
SELECT b.tenant AS tenant,
       b.user_name AS user_name,
       b.amount AS billed_cost,
       b.tenant AS billing_account_id,
       b.tenant AS billing_account_name,
       b.currency AS billing_currency,
       date_trunc('month', b.starts_at, 'UTC') AS billing_period_start,
       (date_trunc('month', b.starts_at, 'UTC') AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' AS billing_period_end,
       'Usage' AS charge_category,
       NULL::text AS charge_class,
       'Running time of ' || CASE WHEN b.sandbox_uid IS NULL THEN 'Execution' ELSE 'Sandbox' END
           || coalesce(' ' || r.owner_name, '') || ', SKU ' || b.sku || ', tier ' || b.tier AS charge_description,
       'Usage-Based' AS charge_frequency,
       b.starts_at AS charge_period_start,
       b.ends_at AS charge_period_end,
       b.quantity AS consumed_quantity,
       'Seconds' AS consumed_unit,
       b.compute_units * coalesce(p.rate, 0) AS contracted_cost,
       coalesce(p.rate, 0) AS contracted_unit_price,
       b.amount AS effective_cost,
       NULL::text AS invoice_id,
       'SoulBox' AS invoice_issuer_name,
       b.compute_units * coalesce(p.rate, 0) AS list_cost,
       coalesce(p.rate, 0) AS list_unit_price,
       'Standard' AS pricing_category,
       b.compute_units AS pricing_quantity,
       'Compute Unit-Seconds' AS pricing_unit,
       'SoulBox' AS provider_name,
       'SoulBox' AS publisher_name,
       coalesce(b.sandbox_uid, b.execution_uid)::text AS resource_id,
       r.owner_name AS resource_name,
       CASE WHEN b.sandbox_uid IS NOT NULL THEN 'Sandbox' WHEN b.execution_uid IS NOT NULL THEN 'Execution' END AS resource_type,
       'Compute' AS service_category,
       'SoulBox' AS service_name,
       'Containers' AS service_subcategory,
       b.sku AS sku_id,
       'Running time' AS sku_meter,
       NULL::jsonb AS sku_price_details,
       b.sku || '/' || coalesce(b.price_plan, 'unpriced') AS sku_price_id,
       nullif(b.user_name, '') AS sub_account_id,
       nullif(b.user_name, '') AS sub_account_name,
       jsonb_strip_nulls(jsonb_build_object(
           'soulbox.dev/cluster', b.cluster, 'soulbox.dev/namespace', r.namespace,
           'soulbox.dev/class', r.class_name, 'soulbox.dev/tier', b.tier)) AS tags,
       b.event_id AS x_event_id,
       b.corrects AS x_corrects,
       b.rounding_seconds AS x_rounding_seconds
  FROM soulbox.billing_events b
  LEFT JOIN soulbox.price_plans p ON p.name = b.price_plan
  LEFT JOIN soulbox.pod_runs r ON r.pod_uid = b.pod_uid
 WHERE b.kind <> 'adjustment'
UNION ALL
SELECT b.tenant,
       b.user_name,
       b.amount,
       b.tenant,
       b.tenant,
       b.currency,
       date_trunc('month', b.occurred_at, 'UTC'),
       (date_trunc('month', b.occurred_at, 'UTC') AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC',
       'Adjustment',
       CASE WHEN date_trunc('month', b.starts_at, 'UTC') < date_trunc('month', b.occurred_at, 'UTC') THEN 'Correction' END,
       'Adjustment: ' || (b.metadata ->> 'reason'),
       'One-Time',
       b.starts_at,
       b.ends_at,
       NULL,
       NULL,
       b.amount,
       NULL,
       b.amount,
       NULL,
       'SoulBox',
       b.amount,
       NULL,
       NULL,
       NULL,
       NULL,
       'SoulBox',
       'SoulBox',
       coalesce(b.sandbox_uid, b.execution_uid)::text,
       r.owner_name,
       CASE WHEN b.sandbox_uid IS NOT NULL THEN 'Sandbox' WHEN b.execution_uid IS NOT NULL THEN 'Execution' END,
       'Compute',
       'SoulBox',
       'Containers',
       b.sku,
       'Running time',
       NULL,
       b.sku || '/' || coalesce(b.price_plan, 'unpriced'),
       nullif(b.user_name, ''),
       nullif(b.user_name, ''),
       jsonb_strip_nulls(jsonb_build_object(
           'soulbox.dev/cluster', b.cluster, 'soulbox.dev/namespace', r.namespace,
           'soulbox.dev/class', r.class_name, 'soulbox.dev/tier', b.tier)),
       b.event_id,
       b.corrects,
       b.rounding_seconds
  FROM soulbox.billing_events b
  LEFT JOIN soulbox.billing_events c ON c.event_id = b.corrects
  LEFT JOIN soulbox.pod_runs r ON r.pod_uid = c.pod_uid
 WHERE b.kind = 'adjustment'
UNION ALL
SELECT a.tenant,
       a.user_name,
       a.amount,
       a.tenant,
       a.tenant,
       a.currency,
       a.period_start,
       (a.period_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC',
       'Credit',
       NULL,
       'Free allowance of plan ' || a.price_plan,
       'Recurring',
       a.period_start,
       (a.period_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC',
       NULL,
       NULL,
       a.amount,
       NULL,
       a.amount,
       NULL,
       'SoulBox',
       a.amount,
       NULL,
       NULL,
       NULL,
       NULL,
       'SoulBox',
       'SoulBox',
       NULL,
       NULL,
       NULL,
       'Compute',
       'SoulBox',
       'Containers',
       NULL,
       NULL,
       NULL,
       NULL,
       nullif(a.user_name, ''),
       nullif(a.user_name, ''),
       NULL,
       NULL,
       NULL,
       NULL
  FROM soulbox.v_allowances a;
COMMENT ON VIEW soulbox.v_focus IS
    'The ledger and the free allowance as a dataset of FOCUS 1.2, columns in snake_case; an adjustment is in the billing period it was decided in';

-- What changed, in commit order, and what PostgreSQL refused.

CREATE TABLE soulbox.changes (
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    xid8        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    epoch       integer     NOT NULL,
    cluster     uuid        NOT NULL,
    tenant      text        NOT NULL,
    user_name   text        NOT NULL DEFAULT '',
    kind        text        NOT NULL,
    uid         uuid        NOT NULL,
    sandbox_uid uuid,
    op          text        NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    payload     jsonb       NOT NULL,
    CONSTRAINT changes_pkey PRIMARY KEY (xid8, seq),
    CONSTRAINT changes_kind_known CHECK (kind IN ('sandbox', 'execution', 'function', 'metric')),
    CONSTRAINT changes_op_known CHECK (op IN ('insert', 'update', 'delete'))
);
CREATE INDEX changes_at_idx ON soulbox.changes USING brin (at);
COMMENT ON TABLE soulbox.changes IS
    'Outbox of live queries: each version of a Sandbox, Execution or Function as it was committed; old rows are removed';
COMMENT ON COLUMN soulbox.changes.seq IS
    'Order of writing; commits may overtake, so a reader follows xid8';
COMMENT ON COLUMN soulbox.changes.xid8 IS
    'Transaction that wrote it; all below watermark() are there for good';
COMMENT ON COLUMN soulbox.changes.epoch IS 'mirror_state.database_epoch it was written in';
COMMENT ON COLUMN soulbox.changes.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.changes.tenant IS 'Tenant of the object';
COMMENT ON COLUMN soulbox.changes.user_name IS 'User of the object';
COMMENT ON COLUMN soulbox.changes.kind IS 'sandbox, execution, function or metric';
COMMENT ON COLUMN soulbox.changes.uid IS 'The object; of a metric its sandbox';
COMMENT ON COLUMN soulbox.changes.sandbox_uid IS
    'Its Sandbox: of a Sandbox itself; null for a one-shot and a Function';
COMMENT ON COLUMN soulbox.changes.op IS 'insert, update, or delete when deleted_at is set';
COMMENT ON COLUMN soulbox.changes.at IS 'When the transaction that wrote it began';
COMMENT ON COLUMN soulbox.changes.payload IS
    'namespace, name, state, reason, resource_version; of a metric recorded_at, execution_uid, cpu_cores, memory_bytes';

CREATE FUNCTION soulbox.announce_metrics() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO soulbox.changes (epoch, cluster, tenant, user_name, kind, uid, sandbox_uid, op, payload)
    SELECT coalesce((SELECT max(s.database_epoch) FROM soulbox.mirror_state s), 1),
           n.cluster, n.tenant, n.user_name, 'metric', n.sandbox_uid, n.sandbox_uid, 'insert',
           jsonb_build_object('recorded_at', n.recorded_at, 'execution_uid', n.execution_uid,
                              'cpu_cores', n.cpu_cores, 'memory_bytes', n.memory_bytes)
      FROM new_rows n
     ORDER BY n.recorded_at, n.sandbox_uid;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION soulbox.announce_metrics() IS 'Puts samples into the feed of changes as they commit';
REVOKE ALL ON FUNCTION soulbox.announce_metrics() FROM PUBLIC;
CREATE TRIGGER resource_metrics_announce AFTER INSERT ON soulbox.resource_metrics
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.announce_metrics();

CREATE TABLE soulbox.dead_letter (
    id               bigint      GENERATED ALWAYS AS IDENTITY,
    cluster          uuid        NOT NULL,
    tenant           text,
    user_name        text,
    kind             text        NOT NULL,
    uid              text        NOT NULL,
    namespace        text,
    name             text,
    resource_version text,
    sqlstate         text,
    constraint_name  text,
    error            text        NOT NULL,
    payload          json        NOT NULL,
    refusals         integer     NOT NULL DEFAULT 1,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letter_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letter_object_key UNIQUE (cluster, kind, uid),
    CONSTRAINT dead_letter_refusals_positive CHECK (refusals >= 1)
);
COMMENT ON TABLE soulbox.dead_letter IS
    'What could not be written as a row, whole; the object itself counts as recorded';
COMMENT ON COLUMN soulbox.dead_letter.id IS 'Number of the row';
COMMENT ON COLUMN soulbox.dead_letter.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.dead_letter.tenant IS 'Tenant of the object, where it could be told';
COMMENT ON COLUMN soulbox.dead_letter.user_name IS 'User of the object, where it could be told';
COMMENT ON COLUMN soulbox.dead_letter.kind IS
    'Sandbox, Execution, Pod; BillingEvent for a bill that contradicts the ledger';
COMMENT ON COLUMN soulbox.dead_letter.uid IS 'UID of the object; event_id of a bill';
COMMENT ON COLUMN soulbox.dead_letter.namespace IS 'Namespace of the object';
COMMENT ON COLUMN soulbox.dead_letter.name IS 'Name of the object';
COMMENT ON COLUMN soulbox.dead_letter.resource_version IS 'Version that was refused last';
COMMENT ON COLUMN soulbox.dead_letter.sqlstate IS 'SQLSTATE of the refusal; null when no row could be built';
COMMENT ON COLUMN soulbox.dead_letter.constraint_name IS 'Constraint that refused it';
COMMENT ON COLUMN soulbox.dead_letter.error IS 'What was wrong';
COMMENT ON COLUMN soulbox.dead_letter.payload IS
    'The whole object; of a bill the row in the ledger and the one that contradicts it';
COMMENT ON COLUMN soulbox.dead_letter.refusals IS 'How often it was refused';
COMMENT ON COLUMN soulbox.dead_letter.recorded_at IS 'When it was first refused';
COMMENT ON COLUMN soulbox.dead_letter.updated_at IS 'When it was last refused; kept by trigger';
CREATE TRIGGER dead_letter_touch BEFORE UPDATE ON soulbox.dead_letter
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

-- Views: Executions with their code, and the relations, each walkable both ways.

CREATE VIEW soulbox.v_executions WITH (security_invoker = true) AS
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

CREATE VIEW soulbox.execution_files WITH (security_invoker = true) AS
SELECT e.uid,
       e.created_at,
       e.cluster,
       e.tenant,
       e.user_name,
       e.namespace,
       e.name,
       (f.place - 1)::integer                            AS place,
       f.file ->> 'path'                                 AS path,
       (f.file ->> 'size_bytes')::bigint                 AS size_bytes,
       f.file ->> 'sha256'                               AS sha256,
       coalesce((f.file ->> 'truncated')::boolean, false) AS truncated,
       CASE WHEN (f.file ->> 'size_bytes')::bigint = 0 THEN ''::bytea
            ELSE (SELECT string_agg(o.bytes, ''::bytea ORDER BY o.seq)
                    FROM soulbox.execution_outputs o
                   WHERE o.uid = e.uid AND o.created_at = e.created_at
                     AND o.stream = 'file/' || (f.place - 1))
       END                                               AS content
  FROM soulbox.executions e
 CROSS JOIN LATERAL jsonb_array_elements(e.captured_files -> 'files')
       WITH ORDINALITY AS f (file, place)
 WHERE e.captured_files IS NOT NULL;
COMMENT ON VIEW soulbox.execution_files IS
    'Files that captureFiles kept of a run; content is null until they are saved, and where a runner did not give them';
COMMENT ON COLUMN soulbox.execution_files.uid IS 'The Execution';
COMMENT ON COLUMN soulbox.execution_files.created_at IS 'created_at of the Execution';
COMMENT ON COLUMN soulbox.execution_files.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.execution_files.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.execution_files.user_name IS 'User of the Execution';
COMMENT ON COLUMN soulbox.execution_files.namespace IS 'Namespace of the Execution';
COMMENT ON COLUMN soulbox.execution_files.name IS 'Name of the Execution';
COMMENT ON COLUMN soulbox.execution_files.place IS 'Place in the order of paths, from 0';
COMMENT ON COLUMN soulbox.execution_files.path IS 'Path below the workspace';
COMMENT ON COLUMN soulbox.execution_files.size_bytes IS 'Size of the file when the run ended';
COMMENT ON COLUMN soulbox.execution_files.sha256 IS 'SHA-256 of what was kept of it, hex';
COMMENT ON COLUMN soulbox.execution_files.truncated IS 'Only a first part was kept';
COMMENT ON COLUMN soulbox.execution_files.content IS 'The bytes as they were';

-- What the group roles may do. Where the migrating role could not make them and nobody
-- else has, this does nothing: rights are then the administrator's to give.

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_writer;
        GRANT SELECT ON ALL TABLES IN SCHEMA soulbox TO soulbox_writer;
        GRANT INSERT, UPDATE ON soulbox.sandboxes, soulbox.executions, soulbox.programs,
            soulbox.execution_outputs, soulbox.pod_runs, soulbox.dead_letter, soulbox.mirror_state,
            soulbox.functions, soulbox.function_versions
            TO soulbox_writer;
        GRANT INSERT, DELETE ON soulbox.execution_logs TO soulbox_writer;
        -- No UPDATE or DELETE on the ledger, and no price of its own making.
        GRANT INSERT ON soulbox.billing_events, soulbox.changes TO soulbox_writer;
        -- A save that was interrupted is replaced; the outbox is pruned.
        GRANT DELETE ON soulbox.execution_outputs, soulbox.changes, soulbox.dead_letter
            TO soulbox_writer;
        GRANT INSERT ON soulbox.resource_metrics TO soulbox_writer;
        GRANT EXECUTE ON FUNCTION soulbox.ensure_partition(text, timestamptz),
            soulbox.drop_expired(text, interval) TO soulbox_writer;
    END IF;
    IF to_regrole('soulbox_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_reader;
    END IF;
END
$$;

-- Who sees which rows.

CREATE TABLE soulbox.tenant_roles (
    role_name  text        NOT NULL,
    tenant     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_roles_pkey PRIMARY KEY (role_name, tenant),
    CONSTRAINT tenant_roles_named CHECK (role_name <> '' AND tenant <> '')
);
COMMENT ON TABLE soulbox.tenant_roles IS
    'Which tenants'' rows a login that is a member of soulbox_reader sees';
COMMENT ON COLUMN soulbox.tenant_roles.role_name IS 'The login (session_user): SET ROLE changes nothing';
COMMENT ON COLUMN soulbox.tenant_roles.tenant IS 'A tenant whose rows it sees';
COMMENT ON COLUMN soulbox.tenant_roles.created_at IS 'When the row was made';

CREATE FUNCTION soulbox.visible_tenants() RETURNS text[]
    -- Not in language sql: that would be planned anew at each of many calls.
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN EXISTS (SELECT FROM pg_roles r
                      WHERE (r.rolname = session_user AND (r.rolsuper OR r.rolbypassrls))
                         OR (pg_has_role(session_user, r.oid, 'USAGE')
                             AND (r.rolname IN ('soulbox_admin_reader', 'soulbox_writer')
                                  OR r.oid = (SELECT c.relowner FROM pg_class c
                                               WHERE c.oid = 'soulbox.executions'::regclass))))
        THEN NULL
        ELSE ARRAY(
            SELECT tr.tenant FROM soulbox.tenant_roles tr
             WHERE tr.role_name = session_user
               AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_reader'
                              AND pg_has_role(session_user, r.oid, 'USAGE'))
            UNION
            SELECT current_setting('app.tenant', true)
             WHERE nullif(current_setting('app.tenant', true), '') IS NOT NULL
               AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_app'
                              AND pg_has_role(session_user, r.oid, 'USAGE')))
    END;
END
$$;
COMMENT ON FUNCTION soulbox.visible_tenants() IS
    'The tenants whose rows this login sees; null is all. For functions that must apply them themselves';
REVOKE ALL ON FUNCTION soulbox.visible_tenants() FROM PUBLIC;

CREATE FUNCTION soulbox.visible_user() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Mostly there is none, and that is soon said.
    IF nullif(current_setting('app.user', true), '') IS NULL
       OR soulbox.visible_tenants() IS NULL
       OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'soulbox_app'
                         AND pg_has_role(session_user, r.oid, 'USAGE')) THEN
        RETURN NULL;
    END IF;
    RETURN current_setting('app.user', true);
END
$$;
COMMENT ON FUNCTION soulbox.visible_user() IS
    'The user to whose own rows a back end (soulbox_app) has narrowed itself by app.user; null is all';
REVOKE ALL ON FUNCTION soulbox.visible_user() FROM PUBLIC;

CREATE PROCEDURE soulbox.apply_access()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has_reader CONSTANT boolean := to_regrole('soulbox_reader') IS NOT NULL;
    has_app    CONSTANT boolean := to_regrole('soulbox_app') IS NOT NULL;
    has_admin  CONSTANT boolean := to_regrole('soulbox_admin_reader') IS NOT NULL;
    has_writer CONSTANT boolean := to_regrole('soulbox_writer') IS NOT NULL;
    -- Subselects are evaluated once a statement, and an array can be looked up in an index.
    of_reader  CONSTANT text := 'tenant = ANY (ARRAY(SELECT tr.tenant FROM soulbox.tenant_roles tr '
                                'WHERE tr.role_name = session_user))';
    of_app     CONSTANT text := 'tenant = (SELECT nullif(current_setting(''app.tenant'', true), ''''))';
    of_user    CONSTANT text := ' AND ((SELECT nullif(current_setting(''app.user'', true), '''')) IS NULL '
                                'OR user_name = (SELECT nullif(current_setting(''app.user'', true), '''')))';
    -- What a tenant's login may read as it is: no row of anybody lies in these.
    of_all     CONSTANT text[] := ARRAY['schema_migrations', 'mirror_state', 'rollup_state', 'v_partitions',
                                        'v_table_health', 'v_database_health'];
    relation   record;
    old        record;
    own_rows   text;
BEGIN
    -- Functions that read with their owner's rights apply the caller's tenants themselves. Their
    -- plans depend on what is asked; nothing of them is told to the caller's screen, as
    -- debug_print_plan would; and none takes seconds to compile.
    FOR relation IN
        SELECT p.oid::regprocedure AS signature FROM pg_proc p
         WHERE p.pronamespace = 'soulbox'::regnamespace AND p.prosecdef AND p.provolatile = 's'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_custom_plan', relation.signature);
        EXECUTE format('ALTER FUNCTION %s SET client_min_messages = notice', relation.signature);
        EXECUTE format('ALTER FUNCTION %s SET jit = off', relation.signature);
    END LOOP;
    IF NOT (has_reader OR has_app OR has_admin OR has_writer) THEN
        -- Nobody but the owner: rights given by hand stay as they are.
        RETURN;
    END IF;
    FOR relation IN
        SELECT c.oid, c.relname, c.relkind,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                          AND a.attname = 'tenant' AND NOT a.attisdropped) AS has_tenant,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                          AND a.attname = 'user_name' AND NOT a.attisdropped) AS has_user
          FROM pg_class c
         WHERE c.relnamespace = 'soulbox'::regnamespace
           AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
         ORDER BY c.relname
    LOOP
        IF has_writer THEN
            EXECUTE format('GRANT SELECT ON soulbox.%I TO soulbox_writer', relation.relname);
        END IF;
        IF has_reader THEN
            EXECUTE format(CASE WHEN relation.relname = ANY (of_all)
                                THEN 'GRANT SELECT ON soulbox.%I TO soulbox_reader'
                                ELSE 'REVOKE SELECT ON soulbox.%I FROM soulbox_reader' END, relation.relname);
        END IF;
        IF has_app THEN
            EXECUTE format(CASE WHEN relation.relname = ANY (of_all)
                                THEN 'GRANT SELECT ON soulbox.%I TO soulbox_app'
                                ELSE 'REVOKE SELECT ON soulbox.%I FROM soulbox_app' END, relation.relname);
        END IF;
        IF has_admin THEN
            EXECUTE format('GRANT SELECT ON soulbox.%I TO soulbox_admin_reader', relation.relname);
        END IF;
        CONTINUE WHEN relation.relkind = 'v' OR NOT relation.has_tenant;

        EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', relation.relname);
        FOR old IN SELECT polname FROM pg_policy WHERE polrelid = relation.oid LOOP
            EXECUTE format('DROP POLICY %I ON soulbox.%I', old.polname, relation.relname);
        END LOOP;
        IF has_writer THEN
            EXECUTE format('CREATE POLICY writer ON soulbox.%I TO soulbox_writer USING (true)',
                           relation.relname);
        END IF;
        IF has_admin THEN
            EXECUTE format('CREATE POLICY admin_reader ON soulbox.%I FOR SELECT '
                           'TO soulbox_admin_reader USING (true)', relation.relname);
        END IF;
        IF has_reader THEN
            EXECUTE format('CREATE POLICY reader ON soulbox.%I FOR SELECT TO soulbox_reader USING (%s)',
                           relation.relname,
                           CASE relation.relname WHEN 'tenant_roles' THEN 'role_name = session_user'
                                                 ELSE of_reader END);
        END IF;
        IF has_app THEN
            own_rows := of_app || CASE WHEN relation.has_user THEN of_user ELSE '' END;
            EXECUTE format('CREATE POLICY app ON soulbox.%I TO soulbox_app USING (%s) WITH CHECK (%s)',
                           relation.relname, own_rows, own_rows);
        END IF;
    END LOOP;
    IF has_app THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_app;
    END IF;
    IF has_reader THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_reader;
    END IF;
    IF has_admin THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_admin_reader;
    END IF;
    FOR relation IN
        SELECT p.oid::regprocedure AS signature, r.rolname
          FROM pg_proc p, pg_roles r
         WHERE p.pronamespace = 'soulbox'::regnamespace AND p.prosecdef AND p.provolatile = 's'
           AND r.rolname IN ('soulbox_writer', 'soulbox_reader', 'soulbox_app', 'soulbox_admin_reader')
         ORDER BY p.oid::regprocedure::text, r.rolname
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', relation.signature, relation.rolname);
    END LOOP;
    -- Nobody but the owner reads a partition but through its table: no policy is on it.
    FOR relation IN
        SELECT c.relname FROM pg_class c
         WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relispartition AND c.relkind = 'r'
    LOOP
        EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', relation.relname);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE soulbox.apply_access() IS
    'Gives the group roles that exist their rights and row policies on every table and view; soulbox migrate calls it after migrations, an administrator after making the roles himself';
REVOKE ALL ON PROCEDURE soulbox.apply_access() FROM PUBLIC;

-- What is asked most, as functions and views.

-- Hot queries' indexes: a user's newest Executions, a user's live sandboxes, captured files.
CREATE INDEX executions_user_idx ON soulbox.executions (tenant, user_name, created_at DESC);
CREATE INDEX sandboxes_active_idx ON soulbox.sandboxes (tenant, user_name, created_at DESC)
    WHERE deleted_at IS NULL AND state IN ('created', 'starting', 'running');
CREATE INDEX executions_files_idx ON soulbox.executions (tenant, created_at DESC, uid)
    WHERE captured_files IS NOT NULL;

CREATE FUNCTION soulbox.check_window(from_at timestamptz, to_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF from_at IS NULL OR to_at IS NULL OR from_at > to_at THEN
        RAISE EXCEPTION 'the window begins at % and ends at %: reversed or open', from_at, to_at
            USING ERRCODE = 'datetime_field_overflow', HINT = 'Give the earlier time first.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.check_window(timestamptz, timestamptz) IS
    'True, or an error when a window of time is reversed or has no bound';

CREATE FUNCTION soulbox.check_days(days integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL OR days < 1 OR days > 3660 THEN
        RAISE EXCEPTION '% is no number of days from 1 to 3660', days
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.check_days(integer) IS 'True, or an error when it is no number of days from 1 to 3660';

CREATE VIEW soulbox.generates_metrics WITH (security_invoker = true) AS
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       m.sandbox_uid, m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
       m.execution_uid IS NOT DISTINCT FROM e.uid AS ran_alone
  FROM soulbox.executions e
  JOIN soulbox.resource_metrics m
    ON m.sandbox_uid = e.sandbox_uid
   AND m.recorded_at >= e.started_at
   AND m.recorded_at <= coalesce(e.completed_at, 'infinity'::timestamptz)
UNION ALL
SELECT e.cluster, e.tenant, e.user_name, e.uid AS execution_uid, e.created_at AS execution_created_at,
       m.sandbox_uid, m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
       m.execution_uid IS NOT DISTINCT FROM e.uid AS ran_alone
  FROM soulbox.executions e
  JOIN soulbox.resource_metrics m
    ON m.sandbox_uid = e.uid
   AND m.recorded_at >= e.started_at
   AND m.recorded_at <= coalesce(e.completed_at, 'infinity'::timestamptz)
 WHERE e.sandbox_uid IS NULL;
COMMENT ON VIEW soulbox.generates_metrics IS
    'Execution generates metrics: the samples of its sandbox while it ran; ran_alone when no other ran then';

CREATE VIEW soulbox.v_table_health WITH (security_invoker = true) AS
SELECT coalesce(p.relname, t.relname)::text AS table_name,
       count(*) AS parts,
       sum(t.n_live_tup)::bigint AS live_rows,
       sum(t.n_dead_tup)::bigint AS dead_rows,
       sum(t.n_tup_ins)::bigint AS inserts,
       sum(t.n_tup_upd)::bigint AS updates,
       sum(t.n_tup_del)::bigint AS deletes,
       sum(t.seq_scan)::bigint AS sequential_scans,
       sum(t.idx_scan)::bigint AS index_scans,
       sum(pg_table_size(t.relid))::bigint AS table_bytes,
       sum(pg_indexes_size(t.relid))::bigint AS index_bytes,
       max(greatest(t.last_vacuum, t.last_autovacuum)) AS vacuumed_at,
       max(greatest(t.last_analyze, t.last_autoanalyze)) AS analyzed_at
  FROM pg_stat_user_tables t
  LEFT JOIN pg_inherits i ON i.inhrelid = t.relid
  LEFT JOIN pg_class p ON p.oid = i.inhparent
 WHERE t.schemaname = 'soulbox'
   AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relid AND c.relkind = 'p')
 GROUP BY coalesce(p.relname, t.relname);
COMMENT ON VIEW soulbox.v_table_health IS
    'Each table with its partitions together: rows alive and dead, changes since statistics were reset, sizes';

CREATE VIEW soulbox.v_database_health WITH (security_invoker = true) AS
SELECT current_setting('server_version') AS server_version,
       pg_is_in_recovery() AS is_replica,
       CASE WHEN pg_is_in_recovery()
            THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END AS replica_lag_seconds,
       pg_database_size(current_database()) AS database_bytes,
       d.numbackends AS connections,
       current_setting('max_connections')::integer AS max_connections,
       d.xact_commit AS commits,
       d.xact_rollback AS rollbacks,
       d.deadlocks,
       d.temp_bytes,
       round(d.blks_hit::numeric / nullif(d.blks_hit + d.blks_read, 0), 4) AS cache_hit_ratio,
       (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = 'soulbox') AS dead_rows,
       (SELECT extract(epoch FROM max(now() - xact_start)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()) AS oldest_transaction_seconds,
       age(b.datfrozenxid) AS transaction_id_age,
       (SELECT max(version) FROM soulbox.schema_migrations) AS schema_version,
       d.stats_reset AS statistics_since
  FROM pg_stat_database d
  JOIN pg_database b ON b.oid = d.datid
 WHERE d.datname = current_database();
COMMENT ON VIEW soulbox.v_database_health IS
    'This server and database in one row: connections, commits and roll-backs, cache hits, dead rows, sizes, age';

-- Sums of use and cost by day and month.

CREATE TABLE soulbox.usage_marks (
    execution_uid uuid        NOT NULL,
    cluster       uuid        NOT NULL,
    tenant        text        NOT NULL,
    user_name     text        NOT NULL DEFAULT '',
    state         text        NOT NULL,
    ended_at      timestamptz NOT NULL,
    duration_ms   bigint      NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    epoch         integer     NOT NULL DEFAULT soulbox.database_epoch(),
    xid8          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT usage_marks_pkey PRIMARY KEY (execution_uid),
    CONSTRAINT usage_marks_state_final CHECK (state IN ('completed', 'failed', 'timeout', 'cancelled')),
    CONSTRAINT usage_marks_duration_positive CHECK (duration_ms >= 0)
);
CREATE INDEX usage_marks_fold_idx ON soulbox.usage_marks (epoch, xid8);
CREATE INDEX usage_marks_day_idx ON soulbox.usage_marks
    USING brin (((ended_at AT TIME ZONE 'UTC')::date)) WITH (pages_per_range = 32);
COMMENT ON TABLE soulbox.usage_marks IS
    'That an Execution ended, once each: what Executions are counted from; kept as long as the ledger, so that retention of executions changes no count';
COMMENT ON COLUMN soulbox.usage_marks.execution_uid IS 'The Execution';
COMMENT ON COLUMN soulbox.usage_marks.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.usage_marks.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.usage_marks.user_name IS 'User of the Execution; empty when nobody is named';
COMMENT ON COLUMN soulbox.usage_marks.state IS
    'completed, failed, timeout or cancelled: the first final state that was written';
COMMENT ON COLUMN soulbox.usage_marks.ended_at IS
    'completed_at of the Execution, its created_at where it has none: the day it counts for';
COMMENT ON COLUMN soulbox.usage_marks.duration_ms IS
    'Wall time of the code in milliseconds; 0 where none ran';
COMMENT ON COLUMN soulbox.usage_marks.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.usage_marks.epoch IS 'database_epoch() it was written in';
COMMENT ON COLUMN soulbox.usage_marks.xid8 IS
    'Transaction that wrote it: what the sums follow; of this epoch only';
CREATE TRIGGER usage_marks_append_only BEFORE UPDATE OR DELETE ON soulbox.usage_marks
    FOR EACH ROW EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER usage_marks_no_truncate BEFORE TRUNCATE ON soulbox.usage_marks
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();

CREATE TABLE soulbox.usage_daily (
    tenant            text           NOT NULL,
    user_name         text           NOT NULL DEFAULT '',
    day               date           NOT NULL,
    cluster           uuid           NOT NULL,
    currency          text           NOT NULL DEFAULT 'USD',
    total_executions  bigint         NOT NULL DEFAULT 0,
    total_duration_ms bigint         NOT NULL DEFAULT 0,
    billed_seconds    numeric(20,6)  NOT NULL DEFAULT 0,
    compute_units     numeric(30,10) NOT NULL DEFAULT 0,
    total_cost        numeric(30,10) NOT NULL DEFAULT 0,
    breakdown         jsonb          NOT NULL DEFAULT '{}',
    updated_at        timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT usage_daily_pkey PRIMARY KEY (tenant, user_name, day, cluster, currency)
);
CREATE INDEX usage_daily_day_idx ON soulbox.usage_daily (day, tenant);
COMMENT ON TABLE soulbox.usage_daily IS
    'Use and cost of each user by day (UTC), as of the last fold; v_usage_daily is exact at any moment';
COMMENT ON COLUMN soulbox.usage_daily.tenant IS 'Tenant';
COMMENT ON COLUMN soulbox.usage_daily.user_name IS 'User; empty when nobody is named';
COMMENT ON COLUMN soulbox.usage_daily.day IS 'The day, in UTC';
COMMENT ON COLUMN soulbox.usage_daily.cluster IS 'UID of the namespace kube-system of the cluster';
COMMENT ON COLUMN soulbox.usage_daily.currency IS
    'ISO 4217 code of total_cost; Executions are counted in the row of USD';
COMMENT ON COLUMN soulbox.usage_daily.total_executions IS 'Executions that ended that day, in whatever state';
COMMENT ON COLUMN soulbox.usage_daily.total_duration_ms IS 'Wall time of their code, in milliseconds';
COMMENT ON COLUMN soulbox.usage_daily.billed_seconds IS 'Sum of quantity of the ledger''s rows, adjustments too';
COMMENT ON COLUMN soulbox.usage_daily.compute_units IS 'Sum of compute_units of the ledger''s rows';
COMMENT ON COLUMN soulbox.usage_daily.total_cost IS 'Sum of amount of the ledger''s rows, not rounded';
COMMENT ON COLUMN soulbox.usage_daily.breakdown IS
    'kind and sku: seconds, units and cost of each, as text; state: executions and duration_ms of each';
COMMENT ON COLUMN soulbox.usage_daily.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER usage_daily_touch BEFORE UPDATE ON soulbox.usage_daily
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE TABLE soulbox.usage_aggregates (
    tenant            text           NOT NULL,
    user_name         text           NOT NULL DEFAULT '',
    period            text           NOT NULL,
    cluster           uuid           NOT NULL,
    currency          text           NOT NULL DEFAULT 'USD',
    total_executions  bigint         NOT NULL DEFAULT 0,
    total_duration_ms bigint         NOT NULL DEFAULT 0,
    billed_seconds    numeric(20,6)  NOT NULL DEFAULT 0,
    compute_units     numeric(30,10) NOT NULL DEFAULT 0,
    total_cost        numeric(30,10) NOT NULL DEFAULT 0,
    breakdown         jsonb          NOT NULL DEFAULT '{}',
    updated_at        timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT usage_aggregates_pkey PRIMARY KEY (tenant, user_name, period, cluster, currency),
    CONSTRAINT usage_aggregates_period_month CHECK (period ~ '^\d{4,}-(0[1-9]|1[0-2])$')
);
CREATE INDEX usage_aggregates_period_idx ON soulbox.usage_aggregates (period, tenant);
COMMENT ON TABLE soulbox.usage_aggregates IS
    'Use and cost of each user by month (UTC), as of the last fold; v_usage_monthly is exact at any moment';
COMMENT ON COLUMN soulbox.usage_aggregates.tenant IS 'Tenant';
COMMENT ON COLUMN soulbox.usage_aggregates.user_name IS 'User; empty when nobody is named';
COMMENT ON COLUMN soulbox.usage_aggregates.period IS 'The month, in UTC, as 2026-11';
COMMENT ON COLUMN soulbox.usage_aggregates.cluster IS 'UID of the namespace kube-system of the cluster';
COMMENT ON COLUMN soulbox.usage_aggregates.currency IS
    'ISO 4217 code of total_cost; Executions are counted in the row of USD';
COMMENT ON COLUMN soulbox.usage_aggregates.total_executions IS
    'Executions that ended in that month, in whatever state';
COMMENT ON COLUMN soulbox.usage_aggregates.total_duration_ms IS 'Wall time of their code, in milliseconds';
COMMENT ON COLUMN soulbox.usage_aggregates.billed_seconds IS
    'Sum of quantity of the ledger''s rows, adjustments too';
COMMENT ON COLUMN soulbox.usage_aggregates.compute_units IS 'Sum of compute_units of the ledger''s rows';
COMMENT ON COLUMN soulbox.usage_aggregates.total_cost IS 'Sum of amount of the ledger''s rows, not rounded';
COMMENT ON COLUMN soulbox.usage_aggregates.breakdown IS
    'kind and sku: seconds, units and cost of each, as text; state: executions and duration_ms of each';
COMMENT ON COLUMN soulbox.usage_aggregates.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER usage_aggregates_touch BEFORE UPDATE ON soulbox.usage_aggregates
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE TABLE soulbox.rollup_state (
    only_row       boolean     NOT NULL DEFAULT true,
    database_epoch integer     NOT NULL DEFAULT 0,
    watermark      xid8        NOT NULL DEFAULT '0',
    rebuild_id     uuid,
    rebuilt_at     timestamptz,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    calls_summed_at  timestamptz,
    calls_rebuild_id uuid,
    CONSTRAINT rollup_state_pkey PRIMARY KEY (only_row),
    CONSTRAINT rollup_state_one_row CHECK (only_row)
);
INSERT INTO soulbox.rollup_state DEFAULT VALUES;
COMMENT ON TABLE soulbox.rollup_state IS 'How far usage_daily and usage_aggregates are: one row';
COMMENT ON COLUMN soulbox.rollup_state.only_row IS 'Always true';
COMMENT ON COLUMN soulbox.rollup_state.database_epoch IS
    'Epoch of watermark; another one than database_epoch() means that all must be summed anew';
COMMENT ON COLUMN soulbox.rollup_state.watermark IS
    'All rows that transactions below it wrote are in the sums, and no others';
COMMENT ON COLUMN soulbox.rollup_state.rebuild_id IS 'Who sums all anew; null when nobody does';
COMMENT ON COLUMN soulbox.rollup_state.rebuilt_at IS
    'When all was last summed anew; null before the first time and while it is done: the views then take no sum from the tables';
COMMENT ON COLUMN soulbox.rollup_state.updated_at IS 'When the row last changed; kept by trigger';
COMMENT ON COLUMN soulbox.rollup_state.calls_summed_at IS
    'When call_sums was last made anew; null before the first time, and once it was truncated: figures of calls are then counted from executions';
COMMENT ON COLUMN soulbox.rollup_state.calls_rebuild_id IS
    'Who makes call_sums anew; null when nobody does, or when it was truncated meanwhile';
CREATE TRIGGER rollup_state_touch BEFORE UPDATE ON soulbox.rollup_state
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE FUNCTION soulbox.rollups_built() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT rebuilt_at IS NOT NULL AND database_epoch = soulbox.database_epoch() FROM soulbox.rollup_state
$$;
COMMENT ON FUNCTION soulbox.rollups_built() IS
    'Whether usage_daily and usage_aggregates hold all below the watermark; false before the first rebuild, while one is under way, and after a restore until the next';

CREATE VIEW soulbox.v_usage_rows WITH (security_invoker = true) AS
SELECT b.epoch, b.xid8, b.cluster, b.tenant, b.user_name,
       soulbox.usage_day(b.kind, b.starts_at, b.occurred_at) AS day,
       b.currency, b.kind, b.sku, NULL::text AS state, 0::bigint AS executions,
       0::bigint AS duration_ms, b.quantity AS seconds, b.compute_units AS units, b.amount AS cost
  FROM soulbox.billing_events b
UNION ALL
SELECT m.epoch, m.xid8, m.cluster, m.tenant, m.user_name, (m.ended_at AT TIME ZONE 'UTC')::date,
       'USD', NULL, NULL, m.state, 1, m.duration_ms, 0, 0, 0
  FROM soulbox.usage_marks m;
COMMENT ON VIEW soulbox.v_usage_rows IS
    'What use and cost are summed from: each row of the ledger, each finished Execution';

-- In the planner's eyes part of the query that calls it: filters and constants reach the
-- indexes. Every sum there is comes from here, so that no two ways of summing can differ.
CREATE FUNCTION soulbox.usage_sums(scope text, unit text, from_day date, until_day date, until_xid8 xid8)
    RETURNS TABLE (cluster uuid, tenant text, user_name text, unit_name text, bucket text, currency text,
                   total_executions bigint, total_duration_ms bigint, billed_seconds numeric,
                   compute_units numeric, total_cost numeric, breakdown jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.cluster, d.tenant, d.user_name, d.unit_name, d.bucket, d.currency,
           (sum(d.executions) FILTER (WHERE d.dimension = 'total'))::bigint,
           (sum(d.duration_ms) FILTER (WHERE d.dimension = 'total'))::bigint,
           sum(d.seconds) FILTER (WHERE d.dimension = 'total'),
           sum(d.units) FILTER (WHERE d.dimension = 'total'),
           sum(d.cost) FILTER (WHERE d.dimension = 'total'),
           coalesce(jsonb_object_agg(d.dimension, d.entries) FILTER (WHERE d.dimension <> 'total'), '{}')
      FROM (SELECT n.cluster, n.tenant, n.user_name, n.unit_name, n.bucket, n.currency, n.dimension,
                   sum(n.executions) AS executions, sum(n.duration_ms) AS duration_ms,
                   sum(n.seconds) AS seconds, sum(n.units) AS units, sum(n.cost) AS cost,
                   jsonb_object_agg(n.name, CASE n.dimension
                       WHEN 'state' THEN jsonb_build_object('executions', n.executions,
                                                            'duration_ms', n.duration_ms)
                       ELSE jsonb_build_object('seconds', n.seconds::text, 'units', n.units::text,
                                               'cost', n.cost::text) END) AS entries
              FROM (SELECT r.cluster, r.tenant, r.user_name, u.unit_name, u.bucket, r.currency,
                           v.dimension, v.name,
                           sum(r.executions)::bigint AS executions,
                           sum(r.duration_ms)::bigint AS duration_ms,
                           sum(r.seconds) AS seconds, sum(r.units) AS units, sum(r.cost) AS cost
                      FROM (SELECT w.cluster, w.tenant, w.user_name, w.day, w.currency, w.kind, w.sku,
                                   w.state, sum(w.executions) AS executions,
                                   sum(w.duration_ms) AS duration_ms, sum(w.seconds) AS seconds,
                                   sum(w.units) AS units, sum(w.cost) AS cost
                              FROM soulbox.v_usage_rows w
                             WHERE CASE scope
                                   WHEN 'folded' THEN
                                       (w.epoch, w.xid8) < ((SELECT s.database_epoch FROM soulbox.rollup_state s),
                                                            (SELECT s.watermark FROM soulbox.rollup_state s))
                                   WHEN 'unfolded' THEN
                                       w.epoch = (SELECT CASE WHEN soulbox.rollups_built() THEN s.database_epoch
                                                         ELSE -1 END FROM soulbox.rollup_state s)
                                       AND w.xid8 >= (SELECT s.watermark FROM soulbox.rollup_state s)
                                       -- Always true. Between two bounds the planner expects
                                       -- few rows and takes the index.
                                       AND w.xid8 <= (SELECT '18446744073709551615'::xid8
                                                        FROM soulbox.rollup_state s)
                                   ELSE true END
                               AND CASE WHEN until_xid8 IS NULL THEN true ELSE w.xid8 < until_xid8 END
                               AND CASE WHEN from_day IS NULL THEN true ELSE w.day >= from_day END
                               AND CASE WHEN until_day IS NULL THEN true ELSE w.day < until_day END
                             GROUP BY w.cluster, w.tenant, w.user_name, w.day, w.currency, w.kind, w.sku,
                                      w.state) r
                     CROSS JOIN LATERAL (VALUES ('day', to_char(r.day, 'YYYY-MM-DD')),
                                                ('month', to_char(r.day, 'YYYY-MM'))) u (unit_name, bucket)
                     CROSS JOIN LATERAL (VALUES ('total', ''), ('kind', r.kind), ('sku', r.sku),
                                                ('state', r.state)) v (dimension, name)
                     WHERE v.name IS NOT NULL
                       AND CASE WHEN unit IS NULL THEN true ELSE u.unit_name = unit END
                     GROUP BY r.cluster, r.tenant, r.user_name, u.unit_name, u.bucket, r.currency,
                              v.dimension, v.name) n
             GROUP BY n.cluster, n.tenant, n.user_name, n.unit_name, n.bucket, n.currency, n.dimension) d
     GROUP BY d.cluster, d.tenant, d.user_name, d.unit_name, d.bucket, d.currency;
END;
COMMENT ON FUNCTION soulbox.usage_sums(text, text, date, date, xid8) IS
    'Sums of v_usage_rows by day and month (unit; null: both), of days from (inclusive) until (exclusive): folded, the rows below the watermark; unfolded, those above it that transactions below until_xid8 wrote; all. Null is no bound';

CREATE FUNCTION soulbox.add_breakdown(one jsonb, other jsonb) RETURNS jsonb
    -- Compiled anew for each pair of breakdowns it would take seconds.
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET jit = off
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(d.dimension, d.entries), '{}')
      FROM (SELECT n.dimension, jsonb_object_agg(n.name, n.figures) AS entries
              FROM (SELECT f.dimension, f.name, jsonb_object_agg(f.figure, f.total) AS figures
                      FROM (SELECT x.key AS dimension, y.key AS name, z.key AS figure,
                                   CASE WHEN bool_or(jsonb_typeof(z.value) = 'string')
                                        THEN to_jsonb(sum((z.value #>> '{}')::numeric)::text)
                                        ELSE to_jsonb(sum((z.value #>> '{}')::numeric)) END AS total
                              FROM (VALUES (one), (other)) v (breakdown)
                             CROSS JOIN LATERAL jsonb_each(v.breakdown) x
                             CROSS JOIN LATERAL jsonb_each(x.value) y
                             CROSS JOIN LATERAL jsonb_each(y.value) z
                             GROUP BY x.key, y.key, z.key) f
                     GROUP BY f.dimension, f.name) n
             GROUP BY n.dimension) d;
END;
COMMENT ON FUNCTION soulbox.add_breakdown(jsonb, jsonb) IS
    'The sum of two breakdowns of usage_daily or usage_aggregates, figure by figure';

CREATE AGGREGATE soulbox.sum_breakdown(jsonb) (SFUNC = soulbox.add_breakdown, STYPE = jsonb);
COMMENT ON AGGREGATE soulbox.sum_breakdown(jsonb) IS 'The sum of breakdowns, figure by figure';

CREATE VIEW soulbox.v_usage_daily WITH (security_invoker = true) AS
SELECT u.tenant, u.user_name, u.day, u.cluster, u.currency,
       sum(u.total_executions)::bigint AS total_executions,
       sum(u.total_duration_ms)::bigint AS total_duration_ms,
       sum(u.billed_seconds) AS billed_seconds,
       sum(u.compute_units) AS compute_units,
       sum(u.total_cost) AS total_cost,
       soulbox.sum_breakdown(u.breakdown) AS breakdown
  FROM (SELECT f.tenant, f.user_name, f.day, f.cluster, f.currency, f.total_executions,
               f.total_duration_ms, f.billed_seconds, f.compute_units, f.total_cost, f.breakdown
          FROM soulbox.usage_daily f
         WHERE (SELECT soulbox.rollups_built())
        UNION ALL
        SELECT n.tenant, n.user_name, n.bucket::date, n.cluster, n.currency, n.total_executions,
               n.total_duration_ms, n.billed_seconds, n.compute_units, n.total_cost, n.breakdown
          FROM soulbox.usage_sums('unfolded', 'day', NULL, NULL, NULL) n
        UNION ALL
        SELECT n.tenant, n.user_name, n.bucket::date, n.cluster, n.currency, n.total_executions,
               n.total_duration_ms, n.billed_seconds, n.compute_units, n.total_cost, n.breakdown
          FROM soulbox.usage_sums('all', 'day', NULL, NULL, NULL) n
         WHERE (SELECT NOT soulbox.rollups_built())) u
 GROUP BY u.tenant, u.user_name, u.day, u.cluster, u.currency;
COMMENT ON VIEW soulbox.v_usage_daily IS
    'Use and cost of each user by day: usage_daily and what is not folded into it yet, exact at any moment';

CREATE VIEW soulbox.v_usage_monthly WITH (security_invoker = true) AS
SELECT u.tenant, u.user_name, u.period, u.cluster, u.currency,
       sum(u.total_executions)::bigint AS total_executions,
       sum(u.total_duration_ms)::bigint AS total_duration_ms,
       sum(u.billed_seconds) AS billed_seconds,
       sum(u.compute_units) AS compute_units,
       sum(u.total_cost) AS total_cost,
       soulbox.sum_breakdown(u.breakdown) AS breakdown
  FROM (SELECT f.tenant, f.user_name, f.period, f.cluster, f.currency, f.total_executions,
               f.total_duration_ms, f.billed_seconds, f.compute_units, f.total_cost, f.breakdown
          FROM soulbox.usage_aggregates f
         WHERE (SELECT soulbox.rollups_built())
        UNION ALL
        SELECT n.tenant, n.user_name, n.bucket, n.cluster, n.currency, n.total_executions,
               n.total_duration_ms, n.billed_seconds, n.compute_units, n.total_cost, n.breakdown
          FROM soulbox.usage_sums('unfolded', 'month', NULL, NULL, NULL) n
        UNION ALL
        SELECT n.tenant, n.user_name, n.bucket, n.cluster, n.currency, n.total_executions,
               n.total_duration_ms, n.billed_seconds, n.compute_units, n.total_cost, n.breakdown
          FROM soulbox.usage_sums('all', 'month', NULL, NULL, NULL) n
         WHERE (SELECT NOT soulbox.rollups_built())) u
 GROUP BY u.tenant, u.user_name, u.period, u.cluster, u.currency;
COMMENT ON VIEW soulbox.v_usage_monthly IS
    'Use and cost of each user by month: usage_aggregates and what is not folded into it yet, exact at any moment';

-- Reading for logins that see some tenants only: functions, and no table. Whoever may put a
-- condition on a table that others' rows lie in learns of these rows by EXPLAIN, since
-- PostgreSQL may test a leakproof condition before the tenant's. Of a function EXPLAIN tells the
-- rows it gave and the pages it read: so every function here finds its rows by an index that
-- begins with the tenant, or by a UID that the caller knows already.

CREATE FUNCTION soulbox.readable_tenants(of_tenant text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
BEGIN
    RETURN CASE WHEN of_tenant IS NULL THEN tenants
                WHEN tenants IS NULL OR of_tenant = ANY (tenants) THEN ARRAY[of_tenant]
                ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION soulbox.readable_tenants(text) IS
    'Those of visible_tenants() that are meant: the one named, or all that this login sees; null is all there are';
REVOKE ALL ON FUNCTION soulbox.readable_tenants(text) FROM PUBLIC;

CREATE FUNCTION soulbox.listed_tenants(of_tenant text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
BEGIN
    IF tenants IS NOT NULL THEN
        RETURN tenants;
    END IF;
    -- From one tenant to the next in an index: a few pages for each, whatever the tables' size.
    RETURN ARRAY(
    WITH RECURSIVE runs (tenant) AS (
        SELECT min(e.tenant) FROM soulbox.executions e
        UNION ALL
        SELECT (SELECT min(e.tenant) FROM soulbox.executions e WHERE e.tenant > r.tenant)
          FROM runs r WHERE r.tenant IS NOT NULL),
    boxes (tenant) AS (
        SELECT min(s.tenant) FROM soulbox.sandboxes s
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM soulbox.sandboxes s WHERE s.tenant > b.tenant)
          FROM boxes b WHERE b.tenant IS NOT NULL),
    codes (tenant) AS (
        SELECT min(p.tenant) FROM soulbox.programs p
        UNION ALL
        SELECT (SELECT min(p.tenant) FROM soulbox.programs p WHERE p.tenant > c.tenant)
          FROM codes c WHERE c.tenant IS NOT NULL),
    published (tenant) AS (
        SELECT min(f.tenant) FROM soulbox.functions f
        UNION ALL
        SELECT (SELECT min(f.tenant) FROM soulbox.functions f WHERE f.tenant > p.tenant)
          FROM published p WHERE p.tenant IS NOT NULL)
    SELECT r.tenant FROM runs r WHERE r.tenant IS NOT NULL
    UNION SELECT b.tenant FROM boxes b WHERE b.tenant IS NOT NULL
    UNION SELECT c.tenant FROM codes c WHERE c.tenant IS NOT NULL
    UNION SELECT p.tenant FROM published p WHERE p.tenant IS NOT NULL);
END
$$;
COMMENT ON FUNCTION soulbox.listed_tenants(text) IS
    'readable_tenants(), name by name where it is all there are';
REVOKE ALL ON FUNCTION soulbox.listed_tenants(text) FROM PUBLIC;

CREATE FUNCTION soulbox.is_readable(of_uid uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
BEGIN
    IF tenants IS NULL THEN
        RETURN true;
    END IF;
    -- array_position: the planner would look up each tenant of = ANY in its statistics.
    PERFORM FROM soulbox.sandboxes s WHERE s.uid = of_uid AND array_position(tenants, s.tenant) IS NOT NULL;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM soulbox.executions e WHERE e.uid = of_uid AND array_position(tenants, e.tenant) IS NOT NULL;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM soulbox.functions f WHERE f.uid = of_uid AND array_position(tenants, f.tenant) IS NOT NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION soulbox.is_readable(uuid) IS
    'Whether a Sandbox, Execution or Function is of a tenant that this login sees: asked before what lies under its UID is read';
REVOKE ALL ON FUNCTION soulbox.is_readable(uuid) FROM PUBLIC;

CREATE FUNCTION soulbox.may_write(role_oid oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Null is no login: a process of the server itself.
    SELECT role_oid IS NULL
           OR EXISTS (SELECT FROM pg_roles g
                       WHERE pg_has_role(role_oid, g.oid, 'MEMBER')
                         AND (g.rolsuper
                              OR has_any_column_privilege(g.oid, 'soulbox.changes', 'INSERT')
                              OR has_any_column_privilege(g.oid, 'soulbox.billing_events', 'INSERT')
                              OR has_any_column_privilege(g.oid, 'soulbox.usage_marks', 'INSERT')
                              -- Its trigger writes changes with the owner's rights.
                              OR has_any_column_privilege(g.oid, 'soulbox.resource_metrics', 'INSERT')))
$$;
COMMENT ON FUNCTION soulbox.may_write(oid) IS
    'Whether a role, or one that it may act as, adds rows to what is followed by transaction: changes, billing_events, usage_marks; or samples, which become changes';
REVOKE ALL ON FUNCTION soulbox.may_write(oid) FROM PUBLIC;

CREATE FUNCTION soulbox.watermark() RETURNS xid8
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- pg_snapshot_xmin would do, and would let any login of the server, of other databases too,
    -- stop everybody's feed with a transaction that it leaves open. A transaction whose session
    -- is not found in the list of sessions (a prepared one) is waited for.
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_snapshot_xmin(s.now)
                ELSE least(pg_snapshot_xmax(s.now), pg_current_xact_id_if_assigned(),
                           (SELECT min(x.xid8) FROM pg_snapshot_xip(s.now) AS x (xid8)
                             WHERE NOT EXISTS (
                                 SELECT FROM pg_stat_get_activity(NULL) a
                                  WHERE a.backend_xid = x.xid8::xid
                                    AND (a.datid <> (SELECT d.oid FROM pg_database d
                                                      WHERE d.datname = current_database())
                                         OR NOT soulbox.may_write(a.usesysid))))) END
      FROM (SELECT pg_current_snapshot() AS now) s
$$;
COMMENT ON FUNCTION soulbox.watermark() IS
    'All transactions below it that write rows here have ended: their rows are there for good. Transactions of other databases, and of logins that may not write, are not waited for';
REVOKE ALL ON FUNCTION soulbox.watermark() FROM PUBLIC;

-- Each relation that a tenant may read, as a function of its name. Null is no filter.
-- A name that is asked for is no constant to the planner (SELECT who): else its statistics of all
-- tenants' rows would choose the plan, and the pages read would tell a name of another tenant.

CREATE FUNCTION soulbox.sandboxes(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_uid uuid DEFAULT NULL,
        in_state text DEFAULT NULL, from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL,
        after_at timestamptz DEFAULT NULL, after_uid uuid DEFAULT NULL,
        max_rows bigint DEFAULT NULL, in_namespace text DEFAULT NULL, of_name text DEFAULT NULL)
    RETURNS SETOF soulbox.sandboxes
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_uid IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    ELSIF of_uid IS NOT NULL THEN
        RETURN QUERY
        SELECT s.* FROM soulbox.sandboxes s
         WHERE s.uid = of_uid
           AND (tenants IS NULL OR s.tenant = ANY (tenants))
           AND (who IS NULL OR s.user_name = (SELECT who))
           AND (in_state IS NULL OR s.state = in_state)
           AND (in_namespace IS NULL OR s.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR s.name = (SELECT of_name))
           AND (from_at IS NULL OR s.created_at >= from_at)
           AND (to_at IS NULL OR s.created_at < to_at)
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT s.* FROM soulbox.sandboxes s
             WHERE s.tenant = t.tenant
               AND (who IS NULL OR s.user_name = (SELECT who))
               AND (in_state IS NULL OR s.state = in_state)
               AND (in_namespace IS NULL OR s.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR s.name = (SELECT of_name))
               AND (from_at IS NULL OR s.created_at >= from_at)
               AND (to_at IS NULL OR s.created_at < to_at)
               AND (after_at IS NULL
                    OR (s.created_at <= after_at AND (s.created_at < after_at OR s.uid > after_uid)))
             ORDER BY s.created_at DESC, s.uid
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.sandboxes(text, text, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text) IS
    'Rows of sandboxes that this login sees, newest first; created in [from_at, to_at), after the row of after_at and after_uid';
REVOKE ALL ON FUNCTION soulbox.sandboxes(text, text, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.executions(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_sandbox uuid DEFAULT NULL,
        of_uid uuid DEFAULT NULL, in_state text DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL, after_at timestamptz DEFAULT NULL, after_uid uuid DEFAULT NULL,
        max_rows bigint DEFAULT NULL, in_namespace text DEFAULT NULL, of_name text DEFAULT NULL,
        of_function uuid DEFAULT NULL)
    RETURNS SETOF soulbox.executions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_list CONSTANT boolean := of_uid IS NULL AND of_sandbox IS NULL AND of_function IS NULL;
    tenants CONSTANT text[] := CASE WHEN is_list THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user
       OR (of_uid IS NOT NULL AND NOT soulbox.is_readable(of_uid))
       OR (of_sandbox IS NOT NULL AND NOT soulbox.is_readable(of_sandbox))
       OR (of_function IS NOT NULL AND NOT soulbox.is_readable(of_function)) THEN
        RETURN;
    ELSIF NOT is_list THEN
        RETURN QUERY
        SELECT e.* FROM soulbox.executions e
         WHERE (of_uid IS NULL OR e.uid = of_uid)
           AND (of_sandbox IS NULL OR e.sandbox_uid = of_sandbox)
           AND (of_function IS NULL OR e.function_uid = of_function)
           AND (tenants IS NULL OR e.tenant = ANY (tenants))
           AND (who IS NULL OR e.user_name = (SELECT who))
           AND (in_state IS NULL OR e.state = in_state)
           AND (in_namespace IS NULL OR e.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR e.name = (SELECT of_name))
           AND (from_at IS NULL OR e.created_at >= from_at)
           AND (to_at IS NULL OR e.created_at < to_at)
           AND (after_at IS NULL
                OR (e.created_at <= after_at AND (e.created_at < after_at OR e.uid > after_uid)))
         ORDER BY e.created_at DESC, e.uid
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT e.* FROM soulbox.executions e
             WHERE e.tenant = t.tenant
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND (in_state IS NULL OR e.state = in_state)
               AND (in_namespace IS NULL OR e.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR e.name = (SELECT of_name))
               AND (from_at IS NULL OR e.created_at >= from_at)
               AND (to_at IS NULL OR e.created_at < to_at)
               AND (after_at IS NULL
                    OR (e.created_at <= after_at AND (e.created_at < after_at OR e.uid > after_uid)))
             ORDER BY e.created_at DESC, e.uid
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text, uuid) IS
    'Rows of executions that this login sees, newest first; created in [from_at, to_at), after the row of after_at and after_uid';
REVOKE ALL ON FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text, uuid) FROM PUBLIC;

CREATE FUNCTION soulbox.functions(
        of_tenant text DEFAULT NULL, of_uid uuid DEFAULT NULL, in_namespace text DEFAULT NULL,
        of_name text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.functions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_uid IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
BEGIN
    IF of_uid IS NOT NULL THEN
        RETURN QUERY
        SELECT f.* FROM soulbox.functions f
         WHERE f.uid = of_uid
           AND (tenants IS NULL OR f.tenant = ANY (tenants))
           AND (in_namespace IS NULL OR f.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR f.name = (SELECT of_name))
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT f.* FROM soulbox.functions f
     WHERE f.tenant = ANY (tenants)
       AND (in_namespace IS NULL OR f.namespace = (SELECT in_namespace))
       AND (of_name IS NULL OR f.name = (SELECT of_name))
     ORDER BY f.namespace, f.name, f.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.functions(text, uuid, text, text, bigint) IS
    'Rows of functions that this login sees, by namespace and name';
REVOKE ALL ON FUNCTION soulbox.functions(text, uuid, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.function_versions(
        of_function uuid DEFAULT NULL, of_tenant text DEFAULT NULL, in_namespace text DEFAULT NULL,
        of_name text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.function_versions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_function IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
BEGIN
    IF of_function IS NOT NULL THEN
        IF soulbox.is_readable(of_function) THEN
            RETURN QUERY
            SELECT v.* FROM soulbox.function_versions v
             WHERE v.function_uid = of_function
               AND (tenants IS NULL OR v.tenant = ANY (tenants))
               AND (in_namespace IS NULL OR v.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR v.name = (SELECT of_name))
             ORDER BY v.registered_at DESC, v.version
             LIMIT max_rows;
        END IF;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v.* FROM soulbox.function_versions v
     WHERE v.tenant = ANY (tenants)
       AND (in_namespace IS NULL OR v.namespace = (SELECT in_namespace))
       AND (of_name IS NULL OR v.name = (SELECT of_name))
     ORDER BY v.namespace, v.name, v.registered_at DESC, v.function_uid, v.version
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.function_versions(uuid, text, text, text, bigint) IS
    'Rows of function_versions that this login sees: of one Function the newest first, else by namespace and name';
REVOKE ALL ON FUNCTION soulbox.function_versions(uuid, text, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.v_executions(
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
COMMENT ON FUNCTION soulbox.v_executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint) IS
    'executions() with their code';
REVOKE ALL ON FUNCTION soulbox.v_executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.programs(of_tenant text DEFAULT NULL, of_sha256 text DEFAULT NULL)
    RETURNS SETOF soulbox.programs
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    RETURN QUERY
    SELECT p.* FROM soulbox.programs p
     WHERE (tenants IS NULL OR p.tenant = ANY (tenants))
       AND (of_sha256 IS NULL OR p.code_sha256 = of_sha256)
       -- user_name is whoever ran it first.
       AND (who IS NULL OR p.user_name = (SELECT who)
            OR EXISTS (SELECT FROM soulbox.executions e
                        WHERE e.tenant = p.tenant AND e.user_name = (SELECT who)
                          AND e.code_sha256 = p.code_sha256));
END
$$;
COMMENT ON FUNCTION soulbox.programs(text, text) IS
    'Rows of programs that this login sees; narrowed to one user, those that any Execution of the user ran';
REVOKE ALL ON FUNCTION soulbox.programs(text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.execution_outputs(of_execution uuid, of_stream text DEFAULT NULL)
    RETURNS SETOF soulbox.execution_outputs
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT o.*
      FROM soulbox.executions(of_uid => of_execution) e
      JOIN soulbox.execution_outputs o ON o.uid = e.uid AND o.created_at = e.created_at
     WHERE of_execution IS NOT NULL AND (of_stream IS NULL OR o.stream = of_stream)
     ORDER BY o.stream, o.seq;
END
$$;
COMMENT ON FUNCTION soulbox.execution_outputs(uuid, text) IS
    'Rows of execution_outputs of one Execution that this login sees, in order';
REVOKE ALL ON FUNCTION soulbox.execution_outputs(uuid, text) FROM PUBLIC;

CREATE FUNCTION soulbox.execution_logs(
        of_execution uuid, at_least text DEFAULT 'debug', after_seq integer DEFAULT -1,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.execution_logs
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    levels CONSTANT text[] := '{debug,info,warn,error}';
    lowest CONSTANT integer := array_position(levels, at_least);
BEGIN
    IF lowest IS NULL THEN
        RAISE EXCEPTION '"%" is no level of a log', at_least
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write debug, info, warn or error.';
    END IF;
    RETURN QUERY
    SELECT l.*
      FROM soulbox.executions(of_uid => of_execution) e
      JOIN soulbox.execution_logs l ON l.uid = e.uid AND l.created_at = e.created_at
     WHERE of_execution IS NOT NULL AND l.seq > after_seq AND l.level = ANY (levels[lowest:])
     ORDER BY l.seq
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.execution_logs(uuid, text, integer, bigint) IS
    'Lines of the log of one Execution that this login sees, in order: of a level (debug, info, warn, error) and above, after a place';
REVOKE ALL ON FUNCTION soulbox.execution_logs(uuid, text, integer, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.execution_files(
        of_execution uuid DEFAULT NULL, of_tenant text DEFAULT NULL, of_user text DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.execution_files
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_execution IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    ELSIF of_execution IS NOT NULL THEN
        RETURN QUERY
        SELECT f.* FROM soulbox.execution_files f
         WHERE f.uid = of_execution
           AND (tenants IS NULL OR f.tenant = ANY (tenants))
           AND (who IS NULL OR f.user_name = (SELECT who))
         ORDER BY f.place
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT f.* FROM soulbox.execution_files f
             WHERE f.tenant = t.tenant AND (who IS NULL OR f.user_name = (SELECT who))
             ORDER BY f.created_at DESC, f.uid, f.place
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid, found.place
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.execution_files(uuid, text, text, bigint) IS
    'Rows of execution_files that this login sees: of one Execution, or the newest';
REVOKE ALL ON FUNCTION soulbox.execution_files(uuid, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.resource_metrics(
        of_sandbox uuid DEFAULT NULL, from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL,
        of_tenant text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.resource_metrics
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
    -- Of all sandboxes together there is no index but of the time.
    since   CONSTANT timestamptz := CASE WHEN of_sandbox IS NULL AND from_at IS NULL
                                         THEN coalesce(to_at, now()) - interval '1 hour'
                                         ELSE from_at END;
BEGIN
    IF of_sandbox IS NOT NULL AND NOT soulbox.is_readable(of_sandbox) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.* FROM soulbox.resource_metrics m
     WHERE (of_sandbox IS NULL OR m.sandbox_uid = of_sandbox)
       AND (tenants IS NULL OR m.tenant = ANY (tenants))
       AND (who IS NULL OR m.user_name = (SELECT who))
       AND (since IS NULL OR m.recorded_at >= since)
       AND (to_at IS NULL OR m.recorded_at < to_at)
     ORDER BY m.recorded_at DESC, m.sandbox_uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.resource_metrics(uuid, timestamptz, timestamptz, text, bigint) IS
    'Rows of resource_metrics that this login sees, newest first: of one sandbox, or of all that were taken in [from_at, to_at), the last hour unless given';
REVOKE ALL ON FUNCTION soulbox.resource_metrics(uuid, timestamptz, timestamptz, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.pod_runs(
        of_tenant text DEFAULT NULL, of_uid uuid DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.pod_runs
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    IF of_uid IS NOT NULL AND NOT soulbox.is_readable(of_uid) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.* FROM soulbox.pod_runs r
     WHERE (tenants IS NULL OR r.tenant = ANY (tenants))
       AND (who IS NULL OR r.user_name = (SELECT who))
       AND (of_uid IS NULL OR r.sandbox_uid = of_uid OR r.execution_uid = of_uid)
       AND (from_at IS NULL OR r.started_at >= from_at)
       AND (to_at IS NULL OR r.started_at < to_at)
     ORDER BY r.started_at DESC, r.pod_uid;
END
$$;
COMMENT ON FUNCTION soulbox.pod_runs(text, uuid, timestamptz, timestamptz) IS
    'Rows of pod_runs that this login sees, newest first: of a Sandbox or one-shot Execution (of_uid), begun in [from_at, to_at)';
REVOKE ALL ON FUNCTION soulbox.pod_runs(text, uuid, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.billing_events(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.billing_events
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    -- An adjustment counts for the time it was decided at.
    RETURN QUERY
    SELECT b.* FROM soulbox.billing_events b
     WHERE b.kind <> 'adjustment'
       AND (tenants IS NULL OR b.tenant = ANY (tenants))
       AND (who IS NULL OR b.user_name = (SELECT who))
       AND (from_at IS NULL OR b.starts_at >= from_at)
       AND (to_at IS NULL OR b.starts_at < to_at)
    UNION ALL
    SELECT b.* FROM soulbox.billing_events b
     WHERE b.kind = 'adjustment'
       AND (tenants IS NULL OR b.tenant = ANY (tenants))
       AND (who IS NULL OR b.user_name = (SELECT who))
       AND (from_at IS NULL OR b.occurred_at >= from_at)
       AND (to_at IS NULL OR b.occurred_at < to_at);
END
$$;
COMMENT ON FUNCTION soulbox.billing_events(text, text, timestamptz, timestamptz) IS
    'Rows of the ledger that this login sees: use that began in [from_at, to_at), and adjustments decided in it';
REVOKE ALL ON FUNCTION soulbox.billing_events(text, text, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.price_plans() RETURNS SETOF soulbox.price_plans
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
BEGIN
    -- Rates and names of other tiers may have been agreed upon with others.
    RETURN QUERY
    SELECT p.* FROM soulbox.price_plans p
     WHERE tenants IS NULL
        OR p.tier = 'free'
        OR p.tier IN (SELECT a.tier FROM soulbox.account_tiers a WHERE a.tenant = ANY (tenants))
     ORDER BY p.sku, p.tier, lower(p.valid);
END
$$;
COMMENT ON FUNCTION soulbox.price_plans() IS
    'Plans of tier "free" and of the tiers that the tenants this login sees have or had';
REVOKE ALL ON FUNCTION soulbox.price_plans() FROM PUBLIC;

CREATE FUNCTION soulbox.account_tiers() RETURNS SETOF soulbox.account_tiers
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    RETURN QUERY
    SELECT a.* FROM soulbox.account_tiers a
     WHERE (tenants IS NULL OR a.tenant = ANY (tenants))
       AND (who IS NULL OR a.user_name IN ((SELECT who), ''))
     ORDER BY a.tenant, a.user_name, a.valid;
END
$$;
COMMENT ON FUNCTION soulbox.account_tiers() IS 'Rows of account_tiers that this login sees';
REVOKE ALL ON FUNCTION soulbox.account_tiers() FROM PUBLIC;

CREATE FUNCTION soulbox.v_allowances(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_period timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.v_allowances
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT a.* FROM soulbox.v_allowances a
     WHERE (tenants IS NULL OR a.tenant = ANY (tenants))
       AND (who IS NULL OR a.user_name = (SELECT who))
       AND (of_period IS NULL OR a.period_start = of_period);
END
$$;
COMMENT ON FUNCTION soulbox.v_allowances(text, text, timestamptz) IS
    'Rows of v_allowances that this login sees, of the month that begins at of_period';
REVOKE ALL ON FUNCTION soulbox.v_allowances(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.v_focus(
        of_tenant text DEFAULT NULL, from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL)
    RETURNS SETOF soulbox.v_focus
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    RETURN QUERY
    SELECT f.* FROM soulbox.v_focus f
     WHERE f.charge_category = 'Usage'
       AND (tenants IS NULL OR f.tenant = ANY (tenants))
       AND (who IS NULL OR f.user_name = (SELECT who))
       AND (from_at IS NULL OR f.charge_period_start >= from_at)
       AND (to_at IS NULL OR f.charge_period_start < to_at)
    UNION ALL
    SELECT f.* FROM soulbox.v_focus f
     WHERE f.charge_category <> 'Usage'
       AND (tenants IS NULL OR f.tenant = ANY (tenants))
       AND (who IS NULL OR f.user_name = (SELECT who))
       AND (from_at IS NULL OR f.billing_period_start >= from_at)
       AND (to_at IS NULL OR f.billing_period_start < to_at);
END
$$;
COMMENT ON FUNCTION soulbox.v_focus(text, timestamptz, timestamptz) IS
    'Rows of v_focus that this login sees: use that began in [from_at, to_at); all else whose billing period begins in it';
REVOKE ALL ON FUNCTION soulbox.v_focus(text, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.v_usage_daily(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, from_day date DEFAULT NULL,
        to_day date DEFAULT NULL)
    RETURNS SETOF soulbox.v_usage_daily
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT u.* FROM soulbox.v_usage_daily u
     WHERE (tenants IS NULL OR u.tenant = ANY (tenants))
       AND (who IS NULL OR u.user_name = (SELECT who))
       AND (from_day IS NULL OR u.day >= from_day)
       AND (to_day IS NULL OR u.day < to_day);
END
$$;
COMMENT ON FUNCTION soulbox.v_usage_daily(text, text, date, date) IS
    'Rows of v_usage_daily that this login sees, of days in [from_day, to_day)';
REVOKE ALL ON FUNCTION soulbox.v_usage_daily(text, text, date, date) FROM PUBLIC;

CREATE FUNCTION soulbox.v_usage_monthly(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, from_period text DEFAULT NULL,
        to_period text DEFAULT NULL)
    RETURNS SETOF soulbox.v_usage_monthly
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT u.* FROM soulbox.v_usage_monthly u
     WHERE (tenants IS NULL OR u.tenant = ANY (tenants))
       AND (who IS NULL OR u.user_name = (SELECT who))
       AND (from_period IS NULL OR u.period >= from_period)
       AND (to_period IS NULL OR u.period <= to_period);
END
$$;
COMMENT ON FUNCTION soulbox.v_usage_monthly(text, text, text, text) IS
    'Rows of v_usage_monthly that this login sees, of months from from_period to to_period, both included';
REVOKE ALL ON FUNCTION soulbox.v_usage_monthly(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.owns(
        of_user text DEFAULT NULL, of_sandbox uuid DEFAULT NULL, of_tenant text DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.owns
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.cluster, s.tenant, s.user_name, s.uid, s.namespace, s.name, s.state, s.created_at, s.deleted_at
      FROM soulbox.sandboxes(of_tenant => of_tenant, of_user => of_user, of_uid => of_sandbox,
                             max_rows => max_rows) s
$$;
COMMENT ON FUNCTION soulbox.owns(text, uuid, text, bigint) IS
    'Rows of owns that this login sees, newest first';
REVOKE ALL ON FUNCTION soulbox.owns(text, uuid, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.runs(
        of_sandbox uuid DEFAULT NULL, of_execution uuid DEFAULT NULL, of_tenant text DEFAULT NULL,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.runs
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.cluster, e.tenant, e.user_name, coalesce(e.sandbox_uid, e.uid), e.uid, e.one_shot,
           e.namespace, e.name, e.state, e.created_at, e.deleted_at
      FROM (SELECT x.* FROM soulbox.executions(of_tenant => of_tenant, of_sandbox => of_sandbox,
                                               of_uid => of_execution, max_rows => max_rows) x
            UNION ALL
            -- The sandbox of a one-shot, of the same UID.
            SELECT x.* FROM soulbox.executions(of_tenant => of_tenant, of_uid => of_sandbox) x
             WHERE of_sandbox IS NOT NULL AND x.sandbox_uid IS NULL
               AND (of_execution IS NULL OR x.uid = of_execution)) e
     WHERE e.sandbox_uid IS NOT NULL OR e.one_shot
     ORDER BY e.created_at DESC, e.uid
     LIMIT max_rows
$$;
COMMENT ON FUNCTION soulbox.runs(uuid, uuid, text, bigint) IS
    'Rows of runs that this login sees, newest first';
REVOKE ALL ON FUNCTION soulbox.runs(uuid, uuid, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.generates(
        of_execution uuid DEFAULT NULL, of_event uuid DEFAULT NULL, of_tenant text DEFAULT NULL,
        from_at timestamptz DEFAULT NULL, to_at timestamptz DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.generates
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_list CONSTANT boolean := of_execution IS NULL AND of_event IS NULL;
    tenants CONSTANT text[] := CASE WHEN is_list THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := soulbox.visible_user();
    since   CONSTANT timestamptz := CASE WHEN is_list AND from_at IS NULL
                                         THEN coalesce(to_at, now()) - interval '1 day'
                                         ELSE from_at END;
BEGIN
    IF of_execution IS NOT NULL AND NOT soulbox.is_readable(of_execution) THEN
        RETURN;
    ELSIF of_event IS NOT NULL
          AND NOT EXISTS (SELECT FROM soulbox.billing_events b
                           WHERE b.event_id = of_event AND (tenants IS NULL OR b.tenant = ANY (tenants))) THEN
        RETURN;
    ELSIF NOT is_list THEN
        RETURN QUERY
        SELECT g.* FROM soulbox.generates g
         WHERE (of_execution IS NULL OR g.execution_uid = of_execution)
           AND (of_event IS NULL OR g.event_id = of_event)
           AND (tenants IS NULL OR g.tenant = ANY (tenants))
           AND (who IS NULL OR g.user_name = (SELECT who))
           AND (since IS NULL OR g.starts_at >= since)
           AND (to_at IS NULL OR g.starts_at < to_at)
         ORDER BY g.starts_at DESC, g.event_id
         LIMIT max_rows;
        RETURN;
    END IF;
    -- From the ledger's rows of that time to the Executions, not from all Executions.
    RETURN QUERY
    WITH billed AS MATERIALIZED (
        SELECT b.* FROM unnest(tenants) AS t (tenant), soulbox.billing_events b
         WHERE b.tenant = t.tenant AND b.starts_at >= since
           AND b.starts_at < coalesce(to_at, 'infinity'))
    SELECT e.cluster, e.tenant, e.user_name, e.uid, e.created_at, b.event_id, b.kind, b.starts_at,
           b.ends_at, b.amount, b.currency
      FROM billed b
      JOIN LATERAL (
            SELECT x.* FROM soulbox.executions x
             WHERE x.sandbox_uid = b.sandbox_uid AND x.tenant = b.tenant
               AND x.started_at <= b.ends_at
               AND coalesce(x.completed_at, 'infinity'::timestamptz) >= b.starts_at
            UNION ALL
            SELECT x.* FROM soulbox.executions x
             WHERE x.uid = b.execution_uid AND x.tenant = b.tenant) e ON true
     WHERE who IS NULL OR e.user_name = (SELECT who)
     ORDER BY b.starts_at DESC, b.event_id
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.generates(uuid, uuid, text, timestamptz, timestamptz, bigint) IS
    'Rows of generates that this login sees, newest first: of an Execution, of an event, or of all events that began in [from_at, to_at), the last day unless given';
REVOKE ALL ON FUNCTION soulbox.generates(uuid, uuid, text, timestamptz, timestamptz, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.generates_metrics(of_execution uuid, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.generates_metrics
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
BEGIN
    -- Known times reach the partitions; a joined row's would not.
    SELECT e.* INTO run FROM soulbox.executions(of_uid => of_execution) e WHERE of_execution IS NOT NULL;
    IF run.started_at IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT run.cluster, run.tenant, run.user_name, run.uid, run.created_at, m.sandbox_uid,
           m.recorded_at, m.cpu_cores, m.cpu_seconds_total, m.memory_bytes,
           m.execution_uid IS NOT DISTINCT FROM run.uid
      FROM soulbox.resource_metrics m
     WHERE m.sandbox_uid = coalesce(run.sandbox_uid, run.uid)
       AND m.recorded_at >= run.started_at
       AND m.recorded_at <= coalesce(run.completed_at, 'infinity'::timestamptz)
     ORDER BY m.recorded_at
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.generates_metrics(uuid, bigint) IS
    'Rows of generates_metrics of an Execution that this login sees, in order of time';
REVOKE ALL ON FUNCTION soulbox.generates_metrics(uuid, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.changes(
        after_xid8 xid8 DEFAULT '0', after_seq bigint DEFAULT 0, below_xid8 xid8 DEFAULT NULL,
        of_kind text DEFAULT NULL, of_sandbox uuid DEFAULT NULL, of_user text DEFAULT NULL,
        of_tenant text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.changes
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
    until_xid8 CONSTANT xid8 := least(soulbox.watermark(), below_xid8);
BEGIN
    IF who <> of_user THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.* FROM soulbox.changes c
     WHERE (c.xid8, c.seq) > (after_xid8, after_seq) AND c.xid8 < until_xid8
       AND (tenants IS NULL OR c.tenant = ANY (tenants))
       AND (who IS NULL OR c.user_name = (SELECT who))
       AND (of_kind IS NULL OR c.kind = of_kind)
       AND (of_sandbox IS NULL OR c.sandbox_uid = of_sandbox)
     ORDER BY c.xid8, c.seq
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.changes(xid8, bigint, xid8, text, uuid, text, text, bigint) IS
    'Rows of changes that this login sees, in order: after a position and below watermark(), so that none is missed';
REVOKE ALL ON FUNCTION soulbox.changes(xid8, bigint, xid8, text, uuid, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.changes_wait() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM soulbox.changes c WHERE c.xid8 >= soulbox.watermark())
$$;
COMMENT ON FUNCTION soulbox.changes_wait() IS
    'Whether changes are committed that lie above watermark(): it is worth looking again soon';
REVOKE ALL ON FUNCTION soulbox.changes_wait() FROM PUBLIC;

-- Words of code, by tenant: whoever searches reads the index's pages of their own tenants alone.

CREATE FUNCTION soulbox.tenant_mark(tenant text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN left(md5(tenant), 12);
COMMENT ON FUNCTION soulbox.tenant_mark(text) IS
    'What the words of a tenant''s programs begin with in programs_words_idx';

CREATE FUNCTION soulbox.program_words(tenant text, code_search tsvector, code text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mark CONSTANT text := soulbox.tenant_mark(tenant);
BEGIN
    -- Without places, which the index does not keep either. Longer words are no words.
    RETURN array_to_tsvector(mark || ARRAY(
        SELECT mark || w.word
          FROM unnest(tsvector_to_array(code_search)
                      || tsvector_to_array(to_tsvector('english', left(code, 65536)))) AS w (word)
         WHERE octet_length(w.word) <= 512));
END
$$;
COMMENT ON FUNCTION soulbox.program_words(text, tsvector, text) IS
    'What programs_words_idx holds of a program: its words as written and by English stem, each behind tenant_mark(), and that alone';

CREATE FUNCTION soulbox.search_words(query text)
    RETURNS TABLE (simple tsquery, english tsquery)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words  CONSTANT text := left(query, 1000);
    begins text;
BEGIN
    -- prim* is a word that begins so: it has to be there, whatever else is asked for.
    simple := websearch_to_tsquery('simple', regexp_replace(words, '(^|\s)\w+\*(?=\s|$)', '\1', 'g'));
    english := websearch_to_tsquery('english', regexp_replace(words, '(^|\s)\w+\*(?=\s|$)', '\1', 'g'));
    FOR begins IN SELECT m[1] FROM regexp_matches(words, '(?:^|\s)(\w+)\*(?=\s|$)', 'g') AS m LOOP
        simple := simple && to_tsquery('simple', quote_literal(begins) || ':*');
        english := english && to_tsquery('simple', quote_literal(begins) || ':*');
    END LOOP;
    -- Without a word that has to be there all that there is would be found.
    IF querytree(simple) IN ('T', '') THEN
        simple := ''::tsquery;
    END IF;
    IF querytree(english) IN ('T', '') THEN
        english := ''::tsquery;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION soulbox.search_words(text) IS
    'A query as in a web search, of words as written and of English stems: words, "a phrase", or, -without, begin*; empty where no word has to be there';

CREATE FUNCTION soulbox.words_of_tenant(words tsquery, tenant text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- By its text, in which each word stands between apostrophes and none has a space.
    SELECT CASE WHEN numnode(words) > 0
                THEN (quote_literal(m.mark) || ' & ('
                      || regexp_replace(regexp_replace(words::text, ' <(?:-|\d+)> ', ' & ', 'g'),
                                        '''((?:[^''\\]|''''|\\\\)+)''', '''' || m.mark || '\1''', 'g')
                      || ')')::tsquery END
      FROM (SELECT soulbox.tenant_mark(tenant) AS mark) m
$$;
COMMENT ON FUNCTION soulbox.words_of_tenant(tsquery, text) IS
    'The query for programs_words_idx: its words behind tenant_mark(), phrases as words; null where it is empty';

CREATE INDEX programs_words_idx ON soulbox.programs
    USING gin (soulbox.program_words(tenant, code_search, code));

CREATE FUNCTION soulbox.search_code(query text, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, user_name text, language text, rank real,
                   headline text, recorded_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.listed_tenants(NULL);
    who     CONSTANT text := soulbox.visible_user();
    -- Of a word that is everywhere some hundreds of programs are ranked, not all.
    portion CONSTANT bigint := greatest(300 / greatest(cardinality(tenants), 1), 3);
    limited CONSTANT bigint := least(greatest(max_rows, 1), 200);
    q       record;
BEGIN
    SELECT s.simple, s.english, s.english::text ~ ' <(-|\d+)> ' AS has_phrase INTO q
      FROM soulbox.search_words(query) s;
    RETURN QUERY
    WITH written AS MATERIALIZED (
        SELECT f.*
          FROM unnest(tenants) AS t (tenant)
         CROSS JOIN LATERAL (
                SELECT p.tenant, p.code_sha256, p.user_name, p.language, p.code, p.code_search, p.recorded_at
                  FROM soulbox.programs p
                 WHERE soulbox.program_words(p.tenant, p.code_search, p.code)
                       @@ soulbox.words_of_tenant(q.simple, t.tenant)
                   AND p.tenant = t.tenant
                   AND p.code_search @@ q.simple
                   AND (who IS NULL OR p.user_name = (SELECT who)
                        OR EXISTS (SELECT FROM soulbox.executions e
                                    WHERE e.tenant = p.tenant AND e.user_name = (SELECT who)
                                      AND e.code_sha256 = p.code_sha256))
                 LIMIT portion) f),
    -- Words as written come before words by their stem, which are looked for where the former
    -- are too few: to stem a program takes 30 us and more.
    stemmed AS MATERIALIZED (
        SELECT f.*
          FROM unnest(tenants) AS t (tenant)
         CROSS JOIN LATERAL (
                SELECT p.tenant, p.code_sha256, p.user_name, p.language, p.code, p.code_search, p.recorded_at
                  FROM soulbox.programs p
                 WHERE soulbox.program_words(p.tenant, p.code_search, p.code)
                       @@ soulbox.words_of_tenant(q.english, t.tenant)
                   AND p.tenant = t.tenant
                   AND (NOT q.has_phrase OR to_tsvector('english', left(p.code, 65536)) @@ q.english)
                   AND NOT p.code_search @@ q.simple
                   AND (who IS NULL OR p.user_name = (SELECT who)
                        OR EXISTS (SELECT FROM soulbox.executions e
                                    WHERE e.tenant = p.tenant AND e.user_name = (SELECT who)
                                      AND e.code_sha256 = p.code_sha256))
                 LIMIT portion) f
         WHERE (SELECT count(*) FROM written) < limited),
    best AS (
        SELECT w.*, (1 + ts_rank(w.code_search, q.simple))::real AS rank FROM written w
        UNION ALL
        SELECT s.*, ts_rank(to_tsvector('english', left(s.code, 4096)), q.english) FROM stemmed s
         ORDER BY rank DESC, recorded_at DESC, tenant, code_sha256
         LIMIT limited)
    SELECT b.tenant, b.code_sha256, b.user_name, b.language, b.rank,
           ts_headline('english', left(b.code, 65536), q.english || q.simple,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5'),
           b.recorded_at
      FROM best b
     ORDER BY b.rank DESC, b.recorded_at DESC, b.tenant, b.code_sha256;
END
$$;
COMMENT ON FUNCTION soulbox.search_code(text, integer) IS
    'Programs by words of their code, those as written before those by English stem, ranked, with what matched between « and »; the query is as in a web search and never an error';
REVOKE ALL ON FUNCTION soulbox.search_code(text, integer) FROM PUBLIC;

-- The registry of tools: search, look-up, figures.

-- Words of tools by tenant, as those of programs are.
CREATE INDEX function_versions_words_idx ON soulbox.function_versions
    USING gin (soulbox.program_words(tenant, search, '')) WHERE is_current AND tool_id IS NOT NULL;

CREATE FUNCTION soulbox.search_tools(
        query text DEFAULT NULL, of_tags text[] DEFAULT NULL, in_category text DEFAULT NULL,
        of_type text DEFAULT NULL, of_tenant text DEFAULT NULL, max_rows integer DEFAULT 20,
        after_rank real DEFAULT NULL, after_namespace text DEFAULT NULL, after_name text DEFAULT NULL,
        after_uid uuid DEFAULT NULL)
    RETURNS TABLE (tool_id text, function_uid uuid, tenant text, namespace text, name text, version text,
                   title text, description text, tags text[], category text, tool_type text,
                   deprecated text, state text, suspended boolean, input_schema jsonb,
                   output_schema jsonb, rank real, headline text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.listed_tenants(of_tenant);
    limited CONSTANT bigint := least(greatest(max_rows, 1), 1001);
    words   tsquery;
    q       record;
BEGIN
    IF query IS NULL THEN
        RETURN QUERY
        SELECT v.tool_id, v.function_uid, v.tenant, v.namespace, v.name, v.version, v.title, v.description,
               v.tags, v.category, v.tool_type, v.deprecated, f.state, f.suspended, v.input_schema,
               v.output_schema, NULL::real, NULL::text
          FROM (SELECT found.*
                  FROM unnest(tenants) AS t (tenant)
                 CROSS JOIN LATERAL (
                        SELECT x.* FROM soulbox.function_versions x
                         WHERE x.tenant = t.tenant AND x.is_current AND x.tool_id IS NOT NULL
                           AND (of_tags IS NULL OR x.tags @> (SELECT of_tags))
                           AND (in_category IS NULL OR x.category = (SELECT in_category))
                           AND (of_type IS NULL OR x.tool_type = (SELECT of_type))
                           AND (after_uid IS NULL
                                OR (x.namespace, x.name, x.function_uid) > (after_namespace, after_name, after_uid))
                         ORDER BY x.namespace, x.name, x.function_uid
                         LIMIT limited) found
                 ORDER BY found.namespace, found.name, found.function_uid
                 LIMIT limited) v
          JOIN soulbox.functions f ON f.uid = v.function_uid
         ORDER BY v.namespace, v.name, v.function_uid;
        RETURN;
    END IF;
    SELECT s.simple, s.english INTO q FROM soulbox.search_words(query) s;
    -- Words as written weigh more than words by their stem: see tool_search.
    words := q.simple || q.english;
    RETURN QUERY
    WITH matching AS MATERIALIZED (
        SELECT found.*
          FROM unnest(tenants) AS t (tenant)
         CROSS JOIN LATERAL (
                SELECT x.function_uid, x.version, x.namespace, x.name, ts_rank(x.search, words) AS rank
                  FROM soulbox.function_versions x
                 WHERE soulbox.program_words(x.tenant, x.search, '')
                       @@ soulbox.words_of_tenant(words, t.tenant)
                   AND x.tenant = t.tenant AND x.is_current AND x.tool_id IS NOT NULL
                   AND x.search @@ words
                   AND (of_tags IS NULL OR x.tags @> (SELECT of_tags))
                   AND (in_category IS NULL OR x.category = (SELECT in_category))
                   AND (of_type IS NULL OR x.tool_type = (SELECT of_type))) found),
    best AS (
        SELECT m.* FROM matching m
         WHERE after_uid IS NULL
            OR (-m.rank, m.namespace, m.name, m.function_uid)
               > (-after_rank, after_namespace, after_name, after_uid)
         ORDER BY m.rank DESC, m.namespace, m.name, m.function_uid
         LIMIT limited)
    SELECT v.tool_id, v.function_uid, v.tenant, v.namespace, v.name, v.version, v.title, v.description,
           v.tags, v.category, v.tool_type, v.deprecated, f.state, f.suspended, v.input_schema,
           v.output_schema, b.rank,
           ts_headline('english', left(concat_ws(E'\n', v.title, v.description), 65536), q.english || q.simple,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5')
      FROM best b
      JOIN soulbox.function_versions v ON v.function_uid = b.function_uid AND v.version = b.version
      JOIN soulbox.functions f ON f.uid = b.function_uid
     ORDER BY b.rank DESC, b.namespace, b.name, b.function_uid;
END
$$;
COMMENT ON FUNCTION soulbox.search_tools(text, text[], text, text, text, integer, real, text, text, uuid) IS
    'Tools that can be called, in their current versions: by words of their name, title, tags and description, ranked, with what matched between « and »; without a query all, by namespace and name. All of of_tags; after the row of after_rank, after_namespace, after_name and after_uid. The query is as in a web search and never an error';
REVOKE ALL ON FUNCTION soulbox.search_tools(text, text[], text, text, text, integer, real, text, text, uuid) FROM PUBLIC;

CREATE FUNCTION soulbox.find_tool(of_id text, of_tenant text DEFAULT NULL)
    RETURNS SETOF soulbox.function_versions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.listed_tenants(of_tenant);
    part    CONSTANT text[] := regexp_match(of_id, '^(?:tool:)?([^/@]+)/([^/@]+)(?:@([^/@]+))?$');
BEGIN
    IF part IS NULL THEN
        RAISE EXCEPTION '"%" is no tool''s id', left(of_id, 128)
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'tool_id_form',
                  HINT = 'Write tool:namespace/name@version, or tool:namespace/name for the current version.';
    END IF;
    -- A Function that was deleted and made again has had two of one id: what can be called first.
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT v.* FROM soulbox.function_versions v
             WHERE v.tenant = t.tenant AND v.namespace = (SELECT part[1]) AND v.name = (SELECT part[2])
               AND v.tool_id IS NOT NULL
               AND CASE WHEN part[3] IS NULL THEN v.is_current ELSE v.version = (SELECT part[3]) END) found
     ORDER BY found.withdrawn_at DESC NULLS FIRST, found.registered_at DESC, found.function_uid
     LIMIT 1;
END
$$;
COMMENT ON FUNCTION soulbox.find_tool(text, text) IS
    'A tool by its id: the version named, also where it is withdrawn; tool:namespace/name is the current one';
REVOKE ALL ON FUNCTION soulbox.find_tool(text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.count_tools(by text, of_tenant text DEFAULT NULL)
    RETURNS TABLE (key text, tools bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
BEGIN
    IF by IS NULL OR by NOT IN ('category', 'namespace', 'state', 'tag', 'tenant', 'type') THEN
        RAISE EXCEPTION 'tools are not counted by "%"', by
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'By category, namespace, state, tag, tenant or type.';
    END IF;
    RETURN QUERY
    SELECT g.key, count(*)
      FROM (SELECT coalesce(nullif(CASE by
                       WHEN 'category' THEN v.category
                       WHEN 'namespace' THEN v.namespace
                       WHEN 'state' THEN CASE WHEN v.deprecated IS NULL THEN f.state ELSE 'deprecated' END
                       WHEN 'tag' THEN tag.name
                       WHEN 'tenant' THEN v.tenant
                       WHEN 'type' THEN v.tool_type
                   END, ''), '(none)') AS key
              FROM soulbox.function_versions v
              JOIN soulbox.functions f ON f.uid = v.function_uid
              LEFT JOIN LATERAL unnest(v.tags) AS tag (name) ON by = 'tag'
             WHERE v.is_current AND v.tool_id IS NOT NULL
               AND (tenants IS NULL OR v.tenant = ANY (tenants))) g
     GROUP BY g.key
     ORDER BY count(*) DESC, g.key;
END
$$;
COMMENT ON FUNCTION soulbox.count_tools(text, text) IS
    'Tools that can be called, by category, namespace, state (ready, suspended, error, deprecated), tag, tenant or type; "(none)" is where there is none';
REVOKE ALL ON FUNCTION soulbox.count_tools(text, text) FROM PUBLIC;

-- Calls of Functions summed by day. The statements that write executions keep the sums, in their
-- own transaction: at no moment do the two differ.

CREATE FUNCTION soulbox.duration_bucket(duration_ms bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- Where the logarithm of a power of two is a hair too small, the bucket is still the same.
    RETURN CASE WHEN duration_ms < 8 THEN duration_ms::integer
                WHEN duration_ms >= 134217728 THEN 104
                ELSE 4 * floor(ln(duration_ms::float8) / ln(2::float8))::integer - 8
                     + (duration_ms >> (floor(ln(duration_ms::float8) / ln(2::float8))::integer - 2))::integer
           END;
COMMENT ON FUNCTION soulbox.duration_bucket(bigint) IS
    'Bucket of a duration: one for each millisecond below 8, then four from one power of two to the next; all from 37 hours (2^27 ms) on share the last, 104';

CREATE FUNCTION soulbox.duration_mark(duration_ms bigint) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('1e' || 12 * soulbox.duration_bucket(duration_ms))::numeric;
COMMENT ON FUNCTION soulbox.duration_mark(bigint) IS
    'A histogram that holds one duration: see call_sums.durations';

CREATE FUNCTION soulbox.duration_percentiles(durations numeric) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A sum of digits is what is left by the base less one.
    total   CONSTANT bigint := mod(durations, 999999999999);
    highest CONSTANT integer := (length(durations::text) + 11) / 12 - 1;
    digits  CONSTANT text := lpad(durations::text, 12 * (highest + 1), '0');
    -- So many may be longer than p99, p95 and p50.
    bounds  CONSTANT bigint[] := ARRAY[total - (total * 99 + 99) / 100, total - (total * 95 + 99) / 100,
                                       total - (total + 1) / 2];
    bound   bigint := bounds[1];
    longest bigint := 0;
    bucket  integer;
    found   bigint[] := '{}';
BEGIN
    -- From the longest down.
    FOR i IN 0 .. highest LOOP
        longest := longest + substr(digits, 12 * i + 1, 12)::bigint;
        WHILE longest > bound LOOP
            bucket := highest - i;
            found := CASE WHEN bucket < 8 THEN bucket
                          ELSE ((4 + bucket % 4)::bigint << (bucket / 4 - 1)) + ((1::bigint << (bucket / 4 - 1)) - 1) / 2
                     END || found;
            bound := bounds[1 + cardinality(found)];
            IF bound IS NULL THEN
                RETURN found;
            END IF;
        END LOOP;
    END LOOP;
    RETURN ARRAY[NULL, NULL, NULL]::bigint[];
END
$$;
COMMENT ON FUNCTION soulbox.duration_percentiles(numeric) IS
    'p50, p95 and p99 of a histogram as call_sums.durations is one: exact below 8 ms, else the middle of a bucket, at most 12.5 % from the true one; what ran for 37 hours or longer is told as 37 hours';

CREATE FUNCTION soulbox.call_cost(billing jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- A status that somebody wrote by hand must hold up no row.
    RETURN CASE WHEN billing ->> 'cost_usd' ~ '^-?[0-9]{1,20}(\.[0-9]{1,20})?$'
                THEN (billing ->> 'cost_usd')::numeric ELSE 0 END;
COMMENT ON FUNCTION soulbox.call_cost(jsonb) IS
    'cost_usd of executions.billing; 0 where there is none, or no number';

CREATE TABLE soulbox.call_sums (
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    function_uid     uuid        NOT NULL,
    function_version text        NOT NULL DEFAULT '',
    day              date        NOT NULL,
    runs             bigint      NOT NULL,
    success          bigint      NOT NULL,
    errors           bigint      NOT NULL,
    timed            bigint      NOT NULL,
    duration_ms      numeric     NOT NULL,
    cost_usd         numeric     NOT NULL,
    durations        numeric     NOT NULL,
    last_run_at      timestamptz,
    CONSTRAINT call_sums_pkey PRIMARY KEY (function_uid, day, function_version, tenant, cluster)
) WITH (fillfactor = 70);
CREATE INDEX call_sums_tenant_idx ON soulbox.call_sums (tenant, day);
COMMENT ON TABLE soulbox.call_sums IS
    'Calls of each version of a Function by day (UTC) of created_at: sums of rows of executions, kept by its triggers in the same transaction; as long as those rows';
COMMENT ON COLUMN soulbox.call_sums.cluster IS 'UID of the namespace kube-system of the cluster';
COMMENT ON COLUMN soulbox.call_sums.tenant IS 'Tenant of the calls';
COMMENT ON COLUMN soulbox.call_sums.function_uid IS 'The Function';
COMMENT ON COLUMN soulbox.call_sums.function_version IS
    'The version that was called; empty where none is told, as of calls that wait';
COMMENT ON COLUMN soulbox.call_sums.day IS 'The day the calls were created, in UTC';
COMMENT ON COLUMN soulbox.call_sums.runs IS 'Calls, in whatever state';
COMMENT ON COLUMN soulbox.call_sums.success IS 'Those that completed';
COMMENT ON COLUMN soulbox.call_sums.errors IS 'Those that failed or ran out of time';
COMMENT ON COLUMN soulbox.call_sums.timed IS 'Those that have a duration';
COMMENT ON COLUMN soulbox.call_sums.duration_ms IS 'Sum of their durations, in milliseconds';
COMMENT ON COLUMN soulbox.call_sums.cost_usd IS 'Sum of cost_usd of their billing, not rounded';
COMMENT ON COLUMN soulbox.call_sums.durations IS
    'Histogram of their durations: how many of them lie in each duration_bucket(), as digits to base 10^12, so that histograms are added as numbers; duration_percentiles() reads it';
COMMENT ON COLUMN soulbox.call_sums.last_run_at IS
    'When the newest of them was created; null where that is to be looked up, since a call was taken away';

-- A day's rows lie together: a few pages say where, and a day is summed at a time.
CREATE INDEX executions_time_idx ON soulbox.executions USING brin (created_at)
    WITH (pages_per_range = 32, autosummarize = on);

CREATE VIEW soulbox.v_calls WITH (security_invoker = true) AS
SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.function_uid,
       coalesce(e.function_version, '') AS function_version,
       (e.created_at AT TIME ZONE 'UTC')::date AS day,
       1::bigint AS runs,
       (e.state = 'completed')::integer::bigint AS success,
       (e.state IN ('failed', 'timeout'))::integer::bigint AS errors,
       (e.duration_ms IS NOT NULL)::integer::bigint AS timed,
       coalesce(e.duration_ms, 0)::numeric AS duration_ms,
       soulbox.call_cost(e.billing) AS cost_usd,
       coalesce(soulbox.duration_mark(e.duration_ms), 0) AS durations,
       e.created_at AS last_run_at
  FROM soulbox.executions e
 WHERE e.function_uid IS NOT NULL;
COMMENT ON VIEW soulbox.v_calls IS
    'What call_sums is summed from: each call of a Function';

CREATE FUNCTION soulbox.sum_calls() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sums soulbox.call_sums[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        sums := ARRAY(
            SELECT (a.cluster, a.tenant, a.function_uid, coalesce(a.function_version, ''),
                    (a.created_at AT TIME ZONE 'UTC')::date, count(*),
                    count(*) FILTER (WHERE a.state = 'completed'),
                    count(*) FILTER (WHERE a.state IN ('failed', 'timeout')),
                    count(a.duration_ms), coalesce(sum(a.duration_ms), 0),
                    sum(soulbox.call_cost(a.billing)),
                    coalesce(sum(soulbox.duration_mark(a.duration_ms)), 0), max(a.created_at))::soulbox.call_sums
              FROM added a
             WHERE a.function_uid IS NOT NULL
             GROUP BY a.cluster, a.tenant, a.function_uid, coalesce(a.function_version, ''),
                      (a.created_at AT TIME ZONE 'UTC')::date);
    ELSIF TG_OP = 'DELETE' THEN
        -- Which is the newest of those that are left is looked up when somebody asks.
        sums := ARRAY(
            SELECT (r.cluster, r.tenant, r.function_uid, coalesce(r.function_version, ''),
                    (r.created_at AT TIME ZONE 'UTC')::date, -count(*),
                    -count(*) FILTER (WHERE r.state = 'completed'),
                    -count(*) FILTER (WHERE r.state IN ('failed', 'timeout')),
                    -count(r.duration_ms), -coalesce(sum(r.duration_ms), 0),
                    -sum(soulbox.call_cost(r.billing)),
                    -coalesce(sum(soulbox.duration_mark(r.duration_ms)), 0), NULL)::soulbox.call_sums
              FROM removed r
             WHERE r.function_uid IS NOT NULL
             GROUP BY r.cluster, r.tenant, r.function_uid, coalesce(r.function_version, ''),
                      (r.created_at AT TIME ZONE 'UTC')::date);
    ELSE
        -- Call by call: of one that only went on nothing is written, and one that is now of
        -- another version leaves the row that it was in.
        sums := ARRAY(
            SELECT (c.cluster, c.tenant, c.function_uid, c.function_version,
                    (c.created_at AT TIME ZONE 'UTC')::date, sum(c.runs), sum(c.success), sum(c.errors),
                    sum(c.timed), sum(c.duration_ms), sum(c.cost_usd), sum(c.durations),
                    CASE WHEN min(c.runs) >= 0 THEN max(c.created_at) END)::soulbox.call_sums
              FROM (SELECT coalesce(a.cluster, r.cluster) AS cluster, coalesce(a.tenant, r.tenant) AS tenant,
                           coalesce(a.function_uid, r.function_uid) AS function_uid,
                           coalesce(a.version, r.version) AS function_version,
                           coalesce(a.created_at, r.created_at) AS created_at,
                           (a.uid IS NOT NULL)::integer - (r.uid IS NOT NULL)::integer AS runs,
                           coalesce((a.state = 'completed')::integer, 0)
                           - coalesce((r.state = 'completed')::integer, 0) AS success,
                           coalesce((a.state IN ('failed', 'timeout'))::integer, 0)
                           - coalesce((r.state IN ('failed', 'timeout'))::integer, 0) AS errors,
                           (a.duration_ms IS NOT NULL)::integer - (r.duration_ms IS NOT NULL)::integer AS timed,
                           coalesce(a.duration_ms, 0) - coalesce(r.duration_ms, 0) AS duration_ms,
                           soulbox.call_cost(a.billing) - soulbox.call_cost(r.billing) AS cost_usd,
                           coalesce(soulbox.duration_mark(a.duration_ms), 0)
                           - coalesce(soulbox.duration_mark(r.duration_ms), 0) AS durations
                      FROM (SELECT *, coalesce(function_version, '') AS version
                              FROM added WHERE function_uid IS NOT NULL) a
                      FULL JOIN (SELECT *, coalesce(function_version, '') AS version
                                   FROM removed WHERE function_uid IS NOT NULL) r
                        ON a.uid = r.uid AND a.created_at = r.created_at AND a.function_uid = r.function_uid
                       AND a.version = r.version AND a.tenant = r.tenant AND a.cluster = r.cluster
                     WHERE a.uid IS NULL OR r.uid IS NULL
                        OR (a.state, a.duration_ms, a.billing) IS DISTINCT FROM (r.state, r.duration_ms, r.billing)) c
             GROUP BY c.cluster, c.tenant, c.function_uid, c.function_version,
                      (c.created_at AT TIME ZONE 'UTC')::date);
    END IF;
    IF cardinality(sums) = 0 THEN
        RETURN NULL;
    END IF;
    -- One order for all, so that no two transactions wait for each other's rows.
    INSERT INTO soulbox.call_sums AS t (
            cluster, tenant, function_uid, function_version, day, runs, success, errors, timed,
            duration_ms, cost_usd, durations, last_run_at)
    SELECT n.cluster, n.tenant, n.function_uid, n.function_version, n.day, n.runs, n.success, n.errors,
           n.timed, n.duration_ms, n.cost_usd, n.durations, n.last_run_at
      FROM unnest(sums) n
     ORDER BY n.function_uid, n.day, n.function_version, n.tenant, n.cluster
    ON CONFLICT (function_uid, day, function_version, tenant, cluster) DO UPDATE SET
            runs = t.runs + excluded.runs,
            success = t.success + excluded.success,
            errors = t.errors + excluded.errors,
            timed = t.timed + excluded.timed,
            duration_ms = t.duration_ms + excluded.duration_ms,
            cost_usd = t.cost_usd + excluded.cost_usd,
            durations = t.durations + excluded.durations,
            last_run_at = CASE WHEN t.last_run_at IS NOT NULL OR t.runs = 0
                               THEN CASE WHEN excluded.last_run_at IS NOT NULL
                                         THEN greatest(t.last_run_at, excluded.last_run_at) END END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION soulbox.sum_calls() IS
    'Adds to call_sums what a statement changed of executions';
REVOKE ALL ON FUNCTION soulbox.sum_calls() FROM PUBLIC;
CREATE TRIGGER executions_sum_added AFTER INSERT ON soulbox.executions
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION soulbox.sum_calls();
CREATE TRIGGER executions_sum_changed AFTER UPDATE ON soulbox.executions
    REFERENCING NEW TABLE AS added OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION soulbox.sum_calls();
CREATE TRIGGER executions_sum_removed AFTER DELETE ON soulbox.executions
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION soulbox.sum_calls();

CREATE FUNCTION soulbox.forget_call_sums() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID = 'soulbox.executions'::regclass THEN
        DELETE FROM soulbox.call_sums;
    ELSE
        UPDATE soulbox.rollup_state SET calls_summed_at = NULL, calls_rebuild_id = NULL;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION soulbox.forget_call_sums() IS
    'Of executions truncated no call is left to be summed; call_sums truncated are made anew';
REVOKE ALL ON FUNCTION soulbox.forget_call_sums() FROM PUBLIC;
CREATE TRIGGER executions_truncated AFTER TRUNCATE ON soulbox.executions
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.forget_call_sums();
CREATE TRIGGER call_sums_truncated AFTER TRUNCATE ON soulbox.call_sums
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.forget_call_sums();

CREATE FUNCTION soulbox.tool_stats(days integer, by text DEFAULT 'tool', of_tenant text DEFAULT NULL,
                                   of_function uuid DEFAULT NULL)
    RETURNS TABLE (key text, runs bigint, success bigint, errors bigint, average_ms numeric, p50_ms bigint,
                   p95_ms bigint, p99_ms bigint, last_run_at timestamptz, cost_usd numeric)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
    -- Sums are of all users of a tenant.
    is_summed CONSTANT boolean := who IS NULL AND (SELECT s.calls_summed_at IS NOT NULL FROM soulbox.rollup_state s);
    since   date;
BEGIN
    PERFORM soulbox.check_days(days);
    IF by IS NULL OR by NOT IN ('tenant', 'tool', 'version') THEN
        RAISE EXCEPTION 'calls of tools are not counted by "%"', by
            USING ERRCODE = 'invalid_parameter_value', HINT = 'By tenant, tool or version.';
    ELSIF of_function IS NOT NULL AND NOT soulbox.is_readable(of_function) THEN
        RETURN;
    END IF;
    since := (now() AT TIME ZONE 'UTC')::date - days;
    RETURN QUERY
    WITH figures AS (
        SELECT x.function_uid, x.tenant, x.version, sum(x.runs) AS runs, sum(x.success) AS success,
               sum(x.errors) AS errors, sum(x.timed) AS timed, sum(x.duration_ms) AS duration_ms,
               sum(x.durations) AS durations, max(x.last_run_at) AS last_run_at, sum(x.cost_usd) AS cost_usd
          FROM (SELECT s.function_uid, s.tenant, CASE by WHEN 'version' THEN s.function_version END AS version,
                       s.runs, s.success, s.errors, s.timed, s.duration_ms, s.durations, s.cost_usd,
                       coalesce(s.last_run_at, (
                           SELECT max(c.created_at) FROM soulbox.v_calls c
                            WHERE c.function_uid = s.function_uid AND c.tenant = s.tenant
                              AND c.function_version = s.function_version
                              AND c.created_at >= s.day::timestamp AT TIME ZONE 'UTC'
                              AND c.created_at < (s.day + 1)::timestamp AT TIME ZONE 'UTC')) AS last_run_at
                  FROM soulbox.call_sums s
                 WHERE is_summed AND s.day >= since AND s.runs > 0
                   AND (tenants IS NULL OR s.tenant = ANY (tenants))
                   AND (of_function IS NULL OR s.function_uid = of_function)
                UNION ALL
                SELECT c.function_uid, c.tenant, CASE by WHEN 'version' THEN c.function_version END,
                       c.runs, c.success, c.errors, c.timed, c.duration_ms, c.durations, c.cost_usd, c.created_at
                  FROM soulbox.v_calls c
                 WHERE NOT is_summed AND c.created_at >= since::timestamp AT TIME ZONE 'UTC'
                   AND (tenants IS NULL OR c.tenant = ANY (tenants))
                   AND (of_function IS NULL OR c.function_uid = of_function)
                   AND (who IS NULL OR c.user_name = who)) x
         GROUP BY x.function_uid, x.tenant, x.version),
    keyed AS (
        SELECT CASE by WHEN 'tenant' THEN g.tenant
                       WHEN 'tool' THEN 'tool:' || f.namespace || '/' || f.name
                       ELSE 'tool:' || f.namespace || '/' || f.name || '@' || coalesce(nullif(g.version, ''), '(none)')
               END AS key,
               sum(g.runs)::bigint AS runs, sum(g.success)::bigint AS success, sum(g.errors)::bigint AS errors,
               round(sum(g.duration_ms) / nullif(sum(g.timed), 0), 3) AS average_ms,
               soulbox.duration_percentiles(sum(g.durations)) AS at,
               max(g.last_run_at) AS last_run_at, sum(g.cost_usd) AS cost_usd
          FROM figures g
          JOIN soulbox.functions f ON f.uid = g.function_uid AND f.tenant = g.tenant
         WHERE EXISTS (SELECT FROM soulbox.function_versions v
                        WHERE v.function_uid = f.uid AND v.tool_id IS NOT NULL)
         GROUP BY 1)
    SELECT k.key, k.runs, k.success, k.errors, k.average_ms, k.at[1], k.at[2], k.at[3], k.last_run_at, k.cost_usd
      FROM keyed k
     ORDER BY k.runs DESC, k.key;
END
$$;
COMMENT ON FUNCTION soulbox.tool_stats(integer, text, text, uuid) IS
    'Calls of tools since midnight (UTC) that many days ago, by tool, version or tenant, or of one Function alone: how many, how they ended (errors: failed or out of time), durations, the last one, and what they cost. All is exact but p50, p95 and p99, which are at most 12.5 % from the true ones (exact below 8 ms)';
REVOKE ALL ON FUNCTION soulbox.tool_stats(integer, text, text, uuid) FROM PUBLIC;

-- The reports, with the caller's tenants applied.

CREATE FUNCTION soulbox.dashboard(of_user text, of_tenant text DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who      CONSTANT text := coalesce(soulbox.visible_user(), of_user);
    tenants  text[];
    document jsonb;
BEGIN
    IF who = of_user AND who <> '' THEN
        tenants := ARRAY(
            SELECT t.tenant FROM unnest(soulbox.listed_tenants(of_tenant)) AS t (tenant)
             WHERE EXISTS (SELECT FROM soulbox.executions e WHERE e.tenant = t.tenant AND e.user_name = (SELECT who))
                OR EXISTS (SELECT FROM soulbox.sandboxes s WHERE s.tenant = t.tenant AND s.user_name = (SELECT who))
             ORDER BY t.tenant);
    END IF;
    -- Two people of one name are two people.
    IF cardinality(tenants) > 1 THEN
        RAISE EXCEPTION 'user "%" is in several tenants: %', of_user, array_to_string(tenants[:10], ', ')
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'dashboard_tenant',
                  HINT = 'Name the tenant too.';
    END IF;
    SELECT jsonb_build_object(
        'user', of_user,
        'tenant', tenants[1],
        'active_sandboxes', coalesce((
            SELECT jsonb_agg(to_jsonb(s) ORDER BY s.created_at DESC, s.uid) FROM (
                SELECT uid, tenant, namespace, name, class_name, state, created_at, started_at,
                       expires_at, last_activity_at
                  FROM soulbox.sandboxes
                 WHERE tenant = tenants[1] AND user_name = (SELECT who) AND deleted_at IS NULL
                   AND state IN ('created', 'starting', 'running')
                 ORDER BY created_at DESC
                 LIMIT 100) s), '[]'),
        'last_executions', coalesce((
            SELECT jsonb_agg(to_jsonb(e) ORDER BY e.created_at DESC, e.uid) FROM (
                SELECT uid, tenant, namespace, name, sandbox_uid, language, state, reason,
                       created_at, started_at, completed_at, duration_ms, exit_code
                  FROM soulbox.executions
                 WHERE tenant = tenants[1] AND user_name = (SELECT who)
                 ORDER BY created_at DESC
                 LIMIT 10) e), '[]'),
        'executions_24h', d.executions,
        'duration_ms_24h', d.duration_ms)
      INTO document
      FROM (SELECT count(*) AS executions, coalesce(sum(duration_ms), 0) AS duration_ms
              FROM soulbox.executions
             WHERE tenant = tenants[1] AND user_name = (SELECT who)
               AND created_at > now() - interval '24 hours') d;
    RETURN document;
END
$$;
COMMENT ON FUNCTION soulbox.dashboard(text, text) IS
    'A user of a tenant at a glance, one document: active sandboxes (at most 100), the last 10 executions, their number and duration over 24 hours; the tenant may be left out where the user is in one alone';
REVOKE ALL ON FUNCTION soulbox.dashboard(text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.usage_summary(of_sandbox uuid, from_at timestamptz, to_at timestamptz)
    RETURNS TABLE (data_points bigint, average_cpu_cores numeric, peak_cpu_cores numeric,
                   average_memory_bytes bigint, peak_memory_bytes bigint,
                   first_at timestamptz, last_at timestamptz, longest_gap_seconds numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*), round(avg(m.cpu_cores), 6), max(m.cpu_cores),
           round(avg(m.memory_bytes))::bigint, max(m.memory_bytes),
           min(m.recorded_at), max(m.recorded_at), max(m.gap)
      FROM (SELECT r.cpu_cores, r.memory_bytes, r.recorded_at,
                   extract(epoch FROM r.recorded_at - lag(r.recorded_at) OVER (ORDER BY r.recorded_at)) AS gap
              FROM soulbox.resource_metrics(of_sandbox, from_at, to_at) r
             WHERE of_sandbox IS NOT NULL) m
     WHERE soulbox.check_window(from_at, to_at)
$$;
COMMENT ON FUNCTION soulbox.usage_summary(uuid, timestamptz, timestamptz) IS
    'What a sandbox used in [from, to): averages and peaks of the samples there are; nothing is made up for a gap, the longest is told';
REVOKE ALL ON FUNCTION soulbox.usage_summary(uuid, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION soulbox.execution_stats(days integer, by text)
    RETURNS TABLE (key text, total bigint, completed bigint, failed bigint, timeout bigint,
                   cancelled bigint, unfinished bigint, average_ms numeric, p50_ms numeric,
                   p95_ms numeric, p99_ms numeric)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    IF by IS NULL OR by NOT IN ('class', 'day', 'language', 'namespace', 'program', 'sandbox', 'tenant', 'user') THEN
        RAISE EXCEPTION 'executions are not counted by "%"', by
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'By class, day, language, namespace, program, sandbox, tenant or user.';
    END IF;
    RETURN QUERY
    SELECT g.key, count(*), count(*) FILTER (WHERE g.state = 'completed'),
           count(*) FILTER (WHERE g.state = 'failed'), count(*) FILTER (WHERE g.state = 'timeout'),
           count(*) FILTER (WHERE g.state = 'cancelled'),
           count(*) FILTER (WHERE g.state IN ('queued', 'running')),
           round(avg(g.duration_ms), 3),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY g.duration_ms)::numeric,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY g.duration_ms)::numeric,
           percentile_disc(0.99) WITHIN GROUP (ORDER BY g.duration_ms)::numeric
      FROM (SELECT coalesce(nullif(CASE by
                       WHEN 'class' THEN coalesce(e.class_name, s.class_name)
                       WHEN 'day' THEN to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                       WHEN 'language' THEN e.language
                       WHEN 'namespace' THEN e.namespace
                       WHEN 'program' THEN e.code_sha256
                       WHEN 'sandbox' THEN coalesce(e.sandbox_uid, e.uid)::text
                       WHEN 'tenant' THEN e.tenant
                       WHEN 'user' THEN e.user_name
                   END, ''), '(none)') AS key,
                   e.state, e.duration_ms
              FROM soulbox.executions e
              LEFT JOIN soulbox.sandboxes s ON by = 'class' AND s.uid = e.sandbox_uid
             WHERE e.created_at > now() - make_interval(days => days)
               AND (tenants IS NULL OR e.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))) g
     GROUP BY g.key
     ORDER BY count(*) DESC, g.key;
END
$$;
COMMENT ON FUNCTION soulbox.execution_stats(integer, text) IS
    'Executions of the last days by class, day, language, namespace, program, sandbox, tenant or user: how many, how they ended, durations (average, p50, p95, p99); "(none)" is where no class, language, program or user is known';
REVOKE ALL ON FUNCTION soulbox.execution_stats(integer, text) FROM PUBLIC;

CREATE FUNCTION soulbox.slowest_programs(days integer, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, runs bigint, average_ms numeric, p95_ms numeric,
                   max_ms bigint, code text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    RETURN QUERY
    SELECT g.tenant, g.code_sha256, g.runs, g.average_ms, g.p95_ms, g.max_ms, left(p.code, 200)
      FROM (SELECT e.tenant, e.code_sha256, count(*) AS runs, round(avg(e.duration_ms), 3) AS average_ms,
                   percentile_disc(0.95) WITHIN GROUP (ORDER BY e.duration_ms)::numeric AS p95_ms,
                   max(e.duration_ms) AS max_ms
              FROM soulbox.executions e
             WHERE e.created_at > now() - make_interval(days => days)
               AND (tenants IS NULL OR e.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND e.duration_ms IS NOT NULL AND e.code_sha256 IS NOT NULL
             GROUP BY e.tenant, e.code_sha256
             ORDER BY p95_ms DESC, e.tenant, e.code_sha256
             LIMIT least(greatest(max_rows, 1), 1000)) g
      LEFT JOIN soulbox.programs p ON p.tenant = g.tenant AND p.code_sha256 = g.code_sha256
     ORDER BY g.p95_ms DESC, g.tenant, g.code_sha256;
END
$$;
COMMENT ON FUNCTION soulbox.slowest_programs(integer, integer) IS
    'Programs of the last days by their p95 duration, with the first 200 characters of their code';
REVOKE ALL ON FUNCTION soulbox.slowest_programs(integer, integer) FROM PUBLIC;

CREATE FUNCTION soulbox.failing_programs(days integer, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, runs bigint, failures bigint, failed_percent numeric,
                   last_error text, code text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    RETURN QUERY
    SELECT g.tenant, g.code_sha256, g.runs, g.failures, round(100.0 * g.failures / g.runs, 2),
           g.last_error, left(p.code, 200)
      FROM (SELECT e.tenant, e.code_sha256, count(*) AS runs,
                   count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) AS failures,
                   left((array_agg(coalesce(e.error ->> 'type', e.reason) ORDER BY e.created_at DESC)
                         FILTER (WHERE e.state IN ('failed', 'timeout')))[1], 200) AS last_error
              FROM soulbox.executions e
             WHERE e.created_at > now() - make_interval(days => days)
               AND (tenants IS NULL OR e.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND e.code_sha256 IS NOT NULL
             GROUP BY e.tenant, e.code_sha256
            HAVING count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) > 0
             ORDER BY failures DESC, e.tenant, e.code_sha256
             LIMIT least(greatest(max_rows, 1), 1000)) g
      LEFT JOIN soulbox.programs p ON p.tenant = g.tenant AND p.code_sha256 = g.code_sha256
     ORDER BY g.failures DESC, g.tenant, g.code_sha256;
END
$$;
COMMENT ON FUNCTION soulbox.failing_programs(integer, integer) IS
    'Programs of the last days by how often they failed or ran out of time, with their last error';
REVOKE ALL ON FUNCTION soulbox.failing_programs(integer, integer) FROM PUBLIC;

CREATE FUNCTION soulbox.search_output(query text, days integer DEFAULT 1, max_rows integer DEFAULT 20)
    RETURNS TABLE (uid uuid, created_at timestamptz, tenant text, user_name text, state text,
                   rank real, headline text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.visible_tenants();
    who     CONSTANT text := soulbox.visible_user();
    q       record;
BEGIN
    PERFORM soulbox.check_days(days);
    SELECT s.simple, s.english INTO q FROM soulbox.search_words(query) s;
    RETURN QUERY
    -- Output has no index of words: it would take half the speed of writing. So the newest
    -- are looked through, and not too many.
    WITH newest AS MATERIALIZED (
        SELECT e.uid, e.created_at, e.tenant, e.user_name, e.state,
               left(concat_ws(E'\n', e.stdout, e.stderr), 65536) AS output
          FROM soulbox.executions e
         WHERE e.created_at > now() - make_interval(days => days)
           AND (tenants IS NULL OR e.tenant = ANY (tenants))
           AND (who IS NULL OR e.user_name = (SELECT who))
           AND (e.stdout <> '' OR e.stderr <> '')
         ORDER BY e.created_at DESC
         LIMIT 20000),
    best AS (
        SELECT n.*, ts_rank(to_tsvector('simple', n.output), q.simple) AS rank, q.english || q.simple AS words
          FROM newest n
         WHERE to_tsvector('simple', n.output) @@ q.simple OR to_tsvector('english', n.output) @@ q.english
         ORDER BY rank DESC, n.created_at DESC, n.uid
         LIMIT least(greatest(max_rows, 1), 200))
    SELECT b.uid, b.created_at, b.tenant, b.user_name, b.state, b.rank,
           ts_headline('english', b.output, b.words,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5')
      FROM best b
     ORDER BY b.rank DESC, b.created_at DESC, b.uid;
END
$$;
COMMENT ON FUNCTION soulbox.search_output(text, integer, integer) IS
    'Executions of the last days by words of their output as the status shows it, ranked, with what matched between « and »; the newest 20000 with output are looked through';
REVOKE ALL ON FUNCTION soulbox.search_output(text, integer, integer) FROM PUBLIC;

CREATE FUNCTION soulbox.history(of_uid uuid) RETURNS TABLE (at timestamptz, event text, detail jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.at, h.event, h.detail
      FROM soulbox.sandboxes(of_uid => of_uid) s
     CROSS JOIN LATERAL (VALUES
            (s.created_at, 'created', jsonb_build_object('kind', 'sandbox', 'namespace', s.namespace, 'name', s.name, 'class_name', s.class_name)),
            (s.started_at, 'started', jsonb_build_object('node', s.node)),
            (s.terminated_at, 'terminated', jsonb_build_object('reason', s.reason)),
            (s.deleted_at, 'deleted', '{}'::jsonb)) AS h (at, event, detail)
     WHERE of_uid IS NOT NULL AND h.at IS NOT NULL
    UNION ALL
    SELECT h.at, h.event, h.detail
      FROM soulbox.executions(of_uid => of_uid) e
     CROSS JOIN LATERAL (VALUES
            (e.created_at, 'created', jsonb_build_object('kind', 'execution', 'namespace', e.namespace, 'name', e.name, 'sandbox_uid', e.sandbox_uid)),
            (e.queued_at, 'queued', '{}'::jsonb),
            (e.started_at, 'started', jsonb_build_object('attempt', e.attempt)),
            (e.completed_at, e.state, jsonb_build_object('reason', e.reason, 'exit_code', e.exit_code, 'duration_ms', e.duration_ms)),
            (e.deleted_at, 'deleted', '{}'::jsonb)) AS h (at, event, detail)
     WHERE of_uid IS NOT NULL AND h.at IS NOT NULL
    UNION ALL
    SELECT h.at, h.event, h.detail
      FROM soulbox.pod_runs(of_uid => of_uid) r
     CROSS JOIN LATERAL (VALUES
            (r.started_at, 'pod_started', jsonb_build_object('pod_uid', r.pod_uid, 'node', r.node, 'incarnation', r.incarnation)),
            (r.finished_at, 'pod_finished', jsonb_build_object('pod_uid', r.pod_uid, 'reason', r.exit_reason, 'end_source', r.end_source))) AS h (at, event, detail)
     WHERE of_uid IS NOT NULL AND h.at IS NOT NULL
    UNION ALL
    SELECT e.created_at, 'execution', jsonb_build_object('uid', e.uid, 'name', e.name, 'state', e.state)
      FROM soulbox.executions(of_sandbox => of_uid) e
     WHERE of_uid IS NOT NULL
     ORDER BY 1, 2
$$;
COMMENT ON FUNCTION soulbox.history(uuid) IS
    'What happened to a Sandbox or Execution, in order: its states, its pods, a Sandbox''s Executions';
REVOKE ALL ON FUNCTION soulbox.history(uuid) FROM PUBLIC;

-- A tenant's login, made in one step and within bounds.

CREATE FUNCTION soulbox.grant_reader(login text, tenants text[], connections integer DEFAULT 10,
                                     statement_seconds integer DEFAULT 60)
    RETURNS SETOF text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bounds text[] := ARRAY[
        format('statement_timeout = %L', statement_seconds || 's'),
        format('idle_in_transaction_session_timeout = %L', statement_seconds || 's'),
        format('idle_session_timeout = %L', '1d')];
    bound  text;
    -- Whatever writes here stages rows in temporary tables.
    writers CONSTANT text := (
        SELECT string_agg(DISTINCT format('%I', g.rolname), ', ')
          FROM pg_class c
         CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
          JOIN pg_roles g ON g.oid = a.grantee
         WHERE c.oid = 'soulbox.billing_events'::regclass AND a.privilege_type = 'INSERT');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = login AND r.rolcanlogin) THEN
        RAISE EXCEPTION 'there is no login "%"', login
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'login_exists',
                  HINT = 'Make it first: create role … login password ….';
    ELSIF EXISTS (SELECT FROM pg_roles r
                   WHERE pg_has_role(login, r.oid, 'MEMBER')
                     AND (r.rolsuper OR r.rolbypassrls
                          OR r.rolname IN ('soulbox_owner', 'soulbox_writer', 'soulbox_admin_reader'))) THEN
        RAISE EXCEPTION 'login "%" sees the rows of all tenants already', login
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'login_of_tenants',
                  HINT = 'Take another login for a tenant.';
    ELSIF coalesce(cardinality(tenants), 0) = 0 OR '' = ANY (tenants) OR array_position(tenants, NULL) > 0 THEN
        RAISE EXCEPTION 'no tenant is named'
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'tenant_named';
    ELSIF connections NOT BETWEEN 1 AND 1000 OR statement_seconds NOT BETWEEN 1 AND 86400 THEN
        RAISE EXCEPTION 'connections are from 1 to 1000, seconds from 1 to 86400'
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    IF NOT pg_has_role(login, 'soulbox_reader', 'MEMBER') THEN
        EXECUTE format('GRANT soulbox_reader TO %I', login);
    END IF;
    INSERT INTO soulbox.tenant_roles (role_name, tenant)
    SELECT login, t.tenant FROM unnest(tenants) AS t (tenant)
    ON CONFLICT DO NOTHING;
    EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', login, connections);
    RETURN NEXT format('at most %s connections', connections);
    IF current_setting('server_version_num')::integer >= 170000 THEN
        bounds := bounds || format('transaction_timeout = %L', statement_seconds * 10 || 's');
    END IF;
    FOREACH bound IN ARRAY bounds LOOP
        EXECUTE format('ALTER ROLE %I SET %s', login, bound);
        RETURN NEXT bound;
    END LOOP;
    IF has_parameter_privilege('temp_file_limit', 'SET') THEN
        EXECUTE format('ALTER ROLE %I SET temp_file_limit = %L', login, '1GB');
        RETURN NEXT 'temp_file_limit = ''1GB''';
    ELSE
        RETURN NEXT format('not set, a superuser may: alter role %I set temp_file_limit = ''1GB''', login);
    END IF;
    IF NOT has_database_privilege('public', current_database(), 'TEMPORARY') THEN
        NULL;
    ELSIF (SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database()) THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %s', current_database(), writers);
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        RETURN NEXT 'temporary tables in this database only for those that they are granted to';
    ELSE
        RETURN NEXT format('not done, the owner of the database may: grant temporary on database %1$I to %2$s; '
                           'revoke temporary on database %1$I from public', current_database(), writers);
    END IF;
END
$$;
COMMENT ON FUNCTION soulbox.grant_reader(text, text[], integer, integer) IS
    'Lets a login read the rows of tenants, within bounds: connections, seconds of a statement and of an idle transaction; tells what it set, and what another has to';
REVOKE ALL ON FUNCTION soulbox.grant_reader(text, text[], integer, integer) FROM PUBLIC;

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT INSERT ON soulbox.usage_marks TO soulbox_writer;
        GRANT INSERT, UPDATE, DELETE ON soulbox.usage_daily, soulbox.usage_aggregates TO soulbox_writer;
        GRANT UPDATE ON soulbox.rollup_state TO soulbox_writer;
        GRANT INSERT, DELETE ON soulbox.call_sums TO soulbox_writer;
    END IF;
END
$$;
CALL soulbox.apply_access();
