-- Schema, the record of migrations, the mirror's state, and helpers every table uses.

CREATE SCHEMA IF NOT EXISTS soulbox;
COMMENT ON SCHEMA soulbox IS
    'SoulBox: what ran on the cluster, what it said, and what it cost';

CREATE TABLE soulbox.schema_migrations (
    version    integer     NOT NULL,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT session_user,
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version),
    CONSTRAINT schema_migrations_sha256_hex CHECK (sha256 ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE soulbox.schema_migrations IS
    'Migrations applied to this database, written by soulbox migrate';
COMMENT ON COLUMN soulbox.schema_migrations.version IS 'Number the file name starts with';
COMMENT ON COLUMN soulbox.schema_migrations.name IS 'File name without .sql';
COMMENT ON COLUMN soulbox.schema_migrations.sha256 IS
    'SHA-256 of the file as applied, hex; an edited file is refused';
COMMENT ON COLUMN soulbox.schema_migrations.applied_at IS 'When it was applied';
COMMENT ON COLUMN soulbox.schema_migrations.applied_by IS 'Login role that applied it';

CREATE TABLE soulbox.mirror_state (
    cluster        uuid        NOT NULL,
    leader_epoch   bigint      NOT NULL DEFAULT 0,
    mirror_epoch   integer     NOT NULL DEFAULT 1,
    database_epoch integer     NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mirror_state_pkey PRIMARY KEY (cluster),
    CONSTRAINT mirror_state_epochs_positive
        CHECK (leader_epoch >= 0 AND mirror_epoch >= 1 AND database_epoch >= 1)
);
COMMENT ON TABLE soulbox.mirror_state IS 'Who may write, and which timeline is written: one row a cluster';
COMMENT ON COLUMN soulbox.mirror_state.cluster IS 'UID of the namespace kube-system';
COMMENT ON COLUMN soulbox.mirror_state.leader_epoch IS
    'Grows with each operator that becomes leader; writes of an earlier one are refused';
COMMENT ON COLUMN soulbox.mirror_state.mirror_epoch IS
    'Grows when resource versions go backwards (etcd was restored to an older state)';
COMMENT ON COLUMN soulbox.mirror_state.database_epoch IS
    'Grows when this database was restored from a backup; cursors of an earlier one end';
COMMENT ON COLUMN soulbox.mirror_state.created_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.mirror_state.updated_at IS 'When the row last changed; kept by trigger';

CREATE FUNCTION soulbox.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.touch_updated_at() IS 'Keeps updated_at of every table that changes';

CREATE FUNCTION soulbox.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of soulbox.% is refused: its rows are never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
              CONSTRAINT = TG_TABLE_NAME || '_append_only',
              HINT = 'Correct a bill with an adjustment row.';
END
$$;
COMMENT ON FUNCTION soulbox.refuse_change() IS 'Makes a table append-only';

CREATE TRIGGER mirror_state_touch BEFORE UPDATE ON soulbox.mirror_state
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();
