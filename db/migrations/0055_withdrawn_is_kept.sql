-- When a version was withdrawn is kept where data of a backup are loaded.

CREATE OR REPLACE FUNCTION soulbox.place_version() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    SELECT x.version, x.versions, x.deleted_at INTO f FROM soulbox.functions x WHERE x.uid = NEW.function_uid;
    IF FOUND THEN
        NEW.is_current := f.deleted_at IS NULL AND NEW.version IS NOT DISTINCT FROM f.version;
        -- A row of a backup says when.
        NEW.withdrawn_at := CASE WHEN f.deleted_at IS NULL
                                      AND (NEW.is_current OR NEW.version = ANY (f.versions)) THEN NULL
                                 ELSE coalesce(NEW.withdrawn_at, f.deleted_at, now()) END;
    END IF;
    RETURN NEW;
END
$$;
