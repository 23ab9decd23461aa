-- insert_billing_events --
-- New rows of the ledger. A key that is there already is left alone.
INSERT INTO soulbox.billing_events (
        event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
        execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
        price_plan, sku, tier, occurred_at, corrects, metadata)
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
       price_plan, sku, tier, occurred_at, corrects, metadata
  FROM unnest(
          %(event_id)s::uuid[], %(cluster)s::uuid[], %(tenant)s::text[], %(user_name)s::text[],
          %(kind)s::text[], %(pod_uid)s::uuid[], %(window_hour)s::timestamptz[],
          %(sandbox_uid)s::uuid[], %(execution_uid)s::uuid[], %(starts_at)s::timestamptz[],
          %(ends_at)s::timestamptz[], %(quantity)s::numeric[], %(unit)s::text[],
          %(compute_units)s::numeric[], %(amount)s::numeric[], %(currency)s::text[],
          %(price_plan)s::text[], %(sku)s::text[], %(tier)s::text[],
          %(occurred_at)s::timestamptz[], %(corrects)s::uuid[], %(metadata)s::jsonb[]
       ) AS r (
          event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
          execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
          price_plan, sku, tier, occurred_at, corrects, metadata)
ON CONFLICT DO NOTHING;

-- billing_events_by_pod --
-- What the ledger says of these pods, in order of time.
SELECT event_id, cluster, tenant, user_name, kind, pod_uid, window_hour, sandbox_uid,
       execution_uid, starts_at, ends_at, quantity, unit, compute_units, amount, currency,
       price_plan, sku, tier, occurred_at, corrects, metadata
  FROM soulbox.billing_events
 WHERE pod_uid = ANY (%(pod_uids)s::uuid[])
 ORDER BY pod_uid, window_hour;
