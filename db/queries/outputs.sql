-- delete_output --
-- What an interrupted save of a stream left.
DELETE FROM soulbox.execution_outputs
 WHERE uid = %(uid)s AND created_at = %(created_at)s AND stream = %(stream)s;

-- insert_output --
-- One piece of a stream.
INSERT INTO soulbox.execution_outputs (uid, created_at, stream, seq, cluster, tenant, user_name, bytes)
VALUES (%(uid)s, %(created_at)s, %(stream)s, %(seq)s, %(cluster)s, %(tenant)s, %(user_name)s,
        %(bytes)s);

-- mark_output_complete --
-- All output of an Execution is saved: its pieces say so, and its row if it is there yet.
WITH pieces AS (
    UPDATE soulbox.execution_outputs
       SET complete = true
     WHERE uid = %(uid)s AND created_at = %(created_at)s AND NOT complete
)
UPDATE soulbox.executions
   SET output_complete = true
 WHERE uid = %(uid)s AND created_at = %(created_at)s AND NOT output_complete;

-- output_owner --
-- Whose an Execution is.
SELECT tenant, user_name
  FROM soulbox.executions
 WHERE uid = %(uid)s AND created_at = %(created_at)s;

-- output_pieces --
-- A stream in order.
SELECT bytes, complete
  FROM soulbox.execution_outputs
 WHERE uid = %(uid)s AND created_at = %(created_at)s AND stream = %(stream)s
 ORDER BY seq;

-- output_part --
-- A part of one piece of a stream that is saved whole; no row while it is not.
SELECT substring(bytes FROM %(start)s::integer FOR %(length)s::integer) AS bytes
  FROM soulbox.execution_outputs
 WHERE uid = %(uid)s AND created_at = %(created_at)s AND stream = %(stream)s AND seq = %(seq)s
   AND complete;

-- output_is_complete --
-- Whether everything that was kept of an Execution's output is in PostgreSQL.
SELECT output_complete
  FROM soulbox.executions
 WHERE uid = %(uid)s AND created_at = %(created_at)s;

-- readable_output_is_complete --
-- As output_is_complete, for whoever may see the Execution; a tenant's login reads no table.
SELECT output_complete FROM soulbox.executions(of_uid => %(uid)s);

-- readable_output --
-- A stream's pieces in order, for whoever may see the Execution.
SELECT bytes FROM soulbox.execution_outputs(%(uid)s, %(stream)s) ORDER BY seq;
