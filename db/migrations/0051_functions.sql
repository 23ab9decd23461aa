-- Functions and their versions. A version is a row for ever: an old id is answered with what it
-- was, and with when it was withdrawn.

CREATE TABLE soulbox.functions (
    uid              uuid        NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    namespace        text        NOT NULL,
    name             text        NOT NULL,
    version          text,
    versions         text[]      NOT NULL DEFAULT '{}',
    state            text,
    reason           text,
    message          text,
    suspended        boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,
    labels           jsonb       NOT NULL DEFAULT '{}',
    spec             jsonb       NOT NULL DEFAULT '{}',
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    cleaned          boolean     NOT NULL DEFAULT false,
    deleted_at       timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT functions_pkey PRIMARY KEY (uid),
    CONSTRAINT functions_state_known CHECK (state IN ('ready', 'suspended', 'error'))
);
CREATE INDEX functions_tenant_idx ON soulbox.functions (tenant, namespace, name, uid);
COMMENT ON TABLE soulbox.functions IS 'Every Function there was, as last seen';
COMMENT ON COLUMN soulbox.functions.uid IS 'metadata.uid: names it for ever';
COMMENT ON COLUMN soulbox.functions.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.functions.tenant IS
    'Label soulbox.dev/tenant of its namespace when first written, else the namespace; it is of the tenant, not of one user';
COMMENT ON COLUMN soulbox.functions.namespace IS 'Namespace; with name it locates, uid identifies';
COMMENT ON COLUMN soulbox.functions.name IS 'Name in its namespace; may be used again later';
COMMENT ON COLUMN soulbox.functions.version IS
    'status.version: the one that is called where none is named; null before the first';
COMMENT ON COLUMN soulbox.functions.versions IS
    'status.versions: those that can be called; all there were are in function_versions';
COMMENT ON COLUMN soulbox.functions.state IS
    'ready, suspended or error: status.state in lower case; null: not looked at yet';
COMMENT ON COLUMN soulbox.functions.reason IS 'status.reason: why it is in its state';
COMMENT ON COLUMN soulbox.functions.message IS 'status.message: the same for people';
COMMENT ON COLUMN soulbox.functions.suspended IS 'spec.suspend: it is not called';
COMMENT ON COLUMN soulbox.functions.created_at IS 'metadata.creationTimestamp';
COMMENT ON COLUMN soulbox.functions.labels IS 'metadata.labels';
COMMENT ON COLUMN soulbox.functions.spec IS
    'spec, keys in snake_case but for those of its schemas; the code and the values of environment variables are left out';
COMMENT ON COLUMN soulbox.functions.resource_version IS
    'metadata.resourceVersion of the version shown; an older one never overwrites it';
COMMENT ON COLUMN soulbox.functions.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.functions.cleaned IS
    'Some text held NUL or a lone surrogate, in whose place U+FFFD stands, or the spec what PostgreSQL cannot hold';
COMMENT ON COLUMN soulbox.functions.deleted_at IS
    'When its deletion was asked for; when it was found gone if nobody saw that; null: it is there';
COMMENT ON COLUMN soulbox.functions.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.functions.updated_at IS 'When the row last changed; kept by trigger';
CREATE TRIGGER functions_touch BEFORE UPDATE ON soulbox.functions
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

CREATE FUNCTION soulbox.tool_search(name text, title text, description text, tags text[]) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head CONSTANT text := left(concat_ws(' ', translate(name, '-._', '   '), title,
                                         array_to_string(tags, ' ')), 65536);
    body CONSTANT text := left(coalesce(description, ''), 65536);
BEGIN
    RETURN setweight(to_tsvector('simple', head), 'A') || setweight(to_tsvector('simple', body), 'B')
        || setweight(to_tsvector('english', head), 'C') || to_tsvector('english', body);
END
$$;
COMMENT ON FUNCTION soulbox.tool_search(text, text, text, text[]) IS
    'Words of a tool as search_tools ranks them: as written in its name, title and tags (A), as written in its description (B), by English stem in the same (C, D)';

CREATE TABLE soulbox.function_versions (
    function_uid     uuid        NOT NULL,
    version          text        NOT NULL,
    cluster          uuid        NOT NULL,
    tenant           text        NOT NULL,
    namespace        text        NOT NULL,
    name             text        NOT NULL,
    tool_id          text,
    revision         text,
    content_sha256   text,
    code_sha256      text,
    input_schema     jsonb,
    output_schema    jsonb,
    execution_config jsonb       NOT NULL DEFAULT '{}',
    tags             text[]      NOT NULL DEFAULT '{}',
    category         text,
    tool_type        text,
    title            text,
    description      text,
    published_by     text,
    registered_at    timestamptz NOT NULL,
    deprecated       text,
    resource_version bigint      NOT NULL,
    mirror_epoch     integer     NOT NULL DEFAULT 1,
    cleaned          boolean     NOT NULL DEFAULT false,
    is_current       boolean     NOT NULL DEFAULT false,
    withdrawn_at     timestamptz,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    search           tsvector    GENERATED ALWAYS AS (soulbox.tool_search(name, title, description, tags)) STORED,
    CONSTRAINT function_versions_pkey PRIMARY KEY (function_uid, version),
    CONSTRAINT function_versions_tool_id_form CHECK (tool_id ~ '^tool:[^/]+/[^@]+@[^@]+$'),
    CONSTRAINT function_versions_sha256_hex CHECK (
        octet_length(content_sha256) = 64 AND content_sha256 !~ '[^0-9a-f]'
        AND octet_length(code_sha256) = 64 AND code_sha256 !~ '[^0-9a-f]')
);
CREATE INDEX function_versions_tenant_idx ON soulbox.function_versions (tenant, namespace, name, registered_at DESC);
-- What can be called now, and the tools among them by their words.
CREATE INDEX function_versions_tools_idx ON soulbox.function_versions (tenant, namespace, name, function_uid)
    WHERE is_current AND tool_id IS NOT NULL;
COMMENT ON TABLE soulbox.function_versions IS
    'Every version of a Function that was published, kept for ever; those with a tool_id are the registry of tools';
COMMENT ON COLUMN soulbox.function_versions.function_uid IS 'The Function';
COMMENT ON COLUMN soulbox.function_versions.version IS 'spec.version, or the number counted';
COMMENT ON COLUMN soulbox.function_versions.cluster IS 'UID of the namespace kube-system of its cluster';
COMMENT ON COLUMN soulbox.function_versions.tenant IS 'Tenant of the Function';
COMMENT ON COLUMN soulbox.function_versions.namespace IS 'Namespace of the Function';
COMMENT ON COLUMN soulbox.function_versions.name IS 'Name of the Function';
COMMENT ON COLUMN soulbox.function_versions.tool_id IS
    'tool:namespace/name@version; null: the Function is no tool. A Function deleted and made again may publish the same one';
COMMENT ON COLUMN soulbox.function_versions.revision IS
    'ControllerRevision that holds it, as long as it can be called';
COMMENT ON COLUMN soulbox.function_versions.content_sha256 IS 'SHA-256 of all that makes it what it is, hex';
COMMENT ON COLUMN soulbox.function_versions.code_sha256 IS
    'SHA-256 of its code, hex: the code is in programs once it has run, unless it came from elsewhere';
COMMENT ON COLUMN soulbox.function_versions.input_schema IS 'spec.inputSchema, as written; null: any input';
COMMENT ON COLUMN soulbox.function_versions.output_schema IS 'spec.outputSchema, as written; null: any result';
COMMENT ON COLUMN soulbox.function_versions.execution_config IS
    'How it runs: class_name, language, handler, timeout_seconds, resources, network and so on; the values of environment variables are left out';
COMMENT ON COLUMN soulbox.function_versions.tags IS 'spec.tool.tags';
COMMENT ON COLUMN soulbox.function_versions.category IS 'spec.tool.category';
COMMENT ON COLUMN soulbox.function_versions.tool_type IS 'spec.tool.type';
COMMENT ON COLUMN soulbox.function_versions.title IS 'spec.tool.title';
COMMENT ON COLUMN soulbox.function_versions.description IS 'spec.description';
COMMENT ON COLUMN soulbox.function_versions.published_by IS 'Who made it the current one; null: nobody knows';
COMMENT ON COLUMN soulbox.function_versions.registered_at IS 'When it was published: its ControllerRevision was made';
COMMENT ON COLUMN soulbox.function_versions.deprecated IS
    'spec.deprecated: what to use instead; it can still be called. Null: it is not deprecated';
COMMENT ON COLUMN soulbox.function_versions.resource_version IS
    'metadata.resourceVersion of the Function that it is shown as in; an older one never overwrites it';
COMMENT ON COLUMN soulbox.function_versions.mirror_epoch IS
    'Timeline of resource_version: see mirror_state.mirror_epoch';
COMMENT ON COLUMN soulbox.function_versions.cleaned IS
    'Some text held NUL or a lone surrogate, in whose place U+FFFD stands, or a schema what PostgreSQL cannot hold';
COMMENT ON COLUMN soulbox.function_versions.is_current IS
    'It is the one that is called where none is named; kept by trigger';
COMMENT ON COLUMN soulbox.function_versions.withdrawn_at IS
    'When its Function was deleted, or was found to have it no longer; null: it can be called. Kept by trigger';
COMMENT ON COLUMN soulbox.function_versions.recorded_at IS 'When the row was made';
COMMENT ON COLUMN soulbox.function_versions.updated_at IS 'When the row last changed; kept by trigger';
COMMENT ON COLUMN soulbox.function_versions.search IS
    'Words of its name, title, tags and description, weighted: what search_tools ranks by';
CREATE TRIGGER function_versions_touch BEFORE UPDATE ON soulbox.function_versions
    FOR EACH ROW EXECUTE FUNCTION soulbox.touch_updated_at();

-- Which versions can be called is said by the Function, in whichever order the rows come.

CREATE FUNCTION soulbox.place_version() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    SELECT x.version, x.versions, x.deleted_at INTO f FROM soulbox.functions x WHERE x.uid = NEW.function_uid;
    IF FOUND THEN
        NEW.is_current := f.deleted_at IS NULL AND NEW.version IS NOT DISTINCT FROM f.version;
        NEW.withdrawn_at := CASE WHEN f.deleted_at IS NOT NULL THEN f.deleted_at
                                 WHEN NEW.is_current OR NEW.version = ANY (f.versions) THEN NULL
                                 ELSE now() END;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION soulbox.place_version() IS
    'Says of a version whose row is new whether it is current, or withdrawn';
CREATE TRIGGER function_versions_place BEFORE INSERT ON soulbox.function_versions
    FOR EACH ROW EXECUTE FUNCTION soulbox.place_version();

CREATE FUNCTION soulbox.place_versions() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE soulbox.function_versions v
       SET is_current = p.is_current, withdrawn_at = p.withdrawn_at
      FROM (SELECT x.version,
                   NEW.deleted_at IS NULL AND x.version IS NOT DISTINCT FROM NEW.version AS is_current,
                   CASE WHEN NEW.deleted_at IS NOT NULL THEN coalesce(x.withdrawn_at, NEW.deleted_at)
                        WHEN x.version = ANY (NEW.versions || NEW.version) THEN NULL
                        ELSE coalesce(x.withdrawn_at, now()) END AS withdrawn_at
              FROM soulbox.function_versions x
             WHERE x.function_uid = NEW.uid) p
     WHERE v.function_uid = NEW.uid AND v.version = p.version
       AND (v.is_current, v.withdrawn_at) IS DISTINCT FROM (p.is_current, p.withdrawn_at);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION soulbox.place_versions() IS
    'Says of the versions of a Function which is current, and which are withdrawn';
CREATE TRIGGER functions_place AFTER INSERT OR UPDATE ON soulbox.functions
    FOR EACH ROW EXECUTE FUNCTION soulbox.place_versions();

-- lz4 where the server has it, as for other wide columns.
DO $$
BEGIN
    ALTER TABLE soulbox.functions ALTER COLUMN spec SET COMPRESSION lz4;
    ALTER TABLE soulbox.function_versions ALTER COLUMN input_schema SET COMPRESSION lz4;
    ALTER TABLE soulbox.function_versions ALTER COLUMN output_schema SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

DO $$
BEGIN
    IF to_regrole('soulbox_writer') IS NOT NULL THEN
        GRANT INSERT, UPDATE ON soulbox.functions, soulbox.function_versions TO soulbox_writer;
    END IF;
END
$$;

-- Who sees them, and the calls of a Function.

CREATE OR REPLACE FUNCTION soulbox.listed_tenants(of_tenant text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := soulbox.readable_tenants(of_tenant);
BEGIN
    IF tenants IS NOT NULL THEN
        RETURN tenants;
    END IF;
    -- From one tenant to the next in an index: a few pages for each, whatever the tables' size.
    RETURN ARRAY(
    WITH RECURSIVE runs (tenant) AS (
        SELECT min(e.tenant) FROM soulbox.executions e
        UNION ALL
        SELECT (SELECT min(e.tenant) FROM soulbox.executions e WHERE e.tenant > r.tenant)
          FROM runs r WHERE r.tenant IS NOT NULL),
    boxes (tenant) AS (
        SELECT min(s.tenant) FROM soulbox.sandboxes s
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM soulbox.sandboxes s WHERE s.tenant > b.tenant)
          FROM boxes b WHERE b.tenant IS NOT NULL),
    codes (tenant) AS (
        SELECT min(p.tenant) FROM soulbox.programs p
        UNION ALL
        SELECT (SELECT min(p.tenant) FROM soulbox.programs p WHERE p.tenant > c.tenant)
          FROM codes c WHERE c.tenant IS NOT NULL),
    published (tenant) AS (
        SELECT min(f.tenant) FROM soulbox.functions f
        UNION ALL
        SELECT (SELECT min(f.tenant) FROM soulbox.functions f WHERE f.tenant > p.tenant)
          FROM published p WHERE p.tenant IS NOT NULL)
    SELECT r.tenant FROM runs r WHERE r.tenant IS NOT NULL
    UNION SELECT b.tenant FROM boxes b WHERE b.tenant IS NOT NULL
    UNION SELECT c.tenant FROM codes c WHERE c.tenant IS NOT NULL
    UNION SELECT p.tenant FROM published p WHERE p.tenant IS NOT NULL);
END
$$;

CREATE OR REPLACE FUNCTION soulbox.is_readable(of_uid uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.tenants IS NULL
           OR EXISTS (SELECT FROM soulbox.sandboxes s WHERE s.uid = of_uid AND s.tenant = ANY (v.tenants))
           OR EXISTS (SELECT FROM soulbox.executions e WHERE e.uid = of_uid AND e.tenant = ANY (v.tenants))
           OR EXISTS (SELECT FROM soulbox.functions f WHERE f.uid = of_uid AND f.tenant = ANY (v.tenants))
      FROM (SELECT soulbox.visible_tenants() AS tenants) v
$$;
COMMENT ON FUNCTION soulbox.is_readable(uuid) IS
    'Whether a Sandbox, Execution or Function is of a tenant that this login sees: asked before what lies under its UID is read';

CREATE FUNCTION soulbox.functions(
        of_tenant text DEFAULT NULL, of_uid uuid DEFAULT NULL, in_namespace text DEFAULT NULL,
        of_name text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.functions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_uid IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
BEGIN
    IF of_uid IS NOT NULL THEN
        RETURN QUERY
        SELECT f.* FROM soulbox.functions f
         WHERE f.uid = of_uid
           AND (tenants IS NULL OR f.tenant = ANY (tenants))
           AND (in_namespace IS NULL OR f.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR f.name = (SELECT of_name))
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT f.* FROM soulbox.functions f
     WHERE f.tenant = ANY (tenants)
       AND (in_namespace IS NULL OR f.namespace = (SELECT in_namespace))
       AND (of_name IS NULL OR f.name = (SELECT of_name))
     ORDER BY f.namespace, f.name, f.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.functions(text, uuid, text, text, bigint) IS
    'Rows of functions that this login sees, by namespace and name';
REVOKE ALL ON FUNCTION soulbox.functions(text, uuid, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION soulbox.function_versions(
        of_function uuid DEFAULT NULL, of_tenant text DEFAULT NULL, in_namespace text DEFAULT NULL,
        of_name text DEFAULT NULL, max_rows bigint DEFAULT NULL)
    RETURNS SETOF soulbox.function_versions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenants CONSTANT text[] := CASE WHEN of_function IS NULL THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
BEGIN
    IF of_function IS NOT NULL THEN
        IF soulbox.is_readable(of_function) THEN
            RETURN QUERY
            SELECT v.* FROM soulbox.function_versions v
             WHERE v.function_uid = of_function
               AND (tenants IS NULL OR v.tenant = ANY (tenants))
               AND (in_namespace IS NULL OR v.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR v.name = (SELECT of_name))
             ORDER BY v.registered_at DESC, v.version
             LIMIT max_rows;
        END IF;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v.* FROM soulbox.function_versions v
     WHERE v.tenant = ANY (tenants)
       AND (in_namespace IS NULL OR v.namespace = (SELECT in_namespace))
       AND (of_name IS NULL OR v.name = (SELECT of_name))
     ORDER BY v.namespace, v.name, v.registered_at DESC, v.function_uid, v.version
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.function_versions(uuid, text, text, text, bigint) IS
    'Rows of function_versions that this login sees: of one Function the newest first, else by namespace and name';
REVOKE ALL ON FUNCTION soulbox.function_versions(uuid, text, text, text, bigint) FROM PUBLIC;

DROP FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text);

CREATE FUNCTION soulbox.executions(
        of_tenant text DEFAULT NULL, of_user text DEFAULT NULL, of_sandbox uuid DEFAULT NULL,
        of_uid uuid DEFAULT NULL, in_state text DEFAULT NULL, from_at timestamptz DEFAULT NULL,
        to_at timestamptz DEFAULT NULL, after_at timestamptz DEFAULT NULL, after_uid uuid DEFAULT NULL,
        max_rows bigint DEFAULT NULL, in_namespace text DEFAULT NULL, of_name text DEFAULT NULL,
        of_function uuid DEFAULT NULL)
    RETURNS SETOF soulbox.executions
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_list CONSTANT boolean := of_uid IS NULL AND of_sandbox IS NULL AND of_function IS NULL;
    tenants CONSTANT text[] := CASE WHEN is_list THEN soulbox.listed_tenants(of_tenant)
                                    ELSE soulbox.readable_tenants(of_tenant) END;
    who     CONSTANT text := coalesce(soulbox.visible_user(), of_user);
BEGIN
    IF who <> of_user
       OR (of_uid IS NOT NULL AND NOT soulbox.is_readable(of_uid))
       OR (of_sandbox IS NOT NULL AND NOT soulbox.is_readable(of_sandbox))
       OR (of_function IS NOT NULL AND NOT soulbox.is_readable(of_function)) THEN
        RETURN;
    ELSIF NOT is_list THEN
        RETURN QUERY
        SELECT e.* FROM soulbox.executions e
         WHERE (of_uid IS NULL OR e.uid = of_uid)
           AND (of_sandbox IS NULL OR e.sandbox_uid = of_sandbox)
           AND (of_function IS NULL OR e.function_uid = of_function)
           AND (tenants IS NULL OR e.tenant = ANY (tenants))
           AND (who IS NULL OR e.user_name = (SELECT who))
           AND (in_state IS NULL OR e.state = in_state)
           AND (in_namespace IS NULL OR e.namespace = (SELECT in_namespace))
           AND (of_name IS NULL OR e.name = (SELECT of_name))
           AND (from_at IS NULL OR e.created_at >= from_at)
           AND (to_at IS NULL OR e.created_at < to_at)
           AND (after_at IS NULL
                OR (e.created_at <= after_at AND (e.created_at < after_at OR e.uid > after_uid)))
         ORDER BY e.created_at DESC, e.uid
         LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT found.*
      FROM unnest(tenants) AS t (tenant)
     CROSS JOIN LATERAL (
            SELECT e.* FROM soulbox.executions e
             WHERE e.tenant = t.tenant
               AND (who IS NULL OR e.user_name = (SELECT who))
               AND (in_state IS NULL OR e.state = in_state)
               AND (in_namespace IS NULL OR e.namespace = (SELECT in_namespace))
               AND (of_name IS NULL OR e.name = (SELECT of_name))
               AND (from_at IS NULL OR e.created_at >= from_at)
               AND (to_at IS NULL OR e.created_at < to_at)
               AND (after_at IS NULL
                    OR (e.created_at <= after_at AND (e.created_at < after_at OR e.uid > after_uid)))
             ORDER BY e.created_at DESC, e.uid
             LIMIT max_rows) found
     ORDER BY found.created_at DESC, found.uid
     LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text, uuid) IS
    'Rows of executions that this login sees, newest first; created in [from_at, to_at), after the row of after_at and after_uid';
REVOKE ALL ON FUNCTION soulbox.executions(text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, uuid, bigint, text, text, uuid) FROM PUBLIC;
