-- The registry of tools: search, look-up, figures.

-- Words of tools by tenant, as those of programs are.
CREATE INDEX function_versions_words_idx ON soulbox.function_versions
    USING gin (soulbox.program_words(tenant, search, '')) WHERE is_current AND tool_id IS NOT NULL;

CREATE FUNCTION soulbox.search_tools(
        query text DEFAULT NULL, of_tags text[] DEFAULT NULL, in_category text DEFAULT NULL,
        of_type text DEFAULT NULL, of_tenant text DEFAULT NULL, max_rows integer DEFAULT 20,
        after_rank real DEFAULT NULL, after_namespace text DEFAULT NULL, after_name text DEFAULT NULL,
        after_uid uuid DEFAULT NULL)
    RETURNS TABLE (tool_id text, function_uid uuid, tenant text, namespace text, name text, version text,
                   title text, description text, tags text[], category text, tool_type text,
                   deprecated text, state text, suspended boolean, input_schema jsonb,
                   output_schema jsonb, rank real, headline text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenants CONSTANT text[] := soulbox.listed_tenants(of_tenant);
    limited CONSTANT bigint := least(greatest(max_rows, 1), 1001);
    words   tsquery;
    q       record;
BEGIN
    IF query IS NULL THEN
        RETURN QUERY
        SELECT v.tool_id, v.function_uid, v.tenant, v.namespace, v.name, v.version, v.title, v.description,
               v.tags, v.category, v.tool_type, v.deprecated, f.state, f.suspended, v.input_schema,
               v.output_schema, NULL::real, NULL::text
          FROM (SELECT found.*
                  FROM unnest(tenants) AS t (tenant)
                 CROSS JOIN LATERAL (
                        SELECT x.* FROM soulbox.function_versions x
                         WHERE x.tenant = t.tenant AND x.is_current AND x.tool_id IS NOT NULL
                           AND (of_tags IS NULL OR x.tags @> (SELECT of_tags))
                           AND (in_category IS NULL OR x.category = (SELECT in_category))
                           AND (of_type IS NULL OR x.tool_type = (SELECT of_type))
                           AND (after_uid IS NULL
                                OR (x.namespace, x.name, x.function_uid) > (after_namespace, after_name, after_uid))
                         ORDER BY x.namespace, x.name, x.function_uid
                         LIMIT limited) found
                 ORDER BY found.namespace, found.name, found.function_uid
                 LIMIT limited) v
          JOIN soulbox.functions f ON f.uid = v.function_uid
         ORDER BY v.namespace, v.name, v.function_uid;
        RETURN;
    END IF;
    SELECT s.simple, s.english INTO q FROM soulbox.search_words(query) s;
    -- Words as written weigh more than words by their stem: see tool_search.
    words := q.simple || q.english;
    RETURN QUERY
    WITH matching AS MATERIALIZED (
        SELECT found.*
          FROM unnest(tenants) AS t (tenant)
         CROSS JOIN LATERAL (
                SELECT x.function_uid, x.version, x.namespace, x.name, ts_rank(x.search, words) AS rank
                  FROM soulbox.function_versions x
                 WHERE soulbox.program_words(x.tenant, x.search, '')
                       @@ coalesce(soulbox.words_of_tenant(q.simple, t.tenant)
                                   || soulbox.words_of_tenant(q.english, t.tenant),
                                   soulbox.words_of_tenant(q.simple, t.tenant),
                                   soulbox.words_of_tenant(q.english, t.tenant))
                   AND x.tenant = t.tenant AND x.is_current AND x.tool_id IS NOT NULL
                   AND x.search @@ words
                   AND (of_tags IS NULL OR x.tags @> (SELECT of_tags))
                   AND (in_category IS NULL OR x.category = (SELECT in_category))
                   AND (of_type IS NULL OR x.tool_type = (SELECT of_type))) found),
    best AS (
        SELECT m.* FROM matching m
         WHERE after_uid IS NULL
            OR (-m.rank, m.namespace, m.name, m.function_uid)
               > (-after_rank, after_namespace, after_name, after_uid)
         ORDER BY m.rank DESC, m.namespace, m.name, m.function_uid
         LIMIT limited)
    SELECT v.tool_id, v.function_uid, v.tenant, v.namespace, v.name, v.version, v.title, v.description,
           v.tags, v.category, v.tool_type, v.deprecated, f.state, f.suspended, v.input_schema,
           v.output_schema, b.rank,
           ts_headline('english', left(concat_ws(E'\n', v.title, v.description), 65536), q.english || q.simple,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5')
      FROM best b
      JOIN soulbox.function_versions v ON v.function_uid = b.function_uid AND v.version = b.version
      JOIN soulbox.functions f ON f.uid = b.function_uid
     ORDER BY b.rank DESC, b.namespace, b.name, b.function_uid;
END
$$;
COMMENT ON FUNCTION soulbox.search_tools(text, text[], text, text, text, integer, real, text, text, uuid) IS
    'Tools that can be called, in their current versions: by words of their name, title, tags and description, ranked, with what matched between « and »; without a query all, by namespace and name. All of of_tags; after the row of after_rank, after_namespace, after_name and after_uid. The query is as in a web search and never an error';
REVOKE ALL ON FUNCTION soulbox.search_tools(text, text[], text, text, text, integer, real, text, text, uuid) FROM PUBLIC;

CREATE FUNCTION soulbox.find_tool(of_id text, of_tenant text DEFAULT NULL)
    RETURNS SETOF soulbox.function_versions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.listed_tenants(of_tenant);
    part    CONSTANT text[] := regexp_match(of_id, '^(?:tool:)?([^/@]+)/([^/@]+)(?:@([^/@]+))?$');
BEGIN
    IF part IS NULL THEN
        RAISE EXCEPTION '"%" is no tool''s id', left(of_id, 128)
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'tool_id_form',
                  HINT = 'Write tool:namespace/name@version, or tool:namespace/name for the current version.';
    END IF;
    -- A Function that was deleted and made again has had two of one id: what can be called first.
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT v.* FROM soulbox.function_versions v
             WHERE v.tenant = t.tenant AND v.namespace = (SELECT part[1]) AND v.name = (SELECT part[2])
               AND v.tool_id IS NOT NULL
               AND CASE WHEN part[3] IS NULL THEN v.is_current ELSE v.version = (SELECT part[3]) END) found
     ORDER BY found.withdrawn_at DESC NULLS FIRST, found.registered_at DESC, found.function_uid
     LIMIT 1;
END
$$;
COMMENT ON FUNCTION soulbox.find_tool(text, text) IS
    'A tool by its id: the version named, also where it is withdrawn; tool:namespace/name is the current one';
REVOKE ALL ON FUNCTION soulbox.find_tool(text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.count_tools(by text, of_tenant text DEFAULT NULL)
    RETURNS TABLE (key text, tools bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
BEGIN
    IF by IS NULL OR by NOT IN ('category', 'namespace', 'state', 'tag', 'tenant', 'type') THEN
        RAISE EXCEPTION 'tools are not counted by "%"', by
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'By category, namespace, state, tag, tenant or type.';
    END IF;
    RETURN QUERY
    SELECT g.key, count(*)
      FROM (SELECT coalesce(nullif(CASE by
                       WHEN 'category' THEN v.category
                       WHEN 'namespace' THEN v.namespace
                       WHEN 'state' THEN CASE WHEN v.deprecated IS NULL THEN f.state ELSE 'deprecated' END
                       WHEN 'tag' THEN tag.name
                       WHEN 'tenant' THEN v.tenant
                       WHEN 'type' THEN v.tool_type
                   END, ''), '(none)') AS key
              FROM soulbox.function_versions v
              JOIN soulbox.functions f ON f.uid = v.function_uid
              LEFT JOIN LATERAL unnest(v.tags) AS tag (name) ON by = 'tag'
             WHERE v.is_current AND v.tool_id IS NOT NULL
               AND (tenants IS NULL OR v.tenant = ANY (tenants))) g
     GROUP BY g.key
     ORDER BY count(*) DESC, g.key;
END
$$;
COMMENT ON FUNCTION soulbox.count_tools(text, text) IS
    'Tools that can be called, by category, namespace, state (ready, suspended, error, deprecated), tag, tenant or type; "(none)" is where there is none';
REVOKE ALL ON FUNCTION soulbox.count_tools(text, text) FROM PUBLIC;

CREATE FUNCTION soulbox.tool_stats(days integer, by text DEFAULT 'tool', of_tenant text DEFAULT NULL,
                                   of_function uuid DEFAULT NULL)
    RETURNS TABLE (key text, runs bigint, success bigint, errors bigint, average_ms numeric, p50_ms bigint,
                   p95_ms bigint, p99_ms bigint, last_run_at timestamptz, cost_usd numeric)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
    who     CONSTANT text := soulbox.visible_user();
BEGIN
    PERFORM soulbox.check_days(days);
    IF by IS NULL OR by NOT IN ('tenant', 'tool', 'version') THEN
        RAISE EXCEPTION 'calls of tools are not counted by "%"', by
            USING ERRCODE = 'invalid_parameter_value', HINT = 'By tenant, tool or version.';
    ELSIF of_function IS NOT NULL AND NOT soulbox.is_readable(of_function) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT g.key, g.runs, g.success, g.errors, g.average_ms, g.at[1], g.at[2], g.at[3], g.last_run_at, g.cost_usd
      FROM (SELECT CASE by WHEN 'tenant' THEN e.tenant
                           WHEN 'tool' THEN 'tool:' || f.namespace || '/' || f.name
                           ELSE 'tool:' || f.namespace || '/' || f.name || '@' || coalesce(e.function_version, '(none)')
                   END AS key,
                   count(*) AS runs, count(*) FILTER (WHERE e.state = 'completed') AS success,
                   count(*) FILTER (WHERE e.state IN ('failed', 'timeout')) AS errors,
                   round(avg(e.duration_ms), 3) AS average_ms,
                   percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY e.duration_ms) AS at,
                   max(e.created_at) AS last_run_at,
                   coalesce(sum((e.billing ->> 'cost_usd')::numeric), 0) AS cost_usd
              FROM soulbox.functions f
              JOIN soulbox.executions e ON e.function_uid = f.uid AND e.tenant = f.tenant
             WHERE EXISTS (SELECT FROM soulbox.function_versions v
                            WHERE v.function_uid = f.uid AND v.tool_id IS NOT NULL)
               AND (of_function IS NULL OR f.uid = of_function)
               AND (tenants IS NULL OR f.tenant = ANY (tenants))
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND e.created_at > now() - make_interval(days => days)
             GROUP BY 1) g
     ORDER BY g.runs DESC, g.key;
END
$$;
COMMENT ON FUNCTION soulbox.tool_stats(integer, text, text, uuid) IS
    'Calls of tools of the last days by tool, version or tenant, or of one Function alone: how many, how they ended (errors: failed or out of time), durations, the last one, and what they cost';
REVOKE ALL ON FUNCTION soulbox.tool_stats(integer, text, text, uuid) FROM PUBLIC;
