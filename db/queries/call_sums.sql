-- begin --
-- From here on whoever truncates the sums takes this away.
UPDATE soulbox.rollup_state SET calls_rebuild_id = gen_random_uuid() RETURNING calls_rebuild_id;

-- days --
-- The days that executions has partitions of, the first with all before it, the last with all
-- after it: of those there may be sums that are none of any row.
SELECT CASE WHEN lag(d.day) OVER days IS NULL THEN '-infinity' ELSE to_char(d.day, 'YYYY-MM-DD') END AS from_day,
       CASE WHEN lead(d.day) OVER days IS NULL THEN 'infinity'
            ELSE to_char(lead(d.day) OVER days, 'YYYY-MM-DD') END AS until_day
  FROM soulbox.v_partitions p
 CROSS JOIN LATERAL generate_series(p.starts_at AT TIME ZONE 'UTC',
                                    p.ends_at AT TIME ZONE 'UTC' - interval '1 day', interval '1 day') AS d (day)
 WHERE p.parent = 'executions'
WINDOW days AS (ORDER BY d.day)
 ORDER BY d.day;

-- hold_calls --
-- First, as all do that write both: a partition may be dropped meanwhile.
LOCK TABLE soulbox.executions IN ACCESS SHARE MODE;

-- hold --
-- Statements that write executions wait until this transaction ends: none of them may be in the
-- sums and not in what is summed.
LOCK TABLE soulbox.call_sums IN SHARE ROW EXCLUSIVE MODE;

-- clear --
-- Sums of a day.
DELETE FROM soulbox.call_sums s
 WHERE s.day >= %(from_day)s::date AND s.day < %(until_day)s::date;

-- fill --
-- The same from executions.
INSERT INTO soulbox.call_sums (
        cluster, tenant, function_uid, function_version, day, runs, success, errors, timed,
        duration_ms, cost_usd, durations, last_run_at)
SELECT c.cluster, c.tenant, c.function_uid, c.function_version, c.day, sum(c.runs), sum(c.success),
       sum(c.errors), sum(c.timed), sum(c.duration_ms), sum(c.cost_usd), sum(c.durations),
       max(c.created_at)
  FROM soulbox.v_calls c
 WHERE c.created_at >= %(from_day)s::date::timestamp AT TIME ZONE 'UTC'
   AND c.created_at < %(until_day)s::date::timestamp AT TIME ZONE 'UTC'
 GROUP BY c.cluster, c.tenant, c.function_uid, c.function_version, c.day
 ORDER BY c.tenant, c.function_uid;

-- end --
-- The sums hold, unless they were truncated meanwhile.
UPDATE soulbox.rollup_state
   SET calls_summed_at = now(), calls_rebuild_id = NULL
 WHERE calls_rebuild_id = %(rebuild_id)s;
