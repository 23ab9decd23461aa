-- look --
-- Whether there is anything to do; costs two looks into an index when there is not.
SELECT soulbox.rollups_built() AS is_built,
       s.watermark > pg_snapshot_xmax(pg_current_snapshot()) AS is_foreign,
       CASE WHEN s.rebuild_id IS NOT NULL
            THEN extract(epoch FROM clock_timestamp() - s.updated_at)::float8 END AS rebuild_idle_seconds,
       -- Null where there is none: greatest() would hide that.
       extract(epoch FROM clock_timestamp() - least(
           (SELECT b.recorded_at FROM soulbox.billing_events b
             WHERE b.epoch = s.database_epoch AND b.xid8 >= s.watermark ORDER BY b.xid8 LIMIT 1),
           (SELECT m.recorded_at FROM soulbox.usage_marks m
             WHERE m.epoch = s.database_epoch AND m.xid8 >= s.watermark ORDER BY m.xid8 LIMIT 1)
           ))::float8 AS waiting_seconds,
       s.calls_summed_at IS NOT NULL AS are_calls_summed
  FROM soulbox.rollup_state s;

-- lock_watermark --
-- One fold at a time. Who finds another at it leaves it to him.
SELECT s.watermark::text AS watermark, s.database_epoch AS epoch
  FROM soulbox.rollup_state s
 WHERE s.rebuilt_at IS NOT NULL AND s.database_epoch = soulbox.database_epoch()
   FOR UPDATE SKIP LOCKED;

-- fold_until --
-- How far a fold may go: below the oldest transaction that is open, since all below it are
-- there for good; and no further than this many rows, but for those of one transaction.
SELECT coalesce(
           (SELECT r.xid8
              FROM ((SELECT b.xid8 FROM soulbox.billing_events b
                      WHERE b.epoch = %(epoch)s AND b.xid8 > %(watermark)s::xid8 AND b.xid8 < x.oldest
                      ORDER BY b.xid8 LIMIT %(portion)s + 1)
                    UNION ALL
                    (SELECT m.xid8 FROM soulbox.usage_marks m
                      WHERE m.epoch = %(epoch)s AND m.xid8 > %(watermark)s::xid8 AND m.xid8 < x.oldest
                      ORDER BY m.xid8 LIMIT %(portion)s + 1)) r
             ORDER BY r.xid8
            OFFSET %(portion)s
             LIMIT 1),
           x.oldest)::text AS until,
       x.oldest::text AS oldest,
       x.oldest > %(watermark)s::xid8 AS is_further
  FROM (SELECT soulbox.watermark() AS oldest) x;

-- fold --
-- Adds the rows between the watermark and this transaction, and moves the watermark there.
WITH sums AS MATERIALIZED (
    SELECT * FROM soulbox.usage_sums('unfolded', NULL, NULL, NULL, %(until)s::xid8)
), daily AS (
    INSERT INTO soulbox.usage_daily AS t (
            tenant, user_name, day, cluster, currency, total_executions, total_duration_ms,
            billed_seconds, compute_units, total_cost, breakdown)
    SELECT tenant, user_name, bucket::date, cluster, currency, total_executions, total_duration_ms,
           billed_seconds, compute_units, total_cost, breakdown
      FROM sums
     WHERE unit_name = 'day'
    ON CONFLICT (tenant, user_name, day, cluster, currency) DO UPDATE SET
            total_executions = t.total_executions + excluded.total_executions,
            total_duration_ms = t.total_duration_ms + excluded.total_duration_ms,
            billed_seconds = t.billed_seconds + excluded.billed_seconds,
            compute_units = t.compute_units + excluded.compute_units,
            total_cost = t.total_cost + excluded.total_cost,
            breakdown = soulbox.add_breakdown(t.breakdown, excluded.breakdown)
), monthly AS (
    INSERT INTO soulbox.usage_aggregates AS t (
            tenant, user_name, period, cluster, currency, total_executions, total_duration_ms,
            billed_seconds, compute_units, total_cost, breakdown)
    SELECT tenant, user_name, bucket, cluster, currency, total_executions, total_duration_ms,
           billed_seconds, compute_units, total_cost, breakdown
      FROM sums
     WHERE unit_name = 'month'
    ON CONFLICT (tenant, user_name, period, cluster, currency) DO UPDATE SET
            total_executions = t.total_executions + excluded.total_executions,
            total_duration_ms = t.total_duration_ms + excluded.total_duration_ms,
            billed_seconds = t.billed_seconds + excluded.billed_seconds,
            compute_units = t.compute_units + excluded.compute_units,
            total_cost = t.total_cost + excluded.total_cost,
            breakdown = soulbox.add_breakdown(t.breakdown, excluded.breakdown)
)
UPDATE soulbox.rollup_state SET watermark = %(until)s::xid8;

-- raise_epoch --
-- Transactions have lower numbers than before: the database was restored by other means than
-- soulbox db restore. Waits for all that write.
UPDATE soulbox.mirror_state
   SET database_epoch = greatest(soulbox.database_epoch() + 1, extract(epoch FROM now())::integer)
 WHERE (SELECT s.watermark > pg_snapshot_xmax(pg_current_snapshot()) FROM soulbox.rollup_state s);

-- begin_rebuild --
-- From here on until the end of the rebuild nobody takes sums from the tables.
UPDATE soulbox.rollup_state
   SET database_epoch = soulbox.database_epoch(),
       watermark = soulbox.watermark(),
       rebuild_id = gen_random_uuid(),
       rebuilt_at = NULL
RETURNING rebuild_id;

-- hold_rebuild --
-- Still the one who rebuilds, and alive; nobody else begins until this transaction ends.
UPDATE soulbox.rollup_state SET rebuild_id = rebuild_id WHERE rebuild_id = %(rebuild_id)s;

-- mark_page --
-- Marks for Executions of a page that have none: those that ended before there were marks, or
-- while an older operator wrote. They are folded like all new rows.
WITH page AS (
    SELECT e.uid, e.created_at, e.cluster, e.tenant, e.user_name, e.state, e.completed_at, e.duration_ms
      FROM soulbox.executions e
     WHERE e.uid > %(after)s AND e.state NOT IN ('queued', 'running')
     ORDER BY e.uid
     LIMIT %(portion)s
), made AS (
    INSERT INTO soulbox.usage_marks (
            execution_uid, cluster, tenant, user_name, state, ended_at, duration_ms, epoch)
    SELECT p.uid, p.cluster, p.tenant, p.user_name, p.state, coalesce(p.completed_at, p.created_at),
           coalesce(p.duration_ms, 0), (SELECT soulbox.database_epoch())
      FROM page p
    ON CONFLICT (execution_uid) DO NOTHING
)
SELECT uid FROM page ORDER BY uid DESC LIMIT 1;

-- periods --
-- The months that there are rows or sums of.
SELECT to_char(d.day, 'YYYY-MM') AS period
  FROM (SELECT DISTINCT r.day FROM soulbox.v_usage_rows r) d
UNION
SELECT to_char(u.day, 'YYYY-MM') FROM soulbox.usage_daily u
UNION
SELECT a.period FROM soulbox.usage_aggregates a
 ORDER BY 1;

-- clear_daily --
-- The days of a month.
DELETE FROM soulbox.usage_daily
 WHERE day >= to_date(%(period)s, 'YYYY-MM') AND day < to_date(%(period)s, 'YYYY-MM') + interval '1 month';

-- clear_monthly --
-- A month.
DELETE FROM soulbox.usage_aggregates WHERE period = %(period)s;

-- fill --
-- A month and its days, from the rows below the watermark.
WITH sums AS MATERIALIZED (
    SELECT * FROM soulbox.usage_sums(
        'folded', NULL, to_date(%(period)s, 'YYYY-MM'),
        (to_date(%(period)s, 'YYYY-MM') + interval '1 month')::date, NULL)
), daily AS (
    INSERT INTO soulbox.usage_daily (
            tenant, user_name, day, cluster, currency, total_executions, total_duration_ms,
            billed_seconds, compute_units, total_cost, breakdown)
    SELECT tenant, user_name, bucket::date, cluster, currency, total_executions, total_duration_ms,
           billed_seconds, compute_units, total_cost, breakdown
      FROM sums
     WHERE unit_name = 'day'
)
INSERT INTO soulbox.usage_aggregates (
        tenant, user_name, period, cluster, currency, total_executions, total_duration_ms,
        billed_seconds, compute_units, total_cost, breakdown)
SELECT tenant, user_name, bucket, cluster, currency, total_executions, total_duration_ms,
       billed_seconds, compute_units, total_cost, breakdown
  FROM sums
 WHERE unit_name = 'month';

-- end_rebuild --
-- The sums hold again.
UPDATE soulbox.rollup_state
   SET rebuilt_at = now(), rebuild_id = NULL
 WHERE rebuild_id = %(rebuild_id)s;

-- differences --
-- Sums of a month and its days that are not what the rows below the watermark give. One
-- snapshot: a fold meanwhile changes rows and watermark together.
WITH sums AS MATERIALIZED (
    SELECT * FROM soulbox.usage_sums(
        'folded', NULL, to_date(%(period)s, 'YYYY-MM'),
        (to_date(%(period)s, 'YYYY-MM') + interval '1 month')::date, NULL)
), stored AS MATERIALIZED (
    SELECT 'day' AS unit_name, to_char(d.day, 'YYYY-MM-DD') AS bucket, d.cluster, d.tenant,
           d.user_name, d.currency, d.total_executions, d.total_duration_ms, d.billed_seconds,
           d.compute_units, d.total_cost, d.breakdown
      FROM soulbox.usage_daily d
     WHERE d.day >= to_date(%(period)s, 'YYYY-MM')
       AND d.day < to_date(%(period)s, 'YYYY-MM') + interval '1 month'
    UNION ALL
    SELECT 'month', a.period, a.cluster, a.tenant, a.user_name, a.currency, a.total_executions,
           a.total_duration_ms, a.billed_seconds, a.compute_units, a.total_cost, a.breakdown
      FROM soulbox.usage_aggregates a
     WHERE a.period = %(period)s
)
SELECT unit_name, bucket, cluster, tenant, user_name, currency,
       f.total_executions IS NOT NULL AS is_stored,
       f.total_executions AS stored_executions, f.total_duration_ms AS stored_duration_ms,
       f.billed_seconds AS stored_seconds, f.compute_units AS stored_units,
       f.total_cost AS stored_cost, f.breakdown AS stored_breakdown,
       w.total_executions IS NOT NULL AS is_wanted,
       w.total_executions AS wanted_executions, w.total_duration_ms AS wanted_duration_ms,
       w.billed_seconds AS wanted_seconds, w.compute_units AS wanted_units,
       w.total_cost AS wanted_cost, w.breakdown AS wanted_breakdown
  FROM stored f
  FULL JOIN sums w USING (unit_name, bucket, cluster, tenant, user_name, currency)
 WHERE (SELECT soulbox.rollups_built())
   AND (f.total_executions, f.total_duration_ms, f.billed_seconds, f.compute_units, f.total_cost, f.breakdown)
       IS DISTINCT FROM
       (w.total_executions, w.total_duration_ms, w.billed_seconds, w.compute_units, w.total_cost, w.breakdown)
 ORDER BY unit_name DESC, bucket, tenant, user_name, cluster, currency;

-- usage_monthly --
-- Use and cost by month and user, by month and tenant, or by month, exact.
SELECT u.period,
       CASE WHEN %(by)s <> 'period' THEN u.tenant END AS tenant,
       CASE WHEN %(by)s = 'user' THEN u.user_name END AS user_name,
       sum(u.total_executions)::bigint AS total_executions,
       sum(u.total_duration_ms)::bigint AS total_duration_ms,
       sum(u.billed_seconds) AS billed_seconds, sum(u.compute_units) AS compute_units,
       sum(u.total_cost) AS total_cost, u.currency, soulbox.sum_breakdown(u.breakdown) AS breakdown
  FROM soulbox.v_usage_monthly(
           of_tenant => %(tenant)s, of_user => %(user)s, from_period => %(since)s,
           to_period => %(until)s) u
 GROUP BY 1, 2, 3, u.currency
 ORDER BY 1, 2, 3, u.currency;

-- usage_daily --
-- The same by day.
SELECT u.day,
       CASE WHEN %(by)s <> 'period' THEN u.tenant END AS tenant,
       CASE WHEN %(by)s = 'user' THEN u.user_name END AS user_name,
       sum(u.total_executions)::bigint AS total_executions,
       sum(u.total_duration_ms)::bigint AS total_duration_ms,
       sum(u.billed_seconds) AS billed_seconds, sum(u.compute_units) AS compute_units,
       sum(u.total_cost) AS total_cost, u.currency, soulbox.sum_breakdown(u.breakdown) AS breakdown
  FROM soulbox.v_usage_daily(
           of_tenant => %(tenant)s, of_user => %(user)s, from_day => to_date(%(since)s, 'YYYY-MM'),
           to_day => (to_date(%(until)s, 'YYYY-MM') + interval '1 month')::date) u
 GROUP BY 1, 2, 3, u.currency
 ORDER BY 1, 2, 3, u.currency;
