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
