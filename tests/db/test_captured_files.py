"""Captured files in PostgreSQL: their bytes as they were, their names in the row."""

from __future__ import annotations

import hashlib
from typing import Any

import psycopg
import pytest

from soulbox.model.states import Kind
from soulbox.store.outputs import PIECE_BYTES
from tests.db.test_outputs_and_views import CREATED, chunks
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_finished_execution

FILES = {
    "empty.txt": b"",
    "odd\nname \u00fc": b"\x00\xff" * 3,
    "large.bin": b"z" * (2 * PIECE_BYTES + 1),
}


def with_files(files: dict[str, bytes]) -> dict[str, Any]:
    """A finished Execution whose status lists them."""
    execution = make_finished_execution()
    execution["status"]["output"]["files"] = [
        {
            "path": path,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "content": "not in the row",
        }
        for path, data in files.items()
    ]
    execution["status"]["output"]["filesOmitted"] = 7
    return execution


async def test_view_gives_each_file_by_its_path_and_as_it_was(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    execution = with_files(FILES)
    uid = execution["metadata"]["uid"]
    ask = "select path, size_bytes, truncated, content from soulbox.execution_files order by place"
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, execution)
        await drained(mirror)
        before = sql_connection.execute(ask).fetchall()
        assert [row[3] for row in before] == [b"", None, None], "not saved yet"
        row = sql_connection.execute(
            "select output_complete, captured_files -> 'omitted' from soulbox.executions"
        ).fetchone()
        assert row == (False, 7)
        for place, data in enumerate(FILES.values()):
            await mirror.save_output(uid, CREATED, f"file/{place}", chunks(data))
        await mirror.mark_output_complete(uid, CREATED)
    found = sql_connection.execute(ask).fetchall()
    assert [(path, content) for path, _, _, content in found] == list(FILES.items())
    assert [row[1] for row in found] == [len(data) for data in FILES.values()]
    assert sql_connection.execute("select output_complete from soulbox.executions").fetchone() == (
        True,
    )


async def test_only_empty_files_are_whole_without_a_piece(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, with_files({"empty": b""}))
        await drained(mirror)
    row = sql_connection.execute("select output_complete from soulbox.executions").fetchone()
    assert row == (True,)


@pytest.mark.parametrize("stream", ["file/100", "file/", "file/x", "files", "STDOUT"])
async def test_other_names_of_streams_are_refused(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, stream: str
) -> None:
    execution = make_finished_execution()
    mirror = make_mirror()
    mirror.offer(Kind.EXECUTION, execution)
    with pytest.raises(Exception, match="execution_outputs_stream_known"):
        await mirror.save_output(execution["metadata"]["uid"], CREATED, stream, chunks(b"x"))
    assert sql_connection.execute("select from soulbox.execution_outputs").fetchall() == []
