-- snapshot --
-- One state of the database for all that is compared.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- pods --
-- Pods that ran in a time, in order of their key: whole rows.
SELECT *
  FROM soulbox.pod_runs
 WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
   AND started_at < coalesce(%(until)s, 'infinity'::timestamptz)
   AND coalesce(finished_at, 'infinity') >= coalesce(%(since)s, '-infinity'::timestamptz)
 ORDER BY pod_uid;

-- nodes --
-- The newest moment known by the clock of each node that has a running pod; of one that nothing
-- is known of, the database's, less the hours that an operator may be away without anybody's
-- looking into it.
WITH live AS (
    SELECT DISTINCT cluster, node FROM soulbox.pod_runs
     WHERE finished_at IS NULL AND deleted_at IS NULL AND node IS NOT NULL
)
SELECT l.cluster, l.node,
       coalesce(
       greatest((SELECT max(r.finished_at) FROM soulbox.pod_runs r
                  WHERE r.cluster = l.cluster AND r.node = l.node),
                (SELECT max(b.ends_at)
                   FROM soulbox.pod_runs r JOIN soulbox.billing_events b USING (pod_uid)
                  WHERE r.cluster = l.cluster AND r.node = l.node
                    AND r.finished_at IS NULL AND r.deleted_at IS NULL)),
       now() - interval '3 hours') AS seen_at
  FROM live l;

-- unproved --
-- Rows of the ledger whose pod is not in pod_runs.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events b
 WHERE kind <> 'adjustment'
   AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
   AND starts_at < coalesce(%(until)s, 'infinity'::timestamptz)
   AND starts_at >= coalesce(%(since)s, '-infinity'::timestamptz)
   AND NOT EXISTS (SELECT FROM soulbox.pod_runs r WHERE r.pod_uid = b.pod_uid)
 ORDER BY starts_at, event_id;

-- adjustments --
-- Corrections with the key of what they correct, and what all of them come to.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata,
       (SELECT sum(a.amount) FROM soulbox.billing_events a WHERE a.corrects = b.corrects) AS adjusted
  FROM soulbox.billing_events b
 WHERE kind = 'adjustment'
   AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
   AND occurred_at < coalesce(%(until)s, 'infinity'::timestamptz)
   AND occurred_at >= coalesce(%(since)s, '-infinity'::timestamptz)
 ORDER BY occurred_at, event_id;

-- adjusted --
-- What the adjustments of rows of these pods come to, by the row.
SELECT a.corrects AS event_id, sum(a.amount) AS amount
  FROM soulbox.billing_events a
  JOIN soulbox.billing_events b ON b.event_id = a.corrects
 WHERE a.corrects IS NOT NULL AND b.pod_uid = ANY (%(pod_uids)s::uuid[])
 GROUP BY a.corrects;

-- corrected --
-- Rows by key.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
 WHERE event_id = ANY (%(event_ids)s::uuid[]);

-- overlaps --
-- Pods of one sandbox that began before all earlier ones had ended.
SELECT tenant, sandbox_uid, pod_uid, started_at, ended_at
  FROM (SELECT tenant, sandbox_uid, pod_uid, started_at,
               max(finished_at) OVER (PARTITION BY sandbox_uid ORDER BY started_at, pod_uid
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_at
          FROM soulbox.pod_runs
         WHERE sandbox_uid IS NOT NULL
           AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)) AS o
 WHERE ended_at > started_at
   AND started_at < coalesce(%(until)s, 'infinity'::timestamptz)
   AND ended_at >= coalesce(%(since)s, '-infinity'::timestamptz)
 ORDER BY sandbox_uid, started_at;

-- refused --
-- Pods and bills in the dead letters. A pod whose end was written after all is proved like any
-- other. The payload as text: no operator looks into one with escapes of what text cannot hold.
WITH letters AS (
    SELECT d.*, CASE WHEN d.uid ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                     THEN d.uid::uuid END AS key
      FROM soulbox.dead_letter d
     WHERE d.kind IN ('Pod', 'BillingEvent')
       AND (%(tenant)s::text IS NULL OR d.tenant = %(tenant)s)
)
SELECT l.id, l.kind = 'BillingEvent' AS is_bill, l.uid, l.key, l.tenant, l.namespace, l.name,
       l.error, l.updated_at, b.pod_uid, b.window_hour, b.starts_at, b.ends_at,
       CASE WHEN l.kind = 'Pod' THEN l.payload::text END AS pod
  FROM letters l
  LEFT JOIN soulbox.billing_events b ON l.kind = 'BillingEvent' AND b.event_id = l.key
 WHERE l.kind <> 'Pod'
    OR NOT EXISTS (SELECT FROM soulbox.pod_runs r
                    WHERE r.pod_uid = l.key AND r.finished_at IS NOT NULL)
 ORDER BY l.id;
