-- database_figures --
-- The database in one row, for /metrics.
SELECT database_bytes, connections, commits, rollbacks, cache_hit_ratio::float8 AS cache_hit_ratio,
       coalesce(oldest_transaction_seconds, 0)::float8 AS oldest_transaction_seconds
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
