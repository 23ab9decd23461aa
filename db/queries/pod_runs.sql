-- stage_pod_runs --
-- Where rows of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_pod_runs ON COMMIT DELETE ROWS AS
SELECT pod_uid, cluster, tenant, user_name, namespace, pod_name, owner_name, class_name,
       sandbox_uid, execution_uid, incarnation, node, cpu_millicores, memory_bytes, sku,
       started_at, finished_at, end_source, exit_reason, resource_version, deleted_at
  FROM soulbox.pod_runs
  WITH NO DATA;

-- copy_pod_runs --
-- The rows of a batch.
COPY pg_temp.incoming_pod_runs (
        pod_uid, cluster, tenant, user_name, namespace, pod_name, owner_name, class_name,
        sandbox_uid, execution_uid, incarnation, node, cpu_millicores, memory_bytes, sku,
        started_at, finished_at, end_source, exit_reason, resource_version, deleted_at)
FROM STDIN (FORMAT BINARY);

-- upsert_pod_runs --
-- The running time of pods. A start, once written, stays, and so does an end: bills are
-- made from them. In between the newest version wins.
INSERT INTO soulbox.pod_runs AS t (
        pod_uid, cluster, tenant, user_name, namespace, pod_name, owner_name, class_name,
        sandbox_uid, execution_uid, incarnation, node, cpu_millicores, memory_bytes, sku,
        started_at, finished_at, end_source, exit_reason, resource_version, deleted_at,
        mirror_epoch)
SELECT r.pod_uid, r.cluster, r.tenant, r.user_name, r.namespace, r.pod_name, r.owner_name,
       r.class_name, r.sandbox_uid, r.execution_uid, r.incarnation, r.node, r.cpu_millicores,
       r.memory_bytes, r.sku, r.started_at, r.finished_at, r.end_source, r.exit_reason,
       r.resource_version, r.deleted_at, %(mirror_epoch)s
  FROM pg_temp.incoming_pod_runs r
ON CONFLICT (pod_uid) DO UPDATE SET
        node = coalesce(excluded.node, t.node), finished_at = excluded.finished_at,
        end_source = excluded.end_source, exit_reason = excluded.exit_reason,
        resource_version = excluded.resource_version, mirror_epoch = excluded.mirror_epoch,
        deleted_at = excluded.deleted_at
WHERE t.finished_at IS NULL
  AND ((t.mirror_epoch, t.resource_version)
       < (excluded.mirror_epoch, excluded.resource_version)
       OR ((t.mirror_epoch, t.resource_version)
           = (excluded.mirror_epoch, excluded.resource_version)
           AND t.deleted_at IS NULL AND excluded.deleted_at IS NOT NULL));

-- finish_pod_runs --
-- The end of pods whose start only this table remembers.
UPDATE soulbox.pod_runs t
   SET finished_at = r.finished_at, end_source = r.end_source, exit_reason = r.exit_reason,
       resource_version = r.resource_version, mirror_epoch = %(mirror_epoch)s,
       deleted_at = NULL
  FROM unnest(
           %(pod_uid)s::uuid[], %(finished_at)s::timestamptz[], %(end_source)s::text[],
           %(exit_reason)s::text[], %(resource_version)s::bigint[]
       ) AS r (pod_uid, finished_at, end_source, exit_reason, resource_version)
 WHERE t.pod_uid = r.pod_uid AND t.finished_at IS NULL;

-- pod_runs_by_uid --
-- Rows of these pods.
SELECT pod_uid, cluster, tenant, user_name, namespace, pod_name, owner_name, class_name,
       sandbox_uid, execution_uid, incarnation, node, cpu_millicores, memory_bytes, sku,
       started_at, finished_at, end_source, exit_reason, resource_version, deleted_at
  FROM soulbox.pod_runs
 WHERE pod_uid = ANY (%(pod_uids)s::uuid[]);

-- pod_run_versions --
-- Which version of each of these is written.
SELECT pod_uid AS uid, mirror_epoch, resource_version,
       finished_at IS NOT NULL AS is_deleted,
       updated_at < %(before)s AS is_settled
  FROM soulbox.pod_runs
 WHERE pod_uid = ANY (%(uids)s::uuid[]);

-- mark_gone_pod_runs --
-- Pods without an end that a complete list taken after `before` no longer has. Their end
-- is not made up: it stays unknown.
UPDATE soulbox.pod_runs t
   SET deleted_at = %(gone_at)s
 WHERE t.cluster = %(cluster)s
   AND (%(namespaces)s::text[] IS NULL OR t.namespace = ANY (%(namespaces)s))
   AND t.finished_at IS NULL
   AND t.deleted_at IS NULL
   AND t.updated_at < %(before)s
   AND NOT EXISTS (SELECT FROM unnest(%(seen)s::uuid[]) AS s (uid) WHERE s.uid = t.pod_uid);
