-- Captured files: their bytes lie in execution_outputs like the streams', under "file/N", so
-- that partitions, retention and rights are the same; what they are called and how large they
-- are stands in the row of the Execution. Only widens what the running operator writes.

ALTER TABLE soulbox.execution_outputs DROP CONSTRAINT execution_outputs_stream_known;
ALTER TABLE soulbox.execution_outputs ADD CONSTRAINT execution_outputs_stream_known
    CHECK (stream IN ('stdout', 'stderr') OR stream ~ '^file/[0-9]{1,2}$');
COMMENT ON COLUMN soulbox.execution_outputs.stream IS
    'stdout, stderr, or file/N: the captured file at place N, from 0, of executions.captured_files';

ALTER TABLE soulbox.executions ADD COLUMN captured_files jsonb;
COMMENT ON COLUMN soulbox.executions.captured_files IS
    'status.output.files: files [{path, size_bytes, sha256, truncated}], omitted; null: none were captured';

CREATE VIEW soulbox.execution_files WITH (security_invoker = true) AS
SELECT e.uid,
       e.created_at,
       e.cluster,
       e.tenant,
       e.user_name,
       e.namespace,
       e.name,
       (f.place - 1)::integer                            AS place,
       f.file ->> 'path'                                 AS path,
       (f.file ->> 'size_bytes')::bigint                 AS size_bytes,
       f.file ->> 'sha256'                               AS sha256,
       coalesce((f.file ->> 'truncated')::boolean, false) AS truncated,
       CASE WHEN (f.file ->> 'size_bytes')::bigint = 0 THEN ''::bytea
            ELSE (SELECT string_agg(o.bytes, ''::bytea ORDER BY o.seq)
                    FROM soulbox.execution_outputs o
                   WHERE o.uid = e.uid AND o.created_at = e.created_at
                     AND o.stream = 'file/' || (f.place - 1))
       END                                               AS content
  FROM soulbox.executions e
 CROSS JOIN LATERAL jsonb_array_elements(e.captured_files -> 'files')
       WITH ORDINALITY AS f (file, place);
COMMENT ON VIEW soulbox.execution_files IS
    'Files that captureFiles kept of a run; content is null until they are saved, and where a runner did not give them';
COMMENT ON COLUMN soulbox.execution_files.uid IS 'The Execution';
COMMENT ON COLUMN soulbox.execution_files.created_at IS 'created_at of the Execution';
COMMENT ON COLUMN soulbox.execution_files.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.execution_files.tenant IS 'Tenant of the Execution';
COMMENT ON COLUMN soulbox.execution_files.user_name IS 'User of the Execution';
COMMENT ON COLUMN soulbox.execution_files.namespace IS 'Namespace of the Execution';
COMMENT ON COLUMN soulbox.execution_files.name IS 'Name of the Execution';
COMMENT ON COLUMN soulbox.execution_files.place IS 'Place in the order of paths, from 0';
COMMENT ON COLUMN soulbox.execution_files.path IS 'Path below the workspace';
COMMENT ON COLUMN soulbox.execution_files.size_bytes IS 'Size of the file when the run ended';
COMMENT ON COLUMN soulbox.execution_files.sha256 IS 'SHA-256 of what was kept of it, hex';
COMMENT ON COLUMN soulbox.execution_files.truncated IS 'Only a first part was kept';
COMMENT ON COLUMN soulbox.execution_files.content IS 'The bytes as they were';

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT SELECT ON soulbox.execution_files TO soulbox_writer;
    END IF;
    IF to_regrole('soulbox_reader') IS NOT NULL THEN
        GRANT SELECT ON soulbox.execution_files TO soulbox_reader;
    END IF;
END
$$;
