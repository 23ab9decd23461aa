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
        valid WITH &&)
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

CREATE FUNCTION soulbox.guard_price_plan() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lower(OLD.valid) > now() THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    -- A plan that has begun may only end, and only later than now: nothing that was or
    -- could have been billed by it changes. Else no price could ever be replaced.
    IF TG_OP = 'UPDATE'
       AND (NEW.name, NEW.sku, NEW.tier, NEW.rate, NEW.currency, lower(NEW.valid))
           IS NOT DISTINCT FROM (OLD.name, OLD.sku, OLD.tier, OLD.rate, OLD.currency, lower(OLD.valid))
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
END
$$;
COMMENT ON FUNCTION soulbox.guard_price_plan() IS 'Keeps a plan that has begun as it is';
CREATE TRIGGER price_plans_guard BEFORE UPDATE OR DELETE ON soulbox.price_plans
    FOR EACH ROW EXECUTE FUNCTION soulbox.guard_price_plan();
CREATE TRIGGER price_plans_no_truncate BEFORE TRUNCATE ON soulbox.price_plans
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER price_plans_touch BEFORE UPDATE ON soulbox.price_plans
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

INSERT INTO soulbox.price_plans (name, sku, tier, rate, valid, description) VALUES
    ('default-free-1', 'default', 'free', 0.0000200000, '[2020-01-01 00:00:00+00,)',
     'Comes with SoulBox: 0.000020 USD a compute unit, that is 0.072 USD for one vCPU (or 2 GiB) for an hour');

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
    CONSTRAINT billing_events_currency_code CHECK (currency ~ '^[A-Z]{3}$')
);
CREATE INDEX billing_events_tenant_idx ON soulbox.billing_events (tenant, starts_at);
CREATE INDEX billing_events_sandbox_idx ON soulbox.billing_events (sandbox_uid, starts_at)
    WHERE sandbox_uid IS NOT NULL;
CREATE INDEX billing_events_execution_idx ON soulbox.billing_events (execution_uid)
    WHERE execution_uid IS NOT NULL;
CREATE INDEX billing_events_corrects_idx ON soulbox.billing_events (corrects)
    WHERE corrects IS NOT NULL;
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
    'quantity x max(vCPU, GiB / 2), rounded half up to 10 decimals';
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
CREATE TRIGGER billing_events_append_only BEFORE UPDATE OR DELETE ON soulbox.billing_events
    FOR EACH ROW EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER billing_events_no_truncate BEFORE TRUNCATE ON soulbox.billing_events
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();

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
    CONSTRAINT changes_pkey PRIMARY KEY (seq),
    CONSTRAINT changes_kind_known CHECK (kind IN ('sandbox', 'execution')),
    CONSTRAINT changes_op_known CHECK (op IN ('insert', 'update', 'delete'))
);
CREATE INDEX changes_at_idx ON soulbox.changes USING brin (at);
COMMENT ON TABLE soulbox.changes IS
    'Outbox of live queries: each version of a Sandbox or Execution as it was committed; old rows are removed';
COMMENT ON COLUMN soulbox.changes.seq IS
    'Order of writing; commits may overtake, so a reader follows xid8';
COMMENT ON COLUMN soulbox.changes.xid8 IS
    'Transaction that wrote it; all below pg_snapshot_xmin(pg_current_snapshot()) are there for good';
COMMENT ON COLUMN soulbox.changes.epoch IS 'mirror_state.database_epoch it was written in';
COMMENT ON COLUMN soulbox.changes.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.changes.tenant IS 'Tenant of the object';
COMMENT ON COLUMN soulbox.changes.user_name IS 'User of the object';
COMMENT ON COLUMN soulbox.changes.kind IS 'sandbox or execution';
COMMENT ON COLUMN soulbox.changes.uid IS 'The object';
COMMENT ON COLUMN soulbox.changes.sandbox_uid IS 'Its Sandbox: of a Sandbox itself; null for a one-shot';
COMMENT ON COLUMN soulbox.changes.op IS 'insert, update, or delete when deleted_at is set';
COMMENT ON COLUMN soulbox.changes.at IS 'When the transaction that wrote it began';
COMMENT ON COLUMN soulbox.changes.payload IS 'namespace, name, state, reason, resource_version';

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

-- What the group roles may do. Where the migrating role could not make them and nobody
-- else has, this does nothing: rights are then the administrator's to give. soulbox_reader
-- reads the rows of all tenants: make only those members who may.

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_writer;
        GRANT SELECT ON ALL TABLES IN SCHEMA soulbox TO soulbox_writer;
        GRANT INSERT, UPDATE ON soulbox.sandboxes, soulbox.executions, soulbox.programs,
            soulbox.execution_outputs, soulbox.pod_runs, soulbox.dead_letter, soulbox.mirror_state
            TO soulbox_writer;
        -- No UPDATE or DELETE on the ledger, and no price of its own making.
        GRANT INSERT ON soulbox.billing_events, soulbox.changes TO soulbox_writer;
        -- A save that was interrupted is replaced; the outbox is pruned.
        GRANT DELETE ON soulbox.execution_outputs, soulbox.changes TO soulbox_writer;
        GRANT EXECUTE ON FUNCTION soulbox.ensure_partition(text, timestamptz) TO soulbox_writer;
    END IF;
    IF to_regrole('soulbox_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA soulbox TO soulbox_reader;
    END IF;
END
$$;
