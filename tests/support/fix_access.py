"""Two tenants' rows in one database, and logins of every kind to look at them with."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import conninfo, sql

from soulbox.model.states import Kind
from soulbox.store.pool import Store
from soulbox.store.rollups import Rebuild, fold_usage
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    make_sandbox,
    new_uid,
)
from tests.support.tools import add_tool
from tests.support.usage import add_event, add_mark

NAMESPACES = ("team-a", "team-b")
TENANTS = ("tenant-team-a", "tenant-team-b")
USERS = ("ada", "bob")


@dataclass(frozen=True)
class Logins:
    """DSNs by what the login may see."""

    reader_a: str
    reader_b: str
    stranger: str
    app: str
    admin_reader: str
    writer: str
    owner: str
    trial: str


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


async def write_both(make_mirror: MakeMirror) -> None:
    """Every kind of row, for two users of each tenant."""
    mirror = make_mirror()
    async with running(mirror):
        for namespace in NAMESPACES:
            for user in USERS:
                where = {"namespace": namespace}
                box = make_running_sandbox(metadata=where, spec={"user": user})
                uid = box["metadata"]["uid"]
                run = make_finished_execution(
                    metadata=where,
                    spec={"user": user, "code": f"print('{namespace} {user}')  # needle"},
                    sandbox_uid=uid,
                    stdout=f"{namespace} needle",
                )
                shot = make_execution(metadata=where, spec={"user": user, "sandboxRef": None})
                pod = make_pod(
                    sandbox_uid=uid,
                    started="2026-11-22T10:00:00Z",
                    finished="2026-11-22T10:00:09Z",
                    metadata={**where, "annotations": {"soulbox.dev/user": user}},
                )
                odd = make_sandbox(metadata=where, spec={"user": user}, status={"state": "Odd"})
                mirror.offer(Kind.SANDBOX, box)
                mirror.offer(Kind.SANDBOX, odd)
                mirror.offer(Kind.POD, pod)
                for one in (run, shot):
                    mirror.offer(Kind.EXECUTION, one)
                await drained(mirror)
                created = datetime(2026, 11, 22, 10, tzinfo=UTC)
                await mirror.save_output(
                    run["metadata"]["uid"], created, "stdout", _one(f"{namespace} needle".encode())
                )


def _write_the_rest(connection: psycopg.Connection) -> None:
    """What nothing of the mirror's writes."""
    now = datetime.now(UTC)
    connection.execute(
        "update soulbox.executions set captured_files ="
        """ '{"files": [{"path": "out.txt", "size_bytes": 1}], "omitted": 0}'"""
    )
    connection.execute("select soulbox.ensure_partition('resource_metrics', %s)", (now,))
    connection.execute(
        "insert into soulbox.execution_logs"
        " (uid, created_at, seq, cluster, tenant, user_name, level, message)"
        " select uid, created_at, 0, cluster, tenant, user_name, 'info', namespace || ' needle'"
        "   from soulbox.executions where stdout <> ''"
    )
    # The plan that billed what is there has no allowance and may not be given one.
    for statement in (
        "alter table soulbox.price_plans disable trigger price_plans_guard",
        "update soulbox.price_plans set free_units = 1",
        "alter table soulbox.price_plans enable trigger price_plans_guard",
    ):
        connection.execute(statement)
    for tenant in TENANTS:
        for user in USERS:  # not folded yet
            add_event(connection, tenant=tenant, user=user)
            add_mark(connection, tenant=tenant, user=user)
    for namespace, tenant in zip(NAMESPACES, TENANTS, strict=True):
        tool = add_tool(
            connection,
            namespace=namespace,
            tenant=tenant,
            description=f"needle {namespace}",
            tags=[f"{namespace[-1]}-tag"],
        )
        connection.execute(
            "update soulbox.executions set kind = 'function', function_uid = %s where tenant = %s",
            (tool, tenant),
        )
    for tenant in TENANTS:
        for user in USERS:
            connection.execute(
                "insert into soulbox.account_tiers (tenant, user_name, tier, valid)"
                " values (%s, %s, 'pro', '[2100-01-01,)')",
                (tenant, user),
            )
            connection.execute(
                "insert into soulbox.resource_metrics"
                " (sandbox_uid, recorded_at, cluster, tenant, user_name, cpu_cores, memory_bytes)"
                " values (%s, %s, %s, %s, %s, 0.5, 1000)",
                (new_uid(), now, new_uid(), tenant, user),
            )


@pytest.fixture
async def logins(
    dsn: str, store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> AsyncIterator[Logins]:
    """The filled database's logins; dropped again, since logins belong to the server."""
    await write_both(make_mirror)
    sums = Rebuild(store)
    while await sums.step() is not None:
        pass
    await fold_usage(store)
    _write_the_rest(sql_connection)
    suffix = uuid.uuid4().hex[:8]
    groups = {
        "reader_a": "soulbox_reader",
        "reader_b": "soulbox_reader",
        "stranger": "soulbox_reader",
        "app": "soulbox_app",
        "admin_reader": "soulbox_admin_reader",
        "writer": "soulbox_writer",
        "owner": "soulbox_owner",
    }
    names = {kind: f"{kind}_{suffix}" for kind in groups}
    for kind, group in groups.items():
        sql_connection.execute(
            sql.SQL("create role {} login in role {}").format(
                sql.Identifier(names[kind]), sql.Identifier(group)
            )
        )
    for kind, tenant in (("reader_a", TENANTS[0]), ("reader_b", TENANTS[1])):
        sql_connection.execute(
            "insert into soulbox.tenant_roles (role_name, tenant) values (%s, %s)",
            (names[kind], tenant),
        )
    yield Logins(
        **{kind: conninfo.make_conninfo(dsn, user=name) for kind, name in names.items()}, trial=dsn
    )
    for name in names.values():
        sql_connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
        sql_connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def as_reader_a(logins: Logins) -> Iterator[psycopg.Connection]:
    """A session of the first tenant's reader."""
    with psycopg.connect(logins.reader_a, autocommit=True) as connection:
        yield connection


@pytest.fixture
def as_app(logins: Logins) -> Iterator[psycopg.Connection]:
    """A session of a trusted back end."""
    with psycopg.connect(logins.app, autocommit=True) as connection:
        yield connection
