"""What a login of one tenant tries in PostgreSQL, and how the server refuses it (SQLSTATE).

{other} stands for another tenant, {victim} for the pid of another's session.
"""

from __future__ import annotations

DENIED = "42501"  # insufficient_privilege
# feature_not_supported: what is not installed. An extension that is there would be DENIED.
NO_FILE = "0A000"

AS_TENANT: dict[str, tuple[str, str]] = {
    "D02 be the owner": ("set role soulbox_owner", DENIED),
    "D02 be the writer": ("set role soulbox_writer", DENIED),
    "D02 be the reader of all": ("set role soulbox_admin_reader", DENIED),
    "D02 be a back end": ("set role soulbox_app", DENIED),
    "D02 be a superuser for the session": ("set session authorization soulbox_owner", DENIED),
    "D02 take a role": ("grant soulbox_admin_reader to current_user", DENIED),
    "D02 take another tenant's rows by name":
        ("insert into soulbox.tenant_roles values (session_user, '{other}')", DENIED),
    "D02 past row security": ("alter role current_user bypassrls", DENIED),
    "D02 a superuser": ("alter role current_user superuser", DENIED),
    "D02 a role of its own": ("create role mallory login", DENIED),
    "D02 row security off": (
        "set row_security = off; select from soulbox.executions", DENIED),
    "D02 drop a policy": ("drop policy reader on soulbox.executions", DENIED),
    "D02 a policy of its own":
        ("create policy mine on soulbox.executions using (true)", DENIED),
    "D02 no row security": ("alter table soulbox.executions disable row level security", DENIED),
    "D02 own the table": ("alter table soulbox.executions owner to current_user", DENIED),
    "D02 grant itself": ("grant select on soulbox.executions to public", DENIED),
    "D02 default rights": (
        "alter default privileges for role soulbox_owner grant select on tables to public", DENIED),
    "D02 own what the owner has": ("reassign owned by soulbox_owner to current_user", DENIED),
    "D01 a table": ("select from soulbox.executions", DENIED),
    "D01 its text": ("select stdout, code_sha256 from soulbox.executions", DENIED),
    "D01 a partition": ("select from soulbox.executions_y2026m11", DENIED),
    "D01 a table's rows to oneself": ("copy soulbox.programs to stdout", DENIED),
    "D01 the dead letters": ("select from soulbox.dead_letter", DENIED),
    "D01 who is which tenant": ("select from soulbox.tenant_roles", DENIED),
    "D01 sums of everybody":
        ("select soulbox.usage_sums('all', null, null, null, null)", DENIED),
    "D01 a sample of a table": ("select from soulbox.programs tablesample system (100)", DENIED),
    "D09 explain a table": ("explain select from soulbox.executions", DENIED),
    "D09 explain with an index in mind":
        ("explain (analyze) select from soulbox.executions where stdout >= 'V'", DENIED),
    "D03 objects": ("update soulbox.sandboxes set name = 'mine'", DENIED),
    "D03 executions": ("delete from soulbox.executions", DENIED),
    "D03 code": (
        "insert into soulbox.programs (tenant, code_sha256, cluster, code, code_bytes)"
        " values ('{other}', repeat('a', 64), gen_random_uuid(), 'x', 1)", DENIED),
    "D03 the ledger": ("update soulbox.billing_events set quantity = 0", DENIED),
    "D03 the ledger's rows": ("delete from soulbox.billing_events", DENIED),
    "D03 prices": ("delete from soulbox.price_plans", DENIED),
    "D03 a tier": ("delete from soulbox.account_tiers", DENIED),
    "D03 pods": ("update soulbox.pod_runs set finished_at = started_at", DENIED),
    "D03 everything": ("truncate soulbox.changes", DENIED),
    "D03 the rights again": ("call soulbox.apply_access()", DENIED),
    "D03 what is old": ("select soulbox.drop_expired('executions', '1 day')", DENIED),
    "D03 a partition": ("select soulbox.ensure_partition('executions', now())", DENIED),
    "D03 a function": (
        "create function soulbox.mine() returns int language sql as 'select 1'", DENIED),
    "D03 another's function": (
        "create or replace function soulbox.visible_tenants() returns text[] language sql"
        " as 'select null::text[]'", DENIED),
    "D03 a function's rights":
        ("alter function soulbox.visible_tenants() security invoker", DENIED),
    "D03 a view": ("create view soulbox.mine as select 1", DENIED),
    "D03 a schema": ("create schema mine", DENIED),
    "D03 an index on an expression of its own":
        ("create index on soulbox.executions ((1 / 0))", DENIED),
    "D03 a trigger": (
        "create trigger t before insert on soulbox.executions execute function"
        " suppress_redundant_updates_trigger()", DENIED),
    "D03 the schema": ("drop schema soulbox cascade", DENIED),
    "D03 a rule": ("create rule r as on select to soulbox.executions do instead select 1", DENIED),
    "D06 a file of the server read": ("select pg_read_file('/etc/passwd')", DENIED),
    "D06 the same in bytes": ("select pg_read_binary_file('PG_VERSION')", DENIED),
    "D06 a directory listed": ("select pg_ls_dir('.')", DENIED),
    "D06 logs listed": ("select pg_ls_logdir()", DENIED),
    "D06 a file looked at": ("select pg_stat_file('/etc/passwd')", DENIED),
    "D06 a file into a table": ("copy soulbox.schema_migrations from '/etc/passwd'", DENIED),
    "D06 rows into a file": ("copy (select 1) to '/tmp/mine'", DENIED),
    "D06 a program of the server": ("copy (select 1) to program 'id'", DENIED),
    "D06 a large object from a file": ("select lo_import('/etc/passwd')", DENIED),
    "D06 a large object into a file": ("select lo_export(1, '/tmp/mine')", DENIED),
    "D06 an extension": ("create extension plpython3u", NO_FILE),
    # Some packages of the server bring it.
    "D06 another": ("create extension file_fdw", f"{NO_FILE} or {DENIED}"),
    "D06 a function in C": (
        "create function pg_temp.mine() returns int language c as 'mine'", DENIED),
    "D06 a library": ("load '/tmp/mine.so'", DENIED),
    "D06 a slot": ("select pg_create_physical_replication_slot('mine')", DENIED),
    "D06 a stream of all changes":
        ("select pg_create_logical_replication_slot('mine', 'pgoutput')", DENIED),
    "D06 a publication": ("create publication mine for all tables", DENIED),
    "D06 an event trigger": (
        "create event trigger mine on ddl_command_start execute function lo_manage()", DENIED),
    "D06 the server's settings": ("alter system set fsync = off", DENIED),
    "D06 its configuration again": ("select pg_reload_conf()", DENIED),
    "D06 its log": ("select pg_rotate_logfile()", DENIED),
    "D06 its WAL": ("select pg_switch_wal()", DENIED),
    "D06 a backup": ("select pg_backup_start('mine')", DENIED),
    "D06 a tablespace": ("create tablespace mine location '/tmp'", DENIED),
    "D06 a database": ("create database mine", DENIED),
    "D06 another's session": ("select pg_terminate_backend({victim})", DENIED),
    "D06 another's statement": ("select pg_cancel_backend({victim})", DENIED),
    "D11 statistics of values": ("select from pg_statistic", DENIED),
    "D11 passwords": ("select from pg_authid", DENIED),
    "D11 subscriptions": ("select subconninfo from pg_subscription", DENIED),
    "D11 mappings of users": ("select from pg_user_mapping", DENIED),
    "D12 triggers off": ("set session_replication_role = replica", DENIED),
    "D12 the ledger's trigger":
        ("alter table soulbox.billing_events disable trigger all", DENIED),
    "D13 a table's lock": ("begin; lock table soulbox.executions in access share mode", DENIED),
    "D13 rows' locks": ("select from soulbox.executions for key share", DENIED),
    "D15 more of its own files": ("set temp_file_limit = -1", DENIED),
    "D15 a log of everything": ("set log_statement = 'all'", DENIED),
}  # fmt: skip

# docs/operations.md: what a superuser may do about large objects, and what then is refused too.
CLOSE_LARGE_OBJECTS = (
    "revoke execute on function lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea)"
    " from public"
)
LARGE_OBJECTS = ("select lo_create(0)", "select lo_creat(0)", "select lo_from_bytea(0, 'x')")

# The role of the operator itself: what it may not although it writes everything.
AS_WRITER: dict[str, str] = {
    "D12 change a bill": "update soulbox.billing_events set quantity = 0",
    "D12 delete a bill": "delete from soulbox.billing_events",
    "D12 delete all": "truncate soulbox.billing_events",
    "D12 the trigger off": "alter table soulbox.billing_events disable trigger all",
    "D12 triggers off": "set session_replication_role = replica",
    "D12 the trigger dropped": "drop trigger billing_events_append_only on soulbox.billing_events",
    "D12 the function behind it":
        "create or replace function soulbox.refuse_ledger_change() returns trigger language plpgsql"
        " as 'begin return new; end'",
    "D12 marks of what is folded": "delete from soulbox.usage_marks",
    "D12 be the owner": "set role soulbox_owner",
}  # fmt: skip
