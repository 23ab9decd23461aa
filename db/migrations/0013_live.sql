-- The feed of changes is read by its watermark, and holds samples of resource_metrics too.

CREATE INDEX changes_watermark_idx ON soulbox.changes (xid8, seq);
ALTER TABLE soulbox.changes DROP CONSTRAINT changes_kind_known;
ALTER TABLE soulbox.changes ADD CONSTRAINT changes_kind_known
    CHECK (kind IN ('sandbox', 'execution', 'metric'));
COMMENT ON COLUMN soulbox.changes.kind IS 'sandbox, execution or metric';
COMMENT ON COLUMN soulbox.changes.uid IS 'The object; of a metric its sandbox';
COMMENT ON COLUMN soulbox.changes.payload IS
    'namespace, name, state, reason, resource_version; of a metric recorded_at, execution_uid, cpu_cores, memory_bytes';

CREATE FUNCTION soulbox.announce_metrics() RETURNS trigger
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
    PERFORM pg_notify('soulbox_changes', 'metric');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION soulbox.announce_metrics() IS 'Puts samples into the feed of changes as they commit';
REVOKE ALL ON FUNCTION soulbox.announce_metrics() FROM PUBLIC;
CREATE TRIGGER resource_metrics_announce AFTER INSERT ON soulbox.resource_metrics
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION soulbox.announce_metrics();
