-- The words of a tenant are made once a tenant, not four times.

CREATE OR REPLACE FUNCTION soulbox.search_tools(
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
                       @@ soulbox.words_of_tenant(words, t.tenant)
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
