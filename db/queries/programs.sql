-- insert_programs --
-- Code that was not seen before in its tenant; known code is left as it is.
INSERT INTO soulbox.programs (
        tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned)
SELECT DISTINCT ON (tenant, code_sha256)
       tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned
  FROM unnest(
          %(tenant)s::text[], %(code_sha256)s::text[], %(cluster)s::uuid[],
          %(user_name)s::text[], %(language)s::text[], %(code)s::text[],
          %(code_bytes)s::bigint[], %(cleaned)s::boolean[]
       ) AS r (
          tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned)
 ORDER BY tenant, code_sha256
ON CONFLICT (tenant, code_sha256) DO NOTHING;

-- program_by_key --
-- One program.
SELECT tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned
  FROM soulbox.programs
 WHERE tenant = %(tenant)s AND code_sha256 = %(code_sha256)s;
