-- database_figures --
-- The database in one row, for /metrics.
SELECT database_bytes, connections, commits, rollbacks, cache_hit_ratio::float8 AS cache_hit_ratio,
       coalesce(oldest_transaction_seconds, 0)::float8 AS oldest_transaction_seconds,
       -- Asking also removes what nobody has to read any more.
       pg_notification_queue_usage() AS notification_queue_ratio,
       -- Of pods that still run: since when an hour of theirs is over and in no row.
       (SELECT greatest(coalesce(extract(epoch FROM now() - min(
                   date_trunc('hour', coalesce(b.hour + interval '1 hour', r.started_at), 'UTC')
                   + interval '1 hour')), 0), 0)::float8
          FROM soulbox.pod_runs r
         CROSS JOIN LATERAL (
                SELECT max(e.window_hour) AS hour FROM soulbox.billing_events e
                 WHERE e.pod_uid = r.pod_uid
                   AND e.kind = CASE WHEN r.sandbox_uid IS NULL THEN 'execution'
                                     ELSE 'sandbox_runtime' END) AS b
         WHERE r.finished_at IS NULL AND r.deleted_at IS NULL) AS unbilled_seconds
  FROM soulbox.v_database_health;

-- table_figures --
-- Each table, for /metrics.
SELECT table_name, live_rows, dead_rows, inserts, updates, deletes, table_bytes, index_bytes
  FROM soulbox.v_table_health;

-- short_answer --
-- Figures are not worth waiting for.
SELECT set_config('statement_timeout', '5000', true);

-- look --
-- What soulbox db doctor judges.
SELECT h.server_version, h.is_replica, h.connections, h.max_connections,
       h.cache_hit_ratio::float8 AS cache_hit_ratio,
       coalesce(h.oldest_transaction_seconds, 0)::float8 AS oldest_transaction_seconds,
       h.transaction_id_age,
       current_setting('default_transaction_read_only')::boolean AS is_read_only,
       current_setting('fsync')::boolean AND current_setting('full_page_writes')::boolean
           AND current_setting('synchronous_commit') <> 'off' AS is_durable,
       pg_notification_queue_usage() AS notification_queue_ratio,
       ARRAY(SELECT r.rolname::text FROM pg_roles r
              WHERE r.rolcanlogin AND NOT r.rolsuper
                AND EXISTS (SELECT FROM pg_roles g
                             WHERE g.rolname IN ('soulbox_reader', 'soulbox_app')
                               AND pg_has_role(r.oid, g.oid, 'MEMBER'))
                AND NOT EXISTS (SELECT FROM pg_roles g
                                 WHERE g.rolname IN ('soulbox_owner', 'soulbox_writer',
                                                     'soulbox_admin_reader')
                                   AND pg_has_role(r.oid, g.oid, 'MEMBER'))
                AND (r.rolconnlimit < 0
                     OR NOT EXISTS (SELECT FROM pg_db_role_setting t, unnest(t.setconfig) AS one
                                     WHERE t.setrole = r.oid AND starts_with(one, 'statement_timeout='))
                     OR NOT EXISTS (SELECT FROM pg_db_role_setting t, unnest(t.setconfig) AS one
                                     WHERE t.setrole = r.oid
                                       AND starts_with(one, 'idle_in_transaction_session_timeout=')))
              ORDER BY r.rolname) AS unbounded_logins,
       ARRAY(SELECT DISTINCT c.relname::text
               FROM pg_class c
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
               JOIN pg_roles g ON g.rolname IN ('soulbox_reader', 'soulbox_app')
              WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND has_any_column_privilege(g.oid, c.oid, 'SELECT')
              ORDER BY 1) AS open_relations,
       (SELECT count(*) FROM soulbox.dead_letter) AS dead_letters,
       (SELECT coalesce(max(s.leader_epoch), 0) FROM soulbox.mirror_state s) AS leader_epoch,
       (SELECT count(*) FROM pg_replication_slots WHERE NOT active) AS idle_slots,
       (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE c.relnamespace = 'soulbox'::regnamespace AND NOT i.indisvalid) AS broken_indexes
  FROM soulbox.v_database_health h;

-- worn_tables --
-- Tables of which vacuum has fallen behind.
SELECT table_name, live_rows, dead_rows
  FROM soulbox.v_table_health
 WHERE dead_rows > 10000 AND dead_rows > live_rows / 5
 ORDER BY dead_rows DESC;

-- list_dead_letters --
-- What was refused, oldest first.
SELECT id, recorded_at, updated_at, kind, uid, namespace, name, tenant, sqlstate, constraint_name,
       error, refusals
  FROM soulbox.dead_letter
 ORDER BY id
 LIMIT %(limit)s;

-- dead_letters_by_id --
-- These, whole; locked, so that two retries do not meet.
SELECT id, cluster, tenant, kind, uid, payload::text AS payload
  FROM soulbox.dead_letter
 WHERE %(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s)
 ORDER BY id
   FOR UPDATE SKIP LOCKED;

-- remove_dead_letter --
-- It was written after all.
DELETE FROM soulbox.dead_letter WHERE id = %(id)s;
