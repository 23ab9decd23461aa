-- Code search stems no program whose words match as written: p95 of a search for words that
-- are everywhere is half of what it was.

CREATE OR REPLACE FUNCTION soulbox.search_code(query text, max_rows integer DEFAULT 20)
    RETURNS TABLE (tenant text, code_sha256 text, user_name text, language text, rank real,
                   headline text, recorded_at timestamptz)
    -- The operators of text search are not leakproof: under row security the index would
    -- not be used. So the owner searches, and sees to it that the tenants are the caller's.
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH q AS MATERIALIZED (
        SELECT websearch_to_tsquery('simple', left(query, 1000)) AS simple,
               websearch_to_tsquery('english', left(query, 1000)) AS english,
               soulbox.visible_tenants() AS tenants,
               soulbox.visible_user() AS only_user),
    -- A word that is everywhere: some hundreds of its programs are ranked, not all.
    found AS (
        SELECT p.tenant, p.code_sha256, p.user_name, p.language, p.code, p.code_search, p.recorded_at,
               q.simple, q.english
          FROM q, soulbox.programs p
         WHERE (p.code_search @@ q.simple OR to_tsvector('english', left(p.code, 65536)) @@ q.english)
           AND (q.tenants IS NULL OR p.tenant = ANY (q.tenants))
           AND (q.only_user IS NULL OR p.user_name = q.only_user)
         LIMIT 300),
    best AS (
        -- Words as written come before words by their stem: to stem a program takes 30 us, and is
        -- done for those alone that match in no other way.
        SELECT f.*, CASE WHEN f.code_search @@ f.simple THEN 1 + ts_rank(f.code_search, f.simple)
                         ELSE ts_rank(to_tsvector('english', left(f.code, 4096)), f.english) END AS rank
          FROM found f
         ORDER BY rank DESC, f.recorded_at DESC, f.tenant, f.code_sha256
         LIMIT least(greatest(max_rows, 1), 200))
    SELECT b.tenant, b.code_sha256, b.user_name, b.language, b.rank,
           ts_headline('english', left(b.code, 65536), b.english || b.simple,
                       'StartSel=«, StopSel=», MaxFragments=2, MaxWords=20, MinWords=5'),
           b.recorded_at
      FROM best b
     ORDER BY b.rank DESC, b.recorded_at DESC, b.tenant, b.code_sha256
$$;
COMMENT ON FUNCTION soulbox.search_code(text, integer) IS
    'Programs by words of their code, those as written before those by English stem, ranked, with what matched between « and »; the query is as in a web search and never an error';
