-- Changes of Functions are told as those of Sandboxes and Executions are.

ALTER TABLE soulbox.changes DROP CONSTRAINT changes_kind_known;
ALTER TABLE soulbox.changes ADD CONSTRAINT changes_kind_known
    CHECK (kind IN ('sandbox', 'execution', 'function', 'metric'));
COMMENT ON TABLE soulbox.changes IS
    'Outbox of live queries: each version of a Sandbox, Execution or Function as it was committed; old rows are removed';
COMMENT ON COLUMN soulbox.changes.kind IS 'sandbox, execution, function or metric';
COMMENT ON COLUMN soulbox.changes.sandbox_uid IS
    'Its Sandbox: of a Sandbox itself; null for a one-shot and a Function';
