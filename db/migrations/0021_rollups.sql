-- Sums of use and cost by day and month. Each row of the ledger and each finished Execution
-- is counted once: a fold follows the transactions that wrote them. Nothing is summed here:
-- the operator does it in portions, and until then the views sum the rows themselves.

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

-- Constant for the rows that are there, so that they are not written again.
ALTER TABLE soulbox.billing_events
    ADD COLUMN epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN xid8  xid8    NOT NULL DEFAULT '0';
ALTER TABLE soulbox.billing_events
    ALTER COLUMN epoch SET DEFAULT soulbox.database_epoch(),
    ALTER COLUMN xid8  SET DEFAULT pg_current_xact_id();
CREATE INDEX billing_events_fold_idx ON soulbox.billing_events (epoch, xid8);
CREATE INDEX billing_events_day_idx ON soulbox.billing_events
    USING brin (soulbox.usage_day(kind, starts_at, occurred_at)) WITH (pages_per_range = 32);
COMMENT ON COLUMN soulbox.billing_events.epoch IS
    'database_epoch() it was written in; 0: before there was this column';
COMMENT ON COLUMN soulbox.billing_events.xid8 IS
    'Transaction that wrote it: what the sums follow; of this epoch only';

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
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
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

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT INSERT ON soulbox.usage_marks TO soulbox_writer;
        GRANT INSERT, UPDATE, DELETE ON soulbox.usage_daily, soulbox.usage_aggregates TO soulbox_writer;
        GRANT UPDATE ON soulbox.rollup_state TO soulbox_writer;
    END IF;
END
$$;
CALL soulbox.apply_access();
