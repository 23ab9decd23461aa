-- price_plans --
-- All plans.
SELECT name, sku, tier, rate, currency, lower(valid) AS valid_from, upper(valid) AS valid_to
  FROM soulbox.price_plans
 ORDER BY sku, tier, lower(valid);
