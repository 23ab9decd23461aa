-- delete_logs --
-- What is there of an Execution: of a save that was interrupted, or of an attempt before.
DELETE FROM soulbox.execution_logs WHERE uid = %(uid)s AND created_at = %(created_at)s;

-- stage_logs --
-- Where lines wait within their transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_logs ON COMMIT DELETE ROWS AS
SELECT
       uid, created_at, seq::int8 AS seq, cluster, tenant, user_name, at, level, message, metadata,
       lines_omitted
  FROM soulbox.execution_logs
  WITH NO DATA;

-- copy_logs --
-- The lines.
COPY pg_temp.incoming_logs (
       uid, created_at, seq, cluster, tenant, user_name, at, level, message, metadata,
       lines_omitted)
FROM STDIN (FORMAT BINARY);

-- insert_logs --
-- The lines of one Execution.
INSERT INTO soulbox.execution_logs (
       uid, created_at, seq, cluster, tenant, user_name, at, level, message, metadata,
       lines_omitted)
SELECT
       uid, created_at, seq, cluster, tenant, user_name, at, level, message, metadata,
       lines_omitted
  FROM pg_temp.incoming_logs;

-- readable_logs --
-- Lines in order, for whoever may see the Execution.
SELECT seq, at, level, message, metadata, lines_omitted
  FROM soulbox.execution_logs(%(uid)s, %(at_least)s, %(after_seq)s, %(limit)s);
