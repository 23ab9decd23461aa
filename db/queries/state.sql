-- configure --
-- Settings of each new connection. Times are read and written in UTC; that a temporary
-- table is there already is no news.
SELECT set_config('statement_timeout', %(statement_timeout)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle_in_transaction_timeout)s, false),
       set_config('TimeZone', 'UTC', false),
       set_config('client_min_messages', 'warning', false);

-- ping --
-- A sign of life.
SELECT 1;

-- acquire_leader_epoch --
-- The next leader epoch of a cluster: writers with an earlier one are refused from now on.
INSERT INTO soulbox.mirror_state AS s (cluster, leader_epoch)
VALUES (%(cluster)s, 1)
ON CONFLICT (cluster) DO UPDATE SET leader_epoch = s.leader_epoch + 1
RETURNING s.leader_epoch;

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
-- Makes the monthly partitions that these moments lie in; counts the missing ones.
SELECT count(*) FILTER (WHERE soulbox.ensure_partition(parent, moment)) AS made
  FROM unnest(ARRAY['executions', 'execution_outputs']) AS parent,
       unnest(%(moments)s::timestamptz[]) AS moment;
