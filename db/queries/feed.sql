-- insert_dead_letter --
-- What was refused, whole; refused again it is counted.
INSERT INTO soulbox.dead_letter AS d (
        cluster, tenant, user_name, kind, uid, namespace, name, resource_version, sqlstate,
        constraint_name, error, payload)
VALUES (%(cluster)s, %(tenant)s, %(user_name)s, %(kind)s, %(uid)s, %(namespace)s, %(name)s,
        %(resource_version)s, %(sqlstate)s, %(constraint_name)s, %(error)s, %(payload)s::json)
ON CONFLICT (cluster, kind, uid) DO UPDATE
   SET resource_version = excluded.resource_version, sqlstate = excluded.sqlstate,
       constraint_name = excluded.constraint_name, error = excluded.error,
       payload = excluded.payload, refusals = d.refusals + 1;

-- dead_letters --
-- Everything that was refused in a cluster, oldest first.
SELECT cluster, tenant, user_name, kind, uid, namespace, name, resource_version, sqlstate,
       constraint_name, error, payload::text AS payload, refusals
  FROM soulbox.dead_letter
 WHERE cluster = %(cluster)s
 ORDER BY id;

-- notify_changes --
-- One hint a flush that there are changes: listeners then read the table.
SELECT pg_notify('soulbox_changes', %(cluster)s);

-- prune_changes --
-- Removes some of what no live query will ask for any more; in portions, so that no one
-- statement takes long.
DELETE FROM soulbox.changes
 WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM soulbox.changes
            WHERE at < now() - make_interval(secs => %(keep_seconds)s)
            LIMIT %(portion)s));
