-- stage_billing_events --
-- Where rows of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_billing_events ON COMMIT DELETE ROWS AS
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
  WITH NO DATA;

-- copy_billing_events --
-- The rows of a batch.
COPY pg_temp.incoming_billing_events (
        event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
        execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
        compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata)
FROM STDIN (FORMAT BINARY);

-- insert_billing_events --
-- New rows of the ledger. A key that is there already is left alone.
INSERT INTO soulbox.billing_events (
        event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
        execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
        compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata,
        epoch)
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata,
       (SELECT soulbox.database_epoch())
  FROM pg_temp.incoming_billing_events
ON CONFLICT DO NOTHING;

-- billing_events_by_pod --
-- What the ledger says of these pods, in order of time.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
 WHERE pod_uid = ANY (%(pod_uids)s::uuid[])
 ORDER BY pod_uid, window_hour;

-- last_billed_hours --
-- Up to which hour these pods are billed; with the kind, the index of the key ends there.
SELECT p.pod_uid,
       (SELECT max(b.window_hour) FROM soulbox.billing_events b
         WHERE b.pod_uid = p.pod_uid AND b.kind = p.kind) AS hour
  FROM unnest(%(pod_uids)s::uuid[], %(kinds)s::text[]) AS p (pod_uid, kind);

-- billing_events_since --
-- What the ledger says of these pods, of each from an hour on.
SELECT b.event_id, b.cluster, b.tenant, b.user_name, b.kind, b.pod_uid, b.window_hour,
       b.sandbox_uid, b.execution_uid, b.starts_at, b.ends_at, b.quantity, b.rounding_seconds,
       b.unit, b.compute_units, b.amount, b.currency, b.price_plan, b.sku, b.tier, b.occurred_at,
       b.corrects, b.metadata
  FROM unnest(%(pod_uids)s::uuid[], %(hours)s::timestamptz[]) AS p (pod_uid, hour)
 CROSS JOIN LATERAL (SELECT * FROM soulbox.billing_events e
                      WHERE e.pod_uid = p.pod_uid AND e.window_hour >= p.hour) AS b;

-- billing_event --
-- One row.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
 WHERE event_id = %(event_id)s;

-- lock_adjustments --
-- Until the end of the transaction nobody else adjusts. Any login could take an advisory lock, and
-- keep it; this one only a login that may write that table, and folds of use go on beside it.
LOCK TABLE soulbox.rollup_state IN SHARE UPDATE EXCLUSIVE MODE;

-- payable --
-- What a user is still to pay for a month's rows by a plan of which the allowance took something
-- off; null where it took nothing.
SELECT (SELECT sum(b.amount + coalesce((SELECT sum(a.amount) FROM soulbox.billing_events a
                                         WHERE a.corrects = b.event_id), 0))
          FROM soulbox.billing_events b
         WHERE b.kind <> 'adjustment' AND b.tenant = v.tenant AND b.user_name = v.user_name
           AND b.price_plan = v.price_plan AND b.starts_at >= v.period_start
           AND date_trunc('month', b.starts_at, 'UTC') = v.period_start) + v.amount AS amount
  FROM soulbox.v_allowances v
 WHERE v.tenant = %(tenant)s AND v.user_name = %(user_name)s AND v.price_plan = %(price_plan)s
   AND v.period_start = date_trunc('month', %(starts_at)s::timestamptz, 'UTC');

-- adjusted --
-- What the adjustments of a row come to, and the database's clock.
SELECT now() AS now, coalesce(sum(amount), 0) AS amount
  FROM soulbox.billing_events
 WHERE corrects = %(event_id)s;
