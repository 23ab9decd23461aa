-- stage_sandboxes --
-- Where rows of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_sandboxes ON COMMIT DELETE ROWS AS
SELECT uid, cluster, tenant, user_name, namespace, name, class_name, language, state, reason,
       message, resource_limits, network, incarnation, pod_uid, pod_name, node, image_id,
       runtime_class, created_at, started_at, expires_at, terminated_at, last_activity_at,
       runtime_seconds, labels, spec, resource_version, cleaned, deleted_at
  FROM soulbox.sandboxes
  WITH NO DATA;

-- copy_sandboxes --
-- The rows of a batch.
COPY pg_temp.incoming_sandboxes (
        uid, cluster, tenant, user_name, namespace, name, class_name, language, state, reason,
        message, resource_limits, network, incarnation, pod_uid, pod_name, node, image_id,
        runtime_class, created_at, started_at, expires_at, terminated_at, last_activity_at,
        runtime_seconds, labels, spec, resource_version, cleaned, deleted_at)
FROM STDIN (FORMAT BINARY);

-- upsert_sandboxes --
-- The newest version of each Sandbox, and its change. An older version never overwrites a
-- newer one; the same version again is a no-op, unless it brings the news that it is gone.
-- What a row says of its tenant and user stays as first written.
WITH written AS (
    INSERT INTO soulbox.sandboxes AS t (
            uid, cluster, tenant, user_name, namespace, name, class_name, language, state,
            reason, message, resource_limits, network, incarnation, pod_uid, pod_name, node,
            image_id, runtime_class, created_at, started_at, expires_at, terminated_at,
            last_activity_at, runtime_seconds, labels, spec, resource_version, cleaned,
            deleted_at, mirror_epoch)
    SELECT i.uid, i.cluster, i.tenant, i.user_name, i.namespace, i.name, i.class_name,
           i.language, i.state, i.reason, i.message, i.resource_limits, i.network,
           i.incarnation, i.pod_uid, i.pod_name, i.node, i.image_id, i.runtime_class,
           i.created_at, i.started_at, i.expires_at, i.terminated_at, i.last_activity_at,
           i.runtime_seconds, i.labels, i.spec, i.resource_version, i.cleaned, i.deleted_at,
           %(mirror_epoch)s
      FROM pg_temp.incoming_sandboxes i
    ON CONFLICT (uid) DO UPDATE SET
            class_name = excluded.class_name, language = excluded.language,
            state = excluded.state, reason = excluded.reason, message = excluded.message,
            resource_limits = excluded.resource_limits, network = excluded.network,
            incarnation = excluded.incarnation, pod_uid = excluded.pod_uid,
            pod_name = excluded.pod_name, node = excluded.node, image_id = excluded.image_id,
            runtime_class = excluded.runtime_class, started_at = excluded.started_at,
            expires_at = excluded.expires_at, terminated_at = excluded.terminated_at,
            last_activity_at = excluded.last_activity_at,
            runtime_seconds = excluded.runtime_seconds, labels = excluded.labels,
            spec = excluded.spec, resource_version = excluded.resource_version,
            cleaned = excluded.cleaned, deleted_at = excluded.deleted_at,
            mirror_epoch = excluded.mirror_epoch
    WHERE (t.mirror_epoch, t.resource_version)
        < (excluded.mirror_epoch, excluded.resource_version)
       OR ((t.mirror_epoch, t.resource_version)
           = (excluded.mirror_epoch, excluded.resource_version)
           AND t.deleted_at IS NULL AND excluded.deleted_at IS NOT NULL)
    RETURNING t.uid, t.cluster, t.tenant, t.user_name, t.namespace, t.name, t.state, t.reason,
              t.resource_version, t.deleted_at, t.recorded_at, t.updated_at
)
INSERT INTO soulbox.changes (epoch, cluster, tenant, user_name, kind, uid, sandbox_uid, op, payload)
SELECT %(database_epoch)s, cluster, tenant, user_name, 'sandbox', uid, uid,
       CASE WHEN deleted_at IS NOT NULL THEN 'delete'
            WHEN recorded_at = updated_at THEN 'insert' ELSE 'update' END,
       jsonb_build_object('namespace', namespace, 'name', name, 'state', state,
                          'reason', reason, 'resource_version', resource_version)
  FROM written;

-- sandbox_by_uid --
-- One Sandbox.
SELECT uid, cluster, tenant, user_name, namespace, name, class_name, language, state, reason,
       message, resource_limits, network, incarnation, pod_uid, pod_name, node, image_id,
       runtime_class, created_at, started_at, expires_at, terminated_at, last_activity_at,
       runtime_seconds, labels, spec, resource_version, cleaned, deleted_at
  FROM soulbox.sandboxes
 WHERE uid = %(uid)s;

-- sandbox_versions --
-- Which version of each of these is written.
SELECT uid, mirror_epoch, resource_version, deleted_at IS NOT NULL AS is_deleted,
       updated_at < %(before)s AS is_settled
  FROM soulbox.sandboxes
 WHERE uid = ANY (%(uids)s::uuid[]);

-- mark_gone_sandboxes --
-- Sandboxes that a complete list taken after `before` no longer has, and their change.
-- They have ended, nobody knows when.
WITH written AS (
    UPDATE soulbox.sandboxes t
       SET deleted_at = %(gone_at)s, state = 'terminated'
     WHERE t.cluster = %(cluster)s
       AND (%(namespaces)s::text[] IS NULL OR t.namespace = ANY (%(namespaces)s))
       AND t.deleted_at IS NULL
       AND t.updated_at < %(before)s
       AND NOT EXISTS (SELECT FROM unnest(%(seen)s::uuid[]) AS s (uid) WHERE s.uid = t.uid)
    RETURNING t.uid, t.cluster, t.tenant, t.user_name, t.namespace, t.name, t.state, t.reason,
              t.resource_version
)
INSERT INTO soulbox.changes (epoch, cluster, tenant, user_name, kind, uid, sandbox_uid, op, payload)
SELECT %(database_epoch)s, cluster, tenant, user_name, 'sandbox', uid, uid, 'delete',
       jsonb_build_object('namespace', namespace, 'name', name, 'state', state,
                          'reason', reason, 'resource_version', resource_version)
  FROM written;
