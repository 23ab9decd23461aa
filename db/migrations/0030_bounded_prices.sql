-- Prices that cannot be counted with are refused. PostgreSQL takes NaN for a number of zero or
-- more and infinity for a time; a program that reads either cannot go on, and every bill needs
-- all plans. Samples announce themselves without a NOTIFY: where its queue is full (8 GB of the
-- whole server, which any login can fill) a transaction that sent one cannot be committed.

ALTER TABLE soulbox.price_plans DISABLE TRIGGER price_plans_guard;
ALTER TABLE soulbox.account_tiers DISABLE TRIGGER account_tiers_guard;
-- What is refused from here on was never read, so nothing was ever billed by it. A range that
-- was meant gets the ends it was meant with; what says no price at all, or never begins, goes.
DELETE FROM soulbox.price_plans
 WHERE rate = 'NaN' OR free_units = 'NaN'
    OR lower(valid) >= '10000-01-01 00:00:00+00' OR upper(valid) <= '0001-01-01 00:00:00+00';
DELETE FROM soulbox.account_tiers
 WHERE lower(valid) >= '10000-01-01 00:00:00+00' OR upper(valid) <= '0001-01-01 00:00:00+00';
UPDATE soulbox.price_plans
   SET valid = tstzrange(greatest(lower(valid), '0001-01-01 00:00:00+00'),
                         CASE WHEN upper(valid) < '10000-01-01 00:00:00+00' THEN upper(valid) END)
 WHERE lower(valid) < '0001-01-01 00:00:00+00' OR upper(valid) >= '10000-01-01 00:00:00+00';
UPDATE soulbox.account_tiers
   SET valid = tstzrange(greatest(lower(valid), '0001-01-01 00:00:00+00'),
                         CASE WHEN upper(valid) < '10000-01-01 00:00:00+00' THEN upper(valid) END)
 WHERE lower(valid) < '0001-01-01 00:00:00+00' OR upper(valid) >= '10000-01-01 00:00:00+00';
ALTER TABLE soulbox.price_plans ENABLE TRIGGER price_plans_guard;
ALTER TABLE soulbox.account_tiers ENABLE TRIGGER account_tiers_guard;

ALTER TABLE soulbox.price_plans
    ADD CONSTRAINT price_plans_valid_bounded CHECK (
        lower(valid) >= '0001-01-01 00:00:00+00' AND lower(valid) < '10000-01-01 00:00:00+00'
        AND (upper_inf(valid) OR upper(valid) < '10000-01-01 00:00:00+00')),
    -- NaN is greater than every number. A row's amount has ten digits before the point: a pod of
    -- 10,000 vCPU fits.
    ADD CONSTRAINT price_plans_numbers_bounded CHECK (
        rate < 'NaN' AND free_units < 'NaN'
        AND minimum_seconds <= 31622400 AND increment_seconds <= 31622400
        AND rate * (3600 + minimum_seconds + increment_seconds) <= 1000000);
ALTER TABLE soulbox.account_tiers
    ADD CONSTRAINT account_tiers_valid_bounded CHECK (
        lower(valid) >= '0001-01-01 00:00:00+00' AND lower(valid) < '10000-01-01 00:00:00+00'
        AND (upper_inf(valid) OR upper(valid) < '10000-01-01 00:00:00+00'));
-- Not looked for in what is there: that would read the whole ledger under a lock.
ALTER TABLE soulbox.billing_events
    ADD CONSTRAINT billing_events_numbers_bounded CHECK (
        quantity < 'NaN' AND rounding_seconds < 'NaN' AND compute_units < 'NaN' AND amount < 'NaN') NOT VALID,
    ADD CONSTRAINT billing_events_times_bounded CHECK (
        window_hour >= '0001-01-01 00:00:00+00' AND window_hour < '9999-12-31 00:00:00+00'
        AND occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < '10000-01-01 00:00:00+00') NOT VALID;

CREATE OR REPLACE FUNCTION soulbox.announce_metrics() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO soulbox.changes (epoch, cluster, tenant, user_name, kind, uid, sandbox_uid, op, payload)
    SELECT coalesce((SELECT max(s.database_epoch) FROM soulbox.mirror_state s), 1),
           n.cluster, n.tenant, n.user_name, 'metric', n.sandbox_uid, n.sandbox_uid, 'insert',
           jsonb_build_object('recorded_at', n.recorded_at, 'execution_uid', n.execution_uid,
                              'cpu_cores', n.cpu_cores, 'memory_bytes', n.memory_bytes)
      FROM new_rows n
     ORDER BY n.recorded_at, n.sandbox_uid;
    RETURN NULL;
END
$$;
