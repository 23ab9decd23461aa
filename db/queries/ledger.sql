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

-- billing_event --
-- One row.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, rounding_seconds, unit,
       compute_units, amount, currency, price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
 WHERE event_id = %(event_id)s;

-- lock_event --
-- Until the end of the transaction nobody else adjusts this row.
SELECT pg_advisory_xact_lock(hashtextextended('soulbox.adjust/' || %(event_id)s::uuid, 0));

-- adjusted --
-- What the adjustments of a row come to, and the database's clock.
SELECT now() AS now, coalesce(sum(amount), 0) AS amount
  FROM soulbox.billing_events
 WHERE corrects = %(event_id)s;
