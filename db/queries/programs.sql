-- stage_programs --
-- Where rows of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_programs ON COMMIT DELETE ROWS AS
SELECT tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned
  FROM soulbox.programs
  WITH NO DATA;

-- copy_programs --
-- The rows of a batch.
COPY pg_temp.incoming_programs (
        tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned)
FROM STDIN (FORMAT BINARY);

-- insert_programs --
-- Code that was not seen before in its tenant; known code is left as it is.
INSERT INTO soulbox.programs (
        tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned)
SELECT DISTINCT ON (tenant, code_sha256)
       tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned
  FROM pg_temp.incoming_programs
 ORDER BY tenant, code_sha256
ON CONFLICT (tenant, code_sha256) DO NOTHING;

-- program_by_key --
-- One program.
SELECT tenant, code_sha256, cluster, user_name, language, code, code_bytes, cleaned
  FROM soulbox.programs
 WHERE tenant = %(tenant)s AND code_sha256 = %(code_sha256)s;
