-- What is made from the ledger for whoever pays: months, the free allowance, FOCUS.

-- An adjustment is on the bill of the month it was decided in.
CREATE INDEX billing_events_adjusted_idx ON soulbox.billing_events (tenant, occurred_at)
    WHERE kind = 'adjustment';

CREATE VIEW soulbox.v_allowances WITH (security_invoker = true) AS
WITH used AS (
    SELECT b.tenant, b.user_name, date_trunc('month', b.starts_at, 'UTC') AS period_start,
           b.price_plan, sum(b.compute_units) AS compute_units
      FROM soulbox.billing_events b
     WHERE b.kind <> 'adjustment' AND b.price_plan IS NOT NULL
     GROUP BY b.tenant, b.user_name, date_trunc('month', b.starts_at, 'UTC'), b.price_plan
), placed AS (
    -- Plans of one SKU and tier that follow each other within a month share its allowance:
    -- what the earlier ones used is gone.
    SELECT u.tenant, u.user_name, u.period_start, u.price_plan, p.sku, p.tier, p.rate, p.currency,
           p.free_units, u.compute_units,
           coalesce(sum(u.compute_units) OVER (
               PARTITION BY u.tenant, u.user_name, u.period_start, p.sku, p.tier
               ORDER BY lower(p.valid)
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS used_before
      FROM used u
      JOIN soulbox.price_plans p ON p.name = u.price_plan
), granted AS (
    SELECT g.*, least(g.compute_units, greatest(g.free_units - g.used_before, 0)) AS granted_units
      FROM placed g
)
SELECT tenant, user_name, period_start, price_plan, sku AS plan_sku, tier AS plan_tier, currency,
       compute_units, granted_units, -round(granted_units * rate, 10) AS amount
  FROM granted
 WHERE granted_units > 0;
COMMENT ON VIEW soulbox.v_allowances IS
    'What the free allowance takes off the bill of a user, by month and plan; amount is negative and in no row of the ledger';

-- A plan may price several SKUs while a price of FOCUS belongs to one: its id names both. Costs
-- by list and contract are FOCUS' product of price and quantity, to the last digit; what is
-- billed is that rounded to ten decimals. A branch a category: each finds its index.
CREATE VIEW soulbox.v_focus WITH (security_invoker = true) AS
SELECT b.tenant AS tenant,
       b.user_name AS user_name,
       b.amount AS billed_cost,
       b.tenant AS billing_account_id,
       b.tenant AS billing_account_name,
       b.currency AS billing_currency,
       date_trunc('month', b.starts_at, 'UTC') AS billing_period_start,
       (date_trunc('month', b.starts_at, 'UTC') AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' AS billing_period_end,
       'Usage' AS charge_category,
       NULL::text AS charge_class,
       'Running time of ' || CASE WHEN b.sandbox_uid IS NULL THEN 'Execution' ELSE 'Sandbox' END
           || coalesce(' ' || r.owner_name, '') || ', SKU ' || b.sku || ', tier ' || b.tier AS charge_description,
       'Usage-Based' AS charge_frequency,
       b.starts_at AS charge_period_start,
       b.ends_at AS charge_period_end,
       b.quantity AS consumed_quantity,
       'Seconds' AS consumed_unit,
       b.compute_units * coalesce(p.rate, 0) AS contracted_cost,
       coalesce(p.rate, 0) AS contracted_unit_price,
       b.amount AS effective_cost,
       NULL::text AS invoice_id,
       'SoulBox' AS invoice_issuer_name,
       b.compute_units * coalesce(p.rate, 0) AS list_cost,
       coalesce(p.rate, 0) AS list_unit_price,
       'Standard' AS pricing_category,
       b.compute_units AS pricing_quantity,
       'Compute Unit-Seconds' AS pricing_unit,
       'SoulBox' AS provider_name,
       'SoulBox' AS publisher_name,
       coalesce(b.sandbox_uid, b.execution_uid)::text AS resource_id,
       r.owner_name AS resource_name,
       CASE WHEN b.sandbox_uid IS NOT NULL THEN 'Sandbox' WHEN b.execution_uid IS NOT NULL THEN 'Execution' END AS resource_type,
       'Compute' AS service_category,
       'SoulBox' AS service_name,
       'Containers' AS service_subcategory,
       b.sku AS sku_id,
       'Running time' AS sku_meter,
       NULL::jsonb AS sku_price_details,
       b.sku || '/' || coalesce(b.price_plan, 'unpriced') AS sku_price_id,
       nullif(b.user_name, '') AS sub_account_id,
       nullif(b.user_name, '') AS sub_account_name,
       jsonb_strip_nulls(jsonb_build_object(
           'soulbox.dev/cluster', b.cluster, 'soulbox.dev/namespace', r.namespace,
           'soulbox.dev/class', r.class_name, 'soulbox.dev/tier', b.tier)) AS tags,
       b.event_id AS x_event_id,
       b.corrects AS x_corrects,
       b.rounding_seconds AS x_rounding_seconds
  FROM soulbox.billing_events b
  LEFT JOIN soulbox.price_plans p ON p.name = b.price_plan
  LEFT JOIN soulbox.pod_runs r ON r.pod_uid = b.pod_uid
 WHERE b.kind <> 'adjustment'
UNION ALL
SELECT b.tenant,
       b.user_name,
       b.amount,
       b.tenant,
       b.tenant,
       b.currency,
       date_trunc('month', b.occurred_at, 'UTC'),
       (date_trunc('month', b.occurred_at, 'UTC') AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC',
       'Adjustment',
       CASE WHEN date_trunc('month', b.starts_at, 'UTC') < date_trunc('month', b.occurred_at, 'UTC') THEN 'Correction' END,
       'Adjustment: ' || (b.metadata ->> 'reason'),
       'One-Time',
       b.starts_at,
       b.ends_at,
       NULL,
       NULL,
       b.amount,
       NULL,
       b.amount,
       NULL,
       'SoulBox',
       b.amount,
       NULL,
       NULL,
       NULL,
       NULL,
       'SoulBox',
       'SoulBox',
       coalesce(b.sandbox_uid, b.execution_uid)::text,
       r.owner_name,
       CASE WHEN b.sandbox_uid IS NOT NULL THEN 'Sandbox' WHEN b.execution_uid IS NOT NULL THEN 'Execution' END,
       'Compute',
       'SoulBox',
       'Containers',
       b.sku,
       'Running time',
       NULL,
       b.sku || '/' || coalesce(b.price_plan, 'unpriced'),
       nullif(b.user_name, ''),
       nullif(b.user_name, ''),
       jsonb_strip_nulls(jsonb_build_object(
           'soulbox.dev/cluster', b.cluster, 'soulbox.dev/namespace', r.namespace,
           'soulbox.dev/class', r.class_name, 'soulbox.dev/tier', b.tier)),
       b.event_id,
       b.corrects,
       b.rounding_seconds
  FROM soulbox.billing_events b
  LEFT JOIN soulbox.billing_events c ON c.event_id = b.corrects
  LEFT JOIN soulbox.pod_runs r ON r.pod_uid = c.pod_uid
 WHERE b.kind = 'adjustment'
UNION ALL
SELECT a.tenant,
       a.user_name,
       a.amount,
       a.tenant,
       a.tenant,
       a.currency,
       a.period_start,
       (a.period_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC',
       'Credit',
       NULL,
       'Free allowance of plan ' || a.price_plan,
       'Recurring',
       a.period_start,
       (a.period_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC',
       NULL,
       NULL,
       a.amount,
       NULL,
       a.amount,
       NULL,
       'SoulBox',
       a.amount,
       NULL,
       NULL,
       NULL,
       NULL,
       'SoulBox',
       'SoulBox',
       NULL,
       NULL,
       NULL,
       'Compute',
       'SoulBox',
       'Containers',
       NULL,
       NULL,
       NULL,
       NULL,
       nullif(a.user_name, ''),
       nullif(a.user_name, ''),
       NULL,
       NULL,
       NULL,
       NULL
  FROM soulbox.v_allowances a;
COMMENT ON VIEW soulbox.v_focus IS
    'The ledger and the free allowance as a dataset of FOCUS 1.2, columns in snake_case; an adjustment is in the billing period it was decided in';
