-- A user's bill comes from an index alone; search ranks fewer of a word that is everywhere;
-- dead letters that were written after all are removed.

CREATE INDEX billing_events_user_idx ON soulbox.billing_events (tenant, user_name, starts_at)
    INCLUDE (amount, quantity);

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
        SELECT f.*, ts_rank(f.code_search, f.simple)
                    + ts_rank(to_tsvector('english', left(f.code, 4096)), f.english) AS rank
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

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT DELETE ON soulbox.dead_letter TO soulbox_writer;
    END IF;
END
$$;
