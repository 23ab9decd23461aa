-- What the group roles may do. Where the migrating role could not make them and nobody
-- else has, this does nothing: rights are then the administrator's to give. soulbox_reader
-- reads the rows of all tenants: make only those members who may.

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_writer;
        GRANT SELECT ON ALL TABLES IN SCHEMA soulbox TO soulbox_writer;
        GRANT INSERT, UPDATE ON soulbox.sandboxes, soulbox.executions, soulbox.programs,
            soulbox.execution_outputs, soulbox.pod_runs, soulbox.dead_letter, soulbox.mirror_state
            TO soulbox_writer;
        -- No UPDATE or DELETE on the ledger, and no price of its own making.
        GRANT INSERT ON soulbox.billing_events, soulbox.changes TO soulbox_writer;
        -- A save that was interrupted is replaced; the outbox is pruned.
        GRANT DELETE ON soulbox.execution_outputs, soulbox.changes TO soulbox_writer;
        GRANT EXECUTE ON FUNCTION soulbox.ensure_partition(text, timestamptz) TO soulbox_writer;
    END IF;
    IF to_regrole('soulbox_reader') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA soulbox TO soulbox_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA soulbox TO soulbox_reader;
    END IF;
END
$$;
