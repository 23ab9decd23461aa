-- same_words --
-- The ledger's hash is of rows as text: the same on every server, whatever its role has for default.
SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, MDY', false);

-- unfiltered --
-- Row security must hide nothing from a backup: an error rather than a part.
SET row_security = off;

-- repeatable --
-- One snapshot for the figures and for pg_dump.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- export_snapshot --
-- The snapshot's name, for pg_dump.
SELECT pg_export_snapshot();

-- figures --
-- What a restored database is compared with: rows of each table, and the ledger's sums. The
-- hash is of all its rows, so that an equal sum of other rows is told.
SELECT (SELECT count(*) FROM soulbox.sandboxes) AS sandboxes,
       (SELECT count(*) FROM soulbox.executions) AS executions,
       (SELECT count(*) FROM soulbox.programs) AS programs,
       (SELECT count(*) FROM soulbox.execution_outputs) AS execution_outputs,
       (SELECT count(*) FROM soulbox.resource_metrics) AS resource_metrics,
       (SELECT count(*) FROM soulbox.pod_runs) AS pod_runs,
       (SELECT count(*) FROM soulbox.price_plans) AS price_plans,
       (SELECT count(*) FROM soulbox.dead_letter) AS dead_letter,
       (SELECT count(*) FROM soulbox.billing_events) AS billing_events,
       (SELECT coalesce(sum(amount), 0)::text FROM soulbox.billing_events) AS ledger_amount,
       (SELECT coalesce(sum(quantity), 0)::text FROM soulbox.billing_events) AS ledger_seconds,
       (SELECT coalesce(sum(hashtextextended(concat_ws('|', event_id, kind, pod_uid, window_hour,
                                             starts_at, ends_at, quantity, compute_units, amount,
                                             currency, price_plan, sku, tier, corrects), 0)::numeric),
                        0)::text
          FROM soulbox.billing_events) AS ledger_hash;

-- tables --
-- Which tables there are: an older schema lacks some.
SELECT array_agg(c.relname::text) FROM pg_class c
 WHERE c.relnamespace = 'soulbox'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition;

-- count_functions --
-- Rows of a table that not every schema has.
SELECT count(*) FROM soulbox.functions;

-- count_function_versions --
-- Rows of a table that not every schema has.
SELECT count(*) FROM soulbox.function_versions;

-- count_execution_logs --
-- Rows of a table that not every schema has.
SELECT count(*) FROM soulbox.execution_logs;

-- count_of_prices --
-- The only rows that are compared of a backup of the schema.
SELECT count(*) FROM soulbox.price_plans;

-- has_schema --
-- Whether there is anything of ours in this database.
SELECT to_regnamespace('soulbox') IS NOT NULL;

-- other_writers --
-- Operators that are connected to this database.
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'soulbox' AND pid <> pg_backend_pid();

-- old_epoch --
-- The epoch of the database that is replaced.
SELECT coalesce(max(database_epoch), 0) FROM soulbox.mirror_state;

-- has_replaced --
-- Whether a restore was ended in the middle: the database as it was before lies there.
SELECT to_regnamespace('soulbox_replaced') IS NOT NULL;

-- end_restores --
-- What a restore that was killed left behind on the server: its transaction is undone.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 10000)) AS ended
  FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user
   AND application_name = 'soulbox pg_restore';

-- put_aside --
-- The old schema, kept until the new one is there.
ALTER SCHEMA soulbox RENAME TO soulbox_replaced;

-- put_back --
-- The old schema, since the new one could not be had.
ALTER SCHEMA soulbox_replaced RENAME TO soulbox;

-- drop_unproved --
-- What was restored, since it is not what it should be.
DROP SCHEMA IF EXISTS soulbox CASCADE;

-- drop_replaced --
-- The old schema is no longer needed.
DROP SCHEMA IF EXISTS soulbox_replaced CASCADE;

-- next_database_epoch --
-- A restored database is another one: cursors of before end. By the clock, so that one backup
-- restored twice makes two epochs.
UPDATE soulbox.mirror_state
   SET database_epoch = greatest(database_epoch + 1, %(old_epoch)s::integer + 1,
                                 extract(epoch FROM now())::integer);

-- may_become_owner --
-- Whether what is restored can belong to soulbox_owner.
SELECT to_regrole('soulbox_owner') IS NOT NULL
       AND pg_has_role(current_user, 'soulbox_owner', 'MEMBER');

-- has_group_roles --
-- Whether the rights in a backup have somebody to be given to.
SELECT count(*) = 4 FROM pg_roles
 WHERE rolname IN ('soulbox_writer', 'soulbox_reader', 'soulbox_app', 'soulbox_admin_reader');

-- schema_version --
-- The newest migration.
SELECT max(version) FROM soulbox.schema_migrations;

-- partitions --
-- A moment in each partition, by table: what ensure_partition() makes it again from.
SELECT coalesce(json_object_agg(parent, moments), '{}')
  FROM (SELECT parent, json_agg(starts_at ORDER BY starts_at) AS moments
          FROM soulbox.v_partitions
         GROUP BY parent) p;

-- tables_of_rows --
-- Tables whose rows are no part of the schema: all but the record of migrations and the prices.
SELECT relname AS name
  FROM pg_class
 WHERE relnamespace = 'soulbox'::regnamespace
   AND relkind IN ('r', 'p')
   AND relname NOT IN ('schema_migrations', 'price_plans')
 ORDER BY relname;

-- first_rollup_state --
-- As the migrations leave it: nothing is summed.
INSERT INTO soulbox.rollup_state DEFAULT VALUES;

-- switch_triggers --
-- The commands that let triggers rest while data is loaded (DISABLE), or guard again (ENABLE).
SELECT format('ALTER TABLE %%s %%s TRIGGER USER', oid::regclass, %(verb)s::text) AS command
  FROM pg_class
 WHERE relnamespace = 'soulbox'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
 ORDER BY relname;

-- empty_seeds --
-- Rows that the migrations made, which the data has too.
DELETE FROM soulbox.price_plans;
DELETE FROM soulbox.rollup_state;

-- make_partitions --
-- Those of a table that the data goes into.
SELECT count(*) FILTER (WHERE soulbox.ensure_partition(%(parent)s, moment))
  FROM unnest(%(moments)s::timestamptz[]) AS moment;
