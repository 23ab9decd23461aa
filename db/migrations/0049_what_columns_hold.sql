-- What some columns hold was said wrongly.
COMMENT ON COLUMN soulbox.executions.stdout IS
    'Standard output as in the status: its head and tail, all of it where stdout_truncated is false and it is text; otherwise the whole is in execution_outputs';
COMMENT ON COLUMN soulbox.executions.stderr IS
    'Standard error as in the status: its head and tail, all of it where stderr_truncated is false and it is text; otherwise the whole is in execution_outputs';
COMMENT ON COLUMN soulbox.executions.stdout_sha256 IS
    'SHA-256 of all that the program wrote to standard output, hex; also of what was not kept';
COMMENT ON COLUMN soulbox.executions.stderr_sha256 IS
    'SHA-256 of all that the program wrote to standard error, hex; also of what was not kept';
