"""What a database consists of, read from its catalog, to compare two of them."""

from __future__ import annotations

from typing import Any

import psycopg

# Partitions differ by when they were made; everything else must be equal.
QUERIES = {
    "relations": """
        select c.relname, c.relkind::text, pg_get_userbyid(c.relowner), c.reloptions,
               c.relacl::text[], obj_description(c.oid, 'pg_class'), pg_get_partkeydef(c.oid)
          from pg_class c
         where c.relnamespace = 'soulbox'::regnamespace and not c.relispartition
           and c.relkind in ('r', 'p', 'v', 'S', 'i', 'I')""",
    "columns": """
        select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
               a.attnotnull, a.attidentity::text, a.attgenerated::text,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
          from pg_class c
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
         where c.relnamespace = 'soulbox'::regnamespace and not c.relispartition
           and c.relkind in ('r', 'p', 'v')""",
    "constraints": """
        select c.relname, n.conname, pg_get_constraintdef(n.oid), n.convalidated
          from pg_constraint n join pg_class c on c.oid = n.conrelid
         where n.connamespace = 'soulbox'::regnamespace and not c.relispartition""",
    "indexes": """
        select i.indexname, i.indexdef
          from pg_indexes i join pg_class c on c.relname = i.tablename
         where i.schemaname = 'soulbox' and c.relnamespace = 'soulbox'::regnamespace
           and not c.relispartition""",
    "triggers": """
        select c.relname, t.tgname, pg_get_triggerdef(t.oid)
          from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where c.relnamespace = 'soulbox'::regnamespace and not t.tgisinternal
           and not c.relispartition""",
    "views": """
        select viewname, definition from pg_views where schemaname = 'soulbox'""",
    "functions": """
        select p.oid::regprocedure::text,
               case p.prokind
                   when 'a' then (select a::text from pg_aggregate a where a.aggfnoid = p.oid)
                   else pg_get_functiondef(p.oid) end, p.proacl::text[],
               pg_get_userbyid(p.proowner), obj_description(p.oid, 'pg_proc')
          from pg_proc p where p.pronamespace = 'soulbox'::regnamespace""",
    "policies": """
        select tablename, policyname, permissive, roles::text[], cmd, qual, with_check
          from pg_policies where schemaname = 'soulbox'""",
    "row_security": """
        select relname, relrowsecurity, relforcerowsecurity from pg_class
         where relnamespace = 'soulbox'::regnamespace and relkind in ('r', 'p')
           and not relispartition""",
    "schema": """
        select nspname, pg_get_userbyid(nspowner), nspacl::text[],
               obj_description(oid, 'pg_namespace')
          from pg_namespace where nspname = 'soulbox'""",
    "plans": """
        select name, sku, tier, rate, currency, valid::text, description
          from soulbox.price_plans""",
}


def read_catalog(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of each query, sorted."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set timezone to 'UTC'")
        return {
            name: sorted(connection.execute(query).fetchall(), key=repr)
            for name, query in QUERIES.items()
        }
