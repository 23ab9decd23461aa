-- Terms of a price plan (minimum, increment, free allowance), who is of which tier, and guards
-- that no price changes under time that was billed. Widens only: the operator of the release
-- before writes rows without rounding, which is what they were.

ALTER TABLE soulbox.price_plans
    ADD COLUMN minimum_seconds   bigint         NOT NULL DEFAULT 0,
    ADD COLUMN increment_seconds bigint         NOT NULL DEFAULT 0,
    ADD COLUMN free_units        numeric(30,10) NOT NULL DEFAULT 0,
    ADD CONSTRAINT price_plans_terms_positive CHECK (
        minimum_seconds >= 0 AND increment_seconds >= 0 AND free_units >= 0);
COMMENT ON COLUMN soulbox.price_plans.minimum_seconds IS
    'A pod is billed for at least so long; 0: for as long as it ran';
COMMENT ON COLUMN soulbox.price_plans.increment_seconds IS
    'The time billed of a pod is rounded up to a multiple of this; 0: not at all';
COMMENT ON COLUMN soulbox.price_plans.free_units IS
    'Compute units a month that a user of a tenant is not asked to pay; invoices subtract them, the ledger does not';

ALTER TABLE soulbox.billing_events
    ADD COLUMN rounding_seconds numeric(20,6) NOT NULL DEFAULT 0,
    ADD CONSTRAINT billing_events_rounding_known CHECK (
        rounding_seconds >= 0
        AND (rounding_seconds = 0 OR (kind <> 'adjustment' AND price_plan IS NOT NULL)));
COMMENT ON COLUMN soulbox.billing_events.rounding_seconds IS
    'Seconds billed beyond quantity: what the minimum and the increment of price_plan add to the pod''s whole time; on its last row, else 0';
COMMENT ON COLUMN soulbox.billing_events.compute_units IS
    '(quantity + rounding_seconds) x max(vCPU, GiB / 2), rounded half up to 10 decimals';

-- A month of all tenants, for which no other index helps: some KB, since rows come by time.
CREATE INDEX billing_events_time_idx ON soulbox.billing_events USING brin (starts_at);

CREATE TABLE soulbox.account_tiers (
    tenant     text        NOT NULL,
    user_name  text        NOT NULL DEFAULT '',
    tier       text        NOT NULL,
    valid      tstzrange   NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_tiers_pkey PRIMARY KEY (tenant, user_name, valid),
    CONSTRAINT account_tiers_named CHECK (tenant <> '' AND tier <> ''),
    CONSTRAINT account_tiers_valid_from_given CHECK (
        NOT isempty(valid) AND NOT lower_inf(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    -- By a hash as in price_plans.
    CONSTRAINT account_tiers_no_overlap EXCLUDE USING gist (
        int8range(hashtextextended(tenant || chr(31) || user_name, 0),
                  hashtextextended(tenant || chr(31) || user_name, 0), '[]') WITH &&,
        valid WITH &&)
);
COMMENT ON TABLE soulbox.account_tiers IS
    'Who is of which tier, over ranges of time that never overlap; whoever is not in it is of tier "free"';
COMMENT ON COLUMN soulbox.account_tiers.tenant IS 'The tenant';
COMMENT ON COLUMN soulbox.account_tiers.user_name IS
    'The user of it; empty: all of its users that have no row of their own then';
COMMENT ON COLUMN soulbox.account_tiers.tier IS 'The tier: price_plans.tier';
COMMENT ON COLUMN soulbox.account_tiers.valid IS 'When it applies: [from, to), to may be open';
COMMENT ON COLUMN soulbox.account_tiers.created_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.account_tiers.updated_at IS 'When the row last changed; kept by trigger';

CREATE OR REPLACE FUNCTION soulbox.guard_price_plan() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND lower(OLD.valid) <= now() THEN
        -- A plan that has begun may only end, and only later than now: nothing that was or
        -- could have been billed by it changes. Else no price could ever be replaced.
        IF TG_OP = 'UPDATE'
           AND (NEW.name, NEW.sku, NEW.tier, NEW.rate, NEW.currency, NEW.minimum_seconds,
                NEW.increment_seconds, NEW.free_units, lower(NEW.valid))
               IS NOT DISTINCT FROM
               (OLD.name, OLD.sku, OLD.tier, OLD.rate, OLD.currency, OLD.minimum_seconds,
                OLD.increment_seconds, OLD.free_units, lower(OLD.valid))
           AND (NEW.valid = OLD.valid
                OR (coalesce(upper(OLD.valid), 'infinity') > now()
                    AND coalesce(upper(NEW.valid), 'infinity') > now()))
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'price plan "%" has begun and cannot be changed', OLD.name
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'price_plans_immutable',
                  HINT = 'End it at a later time and insert a new plan that begins there.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF lower(NEW.valid) <= clock_timestamp() THEN
        -- Who bills reads the plans first and keeps that lock until his rows are committed:
        -- after this nobody is under way with the plans as they were.
        LOCK TABLE soulbox.price_plans IN ACCESS EXCLUSIVE MODE;
    END IF;
    IF EXISTS (SELECT FROM soulbox.billing_events b
                WHERE b.kind <> 'adjustment' AND b.starts_at <@ NEW.valid
                  AND b.starts_at >= lower(NEW.valid)
                  AND NEW.sku IN (b.sku, 'default') AND NEW.tier IN (b.tier, 'free')) THEN
        RAISE EXCEPTION 'price plan "%" would apply to time that is billed already', NEW.name
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'price_plans_unbilled', HINT = 'Let it begin later.';
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER price_plans_guard ON soulbox.price_plans;
CREATE TRIGGER price_plans_guard BEFORE INSERT OR UPDATE OR DELETE ON soulbox.price_plans
    FOR EACH ROW EXECUTE FUNCTION soulbox.guard_price_plan();

CREATE FUNCTION soulbox.guard_account_tier() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND lower(OLD.valid) <= now() THEN
        IF TG_OP = 'UPDATE'
           AND (NEW.tenant, NEW.user_name, NEW.tier, lower(NEW.valid))
               IS NOT DISTINCT FROM (OLD.tenant, OLD.user_name, OLD.tier, lower(OLD.valid))
           AND (NEW.valid = OLD.valid
                OR (coalesce(upper(OLD.valid), 'infinity') > now()
                    AND coalesce(upper(NEW.valid), 'infinity') > now()))
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'the tier of a tenant has begun and cannot be changed'
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'account_tiers_immutable',
                  HINT = 'End it at a later time and insert a new one that begins there.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF lower(NEW.valid) <= clock_timestamp() THEN
        LOCK TABLE soulbox.account_tiers IN ACCESS EXCLUSIVE MODE;
    END IF;
    IF EXISTS (SELECT FROM soulbox.billing_events b
                WHERE b.kind <> 'adjustment' AND b.tenant = NEW.tenant
                  AND b.starts_at <@ NEW.valid AND b.starts_at >= lower(NEW.valid)
                  AND NEW.user_name IN (b.user_name, '')) THEN
        RAISE EXCEPTION 'the tier of a tenant would apply to time that is billed already'
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'account_tiers_unbilled', HINT = 'Let it begin later.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.guard_account_tier() IS
    'Keeps a tier that has begun, and that time was billed by, as it is';
CREATE TRIGGER account_tiers_guard BEFORE INSERT OR UPDATE OR DELETE ON soulbox.account_tiers
    FOR EACH ROW EXECUTE FUNCTION soulbox.guard_account_tier();
CREATE TRIGGER account_tiers_no_truncate BEFORE TRUNCATE ON soulbox.account_tiers
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.refuse_change();
CREATE TRIGGER account_tiers_touch BEFORE UPDATE ON soulbox.account_tiers
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();
