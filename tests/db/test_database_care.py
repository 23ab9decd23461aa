"""Figures on /metrics, `soulbox db doctor`, dead letters tried again."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg import conninfo
from typer.testing import CliRunner

from soulbox.app.cli import app
from soulbox.app.readings import database_readers
from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.retry import retry_dead_letters
from soulbox.model.errors import ConfigError
from soulbox.model.states import Kind
from soulbox.store.care import database_figures
from soulbox.store.pool import Store
from tests.support.fix_mirror import MakeMirror, drained, running, until
from tests.support.make_mirrored import (
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    newer,
)


async def test_figures_count_what_happened(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    for statement in (
        "insert into soulbox.tenant_roles select 'r' || n, 't' from generate_series(1, 5) n",
        "update soulbox.tenant_roles set tenant = 'u' where role_name < 'r3'",
        "delete from soulbox.tenant_roles where role_name = 'r5'",
        "select pg_stat_force_next_flush()",
    ):
        sql_connection.execute(statement.encode())
    figures = await database_figures(store)
    assert figures.tables["tenant_roles"]["inserts"] == 5
    assert figures.tables["tenant_roles"]["updates"] == 2
    assert figures.tables["tenant_roles"]["deletes"] == 1
    assert figures.by_table("live_rows")["tenant_roles"] == 4
    assert figures.tables["tenant_roles"]["dead_rows"] == 3
    assert figures.connections >= 2
    assert figures.commits > 0
    assert figures.database_bytes > figures.tables["tenant_roles"]["table_bytes"] > 0


async def test_operator_reads_them_by_the_clock(make_mirror: MakeMirror) -> None:
    mirror = make_mirror()
    readers = database_readers(mirror)
    assert all(read() == {} for read in readers.values())
    async with running(mirror):
        await until(lambda: mirror.database_figures() is not None)
        values = {name: read() for name, read in readers.items()}
    assert values["soulbox_database_connections"] >= 1  # type: ignore[operator]
    assert "executions" in values["soulbox_database_inserts_total"]  # type: ignore[operator]


def doctor(dsn: str, *words: str) -> Any:
    return CliRunner(env={"SOULBOX_DSN": dsn}).invoke(app, ["db", "doctor", *words])


def test_doctor_on_a_sound_and_an_unsound_database(
    dsn: str, sql_connection: psycopg.Connection
) -> None:
    sound = doctor(dsn)
    assert sound.exit_code == 0
    assert "OK    connections" in sound.output
    # This server's fsync is off.
    assert "WARN  durability" in sound.output
    sql_connection.execute("insert into soulbox.mirror_state values (gen_random_uuid(), 1)")
    ended = doctor(dsn, "-o", "json")
    assert ended.exit_code == 1
    bad = [one for one in json.loads(ended.output) if one["verdict"] == "FAIL"]
    assert {one["check"] for one in bad} == {"partitions"}
    read_only = conninfo.make_conninfo(dsn, options="-c default_transaction_read_only=on")
    assert "FAIL  server        PostgreSQL" in doctor(read_only).output


def test_doctor_on_a_database_that_is_not_ours(empty_dsn: str) -> None:
    ended = doctor(empty_dsn)
    assert isinstance(ended.exception, ConfigError)
    assert "run soulbox migrate" in str(ended.exception)


async def bury(make_mirror: MakeMirror, connection: psycopg.Connection) -> dict[str, Any]:
    """Four objects that a constraint refuses, which is then mended."""
    connection.execute(
        "alter table soulbox.sandboxes add constraint probe_s check (name <> 'box') not valid;"
        "alter table soulbox.executions add constraint probe_e check (name <> 'run') not valid;"
        "alter table soulbox.pod_runs add constraint probe_p check (node <> 'node-1') not valid"
    )
    objects = {
        Kind.SANDBOX: make_running_sandbox(),
        Kind.EXECUTION: make_finished_execution(),
        Kind.POD: make_pod(started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:09Z"),
    }
    async with running(make_mirror()) as mirror:
        for kind, manifest in objects.items():
            mirror.offer(kind, manifest)
        await until(lambda: mirror.statistics().dead_letters == 3)
        await drained(mirror)
    return {kind.value: manifest for kind, manifest in objects.items()}


async def test_dead_letters_are_written_once_mended(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    objects = await bury(make_mirror, sql_connection)
    refused = await retry_dead_letters(store, ENTRIES, None)
    assert len(refused) == 3
    assert all("probe_" in str(one.problem) for one in refused)
    sql_connection.execute(
        "alter table soulbox.sandboxes drop constraint probe_s;"
        "alter table soulbox.executions drop constraint probe_e;"
        "alter table soulbox.pod_runs drop constraint probe_p"
    )
    # The operator has seen a newer version of one meanwhile: that one stays.
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, newer(objects["Sandbox"], status={"state": "Terminated"}))
        await drained(mirror)
    done = await retry_dead_letters(store, ENTRIES, None)
    assert [one.problem for one in done] == [None, None, None]
    assert await retry_dead_letters(store, ENTRIES, None) == []
    for table, want in (("sandboxes", 1), ("executions", 1), ("programs", 1), ("pod_runs", 1)):
        count = sql_connection.execute(f"select count(*) from soulbox.{table}".encode()).fetchone()
        assert count == (want,), table
    assert sql_connection.execute("select state from soulbox.sandboxes").fetchone() == (
        "terminated",
    )
    bill = sql_connection.execute("select sum(quantity) from soulbox.billing_events").fetchone()
    assert bill is not None
    assert bill[0] == 9
    tenant = sql_connection.execute("select tenant from soulbox.executions").fetchone()
    assert tenant == ("tenant-team-a",)


async def test_bills_that_contradict_the_ledger_are_left_to_a_person(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    sql_connection.execute(
        "insert into soulbox.dead_letter (cluster, kind, uid, error, payload)"
        " values (gen_random_uuid(), 'BillingEvent', 'x', 'contradicts', '{}'),"
        " (gen_random_uuid(), 'Sandbox', 'y', 'odd', '[]')"
    )
    done = await retry_dead_letters(store, ENTRIES, None)
    assert done[0].problem is not None
    assert "a person must look" in done[0].problem
    assert done[1].problem is not None
    assert sql_connection.execute("select count(*) from soulbox.dead_letter").fetchone() == (2,)


def test_dead_letter_commands(dsn: str, sql_connection: psycopg.Connection) -> None:
    runner = CliRunner(env={"SOULBOX_DSN": dsn})
    assert runner.invoke(app, ["db", "dead-letter", "list"]).output == "no rows\n"
    assert runner.invoke(app, ["db", "dead-letter", "retry"]).output == "there are none\n"
    sql_connection.execute(
        "insert into soulbox.dead_letter (cluster, kind, uid, error, payload)"
        " values (gen_random_uuid(), 'BillingEvent', 'x', 'contradicts', '{}')"
    )
    listed = json.loads(runner.invoke(app, ["db", "dead-letter", "list", "-o", "json"]).output)
    assert [(one["kind"], one["error"]) for one in listed] == [("BillingEvent", "contradicts")]
    tried = runner.invoke(app, ["db", "dead-letter", "retry", str(listed[0]["id"])])
    assert tried.exit_code == 1
    assert "a person must look" in tried.output
    absent = runner.invoke(app, ["db", "dead-letter", "retry", "12345"])
    assert absent.exit_code == 1
    assert absent.output.startswith("12345: there is no such dead letter")


@pytest.mark.parametrize("words", [["retry", "x"], ["list", "--limit", "0"]])
def test_dead_letter_commands_refuse_nonsense(dsn: str, words: list[str]) -> None:
    result = CliRunner(env={"SOULBOX_DSN": dsn}).invoke(app, ["db", "dead-letter", *words])
    assert result.exit_code == 2
