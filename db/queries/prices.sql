-- price_plans --
-- All plans.
SELECT name, sku, tier, rate, currency, lower(valid) AS valid_from, upper(valid) AS valid_to,
       minimum_seconds, increment_seconds, free_units, description
  FROM soulbox.price_plans
 ORDER BY sku, tier, lower(valid);

-- account_tiers --
-- Who is of which tier.
SELECT tenant, user_name, tier, lower(valid) AS valid_from, upper(valid) AS valid_to
  FROM soulbox.account_tiers
 ORDER BY tenant, user_name, lower(valid);

-- lock_prices --
-- Nobody bills by plans, nor changes them, until these changes are committed.
LOCK TABLE soulbox.price_plans, soulbox.account_tiers IN ACCESS EXCLUSIVE MODE;

-- known_skus --
-- Which of these SKUs pods ran as, and the database's clock.
SELECT now() AS now,
       ARRAY(SELECT s.sku FROM unnest(%(skus)s::text[]) AS s (sku)
              WHERE EXISTS (SELECT FROM soulbox.pod_runs r WHERE r.sku = s.sku)) AS skus;

-- insert_plan --
-- A new plan.
INSERT INTO soulbox.price_plans (
        name, sku, tier, rate, currency, valid, minimum_seconds, increment_seconds, free_units,
        description)
VALUES (%(name)s, %(sku)s, %(tier)s, %(rate)s, %(currency)s,
        tstzrange(%(valid_from)s, %(valid_to)s), %(minimum_seconds)s, %(increment_seconds)s,
        %(free_units)s, %(description)s);

-- end_plan --
-- Another end, or description, of a plan that has begun.
UPDATE soulbox.price_plans
   SET valid = tstzrange(lower(valid), %(valid_to)s), description = %(description)s
 WHERE name = %(name)s;

-- delete_plan --
-- A plan that has not begun.
DELETE FROM soulbox.price_plans WHERE name = %(name)s;

-- insert_tier --
-- A new tier of an account.
INSERT INTO soulbox.account_tiers (tenant, user_name, tier, valid)
VALUES (%(tenant)s, %(user_name)s, %(tier)s, tstzrange(%(valid_from)s, %(valid_to)s));

-- end_tier --
-- Another end of a tier that has begun.
UPDATE soulbox.account_tiers
   SET valid = tstzrange(lower(valid), %(valid_to)s)
 WHERE tenant = %(tenant)s AND user_name = %(user_name)s AND lower(valid) = %(valid_from)s;

-- delete_tier --
-- A tier that has not begun.
DELETE FROM soulbox.account_tiers
 WHERE tenant = %(tenant)s AND user_name = %(user_name)s AND lower(valid) = %(valid_from)s;
