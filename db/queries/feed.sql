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
-- One hint a flush that there are changes, never in the transaction that writes them:
-- listeners then read the table.
SELECT pg_notify('soulbox_changes', %(cluster)s);

-- prune_changes --
-- Removes some of what no live query will ask for any more; in portions, so that no one
-- statement takes long.
DELETE FROM soulbox.changes
 WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM soulbox.changes
            WHERE at < now() - make_interval(secs => %(keep_seconds)s)
               -- Samples are many, and kept in resource_metrics.
               OR (kind = 'metric' AND at < now() - interval '1 day')
            LIMIT %(portion)s));

-- feed_start --
-- Where a reader that wants only what comes begins, and the database's epoch.
SELECT soulbox.watermark()::text AS xid, 0::bigint AS seq,
       (SELECT coalesce(max(database_epoch), 1) FROM soulbox.mirror_state) AS epoch;

-- feed_has --
-- Whether a change is still there: what follows it is then complete.
SELECT EXISTS (SELECT FROM soulbox.changes(after_xid8 => %(xid)s::text::xid8,
                                           after_seq => %(seq)s::bigint - 1, max_rows => 1) c
                WHERE c.seq = %(seq)s AND c.xid8 = %(xid)s::text::xid8) AS has;

-- feed_watermark --
-- Below this all changes are there for good; whether more are on their way; the epoch.
SELECT soulbox.watermark()::text AS xid, soulbox.changes_wait() AS more,
       (SELECT coalesce(max(database_epoch), 1) FROM soulbox.mirror_state) AS epoch;

-- feed_page --
-- Changes after a position and below the watermark, in order.
SELECT seq, xid8::text AS xid, kind, uid, sandbox_uid, tenant, user_name, op, at, payload
  FROM soulbox.changes(
           after_xid8 => %(after_xid)s::text::xid8, after_seq => %(after_seq)s,
           below_xid8 => %(watermark)s::text::xid8, of_kind => %(kind)s,
           of_sandbox => %(sandbox_uid)s, of_user => %(user_name)s, of_tenant => %(tenant)s,
           max_rows => %(limit)s)
 ORDER BY xid8, seq;

-- feed_listen --
-- Hints that there is something to read.
LISTEN soulbox_changes;
