-- search_tools --
-- A page of tools, best first; without words by namespace and name.
SELECT * FROM soulbox.search_tools(
    query => %(query)s, of_tags => %(tags)s::text[], in_category => %(category)s, of_type => %(type)s,
    of_tenant => %(tenant)s, max_rows => %(limit)s, after_rank => %(after_rank)s::real,
    after_namespace => %(after_namespace)s, after_name => %(after_name)s, after_uid => %(after_uid)s);

-- find_tool --
-- One tool by its id.
SELECT v.*, p.code
  FROM soulbox.find_tool(%(id)s, %(tenant)s) v
  LEFT JOIN LATERAL soulbox.programs(v.tenant, v.code_sha256) p ON v.code_sha256 IS NOT NULL;

-- count_tools --
-- How many tools there are of each key.
SELECT * FROM soulbox.count_tools(%(by)s, %(tenant)s);

-- tool_stats --
-- Calls of the last days.
SELECT * FROM soulbox.tool_stats(%(days)s, %(by)s, %(tenant)s, %(function)s);
