-- grant_reader --
-- Lets a login read the rows of tenants, within bounds; a line for each that was set or was not.
SELECT line
  FROM soulbox.grant_reader(%(login)s, %(tenants)s::text[], %(connections)s, %(statement_seconds)s) AS line;
