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
