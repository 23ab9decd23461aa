-- Lines of the logs that calls of Functions write: by month, kept as long as outputs are.

CREATE TABLE soulbox.execution_logs (
    uid           uuid        NOT NULL,
    created_at    timestamptz NOT NULL,
    seq           integer     NOT NULL,
    cluster       uuid        NOT NULL,
    tenant        text        NOT NULL,
    user_name     text        NOT NULL DEFAULT '',
    at            timestamptz,
    level         text        NOT NULL,
    message       text        NOT NULL,
    metadata      jsonb       NOT NULL DEFAULT '{}',
    lines_omitted bigint      NOT NULL DEFAULT 0,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT execution_logs_pkey PRIMARY KEY (uid, created_at, seq),
    CONSTRAINT execution_logs_level_known CHECK (level IN ('debug', 'info', 'warn', 'error')),
    CONSTRAINT execution_logs_figures_positive CHECK (seq >= 0 AND lines_omitted >= 0)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE soulbox.execution_logs IS
    'Lines of the log that a call of a Function wrote to standard error as JSON, at most 1,000 and 256 KiB of one; one partition a month of created_at (UTC)';
COMMENT ON COLUMN soulbox.execution_logs.uid IS 'The Execution';
COMMENT ON COLUMN soulbox.execution_logs.created_at IS 'created_at of the Execution';
COMMENT ON COLUMN soulbox.execution_logs.seq IS 'Place of the line, from 0';
COMMENT ON COLUMN soulbox.execution_logs.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.execution_logs.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.execution_logs.user_name IS 'User of the Execution';
COMMENT ON COLUMN soulbox.execution_logs.at IS 'When it was written, as the program says; null where it does not';
COMMENT ON COLUMN soulbox.execution_logs.level IS 'debug, info, warn or error, whatever the program calls it';
COMMENT ON COLUMN soulbox.execution_logs.message IS 'What it says';
COMMENT ON COLUMN soulbox.execution_logs.metadata IS 'Its other members, as far as PostgreSQL can hold them';
COMMENT ON COLUMN soulbox.execution_logs.lines_omitted IS
    'So many lines that followed were not kept; on the last one that was, else 0';
COMMENT ON COLUMN soulbox.execution_logs.recorded_at IS 'When the row was made';

DO $$
BEGIN
    ALTER TABLE soulbox.execution_logs ALTER COLUMN message SET COMPRESSION lz4;
    ALTER TABLE soulbox.execution_logs ALTER COLUMN metadata SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

CREATE OR REPLACE FUNCTION soulbox.ensure_partition(parent text, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    period   text := CASE parent WHEN 'executions' THEN 'month'
                                 WHEN 'execution_outputs' THEN 'month'
                                 WHEN 'execution_logs' THEN 'month'
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
    -- the catalog and not by to_regclass, which remembers that it was missing. Any login could
    -- take an advisory lock, and keep it; this one only who may write that table.
    LOCK TABLE soulbox.schema_migrations IN SHARE UPDATE EXCLUSIVE MODE;
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
    -- The table's policies hold for who reads the table; nobody reads the partition itself.
    EXECUTE format('ALTER TABLE soulbox.%I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE soulbox.%I ATTACH PARTITION soulbox.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, from_at, to_at);
    RETURN true;
END
$$;
COMMENT ON FUNCTION soulbox.ensure_partition(text, timestamptz) IS
    'Makes the partition (a month of executions, execution_outputs and execution_logs, a day of resource_metrics) that a moment lies in; true when it was missing';

CREATE OR REPLACE FUNCTION soulbox.drop_expired(parent text, keep interval) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- Dropping waits for readers of that partition; who asks next must not wait behind it.
    SET lock_timeout = '5s'
AS $$
DECLARE
    expired record;
BEGIN
    IF parent IS NULL OR parent NOT IN ('executions', 'execution_outputs', 'execution_logs', 'resource_metrics') THEN
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
    'Drops the partitions of executions, execution_outputs, execution_logs or resource_metrics that ended longer ago than this; returns their names';
COMMENT ON VIEW soulbox.v_partitions IS
    'Partitions of executions, execution_outputs, execution_logs and resource_metrics: which times they hold, and their size; estimated_rows is -1 before the first analyze';

DO $$
BEGIN
    -- What a save that was interrupted, or an attempt before, left is replaced.
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT INSERT, DELETE ON soulbox.execution_logs TO soulbox_writer;
    END IF;
END
$$;

CREATE FUNCTION soulbox.execution_logs(
        of_execution uuid, at_least text DEFAULT 'debug', after_seq integer DEFAULT -1,
        max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.execution_logs
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    levels CONSTANT text[] := '{debug,info,warn,error}';
    lowest CONSTANT integer := array_position(levels, at_least);
BEGIN
    IF lowest IS NULL THEN
        RAISE EXCEPTION '"%" is no level of a log', at_least
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write debug, info, warn or error.';
    END IF;
    RETURN QUERY
    SELECT l.*
      FROM soulbox.executions(of_uid => of_execution) e
      JOIN soulbox.execution_logs l ON l.uid = e.uid AND l.created_at = e.created_at
     WHERE of_execution IS NOT NULL AND l.seq > after_seq AND l.level = ANY (levels[lowest:])
     ORDER BY l.seq
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.execution_logs(uuid, text, integer, bigint) IS
    'Lines of the log of one Execution that this login sees, in order: of a level (debug, info, warn, error) and above, after a place';
REVOKE ALL ON FUNCTION soulbox.execution_logs(uuid, text, integer, bigint) FROM PUBLIC;
