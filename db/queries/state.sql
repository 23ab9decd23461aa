-- backend --
-- Which process serves this connection: another than the server said when it began, where a
-- pooler stands between.
SELECT pg_backend_pid() AS pid;

-- forget_staged --
-- The connection belongs to a pooler: who gets it next shall find no tables of ours.
DISCARD TEMP;

-- ping --
-- A sign of life.
SELECT 1;

-- acquire_leader_epoch --
-- The next leader epoch of a cluster: writers with an earlier one are refused from now on.
INSERT INTO soulbox.mirror_state AS s (cluster, leader_epoch)
VALUES (%(cluster)s, 1)
ON CONFLICT (cluster) DO UPDATE SET leader_epoch = s.leader_epoch + 1
RETURNING s.leader_epoch;

-- end_forsaken_transactions --
-- Ends sessions of operators that began a transaction and then said nothing for so long: a
-- process that is stopped holds its locks and would keep a new leader waiting.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) AS ended
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND usename = current_user
   AND application_name = 'soulbox'
   AND pid <> pg_backend_pid()
   AND state = 'idle in transaction'
   AND state_change < clock_timestamp() - make_interval(secs => %(idle_seconds)s);

-- lock_epochs --
-- The epochs, held until the transaction ends: a new leader waits for it.
SELECT leader_epoch, mirror_epoch, database_epoch
  FROM soulbox.mirror_state
 WHERE cluster = %(cluster)s
   FOR SHARE;

-- next_mirror_epoch --
-- A new timeline of resource versions begins (etcd was restored).
UPDATE soulbox.mirror_state
   SET mirror_epoch = mirror_epoch + 1
 WHERE cluster = %(cluster)s
RETURNING mirror_epoch;

-- server_time --
-- The database's clock, the one updated_at comes from.
SELECT clock_timestamp() AS server_time;

-- ensure_partitions --
-- Makes the partitions of these tables that these moments lie in; counts the missing ones.
SELECT count(*) FILTER (WHERE soulbox.ensure_partition(parent, moment)) AS made
  FROM unnest(%(parents)s::text[]) AS parent,
       unnest(%(moments)s::timestamptz[]) AS moment;

-- expired_partitions --
-- What drop_expired would drop of a table.
SELECT name
  FROM soulbox.v_partitions
 WHERE parent = %(parent)s::text
   AND ends_at <= now() - make_interval(months => %(months)s::integer, days => %(days)s::integer)
 ORDER BY ends_at;

-- drop_expired --
-- Drops the partitions of a table that ended longer ago than this.
SELECT name
  FROM soulbox.drop_expired(
           %(parent)s::text,
           make_interval(months => %(months)s::integer, days => %(days)s::integer)) AS name;

-- partition_horizon --
-- How long from now on rows of each partitioned table have a place: rows later than
-- that would be refused.
SELECT p.relname::text AS parent,
       coalesce(extract(epoch FROM max(v.ends_at) - now()) , 0)::float8 AS seconds
  FROM pg_class p
  LEFT JOIN soulbox.v_partitions v ON v.parent = p.relname
 WHERE p.relnamespace = 'soulbox'::regnamespace AND p.relkind = 'p'
 GROUP BY p.relname
 ORDER BY p.relname;
