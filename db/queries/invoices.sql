-- usage --
-- A month's rows of a user, or of all users of a tenant, by what they are priced as.
SELECT b.tenant, CASE WHEN %(user_name)s::text IS NULL THEN b.user_name END AS user_name, b.currency, b.kind, b.sku, b.tier, b.price_plan, p.rate,
       sum(b.quantity) AS seconds, sum(b.rounding_seconds) AS rounding_seconds,
       sum(b.compute_units) AS compute_units, sum(b.amount) AS amount
  FROM soulbox.billing_events(
           of_tenant => %(tenant)s, of_user => %(user_name)s,
           from_at => %(starts_at)s, to_at => %(ends_at)s) b
  LEFT JOIN soulbox.price_plans() p ON p.name = b.price_plan
 WHERE b.kind <> 'adjustment'
 GROUP BY b.tenant, 2, b.currency, b.kind, b.sku, b.tier, b.price_plan, p.rate;

-- allowances --
-- What the free units of plans take off.
SELECT tenant, CASE WHEN %(user_name)s::text IS NULL THEN user_name END AS user_name, currency, plan_sku AS sku, plan_tier AS tier, price_plan,
       granted_units AS compute_units, amount
  FROM soulbox.v_allowances(
           of_tenant => %(tenant)s, of_user => %(user_name)s, of_period => %(starts_at)s);

-- adjustments --
-- Corrections that were decided in the month.
SELECT tenant, CASE WHEN %(user_name)s::text IS NULL THEN user_name END AS user_name, currency, sku, tier,
       price_plan, quantity AS seconds, compute_units, amount,
       event_id, corrects, metadata ->> 'reason' AS note
  FROM soulbox.billing_events(
           of_tenant => %(tenant)s, of_user => %(user_name)s,
           from_at => %(starts_at)s, to_at => %(ends_at)s)
 WHERE kind = 'adjustment';

-- is_known --
-- Whether the ledger has ever had anything of this user.
SELECT EXISTS (SELECT FROM soulbox.billing_events(
                   of_tenant => %(tenant)s, of_user => %(user_name)s)) AS is_known;

-- focus_usage --
-- The month's use, in order of time. The columns but the first two are FOCUS'.
SELECT * FROM soulbox.v_focus(
           of_tenant => %(tenant)s, from_at => %(starts_at)s, to_at => %(ends_at)s)
 WHERE charge_category = 'Usage'
 ORDER BY charge_period_start, x_event_id;

-- focus_rest --
-- The month's adjustments and allowances.
SELECT * FROM soulbox.v_focus(
           of_tenant => %(tenant)s, from_at => %(starts_at)s, to_at => %(ends_at)s)
 WHERE charge_category <> 'Usage'
 ORDER BY charge_category, tenant, user_name, x_event_id;

-- focus_columns --
-- The columns of v_focus, in order.
SELECT attname::text AS name FROM pg_attribute
 WHERE attrelid = 'soulbox.v_focus'::regclass AND attnum > 0 AND NOT attisdropped
 ORDER BY attnum;
