-- server --
-- What soulbox doctor asks first.
SELECT current_setting('server_version_num')::integer AS version,
       current_user::text AS login,
       pg_is_in_recovery() AS in_recovery,
       current_setting('max_connections')::integer AS max_connections,
       clock_timestamp() AS now;

-- lacking_rights --
-- What the group soulbox_writer may do and this login may not; nothing where there is no
-- such group, since the login then owns all there is.
SELECT privilege || ' on ' || relname AS lacking
  FROM pg_class
 CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
 WHERE relnamespace = to_regnamespace('soulbox')
   AND relkind IN ('r', 'p', 'v')
   AND to_regrole('soulbox_writer') IS NOT NULL
   AND has_table_privilege('soulbox_writer', pg_class.oid, privilege)
   AND NOT has_table_privilege(pg_class.oid, privilege)
 ORDER BY relname, privilege;

-- ledger_rights --
-- What this login may do to the ledger beyond adding to it.
SELECT lower(privilege) AS privilege
  FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
 WHERE has_table_privilege('soulbox.billing_events', privilege)
 ORDER BY privilege;
