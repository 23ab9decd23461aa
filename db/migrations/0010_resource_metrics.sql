-- Resource figures over time, by daily partitions; partitions told by a view; retention by
-- dropping whole partitions; better compression where the server has it. Only adds: the
-- operator before it works on.

CREATE TABLE soulbox.resource_metrics (
    sandbox_uid        uuid        NOT NULL,
    recorded_at        timestamptz NOT NULL,
    cluster            uuid        NOT NULL,
    tenant             text        NOT NULL,
    user_name          text        NOT NULL DEFAULT '',
    pod_uid            uuid,
    execution_uid      uuid,
    cpu_seconds_total  numeric(20,6),
    cpu_cores          numeric(12,6),
    memory_bytes       bigint,
    memory_peak_bytes  bigint,
    memory_limit_bytes bigint,
    disk_used_bytes    bigint,
    disk_read_bytes    bigint,
    disk_write_bytes   bigint,
    network_rx_bytes   bigint,
    network_tx_bytes   bigint,
    network_rx_packets bigint,
    network_tx_packets bigint,
    processes          bigint,
    custom             jsonb,
    CONSTRAINT resource_metrics_pkey PRIMARY KEY (sandbox_uid, recorded_at),
    CONSTRAINT resource_metrics_figures_positive CHECK (
        cpu_seconds_total >= 0 AND cpu_cores >= 0 AND memory_bytes >= 0
        AND memory_peak_bytes >= 0 AND memory_limit_bytes >= 0 AND processes >= 0)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX resource_metrics_time_idx ON soulbox.resource_metrics USING brin (recorded_at);
COMMENT ON TABLE soulbox.resource_metrics IS
    'What each running sandbox used, sample by sample; one partition a day of recorded_at (UTC); a gap is a gap';
COMMENT ON COLUMN soulbox.resource_metrics.sandbox_uid IS
    'The Sandbox; of a one-shot the UID of its Execution, as in runs';
COMMENT ON COLUMN soulbox.resource_metrics.recorded_at IS 'When the sample was taken';
COMMENT ON COLUMN soulbox.resource_metrics.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.resource_metrics.tenant IS 'Tenant of the sandbox';
COMMENT ON COLUMN soulbox.resource_metrics.user_name IS 'User of the sandbox; empty when nobody is named';
COMMENT ON COLUMN soulbox.resource_metrics.pod_uid IS 'The pod whose figures these are; totals begin anew with each';
COMMENT ON COLUMN soulbox.resource_metrics.execution_uid IS
    'The Execution that alone ran then; null when none or several did';
COMMENT ON COLUMN soulbox.resource_metrics.cpu_seconds_total IS 'CPU seconds used since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.cpu_cores IS 'CPU used since the sample before, in cores; null in the first';
COMMENT ON COLUMN soulbox.resource_metrics.memory_bytes IS 'Memory in use';
COMMENT ON COLUMN soulbox.resource_metrics.memory_peak_bytes IS 'Most memory in use since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.memory_limit_bytes IS 'Memory limit then in force';
COMMENT ON COLUMN soulbox.resource_metrics.disk_used_bytes IS 'Bytes its workspace holds';
COMMENT ON COLUMN soulbox.resource_metrics.disk_read_bytes IS 'Bytes read from block devices since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.disk_write_bytes IS 'Bytes written to block devices since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_rx_bytes IS 'Bytes received since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_tx_bytes IS 'Bytes sent since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_rx_packets IS 'Packets received since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.network_tx_packets IS 'Packets sent since the pod began';
COMMENT ON COLUMN soulbox.resource_metrics.processes IS 'Processes alive';
COMMENT ON COLUMN soulbox.resource_metrics.custom IS 'Other figures by name; null when there are none';

CREATE VIEW soulbox.v_partitions WITH (security_invoker = true) AS
SELECT p.relname::text AS parent,
       c.relname::text AS name,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $r$FROM \('([^']+)'\)$r$)::timestamptz AS starts_at,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $r$ TO \('([^']+)'\)$r$)::timestamptz AS ends_at,
       c.reltuples::bigint AS estimated_rows,
       pg_total_relation_size(c.oid) AS size_bytes
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_class p ON p.oid = i.inhparent
 WHERE p.relnamespace = 'soulbox'::regnamespace
   AND p.relkind = 'p'
   AND c.relkind = 'r';
COMMENT ON VIEW soulbox.v_partitions IS
    'Partitions of executions, execution_outputs and resource_metrics: which times they hold, and their size; estimated_rows is -1 before the first analyze';

CREATE OR REPLACE FUNCTION soulbox.ensure_partition(parent text, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    period   text := CASE parent WHEN 'executions' THEN 'month'
                                 WHEN 'execution_outputs' THEN 'month'
                                 WHEN 'resource_metrics' THEN 'day' END;
    first_at timestamp   := date_trunc(period, moment AT TIME ZONE 'UTC');
    from_at  timestamptz := first_at AT TIME ZONE 'UTC';
    to_at    timestamptz := (first_at + ('1 ' || period)::interval) AT TIME ZONE 'UTC';
    child    text := parent || to_char(first_at, CASE period WHEN 'day' THEN '"_y"YYYY"m"MM"d"DD'
                                                             ELSE '"_y"YYYY"m"MM' END);
BEGIN
    IF period IS NULL THEN
        RAISE EXCEPTION 'soulbox.% has no partitions', parent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF moment IS NULL OR moment < '2000-01-01 00:00:00+00' OR moment >= '2200-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'no partition is made for %: not a time between the years 2000 and 2200', moment
            USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- Two writers may need the same partition at once; the second finds it made. Looked up in
    -- the catalog and not by to_regclass, which remembers that it was missing.
    PERFORM pg_advisory_xact_lock(hashtext('soulbox.ensure_partition'));
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
                WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relname = child) THEN
        RETURN false;
    END IF;
    -- ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF: readers and
    -- writers of other partitions go on. It adds the indexes and triggers of the parent.
    -- fillfactor: a row of executions is updated once or twice soon after it is made, the
    -- others' never.
    EXECUTE format('CREATE TABLE soulbox.%I (LIKE soulbox.%I INCLUDING DEFAULTS '
                   'INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION '
                   'INCLUDING COMMENTS) WITH (fillfactor = %s)',
                   child, parent, CASE period WHEN 'day' THEN 100 ELSE 85 END);
    EXECUTE format('ALTER TABLE soulbox.%I ATTACH PARTITION soulbox.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, from_at, to_at);
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.ensure_partition(text, timestamptz) IS
    'Makes the partition (a month of executions and execution_outputs, a day of resource_metrics) that a moment lies in; true when it was missing';

CREATE FUNCTION soulbox.drop_expired(parent text, keep interval) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- Dropping waits for readers of that partition; who asks next must not wait behind it.
    SET lock_timeout = '5s'
AS $$
DECLARE
    expired record;
BEGIN
    IF parent IS NULL OR parent NOT IN ('executions', 'execution_outputs', 'resource_metrics') THEN
        RAISE EXCEPTION 'soulbox.% is never dropped', parent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The caller may be a stolen login of the operator: what is recent stays whatever it asks.
    IF keep IS NULL OR keep < interval '1 day' THEN
        RAISE EXCEPTION 'at least one day is kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR expired IN
        SELECT p.name FROM soulbox.v_partitions p
         WHERE p.parent = drop_expired.parent AND p.ends_at <= now() - keep
         ORDER BY p.ends_at
    LOOP
        EXECUTE format('DROP TABLE soulbox.%I', expired.name);
        RETURN NEXT expired.name;
    END LOOP;
END
$$;
COMMENT ON FUNCTION soulbox.drop_expired(text, interval) IS
    'Drops the partitions of executions, execution_outputs or resource_metrics that ended longer ago than this; returns their names';
REVOKE ALL ON FUNCTION soulbox.drop_expired(text, interval) FROM PUBLIC;

-- lz4 takes a fifth of the time of pglz; a server built without it says so and keeps pglz.
DO $$
DECLARE
    wide record;
BEGIN
    FOR wide IN
        SELECT c.oid::regclass AS relation, a.attname
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
         WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relkind IN ('r', 'p')
           AND (regexp_replace(c.relname, '_y\d{4}m\d\d$', ''), a.attname) IN (
               ('executions', 'stdout'), ('executions', 'stderr'), ('execution_outputs', 'bytes'),
               ('programs', 'code'), ('resource_metrics', 'custom'))
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION lz4', wide.relation, wide.attname);
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT SELECT, INSERT ON soulbox.resource_metrics TO soulbox_writer;
        GRANT SELECT ON soulbox.v_partitions TO soulbox_writer;
        GRANT EXECUTE ON FUNCTION soulbox.drop_expired(text, interval) TO soulbox_writer;
    END IF;
    IF to_regrole('soulbox_reader') IS NOT NULL THEN
        GRANT SELECT ON soulbox.resource_metrics, soulbox.v_partitions TO soulbox_reader;
    END IF;
END
$$;
