-- stage_billing_events --
-- Where rows of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_billing_events ON COMMIT DELETE ROWS AS
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
       price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
  WITH NO DATA;

-- copy_billing_events --
-- The rows of a batch.
COPY pg_temp.incoming_billing_events (
        event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
        execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
        price_plan, sku, tier, occurred_at, corrects, metadata)
FROM STDIN (FORMAT BINARY);

-- insert_billing_events --
-- New rows of the ledger. A key that is there already is left alone.
INSERT INTO soulbox.billing_events (
        event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
        execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
        price_plan, sku, tier, occurred_at, corrects, metadata)
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
       price_plan, sku, tier, occurred_at, corrects, metadata
  FROM pg_temp.incoming_billing_events
ON CONFLICT DO NOTHING;

-- billing_events_by_pod --
-- What the ledger says of these pods, in order of time.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
       price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
 WHERE pod_uid = ANY (%(pod_uids)s::uuid[])
 ORDER BY pod_uid, window_hour;
