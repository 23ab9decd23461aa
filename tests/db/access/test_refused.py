"""What logins try beyond their rights (support/sql_attacks.py), and what a hint tells."""

from __future__ import annotations

import psycopg

from soulbox.model.states import Kind
from tests.support.fix_access import TENANTS, Logins
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_running_sandbox
from tests.support.sql_attacks import (
    AS_TENANT,
    AS_WRITER,
    CLOSE_LARGE_OBJECTS,
    DENIED,
    LARGE_OBJECTS,
)


def tried(dsn: str, statement: str) -> str:
    """The SQLSTATE that a statement is refused with; "done" where it is not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate or "no answer"
    return "done"


def test_d_no_login_gets_beyond_its_rights(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    """The writer's own session is there to be attacked."""
    wanted = {name: state for name, (_, state) in AS_TENANT.items()}
    with psycopg.connect(logins.writer) as writer:
        victim = str(writer.info.backend_pid)
        for dsn, other in (
            (logins.reader_a, TENANTS[1]),
            (logins.reader_b, TENANTS[0]),
            (logins.stranger, TENANTS[0]),
        ):
            found = {
                name: tried(dsn, statement.replace("{other}", other).replace("{victim}", victim))
                for name, (statement, _) in AS_TENANT.items()
            }
            assert {k: v for k, v in found.items() if v not in wanted[k].split(" or ")} == {}
        assert writer.execute("select 1").fetchone() == (1,)
    sql_connection.execute(CLOSE_LARGE_OBJECTS)
    assert [tried(logins.reader_a, one) for one in LARGE_OBJECTS] == [DENIED] * 3
    found = {name: tried(logins.writer, statement) for name, statement in AS_WRITER.items()}
    assert found == dict.fromkeys(AS_WRITER, DENIED)


async def test_d16_a_hint_tells_the_clusters_id_and_nothing_else(
    logins: Logins, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    clusters = sql_connection.execute("select distinct cluster from soulbox.sandboxes").fetchall()
    with psycopg.connect(logins.stranger, autocommit=True) as reader:
        reader.execute("listen soulbox_changes")
        mirror = make_mirror()
        async with running(mirror):
            mirror.offer(Kind.SANDBOX, make_running_sandbox(metadata={"namespace": "team-b"}))
            await drained(mirror)
        told = {one.payload for one in reader.notifies(timeout=5, stop_after=1)}
    assert told
    assert told <= {str(row[0]) for row in clusters}
