-- What changed, in commit order, and what PostgreSQL refused.

CREATE TABLE soulbox.changes (
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    xid8        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    epoch       integer     NOT NULL,
    cluster     uuid        NOT NULL,
    tenant      text        NOT NULL,
    user_name   text        NOT NULL DEFAULT '',
    kind        text        NOT NULL,
    uid         uuid        NOT NULL,
    sandbox_uid uuid,
    op          text        NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    payload     jsonb       NOT NULL,
    CONSTRAINT changes_pkey PRIMARY KEY (seq),
    CONSTRAINT changes_kind_known CHECK (kind IN ('sandbox', 'execution')),
    CONSTRAINT changes_op_known CHECK (op IN ('insert', 'update', 'delete'))
);
CREATE INDEX changes_at_idx ON soulbox.changes USING brin (at);
COMMENT ON TABLE soulbox.changes IS
    'Outbox of live queries: each version of a Sandbox or Execution as it was committed; old rows are removed';
COMMENT ON COLUMN soulbox.changes.seq IS
    'Order of writing; commits may overtake, so a reader follows xid8';
COMMENT ON COLUMN soulbox.changes.xid8 IS
    'Transaction that wrote it; all below pg_snapshot_xmin(pg_current_snapshot()) are there for good';
COMMENT ON COLUMN soulbox.changes.epoch IS 'mirror_state.database_epoch it was written in';
COMMENT ON COLUMN soulbox.changes.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.changes.tenant IS 'Tenant of the object';
COMMENT ON COLUMN soulbox.changes.user_name IS 'User of the object';
COMMENT ON COLUMN soulbox.changes.kind IS 'sandbox or execution';
COMMENT ON COLUMN soulbox.changes.uid IS 'The object';
COMMENT ON COLUMN soulbox.changes.sandbox_uid IS 'Its Sandbox: of a Sandbox itself; null for a one-shot';
COMMENT ON COLUMN soulbox.changes.op IS 'insert, update, or delete when deleted_at is set';
COMMENT ON COLUMN soulbox.changes.at IS 'When the transaction that wrote it began';
COMMENT ON COLUMN soulbox.changes.payload IS 'namespace, name, state, reason, resource_version';

CREATE TABLE soulbox.dead_letter (
    id               bigint      GENERATED ALWAYS AS IDENTITY,
    cluster          uuid        NOT NULL,
    tenant           text,
    user_name        text,
    kind             text        NOT NULL,
    uid              text        NOT NULL,
    namespace        text,
    name             text,
    resource_version text,
    sqlstate         text,
    constraint_name  text,
    error            text        NOT NULL,
    payload          json        NOT NULL,
    refusals         integer     NOT NULL DEFAULT 1,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letter_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letter_object_key UNIQUE (cluster, kind, uid),
    CONSTRAINT dead_letter_refusals_positive CHECK (refusals >= 1)
);
COMMENT ON TABLE soulbox.dead_letter IS
    'What could not be written as a row, whole; the object itself counts as recorded';
COMMENT ON COLUMN soulbox.dead_letter.id IS 'Number of the row';
COMMENT ON COLUMN soulbox.dead_letter.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.dead_letter.tenant IS 'Tenant of the object, where it could be told';
COMMENT ON COLUMN soulbox.dead_letter.user_name IS 'User of the object, where it could be told';
COMMENT ON COLUMN soulbox.dead_letter.kind IS
    'Sandbox, Execution, Pod; BillingEvent for a bill that contradicts the ledger';
COMMENT ON COLUMN soulbox.dead_letter.uid IS 'UID of the object; event_id of a bill';
COMMENT ON COLUMN soulbox.dead_letter.namespace IS 'Namespace of the object';
COMMENT ON COLUMN soulbox.dead_letter.name IS 'Name of the object';
COMMENT ON COLUMN soulbox.dead_letter.resource_version IS 'Version that was refused last';
COMMENT ON COLUMN soulbox.dead_letter.sqlstate IS 'SQLSTATE of the refusal; null when no row could be built';
COMMENT ON COLUMN soulbox.dead_letter.constraint_name IS 'Constraint that refused it';
COMMENT ON COLUMN soulbox.dead_letter.error IS 'What was wrong';
COMMENT ON COLUMN soulbox.dead_letter.payload IS
    'The whole object; of a bill the row in the ledger and the one that contradicts it';
COMMENT ON COLUMN soulbox.dead_letter.refusals IS 'How often it was refused';
COMMENT ON COLUMN soulbox.dead_letter.recorded_at IS 'When it was first refused';
COMMENT ON COLUMN soulbox.dead_letter.updated_at IS 'When it was last refused; kept by trigger';
CREATE TRIGGER dead_letter_touch BEFORE UPDATE ON soulbox.dead_letter
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();
